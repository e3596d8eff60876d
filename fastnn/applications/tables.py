"""Architectures for tables: the TabTransformer."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _names, layers as L
from fastnn._checks import as_list, check_count
from fastnn.applications._ends import weighted
from fastnn.models import Model

__all__ = ["TabTransformer"]


def TabTransformer(
    *,
    categories: Any,
    continuous: int = 0,
    weights: Any = None,
    classes: int = 1,
    classifier_activation: Any = "sigmoid",
    name: str = "tab_transformer",
    dim: int = 32,
    depth: int = 6,
    heads: int = 8,
    dropout: float = 0.0,
) -> Model:
    """The TabTransformer: columns of categories as learnt rows of numbers that attend to each other, then an MLP.

    categories: how many values each column of categories has; its ids are 1 up to that number, and 0 for what is
    missing or unknown, as StringLookup gives them. continuous: columns of numbers, which are normalised. The model
    takes {"categorical": ids, (rows, columns), "continuous": numbers} or, without the latter, the ids alone.
    dim, depth, heads: of the transformer; the MLP has layers of 4 l and 2 l units, where l is the width of what it
    reads. An eighth of an embedding is the column's own, the same for all of its values.

    With d for dim, m columns of n values and c continuous ones, l = m d + c, there are (7/8) d sum(n + 1) + m d / 8
    weights of embeddings, 12 d^2 + 13 d for each of `depth` layers, 2 c of the normalisation, and 12 l^2 + 6 l +
    (2 l + 1) classes.
    Source: Huang, Khetan, Cvitkovic and Karnin 2020, TabTransformer, sections 2 and 3. ValueError for sizes that it
    cannot have.
    """
    who = "TabTransformer"
    numbers = {"continuous": check_count(f"{who}: continuous", continuous, 0)}
    for what, value in (("dim", dim), ("depth", depth), ("heads", heads), ("classes", classes)):
        numbers[what] = check_count(f"{who}: {what}", value)
    counts = [check_count(f"{who}: categories", each) for each in as_list(f"{who}: categories", categories, "numbers")]
    if not counts:
        raise ValueError(f"{who}: categories must be a list of one number at least, got none; it is for such columns")
    if dim % 8 or dim % heads:
        raise ValueError(f"{who}: dim must be a multiple of 8 and of heads, {heads}, got {dim}")

    inputs: Any
    ids: Any
    inputs = ids = L.Input((len(counts),), dtype="int32", name="categorical")
    values = [L.Embedding(count + 1, dim - dim // 8)(ids[:, i : i + 1]) for i, count in enumerate(counts)]
    column = L.Embedding(len(counts), dim // 8)(ids * 0 + np.arange(len(counts)))
    y = L.Concatenate()([column, L.Concatenate(axis=1)(values) if len(values) > 1 else values[0]])
    for _ in range(depth):
        seen = L.MultiHeadAttention(heads, dim // heads, dropout=dropout)(y, y)
        y = L.LayerNormalization()(L.Add()([y, seen]))
        fed = L.Dropout(dropout)(L.Dense(dim)(L.Dense(4 * dim, "gelu")(y)))
        y = L.LayerNormalization()(L.Add()([y, fed]))
    y = L.Flatten()(y)
    if continuous:
        x = L.Input((continuous,), name="continuous")
        y, inputs = L.Concatenate()([y, L.LayerNormalization()(x)]), {"categorical": ids, "continuous": x}
    for factor in (4, 2):
        y = L.Dense(factor * (len(counts) * dim + continuous), "relu")(y)
    y = L.Dense(classes, classifier_activation, name="predictions")(y)
    return weighted(who, Model(inputs, y, name=name), weights)


_names.offer(globals())

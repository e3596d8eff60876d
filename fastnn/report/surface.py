"""The loss around a model's weights, and the rows as its last hidden layer sees them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.engine.network import aligned
from fastnn.layers import InputLayer
from fastnn.layers.graph import calls
from fastnn.layers.tensor import Tensor
from fastnn.models.graph import planned
from fastnn.models.networks import network_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.data import ArraySource

    Doubles = NDArray[np.float64]


WORK, LEAST = 5e10, 32  # multiplications of all points together, about; rows


def rows_for(model: Any, points: int, most: int) -> int:
    """How many rows the loss is worked out for: `most`, or as few as a large model has time for."""
    nodes = [node for node in calls(model.description.graph) if node.graph is None and node.rows]
    work = sum(node.layer.count_params() * prod(node.rows[0][:-1]) for node in nodes if hasattr(node.layer, "weights"))
    return int(min(most, max(LEAST, WORK // (2 * points**2 * max(1, work)))))


def loss_surface(
    model: Any, source: ArraySource, rows: Any, points: int, rng: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """(steps (points,), loss (points, points)): L(w + a d1 + b d2) for steps a, b from -1 to 1, of these rows.

    d1, d2: normal numbers, made as long as the weights output by output: d / ||d|| * ||w|| along all axes of a kernel
    but the last. Weights of one axis, biases and scales, stay as they are. The numbers are worked out on a copy of the
    weights. NaN where the loss is not finite. Source: Li et al. 2018, section 4.
    """
    built, trainer = model.description, model.description.trainer
    trainer.ready(source)
    with built.locked():
        base, variables = built.store.flat.copy(), built.variables()
    flat = aligned(base.size)
    network = network_of(built, planned(built.graph), flat=flat)
    network.set_objectives(trainer.compiled_objectives().described)
    network.set_variables(variables, built.frozen_ops(built.frozen))
    x, y = np.ascontiguousarray(source.x[rows]), np.ascontiguousarray(source.y[rows])  # type: ignore[index]
    weight = None if source.weight is None else np.ascontiguousarray(source.weight[rows])
    first, second = (_direction(base, variables, rng) for _ in range(2))
    steps = np.linspace(-1, 1, points)
    found = np.empty((points, points))
    for i, b in enumerate(steps):
        for j, a in enumerate(steps):
            flat[:] = base + np.float32(a) * first + np.float32(b) * second
            found[i, j] = network.evaluate(x, y, weight) / len(x) + network.penalty_value()
    return steps, np.where(np.isfinite(found), found, np.nan)


def _direction(flat: Any, variables: Any, rng: np.random.Generator) -> Any:
    found = np.zeros_like(flat)
    for each in variables:
        size = prod(each.shape)
        if len(each.shape) < 2:
            continue
        place = slice(each.start, each.start + size)
        weights = flat[place].reshape(-1, each.shape[-1])
        drawn = rng.standard_normal(weights.shape, np.float32)
        lengths = np.sqrt((drawn.astype(np.float64) ** 2).sum(axis=0))
        factor = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=0)) / np.where(lengths > 0, lengths, 1)
        found[place] = (drawn * factor).astype(np.float32).reshape(-1)
    return found


def hidden_tensor(model: Any) -> Tensor | None:
    """What the last layer with weights reads; None where that is an input, or there is no such layer."""
    for node in reversed(model.description.graph.nodes):
        if node.inputs and getattr(node.layer, "count_params", int)():
            tensor: Tensor = node.inputs[0]
            return None if isinstance(tensor.node.layer, InputLayer) else tensor
    return None


def projected(values: Any) -> tuple[Doubles, Doubles]:
    """(rows (rows, 3), shares of the variance (3,)): centred rows along their first three singular vectors."""
    centred = np.asarray(values, np.float64).reshape(len(values), -1)
    centred = centred - centred.mean(axis=0)
    long = centred.shape[1] > len(centred)  # then the rows' inner products are fewer than the columns'
    squares, vectors = np.linalg.eigh(centred @ centred.T if long else centred.T @ centred)
    squares = np.maximum(squares, 0)
    order = np.argsort(-squares)[:3]
    first = vectors[:, order] * np.sqrt(squares[order]) if long else centred @ vectors[:, order]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), np.arange(len(order))])  # whose signs are anybody's
    found, shares = np.zeros((len(centred), 3)), np.zeros(3)
    found[:, : len(order)] = first
    shares[: len(order)] = squares[order] / (squares.sum() or 1.0)
    return found, shares

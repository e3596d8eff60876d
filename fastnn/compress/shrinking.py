"""Unit pruning: a smaller model, without the units, filters and cells that do least."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2
from typing import Any

import numpy as np

from fastnn._checks import as_number, check_count, shown
from fastnn.compress import masks
from fastnn.compress.copies import Pairs, alike, array_of, fit_on, rebuilt, take_weights
from fastnn.compress.units import Units
from fastnn.layers import Embedding, Layer
from fastnn.typing import Array, DoubleArray

__all__ = ["prune_units"]

SIZES = ("units", "filters", "output_dim")  # what fields of how many units a layer makes are called


def prune_units(
    model: Any,
    keep: Any = 0.5,
    data: Any = None,
    epochs: int = 2,
    steps: int | None = None,
    batch_size: int | None = None,
    verbose: int = 0,
) -> Any:
    """A new, smaller model, without the units of each layer that do least: as fast as one that was built so small.

    A unit's score is |weights in| |weights out|, Euclidean norms, times gamma / sqrt(variance + epsilon) where
    BatchNormalization follows. Units are those of Dense, Embedding and the recurrent layers, gates together, and the
    filters of convolutions, of Bidirectional and TimeDistributed ones and in models within too. Units that Add or
    another merge brings together go together. What reaches an output, the features of inputs, and units that go into
    LayerNormalization, softmax, Dot, attention or a layer that is not known here all stay.

    keep: the share of each layer's units that stays, above 0 and at most 1; or a mapping from layers, or their names,
    to such a share or a number of units, and all others stay. data: (x, y), (x, y, sample_weight) or a dataset, to go
    on training with for `epochs` epochs after each of `steps` steps down; as many as it takes halvings where not given.
    The model needs to be compiled for that, and what is given is compiled alike, with a new optimizer.

    RuntimeError for a model without weights; ValueError for layers whose units cannot go.
    """
    masks.check_built("prune_units", model)
    check_count("prune_units: epochs", epochs)
    goals = _goals(model, keep)
    counts = {layer: getattr(layer, _size(layer)) for layer in goals}
    if steps is None:
        least = min((goals[layer] / counts[layer] for layer in goals), default=1.0)
        steps = 1 if data is None else max(1, ceil(-log2(least) - 1e-9))
    check_count("prune_units: steps", steps)
    if data is None and steps > 1:
        raise ValueError("prune_units: several steps make no difference without data to train on between; give data")
    if data is not None and not model.compiled:
        raise ValueError(f"prune_units: model {model.name!r} must be compiled to be trained; call compile first")
    for step in range(1, steps + 1):
        now = {layer: counts[layer] * (goals[layer] / counts[layer]) ** (step / steps) for layer in goals}
        model, pairs = _shrunk(model, now)
        goals, counts = ({pairs[layer]: number for layer, number in each.items()} for each in (goals, counts))
        if data is not None:
            fit_on("prune_units", model, data, epochs, batch_size, verbose)
    return model


def _size(layer: Layer) -> str:
    """The field that says how many units a layer makes."""
    return next(name for name in SIZES if hasattr(layer, name))


def _goals(model: Any, keep: Any) -> dict[Layer, float]:
    """How many units each layer keeps, of those that may lose some. ValueError for others, and for other numbers."""
    units = Units(model.description.graph)
    free = [layer for layer, labels in units.own.items() if units.root[labels].any()]
    if not isinstance(keep, Mapping):
        share = _kept("keep", float(keep) if type(keep) is int else keep, 1)
        return {layer: share * getattr(layer, _size(layer)) for layer in free}
    paths = model.description.paths()
    found = {}
    for layer, wanted in masks.chosen_layers("prune_units", model, keep).items():
        if layer not in free:
            raise ValueError(
                f"prune_units: the units of layer {paths[layer]!r} cannot go: it has none, or they reach an output, or "
                f"go into a layer that reads all of them; those of {', '.join(repr(paths[each]) for each in free)} can"
            )
        found[layer] = _kept(f"keep[{paths[layer]!r}]", wanted, getattr(layer, _size(layer)))
    return found


def _kept(what: str, value: Any, count: int) -> float:
    """A number of units of `count`, given as such or as a share. ValueError where it is neither."""
    if isinstance(value, bool):
        raise TypeError(f"prune_units: {what} must be a share or a number of units, got {value}")
    if type(value) is int or isinstance(value, np.integer):
        return check_count(f"prune_units: {what}", value, 1, count)
    share = as_number(f"prune_units: {what}", value)
    if not 0 < share <= 1:
        raise ValueError(f"prune_units: {what} must be a share above 0 and at most 1, got {shown(value)}")
    return share * count


def _shrunk(model: Any, numbers: Mapping[Layer, float]) -> tuple[Any, Pairs]:
    """A model whose layers keep about so many of their units, and the layers that go together."""
    with model.description.locked():
        units = Units(model.description.graph)
        stays = _chosen(model, units, numbers)
    indices = {key: np.flatnonzero(stays[units.root[use.labels]]) for key, use in units.uses.items()}
    changes: dict[Layer, dict[str, Any]] = {}
    for (layer, name, axis), use in units.uses.items():
        if use.role != "in" and len(indices[layer, name, axis]) < len(
            use.labels
        ):  # it may read other rows than it says
            given = [each for each in ("input_shape", "input_dim") if hasattr(layer, each)]
            changes.setdefault(layer, {}).update(dict.fromkeys(given) if type(layer) is not Embedding else {})
    for layer, labels in units.own.items():
        changes.setdefault(layer, {})[_size(layer)] = int(stays[units.root[labels]].sum())
    for layer, (row, labels) in units.shapes.items():
        changes.setdefault(layer, {})["target_shape"] = [*row[:-1], int(stays[units.root[labels]].sum())]
    made, pairs = rebuilt(model, lambda layer: [alike(layer, changes)])

    def part(layer: Layer, name: str, w: Array) -> Array:
        for axis in range(w.ndim):
            if (layer, name, axis) in indices:
                w = np.take(w, indices[layer, name, axis], axis)
        return w

    take_weights(made, pairs, part)
    return made, pairs


def _chosen(model: Any, units: Units, numbers: Mapping[Layer, float]) -> Array:
    """Of each root whether its units stay: of those that the same layers make, the best."""
    scores = _scores(units)
    makers: dict[int, list[Layer]] = {}
    for layer, labels in units.own.items():
        for root in dict.fromkeys(units.root[labels].tolist()):
            makers.setdefault(root, []).append(layer)
    makers.pop(0, None)
    groups: dict[tuple[Layer, ...], list[int]] = {}
    for root, layers in makers.items():
        groups.setdefault(tuple(layers), []).append(root)
    stays = np.ones(len(units.root), bool)
    paths = model.description.paths()
    for together, group in groups.items():
        shares = {layer: numbers[layer] / len(units.own[layer]) for layer in together if layer in numbers}
        if len({round(share * len(group)) for share in shares.values()}) > 1:
            raise ValueError(
                f"prune_units: the units of {', '.join(repr(paths[layer]) for layer in together)} go together, so keep "
                "must be the same for all of them"
            )
        if shares:
            roots = np.array(group)
            count = max(1, round(next(iter(shares.values())) * len(roots)))
            stays[roots[np.argsort(-scores[roots], kind="stable")[count:]]] = False
    return stays


def _scores(units: Units) -> DoubleArray:
    """|weights in| |weights out| of each root."""
    norms = {role: np.zeros(len(units.root)) for role in ("in", "out")}
    for use in units.uses.values():
        if use.role:
            w = np.asarray(array_of(use.layer, use.name), np.float64)
            squares = (w**2).sum(tuple(axis for axis in range(w.ndim) if axis != use.axis))
            np.add.at(norms[use.role], units.root[use.labels], squares)
    for layer, labels in units.scales:
        roots = units.root[labels]
        scale = 1 / (np.asarray(array_of(layer, "moving_variance"), np.float64) + layer.epsilon)
        if layer.scale:
            scale = scale * np.asarray(array_of(layer, "gamma"), np.float64) ** 2
        counts = np.bincount(roots, minlength=len(units.root))
        means = np.bincount(roots, scale, len(units.root)) / np.maximum(counts, 1)
        norms["in"] *= np.where(counts, means, 1)
    return np.sqrt(norms["in"] * norms["out"])

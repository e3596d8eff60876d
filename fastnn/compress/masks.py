"""Which weights of a model can be pruned, and which of their numbers go: those nearest to 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, shown
from fastnn.layers import Layer
from fastnn.layers.base import leaves_of
from fastnn.layers.places import Parameter, placed, pruned, set_pruned
from fastnn.layers.tensor import called
from fastnn.models import check_model
from fastnn.typing import Array, FloatArray

PATTERNS = {"2:4": (2, 4), "1:4": (1, 4)}  # numbers that stay of each group
LAST = 0.7  # of a layer that gives an output, at most, unless it is named with a share of its own


class Target(NamedTuple):
    """A weight to prune: its layer, its number among that layer's, its path, and the share of it that goes."""

    layer: Layer
    number: int
    path: str
    share: float

    @property
    def parameter(self) -> Parameter:
        return placed(self.layer).parameters[self.number]

    def view(self) -> FloatArray:
        """Its numbers, not a copy; the model's lock is held."""
        place = placed(self.layer)
        return place.views(place.store.flat)[self.number]


def check_built(what: str, model: Any) -> None:
    """TypeError for what is no model, RuntimeError for one that has no weights."""
    check_model(what, model)
    if model.description.network is None:
        raise RuntimeError(f"{what}: model {model.name!r} has no weights yet; build it, or fit it, first")


def group_of(what: str, pattern: Any) -> tuple[int, int] | None:
    """(numbers that stay, numbers of a group). ValueError for a pattern that is not known."""
    if pattern is not None and (not isinstance(pattern, str) or pattern not in PATTERNS):
        raise ValueError(f"{what}: pattern must be None, {' or '.join(map(repr, PATTERNS))}, got {shown(pattern)}")
    return None if pattern is None else PATTERNS[pattern]


def share_of(what: str, value: Any) -> float:
    """A share of weights. TypeError, ValueError where it is no number from 0 to below 1."""
    number = as_number(what, value)
    if not 0 <= number < 1:
        raise ValueError(f"{what} must be at least 0 and below 1, got {shown(value)}")
    return number


def chosen_layers(what: str, model: Any, layers: Any) -> dict[Layer, Any]:
    """Layers by name, by path or themselves, with those in them, and what a mapping has for each; None for all.

    ValueError for a name that no layer has.
    """
    paths = model.description.paths()
    if layers is None:
        return dict.fromkeys(paths)
    if isinstance(layers, (str, Layer)):
        layers = [layers]
    if not isinstance(layers, Iterable):
        raise TypeError(f"{what}: layers must be names or layers, got {shown(layers)}")
    members = dict(zip(model.description.names, model.description.members, strict=True))
    known = {path: layer for layer, path in paths.items()} | members
    found: dict[Layer, Any] = {}
    for each in layers:
        layer = known.get(each) if isinstance(each, str) else each
        inner = leaves_of(layer) if isinstance(layer, Layer) or layer in members.values() else []
        if not inner or any(leaf not in paths for leaf in inner):
            hint = _names.hint(each, known) if isinstance(each, str) else ""
            raise ValueError(
                f"{what}: model {model.name!r} has no layer {shown(each)}{hint}; it has {', '.join(map(repr, members))}"
            )
        found |= dict.fromkeys(inner, layers[each] if isinstance(layers, Mapping) else None)
    return found


def targets_of(what: str, model: Any, layers: Any, share: float, fixed: bool) -> list[Target]:
    """The weights to prune: kernels that learn, and of layers that are named all of two axes or more but biases.

    fixed: the share is a pattern's, for the last layer too. ValueError where there are none.
    """
    check_built(what, model)
    built = model.description
    paths, chosen, last = built.paths(), chosen_layers(what, model, layers), _last_layers(built.plan)
    found = []
    for layer in built.plan.parameters:
        if layer not in chosen or layer in built.frozen or not layer.trainable:
            continue
        own = chosen[layer]
        wanted = share if own is None else share_of(f"{what}: layers[{paths[layer]!r}]", own)
        if own is None and layer in last and not fixed:
            wanted = min(wanted, LAST)
        for number, parameter in enumerate(placed(layer).parameters):
            named = "bias" not in parameter.name if layers is not None else parameter.name.endswith("kernel")
            if parameter.trainable and len(parameter.shape) > 1 and named:
                found.append(Target(layer, number, f"{paths[layer]}/{parameter.name}", wanted))
    if not found:
        which = "" if layers is None else f" in {', '.join(map(called, chosen))}"
        raise ValueError(f"{what}: there is no kernel that learns{which} in model {model.name!r}; nothing to prune")
    return found


def _last_layers(plan: Any) -> set[Layer]:
    """The layers that the outputs come from, with nothing but ops without weights between."""
    found, ways = set(), list(plan.outputs)
    while ways:
        place = ways.pop()
        if place >= 0 and plan.ops[place].size:
            found.add(plan.layers[place])
        elif place >= 0:
            ways += plan.sources[place]
    return found


def kept(w: Array, share: float, group: tuple[int, int] | None = None) -> Array:
    """Which numbers of w stay, uint8 of its shape, where this share of them goes: those nearest to 0.

    Of equal ones the first go. group: of each group of inputs only so many stay, the largest, and no others go; what
    is left over where the inputs, the last axis but one, are no multiple of a group stays.
    """
    size = np.abs(w, dtype=np.float64)
    if group is not None:
        size = np.where(_largest(size, *group), np.inf, size)
    size = size.reshape(-1)
    count = min(round(share * size.size), int(np.isfinite(size).sum()))
    mask = np.ones(size.size, np.uint8)
    if count:
        limit = np.partition(size, count - 1)[count - 1]
        mask[size < limit] = 0
        ties = np.flatnonzero(size == limit)
        mask[ties[: count - int((mask == 0).sum())]] = 0
    return mask.reshape(w.shape)


def _largest(size: Array, stay: int, length: int) -> Array:
    """Which numbers are among the `stay` largest of their group of `length` inputs, the last of equal ones."""
    whole = size.shape[-2] // length * length
    found = np.ones(size.shape, bool)
    groups = size[..., :whole, :].reshape(*size.shape[:-2], whole // length, length, size.shape[-1])
    rank = groups.argsort(-2, kind="stable").argsort(-2, kind="stable")
    found[..., :whole, :] = (rank >= length - stay).reshape(*size.shape[:-2], whole, size.shape[-1])
    return found


def begin(targets: Iterable[Target]) -> list[Array]:
    """The masks of the weights, which the engine reads; all of them stay where there was none."""
    found = []
    for target in targets:
        masks, name = pruned(target.layer), target.parameter.name
        if name not in masks:
            set_pruned(target.layer, {**masks, name: np.ones(target.parameter.shape, np.uint8)})
        found.append(pruned(target.layer)[name])
    return found

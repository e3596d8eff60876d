"""Copies of models, plain or with other layers in the places of some, and more training for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn._table import gathering
from fastnn.layers import LAYERS, Layer
from fastnn.layers.base import leaves_of
from fastnn.layers.places import placed, pruned, set_pruned
from fastnn.layers.tensor import called, has_automatic_name, set_automatic_name
from fastnn.models import Model, Sequential, load_model
from fastnn.models.configs import cloned
from fastnn.models.description import note_alike
from fastnn.typing import Array

WITHIN = ("layer", "backward_layer")  # fields of a layer that are layers, which may be changed too

Pairs = dict[Layer, Layer]


def uncompiled(model: Any) -> Any:
    """A copy of a model without what ``compile`` made."""
    file = BytesIO()
    with gathering() as own:
        model.save(file)
    file.seek(0)
    return load_model(file, own, compile=False)


def alike(layer: Layer, changes: dict[Layer, dict[str, Any]]) -> Layer:
    """A layer of the same fields but for some, of its own and of those in it, which `changes` has; new weights."""
    with gathering() as own:
        config = LAYERS.config(layer) | layer.config()
        for name in WITHIN:
            inner = getattr(layer, name, None)
            if inner in changes:
                config[name] = config[name] | changes[inner]
        made: Layer = LAYERS.from_config(config | changes.get(layer, {}), own)
    set_automatic_name(made, has_automatic_name(layer))
    return made


def rebuilt(model: Any, change: Callable[[Layer], Sequence[Layer]]) -> tuple[Any, Pairs]:
    """A model of the layers that `change` gives for each, one after the other, and the layers that go together.

    Compiled as the model is, with a new optimizer. The weights are new. ValueError where it could not share weights as
    the model does.
    """
    made: dict[Any, list[Any]] = {}

    def of(member: Any) -> list[Any]:
        if member not in made:
            made[member] = list(change(member)) if isinstance(member, Layer) else [built(member)]
        return made[member]

    def built(model: Any) -> Any:
        one_by_one = model.description.kind == "sequential"
        return cloned(model, Model, _in_a_row, of, None, None if one_by_one else _called)

    copy = built(model)
    note_alike(copy.description, model.description)
    if not copy.built:
        copy.build()
    if model.compiled:
        optimizer, *others = model.description.compiled_with
        copy.compile(deepcopy(optimizer), *others, matmul_precision=model.description.matmul_precision)
    pairs: Pairs = {}
    for old, new in made.items():
        if isinstance(old, Layer) and len(new) == 1:
            for leaf, other in zip(leaves_of(old), leaves_of(new[0]), strict=True):
                if leaf in pairs:
                    raise ValueError(
                        f"layer {called(leaf)!r} is in {called(old)!r} and elsewhere in the model too, and would have "
                        "two kernels in a copy; give each place a layer of its own"
                    )
                pairs[leaf] = other
    return copy, pairs


def _in_a_row(members: Iterable[Any], name: str) -> Any:
    return Sequential([each for member in members for each in (member if isinstance(member, list) else [member])], name)


def _called(layers: list[Any], *args: Any, **kwargs: Any) -> Any:
    given = layers[0](*args, **kwargs)
    for layer in layers[1:]:
        given = layer(given)
    return given


def take_weights(model: Any, pairs: Pairs, part: Callable[[Layer, str, Array], Array] = lambda _, __, w: w) -> None:
    """Give new layers the weights, and masks, of those before. part: what a new one has of an old array."""
    with model.description.locked() as held:
        for old, new in pairs.items():
            if old.count_params() == 0:
                continue
            before, place = placed(old), placed(new)
            views = place.views(place.store.flat)
            names = [parameter.name for parameter in before.parameters]
            arrays = [part(old, *each) for each in zip(names, before.views(before.store.flat), strict=True)]
            held.assign(views, arrays)
            if pruned(old):
                set_pruned(new, {name: np.ascontiguousarray(part(old, name, m)) for name, m in pruned(old).items()})


def array_of(layer: Layer, name: str) -> Array:
    """A weight of a layer by its name, a view; the model's lock is held."""
    place = placed(layer)
    return place.views(place.store.flat)[[parameter.name for parameter in place.parameters].index(name)]


def fit_on(what: str, model: Any, data: Any, epochs: int, batch_size: int | None, verbose: Any) -> None:
    """Train on x and y, with weights perhaps, or a dataset. TypeError for what is none."""
    if isinstance(data, (tuple, list)):
        if len(data) not in (2, 3):
            raise ValueError(f"{what}: data must be (x, y) or (x, y, sample_weight), got {len(data)} parts")
        x, y, *weight = data
        model.fit(x, y, batch_size, epochs, verbose, sample_weight=weight[0] if weight else None)
    elif data is None or isinstance(data, (str, np.ndarray)):
        raise TypeError(f"{what}: data must be (x, y), (x, y, sample_weight) or a dataset, got {shown(data)}")
    else:
        model.fit(data, batch_size=batch_size, epochs=epochs, verbose=verbose)

"""Copies of models and layers: what ``pickle``, ``copy`` and ``joblib`` make of them.

A model goes as the bytes of its file, so that what is read is data; the user's own classes and functions go beside
them, by reference, as pickle has it. A layer goes by its fields and its weights.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from fastnn._table import gathering
from fastnn.layers import Layer
from fastnn.layers.places import locked, place_of
from fastnn.layers.tensor import Tensor
from fastnn.models import weights
from fastnn.models.built import KINDS, Built

MODELS_OWN = {"name", "description", "history", "stop_training", "stop_evaluating", "stop_predicting"}
MODELS_OWN |= {"_automatic", "_calls", "_numbers", "_registered", "_tensors"}
# What a layer knows of the models and graphs that it is in.
NOTES = {"_place", "_calls", "_variables", "_weighted", "_pruned"}


def _reduced(model: Any, protocol: Any) -> Any:
    """A model, for pickle: its class, the bytes of its file, and what the user has put on it."""
    from fastnn.store import model_file

    with gathering() as own, model.description.locked():
        data = model_file.packed(model)
    members = model.description.members
    places = {name: members.index(value) for name, value in _others(model).items() if _is_one(value, members)}
    others = {name: value for name, value in _others(model).items() if name not in places}
    return restored, (type(model), data, own, places), others or None


def restored(cls: type, data: bytes, own: dict[str, Any], places: dict[str, int]) -> Any:
    """The model of these bytes. own: the user's classes and functions, by the names that the bytes have for them."""
    from fastnn.store import model_file

    model = model_file.load(BytesIO(data), KINDS, own)
    if type(model) is not cls:
        model.__class__ = cls
    for name, place in places.items():
        vars(model)[name] = model.description.members[place]
    return model


def _others(model: Any) -> dict[str, Any]:
    """Attributes that are the user's own."""
    return {name: value for name, value in vars(model).items() if name not in MODELS_OWN}


def _is_one(value: Any, members: list[Any]) -> bool:
    return any(value is member for member in members)


def _state(layer: Layer) -> dict[str, Any]:
    """A layer's fields and attributes, and the weights that it has."""
    state = {name: value for name, value in vars(layer).items() if name not in NOTES}
    with locked([layer]):
        place = place_of(layer)
        if place is not None and place.parameters:
            arrays = [view.copy() for view in place.views(place.store.flat)]
            state["_weights"] = place.parameters, arrays
    return state


def _set_state(layer: Layer, state: dict[str, Any]) -> None:
    """Make a copy what `_state` says; its weights lie in a store of their own."""
    vars(layer).update({name: value for name, value in state.items() if name != "_weights"})
    if "_weights" in state:
        weights.hold(layer, *state["_weights"])


def _no_numbers(tensor: Tensor, protocol: Any) -> Any:
    raise TypeError(f"{tensor!r} stands for a value in a graph, and is not copied or pickled alone; copy its model")


Built.__reduce_ex__ = _reduced  # type: ignore[method-assign]
Layer.__getstate__ = _state  # type: ignore[assignment,method-assign]
Layer.__setstate__ = _set_state  # type: ignore[attr-defined]
Tensor.__reduce_ex__ = _no_numbers  # type: ignore[assignment,method-assign]

"""Models and units out and in: files, Keras's configurations, and the user's own classes by name."""

from __future__ import annotations

from os import PathLike
from typing import Any

from fastnn import _names
from fastnn.models import Model, load_model, save_model
from fastnn.object_registration import *
from fastnn.serialization import *

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]


def save_weights(model: Model, filepath: str | PathLike[str], overwrite: bool = True) -> None:
    """Write a model's weights alone to one file, as its method ``save_weights`` does."""
    model.save_weights(filepath, overwrite)


def load_weights(model: Model, filepath: str | PathLike[str], **arguments: Any) -> None:
    """Take a model's weights from a file, as its method ``load_weights`` does, with the same arguments."""
    model.load_weights(filepath, **arguments)


_names.offer(globals())

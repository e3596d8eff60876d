"""Models: a graph of layers, compiled into a network, with Keras's methods."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from fastnn.models.model import Model
from fastnn.models.sequential import Sequential

__all__ = ["Model", "Sequential", "load_model"]


def load_model(filepath: str | PathLike[str], custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that ``save`` wrote, compiled as it was. Runs no code from the file.

    custom_objects: name -> the Python function or class that the file names, where the model uses any of the user's
    own. FileNotFoundError; ValueError where the file is damaged, truncated or not a fastnn model, or names a function
    or class that custom_objects lacks.
    """
    from fastnn.store import model_file

    return model_file.load(filepath, custom_objects)

"""Keras's models that are in memory, taken over and made: by a file of Keras's own form between the two."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastnn._checks import shown
from fastnn.exchange import keras_file
from fastnn.models import Model, check_model


def from_keras(keras_model: Any, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A model of Keras 3, on any backend, as one of fastnn's: layers, weights, what it was compiled with.

    The optimizer's state goes over too, so that training goes on where it was. custom_objects: classes and functions of
    your own by their names, written with fastnn. TypeError for what is no built model of Keras; ValueError, naming it,
    for a layer, operation or dtype that fastnn has not.
    """
    keras = _keras("from_keras")
    if not isinstance(keras_model, keras.Model):
        raise TypeError(f"from_keras takes a model of Keras, got {shown(keras_model)}")
    if not keras_model.built:
        raise ValueError("from_keras: the model is not built; call it on rows first, so that it has weights")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, "model.keras")
        keras_model.save(path)
        return keras_file.load(path, custom_objects)


def to_keras(model: Model) -> Any:
    """A model of Keras 3 that predicts what this one does and goes on training where it is: the way to GPU and TPU.

    Keras computes with the backend that the environment's KERAS_BACKEND, "jax", "torch" or "tensorflow", has named
    before keras was first imported. TypeError for what is no model, RuntimeError before it is built; ValueError, naming
    it, for what Keras has not.
    """
    check_model("to_keras", model)
    keras = _keras("to_keras")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, "model.keras")
        model.save(path)
        try:
            return keras.saving.load_model(path)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"to_keras: Keras {keras.__version__} does not take the model: {str(error)[-500:]}"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Keras and its backend say of each other's versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _keras(call: str) -> Any:
    try:
        import keras
    except ImportError:
        raise ImportError(f"{call} needs Keras 3 and a backend: pip install keras jax") from None
    return keras

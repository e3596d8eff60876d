"""Models in MLflow: a flavour of its own and as pyfunc, by ``log_model``, ``load_model``, and a callback of a fit."""

from __future__ import annotations

from fastnn import _names
from fastnn.mlflow.callback import MlflowCallback
from fastnn.mlflow.flavor import (
    _load_pyfunc,  # noqa: F401 - which MLflow asks for by this package's name, as its files have that
    load_model,
    log_model,
    model_signature,
    resolve,
    save_model,
)

__all__ = ["MlflowCallback", "load_model", "log_model", "model_signature", "resolve", "save_model"]

_names.offer(globals())

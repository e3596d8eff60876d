"""Models in MLflow: a flavour of its own and as pyfunc, by ``log_model``, ``load_model``, and a callback of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.mlflow.callback import MlflowCallback
    from fastnn.mlflow.flavor import load_model, log_model, model_signature, resolve, save_model

# Imported when first asked for. MLflow itself asks for _load_pyfunc, by this package's name, which its files have.
_HOMES = {
    "MlflowCallback": "callback",
    "_load_pyfunc": "flavor",
    "load_model": "flavor",
    "log_model": "flavor",
    "model_signature": "flavor",
    "resolve": "flavor",
    "save_model": "flavor",
}
__all__ = ["MlflowCallback", "load_model", "log_model", "model_signature", "resolve", "save_model"]

__getattr__ = _names.later(__name__, _HOMES, __all__)
_names.offer(globals())

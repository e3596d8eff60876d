"""Optimizers: how a step turns the gradient into new weights.

Formulas, names and defaults are Keras 3's. Each is one kernel that passes once over the flat parameter vector;
``reference`` is the same step in float64 NumPy. `learning_rate` may be changed between epochs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnn.optimizers.adam import Adam, Adamax, AdamW, Nadam
from fastnn.optimizers.base import OPTIMIZERS, Optimizer
from fastnn.optimizers.lbfgs import LBFGS
from fastnn.optimizers.momentum import SGD, Lion, Rprop
from fastnn.optimizers.scaled import Adadelta, Adagrad, Ftrl, RMSprop

if TYPE_CHECKING:
    from fastnn.optimizers import schedules

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "get",
    "schedules",
]


def __getattr__(name: str) -> Any:
    """`schedules`, imported when first asked for: most programs never do, and it has as much in it as all else here."""
    if name == "schedules":
        return import_module("fastnn.optimizers.schedules")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get(identifier: Any) -> Optimizer:
    """An optimizer from its name (in any case), class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return OPTIMIZERS.from_config(identifier)
    if isinstance(identifier, str) and identifier.lower() in OPTIMIZERS.units:
        identifier = identifier.lower()
    return OPTIMIZERS.get(identifier)

"""Optimizers: how a step turns the gradient into new weights.

Formulas, names and defaults are Keras 3's. Each is one kernel that passes once over the flat parameter vector;
``reference`` is the same step in float64 NumPy. `learning_rate` may be changed between epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn._lazy import later
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


# Most programs never ask for schedules, which have as much in them as all else here.
__getattr__ = later(__name__, {"schedules": "schedules"})


def get(identifier: Any) -> Optimizer:
    """An optimizer from its name (in any case), class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return OPTIMIZERS.from_config(identifier)
    if isinstance(identifier, str) and identifier.lower() in OPTIMIZERS.units:
        identifier = identifier.lower()
    return OPTIMIZERS.get(identifier)

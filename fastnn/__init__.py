"""fastnn: small and middle-sized neural networks on ordinary CPUs, fast.

Keras's names: ``fastnn.models.Sequential``, ``fastnn.layers.Dense``, ``fastnn.optimizers.Adam``, ...
"""

from typing import TYPE_CHECKING

from fastnn import _threadpoolctl, kernels
from fastnn._lazy import later
from fastnn.config import show_config
from fastnn.kernels.team import get_num_threads, set_num_threads
from fastnn.random import set_random_seed

if TYPE_CHECKING:
    from fastnn import (
        activations,
        callbacks,
        constraints,
        data,
        initializers,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        plot,
        regularizers,
    )
    from fastnn.layers import Input
    from fastnn.models import Model, Sequential
    from fastnn.trainer import Trainer

__version__ = "0.1.0"

_threadpoolctl.watch()

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "Trainer",
    "activations",
    "callbacks",
    "constraints",
    "data",
    "get_num_threads",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plot",
    "regularizers",
    "set_num_threads",
    "set_random_seed",
    "show_config",
]

_HOMES = {"Input": "layers", "Model": "models", "Sequential": "models", "Trainer": "trainer"}
__getattr__ = later(__name__, {name: name for name in __all__} | _HOMES)

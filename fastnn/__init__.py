"""fastnn: small and middle-sized neural networks on ordinary CPUs, fast.

Keras's names: ``fastnn.models.Sequential``, ``fastnn.layers.Dense``, ``fastnn.optimizers.Adam``, ...
"""

from typing import TYPE_CHECKING

from fastnn import (
    _threadpoolctl,
    activations,
    callbacks,
    constraints,
    data,
    initializers,
    kernels,
    layers,
    losses,
    models,
    optimizers,
    regularizers,
)
from fastnn._lazy import later
from fastnn.config import show_config
from fastnn.kernels.team import get_num_threads, set_num_threads
from fastnn.layers import Input
from fastnn.models import Model, Sequential
from fastnn.random import set_random_seed
from fastnn.trainer import Trainer

if TYPE_CHECKING:
    from fastnn import metrics, plot

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

__getattr__ = later(__name__, {"metrics": "metrics", "plot": "plot"})

"""fastnn: small and middle-sized neural networks on ordinary CPUs, fast.

Keras's names: ``fastnn.models.Sequential``, ``fastnn.layers.Dense``, ``fastnn.optimizers.Adam``, ...
"""

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
    metrics,
    models,
    optimizers,
    regularizers,
)
from fastnn.config import show_config
from fastnn.kernels.team import get_num_threads, set_num_threads
from fastnn.layers import Input
from fastnn.models import Model, Sequential
from fastnn.random import set_random_seed
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
    "regularizers",
    "set_num_threads",
    "set_random_seed",
    "show_config",
]

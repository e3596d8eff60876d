"""fastnn: small and middle-sized neural networks on ordinary CPUs, fast.

Keras's names: ``fastnn.models.Sequential``, ``fastnn.layers.Dense``, ``fastnn.optimizers.Adam``, ...
"""

from typing import TYPE_CHECKING

from fastnn import (
    _names,
    _threadpoolctl,
    activations,
    constraints,
    data,
    initializers,
    kernels,
    layers,
    models,
    regularizers,
)
from fastnn._version import __version__ as __version__
from fastnn.config import show_config
from fastnn.kernels.team import get_num_threads, set_num_threads
from fastnn.layers import Input
from fastnn.models import Model, Sequential
from fastnn.random import set_random_seed

if TYPE_CHECKING:
    from fastnn import callbacks, losses, metrics, optimizers, plot
    from fastnn.training import Trainer

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

# What a model needs when it is compiled, and its pictures: `import fastnn` must stay short.
__getattr__ = _names.later(
    __name__,
    {
        "Trainer": "training",
        "callbacks": "callbacks",
        "losses": "losses",
        "metrics": "metrics",
        "optimizers": "optimizers",
        "plot": "plot",
    },
    __all__,
)
_names.offer(globals())

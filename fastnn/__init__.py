"""fastnn: small and middle-sized neural networks on ordinary CPUs, fast.

Keras's names: ``fastnn.models.Sequential``, ``fastnn.layers.Dense``, ``fastnn.optimizers.Adam``, ...
"""

from typing import TYPE_CHECKING

from fastnn import (
    _names,
    _threadpoolctl,
    activations,
    data,
    initializers,
    kernels,
    layers,
    models,
    random,
    regularizers,
)
from fastnn._version import __version__ as __version__
from fastnn.config import get_matmul_precision, set_matmul_precision, show_config
from fastnn.initializers import Initializer
from fastnn.kernels.team import get_num_threads, set_num_threads
from fastnn.layers import Input, Layer
from fastnn.layers.tensor import Tensor as KerasTensor  # noqa: F401 - for isinstance; Input makes one
from fastnn.models import Model, Sequential
from fastnn.random import set_random_seed
from fastnn.regularizers import Regularizer
from fastnn.variables import Variable

if TYPE_CHECKING:
    from fastnn import (
        applications,
        backend,
        callbacks,
        compress,
        config,
        constraints,
        dask,
        datasets,
        distributed,
        exchange,
        explain,
        hub,
        linear,
        losses,
        metrics,
        mlflow,
        model_selection,
        ops,
        optimizers,
        plot,
        preprocessing,
        ray,
        registry,
        report,
        saving,
        serve,
        uncertainty,
        utils,
        zoo,
    )
    from fastnn.losses import Loss
    from fastnn.metrics import Metric
    from fastnn.optimizers import Optimizer
    from fastnn.training import Trainer

_threadpoolctl.watch()
_names.know_old_modules()

__all__ = [
    "Initializer",
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Trainer",
    "Variable",
    "activations",
    "applications",
    "backend",
    "callbacks",
    "compress",
    "config",
    "constraints",
    "dask",
    "data",
    "datasets",
    "distributed",
    "exchange",
    "explain",
    "get_matmul_precision",
    "get_num_threads",
    "hub",
    "initializers",
    "kernels",
    "layers",
    "linear",
    "losses",
    "metrics",
    "mlflow",
    "model_selection",
    "models",
    "ops",
    "optimizers",
    "plot",
    "preprocessing",
    "random",
    "ray",
    "registry",
    "regularizers",
    "report",
    "saving",
    "serve",
    "set_matmul_precision",
    "set_num_threads",
    "set_random_seed",
    "show_config",
    "uncertainty",
    "utils",
    "zoo",
]

# What a model needs when it is compiled, pictures, data and helpers: `import fastnn` must stay short.
__getattr__ = _names.later(
    __name__,
    {
        "Loss": "losses",
        "Metric": "metrics",
        "Optimizer": "optimizers",
        "Trainer": "training",
        "applications": "applications",
        "backend": "backend",
        "callbacks": "callbacks",
        "compress": "compress",
        "config": "config",
        "constraints": "constraints",
        "dask": "dask",
        "datasets": "datasets",
        "distributed": "distributed",
        "exchange": "exchange",
        "explain": "explain",
        "hub": "hub",
        "linear": "linear",
        "losses": "losses",
        "metrics": "metrics",
        "mlflow": "mlflow",
        "model_selection": "model_selection",
        "ops": "ops",
        "optimizers": "optimizers",
        "plot": "plot",
        "preprocessing": "preprocessing",
        "ray": "ray",
        "registry": "registry",
        "report": "report",
        "saving": "saving",
        "serve": "serve",
        "sklearn": "sklearn",
        "spark": "spark",
        "uncertainty": "uncertainty",
        "utils": "utils",
        "wrappers": "wrappers",
        "zoo": "zoo",
    },
    __all__,
)
_names.offer(globals())

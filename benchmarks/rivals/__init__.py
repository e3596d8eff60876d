"""The contenders of `benchmarks.peers`, one module each, in the form that somebody who knows the library would write.

A module defines what its library can do:

    fit(case: Fit) -> Trainer                             trains; not there for a library that only predicts
    predictor(case: Predict, x) -> Callable[[], Array]    each call computes the outputs (rows, units), a NumPy array;
                                                          not there for a form that has another's

Both may raise `Unable`. All use float32, Keras's Adam (epsilon 1e-7 outside the root), the initial weights and the
data of the case, and shuffle anew before each epoch, by a seed: the order of few rows can move the loss of a short fit
further than a fault would. This module imports none of the libraries.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import NamedTuple

from benchmarks.networks import Network


class Unable(Exception):
    """Why a library cannot do this case."""


def sizes_of(network: Network) -> tuple[int, ...]:
    """Inputs, and units of each layer; for what is written for perceptrons alone."""
    if not network.sizes:
        raise Unable("it has dense layers alone")
    return network.sizes


class Trainer(NamedTuple):
    """`reset` brings back the initial weights and Adam's; `run(shuffle)` trains, and gives the last epoch's loss."""

    reset: Callable[[], object]
    run: Callable[[bool], float]


@dataclass(frozen=True)
class Rival:
    title: str
    module: str
    libraries: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    tolerance: float = (
        1e-3  # relative: how far the loss of rows in order may be from fastnn's, and outputs from NumPy's
    )

    def missing(self) -> list[str]:
        return [name for name in self.libraries if find_spec(name) is None]


RIVALS = {
    "fastnn": Rival("fastnn", "fastnn_model", ("fastnn",)),
    "numpy": Rival("NumPy, careful", "numpy_careful", ("numpy",)),
    "tape": Rival("NumPy, tape", "numpy_taped", ("numpy",)),
    "jax": Rival("JAX, scan", "jax_scan", ("jax",)),
    "jax-step": Rival("JAX, step", "jax_step", ("jax",)),
    "torch": Rival("PyTorch, eager", "torch_eager", ("torch",), tolerance=5e-3),
    "torch-last": Rival("PyTorch, channels last", "torch_channels_last", ("torch",), tolerance=5e-3),
    "torch-compile": Rival("PyTorch, compiled", "torch_compiled", ("torch",)),
    "keras-jax": Rival("Keras on JAX", "keras_fit", ("keras", "jax"), {"KERAS_BACKEND": "jax"}),
    "keras-tensorflow": Rival(
        "Keras on TensorFlow", "keras_fit", ("keras", "tensorflow"), {"KERAS_BACKEND": "tensorflow"}
    ),
    "sklearn": Rival("scikit-learn", "sklearn_mlp", ("sklearn",)),
    "thinc": Rival("thinc", "thinc_model", ("thinc",)),
    "onnxruntime": Rival("ONNX Runtime", "onnx_session", ("onnx", "onnxruntime")),
}

"""What the engine is tested on: configurations of every unit, and data that goes with each loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import activations, losses, optimizers

ACTIVATIONS = [
    *(cls() for _, cls in activations.ACTIVATIONS),
    activations.LeakyReLU(negative_slope=-0.3),
    activations.ELU(alpha=0.5),
    activations.GELU(approximate=True),
]
OPTIMIZERS = [
    *(cls() for _, cls in optimizers.OPTIMIZERS),
    optimizers.SGD(0.05, momentum=0.9),
    optimizers.SGD(0.05, momentum=0.8, nesterov=True),
    optimizers.RMSprop(momentum=0.5, rho=0.8),
    optimizers.RMSprop(centered=True, epsilon=1e-5),
    optimizers.RMSprop(momentum=0.5, centered=True, epsilon=1e-5),
    optimizers.Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-5, amsgrad=True),
    optimizers.AdamW(0.01, weight_decay=0.2, amsgrad=True),
]
# A loss with the activation that the output goes through: its own where it has one, and others.
LOSSES = [
    *((cls(), next(iter(cls.fused), "linear")) for _, cls in losses.LOSSES),
    (losses.MeanSquaredError(), "tanh"),
    (losses.Huber(delta=0.3), "softplus"),
    (losses.BinaryCrossentropy(label_smoothing=0.2), "sigmoid"),
    (losses.BinaryCrossentropy(), "softmax"),
    (losses.BinaryCrossentropy(from_logits=True), "linear"),
    (losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), "tanh"),
    (losses.CategoricalCrossentropy(label_smoothing=0.2), "softmax"),
    (losses.CategoricalCrossentropy(label_smoothing=0.1), "sigmoid"),
    (losses.CategoricalCrossentropy(from_logits=True), "linear"),
    (losses.SparseCategoricalCrossentropy(), "softplus"),
    (losses.SparseCategoricalCrossentropy(from_logits=True), "linear"),
]


def ident(value: Any) -> str:
    """A short name for a parametrised test."""
    if isinstance(value, tuple):
        return "-".join(ident(part) for part in value)
    return repr(value).replace(" ", "") if hasattr(value, "table_name") else str(value)


def data(loss: Any, rows: int, inputs: int, units: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and targets that `loss` takes for `units` outputs."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, inputs)).astype(np.float32)
    if loss.kernel.labels:
        y = rng.integers(0, units, (rows, 1))
    elif isinstance(loss, losses.CategoricalCrossentropy):
        y = np.eye(units)[rng.integers(0, units, rows)]
    elif isinstance(loss, losses.BinaryCrossentropy):
        y = rng.integers(0, 2, (rows, units))
    else:
        y = rng.standard_normal((rows, units))
    return x, y.astype(np.float32)

"""What the engine is tested on: configurations of every unit, and data that goes with each loss."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn
from fastnn import activations, losses, optimizers
from fastnn.layers import Dense
from fastnn.models import Sequential
from support.units import OUTPUT_OF, targets_for, units


def rowwise(loss: Any) -> bool:
    """Whether a loss takes rows one by one, with a target for each output or one for each row."""
    return not (loss.kernel.whole or loss.kernel.pairs)


# Not elu with a negative alpha: it folds, and near the fold a gradient of 1e-8 decides the sign of RMSprop's step.
ACTIVATIONS = [unit for unit in units(activations.ACTIVATIONS) if unit != activations.ELU(-2.0)]
OPTIMIZERS = [each for each in units(optimizers.OPTIMIZERS) if not (each.full_batch or each.row_clipping[0])]
# A loss with the activation that the output goes through: its own where it has one, and others. Every loss that takes
# rows one by one and any number of outputs.
LOSSES = [
    *((cls(), OUTPUT_OF.get(name, "linear")) for name, cls in losses.LOSSES if rowwise(cls)),
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


def data(loss: Any, rows: int, inputs: int, outputs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and targets that `loss` takes for `outputs` outputs."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, inputs)).astype(np.float32)
    if loss.kernel.labels:
        y = rng.integers(0, outputs, (rows, 1))
    elif isinstance(loss, losses.CategoricalCrossentropy):
        y = np.eye(outputs)[rng.integers(0, outputs, rows)]
    elif isinstance(loss, losses.BinaryCrossentropy):
        y = rng.integers(0, 2, (rows, outputs))
    else:
        y = targets_for(loss, rows, outputs, rng)
    return x, y.astype(np.float32)


def model_of(*sizes: int, optimizer: object = "sgd", loss: object = "mse", after: str | None = None) -> Sequential:
    """A compiled network of these sizes, gelu inside, the same each time."""
    fastnn.set_random_seed(3)
    hidden = [Dense(n, "gelu", input_dim=sizes[0] if i == 0 else None) for i, n in enumerate(sizes[1:-1])]
    last = Dense(sizes[-1], after, kernel_regularizer="l2", input_dim=None if hidden else sizes[0])
    model = Sequential([*hidden, last])
    model.compile(optimizer, loss)
    return model

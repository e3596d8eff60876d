"""A small model with dropout, rows for it, and its weights to the bit."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential


def rows(n: int = 40, inputs: int = 5, units: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, inputs)).astype(np.float32)
    return x, rng.standard_normal((n, units)).astype(np.float32)


def model_of(optimizer: object = "adam", loss: object = "mse", metrics: object = None, dropout: float = 0.3):
    fastnn.set_random_seed(2)
    model = Sequential([Dense(9, "tanh", input_dim=5), Dropout(dropout), Dense(2)])
    model.compile(optimizer, loss, metrics=metrics)
    return model


def random_model(units: int = 1, last: str | None = None, seed: int = 1) -> Sequential:
    """Of two inputs, with weights that do not hang on fastnn's own generator."""
    model = Sequential([Input((2,)), Dense(5, "tanh"), Dense(units, last)])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=array.shape) for array in model.get_weights()])
    return model


def bits(model: Sequential) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]

"""Differentially private steps: rows clipped as a loop over rows clips them, noise as it is said, and what is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.models import Model, Sequential, load_model
from fastnn.optimizers import DPSGD, SGD, dp_epsilon

RNG = np.random.default_rng(0)
ROWS = 40


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=(ROWS, *shape)).astype("f4")


def ids(*shape: int) -> np.ndarray:
    return RNG.integers(0, 7, (ROWS, *shape))


def branches() -> Model:
    x = L.Input((6,))
    return Model(x, L.Concatenate()([L.Dense(5, "tanh")(x), L.Dropout(0.0)(L.Dense(3)(x))]))


def attention() -> Model:
    x = L.Input((5, 4))
    return Model(x, L.Dense(2)(L.Flatten()(L.LayerNormalization()(L.MultiHeadAttention(2, 3)(x, x)))))


NETS: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "dense": (lambda: Sequential([L.Dense(8, "relu", input_shape=(6,)), L.Dense(3, use_bias=False)]), numbers(6)),
    "lines": (
        lambda: Sequential([L.Dense(4, "tanh", input_shape=(5, 3)), L.Flatten(), L.Dense(2)]),
        numbers(5, 3),
    ),
    "lines without bias": (
        lambda: Sequential([L.Dense(4, use_bias=False, input_shape=(5, 3)), L.GlobalAveragePooling1D(), L.Dense(2)]),
        numbers(5, 3),
    ),
    "slices": (
        lambda: Sequential([L.Input((3, 4)), L.TimeDistributed(L.Dense(2, "elu")), L.Flatten(), L.Dense(1)]),
        numbers(3, 4),
    ),
    "embedding": (
        lambda: Sequential([L.Input((6,)), L.Embedding(7, 3), L.Flatten(), L.Dense(2, "tanh"), L.Dense(1)]),
        ids(6),
    ),
    "embedding in slices": (
        lambda: Sequential([L.Input((4, 3)), L.TimeDistributed(L.Embedding(7, 2)), L.Flatten(), L.Dense(2)]),
        ids(4, 3),
    ),
    "normalised": (
        lambda: Sequential([L.Input((4, 5)), L.LayerNormalization(), L.Flatten(), L.Dense(2)]),
        numbers(4, 5),
    ),
    "normalised without scale": (
        lambda: Sequential([L.Input((4, 5)), L.LayerNormalization(scale=False), L.Flatten(), L.Dense(2)]),
        numbers(4, 5),
    ),
    "root mean square": (
        lambda: Sequential([L.Input((4, 5)), L.RMSNormalization(), L.Flatten(), L.Dense(2)]),
        numbers(4, 5),
    ),
    "einsum": (
        lambda: Sequential([L.Input((4, 3)), L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"), L.Flatten(), L.Dense(2)]),
        numbers(4, 3),
    ),
    "branches": (branches, numbers(6)),
    "attention": (attention, numbers(5, 4)),
    "penalties": (
        lambda: Sequential([L.Dense(4, "tanh", kernel_regularizer="l2", input_shape=(6,)), L.Dense(2)]),
        numbers(6),
    ),
    "frozen": (
        lambda: Sequential([L.Dense(4, "tanh", trainable=False, input_shape=(6,)), L.BatchNormalization(trainable=False), L.Dense(2)]),
        numbers(6),
    ),
}


def made(name: str, optimizer: Any, seed: int = 3) -> tuple[Any, np.ndarray, np.ndarray]:
    fastnn.set_random_seed(seed)
    make, x = NETS[name]
    model = make()
    model.compile(optimizer, "mse")
    y = np.random.default_rng(1).normal(size=(ROWS, model.output_shape[-1])).astype("f4")
    return model, x, y


def gradient(model: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """The gradient of some rows' mean loss, penalties included, by all weights that learn."""
    network = model.description.trainer.configured()
    network.gradient(x.reshape(len(x), -1).astype("f4"), y, weight)
    return np.concatenate(
        [network.gradients[v.start : v.start + v.rows * v.columns].astype(float) for v in model.description.variables()]
    )


def weights(model: Any) -> np.ndarray:
    flat = model.description.network.parameters
    return np.concatenate([flat[v.start : v.start + v.rows * v.columns] for v in model.description.variables()])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_rows_are_clipped_as_a_loop_over_rows_clips_them(name: str, weighted: bool) -> None:
    plain, x, y = made(name, SGD(0.0))
    weight = np.linspace(0, 3, ROWS).astype("f4") if weighted else None
    plain.fit(x[:1], y[:1], verbose=0)
    penalty = gradient(plain, x, y, np.zeros(ROWS, "f4"))  # of no row
    rows = [
        gradient(plain, x[i : i + 1], y[i : i + 1], None if weight is None else weight[i : i + 1]) - penalty
        for i in range(ROWS)
    ]
    norms = np.array([np.linalg.norm(row) for row in rows])
    clip = float(np.median(norms))
    expected = sum(row * min(1, clip / max(norm, 1e-30)) for row, norm in zip(rows, norms, strict=True)) / ROWS + penalty
    model, _, _ = made(name, DPSGD(0.5, noise=0, clip=clip))
    model.predict(x[:1])
    before = weights(model)
    np.testing.assert_array_equal(before, weights(plain))
    model.fit(x, y, batch_size=ROWS, sample_weight=weight, shuffle=False, verbose=0)
    np.testing.assert_allclose((before - weights(model).astype(float)) / 0.5, expected, rtol=2e-4, atol=2e-6 * clip)

"""Penalties on weights that are divided by the rows of each batch, or by their weights, as the loss is."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, regularizers


def made(rows: float, l2: float) -> tuple[fastnn.Sequential, object]:
    penalty = regularizers.L2(l2)
    dense = layers.Dense(1, use_bias=False, kernel_initializer="ones", kernel_regularizer=penalty)
    model = fastnn.Sequential([layers.Input((2,)), dense])
    model.compile(fastnn.optimizers.SGD(0.1), losses.MeanSquaredError(reduction="mean_with_sample_weight"))
    network = model.description.trainer.configured()
    network.penalty_rows = rows
    return model, network


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 4, 2.5])
def test_beside_numpy(rows: float, weighted: bool) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(10, 2)).astype(np.float32)
    y = rng.normal(size=(10, 1)).astype(np.float32)
    weight = rng.uniform(0.5, 2, 10).astype(np.float32) if weighted else None
    model, network = made(rows, 0.3)
    _, loss, well = network.fit_epoch(x, y, weight, None, 4, 0.1)
    assert well
    w, expected = np.ones((2, 1)), 0.0
    for start in (0, 4, 8):
        batch = slice(start, min(start + 4, 10))
        own = np.ones(len(x[batch])) if weight is None else weight[batch].astype(float)
        error = x[batch] @ w - y[batch]
        share = rows / own.sum() if rows else 1.0
        expected += len(own) * ((own[:, None] * error**2).sum() / own.sum() + share * 0.3 * (w**2).sum())
        slope = 2 * x[batch].T @ (own[:, None] * error) / own.sum() + share * 0.6 * w
        w = w - 0.1 * slope
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=2e-6)
    np.testing.assert_allclose(loss, expected, rtol=2e-6)


def test_new_variables_leave_it() -> None:
    model, network = made(4, 0.3)
    model.compile("sgd", "mse")
    network = model.description.trainer.configured()
    assert network.penalty_rows == 4
    assert made(0, 0.3)[1].penalty_rows == 0


def test_bits_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 64)).astype(np.float32)
    y = rng.normal(size=(4000, 1)).astype(np.float32)
    weight = rng.uniform(0.5, 2, 4000).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        before = fastnn.get_num_threads()
        fastnn.set_num_threads(threads)
        try:
            fastnn.set_random_seed(3)
            hidden = layers.Dense(128, "relu", kernel_regularizer="l2")
            model = fastnn.Sequential([layers.Input((64,)), hidden, layers.Dense(1)])
            model.compile("adam", losses.MeanSquaredError(reduction="mean_with_sample_weight"))
            network = model.description.trainer.configured()
            network.penalty_rows = 256
            network.fit_epoch(x, y, weight, None, 256, 0.01)
            found.append(model.get_weights())
        finally:
            fastnn.set_num_threads(before)
    for other in found[1:]:
        assert all((a == b).all() for a, b in zip(found[0], other, strict=True))

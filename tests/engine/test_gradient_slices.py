"""The gradient of many heavy rows is the mean of slices': the same, in less memory, with any number of threads."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.data import ArraySource
from fastnn.layers import BatchNormalization, Dense, Dropout, Input
from fastnn.models import Sequential

ROWS, UNITS = 3500, 4096  # three slices of 1,024 rows, and a rest
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((ROWS, 4), np.float32), RNG.standard_normal((ROWS, 1), np.float32)
WEIGHT = RNG.uniform(0, 2, ROWS).astype("f4")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def network_of(*layers: Any, loss: Any = "mse", metrics: Any = ("mae",)) -> Any:
    fastnn.set_random_seed(1)
    model = Sequential([Input((4,)), Dense(UNITS, "tanh", kernel_regularizer="l2"), *layers, Dense(1)])
    model.compile("sgd", loss, metrics=list(metrics))
    return model.description.trainer.ready(ArraySource(X, Y))


def memory_of(network: Any) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        network.gradient(X, Y)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_value_gradient_and_metrics_beside_numpy() -> None:
    network = network_of()
    value = network.gradient(X, Y, WEIGHT)
    W, b, v, c = (each.astype(float) for each in np.split(network.parameters, np.cumsum([4 * UNITS, UNITS, UNITS]))[:4])
    W, c = W.reshape(4, UNITS), c[:1]
    a = np.tanh(X @ W + b)
    error = a @ v + c - Y[:, 0]
    assert value == pytest.approx((WEIGHT * error**2).mean() + 0.01 * (W**2).sum(), rel=1e-6)
    d = 2 * WEIGHT * error / ROWS
    d_z = d[:, None] * v * (1 - a**2)
    wanted = [X.T @ d_z + 0.02 * W, d_z.sum(axis=0), a.T @ d, d.sum()]
    found = network.gradients[: 6 * UNITS + 1]
    np.testing.assert_allclose(found, np.concatenate([np.ravel(each) for each in wanted]), rtol=2e-4, atol=2e-6)
    assert network.states[0] == pytest.approx([np.abs(error).sum(), ROWS], rel=1e-6)


def test_memory() -> None:
    assert memory_of(network_of()) < 0.6 * ROWS * UNITS * 2 * 4  # of all rows' activations and their gradients


def test_threads() -> None:
    found = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        network = network_of(Dropout(0.5))
        found.append((network.gradient(X, Y, WEIGHT), network.gradients.tobytes()))
    assert found[0] == found[1] == found[2]


def test_slices_have_noise_of_their_own() -> None:
    """Rows that are the same in every slice have other gradients in each: their mean wavers less."""
    network = network_of(Dropout(0.5))
    x, y = np.tile(X[:1], (2048, 1)), np.tile(Y[:1], (2048, 1))
    both = network.gradient(x, y, noise=7)
    assert both != network.gradient(x[:1024], y[:1024], noise=7)
    assert both == network.gradient(x, y, noise=7)


@pytest.mark.parametrize(
    "network",
    [
        lambda: network_of(BatchNormalization()),
        lambda: network_of(loss=losses.MeanSquaredError(reduction="sum")),
        lambda: network_of(loss=losses.MeanSquaredError(reduction="mean_with_sample_weight")),
    ],
    ids=["batch normalization", "sum", "mean by weights"],
)
def test_rows_that_see_one_another_stay_together(network: Any) -> None:
    net = network()
    together = net.gradient(X, Y, WEIGHT)
    assert together == pytest.approx(net.gradient(X[::-1].copy(), Y[::-1].copy(), WEIGHT[::-1].copy()), rel=1e-5)
    assert memory_of(network()) > ROWS * UNITS * 2 * 4


@pytest.mark.parametrize("row", [0, 1500, ROWS - 1])
def test_a_row_that_is_not_finite(row: int) -> None:
    network = network_of()
    x = X.copy()
    x[row, 2] = np.inf
    with pytest.raises(FloatingPointError, match="the loss or its gradient is not finite"):
        network.gradient(x, Y)


def test_lbfgs_fits_many_heavy_rows() -> None:
    fastnn.set_random_seed(1)
    model = Sequential([Input((4,)), Dense(UNITS, "tanh"), Dense(1)])
    model.compile("lbfgs", "mse")
    y = X @ np.array([[1.0], [-2.0], [0.5], [0.0]], np.float32)
    history = model.fit(X, y, epochs=15, batch_size=ROWS, verbose=0)
    assert history.history["loss"][-1] < 0.02 * history.history["loss"][0]

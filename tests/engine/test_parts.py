"""A batch whose activations are many goes by parts: the same step, of bits that do not depend on threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.data import ArraySource
from fastnn.layers import BatchNormalization, Dense, Dropout, Flatten, Input, LayerNormalization
from fastnn.models import Sequential

ROWS = 46  # in batches of 20, which are parts of 4; the last batch is 4 and 2
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((ROWS, 64, 4), np.float32), RNG.standard_normal((ROWS, 1), np.float32)
WEIGHT = RNG.uniform(0, 2, ROWS).astype("f4")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def network_of(*layers: Any, loss: Any = "mse", penalty: Any = "l2") -> Any:
    """About 2 MB of activations and gradients for a row."""
    fastnn.set_random_seed(1)
    wide = Dense(1024, "tanh", kernel_regularizer=penalty)
    model = Sequential([Input((64, 4)), wide, *layers, LayerNormalization(), Dense(4), Flatten(), Dense(1)])
    model.compile(fastnn.optimizers.SGD(0.01), loss, metrics=["mae"])
    return model.description.trainer.ready(ArraySource(X, Y))


def fitted(network: Any, rate: float = 1e-4, rows: int = ROWS, x: Any = X, epochs: int = 3) -> tuple[Any, ...]:
    order = np.random.default_rng(5).permutation(rows).astype(np.uint32)
    for _ in range(epochs):
        answer = network.fit_epoch(x.reshape(ROWS, -1), Y, WEIGHT, order, 20, rate)
    return answer


def bits(network: Any) -> tuple[bytes, ...]:
    return network.parameters.tobytes(), *(state.tobytes() for state in network.states)


def test_as_a_batch_in_one_go() -> None:
    """A loss that is a sum has all of its batch at once; a step of it is as many times as large."""
    parts, whole = network_of(penalty=None), network_of(loss=losses.MeanSquaredError(reduction="sum"), penalty=None)
    assert parts.part_rows == 4
    fitted(parts, 1e-4, rows=40)
    fitted(whole, 1e-4 / 20, rows=40)
    np.testing.assert_allclose(parts.parameters, whole.parameters, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.states[0], whole.states[0], rtol=1e-6)


@pytest.mark.parametrize("layers", [(), (Dropout(0.5),), (Dropout(0.5, seed=3),)], ids=["plain", "dropout", "seeded"])
def test_threads(layers: tuple[Any, ...]) -> None:
    found = []
    for threads in (1, 2, 3, 8):
        fastnn.set_num_threads(threads)
        network = network_of(*layers)
        answer = fitted(network)
        found.append((answer, bits(network)))
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("row", [2, 11, 19])
def test_a_refused_batch_changes_nothing(row: int) -> None:
    """Whichever part the row is in that is no number: neither weights nor metrics have seen the parts before."""
    network = network_of()
    order = np.arange(40, dtype=np.uint32)
    network.fit_epoch(X.reshape(ROWS, -1), Y, None, order, 20, 1e-4, stop=20)
    before = bits(network)
    x = X.copy()
    x[20 + row, 3, 2] = np.nan
    other = network_of()
    at, _, well = other.fit_epoch(x.reshape(ROWS, -1), Y, None, order, 20, 1e-4)
    assert (at, well) == (20, False)
    assert bits(other) == before
    assert other.iterations == 1


@pytest.mark.parametrize("seed", [None, 3])
def test_parts_have_noise_of_their_own(seed: int | None) -> None:
    """Rows that are the same in every part have other gradients in each: their mean wavers less."""
    network = network_of(Dropout(0.5, seed=seed), penalty=None)
    x, y = np.tile(X[:1].reshape(1, -1), (16, 1)), np.tile(Y[:1], (16, 1))
    network.gradient(x, y, noise=7)
    both = network.gradients.copy()
    network.gradient(x[:8], y[:8], noise=7)
    assert np.abs(both - network.gradients).max() > 1e-4 * np.abs(both).max()


def test_rows_that_see_one_another_go_at_once() -> None:
    """The moments of a batch are those of all of its rows."""
    network = network_of(BatchNormalization())
    assert network.part_rows == 0
    fitted(network, rows=20, epochs=1)
    moving = op_moving(network)
    h = np.tanh(X[np.random.default_rng(5).permutation(20)].reshape(-1, 4).astype(float) @ first_kernel())
    np.testing.assert_allclose(moving, 0.01 * h.mean(axis=0), rtol=1e-3, atol=1e-5)


def op_moving(network: Any) -> Any:
    op = next(op for op in network.ops if type(op).__name__ == "BatchNormalizationOp")
    return network.parameters[op.start + 2 * 1024 : op.start + 3 * 1024]


def first_kernel() -> Any:
    network = network_of(BatchNormalization())
    op = network.ops[0]
    return network.parameters[op.start : op.start + 4096].reshape(4, 1024).astype(float)

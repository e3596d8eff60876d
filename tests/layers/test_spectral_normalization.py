"""SpectralNormalization: its vectors, its slopes with them as they are, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense, Embedding, Input, ReLU, SpectralNormalization
from fastnn.models import Model, Sequential, load_model
from support.small import bits

X = np.random.default_rng(0).normal(size=(37, 4, 6)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(37, 4, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def made(iterations: int = 1, units: int = 5, **fields: Any) -> tuple[Model, Any]:
    first, layer = Input((4, 6)), SpectralNormalization(Dense(units, "tanh", **fields), iterations)
    model = Model(first, layer(first))
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    return model, layer


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_step(iterations: int) -> None:
    model, layer = made(iterations)
    kernel, bias, u = (w.astype(float) for w in model.get_weights())
    u, v = layer.vectors(kernel, u)

    def loss(k: np.ndarray) -> float:
        return float(((layer.reference(X.astype(float), k, bias, known=(u, v)) - Y) ** 2).mean())

    np.testing.assert_allclose(model.train_on_batch(X, Y), loss(kernel), rtol=1e-6)
    found, _, kept = model.get_weights()
    np.testing.assert_allclose(kept[0], u, rtol=1e-5, atol=1e-7)
    for place in np.ndindex(*kernel.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = kernel.copy()
            moved[place] += step
            sides.append(loss(moved))
        np.testing.assert_allclose(kernel[place] - found[place], (sides[0] - sides[1]) / 2e-6, rtol=1e-4, atol=2e-7)


def test_the_largest_singular_value_becomes_1() -> None:
    model, _ = made()
    model.compile(fastnn.optimizers.SGD(0.0), "mse")
    model.fit(X, Y, epochs=60, verbose=0)
    kernel, bias, _ = model.get_weights()
    unit = kernel / np.linalg.svd(kernel)[1][0]
    np.testing.assert_allclose(model.predict(X), np.tanh(X @ unit + bias), rtol=1e-5, atol=1e-6)
    assert bits(model)[0] == kernel.tobytes()


def test_a_kernel_of_0() -> None:
    model, _ = made(kernel_initializer="zeros")
    kernel, bias, u = model.get_weights()
    model.set_weights([kernel * 0, bias, u])
    np.testing.assert_allclose(model.predict(X), np.broadcast_to(np.tanh(bias), Y.shape), rtol=1e-6)
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.get_weights()[2], u)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_the_same_bits_for_any_number_of_threads(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(size=(700, 40)).astype(np.float32)
    ends = []
    for threads in (1, 2, 3, 4):
        fastnn.set_num_threads(threads)
        fastnn.set_random_seed(5)
        model = Sequential([Input((40,)), SpectralNormalization(Dense(200, "relu"), 2), Dense(100, "tanh"), Dense(2)])
        model.compile("adam", "mse")
        model.fit(x, x[:, :2], epochs=3, batch_size=171, verbose=0)
        ends.append((bits(model), model.evaluate(x, x[:, :2], verbose=0), model.predict(x).tobytes()))
    assert all(end == ends[0] for end in ends)
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").predict(x).tobytes() == ends[0][2]


def test_what_it_takes() -> None:
    for layer in (ReLU(), Embedding(3, 2)):
        with pytest.raises(ValueError, match=r"takes a Dense layer, whose kernel it divides, got an? (ReLU|Embedding)"):
            SpectralNormalization(layer)(Input((4,)))
    with pytest.raises(ValueError, match="power_iterations must be at least 1, got 0"):
        SpectralNormalization(Dense(2), 0)
    with pytest.raises(TypeError, match="layer must be a layer, got 'dense'"):
        SpectralNormalization("dense")
    assert SpectralNormalization(Dense(2, activity_regularizer="l2")).activity_regularizer is not None

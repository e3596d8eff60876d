"""Noise in a model: only in training, the same from the same seed, whatever threads or epochs do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import AlphaDropout, Dense, GaussianDropout, GaussianNoise, Input
from fastnn.models import Sequential

MAKERS: dict[str, Any] = {
    "noise": lambda **kw: GaussianNoise(0.5, **kw),
    "dropout": lambda **kw: GaussianDropout(0.4, **kw),
    "alpha": lambda **kw: AlphaDropout(0.4, **kw),
}
EACH = pytest.mark.parametrize("name", MAKERS)
X = np.random.default_rng(0).normal(size=(1200, 40)).astype(np.float32)


def trained(layer: Any, seed: int = 0, threads: int = 1, epochs: int = 2) -> list[bytes]:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    fastnn.set_random_seed(seed)
    model = Sequential([Input((40,)), Dense(90), layer, Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], batch_size=256, epochs=epochs, shuffle=False, verbose=0)
    fastnn.set_num_threads(before)
    return [w.tobytes() for w in model.get_weights()]


@EACH
def test_only_training_has_noise(name: str) -> None:
    model = Sequential([Input((40,)), MAKERS[name]()])
    np.testing.assert_array_equal(model.predict(X), X)
    model.compile("sgd", "mse")
    assert model.evaluate(X, X, verbose=0) == 0


@EACH
def test_same_seed_same_noise_for_any_number_of_threads(name: str) -> None:
    assert trained(MAKERS[name](), 1) == trained(MAKERS[name](), 1, threads=2) == trained(MAKERS[name](), 1, threads=4)
    assert trained(MAKERS[name](), 1) != trained(MAKERS[name](), 2)


@EACH
def test_noise_differs_from_step_to_step(name: str) -> None:
    layer = MAKERS[name]()
    model = Sequential([Input((40,)), layer])
    model.compile("sgd", "mse")
    y = np.zeros_like(X)
    assert model.train_on_batch(X, y) != model.train_on_batch(X, y)


@EACH
def test_seed_of_the_layer(name: str) -> None:
    """With a seed of its own the noise does not depend on the model's."""
    losses = []
    for seed, own in ((1, 7), (2, 7), (1, 8)):
        fastnn.set_random_seed(seed)
        model = Sequential([Input((40,)), MAKERS[name](seed=own)])
        model.compile("sgd", "mse")
        losses.append(model.train_on_batch(X, X))
    assert losses[0] == losses[1] != losses[2]


def test_gaussian_noise_has_its_deviation() -> None:
    model = Sequential([Input((40,)), GaussianNoise(0.5)])
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, X) == pytest.approx(0.25, rel=0.03)


def test_no_noise_is_the_identity() -> None:
    for layer in (GaussianNoise(0.0), GaussianDropout(0.0), AlphaDropout(0.0)):
        model = Sequential([Input((40,)), layer])
        model.compile("sgd", "mse")
        assert model.train_on_batch(X, X) == pytest.approx(0, abs=1e-12)


def test_what_they_refuse() -> None:
    with pytest.raises(ValueError, match="stddev must be at least 0, got -1"):
        GaussianNoise(-1)
    for layer in (GaussianDropout, AlphaDropout):
        with pytest.raises(ValueError, match="rate must be at least 0 and below 1, got 1"):
            layer(1)
    with pytest.raises(TypeError, match="seed must be a whole number or None"):
        GaussianNoise(1, seed="a")
    with pytest.raises(ValueError, match="seed must be at least 0"):
        GaussianNoise(1, seed=-1)

"""Noise in a model: only in training, the same from the same seed, whatever threads or epochs do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import (
    AlphaDropout,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Input,
    Layer,
    PReLU,
    Reshape,
    SpatialDropout2D,
    TimeDistributed,
)
from fastnn.layers.noise import SELU_LIMIT
from fastnn.models import Sequential, load_model
from support.layers import OF_COLUMNS, RANDOM as MAKERS

EACH = pytest.mark.parametrize("name", MAKERS)
X = np.random.default_rng(0).normal(size=(1200, 40)).astype(np.float32)


def trained(layer: Any, seed: int = 0, threads: int = 1, epochs: int = 2, row: tuple[int, ...] = (90,)) -> list[bytes]:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    fastnn.set_random_seed(seed)
    model = Sequential([Input((40,)), Dense(90), Reshape(row), layer, Flatten(), Dense(2)])
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


class Recorder(Layer):
    """x, noting what training shows it."""

    def forward(self, x: np.ndarray, weights: Any, training: bool) -> np.ndarray:
        if training:
            vars(self).setdefault("all_x", []).append(x)
        return x

    def backward(self, x: np.ndarray, a: np.ndarray, d: np.ndarray, weights: Any) -> Any:
        vars(self).setdefault("all_d", []).append(d)
        return d, []

    def taken(self, what: str = "all_x") -> np.ndarray:
        """What it was shown since the last time."""
        return np.concatenate(vars(self).pop(what))


def seen(layer: Any, row: tuple[int, ...], rows: int = 32, steps: int = 1) -> list[np.ndarray]:
    """What each step of training makes of rows of ones. The gradient must have gone the same way."""
    before, after = Recorder(), Recorder()
    model = Sequential([Input(row), PReLU(), before, layer, after, Flatten()])
    model.compile("sgd", "mse")
    found = []
    x = np.ones((rows, *row), np.float32)
    for _ in range(steps):
        model.train_on_batch(x, np.full((rows, int(np.prod(row))), 0.25, np.float32))
        found.append(after.taken())
        d_before, d_after = before.taken("all_d"), after.taken("all_d")
        if isinstance(layer, Dropout):
            np.testing.assert_array_equal(d_before, found[-1] * d_after)
    return found


@EACH
@pytest.mark.parametrize("row", [(30,), (5, 6), (2, 3, 5)])
def test_noise_on_rows_of_any_rank_is_that_of_their_numbers(name: str, row: tuple[int, ...]) -> None:
    a, flat = seen(MAKERS[name](seed=3), row)[0], seen(MAKERS[name](seed=3), (30,))[0]
    np.testing.assert_array_equal(a.reshape(32, -1), flat)
    assert len(np.unique(a)) > 1


@pytest.mark.parametrize(
    ("row", "shape", "alike"),
    [
        ((5, 8), (None, 1, 8), (1,)),
        ((5, 8), (32, 5, 1), (2,)),
        ((5, 8), (None, 1, 1), (1, 2)),
        ((5, 8), (1, 5, 8), (0,)),
        ((5, 8), (1, None, 1), (0, 2)),
        ((5, 8), (8,), (0, 1)),
        ((8,), [1, None], (0,)),
        ((4, 3, 8), (None, None, 1, None), (2,)),
        ((4, 3, 8), (None, 4, 1, 1), (2, 3)),
    ],
)
def test_noise_shape(row: tuple[int, ...], shape: Any, alike: tuple[int, ...]) -> None:
    """One draw for all numbers along these axes, axis 0 that of the rows; along the others they differ."""
    first, second = seen(Dropout(0.5, shape, seed=1), row, steps=2)
    one = first
    for axis in alike:
        one = np.take(one, [0], axis)
    np.testing.assert_array_equal(first, np.broadcast_to(one, first.shape))
    np.testing.assert_array_equal(np.unique(first), np.float32([0, 2]))
    for axis in set(range(first.ndim)) - set(alike):
        assert (np.take(first, [0], axis) != first).any()
    assert (first != second).any()


def test_share_that_noise_shape_drops() -> None:
    a = seen(Dropout(0.3, (None, 1, 200), seed=1), (3, 200), rows=300)[0][:, 0]
    assert (a == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert a.mean(axis=0).std() == pytest.approx(np.sqrt(0.3 / 0.7 / 300), rel=0.2)


def test_a_dropped_number_may_be_infinite() -> None:
    layer, after = Dropout(0.5, (None, 1), seed=1), Recorder()
    model = Sequential([Input((4,)), layer, after])
    model.compile("sgd", "mse")
    x = np.ones((64, 4), np.float32)
    mask = seen(Dropout(0.5, (None, 1), seed=1), (4,), rows=64)[0]
    x[mask == 0] = 3e38
    model.train_on_batch(x, x * 0)
    np.testing.assert_array_equal(after.taken(), mask)


def test_noise_shape_for_any_number_of_threads_and_in_files(tmp_path: Path) -> None:
    layers = {shape: lambda shape=shape: Dropout(0.3, shape) for shape in ((None, 1, 6), (1, 15, 1), None)}
    for make in layers.values():
        ends = [trained(make(), 1, threads, row=(15, 6)) for threads in (1, 2, 3, 4, 8)]
        assert all(end == ends[0] for end in ends)
    model = Sequential([Input((15, 6)), Dropout(0.3, (None, 1, 6), seed=4), Flatten(), Dense(1)])
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").layers[0].noise_shape == (None, 1, 6)


def test_steps_of_a_time_distributed_noise_differ() -> None:
    layer, after = TimeDistributed(Dropout(0.5, seed=1)), Recorder()
    model = Sequential([Input((3, 40)), layer, after, Flatten()])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((8, 3, 40)), np.ones((8, 120)))
    a = after.taken().reshape(24, 40)
    assert len({row.tobytes() for row in a}) == 24


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
    for shape in ((None, 2, 8), (None, 5, 8, 1), (None, 1, 9)):
        with pytest.raises(ValueError, match=r"noise_shape .* does not go with rows of shape"):
            Dropout(0.5, shape)(Input((5, 8)))
    for shape in (3, "abc", ()):
        with pytest.raises(ValueError, match="noise_shape must be a tuple of whole numbers and None"):
            Dropout(0.5, shape)
    with pytest.raises(ValueError, match="noise_shape must be at least 1"):
        Dropout(0.5, (None, 0))
    with pytest.raises(ValueError, match="Expected all elements to be integers or None"):
        Dropout(0.5, (None, 0.5))


@pytest.mark.parametrize("name", OF_COLUMNS)
def test_whole_columns_are_dropped(name: str, tmp_path: Path) -> None:
    make, row = OF_COLUMNS[name]
    together = Dropout(0.4, noise_shape=(None, *(1,) * (len(row) - 1), row[-1]), seed=3)
    assert trained(make(seed=3), row=row) == trained(together, row=row) == trained(make(seed=3), row=row, threads=3)
    assert trained(make(seed=3), row=row) != trained(make(seed=4), row=row)
    model = Sequential([Input(row), make(seed=3)])
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").layers[-1].get_config() == model.layers[-1].get_config()
    with pytest.raises(ValueError, match=rf"expects rows of {len(row)} axes, got rows of shape \(7,\)"):
        Sequential([Input((7,)), make()])
    with pytest.raises(ValueError, match="rate"):
        type(make())(1.0)


def test_columns_of_channels_first() -> None:
    with pytest.raises(ValueError, match="data_format must be one of channels_last, got 'channels_first'"):
        SpatialDropout2D(0.3, "channels_first")


@pytest.mark.parametrize("shape", [(None, 1, 8), (1, None, 1), (5, 8), (None, 5, 8)])
def test_noise_shape_of_alpha_dropout(shape: Any) -> None:
    layer = AlphaDropout(0.4, shape, seed=1)
    x = np.random.default_rng(4).normal(size=(30, 40)).astype(np.float32)
    model = Sequential([Input((40,)), Dense(40, use_bias=False, kernel_initializer="identity"), Reshape((5, 8)), layer])
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    a = seen(AlphaDropout(0.4, shape, seed=1), (5, 8), rows=30)[0]
    kept = a == a.max()
    np.testing.assert_allclose(a, layer.reference(np.ones(a.shape), kept), rtol=1e-6)
    assert 0.3 < kept.mean() < 0.9
    given = layer.reference(x.reshape(a.shape).astype(float), kept)
    loss = model.train_on_batch(x, np.zeros((30, 5, 8), np.float32))
    np.testing.assert_allclose(loss, (given**2).mean(), rtol=1e-5)
    scale = ((1 - 0.4) * (1 + 0.4 * SELU_LIMIT**2)) ** -0.5
    d = (2 / given.size * given * scale * kept).reshape(30, 40)
    np.testing.assert_allclose(np.eye(40) - model.get_weights()[0], x.T @ d, rtol=1e-4, atol=1e-6)
    assert (model.predict(x).reshape(30, 40) != 0).all()

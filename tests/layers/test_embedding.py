"""Layers that read whole numbers: what they do with others, and with numbers that come more than once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import CategoryEncoding, Dense, Embedding, Flatten, Input
from fastnn.models import Sequential

Y = np.zeros((12, 2), np.float32)


def model_of(layer: Any) -> Sequential:
    model = Sequential([Input((3,)), layer, Flatten(), Dense(2)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("wrong", [-1, 5, 2.5, np.nan, np.inf, -np.inf, 1e30, -0.5])
@pytest.mark.parametrize("layer", [lambda: Embedding(5, 4), lambda: CategoryEncoding(5)])
def test_wrong_number_is_named_with_its_place(layer: Any, wrong: float) -> None:
    made = layer()
    model = model_of(made)
    x = np.ones((12, 3), np.float32)
    x[7, 2] = wrong
    before = [w.tobytes() for w in model.get_weights()]
    message = rf"{type(made).__name__} expects whole numbers from 0 to 4, got .* in column 2 of row 7; check"
    for run in (
        lambda: model.predict(x),
        lambda: model.description.network.predict(x),
        lambda: model.description.network.predict(x[7:8] * np.float32(1)),
    ):
        with pytest.raises(ValueError, match=r"whole numbers|not finite|infinit|NaN|float32"):
            run()
    with pytest.raises(ValueError, match=message):
        model.description.network.predict(x)
    if np.isfinite(wrong):
        for call in (
            lambda: model.fit(x, Y, epochs=1, shuffle=False, verbose=0),
            lambda: model.evaluate(x, Y, verbose=0),
            lambda: model.train_on_batch(x, Y),
        ):
            with pytest.raises(ValueError, match=message):
                call()
    assert [w.tobytes() for w in model.get_weights()] == before
    x[7, 2] = 4
    assert np.isfinite(model.predict(x)).all()


def test_equal_numbers_add_up_and_others_stay() -> None:
    layer = Embedding(6, 3)
    model = Sequential([Input((4,)), layer, Flatten()])
    model.compile("sgd", "mse")
    x = np.array([[0, 2, 2, 2], [2, 0, 4, 4]], np.float32)
    y = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    model.evaluate(x, y, verbose=0)
    model.description.network.gradient(x, y)
    d = ((model.predict(x) - y) * 2 / 24).reshape(2, 4, 3).astype(float)
    expected = np.zeros((6, 3))
    np.add.at(expected, x.astype(int), d)
    found = layer._placed().views(model.description.network.gradients)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(found[[1, 3, 5]], 0)


def test_a_table_whose_gradient_is_made_in_several_goes() -> None:
    layer = Embedding(30_000, 70)  # 2,100,000 numbers
    model = Sequential([Input((5,), dtype="int32"), layer, Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).integers(0, 30_000, (64, 5)).astype(np.int32)
    x[:9] = [14_979, 14_980, 14_979, 29_999, 0]  # where the first go ends, within a row of the table
    y = np.ones((64, 1), np.float32)
    model.evaluate(x, y, verbose=0)
    model.description.network.gradient(x, y)
    kernel = model.get_weights()[1].astype(float)
    d = 2 / 64 * (model.predict(x) - y).astype(float) * kernel.T
    expected = np.zeros((30_000, 70))
    np.add.at(expected, x, d.reshape(64, 5, 70))
    found = layer._placed().views(model.description.network.gradients)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_a_large_table_by_threads() -> None:
    before, ends = fastnn.get_num_threads(), []
    x = np.random.default_rng(0).integers(0, 3000, (2000, 3)).astype(np.float32)
    for threads in (1, 2, 4):
        fastnn.set_num_threads(threads)
        fastnn.set_random_seed(3)
        model = Sequential([Input((3,)), Embedding(3000, 40), Flatten(), Dense(64), Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, x[:, :1] / 3000, batch_size=250, epochs=2, verbose=0)
        ends.append([w.tobytes() for w in model.get_weights()])
    fastnn.set_num_threads(before)
    assert ends[0] == ends[1] == ends[2]


def test_what_they_refuse() -> None:
    with pytest.raises(ValueError, match="input_dim must be at least 1"):
        Embedding(0, 3)
    with pytest.raises(ValueError, match=r"input_dim must be at most 2\*\*31 - 1"):
        Embedding(2**31, 3)
    with pytest.raises(ValueError, match="output_dim must be a whole number"):
        Embedding(3, 2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="output_mode must be one of multi_hot, one_hot, count, got 'int'"):
        CategoryEncoding(3, "int")

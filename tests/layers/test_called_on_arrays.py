"""Layers and models that are called on arrays: vectors, and the losses that they add."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import Model, Sequential, ops
from fastnn.layers import (
    ELU,
    Activation,
    ActivityRegularization,
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Layer as BaseLayer,
    LeakyReLU,
    ReLU,
    Wrapper,
)
from fastnn.regularizers import Regularizer

X = np.array([-10.0, -5.0, 0.0, 5.0, 10.0])


class Adding(BaseLayer):
    def call(self, x: Any) -> Any:
        self.add_loss(ops.sum(x))
        self.add_loss(ops.mean(ops.square(x)))
        return x


class Wrapped(Wrapper):
    def call(self, x: Any) -> Any:
        return self.layer(x)


class Cube(Regularizer):
    def __call__(self, x: Any) -> float:
        return float(np.sum(np.abs(x) ** 3))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (ReLU(max_value=8, threshold=5), np.where(X > 5, np.minimum(X, 8), 0)),
        (LeakyReLU(0.5), np.where(X > 0, X, X / 2)),
        (ELU(), np.where(X > 0, X, np.expm1(X))),
        (Activation("tanh"), np.tanh(X)),
        (Dropout(0.5), X),
        (Flatten(), X[:, None]),
    ],
)
def test_of_a_vector_each_number_is_a_row(layer: Any, expected: Any) -> None:
    np.testing.assert_allclose(layer(X), expected, rtol=1e-6)
    assert layer(X).shape == expected.shape


def test_vectors_of_layers_with_weights_or_several_inputs() -> None:
    layer = Embedding(3, 2)
    layer.build()
    rows = layer.get_weights()[0]
    np.testing.assert_array_equal(layer(np.array([2, 0])), rows[[2, 0]])
    np.testing.assert_array_equal(layer(np.array([[2, 0]])), rows[[[2, 0]]])
    np.testing.assert_array_equal(Add()([X, X]), 2 * X)
    assert Dense(3)(X).shape == (5, 3)  # which needs an axis


def test_losses_of_the_last_call() -> None:
    x = np.arange(6.0).reshape(2, 3)
    added = [x.sum(), (x**2).mean()]
    layer = Adding()
    assert layer.losses == []
    for rows in (x + 1, x):
        layer(rows)
    np.testing.assert_allclose(layer.losses, added)
    layer(Input((3,)))
    inner = Sequential([layer])
    for model in (inner, Sequential([inner]), Sequential([Input((3,)), layer])):
        for training in (False, True):
            model(x, training=training)
            np.testing.assert_allclose(model.losses, added)
    for layer in (ActivityRegularization(0.2, 0.3), Wrapped(ActivityRegularization(0.2, 0.3))):
        layer(x)
        np.testing.assert_allclose(layer.losses, [(0.2 * x.sum() + 0.3 * (x**2).sum()) / 2])


def test_losses_beside_penalties_on_weights_and_several_outputs() -> None:
    x = np.array([[1.0, -2.0], [3.0, 0.5]])
    begin = Input((2,))
    dense = Dense(2, kernel_regularizer="l1", activity_regularizer=Cube())
    middle = dense(begin)
    model = Model(begin, [ReLU()(middle), middle])
    high, out = model(x)
    kernel = dense.get_weights()[0]
    expected = [(np.abs(out) ** 3).sum() / 2, 0.01 * np.abs(kernel).sum()]
    np.testing.assert_allclose(model.losses, expected, rtol=1e-5)
    for got, told in zip((high, out), model.predict(x), strict=True):
        np.testing.assert_array_equal(got, told)
    dense(x)
    np.testing.assert_allclose(dense.losses, expected, rtol=1e-5)


def test_a_frozen_batch_normalization_goes_by_its_averages() -> None:
    x = np.random.default_rng(0).normal(5, 3, (64, 3))
    layer = BatchNormalization(epsilon=0.0)
    layer.build((None, 3))
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x, rtol=1e-6)
    layer.trainable = True
    np.testing.assert_allclose(layer(x, training=True).mean(axis=0), 0, atol=1e-5)

"""Layers of one's own that are built by who uses them, by shapes of several names, and made again from a config."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import Model, ops
from fastnn.layers import Dense, Embedding, Input, InputLayer, Layer, Wrapper

X = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)


class Product(Layer):
    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], 2), name="w")

    def call(self, x: Any) -> Any:
        return ops.matmul(x, self.w)


class Wider(Product):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.b = self.add_weight(shape=(2,), name="b", initializer="ones")

    def call(self, x: Any) -> Any:
        return super().call(x) + self.b


class Outer(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Wider()

    def build(self, input_shape: Any) -> None:
        self.inner.build(input_shape)

    def call(self, x: Any) -> Any:
        return self.inner(x)


@pytest.mark.parametrize("make", [Product, Wider, Outer])
def test_build_makes_the_weights_that_calls_use(make: Any) -> None:
    layer = make()
    layer.build((None, 3))
    assert layer.built
    kernel, *bias = before = layer.get_weights()
    np.testing.assert_allclose(layer(X), X @ kernel + (bias[0] if bias else 0), rtol=1e-5)
    begin = Input((3,))
    np.testing.assert_allclose(Model(begin, layer(begin)).predict(X), layer(X), rtol=1e-6)
    for array, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(array, now)


def test_what_build_makes_without_a_shape() -> None:
    class Scale(Layer):
        def build(self, _: Any) -> None:
            self.w = self.add_weight(shape=(), name="w", initializer="ones")

        def call(self, x: Any) -> Any:
            return x * self.w

    layer = Scale()
    layer.build(None)
    np.testing.assert_array_equal(layer(X), X)
    assert len(layer.weights) == 1


def test_build_takes_the_shapes_of_calls_arguments_by_name() -> None:
    class Named(Layer):
        def build(self, y_shape: Any, x_shape: Any) -> None:
            self.shapes = x_shape[1:], y_shape[1:]

        def call(self, x: Any, y: Any = None) -> Any:
            return x[:, :2] + y

    for call in (lambda layer: layer(X, X[:, :2]), lambda layer: layer(Input((3,)), y=Input((2,)))):
        layer = Named()
        call(layer)
        assert layer.shapes == ((3,), (2,))

    class NoSuffix(Named):
        def build(self, x_shape: Any, y: Any) -> None:
            raise AssertionError

    class Unknown(Named):
        def build(self, x_shape: Any, z_shape: Any) -> None:
            raise AssertionError

    with pytest.raises(ValueError, match="argument `y`, which does not end in `_shape`"):
        NoSuffix()(X, X)
    with pytest.raises(ValueError, match=r"`z_shape`, but `call\(\)` does not have argument `z`"):
        Unknown()(X, X)


class Around(Wrapper):
    def call(self, x: Any) -> Any:
        return 2 * self.layer(x)


def test_a_wrapper_of_ones_own_from_its_config() -> None:
    layer = Around(Dense(2, "relu", kernel_regularizer="l2"))
    again = Around.from_config(layer.get_config())
    assert again.layer.get_config() == layer.layer.get_config()
    assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="isn't a supported layer type"):
        Wrapper("text")


def test_embedding_begins_with_given_weights() -> None:
    rows = np.arange(12.0).reshape(3, 4)
    for given in (rows, [rows], rows.tolist()):
        layer = Embedding(3, 4, weights=given)
        np.testing.assert_array_equal(layer.embeddings.numpy(), rows)
        np.testing.assert_array_equal(layer(np.array([2, 0])), rows[[2, 0]])
    assert "weights" not in layer.get_config()
    for wrong in (rows.T, 3, [rows, rows]):
        with pytest.raises(ValueError, match="weights must be an array of shape"):
            Embedding(3, 4, weights=wrong)


def test_an_input_that_is_given_a_tensor() -> None:
    tensor = Input((3,), 2)
    layer = InputLayer(input_tensor=tensor)
    assert (layer.batch_shape, layer.output) == ((2, 3), tensor)
    with pytest.raises(ValueError, match="incompatible `batch_size`"):
        InputLayer(batch_size=5, input_tensor=tensor)

"""Layers and models of the user's own, written once, run by Keras and by fastnn."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, models, ops

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs
X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)


def written(base: Any) -> Any:
    """A layer and a model, of the modules of either."""

    class Gated(base.layers.Layer):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")
            self.gate = self.add_weight(shape=(self.units,), initializer="ones", name="gate")
            self.power = self.add_weight(shape=(), initializer="ones", name="power")

        def call(self, x: Any) -> Any:
            h = base.ops.matmul(x, self.w) + self.b
            h = base.ops.sigmoid(self.gate * h) * h
            scale = base.ops.sqrt(base.ops.mean(base.ops.square(h), axis=-1, keepdims=True) + 1e-6)
            return h / scale * self.power

    class Own(base.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Gated(5), Gated(4)
            self.out = base.layers.Dense(1)

        def call(self, inputs: Any, training: bool = False) -> Any:
            h = self.first(inputs)
            g = self.second(h)
            if training:
                g = g * 1.5
            both = base.ops.concatenate([h[:, 1:4], g, base.ops.max(h, axis=-1, keepdims=True)], axis=-1)
            return self.out(both) - base.ops.sum(base.ops.log(base.ops.abs(g) + 1), axis=1, keepdims=True)

    return Own()


class Ours:
    layers, ops, Model = layers, ops, models.Model


def test_a_model_of_ones_own_learns_alike() -> None:
    theirs, ours = written(keras), written(Ours)
    theirs(X)
    ours.build((None, 6))
    weights = [np.asarray(each) + 0.1 for each in theirs.get_weights()]
    theirs.set_weights(weights)
    assert len(ours.get_weights()) == len(weights)
    for layer, other in ((ours.first, theirs.first), (ours.second, theirs.second)):
        for name in ("w", "b", "gate", "power"):
            getattr(layer, name).assign(keras.ops.convert_to_numpy(getattr(other, name)))
    ours.out.set_weights([np.asarray(each) for each in theirs.out.get_weights()])
    np.testing.assert_allclose(ours.predict(X), keras.ops.convert_to_numpy(theirs(X)), rtol=1e-4, atol=1e-5)
    if keras.backend.backend() == "numpy":
        return
    y = X[:, :1] * X[:, 1:2]
    theirs.compile(keras.optimizers.SGD(0.05), "mse")
    ours.compile(fastnn.optimizers.SGD(0.05), "mse")
    options = {"epochs": 5, "batch_size": 10, "shuffle": False, "verbose": 0}
    np.testing.assert_allclose(
        ours.fit(X, y, **options).history["loss"], theirs.fit(X, y, **options).history["loss"], rtol=1e-4
    )
    np.testing.assert_allclose(ours.first.w.numpy(), keras.ops.convert_to_numpy(theirs.first.w), rtol=1e-3, atol=1e-4)

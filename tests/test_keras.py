"""The same by Keras 3, where it is installed: names of figures, and the numbers of ten steps."""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam, AdamW, RMSprop
from support.cases import data
from support.small import measured

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

OPTIMIZERS = [
    (SGD, {"learning_rate": 0.05}),
    (SGD, {"learning_rate": 0.05, "momentum": 0.9}),
    (SGD, {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    (RMSprop, {"learning_rate": 0.01}),
    (RMSprop, {"learning_rate": 0.01, "momentum": 0.5, "centered": True, "epsilon": 1e-3}),
    (Adam, {"learning_rate": 0.01}),
    (Adam, {"learning_rate": 0.01, "amsgrad": True, "beta_1": 0.8, "beta_2": 0.95}),
    (AdamW, {"learning_rate": 0.01}),
    (AdamW, {"learning_rate": 0.01, "weight_decay": 0.2, "epsilon": 1e-3}),
]
LOSSES = [
    ("mean_squared_error", {}, "linear"),
    ("mean_absolute_error", {}, "linear"),
    ("huber", {"delta": 0.5}, "linear"),
    ("binary_crossentropy", {}, "sigmoid"),
    ("binary_crossentropy", {"from_logits": True, "label_smoothing": 0.1}, "linear"),
    ("categorical_crossentropy", {"label_smoothing": 0.2}, "softmax"),
    ("categorical_crossentropy", {}, "sigmoid"),
    ("sparse_categorical_crossentropy", {}, "softmax"),
    ("sparse_categorical_crossentropy", {"from_logits": True}, "linear"),
]


def theirs(cls: type, arguments: dict):
    """Keras's object of the same name."""
    return getattr(keras.optimizers if hasattr(keras.optimizers, cls.__name__) else keras.losses, cls.__name__)(
        **arguments
    )


def both(optimizer, loss, after, metrics=("accuracy", "mse"), penalty=0.0):
    """The same model twice."""
    fastnn.set_random_seed(1)
    optimizer_class, optimizer_arguments = optimizer
    loss_class, loss_arguments = losses.LOSSES.find(loss[0]), loss[1]
    ours = Sequential(
        [Dense(8, "tanh", kernel_regularizer=fastnn.regularizers.L2(penalty), input_dim=5), Dense(3, after)]
    )
    ours.compile(optimizer_class(**optimizer_arguments), loss_class(**loss_arguments), metrics=list(metrics))
    other = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(8, "tanh", kernel_regularizer=keras.regularizers.L2(penalty)),
            keras.layers.Dense(3, after),
        ]
    )
    other.compile(
        theirs(optimizer_class, optimizer_arguments), theirs(loss_class, loss_arguments), metrics=list(metrics)
    )
    other.set_weights(ours.get_weights())
    return ours, other


def same(ours, other, x, y, **fit):
    """Fit both; assert the same figures and weights."""
    histories = [m.fit(x, y, batch_size=7, epochs=3, shuffle=False, verbose=0, **fit).history for m in (ours, other)]
    histories[0] = measured(histories[0])
    assert sorted(histories[0]) == sorted(histories[1])
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], rel=2e-4, abs=1e-6), name
    for a, b in zip(ours.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), other.evaluate(x, y, verbose=0), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers(optimizer):
    x, y = data(losses.MeanSquaredError(), 31, 5, 3)
    same(*both(optimizer, ("mean_squared_error", {}), "linear", ["mae"]), x, y)


@pytest.mark.parametrize(("name", "arguments", "after"), LOSSES)
@pytest.mark.parametrize("weights", ["none", "rows", "classes"])
def test_losses(name, arguments, after, weights):
    loss = losses.LOSSES.find(name)(**arguments)
    x, y = data(loss, 31, 5, 3)
    fit: dict = {}
    if weights == "rows":
        fit["sample_weight"] = np.arange(31.0) % 4
    elif weights == "classes":
        if name not in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
            pytest.skip("no classes")
        fit["class_weight"] = {0: 2.0, 1: 1.0, 2: 0.5}
    metrics = ["accuracy"] if loss.kernel.labels else ["accuracy", "mae", "mse"]
    same(*both((SGD, {"learning_rate": 0.1}), (name, arguments), after, metrics), x, y, **fit)


def test_penalties_and_validation():
    x, y = data(losses.MeanSquaredError(), 31, 5, 3)
    pair = both((SGD, {"learning_rate": 0.1}), ("mean_squared_error", {}), "linear", ["mae"], penalty=0.05)
    same(*pair, x, y, validation_split=0.3)
    same(*pair, x, y, validation_data=(x[:9], y[:9], np.arange(9.0)))

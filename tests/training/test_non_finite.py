"""A batch whose gradient is not finite changes nothing, and the error says what was seen of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import losses
from fastnn.layers import Dense, Layer
from fastnn.models import Sequential

ZEROS = np.zeros((8, 3))


class Root(Layer):
    """sqrt(|x|), whose slope at 0 is 0 / 0."""

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        return np.sqrt(np.abs(x))

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        with np.errstate(all="ignore"):
            return d * np.sign(x) / (2 * a), []


def root(y_true: Any, y_pred: Any) -> Any:
    return np.sqrt(np.abs(y_true - y_pred)).mean(axis=-1)


def slope_of_root(y_true: Any, y_pred: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.sign(y_pred - y_true) / (2 * np.sqrt(np.abs(y_true - y_pred)))


def refused(model: Sequential, error: type[Exception], words: str, x: Any, y: Any, **options: Any) -> None:
    """The fit is, with these words; the weights are those before it, and a fit of good rows goes on from there."""
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(error, match=words):
        model.fit(x, y, verbose=0, **options)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_infinite_feature_under_a_finite_loss() -> None:
    """A sigmoid of it is 0 or 1: the loss is finite, the gradient is not."""
    x = np.random.default_rng(0).normal(size=(64, 3))
    y = (x[:, 0] > 0).astype(int)
    x[50, 1] = np.inf
    model = Sequential([Dense(1, "sigmoid", input_dim=3)])
    model.compile("sgd", "binary_crossentropy")
    refused(model, ValueError, "x has inf at row 50, column 1", x, y, batch_size=64, shuffle=False)


def test_a_loss_whose_slope_is_not_finite() -> None:
    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", losses.Custom(root, slope_of_root))
    words = (
        r"gradient of layer 'dense' is not finite after 0 steps, though the loss is, and x and y of its batch are: "
        r"loss 'root' has the slope nan at output 0.0 and target 0.0"
    )
    refused(model, FloatingPointError, words, ZEROS, np.zeros(8))


def test_a_layer_whose_slope_is_not_finite() -> None:
    model = Sequential([Dense(2, input_dim=3), Root(), Dense(1)])
    model.compile("sgd", "mse")
    words = (
        r"gradient of layer 'dense' is not finite .*: Root.backward gave a gradient that is not finite for one that is"
    )
    refused(model, FloatingPointError, words, ZEROS, np.ones(8))


def test_a_gradient_that_overflows() -> None:
    """The loss is finite; what the layer's gradient adds up is not."""
    model = Sequential([Dense(1, use_bias=False, input_dim=3)])
    model.compile("sgd", "mae")
    model.set_weights([np.zeros((3, 1))])
    words = r"gradient of layer 'dense' is not finite after 0 steps, though the loss is, .*; lower learning_rate"
    refused(model, FloatingPointError, words, np.full((8, 3), 3e38), np.ones(8), sample_weight=np.full(8, 8.0))


def test_a_loss_that_overflows_at_once_did_not_diverge() -> None:
    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", "mse")
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    refused(model, FloatingPointError, r"not finite after 0 steps, .* are; lower", ZEROS + 3e37, np.ones(8))

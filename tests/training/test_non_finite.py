"""A batch whose gradient is not finite changes nothing, and the error says what was seen of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses, optimizers
from fastnn.layers import BatchNormalization, Dense, Layer
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
        r"gradient of layer 'dense' is not finite after 0 steps, though the loss is, and x and y of its batch, and the "
        r"weights, are: loss 'root' has the slope nan at output 0.0 and target 0.0"
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
    words = r"gradient of layer 'dense' is not finite after 0 steps, though the loss is, .*; standardise x"
    refused(model, FloatingPointError, words, np.full((8, 3), 3e38), np.ones(8), sample_weight=np.full(8, 8.0))


def test_a_loss_that_overflows_at_once_did_not_diverge() -> None:
    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", "mse")
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    refused(model, FloatingPointError, r"not finite after 0 steps, .* are; standardise x", ZEROS + 3e38, np.ones(8))


def test_weights_that_were_set_to_no_numbers() -> None:
    for loss in ("mse", "mae"):
        model = Sequential([Dense(2, input_dim=3), Dense(1)])
        model.compile("sgd", loss)
        weights = model.get_weights()
        weights[2][1] = np.nan
        model.set_weights(weights)
        words = r"is not finite after 0 steps: the weights 'dense_1/kernel' hold nan already; set them anew"
        refused(model, FloatingPointError, words, ZEROS, np.ones(8))


def test_a_loss_in_python_that_gives_no_number() -> None:
    def log_of_error(y_true: Any, y_pred: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.log(np.abs(y_true - y_pred)).mean(axis=-1)

    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", losses.Custom(log_of_error, lambda y_true, y_pred: y_pred * 0))
    words = "loss 'log_of_error' gives -?inf for outputs that are finite; have it give a number there"
    refused(model, FloatingPointError, words, ZEROS, np.zeros(8))


def test_only_what_has_taken_steps_can_have_diverged() -> None:
    """Also after a first fit, whose steps count."""
    model = Sequential([Dense(1, input_dim=3)])
    model.compile("sgd", "mse")
    with pytest.raises(FloatingPointError) as first:
        model.fit(ZEROS + 3e38, np.ones(8), verbose=0)
    assert "diverged" not in str(first.value)
    assert "learning_rate" not in str(first.value)
    model.optimizer.learning_rate = 1e38
    with pytest.raises(FloatingPointError, match=r"after [1-9]\d* steps.*: training diverged.* lower learning_rate"):
        model.fit(ZEROS + 1, np.ones(8), epochs=50, verbose=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("spoil", ["x", "y", "weights", "overflow"])
def test_lbfgs_refuses_a_batch_that_is_not_finite(spoil: str, steps: int, threads: int) -> None:
    """Nothing changes: weights, moving averages, the pairs that it keeps, the count of steps; the error says why."""
    fastnn.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((600, 3)), rng.standard_normal((600, 1))
    model = Sequential([Dense(64, "tanh", input_dim=3), BatchNormalization(), Dense(64, "tanh"), Dense(1)])
    model.compile(optimizers.LBFGS(), "mse", metrics=["mae"])
    model.fit(x, y, 600, epochs=steps, verbose=0) if steps else model.build()
    bad_x, bad_y = x.copy(), y.copy()
    error, words = ValueError, "x has nan at row 7, column 2"
    if spoil == "x":
        bad_x[7, 2] = np.nan
    elif spoil == "y":
        bad_y[7], words = np.inf, "y has inf at row 7"
    elif spoil == "weights":
        weights = model.get_weights()
        weights[0][1, 3] = np.nan
        model.set_weights(weights)
        error, words = FloatingPointError, f"after {steps} steps: the weights 'dense/kernel' hold nan already"
    else:
        bad_y[:] = 3e38
        error, words = FloatingPointError, f"not finite after {steps} steps"
    before = [w.tobytes() for w in model.get_weights()]
    state = model.description.trainer.state()
    with pytest.raises(error, match=words):
        model.fit(bad_x, bad_y, 600, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == before
    after = model.description.trainer.state()
    assert after[0] == state[0]
    assert {name: slot.tobytes() for name, slot in after[1].items()} == {
        name: slot.tobytes() for name, slot in state[1].items()
    }
    fastnn.set_num_threads(1)
    if spoil != "weights":  # and it goes on as if nothing had been
        other = Sequential([Dense(64, "tanh", input_dim=3), BatchNormalization(), Dense(64, "tanh"), Dense(1)])
        other.compile(optimizers.LBFGS(), "mse", metrics=["mae"])
        other.build()
        other.set_weights(
            [np.frombuffer(w, np.float32).reshape(v.shape) for w, v in zip(before, model.get_weights(), strict=True)]
        )
        other.description.trainer.ready(fastnn.data.ArraySource(x, y))
        other.description.trainer.go_on(*state)
        for each in (model, other):
            each.fit(x, y, 600, epochs=2, verbose=0)
        assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in other.get_weights()]

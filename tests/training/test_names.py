"""What logs call a metric stands for it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import metrics as m
from fastnn.layers import Dense, Input
from fastnn.models import Model, Sequential

X = np.random.default_rng(0).normal(size=(20, 3))
Y = (X[:, :1] > 0) * 1.0


def named(*names: str) -> list[Any]:
    return [m.MeanAbsoluteError(name=name) for name in names]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["mae", "mae", "mae"], ["mae", "mae_1", "mae_2"]),
        (named("a", "a", "a_1"), ["a", "a_1", "a_1_1"]),
        (named("loss"), ["loss_1"]),
        (named("loss", "loss"), ["loss_1", "loss_2"]),
        (named("val_loss"), ["val_loss_1"]),
        (named("val_loss_1", "loss"), ["val_loss_1", "loss_2"]),
        (named("val_mae", "mae"), ["val_mae_1", "mae"]),
        (named("mae", "val_mae"), ["mae", "val_mae_1"]),
        (named("val_other", "val_val_other"), ["val_other", "val_val_other_1"]),
        (named("learning_rate", "seconds", "epoch"), ["learning_rate_1", "seconds_1", "epoch_1"]),
        (named("точность", "a b", "a/b"), ["точность", "a b", "a/b"]),
    ],
)
def test_names(given: list[Any], expected: list[str]) -> None:
    """Each is in the history, beside the loss and the validation's figures, with its own value."""
    net = Sequential([Dense(1, "sigmoid", input_dim=3)])
    net.compile("sgd", "mse", metrics=given)
    history = net.fit(X, Y, validation_data=(X[:7], Y[:7]), verbose=0).history
    for name in ("loss", *expected):
        assert name in history
        assert f"val_{name}" in history
    assert len({"loss", *expected}) == len(expected) + 1
    found = net.evaluate(X, Y, verbose=0, return_dict=True)
    size = np.abs(Y - net.predict(X, verbose=0))
    np.testing.assert_allclose([found[name] for name in expected], size.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["loss"], (size**2).mean(), rtol=1e-5)


def test_names_of_several_outputs() -> None:
    x = Input((3,))
    net = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    net.compile("sgd", "mse", metrics=[named("loss"), named("loss", "mae")])
    logs = net.evaluate(X, [Y, Y], verbose=0, return_dict=True)
    assert set(logs) == {"loss", "a_loss", "b_loss", "a_loss_1", "b_loss_1", "b_mae"}
    assert logs["b_loss_1"] == logs["b_mae"] != logs["b_loss"]


def test_an_array_of_one_is_a_number() -> None:
    net = Sequential([Dense(1, "sigmoid", input_dim=3)])
    net.compile("sgd", "bce", metrics=[m.F1Score(threshold=0.5), m.R2Score(class_aggregation=None)])
    history = net.fit(X, Y, validation_data=(X, Y), epochs=2, verbose=0).history
    assert all(type(value) is float for values in history.values() for value in values)
    assert all(type(value) is float for value in net.evaluate(X, Y, verbose=0))

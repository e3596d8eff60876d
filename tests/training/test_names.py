"""What logs call a metric stands for it alone, and what it gives is known before the first batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import metrics as m
from fastnn.data import ArraySource
from fastnn.layers import Dense, Input
from fastnn.models import Model, Sequential
from fastnn.training import Trainer
from support.metrics import made

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


class Own(m.Metric):
    """Gives what it is made with."""

    def __init__(self, value: Any, name: str) -> None:
        super().__init__(name)
        self.value = value

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.seen = True

    def reset_state(self) -> None:
        self.seen = False

    def result(self) -> Any:
        return self.value


class Late(Own):
    def result(self) -> Any:
        if not self.seen:
            raise RuntimeError("no batch yet")
        return self.value


@pytest.mark.parametrize("metric", [made(cls) for _, cls in m.METRICS], ids=lambda metric: metric.name)
def test_shapes_before_the_first_batch(metric: m.Metric) -> None:
    """They are those that an evaluation gives."""
    for units in (1, 3):
        y = np.zeros((20, units))
        net = Sequential([Dense(units, "sigmoid", input_dim=3)])
        try:
            metric.check(units, units)
        except ValueError:
            y = np.zeros((20, 1))
            net = Sequential([Dense(units, "softmax", input_dim=3)])
        try:
            metric.check(y.shape[1], units)
        except ValueError:
            continue
        trainer = Trainer(net, "sgd", "mse" if y.shape[1] == units else "sparse_categorical_crossentropy", [metric])
        trainer.ready(ArraySource(X, y))
        [(name, shape)] = trainer.objectives.result_shapes().items()
        assert np.shape(trainer.evaluate(ArraySource(X, y))[name]) == shape


def test_shapes_of_metrics_in_python() -> None:
    net = Sequential([Dense(2, "softmax", input_dim=3)])
    metrics = [Own(0.5, "number"), Own(np.zeros(1), "one"), Own(np.zeros(3), "three"), Late(np.zeros(3), "late")]
    trainer = Trainer(net, "sgd", "mse", [*metrics, m.ConfusionMatrix(), m.Precision([0.1, 0.5])])
    trainer.ready(ArraySource(X, np.eye(2)[np.arange(20) % 2]))
    wanted = {"number": (), "one": (), "three": (3,), "late": None, "confusion_matrix": (2, 2), "precision": (2,)}
    assert trainer.objectives.result_shapes() == wanted

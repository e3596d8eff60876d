"""What targets a loss or a metric takes: what it declares holds in fit, in evaluate and on arrays, over the tables."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses, metrics
from fastnn.layers import Dense
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.models import Sequential
from support.units import OUTPUT_OF, label, targets_for, units

ROWS, UNITS, BAD = 40, 4, 23
X = np.random.default_rng(0).normal(size=(ROWS, 3)).astype("f4")

LIMITED = [loss for loss in units(LOSSES) if loss.takes.limited and getattr(loss, "ignore_class", None) is None]
MEASURED = [metric for metric in units(METRICS) if metric.takes.limited]


def beyond(takes: losses.Targets, count: int) -> list[float]:
    """Numbers that just have no meaning."""
    low, high = takes.low, count - 1.0 if takes.classes else takes.high
    found = [low - 1, low - 1e-4]
    found += [high + 1, high + 1e-4] if high < float("inf") else []
    found += [low + 0.5, high - 1e-3] if takes.whole else []
    held = {value: float(np.float32(value)) for value in [*found, 2 * low, 2 * high] if abs(value) < float("inf")}
    return [
        value
        for value, is_ in held.items()
        if (value in found or abs(value) > 2**24) and not (low <= is_ <= high and (not takes.whole or is_.is_integer()))
    ]


def ends(takes: losses.Targets, count: int) -> list[float]:
    """Those that just have one; a rounding beyond an end is the end, but for labels."""
    low, high = takes.low, count - 1.0 if takes.classes else takes.high
    found = [low, 1e6 if high == float("inf") else high]
    return found if takes.whole else [*found, low - 1e-7, found[1] + (1e-7 if high == 1 else 0)]


def model(loss: Any, activation: str, **options: Any) -> Sequential:
    made = Sequential([Dense(UNITS, activation, input_dim=3)])
    made.compile("sgd", loss, **options)
    return made


def targets(loss: Any) -> np.ndarray:
    y = targets_for(loss, ROWS, UNITS, np.random.default_rng(1))
    return y.reshape(ROWS, -1)


@pytest.mark.parametrize("loss", LIMITED, ids=label)
def test_a_target_without_meaning(loss: Any) -> None:
    """An error with the row, and no weight is another; none where the row weighs 0, but of the batch as a whole."""
    activation = OUTPUT_OF.get(loss.table_name, "linear") if not loss.logits else "linear"
    good, column = targets(loss), 0 if loss.labels else 2
    for value in beyond(loss.takes, UNITS):
        y, net = good.copy(), model(loss, activation)
        y[BAD, column] = value
        where = rf"y has {re.escape(f'{value:g}')} at row {BAD}(, column {column})?, but {type(loss).__name__}.* takes "
        for fails in (
            lambda y=y, net=net: net.fit(X, y, batch_size=8, verbose=0, shuffle=True),
            lambda y=y, net=net: net.evaluate(X, y, verbose=0),
            lambda y=y: loss(y, np.full((ROWS, UNITS), 0.25)),
        ):
            with pytest.raises(ValueError, match=where):
                fails()
        for fails in (
            lambda y=y, net=net: net.fit(X, y, batch_size=ROWS, verbose=0),
            lambda y=y, net=net: net.fit(X, y, batch_size=ROWS, verbose=0, sample_weight=np.ones(ROWS)),
        ):
            before = net.get_weights()
            with pytest.raises(ValueError, match=where):
                fails()
            for now, then in zip(net.get_weights(), before, strict=True):
                np.testing.assert_array_equal(now, then)
        absent = (np.arange(ROWS) != BAD) * 1.0
        if loss.whole:  # its value is that of all rows, whatever they weigh
            with pytest.raises(ValueError, match=where):
                net.fit(X, y, verbose=0, sample_weight=absent)
        else:
            net.fit(X, y, verbose=0, sample_weight=absent)


@pytest.mark.parametrize("loss", [loss for loss in LIMITED if not loss.whole], ids=label)
def test_a_row_of_weight_0_may_hold_anything(loss: Any) -> None:
    output = np.random.default_rng(2).dirichlet(np.ones(UNITS), ROWS)
    y, weight = targets(loss), np.ones(ROWS)
    weight[[3, BAD]] = 0
    bad = y.copy()
    bad[BAD], bad[3] = beyond(loss.takes, UNITS)[0], beyond(loss.takes, UNITS)[-1]
    assert loss(bad, output, weight) == loss(y, output, weight)
    assert loss(bad, output, weight[:, None]) == loss(y, output, weight)
    with pytest.raises(ValueError, match="at row 3"):
        loss(bad, output)


@pytest.mark.parametrize("loss", LIMITED, ids=label)
def test_the_ends_of_the_range(loss: Any) -> None:
    y = targets(loss)
    for value in ends(loss.takes, UNITS):
        y[BAD, 0] = value
        assert np.isfinite(loss(y, np.full((ROWS, UNITS), 0.25)))
        net = model(loss, OUTPUT_OF.get(loss.table_name, "linear") if not loss.logits else "linear")
        assert np.isfinite(net.evaluate(X, y, verbose=0))


@pytest.mark.parametrize("loss", [each for each in units(LOSSES) if not each.takes.limited], ids=label)
def test_losses_of_any_numbers(loss: Any) -> None:
    y = targets(loss) * 1e3 - 7
    assert np.isfinite(model(loss, "linear").evaluate(X, y, verbose=0))


@pytest.mark.parametrize("metric", MEASURED, ids=label)
def test_a_metric_of_such_targets(metric: Any) -> None:
    """On arrays; and in a model, whose own loss takes any."""
    count = UNITS if metric.columns(UNITS) != () else 1
    if metric.logits or "label_weights" in vars(metric):
        count = len(metric.label_weights) if getattr(metric, "label_weights", None) else UNITS
    y = np.zeros((ROWS, metric.columns(count)[0]))
    output = np.full((ROWS, count), 0.25)
    metric.reset_state()
    metric.update_state(y, output)
    expected = metric.result()
    for value in beyond(metric.takes, count):
        bad = y.copy()
        bad[BAD, 0] = value
        with pytest.raises(ValueError, match=rf"metric '{metric.name}': y has {value:g} at row {BAD}"):
            metric.update_state(bad, output)
        metric.reset_state()
        metric.update_state(bad, output, (np.arange(ROWS) != BAD) * 1.0)
        assert np.shape(metric.result()) == np.shape(expected)


@pytest.mark.parametrize("metric", ["precision", "auc", "binary_accuracy", "f1_score", "hinge", "poisson"])
def test_a_metric_beside_a_loss_of_any_numbers(metric: str) -> None:
    net = model("mse", "sigmoid", metrics=[metric])
    y = np.zeros((ROWS, UNITS))
    net.fit(X, y, verbose=0)
    y[BAD, 1] = -2.0
    for fails in (lambda: net.fit(X, y, batch_size=8, verbose=0), lambda: net.evaluate(X, y, verbose=0)):
        with pytest.raises(ValueError, match=rf"metric '{metric}': y has -2 at row {BAD}, column 1, but \w+ takes "):
            fails()
    net.fit(X, y, batch_size=8, verbose=0, sample_weight=(np.arange(ROWS) != BAD) * 1.0)


def test_accuracy_of_numbers_is_no_error() -> None:
    """It counts the outputs that are met; a warning says that this is seldom meant."""
    net = Sequential([Dense(1, input_dim=3)])
    net.compile("sgd", "mse", metrics=["accuracy"])
    with pytest.warns(UserWarning, match="accuracy"):
        net.fit(X, X[:, 0] * 9 - 5, verbose=0)


def test_labels_that_are_often_given() -> None:
    for y, words in ((X[:, 0] > 0) + 1, "y has 2 at row"), (np.sign(X[:, 0]), r"has -1 .*\(y \+ 1\) / 2 makes"):
        net = Sequential([Dense(1, "sigmoid", input_dim=3)])
        net.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        with pytest.raises(ValueError, match=words):
            net.fit(X, y, verbose=0)


def test_lines_of_rows_are_named() -> None:
    net = Sequential([Dense(1, "sigmoid", input_shape=(5, 2))])
    net.compile("sgd", "binary_crossentropy")
    x, y = np.zeros((6, 5, 2)), np.zeros((6, 5, 1))
    y[4, 3] = 2
    with pytest.raises(ValueError, match="y has 2 at row 4, line 3, column 0"):
        net.fit(x, y, verbose=0)
    weight = np.ones((6, 5))
    weight[4, 3] = 0
    net.fit(x, y, sample_weight=weight, verbose=0)


def test_two_outputs_are_named() -> None:
    from fastnn.layers import Input
    from fastnn.models import Model

    x = Input((3,))
    net = Model(x, [Dense(2, name="a")(x), Dense(1, "sigmoid", name="b")(x)])
    net.compile("sgd", ["mse", "bce"])
    y = np.zeros(ROWS)
    y[BAD] = -1
    with pytest.raises(ValueError, match=f"output 'b': y has -1 at row {BAD}"):
        net.fit(X, [np.full((ROWS, 2), -5.0), y], verbose=0)


def test_whether_the_values_are_those_of_the_rows_that_count() -> None:
    """Rows that weigh 0 and hold no numbers are absent, also for metrics that take no weights."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, ROWS).astype("f4")
    weight = rng.uniform(1, 2, ROWS).astype("f4")
    names = [
        "mae",
        "binary_accuracy",
        "auc",
        metrics.MeanMetricWrapper(lambda y, p: np.abs(y - p).mean(axis=-1), "own"),
    ]
    for spoil in ("x", "y", "range"):
        x, bad, w = X.copy(), y.copy(), weight.copy()
        w[[2, 9, 33]] = 0
        kept = w != 0
        if spoil == "x":
            x[[2, 9]], x[33, 1] = np.nan, np.inf
        else:
            bad[[2, 9, 33]] = np.nan if spoil == "y" else 5
        net = Sequential([Dense(6, "tanh", input_dim=3), Dense(1, "sigmoid")])
        net.compile("sgd", "bce", metrics=names, weighted_metrics=["mae"])
        found = net.evaluate(x, bad, sample_weight=w, batch_size=16, verbose=0)
        wanted = net.evaluate(x[kept], bad[kept], sample_weight=w[kept], batch_size=16, verbose=0)
        np.testing.assert_allclose(found[1:], wanted[1:], rtol=1e-6)
        logs = net.fit(x, bad, sample_weight=w, batch_size=ROWS, verbose=0).history
        seen = [logs[name][0] for name in ("mae", "binary_accuracy", "auc", "own", "weighted_mae")]
        np.testing.assert_allclose(seen, wanted[1:], rtol=1e-6)


def test_a_row_of_weight_0_with_numbers_counts_for_metrics_without_weights() -> None:
    """As in Keras: metrics= take no weights."""
    y = np.zeros((ROWS, 1), "f4")
    net = Sequential([Dense(1, input_dim=3)])
    net.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    weight = (np.arange(ROWS) < 10) * 1.0
    _, plain, weighted = net.evaluate(X, y, sample_weight=weight, verbose=0)
    size = np.abs(net.predict(X, verbose=0))[:, 0]
    np.testing.assert_allclose([plain, weighted], [size.mean(), size[:10].mean()], rtol=1e-5)


def test_a_subclass_may_make_other_targets_of_them() -> None:
    """What its own code hands on is checked, not what that is given."""

    class Signs(losses.BinaryCrossentropy):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return super().call((y_true + 1) / 2, y_pred)

    class Found(metrics.Recall):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            super().update_state((y_true + 1) / 2, y_pred, sample_weight)

    class Twice(metrics.Recall):
        def result(self) -> Any:
            return 2 * super().result()

    y = np.where(X[:, :1] > 0, 1.0, -1.0)
    net = Sequential([Dense(1, "sigmoid", input_dim=3)])
    net.compile("sgd", Signs(), metrics=[Found(name="found")])
    net.fit(X, y, verbose=0)
    y[BAD] = 5
    with pytest.raises(ValueError, match=r"loss '\w+': y has 3 at row \d+, column 0.*the row is one of a batch"):
        net.fit(X, y, verbose=0)
    net = Sequential([Dense(1, "sigmoid", input_dim=3)])
    net.compile("sgd", "mse", metrics=[Twice(name="twice")])
    with pytest.raises(ValueError, match=f"metric 'twice': y has 5 at row {BAD}, column 0"):
        net.fit(X, np.where(y < 0, 0, y), verbose=0)


@pytest.mark.parametrize("bad", [0, 700, 1023])
def test_whichever_thread_meets_it(bad: int) -> None:
    """All threads stop before any weight has changed."""
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(2)
    try:
        x = np.random.default_rng(0).normal(size=(1024, 64)).astype("f4")
        y = (x[:, :1] > 0) * 1.0
        y[bad] = 2
        net = Sequential([Dense(96, "relu", input_dim=64), Dense(80, "relu"), Dense(1, "sigmoid")])
        net.compile("sgd", "bce", metrics=["accuracy"])
        weights = net.get_weights()
        for fails in (net.fit, net.evaluate):
            with pytest.raises(ValueError, match=f"y has 2 at row {bad}, column 0"):
                fails(x, y, batch_size=1024, verbose=0)
        for now, then in zip(net.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, then)
        y[bad] = 1
        net.fit(x, y, batch_size=256, verbose=0)
    finally:
        fastnn.set_num_threads(before)

"""Epochs that run together in one call give what they give one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, History
from fastnn.callbacks.base import TrainerCallback
from fastnn.layers import BatchNormalization, Dense, Dropout, Input
from fastnn.losses import MeanSquaredError
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam, Optimizer
from fastnn.optimizers.schedules import ExponentialDecay
from fastnn.training import unobserved
from fastnn.training.loop import FitLoop
from support.signals import ctrl_c

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 4)).astype(np.float32)
Y = (RNG.random((53, 1)) < 0.5).astype(np.float32)
W = RNG.random(53).astype(np.float32)


class Looks(Callback):
    """Something to call before each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        pass


def model(optimizer: Optimizer, *layers: Any, metrics: Any = (), loss: Any = "binary_crossentropy") -> Sequential:
    fastnn.set_random_seed(3)
    made = Sequential([Input((4,)), *layers, Dense(1, "sigmoid" if loss == "binary_crossentropy" else None)])
    made.compile(optimizer, loss, metrics=list(metrics))
    return made


def next_number() -> float:
    return float(fastnn.random.generator().random())


@pytest.fixture
def no_single_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(loop: FitLoop, batches: object) -> int:
        raise AssertionError("an epoch ran by itself")

    monkeypatch.setattr(FitLoop, "run", run)


@pytest.mark.parametrize(
    "optimizer",
    [Adam, lambda: SGD(ExponentialDecay(0.1, 7, 0.9)), lambda: Adam(use_ema=True, ema_overwrite_frequency=9)],
    ids=["adam", "schedule", "ema"],
)
@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"sample_weight": W}, {"initial_epoch": 5}], ids=str)
@pytest.mark.parametrize("metrics", [(), ("accuracy", "AUC", "mse")], ids=["loss", "metrics"])
@pytest.mark.parametrize("first", [0, unobserved.FIRST])  # calls of 1, 2, 4, ... epochs, or one of all
def test_the_same_bits_as_one_by_one(
    optimizer: Callable[[], Optimizer], options: Any, metrics: Any, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unobserved, "FIRST", first)
    found = []
    for callbacks in ([], [Looks()]):
        made = model(optimizer(), Dense(5, "relu"), Dropout(0.3), BatchNormalization(), metrics=metrics)
        seen = made.fit(X, Y, 8, 23, verbose=0, callbacks=callbacks, **options)
        weights = [array.tobytes() for array in made.get_weights()]
        found.append((weights, seen.history, seen.epoch, seen.learning_rate, next_number()))
        assert len(seen.seconds) == len(seen.epoch)
        assert all(seconds >= 0 for seconds in seen.seconds)
    assert found[0] == found[1]
    made.fit(X, Y, 8, 2, verbose=0)  # and another fit goes on from there


@pytest.mark.usefixtures("no_single_epoch")
def test_epochs_run_together() -> None:
    assert len(model(Adam(), metrics=["accuracy"]).fit(X, Y, 8, 40, verbose=0).epoch) == 40


@pytest.mark.parametrize("own", [Looks(), type("H", (History,), {"on_epoch_end": History.on_epoch_end})()])
@pytest.mark.usefixtures("no_single_epoch")
def test_callbacks_see_each_epoch(own: Callback) -> None:
    with pytest.raises(AssertionError, match="ran by itself"):
        model(Adam()).fit(X, Y, 8, 4, verbose=0, callbacks=[own])


def test_metrics_of_python_see_each_epoch() -> None:
    calls = []

    class Own(MeanSquaredError):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            calls.append(len(y_true))
            return super().call(y_true, y_pred)

    model(Adam(), loss=Own()).fit(X, Y, 53, 3, verbose=0)
    assert calls == [53] * len(calls)
    assert len(calls) >= 3


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loss_that_overflows_ends_the_fit_as_one_by_one(shuffle: bool) -> None:
    found = []
    for callbacks in ([], [Looks()]):
        made = model(SGD(ExponentialDecay(1e-3, 7, 1.5)), Dense(5), loss="mse")
        with pytest.raises(FloatingPointError) as error:
            made.fit(X, Y, 8, 500, verbose=0, shuffle=shuffle, callbacks=callbacks)
        assert len(made.history.epoch) > 3
        history, weights = made.history, [array.tobytes() for array in made.get_weights()]
        found.append((str(error.value), weights, history.history, history.epoch, next_number()))
    assert found[0] == found[1]


def test_a_bad_row_is_named_as_one_by_one() -> None:
    x = X.copy()
    x[37, 2] = np.nan
    said = []
    for callbacks in ([], [Looks()]):
        with pytest.raises(ValueError, match="row 37") as error:
            model(SGD(0.1)).fit(x, Y, 8, 5, verbose=0, callbacks=callbacks)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_interrupted_it_has_whole_epochs_in_its_history() -> None:
    made = model(SGD(1e-4), loss="mse")
    before = fastnn.random.generator().bit_generator.state
    ctrl_c(lambda: made.fit(X, Y, 8, 10**8, verbose=0))
    done = len(made.history.epoch)
    assert done > 10, (done, int(made.optimizer.iterations))
    assert done <= made.optimizer.iterations / 7 < done + 1
    after = fastnn.random.generator().bit_generator.state
    seen = []
    for drawn in (done, done + 1):  # between two epochs, or within one
        fastnn.random.generator().bit_generator.state = before
        fastnn.random.generator().bit_generator.random_raw(drawn)
        seen.append(fastnn.random.generator().bit_generator.state)
    assert after in seen


def test_another_thread_may_end_it() -> None:
    made = model(SGD(1e-4), loss="mse")
    timer = threading.Timer(0.2, setattr, (made, "stop_training", True))
    timer.start()
    assert len(made.fit(X, Y, 8, 10**8, verbose=0).epoch) > 10


@pytest.mark.parametrize("hook", ["pauses", "between"])
def test_hooks_of_the_clock_are_called_between_short_epochs(hook: str) -> None:
    times = []
    called = type("Called", (TrainerCallback,), {hook: lambda self: times.append(hook)})
    model(Adam()).fit(X, Y, 8, 100, verbose=0, callbacks=[called()])
    assert 1 <= len(times) < 100


def test_one_by_one_each_epoch_has_a_between() -> None:
    times = []
    called = type("Called", (TrainerCallback,), {"between": lambda self: times.append(1)})
    model(Adam()).fit(X, Y, 8, 10, verbose=0, callbacks=[called(), Looks()])
    assert len(times) == 10


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    x = np.random.default_rng(1).normal(size=(600, 4)).astype(np.float32)
    y = x @ x[:4, :1]
    found = []
    before = fastnn.get_num_threads()
    try:
        for number in (1, threads):
            fastnn.set_num_threads(number)
            made = model(Adam(), Dense(300, "relu"), Dense(200, "relu"), loss="mse")
            made.fit(x, y, 200, 6, verbose=0)
            found.append([array.tobytes() for array in made.get_weights()])
    finally:
        fastnn.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize("metrics", [(), ("accuracy", "mse")], ids=["loss", "metrics"])
def test_a_history_is_read_between_epochs_of_all_kinds(metrics: Any) -> None:
    made = model(SGD(ExponentialDecay(0.1, 7, 0.9)), metrics=metrics)
    tables = [made.fit(X, Y, 8, n, verbose=0)._later[0] for n in (3, 1, 4)]  # type: ignore[attr-defined]
    for reads in range(16):  # after which of the four entries it is read
        history, wanted = History(), []
        for entry, table in enumerate((tables[0], None, tables[1], tables[2])):
            if table is None:
                history.on_epoch_end(3, {"loss": 0.5, "own": 1.0})
                wanted.append({"loss": 0.5, "own": 1.0})
            else:
                history.enter(table)
                wanted += [logs for _, logs, _ in table.rows()]
            if reads >> entry & 1:
                assert history.history["loss"] == [logs["loss"] for logs in wanted]
        for name in history.history:
            assert history.history[name] == [logs[name] for logs in wanted if name in logs]
        assert len(history.epoch) == len(wanted) == 9
        assert set(history.history) == {"loss", "own", *metrics}

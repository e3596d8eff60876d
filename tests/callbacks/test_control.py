"""What sets the learning rate, and what ends a fit."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fastnn.callbacks import LambdaCallback, LearningRateScheduler, TerminateOnNaN, TimeBudget
from fastnn.optimizers import SGD
from support.scripted import Recorder, X, Y, model_of

# LearningRateScheduler


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda epoch: 0.1 / (epoch + 1), [0.1, 0.05, 0.1 / 3]),
        (lambda epoch, lr: lr / 2, [0.005, 0.0025, 0.00125]),
        (lambda epoch, lr=3: np.float32(0.5), [0.5, 0.5, 0.5]),
        (lambda epoch, lr: 0, [0, 0, 0]),
    ],
)
def test_a_schedule_by_epochs(schedule, expected):
    model = model_of()
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[LearningRateScheduler(schedule)])
    assert history.history["learning_rate"] == pytest.approx(expected, rel=1e-12)
    assert model.optimizer.learning_rate == pytest.approx(expected[-1], rel=1e-12)


def test_it_says_what_it_sets(capsys):
    model_of().fit(
        X, Y, epochs=2, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.5 - epoch / 4, verbose=1)]
    )
    assert capsys.readouterr().out == (
        "Epoch 1: LearningRateScheduler sets the learning rate to 0.5\n"
        "Epoch 2: LearningRateScheduler sets the learning rate to 0.25\n"
    )


@pytest.mark.parametrize("wrong", [None, "0.1", -0.1, float("nan"), float("inf"), True, [0.1]])
def test_what_is_no_learning_rate(wrong):
    with pytest.raises(ValueError, match="learning rate must be a finite number of at least 0, got"):
        model_of().fit(X, Y, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: wrong)])


def test_an_error_in_a_schedule_comes_out():
    def schedule(epoch, rate):
        raise TypeError("of my own")

    with pytest.raises(TypeError, match="of my own"):
        model_of().fit(X, Y, verbose=0, callbacks=[LearningRateScheduler(schedule)])


# TerminateOnNaN


def test_a_fit_that_diverges_ends_quietly(capsys):
    model, log = model_of(optimizer=SGD(1e30), metrics=["mae"]), []
    history = model.fit(X, Y, 5, 9, 0, [TerminateOnNaN(), Recorder("a", log)], validation_data=(X, Y))
    assert np.isnan(history.history["loss"][-1])
    assert history.epoch == list(range(len(history.epoch)))
    assert len(history.epoch) < 9
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert log[-1][1] == "train end"
    assert "the loss is NaN or infinite, the fit ends: the loss is not finite after" in capsys.readouterr().out


@pytest.mark.parametrize("batch", [0, 2])
def test_the_bad_batch_is_named(batch, capsys):
    x = X.copy()
    x[5 * batch + 1, 2] = np.nan
    model, plain = model_of(), model_of()
    history = model.fit(x, Y, 5, 9, 0, TerminateOnNaN(), shuffle=False)
    assert capsys.readouterr().out.startswith(
        f"Batch {batch}: the loss is NaN or infinite, the fit ends: x has nan at row"
    )
    assert np.isnan(history.history["loss"]).tolist() == [True]
    if batch:
        plain.fit(X[: 5 * batch], Y[: 5 * batch], 5, 1, 0, shuffle=False)
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


def test_a_bad_batch_may_be_an_error():
    model, ended = model_of(optimizer=SGD(1e38)), []
    callbacks = [TerminateOnNaN(raise_error=True), LambdaCallback(on_train_end=ended.append)]
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered in batch 1: the loss is not finite"):
        model.fit(X, Y, 5, 9, 0, callbacks)
    assert len(ended) == 1


# TimeBudget


class Sleepy(LambdaCallback):
    def __init__(self, seconds: float, **hooks) -> None:
        super().__init__(on_epoch_begin=lambda epoch, logs: time.sleep(seconds), **hooks)


def test_a_fit_ends_when_its_time_is_over(capsys):
    model = model_of()
    history = model.fit(X, Y, epochs=1000, verbose=0, callbacks=[Sleepy(0.02), TimeBudget(0.1, verbose=1)])
    assert 1 <= len(history.epoch) <= 5
    assert capsys.readouterr().out == f"Epoch {len(history.epoch)}: 0.1 seconds are over\n"
    # The next fit has its own time.
    assert len(model.fit(X, Y, epochs=2, verbose=0, callbacks=TimeBudget(60)).epoch) == 2


def test_an_epoch_is_cut_short():
    x = np.zeros((200_000, 3), np.float32)
    model = model_of()
    began = time.perf_counter()
    history = model.fit(x, x[:, 0], 1, 100, 0, callbacks=TimeBudget(0.05))
    assert model.description.network.iterations < 100 * len(x)
    assert len(history.epoch) >= 1
    assert np.isfinite(history.history["loss"]).all()
    assert time.perf_counter() - began < 20  # all epochs take minutes


def test_a_budget_changes_no_step():
    plain, timed = model_of(), model_of()
    for model, callbacks in ((plain, None), (timed, TimeBudget(1e6))):
        model.fit(X, Y, 1, 5, 0, callbacks, shuffle=False)
    np.testing.assert_array_equal(plain.get_weights()[0], timed.get_weights()[0])


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_what_is_no_budget(wrong):
    with pytest.raises(ValueError, match="seconds must be above 0"):
        TimeBudget(wrong)

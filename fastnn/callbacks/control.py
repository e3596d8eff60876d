"""Callbacks that steer a fit: its learning rate, its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastnn._checks import check_flag, check_number, shown
from fastnn._output import say
from fastnn.callbacks.base import Logs, TrainerCallback, check_hook, checked_verbose
from fastnn.callbacks.rate import enter_rate, rate_of, set_rate
from fastnn.callbacks.state import checked_state

__all__ = ["LearningRateScheduler", "TerminateOnNaN", "TimeBudget"]


class LearningRateScheduler(TrainerCallback):
    """Sets the learning rate before each epoch to ``schedule(epoch, learning_rate)``, or to ``schedule(epoch)``.

    epoch counts from 0. The logs, and the history, have the learning rate as learning_rate. TypeError for what cannot
    be called so, and where the optimizer's learning rate is a schedule; ValueError where this one gives no number of at
    least 0.
    """

    adds = ("learning_rate",)

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(
                "LearningRateScheduler: schedule must be a function of (epoch) or (epoch, learning_rate), got "
                f"{shown(schedule)}"
            )
        self.schedule = schedule
        self.verbose = checked_verbose(self, verbose)
        self._takes_rate = _takes_two(schedule)

    def checks(self, fit: Any) -> None:
        rate_of(self.model, "LearningRateScheduler")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        rate = rate_of(self.model, "LearningRateScheduler")
        rate = self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch)
        set_rate(self.model, rate)
        if self.verbose:
            say(f"Epoch {epoch + 1}: LearningRateScheduler sets the learning rate to {float(rate):g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        enter_rate(self.model, logs)


def _takes_two(function: Callable[..., Any]) -> bool:
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code does not say
        return False
    try:
        signature.bind(0, 0.0)
    except TypeError:
        check_hook("LearningRateScheduler: schedule", function, ("epoch",))
        return False
    return True


class TerminateOnNaN(TrainerCallback):
    """A loss that is not finite ends the fit, without an error: the epoch's loss is then NaN.

    The weights are those before the bad batch. raise_error: RuntimeError instead.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error
        check_flag(self, "raise_error")

    def accepts(self, error: Exception, batch: int) -> bool:
        if self.raise_error:
            raise RuntimeError(f"NaN or Inf loss encountered in batch {batch}: {error}") from error
        say(f"Batch {batch}: the loss is NaN or infinite, the fit ends: {error}")
        self.model.stop_training = True
        return True


class TimeBudget(TrainerCallback):
    """Ends the fit after the batch in which `seconds` have passed since it began; the epoch is cut short.

    The clock is looked at ten times a second or so. ValueError for a number that is not above 0.
    """

    def __init__(self, seconds: float, verbose: int = 0) -> None:
        self.seconds = seconds
        self.verbose = checked_verbose(self, verbose)
        check_number(self, "seconds", 0, open_low=True)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._start = time.perf_counter()

    def pauses(self) -> None:
        if time.perf_counter() - self._start >= self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.pauses()
        if self.verbose and self.model.stop_training:
            say(f"Epoch {epoch + 1}: {self.seconds:g} seconds are over")

    def get_state(self) -> dict[str, Any]:
        return {"spent": time.perf_counter() - self._start}

    def set_state(self, state: dict[str, Any]) -> None:
        self._start = time.perf_counter() - checked_state(self, state, spent=float)["spent"]

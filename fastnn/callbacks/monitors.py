"""Callbacks that watch one quantity: stop when it no longer improves, or lower the learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_flag, check_number, shown
from fastnn._output import say, warn
from fastnn.callbacks.base import Logs, TrainerCallback, checked_verbose
from fastnn.callbacks.rate import enter_rate, rate_of, set_rate
from fastnn.callbacks.state import checked_state

__all__ = ["EarlyStopping", "ReduceLROnPlateau"]

# What tells a quantity that should rise from one that should fall, by its name.
_RISING = (
    "acc",
    "auc",
    "precision",
    "recall",
    "specificity",
    "sensitivity",
    "f1",
    "f_beta",
    "fbeta",
    "iou",
    "r2",
    "top_k",
    "cosine_similarity",
    "true_",
)
_FALLING = (
    "loss",
    "error",
    "mse",
    "mae",
    "mape",
    "msle",
    "entropy",
    "divergence",
    "hinge",
    "cosh",
    "huber",
    "poisson",
    "likelihood",
    "pinball",
    "quantile",
    "false_",
)


def rises(what: str, name: str, mode: str = "auto") -> bool:
    """Whether more of a quantity is better. mode: "min", "max", or "auto", which goes by its name.

    ValueError, which begins with `what`, for another mode, and where "auto" does not know the name.
    """
    if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
        raise ValueError(f"{what}: mode must be 'auto', 'min' or 'max', got {shown(mode)}")
    rising = mode == "max" or (mode == "auto" and any(word in name for word in _RISING))
    if mode == "auto" and not rising and not any(word in name for word in _FALLING):
        raise ValueError(f"{what}: whether {name!r} should rise or fall is not known; pass mode='max' or mode='min'")
    return rising


class Monitor(TrainerCallback):
    """What those share that watch a quantity: its name in the logs, and what counts as better.

    monitor: a name in the logs ("loss", "val_loss", "val_accuracy", ...). mode: "min", "max", or "auto", which goes by
    the name. min_delta: a smaller change is none. The first figure is the best so far whatever it is, NaN and infinity
    too, as in Keras. ValueError where "auto" does not know the name; before the first epoch where the logs will not
    have it, or not as one number. Where another callback might have added it and has not, a warning.
    """

    best: float | None = None  # None before the first figure

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0) -> None:
        kind = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{kind}: monitor must be a name in the logs, such as 'val_loss', got {shown(monitor)}")
        self.monitor = monitor
        self.mode = "max" if rises(kind, monitor, mode) else "min"
        self.min_delta = min_delta
        check_number(self, "min_delta", float("-inf"))
        self.min_delta = abs(self.min_delta)
        self._sign = -1.0 if self.mode == "max" else 1.0

    @property
    def monitor_op(self) -> Any:
        """NumPy's function that says whether a figure is an improvement: less or greater."""
        return np.greater if self.mode == "max" else np.less

    def checks(self, fit: Any) -> None:
        self.check_monitor(*fit.expected(self, "on_epoch_end"))

    def check_monitor(self, logs: Logs, certain: bool) -> None:
        """ValueError where the logs, as they will be, do not have the quantity as one number."""
        if self.monitor in logs:
            value = logs[self.monitor]
            if number_of(value) is None:
                raise ValueError(
                    f"{type(self).__name__}: monitor {self.monitor!r} is an array of shape {np.shape(value)}; what is "
                    "watched must be one number: take the metric with an average, or another one"
                )
        elif certain:
            raise ValueError(self._missing(logs))

    def _missing(self, logs: Logs) -> str:
        hint = "" if self.monitor.removeprefix("val_") in logs else _names.hint(self.monitor, logs)
        return (
            f"{type(self).__name__}: monitor {self.monitor!r}{hint} is not in the logs, which have "
            f"{', '.join(sorted(logs))}; name one of these, or pass validation_data for those that begin with val_"
        )

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is an improvement on another, or the first."""
        return than is None or bool(self._sign * value < self._sign * than - self.min_delta)

    def value(self, logs: Logs | None) -> float | None:
        """The quantity; None after an epoch without validation, where others have one."""
        logs = logs or {}
        if self.monitor in logs:
            value = number_of(logs[self.monitor])
            if value is None:
                warn(
                    f"{type(self).__name__}: monitor {self.monitor!r} must be one number, got "
                    f"{shown(logs[self.monitor])}; the epoch does not count"
                )
            return value
        if not self.monitor.startswith("val_") or self.params.get("validation_freq", 1) == 1:
            warn(self._missing(logs))
        return None


def number_of(value: Any) -> float | None:
    """A number, or an array of one, as a float; None for all else."""
    try:
        array = np.asarray(value)
        return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None
    except Exception:  # of a class of the user's own
        return None


class EarlyStopping(Monitor):
    """End the fit when a quantity has not improved for `patience` epochs.

    monitor, min_delta, mode: see Monitor. patience: epochs without improvement before the end. baseline: the quantity
    must at least beat this. restore_best_weights: end with the weights of the best epoch, also where an error or
    Ctrl-C ends the fit. start_from_epoch: epochs to let pass first.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = checked_verbose(self, verbose)
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        check_number(self, "patience", 0)
        check_number(self, "start_from_epoch", 0)
        if baseline is not None:
            check_number(self, "baseline", float("-inf"))
        check_flag(self, "restore_best_weights")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.verbose and self.stopped_epoch:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)
            if self.verbose:
                say(f"Restored the weights of the best epoch: {self.best_epoch + 1}")

    def get_state(self) -> dict[str, Any]:
        names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: dict[str, Any]) -> None:
        kinds = {"wait": int, "stopped_epoch": int, "best": float | None, "best_epoch": int, "best_weights": list}
        vars(self).update(checked_state(self, state, **kinds))


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when a quantity has not improved for `patience` epochs.

    monitor, mode, min_delta: see Monitor. factor: 0 to below 1. cooldown: epochs after a reduction that do not count.
    min_lr: the learning rate goes no lower. The logs, and the history, have the epoch's as learning_rate.
    TypeError where the optimizer's learning rate is a schedule.
    """

    adds = ("learning_rate",)

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = checked_verbose(self, verbose)
        self.cooldown = cooldown
        self.min_lr = min_lr
        check_number(self, "factor", 0, 1, open_high=True)
        for name in ("patience", "cooldown", "min_lr"):
            check_number(self, name, 0)

    def checks(self, fit: Any) -> None:
        super().checks(fit)
        rate_of(self.model, "ReduceLROnPlateau")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        enter_rate(self.model, logs)
        value = self.value(logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best = value
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        rate = rate_of(self.model, "ReduceLROnPlateau")
        if rate <= self.min_lr:
            return
        lower = max(rate * self.factor, self.min_lr)
        set_rate(self.model, lower)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            say(f"Epoch {epoch + 1}: ReduceLROnPlateau reduces the learning rate to {lower:g}")

    def get_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("best", "cooldown_counter", "wait")}

    def set_state(self, state: dict[str, Any]) -> None:
        vars(self).update(checked_state(self, state, best=float | None, cooldown_counter=int, wait=int))

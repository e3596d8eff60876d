"""Callbacks: what may happen between epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnn.models import Model

Logs = Mapping[str, float]

# Keras's hooks that nothing here calls: between two batches no Python runs.
_NEVER_CALLED = tuple(
    f"on_{what}_{when}"
    for what in ("batch", "train_batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("begin", "end")
)


class Callback:
    """Methods that a fit calls; override those that you want. ``self.model`` is the model, ``self.params`` the fit's.

    Set ``self.model.stop_training = True`` to end the fit after the epoch. An epoch is one compiled call, so there
    are no hooks for single batches.
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        """Called once, before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once, before training, with epochs, batch_size and verbose."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; logs are that epoch's."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before epoch number `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After epoch number `epoch`; logs hold its loss and metrics, with val_ those of the validation rows."""


class History(Callback):
    """What each epoch gave: ``history["loss"]`` is a list with one number for each epoch, ``epoch`` their numbers."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class EarlyStopping(Callback):
    """End the fit when a figure has not improved for `patience` epochs.

    monitor: a name in the logs ("loss", "val_loss", "val_accuracy", ...). min_delta: a smaller change is none.
    patience: epochs without improvement before the end. mode: "min", "max", or "auto", which is "max" for accuracies.
    baseline: the figure must at least beat this. restore_best_weights: end with the weights of the best epoch.
    start_from_epoch: epochs to let pass first. ValueError where the logs do not have `monitor`.
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
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'auto', 'min' or 'max', got {mode!r}")
        if patience < 0:
            raise ValueError(f"EarlyStopping: patience must be at least 0, got {patience}")
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        rising = mode == "max" or (mode == "auto" and ("accuracy" in monitor or monitor.endswith("acc")))
        self._sign = -1.0 if rising else 1.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = np.inf * self._sign
        self.best_epoch = 0
        self._best_weights: Any = None

    def _better(self, value: float, than: float) -> bool:
        return bool(self._sign * value < self._sign * than - self.min_delta)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"EarlyStopping: monitor {self.monitor!r} is not in the logs, which have {', '.join(sorted(logs))}; "
                "name one of these, or pass validation_data for those that begin with val_"
            )
        if epoch < self.start_from_epoch:
            return
        value = logs[self.monitor]
        if self.restore_best_weights and self._best_weights is None:
            self._best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self._better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._best_weights = self.model.get_weights()
            if self.baseline is None or self._better(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self._best_weights is not None:
            self.model.set_weights(self._best_weights)
            if self.verbose:
                print(f"Restored the weights of the best epoch: {self.best_epoch + 1}")


def checked(callbacks: Callback | Iterable[Callback] | None) -> list[Callback]:
    """The callbacks as a list. TypeError for what is none, ValueError for a hook that would never be called."""
    if callbacks is None:
        return []
    chosen = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    for callback in chosen:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be fastnn.callbacks.Callback objects, got {callback!r}")
        for hook in _NEVER_CALLED:
            if hasattr(callback, hook):
                raise ValueError(
                    f"{type(callback).__name__}.{hook} would never be called: callbacks are for fit, whose epoch is "
                    "one compiled call; use on_epoch_end, or call train_on_batch in a loop of your own"
                )
    return chosen

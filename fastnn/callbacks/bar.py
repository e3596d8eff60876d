"""The bar of a fit, for loops of one's own that call callbacks."""

from __future__ import annotations

from typing import Any

from fastnn._output import say
from fastnn._progbar import Progbar
from fastnn.callbacks.base import ADDED, Logs, TrainerCallback

__all__ = ["ProgbarLogger"]


class ProgbarLogger(TrainerCallback):
    """Shows epochs and batches by a bar, with their logs, in a loop of one's own that calls its hooks.

    ``set_params`` says verbose, epochs and steps. A fit, an evaluation or a prediction of a model shows its own bar, by
    its `verbose`, and this one nothing more.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.progbar: Progbar | None = None
        self.target: int | None = None
        self.verbose = 1
        self.epochs = 1
        self._in_fit = False
        self._joined = False  # a trainer's loop runs it

    def joins(self) -> None:
        self._joined = True

    def listens(self, hook: str) -> bool:
        return not self._joined and super().listens(hook)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else verbose
        self.epochs, self.target = params.get("epochs", 1), params.get("steps")

    def _begin(self) -> None:
        self.seen, self.progbar = 0, Progbar(self.target, verbose=self.verbose)

    def _update(self, batch: int, logs: Logs | None) -> None:
        self.seen = batch + 1
        if self.progbar is None:
            self._begin()
        assert self.progbar is not None
        if self.verbose == 1:
            self.progbar.update(self.seen, list((logs or {}).items()), finalize=False)

    def _end(self, logs: Logs | None) -> None:
        if self.progbar is not None and self.verbose:
            done = self.progbar.target = self.target or self.seen
            self.progbar.update(done, list((logs or {}).items()), finalize=True)
        self.progbar = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = not self._joined

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._begin()
        if self.verbose and self.epochs > 1:
            say(f"Epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._begin()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._update(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._begin()

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._end(None)


ADDED["add_progbar"] = ProgbarLogger

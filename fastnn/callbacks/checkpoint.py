"""The model in a file, after epochs or batches."""

from __future__ import annotations

import contextlib
import os
from os import PathLike
from typing import Any

from fastnn._table import check_count
from fastnn.callbacks.backup import checked_freq
from fastnn.callbacks.base import Logs, naming
from fastnn.callbacks.monitors import Monitor

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Monitor):
    """Writes the model to `filepath` after each epoch, or only where a quantity is the best so far.

    filepath: may name the epoch, from 1, and what the logs have: "{epoch:02d}-{val_loss:.2f}.fastnn"; with save_freq
    also {batch}. Missing folders are made. monitor, mode: see Monitor; used with save_best_only. save_weights_only: as
    ``Model.save_weights`` does. save_freq: "epoch", or after how many batches; each batch is a call of its own then.
    initial_value_threshold: the first quantity must be better. every_n_epochs: with save_freq="epoch", only after every
    so many. keep: delete all but so many of the files written: the newest; with save_best_only the best, and a file is
    then written wherever it is one of these. ValueError where filepath names what the logs do not have; OSError where
    it cannot be written, and the file that was there stays.
    """

    def __init__(
        self,
        filepath: str | PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        every_n_epochs: int = 1,
        keep: int | None = None,
    ) -> None:
        super().__init__(monitor, mode if save_best_only else "min")
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = checked_freq(self, save_freq)
        self.every_n_epochs = check_count("every_n_epochs", every_n_epochs)
        self.keep = None if keep is None else check_count("keep", keep)
        self.threshold = self.worst if initial_value_threshold is None else float(initial_value_threshold)
        self.best = self.threshold
        self._files: list[tuple[float, str]] = []  # with the quantity of each, the oldest first
        self._batches = 0
        self._epoch = 0

    def listens(self, hook: str) -> bool:
        return super().listens(hook) and hook != ("on_train_batch_end" if self.save_freq == "epoch" else "on_epoch_end")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if (epoch + 1) % self.every_n_epochs == 0:
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Logs) -> None:
        value = self.value(logs) if self.save_best_only else 0.0
        if value is None:
            return
        path = self._path(epoch, logs)
        if self.save_best_only and not self.better(value, self._bar()):
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.monitor} did not improve on {self._bar():.5f}")
            return
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with naming(path):
            (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            reached = f"{self.monitor} reached {value:.5f}, " if self.save_best_only else ""
            print(f"Epoch {epoch + 1}: {reached}model saved to {path}")
        if self.save_best_only and self.better(value, self.best):
            self.best = value
        self._tidy(value, path)

    def _bar(self) -> float:
        """What a quantity must be better than."""
        if self.keep is None:
            return self.best
        return self.threshold if len(self._files) < self.keep else self._worst_file()[0]

    def _worst_file(self) -> tuple[float, str]:
        return max(self._files, key=lambda file: self._sign * file[0])

    def _tidy(self, value: float, path: str) -> None:
        if self.keep is None:
            return
        self._files = [file for file in self._files if file[1] != path] + [(value, path)]
        while len(self._files) > self.keep:
            file = self._worst_file() if self.save_best_only else self._files[0]
            self._files.remove(file)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file[1])

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}, but there are only "
                f"{', '.join(sorted({'epoch', *logs}))}"
            ) from None

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "files": self._files, "batches": self._batches}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self._batches = state["best"], state["batches"]
        self._files = [(value, path) for value, path in state["files"]]

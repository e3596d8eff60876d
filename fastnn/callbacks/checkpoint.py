"""The model in a file, after epochs or batches."""

from __future__ import annotations

import contextlib
import math
import os
from os import PathLike
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._output import printable, say
from fastnn._table import check_count, check_flag, check_number
from fastnn.callbacks.backup import checked_freq
from fastnn.callbacks.base import Logs, folder_for, naming, path_of
from fastnn.callbacks.monitors import Monitor, number_of

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
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        for name in ("save_best_only", "save_weights_only"):
            check_flag(self, name)
        super().__init__(monitor, mode if save_best_only else "min")
        self.filepath = path_of(self, "filepath", filepath)
        self._fields = _fields_of(self.filepath)
        self.verbose = verbose
        self.save_freq = checked_freq(self, save_freq)
        self.every_n_epochs = check_count("every_n_epochs", every_n_epochs)
        self.keep = None if keep is None else check_count("keep", keep)
        self.initial_value_threshold = initial_value_threshold
        if initial_value_threshold is not None:
            check_number(self, "initial_value_threshold", float("-inf"))
        self.best = initial_value_threshold
        self._files: list[tuple[float, str]] = []  # with the quantity of each, the oldest first
        self._batches = 0
        self._epoch = 0

    def listens(self, hook: str) -> bool:
        return super().listens(hook) and hook != ("on_train_batch_end" if self.save_freq == "epoch" else "on_epoch_end")

    def checks(self, fit: Any) -> None:
        by_epoch = self.save_freq == "epoch"
        logs, certain = fit.expected(self, "on_epoch_end" if by_epoch else "on_train_batch_end")
        logs = logs if by_epoch else {"batch": 0, **logs}
        if self.save_best_only:
            self.check_monitor(logs, certain)
        if certain or self._fields <= {"epoch", *logs}:
            seldom = self._validated_too_seldom() if by_epoch else set()
            path = self._path(0, {name: value for name, value in logs.items() if name not in seldom})
        else:
            path = self.filepath  # another callback may give what it names
        if self._fields:
            path = os.path.join(os.path.dirname(self.filepath.partition("{")[0]), "file")
        folder_for(path)

    def _validated_too_seldom(self) -> set[str]:
        """The names of figures that some of the epochs that are saved lack."""
        freq = self.params["validation_freq"]
        if freq == 1 or (type(freq) is int and self.every_n_epochs % freq == 0):
            return set()
        if self.save_best_only and self.monitor.startswith("val_"):
            return set()
        return {name for name in self._fields if name.startswith("val_")}

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
                say(f"Epoch {epoch + 1}: {printable(self.monitor)} did not improve on {self._bar():.5f}")
            return
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with naming(path):
            (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            reached = f"{printable(self.monitor)} reached {value:.5f}, " if self.save_best_only else ""
            say(f"Epoch {epoch + 1}: {reached}model saved to {path}")
        if self.save_best_only and self.better(value, self.best):
            self.best = value
        self._tidy(value, path)

    def _bar(self) -> float | None:
        """What a quantity must be better than."""
        if self.keep is None:
            return self.best
        bar = self.initial_value_threshold if len(self._files) < self.keep else self._worst_file()[0]
        return None if bar is not None and math.isnan(bar) else bar

    def _worst_file(self) -> tuple[float, str]:
        return max(self._files, key=lambda file: math.inf if math.isnan(file[0]) else self._sign * file[0])

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
            numbers = {name: number_of(value) for name, value in logs.items() if isinstance(value, np.ndarray)}
            found = {name: value for name, value in numbers.items() if value is not None}
            return self.filepath.format(**{**logs, **found, "epoch": epoch + 1})
        except (KeyError, IndexError) as error:
            known = sorted({"epoch", *logs})
            name = error.args[0] if isinstance(error, KeyError) else ""
            hint = "" if name.removeprefix("val_") in logs else _names.hint(name, known)
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}{hint}, but there are "
                f"only {', '.join(known)}"
            ) from None
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"ModelCheckpoint: filepath {self.filepath!r} does not make a name: {error}") from None

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "files": self._files, "batches": self._batches}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self._batches = state["best"], state["batches"]
        self._files = [(value, path) for value, path in state["files"]]


def _fields_of(filepath: str) -> set[str]:
    """What a template names. ValueError where it is none."""
    from string import Formatter

    try:
        return {field for _, field, _, _ in Formatter().parse(filepath) if field is not None}
    except ValueError as error:
        raise ValueError(
            f"ModelCheckpoint: filepath {filepath!r} is no name and no template: {error}; write {{{{ for a brace"
        ) from None

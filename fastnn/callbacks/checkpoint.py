"""The model in a file, after epochs or batches."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from os import PathLike
from typing import Any

import numpy as np

from fastnn import _names, _remote
from fastnn._checks import check_count, check_flag, check_number, shown
from fastnn._output import printable, say
from fastnn.callbacks.backup import checked_freq
from fastnn.callbacks.base import Logs, checked_verbose
from fastnn.callbacks.monitors import Monitor, number_of
from fastnn.callbacks.paths import folder_for, path_of
from fastnn.callbacks.state import checked_state

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
        self.verbose = checked_verbose(self, verbose)
        self.save_freq = checked_freq(self, save_freq)
        self.every_n_epochs = check_count("every_n_epochs", every_n_epochs)
        self.keep = None if keep is None else check_count("keep", keep)
        self.initial_value_threshold = initial_value_threshold
        if initial_value_threshold is not None:
            check_number(self, "initial_value_threshold", float("-inf"))
        self.best = initial_value_threshold
        # The quantity of each file, and what its name was made of; the oldest first.
        self._files: list[tuple[float, dict[str, Any]]] = []
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
            path = self._path(self._filling(0, {name: value for name, value in logs.items() if name not in seldom}))
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
        self._batches += self.model.description.steps_per_execution
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
        fields = self._filling(epoch, logs)
        if self.save_best_only and not self.better(value, self._bar()):
            if self.verbose:
                say(f"Epoch {epoch + 1}: {printable(self.monitor)} did not improve on {self._bar():.5f}")
            return
        path = self._path(fields)
        _remote.make_folder(os.path.dirname(path))
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            reached = f"{printable(self.monitor)} reached {value:.5f}, " if self.save_best_only else ""
            say(f"Epoch {epoch + 1}: {reached}model saved to {path}")
        if self.save_best_only and self.better(value, self.best):
            self.best = value
        self._tidy(value, fields)

    def _bar(self) -> float | None:
        """What a quantity must be better than."""
        if self.keep is None:
            return self.best
        bar = self.initial_value_threshold if len(self._files) < self.keep else max(self._files, key=self._badness)[0]
        return None if bar is not None and math.isnan(bar) else bar

    def _badness(self, file: tuple[float, dict[str, Any]]) -> float:
        return math.inf if math.isnan(file[0]) else self._sign * file[0]

    def _tidy(self, value: float, fields: dict[str, Any]) -> None:
        if self.keep is None:
            return
        path = self._path(fields)
        files = [file for file in self._files if self._path(file[1]) != path] + [(value, fields)]
        # The last ones stay: the newest, or the best.
        places = list(range(len(files)))
        if self.save_best_only:
            places.sort(key=lambda place: self._badness(files[place]), reverse=True)
        self._files = [files[place] for place in sorted(places[-self.keep :])]
        for place in places[: -self.keep]:
            _remote.remove(self._path(files[place][1]))

    def _filling(self, epoch: int, logs: Logs) -> dict[str, Any]:
        """What the names in `filepath` stand for; numbers as Python's, so that a backup can have them."""
        known = {**logs, "epoch": epoch + 1}
        for name in sorted(self._fields - known.keys()):
            hint = "" if name.removeprefix("val_") in logs else _names.hint(name, sorted(known))
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {name!r}{hint}, but there are "
                f"only {', '.join(sorted(known))}"
            )
        return {name: _plain(known[name]) for name in sorted(self._fields)}

    def _path(self, fields: dict[str, Any]) -> str:
        try:
            return self.filepath.format(**fields)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"ModelCheckpoint: filepath {self.filepath!r} does not make a name: {error}") from None

    def get_state(self) -> dict[str, Any]:
        files = [[value, fields] for value, fields in self._files if all(map(_is_number, fields.values()))]
        return {"best": self.best, "files": files, "batches": self._batches}

    def set_state(self, state: dict[str, Any]) -> None:
        # A backup names no files, it has the numbers that their names are made of: so none can have others deleted than
        # those that `filepath` names.
        found = checked_state(self, state, best=float | None, files=[(float, object)], batches=int)
        files = [self._file(each) for each in found["files"]]
        self.best, self._batches = found["best"], found["batches"]
        self._files = [file for file in files if file is not None]

    def _file(self, given: Any) -> tuple[float, dict[str, Any]] | None:
        value, fields = given
        if not isinstance(fields, dict) or fields.keys() != self._fields:
            return None  # of another filepath, or by its path, as an older version wrote it: it stays where it is
        if not all(map(_is_number, (value, *fields.values()))):
            raise TypeError(f"ModelCheckpoint: a file's quantity and name must be made of numbers, got {shown(given)}")
        self._path(fields)
        return value, fields


def _plain(value: Any) -> Any:
    """A number of NumPy's, or an array of one, as Python's."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    number = number_of(value)
    return value if number is None else int(number) if value.dtype.kind in "biu" else number


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _fields_of(template: str) -> set[str]:
    """The names in a template. ValueError where it is none."""
    try:
        return set(_names_in(template))
    except ValueError as error:
        raise ValueError(
            f"ModelCheckpoint: filepath {template!r} is no name and no template: {error}; write {{{{ for a brace"
        ) from None


def _names_in(template: str) -> Iterator[str]:
    from string import Formatter

    for _, name, form, _ in Formatter().parse(template):
        if name is not None:
            yield re.split(r"[.\[]", name)[0]
        if form:
            yield from _names_in(form)

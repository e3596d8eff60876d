"""What each epoch gave, in a file that others read."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from os import PathLike
from typing import Any, BinaryIO

import numpy as np

from fastnn._checks import check_flag, shown
from fastnn._output import warn
from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.callbacks.paths import folder_for, path_of

__all__ = ["CSVLogger", "JSONLinesLogger"]

TAIL = 2**16  # bytes at a file's end in which its last line is looked for


class LineLogger(TrainerCallback):
    """A text file with a line for each epoch. Each is in the file, whole, before the next epoch begins.

    filename: its folder is made if there is none. append: go on at the end of a file that is there, without a last line
    that a killed process left unfinished. OSError, with the name, before the first epoch where the file cannot be
    opened. A line that cannot be written later, as on a full disk, ends no fit: a warning says so, and it is tried
    again after each epoch.
    """

    _file: BinaryIO | None = None
    _pending = b""  # whole lines that are not in the file yet
    _end: int | None = None  # of the last whole line; None in what is no file on a disk
    _warned = False

    def __init__(self, filename: str | PathLike[str], append: bool = False) -> None:
        self.filename = path_of(self, "filename", filename)
        self.append = append
        check_flag(self, "append")

    def checks(self, fit: Any) -> None:
        folder_for(self.filename)
        for other in fit.callbacks.callbacks:
            if isinstance(other, LineLogger) and other is not self and _same(self.filename, other.filename):
                raise ValueError(
                    f"{type(self).__name__}: {self.filename!r} is another callback's file too; name one more"
                )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        appends = self.append and os.path.isfile(self.filename)
        self._file = open(self.filename, "r+b" if appends else "wb", buffering=0)  # noqa: SIM115
        self._pending, self._warned = b"", False
        self._end = 0 if os.path.isfile(self.filename) else None
        if appends:
            size = self._file.seek(0, os.SEEK_END)
            self._file.seek(max(0, size - TAIL))
            last = self._file.read().rpartition(b"\n")[2]
            self._end = size - len(last)
            if last and self.is_whole(last.decode("utf-8", "replace")):
                self._pending = last + b"\n"
            self._write_pending()

    def is_whole(self, line: str) -> bool:
        """Whether a last line, which has no end, is whole."""
        raise NotImplementedError

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._file is None:
            return
        if not self._file.closed:
            self._write_pending()
        with suppress(OSError):
            self._file.close()
        if self._pending:
            lines, self._pending = self._pending.count(b"\n"), b""
            warn(f"{type(self).__name__}: the last {lines} line(s) are not in {self.filename!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}  # a copy opens the file when its fit begins

    def _write(self, line: str) -> None:
        self._pending += line.encode("utf-8", "backslashreplace") + b"\n"
        self._write_pending()

    def _write_pending(self) -> None:
        """Write the lines that wait, all of them or none."""
        assert self._file is not None
        done = 0
        try:
            if self._end is not None:
                self._file.truncate(self._end)
                self._file.seek(self._end)
            while done < len(self._pending):
                done += self._file.write(self._pending[done:])
        except (OSError, ValueError) as error:  # the disk is full, or somebody has closed the file
            if self._end is None:
                self._pending = self._pending[done:]
            else:
                with suppress(OSError, ValueError):
                    self._file.truncate(self._end)
            if not self._warned:
                self._warned = True
                reason = getattr(error, "strerror", None) or error
                warn(
                    f"{type(self).__name__}: {self.filename!r} cannot be written ({reason}); the fit goes on, and its "
                    "lines are tried again after each epoch"
                )
            return
        if self._end is not None:
            self._end += done
        self._pending = b""


class CSVLogger(LineLogger):
    """A table with the columns epoch, from 0, and what the logs of the first epoch have, by name.

    separator: one character, between columns. An epoch that lacks a value has NA there, and a figure of several numbers
    is a list of them in its cell, as JSON writes it. With append, a table that is there keeps its columns: ValueError
    before the first epoch where the logs have others too. See LineLogger for the rest.
    """

    def __init__(self, filename: str | PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__(filename, append)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(
                f"CSVLogger: separator must be one character, neither a quote nor an end, got {shown(separator)}"
            )
        self.separator = separator
        self._names: list[str] = []
        self._titled = False  # whether the file has the columns' names

    def checks(self, fit: Any) -> None:
        super().checks(fit)
        there = self._columns_there()
        logs, _ = fit.expected(self, "on_epoch_end")
        others = [name for name in logs if there and _text(name) not in there]
        if others:
            raise ValueError(
                f"CSVLogger: {self.filename!r} has the columns epoch, {', '.join(there)}, and the logs also have "
                f"{', '.join(others)}; name another file, or leave append out to begin this one anew"
            )

    def _columns_there(self) -> list[str]:
        """The names of the columns in a file that goes on, without epoch; none where it begins."""
        if not self.append or not os.path.isfile(self.filename) or not os.path.getsize(self.filename):
            return []
        import csv

        with open(self.filename, newline="", encoding="utf-8-sig", errors="replace") as file:
            try:
                titles = next(csv.reader(file, delimiter=self.separator), [])
            except csv.Error:
                titles = []
        if len(titles) < 2 or titles[0] != "epoch":
            raise ValueError(
                f"CSVLogger: {self.filename!r} does not begin with a line of columns, epoch first, between "
                f"{self.separator!r}, so it cannot go on; name another file, or leave append out to begin it anew"
            )
        return titles[1:]

    def is_whole(self, line: str) -> bool:
        import csv

        try:
            return len(next(csv.reader([line], delimiter=self.separator, strict=True))) == 1 + len(self._names)
        except (csv.Error, StopIteration):
            return False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._names = self._columns_there()
        self._titled = bool(self._names)
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        figures = {_text(name): value for name, value in (logs or {}).items() if name != "epoch"}
        if not self._names:
            self._names = sorted(figures)
            if self.params.get("do_validation") and not any(name.startswith("val_") for name in figures):
                # Validation comes in a later epoch.
                measured = [name for name in self._names if name != "learning_rate"]
                self._names += [f"val_{name}" for name in measured]
        if not self._titled:
            self._titled = True
            self._write_row(["epoch", *self._names])
        self._write_row([epoch, *(_cell(figures.get(name, "NA")) for name in self._names)])

    def _write_row(self, cells: list[Any]) -> None:
        import csv
        import io

        row = io.StringIO()
        csv.writer(row, delimiter=self.separator, lineterminator="\n").writerow(cells)
        self._write(row.getvalue()[:-1])


class JSONLinesLogger(LineLogger):
    """A JSON object for each epoch: {"epoch": 0, "loss": 0.5, ...}, epochs from 0. See LineLogger.

    Beside what the logs hold it has learning_rate, of the epoch's last step, and seconds.

    NaN and infinity, which JSON lacks, are null; what it has no form for is a text.
    """

    _beside: dict[str, float] | None = None  # the logs

    def measured(self, rate: float, seconds: float) -> None:
        self._beside = {"learning_rate": rate, "seconds": seconds}

    def is_whole(self, line: str) -> bool:
        import json

        try:
            return isinstance(json.loads(line), dict)
        except ValueError:
            return False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import json

        figures = {str(name): _plain(value) for name, value in {**(self._beside or {}), **(logs or {})}.items()}
        self._write(json.dumps({"epoch": epoch, **figures}, default=str))


def _same(path: str, other: str) -> bool:
    """Whether two names are of one file."""
    return os.path.realpath(path) == os.path.realpath(other)


def _text(name: Any) -> str:
    """A name as it stands in the file."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _cell(value: Any) -> Any:
    """A value as it stands in a table's cell."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.item() if value.size == 1 else value.tolist()
    if isinstance(value, (list, tuple)):
        import json

        return json.dumps(value, default=str)
    return value


def _plain(value: Any) -> Any:
    """A value as JSON takes it: NumPy's as Python's, and None for what is not finite."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

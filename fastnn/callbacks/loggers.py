"""What each epoch gave, in a file that others read."""

from __future__ import annotations

import math
import os
from os import PathLike
from typing import Any, BinaryIO

from fastnn.callbacks.base import Callback, Logs, naming

__all__ = ["CSVLogger", "JSONLinesLogger"]


class LineLogger(Callback):
    """A text file with a line for each epoch. Each is in the file, whole, before the next epoch begins.

    filename: its folder is made if there is none. append: go on at the end of a file that is there. OSError, with the
    name, where it cannot be written.
    """

    def __init__(self, filename: str | PathLike[str], append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.append = append
        self._file: BinaryIO | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        folder = os.path.dirname(self.filename)
        if folder:
            os.makedirs(folder, exist_ok=True)
        self._fresh = True  # nothing is in the file yet
        if self.append and os.path.isfile(self.filename):
            with open(self.filename, "rb") as file:
                self._fresh = not file.read(1)
                if not self._fresh:
                    file.seek(-1, os.SEEK_END)
                    torn = file.read(1) != b"\n"  # the process that wrote it was killed
        self._file = open(self.filename, "ab" if self.append else "wb", buffering=0)  # noqa: SIM115
        if not self._fresh and torn:
            self._write("")

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, line: str) -> None:
        assert self._file is not None
        with naming(self.filename):
            self._file.write(line.encode() + b"\n")


class CSVLogger(LineLogger):
    """A table with the columns epoch, from 0, and what the logs of the first epoch have, by name.

    separator: between columns. An epoch that lacks a value has NA there. See LineLogger for the rest.
    """

    def __init__(self, filename: str | PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__(filename, append)
        self.separator = separator

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._names: list[str] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if not self._names:
            self._names = sorted(logs)
            if self.params.get("do_validation") and not any(name.startswith("val_") for name in logs):
                # Validation comes in a later epoch.
                measured = [name for name in self._names if name not in ("learning_rate", "seconds")]
                self._names += [f"val_{name}" for name in measured]
            if self._fresh:
                self._write_row(["epoch", *self._names])
        self._write_row([epoch, *(logs.get(name, "NA") for name in self._names)])

    def _write_row(self, cells: list[Any]) -> None:
        import csv
        import io

        row = io.StringIO()
        csv.writer(row, delimiter=self.separator, lineterminator="").writerow(cells)
        self._write(row.getvalue())


class JSONLinesLogger(LineLogger):
    """A JSON object for each epoch: {"epoch": 0, "loss": 0.5, ...}, epochs from 0. See LineLogger.

    NaN and infinity, which JSON lacks, are null.
    """

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import json

        self._write(json.dumps({"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}))


def _plain(value: Any) -> Any:
    """A value as JSON takes it: NumPy's as Python's."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value

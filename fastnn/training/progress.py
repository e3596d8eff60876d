"""What a fit shows while it runs: a bar in a terminal or a notebook, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn._output import columns_of, encoding_of, is_terminal, padded, printable, say, width_of
from fastnn.backend import is_interactive_logging_enabled

_WIDTH = 20


class Progress:
    """Prints the progress of epochs over a number of steps.

    verbose: 0 nothing; 1 or "auto" a bar that moves, or where the output is neither a terminal nor a notebook as 2; 2
    one line an epoch. The learning rate is shown from the first epoch on that has another one. A line that moves takes
    one row of the terminal, however narrow; that of an epoch's end is whole. What the output raises ends nothing.
    """

    def __init__(self, verbose: int | str, epochs: int | None) -> None:
        if not isinstance(verbose, (int, str, np.integer, np.bool_)) or verbose not in (0, 1, 2, "auto"):
            raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got {shown(verbose)}")
        self._out: Any = getattr(sys, "stdout", None)
        moves = verbose != 2 and is_interactive_logging_enabled() and _moves(self._out)
        self.level = 0 if not verbose or self._out is None else 1 if moves else 2
        self._epochs = epochs
        self._length = 0
        self._first_rate: float | None = None
        self._rate_changed = False
        unicode = encoding_of(self._out).lower().replace("-", "").startswith("utf")
        self._marks = ("━", "╸", " ") if unicode else ("=", ">", " ")

    def begin(self, epoch: int, steps: int | None) -> None:
        """Start epoch number `epoch` (from 0) of so many steps, if known."""
        self._start = time.perf_counter()
        self._steps = steps
        if self.level and self._epochs is not None:
            say(f"Epoch {epoch + 1}/{self._epochs}", out=self._out)

    def begin_range(self, before: int, start: int, size: int) -> None:
        """Row `start` of a page comes next, in batches of `size`; `before` steps are done."""
        self._before, self._row, self._size = before, start, size

    def __call__(self, row: int) -> None:
        """The rows of this page before `row` are done."""
        if self.level == 1:
            steps = self._before - (self._row - row) // self._size
            columns = columns_of(self._out)
            room = None if columns is None else columns - 1  # in the last column some terminals begin a new row
            self._rewrite(self._moving(steps, room), room)

    def end(self, steps: int, logs: Mapping[str, float]) -> None:
        """The epoch is done."""
        if not self.level:
            return
        self._steps = steps
        shown = [f"{printable(name)}: {_value(value)}" for name, value in logs.items() if self._shows(name, value)]
        if self.level == 1:
            self._rewrite(" - ".join([self._moving(steps, None), *shown]), None)
            self.broken()
        else:
            pace = self._pace(steps).replace(" ", " - ")
            say(" - ".join([f"{steps}/{steps} - {pace}", *shown]), out=self._out)

    def broken(self) -> None:
        """Nothing more comes on this line."""
        if self._length:
            say(out=self._out)
            self._length = 0

    def _shows(self, name: str, value: float) -> bool:
        if name != "learning_rate":
            return name != "seconds"
        if self._first_rate is None:
            self._first_rate = value
        self._rate_changed |= value != self._first_rate
        return self._rate_changed

    def _moving(self, steps: int, room: int | None) -> str:
        """The line that moves, in `room` columns: where these are few, with a shorter bar or none, or without time."""
        full, edge, blank = self._marks
        count = f"{steps}/{'?' if self._steps is None else self._steps}"
        pace = self._pace(steps)
        if room is not None and len(count) + 1 + len(pace) > room:
            return count[: max(0, room)]
        width = _WIDTH if room is None else min(_WIDTH, room - len(count) - len(pace) - 2)
        if self._steps is None or width < 1:
            return f"{count} {pace}"
        filled = min(width, width * steps // max(1, self._steps))
        bar = full * filled + (edge if filled < width else "") + blank * (width - filled - 1)
        return f"{count} {bar} {pace}"

    def _pace(self, steps: int) -> str:
        seconds = time.perf_counter() - self._start
        step = seconds / max(1, steps)
        pace = f"{step:.1f}s" if step >= 1 else f"{step * 1e3:.0f}ms" if step >= 1e-3 else f"{step * 1e6:.0f}us"
        return f"{seconds:.0f}s {pace}/step"

    def _rewrite(self, line: str, room: int | None) -> None:
        covered = self._length if room is None else min(self._length, max(0, room))
        say(f"\r{padded(line, covered)}", end="", out=self._out)
        self._length = width_of(line)


def _moves(out: Any) -> bool:
    """Whether a line can be written over: in a terminal, and in a notebook, whose stream is of ipykernel's class."""
    return type(out).__module__.partition(".")[0] == "ipykernel" or is_terminal(out)


def _value(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    if not isinstance(value, (int, float)):
        return " ".join(printable(part) for part in str(value).split("\n"))
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.4e}"

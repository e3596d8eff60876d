"""What a fit shows while it runs: a bar in a terminal or a notebook, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn._output import columns_of, encoding_of, is_notebook, is_terminal, padded, printable, say, width_of
from fastnn.backend import is_interactive_logging_enabled

Figures = Callable[[], Mapping[str, Any]]

LOOK = 0.05  # seconds between two looks at the clock, as in the engine
SHARE = 10  # so many times as long as figures take to be worked out, none are
_WIDTH = 20


class Progress:
    """Prints the progress of epochs over a number of steps.

    verbose: 0 nothing; 1 or "auto" a bar that moves, with the figures so far and the time that is left, or where the
    output is neither a terminal nor a notebook as 2; 2 one line an epoch. The learning rate is shown from the first
    epoch on that has another one. A line that moves takes one row of the terminal, however narrow; that of an epoch's
    end is whole, in several rows where it must. What the output raises ends nothing.
    """

    def __init__(self, verbose: int | str, epochs: int | None) -> None:
        if not isinstance(verbose, (int, str, np.integer, np.bool_)) or verbose not in (0, 1, 2, "auto"):
            raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got {shown(verbose)}")
        self._out: Any = getattr(sys, "stdout", None)
        self._epochs = epochs
        self._length = self.level = 0
        self._first_rate: float | None = None
        self._rate_changed = False
        self._figures: list[str] = []  # as shown last
        if not verbose or self._out is None:
            return
        moves = verbose != 2 and is_interactive_logging_enabled() and _moves(self._out)
        self.level = 1 if moves else 2
        unicode = encoding_of(self._out).lower().replace("-", "").startswith("utf")
        self._marks = ("━", "╸", " ") if unicode else ("=", ">", " ")

    def begin(self, epoch: int, steps: int | None) -> None:
        """Start epoch number `epoch` (from 0) of so many steps, if known."""
        self._start = self._shown = time.perf_counter()
        self._steps, self._figures, self._due = steps, [], 0.0
        if self.level and self._epochs is not None:
            say(f"Epoch {epoch + 1}/{self._epochs}", out=self._out)

    def begin_range(self, before: int, start: int, size: int) -> None:
        """Row `start` of a page comes next, in batches of `size`; `before` steps are done."""
        self._before, self._row, self._size = before, start, size

    def __call__(self, row: int, figures: Figures | None = None) -> None:
        """The rows of this page before `row` are done; figures: gives what has come out of them."""
        if self.level == 1:
            self._move(self._before - (self._row - row) // self._size, figures)

    def look(self, steps: int, figures: Figures | None = None) -> None:
        """So many steps are done, after a range of batches; shown now and then."""
        if time.perf_counter() - self._shown >= LOOK:
            self._move(steps, figures)

    def _move(self, steps: int, figures: Figures | None) -> None:
        self._shown = time.perf_counter()
        if figures is not None and self._shown >= self._due:
            self._figures = _texts(_quietly(figures))
            now = time.perf_counter()
            self._due = now + SHARE * (now - self._shown)
        columns = columns_of(self._out)
        room = None if columns is None else columns - 1  # in the last column some terminals begin a new row
        self._rewrite(self._moving(steps, room), room)

    def end(self, steps: int, logs: Mapping[str, Any], rate: float | None = None) -> None:
        """The epoch is done; rate: the learning rate of its last step."""
        if not self.level:
            return
        self._steps, self._shown = steps, time.perf_counter()
        if rate is not None and self._has_changed(rate):
            logs = {**logs, "learning_rate": rate}
        figures = _texts(logs)
        if self.level == 1:
            columns = columns_of(self._out)
            self._rewrite(self._whole(steps, figures, None if columns is None else columns - 1), None)
            self.broken()
        else:
            pace = self._pace(steps).replace(" ", " - ")
            say(" - ".join([f"{steps}/{steps} - {pace}", *figures]), out=self._out)

    def broken(self) -> None:
        """Nothing more comes on this line."""
        if self._length:
            say(out=self._out)
            self._length = 0

    def _has_changed(self, rate: float) -> bool:
        if self._first_rate is None:
            self._first_rate = rate
        self._rate_changed |= rate != self._first_rate
        return self._rate_changed

    def _moving(self, steps: int, room: int | None) -> str:
        """The line that moves, in `room` columns: where these are few, with a shorter bar or none, without figures, or
        without time.

        The loss is the first of the figures where not all of them have room.
        """
        count = f"{steps}/{'?' if self._steps is None else self._steps}"
        if room is None:
            return " - ".join([self._with_bar(count, steps, _WIDTH), *self._figures])
        start = f"{count} {self._pace(steps, left=True)}"
        if width_of(start) > room:
            return count[: max(0, room)]
        taken = len(start) + sum(3 + width_of(each) for each in self._figures)
        if taken <= room:
            return " - ".join([self._with_bar(count, steps, min(_WIDTH, room - taken - 1)), *self._figures])
        line = self._with_bar(count, steps, 0)
        for each in sorted(self._figures, key=lambda text: not text.startswith("loss: ")):
            if width_of(line) + 3 + width_of(each) > room:
                break
            line += f" - {each}"
        return line if " - " in line else self._with_bar(count, steps, min(_WIDTH, room - len(start) - 1))

    def _with_bar(self, count: str, steps: int, width: int) -> str:
        """The count, a bar of so many columns, where the end is known, and the time that is left or went by."""
        pace = self._pace(steps, left=True)
        if self._steps is None or width < 1:
            return f"{count} {pace}"
        full, edge, blank = self._marks
        filled = min(width, width * steps // max(1, self._steps))
        bar = full * filled + (edge if filled < width else "") + blank * (width - filled - 1)
        return f"{count} {bar} {pace}"

    def _whole(self, steps: int, figures: list[str], room: int | None) -> str:
        """The line of an epoch's end: without the bar where that makes it fit, and else in several rows."""
        parts = [self._with_bar(f"{steps}/{steps}", steps, _WIDTH), *figures]
        if room is None or sum(map(width_of, parts)) + 3 * len(figures) <= room:
            return " - ".join(parts)
        rows = [self._with_bar(f"{steps}/{steps}", steps, 0)]
        for each in figures:
            if width_of(rows[-1]) + 3 + width_of(each) > room:
                rows.append(f"  - {each}")
            else:
                rows[-1] += f" - {each}"
        return "\n".join(rows)

    def _pace(self, steps: int, left: bool = False) -> str:
        """The seconds that went by, or while steps are left those that they will take, and the time of a step."""
        seconds = self._shown - self._start
        step = seconds / max(1, steps)
        if left and self._steps is not None and 0 < steps < self._steps:
            seconds = step * (self._steps - steps)
        pace = f"{step:.1f}s" if step >= 1 else f"{step * 1e3:.0f}ms" if step >= 1e-3 else f"{step * 1e6:.0f}us"
        return f"{seconds:.0f}s {pace}/step"

    def _rewrite(self, line: str, room: int | None) -> None:
        covered = self._length if room is None else min(self._length, max(0, room))
        first, end, rest = line.partition("\n")
        say(f"\r{padded(first, covered)}{end}{rest}", end="", out=self._out)
        self._length = width_of(line)


def _moves(out: Any) -> bool:
    """Whether a line can be written over: in a terminal, and in a notebook."""
    return is_notebook(out) or is_terminal(out)


def _texts(logs: Mapping[str, Any]) -> list[str]:
    """Each figure by its name, as it is shown."""
    return [f"{printable(name)}: {_value(value)}" for name, value in logs.items()]


def _quietly(figures: Figures) -> Mapping[str, Any]:
    """Figures of a part of the rows; none where they have no value yet. Nobody asked for them, so nothing is said."""
    try:
        with np.errstate(all="ignore"):
            return figures()
    except Exception:  # of a metric of the user's own, which the epoch's end asks again
        return {}


def _value(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1:
        value = value.item()
    if not isinstance(value, (int, float)):
        return " ".join(printable(part) for part in str(value).split("\n"))
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.4e}"

"""What a fit shows while it runs: a bar in a terminal or a notebook, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from fastnn.backend import is_interactive_logging_enabled

_WIDTH = 20


class Progress:
    """Prints the progress of epochs over a number of steps.

    verbose: 0 nothing; 1 or "auto" a bar that moves, or where the output is neither a terminal nor a notebook as 2; 2
    one line an epoch. The learning rate is shown from the first epoch on that has another one.
    """

    def __init__(self, verbose: int | str, epochs: int | None) -> None:
        if verbose not in (0, 1, 2, "auto", True, False):
            raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}")
        self._out = sys.stdout
        moves = verbose != 2 and is_interactive_logging_enabled() and _moves(self._out)
        self.level = 0 if not verbose or self._out is None else 1 if moves else 2
        self._epochs = epochs
        self._length = 0
        self._first_rate: float | None = None
        self._rate_changed = False
        encoding = getattr(self._out, "encoding", None) or "ascii"
        unicode = encoding.lower().replace("-", "").startswith("utf")
        self._marks = ("━", "╸", " ") if unicode else ("=", ">", " ")

    def begin(self, epoch: int, steps: int | None) -> None:
        """Start epoch number `epoch` (from 0) of so many steps, if known."""
        self._start = time.perf_counter()
        self._steps = steps
        if self.level and self._epochs is not None:
            print(f"Epoch {epoch + 1}/{self._epochs}", file=self._out)

    def begin_range(self, before: int, start: int, size: int) -> None:
        """Row `start` of a page comes next, in batches of `size`; `before` steps are done."""
        self._before, self._row, self._size = before, start, size

    def __call__(self, row: int) -> None:
        """The rows of this page before `row` are done."""
        if self.level == 1:
            steps = self._before - (self._row - row) // self._size
            self._rewrite(f"{self._bar(steps)} {self._pace(steps)}")

    def end(self, steps: int, logs: Mapping[str, float]) -> None:
        """The epoch is done."""
        if not self.level:
            return
        self._steps = steps
        shown = [f"{name}: {_value(value)}" for name, value in logs.items() if self._shows(name, value)]
        if self.level == 1:
            self._rewrite(" - ".join([f"{self._bar(steps)} {self._pace(steps)}", *shown]))
            self.broken()
        else:
            pace = self._pace(steps).replace(" ", " - ")
            print(" - ".join([f"{steps}/{steps} - {pace}", *shown]), file=self._out, flush=True)

    def broken(self) -> None:
        """Nothing more comes on this line."""
        if self._length:
            print(file=self._out)
            self._length = 0

    def _shows(self, name: str, value: float) -> bool:
        if name != "learning_rate":
            return name != "seconds"
        if self._first_rate is None:
            self._first_rate = value
        self._rate_changed |= value != self._first_rate
        return self._rate_changed

    def _bar(self, steps: int) -> str:
        full, edge, blank = self._marks
        if self._steps is None:
            return f"{steps}/?"
        filled = min(_WIDTH, _WIDTH * steps // max(1, self._steps))
        bar = full * filled + (edge if filled < _WIDTH else "") + blank * (_WIDTH - filled - 1)
        return f"{steps}/{self._steps} {bar}"

    def _pace(self, steps: int) -> str:
        seconds = time.perf_counter() - self._start
        step = seconds / max(1, steps)
        pace = f"{step:.1f}s" if step >= 1 else f"{step * 1e3:.0f}ms" if step >= 1e-3 else f"{step * 1e6:.0f}us"
        return f"{seconds:.0f}s {pace}/step"

    def _rewrite(self, line: str) -> None:
        print(f"\r{line.ljust(self._length)}", end="", file=self._out, flush=True)
        self._length = len(line)


def _moves(out: Any) -> bool:
    """Whether a line can be written over: in a terminal, and in a notebook, whose stream is of ipykernel's class."""
    if type(out).__module__.partition(".")[0] == "ipykernel":
        return True
    return bool(getattr(out, "isatty", lambda: False)())  # some stand-ins can do no more than write


def _value(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.4e}"

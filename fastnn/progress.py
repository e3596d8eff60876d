"""What a fit shows while it runs: a bar in a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

_WIDTH = 20


class Progress:
    """Prints the progress of epochs over a number of steps.

    verbose: 0 nothing; 1 or "auto" a bar that moves, or where the output is not a terminal as 2; 2 one line an epoch.
    """

    def __init__(self, verbose: int | str, epochs: int | None) -> None:
        if verbose not in (0, 1, 2, "auto", True, False):
            raise ValueError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}")
        self._out = sys.stdout
        # Some stand-ins for standard output can do no more than write.
        moving = getattr(self._out, "isatty", lambda: False)()
        self.level = 0 if not verbose or self._out is None else 1 if verbose != 2 and moving else 2
        self._epochs = epochs
        self._length = 0
        encoding = getattr(self._out, "encoding", None) or "ascii"
        unicode = encoding.lower().replace("-", "").startswith("utf")
        self._marks = ("━", "╸", " ") if unicode else ("=", ">", " ")

    def begin(self, epoch: int, rows: int | None, batch_size: int) -> None:
        """Start epoch number `epoch` (from 0) of `rows` rows, if known."""
        self._start = time.perf_counter()
        self._batch_size = batch_size
        self._steps = None if rows is None else -(-rows // batch_size)
        self._before = 0
        if self.level and self._epochs is not None:
            print(f"Epoch {epoch + 1}/{self._epochs}", file=self._out)

    def pages_done(self, rows: int) -> None:
        """Rows of the pages before the one that runs now."""
        self._before = rows

    def __call__(self, rows: int) -> None:
        """`rows` rows of this page are done."""
        if self.level != 1:
            return
        steps = -(-(self._before + rows) // self._batch_size)
        self._rewrite(f"{self._bar(steps)} {self._pace(steps)}")

    def end(self, rows: int, logs: Mapping[str, float]) -> None:
        """The epoch is done."""
        if not self.level:
            return
        steps = -(-rows // self._batch_size)
        self._steps = steps
        figures = " - ".join(f"{name}: {_figure(value)}" for name, value in logs.items())
        if self.level == 1:
            self._rewrite(f"{self._bar(steps)} {self._pace(steps)} - {figures}")
            print(file=self._out)
            self._length = 0
        else:
            print(f"{steps}/{steps} - {self._pace(steps).replace(' ', ' - ')} - {figures}", file=self._out, flush=True)

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


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.4e}"

"""A bar for loops of one's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.backend import is_interactive_logging_enabled

__all__ = ["Progbar"]


class Progbar:
    """Shows how far a loop is, in a line that moves where the output is a terminal or a notebook.

    target: how many steps there will be, None where nobody knows. width: of the bar. verbose: 0 nothing; 1 a bar; 2 one
    line at the end. interval: at least so many seconds lie between two pictures of it. stateful_metrics: names of
    values that are shown as they are; others are means over the steps. stateless_metrics: instead, the names of those
    that are means. unit_name: what a step is called. ValueError where both lists are given.
    """

    __module__ = "fastnn.utils"  # which offers it; callbacks, which utils stands on, show it too

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Only one of `stateful_metrics` or `stateless_metrics` can be given")
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = None if stateless_metrics is not None else set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._seen = 0
        self._sums: dict[str, tuple[float, int]] = {}  # sum and count
        self._start = time.perf_counter()
        self._shown = -float("inf")  # when
        self._length = 0

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """So many steps are done. values: (name, value) of what happened since the last call.

        finalize: whether it is the last one; by default where `current` has reached the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            mean = self._is_mean(name) and not finalize  # at the end comes the value of all
            total, count = self._sums.get(name, (0.0, 0)) if mean else (0.0, 0)
            steps = max(current - self._seen, 1) if mean else 1
            self._sums[name] = (total + float(np.mean(value)) * steps, count + steps)
        self._seen = current
        now = time.perf_counter()
        if self.verbose == 1 and (finalize or now - self._shown >= self.interval):
            self._shown = now
            self._rewrite(f"{self._bar(current)} {self._pace(current, finalize)}{self._values()}", finalize)
        elif self.verbose == 2 and finalize and self.target:
            print(f"{current}/{self.target} - {self._pace(current, True)}{self._values()}", flush=True)

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """So many steps more are done."""
        self.update(self._seen + n, values)

    def _is_mean(self, name: str) -> bool:
        if self.stateless_metrics is not None:
            return name in self.stateless_metrics
        return name not in (self.stateful_metrics or ())

    def _bar(self, current: int) -> str:
        if not self.target:
            return f"{current}/?"
        full = min(self.width, self.width * current // self.target)
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        mark, blank = ("━", "┈") if encoding.lower().startswith("utf") else ("=", ".")
        return f"{current}/{self.target} {mark * full}{blank * (self.width - full)}"

    def _pace(self, current: int, finalize: bool) -> str:
        """Seconds that were needed, or will be, and those of a step."""
        elapsed = time.perf_counter() - self._start
        step = elapsed / max(1, current)
        left = step * (self.target - current) if self.target and not finalize else elapsed
        clock = f"{left:.0f}s" if left < 60 else f"{left // 60:.0f}:{left % 60:02.0f}"
        each = f"{step:.0f}s" if step >= 1 else f"{step * 1e3:.0f}ms" if step >= 1e-3 else f"{step * 1e6:.0f}us"
        return f"{clock} {each}/{self.unit_name}"

    def _values(self) -> str:
        shown = []
        for name, (total, count) in self._sums.items():
            mean = total / max(1, count)
            shown.append(f" - {name}: {mean:.4f}" if abs(mean) >= 1e-3 or mean == 0 else f" - {name}: {mean:.4e}")
        return "".join(shown)

    def _rewrite(self, line: str, finalize: bool) -> None:
        notebook = type(sys.stdout).__module__.partition(".")[0] == "ipykernel"
        moves = notebook or getattr(sys.stdout, "isatty", bool)()
        if moves and is_interactive_logging_enabled():
            print(f"\r{line.ljust(self._length)}", end="\n" if finalize else "", flush=True)
            self._length = 0 if finalize else len(line)
        elif finalize or self.interval == 0:  # a file gets the end, or all where all was asked for
            print(line, flush=True)

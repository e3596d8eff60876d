"""What targets a loss has a meaning for: each declares it once, and fit, arrays, errors and documents go by that."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnn._numbers import EXACT
from fastnn.typing import Array

__all__ = ["Targets"]

ROUNDING = 1e-6  # a target that is so little beyond an end of a range stands for the end


class Targets(NamedTuple):
    """Targets that have a meaning: numbers from `low` to `high`, and with `whole` those without a fraction alone.

    classes: they are class numbers, and `high` is one less than the outputs. hint: what to do with others.
    """

    low: float = float("-inf")
    high: float = float("inf")
    whole: bool = False
    classes: bool = False
    hint: str = "choose another loss, or change y"

    @property
    def limited(self) -> bool:
        """Whether there are numbers that they leave out."""
        return self.whole or self.low > float("-inf") or self.high < float("inf")

    def bounds(self, units: int) -> tuple[float, float]:
        """The least and the largest that passes, beside `units` outputs."""
        slack = 0.0 if self.whole else ROUNDING
        return self.low - slack, units - 1.0 if self.classes else self.high + slack

    def outside(self, y: Array, units: int) -> Array:
        """Which numbers have no meaning; all that are not finite are among them."""
        low, high = (y.dtype.type(bound) for bound in self.bounds(units))
        good = np.isfinite(y) & (y >= low) & (y <= high)
        return np.asarray(~(good & (y == np.floor(y)) if self.whole else good))

    def within(self, other: Targets, units: int) -> Targets:
        """Those that are among the others too."""
        high = min(each.bounds(units)[1] if each.classes else each.high for each in (self, other))
        return Targets(max(self.low, other.low), high, self.whole or other.whole)

    def described(self, units: int | None = None) -> str:
        """In words; `units`: how many outputs there are, where that is known."""
        if self.classes:
            return f"whole numbers from 0 to {'classes - 1' if units is None else units - 1}"
        if not self.limited:
            return "any numbers"
        if self.high == float("inf"):
            return f"numbers of at least {self.low:g}"
        if self.whole and self.high - self.low > 9:
            return f"whole numbers from {self.low:,.0f} to {self.high:,.0f}"
        if self.whole:
            *first, last = range(int(self.low), int(self.high) + 1)
            return f"{', '.join(map(str, first))} or {last}"
        return f"numbers from {self.low:g} to {self.high:g}"


ANY = Targets()
CLASSES = Targets(0, whole=True, classes=True, hint="renumber the classes or give the last layer more units")
BITS = "write the labels as 0 and 1: (y + 1) / 2 makes them of -1 and 1, y - 1 of 1 and 2"
PROBABILITIES = Targets(0, 1, hint=BITS)
SHARES = Targets(0, 1, hint="make y one-hot, or for class numbers choose sparse_categorical_crossentropy")
SIGNS = Targets(-1, 1, whole=True, hint="write the labels as -1 and 1, or as 0 and 1")
LABELS = Targets(-EXACT, EXACT, whole=True, hint="number the classes")  # which need not be as many as the outputs
COUNTS = Targets(0, hint="shift y, or choose another loss, such as mean_squared_error")


def problem_of(
    owner: Any, takes: Targets, y: Array, units: int, rows: Array, left_out: Array | None = None
) -> str | None:
    """What is wrong with the first bad row of y (rows, targets), or None.

    owner: the loss or metric that takes such targets. rows: the number by which each row is known. left_out: targets
    that pass whatever they are.
    """
    bad = takes.outside(y, units)
    if left_out is not None:
        bad &= ~left_out
    if not bad.any():
        return None
    row, column = (int(place) for place in np.argwhere(bad)[0])
    where = f"row {rows[row]}" if takes.classes else f"row {rows[row]}, column {column}"
    if not takes.classes and not np.isfinite(y[row, column]):
        return f"y has {y[row, column]} at {where}; remove that row or fill it in before training"
    named = f" with {units} outputs" if takes.classes else ""
    return (
        f"y has {y[row, column]:g} at {where}, but {type(owner).__name__}{named} takes {takes.described(units)}; "
        f"{takes.hint}"
    )

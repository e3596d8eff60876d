"""Numbers of a table as a network likes them, what is missing included: Scaler."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_choice, check_flag, shown
from fastnn.data.statistics import Moments, Quantiles
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.front import AdaptedLayer, RowError
from fastnn.layers.tensor import called
from fastnn.typing import Array, DoubleArray, FloatArray, Shape

__all__ = ["Scaler"]

_NOTHING = {"", "na", "n/a", "nan", "null", "none"}


@LAYERS.add("scaler")
@dataclass(frozen=True, eq=False)
class Scaler(AdaptedLayer):
    """(x - center) / scale for each number along the last axis, what is missing filled. (..., n) -> (..., n) or, with
    `indicator`, (..., 2n).

    method: "standard", by mean and standard deviation; "min_max", to 0 ... 1; "robust", by the median and the range
    between the quartiles; "none", as it is. log: of log(1 + x), for numbers above -1. missing: what stands for NaN,
    NULL in a query: "mean", "median" or a number; None makes it a ValueError. indicator: put a 1 beside each number
    that was missing, and a 0 beside the others.

    Numbers that lie in a table as text are read too, where the Input's dtype is "string"; an empty one and NA, NULL
    and the like are missing. ``adapt`` takes `center`, `scale` and `fill`, of logarithms where these are scaled, from
    data in one pass, in float64; medians and quartiles off by at most 0.5 % of the ranks of a billion numbers. A column
    of one number alone becomes 0. Source: scikit-learn's StandardScaler, MinMaxScaler, RobustScaler and SimpleImputer.
    """

    method: str = "standard"
    log: bool = False
    missing: Any = None
    indicator: bool = False
    name: str | None = None
    input_shape: Any = field(default=None, kw_only=True)
    center: Any = field(default=None, kw_only=True)
    scale: Any = field(default=None, kw_only=True)
    fill: Any = field(default=None, kw_only=True)
    output_dtype = "float32"

    def __post_init__(self) -> None:
        check_choice(self, "method", "standard", "min_max", "robust", "none")
        check_flag(self, "log")
        check_flag(self, "indicator")
        if not (self.missing is None or self.missing in ("mean", "median")):
            try:
                self._set("missing", as_number("Scaler: missing", self.missing))
            except TypeError:
                raise TypeError(
                    f'Scaler: missing must be "mean", "median", a number, or None, got {shown(self.missing)}'
                ) from None
            if not math.isfinite(self.missing):
                raise ValueError(f"Scaler: missing must be a number, got {self.missing}")
        if self.indicator and self.missing is None:
            raise ValueError('Scaler: indicator=True needs missing=: "mean", "median" or a number')
        own_input_shape(self)
        known = (self.center, self.scale, self.fill)
        if any(each is not None for each in known):
            self._take(*known)

    def update_state(self, data: Any) -> None:
        rows = self._numbers(np.asarray(data))
        rows = rows.reshape(-1, rows.shape[-1] if rows.ndim > 1 else 1)
        if self._seen is None:
            self._set("_seen", (Moments(rows.shape[1]), [Quantiles() for _ in range(rows.shape[1])]))
        moments, quantiles = self._seen
        moments.add(rows)
        if self.method == "robust" or self.missing == "median":
            for place, each in enumerate(quantiles):
                each.add(rows[:, place])

    def finalize_state(self) -> None:
        if self._seen is None or not (self._seen[0].count > 0).all():
            raise ValueError(f"layer {called(self)!r}: adapt got no numbers{' in some column' if self._seen else ''}")
        self.take(*self._seen)

    def take(self, moments: Moments, quantiles: list[Quantiles]) -> None:
        """Take center and scale from what is known of the columns; of their logarithms where `log` is set."""
        low, middle, high = np.array([each.at((0.25, 0.5, 0.75)) for each in quantiles]).T
        center, scale = {
            "standard": (moments.mean, np.sqrt(moments.variance)),
            "min_max": (moments.least, moments.most - moments.least),
            "robust": (middle, high - low),
            "none": (np.zeros_like(moments.mean), np.ones_like(moments.mean)),
        }[self.method]
        if self.method == "robust":  # where half of the numbers are one, the others tell how far they spread
            scale = np.where(scale > 0, scale, np.sqrt(moments.variance))
        fill = middle if self.missing == "median" else moments.mean
        if isinstance(self.missing, float):
            fill = np.full_like(center, math.log1p(self.missing) if self.log else self.missing)
        scale = np.where(scale > 1e-7 * np.maximum(np.abs(center), 1e-30), scale, 1.0)
        self._take(center, scale, fill)

    def _take(self, *known: Any) -> None:
        """Set center, scale and fill. ValueError for what they cannot be."""
        try:
            table = np.array([np.asarray(each, float).ravel() for each in known])
        except (TypeError, ValueError):
            table = np.full((3, 1), np.nan)
        if not np.isfinite(table).all() or not (table[1] > 0).all():
            raise ValueError("Scaler: center, scale and fill must be finite numbers, as many of each, scale above 0")
        self._set("_table", table)
        for name, values in zip(("center", "scale", "fill"), table.tolist(), strict=True):
            self._set(name, tuple(values))

    def _numbers(self, column: Array) -> DoubleArray:
        """The numbers of a column of any kind, or their logarithms; NaN where one is missing."""
        if column.dtype.kind in "OU":
            column = self._parsed(column)
        numbers = column.astype(np.float64)
        if self.log:
            bad = numbers <= -1
            if bad.any():
                raise self._error(bad, f"holds {numbers[bad][0]:g}, of which there is no log(1 + x)")
            numbers = np.log1p(numbers)
        if np.isinf(numbers).any():
            raise self._error(np.isinf(numbers), "holds an infinity; leave such rows out, or replace it in the query")
        if self.missing is None and np.isnan(numbers).any():
            raise self._error(
                np.isnan(numbers), 'has no number (NULL or NaN); say what stands for it: missing="mean", or a number'
            )
        return numbers

    def _parsed(self, column: Array) -> Array:
        flat = column.ravel().tolist()
        known = {text: number_of(text) for text in set(flat)}
        wrong = next((text for text, number in known.items() if number is None), None)
        if wrong is not None:
            raise self._error(column == wrong, f"holds {wrong!r:.80}, which is no number")
        return np.array([known[text] for text in flat], float).reshape(column.shape)

    def _error(self, bad: Array, text: str) -> RowError:
        return RowError(int(np.argwhere(np.atleast_1d(bad))[0, 0]), text)

    def output_shape(self, input_shape: Shape) -> Shape:
        if not self.indicator:
            return input_shape
        return (*input_shape[:-1], 2 * input_shape[-1]) if input_shape else (2,)

    def on_rows(self, column: Array) -> Array:
        if self._table is None:
            raise RuntimeError(f"layer {called(self)!r} knows no center and scale yet; call adapt with some data")
        numbers = self._numbers(column)
        center, scale, fill = self._table
        if numbers.ndim and numbers.shape[-1] != len(center) != 1:
            raise ValueError(
                f"layer {called(self)!r} was adapted to {len(center)} numbers a row, got {numbers.shape[-1]}"
            )
        missing = np.isnan(numbers)
        scaled: FloatArray = ((np.where(missing, fill, numbers) - center) / scale).astype(np.float32)
        if not self.indicator:
            return scaled
        return np.concatenate([np.atleast_1d(scaled), np.atleast_1d(missing).astype(np.float32)], axis=-1)

    def missing_value(self, kind: str) -> Any:
        return None if self.missing is None else "" if kind == "string" else math.nan

    def note(self) -> str:
        return self.method + (" of log(1 + x)" if self.log else "")


def number_of(text: Any) -> float | None:
    """The number that a text says, NaN of an empty one and of "NA" and the like; None where it says none."""
    try:
        return float(text)
    except ValueError:
        return math.nan if text.strip().lower() in _NOTHING else None


_names.offer(globals())

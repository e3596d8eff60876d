"""Dates and times as numbers that a network can use: DateParts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_flag, check_number, shown
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.front import AdaptedLayer, RowError
from fastnn.layers.tensor import called
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["DateParts"]

_DAY = 86400.0
_FAR = 1e12  # seconds: more than any date of Python's is away from 1970
_2000 = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_YEAR = 365.2425 * _DAY
# How long each part's circle is, in its own units; None of what goes on for ever.
CYCLES = {"time": None, "month": 12, "day": 31, "day_of_year": 366, "weekday": 7, "hour": 24, "minute": 60}


@LAYERS.add("date_parts")
@dataclass(frozen=True, eq=False)
class DateParts(AdaptedLayer):
    """Dates and times, as texts in ISO 8601, as numbers. (1,) -> (numbers,).

    components: "time", in years since `middle`, in seconds from 1970 on, which ``adapt`` sets, or since 2000; and of
    "month", "day" (of the month), "day_of_year", "weekday" (Monday first), "hour" and "minute" each the place on its
    circle, as sine and cosine of 2 pi * place / length, so that December lies beside January. An hour has its minutes
    as a fraction, a minute its seconds. missing: whether a date may be missing, an empty text or NULL; all its numbers
    are 0 then, and a last one is 1. A time with an offset is that of UTC; without one it is taken as it stands.
    """

    components: Any = ("time", "month", "weekday", "hour")
    missing: bool = False
    name: str | None = None
    input_shape: Any = field(default=None, kw_only=True)
    middle: float | None = field(default=None, kw_only=True)
    reads = "string"
    output_dtype = "float32"

    def __post_init__(self) -> None:
        given = self.components if isinstance(self.components, (list, tuple)) else [self.components]
        wrong = [each for each in given if not isinstance(each, str) or each not in CYCLES or given.count(each) > 1]
        if wrong or not given:
            raise ValueError(
                f"DateParts: components must be some of {', '.join(CYCLES)}, each once, got "
                f"{shown(wrong[0] if wrong else given)}{_names.hint(wrong[0], CYCLES) if wrong else ''}"
            )
        self._set("components", tuple(given))
        check_flag(self, "missing")
        own_input_shape(self)
        if self.middle is not None:
            check_number(self, "middle", -_FAR, _FAR)
            self._set("_table", float(self.middle))  # another object, by which a source knows that it has changed

    def update_state(self, data: Any) -> None:
        seconds = self._seconds(np.asarray(data, object))
        seconds = seconds[~np.isnan(seconds)]
        if seconds.size:
            known = self._seen or (math.inf, -math.inf)
            self._set("_seen", (min(known[0], seconds.min()), max(known[1], seconds.max())))

    def finalize_state(self) -> None:
        if self._seen is None:
            raise ValueError(f"layer {called(self)!r}: adapt got no dates")
        self._set("middle", float(sum(self._seen) / 2))
        self._set("_table", self.middle)

    def _seconds(self, column: Array) -> DoubleArray:
        """Seconds since 1970, NaN where a date is missing."""
        flat = column.ravel().tolist()
        known: dict[str, float | None] = {text: seconds_of(text) for text in set(flat)}
        wrong = next((text for text, number in known.items() if number is None), None)
        if wrong is None and "" in known and not self.missing:
            wrong = ""
        if wrong is not None:
            row = int(np.argwhere(np.atleast_1d(column) == wrong)[0, 0])
            if wrong == "":
                raise RowError(row, "has no date (NULL or an empty text); say that this may be: missing=True")
            raise RowError(row, f"holds {wrong!r:.80}, which is no date in ISO 8601, such as 2026-11-28 14:30:00")
        return np.array([known[text] for text in flat], float).reshape(column.shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape not in ((), (1,)):
            raise ValueError(f"layer {called(self)!r} reads one date a row, got rows of shape {input_shape}")
        return (sum(1 if CYCLES[part] is None else 2 for part in self.components) + self.missing,)

    def on_rows(self, column: Array) -> Array:
        seconds = self._seconds(column).reshape(-1)
        absent = np.isnan(seconds)
        seconds = np.where(absent, 0, seconds)
        days = np.floor(seconds / _DAY)
        dates = days.astype(np.int64).astype("M8[D]")
        months = dates.astype("M8[M]")
        of_day = seconds - days * _DAY
        middle = _2000 if self.middle is None else self.middle
        places: dict[str, Callable[[], Array]] = {
            "time": lambda: (seconds - middle) / _YEAR,
            "month": lambda: months.astype(np.int64) % 12,
            "day": lambda: (dates - months).astype(np.int64),
            "day_of_year": lambda: (dates - dates.astype("M8[Y]")).astype(np.int64),
            "weekday": lambda: (days + 3) % 7,  # 1970 began on a Thursday
            "hour": lambda: of_day / 3600,
            "minute": lambda: of_day % 3600 / 60,
        }
        numbers: list[Array] = []
        for part in self.components:
            place, length = places[part](), CYCLES[part]
            if length is None:
                numbers.append(place)
            else:
                numbers += [np.sin(2 * np.pi / length * place), np.cos(2 * np.pi / length * place)]
        out = np.stack(numbers, axis=-1).astype(np.float32)
        out[absent] = 0
        if self.missing:
            out = np.concatenate([out, absent[:, None].astype(np.float32)], axis=1)
        return out.reshape(*column.shape[:1], -1) if column.ndim else out[0]

    def missing_value(self, kind: str) -> Any:
        return "" if self.missing else None

    def note(self) -> str:
        return ", ".join(self.components)


def seconds_of(text: str) -> float | None:
    """Seconds from 1970 on of a text in ISO 8601, NaN of an empty one; None where it is no date."""
    if not text:
        return math.nan
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


_names.offer(globals())

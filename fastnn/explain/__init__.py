"""Why a network says what it says: what each feature of a row adds to an output."""

from __future__ import annotations

from fastnn import _names
from fastnn.explain.result import Explanation, load

__all__ = [
    "Explanation",
    "load",
]

_names.offer(globals())

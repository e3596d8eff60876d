"""Models in service: what comes in beside what they were trained on, predictions that are kept, and their quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.serve import drift, monitor
    from fastnn.serve.predictions import Observer, PredictionLog, observe

__all__ = ["Observer", "PredictionLog", "drift", "monitor", "observe"]

_HOMES = dict.fromkeys(["Observer", "PredictionLog", "observe"], "predictions") | {
    "drift": "drift",
    "monitor": "monitor",
}
__getattr__ = _names.later(__name__, _HOMES, __all__)
_names.offer(globals())

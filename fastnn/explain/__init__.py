"""Why a network says what it says: what each feature of a row adds to an output."""

from __future__ import annotations

from fastnn import _names
from fastnn.explain.gradients import expected_gradients, input_x_gradient, integrated_gradients, smooth_grad
from fastnn.explain.occlusion import occlusion
from fastnn.explain.result import Explanation, load

__all__ = [
    "Explanation",
    "expected_gradients",
    "input_x_gradient",
    "integrated_gradients",
    "load",
    "occlusion",
    "smooth_grad",
]

_names.offer(globals())

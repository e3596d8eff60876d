"""What a layer is called on in a ``call`` that is traced: arrays and weights as tensors."""

from __future__ import annotations

from typing import Any

from fastnn.layers.tensor import OPERATORS, TRACE, Operators, Tensor


def constants(given: Any, beside: Tensor | None = None) -> Any:
    """What a layer is called on; within a ``call`` that is traced, arrays and weights as tensors, for all rows.

    A layer's weights would else be used as they are, and learn nothing: of positions, say.
    """
    trace = TRACE.get()
    if trace is None or isinstance(given, Tensor):
        return given
    if isinstance(given, (list, tuple)) and not hasattr(given, "_fields"):
        first = next((each for each in given if isinstance(each, Tensor)), None)
        return type(given)(constants(each, first) for each in given)
    if isinstance(given, Operators):
        return given.tensor() if beside is None else OPERATORS["constant"](given, beside)
    number = getattr(getattr(given, "dtype", None), "kind", None) in ("f", "i", "u", "b")
    return OPERATORS["constant"](given, trace.anchor if beside is None else beside) if number else given

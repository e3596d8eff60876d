"""The argument `dtype` of layers and units: Keras's, of which fastnn has the one that it computes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn._checks import shown


def dtype_name(value: Any) -> str | None:
    """The name of a dtype: a text, a type, a dtype of any library, Keras's policy or its configuration.

    None for None, "" for what is none.
    """
    if value is None:
        return None
    inner = value.get("config", value) if isinstance(value, Mapping) else value  # a policy, as get_config gives it
    inner = inner.get("name") if isinstance(inner, Mapping) else inner
    name = inner if isinstance(inner, str) else getattr(inner, "name", None) or getattr(inner, "__name__", None)
    return name if isinstance(name, str) else ""


def check_float32(owner: str, value: Any) -> None:
    """ValueError unless the `dtype` of a layer asks for what there is: None or float32."""
    if dtype_name(value) not in (None, "float32", "float"):
        raise ValueError(
            f"{owner}: dtype must be None or 'float32', got {shown(value)}; fastnn computes in float32 "
            "(see docs/differences.md)"
        )


def check_unit_dtype(owner: object, value: Any) -> None:
    """ValueError unless the `dtype` of a loss or metric is None or float32."""
    if dtype_name(value) not in (None, "float32"):
        raise ValueError(
            f"{type(owner).__name__}: dtype must be 'float32' or None, which means it, got {shown(value)}; fastnn "
            "trains and measures in float32"
        )


class DType:
    """The attribute `dtype` of what computes in float32: it may be given as that or None, and is that."""

    def __get__(self, owner: Any, cls: Any = None) -> Any:
        return None if owner is None else "float32"

    def __set__(self, owner: Any, value: Any) -> None:
        check_float32(type(owner).__name__, value)

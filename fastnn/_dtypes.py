"""The argument `dtype` of layers and units: Keras's, of which fastnn has the one that it computes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn._checks import shown


def dtype_name(value: Any) -> str | None:
    """The name of a dtype, NumPy's, Keras's policy or its configuration; None for None, and for what is none."""
    if isinstance(value, Mapping):  # a policy, as Keras's get_config gives it
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, Mapping) else inner
    if value is None or isinstance(value, str):
        return value
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return name if isinstance(name, str) else None


def check_float32(owner: str, value: Any) -> None:
    """ValueError unless `dtype` asks for what there is: None or float32."""
    if value is not None and dtype_name(value) not in ("float32", "float"):
        raise ValueError(
            f"{owner}: dtype must be None or 'float32', got {shown(value)}; fastnn computes in float32 "
            "(see docs/differences.md)"
        )


class DType:
    """The attribute `dtype` of what computes in float32: it may be given as that or None, and is that."""

    def __get__(self, owner: Any, cls: Any = None) -> Any:
        return None if owner is None else "float32"

    def __set__(self, owner: Any, value: Any) -> None:
        check_float32(type(owner).__name__, value)

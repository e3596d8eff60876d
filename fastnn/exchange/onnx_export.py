"""Models as ONNX graphs."""

from __future__ import annotations

from os import PathLike
from typing import Any


def to_onnx(model: Any) -> Any:
    """The model as an onnx.ModelProto."""
    raise NotImplementedError


def export(model: Any, filepath: str | PathLike[str], **options: Any) -> None:
    """Write ``to_onnx(model, **options)`` to a file."""
    raise NotImplementedError

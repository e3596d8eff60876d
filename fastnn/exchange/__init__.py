"""Models out of fastnn and into it: ONNX, Keras, PyTorch, JAX, scikit-learn, plain C and SQL.

Each function imports the other library when it is called, and names the extra that brings it where it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.exchange.onnx_export import to_onnx
    from fastnn.exchange.onnx_import import from_onnx

__all__ = ["from_onnx", "to_onnx"]

# Imported when first asked for: most programs use one of them.
__getattr__ = _names.later(
    __name__,
    {
        "from_onnx": "onnx_import",
        "to_onnx": "onnx_export",
    },
    __all__,
)
_names.offer(globals())

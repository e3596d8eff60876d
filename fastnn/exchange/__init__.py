"""Models out of fastnn and into it: ONNX, Keras, PyTorch, JAX, scikit-learn, plain C and SQL.

Each function imports the other library when it is called, and names the extra that brings it where it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.exchange.c_export import to_c
    from fastnn.exchange.jax_out import to_jax
    from fastnn.exchange.keras_file import from_keras, to_keras
    from fastnn.exchange.onnx_export import to_onnx
    from fastnn.exchange.onnx_import import from_onnx
    from fastnn.exchange.sklearn_models import from_sklearn, to_sklearn
    from fastnn.exchange.sql_export import to_sql
    from fastnn.exchange.state_dict import load_state_dict
    from fastnn.exchange.thinc_models import from_thinc, to_thinc
    from fastnn.exchange.torch_in import from_torch
    from fastnn.exchange.torch_out import to_torch

__all__ = [
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_thinc",
    "from_torch",
    "load_state_dict",
    "to_c",
    "to_jax",
    "to_keras",
    "to_onnx",
    "to_sklearn",
    "to_sql",
    "to_thinc",
    "to_torch",
]

# Imported when first asked for: most programs use one of them.
__getattr__ = _names.later(
    __name__,
    {
        "from_keras": "keras_file",
        "from_onnx": "onnx_import",
        "from_sklearn": "sklearn_models",
        "from_thinc": "thinc_models",
        "from_torch": "torch_in",
        "load_state_dict": "state_dict",
        "to_c": "c_export",
        "to_jax": "jax_out",
        "to_keras": "keras_file",
        "to_onnx": "onnx_export",
        "to_sklearn": "sklearn_models",
        "to_sql": "sql_export",
        "to_thinc": "thinc_models",
        "to_torch": "torch_out",
    },
    __all__,
)
_names.offer(globals())

"""Keras's functions on tensors: of symbolic tensors they become parts of a model, arrays they compute with NumPy.

Axis 0 of a symbolic tensor is that of the rows, any number of which come later: each row is computed by itself.
"""

from typing import Any

import numpy as np

from fastnn import _names
from fastnn.layers.arithmetic import symbolic as _symbolic
from fastnn.ops import _both, axes, elements, probabilities
from fastnn.ops.axes import *
from fastnn.ops.elements import *
from fastnn.ops.elements import ACTIVATIONS as _ACTIVATIONS
from fastnn.ops.probabilities import *

globals().update(_ACTIVATIONS)

_CHOICE = "which of two a number is cannot be part of a compiled graph; write it with ops.relu, ops.clip or ops.sign"
_NO_SLOPE = "it has no slope; take it of what predict gives"
_NO_OP = "no op of the engine does that"
# Of arrays alone.
_REFUSED: dict[str, str] = {}
for _names_of, _advice in (
    ("equal not_equal greater greater_equal less less_equal logical_and logical_or logical_not", _CHOICE),
    ("where isnan isinf isfinite all any", _CHOICE),
    ("argmax argmin argsort sort", _NO_SLOPE),
    ("arange cumsum diag einsum eye full linspace mod ones outer pad prod roll tan tensordot zeros", _NO_OP),
):
    _REFUSED |= dict.fromkeys(_names_of.split(), _advice)
globals().update({name: _both.refused(name, advice) for name, advice in _REFUSED.items()})


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """x as an array; a symbolic tensor as it is."""
    if _symbolic(x):
        return x
    array = _both.array_of(x)
    return array if dtype is None else array.astype(dtype)


def convert_to_numpy(x: Any) -> Any:
    """x as an array of NumPy's."""
    return np.asarray(x)


def is_tensor(x: Any) -> bool:
    """Whether x is an array or a symbolic tensor."""
    return isinstance(x, np.ndarray) or _symbolic(x)


__all__ = sorted(
    {
        *axes.__all__,
        *elements.__all__,
        *probabilities.__all__,
        *_ACTIVATIONS,
        *_REFUSED,
        "convert_to_numpy",
        "convert_to_tensor",
        "is_tensor",
    }
)
globals().update({name: _both.told(name, globals()[name]) for name in __all__})
_names.offer(globals())

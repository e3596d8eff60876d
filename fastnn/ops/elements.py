"""Functions of ``fastnn.ops`` that work number by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import activations
from fastnn._checks import shown
from fastnn._names import users_line
from fastnn.layers.arithmetic import binary, matmul as _matmul, symbolic
from fastnn.layers.core import Activation
from fastnn.layers.operation import FUNCTIONS, operation
from fastnn.ops._both import Reduced, array_of, tensor_of

__all__ = [
    "abs",
    "absolute",
    "add",
    "cast",
    "ceil",
    "clip",
    "cos",
    "divide",
    "erf",
    "exp",
    "expm1",
    "floor",
    "log",
    "log1p",
    "log2",
    "log10",
    "matmul",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "power",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sqrt",
    "square",
    "stop_gradient",
    "subtract",
    "true_divide",
]  # fmt: skip


def _function(name: str, x: Any, **arguments: float) -> Any:
    if symbolic(x):
        return operation(name, tensor_of(x), **arguments)
    array = array_of(x)
    if array.dtype.kind not in "f":
        array = array.astype(np.float32)
    with np.errstate(all="ignore"):  # as in a model: NaN and infinities are values
        given = FUNCTIONS[name](array, arguments.get("a", 0.0), arguments.get("b", 0.0))
    return np.asarray(given, array.dtype)


def _pair(kind: str, x1: Any, x2: Any) -> Any:
    if isinstance(x1, Reduced) or isinstance(x2, Reduced):
        left = isinstance(x1, Reduced)
        return (x1 if left else x2).combined(kind, x2 if left else x1, not left)
    if symbolic(x1, x2):
        return binary(kind, x1, x2)
    return binary(kind, array_of(x1, "x1"), array_of(x2, "x2"))


def add(x1: Any, x2: Any) -> Any:
    """x1 + x2, broadcast."""
    return _pair("add", x1, x2)


def subtract(x1: Any, x2: Any) -> Any:
    """x1 - x2, broadcast."""
    return _pair("sub", x1, x2)


def multiply(x1: Any, x2: Any) -> Any:
    """x1 * x2, broadcast."""
    return _pair("mul", x1, x2)


def divide(x1: Any, x2: Any) -> Any:
    """x1 / x2, broadcast; of two symbolic tensors x1 * (1 / x2)."""
    return _pair("truediv", x1, x2)


true_divide = divide


def power(x1: Any, x2: Any) -> Any:
    """x1 ** x2; of two symbolic tensors e^(x2 log x1), for x1 above 0."""
    return _pair("pow", x1, x2)


def maximum(x1: Any, x2: Any) -> Any:
    """The larger, number by number, broadcast."""
    return _pair("maximum", x1, x2)


def minimum(x1: Any, x2: Any) -> Any:
    """The smaller, number by number, broadcast."""
    return _pair("minimum", x1, x2)


def matmul(x1: Any, x2: Any) -> Any:
    """x1 @ x2: a tensor and a weight or constants, or two tensors whose rows are matrices; of arrays as in NumPy."""
    return _matmul(x1, x2) if symbolic(x1, x2) else np.matmul(array_of(x1, "x1"), array_of(x2, "x2"))


def negative(x: Any) -> Any:
    """-x."""
    return -x if isinstance(x, Reduced) else _pair("mul", x, -1)


def absolute(x: Any) -> Any:
    """|x|; its slope at 0 is 0."""
    return _function("absolute", x)


abs = absolute


def square(x: Any) -> Any:
    """x^2."""
    return _function("square", x)


def sqrt(x: Any) -> Any:
    """The square root; NaN below 0, and its slope at 0 is infinite."""
    return _function("sqrt", x)


def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)."""
    return _function("power", x, a=-0.5)


def reciprocal(x: Any) -> Any:
    """1 / x."""
    return _function("reciprocal", x, a=1.0)


def exp(x: Any) -> Any:
    """e^x."""
    return Activation("exponential")(tensor_of(x)) if symbolic(x) else np.exp(array_of(x))


def expm1(x: Any) -> Any:
    """e^x - 1, exact near 0."""
    return _function("expm1", x)


def log(x: Any) -> Any:
    """The natural logarithm; -infinity at 0, NaN below."""
    return _function("log", x)


def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    return _function("log1p", x)


def log2(x: Any) -> Any:
    """The logarithm to base 2."""
    return multiply(log(x), 1 / float(np.log(2)))


def log10(x: Any) -> Any:
    """The logarithm to base 10."""
    return multiply(log(x), 1 / float(np.log(10)))


def sin(x: Any) -> Any:
    """The sine."""
    return _function("sin", x)


def cos(x: Any) -> Any:
    """The cosine."""
    return _function("cos", x)


def erf(x: Any) -> Any:
    """The error function."""
    return _function("erf", x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; it has no slope."""
    return _function("sign", x)


def floor(x: Any) -> Any:
    """The largest whole number up to x; it has no slope."""
    return _function("floor", x)


def ceil(x: Any) -> Any:
    """The least whole number from x on; it has no slope."""
    return _function("ceil", x)


def round(x: Any, decimals: int = 0) -> Any:
    """The nearest whole number, of two the even one; it has no slope. decimals: digits behind the point."""
    if not decimals:
        return _function("round", x)
    return divide(_function("round", multiply(x, 10.0**decimals)), 10.0**decimals)


def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """max(x_min, min(x, x_max)); where it is cut it has no slope."""
    if not symbolic(x):
        return np.clip(array_of(x), x_min, x_max)
    return operation("clip", tensor_of(x), low=float(x_min), high=float(x_max))


def stop_gradient(x: Any) -> Any:
    """x, through which no gradient goes back."""
    return operation("stop_gradient", tensor_of(x)) if symbolic(x) else array_of(x)


def cast(x: Any, dtype: Any) -> Any:
    """x in another dtype; a symbolic tensor is float32, and stays so."""
    name = str(getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype))
    if not symbolic(x):
        return array_of(x).astype("float32" if name == "bfloat16" else name)
    if not name.startswith(("float", "bfloat")):
        raise TypeError(
            f"a symbolic tensor is float32, got dtype {shown(dtype)}; write ops.floor or ops.round{users_line()}"
        )
    return tensor_of(x)


def _activation(name: str) -> Any:
    def function(x: Any, *values: Any, **fields: Any) -> Any:
        unit = activations.get(name)
        if not symbolic(x):
            array = array_of(x)
            return unit(array if array.dtype.kind == "f" else array.astype(np.float32), *values, **fields)
        return Activation(type(unit)(*values, **fields))(tensor_of(x))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The activation {name}, with its own values behind x."
    return function


# Keras's names, by the activation's.
_ACTIVATION_NAMES = """
celu elu gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid log_softmax mish relu
relu6 selu sigmoid silu softmax softplus softsign soft_shrink sparse_plus sparsemax squareplus swish tanh tanh_shrink
threshold
"""
ACTIVATIONS = {name: _activation(name) for name in _ACTIVATION_NAMES.split() if name in activations.ACTIVATIONS.aliases}

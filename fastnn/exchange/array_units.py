"""Activations and the functions of ``fastnn.ops`` as formulas over another library's arrays.

xp: the library's functions by NumPy's names (see torch_arrays.py and jax_out.py). Where a formula has a corner, its
slope is fastnn's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from fastnn import activations as A
from fastnn.activations import ACTIVATIONS

Formula = Callable[..., Any]


def clipped(xp: Any, z: Any, low: float | None, high: float | None) -> Any:
    """z between two numbers, with the slope 0 at both."""
    if low is not None:
        z = xp.where(z <= low, low, z)
    return z if high is None else xp.where(z >= high, high, z)


def largest(xp: Any, a: Any, b: Any) -> Any:
    """The larger; of equal ones the first has the slope."""
    return xp.where(b > a, b, a)


def _elu(xp: Any, z: Any, alpha: float = 1.0, scale: float = 1.0) -> Any:
    below = xp.where(z > 0, 0.0, z)  # so that the branch that is not taken has no inf
    return xp.where(z > 0, z, alpha * xp.expm1(below / scale))


def _relu(xp: Any, f: Any, z: Any) -> Any:
    above = z if f.max_value is None else xp.where(z >= f.max_value, f.max_value + 0.0, z)
    return xp.where(z <= f.threshold, f.negative_slope * (z - f.threshold), above)


def _gelu(xp: Any, f: Any, z: Any) -> Any:
    if f.approximate:
        return 0.5 * z * (1 + xp.tanh(sqrt(2 / pi) * (z + 0.044715 * z**3)))
    return 0.5 * z * (1 + xp.erf(z / sqrt(2)))


def _squareplus(xp: Any, f: Any, z: Any) -> Any:
    root = xp.sqrt(z * z + f.b)
    return xp.where(z < 0, f.b / 2 / (root + xp.abs(z)), (z + root) / 2)


def _sparsemax(xp: Any, f: Any, z: Any) -> Any:
    below = z - xp.amax(z, -1, keepdims=True)
    falling = xp.flip(xp.sort(below), (-1,))
    count = xp.constant(np.arange(1, z.shape[-1] + 1), z)
    tau = xp.amax((xp.cumsum(falling, -1) - 1) / count, -1, keepdims=True)
    return clipped(xp, below - tau, 0.0, None)


def _glu(xp: Any, f: Any, z: Any) -> Any:
    axis = f.axis % z.ndim
    half, before = z.shape[axis] // 2, (slice(None),) * axis
    return z[(*before, slice(None, half))] * xp.sigmoid(z[(*before, slice(half, None))])


UNITS: dict[type, Formula] = {
    A.Linear: lambda xp, f, z: z,
    A.ELU: lambda xp, f, z: _elu(xp, z, f.alpha),
    A.SELU: lambda xp, f, z: 1.0507009873554805 * _elu(xp, z, 1.6732632423543772),
    A.CELU: lambda xp, f, z: _elu(xp, z, f.alpha, f.alpha),
    A.Exponential: lambda xp, f, z: xp.exp(z),
    A.GELU: _gelu,
    A.SiLU: lambda xp, f, z: z * xp.sigmoid(z),
    A.Mish: lambda xp, f, z: z * xp.tanh(xp.softplus(z)),
    A.Softplus: lambda xp, f, z: xp.softplus(z),
    A.LogSigmoid: lambda xp, f, z: -xp.softplus(-z),
    A.Squareplus: _squareplus,
    A.Softsign: lambda xp, f, z: z / (1 + xp.abs(z)),
    A.Tanh: lambda xp, f, z: xp.tanh(z),
    A.TanhShrink: lambda xp, f, z: z - xp.tanh(z),
    A.Sigmoid: lambda xp, f, z: xp.sigmoid(z),
    A.ReLU: _relu,
    A.LeakyReLU: lambda xp, f, z: xp.where(z > 0, z, f.negative_slope * z),
    A.ReLU6: lambda xp, f, z: clipped(xp, z, 0.0, 6.0),
    A.HardTanh: lambda xp, f, z: clipped(xp, z, -1.0, 1.0),
    A.HardSigmoid: lambda xp, f, z: clipped(xp, z + 3.0, 0.0, 6.0) / 6,
    A.SparseSigmoid: lambda xp, f, z: clipped(xp, z + 1.0, 0.0, 2.0) / 2,
    A.HardSiLU: lambda xp, f, z: z * clipped(xp, z + 3.0, 0.0, 6.0) / 6,
    A.SparsePlus: lambda xp, f, z: xp.where(z >= 1, z, clipped(xp, z + 1.0, 0.0, 2.0) ** 2 / 4),
    A.HardShrink: lambda xp, f, z: xp.where(xp.abs(z) <= f.threshold, 0.0, z),
    A.SoftShrink: lambda xp, f, z: z - clipped(xp, z, -f.threshold, f.threshold),
    A.Threshold: lambda xp, f, z: xp.where(z <= f.threshold, f.default_value + 0.0, z),
    A.Softmax: lambda xp, f, z: xp.softmax(z, -1),
    A.LogSoftmax: lambda xp, f, z: xp.log_softmax(z, -1),
    A.Sparsemax: _sparsemax,
    A.GLU: _glu,
}


def check_unit(unit: Any, where: str) -> None:
    """ValueError, naming it, for an activation that is Python, whose formula is not known."""
    if type(unit) not in UNITS:
        known = f"; fastnn's own are {', '.join(ACTIVATIONS.units)}"
        raise ValueError(f"{where}: its activation {unit!r} is Python code of another kind, which is not read{known}")


def activated(xp: Any, unit: Any, z: Any) -> Any:
    """What an activation gives."""
    given: Any = UNITS[type(unit)](xp, unit, z)
    return given


# The functions of one number, by the names of `Operation`.
FUNCTIONS: dict[str, Formula] = {
    "affine": lambda xp, x, a=0.0, b=0.0: a * x + b,
    "absolute": lambda xp, x, **_: xp.abs(x),
    "square": lambda xp, x, **_: x * x,
    "reciprocal": lambda xp, x, a=0.0, **_: a / x,
    "power": lambda xp, x, a=0.0, **_: x**a,
    "stop_gradient": lambda xp, x, **_: xp.stop_gradient(x),
    "clip": lambda xp, x, low=None, high=None: clipped(xp, x, low, high),
    "phase": lambda xp, x, y: y,  # as in prediction
    "broadcast_to": lambda xp, x, shape: xp.broadcast_to(
        x.reshape((len(x), *(1,) * (len(shape) + 1 - x.ndim), *x.shape[1:])), (len(x), *shape)
    ),
    "constant": lambda xp, x, value: xp.broadcast_to(xp.constant(np.asarray(value), x), (len(x), *np.shape(value))),
    "normal": lambda xp, x, shape, mean, **_: xp.broadcast_to(xp.constant(np.full(shape, mean), x), (len(x), *shape)),
    "mask": lambda xp, x, axes: xp.constant(np.ones(tuple(x.shape[: axes + 1])), x),
}
for _name in ("sqrt", "log", "log1p", "expm1", "sin", "cos", "sign", "floor", "ceil", "round", "erf"):
    FUNCTIONS[_name] = lambda xp, x, _name=_name, **_: getattr(xp, _name)(x)

"""The elementary functions of fastnn/kernels/maths.pxd, with their truth and the error that is claimed for each there.

The kernels use them in line; maths.pyx beside this file has them on arrays, and is compiled here with the flags of an
instruction set.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.bindings import as_input, as_output
from support.compiled import compiled_module


class Elementary(NamedTuple):
    """`truth`: in float64, whose own error is a billionth of a float32 ulp. `low` to `high`: where f is used."""

    truth: Callable[[np.ndarray], np.ndarray]
    ulps: float
    low: float = -np.inf
    high: float = np.inf


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def normal_tail(y: np.ndarray) -> np.ndarray:
    """P(N > y), N standard normal."""
    return 0.5 * np.fromiter(map(math.erfc, (y * math.sqrt(0.5)).tolist()), float, y.size)


FUNCTIONS = {
    "exp": Elementary(np.exp, 0.99),
    "expm1_negative": Elementary(np.expm1, 0.88, high=0.0),
    "log": Elementary(np.log, 0.88),
    "tanh": Elementary(np.tanh, 1.95),
    "sigmoid": Elementary(sigmoid, 2.41),
    "softplus": Elementary(softplus, 2.6),
    # Its argument is squared in float32 first: half an ulp of y^2 / 2 is up to 60 ulp of the density.
    "normal_tail": Elementary(normal_tail, 68.0, low=0.0, high=15.0),
}


@cache
def compiled(isa: str) -> dict[str, Callable[..., np.ndarray]]:
    """name -> f(x, out=None) on arrays, as an instruction set has it. Skips where nothing can be compiled."""
    found = compiled_module(
        f"elementary_{isa}",
        "maths.pyx",
        "fastnn/kernels/maths.pxd",
        lambda build: [*build["INSTRUCTION_SETS"][isa], *build["optimisation"]("hot")],
    )
    return {name: called(addresses) for name, addresses in found.ADDRESSES.items()}


def called(addresses: tuple[int, int]) -> Callable[..., np.ndarray]:
    """f(x, out=None) by the addresses of a float32 and a float64 function."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t)
    functions = dict(zip((4, 8), map(kind, addresses), strict=True))

    def call(x: Any, out: Any = None) -> np.ndarray:
        x = as_input("x", x)
        a: np.ndarray = as_output("out", out, x.shape, x.dtype)
        functions[x.itemsize](x.ctypes.data, a.ctypes.data, x.size)
        return a

    return call

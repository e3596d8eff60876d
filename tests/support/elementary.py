"""The elementary functions of fastnn.kernels.maths, with their truth and the error that maths.pxd claims for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


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

"""The distribution functions of tests: normal and chi-square by Python's own, Student's t and F by SciPy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from fastnn.typing import DoubleArray


def special() -> Any:
    """``scipy.special``; ImportError, with what to do, where there is none."""
    try:
        import scipy.special
    except ImportError as error:
        raise ImportError(
            'p-values and intervals of Student\'s t and F need SciPy: pip install "fastnn[stats]"'
        ) from error
    return scipy.special


def two_sided(values: DoubleArray, degrees: float | None) -> DoubleArray:
    """P(|T| > |value|). degrees: of Student's t; None for the normal distribution."""
    if degrees is None:
        return np.array([math.erfc(abs(value) / math.sqrt(2)) for value in values.ravel().tolist()]).reshape(
            values.shape
        )
    return np.asarray(2 * special().stdtr(degrees, -np.abs(values)))


def quantile(probability: float, degrees: float | None) -> float:
    """The value that T stays below with this probability."""
    if degrees is None:
        return NormalDist().inv_cdf(probability)
    return float(special().stdtrit(degrees, probability))


def beyond_f(value: float, numerator: float, denominator: float) -> float:
    """P(F > value)."""
    return float(special().fdtrc(numerator, denominator, value)) if denominator > 0 else math.nan


def beyond_chi2(value: float, degrees: float) -> float:
    """P(chi-square > value)."""
    if not degrees > 0 or math.isnan(value):
        return math.nan
    half, odd = max(value, 0.0) / 2, int(degrees) % 2
    # A finite sum of Poisson's terms, those of half-way numbers for odd degrees: Abramowitz and Stegun 26.4.4-5.
    total = math.erfc(math.sqrt(half)) if odd else 0.0
    for place in range(int(degrees) // 2):
        power = place + odd / 2
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1)) if half > 0 else float(power == 0)
    return min(total, 1.0)

"""Every regulariser's penalty, by its kernel: value, gradient, and that the gradient is added."""

from __future__ import annotations

import numpy as np

from fastnn import kernels
from fastnn.regularizers import Regularizer
from support.guarded import SIZES, Guard, close
from support.units import gradient

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def test_value_and_gradient(regularizer: Regularizer, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    l1, l2 = regularizer.numbers()
    for n in SIZES:
        # Away from 0, where |w| bends.
        w = guard(rng.choice([-1, 1], n) * rng.uniform(0.05, 2.0, n), dtype)
        g = guard(rng.normal(size=n), dtype)
        w_before, g_before = w.copy(), g.copy()
        value = kernels.l1_l2(w, g, l1, l2)
        # All terms are positive: a sum of n of them is off by at most n ulp, in 16 partial sums by far less.
        close(value, regularizer.reference(w), (n / 16 + 16) * EPS[dtype], 1e-300)
        close(regularizer(w), regularizer.reference(w), 1e-12)
        numeric = gradient(lambda w: np.array([regularizer.reference(v) for v in w]), w.astype(float).reshape(-1, 1))
        # The penalty is separable: each weight's difference stands alone. Its own error is near 1e-10.
        close(g - g_before.astype(float), numeric.ravel(), 4 * EPS[dtype], 1e-8 + 8 * EPS[dtype])
        np.testing.assert_array_equal(w, w_before)


def test_gradient_of_the_kernels_own_value(regularizer: Regularizer, rng: np.random.Generator) -> None:
    l1, l2 = regularizer.numbers()
    w = rng.choice([-1, 1], (9, 1)) * rng.uniform(0.05, 2.0, (9, 1))
    g = np.zeros(9)
    kernels.l1_l2(w.ravel(), g, l1, l2)
    numeric = gradient(lambda w: np.array([kernels.l1_l2(v, np.zeros(1), l1, l2) for v in w]), w)
    close(g, numeric.ravel(), 1e-8, 1e-8)


def test_slope_at_0_is_0(regularizer: Regularizer, dtype: str) -> None:
    w, g = np.array([0.0, -0.0] * 17, dtype), np.zeros(34, dtype)
    assert kernels.l1_l2(w, g, *regularizer.numbers()) == 0
    np.testing.assert_array_equal(g, np.zeros(34))


def test_nan_shows_in_the_value(regularizer: Regularizer, dtype: str) -> None:
    for place in range(35):
        w = np.ones(35, dtype)
        w[place] = np.nan
        assert np.isnan(kernels.l1_l2(w, np.zeros(35, dtype), *regularizer.numbers()))


def test_descends(regularizer: Regularizer) -> None:
    """The sign: a small step against the gradient makes the penalty smaller, where there is one."""
    w, g = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    value = kernels.l1_l2(w, g, *regularizer.numbers())
    after = kernels.l1_l2(w - 0.01 * g, np.zeros(3), *regularizer.numbers())
    assert after < value if any(regularizer.numbers()) else after == value == 0

"""The noises: normal numbers that are a fixed function of key and element, and what each noise does with them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from support.bindings import kernels
from support.guarded import SIZES, Guard

N = 1 << 18
NOISES = [kernels.gaussian_noise, kernels.gaussian_dropout, kernels.alpha_dropout]


def normals(key: int, n: int = N, first: int = 0) -> np.ndarray:
    return kernels.gaussian_noise.forward(np.zeros(n, np.float32), 1.0, key, first)


@pytest.mark.parametrize("key", [0, 1, 12345678901234567890])
def test_normal_numbers_are_normal(key: int) -> None:
    """Moments within 5 standard deviations of what chance gives; shares beyond each limit as the distribution says."""
    z = normals(key).astype(float)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * math.sqrt(variance / N)
    for limit in (-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.1, 1.5, 2.5, 3.5, 4.2):
        share = 0.5 * math.erfc(limit / math.sqrt(2))
        assert abs((z > limit).mean() - share) < 5 * math.sqrt(share * (1 - share) / N)


@pytest.mark.parametrize("key", [0, 1, 12345678901234567890])
def test_pairs_of_normal_numbers_are_normal_and_independent(key: int) -> None:
    """Both halves, their sum, the angle and the radius of the pairs; a number without a partner too."""
    z = kernels.normal_pairs.forward(np.zeros(2 * N + 1, np.float32), 0.5, key).astype(float) / 0.5
    a, b = z[:N], z[N : 2 * N]
    for each in (a, b, (a + b) / math.sqrt(2), (a - b) / math.sqrt(2)):
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs((each**power).mean() - moment) < 5 * math.sqrt(variance / N)
        for limit in (-4.0, -2.0, -0.5, 0.1, 1.5, 3.5, 4.2):
            share = 0.5 * math.erfc(limit / math.sqrt(2))
            assert abs((each > limit).mean() - share) < 5 * math.sqrt(share * (1 - share) / N)
    for even in ((np.arctan2(b, a) / math.pi + 1) / 2, np.exp(-(a * a + b * b) / 2)):
        assert np.abs(np.histogram(even, 64, (0, 1))[0] - N / 64).max() < 5 * math.sqrt(N / 64)
    for lag in (1, 2, 16, 1000):
        assert abs(np.corrcoef(a[lag:], b[:-lag])[0, 1]) < 5 / math.sqrt(N)
    assert 0 < abs(z[-1]) < 6.7


def test_pairs_are_of_their_places_alone(guard: Guard, rng: np.random.Generator) -> None:
    """A pair is two places half of n apart; x is added in any precision, and NaN stays."""
    x = rng.normal(size=101).astype("f4")
    z = kernels.normal_pairs.forward(np.zeros(101, "f4"), 1.0, 7, first=3)
    np.testing.assert_allclose(kernels.normal_pairs.forward(x, 0.25, 7, first=3), x + 0.25 * z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(kernels.normal_pairs.forward(x.astype(float), 0.25, 7, first=3), x + 0.25 * z, atol=1e-5)
    np.testing.assert_array_equal(z[:50], kernels.normal_pairs.forward(np.zeros(200, "f4"), 1.0, 7, first=3)[:50])
    np.testing.assert_array_equal(z[:5], kernels.normal_pairs.forward(np.zeros(10, "f4"), 1.0, 7, first=3)[:5])
    for n in SIZES:
        out = guard(np.full(n, np.nan), "f4")
        assert np.isfinite(kernels.normal_pairs.forward(guard(np.zeros(n, "f4")), 1.0, 7, out=out)).all()
    assert np.isnan(kernels.normal_pairs.forward(np.array([np.nan, 1], "f4"), 1.0, 7)[0])


def test_normal_numbers_are_in_the_order_of_the_random_numbers() -> None:
    """One random number stands behind both: dropout drops an element where its normal number lies below the rate's."""
    z = normals(9, 4096)
    for rate in (0.001, 0.1, 0.5, 0.9):
        kept = kernels.dropout(np.ones(4096, np.float32), rate, 9) > 0
        assert z[kept].min() >= z[~kept].max()


def test_neighbours_and_keys_are_independent() -> None:
    z = normals(5)
    for lag in (1, 2, 16, 64, 1000):
        assert abs(np.corrcoef(z[lag:], z[:-lag])[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.corrcoef(z, normals(6))[0, 1]) < 5 / math.sqrt(N)


@pytest.mark.parametrize("kernel", NOISES, ids=lambda kernel: kernel.name)
def test_pieces_equal_the_whole(kernel: Any, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    x = rng.normal(size=1000).astype(dtype)
    for way in (kernel.forward, kernel.backward):
        whole = way(x, 0.3, 12345)
        cuts = [0, 1, 16, 33, 500, 999, 1000]
        parts = [way(x[i:j], 0.3, 12345, first=i) for i, j in pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        for n in SIZES:
            out = guard(np.full(n, np.nan), dtype)
            np.testing.assert_array_equal(way(guard(x[:n]), 0.3, 12345, out=out), whole[:n])


def test_formulas(dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=500).astype(dtype)
    z, kept = normals(3, 500), kernels.dropout(np.ones(500), 0.3, 3) > 0
    exact = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(kernels.gaussian_noise.forward(x, 0.2, 3), x + 0.2 * z, **exact)
    np.testing.assert_allclose(kernels.gaussian_dropout.forward(x, 0.2, 3), x * (1 + 0.2 * z), **exact)
    limit = -1.7580993408473766
    scale = (0.7 * (1 + 0.3 * limit**2)) ** -0.5
    expected = scale * np.where(kept, x, limit) - scale * limit * 0.3
    np.testing.assert_allclose(kernels.alpha_dropout.forward(x, 0.3, 3), expected, **exact)


def test_gradients(rng: np.random.Generator) -> None:
    """Each noise is linear in x: its slope is the difference between any two x."""
    x, y = rng.normal(size=(2, 500))
    for kernel in NOISES:
        slope = (kernel.forward(x, 0.3, 3) - kernel.forward(y, 0.3, 3)) / (x - y)
        np.testing.assert_allclose(kernel.backward(np.ones(500), 0.3, 3), slope, atol=1e-9)


def test_alpha_dropout_keeps_mean_and_variance_of_selu() -> None:
    """On numbers of mean 0 and variance 1 (Klambauer et al. 2017, section 3)."""
    x = np.random.default_rng(0).normal(size=N).astype(np.float32)
    for rate in (0.05, 0.3, 0.6):
        a = kernels.alpha_dropout.forward(x, rate, 8).astype(float)
        assert abs(a.mean()) < 6 / math.sqrt(N)
        assert abs(a.var() - 1) < 0.02


def test_fixed_values() -> None:
    """The generator is part of what a seed promises."""
    expected = [0.019116, -0.779802, -1.022119, -0.470365, -1.07838, 1.217675]
    np.testing.assert_allclose(normals(0x0123456789ABCDEF, 6), expected, rtol=1e-4)
    pairs = [0.3485, -1.648294, -1.832555, -1.111112, 0.576115, 0.625816]
    found = kernels.normal_pairs.forward(np.zeros(6, np.float32), 1.0, 0x0123456789ABCDEF)
    np.testing.assert_allclose(found, pairs, rtol=1e-4)


def test_not_a_number_stays(dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1.0], dtype)
    for kernel in (kernels.gaussian_noise, kernels.gaussian_dropout):
        assert np.isnan(kernel.forward(x, 0.1, 1)[0])
        np.testing.assert_array_equal(kernel.forward(x, 0.1, 1)[1:3], x[1:3])

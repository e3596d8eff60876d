"""Dropout: what it keeps is a fixed function of key and element, and looks like chance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from support.bindings import kernels
from support.guarded import SIZES, Guard

N = 1 << 16
# Keys as the engine makes them (64 mixed bits), and those that a user would try first.
MIXED = [int(key) for key in np.random.default_rng(3).integers(0, 1 << 64, 40, np.uint64)]
PLAIN = [*range(20), 1 << 32, 1 << 63, (1 << 64) - 1]
RATES = [0.0, 0.1, 0.25, 0.5, 0.8, 0.99]


def kept(rate: float, key: int, n: int = N, first: int = 0) -> np.ndarray:
    return kernels.dropout(np.ones(n, np.float32), rate, key, first) > 0


def test_sizes(dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for n in SIZES:
        x = guard(rng.uniform(1, 2, n), dtype)
        out = guard(np.full(n, np.nan), dtype)
        assert kernels.dropout(x, 0.4, 99, out=out) is out
        # What is kept is x times 1 / (1 - rate) as the type holds it: one rounding, and so exact here.
        expected = np.where(kept(0.4, 99, n), x * np.dtype(dtype).type(1 / (1 - 0.4)), 0)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("rate", RATES)
def test_kept_share(rate: float) -> None:
    """5 standard deviations of a binomial count: one honest failure in two million."""
    deviation = np.sqrt(rate * (1 - rate) / N)
    for key in MIXED + PLAIN:
        assert abs(kept(rate, key).mean() - (1 - rate)) <= 5 * deviation


def test_rate_0_is_the_identity(dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=1000).astype(dtype)
    np.testing.assert_array_equal(kernels.dropout(x, 0.0, 7), x)


def test_rates_are_nested() -> None:
    """What a higher rate keeps, a lower one keeps: the mask is a threshold on one random number."""
    for low, high in ((0.1, 0.5), (0.5, 0.9)):
        assert not (kept(high, 5) & ~kept(low, 5)).any()


def test_rate_just_below_1_drops_nearly_all() -> None:
    x = np.ones(N)
    for rate in (1 - 1e-9, np.nextafter(1.0, 0.0)):
        assert (kernels.dropout(x, rate, 3) > 0).sum() <= 2


def test_fixed_values() -> None:
    """The generator is part of what a seed promises: these masks are for ever."""
    bits = "".join("01"[int(k)] for k in kept(0.5, 0x0123456789ABCDEF, 64))
    assert bits == "1000011011100101011110110111101000001000010011101101010001110001"
    assert kept(0.3, 1, 100_000, first=4_000_000_000).sum() == 70139


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_pieces_equal_the_whole(rate: float, dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=1000).astype(dtype)
    whole = kernels.dropout(x, rate, 12345)
    cuts = [0, 1, 16, 33, 500, 500, 999, 1000]
    parts = [kernels.dropout(x[i:j], rate, 12345, first=i) for i, j in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_element_numbers_wrap_at_2_to_the_32() -> None:
    np.testing.assert_array_equal(kept(0.5, 8, 20, first=(1 << 32) - 10)[10:], kept(0.5, 8, 10))


def test_both_types_have_the_same_mask() -> None:
    for rate in RATES:
        single, double = (kernels.dropout(np.ones(1000, dtype), rate, 77) for dtype in (np.float32, np.float64))
        np.testing.assert_array_equal(single > 0, double > 0)


def test_gradient_meets_the_same_mask(rng: np.random.Generator) -> None:
    """The backward pass is the same call: linear in x, element by element."""
    x, d = rng.normal(size=(2, 500))
    a, dx = kernels.dropout(x, 0.5, 6), kernels.dropout(d, 0.5, 6)
    np.testing.assert_array_equal(dx, d * np.where(a != 0, 2.0, 0.0))


def test_uniform_by_chi_square() -> None:
    """Which of 20 steps of the rate drops an element, over elements of one key, and over keys for one element."""
    edges = np.linspace(0, 1, 21)[1:-1]
    for key in MIXED[:5] + PLAIN[:5]:
        step = sum((~kept(rate, key)).astype(int) for rate in edges)
        assert chi_square(np.bincount(step, minlength=20)) < LIMIT_19
    for element in range(3):
        keys = np.random.default_rng(element).integers(0, 1 << 64, 1000, np.uint64)
        steps = [sum(not kept(rate, int(key), 1, element)[0] for rate in edges) for key in keys]
        assert chi_square(np.bincount(steps, minlength=20)) < LIMIT_19


# Chi-square with 19 degrees of freedom exceeds this once in a million times.
LIMIT_19 = 67.0


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """In standard deviations of what chance gives."""
    return float(np.corrcoef(a, b)[0, 1] * np.sqrt(len(a)))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_neighbouring_elements_are_independent(rate: float) -> None:
    for key in MIXED[:5] + PLAIN[:5]:
        mask = kept(rate, key)
        for lag in (1, 2, 3, 4, 7, 8, 16, 32, 64, 100, 128, 256, 1000, 1024, 4096):
            assert abs(correlation(mask[lag:], mask[:-lag])) < 5, (key, lag)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_masks_of_different_keys_are_independent(rate: float) -> None:
    """Keys that follow each other, that differ in one bit, and any two."""
    pairs = [*pairwise(MIXED), *pairwise(PLAIN)]
    pairs += [(MIXED[0], MIXED[0] ^ (1 << bit)) for bit in range(64)]
    for one, other in pairs:
        assert abs(correlation(kept(rate, one), kept(rate, other))) < 5, (one, other)


def test_counts_of_rows_spread_as_chance_does() -> None:
    """Kept elements in each of 1024 rows of 64: the variance of their number is the binomial's."""
    for key in MIXED[:8]:
        counts = kept(0.5, key).reshape(1024, 64).sum(axis=1)
        # 64 * 0.25 = 16; the variance of 1024 counts has a standard deviation of 16 * sqrt(2 / 1023) = 0.71.
        assert abs(counts.var(ddof=1) - 16) < 5 * 0.71


def test_counts_of_keys_spread_as_chance_does() -> None:
    """The number kept under each of a thousand keys: no two keys may share a mask in another order."""
    for keys in (range(1000), [int(k) for k in np.random.default_rng(4).integers(0, 1 << 64, 1000, np.uint64)]):
        counts = np.array([kept(0.5, key, 1024).sum() for key in keys])
        # 1024 * 0.25 = 256; of 1000 counts: 256 * sqrt(2 / 999) = 11.5.
        assert abs(counts.var(ddof=1) - 256) < 5 * 11.5

"""Every activation, in every configuration: value, gradient, special numbers, and no stray read or write."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fastnn.activations import ACTIVATIONS, Activation, gelu, sparsemax
from support.bindings import bound
from support.guarded import SHAPES, SIZES, Guard, close, ulps
from support.kinks import clear_of_kinks
from support.units import elementwise, gradient, label, units as configurations

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}

# Values may be this many ulp from the formula: the elementary function's own 1 to 2.4 (maths.pxd), and half of one for
# each of the one or two products around it and for a number rounded to float32 (alpha, a slope).
VALUE_ULPS = 6
# softmax: z - max z is rounded, and e to that power is off by as many ulp as it is long; here it stays below 32.
EXCEPTIONS = {"softmax": 40, "gelu": 0}
# gelu's tail is a polynomial fitted to 2e-7 of itself, but z in it has been squared: what is promised is an error
# that is small beside max(1, |z|). In float64 the C library's erfc leaves one ulp there.
# The rows' others owe theirs to z - max z, to a sum, and to a logarithm near 0. float64's tanh_shrink cancels near 0.
ABSOLUTE = {
    "gelu": {"float32": 1.5e-7, "float64": 4e-16},
    "log_softmax": {"float32": 3e-7, "float64": 6e-16},
    "sparsemax": {"float32": 3e-7, "float64": 6e-16},
    "tanh_shrink": {"float32": 0.0, "float64": 2e-16},
}


def tolerance(activation: Activation, z: np.ndarray) -> tuple[float, np.ndarray]:
    """(relative, absolute) error that a value may have."""
    name, dtype = activation.table_name, str(z.dtype)
    size = np.maximum(1.0, np.minimum(np.abs(z.astype(np.float64)), 1e3))
    # Where the result is subnormal it has an error of one of the smallest steps, times z for z * sigmoid(z).
    floor = float(np.finfo(dtype).smallest_subnormal) * size
    return EXCEPTIONS.get(name, VALUE_ULPS) * EPS[dtype], ABSOLUTE.get(name, {}).get(dtype, 0.0) * size + floor


def assert_value(activation: Activation, a: np.ndarray, z: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        truth = activation.reference(z.astype(np.float64))
        # What the type cannot hold is an infinity there.
        truth = np.where(np.isinf(truth.astype(z.dtype)), truth.astype(z.dtype), truth)
        relative, absolute = tolerance(activation, z)
        same = (a == truth) | (np.isnan(a) & np.isnan(truth))
        off = np.abs(a - truth) - relative * np.abs(truth) - absolute
    assert a.shape == truth.shape
    bad = ~same & ~(off <= 0)
    assert not bad.any(), f"z {z[bad][:3]} gives {a[bad][:3]}, not {truth[bad][:3]}"


def shapes(activation: Activation) -> list[tuple[int, ...]]:
    return [(size,) for size in SIZES] if elementwise(activation) else SHAPES


def test_forward(activation: Activation, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for shape in shapes(activation):
        z = guard(rng.normal(scale=4.0, size=shape), dtype)
        a = guard(np.full(shape, np.nan), dtype)
        before = z.copy()
        assert activation.kernel(z, activation.numbers(), out=a) is a
        assert_value(activation, a, z)
        np.testing.assert_array_equal(z, before)


def test_forward_along_the_whole_line(activation: Activation, dtype: str) -> None:
    """Also where results are huge, subnormal or 0: one row, and rows of two for what works along rows."""
    grid = np.concatenate([np.linspace(-120, 120, 4801), np.linspace(-1e-3, 1e-3, 201), np.geomspace(1e-44, 1e37, 400)])
    z = np.concatenate([grid, -grid]).astype(dtype)
    if not elementwise(activation):
        z = np.stack([z[: z.size // 2] % 30, np.zeros(z.size // 2, dtype)], axis=1)
    assert_value(activation, activation.kernel(z, activation.numbers()), z)


CLAIM = re.compile(r"float32: at most ([\d.]+) ulp")


@pytest.mark.parametrize(
    "unit", [u for u in configurations(ACTIVATIONS) if CLAIM.search(type(u).__doc__ or "")], ids=label
)
def test_float32_error_is_what_the_docstring_says(unit: Activation) -> None:
    """Over a float in 7,919 of all 2^32, and densely where something happens. Subnormal terms owe up to 2e-43 more."""
    bits = np.arange(0, 1 << 32, 7919, dtype=np.uint64).astype(np.uint32).view(np.float32)
    z = np.concatenate([bits, np.linspace(-20, 20, 100_003, dtype=np.float32)])
    with np.errstate(all="ignore"):
        truth = np.asarray(unit.reference(z.astype(np.float64)), np.float64)
        a = unit.kernel(z, unit.numbers())
        error = np.where(np.abs(a - truth) < 2e-43, 0, ulps(a, truth))
    claimed = CLAIM.search(type(unit).__doc__ or "")
    assert claimed is not None
    assert error.max() <= float(claimed[1]), f"{error.max()} ulp at {z[error.argmax()]}"


def test_sparsemax_is_the_nearest_point_of_the_simplex(rng: np.random.Generator) -> None:
    """By what defines it: z - a is the same wherever a > 0, and nowhere more; the row's sum is 1."""
    np.testing.assert_array_equal(sparsemax([[0.0, 0.5, 1.0], [2.0, 2.0, -1.0]]), [[0, 0.25, 0.75], [0.5, 0.5, 0]])
    for units, scale in ((1, 1.0), (2, 0.1), (10, 1.0), (17, 0.05), (1000, 0.01), (1000, 10.0)):
        z = rng.normal(scale=scale, size=(50, units))
        a = sparsemax(z)
        close(a.sum(axis=-1), 1.0, 1e-12)
        assert (a >= 0).all()
        left = z - a
        highest = left.max(axis=-1, keepdims=True)
        close(np.where(a > 0, left - highest, 0), 0, 0, 1e-12)
        assert (left <= highest).all()


def test_sparsemax_ends_where_numbers_stand_at_its_threshold(dtype: str, rng: np.random.Generator) -> None:
    """There a rounding decides who is in, and must not do so again and again."""
    for parts in (3, 7, 10, 30):
        z = (rng.integers(0, parts, (3000, 6)) / parts).astype(dtype)
        close(sparsemax(z), sparsemax.reference(z.astype(np.float64)), 0, 4 * EPS[dtype])


def test_gelu_keeps_most_digits_far_below_0() -> None:
    """As its docstring says. From -12.8 on the value is subnormal."""
    z = np.linspace(-12.8, -5, 10_001, dtype=np.float32)
    close(gelu.kernel(z, gelu.numbers()), gelu.reference(z.astype(np.float64)), 5e-6)


def directional(activation: Activation, z: np.ndarray, d: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """dL/dz of L = sum of d * a, by central differences of the reference."""
    return gradient(lambda z: (d * activation.reference(z)).sum(axis=1), z, step)


def test_gradient_of_the_reference(activation: Activation, guard: Guard, rng: np.random.Generator) -> None:
    for shape in SHAPES[:-1]:
        z = guard(clear_of_kinks(activation, rng.normal(scale=2.0, size=shape), rng))
        d = guard(rng.normal(size=shape))
        a = guard(activation.kernel(z, activation.numbers()))
        out = guard(np.full(shape, np.nan))
        before = z.copy(), a.copy(), d.copy()
        assert bound(activation.kernel).backward(z, a, d, activation.numbers(), out=out) is out
        # Central differences in float64 err by about 1e-10 here (units.gradient), on sums of up to 65 terms.
        close(out, directional(activation, z, d), 1e-8, 1e-8)
        for array, was in zip((z, a, d), before, strict=True):
            np.testing.assert_array_equal(array, was)


def test_gradient_of_the_kernels_own_value(activation: Activation, rng: np.random.Generator) -> None:
    numbers = activation.numbers()
    z = clear_of_kinks(activation, rng.normal(scale=2.0, size=(6, 9)), rng)
    d = rng.normal(size=z.shape)
    numeric = gradient(lambda z: (d * activation.kernel(z, numbers)).sum(axis=1), z)
    found = bound(activation.kernel).backward(z, activation.kernel(z, numbers), d, numbers)
    close(found, numeric, 1e-8, 1e-8)


def test_float32_gradient_follows_float64(activation: Activation, guard: Guard, rng: np.random.Generator) -> None:
    numbers, kernel = activation.numbers(), activation.kernel
    for shape in SHAPES:
        z, d = guard(rng.normal(scale=3.0, size=shape), "f4"), guard(rng.normal(size=shape), "f4")
        a, out = guard(np.full(shape, np.nan), "f4"), guard(np.full(shape, np.nan), "f4")
        kernel(z, numbers, out=a)
        bound(kernel).backward(z, a, d, numbers, out=out)
        z64 = z.astype(np.float64)
        truth = bound(kernel).backward(z64, kernel(z64, numbers), d.astype(np.float64), numbers)
        # Slopes are made of terms up to |alpha| = 2 or z times the density, each with a few ulp (1.2e-7) of error;
        # softmax takes a sum over the row, whose terms are bounded by |d|.
        assert out.dtype == np.float32
        close(out, truth, 2e-6, 2e-6 * max(1.0, np.abs(d).max(initial=0.0)))


def test_nan_gives_nan_in_every_place(activation: Activation, dtype: str, rng: np.random.Generator) -> None:
    rows, units = 3, 19
    for place in range(rows * units):
        z = rng.normal(size=(rows, units)).astype(dtype)
        z.flat[place] = np.nan
        a = activation.kernel(z, activation.numbers())
        row = place // units
        assert np.isnan(a.flat[place])
        assert not np.isnan(np.delete(a, row, axis=0)).any()
        if elementwise(activation):
            assert np.isnan(a).sum() == 1
        else:
            assert np.isnan(a[row]).all()


def test_nan_gradient_is_passed_on(activation: Activation, dtype: str) -> None:
    z = np.full((2, 17), 0.75, dtype)
    a = activation.kernel(z, activation.numbers())
    for place in range(z.size):
        d = np.ones_like(z)
        d.flat[place] = np.nan
        assert np.isnan(bound(activation.kernel).backward(z, a, d, activation.numbers()).flat[place])


def test_infinities_huge_numbers_subnormals_and_zeros(activation: Activation, dtype: str) -> None:
    kind = np.finfo(dtype)
    sizes = [np.inf, kind.max, kind.max / 4, 1e30, 1e5, 1e-30, kind.tiny, kind.smallest_subnormal, 0.0]
    z = np.array([*sizes, *(-v for v in sizes)], dtype)
    if not elementwise(activation):
        # Beside another number. For +inf there the formula has no answer: inf - inf.
        z = np.stack([z, np.full_like(z, -1e4)], axis=1)[z < np.inf]
    assert_value(activation, activation.kernel(z, activation.numbers()), z)


def test_gradient_far_out_is_the_limit(activation: Activation, dtype: str) -> None:
    """At +-inf and at the largest numbers the slope is that of +-10,000, and never NaN."""
    kernel, numbers = activation.kernel, activation.numbers()
    far = np.array([1e4, 1e6, np.finfo(dtype).max, np.inf], dtype)
    if not elementwise(activation):
        # One number far above the other, or far below: nothing moves any more; log_softmax is 0 and minus the gap.
        z = np.array([[far[2], 0.0], [1e5, 0.0], [-np.inf, 0.0], [-1e5, 0.0]], dtype)
        found = bound(kernel).backward(z, kernel(z, numbers), np.full_like(z, 3.0), numbers)
        moved = [[-3.0, 3.0], [3.0, -3.0]] if activation.table_name == "log_softmax" else np.zeros((2, 2))
        np.testing.assert_array_equal(found, np.repeat(moved, 2, axis=0))
        return
    for z in (far, -far):
        if activation.table_name == "exponential":
            limit = np.exp(z[3])
        else:
            limit = directional(activation, z[:1].astype(float).reshape(1, 1), np.ones((1, 1)), step=0.5)[0, 0]
        with np.errstate(over="ignore"):
            found = bound(kernel).backward(z, kernel(z, numbers), np.ones_like(z), numbers)
        # Half an ulp of float32 for alpha or slope, and as much again for the product.
        close(found, np.full(4, limit), 2e-7, 1e-7)


def test_a_row_does_not_depend_on_the_rows_around_it(
    activation: Activation, dtype: str, guard: Guard, rng: np.random.Generator
) -> None:
    """Threads take blocks of rows from anywhere: a row alone, and in any block, has the same bits."""
    kernel, numbers = activation.kernel, activation.numbers()
    for units in (1, 3, 7, 10, 16, 17, 65, 130):
        z, d = rng.normal(scale=3.0, size=(2, 37, units)).astype(dtype)
        a = kernel(z, numbers)
        slopes = bound(kernel).backward(z, a, d, numbers)
        cuts = [0, 1, 2, 5, 18, 34, 37]
        for start, stop in [*pairwise(cuts), *((row, row + 1) for row in range(3, 37, 7))]:
            part, out = guard(z[start:stop]), guard(a[start:stop])
            np.testing.assert_array_equal(kernel(part, numbers), a[start:stop])
            np.testing.assert_array_equal(bound(kernel).backward(part, out, d[start:stop], numbers), slopes[start:stop])


def test_called_on_arrays(activation: Activation) -> None:
    """An activation takes what NumPy takes, keeps float32, and keeps the shape."""
    z: Any
    for z in ([[0.5, -1.5], [2.0, 0.25]], np.ones((2, 3, 4)), np.arange(6), np.float32([[1, -1]]), np.zeros((0, 3))):
        a = activation(z)
        z = np.asarray(z)
        assert a.shape == z.shape
        assert a.dtype == (np.float32 if z.dtype == np.float32 else np.float64)
        if z.size:
            assert_value(activation, a, z if z.dtype == np.float32 else z.astype(np.float64))

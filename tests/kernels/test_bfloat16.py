"""Products of bfloat16: values, bits that do not depend on shapes, the same of the instruction and number by number."""

from __future__ import annotations

import math
import platform
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from fastnn import kernels
from support.bindings import bound, rows_of
from support.guarded import guards

SPACE = 107856  # ROUNDED_SPACE of engine/ops.pxd
FORMS = ["gemm", "gemm_transposed_a", "gemm_transposed_b", "gemm_packed", "gemm_packed turned"]
EMULATED = {isa: kernels.kernels_of(isa) for isa in kernels.cpu.supported()}
ALL = [f"emulated_ {isa}" for isa in EMULATED]
if "bfloat16_gemm" in EMULATED[kernels.cpu.supported()[0]]:
    ALL.insert(0, f"bfloat16_ {kernels.cpu.supported()[0]}")
EPS = 2.0**-23

pytestmark = pytest.mark.skipif(
    "emulated_gemm" not in EMULATED["baseline"], reason="emulations are compiled in place alone (FASTNN_CHECKED)"
)


def named(which: str, name: str) -> Any:
    prefix, isa = which.split()
    return bound(EMULATED[isa][prefix + name])


def rounded(x: np.ndarray) -> np.ndarray:
    """To 8 bits, to the nearest and ties to even, by arithmetic alone: x is some m * 2**e with 128 <= |m| < 256."""
    m, e = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(np.ldexp(m, 8)), e - 8)


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) * 2.0 ** rng.integers(-9, 9, shape)).astype(np.float32)


def copied(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="C")


def multiply(
    which: str,
    form: str,
    a: np.ndarray,
    b: np.ndarray,
    init: np.ndarray | None = None,
    guard: Any = copied,
) -> np.ndarray:
    """init + A.B by the kernel, on A and B as the form takes them; init: of a line, or of all of C."""
    (m, k), n = a.shape, b.shape[1]
    name = form.split()[0]
    c = guard(init if init is not None and init.ndim == 2 else np.full((m, n), np.nan, np.float32))
    begin = c if init is not None and init.ndim == 2 else None if init is None else guard(init)
    stored_a = guard(a.T if name == "gemm_transposed_a" else a)
    turned = name == "gemm_transposed_b" or form.endswith("turned")
    stored_b = guard(b.T if turned else b)
    stride = k if turned else n
    if name == "gemm_packed":
        panels = guard(np.zeros((k + 1) // 2 * n, np.float32))
        if turned:
            named(which, "pack_turned").c(stored_b, 0, stored_b, k, n, k, panels)
        else:
            named(which, "pack").c(stored_b, 0, stored_b, n, k, n, panels)
        stored_b, stride = panels, 0
    space = guard(np.zeros(SPACE, np.float32))
    named(which, name).c(c, 0, rows_of(stored_a), 0, stored_b, stride, begin, c, n, m, n, k, space)
    return c


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", ALL)
def test_products_of_rounded_numbers(which: str, form: str) -> None:
    """|error| <= (k + 1) ulp of the sum of absolute products: a chain of exact products and k rounded additions."""
    rng = np.random.default_rng(3)
    shapes = list(product([1, 2, 5, 12, 13], [1, 15, 16, 17, 33], [1, 2, 7, 40]))
    shapes += [(3, 4, 1023), (26, 65, 513), (253, 5, 9)]
    if which == ALL[0]:
        shapes += [(257, 40, 1030), (505, 33, 3), (4, 300, 700)]
    for m, n, k in shapes:
        a, b, line, whole = (numbers(rng, *shape) for shape in ((m, k), (k, n), (n,), (m, n)))
        for init in (None, whole) if form == "gemm_transposed_a" else (None, whole, line):
            with guards() as guard:
                c = multiply(which, form, a, b, init, guard).copy()
            x, y, begin = rounded(a), rounded(b), np.zeros(1) if init is None else init.astype(np.float64)
            limit = (k + 1) * EPS * (abs(x) @ abs(y) + abs(begin))
            assert (abs(c - (x @ y + begin)) <= limit).all(), (m, n, k)


@pytest.mark.parametrize("which", ALL)
def test_segments(which: str) -> None:
    """Rows of A in pieces, which overlap or lie apart: few long ones, many short ones, more than are packed at once."""
    rng = np.random.default_rng(4)
    x = numbers(rng, 2000)
    for segments, k, n, m in [(1, 5, 3, 4), (5, 7, 16, 30), (3, 600, 17, 2), (130, 1, 4, 3), (70, 3, 20, 14)]:
        firsts = rng.integers(0, 1000, segments).astype(np.intp)
        starts = rng.integers(0, 300, m)
        a = np.stack([np.concatenate([x[s + f : s + f + k] for f in firsts]) for s in starts])
        b, bias, c = numbers(rng, segments * k, n), numbers(rng, n), np.full((m, n), np.nan, np.float32)
        rows = x.ctypes.data + 4 * starts.astype(np.uintp)
        space = np.zeros(SPACE, np.float32)
        named(which, "gemm_segments").c(c, 0, rows, firsts, segments, b, n, bias, c, n, m, n, k, space)
        limit = (segments * k + 1) * EPS * (abs(rounded(a)) @ abs(rounded(b)) + abs(bias))
        assert (abs(c - (rounded(a) @ rounded(b) + bias)) <= limit).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", ALL[1:])
def test_the_same_bits_everywhere(which: str, form: str) -> None:
    """Of the processor's instruction and of the emulations."""
    rng = np.random.default_rng(5)
    for m, n, k in [(1, 1, 2), (1, 16, 3), (7, 33, 64), (30, 20, 301), (14, 40, 521)]:
        a, b, init = numbers(rng, m, k), numbers(rng, k, n), numbers(rng, m, n)
        np.testing.assert_array_equal(multiply(which, form, a, b, init), multiply(ALL[0], form, a, b, init))


def to_float32(exact: Fraction, odd: bool) -> Fraction:
    """To 24 bits: the nearest, ties to even; or the odd one of the two beside it. Below 2^-126 it is 0."""
    if not exact:
        return exact
    e = exact.numerator.bit_length() - exact.denominator.bit_length()
    e += (abs(exact) >= Fraction(2) ** (e + 1)) - (abs(exact) < Fraction(2) ** e)
    if e < -126:
        return Fraction(0)
    scaled = exact / Fraction(2) ** (e - 23)
    whole = round(scaled)
    if odd and scaled.denominator > 1 and (whole := math.floor(scaled)) % 2 == 0:
        whole += 1
    return whole * Fraction(2) ** (e - 23)


@pytest.mark.parametrize("which", ALL)
def test_how_a_pair_is_added(which: str) -> None:
    """VDPBF16PS: the second of a pair first, each to the nearest. BFDOT: both together, then to the sum, all to odd."""
    rng = np.random.default_rng(8)
    a, b = (rounded(numbers(rng, *shape)).astype(np.float32) for shape in ((9, 12), (12, 11)))
    a[0] *= np.float32(2.0**-66)
    b[:, 0] *= np.float32(2.0**-61)  # products on both sides of the least normal number
    init = numbers(rng, 9, 11)
    init[0, 0] = 0
    found = multiply(which, "gemm", a, b, init)
    odd = platform.machine() in ("aarch64", "arm64")
    for i, j in product(range(9), range(11)):
        total = Fraction(float(init[i, j]))
        for k in range(0, 12, 2):
            first, second = (Fraction(float(a[i, k + n])) * Fraction(float(b[k + n, j])) for n in range(2))
            if odd:
                pair = to_float32(to_float32(first, True) + to_float32(second, True), True)
                total = to_float32(total + pair, True)
            elif i or j:
                total = to_float32(to_float32(total + second, False) + first, False)
        if odd or i or j:
            assert Fraction(float(found[i, j])) == total, (i, j)


@pytest.mark.parametrize("form", FORMS)
def test_bits_do_not_depend_on_what_stands_beside(form: str) -> None:
    rng = np.random.default_rng(6)
    m, n, k = 270, 70, 530
    a, b = numbers(rng, m, k), numbers(rng, k, n)
    whole = multiply(ALL[0], form, a, b)
    for rows, columns in [(slice(3, 4), slice(0, n)), (slice(0, 13), slice(5, 38)), (slice(250, 262), slice(69, 70))]:
        part = multiply(ALL[0], form, np.ascontiguousarray(a[rows]), np.ascontiguousarray(b[:, columns]))
        np.testing.assert_array_equal(part, whole[rows, columns])


@pytest.mark.parametrize("which", ALL)
def test_how_numbers_are_rounded(which: str) -> None:
    one = 1 + 2.0**-8  # half-which between two of them: to the even one
    given = [0.0, -0.0, 1.0, one, -one, 1 + 3 * 2.0**-8, one + 2.0**-20, 3.4e38, np.inf, -np.inf, np.nan, 1e-40, -1e-40]
    given = np.array([*given, *np.random.default_rng(7).normal(size=50)], np.float32)
    expected = np.where(np.isfinite(given), rounded(np.nan_to_num(given, posinf=0, neginf=0)), given)
    expected[np.abs(given) < 2.0**-126] = 0
    expected[7] = np.inf  # beyond the largest
    for lines, n in [(1, len(given)), (3, 21)]:
        out = np.empty((lines, n), np.float32)
        named(which, "round").c(given, 0, given, n, lines, n, out)
        np.testing.assert_array_equal(out.ravel(), expected[: lines * n])
    assert np.signbit(out.ravel()[:2]).tolist() == [False, True]


@pytest.mark.parametrize("which", ALL)
def test_what_is_not_finite_is_seen(which: str) -> None:
    for bad, expected in [(np.nan, np.nan), (np.inf, np.inf), (-np.inf, -np.inf)]:
        a = np.ones((2, 5), np.float32)
        a[0, 4] = bad
        c = multiply(which, "gemm", a, np.ones((5, 3), np.float32))
        np.testing.assert_array_equal(c, [[expected] * 3, [5] * 3])

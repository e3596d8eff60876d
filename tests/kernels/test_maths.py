"""exp, log, tanh and their kin against float64. NumPy's own error there is below 1e-8 of a float32 ulp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastnn import kernels
from support.elementary import FUNCTIONS, Elementary, compiled
from support.guarded import SIZES, Guard, close, ulps

LN2 = math.log(2.0)
# Every one of the 2^23 steps of a binade in turn would take minutes (tests/exhaustive_maths.py does it); a stride that
# is prime visits all exponents, both signs, the subnormals and the NaNs, and every residue of the low bits.
STRIDE = 1021

# Where something happens: the ends of the reduced range of exp, overflow, underflow to subnormals and to zero, the
# seam of log at sqrt(1/2), its zero at 1, the range where 1 + e^-|x| stops to feel e^-|x|, and tanh's way to 1.
SPECIAL = [
    *(n * LN2 / 2 for n in range(-300, 260)),
    *(n * LN2 for n in (-151, -150, -149, -127, -126, 127, 128, 129)),
    *(-104.0, -103.97, -103.27, -87.34, -87.33, 88.72, 88.73, 89.0),
    *(math.sqrt(0.5), math.sqrt(2.0), 1.0, 2.0, 0.5, math.e, 9.01, 9.02, 16.6, 17.3, 17.4, -16.6, -17.3, -17.4, -30.0),
    *(1e-45, 1.17549421e-38, 1.17549435e-38, -1.17549421e-38, 1e-20, -1e-20, 1e-7, -1e-7, 1e-4, -1e-4),
    *(3.4028235e38, -3.4028235e38, 15.0),
]
EDGES = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan], np.float32)


def in_range(x: np.ndarray, function: Elementary) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return x[np.isnan(x) | ((x >= function.low) & (x <= function.high))]


def neighbourhoods() -> np.ndarray:
    """65 floats in a row around each special point."""
    bits = np.array(SPECIAL, np.float32).view(np.int32)[:, None] + np.arange(-32, 33, dtype=np.int32)
    return np.concatenate([bits.ravel().view(np.float32), EDGES])


def worst(name: str, x: np.ndarray) -> tuple[float, float]:
    """The largest error in ulps, and where."""
    function = FUNCTIONS[name]
    x = in_range(x, function)
    with np.errstate(all="ignore"):
        truth = function.truth(x.astype(np.float64))
    error = ulps(compiled(kernels.isa)[name](x), truth)
    return float(error.max()), float(x[error.argmax()])


@pytest.fixture(scope="module")
def sweep() -> np.ndarray:
    """One float in STRIDE, over all bit patterns: 4.2 million."""
    return np.arange(0, 1 << 32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)


def test_every_function_has_a_truth() -> None:
    assert compiled(kernels.isa).keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("isa", kernels.cpu.supported())
def test_instruction_sets_agree(isa: str, dtype: str, rng: np.random.Generator) -> None:
    x = rng.normal(scale=5.0, size=2003).astype(dtype)
    tolerance = 64 * 2.0 ** (-23 if dtype == "float32" else -52)
    for name, function in compiled(kernels.isa).items():
        given = {"expm1_negative": -np.abs(x), "log": np.abs(x), "normal_tail": np.abs(x) % 5}.get(name, x)
        close(compiled(isa)[name](given), function(given), tolerance, 1e-40)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_over_all_floats(name: str, sweep: np.ndarray) -> None:
    error, where = worst(name, sweep)
    assert error <= FUNCTIONS[name].ulps, f"{error} ulp at {where}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_around_special_points(name: str) -> None:
    error, where = worst(name, neighbourhoods())
    assert error <= FUNCTIONS[name].ulps, f"{error} ulp at {where}"


@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
def test_claim_is_two_ulp_or_better(name: str) -> None:
    assert FUNCTIONS[name].ulps <= 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64(name: str) -> None:
    function = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        x = in_range(neighbourhoods().astype(np.float64), function)
        truth = function.truth(x)
    # The C library's functions and NumPy's are each within a few float64 ulps; log(1 + u) of softplus loses some more.
    np.testing.assert_allclose(compiled(kernels.isa)[name](x), truth, rtol=2e-15, atol=5e-324)


INF, NAN = np.inf, np.nan
# (x, f(x)), the sign of zero included. expm1_negative gives +0 for -0: no kernel needs better.
LIMITS: dict[str, list[tuple[float, float]]] = {
    "exp": [(0.0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (1e38, INF), (-1e38, 0)],
    "expm1_negative": [(0.0, 0), (-INF, -1), (-1e38, -1), (-1e-45, -1e-45)],
    "log": [(1.0, 0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-1e-45, NAN), (-INF, NAN)],
    "tanh": [(0.0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (1e38, 1), (-1e38, -1), (1e-45, 1e-45), (-1e-45, -1e-45)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0), (1e38, 1), (-1e38, 0), (1e-45, 0.5)],
    "softplus": [(INF, INF), (-INF, 0), (1e38, 1e38), (-1e38, 0)],
    "normal_tail": [(0.0, 0.5), (1e-45, 0.5)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_limits_and_signs_of_zero(name: str, dtype: str) -> None:
    x, expected = np.array(LIMITS[name], dtype).T
    got = compiled(kernels.isa)[name](x)
    if name == "normal_tail":
        # Its polynomial is fitted to a relative error of 2e-7, 4 ulp, over the whole range.
        np.testing.assert_allclose(got, expected, rtol=2.4e-7)
    else:
        np.testing.assert_array_equal(got, expected)
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_nan_in_every_place(name: str, dtype: str) -> None:
    function: Any = compiled(kernels.isa)[name]
    for place in range(35):
        x = np.full(35, -0.5 if name == "expm1_negative" else 0.5, dtype)
        x[place] = np.nan
        np.testing.assert_array_equal(np.isnan(function(x)), np.isnan(x))


@pytest.fixture(scope="module")
def functions() -> Any:
    return compiled(kernels.isa)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sizes(functions: Any, name: str, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    """A value does not depend on its place: one in a vector's tail equals one alone, to the bit."""
    function: Any = functions[name]
    for size in SIZES:
        x = guard(rng.uniform(0.1, 3.0, size) * (-1 if name == "expm1_negative" else 1), dtype)
        out = guard(np.full(size, np.nan), dtype)
        assert function(x, out=out) is out
        alone = np.array([function(x[i : i + 1])[0] for i in range(min(size, 65))], dtype)
        np.testing.assert_array_equal(out[:65], alone)
        assert not np.isnan(out).any()

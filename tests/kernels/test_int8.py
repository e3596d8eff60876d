"""Rows of bytes by int8: NumPy's whole numbers, on each instruction set, by the best kernel and by what serves it."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import numpy as np
import pytest

from fastnn import kernels
from fastnn.layers.quantized import rounded

SHIFT = 128 if platform.machine() in ("aarch64", "arm64") else 0  # NEON has signed bytes


class Weights(ctypes.Structure):
    _fields_ = (
        ("panels", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("depth", ctypes.c_ssize_t),
        ("columns", ctypes.c_ssize_t),
    )


def function(name: str, isa: str, place: int, *takes: Any) -> Any:
    return ctypes.CFUNCTYPE(None, *takes)(kernels.kernels_of(isa)[name].addresses()[place])


def quantize(isa: str, x: Any, ends: Any = None) -> tuple[Any, Any, Any]:
    """Bytes of rows (unsigned), and what they stand for."""
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    call = function("int8", isa, 0, pointer, size, pointer, pointer, size, pointer)
    depth = -(-x.shape[1] // 4) * 4
    given, rows = np.full((len(x), depth), 77, np.uint8), np.zeros(len(x), [("scale", "f4"), ("zero", "i4")])
    ends = None if ends is None else np.array(ends, "f4")
    for number, row in enumerate(np.ascontiguousarray(x)):
        at = rows.ctypes.data + 8 * number
        call(
            row.ctypes.data, len(row), None if ends is None else ends.ctypes.data, given[number].ctypes.data, depth, at
        )
    return given, rows["scale"], rows


def panels(w: Any) -> tuple[Any, Any]:
    """Weights as the kernels read them, and filled up."""
    k, n = w.shape
    filled = np.zeros((-(-k // 4) * 4, -(-n // 16) * 16), np.int8)
    filled[:k, :n] = w
    parts, first = [], 0
    while first < filled.shape[1]:
        width = 64 if filled.shape[1] - first >= 64 else 16
        parts.append(filled[:, first : first + width].reshape(-1, 4, width).transpose(0, 2, 1).reshape(-1))
        first += width
    return np.concatenate(parts), filled


def multiply(isa: str, place: int, given: Any, rows: Any, w: Any, scales: Any, init: Any, m: int) -> Any:
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    call = function("int8", isa, place, pointer, size, pointer, size, pointer, pointer, size, pointer, size)
    packed, filled = panels(w)
    padded, sums = np.zeros(filled.shape[1], "f4"), filled.sum(0, dtype="i4")
    padded[: w.shape[1]] = scales
    about = Weights(packed.ctypes.data, padded.ctypes.data, sums.ctypes.data, len(filled), w.shape[1])
    c = np.full((m, w.shape[1] + 3), 9, "f4")  # what lies behind a row's columns stays
    start = None if init is None else init.ctypes.data
    call(
        given.ctypes.data,
        given.shape[1],
        rows.ctypes.data,
        m,
        ctypes.addressof(about),
        start,
        0,
        c.ctypes.data,
        c.shape[1],
    )
    assert (c[:, w.shape[1] :] == 9).all()
    return c[:, : w.shape[1]]


SHAPES = [(1, 784, 512), (1, 1, 1), (7, 13, 10), (33, 66, 79), (6, 4, 64), (5, 100, 60), (49, 31, 200), (2, 3, 17)]


@pytest.mark.parametrize("place", [1, 2], ids=["best", "without"])
@pytest.mark.parametrize("isa", kernels.cpu.supported())
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_exact(shape: Any, isa: str, place: int, rng: np.random.Generator) -> None:
    m, k, n = shape
    x = rng.normal(1, 3, (m, k)).astype("f4")
    w, scales = rng.integers(-127, 128, (k, n)), rng.random(n).astype("f4")
    init = rng.normal(size=n).astype("f4")
    given, scale, rows = quantize(isa, x)
    sums = (given[:, :k].astype(np.int64) ^ SHIFT) @ w - (rows["zero"][:, None] + SHIFT) * w.sum(0)
    product = sums.astype("f4") * (scale[:, None] * scales)
    np.testing.assert_array_equal(multiply(isa, place, given, rows, w, scales, init, m), init + product)
    np.testing.assert_array_equal(multiply(isa, place, given, rows, w, scales, None, m), product)


@pytest.mark.parametrize("isa", kernels.cpu.supported())
def test_the_largest_sums_do_not_overflow(isa: str) -> None:
    k = 65536
    w = np.full((k, 2), 127)
    w[:, 1] = -127
    x = np.ones((1, k), "f4")
    given, scale, rows = quantize(isa, x)
    assert (given ^ SHIFT == 255).all()
    for place in (1, 2):
        found = multiply(isa, place, given, rows, w, np.ones(2, "f4"), None, 1)
        np.testing.assert_array_equal(found, (np.float32(255 * 127 * k) * np.array([[1, -1]], "f4")) * scale)


@pytest.mark.parametrize("isa", kernels.cpu.supported())
@pytest.mark.parametrize("width", [1, 3, 8, 16, 37, 100])
def test_bytes_stand_for_their_row(isa: str, width: int, rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, width)).astype("f4") * np.logspace(-30, 30, 20)[:, None].astype("f4")
    x[0], x[1], x[2] = 0, np.abs(x[1]), -np.abs(x[2])
    given, scale, rows = quantize(isa, x)
    back = ((given[:, :width].astype(int) ^ SHIFT) - (rows["zero"][:, None] + SHIFT)) * scale[:, None].astype(float)
    assert (np.abs(back - x) <= 0.51 * scale[:, None]).all()
    here = quantize("baseline", x)
    np.testing.assert_array_equal(given, here[0])
    np.testing.assert_array_equal(rows, here[2])
    assert (given[:, width:] == 0).all()


@pytest.mark.parametrize("isa", kernels.cpu.supported())
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ends", [None, (-1, 2)])
def test_a_row_that_is_not_finite_says_so(isa: str, odd: float, ends: Any) -> None:
    x = np.ones((35, 35), "f4")
    x[np.arange(35), np.arange(35)] = odd
    assert np.isnan(quantize(isa, x, ends)[1]).all()
    assert np.isnan(quantize(isa, np.array([[-3e38, 3e38]], "f4"))[1]).all()  # nor is its range


@pytest.mark.parametrize("isa", kernels.cpu.supported())
def test_what_is_out_of_range_is_at_its_end(isa: str) -> None:
    x = np.tile(np.array([-1e30, -1, 0, 1, 2, 3, 1e30, 0.5], "f4"), (1, 3))
    given, scale, rows = quantize(isa, x, (-1, 2))
    back = ((given.astype(int) ^ SHIFT) - (rows["zero"][:, None] + SHIFT)) * scale
    np.testing.assert_allclose(back, np.clip(x, -1, 2), atol=0.51 * scale[0])


def widened(isa: str, bits: Any, brain: bool) -> Any:
    call = function("half", isa, 0, ctypes.c_int, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p)
    out = np.zeros(len(bits), "f4")
    call(brain, bits.ctypes.data, len(bits), out.ctypes.data)
    return out


@pytest.mark.parametrize("isa", kernels.cpu.supported())
def test_every_float_of_16_bits_is_widened(isa: str) -> None:
    bits = np.arange(65536, dtype=np.uint16)
    with np.errstate(invalid="ignore"):  # NumPy says so of signalling NaNs on aarch64
        expected = bits.view(np.float16).astype("f4")
    np.testing.assert_array_equal(widened(isa, bits, False), expected)
    np.testing.assert_array_equal(widened(isa, bits, True).view("u4") >> 16, bits)


def test_bfloat16_is_rounded_to_the_nearest(rng: np.random.Generator) -> None:
    x = np.concatenate([rng.normal(size=1000), [1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 0.0]]).astype("f4")
    found = (rounded(x).view("u2").astype("u4") << 16).view("f4")
    assert (np.abs(found - x) <= np.abs(x) * 2.0**-8).all()
    assert found[-4:].tolist() == [1.0, 1 + 2**-6, -1.0, 0.0]  # a half goes to the even one


@pytest.mark.parametrize("brain", [False, True])
@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("isa", kernels.cpu.supported())
def test_a_row_by_halves(isa: str, width: int, brain: bool, rng: np.random.Generator) -> None:
    w = rng.normal(size=(50, width)).astype("f4")
    bits = rounded(w).view("u2") if brain else w.astype("f2").view("u2")
    x, init, c = rng.normal(size=50).astype("f4"), rng.normal(size=width).astype("f4"), np.full(width, 9, "f4")
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    call = function("half", isa, 1, ctypes.c_int, pointer, pointer, size, size, size, pointer, pointer)
    call(brain, x.ctypes.data, bits.ctypes.data, 50, width, width - 3, init.ctypes.data, c.ctypes.data)
    expected = init + x.astype(float) @ widened(isa, bits.ravel(), brain).reshape(w.shape)
    np.testing.assert_allclose(c[:-3], expected[:-3], rtol=1e-5, atol=1e-5)
    assert (c[-3:] == 9).all()

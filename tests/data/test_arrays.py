"""ArraySource: whatever holds numbers becomes float32 pages, and what does not is refused."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource, Page

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g"]
LAYOUTS = ["C", "F", "strided", "reversed", "transposed", "misaligned", "read-only"]


def only_page(source: ArraySource, rng: np.random.Generator | None = None) -> Page:
    [page] = source.pages(8, rng)
    return page


def laid_out(values: np.ndarray, dtype: np.dtype[Any], layout: str) -> np.ndarray:
    """Return `values` in another dtype and memory layout."""
    rows, columns = values.shape
    if layout in "CF":
        return np.array(values, dtype=dtype, order=layout)
    if layout == "strided":
        a = np.zeros((2 * rows, 3 * columns), dtype)[::2, ::3]
    elif layout == "reversed":
        a = np.zeros((rows, columns), dtype)[::-1, ::-1]
    elif layout == "transposed":
        a = np.zeros((columns, rows), dtype).T
    elif layout == "misaligned":
        size = rows * columns * dtype.itemsize
        a = np.zeros(size + 1, np.uint8)[1:].view(dtype).reshape(rows, columns)
    else:
        a = np.zeros((rows, columns), dtype)
    a[...] = values
    if layout == "read-only":
        a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_byte_order_and_layout(dtype: str, byte_order: str, layout: str) -> None:
    given = laid_out(np.arange(35).reshape(7, 5) % 2, np.dtype(byte_order + dtype), layout)
    before = given.copy()
    page = only_page(ArraySource(given, given[:, 0], sample_weight=given[:, 1]))
    for array in (page.x, page.y, page.weight):
        assert array is not None
        assert array.dtype == np.dtype("=f4")
        assert array.flags.c_contiguous
        assert array.flags.aligned
    np.testing.assert_array_equal(page.x, np.arange(35).reshape(7, 5) % 2)
    np.testing.assert_array_equal(page.y, page.x[:, :1])
    np.testing.assert_array_equal(page.weight, page.x[:, 1])
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize(
    ("value", "shape", "rows"),
    [
        ([[1, 2], [3, 4]], (2,), 2),
        (((1.5, True),), (2,), 1),
        ([1, 2, 3], (1,), 3),
        ([[[1], [2]], [[3], [4]], [[5], [6]]], (2, 1), 3),
        (range(4), (1,), 4),
        (np.zeros((5, 28, 28)), (28, 28), 5),
        (np.array([[1, Decimal("2.5")], [Fraction(1, 2), np.float32(3)]], dtype=object), (2,), 2),
    ],
)
def test_shapes(value: Any, shape: tuple[int, ...], rows: int) -> None:
    source = ArraySource(value)
    page = only_page(source)
    assert (source.input_shape, source.rows, source.targets) == (shape, rows, 0)
    assert page.x.shape == (rows, int(np.prod(shape)))
    assert page.y is None
    assert page.weight is None
    assert page.order is None
    np.testing.assert_array_equal(page.x.ravel(), np.array(value, dtype=np.float32).ravel())


def test_an_object_with_array_protocol() -> None:
    class Frame:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return np.array([[1, 2], [3, 4]], dtype or np.int64)

    np.testing.assert_array_equal(only_page(ArraySource(Frame())).x, [[1, 2], [3, 4]])


@pytest.mark.parametrize("writeable", [True, False])
def test_float32_is_kept_without_a_copy(writeable: bool) -> None:
    x, y, w = (np.ones(shape, np.float32) for shape in ((6, 2, 3), (6,), (6,)))
    for array in (x, y, w):
        array.flags.writeable = writeable
    page = only_page(ArraySource(x, y, w))
    assert page.y is not None
    assert page.weight is not None
    assert np.shares_memory(page.x, x)
    assert np.shares_memory(page.y, y)
    assert np.shares_memory(page.weight, w)


def test_a_memory_map_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(12, dtype=np.float32).reshape(4, 3))
    mapped = np.load(path, mmap_mode="r")
    page = only_page(ArraySource(mapped))
    assert np.shares_memory(page.x, mapped)
    assert page.x[3, 2] == 11


def test_conversion_holds_the_rows_once() -> None:
    x = np.zeros((100_000, 10), dtype=np.float64)
    tracemalloc.start()
    ArraySource(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * x.nbytes / 2


def test_nan_and_infinity_pass() -> None:
    values = [[np.nan, np.inf, -np.inf, 1e-320]]
    for dtype in (np.float64, np.float32, object):
        page = only_page(ArraySource(np.array(values, dtype=dtype), [np.nan]))
        np.testing.assert_array_equal(page.x, np.array([[np.nan, np.inf, -np.inf, 0]], np.float32))
        assert page.y is not None
        assert np.isnan(page.y[0, 0])


TEN = np.zeros((10, 2))
WIDE = np.zeros((4, 3))
WIDE[2, 1] = 1e39
DEEP = np.zeros((4, 3, 2))
DEEP[3, 2, 1] = -1e300


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((None,), TypeError, ["x must be an array", "NoneType"]),
        ((3.0,), TypeError, ["x must be an array", "float"]),
        (({"a": [1]},), TypeError, ["x must be an array", "dict"]),
        (("text",), TypeError, ["x must be an array", "str"]),
        (([["a", "b"]],), TypeError, ["x must hold numbers", "<U1", "np.unique"]),
        (([["1", "2"]],), TypeError, ["x must hold numbers", "<U1"]),
        ((np.array([b"1"]),), TypeError, ["x must hold numbers", "S1"]),
        ((np.zeros((2, 2), complex),), TypeError, ["complex128", "imaginary"]),
        ((np.zeros(2, "M8[s]"),), TypeError, ["datetime64", "seconds"]),
        ((np.zeros(2, "m8[s]"),), TypeError, ["timedelta64", "seconds"]),
        ((np.zeros((2, 2), "f4,i4"),), TypeError, ["one record for each row", "(2, 2)"]),
        ((np.zeros(2, [("a", "f4", (3,))]),), TypeError, ["column 'a' of x holds arrays of shape (3,)"]),
        ((np.zeros(2, [("a", "U3"), ("b", "f4")]),), TypeError, ["column 'a' of x must hold numbers, got dtype <U3"]),
        ((np.array([[1, 2], [3, None]], object),), TypeError, ["NoneType", "row 1, column 1"]),
        ((np.array([[1, "2"]], object),), TypeError, ["str '2'", "row 0, column 1"]),
        ((np.array([1, 2j], object),), TypeError, ["complex", "row 1"]),
        ((np.array([[1], [np.array([2])]], object)[:, 0],), TypeError, ["ndarray", "row 1"]),
        (([[1, 2], [3]],), ValueError, ["x is no array", "different lengths"]),
        ((np.ma.masked_equal([[1, 2]], 2),), ValueError, ["masked", "filled"]),
        (([],), ValueError, ["x has no rows", "(0,)"]),
        ((np.zeros((0, 3)),), ValueError, ["x has no rows", "(0, 3)"]),
        ((np.zeros((3, 0)),), ValueError, ["x has no features", "(3, 0)"]),
        ((np.zeros((3, 2, 0)),), ValueError, ["x has no features", "(3, 2, 0)"]),
        ((WIDE,), ValueError, ["x holds 1e+39 at row 2, column 1", "3.4e38"]),
        ((WIDE.T[::-1],), ValueError, ["x holds 1e+39 at row 1, column 2"]),
        ((WIDE.astype(">f8"),), ValueError, ["x holds 1e+39 at row 2, column 1"]),
        ((WIDE.astype("g"),), ValueError, ["x holds", "e+38 at row 2, column 1"]),
        ((WIDE.astype(object),), ValueError, ["x holds 1e+39 at row 2, column 1"]),
        ((DEEP,), ValueError, ["x holds -1e+300 at row 3, column 5"]),
        ((np.array([1, 10**400], object),), ValueError, ["x holds 1000", "...", "row 1"]),
        ((TEN, np.zeros(9)), ValueError, ["x has 10 rows but y has 9; they need one row each"]),
        ((TEN, np.zeros((9, 0))), ValueError, ["x has 10 rows but y has 9"]),
        ((TEN, []), ValueError, ["x has 10 rows but y has 0"]),
        ((TEN, np.zeros((10, 0))), ValueError, ["y has no target columns", "(10, 0)"]),
        ((TEN, np.zeros((10, 2, 0))), ValueError, ["y has no target columns", "(10, 2, 0)"]),
        ((TEN, np.zeros((9, 2, 3))), ValueError, ["x has 10 rows but y has 9"]),
        ((TEN, np.zeros((10, 2)), np.ones((9, 2))), ValueError, ["(10,), one number for each row", "(9, 2)"]),
        ((TEN, np.zeros(10), np.ones((10, 2))), ValueError, ["sample_weight", "(10,)", "(10, 2)"]),
        ((TEN, 1), TypeError, ["y must be an array", "int"]),
        ((TEN, ["cat"] * 10), TypeError, ["y must hold numbers", "np.unique"]),
        ((TEN, np.arange(10) + 2**24), ValueError, ["16777217 at row 1", "exactly", "from 0"]),
        ((TEN, -np.arange(10) - 2**24), ValueError, ["-16777217 at row 1"]),
        ((TEN, np.full(10, 2**63 + 1, np.uint64)), ValueError, ["9223372036854775809 at row 0"]),
        ((TEN, [0] * 9 + [2**70 + 1]), ValueError, ["1180591620717411303425 at row 9"]),
        ((TEN, [1e300] + [0.0] * 9), ValueError, ["y holds 1e+300 at row 0"]),
        ((TEN, None, np.ones(9)), ValueError, ["sample_weight", "(10,)", "(9,)"]),
        ((TEN, None, np.ones((10, 1))), ValueError, ["sample_weight", "(10,)", "(10, 1)"]),
        ((TEN, None, [1] * 9 + [-1]), ValueError, ["not negative, got -1 at row 9"]),
        ((TEN, None, [1] * 8 + [np.nan, 1]), ValueError, ["finite", "got nan at row 8"]),
        ((TEN, None, [np.inf] + [1] * 9), ValueError, ["finite", "got inf at row 0"]),
        ((TEN, None, ["1"] * 10), TypeError, ["sample_weight must hold numbers"]),
        ((TEN, None, 2.0), TypeError, ["sample_weight must be an array"]),
    ],
)
def test_what_is_refused(arguments: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        ArraySource(*arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("value", [2**24, -(2**24), 2**24 + 2, 2**40, 2**63])
def test_whole_numbers_that_float32_holds_are_targets(value: int) -> None:
    page = only_page(ArraySource([[1]], np.array([value])))
    assert page.y is not None
    assert int(page.y[0, 0]) == value


def test_features_and_float_targets_may_round() -> None:
    page = only_page(ArraySource([[2**24 + 1]], [2.0**24 + 1]))
    assert page.y is not None
    assert page.x[0, 0] == page.y[0, 0] == 2**24


def test_pages_are_permutations_of_the_seed() -> None:
    source = ArraySource(np.zeros((1000, 1)))
    orders = []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        orders.append([only_page(source, rng).order for _ in range(2)])
    for order in (order for pair in orders for order in pair):
        assert order is not None
        assert order.dtype == np.uint32
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0][0], orders[0][1])
    assert not np.array_equal(orders[0][0], orders[2][0])


@pytest.mark.parametrize(("batch_size", "error"), [(0, ValueError), (-1, ValueError)])
def test_batch_size_too_small(batch_size: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"at least 1, got {batch_size}"):
        ArraySource([[1]]).pages(batch_size)


@pytest.mark.parametrize("batch_size", [1.5, "32", None])
def test_batch_size_of_another_type(batch_size: Any) -> None:
    with pytest.raises(TypeError, match="batch_size must be a whole number"):
        ArraySource([[1]]).pages(batch_size)


@pytest.mark.parametrize(
    ("rows", "fraction", "train"),
    [(10, 0.2, 8), (10, 0.25, 7), (100, 0.1, 90), (3, 0.5, 1), (2, 0.01, 1), (1000, 0.333, 667)],
)
def test_split_takes_the_last_rows_as_views(rows: int, fraction: float, train: int) -> None:
    x = np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)
    y, w = (np.arange(rows, dtype=np.float32) for _ in range(2))
    first, last = ArraySource(x, y, w).split(fraction)
    for part, expected in ((first, slice(None, train)), (last, slice(train, None))):
        page = only_page(part)
        assert part.input_shape == (2, 3)
        assert part.targets == 1
        assert np.shares_memory(page.x, x)
        np.testing.assert_array_equal(page.x, x[expected].reshape(-1, 6))
        assert page.y is not None
        np.testing.assert_array_equal(page.y[:, 0], y[expected])
        np.testing.assert_array_equal(page.weight, w[expected])


def test_split_without_targets_and_weights() -> None:
    first, last = ArraySource(np.zeros((4, 1))).split(0.5)
    assert (first.rows, last.rows) == (2, 2)
    assert first.y is None
    assert last.weight is None


@pytest.mark.parametrize(
    ("rows", "fraction", "error", "words"),
    [
        (10, 0, ValueError, "between 0 and 1, got 0"),
        (10, 1, ValueError, "between 0 and 1, got 1"),
        (10, -0.5, ValueError, "between 0 and 1, got -0.5"),
        (10, float("nan"), ValueError, "between 0 and 1, got nan"),
        (1, 0.5, ValueError, "splitting 1 rows by 0.5 leaves 0 for training and 1"),
        (4, 1e-20, ValueError, "leaves 4 for training and 0 for validation"),
        (10, "0.5", TypeError, "must be a number, got '0.5'"),
        (10, True, TypeError, "must be a number, got True"),
    ],
)
def test_split_refused(rows: int, fraction: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ArraySource(np.zeros((rows, 1))).split(fraction)

"""Matrix multiply in its three forms: values, NaN, no stray read or write, bits that do not depend on shapes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from support.bindings import kernels
from support.guarded import Guard, guards

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}

# Around the heights (6, 12) and widths (4 to 32) of the tiles of every instruction set.
SIZES = [0, 1, 2, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 32, 33, 64, 65]
SMALL = [0, 1, 2, 5, 6, 7, 9]
# One row takes several vectors at once; the weight gradient goes 256 steps of k at a time; from 48 rows on a large B
# is copied into panels: from 4 MiB (the weight gradient: 1 MiB) on, so 1024 by 1024 floats.
EDGES = [
    *product([1, 3], [1, 63, 64, 65, 127, 128, 129, 200], [0, 1, 40]),
    *product([1, 7], [5], [255, 256, 257, 511, 512, 513, 770]),
    *product([47, 48, 49], [64, 65], [255, 256, 257]),
    *product([47, 48, 49], [1024, 1030], [257]),
    *product([47, 48], [1024, 1025], [1023, 1024]),
]
LARGE = [(130, 140, 300), (61, 257, 600), (200, 33, 1100)]

FORMS = {"matmul": "ab", "matmul_transposed_a": "tb", "matmul_transposed_b": "at"}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored(form: str, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A and B as the form takes them: one of the two may be stored turned."""
    turned_a, turned_b = (letter == "t" for letter in FORMS[form])
    return np.ascontiguousarray(a.T if turned_a else a), np.ascontiguousarray(b.T if turned_b else b)


def multiply(form: str, a: np.ndarray, b: np.ndarray, **more: Any) -> np.ndarray:
    return getattr(kernels, form)(*stored(form, a, b), **more)


def assert_product(c: np.ndarray, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> None:
    """|error| <= (k + 1) ulp of the sum of absolute products, which holds for a chain of k additions in any order."""
    wide = [np.zeros(1) if v is None else v.astype(np.float64) for v in (a, b, bias)]
    size = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(wide[2])
    limit = (a.shape[1] + 1) * EPS[str(c.dtype)] * size
    assert (np.abs(c - (wide[0] @ wide[1] + wide[2])) <= limit).all()


def check(form: str, m: int, n: int, k: int, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    given = [guard(v) for v in stored(form, a, b)]
    for bias in (None, rng.normal(size=n).astype(dtype)) if form == "matmul" else (None,):
        c = guard(np.full((m, n), np.nan), dtype)
        more = {} if bias is None else {"bias": guard(bias)}
        assert getattr(kernels, form)(*given, out=c, **more) is c
        assert_product(c, a, b, bias)
    for view, array in zip(given, stored(form, a, b), strict=True):
        np.testing.assert_array_equal(view, array)


def check_all(form: str, shapes: list[tuple[int, int, int]], dtype: str) -> None:
    rng = np.random.default_rng(7)
    for m, n, k in shapes:
        with guards() as guard:
            check(form, m, n, k, dtype, guard, rng)


def test_all_small_shapes(form: str, dtype: str) -> None:
    check_all(form, list(product(SMALL, repeat=3)), dtype)


def test_sampled_shapes(form: str, dtype: str) -> None:
    """Every size is met in every place, beside different others."""
    rng = np.random.default_rng(8)
    shapes = np.stack([np.concatenate([rng.permutation(SIZES) for _ in range(12)]) for _ in range(3)], axis=1)
    check_all(form, [tuple(shape) for shape in shapes.tolist()], dtype)


def test_edges_of_chunks_and_of_packing(form: str, dtype: str) -> None:
    check_all(form, EDGES, dtype)


def test_large_shapes(form: str, dtype: str) -> None:
    check_all(form, LARGE, dtype)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_go_where_numpys_go(form: str, special: float, dtype: str) -> None:
    """Also through a 0 in the other matrix, which makes an infinity NaN: no product is left out."""
    rng = np.random.default_rng(9)
    for m, n, k in [(1, 1, 1), (7, 9, 5), (13, 33, 17), (1, 70, 20), (49, 65, 513), (3, 5, 257)]:
        a, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in ((m, k), (k, n)))
        bias = rng.integers(-3, 4, n).astype(dtype)
        for array in (a, b):
            array.flat[rng.integers(array.size)] = special
        more = {"bias": bias} if form == "matmul" else {}
        with np.errstate(invalid="ignore"):
            truth = a @ b + (bias if more else 0)
        # Small whole numbers: what is finite is exact.
        np.testing.assert_array_equal(multiply(form, a, b, **more), truth)


def test_nan_in_the_bias(dtype: str) -> None:
    for place in range(35):
        bias = np.zeros(35, dtype)
        bias[place] = np.nan
        c = kernels.matmul(np.ones((7, 3), dtype), np.ones((3, 35), dtype), bias)
        np.testing.assert_array_equal(np.isnan(c), np.tile(np.isnan(bias), (7, 1)))


def test_out_is_overwritten_not_added_to(form: str, dtype: str) -> None:
    a, b = np.ones((7, 600), dtype), np.ones((600, 9), dtype)
    for before in (np.nan, 5.0):
        np.testing.assert_array_equal(multiply(form, a, b, out=np.full((7, 9), before, dtype)), np.full((7, 9), 600))


@pytest.mark.parametrize(("n", "k"), [(1, 5), (9, 16), (33, 40), (64, 513), (130, 300)])
def test_bits_of_a_row_do_not_depend_on_the_number_of_rows(form: str, n: int, k: int, dtype: str) -> None:
    """So that the result is the same however threads share the rows, also across the edge where packing begins."""
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=(70, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    more = {"bias": rng.normal(size=n).astype(dtype)} if form == "matmul" else {}
    whole = multiply(form, a, b, **more)
    for start, stop in [(0, 1), (69, 70), (3, 5), (10, 17), (11, 24), (0, 47), (0, 48), (22, 70)]:
        np.testing.assert_array_equal(multiply(form, a[start:stop], b, **more), whole[start:stop])


def test_bits_of_a_column_do_not_depend_on_the_number_of_columns(form: str, dtype: str) -> None:
    """But for a B of up to four columns, whose products are added up in several chains."""
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(50, 300)).astype(dtype), rng.normal(size=(300, 140)).astype(dtype)
    whole = multiply(form, a, b)
    for start, stop in [(0, 5), (135, 140), (3, 36), (0, 128), (70, 139)]:
        np.testing.assert_array_equal(multiply(form, a, b[:, start:stop]), whole[:, start:stop])


def test_forms_agree_to_the_bit(dtype: str) -> None:
    """Each element is one chain of additions in the order of k, in every form."""
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(50, 600)).astype(dtype), rng.normal(size=(600, 70)).astype(dtype)
    first, *others = (multiply(form, a, b) for form in FORMS)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_column_sums(dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for rows, columns in [*product(SIZES, [0, 1, 7, 8, 9, 31, 32, 33, 65, 200]), (1000, 1), (1000, 70)]:
        d = guard(rng.normal(size=(rows, columns)), dtype)
        out = guard(np.full(columns, np.nan), dtype)
        assert kernels.column_sums(d, out=out) is out
        wide = d.astype(np.float64)
        assert (np.abs(out - wide.sum(axis=0)) <= rows * EPS[dtype] * np.abs(wide).sum(axis=0)).all()


def test_column_sums_add_in_the_order_of_rows(dtype: str) -> None:
    """So that the bits do not depend on how wide the matrix is, and a NaN stays in its column."""
    d = np.random.default_rng(13).normal(size=(40, 67)).astype(dtype)
    total = np.zeros(67, dtype)
    for row in d:
        total += row
    np.testing.assert_array_equal(kernels.column_sums(d), total)
    for place in (0, 15, 16, 31, 32, 63, 64, 66):
        d[place % 40, place] = np.nan
        np.testing.assert_array_equal(np.isnan(kernels.column_sums(d)), np.isnan(d).any(axis=0))


def test_integers_are_taken_as_float64() -> None:
    c = kernels.matmul([[1, 2], [3, 4]], [[5], [6]])
    assert c.dtype == np.float64
    np.testing.assert_array_equal(c, [[17], [39]])


@pytest.mark.parametrize("rows", [1, 7, 8, 15, 16, 17, 31, 32, 33])
def test_few_rows_have_the_bits_of_many(rows: int, dtype: str, rng: np.random.Generator) -> None:
    """Few rows of d are turned in place of W: the additions of an element have the same order."""
    d, w = rng.normal(size=(100, 300)).astype(dtype), rng.normal(size=(260, 300)).astype(dtype)
    many = kernels.matmul_transposed_b(d, w)
    np.testing.assert_array_equal(kernels.matmul_transposed_b(d[:rows].copy(), w), many[:rows])

"""Matrix multiply in its three forms: values, NaN, no stray read or write, bits that do not depend on shapes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import fastnn
from support.bindings import kernels, rows_of
from support.guarded import Guard, guards

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}

# Around the heights (6, 10, 12) and widths (4 to 32) of the tiles of every instruction set.
SIZES = [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 31, 32, 33, 64, 65]
SMALL = [0, 1, 2, 5, 6, 7, 9]
# One row takes several vectors at once; the weight gradient goes 256 steps of k at a time; from 24 rows on a large B
# is copied into panels: from 4 MiB (the weight gradient: 1 MiB) on, so 1024 by 1024 floats. From 512 columns on A is
# copied too, 512 steps of up to 516 rows.
EDGES = [
    *product([1, 3], [1, 63, 64, 65, 127, 128, 129, 200], [0, 1, 40]),
    *product([1, 7], [5], [255, 256, 257, 511, 512, 513, 770]),
    *product([23, 24, 25], [64, 65], [255, 256, 257]),
    *product([23, 24, 25], [1024, 1030], [257]),
    *product([23, 24], [1024, 1025], [1023, 1024]),
    # With AVX2 the first tile leaves a panel of a small B for the others, and the weight gradient copies strips of A.
    *product([11, 12, 13, 29], [512, 530], [7, 8, 40]),
    *product([1, 2, 3, 4, 5, 9], [4, 5, 6, 7, 8], [63, 64, 65, 200]),
    # Vectors along k: B turned, or with few rows not; the last one of 17 columns; a B of two or three columns.
    *product([1, 2, 5, 18], [9, 10, 12, 13, 16, 17, 33], [31, 32, 64, 95, 113, 200]),
    *product([1, 4, 17, 50], [1, 2, 3], [11, 12, 15, 16, 17, 31, 33, 100]),
    *product([16, 33, 100], [1], [1, 2, 3, 4, 7, 8]),
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


@pytest.mark.parametrize(
    ("n", "k"),
    [
        *[
            (1, 5),
            (1, 8),
            (2, 8),
            (3, 11),
            (3, 12),
            (3, 23),
            (3, 24),
            (3, 70),
            (5, 63),
            (8, 200),
            (9, 16),
            (9, 50),
            (12, 100),
            (13, 300),
        ],
        *[(17, 31), (17, 40), (17, 300), (33, 40), (64, 513), (130, 300)],
    ],
)
def test_bits_of_a_row_do_not_depend_on_the_number_of_rows(form: str, n: int, k: int, dtype: str) -> None:
    """So that the result is the same however threads share the rows, also across the edge where packing begins."""
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=(70, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    more = {"bias": rng.normal(size=n).astype(dtype)} if form == "matmul" else {}
    whole = multiply(form, a, b, **more)
    # A gradient's only row or column, as Python asks for it, is a product by a vector, and has that one's order.
    lone = [(0, 1), (69, 70)] if form == "matmul" else []
    for start, stop in [*lone, (3, 5), (10, 17), (11, 24), (0, 23), (0, 24), (22, 70)]:
        np.testing.assert_array_equal(multiply(form, a[start:stop], b, **more), whole[start:stop])


@pytest.mark.parametrize("kernel", ["gemm", "gemm_transposed_a", "gemm_transposed_b"])
@pytest.mark.parametrize("adds", [False, True])
def test_bits_of_blocks_are_those_of_few_rows(kernel: str, adds: bool) -> None:
    """Where both matrices are copied in blocks: more rows than a block has, shuffled, and added to what is there."""
    m, n, k = 790, 1030, 1027
    adds = adds and kernel != "gemm_transposed_b"  # which has no such form
    rng = np.random.default_rng(13)
    shape_a, shape_b = {"gemm": ((m, k), (k, n)), "gemm_transposed_a": ((k, m), (k, n))}.get(kernel, ((m, k), (n, k)))
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in (shape_a, shape_b))
    order = rng.permutation(len(a)) if kernel != "gemm_transposed_a" else np.arange(k)
    space, before = np.empty(2**20, np.float32), rng.normal(size=(m, n)).astype(np.float32)

    def run(rows: np.ndarray, first: int, count: int, c: np.ndarray) -> np.ndarray:
        bound = getattr(kernels, kernel)
        bound.c(c, 0, rows, first, b, b.shape[1], c if adds else None, c, n, count, n, k, space)
        return c

    rows = rows_of(a)[order]
    whole = run(rows, 0, m, before.copy())
    for start in (0, 388, 391, 396, 785):
        part = before[start : start + 5].copy()
        if kernel == "gemm_transposed_a":
            run(rows, start, 5, part)
        else:
            run(rows[start : start + 5].copy(), 0, 5, part)
        np.testing.assert_array_equal(part, whole[start : start + 5])
    truth = (a.T if kernel == "gemm_transposed_a" else a[order]).astype(np.float64)
    truth = truth @ (b.T if kernel == "gemm_transposed_b" else b) + (before if adds else 0)
    np.testing.assert_allclose(whole, truth, atol=2e-3)


def test_bits_of_a_column_do_not_depend_on_the_number_of_columns(form: str, dtype: str) -> None:
    """But for a B of up to twelve columns, and a last one of 17, whose products are added up in several chains."""
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(50, 300)).astype(dtype), rng.normal(size=(300, 140)).astype(dtype)
    whole = multiply(form, a, b)
    for start, stop in [(0, 13), (124, 140), (3, 37), (0, 128), (70, 139)]:
        np.testing.assert_array_equal(multiply(form, a, b[:, start:stop]), whole[:, start:stop])


def test_forms_agree_to_the_bit(dtype: str) -> None:
    """Each element is one chain of additions in the order of k, in every form, but for A.Bt of many steps."""
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(50, 600)).astype(dtype), rng.normal(size=(600, 70)).astype(dtype)
    np.testing.assert_array_equal(multiply("matmul", a, b), multiply("matmul_transposed_a", a, b))
    a, b = a[:, :100], b[:100]
    first, *others = (multiply(form, a, b) for form in FORMS)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_lone_row_of_a_gradient_is_a_product_by_a_vector(dtype: str, rng: np.random.Generator) -> None:
    for n, k in [(1, 5), (5, 70), (17, 30), (200, 300)]:
        a, b = rng.normal(size=(1, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        np.testing.assert_array_equal(multiply("matmul_transposed_a", a, b), kernels.matmul(a, b))
        turned = np.ascontiguousarray(b.T)
        np.testing.assert_array_equal(kernels.matmul_transposed_b(a, turned).T, kernels.matmul(turned, a.T))


def test_a_lone_column_of_a_gradient_is_a_product_by_a_vector(dtype: str, rng: np.random.Generator) -> None:
    for m, k in [(1, 40), (2, 32), (9, 70), (17, 300), (200, 300)]:
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, 1)).astype(dtype)
        turned = np.ascontiguousarray(a.T)
        np.testing.assert_array_equal(kernels.matmul_transposed_a(turned, b).T, kernels.matmul(b.reshape(1, k), turned))


@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1900, 500), (2, 1900, 497), (3260, 362, 1), (1200, 300, 12), (700, 400, 17)]
)
def test_matrices_that_take_long_to_read_are_shared(
    form: str, m: int, k: int, n: int, rng: np.random.Generator
) -> None:
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    before = fastnn.get_num_threads()
    try:
        fastnn.set_num_threads(1)
        alone = multiply(form, a, b)
        for threads in (2, 3):
            fastnn.set_num_threads(threads)
            np.testing.assert_array_equal(multiply(form, a, b), alone)
    finally:
        fastnn.set_num_threads(before)
    assert_product(alone, a, b)


@pytest.mark.parametrize("columns", [17, 65, 97, 113])
def test_a_lone_last_column_is_the_same_in_a_share_of_the_columns(columns: int, rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(19, 70)).astype(np.float32), rng.normal(size=(70, columns)).astype(np.float32)
    whole = kernels.matmul(a, b)
    c, space = np.full_like(whole, np.nan), np.empty(2**15, np.float32)
    for start in range(0, columns, 48):
        count = min(48, columns - start)
        part = c[:, start:]
        kernels.gemm.c(c, 0, rows_of(a), 0, b[:, start:], columns, None, part, columns, 19, count, 70, space)
    np.testing.assert_array_equal(c, whole)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
def test_a_column_of_few_steps_takes_rows_wherever_they_lie(depth: int, rng: np.random.Generator) -> None:
    """Sixteen rows one behind the other go together, with the bits of those that do not."""
    a, b = rng.normal(size=(90, depth)).astype(np.float32), rng.normal(size=(depth, 1)).astype(np.float32)
    whole, space = kernels.matmul(a, b), np.empty(2**15, np.float32)
    for order in (np.arange(1, 90), rng.permutation(90), np.r_[3:40, 7, 41:80]):
        c = np.full((len(order), 1), np.nan, np.float32)
        kernels.gemm.c(c, 0, rows_of(a)[order], 0, b, 1, None, c, 1, len(order), 1, depth, space)
        np.testing.assert_array_equal(c, whole[order])


def test_adding_to_c_has_the_bits_of_one_chain(rng: np.random.Generator) -> None:
    """A bias goes first, in the paths of few steps as in the tiles."""
    for m, n, k in product([1, 5, 65, 130], [1, 3, 8, 16, 17, 25, 32, 33], [1, 3, 4, 5, 7, 12, 13]):
        a, b, bias = (rng.normal(size=size).astype(np.float32) for size in ((m, k), (k, n), (n,)))
        exact = a.astype(np.float64) @ b + bias
        c = kernels.matmul(a, b, bias)
        assert (np.abs(c - exact) <= (k + 1) * EPS["float32"] * (np.abs(a) @ np.abs(b) + np.abs(bias))).all()
        np.testing.assert_array_equal(kernels.matmul(a[-1:].copy(), b, bias), c[-1:])


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


@pytest.mark.parametrize("rows", [2, 7, 8, 15, 16, 17, 31, 32, 33])
def test_few_rows_have_the_bits_of_many(rows: int, dtype: str, rng: np.random.Generator) -> None:
    """Few rows of d are turned in place of W: the additions of an element have the same order."""
    d, w = rng.normal(size=(100, 300)).astype(dtype), rng.normal(size=(260, 300)).astype(dtype)
    many = kernels.matmul_transposed_b(d, w)
    np.testing.assert_array_equal(kernels.matmul_transposed_b(d[:rows].copy(), w), many[:rows])


@pytest.mark.parametrize(
    ("k", "n"),
    [(1031, 1024), (1028, 1055), (1040, 1087), (700, 400), (2100, 530), (4200, 260), (300, 4096), (513, 271)],
)
@pytest.mark.parametrize("begins", ["at 0", "with a bias", "with c"])
def test_rows_by_a_matrix_from_far_away(
    begins: str, k: int, n: int, dtype: str, guard: Guard, rng: np.random.Generator
) -> None:
    """A lone row in lines of B, few rows in panels while the next is fetched, many in blocks: the bits are the same."""
    a, b = (guard(rng.normal(size=size).astype(dtype)) for size in ((530, k + 3), (k, n)))
    before, space = guard(rng.normal(size=(530, n)).astype(dtype)), np.empty(2**20, dtype)

    def run(first: int, count: int) -> np.ndarray:
        c = guard(before[first : first + count].copy())
        bias = {"at 0": None, "with a bias": before[0], "with c": c}[begins]
        kernels.gemm.c(c, 0, rows_of(a)[first : first + count].copy(), 3, b, n, bias, c, n, count, n, k, space)
        return c

    whole = run(0, 530)
    truth = a[:, 3:].astype(np.float64) @ b + {"at 0": 0, "with a bias": before[0], "with c": before}[begins]
    assert (np.abs(whole - truth) <= (k + 1) * EPS[dtype] * (np.abs(a[:, 3:]) @ np.abs(b) + 10)).all()
    for first, count in [
        (0, 1),
        (199, 1),
        (3, 2),
        (4, 5),
        (6, 6),
        (5, 8),
        (2, 11),
        (9, 12),
        (7, 13),
        (8, 29),
        (1, 192),
    ]:
        np.testing.assert_array_equal(run(first, count), whole[first : first + count])

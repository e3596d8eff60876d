"""Sparse rows: the same numbers as the dense matrix, and never the dense matrix."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from fastnn.data import SparseRows, SparseSource
from fastnn.data.given import source_of
from fastnn.data.sparse import side_by_side, sparse_rows
from fastnn.layers import Dense
from fastnn.models import Sequential

scipy_sparse = pytest.importorskip("scipy.sparse")
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def matrix(rows: int, columns: int, dtype: str = "f8", kind: str = "csr", array: bool = False) -> Any:
    rng = np.random.default_rng(rows)
    dense = rng.integers(1, 50, (rows, columns)) * (rng.random((rows, columns)) < 0.2)
    made = scipy_sparse.csr_array(dense.astype(dtype)) if array else scipy_sparse.csr_matrix(dense.astype(dtype))
    return made.asformat(kind)


@pytest.mark.parametrize("array", [True, False], ids=["array", "matrix"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "?"])
def test_the_page_is_the_matrix(kind: str, dtype: str, array: bool) -> None:
    given = matrix(53, 7, dtype, kind, array)
    dense = given.toarray().astype(np.float32)
    y, weight = np.arange(53), np.arange(53) / 2
    source = source_of(given, y, weight)
    assert isinstance(source, SparseSource)
    assert (source.rows, source.input_shape, source.targets) == (53, (7,), 1)
    for rng in (None, np.random.default_rng(1)):
        [page] = source.pages(3, rng)
        assert isinstance(page.x, SparseRows)
        assert (page.x.data.dtype, page.x.indices.dtype, page.x.indptr.dtype) == (np.float32, np.int32, np.int64)
        assert (page.order is None) == (rng is None)
        np.testing.assert_array_equal(page.x, dense)
        np.testing.assert_array_equal(page.y[:, 0], y)
        np.testing.assert_array_equal(page.weight, weight)


@pytest.mark.parametrize(
    "rows", [slice(None), slice(3, 9), slice(9, 3), slice(-4, None), slice(0, 20, 3), [5, 0, 5], []]
)
def test_some_of_the_rows(rows: Any) -> None:
    given = matrix(20, 6)
    x = SparseSource(given).x
    np.testing.assert_array_equal(x[rows], given.toarray()[rows])
    np.testing.assert_array_equal(x[4:15][rows], given.toarray()[4:15][rows])
    assert x[rows].not_finite() is None


def test_the_matrix_is_left_alone() -> None:
    twice = scipy_sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    [page] = SparseSource(twice).pages(2)
    np.testing.assert_array_equal(page.x, [[0, 3, 0], [4, 0, 0]])
    assert twice.nnz == 3
    assert twice.data.dtype == np.float64
    single = matrix(5, 4, "f4")
    for part in ("data", "indices"):
        assert np.shares_memory(getattr(SparseSource(single).x, part), getattr(single, part))


def test_what_a_matrix_says_of_itself_is_not_believed() -> None:
    turned = scipy_sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(2, 3))
    turned.has_sorted_indices = turned.has_canonical_format = True
    x = SparseSource(turned).x
    np.testing.assert_array_equal(x, [[2, 0, 1], [0, 4, 0]])
    np.testing.assert_array_equal(x.indices, [0, 2, 1])
    np.testing.assert_array_equal(turned.indices, [2, 0, 1])


def test_rows_and_columns_without_a_number() -> None:
    [page] = SparseSource(scipy_sparse.csr_array((3, 2))).pages(8)
    np.testing.assert_array_equal(page.x, np.zeros((3, 2)))
    [page] = SparseSource(scipy_sparse.csr_array([[0, 5.0]])).pages(8, np.random.default_rng(0))
    np.testing.assert_array_equal(page.x, [[0, 5]])


def test_inputs_side_by_side() -> None:
    parts = [matrix(9, 4).toarray(), matrix(9, 3), np.eye(9), matrix(12, 2)[:9]]
    dense = np.concatenate([part.toarray() if hasattr(part, "tocsr") else part for part in parts], axis=1)
    found = side_by_side([sparse_rows(part, "x") if hasattr(part, "tocsr") else part for part in parts])
    np.testing.assert_array_equal(found, dense)
    for row in range(9):
        assert (np.diff(found.indices[found.indptr[row] : found.indptr[row + 1]]) > 0).all()


def test_no_dense_matrix_is_made() -> None:
    given = scipy_sparse.csr_array((np.ones(1000), np.arange(1000), np.arange(1001)), shape=(1000, 100_000))
    model = Sequential([Dense(2, input_dim=100_000)])
    model.compile("sgd", "mse")
    model.fit(given, np.zeros((1000, 2)), batch_size=100, verbose=0)  # what each thread works in is there then
    tracemalloc.start()
    model.fit(given, np.zeros((1000, 2)), batch_size=100, epochs=2, verbose=0, validation_split=0.5)
    model.predict(given, verbose=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20  # a dense batch alone would have 40


def test_split() -> None:
    given = matrix(40, 5)
    first, last = SparseSource(given, np.arange(40), np.ones(40)).split(0.25)
    assert (first.rows, last.rows) == (30, 10)
    [page] = last.pages(100)
    np.testing.assert_array_equal(page.x, given.toarray()[30:])
    np.testing.assert_array_equal(page.y[:, 0], np.arange(30, 40))


def holding(value: Any, dtype: Any) -> Any:
    return scipy_sparse.csr_array((np.array([1, value], dtype), np.array([0, 2]), np.array([0, 1, 2])), shape=(2, 3))


def with_part(name: str, place: int, value: int, kind: str = "csr") -> Any:
    made = holding(1, "f8").asformat(kind)
    getattr(made, name)[place] = value
    return made


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((scipy_sparse.csr_array((0, 3)),), {}, ValueError, "x has no rows"),
        ((scipy_sparse.csr_array((3, 0)),), {}, ValueError, "x has no features"),
        ((scipy_sparse.coo_array([1.0, 2.0]),), {}, ValueError, r"shape \(rows, features\), got \(2,\)"),
        ((holding(1e39, "f8"),), {}, ValueError, "x holds 1e[+]39 at row 1, column 2"),
        ((holding(2**24 + 1, "i8"),), {"exact": True}, ValueError, "whole number 16777217 at row 1, column 2"),
        ((holding(1j, "c16"),), {}, TypeError, "complex128"),
        ((holding(1, "f8"), np.zeros(3)), {}, ValueError, "x has 2 rows but y has 3"),
        ((holding(1, "f8"), holding(1, "f8")), {}, TypeError, r"y must be an array.*call its toarray\(\) first"),
        ((holding(1, "f8"), None, np.ones(3)), {}, ValueError, "sample_weight must have the shape"),
        ((with_part("indices", 1, 3),), {}, ValueError, "at row 1, column 3, but its columns go from 0 to 2"),
        ((with_part("indices", 1, -1),), {}, ValueError, "at row 1, column -1, but its columns go from 0 to 2"),
        ((with_part("indptr", 1, 9),), {}, ValueError, "indptr does not fit its data"),
        ((with_part("indptr", 2, 3),), {}, ValueError, "indptr does not fit its data"),
        ((with_part("indices", 1, 2, "csc"),), {}, ValueError, "at row 2, column 2, but its rows go from 0 to 1"),
    ],
)
def test_what_is_refused(arguments: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SparseSource(*arguments, **options)


def test_a_model_fits_sparse_rows_as_it_fits_dense_ones() -> None:
    given = matrix(90, 6)
    y = given.toarray().sum(axis=1) / 50
    histories = []
    for x in (given, given.toarray()):
        model = Sequential([Dense(1, input_dim=6, kernel_initializer="zeros")])
        model.compile("adam", "mse")
        history = model.fit(x, y, epochs=3, batch_size=7, shuffle=False, verbose=0, validation_data=(x, y)).history
        histories.append([history["loss"], history["val_loss"], model.evaluate(x, y, verbose=0)])
    assert histories[0] == histories[1]

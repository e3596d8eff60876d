"""Sparse rows: the same numbers as the dense matrix, and never the dense matrix."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from fastnn.data import SparseSource, sparse as ours
from fastnn.data.given import source_of
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
@pytest.mark.parametrize("page", [0, 200, 2**20])
def test_the_pages_together_are_the_matrix(
    monkeypatch: pytest.MonkeyPatch, kind: str, dtype: str, array: bool, page: int
) -> None:
    monkeypatch.setattr(ours, "_PAGE", page)
    given = matrix(53, 7, dtype, kind, array)
    dense = given.toarray().astype(np.float32)
    y, weight = np.arange(53), np.arange(53) / 2
    source = source_of(given, y, weight)
    assert isinstance(source, SparseSource)
    assert (source.rows, source.input_shape, source.targets) == (53, (7,), 1)
    for rng in (None, np.random.default_rng(1)):
        pages = list(source.pages(3, rng))
        assert all(len(p.x) % 3 == 0 and p.x.nbytes <= max(page, 3 * 28) for p in pages[:-1])
        at = np.concatenate([p.y[:, 0] for p in pages]).astype(int)
        np.testing.assert_array_equal(np.sort(at), np.arange(53))
        assert (at == np.arange(53)).all() == (rng is None)
        np.testing.assert_array_equal(np.concatenate([p.x for p in pages]), dense[at])
        np.testing.assert_array_equal(np.concatenate([p.weight for p in pages]), weight[at])
        assert all(p.x.dtype == np.float32 and p.x.flags.c_contiguous for p in pages)
        if rng is not None:
            np.testing.assert_array_equal(np.concatenate([p.numbers for p in pages]), at)


def test_the_matrix_is_left_alone() -> None:
    twice = scipy_sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    [page] = SparseSource(twice).pages(2)
    np.testing.assert_array_equal(page.x, [[0, 3, 0], [4, 0, 0]])
    assert twice.nnz == 3
    assert twice.data.dtype == np.float64
    single = matrix(5, 4, "f4")
    assert np.shares_memory(SparseSource(single).x.data, single.data)


def test_rows_and_columns_without_a_number() -> None:
    [page] = SparseSource(scipy_sparse.csr_array((3, 2))).pages(8)
    np.testing.assert_array_equal(page.x, np.zeros((3, 2)))
    [page] = SparseSource(scipy_sparse.csr_array([[0, 5.0]])).pages(8, np.random.default_rng(0))
    np.testing.assert_array_equal(page.x, [[0, 5]])


def test_only_a_page_is_dense() -> None:
    given = scipy_sparse.csr_array((np.ones(1000), np.arange(1000), np.arange(1001)), shape=(1000, 100_000))
    tracemalloc.start()
    total = sum(page.x.sum() for page in SparseSource(given).pages(8, np.random.default_rng(0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1000
    assert peak < 10 * 2**20


def test_split() -> None:
    given = matrix(40, 5)
    first, last = SparseSource(given, np.arange(40), np.ones(40)).split(0.25)
    assert (first.rows, last.rows) == (30, 10)
    [page] = last.pages(100)
    np.testing.assert_array_equal(page.x, given.toarray()[30:])
    np.testing.assert_array_equal(page.y[:, 0], np.arange(30, 40))


def holding(value: Any, dtype: Any) -> Any:
    return scipy_sparse.csr_array((np.array([1, value], dtype), np.array([0, 2]), np.array([0, 1, 2])), shape=(2, 3))


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

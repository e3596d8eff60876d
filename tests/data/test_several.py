"""Several inputs and outputs become one array, in the model's order whatever the order they came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource, SparseSource
from fastnn.data.given import source_of, validation_of
from fastnn.data.several import Several, joined, joined_weights

NAMES, SHAPES = ("a", "b", "c"), ((2,), (1,), (2, 2))
A, B, C = np.arange(6).reshape(3, 2), np.array([7.5, 8, 9]), np.arange(12).reshape(3, 2, 2)
JOINED = np.concatenate([A, B[:, None], C.reshape(3, 4)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    "values",
    [
        [A, B, C],
        (A, B[:, None], C.astype(">f8")),
        {"c": C, "a": A.tolist(), "b": B},
        [np.asfortranarray(A), memoryview(B), C[::-1][::-1]],
    ],
)
def test_in_the_order_of_the_model(values: Any) -> None:
    got = joined(values, NAMES, SHAPES, "x")
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, JOINED)


def test_of_any_kind() -> None:
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    values = [pandas.DataFrame(A), pandas.Series(B), C]
    np.testing.assert_array_equal(joined(values, NAMES, SHAPES, "x"), JOINED)
    np.testing.assert_array_equal(joined([sparse.csr_array(A), B, C], NAMES, SHAPES, "x"), JOINED)


def test_one_is_not_copied() -> None:
    x = np.ones((3, 2), np.float32)
    for values in (x, [x], (x,), {"a": x}):
        assert np.shares_memory(joined(values, ["a"], [(2,)], "x"), x)
    np.testing.assert_array_equal(joined([[1, 2]], ["a"], [(2,)], "x"), [[1, 2]])
    np.testing.assert_array_equal(joined([np.array([1, 2])], ["a"], [(2,)], "x"), [[1, 2]])


def test_no_rows() -> None:
    assert joined([A[:0], B[:0], C[:0]], NAMES, SHAPES, "x").shape == (0, 7)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([A, B], ValueError, r"x must be a list of 3 arrays or a dict by name, one for each of 'a', 'b', 'c'; got 2"),
        (A, ValueError, "got one ndarray"),
        ({"a": A, "b": B}, ValueError, "x has no array for 'c'; it needs one for each of 'a', 'b', 'c'"),
        ({"a": A, "b": B, "d": C}, ValueError, "x has an array for 'd', which is none of 'a', 'b', 'c'"),
        ([A, B[:2], C], ValueError, r"x\['a'\] has 3 rows but x\['b'\] has 2"),
        ([A.T[:, :2], B, C], ValueError, "rows"),
        ([B, A, C], ValueError, r"x\['a'\] has rows of shape \(1,\), but the model's \(2,\)"),
        ([A, B, C.reshape(3, 4)], ValueError, r"x\['c'\] has rows of shape \(4,\), but the model's \(2, 2\)"),
        ([A, np.array(["u", "v", "w"]), C], TypeError, r"x\['b'\] must hold numbers"),
        ([A, None, C], TypeError, r"x\['b'\] must be an array.*got NoneType"),
    ],
)
def test_what_is_refused(values: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        joined(values, NAMES, SHAPES, "x")


def test_ids_stay_exact_where_it_is_asked() -> None:
    wide = [np.array([2**24 + 1]), np.array([2**24 + 1])]
    with pytest.raises(ValueError, match=r"x\['b'\] holds the whole number 16777217 at row 0"):
        joined(wide, "ab", [(1,), (1,)], "x", exact=("b",))
    np.testing.assert_array_equal(joined(wide, "ab", [(1,), (1,)], "x"), [[2**24, 2**24]])
    with pytest.raises(ValueError, match="x holds the whole number 16777217"):
        joined(wide[0], "a", [(1,)], "x", exact=("a",))


# Weights


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], [[1, 1], [2, 2], [3, 3]]),
        (np.array([1, 2, 3]), [[1, 1], [2, 2], [3, 3]]),
        ([[1, 2, 3], np.array([4, 5, 6])], [[1, 4], [2, 5], [3, 6]]),
        ([None, [4, 5, 6]], [[1, 4], [1, 5], [1, 6]]),
        ({"q": [4, 5, 6]}, [[1, 4], [1, 5], [1, 6]]),
        ({"q": [4, 5, 6], "p": None}, [[1, 4], [1, 5], [1, 6]]),
    ],
)
def test_weights(values: Any, expected: Any) -> None:
    got = joined_weights(values, ("p", "q"), 3, [(1,), (2,)])
    assert got is not None
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


def test_no_weights() -> None:
    assert joined_weights(None, ("p", "q"), 3, [(1,), (2,)]) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"r": [1, 2, 3]}, "sample_weight has an array for 'r', which is none of 'p', 'q'"),
        ([[1, 2, 3]], "sample_weight must be a list of 2 arrays"),
        ([[1, 2, 3], [1, 2]], r"sample_weight\['q'\] must have the shape \(3,\).*got \(2,\)"),
        ([1, 2], r"sample_weight\['p'\] must have the shape \(3,\).*got \(2,\)"),
        (np.ones((3, 2)), r"sample_weight\['p'\] must have the shape \(3,\).*got \(3, 2\)"),
    ],
)
def test_weights_that_are_refused(values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        joined_weights(values, ("p", "q"), 3, [(1,), (2,)])


# Through the function that models use

INPUTS, OUTPUTS = Several(NAMES, SHAPES), Several(("p", "q"), ((1,), (2,)))


def test_source_of_several() -> None:
    y = {"q": np.arange(6).reshape(3, 2), "p": [1, 2, 3]}
    for source in (
        source_of([A, B, C], y, {"p": [4, 5, 6]}, INPUTS, OUTPUTS),
        validation_of(([A, B, C], y, {"p": [4, 5, 6]}), INPUTS, OUTPUTS),
    ):
        [page] = source.pages(8)
        np.testing.assert_array_equal(page.x, JOINED)
        np.testing.assert_array_equal(page.y, [[1, 0, 1], [2, 2, 3], [3, 4, 5]])
        np.testing.assert_array_equal(page.weight, [[4, 1], [5, 1], [6, 1]])
        assert (source.input_shape, source.targets) == ((7,), 3)


def test_source_of_one_among_several() -> None:
    x, y = np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32)
    one, out = Several(("a",), ((2,),), ("a",)), Several(("p",), ((1,),))
    source = source_of({"a": x}, [y], {"p": [1, 2, 3]}, one, out)
    assert isinstance(source, ArraySource)
    assert np.shares_memory(source.x, x)
    assert np.shares_memory(source.y, y)
    np.testing.assert_array_equal(source.weight, [1, 2, 3])
    with pytest.raises(ValueError, match="16777217"):
        source_of(np.full((3, 2), 2**24 + 1), None, None, one)
    with pytest.raises(ValueError, match="validation_data: x has no array for 'a'"):
        validation_of(({}, y), one, out)


def test_one_sparse_input_stays_sparse() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    source = source_of({"a": sparse.eye_array(2)}, None, None, Several(("a",), ((2,),)))
    assert isinstance(source, SparseSource)


def test_a_data_frame_has_its_columns_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"b": [3, 4], "a": [1.5, 2.5]})
    np.testing.assert_array_equal(joined(frame, ["a", "b"], [(1,), (1,)], "x"), [[1.5, 3], [2.5, 4]])
    with pytest.raises(ValueError, match="x has an array for 'c', which is none of 'a', 'b'"):
        joined(frame.assign(c=1), ["a", "b"], [(1,), (1,)], "x")

"""to_categorical, normalize, pad_sequences and the packing of batches: known values; beside Keras in tests/peers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import utils
from fastnn.preprocessing.sequence import pad_sequences as as_scripts_import_it


def test_classes_become_columns() -> None:
    assert utils.to_categorical([0, 2, 1]).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert utils.to_categorical([[0], [1]], 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert utils.to_categorical([[0, 1], [1, 1]]).shape == (2, 2, 2)
    assert utils.to_categorical(np.float32([1.0]), 2).dtype == np.float64
    assert utils.to_categorical([], 4).shape == (0, 4)
    assert utils.to_categorical(2).tolist() == [0, 0, 1]
    assert utils.to_categorical(np.array([True, False])).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("x", "classes", "error", "says"),
    [
        ([0, 3], 3, ValueError, r"whole numbers of 0 to 2, got 3 at place \(1,\)"),
        ([[0], [-1]], None, ValueError, r"got -1 at place \(1, 0\)"),
        ([0.5, 1], None, ValueError, "got 0.5"),
        ([np.nan, 1], 2, ValueError, "got nan"),
        (["cat", "dog"], None, TypeError, r"np.unique\(labels, return_inverse=True\)"),
        ([], None, ValueError, "needs num_classes"),
        ([0], 0, ValueError, "num_classes must be at least 1"),
        ([0], 2.5, TypeError, "num_classes must be a whole number"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_what_is_no_class_number_is_named(x: Any, classes: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        utils.to_categorical(x, classes)


def test_lines_get_the_norm_1() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert utils.normalize(x).tolist() == [[0.6, 0.8], [0, 0]]
    assert utils.normalize(x, order=1)[0].tolist() == [3 / 7, 4 / 7]
    assert utils.normalize(x, order=np.inf)[0].tolist() == [0.75, 1]
    assert utils.normalize([[1, 2, 3], [4, 5, 6]], axis=0)[:, 0].tolist() == [1 / 17**0.5, 4 / 17**0.5]
    assert utils.normalize(np.float32([[3, 4]])).dtype == np.float32
    assert np.allclose(np.linalg.norm(utils.normalize(np.arange(1.0, 25).reshape(2, 3, 4), axis=1), axis=1), 1)


def test_sequences_of_different_lengths_become_rows() -> None:
    lists = [[1], [2, 3], [4, 5, 6]]
    assert utils.pad_sequences(lists).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert utils.pad_sequences(lists, padding="post", value=-1).tolist() == [[1, -1, -1], [2, 3, -1], [4, 5, 6]]
    assert utils.pad_sequences(lists, maxlen=2).tolist() == [[0, 1], [2, 3], [5, 6]]
    assert utils.pad_sequences(lists, maxlen=2, truncating="post").tolist() == [[0, 1], [2, 3], [4, 5]]
    assert utils.pad_sequences(lists, maxlen=0).shape == (3, 0)
    assert utils.pad_sequences([[], [[1, 2]]]).tolist() == [[[0, 0]], [[1, 2]]]
    assert utils.pad_sequences([["a"], ["b", "c"]], dtype=object, value="-").tolist() == [["-", "a"], ["b", "c"]]
    assert utils.pad_sequences([]).shape == (0, 0)
    assert utils.pad_sequences(lists).dtype == np.int32
    assert as_scripts_import_it is utils.pad_sequences


@pytest.mark.parametrize(
    ("sequences", "options", "says"),
    [
        ([1, [2]], {}, "got 1 at place 0"),
        (5, {}, "must be a list of sequences, got 5"),
        ([[[1, 2]], [[1, 2, 3]]], {}, r"sequence 1 has entries of shape \(3,\)"),
        ([[1]], {"value": "x"}, "dtype=object"),
        ([[1]], {"padding": "before"}, "padding must be 'pre' or 'post'"),
        ([[1]], {"truncating": "before"}, "truncating must be 'pre' or 'post'"),
        ([[1]], {"maxlen": -1}, "maxlen must be at least 0"),
    ],
)
def test_what_is_no_sequence_is_named(sequences: Any, options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        utils.pad_sequences(sequences, **options)


@pytest.mark.parametrize("given", [(1,), (1, 2), (1, 2, 3), ((1, 2),), ([1], 2)])
def test_a_batch_is_packed_and_unpacked(given: tuple[Any, ...]) -> None:
    assert utils.unpack_x_y_sample_weight(utils.pack_x_y_sample_weight(*given)) == (*given, None, None)[:3]


def test_a_batch_of_four_is_refused() -> None:
    assert utils.unpack_x_y_sample_weight([1, 2]) == (1, 2, None)
    with pytest.raises(ValueError, match="got 4 parts"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))

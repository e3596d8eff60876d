"""Whatever lends its memory: the buffer protocol and DLPack, without a copy where it is float32."""

from __future__ import annotations

import array
import ctypes
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource
from fastnn.data.convert import to_float32


class Lent:
    """An array that can be had by DLPack alone."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("wrap", [memoryview, Lent], ids=["buffer", "dlpack"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", "?"])
def test_the_numbers_of_another_owner(wrap: Any, dtype: str) -> None:
    values = np.array(VALUES, dtype)
    source = ArraySource(wrap(values), wrap(values[:, 1].copy()), wrap(values[:, 2].copy()))
    np.testing.assert_array_equal(source.x, values)
    np.testing.assert_array_equal(source.y[:, 0], values[:, 1])
    np.testing.assert_array_equal(source.weight, values[:, 2])
    assert np.shares_memory(source.x, values) == (dtype == "f4")


@pytest.mark.parametrize("wrap", [memoryview, Lent], ids=["buffer", "dlpack"])
@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::2], np.s_[:, ::-1]])
def test_any_strides(wrap: Any, view: Any) -> None:
    np.testing.assert_array_equal(to_float32(wrap(VALUES[view]), "x"), VALUES[view])
    np.testing.assert_array_equal(to_float32(wrap(VALUES.T), "x"), VALUES.T)


def test_arrays_of_the_standard_library() -> None:
    given = array.array("f", [1, 2, 3])
    assert np.shares_memory(ArraySource(given).x, np.frombuffer(given, np.float32))
    np.testing.assert_array_equal(ArraySource(array.array("q", [4, 5])).x, [[4], [5]])
    np.testing.assert_array_equal(ArraySource((ctypes.c_double * 2)(1.5, 2.5)).x, [[1.5], [2.5]])
    np.testing.assert_array_equal(ArraySource(bytearray(b"\x01\xff")).x, [[1], [255]])


def test_memory_that_cannot_be_lent() -> None:
    class OnGraphicsCard(Lent):
        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("the memory is on a graphics card")

    with pytest.raises(TypeError, match=r"x cannot be read as an array \(OnGraphicsCard: .*NumPy array first"):
        ArraySource(OnGraphicsCard(VALUES))


def test_what_an_array_refuses_to_give() -> None:
    class Closed:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            raise RuntimeError("the file is closed")

    with pytest.raises(TypeError, match=r"y cannot be read as an array \(Closed: the file is closed\)"):
        ArraySource([[1]], Closed())


def test_ids_that_must_stay_exact() -> None:
    ids = np.array([[3, 2**24 + 1]])
    with pytest.raises(ValueError, match="x holds the whole number 16777217 at row 0, column 1"):
        ArraySource(ids, exact=True)
    assert ArraySource(ids - 1, exact=True).x[0, 1] == 2**24
    assert ArraySource(ids.astype(np.float64), exact=True).x[0, 1] == 2**24


def test_weights_of_several_outputs() -> None:
    weight = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(ArraySource(VALUES, sample_weight=weight, outputs=2).weight, weight)
    with pytest.raises(ValueError, match=r"must have the shape \(2, 3\)"):
        ArraySource(VALUES, sample_weight=weight, outputs=3)
    with pytest.raises(ValueError, match="got -4 at row 1"):
        ArraySource(VALUES, sample_weight=-weight + np.array([[9, 9], [9, 0]]), outputs=2)

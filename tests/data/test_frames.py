"""Data frames and series: the numbers that NumPy would see, the columns by name, and what is no number refused."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource
from fastnn.data.convert import to_float32
from fastnn.layers import Dense
from fastnn.models import Sequential

LIBRARIES = ["pandas", "polars", "pyarrow"]
NUMBERS = {
    "small": np.array([1, -2, 3, 4], np.int8),
    "whole": np.array([2**40, -5, 0, 7], np.int64),
    "unsigned": np.array([0, 2**63, 1, 2], np.uint64),
    "real": np.array([0.5, np.nan, np.inf, -1e-320]),
    "single": np.array([0.1, 2, 3, 4], np.float32),
    "flag": np.array([True, False, True, True]),
}


def frame(library: str, columns: dict[str, Any]) -> Any:
    module = pytest.importorskip(library)
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


def series(library: str, name: str, values: Any) -> Any:
    module = pytest.importorskip(library)
    return module.Series(values, name=name) if library == "pandas" else module.Series(name, values)


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_in_their_order(library: str) -> None:
    source = ArraySource(frame(library, NUMBERS))
    assert source.columns == tuple(NUMBERS)
    assert source.input_shape == (len(NUMBERS),)
    expected = np.stack([values.astype(np.float32) for values in NUMBERS.values()], axis=1)
    np.testing.assert_array_equal(source.x, expected)
    assert source.x.flags.c_contiguous


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("rows", [1, 4095, 4096, 4097, 9000])
def test_blocks_of_rows(library: str, rows: int) -> None:
    whole, real = np.arange(rows), np.arange(rows) / 7
    x = ArraySource(frame(library, {"a": whole, "b": real, "c": whole % 3 == 0})).x
    np.testing.assert_array_equal(x, np.stack([whole, real, whole % 3 == 0], axis=1).astype(np.float32))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "values", [[1, None, 3], [True, None, False], [0.5, None, 2.5], [None, None, None], [Decimal("1.5"), None, 2]]
)
def test_a_missing_value_is_nan(library: str, values: list[Any]) -> None:
    if library != "pandas" and isinstance(values[0], Decimal):
        values = [value if value is None else Decimal(value) for value in values]
    x = ArraySource(frame(library, {"a": [1, 2, 3], "b": values})).x
    np.testing.assert_array_equal(x[:, 1], np.array([np.nan if v is None else float(v) for v in values], np.float32))


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_column_and_one_row(library: str) -> None:
    source = ArraySource(frame(library, {"a": [2.5]}), frame(library, {"y": [1]}))
    assert (source.rows, source.input_shape, source.targets) == (1, (1,), 1)
    assert (source.x.item(), source.y.item()) == (2.5, 1)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_series_as_features_targets_and_weights(library: str) -> None:
    x, y, w = series(library, "a", [1, 2, 3]), series(library, "label", [0, 1, 2]), series(library, "w", [1.0, 0, 2.5])
    source = ArraySource(x, y, w)
    assert source.columns == ("a",)
    np.testing.assert_array_equal(source.x[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(source.y[:, 0], [0, 1, 2])
    np.testing.assert_array_equal(source.weight, [1, 0, 2.5])


TEXT = ["b", "c", None]
DAY = datetime.datetime(2024, 5, 1)
UTC = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
REFUSED = [
    (TEXT, TypeError, ["text ('b' at row 0)", "get_dummies"]),
    ([None, "x" * 50, None], TypeError, ["text ('" + "x" * 32 + "...' at row 1)"]),
    ([DAY] * 3, TypeError, ["must hold numbers", "seconds"]),
    ([UTC] * 3, TypeError, ["must hold numbers", "seconds"]),
    ([datetime.timedelta(1)] * 3, TypeError, ["must hold numbers", "durations"]),
    ([datetime.time(1)] * 3, TypeError, ["must hold numbers", "time"]),
    ([[1], [2], [3]], TypeError, ["must hold numbers"]),
    ([0.0, 0.0, 1e39], ValueError, ["1e+39 at row 2", "3.4e38"]),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("values", "error", "words"), REFUSED)
def test_what_is_refused_by_its_column(library: str, values: Any, error: type[Exception], words: list[str]) -> None:
    given = frame(library, {"first": [1, 2, 3], "bad one": values})
    with pytest.raises(error) as caught:
        ArraySource(given)
    for word in ["column 'bad one' of x", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
def test_labels_stay_exact(library: str) -> None:
    wide = {"a": [1, 2, 2**24 + 1]}
    with pytest.raises(ValueError, match=r"16777217 at row 2.*exactly"):
        ArraySource(np.zeros((3, 1)), frame(library, wide))
    with pytest.raises(ValueError, match=r"16777217 at row 2.*exactly"):
        ArraySource(frame(library, wide | {"b": [1.0, 2, 3]}), exact=True)
    assert ArraySource(frame(library, wide)).x[2, 0] == 2**24


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_rows_and_no_columns(library: str) -> None:
    with pytest.raises(ValueError, match=r"x has no rows: its shape is \(0, 2\)"):
        ArraySource(frame(library, {"a": np.zeros(0), "b": np.zeros(0, int)}))
    with pytest.raises(ValueError, match="x has no"):
        ArraySource(frame(library, {}))


# What only one of them has


def test_pandas_types_with_na() -> None:
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame(
        {
            "i": pandas.array([1, None, 2**30 + 1], "Int32"),
            "f": pandas.array([0.5, None, 2], "Float64"),
            "b": pandas.array([True, None, False], "boolean"),
            "o": pandas.Series([1, pandas.NA, 2.5], dtype=object),
            "s": pandas.arrays.SparseArray([0, 0, 3]),
        }
    )
    nan = np.nan
    expected = np.array([[1, 0.5, 1, 1, 0], [nan, nan, nan, nan, 0], [2**30 + 1, 2, 0, 2.5, 3]], np.float32)
    np.testing.assert_array_equal(ArraySource(given).x, expected)
    np.testing.assert_array_equal(to_float32(pandas.array([3, None], "Int64"), "y"), np.array([3, nan], np.float32))
    with pytest.raises(ValueError, match="column 'id' of y holds the whole number 9007199254740993"):
        ArraySource([[0]], pandas.Series([2**53 + 1], name="id", dtype="Int64"))


@pytest.mark.parametrize("values", [["a", "b"], [1, 2]])
def test_categories_are_no_numbers(values: list[Any]) -> None:
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame({"city": pandas.Categorical(values)})
    with pytest.raises(TypeError, match=r"column 'city' of x is categorical.*get_dummies"):
        ArraySource(given)
    with pytest.raises(TypeError, match="column 'city' of y is categorical"):
        ArraySource(np.zeros((2, 1)), given["city"])


def test_polars_categories_and_arrays_and_lazy_frames() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match="column 'city' of x holds text"):
        ArraySource(polars.DataFrame({"city": polars.Series(["a", "b"], dtype=polars.Categorical)}))
    pairs = polars.Series("pair", [[1, 2], [3, 4]], dtype=polars.Array(polars.Int64, 2))
    with pytest.raises(TypeError, match=r"column 'pair' of x holds arrays of shape \(2,\)"):
        ArraySource(polars.DataFrame([pairs]))
    with pytest.raises(TypeError, match=r"x must be an array.*LazyFrame; call its collect\(\) first"):
        ArraySource(polars.DataFrame({"a": [1]}).lazy())


def test_pandas_labels_of_any_kind() -> None:
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame(np.arange(6.0).reshape(2, 3), columns=["a", "a", 7], index=[5, 5])
    twice.insert(1, ("a", "b"), [10, 20])
    source = ArraySource(twice)
    assert source.columns == ("a", "('a', 'b')", "a", "7")
    np.testing.assert_array_equal(source.x, [[0, 10, 1, 2], [3, 20, 4, 5]])


def test_one_dtype_names_the_column_too() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"x holds 1e[+]39 at row 1, column 'wide'"):
        ArraySource(pandas.DataFrame({"a": [1.0, 2.0], "wide": [0.0, 1e39]}))
    with pytest.raises(ValueError, match="y holds the whole number 16777217 at row 0, column 'b'"):
        ArraySource([[0]], pandas.DataFrame({"a": [1], "b": [2**24 + 1]}))


def test_float32_is_not_copied() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    held = pandas.DataFrame(values, copy=False)
    assert np.shares_memory(ArraySource(held).x, held.to_numpy())
    column = polars.Series("a", values[:, 0].copy())
    assert np.shares_memory(ArraySource(column).x, column.to_numpy())


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_model_fits_evaluates_and_predicts(library: str) -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.random(60), "b": rng.integers(0, 5, 60)}
    target = columns["a"] * 2 - columns["b"]
    plain = np.stack(list(columns.values()), axis=1).astype(np.float32)
    given, y = frame(library, columns), series(library, "y", target)
    losses = []
    for x, t in ((given, y), (plain, target)):
        model = Sequential([Dense(1, input_dim=2, kernel_initializer="ones")])
        model.compile("sgd", "mse")
        options: dict[str, Any] = {"validation_split": 0.25, "shuffle": False, "verbose": 0, "sample_weight": np.abs(t)}
        losses.append(model.fit(x, t, **options).history)
        losses[-1]["evaluate"] = model.evaluate(x, t, verbose=0)
        np.testing.assert_array_equal(model.predict(x), model.predict(plain))
        model.fit(x, t, validation_data=(x, t), verbose=0)
    assert losses[0] == losses[1]

"""Whatever other packages keep rows in: its numbers, or an error that says what to give in its place."""

from __future__ import annotations

import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource
from fastnn.data.given import source_of
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

NAN = np.nan


def model_of(features: int) -> Sequential:
    model = Sequential([Input((features,)), Dense(1)])
    model.compile("sgd", "mse")
    return model


# Records.


def test_a_record_array_is_a_frame() -> None:
    records = np.array([(1, 2.5, True), (3, 4.5, False)], [("a", "i2"), ("b", ">f8"), ("c", "?")])
    for given in (records, records.view(np.recarray), np.ma.array(records), np.repeat(records, 2)[::2]):
        source = ArraySource(given, given[["b"]])
        assert source.columns == ("a", "b", "c")
        np.testing.assert_array_equal(source.x, [[1, 2.5, 1], [3, 4.5, 0]])
        np.testing.assert_array_equal(source.y, [[2.5], [4.5]])
    hidden = np.ma.array(records, mask=[(0, 0, 0), (0, 1, 0)])
    with pytest.raises(ValueError, match="x has a masked value at row 1, column 1"):
        ArraySource(hidden)
    np.testing.assert_array_equal(model_of(3).predict(records).shape, (2, 1))
    wide = np.array([(2**24 + 1, 0)], "i8,i8")
    with pytest.raises(ValueError, match="column 'f0' of y holds the whole number 16777217 at row 0"):
        ArraySource(np.zeros((1, 1)), wide)


# pyarrow.

ARROW: list[tuple[list[Any], str | None, list[float]]] = [
    ([1, 2, 3], None, [1, 2, 3]),
    ([1, None, 3], None, [1, NAN, 3]),
    ([0.5, None, 2], None, [0.5, NAN, 2]),
    ([True, False, True], None, [1, 0, 1]),
    ([True, None, False], None, [1, NAN, 0]),
    ([None, None, None], None, [NAN, NAN, NAN]),
    ([Decimal("1.5"), None, Decimal(3)], None, [1.5, NAN, 3]),
    *(
        ([1, None, 3], kind, [1, NAN, 3])
        for kind in (*(f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)), "float16", "float32")
    ),
]


@pytest.mark.parametrize("form", ["array", "chunked", "batch", "table", "dictionary", "dictionary in a table"])
@pytest.mark.parametrize(("values", "kind", "expected"), ARROW)
def test_arrow(form: str, values: list[Any], kind: str | None, expected: list[float]) -> None:
    pa = pytest.importorskip("pyarrow")
    array = pa.array(values, getattr(pa, kind)() if kind else None)
    if form.startswith("dictionary"):
        array = array.dictionary_encode()
    given = {
        "chunked": lambda: pa.chunked_array([array.slice(0, 1), array.slice(1)]),
        "batch": lambda: pa.record_batch({"a": array}),
        "table": lambda: pa.table({"a": array}),
        "dictionary in a table": lambda: pa.table({"a": array}),
    }.get(form, lambda: array)()
    np.testing.assert_array_equal(source_of(given, None, None).x[:, 0], expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", ["array", "batch"])
def test_arrow_that_holds_no_numbers(form: str) -> None:
    pa = pytest.importorskip("pyarrow")
    whole = [["a", "b"], [b"a", None], [[1, 2], [3]], [{"a": 1}, None], np.zeros(2, "M8[s]"), np.zeros(2, "m8[s]")]
    for values in (*whole, pa.array(["a", None]).dictionary_encode()):
        array = pa.array(values)
        with pytest.raises(TypeError, match="number"):
            ArraySource(pa.record_batch({"a": array}) if form == "batch" else array)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("rest", [[], [None]])
@pytest.mark.parametrize("kind", [int, Decimal])
def test_targets_beside_missing_ones_stay_exact(library: str, rest: list[None], kind: Any) -> None:
    module = pytest.importorskip(library)
    values = [kind(2**24 + 1), kind(5), *rest]
    y = {
        "pandas": lambda: module.array(values, "Int64") if kind is int else module.Series(values),
        "polars": lambda: module.Series("y", values),
        "pyarrow": lambda: module.array(values),
    }[library]()
    with pytest.raises(ValueError, match="holds the whole number 16777217 at row 0, which float32 cannot hold"):
        ArraySource(np.zeros((len(values), 1)), y)


# polars.


def test_polars_types() -> None:
    pl = pytest.importorskip("polars")
    wide = [name for name in ("Int128", "UInt128", "Float16") if hasattr(pl, name)]
    for name in ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", *wide]:
        column = pl.Series("a", [1, None, 3], dtype=getattr(pl, name))
        np.testing.assert_array_equal(ArraySource(column).x[:, 0], [1, NAN, 3])
        frame = pl.DataFrame({"a": column, "b": [0.5, 1, 2]})
        np.testing.assert_array_equal(ArraySource(frame).x, [[1, 0.5], [NAN, 1], [3, 2]])
    if "Int128" in wide:
        with pytest.raises(ValueError, match=f"holds the whole number {2**100 + 1} at row 1"):
            ArraySource(np.zeros((2, 1)), pl.Series("y", [1, 2**100 + 1], dtype=pl.Int128))
        assert ArraySource(pl.Series("x", [2**100], dtype=pl.Int128)).x == 2.0**100
    with pytest.raises(TypeError, match=r"call its collect\(\) first"):
        source_of(pl.LazyFrame({"a": [1]}), None, None)


# SciPy.


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "dok", "lil", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_every_sparse_form(form: str, kind: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    values = np.array([[0, 1.5], [2, 0], [0, 0]])
    make = getattr(sparse, f"{form}_{kind}")
    y = np.ones(3)
    model = model_of(2)
    expected = model.predict(values)
    for dtype in (np.float64, np.float32, np.int16, np.uint64):
        x = make(values.astype(dtype))
        np.testing.assert_array_equal(model.predict(x), model.predict(values.astype(dtype)))
    np.testing.assert_array_equal(model.predict(make(values != 0)), model.predict(values != 0))
    np.testing.assert_array_equal(model.predict({model.input_names[0]: x}), model.predict(values.astype(np.uint64)))
    np.testing.assert_array_equal(model.predict_on_batch(make(values)), expected)
    assert model.evaluate(make(values), y, verbose=0) == model.evaluate(values, y, verbose=0)
    weights = model.get_weights()
    model.fit(make(values), y, verbose=0, shuffle=False, validation_data=(make(values), y))
    model.train_on_batch(make(values), y)
    other = model_of(2)
    other.set_weights(weights)
    other.fit(values, y, verbose=0, shuffle=False)
    other.train_on_batch(values, y)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(TypeError, match="complex128"):
        model.predict(make(values.astype(complex)))
    with pytest.raises(TypeError, match=r"y must be an array.* call its toarray\(\) first"):
        model.fit(values, make(values), verbose=0)


# What is read later, and what holds several arrays.


def test_dask() -> None:
    pytest.importorskip("dask")
    import dask.array
    import dask.dataframe
    import pandas as pd

    values = np.arange(8.0).reshape(4, 2)
    model = model_of(2)
    for x in (dask.array.from_array(values, chunks=(3, 1)), dask.array.from_array(values.astype("i4"), chunks=2)):
        np.testing.assert_array_equal(model.predict(x), model.predict(values))
    model.fit(dask.array.from_array(values), dask.array.from_array(values[:, 0], chunks=3), verbose=0)
    frame = dask.dataframe.from_pandas(pd.DataFrame(values, columns=["a", "b"]), npartitions=2)
    for arguments in ((frame, None, None), (values, frame["a"], None), (values, values, frame["b"])):
        with pytest.raises(TypeError, match=r"still to be worked out; call its compute\(\) first"):
            source_of(*arguments)
    np.testing.assert_array_equal(model.predict(frame.values), model.predict(values))


def test_datasets() -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"a": [1.0, 2, 3], "b": [4, 5, None], "y": [0, 1, 0]})
    x = rows.select_columns(["a", "b"])
    source = ArraySource(x, rows["y"])
    assert source.columns == ("a", "b")
    np.testing.assert_array_equal(source.x, [[1, 4], [2, 5], [3, NAN]])
    np.testing.assert_array_equal(source.y[:, 0], [0, 1, 0])
    np.testing.assert_array_equal(ArraySource(x.select([2, 0]).with_format("numpy")).x, [[3, NAN], [1, 4]])
    model_of(2).fit(x.select([0, 1]), rows.select([0, 1])["y"], verbose=0)
    with pytest.raises(TypeError, match="DatasetDict; give one of its arrays: 'train'"):
        source_of(datasets.DatasetDict({"train": x}), None, None)
    with pytest.raises(TypeError, match="IterableDataset; give its batches"):
        source_of(x.to_iterable_dataset(), None, None)
    with pytest.raises(TypeError, match="column 'x' of x must hold numbers"):
        source_of(datasets.Dataset.from_dict({"x": [[1.0, 2], [3, 4]]}), None, None)


def test_an_archive_of_arrays(tmp_path: Any) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 2)), y=np.zeros(3))
    with np.load(tmp_path / "rows.npz") as archive:
        with pytest.raises(TypeError, match="x must be an array, got NpzFile; give one of its arrays: 'x', 'y'"):
            model_of(2).predict(archive)
        with pytest.raises(TypeError, match="y must be an array, got NpzFile"):
            model_of(2).fit(archive["x"], archive, verbose=0)
        model_of(2).fit(archive["x"], archive["y"], verbose=0)
    pytest.importorskip("h5py")
    import h5py

    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["x"] = np.ones((3, 2))
        with pytest.raises(TypeError, match="x must be an array, got File; give one of its arrays: 'x'"):
            model_of(2).predict(file)
        np.testing.assert_array_equal(model_of(2).predict(file["x"]).shape, (3, 1))


def test_no_container_ends_in_a_raw_error() -> None:
    """What a package raises of its own comes out as ours."""

    class Frame:
        columns = ("a",)
        column_names = ("a",)

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    class Column:
        name = "a"

        def is_null(self) -> Any:
            raise RuntimeError("no")

        def to_numpy(self) -> Any:
            raise KeyError("broken")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (Frame(), Column()):
            with pytest.raises(TypeError, match=r"x cannot be read \((Frame|Column): "):
                ArraySource(given)

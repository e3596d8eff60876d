"""Columns of vectors and of dates, as `columns` says: against NumPy's and Python's own numbers."""

from __future__ import annotations

import datetime
import json
import math
import pickle
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.data import SQLDataset
from fastnn.databases.addresses import reader_of
from fastnn.databases.reader import Wanted
from fastnn.layers import Concatenate, Dense, Input, StringLookup
from fastnn.models import Model, Sequential, load_model
from support.database import connect, read
from support.readers import read as read_all

VECTOR = {"v": "float32[3]"}
TYPES = [
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"
]  # fmt: skip


def rows_of(data: Any) -> tuple[np.ndarray, np.ndarray | None]:
    pages = list(data.pages(64))
    y = None if pages[0].y is None else np.concatenate([page.y for page in pages])
    return np.concatenate([page.x for page in pages]), y


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v.db"


def table(path: Path, values: list[Any], y: list[Any] | None = None) -> Path:
    """A table of id, v, x and y."""
    con = connect(path)
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v, x REAL, y)")
    rows = [(i, value, i / 4, i % 2 if y is None else y[i]) for i, value in enumerate(values)]
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    con.commit()
    con.close()
    return path


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("is_file", [True, False])
def test_blobs_of_each_type_in_sqlite(path: Path, name: str, is_file: bool) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5000, 7)) * 100 if name.startswith("f") else rng.integers(0, 100, (5000, 7))
    values = values.astype(np.dtype(name).newbyteorder("<"))
    if name.startswith("f"):
        values[0, :3] = np.nan, np.inf, -np.inf
    else:
        values[0, :2] = np.iinfo(name).min, np.iinfo(name).max
    table(path, [row.tobytes() for row in values])
    con = path if is_file else connect(path)
    data = SQLDataset("SELECT id, x, v, y FROM t", con, target="y", key="id", columns={"v": f"{name}[7]"})
    assert data.columns == data.names == ("x", *(f"v.{i}" for i in range(7)))
    assert data.input_shape == (8,)
    x, y = rows_of(data)
    np.testing.assert_array_equal(x[:, 1:], values.astype("f4"))
    np.testing.assert_array_equal(x[:, 0], np.arange(5000, dtype="f4") / 4)
    assert y is not None
    np.testing.assert_array_equal(y[:, 0], np.arange(5000) % 2)


def test_a_part_of_a_vector_and_of_the_order(path: Path) -> None:
    values = np.arange(30, dtype="f4").reshape(10, 3)
    table(path, [row.tobytes() for row in values])
    data = SQLDataset("SELECT v, x, y FROM t", path, target=["y", "v.1"], features=["v.2", "x", "v.0"], columns=VECTOR)
    x, y = rows_of(data)
    np.testing.assert_array_equal(x, np.stack([values[:, 2], np.arange(10) / 4, values[:, 0]], axis=1))
    assert y is not None
    np.testing.assert_array_equal(y, np.stack([np.arange(10) % 2, values[:, 1]], axis=1))
    x, y = rows_of(SQLDataset("SELECT v, x FROM t", path, target="v", features=["x"], columns=VECTOR))
    assert y is not None
    np.testing.assert_array_equal(y, values)
    assert x.shape == (10, 1)
    x, _ = rows_of(SQLDataset("SELECT v, x FROM t", path, features=["x", "v"], columns=VECTOR))
    np.testing.assert_array_equal(x[:, 1:], values)


def test_hostile_names_and_two_vectors(path: Path) -> None:
    name = 'sel"ect é.0'
    values = np.arange(20, dtype="u1")
    table(path, [bytes([i, i + 1]) for i in values.tolist()])
    data = SQLDataset('SELECT v AS "sel""ect é.0", x, v AS w FROM t', path, columns={name: "uint8[2]", "w": "int8[2]"})
    assert data.columns == (f"{name}.0", f"{name}.1", "x", "w.0", "w.1")
    x, _ = rows_of(data)
    np.testing.assert_array_equal(x[:, [0, 1, 3, 4]], np.stack([values, values + 1] * 2, axis=1))
    with pytest.raises(ValueError, match=r"more than one column the name 'v\.1'"):
        SQLDataset('SELECT v, x AS "v.1" FROM t', path, columns={"v": "int8[2]"})


def three(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


GOOD = three(1, 2, 3)
REFUSED = [
    (b"", "holds a blob of 0 bytes in row 3 of the query, where 'float32[3]' of 12 bytes is expected"),
    (GOOD[:-1], "holds a blob of 11 bytes in row 3"),
    (GOOD * 2, "holds a blob of 24 bytes in row 3"),
    (None, "is NULL in row 3 of the query, where a number is expected; pass null="),
    ("abc", "holds text ('abc') in row 3 of the query, where 'float32[3]' is expected"),
    ("", "holds text ('') in row 3"),
    ("[1, 2", "holds text ('[1, 2') in row 3"),
    ("[" * 10_000, "holds text ('[[[[[[[[["),
    ("{}", "holds text ('{}') in row 3"),
    ("5", "holds text ('5') in row 3"),
    ("[1, 2]", "holds 2 numbers in row 3"),
    ("[1, 2, 3, 4]", "holds 4 numbers in row 3"),
    ("[1, null, 3]", "holds text ('[1, null, 3]') in row 3"),
    ("[1, [2], 3]", "holds text ('[1, [2], 3]') in row 3"),
    ("[[1], [2], [3]]", "holds text ('[[1], [2], [3]]') in row 3"),
    ('[1, "2", 3]', "holds text ('[1, \"2\", 3]') in row 3"),
    (1.5, "holds a float in row 3 of the query, where 'float32[3]' is expected"),
    (7, "holds a int in row 3"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_no_vector_is_refused_with_column_row_and_size(
    path: Path, value: Any, message: str, is_file: bool
) -> None:
    table(path, [GOOD, GOOD, value, b"also bad"])
    data = SQLDataset("SELECT x, v FROM t", path if is_file else connect(path), columns=VECTOR)
    with pytest.raises(ValueError, match=re.escape(f"column 'v' {message}")):
        rows_of(data)


def test_rows_are_counted_over_blocks(path: Path) -> None:
    table(path, [GOOD] * 10_000 + [GOOD[1:]])
    with pytest.raises(ValueError, match="column 'v' holds a blob of 11 bytes in row 10001 of the query"):
        rows_of(SQLDataset("SELECT v FROM t", path, columns=VECTOR))


def test_text_that_is_no_utf8(path: Path) -> None:
    table(path, [GOOD])
    with pytest.raises(ValueError, match=r"column 'v' holds text \(.*xff.*\) in row 1"):
        rows_of(SQLDataset("SELECT CAST(x'ff616263ff616263ff616263' AS TEXT) AS v FROM t", path, columns=VECTOR))


def test_null_is_a_whole_vector(path: Path) -> None:
    table(path, [None, GOOD, None])
    x, _ = rows_of(SQLDataset("SELECT v, x FROM t", path, columns=VECTOR, null=-7))
    np.testing.assert_array_equal(x, [[-7, -7, -7, 0], [1, 2, 3, 0.25], [-7, -7, -7, 0.5]])
    with pytest.raises(ValueError, match=r"column 'v' is NULL in row 1 .* leave rows without a target out"):
        rows_of(SQLDataset("SELECT v, x FROM t", path, target="v", columns=VECTOR, null=-7))
    x, _ = rows_of(SQLDataset("SELECT v FROM t WHERE id <> 1", path, columns=VECTOR, null=np.nan))
    assert np.isnan(x).all()
    assert x.shape == (2, 3)


def test_lists_as_text_as_sqlite_vec_and_pgvector_have_them(path: Path) -> None:
    values = [[0.1, -2e-30, 3], [1, 2, 3], [math.inf, 1e10, 0.3]]
    table(path, [*map(json.dumps, values), three(4, 5, 6)])
    x, _ = rows_of(SQLDataset("SELECT v FROM t", path, columns=VECTOR))
    np.testing.assert_array_equal(x, np.array([*values, [4, 5, 6]], "f4"))


def test_numbers_beyond_float32(path: Path) -> None:
    big = np.array([1.0, -1e39, np.inf])
    table(path, [three(1, 2, 3), "[1, 2, 1e39]"])
    with pytest.raises(ValueError, match=r"column 'v\.2' holds 1e\+39, beyond float32's range of .* in row 2 of"):
        rows_of(SQLDataset("SELECT v FROM t", path, columns=VECTOR))
    con = connect(":memory:")
    con.execute("CREATE TABLE t (v)")
    con.executemany("INSERT INTO t VALUES (?)", [(None,), (big.tobytes(),)])
    with pytest.raises(ValueError, match=r"column 'v\.1' holds -1e\+39, beyond float32's range of .* in row 2 of"):
        rows_of(SQLDataset("SELECT v FROM t", con, columns={"v": "float64[3]"}, null=0))


@pytest.mark.parametrize("way", ["blob", "text"])
@pytest.mark.parametrize("value", [2**24 + 1, 2**53 + 1, -(2**63) + 1])
def test_whole_numbers_of_a_target_are_kept_or_refused(path: Path, value: int, way: str) -> None:
    def as_stored(*values: int) -> Any:
        return np.array(values, "<i8").tobytes() if way == "blob" else json.dumps([*values[:-1], 0.5])

    table(path, [as_stored(1, 2**24, 0), as_stored(1, value, 0)])
    rules = {"v": "int64[3]"}
    x, _ = rows_of(SQLDataset("SELECT v FROM t", path, columns=rules))
    assert x[1, 1] == np.float32(value)
    with pytest.raises(ValueError, match=rf"target 'v\.1' holds the whole number {value} in row 2 of the query"):
        rows_of(SQLDataset("SELECT v, x FROM t", path, target="v", columns=rules))
    with pytest.raises(ValueError, match=rf"target 'v\.1' holds the whole number {value} in row 2 of the query"):
        rows_of(SQLDataset("SELECT v FROM t", path, target="v.1", features=["v.0"], columns=rules))
    x, _ = rows_of(SQLDataset("SELECT v FROM t WHERE id = 0", path, target=["v.0"], columns=rules))
    assert x[0, 0] == 2**24


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"w": "float32[3]"}, ValueError, "columns has the unknown column 'w'; the query's columns are 'v', 'x'"),
        ({"v": "float32[0]"}, ValueError, "columns['v'] must be a vector such as 'float32[128]'"),
        ({"v": "float32"}, ValueError, "columns['v'] must be a vector"),
        ({"v": "complex64[3]"}, ValueError, "columns['v'] must be a vector"),
        ({"v": "float32[3] "}, ValueError, "columns['v'] must be a vector"),
        ({"v": 3}, ValueError, "columns['v'] must be a vector"),
        ({"v": "time"}, ValueError, "'date', 'datetime', Image"),
        ("v", TypeError, "columns must be a dict of what they hold, such as"),
        (["v"], TypeError, "columns must be a dict"),
    ],
)
def test_what_columns_may_be(path: Path, columns: Any, error: type[Exception], message: str) -> None:
    table(path, [GOOD])
    with pytest.raises(error, match=re.escape(message)):
        SQLDataset("SELECT v, x FROM t", path, columns=columns)


def test_a_blob_that_is_not_declared_says_what_to_do(path: Path) -> None:
    table(path, [GOOD])
    with pytest.raises(ValueError, match=r"holds a blob .* if it is a vector, say so with columns="):
        rows_of(SQLDataset("SELECT v FROM t", path))


def test_a_cached_entry_of_another_declaration_is_never_taken(path: Path) -> None:
    values = np.arange(12, dtype="<f4").reshape(4, 3)
    table(path, [row.tobytes() for row in values])

    def found(kind: str, **options: Any) -> np.ndarray:
        return rows_of(SQLDataset("SELECT v FROM t", path, columns={"v": kind}, cache=True, **options))[0]

    np.testing.assert_array_equal(found("float32[3]"), values)
    np.testing.assert_array_equal(found("int32[3]"), values.view("<i4").astype("f4"))
    np.testing.assert_array_equal(found("float32[3]", features=["v.0"]), values[:, :1])
    np.testing.assert_array_equal(found("float32[3]"), values)
    con = connect(path)
    con.execute("UPDATE t SET v = ? WHERE id = 0", (three(9, 9, 9),))
    con.commit()
    assert found("float32[3]")[0].tolist() == [9, 9, 9]


def test_split_since_and_pickle(path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(300, 3)).astype("f4")
    table(path, [row.tobytes() for row in values])
    data = SQLDataset("SELECT id, v, y FROM t", path, target="y", key="id", columns=VECTOR)
    plain = SQLDataset("SELECT id, x, y FROM t", path, target="y", key="id")
    for part, other in zip(data.split(0.3), plain.split(0.3), strict=True):
        numbers = (rows_of(other)[0][:, 0] * 4).astype(int)
        np.testing.assert_array_equal(rows_of(part)[0], values[numbers])
    later = data.since(250)
    np.testing.assert_array_equal(rows_of(later)[0], values[251:])
    assert later.last == 299
    np.testing.assert_array_equal(rows_of(pickle.loads(pickle.dumps(data)))[0], values)
    assert [block.shape for block in data.blocks("float32")] == [(300, 3)]
    np.testing.assert_array_equal(
        np.concatenate([each["v.2"] for each in data.typed({"v.2": "float32"})]), values[:, 2]
    )


def learnt(path: Path, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(rows, 3)).astype("<f4")
    table(path, [row.tobytes() for row in values], (values.sum(axis=1) > 0).astype(int).tolist())
    return values, np.arange(rows, dtype="f4") / 4


def test_a_saved_model_predicts_with_the_query_s_one_column(path: Path, tmp_path: Path) -> None:
    values, scalars = learnt(path)
    fastnn.set_random_seed(1)
    model = Sequential([Dense(4, "tanh"), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(SQLDataset("SELECT id, x, v, y FROM t", path, target="y", key="id", columns=VECTOR), verbose=0)
    model.save(tmp_path / "m.fastnn")
    model = load_model(tmp_path / "m.fastnn")
    expected = model.predict(np.column_stack([scalars, values]), verbose=0)[:, 0]
    assert model.predict_sql("SELECT id, x, v FROM t", path, into="p", key="id") == 200
    found = read(path, "SELECT CASE prediction WHEN 1 THEN probability ELSE 1 - probability END FROM p ORDER BY id")
    np.testing.assert_allclose([each for (each,) in found], expected, rtol=1e-6)
    for keys, out in model.predict_iter("SELECT id, x, v FROM t", path, key="id"):
        assert keys == list(range(200))
        np.testing.assert_allclose(out[:, 0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"without 'v\.0', 'v\.1', 'v\.2'"):
        model.predict_sql("SELECT id, x FROM t", path, into="q", key="id")
    with pytest.raises(ValueError, match=r"in another order"):
        model.predict_sql("SELECT id, v, x FROM t", path, into="q", key="id")
    model.evaluate(SQLDataset("SELECT x, v, y FROM t", path, target="y", columns=VECTOR), verbose=0)


def test_a_saved_model_from_a_shell(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learnt(path)
    model = Sequential([Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    data = SQLDataset("SELECT x, v, y FROM t", path, target="y", columns=VECTOR)
    model.fit(data, verbose=0)
    model.save(tmp_path / "m.fastnn")
    where = [str(tmp_path / "m.fastnn"), "--data", str(path), "--table", "t"]
    assert main(["predict", *where, "--into", "p", "--key", "id"]) == 0
    assert read(path, "SELECT COUNT(*) FROM p") == [(200,)]
    capsys.readouterr()
    assert main(["evaluate", *where, "--target", "y", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(model.evaluate(data, verbose=0), rel=1e-5)


def test_a_vector_that_is_prepared(path: Path, tmp_path: Path) -> None:
    learnt(path)
    fastnn.set_random_seed(1)
    sql = "SELECT id, v, x, CASE WHEN id % 2 THEN 'a' ELSE 'b' END AS w, DATE('2013-01-01', id || ' days') AS d"
    rules = {"v": "float32[3]", "d": "datetime"}
    data = SQLDataset(f"{sql}, y FROM t", path, target="y", key="id", columns=rules, prepare="auto")
    model = Sequential([Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(data, verbose=0)
    expected = model.predict(data, verbose=0)
    model.save(tmp_path / "m.fastnn")
    [(keys, found)] = load_model(tmp_path / "m.fastnn").predict_iter(f"{sql} FROM t", path, key="id")
    assert keys == list(range(200))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_vector_as_an_input_of_its_own(path: Path, tmp_path: Path) -> None:
    values, scalars = learnt(path)
    fastnn.set_random_seed(1)
    vector, scalar = Input((3,), name="v"), Input((1,), name="x")
    out = Dense(1)(Concatenate()([Dense(4, "tanh")(vector), scalar]))
    model = Model([vector, scalar], out)
    model.compile("adam", "mse")
    # In another order than the model's.
    data = SQLDataset("SELECT id, x, v, y FROM t", path, target="y", key="id", columns=VECTOR)
    expected = model.evaluate([values, scalars], rows_of(data)[1], verbose=0)
    assert model.evaluate(data, verbose=0) == pytest.approx(expected, rel=1e-6)
    train, validation = data.split(0.25)
    model.fit(train, validation_data=validation, epochs=2, verbose=0)
    np.testing.assert_allclose(model.predict(data, verbose=0), model.predict([values, scalars], verbose=0), rtol=1e-5)
    model.save(tmp_path / "m.fastnn")
    model = load_model(tmp_path / "m.fastnn")
    expected = model.predict([values, scalars], verbose=0)
    [found] = model.predict_iter("SELECT x, v FROM t", path)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    model.predict_sql("SELECT id, x, v FROM t", path, into="p", key="id")
    found = read(path, "SELECT prediction FROM p ORDER BY id")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"input 'v' reads 3 numbers, and a column of a query has one; a vector is"):
        model.predict(SQLDataset("SELECT x, y AS v FROM t", path), verbose=0)


def test_vectors_of_one_number(path: Path) -> None:
    table(path, [bytes([i]) for i in range(9)])
    data = SQLDataset("SELECT x, v FROM t", path, columns={"v": "uint8[1]"})
    assert data.columns == ("x", "v.0")
    inputs = [Input((1,), name="v"), Input((1,), name="x")]
    found = Model(inputs, Concatenate()(inputs)).predict(data, verbose=0)
    np.testing.assert_array_equal(found, np.column_stack([np.arange(9), np.arange(9) / 4]))


def test_other_inputs_of_other_models_are_not_mixed_up(path: Path) -> None:
    learnt(path)
    data = SQLDataset("SELECT x, y, v FROM t", path, columns=VECTOR)
    for names in (["x", "y"], ["y", "x"]):
        inputs = [*(Input((1,), name=name) for name in names), Input((3,), name="v")]
        model = Model(inputs, Concatenate()(inputs))
        model.compile("sgd", "mse")
        found = model.predict(data, verbose=0)
        expected = rows_of(data)[0][:, [data.columns.index(names[0]), data.columns.index(names[1]), 2, 3, 4]]
        np.testing.assert_array_equal(found, expected)


def test_beside_text_that_a_model_reads(path: Path, tmp_path: Path) -> None:
    values, _ = learnt(path)
    fastnn.set_random_seed(1)
    vector, word = Input((3,), name="v"), Input((1,), dtype="string", name="w")
    lookup = StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    model = Model([word, vector], Dense(1, "sigmoid")(Concatenate()([lookup(word), vector])))
    model.compile("adam", "binary_crossentropy")
    sql = "SELECT id, v, CASE WHEN id % 2 THEN 'a' ELSE 'b' END AS w"
    model.fit(SQLDataset(f"{sql}, y FROM t", path, target="y", key="id", columns=VECTOR), verbose=0)
    model.save(tmp_path / "m.fastnn")
    model = load_model(tmp_path / "m.fastnn")
    words = np.array(["a" if i % 2 else "b" for i in range(200)], object)[:, None]
    expected = model.predict({"w": words, "v": values}, verbose=0)
    [(_, found)] = model.predict_iter(f"{sql} FROM t", path, key="id")
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_whole_numbers_of_a_vector_that_a_model_reads_as_such(path: Path) -> None:
    ids = np.array([[2**53 + 1, 2], [2**53, 2**53 + 1]])
    table(path, [row.tobytes() for row in ids])
    data = SQLDataset("SELECT v FROM t", path, columns={"v": "int64[2]"})
    [found] = data.blocks("int64")
    assert found.tolist() == ids.tolist()


# Dates.

EPOCH = datetime.datetime(1970, 1, 1)
MOMENTS = [
    "2013-01-05 14:00:00", "2013-01-05T14:00:00.123456", "2013-01-05", "1969-12-31 23:59:59", "1583-01-01T00:00:00Z",
    "2013-01-05T14:00:00+02:00", "9999-12-31 23:59", "20130105",
]  # fmt: skip


def days(text: str) -> float:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - EPOCH).total_seconds() / 86400


def test_dates_as_text_are_days(path: Path) -> None:
    table(path, MOMENTS)
    expected = np.array([*map(days, MOMENTS)])
    x, _ = rows_of(SQLDataset("SELECT v FROM t", path, columns={"v": "datetime"}))
    np.testing.assert_array_equal(x[:, 0], expected.astype("f4"))
    x, y = rows_of(SQLDataset("SELECT v, x FROM t", path, target="v", columns={"v": "date"}))
    assert y is not None
    np.testing.assert_array_equal(y[:, 0], np.floor(expected))


@pytest.mark.parametrize(
    "value", ["2013-13-01", "yesterday", "", "2013", 1357394400, 2456298.5, b"2013-01-05", "14:00"]
)
def test_what_is_no_date_is_refused(path: Path, value: Any) -> None:
    table(path, ["2013-01-05", value])
    with pytest.raises(
        ValueError, match=r"column 'v' holds a?.* in row 2 of the query, where 'datetime'.* is expected"
    ):
        rows_of(SQLDataset("SELECT v FROM t", path, columns={"v": "datetime"}))


def test_dates_that_are_null(path: Path) -> None:
    table(path, ["1970-01-02", None])
    with pytest.raises(ValueError, match="column 'v' is NULL in row 2"):
        rows_of(SQLDataset("SELECT v FROM t", path, columns={"v": "date"}))
    x, _ = rows_of(SQLDataset("SELECT v FROM t", path, columns={"v": "date"}, null=-1))
    assert x.tolist() == [[1], [-1]]


def test_a_key_that_is_a_date(path: Path) -> None:
    con = connect(path)
    con.execute("CREATE TABLE t (at TEXT PRIMARY KEY, y)")
    con.executemany("INSERT INTO t VALUES (?, ?)", [(f"2013-01-0{day}", day) for day in range(1, 8)])
    con.commit()
    data = SQLDataset("SELECT at, y FROM t", path, target="y", features=["at"], key="at", columns={"at": "date"})
    later = data.since("2013-01-05")
    assert rows_of(later)[0].tolist() == [[days("2013-01-06")], [days("2013-01-07")]]
    assert later.last == "2013-01-07"
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, verbose=0)
    model.predict_sql("SELECT at AS k, at FROM t", path, into="p", key="k")
    assert read(path, "SELECT MIN(k), COUNT(*) FROM p") == [("2013-01-01", 7)]


# Arrow, DuckDB, PostgreSQL.


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("layout", ["list", "large", "fixed"])
def test_arrow_lists(name: str, layout: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="an independent writer of Arrow: pip install pyarrow")
    values = np.random.default_rng(3).integers(0, 100, (1000, 4)).astype(name)
    kind: Any = pa.from_numpy_dtype(values.dtype)
    kind = {"list": pa.list_(kind), "large": pa.large_list(kind), "fixed": pa.list_(kind, 4)}[layout]
    given: list[Any] = [*values]
    given[5] = None
    array = pa.array(given, kind)
    expected = values.astype("f4")
    expected[5] = -1
    whole = pa.chunked_array([array[:10], array[10:]])
    for each, rows in ((whole, slice(None)), (array[3:700], slice(3, 700))):
        data = SQLDataset(None, pa.table({"x": np.arange(len(each)), "v": each}), columns={"v": "int8[4]"}, null=-1)
        np.testing.assert_array_equal(rows_of(data)[0][:, 1:], expected[rows])
    data = SQLDataset(None, pa.table({"v": array[6:]}), columns={"v": "float32[5]"})
    with pytest.raises(ValueError, match=r"column 'v' holds 4 numbers in row 1 of the query, where 'float32\[5\]'"):
        rows_of(data)


def test_arrow_lists_of_what_is_no_number() -> None:
    pa = pytest.importorskip("pyarrow", reason="an independent writer of Arrow: pip install pyarrow")

    def found(array: Any) -> np.ndarray:
        return rows_of(SQLDataset(None, pa.table({"v": array}), columns={"v": "float32[2]"}))[0]

    with pytest.raises(ValueError, match="column 'v' holds lists or structs"):
        found(pa.ListArray.from_arrays([0, 2], pa.array([1, 2]).dictionary_encode()))
    [[own]] = read_all(reader_of(None, pa.table({"v": [[1.5, 2.5]]})), Wanted([], others=["v"]))[1]
    assert own.base.flags.owndata  # it may be kept when the batch is gone
    assert found(pa.array([[True, False]])).tolist() == [[1, 0]]
    assert found(pa.array([[Decimal("0.25"), Decimal("-7")]])).tolist() == [[0.25, -7]]
    sliced = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert found(pa.ListArray.from_arrays([0, 2, 4], sliced.flatten()[2:])).tolist() == [[3, 4], [5, 6]]
    for bad in (
        pa.array([["a", "b"]]),
        pa.array([[1.0, None]]),
        pa.array([[datetime.date(2020, 1, 1)] * 2]),
        pa.array([[{"a": 1}] * 2]),
        pa.array([[[1.0], [2.0]]]),
        pa.array([[1, 2]], pa.list_(pa.duration("s"))),
        pa.array(["ab"]).dictionary_encode(),
        pa.array([{"a": 1.0}]),
        pa.array([[("a", 1.0)]], pa.map_(pa.string(), pa.float64())),
    ):
        with pytest.raises(ValueError, match=r"column 'v(\.0)?' holds"):
            found(bad)


def test_vectors_and_dates_of_polars_and_duckdb() -> None:
    pl = pytest.importorskip("polars", reason="a writer of Arrow: pip install polars")
    duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
    values = np.random.default_rng(4).normal(size=(3000, 5)).astype("f4")
    moments = [datetime.datetime(2013, 1, 1) + datetime.timedelta(minutes=17 * i) for i in range(3000)]
    expected = np.column_stack([values, [(moment - EPOCH).total_seconds() / 86400 for moment in moments]]).astype("f4")
    rules = {"v": "float32[5]", "d": "datetime"}
    for kind in (pl.Array(pl.Float32, 5), pl.List(pl.Float32)):
        frame = pl.DataFrame({"v": pl.Series(values.tolist(), dtype=kind), "d": moments})
        np.testing.assert_array_equal(rows_of(SQLDataset(None, frame, columns=rules))[0], expected)
    frame = pl.DataFrame({"v": [row.tobytes() for row in values], "d": moments})
    np.testing.assert_array_equal(rows_of(SQLDataset(None, frame, columns=rules))[0], expected)
    con = duckdb.connect()
    con.register("frame", frame)
    np.testing.assert_array_equal(rows_of(SQLDataset("SELECT * FROM frame", con, columns=rules))[0], expected)
    lists = pl.DataFrame({"v": pl.Series(values.tolist(), dtype=pl.List(pl.Float64)), "d": moments})
    con.register("lists", lists)
    for kind in ("FLOAT[5]", "FLOAT[]"):
        data = SQLDataset(f"SELECT v::{kind} AS v, d FROM lists", con, columns=rules)
        np.testing.assert_array_equal(rows_of(data)[0], expected)
    zoned = frame.select(pl.col("d").dt.replace_time_zone("Asia/Tokyo"))
    [tokyo] = rows_of(SQLDataset(None, zoned, columns={"d": "datetime"}))[0].T
    np.testing.assert_array_equal(tokyo, (expected[:, 5].astype(float) * 0 + [
        ((moment - EPOCH).total_seconds() - 9 * 3600) / 86400 for moment in moments
    ]).astype("f4"))  # fmt: skip


def test_vectors_and_dates_of_postgresql(postgres: str) -> None:
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver: pip install psycopg")
    pytest.importorskip("adbc_driver_postgresql", reason="PostgreSQL's other driver")
    values = np.random.default_rng(5).normal(size=(500, 4)).astype("f4")
    with psycopg.connect(postgres, autocommit=True) as con:
        con.execute("CREATE TABLE t (id int, b bytea, l float4[], j text, d date, m timestamptz, n numeric[])")
        for i, row in enumerate(values.tolist()):
            blob, moment = values[i].tobytes(), datetime.datetime(2013, 1, 5, 14, tzinfo=datetime.UTC)
            given = (i, blob, row, json.dumps(row), moment.date(), moment, [1, 2])
            con.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s)", given)
        rules = {**dict.fromkeys("blj", "float32[4]"), "d": "datetime", "m": "datetime"}
        expected = np.column_stack([values, values, values, [15710] * 500, [15710 + 14 / 24] * 500]).astype("f4")
        for where in (con, postgres):
            data = SQLDataset("SELECT b, l, j, d, m FROM t ORDER BY id", where, columns=rules)
            np.testing.assert_array_equal(rows_of(data)[0], expected)
        con.execute("UPDATE t SET l[3] = NULL WHERE id = 7")
        for where in (con, postgres):
            data = SQLDataset("SELECT l FROM t ORDER BY id", where, columns={"l": "float32[4]"}, null=0)
            with pytest.raises(
                ValueError, match=r"column 'l' holds a list in row 8 of the query, where 'float32\[4\]'"
            ):
                rows_of(data)
        [found] = rows_of(SQLDataset("SELECT n FROM t LIMIT 1", con, columns={"n": "float32[2]"}))[0]
        assert found.tolist() == [1, 2]


# MongoDB and MariaDB.


def test_vectors_and_dates_of_mongodb(mongodb: Any, path: Path) -> None:
    from bson import Binary
    from bson.binary import BinaryVectorDtype

    from fastnn.data import MongoDataset

    values = np.random.default_rng(6).normal(size=(50, 3)).astype("f4")
    moment = datetime.datetime(2013, 1, 5, 14)
    mongodb.t.insert_many(
        {
            "_id": i,
            "a": {"b": row.tobytes()},
            "l": row.tolist(),
            "v": Binary.from_vector(row.tolist(), BinaryVectorDtype.FLOAT32),
            "w": moment,
            "y": i % 2,
        }
        for i, row in enumerate(values)
    )
    rules = {"a.b": "float32[3]", "l": "float32[3]", "v": "float32[3]", "w": "datetime"}
    data = MongoDataset(mongodb.t, fields=["w", "a.b", "l", "v"], target="y", columns=rules)
    assert data.columns[:4] == ("w", "a.b.0", "a.b.1", "a.b.2")
    expected = np.column_stack([[15710 + 14 / 24] * 50, values, values, values]).astype("f4")
    np.testing.assert_array_equal(rows_of(data)[0], expected)
    np.testing.assert_array_equal(rows_of(data.since(47))[0], expected[48:])
    model = Sequential([Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.fit(data, verbose=0)
    [(keys, found)] = model.predict_iter({}, mongodb.t, key="_id")
    assert keys == list(range(50))
    np.testing.assert_allclose(found, model.predict(expected, verbose=0), rtol=1e-6)
    mongodb.t.update_one({"_id": 4}, {"$set": {"a.b": b"123"}})
    with pytest.raises(ValueError, match=r"column 'a\.b' holds a blob of 3 bytes in row 5 "):
        rows_of(MongoDataset(mongodb.t, fields=["a.b"], columns={"a.b": "float32[3]"}))
    # A model that learnt from another database.
    con = table(path, [row.tobytes() for row in values])
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(SQLDataset("SELECT v, y FROM t", con, target="y", columns=VECTOR), verbose=0)
    [found] = model.predict_iter({}, mongodb.t)
    np.testing.assert_allclose(found, model.predict(values, verbose=0), rtol=1e-6)


def test_vectors_and_dates_of_mariadb(mariadb: dict[str, Any]) -> None:
    import pymysql

    values = np.random.default_rng(7).normal(size=(50, 3)).astype("<f8")
    con = pymysql.connect(**mariadb, autocommit=True)
    con.cursor().execute("CREATE TABLE t (id INT, v BLOB, j JSON, at DATETIME, d DATE)")
    con.cursor().executemany(
        "INSERT INTO t VALUES (%s, %s, %s, '2013-01-05 14:00:00', '2013-01-05')",
        [(i, row.tobytes(), json.dumps(row.tolist())) for i, row in enumerate(values)],
    )
    rules = {"v": "float64[3]", "j": "float64[3]", "at": "datetime", "d": "datetime"}
    data = SQLDataset("SELECT v, j, at, d FROM t ORDER BY id", con, columns=rules)
    expected = np.column_stack([values, values, [15710 + 14 / 24] * 50, [15710] * 50]).astype("f4")
    np.testing.assert_array_equal(rows_of(data)[0], expected)
    con.close()

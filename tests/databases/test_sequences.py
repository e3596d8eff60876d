"""Rows as windows by key, in the order of time: beside windows made by hand; padding that Masking takes; order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import Json, MongoDataset, SQLDataset, write_predictions
from fastnn.layers import GRU, Dense
from fastnn.models import Sequential
from fastnn.uncertainty import Ensemble
from support.database import connect

RNG = np.random.default_rng(2)
SIZES = [1, 4, 2, 600, 7, 1, 31, 5]
KEYS = np.repeat(np.arange(len(SIZES)), SIZES)
DAYS = np.concatenate([np.arange(size) for size in SIZES])
X = RNG.normal(size=(len(KEYS), 3)).astype(np.float32)
Y = RNG.integers(0, 2, len(KEYS))
QUERY = "SELECT customer, day, a, b, c, y FROM t ORDER BY customer, day"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    con = connect(tmp_path / "s.db")
    con.execute("CREATE TABLE t (customer, day, a REAL, b REAL, c REAL, y INT)")
    order = RNG.permutation(len(KEYS))
    rows = [(f"c{KEYS[i]}", int(DAYS[i]), *map(float, X[i]), int(Y[i])) for i in order]
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    con.commit()
    con.close()
    return tmp_path / "s.db"


def windows(length: int, padding: float = 0.0) -> np.ndarray:
    out = np.full((len(X), length, 3), padding, np.float32)
    for row in range(len(X)):
        seen = min(int(DAYS[row]) + 1, length)
        out[row, length - seen :] = X[row + 1 - seen : row + 1]
    return out


def read(data: Any) -> tuple[np.ndarray, np.ndarray]:
    pages = list(data.pages(64))
    x = np.concatenate([page.x for page in pages])
    return x.reshape(len(x), *data.input_shape), np.concatenate([page.y for page in pages])[:, 0]


@pytest.mark.parametrize("length", [1, 2, 5, 30, 700])
def test_windows_of_sqlite(path: Path, length: int) -> None:
    with connect(path) as con:
        for source in (path, con):
            data = SQLDataset(QUERY, source, target="y", sequence=("customer", "day", length))
            assert data.input_shape == (length, 3)
            assert data.columns == ("a", "b", "c")
            for _ in range(2):
                x, y = read(data)
                np.testing.assert_array_equal(x, windows(length))
                np.testing.assert_array_equal(y, Y)
    padded = SQLDataset(QUERY, path, target="y", sequence=("customer", "day", length, -5))
    np.testing.assert_array_equal(read(padded)[0], windows(length, -5))


def test_windows_of_other_databases(path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
    con = duckdb.connect()
    con.execute("CREATE TABLE t (customer INT, day DATE, a REAL, b REAL, c REAL, y INT)")
    base = np.datetime64("2026-01-01")
    rows = [(int(KEYS[i]), str(base + DAYS[i]), *map(float, X[i]), int(Y[i])) for i in range(len(X))]
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    for query, source in ((QUERY, con), (None, con.sql(QUERY))):
        data = SQLDataset(query, source, target="y", sequence=("customer", "day", 6))
        np.testing.assert_array_equal(read(data)[0], windows(6))
    polars = pytest.importorskip("polars", reason="a writer of Arrow: pip install polars")
    frame = polars.DataFrame({"customer": KEYS, "day": DAYS, "a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y})
    data = SQLDataset(None, frame, target="y", sequence=("customer", "day", 6))
    np.testing.assert_array_equal(read(data)[0], windows(6))


def test_windows_of_postgresql(postgres: str) -> None:
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver: pip install psycopg")
    with psycopg.connect(postgres, autocommit=True) as con:
        con.execute("CREATE TABLE t (customer INT, day TIMESTAMP, a REAL, b REAL, c REAL, y INT)")
        with con.cursor() as cursor:
            base = np.datetime64("2026-01-01T00:00:00")
            for i in range(len(X)):
                day = (base + np.timedelta64(int(DAYS[i]), "h")).item()
                cursor.execute(
                    "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", (int(KEYS[i]), day, *map(float, X[i]), int(Y[i]))
                )
        data = SQLDataset(QUERY, con, target="y", sequence=("customer", "day", 6))
        np.testing.assert_array_equal(read(data)[0], windows(6))


def test_windows_of_mongodb(mongodb: Any) -> None:
    names = ["_id", "customer", "day", "a", "b", "y"]
    rows = zip(range(len(X)), KEYS, DAYS, *X[:, :2].T, Y, strict=True)
    for number, *row in rows:
        mongodb.t.insert_one(dict(zip(names, [number, *(each.item() for each in row)], strict=True)))
    data = MongoDataset(
        mongodb.t, fields=["a", "b"], target="y", sort=[("customer", 1), ("day", 1)], sequence=("customer", "day", 4)
    )
    np.testing.assert_array_equal(read(data)[0], windows(4)[..., :2])


def test_a_split_keeps_keys_together(path: Path) -> None:
    data = SQLDataset(QUERY, path, target="y", features=["a"], sequence=("customer", "day", 3))
    train, validation = data.split(0.5)
    first, last = read(train)[0], read(validation)[0]
    assert len(first) + len(last) == len(X)
    kept = {x.tobytes() for x in first}
    for key in range(len(SIZES)):
        of = [x.tobytes() in kept for x in windows(3)[key == KEYS][..., :1]]
        assert all(of) or not any(of)


def test_a_key_may_be_a_feature_and_columns_may_be_declared(tmp_path: Path) -> None:
    with connect(tmp_path / "d.db") as con:
        con.execute("CREATE TABLE t (customer INT, day INT, doc TEXT)")
        con.executemany("INSERT INTO t VALUES (1, ?, ?)", [(day, f'{{"v": {day / 2}}}') for day in range(4)])
        con.commit()
    data = SQLDataset(
        "SELECT * FROM t",
        tmp_path / "d.db",
        features=["day", "doc"],
        columns={"doc": Json("v")},
        sequence=("customer", "day", 2),
    )
    x = np.concatenate([page.x for page in data.pages(4)]).reshape(4, 2, 2)
    assert x[3].tolist() == [[2, 1], [3, 1.5]]
    assert x[0].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM t ORDER BY day, customer", r"the key 'c\d' comes again in row \d+, behind other keys"),
        ("SELECT * FROM t ORDER BY customer, day DESC", r"'day' goes back from \d+ to \d+ in row \d+"),
        (
            "SELECT CASE WHEN day < 3 THEN customer END AS customer, day, a, y FROM t ORDER BY 1, 2",
            "the key 'customer' is NULL in row 1",
        ),
        ("SELECT customer, NULLIF(day, 2) AS day, a, y FROM t ORDER BY 1, t.day", "the key 'day' is NULL in row 4"),
    ],
)
def test_another_order_is_refused(path: Path, query: str, says: str) -> None:
    data = SQLDataset(query, path, target="y", sequence=("customer", "day", 3))
    with pytest.raises(ValueError, match=says):
        read(data)


@pytest.mark.parametrize(
    ("sequence", "error", "says"),
    [
        ("customer", TypeError, "sequence must be"),
        (("customer", "day"), TypeError, "sequence must be"),
        (("customer", 3, 3), TypeError, "names of two columns"),
        (("customer", "day", 0), ValueError, "sequence: length must be at least 1"),
        (("customer", "date", 3), ValueError, "unknown sequence 'date'"),
        (("customer", "day", 3, "x"), TypeError, "padding must be a number"),
    ],
)
def test_what_a_sequence_may_be(path: Path, sequence: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        SQLDataset(QUERY, path, target="y", sequence=sequence)
    with pytest.raises(ValueError, match="leave it or sequence= out"):
        SQLDataset(QUERY, path, target="y", sequence=("customer", "day", 3), prepare="auto")


def test_a_bad_number_is_named_by_its_step(path: Path) -> None:
    query = QUERY.replace("b, c", "NULLIF(b, b) AS b, c")
    data = SQLDataset(query, path, target="y", sequence=("customer", "day", 3), null=float("nan"))
    model = Sequential([GRU(2), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"x has nan at row \d+, column \(\d, 1\)"):
        model.fit(data, verbose=0)


def test_a_gru_learns_from_a_table(tmp_path: Path) -> None:
    """Whether the numbers of a customer rose over the last steps."""
    fastnn.set_random_seed(2)
    steps = RNG.normal(size=(60, 20)).cumsum(axis=1)
    with connect(tmp_path / "g.db") as con:
        con.execute("CREATE TABLE t (customer INT, day INT, v REAL, y INT)")
        for customer, values in enumerate(steps):
            for day, value in enumerate(values):
                rose = int(value > values[max(0, day - 3)])
                con.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (customer, day, value, rose))
        con.commit()
    data = SQLDataset(
        "SELECT * FROM t ORDER BY customer, day", tmp_path / "g.db", target="y", sequence=("customer", "day", 4)
    )
    model = Sequential([GRU(8), Dense(1, "sigmoid")])
    model.compile(fastnn.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(data, epochs=15, verbose=0)
    assert model.evaluate(data, verbose=0)[1] > 0.85


def windowed(path: Path, **fitted: Any) -> Any:
    model = Sequential([GRU(2), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(SQLDataset(QUERY, path, target="y", sequence=("customer", "day", 6), **fitted), verbose=0)
    return model


def test_predictions_of_windows(path: Path, tmp_path: Path) -> None:
    """Each row of the query is predicted from its window, by a model that remembers it, and one that is told."""
    with connect(path) as con:
        con.execute("ALTER TABLE t ADD COLUMN id TEXT")
        con.execute("UPDATE t SET id = customer || '/' || day")
        con.commit()
    query = "SELECT id, customer, day, a, b, c FROM t ORDER BY customer, day"
    model = windowed(path)
    expected = model.predict(windows(6), verbose=0)
    names = [f"c{key}/{day}" for key, day in zip(KEYS, DAYS, strict=True)]
    for each in (model, fastnn.models.load_model(saved(model, tmp_path))):
        for size in (1, 100, 8192):
            keys, found = zip(*each.predict_iter(query, path, key="id", batch_size=size), strict=True)
            np.testing.assert_array_equal(np.concatenate(found), expected)
            assert [key for part in keys for key in part] == names
    by_rows = Sequential([fastnn.layers.Input((6, 3)), GRU(2), Dense(1)])
    by_rows.set_weights(model.get_weights())
    assert by_rows.predict_sql(query, path, into="p", key="id", sequence=("customer", "day", 6)) == len(X)
    assert model.predict_sql(query, path, into="q", key="id") == len(X)
    with connect(path) as con:
        for table in "pq":
            rows = dict(con.execute(f"SELECT id, prediction FROM {table}").fetchall())
            assert [rows[name] for name in names] == expected[:, 0].tolist()
    padded = list(model.predict_iter(query, path, key="id", sequence=("customer", "day", 6, -5)))
    np.testing.assert_array_equal(padded[0][1], model.predict(windows(6, -5), verbose=0))


def test_the_mean_of_an_ensemble_reads_windows_too(path: Path) -> None:
    def build() -> Any:
        model = Sequential([fastnn.layers.Input((6, 3)), GRU(2), Dense(1)])
        model.compile("adam", "mse")
        return model

    data = SQLDataset(QUERY, path, target="y", sequence=("customer", "day", 6))
    ensemble = Ensemble(build, 2, random_state=0).fit(data, epochs=1)
    query = "SELECT customer || '/' || day AS id, customer, day, a, b, c FROM t ORDER BY customer, day"
    found = np.concatenate([rows for _, rows in ensemble.model_.predict_iter(query, path, key="id")])
    np.testing.assert_allclose(found, ensemble.predict(windows(6))[0], atol=1e-6)


def saved(model: Any, tmp_path: Path) -> Path:
    model.save(tmp_path / "m.fastnn")
    return tmp_path / "m.fastnn"


def test_windows_are_written_as_they_were_read(path: Path) -> None:
    seen = []

    def predict(rows: np.ndarray) -> np.ndarray:
        seen.append(rows.copy())
        return rows[:, -1:]

    query = QUERY.replace("customer, day, ", "customer, day, customer || '/' || day AS id, ").replace(", y ", " ")
    order = {"into": "w", "key": "id", "kind": "values", "sequence": ("customer", "day", 4), "batch_size": 50}
    assert write_predictions(predict, query, path, **order) == len(X)
    found = np.concatenate(seen)
    np.testing.assert_array_equal(found[: len(X)].reshape(-1, 4, 3), windows(4))
    with connect(path) as con:
        rows = dict(con.execute("SELECT id, prediction FROM w").fetchall())
    assert rows == {f"c{key}/{day}": value for key, day, value in zip(KEYS, DAYS, X[:, 2].tolist(), strict=True)}


def test_null_in_what_is_predicted(path: Path) -> None:
    query = "SELECT customer, day, NULLIF(a, a) AS a, b, c FROM t ORDER BY customer, day"
    model = windowed(path)
    with pytest.raises(ValueError, match="column 'a' is NULL in row 1"):
        list(model.predict_iter(query, path))
    x = windows(6)
    x[..., 0] = np.where(np.any(x != 0, axis=2), 7, 0)
    found = np.concatenate(list(model.predict_iter(query, path, null=7)))
    np.testing.assert_array_equal(found, model.predict(x, verbose=0))


def test_windows_of_predictions_from_mongodb(mongodb: Any) -> None:
    names = ["_id", "customer", "day", "a", "b", "y"]
    for number, *row in zip(range(60), KEYS[600:], DAYS[600:] - DAYS[600], *X[600:, :2].T, Y[600:], strict=False):
        mongodb.t.insert_one(dict(zip(names, [number, *(each.item() for each in row)], strict=True)))
    model = Sequential([GRU(2), Dense(1)])
    model.compile("sgd", "mse")
    place = {"sort": [("customer", 1), ("day", 1)], "sequence": ("customer", "day", 4)}
    data = MongoDataset(mongodb.t, fields=["a", "b"], target="y", **place)
    model.fit(data, verbose=0)
    found = np.concatenate([rows for _, rows in model.predict_iter({}, mongodb.t, key="_id")])
    np.testing.assert_array_equal(found, model.predict(read(data)[0], verbose=0))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT customer, a, b, c FROM t", "unknown sequence 'day'"),
        ("SELECT customer, day, a, b, c FROM t ORDER BY day, customer", "comes again in row"),
        ("SELECT customer, day, a, b FROM t ORDER BY customer, day", "without 'c'"),
    ],
)
def test_windows_that_cannot_be_predicted(path: Path, query: str, says: str) -> None:
    model = windowed(path)
    with pytest.raises(ValueError, match=says):
        list(model.predict_iter(query, path))


def test_windows_are_not_for_columns_by_name(path: Path) -> None:
    a, b = fastnn.layers.Input((1,), name="a"), fastnn.layers.Input((1,), name="b")
    model = fastnn.Model([a, b], Dense(1)(fastnn.layers.concatenate([a, b])))
    with pytest.raises(ValueError, match="goes with a model of one input"):
        list(model.predict_iter("SELECT customer, day, a, b FROM t", path, sequence=("customer", "day", 2)))

"""write_predictions: what it writes, what it refuses, and that it writes all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import write_predictions
from support.database import connect, read

ROWS = 1000
SQL = "SELECT id, a, b FROM t ORDER BY id"
RUN = ["model", "model_version", "predicted_at"]


def softmax3(x: np.ndarray) -> np.ndarray:
    """Probabilities of three classes, the largest being class (first feature) mod 3."""
    p = np.full((len(x), 3), 0.125, np.float32)
    p[np.arange(len(x)), x[:, 0].astype(int) % 3] = 0.75
    return p


def sigmoid(x: np.ndarray) -> np.ndarray:
    return ((x[:, :1] % 9) / 8).astype(np.float32)


def total(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1, keepdims=True)


def fill(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, name TEXT)")
    rows = [(i, i, -i / 2, f"n{i}") for i in range(1, ROWS + 1)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    connection = connect(tmp_path / "rows.db")
    fill(connection)
    connection.close()
    return tmp_path / "rows.db"


@pytest.fixture(params=["file", "memory"])
def con(request: pytest.FixtureRequest, path: Path) -> Iterator[sqlite3.Connection]:
    if request.param == "file":
        connection = connect(path)
    else:
        connection = connect(":memory:")
        fill(connection)
    yield connection
    connection.close()


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]


KINDS: list[tuple[Any, Callable[[np.ndarray], np.ndarray], Callable[[int], tuple[Any, ...]]]] = [
    ("classes", softmax3, lambda i: (i, i % 3, 0.75)),
    ("binary", sigmoid, lambda i: (i, int(i % 9 > 4), max(i % 9 / 8, 1 - i % 9 / 8))),
    ("values", total, lambda i: (i, i / 2)),
]


@pytest.mark.parametrize("batch_size", [1, 7, ROWS, ROWS + 1])
@pytest.mark.parametrize(("kind", "predict", "expected"), KINDS)
def test_what_is_written(con: sqlite3.Connection, kind: Any, predict: Any, expected: Any, batch_size: int) -> None:
    shapes = []

    def recorded(x: np.ndarray) -> np.ndarray:
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        assert x.flags.writeable
        shapes.append(x.shape)
        result: np.ndarray = predict(x)
        return result

    rows = write_predictions(recorded, SQL, con, into="scores", key="id", kind=kind, batch_size=batch_size)
    assert rows == ROWS
    assert sum(count for count, _ in shapes) == ROWS
    assert all(count <= batch_size and features == 2 for count, features in shapes)
    assert not con.in_transaction
    columns = ["id", "prediction", "probability"][: len(expected(1))]
    cursor = con.execute("SELECT * FROM scores ORDER BY id")
    assert [column[0] for column in cursor.description] == columns + RUN
    cursor = con.execute(f"SELECT {', '.join(columns)} FROM scores ORDER BY id")
    assert cursor.fetchall() == [expected(i) for i in range(1, ROWS + 1)]
    types = {"classes": ("integer", "real"), "binary": ("integer", "real"), "values": ("real",)}
    typeof = ", ".join(f"typeof({name})" for name in columns[1:])
    assert con.execute(f"SELECT DISTINCT {typeof} FROM scores").fetchall() == [types[kind]]
    key = con.execute("SELECT name, pk FROM pragma_table_info('scores') WHERE pk").fetchall()
    assert key == [("id", 1)]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_path_is_written_and_closed(path: Path, journal: str) -> None:
    assert read(path, f"PRAGMA journal_mode = {journal}") == [(journal,)]
    for way, into in ((path, "one"), (str(path), "two"), (f"sqlite:///{path}", "three")):
        assert write_predictions(softmax3, SQL, way, into=into, key="id", batch_size=16) == ROWS
        assert read(path, f"SELECT count(*), sum(prediction) FROM {into}") == [(ROWS, 1000)]
    assert sorted(file.name for file in path.parent.iterdir()) == ["rows.db"]


def test_more_is_written_than_the_cache_holds(con: sqlite3.Connection) -> None:
    con.execute("PRAGMA cache_size = 2")
    assert write_predictions(softmax3, SQL, con, into="p", key="id", batch_size=16) == ROWS
    assert con.execute("SELECT count(*) FROM p").fetchone() == (ROWS,)
    assert con.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("into", ['x"; DROP TABLE t; --', "it's", "two words", "Größe", "table"])
@pytest.mark.parametrize("key", ["id", 'k"; DROP TABLE t; --', "the key", "order"])
def test_hostile_names(con: sqlite3.Connection, into: str, key: str) -> None:
    alias = '"' + key.replace('"', '""') + '"'
    sql = f"SELECT a, id AS {alias} FROM t WHERE id <= ?"
    assert write_predictions(total, sql, con, into=into, key=key, kind="values", params=[3]) == 3
    assert names(con) == sorted(["t", into])
    cursor = con.execute('SELECT * FROM "' + into.replace('"', '""') + '"')
    assert [column[0] for column in cursor.description] == [key, "prediction", *RUN]
    assert [row[:2] for row in cursor] == [(1, 1.0), (2, 2.0), (3, 3.0)]


@pytest.mark.parametrize("keys", [[1, 2], ["a", "b"], [b"a", "a"], [1.5, "1.5"], [-(2**63), 2**63 - 1], ["", "λ"]])
@pytest.mark.parametrize("text_factory", [str, bytes])
def test_keys_come_back_as_they_were(keys: list[Any], text_factory: Any) -> None:
    connection = connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.text_factory = text_factory
    connection.execute("CREATE TABLE t (k, v)")
    connection.executemany("INSERT INTO t VALUES (?, 1)", [[key] for key in keys])
    write_predictions(total, "SELECT * FROM t", connection, into="p", key="k", kind="values")
    assert connection.text_factory is text_factory
    assert connection.row_factory is sqlite3.Row
    connection.row_factory = None
    joined = "SELECT count(*) FROM t JOIN p ON p.k = t.k AND typeof(p.k) = typeof(t.k)"
    assert connection.execute(joined).fetchone() == (2,)
    connection.close()


def test_null_is_replaced_on_request(con: sqlite3.Connection) -> None:
    con.execute("UPDATE t SET b = NULL WHERE id = 5")
    with pytest.raises(ValueError, match=r"column 'b' is NULL in row 5 .*null=<number>"):
        write_predictions(total, SQL, con, into="p", key="id", kind="values")
    write_predictions(total, SQL, con, into="p", key="id", kind="values", null=100)
    assert con.execute("SELECT prediction FROM p WHERE id = 5").fetchone() == (105.0,)


def test_a_query_without_rows_makes_an_empty_table(con: sqlite3.Connection) -> None:
    sql = "SELECT id, a FROM t WHERE id < 0"
    assert write_predictions(softmax3, sql, con, into="p", key="id") == 0
    assert con.execute("SELECT count(*), count(probability) FROM p").fetchone() == (0, 0)


def test_an_open_transaction_stays_open(con: sqlite3.Connection) -> None:
    con.execute("UPDATE t SET a = 2000 WHERE id = 1")
    assert con.in_transaction
    write_predictions(total, SQL, con, into="p", key="id", kind="values")
    assert con.execute("SELECT prediction FROM p WHERE id = 1").fetchone() == (1999.5,)
    assert con.in_transaction
    con.rollback()
    assert names(con) == ["t"]
    assert con.execute("SELECT a FROM t WHERE id = 1").fetchone() == (1.0,)


@pytest.mark.parametrize("isolation_level", [None, "DEFERRED", "EXCLUSIVE"])
def test_every_isolation_level(path: Path, isolation_level: Any) -> None:
    connection = connect(path, isolation_level=isolation_level)
    write_predictions(softmax3, SQL, connection, into="p", key="id")
    assert not connection.in_transaction
    connection.close()
    assert read(path, "SELECT count(*) FROM p") == [(ROWS,)]


class Broken(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


def failing(error: BaseException) -> Callable[[np.ndarray], np.ndarray]:
    """Predict, but raise at the row with the id 500."""

    def predict(x: np.ndarray) -> np.ndarray:
        if (x[:, 0] == 500).any():
            raise error
        return softmax3(x)

    return predict


@pytest.mark.parametrize("error", [RuntimeError("half-way"), Broken("half-way")])
def test_a_failure_half_way_leaves_no_table(con: sqlite3.Connection, path: Path, error: BaseException) -> None:
    for way in (con, path):
        with pytest.raises(type(error), match="half-way"):
            write_predictions(failing(error), SQL, way, into="p", key="id", batch_size=16)
        assert not con.in_transaction
        assert names(con) == ["t"]
        assert [row[0] for row in read(path, "SELECT name FROM sqlite_master")] == ["t"]
    assert write_predictions(softmax3, SQL, con, into="p", key="id") == ROWS


def test_a_failure_keeps_what_the_user_had_not_committed(con: sqlite3.Connection) -> None:
    con.execute("UPDATE t SET a = 2000 WHERE id = 1")
    with pytest.raises(RuntimeError, match="half-way"):
        write_predictions(failing(RuntimeError("half-way")), SQL, con, into="p", key="id")
    assert con.in_transaction
    assert names(con) == ["t"]
    assert con.execute("SELECT a FROM t WHERE id = 1").fetchone() == (2000.0,)


def test_bad_rows_half_way_leave_no_table(con: sqlite3.Connection) -> None:
    con.execute("UPDATE t SET b = 'abc' WHERE id = 777")
    con.commit()
    with pytest.raises(ValueError, match=r"column 'b' holds text \('abc'\) in row 777 "):
        write_predictions(softmax3, SQL, con, into="p", key="id", batch_size=100)
    assert names(con) == ["t"]


@pytest.mark.parametrize("batch_size", [1, 100, 2000])
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT id / 2 AS id, a FROM t", "the key 'id' is 1 in row 3 .* must name one row"),
        ("SELECT min(id, 600) AS id, a FROM t", "the key 'id' is 600 in row 601 "),
        ("SELECT 'x' AS id, a FROM t", "the key 'id' is 'x' in row 2 "),
        ("SELECT nullif(id, 300) AS id, a FROM t", "the key 'id' is NULL in row 300 .*WHERE"),
    ],
)
def test_bad_keys(con: sqlite3.Connection, sql: str, words: str, batch_size: int) -> None:
    with pytest.raises(ValueError, match=words):
        write_predictions(softmax3, sql, con, into="p", key="id", batch_size=batch_size)
    assert names(con) == ["t"]
    assert not con.in_transaction


def outputs(values: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.tile(np.array(values, np.float32), (len(x), 1))


@pytest.mark.parametrize(
    ("predict", "kind", "words"),
    [
        (outputs([0.5]), "classes", 'one unit; say kind="binary" or kind="values"'),
        (outputs([0.5, 0.5]), "binary", "2 units; kind='binary' has one"),
        (outputs([0.5, np.nan]), "classes", "expects probabilities, .* nan for row 1 "),
        (outputs([3.0, -1.0]), "classes", "expects probabilities, .* returned 3 for row 1 "),
        (outputs([-0.25]), "binary", "returned -0.25 for row 1 .*last activation"),
        (outputs([np.nan]), "binary", "returned nan"),
        (outputs([np.inf]), "values", "expects finite numbers, .* inf for row 1 "),
        (lambda x: x[:, 0], "values", r"must return \(1000, units\) .* got \(1000,\)"),
        (lambda x: x[:-1, :1], "values", r"must return \(1000, units\) .* got \(999, 1\)"),
        (lambda x: x[:, :0], "values", r"got \(1000, 0\)"),
        (lambda x: x.reshape(-1, 2, 1), "values", r"got \(1000, 2, 1\)"),
    ],
)
def test_bad_outputs(con: sqlite3.Connection, predict: Any, kind: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write_predictions(predict, SQL, con, into="p", key="id", kind=kind)
    assert names(con) == ["t"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"into": "t"}, ValueError, "already has 't' .table.; .* another name, or drop"),
        ({"into": "T"}, ValueError, "already has 'T' .table."),
        ({"into": "v"}, ValueError, "already has 'v' .view."),
        ({"into": "i"}, ValueError, "already has 'i' .index."),
        ({"into": "temporary"}, ValueError, "already has 'temporary' .table."),
        ({"into": "other"}, ValueError, "already has 'other' .table."),
        ({"into": ""}, ValueError, "into must be a name"),
        ({"into": "a\0b"}, ValueError, "into must be a text without a null"),
        ({"into": None}, TypeError, "into must be a string"),
        ({"into": "sqlite_mine"}, ValueError, "SQLite says: .*reserved"),
        ({"key": "nope"}, ValueError, "unknown key 'nope'; .* 'id', 'a', 'b'"),
        ({"key": 1}, TypeError, "key must be a string"),
        ({"kind": "class"}, ValueError, "known kinds: 'binary', 'classes', 'values'"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"null": "0"}, TypeError, "null must be the number"),
        ({"sql": "SELECT id FROM t"}, ValueError, "alone; select the features"),
        ({"sql": "SELECT a AS prediction, b FROM t", "key": "prediction"}, ValueError, "rename"),
        ({"sql": "SELECT a AS PROBABILITY, b FROM t", "key": "PROBABILITY"}, ValueError, "rename"),
        ({"sql": "DELETE FROM t"}, ValueError, "one SELECT"),
        ({"sql": "SELECT id, a FROM nowhere"}, ValueError, "no such table: nowhere"),
        ({"sql": "SELECT id, a FROM p"}, ValueError, "no such table: p"),
        ({"sql": "SELECT id, a FROM t WHERE id > ?"}, ValueError, "bindings"),
        ({"con": "nowhere.db"}, FileNotFoundError, "check the path"),
        ({"con": 5}, TypeError, "con must be"),
    ],
)
def test_what_is_refused(con: sqlite3.Connection, change: dict[str, Any], error: type[Exception], words: str) -> None:
    con.execute("CREATE VIEW v AS SELECT * FROM t")
    con.execute("CREATE INDEX i ON t (a)")
    con.execute("CREATE TEMP TABLE temporary (id)")
    con.execute('ATTACH \':memory:\' AS "an ""other"')
    con.execute('CREATE TABLE "an ""other".other (id)')
    before = names(con), con.execute("SELECT total(a) FROM t").fetchone()
    arguments: dict[str, Any] = {"sql": SQL, "con": con, "into": "p", "key": "id"} | change
    sql, where = arguments.pop("sql"), arguments.pop("con")
    with pytest.raises(error, match=words):
        write_predictions(softmax3, sql, where, **arguments)
    assert (names(con), con.execute("SELECT total(a) FROM t").fetchone()) == before
    assert not con.in_transaction


def test_a_locked_database(path: Path) -> None:
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    connection = connect(path, timeout=0)
    with pytest.raises(ValueError, match="SQLite says: database is locked"):
        write_predictions(softmax3, SQL, connection, into="p", key="id")
    other.rollback()
    other.close()
    assert write_predictions(softmax3, SQL, connection, into="p", key="id") == ROWS
    connection.close()


def test_a_reader_in_the_way_of_the_commit(path: Path) -> None:
    other = connect(path)
    reading = other.execute("SELECT id FROM t")
    reading.fetchone()
    connection = connect(path, timeout=0)
    with pytest.raises(ValueError, match="SQLite says: database is locked"):
        write_predictions(softmax3, SQL, connection, into="p", key="id")
    assert not connection.in_transaction
    assert names(connection) == ["t"]
    reading.close()
    assert write_predictions(softmax3, SQL, connection, into="p", key="id") == ROWS
    connection.close()
    other.close()

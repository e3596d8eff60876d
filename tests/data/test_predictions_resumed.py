"""Predictions that were interrupted, added to a table, written elsewhere; and what each row says of its model."""

from __future__ import annotations

import datetime
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn.data import write_predictions
from fastnn.databases import staged
from fastnn.models import Model, Sequential
from support.database import connect, read

ROWS = 100
SQL = "SELECT k, v FROM t"


def first(x: np.ndarray) -> np.ndarray:
    return x[:, :1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(connect(tmp_path / "rows.db")) as connection:
        connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(i, i / 4) for i in range(ROWS)])
        connection.commit()
    return tmp_path / "rows.db"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is kept at once."""
    monkeypatch.setattr(staged, "SECONDS", 0.0)


def write(con: Any, into: str = "p", sql: str = SQL, **named: Any) -> int:
    predict, key = named.pop("predict", first), named.pop("key", "k")
    named = {"kind": "values", "batch_size": 10, "identity": b"first", "outputs": ["prediction"], **named}
    return write_predictions(predict, sql, con, into=into, key=key, **named)


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


class Ended(BaseException):
    pass


def until(rows: int, seen: list[int], error: type[BaseException] = Ended) -> Callable[[np.ndarray], np.ndarray]:
    """Predict, and note how many rows; it ends after so many."""

    def predict(x: np.ndarray) -> np.ndarray:
        if sum(seen) >= rows:
            raise error
        seen.append(len(x))
        return first(x)

    return predict


EXPECTED = [(i, i / 4) for i in range(ROWS)]


# Runs that were ended.


@pytest.mark.parametrize("error", [Ended, KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("rows", [10, 50, 100])
@pytest.mark.parametrize("keys", ["k", "100 - k", "'n' || k", "k / 2.0", "CAST(x'ff' || k AS TEXT)"])
@pytest.mark.parametrize("lent", [False, True])
def test_an_ended_run_is_gone_on_with(
    path: Path, often: None, error: type[BaseException], rows: int, keys: str, lent: bool
) -> None:
    sql = f"SELECT {keys} AS k, v FROM t"
    con = connect(path) if lent else path
    seen: list[int] = []
    if rows < ROWS:
        with pytest.raises(error):
            write(con, sql=sql, predict=until(rows, seen, error))
        assert len(files(path)) == 2
        assert read(path, "SELECT name FROM sqlite_master WHERE name = 'p'") == []
    again: list[int] = []
    assert write(con, sql=sql, predict=until(ROWS, again)) == ROWS
    assert sum(again) == ROWS - sum(seen)
    found = read(path, "SELECT typeof(k), hex(k), prediction FROM p ORDER BY prediction")
    assert found == read(path, f"SELECT typeof(k), hex(k), v FROM ({sql}) ORDER BY v")
    assert files(path) == ["rows.db"]


def test_no_row_twice_and_none_left_out_however_often_it_ends(path: Path, often: None) -> None:
    seen: list[int] = []
    for rows in range(10, ROWS, 10):
        with pytest.raises(Ended):
            write(path, predict=until(rows, seen))
    assert write(path, predict=until(ROWS, seen)) == ROWS
    assert sum(seen) == ROWS
    assert read(path, "SELECT k, prediction FROM p") == EXPECTED


CHANGES = {
    "a feature": "UPDATE t SET v = -1 WHERE k = 25",
    "a key": "UPDATE t SET k = -5 WHERE k = 0",
    "a row less": "DELETE FROM t WHERE k = 25",
    "rows at the end": "INSERT INTO t VALUES (1000, 1), (1001, 2)",
    "few rows left": "DELETE FROM t WHERE k > 15",
    "no row left": "DELETE FROM t",
    "other types": "UPDATE t SET v = CAST(v AS INTEGER)",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("keys", ["k", "'n' || k"])
def test_rows_that_changed_meanwhile(path: Path, often: None, change: str, keys: str) -> None:
    sql = f"SELECT {keys} AS k, v FROM t"
    with pytest.raises(Ended):
        write(path, sql=sql, predict=until(50, []))
    with closing(connect(path)) as connection:
        connection.execute(CHANGES[change])
        connection.commit()
    expected = read(path, sql)
    assert write(path, sql=sql) == len(expected)
    assert read(path, "SELECT k, prediction FROM p") == expected
    assert files(path) == ["rows.db"]


@pytest.mark.parametrize(
    "other",
    [
        {"identity": b"other"},
        {"model": "m"},
        {"version": 2},
        {"batch_size": 20},
        {"kind": "binary"},
        {"identity": None},
    ],
)
def test_another_run_begins_anew(path: Path, often: None, other: dict[str, Any]) -> None:
    with pytest.raises(Ended):
        write(path, predict=until(50, []))
    seen: list[int] = []
    predict = until(ROWS, seen)
    assert write(path, sql="SELECT k, v / 25 AS v FROM t", predict=predict, **other) == ROWS
    assert sum(seen) == ROWS
    if other != {"identity": None}:  # which has no file and touches none
        assert files(path) == ["rows.db"]


def test_the_time_is_that_of_the_beginning(path: Path, often: None) -> None:
    with pytest.raises(Ended):
        write(path, predict=until(50, []))
    [file] = [path.parent / name for name in files(path) if name != "rows.db"]
    assert os.name != "posix" or file.stat().st_mode & 0o777 == 0o600
    with closing(connect(file)) as connection:
        connection.execute("UPDATE run SET at = 'then'")
        connection.commit()
    write(path)
    # The rows that were there keep what they say; those that come are of the same time.
    assert read(path, "SELECT predicted_at = 'then', count(*) FROM p GROUP BY 1") == [(0, 50), (1, 50)]


def test_what_is_bad_is_said_and_what_was_good_is_kept(path: Path, often: None) -> None:
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO t VALUES (1000, 9e999)")
        connection.commit()
    seen: list[int] = []
    with pytest.raises(ValueError, match="inf for row 101"):
        write(path, predict=until(1000, seen))
    assert sum(seen) == 101
    with closing(connect(path)) as connection:
        connection.execute("UPDATE t SET v = 7 WHERE k = 1000")
        connection.commit()
    assert write(path, predict=until(1000, again := [])) == 101
    assert again == [1]


def test_a_locked_database_at_the_end_costs_no_prediction(path: Path) -> None:
    read(path, "PRAGMA journal_mode = wal")
    other = connect(path, isolation_level=None)
    con = connect(path, timeout=0)

    def predict(x: np.ndarray) -> np.ndarray:
        if not other.in_transaction:
            other.execute("BEGIN IMMEDIATE")
        return first(x)

    with pytest.raises(ValueError, match="database is locked"):
        write(con, predict=predict)
    other.execute("ROLLBACK")
    assert write(con, predict=until(0, [])) == ROWS  # it would end if it were asked
    con.close()
    other.close()
    assert files(path) == ["rows.db"]


def test_a_short_run_that_fails_leaves_no_file(path: Path) -> None:
    with pytest.raises(Ended):
        write(path, predict=until(50, []))
    assert files(path) == ["rows.db"]


def test_two_runs_at_once(path: Path, often: None) -> None:
    """The one that comes later has no file, and the table is whole."""
    inner: list[int] = []

    def predict(x: np.ndarray) -> np.ndarray:
        if not inner:
            inner.append(write(path, "p", mode="replace"))
        return first(x) + 1

    assert write(path, "p", predict=predict, mode="replace") == ROWS
    assert inner == [ROWS]
    assert read(path, "SELECT min(prediction), count(*) FROM p") == [(1.0, ROWS)]
    assert files(path) == ["rows.db"]


@pytest.mark.parametrize("content", [b"not a database", b"", "theirs"])
def test_a_file_of_that_name(path: Path, often: None, content: Any) -> None:
    """One that is not ours is not touched."""
    with pytest.raises(Ended):
        write(path, predict=until(50, []))
    [name] = [name for name in files(path) if name != "rows.db"]
    file = path.parent / name
    file.unlink()
    if content == "theirs":
        with closing(connect(file)) as connection:
            connection.execute("CREATE TABLE theirs (a)")
            connection.commit()
        content = file.read_bytes()
    else:
        file.write_bytes(content)
    assert write(path) == ROWS
    assert read(path, "SELECT k, prediction FROM p") == EXPECTED
    assert not file.exists() if content == b"" else file.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("mode", ["create", "replace", "upsert"])
def test_kill_9(path: Path, mode: str) -> None:
    if mode != "create":
        write(path, predict=lambda x: first(x) * 0 - 1)
    code = f"""
        import os, signal, sys
        from fastnn.data import write_predictions
        from fastnn.databases import staged
        staged.SECONDS = 0.0
        left = [int(sys.argv[1])]
        def predict(x):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            print(len(x), flush=True)
            return x[:, :1]
        write_predictions(predict, {SQL!r}, {str(path)!r}, into="p", key="k", kind="values", batch_size=10,
                          identity=b"first", outputs=["prediction"], mode={mode!r})
    """
    predicted = 0
    for batches in (3, 0, 4, 100):
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(code), str(batches)],
            capture_output=True,
            text=True,
            check=False,
        )
        predicted += sum(map(int, done.stdout.split()))
        if batches < 100:
            assert done.returncode == -signal.SIGKILL, done.stderr
            before = [] if mode == "create" else [(-1.0, ROWS)]
            tables = read(path, "SELECT 1 FROM sqlite_master WHERE name = 'p'")
            assert (read(path, "SELECT prediction, count(*) FROM p GROUP BY 1") if tables else []) == before
    assert done.returncode == 0, done.stderr
    assert predicted == ROWS
    assert read(path, "SELECT k, prediction FROM p") == EXPECTED
    assert files(path) == ["rows.db"]


CAN_MOUNT = (
    sys.platform == "linux"
    and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to mount")
@pytest.mark.parametrize("size", [6000, 10200])  # kB: too little for what is staged, and for the table beside it
def test_a_disk_that_is_full(tmp_path: Path, size: int) -> None:
    code = """
        import sqlite3, subprocess, sys
        from fastnn.data import write_predictions
        from fastnn.databases import staged
        staged.SECONDS = 0.0
        path = sys.argv[1] + "/rows.db"
        con = sqlite3.connect(path)
        con.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)")
        con.executemany("INSERT INTO t VALUES (?, 1)", ((i,) for i in range(150000)))
        con.commit()
        seen = []
        def predict(x):
            seen.append(len(x))
            return x[:, :1]
        def write():
            return write_predictions(predict, "SELECT k, v FROM t", path, into="p", key="k", kind="values",
                                     identity=b"1", outputs=["prediction"])
        try:
            write()
        except ValueError as error:
            print(error)
        tables = con.execute("SELECT name FROM sqlite_master").fetchall()
        print(tables, con.execute("PRAGMA integrity_check").fetchall())
        first, seen[:] = sum(seen), []
        print(first)
        subprocess.run(["mount", "-o", "remount,size=64000k", sys.argv[1]], check=True)
        print(write(), first + sum(seen) < 300000, con.execute("SELECT count(*), sum(prediction) FROM p").fetchone())
        import os
        print(os.listdir(sys.argv[1]))
    """
    script = tmp_path / "fill.py"
    script.write_text(textwrap.dedent(code))
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = f"mount -t tmpfs -o size={size}k none '{folder}' && exec '{sys.executable}' '{script}' '{folder}'"
    done = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused, state, predicted, again, left = done.stdout.splitlines()
    assert "cannot be written; SQLite says: database or disk is full" in refused
    assert state == "[('t',)] [('ok',)]"
    assert (predicted == "150000") == (size == 10200)  # it is the last step that failed
    assert again == "150000 True (150000, 150000.0)"
    assert left == "['rows.db']"


# Rows that are added.


@pytest.fixture(params=["file", "connection", "transaction", "memory"])
def con(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    if request.param == "file":
        yield path
        return
    connection = connect(path if request.param != "memory" else ":memory:", isolation_level=None)
    if request.param == "memory":
        with closing(connect(path)) as source:
            source.backup(connection)
    if request.param == "transaction":
        connection.execute("BEGIN")
    yield connection
    assert connection.in_transaction == (request.param == "transaction")
    connection.close()


def run(con: Any, sql: str) -> list[tuple[Any, ...]]:
    if isinstance(con, sqlite3.Connection):
        return con.execute(sql).fetchall()
    with closing(connect(con)) as connection:
        rows = connection.execute(sql).fetchall()
        connection.commit()
        return rows


@pytest.mark.parametrize("keys", ["k", "'n' || k"])
def test_rows_are_added_and_replaced(con: Any, keys: str) -> None:
    def part(where: str) -> str:
        return f"SELECT {keys} AS k, v FROM t WHERE {where}"

    assert write(con, sql=part("k < 60"), mode="upsert", model="a", version="1") == 60  # it makes the table
    assert write(con, sql=part("k >= 50"), mode="upsert", model="b", predict=lambda x: first(x) + 1000) == 50
    found = run(con, "SELECT k, prediction, model, model_version FROM p ORDER BY prediction")
    expected = run(con, f"SELECT {keys}, v + 1000 * (k >= 50), iif(k < 50, 'a', 'b'), iif(k < 50, '1', NULL) FROM t")
    assert found == expected
    assert write(con, sql=part("0"), mode="upsert") == 0
    assert run(con, "SELECT count(*) FROM p") == [(ROWS,)]


def test_columns_of_ones_own_stay(con: Any) -> None:
    write(con, sql=f"{SQL} WHERE k < 10", mode="upsert")
    run(con, "ALTER TABLE p ADD COLUMN note TEXT DEFAULT 'new'")
    run(con, "UPDATE p SET note = 'mine' WHERE k = 3")
    write(con, sql=f"{SQL} WHERE k < 20", mode="upsert", predict=lambda x: first(x) + 1)
    assert run(con, "SELECT note, count(*), min(prediction) FROM p GROUP BY 1") == [("mine", 1, 1.75), ("new", 19, 1.0)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("CREATE TABLE p (k PRIMARY KEY, prediction)", "and not 'model', 'model_version', 'predicted_at', so"),
        (
            "CREATE TABLE p (k, prediction, model, model_version, predicted_at)",
            "cannot be added to the table 'p' by the key 'k'.*must be PRIMARY KEY or UNIQUE",
        ),
        (
            "CREATE TABLE p (other PRIMARY KEY, prediction, model, model_version, predicted_at)",
            "and not 'k', so these predictions are not added to it",
        ),
        ("CREATE VIEW p AS SELECT k, v AS prediction FROM t", r"already has 'p' \(view\)"),
    ],
)
def test_what_is_not_added_to(con: Any, make: str, words: str) -> None:
    run(con, make)
    with pytest.raises(ValueError, match=words):
        write(con, mode="upsert", predict=until(0, []))
    assert run(con, "SELECT sql FROM sqlite_master WHERE name = 'p'") == [(make,)]


def test_what_is_read_is_not_added_to(con: Any) -> None:
    write(con, mode="upsert")
    for sql in ("SELECT k, prediction FROM p", "SELECT k, v FROM t WHERE k NOT IN (SELECT k FROM p)"):
        with pytest.raises(ValueError, match="reads the table 'p', which would be changed"):
            write(con, sql=sql, mode="upsert")
    with pytest.raises(ValueError, match=r"and not .* so these predictions are not added to it"):
        write(con, "t", mode="upsert")
    assert run(con, "SELECT count(*), max(v) FROM t") == [(ROWS, 24.75)]


def test_keys_of_another_type(con: Any) -> None:
    write(con, mode="upsert")
    for key in ("CAST(k AS TEXT)", "k + 0.5"):
        with pytest.raises(ValueError, match=r"has whole numbers as its keys, and the query's 'k' is '?0"):
            write(con, sql=f"SELECT {key} AS k, v FROM t", mode="upsert")
    assert write(con, sql="SELECT k, v + 1 AS v FROM t ORDER BY v DESC", mode="upsert") == ROWS
    assert run(con, "SELECT min(prediction) FROM p") == [(1.0,)]


def test_a_failure_adds_nothing(con: Any) -> None:
    write(con)
    run(con, "CREATE TRIGGER stop BEFORE UPDATE ON p WHEN new.k = 70 BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(ValueError, match="cannot be written; SQLite says: no"):
        write(con, mode="upsert", predict=lambda x: first(x) + 1)
    assert run(con, "SELECT k, prediction FROM p") == EXPECTED
    if con is not None and not isinstance(con, sqlite3.Connection):
        run(con, "DROP TRIGGER stop")
        assert write(con, mode="upsert") == ROWS


# Another database.


@pytest.mark.parametrize("there", ["file", "lent", "memory", "transaction"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16be"])
def test_another_database(path: Path, there: str, encoding: str) -> None:
    path.chmod(0o444)
    goal = path.parent / "other" / "scores.db"
    goal.parent.mkdir()
    target = connect(":memory:" if there == "memory" else goal, isolation_level=None)
    target.execute(f"PRAGMA encoding = '{encoding}'")
    target.execute("CREATE TABLE x (a)")
    if there == "transaction":
        target.execute("BEGIN")
    source = connect(f"{path.as_uri()}?mode=ro", uri=True)
    sql = "SELECT 'ü' || k AS k, v FROM t"
    before = path.read_bytes()
    for con in (path, source):
        to = goal if there == "file" else target
        assert write(con, sql=sql, to=to, mode="replace") == ROWS
        assert write(con, sql=f"{sql} WHERE t.k < 5", to=to, mode="upsert") == 5
        assert target.execute("SELECT k, prediction FROM p").fetchall() == [(f"ü{i}", i / 4) for i in range(ROWS)]
    with pytest.raises(ValueError, match=r"already has 'p' \(table\)"):
        write(path, to=to)
    assert write(path, "t", to=to) == ROWS  # the table of the source has that name too, in its own database
    assert path.read_bytes() == before
    assert files(path) == ["other", "rows.db"]
    assert target.in_transaction == (there == "transaction")


def test_the_same_database_by_another_name(path: Path) -> None:
    write(path)
    link = path.parent / "link.db"
    link.symlink_to(path)
    with pytest.raises(ValueError, match="reads the table 'p'"):
        write(path, sql="SELECT k, prediction FROM p", to=link, mode="replace")
    with pytest.raises(FileNotFoundError, match="no database file"):
        write(path, to="nowhere.db")


# What the rows say.


def model_of(units: int, last: str | None, name: str = "m") -> Model:
    model = Sequential([L.Input((1,)), L.Dense(units, last)], name=name)
    model.compile("sgd", "mse")
    return model


def test_name_version_and_time(path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    model = model_of(1, None, "it's 1")
    model.predict_sql(SQL, path, into="p", key="k")
    model.predict_sql(SQL, path, into="q", key="k", version=3)
    [(name, version, at)] = read(path, "SELECT DISTINCT model, model_version, predicted_at FROM p")
    assert (name, version) == ("it's 1", None)
    assert read(path, "SELECT DISTINCT model, model_version FROM q") == [("it's 1", "3")]
    assert now <= datetime.datetime.fromisoformat(at) <= datetime.datetime.now(datetime.UTC)
    assert read(path, "SELECT DISTINCT abs(julianday('now') - julianday(predicted_at)) < 0.01 FROM p") == [(1,)]


def test_several_units(path: Path) -> None:
    model = model_of(3, None)
    model.predict_sql(SQL, path, into="p", key="k", kind="values")
    found = np.array(read(path, "SELECT prediction_0, prediction_1, prediction_2 FROM p"), np.float32)
    np.testing.assert_array_equal(found, model.predict(np.arange(ROWS)[:, None] / 4))
    write_predictions(model.predict, SQL, path, into="q", key="k", kind="values")
    assert read(path, "SELECT k, prediction_0, prediction_1, prediction_2 FROM q") == read(
        path, "SELECT k, prediction_0, prediction_1, prediction_2 FROM p"
    )
    assert write_predictions(model.predict, SQL, path, into="q", key="k", kind="values", mode="replace") == ROWS
    with pytest.raises(ValueError, match=r"q.* and not 'prediction'"):
        model_of(1, None).predict_sql(SQL, path, into="q", key="k", mode="upsert")
    with pytest.raises(ValueError, match="the key 'prediction_1' is a column that is written"):
        model.predict_sql("SELECT k AS prediction_1, v FROM t", path, into="r", key="prediction_1", kind="values")


def test_several_outputs(path: Path) -> None:
    x = L.Input((1,))
    model = Model(x, [L.Dense(1, name="mean")(x), L.Dense(2, name="kind")(x)])
    model.compile("sgd", "mse")
    model.predict_sql(SQL, path, into="p", key="k")
    found = np.array(read(path, "SELECT prediction_mean, prediction_kind_0, prediction_kind_1 FROM p"), np.float32)
    np.testing.assert_array_equal(found, np.hstack(model.predict(np.arange(ROWS)[:, None] / 4)))
    with pytest.raises(ValueError, match="kind='classes' is of one output"):
        model.predict_sql(SQL, path, into="q", key="k", kind="classes")


def test_a_model_that_went_on_training_is_another(path: Path, often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(1, None)
    real, calls = type(model).predict, []

    def ending(self: Model, x: Any) -> Any:
        calls.append(len(x))
        if len(calls) == 2:
            raise Ended
        return real(self, x)

    monkeypatch.setattr(type(model), "predict", ending)
    with closing(connect(path)) as connection:
        connection.executemany("INSERT INTO t VALUES (?, 1)", [(i,) for i in range(1000, 20000)])
        connection.commit()
    for change, expected in ((False, [8192, 8192, 8192, 2716]), (True, [8192, 8192, 8192, 8192, 2716])):
        calls.clear()
        with pytest.raises(Ended):
            model.predict_sql(SQL, path, into="p", key="k", mode="replace")
        if change:
            model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
        monkeypatch.setattr(type(model), "predict", lambda self, x: (calls.append(len(x)), real(self, x))[1])
        model.predict_sql(SQL, path, into="p", key="k", mode="replace")
        monkeypatch.setattr(type(model), "predict", ending)
        assert calls == expected
        found = np.array(read(path, "SELECT prediction FROM p ORDER BY k LIMIT 100"), np.float32)
        np.testing.assert_array_equal(found, real(model, np.arange(ROWS)[:, None] / 4))


# Without a table.


def test_predict_iter(path: Path) -> None:
    model = model_of(2, "softmax")
    expected = model.predict(np.arange(ROWS)[:, None] / 4)
    parts = list(model.predict_iter("SELECT v FROM t", path, batch_size=30))
    assert [len(part) for part in parts] == [30, 30, 30, 10]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    pairs = list(model.predict_iter("SELECT 'n' || k AS k, v FROM t WHERE t.k >= ?", path, key="k", params=[40]))
    assert [key for keys, _ in pairs for key in keys] == [f"n{i}" for i in range(40, ROWS)]
    np.testing.assert_array_equal(np.concatenate([outputs for _, outputs in pairs]), expected[40:])
    assert list(model.predict_iter("SELECT v FROM t WHERE 0", path)) == []
    assert read(path, "SELECT name FROM sqlite_master") == [("t",)]


def test_predict_iter_is_closed_and_says_at_once_what_is_wrong(path: Path) -> None:
    model, con = model_of(1, None), connect(path)
    found = model.predict_iter(SQL, con, key="k", batch_size=10)
    assert next(found)[0] == list(range(10))
    found.close()
    con.execute("CREATE TABLE beside (a)")
    con.execute("DROP TABLE beside")  # no query runs any more
    for named, words in (
        ({"key": "nope"}, "unknown key 'nope'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"key": ""}, "key must be a name"),
    ):
        with pytest.raises(ValueError, match=words):
            model.predict_iter(SQL, con, **named)
    with pytest.raises(ValueError, match=r"1 feature|columns"):
        list(model.predict_iter(SQL, con))
    with pytest.raises(ValueError, match="the key 'k' is NULL in row 51 "):
        list(model.predict_iter("SELECT nullif(k, 50) AS k, v FROM t", con, key="k", batch_size=7))


def test_the_version_of_a_registry(path: Path, tmp_path: Path) -> None:
    """As long as the model is that version."""
    model = model_of(1, None, "own")
    with fastnn.registry.open(tmp_path / "registry.db") as registry:
        registry.save(model, "churn")
        registry.save(model, "churn")
        loaded = registry.load("churn")
        bare = registry.load("churn", 1, compile=False)
    wanted = {
        "p": ("churn", "2"),
        "q": ("churn", "candidate"),
        "r": ("own", None),
        "s": ("own", None),
        "t2": ("own", None),
    }
    loaded.predict_sql(SQL, path, into="p", key="k")
    loaded.predict_sql(SQL, path, into="q", key="k", version="candidate")
    pickle.loads(pickle.dumps(loaded)).predict_sql(SQL, path, into="s", key="k")
    bare.predict_sql(SQL, path, into="t2", key="k")  # which is not the bytes that were saved
    loaded.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    loaded.predict_sql(SQL, path, into="r", key="k")
    for table, expected in wanted.items():
        assert read(path, f"SELECT DISTINCT model, model_version FROM {table}") == [expected]

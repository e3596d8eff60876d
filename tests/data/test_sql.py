"""SQLDataset: what a query gives, and how it is opened, read and left."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import ClassWeighted, Page, SQLDataset
from support.database import connect


@pytest.fixture
def con() -> Iterator[sqlite3.Connection]:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, label INTEGER)")
    rows = [(i, i / 2, -i, i % 3) for i in range(1, 101)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture
def path(tmp_path: Path, con: sqlite3.Connection) -> Path:
    file = tmp_path / "it's 100% #1?.db"
    copy = connect(file)
    con.backup(copy)
    copy.close()
    return file


def whole(dataset: SQLDataset, batch_size: int = 8) -> tuple[np.ndarray, np.ndarray | None]:
    pages = list(dataset.pages(batch_size))
    assert all(page.order is None and page.weight is None for page in pages)
    ys = [page.y for page in pages if page.y is not None]
    return np.concatenate([page.x for page in pages]), np.concatenate(ys) if ys else None


I = np.arange(1, 101, dtype=np.float32)  # noqa: E741


@pytest.mark.parametrize(
    ("options", "columns", "targets"),
    [
        ({}, ["id", "a", "b", "label"], []),
        ({"target": "label"}, ["id", "a", "b"], ["label"]),
        ({"target": ["label", "a"]}, ["id", "b"], ["label", "a"]),
        ({"target": "id"}, ["a", "b", "label"], ["id"]),
        ({"target": "label", "features": ["b"]}, ["b"], ["label"]),
        ({"target": ("a",), "features": ("b", "id")}, ["b", "id"], ["a"]),
        ({"features": ["label", "id"]}, ["label", "id"], []),
        ({"features": ["a"], "target": []}, ["a"], []),
    ],
)
@pytest.mark.parametrize("memory_limit", [0, 2**20])
def test_columns(
    con: sqlite3.Connection,
    options: dict[str, Any],
    columns: list[str],
    targets: list[str],
    memory_limit: int,
) -> None:
    values = {"id": I, "a": I / 2, "b": -I, "label": I % 3}
    dataset = SQLDataset("SELECT * FROM t", con, memory_limit=memory_limit, **options)
    assert list(dataset.columns) == columns
    assert dataset.input_shape == (len(columns),)
    assert dataset.targets == len(targets)
    assert dataset.rows is None
    for _ in range(2):
        x, y = whole(dataset)
        np.testing.assert_array_equal(x, np.column_stack([values[name] for name in columns]))
        if targets:
            np.testing.assert_array_equal(y, np.column_stack([values[name] for name in targets]))
        else:
            assert y is None
        assert dataset.rows == 100


def test_every_way_to_name_a_database(path: Path, con: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    plain = path.parent / "plain.db"
    os.rename(path, plain)
    ways = [con, plain, str(plain), "plain.db", "sqlite:///plain.db", f"sqlite:///{plain}"]
    for way in ways:
        x, _ = whole(SQLDataset("SELECT a FROM t", way))
        np.testing.assert_array_equal(x[:, 0], I / 2)


def test_a_path_outlives_a_change_of_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    dataset = SQLDataset("SELECT a FROM t", path.name)
    monkeypatch.chdir("/")
    assert len(whole(dataset)[0]) == 100


def test_our_connections_are_closed(path: Path) -> None:
    dataset = SQLDataset("SELECT a FROM t", path, memory_limit=0)
    pages = dataset.pages(4)
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    whole(dataset)
    # A connection that was still reading would block this.
    writer = connect(path, timeout=0)
    writer.execute("DELETE FROM t")
    writer.commit()
    writer.close()
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    for way in (tmp_path / "no.db", str(tmp_path / "no.db"), f"sqlite:///{tmp_path}/no.db"):
        with pytest.raises(FileNotFoundError, match=r"no\.db.*check the path"):
            SQLDataset("SELECT 1", way)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_goes_missing(path: Path) -> None:
    dataset = SQLDataset("SELECT a FROM t", path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="check the path"):
        whole(dataset)
    assert not path.exists()


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        (":memory:", ValueError, "pass the open sqlite3.Connection"),
        ("", ValueError, "pass the open sqlite3.Connection"),
        ("sqlite:///:memory:", ValueError, "pass the open sqlite3.Connection"),
        ("sqlite://", ValueError, "sqlite:///path"),
        ("sqlite:///x.db?mode=rw", ValueError, "without options"),
        (None, TypeError, "got NoneType"),
        (42, TypeError, "got int"),
    ],
)
def test_bad_con(where: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SQLDataset("SELECT 1", where)


def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("hello, this is not a database at all " * 100)
    with pytest.raises(ValueError, match="file is not a database"):
        SQLDataset("SELECT * FROM t", tmp_path / "text.db")
    with pytest.raises(ValueError, match=r"cannot open the database .* SQLite says"):
        SQLDataset("SELECT * FROM t", tmp_path)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT c FROM t", "no such column: c"),
        ("SELEC * FROM t", "must be one SELECT, got 'SELEC"),
        ("", "must be one SELECT, got ''"),
        (" ; -- no", "must be one SELECT"),
        ("DELETE FROM t", "must be one SELECT, got 'DELETE"),
        ("DROP TABLE t", "must be one SELECT"),
        ("COMMIT", "must be one SELECT"),
        ("PRAGMA user_version = 3", "must be one SELECT"),
        ("t", r"to read a table: SELECT \* FROM"),
        ("WITH q AS (SELECT 1) DELETE FROM t", 'near "DELETE": syntax error'),
        ("WITH q AS (SELECT 1) INSERT INTO t (a) SELECT 1", 'near "INSERT": syntax error'),
        ("SELECT a FROM t; DELETE FROM t", 'near ";": syntax error'),
        ("SELECT a FROM t) LIMIT 0; DELETE FROM t; --", "SQLite says"),
        ("SELECT a FROM t WHERE a > ?", "bindings supplied"),
        ("SELECT a FROM t WHERE a > 'open", "SQLite says"),
        ("SELECT a, b AS a FROM t", "more than one column the name 'a'; .* 'a', 'a'; rename"),
        ("SELECT * FROM t JOIN t AS u USING (id)", "more than one column the name 'a'"),
        ("SELECT a FROM t WHERE a < 0", "no rows"),
        ("SELECT a FROM t LIMIT 0", "no rows"),
        ("SELECT abs(-9223372036854775807 - id) FROM t", "integer overflow"),
    ],
)
def test_bad_sql_changes_nothing(con: sqlite3.Connection, sql: str, words: str) -> None:
    before = con.total_changes
    with pytest.raises(ValueError, match=words) as caught:
        whole(SQLDataset(sql, con))
    if "SQLite says" in str(caught.value):
        assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert con.total_changes == before
    assert not con.in_transaction
    assert con.execute("SELECT count(*) FROM t").fetchone() == (100,)


@pytest.mark.parametrize(
    ("sql", "columns", "count"),
    [
        ("SELECT a FROM t;", ["a"], 100),
        ("SELECT a FROM t ; -- all ; of it", ["a"], 100),
        ("-- first\n/* ; */ SELECT a FROM t -- last", ["a"], 100),
        ("select A from t /* never closed", ["a"], 100),
        ("SELECT rowid FROM t", ["id"], 100),
        ("SELECT a FROM t ORDER BY a LIMIT 7", ["a"], 7),
        ("SELECT sum(a) FROM t GROUP BY label", ["sum(a)"], 3),
        ("SELECT 1 AS ';--\"'", [';--"'], 1),
        ("VALUES (1, 2), (3, 4);", ["column1", "column2"], 2),
        ("SELECT a FROM t UNION ALL SELECT b FROM t", ["a"], 200),
        (
            "WITH RECURSIVE n(k) AS (VALUES (1) UNION SELECT k+1 FROM n LIMIT 9) SELECT k FROM n",
            ["k"],
            9,
        ),
    ],
)
def test_good_sql(con: sqlite3.Connection, sql: str, columns: list[str], count: int) -> None:
    dataset = SQLDataset(sql, con)
    assert list(dataset.columns) == columns
    assert whole(dataset)[0].shape == (count, len(columns))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": "lable"}, ValueError, "unknown target 'lable' .* 'id', 'a', 'b', 'label'"),
        ({"target": ["label", "A"]}, ValueError, "unknown target 'A'"),
        ({"features": ["a", "z"]}, ValueError, "unknown features 'z'"),
        ({"features": ["a", "a"]}, ValueError, "'a' twice"),
        ({"target": ["a", "a"]}, ValueError, "'a' twice"),
        ({"features": ["a"], "target": "a"}, ValueError, "'a' is both"),
        ({"features": []}, ValueError, "no feature is left"),
        ({"target": ["id", "a", "b", "label"]}, ValueError, "no feature is left"),
        ({"features": "a"}, TypeError, r"write \['a'\]"),
        ({"null": "0"}, TypeError, "number that stands for NULL"),
        ({"null": 1e300}, ValueError, "float32's range"),
        ({"null": float("inf")}, ValueError, "float32's range"),
        ({"memory_limit": -1}, ValueError, "memory_limit must be at least 0"),
        ({"memory_limit": 1.5}, TypeError, "whole number"),
        ({"params": 5}, TypeError, r"write \[5\]"),
        ({"params": "abc"}, TypeError, r"write \['abc'\]"),
    ],
)
def test_bad_options(con: sqlite3.Connection, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SQLDataset("SELECT * FROM t", con, **options)
    with pytest.raises(TypeError, match="sql must be a string"):
        SQLDataset(b"SELECT 1", con)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        SQLDataset("SELECT 1", con).pages(0)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT a FROM t WHERE id > ? AND label = ?", [50, 1]),
        ("SELECT a FROM t WHERE id > ? AND label = ?", (50, 1)),
        ("SELECT a FROM t WHERE id > :low AND label = :label LIMIT 99", {"label": 1, "low": 50}),
    ],
)
def test_params_are_bound(con: sqlite3.Connection, sql: str, params: Any) -> None:
    dataset = SQLDataset(sql, con, params=params)
    if isinstance(params, list):
        params.clear()
    expected = I[(I > 50) & (I % 3 == 1)] / 2
    np.testing.assert_array_equal(whole(dataset)[0][:, 0], expected)


def test_a_hostile_parameter_is_only_a_value(con: sqlite3.Connection) -> None:
    sql = "SELECT a FROM t WHERE 'x' || ? <> 'x' LIMIT 3"
    assert len(whole(SQLDataset(sql, con, params=["'; DROP TABLE t; --"]))[0]) == 3
    assert con.execute("SELECT count(*) FROM t").fetchone() == (100,)


def test_the_users_connection_is_left_as_it_was(con: sqlite3.Connection) -> None:
    def row_factory(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

    for factory in (sqlite3.Row, row_factory, lambda cursor, row: None):
        con.row_factory = factory
        con.text_factory = bytes
        con.execute("INSERT INTO t VALUES (0, 0, 0, 0)")
        assert con.in_transaction
        for memory_limit in (0, 2**20):
            sql = "SELECT * FROM t ORDER BY id"
            x, y = whole(SQLDataset(sql, con, target="label", memory_limit=memory_limit))
            assert (len(x), y[0, 0]) == (101, 0)  # type: ignore[index]
        assert con.row_factory is factory
        assert con.text_factory is bytes
        assert con.in_transaction
        con.rollback()


def test_uncommitted_rows_are_seen_on_their_connection_only(path: Path) -> None:
    connection = connect(path)
    connection.execute("INSERT INTO t VALUES (101, 0, 0, 0)")
    assert len(whole(SQLDataset("SELECT a FROM t", connection))[0]) == 101
    assert len(whole(SQLDataset("SELECT a FROM t", path))[0]) == 100
    connection.rollback()
    connection.close()


def test_a_closed_connection() -> None:
    connection = connect(":memory:")
    connection.close()
    with pytest.raises(ValueError, match="closed database"):
        SQLDataset("SELECT 1", connection)


def test_a_connection_that_is_closed_or_lent_to_another_thread(path: Path) -> None:
    connection = connect(path)
    dataset = SQLDataset("SELECT a FROM t", connection, memory_limit=0)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match=r"SQLite says: .* thread"):
        pool.submit(whole, dataset).result()
    connection.close()
    with pytest.raises(ValueError, match=r"SQLite says: .*closed database"):
        next(dataset.pages(8))
    with ThreadPoolExecutor(1) as pool:
        x, _ = pool.submit(whole, SQLDataset("SELECT a FROM t", path)).result()
    assert len(x) == 100


def test_columns_that_change_between_passes(con: sqlite3.Connection) -> None:
    dataset = SQLDataset("SELECT * FROM t", con, memory_limit=0, cache=False)
    whole(dataset)
    con.execute("ALTER TABLE t ADD COLUMN extra REAL")
    with pytest.raises(ValueError, match=r"columns have changed.*'extra'"):
        whole(dataset)


def test_with_class_weight(con: sqlite3.Connection) -> None:
    source = ClassWeighted(SQLDataset("SELECT * FROM t", con, target="label"), {2: 5})
    [page] = source.pages(10)
    assert isinstance(page, Page)
    np.testing.assert_array_equal(page.weight, np.where(I % 3 == 2, 5, 1))
    assert source.rows == 100


def test_importing_does_not_import_sqlite3() -> None:
    code = "import fastnn.data, sys; print('sqlite3' in sys.modules)"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.parametrize(
    ("url", "other"), [("mongodb://me:secret@h/d.c", "MongoDataset"), ("redis://h", "RedisDataset")]
)
def test_a_database_without_sql_is_told_its_dataset(url: str, other: str) -> None:
    with pytest.raises(ValueError, match=f"take fastnn.data.{other}") as error:
        SQLDataset("SELECT 1", url)
    assert "secret" not in str(error.value)

"""A registry on a connection of the user's: in the user's transaction or in one of its own, all or nothing."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn.registry.database import Session
from support.database import connect
from support.registries import Place, file_of, model

ROWS = "SELECT x FROM t ORDER BY x"


def run(con: Any, sql: str, *values: Any) -> None:
    with closing(con.cursor()) as cursor:
        cursor.execute(sql, values)


def rows_of(place: Place) -> list[int]:
    return [row[0] for row in place.run(ROWS)]


def names(place: Place) -> list[str]:
    return [each.name for each in fastnn.registry.open(place.url).list()]


@pytest.fixture
def filled(place: Place) -> Place:
    """A database with a table t of the user's, and one model."""
    place.run("CREATE TABLE t (x INTEGER)")
    fastnn.registry.open(place.url).save(model(1), "old")
    return place


def test_without_a_transaction_it_is_committed_at_once(filled: Place) -> None:
    with closing(filled.connect()) as con:
        registry = fastnn.registry.open(con)
        assert registry.save(model(2), "m") == 1
        assert names(filled) == ["m", "old"]
        assert file_of(registry.load("m")) == file_of(model(2))
        registry.alias("m", "a", 1)
        assert fastnn.registry.open(filled.url).load("m", "a") is not None
        registry.delete("m")
        assert names(filled) == ["old"]
        # Nothing is left open: another may change the tables.
        filled.run("ALTER TABLE fastnn_models ADD COLUMN more INTEGER")


def test_the_commit_is_the_users(filled: Place) -> None:
    with closing(filled.connect()) as con:
        registry = fastnn.registry.open(con)
        run(con, "INSERT INTO t VALUES (1)")
        assert registry.save(model(2), "m", aliases=["a"]) == 1
        assert registry.save(model(3), "m") == 2
        assert file_of(registry.load("m", "a")) == file_of(model(2))
        assert (names(filled), rows_of(filled)) == (["old"], [])
        con.commit()
        assert (names(filled), rows_of(filled)) == (["m", "m", "old"], [1])


def test_what_the_user_takes_back_was_never_there(filled: Place) -> None:
    with closing(filled.connect()) as con:
        registry = fastnn.registry.open(con)
        run(con, "INSERT INTO t VALUES (1)")
        registry.save(model(2), "m")
        registry.save(model(2), "old", aliases=["a"])
        registry.delete("old", 1)
        con.rollback()
        assert (names(filled), rows_of(filled)) == (["old"], [])
        registry = fastnn.registry.open(filled.url)
        assert file_of(registry.load("old")) == file_of(model(1))
        assert registry.list()[0].aliases == ()
        # The number that was taken back was never given: none saw it.
        assert registry.save(model(2), "old") == 2


def test_the_first_save_in_a_transaction(place: Place) -> None:
    place.run("CREATE TABLE t (x INTEGER)")
    with closing(place.connect()) as con:
        registry = fastnn.registry.open(con)
        run(con, "INSERT INTO t VALUES (1)")
        if place.kind == "mariadb":
            with pytest.raises(ValueError, match="no tables yet, and to make them would commit"):
                registry.save(model(), "m")
            con.rollback()
            assert rows_of(place) == []
            assert registry.save(model(), "m") == 1
            return
        assert registry.save(model(), "m") == 1
        con.rollback()
        assert rows_of(place) == names(place) == []
        assert registry.save(model(), "m") == 1
        assert names(place) == ["m"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_save_that_fails_leaves_nothing(filled: Place, nested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Session, *anything: Any) -> None:
        raise KeyboardInterrupt

    with closing(filled.connect()) as con:
        registry = fastnn.registry.open(con)
        if nested:
            run(con, "INSERT INTO t VALUES (1)")
        with monkeypatch.context() as broken:
            broken.setattr(Session, "add_bytes", fails)
            with pytest.raises(KeyboardInterrupt):
                registry.save(model(2), "m")
        # The transaction goes on, with what the user did before.
        if nested:
            run(con, "INSERT INTO t VALUES (2)")
            con.commit()
        assert (names(filled), rows_of(filled)) == (["old"], [1, 2] if nested else [])
        assert registry.save(model(2), "m") == 1
        con.commit()
    assert names(filled) == ["m", "old"]


def test_errors_leave_the_users_transaction(filled: Place) -> None:
    with closing(filled.connect()) as con:
        registry = fastnn.registry.open(con)
        run(con, "INSERT INTO t VALUES (1)")
        for call in (lambda: registry.load("unknown"), lambda: registry.load("old", 7), lambda: registry.delete("x")):
            with pytest.raises(ValueError, match=r"no model|never saved"):
                call()
        run(con, "INSERT INTO t VALUES (2)")
        con.commit()
    assert rows_of(filled) == [1, 2]


def test_a_connection_that_gives_other_rows(filled: Place) -> None:
    if filled.kind == "sqlite":
        con = filled.connect()
        con.row_factory, con.text_factory = sqlite3.Row, bytes
    elif filled.kind == "postgres":
        from psycopg.rows import dict_row

        con = filled.connect(row_factory=dict_row, autocommit=True)
    else:
        from pymysql.cursors import SSDictCursor

        con = filled.connect(cursorclass=SSDictCursor, autocommit=True, binary_prefix=True)
    with closing(con):
        registry = fastnn.registry.open(con)
        assert registry.save(model(2), "ü", notes="é", aliases=["ß"]) == 1
        assert [(each.name, each.notes, each.aliases) for each in registry.list("ü")] == [("ü", "é", ("ß",))]
        assert file_of(registry.load("ü", "ß")) == file_of(model(2))
        assert names(filled) == ["old", "ü"]


def test_a_closed_connection(filled: Place) -> None:
    con = filled.connect()
    registry = fastnn.registry.open(con)
    con.close()
    for call in (lambda: registry.list(), lambda: registry.save(model(), "m"), lambda: fastnn.registry.open(con)):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_connection_that_may_not_write(filled: Place) -> None:
    if filled.kind == "sqlite":
        con = filled.connect()
        con.execute("PRAGMA query_only = ON")
    else:
        con = filled.connect(autocommit=True)
        sql = (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
            if filled.kind == "postgres"
            else ("SET SESSION TRANSACTION READ ONLY")
        )
        run(con, sql)
    with closing(con):
        registry = fastnn.registry.open(con)
        assert file_of(registry.load("old")) == file_of(model(1))
        for call in (
            lambda: registry.save(model(), "m"),
            lambda: registry.alias("old", "a", 1),
            lambda: registry.delete("old"),
        ):
            with pytest.raises(ValueError, match=r"(?i)^the .*'.* cannot be .* says: .*read.?only"):
                call()
        assert [each.name for each in registry.list()] == ["old"]


def test_others_who_keep_it_locked(filled: Place) -> None:
    with closing(filled.connect()) as con:
        if filled.kind == "sqlite":
            con.isolation_level = None
            con.execute("BEGIN IMMEDIATE")
        else:
            run(con, "INSERT INTO t VALUES (1)")
        other = fastnn.registry.open(con)
        other.save(model(2), "old")
        registry = fastnn.registry.open(filled.url, timeout=1)
        with pytest.raises(
            TimeoutError, match=r"^the model 'old' cannot be saved: others have kept .* locked for 1 s; "
        ):
            registry.save(model(3), "old")
        assert [each.version for each in registry.list()] == [1]
        waiting = fastnn.registry.open(filled.url)
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(waiting.save(model(3), "old")))
        thread.start()
        con.commit()
        thread.join()
    assert found == [3]
    assert [file_of(registry.load("old", version)) for version in (1, 2, 3)] == [file_of(model(n)) for n in (1, 2, 3)]


def test_a_transaction_that_sees_an_older_state(filled: Place) -> None:
    """No number is given twice, and the error says what to do."""
    with closing(filled.connect()) as con:
        if filled.kind == "postgres":
            run(con, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        elif filled.kind == "sqlite":
            con.execute("PRAGMA journal_mode = WAL")
            con.execute("BEGIN")
        else:
            run(con, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        with closing(con.cursor()) as cursor:
            cursor.execute("SELECT * FROM fastnn_models")
            cursor.fetchall()
        registry = fastnn.registry.open(con)
        assert fastnn.registry.open(filled.url).save(model(2), "old") == 2
        if filled.kind == "mariadb":  # its lock reads what is there now
            assert registry.save(model(3), "old") == 3
        else:
            with pytest.raises(
                TimeoutError, match="others write there too; roll the open transaction back, do it again"
            ):
                registry.save(model(3), "old")
            con.rollback()
            assert registry.save(model(3), "old") == 3
        con.commit()
    assert [each.version for each in fastnn.registry.open(filled.url).list()] == [1, 2, 3]


def test_a_failed_transaction_of_postgres(filled: Place) -> None:
    if filled.kind != "postgres":
        pytest.skip("only PostgreSQL's transactions fail whole")
    with closing(filled.connect()) as con:
        registry = fastnn.registry.open(con)
        with suppress(Exception):
            run(con, "SELECT nothing")
        with pytest.raises(ValueError, match="open transaction has failed; roll it back first"):
            registry.save(model(), "m")
        con.rollback()
        assert registry.save(model(), "m") == 1


def test_the_file_of_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a b#%.db"
    registry = fastnn.registry.open(path)
    assert registry.list() == []
    with pytest.raises(ValueError, match="no models yet"):
        registry.load("m")
    assert not path.exists()
    assert registry.save(model(), "m") == 1
    assert path.exists()
    assert repr(registry) == f"<Registry {path}>"
    for same in (str(path), bytes(path), f"sqlite:///{path}", f"sqlite:///{path.name}", path.name):
        assert len(fastnn.registry.open(same).list()) == 1
    with pytest.raises(FileNotFoundError, match="create its folder first"):
        fastnn.registry.open(tmp_path / "no" / "m.db")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fastnn.registry.open(f"sqlite:///{tmp_path}")
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(ValueError, match=r"cannot be opened; SQLite says: file is not a database"):
        fastnn.registry.open(path)


def test_sqlite_in_memory_attached_and_without_implicit_transactions() -> None:
    con = connect(":memory:", isolation_level=None)
    con.execute("ATTACH ':memory:' AS other")
    con.execute("CREATE TABLE other.fastnn_models (x)")
    registry = fastnn.registry.open(con)
    assert registry.save(model(), "m") == 1
    assert registry.list()[0].version == 1
    assert not con.in_transaction
    with pytest.raises(ValueError, match="would be a new and empty database"):
        fastnn.registry.open(":memory:")


def test_what_a_killed_writer_left_in_sqlite_is_taken_back(tmp_path: Path) -> None:
    """Its journal: SQLite can take back only on a connection that may write."""
    registry = fastnn.registry.open(tmp_path / "m.db")
    registry.save(model(1), "m")
    con = connect(tmp_path / "m.db", isolation_level=None)
    con.execute("PRAGMA cache_size = 1")
    con.execute("BEGIN IMMEDIATE")
    con.execute("UPDATE fastnn_models SET sha256 = 'half'")
    con.execute("CREATE TABLE big (x)")
    con.executemany("INSERT INTO big VALUES (?)", [(bytes(4000),)] * 50)
    (tmp_path / "copy").mkdir()
    for name in ("m.db", "m.db-journal"):
        (tmp_path / "copy" / name).write_bytes((tmp_path / name).read_bytes())
    con.execute("ROLLBACK")
    left = fastnn.registry.open(tmp_path / "copy" / "m.db")
    assert left.list() == registry.list()
    assert file_of(left.load("m")) == file_of(model(1))

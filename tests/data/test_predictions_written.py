"""How predictions are written: keys as they lie in the database, other connections beside it, tables replaced."""

from __future__ import annotations

import datetime
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset, write_predictions
from support.database import connect, read

ROWS = 100
SQL = "SELECT k, v FROM t"


def first(x: np.ndarray) -> np.ndarray:
    return x[:, :1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with connect(tmp_path / "rows.db") as connection:
        connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(i, i / 4) for i in range(ROWS)])
    connection.close()
    return tmp_path / "rows.db"


def write(con: Any, into: str = "p", sql: str = SQL, **named: Any) -> int:
    predict = named.pop("predict", first)
    return write_predictions(predict, sql, con, into=into, key=named.pop("key", "k"), kind="values", **named)


# Keys.

TYPES = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
KEYS: dict[str, tuple[str, list[str]]] = {  # the declared type, and the keys as SQL
    "times": ("TIMESTAMP", ["'2026-01-31 12:30:05'", "'2026-01-31 12:30:05.000'", "'2026-01-31 12:30:05.000000'"]),
    "dates": ("DATE", ["'2026-01-31'", "'2026-1-31'", "'no date'", "20260131"]),
    "a converter of one's own": ("MINE", ["'a'", "x'61'", "1", "1.5"]),
    "blobs": ("BLOB", ["x''", "x'00'", "x'ff00'", "''", "x'61'", "'a'"]),
    "large": ("INTEGER", ["-9223372036854775808", "9223372036854775807", "9007199254740993", "0"]),
    "reals": ("REAL", ["0.1", "1e308", "-1e-320", "9e999", "3.0"]),
    "any": ("", ["1", "'1'", "x'31'", "1.5", "'1.5'"]),
    "no UTF-8": ("TEXT", ["CAST(x'ff' AS TEXT)", "CAST(x'c3' AS TEXT)", "'é'", "x'ff'"]),
    "texts with a null character": ("TEXT", ["'a' || char(0)", "'a' || char(0, 98)", "'a'"]),
    "truth": ("BOOLEAN", ["0", "1", "'yes'"]),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
@pytest.mark.parametrize("form", ["", "WITHOUT ROWID"])
@pytest.mark.parametrize("text_factory", [str, bytes, lambda raw: raw[::-1]])
def test_keys_as_they_lie_in_the_database(name: str, encoding: str, form: str, text_factory: Any) -> None:
    sqlite3.register_converter("MINE", lambda raw: b"<" + raw + b">")
    sqlite3.register_converter("BOOLEAN", lambda raw: bool(int(raw)))
    kind, keys = KEYS[name]
    if name == "no UTF-8" and encoding != "UTF-8":
        keys = keys[2:]
    connection = connect(":memory:", detect_types=TYPES)
    connection.execute(f"PRAGMA encoding = '{encoding}'")
    connection.execute(f"CREATE TABLE t (k {kind} PRIMARY KEY NOT NULL, v REAL) {form}")
    for number, key in enumerate(keys):
        connection.execute(f"INSERT INTO t VALUES ({key}, {number})")
    connection.commit()
    connection.text_factory = text_factory
    connection.row_factory = sqlite3.Row
    for sql, into in ((SQL, "p"), ('SELECT k AS "k [MINE]", v AS "v [MINE]" FROM t', "q")):
        query_key = SQLDataset(sql, connection).columns[0]
        assert write(connection, into, sql, key=query_key) == len(keys)
        assert (connection.text_factory, connection.row_factory) == (text_factory, sqlite3.Row)
        joined = connection.execute(
            f'SELECT count(*) FROM t JOIN {into} AS p ON p."{query_key}" IS t.k AND typeof(p."{query_key}") = '
            f'typeof(t.k) AND hex(p."{query_key}") = hex(t.k) AND p.prediction = t.v'
        )
        assert tuple(joined.fetchone()) == (len(keys),)
    connection.close()


def test_features_as_they_lie_in_the_database() -> None:
    sqlite3.register_converter("CENTS", lambda raw: float(raw) / 100)
    connection = connect(":memory:", detect_types=TYPES)
    connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v CENTS)")
    connection.execute("INSERT INTO t VALUES (1, 250)")
    assert next(SQLDataset("SELECT v FROM t", connection).pages(1)).x.tolist() == [[250]]
    write(connection)
    assert connection.execute("SELECT prediction FROM p").fetchone() == (250.0,)
    connection.close()


def test_the_order_of_the_query_stays() -> None:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(i, i * 7 % 50) for i in range(50)])
    for sql in (
        "SELECT k, v FROM t ORDER BY v DESC",
        "WITH t2 AS (SELECT * FROM t ORDER BY v LIMIT 40) SELECT k, v FROM t2 ORDER BY -v LIMIT 30;",
        "SELECT k, v FROM t UNION ALL SELECT -k - 1, v FROM t ORDER BY v, k",
        "SELECT max(k) AS k, v % 3 AS v FROM t GROUP BY 2 ORDER BY 1 DESC",
        "VALUES (3, 1), (1, 2), (2, 0)",
    ):
        names = ("column1", "column2") if sql.startswith("VALUES") else ("k", "v")
        expected = connection.execute(sql).fetchall()
        count = write_predictions(first, sql, connection, into="p", key=names[0], kind="values", batch_size=7)
        assert count == len(expected)
        assert connection.execute(f"SELECT {names[0]}, prediction FROM p").fetchall() == [
            (k, float(v)) for k, v in expected
        ]
        dataset = SQLDataset(sql, connection, features=[names[1]])
        assert [row[0] for page in dataset.pages(4) for row in page.x.tolist()] == [float(v) for _, v in expected]
        connection.execute("DROP TABLE p")
    connection.close()


def test_adapters_of_pythons_own_types() -> None:
    code = """
        import sqlite3, numpy as np
        from fastnn.data import write_predictions
        for kind in (int, float, str, bytes):
            sqlite3.register_adapter(kind, lambda value: "changed")
        c = sqlite3.connect(":memory:")
        c.execute("CREATE TABLE t (k PRIMARY KEY, v)")
        c.execute("INSERT INTO t VALUES (1, 1), (1.5, 2), ('a', 3), (x'61', 4)")
        write_predictions(lambda x: x, "SELECT k, v FROM t", c, into="p", key="k", kind="values")
        write_predictions(lambda x: x, "SELECT k, v FROM t", c, into="p", key="k", kind="values", mode="replace")
        rows = c.execute("SELECT count(*) FROM t JOIN p ON p.k IS t.k AND typeof(p.k) = typeof(t.k) AND prediction = v")
        assert rows.fetchone() == (4,), c.execute("SELECT * FROM p").fetchall()
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Other connections.


def beside(path: Path, sql: str, timeout: float = 0.0) -> Callable[[], list[Any]]:
    """Runs a statement on another connection."""

    def run() -> list[Any]:
        other = connect(path, timeout=timeout, isolation_level=None)
        try:
            return other.execute(sql).fetchall()
        finally:
            other.close()

    return run


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_others_read_and_write_while_it_predicts(path: Path, journal: str, batch_size: int) -> None:
    read(path, f"PRAGMA journal_mode = {journal}")
    count, insert = beside(path, "SELECT count(*) FROM t"), beside(path, "INSERT INTO t VALUES (NULL, 0)")
    calls = []

    def predict(x: np.ndarray) -> np.ndarray:
        calls.append(count())
        insert()
        return first(x)

    for con in (path, connect(path)):
        calls.clear()
        write(con, f"p{len(read(path, 'SELECT * FROM sqlite_master'))}", predict=predict, batch_size=batch_size)
        assert len(calls) >= ROWS // batch_size
        if isinstance(con, sqlite3.Connection):
            con.close()


def test_another_writer_is_waited_for(path: Path) -> None:
    """At the beginning, and at the end: as long as the connection's timeout says, not 0.00 seconds."""
    other = connect(path, isolation_level=None, check_same_thread=False)
    waited = []

    def hold(seconds: float) -> threading.Thread:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE t SET v = v WHERE k = 0")
        thread = threading.Timer(seconds, other.execute, ["COMMIT"])
        thread.start()
        return thread

    def predict(x: np.ndarray) -> np.ndarray:
        if len(x) < 30:  # the last batch: from here to the end another one writes
            waited.append(hold(0.2))
        return first(x)

    for number, con in enumerate((path, connect(path, timeout=20), connect(path, isolation_level=None))):
        waited.append(hold(0.2))
        assert write(con, f"p{number}", predict=predict, batch_size=30) == ROWS
        for thread in waited:
            thread.join()
        if isinstance(con, sqlite3.Connection):
            con.close()
    other.close()
    assert read(path, "SELECT count(*) FROM p2") == [(ROWS,)]


def test_a_transaction_of_the_users_waits_too(path: Path) -> None:
    """BEGIN alone holds no lock: the first statement is one that writes, so that SQLite waits for it."""
    other = connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, other.execute, ["COMMIT"])
    connection = connect(path, timeout=20, isolation_level=None)
    connection.execute("BEGIN")
    timer.start()
    for mode in ("create", "replace"):
        assert write(connection, mode=mode) == ROWS
        assert connection.in_transaction
    timer.join()
    assert read(path, "SELECT count(*) FROM sqlite_master") == [(1,)]
    connection.execute("COMMIT")
    assert read(path, "SELECT count(*) FROM p") == [(ROWS,)]
    connection.close()
    other.close()


def test_the_lock_is_looked_for_before_the_work(path: Path) -> None:
    other = connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connection = connect(path, timeout=0)

    def predict(x: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing is to be predicted in vain")

    for begin in (None, "BEGIN"):
        if begin:
            connection.execute(begin)
        with pytest.raises(ValueError, match="cannot be written; SQLite says: database is locked"):
            write(connection, predict=predict)
    connection.rollback()
    other.execute("ROLLBACK")
    read_only = connect(f"{path.as_uri()}?mode=ro", uri=True)
    with pytest.raises(ValueError, match="attempt to write a readonly database"):
        write(read_only, predict=predict)
    with pytest.raises(ValueError, match="reserved"):
        write(connection, "sqlite_p", predict=predict)
    for each in (read_only, connection, other):
        each.close()


def test_half_read_cursors_of_the_user_go_on(path: Path) -> None:
    connection = connect(path)
    reading = connection.execute("SELECT k FROM t ORDER BY k")
    assert reading.fetchone() == (0,)
    write(connection)
    assert [k for (k,) in reading] == list(range(1, ROWS))
    connection.close()


def test_a_table_that_another_has_made_meanwhile(path: Path) -> None:
    make = beside(path, "CREATE TABLE IF NOT EXISTS p (theirs)", timeout=5)
    read(path, "PRAGMA journal_mode = wal")

    def predict(x: np.ndarray) -> np.ndarray:
        make()
        return first(x)

    with pytest.raises(ValueError, match=r"already has 'p' \(table\)"):
        write(path, predict=predict)
    assert read(path, "SELECT name FROM pragma_table_info('p')") == [("theirs",)]


def test_the_wrong_thread(path: Path) -> None:
    connection = connect(path)
    found: list[BaseException] = []

    def run() -> None:
        try:
            write(connection)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert isinstance(found[0], ValueError)
    assert "thread" in str(found[0])
    connection.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the attribute is new in Python 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_autocommit(path: Path, autocommit: bool) -> None:
    connection = connect(path, autocommit=autocommit)  # type: ignore[call-overload]
    for mode in ("create", "replace"):
        assert write(connection, mode=mode) == ROWS
    assert connection.in_transaction is not autocommit
    assert read(path, "SELECT count(*) FROM sqlite_master WHERE name = 'p'") == [(int(autocommit),)]
    connection.commit() if not autocommit else None
    assert read(path, "SELECT count(*) FROM p") == [(ROWS,)]
    connection.close()


# Tables that are replaced.


@pytest.fixture(params=["file", "connection", "transaction"])
def con(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    if request.param == "file":
        yield path
        return
    connection = connect(path, isolation_level=None)
    if request.param == "transaction":
        connection.execute("BEGIN")
    yield connection
    if connection.in_transaction:
        connection.execute("COMMIT")
    connection.close()


def all_of(con: Any, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall() if isinstance(con, sqlite3.Connection) else read(con, sql)


def test_a_cell_that_is_run_twice(con: Any) -> None:
    for shift in (0, 1, 2):
        assert write(con, mode="replace", predict=lambda x, by=shift: first(x) + by) == ROWS
        assert all_of(con, "SELECT min(prediction), count(*) FROM p") == [(shift, ROWS)]
    with pytest.raises(
        ValueError, match=r"already has 'p' \(table\).*or say mode=\"replace\" or \"upsert\" where it has"
    ):
        write(con)
    probabilities = lambda x: np.full((len(x), 2), 0.5, np.float32)  # noqa: E731
    count = write_predictions(
        probabilities, "SELECT k AS other, v FROM t WHERE k < 5", con, into="P", key="other", mode="replace"
    )
    assert count == 5
    columns = all_of(con, "SELECT name FROM pragma_table_info('p')")
    assert columns[:3] == [("other",), ("prediction",), ("probability",)]
    assert all_of(con, "SELECT count(*) FROM sqlite_master WHERE type = 'table'") == [(2,)]


def failing(x: np.ndarray) -> np.ndarray:
    if x[-1, 0] > 20:
        raise KeyboardInterrupt
    return first(x)


def test_a_failure_keeps_the_table_that_was_there(con: Any) -> None:
    write(con)
    before = all_of(con, "SELECT * FROM p"), all_of(con, "SELECT name, sql FROM sqlite_master")
    with pytest.raises(KeyboardInterrupt):
        write(con, mode="replace", predict=failing, batch_size=10)
    with pytest.raises(ValueError, match="must name one row"):
        write(con, sql="SELECT k / 2 AS k, v FROM t", mode="replace", batch_size=10)
    with pytest.raises(ValueError, match="expects finite numbers"):
        write(con, mode="replace", predict=lambda x: first(x) * np.nan)
    assert (all_of(con, "SELECT * FROM p"), all_of(con, "SELECT name, sql FROM sqlite_master")) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k, prediction FROM p",
        "SELECT t.k, v + prediction AS v FROM t JOIN p ON p.k = t.k",
        "SELECT k, v FROM t WHERE k IN (SELECT k FROM p)",
        "SELECT k, v FROM t WHERE EXISTS (SELECT 1 FROM P WHERE p.k = t.k)",
        "SELECT k, (SELECT count(*) FROM p) AS v FROM t",
        "SELECT * FROM reading_p",
        "WITH q AS (SELECT * FROM main.p) SELECT k, prediction FROM q",
        "SELECT k, v FROM t EXCEPT SELECT k, prediction FROM p",
    ],
)
def test_the_table_that_is_read_is_not_replaced(con: Any, sql: str) -> None:
    write(con)
    way = con if isinstance(con, sqlite3.Connection) else connect(con)
    way.execute("CREATE VIEW reading_p AS SELECT k, prediction FROM p")
    if not isinstance(con, sqlite3.Connection):
        way.commit()
        way.close()
    with pytest.raises(ValueError, match=r"the query reads the table '[pP]', which would be replaced"):
        write(con, sql=sql, mode="replace")
    assert all_of(con, "SELECT count(*) FROM p") == [(ROWS,)]
    assert write(con, sql="SELECT k, v AS p FROM t", mode="replace") == ROWS  # a name alone is no reading


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("CREATE TABLE p (k, v)", "has the columns 'k', 'v', which predictions do not have, so it is not replaced"),
        ("CREATE TABLE p (k, prediction, probability, note)", "'note', which predictions do not have"),
        ("CREATE VIEW p AS SELECT k, v AS prediction FROM t", r"already has 'p' \(view\)"),
        ("CREATE INDEX p ON t (v)", r"already has 'p' \(index\)"),
        ("CREATE TEMP TABLE p (k, prediction)", r"already has 'p' \(table\)"),
    ],
)
def test_what_is_not_replaced(path: Path, make: str, words: str) -> None:
    connection = connect(path, isolation_level=None)
    connection.execute(make)
    before = connection.execute("SELECT * FROM sqlite_master").fetchall()
    for begin in (False, True):
        if begin:
            connection.execute("BEGIN")
        with pytest.raises(ValueError, match=words):
            write(connection, mode="replace")
    connection.execute("COMMIT")
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == before
    connection.close()


def test_attached_databases(path: Path) -> None:
    connection = connect(":memory:", isolation_level=None)
    connection.execute("ATTACH ? AS other", [str(path)])
    assert write(connection, sql="SELECT k, v FROM other.t") == ROWS
    assert write(connection, sql="SELECT k, v FROM other.t", mode="replace") == ROWS
    connection.execute("CREATE TABLE other.q (k, prediction)")
    for mode in ("create", "replace"):
        with pytest.raises(ValueError, match=r"already has 'q' \(table\)"):
            write(connection, "q", "SELECT k, v FROM other.t", mode=mode)
    connection.close()


@pytest.mark.parametrize("mode", ["update", "", None, "Replace"])
def test_no_other_mode(path: Path, mode: Any) -> None:
    with pytest.raises(ValueError, match=r"unknown mode .*; known modes: 'create', 'replace', 'upsert'"):
        write(path, mode=mode)


# Where the database lies.


def test_paths_of_bytes(path: Path) -> None:
    assert write(os.fsencode(path)) == ROWS
    assert sum(len(page.x) for page in SQLDataset("SELECT v FROM t", os.fsencode(path)).pages(9)) == ROWS
    with pytest.raises(FileNotFoundError, match="no database file"):
        SQLDataset("SELECT 1 AS a", b"nowhere.db")


CAN_MOUNT = (
    sys.platform == "linux"
    and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to mount")
@pytest.mark.parametrize("left", [False, True], ids=["clean", "with rows in the log"])
def test_a_database_in_wal_mode_on_a_read_only_mount(path: Path, left: bool) -> None:
    writer = connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = wal")
    writer.execute("INSERT INTO t VALUES (NULL, 0)")
    if left:
        files = {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}
    writer.close()
    if left:
        for name, content in files.items():
            (path.parent / name).write_bytes(content)
    code = f"""
from fastnn.data import SQLDataset, write_predictions
rows = SQLDataset("SELECT v FROM t", {str(path)!r})
print(sum(len(page.x) for page in rows.pages(9)))
try:
    write_predictions(lambda x: x, "SELECT k, v FROM t", {str(path)!r}, into="p", key="k", kind="values")
except ValueError as error:
    print(error)
"""
    script = path.parent.parent / "read.py"
    script.write_text(code)
    folder = path.parent
    mounted = f"mount --bind -o ro '{folder}' '{folder}' && exec '{sys.executable}' '{script}'"
    done = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, text=True, check=False)
    if left and done.returncode:
        assert "has rows that are not in it yet" in done.stderr
        return
    lines = done.stdout.splitlines()
    assert lines[0] == str(ROWS + 1), done.stderr
    assert "cannot be written" in lines[1] or "cannot be used" in lines[1]


def test_times_of_the_clock_are_not_converted(path: Path) -> None:
    """The report that this began with: a join on a text of a time lost its rows."""
    sqlite3.register_converter("MOMENT", lambda text: datetime.datetime.fromisoformat(text.decode()))
    connection = connect(path, detect_types=sqlite3.PARSE_DECLTYPES)
    connection.execute("CREATE TABLE s (k MOMENT PRIMARY KEY, v REAL)")
    texts = [f"2026-01-31 12:30:{second:02}" for second in range(30)]
    connection.executemany("INSERT INTO s VALUES (?, 1)", [[text] for text in texts])
    write(connection, sql="SELECT k, v FROM s")
    assert connection.execute("SELECT count(*) FROM s JOIN p USING (k)").fetchone() == (30,)
    assert isinstance(connection.execute("SELECT k FROM s").fetchone()[0], datetime.datetime)
    connection.close()


def test_the_lock_is_short(path: Path) -> None:
    """A writer beside it waits for the copy alone, not for what predicting takes."""
    read(path, "PRAGMA journal_mode = wal")
    wrote = []
    insert = beside(path, "INSERT INTO t VALUES (NULL, 0)", timeout=0)
    finished = threading.Event()

    def others() -> None:
        while not finished.is_set():
            try:
                insert()
                wrote.append(time.perf_counter())
            except sqlite3.OperationalError:
                pass
            time.sleep(0.001)  # what writes without a pause leaves no moment in which another can begin

    thread = threading.Thread(target=others)
    thread.start()
    seen = []

    def predict(x: np.ndarray) -> np.ndarray:
        before = len(wrote)
        while len(wrote) < before + 2:  # it ends only because the other one writes
            time.sleep(0.001)
        seen.append(len(x))
        return first(x)

    try:
        write(path, predict=predict, batch_size=20)
    finally:
        finished.set()
        thread.join()
    assert len(seen) >= ROWS // 20

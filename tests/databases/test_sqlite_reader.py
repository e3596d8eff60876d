"""Rows by SQLite's C interface: the same as by Python's cursors, and errors in the same words."""

from __future__ import annotations

import _thread
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from fastnn.databases import sqlite_native
from fastnn.databases.reader import Text, Wanted
from fastnn.databases.sqlite import SQLiteReader
from fastnn.kernels import cores
from support.database import connect

pytestmark = pytest.mark.skipif(not sqlite_native.is_loaded(), reason="Python keeps SQLite's functions for itself")

ODD: list[Any] = [
    None, 0, 1, -1, 2**24, 2**24 + 1, -(2**24) - 1, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 0.1, 1e-45, 1e-320,
    3.4028235e38, 3.4028236e38, -3.5e38, 1e308, float("inf"), float("-inf"), "", "1", "text", "é\0ü", "😀" * 40, b"",
    b"\xff\0", b"blob" * 30,
]  # fmt: skip


def made(file: Path, rows: list[tuple[Any, ...]], columns: str = "a, b, c", table: str = "t") -> Path:
    connection = connect(file)
    connection.execute(f"CREATE TABLE {table} ({columns})")
    marks = ", ".join("?" * len(columns.split(",")))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    connection.commit()
    connection.close()
    return file


def read(reader: SQLiteReader, wanted: Wanted, native: bool, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(numbers, columns of the others), or the words of the error."""
    with monkeypatch.context() as patch:
        if not native:
            patch.setattr(type(reader.query), "file", lambda query: None)
        try:
            blocks = list(reader.blocks(wanted))
        except ValueError as error:
            return str(error)
    numbers = np.concatenate([block.numbers for block in blocks])
    others = [[value for block in blocks for value in block.others[i]] for i in range(len(wanted.others))]
    return numbers, others


def same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):  # a cursor's rows are looked through twice
        row, later = (int(re.findall(r"in row (\d+) of the query", each)[0]) for each in (one, other))
        return one == other or row < later or (row == later and "whole number" not in one)
    if isinstance(one, str) or isinstance(other, str):
        return False
    texts = [[[v.decode(errors="replace") if type(v) is not bytes and isinstance(v, bytes) else v for v in column]
              for column in each] for each in (one[1], other[1])]  # fmt: skip
    return one[0].tobytes() == other[0].tobytes() and repr(texts[0]) == repr(texts[1])


@pytest.mark.parametrize("seed", range(40))
def test_the_same_rows_and_the_same_errors_as_by_a_cursor(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    numbers: list[Any] = [value for value in ODD if isinstance(value, (int, float)) or (value is None and seed % 2)]
    rows = []
    for row in range(chance.choice([0, 1, 63, 64, 65, 700])):
        fine = [chance.choice(numbers), row % 7, chance.choice(ODD)]
        rows.append(tuple(fine) if chance.random() < 0.999 else (chance.choice(ODD), chance.choice(ODD), "x"))
    file = made(tmp_path / "a.db", [*rows, (0, 0, None)])
    for wanted in (
        Wanted(("a",), ("b",), ("c",), 7.5 if seed % 2 else None),
        Wanted(("b",), ("a",), (), float("nan")),
        Wanted((), (), ("c", "a")),
        Wanted(("b",), (), ("b",)),
    ):
        reader = SQLiteReader("SELECT a, b, c FROM t", file)
        mine, theirs = (read(reader, wanted, native, monkeypatch) for native in (True, False))
        assert same(mine, theirs), (mine, theirs)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT a, b FROM t WHERE a > ? AND b < ?", (3, 1e6)),
        ("SELECT a, b FROM t WHERE a > :low AND c = @text", {"low": 5, "text": "t1"}),
        ("SELECT a, b FROM t WHERE c = ? OR c = ? OR c IS ?", ("t1", b"\x01", None)),
        ("SELECT b, a FROM t ORDER BY c DESC, a LIMIT 100", ()),
        ("SELECT a, b FROM (SELECT * FROM t) WHERE a % 3 = 0", ()),
        ("WITH u AS (SELECT a, b FROM t) SELECT sum(a) AS a, b FROM u GROUP BY b", ()),
        ("VALUES (1, 2), (3, 4)", ()),
    ],
)
def test_queries_with_parameters_and_of_other_forms(
    tmp_path: Path, sql: str, params: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(tmp_path / "a.db", [(i, i % 10, f"t{i % 3}") for i in range(3000)])
    reader = SQLiteReader(sql, file, params)
    wanted = Wanted(reader.columns)
    assert same(read(reader, wanted, True, monkeypatch), read(reader, wanted, False, monkeypatch))


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("ids", ["dense", "sparse", "negative", "deleted", "one", "ends"], ids=str)
def test_ranges_of_rowids_give_all_rows_in_order(
    tmp_path: Path, threads: int, ids: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    known = {
        "dense": np.arange(1, 5001),
        "sparse": np.unique(rng.integers(-(2**62), 2**62, 3000)),
        "negative": np.arange(-2500, 2500),
        "deleted": np.flatnonzero(rng.random(9000) < 0.1),
        "one": np.array([77]),
        "ends": np.array([-(2**63), 0, 2**63 - 1]),
    }[ids]
    monkeypatch.setattr(sqlite_native, "_RANGE", 300)
    monkeypatch.setattr(sqlite_native, "_RANGES", 100)
    monkeypatch.setattr(cores, "default", lambda: threads)
    file = made(tmp_path / "a.db", [(int(i), n % 1000) for n, i in enumerate(known)], "id INTEGER PRIMARY KEY, v")
    numbers, others = read(SQLiteReader("SELECT id, v FROM t", file), Wanted(("v",), (), ("id",)), True, monkeypatch)
    assert others[0] == known.tolist()
    assert numbers[:, 0].tolist() == [n % 1000 for n in range(len(known))]


@pytest.mark.parametrize(
    "create",
    [
        "CREATE TABLE u (rowid, _rowid_, oid)",  # nothing is left that is called the rowid
        "CREATE TABLE u (rowid REAL, b, c)",
        "CREATE TABLE u (a PRIMARY KEY, b, c) WITHOUT ROWID",
        "CREATE VIEW u AS SELECT a, b, c FROM t ORDER BY a DESC",
    ],
)
def test_tables_with_other_rowids_and_views(tmp_path: Path, create: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_native, "_RANGE", 100)
    file = made(tmp_path / "a.db", [(i, -i, i * 2) for i in range(1000)])
    with closing(connect(file)) as connection:
        connection.execute(create)
        if "VIEW" not in create:
            connection.execute("INSERT INTO u SELECT * FROM t")
        connection.commit()
        names = [each[0] for each in connection.execute("SELECT * FROM u").description]
        expected = connection.execute(f"SELECT {', '.join(names)} FROM u").fetchall()
    numbers, _ = read(SQLiteReader("SELECT * FROM u", file), Wanted(names), True, monkeypatch)
    np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize("name", ['"', "select", "a b", "Tä😀", "x'y", "[", "`"])
def test_hostile_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    file = made(tmp_path / "a.db", [(i, 1) for i in range(100)], f"{quoted}, b", quoted)
    monkeypatch.setattr(sqlite_native, "_RANGE", 10)
    numbers, _ = read(SQLiteReader(f"SELECT {quoted}, b FROM {quoted}", file), Wanted((name,)), True, monkeypatch)
    assert numbers[:, 0].tolist() == list(range(100))


@pytest.mark.parametrize("wal", [False, True])
def test_all_threads_see_one_state_beside_a_writer(tmp_path: Path, wal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_native, "_RANGE", 100)
    monkeypatch.setattr(cores, "default", lambda: 3)
    file = made(tmp_path / "a.db", [(0, 0, 0)] * 2000)
    with closing(connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    stop = threading.Event()

    def write() -> None:
        with closing(connect(file, timeout=60)) as connection:
            while not stop.is_set():
                connection.execute("UPDATE t SET a = a + 1")
                connection.commit()
                stop.wait(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        reader = SQLiteReader("SELECT a FROM t", file)
        seen = {float(read(reader, Wanted(("a",)), True, monkeypatch)[0].mean()) for _ in range(30)}
        for mean in seen:
            assert mean == round(mean)
        assert len(seen) > 1
    finally:
        stop.set()
        writer.join()


def test_what_a_connection_has_of_its_own_is_used(tmp_path: Path) -> None:
    """A function, an order of texts, a temporary or attached table, rows that are not committed."""
    file = made(tmp_path / "a.db", [(i, i, i) for i in range(10)])

    def numbers(connection: sqlite3.Connection, sql: str) -> list[float]:
        blocks = list(SQLiteReader(sql, connection).blocks(Wanted(("a",))))
        return [float(each) for block in blocks for each in block.numbers[:, 0]]

    connection = connect(file)
    assert SQLiteReader("SELECT a FROM t", connection).query.file() == str(file)
    connection.create_function("abs", 1, lambda x: -7)
    assert SQLiteReader("SELECT a FROM t", connection).query.file() is None
    assert numbers(connection, "SELECT abs(a) AS a FROM t") == [-7] * 10
    for change in ("CREATE TEMP TABLE u (a)", f"ATTACH '{tmp_path / 'b.db'}' AS other"):
        with closing(connect(file)) as other:
            other.execute(change)
            assert SQLiteReader("SELECT a FROM t", other).query.file() is None
    with closing(connect(file)) as other:
        other.create_collation("backwards", lambda a, b: (a < b) - (a > b))
        assert SQLiteReader("SELECT a FROM t", other).query.file() is None
    with closing(connect(file)) as other:
        other.execute("UPDATE t SET a = 100")
        assert numbers(other, "SELECT a FROM t") == [100] * 10


def test_a_reader_that_is_left_early_leaves_nothing(tmp_path: Path) -> None:
    file = made(tmp_path / "a.db", [(i, i, i) for i in range(200_000)])
    before = _thread._count()
    for sql in ("SELECT a FROM t", "SELECT a FROM t ORDER BY b"):
        blocks = SQLiteReader(sql, file).blocks(Wanted(("a",)))
        next(blocks)
        blocks.close()
    end = time.monotonic() + 30
    while _thread._count() > before and time.monotonic() < end:  # they have said that they end
        time.sleep(0.001)
    assert _thread._count() <= before
    with closing(connect(file, timeout=0)) as connection:
        connection.execute("DROP TABLE t")


def test_a_damaged_file(tmp_path: Path) -> None:
    file = made(tmp_path / "a.db", [(i, i, "x" * 100) for i in range(5000)])
    reader = SQLiteReader("SELECT a, b FROM t WHERE 1", file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"the query failed.*; SQLite says: database disk image is ma"):
        list(reader.blocks(Wanted(("a", "b"))))


AGAIN: list[Any] = [
    None, 7, 2.5, "", "a", "b", "ab", "abcd", "abXd", "abcde", "12345678", "12345679", "123456789", "0123456789abcdef",
    "0123456789abcdeX", "0123456789abcdefg", "é\0ü", "x" * 70, "x" * 69 + "y", b"", b"a", b"abcd", b"12345678", b"\xff",
]  # fmt: skip


def test_texts_and_blobs_that_come_again(tmp_path: Path) -> None:
    """Those of the same bytes are another, and what is no UTF-8 is a text still; no reference is lost or kept."""
    chance = random.Random(1)
    rows = [(chance.choice(AGAIN), chance.choice(AGAIN), 0) for _ in range(20_000)]
    file = made(tmp_path / "a.db", rows)
    connection = connect(file)
    connection.execute("UPDATE t SET b = CAST(x'ff4100' AS TEXT) WHERE rowid % 10 = 0")
    connection.commit()
    connection.text_factory = bytes
    expected = connection.execute("SELECT a, b, typeof(a), typeof(b) FROM t").fetchall()
    kinds = {b"null": type(None), b"integer": int, b"real": float, b"text": str, b"blob": bytes}
    reader = SQLiteReader("SELECT a, b FROM t", file)

    def check() -> None:
        found = [zip(*block.others, strict=True) for block in reader.blocks(Wanted((), (), ("a", "b")))]
        for given, values in zip(chain.from_iterable(found), expected, strict=True):
            for mine, value, kind in zip(given, values, values[2:], strict=False):
                bad = isinstance(mine, Text)
                assert type(mine) is kinds[kind] or (bad and kind == b"text" and b"\xff" in mine)
                assert (mine.encode() if isinstance(mine, str) else mine) == value

    check()
    before = sys.getrefcount(None), sys.getrefcount(0), sys.getallocatedblocks()
    for _ in range(3):
        check()
    after = sys.getrefcount(None), sys.getrefcount(0), sys.getallocatedblocks()
    # One for each value would be 120,000; Python itself keeps some blocks for the next time, 3.12 about a thousand.
    assert all(abs(new - old) < 5000 for old, new in zip(before, after, strict=True))


def test_many_texts_are_forgotten_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text number {i}" for i in range(200_000)]
    file = made(tmp_path / "a.db", [(i, i, text) for i, text in enumerate(texts)])
    _, others = read(SQLiteReader("SELECT c FROM t", file), Wanted((), (), ("c",)), True, monkeypatch)
    assert others[0] == texts


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_a_killed_writer_has_left_half_done_is_undone(tmp_path: Path) -> None:
    file = made(tmp_path / "a.db", [(i, i, i) for i in range(5000)])
    script = f"""
import os, signal, sqlite3
con = sqlite3.connect({str(file)!r})
con.execute("PRAGMA cache_size = 10")
con.execute("UPDATE t SET a = -1")  # more than the cache holds, so some of it is in the file
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-P", "-c", script], check=False)
    assert Path(f"{file}-journal").stat().st_size > 0
    [block] = list(SQLiteReader("SELECT a FROM t WHERE a < 9 OR a > 4990", file).blocks(Wanted(("a",))))
    assert block.numbers[:, 0].tolist() == [*range(9), *range(4991, 5000)]


def test_a_locked_database_and_a_dropped_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(tmp_path / "a.db", [(i, i, i) for i in range(10)])
    reader = SQLiteReader("SELECT a FROM t", file)
    with closing(connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match="SQLite says: database is locked"):
            list(reader.blocks(Wanted(("a",))))
        connection.execute("ROLLBACK")
        assert len(next(reader.blocks(Wanted(("a",)))).numbers) == 10
        connection.execute("DROP TABLE t")
    with pytest.raises(ValueError, match="SQLite says: no such table: t"):
        list(reader.blocks(Wanted(("a",))))


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
def test_ctrl_c_ends_a_query_that_has_no_row_yet(tmp_path: Path) -> None:
    file = made(tmp_path / "a.db", [(1, 1, 1)])
    sql = "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT k FROM n WHERE k < 0"
    data, before = SQLDataset(sql, file), signal.signal(signal.SIGINT, signal.default_int_handler)
    # To the process, as a terminal does: the system then wakes the thread that waits.
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(data.pages(8))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)

"""Parameters of a query: each is bound as what it stands for, or refused with its name."""

from __future__ import annotations

import array
import datetime
import enum
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset, write_predictions
from fastnn.layers import Dense, Input
from fastnn.models import Sequential
from support.database import connect

UTC = datetime.UTC
MOMENT = datetime.datetime(2026, 1, 31, 12, 30, 5)


class Level(enum.IntEnum):
    HIGH = 80


class Name(str):
    __slots__ = ()


# What is given -> what SQLite is to see, and its typeof there.
BOUND: list[tuple[Any, Any, str]] = [
    (80, 80, "integer"),
    (-(2**63), -(2**63), "integer"),
    (True, 1, "integer"),
    (Level.HIGH, 80, "integer"),
    (0.5, 0.5, "real"),
    (float("inf"), float("inf"), "real"),
    ("a", "a", "text"),
    (Name("a"), "a", "text"),
    (b"ab", b"ab", "blob"),
    (bytearray(b"ab"), b"ab", "blob"),
    (memoryview(b"ab"), b"ab", "blob"),
    (array.array("B", b"ab"), b"ab", "blob"),
    (None, None, "null"),
    *((getattr(np, kind)(80), 80, "integer") for kind in ("int8", "int16", "int32", "int64", "uint8", "uint64")),
    *((getattr(np, kind)(0.5), 0.5, "real") for kind in ("float16", "float32", "float64", "longdouble")),
    (np.bool_(True), 1, "integer"),
    (np.False_, 0, "integer"),
    (np.str_("a"), "a", "text"),
    (np.bytes_(b"a"), b"a", "blob"),
    (np.array(80), 80, "integer"),
    (np.array(0.5, np.float32), 0.5, "real"),
    (np.array("a"), "a", "text"),
    (np.ma.array(80), 80, "integer"),
    (np.array(Decimal("0.5"), object), 0.5, "real"),
    (Decimal("80"), 80, "integer"),
    (Decimal("80.00"), 80, "integer"),
    (Decimal("0.25"), 0.25, "real"),
    (Decimal("1E+30"), 1e30, "real"),
    (Fraction(80), 80, "integer"),
    (Fraction(1, 4), 0.25, "real"),
    (datetime.date(2026, 1, 31), "2026-01-31", "text"),
    (MOMENT, "2026-01-31 12:30:05", "text"),
    (MOMENT.replace(microsecond=5), "2026-01-31 12:30:05.000005", "text"),
    (MOMENT.replace(tzinfo=UTC), "2026-01-31 12:30:05+00:00", "text"),
    (MOMENT.time(), "12:30:05", "text"),
    (np.datetime64("2026-01-31"), "2026-01-31", "text"),
    (np.datetime64("2026-01"), "2026-01-01", "text"),
    (np.datetime64("2026-01-31T12:30"), "2026-01-31 12:30:00", "text"),
    (np.datetime64("2026-01-31T12:30:05", "ns"), "2026-01-31 12:30:05", "text"),
    (np.datetime64("2026-01-31T12:30:05.000005", "ns"), "2026-01-31 12:30:05.000005", "text"),
    (np.datetime64("2026-01-31T12:30:05.000000007", "ns"), "2026-01-31 12:30:05.000000007", "text"),
    (np.array("2026-01-31T12:30:05", "M8[ms]"), "2026-01-31 12:30:05", "text"),
]
REFUSED: list[tuple[Any, type[Exception], str]] = [
    (float("nan"), ValueError, "is nan, which SQLite would take for NULL"),
    (np.float32("nan"), ValueError, "would take for NULL"),
    (Decimal("NaN"), ValueError, "would take for NULL"),
    (np.datetime64("NaT", "s"), ValueError, "would take for NULL"),
    (2**63, ValueError, "is 9223372036854775808, beyond the 64 bits"),
    (np.uint64(2**63), ValueError, "beyond the 64 bits"),
    (Fraction(10**400), ValueError, "beyond the range"),
    (np.ma.masked, ValueError, "has a masked value"),
    (1j, TypeError, "a complex number"),
    (np.complex64(1), TypeError, "a complex number"),
    (np.arange(3), TypeError, r"an array of shape \(3,\)"),
    (np.zeros((1,)), TypeError, r"an array of shape \(1,\)"),
    (np.timedelta64(5, "s"), TypeError, "is a duration"),
    (datetime.timedelta(5), TypeError, "a timedelta; SQLite takes"),
    (np.zeros((), "i4,i4"), TypeError, "a ndarray; SQLite takes"),
    ([1], TypeError, r"is \[1\], a list; SQLite takes"),
    ({}, TypeError, "a dict"),
    (object, TypeError, "a type"),
]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, y INTEGER)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(i, i, i % 2) for i in range(100)])
    connection.commit()
    yield connection
    connection.close()


def rows_of(dataset: SQLDataset) -> int:
    return sum(len(page.x) for page in dataset.pages(32))


@pytest.mark.parametrize(("given", "value", "kind"), BOUND)
@pytest.mark.parametrize("named", [False, True])
def test_what_is_bound(connection: sqlite3.Connection, given: Any, value: Any, kind: str, named: bool) -> None:
    where = "WHERE v IS ? AND typeof(v) = ?" if not named else "WHERE v IS :v AND typeof(v) = :kind"
    connection.execute("CREATE TABLE s AS SELECT 1.5 AS a, ? AS v", [value])
    params: Any = {"v": given, "kind": kind} if named else [given, kind]
    assert rows_of(SQLDataset(f"SELECT a FROM s {where}", connection, params=params)) == 1


def test_numbers_of_numpy_choose_the_rows_that_they_name(connection: sqlite3.Connection) -> None:
    for eighty in (np.int64(80), np.float32(80), np.array(80), Decimal(80), np.uint8(80)):
        for params in ([eighty], (eighty,), {"n": eighty}, np.array([eighty])):
            sql = f"SELECT a, y FROM t WHERE id < {':n' if isinstance(params, dict) else '?'}"
            assert rows_of(SQLDataset(sql, connection, target="y", params=params)) == 80
            model = Sequential([Input((1,)), Dense(1)])
            key = sql.replace("a, y", "id, a")
            assert model.predict_sql(key, connection, into="p", key="id", params=params) == 80
            connection.execute("DROP TABLE p")
            count = write_predictions(lambda x: x, key, connection, into="p", key="id", kind="values", params=params)
            assert count == 80
            connection.execute("DROP TABLE p")


@pytest.mark.parametrize(("given", "error", "words"), REFUSED)
def test_what_is_refused(connection: sqlite3.Connection, given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"parameter 2 .*{words}|parameter 2 {words}"):
        SQLDataset("SELECT a FROM t WHERE id < ? AND y = ?", connection, params=[5, given])
    with pytest.raises(error, match=f"parameter :n .*{words}|parameter :n {words}"):
        SQLDataset("SELECT a FROM t WHERE id < :n", connection, params={"n": given})


@pytest.mark.parametrize("params", ["80", b"80", 80, np.int64(80), np.ones((2, 2)), {80}, iter([80])])
def test_what_is_no_list(connection: sqlite3.Connection, params: Any) -> None:
    with pytest.raises(TypeError, match="params must be a sequence or a mapping"):
        SQLDataset("SELECT a FROM t WHERE id < ?", connection, params=params)


def test_times_of_pandas(connection: sqlite3.Connection) -> None:
    pd = pytest.importorskip("pandas")
    connection.execute("CREATE TABLE s AS SELECT 1.5 AS a, '2026-01-31 12:30:05' AS v")
    sql = "SELECT a FROM s WHERE v = ?"
    assert rows_of(SQLDataset(sql, connection, params=[pd.Timestamp(MOMENT)])) == 1
    for missing in (pd.NaT, pd.NA):
        with pytest.raises(ValueError, match="would take for NULL; pass None"):
            SQLDataset(sql, connection, params=[missing])


def test_a_programs_own_adapters_are_asked(connection: sqlite3.Connection) -> None:
    class Cents:
        def __conform__(self, protocol: Any) -> int:
            return 80

    assert rows_of(SQLDataset("SELECT a FROM t WHERE id < ?", connection, params=[Cents()])) == 80
    code = """
import decimal, datetime, sqlite3, numpy as np, warnings
from fastnn.data import SQLDataset
warnings.simplefilter("error")
sqlite3.register_adapter(decimal.Decimal, lambda value: "D" + str(value))
sqlite3.register_adapter(datetime.date, lambda value: value.toordinal())
c = sqlite3.connect(":memory:")
c.execute("CREATE TABLE s AS SELECT 1.5 AS a, 'D1.50' AS d, 719163 AS t")
sql = "SELECT a FROM s WHERE d = ? AND t = ?"
rows = SQLDataset(sql, c, params=[decimal.Decimal("1.50"), datetime.date(1970, 1, 1)])
assert [len(page.x) for page in rows.pages(1)] == [1]
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

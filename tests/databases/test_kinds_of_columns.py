"""What becomes of each kind of column, whichever reader it comes from."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.data import MongoDataset, SQLDataset
from fastnn.data.columns import column_of, iso_text
from support.database import connect
from support.servers import mysql_url

UTC = datetime.UTC
MOMENTS = [datetime.datetime(2013, 1, 5, 14, 0, 0), datetime.datetime(1969, 12, 31, 23, 59, 59, 250_000)]
DAYS = [datetime.date(2013, 1, 5), datetime.date(1583, 1, 1)]
ISO = ["2013-01-05T14:00:00", "1969-12-31T23:59:59.250000"]
ISO_DAYS = ["2013-01-05", "1583-01-01"]


def texts(data: Any, name: str) -> list[str]:
    return [text for block in data.typed({name: "string"}) for text in block[name].tolist()]


def test_iso_text() -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    assert iso_text(datetime.datetime(2013, 1, 5, 1, tzinfo=east)) == "2013-01-04T23:00:00+00:00"
    assert [*map(iso_text, MOMENTS)] == ISO
    assert [*map(iso_text, DAYS)] == ISO_DAYS
    assert iso_text(datetime.time(14, 0, 5)) == "14:00:05"


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "us", "ns"])
def test_arrays_of_dates_are_texts(unit: str) -> None:
    found = column_of(np.array(["2013-01-05T14:00:00", "1970-01-01"], f"M8[{unit}]"), "string", "x")
    midnight = "" if unit == "D" else "T00:00:00"
    assert found.tolist() == ["2013-01-05" if unit == "D" else ISO[0], "1970-01-01" + midnight]
    with pytest.raises(ValueError, match="x has no text at row 4, but a missing value"):
        column_of(np.array(["2013-01-05", "NaT"], f"M8[{unit}]"), "string", "x", 3)
    with pytest.raises(TypeError, match="must hold text"):
        column_of(np.array([1], f"m8[{unit}]"), "string", "x")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_of_dates_are_texts(library: str) -> None:
    made = pytest.importorskip(library, reason=f"frames: pip install {library}")
    column: Any = pd_series(made, MOMENTS) if library == "pandas" else None
    if library == "polars":
        column = made.Series("at", MOMENTS)
    elif library == "pyarrow":
        column = made.chunked_array([MOMENTS])
    assert column_of(column, "string", "x").tolist() == ISO
    if library == "pandas":
        with pytest.raises(ValueError, match="missing value"):
            column_of(pd_series(made, [MOMENTS[0], None]), "string", "x")


def pd_series(pandas: Any, values: list[Any]) -> Any:
    return pandas.Series(pandas.to_datetime(values))


def sqlite_of(tmp_path: Any) -> SQLDataset:
    with connect(tmp_path / "t.db") as con:
        con.execute("CREATE TABLE t (n, moment TIMESTAMP, day DATE)")
        con.executemany("INSERT INTO t VALUES (1, ?, ?)", zip(ISO, ISO_DAYS, strict=True))
    return SQLDataset("SELECT * FROM t", tmp_path / "t.db")


def polars_of(tmp_path: Any) -> SQLDataset:
    polars = pytest.importorskip("polars", reason="a writer of Arrow: pip install polars")
    return SQLDataset(None, polars.DataFrame({"moment": MOMENTS, "day": DAYS}))


def duckdb_of(tmp_path: Any) -> SQLDataset:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
    con = duckdb.connect()
    con.execute("CREATE TABLE t (moment TIMESTAMP, day DATE)")
    con.executemany("INSERT INTO t VALUES (?, ?)", list(zip(MOMENTS, DAYS, strict=True)))
    return SQLDataset("SELECT * FROM t", con)


@pytest.mark.parametrize("dataset", [sqlite_of, polars_of, duckdb_of])
def test_dates_of_each_database_as_text(dataset: Callable[[Any], SQLDataset], tmp_path: Any) -> None:
    data = dataset(tmp_path)
    assert texts(data, "moment") == ISO
    assert texts(data, "day") == ISO_DAYS


def test_dates_of_postgresql_as_text(postgres: str) -> None:
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver: pip install psycopg")
    pytest.importorskip("adbc_driver_postgresql", reason="PostgreSQL's other driver")
    with psycopg.connect(postgres, autocommit=True) as con:
        con.execute("CREATE TABLE t (moment TIMESTAMP, day DATE, zoned TIMESTAMPTZ)")
        con.execute("SET timezone = 'Asia/Tokyo'")
        for row in zip(MOMENTS, DAYS, strict=True):
            con.execute("INSERT INTO t VALUES (%s, %s, '2013-01-05 14:00:00+02')", row)
        for data in (SQLDataset("SELECT * FROM t", con), SQLDataset("SELECT * FROM t", postgres)):
            assert texts(data, "moment") == ISO
            assert texts(data, "day") == ISO_DAYS
            assert texts(data, "zoned") == ["2013-01-05T12:00:00+00:00"] * 2


def test_dates_of_mariadb_as_text(mariadb: dict[str, Any]) -> None:
    import pymysql

    with contextlib.closing(pymysql.connect(**mariadb, autocommit=True)) as con:
        con.cursor().execute("CREATE TABLE t (moment DATETIME(6), day DATE)")
        con.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [*zip(MOMENTS, DAYS, strict=True)])
    data = SQLDataset("SELECT * FROM t", mysql_url(mariadb))
    assert texts(data, "moment") == ISO
    assert texts(data, "day") == ISO_DAYS


def test_dates_of_mongodb_as_text(mongodb: Any) -> None:
    mongodb.t.insert_many([{"moment": moment, "x": 1} for moment in MOMENTS])
    assert texts(MongoDataset(mongodb.t, fields=["x", "moment"]), "moment") == ISO

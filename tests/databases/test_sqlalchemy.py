"""SQLAlchemy's engines, connections and URLs: the rows are those that it gives itself."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from fastnn.databases.addresses import reader_of
from fastnn.databases.reader import Wanted
from fastnn.databases.sqlite import SQLiteReader
from support.servers import mysql_url

sa = pytest.importorskip("sqlalchemy", reason='pip install "fastnn[sqlalchemy]"')


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database with a table of a row for each i of 1 to 3000: i, i / 7, a text."""
    if request.param == "postgresql":
        pytest.importorskip("psycopg", reason='pip install "psycopg[binary]"')
        found = request.getfixturevalue("postgres").replace("postgresql://", "postgresql+psycopg://")
    elif request.param == "mariadb":
        found = mysql_url(request.getfixturevalue("mariadb"), "mysql+pymysql")
    else:
        found = f"sqlite:///{tmp_path / 'a.db'}"
    engine = sa.create_engine(found)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (i INTEGER, s DOUBLE PRECISION, t VARCHAR(20))"))
        rows = [{"i": i, "s": i / 7, "t": f"t{i}"} for i in range(1, 3001)]
        connection.execute(sa.text("INSERT INTO t VALUES (:i, :s, :t)"), rows)
    engine.dispose()
    return str(found)


@pytest.fixture
def engine(url: str) -> Iterator[Any]:
    made = sa.create_engine(url)
    yield made
    made.dispose()


def numbers(sql: str, con: Any, names: list[str], params: Any = None) -> list[list[float]]:
    blocks = reader_of(sql, con, params).blocks(Wanted(names))
    return np.concatenate([np.empty((0, len(names)), "f4"), *(block.numbers for block in blocks)]).tolist()


def test_rows_are_sqlalchemy_s(engine: Any) -> None:
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT i, s FROM t ORDER BY i")).fetchall()
    expected = np.array([tuple(row) for row in rows]).astype("f4").tolist()
    assert numbers("SELECT * FROM t ORDER BY i", engine, ["i", "s"]) == expected
    with engine.connect() as connection:
        assert numbers("SELECT * FROM t ORDER BY i", connection, ["i", "s"]) == expected
        dataset = SQLDataset("SELECT * FROM t ORDER BY i", connection, target="i", features=["s"], memory_limit=0)
        for _ in range(2):
            assert sum(len(page.x) for page in dataset.pages(100)) == 3000
    assert engine.pool.checkedout() == 0


@pytest.mark.parametrize("lent", [False, True])
def test_values_are_bound_by_name(engine: Any, lent: bool) -> None:
    sql = "SELECT i FROM t WHERE i > :least AND i <= :most AND t LIKE 't%' AND :least > 0 AND t <> ':x' ORDER BY i"
    with engine.connect() as connection:
        con = connection if lent else engine
        params = {"least": np.int64(10), "most": 12}
        assert numbers(sql.replace("AND t <> ':x' ", ""), con, ["i"], params) == [[11], [12]]
        assert numbers("SELECT i FROM t WHERE t = :t", con, ["i"], {"t": "t5' OR 1=1 --"}) == []
        with pytest.raises(ValueError, match=r"the values cannot be bound; SQL.*'least'|(?i::least|binding)"):
            reader_of("SELECT i FROM t WHERE i > :least", con, {})


def test_a_connection_that_is_lent_keeps_its_transaction(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("DELETE FROM t WHERE i > 5"))
        assert len(numbers("SELECT i FROM t", connection, ["i"])) == 5
        with pytest.raises(ValueError, match="nope"):
            reader_of("SELECT nope FROM t", connection)
        assert connection.in_transaction()
        if engine.dialect.name != "sqlite":
            assert len(numbers("SELECT i FROM t", engine, ["i"])) == 3000
        connection.rollback()
        assert len(numbers("SELECT i FROM t", connection, ["i"])) == 3000


def test_sqlite_is_read_as_sqlite_is(tmp_path: Path) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t AS SELECT 1.5 AS a"))
        reader = reader_of("SELECT * FROM t", connection)
        assert isinstance(reader, SQLiteReader)
        assert next(reader.blocks(Wanted(["a"]))).numbers.tolist() == [[1.5]]
    assert numbers("SELECT * FROM t", engine, ["a"]) == [[1.5]]
    engine.dispose()


def test_a_url_object_and_a_driver_by_its_name(url: str) -> None:
    assert len(numbers("SELECT i FROM t", sa.make_url(url), ["i"])) == 3000
    if "sqlite" in url:
        assert len(numbers("SELECT i FROM t", url.replace("sqlite:", "sqlite+pysqlite:"), ["i"])) == 3000


def test_a_password_is_nowhere(url: str, engine: Any) -> None:
    assert "s3cret" not in repr(reader_of("SELECT i FROM t", engine).address)
    for wrong in ("nosuch+driver://u:s3cret@h/d", "mysql+nosuch://u:s3cret@h:x/d", "oracle://u:s3cret@h/d"):
        with pytest.raises((ValueError, ImportError), match=r":\*\*\*@h") as caught:
            reader_of("SELECT 1", wrong)
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))

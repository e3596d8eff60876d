"""MariaDB's rows, and those of drivers in general, against what the drivers give themselves."""

from __future__ import annotations

import contextlib
import datetime
import pickle
import traceback
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from fastnn.databases.addresses import reader_of
from fastnn.databases.reader import Wanted
from support.readers import read_query as read
from support.servers import mysql_url


@pytest.fixture
def con(mariadb: dict[str, Any]) -> Iterator[Any]:
    """PyMySQL's connection, which commits each statement."""
    import pymysql

    with contextlib.closing(pymysql.connect(**mariadb, autocommit=True)) as connection:
        yield connection


def execute(con: Any, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with con.cursor() as cursor:
        cursor.execute(sql, params or None)
        return list(cursor.fetchall())


@pytest.fixture(params=["mysql", "mariadb", "mysql+pymysql", "pymysql", "mysql.connector"])
def way(request: pytest.FixtureRequest, mariadb: dict[str, Any]) -> Iterator[Any]:
    """What a user may call the database."""
    import pymysql

    if "connector" in request.param:
        connector = pytest.importorskip("mysql.connector", reason="pip install mysql-connector-python")
        with contextlib.closing(connector.connect(**mariadb, collation="utf8mb4_general_ci")) as connection:
            yield connection
    elif request.param == "pymysql":
        # Whatever the user prefers to see of rows.
        options = {"cursorclass": pymysql.cursors.DictCursor}
        with contextlib.closing(pymysql.connect(**mariadb, **options)) as connection:
            yield connection
    else:
        yield mysql_url(mariadb, request.param)


TYPES = {
    "a": ("TINYINT", [1, -128, None]),
    "b": ("INTEGER UNSIGNED", [1, 2**32 - 1, None]),
    "c": ("BIGINT", [1, -(2**63), None]),
    "d": ("FLOAT", [1.5, -0.25, None]),
    "e": ("DOUBLE", [0.1, -3.4e38, None]),
    "f": ("DECIMAL(30, 3)", [Decimal("12345678901234567890.123"), Decimal("-0.001"), None]),
    "g": ("BOOLEAN", [True, False, None]),
}


def test_numbers_of_each_type(con: Any, way: Any) -> None:
    execute(con, f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, (kind, _) in TYPES.items())})")
    for row in zip(*(values for _, values in TYPES.values()), strict=True):
        execute(con, f"INSERT INTO t VALUES ({', '.join(['%s'] * len(row))})", *row)
    rows = execute(con, "SELECT * FROM t")
    expected = np.array([[-7.0 if value is None else float(value) for value in row] for row in rows]).astype("f4")
    found, others = read("SELECT * FROM t", way, Wanted([*TYPES], others=[*TYPES], null=-7.0))
    np.testing.assert_array_equal(found, expected)
    assert list(zip(*others, strict=True)) == rows
    for name in TYPES:
        with pytest.raises(ValueError, match=f"column '{name}' is NULL in row 3 of the query"):
            read("SELECT * FROM t", way, Wanted([name]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'ü'", "ü"),
        ("x'00ff'", b"\x00\xff"),
        ("DATE '2020-01-02'", datetime.date(2020, 1, 2)),
        ("TIMESTAMP '2020-01-02 03:04:05'", datetime.datetime(2020, 1, 2, 3, 4, 5)),
        ("TIME '-03:04:05'", -datetime.timedelta(hours=3, minutes=4, seconds=5)),
    ],
)
def test_what_is_no_number(way: Any, value: str, expected: Any) -> None:
    [[found]] = read(f"SELECT {value} AS a", way, Wanted([], others=["a"]))[1]
    assert found == expected
    assert type(found) is type(expected)
    with pytest.raises(ValueError, match=r"column 'a' holds .* in row 1 of the query, where a number is expected"):
        read(f"SELECT {value} AS a", way, Wanted(["a"]))


def test_what_float32_does_not_hold(way: Any) -> None:
    with pytest.raises(ValueError, match=r"column 'a' holds 1e[+]39, beyond float32's range of .* in row 1"):
        read("SELECT 1e39 AS a", way, Wanted(["a"]))
    for value in ("16777217", "9007199254740993", "CAST(16777217 AS DECIMAL(20, 2))"):
        with pytest.raises(ValueError, match="target 'a' holds the whole number"):
            read(f"SELECT {value} AS a", way, Wanted([], ["a"]))
    assert read("SELECT CAST(16777216.5 AS DECIMAL(20, 2)) AS a", way, Wanted([], ["a"]))[0].tolist() == [[2**24]]


def test_many_rows_in_their_order(con: Any, way: Any) -> None:
    execute(con, "CREATE TABLE t AS SELECT seq AS i, SIN(seq) AS s, seq % 3 AS y FROM seq_1_to_50000")
    found, _ = read("SELECT * FROM t ORDER BY i DESC", way, Wanted(["i", "s"], ["y"]))
    rows = execute(con, "SELECT i, s, y FROM t ORDER BY i DESC")
    np.testing.assert_array_equal(found, np.array(rows, float).astype("f4"))


def test_values_are_bound_and_percent_signs_are_none(con: Any, way: Any) -> None:
    execute(con, "CREATE TABLE t AS SELECT seq AS i, CONCAT('x', seq) AS t FROM seq_1_to_100")
    for sql, params, rows in (
        ("SELECT i FROM t WHERE i > %s", [np.int64(90)], 10),
        ("SELECT i FROM t WHERE i > %(least)s", {"least": np.float64(98.5)}, 2),
        ("SELECT i FROM t WHERE t = %s", ["x5' OR 1=1 -- "], 0),
        ("SELECT i FROM t WHERE t LIKE 'x9%'", None, 11),
        ("SELECT i FROM t WHERE t LIKE '%s'", None, 0),
    ):
        assert len(read(sql, way, Wanted(["i"]), params)[0]) == rows
    with pytest.raises(ValueError, match="the query cannot be used; MySQL says"):
        reader_of("SELECT i FROM t WHERE i > %s", way)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM t", "the query cannot be used; MySQL says: .*nope"),
        ("DELETE FROM t", "sql must be one SELECT"),
        ("SELECT 1 AS a; DELETE FROM t", "sql must be one SELECT"),
        (r"SELECT '\'' AS a; DELETE FROM t -- '", "sql must be one SELECT"),
        ("SELECT 1 AS a # '\n; DELETE FROM t -- '", "sql must be one SELECT"),
        ("SELECT 1 AS a /*! ; DELETE FROM t */", "sql must be one SELECT"),
        ("SELECT a FROM t INTO OUTFILE '/tmp/fastnn'", "MySQL says"),
        ("SELECT a FROM t /*! INTO OUTFILE '/tmp/fastnn' */", "MySQL says"),
        ("SELECT 1 AS a, 2 AS a", "[Dd]uplicate column name 'a'"),
    ],
)
def test_what_is_not_one_select(con: Any, mariadb: dict[str, Any], sql: str, message: str) -> None:
    execute(con, "CREATE TABLE t AS SELECT 1 AS a")
    for each in (con, mysql_url(mariadb)):
        with pytest.raises(ValueError, match=message):
            reader_of(sql, each)
    assert execute(con, "SELECT COUNT(*) FROM t") == [(1,)]


def test_comments_and_texts_of_mysql(way: Any) -> None:
    sql = "SELECT ';' AS t, 'a\\';# -- ' AS u, 5--1 AS a # it's\n -- ;\n;;"
    found, others = read(sql, way, Wanted(["a"], others=["t", "u"]))
    assert found.tolist() == [[6]]
    assert others == [[";"], ["a';# -- "]]


def test_hostile_names(con: Any, way: Any) -> None:
    names = ["a`; DROP TABLE t; --", "select", "größe", "a'b", 'a"b', "100"]
    columns = ", ".join("`" + name.replace("`", "``") + "` DOUBLE" for name in names)
    execute(con, f"CREATE TABLE `order by` ({columns})")
    execute(con, "INSERT INTO `order by` VALUES (1, 2, 3, 4, 5, 6)")
    assert read("SELECT * FROM `order by`", way, Wanted(names))[0].tolist() == [[1, 2, 3, 4, 5, 6]]


def test_no_rows(con: Any, way: Any) -> None:
    execute(con, "CREATE TABLE t (a DOUBLE, y INTEGER)")
    assert read("SELECT * FROM t", way, Wanted(["a"], ["y"]))[0].shape == (0, 2)
    with pytest.raises(ValueError, match="the query gives no rows: SELECT \\* FROM t;"):
        list(SQLDataset("SELECT * FROM t", way, target="y").pages(3))


def test_a_transaction_of_the_user_s_goes_on(con: Any, mariadb: dict[str, Any]) -> None:
    import pymysql

    execute(con, "CREATE TABLE t (a INTEGER)")
    with contextlib.closing(pymysql.connect(**mariadb)) as lent:
        execute(lent, "INSERT INTO t VALUES (1)")
        assert read("SELECT * FROM t", lent, Wanted(["a"]))[0].tolist() == [[1]]
        left = reader_of("SELECT seq AS a FROM seq_1_to_10000", lent).blocks(Wanted(["a"]))
        next(left)
        left.close()
        assert execute(lent, "SELECT 7") == [(7,)]
        for sql in ("SELECT nope", "SELECT NULL AS a"):
            with pytest.raises(ValueError, match=r"nope|NULL"):
                read(sql, lent, Wanted(["a"]))
        assert execute(con, "SELECT COUNT(*) FROM t") == [(0,)]
        lent.commit()
        assert execute(con, "SELECT COUNT(*) FROM t") == [(1,)]


def test_a_server_that_is_lost_midway(con: Any, mariadb: dict[str, Any]) -> None:
    blocks = reader_of("SELECT seq AS a, seq AS b FROM seq_1_to_3000000", mysql_url(mariadb)).blocks(Wanted(["a", "b"]))
    next(blocks)
    [(own,)] = execute(con, "SELECT CONNECTION_ID()")
    for number, *_ in execute(con, "SHOW PROCESSLIST"):
        if number != own:
            execute(con, f"KILL {number}")
    with pytest.raises(ValueError, match=r"the query failed after \d+ rows; MySQL says: .*(?i:lost connection|killed)"):
        list(blocks)


def test_what_is_left_midway_is_not_read_to_its_end(con: Any, mariadb: dict[str, Any]) -> None:
    blocks = reader_of("SELECT SLEEP(seq > 100000) AS a FROM seq_1_to_200000", mysql_url(mariadb)).blocks(Wanted(["a"]))
    next(blocks)
    blocks.close()  # which does not wait for 100,000 seconds
    assert read("SELECT 1 AS a", mysql_url(mariadb), Wanted(["a"]))[0].tolist() == [[1]]


def test_a_function_that_writes_does_not_by_a_url(con: Any, mariadb: dict[str, Any]) -> None:
    execute(con, "CREATE TABLE t (a INTEGER)")
    execute(con, "CREATE FUNCTION f() RETURNS INTEGER BEGIN INSERT INTO t VALUES (1); RETURN 1; END")
    with pytest.raises(ValueError, match="READ ONLY transaction"):
        read("SELECT f() AS a", mysql_url(mariadb), Wanted(["a"]))
    assert execute(con, "SELECT COUNT(*) FROM t") == [(0,)]


def test_the_password_is_nowhere(mariadb: dict[str, Any]) -> None:
    url = mysql_url(mariadb)
    dataset, reader = SQLDataset("SELECT 1 AS a", url), reader_of("SELECT 1 AS a", url)
    assert "s3cret" not in repr(reader.address) + repr(vars(reader)) + repr(dataset)
    assert not reader.shared
    for each in (reader, dataset):
        with pytest.raises(TypeError):
            pickle.dumps(each)
    wrongs = (url.replace("fastnn:", "nobody:"), url + "?nope=1", url.replace("/test", ":x/test"), url + "x")
    for wrong in (*wrongs, url.replace(f":{mariadb['port']}/", ":1/")):
        with pytest.raises((ConnectionError, ValueError), match=r"fastnn|nobody:\*\*\*@") as caught:
            reader_of("SELECT 1 AS a", wrong)
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_url_without_a_password_reads_in_another_process(mariadb: dict[str, Any], con: Any) -> None:
    execute(con, "CREATE USER IF NOT EXISTS open@'%'")
    execute(con, "GRANT SELECT ON *.* TO open@'%'")
    try:
        url = f"mysql://open@127.0.0.1:{mariadb['port']}/{mariadb['database']}"
        copied = pickle.loads(pickle.dumps(SQLDataset("SELECT 1 AS a, 2 AS y", url, target="y")))
        [page] = copied.pages(1)
        assert page.x.tolist() == [[1]]
    finally:
        execute(con, "DROP USER open@'%'")


class Error(Exception):
    """A driver's."""


class Cursor:
    """A driver that has nothing but what the DB-API asks for, and gives lists."""

    description: Any = None
    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection, self.at = connection, 0

    def execute(self, sql: str, params: Any = None) -> None:
        self.connection.said.append((sql, params))
        if "nope" in sql:
            raise Error("no such column")
        self.description = [("a", None, None, None, None, None, None), ("t", *[None] * 6)]
        self.rows = [] if "WHERE 1 = 0" in sql else self.connection.rows

    def fetchmany(self, size: int) -> list[Any]:
        if self.at >= self.connection.fails:
            raise Error("the line is dead")
        found = self.rows[self.at : self.at + min(size, 700)]
        self.at += len(found)
        return found

    def close(self) -> None:
        self.connection.said.append(("closed", None))


class Connection:
    """As ``Cursor``."""

    Error = Error

    def __init__(self, rows: list[Any], fails: float = float("inf")) -> None:
        self.rows, self.fails, self.said = rows, fails, list[tuple[str, Any]]()

    def cursor(self) -> Cursor:
        return Cursor(self)


@pytest.mark.parametrize("row", [list, tuple])
def test_any_driver(row: Any) -> None:
    con = Connection([row([i, f"t{i}"]) for i in range(5000)])
    found, others = read("SELECT a, t FROM x;", con, Wanted(["a"], others=["t"]))
    assert found.T.tolist() == [list(range(5000))]
    assert others == [[f"t{i}" for i in range(5000)]]
    probe, run = [said for said in con.said if said[0] != "closed"]
    assert probe == ("SELECT * FROM (SELECT a, t FROM x\n) fastnn_query WHERE 1 = 0", None)
    assert run == ("SELECT a, t FROM x", None)
    assert con.said.count(("closed", None)) == 2
    con.said.clear()
    reader_of("SELECT ?", con, (np.int8(3),))
    assert con.said[0][1] == [3]


def test_a_driver_that_fails() -> None:
    with pytest.raises(ValueError, match="the query cannot be used; the database says: no such column; the query is"):
        reader_of("SELECT nope", Connection([]))
    con = Connection([(i, "") for i in range(5000)], fails=2100)
    with pytest.raises(ValueError, match="the query failed after 2100 rows; the database says: the line is dead"):
        read("SELECT a, t FROM x", con, Wanted(["a"]))
    assert con.said[-1] == ("closed", None)


def test_drivers_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for url, module, extra in (
        ("postgresql://h/d", "adbc_driver_manager", "postgres"),
        ("mysql://h/d", "pymysql", "mysql"),
        ("oracle://u:s3cret@h/d", "sqlalchemy", "sqlalchemy"),
        (f"duckdb:///{__file__}", "duckdb", "duckdb"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf'pip install "fastnn\[{extra}\]"') as caught:
            reader_of("SELECT 1", url)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("mark", "like", "params"), [("0", "%", None), ("%s", "%%", [0]), ("%(zero)s", "%%", {"zero": 0})], ids=str
)
def test_a_table_that_grows(con: Any, way: Any, mark: str, like: str, params: Any) -> None:
    execute(con, "CREATE TABLE t (`k%``;` BIGINT, a DOUBLE)")
    dataset = SQLDataset(f"SELECT * FROM t WHERE a >= {mark} AND 'x' LIKE '{like}'", way, params=params, key="k%`;")
    assert dataset.since(None).last is None
    seen: list[float] = []
    last = None
    for first in (1, 4, 9):
        execute(con, f"INSERT INTO t SELECT seq, seq FROM seq_{first}_to_{first + 2}")
        if not isinstance(way, str):
            way.commit()  # a lent connection sees what there was when its transaction began
        part = dataset.since(last)
        last = part.last
        seen += [value for page in part.pages(10) for value in page.x[:, 0]]
    assert seen == [1, 2, 3, 4, 5, 6, 9, 10, 11]
    assert last == 11


def test_a_driver_that_does_not_say_how_values_are_written() -> None:
    with pytest.raises(ValueError, match="CursorReader cannot ask for the rows after a key"):
        reader_of("SELECT a, t FROM x", Connection([])).since("a", 3)

"""PostgreSQL's rows against psycopg's, by ADBC and by psycopg itself."""

from __future__ import annotations

import contextlib
import datetime
import pickle
import time
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

psycopg = pytest.importorskip("psycopg", reason='pip install "psycopg[binary]"')
adbc = pytest.importorskip("adbc_driver_postgresql.dbapi", reason='pip install "fastnn[postgres]"')


@pytest.fixture
def con(postgres: str) -> Iterator[Any]:
    """psycopg's connection, which commits each statement."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture
def lent(postgres: str) -> Iterator[Any]:
    """ADBC's connection."""
    with adbc.connect(postgres) as connection:
        yield connection


@pytest.fixture(params=["url", "adbc", "psycopg", "psycopg with autocommit", "psycopg2"])
def way(request: pytest.FixtureRequest, postgres: str) -> Iterator[Any]:
    """What a user may call the database."""
    if request.param == "url":
        yield postgres
    elif request.param == "psycopg2":
        psycopg2 = pytest.importorskip("psycopg2", reason="pip install psycopg2-binary")
        with contextlib.closing(psycopg2.connect(postgres)) as connection:
            yield connection
    else:
        connect = adbc.connect if request.param == "adbc" else psycopg.connect
        with connect(postgres, autocommit="autocommit" in request.param) as connection:
            yield connection


def mark_of(way: Any) -> str:
    """How a value is written in a query."""
    return "%s" if "psycopg" in type(way).__module__ else "$1"


TYPES = {
    "a": ("smallint", [1, -32768, None]),
    "b": ("integer", [1, 2**31 - 1, None]),
    "c": ("bigint", [1, -(2**63), None]),
    "d": ("real", [1.5, float("inf"), None]),
    "e": ("double precision", [0.1, -3.4e38, None]),
    "f": ("numeric", [Decimal("12345678901234567890.123"), Decimal("-1e-20"), None]),
    "g": ("numeric(12, 2)", [Decimal("9.99"), Decimal("-1234567890.12"), None]),
    "h": ("boolean", [True, False, None]),
}


def test_numbers_of_each_type(con: Any, way: Any) -> None:
    con.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, (kind, _) in TYPES.items())})")
    for row in zip(*(values for _, values in TYPES.values()), strict=True):
        con.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * len(row))})", row)
    rows = con.execute("SELECT * FROM t").fetchall()
    expected = np.array([[-7.0 if value is None else float(value) for value in row] for row in rows]).astype("f4")
    found, others = read("SELECT * FROM t", way, Wanted([*TYPES], others=[*TYPES], null=-7.0))
    np.testing.assert_array_equal(found, expected)
    assert list(zip(*others, strict=True)) == rows
    for name in TYPES:
        with pytest.raises(ValueError, match=f"column '{name}' is NULL in row 3 of the query"):
            read("SELECT * FROM t", way, Wanted([name]))


def test_numbers_that_are_none(con: Any, way: Any) -> None:
    found, _ = read("SELECT 'NaN'::numeric AS a, 'Infinity'::numeric AS b, 'NaN'::real AS c", way, Wanted([*"abc"]))
    np.testing.assert_array_equal(found, [[np.nan, np.inf, np.nan]])
    for value, message in (("1e39::float8", "1e[+]39"), ("1e300::numeric", "Decimal")):
        with pytest.raises(ValueError, match=f"column 'a' holds {message}.* beyond float32's range of .* in row 1"):
            read(f"SELECT {value} AS a", way, Wanted(["a"]))
    for value in ("16777217", "9007199254740993", "16777217::numeric"):
        with pytest.raises(ValueError, match="target 'a' holds the whole number"):
            read(f"SELECT {value} AS a", way, Wanted([], ["a"]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'ü'::text", "ü"),
        ("'ab'::char(3)", "ab "),
        ("'\\x00ff'::bytea", b"\x00\xff"),
        ("'2020-01-02'::date", datetime.date(2020, 1, 2)),
        ("'03:04:05.000006'::time", datetime.time(3, 4, 5, 6)),
        ("'2020-01-02 03:04:05'::timestamp", datetime.datetime(2020, 1, 2, 3, 4, 5)),
        ("'2020-01-02 03:04:05+02'::timestamptz", datetime.datetime(2020, 1, 2, 1, 4, 5, tzinfo=datetime.UTC)),
    ],
)
def test_what_is_no_number_comes_as_it_is(way: Any, value: str, expected: Any) -> None:
    sql = f"SELECT {value} AS a"
    assert read(sql, way, Wanted([], others=["a"]))[1] == [[expected]]
    with pytest.raises(ValueError, match=r"column 'a' holds .* in row 1 of the query, where a number is expected"):
        read(sql, way, Wanted(["a"]))


def test_money_intervals_and_arrays_are_refused_by_adbc(postgres: str) -> None:
    for value, message in (("3.5::money", "type money"), ("'1 day'::interval", "intervals"), ("'{1}'::int[]", "lists")):
        with pytest.raises(ValueError, match=f"column 'a' .*{message}"):
            read(f"SELECT {value} AS a, 1 AS b", postgres, Wanted(["a"]))
        assert read(f"SELECT {value} AS a, 1 AS b", postgres, Wanted(["b"]))[0].tolist() == [[1]]


def test_many_rows_in_their_order(con: Any, way: Any) -> None:
    con.execute("CREATE TABLE t AS SELECT i, sin(i) AS s, i % 3 AS y FROM generate_series(1, 150000) AS i")
    found, _ = read("SELECT * FROM t ORDER BY i DESC", way, Wanted(["i", "s"], ["y"]))
    i = np.arange(150_000, 0, -1)
    rows = con.execute("SELECT s FROM t ORDER BY i DESC").fetchall()
    np.testing.assert_array_equal(found, np.stack([i, [s for (s,) in rows], i % 3], axis=1).astype("f4"))


def test_values_are_bound(con: Any, way: Any, postgres: str) -> None:
    con.execute(
        "CREATE TABLE t AS SELECT i, 'x' || i AS t, '2020-01-01'::date + i AS d FROM generate_series(1, 100000) i"
    )
    place = mark_of(way)
    for condition, value, rows in (
        ("i > {}", np.int64(99_990), 10),
        ("i >= {}", np.float64(2.5), 99_998),
        ("t = {}", "x5", 1),
        ("t = {}", "x5' OR true --", 0),
        ("d = {}", datetime.date(2020, 1, 3), 1),
        ("d = {}", np.datetime64("2020-01-03"), 1),
        ("i % 2 = 0 AND i > {}".replace("%", "%%" if place == "%s" else "%"), 0, 50_000),
    ):
        found, _ = read(f"SELECT i FROM t WHERE {condition.format(place)}", way, Wanted(["i"]), [value])
        assert len(found) == rows
    with pytest.raises(ValueError, match=r"the query cannot be used; PostgreSQL says|the database says"):
        reader_of(f"SELECT i FROM t WHERE i = {place}", way, ["no number"] if place == "$1" else None)


def test_values_that_the_driver_would_crash_on(postgres: str) -> None:
    for value, message in ((None, "write NULL"), (2**70, "64 bits"), ([1], "a list"), (1j, "a complex")):
        with pytest.raises(TypeError, match=f"parameter 2 is .*{message}"):
            reader_of("SELECT $1, $2", postgres, [1, value])
    with pytest.raises(TypeError, match=r"params must be a sequence, for \$1"):
        reader_of("SELECT 1", postgres, {"a": 1})
    with pytest.raises(TypeError, match="params must be a sequence or a mapping, got 'x'"):
        reader_of("SELECT 1", postgres, "x")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM t", "nope"),
        ("DELETE FROM t", "sql must be one SELECT"),
        ("SELECT 1 AS a; DELETE FROM t", "sql must be one SELECT"),
        ("SELECT E'\\'' AS a; DELETE FROM t --'", "sql must be one SELECT"),
        ("SELECT $a$ ' $a$ AS a; DELETE FROM t --'", "sql must be one SELECT"),
        ("SELECT 1 AS a /* /* */ ' */; DELETE FROM t --'", "sql must be one SELECT"),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", "data-modifying"),
        ("SELECT a INTO u FROM t", "INTO"),
        ("SELECT 1 AS a, 2 AS a", "more than one column the name 'a'"),
    ],
)
def test_what_is_not_one_select(con: Any, postgres: str, lent: Any, sql: str, message: str) -> None:
    con.execute("CREATE TABLE t AS SELECT 1 AS a")
    with psycopg.connect(postgres) as connection:
        for way in (postgres, lent, connection):
            with pytest.raises(ValueError, match=message):
                reader_of(sql, way)
    assert con.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
    assert con.execute("SELECT to_regclass('u')").fetchall() == [(None,)]


def test_a_function_that_writes_does_not_by_a_url(con: Any, postgres: str) -> None:
    con.execute("CREATE SEQUENCE s")
    with pytest.raises(ValueError, match=r"cannot execute nextval.* in a read-only transaction"):
        read("SELECT nextval('s') AS a", postgres, Wanted(["a"]))


def test_semicolons_in_texts_and_comments_end_nothing(way: Any) -> None:
    sql = "SELECT ';' AS t, $x$;'$x$ AS u, E'\\';' AS v, /* ; /* ; */ */ 1 AS a -- ;\n;;"
    _, others = read(sql, way, Wanted(["a"], others=["t", "u", "v"]))
    assert others == [[";"], [";'"], ["';"]]


def test_hostile_names(con: Any, way: Any) -> None:
    names = ['a"; DROP TABLE t; --', "select", "größe", " ", "a'b", "100"]
    columns = ", ".join('"' + name.replace('"', '""') + '" float8' for name in names)
    con.execute(f'CREATE TABLE "order by" ({columns})')
    con.execute('INSERT INTO "order by" VALUES (1, 2, 3, 4, 5, 6)')
    assert read('SELECT * FROM "order by"', way, Wanted(names))[0].tolist() == [[1, 2, 3, 4, 5, 6]]


def test_no_rows(con: Any, way: Any) -> None:
    con.execute("CREATE TABLE t (a float8, y integer)")
    found, _ = read("SELECT * FROM t", way, Wanted(["a"], ["y"]))
    assert found.shape == (0, 2)
    with pytest.raises(ValueError, match="the query gives no rows: SELECT \\* FROM t;"):
        list(SQLDataset("SELECT * FROM t", way, target="y").pages(3))


def test_a_query_that_fails_midway(con: Any, way: Any) -> None:
    con.execute("CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 600000) AS i")
    with pytest.raises(
        ValueError, match=r"the query failed after \d+ rows; PostgreSQL says: .*division by zero|database"
    ):
        read("SELECT 1.0 / (a - 590000) AS a FROM t", way, Wanted(["a"]))


@pytest.mark.parametrize("driver", ["adbc", "psycopg"])
def test_a_transaction_of_the_user_s_goes_on(con: Any, postgres: str, driver: str) -> None:
    con.execute("CREATE TABLE t (a integer)")
    connection = (adbc if driver == "adbc" else psycopg).connect(postgres)
    try:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1)")
        found, _ = read("SELECT * FROM t", connection, Wanted(["a"]))
        assert found.tolist() == [[1]]  # which nobody else sees
        left = reader_of("SELECT * FROM generate_series(1, 100000) AS a", connection).blocks(Wanted(["a"]))
        next(left)
        left.close()
        if driver == "psycopg":  # the failure of a query is not one of the transaction's
            with pytest.raises(ValueError, match="nope"):
                reader_of("SELECT nope", connection)
            with pytest.raises(ValueError, match="column 'a' is NULL"):
                read("SELECT NULL::integer AS a", connection, Wanted(["a"]))
        assert con.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
        connection.commit()
        assert con.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
    finally:
        connection.close()


def test_an_idle_connection_of_psycopg_is_idle_again(postgres: str) -> None:
    with psycopg.connect(postgres, row_factory=psycopg.rows.dict_row) as connection:
        found, _ = read("SELECT 5 AS a", connection, Wanted(["a"]))
        assert found.tolist() == [[5]]
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.mark.parametrize("params", [None, [0]])
def test_a_server_that_is_lost_midway(con: Any, postgres: str, params: Any) -> None:
    sql = "SELECT i AS a, i AS b, i AS c FROM generate_series(1, 3000000) AS i"
    blocks = reader_of(sql + " WHERE i > $1" * bool(params), postgres, params).blocks(Wanted([*"abc"]))
    next(blocks)
    con.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
        "current_database()"
    )
    with pytest.raises(ValueError, match=r"the query failed after \d+ rows; PostgreSQL says: .*connection"):
        list(blocks)


def test_nothing_stays_open(con: Any, postgres: str) -> None:
    dataset = SQLDataset("SELECT i AS a FROM generate_series(1, 100000) AS i", postgres, cache=False, memory_limit=0)
    for _ in range(2):
        pages = dataset.pages(1000)
        next(iter(pages))
        pages.close()  # type: ignore[attr-defined]
        assert sum(len(page.x) for page in dataset.pages(1000)) == 100_000
    others = 1
    for _ in range(100):  # the server's process ends somewhat after the connection
        [(others,)] = con.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND state IS DISTINCT FROM NULL AND backend_type = 'client backend'"
        ).fetchall()
        if others == 0:
            break
        time.sleep(0.1)
    assert others == 0


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_a_url_of_each_name_and_its_password_is_nowhere(con: Any, postgres: str, scheme: str) -> None:
    con.execute("DROP ROLE IF EXISTS reader")
    con.execute("CREATE ROLE reader LOGIN PASSWORD 's3cret@/:'")
    try:
        url = postgres.replace("postgresql://postgres:@", f"{scheme}://reader:s3cret%40%2F%3A@")
        dataset = SQLDataset("SELECT 1 AS a", url)
        [page] = dataset.pages(1)
        assert page.x.tolist() == [[1]]
        reader = reader_of("SELECT 1 AS a", url)
        assert "s3cret" not in repr(reader.address) + repr(vars(reader))
        assert not reader.shared
        for each in (reader, dataset):
            with pytest.raises(TypeError):
                pickle.dumps(each)
        for wrong in (url.replace("/test", "/nope/test"), url.replace("reader:", "nobody:")):
            with pytest.raises(ConnectionError, match=r":\*\*\*@.*; the driver says") as caught:
                reader_of("SELECT 1 AS a", wrong)
            assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    finally:
        con.execute("DROP ROLE reader")


@pytest.mark.parametrize("password", ["s3cret@home", "s3cret/home", "s3cret#1", "s3:cret@x"])
def test_a_password_that_is_not_quoted_is_shown_to_nobody(password: str) -> None:
    with pytest.raises(ValueError, match=r"the password in postgresql://u:\*\*\*@h/d must be quoted: %40") as caught:
        reader_of("SELECT 1", f"postgresql://u:{password}@h/d")
    assert "cret" not in str(caught.value)


def test_a_dataset_by_a_url_without_a_password_reads_in_another_process(postgres: str) -> None:
    url = postgres.replace("postgres:@", "postgres@")
    copied = pickle.loads(pickle.dumps(SQLDataset("SELECT 1 AS a, 2 AS y", url, target="y")))
    [page] = copied.pages(1)
    assert page.x.tolist() == [[1]]


@pytest.mark.parametrize("given", [False, True])
def test_a_table_that_grows(con: Any, way: Any, given: bool) -> None:
    con.execute('CREATE TABLE t ("k%"";" timestamp, a float8)')
    mark = mark_of(way) if given else "0"
    like = "%" if not given or mark == "$1" else "%%"
    sql = f"SELECT * FROM t WHERE a > {mark} AND 'x' LIKE '{like}'"
    dataset = SQLDataset(sql, way, params=[0.0] if given else None, key='k%";')
    assert dataset.since(None).last is None
    seen: list[float] = []
    last = None
    for first in (1, 4, 9):
        con.execute(
            f"INSERT INTO t SELECT '2020-01-01'::timestamp + i * interval '1 d', i FROM generate_series({first}, "
            f"{first + 2}) AS i"
        )
        part = dataset.since(last)
        con.execute("INSERT INTO t VALUES ('2021-01-01', 7)")
        last = part.last
        seen += [value for page in part.pages(10) for value in page.x[:, 0]]
        con.execute("DELETE FROM t WHERE a = 7")
    assert seen == [1, 2, 3, 4, 5, 6, 9, 10, 11]
    assert last == datetime.datetime(2020, 1, 12)

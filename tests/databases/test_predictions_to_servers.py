"""Predictions of rows in SQLite, written to PostgreSQL, MariaDB and DuckDB."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import layers as L
from fastnn.data import write_predictions
from fastnn.databases import staged
from fastnn.explain import explain_sql
from fastnn.models import Sequential
from support import servers
from support.database import connect

ROWS = 100
SQL = "SELECT k, v FROM t"


def first(x: np.ndarray) -> np.ndarray:
    return x[:, :1]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    with closing(connect(tmp_path / "rows.db")) as connection:
        connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(i, i / 4) for i in range(ROWS)])
        connection.commit()
    return tmp_path / "rows.db"


class Server:
    """An open connection, and what differs in looking at it."""

    def __init__(self, name: str, con: Any, quote: str, again: Callable[[], Any], url: str) -> None:
        self.name, self.con, self.quote, self.again, self.url = name, con, quote, again, url

    def quoted(self, name: str) -> str:
        return self.quote + name.replace(self.quote, 2 * self.quote) + self.quote

    def all(self, sql: str, own: bool = True) -> list[tuple[Any, ...]]:
        """The rows of a statement, on a connection beside it, which sees what was committed alone."""
        other = self.con if own else self.again()
        cursor = other if self.name == "duckdb" else other.cursor()
        try:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            if not own:
                other.close()

    def do(self, sql: str) -> None:
        cursor = self.con if self.name == "duckdb" else self.con.cursor()  # which is a connection there
        cursor.execute(sql)

    def tables(self) -> list[str]:
        schema = {"mariadb": "DATABASE()", "duckdb": "'main'"}.get(self.name, "'public'")
        sql = f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}"
        return sorted(name for (name,) in self.all(sql))


@pytest.fixture(params=["postgres", "mariadb", "duckdb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "postgres":
        psycopg = pytest.importorskip("psycopg", reason='PostgreSQL\'s driver: pip install "psycopg[binary]"')
        url = request.getfixturevalue("postgres")
        con, quote, again = psycopg.connect(url, autocommit=True), '"', lambda: psycopg.connect(url)
    elif request.param == "mariadb":
        pymysql = pytest.importorskip("pymysql", reason="MariaDB's driver: pip install PyMySQL")
        options = request.getfixturevalue("mariadb")
        con, quote, again = pymysql.connect(**options, autocommit=True), "`", lambda: pymysql.connect(**options)
        url = servers.mysql_url(options)
    else:
        duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
        file = str(tmp_path / "scores.duckdb")
        con, quote = duckdb.connect(file), '"'
        again, url = lambda: server.con.cursor(), f"duckdb:///{file}"
    server = Server(request.param, con, quote, again, url)
    yield server
    with contextlib.suppress(Exception):  # it is closed
        server.con.close()


def write(path: Path, server: Server, into: str = "p", sql: str = SQL, **named: Any) -> int:
    predict, key = named.pop("predict", first), named.pop("key", "k")
    named = {"kind": "values", "batch_size": 10, "identity": b"first", "outputs": ["prediction"], **named}
    return write_predictions(predict, sql, path, to=server.con, into=into, key=key, **named)


EXPECTED = [(i, i / 4) for i in range(ROWS)]


def test_created_replaced_and_added_to(path: Path, server: Server) -> None:
    assert write(path, server, model="it's 100%", version=3) == ROWS
    assert server.all("SELECT k, prediction FROM p ORDER BY k", own=False) == EXPECTED
    [(model, version, at)] = server.all("SELECT DISTINCT model, model_version, predicted_at FROM p")
    assert (model, version) == ("it's 100%", "3")
    at = at if at.tzinfo else at.replace(tzinfo=datetime.UTC)
    assert abs(datetime.datetime.now(datetime.UTC) - at) < datetime.timedelta(seconds=60)
    with pytest.raises(ValueError, match=r"already has 'p'; .*or \"upsert\""):
        write(path, server, predict=lambda x: 1 / 0)
    assert write(path, server, sql=f"{SQL} WHERE k < 50", mode="replace", predict=lambda x: first(x) + 1) == 50
    assert server.all("SELECT count(*), min(prediction) FROM p", own=False) == [(50, 1.0)]
    assert write(path, server, sql=f"{SQL} WHERE k >= 40", mode="upsert", predict=lambda x: first(x) + 1000) == 60
    expected = [(i, i / 4 + (1 if i < 40 else 1000)) for i in range(ROWS)]
    assert server.all("SELECT k, prediction FROM p ORDER BY k", own=False) == expected
    assert server.tables() == ["p"]
    assert list((path.parent / "cache").iterdir()) == []


@pytest.mark.parametrize("mode", ["create", "replace", "upsert"])
def test_classes_and_no_rows(path: Path, server: Server, mode: str) -> None:
    probabilities = lambda x: np.tile(np.float32([0.25, 0.75]), (len(x), 1))  # noqa: E731
    assert write(path, server, kind="classes", outputs=(), predict=probabilities, mode=mode) == ROWS
    assert server.all("SELECT DISTINCT prediction, probability FROM p") == [(1, 0.75)]
    assert write(path, server, "q", sql=f"{SQL} WHERE k < 0", mode=mode) == 0
    assert server.all("SELECT count(*) FROM q") == [(0,)]


def test_explanations(path: Path, server: Server) -> None:
    """Rows of SQLite explained into a server's table, with a name that has to be quoted."""
    model = Sequential([L.Dense(1, input_shape=(1,), name="d")])
    model.set_weights([np.float32([[2.0]]), np.float32([0.5])])
    sql = 'SELECT k, v AS "a `b`" FROM t'
    background = f"{sql.replace('k, ', '')} WHERE v IN (1, 3)"
    named: dict[str, Any] = {"to": server.con, "into": "why", "key": "k", "background": background}
    for mode in ("create", "replace", "upsert"):
        assert explain_sql(model, sql, path, method="exact", mode=mode, version=mode, **named) == ROWS
        because = server.quoted("because_a `b`")
        found = server.all(f"SELECT k, prediction, base_value, {because}, model_version FROM why ORDER BY k", own=False)
        assert found == [(i, i / 2 + 0.5, 4.5, i / 2 - 4, mode) for i in range(ROWS)]
    assert server.tables() == ["why"]


KEYS = {
    "texts": ("'ü' || k", lambda i: f"ü{i}"),
    "reals": ("k + 0.5", lambda i: i + 0.5),
    "reals and whole numbers": ("iif(k % 2, k, k + 0.5)", lambda i: i if i % 2 else i + 0.5),
    "blobs": ("CAST('b' || k AS BLOB)", lambda i: f"b{i}".encode()),
    "large": ("9223372036854775807 - k", lambda i: 2**63 - 1 - i),
    "descending": ("-k", lambda i: -i),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys(path: Path, server: Server, name: str) -> None:
    sql, key = KEYS[name]
    for mode in ("create", "upsert"):
        assert write(path, server, sql=f"SELECT {sql} AS k, v FROM t", mode=mode) == ROWS
    found = server.all("SELECT k, prediction FROM p ORDER BY prediction")
    assert [(bytes(k) if name == "blobs" else k, v) for k, v in found] == [(key(i), i / 4) for i in range(ROWS)]


def test_keys_that_no_column_holds(path: Path, server: Server) -> None:
    with pytest.raises(ValueError, match=r"the keys 'k' are of the types 'integer', 'text'|'text', 'integer'"):
        write(path, server, sql="SELECT iif(k % 2, k, 'a' || k) AS k, v FROM t")
    with pytest.raises(ValueError, match="UTF-8"):
        write(path, server, sql="SELECT CAST(x'ff' || k AS TEXT) AS k, v FROM t")
    assert server.tables() == []


@pytest.mark.parametrize("name", ['x"; DROP TABLE t; --', "it's", "two words", "Größe", "table", "100%", "`"])
def test_hostile_names(path: Path, server: Server, name: str) -> None:
    alias = '"' + name.replace('"', '""') + '"'
    sql = f"SELECT k AS {alias}, v FROM t"
    for mode in ("create", "replace", "upsert"):
        assert write(path, server, name, sql, key=name, mode=mode) == ROWS
    found = server.all(f"SELECT {server.quoted(name)}, prediction FROM {server.quoted(name)} ORDER BY 1")
    assert found == EXPECTED
    assert server.tables() == [name]


def test_what_is_no_table_of_predictions(path: Path, server: Server) -> None:
    server.do("CREATE TABLE p (k INTEGER PRIMARY KEY, theirs INTEGER)")
    server.do("INSERT INTO p VALUES (1, 2)")
    for mode in ("create", "replace", "upsert"):
        with pytest.raises(ValueError, match=r"already has 'p'|not those of these predictions"):
            write(path, server, mode=mode, predict=lambda x: 1 / 0)
    assert server.all("SELECT * FROM p") == [(1, 2)]


def test_a_failure_changes_nothing(path: Path, server: Server) -> None:
    write(path, server)
    keys = "iif(k < 90, 'a' || k, CAST(x'ff' || k AS TEXT))"
    for mode in ("replace", "upsert"):
        with pytest.raises(ValueError, match="UTF-8"):
            write(path, server, sql=f"SELECT {keys} AS k, v + 1 FROM t", mode=mode)
        assert server.all("SELECT k, prediction FROM p ORDER BY k", own=False) == EXPECTED
        assert server.tables() == ["p"]


def test_an_ended_run_is_gone_on_with(path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "SECONDS", 0.0)
    seen: list[int] = []

    def ending(x: np.ndarray) -> np.ndarray:
        if len(seen) == 6:
            raise KeyboardInterrupt
        seen.append(len(x))
        return first(x)

    with pytest.raises(KeyboardInterrupt):
        write(path, server, predict=ending)
    assert server.tables() == []
    assert len(list((path.parent / "cache").iterdir())) >= 1
    again: list[int] = []
    assert write(path, server, predict=lambda x: (again.append(len(x)), first(x))[1]) == ROWS
    assert sum(again) == ROWS - sum(seen)
    assert server.all("SELECT k, prediction FROM p ORDER BY k", own=False) == EXPECTED
    assert list((path.parent / "cache").iterdir()) == []


def test_a_transaction_of_the_users(path: Path, server: Server) -> None:
    server.do("BEGIN")
    if server.name == "mariadb":
        with pytest.raises(ValueError, match="commit first"):
            write(path, server)
        server.do("ROLLBACK")
        assert server.tables() == []
        return
    server.do("CREATE TABLE theirs (a INTEGER)")
    for mode in ("create", "replace", "upsert"):
        assert write(path, server, mode=mode) == ROWS
    assert server.tables() == ["p", "theirs"]
    server.do("ROLLBACK")
    assert server.tables() == []


def test_a_connection_that_is_closed(path: Path, server: Server) -> None:
    server.con.close()
    with pytest.raises(ValueError, match=r"cannot be written; .* says"):
        write(path, server)


def test_a_connection_that_is_lost_costs_no_prediction(path: Path, server: Server) -> None:
    if server.name == "duckdb":
        pytest.skip("it is no server")
    kill, number = {
        "postgres": ("SELECT pg_terminate_backend({})", "SELECT pg_backend_pid()"),
        "mariadb": ("KILL {}", "SELECT connection_id()"),
    }[server.name]
    [(process,)] = server.all(number)
    write(path, server)

    def killing(x: np.ndarray) -> np.ndarray:
        if len(seen) == 3:
            with contextlib.closing(server.again()) as other, other.cursor() as cursor:
                cursor.execute(kill.format(process))
        seen.append(len(x))
        return first(x) + 1

    seen: list[int] = []
    with pytest.raises(ValueError, match=r"cannot be written; .* says"):
        write(path, server, predict=killing, mode="replace", identity=b"other")
    assert sum(seen) == ROWS
    server.con = server.again()
    server.con.autocommit(True) if server.name == "mariadb" else setattr(server.con, "autocommit", True)
    assert server.all("SELECT k, prediction FROM p ORDER BY k") == EXPECTED
    assert write(path, server, predict=lambda x: 1 / 0, mode="replace", identity=b"other") == ROWS
    assert server.all("SELECT k, prediction - 1 FROM p ORDER BY k") == EXPECTED
    assert server.tables() == ["p"]


# Rows that are there too.


@pytest.fixture
def source(server: Server) -> Server:
    server.do("CREATE TABLE t (k INTEGER PRIMARY KEY, v DOUBLE PRECISION)")
    server.do("INSERT INTO t VALUES " + ", ".join(f"({i}, {i / 4})" for i in range(ROWS)))
    return server


@pytest.mark.parametrize("way", ["connection", "url"])
def test_a_table_beside_the_one_that_is_read(path: Path, source: Server, way: str) -> None:
    if (source.name, way) == ("postgres", "url"):
        pytest.importorskip("adbc_driver_postgresql", reason="pip install adbc-driver-manager adbc-driver-postgresql")
    if (source.name, way) == ("duckdb", "url"):
        source.con.close()  # one process may have one instance, of one configuration
    con = source.con if way == "connection" else source.url
    for mode in ("create", "replace", "upsert"):
        count = write_predictions(
            first, "SELECT k, v FROM t ORDER BY k", con, into="p", key="k", kind="values", mode=mode, batch_size=30
        )
        assert count == ROWS
    for mode in ("replace", "upsert"):
        with pytest.raises(ValueError, match="the query names the table 'p'"):
            write_predictions(
                first, "SELECT k, prediction AS v FROM p", con, into="p", key="k", kind="values", mode=mode
            )
    for mode in ("create", "replace", "upsert"):
        with pytest.raises(ValueError, match=r"already has 't'|not those of these predictions"):
            write_predictions(first, "SELECT k, v FROM t", con, into="t", key="k", kind="values", mode=mode)
    if (source.name, way) == ("duckdb", "url"):
        import duckdb

        source.con = duckdb.connect(con.removeprefix("duckdb:///"))
    assert source.all("SELECT k, prediction FROM p ORDER BY k", own=False) == EXPECTED
    assert source.all("SELECT k, v FROM t ORDER BY k", own=False) == EXPECTED


def test_from_a_server_into_sqlite(path: Path, source: Server) -> None:
    write_predictions(first, "SELECT k, v FROM t ORDER BY k", source.con, into="p", key="k", kind="values", to=path)
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT k, prediction FROM p").fetchall() == EXPECTED


def test_keys_that_are_staged_nowhere(path: Path, source: Server) -> None:
    sql = "SELECT CAST('2026-01-31' AS DATE) AS k, v FROM t"
    with pytest.raises(ValueError, match=r"the key 'k' is .* in row 1 of the query, a date, where .* CAST it"):
        write_predictions(first, sql, source.con, into="p", key="k", kind="values")


def test_no_server_and_no_password_in_the_message(path: Path) -> None:
    pytest.importorskip("psycopg")
    pytest.importorskip("pymysql")
    for url in ("postgresql://me:s3cret@127.0.0.1:9/shop", "mysql://me:s3cret@127.0.0.1:9/shop"):
        with pytest.raises(ConnectionError) as refused:
            write_predictions(first, SQL, path, into="p", key="k", kind="values", to=url)
        assert "s3cret" not in str(refused.value)
        assert "me:***@127.0.0.1:9" in str(refused.value)
        assert refused.value.__cause__ is None


def test_what_is_no_database(path: Path) -> None:
    for named, words in (
        ({"to": 5}, "to must be a path, a URL or"),
        ({"con": 5}, "con must be .*; or pass such a one"),
    ):
        arguments = {"con": path, "into": "p", "key": "k", "kind": "values", **named}
        with pytest.raises(TypeError, match=words):
            write_predictions(first, SQL, arguments.pop("con"), **arguments)

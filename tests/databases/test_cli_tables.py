"""``--table`` and ``--since last`` of the command in every database; no password is shown or kept."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastnn.cli import main
from fastnn.layers import Concatenate, Dense, Input, StringLookup
from fastnn.models import Model, load_model
from support.database import connect, read
from support.servers import mysql_url

SECRET = ("s3cret", "s3cret@/:", "s3cret%40%2F%3A")
NAMES = ["order", 'it"s `a` [table]', "Größe; DROP TABLE t -- 50% 'off' ?", "$1 :a %s.b"]


class Place(NamedTuple):
    """A database: its URL, what runs a statement in it, and how it quotes names."""

    url: str
    run: Callable[[str], list[tuple[Any, ...]]]
    mark: str

    def quoted(self, name: str) -> str:
        return self.mark + name.replace(self.mark, 2 * self.mark) + self.mark


def ran(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        with contextlib.suppress(Exception):  # DuckDB's, which has no transaction
            connection.commit()
        return rows


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "mysql", "mysql+mysqlconnector"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        path = tmp_path / "shop.db"
        connect(path).execute("CREATE TABLE other (a)").connection.commit()
        yield Place(f"sqlite:///{path}", lambda sql: ran(connect(path), sql), '"')
    elif request.param == "duckdb":
        duckdb = pytest.importorskip("duckdb", reason="pip install duckdb")
        path = tmp_path / "shop.duckdb"
        duckdb.connect(path).close()
        yield Place(f"duckdb:///{path}", lambda sql: ran(duckdb.connect(path), sql), '"')
    elif request.param == "postgres":
        psycopg = pytest.importorskip("psycopg", reason='pip install "psycopg[binary]"')
        pytest.importorskip("adbc_driver_postgresql", reason="pip install adbc-driver-postgresql")
        url = request.getfixturevalue("postgres")
        url = url.replace("postgres:@", "postgres:s3cret@")  # which a server that trusts everybody does not ask for
        yield Place(url, lambda sql: ran(psycopg.connect(url), sql), '"')
    else:
        options = request.getfixturevalue("mariadb")
        import pymysql

        if "+mysqlconnector" in request.param:
            pytest.importorskip("mysql.connector", reason="pip install mysql-connector-python")
            pytest.importorskip("sqlalchemy", reason="pip install sqlalchemy")
        yield Place(mysql_url(options, request.param), lambda sql: ran(pymysql.connect(**options), sql), "`")


def filled(place: Place, table: str, columns: tuple[str, str, str], first: int, last: int) -> None:
    key, a, y = map(place.quoted, columns)
    name = place.quoted(table)
    if first == 1:
        place.run(f"CREATE TABLE {name} ({key} BIGINT PRIMARY KEY, {a} DOUBLE PRECISION, {y} DOUBLE PRECISION)")
    place.run(
        f"INSERT INTO {name} VALUES {', '.join(f'({i}, {i % 7}.5, {2 * (i % 7)})' for i in range(first, last + 1))}"
    )


def clean(capsys: pytest.CaptureFixture[str], *files: Path) -> tuple[str, str]:
    out, err = capsys.readouterr()
    for secret in SECRET:
        assert secret not in out + err
        for file in files:
            assert secret.encode() not in file.read_bytes()
    return out, err


@pytest.mark.parametrize("table", NAMES)
def test_a_table_by_its_name(place: Place, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = table not in NAMES[:1]
    columns = ('i"d`', "a %s ] '", "y ?") if hostile else ("id", "a", "y")
    filled(place, table, columns, 1, 60)
    out = tmp_path / "model.fastnn"
    status = main(
        ["train", "--data", place.url, "--table", table, "--target", columns[2], "--key", columns[0], "--hidden", "",
         "--epochs", "2", "--out", str(out), "--json"]
    )  # fmt: skip
    said, err = clean(capsys, out)
    assert status == 0, err
    if "mysqlconnector" in place.url and "%s" in table:  # which the driver itself takes for a value
        assert f"the last {columns[0]} is not kept in the model" in err
        return
    assert "is not kept" not in err
    trained = json.loads(said)
    assert load_model(out).feature_names == (columns[1],)
    # Only the rows that came since, with what the model remembers.
    filled(place, table, columns, 61, 90)
    assert main(["train", "--data", place.url, "--out", str(out), "--resume", "--since", "last", "--json"]) == 0
    said, err = clean(capsys, out)
    assert 0 < json.loads(said)["rows"] < 30 < trained["rows"] < 60
    assert load_model(out).description.notes["trained"]["last"] == "90"
    assert main(["evaluate", str(out), "--data", place.url, "--table", table, "--json"]) == 0
    assert json.loads(clean(capsys)[0])["rows"] == 90
    # The target is no column that a model reads, and the table has it.
    into = ["--into", "guesses", "--key", columns[0]]
    assert main(["predict", str(out), "--data", place.url, "--table", table, *into]) == 0
    shown = place.url.replace("s3cret%40%2F%3A", "***").replace("s3cret", "***")
    assert clean(capsys)[0] == f"90 predictions are in the table guesses of {shown}\n"
    assert place.run("SELECT COUNT(*) FROM guesses") == [(90,)]


KEYS = {
    "DATE": ("DATE '2026-01-01' + {0}", "DATE '2026-01-01' + INTERVAL {0} DAY", "2026-03-02", "date"),
    "TIMESTAMP": (
        "TIMESTAMP '2026-01-01 00:00:00.000001' + {0} * INTERVAL '1 day'",
        "TIMESTAMP'2026-01-01 00:00:00.000001' + INTERVAL {0} DAY",
        "2026-03-02 00:00:00.000001",
        "datetime",
    ),
    "TIMESTAMPTZ": (
        "TIMESTAMPTZ '2026-01-01 00:00:00+03' + {0} * INTERVAL '24 hours'",
        "",
        "2026-03-01 21:00:00+00:00",
        "datetime",
    ),
    "NUMERIC(30, 3)": ("12345678901234567890.123 + {0}",) * 2 + ("12345678901234567950.123", "Decimal"),
    "VARCHAR(99)": ("concat('nr ', 1000 + {0})",) * 2 + ("nr 1060", "str"),
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [(place, kind) for place in ("duckdb", "postgres", "mysql") for kind in KEYS if place != "mysql" or KEYS[kind][1]],
    indirect=["place"],
)
def test_keys_of_every_kind(place: Place, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual, mysql, last, name = KEYS[kind]
    form = mysql if place.mark == "`" else usual
    if place.mark == "`":
        kind = kind.replace("TIMESTAMP", "DATETIME(6)")
    place.run(f"CREATE TABLE t (k {kind}, a DOUBLE PRECISION, y DOUBLE PRECISION)")

    def insert(first: int, last: int) -> None:
        place.run(
            f"INSERT INTO t VALUES {', '.join(f'({form.format(i)}, {i}, {2 * i})' for i in range(first, last + 1))}"
        )

    insert(1, 60)
    out = tmp_path / "m.fastnn"
    train = ["train", "--data", place.url, "--out", str(out), "--epochs", "1", "--json"]
    assert main([*train, "--table", "t", "--target", "y", "--key", "k"]) == 0
    assert "is not kept" not in clean(capsys)[1]
    notes = load_model(out).description.notes["trained"]
    assert (notes["last"], notes["last_type"]) == (last, name)
    assert main([*train, "--resume", "--since", "last"]) == 0
    assert json.loads(clean(capsys)[0])["rows"] == 0
    insert(61, 75)
    assert main([*train, "--resume", "--since", last]) == 0
    assert 0 < json.loads(clean(capsys)[0])["rows"] <= 15
    assert main([*train, "--resume", "--since", "last"]) == 0
    assert json.loads(clean(capsys)[0])["rows"] == 0


def test_what_is_no_table_is_one_line(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.fastnn"
    filled(place, "t", ("id", "a", "y"), 1, 10)
    for table in ("nosuch", "t; DROP TABLE t", "(SELECT 1)", "t WHERE 1=0"):
        assert main(["train", "--data", place.url, "--table", table, "--target", "y", "--out", str(out)]) == 1
        said, err = clean(capsys)
        assert (said, err.count("\n")) == ("", 1)
    assert place.run("SELECT COUNT(*) FROM t") == [(10,)]
    assert not out.exists()


def test_a_column_that_is_not_there_is_no_text(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(place, "t", ("id", "a", "y"), 1, 10)
    filled(place, "u", ("id", "b", "y"), 1, 10)
    out = tmp_path / "m.fastnn"
    train = ["train", "--data", place.url, "--table", "t", "--target", "y", "--key", "id", "--epochs", "1"]
    assert main([*train, "--out", str(out)]) == 0
    clean(capsys)
    assert main(["predict", str(out), "--data", place.url, "--table", "u", "--into", "p", "--key", "id"]) == 1
    said, err = clean(capsys)
    assert (said, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("url", ["mongodb://me:s3cret@localhost/db", "redis://:s3cret@localhost:6379/0"])
def test_what_has_no_tables_is_refused_by_a_sentence(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", url, "--table", "t", "--target", "y", "--out", "m"]) == 1
    out, err = clean(capsys)
    assert out == ""
    assert "is asked for without SQL; take fastnn.data." in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "postgresql://me:s3cret@host/db"],
        ["postgresql://me:s3cret@host/db"],
        ["train", "postgresql://me:x@s3cret@host/db"],
        ["train", "--data", "postgresql://me:s3cret@/x@host/db", "--table", "t", "--target", "y", "--out", "m"],
        ["train", "--epochs", "mysql://me:s3cret@host/db"],
        ["models", "mysql://me:s3cret@127.0.0.1:1/db"],
        ["models", "oracle://me:s3cret@127.0.0.1:1/db"],
        ["evaluate", "x", "--registry", "postgresql://me:s3cret@127.0.0.1:1/db"],
        ["train", "--data", "postgresql://h/db?user=me&password=s3cret", "--tabel", "postgresql://h/?password=s3cret"],
    ],
)
def test_no_message_has_a_password(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) in (1, 2)
    out, err = clean(capsys)
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--query", "SELECT 1"], "without --query; leave one out"),
        (["--param", "1"], "without --param; leave one out"),
    ],
)
@pytest.mark.parametrize("command", [["train"], ["evaluate"], ["predict"]], ids=str)
def test_a_table_or_a_query(
    command: list[str], more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "x.db", tmp_path / "m.fastnn"
    place = Place(str(path), lambda sql: ran(connect(path), sql), '"')
    filled(place, "t", ("id", "a", "y"), 1, 10)
    rows = ["--data", str(path), "--table", "t"]
    assert main(["train", *rows, "--target", "y", "--key", "id", "--epochs", "1", "--out", str(out)]) == 0
    capsys.readouterr()
    given = {
        "train": ["--target", "y", "--out", str(out)],
        "evaluate": [str(out)],
        "predict": [str(out), "--into", "p", "--key", "id"],
    }
    assert main([*command, *given[command[0]], *rows, *more]) == 2
    said, err = capsys.readouterr()
    assert (said, err.count("\n")) == ("", 1)
    assert words in err


def test_a_table_has_the_inputs_of_a_model_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "x.db", tmp_path / "m.fastnn"
    s, a = Input((1,), dtype="string", name="s"), Input((1,), name="a b")
    model = Model([a, s], Dense(1)(Concatenate()([a, StringLookup(vocabulary=["x"], output_mode="one_hot")(s)])))
    model.compile("sgd", "mse")
    model.save(out)
    with contextlib.closing(connect(path)) as connection, connection:
        connection.execute('CREATE TABLE t (y, s, id INTEGER PRIMARY KEY, more, "a b")')
        connection.executemany(
            "INSERT INTO t VALUES (0, ?, ?, NULL, ?)", [("x", 1, 1.0), ("z", 2, -1.0), ("x", 3, 0.5)]
        )
    predict = ["predict", str(out), "--data", str(path), "--into", "p", "--key", "id"]
    assert main([*predict, "--table", "t"]) == 0, capsys.readouterr().err
    expected = model.predict({"s": np.array([["x"], ["z"], ["x"]]), "a b": np.array([[1.0], [-1.0], [0.5]])})[:, 0]
    assert [value for (value,) in read(path, "SELECT prediction FROM p ORDER BY id")] == pytest.approx(
        expected.tolist()
    )
    with contextlib.closing(connect(path)) as connection, connection:
        connection.execute("ALTER TABLE t RENAME COLUMN s TO s2")
    assert main([*predict, "--table", "t", "--replace"]) == 1
    assert "'s'" in capsys.readouterr().err

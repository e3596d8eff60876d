"""DuckDB's rows against its own, and files of columns by it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from fastnn.databases.addresses import reader_of
from fastnn.databases.reader import Wanted

duckdb = pytest.importorskip("duckdb", reason='pip install "fastnn[duckdb]"')


@pytest.fixture
def con() -> Iterator[Any]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        yield connection


def numbers(sql: str, con: Any, names: list[str], params: Any = None, **options: Any) -> np.ndarray:
    blocks = reader_of(sql, con, params).blocks(Wanted(names, **options))
    return np.concatenate([np.empty((0, len(names)), "f4"), *(block.numbers for block in blocks)])


def test_rows_are_those_of_duckdb(con: Any) -> None:
    con.execute("SELECT setseed(0.5)")
    con.execute(
        "CREATE TABLE t AS SELECT range AS i, random() AS d, (random() * 100)::DECIMAL(9, 3) AS p, random() < 0.5 b, "
        "CASE WHEN random() < 0.1 THEN NULL ELSE random() END::FLOAT AS f, 't' || range AS t FROM range(200000)"
    )
    found = con.execute("SELECT i, d, p::DOUBLE p, b, f, t FROM t ORDER BY i").fetchnumpy()
    expected = np.stack([np.asarray(np.ma.filled(found[name].astype(float), -1)) for name in "idpbf"], axis=1)
    np.testing.assert_array_equal(
        numbers("SELECT * FROM t ORDER BY i", con, [*"idpbf"], null=-1), expected.astype("f4")
    )
    block = next(reader_of("SELECT * FROM t ORDER BY i", con).blocks(Wanted(["i"], others=["t", "p"])))
    rows = con.execute("SELECT t, p FROM t ORDER BY i LIMIT ?", [len(block.numbers)]).fetchall()
    assert list(zip(*block.others, strict=True)) == rows


@pytest.mark.parametrize(
    ("sql", "params"), [("?", [np.int64(7)]), ("$1", (7,)), ("$least", {"least": np.float64(7)})], ids=str
)
def test_values_are_bound(con: Any, sql: str, params: Any) -> None:
    sql = f"SELECT range AS i FROM range(10) WHERE range > {sql} ORDER BY i; -- the last two"
    assert numbers(sql, con, ["i"], params).T.tolist() == [[8, 9]]
    hostile = numbers("SELECT count(*) AS n FROM range(3) WHERE 'x' = ?", con, ["n"], ["x' OR 1=1 --"])
    assert hostile.tolist() == [[0]]


def test_files_of_columns(con: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "it's.parquet").replace("'", "''")
    con.execute(f"COPY (SELECT range AS a, range % 3 AS y FROM range(1000)) TO '{path}'")
    con.execute(f"COPY (SELECT range AS a, range % 3 AS y FROM range(1000)) TO '{path}.csv' (HEADER)")
    for sql in (f"SELECT * FROM '{path}' ORDER BY a", f"SELECT * FROM read_csv('{path}.csv') ORDER BY a"):
        dataset = SQLDataset(sql, con, target="y")
        [page] = dataset.pages(2000)
        assert page.x[:, 0].tolist() == list(range(1000))
        assert page.y is not None
        assert page.y[:, 0].tolist() == [a % 3 for a in range(1000)]


def test_a_file_by_its_url_is_opened_to_read_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a b.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS a FROM range(5)")
    url = f"duckdb:///{path}"
    dataset = SQLDataset("SELECT * FROM t ORDER BY a", url)
    copied = pickle.loads(pickle.dumps(dataset))
    for each in (dataset, copied):
        [page] = each.pages(10)
        assert page.x.T.tolist() == [[0, 1, 2, 3, 4]]
    with duckdb.connect(str(path)) as connection:  # which a reader that is open still would prevent
        connection.execute("INSERT INTO t VALUES (5)")
    monkeypatch.chdir(tmp_path)
    assert len(numbers("SELECT * FROM t", "duckdb:///a b.duckdb", ["a"])) == 6
    with pytest.raises(FileNotFoundError, match="there is no database file"):
        reader_of("SELECT 1", "duckdb:///none.duckdb")
    assert not Path("none.duckdb").exists()
    for wrong in ("duckdb://", "duckdb:///", "duckdb:///:memory:", "duckdb:///a?x=1"):
        with pytest.raises(ValueError, match="con must be duckdb:///path without options"):
            reader_of("SELECT 1", wrong)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nope FROM t", 'the query cannot be used; DuckDB says: Binder Error: .*"nope"'),
        ("INSERT INTO t VALUES (1)", "sql must be one SELECT"),
        ("SELECT 1; DELETE FROM t", "sql must be one SELECT"),
        ("SELECT '$$'; DELETE FROM t; --$$", "sql must be one SELECT"),
        ("WITH x AS (SELECT 1 AS a) INSERT INTO t SELECT * FROM x", "the query cannot be used; DuckDB says: Parser"),
        ("SELECT 1 AS a) AS q; DELETE FROM t; SELECT * FROM (SELECT 1 AS a", "sql must be one SELECT"),
        ("SELECT 1 AS a, 2 AS a", "more than one column the name 'a'"),
        ("SELECT * FROM t WHERE a = ?", "the query cannot be used; DuckDB says: .*parameter"),
    ],
)
def test_what_is_not_one_select(con: Any, sql: str, message: str) -> None:
    con.execute("CREATE TABLE t AS SELECT 1 AS a")
    with pytest.raises(ValueError, match=message):
        reader_of(sql, con)
    assert con.execute("SELECT count(*) FROM t").fetchall() == [(1,)]


def test_semicolons_in_texts_and_comments_end_nothing(con: Any) -> None:
    sql = "SELECT ';' AS t, $$a;'$$ AS u, /* ; */ 1 AS a -- ;\n;;"
    block = next(reader_of(sql, con).blocks(Wanted(["a"], others=["t", "u"])))
    assert [other.tolist() for other in block.others] == [[";"], ["a;'"]]


def test_hostile_names(con: Any) -> None:
    names = ['a"; DROP TABLE t; --', "select", "größe", " ", "a'b"]
    columns = ", ".join('"' + name.replace('"', '""') + f'" {"DOUBLE"}' for name in names)
    con.execute(f'CREATE TABLE "order" ({columns})')
    con.execute('INSERT INTO "order" VALUES (1, 2, 3, 4, 5)')
    assert numbers('SELECT * FROM "order"', con, names).tolist() == [[1, 2, 3, 4, 5]]


def test_a_query_that_fails_midway_and_a_connection_that_is_left_as_it_was(con: Any) -> None:
    con.execute("CREATE TABLE t (a INTEGER)")
    con.execute("BEGIN")
    con.execute("INSERT INTO t VALUES (1)")
    failing = "SELECT CASE WHEN range > 400000 THEN error('boom') ELSE 1 END AS a FROM range(1000000)"
    blocks = reader_of(failing, con).blocks(Wanted(["a"]))
    with pytest.raises(ValueError, match=r"the query failed after \d+ rows; DuckDB says: .*boom"):
        list(blocks)
    with duckdb.connect() as other:
        left = reader_of("SELECT range AS a FROM range(1000000)", other).blocks(Wanted(["a"]))
        next(left)
        left.close()
        assert other.execute("SELECT 1").fetchall() == [(1,)]
        assert numbers("SELECT 2 AS a", other, ["a"]).tolist() == [[2]]


def test_rows_of_an_open_transaction_are_seen_and_stay_its_own(con: Any) -> None:
    con.execute("CREATE TABLE t (a INTEGER)")
    con.execute("BEGIN")
    con.execute("INSERT INTO t VALUES (1)")
    assert numbers("SELECT * FROM t", con, ["a"]).tolist() == [[1]]
    con.execute("ROLLBACK")
    assert numbers("SELECT * FROM t", con, ["a"]).tolist() == []


def test_a_relation_is_read_as_it_is(con: Any) -> None:
    relation = con.sql("SELECT range AS a, range % 2 AS y FROM range(10) ORDER BY a")
    dataset = SQLDataset(None, relation, target="y", cache=False, memory_limit=0)
    assert con.execute("SELECT 1").fetchall() == [(1,)]  # nothing has been begun
    for _ in range(2):
        assert np.concatenate([page.x for page in dataset.pages(3)]).T.tolist() == [list(range(10))]


def test_a_dataset_of_an_open_connection_is_not_pickled(con: Any) -> None:
    with pytest.raises(TypeError, match="an open connection belongs to its process"):
        pickle.dumps(SQLDataset("SELECT 1 AS a", con))


@pytest.mark.parametrize(("mark", "params"), [("0", None), ("?", [0]), ("$1", [0]), ("$zero", {"zero": 0})], ids=str)
def test_a_table_that_grows(con: Any, mark: str, params: Any) -> None:
    con.execute('CREATE TABLE t ("k%"";" BIGINT, a DOUBLE)')
    dataset = SQLDataset(f"SELECT * FROM t WHERE a >= {mark}", con, params=params, key='k%";')
    assert dataset.since(None).last is None
    seen: list[float] = []
    last = None
    for first in (1, 4, 9):
        con.execute("INSERT INTO t SELECT range, range FROM range(?, ?)", [first, first + 3])
        part = dataset.since(last)
        con.execute("INSERT INTO t VALUES (?, -1)", [first + 100])  # which the query leaves out
        last = part.last
        seen += [value for page in part.pages(10) for value in page.x[:, 0]]
    assert seen == [1, 2, 3, 4, 5, 6, 9, 10, 11]
    assert last == 11

"""What goes wrong with rows, in every database: a clear error or a right recovery, and no wrong number."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import LambdaCallback
from fastnn.data import MongoDataset, SQLDataset
from fastnn.layers import Dense
from fastnn.models import Sequential
from support import stores
from support.database import connect
from support.stores import Store

SMALL = 4000  # bytes of memory: windows of some hundred rows, and none kept
NO_ROWS = r"the query gives no rows|no document|there are no (keys|rows|entries)|no key|nothing"


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a store of a kind, which is closed at the end."""
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    with contextlib.ExitStack() as stack:

        def made(kind: str) -> Store:
            return stack.enter_context(contextlib.closing(stores.store_of(kind, request, tmp_path)))

        yield made


@pytest.fixture(params=stores.KINDS)
def store(request: pytest.FixtureRequest, make: Any) -> Store:
    return make(request.param)  # type: ignore[no-any-return]


def rows(dataset: Any) -> np.ndarray:
    """x and y side by side."""
    return np.concatenate(
        [page.x if page.y is None else np.concatenate([page.x, page.y], axis=1) for page in dataset.pages(7)]
    )


def net() -> Sequential:
    fastnn.set_random_seed(0)
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_no_rows(store: Store) -> None:
    store.fill(a=[1.0], b=[2.0])
    dataset = store.dataset(["a", "b"], memory_limit=0, cache=False)
    assert rows(dataset).tolist() == [[1, 2]]
    store.fill(a=[], b=[])
    with pytest.raises(ValueError, match=NO_ROWS):
        rows(dataset)
    with pytest.raises(ValueError, match=NO_ROWS):
        net().fit(store.dataset(["a"], "b"), verbose=0)


@pytest.mark.parametrize("memory_limit", [0, 2**20])
def test_one_row_and_one_column(store: Store, memory_limit: int) -> None:
    store.fill(a=[1.5], y=[2.0])
    dataset = store.dataset(["a"], "y", memory_limit=memory_limit)
    for _ in range(2):
        assert rows(dataset).tolist() == [[1.5, 2.0]]
    assert rows(store.dataset(["a"], memory_limit=memory_limit)).tolist() == [[1.5]]
    model = net()
    history = model.fit(dataset, epochs=2, validation_data=dataset, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    assert model.predict(store.dataset(["a"]), verbose=0).shape == (1, 1)


def test_a_column_that_is_all_null(store: Store) -> None:
    store.fill(a=[1.0, 2.0, 3.0], n=[None, None, None])
    with pytest.raises(ValueError, match=r"(?i)'n' .*(null|missing)"):
        rows(store.dataset(["a", "n"]))
    assert rows(store.dataset(["a", "n"], null=-1)).tolist() == [[1, -1], [2, -1], [3, -1]]
    with pytest.raises(ValueError, match=r"(?i)'n' .*(null|missing)"):  # a target stands for nothing
        rows(store.dataset(["a"], "n", null=-1))


@pytest.mark.parametrize("late", [False, True])
def test_null_for_10_000_rows_and_a_null_after_them(store: Store, late: bool) -> None:
    first: list[Any] = [0.5] * 10_000 if late else [None] * 10_000
    store.fill(a=[*first, None if late else 0.5], b=[1.0] * 10_001)
    with pytest.raises(ValueError, match=r"(?i)'a' .*(null|missing)") as error:
        rows(store.dataset(["a", "b"], memory_limit=SMALL))
    numbers = set(map(int, re.findall(r"\d+", re.sub(r"the query is.*", "", str(error.value)))))
    assert (10_001 if late else 1) in numbers or "entry" in str(error.value)
    found = rows(store.dataset(["a", "b"], null=-1, memory_limit=SMALL))[:, 0]
    np.testing.assert_array_equal(found, np.float32([*([0.5 if late else -1] * 10_000), -1 if late else 0.5]))


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**62 + 1])
def test_whole_numbers_beyond_2_to_the_53(store: Store, value: int) -> None:
    store.fill(a=[1, value], y=[1, value])
    assert rows(store.dataset(["a"])).tolist() == [[1], [float(np.float32(value))]]
    with pytest.raises(ValueError, match=rf"'y' .*holds (the whole number )?{value}\b.* float32 cannot hold exactly"):
        rows(store.dataset(["a"], "y"))


def test_infinities(store: Store) -> None:
    if not store.has_infinity:
        pytest.skip("it holds none")
    store.fill(a=[1.0, float("inf"), -float("inf")], y=[1.0, 2.0, 3.0])
    assert rows(store.dataset(["a"])).tolist() == [[1], [np.inf], [-np.inf]]
    with pytest.raises((ValueError, FloatingPointError), match=r"(?i)inf|nan|finite"):
        net().fit(store.dataset(["a"], "y"), epochs=3, verbose=0)


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_numbers_that_float32_does_not_hold(store: Store, value: float) -> None:
    store.fill(a=[1.0, value])
    with pytest.raises(ValueError, match=r"'a' holds .*beyond float32's range"):
        rows(store.dataset(["a"], null=0))


def test_text_among_the_features(store: Store) -> None:
    store.fill(a=[1.0, 2.0], s=["1", "zwei"])
    with pytest.raises(ValueError, match=r"'s' (holds|is|of)"):
        rows(store.dataset(["a", "s"]))


@pytest.mark.parametrize("kind", ["sqlite", "cursor", "hashes", "stream"])  # which hold such a text
def test_text_that_is_no_utf_8(kind: str, make: Any) -> None:
    store = make(kind)
    store.fill(a=[1.0, 2.0], s=[b"\xffa", "ok"])
    with pytest.raises(ValueError, match=r"'s' (is|holds|of).*xff"):
        rows(store.dataset(["a", "s"]))
    with pytest.raises(ValueError, match=r"column 's' .*row 1 is no text in utf-8"):
        list(store.dataset(["a", "s"]).typed({"s": "string"}))


def test_two_columns_of_one_name(store: Store) -> None:
    if not store.is_sql:
        pytest.skip("names are those of fields, or tested with the reader")
    store.fill(a=[1.0])
    with pytest.raises(ValueError, match=r"(more than one column the name|[Dd]uplicate column name) '(?i:A)'"):
        store.dataset(sql="SELECT id, a, a FROM t")


def test_dropped_between_epochs(store: Store) -> None:
    x = [float(i) for i in range(2000)]
    store.fill(a=x, b=x)
    read_anew, kept, on_disk = (
        store.dataset(["a", "b"], memory_limit=limit, cache=cache)
        for limit, cache in ((0, False), (2**20, "auto"), (0, "auto"))
    )
    before = [rows(dataset) for dataset in (read_anew, kept, on_disk)]
    store.drop() if not hasattr(store, "table") else store.fill(a=[], b=[])
    with pytest.raises(ValueError, match=rf"the query (failed|cannot be used)|{NO_ROWS}"):
        rows(read_anew)
    for dataset, expected in ((kept, before[1]), (on_disk, before[2])):
        np.testing.assert_array_equal(rows(dataset), expected)


def test_columns_that_change_between_epochs(store: Store) -> None:
    store.fill(a=[1.0, 2.0], b=[3.0, 4.0])
    dataset = store.dataset(["a", "b"], memory_limit=0, cache=False)
    assert rows(dataset).tolist() == [[1, 3], [2, 4]]
    store.fill(a=[1.0, 2.0], c=[3.0, 4.0])
    with pytest.raises(ValueError, match=r"columns have changed: .*'b'.*'c'|'b' .*(NULL|missing)|has no .*'b'"):
        rows(dataset)
    store.fill(b=[3.0, 4.0], a=[1.0, 2.0])  # the same in another order
    try:
        assert rows(dataset).tolist() == [[1, 3], [2, 4]]
    except ValueError as error:
        assert "columns have changed" in str(error)  # noqa: PT017


def test_columns_that_change_between_training_and_prediction(store: Store) -> None:
    store.fill(a=[1.0, 2.0], b=[3.0, 4.0], y=[0.0, 1.0])
    model = net()
    model.fit(store.dataset(["a", "b"], "y"), verbose=0)
    expected = model.predict(np.float32([[1, 3], [2, 4]]), verbose=0)
    np.testing.assert_array_equal(model.predict(store.dataset(["a", "b"]), verbose=0), expected)
    store.fill(a=[1.0, 2.0], c=[3.0, 4.0], y=[0.0, 1.0])
    for features in (["a", "c"], ["a"], ["a", "c", "y"]):
        with pytest.raises(ValueError, match=r"without 'b'|'b'"):
            model.predict(store.dataset(features), verbose=0)
    with pytest.raises(ValueError, match="'b'"):
        model.evaluate(store.dataset(["c", "a"], "y"), verbose=0)
    store.fill(b=[3.0, 4.0], a=[1.0, 2.0])
    with pytest.raises(ValueError, match="in another order"):
        model.predict(store.dataset(["b", "a"]), verbose=0)


def test_a_writer_beside_a_pass(store: Store) -> None:
    """Each row that was there comes once, in its order; one that comes meanwhile comes once, at the end, or not yet."""
    if hasattr(store, "table"):
        pytest.skip("a table in memory is what it is")
    x = [float(i) for i in range(30_000)]
    store.fill(a=x)
    dataset = store.dataset(["a"], memory_limit=SMALL, cache=False)
    pages = dataset.pages(10)
    parts = [next(pages).x.copy()]
    store.add(len(x) + 1, a=[float(i) for i in range(30_000, 30_500)])
    parts += [page.x.copy() for page in pages]
    found = np.concatenate(parts)[:, 0]
    assert len(found) >= 30_000
    np.testing.assert_array_equal(found, np.arange(len(found)))
    store.renew()
    np.testing.assert_array_equal(rows(dataset)[:, 0], np.arange(30_500))


PARAMS = [np.int64(3), np.int32(3), np.uint8(3), np.float64(3), np.float32(3), np.array(3), 3.0]


@pytest.mark.parametrize("value", PARAMS, ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")))
def test_numbers_of_numpy_as_parameters(store: Store, value: Any) -> None:
    store.fill(a=[1, 2, 3, 4, 5])
    if isinstance(store, stores.Mongo):
        found = MongoDataset(store.database.t, {"a": {"$gt": value}}, ["a"])
    elif not store.is_sql:
        pytest.skip("it has no parameters")
    else:
        found = store.dataset(sql=f"SELECT id, a FROM t WHERE a > {store.mark} ORDER BY id", params=[value])
    assert rows(found).tolist() == [[4], [5]]


@pytest.mark.parametrize("value", [datetime.date(2026, 3, 1), np.datetime64("2026-03-01")], ids=["date", "datetime64"])
def test_dates_as_parameters(store: Store, value: Any) -> None:
    if not store.is_sql:
        pytest.skip("it has no parameters")
    store.drop()
    kind = "TEXT" if isinstance(store, stores.SQLite) else "DATE"
    store.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, d {kind}, a INTEGER)")
    store.execute("INSERT INTO t VALUES (1, '2026-02-28', 1), (2, '2026-03-01', 2), (3, '2026-03-02', 3)")
    dataset = store.dataset(sql=f"SELECT id, a FROM t WHERE d > {store.mark}", params=[value])
    assert rows(dataset).tolist() == [[3]]


# A connection that is lost while a model learns.


@pytest.mark.parametrize("kind", ["adbc", "psycopg", "mysql", "pymysql"])
def test_a_connection_that_is_lost_in_a_fit(kind: str, make: Any, tmp_path: Path) -> None:
    store = make(kind)
    is_postgres = kind in ("adbc", "psycopg")
    many = "generate_series(1, 600000) AS q(i)" if is_postgres else "(SELECT seq AS i FROM seq_1_to_600000) AS q"
    x = "i * 1e-6::float8" if is_postgres else "i * 1e-6"
    sql = f"SELECT i AS id, {x} AS a, {x} AS b, {x} AS y FROM {many}"

    def cut(*_: Any) -> None:
        if is_postgres:
            store.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
                "current_database()"
            )
        else:
            for number in store.others():
                store.execute(f"KILL {number}")

    def fit(**how: Any) -> Any:
        return model.fit(dataset, batch_size=1000, verbose=0, shuffle=False, **how)

    model, seen = net(), []
    dataset = store.dataset(["a", "b"], "y", sql=sql, memory_limit=2**17)
    once = LambdaCallback(on_train_batch_end=lambda *_: seen or (seen.append(1), cut()))
    with pytest.raises(ValueError, match=r"the query failed after \d+ rows; (PostgreSQL|MySQL) says: .*"):
        fit(callbacks=[once])
    assert not list((tmp_path / "cache").glob("*/about.json"))  # no part of the rows is taken for all
    if isinstance(store.source(), str):  # the next pass has a connection of its own
        assert np.isfinite(fit().history["loss"]).all()
        assert dataset.rows == 600_000
    else:
        with pytest.raises(ValueError, match=r"the query (failed|cannot be used); (PostgreSQL|MySQL) says"):
            fit()


# Tables and files that another holds.


def test_a_table_that_another_has_locked(postgres: str, mariadb: dict[str, Any]) -> None:
    psycopg = pytest.importorskip("psycopg", reason='pip install "psycopg[binary]"')
    import pymysql

    with psycopg.connect(postgres) as holder, psycopg.connect(postgres, options="-c lock_timeout=50") as con:
        holder.execute("CREATE TABLE t AS SELECT 1 AS a")
        holder.commit()
        dataset = SQLDataset("SELECT a FROM t", con)
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ValueError, match=r"PostgreSQL says: .*lock timeout"):
            rows(dataset)
        holder.rollback()
        assert rows(dataset).tolist() == [[1]]
    wait = {"init_command": "SET SESSION lock_wait_timeout = 1"}
    with pymysql.connect(**mariadb) as holder, pymysql.connect(**mariadb, **wait) as con:
        cursor = holder.cursor()
        cursor.execute("CREATE TABLE t AS SELECT 1 AS a")
        dataset = SQLDataset("SELECT a FROM t", con)
        con.commit()
        cursor.execute("LOCK TABLES t WRITE")
        with pytest.raises(ValueError, match=r"MySQL says: .*[Ll]ock wait timeout"):
            rows(dataset)
        cursor.execute("UNLOCK TABLES")
        assert rows(dataset).tolist() == [[1]]


def test_a_file_of_duckdb_that_another_process_has_open(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
    file = tmp_path / "t.duckdb"
    make = f"con = duckdb.connect({str(file)!r}); con.execute('CREATE TABLE t AS SELECT 1 AS a')"
    code = f"import duckdb; {make}; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises((ValueError, OSError), match=r"(?i)duckdb.*lock"):
            SQLDataset("SELECT a FROM t", f"duckdb:///{file}")
        other.communicate(b"\n")
    assert rows(SQLDataset("SELECT a FROM t", f"duckdb:///{file}")).tolist() == [[1]]


# A process that is killed while it writes predictions to a server.


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("kind", ["adbc", "mysql", "mongo"])
@pytest.mark.parametrize("mode", ["create", "replace", "upsert"])
def test_kill_9_while_predictions_are_made(
    kind: str, mode: str, make: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = tmp_path / "rows.db"
    with contextlib.closing(connect(file)) as con:
        con.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL)")
        con.executemany("INSERT INTO t VALUES (?, ?)", [(i, i / 4) for i in range(100)])
        con.commit()
    code = f"""
        import os, signal, sys
        from fastnn.data import write_predictions
        from fastnn.databases import staged
        url, left, by, mode = sys.argv[1], [int(sys.argv[2])], float(sys.argv[3]), sys.argv[4]
        if "mongodb" in url:
            import pymongo
            server, _, name = url.rpartition("/")
            url = pymongo.MongoClient(server)[name]
        staged.SECONDS = 0.0
        def predict(x):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            print(len(x), flush=True)
            return x[:, :1] * by
        write_predictions(predict, "SELECT k, v FROM t", {str(file)!r}, to=url, into="p", kind="values", batch_size=10,
                          key="_id" if "mongodb" in sys.argv[1] else "k", outputs=["prediction"], mode=mode,
                          identity=str(by).encode())
    """
    if kind == "mongo":
        database, code = request.getfixturevalue("mongodb"), code.replace("SELECT k, v", "SELECT k AS _id, v")
        url = f"{request.getfixturevalue('mongodb_url').rstrip('/')}/{database.name}"

        def there() -> list[tuple[Any, ...]]:
            return [(each["_id"], each["prediction"]) for each in database.p.find(sort=[("_id", 1)])]
    else:
        store = make(kind)
        url = store.source()

        def there() -> list[tuple[Any, ...]]:
            names = store.rows("SELECT table_name FROM information_schema.tables WHERE table_name = 'p'")
            return store.rows("SELECT k, prediction FROM p ORDER BY k") if names else []

    def run(batches: int, by: float, mode: str) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(code), url, str(batches), str(by), mode],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode, sum(map(int, done.stdout.split()))

    before = []
    if mode != "create":
        assert run(100, -1, "create") == (0, 100)
        before = [(i, -i / 4) for i in range(100)]
        assert there() == before
    predicted = 0
    for batches in (3, 0, 4, 100):
        code_of_end, count = run(batches, 1, mode)
        predicted += count
        if batches < 100:
            assert code_of_end == -signal.SIGKILL
            assert there() == before
    assert code_of_end == 0
    assert predicted == 100  # each row once
    assert there() == [(i, i / 4) for i in range(100)]

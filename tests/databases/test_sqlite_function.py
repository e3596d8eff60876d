"""register_sqlite: a model as a function of SQL, as an extension and by create_function."""

from __future__ import annotations

import contextlib
import gc
import re
import sqlite3
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.databases import native
from fastnn.models import Model, Sequential, load_model
from support.database import connect
from support.small import random_model

ROWS = 500
HEADER = Path("/usr/include/sqlite3ext.h")
SOURCE = Path(__file__).parents[2] / "fastnn" / "databases" / "sqlite_function.pxi"


@pytest.fixture(params=["extension", "create_function"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "create_function":
        monkeypatch.setattr("fastnn.data.sql_function._loaded", lambda con, function: False)
    elif not hasattr(sqlite3.Connection, "enable_load_extension"):
        pytest.skip("this Python's sqlite3 loads no extensions; Debian's does")
    return str(request.param)


@pytest.fixture
def con(way: str) -> Iterator[sqlite3.Connection]:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b INTEGER)")
    rng = np.random.default_rng(0)
    rows = [(i, float(rng.normal()), int(rng.integers(-3, 4))) for i in range(ROWS)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    connection.commit()
    yield connection
    connection.close()


def rows_of(con: sqlite3.Connection) -> np.ndarray:
    return np.array(con.execute("SELECT a, b FROM t ORDER BY id").fetchall(), np.float32)


def found(con: sqlite3.Connection, sql: str = "SELECT predict(a, b) FROM t ORDER BY id") -> list[Any]:
    return [value for (value,) in con.execute(sql)]


def refusal(con: sqlite3.Connection, way: str, sql: str, words: str) -> None:
    """The statement fails: with these words where SQLite is told them."""
    with pytest.raises(sqlite3.OperationalError, match=words if way == "extension" else "raised exception"):
        con.execute(sql).fetchall()


KINDS = [(1, None, "values"), (1, "sigmoid", "binary"), (3, "softmax", "classes")]


@pytest.mark.parametrize(("units", "last", "kind"), KINDS)
@pytest.mark.parametrize("output", ["prediction", "probability"])
def test_it_gives_what_predict_sql_writes(
    con: sqlite3.Connection, tmp_path: Path, units: int, last: str | None, kind: str, output: Any
) -> None:
    model = random_model(units, last)
    model.predict_sql("SELECT id, a, b FROM t", con, into="p", key="id")
    if (kind, output) == ("values", "probability"):
        with pytest.raises(ValueError, match="values have no probability"):
            model.register_sqlite(con, output=output)
        return
    model.register_sqlite(con, output=output)
    expected = con.execute(f"SELECT {output} FROM p ORDER BY id").fetchall()
    assert [(value,) for value in found(con)] == expected
    model.save(tmp_path / "m.fastnn")
    load_model(tmp_path / "m.fastnn").register_sqlite(con, "saved", output=output)
    assert found(con, "SELECT saved(a, b) FROM t ORDER BY id") == found(con)


def test_the_raw_output(con: sqlite3.Connection) -> None:
    model = random_model(1, "sigmoid")
    model.register_sqlite(con, kind="values")
    np.testing.assert_array_equal(np.array(found(con), np.float32), model.predict(rows_of(con))[:, 0])


def test_null_and_what_is_no_number(con: sqlite3.Connection, way: str) -> None:
    model = random_model()
    model.register_sqlite(con)
    assert found(con, "SELECT predict(NULL, 1)") == found(con, "SELECT predict(1, NULL)") == [None]
    assert found(con, "SELECT predict(NULL, 'a')") == [None]
    assert found(con, "SELECT predict(1.0, 2)") == [float(model.predict(np.array([[1, 2]], np.float32))[0, 0])]
    # The whole numbers that float32 rounds are rounded once.
    big = 2**62 + 2**38 + 1
    assert found(con, f"SELECT predict({big}, 0)") == [float(model.predict(np.array([[np.float32(big), 0]]))[0, 0])]
    refusal(con, way, "SELECT predict('abc', 1)", r"predict: argument 1 is 'abc', where a number within")
    refusal(con, way, "SELECT predict(1, x'ff00')", r"predict: argument 2 is '\ufffd', where a number within")
    refusal(con, way, "SELECT predict(1, '')", r"predict: argument 2 is '', where")
    refusal(con, way, f"SELECT predict(1, '{'é' * 100}')", r"argument 2 is 'é{16}', where")
    refusal(con, way, "SELECT predict(1e39, 1)", r"argument 1 is 1e\+39, where a number within float32's range")
    refusal(con, way, "SELECT predict(1, -1e300)", r"argument 2 is -1e\+300")
    for sql in ("SELECT predict(1)", "SELECT predict(1, 2, 3)", "SELECT predict()"):
        with pytest.raises(sqlite3.OperationalError, match="wrong number of arguments"):
            con.execute(sql)
    assert len(found(con)) == ROWS  # and it goes on


def test_outputs_that_are_none(con: sqlite3.Connection, way: str) -> None:
    model = random_model(2, "softmax")
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])
    model.register_sqlite(con)
    refusal(con, way, "SELECT predict(1, 2)", "the model gives nan, where probabilities, from 0 to 1, are expected")
    random_model(1).register_sqlite(con, "linear", kind="binary")
    refusal(con, way, "SELECT max(linear(a * 1e6, b)) FROM t", "where probabilities")


def test_several_under_several_names(con: sqlite3.Connection) -> None:
    models = {f"m {seed}": random_model(1, None, seed) for seed in range(5)} | {
        'a"b': random_model(seed=7),
        "é": random_model(seed=8),
    }
    for name, model in models.items():
        model.register_sqlite(con, name)
    for name, model in models.items():
        quoted = '"' + name.replace('"', '""') + '"'
        got = np.array(found(con, f"SELECT {quoted}(a, b) FROM t ORDER BY id"), np.float32)
        np.testing.assert_array_equal(got, model.predict(rows_of(con))[:, 0])
    nested = found(con, 'SELECT "m 0"("m 1"(a, b), "m 0"(b, a)) FROM t ORDER BY id')
    x = rows_of(con)
    inner = np.concatenate([models["m 1"].predict(x), models["m 0"].predict(x[:, ::-1].copy())], axis=1)
    np.testing.assert_array_equal(np.array(nested, np.float32), models["m 0"].predict(inner)[:, 0])


def test_two_connections(con: sqlite3.Connection) -> None:
    other = connect(":memory:")
    first, second = random_model(seed=1), random_model(seed=2)
    first.register_sqlite(con)
    second.register_sqlite(other)
    one, two = found(con, "SELECT predict(1, 2)"), found(other, "SELECT predict(1, 2)")
    assert one == [float(first.predict(np.array([[1.0, 2.0]]))[0, 0])] != two
    other.close()
    assert found(con, "SELECT predict(1, 2)") == one


def test_replaced_and_let_go(con: sqlite3.Connection) -> None:
    gone = []
    for seed in range(3):
        model = random_model(seed=seed)
        gone.append(weakref.ref(model))
        model.register_sqlite(con)
        expected = float(model.predict(np.array([[1.0, 2.0]]))[0, 0])
        del model
        gc.collect()
        assert found(con, "SELECT predict(1, 2)") == [expected]
    con.close()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


def test_what_is_let_go_is_let_go(con: sqlite3.Connection) -> None:
    """The references that SQLite holds: none stays after the connection, or after another takes the name."""
    for seed in range(20):
        random_model(seed=seed).register_sqlite(con)
    gc.collect()
    assert sum(type(each) is native.Function for each in gc.get_objects()) == 1
    con.close()
    gc.collect()
    assert not any(type(each) is native.Function for each in gc.get_objects())


def test_what_it_learns_later_counts(con: sqlite3.Connection) -> None:
    model = random_model()
    model.compile("sgd", "mse")
    model.register_sqlite(con)
    before = found(con)
    model.fit(rows_of(con), np.ones((ROWS, 1)), verbose=0)
    assert found(con) != before
    np.testing.assert_array_equal(np.array(found(con), np.float32), model.predict(rows_of(con))[:, 0])


def test_in_where_order_index_and_trigger(con: sqlite3.Connection) -> None:
    random_model().register_sqlite(con)
    con.execute("CREATE INDEX by_prediction ON t (predict(a, b))")  # only what is deterministic may be there
    top = found(con, "SELECT predict(a, b) FROM t ORDER BY predict(a, b) DESC LIMIT 3")
    assert top == sorted(found(con), reverse=True)[:3]
    con.execute("CREATE TABLE s (id, score)")
    con.execute(
        "CREATE TRIGGER score AFTER INSERT ON t BEGIN INSERT INTO s VALUES (new.id, predict(new.a, new.b)); END"
    )
    con.execute("INSERT INTO t VALUES (1000, 1, 2)")
    assert con.execute("SELECT score FROM s").fetchall() == con.execute("SELECT predict(1, 2)").fetchall()


def test_threads(way: str) -> None:
    """One function on a connection that threads share, and one on each thread's own.

    On one that is shared they take turns: Python's sqlite3 itself waits for ever where two threads call any function of
    Python's at once, one with the GIL and the other with the connection.
    """
    model, failures = random_model(), []
    shared = connect(":memory:", check_same_thread=False)
    model.register_sqlite(shared)
    x = np.random.default_rng(3).normal(size=(300, 2)).astype(np.float32)
    expected = model.predict(x)[:, 0]

    turn = threading.Lock()

    def work(connection: sqlite3.Connection | None) -> None:
        own = connection or sqlite3.connect(":memory:")  # noqa: TID251 (closed here, in its thread)
        if connection is None:
            model.register_sqlite(own)
        for (a, b), value in zip(x.tolist(), expected.tolist(), strict=True):
            with turn if connection is not None else contextlib.nullcontext():
                found = own.execute("SELECT predict(?, ?)", (a, b)).fetchone()
            if found != (value,):
                failures.append((a, b))
        if connection is None:
            own.close()

    threads = [threading.Thread(target=work, args=[connection]) for connection in (shared, shared, None, None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    shared.close()


def may_load(con: sqlite3.Connection) -> bool:
    with pytest.raises(sqlite3.OperationalError) as refused:
        con.load_extension("/nowhere/nothing")
    return "not authorized" not in str(refused.value)


def test_the_user_s_own_setting_stays(way: str) -> None:
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        return
    for setting in (None, False, True):
        connection = connect(":memory:")
        if setting is not None:
            connection.enable_load_extension(setting)
        before = may_load(connection)
        assert setting in (None, before)
        random_model().register_sqlite(connection)
        assert may_load(connection) == before


def test_it_loads_for_nobody_else(way: str) -> None:
    if way != "extension":
        return
    connection = connect(":memory:")
    connection.enable_load_extension(True)
    with pytest.raises(sqlite3.OperationalError):
        connection.load_extension(native.__file__)


def test_a_connection_that_outlives_all_else(way: str) -> None:
    """At the end of a process no destructor touches an interpreter that is gone."""
    code = """
        import sqlite3
        import fastnn.layers as L
        from fastnn.models import Sequential
        model = Sequential([L.Input((2,)), L.Dense(1)])
        kept = sqlite3.connect(":memory:")
        model.register_sqlite(kept)
        print(len(kept.execute("SELECT predict(1, 2)").fetchall()))
        class Late:
            def __init__(self, con): self.con, self.cycle = con, self
        late = Late(kept)
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_a_model_with_a_front(con: sqlite3.Connection) -> None:
    inputs = {name: L.Input((1,), name=name, dtype=kind) for name, kind in (("city", "string"), ("price", "float32"))}
    lookup = L.StringLookup(vocabulary=["Bern", "Genf"], output_mode="one_hot")(inputs["city"])
    model = Model(inputs, L.Dense(1)(L.Concatenate()([lookup, inputs["price"]])))
    model.register_sqlite(con, "priced")
    for city, price in (("Bern", 1.5), ("Genf", 2), ("nowhere", -1)):
        expected = model.predict({"city": np.array([[city]]), "price": np.array([[price]], np.float32)})
        assert found(con, f"SELECT priced('{city}', {price})") == [float(expected[0, 0])]
    assert found(con, "SELECT priced(NULL, 1)") == [None]
    with pytest.raises(sqlite3.OperationalError, match="raised exception"):
        con.execute("SELECT priced('Bern', 'dear')").fetchall()


@pytest.mark.parametrize(
    ("named", "error", "words"),
    [
        ({"con": "shop.db"}, TypeError, "con must be an open sqlite3.Connection"),
        ({"name": ""}, ValueError, "name must be a name"),
        ({"name": None}, TypeError, "name must be a string"),
        ({"name": "n" * 300}, ValueError, "SQLite does not take a function"),
        ({"kind": "class"}, ValueError, "unknown kind 'class'.*known kinds: 'binary', 'classes', 'values'"),
        ({"output": "prob"}, ValueError, "unknown output 'prob'.*'prediction', 'probability'"),
        ({"model": random_model(3), "kind": "values"}, ValueError, "has 3 unit.*makes no number of that"),
        ({"model": random_model(1), "kind": "classes"}, ValueError, "has 1 unit"),
        ({"model": Sequential([L.Dense(1)])}, RuntimeError, "needs the model's weights"),
        (
            {"model": Sequential([L.Input((1200,)), L.Dense(1)])},
            ValueError,
            "SQLite does not take .* of 1200 arguments",
        ),
    ],
)
def test_what_is_refused(con: sqlite3.Connection, named: dict[str, Any], error: type[Exception], words: str) -> None:
    arguments = {"con": con, "model": random_model(), **named}
    with pytest.raises(error, match=words):
        arguments.pop("model").register_sqlite(arguments.pop("con"), **arguments)


def test_a_closed_connection(way: str) -> None:
    connection = connect(":memory:")
    connection.close()
    with pytest.raises(ValueError, match="closed database"):
        random_model().register_sqlite(connection)


@pytest.mark.skipif(
    not (HEADER.exists() and SOURCE.exists()), reason="needs sqlite3ext.h (libsqlite3-dev) and the source"
)
def test_the_places_are_those_of_the_header() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    [body] = re.findall(r"struct sqlite3_api_routines \{(.*?)\n\};", text, re.DOTALL)
    names = [each[0] for each in (re.findall(r"\(\s*\*\s*(\w+)\s*\)\s*\(", field) for field in body.split(";")) if each]
    source = SOURCE.read_text(encoding="utf-8")
    places = dict(re.findall(r"^    ((?:RESULT|USER|VALUE|CREATE)_\w+) = (\d+)", source, re.MULTILINE))
    assert len(places) == 10
    for name, place in places.items():
        wanted = {"CREATE_FUNCTION": "create_function_v2"}.get(name, name.lower())
        assert names[int(place)] == wanted

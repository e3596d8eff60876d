"""register_duckdb: a model as a function of SQL, by vectors of Arrow and row by row."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.models import Model
from support.small import random_model

duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")

ROWS = 5000


@pytest.fixture(params=["vectors", "rows"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    def none(*_: Any) -> Any:
        raise ImportError

    if request.param == "rows":
        monkeypatch.setattr("fastnn.data.sql_function._by_vectors", none)
    elif importlib.util.find_spec("pyarrow") is None:
        pytest.skip("vectors need pyarrow: pip install pyarrow")
    return str(request.param)


@pytest.fixture
def con(way: str) -> Iterator[Any]:
    connection = duckdb.connect()
    rng = np.random.default_rng(0)
    columns = {"id": np.arange(ROWS), "a": rng.normal(size=ROWS), "b": rng.integers(-3, 4, ROWS)}
    connection.register("columns", columns)
    connection.execute("CREATE TABLE t AS SELECT * FROM columns")
    yield connection
    connection.close()


def found(con: Any, sql: str = "SELECT predict(a, b) FROM t ORDER BY id") -> list[Any]:
    return [value for (value,) in con.execute(sql).fetchall()]


@pytest.mark.parametrize(("units", "last", "kind"), [(1, None, "values"), (1, "sigmoid", "binary"), (3, "softmax", "")])
@pytest.mark.parametrize("output", ["prediction", "probability"])
def test_it_gives_what_predict_sql_writes(con: Any, units: int, last: str | None, kind: str, output: Any) -> None:
    model = random_model(units, last)
    if (kind, output) == ("values", "probability"):
        with pytest.raises(ValueError, match=r"values have no probability"):
            model.register_duckdb(con, output=output)
        return
    model.predict_sql("SELECT id, a, b FROM t ORDER BY id", con, into="p", key="id")
    model.register_duckdb(con, output=output)
    assert found(con) == found(con, f"SELECT {output} FROM p ORDER BY id")
    [(kind_of,)] = con.execute("SELECT typeof(predict(a, b)) FROM t LIMIT 1").fetchall()
    assert kind_of == ("DOUBLE" if kind == "values" or output == "probability" else "BIGINT")


def test_null_and_what_is_no_number(con: Any) -> None:
    model = random_model()
    model.register_duckdb(con)
    expected = found(con)
    con.execute("UPDATE t SET a = NULL WHERE id % 3 = 0")
    assert found(con) == [None if i % 3 == 0 else value for i, value in enumerate(expected)]
    assert found(con, "SELECT predict(NULL, 1)") == [None]
    assert found(con, "SELECT predict(a, b) FROM t WHERE id < 0") == []
    with pytest.raises(duckdb.Error, match=r"argument 2 is (1e|-1e)"):
        con.execute("SELECT predict(a, -1e300) FROM t WHERE a IS NOT NULL").fetchall()
    with pytest.raises(duckdb.Error, match=r"Could not convert"):
        con.execute("SELECT predict('abc', 1)").fetchall()
    for sql in ("SELECT predict(1)", "SELECT predict(1, 2, 3)"):
        with pytest.raises(duckdb.Error, match=r"(?i)no function matches"):
            con.execute(sql)


def test_outputs_that_are_none(con: Any) -> None:
    random_model(1).register_duckdb(con, kind="binary")
    with pytest.raises(duckdb.Error, match=r"probabilities, from 0 to 1"):
        con.execute("SELECT max(predict(a * 1e6, b)) FROM t").fetchall()


def test_replaced_and_several(con: Any) -> None:
    for seed in (1, 2):
        model = random_model(seed=seed)
        model.register_duckdb(con)
        x = np.array(con.execute("SELECT a, b FROM t ORDER BY id").fetchall(), np.float32)
        np.testing.assert_array_equal(np.array(found(con), np.float32), model.predict(x)[:, 0])
    model.register_duckdb(con, "other")
    assert found(con, "SELECT other(a, b) FROM t ORDER BY id") == found(con)


def test_a_model_with_a_front(con: Any) -> None:
    inputs = {name: L.Input((1,), name=name, dtype=kind) for name, kind in (("city", "string"), ("price", "float32"))}
    lookup = L.StringLookup(vocabulary=["Bern", "Genf"], output_mode="one_hot")(inputs["city"])
    model = Model(inputs, L.Dense(1)(L.Concatenate()([lookup, inputs["price"]])))
    model.register_duckdb(con, "priced")
    expected = model.predict({"city": np.array([["Genf"]]), "price": np.array([[2]], np.float32)})
    assert found(con, "SELECT priced('Genf', 2)") == [float(expected[0, 0])]
    assert found(con, "SELECT priced(NULL, 2)") == [None]


def test_what_is_refused(con: Any) -> None:
    with pytest.raises(TypeError, match=r"con must be an open connection of DuckDB"):
        random_model().register_duckdb("shop.duckdb")
    with pytest.raises(ValueError, match=r"has 3 unit.*makes no number of that"):
        random_model(3).register_duckdb(con, kind="values")
    con.close()
    with pytest.raises(ValueError, match=r"DuckDB does not take a function 'predict', it says: .*closed"):
        random_model().register_duckdb(con)

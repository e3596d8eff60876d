"""Explanations of a query's rows, in a table as predictions are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.data import SQLDataset
from fastnn.databases import staged
from fastnn.explain import exact_shapley, expected_gradients, explain_sql, kernel_shap, permutation_shap
from fastnn.models import Model, Sequential
from support.database import connect

ROWS, HOSTILE = 300, 'x"; DROP TABLE t; --'
RNG = np.random.default_rng(9)
X = RNG.normal(size=(ROWS, 3)).astype(np.float32)
SQL = f'SELECT id, "{HOSTILE.replace(chr(34), 2 * chr(34))}", b, "c d" FROM t ORDER BY id'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(connect(tmp_path / "rows.db")) as con:
        hostile = HOSTILE.replace('"', '""')
        con.execute(f'CREATE TABLE t (id INTEGER PRIMARY KEY, "{hostile}" REAL, b REAL, "c d" REAL, y REAL)')
        rows = [(i, *map(float, row), float(row[0] * row[1] + row[2])) for i, row in enumerate(X)]
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        con.commit()
    return tmp_path / "rows.db"


@pytest.fixture
def con(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as connection:
        yield connection


@pytest.fixture
def model(path: Path) -> Sequential:
    fastnn.set_random_seed(0)
    model = Sequential([L.Input((3,)), L.Dense(8, "tanh"), L.Dense(1)], name="net")
    model.compile(fastnn.optimizers.Adam(0.02), "mse")
    dataset = SQLDataset(SQL.replace("id,", "y,").replace(" ORDER BY id", ""), str(path), target="y")
    model.fit(dataset, epochs=5, verbose=0)
    return model


def table(con: Any, into: str = "why") -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = con.execute(f'SELECT * FROM "{into}" ORDER BY 1')
    return [each[0] for each in cursor.description], cursor.fetchall()


def explain(model: Any, con: Any, **named: Any) -> int:
    return explain_sql(model, named.pop("sql", SQL), con, **{"into": "why", "key": "id", "background": X[:20], **named})


@pytest.mark.parametrize(
    ("method", "function", "options"),
    [
        ("exact", exact_shapley, {}),
        ("kernel", kernel_shap, {"samples": 12}),
        ("permutation", permutation_shap, {"permutations": 2}),
        ("expected_gradients", expected_gradients, {"samples": 30}),
    ],
)
def test_the_table_is_what_the_functions_give(
    model: Sequential, con: Any, method: Any, function: Any, options: dict[str, int]
) -> None:
    before = list(con.iterdump())
    assert explain(model, con, method=method, **options) == ROWS
    names, rows = table(con)
    assert names == [
        *("id", "prediction", "base_value", f"because_{HOSTILE}", "because_b", "because_c d"),
        *("model", "model_version", "predicted_at"),
    ]
    assert [row[0] for row in rows] == list(range(ROWS))
    assert {row[6:8] for row in rows} == {("net", None)}
    assert rows[0][8].endswith("Z")
    numbers = np.array([row[1:6] for row in rows])
    seed = {} if function is exact_shapley else {"random_state": 0}
    found = function(model, X, X[:20], **options, **seed)
    np.testing.assert_allclose(numbers[:, 2:], found.values, atol=1e-6)
    np.testing.assert_allclose(numbers[:, 1], found.base_values, atol=1e-6)
    np.testing.assert_allclose(numbers[:, 0], model.predict(X)[:, 0], atol=1e-5)
    if function is not expected_gradients:
        np.testing.assert_allclose(numbers[:, 1:].sum(axis=1), numbers[:, 0], atol=1e-6)
    con.execute("DROP TABLE why")
    con.commit()
    assert list(con.iterdump()) == before


def test_modes_and_versions(model: Sequential, con: Any, path: Path, tmp_path: Path) -> None:
    assert explain(model, con, version=3) == ROWS
    with pytest.raises(ValueError, match="already has 'why'"):
        explain(model, con)
    assert explain(model, con, mode="replace", sql=SQL.replace("t ORDER", "t WHERE id < 7 ORDER")) == 7
    assert len(table(con)[1]) == 7
    assert explain(model, con, mode="upsert", sql=SQL.replace("t ORDER", "t WHERE id > 4 ORDER")) == ROWS - 5
    assert len(table(con)[1]) == ROWS
    con.execute("CREATE TABLE mine (id, because_b, base_value, model, model_version, predicted_at)")
    with pytest.raises(ValueError, match="not replaced"):
        explain(model, con, into="mine", mode="replace")
    other = tmp_path / "other.db"
    connect(other).close()
    assert explain(model, str(path), to=str(other), version=3) == ROWS
    with closing(connect(other)) as there:
        assert {row[7] for row in table(there)[1]} == {"3"}
        with pytest.raises(ValueError, match="and not 'probability'"):
            model.predict_sql(SQL, str(path), to=str(other), into="why", key="id", mode="upsert", kind="classes")
        assert model.predict_sql(SQL, str(path), to=str(other), into="why", key="id", mode="replace") == ROWS


@pytest.mark.parametrize("background", [20, 19])
def test_an_ended_run_is_gone_on_with(
    model: Sequential, path: Path, monkeypatch: pytest.MonkeyPatch, background: int
) -> None:
    from fastnn.explain import sql

    monkeypatch.setattr(staged, "SECONDS", 0.0)
    calls: list[int] = []
    real = sql.METHODS["permutation"]

    def ended(function: Any, x: Any, *more: Any, **named: Any) -> Any:
        calls.append(len(x))
        if len(x) > 1 and not calls.count(-1):
            calls.append(-1)
            return real(function, x, *more, **named)
        if calls.count(-1) == 1 and len(x) > 1:
            raise KeyboardInterrupt
        return real(function, x, *more, **named)

    con = connect(path)
    con.execute("CREATE TABLE many AS SELECT * FROM t")
    for _ in range(5):
        con.execute(
            "INSERT INTO many SELECT id + (SELECT max(id) + 1 FROM many), "
            + SQL[11 : SQL.index(" FROM")]
            + ", y FROM many"
        )
    con.commit()
    long = SQL.replace("FROM t", "FROM many")
    monkeypatch.setitem(sql.METHODS, "permutation", ended)
    with pytest.raises(KeyboardInterrupt):
        explain(model, con, sql=long, permutations=1)
    assert calls == [1, 8192, -1, 1408]
    assert not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'why'").fetchall()
    seen: list[int] = []
    monkeypatch.setitem(
        sql.METHODS,
        "permutation",
        lambda function, x, *more, **named: seen.append(len(x)) or real(function, x, *more, **named),
    )
    again = {"sql": long, "permutations": 1, "background": X[:background]}
    assert explain(model, con, **again) == 9600
    assert seen == ([1, 1408] if background == 20 else [1, 8192, 1408])  # the first part was there, by the same rows
    assert explain(model, con, **again, into="again") == 9600
    assert [row[1:6] for row in table(con)[1]] == [row[1:6] for row in table(con, "again")[1]]
    con.close()


def test_a_background_is_a_query(model: Sequential, con: Any) -> None:
    """Its rows are those that an array would give, and its columns name what the model has no names for."""
    part = SQL.replace("id, ", "").replace(" ORDER BY id", " ORDER BY id LIMIT 20")
    explain(model, con, method="exact")
    explain(model, con, into="asked", background=part, method="exact")
    assert [each[:6] for each in table(con, "asked")[1]] == [each[:6] for each in table(con)[1]]
    nameless = Sequential([L.Input((3,)), L.Dense(1)])
    explain(nameless, con, into="nameless", background=part, method="exact")
    assert table(con, "nameless")[0] == table(con)[0]
    with pytest.raises(ValueError, match="background must have rows"):
        explain(model, con, into="none", background=part.replace("ORDER", "WHERE id < 0 ORDER"))
    with pytest.raises(ValueError, match="one SELECT"):
        explain(model, con, into="none", background="nothing")


def test_columns_and_several_inputs(con: Any) -> None:
    town, size, day = L.Input((1,), dtype="string", name="town"), L.Input((1,), name="size"), L.Input((1,), name="day")
    code = L.StringLookup(vocabulary=["Bern", "Graz"], output_mode="one_hot")(town)
    inputs = {"town": town, "size": size, "day": day}
    model = Model(inputs, L.Dense(2, "softmax")(L.Concatenate()([code, size, day])))
    con.execute("CREATE TABLE u (id INTEGER, town TEXT, size REAL, day REAL)")
    con.executemany("INSERT INTO u VALUES (?, ?, ?, ?)", [(i, "BG"[i % 2] + "ern", i / 9, i % 3) for i in range(9)])
    towns = np.array([["Bern"], ["Graz"], ["Ulm"]], object)
    background = {"town": towns, "size": X[:3, :1], "day": X[:3, 1:2]}
    sql = "SELECT id, day, size, town FROM u"
    assert explain_sql(model, sql, con, into="w", key="id", background=background, output=1, method="exact") == 9
    names, rows = table(con, "w")
    assert names[3:6] == ["because_town", "because_size", "because_day"]
    x = {
        "town": np.array([["BG"[i % 2] + "ern"] for i in range(9)], object),
        "size": np.array([[i / 9] for i in range(9)], np.float32),
        "day": np.array([[i % 3] for i in range(9)], np.float32),
    }
    found = exact_shapley(model, x, background, output=1)
    np.testing.assert_allclose([row[3:6] for row in rows], np.concatenate(found.values, axis=1), atol=1e-6)
    with pytest.raises(ValueError, match="numbers alone"):
        explain_sql(model, sql, con, into="e", key="id", background=background, output=1, method="expected_gradients")
    a, b = L.Input((1,), name="a"), L.Input((1,), name="b")
    plain = Model([a, b], L.Dense(1)(L.Concatenate()([a, b])))
    assert (
        explain_sql(
            plain, "SELECT id, size a, day b FROM u", con, into="v", key="id", background=[X[:4, :1], X[:4, 1:2]]
        )
        == 9
    )
    assert table(con, "v")[0][3:5] == ["because_a", "because_b"]
    more = {"mode": "replace", "method": "expected_gradients"}
    explain_sql(
        plain, "SELECT id, size a, day b FROM u", con, into="v", key="id", background=[X[:4, :1], X[:4, 1:2]], **more
    )
    weights, x = plain.get_weights()[0], np.array([[i / 9, i % 3] for i in range(9)])
    expected = weights[:, 0] * (x - X[:4, :2].mean(axis=0))
    np.testing.assert_allclose([row[3:5] for row in table(con, "v")[1]], expected, atol=0.1)


def test_to_another_server(model: Sequential, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not here: pip install duckdb")
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    with closing(duckdb.connect(":memory:")) as to:
        assert explain(model, str(path), to=to) == ROWS
        assert explain(model, str(path), to=to, mode="replace") == ROWS
        assert explain(model, str(path), to=to, mode="upsert") == ROWS
        cursor = to.execute("SELECT * FROM why ORDER BY id")
        names = [each[0] for each in cursor.description]
        assert names[3] == f"because_{HOSTILE}"
        rows = cursor.fetchall()
        np.testing.assert_allclose([sum(row[2:6]) for row in rows], [row[1] for row in rows], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"method": "gradients"}, ValueError, "method must be one of permutation, kernel, exact, expected"),
        ({"background": X[:5] * np.nan}, ValueError, "background"),
        ({"background": X[:5, :2]}, ValueError, "expects"),
        ({"output": 1}, ValueError, "no unit 1"),
        ({"key": "nr"}, ValueError, "unknown key 'nr'"),
        ({"sql": "SELECT id, b FROM t"}, ValueError, "the query"),
        ({"permutations": 0}, ValueError, "permutations must be at least 1"),
        ({"samples": 3}, TypeError, "samples"),
        ({"random_state": None}, TypeError, "random_state must be a whole number"),
        ({"model": 3}, TypeError, "must be a fastnn.models.Model"),
    ],
)
def test_errors(model: Sequential, con: Any, change: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        explain(change.pop("model", model), con, **change)
    assert not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'why'").fetchall()


def test_models_that_it_does_not_take(con: Any) -> None:
    with pytest.raises(ValueError, match="flat rows"):
        explain(Sequential([L.Input((3, 1)), L.Flatten(), L.Dense(1)]), con)
    with pytest.raises(ValueError, match="one unit, got all of 0, 1"):
        explain(Sequential([L.Input((3,)), L.Dense(2)]), con)
    with pytest.raises(RuntimeError, match="not built"):
        explain(Sequential([L.Dense(2)]), con)

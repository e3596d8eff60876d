"""Models as SQL against ``predict``, in each database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn import Model, Sequential
from fastnn.activations import ACTIVATIONS
from fastnn.exchange import to_sql
from fastnn.exchange.plain import UNITS
from support import servers
from support.database import connect

Run = Callable[[str], list[tuple[Any, ...]]]
DIALECTS = ["sqlite", "duckdb", "postgresql", "mariadb"]
TYPES = {
    "sqlite": ("", ""),
    "duckdb": ("DOUBLE", "VARCHAR"),
    "postgresql": ("double precision", "text"),
    "mariadb": ("DOUBLE", "VARCHAR(99)"),
}


@contextlib.contextmanager
def database(dialect: str, request: Any) -> Iterator[Run]:
    """What runs a statement in an empty database and gives its rows."""
    if dialect == "sqlite":
        con = connect(":memory:")
        yield lambda sql: con.execute(sql).fetchall()
    elif dialect == "duckdb":
        duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
        with contextlib.closing(duckdb.connect()) as con:
            yield lambda sql: con.execute(sql).fetchall()
    elif dialect == "postgresql":
        psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver: pip install 'psycopg[binary]'")
        server = request.getfixturevalue("postgres_server")
        with servers.postgres_database(server) as url, psycopg.connect(url, autocommit=True) as con:

            def answer(sql: str) -> list[tuple[Any, ...]]:
                cursor = con.execute(sql)
                return cursor.fetchall() if cursor.description else []

            yield answer
    else:
        pymysql = pytest.importorskip("pymysql", reason="MariaDB's driver: pip install PyMySQL")
        with servers.mariadb_database(request.getfixturevalue("mariadb_server")) as options:
            con = pymysql.connect(**options, autocommit=True)
            with contextlib.closing(con), con.cursor() as cursor:

                def run(sql: str) -> list[tuple[Any, ...]]:
                    cursor.execute(sql)
                    return list(cursor.fetchall())

                yield run


@pytest.fixture(params=DIALECTS)
def db(request: Any) -> Iterator[tuple[str, Run]]:
    with database(request.param, request) as run:
        yield request.param, run


def fill(dialect: str, run: Run, table: str, columns: dict[str, Any], text: Any = ()) -> None:
    """A table with a key `id` and these columns."""
    mark = "`" if dialect == "mariadb" else '"'
    number, words = TYPES[dialect]
    names = [f"{mark}{name.replace(mark, 2 * mark)}{mark}" for name in columns]
    kinds = [words if name in text else number for name in columns]
    declared = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    run(f"CREATE TABLE {table} (id INTEGER, {declared})")
    slash = (lambda value: value.replace("\\", "\\\\")) if dialect == "mariadb" else str

    def literal(value: Any) -> str:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return "NULL"
        return "'" + slash(value).replace("'", "''") + "'" if isinstance(value, str) else repr(float(value))

    for number_, row in enumerate(zip(*columns.values(), strict=True)):
        run(f"INSERT INTO {table} VALUES ({number_}, {', '.join(map(literal, row))})")


def shaken(model: Any) -> Any:
    """The model, with weights that no initializer gives."""
    rng = np.random.default_rng(7)
    model.set_weights([w if w.ndim == 0 else w + 0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def rows(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def normalised(x: np.ndarray) -> Any:
    scale = L.Normalization()
    scale.adapt(x)
    return scale


NAMES = ["h1_0", 'b "q"', "order", "d`e", "É f", "g'h"]


def test_a_view_a_query_and_an_expression(db: tuple[str, Run]) -> None:
    dialect, run = db
    x = rows(30, 6) * 3 + 100
    x[4] = -1e6
    x[5] = 1e6
    layers = [normalised(x), L.Dense(12, "gelu"), L.BatchNormalization(), L.Dense(7, "tanh"), L.Dropout(0.3)]
    model = Sequential([*layers, L.Dense(3, "softmax")])
    model.predict(x)
    shaken(model)
    fill(dialect, run, "measured", dict(zip(NAMES, x.T, strict=True)))
    run(to_sql(model, "measured", dialect, columns=NAMES, key="id"))
    given = model.predict(x)
    names = "id, prediction_0, prediction_1, prediction_2"
    found = np.array(run(f"SELECT {names} FROM measured_prediction ORDER BY id"), float)
    np.testing.assert_array_equal(found[:, 0], range(30))
    np.testing.assert_allclose(found[:, 1:], given, rtol=1e-5, atol=1e-5)
    query = to_sql(model, "measured", dialect, "query", columns=NAMES, key=["id", "h1_0"], outputs=["x", "y", "z"])
    assert sorted(row[0] for row in run(query)) == list(range(30))
    if dialect == "mariadb":  # a small one, which is written without subqueries
        model = shaken(Sequential([L.Input((6,)), L.Rescaling(0.01), L.Dense(5, "tanh"), L.Dense(3, "sigmoid")]))
        given = model.predict(x)
    expression = to_sql(model, "measured", dialect, "expression", columns=NAMES, output=1)
    found = np.array(run(f"SELECT id, {expression} FROM measured WHERE {expression} > 0.2 ORDER BY id"), float)
    np.testing.assert_array_equal(found[:, 0], np.flatnonzero(given[:, 1] > 0.2))
    np.testing.assert_allclose(found[:, 1], given[given[:, 1] > 0.2, 1], rtol=1e-5, atol=1e-5)


def test_every_activation(db: tuple[str, Run]) -> None:
    dialect, run = db
    a = ACTIVATIONS.units
    units: list[Any] = [a[name]() for name in UNITS] + [a["softmax"](), a["log_softmax"](), a["linear"]()]
    units += [a["relu"](0.1, 2.0, 0.5), a["gelu"](True), a["elu"](0.3), a["celu"](2.5), a["leaky_relu"](-0.4)]
    units += [a["squareplus"](0.01), a["threshold"](-1.0, 7.0)]
    x = L.Input((2,))
    model = Model(x, L.Concatenate()([L.Activation(unit)(x) for unit in units]))
    given = np.concatenate([rows(40, 2) * 3, rows(10, 2) * 30, [[0, 0], [80, -80], [-1e5, 1]]]).astype(np.float32)
    given = np.where(given > 80, 80, given)  # e^x is beyond float32 behind 88
    fill(dialect, run, "t1", {"x": given[:, 0], "y": given[:, 1]})
    query = to_sql(model, "t1", dialect, "query", columns=["x", "y"], key="id")
    found = np.array(run(f"{query} ORDER BY id"), float)[:, 1:]
    np.testing.assert_allclose(found, model.predict(given), rtol=1e-5, atol=1e-5)


def test_null_is_null(db: tuple[str, Run]) -> None:
    dialect, run = db
    a, b = L.Input((1,), name="a"), L.Input((1,), name="b")
    both = [L.Maximum()([a, b]), L.Minimum()([a, b]), L.Add()([a, b]), L.Dense(1, "relu")(L.Concatenate()([a, b]))]
    one = [L.ReLU(6)(a), L.Activation("hard_sigmoid")(a), L.Activation("softplus")(a), L.LayerNormalization()(a)]
    model = Model([a, b], [L.Concatenate()(both), L.Concatenate()(one), L.CategoryEncoding(2, "one_hot")(a)])
    fill(dialect, run, "t1", {"a": [1, None, 1, None], "b": [1, 2, None, None]})
    for number, row in enumerate(run(to_sql(model, "t1", dialect, "query", key="id") + " ORDER BY id")):
        known = [*([number == 0] * 4), *([number in (0, 2)] * 6)]
        assert [each is not None for each in row[1:]] == known


def test_columns_as_they_come(db: tuple[str, Run]) -> None:
    dialect, run = db
    words = ["h9_9", "it's", 'say "x"', "back\\slash", "ünï", "H9_9", "h9_9 "]
    text, size = L.Input((1,), dtype="string", name="kind of"), L.Input((1,), dtype="int64", name="size")
    weight = L.Input((1,), name="weight")
    lookup = L.StringLookup(vocabulary=words[:5], output_mode="one_hot")
    ids = L.IntegerLookup(vocabulary=[7, 10**12, -3])
    scaler = L.Scaler(missing="mean", indicator=True)
    scaler.adapt(np.array([[1.0], [5.0], [9.5]]))
    bins = L.Discretization(bin_boundaries=[0.0, 2.5, 7.0], output_mode="one_hot")
    parts = [lookup(text), L.Flatten()(L.Embedding(4, 3)(ids(size))), scaler(weight)]
    first = shaken(Model([text, size, weight], L.Dense(2, "sigmoid")(L.Concatenate()(parts))))
    columns = {
        "kind of": [*words, "other"],
        "size": [7, 10**12, -3, 8, 7, 7, 7, 7],
        "weight": [1.5, None, -2.0, 7.0, 0.0, 2.5, 3.0, 100.0],
    }
    fill(dialect, run, "t1", columns, text={"kind of"})
    found = run(to_sql(first, "t1", dialect, "query", key="id", outputs=["p", "q"]) + " ORDER BY id")
    given = {
        "kind of": np.array([[each] for each in columns["kind of"]], object),
        "size": np.array(columns["size"])[:, None],
        "weight": np.array([[np.nan if each is None else each] for each in columns["weight"]], np.float32),
    }
    np.testing.assert_allclose(np.array(found, float)[:, 1:], first.predict(given), rtol=1e-5, atol=1e-5)
    second = shaken(Model(weight, L.Dense(1)(bins(weight))))
    (table,) = [run(to_sql(second, "t1", dialect, "query", columns=["weight"], key="id") + " ORDER BY id")]
    assert table[1][1] is None
    known = [row for row in range(8) if row != 1]
    found = [table[row][1] for row in known]
    assert all(type(each) is float for each in found)  # and no decimal numbers
    np.testing.assert_allclose(found, second.predict(given["weight"][known])[:, 0], rtol=1e-5, atol=1e-5)


def test_deep_models_work_each_unit_out_once(db: tuple[str, Run]) -> None:
    dialect, run = db
    model = shaken(Sequential([L.Input((3,)), *(L.Dense(6, "relu") for _ in range(14)), L.Dense(1)]))
    x = rows(20, 3)
    fill(dialect, run, "t1", dict(zip("abc", x.T, strict=True)))
    begin = time.monotonic()
    run(to_sql(model, "t1", dialect, columns=list("abc"), key="id", name="v"))
    found = run("SELECT prediction FROM v ORDER BY id")
    np.testing.assert_allclose(np.array(found, float), model.predict(x), rtol=1e-5, atol=1e-5)
    if dialect == "mariadb":
        with pytest.raises(ValueError, match=r"cannot see the row at hand.*form='view'"):
            to_sql(model, "t1", dialect, "expression", columns=list("abc"))
    else:
        expression = to_sql(model, "t1", dialect, "expression", columns=list("abc"))
        found = run(f"SELECT {expression} FROM t1 ORDER BY id")
        np.testing.assert_allclose(np.array(found, float), model.predict(x), rtol=1e-5, atol=1e-5)
    assert time.monotonic() - begin < 60  # else it is 6^14 times as much


def test_wide_rows(db: tuple[str, Run]) -> None:
    dialect, run = db
    model = shaken(
        Sequential([L.Input((300,)), L.Dense(4, "softmax"), L.Dense(150), L.Softmax(), L.Dense(1, "sigmoid")])
    )
    x, names = rows(5, 300), [f"c{k}" for k in range(300)]
    fill(dialect, run, "t1", dict(zip(names, x.T, strict=True)))
    found = run(to_sql(model, "t1", dialect, "query", columns=names, key="id") + " ORDER BY id")
    np.testing.assert_allclose(np.array(found, float)[:, 1:], model.predict(x), rtol=1e-5, atol=1e-5)

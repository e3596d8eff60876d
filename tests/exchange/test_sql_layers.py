"""Every layer in SQL, and what is refused."""

from __future__ import annotations

import re
import sqlite3
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.compress
import fastnn.layers as L
from fastnn import Model, Sequential
from fastnn.data import SQLDataset
from fastnn.datasets import penguins
from fastnn.exchange import to_sql
from fastnn.exchange.c_layers import LAYERS_IN_C
from fastnn.exchange.sql_layers import LAYERS_IN_SQL
from fastnn.layers.base import LAYERS
from fastnn.layers.composite import Composite
from support.database import connect
from support.layers import CASES

STEPS = "a database has no loops over steps and places; predict_sql and register_sqlite run any model"
REFUSED = {
    **{name: STEPS for name in LAYERS_IN_C if name[-2:] in ("1D", "2D", "3D") and "Dropout" not in name},
    **dict.fromkeys(("GRU", "LSTM", "SimpleRNN", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"), STEPS),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "EinsumDense"), STEPS),
    **dict.fromkeys(("CenterCrop", "Resizing"), "pictures are no columns"),
    **{name: "pictures are no columns" for name in dir(L) if name.startswith("Random")},
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention", "Dot", "Masking"), "sequences are no columns"),
    "DateParts": "dates are columns of their own in each database",
    "GroupNormalization": "of pictures",
    "HashedCrossing": "no database has FarmHash64",
    "Hashing": "no database has FarmHash64",
    "SpectralNormalization": "give the weights to a Dense layer",
    "TextVectorization": "no database splits texts as it does",
    "UnitNormalization": "LayerNormalization is covered",
}


def test_every_layer_is_mapped_or_refused_for_a_reason() -> None:
    for _, cls in LAYERS:
        name = cls.__name__
        if not issubclass(cls, (Composite, L.InputLayer)):
            assert (name in LAYERS_IN_SQL) != (name in REFUSED), f"{name} is mapped, or refused for a reason"


def _answers(model: Any, x: np.ndarray) -> np.ndarray:
    names = [f"c{k}" for k in range(x.shape[1])]
    sql = to_sql(model, "t", form="query", columns=names)
    con = connect(":memory:")
    con.execute(f"CREATE TABLE t ({', '.join(names)})")
    con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", x.tolist())
    return np.array(con.execute(sql).fetchall(), float)


def _refusal(model: Any) -> str | None:
    """What to_sql says of a model that it refuses."""
    try:
        to_sql(model, "t", columns=[f"c{k}" for k in range(prod(model.inputs[0].row))])
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:Layer 'Flatten'.*mask:UserWarning")
def test_layers_are_what_predict_gives() -> None:
    written: set[str] = set()
    for title, case in CASES.items():
        model, layer = case.model()
        x = case.rows(5)
        if (refused := _refusal(model)) is not None:
            mapped = type(layer).__name__ in LAYERS_IN_SQL
            assert re.search(
                "to_sql cannot write (the activation|the operation|sparsemax|it)" if mapped else "to_sql", refused
            )
            continue
        found = _answers(model, x.reshape(5, -1))
        written.add(type(layer).__name__)
        np.testing.assert_allclose(found, model.predict(x), rtol=1e-5, atol=1e-5, err_msg=title)
    own = {name for name in LAYERS_IN_SQL if name in LAYERS_IN_C and "Dropout" not in name and "Noise" not in name}
    assert own <= written | {"Flatten", "Reshape"}


def test_graphs() -> None:
    x = L.Input((6,))
    shared = L.Dense(2, "tanh")
    inner_in = L.Input((2,))
    inner = Model(inner_in, [L.Dense(2)(inner_in), L.Dense(1)(inner_in)], name="inner")
    steps = L.TimeDistributed(Sequential([L.Input((3,)), L.Dense(2, "elu")]))(L.Reshape((2, 3))(x))
    one, two = inner(shared(L.Flatten()(steps)))
    model = Model(x, [L.Multiply()([one, two]), x[:, ::-2], x, L.Dense(2)(shared(x[:, :4])) * 2.0])
    rows = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    given = np.concatenate(model.predict(rows), axis=1)
    np.testing.assert_allclose(_answers(model, rows), given, rtol=1e-5, atol=1e-5)


def test_a_model_that_prepares_columns(tmp_path: Path) -> None:
    path, columns = tmp_path / "birds.db", penguins.load_columns()
    con = connect(path)
    con.execute(f"CREATE TABLE birds (id INTEGER PRIMARY KEY, {', '.join(columns)})")
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    rows_ = [[None if value == "" or value != value else value for value in row] for row in rows]
    con.executemany(f"INSERT INTO birds VALUES (NULL{', ?' * len(columns)})", rows_)
    con.commit()
    source = SQLDataset("SELECT * FROM birds", path, target="species", key="id", prepare="auto")
    model = Sequential([L.Dense(8, "relu"), L.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(source, epochs=2, verbose=0)
    assert any(None in row for row in rows_)
    model.predict_sql("SELECT * FROM birds", path, into="guesses", key="id")
    con.execute(to_sql(model, "birds", key="id"))
    both = "birds_prediction JOIN guesses USING (id) ORDER BY id"
    found = con.execute(f"SELECT prediction_Adelie, prediction_Chinstrap, prediction_Gentoo FROM {both}").fetchall()
    best, top = zip(*con.execute(f"SELECT prediction, probability FROM {both}"), strict=True)
    np.testing.assert_allclose(np.max(found, axis=1), top, rtol=1e-5, atol=1e-5)
    assert [("Adelie", "Chinstrap", "Gentoo")[k] for k in np.argmax(found, axis=1)] == list(best)


def test_floats_of_16_bits_are_written_and_bytes_refused() -> None:
    model = _net(5, 2)
    few = fastnn.compress.quantize(model, 16, dtype="bfloat16")
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = _answers(few, rows)
    np.testing.assert_allclose(found, few.predict(rows), rtol=1e-5, atol=1e-6)
    assert np.abs(found - model.predict(rows)).max() > 1e-4
    assert re.search("'dense.*its kernel is quantised; give to_sql", str(_refusal(fastnn.compress.quantize(model))))


def test_constants_below_0() -> None:
    x = L.Input((2,))
    dense = L.Dense(2, "sigmoid", kernel_initializer="zeros", bias_initializer=fastnn.initializers.Constant(-2.0))
    model = Model(
        x, [dense(x), L.Activation("softplus")(L.Rescaling(0.0, -3.0)(x)), L.Activation("mish")(x * 0.0 - 1.0)]
    )
    rows = np.ones((3, 2), np.float32)
    given = np.concatenate(model.predict(rows), axis=1)
    np.testing.assert_allclose(_answers(model, rows), given, rtol=1e-5, atol=1e-5)


def _net(*units: int) -> Any:
    return Sequential([L.Input((3,)), *(L.Dense(n, "relu") for n in units)])


def test_what_is_too_large_is_refused_with_its_number() -> None:
    with pytest.raises(ValueError, match=r"15,701 weights, and SQL is for at most 10,000"):
        to_sql(_net(100, 150, 1), "t", columns=list("abc"))
    with pytest.raises(ValueError, match=r"1,501 numbers lie side by side, and databases have at most 1,000"):
        to_sql(_net(1, 1500), "t", columns=list("abc"), key="k")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dialect": "oracle"}, "dialect must be one of 'sqlite', 'postgresql', 'mariadb', 'duckdb', got 'oracle'"),
        ({"dialect": ["sqlite"]}, "dialect must be one of"),
        ({"form": np.array(["view"])}, "form must be one of"),
        ({"form": "table"}, "form must be one of 'view', 'query', 'expression', got 'table'"),
        ({"columns": None}, r"reads 3 number\(s\), knows no names; give columns=\[...\]"),
        ({"columns": ["a", "b"]}, r"reads 3 number\(s\), got 2 columns"),
        ({"columns": ["a", "b", ""]}, "columns must be a name, got ''"),
        ({"columns": ["a", "b", 3]}, "columns must be a string"),
        ({"key": "prediction_0"}, "need names of their own"),
        ({"key": 3}, "key must be a list of names"),
        ({"outputs": ["x"]}, r"2 prediction\(s\) and 0 key\(s\)"),
        ({"outputs": ["x", "X"]}, "need names of their own"),
        ({"form": "expression"}, "an expression is one number, and the model gives 2; choose by output="),
        ({"form": "expression", "output": 2}, "output must be"),
        ({"output": 1}, "output is for form='expression'"),
        ({"table": "a\0b"}, "table must be a text without"),
        ({"table": ()}, "table must be a string"),
        ({"table": ("s", "")}, "table must be a name, got ''"),
        ({"name": 3}, "name must be a string"),
    ],
)
def test_odd_arguments(options: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"to_sql: .*{says}"):
        to_sql(_net(4, 2), **{"table": "t", "columns": list("abc"), **options})


def test_other_models_are_refused() -> None:
    with pytest.raises(TypeError, match=r"to_sql: model must be a fastnn\.models\.Model"):
        to_sql(3, "t")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="to_sql: the model is not built yet"):
        to_sql(Sequential([L.Dense(1)]), "t")
    x = L.Input((4, 2))
    with pytest.raises(ValueError, match=r"layer 'lstm.*' \(LSTM\): to_sql cannot write it.*covered are Dense"):
        to_sql(Model(x, L.LSTM(2)(x)), "t", columns=list("abcdefgh"))
    with pytest.raises(ValueError, match="sparsemax"):
        to_sql(Model(x, L.Activation("sparsemax")(x)), "t", columns=list("abcdefgh"))
    text = L.Input((1,), dtype="string", name="word")
    with pytest.raises(ValueError, match="Hashing"):
        to_sql(Model(text, L.Dense(1)(L.Hashing(4, output_mode="one_hot")(text))), "t")
    lookup = L.StringLookup(vocabulary=["a"], num_oov_indices=2, output_mode="one_hot")
    with pytest.raises(ValueError, match="at most one num_oov_indices"):
        to_sql(Model(text, L.Dense(1)(lookup(text))), "t")


def test_columns_are_those_of_the_fit_and_missing_ones_an_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rng.normal(size=(20, 2)), columns=["no", "yes"])
    model = Sequential([L.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(frame, rng.normal(size=20), verbose=0)
    model.export(tmp_path / "net.sql", format="sql", table=("main", "t"), key="id")
    text = (tmp_path / "net.sql").read_text()
    assert text.startswith('CREATE VIEW "t_prediction" AS\n-- fastnn')
    assert text.endswith(";\n")
    con = connect(":memory:")
    con.execute("CREATE TABLE t (id, yes, no)")
    con.execute("INSERT INTO t VALUES (1, 0.5, -2)")
    con.executescript(text)
    (row,) = con.execute("SELECT id, prediction FROM t_prediction")
    np.testing.assert_allclose(row, (1, model.predict(frame.iloc[:1].assign(no=-2.0, yes=0.5))[0, 0]), rtol=1e-5)
    con.execute("DROP TABLE t")
    con.execute("CREATE TABLE t (id, yes)")
    for form in ("query", "expression"):
        sql = to_sql(model, "t", form=form)
        with pytest.raises(sqlite3.OperationalError, match="no such column"):  # not a text called 'no'
            con.execute(sql if form == "query" else f"SELECT {sql} FROM t").fetchall()

"""A model knows the names of the columns that it was fitted on: in memory, in its file, and in a query."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset, write_predictions
from fastnn.layers import Concatenate, Dense, Input
from fastnn.models import Model, Sequential, clone_model, load_model
from fastnn.store import safetensors
from support.database import connect

Y = np.arange(4.0)


def records(*names: str, rows: int = 4) -> np.ndarray:
    """Column number i holds i."""
    out = np.zeros(rows, [(name, "f4") for name in names])
    for name in names:
        out[name] = "abcdefgh".index(name[0])
    return out


def frame(library: str, *names: str) -> Any:
    if library == "records":
        return records(*names)
    module = pytest.importorskip(library)
    columns = {name: records(*names)[name] for name in names}
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


def model_of(features: int = 2) -> Sequential:
    model = Sequential([Input((features,)), Dense(1)])
    model.compile("sgd", "mse")
    return model


def predictions(model: Sequential, wrong: Any) -> list[Callable[[], Any]]:
    return [
        lambda: model.predict(wrong),
        lambda: model.predict(wrong, verbose=0, steps=1),
        lambda: model.predict_on_batch(wrong),
        lambda: model(wrong),
        lambda: model.predict({model.input_names[0]: wrong}),
    ]


def trainings(model: Sequential, right: Any, wrong: Any) -> list[Callable[[], Any]]:
    return [
        lambda: model.fit(wrong, Y, verbose=0),
        lambda: model.evaluate(wrong, Y, verbose=0),
        lambda: model.train_on_batch(wrong, Y),
        lambda: model.test_on_batch(wrong, Y),
        lambda: model.fit([(wrong, Y)], verbose=0),
        lambda: model.fit(wrong, Y, class_weight={0: 2.0}, verbose=0),
        lambda: model.fit(right, Y, validation_data=(wrong, Y), verbose=0),
    ]


ANOTHER_ORDER = (
    "x has the columns 'b', 'a', but the model was fitted on 'a', 'b': in another order; give the columns that it "
    "knows, in that order, or an array, which has no names"
)


@pytest.mark.parametrize("library", ["records", "pandas", "polars", "pyarrow"])
def test_another_order_is_refused_everywhere(library: str, tmp_path: Path) -> None:
    right, wrong = frame(library, "a", "b"), frame(library, "b", "a")
    model = model_of()
    assert model.feature_names == ()
    model.predict(wrong)  # nobody has said yet what the columns are called
    model.fit(right, Y, verbose=0)
    assert model.feature_names == ("a", "b")
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    before = loaded.get_weights()
    for each in (model, loaded):
        assert each.feature_names == ("a", "b")
        for call in predictions(each, wrong):
            with pytest.raises(ValueError, match=f"^{re.escape(ANOTHER_ORDER)}$"):
                call()
        for call in trainings(each, right, wrong):
            with pytest.raises(ValueError, match=r"data has the columns 'b', 'a', but .* 'a', 'b': in another order"):
                call()
        np.testing.assert_array_equal(each.predict(right), each.predict(np.array([[0.0, 1.0]] * 4)))
    for one, two in zip(loaded.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)
    loaded.fit(right, Y, verbose=0)
    loaded.fit(np.ones((4, 2)), Y, verbose=0)  # an array has no names
    assert loaded.feature_names == ("a", "b")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a", "c"), "without 'b' and with 'c'"),
        (("B", "a"), "without 'b' and with 'B'"),
        (("a", "b "), "without 'b' and with 'b '"),
        (("a", "b", "c"), "'a', 'b': with 'c'; give"),
        (("b",), "'a', 'b': without 'a'; give"),
    ],
)
def test_other_names(names: tuple[str, ...], words: str) -> None:
    model = model_of()
    model.fit(records("a", "b"), Y, verbose=0)
    given = np.zeros(4, [(name, "f4") for name in names])
    with pytest.raises(ValueError, match=words):
        model.predict(given)


def test_what_has_no_names() -> None:
    model = model_of(1)
    model.fit(np.ones((4, 1)), Y, verbose=0)
    assert model.feature_names == ()
    model.train_on_batch(records("a"), Y)
    assert model.feature_names == ("a",)
    pd = pytest.importorskip("pandas")
    model.predict(pd.Series([1.0], name="other"))  # a column alone is often called after what it is for
    model.predict(pd.DataFrame(np.ones((2, 1))))  # numbers are places, not names
    with pytest.raises(ValueError, match="with 'b'"):
        model.predict(pd.DataFrame({"b": [1.0]}))


def test_a_new_input_shape_and_a_clone_forget() -> None:
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(records("a", "b"), Y, verbose=0)
    assert clone_model(model).feature_names == ()
    model.build((3,))
    assert model.feature_names == ()
    model.fit(records("c", "b", "a"), Y, verbose=0)
    assert model.feature_names == ("c", "b", "a")


def test_a_fit_that_is_refused_learns_no_names() -> None:
    model = model_of()
    with pytest.raises(ValueError, match="expects 2 features"):
        model.fit(records("a", "b", "c"), Y, verbose=0)
    with pytest.raises(ValueError, match="y has"):
        model.fit(records("a", "b"), np.ones((4, 3)), verbose=0)
    assert model.feature_names == ()


def test_each_batch_is_checked() -> None:
    batches = [(records("a", "b"), Y), (records("b", "a"), Y)]
    with pytest.raises(ValueError, match="batch 1 has the columns 'b', 'a', but the first one has 'a', 'b'"):
        model_of().fit(iter(batches), verbose=0)


def test_a_list_of_one_batch() -> None:
    model = model_of(1)
    model.fit([(np.ones(4), Y)], verbose=0)  # one row of four numbers, and one of Y's, it was once
    assert model.predict([(np.ones(4), Y)]).shape == (4, 1)


def test_several_inputs() -> None:
    left, right = Input((2,), name="left"), Input((1,), name="right")
    model = Model([left, right], Dense(1)(Concatenate()([left, right])))
    model.compile("sgd", "mse")
    model.fit([records("a", "b"), records("c")], Y, verbose=0)
    assert model.feature_names == ("a", "b", "c")
    model.predict({"right": records("c"), "left": records("a", "b")})
    model.predict([np.ones((4, 2)), records("d")])  # not all of them have names
    with pytest.raises(ValueError, match="in another order"):
        model.predict([records("b", "a"), records("c")])


@pytest.fixture
def connection() -> Any:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, y REAL)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(i, i / 8, 1 - i / 4, i) for i in range(8)])
    connection.commit()
    yield connection
    connection.close()


def test_queries(connection: sqlite3.Connection) -> None:
    model = model_of()
    model.fit(SQLDataset("SELECT a, b, y FROM t", connection, target="y"), verbose=0)
    assert model.feature_names == ("a", "b")
    model.predict(SQLDataset("SELECT id, b, a FROM t", connection, features=["a", "b"]))
    model.predict(records("a", "b"))
    with pytest.raises(ValueError, match=r"^x has the columns 'b', 'a', but the model was fitted on 'a', 'b'"):
        model.predict(SQLDataset("SELECT b, a FROM t", connection))
    assert model.predict_sql("SELECT a, b, id FROM t", connection, into="p", key="id") == 8
    with pytest.raises(ValueError, match=r"^the query has the columns 'b', 'a', but the model was fitted on 'a', 'b'"):
        model.predict_sql("SELECT id, b, a FROM t", connection, into="q", key="id")
    with pytest.raises(ValueError, match="without 'b' and with 'y'; give the columns"):
        model.predict_sql("SELECT id, a, y FROM t", connection, into="q", key="id")
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'q'").fetchone() == (0,)
    anonymous = model_of()
    anonymous.predict_sql("SELECT id, b, a FROM t", connection, into="q", key="id")
    with pytest.raises(ValueError, match="in another order"):
        write_predictions(
            anonymous.predict, "SELECT id, b, a FROM t", connection, into="r", key="id", kind="values", names=("a", "b")
        )


def test_names_in_a_file_are_texts(tmp_path: Path) -> None:
    model = model_of()
    model.fit(records("a", "b"), Y, verbose=0)
    model.save(tmp_path / "model")
    tensors, metadata = safetensors.read(tmp_path / "model")
    for wrong in ("[1, 2]", '"ab"', "{}", "null", '[["a"]]'):
        text = metadata["model"].replace('"columns": ["a", "b"]', f'"columns": {wrong}')
        assert text != metadata["model"]
        safetensors.write(tmp_path / "wrong", tensors, {**metadata, "model": text})
        with pytest.raises(ValueError, match=r"wrong does not describe a model .* at \.columns"):
            load_model(tmp_path / "wrong")

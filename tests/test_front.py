"""Models that read raw columns: a dict of numbers, whole numbers and text goes in wherever rows go in."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.data import ArraySource, SQLDataset
from fastnn.data.columns import BLOCK
from fastnn.models import Model, Sequential, clone_model, load_model, model_from_json
from support.database import connect

CITIES = ["Rome", "Paris", "Oslo", "Bonn"]
ROWS = 90


def raw(rows: int = ROWS) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    x = {
        "price": rng.normal(size=rows),
        "city": np.array([*CITIES, "Bern"], object)[rng.integers(0, 5, rows)],
        "code": rng.integers(0, 4, rows) + 2**40,
    }
    return x, (x["price"] * 2 + (x["city"] == "Rome") * 3 + (x["code"] % 2)).astype(np.float32)


def model_of(seed: int = 0) -> Model:
    """price as it is, city by a vocabulary, code by its hash, side by side into a Dense layer."""
    price, city = L.Input((1,), name="price"), L.Input((1,), name="city", dtype="string")
    code = L.Input((1,), name="code", dtype="int64")
    cities = L.StringLookup(vocabulary=CITIES, output_mode="one_hot")(city)
    codes = L.Flatten()(L.Embedding(7, 2)(L.Hashing(7)(code)))
    out = L.Dense(1)(L.Concatenate()([price, cities, codes]))
    model = Model({"price": price, "city": city, "code": code}, out)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def by_hand(model: Model, x: dict[str, Any]) -> np.ndarray:
    """The same from the layers on arrays, and NumPy."""
    table, kernel, bias = model.get_weights()
    cities = L.StringLookup(vocabulary=CITIES, output_mode="one_hot")(np.asarray(x["city"], object)[:, None])
    codes = table[L.Hashing(7)(np.asarray(x["code"]))]
    return np.concatenate([np.asarray(x["price"])[:, None], cities, codes], axis=1) @ kernel + bias


def database(x: dict[str, np.ndarray], y: np.ndarray) -> sqlite3.Connection:
    con = connect(":memory:")
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, city TEXT, code INTEGER, price REAL, y REAL)")
    rows = zip(range(len(y)), x["city"], x["code"].tolist(), x["price"].tolist(), y.tolist(), strict=True)
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    return con


# Rows in.


def containers(x: dict[str, np.ndarray]) -> dict[str, Any]:
    def batches() -> Any:
        for start in range(0, ROWS, 32):
            yield {name: column[start : start + 32] for name, column in x.items()}

    return {
        "dict": x,
        "lists": {name: column.tolist() for name, column in x.items()},
        "columns": {name: column[:, None] for name, column in x.items()},
        "list in order": [x["price"], x["city"], x["code"]],
        "fixed width": {**x, "city": x["city"].astype("U")},
        "bytes": {**x, "city": x["city"].astype("S")},
        "records": np.rec.fromarrays([x["code"], x["city"], x["price"]], names="code, city, price"),
        "generator": batches(),
        "batches": [(batch,) for batch in batches()],
        "query": SQLDataset("SELECT code, city, price FROM t ORDER BY id", database(x, np.zeros(ROWS))),
        "query through windows": SQLDataset(
            "SELECT code, city, price FROM t ORDER BY id", database(x, np.zeros(ROWS)), memory_limit=100
        ),
    }


@pytest.mark.parametrize("kind", containers(raw()[0]))
def test_predict(kind: str) -> None:
    x, _ = raw()
    model = model_of()
    np.testing.assert_allclose(model.predict(containers(x)[kind]), by_hand(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames(library: str) -> None:
    lib = pytest.importorskip(library)
    x, y = raw()
    model = model_of()
    frame = lib.table(x) if library == "pyarrow" else lib.DataFrame(x)
    expected = by_hand(model, x)
    np.testing.assert_allclose(model.predict(frame), expected, rtol=1e-5, atol=1e-5)
    if library == "pandas":
        for dtype in ("category", "string", object):
            np.testing.assert_array_equal(model.predict(frame.astype({"city": dtype})), model.predict(x))
        np.testing.assert_array_equal(model.predict(frame.astype({"code": "Int64"})), model.predict(x))
        model.fit(frame, lib.Series(y), verbose=0)
        with pytest.raises(ValueError, match="leave 'y' out"):
            model.predict(frame.assign(y=y))
    if library == "polars":
        kinds = [lib.col("city").cast(lib.Categorical), lib.col("city").cast(lib.Enum([*CITIES, "Bern"]))]
        for kind in kinds:
            np.testing.assert_array_equal(model.predict(frame.with_columns(kind)), model.predict(x))
    if library == "pyarrow":
        encoded = frame.set_column(1, "city", frame.column("city").dictionary_encode())
        np.testing.assert_array_equal(model.predict(encoded), model.predict(x))


def test_training_goes_as_on_prepared_numbers() -> None:
    """fit, its validation, weights and train_on_batch, beside a model whose codes come ready."""
    x, y = raw()
    model, weights = model_of(), np.linspace(0.5, 2, ROWS).astype(np.float32)
    inputs = [L.Input((1,)), L.Input((5,)), L.Input((1,))]
    codes = L.Flatten()(L.Embedding(7, 2)(inputs[2]))
    plain = Model(inputs, L.Dense(1)(L.Concatenate()([*inputs[:2], codes])))
    plain.set_weights(model.get_weights())
    plain.compile("sgd", "mse", metrics=["mae"])
    ready = [
        x["price"],
        L.StringLookup(vocabulary=CITIES, output_mode="one_hot")(x["city"][:, None]),
        L.Hashing(7)(x["code"]),
    ]
    options: dict[str, Any] = {"epochs": 3, "shuffle": False, "verbose": 0, "sample_weight": weights}
    one = model.fit(x, y, validation_split=0.25, **options).history
    other = plain.fit(ready, y, validation_split=0.25, **options).history
    assert [one[name] for name in ("loss", "val_loss", "mae")] == [other[name] for name in ("loss", "val_loss", "mae")]
    assert model.evaluate(x, y, verbose=0) == plain.evaluate(ready, y, verbose=0)
    assert model.train_on_batch(x, y) == plain.train_on_batch(ready, y)
    assert model.test_on_batch(x, y) == plain.test_on_batch(ready, y)
    for mine, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_queries_and_batches_train_alike() -> None:
    x, y = raw()
    data = SQLDataset("SELECT * FROM t ORDER BY id", database(x, y), target="y", features=["city", "code", "price"])
    model, other = model_of(), model_of()
    first = model.fit(data, epochs=2, shuffle=False, verbose=0, validation_data=(x, y)).history["val_loss"]
    second = other.fit(x, y, epochs=2, shuffle=False, verbose=0, validation_data=data).history["val_loss"]
    assert first == second
    assert model.evaluate(data, verbose=0) == model.evaluate(x, y, verbose=0)
    batches = [({k: v[i : i + 30] for k, v in x.items()}, y[i : i + 30]) for i in range(0, ROWS, 30)]
    third, fourth = model_of(), model_of()
    third.fit(batches, shuffle=False, verbose=0)
    fourth.fit(x, y, batch_size=30, shuffle=False, verbose=0)
    np.testing.assert_array_equal(third.predict(x), fourth.predict(x))


def test_predict_sql() -> None:
    x, y = raw()
    model, con = model_of(), database(x, y)
    assert model.predict_sql("SELECT id, price, code, city FROM t", con, into="p", key="id") == ROWS
    written = np.array(con.execute("SELECT prediction FROM p ORDER BY id").fetchall(), np.float32)
    np.testing.assert_array_equal(written, model.predict(x))
    with pytest.raises(ValueError, match="'y', which the model does not read"):
        model.predict_sql("SELECT * FROM t", con, into="q", key="id")
    con.execute("UPDATE t SET city = NULL WHERE id = 6")
    with pytest.raises(ValueError, match="column 'city' of the query has no text at row 7"):
        model.predict_sql("SELECT id, price, code, city FROM t ORDER BY id", con, into="q", key="id")
    assert con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'q'").fetchone() == (0,)


def test_a_source_of_numbers_goes_through_the_front() -> None:
    column = L.Input((2,), dtype="int64")
    model = Model(column, L.IntegerLookup(vocabulary=[5, 7, 9], output_mode="count")(column))
    x = np.array([[5, 9], [9, 9], [1, 7]])
    expected = [[0, 1, 0, 1], [0, 0, 0, 2], [1, 0, 1, 0]]
    np.testing.assert_array_equal(model.predict(ArraySource(x)), expected)
    np.testing.assert_array_equal(model.predict(x), expected)
    with pytest.raises(ValueError, match="rows of 3 numbers, but the model reads 2"):
        model.predict(ArraySource(np.ones((4, 3))))
    text = L.Input((1,), name="city", dtype="string")
    with pytest.raises(TypeError, match="'city' reads text, and a ArraySource holds numbers"):
        Model(text, L.Hashing(3)(text)).predict(ArraySource(np.ones((4, 1))))


def test_more_rows_than_a_block() -> None:
    text = L.Input((1,), dtype="string")
    model = Model(text, L.StringLookup(vocabulary=CITIES)(text))
    cities = np.array([*CITIES, "Bern"])[np.arange(2 * BLOCK + 17) % 5]
    np.testing.assert_array_equal(model.predict(cities)[:, 0], (np.arange(len(cities)) % 5 + 1) % 5)
    bad = cities.astype(object)
    bad[BLOCK + 3] = None
    with pytest.raises(ValueError, match=f"has no text at row {BLOCK + 3}"):
        model.predict(bad)


# What cannot be.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"city": ["Rome", None]}, ValueError, r"x\['city'\] has no text at row 1"),
        ({"city": ["Rome", float("nan")]}, ValueError, r"x\['city'\] has no text at row 1"),
        ({"city": ["Rome", 3]}, TypeError, r"x\['city'\] must hold text, got 3 at row 1"),
        ({"city": [1, 2]}, TypeError, r"x\['city'\] must hold text, got dtype int64"),
        ({"city": ["Rome", b"\xff"]}, ValueError, r"x\['city'\] at row 1 is no text in utf-8"),
        ({"city": ["Rome", "\ud800"]}, ValueError, "surrogates not allowed"),
        ({"city": [["Rome", "Oslo"]]}, ValueError, r"x\['city'\] has rows of shape \(2,\), but the model's \(1,\)"),
        ({"city": "Rome"}, ValueError, r"x\['city'\] has rows of shape"),
        ({"code": [1, 2.5]}, ValueError, r"x\['code'\] must hold whole numbers of 64 bits, got .*2.5.* at row 1"),
        ({"code": np.ma.array([1, 2], mask=[0, 1])}, ValueError, r"x\['code'\] has a masked value at row 1"),
        ({"city": np.ma.array(["a", "b"], mask=[0, 1])}, ValueError, r"x\['city'\] has a masked value at row 1"),
        ({"code": [1, None]}, ValueError, r"x\['code'\] must hold whole numbers of 64 bits, got None at row 1"),
        ({"code": [1, float("nan")]}, ValueError, r"x\['code'\] .* got .*nan.* at row 1"),
        ({"code": [1, 2**63]}, ValueError, r"x\['code'\] .* at row 1"),
        ({"code": [2**60 + 1, 0.5]}, ValueError, r"x\['code'\] .* got 0.5 at row 1"),
        ({"code": [1, "a"]}, ValueError, r"x\['code'\] .* got 'a' at row 1"),
        ({"code": ["1", "2"]}, (TypeError, ValueError), r"x\['code'\] must hold whole numbers"),
        ({"price": ["a", "b"]}, TypeError, r"x\['price'\] must hold numbers"),
        ({"price": [1.0]}, ValueError, r"x\['price'\] has 1 rows but x\['city'\] has 2"),
        ({"size": [1, 2]}, ValueError, "leave 'size' out"),
    ],
)
def test_bad_columns(change: dict[str, Any], error: Any, message: str) -> None:
    good = {"price": [0.5, 1.5], "city": ["Rome", "Oslo"], "code": [3, 4]}
    model = model_of()
    before = model.get_weights()
    for call in (model.predict, lambda x: model.fit(x, [1.0, 2.0], verbose=0), lambda x: model.evaluate(x, [1.0, 2.0])):
        with pytest.raises(error, match=message):
            call(good | change)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="it lacks 'city'"):
        model.predict({"price": [1.0], "code": [2]})
    with pytest.raises(ValueError, match="no rows"):
        model.predict({"price": [], "city": [], "code": []})


def test_a_batch_with_bad_text_is_named() -> None:
    x, y = raw()
    few = {name: column[:10] for name, column in x.items()}
    batches = [(few, y[:10]), (few | {"city": [None] * 10}, y[:10])]
    with pytest.raises(ValueError, match=r"batch 1 .*x\['city'\] has no text at row 0"):
        model_of().fit(batches, shuffle=False, verbose=0)


def test_layers_that_read_numbers_refuse_text() -> None:
    text = L.Input((2,), dtype="string")
    for layer in (L.Dense(3), L.Flatten(), L.Embedding(3, 2), L.IntegerLookup(vocabulary=[1]), L.Concatenate()):
        with pytest.raises(ValueError, match=r"got text|reads numbers, got a tensor of dtype 'string'"):
            layer([text, text] if isinstance(layer, L.Concatenate) else text)
    with pytest.raises(ValueError, match="StringLookup reads text, got a tensor of dtype 'float32'"):
        L.StringLookup(vocabulary=["a"])(L.Input((1,)))
    with pytest.raises(ValueError, match="integer or string dtype"):
        L.HashedCrossing(3)([L.Input((1,)), L.Input((1,))])
    with pytest.raises(ValueError, match="is text, and a model"):
        Model(text, text)
    inverse = L.StringLookup(vocabulary=["a"], invert=True)(L.Input((1,), dtype="int64"))
    assert inverse.dtype == "string"
    with pytest.raises(ValueError, match="is text, and a model gives numbers"):
        Model(inverse.node.inputs[0], inverse)
    with pytest.raises(ValueError, match="dtype must be one of"):
        L.Input((1,), dtype="complex64")
    reads = Model(text, L.Hashing(4)(text))
    with pytest.raises(ValueError, match="reads a tensor of dtype 'string'"):
        reads(L.Input((2,)))


def test_whole_numbers_beyond_float32_are_refused_where_they_would_be_rounded() -> None:
    column = L.Input((1,), dtype="int64")
    model = Model(column, L.Concatenate()([column, L.Hashing(3)(column)]))
    np.testing.assert_array_equal(model.predict([[2**24]])[0, 0], 2**24)
    with pytest.raises(ValueError, match=r"holds 16777217 in row 1, and a model's numbers are float32"):
        model.predict([[5], [2**24 + 1]])


# Models in models, models that are built late, files.


def test_models_inside_share_a_front(tmp_path: Path) -> None:
    city = L.Input((1,), name="city", dtype="string")
    prepared = Model(city, L.StringLookup(vocabulary=CITIES, output_mode="one_hot")(city), name="prepared")
    first, second = (L.Input((1,), name=name, dtype="string") for name in ("home", "away"))
    model = Model([first, second], L.Dense(2)(L.Concatenate()([prepared(first), prepared(second)])))
    home, away = np.array(["Rome", "Bern"]), np.array(["Oslo", "Rome"])
    hot = np.concatenate([prepared.predict(home), prepared.predict(away)], axis=1)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict([home, away]), hot @ kernel + bias, rtol=1e-6)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict([home, away]), model.predict([home, away]))


def test_a_model_may_begin_behind_the_front() -> None:
    """Trained on what was prepared once, then put behind the layers that prepare."""
    city = L.Input((1,), name="city", dtype="string")
    hot = L.StringLookup(vocabulary=CITIES, output_mode="one_hot")(city)
    out = L.Dense(1)(hot)
    inner, whole, prepared = Model(hot, out), Model(city, out), Model(city, hot)
    cities = np.array([*CITIES, "Bern"])
    inner.compile("sgd", "mse")
    inner.fit(prepared.predict(cities), np.ones(5), verbose=0)
    np.testing.assert_array_equal(whole.predict(cities), inner.predict(prepared.predict(cities)))


TEXTS = np.array(["good film", "bad film", "great good fun", "awful bad", "good", "bad bad"] * 10)
GOOD = np.array([1, 0, 1, 0, 1, 0] * 10)


@pytest.mark.parametrize("first", ["input", "scalar input", "input_shape", "rows"])
def test_sequential(first: str, tmp_path: Path) -> None:
    shape = (1,) if first == "input_shape" else None
    vectorize = L.TextVectorization(output_sequence_length=4, input_shape=shape)
    vectorize.adapt(TEXTS)
    begins = {"input": [L.Input((1,), dtype="string")], "scalar input": [L.Input((), dtype="string")]}.get(first, [])
    model = Sequential([*begins, vectorize, L.Embedding(9, 4), L.Flatten(), L.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(TEXTS, GOOD, epochs=80, verbose=0)
    assert model.evaluate(TEXTS, GOOD, verbose=0, return_dict=True)["accuracy"] == 1
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(TEXTS), model.predict(TEXTS))
    assert loaded.layers[0].get_vocabulary() == vectorize.get_vocabulary()
    assert loaded.input_shape == model.input_shape == ((None,) if first == "scalar input" else (None, 1))
    loaded.fit(TEXTS, GOOD, verbose=0)  # its optimizer goes on
    assert clone_model(model).layers[0].get_vocabulary() == vectorize.get_vocabulary()
    assert model_from_json(model.to_json()).predict(TEXTS).shape == (60, 1)
    model.summary(print_fn=(lines := []).append)
    assert "TextVectorization, 8 tokens" in lines[0]


def test_a_first_layer_that_hashes_is_built_by_what_comes(tmp_path: Path) -> None:
    for x in (np.array(["a", "b"]), np.array([3, 4])):
        model = Sequential([L.Hashing(8), L.Embedding(8, 2), L.Flatten(), L.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, [0.0, 1.0], verbose=0)
        assert model.predict(x).shape == (2, 1)
        model.save(tmp_path / "model")
        np.testing.assert_array_equal(load_model(tmp_path / "model").predict(x), model.predict(x))
    unbuilt = Sequential([L.StringLookup(vocabulary=["a"]), L.Embedding(2, 2), L.Flatten(), L.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="give the first layer an input_shape"):
        unbuilt.fit(iter([(np.array(["a"]), np.array([1.0]))]), verbose=0)


def test_a_vocabulary_of_another_size_needs_a_new_model() -> None:
    lookup = L.StringLookup(output_mode="multi_hot")
    lookup.adapt(CITIES)
    city = L.Input((1,), dtype="string")
    model = Model(city, L.Dense(1)(lookup(city)))
    with pytest.raises(RuntimeError, match="the vocabulary size cannot be changed"):
        lookup.adapt(["Rome", "Oslo"])
    assert model.predict(["Rome"]).shape == (1, 1)
    lookup.adapt(["a", "b", "c", "d"])  # of the same
    codes = L.StringLookup()
    codes.adapt(CITIES)
    model = Model(city, codes(city))
    codes.adapt(["Oslo", "Oslo", "Rome"])
    np.testing.assert_array_equal(model.predict(["Oslo", "Rome", "Bonn"])[:, 0], [1, 2, 0])


def test_a_query_is_read_anew_when_a_vocabulary_has_changed() -> None:
    x, y = raw()
    codes = L.StringLookup()
    codes.adapt(CITIES)
    city = L.Input((1,), dtype="string")
    model = Model(city, codes(city))
    data = SQLDataset("SELECT city FROM t ORDER BY id", database(x, y))
    np.testing.assert_array_equal(model.predict(data), model.predict(x["city"]))
    codes.adapt(x["city"])
    np.testing.assert_array_equal(model.predict(data), model.predict(x["city"]))
    assert 0 not in model.predict(data)


def test_behind_layers_that_compute() -> None:
    rows = L.Input((2,))
    model = Model(rows, L.Dense(1)(L.Discretization([-1.0, 0.0, 1.0], output_mode="one_hot")(L.Rescaling(2.0)(rows))))
    assert model.output_shape == (None, 2, 1)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    model.fit(x, np.ones((40, 2, 1)), epochs=2, verbose=0)
    kernel, bias = model.get_weights()
    bins = np.digitize(2 * x, [-1.0, 0.0, 1.0])
    np.testing.assert_allclose(model.predict(x), np.eye(4)[bins] @ kernel + bias, rtol=1e-5)

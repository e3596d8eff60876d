"""Columns that become rows of zeros and ones: sparse ones for a Dense layer, with the bits of dense ones."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import SparseRows, SQLDataset, _front
from fastnn.layers import (
    CategoryEncoding,
    Concatenate,
    Dense,
    Discretization,
    Flatten,
    HashedCrossing,
    Hashing,
    Input,
    IntegerLookup,
    Scaler,
    StringLookup,
    TextVectorization,
)
from fastnn.models import Model
from fastnn.utils import FeatureSpace
from support.database import connect

RNG = np.random.default_rng(0)
WORDS = [f"w{number}" for number in range(600)]
TEXTS = np.array([[WORDS[number] for number in row] for row in RNG.integers(0, 700, (40, 3)) % 600], object)
TEXTS[3] = ["none of them", "w1", "w1"]
IDF = np.linspace(0.1, 3, 600, dtype=np.float32)
LAYERS: dict[str, Callable[[], Any]] = {
    "one_hot": lambda: StringLookup(vocabulary=WORDS, output_mode="one_hot"),
    "multi_hot": lambda: StringLookup(vocabulary=WORDS, output_mode="multi_hot"),
    "count": lambda: StringLookup(vocabulary=WORDS, output_mode="count"),
    "tf_idf": lambda: StringLookup(vocabulary=WORDS, idf_weights=IDF, output_mode="tf_idf"),
    "hashed": lambda: Hashing(50, output_mode="count"),
    "hashed, as halves": lambda: Hashing(50, output_mode="one_hot", dtype="float16"),
}
TEXT = {"multi_hot": {}, "count": {}, "tf_idf": {"idf_weights": IDF}}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("columns", [1, 3])
def test_what_a_layer_gives(name: str, columns: int) -> None:
    layer, column = LAYERS[name](), TEXTS[:, :columns]
    found, expected = layer.on_rows(column, sparse=True), layer.on_rows(column)
    assert isinstance(found, SparseRows) == (name != "hashed, as halves")
    np.testing.assert_array_equal(np.asarray(found).reshape(len(column), -1), expected.reshape(len(column), -1))
    if isinstance(found, SparseRows):  # in order, each once
        assert (np.diff(found.indices)[np.diff(found.row_numbers()) == 0] > 0).all()


@pytest.mark.parametrize("mode", TEXT)
def test_what_texts_give(mode: str) -> None:
    layer = TextVectorization(vocabulary=WORDS, output_mode=mode, **TEXT[mode])
    texts = np.array([" ".join(row) for row in TEXTS] + ["", "w2 w2 w2"], object)[:, None]
    found, expected = layer.on_rows(texts, sparse=True), layer.on_rows(texts)
    np.testing.assert_array_equal(found, expected)
    assert len(found.data) == np.count_nonzero(expected)


def test_what_numbers_give() -> None:
    bins = Discretization(bin_boundaries=list(np.linspace(-2, 2, 30)), output_mode="one_hot")
    x = RNG.normal(size=(40, 3)).astype("f4")
    np.testing.assert_array_equal(bins.on_rows(x, sparse=True), bins.on_rows(x).reshape(40, -1))
    ids, crossed = RNG.integers(0, 9, (40, 1)), HashedCrossing(70, output_mode="one_hot")
    np.testing.assert_array_equal(crossed.on_rows(ids, TEXTS[:, :1], sparse=True), crossed.on_rows(ids, TEXTS[:, :1]))
    known = IntegerLookup(vocabulary=list(range(5)), output_mode="multi_hot")
    np.testing.assert_array_equal(known.on_rows(ids, sparse=True), known.on_rows(ids))


def inputs() -> dict[str, Any]:
    return {"word": Input((1,), dtype="string"), "size": Input((1,)), "kind": Input((1,), dtype="int64")}


def model(join: bool = True) -> Any:
    given = inputs()
    scaler = Scaler()
    scaler.adapt(np.arange(10, dtype="f4"))
    parts = [
        StringLookup(vocabulary=WORDS, output_mode="one_hot")(given["word"]),
        scaler(given["size"]),
        Hashing(64, output_mode="multi_hot")(given["kind"]),
    ]
    fastnn.set_random_seed(3)
    x = Concatenate()(parts) if join else parts[0]
    made = Model(given if join else {"word": given["word"]}, Dense(1, "sigmoid")(Dense(20, "relu")(x)))
    made.compile("adam", "binary_crossentropy")
    return made


ROWS = 3000
COLUMNS = {
    "word": np.array([WORDS[number] for number in RNG.integers(0, 600, ROWS)], object),
    "size": RNG.normal(size=ROWS).astype("f4"),
    "kind": RNG.integers(0, 1000, ROWS),
}
TARGET = (RNG.random(ROWS) < 0.5).astype("f4")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "rows.db"
    connection = connect(file)
    with connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, size REAL, kind INTEGER, y REAL)")
        rows = zip(*(COLUMNS[name].tolist() for name in ("word", "size", "kind")), TARGET.tolist(), strict=True)
        connection.executemany("INSERT INTO t (word, size, kind, y) VALUES (?, ?, ?, ?)", rows)
    return file


def dataset(database: Path, columns: str = "word, size, kind", **options: Any) -> SQLDataset:
    return SQLDataset(f"SELECT id, {columns}, y FROM t", f"sqlite:///{database}", target="y", key="id", **options)


def of(model: Any) -> bytes:
    return b"".join(weights.tobytes() for weights in model.get_weights())


@pytest.mark.parametrize("join", [True, False], ids=["with others", "alone"])
@pytest.mark.parametrize("split", [False, True], ids=["all", "a part"])
def test_a_query_fits_with_the_bits_of_dense_rows(
    database: Path, monkeypatch: pytest.MonkeyPatch, join: bool, split: bool
) -> None:
    found = []
    for wide in (100, 10**9):
        monkeypatch.setattr(_front, "WIDE", wide)
        made = model(join)
        rows: Any = dataset(database, "word, size, kind" if join else "word")
        rows = rows.split(0.3)[0] if split else rows
        history = made.fit(rows, epochs=3, batch_size=64, verbose=0)
        found.append((of(made), history.history["loss"], made.evaluate(rows, verbose=0)))
    assert found[0] == found[1]


def test_an_array_fits_with_the_bits_of_a_query(database: Path) -> None:
    one, other = model(), model()
    one.fit(dataset(database), epochs=2, shuffle=False, verbose=0)
    other.fit(COLUMNS, TARGET, epochs=2, shuffle=False, verbose=0)
    assert of(one) == of(other)


def test_the_engine_reads_one_sparse_input() -> None:
    plan = model().description.plan
    assert plan.inputs == [601 + 1 + 64]
    assert [type(op).__name__ for op in plan.ops] == ["DenseOp", "DenseOp"]


def test_no_dense_page_is_made(database: Path) -> None:
    made = model()
    made.fit(dataset(database), epochs=1, verbose=0)
    rows = dataset(database)
    tracemalloc.start()
    try:
        made.fit(rows, epochs=2, batch_size=64, verbose=0)
        assert tracemalloc.get_traced_memory()[1] < 4 * ROWS * 666 / 4
    finally:
        tracemalloc.stop()


def test_what_does_not_fit_into_memory_is_kept_on_disk(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    one, other = model(), model()
    one.fit(dataset(database, memory_limit=2**15), epochs=1, batch_size=10, verbose=0, shuffle=False)
    other.fit(dataset(database), epochs=1, batch_size=10, verbose=0, shuffle=False)
    assert of(one) == of(other)
    rows = dataset(database, memory_limit=2**15)
    one.fit(rows, epochs=3, batch_size=10, verbose=0)
    x = sum(file.stat().st_size for file in (tmp_path / "cache").glob("*/x"))
    assert x == 4 * ROWS * 666


def test_a_joined_value_that_others_read_too() -> None:
    given = inputs()
    hot = StringLookup(vocabulary=WORDS, output_mode="one_hot")(given["word"])
    hashed = Hashing(64, output_mode="multi_hot")(given["kind"])
    both = Concatenate()([hot, given["size"], Concatenate()([hashed, hot])])
    fastnn.set_random_seed(3)
    made = Model(given, Concatenate()([Dense(4)(both), Dense(3)(hot), Dense(2)(hashed)]))
    found = made.predict(COLUMNS)
    weights = made.get_weights()
    parts = [
        hot_of(COLUMNS["word"]),
        COLUMNS["size"][:, None],
        Hashing(64, output_mode="multi_hot")(COLUMNS["kind"][:, None]),
    ]
    whole = np.concatenate([*parts, parts[0]], axis=1)
    expected = [x @ w + b for x, w, b in zip((whole, parts[0], parts[2]), weights[::2], weights[1::2], strict=True)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-5)


def hot_of(words: Any) -> Any:
    return np.eye(601, dtype="f4")[[WORDS.index(word) + 1 for word in words]]


def test_numbers_beyond_a_float_are_refused_beside_others() -> None:
    given = inputs()
    hot = StringLookup(vocabulary=WORDS, output_mode="one_hot")(given["word"])
    made = Model({"word": given["word"], "kind": given["kind"]}, Dense(1)(Concatenate()([hot, given["kind"]])))
    with pytest.raises(ValueError, match=r"x\['\w+'\] holds 16777217 in row 1, and a model's numbers are float32"):
        made.predict({"word": ["w1", "w2"], "kind": [3, 2**24 + 1]})


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_numbers_that_the_front_makes_are_encoded_there(mode: str) -> None:
    word = Input((3,), dtype="string")
    lookup, encoding = StringLookup(vocabulary=WORDS), CategoryEncoding(601, mode)
    hot = encoding(lookup(word))
    flat = Flatten()(hot) if mode == "one_hot" else hot
    fastnn.set_random_seed(3)
    made = Model(word, Dense(4)(flat))
    assert [type(step.layer).__name__ for step in made.description.front.steps] == ["StringLookup", "CategoryEncoding"]
    x = encoding.reference(lookup.on_rows(TEXTS)).reshape(len(TEXTS), -1)
    np.testing.assert_allclose(made.predict(TEXTS), x @ made.get_weights()[0], rtol=1e-5, atol=1e-6)
    small = Model(word, Dense(1)(CategoryEncoding(200, "count")(lookup(word))))
    with pytest.raises(ValueError, match=r"row \d+: \d+ is none of the numbers 0 to 199"):
        small.predict(TEXTS)


def test_a_space_of_features_gives_one_sparse_input() -> None:
    space = FeatureSpace({"word": FeatureSpace.string_categorical(), "size": FeatureSpace.float()})
    space.adapt({"word": COLUMNS["word"], "size": COLUMNS["size"]})
    made = Model(space.get_inputs(), Dense(3)(space.get_encoded_features()))
    x = {"word": COLUMNS["word"][:50], "size": COLUMNS["size"][:50]}
    expected = np.asarray(space(x)) @ made.get_weights()[0]
    np.testing.assert_allclose(made.predict(x), expected, rtol=1e-5, atol=1e-6)

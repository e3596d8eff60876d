"""An error that names a row names it as the user knows it: not by its place in a shuffled batch, page or part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback
from fastnn.data import ArraySource, PagedSource, SQLDataset
from fastnn.layers import CategoryEncoding, Dense, Embedding, Flatten, Input, TimeDistributed
from fastnn.models import Sequential
from support.database import connect

ROWS, BAD = 500, 389
Make = Callable[[np.ndarray, np.ndarray], tuple[Any, ...]]


def sql(x: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
    connection = connect(":memory:")
    names = [f"x{number}" for number in range(x.shape[1])]
    connection.execute(f"CREATE TABLE t ({', '.join(names)}, y)")
    values = np.column_stack([x, y]).astype(object)
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * values.shape[1])})", values.tolist())
    return (SQLDataset("SELECT * FROM t", connection, target="y", null=np.nan, memory_limit=2000),)


def batches(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x[start : start + 50], y[start : start + 50]) for start in range(0, ROWS, 50)]


def sparse(x: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
    return pytest.importorskip("scipy.sparse").csr_array(x), y


IN_BATCH = f"row {BAD % 50} of batch {BAD // 50}"
SOURCES: dict[str, tuple[Make, str]] = {
    "arrays": (lambda x, y: (x, y), f"row {BAD}"),
    "lists": (lambda x, y: (x.tolist(), y.tolist()), f"row {BAD}"),
    "pages of a file": (lambda x, y: (PagedSource(x, y, memory_limit=2000),), f"row {BAD}"),
    "a sparse matrix": (sparse, f"row {BAD}"),
    "a query": (sql, f"row {BAD}"),
    "batches by number": (lambda x, y: (batches(x, y),), IN_BATCH),
    "a generator": (lambda x, y: (iter(batches(x, y)),), IN_BATCH),
}


def embedding() -> Sequential:
    return Sequential([Input((3,)), Embedding(5, 4), Flatten(), Dense(3, "softmax")])


def steps() -> Sequential:
    return Sequential([Input((3, 1)), TimeDistributed(Embedding(5, 4)), Flatten(), Dense(3, "softmax")])


def encoding() -> Sequential:
    return Sequential([Input((3,)), CategoryEncoding(5), Dense(3, "softmax")])


def dense() -> Sequential:
    return Sequential([Input((3,)), Dense(3, "softmax")])


def rows_of_ones() -> tuple[np.ndarray, np.ndarray]:
    return np.ones((ROWS, 3), np.float32), np.zeros(ROWS, np.float32)


WRONG: dict[str, tuple[Callable[[], Sequential], Callable[[np.ndarray, np.ndarray], None], str]] = {
    "an id": (embedding, lambda x, y: x.__setitem__((BAD, 2), 7), "Embedding expects .*got 7 in column 2 of {}; check"),
    "a code": (
        encoding,
        lambda x, y: x.__setitem__((BAD, 1), -1),
        "CategoryEncoding .*got -1 in column 1 of {}; check",
    ),
    "NaN in x": (dense, lambda x, y: x.__setitem__((BAD, 1), np.nan), "x has nan at {}, column "),
    "a class": (dense, lambda x, y: y.__setitem__(BAD, 5), "y has 5 at {}, "),
}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(request.param)
    yield request.param
    fastnn.set_num_threads(before)


class Watching(Callback):
    """Has each batch come alone."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("callbacks", [None, [Watching()]], ids=["quiet", "watched"])
def test_a_row_in_training_and_evaluation(source: str, wrong: str, callbacks: Any) -> None:
    make, name = SOURCES[source]
    model_of, spoil, words = WRONG[wrong]
    x, y = rows_of_ones()
    spoil(x, y)
    for shuffle in (False, True):
        for seed in range(3):
            fastnn.set_random_seed(seed)
            model = model_of()
            model.compile("sgd", "sparse_categorical_crossentropy")
            expected = words.format(re.escape(name))
            with pytest.raises(ValueError, match=f"^{expected}"):
                model.fit(*make(x, y), batch_size=20, shuffle=shuffle, verbose=0, callbacks=callbacks)
            with pytest.raises(ValueError, match=f"^{expected}"):
                model.evaluate(*make(x, y), batch_size=20, verbose=0, callbacks=callbacks)
            with pytest.raises(ValueError, match=f"^validation data: {expected}"):
                model.fit(np.ones((40, 3)), np.zeros(40), validation_data=_together(make(x, y)), verbose=0)
            if "x" in words.split(" ")[0] and wrong != "NaN in x":
                with pytest.raises(ValueError, match=f"^{expected}"):
                    model.predict(*make(x, y)[:1], callbacks=callbacks)


def _together(given: tuple[Any, ...]) -> Any:
    return given if len(given) > 1 else given[0]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("source", ["arrays", "pages of a file", "a sparse matrix"])
def test_a_row_of_a_part(source: str, wrong: str) -> None:
    """The rows that validation_split keeps are counted from the first of all."""
    model_of, spoil, words = WRONG[wrong]
    for bad in (BAD, 100):
        x, y = rows_of_ones()
        spoil(x, y)
        x[[BAD, bad]], y[[BAD, bad]] = x[[bad, BAD]], y[[bad, BAD]]
        model = model_of()
        model.compile("sgd", "sparse_categorical_crossentropy")
        before = "validation data: " if bad == BAD else ""
        with pytest.raises(ValueError, match=before + words.format(f"row {bad}")):
            model.fit(*_parts(source, x, y), validation_split=0.5, batch_size=20, verbose=0)


def _parts(source: str, x: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
    return SOURCES[source][0](x, y)


@pytest.mark.parametrize("model_of", [embedding, steps, encoding])
def test_predictions_and_single_batches(model_of: Callable[[], Sequential]) -> None:
    x, y = rows_of_ones()
    x[BAD, 2] = 9
    model = model_of()
    model.compile("sgd", "sparse_categorical_crossentropy")
    column = 2
    if model_of is steps:  # whose rows are the steps, of one number each
        x, column = x[..., None], 0
    words = f"got 9 in column {column} of row {BAD}; check the data, or make the layer larger$"
    for call in (
        lambda: model.predict(x),
        lambda: model.predict(x, batch_size=16, callbacks=[Watching()]),
        lambda: model.predict(ArraySource(x), batch_size=16),
        lambda: model(x.tolist()),
        lambda: model.train_on_batch(x, y),
        lambda: model.test_on_batch(x, y),
        lambda: model.fit(x, y, batch_size=16, verbose=0),
        lambda: model.fit(x, y, batch_size=16, verbose=0, class_weight={0: 2.0}),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("weights", [{0: 2.0}, "balanced"])
def test_a_label_that_is_no_class(source: str, weights: Any) -> None:
    if weights == "balanced" and source in ("batches by number", "a generator"):
        weights = {1: 0.5}
    make, name = SOURCES[source]
    x, y = rows_of_ones()
    y[BAD] = 0.5
    for seed in range(3):
        fastnn.set_random_seed(seed)
        model = Sequential([Input((3,)), Dense(1)])
        model.compile("sgd", "mse")
        with pytest.raises(
            ValueError,
            match=f"expects whole numbers as labels, got 0.5 in {re.escape(name)}(; for a| .the first row is 0.)",
        ):
            model.fit(*make(x, y), batch_size=20, verbose=0, class_weight=weights)

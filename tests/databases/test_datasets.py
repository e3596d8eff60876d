"""A dataset of each database in all that takes one: fit, evaluate, predict, Trainer, split_dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import ArraySource, ClassWeighted, SQLDataset
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.training import Trainer
from fastnn.utils import split_dataset
from support.stores import KINDS, Store, store_of

ROWS = 600
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, 3)).astype(np.float32)
Y = (X @ np.float32([1, -2, 0.5])).astype(np.float32)[:, None]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    made = store_of(request.param, request, tmp_path)
    columns = dict(zip("abcy", np.hstack([X, Y]).astype(float).T.tolist(), strict=True))
    made.fill(**columns)
    yield made
    made.close()


def net() -> Sequential:
    fastnn.set_random_seed(0)
    model = Sequential([fastnn.Input((3,)), Dense(4, activation="tanh"), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def rows(source: Any) -> np.ndarray:
    return np.concatenate([np.concatenate([page.x, page.y], axis=1) for page in source.pages(7)])


def as_sets(*sources: Any) -> list[set[bytes]]:
    return [{row.tobytes() for row in rows(source)} for source in sources]


def are_equal(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("how", [{}, {"memory_limit": 0}, {"memory_limit": 0, "cache": False}])
def test_a_dataset_is_what_its_arrays_are(store: Store, how: dict[str, Any]) -> None:
    dataset, validation = store.dataset(["a", "b", "c"], "y", **how), store.dataset(["a", "b", "c"], "y")
    np.testing.assert_array_equal(rows(dataset), np.hstack([X, Y]))
    model, of_arrays = net(), net()
    history = model.fit(dataset, shuffle=False, epochs=3, validation_data=validation, batch_size=50, verbose=0)
    expected = of_arrays.fit(X, Y, shuffle=False, epochs=3, validation_data=(X, Y), batch_size=50, verbose=0)
    assert history.history == expected.history
    assert are_equal(model, of_arrays)
    assert model.evaluate(dataset, verbose=0) == of_arrays.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(model.predict(dataset, verbose=0), of_arrays.predict(X, verbose=0))
    x = store.dataset(["a", "b", "c"], **how)
    np.testing.assert_array_equal(model.predict(x, verbose=0), of_arrays.predict(X, verbose=0))


def test_a_trainer_takes_it(store: Store) -> None:
    dataset, model, of_arrays = store.dataset(["a", "b", "c"], "y"), net(), net()
    trainers = Trainer(model, "adam", "mse", ["mae"]), Trainer(of_arrays, "adam", "mse", ["mae"])
    sources = dataset, ArraySource(X, Y)
    histories = [
        trainer.fit(source, epochs=3, validation=source, shuffle=False).history
        for trainer, source in zip(trainers, sources, strict=True)
    ]
    assert histories[0] == histories[1]
    assert are_equal(model, of_arrays)
    assert trainers[0].evaluate(dataset) == trainers[1].evaluate(sources[1])
    np.testing.assert_array_equal(model.predict(dataset, verbose=0), of_arrays.predict(X, verbose=0))
    # Shuffled and by steps, where the order is the dataset's own.
    history = trainers[0].fit(dataset, epochs=4, steps_per_epoch=4, validation=dataset, validation_steps=2)
    assert len(history.history["val_loss"]) == 4


def test_split_dataset_splits_by_the_key(store: Store) -> None:
    dataset = store.dataset(["a", "b", "c"], "y")
    left, right = split_dataset(dataset, left_size=0.8)
    one, two = as_sets(left, right)
    assert len(one) + len(two) == len(rows(left)) + len(rows(right)) == ROWS
    assert not one & two
    assert 0.7 < len(one) / ROWS < 0.9
    assert as_sets(*split_dataset(dataset, right_size=0.2, shuffle=True, seed=3)) == [one, two]
    assert as_sets(*split_dataset(dataset, 0.8, 0.2)) == [one, two]
    assert as_sets(*dataset.split(0.2)) == [one, two]
    smaller, same = as_sets(*split_dataset(dataset, 0.3, 0.2))
    assert same == two
    assert smaller < one
    assert 0.2 < len(smaller) / ROWS < 0.4
    model = net()
    history = model.fit(left, validation_data=right, epochs=30, batch_size=20, verbose=0).history
    assert history["val_loss"][-1] < history["val_loss"][0] / 2


def test_what_split_dataset_refuses(store: Store) -> None:
    dataset = store.dataset(["a", "b", "c"], "y")
    for sizes in ((5, None), (None, 5), (1.0, None), (None, 0.0), (True, None), ("half", None)):
        with pytest.raises(ValueError, match=r"(left|right)_size must be a share above 0 and below 1, since a .* key"):
            split_dataset(dataset, *sizes)
    with pytest.raises(ValueError, match=r"0.8 and 0.4 of the rows, more than all"):
        split_dataset(dataset, 0.8, 0.4)
    with pytest.raises(ValueError, match="At least one of"):
        split_dataset(dataset)


def test_split_dataset_needs_a_key(tmp_path: Path) -> None:
    store = store_of("sqlite", None, tmp_path)  # type: ignore[arg-type]
    store.fill(a=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"SQLDataset.split needs the column that names a row, .*: pass key="):
        split_dataset(store.dataset(["a"], key=None), 0.5)


def test_split_dataset_of_arrays_in_a_source() -> None:
    weight = np.arange(10.0)
    source = ArraySource(X[:10], Y[:10], weight)
    left, right = split_dataset(source, 7)
    np.testing.assert_array_equal(rows(left), np.hstack([X, Y])[:7])
    np.testing.assert_array_equal(rows(right), np.hstack([X, Y])[7:10])
    assert right.weight.tolist() == [7, 8, 9]
    assert np.shares_memory(left.x, source.x)
    assert right.first == 7
    # In Keras's order, which arrays have too.
    for left_size, right_size in ((0.5, None), (3, 4), (None, 0.2)):
        parts = split_dataset(source, left_size, right_size, shuffle=True, seed=5)
        expected = split_dataset((X[:10], Y[:10], weight), left_size, right_size, shuffle=True, seed=5)
        for part, samples in zip(parts, expected, strict=True):
            x, y, of_rows = (np.stack(each) for each in zip(*samples, strict=True))
            np.testing.assert_array_equal(rows(part), np.hstack([x, y]))
            np.testing.assert_array_equal(part.weight, of_rows)
    np.testing.assert_array_equal(source.x, X[:10])
    with pytest.raises(ValueError, match="left_size must be a whole number of 1 to 9"):
        split_dataset(source, 10)


def test_class_weight_leaves_the_order_of_an_epoch(tmp_path: Path) -> None:
    """Of rows that lie by their label, where windows of the query's order would have one label each."""
    store = store_of("sqlite", None, tmp_path)  # type: ignore[arg-type]
    store.fill(a=[float(i) for i in range(ROWS)], y=[i * 2 // ROWS for i in range(ROWS)])
    for how in ({"memory_limit": 40_000}, {"memory_limit": 400}):
        dataset: SQLDataset = store.dataset(["a"], "y", **how)
        weighted = ClassWeighted(dataset, {0: 1.0, 1: 3.0})
        for epoch in range(3):
            drawn = []
            for source in (dataset, weighted):
                pages = source.pages(5, np.random.default_rng(7), epoch)  # type: ignore[call-arg]
                drawn.append(np.concatenate([page.x[page.order][:, 0] for page in pages]))
            np.testing.assert_array_equal(*drawn)
        assert weighted.by_epoch  # it is asked for one epoch after the other

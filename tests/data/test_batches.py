"""Batches as they come: once or again and again, counted or endless, and clear words where they end or differ."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import BatchSource, Source
from fastnn.data.given import source_of, validation_of
from fastnn.data.kinds import gives_batches
from fastnn.data.several import Several
from fastnn.layers import Dense
from fastnn.models import Sequential

SIZES = (3, 1, 4, 2)


def batch(number: int, size: int = 2) -> tuple[np.ndarray, np.ndarray]:
    return np.full((size, 3), number, float), np.full(size, number)


def few() -> list[tuple[np.ndarray, np.ndarray]]:
    return [batch(number, size) for number, size in enumerate(SIZES)]


def endless() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    number = 0
    while True:
        yield batch(number)
        number += 1


class Again:
    """An iterable without a length, started afresh each time."""

    def __iter__(self) -> Iterator[Any]:
        return iter(few())


class ByNumber:
    """What Keras calls a PyDataset or Sequence."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __len__(self) -> int:
        return len(SIZES)

    def __getitem__(self, number: int) -> Any:
        return few()[number]

    def on_epoch_begin(self) -> None:
        self.events.append("begin")

    def on_epoch_end(self) -> None:
        self.events.append("end")


def numbers(source: Source, seed: int | None = None) -> list[int]:
    """The batches of one pass; each is checked to be whole."""
    result = []
    for page in source.pages(32, None if seed is None else np.random.default_rng(seed)):
        number = int(page.y[0, 0])
        np.testing.assert_array_equal(page.x, np.full((len(page.x), 3), number))
        assert page.x.dtype == page.y.dtype == np.float32
        assert page.order is None
        result.append(number)
    return result


@pytest.mark.parametrize(
    "make", [few, Again, ByNumber, lambda: iter(few()), lambda: deque(few()), lambda: tuple(few())]
)
def test_each_batch_is_a_page(make: Any) -> None:
    source = source_of(make(), None, None)
    assert isinstance(source, BatchSource)
    assert source.batches
    assert (source.rows, source.input_shape, source.targets) == (None, (3,), 1)
    assert [len(page.x) for page in source.pages(32)] == list(SIZES)


@pytest.mark.parametrize("make", [few, Again, ByNumber])
def test_again_and_again(make: Any) -> None:
    source = BatchSource(make())
    next(source.pages(32))  # left in the middle
    assert [numbers(source) for _ in range(3)] == [[0, 1, 2, 3]] * 3


def test_a_shuffled_pass_draws_what_has_numbers() -> None:
    source = BatchSource(few())
    drawn = [numbers(source, seed) for seed in range(6)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in drawn)
    assert len({tuple(order) for order in drawn}) > 2
    assert drawn[0] == numbers(source, 0)
    assert numbers(BatchSource(Again()), 0) == [0, 1, 2, 3]


def test_events_of_an_epoch() -> None:
    given = ByNumber()
    source = BatchSource(given)
    numbers(source)
    numbers(source)
    assert given.events == ["begin", "end"] * 2


def test_a_generator_runs_once() -> None:
    source = BatchSource(iter(few()))
    assert numbers(source) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"list_iterator has no batch left for this epoch.*only once.*lower epochs"):
        numbers(source)


@pytest.mark.parametrize("make", [iter, list])
def test_nothing_at_all(make: Any) -> None:
    with pytest.raises(ValueError, match="gives no batches"):
        BatchSource(make([]))


def test_an_iterator_goes_on_where_a_pass_was_left() -> None:
    source = BatchSource(endless())
    for first in (0, 3, 6):
        pages = source.pages(32)
        assert [int(next(pages).y[0, 0]) for _ in range(3)] == [first, first + 1, first + 2]
        pages.close()


def test_a_list_that_has_become_empty() -> None:
    given = few()
    source = BatchSource(given)
    given.clear()
    with pytest.raises(ValueError, match="the list gives no batches any more"):
        numbers(source)


# What a batch may be


@pytest.mark.parametrize(
    ("given", "targets", "weighted"),
    [
        (np.zeros((2, 3)), 0, False),
        ((np.zeros((2, 3)),), 0, False),
        ([np.zeros((2, 3)), [1, 2]], 1, False),
        ((np.zeros((2, 3)), np.zeros((2, 4)), [1, 2]), 4, True),
        ((np.zeros((2, 3)), None, None), 0, False),
    ],
)
def test_what_a_batch_may_be(given: Any, targets: int, weighted: bool) -> None:
    source = BatchSource(iter([given]))
    [page] = source.pages(1)
    assert (source.targets, page.weight is not None) == (targets, weighted)
    assert (page.y is None) == (targets == 0)


def test_batches_of_frames_and_sparse_rows() -> None:
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    frame = pandas.DataFrame({"a": [1, 2], "b": [3.0, None]})
    source = BatchSource([(frame, pandas.Series([0, 1])), (sparse.csr_array(np.eye(2)), [1, 0])])
    assert source.columns == ("a", "b")
    first, second = source.pages(1)
    np.testing.assert_array_equal(first.x, [[1, 3], [2, np.nan]])
    np.testing.assert_array_equal(second.x, np.eye(2))


def test_batches_of_several_inputs_and_outputs() -> None:
    inputs, outputs = Several(("a", "b"), ((2,), (1,))), Several(("p", "q"), ((1,), (2,)))
    x = {"b": np.array([5, 6]), "a": np.arange(4).reshape(2, 2)}
    given = iter([(x, [np.array([1, 2]), np.zeros((2, 2))], {"q": [3, 4]})])
    source = source_of(given, None, None, inputs, outputs)
    [page] = source.pages(1)
    np.testing.assert_array_equal(page.x, [[0, 1, 5], [2, 3, 6]])
    np.testing.assert_array_equal(page.y, [[1, 0, 0], [2, 0, 0]])
    np.testing.assert_array_equal(page.weight, [[1, 3], [1, 4]])


@pytest.mark.parametrize(
    ("second", "error", "words"),
    [
        ((1, 2, 3, 4), ValueError, r"batch 1 must be x, \(x, y\) or \(x, y, sample_weight\), got a tuple of 4"),
        ((), ValueError, "got a tuple of 0"),
        ("text", TypeError, "batch 1 .*expected.*x must be an array"),
        (None, TypeError, "batch 1 .*got NoneType"),
        ((np.zeros((2, 3)), np.zeros(3)), ValueError, "batch 1 .*x has 2 rows but y has 3"),
        ((np.zeros((2, 4)), np.zeros(2)), ValueError, r"batch 1 has rows of shape \(4,\) and 1 .*first had \(3,\)"),
        ((np.zeros((2, 3)), np.zeros((2, 2))), ValueError, "2 target column"),
        (np.zeros((2, 3)), ValueError, "0 target column"),
        ((np.zeros((0, 3)), np.zeros(0)), ValueError, "batch 1 .*x has no rows"),
    ],
)
def test_a_batch_that_is_none(second: Any, error: type[Exception], words: str) -> None:
    source = BatchSource(iter([batch(0), second]))
    with pytest.raises(error, match=words):
        list(source.pages(1))


def test_targets_and_weights_beside_batches_are_refused() -> None:
    for y, weight in ((np.zeros(2), None), (None, np.zeros(2))):
        with pytest.raises(ValueError, match="the generator brings its own targets and weights"):
            source_of(endless(), y, weight)


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((2, 3)),
        [[1, 2], [3, 4]],
        [(1, 2), (3, 4)],
        [np.zeros(3), np.zeros(3)],
        [([1, 2], [3]), ([4, 5], [6])],
        [np.float64(1)],
        (),
        [],
        range(3),
        memoryview(np.zeros((2, 2))),
        bytearray(b"12"),
        "text",
        b"text",
        None,
        3,
        {"a": np.zeros(2)},
        {1, 2},
    ],
)
def test_what_gives_no_batches(given: Any) -> None:
    assert not gives_batches(given)


def test_validation_data_in_batches() -> None:
    for given in (few(), iter(few()), Again(), ByNumber()):
        assert numbers(validation_of(given)) == [0, 1, 2, 3]
    x, y = batch(7)
    assert numbers(validation_of((x, y))) == numbers(validation_of([x, y])) == [7]


# Fitting


def model_of() -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(2, "tanh", input_dim=3), Dense(1)])
    model.compile("adam", "mse")
    return model


def test_a_fit_on_batches_is_the_fit_on_their_rows() -> None:
    batches = [batch(number, 4) for number in range(5)]
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    options: dict[str, Any] = {"batch_size": 4, "shuffle": False, "verbose": 0}
    one, other = model_of(), model_of()
    losses = [
        one.fit(x, y, epochs=2, **options).history["loss"],
        other.fit(batches, epochs=2, **options).history["loss"],
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert other.evaluate(iter(batches), verbose=0) == pytest.approx(other.evaluate(x, y, verbose=0), rel=1e-6)


def test_what_the_generator_raises_comes_out_as_it_is() -> None:
    class Broken(ValueError):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} {b}")

    def breaking() -> Iterator[Any]:
        yield batch(1)
        raise Broken(1, 2)

    def broken() -> Iterator[Any]:
        raise Broken(3, 4)
        yield

    model, other = model_of(), model_of()
    with pytest.raises(Broken, match="1 2"):
        model.fit(breaking(), verbose=0)
    other.fit(*batch(1), verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for arguments in ({"x": broken()}, {"x": batch(0)[0], "y": batch(0)[1], "validation_data": broken()}):
        with pytest.raises(Broken, match="3 4"):
            model.fit(verbose=0, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(iter(few()[:1]), verbose=0)

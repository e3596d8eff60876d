"""timeseries_dataset_from_array, split_dataset, Dataset and PyDataset: what they give, and that a model takes it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, utils
from fastnn.data import dataset as of_datasets


def model(*shape: int) -> fastnn.Model:
    fastnn.set_random_seed(1)
    net = fastnn.Sequential([fastnn.Input(shape), *([layers.Flatten()] if len(shape) > 1 else []), layers.Dense(1)])
    net.compile("sgd", "mse")
    return net


def test_windows_are_those_that_the_steps_make() -> None:
    data = np.arange(100)
    windows = utils.timeseries_dataset_from_array(
        data, data * 2, sequence_length=10, sequence_stride=3, sampling_rate=2, batch_size=4
    )
    starts = range(0, 100 - 18, 3)
    batches = list(windows)
    x, y = (np.concatenate(each) for each in zip(*batches, strict=True))
    assert x.tolist() == [list(range(start, start + 20, 2)) for start in starts]
    assert y.tolist() == [2 * start for start in starts]
    assert [len(each) for each, _ in batches] == [4] * 7
    assert len(windows) == windows.cardinality() == 7


def test_windows_of_a_part_of_the_steps() -> None:
    data = np.arange(40.0).reshape(20, 2)
    windows = utils.timeseries_dataset_from_array(data, None, 3, batch_size=None, start_index=5, end_index=10)
    assert [each.tolist() for each in windows] == [data[start : start + 3].tolist() for start in (5, 6, 7)]
    last = utils.timeseries_dataset_from_array(data, np.arange(20), 3, start_index=17)
    ((x, y),) = list(last)
    assert x.tolist() == [data[17:].tolist()]
    assert y.tolist() == [17]


def test_fewer_targets_make_fewer_windows() -> None:
    data = np.arange(10)
    ((x, y),) = list(utils.timeseries_dataset_from_array(data[:-3], data[3:], 3))
    assert x[:, 0].tolist() == list(range(5))
    assert y.tolist() == list(range(3, 8))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start_index": 10}, "`start_index` must be lower"),
        ({"start_index": -1}, "`start_index` must be at least 0"),
        ({"end_index": 11}, "`end_index` must be above start_index, 0, and at most 10, got 11"),
        ({"start_index": 5, "end_index": 5}, "`end_index` must be above start_index, 5"),
        ({"sampling_rate": 0}, "`sampling_rate` must be at least 1"),
        ({"sequence_stride": 10}, "`sequence_stride` must be lower"),
        ({"sequence_length": 0}, "`sequence_length` must be at least 1"),
        ({"sequence_length": 11}, "no window of 11 steps, 1 apart, fits in the 10 steps"),
        ({"targets": []}, "that have a target, 0"),
        ({"format": "torch"}, "`format` should be"),
        ({"data": 3.0}, "one entry for each step"),
    ],
)
def test_numbers_that_make_no_window_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        utils.timeseries_dataset_from_array(**{"data": np.arange(10), "targets": None, "sequence_length": 3, **options})


@pytest.mark.parametrize("limit", [None, 1000])  # all windows kept; some at a time
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_fit_on_windows_is_a_fit_on_the_arrays(
    limit: int | None, shuffle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without shuffling to the bit; a shuffled one has all rows once, as the sum of their losses shows."""
    if limit is not None:
        monkeypatch.setattr(of_datasets, "MEMORY_LIMIT", limit)
    series = np.random.default_rng(0).normal(size=(90, 2))
    windows = utils.timeseries_dataset_from_array(series[:-5], series[5:, 0], 5, batch_size=16, shuffle=shuffle)
    x = np.stack([series[start : start + 5] for start in range(81)])
    y = series[5:86, 0]
    one, other = model(5, 2), model(5, 2)
    if shuffle:
        one.compile(fastnn.optimizers.SGD(1e-12), "mse")
        other.compile(fastnn.optimizers.SGD(1e-12), "mse")
    given = one.fit(windows, epochs=3, verbose=0).history["loss"]
    expected = other.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert given == (pytest.approx(expected, rel=1e-6) if shuffle else expected)
    assert one.evaluate(windows, verbose=0) == pytest.approx(one.evaluate(x, y, verbose=0), rel=1e-6)
    assert np.array_equal(one.predict(windows), one.predict(x))


@pytest.mark.parametrize("limit", [None, 1000])
def test_shuffled_windows_come_in_another_order_each_epoch(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if limit is not None:
        monkeypatch.setattr(of_datasets, "MEMORY_LIMIT", limit)
    data = np.arange(200.0)
    source = utils.timeseries_dataset_from_array(data, data, 3, batch_size=8, shuffle=True).source()
    rng = np.random.default_rng(0)
    passes = []
    for _ in range(2):
        pages = list(source.pages(8, rng))
        rows = [page.x[:, 0] if page.order is None else page.x[page.order, 0] for page in pages]
        targets = [page.y[:, 0] if page.order is None else page.y[page.order, 0] for page in pages]  # type: ignore[index]
        assert np.array_equal(np.concatenate(rows), np.concatenate(targets))
        passes.append(np.concatenate(rows).tolist())
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(198))
    assert passes[0] != passes[1] != sorted(passes[1])


def test_a_seed_gives_the_same_order_again() -> None:
    def drawn(seed: int | None) -> list[list[int]]:
        windows = utils.timeseries_dataset_from_array(np.arange(60), None, 1, shuffle=True, seed=seed, batch_size=60)
        return [next(iter(windows)).ravel().tolist() for _ in range(2)]

    assert drawn(3) == drawn(3)
    assert drawn(3)[0] != drawn(3)[1]
    assert drawn(3) != drawn(4)
    assert drawn(None) != drawn(None)


def test_a_model_has_the_batch_size_of_the_dataset() -> None:
    x, y = np.zeros((100, 3)), np.zeros(100)
    data, _ = utils.split_dataset((x, y), 0.6)
    steps: list[int] = []

    class Count(fastnn.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            steps.append(0)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            steps[-1] += 1

    for given, size in ((data.batch(15), None), (data, None), (data.batch(15), 30), (data.batch(16, True), None)):
        model(3).fit(given, batch_size=size, verbose=0, callbacks=[Count()])
    assert steps == [4, 2, 2, 3]


def test_a_split_has_the_first_and_the_last_samples() -> None:
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    left, right = utils.split_dataset((x, y), left_size=0.7)
    assert (len(left), len(right)) == (7, 3)
    assert [int(label) for _, label in left] == list(range(7))
    assert [row.tolist() for row, _ in right] == x[7:].tolist()
    left, right = utils.split_dataset([x, y], left_size=2, right_size=3)
    assert [int(label) for _, label in right] == [7, 8, 9]
    assert [row.tolist() for row in utils.split_dataset(x, right_size=1)[1]] == [x[9].tolist()]


def test_a_split_of_batches_has_batches() -> None:
    windows = utils.timeseries_dataset_from_array(np.arange(12), np.arange(12), 3, batch_size=4)
    left, right = utils.split_dataset(windows, left_size=6)
    assert [y.tolist() for _, y in left] == [[0, 1, 2, 3], [4, 5]]
    assert [y.tolist() for _, y in right] == [[6, 7, 8, 9]]


def test_a_dict_of_columns_and_several_inputs() -> None:
    columns = {"a": np.arange(8.0).reshape(8, 1), "b": np.ones((8, 2))}
    train, test = utils.split_dataset((columns, np.arange(8.0)), 0.5)
    a, b = fastnn.Input((1,), name="a"), fastnn.Input((2,), name="b")
    net = fastnn.Model({"a": a, "b": b}, layers.Dense(1)(layers.Concatenate()([a, b])))
    net.compile("sgd", "mse")
    history = net.fit(train, validation_data=test.batch(2), verbose=0).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    sample, label = next(iter(test))
    assert {name: value.tolist() for name, value in sample.items()} == {"a": [4.0], "b": [1.0, 1.0]}
    assert label == 4
    assert net.predict(test).shape == (4, 1)


def test_samples_by_number_are_put_together() -> None:
    class Samples:
        def __len__(self) -> int:
            return 6

        def __getitem__(self, number: int) -> Any:
            return {"x": np.full(2, number)}, number

    left, right = utils.split_dataset(Samples(), 4)
    assert [int(y) for _, y in [*left, *right]] == list(range(6))
    assert next(iter(right))[0]["x"].tolist() == [4, 4]


@pytest.mark.parametrize(
    ("given", "sizes", "error", "says"),
    [
        ((np.zeros(4), np.zeros(5)), {"left_size": 1}, ValueError, r"the shapes \(4,\), \(5,\)"),
        ([], {"left_size": 1}, ValueError, "of none"),
        (np.float64(3), {"left_size": 1}, ValueError, "one entry for each sample"),
        ("rows", {"left_size": 1}, TypeError, "got str"),
        (iter([1]), {"left_size": 1}, TypeError, "gives samples by number"),
        (np.zeros(4), {}, ValueError, "At least one of"),
        (np.zeros(4), {"left_size": 4}, ValueError, "whole number of 1 to 3"),
        (np.zeros(4), {"left_size": 0.0}, ValueError, "left_size must be"),
        (np.zeros(4), {"right_size": 1.5}, ValueError, "right_size must be"),
        (np.zeros(4), {"left_size": "half"}, TypeError, "left_size must be a whole number, a share"),
        (np.zeros(4), {"left_size": True}, TypeError, "left_size must be"),
        (np.zeros(4), {"left_size": 3, "right_size": 2}, ValueError, "more than the 4 there are"),
        (np.zeros(4), {"left_size": 0.01}, ValueError, "neither may be empty"),
    ],
)
def test_what_cannot_be_split_is_named(given: Any, sizes: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        utils.split_dataset(given, **sizes)


def test_methods_of_a_dataset() -> None:
    data, _ = utils.split_dataset(np.arange(10), 8)
    assert [each.tolist() for each in data.batch(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [each.tolist() for each in data.batch(3, drop_remainder=True)] == [[0, 1, 2], [3, 4, 5]]
    assert [each.tolist() for each in data.batch(3).skip(1).take(1)] == [[3, 4, 5]]
    assert [int(each) for each in data.batch(3).skip(2).unbatch()] == [6, 7]
    assert [int(each) for each in data.take(3).skip(1)] == [1, 2]
    assert len(data.take(-1)) == len(data.take(99)) == 8
    assert len(data.skip(99)) == 0
    assert sorted(int(each) for each in data.shuffle(100, seed=1)) == list(range(8))
    assert data.cache().prefetch(2) is data
    with pytest.raises(ValueError, match="call unbatch"):
        data.batch(2).batch(2)
    with pytest.raises(ValueError, match="gives no rows"):
        model(1).predict(data.skip(8))


def test_a_dataset_is_copied_with_its_order() -> None:
    windows = utils.timeseries_dataset_from_array(np.arange(30), np.arange(30), 4, batch_size=5, shuffle=True, seed=2)
    copies = [copy.deepcopy(windows), pickle.loads(pickle.dumps(windows))]
    drawn = [y.tolist() for _, y in windows]
    for other in copies:
        assert [y.tolist() for _, y in other] == drawn


def test_classes_of_a_dataset_weigh_what_they_are_given() -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 4 == 0
    data, _ = utils.split_dataset((x, y.astype(float)), 39)
    losses = [
        model(3).fit(given, target, batch_size=8, class_weight=weight, shuffle=False, verbose=0).history["loss"]
        for given, target in ((data, None), (x[:39], y[:39]))
        for weight in ({0: 1.0, 1: 5.0}, "balanced")
    ]
    assert losses[:2] == losses[2:]
    assert losses[0] != losses[1]


def test_first_batch_of_a_shuffled_dataset_is_drawn() -> None:
    data = utils.split_dataset(np.arange(1000), 999)[0].shuffle(seed=0).batch(10)
    (first,) = list(data.take(1))
    assert first.tolist() != list(range(10))
    source = data.take(3).source()
    rows = np.concatenate([page.x for page in source.pages(10, np.random.default_rng(0))])
    assert len(rows) == 30
    assert rows.max() > 100


def test_what_is_taken_and_what_is_skipped_are_the_whole() -> None:
    one, other = (utils.split_dataset(np.arange(50), 49)[0].shuffle(seed=3).batch(7) for _ in range(2))
    drawn = np.concatenate([*one.take(3), *other.skip(3)])
    assert sorted(drawn) == list(range(49))
    assert drawn.tolist() != sorted(drawn)


@pytest.mark.parametrize("limit", [None, 100])
def test_a_row_that_is_wrong_is_named_by_its_number(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if limit is not None:
        monkeypatch.setattr(of_datasets, "MEMORY_LIMIT", limit)
    x = np.ones((80, 2))
    x[31, 1] = np.nan
    data, _ = utils.split_dataset((x, np.ones(80)), 79)
    for given in (data, data.shuffle(), data.shuffle().batch(4)):
        with pytest.raises(ValueError, match="at row 31, column 1"):
            model(2).fit(given, verbose=0)


class Batches(utils.PyDataset):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ends = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return np.full((4, 2), index), np.full(4, index)

    def on_epoch_end(self) -> None:
        self.ends += 1


def test_a_model_takes_a_py_dataset() -> None:
    batches = Batches(workers=2, use_multiprocessing=False, max_queue_size=3)
    net = model(2)
    net.fit(batches, epochs=2, verbose=0)
    assert batches.ends == 2
    assert net.predict(batches).shape == (12, 1)
    assert batches.num_batches == 3
    assert [int(y[0]) for _, y in batches] == [0, 1, 2]
    assert utils.Sequence is utils.PyDataset


def test_a_py_dataset_without_a_length_goes_on() -> None:
    class Endless(utils.PyDataset):
        def __getitem__(self, index: int) -> Any:
            return np.full((2, 2), index % 7), np.full(2, index % 7)

    history = model(2).fit(Endless(), steps_per_epoch=5, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2
    assert Endless().num_batches is None
    with pytest.raises(NotImplementedError, match="must have __getitem__"):
        utils.PyDataset()[0]

"""Datasets made of arrays: windows of a time series, and the two parts of a split."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn._checks import check_count
from fastnn.data.arrays import ArraySource
from fastnn.data.convert import looks_like_columns
from fastnn.data.dataset import Dataset, Stored, leaves, mapped
from fastnn.data.source import RowSource, Source
from fastnn.typing import Array, ArrayLike

__all__ = ["split_dataset", "timeseries_dataset_from_array"]

_ROUNDING = 1e-9  # of two shares that are 1 together


class Windows:
    """The windows of a time series that begin at some steps, each with the target of that step."""

    def __init__(self, data: Array, targets: Array | None, starts: Array, steps: Array) -> None:
        self.data, self.targets, self.starts, self.steps = data, targets, starts, steps

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, numbers: Any) -> Any:
        starts = self.starts[numbers]
        x = self.data[starts[:, None] + self.steps]
        return x if self.targets is None else (x, self.targets[starts])


def timeseries_dataset_from_array(
    data: ArrayLike,
    targets: ArrayLike | None,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Dataset:
    """The windows of a time series in batches, as a Dataset; each is made when it is drawn.

    data: (steps, ...). Window i has the steps i * sequence_stride + k * sampling_rate for k below sequence_length.
    targets: targets[i] is that of the window that begins at step i, so data[:-n] and data[n:] make the next step but
    n - 1 the target; None for windows alone. start_index, end_index: the part of the steps that is used. batch_size:
    None for windows one by one. shuffle, seed: draw the windows in a random order. format: "tf" or "grain", which mean
    nothing here. ValueError for numbers that leave no window.
    """
    series = np.asarray(data)
    if series.ndim == 0:
        raise ValueError(f"data must have one entry for each step, got {data!r:.80}")
    length, stride, rate = (
        check_count(name, value)
        for name, value in (
            ("`sequence_length`", sequence_length),
            ("`sequence_stride`", sequence_stride),
            ("`sampling_rate`", sampling_rate),
        )
    )
    steps = len(series)
    for name, number in (("sampling_rate", rate), ("sequence_stride", stride)):
        if number >= steps:
            raise ValueError(f"`{name}` must be lower than the length of data, {steps}, got {number}")
    start = 0 if start_index is None else check_count("`start_index`", start_index, 0)
    end = steps if end_index is None else check_count("`end_index`", end_index)
    if start >= steps:
        raise ValueError(f"`start_index` must be lower than the length of data, {steps}, got {start}")
    if not start < end <= steps:
        raise ValueError(f"`end_index` must be above start_index, {start}, and at most {steps}, got {end}")
    if format not in ("tf", "grain"):
        raise ValueError(f"`format` should be 'tf' or 'grain', and means nothing here, got {format!r}")
    count = end - start - (length - 1) * rate
    goals = None
    if targets is not None:
        goals = np.asarray(targets)[start:end]
        count = min(count, len(goals))
    if count < 1:
        raise ValueError(
            f"no window of {length} steps, {rate} apart, fits in the {end - start} steps"
            + ("" if goals is None else f" that have a target, {len(goals)}")
            + "; give a shorter sequence_length"
        )
    windows = Windows(series[start:end], goals, np.arange(0, count, stride), np.arange(length) * rate)
    return Dataset(windows, batch_size, shuffle, seed)


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Two datasets of the first and of the last samples of one: (left, right).

    dataset: an array, a tuple, list or dict of arrays with one entry for each sample, a Dataset, or what gives samples
    by number (torch's Dataset). left_size, right_size: a share, above 0 and below 1, or a number of samples; one of
    them is enough. shuffle: draw the samples first, in the order that `seed` gives in Keras. preferred_backend means
    nothing here. The samples come one by one, in batches where the dataset had them; ``batch`` of what is given makes
    batches.

    Of an ArraySource both are such sources. A dataset of a database (SQLDataset, MongoDataset, RedisDataset) is split
    as its ``split`` does it: into about these shares, by a hash of its key, so that rows which come later move no
    other; shuffle and seed, which change nothing about that, mean nothing then. ValueError where it has no key, or for
    a number of samples.
    """
    if isinstance(dataset, Source) and not isinstance(dataset, RowSource):
        return _by_key(dataset, left_size, right_size)
    whole = dataset if isinstance(dataset, RowSource) else _as_dataset(dataset)
    left, right = _sizes(left_size, right_size, whole.rows)
    if not shuffle and isinstance(whole, RowSource):
        return whole.part(0, left), whole.part(whole.rows - right, whole.rows)
    if not isinstance(whole, (ArraySource, Dataset)):
        raise ValueError(f"a {type(whole).__name__} is split in its order, and fit shuffles it; leave shuffle out")
    order = list(range(whole.rows))
    if shuffle:
        random.Random(seed).shuffle(order)
    places = np.array(order)
    return whole.select(places[:left]), whole.select(places[-right:])


def _by_key(dataset: Source, left: Any, right: Any) -> tuple[Source, Source]:
    """The parts of a dataset whose rows have keys."""
    for name, size in (("left_size", left), ("right_size", right)):
        if size is not None and not (isinstance(size, (float, np.floating)) and 0 < size < 1):
            raise ValueError(
                f"{name} must be a share above 0 and below 1, since a {type(dataset).__name__} is split by a hash of "
                f"its key, got {size!r:.80}"
            )
    if left is None or right is None:
        _given(left, right)
        return dataset.split(1 - left if right is None else right)
    if left + right > 1 + _ROUNDING:
        raise ValueError(f"left_size and right_size are {left} and {right} of the rows, more than all")
    first, last = dataset.split(right)
    # Parts of different shares lie within one another.
    return first if left + right > 1 - _ROUNDING else dataset.split(1 - left)[0], last


def _as_dataset(given: Any) -> Dataset:
    if isinstance(given, Dataset):
        return given
    if looks_like_columns(given):
        raise TypeError("split_dataset takes arrays: pass (frame[columns].to_numpy(), frame['target'].to_numpy())")
    if not isinstance(given, (tuple, list, Mapping)) and not hasattr(given, "shape"):
        if not (hasattr(given, "__len__") and hasattr(given, "__getitem__")) or isinstance(given, (str, bytes)):
            raise TypeError(
                "split_dataset takes an array, a list, tuple or dict of arrays, or a dataset that gives samples by "
                f"number, got {type(given).__name__}"
            )
        given = _stacked([given[number] for number in range(len(given))])
    arrays = mapped(np.asarray, given)
    counts = {np.shape(leaf)[:1] for leaf in leaves(arrays)}
    if len(counts) != 1 or counts == {()}:
        raise ValueError(
            "split_dataset takes arrays of the same length, one entry for each sample, got the shapes "
            f"{', '.join(str(np.shape(leaf)) for leaf in leaves(arrays)) or 'of none'}"
        )
    return Dataset(Stored(arrays))


def _stacked(samples: list[Any]) -> Any:
    """Samples of one structure, as that structure of arrays."""
    if not samples:
        raise ValueError("the dataset gives no samples; at least two are needed")
    if isinstance(samples[0], Mapping):
        return {key: _stacked([each[key] for each in samples]) for key in samples[0]}
    if isinstance(samples[0], (tuple, list)):
        return tuple(_stacked(list(parts)) for parts in zip(*samples, strict=True))
    return np.stack([np.asarray(each) for each in samples])


def _given(left: Any, right: Any) -> None:
    if left is None and right is None:
        raise ValueError("At least one of `left_size` or `right_size` must be given")


def _sizes(left: Any, right: Any, rows: int) -> tuple[int, int]:
    """How many samples either part has."""
    _given(left, right)
    counts = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating))):
            raise TypeError(f"{name} must be a whole number, a share or None, got {size!r:.80}")
        share = isinstance(size, (float, np.floating))
        if size is not None and not 0 < size < (1 if share else rows):
            raise ValueError(f"{name} must be a whole number of 1 to {rows - 1}, or a share of 0 to 1, got {size!r}")
        counts.append(None if size is None else round(size * rows) if share else int(size))
    first, last = counts
    first = rows - last if first is None else first  # type: ignore[operator]
    last = rows - first if last is None else last
    if first + last > rows:
        raise ValueError(f"left_size and right_size are {first} and {last} samples, more than the {rows} there are")
    if not first or not last:
        raise ValueError(f"left_size and right_size leave {first} and {last} of {rows} samples; neither may be empty")
    return first, last

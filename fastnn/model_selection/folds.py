"""Which rows a network learns from, and which tell how well: folds of arrays, frames, sparse matrices and datasets."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn._checks import check_count, shown
from fastnn.data.stored import StoredSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Indices = NDArray[np.intp]


class Rows(NamedTuple):
    """Rows as `fit` and `evaluate` take them."""

    x: Any
    y: Any = None
    sample_weight: Any = None

    def take(self, numbers: Indices) -> Rows:
        """Those of these numbers, in that order."""
        return Rows(*(taken(part, numbers) for part in self))


class Fold(NamedTuple):
    """What a network learns from, and what it has not seen."""

    train: Rows
    test: Rows


class Folds:
    """The folds of some rows, each made when it is asked for; the last `keep` are kept, for all who ask."""

    def __init__(self, made: list[Callable[[], Fold]], indices: list[tuple[Indices, Indices]] | None = None) -> None:
        self._made, self.indices, self.keep = made, indices, 1
        self._kept: dict[int, Fold] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, number: int) -> Fold:
        with self._lock:
            if number not in self._kept:
                self._kept[number] = self._made[number]()
                if len(self._kept) > self.keep:
                    del self._kept[next(iter(self._kept))]
            return self._kept[number]


def folds_of(rows: Rows, cv: Any, groups: Any, seed: int) -> Folds:
    """The folds that `cv` says: see ``cross_validate``. TypeError, ValueError for what is none."""
    if isinstance(rows.x, StoredSource):
        return _of_dataset(rows, cv, groups)
    count = count_of(rows)
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        found = _shuffled(rows.y, count, check_count("cv", cv, 2), groups, np.random.default_rng(seed))
    elif hasattr(cv, "split") and not isinstance(cv, (str, bytes)):
        found = list(cv.split(np.zeros((count, 1)), _labels(rows.y), groups))
    elif isinstance(cv, Iterable) and not isinstance(cv, (str, bytes, Mapping)):
        found = list(cv)
    else:
        raise TypeError(
            "cv must be a number of folds, a splitter such as scikit-learn's, or (train, test) of row numbers for each "
            f"fold, got {shown(cv)}"
        )
    checked = [_checked(pair, number, count) for number, pair in enumerate(found)]
    if not checked:
        raise ValueError("cv gives no fold")

    def fold(train: Indices, test: Indices) -> Callable[[], Fold]:
        return lambda: Fold(rows.take(train), rows.take(test))

    return Folds([fold(*pair) for pair in checked], checked)


def count_of(rows: Rows) -> int:
    """How many rows there are. TypeError for what has none, ValueError where the parts have not as many."""
    counts = {
        len(part) if getattr(part, "shape", None) is None else int(part.shape[0])
        for given in rows
        for part in parts_of(given)
    }
    if not counts:
        raise TypeError("x must be rows: arrays, frames, or a dataset of a database")
    if len(counts) > 1:
        raise ValueError(f"x, y and sample_weight must have as many rows as one another, got {sorted(counts)}")
    return counts.pop()


def parts_of(given: Any) -> list[Any]:
    """The arrays that x, y or sample_weight is: of several inputs or outputs one each."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        return [part for each in given.values() for part in parts_of(each)]
    if isinstance(given, (list, tuple)) and any(hasattr(each, "shape") for each in given):
        return [part for each in given for part in parts_of(each)]
    if not hasattr(given, "__len__") and not hasattr(given, "shape"):
        raise TypeError(f"rows must be arrays, frames or lists, got {shown(given)}; a generator has no rows to choose")
    return [given]


def taken(given: Any, numbers: Indices) -> Any:
    """The rows of these numbers, of what `fit` takes: an array, a frame, a sparse matrix, or several of them."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {name: taken(each, numbers) for name, each in given.items()}
    if isinstance(given, (list, tuple)):
        if any(hasattr(each, "shape") for each in given):
            return type(given)([taken(each, numbers) for each in given])
        return np.asarray(given)[numbers]
    if hasattr(given, "iloc"):
        return given.iloc[numbers]
    return given[numbers]


def _checked(pair: Any, fold: int, count: int) -> tuple[Indices, Indices]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"cv must give (train, test) of row numbers for each fold, got {shown(pair)} for fold {fold}")
    found = []
    for what, given in zip(("train", "test"), pair, strict=True):
        numbers = np.asarray(given)
        if numbers.dtype == bool and numbers.shape == (count,):
            numbers = np.flatnonzero(numbers)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            raise TypeError(f"cv: {what} of fold {fold} must be row numbers, got {shown(given)}")
        if not numbers.size:
            raise ValueError(f"cv: {what} of fold {fold} has no rows")
        for number in (int(numbers.min()), int(numbers.max())):
            if not 0 <= number < count:
                raise ValueError(f"cv: {what} of fold {fold} has the row number {number}, and there are {count} rows")
        found.append(numbers.astype(np.intp))
    return found[0], found[1]


def is_one_hot(labels: Any) -> bool:
    """Whether each row of a matrix has a single 1, and zeros else."""
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _labels(y: Any) -> Any:
    """The class of each row as splitters want it; None where y says none."""
    parts = parts_of(y)
    if len(parts) != 1:
        return None
    labels = np.asarray(parts[0])
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        return labels.argmax(axis=1) if is_one_hot(labels) else labels
    return labels.reshape(-1) if labels.size == len(labels) else labels


def _shuffled(y: Any, count: int, k: int, groups: Any, rng: np.random.Generator) -> list[tuple[Indices, Indices]]:
    """k folds of shuffled rows: each with its share of each class, or the rows of a group in one of them."""
    if count < k:
        raise ValueError(f"cv={k} folds need at least as many rows, got {count}")
    order = rng.permutation(count)
    fold = np.empty(count, np.intp)
    labels = _labels(y)
    if groups is not None:
        fold = _grouped(np.asarray(groups), count, k, order)
    elif labels is not None and labels.ndim == 1 and labels.dtype.kind in "biuUSO":
        # One class after the other, dealt out to the folds as cards are.
        _, codes = np.unique(labels, return_inverse=True)
        fold[order[np.argsort(codes[order], kind="stable")]] = np.arange(count) % k
    else:
        fold[order] = np.arange(count) % k
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(k)]


def _grouped(groups: NDArray[Any], count: int, k: int, order: Indices) -> Indices:
    """The fold of each row: the largest group first, each into the fold that has fewest rows."""
    if groups.shape != (count,):
        raise ValueError(f"groups must have one value for each of the {count} rows, got the shape {groups.shape}")
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < k:
        raise ValueError(f"cv={k} folds need at least as many groups, got {len(sizes)}")
    rank = np.empty(len(sizes), np.intp)
    rank[codes[order[::-1]]] = np.arange(count)[::-1]  # the first row of each group in the drawn order
    of_group, filled = np.empty(len(sizes), np.intp), np.zeros(k, np.intp)
    for group in np.lexsort((rank, -sizes)):
        of_group[group] = filled.argmin()
        filled[of_group[group]] += sizes[group]
    return of_group[codes]


def _of_dataset(rows: Rows, cv: Any, groups: Any) -> Folds:
    if rows.y is not None or rows.sample_weight is not None:
        raise ValueError("a dataset of a database brings its own targets; leave y and sample_weight out")
    if groups is not None:
        raise ValueError("folds of a dataset are by its key, so that rows of one key are together; leave groups out")
    if isinstance(cv, bool) or not isinstance(cv, (int, np.integer)):
        raise TypeError(f"cv must be a number of folds for a dataset, whose rows have no numbers, got {shown(cv)}")
    k = check_count("cv", cv, 2)
    edges = [number / k for number in range(k)] + [1.0]
    folds = [Fold(*(Rows(part) for part in rows.x.fold(lower, upper))) for lower, upper in pairwise(edges)]
    for part in (part for fold in folds for part in fold):
        for _ in part.x.pages(8192):  # read once, here: an open connection belongs to this thread
            pass
    return Folds([partial(folds.__getitem__, number) for number in range(k)])

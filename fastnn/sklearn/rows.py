"""The rows that an estimator is fitted on or predicts for: float32, dense or sparse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.data import Page, Source
from fastnn.data.sparse import sparse_rows
from fastnn.typing import Array, FloatArray

PAGE = 1 << 20  # bytes of a page of rows that are made float32 as they are drawn
# That pays for so many epochs over so many bytes of them: new memory for all would take longer than a few such passes.
FEW_EPOCHS, MANY_BYTES = 4, 1 << 25
FEW_ROWS, FEW_NUMBERS = 1024, 1 << 20  # of rows that are worth putting in an order of their own


def as_float32(x: Any) -> Any:
    """Checked rows as float32, C-contiguous or ``SparseRows``, without a copy where they are that already."""
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and found by what reads it
        if hasattr(x, "tocsr"):
            return sparse_rows(x.tocsr().astype(np.float32, copy=False), "X")
        return np.ascontiguousarray(x, np.float32)


def rows_for(x: Any, epochs: int) -> Any:
    """Checked rows as `Rows` takes them, for so many epochs: as float32, unless they are many for few."""
    if isinstance(x, np.ndarray) and epochs <= FEW_EPOCHS and x.dtype != np.float32 and 4 * x.size > MANY_BYTES:
        return x
    return as_float32(x)


class Rows(Source):
    """x (rows, features), dense or ``SparseRows``, which pages make float32 where it is not; y (rows, targets).

    weight: (rows,) or None. order: in which they are drawn. counted: as how many rows they count.
    """

    def __init__(self, x: Any, y: FloatArray, weight: FloatArray | None) -> None:
        self.x, self.y, self.weight = x, y, weight
        self.input_shape = (x.shape[1],)
        self.targets = y.shape[1]
        self.counted = len(y)
        self.rng: Any = None
        self.order: Any = None
        self._places: Any = None
        self.remembers = False  # where the order of the pass that runs was drawn from
        self._before: Any = None

    def draws(self, rng: Any) -> None:
        """Have each pass draw its order from a RandomState, as scikit-learn does; None: the rows as they lie."""
        self.rng = rng
        self.order = None if rng is None else np.arange(len(self.y), dtype=np.uint32)
        self._places = None if rng is None else np.arange(len(self.y))  # which NumPy shuffles faster

    @property
    def rows(self) -> int:
        return len(self.y)

    def taken(self, places: Array) -> Rows:
        """Some of the rows, as rows of their own."""
        return Rows(self.x[places], self.y[places], None if self.weight is None else self.weight[places])

    def in_own_order(self, most: int) -> Rows:
        """The same rows, where they are few, in an order that hangs on their values alone, whole weights as rows.

        most: rows that may come of whole weights.

        So a fit on all of them as one batch is the same to the bit however they were ordered, and whether a row weighs
        2 or is there twice, or weighs 0 or is not there.
        """
        if self.rows > FEW_ROWS or self.x.shape[0] * self.x.shape[1] > FEW_NUMBERS:
            return self
        x, y, weight = np.ascontiguousarray(self.x, np.float32), self.y, self.weight
        if weight is not None:
            times = weight.astype(np.intp)
            whole = bool((times == weight).all() and times.min() >= 0) and times.sum() <= min(most, FEW_ROWS)
            counts: Any = times if whole else (weight != 0).astype(np.intp)
            x, y, weight = x.repeat(counts, axis=0), y.repeat(counts, axis=0), weight.repeat(counts)
            weight = None if whole else weight
        parts = [x, y] if weight is None else [x, y, weight.reshape(-1, 1)]
        together = np.concatenate(parts, axis=1)
        places = together.view(np.dtype((np.void, together.shape[1] * 4)))[:, 0].argsort(kind="stable")
        found = Rows(x[places], y[places], None if weight is None else weight[places])
        found.counted = self.counted
        return found

    def shuffle(self) -> None:
        """Draw the order of the next pass, as scikit-learn draws it."""
        if self.rng is not None:
            if self.remembers:
                self._before = self._standing()
            self.rng.shuffle(self._places)
            self.order[:] = self._places

    def _standing(self) -> list[Array]:
        """What the order of the next pass is drawn from: the RandomState, and the order of this one."""
        _, keys, place, has_gauss, cached = self.rng.get_state()
        return [keys.copy(), np.array([place, has_gauss, cached], np.float64), self._places.astype(np.uint32)]

    def drawn_from(self, is_between: bool) -> list[Array] | None:
        """What the order of the next pass is drawn from; within a pass, what its own was. None for rows as they lie."""
        if self.rng is None:
            return None
        return self._standing() if is_between or self._before is None else self._before

    def draw_from(self, standing: Any) -> None:
        """Draw the next order from what ``drawn_from`` gave. ValueError for anything else."""
        if (standing is None) != (self.rng is None):
            raise ValueError("order must be arrays where rows are shuffled, and None where they are not")
        if standing is None:
            return
        keys, numbers, places = standing
        if len(places) != self.rows or not (np.sort(places) == np.arange(self.rows)).all():
            raise ValueError(f"order must be one of {self.rows} rows")
        place, has_gauss, cached = np.asarray(numbers, float).tolist()
        self.rng.set_state(("MT19937", np.asarray(keys, np.uint32), int(place), int(has_gauss), cached))
        self._places[:] = places

    def pages(self, batch_size: int, rng: Any = None) -> Iterator[Page]:
        self.shuffle()
        return self.in_order(batch_size)

    def in_order(self, batch_size: int) -> Iterator[Page]:
        """The pages of a pass, the order being drawn."""
        if self.x.dtype == np.float32:
            yield Page(self.x, self.y, self.weight, self.order)
            return
        size = max(1, PAGE // (4 * self.x.shape[1]) // batch_size) * batch_size
        for start in range(0, len(self.y), size):
            at: Any = slice(start, start + size) if self.order is None else self.order[start : start + size]
            weight = None if self.weight is None else self.weight[at]
            with np.errstate(over="ignore"):
                yield Page(np.ascontiguousarray(self.x[at], np.float32), self.y[at], weight, None)

    def whole(self) -> Iterator[Page]:
        """All rows as one page, as they lie."""
        yield Page(self.x, self.y, self.weight, None)

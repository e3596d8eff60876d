"""Batches as they come: generators, lists, torch's DataLoader, Keras's PyDataset, any iterable."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_batch_size, shown

from .arrays import ArraySource
from .several import column_names, in_order
from .source import Page, Source, check_names, row_order
from .sparse import SparseSource, is_sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnn.typing import Array, Shape

    from .several import Several

    Numbered = Iterator[tuple[int, Any]]

__all__ = ["BatchSource"]


class BatchSource(Source):
    """Batches of an iterable; each is one step, whatever its size.

    batches: gives x, (x,), (x, y) or (x, y, sample_weight), as a tuple or a list, each of them whatever
    ``ArraySource`` takes. An iterator (a generator) runs once. Any other iterable is started again for each pass. What
    has `__len__` and `__getitem__` (a list, a PyDataset) gives its batches by number, in a drawn order where the pass
    is shuffled; its `on_epoch_begin` and `on_epoch_end` are called, where they exist, around each pass. inputs,
    outputs: as in ``source_of``.

    Raises ValueError where there is no batch (left); and, with the number of the batch, what ``ArraySource`` raises,
    and ValueError for rows of another shape than those of the first batch. What the iterable itself raises comes out
    unchanged.
    """

    batches = True

    def __init__(self, batches: Any, inputs: Several | None = None, outputs: Several | None = None) -> None:
        signs = ("__iter__", "__next__", "__getitem__")
        listed = any(hasattr(type(batches), sign) for sign in signs) and not isinstance(batches, Mapping)
        if not listed or getattr(batches, "shape", None) == ():
            raise TypeError(f"batches must be something that gives batches one after the other, got {shown(batches)}")
        self._given = batches
        self._kind = type(batches).__name__
        self._model = inputs, outputs
        self._once = hasattr(batches, "__next__")
        self._by_number = hasattr(batches, "__len__") and hasattr(batches, "__getitem__")
        running = self._run(None)
        first = next(running, None)
        if first is None:
            raise ValueError(f"the {self._kind} gives no batches; at least one is needed")
        source = self._source(*first)
        self.input_shape, self.targets, self.columns = source.input_shape, source.targets, source.columns
        self.target_shape, self.weight_shape, self.names = source.target_shape, source.weight_shape, source.names
        # What an iterator gave is gone from it, and making it again may be dear: it opens the first pass.
        self._running: Numbered | None = None if self._by_number else chain([first], running)

    @property
    def rows(self) -> None:
        """None: nobody knows before they have come."""
        return None

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give each batch as a page; `batch_size` means nothing here."""
        check_batch_size(batch_size)
        return self._pages(rng)

    def _pages(self, rng: np.random.Generator | None) -> Iterator[Page]:
        self._tell("on_epoch_begin")
        running, self._running = self._running or self._run(rng), None
        empty = True
        for number, batch in running:
            empty = False
            yield self._page(number, batch)
        if empty:
            raise ValueError(
                f"the {self._kind} has no batch left for this epoch; it runs only once, so pass something that can be "
                "started again (a list, a DataLoader, an object with __iter__), or lower epochs or steps_per_epoch"
                if self._once
                else f"the {self._kind} gives no batches any more; at least one is needed"
            )
        self._tell("on_epoch_end")

    def _run(self, rng: np.random.Generator | None) -> Numbered:
        """The batches from the first, or in a drawn order, with their numbers."""
        if not self._by_number:
            return enumerate(self._given)
        order = row_order(len(self._given), rng)
        numbers = range(len(self._given)) if order is None else order.tolist()
        return ((number, self._given[number]) for number in numbers)

    def _tell(self, event: str) -> None:
        method = getattr(self._given, event, None)
        if method is not None:
            method()

    def _page(self, number: int, batch: Any) -> Page:
        source = self._source(number, batch)
        if (source.input_shape, source.targets) != (self.input_shape, self.targets):
            raise ValueError(
                f"batch {number} has rows of shape {source.input_shape} and {source.targets} target column(s), but the "
                f"first had {self.input_shape} and {self.targets}; all batches must be alike but for their length"
            )
        check_names(self.names, source.names, f"batch {number}", "the first one has")
        if (source.target_shape, source.weight_shape) != (self.target_shape, self.weight_shape):
            raise ValueError(
                f"batch {number} has y of shape {_shape(source.target_shape)} and sample_weight of shape "
                f"{_shape(source.weight_shape)}, but the first had {_shape(self.target_shape)} and "
                f"{_shape(self.weight_shape)}; all batches must be alike but for their length"
            )
        return Page(source.x, source.y, source.weight, None, batch=number)

    def row_names(self, page: Page, rows: Array, before: int) -> Array:
        """Their numbers in their batch, and the number of that."""
        return np.array([f"{row} of batch {page.batch}" for row in rows.tolist()])

    def _source(self, number: int, batch: Any) -> ArraySource:
        parts = batch if isinstance(batch, (tuple, list)) else (batch,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(
                f"batch {number} must be x, (x, y) or (x, y, sample_weight), got a {type(batch).__name__} of "
                f"{len(parts)}"
            )
        try:
            x, y, sample_weight = (*parts, None, None)[:3]
            return batch_of(x, y, sample_weight, *self._model)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"batch {number} (the first is 0; expected (x, y) or (x, y, sample_weight)): {error}") from error


def batch_of(
    x: Any, y: Any, sample_weight: Any, inputs: Several | None = None, outputs: Several | None = None
) -> ArraySource:
    """All rows as one page, in memory; arguments as ``source_of``."""
    rows, y, sample_weight, options = in_order(x, y, sample_weight, inputs, outputs)
    source = (SparseSource if is_sparse(rows) else ArraySource)(rows, y, sample_weight, **options)
    if inputs is not None and len(inputs.names) > 1 and inputs.front is None:
        source.names = column_names(x, inputs.names)
    return source


def _shape(row: Shape | None) -> str:
    """A shape of rows, for messages."""
    return "(rows" + "".join(f", {axis}" for axis in row or ()) + ("," if not row else "") + ")"

"""Sources whose rows go through a model's front."""

from __future__ import annotations

import copy
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import column_of
from .source import Page, RowSource, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .several import Several

__all__ = ["FrontSource"]


def through(source: Source, inputs: Several) -> Source:
    """A source's rows as the engine reads them. TypeError where it cannot give the columns that the model reads."""
    if hasattr(source, "through"):  # a query
        return source.through(inputs)  # type: ignore[no-any-return]
    return FrontSource(source, inputs)


class FrontSource(RowSource):
    """The rows of a source of numbers, made by a model's front of the columns that they lie side by side in.

    Raises TypeError where the model reads text, and ValueError for rows of another width.
    """

    def __init__(self, source: Source, inputs: Several) -> None:
        for name, dtype in zip(inputs.names, inputs.front.dtypes, strict=True):
            if dtype == "string":
                raise TypeError(
                    f"input {name!r} reads text, and a {type(source).__name__} holds numbers; give a dict of arrays, a "
                    "data frame, batches or SQLDataset"
                )
        width = sum(map(prod, inputs.shapes))
        if prod(source.input_shape) != width:
            raise ValueError(f"the source has rows of {prod(source.input_shape)} numbers, but the model reads {width}")
        self.source, self._inputs = source, inputs
        self.input_shape = (inputs.front.width,)
        self.targets, self.target_shape = source.targets, source.target_shape
        self.weight_shape, self.batches = source.weight_shape, source.batches

    @property
    def rows(self) -> int | None:  # type: ignore[override]
        """The number of rows of the source inside."""
        return self.source.rows

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give the pages of the source inside, each through the front."""
        return map(self._made, self.source.pages(batch_size, rng))

    def _made(self, page: Page) -> Page:
        inputs = self._inputs
        ends = np.cumsum([prod(shape) for shape in inputs.shapes])
        columns = [
            column_of(part.reshape(len(part), *shape), dtype, f"x[{name!r}]")
            for part, shape, dtype, name in zip(
                np.split(np.asarray(page.x), ends[:-1], axis=1),
                inputs.shapes,
                inputs.front.dtypes,
                inputs.names,
                strict=True,
            )
        ]
        return page._replace(x=inputs.front.rows(columns, 0))

    def part(self, start: int, stop: int) -> FrontSource:
        if not isinstance(self.source, RowSource):
            self.source.split(0.5)  # says why it cannot be
        part: Any = copy.copy(self)
        part.source = self.source.part(start, stop)  # type: ignore[attr-defined]
        return part  # type: ignore[no-any-return]

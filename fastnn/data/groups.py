"""Rows in groups: by labels that stand beside them, or in columns of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import is_missing
from .source import Page, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

MISSING = "missing"
MOST = 1000


class Groups:
    """The groups that labels make, each with a number: that of the first row with such labels among those of others."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self._known: dict[tuple[Any, ...], int] = {}

    def of(self, columns: Sequence[Sequence[Any]]) -> NDArray[np.float32]:
        """The number of each row's group, from a label of it in each of the columns. ValueError for more than 1000."""
        known, found = self._known, np.empty(len(columns[0]), np.float32)
        for row, labels in enumerate(zip(*columns, strict=True)):
            number = known.get(labels)
            found[row] = self._number(labels) if number is None else number
        return found

    def _number(self, labels: tuple[Any, ...]) -> int:
        named = tuple(MISSING if is_missing(label) else label for label in labels)
        number = self.numbers.setdefault(named if len(named) > 1 else named[0], len(self.numbers))
        if len(self.numbers) > MOST:
            raise ValueError(f"by makes more than {MOST} groups of the rows; give labels, such as bins of a number")
        if MISSING not in named:
            self._known[labels] = number
        return number


class Grouped(Source):
    """The rows of a source, or those of one of their groups. `counts`: of each group, once all rows have been read."""

    def __init__(self, source: Source, groups: Groups, numbers: NDArray[np.float32] | None = None) -> None:
        """numbers: of the rows' groups; None where the source has them behind its targets."""
        self._source, self._groups, self._numbers = source, groups, numbers
        self.group: int | None = None
        self.counts = np.zeros(0, np.intp)
        self.input_shape, self.target_shape, self.weight_shape = (
            source.input_shape,
            source.target_shape,
            source.weight_shape,
        )
        self.targets = source.targets - (numbers is None)
        self.columns, self.names, self.first = source.columns, source.names, source.first

    @property
    def rows(self) -> int | None:
        """The number of rows; None until they have been read."""
        return self._source.rows if self.group is None else int(self.counts[self.group])

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give the rows, of a group in pages of whole batches."""
        before, held = 0, None
        counts = np.zeros(MOST, np.intp)
        for page in self._source.pages(batch_size):
            part, numbers = self._parted(page, before)
            before += len(numbers)
            counts += np.bincount(numbers, minlength=MOST)
            if self.group is None:
                yield part
                continue
            part = _of_rows(part, np.flatnonzero(numbers == self.group))
            if held is not None:
                part = _joined(held, part)
            whole = len(part.x) // batch_size * batch_size
            yield _of_rows(part, slice(whole))
            held = _of_rows(part, slice(whole, None))
        if held is not None:
            yield held
        self.counts = counts

    def _parted(self, page: Page, before: int) -> tuple[Page, NDArray[np.intp]]:
        """A page without the numbers of its rows' groups, but with those of the rows; and these numbers."""
        rows = np.arange(before, before + len(page.x)) if page.numbers is None else page.numbers
        if self._numbers is not None:
            numbers = self._numbers[before : before + len(page.x)]
            return page._replace(numbers=rows), numbers.astype(np.intp)
        assert page.y is not None
        y = np.ascontiguousarray(page.y[:, :-1]) if self.targets else None
        return page._replace(y=y, numbers=rows), page.y[:, -1].astype(np.intp)


def _of_rows(page: Page, places: Any) -> Page:
    found = (None if each is None else each[places] for each in (page.x, page.y, page.weight, None, page.numbers))
    return Page(*found)


def _joined(page: Page, after: Page) -> Page:
    pairs = zip(page[:5], after[:5], strict=True)
    return Page(*(None if a is None else np.concatenate([a, b]) for a, b in pairs))  # type: ignore[arg-type]

"""Passes over a query or files that all ranks make together: each row is asked for once, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.data._windows import arrays_of
from fastnn.data.stored import TOGETHER, StoredSource
from fastnn.databases.ahead import Ahead
from fastnn.distributed.meeting import met

if TYPE_CHECKING:
    from fastnn.distributed.communicator import Communicator

DOING = "reads rows"
PARTS = 8  # that a rank reads, one after another
BYTES = 2**22  # of a message


@contextmanager
def alone() -> Iterator[None]:
    """What begins within is read by this rank for itself."""
    before = TOGETHER.set(None)
    try:
        yield
    finally:
        TOGETHER.reset(before)


class Together:
    """Within it, passes over the sources of a fit are made by all ranks, which read and give one another parts of them.

    A query is cut where its reader can (``Reader.cuts``), and rank r of n reads part r, r + n and so on, ahead of what
    is asked for; else rank 0 reads it. Every rank then has all rows, in the order of one process, and keeps them as
    that does. told: ``met``, or what else does the same.
    """

    def __init__(
        self, communicator: Communicator, given: Sequence[Any], told: Callable[..., Any] | None = None
    ) -> None:
        self.communicator, self._met = communicator, told or partial(met, communicator)
        self._readers = [each.reader for each in given if isinstance(each, StoredSource)]
        self._token: Any = None

    def __enter__(self) -> Together:
        self._token = TOGETHER.set(self)
        return self

    def __exit__(self, *of_error: object) -> None:
        TOGETHER.reset(self._token)

    def has(self, reader: Any) -> bool:
        """Whether it is of a source of the fit."""
        return any(reader is each for each in self._readers)

    def all_know(self, known: bool) -> bool:
        """Whether all ranks have the rows, so that nobody need read."""
        return all(self._told(None, known))

    def arrays(self, reader: Any, take: Any, cut: bool, key: str | None, memory: int) -> Generator[Any, None, None]:
        """As ``arrays_of``.

        cut: whether rows are taken without a look at others. key: the column that names a row. memory: bytes to read
        ahead.
        """
        rank, size = self.communicator.rank, self.communicator.size
        cuts: Any = None
        error: BaseException | None = None
        try:
            cuts = reader.cuts(PARTS * size, key) if cut and rank == 0 else None
        except Exception as found:
            error = found
        cuts = self._told(error, cuts)[0] or [None]
        reads = [reader]

        def own() -> Generator[Any, None, None]:
            for each in cuts[rank::size]:
                reads[0] = reader if each is None else reader.part(each)
                with closing(arrays_of(reads[0], take)) as arrays:
                    for rows in arrays:
                        step = max(1, BYTES // max(1, rows[:1].nbytes))
                        yield from (rows[start : start + step] for start in range(0, len(rows), step))
                yield None

        ahead: Any = own()
        if reader.threaded:
            ahead = Ahead(own, max(2, memory // BYTES), lambda: reads[0].interrupt())
        with closing(ahead):
            for owner in (number % size for number in range(len(cuts))):
                while True:
                    rows, error = self._next(ahead, owner)
                    error, told = self._met(error, DOING, None if rows is None else rows.shape)
                    if error is not None:
                        if told and len(cuts) > 1:  # it counts rows from where a part begins
                            yield from (rows[:0] for rows in self.arrays(reader, take, False, None, memory))
                        raise error
                    if told[owner] is None:
                        break
                    rows = np.empty(told[owner], np.float32) if rows is None else np.ascontiguousarray(rows)
                    self.communicator.bcast(rows.reshape(-1), owner)
                    yield rows

    def objects(self, reader: Any, take: Any) -> Generator[Any, None, None]:
        """The same of columns of any kind, which rank 0 reads."""
        with closing(arrays_of(reader, take)) as values:
            while (value := self._told(*reversed(self._next(values, 0)))[0]) is not None:
                yield value

    def _next(self, values: Any, owner: int) -> tuple[Any, BaseException | None]:
        try:
            return (next(values, None) if owner == self.communicator.rank else None), None
        except Exception as error:
            return None, error

    def _told(self, error: BaseException | None, value: Any) -> list[Any]:
        told: list[Any]
        error, told = self._met(error, DOING, value)
        if error is not None:
            raise error
        return told

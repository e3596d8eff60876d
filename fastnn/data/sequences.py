"""Rows of a query as windows: the last rows of the same key until each of them, in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn._checks import as_number, check_count, shown
from fastnn.databases.reader import null_key

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from fastnn.databases.reader import Block


class Sequence(NamedTuple):
    """How rows become windows: the columns of the key and of the time, rows of a window, what is in front of few."""

    key: str
    time: str
    length: int
    padding: float = 0.0


def checked(given: Any) -> Sequence | None:
    """What a dataset is given as `sequence`. TypeError, ValueError for what is none."""
    if given is None:
        return None
    if not isinstance(given, (tuple, list)) or len(given) not in (3, 4):
        raise TypeError(
            'sequence must be (key, time, length) or (key, time, length, padding), such as ("customer_id", "day", 30), '
            f"got {shown(given)}"
        )
    key, time, length, *padding = given
    for name in (key, time):
        if not isinstance(name, str):
            raise TypeError(f"sequence has the names of two columns first, got {shown(name)}")
    return Sequence(key, time, check_count("sequence: length", length), *(as_number("padding", p) for p in padding))


class Sequenced:
    """Windows of what another (``Picked``) takes, of rows with one key: those of one pass, whose rows come in order."""

    def __init__(self, take: Any, sequence: Sequence, prepare: Any = None) -> None:
        if prepare is not None:
            raise ValueError("prepare= makes layers that read single rows; leave it or sequence= out")
        self._inner, self.sequence = take, sequence
        wanted = take.wanted
        self.wanted = wanted._replace(others=(*wanted.others, sequence.key, sequence.time))
        self.width = take.width * sequence.length
        self._last: tuple[Any, Any] | None = None  # key and time of the row before
        self._kept: Any = np.empty((0, take.width), np.float32)  # the rows before with that key, as far as they count
        self._known: set[Any] = set()

    def begun(self) -> Sequenced:
        """The same for another pass."""
        return Sequenced(self._inner, self.sequence)

    def address(self) -> Hashable | None:
        """As ``Picked.address``."""
        inner = self._inner.address()
        return None if inner is None else (inner, "sequence", *self.sequence)

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """(rows, width + targets): a window for each row. ValueError for rows that are not in order, and NULL."""
        *others, keys, times = block.others
        rows = self._inner(block._replace(others=others), first)
        starts = self._starts(keys.tolist(), times.tolist(), first)
        width, length = self._inner.width, self.sequence.length
        before = len(self._kept) if len(starts) and starts[0] < 0 else 0
        base = np.concatenate([self._kept[len(self._kept) - before :], rows[:, :width]])
        ends = np.arange(before, before + len(rows))
        places = ends[:, None] + np.arange(1 - length, 1)
        missing = places < np.maximum(starts + before, 0)[:, None]
        windows = base[places.clip(min=0)]
        windows[missing] = self.sequence.padding
        if len(starts):
            begin = max(int(starts[-1]) + before, 0, len(base) - length + 1)
            self._kept = base[begin:] if length > 1 else base[:0]
        return np.concatenate([windows.reshape(len(rows), -1), rows[:, width:]], axis=1)

    def _starts(self, keys: list[Any], times: list[Any], first: int) -> NDArray[np.intp]:
        """For each row the place of the first one with its key, below 0 where that is in a block before."""
        sequence, last = self.sequence, self._last
        starts, start = np.empty(len(keys), np.intp), -(2**40)
        for place, pair in enumerate(zip(keys, times, strict=True)):
            key, time = pair
            if key is None or time is None:
                raise null_key(sequence.key if key is None else sequence.time, first + place)
            if last is None or last[0] != key:
                if key in self._known:
                    raise self._order(f"the key {shown(key)} comes again in row {first + place}, behind other keys")
                self._known.add(key)
                start = place
            elif not last[1] <= time:
                raise self._order(
                    f"{sequence.time!r} goes back from {shown(last[1])} to {shown(time)} in row {first + place}"
                )
            starts[place], last = start, pair
        self._last = last
        return starts

    def _order(self, said: str) -> ValueError:
        key, time = self.sequence.key, self.sequence.time
        return ValueError(
            f"the rows of a sequence must come key by key and in the order of time, but {said}; end the query with "
            f"ORDER BY {key}, {time}"
        )

"""Rows straight from an SQLite database."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_batch_size, check_count, shown
from fastnn.databases.params import BYTES
from fastnn.databases.reader import Wanted, listed
from fastnn.databases.sqlite import SQLiteReader

from ._front import Fronted, Picked, features_of
from .columns import column_of
from .source import FLOAT32_MAX, Page, Source, row_order

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from fastnn.databases.params import Params
    from fastnn.databases.sqlite import Connection

    from .several import Several

    _Window = tuple[NDArray[np.float32], NDArray[np.float32] | None]

__all__ = ["SQLDataset"]

# A result too large to keep passes through windows of this part of memory_limit.
_WINDOWS = 4


class SQLDataset(Source):
    """Rows of a query on an SQLite database, as float32.

    sql: one SELECT; values are bound to it through `params`, a sequence or a mapping. con: an open
    sqlite3.Connection (used as it is, and left as it was), the path of a database file, or a
    sqlite:///path URL (opened read-only, and closed after each pass). target: the name of the
    target column, or a sequence of names. features: a sequence of names, by default all other
    columns, in the order of the query. null: the number that stands for NULL in a feature, by
    default an error; a target that is NULL is always an error. memory_limit: the bytes of float32
    rows that may be kept, 0 or more, by default 256 MiB.

    A result that fits `memory_limit` is read once, before its first page, and kept: each pass is
    one page, drawn in a full permutation. Make a new dataset to see rows that were added later.
    A result that does not fit is read again in each pass, through windows of a quarter of
    `memory_limit`, in the order of the query; the rows are shuffled inside each window. So a table
    that lies sorted by its target wants another ORDER BY in the query. Such a pass holds
    two windows; the first, until it knows, holds `memory_limit` and one window.

    Attributes: `columns`, the names of the features; `rows`, None until a pass has been whole. A dataset of a file may
    be pickled and sent to another process, which reads the file there; TypeError where `con` is an open connection.

    Raises FileNotFoundError for a missing file (none is ever created); ValueError, with SQLite's
    own message, for SQL that fails or is not one SELECT; ValueError for unknown or doubled column
    names, for an empty result, and, with column and row (counted from 1), for NULL, text, blobs,
    numbers beyond float32's range, and whole numbers in a target that float32 would round.
    """

    def __init__(
        self,
        sql: str,
        con: Connection,
        *,
        target: str | Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        params: Params = None,
        null: float | None = None,
        memory_limit: int = 256 * 2**20,
    ) -> None:
        self._reader = SQLiteReader(sql, con, params)
        names = self._reader.columns
        targets = [target] if isinstance(target, str) else [] if target is None else names_of("target", target)
        _check_names("target", targets, names)
        if isinstance(features, str):
            raise TypeError(f"features must be a sequence of names; for one, write [{shown(features)}]")
        if features is None:
            chosen = [name for name in names if name not in targets]
        else:
            chosen = names_of("features", features)
            _check_names("features", chosen, names)
            for name in chosen:
                if name in targets:
                    raise ValueError(f"column {name!r} is both a feature and a target")
        if not chosen:
            raise ValueError(
                f"no feature is left: the query's columns are {listed(names)} and the targets "
                f"{listed(targets)}; select more columns"
            )
        self.columns = self.names = tuple(chosen)
        self.input_shape = (len(chosen),)
        self.targets = len(targets)
        self._take: Picked | Fronted = Picked(chosen, targets, checked_null(null))
        self._memory_limit = check_count("memory_limit", memory_limit, 0)
        self._null, self._names = checked_null(null), targets
        self._rows: int | None = None
        self._kept: _Window | None = None
        self._too_large = False
        self._fronted: tuple[Any, tuple[Any, ...], SQLDataset] | None = None

    @property
    def rows(self) -> int | None:
        """The number of rows; None until they have been read once."""
        return self._rows

    def __copy__(self) -> SQLDataset:
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        return made

    def __getstate__(self) -> dict[str, Any]:
        # The query and where it runs: the copy reads the rows for itself.
        if not self._reader.shared:
            raise TypeError(
                "SQLDataset: an open sqlite3.Connection belongs to its process, so this cannot be pickled or "
                "deep-copied; make the dataset with the path of the database file"
            )
        return {**vars(self), "_kept": None, "_fronted": None}

    def through(self, inputs: Several) -> SQLDataset:
        """The same rows as a model reads that has a front: columns of text too, by the names of its inputs."""
        front = inputs.front
        state = front.state()
        if self._fronted is not None:
            known, tables, made = self._fronted
            if known is front and len(tables) == len(state) and all(map(operator.is_, tables, state)):
                return made
        made = copy.copy(self)
        vars(made).update(
            _take=Fronted(features_of(self.columns, inputs), self._names, self._null, inputs),
            input_shape=(front.width,),
            names=(),  # the model has named them
            _kept=None,
            _fronted=None,
            _too_large=False,
        )
        self._fronted = front, state, made
        return made

    def blocks(self, kind: str, names: Sequence[str] = ()) -> Iterator[NDArray[Any]]:
        """The features as they are, (rows, features) at a time: what ``adapt`` of a layer reads.

        kind: "string", "int64" or "float32". names: of some of the columns alone. ValueError for an unknown one.
        """
        chosen = list(names) or list(self.columns)
        _check_names("column", chosen, self._reader.columns)
        first = 1
        for block in self._reader.blocks(Wanted((), (), chosen)):
            columns = [
                column_of(column, kind, f"column {name!r} of the query", first)
                for name, column in zip(chosen, block.others, strict=True)
            ]
            first += len(block.numbers)
            yield np.stack(columns, axis=1)

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        """Give one page with all rows, or a page for each window of a result too large to keep."""
        return self._pages(check_batch_size(batch_size), rng)

    def _pages(self, batch_size: int, rng: np.random.Generator | None) -> Iterator[Page]:
        if self._kept is not None:
            yield _page(self._kept, rng)
            return
        row_bytes = 4 * (self._take.width + self.targets)
        batches = self._memory_limit // _WINDOWS // row_bytes // batch_size
        with closing(self._windows(max(1, batches) * batch_size)) as windows:
            held: list[_Window] = []
            if not self._too_large:
                for window in windows:
                    held.append(window)
                    if sum(len(x) for x, _ in held) * row_bytes > self._memory_limit:
                        self._too_large = True
                        break
                else:
                    self._kept = _joined(held)
                    yield _page(self._kept, rng)
                    return
                del window
            while held:
                yield _page(held.pop(0), rng)
            for window in windows:
                yield _page(window, rng)

    def _windows(self, size: int) -> Generator[_Window, None, None]:
        """Run the query; `size` rows at a time, fewer at the end."""
        total, width, take = 0, self._take.width, self._take
        (x, y), at = self._room(), 0
        with closing(self._reader.blocks(take.wanted)) as blocks:
            for block in blocks:
                rows = take(block, total + 1)
                total += len(rows)
                while len(rows):
                    part, rows = rows[: size - at], rows[size - at :]
                    if at + len(part) > len(x):
                        _resize(x, y, min(size, max(2 * len(x), at + len(part))))
                    x[at : at + len(part)] = part[:, :width]
                    y[at : at + len(part)] = part[:, width:]
                    at += len(part)
                    if at == size:
                        yield x, y if self.targets else None
                        (x, y), at = self._room(), 0
        if at:
            _resize(x, y, at)
            yield x, y if self.targets else None
        if total == 0:
            raise ValueError(f"the query gives no rows: {self._reader.query.sql}; check its WHERE")
        self._rows = total

    def _room(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.empty((0, self._take.width), np.float32), np.empty((0, self.targets), np.float32)


def checked_null(null: float | None) -> float | None:
    """Return `null` as a float that float32 can hold; TypeError or ValueError otherwise."""
    if null is None:
        return None
    try:
        if getattr(null, "shape", ()) != ():
            raise TypeError
        number = as_number("null", null)
    except TypeError:
        raise TypeError(f"null must be the number that stands for NULL, got {shown(null)}") from None
    if abs(number) > FLOAT32_MAX:
        raise ValueError(f"null must be NaN or within float32's range, got {shown(null)}")
    return number


def names_of(what: str, given: object) -> list[str]:
    """The names of columns that are given as a sequence; TypeError for what is none, or holds something else."""
    if not hasattr(type(given), "__iter__") or isinstance(given, BYTES) or getattr(given, "shape", None) == ():
        raise TypeError(f"{what} must be a sequence of names of columns, got {shown(given)}")
    names = []
    for place, name in enumerate(given):  # type: ignore[arg-type, var-annotated]
        if not isinstance(name, str):
            raise TypeError(f"{what} must be a sequence of names of columns, got {shown(name)} at place {place}")
        names.append(str(name))  # NumPy's texts show themselves otherwise
    return names


def _check_names(what: str, chosen: Sequence[str], names: Sequence[str]) -> None:
    for name in chosen:
        if name not in names:
            raise ValueError(
                f"unknown {what} {shown(name)}{_names.hint(name, names)}; the query's columns are {listed(names)}"
            )
        if chosen.count(name) > 1:
            raise ValueError(f"{what} names the column {name!r} twice")


def _page(window: _Window, rng: np.random.Generator | None) -> Page:
    x, y = window
    return Page(x, y, None, row_order(len(x), rng))


def _resize(x: NDArray[np.float32], y: NDArray[np.float32], rows: int) -> None:
    # In place, through realloc: a copy would hold the rows twice. No view of them exists yet.
    for array in (x, y):
        array.resize((rows, array.shape[1]), refcheck=False)


def _joined(held: list[_Window]) -> _Window:
    """One window of them all; each part is let go as soon as it has been copied."""
    if len(held) == 1:
        return held[0]
    rows = sum(len(x) for x, _ in held)
    first_x, first_y = held[0]
    x = np.empty((rows, first_x.shape[1]), dtype=np.float32)
    y = None if first_y is None else np.empty((rows, first_y.shape[1]), dtype=np.float32)
    del first_x, first_y
    at = 0
    while held:
        part, targets = held.pop(0)
        x[at : at + len(part)] = part
        if y is not None and targets is not None:
            y[at : at + len(part)] = targets
        at += len(part)
    return x, y


_names.offer(globals())

"""Rows that a reader gives, as a source: read once, then kept in memory or on disk."""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Mapping, Sequence
from contextlib import closing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import uuid4

import numpy as np

from fastnn._checks import as_number, check_batch_size, check_count, check_text, shown
from fastnn.databases.ahead import Ahead
from fastnn.databases.cache import Cached, CacheWriter, clear_cache as clear_cache, discard, key_of, open_cached, share
from fastnn.databases.reader import NoRowsError, listed

from ._front import Fronted, Numbered, Part, Picked, Typed, taken
from ._windows import arrays_of, joined, windows
from .arguments import check_known, checked_null, names_of
from .sequences import Sequenced, checked
from .source import Page, Source, drawn, row_order

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from fastnn.databases.reader import Reader

    from .several import Several

    Rows: TypeAlias = tuple[Any, NDArray[np.float32]]  # x an array or ``SparseRows``

Cache: TypeAlias = Literal["auto"] | bool | float
# "auto", or for each column what becomes of it, one of fastnn.models.preparation's words or a dict of options.
Prepare: TypeAlias = Literal["auto"] | Mapping[str, Any] | None

# A window is this part of memory_limit, since three of them are there at once; and no more bytes than this, so that
# training begins before all is read.
_WINDOWS, _WINDOW = 4, 2**23
# fastnn.distributed.reading.Together, where several processes read together.
TOGETHER: ContextVar[Any] = ContextVar("TOGETHER", default=None)
# Rows of a file that are drawn together: from as many places as there are such blocks in a window.
_BLOCK = 2**16


class StoredSource(Source):
    """The rows of a reader. Arguments and errors as ``SQLDataset``, whose rows these are.

    The order of an epoch is a function of the generator, the epoch's number, the batch size and memory_limit: not of
    where the rows come from. In epoch 0 it is that of the query, shuffled within windows of memory_limit / 4, at most
    8 MiB, so that training goes on while the query runs. Later it is a permutation of all rows; of rows on disk, of
    windows that are made of blocks of 64 KiB from all over the file.
    """

    by_epoch = True

    def __init__(
        self,
        reader: Reader,
        target: str | Sequence[str] | None,
        features: Sequence[str] | None,
        key: str | None,
        null: float | None,
        memory_limit: int,
        cache: Cache,
        prepare: Prepare = None,
        sequence: Any = None,
    ) -> None:
        self._reader = reader
        names = reader.columns
        targets = [target] if isinstance(target, str) else [] if target is None else names_of("target", target)
        targets = reader.within(targets)
        check_known("target", targets, names)
        self.sequence = checked(sequence)
        if key is not None:
            check_known("key", [check_text("key", key)], names)
        apart = [key]
        if self.sequence is not None:
            check_known("sequence", list(self.sequence[:2]), names)
            key, apart = self.sequence.key, [key, *self.sequence[:2]]
        if isinstance(features, str):
            raise TypeError(f"features must be a sequence of names; for one, write [{shown(features)}]")
        if features is None:
            chosen = [name for name in names if name not in targets and name not in apart]
        else:
            chosen = reader.within(names_of("features", features))
            check_known("features", chosen, names)
            for name in chosen:
                if name in targets:
                    raise ValueError(f"column {name!r} is both a feature and a target")
        if not chosen:
            raise ValueError(
                f"no feature is left: the query's columns are {listed(names)} and the targets "
                f"{listed(targets)}; select more columns"
            )
        if not (isinstance(cache, bool) or (isinstance(cache, str) and cache == "auto")):
            cache = as_number("cache", cache)
            if not cache >= 0:
                raise ValueError(f'cache must be "auto", True, False or seconds of at least 0, got {cache:g}')
        self.columns, self.names, self.rules = tuple(chosen), tuple(chosen), dict(reader.rules)
        self.input_shape = reader.shape_of(chosen)
        self.targets = len(targets)
        self._null, self.key, self._cache = checked_null(null), key, cache
        self.prepare, self.targets_named = prepare, tuple(targets)
        self._take: Picked | Fronted | Sequenced | Numbered | Part = Picked(chosen, targets, self._null)
        self._dtype = reader.dtype_of(chosen)  # of the features, as they are kept
        others = (self._null, None if self.sequence is None else self.sequence.padding)
        if any(other is not None and not (0 <= other <= 255 and other % 1 == 0) for other in others):
            self._dtype = np.dtype(np.float32)
        if self.sequence is not None:
            self._take = Sequenced(Picked(chosen, targets, self._null), self.sequence, prepare)
            self.input_shape = (self.sequence.length, *self.input_shape)
        self._memory_limit = check_count("memory_limit", memory_limit, 0)
        self.last: Any = None  # see `since`
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the rows yet."""
        self._rows: int | None = None
        self._kept: Rows | None = None
        self._cached: Cached | None = None
        self._too_large = False
        self._fronted: tuple[Any, tuple[Any, ...], StoredSource] | None = None

    def _changed(self, **changes: Any) -> Any:
        """The same with some attributes changed, and nothing known of its rows."""
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        made._forget()
        vars(made).update(changes)
        return made

    @property
    def rows(self) -> int | None:
        """The number of rows; None until they have been read once."""
        return self._rows if self._fronted is None else self._fronted[2].rows

    @property
    def reader(self) -> Reader:
        """What runs the query."""
        return self._reader

    def terms(self) -> tuple[Any, ...]:
        """What its rows and their order hang on, folders left out, which need not be called the same elsewhere."""
        place = [
            os.path.basename(at) if isinstance(at, str) and os.path.isabs(at) else at for at in self.reader.address
        ]
        return *place, self._null, self.key, self._cache, self._memory_limit, self.prepare, self.columns

    def _together(self) -> Any:
        found = TOGETHER.get()
        return found if found is not None and found.has(self._reader) else None

    def __getstate__(self) -> dict[str, Any]:
        # The query and where it runs: the copy reads the rows for itself.
        if not self._reader.shared:
            raise TypeError(
                f"{type(self).__name__}: an open connection belongs to its process, so this cannot be pickled or "
                "deep-copied; make the dataset with a path or a URL"
            )
        return {**vars(self), "_kept": None, "_cached": None, "_fronted": None}

    def __copy__(self) -> StoredSource:
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        return made

    def split(self, fraction: float) -> tuple[Source, Source]:
        """Split into (train, validation) by a hash of the key: about `fraction` of the rows are for validation.

        A row's part hangs on its key alone, so rows that come later move no other; parts of different fractions lie
        within one another. fraction: above 0 and below 1. ValueError without a key.
        """
        share = as_number("fraction", fraction)
        if not 0 < share < 1:
            raise ValueError(f"the fraction to split off must lie between 0 and 1, got {shown(fraction)}")
        return self._parts(0, share, "split", "pass validation_data")

    def fold(self, lower: float, upper: float) -> tuple[Source, Source]:
        """Split into (train, test) by a hash of the key: test has the rows whose hash, of 0 to 1, is in that range.

        So the ranges 0 to 1/k, 1/k to 2/k and so on are the folds of a cross-validation. ValueError without a key.
        """
        first, last = as_number("lower", lower), as_number("upper", upper)
        if not 0 <= first < last <= 1:
            raise ValueError(f"a fold must be a range within 0 to 1, got {shown(lower)} to {shown(upper)}")
        return self._parts(first, last, "fold", "choose the rows in two queries")

    def _parts(self, lower: float, upper: float, what: str, otherwise: str) -> tuple[Source, Source]:
        if self.key is None:
            raise ValueError(
                f"{type(self).__name__}.{what} needs the column that names a row, so that rows which come later move "
                f"no others: pass key=; or {otherwise}"
            )
        outside, inside = (
            self._changed(_take=Part(self._take, self.key, (lower, upper), taken)) for taken in (False, True)
        )
        return outside, inside

    def since(self, value: Any) -> Any:
        """The rows whose key is greater than `value`, None for all: those that a table that grows has since then.

        `last` of what this gives is the largest key in it, to be passed here the next time; rows that come later are
        not in it, so that none is lost between two times. ValueError without a key.
        """
        if self.key is None:
            raise ValueError(f"{type(self).__name__}.since needs the column by which rows come in order: pass key=")
        reader, last = self._reader.since(self.key, value)
        made = self._changed(_reader=reader)
        made.last = last
        return made

    def through(self, inputs: Several) -> StoredSource:
        """The same rows as a model reads that has a front, or several inputs: columns by the names of its inputs."""
        known = inputs.front, list(inputs.names), list(inputs.shapes)
        state = () if inputs.front is None else inputs.front.state()
        if self._fronted is not None and self._fronted[0] == known:
            _, tables, before = self._fronted
            if len(tables) == len(state) and all(map(operator.is_, tables, state)):
                return before
        take = taken(self.columns, self.targets_named, self._null, inputs, self.sequence is not None)
        if isinstance(self._take, Part):
            take = self._take.around(take)
        made: StoredSource = self._changed(
            _take=take,
            input_shape=(take.width,),
            _dtype=np.dtype(np.float32),
            names=(),  # the model has named them
        )
        self._fronted = known, state, made
        return made

    def numbered(self, names: Sequence[str], number: Any) -> Any:
        """The same with a target more: what number(labels) gives for lists of the values of these columns.

        ValueError for an unknown column.
        """
        check_known("by", names, self._reader.columns)
        take = self._take
        made: Any = Numbered(take.whole if isinstance(take, Part) else take, names, number)
        return self._changed(_take=take.around(made) if isinstance(take, Part) else made, targets=self.targets + 1)

    def typed(
        self, kinds: Mapping[str, str], missing: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Columns by name, each (rows,), some rows at a time: one pass over the query, of which nothing is kept.

        kinds: "string", "int64", "float32" or, as objects, "any" for each column that is read. missing: what stands for
        NULL in a column. ValueError for an unknown one.
        """
        check_known("column", list(kinds), self._reader.columns)
        take: Typed | Part = Typed(kinds, (), self._null, missing)
        if isinstance(self._take, Part):
            take = self._take.around(take)
        together = self._together()
        yield from (arrays_of(self._reader, take) if together is None else together.objects(self._reader, take))

    def blocks(self, kind: str) -> Iterator[NDArray[Any]]:
        """The features as columns of one kind, (rows, features) at a time: what ``adapt`` of a layer reads."""
        for columns in self.typed(dict.fromkeys(self.columns, kind)):
            yield np.stack(list(columns.values()), axis=1)

    def no_rows(self) -> NoRowsError:
        """The error for a query without rows."""
        return NoRowsError(f"the query gives no rows: {self._reader.address[-1]}; {self._reader.empty}")

    def row_names(self, page: Page, rows: Any, before: int) -> Any:
        of_all = page.order is not None and len(page.order) < len(page.x)
        return rows if of_all else super().row_names(page, rows, before)

    def pages(self, batch_size: int, rng: np.random.Generator | None = None, epoch: int = 0) -> Iterator[Page]:
        """Give the rows in windows, or as one page where all are there."""
        return self._pages(check_batch_size(batch_size), rng, epoch)

    def _pages(self, batch_size: int, rng: np.random.Generator | None, epoch: int) -> Iterator[Page]:
        row_bytes = 4 * (self._take.width + self.targets)  # of float32, so that the order hangs on no type
        window = max(1, min(self._memory_limit // _WINDOWS, _WINDOW) // row_bytes // batch_size) * batch_size
        found, together = self._found(), self._together()
        if together is not None and not together.all_know(found is not None):
            found = None
        if found is None:
            yield from self._first_pass(window, rng)
            return
        x, y = found
        self._rows = len(x)
        if rng is None or (epoch > 0 and self._kept is not None):
            yield self._page(x, y, rng)
        elif epoch == 0:
            for start in range(0, len(x), window):
                yield self._page(x[start : start + window], y[start : start + window], rng)
        else:
            assert self._cached is not None
            for runs, order in drawn(len(x), window, max(1, _BLOCK // row_bytes), rng):
                self._cached.fetch(runs)
                yield Page(x, y if self.targets else None, None, order)

    def _page(self, x: Any, y: NDArray[np.float32], rng: np.random.Generator | None) -> Page:
        return Page(x, y if self.targets else None, None, row_order(len(x), rng))

    def _found(self) -> Rows | None:
        """All rows, where they need not be read."""
        if self._kept is None and self._cached is None and self._cache is not False:
            entry, state = self._entry()
            if entry is not None:
                self._cached = open_cached(entry, state, None if isinstance(self._cache, (bool, str)) else self._cache)
        if self._kept is not None:
            return self._kept
        return None if self._cached is None else (self._cached.x, self._cached.y)

    def _entry(self) -> tuple[str | None, Any]:
        """The name of these rows' entry in the cache, for all who read the same, and the state of the database.

        None where another process, or this one later, could not know that they are the same.
        """
        state, what = self._reader.state(), self._take.address()
        if not self._reader.shared or what is None or (state is None and isinstance(self._cache, (bool, str))):
            return None, state
        return key_of(self._reader.address, what, self._dtype.name), state

    def _first_pass(self, window: int, rng: np.random.Generator | None) -> Iterator[Page]:
        """The rows as they are read, which are kept when all have come."""
        entry, state = self._entry() if self._cache is not False else (None, None)
        held: list[Rows] | None = None if self._too_large and self._cache is False else []
        writer: CacheWriter | None = None
        rows = size = 0
        read: Any = self._windows(window)
        if self._reader.threaded and self._together() is None:
            read = Ahead(lambda: self._windows(window), 1, self._reader.interrupt)
        try:
            with closing(read):
                for x, y in read:
                    rows += len(x)
                    size += x.nbytes + y.nbytes
                    self._too_large |= size > self._memory_limit
                    if writer is None and self._cache is not False and (self._too_large or self._cache is True):
                        writer = CacheWriter(entry or key_of(uuid4().hex))
                        for part in held or ():
                            writer.add(np.asarray(part[0]), part[1])
                    if self._too_large:
                        held = None
                    if held is not None:
                        held.append((x, y))
                    if writer is not None:
                        writer.add(np.asarray(x), y)
                    yield self._page(x, y, rng)
                    del x, y
            if rows == 0:
                raise self.no_rows()
            self._rows = rows
            if writer is not None:
                fresh = entry is not None and self._reader.state() == state
                self._cached = writer.finish(state)
                if self._cached is not None and fresh:
                    share(writer.key)
                elif self._cached is not None:  # nobody else may take them for the database's
                    weakref.finalize(self._cached, discard, writer.key)
            if held is not None and self._cached is None:
                self._kept = joined(held)
        finally:
            if writer is not None:
                writer.close()

    def _windows(self, size: int) -> Generator[Rows, None, None]:
        """Run the query; `size` rows at a time, fewer at the end."""
        take, together = self._take.begun(), self._together()
        if together is None:
            arrays = arrays_of(self._reader, take, True)
        else:
            ahead = self._memory_limit // _WINDOWS
            arrays = together.arrays(self._reader, take, self.sequence is None, self.key, ahead)
        return windows(arrays, size, self._take.width, self.targets, self._dtype)

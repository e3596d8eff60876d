"""The rows of a query as a model reads them, with the key of each: for predictions."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.databases.addresses import reader_of
from fastnn.databases.declared import declared, roots
from fastnn.databases.mongo import MongoReader, Place, is_mongo
from fastnn.databases.reader import Text, listed, null_key

from ._front import taken
from .arguments import check_known
from .sequences import Sequenced, checked
from .source import check_names

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from fastnn.databases.params import Params
    from fastnn.databases.reader import Reader

    from .several import Several

_KEYS = {int, float, str, bytes, Text}


class Queried:
    """A query of the features that a model reads, and of a key, where one is named.

    names: what the features must be called, in their order, where that is known. inputs: of a model with a front or of
    several. columns, sequence: what columns hold, and how rows become windows, as in ``SQLDataset``.
    """

    def __init__(
        self,
        sql: Any,
        con: Any,
        params: Params,
        key: str | None,
        null: float | None,
        names: Sequence[str],
        inputs: Several | None,
        columns: Mapping[str, str] | None = None,
        sequence: Any = None,
    ) -> None:
        if inputs is not None and not hasattr(inputs, "shapes"):
            raise TypeError(f"inputs must be those of a model, got {shown(inputs)}")
        windows = checked(sequence)
        order = [] if windows is None else [name for name in windows[:2] if name not in names]
        self.reader: Any
        if is_mongo(con):
            fields = inputs.names if inputs is not None and len(inputs.names) > 1 else names
            fields = [*fields, *order] if fields else ()
            self.reader = _mongo(sql, con, params, key, fields, columns or {})
        else:
            self.reader = reader_of(sql, con, params)
        known = self.reader.columns
        if key is not None and key not in known:
            raise ValueError(f"unknown key {key!r}{_names.hint(key, known)}; the query's columns are {listed(known)}")
        rules = {name: kind for name, kind in (columns or {}).items() if name != key and name in known}
        self._reader: Reader = declared(self.reader, rules or None)
        # Of a document its fields: it has a key too where none is named.
        given = self._reader.within(getattr(self.reader, "fields", known))
        if windows is not None:
            check_known("sequence", list(windows[:2]), known)
        features = tuple(name for name in given if name != key and name not in order)
        if not features:
            raise ValueError(f"the query gives the key {key!r} alone; select the features too")
        check_names(names, features, "the query")
        self._take = taken(features, (), null, inputs, windows is not None)
        if windows is not None:
            self._take = Sequenced(self._take, windows)
        self._key = key
        self.width: int = self._take.width

    def batches(self, size: int) -> Generator[tuple[list[Any], NDArray[np.float32]], None, None]:
        """Run the query: (keys, features), `size` rows at a time and fewer at the end; without a key no keys."""
        take = self._take.begun()
        wanted = take.wanted
        if self._key is not None:
            wanted = wanted._replace(others=[*wanted.others, self._key])
        keys: list[Any] = []
        x, at, done = np.empty((size, self.width), np.float32), 0, 0
        with closing(self._reader.blocks(wanted)) as blocks:
            for block in blocks:
                if self._key is not None:
                    *others, these = block.others
                    keys += self._checked(these.tolist(), done)
                    block = block._replace(others=others)
                rows = take(block, done + 1)
                done += len(rows)
                while len(rows):
                    part, rows = rows[: size - at], rows[size - at :]
                    x[at : at + len(part)] = part
                    at += len(part)
                    if at == size:
                        yield keys[:size], x
                        keys = keys[size:]
                        x, at = np.empty((size, self.width), np.float32), 0
        if at:
            yield keys, x[:at]

    def _checked(self, keys: list[Any], done: int) -> list[Any]:
        if set(map(type, keys)) <= _KEYS:
            return keys
        for row, key in enumerate(keys, done + 1):
            if key is None:
                raise null_key(self._key, row)
            if type(key) not in _KEYS:
                raise ValueError(
                    f"the key {self._key!r} is {shown(key)} in row {row} of the query, a {type(key).__name__}, where a "
                    "whole number, a number, a text or bytes is expected; CAST it to one in the query"
                )
        raise AssertionError("each key is of a type that is known")


def _mongo(
    filter: Any, collection: Any, params: Any, key: str | None, names: Sequence[str], columns: Mapping[str, str]
) -> MongoReader:
    """A reader of MongoDB's documents, of the fields that the model knows, or of all."""
    if params is not None:
        raise TypeError("MongoDB's filter has its values in it; leave params out")
    reader = MongoReader(Place(collection), filter, roots(names, columns) or None, [], key or "_id", None, columns)
    reader.packed = False
    return reader

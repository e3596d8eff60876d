"""Predictions as documents of a MongoDB collection."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .cache import cache_folder
from .layout import are_predictions
from .mongo import Place, imported, said
from .reader import Text, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .layout import Layout
    from .staged import Staged

__all__ = ["MongoTable"]


class MongoTable:
    """The collection `into`: as ``SQLiteTable``. to: its Database, or where the query reads, a Collection or a URL.

    A new collection is filled under another name, which it changes at the end. Of documents that are added each is
    written at once; a run that ends between them is made whole by the next.
    """

    encoding = "UTF-8"  # of what is staged
    packed = False  # whether keys that are bytes are documents of BSON's: see ``MongoReader``

    def __init__(self, to: Any, into: str, mode: str, _sql: Any) -> None:
        self._database = to if isinstance(to, imported().database.Database) else None
        self._place = Place(to) if self._database is None else None
        self._into, self._mode = into, mode

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._explained():
            if self._place is None:
                yield self._database
                return
            with self._place.opened() as collection:
                yield collection.database

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            yield
        except (PyMongoError, BSONError, OverflowError) as error:
            raise ValueError(f"the predictions cannot be written; MongoDB says: {said(error)}") from error

    def look(self, layout: Layout) -> None:
        """See that it can be written, before there is anything to write: ValueError otherwise."""
        with self._opened() as database:
            self._check(database, layout)

    def beside(self) -> str | None:
        """The path of a file for what is staged, in the folder of what is kept; None where there can be none."""
        folder = cache_folder()
        if self._place is None:
            where: Any = sorted(self._database.client.nodes), self._database.name  # type: ignore[union-attr]
        else:
            where = self._place.server, self._place.address[3]
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            return os.fspath(folder / f"predictions-{_digest('mongodb', where, self._into)}")
        return None

    def write(self, staged: Staged) -> None:
        """Write all that is staged."""
        from pymongo import UpdateOne

        with self._opened() as database:
            found = self._check(database, staged.layout)
            adds = found and self._mode == "upsert"
            new = self._into if adds else f"fastnn {_digest(self._into)}"
            if not adds:
                database.drop_collection(new)
                database.create_collection(new)
            for documents in self._documents(staged):
                if adds:
                    changes = [UpdateOne({"_id": each.pop("_id")}, {"$set": each}, upsert=True) for each in documents]
                    database[new].bulk_write(changes, ordered=False)
                else:
                    database[new].insert_many(documents, ordered=False)
            if not adds:
                database[new].rename(self._into, dropTarget=found)

    def _documents(self, staged: Staged) -> Iterator[list[dict[str, Any]]]:
        import bson

        *run, at = staged.run
        written = dict(zip(staged.layout.names[-3:], [*run, datetime.fromisoformat(at)], strict=True))
        names = [name for name, _ in staged.layout.predicted]
        for keys, columns in staged.batches():
            documents = []
            for key, *predicted in zip(keys, *columns, strict=True):
                if type(key) is Text:
                    raise ValueError(f"the key {key!r} is no UTF-8, which MongoDB's texts are; leave the row out")
                of_key = bson.decode(key)[""] if self.packed and isinstance(key, bytes) else key
                documents.append({"_id": of_key, **dict(zip(names, predicted, strict=True)), **written})
            yield documents

    def _check(self, database: Any, layout: Layout) -> bool:
        """Whether there is a collection that is replaced or added to; ValueError where it cannot be written."""
        collection = database[self._into]  # which looks at the name
        if not list(database.list_collections(filter={"name": self._into})):
            return False
        if self._place is not None and self._place.address[4] == self._into:
            raise ValueError(f"the query reads the collection {self._into!r}; write into another one")
        if self._mode == "create":
            raise ValueError(
                f"the database already has {self._into!r}; predictions go into a new collection only: give another "
                'name, or drop that one first, or say mode="replace" or "upsert" where it has earlier predictions'
            )
        names = list(collection.find_one() or ())
        missing = [name for name in layout.names[1:] if name not in names]
        if names and (missing if self._mode == "upsert" else not are_predictions(names)):
            raise ValueError(
                f"the collection {self._into!r} has documents of {listed(names)}, not of these predictions, so it is "
                "not written: give another name, or drop it first"
            )
        return True


def _digest(*parts: Any) -> str:
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()

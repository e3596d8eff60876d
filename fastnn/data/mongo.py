"""Rows straight from MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _names
from fastnn._checks import check_text, shown
from fastnn.databases.declared import declared
from fastnn.databases.mongo import MongoReader, Place
from fastnn.databases.mongo_fields import check_field

from .arguments import names_of
from .stored import StoredSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .stored import Cache, Prepare

__all__ = ["MongoDataset"]


class MongoDataset(StoredSource):
    """Rows of a MongoDB collection, one of each document, as float32.

    collection: pymongo's Collection, which stays open, or a URL,
    mongodb://user:password@host/database.collection, opened for each pass. filter: as `find` takes
    it, by default all documents; or an aggregation pipeline, a list of stages, which may not write.
    fields: the names of the features, dotted within documents ("address.zip") and arrays
    ("scores.0"); a field where the first document has a document, an array or a vector
    (bson.Binary.from_vector of FLOAT32 or INT8) stands for all that is within it, one column each,
    and an array or vector must have that length in every document. By default all fields of the
    first document but _id, `target` and `key`. target: the name of the target, or a sequence of
    names. key: the field that names a row, by which ``split`` splits. sort: as pymongo takes it, a
    name or (name, 1 or -1) pairs; by default by _id, so that each pass gives the same rows in the
    same order, which MongoDB's own order, [("$natural", 1)], does not promise.

    Numbers are double, int32, int64, decimal128 and bool (0 and 1). null and a field that is missing
    are the same: NULL, for which null is the number, by default an error; in a target it always is.
    Dates, texts and all else are refused, but for the columns that a model's own layers read, and for
    those of which `columns` says what they hold, as in SQLDataset: dates, and vectors in binary data.
    memory_limit, prepare, sequence and cache are as in SQLDataset; MongoDB does not say whether documents have
    changed, so what lies on disk is taken again only where cache is a number of seconds, and
    collection a URL without a password.

    Raises ValueError, with MongoDB's own words and the number of documents read, where the query
    fails or the connection is lost; with field, number of the document (from 1), _id and value, for
    what is refused, for numbers beyond float32's range, and for whole numbers in a target that
    float32 would round; and where no document is found. ImportError without pymongo. A dataset of a
    URL without a password may be pickled.
    """

    def __init__(
        self,
        collection: Any,
        filter: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        fields: Sequence[str] | None = None,
        target: str | Sequence[str] | None = None,
        *,
        key: str = "_id",
        sort: Any = None,
        null: float | None = None,
        memory_limit: int = 256 * 2**20,
        columns: Mapping[str, str] | None = None,
        prepare: Prepare = None,
        cache: Cache = "auto",
        sequence: Any = None,
    ) -> None:
        targets = [target] if isinstance(target, str) else [] if target is None else names_of("target", target)
        if isinstance(fields, str):
            raise TypeError(f"fields must be a sequence of names; for one, write [{shown(fields)}]")
        features = None if fields is None else names_of("fields", fields)
        for name in (check_text("key", key), *targets, *(features or ())):
            check_field(name)
        order = sequence[:2] if isinstance(sequence, (tuple, list)) else ()
        if features is not None:
            order = [name for name in order if name not in features]
        read = None if features is None else [*features, *order]
        reader = MongoReader(Place(collection), filter, read, targets, key, sort, columns or ())
        rows = declared(reader, columns, known=True)
        chosen = [name for name in reader.fields if name not in order]
        super().__init__(rows, reader.targets, chosen, key, null, memory_limit, cache, prepare, sequence)


_names.offer(globals())

"""Documents of a MongoDB collection: fields by their dotted names, through the raw batches of pymongo."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown

from .mongo_fields import MISSING, check_field, nodes_of, projected, reason, value_at, vector_length
from .reader import Block, Reader, Text

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Hashable, Iterator, Sequence

    from .reader import Wanted

# Bytes of documents that are fetched at once, and how many documents that is before one has been seen.
_BATCH, _DOCUMENTS = 2**22, 1000
# Options of a URL that tell a secret.
_SECRET = ("tlscertificatekeyfilepassword", "authmechanismproperties")


class Place:
    """A collection: pymongo's own, which stays open, or a URL, mongodb://host/database.collection, opened when used."""

    def __init__(self, collection: Any) -> None:
        pymongo = imported()
        self._collection, self._url = collection, collection
        self.has_password = False
        if isinstance(collection, str):
            self._collection, self._where = None, self._parsed(collection)
        elif isinstance(collection, pymongo.collection.Collection):
            self._url = None
            self._where = ("", "", collection.database.name, collection.name)
        else:
            raise TypeError(
                "collection must be a pymongo Collection or a URL, mongodb://host/database.collection, got "
                f"{type(collection).__name__}"
            )
        self.is_url = self._url is not None
        self.name = ".".join(self._where[2:])

    def _parsed(self, url: str) -> tuple[str, ...]:
        from pymongo.errors import PyMongoError
        from pymongo.uri_parser import parse_uri

        try:
            found = parse_uri(url)
        except (PyMongoError, ValueError) as error:  # whose words hold nothing of the URL
            raise ValueError(
                f"collection is no URL, mongodb://host/database.collection; pymongo says: {error}"
            ) from None
        if not found.get("collection"):
            raise ValueError("collection is a URL without a collection; write mongodb://host/database.collection")
        options = {name.lower() for name in found["options"]}
        self.has_password = found["password"] is not None or not options.isdisjoint(_SECRET)
        nodes = ",".join(host if port is None else f"{host}:{port}" for host, port in found["nodelist"])
        return nodes, found["username"] or "", found["database"], found["collection"]

    @property
    def address(self) -> tuple[Hashable, ...]:
        """Servers, user, database and collection."""
        return ("mongodb", *self._where)

    @property
    def server(self) -> str:
        """Where it is, for a message."""
        if self._collection is None:
            return str(self._where[0])
        return ",".join(f"{host}:{port}" for host, port in sorted(self._collection.database.client.nodes))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The collection, on a client of its own where it is a URL."""
        if self._collection is not None:
            yield self._collection
            return
        with imported().MongoClient(self._url) as client:
            yield client[self._where[2]][self._where[3]]

    def __reduce__(self) -> Any:
        if not self.is_url or self.has_password:
            raise TypeError("an open collection and a URL with a password are not pickled; pass a URL without one")
        return type(self), (self._url,)


class MongoReader(Reader):
    """The documents that a filter, or an aggregation pipeline, gives, in the order of `sort`.

    `names` are the columns that each field of `fields` and of `targets` stands for: itself, or what is in it where the
    first document has an array, a vector or a document there. `packed`: whether a key that SQL has no type for becomes
    bytes, a document of BSON's with the key alone, under the name of no letters, or (False) must be an ObjectId, which
    becomes its text; None leaves keys as they are. whole: fields that stand for nothing else, whatever is in them.
    """

    threaded = True
    packed: bool | None = None
    empty = "check the filter"

    def __init__(
        self,
        place: Place,
        filter: Any,
        fields: Sequence[str] | None,
        targets: Sequence[str],
        key: str,
        sort: Any,
        whole: Collection[str] = (),
    ) -> None:
        self.place, self.shared = place, place.is_url and not place.has_password
        if filter is not None and not isinstance(filter, (Mapping, list, tuple)):
            raise TypeError(f"filter must be a dict, or a list of the stages of a pipeline, got {shown(filter)}")
        self._filter = plain({} if filter is None else filter)
        self._piped, self._key = isinstance(self._filter, list), key
        for stage in self._filter if self._piped else ():
            for written in {"$out", "$merge"}.intersection(stage if isinstance(stage, dict) else ()):
                raise ValueError(f"the pipeline writes with {written!r}; fastnn reads, so leave that stage out")
        self._sort = self._sorted(sort)
        call = "aggregate" if self._piped else "find"
        self._shown = f"{place.name}.{call}({shown(self._filter)})"
        self.address = (*place.address, repr(self._filter), repr(self._sort), self._shown)
        self._vectors: dict[str, int] = {}
        self._whole = frozenset(whole)
        self._first, size = self._first_document([*fields, *targets, key] if fields is not None else [])
        self._size = max(1, _BATCH // size) if size else _DOCUMENTS
        self.fields, self.targets = self._columns(fields, targets, key)
        self.columns = tuple(dict.fromkeys([*self.fields, *self.targets, key]))

    def _sorted(self, sort: Any) -> Any:
        if self._piped:
            if sort is not None:
                raise ValueError("a pipeline sorts by a stage of its own: add {'$sort': ...} to it")
            return None
        if isinstance(sort, str):
            return [(sort, 1)]
        return [("_id", 1)] if sort is None else list(sort.items() if isinstance(sort, Mapping) else sort)

    def _columns(self, fields: Sequence[str] | None, targets: Sequence[str], key: str) -> tuple[list[str], list[str]]:
        expanded = [list(self._within(name, value_at(self._first, name))) for name in targets]
        of_targets = [column for columns in expanded for column in columns]
        if fields is None:
            if not self._first:
                raise ValueError(f"no document is there to take the fields from: {self._shown}; name the fields")
            roots = [name for name in self._first if name not in ("_id", key, *targets)]
            for name in roots:
                check_field(name, "; name the fields that are wanted")
                if "." in name:
                    raise ValueError(f"a field is called {name!r}, with a dot in it; name the fields that are wanted")
        else:
            roots = list(fields)
        found = [column for name in roots for column in self._within(name, value_at(self._first, name))]
        if fields is None:
            found = [column for column in found if column not in of_targets and column != key]
        return found, of_targets

    def _within(self, name: str, value: Any) -> Iterator[str]:
        """The columns that a field of the first document is."""
        if name in self._whole:
            yield name
            return
        length = len(value) if isinstance(value, list) else vector_length(value)
        if length:
            self._vectors[name] = length
        if isinstance(value, dict) and value:
            for inner, each in value.items():
                check_field(inner, f", in {name!r}; name the fields that are wanted")
                yield from self._within(f"{name}.{inner}", each)
        elif length:
            for place in range(length):
                yield from self._within(f"{name}.{place}", value[place] if isinstance(value, list) else 0)
        else:
            yield name

    def _first_document(self, fields: Sequence[str]) -> tuple[dict[str, Any], int]:
        import bson

        with self.place.opened() as collection, self._cursor(collection, fields, 1) as cursor:
            batch = self._fetched(cursor, 0)
        return (bson.decode_all(batch, _options())[0], len(batch)) if batch else ({}, 0)

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        from .native import BSONRows

        names = [*wanted.numbers, *wanted.targets]
        nodes = nodes_of(names, wanted.others, self._vectors)
        rows = BSONRows(nodes, len(names), len(wanted.numbers), len(wanted.others), wanted.null)
        done = 0
        with self.place.opened() as collection, self._cursor(collection, [*names, *wanted.others], 0) as cursor:
            while batch := self._fetched(cursor, done):
                numbers, others = rows.read(batch)
                done += len(numbers)
                if rows.stopped is not None:
                    slot, document = rows.stopped
                    raise self._refused(names[slot], document, done + 1, slot >= len(wanted.numbers))
                for name, column in zip(wanted.others, others, strict=True):
                    values: list[Any] = [None if each is None else _value_of(each) for each in column]
                    if name in self._whole:
                        values = [each if vector_length(each) is None else each.as_vector().data for each in values]
                    column[:] = values if self.packed is None or name != self._key else [*map(self._packed, values)]
                yield Block(numbers, others)

    def since(self, key: str, value: Any) -> tuple[MongoReader, Any]:
        import bson

        above = {} if value is None else {"$gt": plain(value)}
        with self.place.opened() as collection:
            narrowed = self._narrowed({key: above} if above else {}, [(key, -1)])
            with self._cursor(collection, [key], 1, *narrowed) as cursor:
                batch = self._fetched(cursor, 0)
        largest = value_at(bson.decode_all(batch)[0], key) if batch else value
        made = copy(self)
        filter, sort = self._narrowed({key: {**above, "$lte": largest}}, self._sort)
        address = (*self.address[:-3], repr(filter), repr(sort), self._shown)
        vars(made).update(_filter=filter, _sort=sort, address=address)
        return made, largest

    def _narrowed(self, more: dict[str, Any], sort: Any) -> tuple[Any, Any]:
        """Filter and order of those documents among these that a filter lets through."""
        if self._piped:
            return [*self._filter, {"$match": more}, *([{"$sort": dict(sort)}] if sort else [])], None
        return {"$and": [self._filter, more]}, sort

    def _packed(self, key: Any) -> Any:
        import bson

        if key is None or type(key) in (int, float, str, Text) or (not self.packed and type(key) is bytes):
            return key
        if self.packed:
            return bson.encode({"": key})
        if isinstance(key, bson.ObjectId):
            return str(key)
        raise ValueError(
            f"the key {self._key!r} is {shown(key)}; make it a text or a number in a pipeline, with $convert"
        )

    def _cursor(self, collection: Any, fields: Sequence[str], limit: int, filter: Any = None, sort: Any = None) -> Any:
        """The documents in raw batches, with these fields of them alone; all fields where none is named."""
        projection = projected(fields) if fields else None
        size = limit or self._size
        if filter is None:
            filter, sort = self._filter, self._sort
        with self._explained(0, self.place.server):
            if not self._piped:
                return collection.find_raw_batches(
                    filter, projection, sort=sort, limit=limit, batch_size=size, allow_disk_use=True
                )
            stages = [*filter, *([{"$limit": limit}] if limit else [])]
            stages += [{"$project": projection}] if projection else []
            return collection.aggregate_raw_batches(stages, batchSize=size, allowDiskUse=True)

    def _fetched(self, cursor: Any, done: int) -> bytes:
        """The next batch; nothing at the end."""
        with self._explained(done, server_of(cursor) or self.place.server):
            batch: bytes = next(cursor, b"")
        return batch

    @contextmanager
    def _explained(self, done: int, server: str) -> Iterator[None]:
        from pymongo.errors import PyMongoError

        try:
            yield
        except (PyMongoError, TypeError, ValueError, OverflowError) as error:
            failed = f"the query failed after {done} documents" if done else "the query failed"
            raise ValueError(
                f"{failed}; MongoDB at {server} says: {said(error)}; the query is: {self._shown}"
            ) from error

    def _refused(self, name: str, document: bytes, number: int, is_target: bool) -> ValueError:
        """The error for a field that does not become a float32 number."""
        import bson

        found = bson.decode(document, _options())
        where = f"in document {number}"
        if "_id" in found:
            where += f" (_id {shown(found['_id'])})"
        expected = "a number"
        for vector, length in self._vectors.items():
            inside = value_at(found, vector) if name.startswith(f"{vector}.") else None
            came = len(inside) if isinstance(inside, list) else vector_length(inside)
            if came is not None and came != length:
                return ValueError(
                    f"field {vector!r} holds {came} numbers {where}, where the first document has {length}; a vector "
                    "has as many in each"
                )
            if came is None and inside is not None and inside is not MISSING:
                name, expected = vector, f"a vector of {length} numbers"
        if value_at(found, name) is MISSING:  # where the first document has a document, this one may have an array
            parts = name.split(".")
            outer = (".".join(parts[:depth]) for depth in range(1, len(parts)) if not parts[depth].isdecimal())
            name = next((each for each in outer if isinstance(value_at(found, each), list)), name)
        holds, advice = reason(value_at(found, name), name, is_target, expected == "a number")
        return ValueError(f"field {name!r} {holds} {where}, where {expected} is expected; {advice}")


def is_mongo(con: object) -> bool:
    """Whether `con` is of MongoDB: pymongo's, or a URL."""
    if isinstance(con, str):
        return con.startswith(("mongodb://", "mongodb+srv://"))
    return type(con).__module__.partition(".")[0] == "pymongo"


def imported() -> Any:
    """Pymongo; ImportError that says how to get it."""
    try:
        import pymongo.collection
        import pymongo.database
        import pymongo.errors
    except ImportError as error:
        raise ImportError('MongoDB needs pymongo: pip install "fastnn[mongo]"') from error
    return pymongo


def said(error: Exception) -> str:
    """What a driver's error says, without the state of the whole cluster behind it."""
    details = getattr(error, "details", None) or {}
    [details] = (details.get("writeErrors") or [details])[:1]
    text = str(details.get("errmsg") or error)
    return " ".join(text.partition(", Timeout: ")[0].partition(", full error: ")[0].split())


def server_of(cursor: Any) -> str:
    """The server that a cursor is of; nothing before it has answered."""
    return "" if cursor.address is None else f"{cursor.address[0]}:{cursor.address[1]}"


def plain(value: Any) -> Any:
    """A copy in which what is NumPy's is Python's, and a date is one of BSON's: a time, at midnight."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[ms]").item()
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if type(value) is datetime.date:
        return datetime.datetime(value.year, value.month, value.day)
    return value


def _options() -> Any:
    from bson.codec_options import CodecOptions, DatetimeConversion

    # Whatever is in a document, it can be told.
    return CodecOptions(unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def _value_of(element: bytes) -> Any:
    """Python's value of an element of BSON's, given without its name; a text that is no UTF-8 as Text."""
    import bson

    document = (len(element) + 6).to_bytes(4, "little") + element[:1] + b"\0" + element[1:] + b"\0"
    try:
        value = bson.decode(document)[""]
    except bson.errors.InvalidBSON:
        if element[0] != 2:
            raise
        return Text(element[5:-1])
    return int(value) if type(value) is bson.Int64 else value

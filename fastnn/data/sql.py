"""Rows straight from a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _names
from fastnn.databases.addresses import reader_of
from fastnn.databases.declared import declared

from .stored import StoredSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastnn.databases.params import Params

    from .stored import Cache, Prepare

__all__ = ["SQLDataset"]


class SQLDataset(StoredSource):
    """Rows of a query on a database, as float32.

    sql: one SELECT; values are bound to it through `params`, a sequence or a mapping, written as the
    database's driver has them: ? or :name for SQLite, ? or $name for DuckDB, $1 for PostgreSQL by its
    URL, %s or %(name)s for MySQL. con: the path of an SQLite file; a URL, of sqlite:///path,
    duckdb:///path, postgresql://user@host/database, mysql:// and mariadb://, or of what else
    SQLAlchemy knows (opened to read, and closed after each pass); an open connection of any of their
    drivers, an Engine or a Connection of SQLAlchemy's (left as it was); or, with None for sql,
    anything with ``__arrow_c_stream__``, such as a DuckDB relation or a table of polars or pyarrow, or
    a function that makes one for each pass. DuckDB reads Parquet and CSV files. target: the
    name of the target column, or a sequence of names. features: a sequence of names, by default all
    other columns, in the order of the query.
    key: the column that names a row, by which ``split`` splits; it is no feature unless it is named
    there. null: the number that stands for NULL in a feature, by default an error; a target that is
    NULL is always an error. memory_limit: the bytes of rows that may be kept in memory, 0 or more,
    by default 256 MiB; pictures that are all the features are kept as bytes, other numbers as float32.
    columns: a dict of what columns hold that are not a number a row. "float32[128]", or another type
    and count of numbers: a vector, as a blob of the numbers (little-endian), as a list or an array, or
    as text such as "[0.5, 1]"; it is 128 features side by side, called name.0 to name.127, and an input
    of that name and size of a model of several. "datetime": days since 1970 in UTC, with the part of
    the day behind the point, and "date": whole days, of dates, and of text in ISO 8601. ``Image``,
    ``Audio``, ``Text``, ``Json`` and ``Xml`` of fastnn.data: pictures and sounds in BLOBs, the words of
    a text, a value within a document. A dataset of one such column has rows of its shape.

    sequence: (key, time, length), such as ("customer_id", "day", 30): a row becomes a window,
    (length, features), of the last so many rows of its key until itself, its target its own. The query
    must give the rows key by key in the order of time: ORDER BY customer_id, day. Where there are
    fewer, 0 stands in front, or a fourth number, by which Masking leaves those steps out. `split`
    keeps the rows of a key together.

    prepare: "auto", or a dict of rules for some columns: a Sequential that is fitted on the rows begins
    with layers that make numbers of the columns, texts, dates and what is missing included; they are
    chosen by what the columns hold, in a pass before the first epoch, and printed. A rule is a word or
    a dict: {"as": "standard", "min_max", "robust", "log", "none", "one_hot", "embedding", "hashing",
    "date" or "skip"; "missing": what stands for NULL, "mean", "median" or a number, for categories and
    dates True, or "error"; "indicator": whether a number says that it was missing; "unknown": "error" or
    "other", for a category that was not there; "bins", "size": of hashing and of an embedding;
    "components": of a date, see ``DateParts``; "optional": whether a query may lack the column}. What
    was not there is an error unless a rule says otherwise, or rare categories share one number, which
    unknown ones then have too. A target of text is the number of its class, in the order of their
    names, and `predict_sql` writes the names.

    The rows are read once, while the first epoch trains on them, and kept: those that fit
    `memory_limit` in memory, others on disk (``fastnn.data.clear_cache``). So a dataset shows the
    database as it was then; make a new one to see rows that came later. cache: "auto" is that;
    True keeps all on disk; False none, and what does not fit memory_limit is read again in each
    pass. What lies on disk is taken by a new dataset with the same query only where the database has
    not changed since, which of SQLite its file says; elsewhere a number instead says how many
    seconds old it may be.

    In the first epoch of a fit rows are shuffled within windows of memory_limit / 4, at most
    8 MiB, in the order of the query: a table that lies sorted by its target wants another ORDER BY.
    Later they are shuffled over all rows; rows on disk in windows that are made of many places.
    The order is the same for the same seed, epoch and memory_limit, wherever the rows come from.

    Attributes: `columns`, the names of the features; `rows`, None until a pass has been whole. A
    dataset of a file may be pickled and sent to another process, which reads the file there;
    TypeError where `con` is an open connection.

    Raises FileNotFoundError for a missing file (none is ever created), ConnectionError without a
    server, ImportError, which says what to install, without a driver; ValueError, with the database's
    own message, for SQL that fails or is not one SELECT; ValueError for unknown or doubled column
    names, for an empty result, and, with column and row (counted from 1), for NULL, text, blobs,
    numbers beyond float32's range, and whole numbers in a target that float32 would round.
    """

    def __init__(
        self,
        sql: str | None,
        con: Any,
        *,
        target: str | Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        params: Params = None,
        key: str | None = None,
        null: float | None = None,
        memory_limit: int = 256 * 2**20,
        columns: Mapping[str, str] | None = None,
        prepare: Prepare = None,
        cache: Cache = "auto",
        sequence: Any = None,
    ) -> None:
        reader = declared(reader_of(sql, con, params), columns, known=True)
        super().__init__(reader, target, features, key, null, memory_limit, cache, prepare, sequence)


_names.offer(globals())

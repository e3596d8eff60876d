"""Rows of a query on DuckDB, in its own record batches; so of Parquet and CSV files too."""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from .arrow_reader import blocks_of
from .arrow_values import Batches
from .native import StreamError
from .reader import check_names, explained
from .statement import QueryReader, driver_values, no_rows, only_select, quoted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .reader import Block, Wanted


class DuckDBReader(QueryReader):
    """A query on an open connection, used as it is, or on a file, opened read-only for each pass.

    params: a sequence for ? or $1, a mapping for $name. While rows are read, the connection takes no other query.
    """

    def __init__(self, sql: str, con: Any, params: object = None) -> None:
        self.sql, self._params = only_select(sql, "postgresql"), driver_values(params)
        if isinstance(con, str):
            if not os.path.exists(con):
                raise FileNotFoundError(f"there is no database file {os.path.abspath(con)!r}; check the path")
            con = os.path.abspath(con)
        self._con = con
        self.shared = self.threaded = isinstance(con, str)
        self.address = ("duckdb", con if self.shared else "", repr(self._params), self.sql)
        with self._connected("the query cannot be used") as connection:
            self._relation(connection, no_rows(self.sql))  # to compile: only a SELECT does
            self.columns = check_names(self._relation(connection, self.sql).columns)

    @contextmanager
    def _connected(self, failed: str) -> Iterator[Any]:
        try:
            import duckdb
        except ImportError as error:
            raise ImportError('duckdb:// needs DuckDB: pip install "fastnn[duckdb]"') from error
        with explained(failed, "DuckDB", self.sql, (duckdb.Error, StreamError)):
            if not self.shared:
                yield self._con
                return
            with closing(duckdb.connect(self._con, read_only=True)) as connection:
                yield connection

    def _relation(self, connection: Any, sql: str) -> Any:
        return connection.sql(sql, params=self._params or None)

    def asked(self, key: str) -> tuple[Any, ...]:
        numbered = re.search(r"\$\d", self.sql) is not None

        def mark(name: str, place: int) -> str:
            return f"${name}" if isinstance(self._params, dict) else f"${place}" if numbered else "?"

        return (self.sql, quoted(key), self._params, mark, lambda sql, params: DuckDBReader(sql, self._con, params))

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        with self._connected("the query failed") as connection:
            stream = Batches(self._relation(connection, self.sql).__arrow_c_stream__())
            yield from blocks_of([stream], self.columns, wanted, "DuckDB", self.sql)

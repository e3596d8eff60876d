"""Rows of Parquet files."""

from __future__ import annotations

import os
from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fastnn import _names, _remote
from fastnn._checks import check_count, check_path, shown
from fastnn.databases.arrow_reader import blocks_of
from fastnn.databases.arrow_values import Batches
from fastnn.databases.declared import declared
from fastnn.databases.reader import Reader, check_names, explained

from .stored import StoredSource

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Mapping, Sequence

    from fastnn.databases.reader import Block, Wanted

    from .stored import Cache, Prepare

__all__ = ["ParquetDataset"]

_ROWS = 2**16  # of a batch
# By which of them a file system tells one version of a file from another.
_VERSION = ("ETag", "LastModified", "created", "etag", "last_modified", "modificationTime", "mtime", "updated")


class ParquetReader(Reader):
    """The rows of Parquet files, in the order of their names; of `part` (number, parts) every so many row groups."""

    shared = threaded = True
    empty = "they have none, or fewer row groups than there are parts"

    def __init__(self, paths: Any, part: tuple[int, int] | None) -> None:
        several = isinstance(paths, (list, tuple))
        self._paths = [check_path("path", each) for each in (paths if several else [paths])]
        if not self._paths:
            raise ValueError("path must be a file, a folder or a list of files, got an empty list")
        self._several = several
        self._part = self._whole = None
        if part is not None:
            if not isinstance(part, (tuple, list)) or len(part) != 2:
                raise TypeError(f"part must be (number, parts), such as (comm.rank, comm.size), got {shown(part)}")
            parts = check_count("part: parts", part[1])
            self._part = check_count("part: number", part[0], 0, parts - 1), parts
        where = [_remote.plain(each) if _remote.is_url(each) else os.path.abspath(each) for each in self._paths]
        self.address = ("parquet", self._part, ", ".join(where))
        self.columns = check_names(self._dataset().schema.names)

    def _dataset(self) -> Any:
        if self._whole is not None:
            return self._whole
        try:
            import pyarrow
            from pyarrow import dataset
        except ImportError as error:
            raise ImportError('ParquetDataset needs pyarrow: pip install "fastnn[files]"') from error
        paths, fs = self._paths, None
        if _remote.is_url(paths[0]):
            fs = _remote.filesystem(paths[0])[0]
            # Absolute, as pyarrow wants them; a bucket's name is none of a folder.
            paths = [_remote.filesystem(each)[1] for each in paths]
        with explained(f"{self.address[-1]} cannot be read", "pyarrow", "", (pyarrow.ArrowInvalid,)):
            found = dataset.dataset(paths if self._several else paths[0], format="parquet", filesystem=fs)
        if self._part is None:
            return found
        number, parts = self._part
        return _of_groups(found, _groups(found)[number::parts])

    def cuts(self, most: int, key: str | None = None) -> list[tuple[int, int]]:
        count = len(_groups(self._dataset()))
        ends = [number * count // min(most, count) for number in range(min(most, count) + 1)] if count else []
        return list(pairwise(ends))

    def part(self, cut: tuple[int, int]) -> ParquetReader:
        found, made = self._dataset(), copy(self)
        vars(made)["_whole"] = _of_groups(found, _groups(found)[slice(*cut)])
        return made

    def blocks(self, wanted: Wanted) -> Generator[Block, None, None]:
        import pyarrow

        names = tuple(dict.fromkeys([*wanted.numbers, *wanted.targets, *wanted.others]))
        errors = (pyarrow.ArrowException, OSError)
        with explained(f"{self.address[-1]} cannot be read", "pyarrow", "", errors):
            reader = self._dataset().scanner(columns=list(names), batch_size=_ROWS).to_reader()
            stream = Batches(reader.__arrow_c_stream__())
        yield from blocks_of([stream], names, wanted, "pyarrow", errors=errors)

    def state(self) -> Hashable | None:
        told: list[tuple[str, ...]] = []
        for path in sorted(set(self._dataset().files)):
            if _remote.is_url(self._paths[0]):
                info = _remote.filesystem(self._paths[0])[0].info(path)
                versions = tuple(str(info[name]) for name in _VERSION if info.get(name))
                if not versions:
                    return None
                told.append((path, str(info["size"]), *versions))
            else:
                found = os.stat(path)
                told.append((path, str(found.st_size), str(found.st_mtime_ns)))
        return tuple(told)


def _groups(found: Any) -> list[Any]:
    return [group for file in found.get_fragments() for group in file.split_by_row_group()]


def _of_groups(found: Any, groups: list[Any]) -> Any:
    return type(found)(groups, found.schema, found.format, found.filesystem)


class ParquetDataset(StoredSource):
    """Rows of Parquet files, as float32.

    path: a file, a folder of them, or a list of files; or a URL of one (hdfs://, webhdfs://, s3://, memory://, ...),
    which fsspec reads. part: (number, parts), such as (comm.rank, comm.size): that part of the row groups alone, every
    so many. Only the columns that are wanted are read. The others, and what is raised, as in ``SQLDataset``.

    Raises FileNotFoundError where there is no such file, ValueError, in pyarrow's words, for what is no Parquet, and
    ImportError, which says what to install.
    """

    def __init__(
        self,
        path: Any,
        *,
        target: str | Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        part: tuple[int, int] | None = None,
        key: str | None = None,
        null: float | None = None,
        memory_limit: int = 256 * 2**20,
        columns: Mapping[str, str] | None = None,
        prepare: Prepare = None,
        cache: Cache = "auto",
        sequence: Any = None,
    ) -> None:
        reader = declared(ParquetReader(path, part), columns, known=True)
        super().__init__(reader, target, features, key, null, memory_limit, cache, prepare, sequence)


_names.offer(globals())

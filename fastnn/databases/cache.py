"""Rows that were read once, kept on disk: whole or not at all, and never older than the database.

An entry is a folder: `x` and `y`, rows of float32 or bytes side by side, and `about.json`, which says what they are,
the state that the database was in, and a checksum of each file. It is made under another name and renamed when it is
whole, so that a process that ends before leaves nothing that could be taken for one; two processes that make the same
one do so side by side, and the second finds the first's.

Where FASTNN_CACHE is a URL, entries lie there for all machines, and those that are used on this one, as maps of files
need; an entry there is whole once it has about.json.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Hashable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fastnn import _names, _remote
from fastnn._checks import as_number
from fastnn._output import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CacheWriter", "Cached", "cache_folder", "clear_cache", "discard", "key_of", "open_cached", "share"]

_FORMAT = 2
_CHUNK = 2**23
# Bytes of all entries; beyond, those go that were used least recently. FASTNN_CACHE_LIMIT says another number.
_LIMIT = 20 * 2**30
_FILES = ("x", "y")


def cache_folder() -> Path:
    """Where entries are: FASTNN_CACHE, else fastnn in XDG_CACHE_HOME, else in ~/.cache. It need not exist. Where
    FASTNN_CACHE is a URL, entries are there too (hdfs://, s3://, ...), for all machines."""
    given = os.environ.get("FASTNN_CACHE")
    if given and not _remote.is_url(given):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fastnn", "rows")


def key_of(*parts: Any) -> str:
    """The name of the entry of what these say, of which nothing can be read back."""
    return sha256(repr((_FORMAT, *parts)).encode("utf-8", "surrogatepass")).hexdigest()


class Cached:
    """An entry: `x` (rows, width) and `y` (rows, targets), read-only, as they lie in the files, of these types.

    They stay readable where the entry is replaced or cleared meanwhile.
    """

    def __init__(self, folder: Path, rows: int, widths: Sequence[int], types: Sequence[str]) -> None:
        self.rows = rows
        self._maps: list[mmap.mmap | None] = []
        arrays = []
        for name, width, dtype in zip(_FILES, widths, map(np.dtype, types), strict=True):
            if rows * width:
                with open(folder / name, "rb") as file:
                    mapped = mmap.mmap(file.fileno(), dtype.itemsize * rows * width, access=mmap.ACCESS_READ)
                arrays.append(np.frombuffer(mapped, dtype).reshape(rows, width))
                self._maps.append(mapped)
            else:
                arrays.append(np.empty((rows, width), dtype))
        self.x, self.y = arrays

    def fetch(self, runs: Sequence[tuple[int, int]]) -> None:
        """Have the system read some runs of rows, which will be asked for."""
        for mapped, array in zip(self._maps, (self.x, self.y), strict=False):
            if mapped is None or not hasattr(mapped, "madvise"):
                continue
            for start, stop in runs:
                first = start * array.strides[0] // mmap.PAGESIZE * mmap.PAGESIZE
                mapped.madvise(mmap.MADV_WILLNEED, first, stop * array.strides[0] - first)


def open_cached(key: str, state: Hashable, seconds: float | None = None) -> Cached | None:
    """The entry of this name, where it is whole and of this state of the database; None otherwise.

    state: None where it cannot be known; then the entry may be at most so many seconds old. What is damaged is said in
    a warning, and removed.
    """
    return _opened(key, state, seconds) or (_opened(key, state, seconds) if _fetched(key) else None)


def _shared(key: str) -> str | None:
    """Where an entry lies for all machines; None where there is no such place."""
    given = os.environ.get("FASTNN_CACHE")
    return f"{given.rstrip('/')}/{key}" if given and _remote.is_url(given) else None


def _fetched(key: str) -> bool:
    """Whether an entry that another machine may have made has come, in place of one of this machine's."""
    url, folder = _shared(key), cache_folder() / key
    if url is None:
        return False
    part = cache_folder() / f"{key}.{os.getpid()}.{time.time_ns():x}.part"
    try:
        if not _remote.exists(f"{url}/about.json"):
            return False
        part.mkdir(parents=True)
        for name in ("about.json", *_FILES):
            _remote.fetch(f"{url}/{name}", str(part / name))
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(part, folder)
    except OSError as error:
        warn(f"rows that are kept for all machines cannot be fetched: {error}")
        shutil.rmtree(part, ignore_errors=True)
        return False
    return True


def share(key: str) -> None:
    """Have an entry lie where all machines find it, if there is such a place."""
    url = _shared(key)
    if url is not None:
        try:
            _remote.make_folder(url)
            _remote.remove(f"{url}/about.json")
            for name in (*_FILES, "about.json"):
                _remote.send(str(cache_folder() / key / name), f"{url}/{name}")
        except OSError as error:
            warn(f"the rows cannot be kept for all machines, and are on this one: {error}")


def _opened(key: str, state: Hashable, seconds: float | None) -> Cached | None:
    folder = cache_folder() / key
    try:
        about = json.loads((folder / "about.json").read_bytes())
        if about["state"] != _plain(state) or (state is None and not _is_fresh(about["made"], seconds)):
            return None
        for name, (size, checksum) in about["files"].items():
            if (folder / name).stat().st_size != size or _checksum(folder / name) != checksum:
                raise ValueError(f"{name} is not as it was written")
        os.utime(folder)
        return Cached(folder, about["rows"], about["widths"], about["types"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"rows that were kept in {folder} are damaged ({error}): they are read from the database again")
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _is_fresh(made: float, seconds: float | None) -> bool:
    return seconds is not None and 0 <= time.time() - made <= seconds


def _plain(state: Hashable) -> Any:
    return json.loads(json.dumps(state))


def _checksum(path: Path) -> int:
    found = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found


class CacheWriter:
    """Makes an entry of rows that come block by block. Where the disk does not take them, this is said once, in a
    warning, and no entry is made.
    """

    def __init__(self, key: str) -> None:
        self._folder = cache_folder() / f"{key}.{os.getpid()}.{time.time_ns():x}.part"
        self.key, self._rows, self._widths, self._types = key, 0, [0, 0], ["float32", "float32"]
        self._files: list[BinaryIO] = []
        self._sums = [0, 0]
        self._failed = False
        try:
            self._folder.mkdir(parents=True)
            _remove_parts()
            self._files = [open(self._folder / name, "wb") for name in _FILES]  # noqa: SIM115 - until `close`
        except OSError as error:
            self._fail(error)

    def add(self, x: NDArray[Any], y: NDArray[np.float32]) -> None:
        """Add rows."""
        if self._failed:
            return
        self._rows += len(x)
        self._widths, self._types = [x.shape[1], y.shape[1]], [x.dtype.name, y.dtype.name]
        try:
            for i, array in enumerate((x, y)):
                content = np.ascontiguousarray(array).data.cast("B") if array.size else b""
                self._sums[i] = zlib.crc32(content, self._sums[i])
                self._files[i].write(content)
        except OSError as error:
            self._fail(error)

    def finish(self, state: Hashable) -> Cached | None:
        """Close the entry; None where there is none."""
        if self._failed:
            return None
        final = self._folder.with_name(self.key)
        try:
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
                file.close()
            about = {
                "rows": self._rows,
                "widths": self._widths,
                "types": self._types,
                "state": state,
                "made": time.time(),
                "files": {name: [(self._folder / name).stat().st_size, self._sums[i]] for i, name in enumerate(_FILES)},
            }
            (self._folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
            entry = Cached(self._folder, self._rows, self._widths, self._types)
            with suppress(OSError):
                os.replace(final, self._folder.with_suffix(".old"))  # of another state
                shutil.rmtree(self._folder.with_suffix(".old"), ignore_errors=True)
            with suppress(OSError):  # another process was first, or the system does not rename what is open
                os.rename(self._folder, final)
        except OSError as error:
            self._fail(error)
            return None
        shutil.rmtree(self._folder, ignore_errors=True)
        _keep_within(_limit(), final)
        return entry

    def close(self) -> None:
        """Give up an entry that is not finished."""
        self._failed = True
        for file in self._files:
            with suppress(OSError):
                file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fail(self, error: OSError) -> None:
        self.close()
        warn(
            f"the rows cannot be kept on disk, so each epoch reads the database again: {error.strerror or error} "
            f"({self._folder.parent}); make room there, or set FASTNN_CACHE to another folder"
        )


def _limit() -> float:
    text = os.environ.get("FASTNN_CACHE_LIMIT")
    try:
        return _LIMIT if text is None else float(text)
    except ValueError:
        raise ValueError(f"FASTNN_CACHE_LIMIT must be a number of bytes, got {text!r}") from None


def _entries() -> list[tuple[float, int, Path]]:
    """Time of the last use, bytes and folder of each."""
    found = []
    with suppress(OSError):
        for folder in cache_folder().iterdir():
            with suppress(OSError):  # it goes while one looks
                size = sum(file.stat().st_size for file in folder.iterdir())
                found.append((folder.stat().st_mtime, size, folder))
    return sorted(found)


def _keep_within(limit: float, newest: Path) -> None:
    entries = _entries()
    total = sum(size for _, size, _ in entries)
    for _, size, folder in entries:
        if total <= limit:
            break
        if folder != newest and folder.suffix == "":
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _remove_parts() -> None:
    """Remove what processes have left that ended before their entry was whole."""
    for _, _, folder in _entries():
        pid = folder.name.split(".")[1:2]
        if pid and pid[0].isdecimal() and int(pid[0]) != os.getpid() and not _runs(int(pid[0])):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    if os.name == "nt":  # where signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def discard(key: str) -> None:
    """Remove an entry."""
    shutil.rmtree(cache_folder() / key, ignore_errors=True)


def clear_cache(older_than: float | None = None) -> int:
    """Remove rows that datasets have kept on disk, and give the bytes that this frees.

    older_than: seconds; what was used since is kept. By default all goes. A dataset that reads them goes on.
    """
    since = time.time() if older_than is None else time.time() - as_number("older_than", older_than)
    freed = 0
    _remove_parts()
    for used, size, folder in _entries():
        if folder.suffix != ".part" and (older_than is None or used < since):
            shutil.rmtree(folder, ignore_errors=True)
            freed += size
    return freed


_names.offer(globals())

"""Files at a URL, such as hdfs://, webhdfs:// and s3://, through fsspec; what is no URL is a file of this machine."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, BinaryIO
from urllib.parse import urlsplit

# File systems in which a file is there once all of it is; elsewhere it would be seen while it grows.
_WHOLE = {"abfs", "abfss", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"}


def is_url(path: Any) -> bool:
    """Whether a path is one of another machine. A letter before the colon is a drive."""
    return isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def plain(url: str) -> str:
    """A URL without a password."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", url)


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path there. ImportError, which says what to install; ValueError for a
    scheme that fsspec does not know."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ImportError(f'{plain(url)} is read and written by fsspec: pip install "fastnn[files]"') from error
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        raise ImportError(f"{plain(url)} needs another package: {error}") from error
    return fs, path


@contextlib.contextmanager
def _at(url: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path there; what it refuses as an OSError that names the URL."""
    try:
        yield filesystem(url)
    except (ImportError, MemoryError, ValueError):
        raise
    except Exception as error:  # each file system has errors of its own
        known = isinstance(error, (FileNotFoundError, PermissionError))
        told = f"{plain(url)}: {error if known else f'{type(error).__name__}: {error}'}"
        secret = urlsplit(url).password
        made = (type(error) if known else OSError)(told.replace(secret, "***") if secret else told)
        raise made from (None if secret else error)


def exists(path: str) -> bool:
    """Whether there is a file or folder. OSError where the other machine does not say."""
    if not is_url(path):
        return os.path.exists(path)
    with _at(path) as (fs, place):
        try:
            fs.info(place)  # fs.exists takes a machine that does not answer for a file that is not there
        except FileNotFoundError:
            return False
        return True


def make_folder(path: str) -> None:
    """Make a folder, and those that it is in, where they are not there; of "" nothing."""
    if is_url(path):
        with _at(path) as (fs, place):
            fs.makedirs(place, exist_ok=True)
    elif path:
        os.makedirs(path, exist_ok=True)


def move(old: str, new: str) -> None:
    """Give a file the name of another, which it replaces, in the same place."""
    if not is_url(old):
        os.replace(old, new)
        return
    with _at(old) as (fs, place):
        _replace(fs, place, filesystem(new)[1])


def remove(path: str, folder: bool = False) -> None:
    """Remove a file, or an empty folder, where it is there. OSError for a folder with files in it."""
    with contextlib.suppress(FileNotFoundError):
        if not is_url(path):
            (os.rmdir if folder else os.unlink)(path)
            return
        with _at(path) as (fs, place):
            if not folder:
                fs.rm_file(place)
            elif not fs.ls(place, detail=False):
                fs.rm(place, recursive=True)  # which some need for a folder


def read(url: str) -> BytesIO:
    """All of a file. FileNotFoundError, PermissionError, OSError."""
    with _at(url) as (fs, place):
        return BytesIO(fs.cat_file(place))


def opened(path: str) -> BinaryIO:
    """A file, open to be read; of a URL all of it, in memory."""
    return read(path) if is_url(path) else open(path, "rb")


def fetch(url: str, path: str) -> None:
    """Copy a file to this machine. OSError."""
    with _at(url) as (fs, place):
        fs.get_file(place, path)


def send(path: str, url: str) -> None:
    """Copy a file of this machine to a URL, whole or not at all. OSError."""
    with _at(url) as (fs, place):
        _placed(fs, place, lambda there: fs.put_file(path, there))


@contextlib.contextmanager
def writing(url: str) -> Iterator[BinaryIO]:
    """A file in memory that is written to a URL when the block ends, whole; or not at all, where that fails."""
    file = BytesIO()
    yield file
    with _at(url) as (fs, place):
        _placed(fs, place, lambda there: fs.pipe_file(there, file.getvalue()))


def _placed(fs: Any, place: str, write: Callable[[str], object]) -> None:
    """Write a file under a name of its own and rename it, unless the file system shows none that is not whole."""
    if not _WHOLE.isdisjoint([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
        write(place)
        return
    temporary = _beside(place)
    try:
        write(temporary)
        _replace(fs, temporary, place)
    except BaseException:
        with contextlib.suppress(Exception):
            fs.rm_file(temporary)
        raise


def _beside(place: str) -> str:
    folder, _, _ = place.rpartition("/")
    return f"{folder}/.fastnn-{os.urandom(8).hex()}.tmp"


def _replace(fs: Any, old: str, new: str) -> None:
    """Rename a file. HDFS renames over no other: that is set aside, and comes back where the new one does not come."""
    aside = None
    if fs.exists(new):
        aside = _beside(new)
        fs.mv(new, aside)
    fs.invalidate_cache()
    try:
        fs.mv(old, new)
        fs.invalidate_cache()
        fs.info(new)  # HDFS says false where it has not renamed, which its clients do not look at
    except BaseException:
        if aside is not None:
            fs.mv(aside, new)
        raise
    if aside is not None:
        fs.rm_file(aside)

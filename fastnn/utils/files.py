"""A file by its address, kept in a folder of the user's, checked by its hash and unpacked with care."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn._progbar import Progbar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["get_file"]

CHUNK = 2**16
SCHEMES = ("http", "https", "file")


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | os.PathLike[str] | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | list[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file, which is fetched from `origin` where it is not in the cache yet; or of what it unpacks to.

    origin: an http, https or file address, or a path. fname: the name in the cache, by default the last part of
    `origin`. The file is cache_dir/cache_subdir/fname; cache_dir: by default the environment's FASTNN_HOME, else
    ~/.fastnn. file_hash: what sha256 (64 digits) or md5 (32) gives for the file; one in the cache that has another is
    fetched again. hash_algorithm: "auto", "sha256" or "md5". extract, untar: unpack a tar or zip file; the path is that
    of the folder then. archive_format: "auto", "tar" or "zip". A file comes into its place whole or not at all.

    ValueError where the hash is another one, for an address of another kind, for an archive with a member outside of
    its folder, and for a file that is none; OSError where it cannot be fetched.
    """
    if origin is None:
        raise ValueError('Please specify the "origin" argument: the address or the path of the file')
    address = os.fspath(origin)
    name = os.path.basename(_split(address)[1]) if fname is None else os.fspath(fname)
    if not name or name in (".", "..") or os.path.basename(name) != name:
        raise ValueError(f"fname must be the name of a file, without a folder, got {name!r}; folders go in cache_dir")
    folder = Path(cache_dir or os.environ.get("FASTNN_HOME") or Path.home() / ".fastnn").expanduser() / cache_subdir
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = None
    if extract or untar:
        stem, dot, _ = name.partition(".")
        unpacked = folder / (f"{stem}_extracted" if fname and dot else name)
        name = name if fname and dot else f"{name}_archive"
    target = folder / name
    if file_hash is None and md5_hash is not None:
        file_hash, hash_algorithm = md5_hash, "md5"
    known = not force_download and target.exists()
    if known and file_hash is not None and not has_hash(target, file_hash, hash_algorithm):
        print(f"{target} has another hash than {file_hash}: it is fetched again")
        known = False
    if not known:
        fetch(address, target, file_hash, hash_algorithm)
    if unpacked is None:
        return str(target)
    if not known or not unpacked.exists():
        unpack(target, unpacked, "tar" if untar else archive_format)
    return str(unpacked)


def fetch(address: str, target: Path, file_hash: str | None = None, algorithm: str = "auto") -> None:
    """Write what is at an address to a file; whole, and with that hash, or not at all."""
    scheme, path = _split(address)
    with _replacing(target) as temporary:
        if scheme == "file":
            shutil.copyfile(path, temporary)
        else:
            _download(address, target, temporary)
        if file_hash is not None and not has_hash(temporary, file_hash, algorithm):
            raise ValueError(
                f"Incomplete or corrupted file at {address}: its hash is not {file_hash}; nothing was kept of it"
            )


def _split(address: str) -> tuple[str, str]:
    """("http", ...), or ("file", its path) for a path too. ValueError for an address of another kind."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    scheme, mark, _ = address.partition("://")
    if not mark:
        return "file", address
    if scheme.lower() not in SCHEMES:
        raise ValueError(f"origin must be an address of http, https or file, or a path, got {address!r:.200}")
    path = urlsplit(address).path
    return scheme.lower(), url2pathname(path) if scheme.lower() == "file" else path


def _download(address: str, target: Path, temporary: Path) -> None:
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import urlopen

    print(f"Downloading data from {address}")
    try:
        with urlopen(address, timeout=60) as answer, temporary.open("wb") as file:
            length = answer.headers.get("Content-Length")
            bar = Progbar(int(length) if length else None, unit_name="byte")
            done = 0
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                bar.update(done)
            if length and done != int(length):  # the connection was lost
                raise HTTPException(f"{done} of {length} bytes came")
    except (URLError, HTTPException, TimeoutError) as error:
        raise OSError(f"{address} cannot be fetched ({error}); get it another way and put it at {target}") from error


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A path beside `target`, whose file or folder takes its place where nothing is raised, and is removed else."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:40]}.") as folder:
        temporary = Path(folder, "whole")
        yield temporary
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(temporary, target)


def has_hash(path: str | os.PathLike[str], file_hash: str, algorithm: str = "auto") -> bool:
    """Whether sha256, or md5 where that is asked for or `file_hash` has 32 digits, gives that for a file."""
    import hashlib

    if algorithm not in ("auto", "sha256", "md5"):
        raise ValueError(f"hash_algorithm must be 'auto', 'sha256' or 'md5', got {algorithm!r}")
    name = ("md5" if len(file_hash) == 32 else "sha256") if algorithm == "auto" else algorithm
    with open(path, "rb") as file:
        return hashlib.file_digest(file, name).hexdigest() == file_hash.lower()


def unpack(path: str | os.PathLike[str], folder: Path, archive_format: str | list[str] | None = "auto") -> None:
    """Unpack the files and folders of a tar or zip file into a new folder; all, or none.

    ValueError for a file that is neither, and for a member that would come to lie outside of the folder. Links and
    devices are left out, with a warning.
    """
    import tarfile
    import zipfile

    wanted = ["tar", "zip"] if archive_format == "auto" else [archive_format]
    formats = archive_format if isinstance(archive_format, list) else wanted
    for each in formats:
        if each not in ("tar", "zip"):
            raise ValueError(f"archive_format must be 'auto', 'tar' or 'zip', got {each!r}")
    if "tar" in formats and tarfile.is_tarfile(path):
        with tarfile.open(path) as tar, _replacing(folder) as temporary:
            _write(tar, [(member, member.name, member.isdir(), member.isreg()) for member in tar], temporary)
    elif "zip" in formats and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, _replacing(folder) as temporary:
            members = [(member, member.filename, member.is_dir(), True) for member in archive.infolist()]
            _write(archive, members, temporary)
    else:
        raise ValueError(f"{os.fspath(path)} is no archive of the kind {' or '.join(map(str, formats))}")


def _write(archive: Any, members: list[tuple[Any, str, bool, bool]], folder: Path) -> None:
    root = folder.resolve()
    root.mkdir()
    for member, name, is_folder, is_file in members:
        place = (root / name).resolve()
        if not place.is_relative_to(root) or "\0" in name:
            raise ValueError(f"the archive has a member outside of its folder, {name!r:.200}; nothing was unpacked")
        if is_folder:
            place.mkdir(parents=True, exist_ok=True)
        elif is_file:
            place.parent.mkdir(parents=True, exist_ok=True)
            source = archive.extractfile(member) if hasattr(archive, "extractfile") else archive.open(member)
            with source, place.open("wb") as file:
                shutil.copyfileobj(source, file)
        else:
            import warnings

            warnings.warn(f"the archive has a link or a device, {name!r:.200}, which is left out", stacklevel=4)

"""A file that takes the place of another in one step, or not at all."""

import contextlib
import os
import re
import shutil
import stat
import time
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastnn import _remote
from fastnn._checks import check_path

# The writer's process, the machine (and container) whose process that is, and a number of the file's own. A length
# that is fixed: a name made of the target's could pass the file system's limit.
_NAME = re.compile(r"\.fastnn-(?:([1-9]\d{0,8})-([0-9a-f]{8})-)?[0-9a-f]{16}\.tmp")
_OLD = 24 * 3600.0  # seconds after which nobody writes to a temporary file any more
_writing: set[str] = set()  # names that this process has in use


@contextlib.contextmanager
def replacing(path: Any, lasting: bool = True) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path`, or of what a URL names, when the block ends, or vanishes if it fails.

    lasting: the new file is there after a loss of power too; else it or the old one is, whole, at half the cost.
    OSError, with the name `path`, where it cannot be written; ValueError where `path` is no regular file.
    """
    given = check_path("filepath", path)
    if _remote.is_url(given):
        with _remote.writing(given) as file:
            yield file
        return
    target = os.path.realpath(given)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot write {given!r}: create the folder {folder!r} first")
    try:
        mode = _mode(given, target)
        _sweep(folder)
        yield from _replaced(target, folder, mode)
        if lasting:
            _sync_folder(folder)
    except OSError as error:
        # A full disk names no file, and all else the temporary one.
        if error.errno is None or error.filename == given:
            raise
        raise OSError(error.errno, error.strerror, given) from error


def _replaced(target: str, folder: str, mode: int | None) -> Iterator[BinaryIO]:
    name = f".fastnn-{os.getpid()}-{_space()}-{os.urandom(8).hex()}.tmp"
    temporary = os.path.join(folder, name)
    _writing.add(name)
    try:
        with _unnamed(folder, mode) or _named(temporary, mode) as file:
            yield file
            _finish(file, mode)
            if not isinstance(file.name, str):  # it has none yet
                _give_name(file, temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        _writing.discard(name)


def _unnamed(folder: str, mode: int | None) -> BinaryIO | None:
    """A file that vanishes with this process until it is given a name; None where there is no such thing."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666 if mode is None else mode)
    except OSError:
        return None  # not on this file system; what else is wrong, the file with a name meets too
    return open(descriptor, "w+b")


def _named(temporary: str, mode: int | None) -> BinaryIO:
    def opener(name: str, flags: int) -> int:
        # From its first moment no more readable than the old file.
        return os.open(name, flags, 0o666 if mode is None else mode)

    return open(temporary, "xb", opener=opener)


def _give_name(file: BinaryIO, temporary: str, mode: int | None) -> None:
    try:
        # With the descriptor of a folder, os.link is linkat, which follows the link in /proc.
        here = os.open(os.path.dirname(temporary), os.O_RDONLY)
        try:
            os.link(f"/proc/self/fd/{file.fileno()}", temporary, src_dir_fd=here, follow_symlinks=True)
        finally:
            os.close(here)
    except OSError:  # some systems make unnamed files and never name them; some folders may not be read
        file.seek(0)
        with _named(temporary, mode) as copy:
            shutil.copyfileobj(file, copy, 2**20)
            _finish(copy, mode)


def _finish(file: BinaryIO, mode: int | None) -> None:
    """All of the file, and the permissions that the umask took away, on the disk."""
    if mode is not None and os.name == "posix":
        os.fchmod(file.fileno(), mode)
    file.flush()
    os.fsync(file.fileno())


def _mode(given: str, target: str) -> int | None:
    """The permissions of the file that `target` names, None when there is none yet."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        # os.replace would put a file in the place of a device such as /dev/null.
        raise ValueError(f"cannot write {given!r}: it is a folder, pipe or device, not a file")
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Make the new name durable; the file is whole and in place whatever happens here."""
    if os.name != "posix":
        return
    # Some network file systems, and folders without read permission, refuse this.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# What a killed writer left


def _sweep(folder: str) -> None:
    """Remove the temporary files of writers that are no more."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name) if entry.name.startswith(".fastnn-") else None
            if found is not None:
                with contextlib.suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and _is_left(entry, found):
                        os.unlink(entry.path)


def _is_left(entry: "os.DirEntry[str]", found: "re.Match[str]") -> bool:
    if entry.name in _writing:
        return False
    if found[2] == _space() and os.name == "posix":  # elsewhere os.kill would end the process
        return not _is_alive(int(found[1]))
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD


def _is_alive(process: int) -> bool:
    if process == os.getpid():  # which had the number of a dead one; what is its own is in `_writing`
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _space() -> str:
    """The machine, and the container, in which a number stands for one process."""
    host = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    container = ""
    with contextlib.suppress(OSError):
        container = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(f'{host} {container}'.encode(errors='replace')):08x}"

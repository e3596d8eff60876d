"""Named arrays in one data-only file, in the safetensors layout.

    8 bytes   little-endian length of the header
    header    JSON: {"__metadata__": {str: str}, name: {"dtype", "shape", "data_offsets"}, ...}
    data      the arrays, little-endian and C-ordered, without a gap, offsets counted from here

Reading executes nothing and trusts nothing: the whole header is checked against the size of the
file before any array is allocated, and each byte of the file belongs to exactly one thing.

Source: https://github.com/huggingface/safetensors, section "Format".
"""

import contextlib
import json
import math
import os
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastnn.store import foreign

DTYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
}
NAMES = {code: name for name, code in DTYPES.items()}
METADATA = "__metadata__"
# The format allows 100 MB. Parsed JSON can take thirty times its text, so the cap is what bounds
# the memory that a hostile header costs.
MAX_HEADER = 16 * 2**20
MAX_DIMENSIONS = 64  # NumPy's own limit

Path = str | os.PathLike[str]


class DamagedFileError(ValueError):
    """The file is not what `write` produces: cut off, altered, or not a safetensors file."""


class Entry(NamedTuple):
    """One array as the header declares it; `begin` and `end` are bytes from the data's start."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def write(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write `tensors` and `metadata` to `path`, all or nothing.

    The new content becomes visible in one step, when it is on the disk; until then, and after any
    failure, `path` holds what it held before. A symbolic link is followed. A new file gets the
    permissions of any new file, an old one keeps its own.

    Arrays may have any shape, memory order and byte order. ValueError: a dtype that the table
    `DTYPES` lacks, a reserved or unencodable name, a header above 16 MiB, a `path` that is not a
    regular file. TypeError: names or metadata that are not str. FileNotFoundError: no such folder.
    """
    header = _header(tensors, metadata)
    with _replacing(path) as file:
        file.write(struct.pack("<Q", len(header)))
        file.write(header)
        for _, array in _in_file_order(tensors):
            file.write(_little_endian(array).data)


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of `path`, in the order of its header.

    Arrays are fresh, writable, aligned and in native byte order. DamagedFileError (a ValueError):
    anything in the file that the format does not allow, or a `path` that is not a regular file.
    OSError: it cannot be opened.
    """
    # Before open(), which waits for ever at a pipe that nobody writes to.
    if not stat.S_ISREG(os.stat(path).st_mode):
        _damaged(path, "expected a regular file, got a folder, pipe or device")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if kind := foreign.kind_of(file.peek(512)):
            _damaged(path, f"it is {kind}")
        header, data_size = _read_header(path, file, size)
        metadata = _metadata(path, header.pop(METADATA, {}))
        entries = [_entry(path, name, fields) for name, fields in header.items()]
        in_file_order = sorted(entries, key=lambda entry: (entry.begin, entry.end))
        _check_cover(path, in_file_order, data_size)
        arrays = {entry.name: _read_array(path, file, entry) for entry in in_file_order}
    return {entry.name: arrays[entry.name] for entry in entries}, metadata


# Writing


def _header(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata must map str to str, got {key!r:.80}: {value!r:.80}")
    for name, array in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"the name of a tensor must be a str, got {name!r:.80}")
        if not isinstance(array, np.ndarray):
            raise TypeError(f"tensor {name!r:.80} must be a NumPy array, got {type(array)}")
        if name == METADATA:
            raise ValueError(f"{METADATA!r} is reserved by the format; rename the tensor")
        if array.dtype.str[1:] not in NAMES:
            known = ", ".join(sorted(NAMES.values()))
            raise ValueError(f"tensor {name!r:.80} has dtype {array.dtype}; known are {known}")
    offsets = {}
    end = 0
    for name, array in _in_file_order(tensors):
        offsets[name] = [end, end + array.nbytes]
        end += array.nbytes
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, array in tensors.items():
        header[name] = {
            "dtype": NAMES[array.dtype.str[1:]],
            "shape": array.shape,
            "data_offsets": offsets[name],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data, and a memory map of it, is aligned
    if len(text) > MAX_HEADER:
        raise ValueError(f"names, shapes and metadata take {len(text):,} bytes; the limit is {MAX_HEADER:,}")
    return text


def _in_file_order(tensors: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[Any]]]:
    """Widest items first: every array is then aligned for those who map the file."""
    return sorted(tensors.items(), key=lambda item: -item[1].itemsize)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, or vanishes if it fails."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot write {target!r}: create the folder {folder!r} first")
    mode = _mode(target)
    # A name of fixed length: one built on the target's could pass the file system's limit.
    temporary = os.path.join(folder, f".fastnn-{os.urandom(8).hex()}.tmp")

    def opener(name: str, flags: int) -> int:
        # From its first moment no more readable than the old file.
        return os.open(name, flags, 0o666 if mode is None else mode)

    try:
        with open(temporary, "xb", opener=opener) as file:
            if mode is not None:
                os.chmod(temporary, mode)  # what the umask took away
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _mode(target: str) -> int | None:
    """The permissions of the file that `target` names, None when there is none yet."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        # os.replace would put a file in the place of a device such as /dev/null.
        raise ValueError(f"cannot write {target!r}: it is a folder, pipe or device, not a file")
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


# Reading


def _damaged(path: Path, problem: str) -> NoReturn:
    raise DamagedFileError(f"cannot read {os.fspath(path)!r}: {problem}")


def _read_header(path: Path, file: BufferedReader, size: int) -> tuple[dict[str, Any], int]:
    """The header as parsed, and how many bytes of data follow it."""
    prefix = file.read(8)
    if len(prefix) < 8:
        _damaged(path, f"expected 8 bytes with the header's length, got {len(prefix)}")
    (length,) = struct.unpack("<Q", prefix)
    limit = min(MAX_HEADER, size - 8)
    if length > limit:
        _damaged(path, f"expected a header of at most {limit:,} bytes, got the length {length:,}")
    raw = file.read(length)
    if len(raw) != length or not raw.startswith(b"{"):
        _damaged(path, f"expected a JSON object of {length:,} bytes, got {raw[:16]!r}")
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_without_duplicates)
    except RecursionError:
        _damaged(path, "expected a JSON header of three levels, got far deeper nesting")
    except ValueError as error:  # not UTF-8, not JSON, a duplicate key, an integer without end
        _damaged(path, f"expected a header in UTF-8 JSON, got one that fails with: {error!s:.200}")
    return header, size - 8 - length


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("the same key twice in one object")
    # An escaped lone surrogate parses, but is no text: it could not be written again, or shown.
    "".join(result).encode()
    return result


def _metadata(path: Path, fields: object) -> dict[str, str]:
    if not isinstance(fields, dict):
        _damaged(path, f"expected {METADATA} to be an object, got {fields!r:.80}")
    for key, value in fields.items():
        if not isinstance(value, str):
            _damaged(path, f"expected metadata {key!r:.80} to be a string, got {value!r:.80}")
        try:
            value.encode()
        except UnicodeEncodeError:
            _damaged(path, f"expected metadata {key!r:.80} to be text, got a lone surrogate")
    return fields


def _entry(path: Path, name: str, fields: object) -> Entry:
    where = f"tensor {name!r:.80}"
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        _damaged(path, f"{where}: expected dtype, shape and data_offsets, got {fields!r:.80}")
    code = fields["dtype"]
    if not isinstance(code, str) or code not in DTYPES:
        _damaged(path, f"{where}: expected a dtype of {', '.join(DTYPES)}, got {code!r:.80}")
    dtype = np.dtype(DTYPES[code])
    shape = fields["shape"]
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        _damaged(path, f"{where}: expected a shape of at most {MAX_DIMENSIONS} sizes, got {shape!r:.80}")
    # Without the zeros, because NumPy refuses an empty array by the product of its other sides.
    if math.prod(side for side in shape if side) * dtype.itemsize > sys.maxsize:
        _damaged(path, f"{where}: expected a shape that memory can hold, got {shape!r:.80}")
    offsets = fields["data_offsets"]
    if not _are_sizes(offsets) or len(offsets) != 2:
        _damaged(path, f"{where}: expected two data_offsets, got {offsets!r:.80}")
    begin, end = offsets
    expected = math.prod(shape) * dtype.itemsize
    if end - begin != expected:
        _damaged(
            path,
            f"{where}: expected {expected:,} bytes for {code} of shape {shape}, got the offsets {offsets!r:.80}",
        )
    return Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(values: object) -> bool:
    # type(), because True is an int to isinstance.
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_cover(path: Path, entries: list[Entry], size: int) -> None:
    """`entries`, in file order, must tile the `size` bytes of data: no gap, overlap or rest."""
    end = 0
    for entry in entries:
        if entry.begin != end:
            problem = "a gap" if entry.begin > end else "an overlap"
            _damaged(
                path,
                f"tensor {entry.name!r:.80}: expected its data at offset {end}, "
                f"got {problem} with offset {entry.begin!r:.80}",
            )
        end = entry.end
    if end != size:
        problem = "the file is cut off" if end > size else "there is something behind the data"
        _damaged(path, f"expected {end:,} bytes of data, got {size:,}: {problem}")


def _read_array(path: Path, file: BufferedReader, entry: Entry) -> NDArray[Any]:
    array = np.empty(entry.shape, entry.dtype)
    got = file.readinto(array.reshape(-1).view(np.uint8).data)
    if got != array.nbytes:
        _damaged(path, f"tensor {entry.name!r:.80}: expected {array.nbytes:,} bytes, got {got:,}")
    if sys.byteorder == "big":
        array.byteswap(inplace=True)
    return array

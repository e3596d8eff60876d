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
from io import BufferedReader, BytesIO
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastnn import _remote
from fastnn._checks import shown
from fastnn.store import foreign, packing
from fastnn.store.replacing import replacing
from fastnn.store.text import check_size, parsed

DTYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "V2",  # which NumPy has not: two bytes, the upper half of a float32
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
TYPES = {name: np.dtype(code) for name, code in DTYPES.items()}
FIELDS = {"dtype", "shape", "data_offsets"}
METADATA = "__metadata__"
MAX_HEADER = 16 * 2**20  # bytes; the format allows 100 MB
MAX_TENSORS = 3 * 2**12
MAX_OBJECTS = 2 * MAX_TENSORS  # in the header, texts in it included
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


def write(
    path: Path | BytesIO, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], lasting: bool = True
) -> None:
    """Write `tensors` and `metadata` to `path`, all or nothing; or to a file in memory.

    The new content becomes visible in one step, when it is on the disk; until then, and after any
    failure, `path` holds what it held before. A symbolic link is followed. A new file gets the
    permissions of any new file, an old one keeps its own. lasting: see ``replacing``.

    Arrays may have any shape, memory order and byte order. ValueError: a dtype that the table
    `DTYPES` lacks, a reserved or unencodable name, a header that `read` would refuse, a `path` that
    is not a regular file. TypeError: names or metadata that are not str. FileNotFoundError: no such
    folder. OSError, with the name: what else the system refuses.
    """
    header = _header(tensors, metadata)
    with contextlib.nullcontext(path) if isinstance(path, BytesIO) else replacing(path, lasting) as file:
        file.write(struct.pack("<Q", len(header)))
        file.write(header)
        for _, array in _in_file_order(tensors):
            file.write(_little_endian(array).data)


class OpenFile:
    """A file whose header was read and found good; `arrays` reads the rest."""

    def __init__(self, path: Path, file: BufferedReader | BytesIO) -> None:
        self.path = path
        length = _length(file)
        self.room = packing.room(length)  # bytes that its arrays may be when they are decoded
        if method := packing.method_of(_start(file)):
            try:
                file = packing.unpacked(file, length, method)
            except ValueError as error:
                _damaged(path, f"it is {error}")
            length = _length(file)
            if (start := _start(file))[8:9] != b"{":
                inner = foreign.kind_of(start) or "no model"
                _damaged(path, f"it is {packing.NAMED[method]}, and what is in it is {inner}")
        elif kind := foreign.kind_of(_start(file)):
            _damaged(path, f"it is {kind}")
        self._file = file
        header, size = _read_header(path, file, length)
        self.metadata = _metadata(path, header.pop(METADATA, {}))
        self.entries = {name: _entry(path, name, fields) for name, fields in header.items()}
        self._in_file_order = sorted(self.entries.values(), key=lambda entry: (entry.begin, entry.end))
        _check_cover(path, self._in_file_order, size)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, in the order of the header. MemoryError where they are more than there is room for."""
        arrays = {entry.name: _read_array(self.path, self._file, entry) for entry in self._in_file_order}
        return {name: arrays[name] for name in self.entries}


@contextlib.contextmanager
def opened(path: Path | BytesIO) -> Iterator[OpenFile]:
    """The file `path`, at a URL or in memory too, for as long as the block runs.

    DamagedFileError (a ValueError): anything in the header that the format does not allow, or a `path` that is not a
    regular file. OSError: it cannot be opened.
    """
    if isinstance(path, BytesIO):
        yield OpenFile("a model in memory", path)
        return
    if _remote.is_url(path):
        yield OpenFile(_remote.plain(str(path)), _remote.read(str(path)))
        return
    # Before open(), which waits for ever at a pipe that nobody writes to.
    if not stat.S_ISREG(os.stat(path).st_mode):
        _damaged(path, "expected a regular file, got a folder, pipe or device")
    with open(path, "rb") as file:
        yield OpenFile(path, file)


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of `path`, in the order of its header.

    Arrays are fresh, writable, aligned and in native byte order. Errors: see `opened`.
    """
    with opened(path) as file:
        return file.arrays(), file.metadata


# Writing


def _header(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata must map str to str, got {shown(key)}: {shown(value)}")
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
    if len(tensors) > MAX_TENSORS:
        raise ValueError(f"a file holds at most {MAX_TENSORS:,} arrays, got {len(tensors):,}")
    check_size(text, MAX_OBJECTS)
    return text


def _in_file_order(tensors: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[Any]]]:
    """Widest items first: every array is then aligned for those who map the file."""
    return sorted(tensors.items(), key=lambda item: -item[1].itemsize)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "V":
        array = np.ascontiguousarray(array).view(np.uint16)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


# Reading


def _length(file: BufferedReader | BytesIO) -> int:
    return len(file.getbuffer()) if isinstance(file, BytesIO) else os.fstat(file.fileno()).st_size


def _start(file: BufferedReader | BytesIO) -> bytes:
    return bytes(file.getbuffer()[:512]) if isinstance(file, BytesIO) else file.peek(512)


def _damaged(path: Path, problem: str) -> NoReturn:
    raise DamagedFileError(f"cannot read {os.fspath(path)!r}: {problem}")


def _read_header(path: Path, file: BufferedReader | BytesIO, size: int) -> tuple[dict[str, Any], int]:
    """The header as parsed, and how many bytes of data follow it."""
    prefix = file.read(8)
    if len(prefix) < 8:
        _damaged(path, f"expected 8 bytes with the header's length, got {len(prefix)}")
    (length,) = struct.unpack("<Q", prefix)
    limit = min(MAX_HEADER, size - 8)
    if length > limit:
        begins = prefix + file.read(8)
        if begins[8:9] != b"{":
            _damaged(path, f"it begins with {begins!r}, as no safetensors file does; model.save writes those")
        _damaged(path, f"expected a header of at most {limit:,} bytes, got the length {length:,}")
    raw = file.read(length)
    if len(raw) != length or not raw.startswith(b"{"):
        _damaged(path, f"expected a JSON object of {length:,} bytes, got {raw[:16]!r}")
    try:
        check_size(raw, MAX_OBJECTS)
        header = parsed(raw.decode())
    except ValueError as error:  # too much, not UTF-8, not JSON, a duplicate key, an integer without end
        _damaged(path, f"expected a header in UTF-8 JSON, got one that fails with: {error!s:.200}")
    if len(header) > MAX_TENSORS + 1:
        _damaged(path, f"expected at most {MAX_TENSORS:,} tensors, got {len(header):,}")
    return header, size - 8 - length


def _metadata(path: Path, fields: object) -> dict[str, str]:
    if not isinstance(fields, dict):
        _damaged(path, f"expected {METADATA} to be an object, got {shown(fields)}")
    for key, value in fields.items():
        if not isinstance(value, str):
            _damaged(path, f"expected metadata {shown(key)} to be a string, got {shown(value)}")
    return fields


def _entry(path: Path, name: str, fields: object) -> Entry:
    if not isinstance(fields, dict) or fields.keys() != FIELDS:
        _wrong(path, name, f"expected dtype, shape and data_offsets, got {shown(fields)}")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    dtype = TYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        _wrong(path, name, f"expected a dtype of {', '.join(DTYPES)}, got {shown(code)}")
    if not _are_sizes(shape, MAX_DIMENSIONS):
        _wrong(path, name, f"expected a shape of at most {MAX_DIMENSIONS} sizes, got {shown(shape)}")
    if not _are_sizes(offsets, 2) or len(offsets) != 2:
        _wrong(path, name, f"expected two data_offsets, got {shown(offsets)}")
    begin, end = offsets
    expected = math.prod(shape) * dtype.itemsize
    # Without the zeros, because NumPy refuses an empty array by the product of its other sides.
    if (expected or math.prod(side for side in shape if side) * dtype.itemsize) > sys.maxsize:
        _wrong(path, name, f"expected a shape that memory can hold, got {shown(shape)}")
    if end - begin != expected:
        _wrong(path, name, f"expected {expected:,} bytes for {code} of shape {shape}, got the offsets {shown(offsets)}")
    return Entry(name, dtype, tuple(shape), begin, end)


def _wrong(path: Path, name: str, problem: str) -> NoReturn:
    _damaged(path, f"tensor {name!r:.80}: {problem}")


def _are_sizes(values: object, most: int) -> bool:
    if not isinstance(values, list) or len(values) > most:
        return False
    # type(), because True is an int to isinstance
    return all(type(value) is int and value >= 0 for value in values)


def _check_cover(path: Path, entries: list[Entry], size: int) -> None:
    """`entries`, in file order, must tile the `size` bytes of data: no gap, overlap or rest."""
    end = 0
    for entry in entries:
        if entry.begin != end:
            problem = "a gap" if entry.begin > end else "an overlap"
            _wrong(
                path, entry.name, f"expected its data at offset {end}, got {problem} with offset {entry.begin!r:.80}"
            )
        end = entry.end
    if end != size:
        problem = "the file is cut off" if end > size else "there is something behind the data"
        _damaged(path, f"expected {end:,} bytes of data, got {size:,}: {problem}")


def _read_array(path: Path, file: BufferedReader | BytesIO, entry: Entry) -> NDArray[Any]:
    array = np.empty(entry.shape, entry.dtype)
    got = file.readinto(array.reshape(-1).view(np.uint8).data)
    if got != array.nbytes:
        _wrong(path, entry.name, f"expected {array.nbytes:,} bytes, got {got:,}")
    if sys.byteorder == "big":
        (array.view(np.uint16) if array.dtype.kind == "V" else array).byteswap(inplace=True)
    return array

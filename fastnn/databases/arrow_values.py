"""The values of an Arrow stream's columns: as Python's, or where they lie and how."""

from __future__ import annotations

import datetime
import decimal
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .native import Stream, memory
from .reader import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Missing = NDArray[np.bool_] | None

_DTYPES = dict(
    zip(
        ["c", "C", "s", "S", "i", "I", "l", "L", "e", "f", "g", "tdD", "tts", "ttm"],
        ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "i4", "i4", "i4"],
        strict=True,
    )
)
_NUMBERS = {*"cCsSiIlLefg"}
_DIRECT = {*"cCsSiIlLfgb"}
_UNITS = {"D": "D", "s": "s", "m": "ms", "u": "us", "n": "ns"}
_OFFSETS = {"u": "i4", "z": "i4", "U": "i8", "Z": "i8"}
_EXACTLY = decimal.Context(prec=100)
# Field of arrow.pxi.
_FIELD = struct.Struct("@qPPqdq")


class Batches:
    """A stream of batches, out of the capsule of ``__arrow_c_stream__``.

    `columns` are the names, `formats` what Arrow calls their types, `total` the rows so far. Errors as ``Stream``.
    """

    def __init__(self, capsule: object) -> None:
        self._stream = Stream(capsule)
        found = self._stream.columns()
        self.columns = [name.decode() for name, *_ in found]
        self.formats = [kind.decode() for _, kind, *_ in found]
        self._indices = [index.decode() for *_, index, _ in found]
        self._within = [kind.decode() for *_, kind in found]
        # What ADBC gives as text, because Arrow has no decimals without a limit.
        self._numeric = [_pairs(about).get("POSTGRESQL:type") == "numeric" for _, _, about, *_ in found]
        self._money = [_pairs(about).get("POSTGRESQL:type") == "money" for _, _, about, *_ in found]
        self.total = 0
        # Of this batch.
        self._tables: dict[int, list[Any]] = {}
        self._fields: dict[int, bytes | None] = {}

    def close(self) -> None:
        """Let go of it all, which ends the query."""
        self._stream.close()

    @property
    def rows(self) -> int:
        """The rows of the batch."""
        return self._stream.rows

    def next(self) -> bool:
        """Take the next batch in place of this one; False where there is none."""
        self._tables.clear()
        self._fields.clear()
        more = self._stream.next()
        self.total += self._stream.rows
        return more

    def unreadable(self, place: int, alone: bool) -> str | None:
        """Why the values of a column cannot be had, if so. alone: as one number a row."""
        kind = self.formats[place]
        are_lists = kind[:2] in ("+l", "+L", "+w") and not self._within[place].startswith(("+", "ti"))
        if kind.startswith("+") and (alone or not are_lists or self._indices[place] or not self._within[place]):
            return (
                "holds lists or structs; select each of their numbers as a column of its own, or say that it has "
                'vectors with columns={...: "float32[128]"}'
            )
        if kind.startswith("ti"):
            return "holds intervals; make them numbers in the query, such as seconds"
        if self._money[place]:
            return "is of the type money, whose decimals depend on the server's locale; CAST it AS numeric in the query"
        return None

    def field(self, place: int, fill: bool) -> bytes | None:
        """Where and how a column's numbers lie in the batch, for ``transpose``; None where they cannot be read so."""
        if place not in self._fields:
            self._fields[place] = self._field(place, fill)
        return self._fields[place]

    def _field(self, place: int, fill: bool) -> bytes | None:
        kind = self.formats[place]
        _, before, buffers = self._stream.array(-1)
        if buffers[0] or self._indices[place]:
            return None
        unit = 1.0
        if kind.startswith("d:"):
            width, scale = _decimals(kind)
            if width != 16 or not 0 <= scale <= 22:  # 10**22 is the last that a double holds exactly
                return None
            unit = 10.0**scale
        elif kind not in _DIRECT:
            return None
        _, offset, (valid, values) = self._stream.array(place)
        return _FIELD.pack(ord(kind[0]), valid, values, before + offset, unit, fill)

    def objects(self, place: int, first: int, n: int) -> list[Any]:
        """n values of a column of the batch, from a row on, as Python's; None for NULL."""
        _, before, (valid, *_) = self._stream.array(-1)
        first += before
        missing = ~_bits(valid, first, n) if valid else None
        index = self._indices[place]
        if self._within[place]:
            inner = self._stream.array(place, 2), self._within[place]
            return _lists(self._stream.array(place), self.formats[place], first, n, missing, *inner)
        found = _decoded(self._stream.array(place), index or self.formats[place], first, n, missing)
        if index:
            if place not in self._tables:
                array = self._stream.array(place, 1)
                self._tables[place] = _decoded(array, self.formats[place], 0, array[0], None)
            table = self._tables[place]
            found = [None if each is None else table[each] for each in found]
        if self._numeric[place]:
            return [None if each is None else decimal.Decimal(each) for each in found]
        return found


def field_of(values: NDArray[np.float64], first: int) -> bytes:
    """The same for numbers of one's own, which begin at a row of the batch; the caller keeps them alive."""
    return _FIELD.pack(ord("g"), 0, values.__array_interface__["data"][0], -first, 1.0, 0)


def _lists(
    array: tuple[int, int, list[int]],
    kind: str,
    first: int,
    n: int,
    missing: Missing,
    inner: tuple[int, int, list[int]],
    inner_kind: str,
) -> list[Any]:
    """n lists of an array: each an array of numbers of one's own, or a list of what else it holds; None for NULL."""
    _, offset, buffers = array
    first += offset
    if buffers[0]:
        absent = ~_bits(buffers[0], first, n)
        missing = absent if missing is None else missing | absent
    if kind.startswith("+w:"):
        ends = np.arange(first, first + n + 1) * int(kind[3:])
    else:
        dtype = np.dtype("i8" if kind == "+L" else "i4")
        ends = np.frombuffer(memory(buffers[1] + first * dtype.itemsize, (n + 1) * dtype.itemsize), dtype)
    start, size = int(ends[0]), int(ends[-1] - ends[0])
    _, before, (valid, *_) = inner
    values: Any
    if inner_kind in _NUMBERS and size and (not valid or _bits(valid, before + start, size).all()):
        values = _numbers(inner, inner_kind, start, size).copy()
    else:
        values = _decoded(inner, inner_kind, start, size, None)
    lists = [values[a:b] for a, b in pairwise((ends - start).tolist())]
    return lists if missing is None else [None if gone else each for each, gone in zip(lists, missing, strict=True)]


def _numbers(array: tuple[int, int, list[int]], kind: str, first: int, n: int) -> NDArray[Any]:
    """n numbers, or times as numbers, as they lie in an array."""
    _, offset, buffers = array
    dtype = np.dtype(_DTYPES.get(kind, _DTYPES.get(kind[:3], "i8")))
    return np.frombuffer(memory(buffers[1] + (first + offset) * dtype.itemsize, n * dtype.itemsize), dtype)


def _decoded(array: tuple[int, int, list[int]], kind: str, first: int, n: int, missing: Missing) -> list[Any]:
    """n values of an array, None where `missing` or the array says so."""
    _, offset, buffers = array
    if kind == "n" or not n:
        return [None] * n
    first += offset
    if buffers[0]:
        absent = ~_bits(buffers[0], first, n)
        missing = absent if missing is None else missing | absent
    values: NDArray[Any]
    found: list[Any]
    if kind == "b":
        found = _bits(buffers[1], first, n).tolist()
    elif kind.startswith("d:"):
        width, scale = _decimals(kind)
        data = bytes(memory(buffers[1] + first * width, n * width))
        wholes = [int.from_bytes(data[at : at + width], "little", signed=True) for at in range(0, len(data), width)]
        found = [_EXACTLY.scaleb(decimal.Decimal(whole), -scale) for whole in wholes]
    elif kind in _OFFSETS or kind.startswith(("v", "w:")):
        found = _octets(buffers, kind, first, n, missing)
        if kind in ("u", "U", "vu"):
            found = [each if each is None else _text(each) for each in found]
    else:
        values = _numbers(array, kind, first - offset, n)
        if not kind.startswith("t"):
            found = values.tolist()
        elif missing is None:
            found = _times(kind, values)
        else:
            found = _times(kind, np.where(missing, values.dtype.type(0), values))  # what is not there may be anything
    if missing is not None:
        for place in np.flatnonzero(missing).tolist():
            found[place] = None
    return found


def _octets(buffers: list[int], kind: str, first: int, n: int, missing: Missing) -> list[Any]:
    """Texts and blobs as bytes, of each layout."""
    if kind.startswith("w:"):
        width = int(kind[2:])
        data = bytes(memory(buffers[1] + first * width, n * width)) if width else b""
        return [data[at * width : (at + 1) * width] for at in range(n)]
    if kind.startswith("v"):  # 16 bytes each: the size, and the value or where it lies
        found: list[Any] = []
        for place, at in enumerate(range(buffers[1] + 16 * first, buffers[1] + 16 * (first + n), 16)):
            if missing is not None and missing[place]:
                found.append(None)
                continue
            size, _, buffer, start = struct.unpack("=iiii", memory(at, 16))
            found.append(bytes(memory(at + 4 if size <= 12 else buffers[2 + buffer] + start, size)))
        return found
    dtype = np.dtype(_OFFSETS[kind])
    ends = np.frombuffer(memory(buffers[1] + first * dtype.itemsize, (n + 1) * dtype.itemsize), dtype)
    start = int(ends[0])
    size = int(ends[-1]) - start
    data = bytes(memory(buffers[2] + start, size)) if size else b""
    return [data[a:b] for a, b in pairwise((ends - start).tolist())]


def _text(data: bytes) -> str | Text:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Text(data)


def _times(kind: str, values: NDArray[Any]) -> list[Any]:
    """Dates, times of day, instants and durations as Python's; those beyond its years as whole numbers."""
    unit = _UNITS[kind[2]]
    found: list[Any]
    if kind[1] == "D":
        found = values.view(f"m8[{unit}]").astype("m8[us]").tolist()
        return found
    values = values.astype("i8")
    if kind[1] == "d":
        found = values.view("M8[D]" if unit == "D" else "M8[ms]").astype("M8[D]").tolist()
        return found
    found = values.view(f"M8[{unit}]").astype("M8[us]").tolist()
    if kind[1] == "t":
        return [each.time() for each in found]
    if kind[4:]:  # it has a time zone, so that the values count from 1970 in UTC
        return [each.replace(tzinfo=datetime.UTC) if isinstance(each, datetime.datetime) else each for each in found]
    return found


def _bits(where: int, first: int, n: int) -> NDArray[np.bool_]:
    """n bits, from one on, as an array of bool."""
    start = first // 8
    octets = np.frombuffer(memory(where + start, (first + n + 7) // 8 - start), np.uint8)
    return np.unpackbits(octets, bitorder="little")[first - 8 * start :][:n].view(np.bool_)


def _decimals(kind: str) -> tuple[int, int]:
    """Of a decimal's format, d:precision,scale[,bits], the bytes and the scale."""
    _, scale, *bits = kind[2:].split(",")
    return int(bits[0]) // 8 if bits else 16, int(scale)


def _pairs(about: bytes) -> dict[str, str]:
    """Metadata: how many pairs, then the texts, each with its size before it."""
    texts, at = [], 4
    while at < len(about):
        [size] = struct.unpack_from("=i", about, at)
        texts.append(about[at + 4 : at + 4 + size].decode(errors="replace"))
        at += 4 + size
    return dict(zip(texts[::2], texts[1::2], strict=True))

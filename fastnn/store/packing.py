"""The whole of a file through a general compressor, and back within bounds of memory.

A compressed file is an ordinary one of xz, gzip or zstd, known by its first bytes, and what is in it is the file in
the safetensors layout: ``xz -dc model.fastnn`` gives that.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader, BytesIO
from typing import Any, NamedTuple

from fastnn import _names
from fastnn._checks import check_count, shown

MAGIC = {b"\xfd7zXZ\0": "xz", b"\x1f\x8b\x08": "zlib", b"\x28\xb5\x2f\xfd": "zstd"}
NAMED = {"xz": "compressed with xz", "zlib": "compressed with gzip", "zstd": "compressed with zstd"}
METHODS = ("zlib", "xz", "zstd")
LEAST_ROOM = 2**26  # bytes that a file of any size may unpack to
RATIO = 1000  # and a large one, for each of its bytes; weights of which 97 % are zeros give 85
WINDOW = 2**27  # bytes that a decompressor may look back; xz -9 needs 2**26
PIECE = 2**20  # bytes that are unpacked at a time
GZIP = 31  # what zlib calls a window of 2**15 bytes within gzip's header and checksum

Given = bool | str | Mapping[str, Any] | None


class Compression(NamedTuple):
    """How a file is made small: a general compressor, and bits for each weight, None where none may change."""

    method: str
    bits: int | None = None


def chosen(given: Given) -> Compression | None:
    """What an argument ``compression`` says. ValueError, TypeError where it is none."""
    if given is None or given is False:
        return None
    if given is True or isinstance(given, str):
        given = {"method": given}
    if not isinstance(given, Mapping):
        raise TypeError(f"compression must be None, True, a text or a dict, got {shown(given)}")
    for name in given:
        if name not in ("method", "bits"):
            raise ValueError(f"compression takes 'method' and 'bits', got {shown(name)}")
    method, bits = given.get("method", True), given.get("bits")
    if method is True:
        method = "xz" if _has_lzma() else "zlib"
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(
            f"compression: the method must be True or one of {', '.join(map(repr, METHODS))}, got {shown(method)}"
            f"{_names.hint(method, METHODS)}"
        )
    return Compression(method, None if bits is None else check_count("compression: bits", bits, 2, 8))


def room(size: int) -> int:
    """How many bytes a file of this size may stand for."""
    return max(LEAST_ROOM, RATIO * size)


def method_of(start: bytes) -> str | None:
    """By what a file that begins so was compressed; None for a file of safetensors and for all others."""
    if start[8:9] == b"{" and start[:1] == b"\x1f":  # gzip has no such ninth byte, and safetensors' header begins so
        return None
    return next((method for magic, method in MAGIC.items() if start.startswith(magic)), None)


def packed(content: bytes, method: str, is_words: bool, size: int = 0) -> bytes:
    """The content compressed. ImportError where the module is missing; ValueError where it would not be read back.

    is_words: whether most of it is numbers of four bytes or eight, which xz then looks for. size: bytes of the arrays
    that it stands for.
    """
    if method == "zlib":
        packer = zlib.compressobj(9, zlib.DEFLATED, GZIP)
        data = packer.compress(content) + packer.flush()
    elif method == "xz":
        lzma = _lzma()
        bits = dict.fromkeys(("lc", "lp", "pb"), 2 if is_words else 0)
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6 | lzma.PRESET_EXTREME, **bits}]
        data = lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    else:
        data = _zstd_packed(content)
    size = max(size, len(content))
    if size > room(len(data)):
        raise ValueError(
            f"{size:,} bytes would be {len(data):,}, less than a {RATIO}th, and files that unpack to so much "
            "more than they are will not be read; save it without compression"
        )
    return data


def unpacked(file: BufferedReader | BytesIO, size: int, method: str) -> BytesIO:
    """What a compressed file of so many bytes has in it, in memory.

    ValueError, once that much was unpacked and before more is, where it is more than `room`, or the file is damaged;
    ImportError where the module for it is missing.
    """
    content, most = BytesIO(), room(size)
    try:
        for piece in _UNPACK[method](file):
            if content.tell() + len(piece) > most:
                raise ValueError(f"its {size:,} bytes would be more than {most:,}, as those of no model's file are")
            content.write(piece)
    except (OSError, MemoryError, ImportError):
        raise
    except Exception as error:  # each module has a class of its own
        raise ValueError(f"{NAMED[method]} and cannot be unpacked: {error}") from error
    content.seek(0)
    return content


def _pieces(file: Any, unpacker: Any) -> Iterator[bytes]:
    while not unpacker.eof:
        data = file.read(PIECE) if unpacker.needs_input else b""
        if unpacker.needs_input and not data:
            raise ValueError("the file is cut off")
        yield unpacker.decompress(data, PIECE)
    _check_end(file, unpacker)


def _gunzipped(file: Any) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(GZIP)
    while not unpacker.eof:
        data = unpacker.unconsumed_tail or file.read(PIECE)
        if not data:
            raise ValueError("the file is cut off")
        yield unpacker.decompress(data, PIECE)
    _check_end(file, unpacker)


def _check_end(file: Any, unpacker: Any) -> None:
    if unpacker.unused_data or file.read(1):
        raise ValueError("there is something behind its end")


def _unxzed(file: Any) -> Iterator[bytes]:
    lzma = _lzma()
    return _pieces(file, lzma.LZMADecompressor(lzma.FORMAT_XZ, WINDOW))


def _unzstded(file: Any) -> Iterator[bytes]:
    zstd, is_own = _zstd()
    if is_own:
        window = {zstd.DecompressionParameter.window_log_max: WINDOW.bit_length() - 1}
        yield from _pieces(file, zstd.ZstdDecompressor(options=window))
        return
    unpacker = zstd.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
    while not unpacker.eof:
        data = file.read(256)  # no more is unpacked at a time than what these bytes are: at most 128 kB for four
        if not data:
            raise ValueError("the file is cut off")
        yield unpacker.decompress(data)
    _check_end(file, unpacker)


_UNPACK: dict[str, Any] = {"xz": _unxzed, "zlib": _gunzipped, "zstd": _unzstded}


def _zstd_packed(content: bytes) -> bytes:
    zstd, is_own = _zstd()
    if is_own:
        parameter = zstd.CompressionParameter
        data = zstd.compress(content, options={parameter.compression_level: 19, parameter.checksum_flag: 1})
    else:
        data = zstd.ZstdCompressor(level=19, write_checksum=True).compress(content)
    return bytes(data)


def _zstd() -> tuple[Any, bool]:
    """Python's own module of 3.14 and True, or zstandard and False."""
    try:
        from compression import zstd  # type: ignore[import-not-found]

        return zstd, True
    except ImportError:
        pass
    try:
        import zstandard

        return zstandard, False
    except ImportError:
        raise ImportError('a file compressed with zstd needs zstandard: pip install "fastnn[compress]"') from None


def _has_lzma() -> bool:
    try:
        _lzma()
    except ImportError:
        return False
    return True


def _lzma() -> Any:
    try:
        import lzma
    except ImportError:  # Python can be compiled without
        raise ImportError(
            "a file compressed with xz needs Python's module lzma, which this Python was compiled without; unpack "
            "it by the command xz -dc, or save with compression='zlib'"
        ) from None
    return lzma

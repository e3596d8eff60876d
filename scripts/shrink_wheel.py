"""Compress wheels as well as deflate can be: `python scripts/shrink_wheel.py WHEEL ...`, for those that many download.

zopfli (https://github.com/google/zopfli) tries many ways of writing the same; what unpacks them needs nothing new. It
takes a minute a wheel. Contents, names, times and modes stay, so the same wheel gives the same bytes.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import zopfli.zlib


def deflated(content: bytes) -> tuple[int, bytes]:
    """(method, bytes) of the shorter of both: as it is, or deflated."""
    small = zopfli.zlib.compress(content, numiterations=40)[2:-4]  # without zlib's own head and tail
    return (ZIP_DEFLATED, small) if len(small) < len(content) else (ZIP_STORED, content)


def fields(info: ZipInfo, method: int, size: int, name: bytes) -> bytes:
    """What the head of a file and its entry in the directory have in common (PKWARE's APPNOTE, 4.3.7 and 4.3.12)."""
    year, month, day, hour, minute, second = info.date_time
    time, date = hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
    utf8 = 0 if name.isascii() else 0x800
    return struct.pack("<5H3L2H", 20, utf8, method, time, date, info.CRC, size, info.file_size, len(name), 0)


def shrink(path: Path) -> None:
    """Write a wheel anew in its place."""
    body, directory = bytearray(), bytearray()
    with ZipFile(path) as wheel:
        files = wheel.infolist()
        for info in files:
            method, content = deflated(wheel.read(info))
            name = info.filename.encode()
            common = fields(info, method, len(content), name)
            directory += b"PK\1\2" + struct.pack("<H", 3 << 8 | 20) + common
            directory += struct.pack("<3H2L", 0, 0, 0, info.external_attr, len(body)) + name
            body += b"PK\3\4" + common + name + content
    end = struct.pack("<4H2LH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\5\6" + end)
    with ZipFile(path) as wheel:
        if wheel.testzip() is not None:
            raise SystemExit(f"{path} cannot be read any more")


def main() -> None:
    """Shrink all that are named."""
    for path in map(Path, sys.argv[1:]):
        before = path.stat().st_size
        shrink(path)
        print(f"{path.name}: {before:,} -> {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

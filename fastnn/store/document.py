"""Files of fastnn: arrays by name, and for models and backups a JSON text that says what they are.

The one way in for all of them. Whatever a file says is an answer to a question that the reader asks: it is compared,
counted and copied, and names no path, no attribute and no code.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from fastnn import _remote
from fastnn._checks import check_path, shown
from fastnn.store import safetensors
from fastnn.store.codebooks import TEXT as CODED, Coded, coded
from fastnn.store.packing import Compression, packed
from fastnn.store.replacing import replacing
from fastnn.store.text import check_form, check_size, parsed
from fastnn.store.versions import BACKUP, TEXTS, label, refusal, version_of

MAX_OBJECTS = 2**14  # in the JSON text: a layer has some five

SUM = "crc32"  # of a backup, which nobody looks at before a fit goes on from it

Arrays = dict[str, Any]


class Document:
    """A file that is open: its version, what its text says, None where it has none, and its arrays' shapes by name.

    Weights that are coded are among these as what they will be.
    """

    def __init__(self, path: str, version: int, described: Any, file: safetensors.OpenFile) -> None:
        self.path = path
        self.version = version
        self.described = described
        self._file = file
        self._coded = Coded(file.metadata.get(CODED), file.entries, file.room)
        self.shapes = self._coded.shapes

    def arrays(self) -> Arrays:
        """The arrays by name. ValueError where the file is not as it was written, as far as its kind says that."""
        arrays = self._file.arrays()
        expected = self._file.metadata.get(SUM)
        if expected is not None and expected != _sum(arrays, self.described):
            raise ValueError("its checksum is another: the file was damaged")
        return self._coded.arrays(arrays)


def write(
    path: Any,
    kind: str,
    arrays: Arrays,
    described: Any = None,
    how: Compression | None = None,
    weights: Callable[[], Set[str]] = frozenset,
) -> None:
    """Write a file of that kind, all or nothing. ValueError, TypeError for what no file holds; OSError by name.

    how: how it is made small. weights: the names of the arrays that may be rounded, asked for where some are.
    """
    metadata = metadata_of(kind, arrays, described)
    if how is None:
        write_with(path, arrays, metadata)
        return
    size = sum(each.nbytes for each in arrays.values())
    if how.bits is not None:
        arrays, more = coded(arrays, weights(), how.bits)
        metadata |= more
    file = BytesIO()
    write_with(file, arrays, metadata)
    words = sum(each.nbytes for each in arrays.values() if each.itemsize > 2)
    is_words = 2 * words > sum(each.nbytes for each in arrays.values())
    data = packed(file.getvalue(), how.method, is_words, size)
    if isinstance(path, BytesIO):
        path.write(data)
        return
    with replacing(path) as out:
        out.write(data)


def write_with(path: Any, arrays: Arrays, metadata: dict[str, str], lasting: bool = True) -> None:
    """`write`, with what ``metadata_of`` gives for these arrays. lasting: as in ``safetensors.write``."""
    safetensors.write(path, arrays, metadata, lasting=lasting)


def metadata_of(kind: str, arrays: Arrays, described: Any = None) -> dict[str, str]:
    """What a file of that kind says beside its arrays. ValueError, TypeError for what no file holds."""
    metadata = {"format": label(kind)}
    if kind in TEXTS:
        text = _text(described)
        check_size(text, MAX_OBJECTS)
        if "\\u" in text:
            parsed(text)  # half a character would be refused on reading
        metadata[TEXTS[kind]] = text
    if kind == BACKUP:  # what a model's file says may be changed by others, and its numbers are its own
        metadata[SUM] = _sum(arrays, described)
    return metadata


@contextmanager
def reading(path: Any, what: str, wrong: str, *kinds: str) -> Iterator[Document]:
    """The file `path`, or one in memory, which must be of one of `kinds`, for as long as the block runs.

    what: says that it is of none of them. wrong: begins the ValueError that takes the place of any exception of the
    block. OSError, and MemoryError where a good file is larger than the memory, are not the file's fault and stay.
    """
    memory = isinstance(path, BytesIO)
    name = "a model in memory" if memory else check_path("filepath", path)
    with safetensors.opened(path if memory else name) as file:
        name = _remote.plain(name)
        found = version_of(file.metadata, *kinds)
        if found is None:
            raise refusal(name, what, file.metadata, kinds[0])
        kind, version = found
        try:
            yield Document(name, version, _described(file.metadata, kind), file)
        except (OSError, MemoryError, safetensors.DamagedFileError):
            raise
        except KeyError as error:
            raise ValueError(f"{name} {wrong}: there is no {error!s:.80} where one is expected") from error
        except Exception as error:
            raise ValueError(f"{name} {wrong}: {error!s:.500}") from error


def _described(metadata: Mapping[str, str], kind: str) -> Any:
    if kind not in TEXTS:
        return None
    check_size(metadata[TEXTS[kind]], MAX_OBJECTS)
    described = parsed(metadata[TEXTS[kind]])
    check_form(described, {})
    return described


def _sum(arrays: Arrays, described: Any) -> str:
    """A checksum of all that a file has."""
    found = zlib.crc32(_text(described).encode())
    for name, array in arrays.items():
        found = zlib.crc32(name.encode(), found)
        found = zlib.crc32(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data, found)
    return f"{found:08x}"


def _text(described: Any) -> str:
    try:
        return json.dumps(described, default=_plain)
    except RecursionError:
        raise ValueError("what is saved must be of a few levels, got far deeper nesting") from None
    except ValueError as error:  # a list that holds itself, or a whole number of thousands of digits
        raise ValueError(f"what is saved cannot be written as JSON: {error}") from None
    except TypeError as error:
        if "keys must be" not in str(error):  # which says what it is already
            raise
        raise TypeError(f"what is saved cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"what is saved must be made of numbers, texts, None, lists and arrays, got {shown(value)}")

"""Rows that were read, until all are: keys and features, batch by batch, outside the database that they are from."""

from __future__ import annotations

import pickle
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from .reader import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_IN_MEMORY = 2**24  # bytes; what is longer goes to a file without a name, which no kill leaves behind


class Spool:
    """Batches of rows in the order in which they came.

    `ascending` says that their keys are whole numbers of 64 bits, each larger than the one before.
    """

    def __init__(self, width: int) -> None:
        # It ends with `close`.
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._width, self._sizes = width, list[tuple[int, int]]()
        self.ascending, self._last = True, -(2**63) - 1
        self.rows = 0

    def close(self) -> None:
        self._file.close()

    def add(self, keys: list[Any], x: NDArray[np.float32]) -> None:
        """Add a batch."""
        if any(type(key) is Text for key in keys):
            keys = [decoded(key) for key in keys]
        self.ascending = self.ascending and self._ascends(keys)
        packed = pickle.dumps(keys, 5)
        self._file.write(packed)
        self._file.write(np.ascontiguousarray(x).data)
        self._sizes.append((len(packed), len(keys)))
        self.rows += len(keys)

    def _ascends(self, keys: list[Any]) -> bool:
        try:
            numbers = np.array(keys)
        except ValueError:  # what has a length of its own
            return False
        if numbers.dtype != np.int64 or keys[0] <= self._last:
            return False
        self._last = keys[-1]
        return bool((numbers[1:] > numbers[:-1]).all())

    def batches(self) -> Iterator[tuple[bytes, list[Any], NDArray[np.float32]]]:
        """All batches again: the keys' bytes, the keys and the features; texts as str where they are UTF-8."""
        self._file.seek(0)
        for size, rows in self._sizes:
            packed = self._file.read(size)
            x = np.frombuffer(bytearray(self._file.read(4 * rows * self._width)), np.float32)
            yield packed, pickle.loads(packed), x.reshape(rows, self._width)


def decoded(key: Any) -> Any:
    """A text as str where it is UTF-8; anything else as it is."""
    if type(key) is not Text:
        return key
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key

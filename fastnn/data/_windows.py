"""The windows in which rows come from a reader."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from .sparse import SparseRows, of_dense, one_below_the_other

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray


def arrays_of(reader: Any, take: Any, sparse: bool = False) -> Generator[Any, None, None]:
    """Run a query: what is taken of each of its blocks. sparse: whether it may be ``SparseRows``."""
    first = 1
    with closing(reader.blocks(take.wanted)) as blocks:
        for block in blocks:
            rows = take(block, first)
            yield rows.toarray() if not sparse and isinstance(rows, SparseRows) else rows
            first += len(block.numbers)


def windows(
    arrays: Generator[Any, None, None], size: int, width: int, targets: int, dtype: Any
) -> Generator[tuple[Any, NDArray[np.float32]], None, None]:
    """Rows of features and targets as windows of `size` rows, fewer at the end. Sparse ones where the first are."""

    def room() -> tuple[NDArray[Any], NDArray[np.float32]]:
        return np.empty((0, width), dtype), np.empty((0, targets), np.float32)

    (x, y), at, held = room(), 0, []
    sparse: bool | None = None
    with closing(arrays):
        for rows in arrays:
            sparse = isinstance(rows, SparseRows) if sparse is None else sparse
            if isinstance(rows, SparseRows) != sparse:
                rows = of_dense(rows) if sparse else rows.toarray()
            while len(rows):
                part, rows = rows[: size - at], rows[size - at :]
                if sparse:
                    held.append(part)
                else:
                    if at + len(part) > len(x):
                        resize(x, y, min(size, max(2 * len(x), at + len(part))))
                    x[at : at + len(part)] = part[:, :width]
                    y[at : at + len(part)] = part[:, width:]
                at += len(part)
                if at == size:
                    yield cut(one_below_the_other(held), width) if sparse else (x, y)
                    (x, y), at, held = room(), 0, []
    if at:
        if not sparse:
            resize(x, y, at)
        yield cut(one_below_the_other(held), width) if sparse else (x, y)


def cut(rows: SparseRows, width: int) -> tuple[SparseRows, NDArray[np.float32]]:
    """The first columns of rows that are whole, and the others as an array."""
    inside = rows.indices < width
    y = np.zeros((len(rows), rows.shape[1] - width), np.float32)
    y[rows.row_numbers()[~inside], rows.indices[~inside] - width] = rows.data[~inside]
    ends = np.concatenate([[0], inside.cumsum()])[rows.indptr]
    return SparseRows(rows.data[inside], rows.indices[inside], ends, width), y


def resize(x: NDArray[Any], y: NDArray[np.float32], rows: int) -> None:
    """Make the two have so many rows."""
    # In place, through realloc: a copy would hold the rows twice. No view of them exists yet.
    for array in (x, y):
        array.resize((rows, array.shape[1]), refcheck=False)


def joined(held: list[tuple[Any, NDArray[np.float32]]]) -> tuple[Any, NDArray[np.float32]]:
    """One window of them all; each part is let go as soon as it has been copied."""
    if len(held) == 1:
        return held[0]
    if isinstance(held[0][0], SparseRows):
        return one_below_the_other([x for x, _ in held]), np.concatenate([y for _, y in held])
    rows = sum(len(x) for x, _ in held)
    whole = tuple(np.empty((rows, array.shape[1]), array.dtype) for array in held[0])
    at = 0
    while held:
        part = held.pop(0)
        for array, of_part in zip(whole, part, strict=True):
            array[at : at + len(part[0])] = of_part
        at += len(part[0])
    x, y = whole
    return x, y

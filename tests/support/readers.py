"""All that a reader of a database gives."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from fastnn.databases.addresses import reader_of
from fastnn.databases.reader import Reader, Wanted


def read(reader: Reader, wanted: Wanted) -> tuple[np.ndarray, list[list[Any]]]:
    """The numbers of all rows, and the values of each of the others."""
    blocks = list(reader.blocks(wanted))
    width = len(wanted.numbers) + len(wanted.targets)
    assert all(block.numbers.dtype == np.float32 and block.numbers.flags.c_contiguous for block in blocks)
    numbers = np.concatenate([np.empty((0, width), "f4"), *(block.numbers for block in blocks)])
    others = [list(chain.from_iterable(block.others[i] for block in blocks)) for i in range(len(wanted.others))]
    return numbers, others


def read_query(sql: str, con: Any, wanted: Wanted, params: Any = None) -> tuple[np.ndarray, list[list[Any]]]:
    """The same of a query."""
    return read(reader_of(sql, con, params), wanted)

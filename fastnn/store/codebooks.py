"""Weights as numbers of entries of a codebook, and zeros as gaps between them, in one file's arrays.

    codebooks  F32  the entries, those of one array of weights after those of another
    codes      U8   which entry each weight is; of an array of many zeros, each weight that is none
    gaps       U8   how many zeros lie before each of these; 255 stands for as many zeros and no weight

and the text "coded" in the metadata: {"dense/kernel": [[784, 512], order, entries, codes, gaps], ...}, of an array
without gaps with 0 in their place. order: 0 where the last axis goes first, as in memory; 1 where the first does.

Source: Han, Mao and Dally 2016, "Deep Compression", sections 2 and 3: gaps, and a codebook by k-means with a linear
start. The general compressor around the file takes the place of Huffman's code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import numpy as np

from fastnn.store.text import check_form, parsed

TEXT = "coded"
NAMES = ("codebooks", "codes", "gaps")  # of no weights: theirs have a stroke in them
ROUNDS = 25
LEAST = 256  # weights of an array: fewer stay as they are
VECTOR_BITS = 6  # at least, of an array of one axis, such as a bias: few numbers, which many others hang on
SPARSE = 0.5  # share of zeros from which on they are gaps
SKIP = 255

Arrays = dict[str, Any]


def coded(arrays: Arrays, weights: Set[str], bits: int) -> tuple[Arrays, dict[str, str]]:
    """Arrays for a file, and what its metadata say of them. weights: the names of those that may be rounded."""
    kept, places = {}, {}
    books: list[Any] = []
    all_codes: list[Any] = []
    all_gaps: list[Any] = []
    for name, array in arrays.items():
        if name not in weights or array.dtype != np.float32 or array.size < LEAST or not np.isfinite(array).all():
            kept[name] = array
            continue
        flat, gaps, order = np.ravel(array), np.empty(0, np.uint8), 0
        if np.count_nonzero(flat) <= (1 - SPARSE) * flat.size:
            ways = [(each, _gaps(np.flatnonzero(each))) for each in (flat, np.ravel(array, "F"))]
            order = int(np.argmin([_entropy(each) for _, each in ways]))
            flat, gaps = ways[order]
            flat = flat[flat != 0]
        book, codes = rounded(flat, 2 ** (bits if array.ndim > 1 else max(bits, VECTOR_BITS)))
        places[name] = [list(array.shape), order, len(book), len(codes), len(gaps)]
        for parts, part in zip((books, all_codes, all_gaps), (book, codes, gaps), strict=True):
            parts.append(part)
    if not places:
        return kept, {}
    together = (np.concatenate(parts) for parts in (books, all_codes, all_gaps))
    return kept | dict(zip(NAMES, together, strict=True)), {TEXT: json.dumps(places)}


def rounded(values: Any, most: int) -> tuple[Any, Any]:
    """At most that many values, ascending, that have the least squared distance from given ones, and which each is.

    k-means, whose clusters are stretches of the sorted values, so that a round costs their number times a search. 0 is
    an entry where it is among the values: what was pruned stays so. And so do values that are few enough: what was
    rounded once is not rounded again.
    """
    distinct = np.unique(values)
    if len(distinct) <= most:
        return distinct, np.searchsorted(distinct, values).astype(np.uint8)
    ordered = np.sort(values[values != 0]).astype(np.float64)
    zeros = len(ordered) < len(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.linspace(ordered[0], ordered[-1], most - zeros)
    for _ in range(ROUNDS):
        ends = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        ends = np.concatenate([[0], ends, [len(ordered)]])
        counts = np.diff(ends)
        centres = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), centres)
    centres = centres[counts > 0]
    book = np.unique(np.append(centres, 0.0) if zeros else centres).astype(np.float32)
    codes = np.searchsorted((book[1:].astype(np.float64) + book[:-1]) / 2, values)
    if zeros:
        codes[values == 0] = np.searchsorted(book, 0)
    return book, codes.astype(np.uint8)


def _gaps(there: Any) -> Any:
    """How far each place is behind the one before it, less one, in bytes."""
    steps = np.diff(there, prepend=-1) - 1
    skips = steps // SKIP
    ends = np.cumsum(skips + 1)
    gaps = np.full(int(ends[-1]) if len(ends) else 0, SKIP, np.uint8)
    gaps[ends - 1] = steps % SKIP
    return gaps


def _entropy(numbers: Any) -> float:
    """Bits that a code of each number by itself needs for them all: few where they go in runs of alike ones."""
    counts = np.bincount(numbers, minlength=1)
    counts = counts[counts > 0]
    return float((counts * np.log2(counts.sum() / counts)).sum())


class Array(NamedTuple):
    """What an array of weights will be."""

    shape: tuple[int, ...]
    dtype: Any = np.dtype(np.float32)


class Coded:
    """The arrays of a file that are coded: their shapes by name, and they."""

    def __init__(self, text: str | None, entries: Mapping[str, Any], room: int) -> None:
        """text: what the metadata say. entries: all arrays of the file. room: bytes that they may be in all.

        ValueError where they do not belong together.
        """
        self._places = {} if text is None else parsed(text)
        check_form(self._places, {})
        self.shapes = dict(entries) if text is None else {n: each for n, each in entries.items() if n not in NAMES}
        ends = dict.fromkeys(NAMES, 0)
        left = room
        for name, place in self._places.items():
            check_form(place, ([int], int, int, int, int))
            shape, order, *counts = place
            size = math.prod(shape)
            if min([*shape, *counts]) < 0 or name in entries or counts[0] > 256 or order not in (0, 1):
                raise ValueError(f"the codes of {name!r:.80} are none: {place!r:.200}")
            left -= 4 * size
            if left < 0:
                raise ValueError(f"its weights would be more than {room:,} bytes, as those of no model's file are")
            if (
                counts[1] > size
                or counts[2] > counts[1] + size // SKIP
                or (not counts[2] and counts[1] not in (0, size))
            ):
                raise ValueError(f"{name!r:.80} of shape {shape} has {counts[1]:,} codes and {counts[2]:,} gaps")
            self.shapes[name] = Array(tuple(shape))
            for each, count in zip(NAMES, counts, strict=True):
                ends[each] += count
        for each, end in ends.items() if text is not None else ():
            found = entries.get(each)
            if found is None or found.shape != (end,) or found.dtype != (np.float32 if each == NAMES[0] else np.uint8):
                raise ValueError(f"expected {end:,} numbers as {each!r}, got {found}")

    def arrays(self, arrays: Arrays) -> Arrays:
        """A file's arrays with weights in the place of codes. ValueError where a code is of no entry or place."""
        if not self._places:
            return arrays
        found = {name: array for name, array in arrays.items() if name not in NAMES}
        begins = [0, 0, 0]
        for name, (shape, order, *counts) in self._places.items():
            book, codes, gaps = (arrays[each][a : a + n] for each, a, n in zip(NAMES, begins, counts, strict=True))
            begins = [a + n for a, n in zip(begins, counts, strict=True)]
            try:
                flat = _decoded(book, codes, gaps, math.prod(shape))
                found[name] = np.ascontiguousarray(flat.reshape(shape, order="F" if order else "C"))
            except (ValueError, IndexError):
                raise ValueError(f"the codes of {name!r:.80} are not as they were written") from None
        return found


def _decoded(book: Any, codes: Any, gaps: Any, size: int) -> Any:
    values = book[codes]  # IndexError for a code of no entry
    if len(codes) == size and not len(gaps):
        return values
    steps = np.where(gaps == SKIP, SKIP, gaps.astype(np.int64) + 1)
    there = np.cumsum(steps)[gaps != SKIP] - 1
    array = np.zeros(size, np.float32)
    array[there] = values  # and for a place behind the end; ValueError where they are not as many
    return array

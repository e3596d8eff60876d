"""Kernels of a training step of pictures and sequences, as `breakdown_parts` has a perceptron's.

Products are called as the engine does: of patches where they lie in the rows, of tiles (the flops are those of patches,
which are half as many again), and of states some rows together. Left to "engine and memory": spreading d, pixels to
tiles and back, turning and packing kernels, adding up blocks of rows, an embedding's lookups.
"""

import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np

from benchmarks.breakdown_parts import (
    CELLS,
    FORWARD,
    INPUT,
    POOLING,
    WEIGHT,
    Part,
    activation_parts,
    bias_part,
    numbers,
    product,
)
from benchmarks.cases import Fit
from benchmarks.networks import GRU, LSTM, Array, Conv, Dense, Embedding, Flatten, GlobalAverage, Pool, Row
from fastnn import kernels
from support.bindings import PANEL, STRIPS, bound, rows_of

COVERED = ("cnn", "lstm", "gru", "cnn1d", "words")
TOGETHER = 16  # rows that go through the steps of a recurrence together


class Window(ctypes.Structure):
    """Of fastnn/kernels/types.pxd."""

    _fields_ = [(name, ctypes.c_ssize_t * 3) for name in ("size", "given", "pool", "stride", "before", "gap")]
    _fields_ += [("channels", ctypes.c_ssize_t)]


def layer_parts(case: Fit) -> Iterator[Part]:
    for place, (layer, row) in enumerate(case.network.rows):
        yield from parts_of(layer, row, case.batch_size, place)


def parts_of(layer: Any, row: Row, rows: int, place: int) -> Iterator[Part]:
    """The layer at a place of the network: the gradient by the data is left out."""
    match layer:
        case Dense(units, activation):
            yield from products(rows, row[0], units, place > 0)
            yield bias_part(rows, units)
            if activation == "relu":
                yield from activation_parts(activation, rows, units, 1)
        case Conv():
            yield from convolution(layer, row, rows, place > 0)
        case Pool():
            yield from pooling(layer.size, row, rows)
        case GlobalAverage():
            yield from pooling(row[0], row, rows, kernels.average_pool)
        case LSTM() | GRU():
            yield from recurrence(layer, row, rows, place > 0)
        case Flatten() | Embedding():
            pass
        case _:
            raise TypeError(f"the breakdown does not know {layer}")


def products(rows: int, inputs: int, units: int, wanted: bool) -> Iterator[Part]:
    for kind in (FORWARD, INPUT, WEIGHT):
        if wanted or kind != INPUT:
            yield product(kind, rows, inputs, units, 1)


def in_three(sizes: Row, other: int) -> list[int]:
    return [*[other] * (3 - len(sizes)), *sizes]


def patches(row: Row, size: int, rows: int) -> tuple[Array, Array, Array, int]:
    """Pictures, the addresses of their patches, where the segments of one begin, and numbers in a segment."""
    x = numbers(rows, *row)
    *_, height, width = in_three(row[:-1], 1)
    down = size if len(row) == 3 else 1
    places = np.arange(height - down + 1)[:, None] * width + np.arange(width - size + 1)
    addresses = rows_of(x.reshape(rows, -1))[:, None] + (4 * row[-1] * places.ravel()).astype(np.uintp)
    firsts = np.arange(down) * width * row[-1]
    return x, addresses.ravel(), firsts.astype(np.intp), size * row[-1]


def convolution(layer: Conv, row: Row, rows: int, wanted: bool) -> Iterator[Part]:
    given = layer.given(row)
    flops = 2 * rows * layer.products(row)
    lines = rows * prod(given[:-1])
    if layer.size == 3 and row[-1] >= 8 and layer.filters >= 16:
        yield from tiles(layer, row, rows, wanted)
        yield bias_part(lines, layer.filters)
        yield list(activation_parts(layer.activation, rows, prod(given), 1))[1]  # forward it is one with the tiles
        return
    yield of_patches(FORWARD, row, layer.size, layer.filters, rows, flops)
    if wanted:  # of d with zeros around it
        spread = (*(n + 2 * (layer.size - 1) for n in given[:-1]), layer.filters)
        yield of_patches(INPUT, spread, layer.size, row[-1], rows, flops)
    x, addresses, firsts, depth = patches(row, layer.size, rows)
    d, g = numbers(lines, layer.filters), numbers(depth, layer.filters)
    gemm, space = bound(kernels.gemm_transposed_a), np.empty(PANEL + STRIPS, np.float32)

    def weights(columns: int) -> None:
        for first in firsts:
            gemm.c(x, 0, addresses, first, d, layer.filters, None, g, layer.filters, depth, columns, lines, space)

    yield Part(WEIGHT, partial(weights, layer.filters), partial(weights, 0), 1, flops)
    yield bias_part(lines, layer.filters)
    yield from activation_parts(layer.activation, rows, prod(given), 1)


def tiles(layer: Conv, row: Row, rows: int, wanted: bool) -> Iterator[Part]:
    """Products of tiles of two places with the four planes of a kernel three pixels wide."""
    down = layer.size if len(row) == 3 else 1
    *heights, width, _ = layer.given(row)
    across = (width + 1) // 2
    places = prod(heights) * across
    x, d = numbers(places + (down - 1) * across, row[-1]), numbers(places + (down - 1) * across, layer.filters)
    w, turned = numbers(down * row[-1], layer.filters), numbers(down * layer.filters, row[-1])
    segments, gemm = bound(kernels.gemm_segments), bound(kernels.gemm_transposed_a)
    space = np.empty(32 * len(turned) + PANEL + STRIPS, np.float32)

    def product_of(a: Array, b: Array, out: Array, count: int) -> None:
        columns, depth = b.shape[1], a.shape[1]
        firsts = (np.arange(down) * across * depth).astype(np.intp)
        shape = (count, columns, depth)
        segments.c(a, 0, rows_of(a), firsts, down, b, columns, None, out, columns, *shape, space)

    def weights(columns: int) -> None:
        for k in range(down):
            shape = (row[-1], columns, places)
            gemm.c(x, 0, rows_of(x), k * across * row[-1], d, layer.filters, None, w, layer.filters, *shape, space)

    calls, flops = 4 * rows, layer.products(row) // 2
    yield Part(FORWARD, partial(product_of, x, w, d, places), partial(product_of, x, w, d, 0), calls, flops)
    if wanted:
        yield Part(INPUT, partial(product_of, d, turned, x, places), partial(product_of, d, turned, x, 0), calls, flops)
    yield Part(WEIGHT, partial(weights, layer.filters), partial(weights, 0), calls, flops)


def of_patches(kind: str, row: Row, size: int, filters: int, rows: int, flops: int) -> Part:
    x, addresses, firsts, depth = patches(row, size, rows)
    w, out = numbers(len(firsts) * depth, filters), numbers(len(addresses), filters)
    gemm, space = bound(kernels.gemm_segments), np.empty(max(32 * len(w), PANEL) + STRIPS, np.float32)

    def run(count: int) -> None:
        shape = (count, filters, depth)
        gemm.c(x, 0, addresses, firsts, len(firsts), w, filters, None, out, filters, *shape, space)

    return Part(kind, partial(run, len(addresses)), partial(run, 0), 1, flops)


def pooling(size: int, row: Row, rows: int, kernel: Any = kernels.max_pool) -> Iterator[Part]:
    given = (*(n // size for n in row[:-1]), row[-1])
    window = Window(channels=row[-1], before=(0, 0, 0), gap=(1, 1, 1))
    window.size[:], window.given[:] = in_three(row[:-1], 1), in_three(given[:-1], 1)
    window.pool[:] = window.stride[:] = in_three((size,) * len(given[:-1]), 1)
    x, d_x, a, d = numbers(rows, prod(row)), numbers(rows, prod(row)), *(numbers(rows, prod(given)) for _ in range(2))
    pool, addresses, largest = bound(kernel), rows_of(x), kernel is kernels.max_pool

    def run(place: int, *arrays: Array, rows: int) -> None:
        pool.c(x, place, largest, addresses, 0, rows, ctypes.addressof(window), *arrays)

    for place, arrays in enumerate([(a,), (a, d, d_x)]):
        yield Part(POOLING, partial(run, place, *arrays, rows=rows), partial(run, place, *arrays, rows=0), 1)


def recurrence(layer: LSTM | GRU, row: Row, rows: int, wanted: bool) -> Iterator[Part]:
    steps, features = row
    units, columns = layer.units, layer.units * (4 if isinstance(layer, LSTM) else 3)
    yield from products(rows * steps, features, columns, wanted)
    yield product(WEIGHT, rows * steps, units, columns, 1)
    yield bias_part(rows * steps, columns)
    together = min(TOGETHER, rows)
    calls = steps * rows / together
    yield of_states(FORWARD, together, units, columns, calls)
    yield of_states(INPUT, together, columns, units, calls)
    yield from cells(kernels.lstm_cell if isinstance(layer, LSTM) else kernels.gru_cell, together, units, calls)


def of_states(kind: str, rows: int, inputs: int, units: int, calls: float) -> Part:
    """Some rows by weights in panels, added to what is there."""
    a, panels, out = numbers(rows, inputs), numbers(inputs, units + 64), numbers(rows, units)
    gemm, addresses = bound(kernels.gemm_packed), rows_of(a)
    panels[...] = 0

    def run(rows: int) -> None:
        gemm.c(a, 0, addresses, 0, panels, 0, out, out, units, rows, units, inputs, None)

    return Part(kind, partial(run, rows), partial(run, 0), calls, 2 * rows * inputs * units)


def cells(kernel: Any, rows: int, units: int, calls: float) -> Iterator[Part]:
    """Gates and states of a step."""
    cell, line = bound(kernel), 4 * units
    z, before = numbers(rows, line), numbers(rows, units)
    c, squashed, h = (numbers(rows, units) for _ in range(3))
    states = rows_of(before)

    def run(place: int, rows: int) -> None:
        cell.c(z, place, rows, units, z, line, states, c, squashed, units, h, units)

    for place in range(2):
        call: Callable[[], None] = partial(run, place, rows)
        yield Part(CELLS, call, partial(run, place, 0), calls)

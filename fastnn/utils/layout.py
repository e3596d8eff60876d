"""Where boxes and arrows lie: in layers, each box behind all that it reads (Sugiyama, Tagawa and Toda 1981)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

GAP = 28.0  # between boxes of a layer
STEP = 34.0  # between layers
THIN = 10.0  # of what an arrow takes in a layer that it crosses
SWEEPS = 8
MOST_BENDS = 20_000  # of all arrows; a graph with more has straight ones

Point = tuple[float, float]
Size = tuple[float, float]


class Layout(NamedTuple):
    """The size of the picture, the middle of each box, and the points of each arrow from box to box."""

    size: Size
    middles: list[Point]
    paths: list[list[Point]]


def laid_out(sizes: list[Size], arrows: list[tuple[int, int]]) -> Layout:
    """Boxes of these (width, height) from the top down. arrows: (from, to), by the boxes' places, without a circle."""
    ranks = _ranks(len(sizes), arrows)
    chains, widths, levels = _with_bends(sizes, arrows, ranks)
    links = [pair for chain in chains for pair in pairwise(chain)]
    rows: list[list[int]] = [[] for _ in range(max(levels) + 1)]
    for place, level in enumerate(levels):
        rows[level].append(place)
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for start, end in links:
        above[end].append(start)
        below[start].append(end)
    across = _across(rows, widths, above, below)
    heights = [max((sizes[place][1] for place in row if place < len(sizes)), default=0.0) for row in rows]
    tops = [GAP + sum(heights[:level]) + STEP * level for level in range(len(rows))]
    down = [tops[level] + heights[level] / 2 for level in levels]
    left = min(x - width / 2 for x, width in zip(across, widths, strict=True)) - GAP
    across = [x - left for x in across]
    size = (max(x + width / 2 for x, width in zip(across, widths, strict=True)) + GAP, tops[-1] + heights[-1] + GAP)
    # Between layers an arrow bends; across one it runs straight, so that it meets no box.
    paths = []
    for chain in chains:
        start, end = chain[0], chain[-1]
        path = [(across[start], down[start] + sizes[start][1] / 2)]
        path.append((across[start], tops[levels[start]] + heights[levels[start]]))
        for bend in chain[1:-1]:
            path += [(across[bend], tops[levels[bend]]), (across[bend], tops[levels[bend]] + heights[levels[bend]])]
        path += [(across[end], tops[levels[end]]), (across[end], down[end] - sizes[end][1] / 2)]
        paths.append([point for point, before in zip(path, [None, *path], strict=False) if point != before])
    return Layout(size, list(zip(across, down, strict=True))[: len(sizes)], paths)


def _ranks(count: int, arrows: list[tuple[int, int]]) -> list[int]:
    """The layer of each box: behind the last that it reads; one that reads nothing close before what reads it."""
    ranks = [0] * count
    for start, end in sorted(arrows, key=lambda arrow: arrow[1]):  # boxes come in the order of the graph
        ranks[end] = max(ranks[end], ranks[start] + 1)
    reads = {end for _, end in arrows}
    for place in range(count):
        if place not in reads:
            ranks[place] = max(0, min((ranks[end] for start, end in arrows if start == place), default=1) - 1)
    return ranks


def _with_bends(
    sizes: list[Size], arrows: list[tuple[int, int]], ranks: list[int]
) -> tuple[list[list[int]], list[float], list[int]]:
    """The arrows as chains of places, one in each layer that they cross; the widths and layers of all places."""
    widths, levels = [width for width, _ in sizes], list(ranks)
    bends = sum(ranks[end] - ranks[start] - 1 for start, end in arrows)
    chains = []
    for start, end in arrows:
        crossed = range(ranks[start] + 1, ranks[end]) if bends <= MOST_BENDS else range(0)
        chains.append([start, *range(len(widths), len(widths) + len(crossed)), end])
        widths += [THIN] * len(crossed)
        levels += list(crossed)
    return chains, widths, levels


def _across(rows: list[list[int]], widths: list[float], above: list[list[int]], below: list[list[int]]) -> list[float]:
    """The middle of each place: rows are ordered, and then moved, towards what each place is linked with."""
    across = [0.0] * len(widths)
    for row in rows:
        _place(row, [0.0] * len(row), widths, across)
    for sweep in range(SWEEPS):
        links, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            if sweep < SWEEPS // 2:
                row.sort(key=lambda place: _mean(across, links[place], across[place]))
            _place(row, [_mean(across, links[place], across[place]) for place in row], widths, across)
    for row in rows:
        both = [_mean(across, above[place] + below[place], across[place]) for place in row]
        _place(row, both, widths, across)
    return across


def _mean(across: list[float], places: list[int], otherwise: float) -> float:
    return sum(across[place] for place in places) / len(places) if places else otherwise


def _place(row: list[int], wanted: list[float], widths: list[float], across: list[float]) -> None:
    """Put a row's places as near as can be to where they want to be, in their order and without overlap.

    Least squares: places that would overlap move as one block, to the mean of what they want.
    """
    offsets = [0.0]
    for one, other in pairwise(row):
        offsets.append(offsets[-1] + (widths[one] + widths[other]) / 2 + GAP)
    blocks: list[tuple[float, int]] = []  # mean of what a block wants less its offsets, and how many are in it
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, more = blocks.pop()
            mean, count = (mean * count + before * more) / (count + more), count + more
        blocks.append((mean, count))
    places = iter(zip(row, offsets, strict=True))
    for mean, count in blocks:
        for _ in range(count):
            place, offset = next(places)
            across[place] = mean + offset

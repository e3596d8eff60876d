"""Occlusion: what an output loses when a window of a row is filled."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import as_number, check_count
from fastnn.explain.given import names_of, output_function, output_of, rows_of
from fastnn.explain.result import Explanation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastnn.typing import Array, DoubleArray, Shape

NUMBERS = 1 << 22  # of filled rows that are predicted at once, about


def occlusion(
    model: Any,
    x: Any,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float = 0.0,
    output: Any = None,
) -> Explanation:
    """f(x) - f(x with a window filled), for each number that the window covers; where windows overlap, the mean.

    A window is `window` features of a table, as many steps of a sequence with all their features, or a square of a
    picture with all its channels. window: None for 1, and for pictures an 8th of the shorter side. stride: from one
    window to the next, None for half a window; the last ends where the row does. fill: what stands in the window, for
    ids an id. Of several inputs one is filled at a time. output: as in ``integrated_gradients``. base_values: f with
    all of x filled; values do not sum to what is missing from there.

    ValueError for a window larger than a row and for an output that is not there; TypeError, ValueError as ``predict``.
    Source: Zeiler and Fergus 2014.
    """
    what = "occlusion"
    rows, chosen, number = rows_of(model, x, what), output_of(model, output, what), as_number("occlusion: fill", fill)
    function = output_function(model, output, what)
    if not np.isfinite(number) or any(each.dtype.kind not in "fiu" for each in rows):
        raise ValueError("occlusion fills windows of numbers with a number; texts cannot be filled, nor by NaN")
    found = [_of_input(function, rows, place, window, stride, number) for place in range(len(rows))]
    return Explanation(
        found if len(rows) > 1 else found[0],
        function([np.full_like(each, number) for each in rows]),
        rows if len(rows) > 1 else rows[0],
        feature_names=names_of(model, x, rows),
        output_names=chosen.names,
        method="occlusion",
    )


def _of_input(
    function: Callable[[Sequence[Array]], DoubleArray],
    rows: list[Array],
    place: int,
    window: int | None,
    stride: int | None,
    fill: float,
) -> DoubleArray:
    """The values of one input, (rows, *row[, units])."""
    shape = rows[place].shape[1:]
    windows = _windows(shape, window, stride)
    whole = function(rows)
    units = whole.shape[1:]
    total = np.zeros((*rows[place].shape, *units))
    covered = np.zeros(shape)
    for each in windows:
        covered[each] += 1
    size = sum(prod(each.shape[1:]) for each in rows)
    most = max(1, NUMBERS // size)  # rows at once
    for start in range(0, len(whole), most):
        part = slice(start, min(start + most, len(whole)))
        some = [each[part] for each in rows]
        count = part.stop - part.start
        together = max(1, most // count)
        for first in range(0, len(windows), together):
            group = windows[first : first + together]
            filled = [np.tile(each, (len(group), *(1,) * (each.ndim - 1))) for each in some]
            at = filled[place].reshape(len(group), count, *shape)
            for number, each in enumerate(group):
                at[(number, slice(None), *each)] = fill
            lost = whole[part] - function(filled).reshape(len(group), count, *units)
            for each, by in zip(group, lost, strict=True):
                spread = by.reshape(count, *(1,) * len(shape), *units)
                total[(part, *each)] += spread
    return np.asarray(total / covered.reshape(*shape, *(1,) * len(units)))


def _windows(shape: Shape, window: int | None, stride: int | None) -> list[tuple[Any, ...]]:
    """All places of the window in a row, along all axes but that of the features or channels."""
    sides = shape[:-1] if len(shape) > 1 else shape
    width = window
    if window is None:
        width = max(1, min(sides) // 8) if len(sides) > 1 else 1
    size = check_count("occlusion: window", width)
    if size > min(sides):
        raise ValueError(f"occlusion: window must be at most {min(sides)}, for rows of shape {shape}, got {size}")
    step = max(1, size // 2) if stride is None else check_count("occlusion: stride", stride, most=size)
    starts = [sorted({*range(0, side - size + 1, step), side - size}) for side in sides]
    return [tuple(slice(start, start + size) for start in each) for each in product(*starts)]

"""Axes of rows as users name them, where axis 0 is that of the rows, and ops that turn and broadcast them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

from fastnn._checks import shown
from fastnn.engine.ops import StridedCopyOp
from fastnn.layers.base import Layer
from fastnn.typing import Shape


def row_axis(layer: Layer, axis: Any, row: Shape) -> int:
    """`axis`, which counts the rows as axis 0, as an axis of a row. ValueError where the row has no such axis."""
    try:
        number: int = operator.index(None if isinstance(axis, bool) else axis)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{type(layer).__name__}: an axis must be a whole number, got {shown(axis)}") from None
    found = number - 1 if number >= 0 else number + len(row)
    if not 0 <= found < len(row):
        raise ValueError(
            f"{type(layer).__name__}: rows of shape {row} have axes 1 to {len(row)} (0 is that of the rows), got "
            f"{shown(number)}"
        )
    return found


def row_axes(layer: Layer, axis: Any, row: Shape) -> tuple[int, ...]:
    """The axes of a row that `axis` names, one or several, in their order in the row. ValueError for others."""
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    found = sorted({row_axis(layer, each, row) for each in given})
    if not given or len(found) < len(given):
        raise ValueError(f"{type(layer).__name__}: axis must name at least one axis and each once, got {shown(axis)}")
    return tuple(found)


def sizes(row: Shape, axes: Sequence[int]) -> Shape:
    """The sizes of these axes of a row."""
    return tuple(row[axis] for axis in axes)


def permute_op(row: Shape, order: Sequence[int]) -> StridedCopyOp:
    """The op that turns rows of this shape so that their axes come in this order."""
    strides = [prod(row[axis + 1 :]) for axis in range(len(row))]
    return StridedCopyOp(prod(row), sizes(row, order), sizes(tuple(strides), order))


def stretch_op(row: Shape, to: Shape) -> StridedCopyOp:
    """The op that broadcasts rows to another shape: axes of size 1, and those that are not there, repeat."""
    strides = [prod(row[axis + 1 :]) if size > 1 else 0 for axis, size in enumerate(row)]
    return StridedCopyOp(prod(row), to, [0] * (len(to) - len(row)) + strides)


def along(row: Shape, axes: Sequence[int], *ops: Any) -> tuple[Any, ...]:
    """Ops that work along the last axes of what they read, made to work along `axes` of rows of this shape."""
    order = [*(axis for axis in range(len(row)) if axis not in axes), *axes]
    if order == sorted(order):
        return ops
    back = sorted(range(len(row)), key=order.__getitem__)
    return (permute_op(row, order), *ops, permute_op(sizes(row, order), back))

"""Tensors as an ONNX graph sees them, over fastnn's, whose rows stand first.

Transpose, Reshape, Squeeze and Unsqueeze change what is seen and move no number: an axis of ONNX is any axes of the
row together, and that of the rows may stand anywhere. Numbers move when a layer needs them in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.layers.arithmetic import part, reshape as as_row
from fastnn.layers.tensor import Tensor
from fastnn.typing import Array, Shape

# The number of rows, where the file leaves it open: a prime above any size of an axis, so that what hangs on it is
# known by division, and one that int32 holds.
ROWS = 2**31 - 19
MIXED = "it mixes numbers of different rows, and fastnn computes each row by itself"
Axes = tuple[int, ...]


class View:
    """A fastnn tensor, and which of its axes each axis of ONNX is made of.

    sizes: of the row's axes, which may be finer than the tensor's. axes: for each axis of ONNX those of the row, the
    outermost first, counted from 1; 0 is that of the rows. rows: how many these are. whole: whether ONNX has the
    numbers as whole ones.
    """

    __slots__ = ("_laid", "axes", "rows", "sizes", "tensor", "whole")

    def __init__(
        self, tensor: Tensor, sizes: Sequence[int], axes: Sequence[Axes], rows: int = ROWS, whole: bool = False
    ) -> None:
        self.tensor, self.sizes, self.axes, self.rows, self.whole = tensor, tuple(sizes), tuple(axes), rows, whole
        self._laid: dict[Any, Tensor] = {}

    def _size(self, axes: Sequence[int]) -> int:
        return prod(self.sizes[axis - 1] if axis else self.rows for axis in axes)

    @property
    def shape(self) -> Shape:
        """Its shape in ONNX, the number of rows included."""
        return tuple(map(self._size, self.axes))

    @property
    def ndim(self) -> int:
        """How many axes it has in ONNX."""
        return len(self.axes)

    @property
    def place(self) -> int:
        """The axis of ONNX that the rows are in."""
        return next(place for place, axes in enumerate(self.axes) if 0 in axes)

    def __str__(self) -> str:
        return told(self.shape)

    def like(self, tensor: Tensor, whole: bool = False) -> View:
        """What a function of each number gave, or one that widened axes: the same axes."""
        sizes = self.sizes if prod(tensor.row) == prod(self.sizes) else tensor.row
        return View(tensor, sizes, self.axes, self.rows, whole)

    def seen(self, axes: Sequence[Axes]) -> View:
        """The same numbers with other axes."""
        return View(self.tensor, self.sizes, axes, self.rows, self.whole)

    # The numbers as a tensor.

    def row(self) -> Tensor:
        """The tensor, with the axes of `sizes`."""
        return self.laid([(axis,) for axis in range(1, len(self.sizes) + 1)])

    def laid(self, groups: Sequence[Axes]) -> Tensor:
        """The tensor with all axes of the row in this order, each group as one axis."""
        order = [axis for axes in groups for axis in axes]
        long = [axis for axis in order if self.sizes[axis - 1] > 1]
        key = (tuple(order) if long != sorted(long) else (), tuple(map(self._size, groups)) or (1,))
        if key not in self._laid:
            tensor = layers.Permute(key[0])(_as_row(self.tensor, self.sizes)) if key[0] else self.tensor
            self._laid[key] = _as_row(tensor, key[1])
        return self._laid[key]

    def last(self, *places: int) -> tuple[Tensor, list[int]]:
        """The tensor with these axes of ONNX at the end of its row, and the axes in front of them."""
        ends = [self.axes[place] for place in places]
        taken = {axis for axes in ends for axis in axes}
        if 0 in taken:
            raise ValueError(MIXED)
        front = [axis for axis in range(1, len(self.sizes) + 1) if axis not in taken]
        return self.laid([*((axis,) for axis in front), *ends]), front

    def after(self, tensor: Tensor, front: Sequence[int], places: Sequence[int], sizes: Sequence[int]) -> View:
        """What a layer made of ``last(*places)``: these axes have other sizes now."""
        number = {0: 0} | {axis: k + 1 for k, axis in enumerate(front)}
        new = {place: (len(front) + 1 + k,) for k, place in enumerate(places)}
        axes = [new.get(k) or tuple(number[axis] for axis in own) for k, own in enumerate(self.axes)]
        return View(tensor, [*(self.sizes[axis - 1] for axis in front), *sizes], axes, self.rows, self.whole)

    def alone(self, place: int) -> tuple[View, int]:
        """The view in which an axis of ONNX is one axis of the row, and which, counted from 0."""
        if 0 not in self.axes[place] and len(self.axes[place]) == 1:
            return self, self.axes[place][0] - 1
        tensor, front = self.last(place)
        return self.after(tensor, front, [place], tensor.row[-1:]), len(front)

    def plain(self) -> View:
        """With the row's axes in ONNX's order, each one axis."""
        place = self.place
        if self.axes[place][0]:
            raise ValueError(MIXED)
        groups = [axes[axes[:1] == (0,) :] for axes in self.axes]
        kept = [axes for k, axes in enumerate(groups) if k != place or axes]
        seen: list[Axes] = [(k + 1,) for k in range(len(kept))]
        seen[place : place + bool(groups[place])] = [(0, *seen[place])] if groups[place] else [(0,)]
        return View(self.laid(kept), tuple(map(self._size, kept)), seen, self.rows, self.whole)

    # As arrays have it.

    def transpose(self, order: Sequence[int]) -> View:
        """With the axes in another order."""
        if sorted(order) != list(range(self.ndim)):
            raise ValueError(f"the axes of {self} have no order {order}")
        return self.seen([self.axes[place] for place in order])

    def reshape(self, shape: Sequence[int]) -> View:
        """With axes of other sizes. ValueError where rows would be mixed."""
        if len(shape) > 31 or prod(shape) != prod(self.shape):
            raise ValueError(f"{self} cannot become {told(shape)}")
        try:
            return _divided(self, shape)
        except ArithmeticError:
            pass
        view = self.plain()
        if view.place == 0:  # what lies one behind the other can be cut anywhere
            row = prod(view.sizes)
            try:
                return _divided(View(_as_row(view.tensor, (row,)), (row,), [(0, 1)], self.rows, self.whole), shape)
            except ArithmeticError:
                pass
        raise ValueError(f"{self} as {told(shape)}: {MIXED}")

    def cut(self, place: int, chosen: slice) -> View:
        """A part of an axis."""
        size = self.shape[place]
        if range(size)[chosen] == range(size):
            return self
        view, axis = self.alone(place)
        sizes = list(view.sizes)
        sizes[axis] = len(range(size)[chosen])
        tensor = part(view.row(), (slice(None), *[slice(None)] * axis, chosen))
        return View(tensor, sizes, view.axes, self.rows, self.whole)

    def aligned(self, array: Array) -> Array | None:
        """An array that ONNX broadcasts to the view's shape, as one that goes with `sizes`; None where it enlarges it.

        ValueError where it has numbers of its own for each row.
        """
        if array.ndim > self.ndim:
            return None
        array = array.reshape((1,) * (self.ndim - array.ndim) + array.shape)
        sizes: list[int] = []
        for place, axes in enumerate(self.axes):
            own = [self.sizes[axis - 1] for axis in axes if axis]
            if array.shape[place] == 1:
                own = [1] * len(own)
            elif array.shape[place] != self._size(axes):
                return None
            elif 0 in axes:
                if len(axes) > 1:
                    raise ValueError(MIXED)
                array = same_rows(array, place)
            sizes += own
        order = [axis for axes in self.axes for axis in axes if axis]
        return array.reshape(sizes).transpose(sorted(range(len(order)), key=order.__getitem__))


def same_rows(array: Array, place: int) -> Array:
    """An array whose axis `place` is the rows', with one of them. ValueError where they differ."""
    if array.shape[place] > 1 and (array != np.take(array, [0], place)).any():
        raise ValueError("it has numbers of its own for each row, of which any number may come")
    return np.take(array, [0], place)


def _divided(view: View, shape: Sequence[int]) -> View:
    """The axes put together and cut into these sizes. ArithmeticError where they cannot be."""
    sizes = list(view.sizes)  # parts of axes are new ones, behind them
    parts: dict[int, list[int]] = {}
    left = [axis for axes in view.axes for axis in axes if axis == 0 or sizes[axis - 1] > 1][::-1]
    found: list[Axes] = []
    for wanted in shape:
        own: list[int] = []
        while wanted > 1 or (left[-1:] == [0] and wanted == view.rows):
            if not left:
                raise ArithmeticError
            axis = left.pop()
            size = sizes[axis - 1] if axis else view.rows
            if wanted % size:
                if axis == 0 or size % wanted:
                    raise ArithmeticError
                sizes += [wanted, size // wanted]
                parts[axis] = [len(sizes) - 1, len(sizes)]
                axis, size = len(sizes) - 1, wanted
                left.append(len(sizes))
            own.append(axis)
            wanted //= size
        found.append(tuple(own))
    if left == [0] and view.rows == 1:  # one row, whose axis was squeezed
        found, left = [(0, *sum(found[:1], ())), *found[1:]], []
    if left:
        raise ArithmeticError

    def flat(axis: int) -> list[int]:
        return [each for part in parts[axis] for each in flat(part)] if axis in parts else [axis]

    order = [each for axis in range(1, len(view.sizes) + 1) for each in flat(axis) if sizes[each - 1] > 1]
    number = {0: 0} | {axis: k + 1 for k, axis in enumerate(order)}
    axes = [tuple(number[axis] for axis in own) for own in found]
    return View(view.tensor, [sizes[axis - 1] for axis in order], axes, view.rows, view.whole)


def beside(views: Sequence[View], along: int | None = None) -> tuple[list[Tensor], View]:
    """Views that are broadcast to each other as tensors of one order of axes, and a view that has this order.

    along: an axis of ONNX in which their sizes may differ; it is one axis of the row.
    """
    ndim = max(view.ndim for view in views)
    views = [view.seen([*[()] * (ndim - view.ndim), *view.axes]) for view in views]
    if along is not None:
        views = [view.alone(along)[0] for view in views]
    first = views[0]
    skip = None if along is None else first.axes[along][0] - 1
    known = [(view.axes, [size for axis, size in enumerate(view.sizes) if axis != skip]) for view in views]
    if any(each != known[0] for each in known):
        views = [view.plain() for view in views]
        first = views[0]
        if any(len(view.sizes) != len(first.sizes) or view.place != first.place for view in views):
            raise ValueError(MIXED)
    return [view.row() for view in views], first


def _as_row(tensor: Tensor, row: Sequence[int]) -> Tensor:
    return tensor if tensor.row == tuple(row) else as_row(tensor, tuple(row))


def told(shape: Sequence[int]) -> str:
    """A shape as errors tell it."""
    return (
        f"({', '.join('rows' if n == ROWS else f'{n // ROWS} rows' if n and n % ROWS == 0 else str(n) for n in shape)})"
    )

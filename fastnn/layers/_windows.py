"""What layers on pictures of one, two and three axes have in common: sizes by axis, borders, where the channels are.

The engine's pictures have three axes; those of fewer have axes of 1 before their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastnn._checks import check_choice, check_count, shown
from fastnn.engine.ops import PadOp
from fastnn.layers._axes import permute_op
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import Layer
from fastnn.typing import DoubleArray, Shape

FORMATS = ("channels_last", "channels_first")


def sizes_of(layer: Any, name: str, rank: int, least: int = 1) -> Shape:
    """The layer's field as a whole number for each of `rank` axes: one for all, or as many. ValueError for others."""
    given = getattr(layer, name)
    each = tuple(given) if isinstance(given, (tuple, list)) else (given,) * rank
    try:
        if len(each) == rank:
            return tuple(check_count(name, size, least) for size in each)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"{type(layer).__name__}: {name} must be a whole number of at least {least}, or {rank} of them, got "
        f"{shown(given)} (The `{name}` argument must be a tuple of {rank} integers)"
    )


def in_three(sizes: Sequence[int], fill: int) -> Shape:
    """Sizes of fewer axes as those of three."""
    return (*(fill for _ in range(3 - len(sizes))), *sizes)


def same_border(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Cells before and after an axis, so that windows of `reach` cells have ceil(size / stride) places."""
    places = -(-size // stride)
    total = max((places - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def padded(x: DoubleArray, border: Sequence[tuple[int, int]]) -> DoubleArray:
    """Pictures with zeros around them."""
    return np.pad(x, [(0, 0), *border, (0, 0)])


class Spatial(Layer):
    """A layer on rows (*sizes, channels), or (channels, *sizes) where `data_format` is "channels_first"."""

    axes: ClassVar[int]  # of a picture
    data_format: Any = None

    def _check(self) -> None:
        """Check `data_format` and `input_shape`."""
        if "data_format" in type(self).__dataclass_fields__:
            if self.data_format is None:
                self._set("data_format", "channels_last")
            check_choice(self, "data_format", *FORMATS, also="The `data_format` argument must be one of")
        own_input_shape(self)

    @property
    def _first(self) -> bool:
        return bool(self.data_format == "channels_first")

    def _picture(self, row: Shape) -> tuple[Shape, int]:
        """Sizes and channels of a row. ValueError where it has another number of axes."""
        if len(row) != self.axes + 1:
            order = ("steps", "height, width", "depth, height, width")[self.axes - 1]
            order = f"channels, {order}" if self._first else f"{order}, channels"
            raise ValueError(
                f"{type(self).__name__} expects rows of {self.axes + 1} axes, ({order}), got rows of shape {row}; "
                "Reshape makes them"
            )
        return (row[1:], row[0]) if self._first else (row[:-1], row[-1])

    def _shaped(self, sizes: Sequence[int], channels: int) -> Shape:
        """The row of a picture."""
        return (channels, *sizes) if self._first else (*sizes, channels)

    def _to_last(self, row: Shape) -> tuple[Any, ...]:
        """The op that brings the channels to the end, where they are not."""
        return (permute_op(row, [*range(1, len(row)), 0]),) if self._first else ()

    def _from_last(self, sizes: Sequence[int], channels: int) -> tuple[Any, ...]:
        """The op that brings them back."""
        row = (*sizes, channels)
        return (permute_op(row, [self.axes, *range(self.axes)]),) if self._first else ()

    def _seen(self, x: DoubleArray) -> DoubleArray:
        """Rows with the channels at the end."""
        return np.moveaxis(x, 1, -1) if self._first else x

    def _as_given(self, x: DoubleArray) -> DoubleArray:
        return np.moveaxis(x, -1, 1) if self._first else x


def pad_ops(sizes: Shape, channels: int, border: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
    """The op that puts zeros around a picture, where there is a border."""
    if not any(map(any, border)):
        return ()
    before, after = ([each[k] for each in border] for k in (0, 1))
    return (PadOp(in_three(sizes, 1), channels, in_three(before, 0), in_three(after, 0)),)

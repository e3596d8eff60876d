"""What layers on pictures have in common that change them by chance or bring them to a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._checks import as_number, check_choice, shown
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import Layer, check_seed
from fastnn.typing import DoubleArray, Shape

FLOAT32_MAX = float(np.finfo(np.float32).max)
AS_IT_IS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the map of a picture that stays where it is


class Pictures(Layer):
    """A layer on rows (height, width, channels), or (channels, height, width)."""

    data_format: Any = None
    seed: Any = None

    def __post_init__(self) -> None:
        check_choice(self, "data_format", None, "channels_last", "channels_first")
        check_seed(self)
        own_input_shape(self)

    @property
    def first(self) -> bool:
        return bool(self.data_format == "channels_first")

    def sizes(self, row: Shape) -> tuple[int, int, int]:
        """Height, width and channels of a row. ValueError where it is no picture."""
        if len(row) != 3:
            order = "channels, height, width" if self.first else "height, width, channels"
            raise ValueError(
                f"{type(self).__name__} expects pictures, rows of 3 axes ({order}), got rows of shape {row}; Reshape "
                "makes them"
            )
        return (row[1], row[2], row[0]) if self.first else (row[0], row[1], row[2])

    def output_shape(self, input_shape: Shape) -> Shape:
        self.sizes(input_shape)
        return input_shape

    def range_of(self, name: str, low: float, high: float, open_low: bool = False) -> tuple[float, float]:
        """A field that is one number, for -number to number, or the two ends, as these ends. ValueError for others."""
        given, kind = getattr(self, name), type(self).__name__
        ends = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        numbers = [as_number(f"{kind}: {name}", end) for end in ends]
        if len(numbers) not in (1, 2) or not all((low < n if open_low else low <= n) and n <= high for n in numbers):
            raise ValueError(
                f"{kind}: {name} must be a number (or a list of two numbers) in the range [{low:g}, {high:g}], got "
                f"{shown(given)}"
            )
        return (-abs(numbers[0]), abs(numbers[0])) if len(numbers) == 1 else (min(numbers), max(numbers))

    def seen(self, x: DoubleArray) -> DoubleArray:
        """Rows with the channels at the end."""
        return np.moveaxis(x, 1, -1) if self.first else x

    def as_given(self, x: DoubleArray) -> DoubleArray:
        """Rows whose channels are at the end as the layer gives them."""
        return np.moveaxis(x, -1, 1) if self.first else x


def moved(
    x: DoubleArray, affine: Sequence[float], nearest: bool, fill_mode: str, fill_value: float = 0.0
) -> DoubleArray:
    """Pictures, (rows, height, width, channels), by an affine map of places, in float64."""
    height, width = x.shape[1:3]
    lines, columns = np.indices((height, width), float)
    a0, a1, a2, b0, b1, b2 = affine
    u, v = a0 * columns + a1 * lines + a2, b0 * columns + b1 * lines + b2

    def at(line: Any, column: Any) -> Any:
        inside = (line >= 0) & (line < height) & (column >= 0) & (column < width)
        places = _inside(line.astype(int), height, fill_mode), _inside(column.astype(int), width, fill_mode)
        found = x[:, places[0], places[1]]
        return found if fill_mode != "constant" else np.where(inside[..., None], found, fill_value)

    if nearest:
        return np.asarray(at(*(np.copysign(np.floor(np.abs(each) + 0.5), each) for each in (v, u))))
    top, left = np.floor(v), np.floor(u)
    down, right = (v - top)[..., None], (u - left)[..., None]
    above = at(top, left) * (1 - right) + at(top, left + 1) * right
    below = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return np.asarray(above * (1 - down) + below * down)


def _inside(places: Any, n: int, fill_mode: str) -> Any:
    if fill_mode == "wrap":
        return places % n
    if fill_mode == "reflect":
        places = places % (2 * n)
        return np.where(places < n, places, 2 * n - 1 - places)
    return places.clip(0, n - 1)

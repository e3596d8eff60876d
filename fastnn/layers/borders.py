"""Layers that make pictures larger or smaller: ZeroPadding, Cropping, UpSampling."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_choice, check_count, shown
from fastnn._pictures import resized
from fastnn.engine.ops import PictureOp, StridedCopyOp
from fastnn.layers._windows import Spatial, pad_ops, padded, sizes_of
from fastnn.layers.base import LAYERS
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


def _borders(layer: Any, name: str) -> Any:
    """The layer's field as (before, after) for each axis; of one axis the pair itself."""
    given = getattr(layer, name)
    try:
        if layer.axes == 1:
            return _pair(given)
        each = tuple(given) if isinstance(given, (tuple, list)) else (given,) * layer.axes
        if len(each) == layer.axes:
            return tuple(_pair(border) for border in each)
    except (TypeError, ValueError):
        pass
    several = "" if layer.axes == 1 else f", {layer.axes} of them, or {layer.axes} pairs"
    words = {1: "a tuple of 2 integers", 2: "have two elements", 3: "have 3 elements"}[layer.axes]
    pair = " or a pair (before, after)" if layer.axes == 1 else ""
    raise ValueError(
        f"{type(layer).__name__}: {name} must be a whole number of at least 0{pair}{several}, got {shown(given)} ("
        f"`{name}` should {'be ' if layer.axes == 1 else ''}{words})"
    )


def _pair(border: Any) -> tuple[int, int]:
    before, after = border if isinstance(border, (tuple, list)) else (border, border)
    return check_count("before", before, 0), check_count("after", after, 0)


class _Bordered(Spatial):
    """A layer with a border for each axis."""

    def _pairs(self, name: str) -> list[tuple[int, int]]:
        given = getattr(self, name)
        return [given] if self.axes == 1 else list(given)


@dataclass(frozen=True, eq=False, repr=False)
class _ZeroPadding(_Bordered):
    padding: Any = 1
    data_format: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("padding", _borders(self, "padding"))
        self._check()

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        return self._shaped([n + sum(b) for n, b in zip(sizes, self._pairs("padding"), strict=True)], channels)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        ops = pad_ops(sizes, channels, self._pairs("padding"))
        if not ops:
            return ()
        given = self._picture(self.output_shape(input_shape))
        return (*self._to_last(input_shape), *ops, *self._from_last(*given))

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return self._as_given(padded(self._seen(x), self._pairs("padding")))


@LAYERS.add("zero_padding1d", "ZeroPadding1D")
@dataclass(frozen=True, eq=False, repr=False)
class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps. (steps, channels) -> (before + steps + after, channels).

    padding: a whole number for both ends, or (before, after). data_format: "channels_last", "channels_first".
    """

    axes = 1


@LAYERS.add("zero_padding2d", "ZeroPadding2D")
@dataclass(frozen=True, eq=False, repr=False)
class ZeroPadding2D(_ZeroPadding):
    """Zeros around a picture. (height, width, channels) -> the same with the border.

    padding: a whole number for all sides, (height, width), or ((top, bottom), (left, right)). data_format:
    "channels_last", "channels_first".
    """

    axes = 2
    padding: Any = (1, 1)


@LAYERS.add("zero_padding3d", "ZeroPadding3D")
@dataclass(frozen=True, eq=False, repr=False)
class ZeroPadding3D(_ZeroPadding):
    """ZeroPadding2D with an axis more. (depth, height, width, channels) -> the same with the border."""

    axes = 3
    padding: Any = ((1, 1), (1, 1), (1, 1))


class _Cropping(_Bordered):
    cropping: Any

    def __post_init__(self) -> None:
        self._set("cropping", _borders(self, "cropping"))
        self._check()

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        given = [n - sum(b) for n, b in zip(sizes, self._pairs("cropping"), strict=True)]
        if min(given) < 1:
            raise ValueError(
                f"{type(self).__name__}: cropping {self.cropping} leaves nothing of a picture of {sizes} (Values in "
                "`cropping` argument should be smaller than the corresponding spatial dimension of the input)"
            )
        return self._shaped(given, channels)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        given = self.output_shape(input_shape)
        strides = [prod(input_shape[axis + 1 :]) for axis in range(len(input_shape))]
        before = self._shaped([first for first, _ in self._pairs("cropping")], 0)
        return (
            StridedCopyOp(prod(input_shape), given, strides, sum(n * s for n, s in zip(before, strides, strict=True))),
        )

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        x = self._seen(x)
        pairs = zip(x.shape[1:-1], self._pairs("cropping"), strict=True)
        return self._as_given(x[(slice(None), *(slice(first, n - last) for n, (first, last) in pairs))])


@LAYERS.add("cropping1d", "Cropping1D")
@dataclass(frozen=True, eq=False, repr=False)
class Cropping1D(_Cropping):
    """The steps without some at both ends. (steps, channels) -> (steps - before - after, channels).

    cropping: a whole number for both ends, or (before, after).
    """

    cropping: Any = (1, 1)
    name: str | None = None
    input_shape: Any = None
    axes = 1


@LAYERS.add("cropping2d", "Cropping2D")
@dataclass(frozen=True, eq=False, repr=False)
class Cropping2D(_Cropping):
    """A picture without its border. (height, width, channels) -> the same with fewer pixels.

    cropping, data_format: as the padding and data_format of ZeroPadding2D.
    """

    cropping: Any = ((0, 0), (0, 0))
    data_format: Any = None
    name: str | None = None
    input_shape: Any = None
    axes = 2


@LAYERS.add("cropping3d", "Cropping3D")
@dataclass(frozen=True, eq=False, repr=False)
class Cropping3D(_Cropping):
    """Cropping2D with an axis more. (depth, height, width, channels) -> the same with fewer."""

    cropping: Any = ((1, 1), (1, 1), (1, 1))
    data_format: Any = None
    name: str | None = None
    input_shape: Any = None
    axes = 3


class _UpSampling(Spatial):
    """Each cell as many times as `size` says, along each axis."""

    size: Any

    def _times(self) -> Shape:
        return (self.size,) if self.axes == 1 else tuple(self.size)

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        return self._shaped([n * k for n, k in zip(sizes, self._times(), strict=True)], channels)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        times = self._shaped(self._times(), 1)
        shape, strides = [], []
        for axis, (size, n) in enumerate(zip(input_shape, times, strict=True)):
            shape += [size, n]
            strides += [prod(input_shape[axis + 1 :]), 0]
        return (StridedCopyOp(prod(input_shape), shape, strides),)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        for axis, n in enumerate(self._shaped(self._times(), 1)):
            x = np.repeat(x, n, axis + 1)
        return x


@LAYERS.add("up_sampling1d", "UpSampling1D")
@dataclass(frozen=True, eq=False, repr=False)
class UpSampling1D(_UpSampling):
    """Each step `size` times. (steps, channels) -> (steps * size, channels)."""

    size: int = 2
    name: str | None = None
    input_shape: Any = None
    axes = 1

    def __post_init__(self) -> None:
        also = "Expected an integer value for `size`, which should be a positive integer"
        self._set("size", check_count("UpSampling1D: size", self.size, also=also))
        self._check()


@LAYERS.add("up_sampling2d", "UpSampling2D")
@dataclass(frozen=True, eq=False, repr=False)
class UpSampling2D(_UpSampling):
    """Each pixel as a block of `size` of them. (height, width, channels) -> (height * size, width * size, channels).

    size: a whole number, or (height, width). data_format: "channels_last", "channels_first". interpolation: "nearest",
    or "bilinear", between the middles of pixels.
    """

    size: Any = (2, 2)
    data_format: Any = None
    interpolation: str = "nearest"
    name: str | None = None
    input_shape: Any = None
    axes = 2

    def __post_init__(self) -> None:
        self._set("size", sizes_of(self, "size", self.axes))
        check_choice(self, "interpolation", "nearest", "bilinear", also="bicubic and the others are not there")
        self._check()

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        if self.interpolation == "nearest":
            return super().ops(input_shape)
        (height, width), channels = self._picture(input_shape)
        down, right = self._times()
        base = (1 / right, 0.0, 0.5 / right - 0.5, 0.0, 1 / down, 0.5 / down - 0.5)
        window = (0, height - 1, 0, width - 1)
        sizes, given = (height, width, channels), (height * down, width * right, channels)
        return (PictureOp(sizes, given, base, window=window, channels_first=self._first),)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        if self.interpolation == "nearest":
            return super().reference(x)
        x, times = self._seen(x), self._times()
        size = (x.shape[1] * times[0], x.shape[2] * times[1])
        return self._as_given(np.stack([resized(each, size, dtype=np.float64) for each in x]))


@LAYERS.add("up_sampling3d", "UpSampling3D")
@dataclass(frozen=True, eq=False, repr=False)
class UpSampling3D(_UpSampling):
    """UpSampling2D with an axis more. (depth, height, width, channels) -> each axis times its size."""

    size: Any = (2, 2, 2)
    data_format: Any = None
    name: str | None = None
    input_shape: Any = None
    axes = 3

    def __post_init__(self) -> None:
        self._set("size", sizes_of(self, "size", self.axes))
        self._check()


_names.offer(globals())

"""Pooling: the largest or the mean of windows over a picture, or of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import _names, kernels
from fastnn._checks import check_choice, check_flag
from fastnn.engine.ops import MaskedOp, PoolOp
from fastnn.layers._windows import Spatial, in_three, same_border, sizes_of
from fastnn.layers.base import LAYERS
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


@dataclass(frozen=True, eq=False, repr=False)
class _Pooling(Spatial):
    largest: ClassVar[bool]
    pool_size: Any
    strides: Any = None
    padding: Any = "valid"
    data_format: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("pool_size", sizes_of(self, "pool_size", self.axes))
        self._set("strides", self.pool_size if self.strides is None else sizes_of(self, "strides", self.axes))
        if isinstance(self.padding, str):
            self._set("padding", self.padding.lower())
        check_choice(self, "padding", "valid", "same")
        self._check()

    def _border(self, sizes: Shape) -> list[tuple[int, int]]:
        """Cells before and after each axis that windows reach, and that do not count."""
        if self.padding == "valid":
            return [(0, 0)] * self.axes
        return [same_border(*each) for each in zip(sizes, self.pool_size, self.strides, strict=True)]

    def _places(self, sizes: Shape) -> Shape:
        parts = zip(sizes, self._border(sizes), self.pool_size, self.strides, strict=True)
        given = tuple((n + sum(border) - k) // s + 1 for n, border, k, s in parts)
        if min(given) < 1:
            raise ValueError(
                f"{type(self).__name__}: a window of {self.pool_size} has no place in a picture of {sizes}; make it "
                'smaller, or padding "same" (Computed output size would be zero or negative)'
            )
        return given

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        return self._shaped(self._places(sizes), channels)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        before, after = ([each[k] for each in self._border(sizes)] for k in (0, 1))
        op = _op(self, sizes, self.pool_size, self.strides, channels, in_three(before, 0), in_three(after, 0))
        return (*self._to_last(input_shape), op, *self._from_last(self._places(sizes), channels))

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        x = self._seen(x)
        sizes = x.shape[1:-1]
        border, given = self._border(sizes), self._places(sizes)
        a = np.empty((len(x), *given, x.shape[-1]))
        for place in np.ndindex(*given):
            starts = [t * s - first for t, s, (first, _) in zip(place, self.strides, border, strict=True)]
            ends = [start + k for start, k in zip(starts, self.pool_size, strict=True)]
            window = x[(slice(None), *(slice(max(start, 0), end) for start, end in zip(starts, ends, strict=True)))]
            a[(slice(None), *place)] = _of_all(self, window)
        return self._as_given(a)


def _op(layer: Any, sizes: Shape, pool: Shape, strides: Shape, channels: int, *border: Any) -> PoolOp:
    kernel = kernels.max_pool if layer.largest else kernels.average_pool
    return PoolOp(kernel, in_three(sizes, 1), in_three(pool, 1), in_three(strides, 1), channels, *border)


def _of_all(layer: Any, x: DoubleArray) -> DoubleArray:
    """The largest or the mean over all axes but the first and the last."""
    axes = tuple(range(1, x.ndim - 1))
    return np.asarray(x.max(axes) if layer.largest else x.mean(axes))


class _MaxPooling(_Pooling):
    largest = True


class _AveragePooling(_Pooling):
    largest = False


@dataclass(frozen=True, eq=False, repr=False)
class _Global(Spatial):
    largest: ClassVar[bool]
    data_format: Any = None
    keepdims: bool = False
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_flag(self, "keepdims")
        self._set("keepdims", bool(self.keepdims))
        self._check()

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes, channels = self._picture(input_shape)
        return self._shaped([1] * len(sizes), channels) if self.keepdims else (channels,)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes, channels = self._picture(input_shape)
        return (*self._to_last(input_shape), _op(self, sizes, sizes, sizes, channels))

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return _of_all(self, self._seen(x)).reshape(len(x), *self.output_shape(x.shape[1:]))


class _GlobalMax(_Global):
    largest = True


class _GlobalAverage(_Global):
    largest = False


@LAYERS.add("max_pooling1d", "MaxPooling1D", "MaxPool1D")
@dataclass(frozen=True, eq=False, repr=False)
class MaxPooling1D(_MaxPooling):
    """The largest of each window of steps, for each channel. (steps, channels) -> (places, channels).

    pool_size: steps of a window. strides: from one to the next; None: pool_size. padding: "valid", which leaves out
    what fills no window, or "same": ceil(steps / stride) places, whose windows may reach beyond the ends.
    data_format: "channels_last", "channels_first". Of equal largest ones the first has the slope; a NaN is the largest.
    """

    axes = 1
    pool_size: Any = 2


@LAYERS.add("max_pooling2d", "MaxPooling2D", "MaxPool2D")
@dataclass(frozen=True, eq=False, repr=False)
class MaxPooling2D(_MaxPooling):
    """The largest of each window. (height, width, channels) -> (places down, places across, channels).

    pool_size, strides: a whole number, or one for each axis. The rest: as MaxPooling1D's.
    """

    axes = 2
    pool_size: Any = (2, 2)


@LAYERS.add("max_pooling3d", "MaxPooling3D", "MaxPool3D")
@dataclass(frozen=True, eq=False, repr=False)
class MaxPooling3D(_MaxPooling):
    """MaxPooling2D with an axis more. (depth, height, width, channels) -> (places along each, channels)."""

    axes = 3
    pool_size: Any = (2, 2, 2)


@LAYERS.add("average_pooling1d", "AveragePooling1D", "AvgPool1D")
@dataclass(frozen=True, eq=False, repr=False)
class AveragePooling1D(_AveragePooling):
    """The mean of each window of steps, for each channel. (steps, channels) -> (places, channels).

    Arguments: as MaxPooling1D's. With padding "same" the mean is that of the steps that are there.
    """

    axes = 1


@LAYERS.add("average_pooling2d", "AveragePooling2D", "AvgPool2D")
@dataclass(frozen=True, eq=False, repr=False)
class AveragePooling2D(_AveragePooling):
    """The mean of each window. (height, width, channels) -> (places down, places across, channels).

    Arguments: as MaxPooling2D's. With padding "same" the mean is that of the pixels that are there.
    """

    axes = 2


@LAYERS.add("average_pooling3d", "AveragePooling3D", "AvgPool3D")
@dataclass(frozen=True, eq=False, repr=False)
class AveragePooling3D(_AveragePooling):
    """AveragePooling2D with an axis more. (depth, height, width, channels) -> (places along each, channels)."""

    axes = 3


@LAYERS.add("global_max_pooling1d", "GlobalMaxPooling1D", "GlobalMaxPool1D")
@dataclass(frozen=True, eq=False, repr=False)
class GlobalMaxPooling1D(_GlobalMax):
    """The largest of all steps, for each channel. (steps, channels) -> (channels,); keepdims: (1, channels).

    data_format: "channels_last", "channels_first".
    """

    axes = 1


@LAYERS.add("global_max_pooling2d", "GlobalMaxPooling2D", "GlobalMaxPool2D")
@dataclass(frozen=True, eq=False, repr=False)
class GlobalMaxPooling2D(_GlobalMax):
    """The largest of all pixels, for each channel. (height, width, channels) -> (channels,).

    keepdims: (1, 1, channels). data_format: "channels_last", "channels_first".
    """

    axes = 2


@LAYERS.add("global_max_pooling3d", "GlobalMaxPooling3D", "GlobalMaxPool3D")
@dataclass(frozen=True, eq=False, repr=False)
class GlobalMaxPooling3D(_GlobalMax):
    """GlobalMaxPooling2D with an axis more. (depth, height, width, channels) -> (channels,)."""

    axes = 3


@LAYERS.add("global_average_pooling1d", "GlobalAveragePooling1D", "GlobalAvgPool1D")
@dataclass(frozen=True, eq=False, repr=False)
class GlobalAveragePooling1D(_GlobalAverage):
    """The mean of all steps, for each channel. (steps, channels) -> (channels,); keepdims: (1, channels).

    data_format: "channels_last", "channels_first". Of steps with a mask it is the mean of those that count, 0 where
    none does.
    """

    passes_mask = reads_mask = True
    axes = 1

    def mask_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> None:
        """None: the steps end here."""
        return None

    def masked_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...]:
        (steps,), channels = self._picture(rows[0])
        turned = self._to_last(rows[0])
        return (*turned, (MaskedOp(steps, channels, True), (0 if turned else -1, -2)))


@LAYERS.add("global_average_pooling2d", "GlobalAveragePooling2D", "GlobalAvgPool2D")
@dataclass(frozen=True, eq=False, repr=False)
class GlobalAveragePooling2D(_GlobalAverage):
    """The mean of all pixels, for each channel. (height, width, channels) -> (channels,).

    keepdims: (1, 1, channels). data_format: "channels_last", "channels_first". Source: Lin et al. 2013.
    """

    axes = 2


@LAYERS.add("global_average_pooling3d", "GlobalAveragePooling3D", "GlobalAvgPool3D")
@dataclass(frozen=True, eq=False, repr=False)
class GlobalAveragePooling3D(_GlobalAverage):
    """GlobalAveragePooling2D with an axis more. (depth, height, width, channels) -> (channels,)."""

    axes = 3


# Keras's other names.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D

_names.offer(globals())

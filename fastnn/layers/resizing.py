"""Layers that bring pictures to a size: Resizing, CenterCrop, RandomCrop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_flag, check_choice, check_number
from fastnn._pictures import resized
from fastnn.engine.ops import PictureOp
from fastnn.layers._fields import size_of
from fastnn.layers._pictures import AS_IT_IS, FLOAT32_MAX, Pictures
from fastnn.layers.base import LAYERS
from fastnn.typing import DoubleArray, Shape

__all__ = ["CenterCrop", "RandomCrop", "Resizing"]


class _Sized(Pictures):
    """A picture of `height` and `width`, whatever it had."""

    height: int
    width: int
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        for size in ("height", "width"):
            self._set(size, size_of(self, size))
        super().__post_init__()

    def output_shape(self, input_shape: Shape) -> Shape:
        channels = self.sizes(input_shape)[2]
        return (channels, self.height, self.width) if self.first else (self.height, self.width, channels)

    def part(self, height: int, width: int) -> tuple[float, float, float, float]:
        """First line, first column, height and width of the part that is resized; it may lie beyond the picture."""
        raise NotImplementedError

    def _cropped(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The largest part in the middle that has the proportions of the result."""
        tall = max(min(height, int(float(width * self.height) / self.width)), 1)
        wide = max(min(width, int(float(height * self.width) / self.height)), 1)
        return int(float(height - tall) / 2), int(float(width - wide) / 2), tall, wide

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes = self.sizes(input_shape)
        top, left, tall, wide = self.part(*sizes[:2])
        down, right = tall / self.height, wide / self.width
        base = (right, 0.0, left + 0.5 * right - 0.5, 0.0, down, top + 0.5 * down - 0.5)
        window = (top, top + tall - 1, left, left + wide - 1)
        nearest = self.interpolation == "nearest"
        given = (self.height, self.width, sizes[2])
        return (
            PictureOp(
                sizes,
                given,
                base,
                nearest=nearest,
                value=self.fill_value,
                window=window,
                channels_first=self.first,
            ),
        )

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        x = self.seen(x)
        top, left, tall, wide = (int(each) for each in self.part(*x.shape[1:3]))
        around = ((max(-top, 0), max(top + tall - x.shape[1], 0)), (max(-left, 0), max(left + wide - x.shape[2], 0)))
        x = np.pad(x, ((0, 0), *around, (0, 0)), constant_values=self.fill_value)
        top, left = max(top, 0), max(left, 0)
        parts = x[:, top : top + tall, left : left + wide]
        size = self.height, self.width
        found = np.stack([resized(each, size, self.interpolation, dtype=np.float64) for each in parts])
        return self.as_given(found)


@LAYERS.add("resizing")
@dataclass(frozen=True, eq=False, repr=False)
class Resizing(_Sized):
    """A picture with another height and width, without smoothing before. (h, w, channels) -> (height, width, channels).

    interpolation: "bilinear" or "nearest". crop_to_aspect_ratio: cut out the middle that has the proportions of the
    result; pad_to_aspect_ratio: put `fill_value` around. fill_mode: "constant". antialias: False.
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        also = "bicubic and the others are of image_dataset_from_directory"
        check_choice(self, "interpolation", "bilinear", "nearest", also=also)
        check_choice(self, "fill_mode", "constant")
        check_number(self, "fill_value", -FLOAT32_MAX)
        if as_flag("Resizing: antialias", self.antialias):
            raise ValueError("Resizing: antialias must be False; AveragePooling2D before it smooths")
        if as_flag("crop", self.crop_to_aspect_ratio) and as_flag("pad", self.pad_to_aspect_ratio):
            raise ValueError("Resizing: only one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio` can be True")
        super().__post_init__()

    def part(self, height: int, width: int) -> tuple[float, float, float, float]:
        if self.crop_to_aspect_ratio:
            return self._cropped(height, width)
        if self.pad_to_aspect_ratio:
            tall = int(float(max(height, int(float(width * self.height) / self.width)) - height) / 2)
            wide = int(float(max(width, int(float(height * self.width) / self.height)) - width) / 2)
            wide = 0 if tall else wide
            return -tall, -wide, height + 2 * tall, width + 2 * wide
        return 0, 0, height, width


@LAYERS.add("center_crop")
@dataclass(frozen=True, eq=False, repr=False)
class CenterCrop(_Sized):
    """The middle of a picture, (h, w, channels) -> (height, width, channels).

    Where the picture is smaller, its largest part of those proportions is resized, bilinearly.
    """

    height: int
    width: int
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def part(self, height: int, width: int) -> tuple[float, float, float, float]:
        if height < self.height or width < self.width:
            return self._cropped(height, width)
        return (height - self.height) // 2, (width - self.width) // 2, self.height, self.width


@LAYERS.add("random_crop")
@dataclass(frozen=True, eq=False, repr=False)
class RandomCrop(CenterCrop):
    """While training a part of each picture, from a place that is drawn; the middle otherwise.

    (h, w, channels) -> (height, width, channels); where the picture is not larger both ways, as CenterCrop does it.
    seed: as RandomFlip's.
    """

    height: int
    width: int
    seed: int | None = None
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        height, width, channels = self.sizes(input_shape)
        if height < self.height or width < self.width:
            return super().ops(input_shape)
        op = PictureOp(
            (height, width, channels),
            (self.height, self.width, channels),
            AS_IT_IS,
            "crop",
            (0.0, 0.0),
            (height - self.height + 1, width - self.width + 1),
            nearest=True,
            channels_first=self.first,
            seed=self.seed,
        )
        return (op,)


_names.offer(globals())

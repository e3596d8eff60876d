"""Layers that change pictures by chance while training: where their pixels are, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_choice, check_number, shown
from fastnn.engine.ops import ContrastOp, PictureOp
from fastnn.layers._pictures import AS_IT_IS, FLOAT32_MAX, Pictures, moved
from fastnn.layers.base import LAYERS
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
]

FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class _Moved(Pictures):
    """A picture of which chance moves the places of pixels."""

    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        self._factors()
        check_choice(self, "fill_mode", *FILL_MODES)
        check_choice(self, "interpolation", "bilinear", "nearest")
        check_number(self, "fill_value", -FLOAT32_MAX)
        super().__post_init__()

    def _factors(self) -> tuple[Any, Any]:
        """The two ends of what is drawn for lines, and for columns. TypeError, ValueError for what cannot be."""
        raise NotImplementedError

    def _op(self, input_shape: Shape, drawn: str, lines: Any, columns: Any, shared: bool = False) -> tuple[Any, ...]:
        """The op that draws numbers between two ends, for lines and columns."""
        sizes = self.sizes(input_shape)
        low, high = zip(lines, columns, strict=True)
        op = PictureOp(
            sizes,
            sizes,
            AS_IT_IS,
            drawn,
            low,
            high,
            shared,
            self.interpolation == "nearest",
            self.fill_mode,
            self.fill_value,
            None,
            self.first,
            self.seed,
        )
        return (op,)

    def _reference(self, x: DoubleArray, affine: Sequence[float]) -> DoubleArray:
        """What training makes of x by an affine map of places, in float64."""
        nearest = self.interpolation == "nearest"
        return self.as_given(moved(self.seen(x), affine, nearest, self.fill_mode, self.fill_value))


@LAYERS.add("random_flip")
@dataclass(frozen=True, eq=False, repr=False)
class RandomFlip(Pictures):
    """While training half of the pictures mirrored, as chance says. (height, width, channels) -> the same.

    mode: "horizontal", "vertical" or "horizontal_and_vertical", which turns such a picture by half. seed: numbers of
    the layer's own; None: of the model's. Otherwise x.
    """

    mode: str = "horizontal_and_vertical"
    seed: int | None = None
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_choice(self, "mode", "horizontal_and_vertical", "horizontal", "vertical")
        super().__post_init__()

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        sizes = self.sizes(input_shape)
        axes = float("vertical" in self.mode), float("horizontal" in self.mode)
        return (
            PictureOp(
                sizes, sizes, AS_IT_IS, "flip", axes, axes, nearest=True, channels_first=self.first, seed=self.seed
            ),
        )

    def reference(self, x: DoubleArray, mirrored: Any) -> DoubleArray:
        """What training makes of x where `mirrored` says which pictures are."""
        first = 2 if self.first else 1
        axes = (*[first] * ("vertical" in self.mode), *[first + 1] * ("horizontal" in self.mode))
        return np.where(np.reshape(mirrored, (-1, 1, 1, 1)), np.flip(x, axes), x)


@LAYERS.add("random_rotation")
@dataclass(frozen=True, eq=False, repr=False)
class RandomRotation(_Moved):
    """While training each picture turned around its middle, by an angle between two. Otherwise x.

    (height, width, channels) -> the same. factor: parts of a whole turn, (from, to), or one number for -factor to
    factor; above 0 is against the clock. fill_mode: what lies beyond the picture, "reflect" (c b a | a b c | c b a),
    "wrap" (a b c | a b c | a b c), "nearest" (a a a | a b c | c c c) or "constant", fill_value. interpolation:
    "bilinear" or "nearest". seed: as RandomFlip's.
    """

    factor: Any
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def _factors(self) -> tuple[Any, Any]:
        return self.range_of("factor", -1, 1), (0.0, 0.0)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return self._op(input_shape, "rotation", *self._factors())

    def reference(self, x: DoubleArray) -> DoubleArray:
        """What training makes of x where the two ends of each factor are the same, in float64."""
        height, width, _ = self.sizes(x.shape[1:])
        angle, y, x0 = 2 * np.pi * self._factors()[0][0], (height - 1) / 2, (width - 1) / 2
        cos, sin = np.cos(angle), np.sin(angle)
        return self._reference(x, (cos, -sin, x0 - x0 * cos + y * sin, sin, cos, y - x0 * sin - y * cos))


@LAYERS.add("random_zoom")
@dataclass(frozen=True, eq=False, repr=False)
class RandomZoom(_Moved):
    """While training each picture larger or smaller around its middle. (height, width, channels) -> the same.

    height_factor: by how much the part that is seen grows, (from, to), or one number for -factor to factor: -0.2 shows
    four fifths, larger; 0.2 shows a fifth more, smaller. width_factor: the same for the width; None keeps the picture's
    proportions. The rest: as RandomRotation's.
    """

    height_factor: Any
    width_factor: Any = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def _factors(self) -> tuple[Any, Any]:
        height = self.range_of("height_factor", -1, 1, open_low=True)
        return height, height if self.width_factor is None else self.range_of("width_factor", -1, 1, open_low=True)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return self._op(input_shape, "zoom", *self._factors(), self.width_factor is None)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """What training makes of x where the two ends of each factor are the same, in float64."""
        height, width, _ = self.sizes(x.shape[1:])
        (y, _), (x0, _) = self._factors()
        return self._reference(x, (1 + x0, 0, -x0 * (width - 1) / 2, 0, 1 + y, -y * (height - 1) / 2))


@LAYERS.add("random_translation")
@dataclass(frozen=True, eq=False, repr=False)
class RandomTranslation(_Moved):
    """While training each picture moved. (height, width, channels) -> the same.

    height_factor: by which part of the height it moves down, (from, to), or one number for -factor to factor.
    width_factor: to the right, as part of the width. The rest: as RandomRotation's.
    """

    height_factor: Any
    width_factor: Any
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def _factors(self) -> tuple[Any, Any]:
        return self.range_of("height_factor", -1, 1), self.range_of("width_factor", -1, 1)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return self._op(input_shape, "translation", *self._factors())

    def reference(self, x: DoubleArray) -> DoubleArray:
        """What training makes of x where the two ends of each factor are the same, in float64."""
        height, width, _ = self.sizes(x.shape[1:])
        (y, _), (x0, _) = self._factors()
        return self._reference(x, (1, 0, -x0 * width, 0, 1, -y * height))


class _Lit(Pictures):
    """A picture of which chance changes the numbers."""

    value_range: Any = (0, 255)

    def _ends(self) -> tuple[float, float]:
        given, kind = self.value_range, type(self).__name__
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(f"{kind}: the `value_range` argument should be a list of two numbers, got {shown(given)}")
        least, most = sorted(as_number(f"{kind}: value_range", end) for end in given)
        return least, most

    def _lit(self, input_shape: Shape, factor: tuple[float, float], shift: tuple[float, float]) -> tuple[Any, ...]:
        height, width, channels = self.sizes(input_shape)
        low, high = zip(factor, shift, strict=True)
        return (ContrastOp(height * width, channels, low, high, *self._ends(), self.first, self.seed),)

    def _reference(self, x: DoubleArray, factor: float, shift: float) -> DoubleArray:
        mean = x.mean(axis=(2, 3) if self.first else (1, 2), keepdims=True)
        return np.asarray(((x - mean) * factor + mean + shift).clip(*self._ends()))


@LAYERS.add("random_contrast")
@dataclass(frozen=True, eq=False, repr=False)
class RandomContrast(_Lit):
    """While training (x - mean) * f + mean, kept within value_range. (height, width, channels) -> the same.

    The mean is that of a channel of a picture; f is drawn for each picture from 1 - lower to 1 + upper. factor: (lower,
    upper), or one number for both, 0 to 1. seed: as RandomFlip's. Otherwise x.
    """

    factor: Any
    value_range: Any = (0, 255)
    seed: int | None = None
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self.range_of("factor", 0, 1)
        self._ends()
        super().__post_init__()

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        low, high = self.range_of("factor", 0, 1)
        return self._lit(input_shape, (1 - abs(low), 1 + high), (0.0, 0.0))

    def reference(self, x: DoubleArray, factor: float = 1.0) -> DoubleArray:
        """What training makes of x with this factor, in float64."""
        return self._reference(x, factor, 0.0)


@LAYERS.add("random_brightness")
@dataclass(frozen=True, eq=False, repr=False)
class RandomBrightness(_Lit):
    """While training x + f * (the width of value_range), kept within it. (height, width, channels) -> the same.

    f is drawn for each picture. factor: (from, to), -1 to 1, or one number for -factor to factor. seed: as
    RandomFlip's. Otherwise x.
    """

    factor: Any
    value_range: Any = (0, 255)
    seed: int | None = None
    data_format: str | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self.range_of("factor", -1, 1)
        self._ends()
        super().__post_init__()

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        low, high = self.range_of("factor", -1, 1)
        least, most = self._ends()
        return self._lit(input_shape, (1.0, 1.0), (low * (most - least), high * (most - least)))

    def reference(self, x: DoubleArray) -> DoubleArray:
        """What training makes of x where the two ends of each factor are the same, in float64."""
        least, most = self._ends()
        return self._reference(x, 1.0, self.range_of("factor", -1, 1)[0] * (most - least))


_names.offer(globals())

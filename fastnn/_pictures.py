"""Pictures from files, or from bytes that a database holds, as arrays: decoded by Pillow, resized as Keras does it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}  # of Pillow's modes
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")


def pillow() -> Any:
    """Pillow's module of pictures. ImportError, which says what to install, where it is not there."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('pictures are decoded by Pillow, which is not there: pip install "fastnn[images]"') from None
    return Image


def decoded(file: Any, channels: int, called: str) -> NDArray[np.uint8]:
    """A picture's pixels, (height, width, channels), from a path or an open file; of an animation the first.

    They are read-only. channels: 1 for grey, 3 for red, green and blue, 4 with opacity. Of 16 bits the upper 8 are taken. ValueError, which
    calls the picture `called`, for what is none, and for one that is damaged.
    """
    image = pillow()
    try:
        with image.open(file) as picture:
            if picture.mode.startswith("I"):
                picture = image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.mode != CHANNELS[channels]:
                picture = picture.convert(CHANNELS[channels])
            pixels, (width, height) = np.frombuffer(picture.tobytes(), np.uint8), picture.size
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # of many classes, each format's own
        said = "it is no picture of a format that Pillow knows"
        if type(error).__name__ != "UnidentifiedImageError":
            said = f"it is damaged: {' '.join(str(error).split()) or type(error).__name__}"
        raise ValueError(f"{called} cannot be decoded; {said}; replace it, or leave it out") from None
    return pixels.reshape(height, width, channels)


def resized(
    picture: NDArray[Any],
    size: tuple[int, int],
    interpolation: str = "bilinear",
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    dtype: Any = np.float32,
) -> NDArray[Any]:
    """A picture, (height, width, channels), with another height and width, as float32 or another type of floats.

    Without smoothing before it is made smaller, and pixels have their numbers in their middles. crop, pad: keep the
    shape of what is shown, by cutting the middle out, or with zeros around it.
    """
    height, width = picture.shape[:2]
    if crop_to_aspect_ratio:
        tall = max(min(height, int(float(width * size[0]) / size[1])), 1)
        wide = max(min(width, int(float(height * size[1]) / size[0])), 1)
        top, left = int(float(height - tall) / 2), int(float(width - wide) / 2)
        picture = picture[top : top + tall, left : left + wide]
    elif pad_to_aspect_ratio:
        tall = int(float(max(height, int(float(width * size[0]) / size[1])) - height) / 2)
        wide = int(float(max(width, int(float(height * size[1]) / size[0])) - width) / 2)
        picture = np.pad(picture, ((tall, tall), (0, 0), (0, 0)) if tall else ((0, 0), (wide, wide), (0, 0)))
    height, width, channels = picture.shape
    if (height, width) == size:
        return picture.astype(dtype)
    if interpolation == "nearest":
        rows, columns = (_nearest(*each) for each in zip((height, width), size, strict=True))
        return np.asarray(picture[rows[:, None], columns], dtype)
    rows, columns = (_weights(*each, interpolation, dtype) for each in zip((height, width), size, strict=True))
    found = (rows @ picture.reshape(height, -1).astype(dtype)).reshape(size[0], width, channels)
    return np.ascontiguousarray(np.matmul(columns, found))


@lru_cache(64)
def _nearest(before: int, after: int) -> NDArray[Any]:
    return np.asarray(((np.arange(after) + 0.5) * (before / after)).clip(max=before - 1), int)


@lru_cache(64)
def _weights(before: int, after: int, interpolation: str, dtype: Any) -> NDArray[Any]:
    """What each of `before` numbers counts in each of `after`, (after, before)."""
    scale = before / after
    if interpolation == "area":
        ends = np.arange(after + 1)[:, None] * scale
        inside = np.minimum(ends[1:], np.arange(1, before + 1)) - np.maximum(ends[:-1], np.arange(before))
        return np.asarray(inside.clip(min=0) / scale, dtype)
    places = (np.arange(after)[:, None] + 0.5) * scale - 0.5
    if interpolation == "bilinear":
        places = places.clip(0, before - 1)
    weights = _kernel(interpolation, np.abs(places - np.arange(before)))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype)


def _kernel(interpolation: str, x: NDArray[Any]) -> NDArray[Any]:
    """What a pixel counts that is x away."""
    if interpolation == "bilinear":
        return np.where(x < 1, 1 - x, 0)
    if interpolation == "bicubic":  # Keys 1981
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        return np.where(x < 1, near, np.where(x < 2, far, 0))
    if interpolation == "mitchellcubic":  # Mitchell and Netravali 1988
        near, far = ((7 * x - 12) * x * x + 16 / 3) / 6, (((-7 / 3 * x + 12) * x - 20) * x + 32 / 3) / 6
        return np.where(x < 1, near, np.where(x < 2, far, 0))
    if interpolation == "gaussian":
        return np.where(x < 1.5, np.exp(-2 * x * x), 0)
    radius = int(interpolation[-1])  # of lanczos3 and lanczos5
    return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)

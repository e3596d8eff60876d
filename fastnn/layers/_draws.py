"""What layers that drop draw by a `noise_shape`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_count, shown
from fastnn.layers.base import set_field
from fastnn.typing import Shape


def check_noise_shape(layer: Any) -> None:
    """Set `noise_shape` as a tuple, or None. ValueError, TypeError for what is no shape."""
    given = layer.noise_shape
    if given is None:
        return
    kind = type(layer).__name__
    invalid = "Invalid value received for argument `noise_shape`. Expected"
    if not isinstance(given, (tuple, list)) or not given:
        raise ValueError(
            f"{kind}: noise_shape must be a tuple of whole numbers and None, got {shown(given)} ({invalid} a tuple or "
            "list of integers.)"
        )
    if any(isinstance(size, (float, str)) for size in given):
        raise ValueError(
            f"{kind}: noise_shape must be whole numbers and None, got {shown(given)} ({invalid} all elements to be "
            "integers or None.)"
        )
    also = f"{invalid} all dimensions to be positive integers or None."
    each = (size if size is None else check_count(f"{kind}: noise_shape", size, also=also) for size in given)
    set_field(layer, "noise_shape", tuple(each))


def drawn_by(layer: Any, row: Shape) -> tuple[Any, bool]:
    """(for each number of a row its draw, None for one of its own; whether each row has draws of its own).

    ValueError where the layer's `noise_shape` does not go with the row.
    """
    given = (None, *row) if layer.noise_shape is None else layer.noise_shape
    by_row, *drawn = (1,) * (len(row) + 1 - len(given)) + given
    drawn = [own if size is None else size for size, own in zip(drawn, row, strict=False)]
    if len(given) > len(row) + 1 or any(size not in (1, own) for size, own in zip(drawn, row, strict=True)):
        raise ValueError(
            f"{type(layer).__name__}: noise_shape {layer.noise_shape} does not go with rows of shape {row}; after the "
            "entry for the rows (None or 1) it has the size of each axis, None for that, or 1"
        )
    if by_row != 1 and tuple(drawn) == row:
        return None, True
    places = np.broadcast_to(np.arange(prod(drawn), dtype=np.int32).reshape(drawn), row)
    return places.ravel(), by_row != 1

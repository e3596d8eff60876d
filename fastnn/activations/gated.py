"""GLU: half of the numbers lets the other half through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastnn._checks import check_count, shown
from fastnn._numbers import as_numbers
from fastnn.activations.base import ACTIVATIONS, Activation
from fastnn.activations.smooth import Sigmoid
from fastnn.typing import Array, ArrayLike, DoubleArray, Shape

__all__ = ["GLU"]


@dataclass(frozen=True, eq=False, repr=False)
class GLU(Activation):
    """a * sigmoid(b), a and b the halves of z along an axis, which gets half as long. Source: Dauphin et al. 2017.

    axis: -1, the last one; axis 0 is that of the rows. It is no function of one number, and its layer computes it by
    copies of the halves, a sigmoid and a product.
    """

    axis: int = -1
    table_name: ClassVar[str] = "glu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "axis", check_count("glu: axis", self.axis, -64, 63))

    def row_axis(self, row: Shape) -> int:
        """The axis as one of a row. ValueError where the row has none, or it has no halves."""
        axis = self.axis - 1 if self.axis >= 0 else self.axis + len(row)
        if not 0 <= axis < len(row) or row[axis] % 2:
            raise ValueError(f"glu: rows of shape {shown(row)} have no two halves along axis {self.axis}")
        return axis

    def row_given(self, row: Shape) -> Shape:
        axis = self.row_axis(row)
        return (*row[:axis], row[axis] // 2, *row[axis + 1 :])

    def reference(self, z: DoubleArray) -> DoubleArray:
        self.row_axis(z.shape[1:])
        a, b = np.split(z, 2, self.axis)
        return np.asarray(a * Sigmoid().reference(b))

    def __call__(self, x: ArrayLike, axis: int | None = None) -> Array:
        """The values: float32 for float32 in, else float64. ValueError where x has no halves along the axis."""
        unit = self if axis is None else replace(self, axis=axis)
        z = as_numbers(x, "x")
        if not -z.ndim <= unit.axis < z.ndim or z.shape[unit.axis] % 2:
            raise ValueError(f"glu: an array of shape {z.shape} has no two halves along axis {unit.axis}")
        a, b = np.split(z, 2, unit.axis)
        return np.asarray(a * Sigmoid()(b))


ACTIVATIONS.aliases |= {"glu": GLU, "GLU": GLU}  # not among those that give what they are given the shape of

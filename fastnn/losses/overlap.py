"""Losses of a batch as a whole: how much the outputs and the targets, both from 0 to 1, overlap.

The value is that of all elements of a batch together, whatever the weights of its rows; the weights multiply it. With
`axis` there is a value for each place along the other axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import kernels
from fastnn._checks import as_list, check_count, check_number
from fastnn.losses.base import EPSILON, LOSSES, Loss, paired
from fastnn.losses.targets import PROBABILITIES
from fastnn.typing import Array, ArrayLike, DoubleArray

__all__ = ["Dice", "Tversky"]


class Overlap(Loss):
    """1 - p0 I / (p1 I + p2 Y + p3 A + 1e-7), p being `numbers`; I, Y, A the sums of y output, y and output."""

    axis: Any
    kernel = kernels.overlap
    takes = PROBABILITIES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.axis is not None:
            what = f"{type(self).__name__}: axis"
            axes = as_list(what, self.axis, "axes") if hasattr(self.axis, "__iter__") else [self.axis]
            object.__setattr__(self, "axis", tuple(check_count(what, axis, -64, 63) for axis in axes))

    @property
    def compiled(self) -> bool:
        """Whether training runs the kernel, which adds up all axes."""
        return self.axis is None and super().compiled

    @property
    def whole(self) -> bool:
        return self.axis is None

    @property
    def gradient(self) -> Any:
        """The slopes of the values by the outputs, where Python works out both."""
        return None if self.axis is None else self._slopes_of

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        if self.axis is None:
            return super().call(y_true, y_pred)
        y, output = paired(self, y_true, y_pred)
        top, bottom = self._sums(y.astype(float), output.astype(float))
        return np.asarray(1 - top / bottom, output.dtype).squeeze(self.axis)

    def _sums(self, y: DoubleArray, output: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """p0 I and the divisor, along the axes, which stay as one."""
        if len({axis % output.ndim for axis in self.axis if -output.ndim <= axis < output.ndim}) < len(self.axis):
            raise ValueError(
                f"{type(self).__name__}: axis must name some of the {output.ndim} axes of y_pred, got {self.axis}"
            )
        p = self.numbers()
        both, of_y, of_output = (each.sum(axis=self.axis, keepdims=True) for each in (y * output, y, output))
        return p[0] * both, p[1] * both + p[2] * of_y + p[3] * of_output + EPSILON

    def _slopes_of(self, y: Array, output: Array) -> DoubleArray:
        p, (top, bottom) = self.numbers(), self._sums(y.astype(float), output.astype(float))
        return np.asarray((top * (p[1] * y + p[3]) / bottom - p[0] * y) / bottom)


@LOSSES.add("dice")
@dataclass(frozen=True)
class Dice(Overlap):
    """1 - 2 I / (Y + A + 1e-7), I, Y and A the sums of y output, y and output over the batch. Source: Dice 1945.

    axis: the axes to add up, all by default; with (1, 2, 3) each picture of a batch has a value of its own. A fit then
    runs it in Python.
    """

    axis: int | Sequence[int] | None = None

    def numbers(self) -> tuple[float, ...]:
        return (2.0, 0.0, 1.0, 1.0)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(1 - 2 * (y * output).sum() / (y.sum() + output.sum() + EPSILON))


@LOSSES.add("tversky")
@dataclass(frozen=True)
class Tversky(Overlap):
    """1 - I / (I + alpha M + beta F + 1e-7): sums over the batch of y output, y (1 - output) and (1 - y) output.

    alpha, beta: what a miss and a false alarm cost, at least 0; in this order in Keras. axis: as Dice's. Source: Salehi
    et al. 2017.
    """

    alpha: float = 0.5
    beta: float = 0.5
    axis: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "alpha", 0)
        check_number(self, "beta", 0)

    def numbers(self) -> tuple[float, ...]:
        return (1.0, 1.0 - self.alpha - self.beta, float(self.alpha), float(self.beta))

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        both, missed, false = (y * output).sum(), (y * (1 - output)).sum(), ((1 - y) * output).sum()
        return np.asarray(1 - both / (both + self.alpha * missed + self.beta * false + EPSILON))

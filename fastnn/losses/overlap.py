"""Losses of a batch as a whole: how much the outputs and the targets, both from 0 to 1, overlap.

The value is that of all elements of a batch together, whatever the weights of its rows; the weights multiply it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastnn import kernels
from fastnn._checks import check_number
from fastnn.losses.base import EPSILON, LOSSES, Loss
from fastnn.losses.targets import PROBABILITIES
from fastnn.typing import DoubleArray

__all__ = ["Dice", "Tversky"]


@LOSSES.add("dice")
class Dice(Loss):
    """1 - 2 I / (Y + A + 1e-7), I, Y and A the sums of y output, y and output over the batch. Source: Dice 1945."""

    kernel = kernels.overlap
    takes = PROBABILITIES

    def numbers(self) -> tuple[float, ...]:
        return (2.0, 0.0, 1.0, 1.0)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(1 - 2 * (y * output).sum() / (y.sum() + output.sum() + EPSILON))


@LOSSES.add("tversky")
@dataclass(frozen=True)
class Tversky(Loss):
    """1 - I / (I + alpha M + beta F + 1e-7): sums over the batch of y output, y (1 - output) and (1 - y) output.

    alpha, beta: what a miss and a false alarm cost, at least 0; in this order in Keras. Source: Salehi et al. 2017.
    """

    alpha: float = 0.5
    beta: float = 0.5
    kernel = kernels.overlap
    takes = PROBABILITIES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "alpha", 0)
        check_number(self, "beta", 0)

    def numbers(self) -> tuple[float, ...]:
        return (1.0, 1.0 - self.alpha - self.beta, float(self.alpha), float(self.beta))

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        both, missed, false = (y * output).sum(), (y * (1 - output)).sum(), ((1 - y) * output).sum()
        return np.asarray(1 - both / (both + self.alpha * missed + self.beta * false + EPSILON))

"""Losses that ask for a margin of 1 between what is right and what is not; outputs may be any numbers."""

from __future__ import annotations

import numpy as np

from fastnn import kernels
from fastnn.losses.base import LOSSES, Loss
from fastnn.losses.targets import SHARES, SIGNS
from fastnn.typing import DoubleArray

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


def _margins(y: DoubleArray, output: DoubleArray) -> DoubleArray:
    return np.asarray(np.maximum(1 - np.where(y == 0, -1, y) * output, 0))


@LOSSES.add("hinge")
class Hinge(Loss):
    """mean over units of max(1 - y output, 0), y -1 or 1; a 0 counts as -1. (Keras: if all of y are 0 or 1.)"""

    kernel = kernels.hinge
    takes = SIGNS

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(_margins(y, output).mean(axis=-1))


@LOSSES.add("squared_hinge")
class SquaredHinge(Loss):
    """mean over units of max(1 - y output, 0)^2, y -1 or 1; a 0 counts as -1. (Keras: if all of y are 0 or 1.)"""

    kernel = kernels.squared_hinge
    takes = SIGNS

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray((_margins(y, output) ** 2).mean(axis=-1))


@LOSSES.add("categorical_hinge")
class CategoricalHinge(Loss):
    """max(1 + largest (1 - y) output - sum of y output, 0), y one-hot. The first of equal outputs is the largest."""

    kernel = kernels.categorical_hinge
    takes = SHARES

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(np.maximum(1 + ((1 - y) * output).max(axis=-1) - (y * output).sum(axis=-1), 0))

"""Activations along rows: what they give for one unit depends on all of the row."""

from __future__ import annotations

import numpy as np

from fastnn import kernels
from fastnn.activations.base import ACTIVATIONS, RowActivation
from fastnn.typing import DoubleArray

__all__ = ["LogSoftmax", "Softmax", "Sparsemax"]


def _below_top(z: DoubleArray) -> DoubleArray:
    """z less the largest of its row."""
    return np.asarray(z - z.max(axis=-1, keepdims=True, initial=-np.inf), float)


@ACTIVATIONS.add("softmax")
class Softmax(RowActivation):
    """e^z_j / sum over k of e^z_k, along the last axis, from z - max z so that nothing overflows."""

    kernel = kernels.softmax

    def reference(self, z: DoubleArray) -> DoubleArray:
        e = np.exp(_below_top(z))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))


@ACTIVATIONS.add("log_softmax")
class LogSoftmax(RowActivation):
    """log softmax(z) = z - max z - log(sum of e^(z - max z)), along the last axis.

    float32: absolute error at most 3e-7 max(1, |value|).
    """

    kernel = kernels.log_softmax

    def reference(self, z: DoubleArray) -> DoubleArray:
        below = _below_top(z)
        return np.asarray(below - np.log(np.exp(below).sum(axis=-1, keepdims=True)))


@ACTIVATIONS.add("sparsemax")
class Sparsemax(RowActivation):
    """max(z - tau, 0) along the last axis, tau such that the row's sum is 1. Source: Martins and Astudillo 2016.

    Its slope where z = tau is taken as 0. float32: absolute error at most 3e-7.
    """

    kernel = kernels.sparsemax

    def reference(self, z: DoubleArray) -> DoubleArray:
        below = _below_top(z)
        falling = -np.sort(-below, axis=-1)
        taus = (np.cumsum(falling, axis=-1) - 1) / np.arange(1, z.shape[-1] + 1)
        # The tau of the largest numbers alone grows as long as what is added to them lies above it.
        return np.asarray(np.maximum(below - taus.max(axis=-1, keepdims=True, initial=-1.0), 0.0))

"""Layers that regularise what passes through them: ActivityRegularization, SpatialDropout1D, 2D, 3D."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from fastnn import _names
from fastnn._checks import check_choice, check_number
from fastnn.engine.ops import SharedDropoutOp
from fastnn.layers._fields import check_rate, own_input_shape
from fastnn.layers.base import LAYERS, Layer, check_seed
from fastnn.regularizers import L1L2
from fastnn.typing import DoubleArray, Shape

__all__ = ["ActivityRegularization", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]


@LAYERS.add("activity_regularization")
@dataclass(frozen=True, eq=False, repr=False)
class ActivityRegularization(Layer):
    """x; adds (l1 * sum |x| + l2 * sum x^2) / rows of the batch to the loss. Any shape -> the same.

    l1, l2: at least 0.
    """

    passes_mask = True
    l1: float = 0.0
    l2: float = 0.0
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if self.activity_regularizer not in (None, L1L2(self.l1, self.l2)):
            raise ValueError("ActivityRegularization: its regularizer is l1 and l2; leave activity_regularizer out")
        check_number(self, "l1", 0)
        check_number(self, "l2", 0)
        self._set("activity_regularizer", L1L2(self.l1, self.l2))
        own_input_shape(self)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return x


class _SpatialDropout(Layer):
    """Dropout of whole columns of the last axis."""

    passes_mask = True
    axes: ClassVar[int]
    rate: float
    seed: int | None
    data_format: str | None

    def __post_init__(self) -> None:
        check_rate(self)
        self._set("rate", float(self.rate))
        check_seed(self)
        if getattr(self, "data_format", None) is not None:
            check_choice(self, "data_format", "channels_last")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self.axes:
            raise ValueError(f"{type(self).__name__} expects rows of {self.axes} axes, got rows of shape {input_shape}")
        return input_shape

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        columns = np.arange(prod(input_shape), dtype=np.int32) % input_shape[-1]
        return (SharedDropoutOp(columns, True, self.rate, self.seed),)


@LAYERS.add("spatial_dropout1d")
@dataclass(frozen=True, eq=False, repr=False)
class SpatialDropout1D(_SpatialDropout):
    """Dropout that keeps or drops a feature in all steps of a row together. (steps, features) -> the same.

    rate: at least 0 and below 1. seed: as Dropout's. Source: Tompson et al. 2015.
    """

    rate: float
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None
    axes = 2


@LAYERS.add("spatial_dropout2d")
@dataclass(frozen=True, eq=False, repr=False)
class SpatialDropout2D(_SpatialDropout):
    """Dropout that keeps or drops a channel of a row as a whole. (height, width, channels) -> the same.

    rate, seed: as SpatialDropout1D's. data_format: None or "channels_last".
    """

    rate: float
    data_format: str | None = None
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None
    axes = 3


@LAYERS.add("spatial_dropout3d")
@dataclass(frozen=True, eq=False, repr=False)
class SpatialDropout3D(_SpatialDropout):
    """Dropout that keeps or drops a channel of a row as a whole. (depth, height, width, channels) -> the same.

    rate, seed: as SpatialDropout1D's. data_format: None or "channels_last".
    """

    rate: float
    data_format: str | None = None
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None
    axes = 4


_names.offer(globals())

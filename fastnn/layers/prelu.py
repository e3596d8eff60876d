"""PReLU: an activation with learnt slopes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_count
from fastnn.engine.ops import PReLUOp
from fastnn.layers._axes import along, row_axes, sizes
from fastnn.layers._fields import own_input_shape, parameter_of, resolve_units
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.typing import DoubleArray, Shape

__all__ = ["PReLU"]


@LAYERS.add("p_re_lu", "prelu")
@dataclass(frozen=True, eq=False, repr=False)
class PReLU(Layer):
    """x where x > 0, else alpha * x. Any shape -> the same. Weights: alpha, of the shape of a row.

    shared_axes: axes along which there is one alpha for all, counted from 1. The others: a name or an object.
    Source: He et al. 2015, eq. 1.
    """

    passes_mask = True
    alpha_initializer: Any = "zeros"
    alpha_regularizer: Any = None
    alpha_constraint: Any = None
    shared_axes: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if self.shared_axes is not None:
            axes = self.shared_axes if isinstance(self.shared_axes, (tuple, list)) else (self.shared_axes,)
            self._set("shared_axes", tuple(sorted(check_count("PReLU: shared_axes", axis, -64, 63) for axis in axes)))
        resolve_units(self, "alpha")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        self._own(input_shape)
        return input_shape

    def _own(self, row: Shape) -> tuple[int, ...]:
        """The axes of a row along which each place has its own alpha."""
        shared = row_axes(self, self.shared_axes, row) if self.shared_axes else ()
        return tuple(axis for axis in range(len(row)) if axis not in shared)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        own = self._own(input_shape)
        shape = tuple(size if axis in own else 1 for axis, size in enumerate(input_shape))
        return (parameter_of(self, "alpha", shape),)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        own = self._own(input_shape)
        op = PReLUOp(prod(input_shape), prod(sizes(input_shape, own)))
        return along(input_shape, own, op) if own else (op,)

    def reference(self, x: DoubleArray, alpha: Any) -> DoubleArray:
        """The formula, in float64."""
        return np.where(x > 0, x, alpha * x)

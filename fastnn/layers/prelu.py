"""PReLU: an activation with learnt slopes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn.engine.normalization import PReLUOp
from fastnn.layers._fields import own_input_shape, parameter_of, settle_units
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.typing import DoubleArray, Shape


@LAYERS.add("p_re_lu", "prelu")
@dataclass(frozen=True, eq=False)
class PReLU(Layer):
    """x where x > 0, else alpha * x. Any shape -> the same. Weights: alpha, of the shape of a row.

    shared_axes: axes along which there is one alpha for all; the first axes of a row, which count from 1. The others: a
    name or an object. Source: He et al. 2015, eq. 1.
    """

    alpha_initializer: Any = "zeros"
    alpha_regularizer: Any = None
    alpha_constraint: Any = None
    shared_axes: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if self.shared_axes is not None:
            axes = self.shared_axes if isinstance(self.shared_axes, (tuple, list)) else (self.shared_axes,)
            self._set("shared_axes", tuple(sorted(axes)))
        settle_units(self, "alpha")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        shared = self.shared_axes or ()
        if shared != tuple(range(1, len(shared) + 1)) or len(shared) > len(input_shape):
            raise ValueError(
                f"PReLU shares slopes along the first axes of a row, 1 to {len(input_shape)}, got shared_axes {shared}"
            )
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        count = len(self.shared_axes or ())
        return (parameter_of(self, "alpha", (1,) * count + input_shape[count:]),)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (PReLUOp(prod(input_shape), prod(input_shape[len(self.shared_axes or ()) :])),)

    def reference(self, x: DoubleArray, alpha: Any) -> DoubleArray:
        """The formula, in float64."""
        return np.where(x > 0, x, alpha * x)

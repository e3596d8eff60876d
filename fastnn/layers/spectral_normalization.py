"""SpectralNormalization: a Dense layer whose kernel counts as divided by its largest singular value."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn import _names, activations
from fastnn._checks import check_count, shown
from fastnn.engine.ops import SpectralDenseOp
from fastnn.initializers import TruncatedNormal
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.core import Dense, activation_ops
from fastnn.typing import DoubleArray, Shape

__all__ = ["SpectralNormalization"]


@LAYERS.add("spectral_normalization")
@dataclass(frozen=True, eq=False, repr=False)
class SpectralNormalization(Layer):
    """A Dense layer with kernel / sigma in place of its kernel: activation(x . kernel / sigma + bias).

    sigma is the kernel's largest singular value, as power iteration finds it: v = kernel . u and u = v . kernel, each
    brought to length 1, `power_iterations` times in each step of training; sigma = v . kernel . u. Otherwise u stays.
    Gradients go through sigma, with u and v as they are. A kernel of 0 is left as it is. layer: a Dense layer, whose
    weights are this layer's, with vector_u (1, units). power_iterations: at least 1. Source: Miyato et al. 2018.
    """

    layer: Any
    power_iterations: int = 1
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise TypeError(f"SpectralNormalization: layer must be a layer, got {shown(self.layer)}")
        named = "SpectralNormalization: power_iterations"
        also = "`power_iterations` should be greater than zero."
        self._set("power_iterations", check_count(named, self.power_iterations, also=also))
        if self.activity_regularizer is None:
            self._set("activity_regularizer", self.layer.activity_regularizer)
        if self.input_shape is None:
            self._set("input_shape", getattr(self.layer, "input_shape", None))
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if type(self.layer) is not Dense:
            kind = type(self.layer).__name__
            also = "" if self.layer.parameters(input_shape) else " (object has no attribute 'kernel' nor 'embeddings')"
            raise ValueError(f"SpectralNormalization takes a Dense layer, whose kernel it divides, got a {kind}{also}")
        return self.layer.output_shape(input_shape)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        u = Parameter("vector_u", (1, self.layer.units), TruncatedNormal(stddev=0.02), trainable=False)
        return (*self.layer.parameters(input_shape), u)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        dense: Dense = self.layer
        lines = prod(input_shape[:-1])
        op = SpectralDenseOp(input_shape[-1], dense.units, dense.use_bias, self.power_iterations, lines)
        if dense.activation == activations.linear:
            return (op,)
        return op, *activation_ops(dense.activation, (*input_shape[:-1], dense.units), 1)

    def reference(
        self, x: DoubleArray, kernel: DoubleArray, bias: Any = 0.0, vector_u: Any = None, known: Any = None
    ) -> DoubleArray:
        """What training makes of x, in float64. known: (u, v), where they are not to be found."""
        u, v = self.vectors(kernel, vector_u) if known is None else known
        return np.asarray(self.layer.reference(x, kernel / (v @ kernel @ u), bias))

    def vectors(self, kernel: DoubleArray, vector_u: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """u and v after the iterations of one step, in float64."""
        u = np.asarray(vector_u, float)[0]
        for _ in range(self.power_iterations):
            v = kernel @ u
            v = v / np.linalg.norm(v)
            u = v @ kernel
            u = u / np.linalg.norm(u)
        return u, v


_names.offer(globals())

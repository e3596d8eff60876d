"""Layers that normalise: BatchNormalization, LayerNormalization, RMSNormalization."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._table import check_number
from fastnn.engine.normalization import BatchNormalizationOp, LayerNormalizationOp
from fastnn.initializers import Ones
from fastnn.layers._fields import lines_of, own_input_shape, parameter_of, settle_units
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.typing import DoubleArray, Shape


def _normalised(x: DoubleArray, mean: Any, variance: Any, epsilon: float) -> DoubleArray:
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


@LAYERS.add("batch_normalization")
@dataclass(frozen=True, eq=False)
class BatchNormalization(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, for each feature. (..., features) -> the same.

    While training, mean and (biased) variance are those of the batch, over its rows and all axes but the last; rows of
    weight 0 count in them. Otherwise, and where ``trainable`` is False, they are the moving averages, which each step
    brings closer: moving = momentum * moving + (1 - momentum) * batch's.
    axis: the last one. momentum: 0 to 1. epsilon: at least 0. center, scale: whether there is a beta, a gamma. The
    others: a name or an object. Weights: gamma, beta, moving_mean, moving_variance, (features,) each.
    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    moving_mean_initializer: Any = "zeros"
    moving_variance_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_number(self, "momentum", 0, 1)
        check_number(self, "epsilon", 0)
        settle_units(self, "beta", "gamma", "moving_mean", "moving_variance")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        lines_of(self, input_shape, self.axis, most=1)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        names = ["gamma"] * bool(self.scale) + ["beta"] * bool(self.center)
        shape = input_shape[-1:]
        return (
            *(parameter_of(self, name, shape) for name in names),
            *(parameter_of(self, name, shape, trainable=False) for name in ("moving_mean", "moving_variance")),
        )

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        units, channels = prod(input_shape), input_shape[-1]
        return (BatchNormalizationOp(units, channels, self.momentum, self.epsilon, self.center, self.scale),)

    def reference(
        self, x: DoubleArray, gamma: Any = 1.0, beta: Any = 0.0, moving: tuple[Any, Any] | None = None
    ) -> DoubleArray:
        """The formula, in float64, by the batch's moments or by `moving` ones (mean, variance)."""
        axes = tuple(range(x.ndim - 1))
        mean, variance = (x.mean(axes), x.var(axes)) if moving is None else moving
        return np.asarray(_normalised(x, mean, variance, self.epsilon) * gamma + beta)


@LAYERS.add("layer_normalization")
@dataclass(frozen=True, eq=False)
class LayerNormalization(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, the moments taken over the last axes of each row.

    Any shape -> the same. axis: the last axis, or a list of the last few; axis 0 is that of the rows. epsilon: at least
    0. center, scale: whether there is a beta, a gamma, of the shape of these axes. Source: Ba et al. 2016.
    """

    axis: Any = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0)
        settle_units(self, "beta", "gamma")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        lines_of(self, input_shape, self.axis)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        names = ["gamma"] * bool(self.scale) + ["beta"] * bool(self.center)
        shape = lines_of(self, input_shape, self.axis)
        return tuple(parameter_of(self, name, shape) for name in names)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        channels = prod(lines_of(self, input_shape, self.axis))
        return (LayerNormalizationOp(prod(input_shape), channels, self.epsilon, self.center, self.scale),)

    def reference(self, x: DoubleArray, gamma: Any = 1.0, beta: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        axes = tuple(range(x.ndim - len(lines_of(self, x.shape[1:], self.axis)), x.ndim))
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return np.asarray(_normalised(x, mean, variance, self.epsilon) * gamma + beta)


@LAYERS.add("rms_normalization", "RMSNormalization")
@dataclass(frozen=True, eq=False)
class RMSNormalization(Layer):
    """x / sqrt(mean of x^2 + epsilon) * scale, the mean taken over the last axes of each row. Any shape -> the same.

    axis: the last axis, or a list of the last few. epsilon: at least 0. Weights: scale, of the shape of these axes, 1
    at first. Source: Zhang and Sennrich 2019.
    """

    axis: Any = -1
    epsilon: float = 1e-6
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0)
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        lines_of(self, input_shape, self.axis)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return (Parameter("scale", lines_of(self, input_shape, self.axis), Ones()),)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        channels = prod(lines_of(self, input_shape, self.axis))
        return (LayerNormalizationOp(prod(input_shape), channels, self.epsilon, center=False, centred=False),)

    def reference(self, x: DoubleArray, scale: Any = 1.0) -> DoubleArray:
        """The formula, in float64."""
        axes = tuple(range(x.ndim - len(lines_of(self, x.shape[1:], self.axis)), x.ndim))
        return np.asarray(_normalised(x, 0.0, (x**2).mean(axes, keepdims=True), self.epsilon) * scale)

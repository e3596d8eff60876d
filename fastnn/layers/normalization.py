"""Layers that normalise: BatchNormalization, LayerNormalization, RMSNormalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_number
from fastnn.engine.ops import BatchNormalizationOp, LayerNormalizationOp
from fastnn.initializers import Ones
from fastnn.layers._axes import along, row_axes, row_axis, sizes
from fastnn.layers._fields import affine_parameters, check_axis, nothing, own_input_shape, parameter_of, resolve_units
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.tensor import called
from fastnn.typing import DoubleArray, Shape

__all__ = ["BatchNormalization", "LayerNormalization", "RMSNormalization"]


def _normalised(x: DoubleArray, mean: Any, variance: Any, epsilon: float) -> DoubleArray:
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


def _spread(weights: Any, x: DoubleArray, axes: tuple[int, ...]) -> Any:
    """Weights of these axes, as an array that goes with x."""
    return (
        np.reshape(weights, [x.shape[axis] if axis in axes else 1 for axis in range(x.ndim)])
        if np.ndim(weights)
        else weights
    )


@LAYERS.add("batch_normalization")
@dataclass(frozen=True, eq=False, repr=False)
class BatchNormalization(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, for each place along an axis. Any shape -> the same.

    While training, mean and (biased) variance are those of the batch, over its rows and all axes but that one; rows of
    weight 0 count in them. Otherwise, and where ``trainable`` is False, they are the moving averages, which each step
    brings closer: moving = momentum * moving + (1 - momentum) * batch's. Behind a mask the batch's are those of the
    steps that it leaves, all of which are normalised alike; of a batch that has none they are 0.
    axis: -1, the last one; axis 0 is that of the rows. momentum: 0 to 1. epsilon: at least 0. center, scale: whether
    there is a beta, a gamma. The others: a name or an object. Weights: gamma, beta, moving_mean, moving_variance, of
    the axis's size.
    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    passes_mask = reads_mask = True
    whole_batch = True
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
    renorm: bool = nothing(False)
    renorm_clipping: None = nothing()
    renorm_momentum: float = nothing(0.99)
    synchronized: bool = nothing(False)

    def __post_init__(self) -> None:
        check_number(self, "momentum", 0, 1)
        check_number(self, "epsilon", 0)
        resolve_units(self, "beta", "gamma", "moving_mean", "moving_variance")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        row_axis(self, self.axis, input_shape)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        shape = (input_shape[row_axis(self, self.axis, input_shape)],)
        return (
            *affine_parameters(self, shape),
            *(parameter_of(self, name, shape, trainable=False) for name in ("moving_mean", "moving_variance")),
        )

    def masked_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...]:
        """With a mask, of the steps along which it normalises."""
        (row,) = rows
        mask = masks[0]
        if mask == row[:-1] and row_axis(self, self.axis, row) == len(row) - 1:
            return ((self._op(row, len(row) - 1, masked=True), (-1, -2)),)
        if mask is not None and self.trainable:
            raise ValueError(
                f"layer {called(self)!r}: a mask of shape {(None, *mask)} says which steps count in moments along the "
                f"last axis of {(None, *row)}, all others being steps, and axis is {self.axis}; take axis=-1 or "
                "LayerNormalization, or end the mask before it"
            )
        return self.ops(row)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axis = row_axis(self, self.axis, input_shape)
        return along(input_shape, (axis,), self._op(input_shape, axis))

    def _op(self, row: Shape, axis: int, masked: bool = False) -> Any:
        parts = self.momentum, self.epsilon, self.center, self.scale
        return BatchNormalizationOp(prod(row), row[axis], *parts, masked=masked)

    def reference(
        self,
        x: DoubleArray,
        gamma: Any = 1.0,
        beta: Any = 0.0,
        moving: tuple[Any, Any] | None = None,
        mask: Any = None,
    ) -> DoubleArray:
        """The formula, in float64, by the batch's moments or by `moving` ones (mean, variance)."""
        axis = row_axis(self, self.axis, x.shape[1:]) + 1
        x = np.moveaxis(x, axis, -1)
        mean, variance = moving or self._moments(x if mask is None else x[np.asarray(mask, bool)])
        return np.moveaxis(_normalised(x, mean, variance, self.epsilon) * gamma + beta, -1, axis)

    def _moments(self, x: DoubleArray) -> tuple[Any, Any]:
        """Mean and variance of all but the last axis, 0 where there is nothing."""
        axes = tuple(range(x.ndim - 1))
        return (x.mean(axes), x.var(axes)) if x.size else (0.0, 0.0)


@LAYERS.add("layer_normalization")
@dataclass(frozen=True, eq=False, repr=False)
class LayerNormalization(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, the moments taken over some axes of each row.

    Any shape -> the same. axis: -1, the last one, or a list of several; axis 0 is that of the rows. epsilon: at least
    0. center, scale: whether there is a beta, a gamma, of the shape of these axes. Source: Ba et al. 2016.
    """

    passes_mask = True
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
    rms_scaling: bool = nothing(False)

    def __post_init__(self) -> None:
        check_axis(self, "Expected an int or a list/tuple of ints for the argument 'axis'")
        check_number(self, "epsilon", 0)
        resolve_units(self, "beta", "gamma")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        row_axes(self, self.axis, input_shape)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return affine_parameters(self, sizes(input_shape, row_axes(self, self.axis, input_shape)))

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axes = row_axes(self, self.axis, input_shape)
        parts = prod(sizes(input_shape, axes)), self.epsilon, self.center, self.scale
        return along(input_shape, axes, LayerNormalizationOp(prod(input_shape), *parts))

    def reference(self, x: DoubleArray, gamma: Any = 1.0, beta: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        axes = tuple(axis + 1 for axis in row_axes(self, self.axis, x.shape[1:]))
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        gamma, beta = (_spread(each, x, axes) for each in (gamma, beta))
        return np.asarray(_normalised(x, mean, variance, self.epsilon) * gamma + beta)


@LAYERS.add("rms_normalization", "RMSNormalization")
@dataclass(frozen=True, eq=False, repr=False)
class RMSNormalization(Layer):
    """x / sqrt(mean of x^2 + epsilon) * scale, the mean taken over some axes of each row. Any shape -> the same.

    axis: -1, the last one, or a list of several; axis 0 is that of the rows. epsilon: at least 0. Weights: scale, of
    the shape of these axes, 1 at first. Source: Zhang and Sennrich 2019.
    """

    axis: Any = -1
    epsilon: float = 1e-6
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_number(self, "epsilon", 0)
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        row_axes(self, self.axis, input_shape)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return (Parameter("scale", sizes(input_shape, row_axes(self, self.axis, input_shape)), Ones()),)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axes = row_axes(self, self.axis, input_shape)
        width = prod(sizes(input_shape, axes))
        op = LayerNormalizationOp(prod(input_shape), width, self.epsilon, center=False, centred=False)
        return along(input_shape, axes, op)

    def reference(self, x: DoubleArray, scale: Any = 1.0) -> DoubleArray:
        """The formula, in float64."""
        axes = tuple(axis + 1 for axis in row_axes(self, self.axis, x.shape[1:]))
        normalised = _normalised(x, 0.0, (x**2).mean(axes, keepdims=True), self.epsilon)
        return np.asarray(normalised * _spread(scale, x, axes))

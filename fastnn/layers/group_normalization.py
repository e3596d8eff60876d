"""Layers that normalise parts of a row and have no place in most models: UnitNormalization, GroupNormalization."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_number
from fastnn.engine.ops import LayerNormalizationOp, ScaleShiftOp, UnitNormalizationOp
from fastnn.layers._axes import along, permute_op, row_axes, row_axis, sizes
from fastnn.layers._fields import affine_parameters, check_axis, own_input_shape, resolve_units, size_of
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.typing import DoubleArray, Shape

__all__ = ["GroupNormalization", "UnitNormalization"]

SHORTEST = 1e-12  # vector that is brought to length 1; a shorter one is divided by this


@LAYERS.add("unit_normalization")
@dataclass(frozen=True, eq=False, repr=False)
class UnitNormalization(Layer):
    """x / |x|, the length taken over some axes of each row. Any shape -> the same.

    axis: -1, the last one, or a list of several; axis 0 is that of the rows. 0 stays 0: below 1e-12 the length that
    divides levels off.
    """

    passes_mask = True
    axis: Any = -1
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_axis(self, "Invalid value for `axis` argument: expected an int or a list/tuple of ints.")
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        row_axes(self, self.axis, input_shape)
        return input_shape

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axes = row_axes(self, self.axis, input_shape)
        width = prod(sizes(input_shape, axes))
        return along(input_shape, axes, UnitNormalizationOp(prod(input_shape), width, SHORTEST))

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        axes = tuple(axis + 1 for axis in row_axes(self, self.axis, x.shape[1:]))
        return np.asarray(x / np.maximum(np.sqrt((x**2).sum(axes, keepdims=True)), SHORTEST))


@LAYERS.add("group_normalization")
@dataclass(frozen=True, eq=False, repr=False)
class GroupNormalization(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, the moments those of a group of channels of each row.

    Any shape -> the same. The channels lie along an axis, and a group is `groups`-th of them with all that the other
    axes have. groups: at least 1, a divisor of the number of channels; -1 for one channel each, instance normalisation.
    axis: -1, the last one; axis 0 is that of the rows. epsilon: at least 0. center, scale: whether there is a beta, a
    gamma, a number for each channel. Source: Wu and He 2018.
    """

    passes_mask = True
    groups: int = 32
    axis: int = -1
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
        self._set("groups", size_of(self, "groups", -1, also="argument `groups`"))
        if self.groups == 0:
            raise ValueError(
                "GroupNormalization: groups must be at least 1, or -1 for one channel each, got 0 (argument `groups`)"
            )
        check_number(self, "epsilon", 0)
        resolve_units(self, "beta", "gamma")
        own_input_shape(self)

    def _group(self, row: Shape) -> tuple[int, int, int]:
        """(axis of a row, channels, groups). ValueError where groups do not go into the channels."""
        axis = row_axis(self, self.axis, row)
        channels = row[axis]
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            also = "cannot be more than" if groups > channels else "must be a multiple of"
            raise ValueError(
                f"GroupNormalization: {channels} channels along axis {self.axis} are no {groups} groups of one size "
                f"(the number of groups {also} the number of channels)"
            )
        return axis, channels, groups

    def output_shape(self, input_shape: Shape) -> Shape:
        self._group(input_shape)
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return affine_parameters(self, (self._group(input_shape)[1],))

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axis, channels, groups = self._group(input_shape)
        units, others = prod(input_shape), [each for each in range(len(input_shape)) if each != axis]
        front, back = [axis, *others], [*others, axis]
        ops: list[Any] = [LayerNormalizationOp(units, units // groups, self.epsilon, False, False)]
        affine = [ScaleShiftOp(units, channels, self.center, self.scale)] if self.center or self.scale else []
        if units == channels:
            return (*ops, *affine)
        if axis:
            ops.insert(0, permute_op(input_shape, front))
        order = front
        if affine or order != sorted(order):
            ops += [permute_op(sizes(input_shape, front), [*range(1, len(front)), 0]), *affine]
            order = back
        if order != sorted(order):
            ops.append(permute_op(sizes(input_shape, order), sorted(range(len(order)), key=order.__getitem__)))
        return tuple(ops)

    def reference(self, x: DoubleArray, gamma: Any = 1.0, beta: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        axis, channels, groups = self._group(x.shape[1:])
        front = np.moveaxis(x, axis + 1, 1)
        grouped = front.reshape(len(x), groups, -1)
        mean, variance = grouped.mean(-1, keepdims=True), grouped.var(-1, keepdims=True)
        normalised = ((grouped - mean) / np.sqrt(variance + self.epsilon)).reshape(front.shape)
        own = (channels, *(1,) * (front.ndim - 2))
        gamma, beta = (np.reshape(each, own) if np.ndim(each) else each for each in (gamma, beta))
        return np.moveaxis(normalised * gamma + beta, 1, axis + 1)


_names.offer(globals())

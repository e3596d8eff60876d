"""Layers that say how a row's numbers are to be seen: Reshape, Identity, Permute, RepeatVector."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_count, shown
from fastnn.layers._axes import permute_op, stretch_op
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer, check_shape
from fastnn.typing import DoubleArray, Shape

__all__ = ["Identity", "Permute", "RepeatVector", "Reshape"]


def _size(size: Any) -> int:
    if isinstance(size, int) and size < -1:
        raise ValueError("a size of target_shape must be a non-negative integer, or -1 for what is left")
    size = check_count("Reshape: target_shape", size, -1)
    return size if size == -1 else check_count("Reshape: target_shape", size)


@LAYERS.add("reshape")
@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Layer):
    """Rows of any shape -> rows of `target_shape`, the same numbers in the same order; one size may be -1, the rest."""

    target_shape: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        given = self.target_shape if isinstance(self.target_shape, (tuple, list)) else (self.target_shape,)
        try:
            sizes = tuple(_size(size) for size in given)
        except ValueError as error:
            raise ValueError(f"Reshape: {str(error).removeprefix('Reshape: ')}; target_shape={shown(given)}") from None
        if not sizes or sizes.count(-1) > 1:
            raise ValueError(
                f"Reshape: target_shape has at least one axis and at most one -1, got {shown(self.target_shape)} ("
                f"There must be at most one unknown dimension (-1); target_shape={shown(self.target_shape)})"
            )
        self._set("target_shape", sizes)
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        count, known = prod(input_shape), abs(prod(self.target_shape))
        shape = tuple(count // known if size == -1 else size for size in self.target_shape)
        if prod(shape) != count:
            raise ValueError(
                f"Reshape cannot make rows of shape {self.target_shape} of rows of shape {input_shape}, which have "
                f"{count} numbers"
            )
        return shape

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return x.reshape(len(x), *self.output_shape(x.shape[1:]))


@LAYERS.add("identity")
@dataclass(frozen=True, eq=False, repr=False)
class Identity(Layer):
    """x. Any shape -> the same."""

    passes_mask = True
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        own_input_shape(self)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return x


@LAYERS.add("permute")
@dataclass(frozen=True, eq=False, repr=False)
class Permute(Layer):
    """A row's axes in another order: axis i of what it gives is axis dims[i] of what it reads, both counted from 1.

    (a, b, c) -> (c, a, b) for dims (3, 1, 2). ValueError where dims are not 1, 2, ... in some order.
    """

    dims: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        try:
            dims = check_shape(self, "dims", self.dims)
        except ValueError as error:
            raise ValueError(f"{error}. Invalid permutation argument `dims`: {shown(self.dims)}") from None
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(
                f"Permute: dims must be the axes of a row, 1 to {len(dims)}, each once, got {shown(self.dims)}. "
                "Invalid permutation argument `dims`"
            )
        self._set("dims", dims)
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.dims):
            raise ValueError(f"Permute {self.dims} expects rows of {len(self.dims)} axes, got {input_shape}")
        return tuple(input_shape[axis - 1] for axis in self.dims)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (permute_op(input_shape, [axis - 1 for axis in self.dims]),)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.transpose(x, (0, *self.dims))


def _count(n: Any) -> int:
    whole = isinstance(n, int)
    return check_count(
        "RepeatVector: n", n, also="n should be a positive integer" if whole else "Expected an integer value for `n`"
    )


@LAYERS.add("repeat_vector")
@dataclass(frozen=True, eq=False, repr=False)
class RepeatVector(Layer):
    """A row's numbers n times, one line below the other: (features,) -> (n, features). n: at least 1."""

    n: int
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("n", _count(self.n))
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(
                f"RepeatVector expects rows of one axis, got rows of shape {input_shape}; Flatten makes them"
            )
        return (self.n, *input_shape)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (stretch_op(input_shape, self.output_shape(input_shape)),)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.repeat(x[:, None], self.n, axis=1)

"""Layers that make one tensor of several: Add, Subtract, ..., Concatenate, Dot; each as a function too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from fastnn import kernels
from fastnn._checks import shown
from fastnn.engine.ops import ConcatenateOp, ConstantOp, DotOp, MergeOp
from fastnn.layers._axes import row_axis, stretch_op
from fastnn.layers.base import LAYERS, Layer
from fastnn.layers.tensor import called
from fastnn.typing import DoubleArray, Shape

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Several(Layer):
    """A layer of several inputs."""

    passes_mask = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of what the layer gives, for one of each input, an array or None; None where there is none.

        ValueError for other than two lists.
        """
        if previous_mask is None:
            return None
        for name, given in (("mask", previous_mask), ("inputs", inputs)):
            if not isinstance(given, (list, tuple)):
                raise ValueError(f"{type(self).__name__}: `{name}` should be a list, got {shown(given)}")
        if len(inputs) != len(previous_mask):
            raise ValueError(
                f"{type(self).__name__}: `inputs` and `mask` should have the same length, got {len(inputs)} and "
                f"{len(previous_mask)}"
            )
        masks = [mask if mask is None else np.asarray(mask) != 0 for mask in previous_mask]
        return self._mask([tuple(x.shape) for x in inputs], masks)

    def mask_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...] | None:
        """Where all have a mask: 1 where one of them has."""
        known = [mask for mask in masks if mask is not None]
        if len(known) < len(masks) or not known:
            return None
        if len(set(known)) > 1:
            raise ValueError(f"layer {called(self)!r}: masks of shapes {', '.join(map(str, known))} do not go together")
        return (MergeOp(kernels.maximum_rows, max(1, prod(known[0])), len(masks)),) if len(masks) > 1 else ()

    def _mask(self, shapes: list[Any], masks: list[Any]) -> Any:
        """The mask for inputs of these shapes."""
        return None if any(mask is None for mask in masks) else np.logical_or.reduce(masks)


class _Merge(_Several):
    """Element by element, of tensors whose rows have one shape, or are broadcast to it as NumPy does it."""

    kernel: ClassVar[Any]

    def output_shape(self, *input_shapes: Shape) -> Shape:
        shapes = ", ".join(map(str, input_shapes)) or "none"
        try:
            if not input_shapes:
                raise ValueError
            return np.broadcast_shapes(*input_shapes)
        except ValueError:
            raise ValueError(
                f"{type(self).__name__} expects rows of one shape from all of its inputs, or sizes that are equal or 1 "
                f"from the last axis on, got {shapes}"
            ) from None

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        row = self.output_shape(*input_shapes)
        merge = MergeOp(self.kernel, prod(row), len(input_shapes))
        smaller = [k for k, shape in enumerate(input_shapes) if shape != row]
        if not smaller:
            return (merge,)
        reads = [smaller.index(k) if k in smaller else -1 - k for k in range(len(input_shapes))]
        return (*((stretch_op(input_shapes[k], row), (-1 - k,)) for k in smaller), (merge, reads))

    def reference(self, *xs: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        axes = max(x.ndim for x in xs)
        alike = [x.reshape(len(x), *(1,) * (axes - x.ndim), *x.shape[1:]) for x in xs]
        return self.formula(*np.broadcast_arrays(*alike))

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        """Of arrays of one shape."""
        raise TypeError(f"{type(self).__name__} has no formula")


@LAYERS.add("add")
@dataclass(frozen=True, eq=False, repr=False)
class Add(_Merge):
    """Sum of the inputs, element by element. All of one shape -> the same; smaller ones are broadcast."""

    name: str | None = None
    kernel = kernels.add_rows

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        return np.asarray(sum(xs))


@LAYERS.add("subtract")
@dataclass(frozen=True, eq=False, repr=False)
class Subtract(_Merge):
    """First input less the second, element by element. Two of one shape -> the same; a smaller one is broadcast."""

    name: str | None = None
    kernel = kernels.subtract_rows

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if len(input_shapes) != 2:
            raise ValueError(
                f"Subtract takes two inputs, got {len(input_shapes)} (the layer should be called on exactly 2 inputs)"
            )
        return super().output_shape(*input_shapes)

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        return np.asarray(xs[0] - xs[1])


@LAYERS.add("multiply")
@dataclass(frozen=True, eq=False, repr=False)
class Multiply(_Merge):
    """Product of the inputs, element by element. All of one shape -> the same; smaller ones are broadcast."""

    name: str | None = None
    kernel = kernels.multiply_rows

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        return np.asarray(np.prod(xs, axis=0))


@LAYERS.add("average")
@dataclass(frozen=True, eq=False, repr=False)
class Average(_Merge):
    """Mean of the inputs, element by element. All of one shape -> the same; smaller ones are broadcast."""

    name: str | None = None
    kernel = kernels.average_rows

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        return np.asarray(sum(xs) / len(xs))


@LAYERS.add("maximum")
@dataclass(frozen=True, eq=False, repr=False)
class Maximum(_Merge):
    """Largest of the inputs, by element; of equal ones the first has the slope.

    All of one shape -> the same; smaller ones are broadcast.
    """

    name: str | None = None
    kernel = kernels.maximum_rows

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        return np.asarray(np.max(xs, axis=0))


@LAYERS.add("minimum")
@dataclass(frozen=True, eq=False, repr=False)
class Minimum(_Merge):
    """Least of the inputs, by element; of equal ones the first has the slope.

    All of one shape -> the same; smaller ones are broadcast.
    """

    name: str | None = None
    kernel = kernels.minimum_rows

    def formula(self, *xs: DoubleArray) -> DoubleArray:
        return np.asarray(np.min(xs, axis=0))


@LAYERS.add("concatenate")
@dataclass(frozen=True, eq=False, repr=False)
class Concatenate(_Several):
    """The inputs one behind the other along an axis. Shapes that differ in that axis alone -> their sum there.

    axis: -1, the last; axis 0 is that of the rows and cannot be.
    """

    axis: int = -1
    name: str | None = None

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if not input_shapes:
            raise ValueError("Concatenate expects at least one input, got none")
        first = input_shapes[0]
        axis = row_axis(self, self.axis, first)
        for shape in input_shapes:
            if len(shape) != len(first) or (*shape[:axis], *shape[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
                raise ValueError(
                    f"Concatenate expects rows whose shapes differ along axis {self.axis} alone, got "
                    f"{', '.join(map(str, input_shapes))} (it requires inputs with matching shapes except for the "
                    "concatenation axis)"
                )
        return (*first[:axis], sum(shape[axis] for shape in input_shapes), *first[axis + 1 :])

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        outer = prod(input_shapes[0][: row_axis(self, self.axis, input_shapes[0])])
        return (ConcatenateOp([prod(shape) for shape in input_shapes], outer),)

    def reference(self, *xs: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.concatenate(xs, axis=self.axis)

    def mask_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...] | None:
        """Along the last axis: 1 where one of them has. Along another their masks too are one behind the other."""
        axis, axes = row_axis(self, self.axis, rows[0]), len(rows[0]) - 1
        if axis == axes or not any(mask is not None for mask in masks):
            return super().mask_ops(rows, masks)
        ops: list[Any] = []
        for k, (row, mask) in enumerate(zip(rows, masks, strict=True)):
            if mask is None:  # all of it counts
                ops.append((ConstantOp(prod(row), np.ones(row[:axes])), (-1 - len(rows) - k,)))
        ones = iter(range(len(ops)))
        reads = tuple(next(ones) if mask is None else -1 - k for k, mask in enumerate(masks))
        join = ConcatenateOp([prod(row[:axes]) for row in rows], prod(rows[0][:axis]))
        return (*ops, (join, reads))

    def _mask(self, shapes: list[Any], masks: list[Any]) -> Any:
        if all(mask is None for mask in masks):
            return None
        rows = next(len(mask) for mask in masks if mask is not None)  # a symbolic shape does not say it
        full = [(rows, *shape[1:]) for shape in shapes]
        known = [np.ones(shape, bool) if mask is None else mask for shape, mask in zip(full, masks, strict=True)]
        whole = [
            np.broadcast_to(mask[..., None] if mask.ndim < len(shape) else mask, shape)
            for shape, mask in zip(full, known, strict=True)
        ]
        return np.concatenate(whole, axis=self.axis).any(axis=-1)


@LAYERS.add("dot")
@dataclass(frozen=True, eq=False, repr=False)
class Dot(_Several):
    """Sums of products of two inputs' vectors along an axis of each; a number for each pair of vectors.

    Shapes (.., n, ..) and (.., n, ..) -> what is left of both, (1,) where nothing is. axes: an axis of both, or one of
    each; axis 0 is that of the rows and cannot be. normalize: of unit vectors, so that the result is their cosine (a
    vector shorter than 1e-12 is divided by that).
    """

    axes: Any
    normalize: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        axes = tuple(self.axes) if isinstance(self.axes, (tuple, list)) else (self.axes, self.axes)
        if len(axes) != 2:
            raise ValueError(f"Dot: axes must be one axis or two, got {shown(self.axes)}")

    def _axes(self, left: Shape, right: Shape) -> tuple[int, int]:
        axes = self.axes if isinstance(self.axes, (tuple, list)) else (self.axes, self.axes)
        return row_axis(self, axes[0], left), row_axis(self, axes[1], right)

    def output_shape(self, left: Shape, right: Shape) -> Shape:
        i, j = self._axes(left, right)
        if left[i] != right[j]:
            raise ValueError(
                f"Dot expects two axes of one size, got {left[i]} along axis {i + 1} of {left} and {right[j]} along "
                f"axis {j + 1} of {right} (axis 0 is that of the rows)"
            )
        return (*left[:i], *left[i + 1 :], *right[:j], *right[j + 1 :]) or (1,)

    def ops(self, left: Shape, right: Shape) -> tuple[Any, ...]:
        i, j = self._axes(left, right)
        n = left[i]
        sizes = prod(left) // n, prod(left[i + 1 :]), prod(right) // n, prod(right[j + 1 :])
        return (DotOp(n, *sizes, normalize=bool(self.normalize)),)

    def reference(self, x: DoubleArray, y: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        i, j = self._axes(x.shape[1:], y.shape[1:])
        x, y = np.moveaxis(x, i + 1, -1), np.moveaxis(y, j + 1, -1)
        if self.normalize:
            x, y = (v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12) for v in (x, y))
        products = [np.tensordot(u, v, (-1, -1)) for u, v in zip(x, y, strict=True)]
        return np.asarray(products).reshape(len(x), *self.output_shape(*_shapes(x, y, i, j)))

    def mask_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> None:
        return None

    def _mask(self, shapes: list[Any], masks: list[Any]) -> None:
        return None


def _shapes(x: Any, y: Any, i: int, j: int) -> tuple[Shape, Shape]:
    """The shapes of rows before their axis i, or j, was moved to the end."""
    return np.moveaxis(x, -1, i + 1).shape[1:], np.moveaxis(y, -1, j + 1).shape[1:]


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Add()(inputs)``."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Subtract()(inputs)``."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Multiply()(inputs)``."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Average()(inputs)``."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Maximum()(inputs)``."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """``Minimum()(inputs)``."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: Sequence[Any], axes: Any = -1, **kwargs: Any) -> Any:
    """``Dot(axes)(inputs)``."""
    return Dot(axes, **kwargs)(inputs)

"""EinsumDense: a Dense layer along the axes that an equation names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fastnn import _names, activations
from fastnn._checks import check_count, shown
from fastnn.engine.ops import DenseOp, ScaleShiftOp
from fastnn.initializers import Initializer
from fastnn.layers._axes import along, permute_op, sizes
from fastnn.layers._fields import ShapeArgument, own_input_shape, parameter_of, resolve_units
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.core import activation_ops
from fastnn.typing import DoubleArray, Shape

__all__ = ["EinsumDense"]

EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class _Parsed(NamedTuple):
    """What an equation says of rows of a shape. Labels are letters, and numbers for axes behind an ellipsis."""

    reads: tuple[Any, ...]  # the axes of a row
    gives: tuple[Any, ...]
    size: dict[Any, int]
    summed: tuple[str, ...]  # the kernel's axes over which is summed, then those that are new
    new: tuple[str, ...]

    def sizes(self, labels: Any) -> Shape:
        """The sizes of axes."""
        return tuple(self.size[label] for label in labels)


class _OfMatrix(Initializer):
    """An initializer that goes by the numbers of inputs and outputs, for a kernel of several axes of each."""

    def __init__(self, initializer: Any, matrix: Shape) -> None:
        vars(self).update(initializer=initializer, matrix=matrix, seed=initializer.seed)

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        values: DoubleArray = vars(self)["initializer"].values(vars(self)["matrix"], rng).reshape(shape)
        return values


@LAYERS.add("einsum_dense")
@dataclass(frozen=True, eq=False, repr=False)
class EinsumDense(Layer):
    """activation(einsum(equation, x, kernel) + bias): Dense over some axes of a row, which give way to others.

    equation: "ab,bc->ac" is Dense, "abc,cd->abd" Dense on each step, "abcd,cde->abe" takes two axes at once,
    "abc,cde->abde" gives two; a is the axis of the rows. "...ab,bc->...ac" and "ab...,bc->ac..." stand for any number
    of axes. The kernel has those axes first over which is summed, then the new ones; an axis of x that stays is not
    among the kernel's. output_shape: the sizes of the axes given, without the rows and those behind an ellipsis; None
    where x has the axis. bias_axes: the letters of axes given that have a bias; None for no bias. activation,
    initializers, regularizers, constraints: a name or an object. ValueError for another equation.
    """

    equation: str
    output_shape: Any = field()
    activation: Any = None
    bias_axes: str | None = None
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.equation, str) or EQUATION.fullmatch(self.equation.replace(" ", "")) is None:
            raise ValueError(
                f"EinsumDense: equation must be like 'ab,bc->ac', '...ab,bc->...ac' or 'ab...,bc->ac...', got "
                f"{shown(self.equation)}"
            )
        given = self.output_shape if isinstance(self.output_shape, (tuple, list)) else (self.output_shape,)
        named = "EinsumDense: output_shape"
        sizes_given = (size if size is None else check_count(named, size) for size in given)
        self._set("output_shape", ShapeArgument(sizes_given).of(self))
        if self.bias_axes is not None and not (isinstance(self.bias_axes, str) and self.bias_axes.isalpha()):
            raise ValueError(
                f"EinsumDense: bias_axes must be letters of the equation or None, got {shown(self.bias_axes)}"
            )
        self._set("activation", activations.get(self.activation))
        resolve_units(self, "kernel", "bias")
        own_input_shape(self)

    def parsed(self, row: Shape) -> _Parsed:
        """The equation for rows of this shape. ValueError where they do not go with it, or it is of no Dense layer."""
        match = EQUATION.fullmatch(self.equation.replace(" ", ""))
        assert match is not None
        left, x, right, letters, left_given, given, right_given = match.groups()
        kernel = tuple(letters)
        more = len(row) + 1 - len(x)
        if (left, right) != (left_given, right_given) or (left and right):
            raise self._refusal("has its ellipsis in front of both x and what is given, or behind both")
        if more < 0 or (more and not (left or right)):
            raise self._refusal(f"is for rows of {len(x) - 1} axes, got rows of shape {row}")
        others = tuple(range(more))
        reads = (*others, *x) if left else (*x, *others)
        gives = (*others, *given) if left else (*given, *others)
        if any(len(set(labels)) < len(labels) for labels in (reads, gives, kernel)):
            raise self._refusal("has a letter twice in one place")
        if reads[0] != gives[0] or reads[0] in kernel:
            raise self._refusal(f"must leave the axis of the rows, {reads[0]!r}, in front")
        size = dict(zip(reads[1:], row, strict=True))
        own = [label for label in gives[1:] if isinstance(label, str)]
        if len(own) != len(self.output_shape):
            raise self._refusal(f"gives {len(own)} axes that it names, got output_shape {tuple(self.output_shape)}")
        for label, found in zip(own, self.output_shape, strict=True):
            if found is None and label not in size:
                raise self._refusal(f"does not say how large {label!r} is; write it in output_shape")
            if found is not None and size.setdefault(label, found) != found:
                raise self._refusal(f"takes {label!r} as {found} in output_shape, and x has {size[label]}")
        summed = tuple(label for label in kernel if label in reads and label not in gives)
        new = tuple(label for label in kernel if label in gives and label not in reads)
        kept = [label for label in reads if label not in summed]
        if summed + new != kernel or set(gives) != {*kept, *new} or not new:
            raise self._refusal(
                "is of no Dense layer: the kernel has the axes over which is summed, then those that are new, and all "
                "others of x stay"
            )
        if self.bias_axes is not None and not set(self.bias_axes) <= set(own):
            raise self._refusal(f"gives no axes {self.bias_axes!r} for bias_axes")
        return _Parsed(reads[1:], gives[1:], size, summed, new)

    def _refusal(self, why: str) -> ValueError:
        return ValueError(f"EinsumDense: equation {self.equation!r} {why}")

    def row_given(self, row: Shape) -> Shape:
        """The shape of a row of what it gives for rows of this shape."""
        found = self.parsed(row)
        given: Shape = self.activation.row_given(found.sizes(found.gives))
        return given

    def _biased(self, found: _Parsed) -> list[Any]:
        """The axes that have a bias, in the order in which they are given."""
        return [label for label in found.gives if isinstance(label, str) and label in (self.bias_axes or "")]

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        found, biased = self.parsed(input_shape), self._biased(self.parsed(input_shape))
        kernel = parameter_of(self, "kernel", found.sizes(found.summed + found.new))
        if hasattr(kernel.initializer, "rule"):
            matrix = prod(found.sizes(found.summed)), prod(found.sizes(found.new))
            kernel = kernel._replace(initializer=_OfMatrix(kernel.initializer, matrix))
        if not biased:
            return (kernel,)
        behind = found.gives[found.gives.index(biased[0]) :]
        return kernel, parameter_of(self, "bias", tuple(found.size[x] if x in biased else 1 for x in behind))

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        found = self.parsed(input_shape)
        biased, kept = self._biased(found), [label for label in found.reads if label not in found.summed]
        row, order, given = found.sizes(found.gives), [*kept, *found.summed], [*kept, *found.new]
        joined = biased == list(found.new)
        dense = DenseOp(
            prod(found.sizes(found.summed)), prod(found.sizes(found.new)), joined, lines=prod(found.sizes(kept))
        )
        ops: list[Any] = [dense]
        if order != list(found.reads):
            ops.insert(0, permute_op(input_shape, [found.reads.index(label) for label in order]))
        if given != list(found.gives):
            ops.append(permute_op(found.sizes(given), [given.index(label) for label in found.gives]))
        if biased and not joined:
            axes = [found.gives.index(label) for label in biased]
            ops += along(row, axes, ScaleShiftOp(prod(row), prod(sizes(row, axes)), scale=False))
        if self.activation != activations.linear:
            ops += activation_ops(self.activation, row, len(ops))
        return tuple(ops)

    def reference(self, x: DoubleArray, kernel: DoubleArray, bias: Any = 0.0) -> DoubleArray:
        """The formula, in float64."""
        return np.asarray(self.activation.reference(np.einsum(self.equation, x, kernel) + bias))


_names.offer(globals())

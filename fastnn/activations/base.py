"""What an activation is, and the table of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.exceptions import AxisError

from fastnn._checks import check_count, shown
from fastnn._config import Configured
from fastnn._fields import Fields
from fastnn._numbers import as_numbers
from fastnn._table import Table, field_values, overrides
from fastnn.typing import Array, ArrayLike, DoubleArray, Shape

__all__ = ["ACTIVATIONS", "Activation", "RowActivation"]


@dataclass(frozen=True, eq=False, repr=False)
class Activation(Fields, Configured):
    """An activation a = f(z), elementwise or along the last axis. (rows, units) -> (rows, units).

    A subclass with a ``__call__(x)`` of its own, elementwise, runs in Python, as a function does (see Custom); with a
    method `derivative` of x, that gives the slope.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    kernel: ClassVar[Any] = None

    @property
    def compiled(self) -> bool:
        """Whether a network runs the kernel: not where a subclass has a ``__call__`` of its own."""
        return self.kernel is not None and not overrides(self, "kernel", "__call__")

    def numbers(self) -> tuple[float, ...]:
        """The activation's own numbers, as its kernel reads them."""
        return tuple(float(value) for value in field_values(self).values())

    def row_given(self, row: Shape) -> Shape:
        """The shape of a row of what it gives for rows of this shape."""
        return row

    def reference(self, z: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        raise TypeError(f"{type(self).__name__} has no reference")

    def __call__(self, x: ArrayLike, *values: Any, **fields: Any) -> Array:
        """f(x) by the kernel: float32 for float32 in, else float64; shape of x.

        values and fields are the activation's own, in their order or by name, for this call:
        ``relu(x, max_value=6)``. TypeError for a field that it does not have.
        """
        if values or fields:
            names = [field.name for field in dataclasses.fields(self)]
            if len(values) > len(names):
                raise TypeError(
                    f"{self.table_name} takes x and {', '.join(names) or 'nothing more'}; got {shown(values)} too"
                )
            return dataclasses.replace(self, **dict(zip(names, values, strict=False)), **fields)(x)
        if self.kernel is None:
            raise TypeError(f"{type(self).__name__} has no __call__(self, x), which gives the values")
        z = as_numbers(x, "x")
        return np.asarray(self.kernel(z, self.numbers())).reshape(z.shape)


class RowActivation(Activation):
    """An activation along the last axis of what a layer gives; along any axis when it is called."""

    abstract: ClassVar[bool] = True

    def __call__(self, x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
        """f(x) along `axis`, or along several together: float32 for float32 in, else float64; shape of x.

        AxisError where x has no such axis.
        """
        name = getattr(self, "table_name", type(self).__name__)
        z = as_numbers(x, "x")
        given = axis if isinstance(axis, (tuple, list)) and axis else (axis,)
        axes = [check_count(f"{name}: axis", each, -64, 63) for each in given]  # as many as NumPy's arrays have
        for each in axes:
            if not -z.ndim <= each < z.ndim:
                raise AxisError(f"{name}: axis must be one of the {z.ndim} that x has, got {each}")
        if len({each % z.ndim for each in axes}) < len(axes):
            raise ValueError(f"{name}: axis must name each axis once, got {shown(axis)}")
        last = tuple(range(-len(axes), 0))
        moved = np.moveaxis(z, axes, last)
        lines = moved.reshape(*moved.shape[: z.ndim - len(axes)], int(np.prod(moved.shape[z.ndim - len(axes) :])))
        return np.moveaxis(super().__call__(lines).reshape(moved.shape), last, axes)


ACTIVATIONS: Table[Activation] = Table("activation", Activation, shares=True)

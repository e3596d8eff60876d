"""Constraints: where weights may be. A parameter is put there after every step.

A parameter is a matrix here, (rows, columns); a vector is one column. ``constraint(w)`` gives a copy that is
constrained; names, formulas and defaults are Keras 3's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import _names, kernels
from fastnn._checks import check_number, shown
from fastnn._config import Configured, serialize as _serialize
from fastnn._fields import Fields
from fastnn._numbers import as_numbers, refuse_masked
from fastnn._table import Table, overrides, refuse_other
from fastnn.typing import Array, DoubleArray

EPSILON = 1e-7


@dataclass(frozen=True, eq=False, repr=False)
class Constraint(Fields, Configured):
    """Puts a parameter where it may be. Threads share it by columns; by rows where the first of its numbers is 1.

    A subclass with a ``__call__(w)`` of its own, which gives weights of the same shape, runs in Python.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    kernel: ClassVar[Any] = None

    @property
    def compiled(self) -> bool:
        """Whether training runs the kernel: not where a subclass has a ``__call__`` of its own."""
        return self.kernel is not None and not overrides(self, "kernel", "__call__")

    def __call__(self, w: Array) -> Array:
        """A constrained copy of w, (rows, columns) or (rows,): float64 if w is, else float32. ValueError for others.

        Of ``Constraint()`` itself a copy as it is; TypeError of a subclass that does not say what it does.
        """
        if type(self) is Constraint:
            return np.array(as_numbers(w, "w"))
        if self.kernel is None:
            raise TypeError(f"{type(self).__name__} has no __call__(self, w), which gives the weights constrained")
        w = as_numbers(w, "w")
        copy = np.array(w, np.float64 if w.dtype == np.float64 else np.float32, order="C")
        axis = self.numbers()[0]
        if not axis < copy.ndim <= 2:
            needed = "a matrix" if axis else "a matrix or a vector"
            raise ValueError(f"{type(self).__name__} along axis {axis:.0f} takes {needed}, got shape {w.shape}")
        self.kernel(copy if copy.ndim == 2 else copy[:, None], self.numbers())
        return copy

    def numbers(self) -> tuple[float, ...]:
        """The axis that the kernel's vectors run along, and the constraint's own numbers."""
        return (0,)

    def reference(self, w: DoubleArray) -> DoubleArray:
        """The constrained w, in float64."""
        raise TypeError(f"{type(self).__name__} has no reference")


CONSTRAINTS: Table[Constraint] = Table("constraint", Constraint)


@CONSTRAINTS.add("non_neg")
class NonNeg(Constraint):
    """max(w, 0)."""

    kernel = kernels.non_neg

    def reference(self, w: DoubleArray) -> DoubleArray:
        return np.maximum(w, 0)


class _Norm(Constraint):
    """A constraint on the lengths of the vectors along `axis`, where numbers are axis, least, largest, rate."""

    kernel = kernels.norm_between

    def _check_axis(self, axis: object) -> None:
        if isinstance(axis, np.ndarray) or axis not in (0, 1):
            raise ValueError(f"{type(self).__name__}: axis must be 0 (columns) or 1 (rows), got {shown(axis)}")

    def reference(self, w: DoubleArray) -> DoubleArray:
        axis, least, largest, rate = self.numbers()
        length = np.sqrt((w**2).sum(axis=int(axis), keepdims=True))
        wanted = rate * np.clip(length, least, largest) + (1 - rate) * length
        return np.asarray(w * (wanted / (EPSILON + length)))


@CONSTRAINTS.add("max_norm")
@dataclass(frozen=True, eq=False, repr=False)
class MaxNorm(_Norm):
    """w * min(length, max_value) / (1e-7 + length), the length of each column (axis 0) or row (axis 1).

    max_value: at least 0. Source: Srebro et al. 2005; for networks Srivastava et al. 2014, section 5.1.
    """

    max_value: float = 2
    axis: int = 0

    def __post_init__(self) -> None:
        check_number(self, "max_value", 0)
        self._check_axis(self.axis)

    def numbers(self) -> tuple[float, ...]:
        return (self.axis, 0, self.max_value, 1)


@CONSTRAINTS.add("unit_norm")
@dataclass(frozen=True, eq=False, repr=False)
class UnitNorm(_Norm):
    """w / (1e-7 + length), the length of each column (axis 0) or row (axis 1)."""

    axis: int = 0

    def __post_init__(self) -> None:
        self._check_axis(self.axis)

    def numbers(self) -> tuple[float, ...]:
        return (self.axis, 1, 1, 1)


@CONSTRAINTS.add("min_max_norm")
@dataclass(frozen=True, eq=False, repr=False)
class MinMaxNorm(_Norm):
    """w * wanted / (1e-7 + length), the length of each column (axis 0) or row (axis 1).

    wanted = rate * clip(length, min_value, max_value) + (1 - rate) * length. 0 <= min_value <= max_value. rate: 0 to 1.
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: int = 0

    def __post_init__(self) -> None:
        check_number(self, "min_value", 0)
        check_number(self, "max_value", self.min_value)
        check_number(self, "rate", 0, 1)
        self._check_axis(self.axis)

    def numbers(self) -> tuple[float, ...]:
        return (self.axis, self.min_value, self.max_value, self.rate)


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm  # Keras's lower-case spellings


def applied(constraint: Any, w: Array) -> Array:
    """The weights w as a constraint that is Python has them. ValueError where it gives another shape."""
    if not callable(constraint) or isinstance(constraint, type):
        raise TypeError(f"constraint must be a function of the weights, got {shown(constraint)}")
    found = constraint(as_numbers(w, "w"))
    refuse_masked(found, "what a constraint gives")
    found = np.asarray(found)
    if found.shape != np.shape(w) or found.dtype.kind not in "fiub":
        name = getattr(constraint, "__name__", type(constraint).__name__)
        raise ValueError(
            f"constraint {name} gave {found.dtype} {found.shape} for weights of shape {np.shape(w)}; it must give "
            "numbers of that shape"
        )
    return found


def get(identifier: Any) -> Any:
    """A constraint from its name, class, instance or configuration; a function of the weights, and None, stay as they
    are. ValueError if unknown.
    """
    if identifier is None or refuse_other(CONSTRAINTS, identifier):
        return identifier
    if isinstance(identifier, dict):
        return CONSTRAINTS.from_config(identifier)
    return CONSTRAINTS.get(identifier)


def serialize(constraint: Any) -> Any:
    """A constraint as Keras writes it down: its class, its configuration; a function by its name."""
    return _serialize(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that ``serialize`` wrote down, or that a name stands for; custom_objects has others by name."""
    return CONSTRAINTS.deserialize(config, custom_objects)


_names.offer(globals())

"""What an optimizer keeps, as Keras hands it out: numbers and arrays that can be read, and given another value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fastnn._checks import shown
from fastnn._numbers import as_numbers
from fastnn.typing import Array, Shape

__all__ = ["OptimizerVariable", "Rate"]


class OptimizerVariable(NDArrayOperatorsMixin):
    """An array that an optimizer keeps, such as a momentum, or its count of steps: always what it is at the moment.

    name: "dense/kernel_momentum". ``numpy()`` and ``value`` give a copy, ``assign`` sets it. It may stand in NumPy's
    functions and operators.
    """

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Array], None]) -> None:
        self.name = self.path = name
        self._read, self._write = read, write

    @property
    def value(self) -> Array:
        """The array; a copy."""
        return np.array(self._read())

    def numpy(self) -> Array:
        """The array; a copy."""
        return self.value

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return self.value.shape

    @property
    def dtype(self) -> str:
        """The name of its type: "float32", of counts "int64"."""
        return self.value.dtype.name

    def assign(self, value: Any) -> OptimizerVariable:
        """Set it. ValueError for another shape."""
        here, given = self.value, as_numbers(value, self.name)
        if given.shape != here.shape:
            raise ValueError(f"{self.name} has the shape {here.shape}, got {given.shape}")
        if here.dtype.kind == "i" and not ((given >= 0) & (given < 2**53) & (given == np.trunc(given))).all():
            raise ValueError(f"{self.name} must be a whole number of at least 0, got {shown(value)}")
        self._write(given.astype(here.dtype))
        return self

    def assign_add(self, value: Any) -> OptimizerVariable:
        """Add to it."""
        return self.assign(self.value + as_numbers(value, self.name))

    def assign_sub(self, value: Any) -> OptimizerVariable:
        """Subtract from it."""
        return self.assign(self.value - as_numbers(value, self.name))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.value if dtype is None else self.value.astype(dtype)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [each.value if isinstance(each, OptimizerVariable) else each for each in inputs]
        return getattr(function, method)(*arrays, **options)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return self.value.__index__()

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, place: Any) -> Any:
        return self.value[place]

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<OptimizerVariable {self.name}: {shown(self.value)}>"


class Rate(float):
    """An optimizer's learning rate: a float that also answers as Keras's variable does.

    ``assign(0.01)`` sets the optimizer's; the number itself stays what it was when it was read.
    """

    _owner: Any

    def __new__(cls, value: float, owner: Any) -> Rate:
        made = super().__new__(cls, value)
        made._owner = owner
        return made

    @property
    def value(self) -> Any:
        """What the optimizer's learning rate is now, as a float32."""
        return np.float32(self._owner.learning_rate)

    def numpy(self) -> Any:
        """What the optimizer's learning rate is now, as a float32."""
        return self.value

    @property
    def name(self) -> str:
        """ "learning_rate"."""
        return "learning_rate"

    @property
    def shape(self) -> Shape:
        """()."""
        return ()

    @property
    def dtype(self) -> str:
        """ "float32"."""
        return "float32"

    def assign(self, value: Any) -> Rate:
        """Set the optimizer's learning rate, which is checked as if it were set there; gives the new one."""
        given = as_numbers(value, "learning_rate")
        if given.shape != ():
            raise ValueError(f"learning_rate must be one number, got an array of shape {given.shape}")
        self._owner.learning_rate = float(given)
        new: Rate = self._owner.learning_rate
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return float, (float(self),)  # the optimizer that it is set in makes it one of its own

    def __deepcopy__(self, memo: Any) -> float:
        return float(self)

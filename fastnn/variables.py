"""Variables: arrays that can be set, as Keras has them. A weight is one that is read and set where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fastnn._checks import as_flag, check_choice, check_count, check_text, shown
from fastnn._numbers import as_numbers
from fastnn.typing import Array, ArrayLike, Shape

__all__ = ["Variable"]


class Variable(NDArrayOperatorsMixin):
    """An array that can be set; in arithmetic and for NumPy it is what it holds at that moment.

    initializer: the first values, or a function of (shape, dtype) that gives them, with `shape`. dtype: of numbers, by
    default that of whole numbers given, else float32. trainable, name: as in Keras. autocast, aggregation and
    synchronization ask for nothing here. It has what arrays have (``.mean()``, ``.T``), of a copy. TypeError,
    ValueError where the values are no numbers of that shape.
    """

    aggregation: str = "none"
    synchronization: str = "auto"

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
    ) -> None:
        kind = "Variable"
        as_flag(f"{kind}: autocast", autocast)
        self.aggregation = "none" if aggregation is None else aggregation
        self.synchronization = "auto" if synchronization is None else synchronization
        check_choice(self, "aggregation", "none", "mean", "sum", "only_first_replica")
        check_choice(self, "synchronization", "none", "auto", "on_write", "on_read")
        self._name = "variable" if name is None else check_text(f"{kind}: name", name)
        self._trainable = as_flag(f"{kind}: trainable", trainable)
        wanted = None if dtype is None else _dtype_of(dtype)
        if isinstance(initializer, type):
            raise TypeError(f"{kind}: initializer must be values or a function of a shape, got {shown(initializer)}")
        if callable(initializer) and not isinstance(initializer, Variable):
            if shape is None:
                raise ValueError(f"{kind}: a shape goes with an initializer that is a function")
            sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
            sizes = tuple(check_count(f"{kind}: shape", size, 0) for size in sizes)
            initializer = initializer(sizes, dtype=str(np.dtype(np.float32) if wanted is None else wanted))
        array = as_numbers(initializer, f"{kind}: initializer")
        if shape is not None and array.shape != tuple(np.atleast_1d(shape).tolist()):
            raise ValueError(f"{kind}: shape must be that of the values, {array.shape}, got {shown(shape)}")
        if wanted is None:
            wanted = array.dtype if array.dtype.kind in "iub" else np.dtype(np.float32)
        with np.errstate(all="ignore"):
            self._array: Array = np.array(array, wanted)

    # Where the numbers lie; a weight's lie elsewhere.

    def _locked(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def _view(self) -> Array:
        return self._array

    def _write(self, held: Any, values: Array) -> None:
        self._view()[...] = values

    @property
    def name(self) -> str:
        """What it is called: "kernel", "bias"."""
        return self._name

    @property
    def path(self) -> str:
        """Its name, after that of what has it: "dense/kernel"."""
        return self.name

    @property
    def trainable(self) -> bool:
        """Whether it learns."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = as_flag(f"{self.path}: trainable", value)

    @property
    def shape(self) -> Shape:
        """The sizes of its axes."""
        return self._view().shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """What its numbers are: float32 for a weight."""
        return self._view().dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def numpy(self) -> Array:
        """A copy of what it holds."""
        with self._locked():
            return self._view().copy()

    @property
    def value(self) -> Array:
        """A copy of what it holds."""
        return self.numpy()

    def assign(self, value: ArrayLike) -> Array:
        """Set it to an array of its shape, and give that. ValueError where it has another shape."""
        return self._assigned(value, "assign", lambda _, new: new)

    def assign_add(self, value: ArrayLike) -> Array:
        """Add an array of its shape, or a number, and give the sum."""
        return self._assigned(value, "assign_add", np.add)

    def assign_sub(self, value: ArrayLike) -> Array:
        """Take away an array of its shape, or a number, and give the difference."""
        return self._assigned(value, "assign_sub", np.subtract)

    def _assigned(self, value: ArrayLike, method: str, of: Any) -> Array:
        given = as_numbers(value, f"{self.path}.{method}: value")
        with self._locked() as held, np.errstate(all="ignore"):
            view = self._view()
            try:
                new = of(view, given)
            except ValueError:  # they cannot be spread over each other
                new = given
            if new.shape != view.shape:
                raise ValueError(
                    f"{self.path}: the shape of the target variable and the shape of the target value in "
                    f"`variable.{method}(value)` must match. variable.shape={view.shape}, Received: "
                    f"value.shape={given.shape}"
                )
            result: Array = new.astype(view.dtype)
            self._write(held, result)
        return result

    # As an array.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(f"{self.path}: what a Variable holds is given as a copy")
        return self.numpy().astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        if any(isinstance(each, Variable) for each in named.get("out", ())):
            raise TypeError(f"{self.path}: NumPy cannot write into a Variable; use assign(...)")
        return getattr(ufunc, method)(*map(_plain, inputs), **{key: _plain(value) for key, value in named.items()})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of arrays' own protocols, which would read a copy that is gone
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return getattr(self.numpy(), name)

    def __getitem__(self, key: Any) -> Any:
        return self.numpy()[_plain(key)]

    def __len__(self) -> int:
        return len(self._view())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numpy())

    def __contains__(self, value: Any) -> bool:
        return value in self.numpy()

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __round__(self, digits: int = 0) -> Any:
        return self.numpy().round(digits)

    def __format__(self, spec: str) -> str:
        return format(self.numpy()[()], spec) if spec else str(self)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.numpy()}>"


# `v += 1` makes an array of v + 1, as `v = v + 1` does: NumPy's would write into v.
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    setattr(Variable, f"__i{_name}__", getattr(NDArrayOperatorsMixin, f"__{_name}__"))


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, Variable) else value


def _dtype_of(value: Any) -> np.dtype[Any]:
    """The dtype of numbers that `value` names. ValueError for another."""
    found: np.dtype[Any] | None
    try:
        found = np.dtype(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.kind not in "biuf":
        raise ValueError(f"Variable: dtype must be one of numbers, such as 'float32', got {shown(value)}")
    return found

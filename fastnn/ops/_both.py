"""What functions of ``fastnn.ops`` have in common: symbolic tensors become parts of a model, arrays go to NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Never

import numpy as np

from fastnn._checks import check_count, shown
from fastnn._names import users_line
from fastnn.layers.arithmetic import as_tensor, binary, symbolic
from fastnn.layers.operation import operation
from fastnn.layers.tensor import SymbolicError, Tensor
from fastnn.layers.weight import Weight
from fastnn.typing import Array


class Rows:
    """How many rows a symbolic tensor has: any number. It stands in the shapes that ``ops.shape`` gives."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __repr__(self) -> str:
        return "None"

    def normal(self, row: Sequence[Any], mean: float, stddev: float, seed: int | None) -> Tensor:
        """Normal numbers for each row, as ``random.normal`` asks for them."""
        sizes = [check_count("random.normal: shape", size) for size in row]
        return operation("normal", self.tensor, shape=sizes, mean=float(mean), stddev=float(stddev), seed=seed)

    def __index__(self) -> Never:
        raise TypeError(
            "the number of rows is not known while a model is described: it may stand first in a shape, and nowhere "
            f"else{users_line()}"
        )

    __int__ = __float__ = __index__

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Rows)

    __hash__ = object.__hash__


class Reduced:
    """One number for all rows of a batch: the mean of a tensor's rows, or their sum. It is for ``add_loss``.

    tensor: a number for each row. how: "mean" or "sum".
    """

    shape: tuple[int, ...] = ()

    def __init__(self, tensor: Tensor, how: str) -> None:
        self.tensor, self.how = tensor, how

    def __repr__(self) -> str:
        return f"<the {self.how} over all rows of {self.tensor!r}>"

    def combined(self, kind: str, other: Any, turned: bool = False) -> Any:
        """It and a number or its like, by an operator; turned: it stands on the right."""
        if isinstance(other, Reduced):
            fits, value = other.how == self.how and kind in ("add", "sub"), other.tensor
        else:
            fits = np.ndim(other) == 0 and isinstance(other, (int, float, np.number))
            fits = fits and kind in (("add", "sub", "mul", "truediv") if self.how == "mean" else ("mul", "truediv"))
            fits = fits and not (turned and kind == "truediv")
            value = other
        if not fits:
            raise TypeError(
                f"{self!r} goes with numbers and with its like alone; write it for each row, and take the mean last"
                f"{users_line()}"
            )
        pair = (value, self.tensor) if turned else (self.tensor, value)
        return Reduced(binary(kind, *pair), self.how)

    def __add__(self, other: Any) -> Any:
        return self.combined("add", other)

    def __radd__(self, other: Any) -> Any:
        return self.combined("add", other, True)

    def __sub__(self, other: Any) -> Any:
        return self.combined("sub", other)

    def __rsub__(self, other: Any) -> Any:
        return self.combined("sub", other, True)

    def __mul__(self, other: Any) -> Any:
        return self.combined("mul", other)

    def __rmul__(self, other: Any) -> Any:
        return self.combined("mul", other, True)

    def __truediv__(self, other: Any) -> Any:
        return self.combined("truediv", other)

    def __neg__(self) -> Any:
        return Reduced(binary("mul", self.tensor, -1.0), self.how)

    def __array__(self, *_: object, **__: object) -> Any:
        raise TypeError(f"{self!r} has no numbers yet{users_line()}")


def tensor_of(x: Any) -> Tensor:
    """A tensor or a weight of the traced call as a tensor."""
    if isinstance(x, Weight):
        return x.tensor()
    assert isinstance(x, Tensor)
    return x


def array_of(x: Any, what: str = "x") -> Array:
    """An argument as an array; Python's floats are float32, as in Keras. TypeError for what holds no numbers."""
    if isinstance(x, Reduced):
        raise TypeError(f"{x!r} is for add_loss; take the mean last{users_line()}")
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what} must be a tensor or an array of numbers, got {shown(x)}{users_line()}")
    return (
        array.astype(np.float32) if array.dtype == np.float64 and not isinstance(x, (np.ndarray, np.generic)) else array
    )


def axis_in_row(x: Tensor, axis: Any, what: str = "axis") -> int:
    """An axis of ``x.shape`` as one of a row. ValueError for that of the rows, and for one that is not there."""
    number = check_count(what, axis, -x.ndim, x.ndim - 1) % x.ndim
    if x.node.same:
        return number
    if number == 0:
        raise ValueError(
            f"{what} {axis} of {x!r} is that of the rows: each is computed by itself; take another axis, or give all "
            f"rows to add_loss by ops.mean{users_line()}"
        )
    return number - 1


def reduced(how: str, x: Any, axis: Any, keepdims: bool) -> Any:
    """The sum, mean, largest or least along axes, of all numbers where `axis` is None."""
    if isinstance(x, Reduced):
        return x
    x = tensor_of(x)
    given = range(x.ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    numbers = sorted({check_count("axis", each, -x.ndim, max(0, x.ndim - 1)) % max(1, x.ndim) for each in given})
    over_rows = not x.node.same and 0 in numbers
    own = [number - (not x.node.same) for number in numbers if x.node.same or number]
    row = operation("reduce", x, how=how, axes=own, keepdims=bool(keepdims) and not over_rows) if own else x
    if not over_rows:
        return row
    if how not in ("sum", "mean") or row.row:
        raise ValueError(
            f"ops.{how} of {x!r} along the axis of the rows: each row is computed by itself; take axis=-1 or another, "
            f"or with ops.mean all axes, for add_loss{users_line()}"
        )
    return Reduced(row, how)


def beside(*values: Any) -> Tensor:
    """The first tensor among them, which says how many rows there are."""
    for value in values:
        if isinstance(value, (Tensor, Weight)):
            return tensor_of(value)
    raise TypeError("expected a tensor")


def tensors_of(values: Sequence[Any]) -> list[Tensor]:
    """Tensors, weights and arrays of a list as tensors."""
    one = beside(*values)
    return [as_tensor(value, one) for value in values]


def is_symbolic(*values: Any) -> bool:
    """Whether a tensor is among them, or in a list among them."""
    flat = [each for value in values for each in (value if isinstance(value, (list, tuple)) else (value,))]
    return symbolic(*flat)


def told(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function; where it, or NumPy, finds its arguments wrong, the error names it."""

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except SymbolicError as error:
            raise SymbolicError(f"ops.{name}: {error}") from None
        except (TypeError, AttributeError) as error:
            raise TypeError(f"ops.{name}: {error}") from None
        except (ValueError, IndexError, OverflowError, ZeroDivisionError) as error:
            raise ValueError(f"ops.{name}: {error}") from None

    return call


def refused(name: str, advice: str) -> Any:
    """A function that takes arrays alone."""

    def function(*args: Any, **named: Any) -> Any:
        if is_symbolic(*args, *named.values()):
            raise TypeError(f"ops.{name} takes arrays, and no symbolic tensors: {advice}{users_line()}")
        return getattr(np, name)(*args, **named)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``numpy.{name}``, of arrays; TypeError for symbolic tensors."
    return function

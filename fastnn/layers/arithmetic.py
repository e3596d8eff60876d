"""Operators on symbolic tensors and on weights: ``t1 + t2``, ``1 - t``, ``t[:, 0:1]``, ``x @ w``."""

from __future__ import annotations

import operator as python
from collections.abc import Iterable
from math import prod
from typing import Any, Never

import numpy as np

from fastnn._checks import shown
from fastnn._names import users_line
from fastnn.layers.core import Activation
from fastnn.layers.merging import Add, Dot, Maximum, Minimum, Multiply, Subtract
from fastnn.layers.operation import operation
from fastnn.layers.reshaping import Reshape
from fastnn.layers.tensor import OPERATORS, TRACE, Tensor
from fastnn.layers.weight import Trace, Weight

__all__: list[str] = []

MERGES: dict[str, Any] = {"add": Add, "sub": Subtract, "mul": Multiply, "maximum": Maximum, "minimum": Minimum}
NUMPY: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "pow": np.power,
    "matmul": np.matmul,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "neg": np.negative,
    "pos": np.positive,
    "abs": np.abs,
    "getitem": python.getitem,
}

UFUNCS = {
    "absolute": "abs",
    "add": "add",
    "divide": "truediv",
    "matmul": "matmul",
    "multiply": "mul",
    "negative": "neg",
    "power": "pow",
    "subtract": "sub",
    "true_divide": "truediv",
}


def symbolic(*values: Any) -> bool:
    """Whether a tensor is among them, or a weight while a call is traced."""
    traced = TRACE.get() is not None
    return any(isinstance(value, Tensor) or (traced and isinstance(value, Weight)) for value in values)


def as_tensor(value: Any, beside: Tensor) -> Tensor:
    """A tensor for a tensor, a weight or an array; `beside` says how many rows there are.

    What is the same for all rows may have their axis, of size 1.
    """
    if isinstance(value, Weight):
        value = value.tensor()
    if isinstance(value, Tensor):
        axes = len(beside.row) + 1
        apart = value.node.same and not beside.node.same and len(value.row) == axes and value.row[0] == 1
        return reshape(value, value.row[1:]) if apart else value
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected a tensor or numbers beside {beside!r}, got {shown(value)}{users_line()}")
    if array.ndim == len(beside.row) + 1 and array.shape[0] == 1 and not beside.node.same:
        array = array[0]
    if array.ndim > len(beside.row) and not beside.node.same:
        raise ValueError(
            f"an array of shape {array.shape} does not go with {beside!r}, whose rows have the shape {beside.row}; "
            f"give what is the same for each row, or make it an Input{users_line()}"
        )
    node = operation("constant", beside, value=array.astype(float).tolist()).node
    node.same = True
    return node.tensors()[0]


def tensor_beside(values: Iterable[Any]) -> Tensor | None:
    """The first tensor among them, one that has rows of its own before those that are the same for all."""
    return min((each for each in values if isinstance(each, Tensor)), key=lambda each: each.node.same, default=None)


def _as_number(value: Any) -> float | None:
    """A number, None for what is a tensor, a weight, or several numbers."""
    if isinstance(value, (Tensor, Weight)) or np.ndim(value):
        return None
    if isinstance(value, str) or (not np.isscalar(value) and not isinstance(value, np.ndarray)):
        raise TypeError(f"expected a tensor or numbers, got {shown(value)}{users_line()}")
    return float(value)  # type: ignore[arg-type]


def _with_number(kind: str, x: Tensor, number: float, first: bool) -> Tensor | None:
    """An operator of a tensor and a number; first: the number stands on the left."""
    if kind == "add":
        return operation("affine", x, a=1.0, b=number)
    if kind == "sub":
        return operation("affine", x, a=-1.0 if first else 1.0, b=number if first else -number)
    if kind == "mul":
        return operation("affine", x, a=number, b=0.0)
    if kind == "truediv":
        if first:
            return operation("reciprocal", x, a=number)
        if number == 0:
            raise ZeroDivisionError(f"{x!r} is divided by 0{users_line()}")
        return operation("affine", x, a=1.0 / number, b=0.0)
    if kind == "maximum":
        return operation("clip", x, low=number)
    if kind == "minimum":
        return operation("clip", x, high=number)
    if first:  # number ** x
        if number <= 0:
            raise ValueError(f"{number} ** t needs a number above 0{users_line()}")
        return exponential(operation("affine", x, a=float(np.log(number)), b=0.0))
    if number in (2.0, 0.5, -1.0):
        return operation(
            {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}[number], x, **({"a": 1.0} if number < 0 else {})
        )
    return x if number == 1.0 else operation("power", x, a=number)


def exponential(x: Tensor) -> Tensor:
    """e^x."""
    given: Tensor = Activation("exponential")(x)
    return given


def binary(kind: str, left: Any, right: Any) -> Any:
    """An operator of two values."""
    if not symbolic(left, right):
        return NUMPY[kind](np.asarray(left), np.asarray(right))
    if kind == "matmul":
        return matmul(left, right)
    numbers = _as_number(left), _as_number(right)
    beside = tensor_beside((left, right))
    if beside is None:
        beside = next(each for each in (left, right) if isinstance(each, Weight)).tensor()
    for number, other, first in ((numbers[1], left, False), (numbers[0], right, True)):
        if number is not None:
            return _with_number(kind, as_tensor(other, beside), number, first)
    trace = TRACE.get()
    if kind == "add" and trace is not None:
        for one, other in ((left, right), (right, left)):
            fused = trace.sum(one, other) if isinstance(one, Tensor) else None
            if fused is not None:
                return fused
    tensors = [as_tensor(left, beside), as_tensor(right, beside)]
    if kind == "truediv":
        return MERGES["mul"]()([tensors[0], operation("reciprocal", tensors[1], a=1.0)])
    if kind == "pow":
        return exponential(Multiply()([operation("log", tensors[0]), tensors[1]]))
    return MERGES[kind]()(tensors)


def matmul(left: Any, right: Any) -> Tensor:
    """left @ right: a weight or constants on the right, or two tensors whose rows are matrices."""
    if isinstance(left, Tensor) and isinstance(right, Weight) and 1 <= right.ndim <= 2:
        trace: Trace | None = TRACE.get()
        if trace is not None and right.ndim == 2:
            return trace.product(left, right)
    if not isinstance(left, (Tensor, Weight)) and not isinstance(right, (Tensor, Weight)):
        raise TypeError(f"matmul takes at least one tensor{users_line()}")
    beside = next((each for each in (left, right) if isinstance(each, Tensor)), None)
    if beside is None:
        beside = (left if isinstance(left, Weight) else right).tensor()
    x = as_tensor(left, beside)
    y = right if isinstance(right, (Tensor, Weight)) else np.asarray(right)
    y = as_tensor(y, x) if not isinstance(y, np.ndarray) else _constant(y, x)
    if not 1 <= len(x.row) <= 2 or not 1 <= len(y.row) <= 2:
        raise ValueError(
            f"matmul takes rows of one or two axes, got {x.shape} and {y.shape}; write layers.Dense, layers.Dot or "
            f"layers.EinsumDense{users_line()}"
        )
    if x.row[-1] != y.row[0]:
        raise ValueError(f"matmul: {x.shape} and {y.shape} do not go together{users_line()}")
    given: Tensor = Dot((len(x.row), 1))([x, y])
    shape = (*x.row[:-1], *y.row[1:])
    if given.row != shape:
        given = reshape(given, shape)
    given.node.same = x.node.same and y.node.same
    return given


def _constant(array: Any, beside: Tensor) -> Tensor:
    node = operation("constant", beside, value=array.astype(float).tolist()).node
    node.same = True
    return node.tensors()[0]


def reshape(x: Tensor, row: tuple[int, ...]) -> Tensor:
    """The tensor with rows of another shape; of a single number without an axis too."""
    if not row:
        return operation("slice", Reshape((1,))(x) if x.row != (1,) else x, parts=[0])
    given: Tensor = Reshape(row)(x)
    return given


def part(x: Any, index: Any) -> Any:
    """x[index]: whole numbers, slices, None and ... ; the axis of the rows is taken whole."""
    if not symbolic(x):
        return np.asarray(x)[index]
    if isinstance(x, Weight):
        x = x.tensor()
    given = list(index) if isinstance(index, tuple) else [index]
    for place, each in enumerate(given):
        if isinstance(each, Tensor):
            _refuse_index(x, each)
        if isinstance(each, (list, np.ndarray)):
            raise TypeError(
                f"{x!r} cannot be indexed by a list; write ops.take(t, {shown(each)}, axis={place}){users_line()}"
            )
    if not x.node.same:
        rows = given.pop(0) if given and given[0] is not Ellipsis else slice(None)
        if not isinstance(rows, slice) or rows != slice(None):
            raise ValueError(
                f"{x!r} has any number of rows, so all are taken: write t[:, {shown(rows)}] for a part of each"
                f"{users_line()}"
            )
    axes = sum(each is not None and each is not Ellipsis for each in given)
    if axes > len(x.row):
        raise ValueError(f"{x!r} has {x.ndim} axes, got an index for more{users_line()}")
    rest: list[Any] = [slice(None)] * (len(x.row) - axes)
    at = next((place for place, each in enumerate(given) if each is Ellipsis), len(given))
    given[at : at + 1] = rest
    parts: list[Any] = []
    sizes = iter(x.row)
    for each in given:
        if each is None:
            parts.append("new")
        elif isinstance(each, slice):
            size = next(sizes)
            chosen = range(size)[each]
            if not chosen:
                raise ValueError(f"{x!r}: nothing is left of an axis of {size} by {each}{users_line()}")
            parts.append([chosen[0], len(chosen), chosen.step])
        else:
            size, number = next(sizes), python.index(each)
            if not -size <= number < size:
                raise IndexError(f"{x!r}: an axis of {size} has no number {number}{users_line()}")
            parts.append(number % size)
    whole = all(isinstance(each, list) and each[2] > 0 for each in parts)
    if whole and prod(count for _, count, _ in parts) == prod(x.row):
        return x
    return operation("slice", x, parts=parts)


def _refuse_index(x: Tensor, index: Tensor) -> Never:
    raise TypeError(
        f"{x!r} cannot be indexed by {index!r}; layers.Embedding and layers.Dot choose by values{users_line()}"
    )


def _unary(kind: str, x: Any) -> Any:
    if not symbolic(x):
        return NUMPY[kind](np.asarray(x))
    tensor = x.tensor() if isinstance(x, Weight) else x
    if kind == "pos":
        return tensor
    return operation("absolute", tensor) if kind == "abs" else operation("affine", tensor, a=-1.0, b=0.0)


for _kind in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    OPERATORS[_kind] = lambda left, right, kind=_kind: binary(kind, left, right)
for _kind in ("neg", "pos", "abs"):
    OPERATORS[_kind] = lambda x, kind=_kind: _unary(kind, x)
OPERATORS["getitem"] = part
OPERATORS["constant"] = as_tensor
OPERATORS["mask"] = lambda x: None if x.mask_row is None else operation("mask", x, axes=len(x.mask_row))
for _name, _kind in UFUNCS.items():
    OPERATORS[f"numpy.{_name}"] = OPERATORS[_kind]

"""Tensors of a model that is read from PyTorch, and what functions and methods of a traced ``forward`` make of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from typing import Any

from fastnn import layers as L, ops
from fastnn.layers.tensor import Tensor
from fastnn.typing import Shape


class Rows:
    """The number of rows, as a size."""

    def __repr__(self) -> str:
        return "the number of rows"


ROWS: Any = Rows()


class Value:
    """A symbolic tensor, and how PyTorch's axes lie in it.

    layout: "rows", as they are; "picture": PyTorch has the channels behind the rows, the tensor at the end; "steps":
    PyTorch has the steps before the rows.
    """

    def __init__(self, tensor: Tensor, layout: str = "rows") -> None:
        self.tensor, self.layout = tensor, layout
        self._turned: dict[str, Value] = {}

    def __repr__(self) -> str:
        return f"a tensor of shape {self.shape}"

    @property
    def order(self) -> list[int]:
        """For each axis of PyTorch's the tensor's."""
        n = len(self.tensor.row) + 1
        if self.layout == "picture":
            return [0, n - 1, *range(1, n - 1)]
        return [1, 0, *range(2, n)] if self.layout == "steps" else list(range(n))

    @property
    def shape(self) -> tuple[Any, ...]:
        """PyTorch's shape."""
        full = (ROWS, *self.tensor.row)
        return tuple(full[axis] for axis in self.order)

    def axis(self, dim: int) -> int:
        """The tensor's axis that PyTorch calls so. ValueError for that of the rows."""
        found = self.order[dim]
        if found == 0:
            raise ValueError(f"axis {dim} is that of the rows, each of which a model computes by itself")
        return found

    def like(self, tensor: Any) -> Value:
        """A tensor along the same axes."""
        return Value(tensor, self.layout)

    def as_rows(self) -> Value:
        """Along PyTorch's axes, but for that of the rows, which comes first."""
        if self.layout != "picture":
            return Value(self.tensor) if self.layout == "steps" else self
        row = self.tensor.row
        if "rows" not in self._turned:
            shape = (row[-1], *row[:-1])
            turn = L.Reshape(shape) if prod(row[:-1]) == 1 else L.Permute((len(row), *range(1, len(row))))
            self._turned["rows"] = Value(turn(self.tensor))
        return self._turned["rows"]

    def as_picture(self) -> Value:
        """With the channels at the end; rows of one axis, which have no picture, as they are."""
        if self.layout == "picture" or len(self.tensor.row) < 2:
            return self
        self.only_rows("a picture")
        if "picture" not in self._turned:
            turn = L.Permute((*range(2, len(self.tensor.row) + 1), 1))
            self._turned["picture"] = Value(turn(self.tensor), "picture")
        return self._turned["picture"]

    def as_layout(self, layout: str) -> Value:
        """As another value has its axes."""
        if layout == self.layout:
            return self
        return self.as_picture() if layout == "picture" else self.as_rows()

    def only_rows(self, what: str) -> None:
        """ValueError where the steps come first."""
        if self.layout == "steps":
            raise ValueError(f"{what} is expected with the rows first, and batch_first=False puts the steps there")


class OtherLayoutError(ValueError):
    """A module that goes along the steps is given the axes of rows and steps in the other order."""


class WithMore(list[Any]):
    """What a recurrent or attention module gives: a value, then states or weights, which a model alone leaves out."""


def reshaped(value: Value, sizes: Any) -> Value:
    """The value in another form, rows first."""
    value.only_rows("what is given another form")
    row: Shape = value.as_rows().tensor.row
    given = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else list(sizes)
    rest = given[1:]
    known = prod(size for size in rest if size != -1)
    if given and given[0] == -1 and -1 not in rest and known == prod(row):
        given[0] = ROWS
    if not given or given[0] is not ROWS or any(not isinstance(size, int) for size in rest):
        raise ValueError(f"sizes {given} do not keep the axis of the rows")
    if not rest:
        raise ValueError("a model gives rows of at least one axis")
    return Value(L.Reshape(tuple(rest))(value.as_rows().tensor))


def _pair(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A function of two values, or of a value and a number."""

    def applied(x: Any, y: Any) -> Any:
        if not isinstance(x, Value) and not isinstance(y, Value):
            return function(x, y)
        first = x if isinstance(x, Value) else y
        if isinstance(x, Value) and isinstance(y, Value):
            if len(x.tensor.row) != len(y.tensor.row):
                raise ValueError(f"tensors of shape {x.shape} and {y.shape} are joined axis by axis")
            return x.like(function(x.tensor, y.as_layout(x.layout).tensor))
        if not all(isinstance(each, (int, float)) for each in (x, y) if each is not first):
            first = first.as_rows()  # an array is broadcast along PyTorch's axes
        x, y = (_row_of(each, first) for each in (x, y))
        return first.like(function(x, y))

    return applied


def _row_of(x: Any, beside: Value) -> Any:
    """A value's tensor; an array without the axis of the rows, along which it must be the same."""
    if isinstance(x, Value):
        return beside.tensor
    if getattr(x, "ndim", 0) > len(beside.tensor.row):
        if x.shape[0] != 1:
            raise ValueError(f"an array of shape {x.shape} is not the same for all rows")
        x = x[0]
    return x


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def applied(x: Value, dim: Any, keepdim: bool = False) -> Value:
        axes = sorted(x.axis(each) for each in (dim if isinstance(dim, (list, tuple)) else [dim]))
        if keepdim:
            return x.like(function(x.tensor, axis=axes, keepdims=True))
        spatial = list(range(1, len(x.tensor.row)))
        x = x if x.layout == "picture" and axes == spatial else x.as_rows()
        axes = axes if x.layout == "picture" else sorted(x.axis(each) for each in _listed(dim))
        return Value(function(x.tensor, axis=axes))

    return applied


def _listed(dim: Any) -> list[Any]:
    return list(dim) if isinstance(dim, (list, tuple)) else [dim]


def _item(x: Any, key: Any) -> Any:
    """x[key]: of a tensor along PyTorch's axes, of a tuple one of it."""
    if not isinstance(x, Value):
        return x[key]
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        place = keys.index(Ellipsis)
        taken = sum(each is not None for each in keys) - 1
        keys[place : place + 1] = [slice(None)] * (len(x.shape) - taken)
    keys += [slice(None)] * (len(x.shape) - sum(each is not None for each in keys))
    if x.layout == "steps":
        keys[0], keys[1] = keys[1], keys[0]
        layout = "steps" if isinstance(keys[1], slice) else "rows"
    else:
        x, layout = x.as_rows(), "rows"
    if keys[0] != slice(None):
        raise ValueError(f"{key} is no part of each row")
    return Value(x.tensor[tuple(keys)], layout)


def _attribute(x: Value, name: str) -> Any:
    if name not in ("shape", "ndim"):
        raise ValueError(f"the attribute {name!r} of a tensor is not read")
    return x.shape if name == "shape" else len(x.shape)


def _size(x: Value, dim: int | None = None) -> Any:
    return x.shape if dim is None else x.shape[dim]


def _cat(xs: Any, dim: int = 0) -> Value:
    first: Value = xs[0]
    return first.like(L.Concatenate(first.axis(dim))([x.as_layout(first.layout).tensor for x in xs]))


def _permuted(x: Value, *dims: Any) -> Value:
    order = list(dims[0]) if len(dims) == 1 and isinstance(dims[0], (list, tuple)) else list(dims)
    order = [each % len(x.shape) for each in order]
    if x.layout == "steps" and order[:2] == [1, 0] and order[2:] == list(range(2, len(order))):
        return x.as_rows()
    if x.layout == "rows" and order[:2] == [1, 0] and order[2:] == list(range(2, len(order))):
        return Value(x.tensor, "steps")
    x.only_rows("what is turned")
    if order[0] != 0:
        raise ValueError("the axis of the rows must stay the first")
    return Value(L.Permute(tuple(order[1:]))(x.as_rows().tensor))


def _transposed(x: Value, first: int, second: int) -> Value:
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return _permuted(x, order)


def _squeezed(x: Any, dim: Any = None) -> Any:
    if isinstance(x, list) and len(x) == 1 and dim == 0:  # the state of one layer
        return x[0]
    if dim is None:
        raise ValueError("squeeze needs dim")
    x = x.as_rows()
    row = list(x.tensor.row)
    if row.pop(x.axis(dim) - 1) != 1:
        raise ValueError(f"axis {dim} has more than one place")
    return reshaped(x, (ROWS, *row))


def _unsqueezed(x: Value, dim: int) -> Value:
    x = x.as_rows()
    sizes = list(x.shape)
    sizes.insert(dim % (len(sizes) + 1), 1)
    return reshaped(x, sizes)


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _unary(function: Callable[[Any], Any]) -> Callable[[Value], Value]:
    return lambda x: x.like(function(x.tensor))


METHODS: dict[str, Callable[..., Any]] = {
    "add": _pair(operator.add), "iadd": _pair(operator.add), "sub": _pair(operator.sub),
    "mul": _pair(operator.mul), "truediv": _pair(operator.truediv), "div": _pair(operator.truediv),
    "matmul": _pair(ops.matmul), "bmm": _pair(ops.matmul), "floordiv": operator.floordiv,
    "maximum": _pair(ops.maximum), "minimum": _pair(ops.minimum), "pow": _pair(operator.pow),
    "neg": _unary(operator.neg), "abs": _unary(ops.abs), "exp": _unary(ops.exp), "log": _unary(ops.log),
    "sqrt": _unary(ops.sqrt), "square": _unary(ops.square), "sin": _unary(ops.sin), "cos": _unary(ops.cos),
    "mean": _reduced(ops.mean), "sum": _reduced(ops.sum), "amax": _reduced(ops.max), "amin": _reduced(ops.min),
    "getitem": _item, "getattr": _attribute,
    "size": _size, "cat": _cat, "concat": _cat, "view": lambda x, *sizes: reshaped(x, sizes),
    "reshape": lambda x, *sizes: reshaped(x, sizes), "permute": _permuted, "transpose": _transposed,
    "swapaxes": _transposed, "squeeze": _squeezed, "unsqueeze": _unsqueezed, "contiguous": _same, "clone": _same,
    "detach": _same, "float": _same, "to": _same,
}  # fmt: skip

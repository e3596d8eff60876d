"""Tensors of a model that is read from PyTorch, and along which axes PyTorch has them."""

from __future__ import annotations

from math import prod
from typing import Any

from fastnn import layers as L
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

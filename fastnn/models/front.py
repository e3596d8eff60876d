"""A model's front: the layers that stand before the engine and read columns as they come, text included.

A layer of ``fastnn.layers.front`` whose tensors all come from the model's inputs, or from other such layers, belongs to
it. It runs in NumPy and compiled code while rows become float32; what it gives are the engine's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from math import prod
from types import MethodType
from typing import Any, NamedTuple

import numpy as np

from fastnn.data.sparse import FEW, WIDE, SparseRows, side_by_side
from fastnn.layers.category_encoding import CategoryEncoding
from fastnn.layers.front import FrontLayer, RowError, can_be_sparse, column_dtype, encoded
from fastnn.layers.merging import Concatenate
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.typing import Array, Shape

EXACT = 2**24  # a float32 holds every whole number up to this
ADVICE = "put StringLookup, TextVectorization or Hashing behind it"


class Value(NamedTuple):
    """What a front gives: one of the model's inputs, or what one of its layers makes."""

    number: int


class Step(NamedTuple):
    """A layer of the front, and the values that it reads."""

    layer: Any  # a FrontLayer, CategoryEncoding or Concatenate
    reads: tuple[int, ...]


@can_be_sparse
def categories(layer: CategoryEncoding, column: Array, sparse: bool = False) -> Any:
    """What a CategoryEncoding makes of numbers that come from the front."""
    bad = (column < 0) | (column >= layer.num_tokens)
    if bad.any():
        at = tuple(np.argwhere(bad)[0])
        raise RowError(int(at[0]), f"{column[at]} is none of the numbers 0 to {layer.num_tokens - 1}")
    return encoded(column, layer.output_mode, layer.num_tokens, sparse=sparse)


class Front:
    """The steps of a front in their order, and which of its values the engine reads.

    dtypes: of the model's inputs, as they come: "string", "int64" or "float32". missing: what stands for a missing
    value in each; None where there must be none. width: numbers in a row of the engine.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.dtypes = [column_dtype(tensor.dtype) for tensor in inputs]
        self.names = [tensor.name for tensor in inputs]
        self.shapes: list[Shape] = [tensor.row for tensor in inputs]
        self.value_dtypes = list(self.dtypes)
        self.missing: list[Any] = [None] * len(inputs)
        self.steps: list[Step] = []
        self.gives: list[int] = []

    @property
    def width(self) -> int:
        """Numbers in a row that the engine reads."""
        return sum(prod(self.shapes[number]) for number in self.gives)

    def add(self, node: Node, reads: Sequence[Value]) -> Value:
        """A call of a layer as the next step; gives the value that it makes."""
        self.steps.append(Step(node.layer, tuple(value.number for value in reads)))
        for (place,) in reads:
            if place < len(self.names) and isinstance(node.layer, FrontLayer):
                self.missing[place] = node.layer.missing_value(self.dtypes[place])
        self.shapes.append(node.rows[0])
        self.value_dtypes.append(node.tensors()[0].dtype)
        return Value(len(self.shapes) - 1)

    def given(self, value: Value) -> int:
        """The place among the engine's inputs of a value, from now on one of them."""
        if self.value_dtypes[value.number] == "string":
            raise ValueError(f"{self._called(value.number)} is text, and a model gives numbers; {ADVICE}")
        if value.number not in self.gives:
            self.gives.append(value.number)
        return self.gives.index(value.number)

    @cached_property
    def parts(self) -> list[int]:
        """What it gives once the plan is whole, with what a Concatenate joins one by one."""
        return [part for number in self.gives for part in self._joined(number)]

    @cached_property
    def read(self) -> set[int]:
        """What layers of it read that need an array."""
        return {number for step in self.steps if type(step.layer) is not Concatenate for number in step.reads}

    def _joined(self, number: int) -> list[int]:
        step = self.steps[number - len(self.names)] if number >= len(self.names) else None
        if step is None or not isinstance(step.layer, Concatenate):
            return [number]
        return [part for each in step.reads for part in self._joined(each)]

    def takes(self, node: Node, reads: Sequence[Value]) -> bool:
        """Whether a call of a layer of numbers is a step: one that makes zeros and ones of whole numbers that are made
        here, or only puts rows, some of which are, side by side.
        """
        numbers = [number for (number,) in reads]
        dtypes = [self.value_dtypes[number] for number in numbers]
        if type(node.layer) is CategoryEncoding:
            return numbers[0] >= len(self.names) and dtypes[0].startswith("int") and node.layer.num_tokens > WIDE
        made = any(number >= len(self.names) for number in numbers)
        return type(node.layer) is Concatenate and len(node.rows[0]) == 1 and made and "string" not in dtypes

    def widths(self) -> list[int]:
        """Numbers in a row of each of the engine's inputs."""
        return [prod(self.shapes[number]) for number in self.gives]

    def state(self) -> tuple[Any, ...]:
        """The tables that it works with; one that `adapt` has replaced is another object."""
        return tuple(step.layer.table() for step in self.steps if isinstance(step.layer, FrontLayer))

    def rows(self, columns: Sequence[Array], first: int, sparse: bool = False) -> Any:
        """The engine's rows for these columns. first: the number of the first row, for messages.

        sparse: as ``SparseRows`` where one number in ``FEW`` or fewer is not 0.
        """
        values: list[Any] = list(columns)
        for step in self.steps:
            if type(step.layer) is Concatenate:  # its values lie side by side
                values.append(None)
                continue
            on_rows: Any = getattr(step.layer, "on_rows", None) or MethodType(categories, step.layer)
            if sparse and getattr(on_rows, "can_be_sparse", False) and len(values) not in self.read:
                on_rows = partial(on_rows, sparse=True)
            try:
                values.append(on_rows(*(values[number] for number in step.reads)))
            except RowError as error:
                raise ValueError(f"layer {called(step.layer)!r}: {error.said(first)}") from None
        parts = [self._checked(values[number], number, first) for number in self.parts]
        if sparse and any(isinstance(part, SparseRows) for part in parts):
            there = sum(len(part.data) if isinstance(part, SparseRows) else part.size for part in parts)
            if there * FEW <= len(columns[0]) * self.width:
                return side_by_side(parts)
        out = np.empty((len(columns[0]), self.width), np.float32)
        at = 0
        for part in parts:
            out[:, at : at + part.shape[1]] = part
            at += part.shape[1]
        return out

    def _checked(self, value: Any, number: int, first: int) -> Any:
        """A value as rows of one axis. ValueError for whole numbers that a float32 does not hold."""
        if not isinstance(value, SparseRows):
            if value.shape[1:] != self.shapes[number]:
                self._refuse(value.shape[1:], number)
            value = value.reshape(len(value), prod(self.shapes[number]))
            if value.dtype.kind in "iu" and value.size and max(abs(int(value.max())), abs(int(value.min()))) > EXACT:
                row = int(np.argwhere(np.abs(value) > EXACT)[0, 0])
                raise ValueError(
                    f"{self._called(number)} holds {value[row][np.abs(value[row]) > EXACT][0]} in row {first + row}, "
                    "and a model's numbers are float32, exact up to 2**24; put Hashing or IntegerLookup behind it"
                )
        elif value.shape[1] != prod(self.shapes[number]):
            self._refuse((value.shape[1],), number)
        return value

    def _refuse(self, row: Shape, number: int) -> None:
        raise RuntimeError(
            f"{self._called(number)} had rows of shape {self.shapes[number]} when the model was made, and has "
            f"{row} since its vocabulary has changed; make the model anew"
        )

    def _called(self, number: int) -> str:
        if number < len(self.names):
            return f"x[{self.names[number]!r}]"
        return f"what {called(self.steps[number - len(self.names)].layer)!r} gives"

"""A model's front: the layers that stand before the engine and read columns as they come, text included.

A layer of ``fastnn.layers.front`` whose tensors all come from the model's inputs, or from other such layers, belongs to
it. It runs in NumPy and compiled code while rows become float32; what it gives are the engine's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fastnn.layers.front import FrontLayer, RowError, column_dtype
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.typing import Array, FloatArray, Shape

EXACT = 2**24  # a float32 holds every whole number up to this
ADVICE = "put StringLookup, TextVectorization or Hashing behind it"


class Value(NamedTuple):
    """What a front gives: one of the model's inputs, or what one of its layers makes."""

    number: int


class Step(NamedTuple):
    """A layer of the front, and the values that it reads."""

    layer: FrontLayer
    reads: tuple[int, ...]


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
            if place < len(self.names):
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

    def widths(self) -> list[int]:
        """Numbers in a row of each of the engine's inputs."""
        return [prod(self.shapes[number]) for number in self.gives]

    def state(self) -> tuple[Any, ...]:
        """The tables that it works with; one that `adapt` has replaced is another object."""
        return tuple(step.layer.table() for step in self.steps)

    def rows(self, columns: Sequence[Array], first: int) -> FloatArray:
        """The engine's rows for these columns. first: the number of the first row, for messages."""
        values: list[Array] = list(columns)
        for step in self.steps:
            try:
                values.append(step.layer.on_rows(*(values[number] for number in step.reads)))
            except RowError as error:
                raise ValueError(f"layer {called(step.layer)!r}: {error.said(first)}") from None
        out = np.empty((len(columns[0]), self.width), np.float32)
        at = 0
        for number in self.gives:
            value, wide = values[number], prod(self.shapes[number])
            if value.shape[1:] != self.shapes[number]:
                raise RuntimeError(
                    f"{self._called(number)} had rows of shape {self.shapes[number]} when the model was made, and has "
                    f"{value.shape[1:]} since its vocabulary has changed; make the model anew"
                )
            flat = value.reshape(len(value), wide)
            if flat.dtype.kind in "iu" and flat.size and max(abs(int(flat.max())), abs(int(flat.min()))) > EXACT:
                row = int(np.argwhere(np.abs(flat) > EXACT)[0, 0])
                raise ValueError(
                    f"{self._called(number)} holds {flat[row][np.abs(flat[row]) > EXACT][0]} in row {first + row}, and "
                    "a model's numbers are float32, exact up to 2**24; put Hashing or IntegerLookup behind it"
                )
            out[:, at : at + wide] = flat
            at += wide
        return out

    def _called(self, number: int) -> str:
        if number < len(self.names):
            return f"x[{self.names[number]!r}]"
        return f"what {called(self.steps[number - len(self.names)].layer)!r} gives"

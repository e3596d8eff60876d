"""TimeDistributed: a layer or model on each step of a sequence by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from fastnn._checks import shown
from fastnn.engine.ops import StridedCopyOp
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer, check_row
from fastnn.layers.composite import Composite
from fastnn.layers.connected import Connected
from fastnn.layers.core import InputLayer
from fastnn.layers.graph import Graph, calls
from fastnn.layers.merging import Concatenate
from fastnn.layers.reshaping import Reshape
from fastnn.layers.tensor import MAX_LAYERS, Tensor
from fastnn.typing import Shape

__all__ = ["TimeDistributed"]


@LAYERS.add("time_distributed", "TimeDistributed")
@dataclass(frozen=True, eq=False, repr=False)
class TimeDistributed(Composite):
    """A layer, the same for each step. (steps, ...) -> (steps, ...), the steps one by one as the layer's rows.

    layer: a layer or a model of one input and one output. One that sees its batch as a whole (BatchNormalization) has
    each step's rows by themselves, the first step's first, and takes at most 332 steps. Weights: the layer's.
    """

    passes_mask = True
    layer: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Connected):
            raise TypeError(f"TimeDistributed: layer must be a layer or a model, got {shown(self.layer)}")
        own_input_shape(self)
        self._consists_of([self.layer])

    def call(self, x: Tensor) -> Tensor:
        """What the layer gives for rows that are one step each."""
        given = self.layer(x)
        if not isinstance(given, Tensor):
            raise ValueError(f"TimeDistributed takes a layer or a model of one output, got one of {len(given)}")
        return given

    def _draw_call(
        self, inputs: Sequence[Tensor], given: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Graph, str, tuple[str, ...]]:
        if len(inputs) != 1:
            raise ValueError(f"TimeDistributed reads 1 tensor(s), got {len(inputs)}")
        row = inputs[0].row
        if len(row) < 2:
            raise ValueError(
                f"TimeDistributed expects rows of at least two axes, (steps, ...), got rows of shape {row}"
            )
        step = InputLayer(row[1:]).tensor()
        rows, mask = inputs[0].node.batch, inputs[0].mask_row
        step.node.batch = None if rows is None else rows * row[0]
        step.node.masks = (mask[1:] or None if mask else None,)
        made = self.call(step)
        graph = Graph((step,), (made,), slices=row[0])
        if row[0] > 1 and any(node.layer.whole_batch for node in calls(graph) if node.graph is None):
            graph = self._step_by_step(row, made, graph.size - 1)
        return graph, "one", ()

    def _step_by_step(self, row: Shape, first: Tensor, size: int) -> Graph:
        """The graph in which each step has a call of its own, the same as that which gave `first`."""
        most = (MAX_LAYERS - 2) // (size + 2)  # each step is a copy of it, its layers, and a shape for the whole
        if row[0] > most:
            raise ValueError(
                f"TimeDistributed of a layer that sees its batch as a whole takes at most {most} steps, "
                f"got {row[0]}; put the layer on the rows (steps, ...) themselves, where it sees all steps together"
            )
        whole = InputLayer(row).tensor()
        steps = [Step(number)(whole) for number in range(row[0])]
        given = [Tensor(first.node.copy((step,)), first.place) for step in steps]
        return Graph((whole,), (Concatenate(1)([Reshape((1, *tensor.row))(tensor) for tensor in given]),))

    def _rows_given(self, graph: Graph, rows: tuple[Shape, ...]) -> tuple[Shape, ...]:
        row = rows[0] if graph.slices == 1 else (graph.slices, *rows[0])
        check_row(row)
        return (row,)


@dataclass(frozen=True, eq=False, repr=False)
class Step(Layer):
    """One step of a sequence."""

    number: int

    def output_shape(self, row: Shape) -> Shape:
        return row[1:]

    def ops(self, row: Shape) -> tuple[Any, ...]:
        units = prod(row[1:])
        return (StridedCopyOp(prod(row), (units,), (1,), self.number * units),)

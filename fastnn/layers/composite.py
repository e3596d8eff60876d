"""Layers that are made of layers.

A subclass of ``Composite`` is one. Its ``call`` says how, as a model is described: it is given a symbolic tensor for
each input, and gives the tensor that its layers make of them.

    @dataclass(frozen=True, eq=False)
    class Residual(Composite):
        units: int

        def __post_init__(self):
            self.dense = Dense(self.units, "relu")

        def call(self, x):
            return Add()([x, self.dense(x)])

``call`` runs when the layer is called on a tensor, once for each such call, and never on rows. Layers with weights are
made before it, so that all calls have the same. Weights are those of its layers, and a file has them by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import shown
from fastnn.layers.base import Layer, any_sources
from fastnn.layers.core import InputLayer
from fastnn.layers.graph import Graph, calls
from fastnn.layers.tensor import Node, Tensor, called, names_of
from fastnn.typing import Shape

__all__ = ["Composite"]


class Composite(Layer):
    """A layer that is a small graph of layers; a subclass's ``call`` draws it."""

    made_of_layers = True

    @any_sources
    def call(self, *inputs: Tensor) -> Tensor:
        """The tensor that the layers give for these."""
        raise TypeError(
            f"{type(self).__name__} has no call; write call(x), which gives the tensor that its layers make"
        )

    def output_shape(self, *input_shapes: Shape) -> Shape:
        return self._applied(*input_shapes)[0]

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        raise TypeError(f"{type(self).__name__} has no ops of its own; its layers have")

    def graph(self, *rows: Shape) -> Graph:
        """The graph that the layer is, for rows of these shapes."""
        inputs = [InputLayer(row).tensor() for row in rows]
        given = self.call(*inputs)
        if not isinstance(given, Tensor):
            raise TypeError(f"{type(self).__name__}.call must give one symbolic tensor, got {shown(given)}")
        return Graph(inputs, (given,))

    def _applied(self, *rows: Shape) -> tuple[Shape, Graph]:
        code = type(self).call.__code__
        takes = code.co_argcount - 1
        if len(rows) != takes and not code.co_flags & 4:  # it names its inputs
            raise ValueError(f"layer {called(self)!r}: {type(self).__name__} reads {takes} tensor(s), got {len(rows)}")
        try:
            graph = self.graph(*rows)
        except ValueError as error:
            raise ValueError(f"layer {called(self)!r}: {error}") from None
        weighted = list(dict.fromkeys(node.layer for node in calls(graph) if _has_weights(node)))
        if "_known" not in vars(self):
            self._consists_of([member for member in graph.members if not isinstance(member, InputLayer)])
        if vars(self).setdefault("_weighted", weighted) != weighted:
            raise ValueError(
                f"layer {called(self)!r}: {type(self).__name__}.call used other layers than before; make them once, "
                "where the layer is made"
            )
        return graph.outputs[0].row, graph

    def _consists_of(self, members: Sequence[Any]) -> None:
        """Name the layers and models that the layer is made of."""
        self._set("_known", tuple(zip(names_of(members), members, strict=True)))
        if not self.trainable:
            for each in members:
                each.trainable = False

    def parts(self) -> Sequence[tuple[str, Any]]:
        parts: Sequence[tuple[str, Any]] = vars(self).get("_known", ())
        return parts


def _has_weights(node: Node) -> bool:
    return node.graph is None and bool(node.layer.parameters(*(tensor.row for tensor in node.inputs)))

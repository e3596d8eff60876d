"""The graph of a model: its calls of layers, each after what it reads, and the ops that they become."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from fastnn.engine.ops import ActivationOp
from fastnn.layers import InputLayer, Layer, Parameter
from fastnn.layers.tensor import MAX_LAYERS, Node, Tensor, called
from fastnn.models import weights


class Graph:
    """From input tensors to output tensors. ValueError where they do not hang together.

    nodes: the calls, as Keras orders them: those furthest from the outputs first. members: each layer and model once.
    """

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        if len(set(inputs)) < len(inputs):
            raise ValueError("the same tensor stands twice among the inputs; give each once")
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        if not all(isinstance(tensor.node.layer, InputLayer) for tensor in inputs):
            self._begin_with_inputs()
        self.nodes = _ordered(self.inputs, self.outputs)
        self.members: tuple[Any, ...] = tuple(dict.fromkeys(node.layer for node in self.nodes))
        self.size = sum(1 if node.graph is None else node.graph.size for node in self.nodes)
        if self.size > MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers, those of its models included")

    def _begin_with_inputs(self) -> None:
        """Where a model begins in the middle of another, its own inputs take the place of the tensors there."""
        places = {
            tensor: tensor
            if isinstance(tensor.node.layer, InputLayer)
            else InputLayer(tensor.row, f"{tensor.name}_input").tensor()
            for tensor in self.inputs
        }
        for node in _ordered(self.inputs, self.outputs):
            if node.tensors()[0] not in places:
                copy = node.copy(tuple(places[tensor] for tensor in node.inputs))
                places.update(zip(node.tensors(), copy.tensors(), strict=True))
        self.inputs = tuple(places[tensor] for tensor in self.inputs)
        self.outputs = tuple(places[tensor] for tensor in self.outputs)


def _ordered(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> tuple[Node, ...]:
    """The calls between inputs and outputs, without recursion: a model may be deep."""
    ends = {tensor for tensor in inputs if not isinstance(tensor.node.layer, InputLayer)}
    finished: dict[Node, None] = {tensor.node: None for tensor in inputs if tensor not in ends}
    met: dict[Node, int] = {}  # in which order, going back from the outputs
    stack = [(tensor.node, False) for tensor in reversed(outputs) if tensor not in ends]
    while stack:
        node, expanded = stack.pop()
        met.setdefault(node, len(met))
        if node in finished:
            continue
        if expanded:
            finished[node] = None
            continue
        if isinstance(node.layer, InputLayer):
            raise ValueError(
                f"the graph is disconnected: an output needs the Input {called(node.layer)!r} of shape "
                f"{(None, *node.rows[0])}, which is not among the model's inputs"
            )
        stack.append((node, True))
        stack += [(tensor.node, False) for tensor in reversed(node.inputs) if tensor not in ends]
    depth = dict.fromkeys(finished, 0)
    for node in reversed(finished):
        for tensor in node.inputs:
            if tensor.node in depth:
                depth[tensor.node] = max(depth[tensor.node], depth[node] + 1)
    return tuple(sorted(finished, key=lambda node: (-depth[node], met.get(node, len(met)))))


class Plan(NamedTuple):
    """What the engine needs to know of a graph."""

    ops: list[Any]
    sources: list[tuple[int, ...]]  # of each op: another op, or -1 - k for input k
    layers: list[Layer | None]  # that each op belongs to
    inputs: list[int]  # widths
    outputs: list[int]  # places of ops
    parameters: dict[Layer, tuple[Parameter, ...]]  # of each layer that has any


def planned(graph: Graph) -> Plan:
    """The ops of a graph, those of the models inside it included."""
    plan = Plan([], [], [], [prod(tensor.row) for tensor in graph.inputs], [], {})
    values = {tensor: -1 - k for k, tensor in enumerate(graph.inputs)}
    _expand(graph, values, plan)
    _keep_what_is_read(plan, [values[tensor] for tensor in graph.outputs])
    return plan


def _expand(graph: Graph, values: dict[Tensor, int], plan: Plan) -> None:
    """Append the ops of a graph; `values` says which op, or input, gives each of its tensors."""
    for node in graph.nodes:
        reads = [values[tensor] for tensor in node.inputs]
        given = node.tensors()
        if node.graph is not None:
            inner: Graph = node.graph
            within = dict(zip(inner.inputs, reads, strict=True))
            _expand(inner, within, plan)
            values.update(zip(given, (within[tensor] for tensor in inner.outputs), strict=True))
        elif given[0] not in values:
            rows = [tensor.row for tensor in node.inputs]
            parameters = node.layer.parameters(*rows)
            if parameters:
                weights.check_shapes(node.layer, plan.parameters.setdefault(node.layer, parameters), parameters)
            for op in node.layer.ops(*rows):
                reads = [_append(plan, op, reads, node.layer)]
            values[given[0]] = reads[0]


def _append(plan: Plan, op: Any, reads: Sequence[int], layer: Layer | None) -> int:
    plan.ops.append(op)
    plan.sources.append(tuple(reads))
    plan.layers.append(layer)
    return len(plan.ops) - 1


def _keep_what_is_read(plan: Plan, ends: list[int]) -> None:
    """Set the plan's outputs, each an op of its own, and leave out the ops that lead to none of them."""
    for place in ends:
        if place < 0 or place in plan.outputs:
            width = plan.ops[place].units if place >= 0 else plan.inputs[-1 - place]
            place = _append(plan, ActivationOp(width), [place], None)
        plan.outputs.append(place)
    read = set(plan.outputs)
    for place in range(len(plan.ops) - 1, -1, -1):
        if place in read:
            read.update(plan.sources[place])
    kept = [place for place in range(len(plan.ops)) if place in read]
    if len(kept) < len(plan.ops):
        number = {place: new for new, place in enumerate(kept)} | {-1 - k: -1 - k for k in range(len(plan.inputs))}
        plan.sources[:] = [tuple(number[source] for source in plan.sources[place]) for place in kept]
        plan.ops[:], plan.layers[:] = [plan.ops[i] for i in kept], [plan.layers[i] for i in kept]
        plan.outputs[:] = [number[place] for place in plan.outputs]


def leaves(graph: Graph) -> list[Layer]:
    """The layers of a graph and of the models in it, each once."""
    found: dict[Layer, None] = {}
    for node in graph.nodes:
        found.update(dict.fromkeys([node.layer] if node.graph is None else leaves(node.graph)))
    return list(found)

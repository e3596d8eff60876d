"""A graph of calls, from some tensors to others: what a model is, and a layer that is made of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fastnn.layers.base import Layer, leaves_of
from fastnn.layers.core import InputLayer
from fastnn.layers.tensor import MAX_LAYERS, Node, Tensor, called


class AddedLoss(NamedTuple):
    """What a tensor adds to the loss: weight times the sum of its numbers; mean: divided by the rows of the batch."""

    tensor: Tensor
    weight: float = 1.0
    mean: bool = True


class Graph:
    """From input tensors to output tensors. ValueError where they do not hang together.

    nodes: the calls, as Keras orders them: those furthest from the outputs first, each as far as a call of the same
    layer behind it. members: each layer and model once, by its furthest call. named: they as names are made up.
    slices: how many rows of the graph a row of the call is that it stands for. added: what tensors add to the loss,
    beside what layers' activity regularisers do; they need not lead to an output. masks: of the outputs, where a
    user's ``compute_mask`` gave them.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        slices: int = 1,
        added: Sequence[AddedLoss] = (),
        masks: Sequence[Tensor | None] = (),
    ) -> None:
        if len(set(inputs)) < len(inputs):
            raise ValueError("the same tensor stands twice among the inputs; give each once")
        self.inputs, self.outputs, self.slices = tuple(inputs), tuple(outputs), slices
        self.added = tuple(added)
        self.masks = tuple(masks)
        if not all(isinstance(tensor.node.layer, InputLayer) for tensor in inputs):
            self._begin_with_inputs()
        self.nodes, self.members, self.named = _ordered(self.inputs, self._ends())
        self.size = sum(node.size for node in self.nodes)
        self.plain = all(node.graph is None for node in self.nodes)  # without graphs in it
        if self.size > MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers, those of its models included")

    def _ends(self) -> tuple[Tensor, ...]:
        """What the calls lead to."""
        masks = (mask for mask in self.masks if mask is not None)
        return (*self.outputs, *(each.tensor for each in self.added), *masks)

    def _begin_with_inputs(self) -> None:
        """Where a model begins in the middle of another, its own inputs take the place of the tensors there."""
        places = {
            tensor: tensor
            if isinstance(tensor.node.layer, InputLayer)
            else InputLayer(tensor.row, name=f"{tensor.name}_input", dtype=tensor.dtype).tensor()
            for tensor in self.inputs
        }
        for node in _ordered(self.inputs, self._ends())[0]:
            if node.tensors()[0] not in places:
                copy = node.copy(tuple(places[tensor] for tensor in node.inputs))
                places.update(zip(node.tensors(), copy.tensors(), strict=True))
        self.inputs = tuple(places[tensor] for tensor in self.inputs)
        self.outputs = tuple(places[tensor] for tensor in self.outputs)
        self.added = tuple(each._replace(tensor=places[each.tensor]) for each in self.added)
        self.masks = tuple(None if mask is None else places[mask] for mask in self.masks)


def _ordered(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> tuple[tuple[Any, ...], ...]:
    """The calls between inputs and outputs, their layers, and these as they are named: see Graph.

    Without recursion: a model may be deep.
    """
    if len(inputs) == len(outputs) == 1 and (chain := _chain(inputs[0].node, outputs[0].node)):
        layers = tuple(node.layer for node in chain)
        if len(set(layers)) == len(layers):
            return tuple(chain), layers, layers
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
    apart, depth, of_layer = dict.fromkeys(finished, 0), dict.fromkeys(finished, 0), dict[Any, int]()
    for node in reversed(finished):
        depth[node] = of_layer[node.layer] = max(depth[node], of_layer.get(node.layer, 0))
        for before in {tensor.node for tensor in node.inputs} & depth.keys():
            for each in (apart, depth):
                each[before] = max(each[before], each[node] + 1)
    by_call = {node: met.get(node, -1) for node in finished}  # -1: of an input that leads to no output
    first = {node.layer: by_call[node] for node in sorted(finished, key=lambda node: -by_call[node])}
    nodes = sorted(finished, key=lambda node: (-depth[node], by_call[node]))
    named = sorted(finished, key=lambda node: (-apart[node], met.get(node, len(met))))
    members = sorted(of_layer, key=lambda layer: (-of_layer[layer], first[layer]))
    return tuple(nodes), tuple(members), tuple(dict.fromkeys(node.layer for node in named))


def _chain(first: Node, last: Node) -> list[Node]:
    """The calls from an Input to the last where each reads what the one before gives, and nothing else; else none."""
    chain, node = [last], last
    while node is not first and len(node.inputs) == 1:
        node = node.inputs[0].node
        chain.append(node)
    return chain[::-1] if node is first and isinstance(first.layer, InputLayer) else []


def calls(graph: Graph) -> Iterator[Node]:
    """The calls of a graph and of those inside it."""
    for node in graph.nodes:
        yield node
        if node.graph is not None:
            yield from calls(node.graph)


def leaves(graph: Graph) -> list[Any]:
    """The layers that have ops, of a graph and of those inside it, each once.

    Those of a layer of layers come as its own weights do: in the order of its attributes, not of its calls.
    """
    if graph.plain:
        return list(graph.members)
    found: dict[Any, None] = {}
    place = {member: number for number, member in enumerate(graph.members)}
    for node in sorted(graph.nodes, key=lambda node: place[node.layer]):
        inner = [node.layer] if node.graph is None else leaves(node.graph)
        if isinstance(node.layer, Layer) and len(inner) > 1:
            order = {layer: place for place, layer in enumerate(leaves_of(node.layer))}
            inner.sort(key=lambda layer: order.get(layer, len(order)))
        found.update(dict.fromkeys(inner))
    return list(found)

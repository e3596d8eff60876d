"""The plan of a model: the ops that its graph becomes, what each reads, and where its parameters lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from fastnn import regularizers
from fastnn.engine.description import AddedLoss
from fastnn.engine.network import starts_of
from fastnn.engine.ops import ActivationOp, EmbeddingOp, StridedCopyOp
from fastnn.layers import Layer, Parameter
from fastnn.layers.front import FrontLayer
from fastnn.layers.graph import Graph, leaves
from fastnn.layers.masks import rules_of
from fastnn.layers.quantized import aware, fake_quantized, kept, quantize_ops, quantized, with_straight_through
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.models import weights
from fastnn.models.front import ADVICE, Front, Value
from fastnn.typing import Shape


class Plan(NamedTuple):
    """What the engine needs to know of a graph."""

    ops: list[Any]
    sources: list[tuple[int, ...]]  # of each op: another op, or -1 - k for input k
    layers: list[Layer | None]  # that each op belongs to
    starts: list[int]  # where each op's parameters begin among its layer's
    inputs: list[int]  # widths
    outputs: list[int]  # places of ops
    parameters: dict[Layer, tuple[Parameter, ...]]  # of each layer that has any
    added: list[AddedLoss]  # what ops add to the loss
    masks: list[int | None]  # of each output the op that says which of its lines count
    front: Front | None = None  # what makes the inputs of the columns that the model reads, where it is not they


def planned(graph: Graph) -> Plan:
    """The ops of a graph, those of the graphs inside it included."""
    if any(isinstance(layer, FrontLayer) for layer in leaves(graph)):
        front = Front(graph.inputs)
        plan = Plan([], [], [], [], [], [], {}, [], [], front)
        places = {tensor: Value(k) for k, tensor in enumerate(graph.inputs)}
        plan = _planned(graph, plan, places)
        if front.steps:
            plan.inputs[:] = front.widths()
            return plan
    for tensor in graph.inputs:
        if tensor.dtype == "string":
            raise ValueError(f"input {tensor.name!r} is text, and a model computes with numbers; {ADVICE}")
    plan = Plan([], [], [], [], [prod(tensor.row) for tensor in graph.inputs], [], {}, [], [])
    return _planned(graph, plan, {tensor: -1 - k for k, tensor in enumerate(graph.inputs)})


class LookUp(NamedTuple):
    """A table that an input's ids are looked up in: `choices` rows of `depth`, from `start` on in the layer's part."""

    input: int
    layer: Layer | None
    start: int
    choices: int
    depth: int


def planned_unit(graph: Graph, column: int) -> tuple[Plan, list[LookUp]]:
    """The ops that lead to one number of the outputs side by side, without losses and masks of the output.

    What is looked up for an input's ids is one more input, behind the graph's own, and no op: an entry of the list.
    """
    plan, output = planned(graph), 0
    while column >= prod(graph.outputs[output].row):
        column -= prod(graph.outputs[output].row)
        output += 1
    units, found = prod(graph.outputs[output].row), []
    unit = _append(plan, StridedCopyOp(units, (1,), (1,), column), [plan.outputs[output]], None)
    for place, op in enumerate(plan.ops):
        source = plan.sources[place][0]
        while source >= 0 and plan.layers[source] is None:  # a copy of an input for slices of rows
            source = plan.sources[source][0]
        if isinstance(op, EmbeddingOp) and source < 0:
            found.append(LookUp(-1 - source, plan.layers[place], plan.starts[place], op.choices, op.depth))
            plan.inputs.append(op.units * op.slices)
            plan.ops[place], plan.sources[place] = ActivationOp(plan.inputs[-1]), (-len(plan.inputs),)
    plan.outputs.clear()
    plan.added.clear()
    plan.masks[:] = [None]
    _keep_what_is_read(plan, [unit])
    return plan, found


def _planned(graph: Graph, plan: Plan, values: dict[Tensor, Any]) -> Plan:
    """The plan with the ops of a graph. values: of its inputs, places in the engine or values of the front."""
    masks: dict[Tensor, Mask] = {}
    _expand(graph, values, plan, 1, masks)
    plan.masks[:] = [_mask_place(plan, masks.get(tensor)) for tensor in graph.outputs]
    _keep_what_is_read(plan, [_in_engine(plan, values[tensor]) for tensor in graph.outputs])
    return plan


def _in_engine(plan: Plan, value: Any) -> int:
    """The place of a value among ops and inputs, where it was one of the front too."""
    if isinstance(value, Value):
        assert plan.front is not None
        return -1 - plan.front.given(value)
    place: int = value
    return place


def _expand(
    graph: Graph,
    values: dict[Tensor, Any],
    plan: Plan,
    slices: int,
    masks: dict[Tensor, Mask],
    training: bool | None = None,
) -> None:
    """Append the ops of a graph; `values` says which op, or input, gives each of its tensors, `masks` its masks.

    slices: how many rows of the graph a row of the network is. training: what a call around it says of it.
    """
    for node in graph.nodes:
        reads = [values[tensor] for tensor in node.values]
        given = node.tensors()
        rows = [tensor.row for tensor in node.values]
        own = _masks_read(plan, node, values, masks)
        if node.graph is not None:
            inner: Graph = node.graph
            if inner.slices > 1:  # the rows of an input lie apart: slices of rows must follow each other
                reads = [_in_engine(plan, value) for value in reads]
                pairs = zip(reads, rows, strict=True)
                reads = [place if place >= 0 else _copied(plan, place, row, slices) for place, row in pairs]
            inside = own if inner.slices == 1 else [_of_slices(plan, mask, slices) for mask in own]
            within = dict(zip(inner.inputs, reads, strict=True))
            known = _known(inner.inputs, inside)
            says = training if node.training is None else node.training
            _expand(inner, within, plan, slices * inner.slices, known, says)
            values.update(zip(given, (within[tensor] for tensor in inner.outputs), strict=True))
            masks.update(_known(given, _masks_within(plan, node, within, known, own, slices)))
        elif given[0] in values:
            continue
        elif all(isinstance(value, Value) for value in reads) and (
            isinstance(node.layer, FrontLayer)
            or (plan.front is not None and not any(own) and plan.front.takes(node, reads))
        ):
            assert plan.front is not None
            values[given[0]] = plan.front.add(node, reads)
        else:
            first = len(plan.ops)
            places = _add_ops(plan, node, rows, [_in_engine(plan, value) for value in reads], slices, own)
            values.update(zip(given, places, strict=True))
            if any(own) or rules_of(node).makes_mask():
                masks.update(_known(given, _add_masks(plan, node, reads, own, slices)))
            says = training if node.training is None else node.training
            for op in plan.ops[first:]:
                op.training = 0 if says is None else 1 if says else -1
        penalty = getattr(node.layer, "activity_regularizer", None)
        if penalty is not None:
            for tensor in given:
                values[tensor] = _own_place(plan, values[tensor], tensor.row, slices)
                plan.added.append(_activity(penalty, values[tensor], tensor.row, called(node.layer)))
    for tensor, weight, mean in graph.added:
        values[tensor] = _own_place(plan, values[tensor], tensor.row, slices)
        plan.added.append(AddedLoss(values[tensor], weight, mean=mean))


class Mask(NamedTuple):
    """The place of a mask among ops and inputs, and the shape of a row of it."""

    place: int
    row: Shape


def _mask_place(plan: Plan, mask: Mask | None) -> int | None:
    """The place of a mask among ops, to which an input is copied."""
    if mask is None:
        return None
    return mask.place if mask.place >= 0 else _copied(plan, mask.place, mask.row or (1,), 1)


def _masks_read(
    plan: Plan, node: Node, values: Mapping[Tensor, Any], masks: Mapping[Tensor, Mask]
) -> list[Mask | None]:
    """The masks of what a call reads: those that it is given, else those of the tensors."""
    found = [masks.get(tensor) for tensor in node.values]
    for k, place in node.given_masks.items():
        found[k] = Mask(_in_engine(plan, values[node.inputs[place]]), node.inputs[place].row)
    return found


def _known(tensors: Sequence[Tensor], masks: Sequence[Mask | None]) -> dict[Tensor, Mask]:
    """The masks of those tensors that have one."""
    return {tensor: mask for tensor, mask in zip(tensors, masks, strict=False) if mask is not None}


def _masks_within(
    plan: Plan,
    node: Node,
    values: Mapping[Tensor, Any],
    masks: Mapping[Tensor, Mask],
    read: Sequence[Mask | None],
    slices: int,
) -> list[Mask | None]:
    """The masks of what a layer of layers or a model gives: those of its own outputs, unless it says another."""
    if node.graph.masks:
        return [
            None if tensor is None else Mask(_in_engine(plan, values[tensor]), tensor.row)
            for tensor in node.graph.masks
        ]
    if node.layer.supports_masking:
        return _add_masks(plan, node, (), read, slices)
    return [masks.get(tensor) for tensor in node.graph.outputs]


def _of_slices(plan: Plan, mask: Mask | None, slices: int) -> Mask | None:
    """The mask of each step by itself, where steps are rows; none where it has one number for a step."""
    if mask is None or len(mask.row) < 2:
        return None
    place = mask.place if mask.place >= 0 else _copied(plan, mask.place, mask.row, slices)
    return Mask(place, mask.row[1:])


def _add_masks(
    plan: Plan, node: Node, reads: Sequence[Any], masks: Sequence[Mask | None], slices: int
) -> list[Mask | None]:
    """Append the ops that make the masks of what a call gives."""
    layer, rows = rules_of(node), [tensor.row for tensor in node.values]
    ops = layer.mask_ops(rows, [mask and mask.row for mask in masks])
    if ops is None:
        return []
    if ops == ():
        return [masks[0]] * layer.masked_outputs
    if isinstance(ops, int):
        return [Mask(len(plan.ops) + ops, node.rows[0][:-1])] * layer.masked_outputs
    sources = [0 if mask is None else mask.place for mask in masks] + [_in_engine(plan, value) for value in reads]
    places: list[int] = []
    for op, named in (op if isinstance(op, tuple) else (op, None) for op in ops):
        own = sources[: len(rows)] if named is None else [places[k] if k >= 0 else sources[-1 - k] for k in named]
        places.append(_append(plan, op, own, None, slices))
    return [Mask(places[-1], node.rows[0][:-1])] * layer.masked_outputs


def _own_place(plan: Plan, value: Any, row: Shape, slices: int) -> int:
    """The place of a value among ops, to which an input is copied."""
    place = _in_engine(plan, value)
    return place if place >= 0 else _copied(plan, place, row, slices)


def _activity(penalty: Any, place: int, row: Shape, layer: str) -> AddedLoss:
    """What the regulariser of a layer's output adds to the loss."""
    if getattr(penalty, "compiled", False) and not penalty.whole:
        l1, l2 = penalty.numbers()
        return AddedLoss(place, 0.0, l1, l2)

    def value_and_slopes(rows: Any) -> Any:
        regularizers.check_slopes(penalty, rows.size, f"what layer {layer!r} gives for a batch")
        return regularizers.value_and_slopes(penalty, rows.reshape(-1, *row))

    return AddedLoss(place, python=value_and_slopes)


def _add_ops(
    plan: Plan, node: Node, rows: Sequence[Shape], sources: list[int], slices: int, masks: Sequence[Mask | None]
) -> list[int]:
    """Append the ops of a layer's call; gives the places of what it gives: of the last op, or as many."""
    layer = node.layer
    if masks and masks[0] is not None and getattr(layer, "operation", None) == "mask":
        return [masks[0].place]
    if not (layer.reads_mask and any(masks)):
        given = node.ops()
    else:
        given = rules_of(node).masked_ops(rows, [mask and mask.row for mask in masks])
        sources = sources + [0 if mask is None else mask.place for mask in masks]
    pairs = [op if isinstance(op, tuple) else (op, None) for op in given]
    ops = [op for op, _ in pairs]
    parameters, learns_rounded = layer.parameters(*rows), bool(aware(layer))
    if quantized(layer):
        quantize_ops(layer, parameters, ops)
        parameters = kept(layer, parameters)
    if learns_rounded:
        parameters = with_straight_through(layer, parameters)
    starts = _take_parameters(plan, layer, parameters, ops)
    places: list[int] = []
    for (op, named), start in zip(pairs, starts, strict=True):
        before = places[-1:] or sources[: len(rows)]
        reads = before if named is None else [places[k] if k >= 0 else sources[-1 - k] for k in named]
        if learns_rounded and op.kernels():
            reads = [_append(plan, fake_quantized(op), reads[:1], None, slices), *reads[1:]]
        places.append(_append(plan, op, reads, layer, slices, start))
    return (places or sources[: len(rows)])[-len(node.rows) :]


def _take_parameters(plan: Plan, layer: Layer, parameters: tuple[Parameter, ...], ops: Sequence[Any]) -> list[int]:
    """Note a layer's parameters, and where each begins; gives where those of each op do, on a cache line.

    An op has the next of them, as many as it is large.
    """
    starts, end = starts_of([op.size for op in ops])
    rest, noted = list(parameters), []
    for op, start in zip(ops, starts, strict=True):
        stop = start + op.size
        while rest and op.size and start + (size := rest[0].size) <= stop:
            noted.append(Parameter(*rest.pop(0)[:-1], start))
            start += size
        if start < stop:
            raise ValueError(f"layer {called(layer)!r}: an op of {op.size} parameters needs more than the layer has")
    for parameter in rest:  # that no op reads
        noted.append(parameter._replace(offset=end))
        end += parameter.size
    if noted:
        own = tuple(noted)
        if (known := plan.parameters.setdefault(layer, own)) is not own:
            weights.check_shapes(layer, known, own)
    return starts


def _copied(plan: Plan, place: int, row: Sequence[int], slices: int) -> int:
    return _append(plan, ActivationOp(prod(row)), [place], None, slices)


def _append(plan: Plan, op: Any, reads: Sequence[int], layer: Layer | None, slices: int = 1, start: int = 0) -> int:
    op.slices = slices
    plan.ops.append(op)
    plan.sources.append(tuple(reads))
    plan.layers.append(layer)
    plan.starts.append(start)
    return len(plan.ops) - 1


def _keep_what_is_read(plan: Plan, ends: list[int]) -> None:
    """Set the plan's outputs, each an op of its own, and leave out the ops that lead to none of them."""
    for place in ends:
        if place < 0 or place in plan.outputs:
            widths = plan.inputs if plan.front is None else plan.front.widths()
            units = widths[-1 - place] if place < 0 else plan.ops[place].units * plan.ops[place].slices
            place = _append(plan, ActivationOp(units), [place], None)
        plan.outputs.append(place)
    read = {*plan.outputs, *(each.op for each in plan.added), *(place for place in plan.masks if place is not None)}
    for place in range(len(plan.ops) - 1, -1, -1):
        if place in read:
            read.update(plan.sources[place])
    kept = [place for place in range(len(plan.ops)) if place in read]
    if len(kept) < len(plan.ops):
        number = {place: new for new, place in enumerate(kept)}
        plan.sources[:] = [tuple(number.get(source, source) for source in plan.sources[place]) for place in kept]
        lists: tuple[list[Any], ...] = (plan.ops, plan.layers, plan.starts)
        for each in lists:
            each[:] = [each[i] for i in kept]
        plan.outputs[:] = [number[place] for place in plan.outputs]
        plan.masks[:] = [None if place is None else number[place] for place in plan.masks]
        plan.added[:] = [each._replace(op=number[each.op]) for each in plan.added]

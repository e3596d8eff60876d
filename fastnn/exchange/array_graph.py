"""A model's graph, call by call, on arrays of another library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnn.exchange.array_layers import FORMULAS
from fastnn.exchange.array_units import FUNCTIONS, check_unit
from fastnn.layers.core import InputLayer
from fastnn.layers.front import FrontLayer
from fastnn.layers.graph import Graph, calls
from fastnn.layers.masks import masks_read, rules_of
from fastnn.layers.tensor import Node, called
from fastnn.layers.weight import Weights
from fastnn.models import Model

Weighed = Mapping[Any, Mapping[str, Any]]  # of each layer its arrays by their names


def graph_of(model: Any, what: str) -> Graph:
    """The graph of a built model of layers whose formulas are known. TypeError, ValueError, naming the layer, else."""
    if not isinstance(model, Model):
        raise TypeError(f"{what}: model must be a fastnn model, got a {type(model).__name__}")
    graph: Graph | None = model.description.graph
    if graph is None:
        raise ValueError(f"{what}: model {model.name!r} is not built, as its input shape is not known; build or fit it")
    for node in calls(graph):
        if node.graph is None and node.inputs:
            _check(node, what)
    return graph


def _check(node: Node, what: str) -> None:
    layer = node.layer
    where = f"{what}: layer {called(layer)!r} ({type(layer).__name__})"
    if isinstance(layer, FrontLayer):
        raise ValueError(f"{where} reads columns before the network; give what it makes to a model without it")
    if hasattr(layer, "forward") or (formula_of(layer) is None and not isinstance(layer, Weights)):
        raise ValueError(f"{where} is Python code, whose formula is not known; write it there by hand")
    rules = rules_of(node)
    if rules.reads_mask and any(row is not None for row in masks_read(node)):
        raise ValueError(
            f"{where} reads a mask, and masks stay in fastnn; give steps of one length, or none to leave out"
        )
    if getattr(rules, "stateful", False):
        raise ValueError(f"{where} goes on from batch to batch; make it with stateful=False")
    known = ("reduce", "slice", *FUNCTIONS)
    if getattr(layer, "operation", None) not in (None, *known):
        raise ValueError(f"{where} asks which steps a mask leaves; masks stay in fastnn")
    inner = getattr(layer, "layer", layer)  # of a SpectralNormalization
    for name in ("activation", "recurrent_activation"):
        if getattr(inner, name, None) is not None:
            check_unit(getattr(inner, name), where)


def formula_of(layer: Any) -> Any:
    """The formula of the layer's kind, None where there is none."""
    return next((FORMULAS[kind] for kind in type(layer).__mro__ if kind in FORMULAS), None)


def applied(xp: Any, node: Node, reads: Sequence[Any], weights: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a call of a layer that has ops gives for arrays, rows first."""
    if isinstance(node.layer, Weights):
        held = list(weights.values())
        if "use_bias" not in getattr(node.makes, "keywords", {}):  # a weight itself, the same for all rows
            return (xp.broadcast_to(held[0], (len(reads[0]), *held[0].shape)),)
        product = reads[0] @ held[0]
        return (product + held[1] if len(held) > 1 else product,)
    given = formula_of(node.layer)(xp, rules_of(node), *reads, **weights)
    return given if isinstance(given, tuple) else (given,)


def evaluated(graph: Graph, inputs: Sequence[Any], call: Callable[[Node, list[Any]], tuple[Any, ...]]) -> list[Any]:
    """The outputs of a graph for these inputs. call: gives what a call of a layer gives for arrays."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        tensors = node.tensors()
        if tensors[0] in values:
            continue
        reads = [values[tensor] for tensor in node.values]
        inner = node.graph
        if inner is None:
            given: Sequence[Any] = call(node, reads)
        elif inner.slices == 1:
            given = evaluated(inner, reads, call)
        else:  # each step is a row of the graph inside
            steps = [x.reshape((-1, *x.shape[2:])) for x in reads]
            given = [x.reshape((len(reads[0]), inner.slices, *x.shape[1:])) for x in evaluated(inner, steps, call)]
        values.update(zip(tensors, given, strict=True))
    return [values[tensor] for tensor in graph.outputs]


def chain_of(graph: Graph) -> list[Any] | None:
    """The calls of layers one after the other; None where the graph is no chain of different layers."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or graph.slices != 1:
        return None
    found: list[Any] = []
    now = graph.inputs[0]
    for node in graph.nodes:
        if isinstance(node.layer, InputLayer):
            continue
        if node.inputs != (now,) or len(node.rows) != 1:
            return None
        inner = [node] if node.graph is None else chain_of(node.graph)
        if inner is None:
            return None
        found += inner
        (now,) = node.tensors()
    layers = [node.layer for node in found]
    return found if now == graph.outputs[0] and len(set(layers)) == len(layers) and found else None

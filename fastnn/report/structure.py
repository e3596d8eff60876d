"""The layers of a model as a tree: what each gives, how large it is, what it takes, and what it gave for some rows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.engine.network import Network
from fastnn.layers import InputLayer
from fastnn.layers.front import FrontLayer
from fastnn.layers.graph import Graph
from fastnn.layers.tensor import Tensor, called
from fastnn.models.graph import planned
from fastnn.models.networks import network_of

if TYPE_CHECKING:
    from fastnn.data import ArraySource
    from fastnn.typing import Array

    Values = dict[Tensor, Array]

NUMBERS = 2**24  # that the layers give for the rows which are looked at, all together
SECONDS, RUNS = 0.02, 3  # at least, to time a layer


@dataclass
class Part:
    """A call of a layer or a model."""

    name: str
    kind: str
    shape: str
    parameters: int | None  # None where an earlier call has them
    reads: list[str]
    weights: list[tuple[str, Array]]
    seconds: float | None = None  # of all rows, None where it was not measured
    values: Array | None = None
    parts: list[Part] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)  # its plain fields


def rows_at_once(model: Any, most: int) -> int:
    """How many rows are looked at, so that what the layers give for them has its place in memory."""
    units: int = sum(prod(row) for node in model.description.graph.nodes for row in node.rows)
    return max(1, min(most, NUMBERS // max(1, units)))


def values_of(model: Any, source: ArraySource, rows: Any) -> Values:
    """What each layer of the model gives for these rows, by its tensor; inputs too, where no front reads them."""
    built = model.description
    x = np.ascontiguousarray(source.x[rows])
    given: Values = {}
    if built.front is None:
        ends = np.cumsum([prod(tensor.row) for tensor in built.graph.inputs])[:-1]
        given = dict(zip(built.graph.inputs, np.split(x, ends, axis=1), strict=True))
    return _run(model, built.graph, x, given)


def _run(model: Any, graph: Graph, x: Array, given: Values) -> Values:
    """`given`, and what each call of a graph gives for the rows x, which the engine reads."""
    wanted = [tensor for node in graph.nodes if _computes(node) for tensor in node.tensors()]
    tensors = list(dict.fromkeys([*graph.outputs, *wanted]))
    tensors = [tensor for tensor in tensors if tensor not in given and tensor.dtype != "string"]
    out = network_of(model.description, planned(Graph(graph.inputs, tensors))).predict(x) if tensors else x[:, :0]
    parts = np.split(out, np.cumsum([prod(tensor.row) for tensor in tensors])[:-1], axis=1)
    return given | dict(zip(tensors, parts, strict=False))


def _computes(node: Any) -> bool:
    return not isinstance(node.layer, (InputLayer, FrontLayer)) and bool(node.inputs)


def parts_of(model: Any, graph: Graph, names: dict[Any, str], values: Values) -> list[Part]:
    """The calls of a graph. names: of its members. values: what its tensors are for some rows, as far as known."""
    seen: set[Any] = set()
    found = []
    for node in graph.nodes:
        layer = node.layer
        if isinstance(layer, InputLayer):
            continue
        shapes = ", ".join(str(tensor.shape) for tensor in node.tensors())
        reads = [names.get(tensor.node.layer) or called(tensor.node.layer) for tensor in node.inputs]
        size = layer.count_params() if hasattr(layer, "count_params") else 0
        part = Part(
            names.get(layer) or called(layer), type(layer).__name__, shapes, None if layer in seen else size, reads, []
        )
        if node.graph is None and layer not in seen:
            part.weights = [(each.name, np.array(each)) for each in getattr(layer, "weights", ())]
        with suppress(ValueError, TypeError, AttributeError):  # a lambda in it, say, which has no name
            fields = layer.get_config() if node.graph is None else {}
            part.config = {name: each for name, each in fields.items() if _is_plain(name, each)}
        if node.tensors()[0] in values:
            part.values = values[node.tensors()[0]]
        inputs = list(dict.fromkeys(node.inputs))
        x = None
        if _computes(node) and all(tensor in values for tensor in inputs):
            arrays = [values[tensor] for tensor in inputs]
            x = np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1))
            part.seconds = least_seconds(network_of(model.description, planned(Graph(inputs, node.tensors()))), x)
        if node.graph is not None and layer not in seen:
            part.parts = _inside(model, node, [] if x is None else [values[tensor] for tensor in node.values])
        seen.add(layer)
        found.append(part)
    return found


def _is_plain(name: str, value: Any) -> bool:
    return name not in ("name", "dtype", "trainable") and isinstance(value, (str, int, float)) and value is not False


def _inside(model: Any, node: Any, arrays: list[Array]) -> list[Part]:
    """The calls inside a model, or a layer of layers. arrays: what is read, none where it is not known."""
    graph, layer = node.graph, node.layer
    built = getattr(layer, "description", None)
    pairs = zip(built.names, built.members, strict=True) if built is not None else layer.parts()
    names = {part: name for name, part in pairs}
    values: Values = {}
    if len(arrays) == len(graph.inputs):
        rows = [array.reshape(len(array) * graph.slices, -1) for array in arrays]
        given = dict(zip(graph.inputs, rows, strict=True))
        x = np.ascontiguousarray(rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1))
        values = _run(model, graph, x, given)
    return parts_of(model, graph, names, values)


def least_seconds(network: Network, x: Array) -> float:
    """The least time of a prediction of these rows."""
    best, end, runs = np.inf, perf_counter() + SECONDS, 0
    while runs < RUNS or (perf_counter() < end and runs < 100):
        begin = perf_counter()
        network.predict(x)
        best, runs = min(best, perf_counter() - begin), runs + 1
    return float(best)

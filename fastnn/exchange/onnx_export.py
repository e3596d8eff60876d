"""Models as ONNX graphs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from typing import Any

import numpy as np

from fastnn._version import __version__
from fastnn.exchange import (  # the table
    onnx_front,  # noqa: F401
    onnx_operations,  # noqa: F401
    onnx_pictures,  # noqa: F401
    onnx_quantized,
    onnx_recurrent,  # noqa: F401
)
from fastnn.exchange.onnx_calls import REFUSED, UNKNOWN, WRITERS, Call, axis_of, refuse
from fastnn.exchange.onnx_graph import IR_VERSION, ML_OPSET, OPSET, Graph
from fastnn.exchange.onnx_layers import valid
from fastnn.layers.core import NUMBERS
from fastnn.layers.front import FrontLayer, column_dtype
from fastnn.layers.masks import rules_of
from fastnn.layers.places import place_of
from fastnn.layers.quantized import quantized
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.models import check_model
from fastnn.store.replacing import replacing
from fastnn.typing import Array

# Layers that broadcast what is the same for all rows to what is not.
BROADCAST = {"add", "subtract", "multiply", "average", "maximum", "minimum", "dot", "tanh_scores"}


def to_onnx(model: Any) -> Any:
    """The model as an ``onnx.ModelProto``: opset 17, IR version 8, checked by ``onnx.checker``. Extra: onnx.

    Inputs and outputs have the model's names, and "batch" as their first axis. Inputs are float32; whole numbers where
    an Input has such a dtype, int64 where Embedding alone reads them, text where the model does: StringLookup,
    Discretization, Normalization and the like are in the graph, so that raw rows go in. Weights are called as in the
    model's file, "dense/kernel", and are there once, however often a layer is called; kernels of convolutions and
    recurrent layers lie as ONNX's operators read them. metadata_props: "fastnn", the version; "classes" and "columns",
    as JSON, where the model knows them.

    A quantised model has its weights as int8 or float16 there, those of int8 through DequantizeLinear by channel. With
    ranges from rows, what Dense and convolutions read goes through QuantizeLinear and DequantizeLinear; without, Dense
    multiplies by MatMulInteger, with one range for all rows that come together, and other layers read floats.

    The graph is what ``predict`` does, in float32; what fastnn makes an error, such as an id out of range, is none
    there. ValueError that names the layer where ONNX has no operators for it: Hashing, HashedCrossing,
    TextVectorization, DateParts, stateful layers, what is written in Python. ImportError without the package onnx.
    """
    check_model("to_onnx", model)
    graph, tensors = Graph(), (model.inputs, model.outputs)  # which build a model of which only that was missing
    description = model.description
    with description.locked():
        arrays = {name: np.array(view) for name, view in description.arrays().items()}
    inputs, outputs, values = [], {}, {}
    for name, tensor in zip(model.input_names, tensors[0], strict=True):
        value = graph.unique(name or "input")
        whole = tensor.dtype if tensor.dtype in NUMBERS else column_dtype(tensor.dtype)
        kind = "int64" if description.reads_ids and whole == "float32" else whole
        inputs.append(graph.info(value, kind, ["batch", *tensor.row]))
        graph.kinds[value], values[tensor] = kind, value
    names = [graph.unique(name or "output") for name in model.output_names]
    _Writer(graph, description.paths(), arrays).write(description.graph, values, {}, False)
    for name, tensor in zip(names, tensors[1], strict=True):
        outputs[name] = graph.rows_of(graph.cast(values[tensor], "float32"), inputs[0].name, tensor.row)
    proto = graph.finish(model.name, inputs, outputs, [["batch", *tensor.row] for tensor in tensors[1]])
    helper = graph.onnx.helper
    opsets = [helper.make_opsetid(*each) for each in (("", OPSET), ("ai.onnx.ml", ML_OPSET))]
    opsets = opsets if any(node.domain for node in proto.node) else opsets[:1]
    made = helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION)
    made.producer_name, made.producer_version = "fastnn", __version__
    notes = {"classes": description.notes.get("classes"), "columns": description.columns or None}
    known = {name: json.dumps(np.asarray(each).tolist()) for name, each in notes.items() if each is not None}
    helper.set_model_props(made, {"fastnn": __version__, **known})
    graph.onnx.checker.check_model(made, full_check=True)
    return made


def export(model: Any, filepath: str | PathLike[str], **options: Any) -> None:
    """Write ``to_onnx(model, **options)`` to a file."""
    data = to_onnx(model, **options).SerializeToString()
    with replacing(filepath) as file:
        file.write(data)


class _Writer:
    """Writes the calls of a model's graph. paths: of its layers. arrays: its weights by their paths.

    Masks are values, 1 for what counts and 0, and go with the shape of a row of theirs: see fastnn.layers.masks.
    """

    def __init__(self, graph: Graph, paths: dict[Any, str], arrays: dict[str, Array]) -> None:
        self.g, self.paths, self.arrays = graph, paths, arrays

    def write(self, graph: Any, values: dict[Tensor, str], masks: dict[Tensor, Any], training: bool) -> None:
        """Add to `values` and `masks` what the calls of a graph give. training: what a call around it says of it."""
        for node in _needed(graph, values):
            own = [masks.get(tensor) for tensor in node.values]
            reads = [values[tensor] for tensor in node.values]
            for k, place in node.given_masks.items():
                mask = node.inputs[place]
                own[k] = self.g.rows_of(values[mask], reads[k], mask.row), mask.row
            says = training if node.training is None else node.training
            given, found = (self._leaf if node.graph is None else self._inside)(node, reads, own, says)
            values.update(zip(node.tensors(), given, strict=True))
            masks.update((tensor, mask) for tensor, mask in zip(node.tensors(), found, strict=False) if mask)

    def _inside(self, node: Node, reads: list[str], own: list[Any], training: bool) -> tuple[list[str], list[Any]]:
        """A layer of layers, or a model: its graph; of TimeDistributed with each step as a row."""
        inner, at = node.graph, called(node.layer)
        rows, inside = [tensor.row for tensor in node.values], own
        within = dict(zip(inner.inputs, self._shaped(at, reads, rows, inner.inputs), strict=True))
        if any(mask and tensor.row != row for mask, tensor, row in zip(own, inner.inputs, rows, strict=True)):
            inside = [(self.g.reshape(mask[0], mask[1][1:]), mask[1][1:]) if len(mask[1]) > 1 else None for mask in own]
        known = dict(zip(inner.inputs, inside, strict=True))
        self.write(inner, within, known, training)
        ends = [within[tensor] for tensor in inner.outputs]
        given = self._shaped(at, ends, [tensor.row for tensor in inner.outputs], node.tensors())
        if inner.masks:
            return given, [None if tensor is None else (within[tensor], tensor.row) for tensor in inner.masks]
        if node.layer.supports_masking:
            return given, self._masks_given(node, [], own)
        return given, [known.get(tensor) for tensor in inner.outputs]

    def _shaped(self, at: str, values: list[str], rows: list[Any], tensors: Any) -> list[str]:
        """Values as rows of the tensors' shapes."""
        self.g.at = at
        return [self.g.seen(x, row, tensor.row) for x, row, tensor in zip(values, rows, tensors, strict=True)]

    def _leaf(self, node: Node, reads: list[str], own: list[Any], training: bool) -> tuple[list[str], list[Any]]:
        """A layer that has ops."""
        g, layer, rules = self.g, node.layer, rules_of(node)
        g.at = path = self.paths.get(layer, called(layer))
        kind = _kind_of(path, rules)
        if training and (layer.whole_batch or _draws(rules)):
            refuse(path, layer, "it is called with training=True, and draws numbers or goes by the batch")
        if not isinstance(layer, FrontLayer) and kind not in ("embedding", "category_encoding"):
            reads = [g.cast(x, "float32") for x in reads]
        apart = [x for x in reads if x not in g.same]
        if apart and kind not in BROADCAST:
            reads = [g.rows_of(x, apart[0], tensor.row) for x, tensor in zip(reads, node.values, strict=True)]
        names = [parameter.name for parameter in place.parameters] if (place := place_of(layer)) else []
        arrays = {name: self.arrays[f"{path}/{name}"] for name in names}
        few = quantized(layer)
        reads[:1] = [onnx_quantized.as_bytes(g, x, few.get("kernel")) for x in reads[:1]]
        given = WRITERS[kind](Call(g, node, path, arrays, [mask and mask[0] for mask in own], training), *reads)
        given = [given] if isinstance(given, str) else given
        g.same.update(() if apart else given)
        return given, self._masks_given(node, reads, own) if any(own) or rules.makes_mask() else []

    def _masks_given(self, node: Node, reads: list[str], own: list[Any]) -> list[Any]:
        """The masks of what a call gives."""
        g, rules, rows = self.g, rules_of(node), [tensor.row for tensor in node.values]
        ops = rules.mask_ops(rows, [mask and mask[1] for mask in own])
        row = node.rows[0][:-1]
        if ops is None:
            return []
        if ops == ():
            return [own[0]] * rules.masked_outputs
        if rules.makes_mask():
            by_line = rules.table_name == "masking"
            found = g.cast(valid(g, reads[0], getattr(rules, "mask_value", 0.0), by_line), "float32")
        elif rules.table_name == "concatenate" and (axis := axis_of(rules.axis, rows[0])) < len(row):
            ones = [np.ones((1, *each[: len(row)]), np.float32) for each in rows]
            parts = [
                mask[0] if mask else g.op("Expand", one, g.batch_of(x, one.shape[1:]))
                for x, one, mask in zip(reads, ones, own, strict=True)
            ]
            found = g.op("Concat", *parts, axis=axis + 1)
        else:
            found = g.op("Max", *(mask[0] for mask in own))
        return [(found, row)] * rules.masked_outputs


def _needed(graph: Any, known: dict[Tensor, str]) -> Iterator[Node]:
    """The calls that lead to the outputs, in their order, but for those that are known."""
    needed, stack = set(), [tensor for tensor in (*graph.outputs, *graph.masks) if tensor is not None]
    while stack:
        tensor = stack.pop()
        if tensor not in known and tensor.node not in needed:
            needed.add(tensor.node)
            stack += tensor.node.inputs
    return (node for node in graph.nodes if node in needed)


def _kind_of(path: str, layer: Any) -> str:
    """The name of what writes a layer. ValueError where nothing does."""
    if isinstance(layer, FrontLayer) and layer.table_name in WRITERS and layer.table() is None:
        refuse(path, layer, "it knows no data yet; call its adapt")
    for cls in type(layer).__mro__:
        name = getattr(cls, "table_name", "") if cls.__module__.startswith("fastnn.layers.") else ""
        if name in REFUSED:
            refuse(path, layer, REFUSED[name])
        if name in WRITERS and type(layer).ops is cls.ops:  # type: ignore[attr-defined]
            return str(name)
    refuse(path, getattr(layer, "owner", layer), f"{UNKNOWN} what it does")


def _draws(layer: Any) -> bool:
    """Whether a layer draws numbers in training."""
    rates = (getattr(layer, name, 0) for name in ("dropout", "recurrent_dropout", "rate", "stddev"))
    return any(rates) or layer.table_name.startswith("random_") or getattr(layer, "operation", "") == "normal"

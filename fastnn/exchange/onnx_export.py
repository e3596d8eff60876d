"""Models as ONNX graphs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from fastnn._version import __version__
from fastnn.exchange import onnx_front, onnx_operations, onnx_pictures, onnx_recurrent  # noqa: F401 - the table
from fastnn.exchange.onnx_calls import REFUSED, WRITERS, Call, axis_of, refuse
from fastnn.exchange.onnx_graph import IR_VERSION, ML_OPSET, OPSET, Graph
from fastnn.exchange.onnx_layers import valid
from fastnn.layers.front import FrontLayer, column_dtype
from fastnn.layers.graph import Graph as Calls
from fastnn.layers.masks import rules_of
from fastnn.layers.places import place_of
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.models import check_model
from fastnn.store.replacing import replacing
from fastnn.typing import Array, Shape

# Layers that broadcast what is the same for all rows to what is not.
BROADCAST = {"add", "subtract", "multiply", "average", "maximum", "minimum", "dot", "operation"}
BROADCAST |= {"tanh_scores", "weighting"}


def to_onnx(model: Any) -> Any:
    """The model as an ``onnx.ModelProto``: opset 17, IR version 8, checked by ``onnx.checker``. Extra: onnx.

    Inputs and outputs have the model's names and "batch" as their first axis. Inputs are float32; int64 where the model
    reads whole numbers by an Input of such a dtype or by Embedding alone, text where it reads text: layers such as
    StringLookup, Discretization and Normalization are in the graph, so that raw rows go in. Weights are called as in
    the model's file, "dense/kernel", and are there once, however often a layer is called; kernels of convolutions and
    recurrent layers lie as ONNX's operators read them. metadata_props: "fastnn", the version; "classes" and "columns",
    as JSON, where the model knows them.

    The graph is what ``predict`` does, in float32; values that fastnn makes an error, such as an id out of range, are
    none there. ValueError that names the layer where ONNX has no operators for it: Hashing, HashedCrossing,
    TextVectorization, DateParts, stateful layers, what is written in Python. ImportError without the package onnx.
    """
    check_model("to_onnx", model)
    graph = Graph()
    tensors = model.inputs, model.outputs  # builds a model of which only that was missing
    description = model.description
    with description.locked():
        arrays = {name: np.array(view) for name, view in description.arrays().items()}
    names = [
        [graph.unique(name or kind) for name in given]
        for given, kind in ((model.input_names, "input"), (model.output_names, "output"))
    ]
    inputs, values = [], {}
    for name, tensor in zip(names[0], tensors[0], strict=True):
        kind = "int64" if description.reads_ids else column_dtype(tensor.dtype)
        inputs.append(graph.info(name, kind, ["batch", *tensor.row]))
        graph.kinds[name] = kind
        values[tensor] = name
    _Writer(graph, description.paths(), arrays).write(description.graph, values)
    outputs = {}
    for name, tensor in zip(names[1], tensors[1], strict=True):
        value = graph.cast(values[tensor], "float32")
        if value in graph.same:
            value = graph.op("Expand", value, graph.batch_of(names[0][0], tensor.row))
        outputs[name] = value
    shapes = [["batch", *tensor.row] for tensor in tensors[1]]
    proto = graph.finish(model.name, inputs, outputs, shapes)
    return _checked(graph.onnx, proto, description)


def _checked(onnx: Any, graph: Any, description: Any) -> Any:
    helper = onnx.helper
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain for node in graph.node):
        opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    made.producer_name, made.producer_version = "fastnn", __version__
    notes = {"fastnn": __version__}
    for name, known in (("classes", description.notes.get("classes")), ("columns", list(description.columns))):
        if known is not None and len(known):
            notes[name] = json.dumps(np.asarray(known).tolist() if not isinstance(known, list) else known)
    helper.set_model_props(made, notes)
    onnx.checker.check_model(made, full_check=True)
    return made


def export(model: Any, filepath: str | PathLike[str], **options: Any) -> None:
    """Write ``to_onnx(model, **options)`` to a file."""
    data = to_onnx(model, **options).SerializeToString()
    with replacing(filepath) as file:
        file.write(data)


def reason(layer: type) -> str | None:
    """Why no layer of this class can be written; None where one can. LookupError for a class that is not known."""
    for cls in layer.__mro__:
        name = getattr(cls, "table_name", "") if cls.__module__.startswith("fastnn.layers.") else ""
        if name in REFUSED:
            return REFUSED[name]
        if name in WRITERS or getattr(cls, "made_of_layers", False) or name == "input_layer":
            return None
    raise LookupError(layer.__name__)


class _Mask(NamedTuple):
    """The value of a mask, and the shape of a row of it."""

    value: str
    row: Shape


class _Writer:
    """Writes the calls of a model's graph. paths: of its layers. arrays: its weights by their paths."""

    def __init__(self, graph: Graph, paths: dict[Any, str], arrays: dict[str, Array]) -> None:
        self.g, self.paths, self.arrays = graph, paths, arrays

    def write(
        self, graph: Calls, values: dict[Tensor, str], masks: dict[Tensor, _Mask] | None = None, training: bool = False
    ) -> None:
        """Add to `values` and `masks` what the calls of a graph give. training: what a call around it says of it."""
        masks = {} if masks is None else masks
        for node in _needed(graph, values):
            own = [masks.get(tensor) for tensor in node.values]
            for k, place in node.given_masks.items():
                own[k] = _Mask(values[node.inputs[place]], node.inputs[place].row)
            says = training if node.training is None else node.training
            if node.graph is not None:
                self._inside(node, values, masks, own, says)
            else:
                self._leaf(node, values, masks, own, says)

    def _inside(self, node: Node, values: Any, masks: Any, own: list[_Mask | None], training: bool) -> None:
        """A layer of layers, or a model: its graph; of TimeDistributed with each step as a row."""
        inner: Calls = node.graph
        self.g.at = called(node.layer)
        reads = [
            values[tensor] if tensor.row == inside.row else self.g.reshape(values[tensor], inside.row)
            for tensor, inside in zip(node.values, inner.inputs, strict=True)
        ]
        inside: list[_Mask | None] = own
        if inner.inputs[0].row != node.values[0].row:
            inside = [
                None
                if mask is None or len(mask.row) < 2
                else _Mask(self.g.reshape(mask.value, mask.row[1:]), mask.row[1:])
                for mask in own
            ]
        within = dict(zip(inner.inputs, reads, strict=True))
        known = {tensor: mask for tensor, mask in zip(inner.inputs, inside, strict=True) if mask is not None}
        self.write(inner, within, known, training)
        self.g.at = called(node.layer)
        given = [
            within[tensor] if tensor.row == row else self.g.reshape(within[tensor], row)
            for tensor, row in zip(inner.outputs, node.rows, strict=True)
        ]
        values.update(zip(node.tensors(), given, strict=True))
        if inner.masks:
            found = [None if tensor is None else _Mask(within[tensor], tensor.row) for tensor in inner.masks]
        elif node.layer.supports_masking:
            found = self._masks_given(node, [], own)
        else:
            found = [known.get(tensor) for tensor in inner.outputs]
        masks.update((tensor, mask) for tensor, mask in zip(node.tensors(), found, strict=False) if mask is not None)

    def _leaf(self, node: Node, values: Any, masks: Any, own: list[_Mask | None], training: bool) -> None:
        layer, rules = node.layer, rules_of(node)
        path = self.paths.get(layer, called(layer))
        reads = [values[tensor] for tensor in node.values]
        kind = _writer_of(path, rules)
        if training and (layer.whole_batch or _draws(rules)):
            refuse(path, layer, "it is called with training=True, and draws numbers or goes by the batch")
        self.g.at = path
        if not isinstance(layer, FrontLayer) and kind not in ("embedding", "category_encoding"):
            reads = [self.g.cast(x, "float32") for x in reads]
        same = [x in self.g.same for x in reads]
        if any(same) and not all(same) and kind not in BROADCAST:
            anchor = reads[same.index(False)]
            reads = [
                self.g.op("Expand", x, self.g.batch_of(anchor, tensor.row)) if alike else x
                for x, tensor, alike in zip(reads, node.values, same, strict=True)
            ]
        place = place_of(layer)
        names = [] if place is None else [parameter.name for parameter in place.parameters]
        arrays = {name: self.arrays[f"{path}/{name}"] for name in names}
        values_of_masks = [mask and mask.value for mask in own]
        given = WRITERS[kind](Call(self.g, node, path, arrays, values_of_masks, training), *reads)
        given = [given] if isinstance(given, str) else given
        if all(same) and same:
            self.g.same.update(given)
        values.update(zip(node.tensors(), given, strict=True))
        if any(own) or rules.makes_mask():
            found = self._masks_given(node, reads, own)
            masks.update(
                (tensor, mask) for tensor, mask in zip(node.tensors(), found, strict=False) if mask is not None
            )

    def _masks_given(self, node: Node, reads: list[str], own: list[_Mask | None]) -> list[_Mask | None]:
        """The masks of what a call gives. See fastnn.layers.masks."""
        rules, rows = rules_of(node), [tensor.row for tensor in node.values]
        ops = rules.mask_ops(rows, [mask and mask.row for mask in own])
        if ops is None:
            return []
        if ops == ():
            return [own[0]] * rules.masked_outputs
        row = node.rows[0][:-1]
        call = Call(self.g, node, self.g.at, {}, (), False)
        if rules.makes_mask():
            by_line = rules.table_name == "masking"
            found = self.g.op("Cast", valid(call, reads[0], getattr(rules, "mask_value", 0.0), by_line), to=1)
        elif rules.table_name == "concatenate" and len(row) + 1 > (axis := axis_of(rules.axis, rows[0])) + 1:
            ones = [np.ones((1, *each[: len(row)]), np.float32) for each in rows]
            parts = [
                self.g.op("Expand", self.g.value(one), self.g.batch_of(x, one.shape[1:]))
                if mask is None
                else mask.value
                for x, one, mask in zip(reads, ones, own, strict=True)
            ]
            found = self.g.op("Concat", *parts, axis=axis + 1)
        else:
            found = self.g.op("Max", *(mask.value for mask in own if mask is not None))
        return [_Mask(found, row)] * rules.masked_outputs


def _needed(graph: Calls, known: dict[Tensor, str]) -> Iterator[Node]:
    """The calls that lead to the outputs, in their order, but for those that are known."""
    ends = [*graph.outputs, *(mask for mask in graph.masks if mask is not None)]
    needed, stack = set(), [tensor.node for tensor in ends if tensor not in known]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack += [tensor.node for tensor in node.inputs if tensor not in known]
    return (node for node in graph.nodes if node in needed)


def _writer_of(path: str, layer: Any) -> str:
    """The name of what writes a layer. ValueError where nothing does."""
    for cls in type(layer).__mro__:
        name, ops = getattr(cls, "table_name", ""), getattr(cls, "ops", None)
        if not cls.__module__.startswith("fastnn.layers."):
            continue
        if name in REFUSED:
            refuse(path, layer, REFUSED[name])
        if name in WRITERS and type(layer).ops is ops:
            return str(name)
    refuse(path, layer, "it is written in Python")


def _draws(layer: Any) -> bool:
    """Whether a layer draws numbers in training."""
    rates = (getattr(layer, name, 0) for name in ("dropout", "recurrent_dropout", "rate", "stddev"))
    return any(rates) or layer.table_name.startswith("random_") or getattr(layer, "operation", "") == "normal"

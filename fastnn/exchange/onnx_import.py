"""ONNX into fastnn: the graph is gone through once, and each node becomes layers on symbolic tensors."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from fastnn import layers
from fastnn._checks import check_count, shown
from fastnn._output import warn
from fastnn.layers.arithmetic import reshape as as_row
from fastnn.layers.base import set_field
from fastnn.layers.operation import operation
from fastnn.layers.tensor import MAX_LAYERS, Tensor
from fastnn.models import Model
from fastnn.typing import Array

from . import onnx_import_layers, onnx_import_numbers, onnx_import_ops, onnx_import_windows
from .onnx_import_file import FLOATS, TEXT, WHOLE, File, Node, needed
from .onnx_import_numbers import MOST_NUMBERS
from .onnx_import_views import ROWS, View

FEW = 256  # numbers that a layer has among its arguments; more are weights
# What may work on the number of rows and still say the same for any.
OF_ROWS = {
    *("Add", "Cast", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Gather", "Identity", "Mul", "ReduceProd"),
    *("Reshape", "Resize", "Shape", "Slice", "Split", "Squeeze", "Sub", "Tile", "Unsqueeze", "Where"),
}
OPS = {**onnx_import_numbers.OPS, **onnx_import_ops.OPS, **onnx_import_layers.OPS, **onnx_import_windows.OPS}
ERRORS = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)


def from_onnx(path: Any, *, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Model:
    """The network of an ONNX file as a functional Model, which predicts what the file does, and can be trained on.

    path: of a file, or its bytes, or an onnx.ModelProto. input_shapes: by an input's name the shape of its rows, where
    the file leaves axes beside that of the rows open: {"tokens": (128,)}.

    The axis of an input that is open, or else its first, is that of the rows; it comes first in fastnn, and the others
    keep their order: pictures are (channels, height, width) outside, while inside the channels are last. Outputs that
    are no floats, such as the labels of skl2onnx, are left out with a warning; the classes that they stand for are in
    ``model.description.notes["classes"]``. Weights are copied. To train the model, compile it.

    ImportError where onnx is missing; FileNotFoundError; ValueError for what is no ONNX model, for data in another
    file, for an op that would mix rows, and for a node that no layer of fastnn does, which it names.
    """
    if input_shapes is not None and not isinstance(input_shapes, Mapping):
        raise TypeError(f"from_onnx: input_shapes must be a dict of shapes by input, got {shown(input_shapes)}")
    return Reading(File(path)).model(dict(input_shapes or {}))


class Reading:
    """One graph while it is read.

    values: what each name stands for, a View or an array. weights: the arrays that layers will have. count: how often
    each name is read. done: nodes that another's layer does too. origin: the name that a tensor was given first.
    scores, soft: tensors that are q . kt, and softmax of it, with q, k, a scale and whether the future is hidden.
    """

    def __init__(self, file: File) -> None:
        self.file = file
        self.values: dict[str, Any] = {"": None, **file.arrays}
        self.weights: dict[Any, list[Array]] = {}
        self.outputs, self.others = self._chosen()
        self.nodes = needed(file.nodes, [source for source, _ in self.outputs])
        self.count = Counter(name for node in self.nodes for name in node.inputs)
        self.count.update(source for source, _ in self.outputs)
        self.read: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self.read.setdefault(name, []).append(node)
        self.names: set[str] = set()
        self.done: set[Node] = set()
        self.origin: dict[Tensor, str] = {}
        self.scores: dict[Tensor, Any] = {}
        self.soft: dict[Tensor, Any] = {}
        self.left = MOST_NUMBERS + 4 * sum(array.size for array in file.arrays.values())

    def _chosen(self) -> tuple[list[tuple[str, str]], list[str]]:
        """The outputs of floats, as (what gives it, its name), and the names of the others."""
        maps = {node.outputs[0]: node.inputs[0] for node in self.file.nodes if node.op == "ZipMap" and node.inputs}
        chosen = [(maps.get(name, name), name) for name, kind, _ in self.file.outputs if kind in FLOATS or name in maps]
        others = [name for name, kind, _ in self.file.outputs if kind not in FLOATS and name not in maps]
        if not chosen:
            raise ValueError(f"from_onnx: none of the outputs {shown(others)} is of floats, which a network gives")
        return chosen, others

    def model(self, shapes: dict[str, Any]) -> Model:
        """The model that the nodes become."""
        inputs = self._inputs(shapes)
        for node in self.nodes:
            if node not in self.done:
                self._node(node)
        outputs = [self._output(source, name) for source, name in self.outputs]
        try:
            model: Model = Model(
                inputs, outputs if len(outputs) > 1 else outputs[0], name=_plain(self.file.name) or None
            )
        except ERRORS as error:
            raise ValueError(f"from_onnx: {error}") from error
        for layer in model.description.layers():
            if layer in self.weights:
                layer.set_weights(self.weights[layer])
        self._note(model)
        return model

    def _inputs(self, shapes: dict[str, Any]) -> list[Tensor]:
        found = []
        for name, kind, sizes in self.file.inputs:
            if not self.count[name]:
                continue
            what = f"from_onnx: input {shown(name)}"
            if not sizes:
                raise ValueError(f"{what} has no axis of rows, and fastnn reads rows")
            place = sizes.index(None) if None in sizes else 0
            row: Any = sizes[:place] + sizes[place + 1 :]
            given = shapes.pop(name, row)
            given = tuple(given) if isinstance(given, (tuple, list)) else (given,)
            if len(given) != len(row) or None in given:
                raise ValueError(
                    f"{what} has rows of shape {row}; from_onnx(path, input_shapes={{{name!r}: ...}}) says all"
                )
            row = tuple(check_count(what, size, 1, ROWS - 1) for size in given)
            dtype = "string" if kind == TEXT else "int64" if kind in WHOLE else "float32"
            tensor = layers.Input(row, dtype=dtype, name=self.name(name))
            seen = [(k + 1,) for k in range(len(row))]
            seen.insert(place, (0,))
            self.values[name] = View(tensor, row, seen, sizes[place] or ROWS, kind not in FLOATS)
            found.append(tensor)
        if shapes:
            raise ValueError(f"from_onnx: input_shapes has {shown(next(iter(shapes)))}, which is no input that is open")
        return found

    def _output(self, source: str, name: str) -> Tensor:
        value = self.values.get(source)
        try:  # (rows * n,) is n numbers of each row
            view = value.plain()  # type: ignore[union-attr]
            return view.tensor if view.sizes else as_row(view.tensor, ())
        except (AttributeError, ValueError) as error:
            text = error if isinstance(value, View) else "it does not come of the inputs"
            raise ValueError(f"from_onnx: output {shown(name)}: {text}") from None

    def _note(self, model: Model) -> None:
        """Say what was left out, and keep what the model is to know of its columns and classes."""
        if self.others:
            warn(f"from_onnx: left out {', '.join(map(shown, self.others))}, which is no output of floats")
        classes, columns = self._classes() or self._noted("classes", (str, int)), self._noted("columns", (str,))
        if classes and model.outputs[-1].row in ((len(classes),), (1,)[: len(classes) == 2]):
            model.description.notes["classes"] = classes
        if len(columns) == sum(prod(tensor.row) for tensor in model.inputs):
            model.description.columns = tuple(columns)

    def _noted(self, name: str, kinds: tuple[type, ...]) -> list[Any]:
        """What ``to_onnx`` has noted in the file; none where it is another thing."""
        try:
            found = json.loads(self.file.metadata.get(name, "[]"))
        except (ValueError, RecursionError):
            return []
        return found if isinstance(found, list) and all(isinstance(each, kinds) for each in found) else []

    def _classes(self) -> list[Any]:
        for node in needed(self.file.nodes, [name for name, _, _ in self.file.outputs]):
            if node.op == "ZipMap":
                return list(node.get("classlabels_int64s", []) or node.get("classlabels_strings", []))
            found = self.file.arrays.get(node.inputs[0]) if node.op == "ArrayFeatureExtractor" and node.inputs else None
            if found is not None and found.dtype.kind in "iO":
                return [x.decode(errors="replace") if isinstance(x, bytes) else x for x in found.ravel().tolist()]
        return []

    # Nodes.

    def _node(self, node: Node) -> None:
        """Enter what a node gives. ValueError, naming it, where that cannot be."""
        try:
            given = self._given(node)
            given = list(given) if isinstance(given, (list, tuple)) else [given]
            for name, value in zip(node.outputs, [*given, *[None] * len(node.outputs)], strict=False):
                if value is None and self.count[name] and name:
                    raise ValueError(f"its output {shown(name)} is not worked out in fastnn")
                self.values[name] = value
                if isinstance(value, View):
                    self.origin.setdefault(value.tensor, name)
        except ERRORS as error:
            text = error if isinstance(error, ValueError) else "its inputs and attributes are not such as ONNX gives it"
            raise ValueError(f"from_onnx: {node}: {text}") from error
        self.values[""] = None

    def _given(self, node: Node) -> Any:
        if node.op not in OPS or node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            raise ValueError("no layer of fastnn does that")
        for name in node.inputs:
            if name not in self.values:
                raise ValueError(f"it reads {shown(name)}, which nothing gives before it")
        values = [self.values[name] for name in node.inputs]
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        if node.op not in OF_ROWS and any(map(self.of_rows, arrays)):
            raise ValueError("it computes with the number of rows, which is open")
        if any(isinstance(value, View) for value in values):
            return OPS[node.op](self, node, *values)
        with np.errstate(all="ignore"):
            given = OPS[node.op](self, node, *values)
        given = list(map(np.asarray, given if isinstance(given, list) else [given]))
        self.left -= sum(array.size for array in given)
        if self.left < 0:
            raise ValueError("what is worked out of constants is much larger than the file")
        return given

    def of_rows(self, x: Array) -> bool:
        """Whether an array has the number of rows in it."""
        return x.dtype.kind == "i" and x.size <= 1024 and bool(((x != 0) & (x % ROWS == 0)).any())

    # What the ops make layers with.

    def readers(self, node: Node) -> list[Node]:
        """The nodes that read what a node gives."""
        return [each for name in node.outputs for each in self.read.get(name, [])]

    def name(self, given: str) -> str:
        """A name that is free, for a layer."""
        base = name = _plain(given) or "layer"
        number = 1
        while name in self.names:
            name, number = f"{base}_{number}", number + 1
        self.names.add(name)
        if len(self.names) > 4 * MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers")
        return name

    def layer(
        self,
        node: Node,
        made: Any,
        given: Any,
        arrays: Sequence[Array] | None = None,
        steps: bool = False,
        **named: Any,
    ) -> Any:
        """What a layer gives that is called as the node is. arrays: for its weights. steps: whether each goes alone."""
        set_field(made, "name", self.name(node.name))
        found = layers.TimeDistributed(made)(given) if steps else made(given, **named)
        if arrays is not None:
            self.weights[made] = [np.array(array, np.float32) for array in arrays]
            rows = [tensor.row[steps:] for tensor in (given if isinstance(given, list) else [given])]
            shapes = [parameter.shape for parameter in made.parameters(*rows)]
            if shapes != [array.shape for array in arrays]:
                raise ValueError(f"its arrays have shapes {[array.shape for array in arrays]}, expected {shapes}")
        return found

    def activated(self, node: Node, x: View, unit: Any, row: bool = False) -> Tensor:
        """An activation, of `row` along its last axis; as that of the layer before, where only this reads it."""
        call = x.tensor.node
        before, linear = call.layer, getattr(call.layer, "activation", None)
        alone = before in self.weights and not isinstance(before, RECURRENT)
        alone = alone and self.count[node.inputs[0]] == 1 and self.origin.get(x.tensor) == node.inputs[0]
        if alone and getattr(linear, "table_name", "") == "linear" and (not row or x.tensor.row[-1:] == x.sizes[-1:]):
            other = replace(before, activation=unit)
            self.weights[other] = self.weights.pop(before)
            tensor: Tensor = other(call.inputs[0])
            return tensor
        tensor = self.layer(node, layers.Activation(unit), x.row() if row else x.tensor)
        return tensor

    def follow(self, before: View, given: View, kind: str, array: Array) -> None:
        """Note what is made of scores: scaled, or masked so that no query sees what comes after it."""
        q, key, scale, causal = self.scores.get(before.tensor, (None, None, 1.0, False))
        if q is None:
            return
        table = np.squeeze(array)
        if kind in ("Mul", "Div") and array.size == 1:
            scale *= float(array.item()) if kind == "Mul" else 1 / float(array.item())
        elif kind == "Add" and table.ndim == 2 and np.array_equal(table < -1e4, np.triu(np.ones(table.shape), 1)):
            if table[table >= -1e4].any():
                return
            causal = True
        else:
            return
        self.scores[given.tensor] = q, key, scale, causal

    def constant(self, array: Array, near: Tensor) -> Tensor:
        """An array that is the same for all rows as a tensor; of many numbers a weight of its own."""
        array = np.clip(np.asarray(array, np.float32), -3e38, 3e38)
        if np.isnan(array).any():
            raise ValueError("a constant has NaN in it")
        if array.size <= FEW:
            return operation("constant", near, value=array.astype(float).tolist())
        table = array.reshape(len(array) if array.ndim > 1 else 1, -1)
        lines = operation("constant", near, value=list(map(float, range(len(table)))))
        embedding = layers.Embedding(*table.shape, name=self.name("constant"))
        self.weights[embedding] = [table]
        return as_row(embedding(lines), array.shape)


RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)


def _plain(name: str) -> str:
    """A name of the file as one of a layer."""
    return re.sub(r"[^\w.\-]+", "_", str(name)[:200]).strip("_")

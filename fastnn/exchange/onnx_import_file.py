"""ONNX files as nodes and arrays: what is read is checked for type and size before it is used."""

from __future__ import annotations

import os
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_path, shown
from fastnn.layers.tensor import MAX_LAYERS
from fastnn.typing import Array

from .onnx_import_views import ROWS

MOST_BYTES = 2**31  # protobuf's own limit
MOST_FIELDS = 2**20  # of all messages together: a field of two bytes may take a hundred in memory
MOST_DEPTH = 100  # protobuf's own limit
MOST = {"nodes": 20 * MAX_LAYERS, "arrays": 2**14, "attributes": 2**17}  # shapes take many nodes, and are no layers
OPSETS = range(9, 27)
# TensorProto's numbers of types.
FLOATS, WHOLE, TEXT = (1, 10, 11, 16), (2, 3, 4, 5, 6, 7, 9, 12, 13), 8
KINDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}  # AttributeProto's
DATA = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


class Node:
    """A node: its name, op, and domain, the names of what it reads and gives, and its attributes."""

    __slots__ = ("_attributes", "domain", "inputs", "name", "op", "outputs")

    def __init__(self, proto: Any) -> None:
        self.op, self.domain = proto.op_type, proto.domain
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.name = proto.name or next(filter(None, self.outputs), "")
        self._attributes = {each.name: each for each in proto.attribute}

    def __str__(self) -> str:
        return f"node {shown(self.name)} ({self.op[:80]})"

    def has(self, name: str) -> bool:
        """Whether it has the attribute."""
        return name in self._attributes

    def get(self, name: str, default: Any) -> Any:
        """An attribute of the default's type: float, int, str, array or list. ValueError for another."""
        found = self._attributes.get(name)
        if found is None:
            return default
        value = getattr(found, KINDS.get(found.type, "type"))
        if found.type in (3, 8):
            value = value.decode(errors="replace") if found.type == 3 else [x.decode(errors="replace") for x in value]
        value = array_of(value) if found.type == 4 else list(value) if found.type in (6, 7) else value
        if found.type not in KINDS or type(value) is not type(default):
            raise ValueError(f"attribute {name!r} has a value of another type, {shown(value)}")
        return value


class File:
    """A graph as it was read: its nodes, arrays and their types, and (name, type, shape) of its inputs and outputs."""

    def __init__(self, given: Any) -> None:
        proto = _model(given)
        graph = proto.graph
        opsets = {each.domain: each.version for each in proto.opset_import}
        self.opset = opsets.get("", opsets.get("ai.onnx", 0))
        if not graph.node:
            raise ValueError("from_onnx: there is no graph of nodes in it; it is no ONNX model, or an empty one")
        if self.opset not in OPSETS:
            raise ValueError(f"from_onnx reads opset {OPSETS[0]} to {OPSETS[-1]}, got {self.opset}; export it anew")
        for what, count in (
            ("nodes", len(graph.node)),
            ("arrays", len(graph.initializer) + len(graph.input) + len(graph.output)),
            ("attributes", sum(len(each.attribute) + len(each.input) + len(each.output) for each in graph.node)),
        ):
            if count > MOST[what]:
                raise ValueError(f"from_onnx: a graph has at most {MOST[what]:,} {what}, got {count:,}")
        if graph.sparse_initializer:
            raise ValueError("from_onnx: sparse initialisers are not read; write them dense")
        self.nodes = [Node(each) for each in graph.node]
        self.arrays = {each.name: array_of(each) for each in graph.initializer}
        self.kinds = {each.name: each.data_type for each in graph.initializer}
        self.inputs = [_described(each) for each in graph.input if each.name not in self.arrays]
        self.outputs = [_described(each) for each in graph.output]
        self.metadata = {each.key: each.value for each in proto.metadata_props}
        self.name = graph.name


def _model(given: Any) -> Any:
    """A path, bytes or a ModelProto as a ModelProto; no other file is opened."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError('from_onnx needs onnx: pip install "fastnn[onnx]"') from error
    if isinstance(given, onnx.ModelProto):
        return given
    if isinstance(given, (bytes, bytearray, memoryview)):
        content = bytes(given)
    else:
        with open(check_path("from_onnx: path", given), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(MOST_BYTES + 1) if size <= MOST_BYTES else b""
        if size > MOST_BYTES or len(content) > MOST_BYTES:
            raise ValueError(f"from_onnx: an ONNX file has at most {MOST_BYTES:,} bytes, got {size:,}")
    proto = onnx.ModelProto()
    _count_fields(memoryview(content), proto.DESCRIPTOR, MOST_FIELDS, 0)
    try:
        proto.ParseFromString(content)
    except Exception as error:  # protobuf's own errors, which other packages have under other names
        raise ValueError(f"from_onnx: that is no ONNX model: {shown(str(error))}") from error
    return proto


def _count_fields(data: memoryview, kind: Any, left: int, depth: int) -> int:
    """How many of `left` fields a message leaves, before any memory is taken for it. ValueError where it has more.

    What is no message ends the count: protobuf says what is wrong with it.
    """
    at = 0

    def number() -> int:
        nonlocal at
        found = shift = 0
        while at < len(data) and shift < 64:
            found |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        return found

    while at < len(data):
        tag, left = number(), left - 1
        if left < 0 or depth > MOST_DEPTH:
            raise ValueError(
                f"from_onnx: a model has at most {MOST_FIELDS:,} fields, at most {MOST_DEPTH} deep; this one has more"
            )
        if tag & 7 == 2:
            size = number()
            field = kind.fields_by_number.get(tag >> 3)
            if field is not None and field.message_type is not None:
                left = _count_fields(data[at : at + size], field.message_type, left, depth + 1)
            at += size
        elif tag & 7 == 0:
            number()
        elif tag & 7 in (1, 5):
            at += 8 if tag & 7 == 1 else 4
        else:
            break
    return left


def array_of(tensor: Any) -> Array:
    """A TensorProto as an array of its own. ValueError for data in another file, and where numbers are missing."""
    from onnx import numpy_helper

    name, shape, kind = shown(tensor.name), tuple(tensor.dims), tensor.data_type
    if tensor.data_location == 1 or tensor.external_data:
        raise ValueError(
            f"from_onnx: array {name} lies in another file, which is not opened; save the model as one file: "
            "torch.onnx.export(..., external_data=False)"
        )
    held = len(tensor.raw_data) if tensor.HasField("raw_data") else max(len(getattr(tensor, each)) for each in DATA)
    try:  # counted before it is read: no array is larger than the file
        if len(shape) > 31 or any(not 0 <= size < ROWS for size in shape) or prod(shape) > held:
            raise ValueError(f"its shape {shown(shape)} is none, or asks for more numbers than there are")
        if kind not in (*FLOATS, *WHOLE, TEXT) or tensor.HasField("segment"):
            raise ValueError(f"its type {kind} is not read")
        array: Array = np.array(numpy_helper.to_array(tensor))
    except (TypeError, ValueError, OverflowError, AttributeError, RuntimeError) as error:
        raise ValueError(f"from_onnx: array {name}: {error}") from error
    if kind in FLOATS:
        return array.astype(np.float64 if kind == 11 else np.float32)
    return array.astype(object if kind == TEXT else bool if kind == 9 else np.int64)


def _described(value: Any) -> tuple[str, int, tuple[int | None, ...] | None]:
    """Name, type (0 for what is no tensor) and shape of an input or output; open sizes are None."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return value.name, kind.elem_type, None
    return value.name, kind.elem_type, tuple(each.dim_value or None for each in kind.shape.dim)


def needed(nodes: list[Node], outputs: list[str]) -> list[Node]:
    """The nodes that lead to these values, in their order."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(filter(None, node.outputs)):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]

"""An ONNX graph while it is written: its nodes, its constants, names that are there once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

OPSET, IR_VERSION, ML_OPSET = 17, 8, 3
LOGICAL = {"And", "Equal", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Not"}  # operators that give bool
MOST_BYTES = 2_000_000_000  # of weights: a protobuf message ends at 2**31


def needed_onnx() -> Any:
    """The package onnx. ImportError that says how to get it."""
    try:
        return import_module("onnx")
    except ImportError as error:
        raise ImportError('to_onnx needs onnx: pip install "fastnn[onnx]"') from error


class Graph:
    """Nodes and initialisers, written one by one.

    A value is the name of what a node gives. at: how the names of the nodes that come begin, a layer's way in the
    model. kinds: of values that are not float32, as NumPy calls them, or "string". same: values with one row, for all.
    """

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self.onnx = needed_onnx()
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.at = "model"
        self.kinds: dict[str, str] = {}
        self.same: set[str] = set()
        self._names: dict[str, int] = dict.fromkeys(taken, 0)
        self._constants: dict[Any, str] = {}
        self._turned: dict[str, tuple[str, tuple[int, ...]]] = {}  # what a Transpose made: of what, and how

    def unique(self, name: str) -> str:
        """The name, with a number behind it where it is taken."""
        found = name
        while found in self._names:
            self._names[name] += 1
            found = f"{name}_{self._names[name]}"
        self._names[found] = 0
        return found

    def op(self, kind: str, *reads: Any, domain: str = "", **attributes: Any) -> str:
        """A node of one output. Gives the name of what it gives.

        reads: names; None for what is left out; arrays, float numbers and lists of whole numbers become initialisers.
        """
        return self.several(1, kind, *reads, domain=domain, **attributes)[0]

    def several(self, count: int, kind: str, *reads: Any, domain: str = "", **attributes: Any) -> list[str]:
        """A node of `count` outputs: their names."""
        name = self.unique(f"{self.at}/{kind}")
        given = [name] + [self.unique(f"{name}_{place}") for place in range(1, count)]
        inputs = [self.value(each) for each in reads]
        while not inputs[-1]:
            inputs.pop()
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, given, name=name, domain=domain, **attributes))
        self.kinds.update(dict.fromkeys(given if kind in LOGICAL else (), "bool"))
        return given

    def value(self, given: Any) -> str:
        """The name of a value; of an initialiser for a number, a list of whole numbers or an array."""
        if given is None or isinstance(given, str):
            return given or ""
        array = np.asarray(given, np.float32 if isinstance(given, float) else None)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer("constant", array)
        return self._constants[key]

    def initializer(self, name: str, array: Any) -> str:
        """An array by its name; the same array under the same name is there once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))  # a number keeps its shape ()
        key = (name, array.dtype.str, array.shape, array.tobytes() if array.size <= 64 else hash(array.tobytes()))
        if key not in self._constants:
            found = self._constants[key] = self.unique(name)
            self.initializers[found] = self.onnx.numpy_helper.from_array(array, found)
        return self._constants[key]

    @contextmanager
    def body(self) -> Iterator[list[Any]]:
        """Within it nodes go into a list of their own: the graph of a Scan."""
        outside, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = outside

    def cast(self, x: str, kind: str) -> str:
        """A value as another kind."""
        if self.kinds.get(x, "float32") == kind:
            return x
        given = self.op("Cast", x, to=self.element(kind))
        self.kinds[given] = kind
        return given

    def element(self, kind: str) -> int:
        """ONNX's number for a kind of value."""
        if kind == "string":
            return int(self.onnx.TensorProto.STRING)
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def reshape(self, x: str, row: Sequence[int]) -> str:
        """The same numbers as rows of this shape."""
        return self.op("Reshape", x, [-1, *row])

    def seen(self, x: str, row: Sequence[int], other: Sequence[int]) -> str:
        """Rows of one shape as rows of another."""
        return x if tuple(row) == tuple(other) else self.reshape(x, other)

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Axes in another order. One that undoes another leaves nothing."""
        source, before = self._turned.get(x, (x, tuple(range(len(order)))))
        order = tuple(before[axis] for axis in order)
        if order == tuple(range(len(order))):
            return source
        given = self.op("Transpose", source, perm=order)
        self._turned[given] = source, order
        return given

    def elementwise(self, change: Callable[..., str], *xs: str) -> str:
        """change(*xs), before a Transpose where all xs come from one alike: those of pictures then meet and cancel."""
        orders = {self._turned[x][1] if x in self._turned else () for x in xs}
        if len(orders) > 1 or orders == {()}:
            return change(*xs)
        return self.transpose(change(*(self._turned[x][0] for x in xs)), orders.pop())

    def batch_of(self, x: str, row: Sequence[int]) -> str:
        """A shape: as many rows as x has, each of shape `row`."""
        rows = self.op("Shape", x, start=0, end=1)
        return self.op("Concat", rows, list(row), axis=0) if row else rows

    def rows_of(self, x: str, beside: str, row: Sequence[int]) -> str:
        """A value with a row for each of another's, where it has one for all."""
        return self.op("Expand", x, self.batch_of(beside, row)) if x in self.same else x

    def info(self, name: str, kind: str, shape: Sequence[Any]) -> Any:
        """What a graph says of one of its inputs or outputs."""
        return self.onnx.helper.make_tensor_value_info(name, self.element(kind), shape)

    def finish(self, name: str, inputs: Sequence[Any], outputs: Mapping[str, str], shapes: Sequence[Any]) -> Any:
        """The onnx.GraphProto with what leads to the outputs. outputs: the value of each, by what it is called."""
        kept = self._kept(set(outputs.values()))
        given = {value for node in kept for value in node.output}
        names: dict[str, str] = {}
        for wanted, value in outputs.items():
            if value in given and value not in names:
                names[value] = wanted
            else:
                kept.append(self.onnx.helper.make_node("Identity", [value], [wanted], name=self.unique("Identity")))
        for node in kept:
            _rename(node, names)
        read = {value for node in kept for value in _reads(node)}
        weights = [tensor for each, tensor in self.initializers.items() if each in read]
        if (total := sum(tensor.ByteSize() for tensor in weights)) > MOST_BYTES:
            raise ValueError(f"to_onnx: the model has {total:,} bytes of weights; an ONNX file holds {MOST_BYTES:,}")
        infos = [self.info(wanted, "float32", shape) for wanted, shape in zip(outputs, shapes, strict=True)]
        return self.onnx.helper.make_graph(kept, name, inputs, infos, initializer=weights)

    def _kept(self, read: set[str]) -> list[Any]:
        kept = []
        for node in reversed(self.nodes):
            if read.intersection(node.output):
                kept.append(node)
                read.update(_reads(node))
        return kept[::-1]


def _reads(node: Any) -> Iterator[str]:
    """What a node reads, the nodes of its graphs included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)


def _rename(node: Any, names: Mapping[str, str]) -> None:
    for values in (node.input, node.output):
        values[:] = [names.get(value, value) for value in values]
    for attribute in node.attribute:
        for inner in attribute.g.node:
            _rename(inner, names)

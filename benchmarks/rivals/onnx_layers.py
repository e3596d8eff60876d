"""ONNX: the layers of a network as operators, in its own order of axes and gates.

Channels stand before steps and pixels, and steps before rows where there is a recurrence. A block's products are plain
operators; the rows of its attention by one fused operator of the runtime.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.cases import Case
from benchmarks.networks import (
    GRU,
    LSTM,
    Array,
    Block,
    Conv,
    Dense,
    Embedding,
    Flatten,
    GlobalAverage,
    Layer,
    Network,
    Pool,
    Row,
)

OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}
NORM_EPSILON = 1e-3  # Keras's
FUSED = "com.microsoft"


def rows_of(network: Network, x: Array) -> Array:
    """As the graph reads them."""
    if has(network, Conv):
        return np.moveaxis(x, -1, 1)
    return x.swapaxes(0, 1) if has(network, LSTM, GRU) else x


def has(network: Network, *kinds: type) -> bool:
    return any(isinstance(layer, kinds) for layer in network.layers)


class Graph:
    """Nodes, one behind the other; each writes a value of its own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.value = "x"

    def constant(self, array: Any) -> str:
        name = f"p{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: Any, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """A node that reads `inputs`, names or arrays, of its last output: the graph's value from then on."""
        names = [name if isinstance(name, str) else self.constant(name) for name in inputs]
        self.value = f"v{len(self.nodes)}"
        written = [""] * (outputs - 1) + [self.value]
        self.nodes.append(helper.make_node(operator, names, written, domain=domain, **attributes))
        return self.value

    def activate(self, name: str) -> None:
        if name != "linear":
            self.add(OPERATORS[name], self.value)


def graph(case: Case) -> ModelProto:
    network, made, arrays = case.network, Graph(), iter(case.weights)
    before: Row = ()
    rows = rows_of(network, case.data(case.rows)[0])
    for layer, row in network.rows:
        before = row if isinstance(layer, Flatten) else before
        add(made, layer, row, before, arrays)
        before = before if isinstance(layer, Flatten) else ()
    x = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(rows.dtype), rows.shape)
    output = helper.make_tensor_value_info(made.value, TensorProto.FLOAT, (case.rows, network.units))
    nodes = helper.make_graph(made.nodes, case.name, [x], [output], made.constants)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
    return helper.make_model(nodes, opset_imports=imports, ir_version=9)


def add(made: Graph, layer: Layer, row: Row, before: Row, arrays: Iterator[Array]) -> None:
    """before: the row that was flattened, whose channels come first here."""
    match layer:
        case Dense(_, activation):
            kernel = next(arrays)
            if before:
                kernel = np.moveaxis(kernel.reshape(*before, -1), -2, 0).reshape(kernel.shape)
            made.add("Gemm", made.value, kernel, next(arrays))
            made.activate(activation)
        case Conv(_, size, activation):
            kernel, axes = next(arrays), len(row) - 1
            turned = kernel.transpose(-1, -2, *range(axes))
            made.add("Conv", made.value, turned, next(arrays), kernel_shape=[size] * axes)
            made.activate(activation)
        case Pool(size):
            axes = len(row) - 1
            made.add("MaxPool", made.value, kernel_shape=[size] * axes, strides=[size] * axes)
        case GlobalAverage():
            made.add("ReduceMean", made.value, axes=[-1] if before == () and has_conv(made) else [1], keepdims=0)
        case Flatten():
            made.add("Flatten", made.value)
        case Embedding():
            made.add("Gather", next(arrays), made.value)
        case LSTM(units):
            order = np.r_[:units, 3 * units : 4 * units, units : 3 * units]  # i, o, f, c
            kernel, recurrent, bias = (next(arrays)[..., order] for _ in range(3))
            both = np.concatenate([bias, np.zeros_like(bias)])
            made.add("LSTM", made.value, kernel.T[None], recurrent.T[None], both[None], outputs=2, hidden_size=units)
            made.add("Reshape", made.value, np.array([-1, units]))
        case GRU(units):
            kernel, recurrent, biases = (next(arrays) for _ in range(3))
            given = (kernel.T[None], recurrent.T[None], biases.reshape(1, -1))
            made.add("GRU", made.value, *given, outputs=2, hidden_size=units, linear_before_reset=1)
            made.add("Reshape", made.value, np.array([-1, units]))
        case Block():
            block(made, layer, row, [next(arrays) for _ in range(16)])


def has_conv(made: Graph) -> bool:
    return any(node.op_type == "Conv" for node in made.nodes)


def block(made: Graph, layer: Block, row: Row, w: Sequence[Array]) -> None:
    x, features = made.value, row[1]
    kernel = np.concatenate([each.reshape(features, -1) for each in w[:6:2]], axis=1)
    bias = np.concatenate([each.ravel() for each in w[1:6:2]])
    seen = made.add("Attention", x, kernel, bias, domain=FUSED, num_heads=layer.heads)
    middle = norm(made, x, dense(made, seen, w[6].reshape(-1, features), w[7]), w[8], w[9])
    inner = made.add("Relu", dense(made, middle, w[10], w[11]))
    norm(made, middle, dense(made, inner, w[12], w[13]), w[14], w[15])


def dense(made: Graph, x: str, kernel: Array, bias: Array) -> str:
    return made.add("Add", made.add("MatMul", x, kernel), bias)


def norm(made: Graph, x: str, more: str, gamma: Array, beta: Array) -> str:
    return made.add("LayerNormalization", made.add("Add", x, more), gamma, beta, axis=-1, epsilon=NORM_EPSILON)

"""Activations as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np

from fastnn.activations import GLU, RowActivation
from fastnn.exchange.onnx_graph import Graph

# What writes each: (graph, value, activation) -> value.
Writer = Callable[[Graph, str, Any], str]


def _plain(kind: str, **attributes: Any) -> Writer:
    """One node; attributes that are texts are fields of the activation."""

    def write(g: Graph, z: str, unit: Any) -> str:
        given = {name: getattr(unit, each) if isinstance(each, str) else each for name, each in attributes.items()}
        return g.op(kind, z, **given)

    return write


def _clip(low: float, high: float) -> Writer:
    return lambda g, z, _: g.op("Clip", z, low, high)


def _relu(g: Graph, z: str, unit: Any) -> str:
    if unit.numbers() == type(unit)().numbers():
        return g.op("Relu", z)
    above = z if unit.max_value is None else g.op("Min", z, float(unit.max_value))
    slope = float(unit.negative_slope)
    below = g.op("Mul", g.op("Sub", z, float(unit.threshold)), slope) if slope else 0.0
    # The other way round NaN would be the lower one.
    return g.op("Where", g.op("LessOrEqual", z, float(unit.threshold)), below, above)


def _gelu(g: Graph, z: str, unit: Any) -> str:
    if unit.approximate:  # 1 + tanh(u) = 2 sigmoid(2 u)
        cubic = g.op("Mul", g.op("Mul", z, z), g.op("Mul", z, 0.044715))
        return g.op("Mul", z, g.op("Sigmoid", g.op("Mul", g.op("Add", z, cubic), 2 * sqrt(2 / pi))))
    tail = g.op("Add", g.op("Erf", g.op("Div", z, sqrt(2.0))), 1.0)
    return g.op("Mul", g.op("Mul", z, 0.5), tail)


def _squareplus(g: Graph, z: str, unit: Any) -> str:
    root = g.op("Sqrt", g.op("Add", g.op("Mul", z, z), float(unit.b)))
    below = g.op("Div", unit.b / 2, g.op("Add", root, g.op("Abs", z)))  # in which nothing cancels
    return g.op("Where", g.op("Less", z, 0.0), below, g.op("Mul", g.op("Add", z, root), 0.5))


def _sparse_plus(g: Graph, z: str, _: Any) -> str:
    bounded = g.op("Clip", g.op("Add", z, 1.0), 0.0, 2.0)
    between = g.op("Mul", g.op("Mul", bounded, bounded), 0.25)
    return g.op("Where", g.op("GreaterOrEqual", z, 1.0), z, between)


def _hard_shrink(g: Graph, z: str, unit: Any) -> str:
    return g.op("Where", g.op("LessOrEqual", g.op("Abs", z), float(unit.threshold)), 0.0, z)


def _soft_shrink(g: Graph, z: str, unit: Any) -> str:
    return g.op("Sub", z, g.op("Clip", z, -float(unit.threshold), float(unit.threshold)))


def _threshold(g: Graph, z: str, unit: Any) -> str:
    return g.op("Where", g.op("LessOrEqual", z, float(unit.threshold)), float(unit.default_value), z)


def _glu(g: Graph, z: str, unit: Any) -> str:
    one, other = g.several(2, "Split", z, axis=unit.axis)
    return g.op("Mul", one, g.op("Sigmoid", other))


def _sparsemax(g: Graph, z: str, unit: Any) -> str:
    """max(z - tau, 0): tau is the largest of (the sum of the k largest - 1) / k."""
    below = g.op("Sub", z, g.op("ReduceMax", z, axes=[-1], keepdims=1))
    width = g.op("Shape", z, start=-1)
    falling, _ = g.several(2, "TopK", below, width, axis=-1)
    last = np.array(-1, np.int64)
    count = g.op("CumSum", g.op("Pow", falling, 0.0), last)
    taus = g.op("Div", g.op("Sub", g.op("CumSum", falling, last), 1.0), count)
    return g.op("Relu", g.op("Sub", below, g.op("ReduceMax", taus, axes=[-1], keepdims=1)))


ACTIVATIONS: dict[str, Writer] = {
    "elu": _plain("Elu", alpha="alpha"),
    "selu": _plain("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "celu": _plain("Celu", alpha="alpha"),
    "exponential": _plain("Exp"),
    "gelu": _gelu,
    "silu": lambda g, z, _: g.op("Mul", z, g.op("Sigmoid", z)),
    "mish": lambda g, z, _: g.op("Mul", z, g.op("Tanh", g.op("Softplus", z))),
    "softplus": _plain("Softplus"),
    "log_sigmoid": lambda g, z, _: g.op("Neg", g.op("Softplus", g.op("Neg", z))),
    "squareplus": _squareplus,
    "softsign": _plain("Softsign"),
    "tanh": _plain("Tanh"),
    "tanh_shrink": lambda g, z, _: g.op("Sub", z, g.op("Tanh", z)),
    "sigmoid": _plain("Sigmoid"),
    "linear": lambda g, z, _: z,
    "relu": _relu,
    "leaky_relu": _plain("LeakyRelu", alpha="negative_slope"),
    "relu6": _clip(0.0, 6.0),
    "hard_tanh": _clip(-1.0, 1.0),
    "hard_sigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "sparse_sigmoid": _plain("HardSigmoid", alpha=0.5, beta=0.5),
    "hard_silu": _plain("HardSwish"),
    "sparse_plus": _sparse_plus,
    "hard_shrink": _hard_shrink,
    "soft_shrink": _soft_shrink,
    "threshold": _threshold,
    "softmax": _plain("Softmax", axis=-1),
    "log_softmax": _plain("LogSoftmax", axis=-1),
    "sparsemax": _sparsemax,
    "glu": _glu,
}


def activated(g: Graph, z: str, unit: Any) -> str | None:
    """An activation's nodes; those of rows, and GLU, work along axes of z as it is given. None for one in Python."""
    of_rows = isinstance(unit, (GLU, RowActivation))
    write = ACTIVATIONS.get(unit.table_name) if unit.compiled or isinstance(unit, GLU) else None
    if write is None or of_rows:
        return write and write(g, z, unit)
    return g.elementwise(lambda x: write(g, x, unit), z)

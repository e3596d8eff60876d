"""Dense layers, normalisations, merges and the layers that turn rows round, as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from fastnn.exchange import onnx_quantized
from fastnn.exchange.onnx_calls import Call, axes_of, axis_of, writes
from fastnn.exchange.onnx_graph import Graph
from fastnn.layers.group_normalization import SHORTEST
from fastnn.layers.preprocessing import EPSILON
from fastnn.layers.quantized import Int8
from fastnn.typing import Array, Shape

# Those that do nothing but in training.
_IDLE = """identity dropout gaussian_noise gaussian_dropout alpha_dropout spatial_dropout1d spatial_dropout2d
    spatial_dropout3d activity_regularization random_flip random_rotation random_zoom random_translation
    random_contrast random_brightness"""


@writes(*_IDLE.split())
def _identity(c: Call, x: str) -> str:
    return x


@writes("dense")
def _dense(c: Call, x: str) -> str:
    few = c.few.get("kernel")
    if isinstance(few, Int8) and not few.range.size:
        return c.activated(c.plus(onnx_quantized.product(c.g, x, f"{c.path}/kernel", few), c.weight("bias")))
    return c.activated(product(c, x, c.weight("kernel"), c.weight("bias")))


def product(c: Call, x: str, kernel: str | None, bias: str | None) -> str:
    """x . kernel + bias, along the last axis."""
    if len(c.row) == 1:
        return c.op("Gemm", x, kernel, bias)
    return c.plus(c.op("MatMul", x, kernel), bias)


@writes("weights")
def _weights(c: Call, x: str) -> str:
    """Weights of a user's layer: a product with them, or they themselves, which are the same for all rows."""
    names = list(c.arrays)
    if "inputs" in c.node.makes.keywords:  # type: ignore[union-attr]
        return product(c, x, c.weight(names[0]), c.weight(names[1]) if len(names) > 1 else None)
    given = c.known(names[0], c.arrays[names[0]][None])
    c.g.same.add(given)
    return given


@writes("spectral_normalization")
def _spectral(c: Call, x: str) -> str:
    def divided(kernel: Array) -> Array:
        u = np.asarray(c.arrays["vector_u"], np.float64)[0]
        sigma = np.linalg.norm(kernel @ (u / max(np.linalg.norm(u), 1e-30)))
        return (kernel / (sigma or 1.0)).astype(np.float32)

    return c.activated(product(c, x, c.weight("kernel", divided), c.weight("bias")), c.layer.layer.activation)


@writes("einsum_dense")
def _einsum(c: Call, x: str) -> str:
    """Its axes over which is summed at the end, as one; those that are new come in their place."""
    found = c.layer.parsed(c.row)
    kept = [label for label in found.reads if label not in found.summed]
    order, given = [*kept, *found.summed], [*kept, *found.new]
    before, after = (prod(found.sizes(labels)) for labels in (found.summed, found.new))
    x = c.g.transpose(x, [0, *(found.reads.index(label) + 1 for label in order)])
    if len(found.summed) > 1:
        x = c.g.reshape(x, (*found.sizes(kept), before))
    z = c.op("MatMul", x, c.weight("kernel", lambda array: array.reshape(before, after)))
    if len(found.new) > 1:
        z = c.g.reshape(z, found.sizes(given))
    z = c.g.transpose(z, [0, *(given.index(label) + 1 for label in found.gives)])
    return c.activated(c.plus(z, c.weight("bias")))


@writes("activation", "activation_layer")
def _activation(c: Call, x: str) -> str:
    return c.activated(x)


@writes("softmax")
def _softmax(c: Call, x: str) -> str:
    axes = axes_of(c.layer.axis, c.row)
    if len(axes) == 1:
        return c.op("Softmax", x, axis=axes[0] + 1)
    kept = [size for axis, size in enumerate(c.row) if axis not in axes]

    def joined(x: str) -> str:
        a = c.op("Softmax", c.g.reshape(x, [*kept, prod(_sizes(c.row, axes))]), axis=-1)
        return c.g.reshape(a, [*kept, *_sizes(c.row, axes)])

    return c.along(x, axes, joined)


@writes("p_re_lu")
def _prelu(c: Call, x: str) -> str:
    return c.op("PRelu", x, c.weight("alpha"))


# Normalisations.


@writes("batch_normalization")
def _batch_normalization(c: Call, x: str) -> str:
    axis = axis_of(c.layer.axis, c.row)
    names = {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1}
    reads = [c.weight(name) or np.full(c.row[axis], each, np.float32) for name, each in names.items()]
    return c.second(x, axis, lambda x: c.op("BatchNormalization", x, *reads, epsilon=c.layer.epsilon))


@writes("layer_normalization")
def _layer_normalization(c: Call, x: str) -> str:
    axes = axes_of(c.layer.axis, c.row)
    scale = c.weight("gamma") or np.ones(_sizes(c.row, axes), np.float32)
    return c.along(x, axes, lambda x: _normalised(c, x, len(axes), scale, c.weight("beta")))


def _normalised(c: Call, x: str, axes: int, scale: Any, bias: str | None = None) -> str:
    return c.op("LayerNormalization", x, scale, bias, axis=-axes, epsilon=c.layer.epsilon)


@writes("rms_normalization")
def _rms_normalization(c: Call, x: str) -> str:
    axes = axes_of(c.layer.axis, c.row)
    mean = c.op("ReduceMean", c.op("Mul", x, x), axes=[axis + 1 for axis in axes], keepdims=1)
    a = c.op("Div", x, c.op("Sqrt", c.op("Add", mean, float(c.layer.epsilon))))
    return c.op("Mul", a, c.weight("scale", lambda array: _spread(array, c.row, axes)))


def _sizes(row: Shape, axes: Sequence[int]) -> Shape:
    return tuple(row[axis] for axis in axes)


def _spread(array: Any, row: Shape, axes: tuple[int, ...]) -> Array:
    """An array of these axes with an axis of 1 for each of the others."""
    return np.reshape(array, [size if axis in axes else 1 for axis, size in enumerate(row)])


@writes("unit_normalization")
def _unit_normalization(c: Call, x: str) -> str:
    return _unit(c, x, [axis + 1 for axis in axes_of(c.layer.axis, c.row)])


def _unit(c: Call, x: str, axes: list[int]) -> str:
    length = c.op("ReduceL2", x, axes=axes, keepdims=1)
    return c.op("Div", x, c.op("Max", length, SHORTEST))


@writes("group_normalization")
def _group_normalization(c: Call, x: str) -> str:
    axis, row = axis_of(c.layer.axis, c.row), c.row
    groups = row[axis] if c.layer.groups == -1 else c.layer.groups
    width = prod(row) // groups

    def change(x: str) -> str:
        a = _normalised(c, c.g.reshape(x, (groups, width)), 1, np.ones(width, np.float32))
        a = c.g.reshape(a, (row[axis], *row[:axis], *row[axis + 1 :]))
        for kind, name in (("Mul", "gamma"), ("Add", "beta")):
            if name in c.arrays:
                a = c.op(kind, a, c.weight(name, lambda array: array.reshape(-1, *(1,) * (len(row) - 1))))
        return a

    return c.second(x, axis, change)


@writes("normalization")
def _normalization(c: Call, x: str) -> str:
    axes = () if c.layer.axis in (None, ()) else axes_of(c.layer.axis, c.row)
    given = c.layer.given or (c.arrays["mean"], c.arrays["variance"])
    mean, variance = (np.broadcast_to(np.asarray(each, np.float64), _sizes(c.row, axes)) for each in given)
    both = {"mean": mean, "deviation": np.maximum(np.sqrt(variance), EPSILON)}
    center, scale = (c.known(name, _spread(each, c.row, axes).astype(np.float32)) for name, each in both.items())
    if c.layer.invert:
        return c.op("Add", c.op("Mul", x, scale), center)
    return c.op("Div", c.op("Sub", x, center), scale)


@writes("rescaling")
def _rescaling(c: Call, x: str) -> str:
    scale, offset = (c.known(name, np.asarray(getattr(c.layer, name), np.float32)) for name in ("scale", "offset"))
    return c.op("Add", c.op("Mul", x, scale), offset)


# Merges.


def _merge(kind: str) -> Callable[..., Any]:
    def write(c: Call, *xs: str) -> str:
        axes = max(map(len, c.rows))  # rows of fewer axes have axes of 1 before their own
        full = zip(xs, c.rows, strict=True)
        alike = [c.g.seen(x, row, (*(1,) * (axes - len(row)), *row)) for x, row in full]
        if kind in ("Mean", "Max", "Min"):  # of any number
            return c.g.elementwise(lambda *xs: c.op(kind, *xs), *alike)
        return reduce(lambda one, other: c.g.elementwise(lambda *xs: c.op(kind, *xs), one, other), alike)

    return write


_MERGES = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "average": "Mean", "maximum": "Max", "minimum": "Min"}
for _name, _kind in _MERGES.items():
    writes(_name)(_merge(_kind))


@writes("concatenate")
def _concatenate(c: Call, *xs: str) -> str:
    return c.op("Concat", *xs, axis=axis_of(c.layer.axis, c.row) + 1) if len(xs) > 1 else xs[0]


@writes("dot")
def _dot(c: Call, x: str, y: str) -> str:
    axes = c.layer.axes if isinstance(c.layer.axes, (tuple, list)) else (c.layer.axes,) * 2
    i, j = (axis_of(axis, row) for axis, row in zip(axes, c.rows, strict=True))
    left, right = c.rows
    if c.layer.normalize:
        x, y = _unit(c, x, [i + 1]), _unit(c, y, [j + 1])
    n = left[i]
    x = c.g.transpose(x, [0, *(axis + 1 for axis in range(len(left)) if axis != i), i + 1])
    y = c.g.transpose(y, [0, j + 1, *(axis + 1 for axis in range(len(right)) if axis != j)])
    x = x if len(left) == 2 else c.g.reshape(x, (prod(left) // n, n))
    y = y if len(right) == 2 else c.g.reshape(y, (n, prod(right) // n))
    return c.g.reshape(c.op("MatMul", x, y), c.node.rows[0])


# Rows seen otherwise.


@writes("flatten", "reshape")
def _reshape(c: Call, x: str) -> str:
    return c.g.reshape(x, c.node.rows[0])


@writes("permute")
def _permute(c: Call, x: str) -> str:
    return c.g.transpose(x, [0, *c.layer.dims])


@writes("repeat_vector")
def _repeat_vector(c: Call, x: str) -> str:
    return c.op("Expand", c.op("Unsqueeze", x, [1]), [1, *c.node.rows[0]])


@writes("step")
def _step(c: Call, x: str) -> str:
    """One step of several."""
    return c.op("Gather", x, np.array(c.layer.number, np.int64), axis=1)


# Whole numbers.


@writes("embedding")
def _embedding(c: Call, x: str) -> str:
    return c.op("Gather", c.weight("embeddings"), c.g.cast(x, "int64"))


@writes("category_encoding")
def _category_encoding(c: Call, x: str) -> str:
    return encoded(c, c.g.cast(x, "int64"), c.layer.output_mode, c.layer.num_tokens)


def encoded(c: Call, x: str, mode: str, depth: int) -> str:
    """Whole numbers from 0 on as rows of zeros and ones, or of counts; one from `depth` on leaves no trace."""
    if mode == "one_hot" and c.row[-1:] == (1,):
        x = c.op("Squeeze", x, [-1])
    rows = c.op("OneHot", x, np.array(depth, np.int64), np.array([0, 1], np.float32), axis=-1)
    if mode == "one_hot":
        return rows
    if mode == "multi_hot":
        return c.op("ReduceMax", rows, axes=[-2], keepdims=0)
    return c.op("ReduceSum", rows, [-2], keepdims=0)


# Masks.


@writes("masking")
def _masking(c: Call, x: str) -> str:
    return c.op("Where", valid(c.g, x, c.layer.mask_value, True, keep=1), x, 0.0)


def valid(g: Graph, x: str, value: float, by_line: bool, keep: int = 0) -> str:
    """Which numbers of x are another than `value`, or which lines have such a number; as bool."""
    apart = g.op("Not", g.op("Equal", g.cast(x, "float32"), float(value)))
    if not by_line:
        return apart
    return g.cast(g.op("ReduceMax", g.cast(apart, "float32"), axes=[-1], keepdims=keep), "bool")

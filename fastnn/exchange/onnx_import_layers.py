"""Products, normalisations and scalers of ONNX as layers; see ``onnx_import_numbers`` for how they are called."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fastnn import activations as units, layers, ops
from fastnn.models import Model

from .onnx_import_file import Node
from .onnx_import_numbers import counted, known, pair, place_of
from .onnx_import_views import MIXED, View

# Products.


def _gemm(g: Any, node: Node, a: Any, b: Any, c: Any = None) -> Any:
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError("it multiplies matrices alone")
    a = a.transpose([1, 0]) if node.get("transA", 0) else a
    b = b.transpose([1, 0]) if node.get("transB", 0) else b
    alpha, beta = (np.array(node.get(name, 1.0), np.float32) for name in ("alpha", "beta"))
    if isinstance(b, np.ndarray):
        b = b * alpha
    elif alpha != 1:
        a = pair(g, node, a, alpha, "Mul")
    if c is None or beta == 0:
        return _product(g, node, a, b, None)[0]
    c = c if beta == 1 else pair(g, node, c, beta, "Mul")
    given, added = _product(g, node, a, b, c)
    return given if added else pair(g, node, given, c, "Add")


def _matmul(g: Any, node: Node, a: Any, b: Any) -> Any:
    """A product, with the bias that is added behind it."""
    after = g.readers(node)
    others = [name for each in after for name in each.inputs if name not in node.outputs]
    alone = len(after) == 1 and after[0].op == "Add" and len(others) == 1 and g.count[node.outputs[0]] == 1
    given, added = _product(g, node, a, b, g.values.get(others[0]) if alone else None)
    if added:
        g.done.add(after[0])
        g.values[after[0].outputs[0]] = given
        g.origin[given.tensor] = after[0].outputs[0]
    return given


def _product(g: Any, node: Node, a: Any, b: Any, bias: Any) -> tuple[Any, bool]:
    """The product, and whether the bias is in it."""
    if isinstance(a, View) and isinstance(b, View):
        return _of_two(g, node, a, b), False
    if not isinstance(a, View) and not isinstance(b, View):
        counted([prod(a.shape[:-1]), prod(b.shape[-1:]), prod(b.shape[:-2])])
        counted([a.size // 64, prod(b.shape[-1:])])  # what the product takes
        return np.matmul(a, b), False
    if isinstance(a, np.ndarray):
        if a.ndim < 2 or b.ndim < 2:
            raise ValueError("a vector of numbers stands on the left; only matrices do")
        turn = [*range(b.ndim - 2), b.ndim - 1, b.ndim - 2]
        given, _ = _product(g, node, b.transpose(turn), np.swapaxes(a, -1, -2), None)
        return given.transpose([*range(given.ndim - 2), given.ndim - 1, given.ndim - 2]), False
    if b.ndim == 1:
        given, _ = _product(g, node, a, b[:, None], None)
        return given.reshape(given.shape[:-1]), False
    kernel = b.reshape(b.shape[-2:]) if prod(b.shape[:-2]) == 1 and b.ndim <= a.ndim else b
    if kernel.ndim != 2 or a.ndim < 1 or a.shape[-1] != len(kernel):
        raise ValueError(f"{a} and an array of shape {b.shape} do not go together, or it is more than one matrix")
    n, place = kernel.shape[1], a.ndim - 1
    fits = isinstance(bias, np.ndarray) and bias.shape[-1:] == (n,) and bias.size == n and bias.ndim <= a.ndim
    own = a.axes[place]
    if 0 in own:
        raise ValueError(MIXED)
    order = sorted(own)  # as the numbers lie: the kernel's rows are brought into that order
    kernel = kernel.reshape(*(a.sizes[axis - 1] for axis in own), n)
    kernel = kernel.transpose([*map(own.index, order), len(own)]).reshape(-1, n)
    lying = a.seen([*a.axes[:-1], tuple(order)])
    tensor, front = lying.last(place)
    arrays = [kernel, bias.reshape(n)] if fits else [kernel]
    return lying.after(g.layer(node, layers.Dense(n, use_bias=fits), tensor, arrays), front, [place], [n]), fits


def _of_two(g: Any, node: Node, a: View, b: View) -> View:
    """Matrices of the rows: a Dot, for more than one in a row each by itself; of softmax(q . kt) . v an Attention."""
    lead = a.ndim - 2
    if a.ndim != b.ndim or lead < 1 or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2] or a.place >= lead:
        raise ValueError(f"matrices of {a} and {b} are not multiplied: {MIXED}, and repeats none")
    if a.place != b.place:
        raise ValueError(MIXED)
    m, n = a.shape[-2], b.shape[-1]

    def heads(view: View, turned: bool = False) -> Any:
        view = view.plain()
        front = tuple(axis for axes in view.axes[:lead] for axis in axes if axis)
        ends = view.axes[: lead - 1 : -1] if turned else view.axes[lead:]
        return view.laid([front, *ends] if front else ends)

    soft, last = g.soft.get(a.tensor), len(a.sizes)
    if soft and [axis for axes in a.axes for axis in axes if axis] == list(range(1, last + 1)):
        q, key, scale, causal = soft
        given = g.layer(node, layers.Attention(), [ops.multiply(q, scale), heads(b), key], use_causal_mask=causal)
    else:
        q, key = heads(a), heads(b)
        given = g.layer(node, layers.Dot((2, 1)), [q, key]) if len(q.row) == 2 else _each(g, node, q, key)
        g.scores[given] = q, heads(b, True), 1.0, False
    view = a.plain()
    sizes = view.sizes[:-2]
    axes = [*view.axes[:lead], (len(sizes) + 1,), (len(sizes) + 2,)]
    return View(given, [*sizes, m, n], axes, a.rows)


def _each(g: Any, node: Node, left: Any, right: Any) -> Any:
    """Products of several matrices of a row: both lie side by side in a line, and each line is taken by itself."""
    heads, m, k = left.row
    n = right.row[2]
    both = layers.Concatenate()([layers.Reshape((heads, m * k))(left), layers.Reshape((heads, k * n))(right)])
    line: Any = layers.Input((m * k + k * n,))
    parts = [layers.Reshape((m, k))(line[:, : m * k]), layers.Reshape((k, n))(line[:, m * k :])]
    return g.layer(node, layers.TimeDistributed(Model(line, layers.Dot((2, 1))(parts))), both)


# Normalisation.


def _batch_normalization(g: Any, node: Node, x: View, *arrays: Any) -> View:
    if node.get("training_mode", 0) or x.ndim < 2 or len(arrays) != 4:
        raise ValueError("it goes by the rows' moments, or has no channels; export the model for inference")
    view, axis = x.alone(1)
    momentum = min(1.0, max(0.0, node.get("momentum", 0.9)))
    last = axis + 1 == len(view.sizes)
    made = layers.BatchNormalization(-1 if last else axis + 1, momentum, node.get("epsilon", 1e-5))
    return view.like(g.layer(node, made, view.row(), list(map(known, arrays))))


def _layer_normalization(g: Any, node: Node, x: View, *arrays: Any) -> View:
    first = place_of(node, x, -1)
    own = [axis for axes in x.axes[first:] for axis in axes]
    if 0 in own:
        raise ValueError(MIXED)
    given = [known(each) for each in arrays if each is not None]
    order = sorted(own)
    for k, array in enumerate(given):
        full = np.broadcast_to(array, x.shape[first:]).reshape([x.sizes[axis - 1] for axis in own])
        given[k] = full.transpose([own.index(axis) for axis in order])
    axis = -1 if own == [len(x.sizes)] else order
    made = layers.LayerNormalization(axis, node.get("epsilon", 1e-5), center=len(given) > 1)
    return x.like(g.layer(node, made, x.row(), given))


def _instance_normalization(g: Any, node: Node, x: View, scale: Any, bias: Any) -> Any:
    own = sorted(axis for axes in x.axes[2:] for axis in axes)
    made = layers.LayerNormalization(own, node.get("epsilon", 1e-5), center=False, scale=False)
    view = x.like(g.layer(node, made, x.row()))
    row = (-1, *[1] * (x.ndim - 2))
    return pair(g, node, pair(g, node, view, known(scale).reshape(row), "Mul"), known(bias).reshape(row), "Add")


def _softmax(g: Any, node: Node, x: View) -> View:
    if g.file.opset < 13:  # over all axes from one on
        first = place_of(node, x, 1)
        flat = x.reshape((prod(x.shape[:first]), prod(x.shape[first:])))
        return _along(g, node, flat, 1).reshape(x.shape)
    return _along(g, node, x, place_of(node, x, -1))


def _along(g: Any, node: Node, x: View, place: int) -> View:
    unit = units.LogSoftmax() if node.op == "LogSoftmax" else units.Softmax()
    view, axis = x.alone(place)
    if axis + 1 == len(view.sizes):
        given = view.like(g.activated(node, view, unit, row=True))
        if node.op == "Softmax" and x.tensor in g.scores:
            g.soft[given.tensor] = g.scores[x.tensor]
        return given
    tensor, front = view.last(place)
    return view.after(g.layer(node, layers.Activation(unit), tensor), front, [place], tensor.row[-1:])


def _scaler(g: Any, node: Node, x: View) -> Any:
    """(x - offset) * scale, as a Normalization: what is near is taken away before it is made large."""
    offset, scale = (np.array(node.get(name, [])) for name in ("offset", "scale"))
    if x.ndim == 2 and x.sizes == offset.shape == scale.shape and ((scale > 1e-18) & (scale < 1e6)).all():
        return x.like(g.layer(node, layers.Normalization(mean=offset, variance=1 / scale.astype(float) ** 2), x.row()))
    return pair(g, node, pair(g, node, x, offset, "Sub"), scale, "Mul")


def _normalizer(g: Any, node: Node, x: View) -> View:
    view, axis = x.alone(x.ndim - 1)
    row, kind = view.row(), node.get("norm", "MAX")
    if kind not in ("L1", "L2"):
        raise ValueError(f"norm {kind!r} is none of L1 and L2")
    sums = ops.sum(ops.square(row) if kind == "L2" else ops.abs(row), axis + 1, keepdims=True)
    return view.like(ops.divide(row, ops.maximum(ops.sqrt(sums) if kind == "L2" else sums, 1e-30)))


OPS: dict[str, Callable[..., Any]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "InstanceNormalization": _instance_normalization,
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "Scaler": _scaler,
    "Normalizer": _normalizer,
}

"""ONNX's ops of axes and of parts, and what makes constants; see ``onnx_import_numbers`` for how they are called."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fastnn import layers, ops
from fastnn.typing import Array

from .onnx_import_file import Node
from .onnx_import_numbers import axes_of, counted, integers, known, one, pair, place_of, repeated
from .onnx_import_views import MIXED, ROWS, View, beside, told

# Axes.


def _reshape(g: Any, node: Node, x: Any, shape: Any) -> Any:
    sizes, old = integers(shape), x.shape
    if not node.get("allowzero", 0):
        sizes = [old[k] if size == 0 else size for k, size in enumerate(sizes)]
    rest = prod(size for size in sizes if size != -1)
    if -1 in sizes and rest:
        sizes[sizes.index(-1)] = prod(old) // rest
    return x.reshape(tuple(sizes))


def _flatten(g: Any, node: Node, x: Any) -> Any:
    axis = place_of(node, x, 1, more=1)
    return x.reshape((prod(x.shape[:axis]), prod(x.shape[axis:])))


def _unsqueeze(g: Any, node: Node, x: Any, axes: Any = None) -> Any:
    count = len(integers(axes)) if axes is not None else len(node.get("axes", []))
    new, rest = axes_of(node, axes, x.ndim + count), iter(x.shape)
    return x.reshape(tuple(1 if place in new else next(rest) for place in range(x.ndim + count)))


def _squeeze(g: Any, node: Node, x: Any, axes: Any = None) -> Any:
    gone = axes_of(node, axes, x.ndim) or [k for k, size in enumerate(x.shape) if size == 1]
    if any(x.shape[k] != 1 for k in gone):
        raise ValueError(f"axes {gone} of {told(x.shape)} are not all of size 1")
    return x.reshape(tuple(size for k, size in enumerate(x.shape) if k not in gone))


def _shape(g: Any, node: Node, x: Any) -> Array:
    return np.array(x.shape[node.get("start", 0) : node.get("end", 0) if node.has("end") else None], np.int64)


def _expand(g: Any, node: Node, x: Any, shape: Any) -> Any:
    sizes = integers(shape)
    if isinstance(x, np.ndarray):
        return np.broadcast_to(x, counted(np.broadcast_shapes(x.shape, tuple(counted(sizes)))))
    own = (1,) * (len(sizes) - x.ndim) + x.shape[max(0, x.ndim - len(sizes)) :]
    more = [new if old == 1 else 1 for new, old in zip(sizes, own[-len(sizes) :], strict=True)]
    return pair(g, node, x, np.zeros(counted(more), int), "Add") if prod(more) > 1 else x.reshape(own)


def _reduced(how: str) -> Callable[..., Any]:
    def function(g: Any, node: Node, x: Any, axes: Any = None) -> Any:
        places = axes_of(node, axes, x.ndim)
        if not places and node.get("noop_with_empty_axes", 0):
            return x
        places, keep = places or list(range(x.ndim)), bool(node.get("keepdims", 1))
        if isinstance(x, np.ndarray):
            return np.asarray(getattr(np, how)(x, tuple(places), keepdims=keep))
        own = sorted({axis for place in places for axis in x.axes[place]})
        if 0 in own:
            raise ValueError(MIXED)
        tensor = ops.square(x.row()) if how == "norm" else x.row()
        tensor = getattr(ops, "sum" if how == "norm" else how)(tensor, own) if own else tensor
        number = {axis: k for k, axis in enumerate(axis for axis in range(len(x.sizes) + 1) if axis not in own)}
        seen = [
            tuple(number[axis] for axis in each if axis not in own)
            for place, each in enumerate(x.axes)
            if keep or place not in places
        ]
        sizes = [x.sizes[axis - 1] for axis in number if axis]
        return View(ops.sqrt(tensor) if how == "norm" else tensor, sizes, seen, x.rows)

    return function


def _labels(g: Any, node: Node, x: View) -> View:
    """A number for each key: a lookup, which numbers its keys from 1 on, and a table, where the node's are others."""
    text = node.has("keys_strings")
    keys: list[Any] = node.get("keys_strings" if text else "keys_int64s", [])
    kind = "int64s" if node.has("values_int64s") else "floats"
    numbers, other = node.get(f"values_{kind}", []), node.get(f"default_{kind[:-1]}", -1 if kind == "int64s" else -0.0)
    if not keys or len(set(keys)) < len(keys) or len(numbers) != len(keys):
        raise ValueError("it has no number for each of different keys")
    ids = g.layer(node, (layers.StringLookup if text else layers.IntegerLookup)(vocabulary=keys), x.tensor)
    if numbers == [other + 1 + k for k in range(len(keys))]:
        return x.like(ops.add(ids, float(other)) if other else ids, True)
    table = np.array([other, *numbers], np.float32)[:, None]
    given = g.layer(node, layers.Embedding(*table.shape), ids, [table])
    return View(given, x.sizes, x.axes, x.rows, kind == "int64s")


# Parts.


def _slice(
    g: Any, node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Any:
    firsts, lasts = (node.get(k, []) if v is None else integers(v) for k, v in (("starts", starts), ("ends", ends)))
    places = axes_of(node, axes, x.ndim) or list(range(len(firsts)))
    each = [1] * len(firsts) if steps is None else integers(steps)
    for place, first, last, step in zip(places, firsts, lasts, each, strict=True):
        x = cut(x, place, slice(first, None if step < 0 and last < -ROWS else last, step))
    return x


def cut(x: Any, place: int, chosen: slice) -> Any:
    """A part of an axis of a value."""
    return x.cut(place, chosen) if isinstance(x, View) else x[(*[slice(None)] * place, chosen)]


def _split(g: Any, node: Node, x: Any, sizes: Any = None) -> list[Any]:
    place, count = place_of(node, x, 0), len(node.outputs)
    total = x.shape[place]
    parts = list(node.get("split", [])) if sizes is None else integers(sizes)
    size = -(-total // count)
    parts = parts or [min(size, total - size * k) for k in range(count)]
    if sum(parts) != total or min(parts) < 1 or len(parts) != count:
        raise ValueError(f"an axis of {total} has no {count} parts {parts[:32]}")
    return [cut(x, place, slice(sum(parts[:k]), sum(parts[: k + 1]))) for k in range(count)]


def _gather(g: Any, node: Node, x: Any, index: Any) -> Any:
    if node.op == "ArrayFeatureExtractor":  # columns of the last axis
        place, index = x.ndim - 1, known(index).ravel()
    else:
        place = place_of(node, x, 0)
    if isinstance(index, View):
        return _looked_up(g, node, known(x, "the table"), index)
    if index.dtype.kind != "i":
        raise ValueError("it takes no whole numbers")
    size = x.shape[place]
    if isinstance(x, np.ndarray):
        counted([x.size // max(1, size), index.size])
        return np.take(x, index, place)
    at = [each % size for each in map(int, index.ravel()[:1025]) if -size <= each < size]
    if index.ndim > 1 or len(at) != index.size or len(at) > 1024 or not at:
        raise ValueError(f"an axis of {size} has no such places, or they are too many, in {told(index.shape)}")
    step = at[1] - at[0] if len(at) > 1 else 1
    if step and at == [at[0] + step * k for k in range(len(at))]:
        end = at[-1] + (1 if step > 0 else -1)
        given = x.cut(place, slice(at[0], None if end < 0 else end, step))
    else:
        view, axis = x.alone(place)
        sizes = [*view.sizes[:axis], len(at), *view.sizes[axis + 1 :]]
        given = View(ops.take(view.row(), at, axis + 1), sizes, view.axes, x.rows, x.whole)
    return given if index.ndim else given.reshape([*given.shape[:place], *given.shape[place + 1 :]])


def _looked_up(g: Any, node: Node, table: Array, ids: View) -> View:
    """A row of a table for each number: an Embedding."""
    if place_of(node, table, 0) or not table.size:
        raise ValueError("only rows of a table are looked up")
    row, n = table.shape[1:], len(ids.sizes)
    lines = table.reshape(len(table), -1)
    given = g.layer(node, layers.Embedding(*lines.shape), ids.row(), [lines])
    return View(given, (*ids.sizes, *row), [*ids.axes, *((n + 1 + k,) for k in range(len(row)))], ids.rows)


def _concat(g: Any, node: Node, *values: Any) -> Any:
    place = place_of(node, values[0], 1)
    views = [value for value in values if isinstance(value, View)]
    if not views:
        counted([sum(value.size for value in values)])
        return np.concatenate(values, place)
    return _joined(g, node, [x if isinstance(x, View) else repeated(g, x, views[0]) for x in values], place)


def _joined(g: Any, node: Node, views: list[View], place: int) -> View:
    if any(view.ndim != views[0].ndim for view in views):
        raise ValueError(f"{', '.join(map(str, views[:8]))} have not as many axes")
    if len(views) == 1:
        return views[0]
    tensors, view = beside(views, place)
    given = g.layer(node, layers.Concatenate(view.axes[place][0]), tensors)
    return View(given, given.row, view.axes, view.rows, all(each.whole for each in views))


def _pad(g: Any, node: Node, x: View, pads: Any = None, value: Any = None, axes: Any = None) -> View:
    if node.get("mode", "constant") != "constant":
        raise ValueError(f"mode {node.get('mode', '')!r}: only a constant is put around")
    sizes = node.get("pads", []) if pads is None else integers(pads)
    places = axes_of(node, axes, x.ndim) or list(range(x.ndim))
    pairs = zip(sizes[: len(places)], sizes[len(places) :], strict=True)
    return padded(x, dict(zip(places, pairs, strict=True)), one(value, node.get("value", 0.0)))


def padded(x: View, border: dict[int, tuple[int, int]], fill: float = 0.0) -> View:
    """Cells before and after axes of ONNX; below 0 as many are cut off."""
    for place, (before, after) in border.items():
        x = x.cut(place, slice(max(0, -before), x.shape[place] - max(0, -after)))
    border = {place: (max(0, one), max(0, two)) for place, (one, two) in border.items() if max(one, two) > 0}
    if not border:
        return x
    if any(max(each) > 2**20 for each in border.values()):
        raise ValueError("it puts more than 2**20 cells around")
    for place in border:
        x = x.alone(place)[0]
    own = {x.axes[place][0] - 1: each for place, each in border.items()}
    low, high, tensor = min(own), max(own) + 1, x.row()
    # As a picture of the axes between the first and the last: those before are one more, those behind are channels.
    sizes, cells = tensor.row[low:high], [own.get(axis, (0, 0)) for axis in range(low, high)]
    if low:
        sizes, cells = (prod(tensor.row[:low]), *sizes), [(0, 0), *cells]
    if len(sizes) > 3:
        for place, each in border.items():
            x = padded(x, {place: each}, fill)
        return x
    made = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)[len(sizes) - 1]
    picture = layers.Reshape((*sizes, prod(tensor.row[high:])))(ops.subtract(tensor, fill) if fill else tensor)
    given = made(cells[0] if len(cells) == 1 else tuple(cells))(picture)
    wide = [size + sum(own.get(axis, (0, 0))) for axis, size in enumerate(x.sizes)]
    return View(ops.add(given, fill) if fill else given, wide, x.axes, x.rows, x.whole)


def _one_hot(g: Any, node: Node, x: View, depth: Any, values: Any) -> View:
    count, (off, on) = int(one(depth)), map(float, known(values))
    if node.get("axis", -1) not in (-1, x.ndim):
        raise ValueError("the axis that it makes must be the last")
    if not 1 <= count <= 2**16:
        raise ValueError(f"a depth of {count} is none of 1 to 65,536")
    # 1 where k or k - depth is met, and nowhere for numbers beyond them, of which CategoryEncoding makes an error.
    lines = layers.Reshape((*x.sizes, 1))(x.row())
    first = ops.subtract(lines, g.constant(np.arange(count), lines))
    given = ops.subtract(1.0, ops.square(ops.sign(ops.multiply(first, ops.add(first, float(count))))))
    given = ops.add(ops.multiply(given, on - off), off) if (off, on) != (0, 1) else given
    return View(given, (*x.sizes, count), [*x.axes, (len(x.sizes) + 1,)], x.rows)


def _dropout(g: Any, node: Node, x: Any, ratio: Any = None, training: Any = None) -> list[Any]:
    if training is not None and known(training).any():
        raise ValueError("it draws numbers; export the model for inference")
    return [x]


# Constants alone.


def _constant(g: Any, node: Node) -> Array:
    for name, default in (("value_float", 0.0), ("value_int", 0), ("value_floats", []), ("value_ints", [])):
        if node.has(name):
            return np.array(node.get(name, default), np.float32 if "float" in name else np.int64)
    return known(node.get("value", np.zeros(0)) if node.has("value") else None, "its value")


def _filled(g: Any, node: Node, shape: Any) -> Array:
    return np.full(counted(integers(shape)), node.get("value", np.zeros(1, np.float32)).item())


def _range(g: Any, node: Node, *bounds: Any) -> Array:
    first, end, step = (each.item() for each in bounds)
    if not step or end == ROWS:
        raise ValueError("it counts the rows, which are open" if step else "its step is 0")
    counted([max(0, int((end - first) / step) + 1)])
    return np.arange(first, end, step)


OPS: dict[str, Callable[..., Any]] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": lambda g, node, x: x.transpose(node.get("perm", list(range(x.ndim))[::-1])),
    "Shape": _shape,
    "Expand": _expand,
    "ReduceL2": _reduced("norm"),
    "LabelEncoder": _labels,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "ArrayFeatureExtractor": _gather,
    "Concat": _concat,
    "Pad": _pad,
    "OneHot": _one_hot,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Range": _range,
    "Trilu": lambda g, node, x, k=None: (np.triu if node.get("upper", 1) else np.tril)(known(x), int(one(k, 0))),
    "Identity": lambda g, node, x: [x],
    "Dropout": _dropout,
    **{f"Reduce{how.title()}": _reduced(how) for how in ("sum", "mean", "max", "min", "prod")},
    "GlobalAveragePool": lambda g, node, x: _reduced("mean")(g, node, x, np.arange(2, x.ndim)),
    "GlobalMaxPool": lambda g, node, x: _reduced("max")(g, node, x, np.arange(2, x.ndim)),
}

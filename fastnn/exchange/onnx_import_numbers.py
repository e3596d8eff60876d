"""ONNX's ops of one number and of two, and how a node's values are read.

A function of an op is called with the reading, the node and its values: Views, arrays, and None for what is left out.
It gives a value, or a list of one for each output; of arrays alone arrays, which is how constants are folded. Whatever
becomes larger is counted before memory is taken. A shape may have ROWS in it, the number of rows; an array that would
have that size has 1 in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastnn import activations as units, layers, ops
from fastnn.ops.elements import ACTIVATIONS
from fastnn.typing import Array

from .onnx_import_file import FLOATS, TEXT, Node
from .onnx_import_views import ROWS, View, beside, same_rows, told

relu = ACTIVATIONS["relu"]
MOST_NUMBERS = 2**26  # of an array that is made, 256 MB


def known(value: Any, what: str = "an input") -> Array:
    """A value that must be an array."""
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{what} must be known, and is {'not there' if value is None else 'worked out of the inputs'}")
    return value


def one(value: Any, default: float | None = None) -> float:
    """A value that must be one number."""
    if value is None and default is not None:
        return default
    if known(value).size != 1:
        raise ValueError(f"expected one number, got an array of shape {value.shape}")
    return float(value.item())


def integers(value: Any) -> list[int]:
    """A value that must be a few whole numbers."""
    if known(value).dtype.kind not in "ib" or value.ndim > 1 or value.size > 1024:
        raise ValueError(f"expected at most 1,024 whole numbers, got {value.dtype} of shape {value.shape}")
    return list(map(int, value.ravel()))


def counted(shape: Sequence[int]) -> Sequence[int]:
    """The shape of an array that may be made, 1 for the rows. ValueError where it is too large."""
    sizes = [int(size) if size % ROWS else min(size, 1) for size in shape]
    if len(sizes) > 31 or min(sizes, default=0) < 0 or prod(sizes) > MOST_NUMBERS:
        raise ValueError(f"it makes {told(shape)} numbers; at most {MOST_NUMBERS:,} are made")
    return sizes


def place_of(node: Node, x: Any, default: int, name: str = "axis", more: int = 0) -> int:
    """An axis of a value."""
    axis = node.get(name, default)
    if not -x.ndim <= axis < x.ndim + more:
        raise ValueError(f"there is no axis {axis} in {told(x.shape)}")
    return int(axis if axis >= 0 else axis + x.ndim)


def axes_of(node: Node, axes: Any, ndim: int) -> list[int]:
    """`axes`, an attribute of old and an input of new opsets; none where neither is there."""
    found = list(node.get("axes", [])) if axes is None else integers(axes)
    if any(not -ndim <= axis < ndim for axis in found) or len({axis % ndim for axis in found}) < len(found):
        raise ValueError(f"axes {found[:32]} are not {ndim} axes'")
    return [axis % ndim for axis in found]


# Number by number.


def unit(make: Callable[[Node], Any]) -> Callable[..., Any]:
    """An op that is one of fastnn's activations."""

    def function(g: Any, node: Node, x: Any) -> Any:
        return (
            x.like(g.activated(node, x, make(node)), x.whole and node.op == "Relu")
            if isinstance(x, View)
            else make(node)(x)
        )

    return function


def _plain(made: Any, node: Node) -> Any:
    return made()


def _function(name: str) -> Callable[..., Any]:
    function = getattr(ops, name)
    return lambda g, node, x: x.like(function(x.tensor)) if isinstance(x, View) else np.asarray(function(x))


def _hard_sigmoid(node: Node) -> Any:
    slope, offset = node.get("alpha", 0.2), node.get("beta", 0.5)
    for known_slope, made in ((1 / 6, units.HardSigmoid()), (0.5, units.SparseSigmoid())):
        if abs(slope - known_slope) < 1e-6 and offset == 0.5:
            return made
    raise ValueError(f"alpha {slope:g} with beta {offset:g} is none that fastnn has")


def _shrink(node: Node) -> Any:
    width, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
    if bias not in (0, width):
        raise ValueError(f"lambd {width:g} with bias {bias:g} is none that fastnn has")
    return (units.SoftShrink if bias else units.HardShrink)(width)


def _clip(g: Any, node: Node, x: View, low: Any = None, high: Any = None) -> View:
    least = one(low, node.get("min", -np.inf))
    most = one(high, node.get("max", np.inf))
    made: Any = {(0.0, 6.0): units.ReLU6, (-1.0, 1.0): units.HardTanh}.get((least, most))
    if made:
        return x.like(g.activated(node, x, made()), x.whole)
    tensor = x.tensor
    tensor = tensor if least <= -3e38 else ops.maximum(tensor, least)
    return x.like(tensor if most >= 3e38 else ops.minimum(tensor, most), x.whole)


def whole(value: Any) -> bool:
    """Whether a value is of whole numbers."""
    return value.whole if isinstance(value, View) else value.dtype.kind in "ib"


def _cast(g: Any, node: Node, x: Any) -> Any:
    """Whole numbers are kept as floats; a float that becomes one loses what is behind its point."""
    to = node.get("to", 0)
    if to == TEXT or (isinstance(x, np.ndarray) and x.dtype == object):
        raise ValueError("numbers do not become text, nor text numbers")
    if isinstance(x, np.ndarray):
        if to in FLOATS and g.of_rows(x):
            raise ValueError("it computes with the number of rows, which is open")
        return x.astype(np.float32 if to in FLOATS else bool if to == 9 else np.int64)
    if to == 9:
        return x.like(ops.square(ops.sign(x.tensor)), True)
    if to in FLOATS or x.whole or {each.op for each in g.readers(node)} <= {"Gather", "OneHot"}:  # of whole numbers
        return x.like(x.tensor, to not in FLOATS)
    return _towards_zero(x)


def _towards_zero(x: View) -> View:
    return x.like(ops.multiply(ops.sign(x.tensor), ops.floor(ops.abs(x.tensor))), True)


# Pairs.

NAMES = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Max": "maximum", "Min": "minimum"}
NAMES["Pow"] = "power"
COMPARED: dict[str, Any] = {
    "Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
    "Equal": np.equal, "And": np.logical_and, "Or": np.logical_or,
}  # fmt: skip


def pair(g: Any, node: Node, a: Any, b: Any, kind: str = "") -> Any:
    """Two values, broadcast: of two views a merge, of an array of few numbers a Rescaling. kind: where not the op."""
    kind = kind or node.op
    function, integral = getattr(ops, NAMES[kind]), whole(a) and whole(b)
    if isinstance(a, View) and isinstance(b, View):
        (x, y), view = beside([a, b])
        given = view.like(function(x, y), integral)
    elif isinstance(a, View) or isinstance(b, View):
        view, array = (a, b) if isinstance(a, View) else (b, a)
        given = _with_array(g, node, kind, view, array, view is b)
        given.whole = integral
    else:
        counted(np.broadcast_shapes(a.shape, b.shape))
        if not integral or kind != "Div":
            return np.asarray(function(a, b))
        if not b.all():
            raise ValueError("it divides a whole number by 0")
        return np.sign(a) * np.sign(b) * (abs(a) // abs(b))
    return _towards_zero(given) if integral and kind == "Div" else given


def _with_array(g: Any, node: Node, kind: str, view: View, array: Array, turned: bool) -> View:
    function = getattr(ops, NAMES[kind])
    if array.size == 1 and array.ndim <= view.ndim:
        number = float(array.item())
        given = view.like(function(*((number, view.tensor) if turned else (view.tensor, number))))
        g.follow(view, given, kind if not turned else "", array)
        return given
    row = view.aligned(array)
    few = prod(view.sizes) <= 2**20 and not (kind == "Div" and (turned or not array.all()))  # a scale for each number
    if few and row is not None and row.size <= 1024 and np.isfinite(row).all():
        row = row.astype(float).reshape(row.shape[next((k for k, n in enumerate(row.shape) if n > 1), row.ndim) :])
        scale, offset = {
            "Add": (1.0, row), "Sub": (-1.0, row) if turned else (1.0, -row), "Mul": (row, 0.0),
        }.get(kind, (1 / row, 0.0) if kind == "Div" else (None, None))  # fmt: skip
        if scale is not None:
            return view.like(g.layer(node, layers.Rescaling(scale, offset), view.row()))
    (x, y), found = beside([view, repeated(g, array, view)])
    given = found.like(function(*((y, x) if turned else (x, y))))
    g.follow(view, given, kind, array)
    return given


def repeated(g: Any, array: Array, near: View) -> View:
    """An array as a view, the same for all rows."""
    ndim = max(array.ndim, near.ndim)
    array, place = array.reshape((1,) * (ndim - array.ndim) + array.shape), near.place + ndim - near.ndim
    if array.shape[place] not in (1, near.rows):
        raise ValueError(f"an array of shape {array.shape} does not go with {near}: it makes more rows of each")
    row = same_rows(array, place).reshape(array.shape[:place] + array.shape[place + 1 :])
    seen = [(k + 1,) for k in range(row.ndim)]
    tensor = g.constant(row.reshape(row.shape or (1,)), near.tensor)
    return View(tensor, row.shape, [*seen[:place], (0,), *seen[place:]], near.rows, whole(array))


def _several(g: Any, node: Node, *values: Any) -> Any:
    found = values[0]
    for each in values[1:]:
        found = pair(g, node, found, each, {"Sum": "Add", "Mean": "Add"}.get(node.op, node.op))
    return pair(g, node, found, np.array(1 / len(values)), "Mul") if node.op == "Mean" else found


def _compared(g: Any, node: Node, a: Any, b: Any) -> Any:
    """1 where it is so, else 0, by the sign of the difference."""
    kind = node.op
    if not isinstance(a, View) and not isinstance(b, View):
        counted(np.broadcast_shapes(a.shape, b.shape))
        return COMPARED[kind](a, b)
    if kind in ("And", "Or"):
        a, b = (x if isinstance(x, View) else x.astype(float) for x in (a, b))
        return pair(g, node, a, b, "Mul" if kind == "And" else "Max")
    view = pair(g, node, a, b, "Sub")
    sign = ops.sign(view.tensor)
    if kind == "Equal":
        return view.like(ops.subtract(1.0, ops.square(sign)), True)
    sign = ops.negative(sign) if kind.startswith("Less") else sign
    given = ops.subtract(1.0, relu(ops.negative(sign))) if kind.endswith("Equal") else relu(sign)
    return view.like(given, True)


def _not(g: Any, node: Node, x: Any) -> Any:
    return np.logical_not(x) if isinstance(x, np.ndarray) else x.like(ops.subtract(1.0, x.tensor), True)


def _where(g: Any, node: Node, condition: Any, a: Any, b: Any) -> Any:
    """condition * a + (1 - condition) * b, where both are finite."""
    if isinstance(condition, np.ndarray) and condition.size == 1 and condition.ndim <= max(a.ndim, b.ndim):
        wide = a if condition.all() else b
        if wide.shape == (b if wide is a else a).shape or (b if wide is a else a).size == 1:
            return wide
    if not any(isinstance(x, View) for x in (condition, a, b)):
        counted(np.broadcast_shapes(condition.shape, a.shape, b.shape))
        return np.where(condition, a, b)
    opposite = _not(g, node, condition)
    parts = []
    for x, weight in ((a, condition), (b, opposite)):
        x = x if isinstance(x, View) else np.clip(x.astype(float), -1e30, 1e30)
        parts.append(pair(g, node, x, weight if isinstance(weight, View) else weight.astype(float), "Mul"))
    return pair(g, node, parts[0], parts[1], "Add")


def _prelu(g: Any, node: Node, x: View, slope: Any) -> View:
    alpha = x.aligned(known(slope, "slope"))
    if alpha is None:
        raise ValueError("its slopes make more numbers of x")
    tensor = x.row()
    shared = tuple(k + 1 for k, size in enumerate(alpha.shape) if size == 1 < tensor.row[k])
    return x.like(g.layer(node, layers.PReLU(shared_axes=shared or None), tensor, [alpha.reshape(alpha.shape or (1,))]))


def _dequantized(g: Any, node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    """(x - zero) * scale, along an axis or of all: of weights as they stand for floats, and of bytes."""
    if isinstance(x, View):
        return x.like(ops.multiply(ops.subtract(x.tensor, one(zero, 0.0)), one(scale)))
    zero = np.zeros(1) if zero is None else known(zero)
    axis = place_of(node, x, 1) if known(scale).size > 1 else 0
    if node.get("block_size", 0) or not {zero.size, scale.size} <= {1, *x.shape[axis : axis + 1]}:
        raise ValueError(f"scales of shape {scale.shape} are none of an axis")
    row = [-1 if k == axis else 1 for k in range(x.ndim)]
    zero, scale = (each.reshape(row if each.size > 1 else ()) for each in (zero, scale))
    return ((x - zero) * scale).astype(np.float32)


def _quantized(g: Any, node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    """round(x / scale) + zero, to the nearest even, as a byte."""
    kind = 2 if zero is None else g.file.kinds.get(node.inputs[2])
    if not isinstance(x, View) or kind not in (2, 3):
        raise ValueError("its zero point is no byte of the file")
    low = -128.0 if kind == 3 else 0.0
    given = ops.add(ops.round(ops.divide(x.tensor, one(scale))), one(zero, 0.0))
    return x.like(ops.clip(given, low, low + 255), True)


OPS: dict[str, Callable[..., Any]] = {
    "DequantizeLinear": _dequantized,
    "QuantizeLinear": _quantized,
    "LeakyRelu": unit(lambda node: units.LeakyReLU(node.get("alpha", 0.01))),
    "Elu": unit(lambda node: units.ELU(node.get("alpha", 1.0))),
    "Celu": unit(lambda node: units.CELU(node.get("alpha", 1.0))),
    "Gelu": unit(lambda node: units.GELU(node.get("approximate", "none") == "tanh")),
    "HardSigmoid": unit(_hard_sigmoid),
    "Shrink": unit(_shrink),
    "Clip": _clip,
    "PRelu": _prelu,
    "Cast": _cast,
    **dict.fromkeys(NAMES, pair),
    **dict.fromkeys(("Sum", "Mean", "Max", "Min"), _several),
    **dict.fromkeys(COMPARED, _compared),
    "Not": _not,
    "Where": _where,
    "Mod": lambda g, node, a, b: np.mod(known(a), known(b)),
    "Neg": _function("negative"),
}
for _name in ("Abs", "Sqrt", "Log", "Sin", "Cos", "Erf", "Sign", "Floor", "Ceil", "Round", "Reciprocal"):
    OPS[_name] = _function(_name.lower())
for _name, _made in {
    "Relu": units.ReLU, "Sigmoid": units.Sigmoid, "Tanh": units.Tanh, "Softplus": units.Softplus, "Mish": units.Mish,
    "Softsign": units.Softsign, "Exp": units.Exponential, "HardSwish": units.HardSiLU, "Selu": units.SELU,
}.items():  # fmt: skip
    OPS[_name] = unit(partial(_plain, _made))

"""A model as calls of layers, for what writes it as plain code: C and SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn._checks import shown
from fastnn.layers.base import LAYERS
from fastnn.layers.front import FrontLayer
from fastnn.layers.graph import Graph
from fastnn.layers.places import place_of
from fastnn.layers.quantized import quantized
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.models import check_model
from fastnn.typing import DoubleArray, Shape

SPATIAL = tuple(f"SpatialDropout{axes}D" for axes in (1, 2, 3))
NOISE = ("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", *SPATIAL)  # nothing, but while a model learns
SAME = (*NOISE, "ActivityRegularization", "Identity", "Flatten", "Reshape")  # the same numbers in the same order


class Call(NamedTuple):
    """A call of a layer. kind: its class in the table of layers; rows, row: the shapes of what it reads and gives.

    key: of what is written once for all calls, the layer and what is worked into its weights.
    """

    layer: Any
    kind: str
    path: str
    rows: list[Shape]
    row: Shape
    weights: dict[str, DoubleArray]
    key: Any

    def refuse(self, what: str) -> ValueError:
        """What to raise where the layer cannot be written."""
        return ValueError(f"layer {self.path!r} ({self.kind}): {what}")


def built(what: str, model: Any) -> Any:
    """The description of a model that has its weights; TypeError for what is no model, RuntimeError before that."""
    check_model(what, model)
    if not model.built:
        raise RuntimeError(f"{what}: the model is not built yet; fit it, or give it an input_shape")
    return model.description


def walk(writer: Any, description: Any, values: Sequence[Any]) -> list[Any]:
    """Have a writer write all calls of a model, whose inputs are these values; gives the outputs'.

    The writer has `what`, its function, for errors; `bits`, the kinds of quantised weights that it can write; `layers`,
    for each kind of layer what writes it, (writer, call, *values) -> a value or a list of them; `covered`, in words;
    ``each(count, row, value, steps, path)``, which gives what `steps` gives for each of `count` parts of a value, rows
    of that shape; and ``before(call, node, reader)``, the call as it is to be written, or None where the one before has
    done its work. reader: (node, call) of the only one that reads it.
    """
    with description.locked():
        paths, graph = description.paths(), description.graph
        known = dict(zip(graph.inputs, values, strict=True))
        _expand(writer, graph, known, {}, paths, None)
    return [known[tensor] for tensor in graph.outputs]


def _expand(
    writer: Any, graph: Graph, values: dict[Tensor, Any], masked: dict[Tensor, bool], paths: Any, training: bool | None
) -> None:
    """Write the calls of a graph, and those of the graphs in it. masked: which tensors have a mask."""
    for node in graph.nodes:
        given = node.tensors()
        if given[0] in values:
            continue
        reads = [values[tensor] for tensor in node.values]
        says = training if node.training is None else node.training
        has = [bool(masked.get(tensor)) for tensor in node.values]
        if node.graph is None:
            call = _call(writer, node, paths, says, any(has) or bool(node.given_masks))
            readers = [each for each in graph.nodes if given[0] in each.inputs]
            alone = len(readers) == 1 and readers[0].graph is None and given[0] not in graph.outputs
            reader = (readers[0], _call(writer, readers[0], paths, None, False)) if alone else None
            written = writer.before(call, node, reader)
            outputs = reads[0] if written is None else writer.layers[call.kind](writer, written, *reads)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            mask = node.layer.makes_mask()
        else:
            inner: Graph = node.graph
            known = dict(zip(inner.inputs, has, strict=True))

            def run(*parts: Any, inner: Graph = inner, known: Any = known, says: Any = says) -> list[Any]:
                within = dict(zip(inner.inputs, parts, strict=True))
                _expand(writer, inner, within, known, paths, says)
                return [within[tensor] for tensor in inner.outputs]

            if inner.slices > 1:
                path, part = paths.get(node.layer, called(node.layer)), inner.outputs[0].row
                outputs = [writer.each(inner.slices, part, reads[0], lambda value, run=run: run(value)[0], path)]
            else:
                outputs = run(*reads)
            mask = any(known.get(tensor) for tensor in inner.outputs)
        values.update(zip(given, outputs, strict=True))
        masked[given[0]] = mask or (has[:1] == [True] and node.layer.supports_masking)


def _call(writer: Any, node: Node, paths: Any, training: bool | None, masked: bool) -> Call:
    """A node as a call. ValueError for one that the writer cannot write."""
    layer, what = node.layer, writer.what
    known = next((cls for cls in type(layer).__mro__ if LAYERS.units.get(getattr(cls, "table_name", "")) is cls), None)
    kind = type(layer).__name__ if known is None else known.__name__
    rows = [tensor.row for tensor in node.values]
    call = Call(layer, kind, paths.get(layer, called(layer)), rows, node.rows[0], {}, layer)
    if kind not in writer.layers:
        raise call.refuse(f"{what} cannot write it: it has no form there; covered are {writer.covered}")
    python = hasattr(layer, "forward") and not isinstance(layer, FrontLayer)
    if python or type(layer).ops is not known.ops or node.makes is not None:  # type: ignore[union-attr]
        raise call.refuse(f"{what} cannot write it: it has methods of its own, in Python")
    if masked and layer.reads_mask and kind != "BatchNormalization":
        raise call.refuse(f"{what} knows no masks, and it reads one; leave out mask_zero, Masking and mask=")
    if training and kind in NOISE:
        raise call.refuse(f"{what} draws no random numbers, and it is called with training=True")
    activation = getattr(layer, "activation", None)
    if activation is not None and not getattr(activation, "compiled", False):
        raise call.refuse(f"{what} cannot write the activation {shown(activation)}; take another of fastnn's")
    if (place := place_of(layer)) is not None:
        for parameter, view in zip(place.parameters, place.views(place.store.flat), strict=True):
            call.weights[parameter.name] = np.array(view, np.float64)
            if not np.isfinite(view).all():
                raise call.refuse(f"its {parameter.name} holds numbers that are not finite; train it anew")
    for name, few in quantized(layer).items():
        if few.kind in writer.bits:
            call.weights[name] = few.floats().astype(np.float64)
    missing = [each.name for each in layer.parameters(*rows) if each.name not in call.weights]
    if missing:
        raise call.refuse(f"its {missing[0]} is quantised; give {what} the model that this one was made of")
    return call


def axes_of(axis: Any, row: Shape) -> list[int]:
    """The axes of a row that a layer's `axis` names, 0 being that of the rows, in their order."""
    given = axis if isinstance(axis, (tuple, list)) else () if axis is None else (axis,)
    return sorted(each - 1 if each >= 0 else each + len(row) for each in given)


def affine(call: Call) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """(centre, scale, shift) of a layer that is (x - centre) * scale + shift, each of the shape of a row."""
    layer, weights, row = call.layer, call.weights, call.row
    centre: Any = 0.0
    if call.kind == "Rescaling":
        scale, shift = layer.scale, layer.offset
    else:
        axes = axes_of(layer.axis, row)
        own = [size if axis in axes else 1 for axis, size in enumerate(row)]

        def spread(value: Any) -> Any:
            return np.broadcast_to(value, [row[axis] for axis in axes]).reshape(own)

        if call.kind == "BatchNormalization":
            centre = spread(weights["moving_mean"])
            scale = spread(weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + layer.epsilon))
            shift = spread(weights.get("beta", 0.0))
        else:
            mean, variance = map(spread, layer.given or (weights["mean"], weights["variance"]))
            deviation = np.maximum(np.sqrt(variance), 1e-7)
            centre, scale, shift = (0.0, deviation, mean) if layer.invert else (mean, 1 / deviation, 0.0)
    found = [np.broadcast_to(np.asarray(each, np.float64), row) for each in (centre, scale, shift)]
    return found[0], found[1], found[2]


# Functions of one number, as texts. A language `o` has number(value), where(condition, yes, no) and call(function, x),
# the function one of C's <math.h>. A name z is a name, or in brackets.


def clip(o: Any, z: str, low: float | None, high: float | None) -> str:
    """z from low to high; NaN stays."""
    inner = z if high is None else o.where(f"{z} > {o.number(high)}", o.number(high), z)
    return str(inner if low is None else o.where(f"{z} < {o.number(low)}", o.number(low), inner))


def _softplus(o: Any, z: str) -> str:
    return f"({o.where(f'{z} > 0', z, o.number(0))} + {o.call('log1p', o.call('exp', '-' + o.call('fabs', z)))})"


def _sigmoid(o: Any, z: str) -> str:
    return f"({o.number(1)} / ({o.number(1)} + {o.call('exp', f'-{z}')}))"


def _relu(o: Any, z: str, a: Any) -> str:
    below = f"{o.number(a.negative_slope)} * ({z} - {o.number(a.threshold)})" if a.negative_slope else o.number(0)
    return str(o.where(f"{z} <= {o.number(a.threshold)}", below, clip(o, z, None, a.max_value)))


def _elu(o: Any, z: str, alpha: float, scale: float = 1.0) -> str:
    inner = z if scale == 1 else f"{z} / {o.number(scale)}"
    return str(o.where(f"{z} > 0", z, f"{o.number(alpha)} * {o.call('expm1', inner)}"))


def _gelu(o: Any, z: str, a: Any) -> str:
    n = o.number
    if not a.approximate:
        return f"{n(0.5)} * {z} * {o.call('erfc', f'{n(-0.7071067811865476)} * {z}')}"
    cubic = f"({z} + {n(0.044715)} * {z} * {z} * {z})"
    return f"{z} / ({n(1)} + {o.call('exp', f'{n(-1.5957691216057308)} * {cubic}')})"


def _squareplus(o: Any, z: str, a: Any) -> str:
    root = o.call("sqrt", f"{z} * {z} + {o.number(a.b)}")
    return str(o.where(f"{z} < 0", f"{o.number(a.b / 2)} / ({root} - {z})", f"{o.number(0.5)} * ({z} + {root})"))


def _line(o: Any, z: str, half: float) -> str:
    """z / (2 half) + 1 / 2, from 0 to 1."""
    return clip(o, f"({z} / {o.number(2 * half)} + {o.number(0.5)})", 0, 1)


def _sparse_plus(o: Any, z: str) -> str:
    line = f"({z} + {o.number(1)})"
    return str(o.where(f"{z} >= 1", z, o.where(f"{z} <= -1", o.number(0), f"{o.number(0.25)} * {line} * {line}")))


# Of an activation, by its name in the table.
UNITS: dict[str, Callable[..., str]] = {
    "celu": lambda o, z, a: _elu(o, z, a.alpha, a.alpha),
    "elu": lambda o, z, a: _elu(o, z, a.alpha),
    "exponential": lambda o, z, a: o.call("exp", z),
    "gelu": _gelu,
    "hard_shrink": lambda o, z, a: o.where(f"{o.call('fabs', z)} <= {o.number(a.threshold)}", o.number(0), z),
    "hard_sigmoid": lambda o, z, a: _line(o, z, 3),
    "hard_silu": lambda o, z, a: f"{z} * {_line(o, z, 3)}",
    "hard_tanh": lambda o, z, a: clip(o, z, -1, 1),
    "leaky_relu": lambda o, z, a: o.where(f"{z} > 0", z, f"{o.number(a.negative_slope)} * {z}"),
    "log_sigmoid": lambda o, z, a: f"-{_softplus(o, f'(-{z})')}",
    "mish": lambda o, z, a: f"{z} * {o.call('tanh', _softplus(o, z))}",
    "relu": _relu,
    "relu6": lambda o, z, a: clip(o, z, 0, 6),
    "selu": lambda o, z, a: f"{o.number(1.0507009873554805)} * {_elu(o, z, 1.6732632423543772)}",
    "sigmoid": lambda o, z, a: _sigmoid(o, z),
    "silu": lambda o, z, a: f"{z} * {_sigmoid(o, z)}",
    "soft_shrink": lambda o, z, a: f"{z} - {clip(o, z, -a.threshold, a.threshold)}",
    "softplus": lambda o, z, a: _softplus(o, z),
    "softsign": lambda o, z, a: f"{z} / ({o.number(1)} + {o.call('fabs', z)})",
    "sparse_plus": lambda o, z, a: _sparse_plus(o, z),
    "sparse_sigmoid": lambda o, z, a: _line(o, z, 1),
    "squareplus": _squareplus,
    "tanh": lambda o, z, a: o.call("tanh", z),
    "tanh_shrink": lambda o, z, a: f"{z} - {o.call('tanh', z)}",
    "threshold": lambda o, z, a: o.where(f"{z} <= {o.number(a.threshold)}", o.number(a.default_value), z),
}
# Of operations on tensors, `t * 2`, `ops.log(t)`: f(x; a, b).
FUNCTIONS: dict[str, Callable[..., str]] = {
    "absolute": lambda o, x, a, b: o.call("fabs", x),
    "affine": lambda o, x, a, b: f"{o.number(a)} * {x} + {o.number(b)}",
    "reciprocal": lambda o, x, a, b: f"{o.number(a)} / {x}",
    "sign": lambda o, x, a, b: o.where(f"{x} > 0", o.number(1), o.where(f"{x} < 0", o.number(-1), x)),
    "square": lambda o, x, a, b: f"{x} * {x}",
    "stop_gradient": lambda o, x, a, b: x,
}


def function(o: Any, name: str, x: str, arguments: dict[str, Any]) -> str | None:
    """The text of an operation of one number; None where it is another."""
    if name == "clip":
        return clip(o, x, arguments.get("low"), arguments.get("high"))
    if name in ("sqrt", "log", "log1p", "expm1", "sin", "cos", "floor", "ceil"):
        return str(o.call(name, x))
    written = FUNCTIONS.get(name)
    return written and written(o, x, arguments.get("a", 0.0), arguments.get("b", 0.0))

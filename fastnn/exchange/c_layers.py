"""What each layer is in C: `LAYERS_IN_C`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from fastnn.exchange.c_products import convolution, dense, pooling, recurrent
from fastnn.exchange.c_steps import along, channels_last, counted, looped, place, strided, strides_of, title, turned
from fastnn.exchange.plain import FUNCTIONS, SAME, Call, affine, axes_of, function
from fastnn.typing import DoubleArray

COVERED = (
    "dense, convolution (not transposed), pooling, recurrent, embedding, normalization (not group and unit), merging "
    "(not Dot) and reshaping layers, activations, padding, cropping, nearest upsampling, Bidirectional, "
    "TimeDistributed and elementwise arithmetic"
)


def _borders(call: Call, name: str) -> list[tuple[int, int]]:
    """Cells before and after each axis of a row."""
    given = getattr(call.layer, name)
    return [*([given] if len(call.row) == 2 else given), (0, 0)]


def _padding(w: Any, call: Call, x: Any) -> Any:
    own, (row,), y = strides_of(call.row), call.rows, w.value(prod(call.row))
    counters = [(f"i{axis}", size) for axis, size in enumerate(row)]
    first = sum(n * stride for (n, _), stride in zip(_borders(call, "padding"), own, strict=True))
    line = f"y[{place(counters, own, first)}] = x[{place(counters, strides_of(row))}];"
    w.step(title(call), {"x": x}, {"y": y}, [w.use("zero", "y", y.size), *looped(counters, [line])])
    return y


def _cropping(w: Any, call: Call, x: Any) -> Any:
    own = strides_of(call.rows[0])
    first = sum(n * stride for (n, _), stride in zip(_borders(call, "cropping"), own, strict=True))
    return strided(w, title(call), x, call.row, own, first)


def _up_sampling(w: Any, call: Call, x: Any) -> Any:
    if getattr(call.layer, "interpolation", "nearest") != "nearest":
        raise call.refuse("to_c cannot write bilinear upsampling; nearest is covered")
    size, (given,) = call.layer.size, call.rows
    times = [*([size] if len(given) == 2 else size), 1]
    row = [each for pair in zip(given, times, strict=True) for each in pair]
    return strided(w, title(call), x, tuple(row), [each for stride in strides_of(given) for each in (stride, 0)])


# Number by number, and along axes.


def _by_number(w: Any, call: Call, x: Any, lines: list[str]) -> Any:
    y = w.value(x.size)
    w.step(title(call), {"x": x}, {"y": y}, lines, in_place=True)
    return y


def _activation(w: Any, call: Call, x: Any) -> Any:
    activation = call.layer.activation
    if activation.table_name == "linear":
        return x

    def act(x: Any, units: int) -> Any:
        return _by_number(w, call, x, w.activated(activation, "y", x.size // units, units, "x"))

    return along(w, call, x, axes_of(getattr(call.layer, "axis", -1), call.row) if call.row else [], act)


def _repeating(array: DoubleArray) -> DoubleArray:
    """The shortest array of which this one is copies along its first axes; the last stays."""
    while array.ndim > 1 and (array == array[:1]).all():
        array = array[0]
    return array


def _affine(w: Any, call: Call, x: Any) -> Any:
    parts = np.moveaxis(_repeating(np.stack(affine(call), axis=-1)), -1, 0).reshape(3, -1)
    n = parts[0].size
    index, counters = ("j", [("j", n)]) if n == x.size else (f"i * {n} + j", [("i", x.size // n), ("j", n)])
    texts = [
        w.number(part[0]) if (part == part[0]).all() else f"{w.weight(call, name, part)}[j]"
        for name, part in zip(("centre", "factor", "shift"), parts, strict=True)
    ]
    inner = f"(x[{index}] - {texts[0]})" if parts[0].any() else f"x[{index}]"
    line = f"y[{index}] = {inner} * {texts[1]}{f' + {texts[2]}' if parts[2].any() else ''};"
    return _by_number(w, call, x, counted(counters, line))


def _prelu(w: Any, call: Call, x: Any) -> Any:
    alpha = _repeating(np.broadcast_to(call.weights["alpha"], call.row)[..., None])
    slope = f"{w.weight(call, 'alpha', alpha)}[i % {alpha.size}]"
    return _by_number(w, call, x, counted([("i", x.size)], f"y[i] = x[i] > 0 ? x[i] : {slope} * x[i];"))


def _normalisation(w: Any, call: Call, x: Any) -> Any:
    layer, weights = call.layer, call.weights

    def act(x: Any, n: int) -> Any:
        centred = int(call.kind == "LayerNormalization")
        code = [w.use("normalise", "x", "y", x.size // n, n, centred, w.number(layer.epsilon))]
        for name in ("gamma", "scale", "beta"):
            if name in weights:
                line = f"y[i * {n} + j] {'+=' if name == 'beta' else '*='} {w.weight(call, name)}[j];"
                code += counted([("i", x.size // n), ("j", n)], line)
        return _by_number(w, call, x, code)

    return along(w, call, x, axes_of(layer.axis, call.row), act)


# Ids.


def _embedding(w: Any, call: Call, x: Any) -> Any:
    choices, depth = call.weights["embeddings"].shape
    y = w.value(x.size * depth)
    code = w.use("look_up", "x", w.weight(call, "embeddings"), "y", x.size, choices, depth)
    w.step(title(call), {"x": x}, {"y": y}, [code])
    return y


def _encoding(w: Any, call: Call, x: Any) -> Any:
    mode, y = call.layer.output_mode, w.value(prod(call.row))
    n = 1 if mode == "one_hot" else call.rows[0][-1]
    code = w.use("encode", "x", "y", x.size // n, n, call.layer.num_tokens, int(mode == "count"))
    w.step(title(call), {"x": x}, {"y": y}, [code])
    return y


# Several.

MERGES = {"Add": "v + {}", "Subtract": "v - {}", "Multiply": "v * {}", "Average": "v + {}"}
MERGES |= {"Maximum": "v > {0} ? v : {0}", "Minimum": "v < {0} ? v : {0}"}


def _merge(w: Any, call: Call, *xs: Any) -> Any:
    y, row = w.value(prod(call.row)), call.row
    alike = all(each == row for each in call.rows)
    counters = [("i", y.size)] if alike else [(f"i{axis}", size) for axis, size in enumerate(row)]
    code = []
    for k, own in enumerate(call.rows):
        stretched = [stride if size > 1 else 0 for size, stride in zip(own, strides_of(own), strict=True)]
        number = f"x{k}[{place(counters, [1] if alike else [0] * (len(row) - len(own)) + stretched)}]"
        code.append(f"v = {MERGES[call.kind].format(number)};" if k else f"float v = {number};")
    mean = f" / {w.number(len(xs))}" if call.kind == "Average" else ""
    code.append(f"y[{place(counters, [1] if alike else strides_of(row))}] = v{mean};")
    w.step(title(call), {f"x{k}": x for k, x in enumerate(xs)}, {"y": y}, looped(counters, code))
    return y


def _concatenate(w: Any, call: Call, *xs: Any) -> Any:
    (axis,) = axes_of(call.layer.axis, call.row)
    outer, whole, at, code = prod(call.row[:axis]), prod(call.row[axis:]), 0, []
    for k, own in enumerate(call.rows):
        n = prod(own[axis:])
        to = w.line("y", outer, whole)
        code.append(w.use("copy", w.line(f"x{k}", outer, n), f"{to} + {at}" if at else to, n))
        at += n
    y = w.value(prod(call.row))
    w.step(title(call), {f"x{k}": x for k, x in enumerate(xs)}, {"y": y}, looped([("i", outer)], code))
    return y


# Operations on tensors.


def _operation(w: Any, call: Call, x: Any, *_: Any) -> Any:
    name, arguments = call.layer.operation, call.layer.arguments or {}
    text = function(w, name, "z", arguments)
    if text is not None:
        called = w.function(name, (name, repr(arguments)), text)
        return _by_number(w, call, x, counted([("i", x.size)], f"y[i] = {called}(x[i]);"))
    if name in ("slice", "broadcast_to"):
        numbers = np.arange(x.size, dtype=float).reshape(1, *call.rows[0])
        places = call.layer.reference(numbers).astype(int).reshape(call.row)
        strides = [int(np.ptp(places.take([0, n > 1], k), k).flat[0]) for k, n in enumerate(call.row)]
        down = [n > 1 and places.take(1, k).flat[0] < places.take(0, k).flat[0] for k, n in enumerate(call.row)]
        strides = [-stride if turns else stride for stride, turns in zip(strides, down, strict=True)]
        return strided(w, title(call), x, call.row, strides, int(places.flat[0]))
    if name == "constant":
        y = w.value(prod(call.row))
        w.step(title(call), {}, {"y": y}, [w.use("copy", w.weight(call, "value", arguments["value"]), "y", y.size)])
        return y
    raise call.refuse(f"to_c cannot write the operation {name!r}; known are {', '.join(FUNCTIONS)}, slices and others")


def _permute(w: Any, call: Call, x: Any) -> Any:
    return turned(w, call, x, call.rows[0], [axis - 1 for axis in call.layer.dims])[0]


def _of_axes(names: Sequence[str], handler: Any) -> dict[str, Any]:
    """An entry for each of these layers with 1 to 3 axes, where there are these."""
    return {f"{name}{axes}D": channels_last(handler) for name in names for axes in (1, 2, 3)}


LAYERS_IN_C: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(SAME, lambda w, call, x: x),
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"), _activation),
    **dict.fromkeys(("BatchNormalization", "Normalization", "Rescaling"), _affine),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _normalisation),
    **dict.fromkeys(("SimpleRNN", "LSTM", "GRU"), recurrent),
    **dict.fromkeys(MERGES, _merge),
    **_of_axes(("Conv", "DepthwiseConv", "SeparableConv"), convolution),
    **_of_axes(("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"), pooling),
    **_of_axes(("ZeroPadding",), _padding),
    **_of_axes(("Cropping",), _cropping),
    **_of_axes(("UpSampling",), _up_sampling),
    "CategoryEncoding": _encoding,
    "Concatenate": _concatenate,
    "Dense": dense,
    "Embedding": _embedding,
    "Operation": _operation,
    "PReLU": _prelu,
    "Permute": _permute,
    "RepeatVector": lambda w, call, x: strided(w, title(call), x, call.row, [0, 1]),
}

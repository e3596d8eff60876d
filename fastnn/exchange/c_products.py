"""Dense, convolution, pooling and recurrent layers in C."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fastnn.exchange.c_steps import indented, looped, place, strides_of, title
from fastnn.exchange.plain import Call
from fastnn.layers.quantized import Int8, int8_of, quantized
from fastnn.typing import DoubleArray, Shape


def _int8(w: Any, call: Call, name: str, x: str, n: int, m: int) -> tuple[str, str, str] | None:
    """The tables of a kernel as int8 and of the scales of its columns, and what makes bytes of x; None for floats.

    n, m: how many numbers it meets and gives.
    """
    few = quantized(call.layer).get(name)
    if not isinstance(few, Int8):
        if not w.int8:
            return None
        few = int8_of(call.weights[name].astype(np.float32), call.weights[name].shape[-1])
    w.quantised, w.sums = max(w.quantised, n), max(w.sums, m)
    table = w.weight(call, name, few.values(), "int8_t"), w.weight(call, f"{name}_scale", few.scales)
    ends = few.range if few.range.size else (0.0, 0.0)
    return *table, f"const float scale = {w.use('quantise', x, 's->q', n, *map(w.number, ends))}"


def _product(
    w: Any, call: Call, name: str, kernel: DoubleArray, x: str, y: str, columns: slice = slice(None)
) -> list[str]:
    """Lines that add x . kernel[:, columns] to y."""
    n, stride = kernel.shape
    start, stop, _ = columns.indices(stride)
    at, m = f" + {start}" * (start > 0), stop - start
    int8 = _int8(w, call, name, x, n, m)
    if int8 is None:
        return [w.use("accumulate", x, w.weight(call, name, kernel) + at, y, n, m, stride)]
    table, scales, quantised = int8
    return ["{", *indented([quantised, *_sums(w, "s->q", table + at, scales + at, y, n, m, stride)]), "}"]


def _sums(w: Any, q: str, table: str, scales: str, y: str, n: int, m: int, stride: int) -> list[str]:
    """Lines that add to y what n bytes by m columns of whole numbers are."""
    sums = [w.use("zero8", "s->sums", m), w.use("accumulate8", q, table, "s->sums", n, m, stride)]
    return [*sums, w.use("scaled", "s->sums", "scale", scales, y, m)]


def _bias(w: Any, call: Call, y: str, n: int, bias: Any, name: str = "bias") -> str:
    """Begin with the bias, or with zeros."""
    return str(w.use("zero", y, n) if bias is None else w.use("copy", w.weight(call, name, bias), y, n))


def dense(w: Any, call: Call, x: Any, name: str = "kernel", whole: bool = False) -> Any:
    """A product of each line with a kernel; whole: bytes by the range of all lines."""
    kernel = call.weights[name].reshape(-1, call.weights[name].shape[-1])
    n, m = kernel.shape
    lines = x.size // n
    y = w.value(lines * m)
    from_, to = w.line("x", lines, n), w.line("y", lines, m)
    bias, code = _bias(w, call, to, m, call.weights.get("bias")), []
    if whole and (int8 := _int8(w, call, name, "x", x.size, m)):
        table, scales, quantised = int8
        code, product = [quantised], _sums(w, w.line("s->q", lines, n), table, scales, to, n, m, m)
    else:
        product = _product(w, call, name, kernel, from_, to)
    code += looped([("i", lines)], [bias, *product]) + w.activated(call.layer.activation, "y", lines, m)
    w.step(title(call), {"x": x}, {"y": y}, code)
    return y


# Pictures, whose channels are at the end.


def _windows(
    call: Call, window: Shape, strides: Shape, dilation: Shape, filters: int, inside: Callable[[str, str], list[str]]
) -> tuple[list[tuple[str, int]], str, list[str]]:
    """The places of a window; where what is given there lies; and lines for each cell of it that is in the picture.

    inside: of where the cell's numbers lie, and which of the window's it is, the lines.
    """
    *sizes, channels = call.rows[0]
    given = call.row[:-1] if len(call.row) == len(call.rows[0]) else (1,) * len(sizes)
    places = [(f"i{axis}", n) for axis, n in enumerate(given)]
    cells = [(f"k{axis}", n) for axis, n in enumerate(window)]
    at = place([(f"r{axis}", 2) for axis in range(len(sizes))], [n * channels for n in strides_of(tuple(sizes))])
    lines = inside(at, place(cells, strides_of(window)))
    for axis in reversed(range(len(sizes))):
        reach, last = (window[axis] - 1) * dilation[axis] + 1, (given[axis] - 1) * strides[axis]
        padding = getattr(call.layer, "padding", "valid")
        before = {"causal": reach - 1, "valid": 0}.get(padding, max(last + reach - sizes[axis], 0) // 2)
        text = place([places[axis], cells[axis]], [strides[axis], dilation[axis]])
        guards = [f"const long r{axis} = {text}{f' - {before}' if before else ''};"]
        if before or last + reach > sizes[axis]:
            guards.append(f"if (r{axis} < 0 || r{axis} >= {sizes[axis]}) continue;")
        lines = looped(cells[axis : axis + 1], [*guards, *lines])
    return places, place(places, [n * filters for n in strides_of(given)]), lines


def convolution(w: Any, call: Call, x: Any) -> Any:
    """A convolution: dense, channel by channel, or the one after the other."""
    if not call.kind.startswith("Separable"):
        return _convolved(w, call, x, "kernel")
    first = {"depthwise_kernel": call.weights["depthwise_kernel"]}
    y = _convolved(w, call._replace(weights=first), x, "depthwise_kernel", False)
    rest = {name: array for name, array in call.weights.items() if name not in first}
    return dense(w, call._replace(weights=rest), y, "pointwise_kernel", True)


def _convolved(w: Any, call: Call, x: Any, name: str, ends: bool = True) -> Any:
    """The kernel at each place; ends: with the layer's activation."""
    layer, kernel, channels = call.layer, call.weights[name], call.rows[0][-1]
    window, by_channel = kernel.shape[:-2], not call.kind.startswith("Conv")
    filters, groups = kernel.shape[-1] * (channels if by_channel else 1), getattr(layer, "groups", 1)
    depth, own = channels // groups, filters // groups
    int8 = None if by_channel else _int8(w, call, name, "x", x.size, filters)
    table, scales, quantised = int8 or (w.weight(call, name), "", "")

    def by_channels(at: str, cell: str) -> list[str]:
        counters = [("j", channels), ("m", filters // channels)]
        to = place(counters, [filters // channels, 1])
        line = f"to[{to}] += from[{'j' if channels > 1 else '0'}] * part[{to}];"
        part = f"const float *from = x + {at}, *part = {table} + ({cell}) * {filters};"
        return [part, *looped(counters, [line])]

    def inside(at: str, cell: str) -> list[str]:
        source, target, helper = ("s->q", "s->sums", "accumulate8") if int8 else ("x", "to", "accumulate")
        more = [" + g * " + str(n) if groups > 1 else "" for n in (depth, own)]
        part = f"{table} + ({cell}) * {depth * filters}"
        read = w.use(helper, f"{source} + {at}{more[0]}", part + more[1], target + more[1], depth, own, filters)
        return looped([("g", groups)], [read])

    of = layer.strides, layer.dilation_rate, filters
    places, to, lines = _windows(call, window, *of, by_channels if by_channel else inside)
    code = [f"float *to = y + {to};", _bias(w, call, "to", filters, call.weights.get("bias"))]
    code += [w.use("zero8", "s->sums", filters)] if int8 else []
    code += [*lines, *([w.use("scaled", "s->sums", "scale", scales, "to", filters)] if int8 else [])]
    code = looped(places, code)
    if int8:
        code.insert(0, quantised)
    count = prod(n for _, n in places)
    y = w.value(count * filters)
    code += w.activated(layer.activation, "y", count, filters) if ends else []
    w.step(title(call), {"x": x}, {"y": y}, code)
    return y


def pooling(w: Any, call: Call, x: Any) -> Any:
    """The largest or the mean of each window, or of all."""
    *sizes, channels = call.rows[0]
    whole = call.kind.startswith("Global")
    pool = tuple(sizes) if whole else call.layer.pool_size
    cut = not whole and call.layer.padding == "same"  # windows may reach beyond the picture, and are smaller there
    largest, j = "Max" in call.kind, "[j]" if channels > 1 else "[0]"

    def inside(at: str, cell: str) -> list[str]:
        line = f"to{j} += from{j};"
        if largest:  # a NaN is
            line = f"if (from{j} > to{j} || from{j} != from{j}) to{j} = from{j};"
        return [
            f"const float *from = x + {at};",
            *_channels(channels, line),
            *(["++n;"] if cut and not largest else []),
        ]

    of = pool if whole else call.layer.strides, (1,) * len(pool), channels
    places, to, lines = _windows(call, pool, *of, inside)
    code = [f"float *to = y + {to};", *_channels(channels, f"to{j} = {'-INFINITY' if largest else '0.0f'};")]
    if not largest:
        lines = [*(["long n = 0;"] if cut else []), *lines]
        lines += _channels(channels, f"to{j} /= {'(float)n' if cut else w.number(prod(pool))};")
    y = w.value(prod(call.row))
    w.step(title(call), {"x": x}, {"y": y}, looped(places, [*code, *lines]))
    return y


def _channels(channels: int, line: str) -> list[str]:
    return looped([("j", channels)], [line])


def recurrent(w: Any, call: Call, x: Any, *states: Any) -> Any:
    """A SimpleRNN, GRU or LSTM, step by step."""
    layer, weights, u = call.layer, call.weights, call.layer.units
    if layer.stateful:
        raise call.refuse("to_c knows no states that go on from call to call; make the layer without stateful=True")
    (steps, features), kernel, own = call.rows[0], weights["recurrent_kernel"], weights.get("bias")
    width = kernel.shape[1]
    reads, writes = {"x": x}, {"h": w.value(u), "z": w.value(width)}
    gate, unit = getattr(layer, "recurrent_activation", None), layer.activation
    after = call.kind == "GRU" and layer.reset_after
    own, more = (own[0], own[1]) if after and own is not None else (own, None)
    code = [
        f"const float *now = x{f' + t * {features}' if steps > 1 else ''};",
        _bias(w, call, "z", width, own),
        *_product(w, call, "kernel", weights["kernel"], "now", "z"),
    ]

    def each(line: str) -> str:
        return f"for (long j = 0; j < {u}; ++j) {line};"

    def recurs(x: str, y: str, columns: slice = slice(None)) -> list[str]:
        return _product(w, call, "recurrent_kernel", kernel, x, y, columns)

    second, third = f"(z + {2 * u})", f"(z + {3 * u})"
    if call.kind == "GRU":
        writes["r"] = w.value(width if after else u)
        if after:
            code += [_bias(w, call, "r", width, more, "recurrent_bias"), *recurs("h", "r")]
            code += [f"for (long j = 0; j < {2 * u}; ++j) z[j] += r[j];", *w.activated(gate, "z", 2, u)]
            code += [each(f"z[{2 * u} + j] += z[{u} + j] * r[{2 * u} + j]")]
        else:
            code += [*recurs("h", "z", slice(0, 2 * u)), *w.activated(gate, "z", 2, u)]
            code += [each(f"r[j] = z[{u} + j] * h[j]"), *recurs("r", second, slice(2 * u, None))]
        code += [*w.activated(unit, second, 1, u), each(f"h[j] = z[j] * h[j] + (1.0f - z[j]) * z[{2 * u} + j]")]
    elif call.kind == "LSTM":
        writes["c"] = w.value(u)
        code += [*recurs("h", "z"), *w.activated(gate, "z", 2, u), *w.activated(unit, second, 1, u)]
        code += [*w.activated(gate, third, 1, u), each(f"c[j] = z[{u} + j] * c[j] + z[j] * z[{2 * u} + j]")]
        code += [w.use("copy", "c", "h", u), *w.activated(unit, "h", 1, u), each(f"h[j] *= z[{3 * u} + j]")]
    else:
        code += [*recurs("h", "z"), *w.activated(unit, "z", 1, u), w.use("copy", "z", "h", u)]
    kept = ["h", "c"] if call.kind == "LSTM" else ["h"]
    reads |= {f"{name}0": state for name, state in zip(kept, states, strict=False)}
    begin = [w.use("copy", f"{name}0", name, u) if states else w.use("zero", name, u) for name in kept]
    y = writes["h"]
    if layer.return_sequences:
        y = writes["y"] = w.value(steps * u)
        number = f"({steps - 1} - t)" if layer.go_backwards else "t"
        code.append(w.use("copy", "h", f"y + {number} * {u}" if steps > 1 else "y", u))
    if steps > 1:
        order = f"t = {steps - 1}; t >= 0; --t" if layer.go_backwards else f"t = 0; t < {steps}; ++t"
        code = [f"for (long {order}) {{", *indented(code), "}"]
    w.step(title(call), reads, writes, [*begin, *code])
    return [y, *(writes[name] for name in kept)] if layer.return_state else y

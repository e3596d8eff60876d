"""Arithmetic on tensors, and attention, as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fastnn.exchange.onnx_calls import Call, writes
from fastnn.exchange.onnx_layers import valid
from fastnn.typing import Shape

END = np.iinfo(np.int64).min  # of a slice that goes backwards to the first


@writes("operation")
def _operation(c: Call, x: str, *others: str) -> str:
    return str(OPERATIONS[c.layer.operation](c, x, *others, **(c.layer.arguments or {})))


def _node(kind: str) -> Callable[..., str]:
    return lambda c, x, **_: c.op(kind, x)


def _affine(c: Call, x: str, a: float = 0.0, b: float = 0.0) -> str:
    x = x if a == 1 else c.op("Neg", x) if a == -1 else c.op("Mul", x, float(a))
    return c.op("Add", x, float(b)) if b else x


def _clip(c: Call, x: str, low: float | None = None, high: float | None = None) -> str:
    return c.op("Clip", x, *(None if each is None else float(each) for each in (low, high)))


def _reduce(c: Call, x: str, how: str, axes: Any, keepdims: bool) -> str:
    places = [axis + 1 for axis in axes]
    if not places:
        return x
    if how == "sum":  # whose axes are an input
        return c.op("ReduceSum", x, places, keepdims=int(keepdims))
    return c.op(f"Reduce{how.capitalize()}", x, axes=places, keepdims=int(keepdims))


def cut(c: Call, x: str, parts: dict[int, tuple[int, int, int]], row: Shape | None = None) -> str:
    """Parts of axes of a row: (first, how many, step) of each."""
    row = c.row if row is None else row
    parts = {axis: each for axis, each in parts.items() if each != (0, row[axis], 1)}
    if not parts:
        return x
    firsts, counts, steps = (list(each) for each in zip(*parts.values(), strict=True))
    ends = [first + count * step for first, count, step in zip(firsts, counts, steps, strict=True)]
    ends = [END if end < 0 else end for end in ends]
    return c.op("Slice", x, firsts, ends, [axis + 1 for axis in parts], steps)


def _slice(c: Call, x: str, parts: Any) -> str:
    old = [part for part in parts if part != "new"]
    taken = {axis: tuple(part) if isinstance(part, (list, tuple)) else (part, 1, 1) for axis, part in enumerate(old)}
    x = cut(c, x, taken)
    gone = [axis + 1 for axis, part in enumerate(old) if not isinstance(part, (list, tuple))]
    x = c.op("Squeeze", x, gone) if gone else x
    stay = [part for part in parts if part == "new" or isinstance(part, (list, tuple))]
    new = [place + 1 for place, part in enumerate(stay) if part == "new"]
    return c.op("Unsqueeze", x, new) if new else x


def _broadcast(c: Call, x: str, shape: Any) -> str:
    return c.op("Expand", c.g.seen(x, c.row, (*(1,) * (len(shape) - len(c.row)), *c.row)), [1, *shape])


def _constant(c: Call, x: str, value: Any) -> str:
    return _same(c, np.asarray(value, np.float32))


def _same(c: Call, array: Any) -> str:
    given = c.g.value(array[None])
    c.g.same.add(given)
    return given


def _mask(c: Call, x: str, axes: int) -> str:
    return c.masks[0] or _same(c, np.ones(c.row[:axes], np.float32))


OPERATIONS: dict[str, Callable[..., str]] = {
    "affine": _affine,
    "absolute": _node("Abs"),
    "square": lambda c, x, **_: c.op("Mul", x, x),
    "sqrt": _node("Sqrt"),
    "reciprocal": lambda c, x, a=0.0, b=0.0: c.op("Div", float(a), x),
    "log": _node("Log"),
    "log1p": lambda c, x, **_: c.op("Log", c.op("Add", x, 1.0)),
    "expm1": lambda c, x, **_: c.op("Sub", c.op("Exp", x), 1.0),
    "sin": _node("Sin"),
    "cos": _node("Cos"),
    "power": lambda c, x, a=0.0, b=0.0: c.op("Pow", x, float(a)),
    "sign": _node("Sign"),
    "floor": _node("Floor"),
    "ceil": _node("Ceil"),
    "round": _node("Round"),
    "erf": _node("Erf"),
    "stop_gradient": lambda c, x, **_: x,
    "clip": _clip,
    "reduce": _reduce,
    "slice": _slice,
    "broadcast_to": _broadcast,
    "constant": _constant,
    "normal": lambda c, x, shape, mean, **_: _same(c, np.full(shape, mean, np.float32)),  # drawn in training alone
    "mask": _mask,
    "valid": lambda c, x, value, by_line: c.g.cast(valid(c.g, x, value, by_line), "float32"),
    "phase": lambda c, x, y: x if c.training else y,
}


# Attention.


@writes("weighting")
def _weighting(c: Call, *xs: str) -> list[str]:
    """softmax(scale * q . kt) . v of each head, what a query does not see left out."""
    layer, apart, scored = c.layer, c.layer.apart, c.layer.scored
    q, v = c.rows[0], c.rows[1 if scored else 2]
    if apart:
        heads, groups, queries, keys = prod(q[:-2]), prod(v[:-2]), q[-2], v[-2]
    else:
        heads, groups, queries, keys = q[-2], v[-2], prod(q[:-2]), prod(v[:-2])

    def parted(x: str, count: int, lines: int, width: int, turned: bool = False) -> str:
        order = [0, 1, 2, 3] if apart else [0, 2, 1, 3]
        x = c.g.reshape(x, (count, lines, width) if apart else (lines, count, width))
        x = c.g.transpose(x, [*order[:2], *(order[:1:-1] if turned else order[2:])])
        if count == heads:
            return x
        return c.op("Gather", x, np.repeat(np.arange(count), heads // count), axis=1)

    if scored:
        scores = c.g.reshape(xs[0], (heads, queries, keys))
    else:
        k = parted(xs[1], groups, keys, q[-1], turned=True)
        scores = c.op("MatMul", parted(xs[0], heads, queries, q[-1]), k)
        scores = scores if layer.scale == 1 else c.op("Mul", scores, float(layer.scale))
    sees = _seen(c, xs[2 if scored else 3 :], c.rows[2 if scored else 3 :], heads, queries, keys)
    if sees is not None:  # a query that sees nothing has weights of 0
        scores = c.op("Where", sees, scores, float(np.finfo(np.float32).min))
    shares = c.op("Softmax", scores, axis=-1)
    if sees is not None:
        shares = c.op("Where", sees, shares, 0.0)
    out = c.op("MatMul", shares, parted(xs[1 if scored else 2], groups, keys, v[-1]))
    out = c.g.reshape(out if apart else c.g.transpose(out, [0, 2, 1, 3]), c.node.rows[0])
    if apart and c.masks[0] is not None:
        counts = c.g.reshape(c.masks[0], (*c.node.rows[0][:-1], 1))
        out = c.op("Where", c.g.cast(counts, "bool"), out, 0.0)
    return [out, c.g.reshape(shares, c.node.rows[1])] if layer.return_scores else [out]


def _seen(c: Call, masks: Any, rows: list[Shape], heads: int, queries: int, keys: int) -> str | None:
    """Which keys a query sees, as bool: (rows, heads, queries, keys) or what is broadcast to it. None: all."""
    given = [(mask, (*(1,) * (3 - len(row)), *row)) for mask, row in zip(masks, rows, strict=True)]
    apart = heads if c.layer.apart else 1
    for k, mask in enumerate(c.masks[: 2 if c.layer.scored else 3]):
        if mask is not None and (k or not c.layer.apart):
            given.append((mask, (apart, 1, keys) if k else (apart, queries, 1)))
    found = [c.g.cast(c.g.reshape(mask, row), "bool") for mask, row in given]
    away = np.arange(queries)[:, None] - np.arange(keys)
    if c.layer.causal:
        found.append(c.g.value(away >= 0))
    if c.layer.window:
        found.append(c.g.value(abs(away) < c.layer.window))
    while len(found) > 1:
        found.append(c.op("And", found.pop(), found.pop()))
    return found[0] if found else None


@writes("tanh_scores")
def _tanh_scores(c: Call, query: str, key: str, w: str) -> str:
    width = c.row[-1]
    q = c.g.reshape(query, (*c.rows[0][:-1], 1, width))
    k = c.g.reshape(key, (*c.rows[1][:-2], 1, *c.rows[1][-2:]))
    w = c.g.reshape(w, (*(1,) * len(c.row), width))
    return c.op("ReduceSum", c.op("Mul", c.op("Tanh", c.op("Add", q, k)), w), [-1], keepdims=0)

"""Loops and places in C, and copies by strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from fastnn.activations import RowActivation
from fastnn.exchange.plain import Call
from fastnn.typing import Shape

Counters = Sequence[tuple[str, int]]  # of loops: their names, and how often they run


def title(call: Call) -> str:
    """What a step says that it is."""
    name = getattr(getattr(call.layer, "activation", None), "table_name", "linear")
    name = getattr(call.layer, "operation", name)
    more = "" if call.key is call.layer else f" with {call.key[1].name}"
    shapes = ", ".join(map(str, call.rows))
    return f"{call.path}: {call.kind}{more} {shapes} -> {call.row}{'' if name == 'linear' else f', {name}'}"


def indented(lines: Sequence[str]) -> list[str]:
    """Lines one step further in."""
    return [f"    {line}" for line in lines]


def looped(counters: Counters, lines: list[str]) -> list[str]:
    """Lines within loops, of which those that run once are left out."""
    for name, size in reversed(counters):
        if size > 1:
            lines = [f"for (long {name} = 0; {name} < {size}; ++{name}) {{", *indented(lines), "}"]
    return lines


def counted(counters: Counters, line: str) -> list[str]:
    """A line within loops, those that run once too: it names their counters."""
    heads = [f"{'    ' * k}for (long {name} = 0; {name} < {n}; ++{name})" for k, (name, n) in enumerate(counters)]
    return [*heads, f"{'    ' * len(counters)}{line}"]


def place(counters: Counters, strides: Sequence[int], first: int = 0) -> str:
    """Where counters lead by these strides."""
    pairs = zip(counters, strides, strict=True)
    parts = [name if stride == 1 else f"{name} * {stride}" for (name, size), stride in pairs if size > 1 and stride]
    return " + ".join([*parts, *([str(first)] if first or not parts else [])])


def strides_of(row: Shape) -> list[int]:
    """How far apart the numbers of each axis of a row lie."""
    return [prod(row[axis + 1 :]) for axis in range(len(row))]


def strided(w: Any, text: str, x: Any, row: Shape, strides: Sequence[int], first: int = 0) -> Any:
    """The numbers of x that lie at these strides, as a row of their own."""
    y = w.value(prod(row))
    counters = [(f"i{axis}", size) for axis, size in enumerate(row)]
    line = f"y[{place(counters, strides_of(row))}] = x[{place(counters, strides, first)}];"
    w.step(text, {"x": x}, {"y": y}, looped(counters, [line]))
    return y


def turned(w: Any, call: Call, x: Any, row: Shape, order: Sequence[int]) -> tuple[Any, Shape]:
    """x with its axes in another order, and its shape then."""
    own, to = strides_of(row), tuple(row[axis] for axis in order)
    if list(order) == sorted(order):
        return x, row
    return strided(w, f"{call.path}: axes of {row} to {to}", x, to, [own[axis] for axis in order]), to


def along(w: Any, call: Call, x: Any, axes: Sequence[int], act: Callable[[Any, int], Any]) -> Any:
    """What `act` gives along these axes: of x with them at the end, in lines of so many numbers."""
    order = [*(axis for axis in range(len(call.row)) if axis not in axes), *axes]
    x, row = turned(w, call, x, call.row, order)
    y = act(x, prod(call.row[axis] for axis in axes))
    return turned(w, call, y, row, sorted(range(len(row)), key=order.__getitem__))[0]


def channels_last(handler: Callable[..., Any]) -> Callable[..., Any]:
    """What writes a layer of pictures whose channels are at the end, for those where they come first too."""

    def either(w: Any, call: Call, x: Any) -> Any:
        if getattr(call.layer, "data_format", None) != "channels_first":
            return handler(w, call, x)
        if isinstance(getattr(call.layer, "activation", None), RowActivation):
            raise call.refuse("to_c cannot write softmax with channels_first; take it into a layer of its own")
        axes = len(call.rows[0])
        x, row = turned(w, call, x, call.rows[0], [*range(1, axes), 0])
        given = (*call.row[1:], call.row[0])
        y = handler(w, call._replace(rows=[row], row=given), x)
        return turned(w, call, y, given, [axes - 1, *range(axes - 1)])[0] if len(given) == axes else y

    return either

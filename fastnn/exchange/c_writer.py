"""What gathers a model in C: steps, the arrays between them, tables of weights, functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from fastnn.activations import RowActivation
from fastnn.exchange.c_text import HELPERS
from fastnn.exchange.plain import UNITS, Call, affine, axes_of
from fastnn.layers.quantized import quantized
from fastnn.layers.tensor import Node
from fastnn.typing import Shape

FOLDING = ("Dense", "Conv1D", "Conv2D", "Conv3D")  # kernels that a batch normalisation behind them is worked into
TINY = np.finfo(np.float32).tiny  # what is less is 0 while a network runs


@dataclass(eq=False)
class Value:
    """An array of floats: in the scratch memory, or where the caller has it (`outside`).

    base, shift: of a part of another one, which a loop goes through. first, last: the steps that use it.
    """

    size: int
    outside: str | None = None
    base: Value | None = None
    shift: str = ""
    place: int = 0
    first: int = -1
    last: int = -1

    def pointer(self) -> str:
        """Where it begins, in C."""
        if self.base is not None:
            return f"{self.base.pointer()} + {self.shift}"
        return self.outside or f"s->f{f' + {self.place}' if self.place else ''}"


@dataclass
class Step:
    """Some lines of C. reads, writes: what they call their arrays. end: of one that opens a loop, the last in it."""

    title: str
    reads: dict[str, Value] = field(default_factory=dict)
    writes: dict[str, Value] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    in_place: bool = False
    end: int = 0

    def arrays(self) -> list[Value]:
        """All that it uses."""
        return [*self.reads.values(), *self.writes.values()]


class CWriter:
    """Takes down a model's calls for `plain.walk`. layers, covered: as that says. taken: names of C in use."""

    what = "to_c"
    bits = ("int8", "float16", "bfloat16")

    def __init__(self, layers: Any, covered: str, int8: bool, taken: Sequence[str]) -> None:
        self.layers, self.covered, self.int8 = layers, covered, int8
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.tables: list[str] = []
        self.functions: list[str] = []
        self.helpers: set[str] = set()
        self.quantised = self.sums = self.bytes = self._depth = 0
        self._taken = {*HELPERS, *taken}
        self._written: dict[Any, str] = {}
        self._folded: set[Node] = set()

    def name(self, wanted: str) -> str:
        """The text as a name of C that nothing else has."""
        base = name = re.sub(r"^(?=\d|$)", "n", re.sub(r"\W", "_", wanted, flags=re.ASCII).lower().strip("_"))
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name

    def value(self, size: int, outside: str | None = None) -> Value:
        """A new array."""
        self.values.append(Value(size, outside))
        return self.values[-1]

    def step(self, title: str, reads: Any, writes: Any, lines: list[str], in_place: bool = False) -> None:
        """Add lines that use arrays by these names. in_place: they may write over what they read."""
        self.steps.append(Step(title, reads, writes, lines, in_place))

    def each(self, count: int, row: Shape, value: Value, steps: Callable[[Any], Any], path: str) -> Value:
        """See `plain.walk`: a loop around the steps."""
        counter, size, n = f"s{self._depth}", prod(row), value.size // count
        given = self.value(count * size)
        opened = Step(
            f"{path}: {count} times", lines=[f"for (long {counter} = 0; {counter} < {count}; ++{counter}) {{"]
        )
        self.steps.append(opened)
        self._depth += 1
        made = steps(Value(n, base=value, shift=f"{counter} * {n}"))
        self._depth -= 1
        part = Value(size, base=given, shift=f"{counter} * {size}")
        self.step(f"{path}: what it gives", {"x": made}, {"y": part}, [self.use("copy", "x", "y", size)])
        opened.end = len(self.steps)
        self.step("", {}, {}, ["}"])
        return given

    def before(self, call: Call, node: Node, reader: tuple[Node, Call] | None) -> Call | None:
        """See `plain.walk`: a batch normalisation that alone reads a kernel's sums is worked into it.

        Where it works along the last axis, and no activation is between.
        """
        if node in self._folded:
            return None
        if reader is None or call.kind not in FOLDING or call.layer.activation.table_name != "linear":
            return call
        if quantized(call.layer):  # which has its own scales
            return call
        first = getattr(call.layer, "data_format", None) == "channels_first"
        norm = reader[1]
        if first or norm.kind != "BatchNormalization" or axes_of(norm.layer.axis, call.row) != [len(call.row) - 1]:
            return call
        self._folded.add(reader[0])
        centre, scale, shift = (each.reshape(-1, call.row[-1])[0] for each in affine(norm))
        bias = (call.weights.get("bias", 0.0) - centre) * scale + shift
        return call._replace(
            weights={"kernel": call.weights["kernel"] * scale, "bias": bias}, key=(call.layer, norm.layer)
        )

    # Texts.

    def number(self, value: float) -> str:
        """A float of C."""
        with np.errstate(over="ignore"):
            single = np.float32(value)
        if not np.isfinite(single):
            raise ValueError(f"to_c: {value!r} is no number of float32; scale what it belongs to")
        return f"{0.0 if abs(single) < TINY else single!s}f"

    def where(self, condition: str, yes: str, no: str) -> str:
        """One of two."""
        return f"({condition} ? {yes} : {no})"

    def call(self, function: str, x: str) -> str:
        """A function of <math.h>."""
        return f"{function}f({x})"

    def use(self, helper: str, *arguments: Any) -> str:
        """A call of a helper."""
        self.helpers.add(helper)
        return f"{helper}({', '.join(map(str, arguments))});"

    @staticmethod
    def line(x: str, count: int, width: int) -> str:
        """Where line i of `count` begins in an array."""
        return f"{x} + i * {width}" if count > 1 else x

    def weight(self, call: Call, name: str, numbers: Any = None, kind: str = "float") -> str:
        """The table of a layer's weights, or of numbers made of them; written once."""
        key = (call.key, name)
        if key not in self._written:
            flat = np.ravel(call.weights[name] if numbers is None else numbers)
            suffix = ""
            if kind == "float":
                with np.errstate(over="ignore"):
                    flat = flat.astype(np.float32)
                if not np.isfinite(flat).all():
                    raise call.refuse(f"its {name} holds numbers beyond float32")
                flat[np.abs(flat) < TINY] = 0
                suffix = "f"
            self.bytes += flat.size * (4 if suffix else 1)
            texts = [f"{text}{suffix}" for text in flat.astype(str).tolist()]
            per_line = 8 if suffix else 20
            lines = [", ".join(texts[at : at + per_line]) for at in range(0, len(texts), per_line)]
            self._written[key] = own = self.name(f"{call.path}_{name}")
            self.tables.append(f"static const {kind} {own}[{flat.size}] = {{\n    " + ",\n    ".join(lines) + "};\n")
        return self._written[key]

    def function(self, name: str, key: Any, text: str) -> str:
        """The name of a function of one number z, written once for each key."""
        if key not in self._written:
            self._written[key] = own = self.name(f"act_{name}")
            self.functions.append(f"static float {own}(float z) {{\n    return {text};\n}}\n")
        return self._written[key]

    def activated(self, activation: Any, y: str, lines: int, units: int, x: str = "") -> list[str]:
        """An activation of `lines` times `units` numbers, in place; x: where they are, if not there."""
        name = activation.table_name
        if name == "linear":
            return []
        if isinstance(activation, RowActivation):
            return [*([self.use("copy", x, y, lines * units)] if x else []), self.use(name, y, lines, units)]
        function = self.function(name, (name, activation.numbers()), UNITS[name](self, "z", activation))
        return [f"for (long i = 0; i < {lines * units}; ++i) {y}[i] = {function}({x or y}[i]);"]


def _live(steps: list[Step]) -> None:
    """Note for each array its first and its last step; of one that a loop goes on with, all of the loop."""
    loops = [(at, step.end) for at, step in enumerate(steps) if step.end]
    touched: dict[Value, list[int]] = {}
    for at, step in enumerate(steps):
        for value in step.arrays():
            whole = value
            while whole.base is not None:
                whole = whole.base
            touched.setdefault(whole, []).append(at)
    for value, places in touched.items():
        value.first, value.last = places[0], places[-1]
        for start, end in loops:
            inside = [at for at in places if start < at < end]
            if 0 < len(inside) < len(places):
                value.first, value.last = min(value.first, start), max(value.last, end)


def placed(writer: CWriter) -> int:
    """Give arrays their places in the scratch memory, where others are no longer read; gives how much that is."""
    _live(writer.steps)
    there: list[Value] = []
    for value in sorted((v for v in writer.values if v.outside is None and v.first >= 0), key=lambda v: v.first):
        step = writer.steps[value.first]
        source = next(iter(step.reads.values()), value) if step.in_place else value
        if source in there and source.last == value.first and source.size == value.size:
            value.place = source.place
        else:
            for other in sorted((v for v in there if v.last >= value.first), key=lambda v: v.place):
                if other.place - value.place >= value.size:
                    break
                value.place = max(value.place, other.place + other.size)
        there.append(value)
    return max((value.place + value.size for value in there), default=0)


def body(steps: list[Step]) -> str:
    """The steps, as the lines of a function."""
    lines: list[str] = []
    depth = 1
    for step in steps:
        depth -= not step.title
        indent = "    " * depth
        if step.end or not step.title:
            depth += bool(step.end)
            lines += [f"{indent}{line}" for line in ([f"/* {step.title} */"] if step.end else []) + step.lines]
            continue
        lines.append(f"{indent}{{ /* {step.title} */")
        for arrays, kind in ((step.reads, "const float"), (step.writes, "float")):
            used = [name for name in arrays if re.search(rf"\b{name}\b", " ".join(step.lines))]
            lines += [f"{indent}    {kind} *{name} = {arrays[name].pointer()};" for name in used]
        lines += [*(f"{indent}    {line}" for line in step.lines), f"{indent}}}"]
    return "\n".join(lines)

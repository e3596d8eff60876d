"""A call of a layer that is written as ONNX nodes, and the table of what writes each kind of layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Never

from fastnn.exchange import onnx_quantized
from fastnn.exchange.onnx_activations import activated
from fastnn.exchange.onnx_graph import Graph
from fastnn.layers.masks import rules_of
from fastnn.layers.quantized import quantized
from fastnn.layers.tensor import Node
from fastnn.typing import Array, Shape

# What writes a layer, by its name in LAYERS: (call, values) -> the value that it gives, or a list of them.
WRITERS: dict[str, Callable[..., Any]] = {}
UNKNOWN = "there are no ONNX operators here for"  # what is written in Python
# What cannot be written, and why.
REFUSED: dict[str, str] = {}


def writes(*names: str) -> Callable[[Any], Any]:
    """Decorator: the function writes the layers of these names."""

    def enter(function: Any) -> Any:
        WRITERS.update(dict.fromkeys(names, function))
        return function

    return enter


@dataclass
class Call:
    """One call: the node of the model's graph, the weights of its layer, and the masks of what it reads.

    path: of the layer in the model. training: whether the call is as in training in each run.
    """

    g: Graph
    node: Node
    path: str
    arrays: dict[str, Array]
    masks: Sequence[str | None]
    training: bool

    def __post_init__(self) -> None:
        self.layer: Any = rules_of(self.node)
        self.rows: list[Shape] = [tensor.row for tensor in self.node.values]
        self.row = self.rows[0]
        self.op = self.g.op
        self.few = quantized(self.node.layer)

    def weight(self, name: str, change: Callable[[Array], Any] | None = None) -> str | None:
        """A weight of the layer, changed, as an initialiser of the weight's own name; None where there is none."""
        if name in self.few:
            return onnx_quantized.weight(self.g, f"{self.path}/{name}", self.few[name], change)
        if name not in self.arrays:
            return None
        array = self.arrays[name]
        return self.g.initializer(f"{self.path}/{name}", array if change is None else change(array))

    def known(self, name: str, array: Any) -> str:
        """An array that is made of the layer's weights or fields."""
        return self.g.initializer(f"{self.path}/{name}", array)

    def plus(self, x: str, weight: str | None) -> str:
        """x and a bias, where there is one."""
        return x if weight is None else self.op("Add", x, weight)

    def activated(self, z: str, unit: Any = None) -> str:
        """The layer's activation, or another."""
        unit = self.layer.activation if unit is None else unit
        given = activated(self.g, z, unit)
        if given is None:
            name = getattr(unit, "name", None) or unit.table_name
            self.refuse(f"{UNKNOWN} what its activation {name!r} ({type(unit).__name__}) does")
        return given

    def along(self, x: str, axes: Sequence[int], change: Callable[[str], str]) -> str:
        """change(x), which works along the last axes, along `axes` of a row."""
        return self._turned(x, [*(axis for axis in range(len(self.row)) if axis not in axes), *axes], change)

    def second(self, x: str, axis: int, change: Callable[[str], str]) -> str:
        """change(x), which has channels second, with the axis of a row there."""
        return self._turned(x, [axis, *(each for each in range(len(self.row)) if each != axis)], change)

    def _turned(self, x: str, order: list[int], change: Callable[[str], str]) -> str:
        order = [0, *(axis + 1 for axis in order)]
        back = sorted(range(len(order)), key=order.__getitem__)
        return self.g.transpose(change(self.g.transpose(x, order)), back)

    def refuse(self, why: str) -> Never:
        """ValueError for a layer that ONNX cannot say."""
        refuse(self.path, self.layer, why)


def axis_of(axis: int, row: Shape) -> int:
    """An axis that counts the rows as axis 0, as one of a row."""
    return axis - 1 if axis > 0 else axis + len(row)


def axes_of(axis: Any, row: Shape) -> tuple[int, ...]:
    """One or several, in their order in the row."""
    return tuple(sorted(axis_of(each, row) for each in (axis if isinstance(axis, (tuple, list)) else [axis])))


def refuse(path: str, layer: Any, why: str) -> Never:
    """ValueError for a layer that ONNX cannot say."""
    raise ValueError(
        f"to_onnx: layer {path!r} ({type(layer).__name__}) cannot be written as ONNX: {why}; take another "
        "in its place, or export a model that begins behind it"
    )

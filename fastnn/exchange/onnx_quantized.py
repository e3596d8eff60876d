"""Quantised weights as ONNX nodes: int8 with DequantizeLinear, bytes by given ranges or by what comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.exchange.onnx_graph import Graph
from fastnn.layers.quantized import Float16, Int8
from fastnn.typing import Array


def weight(g: Graph, name: str, few: Any, change: Callable[[Array], Any] | None) -> str:
    """A quantised weight as the float32 that it stands for, changed: an initialiser of its own type before that."""

    def changed(array: Array) -> Any:
        return array if change is None else change(array)

    if isinstance(few, Int8):
        columns = np.arange(len(few.scales), dtype=np.int32)
        found = changed(np.broadcast_to(columns, (few.size // columns.size, columns.size)).reshape(few.shape))
        for axis, size in enumerate(found.shape):
            order = found[tuple(slice(None) if each == axis else 0 for each in range(found.ndim))]
            if (found == order.reshape([size if each == axis else 1 for each in range(found.ndim)])).all():
                values = g.initializer(name, changed(few.values()))
                scales = g.initializer(f"{name}_scale", few.scales[order])
                return g.op("DequantizeLinear", values, scales, axis=axis)
    if type(few) is Float16:
        return g.op("Cast", g.initializer(name, changed(few.values())), to=g.element("float32"))
    return g.initializer(name, changed(few.floats()))


def as_bytes(g: Graph, x: str, few: Any) -> str:
    """What is multiplied by a weight with a range, as bytes stand for it."""
    if not isinstance(few, Int8) or not few.range.size:
        return x
    scale, zero = _byte(few.range)
    return g.op("DequantizeLinear", g.op("QuantizeLinear", x, scale, zero), scale, zero)


def product(g: Graph, x: str, name: str, few: Int8) -> str:
    """x . W by whole numbers, where the range of all rows that come together says what bytes are."""
    given, scale, zero = g.several(3, "DynamicQuantizeLinear", x)
    sums = g.op("Cast", g.op("MatMulInteger", given, g.initializer(name, few.values()), zero), to=g.element("float32"))
    return g.op("Mul", sums, g.op("Mul", scale, g.initializer(f"{name}_scale", few.scales)))


def _byte(ends: Any) -> tuple[Any, Any]:
    scale = (np.float32(ends[1]) - np.float32(ends[0])) / np.float32(255)
    scale = scale if scale > 0 else np.float32(1)
    return np.float32(scale), np.uint8(np.rint(-np.float32(ends[0]) * (np.float32(1) / scale)))

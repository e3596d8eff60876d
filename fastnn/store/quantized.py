"""Quantised weights in a model's file: {"quantized": {"dense/kernel": "int8"}}, and an array or more for each.

Of int8, "dense/kernel" holds the whole numbers, "dense/kernel_scale" (columns,) what one of them stands for and, where
the model was given rows, "dense/kernel_range" (2,) the least and the most number that they are multiplied by. "float16"
and "bfloat16" are one array each. Weights that learn as int8 are float32, and have a list of the columns that their op
takes them for: {"dense/kernel": [10]}.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from fastnn._checks import check_count, shown
from fastnn.layers.quantized import BFloat16, Float16, Int8, StraightThrough, aware, quantized_in

KINDS = {each.kind: each for each in (Int8, Float16, BFloat16)}


def put(built: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    """Enter the arrays of a model's quantised weights; gives what its description says of them."""
    found, paths = quantized_in(built), built.paths()
    for name, each in found.items():
        arrays.update({f"{name}{part}": array for part, array in each.arrays().items()})
    learning = {
        f"{paths[layer]}/{name}": [each.columns] for layer in built.layers() for name, each in aware(layer).items()
    }
    return {name: each.kind for name, each in found.items()} | learning


def names(described: Any) -> set[str]:
    """The names that the arrays of what is described have, or may have, beside the float32 ones."""
    if not isinstance(described, dict):
        raise ValueError(f"quantized must be an object, got {shown(described)}")
    few = [name for name, kind in described.items() if isinstance(kind, str)]
    return {f"{name}{part}" for name in few for part in ("", "_scale", "_range")}


def take(built: Any, described: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Give the layers of a model that was restored, and not made, their quantised weights. ValueError for others'."""
    layers = {path: layer for layer, path in built.paths().items()}
    shapes = {layer: {each.name: each.shape for each in own} for layer, own in built.parameters().items()}
    for name, kind in described.items():
        path, _, own = name.rpartition("/")
        layer = layers.get(path)
        shape = shapes.get(layer, {}).get(own)
        if isinstance(kind, list) and shape is not None:  # they learn as int8
            columns = check_count(name, kind[0] if kind else None)
            if prod(shape) % columns:
                raise ValueError(f"weights {name!r:.80} of shape {shape} are no matrix of {columns} columns")
            vars(layer).setdefault("_aware", {})[own] = StraightThrough(columns)
            continue
        if not isinstance(kind, str) or kind not in KINDS or shape is None:
            raise ValueError(f"the model has no weights {name!r:.80} to be {shown(kind)}")
        each = KINDS[kind].from_arrays(name, shape, arrays)
        vars(layer).setdefault("_quantized", {})[own] = each


def refuse(built: Any, action: str) -> None:
    """ValueError for a quantised model: what a file of weights has is float32."""
    if quantized_in(built):
        raise ValueError(f"{action}: a file of weights has float32 ones; save a quantised model whole, by save")

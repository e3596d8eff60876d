"""What a call of the user's own was given beside its tensors, in a file: numbers, texts, lists and dicts of them.

    [place among the nodes, [argument, ...], {name: argument}]

An argument is a number, a text, true, false, null, a list of arguments, {"tensor": which of those that the node reads},
{"items": {key: argument}} or {"unit": what a unit is described by}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn._checks import shown
from fastnn._table import plain, unplain
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.store.text import check_form


def described(nodes: Sequence[Node]) -> list[list[Any]]:
    """The calls among these that are given more than the tensors that they read. TypeError for what no file holds."""
    found: list[list[Any]] = []
    for place, node in enumerate(nodes):
        if node.given is not None:
            args, kwargs = node.given
            found.append([place, [_written(each, node) for each in args], _items(kwargs, node)])
    return found


def _items(given: Mapping[Any, Any], node: Node) -> dict[str, Any]:
    return {str(key): _written(each, node) for key, each in given.items()}


def _written(value: Any, node: Node) -> Any:
    if isinstance(value, Tensor):
        return {"tensor": node.inputs.index(value)}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"items": _items(value, node)}
    if isinstance(value, (list, tuple)):
        return [_written(each, node) for each in value]
    held = None if getattr(value, "ndim", 0) else plain(value)
    if isinstance(held, dict):
        return {"unit": held}
    if (held is None and value is not None) or not isinstance(held, (str, int, float, bool, type(None))):
        raise TypeError(
            f"layer {called(node.layer)!r} was called with {shown(value)}, which a file cannot hold; give it to the "
            "layer when it is made, or call the layer with numbers, texts, lists or dicts"
        )
    return held


def read(entry: Any) -> dict[int, list[Any]]:
    """What `described` gave, by the place of a node, as `filled` takes it. FormError where this is of no file."""
    check_form(entry, [(int, [object], dict)])
    return {place: [args, {"items": kwargs}] for place, args, kwargs in entry}


def filled(value: Any, tensors: Sequence[Tensor], custom: Mapping[str, Any] | None) -> Any:
    """An argument as it was given. ValueError for what is none."""
    if isinstance(value, list):
        return [filled(each, tensors, custom) for each in value]
    if not isinstance(value, dict):
        return value
    kind, held = next(iter(value.items()), (None, None))
    if kind == "tensor" and type(held) is int and 0 <= held < len(tensors):
        return tensors[held]
    if kind == "items" and isinstance(held, dict):
        return {key: filled(each, tensors, custom) for key, each in held.items()}
    if kind != "unit":
        raise ValueError(f"expected an argument of a call that reads {len(tensors)} tensors, got {shown(value)}")
    return unplain(held, custom)

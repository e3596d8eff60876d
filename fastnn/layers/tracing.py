"""What tracing a ``call`` works with: the tensors in its arguments, `training`, and whether two traces are alike."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from fastnn.layers.core import InputLayer
from fastnn.layers.operation import operation
from fastnn.layers.tensor import Node, Tensor, replaced

_SHAPED = (Tensor, list, tuple, dict)
ASKED = ("training", "mask")  # arguments of a call that are no tensors


def tensors_in(given: Any) -> list[Tensor]:
    """The tensors in arguments, in their order, each once."""
    return list(dict.fromkeys(_each(given)))


def _each(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, (list, tuple, dict)):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _each(each)


def shapes_of(given: Any) -> Any:
    """The shapes of tensors in arguments, as ``build`` is given them."""
    if isinstance(given, Tensor):
        return given.shape
    if isinstance(given, dict):
        return {key: shapes_of(value) for key, value in given.items() if isinstance(value, _SHAPED)}
    return [shapes_of(value) for value in given if isinstance(value, _SHAPED)]


def layers_of(owner: Any) -> list[Any]:
    """The layers and models that are an object's attributes, or in lists and dicts of them however deep; each once."""
    found: dict[Any, None] = {}
    # What it was made with has its arguments in the order of the call, and in a file by their names.
    ahead: list[Any] = [{name: value for name, value in vars(owner).items() if name != "_given"}]
    seen = set()
    while ahead:
        each = ahead.pop()
        if isinstance(each, (list, tuple, dict)):
            if id(each) not in seen:
                seen.add(id(each))
                ahead.extend(reversed(list(each.values() if isinstance(each, dict) else each)))
        elif hasattr(each, "on_arrays") or hasattr(each, "description"):
            found[each] = None
    return list(found)


def both_ways(training: list[Tensor], otherwise: list[Tensor]) -> list[Tensor]:
    """Tensors that are those of one trace while training, and those of the other else.

    Calls that both traces have are made once, and where the ways part is as far back as can be.
    """
    if len(training) != len(otherwise):
        raise ValueError(f"call gives {len(training)} tensors in training, and {len(otherwise)} else")
    same: dict[Any, list[Node]] = {}  # the calls of the first trace, by what they do
    for node in _nodes_of(training):
        same.setdefault(_key(node, node.inputs), []).append(node)
    stands: dict[Node, Node] = {}  # for a call of the second trace
    for node in _nodes_of(otherwise):
        inputs = tuple(Tensor(stands[x.node], x.place) for x in node.inputs)
        alike = same.get(_key(node, inputs))
        stands[node] = alike.pop(0) if alike else node if inputs == node.inputs else node.copy(inputs)
    made: dict[tuple[Node, Node], Node] = {}
    pairs = zip(training, otherwise, strict=True)
    return [_either(one, Tensor(stands[other.node], other.place), made) for one, other in pairs]


def _nodes_of(tensors: list[Tensor]) -> list[Node]:
    """The calls that lead to tensors, each after those that it reads."""
    found: dict[Node, None] = {}
    stack = [(tensor.node, False) for tensor in reversed(tensors)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            found[node] = None
        elif node not in found:
            stack.append((node, True))
            stack += [(tensor.node, False) for tensor in reversed(node.inputs)]
    return list(found)


def _key(node: Node, inputs: tuple[Tensor, ...]) -> Any:
    """What a call does: its layer, or what that is made of where it has no weights, and what it reads."""
    return (_what(node), node.rows, inputs) if inputs else node


def _what(node: Node) -> Any:
    if node.graph is not None or has_weights(node) or isinstance(node.layer, InputLayer):
        places = {tensor: f"tensor {place}" for place, tensor in enumerate(node.inputs)}
        return node.layer, repr(replaced(node.given, places))
    config = dict(node.layer.config())
    config.pop("name", None)
    return type(node.layer), repr(config)


def _either(one: Tensor, other: Tensor, made: dict[tuple[Node, Node], Node]) -> Tensor:
    if one == other:
        return one
    a, b = one.node, other.node
    reads = [[x.row for x in node.inputs] for node in (a, b)]
    if not a.inputs or one.place != other.place or reads[0] != reads[1] or _what(a) != _what(b):
        return operation("phase", one, other)
    if (a, b) not in made:
        made[a, b] = a.copy(tuple(_either(x, y, made) for x, y in zip(a.inputs, b.inputs, strict=True)))
    return made[a, b].tensors()[one.place]


def has_weights(node: Node) -> bool:
    """Whether a call is one of a layer with weights of its own."""
    return node.graph is None and bool(node.layer.parameters(*(tensor.row for tensor in node.values)))


def arguments_of(function: Any) -> list[str]:
    """The names of what a function takes, "**" where that is any name."""
    parameters = inspect.signature(function).parameters.items()
    return ["**" if parameter.kind is parameter.VAR_KEYWORD else name for name, parameter in parameters]

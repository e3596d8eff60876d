"""What tracing a ``call`` works with: the tensors in its arguments, `training`, and whether two traces are alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastnn._checks import as_flag
from fastnn.layers.operation import operation
from fastnn.layers.tensor import Node, Tensor


class Training:
    """`training` while a call is traced: both ways are traced where the call asks which it is."""

    def __init__(self, value: bool) -> None:
        self.value, self.asked = value, False

    def __bool__(self) -> bool:
        self.asked = True
        return self.value

    def __eq__(self, other: object) -> bool:
        return bool(self) == other

    __hash__ = None  # type: ignore[assignment]


def tensors_in(given: Any) -> list[Tensor]:
    """The tensors in arguments, in their order, each once."""
    return list(dict.fromkeys(_each(given)))


def _each(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, (list, tuple, dict)):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _each(each)


def replaced(given: Any, known: Mapping[Tensor, Tensor]) -> Any:
    """Arguments with other tensors in the places of theirs."""
    if isinstance(given, Tensor):
        return known[given]
    if isinstance(given, dict):
        return {key: replaced(value, known) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)([replaced(value, known) for value in given])
    return given


def shapes_of(given: Any) -> Any:
    """The shapes of tensors in arguments, as ``build`` is given them."""
    if isinstance(given, Tensor):
        return given.shape
    if isinstance(given, dict):
        return {key: shapes_of(value) for key, value in given.items()}
    return [shapes_of(value) for value in given if isinstance(value, (Tensor, list, tuple, dict))]


def layers_in(value: Any) -> Iterator[Any]:
    """The layers and models in an attribute: it, or those of a list or dict."""
    if isinstance(value, (list, tuple, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from layers_in(each)
    elif hasattr(value, "on_arrays") or hasattr(value, "description"):
        yield value


def either(one: Tensor, other: Tensor) -> Tensor:
    """A tensor that is the first while training, else the second; the first where they are the same."""
    return one if _alike(one, other, {}) else operation("phase", one, other)


def _alike(one: Tensor, other: Tensor, known: dict[tuple[Tensor, Tensor], bool]) -> bool:
    """Whether two tensors of two traces are made alike."""
    if one == other:
        return True
    pair = (one, other)
    if pair not in known:
        a, b = one.node, other.node
        known[pair] = (
            one.place == other.place
            and len(a.inputs) == len(b.inputs) > 0
            and (a.layer is b.layer or (_is_unweighted(a) and _is_unweighted(b) and _config(a) == _config(b)))
            and all(_alike(x, y, known) for x, y in zip(a.inputs, b.inputs, strict=True))
        )
    return known[pair]


def _is_unweighted(node: Node) -> bool:
    return node.graph is None and not has_weights(node)


def _config(node: Node) -> Any:
    config = dict(node.layer.config())
    config.pop("name", None)
    return config


def has_weights(node: Node) -> bool:
    return node.graph is None and bool(node.layer.parameters(*(tensor.row for tensor in node.inputs)))


def check_training(value: Any) -> bool | None:
    """`training` of a call on tensors: None where it says nothing, or is that of a call that is traced."""
    return None if value is None or isinstance(value, Training) else as_flag("training", value)

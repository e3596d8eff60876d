"""A model as boxes and arrows between them: what its pictures show."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.layers import InputLayer, Layer
from fastnn.layers.graph import Graph
from fastnn.layers.tensor import Node, Tensor, called
from fastnn.models import Model


class Shown(NamedTuple):
    """What a box says of a layer beside its class."""

    names: bool
    shapes: bool
    dtype: bool
    activations: bool
    trainable: bool
    nested: bool  # models inside are drawn as their layers


class Box(NamedTuple):
    """A call of a layer: a title, lines below it, and whether it is an input."""

    title: str
    lines: tuple[str, ...]
    is_input: bool


def boxes_of(model: Model, shown: Shown) -> tuple[list[Box], list[tuple[int, int]]]:
    """The boxes of a model, and the arrows from one to another by their places, each once.

    ValueError before the model is built.
    """
    if not isinstance(model, Model):
        raise TypeError(f"a picture is of a model, got {type(model).__name__}")
    graph = model.description.graph
    if graph is None or not model.built:
        raise ValueError(f"model {model.name!r} is not built yet; give its first layer an input_shape, or call build()")
    names = dict(zip(model.description.members, model.description.names, strict=True))
    boxes: list[Box] = []
    arrows: dict[tuple[int, int], None] = {}
    _draw(graph, names, "", {}, boxes, arrows, shown)
    return boxes, list(arrows)


def _draw(
    graph: Graph,
    names: dict[Any, str],
    prefix: str,
    sources: dict[Tensor, int],
    boxes: list[Box],
    arrows: dict[tuple[int, int], None],
    shown: Shown,
) -> dict[Tensor, int]:
    """Add a graph's calls; sources: the boxes of the tensors that are known, to which the graph's own are added."""
    for node in graph.nodes:
        if node.tensors()[0] in sources:  # an input of a model that is drawn inside another
            continue
        if shown.nested and node.graph is not None and not isinstance(node.layer, Layer):
            inner = node.layer.description
            known = {own: sources[read] for own, read in zip(node.graph.inputs, node.inputs, strict=True)}
            inside = f"{prefix}{names.get(node.layer) or called(node.layer)}/"
            own_names = dict(zip(inner.members, inner.names, strict=True))
            given = _draw(node.graph, own_names, inside, known, boxes, arrows, shown)
            sources.update({tensor: given[own] for tensor, own in zip(node.tensors(), node.graph.outputs, strict=True)})
            continue
        place = len(boxes)
        boxes.append(_box(node, prefix + (names.get(node.layer) or called(node.layer)), shown))
        arrows.update({(sources[tensor], place): None for tensor in node.inputs})
        sources.update(dict.fromkeys(node.tensors(), place))
    return sources


def _box(node: Node, name: str, shown: Shown) -> Box:
    layer = node.layer
    kind = type(layer).__name__
    lines = []
    activation = getattr(layer, "activation", None)
    if shown.activations and activation is not None:
        lines.append(
            f"activation: {getattr(activation, 'name', None) or getattr(activation, 'table_name', activation)}"
        )
    is_input = isinstance(layer, InputLayer)
    if shown.shapes:
        reads = [tensor.shape for tensor in node.inputs]
        gives = [tensor.shape for tensor in node.tensors()]
        lines += [] if is_input else [f"input: {', '.join(map(str, reads))}"]
        lines.append(f"output: {', '.join(map(str, gives))}")
    if shown.dtype:
        lines.append("dtype: float32")
    if shown.trainable and not is_input:
        lines.append("trainable" if layer.trainable else "not trainable")
    return Box(f"{name} ({kind})" if shown.names else kind, tuple(lines), is_input)

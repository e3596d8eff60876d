"""Where Keras's files hold the weights of a model: a group for each layer, by classes and attributes of Keras's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fastnn.layers import InputLayer
from fastnn.layers.base import parts_of
from fastnn.layers.connected import Connected
from fastnn.layers.places import place_of
from fastnn.layers.tensor import called
from fastnn.models import Model, Sequential
from fastnn.typing import FloatArray

# The attributes under which layers of Keras keep their parts, in the order of the parts here; a list ends with a slash.
PARTS: dict[str, tuple[str, ...]] = {
    "AdditiveAttention": (),
    "Attention": (),
    "Bidirectional": ("forward_layer", "backward_layer"),
    "Pipeline": ("layers/",),
    "RNN": ("cell",),
    "StackedRNNCells": ("cells/",),
    "TimeDistributed": ("layer",),
}
# Of attention, by what the parts are called; Keras has public names for some, which come first in its files.
PUBLIC = {"query": "query_dense", "key": "key_dense", "value": "value_dense", "attention_output": "output_dense"}
ATTENTION = {
    "MultiHeadAttention": PUBLIC | {"gate": "_gate_dense"},
    "GroupQueryAttention": {name: f"_{each}" for name, each in PUBLIC.items()} | {"gate": "_gate_dense"},
}
CELLS = ("GRU", "LSTM", "SimpleRNN")  # whose weights Keras has in a cell
CLASSES = {"GroupQueryAttention": "GroupedQueryAttention"}  # where the class's own name in Keras is another


class Group(NamedTuple):
    """The weights of a layer: the group that they are in, what the layer is called, and what has them here."""

    path: str
    name: str
    layers: tuple[Any, ...]

    def views(self) -> list[FloatArray]:
        """The weights as Keras numbers them, those that learn first; the model's lock is held while they are in use."""
        found = [
            (not parameter.trainable, view)
            for layer in self.layers
            if (place := place_of(layer)) is not None
            for parameter, view in zip(place.parameters, place.views(place.store.flat), strict=True)
        ]
        return [view for _, view in sorted(found, key=lambda pair: pair[0])]


def groups(model: Any, config: Any = None) -> list[Group]:
    """The groups of a built model that have weights, each layer once.

    config: the model's in Keras, whose layers are numbered in its order; by default that of the graph, which is alike
    but where an operation of Keras is several here.
    """
    return [group for group in _of_model(model, "", set(), config) if group.views()]


def in_keras_order(model: Any) -> list[Any]:
    """The members of a model in the order in which Keras numbers them: by depth, then as they are met from the outputs.

    It is that of the graph, but where a layer is called at several depths: Keras moves all before it to the deepest.
    """
    graph, gives = model.description.graph, model.description.gives
    outputs = list(graph.outputs)
    if gives.kind == "dict":
        outputs = [tensor for _, tensor in sorted(zip(gives.names, outputs, strict=True), key=lambda pair: pair[0])]
    finished: dict[Any, None] = {}
    met: dict[Any, int] = {}
    stack = [(tensor.node, False) for tensor in reversed(outputs)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            finished[node] = None
        elif node not in finished:
            met.setdefault(node.layer, len(met))
            stack.append((node, True))
            stack += [(tensor.node, False) for tensor in reversed(node.inputs)]
    deep: dict[Any, int] = {}  # calls
    depths: dict[Any, int] = {}  # members
    for node in reversed(finished):
        depths[node.layer] = depth = max(deep.get(node, 0), depths.get(node.layer, 0))
        for tensor in node.inputs:
            deep[tensor.node] = max(deep.get(tensor.node, 0), depth + 1)
    members = model.description.members  # those that no output reads are inputs, which have no weights
    return sorted(members, key=lambda member: (-depths.get(member, 0), met.get(member, -1)))


def snake_case(name: str) -> str:
    """A class's name as Keras writes it in a path: "p_re_lu", "conv2d_transpose"."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _of_model(model: Any, path: str, seen: set[Any], config: Any = None) -> Iterator[Group]:
    members = model.description.members
    if not isinstance(model, Sequential):
        members = in_keras_order(model)
    configs: dict[Any, Any] = {}
    if config is not None:
        known = dict(zip(model.description.names, model.description.members, strict=True))
        entries = {each["config"].get("name"): each["config"] for each in config["layers"]}
        configs = {known[name]: each for name, each in entries.items() if name in known}
        members = [*configs, *(each for each in members if each not in configs)]
    if isinstance(model, Sequential):
        members = [each for each in members if not isinstance(each, InputLayer)]
    yield from _listed(members, f"{path}layers/", seen, configs)


def _listed(members: Iterable[Any], path: str, seen: set[Any], configs: Any = None) -> Iterator[Group]:
    """Members of a list, each by its class and a number among those of it."""
    met: Counter[str] = Counter()
    for member in members:
        cls = type(member)
        name = "Functional" if cls is Model else cls.__name__
        name = snake_case(CLASSES.get(name, name))
        number = met[name]
        met[name] += 1
        config = configs.get(member) if configs else None
        yield from _of(member, f"{path}{name}_{number}" if number else f"{path}{name}", seen, config)


def _of(member: Any, path: str, seen: set[Any], config: Any = None) -> Iterator[Group]:
    if member in seen:
        return
    seen.add(member)
    if isinstance(member, Model):
        yield from _of_model(member, f"{path}/", seen, config)
        return
    name, parts = type(member).__name__, parts_of(member)
    if not parts:
        yield Group(f"{path}/cell" if name in CELLS else path, called(member), (member,))
        return
    own = tuple(part for title, part in parts if not title)
    if own:
        yield Group(path, called(member), own)
        seen.update(own)
    for attribute, held in _attributes(member, name, parts):
        if attribute.endswith("/"):
            yield from _listed(held, f"{path}/{attribute}", seen)
        else:
            yield from _of(held, f"{path}/{attribute}", seen)


def _attributes(member: Any, name: str, parts: Any) -> Iterable[tuple[str, Any]]:
    """Which attributes hold a layer's parts."""
    if name in ATTENTION:
        return [(ATTENTION[name][title], part) for title, part in parts if title in ATTENTION[name]]
    if name in PARTS:
        several = "/" in "".join(PARTS[name])
        held = [part for title, part in parts if title]
        return [(PARTS[name][0], held)] if several else list(zip(PARTS[name], held, strict=False))
    # Of a class of the user's own its attributes, as Keras goes over them: by name, those with an underscore last.
    found: list[tuple[str, Any]] = []
    for attribute, value in sorted(
        vars(member).items(), key=lambda pair: pair[0].replace("_", "~", pair[0][:1] == "_")
    ):
        if isinstance(value, Connected):
            found.append((attribute, value))
        elif isinstance(value, (list, tuple, dict)):
            each_of = value.values() if isinstance(value, dict) else value
            found.append((f"{attribute}/", [each for each in each_of if isinstance(each, Connected)]))
    return found

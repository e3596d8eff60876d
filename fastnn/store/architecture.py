"""What a model is made of, as JSON: its layers once each, and for it and each model inside how they are connected.

    {"layers": [{"class": "dense", "units": 8, ...}, ...],
     "models": [{"kind": "sequential", "name", "members", "input_shape"},
                {"kind": "functional", "name", "members", "nodes", "inputs", "outputs"}]}

A member is ["layer", i] or ["model", i]; a model may name only those before it, and the last one is the model itself.
A node is [place among the members, [what it reads]], what it reads [node, output], and a node may name only those
before it: so no description has a cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.layers import LAYERS, InputLayer, Layer
from fastnn.layers.base import check_shape
from fastnn.layers.tensor import Node, Structure, Tensor, named
from fastnn.models import Model, Sequential
from fastnn.models.built import Built
from fastnn.models.graph import MAX_LAYERS, Graph

Custom = Mapping[str, Any] | None


def describe(model: Built) -> dict[str, Any]:
    """A model's description, all JSON. ValueError where a model inside was changed after it was called."""
    layers: dict[Layer, int] = {}
    models: dict[Built, int] = {}
    described: list[dict[str, Any]] = []
    _describe(model, layers, models, described)
    configs = [{**layer.config(), "automatic": bool(vars(layer).get("_automatic"))} for layer in layers]
    return {"layers": configs, "models": described}


def _describe(
    model: Built, layers: dict[Layer, int], models: dict[Built, int], described: list[dict[str, Any]]
) -> None:
    members = []
    for member in model._members:
        if isinstance(member, Layer):
            members.append(["layer", layers.setdefault(member, len(layers))])
        else:
            if member not in models:
                _describe(member, layers, models, described)
            members.append(["model", models[member]])
    entry = {"name": model.name, "automatic": model._automatic, "members": members}
    graph = model._graph
    for node in graph.nodes if graph is not None else ():
        if node.graph is not None and node.graph is not node.layer._graph:
            raise ValueError(
                f"model {node.layer.name!r} was changed after it was called; call it again and make {model.name!r} anew"
            )
    if isinstance(model, Sequential):
        shape = None if graph is None else list(graph.inputs[0].row)
        entry = {"kind": "sequential", **entry, "input_shape": shape}
    else:
        assert graph is not None
        entry = {"kind": "functional", **entry, **_connections(model, graph)}
    models[model] = len(described)
    described.append(entry)


def _connections(model: Built, graph: Graph) -> dict[str, Any]:
    places = {node: place for place, node in enumerate(graph.nodes)}
    numbers = {member: number for number, member in enumerate(model._members)}

    def refer(tensors: tuple[Tensor, ...]) -> list[list[int]]:
        return [[places[tensor.node], tensor.place] for tensor in tensors]

    return {
        "nodes": [[numbers[node.layer], refer(node.inputs)] for node in graph.nodes],
        "inputs": [model._takes.kind, list(model._takes.names), refer(graph.inputs)],
        "outputs": [model._gives.kind, list(model._gives.names), refer(graph.outputs)],
    }


def restore(description: Mapping[str, Any], custom: Custom = None) -> tuple[Model, list[Model]]:
    """The model that was described, and the models inside it. There are no weights yet: `_make` makes them.

    ValueError, TypeError, KeyError where the description is of no model.
    """
    configs, entries = description["layers"], description["models"]
    if len(configs) > MAX_LAYERS or not 0 < len(entries) <= MAX_LAYERS:
        raise ValueError(f"a model has at most {MAX_LAYERS} layers, got {len(configs)} and {len(entries)} models")
    layers = [_layer(config, custom) for config in configs]
    models: list[Model] = []
    for entry in entries:
        models.append(_model(entry, layers, models))
    used = {member for model in models for member in model._members}
    if len(used) != len(layers) + len(models) - 1:
        raise ValueError("expected that each layer and model is a member of a model")
    return models[-1], models[:-1]


def build(description: Mapping[str, Any], custom: Custom = None) -> Model:
    """The model that was described, with new weights. ValueError where the description is of no model."""
    try:
        model, inner = restore(description, custom)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this describes no model: {error!r}") from error
    for each in (model, *inner):
        if each._graph is not None:
            each._make()
    return model


def _layer(config: Any, custom: Custom) -> Layer:
    if not isinstance(config, dict):
        raise ValueError(f"a layer must be an object, got {config!r:.80}")
    layer = LAYERS.from_config({key: value for key, value in config.items() if key != "automatic"}, custom)
    named(layer, ())
    if config.get("automatic") is True:
        vars(layer)["_automatic"] = True
    return layer


def _model(entry: Any, layers: list[Layer], models: list[Model]) -> Model:
    members = [
        chosen(layers if kind == "layer" else models if kind == "model" else [], number, "member")
        for kind, number in entry["members"]
    ]
    model = _sequential(entry, members) if entry["kind"] == "sequential" else _functional(entry, members)
    model._automatic = entry["automatic"] is True
    return model


def _sequential(entry: Any, members: list[Any]) -> Sequential:
    model = Sequential(name=_text(entry["name"]))
    for member in members:
        model._append(member)
    if entry["input_shape"] is not None:
        shape = check_shape("Input", "shape", entry["input_shape"])
        if model._row not in (None, shape):
            raise ValueError(f"expected rows of shape {model._row}, as the first layer has it, got {shape}")
        if model._row is None:
            model._tensors = model._chain(shape)
        model._draw()
    return model


def _functional(entry: Any, members: list[Any]) -> Model:
    if entry["kind"] != "functional":
        raise ValueError(f"expected a sequential or functional model, got {entry['kind']!r:.80}")
    nodes: list[Node] = []
    for place, reads in entry["nodes"]:
        member = chosen(members, place, "node")
        tensors = [_tensor(nodes, read) for read in reads]
        if isinstance(member, InputLayer):
            if tensors:
                raise ValueError("an input reads nothing")
            nodes.append(member.tensor().node)
        else:
            given = member(tensors if len(tensors) != 1 else tensors[0])
            nodes.append(_first(given).node)
    (takes, inputs), (gives, outputs) = (_ends(entry[end], nodes) for end in ("inputs", "outputs"))
    graph = Graph(inputs, outputs)
    if set(graph.members) != set(members):
        raise ValueError("expected that each member is called on the way from the inputs to the outputs")
    model = Model.__new__(Model)
    model._begin(_text(entry["name"]))
    model._members, model._graph, model._takes, model._gives = members, graph, takes, gives
    model._name_members()
    return model


def _ends(entry: Any, nodes: list[Node]) -> tuple[Structure, list[Tensor]]:
    kind, names, reads = entry
    tensors = [_tensor(nodes, read) for read in reads]
    texts = tuple(_text(name) for name in names)
    if kind not in ("one", "list", "dict") or len(set(texts)) != len(tensors) or (kind == "one") > (len(tensors) == 1):
        raise ValueError(f"expected inputs or outputs with a name each, got {entry!r:.200}")
    return Structure(kind, texts), tensors


def _tensor(nodes: list[Node], read: Any) -> Tensor:
    node, place = read
    tensor: Tensor = chosen(chosen(nodes, node, "tensor").tensors(), place, "tensor")
    return tensor


def _first(given: Any) -> Tensor:
    while not isinstance(given, Tensor):
        given = next(iter(given.values() if isinstance(given, dict) else given))
    return given


def chosen(among: list[Any], number: Any, what: str) -> Any:
    """The one of that number; ValueError where there is none."""
    if type(number) is not int or not 0 <= number < len(among):
        raise ValueError(f"expected the number of a {what} below {len(among)}, got {number!r:.80}")
    return among[number]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text as a name, got {value!r:.80}")
    return value

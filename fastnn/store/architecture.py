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
from functools import partial
from typing import Any

from fastnn._checks import shown
from fastnn._table import own_objects, unplain
from fastnn.layers import LAYERS, InputLayer, Layer
from fastnn.layers.base import check_shape, parts_of
from fastnn.layers.tensor import (
    MAX_LAYERS,
    Node,
    Structure,
    Tensor,
    has_automatic_name,
    named,
    set_automatic_name,
)
from fastnn.object_registration import found, registered
from fastnn.serialization import SHARED, numbered, read_once, sharing, without_lone_numbers
from fastnn.store import calls
from fastnn.store.tables import put_apart, put_back
from fastnn.store.text import FormError, check_form

Custom = Mapping[str, Any] | None
Kinds = Mapping[str, Any]  # the class of models of each kind

# In a description, models that are fields of layers included. A call may stand for several layers and a layer be
# called several times, but each counts among the MAX_LAYERS of the whole.
MOST = {"layers": 2 * MAX_LAYERS, "models": 2 * MAX_LAYERS, "members": 4 * MAX_LAYERS, "nodes": 2 * MAX_LAYERS}
MAX_READS = 20 * MAX_LAYERS  # tensors that all calls together read
MOST_LEVELS = 500  # of lists and objects within each other
MOST_PARTS = 200 * MAX_READS  # lists and objects: each tensor that is read is a list, and layers hold lists of numbers

_MODEL = {"kind": str, "name": str, "automatic": bool, "members": [(str, int)]}
_SEQUENTIAL = {"input_shape": list | None}
_ENDS = (str, [str], [(int, int)])
_SUBCLASSED = {"class": str, "config": dict, "inputs": (str, [str], [[int]])}
_FUNCTIONAL = {"nodes": [(int, [(int, int)])], "inputs": _ENDS, "outputs": _ENDS}


def describe(model: Any, arrays: dict[str, Any] | None = None) -> dict[str, Any]:
    """A model's description, all JSON. ValueError where a model inside was changed after it was called.

    arrays: gets the layers' tables, which the description then names alone.
    """
    layers: dict[Layer, int] = {}
    models: dict[Any, int] = {}
    described: list[dict[str, Any]] = []
    with sharing(anew=False) as outermost:
        _describe(model, layers, models, described)
        configs = [numbered(layer, {**layer.config(), "automatic": has_automatic_name(layer)}) for layer in layers]
        # Not the model itself, which has its number where it is a part of a layer.
        inside = zip(list(models)[:-1], described, strict=False)
        entries = [*(numbered(each, entry) for each, entry in inside), described[-1]]
    if arrays is not None:
        put_apart(list(layers), configs, arrays)
    whole = {"layers": configs, "models": entries}
    check_counts(whole)
    if outermost:
        without_lone_numbers(whole)
    return whole


def check_counts(described: Any) -> None:
    """ValueError where a description names more than any model has: before the work that its making would be."""
    counts, reads = dict.fromkeys(MOST, 0), 0
    left, seen = [(described, 0)], 0
    while left:
        each, level = left.pop()
        seen += 1
        if level > MOST_LEVELS or seen > MOST_PARTS:
            raise ValueError(
                f"a description has at most {MOST_LEVELS} levels and {MOST_PARTS:,} lists and objects; this one has "
                "more, or holds itself"
            )
        if isinstance(each, dict):
            for name in MOST:
                found = each.get(name)
                counts[name] += len(found) if isinstance(found, list) else 0
            for node in each["nodes"] if isinstance(each.get("nodes"), list) else ():
                reads += len(node[1]) if isinstance(node, list) and len(node) == 2 and isinstance(node[1], list) else 0
            each = each.values()
        left += [(part, level + 1) for part in each if isinstance(part, (dict, list))]
    for name, count in counts.items():
        if count > MOST[name]:
            raise ValueError(
                f"a model has at most {MAX_LAYERS:,} layers, and a file {MOST[name]:,} {name}; got {count:,}"
            )
    if reads > MAX_READS:
        raise ValueError(f"the calls of a model in a file read at most {MAX_READS:,} tensors, got {reads:,}")


def _describe(model: Any, layers: dict[Layer, int], models: dict[Any, int], described: list[dict[str, Any]]) -> None:
    members: list[Any] = []
    description = model.description
    own = hasattr(model, "described")  # a class of the user's own, which says what is in it
    for member in () if own else description.members:
        if isinstance(member, Layer):
            members.append(["layer", layers.setdefault(member, len(layers))])
        else:
            if member not in models:
                _describe(member, layers, models, described)
            members.append(["model", models[member]])
    entry = {"kind": description.kind, "name": model.name, "automatic": has_automatic_name(model), "members": members}
    graph = description.graph
    for node in graph.nodes if graph is not None and not own else ():
        inner = node.graph is not None and not isinstance(node.layer, Layer)
        if inner and node.graph is not node.layer.description.graph:
            raise ValueError(
                f"model {node.layer.name!r} was changed after it was called; call it again and make {model.name!r} anew"
            )
    if own:
        entry |= {"kind": "subclassed", **model.described()}
    elif description.kind == "sequential":
        # The inputs of a first model of several are said by that.
        rows = None if graph is None or description.takes.kind != "one" else graph.inputs[0]
        entry["input_shape"] = None if rows is None else list(rows.row)
        if rows is not None and rows.dtype != "float32":
            entry["input_dtype"] = rows.dtype
    else:
        entry |= _connections(description)
    models[model] = len(described)
    described.append(entry)


def _connections(description: Any) -> dict[str, Any]:
    graph = description.graph
    places = {node: place for place, node in enumerate(graph.nodes)}
    numbers = {member: number for number, member in enumerate(description.members)}

    def refer(tensors: tuple[Tensor, ...]) -> list[list[int]]:
        return [[places[tensor.node], tensor.place] for tensor in tensors]

    given = calls.described(graph.nodes)
    modes = [[place, node.training] for node, place in places.items() if node.training is not None]
    return {
        **({"training": modes} if modes else {}),  # whether a call is as in training in each run, or in none
        **({"calls": given} if given else {}),  # of those that are given more than the tensors that they read
        "nodes": [[numbers[node.layer], refer(node.inputs)] for node in graph.nodes],
        "inputs": [description.takes.kind, list(description.takes.names), refer(graph.inputs)],
        "outputs": [description.gives.kind, list(description.gives.names), refer(graph.outputs)],
    }


def restore(
    described: Mapping[str, Any], kinds: Kinds, custom: Custom = None, arrays: Mapping[str, Any] | None = None
) -> Any:
    """The model that was described. There are no weights yet: `make` makes them.

    kinds: the classes of models by the names that a description has for them. arrays: a file's, which may have tables
    of layers. ValueError, TypeError, KeyError where it is of no model.
    """
    check_form(described, {"layers": [dict], "models": [_MODEL]})
    configs, entries = described["layers"], described["models"]
    if not entries:
        raise ValueError(f"a model has at most {MAX_LAYERS} layers and at least one, got none")
    models: list[Any] = []
    with sharing(anew=False):
        layers = [_layer(config, custom, number, arrays) for number, config in enumerate(configs)]
        for entry in entries:
            check_form(entry, {"sequential": _SEQUENTIAL, "subclassed": _SUBCLASSED}.get(entry["kind"], _FUNCTIONAL))
            models.append(read_once(entry, partial(_model, entry, kinds, layers, models, custom)))
            if not hasattr(models[-1], "description"):
                raise ValueError(f"expected a model of number {entry[SHARED]}, got {shown(models[-1])}")
    described_models = [model for model in models if not hasattr(model, "described")]
    used = {member for model in described_models for member in model.description.members}
    if len(used) != len(layers) + len(models) - 1:
        raise ValueError("expected that each layer and model is a member of a model")
    return models[-1]


def build(described: Mapping[str, Any], kinds: Kinds, custom: Custom = None) -> Any:
    """The model that was described, with new weights. ValueError where the description is of no model."""
    own_objects(custom)
    if not isinstance(described, dict):
        raise ValueError(f"this describes no model: expected the dict that get_config gives, got {shown(described)}")
    try:
        check_counts(described)
        model = restore(described, kinds, custom)
    except (KeyError, TypeError, AttributeError, FormError) as error:
        raise ValueError(f"this describes no model: {error}") from error
    except RecursionError:
        raise ValueError("this describes no model: its lists and objects are too deep, or hold themselves") from None
    make(model)
    return model


def make(member: Any) -> None:
    """The networks of a model that was restored and of those inside it, with weights that they share."""
    description = None if isinstance(member, Layer) else member.description
    if description is not None and description.graph is not None and description.network is None:
        description.make()
    for _, part in parts_of(member):
        make(part)


def _layer(config: Any, custom: Custom, number: int, arrays: Mapping[str, Any] | None) -> Layer:
    fields = {key: value for key, value in config.items() if key not in ("automatic", "tables")}
    layer = read_once(config, lambda: LAYERS.from_config(fields, custom))
    if not isinstance(layer, Layer):
        raise ValueError(f"expected a layer of number {config[SHARED]}, got {shown(layer)}")
    if "tables" in config:
        put_back(layer, number, config["tables"], arrays)
    named(layer, ())
    if config.get("automatic") is True:
        set_automatic_name(layer)
    return layer


def _own_model(entry: Any, kinds: Kinds, custom: Custom) -> Any:
    """A model of a class of the user's own."""
    name = entry["class"]
    cls = found(name, own_objects(custom)) or registered(name)
    if not isinstance(cls, type) or not issubclass(cls, kinds["functional"]):
        raise ValueError(
            f"unknown model {name!r:.80}; for one of your own pass custom_objects={{{name!r:.80}: the class}} to "
            "load_model, or register it with @register_keras_serializable()"
        )
    if not hasattr(cls, "from_file"):
        raise ValueError(f"custom_objects[{name!r:.80}] must be a class with call")
    return cls.from_file(entry["name"], unplain(entry["config"], custom), entry["inputs"])


def _model(entry: Any, kinds: Kinds, layers: list[Layer], models: list[Any], custom: Custom) -> Any:
    members = [
        chosen(layers if kind == "layer" else models if kind == "model" else [], number, "member")
        for kind, number in entry["members"]
    ]
    kind, name = entry["kind"], entry["name"]
    if kind == "subclassed":
        model = _own_model(entry, kinds, custom)
    elif kind == "sequential":
        shape = entry["input_shape"]
        row = None if shape is None else () if shape == [] else check_shape("Input", "shape", shape)
        model = kinds[kind].from_members(name, members, row, entry.get("input_dtype"))
    elif kind == "functional":
        nodes = _nodes(entry, members, custom)
        model = kinds[kind].from_tensors(name, members, _ends(entry["inputs"], nodes), _ends(entry["outputs"], nodes))
    else:
        raise ValueError(f"expected a sequential or functional model, got {shown(kind)}")
    set_automatic_name(model, entry["automatic"] is True)
    return model


def _nodes(entry: Any, members: list[Any], custom: Custom) -> list[Node]:
    """The calls of a functional model's members."""
    nodes: list[Node] = []
    size = 0
    check_form(entry.get("training", []), [(int, bool)])
    modes, given_by = dict(entry.get("training", [])), calls.read(entry.get("calls", []))
    for place, reads in entry["nodes"]:
        member = chosen(members, place, "node")
        tensors = [_tensor(nodes, read) for read in reads]
        if isinstance(member, InputLayer):
            if tensors:
                raise ValueError("an input reads nothing")
            nodes.append(member.tensor().node)
        else:
            args, kwargs = [tensors if len(tensors) != 1 else tensors[0]], {}
            if len(nodes) in given_by:
                args, kwargs = calls.filled(given_by[len(nodes)], tensors, custom)
            given = member(*args, training=modes.get(len(nodes)), **kwargs)
            nodes.append(_first(given).node)
        size += nodes[-1].size
        if size > MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers, those of its models included")
    return nodes


def _ends(entry: Any, nodes: list[Node]) -> tuple[Structure, list[Tensor]]:
    kind, names, reads = entry
    tensors = [_tensor(nodes, read) for read in reads]
    texts = tuple(names)
    known = kind in ("list", "tuple", "dict") or (kind == "one" and len(tensors) == 1)
    if not known or not len(set(texts)) == len(texts) == len(tensors):
        raise ValueError(f"expected inputs or outputs with a name each, got {shown(entry)}")
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
        raise ValueError(f"expected the number of a {what} below {len(among)}, got {shown(number)}")
    return among[number]

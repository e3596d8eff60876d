"""A model as Keras's configuration: its layers, each with its arguments, and for a graph what each call reads."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from fastnn._checks import shown
from fastnn._table import own_objects
from fastnn.layers import InputLayer
from fastnn.layers.tensor import Tensor
from fastnn.object_registration import CustomObjectScope
from fastnn.serialization import deserialize_keras_object, serialize_keras_object, sharing, without_lone_numbers

TENSOR = "__keras_tensor__"


def config_of(model: Any) -> dict[str, Any]:
    """A model's configuration, all JSON but for tuples."""
    with sharing(anew=False) as outermost:
        config = _chain(model) if model.description.kind == "sequential" else _connected(model)
    if outermost:
        without_lone_numbers(config)
    return config


def _connected(model: Any) -> dict[str, Any]:
    names = dict(zip(model.description.members, model.description.names, strict=True))
    graph = model.description.graph
    places: dict[Any, list[Any]] = {}  # of each node: [name, its number among the layer's]
    entries: dict[Any, dict[str, Any]] = {}
    calls: Counter[Any] = Counter()  # of each layer so far
    for node in graph.nodes:
        entry = entries.get(node.layer)
        if entry is None:
            entry = entries[node.layer] = _entry(node.layer, names[node.layer])
            entry |= {"name": names[node.layer], "inbound_nodes": []}
        places[node] = [names[node.layer], calls[node.layer]]
        calls[node.layer] += 1
        if not isinstance(node.layer, InputLayer):
            args, kwargs = node.arguments([_tensor(tensor, places) for tensor in node.inputs])
            entry["inbound_nodes"].append({"args": list(args), "kwargs": kwargs})
    ends = [[[*places[tensor.node], tensor.place] for tensor in each] for each in (graph.inputs, graph.outputs)]
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": list(entries.values()),
        "input_layers": model.description.takes.pack(ends[0]),
        "output_layers": model.description.gives.pack(ends[1]),
    }


def _chain(model: Any) -> dict[str, Any]:
    graph, layers = model.description.graph, list(zip(model.description.members, model.description.names, strict=True))
    config: dict[str, Any] = {"name": model.name, "trainable": model.trainable, "dtype": "float32"}
    if model.description.takes.kind != "one":
        graph = None  # its first model says what it reads
    if graph is not None and not isinstance(layers[0][0], InputLayer):
        first = graph.inputs[0].node.layer
        layers = [(first, first.name or first.table_name), *layers]
    config["layers"] = [_entry(layer, name) for layer, name in layers]
    if graph is not None:
        config["build_input_shape"] = list(graph.inputs[0].shape)
    return config


def _entry(layer: Any, name: str) -> dict[str, Any]:
    """A layer or a model as Keras writes an object, by its name in this model."""
    entry: dict[str, Any] = serialize_keras_object(layer)
    entry["config"] = {**entry["config"], "name": name}
    return entry


def _tensor(tensor: Tensor, places: Mapping[Any, list[Any]]) -> dict[str, Any]:
    history = [*places[tensor.node], tensor.place]
    return {
        "class_name": TENSOR,
        "config": {"shape": list(tensor.shape), "dtype": tensor.dtype, "keras_history": history},
    }


# What describes a model; what else a subclass has put beside it are arguments of its own.
GRAPH = {"name", "trainable", "layers", "input_layers", "output_layers", "dtype", "build_input_shape"}


def maker(cls: Any, kind: Any, takes: str, config: Any) -> Callable[..., Any]:
    """What makes a model of a class: a subclass that can be made of what the kind `takes`, else the kind itself."""
    if cls is kind or not issubclass(cls, kind):
        own = False
    else:
        parameters = inspect.signature(cls.__init__).parameters
        kinds = {each.kind for each in parameters.values()}
        own = takes in parameters or kinds >= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if not own:
        made: Callable[..., Any] = kind
        return made
    return partial(cls, **{key: value for key, value in config.items() if key not in GRAPH})


def model_of(config: Any, functional: Callable[..., Any], sequential: Callable[..., Any], custom: Any = None) -> Any:
    """The model that was described, with new weights; the classes make it. ValueError where it describes none."""
    own = own_objects(custom)
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), (list, tuple)):
        raise ValueError(f"this describes no model: expected the dict that get_config gives, got {shown(config)}")
    if "models" in config:  # the form of fastnn's files
        raise ValueError("this describes no model in get_config's form; json.dumps it and call model_from_json")
    try:
        with CustomObjectScope(own) if own else nullcontext(), sharing(anew=False):
            made = _graph(config, functional) if "input_layers" in config else _line(config, sequential)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"this describes no model: {error}") from error
    except RecursionError:
        raise ValueError("this describes no model: its lists and objects are too deep, or hold themselves") from None
    if config.get("trainable") is False:
        made.trainable = False
    return made


def _line(config: Mapping[str, Any], sequential: Callable[..., Any]) -> Any:
    made = sequential([deserialize_keras_object(each) for each in config["layers"]], name=config.get("name"))
    shape = config.get("build_input_shape")
    if shape is not None and not made.built and made.layers:
        made.build(tuple(shape))
    return made


def _graph(config: Mapping[str, Any], functional: Callable[..., Any]) -> Any:
    layers = {entry["name"]: deserialize_keras_object(entry) for entry in config["layers"]}
    given: dict[tuple[str, int], list[Tensor]] = {}
    left = [(entry["name"], place, node) for entry in config["layers"] for place, node in _calls(entry)]
    while left:
        later = []
        for name, place, node in left:
            try:
                arguments, kwargs = (
                    _read((node or {"args": [], "kwargs": {}})[key], given) for key in ("args", "kwargs")
                )
            except KeyError:
                later.append((name, place, node))
                continue
            layer = layers[name]
            if isinstance(layer, InputLayer):
                given[name, place] = [layer.tensor()]
            else:
                kwargs = {key: value for key, value in kwargs.items() if value is not None}
                given[name, place] = _flat(layer(*arguments, **kwargs))
        if len(later) == len(left):
            raise ValueError(f"this describes no model: what layer {later[0][0]!r:.80} reads is given by none")
        left = later
    ends = [_ends(config[key], given) for key in ("input_layers", "output_layers")]
    return functional(*ends, name=config.get("name"))


def _calls(entry: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """The calls of a layer by number; of an input one that reads nothing."""
    return list(enumerate(entry["inbound_nodes"] or [None]))


def _read(value: Any, given: Mapping[tuple[str, int], list[Tensor]]) -> Any:
    """An argument of a call. KeyError where what it names is not there yet."""
    if isinstance(value, Mapping) and value.get("class_name") == TENSOR:
        name, node, place = value["config"]["keras_history"]
        return given[name, node][place]
    if isinstance(value, (list, tuple)):
        return [_read(each, given) for each in value]
    if isinstance(value, Mapping):
        return {key: _read(each, given) for key, each in value.items()}
    return value


def _ends(value: Any, given: Mapping[tuple[str, int], list[Tensor]]) -> Any:
    """Inputs or outputs: [name, node, place] each, alone, in a list or in a dict."""
    if isinstance(value, Mapping):
        return {key: _ends(each, given) for key, each in value.items()}
    if len(value) == 3 and isinstance(value[0], str):
        return given[value[0], value[1]][value[2]]
    ends = [_ends(each, given) for each in value]
    return tuple(ends) if isinstance(value, tuple) else ends


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Mapping):
        value = list(value.values())
    return [value] if isinstance(value, Tensor) else [tensor for each in value for tensor in _flat(each)]


def cloned(
    model: Any,
    functional: Callable[..., Any],
    sequential: Callable[..., Any],
    of: Callable[[Any], Any],
    inputs: Sequence[Tensor] | None = None,
    call: Callable[..., Any] | None = None,
) -> Any:
    """A model of other layers, connected alike. of: what takes a member's place; inputs: what it reads, if not new."""
    graph = model.description.graph
    if model.description.kind == "sequential" and inputs is None and call is None:
        members = [each if isinstance(each, InputLayer) else of(each) for each in model.description.members]
        known = graph is None or model.description.takes.kind != "one" or isinstance(members[0], InputLayer)
        first = [] if known else [_new_input(graph.inputs[0])]
        fresh = [_new_input(each.tensor()) if isinstance(each, InputLayer) else each for each in members]
        return sequential([*first, *fresh], name=model.name)
    if graph is None:
        raise ValueError(f"clone_model: model {model.name!r} is not built, so there is no graph to go along; build it")
    if inputs is not None and [tensor.row for tensor in inputs] != [tensor.row for tensor in graph.inputs]:
        expected, came = [tensor.shape for tensor in graph.inputs], [tensor.shape for tensor in inputs]
        raise ValueError(f"clone_model: input_tensors must be of shapes {expected}, got {came}")
    new = dict(zip(graph.inputs, inputs or [_new_input(tensor) for tensor in graph.inputs], strict=True))
    ends = list(new.values())
    members_of: dict[Any, Any] = {}
    for node in graph.nodes:
        if node.tensors()[0] in new:
            continue
        if node.layer not in members_of:
            members_of[node.layer] = of(node.layer)
        args, kwargs = node.arguments([new[tensor] for tensor in node.inputs])
        layer = members_of[node.layer]
        made = layer(*args, **kwargs) if call is None else call(layer, *args, **kwargs)
        new.update(zip(node.tensors(), _flat(made), strict=True))
    takes, gives = model.description.takes, model.description.gives
    return functional(takes.pack(ends), gives.pack([new[tensor] for tensor in graph.outputs]), name=model.name)


def _new_input(tensor: Tensor) -> Tensor:
    return InputLayer(tensor.row, tensor.node.batch, dtype=tensor.dtype, name=tensor.node.layer.name).tensor()

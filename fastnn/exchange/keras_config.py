"""Configurations of Keras and of fastnn have one form; what differs is a name, a word, the order of arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastnn._checks import shown
from fastnn.exchange.keras_layout import snake_case
from fastnn.exchange.keras_ops import operation_of, tensors_in, theirs_of, unmasked

ELSEWHERE = "what it computes there is not what it computes here"
# Layers that do not go to Keras or come from it, and why.
REFUSED = {
    "Lambda": "it is code, which no file holds; write a layer of your own",
    "RandomCrop": f"in predictions {ELSEWHERE}: Keras crops nothing, fastnn to the middle",
    "SpectralNormalization": f"in predictions {ELSEWHERE}, and in Keras it hangs on the backend",
    "Wrapper": "Keras has it to derive classes from alone; give the layer within",
}
# What Keras does not have, by class and by name.
LACKING = {"DateParts", "Scaler", "Pinball", "GaussianNLL", "ConfusionMatrix", "WarmUp", "OneCycle", "LBFGS", "Rprop"}
LACKING |= {"DPSGD"}
WORDS = {snake_case(each) for each in LACKING} | {"lbfgs", "dpsgd", "gaussian_nll"}
# Activations that are others in Keras, and why.
OTHERS = {
    "glu": "Keras gets the shape behind it wrong",
    "sparsemax": "Keras's has rows that do not sum to 1",
    "threshold": "Keras's has no numbers of its own",
}
# Parts of a configuration that are the same in both.
SAME = {"__keras_tensor__", "__numpy__", "__slice__", "__ellipsis__", "__bytes__"}
KEPT = ("module", "registered_name", "shared_object_id")
LAYERS = {"LeakyReLU", "ELU", "ReLU"}  # activations whose numbers Keras knows as layers alone
MERGES = {"Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply"}
RECURRENT = {"Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN"}
ATTENTION = {"GroupQueryAttention", "MultiHeadAttention"}
FLOATS = {"float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"}


def theirs(value: Any) -> Any:
    """What fastnn described, as Keras describes it. ValueError for what Keras has not, by name."""
    if isinstance(value, (list, tuple)):
        return [theirs(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value or "config" not in value:
        for name, word in value.items():
            if isinstance(word, str) and word in WORDS:
                _refuse(word, "Keras has none")
            if isinstance(word, str) and word in OTHERS and name.endswith("activation"):
                _refuse(word, OTHERS[word])
        return {name: theirs(each) for name, each in value.items()}
    name, module = value["class_name"], str(value.get("module"))
    if name == "__tuple__":
        return theirs(value["config"])
    if name in SAME:
        return dict(value)
    home, _, place = module.partition(".")
    if name == "function":
        name, home = value["config"], "" if module == "builtins" else home
    if home != "fastnn":
        _refuse(name, "it is of your own, and Keras knows none of it; only what both have goes over")
    if name in LACKING:
        _refuse(name, "Keras has no such class")
    if place == "activations" and name != "function":
        if name not in LAYERS:
            _refuse(name, "Keras knows this activation without numbers of its own alone")
        module = "fastnn.layers"
    if place in ("layers", "models"):
        value = _layer_there(dict(value))
        name, module = value["class_name"], value.get("module", module)
    found = {each: theirs(part) for each, part in value.items()}
    found["module"] = module.replace("fastnn", "keras", 1)
    if name == "Functional":
        found |= {"module": "keras.src.models.functional", "registered_name": "Functional"}
    elif name == "Sequential":
        found["module"] = "keras"
    return found


def _refuse(name: Any, why: str) -> Any:
    raise ValueError(f"{shown(name)} cannot go to Keras: {why}")


def _layer_there(entry: dict[str, Any]) -> dict[str, Any]:
    """A layer's entry in a model, with what Keras's class has in another way."""
    name, config = entry["class_name"], dict(entry["config"])
    entry["config"] = config
    for each in ("adapted", "has_input_vocabulary", "sparse_updates"):
        config.pop(each, None)
    if name in REFUSED:
        _refuse(name, REFUSED[name])
    nodes = [
        {**node, "args": list(node["args"]), "kwargs": dict(node["kwargs"])} for node in entry.get("inbound_nodes", ())
    ]
    if "inbound_nodes" in entry:
        entry["inbound_nodes"] = nodes
    if any(node["kwargs"].get("training") is not None for node in nodes):
        _refuse(config.get("name"), "it is called with training=, which in Keras's fit and predict is that of the run")
    if name == "Operation":
        return theirs_of(entry)
    rank = max(
        (len(tensors_in(node["args"])[0]["config"]["shape"]) for node in nodes if tensors_in(node["args"])), default=2
    )
    for node in nodes:
        args = node["args"]
        several = args[0] if args and isinstance(args[0], (list, tuple)) else None
        if name in ATTENTION and several is not None:
            node["args"] = [*several, *args[1:]]
        elif name in RECURRENT and several is not None:
            node["args"], node["kwargs"] = [several[0]], {"initial_state": list(several[1:]), **node["kwargs"]}
    if name in MERGES and nodes and all(isinstance(node["args"][0], Mapping) for node in nodes):  # of one tensor
        return {
            **entry,
            "class_name": "Identity",
            "config": {key: config[key] for key in ("name", "trainable", "dtype")},
        }
    if name == "Pipeline":
        entry["config"] = {"layers": config["layers"], "name": config["name"]}
    elif name.startswith("SpatialDropout"):
        config.pop("trainable", None)
    elif name == "Discretization" and config.get("bin_boundaries"):
        config["num_bins"] = None
    elif name == "ActivityRegularization":
        config.pop("activity_regularizer", None)
    elif name == "Normalization" and isinstance(config.get("mean"), float) != isinstance(config.get("variance"), float):
        _refuse(name, "there mean and variance must be of one shape; give both as numbers, or both as lists")
    elif name == "CategoryEncoding" and rank > 2 and config.get("output_mode") != "one_hot":
        _refuse(name, f"of rows with several axes {ELSEWHERE}")
    elif name == "RMSNormalization" and config.get("axis") not in (-1, rank - 1):
        _refuse(name, f"along another axis than the last {ELSEWHERE}")
    elif name == "EinsumDense" and None in _flat(config.get("output_shape")) and config.get("bias_axes"):
        _refuse(name, "there a bias needs output_shape without None")
    elif name == "Bidirectional" and config.get("backward_layer") is not None and config.get("merge_mode") == "concat":
        one, other = (config[each]["config"].get("units") for each in ("layer", "backward_layer"))
        if one != other:
            _refuse(name, "there both directions must be as wide, or it gets the shape behind them wrong")
    if name in ("LayerNormalization", "RMSNormalization"):
        _check_axes(name, config.get("axis"))
    return entry


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_axes(name: str, axis: Any) -> None:
    """ValueError for axes whose weights would lie in another order."""
    axes = [each for each in _flat(axis) if isinstance(each, int)]
    if axes != sorted(axes) or (axes and (axes[0] < 0) != (axes[-1] < 0)):
        raise ValueError(
            f"{name}: axis={shown(axis)} has weights in another order in Keras; give the axes as they rise"
        )


def ours(value: Any) -> Any:
    """What Keras described, as fastnn describes it. ValueError for code, and for what is refused."""
    if isinstance(value, (list, tuple)):
        return [ours(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value or "config" not in value:
        return {name: _activation(each) if name.endswith("activation") else ours(each) for name, each in value.items()}
    name, module, config = value["class_name"], str(value.get("module")), value["config"]
    if name in SAME:
        return dict(value)
    if str(name).endswith("DTypePolicy") and isinstance(config, Mapping):
        return _dtype(config.get("name"))
    if name == "__lambda__" or name in REFUSED:
        raise ValueError(f"{name} is not taken from Keras: {REFUSED.get(name, REFUSED['Lambda'])}")
    if ".ops." in module:
        return operation_of(value, ours)
    if isinstance(config, Mapping) and isinstance(config.get("dtype"), str) and name != "InputLayer":
        config = {**config, "dtype": _dtype(config["dtype"])}
    if name in ("LayerNormalization", "RMSNormalization") and isinstance(config, Mapping):
        _check_axes(name, config.get("axis"))
    if name == "Discretization" and isinstance(config, Mapping) and config.get("bin_boundaries"):
        config = {**config, "num_bins": None}
    if isinstance(config, Mapping) and config.get("quantization_config") is not None:
        raise ValueError(f"{name} is quantized in Keras, which fastnn does not read; save the model before it is")
    if isinstance(config, Mapping) and "input_layers" in config:
        config = unmasked(config)
    kept = {each: value[each] for each in (*KEPT, "name", "inbound_nodes") if each in value}
    return {**ours(kept), "class_name": name, "config": ours(config)}


def _dtype(name: Any) -> Any:
    """The dtype of a layer: what computes does so in float32 here, also where Keras has halves or doubles of it."""
    if name in FLOATS:
        return "float32"
    if not isinstance(name, str) or not re.fullmatch(r"u?int\d+|bool|string", name):
        raise ValueError(f"fastnn computes in float32; dtype {shown(name)} of Keras is not read")
    return name


def _activation(value: Any) -> Any:
    """An activation; Keras may have a layer in its place."""
    if isinstance(value, str) and value in OTHERS:
        raise ValueError(f"activation {value!r} is not taken from Keras: {OTHERS[value]}")
    if (
        isinstance(value, Mapping)
        and str(value.get("module")).endswith(".layers")
        and value.get("class_name") in LAYERS
    ):
        config = {key: each for key, each in value["config"].items() if key not in ("name", "trainable", "dtype")}
        return {"module": "fastnn.activations", "class_name": value["class_name"], "config": config}
    return ours(value)

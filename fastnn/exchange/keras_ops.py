"""Keras's operations in a graph, ``x + 1`` or ``keras.ops.mean(x)``, and the functions of ``fastnn.ops``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastnn import ops
from fastnn._checks import shown
from fastnn.exchange.keras_layout import snake_case
from fastnn.serialization import deserialize_keras_object

CALL = "fastnn operation"  # under which name loading knows the class below
SINGLE = {"Absolute", "Ceil", "Cos", "Erf", "Expm1", "Floor", "Log", "Log1p", "Sign", "Sin", "Sqrt", "Square"}
REDUCED = {"sum": "Sum", "mean": "Mean", "max": "Max", "min": "Min"}


class KerasOperation:
    """One of Keras's operations, which is called as Keras calls it."""

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self._function, self._arguments = function, arguments

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> KerasOperation:
        """The operation of that name, with the arguments that it was made with. ValueError for an unknown one."""
        name, arguments = config["operation"], dict(config["arguments"])
        if name == "GetItem":
            return cls(lambda x, key: x[tuple(key) if isinstance(key, list) else key], {})
        if name in ("LogSoftmax", "Softmax") and arguments.get("axis") == -1:
            del arguments["axis"]
        known = snake_case(str(name))
        if known not in ops.__all__:
            raise ValueError(f"operation {shown(name)} of Keras is not known here; fastnn.ops has what there is")
        return cls(getattr(ops, known), arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = [deserialize_keras_object(each) if isinstance(each, Mapping) else each for each in args]
        return self._function(*given, **{**self._arguments, **kwargs})


def tensors_in(value: Any) -> list[Any]:
    """The tensors in an argument of a call, wherever they stand."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return [value]
        value = list(value.values())
    return [tensor for each in value for tensor in tensors_in(each)] if isinstance(value, (list, tuple)) else []


def unmasked(config: Mapping[str, Any]) -> dict[str, Any]:
    """A graph of Keras without the operations that work out masks, which layers pass on here by themselves.

    Such are the comparison that Embedding and Masking make of what they read, and what is made of its result alone.
    `training` of a call is left out too: in Keras's fit and predict that of the run takes its place.
    """

    def sources(node: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return [tuple(tensor["config"]["keras_history"]) for tensor in tensors_in([node["args"], node["kwargs"]])]

    masking = [e for e in config["layers"] if e["class_name"] == "Masking" or e["config"].get("mask_zero")]
    read = {source for entry in masking for node in entry["inbound_nodes"] for source in sources(node)}
    made: set[Any] = set()
    for entry in config["layers"]:
        if ".ops." in str(entry.get("module")):
            found = {source for node in entry["inbound_nodes"] for source in sources(node)}
            if (entry["class_name"] == "NotEqual" and found <= read) or (found and {each[0] for each in found} <= made):
                made.add(entry["name"])
    layers = []
    for entry in config["layers"]:
        if entry.get("name") not in made:
            nodes = [{**node, "kwargs": dict(node["kwargs"])} for node in entry["inbound_nodes"]]
            for given in (node["kwargs"] for node in nodes):
                masks = [
                    key
                    for key, each in given.items()
                    if {t["config"]["keras_history"][0] for t in tensors_in(each)} & made
                ]
                for key in ("training", *masks):
                    given.pop(key, None)
            layers.append({**entry, "inbound_nodes": nodes})
    return {**config, "layers": layers}


def operation_of(entry: Mapping[str, Any], ours: Callable[[Any], Any]) -> dict[str, Any]:
    """A graph's entry of one of Keras's operations, as one that loading makes a KerasOperation of."""
    kept = {each: entry[each] for each in ("name", "inbound_nodes") if each in entry}
    arguments = {key: each for key, each in dict(entry["config"]).items() if key not in ("name", "dtype")}
    config = {"operation": entry["class_name"], "arguments": ours(arguments)}
    return {**ours(kept), "module": "fastnn", "class_name": CALL, "registered_name": CALL, "config": config}


def theirs_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an `Operation` as one of Keras's. ValueError where that is none, or several."""
    name, given = entry["config"]["operation"], entry["config"].get("arguments") or {}
    title, config, nodes = entry["config"]["name"], {}, entry.get("inbound_nodes", ())
    if name == "affine":
        config = {"name": title, "scale": given.get("a", 1.0), "offset": given.get("b", 0.0)}
        return {**entry, "class_name": "Rescaling", "config": config}
    cls = "".join(part.capitalize() for part in name.split("_"))
    if name == "reduce" and given.get("how") in REDUCED:
        cls = REDUCED[given["how"]]
        config = {"axis": [each + 1 for each in given["axes"]], "keepdims": given.get("keepdims", False)}
    elif name == "clip" and None not in (given.get("low"), given.get("high")):
        config = {"x_min": given["low"], "x_max": given["high"]}
    elif name in ("power", "reciprocal"):
        cls, number = ("Power" if name == "power" else "Divide"), given.get("a", 1.0)
        for node in nodes:
            node["args"] = [*node["args"], number] if name == "power" else [number, *node["args"]]
    elif cls not in SINGLE:
        raise ValueError(f"operation {name!r} of {title!r} cannot go to Keras: there is no one operation that does it")
    home = "math" if cls == "Erf" else "numpy"
    module = {"module": f"keras.src.ops.{home}", "class_name": cls, "registered_name": cls}
    return {**entry, **module, "config": {"name": title, **config}}

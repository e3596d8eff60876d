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

"""Objects as JSON, in the form that Keras has for them: {"module", "class_name", "config", "registered_name"}."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from importlib import import_module
from typing import Any

import numpy as np

from fastnn import object_registration
from fastnn._checks import as_arguments, shown
from fastnn._families import TABLES

__all__ = ["deserialize_keras_object", "serialize_keras_object"]

# Where the units of fastnn are, by the last part of the module's name that a configuration gives.
PLACES = {
    "activations": "activation",
    "constraints": "constraint",
    "initializers": "initializer",
    "layers": "layer",
    "losses": "loss",
    "metrics": "metric",
    "models": "model",
    "optimizers": "optimizer",
    "regularizers": "regularizer",
    "schedules": "schedule",
}
PLAIN = (str, int, float, bool, type(None))
SHARED = "shared_object_id"  # Keras's, of what stands in several places of a configuration


class Shared:
    """The layers and models of one description: the number of each, and those that were read, by number."""

    def __init__(self, keeps_names: bool) -> None:
        self.keeps_names = keeps_names
        self.numbers: dict[Any, int] = {}
        self.read: dict[int, Any] = {}


_shared: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def sharing(keeps_names: bool = False, anew: bool = True) -> Iterator[bool]:
    """Within it a layer or model in several places of what is described, or read, is one, by a number that it has.

    keeps_names: what is read in Keras's form keeps its name, also one that nobody chose. anew: False where it is a part
    of what may be described, or read, already. It gives whether it is the outermost.
    """
    if not anew and _shared.get() is not None:
        yield False
        return
    token = _shared.set(Shared(keeps_names))
    try:
        yield True
    finally:
        _shared.reset(token)


def keeps_names() -> bool:
    """Whether names are kept of what is read in Keras's form."""
    known = _shared.get()
    return known is not None and known.keeps_names


def numbered(obj: Any, described: dict[str, Any]) -> dict[str, Any]:
    """A description of a layer or model, with the number that the object has."""
    known = _shared.get()
    if known is None:
        return described
    return {**described, SHARED: known.numbers.setdefault(obj, len(known.numbers) + 1)}


def read_once(config: Mapping[str, Any], read: Callable[[], Any]) -> Any:
    """What `read` makes of a description; the same object for each that has its number."""
    known, number = _shared.get(), config.get(SHARED)
    if known is None or type(number) is not int:
        return read()
    if number not in known.read:
        known.read[number] = read()
    return known.read[number]


def without_lone_numbers(described: Any) -> None:
    """Take away the numbers of layers and models that stand in one place, which are nearly all."""
    found: dict[int, list[dict[str, Any]]] = {}
    left = [described]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            if type(each.get(SHARED)) is int and ("class_name" in each or each.keys() & {"class", "kind", "family"}):
                found.setdefault(each[SHARED], []).append(each)
            each = each.values()
        left += [part for part in each if isinstance(part, (dict, list, tuple))]
    for places in found.values():
        if len(places) == 1:
            del places[0][SHARED]


def is_of_keras(config: object) -> bool:
    """Whether a dict is in Keras's form."""
    return isinstance(config, Mapping) and isinstance(config.get("class_name"), str) and "config" in config


def serialize_keras_object(obj: Any) -> Any:
    """An object as JSON: numbers, texts, lists, dicts, arrays, units, models, and functions by their names.

    A class of the user's own has ``get_config``. ValueError for a lambda, which has no name; TypeError for what cannot
    be described.
    """
    try:
        return _serialized(obj)
    except RecursionError:
        raise ValueError(f"lists and dicts are too deep, or hold themselves: {shown(obj)}") from None


def _serialized(obj: Any) -> Any:
    if isinstance(obj, PLAIN):
        return obj
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, list):
        return [_serialized(each) for each in obj]
    if isinstance(obj, dict):
        return {key: _serialized(value) for key, value in obj.items()}
    for kind, (name, parts) in SPECIAL.items():
        if isinstance(obj, kind):
            return {"class_name": name, "config": parts(obj)}
    if isinstance(obj, type):
        return {
            "module": obj.__module__,
            "class_name": obj.__name__,
            "config": None,
            "registered_name": object_registration.get_registered_name(obj),
        }
    if hasattr(type(obj), "table_family") or hasattr(obj, "get_config"):  # a function of fastnn's has a family too
        return _unit(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        return _function(obj)
    raise TypeError(
        f"{obj!r:.200} cannot be described as JSON; give its class get_config(self), which gives its arguments, and "
        "from_config(cls, config)"
    )


def _slice(value: slice) -> list[Any]:
    return [_serialized(each) for each in (value.start, value.stop, value.step)]


def _type_of(value: np.ndarray) -> str:
    return value.dtype.str if value.dtype.kind in "SUV" else value.dtype.name  # of texts the name is not read back


SPECIAL: dict[type, tuple[str, Any]] = {
    tuple: ("__tuple__", lambda value: [_serialized(each) for each in value]),
    bytes: ("__bytes__", lambda value: {"value": value.decode("latin-1")}),
    slice: ("__slice__", _slice),
    type(...): ("__ellipsis__", lambda _: {}),
    np.ndarray: ("__numpy__", lambda value: {"value": value.tolist(), "dtype": _type_of(value)}),
}


def _function(obj: Any) -> dict[str, Any]:
    if obj.__name__ == "<lambda>":
        raise ValueError(
            "a lambda has no name that could be written down, and its code is not: reading it would be arbitrary code "
            "execution; write a function with def, and register it with @register_keras_serializable()"
        )
    family = getattr(getattr(obj, "loss", None), "table_family", None)  # the function form of a loss
    module = "fastnn.losses" if family == "loss" else "builtins"
    name = object_registration.get_registered_name(obj)
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _unit(obj: Any) -> dict[str, Any]:
    """A unit or a model of fastnn, or an object of the user's own with ``get_config``."""
    cls = type(obj)
    function = getattr(obj, "function", getattr(obj, "fn", None))
    if _is_tabled(cls) and callable(function) and cls.table_family != "layer":  # a unit made of a function
        return _function(function)
    if _is_tabled(cls) and not hasattr(obj, "get_config"):
        config = {key: value for key, value in TABLES[cls.table_family].config(obj).items() if key != "class"}
    else:
        config = _serialized(obj.get_config())
    own = not _is_of_fastnn(cls)
    described = {
        "module": cls.__module__ if own else f"fastnn.{_place_of(cls.table_family)}",
        "class_name": "Functional" if not own and cls.__name__ == "Model" else cls.__name__,  # as Keras calls it
        "config": config,
        "registered_name": object_registration.get_registered_name(cls) if own else None,
    }
    return numbered(obj, described) if getattr(cls, "table_family", None) in ("layer", "model") else described


def _is_of_fastnn(given: Any) -> bool:
    return str(given.__module__).partition(".")[0] == __name__.partition(".")[0]


def _is_tabled(cls: Any) -> bool:
    """Whether a class is a unit whose fields say what it is made of; with its own ``get_config`` that does."""
    method = getattr(cls, "get_config", None)
    entered = hasattr(cls, "table_name") or not _is_of_fastnn(cls)
    return (
        entered
        and getattr(cls, "table_family", None) in TABLES
        and (method is None or _is_of_fastnn(method) or _is_of_fastnn(cls))
    )


def _place_of(family: str) -> str:
    place = next(place for place, each in PLACES.items() if each == family)
    return "optimizers.schedules" if place == "schedules" else place


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, **_: Any
) -> Any:
    """What ``serialize_keras_object`` described.

    custom_objects: classes and functions of the user's own by their names; those of a scope and what is registered are
    known without it. safe_mode: True; no code is ever read. TypeError, ValueError where `config` describes nothing
    that is known.
    """
    try:
        return _deserialized(config, custom_objects)
    except RecursionError:
        raise ValueError(f"lists and dicts are too deep, or hold themselves: {shown(config)}") from None


def _deserialized(config: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    if isinstance(config, PLAIN):
        return config
    if isinstance(config, (list, tuple)):
        return [_deserialized(each, custom_objects) for each in config]
    if hasattr(config, "get_config"):  # an object of it already, where a class does this in its own way
        return config
    if not isinstance(config, Mapping):
        raise TypeError(f"expected what serialize_keras_object gives, got {config!r:.200}")
    if "class_name" not in config or "config" not in config:
        return {key: _deserialized(value, custom_objects) for key, value in config.items()}
    name, inner = config["class_name"], config["config"]
    if not isinstance(name, str):
        raise TypeError(f"class_name must be a text, got {name!r:.200}")
    if name == "__lambda__":
        raise ValueError(
            "this describes a lambda by its code: to run it would be arbitrary code execution, which fastnn never "
            "does; use a function with a name"
        )
    if name in READERS:
        return READERS[name](inner, custom_objects)
    if name == "function":
        return _function_from(config, custom_objects)
    return read_once(config, lambda: _unit_from(config, custom_objects))


def _parts(inner: Any, custom: Mapping[str, Any] | None) -> list[Any]:
    if not isinstance(inner, (list, tuple)):
        raise TypeError(f"Expected 'config' to be a list or a tuple, got {inner!r:.200}")
    return [_deserialized(each, custom) for each in inner]


def _seed_generator(inner: Any) -> Any:
    from fastnn.random import SeedGenerator

    if not isinstance(inner, Mapping):
        raise TypeError(f"SeedGenerator: config must be a dict with a seed, got {inner!r:.200}")
    return SeedGenerator(inner.get("seed"))


READERS: dict[str, Any] = {
    "SeedGenerator": lambda inner, _: _seed_generator(inner),
    "__tuple__": lambda inner, custom: tuple(_parts(inner, custom)),
    "__bytes__": lambda inner, _: inner["value"].encode("latin-1"),
    "__slice__": lambda inner, custom: slice(*_parts(inner, custom)),
    "__ellipsis__": lambda *_: ...,
    "__numpy__": lambda inner, _: np.array(inner["value"], dtype=inner["dtype"]),
    "__tensor__": lambda inner, _: np.array(inner["value"], dtype=inner["dtype"]),
}


HOMES = ["activations", "losses", "metrics"]  # of functions that Keras's configurations name


def _function_from(config: Mapping[str, Any], custom: Mapping[str, Any] | None) -> Any:
    name = config["config"]
    if not isinstance(name, str):
        raise TypeError(f"Expected 'config' to be a non-null str, the name of a function, got {name!r:.200}")
    value = object_registration.found(name, custom) or object_registration.registered(name)
    if value is None:
        place = str(config.get("module")).rpartition(".")[2]
        homes = [place] if place in HOMES else HOMES if place == "builtins" and name.isidentifier() else []
        found = () if name.startswith("_") else (getattr(import_module(f"fastnn.{each}"), name, None) for each in homes)
        value = next((each for each in found if each is not None), None)
    if not callable(value):
        raise TypeError(
            f"Could not locate function {name!r}; pass custom_objects={{{name!r}: the function}}, or register it with "
            "@register_keras_serializable()"
        )
    return value


def _unit_from(config: Mapping[str, Any], custom: Mapping[str, Any] | None) -> Any:
    name, inner = config["class_name"], config["config"]
    cls = object_registration.found(config.get("registered_name"), custom) or object_registration.found(name, custom)
    cls = cls or _known(name, str(config.get("module")).rpartition(".")[2]) or object_registration.registered(name)
    if cls is None:
        raise TypeError(
            f"Could not locate class {name!r}; pass custom_objects={{{name!r}: the class}}, or register it with "
            "@register_keras_serializable()"
        )
    if inner is None:
        return cls
    if not isinstance(inner, Mapping):
        raise TypeError(f"Expected 'config' to be a dict of {name}'s arguments, got {inner!r:.200}")
    if getattr(cls, "table_family", None) == "model":
        return cls.from_config(inner, custom)
    if getattr(cls, "table_family", None) == "layer":
        with object_registration.custom_object_scope(custom) if custom else nullcontext():
            return cls.from_config(dict(inner))
    if _is_tabled(cls):
        name = cls.table_name if _is_of_fastnn(cls) else cls.__name__
        arrays = {key for key, each in inner.items() if is_of_keras(each) and each["class_name"] in READERS}
        inner = {key: _deserialized(each, None) if key in arrays else each for key, each in inner.items()}
        return TABLES[cls.table_family].from_config({"class": name, **inner}, {**(custom or {}), name: cls})
    if getattr(cls, "table_family", None) == "optimizer" and _is_of_fastnn(cls):
        return cls.from_config(inner, custom)
    arguments = _deserialized(dict(inner), custom)
    return cls.from_config(arguments) if hasattr(cls, "from_config") else cls(**as_arguments(name, arguments))


def _known(name: str, place: str) -> Any:
    """The class of fastnn that is called so: of the family that the module names, of any where it names none."""
    for family in PLACES.values():
        import_module(f"fastnn.{_place_of(family)}")
    if place == "models" or name in ("Functional", "Model", "Sequential"):
        return getattr(import_module("fastnn.models"), "Model" if name == "Functional" else name, None)
    tables: list[Any] = [TABLES[PLACES[place]]] if place in PLACES else list(TABLES.values())
    same = [cls for table in tables for _, cls in table if cls.__name__ == name]
    same += [table.aliases[name] for table in tables if name in table.aliases]  # such as stand in no list of a table
    if not same:  # LossScaleOptimizer, say, which is no entry
        offered = [(getattr(import_module(f"fastnn.{_place_of(table.family)}"), name, None), table) for table in tables]
        same = [cls for cls, table in offered if isinstance(cls, type) and issubclass(cls, table.base)]
    return same[0] if same else None

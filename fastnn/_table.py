"""One table for each family of units (activations, losses, ...): a unit is declared once and found by its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from importlib import import_module
from typing import Any, Generic, TypeVar

from fastnn import _names
from fastnn._attributes import public_names
from fastnn._checks import check_flag, check_name, shown
from fastnn._families import OTHERS, TABLES
from fastnn.object_registration import found, get_registered_name, registered
from fastnn.serialization import SHARED, deserialize_keras_object, is_of_keras, numbered, read_once

__all__ = ["Table"]

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Table(Generic[T]):
    """The units of one family. Each is a dataclass; ``get`` takes a name, a class or an instance and gives an instance.

    Names are Keras's: snake case ("leaky_relu"), the class's own ("LeakyReLU"), and short forms ("mse").
    """

    def __init__(self, family: str, base: type[T], also: Collection[str] = (), shares: bool = False) -> None:
        """also: what else may be asked for by name, and is found elsewhere. shares: units cannot change, so that one is
        enough for all who name it.
        """
        self.family = family
        self._shared: dict[type[T], T] | None = {} if shares else None
        self.also = also
        base.table_family = family  # type: ignore[attr-defined]
        base.__dir__ = public_names  # type: ignore[method-assign, assignment]
        TABLES[family] = self
        self.base = base
        self.units: dict[str, type[T]] = {}
        self.aliases: dict[str, type[T]] = {}
        self._later: dict[str, str] = {}
        self._late: list[str] = []  # the names that were entered so, which come last whenever they are declared

    def later(self, homes: Mapping[str, str]) -> None:
        """Enter units that are declared when they are first asked for: the module of each, by its names."""
        self._later |= homes
        self._late += homes

    def load(self, name: str | None = None) -> None:
        """Declare the unit of that name, or all that are left."""
        for home in dict.fromkeys(self._later.values() if name is None else [self._later[name]]):
            import_module(home)
        self._later = {} if name is None else {key: home for key, home in self._later.items() if key != name}

    def add(self, name: str, *aliases: str) -> Callable[[C], C]:
        """Class decorator: enter a unit under `name`."""

        def enter(cls: C) -> C:
            cls.table_name = name  # type: ignore[attr-defined]
            self.units[name] = cls
            for alias in (name, cls.__name__, *aliases):
                self.aliases[alias] = cls
            if dataclasses.is_dataclass(cls):
                _check_when_made(cls)
            return cls

        return enter

    def __iter__(self) -> Iterator[tuple[str, type[T]]]:
        self.load()
        names = [name for name in self.units if name not in self._late]
        names += [name for name in self._late if name in self.units]
        return iter([(name, self.units[name]) for name in names])

    def known(self) -> str:
        """The names of all units, for a message."""
        self.load()
        return ", ".join(sorted(self.units))

    def find(self, name: str, custom: Mapping[str, Any] | None = None) -> type[T]:
        """The class called `name`: in `custom`, a scope, the table, or registered. ValueError with the known names.

        TypeError where `custom` has something else under that name.
        """
        own = own_objects(custom)
        if name in own and not self._is_unit(own[name]):
            raise TypeError(f"custom_objects[{name!r}] must be a {self.family} class, got {shown(own[name])}")
        if name in self._later:
            self.load(name)
        cls = found(name, own)
        if not self._is_unit(cls):
            cls = self.aliases.get(name)
        if self._is_unit(cls) or self._is_unit(cls := registered(name)):
            return cls  # type: ignore[no-any-return]
        raise ValueError(f"unknown {self.family} {name!r}{self._hint(name, own)}; known: {self.known()}")

    def _is_unit(self, value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, self.base)

    def _hint(self, name: str, custom: Mapping[str, Any] | None) -> str:
        self.load()
        known = [*sorted(self.aliases, key=str.islower), *self.units, *self.also, *own_objects(custom)]
        families = [table.family for table in TABLES.values() if name in table.aliases]
        return _names.hint(name, known) or (f" (which is of the family {families[0]})" if families else "")

    def get(self, identifier: Any) -> T:
        """An instance, from a name, a class, or an instance."""
        if isinstance(identifier, str):
            cls = self.find(identifier)
            if self._shared is None or not cls.__module__.startswith("fastnn."):
                return cls()
            shared = self._shared.get(cls)
            if shared is None:
                shared = self._shared[cls] = cls()
            return shared
        cls = identifier if isinstance(identifier, type) else type(identifier)
        if issubclass(cls, self.base):
            if vars(cls).get("abstract"):
                raise TypeError(
                    f"{cls.__name__} is what {self.family}s are derived from, and does nothing itself; take one of "
                    f"{', '.join(sorted(self.units))}, or write a subclass"
                )
            unit: T = identifier() if isinstance(identifier, type) else identifier
            return unit
        check_family(identifier, self.family)
        home = self.base.__module__.removesuffix(".base")
        raise TypeError(
            f"{self.family} must be a name or a {home} object, got {shown(identifier)}; known names: {self.known()}"
        )

    def deserialize(self, config: Any, custom: Mapping[str, Any] | None = None) -> Any:
        """What a configuration describes or a name stands for; None stays None."""
        if config is None:
            return None
        if not isinstance(config, (str, Mapping)):
            raise TypeError(f"{self.family}: config must be a name or what serialize gives, got {shown(config)}")
        return self.from_config(config, custom) if isinstance(config, Mapping) else self.find(config, custom)()

    def config(self, unit: Any) -> dict[str, Any]:
        """What ``from_config`` needs to make the same unit again: its name and its fields, all JSON."""
        cls = type(unit)
        name = getattr(cls, "table_name", "")
        if self.units.get(name) is not cls and not hasattr(unit, "function"):  # a class of the user's own
            name = get_registered_name(cls)
            note_own(name, cls)
        own = unit.own_config() if hasattr(unit, "own_config") else None
        return {"class": name, **plain(field_values(unit) if own is None else own)}

    def from_config(self, config: Any, custom: Mapping[str, Any] | None = None) -> T:
        """The unit that `config` described, in this form or Keras's; `custom` has what no table knows.

        ValueError where it describes none.
        """
        if is_of_keras(config):
            if config["class_name"] == "function":
                return deserialize_keras_object(config, custom)  # type: ignore[no-any-return]
            config = _from_keras(config, custom)
        if not isinstance(config, dict) or not isinstance(config.get("class"), str):
            raise ValueError(f"{self.family}: expected an object with a class name, got {shown(config)}")
        odd = [field for field in config if not isinstance(field, str)]
        if odd:
            raise ValueError(f"{self.family}: a field's name is text, got {shown(odd[0])} in {shown(config)}")
        name = config["class"]
        here = name in self.aliases or name in self._later
        if not here and found(name, own_objects(custom)) is None and registered(name) is None:
            raise ValueError(
                f"unknown {self.family} {name!r:.80}{self._hint(name, custom)}; for one of your own pass "
                f"custom_objects={{{name!r:.80}: the class}}; known: {self.known()}"
            )
        cls = self.find(name, custom)
        given = {
            field: unplain(value, custom) for field, value in config.items() if field not in ("class", "family", SHARED)
        }
        if not dataclasses.is_dataclass(cls) or "__dataclass_fields__" not in vars(cls):
            made = getattr(cls, "from_description", None)
            if made is not None:
                return made(given)  # type: ignore[no-any-return]
        if getattr(cls, "makes_itself", bool)():
            try:
                return cls.from_config(given)  # type: ignore[attr-defined,no-any-return]
            except TypeError as error:
                raise ValueError(f"{self.family} {name!r}: {error}") from error
        fields = [field for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
        known = {field.name for field in fields}
        unknown = [f"{field}{_names.hint(field, known)}" for field in sorted(given.keys() - known)]
        if unknown:
            raise ValueError(f"{self.family} {name!r} has no field {', '.join(unknown)}")
        none = dataclasses.MISSING
        needed = {field.name for field in fields if field.default is none and field.default_factory is none}
        if needed - given.keys():
            raise ValueError(f"{self.family} {name!r} needs the fields {', '.join(sorted(needed - given.keys()))}")
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"{self.family} {name!r}: {error}") from error


def _from_keras(config: Mapping[str, Any], custom: Mapping[str, Any] | None) -> dict[str, Any]:
    """A configuration in Keras's form as one of fastnn's."""
    registered_name, inner = config.get("registered_name"), config["config"]
    known = registered_name if found(registered_name, own_objects(custom)) is not None else config["class_name"]
    if not isinstance(inner, (Mapping, type(None))) or "class" in (inner or {}):
        raise ValueError(f"config of {config['class_name']!r:.80} must be a dict of its arguments, got {shown(inner)}")
    return {"class": known, **{key: _listed(value) for key, value in (inner or {}).items()}}


def _listed(value: Any) -> Any:
    """An array that Keras wrote down as a list of its numbers."""
    if is_of_keras(value) and value["class_name"] in ("__numpy__", "__tensor__") and isinstance(value["config"], dict):
        return value["config"].get("value")
    return value


def _is_beyond_tables(class_name: str) -> bool:
    """Whether a name is of a model or an array: of these a file says its own way how large they are."""
    return class_name.startswith("__") or class_name in ("Functional", "Model", "Sequential")


def check_family(given: Any, *families: str) -> None:
    """TypeError where `given` is a unit, a class or a function form of another family: many can be called alike."""
    came = getattr(given, "table_family", families[0])
    if came not in families:
        raise TypeError(f"{families[0]} must be a name, a {families[0]} or a function, got a {came}: {shown(given)}")


_NO_UNITS = {type(None), bool, int, float, str}


def _check_when_made(cls: Any) -> None:
    """Have the fields of each new unit looked at: whatever is no number, which its class itself checks.

    Flags and names are what their annotations say, and a unit stands only in a field that is for its family: as
    units can be called and are true, they would pass for a function, a flag or a name, and fail later or never.
    """
    fields = dataclasses.fields(cls)
    flags = [field.name for field in fields if field.type == "bool"]
    # A class of the user's own may have units in any field.
    own = {field.name for field in fields} if cls.__module__.startswith("fastnn.") else ()
    made = cls.__init__

    @wraps(made)
    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        values = vars(self)
        for name in flags:
            if type(values.get(name)) is not bool:
                check_flag(self, name)
        check_name(self, values.get("name"))
        for name, value in values.items():
            if type(value) in _NO_UNITS or name not in own:
                continue
            for each in value if isinstance(value, tuple) else (value,):
                family = getattr(each, "table_family", None)
                if family is not None and family not in _families_in(name):
                    raise TypeError(f"{type(self).__name__}: {name} cannot be a {family}, got {shown(each)}")

    cls.__init__ = __init__


@cache
def _families_in(field: str) -> Collection[str]:
    """The families of the units that a field of this name is for: kernel_initializer, activation, learning_rate, ..."""
    last = field.rpartition("_")[2]
    return {"rate": ("schedule",), "layer": ("layer", "model"), "cell": ("layer",)}.get(last, (last,))


def overrides(unit: Any, than: str, *names: str) -> bool:
    """Whether a unit's class, or a base of it, has a method of one of these names of its own below its `than`.

    What a unit is compiled to stands in its `kernel`; a method that a subclass has put before it is meant instead.
    """
    for cls in type(unit).__mro__:
        if than in vars(cls):
            return False
        if any(name in vars(cls) for name in names):
            return True
    return True


def refuse_other(table: Table[Any], identifier: Any) -> bool:
    """Whether it is a function of the user's own; TypeError for a unit of another family, which can be called too."""
    if isinstance(identifier, (str, dict, table.base)) or not callable(identifier):
        return False
    check_family(identifier, table.family)
    return not isinstance(identifier, type)


def plain(value: Any) -> Any:
    """A field's value as JSON: a unit by its family, name and fields, a function of the user's own by its name."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        held = value.tolist()
        return float(held) if hasattr(held, "tolist") else held  # a longdouble stays one
    function = getattr(value, "function", getattr(value, "fn", None))
    if callable(function):  # a unit made of a function
        return _named(getattr(value, "name", None) or function.__name__, function)
    family = getattr(value, "table_family", None)
    if family is not None:
        value = value() if isinstance(value, type) else value
        described = {"family": family, **(OTHERS | TABLES)[family].config(value)}
        return numbered(value, described) if family in ("layer", "model") else described
    return _named(getattr(value, "__name__", type(value).__name__), value) if callable(value) else value


_own: ContextVar[dict[str, Any] | None] = ContextVar("own", default=None)


@contextmanager
def gathering() -> Iterator[dict[str, Any]]:
    """Within it, what is described notes the user's own classes and functions, by the names that it has for them."""
    found: dict[str, Any] = {}
    before = _own.set(found)
    try:
        yield found
    finally:
        _own.reset(before)


def note_own(name: str, value: Any) -> str:
    """Note a class or function of the user's own for `gathering`; gives the name."""
    found = _own.get()
    if found is not None and found.setdefault(name, value) is not value:
        raise ValueError(f"two classes or functions of your own are called {name!r}; give one of them another name")
    return name


def _named(name: str, function: Any) -> dict[str, str]:
    note_own(name, function)
    return {"function": name}


def unplain(value: Any, custom: Mapping[str, Any] | None, families: Collection[str] = ()) -> Any:
    """What `plain` wrote, as it was. families: those whose units it may hold; all where none is named."""
    if isinstance(value, list):
        return [unplain(item, custom, families) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"function"}:
        name = value["function"]
        function = (found(name, own_objects(custom)) or registered(name)) if isinstance(name, str) else None
        if not callable(function):
            raise ValueError(
                f"it uses the Python function {name!r:.80}, which a file cannot hold; "
                f"pass custom_objects={{{name!r:.80}: the function}} to load_model"
            )
        return function
    if is_of_keras(value) and not _is_beyond_tables(value["class_name"]):
        return deserialize_keras_object(value, custom)
    if isinstance(value.get("family"), str) and value["family"] in (families or OTHERS | TABLES):
        return read_once(value, lambda: (OTHERS | TABLES)[value["family"]].from_config(value, custom))
    return {key: unplain(item, custom, families) for key, item in value.items()}


def field_values(unit: Any) -> dict[str, Any]:
    """A dataclass's fields by name, in order, without those whose metadata says that they are not saved.

    TypeError for what is none.
    """
    if not dataclasses.is_dataclass(unit):
        kind = type(unit).__name__
        raise TypeError(f"a file cannot hold a {kind}: it has no fields to save; make {kind} a dataclass")
    return {f.name: getattr(unit, f.name) for f in dataclasses.fields(unit) if f.metadata.get("saved", True)}


def own_objects(custom: Any) -> Mapping[str, Any]:
    """custom_objects, what they mean by their names; TypeError where they are neither a dict nor None."""
    if custom is None:
        return {}
    if not isinstance(custom, Mapping):
        raise TypeError(f"custom_objects must be a dict of names and what they mean, got {shown(custom)}")
    return custom

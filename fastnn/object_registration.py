"""Classes and functions of the user's own, by name: those that are registered, and those of a scope."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
]

T = TypeVar("T")

OBJECTS: dict[str, Any] = {}  # by "package>name"; what the user puts in by hand may have any name
NAMES: dict[Any, str] = {}
_scope: ContextVar[Mapping[str, Any] | None] = ContextVar("custom_object_scope", default=None)


class CustomObjectScope:
    """Within it, ``with custom_object_scope({"MyLayer": MyLayer}):``, its names are known to ``get`` and to loading.

    custom_objects: name -> class or function. It holds for this thread; a scope within another takes its place.
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        if custom_objects is not None and not isinstance(custom_objects, Mapping):
            raise TypeError(f"custom_objects must be a dict of name -> class or function, got {custom_objects!r:.200}")
        self.custom_objects = dict(custom_objects or {})
        self._before: list[Any] = []  # a scope may be entered within itself

    def __enter__(self) -> CustomObjectScope:
        self._before.append(_scope.set(self.custom_objects))
        return self

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._before.pop())


custom_object_scope = CustomObjectScope


def get_custom_objects() -> dict[str, Any]:
    """What is registered, by name: the dict itself, to which more may be added. Objects of a scope are not in it."""
    return OBJECTS


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator: a class or function of one's own is found by ``load_model`` and ``get`` without ``custom_objects``.

    It is known as "package>name"; name: by default its own. ValueError for a class without ``get_config``.
    """
    if not isinstance(package, str):
        raise TypeError(
            f"package must be a text, got {package!r:.200}; write @register_keras_serializable() with its brackets"
        )

    def register(given: T) -> T:
        if isinstance(given, type) and not hasattr(given, "get_config") and not hasattr(given, "table_family"):
            raise ValueError(
                f"Cannot register a class that does not have a get_config() method: {given.__name__} needs one, which "
                "gives its arguments as a dict"
            )
        registered = f"{package}>{name or given.__name__}"  # type: ignore[attr-defined]
        OBJECTS[registered] = given
        NAMES[given] = registered
        return given

    return register


def get_registered_name(obj: Any) -> str:
    """The name "package>name" of a registered class or function, its own name for another."""
    try:
        return NAMES[obj]
    except (KeyError, TypeError):
        return str(obj.__name__)


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of that name: of the scope, of those registered, of custom_objects, of module_objects.

    None where there is none.
    """
    for known in (_scope.get(), OBJECTS, custom_objects, module_objects):
        if known and name in known:
            return known[name]
    return None


def found(name: object, custom: Mapping[str, Any] | None = None) -> Any:
    """The class or function that a name in a file or in ``get`` stands for, None where it is nobody's own.

    custom: looked at first, then the scope, then what is registered. There "package>name" also goes by its name alone.
    """
    if not isinstance(name, str):
        return None
    for known in (custom, _scope.get(), OBJECTS):
        if known:
            for key in (name, name.rpartition(">")[2]):
                if key in known:
                    return known[key]
    return None


def registered(name: object) -> Any:
    """The one class or function that is registered under this name in some package; None where there is no one."""
    same = [value for key, value in OBJECTS.items() if key.rpartition(">")[2] == name]
    return same[0] if len(same) == 1 else None


def own_function(identifier: Any, table: Container[str], custom: Mapping[str, Any] | None = None) -> Any:
    """The user's own function that a name given to ``get`` stands for, or what `custom` has; else what came.

    table: the names that fastnn itself has; one that is only registered does not hide them.
    """
    value = found(identifier, custom)
    if value is None and isinstance(identifier, str) and identifier not in table:
        value = registered(identifier)
    if value is None or (isinstance(value, type) and not (custom and identifier in custom)):
        return identifier  # a class is found by the table, which knows its own
    return value

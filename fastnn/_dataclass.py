"""Dataclasses that cost the import nothing: the methods of the standard ones, without compiling them for each class.

``dataclasses.dataclass`` writes the source of each class's methods and compiles it, half a millisecond a class. Here
it only finds the fields, and the methods are the same few functions for all. What is made is a dataclass:
``dataclasses.fields`` and ``replace`` work on it, and a standard dataclass may derive from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    import inspect

C = TypeVar("C", bound=type)


@dataclass_transform(field_specifiers=(dataclasses.field,))
def dataclass(cls: Any = None, /, *, frozen: bool = False, eq: bool = True, repr: bool = True) -> Any:
    """As ``dataclasses.dataclass``."""
    return _made(cls, frozen, eq, repr) if cls is not None else lambda cls: _made(cls, frozen, eq, repr)


def _made(cls: C, frozen: bool, eq: bool, repr: bool) -> C:
    # It would ask for a frozen class behind a frozen one, and compile what makes it so.
    hard = [vars(base)["__dataclass_params__"] for base in cls.__mro__[1:] if "__dataclass_params__" in vars(base)]
    hard = [parameters for parameters in hard if parameters.frozen]
    for parameters in hard:
        parameters.frozen = False
    dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
    for parameters in hard:
        parameters.frozen = True
    methods: dict[str, Any] = {"__init__": _initializer(cls), "__signature__": _SIGNATURE}
    if repr:
        methods["__repr__"] = _repr
    if eq:
        methods["__eq__"] = _equal
        methods["__hash__"] = _hash if frozen else None
    if frozen:
        cls.__dataclass_params__.frozen = True  # type: ignore[attr-defined]
        if getattr(cls, "__setattr__") is object.__setattr__:  # noqa: B009
            methods["__setattr__"], methods["__delattr__"] = _refuse_to_set, _refuse_to_delete
    for name, method in methods.items():
        if name not in vars(cls) or name == "__hash__":
            setattr(cls, name, method)
    return cls


def _initializer(cls: type) -> Callable[..., None]:
    fields = dataclasses.fields(cls)
    by_place = [field.name for field in fields if not field.kw_only]
    names = {field.name for field in fields}

    def __init__(self: Any, *args: Any, **given: Any) -> None:
        if len(args) > len(by_place):
            takes = f"{len(by_place)} positional argument{'s' if len(by_place) != 1 else ''}"
            raise TypeError(f"{cls.__name__} takes at most {takes}, got {len(args)}")
        values = dict(zip(by_place, args, strict=False))
        for name, value in given.items():
            if name not in names:
                raise TypeError(f"{cls.__name__} got an unexpected keyword argument {name!r}")
            if name in values:
                raise TypeError(f"{cls.__name__} got multiple values for argument {name!r}")
            values[name] = value
        for field in fields:
            if field.name not in values:
                if field.default is dataclasses.MISSING:
                    raise TypeError(f"{cls.__name__} is missing the argument {field.name!r}")
                values[field.name] = field.default
            object.__setattr__(self, field.name, values[field.name])
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    return __init__


def _repr(self: Any) -> str:
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({shown})"


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.compare)


def _equal(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse_to_set(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


class _Signature:
    """What ``inspect.signature`` and ``help`` show of a class, worked out when they ask."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        import inspect

        if instance is not None:
            raise AttributeError("__signature__")
        if not owner.__init__.__qualname__.startswith("_initializer"):  # type: ignore[misc]
            _, *rest = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
            return inspect.Signature(rest, return_annotation=None)
        kinds = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        fields = sorted(dataclasses.fields(owner), key=lambda field: bool(field.kw_only))
        return inspect.Signature(
            [
                inspect.Parameter(
                    field.name,
                    kinds[not field.kw_only],
                    default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
                    annotation=field.type,
                )
                for field in fields
            ],
            return_annotation=None,
        )


_SIGNATURE = _Signature()

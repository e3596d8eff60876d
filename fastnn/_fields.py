"""What all dataclasses of fastnn make of their fields: their text, and whether two are the same."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def called_with(unit: Any) -> str:
    """A dataclass as its call with all fields that are to be shown, as dataclasses write it."""
    names = (field.name for field in fields(unit) if field.repr)
    return f"{type(unit).__qualname__}({', '.join(f'{name}={getattr(unit, name)!r}' for name in names)})"


def compared(unit: Any) -> tuple[Any, ...]:
    """The fields of a dataclass by which it is the same as another."""
    return tuple(getattr(unit, field.name) for field in fields(unit) if field.compare)


class Fields:
    """What the fields of a dataclass make of it, said once: compiling it for each class would cost the import."""

    __repr__ = called_with

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and compared(self) == compared(other)

    def __hash__(self) -> int:
        return hash(compared(self))

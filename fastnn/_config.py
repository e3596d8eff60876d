"""What a unit is made of, in the keys that Keras has for it, and the unit made of that again."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, TypeVar

from fastnn._checks import as_arguments
from fastnn._table import field_values, plain
from fastnn.serialization import serialize_keras_object

C = TypeVar("C", bound="Configured")


class Configured:
    """``get_config`` and ``from_config`` of units. A class of the user's own that has more arguments adds them to what
    ``super().get_config()`` gives.
    """

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same unit again, by name, as JSON."""
        return {name: plain(value) for name, value in field_values(self).items()}

    @classmethod
    def from_config(cls: type[C], config: Mapping[str, Any]) -> C:
        """The unit whose arguments ``get_config`` gave. TypeError, ValueError where they do not fit."""
        return cls(**as_arguments(cls.__name__, config))

    def own_config(self) -> dict[str, Any] | None:
        """What a file holds of a unit of the user's own whose ``get_config`` says it; None where its fields do."""
        return self.get_config() if _is_own(type(self), "get_config") else None

    @classmethod
    def makes_itself(cls) -> bool:
        """Whether a class of the user's own is made by its ``from_config``."""
        return _is_own(cls, "get_config") or _is_own(cls, "from_config")


def _is_own(cls: type, method: str) -> bool:
    """Whether a class has a method that is not fastnn's."""
    return not str(getattr(cls, method).__module__).startswith(f"{__name__.partition('.')[0]}.")


def takes(cls: type, argument: str) -> bool:
    """Whether a class can be made with an argument of this name."""
    parameters = signature(cls).parameters
    return argument in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def serialize(unit: Any) -> Any:
    """A unit as Keras writes it down, {"module", "class_name", "config", "registered_name"}; a function by its name."""
    return serialize_keras_object(unit)

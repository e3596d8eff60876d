"""One table for each family of units (activations, losses, ...): a unit is declared once and found by its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Table(Generic[T]):
    """The units of one family. Each is a dataclass; ``get`` takes a name, a class or an instance and gives an instance.

    Names are Keras's: snake case ("leaky_relu"), the class's own ("LeakyReLU"), and short forms ("mse").
    """

    def __init__(self, family: str, base: type[T]) -> None:
        self.family = family
        self.base = base
        self.units: dict[str, type[T]] = {}
        self.aliases: dict[str, type[T]] = {}

    def add(self, name: str, *aliases: str) -> Callable[[C], C]:
        """Class decorator: enter a unit under `name`."""

        def enter(cls: C) -> C:
            cls.table_name = name  # type: ignore[attr-defined]
            self.units[name] = cls
            for alias in (name, cls.__name__, *aliases):
                self.aliases[alias] = cls
            return cls

        return enter

    def __iter__(self) -> Iterator[tuple[str, type[T]]]:
        return iter(self.units.items())

    def find(self, name: str) -> type[T]:
        """The class called `name`; ValueError with the names that exist where there is none."""
        try:
            return self.aliases[name]
        except KeyError:
            known = ", ".join(sorted(self.units))
            raise ValueError(f"unknown {self.family} {name!r}; known: {known}") from None

    def get(self, identifier: Any) -> T:
        """An instance, from a name, a class, or an instance."""
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, str):
            return self.find(identifier)()
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        raise TypeError(
            f"{self.family} must be a name or a {self.base.__module__} object, got {identifier!r}; "
            f"known names: {', '.join(sorted(self.units))}"
        )

    def config(self, unit: Any) -> dict[str, Any]:
        """What ``from_config`` needs to make the same unit again: its name and its fields, all JSON."""
        return {"class": unit.table_name, **field_values(unit)}

    def from_config(self, config: Any) -> T:
        """The unit that ``config`` described. ValueError where it describes none."""
        if not isinstance(config, dict) or not isinstance(config.get("class"), str):
            raise ValueError(f"{self.family}: expected an object with a class name, got {config!r}")
        cls = self.find(config["class"])
        given = {name: value for name, value in config.items() if name != "class"}
        unknown = given.keys() - {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if unknown:
            raise ValueError(f"{self.family} {config['class']!r} has no field {', '.join(sorted(unknown))}")
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"{self.family} {config['class']!r}: {error}") from error


def field_values(unit: Any) -> dict[str, Any]:
    """A dataclass's fields by name, in order."""
    return {field.name: getattr(unit, field.name) for field in dataclasses.fields(unit)}


def check_number(
    owner: object,
    name: str,
    low: float,
    high: float = float("inf"),
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raise unless ``owner.name`` is a number from `low` to `high` (either end left out where it is open)."""
    value = getattr(owner, name)
    kind = type(owner).__name__
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{kind}: {name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{kind}: {name} must be a number, got {value!r}") from None
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (above and below) or number == float("inf"):
        ends = f"{'above' if open_low else 'at least'} {low:g}"
        if high != float("inf"):
            ends += f" and {'below' if open_high else 'at most'} {high:g}"
        raise ValueError(f"{kind}: {name} must be {ends}, got {value!r}")


def check_count(name: str, value: object, least: int = 1) -> int:
    """`value` as a whole number of at least `least`; TypeError or ValueError, naming it, where it is none."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    number = int(value.__index__())
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number

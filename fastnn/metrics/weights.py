"""What a metric gathers, as variables: those that it adds itself, and those of the metrics that are its attributes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from fastnn import initializers
from fastnn._checks import as_list, check_name, shown
from fastnn._numbers import as_numbers
from fastnn.typing import Array, ArrayLike
from fastnn.variables import Variable

M = TypeVar("M", bound="Gathering")


class Part(Variable):
    """A variable that a metric works out of what its kernel gathered; a value that it is given goes back there."""

    def __init__(self, name: str, read: Callable[[], Array], write: Callable[[Array], None]) -> None:
        self._name, self._trainable, self._read, self._give = name, False, read, write

    def _view(self) -> Array:
        return np.array(self._read())

    def _write(self, held: Any, values: Array) -> None:
        self._give(values.astype(float))

    def assign(self, value: ArrayLike) -> Array:
        """Take other values; of a metric that has seen no batch yet they may have any shape that goes with it."""
        given = np.array(as_numbers(value, f"a value of {self.name!r}"), float)
        self._give(given)
        return given


def held(name: str) -> Any:
    """An attribute for the part of that name."""
    return property(lambda self: self.part(name))


class Gathering:
    """The variables of a metric. One in Python makes them with ``add_weight``; one with a kernel has `parts`."""

    _added: Sequence[Variable] = ()

    def add_variable(
        self,
        shape: Any = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """An array that batches are added to: ``self.total = self.add_variable((), "zeros", name="total")``.

        initializer: as a layer's. dtype: float32, or another of NumPy's. aggregation: taken, and not used. Its
        ``assign``, ``assign_add`` change it; ``reset_state`` makes 0 of all.
        """
        check_name(self, name)
        made = initializers.get("zeros" if initializer is None else initializer)
        variable = Variable(made, shape, "float32" if dtype is None else dtype, trainable=False, name=name)
        self._added = (*self._added, variable)
        return variable

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        name: str | None = None,
        aggregation: str | None = "sum",
    ) -> Variable:
        """``add_variable``, as it was called before; the name may come first: ``add_weight("total")``."""
        if isinstance(shape, str) and name is None:
            shape, name = (), shape
        return self.add_variable(shape, initializer, dtype, aggregation, name)

    def parts(self) -> dict[str, Array]:
        """What a kernel has gathered, by the names that Keras has for it."""
        return {}

    def take_parts(self, parts: dict[str, Array]) -> None:
        """Go on from what `parts` gave, of this metric or of another."""
        raise TypeError(f"{type(self).__name__} has no take_parts")

    def part(self, name: str) -> Variable:
        """The variable of that name among `parts`."""
        return Part(name, lambda: self.parts()[name], lambda value: self.take_parts({**self.parts(), name: value}))

    @property
    def variables(self) -> list[Any]:
        """What is gathered from batch to batch, in the order in which it was made; of metrics within it too."""
        found = [self.part(name) for name in self.parts()]
        own, within = list(self._added), []
        for value in _all_in(value for name, value in vars(self).items() if name != "_added"):
            if isinstance(value, Gathering):
                within += value.variables
            elif not any(value is each for each in own):
                own.append(value)
        return [*found, *own, *within]

    weights = variables

    def reset_state(self) -> None:
        """Forget all that was added: all variables become 0."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def merge_state(self, metrics: Iterable[Any]) -> None:
        """Add what other metrics of this kind have gathered, as if this one had seen their batches too."""
        for other in as_list("metrics", metrics, "metrics"):
            if type(other) is not type(self):
                raise TypeError(f"merge_state takes metrics of the class {type(self).__name__}, got {shown(other)}")
            theirs = other.variables
            for mine, value in zip(self.variables, theirs, strict=True):
                mine.assign(np.add(mine, value) if np.any(mine) else value)

    def _with(self: M, values: Any) -> M:
        """A copy that has gathered other values."""
        given, twin = as_list("metric_variables", values, "arrays"), copy.deepcopy(self)
        own = twin.variables
        if len(given) != len(own):
            raise ValueError(
                f"metric_variables must have a value for each of the {len(own)} variables of {type(self).__name__}, "
                f"got {len(given)}"
            )
        parts = list(twin.parts())
        if parts:
            twin.take_parts({name: np.asarray(value, float) for name, value in zip(parts, given, strict=False)})
        for variable, value in zip(own[len(parts) :], given[len(parts) :], strict=True):
            variable.assign(value)
        return twin

    def stateless_update_state(self, metric_variables: Any, *batch: Any, **named: Any) -> list[Array]:
        """The variables after a batch, beginning with these; the metric itself stays as it is."""
        twin: Any = self._with(metric_variables)
        twin.update_state(*batch, **named)
        return [variable.numpy() for variable in twin.variables]

    def stateless_result(self, metric_variables: Any) -> Any:
        """The value that goes with these variables; the metric itself stays as it is."""
        twin: Any = self._with(metric_variables)
        return twin.result()

    def stateless_reset_state(self) -> list[Array]:
        """The variables as they are at first; the metric itself stays as it is."""
        twin = copy.deepcopy(self)
        twin.reset_state()
        return [variable.numpy() for variable in twin.variables]


def _all_in(values: Iterable[Any]) -> Iterator[Any]:
    """The variables and metrics among some values, and in lists and dicts of them."""
    for value in values:
        if isinstance(value, Gathering) or (hasattr(value, "assign") and hasattr(value, "numpy")):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _all_in(value)
        elif isinstance(value, dict):
            yield from _all_in(value.values())

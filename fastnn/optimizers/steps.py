"""An optimizer's steps on gradients that are given: the very steps of a fit, by the same compiled code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown
from fastnn._numbers import as_numbers
from fastnn.engine.network import aligned
from fastnn.typing import Array, FloatArray

if TYPE_CHECKING:
    from fastnn.engine.description import Variable


def slot_names(optimizer: Any) -> tuple[str, ...]:
    """The vectors that are kept for an optimizer: its own, the sum of gradients, the weights' average."""
    sums = ("sum_of_gradients",) if (optimizer.gradient_accumulation_steps or 1) > 1 else ()
    return (*optimizer.slots, *sums, *(("average",) if optimizer.use_ema else ()))


def begin(optimizer: Any, network: Any) -> None:
    """Have a network learn by the optimizer from now on, with fresh vectors, its count of steps at 0."""
    network.set_optimizer(
        optimizer.kernel,
        optimizer.numbers(),
        optimizer.slot_starts,
        accumulation=optimizer.gradient_accumulation_steps or 1,
        average=optimizer.use_ema,
    )


def tell_numbers(optimizer: Any, network: Any) -> None:
    """Tell a network the optimizer's numbers as they are now."""
    clip, noise = optimizer.row_clipping
    network.set_numbers(
        optimizer.numbers(),
        row_clip=clip,
        row_noise=noise,
        weight_decay=optimizer.weight_decay,
        clipvalue=optimizer.clipvalue,
        clipnorm=optimizer.clipnorm,
        global_clipnorm=optimizer.global_clipnorm,
        ema_momentum=optimizer.ema_momentum,
        ema_overwrite_frequency=optimizer.ema_overwrite_frequency,
    )


class Steps:
    """Steps on the variables of a network. gradients go to the variables by their places in `variables`."""

    network: Any
    variables: list[Variable]

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self._flat: FloatArray = aligned(0)

    def ready(self) -> Any:
        """The network, with the optimizer as it is now."""
        return self.network

    def locked(self) -> AbstractContextManager[Any]:
        """Who reads or writes what a network has holds this."""
        return nullcontext()

    def view(self, flat: Array, place: int) -> Array:
        """A variable's part of a flat vector, in its shape; no copy."""
        at = self.variables[place]
        return flat[at.start : at.start + at.rows * at.columns].reshape(at.shape)

    def slot(self, name: str) -> Array:
        """One of the flat vectors."""
        found: Array = self.network.slots[slot_names(self.optimizer).index(name)]
        return found

    def step(self, gradients: Sequence[tuple[int, Array]]) -> None:
        """One step on gradients (place of the variable, gradient); all other variables stay as they are.

        FloatingPointError, and no change, where a gradient is not finite.
        """
        with self.locked():
            network = self.ready()
            if self._flat.size != network.parameters.size:
                self._flat = aligned(network.parameters.size)
            given = {place for place, _ in gradients}
            kept = []
            for place in range(len(self.variables)):
                if place not in given:
                    views = [self.view(flat, place) for flat in (network.parameters, *network.slots)]
                    kept += [(view, view.copy()) for view in views]
                    self.view(self._flat, place)[...] = 0
            for place, gradient in gradients:
                self.view(self._flat, place)[...] = gradient
            rates = self.optimizer.rates(network.iterations, 1)
            rate = rates if isinstance(rates, float) else float(rates[0])
            network.step_on_gradients(self._flat, rate)
            for view, before in kept:
                view[...] = before


class FreeSteps(Steps):
    """Steps on variables that answer ``assign``, or float32 arrays, whose values are copied in and out."""

    def __init__(self, optimizer: Any, given: Iterable[Any]) -> None:
        from fastnn.engine.description import Variable
        from fastnn.engine.network import Network
        from fastnn.engine.ops import DenseOp

        super().__init__(optimizer)
        self.given = list(given)
        shapes = [value_of(each).shape for each in self.given]
        sizes = [(int(np.prod(shape[:-1])), shape[-1]) if shape else (1, 1) for shape in shapes]
        ops = [DenseOp(rows, columns, False) for rows, columns in sizes]
        # Each op reads an input of its own: the network is never run, it lends its steps.
        places = range(len(ops) or 1)
        inputs = [rows for rows, _ in sizes] or [1]
        self.network = Network(ops or [DenseOp(1, 1, False)], [(-1 - i,) for i in places], inputs, places)
        self.variables = [
            Variable(op.start, rows, columns, shape=shape, path=path_of(each))
            for op, (rows, columns), shape, each in zip(ops, sizes, shapes, self.given, strict=True)
        ]
        self.network.set_variables(self.optimizer.told(self.variables, self.given))
        begin(optimizer, self.network)

    def ready(self) -> Any:
        tell_numbers(self.optimizer, self.network)
        return self.network

    def place_of(self, variable: Any) -> int | None:
        """The number of one of its variables."""
        return next((place for place, each in enumerate(self.given) if each is variable), None)

    def step(self, gradients: Sequence[tuple[int, Array]]) -> None:
        for place, variable in enumerate(self.given):
            self.view(self.network.parameters, place)[...] = value_of(variable)
        super().step(gradients)
        for place, variable in enumerate(self.given):
            value = self.view(self.network.parameters, place)
            limit = getattr(variable, "constraint", None)
            set_value(variable, value if limit is None else np.asarray(limit(value.copy())))


def value_of(variable: Any) -> Array:
    """What a variable's numbers are. TypeError where it is none."""
    if hasattr(variable, "assign") or isinstance(variable, np.ndarray):
        value = np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable)
        if value.dtype.kind == "f" and value.size:
            return value
    raise TypeError(
        f"an optimizer steps on variables that have assign(value), or on arrays of floats, got {shown(variable)}"
    )


def set_value(variable: Any, value: Array) -> None:
    """Give a variable other numbers."""
    if hasattr(variable, "assign"):
        variable.assign(value)
    else:
        variable[...] = value


def path_of(variable: Any) -> str:
    """What a variable is called, with what it is in; "variable" where it has no name."""
    return str(getattr(variable, "path", getattr(variable, "name", "variable")))


def as_gradient(gradient: Any, shape: Any) -> Array:
    """A gradient as an array. TypeError, ValueError for what is none, or of another shape."""
    array = as_numbers(gradient, "a gradient")
    if array.shape != shape:
        raise ValueError(f"a gradient has the shape {array.shape}, its variable {shape}")
    return array

"""Steps on gradients that are given, on the weights of a compiled model: those of its fit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from fastnn.layers.places import place_of
from fastnn.layers.tensor import called
from fastnn.optimizers.steps import Steps

if TYPE_CHECKING:
    from fastnn.engine.description import Variable


class ModelSteps(Steps):
    """Steps on a model's weights, by the network and with the vectors that its fit has."""

    def __init__(self, trainer: Any) -> None:
        super().__init__(trainer.optimizer)
        self._trainer = trainer
        self._known: tuple[Any, list[Variable]] = None, []

    @property
    def network(self) -> Any:
        return self._trainer.model.description.network

    @property
    def variables(self) -> list[Variable]:  # type: ignore[override]
        """The weights that learn, in the order of the model's ``trainable_variables``."""
        network, found = self._known
        built = self._trainer.model.description
        if network is not built.network:
            places = [place for layer in built.layers() if (place := place_of(layer)) is not None]
            starts = [place.start + parameter.offset for place in places for parameter in place.parameters]
            found = sorted(built.variables(), key=lambda variable: starts.index(variable.start))
            self._known = built.network, found
        return found

    def place_of(self, variable: Any) -> int | None:
        """The number of a weight among `variables`; None where it is none of the model's that learn."""
        place = place_of(variable.layer) if hasattr(variable, "layer") and hasattr(variable, "number") else None
        if place is None or place.store.flat is not self.network.parameters:
            return None
        start = place.start + place.parameters[variable.number].offset
        return next((number for number, each in enumerate(self.variables) if each.start == start), None)

    def ready(self) -> Any:
        network = self._trainer.configured()
        self._trainer.check_step()
        return network

    def locked(self) -> AbstractContextManager[Any]:
        held: AbstractContextManager[Any] = self._trainer.model.description.locked()
        return held


def check_rows(optimizer: Any, network: Any, built: Any) -> None:
    """ValueError where the optimizer clips the gradient of each row, and a layer's output is of other rows too."""
    if not optimizer.row_clipping[0]:
        return
    built.secret = True
    for op, layer in zip(network.ops, built.plan.layers, strict=True):
        problem = None
        if op.held_rows or (op.whole_batch and not op.frozen and op.training >= 0):
            problem = "looks at other rows too"
        elif op.takes_gil:
            problem = "runs Python, which may look at other rows"
        if problem:
            raise ValueError(
                f"{type(optimizer).__name__} clips the gradient of each row, and {called(layer)} {problem}; use layers "
                "that look at a row alone, as LayerNormalization and GroupNormalization do, or set its trainable to "
                "False before compile"
            )

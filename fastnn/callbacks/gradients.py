"""How large gradients are, epoch by epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.callbacks.state import checked_state

__all__ = ["GradientNorms"]


class GradientNorms(TrainerCallback):
    """Notes the L2 norm of the gradient by each layer's weights, of the same rows at the end of every epoch.

    x, y, sample_weight: the rows, as one batch of ``model.gradient``; some hundreds say enough, as the whole costs as
    much as a step on them. norms: a list for each layer that learns, by its name, one number for each of epoch; NaN
    where the loss is not finite. The fit goes on as without it, to the bit. ``fastnn.plot.gradient_norms`` draws them.
    ValueError for rows that do not fit the model, before the first epoch, and for a model with a stateful layer.
    """

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None) -> None:
        self._rows = x, y, sample_weight
        self.epoch: list[int] = []
        self.norms: dict[str, list[float]] = {}

    def checks(self, fit: Any) -> None:
        stateful = [layer for layer in self.model.description.layers() if getattr(layer, "stateful", False)]
        if stateful:
            raise ValueError(
                f"GradientNorms: layer {stateful[0].name!r} is stateful, and the rows would change its states; note "
                "the norms of a model without states"
            )
        self._measured()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch, self.norms = [], {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        found = self._measured()
        self.epoch.append(epoch)
        for name, value in found.items():
            self.norms.setdefault(name, []).append(value)

    def _measured(self) -> dict[str, float]:
        """The norm for each layer. What the rows change, moving averages, comes back."""
        model: Any = self.model
        kept = model.get_weights()
        gradients: Any = None
        try:
            gradients = iter(model.gradient(*self._rows))
        except FloatingPointError:
            pass
        finally:
            model.set_weights(kept)
        found, paths = {}, model.description.paths()
        for layer in model.description.layers():
            if count := len(layer.trainable_variables):
                squares = [
                    math.nan if gradients is None else float(np.square(next(gradients), dtype=np.float64).sum())
                    for _ in range(count)
                ]
                found[paths[layer]] = math.sqrt(sum(squares))
        return found

    def get_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "norms": [[name, values] for name, values in self.norms.items()]}

    def set_state(self, state: dict[str, Any]) -> None:
        state = checked_state(self, state, epoch=[int], norms=[(str, [float])])
        self.epoch, self.norms = list(state["epoch"]), {name: list(values) for name, values in state["norms"]}

"""Evaluations with the moving average of the weights."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_flag
from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.callbacks.state import checked_state

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(TrainerCallback):
    """Evaluates and predicts with the averages that an optimizer with use_ema keeps; then the weights come back.

    swap_on_epoch: the averages are the model's weights from the end of an epoch to the beginning of the next, too, so
    that callbacks behind this one, as ModelCheckpoint, see them. ValueError where the optimizer keeps no averages.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = swap_on_epoch
        check_flag(self, "swap_on_epoch")
        self._kept: Any = None  # the weights while the averages are in their places

    def checks(self, fit: Any) -> None:
        self._check()

    def _check(self) -> None:
        optimizer = self.model.optimizer
        if optimizer is None or not optimizer.rule.use_ema:
            raise ValueError("SwapEMAWeights must be used when `use_ema=True` is set on the optimizer")

    def _take(self) -> None:
        """Put the averages into the places of the weights; before the first step there are none."""
        self._check()
        steps = self.model.description.trainer.steps()
        if self._kept is not None or steps is None:
            return
        with steps.locked() as held:
            network = steps.ready()
            if network.iterations < (self.model.optimizer.rule.gradient_accumulation_steps or 1):
                return
            self._kept = self.model.get_weights()
            places = range(len(steps.variables))
            averages = [steps.view(steps.slot("average"), place) for place in places]
            held.assign([steps.view(network.parameters, place) for place in places], averages)

    def _bring_back(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            self.model.set_weights(kept)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._kept = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._bring_back()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._take()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._kept = None  # the averages have taken the places of the weights for good

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        self._bring_back()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._take()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._bring_back()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._take()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._bring_back()

    def get_state(self) -> dict[str, Any]:
        return {"weights": self._kept}

    def set_state(self, state: dict[str, Any]) -> None:
        self._kept = checked_state(self, state, weights=list)["weights"]

"""The learning rate, as callbacks read and change it."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from fastnn._checks import shown
from fastnn.typing import TrainedModel


def rate_of(model: TrainedModel, owner: str) -> float:
    """The optimizer's learning rate. TypeError where it is a schedule, which callbacks cannot change."""
    rate = model.optimizer.learning_rate
    if not isinstance(rate, Real):
        raise TypeError(
            f"{owner} changes the learning rate, but the optimizer's is a schedule, {shown(rate)}. This optimizer was "
            "created with a `LearningRateSchedule` object as its learning rate, which cannot be set; give it a number"
        )
    return float(rate)


def enter_rate(model: TrainedModel, logs: Any) -> None:
    """Put the learning rate into an epoch's logs, as the callbacks that change it do in Keras."""
    if isinstance(logs, dict):
        logs["learning_rate"] = rate_of(model, "a callback")


def set_rate(model: TrainedModel, rate: Any) -> None:
    """Change the optimizer's learning rate. ValueError for what is no number of at least 0."""
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= float(rate) < math.inf:
        raise ValueError(f"a learning rate must be a finite number of at least 0, got {shown(rate)}")
    model.optimizer.learning_rate = float(rate)

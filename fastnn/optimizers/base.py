"""What all optimizers share: their table, and what happens around the step of any of them."""

from __future__ import annotations

from copy import copy
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from fastnn import _names
from fastnn._attributes import missing
from fastnn._checks import MOST, check_count, check_flag, check_number, shown
from fastnn._table import Table
from fastnn.typing import DoubleArray

__all__ = ["OPTIMIZERS", "Optimizer", "get"]


@dataclass
class Optimizer:
    """A rule for one step, and what is done around it. `slots` names the vectors that it keeps beside the weights.

    learning_rate: a number of at least 0, or a schedule of ``fastnn.optimizers.schedules``. A field may be set at any
    time, and is checked then as when the optimizer is made: TypeError, ValueError, and no change.

    In the order in which they act: gradient_accumulation_steps (2 or more): a step is taken after so many batches,
    with the mean of their gradients. clipvalue: each number of the gradient is brought within +- it; clipnorm: the
    gradient of each parameter, global_clipnorm: all of it, is scaled down to that length; one of the three.
    weight_decay: w -= learning_rate * weight_decay * w before the step. use_ema: a running average of the weights,
    average = ema_momentum * average + (1 - ema_momentum) * w, takes their place when training ends, and every
    ema_overwrite_frequency steps. name: as you like; nothing depends on it.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    kernel: ClassVar[Any]
    # Whether it asks for loss and gradient at points of its own choice, over all rows: then it has no kernel.
    full_batch: ClassVar[bool] = False

    learning_rate: Any = 0.001
    _: KW_ONLY
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    gradient_accumulation_steps: int | None = None
    name: str | None = None

    __getattr__ = missing

    def __init_subclass__(cls) -> None:
        own = [name for name in ("update_step", "apply", "apply_gradients", "build") if name in vars(cls)]
        if own:
            raise TypeError(
                f"{cls.__name__}: an optimizer's step is compiled, so fit would not use {own[0]}; write what you "
                "change as a learning-rate schedule, a constraint or a regularizer of your own, or as a callback"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        known = {field.name for field in fields(self)}
        own = OPTIMIZERS.units.get(getattr(self, "table_name", "")) is type(
            self
        )  # a class of the user's own may keep what it likes
        if own and name not in known and not name.startswith("_") and (hint := _names.hint(name, known)):
            raise AttributeError(
                f"{type(self).__name__} has no field {name!r}{hint}; it has {', '.join(sorted(known))}"
            )
        fixed = getattr(type(self), name, None)
        if own and name not in known and fixed is not None and not isinstance(fixed, property):
            raise AttributeError(
                f"{type(self).__name__}: {name} cannot be set; it has the fields {', '.join(sorted(known))}"
            )
        if name in known and known <= vars(self).keys() and "_trial" not in vars(self):
            trial = copy(self)
            vars(trial).update({"_trial": True, name: value})
            trial.__post_init__()
            value = vars(trial)[name]
        super().__setattr__(name, value)

    def __post_init__(self) -> None:
        if isinstance(self.learning_rate, dict):
            from fastnn.optimizers import schedules

            self.learning_rate = schedules.get(self.learning_rate)
        if not self._scheduled:
            check_number(self, "learning_rate", 0)
        if self.weight_decay is not None:
            check_number(self, "weight_decay", 0)
        self._check_clips()
        check_flag(self, "use_ema")
        check_number(self, "ema_momentum", 0, 1)
        owner = type(self).__name__
        if self.ema_overwrite_frequency is not None:
            check_count(f"{owner}: ema_overwrite_frequency", self.ema_overwrite_frequency, most=MOST)
        if self.gradient_accumulation_steps is not None:
            steps = check_count(f"{owner}: gradient_accumulation_steps", self.gradient_accumulation_steps, most=MOST)
            if steps < 2:
                raise ValueError(f"{owner}: gradient_accumulation_steps must be at least 2, got {steps}; leave it out")

    def _check_clips(self) -> None:
        given = {clip: getattr(self, clip) for clip in ("clipnorm", "clipvalue", "global_clipnorm")}
        given = {clip: value for clip, value in given.items() if value is not None}
        for clip in given:
            check_number(self, clip, 0, open_low=True)
        if len(given) > 1:
            came = ", ".join(f"{clip}={shown(value)}" for clip, value in given.items())
            raise ValueError(
                f"{type(self).__name__}: give at most one of clipnorm, clipvalue, global_clipnorm; got {came}"
            )

    def rates(self, first_step: int, count: int) -> float | DoubleArray:
        """The learning rates of steps first_step .. first_step + count - 1, counted from 0: one number if constant."""
        if self._scheduled:
            rates: DoubleArray = np.asarray(self.learning_rate.between(first_step, first_step + count), float)
            if rates.shape != (count,) or not ((rates >= 0) & (rates < np.inf)).all():
                self._refuse(rates, first_step, count)
            return rates
        return float(self.learning_rate)

    def _refuse(self, rates: DoubleArray, first_step: int, count: int) -> None:
        kind = type(self.learning_rate).__name__
        if rates.shape != (count,):
            raise ValueError(f"{kind} must give a learning rate for each of {count} steps, got shape {rates.shape}")
        place = int(np.argmin((rates >= 0) & (rates < np.inf)))
        raise ValueError(
            f"{kind} gives the learning rate {rates[place]} for step {first_step + place}; "
            "it must be a finite number of at least 0"
        )

    @property
    def _scheduled(self) -> bool:
        rate = self.learning_rate
        return hasattr(rate, "between") and not isinstance(rate, type)  # a LearningRateSchedule has it

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the vectors, each as long as the weights, that it keeps."""
        return ()

    @property
    def slot_starts(self) -> tuple[float, ...]:
        """What each of the slots is filled with before the first step."""
        return (0.0,) * len(self.slots)

    def numbers(self) -> tuple[float, ...]:
        """The optimizer's own numbers, as its kernel reads them."""
        return ()

    def reference(self, w: DoubleArray, g: DoubleArray, slots: list[DoubleArray], t: int) -> DoubleArray:
        """The weights after step number t (from 1) of the bare rule, in float64; the slots are updated in place.

        learning_rate must be a number here.
        """
        raise TypeError(f"{type(self).__name__} has no reference")


OPTIMIZERS: Table[Optimizer] = Table("optimizer", Optimizer)


def get(identifier: Any) -> Optimizer:
    """An optimizer from its name (in any case), class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return OPTIMIZERS.from_config(identifier)
    if isinstance(identifier, str) and identifier.lower() in OPTIMIZERS.units:
        identifier = identifier.lower()
    return OPTIMIZERS.get(identifier)

"""What all optimizers share: their table, and what happens around the step of any of them."""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np

from fastnn import _names
from fastnn._attributes import missing
from fastnn._checks import MOST, as_arguments, check_count, check_flag, check_number, shown
from fastnn._table import Table, field_values, own_objects, plain, unplain
from fastnn.object_registration import get_registered_name
from fastnn.optimizers.applying import Applying
from fastnn.optimizers.variables import Rate
from fastnn.typing import DoubleArray

__all__ = ["OPTIMIZERS", "Optimizer", "deserialize", "get", "serialize"]

# What Keras's configuration of any optimizer begins with, in its order.
SHARED = (
    "name",
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)
# Optimizers around others, which are no entries of the table: each takes another, and a file has that.
WRAPPERS = {"LossScaleOptimizer": "fastnn.optimizers.loss_scale"}


@dataclass
class Optimizer(Applying):
    """A rule for one step, and what is done around it. `slots` names the vectors that it keeps beside the weights.

    learning_rate: a number of at least 0, a schedule of ``fastnn.optimizers.schedules``, or a function without
    arguments, which is asked for each range of batches. A field may be set at any time, and is checked then as when the
    optimizer is made: TypeError, ValueError, and no change.

    In the order in which they act: gradient_accumulation_steps (2 or more): a step is taken after so many batches,
    with the mean of their gradients. clipvalue: each number of the gradient is brought within +- it; clipnorm: the
    gradient of each parameter, global_clipnorm: all of it, is scaled down to that length; one of the three.
    weight_decay: w -= learning_rate * weight_decay * w before the step. use_ema: a running average of the weights,
    average = ema_momentum * average + (1 - ema_momentum) * w, takes their place when training ends, and every
    ema_overwrite_frequency steps. loss_scale_factor: gradients given to ``apply`` are divided by it; a fit in float32
    has no use for it. name: as you like; nothing depends on it.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    kernel: ClassVar[Any]
    # Whether it asks for loss and gradient at points of its own choice, over all rows: then it has no kernel.
    full_batch: ClassVar[bool] = False
    # What each row's gradient is clipped to, 0 for nothing, and the noise of their sum.
    row_clipping: ClassVar[Any] = (0.0, 0.0)
    # How many of the first slots stand side by side in `variables`, variable after variable; all others by slot.
    slots_together: ClassVar[int] = 2

    learning_rate: Any = 0.001
    _: KW_ONLY
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    loss_scale_factor: float | None = None
    gradient_accumulation_steps: int | None = None
    name: str | None = field(default=None, compare=False)

    __getattr__ = missing

    def __init_subclass__(cls) -> None:
        own = [name for name in ("update_step", "apply", "apply_gradients", "build") if name in vars(cls)]
        if own and "rule" not in vars(cls):
            raise TypeError(
                f"{cls.__name__}: an optimizer's step is compiled, so fit would not use {own[0]}; write what you "
                "change as a learning-rate schedule, a constraint or a regularizer of your own, or as a callback"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        known = _names_of(type(self))  # type: ignore[arg-type]
        if name in known and not known <= vars(self).keys():  # while it is made
            super().__setattr__(name, value)
            return
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
        if name in known and "_trial" not in vars(self):
            trial = object.__new__(type(self))
            vars(trial).update(vars(self) | {"_trial": True, name: value})
            trial.__post_init__()
            value = vars(trial)[name]
            if name == "learning_rate" and isinstance(value, float):
                value = Rate(value, self)  # not the trial's
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled, and what was built for variables, is of this optimizer alone.
        return {name: value for name, value in vars(self).items() if name not in ("_steps", "_trainer", "_trial")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(self.learning_rate, float):
            vars(self)["learning_rate"] = Rate(self.learning_rate, self)

    def __post_init__(self) -> None:
        if isinstance(self.learning_rate, dict):
            from fastnn.optimizers import schedules

            self.learning_rate = schedules.get(self.learning_rate)
        own = vars(self)  # what is set here needs no check
        if self.name is None:
            own["name"] = _snake_case(type(self).__name__)
        if self._called:
            self._check_function()
        elif not self._scheduled:
            check_number(self, "learning_rate", 0)
            own["learning_rate"] = Rate(float(self.learning_rate), self)
        if self.loss_scale_factor is not None:
            check_number(self, "loss_scale_factor", 0, open_low=True)
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

    def _check_function(self) -> None:
        import inspect

        try:
            inspect.signature(self.learning_rate).bind()
        except ValueError:  # compiled code does not say
            return
        except TypeError:
            raise TypeError(
                f"{type(self).__name__}: learning_rate must be a number, a schedule or a function without arguments, "
                f"got {shown(self.learning_rate)}; what depends on the step is a subclass of LearningRateSchedule"
            ) from None

    def _check_clips(self) -> None:
        if self.clipnorm is self.clipvalue is self.global_clipnorm is None:
            return
        given = {clip: getattr(self, clip) for clip in ("clipnorm", "clipvalue", "global_clipnorm")}
        given = {clip: value for clip, value in given.items() if value is not None}
        for clip in given:
            check_number(self, clip, 0, open_low=True)
        if len(given) > 1:
            came = ", ".join(f"{clip}={shown(value)}" for clip, value in given.items())
            owner = type(self).__name__
            raise ValueError(
                f"{owner}: Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set, got {came}"
            )

    def rates(self, first_step: int, count: int) -> float | DoubleArray:
        """The learning rates of steps first_step .. first_step + count - 1, counted from 0: one number if constant."""
        if self._scheduled:
            rates: DoubleArray = np.asarray(self.learning_rate.between(first_step, first_step + count), float)
            if rates.shape != (count,) or not ((rates >= 0) & (rates < np.inf)).all():
                self._refuse(rates, first_step, count)
            return rates
        if self._called:
            rate = self.learning_rate()
            trial = object.__new__(type(self))
            vars(trial)["learning_rate"] = rate
            check_number(trial, "learning_rate", 0)
            return float(rate)
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
    def _called(self) -> bool:
        """Whether the learning rate is a function of the user's own."""
        rate = self.learning_rate
        return callable(rate) and not isinstance(rate, type) and not hasattr(rate, "table_family")

    @property
    def rule(self) -> Optimizer:
        """The optimizer that takes the steps: this one, but where it stands around another."""
        return self

    def settings(self) -> dict[str, Any]:
        """What its steps depend on, to see whether any of it has changed."""
        return vars(self).copy()

    def compiled_by(self, trainer: Any) -> None:
        """Take note of the trainer of a model: steps on that model's weights are the trainer's from now on."""
        vars(self)["_trainer"] = weakref.ref(trainer)

    def get_config(self) -> dict[str, Any]:
        """Its arguments by name, as Keras gives them: what ``from_config`` needs to make the same optimizer."""
        values = field_values(self)
        order = [*SHARED, *(name for name in values if name not in SHARED)]
        config = {name: plain(values[name]) for name in order}
        return config | {"learning_rate": self._rate_described()}

    def _rate_described(self) -> Any:
        rate = self.learning_rate
        if isinstance(rate, float):
            return float(rate)
        if self._called:
            name = get_registered_name(rate)
            return {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
        from fastnn.optimizers import schedules

        return schedules.serialize(rate)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """The optimizer of these arguments. TypeError, ValueError for what is none."""
        given = as_arguments(cls.__name__, config)
        rate = given.get("learning_rate")
        if isinstance(rate, Mapping) and rate.get("class_name") == "function":
            given["learning_rate"] = unplain({"function": rate.get("config")}, custom_objects)
        elif isinstance(rate, Mapping) and "class_name" in rate:
            from fastnn.optimizers import schedules

            given["learning_rate"] = schedules.deserialize(rate, custom_objects)
        return cls(**given)

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


@cache
def _names_of(cls: type[Optimizer]) -> frozenset[str]:
    """The names of an optimizer's fields."""
    return frozenset(field.name for field in fields(cls))


@cache
def _snake_case(name: str) -> str:
    """The name of a class as Keras makes one of an object of it: "adam_w"."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer as JSON, in Keras's form: {"module", "class_name", "config", "registered_name"}."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"serialize takes an optimizer, got {shown(optimizer)}")
    cls = type(optimizer)
    own = OPTIMIZERS.units.get(getattr(cls, "table_name", "")) is not cls and cls.__name__ not in WRAPPERS
    return {
        "module": cls.__module__ if own else "fastnn.optimizers",
        "class_name": cls.__name__,
        "config": optimizer.get_config(),
        "registered_name": get_registered_name(cls) if own else None,
    }


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Optimizer:
    """The optimizer that ``serialize`` described, or Keras did; custom_objects: classes of one's own by their names.

    TypeError, ValueError where it describes none.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise TypeError(f"expected what serialize gives, a dict with class_name and config, got {shown(config)}")
    name = config["class_name"]
    custom = own_objects(custom_objects)
    if name.lower() in OPTIMIZERS.units and name not in custom:
        name = name.lower()
    if name in WRAPPERS and name not in custom:
        wrapper: type[Optimizer] = getattr(import_module(WRAPPERS[name]), name)
        return wrapper.from_config(config.get("config") or {}, custom_objects)
    own = config.get("registered_name")
    cls = OPTIMIZERS.find(own if isinstance(own, str) and own not in OPTIMIZERS.aliases else name, custom)
    return cls.from_config(config.get("config") or {}, custom_objects)


def get(identifier: Any) -> Optimizer | None:
    """An optimizer from its name (in any case), class, instance or configuration; None for None.

    ValueError for an unknown name.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return deserialize(identifier) if "class_name" in identifier else OPTIMIZERS.from_config(identifier)
    if isinstance(identifier, str) and identifier.lower() in OPTIMIZERS.units:
        identifier = identifier.lower()
    return OPTIMIZERS.get(identifier)

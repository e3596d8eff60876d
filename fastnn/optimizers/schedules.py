"""Learning-rate schedules: a learning rate for each step, counted from 0.

``Adam(learning_rate=CosineDecay(1e-3, 10_000))``. Names, formulas and defaults are Keras 3's; OneCycle's are PyTorch's.
A schedule of your own is a subclass of LearningRateSchedule with ``__call__(step)``; as a dataclass entered in
SCHEDULES it is saved with the model too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import _names
from fastnn._checks import as_arguments, as_number, check_choice, check_flag, check_number, shown
from fastnn._numbers import as_numbers, tuple_of_numbers
from fastnn._table import Table, field_values, overrides, plain
from fastnn.object_registration import get_registered_name
from fastnn.typing import DoubleArray


class LearningRateSchedule:
    """A learning rate for each step. Override ``__call__``; also ``rates`` where all can be had at once.

    A subclass of another schedule may do so too, and call ``super().__call__``: it is asked for each step then.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]

    def __call__(self, step: Any) -> Any:
        """The learning rate of step number `step`, counted from 0: a number of at least 0."""
        raise NotImplementedError(f"{type(self).__name__} must have a __call__(self, step) that gives a learning rate")

    def rates(self, steps: DoubleArray) -> DoubleArray:
        """The learning rates of many steps, an array of numbers."""
        return np.array([float(self(int(step))) for step in steps])

    def between(self, first: int, stop: int) -> DoubleArray:
        """The learning rates of steps first .. stop - 1."""
        return self.rates_of(np.arange(first, stop, dtype=float))

    def rates_of(self, steps: DoubleArray) -> DoubleArray:
        """The learning rates of many steps: by `rates`, or by a ``__call__`` that a subclass has put before it."""
        return LearningRateSchedule.rates(self, steps) if overrides(self, "rates", "__call__") else self.rates(steps)

    def get_config(self) -> dict[str, Any]:
        """The schedule's arguments, all JSON."""
        raise NotImplementedError(f"{type(self).__name__} must have a get_config(self) that gives its arguments")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LearningRateSchedule:
        """The schedule of these arguments. TypeError, ValueError for what is none."""
        given = as_arguments(cls.__name__, config)
        if cls is LearningRateSchedule:
            raise TypeError("LearningRateSchedule is what schedules are derived from; take from_config of one of them")
        return cls(**given)


SCHEDULES: Table[LearningRateSchedule] = Table("schedule", LearningRateSchedule)


class _Formula(LearningRateSchedule):
    """A schedule whose `rates` is a formula."""

    def __call__(self, step: Any) -> Any:
        rates = self.rates(np.atleast_1d(as_numbers(step, "step").astype(float)))
        return float(rates[0]) if np.ndim(step) == 0 else rates

    def get_config(self) -> dict[str, Any]:
        return {name: plain(value) for name, value in field_values(self).items()}


@SCHEDULES.add("exponential_decay")
@dataclass(frozen=True)
class ExponentialDecay(_Formula):
    """initial_learning_rate * decay_rate^(step / decay_steps); staircase: the power is rounded down.

    initial_learning_rate, decay_rate: at least 0. decay_steps: above 0.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def __post_init__(self) -> None:
        check_number(self, "initial_learning_rate", 0)
        check_number(self, "decay_steps", 0, open_low=True)
        check_number(self, "decay_rate", 0)

    def rates(self, steps: DoubleArray) -> DoubleArray:
        power = steps / self.decay_steps
        return np.asarray(
            self.initial_learning_rate * self.decay_rate ** (np.floor(power) if self.staircase else power)
        )


@SCHEDULES.add("piecewise_constant_decay")
@dataclass(frozen=True)
class PiecewiseConstantDecay(_Formula):
    """values[0] up to and with step boundaries[0], values[1] up to and with boundaries[1], ..., at last values[-1].

    boundaries: rising. values: at least 0, one more than boundaries.
    """

    boundaries: Sequence[float]
    values: Sequence[float]
    name: str = "PiecewiseConstant"

    def __post_init__(self) -> None:
        for name in ("boundaries", "values"):
            given = tuple_of_numbers(getattr(self, name), f"PiecewiseConstantDecay: {name}")
            object.__setattr__(self, name, given)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: values must be one more than boundaries, got {len(self.values)} values and "
                f"{len(self.boundaries)} boundaries"
            )
        if any(not low < high for low, high in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"PiecewiseConstantDecay: boundaries must rise, got {list(self.boundaries)}")
        if any(not 0 <= as_number("values", value) < float("inf") for value in self.values):
            raise ValueError(f"PiecewiseConstantDecay: values must be numbers of at least 0, got {list(self.values)}")

    def rates(self, steps: DoubleArray) -> DoubleArray:
        return np.asarray(self.values, float)[
            np.searchsorted([as_number("boundaries", each) for each in self.boundaries], steps)
        ]


@SCHEDULES.add("polynomial_decay")
@dataclass(frozen=True)
class PolynomialDecay(_Formula):
    """(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps)^power + end_learning_rate.

    After decay_steps it stays at the end; with cycle, decay_steps is the next multiple of itself. The learning rates
    and power: at least 0. decay_steps: above 0.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def __post_init__(self) -> None:
        check_number(self, "initial_learning_rate", 0)
        check_number(self, "decay_steps", 0, open_low=True)
        check_number(self, "end_learning_rate", 0)
        check_number(self, "power", 0)

    def rates(self, steps: DoubleArray) -> DoubleArray:
        done = steps / self.decay_steps
        done = done / np.maximum(np.ceil(done), 1) if self.cycle else np.minimum(done, 1)
        fall = self.initial_learning_rate - self.end_learning_rate
        return np.asarray(fall * (1 - done) ** self.power + self.end_learning_rate)


@SCHEDULES.add("inverse_time_decay")
@dataclass(frozen=True)
class InverseTimeDecay(_Formula):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps); staircase: step / decay_steps is rounded down.

    initial_learning_rate, decay_rate: at least 0. decay_steps: above 0.
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def __post_init__(self) -> None:
        check_number(self, "initial_learning_rate", 0)
        check_number(self, "decay_steps", 0, open_low=True)
        check_number(self, "decay_rate", 0)

    def rates(self, steps: DoubleArray) -> DoubleArray:
        done = steps / self.decay_steps
        return np.asarray(
            self.initial_learning_rate / (1 + self.decay_rate * (np.floor(done) if self.staircase else done))
        )


@SCHEDULES.add("cosine_decay")
@dataclass(frozen=True)
class CosineDecay(_Formula):
    """top * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha); it stays where it is after decay_steps.

    top is initial_learning_rate; with a warmup_target, a straight line first leads there from initial_learning_rate in
    warmup_steps, and the decay starts then. alpha: 0 to 1. decay_steps: above 0. Source: Loshchilov and Hutter 2017;
    the line: Goyal et al. 2017.
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: float = 0

    def __post_init__(self) -> None:
        check_number(self, "initial_learning_rate", 0)
        check_number(self, "decay_steps", 0, open_low=True)
        check_number(self, "alpha", 0, 1)
        check_number(self, "warmup_steps", 0)
        if self.warmup_target is not None:
            check_number(self, "warmup_target", 0)

    def rates(self, steps: DoubleArray) -> DoubleArray:
        if self.warmup_target is None:
            return self._decay(self.initial_learning_rate, steps)
        rise = (self.warmup_target - self.initial_learning_rate) * steps / (self.warmup_steps or 1)
        decay = self._decay(self.warmup_target, steps - self.warmup_steps)
        return np.where(steps < self.warmup_steps, self.initial_learning_rate + rise, decay)

    def _decay(self, top: float, steps: DoubleArray) -> DoubleArray:
        cosine = 0.5 * (1 + np.cos(np.pi * np.minimum(steps / self.decay_steps, 1)))
        return np.asarray(top * ((1 - self.alpha) * cosine + self.alpha))


@SCHEDULES.add("cosine_decay_restarts")
@dataclass(frozen=True)
class CosineDecayRestarts(_Formula):
    """CosineDecay over and over: each period is t_mul times as long as the last and starts m_mul times as high.

    initial_learning_rate * ((1 - alpha) * m_mul^i * (1 + cos(pi * done)) / 2 + alpha) where a share `done` of period i
    has passed. first_decay_steps: above 0. t_mul: at least 1. m_mul: at least 0. alpha: 0 to 1. Source: Loshchilov and
    Hutter 2017.
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"

    def __post_init__(self) -> None:
        check_number(self, "initial_learning_rate", 0)
        check_number(self, "first_decay_steps", 0, open_low=True)
        check_number(self, "t_mul", 1)
        check_number(self, "m_mul", 0)
        check_number(self, "alpha", 0, 1)

    def rates(self, steps: DoubleArray) -> DoubleArray:
        period, done = self._place(steps / self.first_decay_steps)
        cosine = 0.5 * self.m_mul**period * (1 + np.cos(np.pi * done))
        return np.asarray(self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha))

    def _place(self, time: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Number of the period, and the share of it that has passed, at a time counted in first periods."""
        if self.t_mul == 1:
            return np.floor(time), time % 1
        grown = 1 + time * (self.t_mul - 1)  # period i begins where this is t_mul^i
        period = np.floor(np.log(grown) / np.log(self.t_mul))
        # The quotient of logarithms may miss a beginning by its rounding.
        period += (self.t_mul ** (period + 1) <= grown).astype(float) - (self.t_mul**period > grown)
        return period, (grown / self.t_mul**period - 1) / (self.t_mul - 1)


@SCHEDULES.add("warm_up")
@dataclass(frozen=True)
class WarmUp(_Formula):
    """A straight line from `start` to `learning_rate` in warmup_steps; then `learning_rate` itself.

    learning_rate: a number of at least 0, or a schedule, which starts when the line has reached its first value. start:
    at least 0. warmup_steps: above 0. Source: Goyal et al. 2017.
    """

    learning_rate: Any
    warmup_steps: float
    start: float = 0.0
    name: str = "WarmUp"

    def __post_init__(self) -> None:
        if isinstance(self.learning_rate, dict):
            object.__setattr__(self, "learning_rate", get(self.learning_rate))
        if not isinstance(self.learning_rate, LearningRateSchedule):
            check_number(self, "learning_rate", 0)
        check_number(self, "warmup_steps", 0, open_low=True)
        check_number(self, "start", 0)

    def rates(self, steps: DoubleArray) -> DoubleArray:
        after = np.maximum(steps - self.warmup_steps, 0)
        if isinstance(self.learning_rate, LearningRateSchedule):
            targets = self.learning_rate.rates_of(after)
        else:
            targets = np.full(len(steps), float(self.learning_rate))
        return self.start + (targets - self.start) * np.minimum(steps / self.warmup_steps, 1)


@SCHEDULES.add("one_cycle")
@dataclass(frozen=True)
class OneCycle(_Formula):
    """Up to max_learning_rate and down again in total_steps, once; it stays at the end then.

    From max_learning_rate / div_factor in the first share pct_start of the steps to max_learning_rate, and down to
    max_learning_rate / div_factor / final_div_factor; three_phase: down to the first rate in as many steps as up, and
    to the last rate in what is left. anneal_strategy: "cos", half a wave, or "linear". pct_start: 0 to 1, with
    three_phase to 0.5. div_factor, final_div_factor: above 0. The top is reached at pct_start * total_steps - 1. Unlike
    PyTorch's, it leaves the momentum alone. Source: Smith and Topin 2018.
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    name: str = "OneCycle"

    def __post_init__(self) -> None:
        check_number(self, "max_learning_rate", 0)
        check_number(self, "total_steps", 1)
        check_flag(self, "three_phase")
        check_number(self, "pct_start", 0, 0.5 if self.three_phase else 1)
        check_number(self, "div_factor", 0, open_low=True)
        check_number(self, "final_div_factor", 0, open_low=True)
        check_choice(self, "anneal_strategy", "cos", "linear")

    def rates(self, steps: DoubleArray) -> DoubleArray:
        first = self.max_learning_rate / self.div_factor
        turns = [0.0, self.pct_start * self.total_steps - 1]
        targets = [first, self.max_learning_rate]
        if self.three_phase:
            turns.append(2 * self.pct_start * self.total_steps - 2)
            targets.append(first)
        turns.append(self.total_steps - 1.0)
        targets.append(first / self.final_div_factor)
        phase = np.minimum(np.searchsorted(turns[1:], steps), len(turns) - 2)
        begin, end = np.asarray(turns)[phase], np.asarray(turns)[phase + 1]
        low, high = np.asarray(targets)[phase], np.asarray(targets)[phase + 1]
        done = np.clip((steps - begin) / np.where(end > begin, end - begin, 1), 0, 1)
        share = done if self.anneal_strategy == "linear" else 0.5 * (1 - np.cos(np.pi * done))
        return np.asarray(low + (high - low) * share)


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """A schedule as JSON, in Keras's form: {"module", "class_name", "config", "registered_name"}."""
    if not isinstance(learning_rate_schedule, LearningRateSchedule):
        raise TypeError(f"serialize takes a schedule, got {shown(learning_rate_schedule)}")
    cls = type(learning_rate_schedule)
    own = SCHEDULES.units.get(getattr(cls, "table_name", "")) is not cls
    return {
        "module": cls.__module__ if own else "fastnn.optimizers.schedules",
        "class_name": cls.__name__,
        "config": learning_rate_schedule.get_config(),
        "registered_name": get_registered_name(cls) if own else None,
    }


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> LearningRateSchedule:
    """The schedule that ``serialize`` described, or Keras did; custom_objects: classes of one's own by their names.

    TypeError, ValueError where it describes none.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise TypeError(f"expected what serialize gives, a dict with class_name and config, got {shown(config)}")
    name, own = config["class_name"], config.get("registered_name")
    cls = SCHEDULES.find(own if isinstance(own, str) and own not in SCHEDULES.aliases else name, custom_objects)
    given = config.get("config")
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: config must be a dict of its arguments, got {shown(given)}")
    return cls.from_config(dict(given))


def get(identifier: Any) -> LearningRateSchedule:
    """A schedule from its configuration or instance. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return deserialize(identifier) if "class_name" in identifier else SCHEDULES.from_config(identifier)
    return SCHEDULES.get(identifier)


_names.offer(globals())

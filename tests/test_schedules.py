"""Learning-rate schedules: values worked out by hand, the same one by one and all at once, saved and loaded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.optimizers import OPTIMIZERS, SGD, Adam, Ftrl, Optimizer, Rprop, schedules
from fastnn.optimizers.schedules import (
    SCHEDULES,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    WarmUp,
)
from support.units import unknown

# A schedule, and its rate at some steps.
KNOWN: list[tuple[LearningRateSchedule, dict[float, float]]] = [
    (ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 10: 0.05, 5: 0.1 * math.sqrt(0.5), 30: 0.0125}),
    (ExponentialDecay(0.1, 10, 0.5, staircase=True), {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025}),
    (PiecewiseConstantDecay([3, 5], [1.0, 0.5, 0.1]), {0: 1.0, 3: 1.0, 4: 0.5, 5: 0.5, 6: 0.1, 99: 0.1}),
    (PiecewiseConstantDecay([], [0.2]), {0: 0.2, 7: 0.2}),
    (PolynomialDecay(0.5, 10, 0.1), {0: 0.5, 5: 0.3, 10: 0.1, 11: 0.1}),
    (PolynomialDecay(0.5, 10, 0.1, power=2.0), {0: 0.5, 5: 0.2, 10: 0.1}),
    (PolynomialDecay(0.5, 10, 0.1, cycle=True), {0: 0.5, 5: 0.3, 10: 0.1, 15: 0.2, 20: 0.1, 25: 0.1 + 0.4 / 6}),
    (InverseTimeDecay(0.6, 10, 0.5), {0: 0.6, 10: 0.4, 20: 0.3, 5: 0.48}),
    (InverseTimeDecay(0.6, 10, 0.5, staircase=True), {9: 0.6, 10: 0.4, 19: 0.4, 20: 0.3}),
    (CosineDecay(0.2, 8), {0: 0.2, 4: 0.1, 8: 0.0, 9: 0.0, 2: 0.1 * (1 + math.sqrt(0.5))}),
    (CosineDecay(0.2, 8, alpha=0.5), {0: 0.2, 4: 0.15, 8: 0.1, 100: 0.1}),
    (CosineDecay(0.1, 8, warmup_target=0.3, warmup_steps=4), {0: 0.1, 2: 0.2, 4: 0.3, 8: 0.15, 12: 0.0, 13: 0.0}),
    (CosineDecay(0.1, 8, warmup_target=0.3), {0: 0.3, 4: 0.15, 8: 0.0}),
    (CosineDecayRestarts(0.2, 4), {0: 0.2, 2: 0.1, 4: 0.2, 8: 0.1, 12: 0.2, 20: 0.1, 28: 0.2}),
    (CosineDecayRestarts(0.2, 4, 1.0, 0.5, 0.1), {0: 0.2, 2: 0.11, 4: 0.2 * 0.55, 6: 0.2 * 0.325, 8: 0.2 * 0.325}),
    (CosineDecayRestarts(0.2, 1, t_mul=10.0), {0: 0.2, 1: 0.2, 6: 0.1, 11: 0.2, 111: 0.2, 1111: 0.2, 11111: 0.2}),
    (WarmUp(0.5, 4), {0: 0.0, 1: 0.125, 4: 0.5, 5: 0.5}),
    (WarmUp(0.5, 4, start=0.1), {0: 0.1, 2: 0.3, 4: 0.5}),
    (WarmUp(ExponentialDecay(0.4, 10, 0.5), 4), {0: 0.0, 2: 0.2, 4: 0.4, 14: 0.2, 24: 0.1}),
    (OneCycle(1.0, 101, 0.3, "linear", 10.0, 10.0), {0: 0.1, 29.3: 1.0, 100: 0.01, 101: 0.01, 64.65: 0.505}),
    (OneCycle(1.0, 100, 0.5), {0: 0.04, 24.5: 0.52, 49: 1.0, 99: 4e-6, 1000: 4e-6}),
    (OneCycle(1.0, 100, 0.3, "linear", three_phase=True), {0: 0.04, 29: 1.0, 58: 0.04, 99: 4e-6}),
    (OneCycle(1.0, 1), {0: 4e-6}),
]


def label(value: Any) -> str:
    return repr(value).replace(" ", "") if isinstance(value, LearningRateSchedule) else ""


@pytest.mark.parametrize(("schedule", "known"), KNOWN, ids=label)
def test_known_values(schedule: LearningRateSchedule, known: dict[float, float]) -> None:
    for step, rate in known.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-12, abs=1e-17), step


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in KNOWN], ids=label)
def test_one_by_one_and_all_at_once(schedule: LearningRateSchedule) -> None:
    steps = np.arange(137)
    rates = schedule(steps)
    assert rates.dtype == np.float64
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    one_by_one = [schedule(int(step)) for step in steps]
    assert all(type(rate) is float for rate in one_by_one)
    np.testing.assert_array_equal(rates, one_by_one)
    np.testing.assert_array_equal(SGD(schedule).rates(20, 100), rates[20:120])
    assert SGD(schedule).rates(5, 0).shape == (0,)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in KNOWN], ids=label)
def test_saved_and_loaded(schedule: LearningRateSchedule) -> None:
    """On its own as Keras does it, and as a part of an optimizer, through JSON."""
    assert schedules.get(json.loads(json.dumps(SCHEDULES.config(schedule)))) == schedule
    assert type(schedule).from_config(json.loads(json.dumps(schedule.get_config()))) == schedule
    optimizer = Adam(schedule, beta_1=0.8)
    assert optimizers.get(json.loads(json.dumps(OPTIMIZERS.config(optimizer)))) == optimizer
    assert schedules.get(schedule) is schedule


def test_a_constant_rate_is_a_number() -> None:
    assert SGD(0.25).rates(7, 3) == 0.25
    assert type(SGD(1).rates(0, 1)) is float


class Halving(LearningRateSchedule):
    """A user's own, with nothing but what Keras asks for."""

    def __call__(self, step: Any) -> Any:
        assert type(step) is int
        return np.float32(0.5) ** step


def test_a_schedule_of_the_users_own() -> None:
    np.testing.assert_array_equal(SGD(Halving()).rates(1, 3), [0.5, 0.25, 0.125])
    np.testing.assert_array_equal(SGD(WarmUp(Halving(), 2)).rates(0, 5), [0.0, 0.5, 1.0, 0.5, 0.25])
    with pytest.raises(NotImplementedError, match="Halving must have a get_config"):
        Halving().get_config()
    with pytest.raises(NotImplementedError, match=r"must have a __call__\(self, step\)"):
        LearningRateSchedule()(0)


def test_a_schedule_of_the_users_own_that_is_saved() -> None:
    @dataclass(frozen=True)
    class Slope(LearningRateSchedule):
        rate: float = 0.5

        def __call__(self, step: Any) -> Any:
            return self.rate / (1 + step)

    try:
        SCHEDULES.add("slope")(Slope)
        assert optimizers.get(OPTIMIZERS.config(SGD(Slope(0.25)))) == SGD(Slope(0.25))
    finally:
        for name in ("slope", "Slope"):
            del SCHEDULES.aliases[name]
        del SCHEDULES.units["slope"]


@pytest.mark.parametrize("optimizer", [Rprop, Ftrl])
def test_optimizers_that_ask_for_the_rate_take_a_schedule(optimizer: type[Optimizer]) -> None:
    assert optimizer(CosineDecay(0.2, 8)).slot_starts == optimizer(0.2).slot_starts


@pytest.mark.parametrize("rate", [None, "fast", [0.1], lambda step: 0.1])
def test_no_learning_rate(rate: Any) -> None:
    with pytest.raises(TypeError, match="SGD: learning_rate must be a number"):
        SGD(rate)
    with pytest.raises(TypeError, match="WarmUp: learning_rate must be a number"):
        WarmUp(rate, 3)


def test_unknown_schedules() -> None:
    with pytest.raises(ValueError, match=unknown("schedule", "zigzag")):
        SGD({"class": "zigzag"})
    with pytest.raises(TypeError, match="schedule must be a name or a"):
        schedules.get(0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialDecay(0.1, 0, 0.5), "decay_steps must be above 0"),
        (lambda: ExponentialDecay(-0.1, 1, 0.5), "initial_learning_rate must be at least 0"),
        (lambda: PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "values must be one more than boundaries, got 2"),
        (lambda: PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), r"boundaries must rise, got \[2, 1\]"),
        (lambda: PiecewiseConstantDecay([1], [0.1, math.nan]), "values must be numbers of at least 0"),
        (lambda: PolynomialDecay(0.1, 10, power=-1), "power must be at least 0"),
        (lambda: InverseTimeDecay(0.1, -1, 0.5), "decay_steps must be above 0"),
        (lambda: CosineDecay(0.1, 10, alpha=2), "alpha must be at least 0 and at most 1"),
        (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), "t_mul must be at least 1"),
        (lambda: WarmUp(0.1, 0), "warmup_steps must be above 0"),
        (lambda: OneCycle(0.1, 0), "total_steps must be at least 1"),
        (lambda: OneCycle(0.1, 10, anneal_strategy="step"), "anneal_strategy must be one of cos, linear, got 'step'"),
        (lambda: OneCycle(0.1, 10, pct_start=0.6, three_phase=True), "pct_start must be at least 0 and at most 0.5"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

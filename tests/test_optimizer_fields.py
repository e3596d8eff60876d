"""Fields of an optimizer: what is refused when it is made is refused when it is set, and changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from fastnn.optimizers import LBFGS, OPTIMIZERS, SGD, Adam, Optimizer, RMSprop, Rprop
from fastnn.optimizers.schedules import ExponentialDecay, LearningRateSchedule
from support.small import bits, model_of, rows
from support.units import label, units

# Values that no field takes, but for those that `takes` names.
BAD: list[Any] = ["a", math.nan, -math.inf, math.inf, 2**63, -1, [1.0, "b"]]


UP_TO_1 = ("beta_1", "beta_2", "rho", "momentum", "ema_momentum", "adam_beta_1", "adam_beta_2")
ANY = ("muon_a", "muon_b", "muon_c")


def fields_of(optimizer: Optimizer) -> list[Any]:
    """All fields but the name, which may be anything."""
    return [field for field in dataclasses.fields(optimizer) if field.name != "name"]


def takes(field: Any, value: Any) -> bool:
    """Whether a field may hold such a value: without an upper end any finite one, a power any below 0."""
    if field.name in ("learning_rate_power", "beta_2_decay"):
        return value == -1
    if field.name in ANY:
        return type(value) is int and value in (-1, 2**63)
    if field.name == "exclude_layers":
        return value is None
    return value == 2**63 and field.type in ("float", "float | None", "Any") and field.name not in UP_TO_1


@pytest.mark.parametrize("optimizer", units(OPTIMIZERS), ids=label)
def test_a_field_is_checked_when_it_is_set(optimizer: Optimizer) -> None:
    optimizer = copy.copy(optimizer)  # other tests have it too
    before = dict(vars(optimizer))
    refused = set()
    for field in fields_of(optimizer):
        for value in BAD:
            if takes(field, value):
                continue
            with pytest.raises((TypeError, ValueError), match=field.name):
                setattr(optimizer, field.name, value)
            assert vars(optimizer) == before
            refused.add(field.name)
        with pytest.raises((TypeError, ValueError), match=field.name):
            type(optimizer)(**{field.name: "a"})
    assert refused == {field.name for field in fields_of(optimizer)}


@pytest.mark.parametrize("optimizer", units(OPTIMIZERS), ids=label)
def test_a_field_that_is_right_is_set(optimizer: Optimizer) -> None:
    optimizer = copy.copy(optimizer)
    for field in dataclasses.fields(optimizer):
        setattr(optimizer, field.name, getattr(optimizer, field.name))
    optimizer.learning_rate, optimizer.name = 0.25, "mine"
    assert (optimizer.learning_rate, optimizer.name) == (0.25, "mine")
    optimizer.remark = "no field"  # type: ignore[attr-defined]
    assert optimizer.remark == "no field"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("optimizer", "name", "value", "message"),
    [
        (SGD(), "clipnorm", "1", "SGD: clipnorm must be a number, got '1'"),
        (SGD(), "momentum", "a", "SGD: momentum must be a number, got 'a'"),
        (SGD(), "nesterov", "no", "SGD: nesterov must be True or False, got 'no'"),
        (Adam(), "use_ema", "no", "Adam: use_ema must be True or False, got 'no'"),
        (Adam(), "amsgrad", 2, "Adam: amsgrad must be True or False, got 2"),
        (RMSprop(), "centered", None, "RMSprop: centered must be True or False, got None"),
        (Adam(), "gradient_accumulation_steps", 2**63, "gradient_accumulation_steps must be at most 2,147,483,647"),
        (Adam(), "ema_overwrite_frequency", 2**63, "ema_overwrite_frequency must be at most 2,147,483,647"),
        (LBFGS(), "history_size", 2**63, "history_size must be at most 2,147,483,647"),
        (LBFGS(), "weight_decay", 0.1, "LBFGS takes no weight_decay"),
        (Adam(clipnorm=1.0), "clipvalue", 1.0, "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set"),
        (Rprop(), "etas", (0.5, 0.9), "etas must be a number between 0 and 1 and one above 1"),
    ],
)
def test_messages(optimizer: Optimizer, name: str, value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        setattr(optimizer, name, value)


def test_what_is_set_is_brought_into_form() -> None:
    rprop, adam = Rprop(), Adam()
    rprop.etas = [0.25, 2]  # type: ignore[assignment]
    assert rprop.etas == (0.25, 2.0)
    adam.learning_rate = {"class": "exponential_decay", "initial_learning_rate": 1.0, "decay_steps": 2, "decay_rate": 3}
    assert adam.learning_rate == ExponentialDecay(1.0, 2, 3)


class Own(LearningRateSchedule):
    """A schedule of the user's own."""

    def __init__(self, *rates: float) -> None:
        self.given = rates

    def __call__(self, step: Any) -> Any:
        return self.given[int(step) % len(self.given)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.5])
def test_a_schedule_that_gives_no_rate(bad: float) -> None:
    x, y = rows()
    model = model_of(Adam(Own(0.1, 0.1, bad)))
    before = bits(model)
    with pytest.raises(ValueError, match=rf"Own gives the learning rate {bad} for step 2; it must be a finite number"):
        model.fit(x, y, 5, verbose=0)
    assert bits(model) == before
    model.optimizer.learning_rate = 0.1
    model.fit(x, y, 5, verbose=0)
    model.predict(x)
    assert bits(model) != before


def test_a_schedule_that_gives_too_few() -> None:
    class Short(Own):
        def between(self, first: int, stop: int) -> Any:
            return np.zeros(1)

    x, y = rows()
    with pytest.raises(ValueError, match=r"Short must give a learning rate for each of 8 steps, got shape \(1,\)"):
        model_of(Adam(Short(0.1))).fit(x, y, 5, verbose=0)


def test_a_model_goes_on_after_a_refusal() -> None:
    x, y = rows()
    model, same = model_of(), model_of()
    for name, value in (("clipnorm", "1"), ("learning_rate", -1), ("beta_1", math.nan)):
        with pytest.raises((TypeError, ValueError), match=name):
            setattr(model.optimizer, name, value)
    model.fit(x, y, verbose=0, shuffle=False)
    same.fit(x, y, verbose=0, shuffle=False)
    np.testing.assert_array_equal(model.predict(x), same.predict(x))

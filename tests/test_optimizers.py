"""Optimizers as objects: names, configurations, what they refuse; and L-BFGS, which has no kernel."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.optimizers import LBFGS, OPTIMIZERS, SGD, Adam, Ftrl, Lion, Optimizer, Rprop
from support.units import label, units, unknown


@pytest.mark.parametrize("optimizer", units(OPTIMIZERS), ids=label)
def test_from_name_and_from_configuration(optimizer: Optimizer) -> None:
    cls = type(optimizer)
    for name in (optimizer.table_name, cls.__name__, cls.__name__.lower(), cls.__name__.upper()):
        assert optimizers.get(name) == cls()
    assert getattr(optimizers, cls.__name__) is cls
    assert optimizers.get(json.loads(json.dumps(OPTIMIZERS.config(optimizer)))) == optimizer
    assert optimizers.get(optimizer) is optimizer
    assert len(optimizer.slot_starts) == len(optimizer.slots) <= 4


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=unknown("optimizer", "Adm")):
        optimizers.get("Adm")


@pytest.mark.parametrize("cls", [cls for _, cls in OPTIMIZERS], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"learning_rate": -1}, ValueError, "learning_rate must be"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be at least 0, got -0.1"),
        ({"clipnorm": 0}, ValueError, "clipnorm must be above 0, got 0"),
        ({"clipvalue": -1}, ValueError, "clipvalue must be above 0, got -1"),
        ({"global_clipnorm": "1"}, TypeError, "global_clipnorm must be a number, got '1'"),
        ({"clipnorm": 1, "clipvalue": 2}, ValueError, "Only one of .* can be set, got clipnorm=1, clipvalue=2"),
        ({"ema_momentum": 1.5}, ValueError, "ema_momentum must be at least 0 and at most 1, got 1.5"),
        ({"ema_overwrite_frequency": 0}, ValueError, "ema_overwrite_frequency must be at least 1, got 0"),
        ({"ema_overwrite_frequency": 1.5}, TypeError, "ema_overwrite_frequency must be a whole number, got 1.5"),
        ({"gradient_accumulation_steps": 1}, ValueError, "gradient_accumulation_steps must be at least 2, got 1"),
    ],
    ids=str,
)
def test_what_every_optimizer_refuses(cls: Any, given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"{cls.__name__}: .*{message}"):
        cls(**given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lion(beta_1=0), "beta_1 must be above 0 and at most 1"),
        (lambda: Ftrl(0.0), "learning_rate must be above 0"),
        (lambda: Ftrl(learning_rate_power=0.5), "learning_rate_power must be above -inf and at most 0"),
        (lambda: Rprop(etas=(1.2, 0.5)), "etas must be a number between 0 and 1 and one above 1"),
        (lambda: Rprop(etas=0.5), "etas must be two numbers, got 0.5"),
        (lambda: Rprop(step_sizes=(1.0, 0.5)), "step_sizes must be at least 0 and in order"),
        (lambda: LBFGS(history_size=0), "history_size must be at least 1"),
        (lambda: LBFGS(line_search="armijo"), "line_search must be one of strong_wolfe, None, got 'armijo'"),
        (lambda: LBFGS(weight_decay=0.1), "LBFGS takes no weight_decay"),
        (lambda: LBFGS(clipvalue=0.1), "LBFGS takes no clipvalue"),
        (lambda: LBFGS(use_ema=True), "LBFGS takes no use_ema"),
    ],
)
def test_what_one_optimizer_refuses(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_adamw_is_adam_with_weight_decay_in_second_place() -> None:
    assert optimizers.AdamW(0.1, 0.2, 0.3).weight_decay == 0.2
    assert optimizers.AdamW().weight_decay == 0.004
    assert Adam().weight_decay is None
    with pytest.raises(TypeError):
        SGD(0.1, 0.0, False, 0.2)  # type: ignore[misc]


# L-BFGS


def bowl(w: np.ndarray) -> tuple[float, np.ndarray]:
    """Rosenbrock's function of any even number of variables; its only minimum is 0, at 1."""
    x, y = w[::2].astype(float), w[1::2].astype(float)
    g = np.empty(w.size)
    g[::2] = -400 * x * (y - x**2) - 2 * (1 - x)
    g[1::2] = 200 * (y - x**2)
    return float((100 * (y - x**2) ** 2 + (1 - x) ** 2).sum()), g


def descend(optimizer: LBFGS, closure: Any, w: np.ndarray, steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    state: dict[str, np.ndarray] = {}
    known = None
    for _ in range(steps):
        known = optimizer.minimize_step(closure, w, state, float(optimizer.learning_rate), known)
        w = known.w
    return w, state


@pytest.mark.parametrize("history_size", [1, 3, 10])
def test_lbfgs_finds_the_minimum(history_size: int) -> None:
    start = np.array([-1.2, 1.0, 2.0, -1.0])
    w, state = descend(LBFGS(history_size=history_size, tolerance_change=0), bowl, start, 300)
    np.testing.assert_allclose(w, 1, atol=1e-6)
    assert state["steps"].shape == state["changes"].shape == (min(history_size, len(state["steps"])), 4)


def test_lbfgs_in_float32() -> None:
    """Its points are float32 numbers, and it ends where float32 sees no way down: finite, and near."""
    w, _ = descend(LBFGS(), bowl, np.array([-1.2, 1.0], np.float32), 60)
    assert w.dtype == np.float32
    np.testing.assert_allclose(w, 1, atol=1e-3)


def test_lbfgs_of_a_quadratic_ends_in_as_many_steps_as_it_has_curvatures() -> None:
    """With exact enough line searches L-BFGS is conjugate gradients there (Nocedal and Wright, theorem 6.4)."""
    scale = np.repeat([1.0, 4.0, 9.0], 5)
    w, _ = descend(LBFGS(tolerance_change=0), lambda w: (0.5 * (scale * w * w).sum(), scale * w), np.ones(15), 20)
    np.testing.assert_allclose(w, 0, atol=1e-6)


def test_every_step_goes_down_enough() -> None:
    """The strong Wolfe conditions hold at each step's end."""
    optimizer, w, state = LBFGS(), np.array([-1.2, 1.0]), {}
    for _ in range(30):
        loss, g = bowl(w)
        end = optimizer.minimize_step(bowl, w, state, 1.0)
        step = end.w - w
        assert end.loss <= loss + 1e-4 * (g * step).sum() + 1e-15
        assert abs((end.gradient * step).sum()) <= 0.9 * abs((g * step).sum()) + 1e-12
        w = end.w


def test_what_is_known_need_not_be_asked_for_again() -> None:
    asked = []

    def closure(w: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(w.copy())
        return bowl(w)

    start = np.array([-1.2, 1.0])
    with_known, _ = descend(LBFGS(), closure, start, 10)
    few = len(asked)
    w, state = start, {}
    for _ in range(10):
        w = LBFGS().minimize_step(closure, w, state, 1.0).w
    np.testing.assert_array_equal(w, with_known)
    assert len(asked) - few == few + 9


def test_a_state_that_was_saved_goes_on_the_same() -> None:
    optimizer = LBFGS(history_size=3)
    w, state = descend(optimizer, bowl, np.array([-1.2, 1.0, 0.0, 0.5]), 7)
    saved = {name: array.copy() for name, array in state.items()}
    assert all(array.dtype == np.float64 for array in saved.values())
    ends = [optimizer.minimize_step(bowl, w, held, 1.0).w for held in (state, saved)]
    np.testing.assert_array_equal(*ends)


def test_at_the_minimum_the_weights_stay() -> None:
    state: dict[str, np.ndarray] = {}
    w = np.ones(4)
    assert LBFGS().minimize_step(bowl, w, state, 1.0).w is w
    assert LBFGS().minimize_step(lambda w: (0.0, w), np.empty(0), state, 1.0).w.size == 0


@pytest.mark.parametrize("beyond", [np.inf, np.nan])
def test_a_line_search_comes_back_from_where_the_loss_is_not_finite(beyond: float) -> None:
    def closure(w: np.ndarray) -> tuple[float, np.ndarray]:
        """-log(w) + w, which is defined above 0 alone; its minimum is at 1."""
        if w[0] <= 0:
            return beyond, np.array([beyond])
        return float(w[0] - np.log(w[0])), 1 - 1 / w

    w, _ = descend(LBFGS(100.0, tolerance_change=0), closure, np.array([30.0]), 40)
    np.testing.assert_allclose(w, 1, atol=1e-6)


def test_a_slope_that_lies_ends_the_step_where_it_began() -> None:
    """No rate lowers the loss: the weights stay, and what was learnt is forgotten."""
    state: dict[str, np.ndarray] = {}
    w = np.array([1.0, 2.0])
    end = LBFGS().minimize_step(lambda w: (float(((w - [1, 2]) ** 2).sum()), np.ones(2)), w, state, 1.0)
    np.testing.assert_array_equal(end.w, w)
    assert end.loss == 0
    assert not state


def test_a_line_search_counts_its_evaluations() -> None:
    asked = []

    def closure(w: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(1)
        return float(-w.sum()), -np.ones(2)  # falls for ever

    end = LBFGS(max_evaluations=4).minimize_step(closure, np.zeros(2), {}, 1.0)
    assert len(asked) == 5
    assert end.loss < 0


def test_nan_leaves_the_weights_alone() -> None:
    w = np.ones(3)
    end = LBFGS().minimize_step(lambda w: (np.nan, np.full(3, np.nan)), w, {}, 1.0)
    assert end.w is w
    assert np.isnan(end.loss)

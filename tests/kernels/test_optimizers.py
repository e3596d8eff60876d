"""Every optimizer, in every configuration, against twelve steps of its formula in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from fastnn import kernels
from fastnn.optimizers import OPTIMIZERS, Ftrl, Lion, Nadam, Optimizer, RMSprop, Rprop
from support.bindings import bound
from support.guarded import SIZES, Guard, close
from support.units import units

STEPS = 12
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def run(
    optimizer: Optimizer, w: np.ndarray, gradients: np.ndarray, slots: list[np.ndarray], first: int = 1
) -> list[np.ndarray]:
    """The weights after each step by the kernel, which works in place."""
    found = []
    for t, g in enumerate(gradients, first):
        before = g.copy()
        bound(optimizer.kernel)(w, g, slots, optimizer.learning_rate, t, optimizer.numbers())
        np.testing.assert_array_equal(g, before)
        found.append(w.copy())
    return found


def fresh_slots(optimizer: Optimizer, n: int, dtype: str = "float64") -> list[np.ndarray]:
    return [np.full(n, start, dtype) for start in optimizer.slot_starts]


def assert_follows(optimizer: Optimizer, w: np.ndarray, gradients: np.ndarray, slots: list[np.ndarray]) -> None:
    """Weights after every step and slots at the end, against the reference, from slots as the optimizer wants them."""
    eps = EPS[str(w.dtype)]
    truth = w.astype(np.float64)
    exact_slots = fresh_slots(optimizer, w.size)
    # Each step rounds a slot two or three times, and what is left of earlier errors shrinks.
    for t, (got, g) in enumerate(zip(run(optimizer, w, gradients, slots), gradients, strict=True), 1):
        step = truth
        truth = optimizer.reference(truth, g.astype(np.float64), exact_slots, t)
        # The weight itself is rounded at each step. A step's own error is a few ulp of its size, but centered
        # RMSprop takes a square from a square first, which leaves it fewer digits: hence 400. FTRL's weight is worked
        # out afresh, from sums that are as large as the weights are.
        largest = np.abs(truth).max(initial=0.0) if isinstance(optimizer, Ftrl) else 0.0
        close(got, truth, 2 * t * eps, t * eps * (400 * np.abs(truth - step).max(initial=0.0) + 8 * largest))
    for name, slot, expected in zip(optimizer.slots, slots, exact_slots, strict=True):
        # RMSprop's momentum holds steps, FTRL's linear term sums of large numbers that nearly cancel each other; the
        # other slots are averages of g and g^2.
        relative = 400 if name in ("momentum", "linear") else 8
        close(slot, expected, relative * eps, STEPS * eps * max(1.0, np.abs(expected).max(initial=0.0)))


def test_follows_its_formula(optimizer: Optimizer, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for n in SIZES:
        w = guard(rng.normal(size=n), dtype)
        gradients = np.array([rng.normal(size=n) for _ in range(STEPS)], dtype)
        slots = [guard(slot, dtype) for slot in fresh_slots(optimizer, n)]
        guarded = np.lib.stride_tricks.as_strided(guard(gradients), gradients.shape, gradients.strides)
        assert_follows(optimizer, w, guarded, slots)


def test_step_in_pieces_is_the_step(optimizer: Optimizer, dtype: str, rng: np.random.Generator) -> None:
    """Threads take slices: the bits must not depend on where they are cut."""
    n = 100
    w, g = rng.normal(size=n).astype(dtype), rng.normal(size=(3, n)).astype(dtype)
    slots = fresh_slots(optimizer, n, dtype)
    cut_w, cut_slots = w.copy(), copy.deepcopy(slots)
    run(optimizer, w, g, slots)
    for start, stop in ((0, 1), (1, 18), (18, 63), (63, 63), (63, 100)):
        run(optimizer, cut_w[start:stop], g[:, start:stop].copy(), [slot[start:stop] for slot in cut_slots])
    np.testing.assert_array_equal(cut_w, w)
    np.testing.assert_array_equal(cut_slots, slots)


def test_far_step_number(optimizer: Optimizer, dtype: str, rng: np.random.Generator) -> None:
    """After a million steps the corrections of Adam are 1 and nothing under- or overflows."""
    w, g = rng.normal(size=9).astype(dtype), rng.normal(size=9).astype(dtype)
    slots = [np.full(9, 0.5, dtype) for _ in optimizer.slots]
    exact_slots = [slot.astype(np.float64) for slot in slots]
    truth = optimizer.reference(w.astype(np.float64), g.astype(np.float64), exact_slots, 10**6)
    [found] = run(optimizer, w, g[None], slots, first=10**6)
    close(found, truth, 8 * EPS[dtype], 8 * EPS[dtype])


def test_no_gradient_no_step(optimizer: Optimizer, dtype: str) -> None:
    """From the start a gradient of 0 leaves the weights where they are. FTRL's depend on gradients alone: at 0."""
    w = np.linspace(-1, 1, 17).astype(dtype) * (not isinstance(optimizer, Ftrl))
    before = w.copy()
    run(optimizer, w, np.zeros((3, 17), dtype), fresh_slots(optimizer, 17, dtype))
    np.testing.assert_array_equal(w, before)


def test_nan_gradient_touches_its_own_weight_alone(optimizer: Optimizer, dtype: str) -> None:
    for place in range(19):
        w, g = np.ones(19, dtype), np.ones((2, 19), dtype)
        g[0, place] = np.nan
        run(optimizer, w, g, fresh_slots(optimizer, 19, dtype))
        np.testing.assert_array_equal(np.isnan(w), np.arange(19) == place)


def test_descends(optimizer: Optimizer, dtype: str) -> None:
    """The sign of a step: 200 of them down a bowl end nearer to its bottom."""
    w = np.array([1.0, -2.0, 3.0], dtype)
    slots = fresh_slots(optimizer, 3, dtype)
    for t in range(1, 201):
        run(optimizer, w, w[None].copy(), slots, first=t)
    assert (np.abs(w) < [1.0, 2.0, 3.0]).all()


@pytest.mark.parametrize("rho", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("size", [1e-3, 1.0, 10.0, 1e4])
def test_centered_rmsprop_with_a_constant_gradient(size: float, rho: float, dtype: str) -> None:
    """v - average^2 goes to 0, and rounding must not take it below: the root would be NaN."""
    optimizer = RMSprop(rho=rho, centered=True)
    g = (size * np.linspace(-2, 2, 1000)).astype(dtype)
    w = np.zeros(1000, dtype)
    slots = [np.zeros(1000, dtype) for _ in optimizer.slots]
    for t in range(1, 1001):
        bound(optimizer.kernel)(w, g, slots, optimizer.learning_rate, t, optimizer.numbers())
    np.testing.assert_array_equal(np.sign(w), -np.sign(g))


def test_slots_are_as_many_as_the_kernel_asks_for(optimizer: Optimizer) -> None:
    slots = fresh_slots(optimizer, 2)
    bound(optimizer.kernel)(np.ones(2), np.ones(2), slots, 0.1, 1, optimizer.numbers())
    for wrong in ([*slots, np.zeros(2)], slots[1:] if slots else [np.zeros(2)] * 2):
        with pytest.raises(ValueError, match=rf"{optimizer.kernel.name} with these numbers keeps {len(slots)} slots"):
            bound(optimizer.kernel)(np.ones(2), np.ones(2), wrong, 0.1, 1, optimizer.numbers())


def test_every_kernel_serves_an_optimizer() -> None:
    signatures = ("optimizer", "whole_optimizer")
    known = {name for name, kernel in vars(kernels).items() if getattr(kernel, "signature", "") in signatures}
    assert known == {optimizer.kernel.name for optimizer in units(OPTIMIZERS) if not optimizer.full_batch}


@pytest.mark.parametrize("t", [1, 2, 10, 100, 850, 899, 900, 901, 1022, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("beta_1", [0.9, 0.9999])
def test_nadam_at_any_step(t: int, beta_1: float) -> None:
    """The product of the momentum factors comes from a table, which ends where they are 1 but for rounding."""
    optimizer = Nadam(beta_1=beta_1)
    w, g, slots = np.zeros(5), np.linspace(-1, 1, 5), [np.full(5, 0.3), np.full(5, 0.5)]
    truth = optimizer.reference(w, g, [slot.copy() for slot in slots], t)
    bound(optimizer.kernel)(w, g, slots, optimizer.learning_rate, t, optimizer.numbers())
    close(w, truth, 1e-12)


def test_ftrl_with_empty_sums_and_no_gradient(dtype: str) -> None:
    """0 / 0 by the formula; l1 holds the weights that had no gradient at 0, and the first gradient frees them."""
    for power in (-0.5, -0.3, 0.0):
        optimizer = Ftrl(1.0, power, initial_accumulator_value=0.0)
        w, slots = np.ones(3, dtype), fresh_slots(optimizer, 3, dtype)
        run(optimizer, w, np.zeros((1, 3), dtype), slots)
        np.testing.assert_array_equal(w, np.zeros(3))
        run(optimizer, w, np.ones((1, 3), dtype), slots)
        close(w, -np.ones(3), 8 * EPS[dtype])


@pytest.mark.parametrize("size", [1e-4, 1e-3, 1e-2])
def test_ftrl_with_small_gradients(size: float, rng: np.random.Generator) -> None:
    """Its weights stand on the growth of a root, which must not come from two roots that agree in all their digits."""
    optimizer = Ftrl(0.1)
    w, gradients = rng.normal(size=99).astype("f4"), rng.uniform(0.5 * size, size, (STEPS, 99)).astype("f4")
    truth, exact_slots = w.astype(np.float64), fresh_slots(optimizer, 99)
    for t, g in enumerate(gradients, 1):
        truth = optimizer.reference(truth, g.astype(np.float64), exact_slots, t)
    close(run(optimizer, w, gradients, fresh_slots(optimizer, 99, "float32"))[-1], truth, 32 * EPS["float32"])


def test_ftrl_l1_gives_exact_zeros(dtype: str) -> None:
    optimizer = Ftrl(l1_regularization_strength=1.0)
    w = np.zeros(2, dtype)
    run(optimizer, w, np.array([[0.5, 2.0]], dtype), fresh_slots(optimizer, 2, dtype))
    assert w[0] == 0
    assert w[1] < 0


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_rprop_goes_by_signs_of_any_size(size: float, dtype: str) -> None:
    """Grown, grown, turned back, and on with the smaller step: no product of two gradients is taken."""
    optimizer = Rprop(0.1)
    w, slots = np.zeros(2, dtype), fresh_slots(optimizer, 2, dtype)
    found = run(optimizer, w, size * np.array([[1, -1]] * 3 + [[-1, 1]] * 2, dtype), slots)
    path = [-0.1, -0.22, -0.364, -0.364, -0.292]
    close(np.array(found), np.array(path)[:, None] * [1, -1], 8 * EPS[dtype])


def test_rprop_steps_stay_in_range(dtype: str) -> None:
    optimizer = Rprop(0.1, step_sizes=(0.09, 0.11))
    slots = fresh_slots(optimizer, 1, dtype)
    found = run(optimizer, np.zeros(1, dtype), np.array([[1], [1], [-1], [-1]], dtype), slots)
    close(np.ravel(found), [-0.1, -0.21, -0.21, -0.12], 8 * EPS[dtype])


def test_lion_does_not_move_without_a_direction(dtype: str) -> None:
    w = np.ones(3, dtype)
    run(Lion(0.5), w, np.array([[0.0, -0.0, 2.0]], dtype), [np.zeros(3, dtype)])
    np.testing.assert_array_equal(w, np.array([1, 1, 0.5], dtype))

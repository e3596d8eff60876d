"""Every optimizer, in every configuration, against twelve steps of its formula in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from fastnn.optimizers import OPTIMIZERS, Optimizer, RMSprop
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
        optimizer.kernel(w, g, slots, optimizer.learning_rate, t, optimizer.numbers())
        np.testing.assert_array_equal(g, before)
        found.append(w.copy())
    return found


def assert_follows(optimizer: Optimizer, w: np.ndarray, gradients: np.ndarray, slots: list[np.ndarray]) -> None:
    """Weights after every step and slots at the end, against the reference, from zeros in the slots."""
    eps = EPS[str(w.dtype)]
    truth = w.astype(np.float64)
    held = [np.zeros(w.size) for _ in slots]
    # Each step rounds a slot two or three times, and what is left of earlier errors shrinks.
    for t, (got, g) in enumerate(zip(run(optimizer, w, gradients, slots), gradients, strict=True), 1):
        step = truth
        truth = optimizer.reference(truth, g.astype(np.float64), held, t)
        # The weight itself is rounded at each step. A step's own error is a few ulp of its size, but centered
        # RMSprop takes a square from a square first, which leaves it fewer digits: hence 400.
        close(got, truth, 2 * t * eps, 400 * t * eps * np.abs(truth - step).max(initial=0.0))
    for name, slot, expected in zip(optimizer.slots, slots, held, strict=True):
        # RMSprop's momentum holds steps, the other slots averages of g and g^2.
        close(slot, expected, (400 if name == "momentum" else 8) * eps, STEPS * eps)


def test_follows_its_formula(optimizer: Optimizer, dtype: str, guard: Guard, rng: np.random.Generator) -> None:
    for n in SIZES:
        w = guard(rng.normal(size=n), dtype)
        gradients = np.array([rng.normal(size=n) for _ in range(STEPS)], dtype)
        slots = [guard(np.zeros(n), dtype) for _ in optimizer.slots]
        guarded = np.lib.stride_tricks.as_strided(guard(gradients), gradients.shape, gradients.strides)
        assert_follows(optimizer, w, guarded, slots)


def test_step_in_pieces_is_the_step(optimizer: Optimizer, dtype: str, rng: np.random.Generator) -> None:
    """Threads take slices: the bits must not depend on where they are cut."""
    n = 100
    w, g = rng.normal(size=n).astype(dtype), rng.normal(size=(3, n)).astype(dtype)
    slots = [np.zeros(n, dtype) for _ in optimizer.slots]
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
    held = [slot.astype(np.float64) for slot in slots]
    truth = optimizer.reference(w.astype(np.float64), g.astype(np.float64), held, 10**6)
    [found] = run(optimizer, w, g[None], slots, first=10**6)
    close(found, truth, 8 * EPS[dtype], 8 * EPS[dtype])


def test_no_gradient_no_step(optimizer: Optimizer, dtype: str) -> None:
    """With zeros in the slots a gradient of 0 leaves the weights where they are, but for their decay."""
    w = np.linspace(-1, 1, 17).astype(dtype)
    before = w.copy()
    run(optimizer, w, np.zeros((3, 17), dtype), [np.zeros(17, dtype) for _ in optimizer.slots])
    shrunk = (1 - optimizer.learning_rate * getattr(optimizer, "decay", 0.0)) ** 3
    close(w, before * shrunk, 4 * EPS[dtype])


def test_nan_gradient_touches_its_own_weight_alone(optimizer: Optimizer, dtype: str) -> None:
    for place in range(19):
        w, g = np.ones(19, dtype), np.ones((2, 19), dtype)
        g[0, place] = np.nan
        run(optimizer, w, g, [np.zeros(19, dtype) for _ in optimizer.slots])
        np.testing.assert_array_equal(np.isnan(w), np.arange(19) == place)


def test_descends(optimizer: Optimizer, dtype: str) -> None:
    """The sign of a step: 200 of them down a bowl end nearer to its bottom."""
    w = np.array([1.0, -2.0, 3.0], dtype)
    slots = [np.zeros(3, dtype) for _ in optimizer.slots]
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
        optimizer.kernel(w, g, slots, optimizer.learning_rate, t, optimizer.numbers())
    np.testing.assert_array_equal(np.sign(w), -np.sign(g))


def test_slots_are_as_many_as_the_kernel_asks_for(optimizer: Optimizer) -> None:
    slots = [np.zeros(2) for _ in optimizer.slots]
    optimizer.kernel(np.ones(2), np.ones(2), slots, 0.1, 1, optimizer.numbers())
    for wrong in ([*slots, np.zeros(2)], slots[1:] if slots else [np.zeros(2)] * 2):
        with pytest.raises(ValueError, match=rf"{optimizer.kernel.name} with these numbers keeps {len(slots)} slots"):
            optimizer.kernel(np.ones(2), np.ones(2), wrong, 0.1, 1, optimizer.numbers())


def test_every_kernel_serves_an_optimizer() -> None:
    from fastnn import kernels

    doors = {name for name, door in vars(kernels).items() if type(door).__name__ == "OptimizerKernel"}
    assert doors == {optimizer.kernel.name for optimizer in units(OPTIMIZERS)}

"""Optimizers that look at a whole variable, in every configuration, against their formula in float64."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.optimizers import Adafactor, Lamb, Muon, Optimizer
from support.bindings import bound
from support.guarded import Guard, close

STEPS = 12
EPS = 2.0**-23
# Vectors, rows, columns, squares, wide and tall ones, of more axes; one that no tile of a multiply fits.
SHAPES = [(1,), (7,), (1000,), (1, 9), (9, 1), (2, 2), (5, 17), (17, 5), (64, 64), (33, 130), (130, 33), (3, 4, 5)]


def fresh_slots(optimizer: Optimizer, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [np.full(shape, start) for start in optimizer.slot_starts]


def run(optimizer: Optimizer, w: np.ndarray, g: np.ndarray, slots: list[np.ndarray], t: int, wide: bool) -> None:
    matrix = not isinstance(optimizer, Muon) or w.ndim == 2
    bound(optimizer.kernel)(w, g, slots, optimizer.learning_rate, t, optimizer.numbers(), matrix=matrix, wide=wide)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
def test_follows_its_formula(
    whole_optimizer: Optimizer, shape: tuple[int, ...], wide: bool, guard: Guard, rng: np.random.Generator
) -> None:
    optimizer = whole_optimizer
    w = guard(rng.normal(size=shape), "float32")
    slots = [guard(slot, "float32") for slot in fresh_slots(optimizer, shape)]
    truth, exact = w.astype(float), fresh_slots(optimizer, shape)
    for t in range(1, STEPS + 1):
        g = guard(rng.normal(size=shape), "float32")
        before, start = g.copy(), truth
        run(optimizer, w, g, slots, t, wide)
        np.testing.assert_array_equal(g, before)
        truth = optimizer.reference(truth, g.astype(float), exact, t)
        step = np.abs(truth - start).max()
        # Muon's five rounds stretch small directions of the gradient by 3.44 each, and their errors with them.
        close(w, truth, 2 * t * EPS, t * EPS * (4000 if isinstance(optimizer, Muon) else 100) * step)
    for slot, expected in zip(slots, exact, strict=True):
        close(slot, expected, 32 * EPS, STEPS * EPS * max(1.0, np.abs(expected).max()))


def test_no_gradient_no_step(whole_optimizer: Optimizer) -> None:
    for shape in SHAPES:
        w = np.linspace(-1, 1, int(np.prod(shape)), dtype="f4").reshape(shape)
        before, slots = w.copy(), [slot.astype("f4") for slot in fresh_slots(whole_optimizer, shape)]
        for t in (1, 2, 3):
            run(whole_optimizer, w, np.zeros_like(w), slots, t, False)
        np.testing.assert_array_equal(w, before)


def test_far_step_number(whole_optimizer: Optimizer, rng: np.random.Generator) -> None:
    w, g = rng.normal(size=(2, 5, 9)).astype("f4")
    slots = [np.full((5, 9), 0.5, "f4") for _ in whole_optimizer.slots]
    exact = [slot.astype(float) for slot in slots]
    truth = whole_optimizer.reference(w.astype(float), g.astype(float), exact, 10**6)
    run(whole_optimizer, w, g, slots, 10**6, False)
    close(w, truth, 8 * EPS, 1e-4 * np.abs(truth - w).max() + 64 * EPS)


def test_weights_of_zero_and_huge_gradients_stay_finite(whole_optimizer: Optimizer) -> None:
    for size in (1e-30, 1e-19, 1.0, 1e20, 3e38):
        w = np.zeros((4, 6), "f4")
        slots = [slot.astype("f4") for slot in fresh_slots(whole_optimizer, w.shape)]
        for t, sign in enumerate((1, -1, 0, 1), 1):
            g = (sign * size * np.linspace(-1, 1, 24).reshape(4, 6)).astype("f4")
            run(whole_optimizer, w, g, slots, t, True)
            assert np.isfinite(w).all()
            assert all(np.isfinite(slot).all() for slot in slots)


def test_lamb_steps_are_as_long_as_the_weights() -> None:
    w, slots = np.full((3, 3), 2.0, "f4"), [np.zeros((3, 3), "f4") for _ in range(2)]
    before = w.copy()
    run(Lamb(0.25), w, np.eye(3, dtype="f4") - 0.3, slots, 1, False)
    assert np.linalg.norm(w - before) == pytest.approx(0.25 * np.linalg.norm(before))


def test_adafactor_keeps_means_of_rows_and_columns() -> None:
    g = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "f4")
    w, slot = np.ones((2, 3), "f4"), np.zeros((2, 3), "f4")
    run(Adafactor(), w, g, [slot], 1, False)
    close(slot.ravel(), [*(g**2).mean(axis=1), *(g**2).mean(axis=0), 0.0], 4 * EPS)


@pytest.mark.parametrize("shape", [(8, 8), (8, 20), (20, 8)], ids=str)
def test_muon_steps_are_nearly_orthogonal(shape: tuple[int, int], rng: np.random.Generator) -> None:
    """All singular values of the step lie about 1: within 0.3 of it, as Jordan et al. say of their numbers."""
    w, g = np.zeros(shape, "f4"), rng.normal(size=shape).astype("f4")
    run(Muon(1.0, rms_rate=None), w, g, [np.zeros(shape, "f4") for _ in range(2)], 1, False)
    values = np.linalg.svd(-w, compute_uv=False)
    assert (np.abs(values - 1) < 0.35).all()
    u, _, v = np.linalg.svd(g, full_matrices=False)
    assert np.abs(-w - u @ v).max() < 0.35

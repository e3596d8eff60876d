"""Gradients whose squares are no float32: weights and slots stay finite, and right while float32 holds them."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.engine.description import Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import OPTIMIZERS, Optimizer
from support.units import label, units

MOST = float(np.finfo(np.float32).max)
SIZES = np.array([1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e15, 1.1e15, 1e18, 1.8e19, 1.9e19, 1e20, 5e20, 1e25, 1e30, 3e38])
EVERY = [optimizer for optimizer in units(OPTIMIZERS) if not optimizer.full_batch]


def network(optimizer: Optimizer, w: np.ndarray) -> Network:
    """One that has the optimizer, and the numbers w for parameters that learn."""
    net = Network([DenseOp(w.size, 1, use_bias=False)])
    net.set_variables([Variable(0, w.size)])
    net.set_optimizer(optimizer.kernel, optimizer.numbers(), optimizer.slot_starts)
    net.parameters[: w.size] = w
    return net


@pytest.mark.parametrize("optimizer", EVERY, ids=label)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slots_and_weights_stay_finite(optimizer: Optimizer, sign: float) -> None:
    """Also in the steps after, when the gradients are small again and the slots are not."""
    for factors in ((1, 1, 1, 1), (1, 0, 1e-30, 0), (1, -1, 1, -1), (1e-20, 1, 1e-38, 1e-20)):
        net = network(optimizer, np.linspace(-1, 1, SIZES.size).astype("f4"))
        for factor in factors:
            g = np.zeros_like(net.parameters)
            g[: SIZES.size] = sign * factor * SIZES
            net.step_on_gradients(g, optimizer.learning_rate)
            assert np.isfinite(net.parameters).all()
            assert all(np.isfinite(slot).all() for slot in net.slots)


@pytest.mark.parametrize("optimizer", EVERY, ids=label)
def test_follows_the_formula_while_floats_hold_the_slots(optimizer: Optimizer) -> None:
    w = np.linspace(-1, 1, SIZES.size).astype("f4")
    net, truth = network(optimizer, w), w.astype(float)
    slots = [np.full(w.size, start) for start in optimizer.slot_starts]
    within = np.ones(w.size, bool)
    for t in range(1, 5):
        g = np.zeros_like(net.parameters)
        g[: SIZES.size] = SIZES
        net.step_on_gradients(g, optimizer.learning_rate)
        before = truth
        truth = optimizer.reference(truth, g[: SIZES.size].astype(float), slots, t)
        for slot in (truth, *slots):
            within &= np.abs(slot) < MOST
        assert within.sum() >= 8
        error = np.abs(net.parameters[: SIZES.size] - truth)[within]
        size = np.abs(truth) + 100 * np.abs(truth - before)
        assert (error <= 2e-6 * t * size[within]).all(), (t, SIZES[within][error > 2e-6 * t * size[within]])


def test_adam_after_a_gradient_of_1e20() -> None:
    model = Sequential([Dense(1, input_dim=1)])
    model.compile("adam", "mae")
    start = model.get_weights()[0].item()
    for epoch in (1, 2, 3):
        model.fit([[1e20]], [1.0], epochs=1, verbose=0)
        assert abs(abs(model.get_weights()[0].item() - start) - 0.001 * epoch) < 1e-6

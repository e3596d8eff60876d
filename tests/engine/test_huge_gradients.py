"""Gradients whose squares are no float32: weights and slots stay finite, and right while float32 holds them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.engine.description import Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp
from fastnn.layers import Dense
from fastnn.models import Sequential, load_model
from fastnn.optimizers import OPTIMIZERS, Optimizer
from fastnn.store import safetensors
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


@pytest.mark.parametrize("optimizer", [each for each in EVERY if each.kernel.signature == "optimizer"], ids=label)
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


def fitted(model: Sequential, epochs: int, *callbacks: Any) -> list[bytes]:
    """Rows of ordinary size but in the first epoch; gives all that the epochs leave."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3)).astype(np.float32)

    class Rows:
        def __call__(self, epoch: int, logs: Any) -> None:
            model.stop_training = False
            if epoch == 0:
                model.train_on_batch(x[:8] * np.float32(1e18), rng.standard_normal(8))

    model.fit(x, x[:, 0], 16, epochs, 0, shuffle=False, callbacks=[LambdaCallback(on_epoch_begin=Rows()), *callbacks])
    steps, slots = model.description.trainer.state()
    return [*(w.tobytes() for w in model.get_weights()), *(slot.tobytes() for slot in slots.values()), bytes(steps)]


def model_with(optimizer: Any) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(8, input_dim=3), Dense(1)])
    model.compile(optimizer, "mae")
    return model


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "nadam"])
def test_a_fit_that_goes_on_knows_that_a_gradient_was_huge(name: str, tmp_path: Any) -> None:
    """Else its steps would be those of the other kernel: by a backup, a file, and a new model of its layers."""
    whole = model_with(name)
    wanted = fitted(whole, 6)
    assert whole.description.trainer.huge_gradient

    class Cut(Exception):
        pass

    def cut(epoch: int, logs: Any) -> None:
        if epoch == 3:
            raise Cut

    backup = BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    with pytest.raises(Cut):
        fitted(model_with(name), 6, backup, LambdaCallback(on_epoch_begin=cut))
    resumed = model_with(name)
    assert fitted(resumed, 6, BackupAndRestore(tmp_path / "backup")) == wanted
    assert resumed.description.trainer.huge_gradient

    x = np.random.default_rng(3).standard_normal((64, 3)).astype(np.float32)
    whole.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.description.trainer.huge_gradient
    Sequential([*whole.layers[:1], Dense(2)]).build((3,))  # brings the layer, and so the whole, into a new store
    for model in (whole, again):
        model.fit(x, x[:, 0], 16, 3, 0, shuffle=False)
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    whole.compile(name, "mae")
    assert not whole.description.trainer.huge_gradient


def test_a_backup_of_before_says_nothing_of_it(tmp_path: Any) -> None:
    model = model_with("adam")
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    fitted(model, 2, backup)
    path = tmp_path / "latest.fastnn"
    tensors, metadata = safetensors.read(path)
    place = json.loads(metadata["place"])
    assert place.pop("huge_gradient") is True
    safetensors.write(path, tensors, {"format": "fastnn backup 1", "place": json.dumps(place)})
    other = model_with("adam")
    fitted(other, 3, backup)
    assert other.description.trainer.state()[0] == model.description.trainer.state()[0] + 4

"""L-BFGS as a model's optimizer: what it may touch, what it may remember, and a fit that goes on where it was."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.constraints import MaxNorm
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input
from fastnn.models import Model, Sequential, load_model
from fastnn.optimizers import LBFGS
from support.small import bits, rows

X, Y = rows(40)
KINDS = {"search": LBFGS, "no search": lambda: LBFGS(0.1, line_search=None), "short history": lambda: LBFGS(1.0, 2)}


def model_of(*between: object, optimizer: object = None) -> Sequential:
    fastnn.set_random_seed(2)
    model = Sequential([Dense(9, "tanh", input_dim=5), *between, Dense(2)])
    model.compile(LBFGS() if optimizer is None else optimizer, "mse", metrics=["mae"])
    return model


def fit(model: Model, epochs: int, x: np.ndarray = X, y: np.ndarray = Y, **more: object) -> dict[str, list[float]]:
    return model.fit(x, y, batch_size=len(x), epochs=epochs, verbose=0, **more).history


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("between", [Activation, Dropout, BatchNormalization], ids=lambda layer: layer.__name__)
def test_a_saved_model_goes_on_with_the_same_bits(tmp_path, kind, between):
    given = {Activation: ("tanh",), Dropout: (0.3,)}.get(between, ())
    whole = model_of(between(*given), optimizer=kind())
    halves = model_of(between(*given), optimizer=kind())
    expected = fit(whole, 11)
    fit(halves, 6)
    halves.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    for model in (halves, loaded):
        assert fit(model, 5)["loss"] == expected["loss"][6:]
        assert bits(model) == bits(whole)


def test_a_file_without_its_vectors_is_refused(tmp_path):
    model = model_of()
    fit(model, 4)
    steps, slots = model.description.trainer.state()
    assert steps == 4
    del slots["step_0"]
    with pytest.raises(ValueError, match="L-BFGS keeps w, gradient, step_0"):
        model.description.trainer.go_on(4, slots)


def test_a_killed_fit_goes_on_with_the_same_bits(tmp_path):
    whole, killed, resumed = model_of(), model_of(), model_of()

    def kill(epoch, logs):
        if epoch == 4:
            raise InterruptedError

    expected = fit(whole, 9)
    with pytest.raises(InterruptedError):
        fit(killed, 9, callbacks=[BackupAndRestore(tmp_path / "backup"), LambdaCallback(on_epoch_begin=kill)])
    assert fit(resumed, 9, callbacks=[BackupAndRestore(tmp_path / "backup")])["loss"] == expected["loss"][4:]
    assert bits(resumed) == bits(whole)


def test_a_model_whose_layers_another_takes_up_goes_on():
    whole, moved = model_of(), model_of()
    expected = fit(whole, 9)
    fit(moved, 5)
    first = Input((5,))
    Model(first, Dense(3)(moved(first)))
    assert fit(moved, 4)["loss"] == expected["loss"][5:]
    assert bits(moved) == bits(whole)


def test_other_rows_have_another_loss():
    model = model_of()
    fit(model, 3)
    expected = model.evaluate(X, -Y, verbose=0)[0]
    assert fit(model, 1, y=-Y)["loss"][0] == pytest.approx(expected, rel=1e-6)
    before = model.evaluate(X, Y, verbose=0)[0]
    assert model.train_on_batch(X, Y)[0] == pytest.approx(before, rel=1e-6)


def test_moving_averages_follow():
    model, other = model_of(BatchNormalization(momentum=0.5)), model_of(BatchNormalization(momentum=0.5))
    fit(model, 1)
    other.compile(fastnn.optimizers.SGD(0.0), "mse")
    fit(other, 1, shuffle=False)
    for one, two in zip(model.layers[1].get_weights()[2:], other.layers[1].get_weights()[2:], strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_does_not_learn_is_left_alone():
    model = model_of(Dense(4))
    model.layers[1].trainable = False
    model.compile(LBFGS(), "mse")
    fit(model, 3)
    chosen = [w + 1 for w in model.layers[1].get_weights()]
    model.layers[1].set_weights(chosen)
    fit(model, 3)
    for one, two in zip(model.layers[1].get_weights(), chosen, strict=True):
        np.testing.assert_array_equal(one, two)


def test_constraints_hold():
    model = Sequential([Dense(9, input_dim=5, kernel_constraint=MaxNorm(0.5)), Dense(2)])
    model.compile(LBFGS(), "mse")
    fit(model, 5, y=10 * Y)
    assert np.linalg.norm(model.get_weights()[0], axis=0).max() <= 0.5 * (1 + 1e-6)

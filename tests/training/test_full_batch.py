"""L-BFGS as a model's optimizer: what it may touch, what it may remember, and a fit that goes on where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.constraints import MaxNorm
from fastnn.data import ArraySource
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Input
from fastnn.models import Model, Sequential, load_model
from fastnn.optimizers import LBFGS
from support.layers import RANDOM
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


# Layers of chance


MAKERS = pytest.mark.parametrize("name", RANDOM)


def with_chance(name: str, line_search: str | None = "strong_wolfe") -> tuple[list[float], float, list[bytes]]:
    """The losses of 40 steps on much noise and few rows, the loss of an evaluation after them, and the weights."""
    fastnn.set_random_seed(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 10)).astype(np.float32)
    y = (x[:, :1] + rng.normal(size=(60, 1))).astype(np.float32)
    model = Sequential([Input((10,)), Dense(40, "tanh"), RANDOM[name](), Dense(1)])
    model.compile(LBFGS(line_search=line_search), "mse")
    losses = model.fit(x, y, 60, 40, 0).history["loss"]
    return losses, float(model.evaluate(x, y, verbose=0)), bits(model)


@MAKERS
@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
def test_no_net_learns_one_draw_of_the_noise(name: str, line_search: str | None) -> None:
    """With one draw for the whole fit its loss falls far below that of the net without noise."""
    losses, evaluated, _ = with_chance(name, line_search)
    assert np.mean(losses[-10:]) > 0.9 * evaluated
    assert len(set(losses)) == len(losses)


@MAKERS
def test_the_same_seed_draws_the_same(name: str) -> None:
    assert with_chance(name) == with_chance(name)


class Watched:
    """A network, and the number of the noise in each call of its gradient."""

    def __init__(self, network: Any) -> None:
        vars(self).update(network=network, numbers=[])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.network, name, value)

    def gradient(self, *args: Any, **options: Any) -> float:
        self.numbers.append(options["noise"])
        found: float = self.network.gradient(*args, **options)
        return found


@MAKERS
def test_all_points_of_a_step_have_one_draw(name: str) -> None:
    """Else its line search would compare losses of different functions. The next step has another."""
    x, y = np.random.default_rng(0).normal(size=(2, 50, 6)).astype(np.float32)
    model = Sequential([Input((6,)), Dense(20, "tanh"), RANDOM[name](), Dense(6)])
    model.compile(LBFGS(learning_rate=0.01), "mse")
    model.fit(x, y, 50, verbose=0)
    network = Watched(model.description.network)
    page = next(iter(ArraySource(x, y).pages(50)))
    seen = []
    for _ in range(4):
        network.numbers.clear()
        model.description.trainer.full_batch.step(model.optimizer, network, page, 0.01)
        seen.append(list(network.numbers))
    assert max(map(len, seen)) > 1
    assert all(len(set(numbers)) == 1 for numbers in seen)
    assert len({numbers[0] for numbers in seen}) == 4
    losses = [network.gradient(page.x, page.y, noise=number) for number in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]

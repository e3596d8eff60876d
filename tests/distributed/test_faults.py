"""What ends a fit on several ranks, and what goes on: errors, callbacks, backups, what is not the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, optimizers
from fastnn.callbacks import BackupAndRestore, Callback, LambdaCallback
from fastnn.distributed import LocalCommunicator
from fastnn.engine.description import RowError
from fastnn.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input
from fastnn.models import Model, Sequential
from support.ranks import AbortedError, GoneError, Kill, KilledError, numbers, run, same
from support.small import bits

X, Y = numbers(0, 106, 5), numbers(1, 106, 2)


def model_of(optimizer: Any = "adam", loss: Any = "mse", metrics: Any = None, units: int = 2) -> Model:
    model = Sequential([Input((5,)), Dense(20, "tanh"), Dropout(0.3), BatchNormalization(), Dense(units)])
    model.compile(optimizer, loss, metrics=metrics)
    return model


def fitted(communicator: Any, make: Any = model_of, hooks: Any = list, x: Any = X, y: Any = Y, **how: Any) -> Any:
    model = make()
    how = {"batch_size": 20, "epochs": 3, "verbose": 0, **how}
    history = model.fit(x, y, callbacks=hooks(), distribute=communicator, **how)
    return history.history, history.epoch, bits(model), model.optimizer.get_config()["learning_rate"]


def alone(**how: Any) -> Any:
    with fastnn.random.seeded(0):
        return fitted(None, **how)


def test_one_rank_is_a_fit() -> None:
    with fastnn.random.seeded(0):
        assert fitted(LocalCommunicator()) == alone()
    assert same(1, fitted) == alone()


class Swaps(Callback):
    """Sets weights, in an epoch's end and behind a batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.model.set_weights([w * 0.9 for w in self.model.get_weights()])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["mine"] = float(epoch)


CALLBACKS: dict[str, Any] = {
    "early stopping": lambda: [callbacks.EarlyStopping("loss", patience=0, min_delta=9.0, restore_best_weights=True)],
    "rate": lambda: [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)],
    "plateau": lambda: [callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0)],
    "own": lambda: [Swaps()],
    "validation": lambda: [callbacks.EarlyStopping("val_loss", patience=1)],
    "stops in a batch": lambda: [Stops()],
    "budget": lambda: [callbacks.TimeBudget(1e-9)],
    "evaluates": lambda: [Evaluates()],
}


class Stops(Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training = batch == 2


class Evaluates(Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["again"] = self.model.evaluate(X[:30], Y[:30], verbose=0)
        self.model.gradient(X[:30], Y[:30])


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_run_on_rank_0_and_count_everywhere(name: str) -> None:
    how = {"hooks": CALLBACKS[name], "validation_split": 0.2}
    expected = alone(**how)
    assert same(2, lambda c: fitted(c, **how)) == expected
    if name == "early stopping":
        assert len(expected[1]) < 3


def test_callbacks_that_look_at_averages() -> None:
    def make() -> Model:
        return model_of(optimizers.Adam(use_ema=True, ema_momentum=0.9))

    how = {"make": make, "hooks": lambda: [callbacks.SwapEMAWeights(swap_on_epoch=True)], "validation_split": 0.2}
    assert same(3, lambda c: fitted(c, **how)) == alone(**how)


def test_hooks_run_once() -> None:
    seen: list[int] = []
    run(3, lambda c: fitted(c, hooks=lambda: [LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))]))
    assert seen == [0, 1, 2]


def test_a_checkpoint_is_the_file_of_one_rank(tmp_path: Path) -> None:
    def hooks(name: str) -> Any:
        return [callbacks.ModelCheckpoint(tmp_path / f"{name}{{epoch}}.fastnn"), callbacks.CSVLogger(tmp_path / name)]

    alone(hooks=lambda: hooks("one"))
    same(3, lambda c: fitted(c, hooks=lambda: hooks("three")))
    for name in ("", "1.fastnn", "2.fastnn", "3.fastnn"):
        assert (tmp_path / f"one{name}").read_bytes() == (tmp_path / f"three{name}").read_bytes()


@pytest.mark.parametrize(("first", "then"), [(2, 1), (3, 2), (1, 3), (2, 4)])
def test_other_ranks_go_on_from_a_backup(first: int, then: int, tmp_path: Path) -> None:
    def make() -> Model:
        return model_of(optimizers.Adam(use_ema=True), metrics=["mae"])

    expected = alone(make=make, hooks=lambda: [Kill(99)])
    for killed in (3, 7, 16):
        folder = tmp_path / f"{first} {then} {killed}"

        def hooks(last: int, folder: Path = folder) -> Any:
            return [BackupAndRestore(folder, save_freq=2), Kill(last)]

        with pytest.raises(KilledError):
            same(first, lambda c, last=killed: fitted(c, make=make, hooks=lambda: hooks(last)))
        assert [path.name for path in folder.iterdir()] == ["latest.fastnn"]
        found = same(then, lambda c: fitted(c, make=make, hooks=lambda: hooks(99)))
        assert found[2:] == expected[2:]
        assert [value[-1] for value in found[0].values()] == [value[-1] for value in expected[0].values()]


# What all ranks raise.


def told(size: int, error: type[BaseException], match: str, **how: Any) -> None:
    results = run(size, lambda c: fitted(c, **how))
    assert [type(each) for each in results] == [error] * size
    for each in results:
        with pytest.raises(error, match=match):
            raise each


def test_a_loss_that_is_not_finite() -> None:
    told(2, FloatingPointError, "loss", make=lambda: model_of(optimizers.SGD(1e30)))
    x = X.copy()
    x[77] = np.nan
    told(3, ValueError, "row 77", x=x, shuffle=False)


def test_a_row_of_one_rank_that_cannot_be() -> None:
    def make() -> Model:
        model = Sequential([Input((3,)), Embedding(10, 4), Flatten(), Dense(2)])
        model.compile("adam", "mse")
        return model

    ids = np.ones((106, 3), int)
    ids[95] = 10
    told(2, RowError, "from 0 to 9, got 10 in column . of row 95", make=make, x=ids)


def test_a_callback_that_fails() -> None:
    told(3, KilledError, "at batch 5", hooks=lambda: [Kill(5)])
    told(2, ValueError, "twice", hooks=lambda: [callback := Stops(), callback])


@pytest.mark.parametrize(
    ("what", "loss", "metrics"),
    [("loss", lambda y, p: abs(y - p), None), ("metric", "mse", [lambda y, p: abs(y - p)])],
)
def test_python_is_refused(what: str, loss: Any, metrics: Any) -> None:
    told(2, ValueError, f"{what}.* is Python", make=lambda: model_of(loss=loss, metrics=metrics))


def test_python_in_a_layer_is_refused_by_its_name() -> None:
    from fastnn.layers import Activation

    def make() -> Model:
        model = Sequential([Input((5,)), Dense(4), Activation(lambda x: np.abs(x) * 2, name="mine"), Dense(2)])
        model.compile("sgd", "mse")
        return model

    results = run(2, lambda c: fitted(c, make=make))
    assert all(isinstance(each, ValueError) for each in results)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": X + 1}, "the data of rank 1 is not that of rank 0"),
        ({"y": Y[:, ::-1]}, "the data of rank 1"),
        ({"batch_size": 21}, "the batch_size of rank 1 is not that of rank 0: 21, not 20"),
        ({"epochs": 4}, "the epochs of rank 1"),
        ({"make": lambda: model_of("sgd")}, "the optimizer of rank 1.*SGD"),
        ({"make": lambda: model_of(loss="mae")}, "the model of rank 1"),
        ({"validation_data": (X, Y)}, "the validation data of rank 1"),
        ({"shuffle": False}, "the shuffle of rank 1"),
        ({"x": X[np.r_[1, 0, 2:106]]}, "the data of rank 1"),
        ({"x": np.where(np.arange(5) == 3, -X, X)}, "the data of rank 1"),
        ({"y": np.r_[Y[:-1], Y[-1:] + 1e-7]}, "the data of rank 1"),
        ({"sample_weight": np.ones(106)}, "the data of rank 1"),
    ],
    ids=str,
)
def test_what_differs_is_named(change: dict[str, Any], match: str) -> None:
    results = run(2, lambda c: fitted(c, **(change if c.rank else {})))
    for each in results:
        with pytest.raises(ValueError, match=match):
            raise each


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1"])
def test_labels_in_another_order(dtype: str) -> None:
    """Which are the same numbers of each, and alike in most of their bits."""
    x, y = np.sign(X).astype(dtype), np.array([0, 1] * 53, dtype)
    for change in ({"x": x[::-1], "y": y}, {"x": x, "y": y[::-1]}, {"x": x[:, ::-1], "y": y}):

        def work(communicator: Any, change: Any = change) -> Any:
            how = {"x": x, "y": y, "class_weight": {0: 1, 1: 2}, "make": lambda: model_of(units=1)}
            return fitted(communicator, **{**how, **(change if communicator.rank else {})})

        for each in run(2, work):
            with pytest.raises(ValueError, match="the data of rank 1"):
                raise each


def test_an_instruction_set_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.distributed import meeting

    class Odd:
        def __init__(self) -> None:
            self.count = 0

        @property
        def isa(self) -> str:
            self.count += 1
            return f"set {self.count}"

    monkeypatch.setattr(meeting, "kernels", Odd())
    told(2, ValueError, r"the instruction set \(FASTNN_ISA\) of rank 1 is not that of rank 0")


def test_an_argument_of_one_rank_that_cannot_be() -> None:
    """It fails before the ranks have met, and all of them learn of it."""
    results = run(2, lambda c: fitted(c, **({"x": X[:, :4]} if c.rank else {})))
    for each in results:
        with pytest.raises(ValueError, match="features"):
            raise each


def test_a_rank_that_fails_alone_ends_the_job() -> None:
    def work(communicator: Any) -> Any:
        def rows() -> Any:
            for i in range(0, 100, 20):
                if communicator.rank and i == 60:
                    raise OSError("the disk is gone")
                yield X[i : i + 20], Y[i : i + 20]

        return fitted(communicator, x=rows(), y=None, steps_per_epoch=2, batch_size=None)

    results = run(2, work)
    assert isinstance(results[1], AbortedError)
    assert "OSError: the disk is gone" in str(results[1])
    assert isinstance(results[0], (GoneError, AbortedError))


def test_rows_that_rank_0_alone_has() -> None:
    weight = np.random.default_rng(3).random(106)
    expected = alone(sample_weight=weight)

    def work(communicator: Any) -> Any:
        if communicator.rank:
            return fitted(communicator, x=None, y=None)
        return fitted(communicator, sample_weight=weight)

    assert same(3, work) == expected
    for each in run(2, lambda c: fitted(c, x=None if c.rank else [X, X], y=None)):
        with pytest.raises(TypeError, match="rank 0 gives x to the others as an array, got"):
            raise each


def test_what_is_no_communicator() -> None:
    with pytest.raises(TypeError, match=r"distribute must be a communicator, such as .* which has no rank"):
        model_of().fit(X, Y, distribute="mpi")


def test_after_a_fit_a_model_is_alone_again() -> None:
    def work(communicator: Any) -> Any:
        model = model_of()
        model.fit(X, Y, epochs=1, verbose=0, distribute=communicator)
        if communicator.rank == 0:  # no other rank is needed
            model.fit(X, Y, epochs=1, verbose=0)
            model.predict(X, verbose=0)
        communicator.barrier()
        return None

    assert same(2, work) is None


# Bytes.


def test_bytes_of_a_step() -> None:
    """B * U + P numbers: what the rows give that gradients read, and the parameters."""
    batch, steps, size = 64, 10, 4
    x, y = numbers(0, batch * steps, 20), numbers(1, batch * steps, 3)
    calls = []

    def work(communicator: Any) -> None:
        model = Sequential([Input((20,)), Dense(64, "relu"), Dense(32, "tanh"), Dense(3)])
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0, distribute=communicator)
        calls.append(communicator.calls)

    run(size, work)
    numbers_of_a_row, parameters = 64 + 32 + 64 + 32 + 3, 21 * 64 + 65 * 32 + 33 * 3
    expected = 4 * (batch * numbers_of_a_row + parameters)
    for of_rank in calls:
        of_steps = [total for _, total in of_rank if total > 100][-2 * steps - 2 :]
        assert sum(of_steps) == pytest.approx(steps * expected + 2 * 4 * parameters, rel=0.05)  # and the slots
    sent = [sum(own for own, total in of_rank if total > 100) for of_rank in calls]
    assert max(sent) < 1.3 * sum(sent) / size

"""One model in many threads: whoever reads weights sees those of one moment, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Model, Sequential, losses
from fastnn.callbacks import BackupAndRestore, Callback, LambdaCallback
from fastnn.layers import Dense, Input, Layer
from fastnn.models import load_model
from support.hanging import HANGS, watched
from support.signals import ctrl_c

INPUTS = 20
X = np.random.default_rng(0).standard_normal((320, INPUTS)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2]
EPOCHS = 150


@pytest.fixture(autouse=True, params=[1, 2])
def _ends(capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that hangs ends the run, and says where it was. Each runs with one thread of the engine, and with two."""
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(request.param)
    with watched(capfd):
        yield
    fastnn.set_num_threads(before)


def made(*more: Any, optimizer: str = "adam", loss: Any = "mse") -> Sequential:
    fastnn.set_random_seed(0)
    model = Sequential([Input((INPUTS,)), Dense(96, "relu", name="first"), *more, Dense(96, "relu"), Dense(1)])
    model.compile(optimizer, loss, metrics=["mae"])
    return model


def key(arrays: Any) -> bytes:
    return b"".join(np.asarray(array).tobytes() for array in arrays)


def whole_state(model: Any) -> bytes:
    """Weights and optimizer's vectors; read under one hold of the lock."""
    with model.description.locked():
        steps, slots = model.description.trainer.state()
        return key([*model.get_weights(), np.array(steps), *slots.values()])


def train(model: Any, *callbacks: Any, epochs: int = EPOCHS) -> Any:
    return model.fit(X, Y, 64, epochs, 0, shuffle=False, callbacks=list(callbacks))


def states_of(read: Callable[[Any], Any], model: Any) -> set[Any]:
    """What `read` gives before a fit, and after each of its epochs: what it may give while the fit runs elsewhere."""
    found = {read(model)}
    train(model, LambdaCallback(on_epoch_end=lambda epoch, logs: found.add(read(model))))
    return found


def beside(work: Callable[[], Any], *others: Callable[[], Any]) -> Any:
    """What `work` gives, while the others run again and again in threads of their own. What they raise is raised."""
    errors: list[BaseException] = []
    over = threading.Event()

    def again(other: Callable[[], Any]) -> None:
        try:
            while not over.is_set():
                other()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=again, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    try:
        return work()
    finally:
        over.set()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


READS: dict[str, Callable[[Any], Any]] = {
    "get_weights": lambda model: key(model.get_weights()),
    "a layer": lambda model: key(model.layers[1].get_weights()),
    "a variable": lambda model: key([model.layers[1].kernel]),  # several, as in Keras, each when it is read
    "the trainer": lambda model: (
        key([np.array(model.description.trainer.state()[0])]) + key(model.description.trainer.state()[1].values())
    ),
    "all": whole_state,
    "predict": lambda model: model.predict(X).tobytes(),
    "evaluate": lambda model: tuple(model.evaluate(X, Y, verbose=0)),
}


@pytest.mark.parametrize("name", [name for name in READS if name != "the trainer"])
def test_reads_beside_a_fit_are_of_one_moment(name: str) -> None:
    read = READS[name]
    known, history = states_of(read, made()), train(made()).history
    model, seen = made(), []
    assert beside(lambda: train(model), lambda: seen.append(read(model))).history == history
    assert len(seen) > EPOCHS / 10  # on a loaded machine; one who does not get its turn has one or two
    assert set(seen) <= known
    assert len(set(seen)) > EPOCHS / 20


@pytest.mark.parametrize("how", ["save", "save_weights"])
def test_files_written_beside_a_fit_are_of_one_moment(how: str, tmp_path: Path) -> None:
    """A saved model goes on from the step that it was saved after: weights and slots are of the same one."""
    read = whole_state if how == "save" else READS["get_weights"]
    known = states_of(read, made())
    model, path, seen = made(), tmp_path / "model", []

    def save() -> None:
        getattr(model, how)(path)
        if how == "save":
            seen.append(whole_state(load_model(path)))
        else:
            other = made()
            other.load_weights(path)
            seen.append(read(other))

    beside(lambda: train(model), save)
    assert len(seen) > 1
    assert set(seen) <= known


def test_many_reads_beside_a_fit() -> None:
    known, model, seen = states_of(READS["get_weights"], made()), made(), []
    readers = [lambda: seen.append(key(model.get_weights()))] * 8
    beside(lambda: [train(model, epochs=EPOCHS) for _ in range(1)], *readers)
    assert len(seen) > 1000
    assert set(seen) <= known


@pytest.mark.parametrize("how", ["set_weights", "layers", "load_weights"])
def test_an_answer_is_of_one_set_of_weights(how: str, tmp_path: Path) -> None:
    model = made()
    sets = [[np.full_like(w, value) for w in model.get_weights()] for value in (0.01, -0.02, 0.03)]
    answers = set()
    for number, weights in enumerate(sets):
        model.set_weights(weights)
        model.save_weights(tmp_path / str(number))
        answers.add(model.predict(X).tobytes())

    def write() -> None:
        for number, weights in enumerate(sets):
            if how == "load_weights":
                model.load_weights(tmp_path / str(number))
            elif how == "set_weights":
                model.set_weights(weights)
            else:
                with model.description.locked():  # several calls as one
                    for layer, pair in zip(model.layers, zip(weights[::2], weights[1::2], strict=True), strict=True):
                        layer.set_weights(pair)

    seen = beside(lambda: {model.predict(X).tobytes() for _ in range(1500)}, write)
    assert len(answers) == 3
    assert seen <= answers
    assert len(seen) > 1


def test_threads_have_their_turns() -> None:
    """A thread that trains in a loop does not keep the others out; nor do many that predict."""
    model, counts = made(), [0] * 6

    def predict(number: int) -> Callable[[], None]:
        def once() -> None:
            model.predict(X)
            counts[number] += 1

        return once

    train(model, epochs=1)
    beside(lambda: train(model), *map(predict, range(len(counts))))
    assert min(counts) > EPOCHS / 10


# Within a run


class Reads(Layer):
    """A layer that uses its model while it runs."""

    used: Any = None

    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        if self.used is not None and training:
            self.used()
        return x

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return d, []


def uses(model: Any, folder: Path) -> None:
    """All that may be done with a model within a run of it."""
    weights = model.get_weights()
    model.set_weights(weights)
    model.layers[0].set_weights(model.layers[0].get_weights())
    model.save(folder / "model")
    model.save_weights(folder / "weights")
    model.load_weights(folder / "weights")
    model.description.trainer.state()
    model.count_params()
    assert key(load_model(folder / "model", {"Reads": Reads}).get_weights()) == key(weights)


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end"])
def test_callbacks_use_their_model(hook: str, tmp_path: Path) -> None:
    plain, model = made(), made()
    train(plain, epochs=3)
    callback = Callback()
    setattr(callback, hook, lambda *_: uses(model, tmp_path))
    train(model, callback, epochs=3)
    assert whole_state(model) == whole_state(plain)


def test_a_layer_and_a_loss_in_python_use_their_model(tmp_path: Path) -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        if inside:
            uses(inside[0], tmp_path)
        return ((y_true - y_pred) ** 2).mean(axis=-1)

    inside: list[Any] = []
    ends = []
    for used in (False, True):
        model = made(layer := Reads(), loss=losses.Custom(loss, lambda y_true, y_pred: 2 * (y_pred - y_true)))
        model.fit(X[:40], Y[:40], 20, verbose=0, shuffle=False)
        if used:
            object.__setattr__(
                layer, "used", lambda model=model: (model.get_weights(), model.set_weights(model.weights))
            )
            inside.append(model)
            model.save = model.save_weights = model.load_weights = lambda path: None  # a Custom loss is not saved
            with contextlib.suppress(FileNotFoundError):
                uses(model, tmp_path)
            inside.clear()
        model.fit(X[:40], Y[:40], 20, verbose=0, shuffle=False)
        ends.append(whole_state(model))
    assert ends[0] == ends[1]


@contextlib.contextmanager
def on_alarm(handler: Callable[[], Any], seconds: float, most: int) -> Iterator[list[int]]:
    """Call the handler as a signal's, at most so many times; gives how often it was.

    A batch in which weights are set begins anew, so one that takes longer than `seconds` would never end.
    """
    calls: list[int] = []

    def handle(*_: Any) -> None:
        handler()
        calls.append(1)
        if len(calls) == most:
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield calls
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


needs_alarm = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no such signal here")


@needs_alarm
@pytest.mark.parametrize("batch_size", [64, 40_000])
def test_a_signal_handler_uses_a_model_that_trains(batch_size: int, tmp_path: Path) -> None:
    """In the midst of a batch, too."""
    x, y = np.tile(X, (250, 1)), np.tile(Y, (250, 1))
    model, plain = made(), made()
    plain.fit(x, y, batch_size, 12, 0, shuffle=False)
    with on_alarm(lambda: uses(model, tmp_path), 0.06, 20) as calls:
        model.fit(x, y, batch_size, 12, 0, shuffle=False)
    assert calls
    assert whole_state(model) == whole_state(plain)


@needs_alarm
def test_a_batch_is_of_one_set_of_weights_though_a_handler_sets_others(tmp_path: Path) -> None:
    """What it had done by then is done again."""
    x = np.tile(X, (2800, 1))
    model = made()
    sets = [[np.full_like(w, value) for w in model.get_weights()] for value in (0.01, -0.02)]
    answers = set()
    for weights in sets:
        model.set_weights(weights)
        answers.add(model.predict(x).tobytes())
    y = np.tile(Y, (2800, 1))
    figures, ends = [], set()
    for weights in sets:
        model.set_weights(weights)
        figures.append(model.evaluate(x, y, verbose=0))
        model = made(optimizer="sgd")
        model.set_weights(weights)
        model.fit(x, y, len(x), 1, 0, shuffle=False)
        ends.add(key(model.get_weights()))
    called = 0
    for number in range(6):
        old, new = sets[number % 2], sets[1 - number % 2]
        model.set_weights(old)
        with on_alarm(lambda new=new: model.set_weights(new), 0.051, 1) as calls:
            if number % 3 == 0:
                assert model.predict(x).tobytes() in answers
            elif number % 3 == 1:
                assert model.evaluate(x, y, verbose=0) in figures
            else:
                model.fit(x, y, len(x), 1, 0, shuffle=False)
                assert key(model.get_weights()) in ends
            called += len(calls)
    assert called


@needs_alarm
def test_a_handler_that_always_writes_ends_at_last() -> None:
    model, x = made(), np.tile(X, (700, 1))
    with on_alarm(lambda: model.set_weights(model.get_weights()), 0.051, 20):
        model.predict(x)


def test_a_run_within_a_run_is_an_error_still() -> None:
    model = made(layer := Reads())
    object.__setattr__(layer, "used", lambda: model.predict(X[:1]))
    with pytest.raises(RuntimeError, match="this model is running already in this thread"):
        train(model, epochs=1)
    object.__setattr__(layer, "used", lambda: Sequential([Input((INPUTS,)), model.layers[0], Dense(1)]))
    with pytest.raises(RuntimeError, match="a model with these layers is running in this thread"):
        train(model, epochs=1)
    object.__setattr__(layer, "used", None)
    train(model, epochs=1)


# Models that share layers


def pair() -> tuple[Any, Any]:
    """Two models with an encoder in common; only the first learns."""
    fastnn.set_random_seed(0)
    rows = Input((INPUTS,))
    encoded = Dense(64, "tanh")(Dense(96, "relu")(rows))
    whole, part = Model(rows, Dense(1)(encoded)), Model(rows, encoded)
    whole.compile("adam", "mse")
    part.compile("sgd", "mse")
    return whole, part


@pytest.mark.parametrize("name", ["get_weights", "predict", "a layer"])
def test_a_model_reads_what_another_trains(name: str) -> None:
    read = READS[name]
    whole, part = pair()
    known = {read(part)}
    train(whole, LambdaCallback(on_epoch_end=lambda epoch, logs: known.add(read(part))))
    whole, part = pair()
    seen: list[Any] = []
    beside(lambda: train(whole), lambda: seen.append(read(part)))
    assert len(seen) > EPOCHS / 10
    assert set(seen) <= known


def test_a_layer_that_moves_to_another_model_while_it_trains_loses_no_step() -> None:
    """A new model brings its layers into a new store; the fit goes on there."""
    plain, model = made(), made()
    train(plain)
    others: list[Any] = []
    beside(
        lambda: train(model),
        lambda: (others.append(Sequential([Input((INPUTS,)), model.layers[0], Dense(2)])), time.sleep(0.002)),
    )
    assert len(others) > 1
    assert whole_state_by_name(model) == whole_state_by_name(plain)
    assert key(others[-1].layers[0].get_weights()) == key(plain.layers[0].get_weights())


def whole_state_by_name(model: Any) -> dict[str, bytes]:
    steps, slots = model.description.trainer.state()
    found = {name: view.tobytes() for name, view in model.description.arrays().items()}
    for slot, flat in slots.items():
        found |= {f"{slot}/{name}": view.tobytes() for name, view in model.description.arrays(flat).items()}
    return {**found, "steps": str(steps).encode()}


def test_two_threads_make_models_of_the_same_layers_and_train_them() -> None:
    for _ in range(20):
        layers = [Dense(32, "relu"), Dense(32, "tanh")]
        models: list[Any] = []

        def work(first: int, layers: Any = layers, models: Any = models) -> None:
            rows = Input((INPUTS,) if first == 0 else (32,))
            model = Model(rows, Dense(1)(layers[1](layers[0](rows) if first == 0 else rows)))
            model.compile("adam", "mse")
            x = X if first == 0 else np.tile(X, (1, 2))[:, :32]
            model.fit(x, Y, 64, 5, 0)
            models.append(model)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1, 0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(models) == 4
        assert all(model.description.store is layers[1]._place.store for model in models)


# Fits, compilations, evaluations at once


def test_two_fits_of_one_model_take_turns() -> None:
    """Each epoch trains on what the other has left, and each history has all its epochs."""
    model = made()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(train(model, epochs=30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(history.history["loss"]) for history in found] == [30] * 3
    assert model.description.trainer.state()[0] == 3 * 30 * 5
    assert np.isfinite(key_of_losses(found)).all()


def key_of_losses(found: Any) -> np.ndarray:
    return np.array([history.history["loss"] for history in found])


def test_compile_while_another_thread_trains() -> None:
    """A fit goes on by what it began with, and both count their own steps."""
    model = made()
    model.predict(X)

    def again() -> None:
        model.compile("sgd", "mae")
        model.evaluate(X, Y, verbose=0)
        model.train_on_batch(X[:32], Y[:32])

    begun = threading.Event()
    begins = LambdaCallback(on_train_begin=lambda logs: begun.set())
    history = beside(lambda: train(model, begins, epochs=30), lambda: begun.wait() and again()).history
    assert len(history["loss"]) == 30
    assert set(history) >= {"loss", "mae"}
    assert np.isfinite(history["loss"]).all()


@needs_alarm
def test_ctrl_c_while_another_thread_has_the_model() -> None:
    model = made()
    train(model, epochs=1)
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with model.description.locked():
            begun.set()
            over.wait(HANGS)

    for call in (model.get_weights, lambda: model.predict(X), lambda: train(model), lambda: model.save("never")):
        thread = threading.Thread(target=hold)
        begun.clear()
        over.clear()
        thread.start()
        begun.wait()
        try:
            ctrl_c(call)
        finally:
            over.set()
            thread.join()
    train(model, epochs=1)  # nobody holds it
    assert not Path("never").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_a_fork_uses_a_model_that_another_thread_trained(tmp_path: Path) -> None:
    """The thread that had the lock is not in the child."""
    model = made()
    train(model, epochs=1)

    def child() -> int:
        pid = os.fork()
        if pid == 0:
            try:
                model.get_weights()
                model.predict(X)
                model.save(tmp_path / "model")
                train(model, epochs=1)
                os._exit(0)
            except BaseException:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    codes = beside(lambda: [child() for _ in range(20)], lambda: train(model, epochs=5))
    assert codes == [0] * 20


def test_a_backup_written_beside_other_threads_goes_on_to_the_bit(tmp_path: Path) -> None:
    """Predictions and reads meanwhile change nothing of it."""
    whole = made()
    train(whole, epochs=8)
    cut = made()

    class Cut(Exception):
        pass

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 4:
            raise Cut

    def fit() -> None:
        with pytest.raises(Cut):
            train(cut, BackupAndRestore(tmp_path / "b"), LambdaCallback(on_epoch_begin=stop), epochs=8)

    beside(fit, lambda: cut.predict(X), cut.get_weights)
    again = made()
    train(again, BackupAndRestore(tmp_path / "b"), epochs=8)
    assert whole_state(again) == whole_state(whole)

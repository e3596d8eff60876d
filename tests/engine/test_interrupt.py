"""What stops a run from outside: Ctrl-C, a callback's exception, a call from inside the run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential

BOUND = 2.0  # seconds of the processor, which a busy machine takes no more of; 0.1 is meant

main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="Python answers signals in the main thread",
)


@contextmanager
def handler(function: Callable[..., Any]) -> Iterator[None]:
    """SIGINT goes to `function` meanwhile."""
    before = signal.signal(signal.SIGINT, function)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class CtrlC:
    """Sends SIGINT from another thread, shortly after the block has begun, and notes when."""

    def __init__(self, after: float = 0.1) -> None:
        self.timer = threading.Timer(after, self.send)
        self.sent = 0.0

    def send(self) -> None:
        self.sent = time.process_time()
        signal.raise_signal(signal.SIGINT)

    def __enter__(self) -> CtrlC:
        self.timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.latency = time.process_time() - self.sent
        self.timer.cancel()
        self.timer.join()


def model_of(*sizes: int, dropout: float = 0.0) -> Sequential:
    fastnn.set_random_seed(4)
    hidden = [Dense(n, "relu", input_dim=sizes[0] if i == 0 else None) for i, n in enumerate(sizes[1:-1])]
    model = Sequential([*hidden, Dropout(dropout), Dense(sizes[-1])])
    model.compile(fastnn.optimizers.SGD(1e-6), "mse")
    return model


def rows(n: int, inputs: int, units: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, inputs)).astype(np.float32)
    return x, rng.standard_normal((n, units)).astype(np.float32)


def stopped(call: Callable[[], object]) -> None:
    """Assert that Ctrl-C ends the call in time."""
    with handler(signal.default_int_handler), CtrlC() as ctrl_c, pytest.raises(KeyboardInterrupt):
        call()
    assert ctrl_c.latency < BOUND


# Rows, sizes, batch, epochs: each would take ten seconds or more, but the last, which is one step of 0.2 to 1 s.
FITS = {
    "short epochs": (100, (10, 10, 1), 10, 1_000_000),
    "one epoch": (100_000, (16, 512, 512, 1), 1, 1),
    "wide layers": (4000, (784, 256, 256, 10), 64, 200),
    "large batches": (20_000, (64, 128, 10), 20_000, 1000),
    "one batch": (12_000, (64, 1024, 1024, 10), 12_000, 1),
}


@main_thread
@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_in_fit(name):
    n, sizes, batch_size, epochs = FITS[name]
    x, y = rows(n, sizes[0], sizes[-1])
    model, same = model_of(*sizes, dropout=0.2), model_of(*sizes, dropout=0.2)
    stopped(lambda: model.fit(x, y, batch_size, epochs, 0, shuffle=False))
    # It stood still between two steps: as many steps, not interrupted, end with the same bits.
    whole, steps = divmod(model.description.network.iterations, -(-n // batch_size))
    if whole:
        same.fit(x, y, batch_size, whole, 0, shuffle=False)
    if steps:
        rest = slice(steps * batch_size)
        same.fit(x[rest], y[rest], batch_size, 1, 0, shuffle=False)
    for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    model.fit(x[:200], y[:200], batch_size, verbose=0)
    assert model.predict(x[:3]).shape == (3, sizes[-1])


@main_thread
@pytest.mark.parametrize("action", ["evaluate", "predict"])
def test_ctrl_c_without_training(action):
    model = model_of(64, 1024, 1024, 4)
    x, y = rows(1000, 64, 4)
    x, y = np.tile(x, (300, 1)), np.tile(y, (300, 1))
    before = model.get_weights()
    stopped(lambda: model.predict(x) if action == "predict" else model.evaluate(x, y, verbose=0))
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.predict(x[:2]).shape == (2, 4)


@main_thread
def test_ctrl_c_while_another_thread_has_the_model():
    model = model_of(64, 64, 1)
    x, y = rows(30_000, 64, 1)
    model.fit(x[:64], y[:64], verbose=0)
    held, done = threading.Event(), threading.Event()

    def hold(_: int, __: float) -> None:
        held.set()
        done.wait(2 * BOUND)

    def fit() -> None:
        model.description.network.fit_epoch(np.tile(x, (5, 1)), np.tile(y, (5, 1)), None, None, 1, 0.0, hold)

    other = threading.Thread(target=fit)
    other.start()
    try:
        assert held.wait(30)
        stopped(lambda: model.predict(x))
    finally:
        done.set()
        other.join()
    assert model.predict(x[:2]).shape == (2, 1)


@main_thread
def test_a_handler_that_raises_nothing_lets_the_run_go_on():
    model = model_of(10, 10, 1)
    x, y = rows(1000, 10, 1)
    seen: list[int] = []
    began = time.perf_counter()
    with handler(lambda number, _: seen.append(number)), CtrlC(0.05):
        while not seen and time.perf_counter() - began < 10:
            model.fit(x, y, 10, 200, 0)
    assert seen == [signal.SIGINT]


@main_thread
@pytest.mark.parametrize("action", ["fit", "evaluate", "predict", "compile"])
def test_a_call_from_inside_a_run_is_refused(action):
    model = model_of(16, 512, 512, 1)
    x, y = rows(100, 16, 1)
    model.fit(x, y, verbose=0)

    def call(*_: object) -> None:
        if action == "compile":
            model.compile("adam", "mae")
        getattr(model, "fit" if action == "compile" else action)(*(x,) if action == "predict" else (x, y))

    many = np.tile(x, (1000, 1)), np.tile(y, (1000, 1))
    with handler(call), CtrlC() as ctrl_c, pytest.raises(RuntimeError, match="running already"):
        model.fit(*many, 1, verbose=0)
    assert ctrl_c.latency < BOUND
    assert model.predict(x).shape == (100, 1)


# What a progress callback raises


class Stop(Exception):
    pass


def longer_and_longer(network: Any, action: str, progress: Any) -> None:
    """Run over more and more rows: at some length, 50 ms go by and `progress` is called."""
    x, y = rows(2000, 100, 1)
    while len(x) < 10**6:
        arguments = {"fit_epoch": (x, y, None, None, 1, 1e-9), "evaluate": (x, y, None), "predict": (x,)}
        getattr(network, action)(*arguments[action], progress=progress)
        x, y = np.tile(x, (2, 1)), np.tile(y, (2, 1))


@pytest.mark.parametrize("action", ["fit_epoch", "evaluate", "predict"])
def test_what_progress_raises_comes_out(action):
    model = model_of(100, 200, 200, 1)
    x, y = rows(10, 100, 1)
    model.fit(x, y, verbose=0)
    seen: list[int] = []

    def progress(done: int, loss: float) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        longer_and_longer(model.description.network, action, progress)
    assert all(done > 0 for done in seen)
    assert np.isfinite(model.predict(x)).all()
    model.fit(x, y, verbose=0)


def test_progress_that_cannot_be_called():
    model = model_of(100, 200, 1)
    model.fit(*rows(2, 100, 1), verbose=0)
    with pytest.raises(TypeError, match="not callable"):
        longer_and_longer(model.description.network, "fit_epoch", 5)
    model.fit(*rows(2, 100, 1), verbose=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_uses_the_model():
    model = model_of(10, 10, 1)
    x, y = rows(100, 10, 1)
    model.fit(x, y, verbose=0)
    before = model.predict(x)
    child = os.fork()
    if child == 0:
        same = np.array_equal(model.predict(x), before)
        model.fit(x, y, verbose=0)
        os._exit(0 if same and np.isfinite(model.predict(x)).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""Memory is bounded, and what no machine has is refused with its size; whatever is refused leaves nothing behind."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import kernels, optimizers
from fastnn.data import ArraySource
from fastnn.engine import machine
from fastnn.engine.description import Metric, Objective, Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import ActivationOp, DenseOp
from fastnn.layers import BatchNormalization, Concatenate, Dense, Dot, Flatten, Input, TimeDistributed
from fastnn.models import Model, Sequential
from fastnn.optimizers.schedules import CosineDecay
from support.networks import set_loss
from support.small import bits

SMALLEST = np.array([5e-324, 1e-310])


def stands(network: Network) -> None:
    """Nobody holds its lock, and this thread's denormal numbers are what they are."""
    assert (SMALLEST * 1.5 > 0).all()
    done: list[Any] = []
    x = np.ones((2, network.inputs), np.float32)
    thread = threading.Thread(target=lambda: done.append(network.predict(x)), daemon=True)
    thread.start()
    thread.join(20)
    assert done, "the network is locked"


def doubled(times: int) -> Model:
    x = h = Input((1,))
    for _ in range(times):
        h = Concatenate()([h, h])
    model = Model(x, Dot(1)([h, h]))
    model.compile("sgd", "mse")
    return model


# What is refused


@pytest.mark.parametrize("action", ["fit", "gradient", "evaluate by batch", "train_on_batch"])
def test_a_batch_beyond_the_machine(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what a row and the batch take, and the model goes on with smaller batches."""
    model = Sequential([Input((8,)), Dense(100), Dense(100), Dense(1)])
    model.compile("adam", "dice" if action in ("gradient", "evaluate by batch") else "mse")
    x, y = np.ones((4000, 8), np.float32), np.ones((4000, 1), np.float32)
    net = model.description.trainer.ready(ArraySource(x[:2], y[:2]))
    before = bits(model)
    monkeypatch.setattr(machine, "memory", lambda: 2 * 10**6)
    words = (
        r"4000 rows at once take [\d.]+ MB \([\d.e+]+ (bytes|kB) for each row\), more than the 2 MB of this "
        r"machine; make batch_size or the layers smaller"
    )
    with pytest.raises(MemoryError, match=words):
        {
            "fit": lambda: model.fit(x, y, 4000, verbose=0),
            "gradient": lambda: net.gradient(x, y),
            "train_on_batch": lambda: model.train_on_batch(x, y),
            "evaluate by batch": lambda: model.evaluate(x, y, 4000, 0),
        }[action]()
    stands(net)
    assert bits(model) == before
    assert net.iterations == 0
    model.fit(x, y, 100, verbose=0)
    assert net.iterations == 40
    model.evaluate(x, y, 100, 0)
    assert model.predict(x).shape == (4000, 1)


def test_the_memory_that_is_said_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared with the machine's is what is allocated, to a fifth, for every kind of op that is large."""
    x = Input((16, 8))
    h = TimeDistributed(Dense(32, "tanh"))(x)
    h = Flatten()(BatchNormalization()(h))
    model = Model(x, Dense(4)(Dense(300, "gelu")(h)))
    model.compile("sgd", "mse")
    rows = np.ones((2000, 128), np.float32), np.ones((2000, 4), np.float32)
    said: list[int] = []

    def readable(size: float) -> str:
        said.append(int(size))
        return str(size)

    net = model.description.trainer.ready(ArraySource(rows[0].reshape(-1, 16, 8), rows[1]))
    with monkeypatch.context() as patch:
        patch.setattr(machine, "memory", lambda: 1)
        patch.setattr(machine, "readable", readable)
        with pytest.raises(MemoryError):
            net.gradient(*rows)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        net.gradient(*rows)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 * said[0] < taken < 1.2 * said[0]


def test_26_doublings_say_what_a_row_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = doubled(26)
    x, y = np.ones((64, 1), np.float32), np.ones((64, 1), np.float32)
    monkeypatch.setattr(machine, "memory", lambda: 2 * 10**9)
    with pytest.raises(MemoryError, match=r"4 rows at once take 2.15 GB \(537 MB for each row\), more than the 2 GB"):
        model.fit(x, y, 64, verbose=0)  # four at a time
    monkeypatch.setattr(machine, "memory", lambda: 5 * 10**8)
    with pytest.raises(MemoryError, match=r"1 rows at once take 5\d\d MB"):
        model.predict(x[:1])
    stands(doubled(2).description.network)


def test_59_doublings_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"at most 2\*\*31 can be"):
        doubled(59)


@pytest.mark.parametrize("threads", [1, 2])
def test_predict_takes_few_large_rows_at_a_time(threads: int) -> None:
    """256 MB of rows for each thread, or one row where that is more; to the bit what single rows give."""
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    model = doubled(18)  # 2 MB a row
    x = np.linspace(-1, 1, 400).astype(np.float32)[:, None]
    tracemalloc.start()
    try:
        out = model.predict(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        fastnn.set_num_threads(before)
    assert peak < 1.1 * threads * 2**28
    np.testing.assert_array_equal(out[[0, 7, 399]], [model.predict(x[i : i + 1])[0] for i in (0, 7, 399)])
    np.testing.assert_allclose(out, x**2 * 2**18, rtol=1e-3)


def test_evaluate_takes_few_large_rows_at_a_time() -> None:
    """And adds their losses up in one order, for any number of threads."""
    before = fastnn.get_num_threads()
    x = h = Input((1,))
    for _ in range(21):  # 32 MB a row, half a block of rows at a time
        h = Concatenate()([h, h])
    model = Model(x, Dense(3)(Concatenate()([Dot(1)([h, h]), x])))
    model.compile("sgd", "mae")
    rng = np.random.default_rng(0)
    rows = 1e-3 * rng.random((50, 1), np.float32), rng.random((50, 3), np.float32)
    losses = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        losses.append(model.evaluate(*rows, verbose=0))
    fastnn.set_num_threads(before)
    assert losses[0] == losses[1] == losses[2]


# Sizes far beyond the rows


@pytest.mark.parametrize("size", [100, 2**31, 2**40, 2**62])
@pytest.mark.parametrize("rate", [0.01, CosineDecay(0.01, 10)])
def test_a_batch_of_more_rows_than_there_are(size: int, rate: Any) -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 100, 3)).astype(np.float32)
    y = np.abs(np.tanh(y))
    results = []
    for batch_size in (100, size):
        fastnn.set_random_seed(0)
        model = Sequential([Input((3,)), Dense(5, "tanh"), Dense(3)])
        model.compile(optimizers.Adam(rate), "dice")
        history = model.fit(x, y, batch_size, 3, 0).history["loss"]
        results.append((history, model.evaluate(x, y, batch_size, 0), model.predict(x, batch_size).tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("size", [2**63 - 1, 2**63, 2**80])
@pytest.mark.parametrize("action", ["fit", "evaluate", "predict"])
def test_batch_sizes_that_are_no_count(action: str, size: int) -> None:
    model = Sequential([Input((3,)), Dense(3)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3))
    given: dict[str, Any] = {"batch_size": size, "verbose": 0}
    with pytest.raises(ValueError, match=f"batch_size must be at most 4,611,686,018,427,387,904, got {size}"):
        getattr(model, action)(x, *([x] if action != "predict" else []), **given)


@pytest.mark.parametrize("size", [2**31, 2**62, 2**63 - 1])
def test_the_network_takes_any_batch_size(size: int) -> None:
    """Its own check, which Python's stand before."""
    x, y = np.random.default_rng(0).standard_normal((2, 7, 2)).astype(np.float32)
    ends = []
    for batch_size in (7, size):
        net = bare()
        said = net.fit_epoch(x, y, None, None, batch_size, np.array([0.1]))
        ends.append((said, net.evaluate(x, y, None, None, batch_size), net.parameters.tobytes()))
        with pytest.raises(ValueError, match="start and stop must be row numbers"):
            net.fit_epoch(x, y, None, None, batch_size, 0.1, None, 0, 2**63 - 1)
        with pytest.raises(ValueError, match="learning_rate must have one number for each of 1 steps"):
            net.fit_epoch(x, y, None, None, batch_size, np.ones(2))
    assert ends[0] == ends[1]


def bare() -> Network:
    net = Network([DenseOp(2, 2), ActivationOp(2, activation=kernels.tanh)])
    net.parameters[: net.ops[0].size] = np.linspace(-1, 1, net.ops[0].size)
    set_loss(net, kernels.mean_squared_error, 2)
    net.set_optimizer(kernels.sgd, (0.0, 0.0))
    return net


def test_no_rows_at_all() -> None:
    net = bare()
    none = np.empty((0, 2), np.float32)
    before = net.parameters.copy()
    assert net.fit_epoch(none, none, None, None, 3, 0.1) == (0, 0.0, True)
    assert net.fit_epoch(none, none, np.empty(0, np.float32), np.empty(0, np.uint32), 3, np.empty(0)) == (0, 0.0, True)
    assert net.evaluate(none, none, None) == 0
    assert net.predict(none).shape == (0, 2)
    assert net.gradient(none, none) == 0
    assert net.iterations == 0
    np.testing.assert_array_equal(net.parameters, before)
    stands(net)


# Whatever raises leaves the lock open and the caller's arithmetic as it was


class Broken:
    """What cannot be read as a number, after a while."""

    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __index__(self) -> int:
        raise RuntimeError("no number")

    def __iter__(self) -> Any:
        yield 1.0
        raise RuntimeError("no number")

    def __len__(self) -> int:
        return 1


X = np.ones((3, 2), np.float32)
MSE = kernels.mean_squared_error
SGD = kernels.sgd
WRONG: dict[str, Callable[[Network], Any]] = {
    "numbers of text": lambda net: net.set_numbers(("a", 0.0)),
    "too many numbers": lambda net: net.set_numbers((0.0,) * 99),
    "numbers that raise": lambda net: net.set_numbers(Broken()),
    "clipnorm of text": lambda net: net.set_numbers((0.0, 0.0), clipnorm="1"),
    "clipvalue that raises": lambda net: net.set_numbers((0.0, 0.0), clipvalue=Broken()),
    "global_clipnorm complex": lambda net: net.set_numbers((0.0, 0.0), global_clipnorm=1j),
    "decay a list": lambda net: net.set_numbers((0.0, 0.0), weight_decay=[1]),
    "ema_momentum of text": lambda net: net.set_numbers((0.0, 0.0), ema_momentum="a"),
    "ema_overwrite_frequency huge": lambda net: net.set_numbers((0.0, 0.0), ema_overwrite_frequency=2**63),
    "an optimizer that is a loss": lambda net: net.set_optimizer(MSE, (0.0, 0.0)),
    "an optimizer that is none": lambda net: net.set_optimizer(None, (0.0, 0.0)),
    "an optimizer of many slots": lambda net: net.set_optimizer(SGD, (0.0, 0.0), (0.0,) * 9),
    "an optimizer's slot of text": lambda net: net.set_optimizer(SGD, (0.0, 0.0), ("a",)),
    "accumulation of text": lambda net: net.set_optimizer(SGD, (0.0, 0.0), accumulation="2"),
    "accumulation huge": lambda net: net.set_optimizer(SGD, (0.0, 0.0), accumulation=2**63),
    "an optimizer's numbers": lambda net: net.set_optimizer(SGD, Broken()),
    "variables that are none": lambda net: net.set_variables(None),
    "variables that raise": lambda net: net.set_variables(Broken()),
    "a variable outside": lambda net: net.set_variables([Variable(0, 10**6)]),
    "a variable of huge shape": lambda net: net.set_variables([Variable(0, 2**62, 2**62)]),
    "a variable whose size wraps": lambda net: net.set_variables([Variable(0, 2**32, 2**32)]),
    "a variable below": lambda net: net.set_variables([Variable(-4, 2)]),
    "variables that overlap": lambda net: net.set_variables([Variable(0, 4), Variable(2, 4)]),
    "a variable of part of a row": lambda net: net.set_variables([Variable(0, 3)]),
    "a penalty of another family": lambda net: net.set_variables([Variable(0, 2, 2, penalty=(MSE, ()))]),
    "a penalty with text": lambda net: net.set_variables([Variable(0, 2, 2, penalty=(kernels.orthogonal, ("a",)))]),
    "a constraint of another family": lambda net: net.set_variables([Variable(0, 2, 2, constraint=(MSE, ()))]),
    "l2 of text": lambda net: net.set_variables([Variable(0, 2, 2, l2="1")]),  # type: ignore[arg-type]
    "frozen too short": lambda net: net.set_variables([Variable(0, 4)], []),
    "frozen too long": lambda net: net.set_variables([Variable(0, 4)], [False] * 3),
    "frozen that raises": lambda net: net.set_variables([Variable(0, 4)], Broken()),
    "no objective": lambda net: net.set_objectives([]),
    "an objective that is none": lambda net: net.set_objectives([None]),
    "a loss of another family": lambda net: net.set_objectives([Objective(SGD, 2)]),
    "a loss's numbers": lambda net: net.set_objectives([Objective(MSE, 2, Broken())]),  # type: ignore[arg-type]
    "a reduction that is none": lambda net: net.set_objectives([Objective(MSE, 2, reduction="median")]),
    "an importance of text": lambda net: net.set_objectives([Objective(MSE, 2, importance="a")]),  # type: ignore[arg-type]
    "a shape of another size": lambda net: net.set_objectives([Objective(MSE, 2, shape=(3, 4))]),
    "a shape of nothing": lambda net: net.set_objectives([Objective(MSE, 2, shape=(0, 2))]),
    "targets huge": lambda net: net.set_objectives([Objective(MSE, 2**63)]),
    "targets below 0": lambda net: net.set_objectives([Objective(MSE, 0)]),
    "a metric of another family": lambda net: net.set_objectives([Objective(MSE, 2, metrics=[Metric(SGD)])]),
    "a metric's numbers": lambda net: net.set_objectives([Objective(MSE, 2, metrics=[Metric(MSE, Broken())])]),  # type: ignore[arg-type]
    "a learning rate of text": lambda net: net.fit_epoch(X, X, None, None, 3, "a"),
    "a learning rate that raises": lambda net: net.fit_epoch(X, X, None, None, 3, Broken()),
    "learning rates of text": lambda net: net.fit_epoch(X, X, None, None, 3, np.array(["a"])),
    "learning rates that are objects": lambda net: net.fit_epoch(X, X, None, None, 3, np.array([Broken()])),
    "a start that raises": lambda net: net.fit_epoch(X, X, None, None, 3, 0.1, None, Broken()),
    "a stop that raises": lambda net: net.fit_epoch(X, X, None, None, 3, 0.1, None, 0, Broken()),
    "rows that raise": lambda net: net.fit_epoch(Broken(), X, None, None, 3, 0.1),
    "y that is none": lambda net: net.evaluate(X, None, None),
    "gradients too short": lambda net: net.step_on_gradients(np.zeros(3, np.float32), 0.1),
    "gradients of a list": lambda net: net.step_on_gradients([0.0], 0.1),
    "a step's rate": lambda net: net.step_on_gradients(net.gradients, Broken()),
    "noise huge": lambda net: net.gradient(X, X, noise=2**64),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_raises_leaves_nothing_behind(name: str) -> None:
    net = bare()
    with pytest.raises((TypeError, ValueError, OverflowError, RuntimeError, AttributeError, IndexError)):
        WRONG[name](net)
    stands(net)
    set_loss(net, MSE, 2)
    net.set_optimizer(SGD, (0.0, 0.0))
    net.set_numbers((0.0, 0.0))
    other = bare()
    assert net.fit_epoch(X, X, None, None, 2, 0.1) == other.fit_epoch(X, X, None, None, 2, 0.1)
    np.testing.assert_array_equal(net.parameters, other.parameters)


def test_what_a_bad_number_in_the_optimizer_leaves() -> None:
    """As a user meets it: the field raises, or the fit; then all goes on."""
    x = np.ones((8, 3), np.float32)
    model = Sequential([Input((3,)), Dense(3)])
    model.compile("adam", "mse")
    model.fit(x, x, verbose=0)
    for name, wrong in (("clipnorm", "1"), ("clipvalue", [1]), ("weight_decay", "a"), ("learning_rate", None)):
        with pytest.raises((TypeError, ValueError)):
            setattr(model.optimizer, name, wrong)
        stands(model.description.network)
        model.fit(x, x, verbose=0)

    class Schedule(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> float:
            return float("nan")

    model.optimizer.learning_rate = Schedule()
    before = bits(model)
    with pytest.raises(ValueError, match="nan"):
        model.fit(x, x, verbose=0)
    stands(model.description.network)
    assert bits(model) == before

"""The engine beside its arithmetic: what it refuses, that it allocates nothing, and threads that share a model."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest

from fastnn import kernels, losses, optimizers
from fastnn.engine.network import Network
from fastnn.engine.ops import ActivationOp, DenseOp, DropoutOp
from support.cases import data, model_of
from support.networks import set_loss

MSE = losses.MeanSquaredError()


# What it refuses


def network() -> Network:
    net = Network([DenseOp(2, 3), ActivationOp(3, activation=kernels.tanh), DropoutOp(3, 0.5)])
    net.parameters[:] = np.linspace(-1, 1, net.parameters.size)
    set_loss(net, kernels.mean_squared_error, 3)
    net.set_optimizer(kernels.sgd, (0.0, 0.0))
    return net


X, Y, W = np.ones((4, 2), np.float32), np.ones((4, 3), np.float32), np.ones(4, np.float32)
ORDER = np.arange(4, dtype=np.uint32)
UNALIGNED = np.frombuffer(bytes(33), np.uint8)[1:].view(np.float32).reshape(4, 2)
WRONG = {
    "x of float64": {"x": X.astype(float)},
    "x of the other byte order": {"x": X.astype(">f4")},
    "x of three columns": {"x": np.ones((4, 3), np.float32)},
    "x of one axis": {"x": np.ones(4, np.float32)},
    "x of three axes": {"x": np.ones((4, 2, 1), np.float32)},
    "x in Fortran's order": {"x": np.asfortranarray(X)},
    "x with gaps": {"x": np.ones((8, 2), np.float32)[::2]},
    "x unaligned": {"x": UNALIGNED},
    "x a list": {"x": [[1.0, 2.0]] * 4},
    "y too short": {"y": Y[:3]},
    "y too narrow": {"y": Y[:, :2].copy()},
    "y of integers": {"y": Y.astype(np.int32)},
    "y missing": {"y": None},
    "weight too long": {"weight": np.ones(5, np.float32)},
    "weight of two axes": {"weight": np.ones((4, 1), np.float32)},
    "weight of float64": {"weight": W.astype(float)},
    "order of two axes": {"order": ORDER[:, None]},
    "order of int64": {"order": ORDER.astype(np.int64)},
    "order with gaps": {"order": np.arange(8, dtype=np.uint32)[::2]},
    "order a list": {"order": [0, 1, 2, 3]},
    "order beyond the end": {"order": np.array([0, 1, 2, 4], np.uint32)},
    "order far outside": {"order": np.array([2**32 - 1, 0, 1, 2], np.uint32)},
    "batch of 0": {"batch_size": 0},
    "batch below 0": {"batch_size": -1},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    net = network()
    before = net.parameters.copy()
    good = {"x": X, "y": Y, "weight": W, "order": ORDER, "batch_size": 4, "learning_rate": 0.1}
    with pytest.raises(ValueError, match=r"must be|must hold"):
        net.fit_epoch(**{**good, **WRONG[name]})
    np.testing.assert_array_equal(net.parameters, before)
    assert net.fit_epoch(**good)[0] == 4
    wrong = {k: v for k, v in WRONG[name].items() if k in ("x", "y", "weight")}
    if wrong:
        with pytest.raises(ValueError, match="must be"):
            net.evaluate(**{"x": X, "y": Y, "weight": W, **wrong})
    if "x" in wrong:
        with pytest.raises(ValueError, match="x must be"):
            net.predict(wrong["x"])


def test_numbers_in_place_of_rows():
    with pytest.raises(TypeError, match="len"):
        network().predict(5)
    with pytest.raises(TypeError, match="real number"):
        network().fit_epoch(X, Y, None, None, 2, "fast")


def test_no_rows():
    net = network()
    before = net.parameters.copy()
    assert net.fit_epoch(X[:0], Y[:0], None, None, 2, 0.1) == (0, 0.0, True)
    assert net.evaluate(X[:0], Y[:0], None) == 0.0
    assert net.predict(X[:0]).shape == (0, 3)
    np.testing.assert_array_equal(net.parameters, before)


def test_read_only_rows_are_read():
    net = network()
    frozen = [array.copy() for array in (X, Y, W, ORDER)]
    for array in frozen:
        array.flags.writeable = False
    assert net.fit_epoch(*frozen, 2, 0.1)[2]


def test_nothing_to_train_for():
    net = Network([DenseOp(2, 3)])
    with pytest.raises(RuntimeError, match="no optimizer"):
        net.fit_epoch(X, Y, None, None, 2, 0.1)
    net.set_optimizer(kernels.sgd, ())
    for call in (lambda: net.fit_epoch(X, Y[:, :0], None, None, 2, 0.1), lambda: net.evaluate(X, Y[:, :0], None)):
        with pytest.raises(RuntimeError, match="no loss"):
            call()
    assert net.predict(X).shape == (4, 3)


def test_ops_that_do_not_fit_together():
    with pytest.raises(ValueError, match="at least one op"):
        Network([])
    with pytest.raises(ValueError, match="5 inputs follows one of 3 units"):
        Network([DenseOp(2, 3), DenseOp(5, 1)])
    op = DenseOp(2, 2)
    with pytest.raises(ValueError, match="one network"):
        Network([op, op])
    Network([op])
    with pytest.raises(ValueError, match="one network"):
        Network([op])
    with pytest.raises(TypeError):
        Network(["dense"])
    for inputs, units in [(0, 1), (1, 0), (-1, 3), (2**40, 2**40), (2**32, 2**32), (2**62, 1)]:
        with pytest.raises(ValueError, match="cannot be"):
            DenseOp(inputs, units)
    for make in (lambda: ActivationOp(0), lambda: DropoutOp(-1, 0.5), lambda: ActivationOp(2**40, lines=2**40)):
        with pytest.raises(ValueError, match="cannot be"):
            make()
    with pytest.raises(ValueError, match="at most 4 slots, got 5"):
        network().set_optimizer(kernels.sgd, (), [0.0] * 5)
    with pytest.raises(ValueError, match="at most 12 numbers, got 13"):
        network().set_numbers(range(13))


def test_a_batch_without_a_finite_loss_changes_nothing():
    net = network()
    x = np.ones((10, 2), np.float32)
    x[7, 1] = np.nan
    done, _, went_well = net.fit_epoch(x, np.ones((10, 3), np.float32), None, None, 2, 0.1)
    assert (done, went_well, net.iterations) == (6, False, 3)
    whole = network()
    whole.seed = net.seed
    whole.fit_epoch(x[:6], np.ones((6, 3), np.float32), None, None, 2, 0.1)
    np.testing.assert_array_equal(net.parameters, whole.parameters)


# Memory


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_memory_stays_flat():
    x, y = data(MSE, 100, 10, 1)
    model = model_of(10, 10, 10, 1, optimizer=optimizers.Adam())
    one = x[:1].copy()

    def work(times: int) -> None:
        for _ in range(times):
            model.fit(x, y, 10, 20, 0, validation_data=(x, y))
            model.evaluate(x, y, verbose=0)
            for _ in range(400):
                model.predict(one)

    try:
        resident()
        measured = True
    except OSError:
        measured = False
    work(10)
    gc.collect()
    before = resident() if measured else 0
    work(50)
    gc.collect()
    if measured:
        assert resident() - before < 2**20
    tracemalloc.start()
    try:
        grown = []
        for _ in range(3):  # what is kept for the next time differs by some objects from one to the other
            work(3)
            gc.collect()
            traced = tracemalloc.get_traced_memory()[0]
            work(10)
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0] - traced)
        assert min(grown) < 4096
    finally:
        tracemalloc.stop()


def test_a_run_allocates_nothing_but_its_result():
    x, y = data(MSE, 1000, 50, 3)
    model = model_of(50, 64, 3, optimizer="adam")
    model.fit(x, y, 1000, verbose=0)
    model.evaluate(x, y, verbose=0)
    order = np.arange(1000, dtype=np.uint32)[::-1].copy()
    runs = [
        (lambda: model.description.network.fit_epoch(x, y, None, order, 1000, 0.1), 0),
        (lambda: model.description.network.fit_epoch(x, y, None, order, 7, 0.1), 0),
        (lambda: model.description.network.evaluate(x, y, None), 0),
        (lambda: model.predict(x), 1000 * 3 * 4),
    ]
    tracemalloc.start()
    try:
        for run, result in runs:
            run()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            run()
            assert tracemalloc.get_traced_memory()[1] - before < result + 4096
    finally:
        tracemalloc.stop()


def test_networks_give_their_memory_back():
    tracemalloc.start()
    try:
        for epoch in range(30):
            net = network()
            net.fit_epoch(X, Y, None, None, 4, 0.1)
            if epoch == 5:
                traced = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] - traced < 8192
    finally:
        tracemalloc.stop()


def test_denormal_numbers_are_the_callers_again():
    """The engine takes them as 0 while it runs, in its own thread and time only."""
    smallest = np.array([5e-324, 1e-310])
    seen: list[bool] = []

    def kept() -> bool:
        return bool((smallest * 1.5 > 0).all())

    def progress(_: int, __: float) -> None:
        seen.append(kept())

    net = network()
    rows = 2000
    while not seen:
        net.fit_epoch(np.ones((rows, 2), np.float32), np.ones((rows, 3), np.float32), None, None, 1, 0.0, progress)
        rows *= 2
    net.predict(X)
    net.evaluate(X, Y, None)
    assert kept()
    for wrong in (X[:, :1], X.astype(float), None):
        with pytest.raises((ValueError, TypeError)):
            net.evaluate(wrong, Y, None)
        assert kept()
    assert all(seen)


# Threads


def in_threads(*calls) -> None:
    """Run all calls at once; raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(call) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_take_turns():
    x, y = data(MSE, 600, 20, 2)
    together, alone = (model_of(20, 33, 2, optimizer="adam") for _ in range(2))
    outputs: list[np.ndarray] = []

    def fit() -> None:
        together.fit(x, y, 50, 20, 0, shuffle=False)

    def predict() -> None:
        outputs.extend(together.predict(x) for _ in range(40))

    in_threads(fit, fit, predict)
    allowed = {alone.predict(x).tobytes()}
    for _ in range(40):
        alone.fit(x, y, 50, 1, 0, shuffle=False)
        allowed.add(alone.predict(x).tobytes())
    assert together.predict(x).tobytes() == alone.predict(x).tobytes()
    assert {output.tobytes() for output in outputs} <= allowed


def test_compiling_beside_a_running_fit():
    """A new loss with more targets must not reach into the rows of a run that is under way."""
    x, y = data(MSE, 3000, 20, 3)
    model = model_of(20, 33, 3)
    net = model.description.network
    model.fit(x, y, verbose=0)

    def fit() -> None:
        for _ in range(20):
            net.fit_epoch(x, y, None, None, 32, 0.001)

    def change() -> None:
        for _ in range(200):
            set_loss(net, kernels.mean_squared_error, 3, [kernels.mean_squared_error] * 50)
            net.set_optimizer(kernels.adam, (0.9, 0.999, 1e-7, 0.0, 0.0), (0.0, 0.0))
            net.set_numbers((0.9, 0.99, 1e-7, 0.0, 0.0))

    in_threads(fit, change)
    assert np.isfinite(net.parameters).all()

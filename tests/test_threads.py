"""The team of threads: the same bits for any number of them, whatever stops a run; asleep when there is nothing to do.

Every fit here is large enough for the team, and `at_work` sees to it that the team did take part.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastnn
from fastnn import losses, regularizers
from fastnn.callbacks import Callback
from fastnn.constraints import MaxNorm, UnitNorm
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from support.cases import ACTIVATIONS, LOSSES, OPTIMIZERS, data, ident
from support.hanging import watched
from support.signals import ctrl_c
from support.units import units

THREADS = (1, 2, 3, 4, 8)
GRAIN = 16  # rows of a batch that a member works on at least
TASKS = Path("/proc/self/task")


@pytest.fixture(autouse=True)
def _ends(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A test that hangs ends the run, and says where it was. The number of threads is put back."""
    before = fastnn.get_num_threads()
    with watched(capfd):
        yield
    fastnn.set_num_threads(before)


def sleeps() -> dict[str, int]:
    """How often each thread of this process, but the one that asks, has gone to sleep."""
    found = {}
    for task in TASKS.iterdir():
        if task.name != str(threading.get_native_id()):
            with suppress(OSError):  # it has just ended
                lines = (task / "status").read_text().splitlines()
                found[task.name] = int(next(line.split()[1] for line in lines if line.startswith("voluntary")))
    return found


@contextmanager
def at_work(members: int) -> Iterator[None]:
    """Assert that the block is shared by at least this many threads, the caller included."""
    if not TASKS.exists():
        yield
        return
    before, end = sleeps(), time.monotonic() + 10
    yield
    while (woken := sum(before.get(task, 0) < count for task, count in sleeps().items())) < members - 1:
        assert time.monotonic() < end, f"{members} threads should have worked, {woken + 1} did"
        time.sleep(0.001)


# Networks, trained in a team of any size


class Case(NamedTuple):
    title: str
    widths: tuple[int, ...] = (17, 128, 64, 3)
    activation: Any = "tanh"
    after: str | None = None
    loss: Any = losses.MeanSquaredError()
    optimizer: Any = Adam()
    regularizer: Any = None
    dropout: float = 0.0
    weighted: bool = False
    batch_size: int = 160
    epochs: int = 2

    def model(self) -> Sequential:
        fastnn.set_random_seed(3)
        inputs, *hidden, outputs = self.widths
        layers: list[Any] = [Input((inputs,))]
        for width in hidden:
            layers.append(Dense(width, self.activation, kernel_regularizer=self.regularizer))
            if self.dropout:
                layers.append(Dropout(self.dropout))
        model = Sequential([*layers, Dense(outputs, self.after, kernel_regularizer=self.regularizer)])
        model.compile(
            self.optimizer, self.loss, metrics=["accuracy"] if self.loss.kernel.labels else ["accuracy", "mae"]
        )
        return model

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        x, y = data(self.loss, count, self.widths[0], self.widths[-1])
        if not self.weighted:
            return x, y, None
        weight = np.random.default_rng(1).random(count).astype(np.float32)
        weight[::3] = 0
        x[::6, 0] = np.nan
        return x, y, weight


CASES = [
    *(Case(f"activation-{ident(unit)}", activation=unit) for unit in ACTIVATIONS),
    *(Case(f"loss-{ident(pair)}", loss=pair[0], after=pair[1]) for pair in LOSSES),
    *(Case(f"optimizer-{ident(unit)}", optimizer=unit) for unit in OPTIMIZERS),
    *(Case(f"penalty-{ident(unit)}", regularizer=unit) for unit in units(regularizers.REGULARIZERS)),
    *(Case(f"batch-{size}", batch_size=size, dropout=0.3) for size in (1, 16, 17, 33, 128, 1000, 5000)),
    *(
        Case(f"widths-{ident(widths)}", widths)
        for widths in ((64, 17, 128, 7, 1), (1, 128, 128, 1), (3, 64, 64, 64, 7), (7, 128, 1, 128, 17), (300, 600, 3))
    ),
    Case("weights", weighted=True),
    Case("long", epochs=30),  # long enough to go on with and without the team, in turn
]
ALL_AT_ONCE = Case(
    "all-at-once",
    activation="gelu",
    after="softmax",
    loss=losses.SparseCategoricalCrossentropy(),
    regularizer=regularizers.L1L2(1e-3, 1e-3),
    dropout=0.4,
    weighted=True,
)
CASES += [ALL_AT_ONCE._replace(title=f"all-at-once-{size}", batch_size=size) for size in (17, 33, 160, 1000)]


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def state(model: Sequential) -> dict[str, Any]:
    """Weights, steps and the optimizer's vectors."""
    steps, slots = model.description.trainer.state()
    return {"weights": digest(*model.get_weights()), "steps": steps, **{name: digest(a) for name, a in slots.items()}}


def results(case: Case, threads: int) -> dict[str, Any]:
    """All that a fit, an evaluation and a prediction leave behind."""
    fastnn.set_num_threads(threads)
    model, (x, y, weight) = case.model(), case.rows(4111)
    part = slice(1030)
    with at_work(min(threads, -(-min(case.batch_size, 1030) // GRAIN))):
        history = model.fit(
            x[part], y[part], case.batch_size, case.epochs, 0, sample_weight=None if weight is None else weight[part]
        ).history
    assert np.isfinite(list(history.values())).all()
    with at_work(threads):
        figures = model.evaluate(x, y, verbose=0, sample_weight=weight)
    fresh = case.model()  # the team's first time, so that no figures of the evaluation say how to go on
    fresh.set_weights(model.get_weights())
    with at_work(threads):
        output = fresh.predict(np.nan_to_num(x))
    return {"history": history, "figures": figures, "output": digest(output), **state(model)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_same_bits_for_any_number_of_threads(case):
    alone = results(case, 1)
    for threads in THREADS[1:]:
        assert results(case, threads) == alone, f"{threads} threads"


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("widths", [case.widths for case in CASES if case.title.startswith("widths")], ids=ident)
def test_a_row_is_predicted_alike_in_any_batch(widths, threads):
    fastnn.set_num_threads(threads)
    case = Case("", widths, activation="gelu", after="softmax")
    model, (x, _, _) = case.model(), case.rows(3000)
    with at_work(threads):
        whole = model.predict(x)
    singles = [(row, row + 1) for row in (*range(40), 255, 256, 257, 2047, 2048, 2999)]
    few = [(7 * count, 8 * count) for count in range(2, 40)]
    many = [(1, 1001), (255, 1255), (1033, 3000), (13, 2900)]
    for start, stop in singles + few + many:
        assert model.predict(x[start:stop]).tobytes() == whole[start:stop].tobytes(), (start, stop)
    order = np.random.default_rng(0).permutation(len(x))
    assert model.predict(x[order]).tobytes() == whole[order].tobytes()


# What stops a run

CLASSES = Case("", activation="relu", after="softmax", loss=losses.SparseCategoricalCrossentropy(), dropout=0.2)
BATCH = CLASSES.batch_size


def ready(model: Sequential, x: np.ndarray, y: np.ndarray) -> Any:
    """The model's network, as `fit` makes it ready for these rows."""
    return model.description.trainer.ready(fastnn.data.ArraySource(x, y))


def after_steps(steps: int, x: np.ndarray, y: np.ndarray, batch_size: int) -> Sequential:
    """The model after so many steps on one thread, over the rows as they lie."""
    fastnn.set_num_threads(1)
    model = CLASSES.model()
    ready(model, x, y)
    epochs, rest = divmod(steps, -(-len(x) // batch_size))
    if epochs:
        model.fit(x, y, batch_size, epochs, 0, shuffle=False)
    if rest:
        model.fit(x[: rest * batch_size], y[: rest * batch_size], batch_size, 1, 0, shuffle=False)
    return model


def assert_stands_and_goes_on(model: Sequential, twin: Sequential, threads: int) -> None:
    """Assert that both are alike to the bit, and still are when they have learnt more, the first in the team."""
    assert state(model) == state(twin)
    x, y, _ = CLASSES.rows(1000)
    for each, count in ((twin, 1), (model, threads)):
        fastnn.set_num_threads(count)
        with at_work(count):
            each.fit(x, y, BATCH + 1, 2, 0, shuffle=False)  # another size, for which the team is tried first
    assert state(model) == state(twin)


@pytest.mark.parametrize("place", [0, 75, BATCH - 1])
@pytest.mark.parametrize("wrong", ["nan", "overflow", "label"])
@pytest.mark.parametrize("threads", [2, 8])
def test_a_batch_that_fails_changes_nothing(threads, wrong, place):
    x, y, _ = CLASSES.rows(1030)
    spoilt, labels = x.copy(), y.copy()
    row = 4 * BATCH + place
    model, twin = CLASSES.model(), after_steps(4, x[: 4 * BATCH], y[: 4 * BATCH], BATCH)
    fastnn.set_num_threads(threads)
    if wrong == "nan":
        spoilt[row, 3], error, words = np.nan, ValueError, f"x has nan at row {row}, column 3"
    elif wrong == "overflow":
        spoilt[row], error, words = 3e38, FloatingPointError, "not finite after 4 steps"
    else:
        labels[row], error, words = 3, ValueError, f"y has 3 at row {row}"
    with at_work(threads), pytest.raises(error, match=words):
        model.fit(spoilt, labels, BATCH, 1, 0, shuffle=False)
    assert_stands_and_goes_on(model, twin, threads)


@pytest.mark.parametrize("place", [0, 75, 1029])
@pytest.mark.parametrize("threads", [2, 8])
def test_an_order_of_rows_that_are_not_there_changes_nothing(threads, place):
    """It is refused before any thread begins, wherever the bad number is."""
    x, y, _ = CLASSES.rows(1030)
    order = np.arange(len(x), dtype=np.uint32)
    order[place] = len(x)
    model = CLASSES.model()
    fastnn.set_num_threads(threads)
    network = ready(model, x, y)
    with pytest.raises(ValueError, match="order must hold row numbers from 0 to 1029"):
        network.fit_epoch(x, y, None, order, BATCH, model.optimizer.learning_rate)
    assert_stands_and_goes_on(model, after_steps(0, x, y, BATCH), threads)


class Stop(Exception):
    pass


def stop(*_: object) -> None:
    raise Stop


@pytest.mark.parametrize("batch_size", [BATCH, 20_000])
@pytest.mark.parametrize("way", ["ctrl-c", "callback", "progress"])
@pytest.mark.parametrize("threads", [2, 8])
def test_a_run_stops_between_two_steps(threads, way, batch_size):
    x, y, _ = CLASSES.rows(20_000)
    model = CLASSES.model()
    fastnn.set_num_threads(threads)
    with at_work(threads):
        if way == "ctrl-c":
            ctrl_c(lambda: model.fit(x, y, batch_size, 1_000_000, 0, shuffle=False))
        elif way == "callback":
            callback = Callback()
            callback.on_epoch_end = stop
            with pytest.raises(Stop):
                model.fit(x, y, batch_size, 3, 0, callbacks=[callback], shuffle=False)
        else:
            network, many = ready(model, x, y), (np.tile(x, (20, 1)), np.tile(y, (20, 1)))
            with pytest.raises(Stop):  # of the first call of progress, after 50 ms
                network.fit_epoch(*many, None, None, batch_size, model.optimizer.learning_rate, stop)
    assert_stands_and_goes_on(model, after_steps(model.description.network.iterations, x, y, batch_size), threads)


@pytest.mark.parametrize("action", ["evaluate", "predict"])
@pytest.mark.parametrize("threads", [2, 8])
def test_ctrl_c_without_training(threads, action):
    model, (x, y, _) = CLASSES.model(), CLASSES.rows(4000)
    fastnn.set_num_threads(threads)
    many = np.tile(x, (500, 1)), np.tile(y, (500, 1))
    ready(model, x, y)
    with at_work(threads):
        ctrl_c(lambda: [getattr(model, action)(*many[: 1 + (action == "evaluate")], verbose=0) for _ in range(1000)])
    assert_stands_and_goes_on(model, after_steps(0, x, y, BATCH), threads)


# Python's threads beside the team's


@pytest.mark.parametrize("threads", [2, 8])
def test_fits_at_once(threads):
    """Models in threads of their own, more than one of which wants the team."""
    case = CLASSES._replace(epochs=30)
    x, y, _ = case.rows(1030)

    def fit(model: Sequential, times: int) -> None:
        for _ in range(times):
            model.fit(x, y, BATCH, 10, 0, shuffle=False)

    fastnn.set_num_threads(1)
    alone = case.model()
    fit(alone, 5)
    fastnn.set_num_threads(threads)
    models = [case.model() for _ in range(3)]
    workers = [threading.Thread(target=fit, args=(model, 5)) for model in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for model in models:
        assert state(model) == state(alone)
        assert model.predict(x).tobytes() == alone.predict(x).tobytes()


def test_many_short_runs():
    x, y, _ = CLASSES.rows(1030)
    model = CLASSES.model()
    fastnn.set_num_threads(2)
    with at_work(2):
        model.fit(x, y, BATCH, 1, 0, shuffle=False)
    before = threads_of_process()
    for _ in range(999):
        model.fit(x, y, BATCH, 1, 0, shuffle=False)
    assert threads_of_process() <= before
    assert state(model) == state(after_steps(1000 * 7, x, y, BATCH))


def threads_of_process() -> int:
    return len(list(TASKS.iterdir())) if TASKS.exists() else threading.active_count()


@pytest.mark.parametrize("threads", [2, 8])
def test_idle_threads_take_no_time(threads):
    fastnn.set_num_threads(threads)
    x, y, _ = CLASSES.rows(1030)
    with at_work(threads):
        CLASSES.model().fit(x, y, BATCH, 1, 0)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


# How many


class Three:
    def __index__(self) -> int:
        return 3


@pytest.mark.parametrize(("n", "count"), [(1, 1), (256, 256), (np.int64(5), 5), (np.uint8(2), 2), (Three(), 3)])
def test_set_num_threads(n, count):
    fastnn.set_num_threads(n)
    assert fastnn.get_num_threads() == count


@pytest.mark.parametrize("n", [True, 2.0, np.float32(2), "2", None, [2]], ids=repr)
def test_a_number_of_threads_that_is_none(n):
    fastnn.set_num_threads(3)
    with pytest.raises(TypeError, match="the number of threads must be a whole number, got "):
        fastnn.set_num_threads(n)
    assert fastnn.get_num_threads() == 3


@pytest.mark.parametrize("n", [0, -1, 257, 2**80])
def test_a_number_of_threads_out_of_range(n):
    fastnn.set_num_threads(3)
    with pytest.raises(ValueError, match=f"the number of threads must be from 1 to 256, got {n}"):
        fastnn.set_num_threads(n)
    assert fastnn.get_num_threads() == 3


@pytest.mark.parametrize("loss", [losses.Dice(), losses.Tversky()], ids=ident)
def test_a_loss_of_the_whole_batch_waits_for_all_rows(loss):
    """The caller works it out; of 48 rows it has 16, and where there is one other member, that one has 32."""
    case = Case("whole", loss=loss, after="sigmoid", batch_size=48)
    ends = []
    for threads in THREADS[:4]:
        fastnn.set_num_threads(threads)
        model = case.model()
        x = np.random.default_rng(1).standard_normal((960, case.widths[0])).astype(np.float32)
        y = (np.random.default_rng(2).random((960, case.widths[-1])) < 0.5).astype(np.float32)
        with at_work(min(threads, 3)):
            history = model.fit(x, y, 48, 5, 0).history
        ends.append((history, state(model)))
    assert ends[1:] == ends[:1] * 3


@pytest.mark.parametrize("constraint", [MaxNorm(0.5), UnitNorm(), UnitNorm(axis=1)], ids=str)
def test_constraints_wait_for_all_steps(constraint):
    x, y = np.random.default_rng(1).standard_normal((2, 960, 64)).astype(np.float32)
    ends = []
    for threads in THREADS[:4]:
        fastnn.set_num_threads(threads)
        fastnn.set_random_seed(1)
        layers = [Dense(256, kernel_constraint=constraint), Dense(64, kernel_constraint=constraint)]
        model = Sequential([Input((64,)), *layers])
        model.compile("sgd", "mse")
        with at_work(min(threads, 3)):
            model.fit(x, y, 48, 5, 0)
        ends.append(state(model))
    assert ends[1:] == ends[:1] * 3

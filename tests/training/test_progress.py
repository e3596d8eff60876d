"""What a fit prints, to the letter: in a terminal, in a log, and where there is no output at all."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.training import progress
from fastnn.training.progress import Progress

X, Y = np.ones((100, 2), np.float32), np.ones(100)


class Stream(io.StringIO):
    """Standard output as a terminal, or as a file."""

    def __init__(self, terminal: bool, encoding: str | None = "utf-8") -> None:
        super().__init__()
        self.terminal, self.code = terminal, encoding

    def isatty(self) -> bool:
        return self.terminal

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        return self.code


class Clock:
    """Stands still, or goes on by `step` seconds at every look."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def perf_counter(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def show(monkeypatch):
    def replace(stream):
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return replace


def zeros(metrics: list[str] | None = None) -> Sequential:
    """A model that predicts 0 and learns nothing: its logs are known."""
    model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=2)])
    model.compile(fastnn.optimizers.SGD(0.0), "mse", metrics=metrics)
    return model


LOG = (
    "Epoch 1/2\n"
    "10/10 - 0s - 0us/step - mae: 1.0000 - loss: 1.0000 - val_mae: 1.0000 - val_loss: 1.0000\n"
    "Epoch 2/2\n"
    "10/10 - 0s - 0us/step - mae: 1.0000 - loss: 1.0000 - val_mae: 1.0000 - val_loss: 1.0000\n"
)
BAR = "━" * 20
TERMINAL = (
    "Epoch 1/2\n"
    f"\r10/10 {BAR} 0s 0us/step - mae: 1.0000 - loss: 1.0000 - val_mae: 1.0000 - val_loss: 1.0000\n"
    "Epoch 2/2\n"
    f"\r10/10 {BAR} 0s 0us/step - mae: 1.0000 - loss: 1.0000 - val_mae: 1.0000 - val_loss: 1.0000\n"
)


@pytest.mark.parametrize(
    ("verbose", "terminal", "text"),
    [
        ("auto", True, TERMINAL),
        (1, True, TERMINAL),
        (True, True, TERMINAL),
        (2, True, LOG),
        (0, True, ""),
        (False, True, ""),
        ("auto", False, LOG),
        (1, False, LOG),
        (2, False, LOG),
        (0, False, ""),
    ],
)
def test_fit(show, verbose, terminal, text):
    stream = show(Stream(terminal))
    zeros(["mae"]).fit(X, Y, 10, 2, verbose, validation_data=(X, Y))
    assert stream.getvalue() == text


@pytest.mark.parametrize(
    ("verbose", "terminal", "text"),
    [
        ("auto", True, f"\r4/4 {BAR} 0s 0us/step - mae: 1.0000 - loss: 1.0000\n"),
        (1, False, "4/4 - 0s - 0us/step - mae: 1.0000 - loss: 1.0000\n"),
        (2, True, "4/4 - 0s - 0us/step - mae: 1.0000 - loss: 1.0000\n"),
        (0, True, ""),
    ],
)
def test_evaluate(show, verbose, terminal, text):
    stream = show(Stream(terminal))
    zeros(["mae"]).evaluate(X, Y, verbose=verbose)
    assert stream.getvalue() == text


@pytest.mark.parametrize(("terminal", "text"), [(True, f"\r4/4 {BAR} 0s 0us/step\n"), (False, "4/4 - 0s - 0us/step\n")])
def test_predict(show, terminal, text):
    stream = show(Stream(terminal))
    zeros().predict(X, verbose=1)
    assert stream.getvalue() == text


def test_nothing_is_said_of_a_prediction_unless_asked(show):
    stream = show(Stream(True))
    zeros().predict(X)
    zeros().train_on_batch(X, Y)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", None])
def test_marks_that_the_stream_can_write(show, encoding):
    stream = show(Stream(True, encoding))
    bar = Progress(1, 1)
    bar.begin(0, 10)
    bar.begin_range(0, 0, 10)
    bar(50)
    bar.end(10, {"loss": 0.5})
    text = stream.getvalue()
    assert text.isascii()
    assert text == (
        f"Epoch 1/1\n\r5/10 {'=' * 10}>{' ' * 9} 0s 0us/step\r10/10 {'=' * 20} 0s 0us/step - loss: 0.5000\n"
    )


def test_the_bar_moves(show):
    stream = show(Stream(True))
    bar = Progress("auto", 3)
    bar.begin(1, 32)
    bar.begin_range(0, 0, 32)
    for row in (0, 1, 500, 999, 1000):
        bar(row)
    bar.begin_range(32, 0, 32)
    assert stream.getvalue() == (
        "Epoch 2/3\n"
        f"\r0/32 ╸{' ' * 19} 0s 0us/step"
        f"\r1/32 ╸{' ' * 19} 0s 0us/step"
        f"\r16/32 {'━' * 10}╸{' ' * 9} 0s 0us/step"
        f"\r32/32 {BAR} 0s 0us/step"
        f"\r32/32 {BAR} 0s 0us/step"
    )


def test_a_shorter_line_covers_the_longer_one(show, clock):
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, None)
    bar.begin_range(0, 0, 10)
    clock.step = 100.0
    bar(10)
    clock.now, clock.step = 0.0, 0.0
    bar(20)
    bar.end(2, {})
    first, second, last = stream.getvalue().split("\r")[1:]
    assert first == "1/? 100s 100.0s/step"
    assert second == "2/? 0s 0us/step".ljust(len(first))
    assert last == f"2/2 {BAR} 0s 0us/step\n"


@pytest.mark.parametrize(
    ("before", "start", "size", "row", "steps"),
    [(30, 0, 10, 50, 35), (30, 100, 10, 150, 35), (30, 100, 10, 151, 36), (30, 100, 10, 100, 30), (2, 0, 3, 3, 3)],
)
def test_pages_add_up(show, before, start, size, row, steps):
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, 40)
    bar.begin_range(before, start, size)
    bar(row)
    assert stream.getvalue().startswith(f"\r{steps}/40 ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0000"),
        (0.001, "0.0010"),
        (0.00099, "9.9000e-04"),
        (0.0, "0.0000"),
        (-2.5, "-2.5000"),
        (-1e-9, "-1.0000e-09"),
        (123456.789, "123456.7890"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_figures(show, value, text):
    stream = show(Stream(False))
    bar = Progress(2, None)
    bar.begin(0, 1)
    bar.end(1, {"loss": value})
    assert stream.getvalue().endswith(f"loss: {text}\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(3e-6, "0s - 3us/step"), (0.0499, "0s - 50ms/step"), (2.5, "2s - 2.5s/step")]
)
def test_times(show, clock, seconds, text):
    stream = show(Stream(False))
    bar = Progress(2, None)
    clock.step = seconds
    bar.begin(0, 1)
    bar.end(1, {"loss": 1.0})
    assert stream.getvalue() == f"1/1 - {text} - loss: 1.0000\n"


def test_the_learning_rate_is_shown_once_it_has_changed(show):
    stream = show(Stream(False))
    bar = Progress(2, None)
    for rate in (0.1, 0.1, 0.05, 0.05, 0.1):
        bar.begin(0, 1)
        bar.end(1, {"loss": 1.0, "learning_rate": rate, "seconds": 5.0})
    shown = [line.partition("loss: 1.0000")[2] for line in stream.getvalue().splitlines()]
    assert shown == ["", "", *[f" - learning_rate: {rate}" for rate in ("0.0500", "0.0500", "0.1000")]]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_fit_that_breaks_off_ends_its_line(show, terminal):
    stream = show(Stream(terminal))
    bar = Progress(1, 9)
    bar.begin(0, 10)
    bar.begin_range(0, 0, 10)
    bar(50)
    bar.broken()
    bar.broken()
    expected = f"Epoch 1/9\n\r5/10 {'━' * 10}╸{' ' * 9} 0s 0us/step\n" if terminal else "Epoch 1/9\n"
    assert stream.getvalue() == expected


class Notebook(Stream):
    """A notebook's standard output: it is no terminal, and its lines can be written over."""

    __module__ = "ipykernel.iostream"


def test_a_notebook_has_a_bar_that_moves(show):
    stream = show(Notebook(False))
    zeros(["mae"]).fit(X, Y, 10, 2, validation_data=(X, Y))
    assert stream.getvalue() == TERMINAL


def test_a_figure_that_is_no_number(show):
    stream = show(Stream(False))
    bar = Progress(2, None)
    bar.begin(0, 1)
    bar.end(1, {"matrix": [[1, 2], [3, 4]]})
    assert stream.getvalue().endswith(" - matrix: [[1, 2], [3, 4]]\n")


def test_no_output_at_all(show):
    show(None)
    model = zeros()
    for verbose in (0, 1, 2, "auto"):
        model.fit(X, Y, verbose=verbose)
        model.evaluate(X, Y, verbose=verbose)


def test_an_output_that_only_writes(show):
    text: list[str] = []
    show(SimpleNamespace(write=text.append, flush=lambda: None))
    zeros().fit(X, Y, 10)
    assert "".join(text) == "Epoch 1/1\n10/10 - 0s - 0us/step - loss: 1.0000\n"


def test_a_long_epoch_shows_its_progress(show):
    """The engine calls from inside an epoch, and the bar goes on from there."""
    stream = show(Stream(True))
    rng = np.random.default_rng(0)
    model = Sequential([Dense(64, "tanh", input_dim=64), Dense(64, "tanh"), Dense(1)])
    model.compile("sgd", "mse")
    rows = 2000
    while stream.getvalue().count("\r") < 3:
        stream.truncate(0)
        stream.seek(0)
        x = rng.standard_normal((rows, 64)).astype(np.float32)
        model.fit(x, x[:, 0], 1)
        rows *= 2
    lines = stream.getvalue().split("\r")[1:]
    steps = [int(line.split("/")[0]) for line in lines]
    assert steps == sorted(steps)
    assert steps[-1] == len(x)
    assert all(line.split(" ")[0].endswith(f"/{len(x)}") for line in lines)

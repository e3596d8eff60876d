"""What a fit prints, to the letter: in a terminal, in a log, and where there is no output at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import EarlyStopping, LambdaCallback, LearningRateScheduler, ReduceLROnPlateau
from fastnn.layers import Dense
from fastnn.metrics import MeanAbsoluteError
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
    monkeypatch.delenv("COLUMNS", raising=False)

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
        bar.end(1, {"loss": 1.0}, rate)
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


def test_a_notebook_is_as_wide_as_it_wants(show, monkeypatch):
    """Its stream leads to the terminal in which Jupyter was started, whose width says nothing."""
    stream = show(Notebook(False))
    monkeypatch.setenv("COLUMNS", "20")
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


# Figures so far


def test_figures_so_far(show):
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, 10)
    bar.begin_range(0, 0, 10)
    bar(50, lambda: {"mae": 0.5, "loss": 0.25})
    bar(60)
    bar.end(10, {"loss": 0.125})
    half, later, last = stream.getvalue().split("\r")[1:]
    assert half == f"5/10 {'━' * 10}╸{' ' * 9} 0s 0us/step - mae: 0.5000 - loss: 0.2500"
    assert later == f"6/10 {'━' * 12}╸{' ' * 7} 0s 0us/step - mae: 0.5000 - loss: 0.2500"
    assert last.rstrip() == f"10/10 {BAR} 0s 0us/step - loss: 0.1250"


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (80, f"5/10 {'━' * 10}╸{' ' * 9} 0s 0us/step - mae: 0.5000 - loss: 0.2500"),
        (55, "5/10 ━━━━╸    0s 0us/step - mae: 0.5000 - loss: 0.2500"),
        (46, "5/10 0s 0us/step - mae: 0.5000 - loss: 0.2500"),
        (45, "5/10 0s 0us/step - loss: 0.2500"),
        (32, "5/10 0s 0us/step - loss: 0.2500"),
        (31, f"5/10 {'━' * 6}╸{' ' * 6} 0s 0us/step"),
    ],
)
def test_figures_in_few_columns(show, monkeypatch, columns, text):
    stream = show(Stream(True))
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = Progress(1, None)
    bar.begin(0, 10)
    bar.begin_range(0, 0, 10)
    bar(50, lambda: {"mae": 0.5, "loss": 0.25})
    assert stream.getvalue() == f"\r{text}"
    assert len(text) < columns


def test_the_line_of_an_end_in_few_columns(show, monkeypatch):
    stream = show(Stream(True))
    monkeypatch.setenv("COLUMNS", "40")
    zeros(["mae"]).fit(X, Y, 10, 1, validation_data=(X, Y))
    assert stream.getvalue() == (
        "Epoch 1/1\n\r10/10 0s 0us/step - mae: 1.0000\n  - loss: 1.0000 - val_mae: 1.0000\n  - val_loss: 1.0000\n"
    )


def test_the_time_that_is_left(show, clock):
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, 10)
    bar.begin_range(0, 0, 1)
    for clock.now, row in ((2.0, 2), (9.0, 9)):
        bar(row)
    clock.now = 10.0
    bar.end(10, {})
    assert [line.rstrip()[-10:] for line in stream.getvalue().split("\r")[1:]] == [
        "8s 1.0s/step"[-10:],
        "1s 1.0s/step"[-10:],
        "10s 1.0s/step"[-10:],
    ]


def test_figures_that_have_no_value_yet_say_nothing(show):
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, 10)
    bar.begin_range(0, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bar(5, lambda: {"loss": np.float64(0) / np.float64(0)})
        bar(6, lambda: {}["loss"])
    first, second = stream.getvalue().split("\r")[1:]
    assert first.endswith("/step - loss: nan")
    assert second.rstrip().endswith("/step")


def test_figures_that_take_long_are_worked_out_less_often(show, clock):
    show(Stream(True))
    asked = []

    def slowly():
        asked.append(clock.now)
        clock.now += 2.0
        return {"loss": 1.0}

    bar = Progress(1, None)
    bar.begin(0, 1000)
    bar.begin_range(0, 0, 1)
    for row in range(100):
        clock.now += 1.0
        bar(row, slowly)
    assert asked == [1.0, 23.0, 45.0, 67.0, 89.0, 111.0][: len(asked)]
    assert len(asked) == 5


def test_between_batches_the_bar_has_what_callbacks_are_told(show, monkeypatch):
    """A batch is a call of its own where a callback looks at it: the bar moves between them."""
    monkeypatch.setattr(progress, "LOOK", 0.0)
    stream, told = show(Stream(True)), []
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse", metrics=["mae"])
    hear = LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(logs))
    model.fit(X, Y, 30, callbacks=[hear])
    lines = stream.getvalue().split("\r")[1:-1]
    assert [line.split(" ")[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    for line, logs in zip(lines, told, strict=True):
        assert line.rstrip().endswith(f" - mae: {logs['mae']:.4f} - loss: {logs['loss']:.4f}")
    stream.truncate(0)
    model.fit((X[:10], Y[:10]) for _ in range(3))  # batches from a generator
    assert stream.getvalue().count("loss: ") == 4


def test_what_the_engine_tells_within_an_epoch():
    """Its losses and metrics are those of the rows that are done, and of no others."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200000, 64)).astype(np.float32)
    y = np.sin(x[:, :1])
    layers = [Dense(64, "tanh"), Dense(64, "tanh"), Dense(1, kernel_regularizer="l2")]
    model = Sequential([Dense(64, "tanh", input_dim=64), *layers])
    model.compile("sgd", "mse", metrics=["mae"])
    model.train_on_batch(x[:2], y[:2])
    network, begun, seen = model.description.network, model.get_weights(), []

    def look(row, loss):
        seen.append((row, loss, network.states[0].tolist()))
        raise StopIteration

    with pytest.raises(StopIteration):
        network.fit_epoch(x, y, None, None, 32, 0.01, look)
    ((row, loss, state),) = seen
    assert 0 < row < len(x)
    model.set_weights(begun)
    stop, again, _ = network.fit_epoch(x, y, None, None, 32, 0.01, None, 0, row)
    assert (stop, again, network.states[0].tolist()) == (row, loss, state)


# Narrow terminals


def shown_in(text: str, columns: int) -> list[str]:
    """What a terminal of so many columns shows: a row that is full goes on in the next."""
    rows, column = [""], 0
    for c in text:
        if c == "\r":
            column = 0
        elif c == "\n":
            rows.append("")
            column = 0
        else:
            if column == columns:
                rows.append("")
                column = 0
            rows[-1] = rows[-1][:column].ljust(column) + c + rows[-1][column + 1 :]
            column += 1
    return [row.rstrip() for row in rows]


@pytest.mark.parametrize("columns", [200, 80, 41, 40, 39, 30, 20, 19, 10, 5, 3, 2, 1])
@pytest.mark.parametrize("steps", [32, None])
def test_each_update_stays_in_its_row(show, monkeypatch, columns, steps):
    stream = show(Stream(True))
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = Progress(1, None)
    bar.begin(0, steps)
    bar.begin_range(0, 0, 32)
    for row in range(0, 1001, 100):
        bar(row)
        (shown,) = shown_in(stream.getvalue(), columns)
        assert len(shown) < columns or columns == 1
        whole = f"{-(-row // 32)}/{steps or '?'}"
        assert shown.startswith(whole[: columns - 1])
        if columns > len(whole) + 12:
            assert shown.endswith(" 0s 0us/step")
    bar.end(32, {"loss": 0.5, "val_accuracy": 0.25})
    *rows, after = shown_in(stream.getvalue(), columns)
    assert after == ""
    assert "".join(rows).replace(" ", "").endswith("0s0us/step-loss:0.5000-val_accuracy:0.2500")


def test_the_bar_has_the_room_that_is_left(show, monkeypatch):
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, 32)
    bar.begin_range(0, 0, 1)
    for columns in (40, 30, 20, 19, 18, 8, 5, 1):
        monkeypatch.setenv("COLUMNS", str(columns))
        stream.truncate(0)
        stream.seek(0)
        bar(16)
        shown = {
            40: f"16/32 {'━' * 10}╸{' ' * 9} 0s 0us/step",
            30: f"16/32 {'━' * 5}╸{' ' * 5} 0s 0us/step",
            20: "16/32 ╸ 0s 0us/step",
            19: "16/32 0s 0us/step",
            18: "16/32 0s 0us/step",
            8: "16/32",
            5: "16/3",
            1: "",
        }[columns]
        assert stream.getvalue().rstrip() == f"\r{shown}".rstrip()


def test_a_terminal_that_is_made_narrower(show, monkeypatch):
    """What covers the line before is no wider than the terminal is now."""
    stream = show(Stream(True))
    bar = Progress(1, None)
    bar.begin(0, 32)
    bar.begin_range(0, 0, 1)
    for columns in (80, 20):
        monkeypatch.setenv("COLUMNS", str(columns))
        bar(16)
    assert len(stream.getvalue().rpartition("\r")[2]) < 20


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="has no pseudo-terminals")
def test_the_width_of_a_real_terminal(show):
    import fcntl
    import struct
    import termios

    main, terminal = os.openpty()
    try:
        with open(terminal, "w", encoding="utf-8", closefd=True) as stream:
            show(stream)
            bar = Progress(1, None)
            bar.begin(0, 32)
            bar.begin_range(0, 0, 1)
            for columns, text in ((40, f"16/32 {'━' * 10}╸{' ' * 9} 0s 0us/step"), (20, "16/32 ╸ 0s 0us/step")):
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                bar(16)
                assert os.read(main, 4096).decode() == f"\r{text}"
    finally:
        os.close(main)


# Names and outputs of every kind

ODD = {
    "точность": "\\u0442\\u043e\\u0447\\u043d\\u043e\\u0441\\u0442\\u044c",
    "精度": "\\u7cbe\\u5ea6",
    "two\nlines": "two\\nlines",
    "bell\a": "bell\\x07",
    "\udc80": "\\udc80",
    "back\rto": "back\\rto",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("verbose", [1, 2])
def test_any_name_on_any_output(show, name, encoding, verbose):
    """What the encoding lacks is written as its code, and nothing ends the work."""
    data = io.BytesIO()
    stream = show(io.TextIOWrapper(data, encoding=encoding, newline="\n"))
    stream.isatty = lambda: True
    model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=2, name="слой" if "\n" not in name else name)])
    model.compile(fastnn.optimizers.SGD(0.0), "mse", metrics=[MeanAbsoluteError(name=name)])
    watched = [
        EarlyStopping(f"val_{name}", mode="min", verbose=1, restore_best_weights=True),
        ReduceLROnPlateau(f"val_{name}", mode="min", verbose=1, patience=1, min_delta=0),
    ]
    model.fit(X, Y, 10, 3, verbose, validation_data=(X, Y), callbacks=watched)
    model.evaluate(X, Y, verbose=verbose)
    model.predict(X, verbose=verbose)
    model.summary()
    print(str(model.history).encode("ascii", "backslashreplace").decode())
    stream.flush()
    text = data.getvalue().decode(encoding)
    told = name if encoding.startswith("utf") and name.isprintable() else ODD[name]
    assert f" - {told}: 1.0000" in text
    assert f" - val_{told}: 1.0000" in text
    assert "Model: 'sequential'" in text
    assert "early stopping" in text


class Broken:
    """A standard output of which one thing raises, or all."""

    encoding = "utf-8"

    def __init__(self, broken: set[str], error: Exception, terminal: bool) -> None:
        self.broken, self.error, self.terminal = broken, error, terminal
        self.text = ""

    def _do(self, what: str) -> None:
        if what in self.broken:
            raise self.error

    def write(self, text):
        self._do("write")
        self.text += text

    def flush(self):
        self._do("flush")

    def isatty(self):
        self._do("isatty")
        return self.terminal

    def fileno(self):
        self._do("fileno")
        return 1


def everything(model: Sequential) -> None:
    history = model.fit(
        X, Y, 10, 4, callbacks=[EarlyStopping("loss", verbose=1), ModelVerbose()], validation_data=(X, Y)
    )
    assert len(history.epoch) == 2
    assert model.evaluate(X, Y, verbose=1) == 1.0
    assert len(model.predict(X, verbose=1)) == 100
    model.summary()
    fastnn.show_config()


class ModelVerbose(LearningRateScheduler):
    def __init__(self) -> None:
        super().__init__(lambda epoch: 0.0, verbose=1)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    "error", [OSError("full"), BrokenPipeError(), ValueError("closed"), RuntimeError(), LookupError()]
)
@pytest.mark.parametrize(
    "broken", [{"write"}, {"flush"}, {"isatty"}, {"fileno"}, {"write", "flush", "isatty"}], ids=str
)
def test_an_output_that_raises(show, broken, error, terminal):
    show(Broken(broken, error, terminal))
    everything(zeros())


@pytest.mark.parametrize("missing", ["flush", "isatty", "fileno", "encoding", "write"])
def test_an_output_that_lacks_something(show, missing):
    text: list[str] = []
    have = {"write": text.append, "flush": lambda: None, "isatty": lambda: True, "fileno": lambda: 1, "encoding": "x"}
    del have[missing]
    show(SimpleNamespace(**have))
    everything(zeros())
    assert ("Epoch 1/4" in "".join(text)) == (missing != "write")


def test_no_output_or_a_closed_one(show, monkeypatch, tmp_path):
    show(None)
    everything(zeros())
    monkeypatch.delattr(sys, "stdout")
    everything(zeros())
    monkeypatch.undo()
    with open(tmp_path / "file", "w") as closed:
        pass
    for number in (closed, SimpleNamespace()):
        monkeypatch.setattr(sys, "stdout", number)
        everything(zeros())


@pytest.mark.skipif(not hasattr(os, "pipe"), reason="has no pipes")
def test_a_pipe_that_nobody_reads(show):
    reads, writes = os.pipe()
    os.close(reads)
    stream = show(open(writes, "w"))  # noqa: SIM115
    everything(zeros())
    with contextlib.suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("error", [ValueError("I/O operation on closed file"), BrokenPipeError(), RuntimeError()])
def test_a_warning_that_cannot_be_printed(monkeypatch, error):
    """It ends nothing; a warning that is an error does."""
    shown = []

    def fails(message, *others, **named):
        shown.append(str(message))
        raise error

    model = zeros()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", fails)
        assert model.fit(X, Y, 50, steps_per_epoch=5, verbose=0).epoch == [0]
        assert shown == ["the data ended 3 batches before the 5 steps of this epoch; ask for fewer steps"]
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="the data ended 3 batches before the 5 steps"):
            model.fit(X, Y, 50, steps_per_epoch=5, verbose=0)


def test_ctrl_c_in_an_output_still_ends_a_fit(show):
    show(Broken({"write"}, KeyboardInterrupt(), False))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        zeros().fit(X, Y)


def test_wide_characters_stand_in_columns():
    model = Sequential([Dense(1, input_dim=2, name="重み"), Dense(3, name="b")])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    wide, narrow = (line for line in lines[0].splitlines() if "(Dense)" in line)
    assert narrow.index("(None, 3)") == wide.index("(None, 1)") + 2  # two characters of two columns

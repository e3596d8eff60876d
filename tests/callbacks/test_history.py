"""The history: what it holds, and how it is shown."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from fastnn.callbacks import History, LambdaCallback, LearningRateScheduler
from support.scripted import Scripted, X, Y, model_of


@pytest.fixture
def history() -> History:
    model = model_of(metrics=["mae"])
    halve = LearningRateScheduler(lambda epoch: 0.5**epoch)
    return model.fit(X, Y, 5, 4, 0, [halve], validation_data=(X, Y), validation_freq=2)


def scripted(**logs: list) -> History:
    """A history of given values, without those of the fit."""
    history = History()
    names = list(logs)
    for epoch, values in enumerate(zip(*logs.values(), strict=True)):
        history.on_epoch_end(epoch, {n: v for n, v in zip(names, values, strict=True) if v is not None})
    return history


def test_what_it_holds(history):
    assert {name: len(values) for name, values in history.history.items()} == {
        "mae": 4, "loss": 4, "learning_rate": 4, "val_mae": 2, "val_loss": 2
    }  # fmt: skip
    assert history.history["learning_rate"] == history.learning_rate == [1.0, 0.5, 0.25, 0.125]
    assert history.values("seconds") == ([1, 2, 3, 4], history.seconds)
    assert all(seconds > 0 for seconds in history.seconds)
    assert history.epoch == [0, 1, 2, 3]
    assert history.values("val_loss") == ([2, 4], history.history["val_loss"])


def test_lists_stay_the_callers():
    history = scripted(loss=[1.0, 2.0])
    history.history["loss"].append(9.0)
    history.on_epoch_end(2, {"loss": 3.0})
    assert history.history["loss"] == [1.0, 2.0, 9.0, 3.0]


def test_seconds_are_those_of_training_and_validation(monkeypatch):
    clock = [0]

    def passes(seconds):
        return lambda *_: clock.append(clock.pop() + seconds)

    monkeypatch.setattr("fastnn.training.trainer.perf_counter", lambda: clock[0])
    passing = LambdaCallback(
        on_epoch_begin=passes(1000),
        on_train_batch_end=passes(1),
        on_test_begin=passes(100),
        on_epoch_end=passes(1000),
    )
    [seconds] = model_of().fit(X, Y, 10, 1, 0, passing, validation_data=(X, Y)).seconds
    assert seconds == len(X) // 10 + 100


def test_a_table():
    text = str(scripted(loss=[1.0, 0.123456], val_loss=[None, 2e-7], name=["a", "b"]))
    assert text == (
        "epoch    loss  name  val_loss\n"
        "    1       1     a          \n"
        "    2  0.1235     b     2e-07"
    )  # fmt: skip
    assert str(History()) == "epoch"


def test_a_long_table_is_cut():
    lines = str(scripted(loss=[float(i) for i in range(100)])).splitlines()
    assert len(lines) == 22
    assert [line.split() for line in lines[9:13]] == [["9", "8"], ["10", "9"], ["...", "..."], ["91", "90"]]
    assert len(str(scripted(loss=[1.0] * 20)).splitlines()) == 21


def test_a_notebook_shows_a_table():
    html = scripted(loss=[1.0, 0.5])._repr_html_()
    assert html == (
        "<table><tr><th>epoch</th><th>loss</th></tr><tr><td>1</td><td>1</td></tr><tr><td>2</td><td>0.5</td></tr></table>"
    )
    assert "<b>" not in scripted(**{"<b>": ["<b>"]})._repr_html_()


def test_what_python_shows():
    assert repr(History()) == "<History of 0 epochs>"
    assert repr(scripted(loss=[1.0, 0.5])) == "<History of 2 epochs, loss=0.5>"


def test_a_dataframe(history):
    pytest.importorskip("pandas")
    frame = history.to_dataframe()
    assert set(frame.columns) == {*history.history, "seconds"}
    assert list(frame.index) == [1, 2, 3, 4]  # as the fit prints them
    assert frame["seconds"].tolist() == history.seconds
    assert frame.index.name == "epoch"
    assert frame["loss"].tolist() == history.history["loss"]
    assert frame["val_loss"].isna().tolist() == [True, False, True, False]
    assert History().to_dataframe().empty


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_a_picture(history, pyplot):
    axes = history.plot()
    assert [a.get_ylabel() for a in axes] == ["loss", "mae", "learning rate"]
    assert [line.get_label() for line in axes[0].lines] == ["training", "validation"]
    np.testing.assert_array_equal(axes[0].lines[0].get_xydata(), np.c_[[1, 2, 3, 4], history.history["loss"]])
    np.testing.assert_array_equal(axes[0].lines[1].get_xydata(), np.c_[[2, 4], history.history["val_loss"]])
    assert [a.get_ylabel() for a in history.plot(["seconds", "mae"])] == ["seconds", "mae"]
    assert [a.get_ylabel() for a in history.plot("mae")] == ["mae"]
    steady = model_of().fit(X, Y, verbose=0, callbacks=[Scripted(mae=[1.0])])
    assert [a.get_ylabel() for a in steady.plot()] == ["loss", "mae"]


def test_a_picture_of_figures_of_several_numbers(pyplot):
    values = {"matrix": [np.eye(2), np.ones((2, 2))], "one": [np.ones(1)] * 2, "text": ["a", "b"], "odd": [[1], [1, 2]]}
    history = model_of().fit(X, Y, epochs=2, verbose=0, callbacks=[Scripted(**values)])
    axes = history.plot()
    assert [a.get_ylabel() for a in axes] == ["loss", "matrix", "one"]
    assert [len(a.lines) for a in axes] == [1, 4, 1]
    assert axes[1].lines[1].get_ydata().tolist() == [0, 1]


def test_names_and_figures_of_any_kind_are_one_row():
    values = {"two\nlines": [1.5], "matrix": [np.eye(2)], "精度": [np.float32(0.25)], "text": ["a\nb"], "none": [None]}
    history = model_of().fit(X, Y, verbose=0, callbacks=[Scripted(**values)])
    titles, row = str(history).splitlines()
    assert "two\\nlines" in titles
    for cell in ("1.5", "[[1, 0], [0, 1]]", "0.25", "a\\nb"):
        assert cell in row
    assert "\n" not in repr(history)


@pytest.mark.parametrize(("figures", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 2, 3), (7, 3, 3)])
def test_pictures_are_at_most_three_side_by_side(pyplot, figures, rows, columns):
    axes = scripted(**{f"figure_{number}": [1.0, 2.0] for number in range(figures)}).plot()
    assert [a.get_ylabel() for a in axes] == [f"figure {number}" for number in range(figures)]
    (grid,) = {a.get_gridspec() for a in axes}
    assert (grid.nrows, grid.ncols) == (rows, columns)
    assert len(pyplot.gcf().axes) == figures  # no empty ones


def test_the_picture_that_pandas_draws(history, pyplot):
    pandas = pytest.importorskip("pandas")
    history = model_of(metrics=["mae"]).fit(X, Y, 5, 4, 0, validation_data=(X, Y))
    drawn = pandas.DataFrame(history.history).plot()
    assert {line.get_label() for line in drawn.lines} == {"loss", "mae", "val_loss", "val_mae"}


def test_a_picture_of_nothing(history, pyplot):
    with pytest.raises(
        ValueError, match=r"the history has no 'auc'; it has mae, loss, learning_rate, val_mae, val_loss, seconds"
    ):
        history.plot(["auc"])
    with pytest.raises(ValueError, match="no epochs to plot"):
        History().plot()


@pytest.mark.parametrize(
    ("module", "action", "extra"), [("pandas", History.to_dataframe, "pandas"), ("matplotlib", History.plot, "plot")]
)
def test_a_missing_library(history, monkeypatch, module, action, extra):
    original = builtins.__import__

    def refuse(name, *arguments, **named):
        if name.startswith(module):
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=rf'pip install "fastnn\[{extra}\]"'):
        action(history)

"""What is wrong with a callback is said before the first epoch, and before any file is touched."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    JSONLinesLogger,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
    TimeBudget,
)
from fastnn.layers import Dense
from fastnn.metrics import ConfusionMatrix, F1Score, Metric
from fastnn.models import Sequential
from support.scripted import X, Y, model_of

MONITORS = [
    lambda **how: EarlyStopping(**how),
    lambda **how: ReduceLROnPlateau(**how),
    lambda **how: ModelCheckpoint("name", save_best_only=True, **how),
]
LABELS = (Y > 0).astype(int)


class Watch(Callback):
    """Whether anything has begun."""

    begun = False

    def on_train_begin(self, logs=None):
        self.begun = True


def refused(callbacks, error=ValueError, match="", model=None, **fit) -> None:
    """A fit is refused before it begins, and the model can still learn."""
    watch = Watch()
    model = model or model_of(metrics=["mae"])
    with pytest.raises(error, match=match):
        model.fit(X, fit.pop("y", Y), verbose=0, callbacks=[watch, *callbacks], **fit)
    assert not watch.begun
    assert model.description.network.iterations == 0


def classifier(units: int, metrics: list) -> Sequential:
    model = Sequential([Dense(units, "sigmoid" if units == 1 else "softmax", input_dim=3)])
    model.compile("sgd", "binary_crossentropy" if units == 1 else "sparse_categorical_crossentropy", metrics=metrics)
    return model


# Monitors


@pytest.mark.parametrize("make", MONITORS)
@pytest.mark.parametrize(
    ("monitor", "hint"),
    [
        ("val_loss", r" is not in the logs, which have loss, mae; .*pass validation_data"),
        ("maee", r" \(did you mean 'mae'\?\) is not in the logs"),
        ("Loss", r" \(did you mean 'loss'\?\) is not in the logs"),
        ("f1", " is not in the logs"),
    ],
)
def test_monitors_that_will_not_be_there(make, monitor, hint):
    refused([make(monitor=monitor, mode="min")], match=f"monitor '{monitor}'{hint}")


@pytest.mark.parametrize("make", MONITORS)
@pytest.mark.parametrize("prefix", ["", "val_"])
@pytest.mark.parametrize("metric", [ConfusionMatrix(3, name="m"), F1Score(average=None, name="m")])
def test_arrays_cannot_be_watched(make, prefix, metric):
    model = classifier(3, [metric])
    if isinstance(metric, F1Score):
        model = Sequential([Dense(3, "softmax", input_dim=3)])
        model.compile("sgd", "categorical_crossentropy", metrics=[metric])
    y = np.eye(3)[np.arange(20) % 3] if isinstance(metric, F1Score) else np.arange(20) % 3
    shape = r"\(3,\)" if isinstance(metric, F1Score) else r"\(3, 3\)"
    refused(
        [make(monitor=f"{prefix}m", mode="max")],
        match=f"monitor '{prefix}m' is an array of shape {shape}; what is watched must be one number",
        model=model,
        y=y,
        validation_data=(X, y),
    )


@pytest.mark.parametrize("make", MONITORS)
def test_an_array_of_one_number_is_a_number(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = classifier(1, [F1Score(name="f1")])
    history = model.fit(X, LABELS, epochs=3, verbose=2, callbacks=[make(monitor="val_f1")], validation_data=(X, LABELS))
    assert np.size(history.history["val_f1"][0]) == 1
    assert os.path.exists("name") == (make is MONITORS[2])


def test_an_array_of_one_number_in_the_name_of_a_file(tmp_path):
    model = classifier(1, [F1Score(average=None, name="f1")])
    model.fit(X, LABELS, verbose=0, callbacks=ModelCheckpoint(tmp_path / "{epoch}-{f1:.3f}"))
    assert re.fullmatch(r"1-\d\.\d\d\d", os.listdir(tmp_path)[0])


class Own(Metric):
    """A metric of the user's own, which has no value before the first row."""

    value: object = 1.0

    def __init__(self, value: object) -> None:
        super().__init__("own")
        self.value, self.rows = value, 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.rows += len(y_true)

    def result(self):
        return self.value if self.rows // self.rows else None

    def reset_state(self):
        self.rows = 0


@pytest.mark.parametrize(("value", "epochs"), [(1.0, 2), (np.ones(1), 2), (np.ones((1, 1), np.float32), 2)])
def test_a_metric_that_has_no_value_yet(value, epochs):
    model = model_of(metrics=[Own(value)])
    history = model.fit(X, Y, epochs=5, verbose=0, callbacks=EarlyStopping("own", mode="min", patience=1))
    assert len(history.epoch) == epochs


@pytest.mark.parametrize("value", [np.ones(2), "text", None])
def test_figures_that_only_an_epoch_shows_to_be_no_number(value):
    """They do not count, and end nothing."""
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=value))
    with pytest.warns(UserWarning, match="monitor 'mine' must be one number"):
        history = model_of().fit(X, Y, epochs=3, verbose=0, callbacks=[add, EarlyStopping("mine", mode="min")])
    assert len(history.epoch) == 3


@pytest.mark.parametrize("make", MONITORS)
def test_what_another_callback_adds_may_be_watched(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=epoch))
    history = model_of().fit(X, Y, epochs=3, verbose=0, callbacks=[add, make(monitor="mine", mode="max")])
    assert len(history.epoch) == 3
    refused([make(monitor="mine", mode="max"), add], match="monitor 'mine' is not in the logs")


def test_what_another_callback_has_not_added():
    watched = LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    with pytest.warns(UserWarning, match=r"monitor 'mine' is not in the logs, which have loss"):
        history = model_of().fit(X, Y, epochs=3, verbose=0, callbacks=[watched, EarlyStopping("mine", mode="min")])
    assert len(history.epoch) == 3


# Files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{epoch}-{val_loss:.2f}", r"names 'val_loss', but there are only epoch, loss, mae"),
        ("{epoch}-{maee:.2f}", r"names 'maee' \(did you mean 'mae'\?\), but"),
        ("{}", "names "),
        ("{epoch:q}", "does not make a name"),
        ("{loss:d}", "does not make a name"),
        ("{epoch.there}", "does not make a name"),
    ],
)
def test_templates(tmp_path, name, message):
    refused([ModelCheckpoint(tmp_path / name)], match=message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["{epoch", "epoch}", "{epoch!x:{}"])
def test_templates_that_are_none(name):
    with pytest.raises(ValueError, match=r"is no name and no template|does not make"):
        model_of().fit(X, Y, verbose=0, callbacks=ModelCheckpoint(name))


@pytest.mark.parametrize(("every", "works"), [(1, False), (2, True), (3, False), (4, True)])
def test_a_figure_that_some_epochs_lack(tmp_path, every, works):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.9f}", every_n_epochs=every)
    how = {"validation_data": (X, Y), "validation_freq": 2, "epochs": 4}
    if works:
        model_of().fit(X, Y, verbose=0, callbacks=checkpoint, **how)
        assert len(os.listdir(tmp_path)) == 4 // every
    else:
        refused([checkpoint], match="names 'val_loss', but", **how)


FILES = [CSVLogger, JSONLinesLogger, lambda p: ModelCheckpoint(p / "{epoch}" / "x"), BackupAndRestore]


@pytest.mark.parametrize("make", FILES)
def test_folders_that_cannot_be(tmp_path, make):
    (tmp_path / "file").write_text("mine")
    refused([make(tmp_path / "file" / "log")], OSError, "file")
    if os.path.isdir("/proc"):
        refused([make(type(tmp_path)("/proc/fastnn/log"))], OSError, "/proc/fastnn")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("make", [CSVLogger, JSONLinesLogger, ModelCheckpoint])
def test_a_folder_in_the_way(tmp_path, make):
    refused([make(tmp_path)], IsADirectoryError, re.escape(str(tmp_path)))


def test_a_file_that_was_there_stays_where_a_fit_is_refused(tmp_path):
    (tmp_path / "log").write_text("mine")
    refused([CSVLogger(tmp_path / "log"), EarlyStopping()], match="val_loss")
    assert (tmp_path / "log").read_text() == "mine"


# Objects


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (EarlyStopping, r"got .*, a class; make an object of it: EarlyStopping\(\.\.\.\)"),
        ([EarlyStopping], r"got .*, a class; make an object of it: EarlyStopping\(\.\.\.\)"),
        ("EarlyStopping", "got 'EarlyStopping'"),
        (5, "got 5"),
        (print, "got .*; a function may be given to a LambdaCallback"),
        ([lambda epoch: None], "got .*; a function may be given to a LambdaCallback"),
        ([None], "got None"),
        ([[EarlyStopping("loss")]], "got \\["),
    ],
)
def test_what_is_no_callback(callbacks, message):
    for action in ("fit", "evaluate", "predict"):
        arguments = (X,) if action == "predict" else (X, Y)
        with pytest.raises(TypeError, match=message):
            getattr(model_of(), action)(*arguments, verbose=0, callbacks=callbacks)


def test_a_callback_of_keras():
    theirs = type("EarlyStopping", (), {"__module__": "keras.src.callbacks.early_stopping"})()
    with pytest.raises(TypeError, match=r", which is Keras's; fastnn has its own in fastnn\.callbacks"):
        model_of().fit(X, Y, verbose=0, callbacks=[theirs])


@pytest.mark.parametrize("make", [lambda: EarlyStopping("loss"), History, TerminateOnNaN, Watch])
def test_a_callback_twice(make):
    callback = make()
    refused([callback, callback], match=f"the same {type(callback).__name__} object twice")
    model_of().fit(X, Y, verbose=0, callbacks=[make(), make()])


@pytest.mark.parametrize(
    ("hook", "takes"),
    [("on_epoch_end", "epoch, logs"), ("on_train_begin", "logs"), ("on_train_batch_end", "batch, logs")],
)
def test_hooks_that_take_something_else(hook, takes):
    class Mine(Callback):
        pass

    setattr(Mine, hook, lambda self: None)
    for action, arguments in (("evaluate", (X, Y)), ("predict", (X,))):
        with pytest.raises(TypeError, match=rf"Mine\.{hook} is called with"):
            getattr(model_of(), action)(*arguments, verbose=0, callbacks=[Mine()])
    refused([Mine()], TypeError, rf"Mine\.{hook} is called with \({takes}\), but takes \(\)")
    with pytest.raises(TypeError, match=rf"LambdaCallback: {hook} is called with \({takes}\), but takes \(\)"):
        LambdaCallback(**{hook: lambda: None})
    with pytest.raises(TypeError, match=rf"LambdaCallback: {hook} must be a function of \({takes}\), got 5"):
        LambdaCallback(**{hook: 5})


def test_a_hook_by_another_name():
    with pytest.raises(TypeError, match=r"no hook 'on_epoch_ends' \(did you mean 'on_epoch_end'\?\)"):
        LambdaCallback(on_epoch_ends=print)

    class Mine(Callback):
        def on_epoch_ends(self, epoch, logs=None): ...
        def on_fire(self): ...

    with pytest.warns(UserWarning, match="Mine.on_epoch_ends is no hook and is never called .*'on_epoch_end'") as said:
        model_of().fit(X, Y, verbose=0, callbacks=Mine())
    assert len(said) == 1


@pytest.mark.parametrize("schedule", [0.1, None, "cosine", [0.1, 0.2]])
def test_schedules_that_cannot_be_called(schedule):
    with pytest.raises(TypeError, match="schedule must be a function of"):
        LearningRateScheduler(schedule)


def test_a_schedule_that_takes_something_else():
    with pytest.raises(TypeError, match=r"schedule is called with \(epoch\), but takes \(\)"):
        LearningRateScheduler(lambda: 0.1)


@pytest.mark.parametrize("make", [lambda: ReduceLROnPlateau("loss"), lambda: LearningRateScheduler(lambda e: 0.1)])
def test_an_optimizer_with_a_schedule(make):
    rate = fastnn.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    refused([make()], TypeError, "the optimizer's is a schedule", model=model_of(optimizer=fastnn.optimizers.SGD(rate)))


# Arguments of a wrong kind, by callback


@pytest.mark.parametrize("value", ["3", None, [1], object(), np.ones(2), 1j])
@pytest.mark.parametrize(
    ("cls", "name", "others"),
    [
        (EarlyStopping, "patience", {}),
        (EarlyStopping, "min_delta", {}),
        (EarlyStopping, "start_from_epoch", {}),
        (EarlyStopping, "monitor", {}),
        (EarlyStopping, "mode", {}),
        (EarlyStopping, "restore_best_weights", {}),
        (ReduceLROnPlateau, "factor", {}),
        (ReduceLROnPlateau, "patience", {}),
        (ReduceLROnPlateau, "cooldown", {}),
        (ReduceLROnPlateau, "min_lr", {}),
        (ModelCheckpoint, "save_best_only", {"filepath": "name"}),
        (ModelCheckpoint, "save_weights_only", {"filepath": "name"}),
        (ModelCheckpoint, "save_freq", {"filepath": "name"}),
        (ModelCheckpoint, "every_n_epochs", {"filepath": "name"}),
        (TimeBudget, "seconds", {}),
        (TerminateOnNaN, "raise_error", {}),
    ],
)
def test_arguments(cls, name, others, value):
    if name == "monitor" and isinstance(value, str):
        value = 3
    with pytest.raises((TypeError, ValueError), match=f"{name} must be"):
        cls(**{name: value}, **others)


@pytest.mark.parametrize("value", [float("nan"), -1])
@pytest.mark.parametrize("name", ["patience", "cooldown", "min_lr", "factor"])
def test_ranges(name, value):
    with pytest.raises(ValueError, match=f"ReduceLROnPlateau: {name} must be at least 0"):
        ReduceLROnPlateau(**{name: value})


@pytest.mark.parametrize("path", [3.5, None, [], object(), ""])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (CSVLogger, "filename"),
        (JSONLinesLogger, "filename"),
        (ModelCheckpoint, "filepath"),
        (BackupAndRestore, "backup_dir"),
    ],
)
def test_paths(make, name, path):
    with pytest.raises((TypeError, ValueError), match=f"{make.__name__}: {name} must be a path, got"):
        make(path)


@pytest.mark.parametrize("make", [CSVLogger, JSONLinesLogger, ModelCheckpoint])
def test_paths_of_bytes(make, tmp_path):
    model_of().fit(X, Y, verbose=0, callbacks=make(os.fsencode(tmp_path / "точность")))
    assert os.listdir(tmp_path) == ["точность"]


VERBOSE = [
    lambda value: EarlyStopping(verbose=value),
    lambda value: ReduceLROnPlateau(verbose=value),
    lambda value: ModelCheckpoint("name", verbose=value),
    lambda value: LearningRateScheduler(lambda epoch: 0.1, verbose=value),
    lambda value: TimeBudget(1, verbose=value),
]
FLAGS = [
    lambda value: CSVLogger("name", append=value),
    lambda value: JSONLinesLogger("name", append=value),
    lambda value: BackupAndRestore("name", delete_checkpoint=value),
    lambda value: BackupAndRestore("name", double_checkpoint=value),
]


@pytest.mark.parametrize("make", VERBOSE + FLAGS)
@pytest.mark.parametrize("value", [np.ones(2), [1], "yes", None, 10**5000], ids=lambda value: type(value).__name__)
def test_flags_that_are_none(make, value):
    if make in VERBOSE and isinstance(value, int):
        with pytest.raises(ValueError, match="must be at most"):
            make(value)
    else:
        with pytest.raises((TypeError, ValueError), match=r"must be (True or False|a whole number)"):
            make(value)


@pytest.mark.parametrize("make", VERBOSE + FLAGS)
@pytest.mark.parametrize("value", [True, False, 0, 1, np.bool_(True)])
def test_flags(make, value):
    make(value)


@pytest.mark.parametrize("callbacks", [np.array(1.0), 10**5000, np.float64(1)], ids=["array", "huge", "number"])
def test_what_has_no_callbacks(callbacks):
    with pytest.raises(TypeError, match="callbacks must be"):
        model_of().fit(X, Y, verbose=0, callbacks=callbacks)

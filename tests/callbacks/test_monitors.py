"""EarlyStopping and ReduceLROnPlateau, by scripted and by real values."""

from __future__ import annotations

import pytest

import fastnn
from fastnn.callbacks import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.monitors import Monitor
from fastnn.optimizers.schedules import LearningRateSchedule
from support.scripted import FALLS, PLATEAUS, TRACES, Scripted, X, Y, model_of, trace


@pytest.mark.parametrize(("arguments", "values", "expected"), TRACES, ids=str)
def test_early_stopping(arguments, values, expected):
    stopping = EarlyStopping(**arguments)
    assert trace(stopping, **values) == expected
    # The same object serves the next fit.
    assert trace(stopping, **values) == expected


def test_early_stopping_notes_where(capsys):
    stopping = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    trace(stopping, val_loss=FALLS)
    assert (stopping.stopped_epoch, stopping.best_epoch, stopping.best, stopping.wait) == (4, 2, 3.0, 2)
    assert capsys.readouterr().out == "Epoch 5: early stopping\nRestored the weights of the best epoch: 3\n"
    trace(EarlyStopping(patience=20, verbose=1), val_loss=FALLS)
    assert capsys.readouterr().out == ""


def test_early_stopping_by_real_values():
    model = model_of(metrics=["mae"])
    stopping = EarlyStopping(patience=3, restore_best_weights=True, min_delta=1e-9)
    history = model.fit(X, Y, 5, 500, 0, [stopping], validation_data=(X, Y)).history
    assert len(history["loss"]) < 500
    assert model.evaluate(X, Y, verbose=0)[0] == stopping.best == history["val_loss"][stopping.best_epoch]


# ReduceLROnPlateau


@pytest.mark.parametrize(("arguments", "values", "expected"), PLATEAUS, ids=str)
def test_reduce_on_plateau(arguments, values, expected):
    reduce = ReduceLROnPlateau(**arguments)
    for _ in range(2):  # the same object serves the next fit
        model = model_of(optimizer=fastnn.optimizers.SGD(1.0))
        epochs = len(next(iter(values.values())))
        history = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[Scripted(**values), reduce]).history
        assert history["learning_rate"] == pytest.approx(expected, rel=1e-12)


def test_it_says_when_it_reduces(capsys):
    model = model_of(optimizer=fastnn.optimizers.SGD(1.0))
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[Scripted(loss=[1, 1, 0]), ReduceLROnPlateau("loss", 0.5, 1, 1)])
    assert capsys.readouterr().out == "Epoch 2: ReduceLROnPlateau reduces the learning rate to 0.5\n"


# What both share


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *[(name, "min") for name in ("loss", "val_loss", "mae", "val_mse", "rmse", "mean_squared_logarithmic_error")],
        *[(name, "min") for name in ("binary_crossentropy", "hinge", "log_cosh", "poisson", "val_kl_divergence")],
        *[
            (name, "max")
            for name in ("accuracy", "val_acc", "auc", "val_precision", "recall_1", "f1_score", "mean_iou")
        ],
        *[
            (name, "max")
            for name in ("r2_score", "cosine_similarity", "sparse_top_k_categorical_accuracy", "fbeta_score")
        ],
    ],
)
def test_the_name_says_which_way_is_better(name, mode):
    assert Monitor(name).mode == mode


def test_epochs_without_validation_do_not_count():
    model = model_of()
    stopping = EarlyStopping(patience=1, min_delta=1e9)
    history = model.fit(X, Y, epochs=20, verbose=0, callbacks=[stopping], validation_data=(X, Y), validation_freq=3)
    assert history.epoch[-1] == 5  # epochs 3 and 6 were validated
    model.fit(
        X, Y, epochs=4, verbose=0, callbacks=[ReduceLROnPlateau(patience=1)], validation_data=(X, Y), validation_freq=2
    )


# What is refused


def test_a_monitor_that_is_not_there():
    model = model_of(metrics=["mae"])
    with pytest.raises(
        ValueError,
        match=r"'val_loss' is not in the logs, which have loss, mae; .*validation_data",
    ):
        model.fit(X, Y, verbose=0, callbacks=[EarlyStopping()])
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "up"}, "mode must be 'auto', 'min' or 'max', got 'up'"),
        ({"patience": -1}, "patience must be at least 0, got -1"),
    ],
)
def test_arguments_of_early_stopping(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping("score"), "EarlyStopping: whether 'score' should rise or fall is not known; pass mode"),
        (lambda: ReduceLROnPlateau("score"), "ReduceLROnPlateau: whether 'score'"),
        (lambda: ReduceLROnPlateau(mode="up"), "mode must be 'auto', 'min' or 'max', got 'up'"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor must be at least 0 and below 1, got 1.0"),
        (lambda: ReduceLROnPlateau(factor=-0.1), "factor must be at least 0"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Schedule(LearningRateSchedule):
    def __call__(self, step):
        return 0.01

    def __repr__(self) -> str:
        return "Schedule()"


@pytest.mark.parametrize("callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)])
def test_a_learning_rate_that_is_a_schedule(callback):
    model = model_of()
    model.optimizer.learning_rate = Schedule()
    with pytest.raises(TypeError, match=r"changes the learning rate, but the optimizer's is a schedule, Schedule\(\)"):
        model.fit(X, Y, verbose=0, callbacks=[callback])

"""What may happen between epochs."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, EarlyStopping, History
from fastnn.data import ArraySource
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.trainer import Trainer

X = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
Y = X[:, :1] - 2 * X[:, 1:2]


def model_of(**compiled: object) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(1, input_dim=3)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


class Recorder(Callback):
    """Writes down what is called, with which epoch."""

    def __init__(self, name: str, log: list) -> None:
        self.name, self.log = name, log

    def on_train_begin(self, logs=None):
        self.log.append((self.name, "train begin", logs))

    def on_train_end(self, logs=None):
        self.log.append((self.name, "train end", sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.log.append((self.name, "epoch begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.log.append((self.name, "epoch end", epoch))


def test_order():
    log: list = []
    model = model_of()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Recorder("a", log), Recorder("b", log)])
    both = [(name, what, argument) for what, argument in [
        ("train begin", None),
        ("epoch begin", 0),
        ("epoch end", 0),
        ("epoch begin", 1),
        ("epoch end", 1),
        ("train end", ["loss"]),
    ] for name in "ab"]  # fmt: skip
    assert log == both


def test_a_trainers_own_callbacks_come_first():
    log: list = []
    model = model_of()
    trainer = Trainer(model, "sgd", "mse", callbacks=[Recorder("own", log)])
    source = ArraySource(X, Y)
    trainer.fit(source, callbacks=Recorder("given", log))
    trainer.fit(source)
    assert [name for name, what, _ in log if what == "epoch end"] == ["own", "given", "own"]


class Peek(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.during = self.model.history

    def on_epoch_end(self, epoch, logs=None):
        self.weights = self.model.get_weights()
        self.prediction = self.model.predict(X)
        self.logs = dict(logs)
        logs["learning_rate"] = 0.01 * (epoch + 1)


def test_what_a_callback_sees():
    model, peek = model_of(metrics=["mae"]), Peek()
    history = model.fit(X, Y, 5, 3, 0, [peek], validation_data=(X, Y))
    assert peek.model is model
    assert peek.params == {"epochs": 3, "batch_size": 5, "verbose": 0}
    assert peek.during is history
    assert set(peek.logs) == {"loss", "mae", "val_loss", "val_mae"}
    assert peek.logs["val_loss"] == model.evaluate(X, Y, verbose=0)[0]
    np.testing.assert_array_equal(peek.weights[0], model.get_weights()[0])
    np.testing.assert_array_equal(peek.prediction, model.predict(X))
    # What a callback adds to the logs is in the history too, as in Keras.
    assert history.history["learning_rate"] == [0.01, 0.02, 0.03]


def test_a_history_of_ones_own():
    own = History()
    history = model_of().fit(X, Y, epochs=2, verbose=0, callbacks=own)
    assert own.history == history.history
    assert own.epoch == [0, 1]


class Stop(Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            self.model.stop_training = True


def test_stop_training():
    log: list = []
    model = model_of()
    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[Stop(), Recorder("a", log)])
    assert len(history.history["loss"]) == 3
    assert log[-1][1] == "train end"
    # The next fit starts again.
    assert len(model.fit(X, Y, epochs=2, verbose=0).history["loss"]) == 2


class Halve(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.1 / 2**epoch


def test_the_learning_rate_may_change_between_epochs():
    model, steps = model_of(), model_of()
    model.fit(X, Y, 5, 3, 0, Halve(), shuffle=False)
    for epoch in range(3):
        steps.optimizer.learning_rate = 0.1 / 2**epoch
        steps.fit(X, Y, 5, 1, 0, shuffle=False)
    np.testing.assert_array_equal(model.get_weights()[0], steps.get_weights()[0])


class Raises(Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ZeroDivisionError("of my own")


def test_an_exception_comes_out_and_the_model_stays_usable():
    model = model_of()
    with pytest.raises(ZeroDivisionError, match="of my own"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[Raises()])
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


class Otherwise(Callback):
    """Uses the model in another way between the epochs."""

    def __init__(self, action) -> None:
        self.action = action

    def on_epoch_end(self, epoch, logs=None):
        self.action(self.model)


def elsewhere(model: Sequential) -> None:
    Trainer(model, "adam", "mae").evaluate(ArraySource(X[:4], Y[:4]))


def smaller(model: Sequential) -> None:
    model.train_on_batch(X[:0:-1], Y[:0:-1])
    model.fit(X[:3], Y[:3], verbose=0)


@pytest.mark.parametrize(
    "action", [elsewhere, smaller, lambda model: model.compile("adam", "mae"), lambda model: model.add(Dense(1))]
)
def test_the_model_may_be_used_between_epochs(action):
    model = model_of()
    losses = model.fit(X, Y, 5, 4, 0, [Otherwise(action)]).history["loss"]
    assert len(losses) == 4
    assert np.isfinite(losses).all()


def test_another_loss_between_epochs_is_not_trained_for():
    plain, mixed = model_of(), model_of()
    for _ in range(3):
        plain.fit(X, Y, 5, 1, 0, shuffle=False)
    mixed.fit(X, Y, 5, 3, 0, [Otherwise(elsewhere)], shuffle=False)
    np.testing.assert_array_equal(plain.get_weights()[0], mixed.get_weights()[0])


# EarlyStopping


class Scripted(Callback):
    """Puts given figures into the logs, and the number of the epoch into the weights."""

    def __init__(self, **figures: list[float]) -> None:
        self.figures = figures

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.figures.items()})
        kernel, bias = self.model.get_weights()
        self.model.set_weights([kernel * 0, bias * 0 + epoch])


def trace(stopping: EarlyStopping, **figures: list[float]) -> tuple[int, int]:
    """(epochs run, the epoch whose weights the model ends with)."""
    model = model_of()
    epochs = len(next(iter(figures.values())))
    history = model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[Scripted(**figures), stopping])
    return len(history.epoch), int(model.get_weights()[1].item())


FALLS = [5.0, 4.0, 3.0, 3.5, 3.6, 2.0, 2.5, 2.6, 2.7, 2.8]
# Arguments; figures; epochs run and the epoch of the weights at the end. tests/test_keras.py runs the same by Keras.
TRACES = [
    ({}, {"val_loss": FALLS}, (4, 3)),
    ({"patience": 1}, {"val_loss": FALLS}, (4, 3)),
    ({"patience": 2}, {"val_loss": FALLS}, (5, 4)),
    ({"patience": 3}, {"val_loss": FALLS}, (9, 8)),
    ({"patience": 5}, {"val_loss": FALLS}, (10, 9)),
    ({"restore_best_weights": True}, {"val_loss": FALLS}, (4, 2)),
    ({"patience": 3, "restore_best_weights": True}, {"val_loss": FALLS}, (9, 5)),
    ({"patience": 5, "restore_best_weights": True}, {"val_loss": FALLS}, (10, 5)),
    ({"monitor": "loss", "patience": 2}, {"loss": FALLS}, (5, 4)),
    # Equal is no improvement, and a change below min_delta is none.
    ({"patience": 2}, {"val_loss": [1.0, 1.0, 1.0, 1.0]}, (3, 2)),
    ({"patience": 2, "min_delta": 0.5}, {"val_loss": [5, 4.75, 4.25, 4.0, 3.75]}, (5, 4)),
    ({"patience": 2, "min_delta": -0.5}, {"val_loss": [5, 4.75, 4.5, 4.25, 4.0]}, (3, 2)),
    ({"patience": 1, "min_delta": 0.5}, {"val_loss": [5, 4.75, 4.5, 4.25]}, (2, 1)),
    ({"patience": 1, "min_delta": 0.5, "restore_best_weights": True}, {"val_loss": [5, 4.75, 4.0]}, (2, 0)),
    # What rises: named so, or by its name.
    ({"monitor": "val_accuracy"}, {"val_accuracy": [0.1, 0.2, 0.3, 0.25]}, (4, 3)),
    ({"monitor": "val_accuracy", "restore_best_weights": True}, {"val_accuracy": [0.1, 0.3, 0.2]}, (3, 1)),
    ({"monitor": "score", "mode": "max"}, {"score": [1, 2, 3, 2, 9]}, (4, 3)),
    ({"monitor": "score", "mode": "max", "min_delta": 2}, {"score": [1, 2, 3, 4]}, (2, 1)),
    ({"mode": "max"}, {"val_loss": FALLS}, (2, 1)),
    ({"monitor": "val_accuracy", "mode": "min"}, {"val_accuracy": [0.1, 0.2]}, (2, 1)),
    # Patience starts again only where the baseline is beaten; but an improvement never ends the fit.
    ({"patience": 2, "baseline": 2.5}, {"val_loss": FALLS}, (4, 3)),
    ({"patience": 6, "baseline": 2.5}, {"val_loss": FALLS}, (10, 9)),
    ({"patience": 3, "baseline": 3.5}, {"val_loss": FALLS}, (9, 8)),
    ({"patience": 2, "baseline": 2.5, "restore_best_weights": True}, {"val_loss": FALLS}, (4, 2)),
    ({"baseline": 1.0}, {"val_loss": [0.5, 0.4, 0.45]}, (3, 2)),
    # The first epochs do not count, not even as the best.
    ({"start_from_epoch": 3, "patience": 1}, {"val_loss": FALLS}, (5, 4)),
    ({"start_from_epoch": 3, "restore_best_weights": True}, {"val_loss": [1, 1, 1, 5, 6]}, (5, 3)),
    ({"start_from_epoch": 9}, {"val_loss": FALLS}, (10, 9)),
    ({"start_from_epoch": 20, "restore_best_weights": True}, {"val_loss": FALLS}, (10, 9)),
]


@pytest.mark.parametrize(("arguments", "figures", "expected"), TRACES, ids=str)
def test_early_stopping(arguments, figures, expected):
    stopping = EarlyStopping(**arguments)
    assert trace(stopping, **figures) == expected
    # The same object serves the next fit.
    assert trace(stopping, **figures) == expected


def test_early_stopping_notes_where(capsys):
    stopping = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    trace(stopping, val_loss=FALLS)
    assert (stopping.stopped_epoch, stopping.best_epoch, stopping.best, stopping.wait) == (4, 2, 3.0, 2)
    assert capsys.readouterr().out == "Epoch 5: early stopping\nRestored the weights of the best epoch: 3\n"
    trace(EarlyStopping(patience=20, verbose=1), val_loss=FALLS)
    assert capsys.readouterr().out == ""


def test_early_stopping_by_real_figures():
    model = model_of(metrics=["mae"])
    stopping = EarlyStopping(patience=3, restore_best_weights=True, min_delta=1e-9)
    history = model.fit(X, Y, 5, 500, 0, [stopping], validation_data=(X, Y)).history
    assert len(history["loss"]) < 500
    assert model.evaluate(X, Y, verbose=0)[0] == stopping.best == history["val_loss"][stopping.best_epoch]


# What is refused


def test_a_monitor_that_is_not_there():
    model = model_of(metrics=["mae"])
    with pytest.raises(ValueError, match=r"'val_loss' is not in the logs, which have loss, mae.*validation_data"):
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


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_batch_end", "on_predict_begin", "on_test_batch_end"])
def test_a_hook_that_nobody_calls(hook):
    lost = type("Lost", (Callback,), {hook: lambda self, batch, logs=None: None})()
    model = model_of()
    with pytest.raises(ValueError, match=f"Lost.{hook} would never be called"):
        model.fit(X, Y, verbose=0, callbacks=[lost])
    with pytest.raises(ValueError, match="never be called"):
        Trainer(model, "sgd", "mse", callbacks=[lost])


@pytest.mark.parametrize("wrong", [[print], ["early"], [EarlyStopping], 5, "callbacks"])
def test_what_is_no_callback(wrong):
    with pytest.raises(TypeError, match=r"Callback objects|not iterable"):
        model_of().fit(X, Y, verbose=0, callbacks=wrong)

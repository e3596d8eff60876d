"""The same callbacks and arguments by Keras 3, where it is installed."""

from __future__ import annotations

import inspect
import os
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn import callbacks
from fastnn.callbacks import Callback
from fastnn.data import ArraySource
from fastnn.models import Model
from support.scripted import CHECKPOINTS, PLATEAUS, TRACES, Batches, Scripted, X, Y, model_of

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def theirs(optimizer="sgd"):
    """Keras's model of the same shape, with the same weights."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    model.set_weights(model_of().get_weights())
    return model


class Script(keras.callbacks.Callback):
    on_epoch_end = Scripted.on_epoch_end

    def __init__(self, **values) -> None:
        super().__init__()
        self.values = values


def known(arguments: dict) -> dict:
    """The arguments with a mode where Keras does not know the name, as it was not compiled."""
    unknown = arguments.get("monitor", "val_loss") not in ("loss", "val_loss") and "mode" not in arguments
    return {**arguments, "mode": "max"} if unknown else arguments


@pytest.mark.parametrize(("arguments", "values", "expected"), TRACES, ids=str)
def test_early_stopping(arguments, values, expected):
    model = theirs()
    stopping = keras.callbacks.EarlyStopping(**known(arguments))
    epochs = len(next(iter(values.values())))
    history = model.fit(X[:2], Y[:2], epochs=epochs, verbose=0, callbacks=[Script(**values), stopping])
    assert (len(history.epoch), int(model.get_weights()[1].item())) == expected


@pytest.mark.parametrize(("arguments", "values", "expected"), PLATEAUS, ids=str)
def test_reduce_on_plateau(arguments, values, expected):
    reduce = keras.callbacks.ReduceLROnPlateau(**arguments)
    epochs = len(next(iter(values.values())))
    model = theirs(keras.optimizers.SGD(1.0))
    history = model.fit(X[:2], Y[:2], epochs=epochs, verbose=0, callbacks=[Script(**values), reduce])
    assert history.history["learning_rate"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("arguments", "values", "expected"), CHECKPOINTS, ids=str)
def test_checkpoints(arguments, values, expected, tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"), **arguments)
    epochs = len(next(iter(values.values())))
    theirs().fit(X[:2], Y[:2], epochs=epochs, verbose=0, callbacks=[Script(**values), checkpoint])
    assert sorted(int(name.removesuffix(".keras")) for name in os.listdir(tmp_path)) == expected


@pytest.mark.parametrize("seed", range(200))
def test_monitors_of_any_figures(seed):
    """Figures drawn from few, so that equal, infinite and missing ones meet, and all arguments."""
    rng = np.random.default_rng(seed)
    figures = rng.choice([np.nan, np.inf, -np.inf, 0, 1, 2, 3, 4], 12, p=[0.1] * 3 + [0.14] * 5).tolist()
    how = {"monitor": "val_loss", "mode": ("min", "max")[seed % 2], "min_delta": float(rng.choice([0, 0.5, 1.5]))}
    how["patience"] = int(rng.integers(0, 4))
    stops = {"start_from_epoch": int(rng.integers(0, 4)), "restore_best_weights": bool(rng.integers(2))}
    stops["baseline"] = [None, 1.0, 2.5, np.inf][rng.integers(3)]
    lowers = {"cooldown": int(rng.integers(0, 3)), "factor": 0.5, "min_lr": 0.1}
    traces = []
    for family in (callbacks, keras.callbacks):
        stopping, reduce = family.EarlyStopping(**how, **stops), family.ReduceLROnPlateau(**how, **lowers)
        best = family.ModelCheckpoint("name.keras", "val_loss", save_best_only=True, mode=how["mode"])
        saved: list = []
        model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0), stop_training=False, weights=None)
        model.get_weights = lambda model=model: model.weights
        model.set_weights = lambda weights, model=model: setattr(model, "weights", weights)
        model.save = lambda path, overwrite=True, model=model, saved=saved: saved.append(model.weights)
        log = []
        for callback in (stopping, reduce, best):
            callback.set_model(model)
            callback.set_params({})
            callback.on_train_begin()
        for epoch, figure in enumerate(figures):
            model.weights = epoch
            for callback in (stopping, reduce, best):
                callback.on_epoch_begin(epoch)
                callback.on_epoch_end(epoch, {"val_loss": figure})
            log.append((model.stop_training, stopping.wait, stopping.stopped_epoch, model.optimizer.learning_rate))
        stopping.on_train_end()
        traces.append((log, model.weights, saved))
    assert traces[0] == traces[1]


# Hooks: the same calls with the same values

HOOKS = [name for name in vars(keras.callbacks.Callback) if name.startswith("on_") and "_batch_" in name]
HOOKS += ["on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end"]
HOOKS += ["on_predict_begin", "on_predict_end"]


def watcher(base: type, log: list):
    """A callback that writes down every call: hook, number, values."""

    def recording(name):
        def hook(self, *arguments, **named):
            logs = named.get("logs", arguments[-1] if arguments else None)
            number = arguments[0] if arguments and isinstance(arguments[0], int) else None
            some = {key: logs[key] for key in ("loss", "mae", "val_loss", "val_mae") if key in (logs or {})}
            log.append((name, number, some))

        return hook

    return type("Watcher", (base,), {name: recording(name) for name in HOOKS})()


def compare(ours: list, other: list) -> None:
    assert [entry[:2] for entry in ours] == [entry[:2] for entry in other]
    for (name, _, values), (_, _, expected) in zip(ours, other, strict=True):
        assert values == pytest.approx(expected, rel=1e-4), name


FITS = [
    {"batch_size": 6, "epochs": 2, "validation_data": (X[:9], Y[:9])},
    {"batch_size": 6, "epochs": 5, "initial_epoch": 2},
    {"batch_size": 5, "epochs": 4, "steps_per_epoch": 2},
    {"batch_size": 8, "epochs": 4, "steps_per_epoch": 2},
    {"batch_size": 8, "epochs": 2, "steps_per_epoch": 5},
    {"batch_size": 6, "epochs": 4, "validation_data": (X, Y), "validation_freq": 2, "validation_batch_size": 7},
    {"batch_size": 6, "epochs": 4, "validation_data": (X, Y), "validation_freq": [1, 4], "validation_steps": 2},
    {"batch_size": 6, "epochs": 2, "sample_weight": np.linspace(0, 2, 20), "validation_split": 0.3},
]


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_fit(fit):
    logs: list = [[], []]
    models = [model_of(metrics=["mae"]), theirs()]
    if "validation_split" not in fit and fit.get("sample_weight") is None:
        models[0].fit(X, Y, verbose=0, shuffle=False)  # not from the first step on
        models[1].fit(X, Y, verbose=0, shuffle=False)
    for model, base, log in zip(models, (Callback, keras.callbacks.Callback), logs, strict=True):
        history = model.fit(X, Y, verbose=0, shuffle=False, callbacks=[watcher(base, log)], **fit)
        log.append(("history", len(history.epoch), {k: v[-1] for k, v in history.history.items() if "loss" in k}))
    compare(*logs)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_evaluate_and_predict():
    logs: list = [[], []]
    for model, base, log in zip(
        [model_of(metrics=["mae"]), theirs()], (Callback, keras.callbacks.Callback), logs, strict=True
    ):
        for steps in (None, 2):
            how = {"batch_size": 6, "verbose": 0, "steps": steps, "callbacks": [watcher(base, log)]}
            log.append(("values", None, dict(zip("ab", model.evaluate(X, Y, **how), strict=True))))
            log.append(("rows", len(model.predict(X, **how)), {}))
    compare(*logs)


def test_a_generator_of_batches():
    def batches():
        while True:
            for page in Batches(X, Y).pages(1):
                yield page.x, page.y

    ours, other = model_of(metrics=["mae"]), theirs()
    histories = [
        ours.fit(Batches(X, Y, endless=True), steps_per_epoch=4, epochs=5, verbose=0).history,
        other.fit(batches(), steps_per_epoch=4, epochs=5, verbose=0).history,
    ]
    # Keras averages over rows, too: batches of different lengths show it.
    for name in ("loss", "mae"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-4)


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_a_batch_may_end_the_fit(stop_at):
    losses = []
    for model, base in ((model_of(metrics=["mae"]), Callback), (theirs(), keras.callbacks.Callback)):

        class Stop(base):
            def on_train_batch_end(self, batch, logs=None):
                self.model.stop_training = batch == stop_at

        history = model.fit(X, Y, batch_size=5, epochs=3, verbose=0, callbacks=[Stop()], shuffle=False)
        losses.append(history.history["loss"])
    assert len(losses[0]) == 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("action", ["train", "test", "predict"])
@pytest.mark.parametrize("hook", ["begin", "batch_begin", "batch_end"])
@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_a_flag_stops_after_a_batch(action, hook, stop_at):
    flag = {"train": "stop_training", "test": "stop_evaluating", "predict": "stop_predicting"}[action]
    name = "on_epoch_begin" if (action, hook) == ("train", "begin") else f"on_{action}_{hook}"
    found = []
    for model, base in ((model_of(metrics=["mae"]), Callback), (theirs(), keras.callbacks.Callback)):

        def stop(self, number=None, logs=None):
            if hook == "begin" or number == stop_at:
                setattr(self.model, flag, True)

        how = {"batch_size": 3, "verbose": 0, "callbacks": [type("Stop", (base,), {name: stop})()]}
        if action == "predict":
            found.append(np.ravel(model.predict(X, **how)).tolist())
        elif action == "test":
            found.append(dict(zip("ab", model.evaluate(X, Y, **how), strict=True)))
        else:
            found.append(model.fit(X, Y, epochs=3, shuffle=False, **how).history["loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("schedule", [lambda epoch: 0.1 / (1 + epoch), lambda epoch, lr: lr * 0.5], ids=["one", "two"])
def test_learning_rate_scheduler(schedule):
    rates = []
    for module, model in ((callbacks, model_of()), (keras.callbacks, theirs())):
        history = model.fit(X, Y, epochs=4, verbose=0, callbacks=[module.LearningRateScheduler(schedule)])
        rates.append(history.history["learning_rate"])
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)


def test_terminate_on_nan():
    x = X.copy()
    x[12, 1] = np.nan
    for module, model in ((callbacks, model_of()), (keras.callbacks, theirs())):
        history = model.fit(x, Y, batch_size=5, epochs=4, verbose=0, shuffle=False, callbacks=[module.TerminateOnNaN()])
        assert np.isnan(history.history["loss"]).tolist() == [True]


def test_csv_logger(tmp_path):
    lines = []
    for module, model in ((callbacks, model_of(metrics=["mae"])), (keras.callbacks, theirs())):
        path = tmp_path / module.__name__
        for epochs in (2, 4):
            logger = module.CSVLogger(str(path), separator=";", append=True)
            fit = {"epochs": epochs, "initial_epoch": epochs - 2, "verbose": 0, "shuffle": False}
            model.fit(X, Y, validation_data=(X, Y), callbacks=[logger], **fit)
        lines.append([line.split(";") for line in path.read_text().splitlines()])
    assert lines[0][0] == lines[1][0]
    for ours, other in zip(lines[0][1:], lines[1][1:], strict=True):
        assert [float(cell) for cell in ours] == pytest.approx([float(cell) for cell in other], rel=1e-4)


def test_backup_and_restore_goes_on_with_the_same_epoch(tmp_path):
    epochs = []
    for module, model in ((callbacks, model_of()), (keras.callbacks, theirs())):

        def stop(epoch, logs):
            if epoch == 2:
                raise ZeroDivisionError

        backup = module.BackupAndRestore(str(tmp_path / module.__name__))
        with pytest.raises(ZeroDivisionError):
            model.fit(X, Y, epochs=5, verbose=0, callbacks=[backup, module.LambdaCallback(on_epoch_begin=stop)])
        epochs.append(model.fit(X, Y, epochs=5, verbose=0, callbacks=[backup]).epoch)
    assert epochs == [[2, 3, 4]] * 2


# Signatures


@pytest.mark.parametrize("name", [n for n in callbacks.__all__ if hasattr(keras.callbacks, n) and n != "CallbackList"])
def test_arguments_have_keras_names_and_defaults(name):
    ours, other = (
        [p for p in inspect.signature(getattr(module, name).__init__).parameters.values() if p.name != "self"]
        for module in (callbacks, keras.callbacks)
    )
    expected = [(p.name, p.default) for p in other if p.kind != p.VAR_KEYWORD]
    assert [(p.name, p.default) for p in ours if p.kind != p.VAR_KEYWORD][: len(expected)] == expected


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch", "predict_on_batch"])
def test_methods_have_keras_names_and_defaults(method):
    ours, other = (
        [(p.name, p.default, p.kind) for p in inspect.signature(getattr(model, method)).parameters.values()]
        for model in (Model, keras.Model)
    )
    expected = [argument for argument in other if argument[0] != "kwargs"]
    assert ours[: len(expected)] == expected
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for _, _, kind in ours[len(expected) :])  # such as by=


def test_predict_is_quiet_on_purpose():
    ours, other = (inspect.signature(model.predict).parameters for model in (Model, keras.Model))
    assert [name for name in ours if name != "unknown"] == list(other)  # which explains a wrong name
    assert (ours["verbose"].default, other["verbose"].default) == (0, "auto")


def test_class_weight_is_keras_weight_for_each_class():
    """ "balanced" is ours; as a dict Keras trains the same."""
    y = (X[:, 0] > 0.8).astype(int)
    weights = {int(c): len(y) / (2 * int((y == c).sum())) for c in (0, 1)}
    ours, other = model_of(loss="mse"), theirs()
    ours.fit(ArraySource(X, y), batch_size=6, verbose=0, shuffle=False, class_weight="balanced")
    other.fit(X, y, batch_size=6, verbose=0, shuffle=False, class_weight=weights)
    np.testing.assert_allclose(ours.get_weights()[0], other.get_weights()[0], rtol=1e-4)

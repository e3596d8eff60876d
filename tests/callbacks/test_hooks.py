"""Which hooks are called, when, with what; and what they may do."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, CallbackList, EarlyStopping, History, LambdaCallback
from fastnn.data import ArraySource
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.training import Trainer
from support.scripted import Batches, Pages, Recorder, X, Y, model_of


def test_order():
    log: list = []
    model = model_of()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Recorder("a", log), Recorder("b", log)])
    both = [(name, what, argument) for what, argument in [
        ("train begin", {}),
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
        logs["mine"] = 0.01 * (epoch + 1)


def test_what_a_callback_sees():
    model, peek = model_of(metrics=["mae"]), Peek()
    history = model.fit(X, Y, 5, 3, 0, [peek], validation_data=(X, Y))
    assert peek.model is model
    assert peek.params == {
        "verbose": 0,
        "epochs": 3,
        "steps": 4,
        "batch_size": 5,
        "do_validation": True,
        "validation_freq": 1,
    }
    assert peek.during is history
    assert set(peek.logs) == {"loss", "mae", "val_loss", "val_mae"}
    assert peek.logs["val_loss"] == model.evaluate(X, Y, verbose=0)[0]
    np.testing.assert_array_equal(peek.weights[0], model.get_weights()[0])
    np.testing.assert_array_equal(peek.prediction, model.predict(X))
    # What a callback adds to the logs is in the history too, as in Keras.
    assert history.history["mine"] == [0.01, 0.02, 0.03]


def test_a_history_of_ones_own():
    own = History()
    history = model_of().fit(X, Y, epochs=2, verbose=0, callbacks=own)
    assert own is history
    assert own.epoch == [0, 1]
    assert len(own.history["loss"]) == 2
    model_of().fit(X, Y, epochs=3, verbose=0, callbacks=own)
    assert len(own.history["loss"]) == 3


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


def flag(name: str, hook: str, at: int = 0) -> LambdaCallback:
    """A callback that sets a flag of its model in a hook, where it is the `at`-th call."""
    calls: list = []

    def set_flag(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == at + 1:
            setattr(callback.model, name, True)

    callback = LambdaCallback(**{hook: set_flag})
    return callback


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize(
    ("hook", "at", "batches"), [("on_test_begin", 0, 1), ("on_test_batch_begin", 1, 2), ("on_test_batch_end", 2, 3)]
)
def test_stop_evaluating(hook, at, batches, endless):
    model = model_of(metrics=["mae"])
    source = Batches(X, Y, endless=endless)
    found = Trainer(model, "sgd", "mse", ["mae"]).evaluate(source, callbacks=flag("stop_evaluating", hook, at))
    rows = batches * (batches + 1) // 2
    assert list(found.values()) == pytest.approx(model.evaluate(X[:rows], Y[:rows], verbose=0)[::-1])
    assert len(model.predict(X, callbacks=flag("stop_evaluating", "on_predict_begin"))) == 20  # a flag of its own
    assert model.evaluate(X, Y, verbose=0)[0] != found["loss"]  # the next begins anew


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize(
    ("hook", "at", "batches"),
    [("on_predict_begin", 0, 1), ("on_predict_batch_begin", 1, 2), ("on_predict_batch_end", 2, 3)],
)
def test_stop_predicting(hook, at, batches, endless):
    model = model_of()
    source = Batches(X, endless=endless)
    found = model.predict(source, callbacks=flag("stop_predicting", hook, at))
    rows = batches * (batches + 1) // 2
    np.testing.assert_array_equal(found, model.predict(X)[:rows])
    assert len(model.predict(X, verbose=0, callbacks=[])) == 20


def test_what_is_stopped_lets_go_of_its_source():
    model, source = model_of(), Pages(X, Y)
    trainer = Trainer(model, "sgd", "mse")
    trainer.evaluate(source, 4, callbacks=flag("stop_evaluating", "on_test_begin"))
    model.predict(source, 4, callbacks=flag("stop_predicting", "on_predict_begin"))
    trainer.fit(source, 2, 4, callbacks=flag("stop_training", "on_epoch_begin"))
    assert source.opened == source.closed == 3


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize(
    ("hook", "at", "steps"),
    [
        ("on_epoch_begin", 0, 1),
        ("on_train_batch_begin", 1, 2),
        ("on_train_batch_end", 2, 3),
        ("on_test_begin", 0, None),
    ],
)
def test_stop_training_from_any_hook(hook, at, steps, endless):
    if endless and steps is None:
        return
    model = model_of()
    history = model.fit(
        Batches(X, Y, endless=endless), epochs=3, verbose=0, callbacks=flag("stop_training", hook, at),
        validation_data=(X, Y),
    )  # fmt: skip
    assert len(history.epoch) == 1
    assert model.description.network.iterations == (steps or 6)


def test_stop_evaluating_ends_one_validation():
    """That of the first epoch; the fit and its other validations go on."""
    model = model_of()
    history = model.fit(
        X, Y, 5, 3, 0, flag("stop_evaluating", "on_test_batch_end"), validation_data=(X, Y), validation_batch_size=4
    ).history  # fmt: skip
    assert len(history["val_loss"]) == 3
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)


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


@pytest.mark.parametrize("wrong", [[print], ["early"], [EarlyStopping], 5, "callbacks"])
def test_what_is_no_callback(wrong):
    with pytest.raises(TypeError, match=r"Callback objects|not iterable"):
        model_of().fit(X, Y, verbose=0, callbacks=wrong)


# Batches


HOOKS = [name for name in vars(Callback) if name.startswith("on_") and name != "on_train_interrupt"]


def every_hook(log: list) -> LambdaCallback:
    """Writes down each call: the hook, its number, and what the logs hold."""

    def entry(name):
        def hook(*arguments):
            number = arguments[0] if len(arguments) == 2 else None
            logs = arguments[-1] if isinstance(arguments[-1], dict) else None
            log.append((name.removeprefix("on_"), number, logs and dict(logs)))

        return hook

    return LambdaCallback(**{name: entry(name) for name in HOOKS})


def test_all_hooks_in_their_order():
    log: list = []
    model = model_of(metrics=["mae"])
    model.fit(X[:5], Y[:5], 2, 1, 0, [every_hook(log)], validation_data=(X, Y), validation_batch_size=10)
    train = [(f"train_batch_{when}", batch) for batch in range(3) for when in ("begin", "end")]
    test = [(f"test_batch_{when}", batch) for batch in range(2) for when in ("begin", "end")]
    expected = [("train_begin", None), ("epoch_begin", 0), *train, ("test_begin", None), *test, ("test_end", None)]
    assert [entry[:2] for entry in log] == [*expected, ("epoch_end", 0), ("train_end", None)]
    del log[:]
    model.evaluate(X, Y, batch_size=10, verbose=0, callbacks=[every_hook(log)])
    assert [entry[:2] for entry in log] == [("test_begin", None), *test, ("test_end", None)]
    del log[:]
    output = model.predict(X, batch_size=10, callbacks=[every_hook(log)])
    predict = [(f"predict_batch_{when}", batch) for batch in range(2) for when in ("begin", "end")]
    assert [entry[:2] for entry in log] == [("predict_begin", None), *predict, ("predict_end", None)]
    np.testing.assert_array_equal(output, model.predict(X))
    np.testing.assert_array_equal(np.concatenate([logs["outputs"] for _, _, logs in log if logs]), output)


@pytest.mark.parametrize("source", [lambda: (X, Y), lambda: (Pages(X, Y),), lambda: (Batches(X, Y),)])
def test_hooks_of_batches_change_nothing(source):
    plain, watched = model_of(metrics=["mae"]), model_of(metrics=["mae"])
    log: list = []
    histories = []
    for model, callbacks in ((plain, None), (watched, every_hook(log))):
        fastnn.set_random_seed(5)
        histories.append(model.fit(*source(), batch_size=3, epochs=3, verbose=0, callbacks=callbacks).history)
    np.testing.assert_array_equal(plain.get_weights()[0], watched.get_weights()[0])
    for name, values in histories[0].items():
        assert histories[1][name] == pytest.approx(values, rel=1e-6)
    last = [logs for name, batch, logs in log if name == "train_batch_end"][-1]
    assert last == {name: histories[1][name][-1] for name in ("mae", "loss")}
    # evaluate and predict, too
    logs = [model.evaluate(*source(), batch_size=4, verbose=0, callbacks=every_hook([])) for model in (plain, watched)]
    assert logs[0] == logs[1] == pytest.approx(plain.evaluate(X, Y, verbose=0), rel=1e-6)
    np.testing.assert_array_equal(plain.predict(source()[0], callbacks=every_hook([])), plain.predict(X))


def test_logs_of_a_batch_are_averages_so_far():
    model, losses = model_of(), []
    single = model_of()
    model.fit(
        X, Y, 7, 1, 0, LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])), shuffle=False
    )
    rows = [slice(0, 7), slice(7, 14), slice(14, 20)]
    parts = [single.train_on_batch(X[part], Y[part]) for part in rows]
    weights = [7, 7, 6]
    expected = [np.average(parts[:n], weights=weights[:n]) for n in (1, 2, 3)]
    assert losses == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["on_batch_begin", "on_batch_end"])
def test_the_older_names_of_the_hooks(name):
    seen: list = []
    callback = type("Old", (Callback,), {name: lambda self, batch, logs=None: seen.append(batch)})()
    model_of().fit(X, Y, 8, 2, 0, [callback])
    assert seen == [0, 1, 2, 0, 1, 2]


def test_a_batch_may_end_the_fit():
    def stop(batch, logs):
        model.stop_training = batch == 1

    model = model_of()
    log: list = []
    history = model.fit(X, Y, 5, 9, 0, [LambdaCallback(on_train_batch_end=stop), Recorder("a", log)])
    assert model.description.network.iterations == 2
    assert history.epoch == [0]
    assert [what for _, what, _ in log] == ["train begin", "epoch begin", "epoch end", "train end"]


def test_the_learning_rate_may_change_between_batches():
    def lower(batch, logs):
        model.optimizer.learning_rate = 0.1 / 2**batch

    model, steps = model_of(), model_of()
    history = model.fit(X, Y, 5, 1, 0, LambdaCallback(on_train_batch_begin=lower), shuffle=False)
    for batch in range(4):
        steps.optimizer.learning_rate = 0.1 / 2**batch
        steps.train_on_batch(X[5 * batch : 5 * batch + 5], Y[5 * batch : 5 * batch + 5])
    np.testing.assert_array_equal(model.get_weights()[0], steps.get_weights()[0])
    assert history.learning_rate == [0.1 / 8]  # the last step's


def test_the_model_may_be_used_between_batches():
    model, log = model_of(), []
    model.fit(X, Y, 5, 2, 0, LambdaCallback(on_train_batch_end=lambda batch, logs: elsewhere(model)), shuffle=False)
    plain = model_of()
    plain.fit(X, Y, 5, 2, 0, LambdaCallback(on_train_batch_end=lambda batch, logs: log.append(batch)), shuffle=False)
    assert log == [0, 1, 2, 3] * 2
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


def test_an_epoch_is_one_call_unless_somebody_asks():
    model = model_of()
    model.fit(X, Y, verbose=0)
    calls: list = []

    class Counting:
        """The network, its calls counted."""

        def __init__(self, network):
            self.__dict__["network"] = network

        def __getattr__(self, name):
            if name in ("fit_epoch", "evaluate"):
                calls.append(name)
            return getattr(self.network, name)

    model.description.network = model.description.trainer._network = Counting(model.description.network)
    silent = [History(), EarlyStopping(monitor="loss"), Callback(), LambdaCallback(on_epoch_end=print)][:3]
    model.fit(X, Y, 1, 3, 0, silent, validation_data=(X, Y))
    assert calls.count("fit_epoch") == calls.count("evaluate") == 3
    del calls[:]
    model.fit(X, Y, 1, 3, 0, LambdaCallback(on_train_batch_begin=lambda batch, logs=None: None), validation_data=(X, Y))
    assert (calls.count("fit_epoch"), calls.count("evaluate")) == (60, 3)


# Callbacks from functions, and lists of callbacks


def test_functions_as_hooks():
    seen: list = []
    hooks = LambdaCallback(lambda epoch, logs: seen.append(epoch), on_predict_end=seen.append, on_test_begin=None)
    model = model_of()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[hooks])
    model.predict(X, callbacks=[hooks])
    model.evaluate(X, Y, verbose=0, callbacks=[hooks])
    assert seen == [0, 1, {}]
    for wrong in ("on_epoch", "get_state", "epoch_end"):
        with pytest.raises(TypeError, match=f"no hook '{wrong}'"):
            LambdaCallback(**{wrong: print})


def test_a_list_is_a_callback():
    log: list = []
    called = CallbackList([Recorder("a", log), Recorder("b", log)], model=model_of(), epochs=3)
    assert [callback.params for callback in called.callbacks] == [{"epochs": 3}] * 2
    assert called.hooks("on_train_batch_end") == []
    called.on_epoch_begin(4)
    called.on_train_batch_begin(7, logs={})
    assert log == [("a", "epoch begin", 4), ("b", "epoch begin", 4)]
    model_of().fit(X, Y, verbose=0, callbacks=called)
    assert [name for name, what, _ in log if what == "train end"] == ["a", "b"]


class Asked(Callback):
    """Which hooks of batches were called, with which numbers and logs."""

    def __init__(self):
        self.calls, self.empty = [], []

    def on_train_begin(self, logs=None):
        self.empty.append(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.empty.append(logs)

    def on_train_batch_begin(self, batch, logs=None):
        self.empty.append(logs)
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("end", batch, "loss" in logs))

    def on_predict_batch_end(self, batch, logs=None):
        self.calls.append(("predicted", batch, True))


@pytest.mark.parametrize("given", ["rows", "batches"])
def test_hooks_are_called_around_so_many_batches(given):
    """Five or six batches with steps_per_execution 2 are three calls, numbered as in Keras: (0, 1), (2, 3), (4, 5)."""
    model, asked = model_of(), Asked()
    model.compile("sgd", "mse", steps_per_execution=2)
    rows = (X, Y) if given == "rows" else (Batches(X, Y),)
    model.fit(*rows, batch_size=4, verbose=0, callbacks=[asked])
    expected = [("begin", 0), ("end", 1, True), ("begin", 2), ("end", 3, True), ("begin", 4), ("end", 5, True)]
    assert asked.calls == expected
    assert asked.empty == [{}] * 5
    asked.calls.clear()
    model.predict(X, batch_size=4, callbacks=[asked])
    assert asked.calls == [("predicted", number, True) for number in (1, 3, 5)]


def test_hooks_around_several_batches_change_no_number(tmp_path):
    weights = []
    for steps in (1, 3, 100):
        fastnn.set_random_seed(1)
        model = model_of()
        model.compile("sgd", "mse", steps_per_execution=steps)
        saved = fastnn.callbacks.ModelCheckpoint(str(tmp_path / f"{steps}-{{batch}}"), save_freq=6)
        model.fit(X[:12], Y[:12], 2, 2, 0, [Asked(), saved], shuffle=False)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["1-6", "100-100", "3-6"]

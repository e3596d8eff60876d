"""However a fit ends: what its callbacks are told, and what is kept."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

from fastnn.callbacks import Callback, EarlyStopping, LambdaCallback
from support.scripted import X, Y, model_of


class Raises(Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ZeroDivisionError("of my own")


class Ends(Callback):
    """Writes down how it ended."""

    def __init__(self) -> None:
        self.log: list = []

    def on_train_end(self, logs=None):
        self.log.append(("end", sorted(logs)))


class Interrupted(Ends):
    def on_train_interrupt(self, error, logs=None):
        self.log.append((type(error), sorted(logs)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_whatever_ends_a_fit_its_callbacks_are_told_and_the_history_is_kept(error):
    def stop(epoch, logs):
        if epoch == 2:
            raise error

    plain, told, model = Ends(), Interrupted(), model_of()
    with pytest.raises(error):
        model.fit(X, Y, 5, 9, 0, [plain, told, LambdaCallback(on_epoch_begin=stop)])
    assert plain.log == [("end", ["loss"])]
    assert told.log == [(error, ["loss"])]
    assert model.history.epoch == [0, 1]
    assert len(model.history.history["loss"]) == 2
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()


def test_early_stopping_restores_the_best_weights_when_interrupted():
    def stop(epoch, logs):
        if epoch == 5:
            raise KeyboardInterrupt

    stopping = EarlyStopping(monitor="loss", patience=9, restore_best_weights=True)
    model = model_of()
    best: list = []
    remember = LambdaCallback(on_epoch_end=lambda epoch, logs: best.append(model.get_weights()[0]))
    model.optimizer.learning_rate = 2.0  # the loss rises
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, 5, 9, 0, [remember, stopping, LambdaCallback(on_epoch_begin=stop)])
    assert stopping.best_epoch == int(np.argmin(model.history.history["loss"])) < 4
    np.testing.assert_array_equal(model.get_weights()[0], best[stopping.best_epoch])


def test_a_callback_that_cannot_end_does_not_hide_why():
    def fails(logs):
        raise OSError("disk full")

    last = Ends()
    with pytest.raises(ZeroDivisionError) as caught:
        model_of().fit(X, Y, verbose=0, callbacks=[LambdaCallback(on_train_end=fails), Raises(), last])
    assert caught.value.__notes__ == ["then LambdaCallback failed to end: OSError: disk full"]
    assert len(last.log) == 1


def test_one_that_has_not_begun_is_not_ended():
    def fails(logs=None):
        raise OSError("no such folder")

    first, last = Ends(), Ends()
    with pytest.raises(OSError, match="no such folder"):
        model_of().fit(X, Y, verbose=0, callbacks=[first, LambdaCallback(on_train_begin=fails), last])
    assert (len(first.log), len(last.log)) == (1, 0)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
@pytest.mark.parametrize("callbacks", [None, LambdaCallback(on_train_batch_end=lambda batch, logs: None)])
def test_ctrl_c_leaves_whole_epochs(callbacks):
    """It comes out between two batches, or in the Python between two epochs: neither leaves half an epoch."""
    model = model_of(metrics=["mae"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for number in range(5):
            timer = threading.Timer(0.02 + 0.013 * number, signal.raise_signal, [signal.SIGINT])
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, Y, 10, 10_000_000, 0, callbacks, validation_data=(X, Y))
            timer.join()
            history = model.history
            assert len(history.epoch) > 0
            assert {len(values) for values in history.history.values()} == {len(history.epoch)}
    finally:
        signal.signal(signal.SIGINT, before)
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()

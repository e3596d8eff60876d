"""Evaluations with the moving average of the weights, and the weights after them."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import BackupAndRestore, Callback, ModelCheckpoint, SwapEMAWeights
from fastnn.layers import BatchNormalization, Dense
from fastnn.models import Sequential, load_model
from fastnn.optimizers import SGD, Adam, LossScaleOptimizer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)).astype("f4"), RNG.normal(size=(40, 1)).astype("f4")


def model_of(optimizer=None) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(4, "tanh", input_dim=3), BatchNormalization(), Dense(1)])
    model.compile(optimizer or Adam(0.1, use_ema=True, ema_momentum=0.9), "mse")
    return model


def fit(model, callbacks, epochs=3, **more):
    return model.fit(X, Y, 8, epochs, 0, shuffle=False, callbacks=callbacks, **more)


class Watch(Callback):
    """The weights that each validation has, and those that each epoch begins and ends with."""

    def on_train_begin(self, logs=None):
        self.tested, self.began, self.ended = [], [], []

    def on_test_begin(self, logs=None):
        self.tested.append(self.model.get_weights())

    def on_epoch_begin(self, epoch, logs=None):
        self.began.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(self.model.get_weights())


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("wrapped", [False, True])
def test_validation_sees_the_averages_and_training_goes_on_without_them(wrapped):
    optimizer = Adam(0.1, use_ema=True, ema_momentum=0.9)
    plain, swapped, watch = model_of(), model_of(LossScaleOptimizer(optimizer) if wrapped else optimizer), Watch()
    fit(plain, [other := Watch()])
    history = fit(swapped, [SwapEMAWeights(), watch], validation_data=(X, Y))
    assert all(map(same, watch.began, other.began))
    assert all(map(same, watch.ended, other.ended))
    assert same(swapped.get_weights(), plain.get_weights())  # the averages, at the end
    assert not same(watch.tested[-1][:2], watch.ended[-1][:2])
    assert history.history["val_loss"][-1] == swapped.evaluate(X, Y, verbose=0)


def test_between_epochs(tmp_path):
    plain, swapped, watch = model_of(), model_of(), Watch()
    fit(plain, [other := Watch()])
    kept = ModelCheckpoint(tmp_path / "{epoch}")
    fit(swapped, [SwapEMAWeights(swap_on_epoch=True), watch, kept], validation_data=(X, Y))
    assert all(map(same, watch.began, other.began))
    assert same(watch.tested[1], watch.ended[1])
    assert same(swapped.get_weights(), plain.get_weights())
    assert same(load_model(tmp_path / "3").get_weights(), swapped.get_weights())


def test_an_epoch_that_ends_the_fit():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    plain, swapped = model_of(), model_of()
    fit(plain, [Stop()])
    fit(swapped, [SwapEMAWeights(True), Stop()])
    assert same(swapped.get_weights(), plain.get_weights())


@pytest.mark.parametrize("on_epoch", [False, True])
def test_an_error_leaves_the_weights_of_the_training(on_epoch):
    class Fail(Callback):
        def on_test_begin(self, logs=None):
            raise RuntimeError("enough")

    swapped, watch = model_of(), Watch()
    with pytest.raises(RuntimeError, match="enough"):
        fit(swapped, [watch, SwapEMAWeights(on_epoch), Fail()], validation_data=(X, Y))
    plain = model_of()
    fit(plain, [other := Watch()], epochs=1)
    assert same(swapped.get_weights(), other.ended[0])


def test_a_backup_goes_on_with_the_weights_of_the_training(tmp_path):
    class Kill(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    plain = model_of()
    fit(plain, [SwapEMAWeights(True)], epochs=4)
    killed = model_of()
    with pytest.raises(KeyboardInterrupt):
        fit(killed, [Kill(), SwapEMAWeights(True), BackupAndRestore(tmp_path / "b")], epochs=4)
    again = model_of()
    fit(again, [SwapEMAWeights(True), BackupAndRestore(tmp_path / "b")], epochs=4)
    assert same(again.get_weights(), plain.get_weights())


def test_evaluate_and_predict():
    model, swap = model_of(), SwapEMAWeights()
    model.evaluate(X, Y, verbose=0, callbacks=[swap])  # before the first step there is no average
    fit(model, [])
    weights, average = model.get_weights(), model.predict(X)
    model.train_on_batch(X, Y)
    after = model.get_weights()
    assert not same(after, weights)
    swapped = model.predict(X, callbacks=[swap])
    assert same(model.get_weights(), after)
    assert not np.array_equal(swapped, model.predict(X))
    assert swapped.shape == average.shape


def test_refused():
    with pytest.raises(ValueError, match="SwapEMAWeights must be used when `use_ema=True` is set on the optimizer"):
        fit(model_of(SGD()), [SwapEMAWeights()])
    with pytest.raises(TypeError, match="swap_on_epoch must be True or False"):
        SwapEMAWeights("yes")

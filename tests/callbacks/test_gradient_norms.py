"""GradientNorms: what it notes, and that the fit does not know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Sequential
from fastnn.callbacks import BackupAndRestore, Callback, GradientNorms
from fastnn.layers import LSTM, BatchNormalization, Dense, Dropout, GaussianNoise, Input, SpectralNormalization
from fastnn.optimizers import LBFGS, Adam

X = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2] ** 2


def model_of(optimizer: Any = "adam") -> Sequential:
    fastnn.set_random_seed(3)
    layers = [Dense(8, "relu", name="first"), BatchNormalization(name="batch"), Dropout(0.3), GaussianNoise(0.1)]
    model = Sequential([Input((6,)), *layers, SpectralNormalization(Dense(4), name="spectral"), Dense(1, name="last")])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize(
    ("optimizer", "batch_size"),
    [
        (lambda: "adam", 16),
        (lambda: Adam(gradient_accumulation_steps=4, clipnorm=1.0), 16),
        (lambda: Adam(use_ema=True, ema_overwrite_frequency=5), 16),
        (lambda: LBFGS(), 100),
    ],
    ids=["adam", "accumulated", "averaged", "lbfgs"],
)
def test_the_fit_has_the_same_bits_with_and_without(optimizer: Any, batch_size: int) -> None:
    found = []
    for callbacks in ([], [GradientNorms(X[:30], Y[:30])]):
        model = model_of(optimizer())
        history = model.fit(
            X, Y, epochs=4, batch_size=batch_size, verbose=0, callbacks=callbacks, validation_data=(X[:20], Y[:20])
        )
        drawn = fastnn.random.generator().random(3)
        found.append(([*model.get_weights(), drawn, *model.optimizer.variables], history.history))
    assert len(callbacks[0].epoch) == 4
    assert found[0][1] == found[1][1]
    for without, noted in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(np.asarray(without), np.asarray(noted))


def test_the_norms_are_those_of_the_gradient_of_a_formula() -> None:
    """Of one Dense layer and a mean of squares: the gradient is 2 x^T (x w + b - y) / rows."""
    fastnn.set_random_seed(1)
    model = Sequential([Dense(1, input_dim=6, name="only")])
    model.compile("sgd", "mse")
    weights: list[Any] = []

    class Noted(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            weights.append(model.get_weights())

    norms = GradientNorms(X[:30], Y[:30])
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[norms, Noted()])
    for value, (kernel, bias) in zip(norms.norms["only"], weights, strict=True):
        error = 2 * (X[:30] @ kernel + bias - Y[:30]) / 30
        assert value == pytest.approx(np.sqrt(((X[:30].T @ error) ** 2).sum() + error.sum() ** 2), rel=1e-5)
    assert norms.epoch == [0, 1, 2]


def test_layers_by_name_those_that_learn() -> None:
    model = model_of()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    norms = GradientNorms(X, Y)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=norms)
    assert {name: len(values) for name, values in norms.norms.items()} == {"batch": 2, "spectral": 2, "last": 2}
    model.fit(X, Y, verbose=0, callbacks=norms)
    assert norms.epoch == [0]  # of the last fit


def test_weights_of_rows_count() -> None:
    norms = [GradientNorms(X, Y), GradientNorms(X, Y, np.full(len(X), 3.0))]
    model = Sequential([Dense(1, input_dim=6)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=norms)
    [once, thrice] = (each.norms["dense"][0] for each in norms)
    assert thrice == pytest.approx(3 * once, rel=1e-5)


def test_rows_that_do_not_fit_are_refused_before_the_first_epoch() -> None:
    begun = []

    class Noted(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            begun.append(epoch)

    for rows, text in (((X[:30], Y[:29]), "x has 30 rows but y has 29"), ((X[:, :5], Y), "expects 6 features, got 5")):
        with pytest.raises(ValueError, match=text):
            model_of().fit(X, Y, verbose=0, callbacks=[Noted(), GradientNorms(*rows)])
    assert not begun


def test_a_stateful_layer_is_refused() -> None:
    model = Sequential([Input(batch_shape=(5, 3, 2)), LSTM(2, stateful=True, name="goes_on"), Dense(1)])
    model.compile("sgd", "mse")
    rows = np.zeros((5, 3, 2)), np.zeros((5, 1))
    with pytest.raises(ValueError, match="layer 'goes_on' is stateful"):
        model.fit(*rows, batch_size=5, shuffle=False, verbose=0, callbacks=GradientNorms(*rows))


def test_a_loss_that_is_not_finite_is_nan_and_ends_nothing() -> None:
    norms = GradientNorms(np.full((2, 6), 1e30), Y[:2])
    model = Sequential([Dense(1, input_dim=6)])
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=norms)
    assert np.isnan(norms.norms["dense"]).tolist() == [True, True]


def test_it_goes_on_from_a_backup(tmp_path: Path) -> None:
    class Stops(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(folder: str, *others: Callback) -> GradientNorms:
        norms = GradientNorms(X[:30], Y[:30])
        model_of().fit(X, Y, epochs=4, verbose=0, callbacks=[norms, BackupAndRestore(tmp_path / folder), *others])
        return norms

    whole = fit("whole")
    with pytest.raises(KeyboardInterrupt):
        fit("parts", Stops())
    assert fit("parts").norms == whole.norms
    with pytest.raises(ValueError, match="GradientNorms: expected a state with epoch, norms"):
        whole.set_state({"epoch": [1]})

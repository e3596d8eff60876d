"""Gradients of a model's loss by weights and by inputs, beside finite differences; and loops that step on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn import ops
from fastnn.layers import (
    Add,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    Input,
    Layer,
    RandomContrast,
    Reshape,
    SpatialDropout1D,
    TimeDistributed,
)
from fastnn.models import Model, Sequential
from fastnn.optimizers import Adam
from support.guarded import close

rng = np.random.default_rng(0)
X = rng.normal(size=(12, 6)).astype(np.float32)
Y = rng.normal(size=(12, 2)).astype(np.float32)


def chain() -> Model:
    return Sequential([Input((6,)), Dense(5, "tanh", kernel_regularizer="l2"), Dense(2)])


def steps() -> Model:
    return Sequential([Input((6,)), Reshape((3, 2)), TimeDistributed(Dense(3, "tanh")), Flatten(), Dense(2)])


def read_twice() -> Model:
    class Penalty(Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(0.3 * ops.mean(ops.square(x)))
            return x

    x = Input((6,))
    return Model(x, Dense(2)(Add()([Penalty()(x), Dense(6, "tanh")(x)])))


@pytest.mark.parametrize("make", [chain, steps, read_twice])
def test_it_is_that_of_finite_differences(make: Any) -> None:
    model = make()
    model.compile("sgd", "mse")
    loss, by_weights, by_x = model.gradient(X, Y, inputs=True, return_loss=True)
    close(loss, model.evaluate(X, Y, verbose=0), 1e-5)
    assert [each.shape for each in by_weights] == [each.shape for each in model.trainable_variables]
    h = 1e-2
    weights = model.get_weights()
    for place, found in enumerate(by_weights):
        for index in list(np.ndindex(found.shape))[:6]:
            ends = []
            for sign in (h, -h):
                moved = [each.copy() for each in weights]
                moved[place][index] += sign
                model.set_weights(moved)
                ends.append(model.evaluate(X, Y, verbose=0))
            close(found[index], (ends[0] - ends[1]) / (2 * h), 2e-2, 2e-4)
    model.set_weights(weights)
    assert by_x.shape == X.shape
    for index in [(0, 0), (3, 2), (11, 5)]:
        ends = []
        for sign in (h, -h):
            moved = X.copy()
            moved[index] += sign
            ends.append(model.evaluate(moved, Y, verbose=0))
        close(by_x[index], (ends[0] - ends[1]) / (2 * h), 2e-2, 2e-4)


@pytest.mark.parametrize(
    "made",
    [Dropout(0.5), SpatialDropout1D(0.5), AlphaDropout(0.5, noise_shape=(None, 1)), GaussianDropout(0.5)],
    ids=lambda layer: type(layer).__name__,
)
def test_noise_that_is_not_at_work_passes_gradients_on(made: Any) -> None:
    """A layer that is called with training=False is none in training either, and none on the way back."""
    row = (3, 2) if isinstance(made, SpatialDropout1D) else (6,)
    x, rows = Input(row), X.reshape(12, *row)
    kernel = Dense(2)
    model, plain = Model(x, kernel(Flatten()(made(x, training=False)))), Model(x, kernel(Flatten()(x)))
    for each in (model, plain):
        each.compile("sgd", "mse")
    found, expected = (each.gradient(rows, Y, inputs=True)[1] for each in (model, plain))
    np.testing.assert_array_equal(found, expected)
    assert (found != 0).all()


def test_contrast_and_phases_that_are_not_at_work_pass_gradients_on() -> None:
    x = Input((2, 2, 1))
    contrast = RandomContrast(0.9)(x, training=False)
    model = Model(x, Dense(1)(Flatten()(contrast)))
    model.compile("sgd", "mse")
    rows = np.abs(X[:, :4]).reshape(12, 2, 2, 1)
    (kernel, _), slopes = model.gradient(rows, Y[:, :1], inputs=True)
    error = model.predict(rows) - Y[:, :1]
    np.testing.assert_allclose(slopes.reshape(12, 4), 2 / 12 * error * model.get_weights()[0].T, rtol=1e-4)
    np.testing.assert_allclose(kernel, 2 / 12 * rows.reshape(12, 4).T @ error, rtol=1e-4)


def test_a_loop_of_ones_own_is_as_fit() -> None:
    ours, theirs = chain(), chain()
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        model.compile(Adam(0.01), "mse")
    for _ in range(5):
        gradients = ours.gradient(X, Y)
        ours.optimizer.apply_gradients(zip(gradients, ours.trainable_variables, strict=True))
    theirs.fit(X, Y, epochs=5, batch_size=12, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_does_not_learn_has_none_and_several_inputs() -> None:
    a, b = Input((3,), name="a"), Input((3,), name="b")
    frozen = Dense(2, trainable=False)
    model = Model({"a": a, "b": b}, Add()([frozen(a), Dense(2)(Dropout(0.5)(BatchNormalization()(b)))]))
    model.compile("sgd", "mse")
    before = model.get_weights()
    found, by_x = model.gradient({"a": X[:, :3], "b": X[:, 3:]}, Y, inputs=True)
    assert len(found) == len(model.trainable_variables) == 4
    assert {name: each.shape for name, each in by_x.items()} == {"a": (12, 3), "b": (12, 3)}
    expected = 2 * (model.predict({"a": X[:, :3], "b": X[:, 3:]}) * 0 + 1)
    assert np.isfinite(expected).all()
    moved = [not np.array_equal(x, y) for x, y in zip(model.get_weights(), before, strict=True)]
    assert sum(moved) == 2  # the moving averages alone
    with pytest.raises(RuntimeError, match="gradient needs a compiled model"):
        chain().gradient(X, Y)
    with pytest.raises(TypeError, match="inputs must be True or False"):
        model.gradient({"a": X[:, :3], "b": X[:, 3:]}, Y, inputs=np.ones(3))


def test_a_batch_that_training_takes_in_parts_has_the_slopes_of_all_its_rows() -> None:
    model = Sequential([Input((9, 2)), L.LSTM(8, return_sequences=True), L.LSTM(4), L.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(3000, 9, 2)).astype(np.float32)
    model.gradient(x, x[:, 0, :1])
    assert 0 < model.description.network.part_rows < len(x)  # which a fit of these rows goes by
    whole = model.gradient(x, x[:, 0, :1], inputs=True)[1]
    for rows in (slice(0, 100), slice(2900, 3000)):
        part = model.gradient(x[rows], x[rows, 0, :1], inputs=True)[1]
        np.testing.assert_allclose(whole[rows] * 30, part, rtol=1e-4, atol=1e-7)


def test_an_input_that_leads_to_no_output_has_slopes_of_0() -> None:
    a, b = Input((4,)), Input((3,))
    model = Model([a, b], L.Dense(1)(a))
    model.compile("sgd", "mse")
    rows = np.ones((5, 4)), np.ones((5, 3))
    by_a, by_b = model.gradient(list(rows), np.zeros((5, 1)), inputs=True)[1]
    assert by_a.any()
    np.testing.assert_array_equal(by_b, np.zeros((5, 3)))

"""BatchNormalization's moving averages and batches, and what the normalising layers refuse."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn.layers import Add, BatchNormalization, Dense, Input, LayerNormalization, RMSNormalization
from fastnn.models import Model, Sequential


def model_of(layer: BatchNormalization, inputs: int = 6) -> Sequential:
    model = Sequential([Input((inputs,)), layer, Dense(2)])
    model.compile("sgd", "mse")
    return model


def rows(n: int, level: float = 0.0) -> np.ndarray:
    return (level + np.random.default_rng(2).normal(size=(n, 6))).astype(np.float32)


def test_moving_averages_follow_each_batch_the_last_short_one_too() -> None:
    layer = BatchNormalization(momentum=0.8)
    model, x = model_of(layer), rows(50, 3.0)
    mean, variance = np.zeros(6), np.ones(6)
    for start in (0, 16, 32, 48):
        batch = x[start : start + 16].astype(float)
        mean = 0.8 * mean + 0.2 * batch.mean(0)
        variance = 0.8 * variance + 0.2 * batch.var(0)
    model.fit(x, np.zeros((50, 2), np.float32), batch_size=16, shuffle=False, verbose=0)
    np.testing.assert_allclose(layer.get_weights()[2], mean, rtol=1e-5)
    np.testing.assert_allclose(layer.get_weights()[3], variance, rtol=1e-5)


def test_prediction_uses_the_moving_averages() -> None:
    layer = BatchNormalization(epsilon=0.1)
    model = Sequential([Input((6,)), layer])
    x, weights = rows(20), [np.random.default_rng(k).random(6) for k in range(4)]
    layer.set_weights(weights)
    expected = layer.reference(x.astype(float), weights[0], weights[1], (weights[2], weights[3]))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(x[:1]), model.predict(x)[:1])


def test_evaluation_does_not_move_them() -> None:
    layer = BatchNormalization()
    model, x = model_of(layer), rows(20)
    before = layer.get_weights()
    model.evaluate(x, np.zeros((20, 2), np.float32), verbose=0)
    model.predict(x)
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_it_normalises_by_them_while_training() -> None:
    layer = BatchNormalization()
    layer.trainable = False
    model, x = model_of(layer), rows(40, 5.0)
    y = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    before = model.evaluate(x, y, verbose=0)
    assert model.train_on_batch(x, y) == pytest.approx(before, rel=1e-6)
    np.testing.assert_array_equal(layer.get_weights()[2], 0)
    layer.trainable = True
    model.compile("sgd", "mse")
    model.train_on_batch(x, y)
    assert (layer.get_weights()[2] != 0).all()


@pytest.mark.parametrize("compiled", [True, False])
def test_frozen_it_normalises_by_them_in_a_call_as_in_training(compiled: bool) -> None:
    """As keras.layers.BatchNormalization, before any fit and after."""
    layer = BatchNormalization()
    layer.trainable = False
    first = Input((6,))
    model, x = Model(first, Dense(3)(layer(first))), rows(40, 5.0)
    if compiled:
        model.compile("sgd", "mse")
    for _ in range(2):
        before = [weights.copy() for weights in layer.get_weights()]
        np.testing.assert_allclose(model(x, training=True), model.predict(x), rtol=1e-6)
        for one, other in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        if compiled:
            model.train_on_batch(x, np.zeros((40, 3), np.float32))
    layer.trainable = True
    if compiled:
        model.compile("sgd", "mse")
    assert np.abs(model(x, training=True) - model.predict(x)).max() > 0.1
    assert (layer.get_weights()[2] != 0).all()


def test_numbers_far_from_zero_are_normalised() -> None:
    """In float32 their mean is 1/8 coarse; normalised they still have mean 0 and deviation 1."""
    layer = BatchNormalization()
    first = Input((6,))
    model = Model(first, layer(first))
    model.compile("sgd", "mse")
    x = rows(512, 1e6) * np.float32(1)
    a = (x.astype(float) - x.astype(float).mean(0)) / np.sqrt(x.astype(float).var(0) + 1e-3)
    assert model.train_on_batch(x, a.astype(np.float32)) < 1e-9


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_two_of_them_in_a_wide_network(threads: int) -> None:
    """The same bits for any number of threads, where the team has work to share."""
    before = fastnn.get_num_threads()
    ends = []
    for count in (1, threads):
        fastnn.set_num_threads(count)
        fastnn.set_random_seed(4)
        layers = [Input((40,)), Dense(130), BatchNormalization(), Dense(70, "relu"), BatchNormalization(), Dense(3)]
        model = Sequential(layers)
        model.compile("adam", "mse")
        x = np.random.default_rng(0).normal(size=(2000, 40)).astype(np.float32)
        model.fit(x, x[:, :3], batch_size=300, epochs=3, verbose=0)
        ends.append([w.tobytes() for w in model.get_weights()])
    fastnn.set_num_threads(before)
    assert ends[0] == ends[1]


def test_weights_have_keras_names_and_order() -> None:
    names = [p.name for p in BatchNormalization().parameters((4,))]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [p.trainable for p in BatchNormalization(scale=False).parameters((4,))] == [True, False, False]
    assert [p.shape for p in LayerNormalization(axis=[1, 2]).parameters((3, 4))] == [(3, 4), (3, 4)]
    assert [p.name for p in RMSNormalization().parameters((4,))] == ["scale"]


def test_what_they_refuse() -> None:
    for axis in (0, 3, -3):
        for layer in (BatchNormalization(axis=axis), LayerNormalization(axis=axis), RMSNormalization(axis=[1, axis])):
            with pytest.raises(ValueError, match=r"have axes 1 to 2 \(0 is that of the rows\), got"):
                layer.output_shape((3, 4))
    with pytest.raises(TypeError, match=r"BatchNormalization: an axis must be a whole number, got \(1, 2\)"):
        BatchNormalization(axis=(1, 2)).output_shape((3, 4))  # type: ignore[arg-type]
    for several in ([], [1, 1], [2, -1]):
        with pytest.raises(ValueError, match="axis must name at least one axis and each once"):
            LayerNormalization(axis=several).output_shape((3, 4))
    assert BatchNormalization(axis=1).output_shape((3, 4)) == (3, 4)
    assert [p.shape for p in BatchNormalization(axis=1).parameters((3, 4))] == [(3,)] * 4
    with pytest.raises(ValueError, match=r"momentum must be at least 0 and at most 1, got 1\.5"):
        BatchNormalization(momentum=1.5)
    with pytest.raises(ValueError, match="epsilon must be at least 0"):
        LayerNormalization(epsilon=-1)


def test_gradients_where_several_read_a_whole_batch_layer() -> None:
    first = Input((6,))
    before = Dense(6, "tanh")(first)
    mixed = BatchNormalization()(before)
    model = Model(first, Dense(2)(Add()([mixed, before, Dense(6)(mixed)])))
    model.compile("sgd", "mse")
    x, y = rows(40), rows(40)[:, :2].copy()
    model.evaluate(x, y, verbose=0)  # which tells the network its loss
    network, rng = model.description.network, np.random.default_rng(1)
    network.gradient(x, y)
    start, slopes = network.parameters.copy(), network.gradients.copy()
    for _ in range(5):
        direction = rng.standard_normal(start.size) / 4
        step, ends = 4e-3, []
        for sign in (1, -1):
            network.parameters[...] = start + sign * step * direction
            ends.append(network.gradient(x, y))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float((slopes * direction).sum()), rel=3e-3, abs=1e-3)

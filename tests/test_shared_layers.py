"""Layers that models share: one set of weights, each model's own training."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential
from fastnn.layers import BatchNormalization, Concatenate, Dense, Dropout, Subtract
from fastnn.optimizers import SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5)).astype(np.float32)
Y = RNG.standard_normal((40, 2)).astype(np.float32)


def bits(model: object) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]  # type: ignore[attr-defined]


# One layer called twice


def test_a_layer_called_twice_has_one_set_of_weights():
    x, z = Input((5,)), Input((5,))
    tower = Dense(3, "tanh")
    model = Model([x, z], Subtract()([tower(x), tower(z)]))
    assert [w.shape for w in model.get_weights()] == [(5, 3), (3,)]
    np.testing.assert_array_equal(model.predict([X, X]), 0)
    with pytest.raises(ValueError, match="called 2 times"):
        _ = tower.output


def test_gradients_of_shared_weights_equal_differences():
    x, z = Input((5,)), Input((5,))
    tower = Sequential([Dense(4, "tanh"), Dense(3)])
    model = Model([x, z], Dense(2)(Subtract()([tower(x), tower(z)])))
    model.compile(SGD(1.0), "mse")
    xs, before = [X[:8], X[8:16]], model.get_weights()
    model.fit(xs, Y[:8], 8, 1, 0, shuffle=False)
    moved = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    rng = np.random.default_rng(1)
    for _ in range(5):
        direction = [rng.standard_normal(w.shape) / 4 for w in before]
        step, ends = 4e-3, []
        for sign in (1, -1):
            model.set_weights([w + sign * step * d for w, d in zip(before, direction, strict=True)])
            ends.append(model.evaluate(xs, Y[:8], verbose=0))
        slope = sum(float((m * d).sum()) for m, d in zip(moved, direction, strict=True))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=3e-3, abs=1e-3)


def test_a_layer_reads_rows_of_one_shape():
    layer = Dense(3)
    x = Input((3,))
    model = Model(x, layer(layer(x)))
    assert model.count_params() == 12
    z = Input((5,))
    with pytest.raises(
        ValueError, match=r"layer 'dense' has weights of shapes \[\(3, 3\), \(3,\)\], but here it needs"
    ):
        Model(z, layer(z))
    fresh = Dense(2)
    with pytest.raises(ValueError, match=r"needs"):
        Model([x, z], [fresh(x), fresh(z)])
    assert model.predict(np.ones((1, 3))).shape == (1, 3)


# Models that share


def autoencoder() -> tuple[Model, Model, Model]:
    x = Input((5,), name="x")
    code = Dense(3, "tanh", name="code")(x)
    out = Dense(5, name="out")(code)
    return Model(x, code, name="encoder"), Model(x, out, name="auto"), Model(code, out, name="decoder")


def test_an_encoder_learns_with_its_autoencoder():
    encoder, auto, decoder = autoencoder()
    auto.compile("adam", "mse")
    before = encoder.predict(X)
    auto.fit(X, X, 8, 3, 0)
    after = encoder.predict(X)
    assert (before != after).any()
    np.testing.assert_array_equal(decoder.predict(after), auto.predict(X))
    assert (
        encoder.description.network.parameters
        is auto.description.network.parameters
        is decoder.description.network.parameters
    )
    encoder.set_weights([w * 0 for w in encoder.get_weights()])
    assert not auto.get_layer("code").get_weights()[0].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_sharing_changes_nothing_in_training(optimizer):
    """The autoencoder learns the same bits whether others look on or not."""
    results = []
    for watched in (False, True):
        fastnn.set_random_seed(3)
        x = Input((5,))
        layers = [Dense(4, "tanh"), Dropout(0.2), Dense(5)]
        h = layers[1](layers[0](x))
        model = Model(x, layers[2](h))
        others = [Model(x, h), Sequential([*layers[:1], Dense(7)])] if watched else []
        for other in others[1:]:
            other.build((5,))
        model.compile(optimizer, "mse")
        fastnn.set_random_seed(4)
        results.append((model.fit(X, X, 8, 3, 0).history, bits(model)))
    assert results[0] == results[1]


def test_the_optimizer_goes_on_when_a_model_moves():
    """A model whose layers another one takes along to a new store keeps its momentum and its count of steps."""
    results = []
    for shared in (False, True):
        fastnn.set_random_seed(3)
        model = Sequential([Dense(4, "tanh", input_dim=5), Dropout(0.2), Dense(2)])
        model.compile(Adam(0.01), "mse", metrics=["mae"])
        fastnn.set_random_seed(4)
        model.fit(X, Y, 8, 2, 0)
        steps, flat = model.description.network.iterations, model.description.network.parameters
        state = fastnn.random.generator().bit_generator.state
        if shared:
            extended = Sequential([*model.layers, Dense(3)])
            extended.build((5,))
            assert model.description.network.parameters is extended.description.network.parameters is not flat
        fastnn.random.generator().bit_generator.state = state
        assert model.description.network.iterations == steps
        model.fit(X, Y, 8, 2, 0)
        results.append(bits(model))
    assert results[0] == results[1]


def test_two_models_become_one():
    encoder = Sequential([Dense(3, "tanh", input_dim=5)], name="encoder")
    decoder = Sequential([Dense(5, input_dim=3)], name="decoder")
    before = bits(encoder) + bits(decoder)
    model = Sequential([encoder, decoder])
    assert bits(model) == before
    assert [layer.name for layer in model.layers] == ["encoder", "decoder"]
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    assert bits(model) == bits(encoder) + bits(decoder) != before
    np.testing.assert_array_equal(decoder.predict(encoder.predict(X)), model.predict(X))


def test_a_feature_extractor():
    model = Sequential([Dense(4, "tanh", input_dim=5), Dense(3, "relu"), Dense(2)])
    model.compile("adam", "mse")
    features = Model(model.inputs, model.layers[-2].output)
    model.fit(X, Y, verbose=0)
    kernel, bias = model.layers[-1].get_weights()
    given = features.predict(X)
    np.testing.assert_allclose(given @ kernel + bias, model.predict(X), rtol=1e-5, atol=1e-6)
    middle = Model(model.layers[1].input, model.output)
    np.testing.assert_array_equal(
        middle.predict(Model(model.input, model.layers[0].output).predict(X)), model.predict(X)
    )


def test_adding_to_a_shared_model():
    base = Sequential([Dense(4, "tanh", input_dim=5)])
    head = Sequential([base, Dense(2)])
    base.add(Dense(3))
    assert base.output_shape == (None, 3)
    assert head.predict(X).shape == (40, 2)  # as it was called
    np.testing.assert_array_equal(head.layers[0].layers[0].get_weights()[0], base.get_weights()[0])
    with pytest.raises(ValueError, match="other models share"):
        base.build((7,))


# What does not learn


def test_a_frozen_layer_stays():
    model = Sequential([Dense(4, "tanh", input_dim=5), Dense(3), Dense(2)])
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    same = [a.tobytes() == b.tobytes() for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [False, False, True, True, False, False]
    assert len(model.trainable_weights) == 4
    assert len(model.non_trainable_weights) == 2
    assert len(model.weights) == 6


def test_trainable_counts_from_the_next_compile():
    model = Sequential([Dense(4, "tanh", input_dim=5), Dense(2)])
    model.compile("sgd", "mse")
    model.trainable = False
    assert not model.trainable
    assert not any(layer.trainable for layer in model.layers)
    before = bits(model)
    model.fit(X, Y, verbose=0)
    assert bits(model) != before
    model.layers[1].trainable = True
    assert model.trainable
    model.compile("sgd", "mse")
    before = bits(model)
    model.fit(X, Y, verbose=0)
    assert [a == b for a, b in zip(before, bits(model), strict=True)] == [True, True, False, False]


def test_freezing_equals_training_the_rest_alone():
    """A frozen first half is data to the second."""
    fastnn.set_random_seed(3)
    model = Sequential([Dense(4, "tanh", input_dim=5), Dense(3, "relu"), Dense(2)])
    model.layers[0].trainable = False
    rest = Sequential([Dense(3, "relu", input_dim=4), Dense(2)])
    rest.set_weights(model.get_weights()[2:])
    features = Model(model.input, model.layers[0].output).predict(X)
    for each, x in ((model, X), (rest, features)):
        each.compile(Adam(0.01), "mse")
        fastnn.set_random_seed(9)
        each.fit(x, Y, 8, 3, 0)
    assert bits(model)[2:] == bits(rest)


def test_all_frozen():
    model = Sequential([Dense(2, input_dim=5)])
    model.trainable = False
    model.compile("adam", "mse")
    before = bits(model)
    model.fit(X, Y, verbose=0)
    assert bits(model) == before


def test_two_networks_against_each_other():
    """Keras's way to a GAN: the discriminator was compiled before it is frozen, the whole after."""
    generator = Sequential([Dense(4, "tanh", input_dim=3), Dense(5)], name="generator")
    discriminator = Sequential([Dense(4, "relu", input_dim=5), Dense(1, "sigmoid")], name="discriminator")
    discriminator.compile("adam", "binary_crossentropy")
    discriminator.trainable = False
    gan = Sequential([generator, discriminator])
    gan.compile("adam", "binary_crossentropy")
    noise = RNG.standard_normal((16, 3)).astype(np.float32)
    for _ in range(3):
        states = bits(generator), bits(discriminator)
        discriminator.train_on_batch(np.vstack([X[:16], generator.predict(noise)]), np.repeat([1.0, 0.0], 16))
        assert bits(generator) == states[0]
        assert bits(discriminator) != states[1]
        states = bits(generator), bits(discriminator)
        gan.train_on_batch(noise, np.ones(16))
        assert bits(generator) != states[0]
        assert bits(discriminator) == states[1]
    assert discriminator.description.network.iterations == gan.description.network.iterations == 3


def test_weights_come_in_keras_order():
    model = Sequential([Dense(4, input_dim=5), BatchNormalization(), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert [w.shape for w in model.get_weights()] == [(5, 4), (4,), (4,), (4,), (4,), (4,), (4, 2), (2,)]
    gamma, beta, mean, variance = model.layers[1].get_weights()
    assert [len(model.trainable_weights), len(model.non_trainable_weights)] == [6, 2]
    np.testing.assert_array_equal(model.layers[1].non_trainable_weights, [mean, variance])
    np.testing.assert_array_equal(model.layers[1].trainable_weights, [gamma, beta])
    assert mean.any()
    model.layers[1].trainable = False
    assert len(model.trainable_weights) == 4


# Memory


def test_models_that_share_go_one_by_one():
    encoder, auto, decoder = autoencoder()
    auto.compile("adam", "mse")
    auto.fit(X, X, verbose=0)
    gone = [weakref.ref(auto), weakref.ref(decoder)]
    expected = encoder.predict(X)
    del auto, decoder
    gc.collect()
    assert [each() for each in gone] == [None, None]
    np.testing.assert_array_equal(encoder.predict(X), expected)


def test_names_that_nobody_gave_do_not_hang_on_the_order_of_layers() -> None:
    """Files have weights by name: those of a graph whose layers come by their furthest call have the names they had."""
    x, (shared, first, last) = Input((4,)), (Dense(4) for _ in range(3))
    model = Model(x, Concatenate()([shared(x), shared(first(x)), last(first(shared(x)))]))
    assert model.layers[1:4] == [first, shared, last]  # as Keras has them
    assert [first.name, shared.name, last.name] == ["dense_1", "dense", "dense_2"]

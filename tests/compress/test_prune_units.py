"""Unit pruning: units that are dead by hand go, and the smaller model says the same."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L, ops
from fastnn.compress import prune, prune_units, sparsity
from fastnn.models import Model, Sequential, load_model
from fastnn.utils import split_dataset

RNG = np.random.default_rng(3)


def fill(model: Any, seed: int = 0) -> Any:
    """Random weights, positive where they are variances."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name == "moving_variance" else values)
    return model


def kill(layer: Any, dead: Any) -> None:
    """Have units of a layer give 0: nothing goes into them."""
    if isinstance(layer, L.Bidirectional):
        kill(layer.layer, dead)
        kill(layer.backward_layer, dead)
        return
    layer = getattr(layer, "layer", layer)
    for weight in layer.weights:
        w = weight.numpy()
        if isinstance(layer, (L.LSTM, L.GRU, L.SimpleRNN)):
            w = w.reshape(*w.shape[:-1], -1, layer.units)  # gate by gate
        if weight.name.endswith("depthwise_kernel"):
            continue
        if "Transpose" in type(layer).__name__ and weight.name == "kernel":
            w[..., dead, :] = 0
        else:
            w[..., dead] = 0
        weight.assign(w.reshape(weight.shape))


def mlp():
    return Sequential(
        [
            L.Input((6,)),
            L.Dense(8, name="a"),
            L.BatchNormalization(),
            L.ReLU(),
            L.Dropout(0.3),
            L.Dense(10, "tanh", use_bias=False, name="b"),
            L.GaussianNoise(0.1),
            L.PReLU(),
            L.Dense(6, name="c"),
            L.BatchNormalization(scale=False, center=False),
            L.LeakyReLU(),
            L.Dense(3, "softmax"),
        ]
    )


def cnn():
    return Sequential(
        [
            L.Input((9, 9, 2)),
            L.Conv2D(6, 3, padding="same", name="a"),
            L.BatchNormalization(),
            L.Activation("relu"),
            L.MaxPooling2D(2),
            L.SpatialDropout2D(0.1),
            L.Conv2D(4, 2, strides=2, activation="relu", name="b"),
            L.ZeroPadding2D(1),
            L.Flatten(),
            L.Dense(8, "relu", name="c"),
            L.Dense(2),
        ]
    )


def channels():
    return Sequential(
        [
            L.Input((8, 8, 3)),
            L.SeparableConv2D(6, 3, activation="relu", depth_multiplier=2, name="a"),
            L.DepthwiseConv2D(2, depth_multiplier=3, use_bias=False),
            L.SeparableConv2D(4, 3, activation="relu", name="b"),
            L.UpSampling2D(2),
            L.Conv2DTranspose(6, 3, activation="tanh", name="c"),
            L.Cropping2D(1),
            L.GlobalAveragePooling2D(),
            L.Dense(2),
        ]
    )


def steps():
    return Sequential(
        [
            L.Input((7, 3)),
            L.Conv1D(6, 2, activation="relu", name="a"),
            L.LSTM(8, return_sequences=True, name="b"),
            L.TimeDistributed(L.Dense(4, "relu"), name="c"),
            L.GRU(6, return_sequences=True, name="d"),
            L.GRU(4, reset_after=False, return_sequences=True, name="e"),
            L.SimpleRNN(8, name="f"),
            L.RepeatVector(3),
            L.Reshape((24,)),
            L.Dense(2),
        ]
    )


def both_ways(merge: str = "concat"):
    return Sequential(
        [
            L.Input((5,)),
            L.Embedding(9, 6, mask_zero=True, name="a"),
            L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=merge, name="b"),
            L.Bidirectional(L.GRU(6), merge_mode=merge, name="c"),
            L.Dense(2),
        ]
    )


def residual():
    x = L.Input((5,))
    h = L.Dense(8, "relu", name="a")(x)
    for name in "bc":
        h = L.Add()([h, L.Dense(8, "tanh", name=name)(L.Dense(6, "relu", name=f"{name}0")(h))])
    wide = L.Multiply()([h, L.Dense(1, name="gate")(x)])
    return Model(x, [L.Dense(2)(wide), L.Dense(3, "softmax")(h)])


def concatenated():
    a, b = L.Input((4,)), L.Input((6, 6, 2))
    one = L.Dense(6, "relu", name="a")(a)
    two = L.Flatten()(L.AveragePooling2D(3)(L.Conv2D(4, 3, activation="relu", padding="same", name="b")(b)))
    both = L.Concatenate()([one, two, a])
    return Model([a, b], L.Dense(2)(L.Dense(8, "relu", name="c")(L.BatchNormalization()(both))))


def shared():
    a, b = L.Input((4,)), L.Input((5,))
    into, again = L.Dense(6, "relu", name="c"), L.Dense(4, "tanh", name="d")
    one, two = L.Dense(8, "relu", name="a")(a), L.Dense(8, "relu", name="b")(b)
    both = [again(into(one)), again(into(two))]
    return Model([a, b], L.Dense(2)(L.Subtract()(both)))


def within():
    inner = Sequential([L.Input((6,)), L.Dense(8, "relu", name="inside"), L.Dense(4, "tanh", name="last")], name="in")
    x = L.Input((6,))
    h = L.Dense(4, "relu", name="a")(L.Concatenate()([inner(x), inner(L.Identity()(x))]))
    return Model(x, L.Dense(2)(h))


def coded():
    x, y = L.Input((5, 3)), L.Input((4, 2))
    _, h, c = L.LSTM(6, return_state=True, name="a")(x)
    out = L.LSTM(6, return_sequences=True, name="b")(y, initial_state=[h, c])
    return Model([x, y], L.TimeDistributed(L.Dense(2))(out))


class Own(Model):
    def __init__(self):
        super().__init__()
        self.a, self.b = L.Dense(8, "relu", name="a"), L.Dense(2)

    def call(self, x):
        return self.b(self.a(x))


def subclassed():
    model = Own()
    model.build((None, 5))
    return model


CASES = [
    (mlp, ("a", "b", "c"), {"a": 8, "b": 10, "c": 6}),
    (cnn, ("a", "b", "c"), {"a": 6, "b": 4, "c": 8}),
    (channels, ("a", "b", "c"), {"a": 6, "b": 4, "c": 6}),
    (steps, "abcdef", {"a": 6, "b": 8, "c": 4, "d": 6, "e": 4, "f": 8}),
    (both_ways, "abc", {"a": 6, "b": 4, "c": 6}),
    (lambda: both_ways("sum"), "abc", {"a": 6, "b": 4, "c": 6}),
    (lambda: both_ways("ave"), "abc", {"a": 6, "b": 4, "c": 6}),
    (residual, ("a", "b", "c", "b0", "c0"), {"a": 8, "b": 8, "c": 8, "b0": 6, "c0": 6}),
    (concatenated, "abc", {"a": 6, "b": 4, "c": 8}),
    (shared, "abcd", {"a": 8, "b": 8, "c": 6, "d": 4}),
    (within, ("inside", "last", "a"), {"inside": 8, "last": 4, "a": 4}),
    (coded, "ab", {"a": 6, "b": 6}),
    (subclassed, "a", {"a": 8}),
]


def rows_for(model: Any, n: int = 20) -> Any:
    rng = np.random.default_rng(2)
    reads_ids = isinstance(model.layers[0], L.Embedding)
    found = [
        rng.integers(0, 9, (n, *t.shape[1:])) if reads_ids else rng.normal(size=(n, *t.shape[1:])) for t in model.inputs
    ]
    return found if len(found) > 1 else found[0]


def layer_of(model: Any, name: str) -> Any:
    for each in model.layers:
        if each.name == name:
            return each
        if isinstance(each, Model) and name in [inner.name for inner in each.layers]:
            return each.get_layer(name)
    raise KeyError(name)


def outputs(model: Any, x: Any) -> list[np.ndarray]:
    found = model.predict(x, verbose=0)
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize(("make", "names", "sizes"), CASES, ids=[f"{i}" for i in range(len(CASES))])
def test_dead_units_go_and_nothing_else_changes(make, names, sizes):
    model = fill(make())
    x = rows_for(model)
    dead = {}
    for name in names:
        size = sizes[name]
        dead[name] = np.sort(RNG.permutation(size)[: size // 2])
    for group in ("a", "b", "c") if make is residual else ("a", "b") if make in (shared, coded) else ():
        dead[group] = dead["a"]  # these are added up, or read by one layer
    for name in names:
        kill(layer_of(model, name), dead[name])
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            for weight in layer.weights:
                if weight.name in ("moving_mean", "beta"):
                    weight.assign(np.zeros(weight.shape))
    before, whole = outputs(model, x), [w.numpy() for w in model.weights]
    small = prune_units(model, 0.5)
    for a, b in zip(outputs(small, x), before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())
    for name in names:
        layer = layer_of(small, name)
        layer = getattr(layer, "layer", layer)
        assert (
            next(getattr(layer, n) for n in ("units", "filters", "output_dim") if hasattr(layer, n)) == sizes[name] // 2
        )
    assert small.count_params() < 0.6 * model.count_params()
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(whole, model.weights, strict=True))
    assert len(small.layers) == len(model.layers) + (make is subclassed)  # what it draws, with its input


# Which go


def test_the_score_is_the_product_of_both_norms():
    model = fill(Sequential([L.Input((5,)), L.Dense(7, "relu"), L.Dense(3)]))
    w, b, v, c = model.get_weights()
    best = np.sort(np.argsort(-np.linalg.norm(w, axis=0) * np.linalg.norm(v, axis=1))[:3])
    found = prune_units(model, {"dense": 3}).get_weights()
    for array, wanted in zip(found, [w[:, best], b[best], v[best], c], strict=True):
        assert np.array_equal(array, wanted)


def test_of_filters_that_are_flattened():
    model = fill(Sequential([L.Input((4, 4, 2)), L.Conv2D(6, 3), L.BatchNormalization(), L.Flatten(), L.Dense(3)]))
    w, b, gamma, beta, mean, variance, v, c = model.get_weights()
    v = v.reshape(4, 6, 3)
    out = np.linalg.norm(v, axis=(0, 2))
    score = np.sqrt((w**2).sum((0, 1, 2)) * gamma**2 / (variance + 1e-3)) * out
    best = np.sort(np.argsort(-score)[:2])
    found = prune_units(model, 0.33).get_weights()
    wanted = [w[..., best], b[best], gamma[best], beta[best], mean[best], variance[best], v[:, best].reshape(8, 3), c]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("kind", [L.LSTM, L.GRU])
def test_of_cells_with_gates(kind):
    model = fill(Sequential([L.Input((4, 3)), kind(5), L.Dense(2)]))
    w, u, b, v, c = model.get_weights()
    gates = w.shape[1] // 5
    into = (w.reshape(3, gates, 5) ** 2).sum((0, 1)) + (u.reshape(5, gates, 5) ** 2).sum((0, 1))
    out = (u**2).sum(1) + (v**2).sum(1)
    best = np.sort(np.argsort(-into * out)[:2])
    columns = (np.arange(gates)[:, None] * 5 + best).ravel()
    found = prune_units(model, {"lstm" if kind is L.LSTM else "gru": 2}).get_weights()
    wanted = [w[:, columns], u[best][:, columns], b[..., columns], v[best], c]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def alone(*layers: Any, row: tuple[int, ...] = (8,)) -> Any:
    """A model of a layer, a unit of which may not go, since it is read by what follows."""
    return Sequential([L.Input(row), *layers, L.Dense(2)])


def with_dot():
    a, b = L.Input((4,)), L.Input((4,))
    return Model([a, b], L.Dot(1)([L.Dense(6)(a), L.Dense(6)(b)]))


def to_the_input():
    x = L.Input((8,))
    return Model(x, L.Dense(2)(L.Add()([x, L.Dense(8)(x)])))


def twice():
    x = L.Input((8,))
    h = L.Dense(6, "relu")(x)
    return Model(x, [L.Dense(2)(h), h])


def added():
    x = L.Input((8,))
    h = L.Dense(6, "relu")(x)
    return Model(x, L.Dense(2)(h * 2 + 1))


class Squeeze(L.Layer):
    def call(self, x):
        return ops.sum(x, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "model",
    [
        lambda: alone(L.Dense(6), L.LayerNormalization()),
        lambda: alone(L.Dense(6), L.RMSNormalization()),
        lambda: alone(L.Dense(6), L.Softmax()),
        lambda: alone(L.Dense(6, "softmax")),
        lambda: alone(L.Dense(6, "glu")),
        lambda: alone(L.Dense(6, lambda z: z / 2)),
        lambda: alone(L.Dense(6), Squeeze()),
        lambda: alone(L.Dense(6), L.Masking(), row=(3, 8)),
        lambda: alone(L.Dense(6), L.Dropout(0.5, noise_shape=(None, 6))),
        lambda: alone(L.Dense(6), L.Permute((2, 1)), row=(3, 8)),
        lambda: alone(L.Dense(6), L.Reshape((2, 3))),
        lambda: alone(L.Dense(6), L.Rescaling(np.arange(6.0))),
        lambda: alone(L.Conv1D(6, 1, groups=2), L.Conv1D(2, 1, groups=2), row=(3, 8)),
        lambda: alone(L.Conv2D(6, 1, data_format="channels_first"), L.Flatten(), row=(8, 3, 3)),
        lambda: alone(L.Conv2D(6, 1), L.GroupNormalization(2), row=(3, 3, 8)),
        lambda: alone(L.Dense(6), L.BatchNormalization(axis=1), L.LayerNormalization(), row=(3, 8)),
        lambda: Sequential([L.Input((8,)), L.Dense(6)]),
        with_dot,
        to_the_input,
        twice,
        added,
    ],
)
def test_what_is_left_alone(model):
    model = model()
    small = prune_units(model, 0.5)
    assert [w.shape for w in small.get_weights()] == [w.shape for w in model.get_weights()]
    x = rows_for(model)
    assert all(np.array_equal(a, b) for a, b in zip(outputs(model, x), outputs(small, x), strict=True))


def test_attention_is_left_alone_and_what_is_around_it_is_not():
    x = L.Input((6, 8))
    h = L.Dense(8, "relu", name="a")(x)
    h = L.LayerNormalization()(L.Add()([h, L.MultiHeadAttention(2, 4)(h, h)]))
    h = L.Add()([h, L.Dense(8, name="down")(L.Dense(16, "gelu", name="up")(h))])
    model = Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(h)))
    small = prune_units(model, 0.25)
    found = {layer.name: layer.units for layer in small.layers if hasattr(layer, "units")}
    assert found == {"a": 8, "down": 8, "up": 4, "dense": 2}
    with pytest.raises(ValueError, match=r"layer 'down' cannot go.*those of 'up' can"):
        prune_units(model, {"down": 4})


def test_states_that_one_layer_hands_to_another():
    model = fill(coded())
    small = prune_units(model, 0.5)
    kept = []
    for name in "ab":
        (w, *_), (v, *_) = model.get_layer(name).get_weights(), small.get_layer(name).get_weights()
        kept.append([int(np.flatnonzero((w == column[:, None]).all(0))[0]) for column in v.T])
    assert kept[0] == kept[1]


def test_a_layer_that_is_within_another_and_elsewhere():
    x, steps, dense = L.Input((6,)), L.Input((3, 6)), L.Dense(6)
    h = L.Add()([dense(x), L.GlobalMaxPooling1D()(L.TimeDistributed(dense)(steps))])
    model = Model([x, steps], L.Dense(2)(h))
    with pytest.raises(ValueError, match=r"layer 'dense' is in '.*' and elsewhere"):
        prune_units(model, 0.5)


# How many


def test_shares_and_numbers():
    model = mlp()
    assert sizes_of(prune_units(model, {"a": 3, "b": 0.25})) == [3, 2, 6, 3]
    assert sizes_of(prune_units(model, {model.layers[0]: 1})) == [1, 10, 6, 3]
    assert sizes_of(prune_units(model, 0.01)) == [1, 1, 1, 3]
    assert sizes_of(prune_units(model, 1.0)) == [8, 10, 6, 3]
    assert sizes_of(prune_units(model, {})) == [8, 10, 6, 3]
    assert sizes_of(prune_units(model, {"a": np.int64(4)})) == [4, 10, 6, 3]


def sizes_of(model: Any) -> list[int]:
    return [layer.units for layer in model.layers if hasattr(layer, "units")]


def test_units_that_go_together():
    model = residual()
    assert sizes_of(prune_units(model, {"a": 3}))[:5] == [3, 6, 3, 6, 3]
    with pytest.raises(ValueError, match="'a', 'b', 'c' go together, so keep must be the same"):
        prune_units(model, {"a": 3, "b": 5})


@pytest.mark.parametrize(
    ("keep", "error", "words"),
    [
        (0, ValueError, "above 0 and at most 1, got 0"),
        (1.5, ValueError, "at most 1, got 1.5"),
        (2, ValueError, "at most 1, got 2"),
        (float("nan"), ValueError, "above 0"),
        ("half", TypeError, "must be a number, got 'half'"),
        (None, TypeError, "must be a number, got None"),
        ({"a": 9}, ValueError, r"keep\['a'\] must be at most 8, got 9"),
        ({"a": 0}, ValueError, "at least 1"),
        ({"a": True}, TypeError, "must be a share or a number of units"),
        ({"z": 0.5}, ValueError, "no layer 'z'"),
        ({"dense": 0.5}, ValueError, "'dense' cannot go"),
        ({"dropout": 0.5}, ValueError, "'dropout' cannot go"),
    ],
)
def test_what_is_refused(keep, error, words):
    with pytest.raises(error, match=words):
        prune_units(mlp(), keep)


def test_calls_that_are_refused():
    model = mlp()
    x, y = rows_for(model), np.zeros(20)
    for arguments, error, words in (
        ({"data": (x, y)}, ValueError, "must be compiled"),
        ({"steps": 2}, ValueError, "give data"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ):
        with pytest.raises(error, match=words):
            prune_units(model, **arguments)
    model.compile("adam", "sparse_categorical_crossentropy")
    for data, error in ((x, TypeError), ((x,), ValueError), ("x", TypeError), ((x, y, y, y), ValueError)):
        with pytest.raises(error, match="data must be"):
            prune_units(model, data=data)
    with pytest.raises(RuntimeError, match="no weights yet"):
        prune_units(Sequential([L.Dense(3), L.Dense(2)]))
    with pytest.raises(TypeError, match="must be a fastnn"):
        prune_units([model])


# Training between


def task() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(4).normal(size=(600, 6)).astype("f4")
    return x, (np.abs(x[:, :3]) @ [1, 2, -1] > 1.2).astype("i4")


def trained() -> Any:
    fastnn.set_random_seed(3)
    model = Sequential([L.Input((6,)), L.Dense(48, "relu"), L.Dense(32, "relu"), L.Dense(2, "softmax")])
    model.compile(fastnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*task(), epochs=20, verbose=0)
    return model


def test_training_between_brings_back_what_was_lost():
    model, data = trained(), task()
    before = model.evaluate(*data, verbose=0)[1]
    fastnn.set_random_seed(1)
    cut = prune_units(model, 0.125).evaluate(*data, verbose=0)[1]
    small = prune_units(model, 0.125, data=data, epochs=8)
    assert sizes_of(small) == [6, 4, 2]
    assert small.optimizer.iterations == 8 * 19  # since the last of three steps
    after = small.evaluate(*data, verbose=0)[1]
    assert after > cut
    assert after > before - 0.05


def test_data_in_other_forms():
    model = trained()
    x, y = task()
    weights = np.ones(len(x))
    fastnn.set_random_seed(1)
    first = prune_units(model, {"dense": 10, "dense_1": 5}, data=(x, y), steps=1, epochs=1)
    fastnn.set_random_seed(1)
    weighted = prune_units(model, {"dense": 10, "dense_1": 5}, data=[x, y, weights], steps=1, epochs=1)
    assert all(np.allclose(a, b) for a, b in zip(first.get_weights(), weighted.get_weights(), strict=True))
    made = prune_units(model, 0.5, data=split_dataset((x, y), 590)[0].batch(64), epochs=1)
    assert sizes_of(made) == [24, 16, 2]
    assert made.optimizer.iterations == 10


def test_several_steps_end_at_the_number_that_was_asked_for():
    model, data = trained(), task()
    assert sizes_of(prune_units(model, {"dense": 7, "dense_1": 5}, data=data, epochs=1, steps=3)) == [7, 5, 2]


# What is given


def test_the_new_model_is_like_any_other(tmp_path):
    model = trained()
    small = prune_units(model, 0.5)
    assert small.compiled
    assert small.optimizer is not model.optimizer
    assert small.optimizer.learning_rate == 0.01
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert isinstance(small, Sequential)
    x, y = task()
    small.fit(x, y, epochs=1, verbose=0)
    small.save(tmp_path / "m.fastnn")
    for again in (load_model(tmp_path / "m.fastnn"), pickle.loads(pickle.dumps(small))):
        assert np.array_equal(again.predict(x, verbose=0), small.predict(x, verbose=0))
    small.summary(print_fn=lambda text: None)
    assert not prune_units(mlp(), 0.5).compiled


def test_masks_of_magnitude_pruning_go_on():
    model = prune(trained(), 0.5)
    small = prune_units(model, 0.5)
    before = sparsity(small)
    assert before > 0.3
    small.fit(*task(), epochs=2, verbose=0)
    assert sparsity(small) == before


def test_what_layers_know_beside_their_weights():
    normalization = L.Normalization()
    normalization.adapt(np.arange(12.0).reshape(4, 3))
    words = L.StringLookup(vocabulary=["a", "b", "c"])
    text, numbers = L.Input((1,), dtype="string"), L.Input((3,))
    h = L.Concatenate()([L.Flatten()(L.Embedding(4, 8, name="e")(words(text))), normalization(numbers)])
    model = fill(Model([text, numbers], L.Dense(2)(L.Dense(6, "relu", name="a")(h))))
    layer = next(layer for layer in model.layers if isinstance(layer, L.Normalization))
    layer.set_weights([np.abs(w) for w in layer.get_weights()])
    small = prune_units(model, 1.0)
    x = [np.array([["a"], ["c"], ["x"]]), np.arange(9.0).reshape(3, 3)]
    assert np.array_equal(small.predict(x, verbose=0), model.predict(x, verbose=0))
    assert prune_units(model, 0.5).get_layer("e").output_dim == 4


def test_frozen_layers_and_regularizers_stay_what_they_are():
    model = mlp()
    model.layers[0].trainable = False
    small = prune_units(model, 0.5)
    assert [layer.trainable for layer in small.layers] == [layer.trainable for layer in model.layers]


def test_stateful_layers():
    model = fill(Sequential([L.Input(batch_shape=(2, 3, 4)), L.LSTM(6, stateful=True), L.Dense(1)]))
    small = prune_units(model, 0.5)
    x = RNG.normal(size=(2, 3, 4))
    first = small.predict(x, verbose=0)
    assert not np.array_equal(small.predict(x, verbose=0), first)


def test_a_row_that_says_its_own_shape():
    model = Sequential([L.Dense(8, "relu", input_shape=(4,)), L.Dense(6, "relu", input_shape=(8,)), L.Dense(2)])
    model.build()
    assert sizes_of(prune_units(model, 0.5)) == [4, 3, 2]

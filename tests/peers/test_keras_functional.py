"""The same graph by Keras 3, where it is installed: outputs, losses, logs and weights of some steps."""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastnn

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

RNG = np.random.default_rng(0)
A = RNG.standard_normal((24, 5)).astype(np.float32)
B = RNG.standard_normal((24, 3)).astype(np.float32)
MEAN = RNG.standard_normal((24, 2)).astype(np.float32)
KIND = RNG.integers(0, 3, 24)


def graph(library, structure=list):
    """Two inputs, a shared layer, an output that is read again."""
    layers = library.layers
    a, b = library.Input((5,), name="a"), library.Input((3,), name="b")
    shared = layers.Dense(4, "tanh", name="shared")
    left = shared(a)
    right = shared(layers.Dense(5, name="lift")(b))
    joined = layers.Concatenate(name="joined")([left, right, layers.Subtract(name="less")([left, right])])
    mean = layers.Dense(2, name="mean")(joined)
    kind = layers.Dense(3, "softmax", name="kind")(layers.Concatenate(name="again")([mean, joined]))
    if structure is dict:
        return library.Model({"a": a, "b": b}, {"mean": mean, "kind": kind})
    return library.Model([a, b], [mean, kind])


def both(structure=list, **compiled):
    ours, theirs = graph(fastnn, structure), graph(keras, structure)
    for layer in ours.layers:
        theirs.get_layer(layer.name).set_weights(layer.get_weights())
    for model, library in ((ours, fastnn), (theirs, keras)):
        model.compile(library.optimizers.Adam(0.01), **compiled)
    return ours, theirs


def test_shape_and_order_of_layers():
    ours, theirs = graph(fastnn), graph(keras)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    assert ours.count_params() == theirs.count_params()
    assert ours.output_names == theirs.output_names
    for name in ("mean", "joined", "lift"):
        assert ours.get_layer(name).output.shape == theirs.get_layer(name).output.shape
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape


def tangle(library, seed):
    """Layers and a model, each called at several depths; inputs of which some lead nowhere but to the last sum."""
    rng, layers = np.random.default_rng(seed), library.layers
    x = library.Input((4,), name="inside")
    inner = library.Model(x, layers.Dense(4, name="second")(layers.Dense(4, name="first")(x)), name="model")
    shared = [inner, *(layers.Dense(4, name=f"dense{n}") for n in range(rng.integers(2, 5)))]
    inputs = [library.Input((4,), name=f"input{n}") for n in range(rng.integers(1, 3))]
    tensors = list(inputs)
    for n in range(rng.integers(3, 14)):
        if rng.random() < 0.3 and len(tensors) > 1:
            pair = rng.choice(len(tensors), 2, replace=False)
            tensors.append(layers.Add(name=f"add{n}")([tensors[k] for k in pair]))
        else:
            layer = shared[rng.integers(len(shared))]
            tensors.append(layer(tensors[rng.integers(max(0, len(tensors) - 5), len(tensors))]))
    outputs = [tensors[k] for k in dict.fromkeys(rng.integers(len(inputs), len(tensors), rng.integers(1, 4)).tolist())]
    if rng.random() < 0.7:
        outputs.append(layers.Add(name="last")([outputs[-1], *inputs]))
    return library.Model(inputs, outputs)


def test_layers_and_weights_of_layers_called_at_several_depths_come_in_the_same_order():
    for seed in range(60):
        ours, theirs = tangle(fastnn, seed), tangle(keras, seed)
        assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers], seed
        ours.set_weights(theirs.get_weights())
        for mine, other in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), np.asarray(other.value), err_msg=f"{seed} {other.path}")
            assert other.path.endswith(mine.path), seed
        if seed < 3:
            x = [A[:, :4]] * len(ours.inputs)
            for mine, other in zip(as_list(ours.predict(x)), as_list(theirs.predict(x, verbose=0)), strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4 * abs(other).max(), err_msg=str(seed))


def as_list(given):
    return given if isinstance(given, list) else [given]


CASES = [
    {"loss": ["mse", "sparse_categorical_crossentropy"]},
    {"loss": ["mse", "sparse_categorical_crossentropy"], "loss_weights": [0.3, 2.0]},
    {"loss": {"kind": "sparse_categorical_crossentropy", "mean": "mae"}, "loss_weights": {"kind": 0.5, "mean": 1.5}},
    {"loss": ["mse", "sparse_categorical_crossentropy"], "metrics": [["mae", "mse"], ["accuracy"]]},
    {"loss": ["mse", "sparse_categorical_crossentropy"], "metrics": {"kind": "accuracy"}},
    {
        "loss": ["mse", "sparse_categorical_crossentropy"],
        "metrics": [["mae"], None],
        "weighted_metrics": [["mae", "mse"], ["accuracy"]],
    },
]


@pytest.mark.parametrize("compiled", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("structure", [list, dict])
def test_several_outputs(compiled, structure):
    if structure is dict:  # Keras sorts a dict's keys, so that lists would go with them in another order
        compiled = {
            k: dict(zip(["mean", "kind"], v, strict=True)) if isinstance(v, list) else v for k, v in compiled.items()
        }
    ours, theirs = both(structure, **compiled)
    x = {"a": A, "b": B} if structure is dict else [A, B]
    y = {"mean": MEAN, "kind": KIND} if structure is dict else [MEAN, KIND]
    outputs = [model.predict(x, verbose=0) for model in (ours, theirs)]
    for key in ("mean", "kind") if structure is dict else (0, 1):
        np.testing.assert_allclose(outputs[0][key], outputs[1][key], rtol=1e-4, atol=1e-5)
    histories = [model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False).history for model in (ours, theirs)]
    assert set(histories[0]) == set(histories[1])
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-3, atol=1e-5, err_msg=name)
    for layer in ours.layers:
        for mine, other in zip(layer.get_weights(), theirs.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)
    logs = [model.evaluate(x, y, verbose=0, return_dict=True) for model in (ours, theirs)]
    assert set(logs[0]) == set(logs[1])
    for name, value in logs[1].items():
        assert logs[0][name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


def test_weights_of_rows_count_in_all_outputs():
    compiled = {"loss": ["mse", "sparse_categorical_crossentropy"], "loss_weights": [0.3, 2.0]}
    ours, theirs = both(**compiled)
    weight = RNG.random(24).astype(np.float32)
    for model in (ours, theirs):
        model.fit([A, B], [MEAN, KIND], batch_size=8, epochs=2, verbose=0, shuffle=False, sample_weight=weight)
    for layer in ours.layers:
        for mine, other in zip(layer.get_weights(), theirs.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)


def test_models_that_share_and_freeze():
    """An autoencoder whose encoder does not learn, and the encoder after it."""
    results = []
    start = [RNG.standard_normal(shape).astype(np.float32) for shape in ((5, 3), (3,), (3, 5), (5,))]
    for library in (fastnn, keras):
        x = library.Input((5,))
        code = library.layers.Dense(3, "tanh", name="code")(x)
        auto = library.Model(x, library.layers.Dense(5, name="out")(code))
        encoder = library.Model(x, code)
        auto.set_weights(start)
        encoder.trainable = False
        auto.compile(library.optimizers.SGD(0.1), "mse")
        auto.fit(A, A, batch_size=8, epochs=2, verbose=0, shuffle=False)
        counts = len(auto.trainable_weights), len(auto.non_trainable_weights)
        results.append((counts, auto.get_weights(), np.asarray(encoder.predict(A))))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1][0], start[0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-4, atol=1e-5)

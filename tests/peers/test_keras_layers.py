"""The layers beside Keras's: one description builds both; outputs and three steps of training from the same weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn.layers
import fastnn.models
import fastnn.optimizers

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own

ROWS = 24


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, *shape)).astype(np.float32)


def whole(*shape: int, most: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, most, (ROWS, *shape)).astype(np.float32)


def chain(x: np.ndarray, *layers: Callable[[Any], Any]) -> tuple[Any, list[np.ndarray]]:
    """A model of one input: layers(lib) one after the other, then a Dense layer of three units."""

    def build(lib: Any) -> Any:
        tensor = first = lib.layers.Input(x.shape[1:])
        for layer in layers:
            tensor = layer(lib.layers)(tensor)
        return first, lib.layers.Dense(3)(tensor)

    return build, [x]


def merge(merged: Callable[[Any, list[Any]], Any], *xs: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    """A model of several inputs: a Dense layer for each (so that each has a gradient), the merge, a Dense layer."""

    def build(lib: Any) -> Any:
        inputs = [lib.layers.Input(x.shape[1:]) for x in xs]
        scaled = []
        for tensor, x in zip(inputs, xs, strict=True):
            flat = lib.layers.Flatten()(tensor)
            shape = x.shape[1:]
            scaled.append(lib.layers.Reshape(shape)(lib.layers.Dense(int(np.prod(shape)))(flat)))
        return inputs, lib.layers.Dense(3)(lib.layers.Flatten()(merged(lib.layers, scaled)))

    return build, list(xs)


A, B, C = (numbers(5, seed=seed) for seed in range(3))
T, U = numbers(3, 4, seed=4), numbers(3, 4, seed=5)


def flatten(layers: Any) -> Any:
    return layers.Flatten()


def dense(layers: Any) -> Any:
    return layers.Dense(7)


def frozen(layer: Any) -> Any:
    layer.trainable = False
    return layer


CASES: dict[str, tuple[Any, list[np.ndarray]]] = {
    "batch": chain(A, dense, lambda L: L.BatchNormalization(), lambda L: L.Activation("relu")),
    "batch momentum": chain(A, lambda L: L.BatchNormalization(momentum=0.6, epsilon=0.1), dense),
    "batch far": chain(A + 50, lambda L: L.BatchNormalization()),
    "batch bare": chain(A, dense, lambda L: L.BatchNormalization(center=False, scale=False)),
    "batch no scale": chain(A, dense, lambda L: L.BatchNormalization(scale=False)),
    "batch lines": chain(T, lambda L: L.BatchNormalization(), flatten),
    "batch frozen": chain(A, dense, lambda L: frozen(L.BatchNormalization())),
    "batch twice": chain(A, dense, lambda L: L.BatchNormalization(), dense, lambda L: L.BatchNormalization()),
    "layer": chain(A, dense, lambda L: L.LayerNormalization()),
    "layer no center": chain(A, dense, lambda L: L.LayerNormalization(epsilon=0.1, center=False)),
    "layer lines": chain(T, lambda L: L.LayerNormalization(), flatten),
    "layer axes": chain(T, lambda L: L.LayerNormalization(axis=[1, 2]), flatten),
    "rms": chain(A, dense, lambda L: L.RMSNormalization()),
    "prelu": chain(A, dense, lambda L: L.PReLU(alpha_initializer="ones")),
    "prelu shared": chain(T, lambda L: L.PReLU("ones", shared_axes=[1]), flatten),
    "reshape": chain(T, lambda L: L.Reshape((-1, 2)), lambda L: L.Identity(), flatten),
    "rescaling": chain(A, lambda L: L.Rescaling(0.5, 1.0)),
    "rescaling features": chain(A, lambda L: L.Rescaling([1.0, 2, 3, 4, 5], offset=[0.0, 1, 2, 3, 4])),
    "normalization": chain(A, lambda L: L.Normalization(mean=[1.0, 2, 3, 4, 5], variance=[1.0, 2, 0.5, 4, 5])),
    "normalization invert": chain(A, lambda L: L.Normalization(mean=0.5, variance=4.0, invert=True)),
    "embedding": chain(whole(4, most=10), lambda L: L.Embedding(10, 3), flatten),
    "embedding one": chain(whole(1, most=10), lambda L: L.Embedding(10, 3, "ones"), flatten),
    "encoding": chain(whole(4, most=6), lambda L: L.CategoryEncoding(6)),
    "encoding count": chain(whole(4, most=6), lambda L: L.CategoryEncoding(6, output_mode="count")),
    "encoding one hot": chain(whole(1, most=6), lambda L: L.CategoryEncoding(6, output_mode="one_hot")),
    "encoding one hot of 4": chain(whole(4, most=6), lambda L: L.CategoryEncoding(6, output_mode="one_hot"), flatten),
    "add": merge(lambda L, xs: L.add(xs), A, B, C),
    "subtract": merge(lambda L, xs: L.subtract(xs), A, B),
    "multiply": merge(lambda L, xs: L.multiply(xs), A, B, C),
    "average": merge(lambda L, xs: L.Average()(xs), A, B, C),
    "maximum": merge(lambda L, xs: L.Maximum()(xs), A, B, C),
    "minimum": merge(lambda L, xs: L.Minimum()(xs), T, U),
    "concatenate": merge(lambda L, xs: L.concatenate(xs), A, numbers(2), C),
    "concatenate axis 1": merge(lambda L, xs: L.Concatenate(axis=1)(xs), T, numbers(2, 4)),
    "concatenate axis 2": merge(lambda L, xs: L.Concatenate(axis=2)(xs), T, numbers(3, 1)),
    "dot": merge(lambda L, xs: L.dot(xs, axes=1), A, B),
    "dot cosine": merge(lambda L, xs: L.Dot(-1, normalize=True)(xs), A, B),
    "dot lines": merge(lambda L, xs: L.Dot((2, 1))(xs), T, numbers(4, 2)),
    "dot lines cosine": merge(lambda L, xs: L.Dot(1, normalize=True)(xs), T, U),
    "dot mixed": merge(lambda L, xs: L.Dot((1, 2))(xs), numbers(4), numbers(2, 4)),
}


V = numbers(2, 3, 4, seed=6)
RANKS = {2: A, 3: T, 4: V}


def on_ranks(title: str, layer: Callable[[Any], Any], *ranks: int) -> None:
    """Cases of a layer, behind a Dense one so that it hands a gradient on, on arrays of each rank."""
    for rank in ranks or RANKS:
        CASES[f"{title} rank {rank}"] = chain(RANKS[rank], dense, layer, flatten)


on_ranks("dense", lambda L: L.Dense(5, "tanh"))
on_ranks("dense without bias", lambda L: L.Dense(2, use_bias=False))
for activation in ("softmax", "log_softmax", "gelu"):  # not sparsemax: test_keras_activations.py
    on_ranks(f"dense {activation}", lambda L, activation=activation: L.Dense(4, activation))
    on_ranks(activation, lambda L, activation=activation: L.Activation(activation))
on_ranks("relu", lambda L: L.ReLU(negative_slope=0.1))
on_ranks("leaky", lambda L: L.LeakyReLU())
on_ranks("elu", lambda L: L.ELU())
on_ranks("softmax layer", lambda L: L.Softmax())
on_ranks("softmax 1", lambda L: L.Softmax(axis=1))
on_ranks("softmax -2", lambda L: L.Softmax(axis=-2), 3, 4)
on_ranks("softmax two", lambda L: L.Softmax(axis=[1, 2]), 3, 4)
on_ranks("batch", lambda L: L.BatchNormalization())
on_ranks("batch 1", lambda L: L.BatchNormalization(axis=1, momentum=0.5))
on_ranks("batch -2", lambda L: L.BatchNormalization(axis=-2, scale=False), 3, 4)
on_ranks("layer", lambda L: L.LayerNormalization())
on_ranks("layer 1", lambda L: L.LayerNormalization(axis=1))
on_ranks("layer list", lambda L: L.LayerNormalization(axis=[-2, -1]), 3, 4)
on_ranks("layer apart", lambda L: L.LayerNormalization(axis=[1, 3]), 4)
on_ranks("rms", lambda L: L.RMSNormalization())
on_ranks("rms list", lambda L: L.RMSNormalization(axis=[-2, -1]), 3, 4)
on_ranks("prelu", lambda L: L.PReLU("ones"))
on_ranks("prelu shared 1", lambda L: L.PReLU("ones", shared_axes=[1]), 3, 4)
on_ranks("prelu shared 2", lambda L: L.PReLU("ones", shared_axes=[2]), 3, 4)
on_ranks("prelu shared 1 3", lambda L: L.PReLU("ones", shared_axes=[1, 3]), 4)
on_ranks("dropout", lambda L: L.Dropout(0.0, noise_shape=(None, 1, 7)), 3)
on_ranks("rescaling", lambda L: L.Rescaling(0.5, 1.0))
on_ranks("normalization none", lambda L: L.Normalization(axis=None, mean=0.5, variance=4.0))
on_ranks("normalization 1", lambda L: L.Normalization(axis=1, mean=0.5, variance=4.0))
on_ranks("normalization apart", lambda L: L.Normalization((1, -1), mean=[[0.5], [1.0]], variance=[[4.0], [1.0]]), 4)
on_ranks("reshape", lambda L: L.Reshape((7, -1)))
on_ranks("permute", lambda L: L.Permute((2, 1)), 3)
on_ranks("permute", lambda L: L.Permute((3, 1, 2)), 4)
on_ranks("repeat", lambda L: L.RepeatVector(3), 2)
on_ranks("unit", lambda L: L.UnitNormalization())
on_ranks("unit 1", lambda L: L.UnitNormalization(axis=1))
on_ranks("unit list", lambda L: L.UnitNormalization(axis=[1, -1]), 3, 4)
on_ranks("group", lambda L: L.GroupNormalization(groups=7))
on_ranks("group of one", lambda L: L.GroupNormalization(groups=1, epsilon=0.1))
on_ranks("group 1", lambda L: L.GroupNormalization(groups=1, axis=1), 3, 4)
on_ranks("group -2", lambda L: L.GroupNormalization(groups=3, axis=-2), 4)
on_ranks("instance", lambda L: L.GroupNormalization(groups=-1, scale=False), 3, 4)
on_ranks("einsum", lambda L: L.EinsumDense("...x,xy->...y", 4, activation="tanh", bias_axes="y"))
on_ranks("einsum two", lambda L: L.EinsumDense("abc,bcd->ad", 4, bias_axes="d"), 3)
on_ranks("einsum to two", lambda L: L.EinsumDense("abc,cde->adbe", (2, 3, 3), "tanh", "be"), 3)
on_ranks("einsum behind", lambda L: L.EinsumDense("ab...,bc->ac...", 4, "softmax", bias_axes="c"), 3, 4)
on_ranks("spatial dropout", lambda L: L.SpatialDropout1D(0.0), 3)
on_ranks("activity", lambda L: L.ActivityRegularization(0.1, 0.2))
on_ranks("activity of a layer", lambda L: L.Dense(4, "tanh", activity_regularizer="L1L2"))
on_ranks("activity of a normalisation", lambda L: L.LayerNormalization(activity_regularizer="l2"))
S = numbers(6, 3, seed=9)
for kind in ("SimpleRNN", "LSTM", "GRU"):
    for title, fields in {
        "last": {"units": 5},
        "sequences": {"units": 5, "return_sequences": True},
        "backwards": {"units": 4, "return_sequences": True, "go_backwards": True},
        "last backwards": {"units": 1, "go_backwards": True, "use_bias": False},
        "relu": {"units": 17, "activation": "relu", "unroll": True},
        "regularized": {"units": 3, "recurrent_regularizer": "l2", "kernel_constraint": "non_neg"},
    }.items():
        CASES[f"{kind} {title}"] = chain(
            S, dense, lambda L, kind=kind, fields=fields: getattr(L, kind)(**fields), flatten
        )
for after in (True, False):
    CASES[f"GRU {after}"] = chain(
        S,
        lambda L, after=after: L.GRU(6, recurrent_activation="hard_sigmoid", reset_after=after, return_sequences=True),
        lambda L, after=after: L.GRU(3, reset_after=after),
    )
for mode in ("concat", "sum", "ave", "mul"):
    CASES[f"Bidirectional {mode}"] = chain(
        S,
        lambda L, mode=mode: L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=mode),
        lambda L, mode=mode: L.Bidirectional(L.GRU(3), mode),
    )
CASES |= {
    "LSTM of one step": chain(S[:, :1], lambda L: L.LSTM(4)),
    "LSTM twice": chain(S, lambda L: L.LSTM(4, return_sequences=True), lambda L: L.LSTM(3, unit_forget_bias=False)),
    "activity twice": chain(
        A, dense, lambda L: L.ActivityRegularization(0.1), lambda L: L.Flatten(activity_regularizer="l2")
    ),
    "pipeline": chain(A, lambda L: L.Pipeline([L.Rescaling(0.5), L.Rescaling(2.0, 1.0)])),
    "embedding rank 3": chain(whole(3, 2, most=10), lambda L: L.Embedding(10, 3), flatten),
    "embedding rank 4": chain(whole(3, 2, 2, most=10), lambda L: L.Embedding(10, 3), flatten),
    "rescaling front": chain(T, lambda L: L.Rescaling([[1.0], [2.0], [3.0]], 0.5), flatten),
    "concatenate rank 4": merge(lambda L, xs: L.Concatenate(axis=-3)(xs), V, numbers(1, 3, 4)),
    "concatenate rank 4 axis 2": merge(lambda L, xs: L.Concatenate(axis=2)(xs), V, numbers(2, 1, 4)),
    "add rank 4": merge(lambda L, xs: L.add(xs), V, V + 1),
    "maximum rank 4": merge(lambda L, xs: L.maximum(xs), V, V[::-1].copy()),
    "add broadcast": merge(lambda L, xs: L.add(xs), T, numbers(4, seed=7), numbers(3, 1, seed=8)),
    "subtract broadcast": merge(lambda L, xs: L.Subtract()(xs), numbers(4, seed=7), T),
    "multiply broadcast": merge(lambda L, xs: L.multiply(xs), V, numbers(3, 1, seed=8)),
    "average broadcast": merge(lambda L, xs: L.average(xs), T, numbers(1, seed=8)),
    "maximum broadcast": merge(lambda L, xs: L.maximum(xs), T, numbers(1, 4, seed=8)),
    "minimum broadcast": merge(lambda L, xs: L.minimum(xs), T, numbers(3, 1, seed=8)),
    "dot rank 4": merge(lambda L, xs: L.Dot((2, 1))(xs), V, numbers(3, 2)),
    "dot rank 4 cosine": merge(lambda L, xs: L.Dot((-1, 1), normalize=True)(xs), V, numbers(4)),
    "dot rank 4 and 4": merge(lambda L, xs: L.Dot((2, 3))(xs), V, numbers(2, 1, 3)),
    "time distributed rank 3": chain(T, lambda L: L.TimeDistributed(L.Dense(5, "relu")), flatten),
    "time distributed rank 4": chain(V, lambda L: L.TimeDistributed(L.Dense(5, "softmax")), dense, flatten),
    "time distributed layer": chain(V, dense, lambda L: L.TimeDistributed(L.LayerNormalization(axis=1)), flatten),
    "time distributed batch": chain(T, dense, lambda L: L.TimeDistributed(L.BatchNormalization()), flatten),
    "time distributed embedding": chain(whole(3, 2, most=10), lambda L: L.TimeDistributed(L.Embedding(10, 3)), flatten),
    "time distributed twice": chain(V, lambda L: L.TimeDistributed(L.TimeDistributed(L.Dense(5, "tanh"))), flatten),
    "time distributed flatten": chain(V, dense, lambda L: L.TimeDistributed(L.Flatten()), dense, flatten),
}


def both(case: tuple[Any, list[np.ndarray]]) -> tuple[Any, Any, list[np.ndarray]]:
    """The model of fastnn and that of Keras, of the same weights, and what they read."""
    build, xs = case
    models = []
    for lib in (fastnn, keras):
        inputs, outputs = build(lib)
        models.append(lib.models.Model(inputs, outputs))
    ours, theirs = models
    rng = np.random.default_rng(7)
    weights = [
        np.asarray(w if w.ndim == 0 else w + 0.1 * rng.random(w.shape), np.float32) for w in theirs.get_weights()
    ]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs, xs


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_steps(name: str) -> None:
    ours, theirs, xs = both(CASES[name])
    x = xs if len(xs) > 1 else xs[0]
    np.testing.assert_allclose(ours.predict(x), np.asarray(theirs.predict(x, verbose=0)), rtol=2e-5, atol=1e-5)
    y, losses = numbers(3, seed=9), []
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.05), "mse", **({"run_eagerly": True} if lib is keras else {}))
        for _ in range(3):
            model.train_on_batch(x, y)
        losses.append(model.evaluate(x, y, verbose=0))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4, atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=3e-5, atol=3e-6)
    np.testing.assert_allclose(ours.predict(x), np.asarray(theirs.predict(x, verbose=0)), rtol=1e-4, atol=2e-5)


def test_steps_of_spectral_normalization() -> None:
    """Steps alone: Keras on JAX predicts with the kernel as it is. Its vector_u comes before the bias, ours after."""
    build, xs = chain(T, lambda L: L.SpectralNormalization(L.Dense(4, "tanh"), 2), flatten)
    ours, theirs = (lib.models.Model(*build(lib)) for lib in (fastnn, keras))
    kernel, bias, u, *after = ours.get_weights()
    theirs.set_weights([kernel, u, bias, *after])
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.05), "mse", **({"run_eagerly": True} if lib is keras else {}))
        for _ in range(3):
            model.train_on_batch(xs[0], numbers(3, seed=9))
    kernel, bias, u, *after = ours.get_weights()
    for mine, other in zip((kernel, u, bias, *after), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize("loss", ["mse", "mae", "categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("distributed", [False, True])
def test_twenty_steps_on_sequences(loss: str, optimizer: str, distributed: bool) -> None:
    """Dense layers on (steps, features), targets for each step."""
    x, classes = numbers(5, 4), whole(5, most=3)
    y = classes if loss.startswith("sparse") else np.eye(3, dtype=np.float32)[classes.astype(int)]
    ends = []
    for lib in (fastnn, keras):

        def on_steps(layer: Any, lib: Any = lib) -> Any:
            return lib.layers.TimeDistributed(layer) if distributed else layer

        first = lib.layers.Input((5, 4))
        hidden = on_steps(lib.layers.Dense(6, "tanh"))(first)
        model = lib.models.Model(first, on_steps(lib.layers.Dense(3, "softmax"))(hidden))
        model.set_weights([np.random.default_rng(k).normal(size=w.shape) for k, w in enumerate(model.get_weights())])
        eager = {"run_eagerly": True} if lib is keras else {}
        model.compile(getattr(lib.optimizers, optimizer)(0.01), loss, **eager)
        for _ in range(20):
            model.train_on_batch(x, y)
        ends.append(model.get_weights())
    for mine, other in zip(*ends, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1, None, (1, 2), (2, 1)])
def test_adapted_moments(axis: Any) -> None:
    data = numbers(3, 4) * np.float32(3) + np.float32(2)
    layers = [lib.layers.Normalization(axis=axis) for lib in (fastnn, keras)]
    for layer in layers:
        layer.adapt(data)
    ours = fastnn.models.Sequential([layers[0], fastnn.layers.Flatten()])
    ours.build((None, *data.shape[1:]))
    for mine, other in zip(ours.get_weights(), layers[1].get_weights(), strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=1e-5)
    np.testing.assert_allclose(ours.predict(data), np.asarray(layers[1](data)).reshape(ROWS, -1), rtol=1e-5, atol=1e-6)


def test_moments_of_noise() -> None:
    """What the noises do to the mean and the deviation, on many numbers."""
    x = np.full((400, 500), 0.7, np.float32)
    for make in (
        lambda L: L.GaussianNoise(0.3),
        lambda L: L.GaussianDropout(0.2),
        lambda L: L.AlphaDropout(0.3),
        lambda L: L.Dropout(0.4),
    ):
        theirs = np.asarray(make(keras.layers)(x, training=True))
        ours = noisy(make(fastnn.layers), x)
        deviation = theirs.std()
        assert abs(ours.mean() - theirs.mean()) < 6 * deviation / np.sqrt(x.size)
        assert abs(ours.std() / deviation - 1) < 0.02


def noisy(layer: Any, x: np.ndarray) -> np.ndarray:
    """What training makes of x: the kernel at hand, with the layer's number."""
    from support.bindings import kernels

    if isinstance(layer, fastnn.layers.GaussianNoise):
        return kernels.gaussian_noise.forward(x, layer.stddev, 3)
    if isinstance(layer, fastnn.layers.GaussianDropout):
        return kernels.gaussian_dropout.forward(x, np.sqrt(layer.rate / (1 - layer.rate)), 3)
    if isinstance(layer, fastnn.layers.AlphaDropout):
        return kernels.alpha_dropout.forward(x, layer.rate, 3)
    return kernels.dropout(x, layer.rate, 3)


TABULAR = [
    "BatchNormalization",
    "CategoryEncoding",
    "Concatenate",
    "Dot",
    "Embedding",
    "GaussianDropout",
    "GaussianNoise",
    "Dropout",
    "LayerNormalization",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "Rescaling",
    "Reshape",
    "Softmax",
    "TimeDistributed",
]


def test_same_arguments_in_the_same_order() -> None:
    import inspect

    for name in TABULAR:
        mine = inspect.signature(getattr(fastnn.layers, name).__init__).parameters
        other = inspect.signature(getattr(keras.layers, name).__init__).parameters
        shared = [argument for argument in mine if argument in other and argument != "self"]
        placed = [argument for argument in shared if mine[argument].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        assert placed == [argument for argument in other if argument in placed], name
        assert placed == [argument for argument in mine if argument != "self"][: len(placed)], name
        for argument in shared:
            default = other[argument].default
            if default not in (inspect.Parameter.empty, None) and not isinstance(default, str):
                assert mine[argument].default == default, (name, argument)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_configurations_of_recurrent_layers_are_keras(kind: str) -> None:
    other = getattr(keras.layers, kind)(3, "relu", return_state=True, go_backwards=True, recurrent_regularizer="l2")
    for theirs in (other, keras.layers.Bidirectional(getattr(keras.layers, kind)(3, return_sequences=True), "sum")):
        config = theirs.get_config()
        made = getattr(fastnn.layers, type(theirs).__name__).from_config(config)
        own = made.get_config()
        assert {name for name in own if name not in config} <= {"seed"}
        plain = {name for name in own if not isinstance(own[name], dict) and name != "dtype"} & config.keys()
        assert {name: own[name] for name in plain} == {name: config[name] for name in plain}

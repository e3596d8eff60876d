"""Convolution, pooling and borders beside Keras 3: rows, weights after steps of training, of many random shapes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

import fastnn  # noqa: E402
import fastnn.layers as L  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # theirs
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras runs on another backend than JAX"),
]


def sizes(rng: np.random.Generator, rank: int, most: int) -> Any:
    """A number for all axes, or one for each."""
    if rng.random() < 0.5:
        return int(rng.integers(1, most + 1))
    return tuple(rng.integers(1, most + 1, rank).tolist())


def drawn(rng: np.random.Generator) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    """A layer's name, its arguments, and the shape of a row."""
    rank = int(rng.integers(1, 4))
    kinds = ["Conv", "Conv", "Conv", "MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"]
    kinds += ["Transposed", "Transposed", "ZeroPadding", "Cropping", "UpSampling"] + [
        "DepthwiseConv",
        "SeparableConv",
    ] * (rank < 3)
    kind = str(rng.choice(kinds))
    most = {1: 12, 2: 8, 3: 5}[rank]
    picture = tuple(rng.integers(1, most + 1, rank).tolist())
    channels = int(rng.choice([1, 2, 3, 4, 6, 17]))
    fields: dict[str, Any] = {}
    if kind not in ("Cropping", "UpSampling") or rank > 1:
        fields["data_format"] = str(rng.choice(["channels_last", "channels_first"]))
    if kind.startswith("Transposed"):
        fields |= {"kernel_size": sizes(rng, rank, 4), "padding": str(rng.choice(["valid", "same"]))}
        fields["dilation_rate" if rng.random() < 0.3 else "strides"] = sizes(rng, rank, 3)
        fields |= {"filters": int(rng.choice([1, 2, 5, 17])), "activation": str(rng.choice(["linear", "softmax"]))}
        if rng.random() < 0.4:
            fields["output_padding"] = int(rng.integers(0, 3))
    elif "Conv" in kind:
        fields |= {"kernel_size": sizes(rng, rank, 3), "padding": str(rng.choice(["valid", "same"]))}
        fields["dilation_rate" if rng.random() < 0.3 else "strides"] = sizes(rng, rank, 3)
        fields["activation"] = str(rng.choice(["linear", "tanh", "softmax"]))
        fields["use_bias"] = bool(rng.random() < 0.8)
        if kind != "DepthwiseConv":
            fields["filters"] = int(rng.choice([1, 2, 4, 5, 16, 18]))
        if kind == "Conv" and rank == 1 and rng.random() < 0.3:
            fields["padding"] = "causal"
        if kind == "Conv" and rng.random() < 0.3:
            fields["groups"] = 2
            channels, fields["filters"] = 2 * channels, 2 * fields["filters"]
        if kind != "Conv":
            fields["depth_multiplier"] = int(rng.integers(1, 4))
            fields["strides"] = int(rng.integers(1, 3)) if "strides" in fields else 1  # JAX's are equal
    elif "Global" in kind:
        fields["keepdims"] = bool(rng.random() < 0.5)
    elif "Pooling" in kind:
        fields |= {"pool_size": sizes(rng, rank, 3), "padding": str(rng.choice(["valid", "same"]))}
        if rng.random() < 0.6:
            fields["strides"] = sizes(rng, rank, 3)
    elif kind == "UpSampling":
        fields["size"] = int(rng.integers(1, 4)) if rank == 1 else sizes(rng, rank, 3)
    else:
        name = "padding" if kind == "ZeroPadding" else "cropping"
        pairs = tuple(tuple(pair) for pair in rng.integers(0, 3, (rank, 2)).tolist())
        fields[name] = pairs[0] if rank == 1 else pairs
    row = (channels, *picture) if fields.get("data_format") == "channels_first" else (*picture, channels)
    return f"Conv{rank}DTranspose" if kind == "Transposed" else f"{kind}{rank}D", fields, row


@pytest.mark.parametrize("seed", range(400))
def test_a_layer_of_random_shape(seed: int) -> None:
    rng = np.random.default_rng(seed)
    name, fields, row = drawn(rng)
    try:
        theirs = keras.Sequential([keras.Input(row), getattr(keras.layers, name)(**fields), keras.layers.Flatten()])
        assert 0 not in theirs.output_shape[1:]
    except (ValueError, AssertionError):
        with pytest.raises(ValueError, match=name):
            fastnn.Sequential([L.Input(row), getattr(L, name)(**fields)])
        return
    ours = fastnn.Sequential([L.Input(row), getattr(L, name)(**fields), L.Flatten()])
    assert ours.output_shape == theirs.output_shape
    x = rng.normal(size=(9, *row)).astype("f4")
    weights = [rng.normal(size=w.shape).astype("f4") * 0.5 for w in theirs.weights]
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("seed", range(40))
def test_weights_after_steps(seed: int) -> None:
    """Two layers of random shape, the second's slopes through the first: SGD's weights after 20 steps."""
    rng = np.random.default_rng(1000 + seed)
    name, fields, row = drawn(rng)
    while "Conv" in name or fields.get("data_format") == "channels_first":
        name, fields, row = drawn(rng)
    rank, channels = len(row) - 1, 3
    first = {"filters": row[-1], "kernel_size": 2, "padding": "same", "activation": "tanh"}
    picture = (*row[:-1], channels)

    def model(of: Any, own: Any) -> Any:
        parts = [of.Input(picture) if own else keras.Input(picture), getattr(of, f"Conv{rank}D")(**first)]
        parts += [getattr(of, name)(**fields), of.Flatten(), of.Dense(2)]
        return (fastnn if own else keras).Sequential(parts)

    try:
        theirs = model(keras.layers, False)
        assert 0 not in [n for layer in theirs.layers for n in layer.output.shape[1:]]
    except (ValueError, AssertionError):
        return
    ours = model(L, True)
    start = [rng.normal(size=w.shape).astype("f4") * 0.3 for w in theirs.weights]
    x, y = rng.normal(size=(33, *picture)).astype("f4"), rng.normal(size=(33, 2)).astype("f4")
    for each, of in ((ours, fastnn), (theirs, keras)):
        each.set_weights(start)
        each.compile(of.optimizers.SGD(0.002), "mse")
        each.fit(x, y, batch_size=11, epochs=7, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def plain(value: Any) -> Any:
    """With lists in place of tuples, as JSON has them."""
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", ["Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "SeparableConv1D", "MaxPooling2D"])
def test_configurations_go_there_and_back(name: str) -> None:
    fields = {"filters": 4, "kernel_size": 2} if "Conv" in name else {}
    if name.startswith("Depthwise"):
        del fields["filters"]
    theirs = getattr(keras.layers, name)(**fields)
    ours = getattr(L, name).from_config(theirs.get_config())
    found = ours.get_config()
    for key, value in theirs.get_config().items():
        if key not in ("dtype", "name") and not key.endswith(("initializer", "regularizer", "constraint")):
            assert plain(found[key]) == plain(value), key
    getattr(keras.layers, name).from_config(found)

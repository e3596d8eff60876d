"""Attention beside Keras's: outputs, weights and steps of many random layers, with masks; a transformer's 20 steps."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import fastnn.layers
import fastnn.models
import fastnn.ops
import fastnn.optimizers

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

pytestmark = [  # Keras's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ROWS = 7


def drawn(seed: int) -> tuple[Any, list[np.ndarray], bool]:
    """A random layer of several heads and its call in a library's words; what it reads; whether weights are given."""
    rng = np.random.default_rng(seed)
    queries, keys, width, value_width = (int(n) for n in rng.integers(1, 9, 4))
    own = bool(rng.random() < 0.3)  # self-attention
    grouped = bool(rng.random() < 0.4)
    if own or grouped:
        value_width = width
    if own:
        keys = queries
    xs = [rng.normal(size=(ROWS, queries, width)), rng.normal(size=(ROWS, keys, value_width))]
    third = bool(not own and rng.random() < 0.4)
    if third:
        xs.append(rng.normal(size=(ROWS, keys, int(rng.integers(1, 6)))))
    xs = [x.astype(np.float32) for x in xs]
    fields: dict[str, Any] = {"use_bias": bool(rng.random() < 0.8), "use_gate": bool(rng.random() < 0.2)}
    fields["dropout"] = float(rng.choice([0.0, 0.0, 0.3]))  # no more than another path: nothing is dropped here
    window = int(rng.integers(1, 6)) if rng.random() < 0.2 else None
    if grouped:
        groups = int(rng.integers(1, 4))
        sizes = (int(rng.integers(1, 7)), groups * int(rng.integers(1, 4)), groups)
    else:
        sizes = (int(rng.integers(1, 10)), int(rng.integers(1, 8)))
        if rng.random() < 0.4:
            fields["value_dim"] = int(rng.integers(1, 7))
        if rng.random() < 0.3:
            fields["output_shape"] = (int(rng.integers(1, 5)),) * int(rng.integers(1, 3))
    causal, scores = bool(rng.random() < 0.4), bool(queries == keys and rng.random() < 0.4)
    masks: dict[str, np.ndarray] = {}
    if rng.random() < 0.5:
        shape = [(queries, keys), (1, keys), (queries, 1)][rng.integers(3)]
        masks["attention_mask"] = rng.random((ROWS, *shape)) < 0.7
    if rng.random() < 0.3:
        masks["value_mask"] = rng.random((ROWS, keys)) < 0.7
    if rng.random() < 0.2:
        masks["key_mask"] = rng.random((ROWS, keys)) < 0.7
    # What sees nothing, Keras gives the mean of all values on its fused path, and here nothing: see below.
    blind = fields["dropout"] == 0 and not scores
    for mask in masks.values() if blind else ():
        mask[..., 0] = True
    if blind and window is not None and keys < queries:
        window = None
    if window is not None and masks and blind:
        window = None
    fields["sliding_window"] = window

    def build(lib: Any) -> Any:
        inputs = [lib.layers.Input(x.shape[1:]) for x in xs]
        given = {name: lib.layers.Input(mask.shape[1:], dtype="bool") for name, mask in masks.items()}
        kind = lib.layers.GroupQueryAttention if grouped else lib.layers.MultiHeadAttention
        tensors = [inputs[0], inputs[0] if own else inputs[1], *inputs[2:]]
        read = inputs[:1] if own else inputs
        out = kind(*sizes, **fields)(*tensors, use_causal_mask=causal, return_attention_scores=scores, **given)
        return [*read, *given.values()], list(out) if scores else out

    return build, [*(xs[:1] if own else xs), *(mask.astype(np.float32) for mask in masks.values())], scores


def both(build: Any, seed: int = 0) -> tuple[Any, Any]:
    ours, theirs = (lib.models.Model(*build(lib)) for lib in (fastnn, keras))
    rng = np.random.default_rng(seed)
    weights = [w + 0.3 * rng.normal(size=w.shape) for w in theirs.get_weights()]
    for model in (ours, theirs):
        model.set_weights(weights)
    return ours, theirs


@pytest.mark.parametrize("seed", range(30))
def test_heads(seed: int) -> None:
    build, xs, scores = drawn(seed)
    ours, theirs = both(build, seed)
    names = [w.path.split("/")[-2:] for w in theirs.weights]
    assert [w.path.split("/")[-2:] for w in ours.weights] == names
    try:
        expected = theirs.predict(xs, verbose=0)
    except TypeError as error:
        pytest.skip(f"Keras fails: {error}")  # of heads of one number, on JAX
    found = ours.predict(xs)
    for one, other in zip(found if scores else [found], expected if scores else [expected], strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=2e-5, atol=1e-5)
    if seed % 4 or any(layer.dropout for layer in ours.layers if hasattr(layer, "dropout")) or scores:
        return
    y = np.random.default_rng(9).normal(size=found.shape).astype(np.float32)
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.05), "mse", **({"run_eagerly": True} if lib is keras else {}))
        for _ in range(3):
            model.train_on_batch(xs if len(xs) > 1 else xs[0], y)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda L: L.Attention(),
        lambda L: L.Attention(use_scale=True),
        lambda L: L.Attention(score_mode="concat"),
        lambda L: L.Attention(use_scale=True, score_mode="concat"),
        lambda L: L.AdditiveAttention(),
        lambda L: L.AdditiveAttention(use_scale=False),
    ],
)
@pytest.mark.parametrize("third", [False, True])
@pytest.mark.parametrize("masked", ["", "value", "query value"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(make: Any, third: bool, masked: str, causal: bool) -> None:
    rng = np.random.default_rng(3)
    xs = [rng.normal(size=(ROWS, *row)).astype(np.float32) for row in ((5, 3), (4, 6 if third else 3), (4, 3))]
    masks = {"query": rng.random((ROWS, 5)) < 0.7, "value": rng.random((ROWS, 4)) < 0.6}
    masks["value"][:, 0] = True
    xs = [*xs[: 2 + third], *(masks[name].astype(np.float32) for name in masked.split())]

    def build(lib: Any) -> Any:
        inputs = [lib.layers.Input(x.shape[1:]) for x in xs[: 2 + third]]
        given = {name: lib.layers.Input(masks[name].shape[1:], dtype="bool") for name in masked.split()}
        mask = [given.get("query"), given.get("value")] if given else None
        out = make(lib.layers)(inputs, mask=mask, use_causal_mask=causal, return_attention_scores=True)
        return [*inputs, *given.values()], [*out]

    ours, theirs = both(build)
    assert [w.path.split("/")[-1] for w in ours.weights] == [w.path.split("/")[-1] for w in theirs.weights]
    for one, other in zip(ours.predict(xs), theirs.predict(xs, verbose=0), strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=2e-5, atol=1e-5)
    if "query" in masked:  # which weighs Keras's loss too
        return
    ys = [rng.normal(size=np.shape(each)).astype(np.float32) for each in ours.predict(xs)]
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.05), ["mse", "mse"], **({"run_eagerly": True} if lib is keras else {}))
        for _ in range(3):
            model.train_on_batch(xs, ys)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_transformers_twenty_steps(optimizer: str, causal: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, (24, 10)).astype(np.float32)
    y = rng.integers(0, 3, 24).astype(np.float32)

    def build(lib: Any) -> Any:
        L = lib.layers
        tokens, places = L.Input((10,)), L.Input((10,))
        h = L.Add()([L.Embedding(20, 12)(tokens), L.Embedding(10, 12)(places)])
        for _ in range(2):
            h = L.LayerNormalization()(L.Add()([h, L.MultiHeadAttention(3, 4)(h, h, use_causal_mask=causal)]))
            h = L.LayerNormalization()(L.Add()([h, L.Dense(12)(L.Dense(17, "relu")(h))]))
        return [tokens, places], L.Dense(3, "softmax")(L.Flatten()(h))

    ours, theirs = (lib.models.Model(*build(lib)) for lib in (fastnn, keras))
    weights = [rng.normal(size=w.shape) * 0.2 + w.path.endswith("gamma") for w in theirs.weights]
    for model in (ours, theirs):
        model.set_weights(weights)
    xs = [x, np.tile(np.arange(10, dtype=np.float32), (24, 1))]
    for model, lib in ((ours, fastnn), (theirs, keras)):
        rule = getattr(lib.optimizers, optimizer)(0.01, **({"epsilon": 1e-3} if optimizer == "Adam" else {}))
        model.compile(rule, "sparse_categorical_crossentropy", **({"run_eagerly": True} if lib is keras else {}))
        for _ in range(20):
            model.train_on_batch(xs, y)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


def test_configurations_of_keras_are_read() -> None:
    for make in (
        lambda L: L.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1, output_shape=5, sliding_window=2),
        lambda L: L.GroupQueryAttention(3, 4, 2, use_bias=False, seed=3),
        lambda L: L.Attention(use_scale=True, score_mode="concat"),
        lambda L: L.AdditiveAttention(dropout=0.2),
    ):
        theirs, ours = make(keras.layers), make(fastnn.layers)
        config = theirs.get_config()
        for name in ("dtype", "name"):
            config.pop(name)
        again = type(ours).from_config(config)
        expected = ours.get_config()
        found = again.get_config()
        for each in (expected, found):
            each.pop("name")
        assert found == expected

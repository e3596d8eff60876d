"""Masks beside Keras's: predictions, losses and metrics under them, steps of training, on masks of every kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, and that a mask ends

ROWS, STEPS, WORDS = 16, 7, 9
rng = np.random.default_rng(11)
IDS = rng.integers(0, 3, (ROWS, STEPS)) * rng.integers(1, 5, (ROWS, STEPS))  # gaps of every kind
IDS[0] = 0  # nothing there
IDS[1] = [1, 2, 3, 0, 0, 0, 0]  # padding behind
IDS[2] = [0, 0, 0, 0, 5, 1, 2]  # and before
IDS[3] = [0, 1, 0, 0, 2, 0, 0]
X = np.where((IDS > 0)[..., None], rng.normal(size=(ROWS, STEPS, 3)), 0).astype("f4")
Y = rng.normal(size=(ROWS, STEPS, 2)).astype("f4")
LINES = rng.uniform(0, 2, (ROWS, STEPS)).astype("f4")


def words(L: Any) -> Any:
    first = L.Input((STEPS,), dtype="int32")
    return first, L.Embedding(WORDS, 4, mask_zero=True)(first)


def numbers(L: Any) -> Any:
    first = L.Input((STEPS, 3))
    return first, L.Masking()(first)


def two(L: Any, t: Any, other: Any = None) -> list[Any]:
    return [L.Dense(4, "tanh")(t), L.Dense(4)(t if other is None else other)]


Body = Callable[[Any, Any], Any]
SEQUENCES: dict[str, Body] = {
    "dense": lambda L, t: L.Dense(3)(t),
    "dropout": lambda L, t: L.Dropout(0.0)(t),
    "layer normalization": lambda L, t: L.LayerNormalization()(t),
    "batch normalization": lambda L, t: L.BatchNormalization(momentum=0.7)(L.Dense(3)(t)),
    "activation": lambda L, t: L.LeakyReLU()(L.Activation("tanh")(t)),
    "time distributed": lambda L, t: L.TimeDistributed(L.Dense(3, "tanh"))(t),
    "add": lambda L, t: L.Add()(two(L, t)),
    "average": lambda L, t: L.Average()(two(L, t)),
    "concatenate": lambda L, t: L.Concatenate()(two(L, t)),
    "bidirectional sum": lambda L, t: L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum")(t),
    "bidirectional": lambda L, t: L.Bidirectional(L.LSTM(3, return_sequences=True))(t),
    "flatten and back": lambda L, t: L.Reshape((STEPS, -1))(L.Dense(2 * STEPS)(L.Flatten()(t))),
    "convolution": lambda L, t: L.Conv1D(3, 3, padding="same")(t),
    "permuted": lambda L, t: L.Permute((2, 1))(L.Permute((2, 1))(t)),
}
for _kind in ("SimpleRNN", "LSTM", "GRU"):
    for _name, _fields in {
        "": {},
        " backwards": {"go_backwards": True},
        " of zeros": {"zero_output_for_mask": True},
        " of zeros, backwards": {"zero_output_for_mask": True, "go_backwards": True},
        " relu": {"activation": "relu"},
    }.items():
        SEQUENCES[_kind + _name] = lambda L, t, kind=_kind, fields=_fields: getattr(L, kind)(
            3, return_sequences=True, **fields
        )(t)
SEQUENCES["GRU, reset before"] = lambda L, t: L.GRU(3, return_sequences=True, reset_after=False)(t)
SEQUENCES["two of them"] = lambda L, t: L.GRU(2, return_sequences=True)(L.LSTM(3, return_sequences=True)(t))
SEQUENCES["attention of heads"] = lambda L, t: L.MultiHeadAttention(2, 3)(t, t)
SEQUENCES["attention of heads, causal"] = lambda L, t: L.MultiHeadAttention(2, 3)(t, t, use_causal_mask=True)
SEQUENCES["attention of other keys"] = lambda L, t: L.MultiHeadAttention(2, 3)(L.Dense(3)(t), t)
SEQUENCES["group query"] = lambda L, t: L.GroupQueryAttention(3, 4, 2)(t, t)
SEQUENCES["attention"] = lambda L, t: L.Attention()([t, L.Dense(t.shape[-1])(t)])
SEQUENCES["attention with a scale"] = lambda L, t: L.Attention(use_scale=True)([t, t])
SEQUENCES["additive attention"] = lambda L, t: L.AdditiveAttention()([t, t])
SEQUENCES["a block"] = lambda L, t: L.LayerNormalization()(L.Add()([t, L.MultiHeadAttention(2, 3, dropout=1e-9)(t, t)]))
ENDS: dict[str, Body] = {
    "mean": lambda L, t: L.GlobalAveragePooling1D()(t),
    "mean, channels first": lambda L, t: L.GlobalAveragePooling1D()(L.Dense(5)(t)),
    "largest": lambda L, t: L.GlobalMaxPooling1D()(t),
    "last": lambda L, t: L.LSTM(4)(t),
    "last of zeros": lambda L, t: L.GRU(4)(L.SimpleRNN(3, return_sequences=True)(t)),
    "backwards": lambda L, t: L.LSTM(4, go_backwards=True)(t),
    "of both": lambda L, t: L.Bidirectional(L.LSTM(4))(t),
    "of two branches": lambda L, t: L.LSTM(3)(L.Concatenate(axis=1)([t, L.Dense(t.shape[-1])(t)])),
    "of a branch without": lambda L, t: L.LSTM(3)(L.Concatenate(axis=1)([t, L.Permute((2, 1))(L.Permute((2, 1))(t))])),
}


def both(make: Callable[[Any], Any], body: Body, tail: int) -> list[Any]:
    """The model by fastnn and by Keras, from the same weights."""
    found = []
    for lib in (fastnn, keras):
        first, t = make(lib.layers)
        t = body(lib.layers, t)
        found.append(lib.models.Model(first, lib.layers.Dense(tail)(t)))
    draw = np.random.default_rng(2)
    weights = [draw.normal(size=w.shape) * 0.6 for w in found[0].get_weights()]
    for model in found:
        model.set_weights(weights)
    return found


def eager(lib: Any) -> dict[str, bool]:
    """Small models take Keras longer to compile than to run."""
    return {"run_eagerly": True} if lib is keras else {}


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-5, atol=3e-6)


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name: str) -> None:
    make = (words, numbers)[list(SEQUENCES).index(name) % 2]
    x = IDS if make is words else X
    ours, theirs = both(make, SEQUENCES[name], 2)
    if "attention" in name or "query" in name or name == "a block":
        valid = (IDS > 0).any(-1)  # Keras's weights of what sees nothing are all alike
        mine, other = (m.predict(x, verbose=0)[valid] for m in (ours, theirs))
        close(mine[IDS[valid] > 0], other[IDS[valid] > 0])
        if name not in ("attention of heads", "group query", "attention of other keys"):
            return  # theirs forgets the mask of a query that is read again
        x, y = x[valid], Y[valid]
    else:
        close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
        y = Y
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.1), "mse", metrics=["mae"], weighted_metrics=["mse"], **eager(lib))
    for weight in (None, LINES[: len(x)]):  # Keras does not broadcast weights of rows under a mask
        mine, other = (
            m.evaluate(x, y, batch_size=5, sample_weight=weight, verbose=0, return_dict=True) for m in (ours, theirs)
        )
        assert mine.keys() == other.keys()
        close([mine[key] for key in other], list(other.values()))
    for model in (ours, theirs):
        model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(one, other)


@pytest.mark.parametrize("name", ENDS)
def test_ends(name: str) -> None:
    make = (words, numbers)[list(ENDS).index(name) % 2]
    x = (IDS if make is words else X)[1:]  # Keras's mean of no steps is NaN
    ours, theirs = both(make, ENDS[name], 2)
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.1), "mse", **eager(lib))
        model.fit(x, Y[1:, 0], batch_size=5, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(one, other)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["MeanSquaredError", "Huber", "CosineSimilarity"])
def test_losses(loss: str, weighted: bool, reduction: str) -> None:
    ours, theirs = both(words, SEQUENCES["dense"], 2)
    weight = LINES if weighted else None
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(lib.optimizers.SGD(0.01), getattr(lib.losses, loss)(reduction=reduction), **eager(lib))
    mine, other = (m.evaluate(IDS, Y, batch_size=5, sample_weight=weight, verbose=0) for m in (ours, theirs))
    close(mine, other)
    for model in (ours, theirs):
        model.fit(IDS, Y, batch_size=5, epochs=2, shuffle=False, verbose=0, sample_weight=weight)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(one, other)


def test_classes() -> None:
    labels = rng.integers(0, 3, (ROWS, STEPS))
    ours, theirs = both(words, lambda L, t: L.LSTM(4, return_sequences=True)(t), 3)
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.compile(
            lib.optimizers.Adam(0.01),
            lib.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            **eager(lib),
        )
    for _ in range(2):
        mine, other = (m.evaluate(IDS, labels, verbose=0) for m in (ours, theirs))
        close(mine, other)
        for model in (ours, theirs):
            model.fit(IDS, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)


def test_a_model_within_a_model() -> None:
    def body(L: Any, t: Any) -> Any:
        lib = fastnn if L is fastnn.layers else keras
        inner = lib.models.Sequential([L.Input(t.shape[1:]), L.LSTM(3, return_sequences=True), L.Dense(2, "tanh")])
        return L.GRU(3)(inner(t))

    ours, theirs = both(words, body, 2)
    close(ours.predict(IDS, verbose=0), theirs.predict(IDS, verbose=0))


def test_a_mask_that_is_given() -> None:
    mask = IDS > 0
    for kind in ("SimpleRNN", "LSTM", "GRU"):
        mine, other = (getattr(lib.layers, kind)(3, return_sequences=True) for lib in (fastnn, keras))
        x = np.random.default_rng(1).normal(size=(ROWS, STEPS, 3)).astype("f4")
        mine.build((None, STEPS, 3)), other.build((None, STEPS, 3))
        other.set_weights(mine.get_weights())
        close(mine(x, mask=mask), other(x, mask=mask))


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_cells(kind: str) -> None:
    x = np.random.default_rng(1).normal(size=(ROWS, STEPS, 3)).astype("f4")
    states = [np.random.default_rng(2).normal(size=(ROWS, 4)).astype("f4")] * (1 + (kind == "LSTM"))
    mine, other = (getattr(lib.layers, f"{kind}Cell")(4) for lib in (fastnn, keras))
    other.build((None, 3))
    first = mine(x[:, 0], states)
    mine.set_weights(other.get_weights())
    first, (out, after) = mine(x[:, 0], states), other(x[:, 0], states)
    close(first[0], out)
    for one, two in zip(first[1], after, strict=True):
        close(one, two)
    assert (mine.state_size, mine.output_size) == (other.state_size, other.output_size)
    theirs = keras.layers.RNN([other, keras.layers.GRUCell(2)], return_sequences=True)
    expected = theirs(x)
    ours = fastnn.layers.RNN.from_config(theirs.get_config())
    ours.build((None, STEPS, 3))
    ours.set_weights(theirs.get_weights())
    close(ours(x), expected)
    close(ours(x, mask=IDS > 0)[1:], np.asarray(theirs(x, mask=IDS > 0))[1:])


def test_states_that_go_on() -> None:
    """Calls alone: Keras on JAX loses the states elsewhere."""
    x = np.random.default_rng(1).normal(size=(ROWS, STEPS, 3)).astype("f4")
    for kind in ("SimpleRNN", "LSTM", "GRU"):
        mine, other = (getattr(lib.layers, kind)(4, stateful=True) for lib in (fastnn, keras))
        other(x)
        mine(x)
        mine.set_weights(other.get_weights())
        for layer in (mine, other):
            layer.reset_state()
        for part in (x, x[:, ::-1].copy(), -x):
            close(mine(part), other(part))
        for one, two in zip(mine.states, other.states, strict=True):
            close(one, two)


@pytest.mark.parametrize("name", [name for name in dir(fastnn.layers) if name[0].isupper()])
def test_who_supports_masking(name: str) -> None:
    theirs = getattr(keras.layers, name, None)
    if not isinstance(theirs, type) or name in ("InputLayer", "Input", "Wrapper"):
        pytest.skip("no layer of Keras's")
    for given in ((), (2,), (2, 2), ("relu",)):
        try:
            other, mine = theirs(*given), getattr(fastnn.layers, name)(*given)
        except Exception:
            continue
        assert mine.supports_masking == other.supports_masking
        return
    pytest.skip("it needs other arguments")

"""fastnn.ops on arrays beside NumPy, on symbolic tensors beside the same on arrays, and what both refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import ops, random
from fastnn.layers import Dense, Input
from fastnn.models import Model, load_model

X = np.random.default_rng(0).normal(size=(20, 3, 4)).astype(np.float32)

# Functions that are called alike on arrays and on tensors.
BOTH: dict[str, Callable[[Any], Any]] = {
    "sum": lambda t: ops.sum(t, axis=1),
    "mean": lambda t: ops.mean(t, axis=(1, 2), keepdims=True),
    "max": lambda t: ops.max(t, axis=-1),
    "min": lambda t: ops.min(t, axis=-2),
    "var": lambda t: ops.var(t, axis=-1),
    "std": lambda t: ops.std(t, axis=1),
    "logsumexp": lambda t: ops.logsumexp(t, axis=-1),
    "norm": lambda t: ops.norm(t, axis=-1),
    "normalize": ops.normalize,
    "moments": lambda t: ops.moments(t, axes=-1)[1],
    "transpose": lambda t: ops.transpose(t, (0, 2, 1)),
    "swapaxes": lambda t: ops.swapaxes(t, 1, 2),
    "moveaxis": lambda t: ops.moveaxis(t, 1, 2),
    "concatenate": lambda t: ops.concatenate([t, t * 2], axis=1),
    "stack": lambda t: ops.stack([t, t * 2], axis=1),
    "unstack": lambda t: ops.unstack(t, axis=1)[2],
    "split": lambda t: ops.split(t, 2, axis=-1)[1],
    "expand_dims": lambda t: ops.expand_dims(t, 1),
    "squeeze": lambda t: ops.squeeze(ops.expand_dims(t, -1), -1),
    "reshape": lambda t: ops.reshape(t, (-1, 2, 6)),
    "take": lambda t: ops.take(t, [2, 0], axis=1),
    "flip": lambda t: ops.flip(t, axis=1),
    "repeat": lambda t: ops.repeat(t, 3, axis=1),
    "tile": lambda t: ops.tile(t, (1, 2, 1)),
    "slice": lambda t: ops.slice(t, (0, 1, 0), (20 if isinstance(t, np.ndarray) else None, 2, 4)),
    "clip": lambda t: ops.clip(t, -1, 1),
    "matmul": lambda t: ops.matmul(t, ops.transpose(t, (0, 2, 1))),
    "matmul with constants": lambda t: ops.matmul(t, np.ones((4, 2), np.float32)),
    "power": lambda t: ops.power(ops.abs(t) + 1, 1.5),
    "divide": lambda t: ops.divide(t, ops.abs(t) + 1),
    "maximum": lambda t: ops.maximum(t, -t),
    "minimum": lambda t: ops.minimum(0.5, t),
    "negative": ops.negative,
    "log": lambda t: ops.log(ops.abs(t) + 1),
    "log2": lambda t: ops.log2(ops.abs(t) + 1),
    "log10": lambda t: ops.log10(ops.abs(t) + 1),
    "log1p": lambda t: ops.log1p(ops.abs(t)),
    "expm1": ops.expm1,
    "rsqrt": lambda t: ops.rsqrt(ops.abs(t) + 1),
    "erf": ops.erf,
    "sign": ops.sign,
    "floor": ops.floor,
    "ceil": ops.ceil,
    "round": lambda t: ops.round(t, 1),
    "softmax": ops.softmax,
    "relu": ops.relu,
    "gelu": ops.gelu,
    "sigmoid": ops.sigmoid,
    "binary_crossentropy": lambda t: ops.binary_crossentropy(ops.sigmoid(2 * t), ops.sigmoid(t)),
    "categorical_crossentropy": lambda t: ops.categorical_crossentropy(ops.softmax(2 * t), ops.softmax(t)),
    "crossentropy of logits": lambda t: ops.categorical_crossentropy(ops.softmax(2 * t), t, from_logits=True),
    "like": lambda t: ops.zeros_like(t) + 2 * ops.ones_like(t) + ops.full_like(t, 3.0),
    "stop_gradient": ops.stop_gradient,
    "cast": lambda t: ops.cast(t, "float32"),
    "one number of each row": lambda t: ops.sum(t, axis=(1, 2)) * 2 + 1,
}


@pytest.mark.parametrize("name", BOTH)
def test_tensors_are_as_arrays(name: str, tmp_path: Any) -> None:
    function = BOTH[name]
    x = Input((3, 4))
    model = Model(x, function(x))
    expected = function(X)
    assert model.predict(X).shape == expected.shape
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X), model.predict(X))


def test_gradients_stop() -> None:
    x = Input((4,))
    hidden = Dense(3)
    model = Model(x, Dense(2)(ops.stop_gradient(hidden(x))))
    model.compile("sgd", "mse")
    before = hidden.get_weights()
    model.fit(X[:, 0], X[:, 0, :2], verbose=0)
    np.testing.assert_array_equal(hidden.get_weights()[0], before[0])


def test_rows_stay_rows() -> None:
    x = Input((3, 4))
    assert repr(ops.shape(x)) == "(None, 3, 4)"
    assert ops.shape(x)[1] == 3
    assert ops.reshape(x, (ops.shape(x)[0], 12)).shape == (None, 12)
    assert ops.shape(X) == (20, 3, 4)
    for call, words in (
        (lambda: ops.reshape(x, (6, 2)), "the first size is that of the rows"),
        (lambda: ops.reshape(x, (-1, 5)), "has 12 numbers in a row"),
        (lambda: ops.transpose(x), "that of the rows, 0, first"),
        (lambda: ops.concatenate([x, x], axis=0), "axis 0 of .* is that of the rows"),
        (lambda: ops.max(x, axis=0), "each row is computed by itself"),
        (lambda: ops.expand_dims(x, 0), "axis 0 of .* is that of the rows"),
        (lambda: ops.tile(x, (2, 1, 1)), "repeats no rows"),
        (lambda: x[0], "any number of rows, so all are taken"),
        (lambda: x[:, 5], "an axis of 3 has no number 5"),
        (lambda: x[:, 2:2], "nothing is left of an axis of 3"),
        (lambda: x + np.ones((20, 3, 4)), "does not go with"),
        (lambda: ops.matmul(x, x), "do not go together"),
    ):
        with pytest.raises((ValueError, IndexError), match=words):
            call()


def test_what_tensors_cannot_be_asked() -> None:
    x = Input((3,))
    for call, words in (
        (lambda: ops.where(x, 1, 2), "ops.where takes arrays, and no symbolic tensors"),
        (lambda: ops.argmax(x), "take it of what predict gives"),
        (lambda: ops.cast(x, "int32"), "a symbolic tensor is float32"),
        (lambda: x == 0, "cannot be compared"),
        (lambda: x < x, "cannot be compared"),
        (lambda: float(x), "cannot be made a number"),
        (lambda: len(x), "cannot be counted"),
        (lambda: x + "a", "expected a tensor or numbers"),
        (lambda: x[[0, 1]], "any number of rows|indexed by a list"),
        (lambda: ops.sum("a"), "must be a tensor or an array of numbers"),
        (lambda: random.normal((None, 3)), "shape must be whole numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            call()


def test_random_numbers() -> None:
    assert random.normal((2000,), 3, 2, seed=1).std() == pytest.approx(2, rel=0.1)
    np.testing.assert_array_equal(random.uniform((5,), seed=1), random.uniform((5,), seed=1))
    seeds = random.SeedGenerator(1)
    assert (random.normal((5,), seed=seeds) != random.normal((5,), seed=seeds)).any()
    assert set(random.randint((100,), 2, 4, seed=0)) == {2, 3}
    assert np.abs(random.truncated_normal((1000,), seed=0)).max() <= 2
    assert sorted(random.shuffle(np.arange(9), seed=0)) == list(range(9))
    for wrong in (
        lambda: random.normal((2,), stddev=-1),
        lambda: random.randint((2,), 3, 3),
        lambda: random.uniform((-1,)),
    ):
        with pytest.raises(ValueError, match="must be"):
            wrong()

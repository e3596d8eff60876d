"""Layers for text and categories beside Keras's own, which needs TensorFlow for them: the same numbers."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.models.feature_space import FeatureSpace

os.environ.setdefault("KERAS_BACKEND", "jax")
pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow's own

ALPHABET = "abAB,.!-_' éÉ漢😀\t\n"


def texts(rows: int, columns: int, length: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = ["".join(rng.choice(list(ALPHABET), rng.integers(0, length))) for _ in range(rows * columns)]
    return np.array(made, object).reshape(rows, columns)


def same(name: str, data: Any, adapt: Any = None, **fields: Any) -> None:
    mine, theirs = getattr(L, name)(**fields), getattr(keras.layers, name)(**fields)
    if adapt is not None:
        mine.adapt(adapt)
        theirs.adapt(adapt)
        if hasattr(mine, "get_vocabulary"):
            assert mine.get_vocabulary() == theirs.get_vocabulary()
    np.testing.assert_allclose(mine(data), np.asarray(theirs(data)), rtol=1e-6)


WORDS = texts(200, 3, 4, 0)
NUMBERS = np.random.default_rng(1).integers(-20, 20, (200, 3)) * 10**15


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count", "tf_idf"])
@pytest.mark.parametrize("more", [{}, {"num_oov_indices": 3}, {"max_tokens": 12}, {"max_tokens": 99, "pad": True}])
def test_lookups(mode: str, more: dict[str, Any]) -> None:
    fields = {("pad_to_max_tokens" if key == "pad" else key): value for key, value in more.items()}
    if mode == "int":
        fields.pop("pad_to_max_tokens", None)
    for masked in (False, True):
        own = fields | ({"mask_token": "a"} if masked else {})
        same("StringLookup", WORDS, adapt=WORDS[:120], output_mode=mode, **own)
        own = fields | ({"mask_token": 0} if masked else {})
        same("IntegerLookup", NUMBERS, adapt=NUMBERS[:40], output_mode=mode, **own)


@pytest.mark.parametrize("salt", [None, 7, [2**40, 3]])
@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_hashing(salt: Any, mode: str) -> None:
    same("Hashing", texts(300, 2, 200, 3), num_bins=50, salt=salt, output_mode=mode)
    same("Hashing", NUMBERS, num_bins=11, salt=salt, output_mode=mode, mask_value=0)


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_crossing(mode: str) -> None:
    data = [WORDS[:, :1], NUMBERS[:, :1], WORDS[:, 1:2]]
    mine, theirs = L.HashedCrossing(97, output_mode=mode), keras.layers.HashedCrossing(97, output_mode=mode)
    np.testing.assert_array_equal(mine(data), np.asarray(theirs([data[0].astype("U"), data[1], data[2].astype("U")])))


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(3,), (3, 4)])
def test_discretization(mode: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(50, *shape)).astype(np.float32)
    same("Discretization", x, bin_boundaries=[-1.0, 0.0, 0.3], output_mode=mode)
    same("Discretization", x, adapt=x, num_bins=5, output_mode=mode)


@pytest.mark.parametrize("standardize", ["lower_and_strip_punctuation", "lower", "strip_punctuation", None])
@pytest.mark.parametrize("split", ["whitespace", "character", None])
@pytest.mark.parametrize("ngrams", [None, 2, (1, 3)])
def test_text_vectorization(standardize: str | None, split: str | None, ngrams: Any) -> None:
    if split is None and ngrams is not None:
        return  # TensorFlow puts no n-grams together of rows of one text
    data, fields = texts(80, 1, 30, 5), {"standardize": standardize, "split": split, "ngrams": ngrams}
    same("TextVectorization", data, adapt=data[:50], output_sequence_length=8, **fields)
    for mode in ("multi_hot", "count", "tf_idf"):
        same("TextVectorization", data, adapt=data[:50], output_mode=mode, **fields)


def test_feature_space() -> None:
    rng = np.random.default_rng(0)
    data = {
        "f1": rng.normal(size=300),
        "f2": rng.normal(size=300) * 3 + 1,
        "f3": rng.normal(size=300),
        "i1": rng.integers(0, 9, 300),
        "i2": rng.integers(0, 10**6, 300),
        "s1": np.array(list("abcdefgh"))[rng.integers(0, 8, 300)],
        "s2": np.array([f"x{k}" for k in rng.integers(0, 99, 300)]),
    }
    kinds = ["float", "float_normalized", "float_discretized", "integer_categorical", "integer_hashed"]
    features = dict(zip(data, [*kinds, "string_categorical", "string_hashed"], strict=True))
    crosses = [("f3", "s1"), ("s2", "i2")]
    mine, theirs = FeatureSpace(features, crosses=crosses), keras.utils.FeatureSpace(features, crosses=crosses)
    mine.adapt({name: column[i : i + 32] for name, column in data.items()} for i in range(0, 300, 32))
    theirs.adapt({name: list(column) for name, column in data.items()})
    expected = np.asarray(theirs({name: list(column) for name, column in data.items()}))
    np.testing.assert_allclose(mine(data), expected, rtol=1e-5, atol=1e-6)

"""Occlusion beside the definition: fill a window, predict, subtract, one window after the other."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from fastnn.explain import occlusion
from fastnn.layers import LSTM, Concatenate, Conv2D, Dense, Embedding, Flatten, Input, StringLookup
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(5)


def drawn(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def by_hand(model: Model, x: Any, window: int, stride: int, fill: float, axes: int) -> Any:
    """The mean over the windows that cover a number, for a model of one unit."""
    total, count, whole = np.zeros(x.shape), np.zeros(x.shape), model.predict(x)[:, 0].astype(np.float64)
    starts = [sorted({*range(0, side - window + 1, stride), side - window}) for side in x.shape[1 : axes + 1]]
    for places in product(*starts):
        at = (slice(None), *(slice(place, place + window) for place in places))
        filled = x.copy()
        filled[at] = fill
        lost = whole - model.predict(filled)[:, 0]
        total[at] += lost.reshape(-1, *(1,) * (x.ndim - 1))
        count[at] += 1
    return total / count


def table() -> Model:
    return Sequential([Input((7,)), Dense(5, "relu"), Dense(1)])


def sequence() -> Model:
    return Sequential([Input((6, 3)), LSTM(4), Dense(1)])


def picture() -> Model:
    return Sequential([Input((9, 8, 2)), Conv2D(3, 3, activation="relu"), Flatten(), Dense(1)])


@pytest.mark.parametrize(
    ("make", "given", "window", "stride", "axes"),
    [
        (table, {}, 1, 1, 1),
        (table, {"window": 3}, 3, 1, 1),
        (table, {"window": 3, "stride": 3}, 3, 3, 1),
        (sequence, {}, 1, 1, 1),
        (sequence, {"window": 4, "fill": -1.0}, 4, 2, 1),
        (picture, {}, 1, 1, 2),
        (picture, {"window": 4}, 4, 2, 2),
        (picture, {"window": 5, "stride": 4, "fill": 0.5}, 5, 4, 2),
    ],
)
def test_it_is_what_one_window_after_the_other_loses(
    make: Any, given: Any, window: int, stride: int, axes: int
) -> None:
    model = make()
    x = drawn(5, *model.inputs[0].row)
    explained = occlusion(model, x, **given)
    fill = given.get("fill", 0.0)
    np.testing.assert_allclose(explained.values, by_hand(model, x, window, stride, fill, axes), atol=1e-5)
    np.testing.assert_allclose(explained.base_values, model.predict(np.full_like(x, fill))[:, 0], atol=1e-6)
    assert explained.method == "occlusion"
    assert explained.values.any()


def test_batches_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module("fastnn.explain.occlusion")
    model, x = picture(), drawn(7, 9, 8, 2)
    whole = occlusion(model, x, window=3)
    for numbers in (1, 5 * 144, 40 * 144):
        monkeypatch.setattr(module, "NUMBERS", numbers)
        np.testing.assert_allclose(occlusion(model, x, window=3).values, whole.values, atol=1e-6)


def test_several_inputs_and_outputs() -> None:
    a, b = Input((3,), name="a"), Input((4, 2), name="b")
    both = Concatenate()([a, Flatten()(b)])
    model = Model([a, b], {"one": Dense(1, name="one")(both), "two": Dense(2, name="two")(both)})
    rows = [drawn(6, 3), drawn(6, 4, 2)]
    explained = occlusion(model, rows, output="two")
    assert [each.shape for each in explained.values] == [(6, 3, 2), (6, 4, 2, 2)]
    w = model.get_weights()[2].astype(np.float64)
    np.testing.assert_allclose(explained.values[0], rows[0][..., None] * w[:3], atol=1e-5)
    steps = (rows[1][..., None] * w[3:].reshape(4, 2, 2)).sum(axis=2)
    np.testing.assert_allclose(explained.values[1], np.stack([steps, steps], axis=2), atol=1e-5)
    one = occlusion(model, rows, output=("two", 1))
    np.testing.assert_allclose(one.values[0], explained.values[0][..., 1], atol=1e-6)


def test_an_id_is_replaced_by_another() -> None:
    model = Sequential([Input((4,)), Embedding(5, 3, embeddings_initializer="normal"), Flatten(), Dense(1)])
    ids = RNG.integers(5, size=(6, 4))
    explained = occlusion(model, ids, fill=2)
    for step in range(4):
        other = ids.copy()
        other[:, step] = 2
        np.testing.assert_allclose(
            explained.values[:, step], (model.predict(ids) - model.predict(other))[:, 0], atol=1e-6
        )


def test_errors_say_what_is_wrong() -> None:
    model, x = table(), drawn(3, 7)
    for given, text in (
        ({"window": 8}, r"window must be at most 7, for rows of shape \(7,\), got 8"),
        ({"window": 0}, "window must be at least 1"),
        ({"stride": 2}, "stride must be at most 1"),
        ({"fill": np.nan}, "nor by NaN"),
        ({"output": 1}, "no unit 1"),
    ):
        with pytest.raises(ValueError, match=text):
            occlusion(model, x, **given)
    with pytest.raises(ValueError, match="x must be finite"):
        occlusion(model, np.full_like(x, np.nan))
    word = Input((1,), dtype="string")
    texts = Model(word, Dense(1)(StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(word)))
    with pytest.raises(ValueError, match="texts cannot be filled"):
        occlusion(texts, np.array([["a"], ["b"]]))

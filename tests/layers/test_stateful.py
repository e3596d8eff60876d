"""Stateful layers: rows go on where those of the batch before ended, in fits, evaluations and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, SimpleRNN, TimeDistributed
from fastnn.models import Model, Sequential, load_model

KINDS = pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
ROWS, STEPS = 4, 6
X = np.random.default_rng(0).normal(size=(ROWS, 5 * STEPS, 2)).astype(np.float32)  # one long series a row
PARTS = np.concatenate(np.split(X, 5, axis=1))  # batch after batch


def model_of(kind: Any, stateful: bool = True, steps: int = STEPS, **fields: Any) -> Sequential:
    fastnn.utils.set_random_seed(5)
    model = Sequential(
        [Input(batch_shape=(ROWS, steps, 2)), kind(3, return_sequences=True, stateful=stateful, **fields), Dense(1)]
    )
    model.compile("sgd", "mse")
    return model


@KINDS
def test_batches_are_one_long_series(kind: Any) -> None:
    model, whole = model_of(kind), model_of(kind, False, 5 * STEPS)
    whole.set_weights(model.get_weights())
    right = whole.predict(X)
    np.testing.assert_array_equal(np.concatenate(np.split(model.predict(PARTS), 5), axis=1), right)
    model.layers[0].reset_state()
    one_by_one = [model.predict_on_batch(part) for part in np.split(PARTS, 5)]
    np.testing.assert_array_equal(np.concatenate(one_by_one, axis=1), right)
    model.layers[0].reset_states()
    for part, expected in zip(np.split(PARTS, 5), np.split(right, 5, axis=1), strict=True):
        np.testing.assert_allclose(model.evaluate(part, 0 * expected, verbose=0), (expected**2).mean(), rtol=1e-5)


def test_calls_go_on() -> None:
    layer = SimpleRNN(1, stateful=True)
    x = np.ones((1, 1, 1), np.float32)
    first = layer(x)
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    layer.reset_state()
    given = [float(layer(x)[0, 0]) for _ in range(2)]
    np.testing.assert_allclose(given, [np.tanh(1), np.tanh(1 + np.tanh(1))], rtol=1e-6)
    assert first.shape == (1, 1)
    np.testing.assert_allclose(layer.states, [[[given[1]]]])


@KINDS
@pytest.mark.parametrize("fields", [{}, {"dropout": 0.2, "recurrent_dropout": 0.2}, {"go_backwards": True}])
def test_steps_are_those_of_states_that_are_given(kind: Any, fields: dict[str, Any]) -> None:
    """Back-propagation ends at the batch: a step is that of a layer which is given the states that came before."""
    if "dropout" in fields:
        pytest.skip("the draws are of another op")
    model = model_of(kind, **fields)
    count = len(model.layers[0].states)
    x, *states = tensors = [Input((STEPS, 2)), *(Input((3,)) for _ in range(count))]
    layer = kind(3, return_sequences=True, return_state=True, **fields)
    given, *ends = layer(x, initial_state=states)
    other = Model(tensors, Dense(1)(given))
    ends_of = Model(tensors, ends)
    other.set_weights(model.get_weights())
    other.compile("sgd", "mse")
    y = np.random.default_rng(1).normal(size=(ROWS, STEPS, 1)).astype(np.float32)
    now = [np.zeros((ROWS, 3), np.float32)] * count
    for part in np.split(PARTS, 5):
        after = ends_of.predict([part, *now])
        one, two = model.train_on_batch(part, y), other.train_on_batch([part, *now], y)
        np.testing.assert_allclose(one, two, rtol=1e-6)
        now = after if isinstance(after, list) else [after]
        for state, expected in zip(model.layers[0].states, now, strict=True):
            np.testing.assert_array_equal(state, expected)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


@KINDS
def test_same_bits_for_any_number_of_threads(kind: Any) -> None:
    before, ends = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4, 8):
            fastnn.set_num_threads(threads)
            fastnn.utils.set_random_seed(5)
            model = Sequential(
                [Input(batch_shape=(70, 20, 2)), kind(16, return_sequences=True, stateful=True), Dense(1)]
            )
            model.compile("adam", "mse")
            x = np.random.default_rng(2).normal(size=(350, 20, 2)).astype(np.float32)
            model.fit(x, x[..., :1], batch_size=70, epochs=2, shuffle=False, verbose=0)
            ends.append([*model.get_weights(), *model.layers[0].states, model.predict(x)])
    finally:
        fastnn.set_num_threads(before)
    for other in ends[1:]:
        for one, two in zip(ends[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_masked_steps_leave_states() -> None:
    ids = np.array([[1, 2, 0], [0, 0, 0]])
    layer = LSTM(2, stateful=True)
    model = Sequential([Input(batch_shape=(2, 3)), Embedding(4, 3, mask_zero=True), layer])
    model.predict(ids)
    states = layer.states
    model.predict(0 * ids)
    for one, other in zip(states, layer.states, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(states[0][1], 0)


def test_both_directions_and_steps_of_steps() -> None:
    layer = Bidirectional(GRU(2, stateful=True))
    x = np.ones((3, 4, 2), np.float32)
    first = layer(x)
    assert (layer(x) != first).all()
    layer.reset_state()
    np.testing.assert_array_equal(layer(x), first)
    with pytest.raises(AttributeError, match="Layer must be stateful"):
        Bidirectional(GRU(2)).reset_state()
    inner = SimpleRNN(2, stateful=True)
    outer = TimeDistributed(inner)
    model = Model(first := Input(batch_shape=(3, 5, 4, 2)), outer(first))
    rows = np.random.default_rng(3).normal(size=(3, 5, 4, 2)).astype(np.float32)
    once = model.predict(rows)
    assert inner.states[0].shape == (15, 2)
    assert (model.predict(rows) != once).any()


def test_a_bad_batch_leaves_states() -> None:
    model = model_of(LSTM)
    y = np.zeros((ROWS, STEPS, 1), np.float32)
    model.fit(PARTS[:ROWS], y, batch_size=ROWS, shuffle=False, verbose=0)
    states = model.layers[0].states
    bad = PARTS[:ROWS].copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"(?i)nan|finite"):
        model.fit(bad, y, batch_size=ROWS, shuffle=False, verbose=0)
    for one, other in zip(states, model.layers[0].states, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    model = model_of(LSTM)
    y = np.zeros((len(PARTS), STEPS, 1), np.float32)
    with pytest.raises(ValueError, match="shuffle=False"):
        model.fit(PARTS, y, batch_size=ROWS, verbose=0)
    for size, rows in ((5, 20), (ROWS, 18), (2, 20)):
        with pytest.raises(ValueError, match=r"keeps the states of 4 row\(s\), so each batch must have 4, got \d"):
            model.fit(PARTS[:rows], y[:rows], batch_size=size, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=r"each batch must have 4, got 3"):
        model.predict(PARTS[:3])
    with pytest.raises(ValueError, match=r"each batch must have 4, got 1"):
        model.evaluate(PARTS[:5], y[:5], verbose=0)
    layer = LSTM(2, stateful=True)
    layer(PARTS[:3])
    with pytest.raises(ValueError, match=r"states for batches of 3 row\(s\), got 4"):
        layer(PARTS[:4])
    with pytest.raises(ValueError, match="size of batches is not known"):
        Sequential([Input((STEPS, 2)), LSTM(2, stateful=True)])
    model.save(tmp_path / "model.fastnn")
    again = load_model(tmp_path / "model.fastnn")
    assert again.layers[0].states[0].shape == (ROWS, 3)
    assert not again.layers[0].states[0].any()
    np.testing.assert_array_equal(again.predict(PARTS), model.predict(PARTS))

"""Cells, alone, in RNN and stacked; cells of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn import ops
from fastnn.layers import GRU, LSTM, RNN, GRUCell, Input, LSTMCell, SimpleRNN, SimpleRNNCell, StackedRNNCells
from fastnn.models import Model, Sequential, load_model

PAIRS = pytest.mark.parametrize(
    ("cell", "layer"), [(SimpleRNNCell, SimpleRNN), (LSTMCell, LSTM), (GRUCell, GRU)], ids=["rnn", "lstm", "gru"]
)
X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
GAPS = X.copy()
GAPS[0, 3:] = GAPS[1, :2] = GAPS[2, 1] = GAPS[3] = 0


class Minimal(L.Layer):
    """h' = x . kernel + h . recurrent, as in Keras's guide."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), initializer="orthogonal", name="recurrent")

    def call(self, inputs: Any, states: Any) -> Any:
        h = ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent)
        return h, [h]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def same(one: Any, other: Any) -> None:
    one, other = (given if isinstance(given, (tuple, list)) else (given,) for given in (one, other))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@PAIRS
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"return_sequences": True},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True},
    ],
)
def test_a_cell_through_steps_is_the_layer(cell: Any, layer: Any, fields: dict[str, Any]) -> None:
    one, other = RNN(cell(4), **fields), layer(4, **fields)
    one.build((None, 5, 3))
    other.build((None, 5, 3))
    other.set_weights(one.get_weights())
    same(one(X), other(X))
    same(one(GAPS, mask=GAPS.any(-1)), other(GAPS, mask=GAPS.any(-1)))


@PAIRS
def test_a_cell_alone_is_a_step(cell: Any, layer: Any) -> None:
    own = cell(4)
    states: Any = own.get_initial_state(4)
    for step in range(5):
        out, states = own(X[:, step], states)
    np.testing.assert_allclose(RNN(own)(X), out, rtol=1e-6, atol=1e-7)
    assert own.output_size == 4
    assert own.state_size == ([4, 4] if layer is LSTM else 4)
    x, *before = Input((3,)), *[Input((4,)) for _ in states]
    given, after = own(x, before)
    model = Model([x, *before], [given, *after])
    given, after = own(X[:, 0], own.get_initial_state(4))
    same(model.predict([X[:, 0], *own.get_initial_state(4)]), [given, *after])


def test_stacked_cells_are_a_chain_of_layers() -> None:
    stacked = RNN([LSTMCell(4), GRUCell(3), SimpleRNNCell(2)], return_sequences=True, return_state=True)
    out, *states = stacked(X)
    assert [state.shape[1] for state in states] == [4, 4, 3, 2]
    assert isinstance(stacked.cell, StackedRNNCells)
    assert (stacked.cell.output_size, stacked.cell.state_size) == (2, [[4, 4], 3, 2])
    layers = [LSTM(4, return_sequences=True), GRU(3, return_sequences=True), SimpleRNN(2, return_sequences=True)]
    chain = Sequential([Input((5, 3)), L.Masking(), *layers])
    chain.set_weights(stacked.get_weights())
    same(out, chain.predict(X))
    mask = GAPS.any(-1)
    same(RNN(stacked.cell, return_sequences=True)(GAPS, mask=mask), chain.predict(GAPS))
    turned = RNN(stacked.cell, return_sequences=True)(GAPS[:, ::-1], mask=mask[:, ::-1])
    same(RNN(stacked.cell, return_sequences=True, go_backwards=True)(GAPS, mask=mask), turned)


@pytest.mark.parametrize("make", [lambda: Minimal(4), lambda: [Minimal(3), SimpleRNNCell(4)]])
def test_cells_of_ones_own(make: Any, tmp_path: Path) -> None:
    layer = RNN(make(), return_sequences=True, return_state=True)
    first = Input((5, 3))
    given, *states = layer(first)
    model = Model(first, [given, *states])
    weights = model.get_weights()
    sequences, *ends = model.predict(X)
    np.testing.assert_array_equal(sequences[:, -1], ends[-1])
    h = np.zeros((4, weights[1].shape[0]))
    for step in range(5):
        h = X[:, step] @ weights[0] + h @ weights[1]
    np.testing.assert_allclose(ends[0], h, rtol=1e-4, atol=1e-5)
    train = Model(first, L.Dense(1)(given))
    train.compile("adam", "mse")
    losses = train.fit(X, X[..., :1], epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    train.save(tmp_path / "model.fastnn")
    again = load_model(tmp_path / "model.fastnn", custom_objects={"Minimal": Minimal})
    np.testing.assert_array_equal(again.predict(X), train.predict(X))


def test_masked_steps_of_ones_own_cell() -> None:
    model = Sequential([Input((5, 3)), L.Masking(), RNN(Minimal(4), return_sequences=True)])
    given = model.predict(GAPS)
    np.testing.assert_array_equal(given[0, 3:], np.repeat(given[0, 2:3], 2, axis=0))
    np.testing.assert_array_equal(given[[1, 1, 3], [0, 1, 4]], 0)
    np.testing.assert_array_equal(given[2, 1], given[2, 0])
    zeros = RNN(Minimal(4), return_sequences=True, zero_output_for_mask=True)
    other = Sequential([Input((5, 3)), L.Masking(), zeros])
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(other.predict(GAPS), np.where(GAPS.any(-1)[..., None], given, 0), atol=1e-6)


def test_stateful_and_around_others(tmp_path: Path) -> None:
    layer = RNN([LSTMCell(2), GRUCell(3)], stateful=True)
    first = layer(X)
    assert [state.shape for state in layer.states] == [(4, 2), (4, 2), (4, 3)]
    assert (layer(X) != first).any()
    layer.reset_state()
    same(layer(X), first)
    model = Sequential(
        [
            Input((6, 5, 3)),
            L.TimeDistributed(RNN(GRUCell(4))),
            L.Bidirectional(RNN(LSTMCell(3), return_sequences=True)),
            RNN([LSTMCell(4), GRUCell(2)], go_backwards=True),
        ]
    )
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 3)).astype(np.float32)
    whole = model.predict(x)
    model.save(tmp_path / "model.fastnn")
    same(load_model(tmp_path / "model.fastnn").predict(x), whole)
    other = Sequential.from_config(model.get_config())
    other.set_weights(model.get_weights())
    same(other.predict(x), whole)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="should have a `call` method and a `state_size`"):
        RNN(L.Dense(3))
    with pytest.raises(ValueError, match="cells must be a list"):
        StackedRNNCells([])
    with pytest.raises(ValueError, match="stateful must be False with a cell of one's own"):
        RNN(Minimal(2), stateful=True)
    with pytest.raises(ValueError, match=r"expected 3 initial state\(s\), got 1"):
        RNN([LSTMCell(2), GRUCell(2)])(Input((5, 3)), initial_state=[Input((2,))])
    with pytest.raises(ValueError, match="at most 1000 layers"):
        RNN(Minimal(2))(Input((900, 2)))

"""SimpleRNN, LSTM and GRU: known values, states, dropout, threads. Formulas and gradients: test_every_layer.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import GRU, LSTM, Bidirectional, Dense, Flatten, Input, SimpleRNN
from fastnn.models import Model, Sequential, load_model

KINDS = pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
X = np.array([[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]], np.float32)


def with_sines(layer: Any, steps: int = 3) -> Any:
    """The layer with weights sin(0, 1, 2, ..) / 2, going on through all of them."""
    layer.build((None, steps, 2))
    ends = np.cumsum([w.size for w in layer.get_weights()])
    flat = np.sin(np.arange(ends[-1])) / 2
    arrays = np.split(flat, ends[:-1])
    layer.set_weights([w.reshape(old.shape) for w, old in zip(arrays, layer.get_weights(), strict=True)])
    return layer


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (LSTM(2, return_sequences=True), [[-0.169127, -0.128431], [-0.320087, -0.230205], [-0.43707, -0.313743]]),
        (
            LSTM(2, return_sequences=True, go_backwards=True),
            [[-0.245456, -0.194401], [-0.362643, -0.257202], [-0.397197, -0.264289]],
        ),
        (GRU(2), [0.008635, -0.595807]),
        (GRU(2, reset_after=False), [-0.141688, -0.486341]),
        (SimpleRNN(2, return_sequences=True), [[0.52673, 0.256394], [0.414807, 0.189849], [0.525553, 0.311534]]),
    ],
)
def test_values_are_those_of_keras(layer: Any, expected: Any) -> None:
    np.testing.assert_allclose(with_sines(layer)(X)[0], expected, atol=1e-6)


@KINDS
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_states_begin_where_others_ended(kind: Any, sequences: bool, backwards: bool) -> None:
    x = np.random.default_rng(0).normal(size=(5, 6, 2)).astype(np.float32)
    layer = with_sines(kind(3, return_sequences=sequences, return_state=True, go_backwards=backwards), 6)
    whole = layer(x)
    first, second = (x[:, 3:], x[:, :3]) if backwards else (x[:, :3], x[:, 3:])
    out, *states = layer(first)
    rest, *ends = layer(second, initial_state=states)
    if sequences:
        np.testing.assert_array_equal(np.concatenate([out, rest], axis=1), whole[0])
        np.testing.assert_array_equal(whole[0][:, -1], whole[1])
    else:
        np.testing.assert_array_equal(rest, whole[0])
        np.testing.assert_array_equal(whole[0], whole[1])
    assert len(ends) == len(whole) - 1 == (2 if kind is LSTM else 1)
    for end, state in zip(ends, whole[1:], strict=True):
        np.testing.assert_array_equal(end, state)
    assert layer.compute_output_shape((None, 6, 2)) == tuple((None, *each.shape[1:]) for each in whole)


@pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
def test_encoder_and_decoder_learn_save_and_load(kind: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 4, 2)).astype(np.float32)
    y = x[:, ::-1, :1].copy()
    given, asked = Input((4, 2)), Input((4, 2))
    _, *states = kind(7, return_state=True)(given)
    out, *ends = kind(7, return_sequences=True, return_state=True)(asked, initial_state=states)
    model = Model([given, asked], [Dense(1)(out), ends[0]])
    model.compile(fastnn.optimizers.Adam(0.01), ["mse", "mse"])
    ends_wanted = np.zeros((40, 7), np.float32)
    losses = model.fit([x, x], [y, ends_wanted], epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    model.save(tmp_path / "model")
    for one, other in zip(load_model(tmp_path / "model").predict([x, x]), model.predict([x, x]), strict=True):
        np.testing.assert_array_equal(one, other)


@KINDS
def test_gradients_go_through_states(kind: Any) -> None:
    """Of a model whose loss reads outputs and states, beside differences of the formula."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 3, 2)).astype(np.float32)
    first = Input((3, 2))
    _, *states = kind(3, return_state=True, go_backwards=True, name="first")(first)
    out, *ends = kind(3, return_sequences=True, return_state=True, name="second")(first, initial_state=states)
    model = Model(first, [Flatten()(out), *ends])
    model.compile("sgd", "mse")
    ys = [rng.normal(size=(6, *t.row)).astype(np.float32) for t in model.outputs]
    model.evaluate(x, ys, verbose=0)
    layers = [model.get_layer("first"), model.get_layer("second")]
    weights = [[w.astype(float) + 0.1 for w in layer.get_weights()] for layer in layers]
    for layer, own in zip(layers, weights, strict=True):
        layer.set_weights(own)

    def loss() -> float:
        names = ("kernel", "recurrent_kernel", "bias")
        one, two = (dict(zip(names, own, strict=True)) for own in weights)
        _, *states = layers[0].reference(x.astype(float), **one)
        out, *ends = layers[1].reference(x.astype(float), *states, **two)
        found = [out.reshape(6, -1), *ends]
        return float(sum(((each - y) ** 2).mean() for each, y in zip(found, ys, strict=True)))

    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    assert model.train_on_batch(x, ys)[0] == pytest.approx(loss(), rel=1e-5)
    for layer, own in zip(layers, weights, strict=True):
        for w, after in zip(own, layer.get_weights(), strict=True):
            slope = np.empty_like(w)
            for at in np.ndindex(w.shape):
                kept, sides = w[at], []
                for step in (1e-6, -1e-6):
                    w[at] = kept + step
                    sides.append(loss())
                w[at] = kept
                slope[at] = (sides[0] - sides[1]) / 2e-6
            np.testing.assert_allclose(w - after, slope, rtol=1e-3, atol=1e-5)


def test_dropout_has_one_draw_for_all_steps() -> None:
    """Weights of ones, no activation: 1 2 3 4 without dropout, and 1 3 7 15 or 1 1 1 1 with half of the state."""
    for layer, all_of in ((SimpleRNN, [1, 3, 7, 15]), (GRU, None), (LSTM, None)):
        made = layer(64, None, return_sequences=True, recurrent_dropout=0.5, recurrent_initializer="identity")
        x = np.zeros((16, 4, 1), np.float32)
        if all_of is None:
            assert (made(x, training=True) == made(x, training=True)).all()  # of zeros
            continue
        made.build((None, 4, 1))
        kernel, recurrent, bias = made.get_weights()
        made.set_weights([kernel, recurrent, bias + 1])
        np.testing.assert_array_equal(made(x)[0, :, 0], [1, 2, 3, 4])
        first, second = made(x, training=True), made(x, training=True)
        for found in (first, second):
            kept = found[:, 1] == 3
            np.testing.assert_array_equal(found, np.where(kept[:, None], np.array(all_of)[:, None], 1))
            assert 0.4 < kept.mean() < 0.6
        assert (first != second).any()


@KINDS
def test_dropout_of_the_input_has_one_draw_for_all_steps(kind: Any) -> None:
    x = np.ones((64, 5, 3), np.float32)
    layer = with_three(kind)
    whole = SimpleRNN(1, None, dropout=0.5, return_sequences=True, kernel_initializer="ones", use_bias=False)
    whole.build((None, 5, 3))
    whole.set_weights([np.ones((3, 1)), np.zeros((1, 1))])
    found = whole(x, training=True)
    assert (found == found[:, :1]).all()
    assert set(np.unique(found)) == {0, 2, 4, 6}
    np.testing.assert_array_equal(layer(x), layer(x))
    assert (layer(x, training=True) != layer(x, training=True)).any()


def with_three(kind: Any) -> Any:
    return kind(3, dropout=0.3, recurrent_dropout=0.3)


@KINDS
def test_gradients_with_dropout_follow_its_draws(kind: Any) -> None:
    """A step along the gradient, with the draws of the same step, lowers the loss by rate * |g|^2."""
    for more in ({}, {"reset_after": False}) if kind is GRU else ({},):
        x = np.random.default_rng(3).normal(size=(32, 5, 3)).astype(np.float32)
        y = np.random.default_rng(4).normal(size=(32, 4)).astype(np.float32)
        losses = []
        for rate in (0.0, 1e-3, -1e-3):
            fastnn.utils.set_random_seed(7)
            layer = kind(4, dropout=0.3, recurrent_dropout=0.4, seed=11, **more)
            model = Sequential([Input((5, 3)), layer])
            model.compile(fastnn.optimizers.SGD(0.01), "mse")
            weights = model.get_weights()
            if rate == 0:
                losses.append(model.train_on_batch(x, y))
                slopes = [(w - after) / 0.01 for w, after in zip(weights, model.get_weights(), strict=True)]
                continue
            model.set_weights([w - rate * g for w, g in zip(weights, slopes, strict=True)])
            losses.append(model.train_on_batch(x, y))
        square = sum(float((g.astype(float) ** 2).sum()) for g in slopes)
        assert (losses[2] - losses[1]) / 2e-3 == pytest.approx(square, rel=5e-3)


@KINDS
def test_threads_and_batches_change_no_bit(kind: Any) -> None:
    x = np.random.default_rng(5).normal(size=(150, 20, 3)).astype(np.float32)
    y = np.random.default_rng(6).normal(size=(150, 2)).astype(np.float32)
    found = []
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 3, 4):
            fastnn.set_num_threads(threads)
            fastnn.utils.set_random_seed(1)
            model = Sequential(
                [
                    Input((20, 3)),
                    kind(33, return_sequences=True, dropout=0.1, recurrent_dropout=0.1),
                    kind(65),
                    Dense(2),
                ]
            )
            model.compile("adam", "mse")
            model.fit(x, y, batch_size=50, epochs=2, verbose=0)
            found.append([*model.get_weights(), model.predict(x)])
            np.testing.assert_array_equal(
                np.concatenate([model.predict(x[i : i + 1]) for i in range(150)]), found[-1][-1]
            )
    finally:
        fastnn.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("units", [49, 64, 130])
@pytest.mark.parametrize(
    "layer", [(SimpleRNN, {}), (LSTM, {}), (GRU, {}), (GRU, {"reset_after": False}), (LSTM, {"activation": "relu"})]
)
def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(layer: Any, units: int) -> None:
    """With so many units its weights lie in other panels."""
    kind, how = layer
    x = np.random.default_rng(units).normal(size=(5, 7, 3)).astype(np.float32)
    model = Sequential([Input((7, 3)), kind(units, return_sequences=True, **how)])
    whole = model.predict(x)
    for row in range(5):
        np.testing.assert_array_equal(model.predict(x[row : row + 1])[0], whole[row])


@pytest.mark.parametrize("columns", [1, 8, 16, 23])
def test_gates_from_one_end_to_the_other(columns: int) -> None:
    """Beside float64, in the lanes of whole vectors and in those that are left over."""
    x = np.concatenate([np.linspace(-90, 90, 3001), [0.0, 1e-8, -1e-8, 1e30, -1e30]]).astype(np.float32)
    exact = x.astype(float)
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-exact))
    zeros, lot = np.zeros((columns, 4 * columns), np.float32), np.float32(60)
    wide = Sequential([Input((1, 1)), lstm := LSTM(columns)])
    ones = np.ones(columns, np.float32)
    for gate, expected in ((2, np.tanh(exact)), (0, sigmoid)):  # what the other gates let through
        kernel, bias = np.zeros((1, 4, columns), np.float32), np.array([[lot], [-lot], [lot], [lot]]) * ones
        kernel[0, gate], bias[gate] = 1, 0
        lstm.set_weights([kernel.reshape(1, -1), zeros, bias.ravel()])
        found = wide.predict(x.reshape(-1, 1, 1))
        np.testing.assert_allclose(
            found, np.tanh(expected)[:, None] * ones, rtol=5e-6, atol=1e-30
        )  # 69 ulp without FMA
        assert np.isnan(wide.predict(np.full((1, 1, 1), np.nan, np.float32))).all()


def test_arrays_are_predicted_whatever_their_order() -> None:
    model = Sequential([Input((4, 6)), LSTM(3), Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(model.predict(x.astype(float)), expected)
    np.testing.assert_array_equal(model.predict(x[::-1])[::-1], expected)
    for wrong in (x.reshape(5, 6, 4), x[:, :, :5], x[:0]):
        with pytest.raises(ValueError, match=r"\(4, 6\)|no rows"):
            model.predict(wrong)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(
        ValueError, match=r"LSTM expects rows of two axes, \(steps, features\), got rows of shape \(4,\)"
    ):
        LSTM(3)(Input((4,)))
    with pytest.raises(ValueError, match=r"reads x and 2 initial state\(s\), or x alone, got 2 tensor"):
        LSTM(3)(Input((4, 2)), initial_state=Input((3,)))
    with pytest.raises(ValueError, match=r"GRU: an initial state has shape \(3,\), got \(4,\)"):
        GRU(3)(Input((4, 2)), initial_state=[Input((4,))])
    with pytest.raises(ValueError, match="units"):
        GRU(0)
    with pytest.raises(ValueError, match="activation must be one of fastnn's"):
        SimpleRNN(3, activation=lambda x: x * 2)
    with pytest.raises(ValueError, match="activation must be one of fastnn's"):
        LSTM(4, activation="glu")
    with pytest.raises(ValueError, match="dropout"):
        LSTM(4, dropout=1.5)
    with pytest.raises(ValueError, match="size of batches is not known"):
        LSTM(4, stateful=True)(Input((3, 2)))


def test_first_weights() -> None:
    layer = LSTM(3)
    layer.build((None, 4, 2))
    kernel, recurrent, bias = layer.get_weights()
    assert np.abs(kernel).max() <= np.sqrt(6 / 14)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(bias, [0] * 3 + [1] * 3 + [0] * 6)
    layer = LSTM(3, bias_initializer="ones", unit_forget_bias=False)
    layer.build((None, 4, 2))
    np.testing.assert_array_equal(layer.bias, np.ones(12))
    layer = GRU(3)
    layer.build((None, 4, 2))
    assert [w.shape for w in layer.get_weights()] == [(2, 9), (3, 9), (2, 9)]


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("merge", ["concat", "sum", "ave", "mul", None])
def test_bidirectional_is_both_ways(merge: Any, sequences: bool) -> None:
    x = np.random.default_rng(7).normal(size=(5, 6, 2)).astype(np.float32)
    layer = Bidirectional(LSTM(3, return_sequences=sequences, return_state=True), merge)
    given = layer(x)
    assert [w.shape for w in layer.get_weights()] == [(2, 12), (3, 12), (12,)] * 2
    one, *states = layer.forward_layer(x)
    other, *more = layer.backward_layer(x)
    if sequences:
        other = other[:, ::-1]
    merged: Any = {
        "concat": lambda: [np.concatenate([one, other], -1)],
        "sum": lambda: [one + other],
        "ave": lambda: [(one + other) / 2],
        "mul": lambda: [one * other],
        None: lambda: [one, other],
    }[merge]()
    for found, expected in zip(given, [*merged, *states, *more], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert layer.compute_output_shape((None, 6, 2)) == tuple((None, *each.shape[1:]) for each in given)
    assert (layer.forward_layer.name, layer.backward_layer.name) == ("forward_lstm", "backward_lstm")
    again = layer(x, initial_state=list(given[-4:]))
    one, *_ = layer.forward_layer(x, initial_state=list(given[-4:-2]))
    other, *_ = layer.backward_layer(x, initial_state=list(given[-2:]))
    if merge is None:
        np.testing.assert_array_equal(again[0], one)
        np.testing.assert_array_equal(again[1], other[:, ::-1] if sequences else other)


def test_bidirectional_learns_saves_and_loads(tmp_path: Path) -> None:
    x = np.random.default_rng(8).normal(size=(200, 8, 1)).astype(np.float32)
    y = (x[:, 0] * x[:, -1] > 0).astype(np.float32)
    model = Sequential(
        [Input((8, 1)), Bidirectional(LSTM(8, return_sequences=True)), Bidirectional(GRU(8)), Dense(1, "sigmoid")]
    )
    model.compile(fastnn.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    assert model.fit(x, y, epochs=30, verbose=0).history["accuracy"][-1] > 0.9
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    assert [w.path for w in model.weights][:2] == ["forward_lstm/kernel", "forward_lstm/recurrent_kernel"]


def test_bidirectional_refuses() -> None:
    with pytest.raises(ValueError, match="takes a SimpleRNN, LSTM or GRU, got a Dense"):
        Bidirectional(Dense(3))
    with pytest.raises(ValueError, match="merge_mode must be one of concat, sum, ave, mul, or None, got 'max'"):
        Bidirectional(LSTM(3), "max")
    with pytest.raises(ValueError, match="one of the layers must have go_backwards=True"):
        Bidirectional(LSTM(3), backward_layer=LSTM(3))
    with pytest.raises(ValueError, match='the same value for attribute "return_state", got False and True'):
        Bidirectional(LSTM(3), backward_layer=LSTM(3, go_backwards=True, return_state=True))
    with pytest.raises(ValueError, match="layer must be a recurrent layer, got 3"):
        Bidirectional(3)

"""Quantised layers of all kinds: what whole models give, beside the formula with the same rounding in float64."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential, layers
from fastnn.compress import quantization_aware, quantize
from fastnn.layers.quantized import int8_of, quantized_in
from fastnn.models import clone_model, load_model


def drawn(model: Any, scale: float = 0.3) -> Any:
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(0, scale, w.shape).astype("f4") for w in model.get_weights()])
    return model


def rows(*shape: int) -> Any:
    return np.random.default_rng(1).normal(0.5, 2, shape).astype("f4")


def as_bytes(x: Any) -> Any:
    """Rows as bytes stand for them, float64."""
    flat = np.asarray(x, float).reshape(len(x), -1)
    low, high = np.minimum(flat.min(1), 0)[:, None], np.maximum(flat.max(1), 0)[:, None]
    scale = np.where(high > low, (high - low) / 255, 1)
    zero = np.rint(-low / scale)
    return (((np.rint(flat / scale) + zero).clip(0, 255) - zero) * scale).reshape(np.shape(x))


def as_int8(w: Any) -> Any:
    return int8_of(w, w.shape[-1]).floats().astype(float)


def attending() -> Any:
    x = Input((9, 6))
    return Model(x, layers.Dense(3)(layers.Add()([layers.MultiHeadAttention(2, 8)(x, x), x])))


def shared() -> Any:
    x, dense = Input((9, 6)), layers.Dense(6, "relu")
    return Model(x, layers.Flatten()(layers.Add()([dense(x), dense(dense(x))])))


def within() -> Any:
    x, inner = Input((9, 6)), Sequential([layers.Dense(5, "tanh", input_shape=(9, 6)), layers.Conv1D(4, 2)])
    return Model(x, {"a": inner(x), "b": layers.GRU(5)(x)})


def sequence(*own: Any) -> Any:
    return Sequential([layers.Input((9, 6)), *own])


MODELS: dict[str, Any] = {
    "conv1d": lambda: sequence(layers.Conv1D(70, 3, padding="causal", activation="relu"), layers.Conv1D(5, 3)),
    "simple_rnn": lambda: sequence(layers.SimpleRNN(20, return_sequences=True), layers.SimpleRNN(7)),
    "lstm": lambda: sequence(layers.LSTM(20, return_sequences=True), layers.LSTM(7, go_backwards=True)),
    "gru": lambda: sequence(layers.GRU(20, return_sequences=True), layers.GRU(7, use_bias=False)),
    "gru before": lambda: sequence(layers.GRU(20, reset_after=False), layers.Dense(2)),
    "masked": lambda: sequence(layers.Masking(), layers.LSTM(20, activation="relu"), layers.Dense(2)),
    "both ways": lambda: sequence(layers.Bidirectional(layers.LSTM(20)), layers.Dense(2)),
    "slices": lambda: sequence(layers.TimeDistributed(layers.Dense(5)), layers.EinsumDense("abc,cd->abd", (None, 7))),
    "attention": attending,
    "shared": shared,
    "models within": within,
    "normalized": lambda: sequence(layers.Dense(8), layers.LayerNormalization(), layers.BatchNormalization()),
}


def flat(given: Any) -> Any:
    parts = given.values() if isinstance(given, dict) else [given]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_layers_stay_near_and_rows_stay_the_same(name: str, tmp_path: Path) -> None:
    fastnn.utils.set_random_seed(2)
    model, x = MODELS[name](), rows(11, 9, 6)
    if name != "normalized":
        drawn(model)
    right = flat(model.predict(x))
    for options in ({}, {"rows": x}, {"bits": 16}, {"bits": 16, "dtype": "bfloat16"}):
        made = quantize(model, **options)
        found = flat(made.predict(x))
        near = {"float16": 2e-3, "bfloat16": 2e-2}.get(
            options.get("dtype", "float16" if "bits" in options else ""), 0.06
        )
        assert np.abs(found - right).max() < near * np.abs(right).max()
        assert made.count_params() == model.count_params()
        for n in (1, 4):
            parts = [flat(made.predict(x[i : i + n])) for i in range(0, 11, n)]
            np.testing.assert_array_equal(np.concatenate(parts), found)
        made.save(tmp_path / "model.fastnn")
        for again in (load_model(tmp_path / "model.fastnn"), pickle.loads(pickle.dumps(made))):
            np.testing.assert_array_equal(flat(again.predict(x)), found)
        assert {each.kind for each in quantized_in(made.description).values()} <= {"int8", "float16", "bfloat16"}
        with pytest.raises(ValueError, match="quantised already"):
            quantize(made)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
def test_a_convolution_is_its_formula_on_what_bytes_stand_for(groups: int, kernel: Any) -> None:
    layer = layers.Conv2D(20, kernel, strides=(2, 1), padding="same", groups=groups, activation="relu")
    model, x = drawn(Sequential([layers.Input((7, 8, 4)), layer])), rows(5, 7, 8, 4)
    w, bias = model.get_weights()
    expected = layer.reference(as_bytes(x), as_int8(w), bias.astype(float))
    np.testing.assert_allclose(quantize(model).predict(x), expected, rtol=1e-5, atol=1e-5)


def test_pictures_of_few_filters_and_tiles_are_quantised_too() -> None:
    """Kernels that float32 has by planes and by tiles."""
    own = [layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(32, 3)]
    model, x = drawn(Sequential([layers.Input((12, 12, 1)), *own]), 0.1), rows(5, 12, 12, 1)
    made, h = quantize(model), x
    for number, layer in enumerate(own):
        w, bias = model.get_weights()[2 * number : 2 * number + 2]
        h = layer.reference(as_bytes(h), as_int8(w), bias.astype(float))
    found = made.predict(x)
    assert np.abs(found - h).max() < 1e-2 * np.abs(h).max()  # a byte may be the next one, where float32 rounds apart
    np.testing.assert_array_equal(np.concatenate([made.predict(x[i : i + 1]) for i in range(5)]), found)


def test_an_lstm_is_its_formula_step_by_step() -> None:
    model, x = drawn(sequence(layers.LSTM(7))), rows(8, 9, 6)
    kernel, recurrent, bias = model.get_weights()
    w, u, h, c = as_int8(kernel), as_int8(recurrent), np.zeros((8, 7)), np.zeros((8, 7))
    for step in range(9):
        i, f, g, o = np.split(as_bytes(x[:, step]) @ w + bias + as_bytes(h) @ u, 4, axis=1)
        gate = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
    np.testing.assert_allclose(quantize(model).predict(x), h, atol=2e-3)  # bytes may round apart, as above


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_give_what_float32_weights_of_these_values_do(dtype: str) -> None:
    model, x = drawn(sequence(layers.LSTM(20), layers.Dense(70, "relu"), layers.Dense(13))), rows(20, 9, 6)
    made, other = quantize(model, bits=16, dtype=dtype), clone_model(model)
    views = other.description.arrays()
    for name, view in model.description.arrays().items():
        views[name][...] = view
    for name, each in quantized_in(made.description).items():
        views[name][...] = each.floats()
    np.testing.assert_array_equal(made.predict(x), other.predict(x))
    assert made.count_params() == model.count_params()


@pytest.mark.parametrize("units", [1, 9, 13, 17, 33, 49, 65, 177])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_of_a_row_do_not_depend_on_the_rows_beside_it(units: int, dtype: str) -> None:
    """At any width, whatever order float32's sums have there."""
    for inputs in (5, 70):
        model = drawn(Sequential([layers.Input((inputs,)), layers.Dense(units)]))
        made, x = quantize(model, bits=16, dtype=dtype), rows(20, inputs)
        whole = made.predict(x)
        np.testing.assert_array_equal(np.concatenate([made.predict(x[i : i + 1]) for i in range(20)]), whole)
        np.testing.assert_allclose(whole, model.predict(x), rtol=0, atol=0.05)


def test_learning_with_int8_is_sgd_on_weights_that_are_kept() -> None:
    model = drawn(Sequential([layers.Input((5,)), layers.Dense(3, use_bias=False)]))
    model.compile(fastnn.optimizers.SGD(0.05), "mse")
    x, y = rows(16, 5), rows(16, 3)
    aware, (whole,) = quantization_aware(model), [w.astype(float) for w in model.get_weights()]
    whole = as_int8(whole.astype("f4"))
    kept = whole.copy()
    for _ in range(4):
        seen = as_bytes(x)
        kept = kept - 0.05 * (seen.T @ (seen @ whole - y)) * 2 / y.size
        whole = as_int8(kept.astype("f4"))
        aware.fit(x, y, batch_size=16, epochs=1, verbose=0)
        np.testing.assert_allclose(aware.get_weights()[0], whole, atol=1e-5)
    assert np.abs(kept - whole).max() > 1e-3


def test_what_has_learnt_with_int8_predicts_as_what_is_made_of_it(tmp_path: Path) -> None:
    model = Sequential([layers.Input((8, 8, 2)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()])
    model.add(layers.Dense(6, "relu", kernel_constraint="max_norm"))
    model.add(layers.Dense(2))
    drawn(model).compile("adam", "mse")
    x, y = rows(64, 8, 8, 2), rows(64, 2)
    aware = quantization_aware(model)
    before = aware.evaluate(x, y, verbose=0)
    aware.fit(x, y, epochs=3, verbose=0)
    assert aware.evaluate(x, y, verbose=0) < before
    assert np.linalg.norm(aware.get_weights()[2], axis=0).max() < 2.01
    np.testing.assert_allclose(quantize(aware).predict(x), aware.predict(x), rtol=1e-5, atol=1e-5)
    aware.save(tmp_path / "aware.fastnn")
    again = load_model(tmp_path / "aware.fastnn")
    np.testing.assert_array_equal(again.predict(x), aware.predict(x))
    again.fit(x, y, epochs=1, verbose=0)
    np.testing.assert_allclose(quantize(again).predict(x), again.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bits": 4}, "bits must be 8 or 16, got 4"),
        ({"bits": True}, "bits must be 8 or 16"),
        ({"bits": np.array([8, 8])}, "bits must be 8 or 16"),
        ({"dtype": "float16"}, "dtype with bits=8 must be 'int8'"),
        ({"bits": 16, "dtype": "int8"}, "must be 'float16' or 'bfloat16'"),
        ({"bits": 16, "rows": rows(2, 5)}, "rows are for bits=8"),
        ({"rows": rows(2, 6)}, "expects 5 features"),
        ({"rows": np.full((2, 5), np.nan, "f4")}, "finite"),
        ({"rows": rows(0, 5)}, "row"),
    ],
)
def test_what_cannot_be_says_why(given: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        quantize(Sequential([layers.Input((5,)), layers.Dense(3)]), **given)


def test_models_that_cannot_be_quantised_say_why() -> None:
    with pytest.raises(TypeError, match="model"):
        quantize("model")
    with pytest.raises(ValueError, match="no weights yet"):
        quantize(Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="no layer whose weights can be quantised"):
        quantize(Sequential([layers.Input((5,)), layers.LayerNormalization()]))
    model = Sequential([layers.Input((5,)), layers.Dense(3)])
    model.set_weights([np.full((5, 3), 1e30, "f4"), np.zeros(3, "f4")])
    with pytest.raises(ValueError, match='beyond float16\'s range, which dtype="bfloat16" has'):
        quantize(model, bits=16)
    assert np.isfinite(quantize(model, bits=16, dtype="bfloat16").predict(rows(2, 5))).all()
    model.set_weights([np.full((5, 3), np.inf, "f4"), np.zeros(3, "f4")])
    for options in ({}, {"bits": 16}):
        with pytest.raises(ValueError, match=r"dense.*/kernel has numbers that are not finite"):
            quantize(model, **options)


def test_a_quantised_model_has_no_gradients() -> None:
    made = quantize(Sequential([layers.Input((5,)), layers.Dense(3)]))
    with pytest.raises(ValueError, match="a quantised model has no gradients"):
        fastnn.explain.integrated_gradients(made, rows(3, 5), output=0)


@pytest.mark.parametrize("part", ["dense/kernel", "dense/kernel_scale", "dense/kernel_range"])
def test_a_file_with_other_arrays_is_refused(part: str, tmp_path: Path) -> None:
    from fastnn.store.safetensors import read, write

    made = quantize(Sequential([layers.Input((5,)), layers.Dense(3, name="dense")]), rows=rows(4, 5))
    made.save(tmp_path / "model.fastnn")
    arrays, metadata = read(tmp_path / "model.fastnn")
    for other in (arrays[part].astype("f8"), arrays[part].reshape(1, -1), np.full_like(arrays[part], 9)[:2]):
        write(tmp_path / "other.fastnn", {**arrays, part: other}, metadata)
        with pytest.raises(ValueError, match=r"other\.fastnn"):
            load_model(tmp_path / "other.fastnn")
    for text in ('"int4"', "[7]", "[]", "3", '{"a": 1}'):
        changed = {**metadata, "model": metadata["model"].replace('"int8"', text)}
        write(tmp_path / "other.fastnn", arrays, changed)
        with pytest.raises(ValueError, match=r"other\.fastnn"):
            load_model(tmp_path / "other.fastnn")


def test_rows_of_zeros_and_models_in_memory() -> None:
    model = drawn(Sequential([layers.Input((5,)), layers.Dense(3)]))
    made = quantize(model)
    np.testing.assert_array_equal(made.predict(np.zeros((2, 5))), np.tile(model.get_weights()[1], (2, 1)))
    x = rows(3, 5)
    x[1, 2] = np.inf
    assert np.isnan(made.predict(x)[1]).all()
    assert np.isfinite(made.predict(x)[[0, 2]]).all()
    file = io.BytesIO()
    made.save(file)
    assert file.getvalue()

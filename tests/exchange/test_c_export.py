"""Models in C: graphs, files, memory, int8, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.compress
import fastnn.layers as L
from fastnn import Model, Sequential
from fastnn.exchange import to_c
from support.c_models import build, compiled, run_sanitized, written


def rows(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check(model: Any, folder: Path, *xs: np.ndarray) -> None:
    found = compiled(model, folder)(*xs)
    given = model.predict(list(xs) if len(xs) > 1 else xs[0], verbose=0)
    for one, other in zip(found, given if isinstance(given, list) else [given], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def shaken(model: Any) -> Any:
    """The model, with weights that no initializer gives."""
    rng = np.random.default_rng(7)
    model.set_weights([w if w.ndim == 0 else w + 0.2 * rng.random(w.shape) for w in model.get_weights()])
    return model


def picture_net() -> Any:
    layers = [L.Input((9, 8, 2)), L.Conv2D(6, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU()]
    layers += [L.DepthwiseConv2D(3, strides=2, padding="same"), L.Conv2D(5, (2, 1), groups=1, activation="relu")]
    layers += [L.MaxPooling2D(2, strides=1, padding="same"), L.SeparableConv2D(4, 2, activation="tanh"), L.Flatten()]
    return shaken(Sequential([*layers, L.Dropout(0.5), L.Dense(7, "gelu"), L.Dense(3, "softmax")]))


def step_net() -> Any:
    layers = [
        L.Input((6, 3)),
        L.Conv1D(4, 2, padding="causal", dilation_rate=2),
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
    ]
    layers += [
        L.GRU(4, return_sequences=True, reset_after=False),
        L.LayerNormalization(),
        L.SimpleRNN(3),
        L.Dense(1, "sigmoid"),
    ]
    return shaken(Sequential(layers))


def test_a_graph_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    a, b = L.Input((4,), name="int"), L.Input((2, 2), name="? \\ é")
    shared = L.Dense(3, "tanh", name="copy")
    inner_in = L.Input((3,))
    inner = Model(inner_in, [L.Dense(2)(inner_in), L.Dense(3, "relu")(inner_in)], name="evil*")
    one, two = inner(shared(a))
    other = shared(L.Flatten()(b))
    merged = L.Concatenate()([one, two, other, L.Subtract()([two, other])])
    out = L.Dense(2, name="softmax")(merged)
    again = inner(other)[1]
    model = shaken(Model([a, b], [out, a, out, again * 2.0 + 1.0, L.Reshape((2, 2))(L.Average()([a, L.Flatten()(b)]))]))
    check(model, tmp_path, rows(5, 4), rows(5, 2, 2, seed=2))
    header = to_c(model, "net").header
    assert "const float *input_int" in header
    assert "#define NET_INPUT_INT_SIZE 4" in header
    assert to_c(model, "net").source.count("_kernel[12]") == 1  # the shared layer's, once


def test_what_is_read_again_is_not_written_over(tmp_path: Path) -> None:
    x = L.Input((6,))
    y = L.Dense(6)(x)
    a, b = L.ReLU()(y), L.Activation("tanh")(y)
    model = shaken(Model(x, [L.Dense(2)(L.Add()([y, a, L.Dense(6)(b)])), L.LayerNormalization()(L.Subtract()([a, b]))]))
    check(model, tmp_path, rows(3, 6))


def test_layers_in_time(tmp_path: Path) -> None:
    x = L.Input((3, 4, 2))
    inner = Sequential([L.Input((4, 2)), L.TimeDistributed(L.Dense(3, "relu")), L.Flatten(), L.Dense(2), L.Dense(5)])
    y = L.TimeDistributed(inner)(x)
    z = L.TimeDistributed(L.GRU(2))(x)
    model = shaken(Model(x, [L.Concatenate()([y, z, L.Permute((1, 2))(y)]), y]))
    check(model, tmp_path, rows(4, 3, 4, 2))


def test_states_and_slices(tmp_path: Path) -> None:
    x = L.Input((5, 3))
    sequence, h, c = L.LSTM(4, return_sequences=True, return_state=True)(x)
    other = L.LSTM(4)(x[:, ::-2], initial_state=[h, c])
    model = shaken(Model(x, [sequence, other, sequence[:, 1:4, 2], h + c]))
    check(model, tmp_path, rows(3, 5, 3))


def test_normalisations_of_data(tmp_path: Path) -> None:
    x = rows(50, 4) * 3 + 1e4
    scale = L.Normalization()
    scale.adapt(x)
    model = Sequential([scale, L.Rescaling([1.0, 2, 3, 4], 0.5), L.Dense(2)])
    model.predict(x, verbose=0)
    check(model, tmp_path, x[:5])


def test_a_batch_normalisation_goes_into_the_kernel_that_it_alone_reads(tmp_path: Path) -> None:
    model = picture_net()
    assert "batch_normalization_factor" not in to_c(model).source
    check(model, tmp_path, rows(3, 9, 8, 2))
    x = L.Input((4,))
    dense = L.Dense(3)(x)
    read = Model(x, [L.BatchNormalization()(dense), dense])
    after = Sequential([L.Input((4,)), L.Dense(3, "relu"), L.BatchNormalization()])
    for each in (shaken(read), shaken(after)):
        assert "batch_normalization" in to_c(each).source
        check(each, tmp_path, rows(3, 4))


def test_any_state_of_a_model(tmp_path: Path) -> None:
    model = Sequential([L.Dense(5, "relu"), L.Dense(3, "softmax")])  # no Input
    with pytest.raises(RuntimeError, match="to_c: the model is not built yet; fit it"):
        to_c(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    x = rows(20, 4)
    model.fit(x, np.arange(20) % 3, verbose=0)
    model.layers[0].trainable = False
    check(model, tmp_path, x)
    for weights in (
        [np.full((4, 5), np.inf), *model.get_weights()[1:]],
        [np.full((4, 5), np.nan), *model.get_weights()[1:]],
    ):
        model.set_weights(weights)
        with pytest.raises(ValueError, match="kernel holds numbers that are not finite"):
            to_c(model)


@pytest.mark.parametrize("make", [picture_net, step_net])
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_it_stays_within_its_arrays(make: Any, weights: str, tmp_path: Path) -> None:
    model = make()
    x = rows(3, *model.inputs[0].row)
    found = run_sanitized(model, tmp_path, x, weights=weights)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-5 if weights == "float32" else 0.05)


@pytest.mark.parametrize("compiler", ["cc", "clang"])
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_optimising_compilers_find_nothing(compiler: str, weights: str, tmp_path: Path) -> None:
    for make in (picture_net, step_net):
        source = written(make(), tmp_path, "", weights=weights)
        build(source, tmp_path / "net.o", "-O3", "-Wshadow", "-Wdouble-promotion", "-c", compiler=compiler)


def test_memory_is_the_callers_and_is_used_again() -> None:
    model = Sequential([L.Input((64,)), *(L.Dense(64, "relu") for _ in range(20)), L.Dense(64)])
    files = to_c(model, "deep")
    assert "float f[128];" in files.header  # two layers, not twenty
    assert not re.search(r"\b(malloc|calloc|free|alloca)\b", files.source)
    assert re.findall(r"#include.*", files.source) == ['#include "deep.h"']  # relu needs no <math.h>
    assert not re.search(r"^(static )?(?!const)(float|int\w*) \w+(\[|;| =)", files.source, re.M)  # no state
    assert f"{4 * (21 * 64 * 65)} bytes" in files.header


# int8


def quantised(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.abs(w).max(axis=0) / 127
    return np.rint(w / scale), scale


def dynamic(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u8 by row with a zero point, as float64; and the scale."""
    low, high = np.minimum(x.min(1, keepdims=True), 0), np.maximum(x.max(1, keepdims=True), 0)
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return (np.rint(x / scale) + zero).clip(0, 255) - zero, scale


def test_int8_is_the_convention_of_the_quantised_model(tmp_path: Path) -> None:
    model = shaken(Sequential([L.Input((40,)), L.Dense(30, "relu"), L.Dense(8)]))
    x = rows(9, 40)
    (found,) = compiled(model, tmp_path, weights="int8")(x)
    hidden = x.astype(np.float64)
    for layer in model.layers[-2:]:
        kernel, bias = (each.astype(np.float64) for each in layer.get_weights())
        (w, own), (q, scale) = quantised(kernel), dynamic(hidden)
        hidden = q @ w * scale * own + bias
        hidden = np.maximum(hidden, 0) if layer.units == 30 else hidden
    np.testing.assert_allclose(found, hidden, rtol=1e-4, atol=2e-4)
    exact = model.predict(x, verbose=0)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()
    plain, small = to_c(model).header, to_c(model, weights="int8").header
    assert "Weights take 5912 bytes" in plain
    assert "Weights take 1744 bytes" in small
    assert "<stdint.h>" in small
    assert "<stdint.h>" not in plain


@pytest.mark.parametrize("make", [picture_net, step_net])
def test_int8_is_what_a_quantised_model_predicts(make: Any, tmp_path: Path) -> None:
    quantize = getattr(fastnn.compress, "quantize", None)
    if quantize is None:
        pytest.skip("fastnn.compress.quantize is not there")
    model = make()
    x = rows(20, *model.inputs[0].row)
    (found,) = compiled(model, tmp_path, weights="int8")(x)
    np.testing.assert_allclose(found, quantize(model).predict(x), atol=0.01)  # a batch normalisation is in its kernel
    layers = [
        L.Input((9, 9, 4)),
        L.Conv2D(8, 3, padding="same", activation="relu"),
        L.Conv2D(4, 3, strides=2, groups=2),
    ]
    plain = shaken(Sequential([*layers, L.Flatten(), L.Dense(3, "relu")]))
    x = rows(20, 9, 9, 4)
    np.testing.assert_array_equal(compiled(plain, tmp_path, weights="int8")(x)[0], quantize(plain).predict(x))


@pytest.mark.parametrize("make", [picture_net, step_net])
def test_int8_of_other_layers_is_near(make: Any, tmp_path: Path) -> None:
    model = make()
    x = rows(20, *model.inputs[0].row)
    (found,) = compiled(model, tmp_path, weights="int8")(x)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=0.03)


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("make", [picture_net, step_net])
def test_a_model_that_is_quantised_predicts_the_same_in_c(make: Any, ranges: bool, tmp_path: Path) -> None:
    """Its own whole numbers, scales and ranges, also beside a normalisation; nothing is asked for."""
    model = make()
    x = rows(20, *model.inputs[0].row)
    few = fastnn.compress.quantize(model, rows=x[:10] if ranges else None)
    (found,) = compiled(few, tmp_path)(2 * x)  # beyond the ranges, too
    given, exact = few.predict(2 * x), model.predict(2 * x)
    np.testing.assert_allclose(found, given, atol=0.005)  # a number that differs in its last bit may be the next byte
    assert np.abs(found - given).mean() < 0.1 * np.abs(found - exact).mean()
    assert "int8_t" in to_c(few).source


def test_what_is_quantised_has_the_same_bits_in_c(tmp_path: Path) -> None:
    x = rows(20, 9, 9, 4)
    layers = [L.Input((9, 9, 4)), L.Conv2D(8, 3, padding="same", activation="relu"), L.Flatten(), L.Dense(3, "relu")]
    model = shaken(Sequential(layers))
    for few in (fastnn.compress.quantize(model), fastnn.compress.quantize(model, rows=x)):
        np.testing.assert_array_equal(compiled(few, tmp_path)(x)[0], few.predict(x))
    for dtype in ("float16", "bfloat16"):
        few = fastnn.compress.quantize(model, 16, dtype=dtype)
        (found,) = compiled(few, tmp_path)(x)
        np.testing.assert_allclose(found, few.predict(x), rtol=1e-5, atol=1e-5)
        assert np.abs(found - model.predict(x)).max() > 1e-4


def test_int8_of_zeros(tmp_path: Path) -> None:
    model = Sequential([L.Input((4,)), L.Dense(3, kernel_initializer="zeros", bias_initializer="ones")])
    (found,) = compiled(model, tmp_path, weights="int8")(np.concatenate([np.zeros((1, 4)), rows(1, 4)]))
    np.testing.assert_array_equal(found, 1)


# Files and errors.


def test_files_are_written_side_by_side(tmp_path: Path) -> None:
    model = step_net()
    model.export(tmp_path / "my-net.c", format="c")
    source, header = (tmp_path / "my-net.c").read_text(), (tmp_path / "my-net.h").read_text()
    assert '#include "my-net.h"' in source
    assert "void my_net_predict(const float *input" in header
    model.export(str(tmp_path / "my-net.c"), format="c", name="other", weights="int8")
    assert "other_predict" in (tmp_path / "my-net.h").read_text()
    assert "int8_t" in (tmp_path / "my-net.c").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my-net.c", "my-net.h"]
    with pytest.raises(ValueError, match=r"must end in \.c"):
        model.export(tmp_path / "net.cpp", format="c")
    assert tuple(to_c(model, "net")) == (to_c(model, "net").source, to_c(model, "net").header)


@pytest.mark.parametrize("name", ["", "1net", "a b", "a-b", "é", "x;", "_x", 3, b"net"])
def test_names_are_those_of_c(name: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="name"):
        to_c(step_net(), name)


def test_other_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match=r"to_c: model must be a fastnn\.models\.Model"):
        to_c("model")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights must be one of 'float32', 'int8', got 'int4'"):
        to_c(step_net(), weights="int4")
    text = L.Input((1,), dtype="string")
    model = Model(text, L.Dense(1)(L.StringLookup(vocabulary=["a"], output_mode="one_hot")(text)))
    with pytest.raises(ValueError, match="prepares columns as they come"):
        to_c(model)
    with pytest.raises(TypeError, match="unexpected keyword argument 'optimise'"):
        step_net().export("net.c", format="c", optimise=True)


def test_classes_stand_in_the_header() -> None:
    fastnn.set_random_seed(1)
    model = Sequential([L.Input((2,)), L.Dense(2, "softmax")])
    model.description.notes["classes"] = ["yes */", "no"]
    assert "Classes, in the order of the output: yes _, no" in to_c(model).header

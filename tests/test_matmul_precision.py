"""Models whose products are rounded to bfloat16: against formulas, exact numbers, threads, batches, files, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import kernels, layers as L
from fastnn.models import Model, Sequential, clone_model, load_model
from support.small import bits

here = pytest.mark.skipif(not kernels.bfloat16, reason="this processor has no products of bfloat16")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threads = fastnn.get_num_threads()
    yield
    fastnn.set_matmul_precision("float32")
    fastnn.set_num_threads(threads)


def rounded(x: Any) -> np.ndarray:
    """To bfloat16, by adding half a unit to the bits, one less where the number below is even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def gradient_of(model: Model, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The gradient of the loss of the rows as one batch: by each weight, and by x."""
    slopes, by_x = model.gradient(x, y, inputs=True)
    return [*slopes, by_x]


def assert_near(given: Any, expected: np.ndarray, k: int) -> None:
    np.testing.assert_allclose(given, expected, rtol=0, atol=(k + 8) * 2.0**-23 * (1 + abs(expected).max()))


@here
def test_dense_is_its_formula() -> None:
    """Forward, by x and by W and b, of rounded inputs; d and b as they are."""
    rng = np.random.default_rng(0)
    model = Sequential([L.Input((37,)), L.Dense(21, "relu"), L.Dense(5)])
    model.compile("sgd", "mse", matmul_precision="bfloat16")
    x, y = rng.normal(size=(50, 37)).astype(np.float32), rng.normal(size=(50, 5)).astype(np.float32)
    w, b, v, c = (array + np.float32(0.1) for array in model.get_weights())
    model.set_weights([w, b, v, c])
    fastnn.set_matmul_precision("bfloat16")
    hidden = Model(model.inputs, model.layers[0].output).predict(x, verbose=0)
    assert_near(hidden, np.maximum(rounded(x) @ rounded(w) + b, 0), 37)
    given = model.predict(x, verbose=0)
    assert_near(given, rounded(hidden) @ rounded(v) + c, 21)
    d = 2 * (given.astype(np.float64) - y) / (50 * 5)
    d_hidden = rounded(d) @ rounded(v).T * (hidden > 0)
    expected = [rounded(x).T @ rounded(d_hidden), d_hidden.sum(0), rounded(hidden).T @ rounded(d), d.sum(0)]
    expected.append(rounded(d_hidden) @ rounded(w).T)
    for got, each in zip(gradient_of(model, x, y), expected, strict=True):
        # An element of d that lies at a half is rounded by its last bit.
        np.testing.assert_allclose(got, each, rtol=0, atol=1e-4 * abs(each).max())


EXACT: dict[str, tuple[tuple[int, ...], Callable[[], list[Any]]]] = {
    "dense": ((9,), lambda: [L.Dense(7), L.Dense(4)]),
    "dense of lines": ((3, 5), lambda: [L.Dense(4)]),
    "dense, wide": ((40,), lambda: [L.Dense(35), L.Dense(3)]),
    "one filter": ((8, 8, 1), lambda: [L.Conv2D(1, 3)]),
    "few filters": ((12, 12, 2), lambda: [L.Conv2D(4, 3), L.Conv2D(2, 2)]),
    "filters": ((9, 9, 3), lambda: [L.Conv2D(20, 3)]),
    "filters over filters": ((9, 9, 8), lambda: [L.Conv2D(16, 3), L.Conv2D(4, 1)]),
    "strides": ((9, 9, 3), lambda: [L.Conv2D(18, 3, 2), L.Conv2D(4, 2)]),
    "dilation": ((9, 9, 3), lambda: [L.Conv2D(17, 2, dilation_rate=2)]),
    "groups": ((7, 7, 4), lambda: [L.Conv2D(8, 3, groups=2)]),
    "depthwise": ((7, 7, 4), lambda: [L.DepthwiseConv2D(3)]),
    "separable": ((7, 7, 4), lambda: [L.SeparableConv2D(8, 3)]),
    "turned": ((4, 4, 3), lambda: [L.Conv2DTranspose(5, 3, 2)]),
    "of one axis": ((20, 3), lambda: [L.Conv1D(6, 5, padding="same")]),
    "of three axes": ((4, 5, 4, 2), lambda: [L.Conv3D(6, 2)]),
    "steps": ((3, 4), lambda: [L.SimpleRNN(5, "linear", return_sequences=True)]),
    "many steps": ((5, 2), lambda: [L.SimpleRNN(3, "linear")]),
}


def exact_model(name: str, precision: str | None) -> tuple[Model, np.ndarray, np.ndarray]:
    """Of small whole numbers, of which nothing is lost: not by rounding, not in any sum."""
    rng = np.random.default_rng(1)
    shape, made = EXACT[name]
    model = Sequential([L.Input(shape), *made(), L.Flatten()])
    model.set_weights([rng.integers(-1, 2, w.shape) for w in model.get_weights()])
    model.compile("sgd", "mae", 2.0**-5 * model.output_shape[1], matmul_precision=precision)  # slopes of -2**-10
    x = rng.integers(-1, 2, (32, *shape)).astype(np.float32)
    return model, x, np.full((32, *model.output_shape[1:]), 1000, np.float32)


@here
@pytest.mark.parametrize("name", EXACT)
def test_exact_numbers_give_the_same_bits(name: str) -> None:
    """Where nothing is lost by rounding, everything is as with products of float32."""
    given = []
    for precision in ("float32", "bfloat16"):
        model, x, y = exact_model(name, precision)
        given.append([model.predict(x, verbose=0), *gradient_of(model, x, y)])
    for one, other in zip(*given, strict=True):
        assert abs(one).max() > 0
        np.testing.assert_array_equal(one, other)


def _attention() -> Model:
    x = L.Input((9, 8))
    h = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return Model(x, L.Dense(3)(L.Flatten()(L.Attention()([h, x, x]))))


def _recurrent(layer: Callable[..., Any], **more: Any) -> Callable[[], Model]:
    return lambda: Sequential([L.Input((9, 8)), layer(11, return_sequences=True, **more), layer(6, **more), L.Dense(3)])


KINDS: dict[str, Callable[[], Model]] = {
    "dense": lambda: Sequential([L.Input((9, 8)), L.Dense(12, "tanh"), L.Flatten(), L.Dense(3)]),
    "convolution": lambda: Sequential(
        [L.Input((9, 8)), L.Reshape((9, 8, 1)), L.Conv2D(5, 3, activation="relu"), L.Conv2D(16, 3), L.Conv2D(16, 3),
         L.Flatten(), L.Dense(3)]
    ),
    "simple": _recurrent(L.SimpleRNN),
    "lstm": _recurrent(L.LSTM),
    "lstm with dropout": _recurrent(L.LSTM, recurrent_dropout=0.2),
    "lstm of other gates": _recurrent(L.LSTM, activation="gelu"),
    "gru": _recurrent(L.GRU),
    "gru, reset before": _recurrent(L.GRU, reset_after=False),
    "both ways": lambda: Sequential([L.Input((9, 8)), L.Bidirectional(L.LSTM(6)), L.Dense(3)]),
    "attention": _attention,
}  # fmt: skip


def kind(name: str, precision: str | None = None) -> tuple[Model, np.ndarray, np.ndarray]:
    fastnn.set_random_seed(4)
    rng = np.random.default_rng(2)
    model = KINDS[name]()
    model.compile("adam", "mse", matmul_precision=precision)
    return model, rng.normal(size=(150, 9, 8)).astype(np.float32), rng.normal(size=(150, 3)).astype(np.float32)


@here
@pytest.mark.parametrize("name", KINDS)
def test_all_kinds_are_near_float32_and_not_it(name: str) -> None:
    outputs, slopes = [], []
    for precision in ("float32", "bfloat16"):
        model, x, y = kind(name, precision)
        outputs.append(model.predict(x, verbose=0).astype(np.float64))
        if "dropout" not in name:
            slopes.append(gradient_of(model, x, y))
    size = np.linalg.norm(outputs[0])
    assert 1e-5 < np.linalg.norm(outputs[1] - outputs[0]) / size < 2e-2
    if slopes:
        one, other = (np.concatenate([each.ravel() for each in part]) for part in slopes)
        assert 1e-5 < np.linalg.norm(one - other) / np.linalg.norm(one) < 3e-2


@here
@pytest.mark.parametrize("name", KINDS)
def test_bits_depend_neither_on_threads_nor_on_batches(name: str) -> None:
    left = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        model, x, y = kind(name, "bfloat16")
        model.fit(x, y, batch_size=50, epochs=2, verbose=0)
        left.append([*bits(model), model.predict(x, verbose=0).tobytes()])
    assert left[0] == left[1] == left[2]
    whole = model.predict(x, verbose=0)
    for cut in (slice(0, 1), slice(7, 20), slice(64, 150)):
        np.testing.assert_array_equal(model.predict(x[cut], verbose=0), whole[cut])


@here
@pytest.mark.parametrize("name", ["dense", "convolution", "gru"])
def test_a_fit_that_goes_on_from_a_file_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    model, x, y = kind(name, "bfloat16")
    model.fit(x, y, batch_size=50, epochs=1, shuffle=False, verbose=0)
    model.save(tmp_path / "model.fastnn")
    other = load_model(tmp_path / "model.fastnn")
    assert other.description.matmul_precision == "bfloat16"
    for each in (model, other):
        each.fit(x, y, batch_size=50, epochs=2, shuffle=False, verbose=0)
    assert bits(model) == bits(other)
    assert other.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


@here
def test_where_the_precision_is_said() -> None:
    model, x, _ = kind("dense")
    exact = model.predict(x, verbose=0)
    assert fastnn.get_matmul_precision() == "float32"
    fastnn.set_matmul_precision("bfloat16")
    assert fastnn.get_matmul_precision() == "bfloat16"
    rough = model.predict(x, verbose=0)
    assert not np.array_equal(rough, exact)
    for precision, expected in [("float32", exact), ("bfloat16", rough), (None, rough)]:
        model.compile("adam", "mse", matmul_precision=precision)
        np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    model.compile("adam", "mse", matmul_precision="bfloat16")
    fastnn.set_matmul_precision("float32")
    np.testing.assert_array_equal(model.predict(x, verbose=0), rough)
    np.testing.assert_array_equal(model.predict(x[:1], verbose=0), rough[:1])
    model.compile("adam", "mse")
    np.testing.assert_array_equal(model.predict(x, verbose=0), exact)


@here
def test_it_goes_with_copies_configurations_and_models_that_share_layers(tmp_path: Path) -> None:
    model, x, _ = kind("dense", "bfloat16")
    rough = model.predict(x, verbose=0)
    config = model.get_compile_config()
    assert config["matmul_precision"] == "bfloat16"
    copy = clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.predict(x, verbose=0), rough)
    other, _, _ = kind("dense")
    other.compile_from_config(config)
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(other.predict(x, verbose=0), rough)
    assert "matmul_precision" not in kind("dense")[0].get_compile_config()
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert lines[0].endswith("Matmul precision: bfloat16")
    # Layers move to a store with another model's; this one's products are as they were.
    Model(model.inputs, L.Dense(2)(model.layers[-1].output))
    np.testing.assert_array_equal(model.predict(x, verbose=0), rough)
    pytest.importorskip("h5py")
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras").get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("wrong", ["float16", "BFLOAT16", "", None, 16, ["bfloat16"]])
def test_unknown_precisions_are_named(wrong: Any) -> None:
    model = Sequential([L.Input((3,)), L.Dense(2)])
    with pytest.raises(ValueError, match="precision must be 'float32' or 'bfloat16', got"):
        fastnn.set_matmul_precision(wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match="compile: matmul_precision must be 'float32' or 'bfloat16', got"):
            model.compile("sgd", "mse", matmul_precision=wrong)
        assert not model.compiled
    assert fastnn.get_matmul_precision() == "float32"


ELSEWHERE = """
import sys, warnings, numpy as np, fastnn
from fastnn import kernels, layers as L
model = fastnn.Sequential([L.Input((3,)), L.Dense(2)])
assert kernels.bfloat16 == ""
for act in (lambda: fastnn.set_matmul_precision("bfloat16"),
            lambda: model.compile("sgd", "mse", matmul_precision="bfloat16")):
    try:
        act()
    except RuntimeError as error:
        print(error)
fastnn.set_matmul_precision("float32")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    model = fastnn.models.load_model(sys.argv[1])
print(said[0].message, model.description.matmul_precision)
print(model.predict(np.ones((1, 9, 8), np.float32), verbose=0).shape)
"""


def run(code: str, *args: str, **more: str) -> str:
    path = os.pathsep.join(filter(None, [str(Path(fastnn.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, **more}
    command = [sys.executable, "-P", "-c", code, *args]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@here
@pytest.mark.skipif("bfloat16_gemm" in kernels.kernels_of("baseline"), reason="every instruction set here has them")
def test_elsewhere_it_is_refused_and_files_are_read(tmp_path: Path) -> None:
    model, _, _ = kind("dense", "bfloat16")
    model.save(tmp_path / "model.fastnn")
    lines = run(ELSEWHERE, str(tmp_path / "model.fastnn"), FASTNN_ISA="baseline", FASTNN_BFLOAT16="").splitlines()
    for line, name in zip(lines, ["set_matmul_precision: precision", "compile: matmul_precision"], strict=False):
        assert line.startswith(f"{name}: products of bfloat16 need a processor with AVX-512 BF16")
        assert line.endswith("in use is baseline. Stay with 'float32'")
    assert lines[2].startswith("the model goes on with products of float32. ")
    assert lines[2].endswith(" float32")
    assert lines[3] == "(1, 3)"


FIT = """
import hashlib, numpy as np, fastnn
from fastnn import kernels, layers as L
fastnn.set_matmul_precision("bfloat16")
fastnn.set_random_seed(1)
x = L.Input((9, 8))
h = L.GRU(10, return_sequences=True)(x)
h = L.Conv1D(17, 3)(L.MultiHeadAttention(2, 4)(h, h))
model = fastnn.Model(x, L.Dense(3)(L.Flatten()(h)))
model.compile("adam", "mse")
rng = np.random.default_rng(2)
model.fit(rng.normal(size=(60, 9, 8)), rng.normal(size=(60, 3)), batch_size=20, epochs=2, verbose=0)
print(kernels.bfloat16, hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""


@pytest.mark.skipif(
    not hasattr(kernels, "emulated_gemm") or not hasattr(kernels, "bfloat16_gemm"), reason="one of the two is not here"
)
def test_a_fit_has_the_same_bits_emulated() -> None:
    (one, bits), (other, emulated) = (run(FIT, FASTNN_BFLOAT16=way).split() for way in ("", "emulated"))
    assert (one, other) == ("bfloat16_", "emulated_")
    assert bits == emulated

"""Quantised models: the same numbers as whole numbers by hand, on every instruction set and in every batching."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Model, Sequential, kernels, layers
from fastnn.compress import quantize
from fastnn.layers.quantized import quantized_in
from fastnn.models import load_model


def as_bytes(x: Any, ends: Any = None) -> tuple[Any, Any, Any]:
    """Rows as bytes, with their scales and zeros, float32 step by step."""
    low, high = (x.min(1), x.max(1)) if ends is None else np.float32(ends).repeat(len(x)).reshape(2, -1)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = (high - low) / np.float32(255)
    scale[scale == 0] = 1
    inverse = np.float32(1) / scale
    zero = np.rint(-low * inverse).astype(np.int64)
    clipped = x.clip(low[:, None], high[:, None])
    return (np.rint(clipped * inverse[:, None]).astype(np.int64) + zero[:, None]).clip(0, 255), scale, zero


def as_int8(w: Any) -> tuple[Any, Any]:
    """Columns as int8, and their scales."""
    scale = (np.abs(w.astype(np.float64)).max(0) / 127).astype(np.float32)
    return np.rint(w / scale.astype(np.float64)).astype(np.int64), scale


def product(x: Any, w: Any, bias: Any, ends: Any = None) -> Any:
    """x . w + bias by whole numbers, float32 step by step."""
    q, t, z = as_bytes(x, ends)
    k, s = as_int8(w)
    sums = (q - z[:, None]) @ k
    return bias + sums.astype(np.float32) * (t[:, None] * s)


def dense_model(*units: int, inputs: int = 37, last: str | None = None, bias: bool = True) -> Any:
    fastnn.utils.set_random_seed(3)
    own = [layers.Dense(n, "relu" if n != units[-1] else last, use_bias=bias) for n in units]
    model = Sequential([layers.Input((inputs,)), *own])
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=w.shape).astype("f4") for w in model.get_weights()])
    return model


def rows(n: int = 50, width: int = 37) -> Any:
    return np.random.default_rng(1).normal(1, 2, (n, width)).astype("f4")


@pytest.mark.parametrize("units", [(1,), (16,), (70,), (129, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_layers_are_products_of_whole_numbers(units: Any, bias: bool) -> None:
    model, x = dense_model(*units, bias=bias), rows()
    weights, h = model.get_weights(), rows()
    for number in range(len(units)):
        w, b = (weights[2 * number : 2 * number + 2]) if bias else (weights[number], np.float32(0))
        h = product(h, w, b)
        h = np.maximum(h, 0) if number + 1 < len(units) else h
    np.testing.assert_array_equal(quantize(model).predict(x), h)


def test_a_row_is_the_same_in_every_batch() -> None:
    made, x = quantize(dense_model(130, 20, 3, last="softmax")), rows(300)
    whole = made.predict(x)
    for n in (1, 2, 5, 6, 7, 13, 48, 49, 100):
        np.testing.assert_array_equal(np.concatenate([made.predict(x[i : i + n]) for i in range(0, 300, n)]), whole)


def test_the_file_gives_the_same_bits(tmp_path: Path) -> None:
    made, x = quantize(dense_model(130, 20, 3)), rows()
    made.save(tmp_path / "model.fastnn")
    again = load_model(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(again.predict(x), made.predict(x))
    assert again.count_params() == made.count_params() == dense_model(130, 20, 3).count_params()


def test_it_does_not_learn() -> None:
    made = quantize(dense_model(4))
    with pytest.raises(RuntimeError, match="compile: a quantised model predicts, and does not learn"):
        made.compile("adam", "mse")
    for call in (made.fit, made.evaluate, made.train_on_batch):
        with pytest.raises(RuntimeError, match="a quantised model predicts"):
            call(rows(), rows(50, 4))


SCRIPT = """
import numpy as np, fastnn, sys
from fastnn.models import load_model
x = np.random.default_rng(1).normal(1, 2, (200, 37)).astype("f4")
sys.stdout.write(load_model(sys.argv[1]).predict(x).tobytes().hex())
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("isa", kernels.cpu.supported())
def test_each_instruction_set_gives_the_same_bits(isa: str, threads: str, tmp_path: Path) -> None:
    made = quantize(dense_model(130, 70, 3))
    made.save(tmp_path / "model.fastnn")
    environment = {**os.environ, "FASTNN_ISA": isa, "FASTNN_NUM_THREADS": threads}
    environment["PYTHONPATH"] = str(Path(fastnn.__file__).parents[1])
    command = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path / "model.fastnn")]
    given = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert given == made.predict(rows(200)).tobytes().hex()


@pytest.mark.parametrize("columns", [1, 16, 17, 48, 49, 60, 64, 65, 113, 129, 200])
@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_weights_come_back_from_their_panels(rows: int, columns: int) -> None:
    model = Sequential([layers.Input((rows,)), layers.Dense(columns, name="dense")])
    for options in ({}, {"bits": 16}):
        made = quantize(model, **options)
        (each,) = quantized_in(made.description).values()
        step = (np.abs(model.get_weights()[0]).max(0) / 127) if not options else 1e-3
        assert (np.abs(each.floats() - model.get_weights()[0]) <= 0.501 * step).all()
        np.testing.assert_array_equal(quantize(model, **options).predict(np.eye(rows)), made.predict(np.eye(rows)))


def test_files_of_weights_are_for_float32(tmp_path: Path) -> None:
    made = quantize(dense_model(4))
    with pytest.raises(ValueError, match="save_weights: a file of weights has float32 ones; save a quantised model"):
        made.save_weights(tmp_path / "w.fastnn")
    dense_model(4).save_weights(tmp_path / "w.fastnn")
    with pytest.raises(ValueError, match="load_weights: a file of weights has float32 ones"):
        made.load_weights(tmp_path / "w.fastnn")


def test_the_summary_counts_what_is_kept_in_fewer_bits(capsys: Any) -> None:
    quantize(dense_model(4)).summary()
    shown = capsys.readouterr().out
    assert "Total params: 152 (164 bytes)" in shown
    assert "Non-trainable params: 148 (148 bytes)" in shown


class Own(Model):
    """A user's model, of a user's layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = layers.Dense(8, "relu"), layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.last(self.first(x)) + x[:, :2]


def test_models_of_own_classes() -> None:
    model, x = Own(), rows()
    right = model.predict(x)
    made = quantize(model)
    assert type(made) is Own
    assert 0 < np.abs(made.predict(x) - right).max() < 0.1
    with pytest.raises(RuntimeError, match="compile: a quantised model"):
        Model(x := fastnn.Input((37,)), layers.Dense(1)(made(x))).compile("adam", "mse")

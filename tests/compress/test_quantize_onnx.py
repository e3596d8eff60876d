"""Quantised models as ONNX: int8 weights in the file, and in ONNX Runtime what fastnn predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import Input, Model, Sequential, layers
from fastnn.compress import quantize
from fastnn.exchange import to_onnx

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def rows(*shape: int) -> Any:
    return np.random.default_rng(1).normal(0.5, 1, shape).astype("f4")


def attending() -> Any:
    x = Input((9, 6))
    return Model(x, layers.Dense(3)(layers.MultiHeadAttention(2, 8)(x, x)))


MODELS: dict[str, Any] = {
    "dense": (lambda: Sequential([layers.Input((20,)), layers.Dense(30, "relu"), layers.Dense(4, "softmax")]), (20,)),
    "convolution": (
        lambda: Sequential(
            [
                layers.Input((8, 7, 4)),
                layers.Conv2D(6, 3, activation="relu", padding="same"),
                layers.Conv2D(6, (2, 1), groups=2, use_bias=False),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        (8, 7, 4),
    ),
    "recurrent": (
        lambda: Sequential([layers.Input((9, 6)), layers.LSTM(8, return_sequences=True), layers.GRU(5)]),
        (9, 6),
    ),
    "scanned": (lambda: Sequential([layers.Input((9, 6)), layers.GRU(5, "relu", reset_after=False)]), (9, 6)),
    "attention": (attending, (9, 6)),
}


@pytest.mark.parametrize("options", [{}, {"rows": True}, {"bits": 16}, {"bits": 16, "dtype": "bfloat16"}], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_onnx_runtime_predicts_the_same(name: str, options: Any) -> None:
    make, shape = MODELS[name]
    model, x = make(), rows(12, *shape)
    made = quantize(model, **({**options, "rows": x} if "rows" in options else options))
    proto = to_onnx(made)
    kinds = {onnx.helper.tensor_dtype_to_np_dtype(each.data_type).name for each in proto.graph.initializer}
    assert {8: "int8", 16: "float16"}[options.get("bits", 8)] in kinds or options.get("dtype") == "bfloat16"
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: x})
    right, own = model.predict(x), made.predict(x)
    near = {8: 0.03, 16: 1e-5}[options.get("bits", 8)] * np.abs(right).max()
    np.testing.assert_allclose(given, own, atol=near)


def test_a_row_alone_is_the_same_by_dynamic_ranges() -> None:
    model, x = MODELS["dense"][0](), rows(5, 20)
    made = quantize(model)
    session = runtime.InferenceSession(to_onnx(made).SerializeToString(), providers=["CPUExecutionProvider"])
    for row in x:
        (given,) = session.run(None, {session.get_inputs()[0].name: row[None]})
        np.testing.assert_allclose(given, made.predict(row[None]), atol=1e-6)


def test_given_ranges_are_the_same_bytes() -> None:
    model, x = MODELS["dense"][0](), rows(50, 20)
    made = quantize(model, rows=x)
    kinds = [node.op_type for node in to_onnx(made).graph.node]
    assert kinds.count("QuantizeLinear") == 2
    assert kinds.count("DequantizeLinear") == 4
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(to_onnx(made).SerializeToString(), options, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: x})
    assert np.abs(given - made.predict(x)).max() < 2e-3

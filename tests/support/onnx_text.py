"""Graphs of ONNX from short texts, and what ONNX Runtime and fastnn make of them."""

from __future__ import annotations

from typing import Any

import numpy as np


def graph(text: str, opset: int = 17, outputs: tuple[str, ...] = ("y",), kind: int = 1, **values: Any) -> Any:
    """An onnx.ModelProto: a node a line, as onnx.parser reads them. values: a shape of an input, or an array.

    An open size is None, or a text; an input whose name begins with "ids" is int64.
    """
    from onnx import TensorProto, helper, numpy_helper, parser

    inputs = [
        helper.make_tensor_value_info(
            name,
            TensorProto.INT64 if name.startswith("ids") else TensorProto.FLOAT,
            ["rows" if size is None else size for size in value],
        )
        for name, value in values.items()
        if isinstance(value, tuple)
    ]
    arrays = [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items() if not isinstance(v, tuple)]
    nodes = [parser.parse_node(line.strip()) for line in text.strip().splitlines() if line.strip()]
    for node in nodes:
        if node.op_type in ("Scaler", "Normalizer", "ArrayFeatureExtractor", "ZipMap"):
            node.domain = "ai.onnx.ml"
    given = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    made = helper.make_graph(nodes, "made", inputs, given, arrays)
    domains = [("", opset), ("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=[helper.make_opsetid(*each) for each in domains], ir_version=8)


def rows_for(proto: Any, rows: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers for each input."""
    rng = np.random.default_rng(seed)
    known = {tensor.name for tensor in proto.graph.initializer}
    found = {}
    for each in proto.graph.input:
        if each.name in known:
            continue
        shape = [axis.dim_value or rows for axis in each.type.tensor_type.shape.dim]
        whole = each.type.tensor_type.elem_type == 7
        found[each.name] = rng.integers(0, 4, shape) if whole else rng.normal(0, 1.5, shape).astype(np.float32)
    return found


def runtime(proto: Any, feed: dict[str, np.ndarray]) -> list[Any]:
    """What ONNX Runtime gives."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    if b"DequantizeLinear" in data:  # which it may take for a product of whole numbers, 0.03 from what the ops say
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    found: list[Any] = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feed)
    return found


def check(proto: Any, tolerance: float = 1e-5, rows_at: int = 0, **named: Any) -> Any:
    """The model that ``from_onnx`` makes, once it has given what ONNX Runtime gives. rows_at: their axis outside."""
    from fastnn.exchange import from_onnx

    feed = rows_for(proto)
    expected = [each for each in runtime(proto, feed) if getattr(each, "dtype", None) == np.float32]
    model = from_onnx(proto, **named)
    columns = [np.moveaxis(feed[name], rows_at, 0) for name in feed]
    found = model.predict(columns if len(columns) > 1 else columns[0], verbose=0)
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        other = np.moveaxis(other, rows_at, 0)
        assert one.shape == other.shape
        np.testing.assert_array_less(np.abs(one - other), tolerance * np.maximum(1, np.abs(other)))
    return model

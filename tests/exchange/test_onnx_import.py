"""Graphs of ONNX as models: every op that is read, beside ONNX Runtime; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from support.onnx_text import check, graph, rows_for, runtime

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from fastnn.exchange import from_onnx

RNG = np.random.default_rng(7)


def some(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


ONE = {"x": (None, 6)}
PICTURE = {"x": (None, 3, 7, 6)}
STEPS = {"x": (5, None, 4)}  # the rows second, as ONNX's recurrent ops have them
FLAT = np.array([0, -1])
UNITS = (
    "Relu Sigmoid Tanh Softplus Softsign Exp HardSwish Selu Abs Neg Sin Cos Erf Sign Floor Ceil Round Identity Elu Celu"
)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{op: (f"y = {op}(x)", ONE) for op in UNITS.split()},
    "LeakyRelu": ("y = LeakyRelu<alpha=0.2>(x)", ONE),
    "Elu alpha": ("y = Elu<alpha=0.5>(x)", ONE),
    "HardSigmoid": ("y = HardSigmoid<alpha=0.16666667, beta=0.5>(x)", ONE),
    "HardSigmoid of torch's": ("y = HardSigmoid<alpha=0.5, beta=0.5>(x)", ONE),
    "Shrink hard": ("y = Shrink<lambd=0.4, bias=0.0>(x)", ONE),
    "Shrink soft": ("y = Shrink<lambd=0.4, bias=0.4>(x)", ONE),
    "Clip six": ("y = Clip(x, low, high)", {**ONE, "low": np.float32(0), "high": np.float32(6)}),
    "Clip one": ("y = Clip(x, low, high)", {**ONE, "low": np.float32(-1), "high": np.float32(1)}),
    "Clip above": ("y = Clip(x, , high)", {**ONE, "high": np.float32(0.3)}),
    "Clip both": ("y = Clip(x, low, high)", {**ONE, "low": np.float32(-0.2), "high": np.float32(0.3)}),
    "PRelu": ("y = PRelu(x, a)", {**ONE, "a": some(6)}),
    "PRelu of a picture": ("y = PRelu(x, a)", {**PICTURE, "a": some(3, 1, 1)}),
    "PRelu of one slope": ("y = PRelu(x, a)", {**PICTURE, "a": some(1)}),
    "Sqrt and Log": ("a = Abs(x)\nb = Sqrt(a)\nc = Log(a)\nd = Reciprocal(a)\ny = Sum(b, c, d)", ONE),
    "Dropout": ("y = Dropout(x)", ONE),
    # Products.
    "Gemm": ("y = Gemm(x, w, b)", {**ONE, "w": some(6, 3), "b": some(3)}),
    "Gemm turned and scaled": (
        "y = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w, b)",
        {**ONE, "w": some(3, 6), "b": some(1, 3)},
    ),
    "Gemm without bias": ("y = Gemm<transB=1, alpha=-1.5>(x, w)", {**ONE, "w": some(3, 6)}),
    "Gemm, one bias": ("y = Gemm(x, w, b)", {**ONE, "w": some(6, 3), "b": some(1)}),
    "Gemm of rows": ("a = Gemm(x, w)\ny = Gemm<beta=3.0>(x, v, a)", {**ONE, "w": some(6, 2), "v": some(6, 2)}),
    "MatMul": ("y = MatMul(x, w)", {**ONE, "w": some(6, 3)}),
    "MatMul and Add": ("a = MatMul(x, w)\ny = Add(b, a)", {**ONE, "w": some(6, 3), "b": some(1, 3)}),
    "MatMul and Add read twice": (
        "a = MatMul(x, w)\nb = Add(a, c)\ny = Mul(a, b)",
        {**ONE, "w": some(6, 3), "c": some(3)},
    ),
    "MatMul of a vector": ("y = MatMul(x, w)", {**PICTURE, "w": some(6)}),
    "MatMul from the left": ("y = MatMul(w, x)", {**PICTURE, "w": some(2, 7)}),
    "MatMul of steps": ("a = MatMul(x, w)\ny = Relu(a)", {**PICTURE, "w": some(6, 2)}),
    "MatMul of two": ("t = Transpose<perm=[0, 2, 1]>(x)\ny = MatMul(x, t)", {"x": (None, 4, 3)}),
    "MatMul of two, by heads": ("t = Transpose<perm=[0, 1, 3, 2]>(x)\ny = MatMul(x, t)", {"x": (None, 2, 4, 3)}),
    "activation fused": (
        "a = Gemm(x, w, b)\nc = Relu(a)\nd = Gemm(c, v)\ny = Softmax(d)",
        {**ONE, "w": some(6, 4), "b": some(4), "v": some(4, 3)},
    ),
    # Two values.
    "Add": ("y = Add(x, b)", {**ONE, "b": some(6)}),
    "Sub": ("y = Sub(x, b)", {**ONE, "b": some(1, 6)}),
    "Sub from": ("y = Sub(b, x)", {**ONE, "b": some(6)}),
    "Mul": ("y = Mul(x, b)", {**ONE, "b": some(6)}),
    "Div": ("y = Div(x, b)", {**ONE, "b": some(6)}),
    "Div of": ("a = Exp(x)\ny = Div(b, a)", {**ONE, "b": some(6)}),
    "one number": ("a = Mul(x, b)\nc = Add(a, b)\nd = Sub(b, c)\ny = Div(d, b)", {**ONE, "b": np.float32(1.7)}),
    "Pow": ("a = Abs(x)\nb = Pow(a, c)\ny = Pow(x, d)", {**ONE, "c": np.float32(1.5), "d": np.float32(2)}),
    "Max and Min": ("a = Max(x, b)\ny = Min(a, c, x)", {**ONE, "b": some(6), "c": np.float32(0.5)}),
    "Mean": ("a = Relu(x)\ny = Mean(x, a, b)", {**ONE, "b": some(6)}),
    "of a picture": (
        "a = Add(x, b)\nc = Mul(a, d)\ny = Sub(c, e)",
        {**PICTURE, "b": some(3, 1, 1), "d": some(1, 1, 1, 6), "e": some(3, 7, 6)},
    ),
    "of a picture, many numbers": ("y = Mul(x, b)", {"x": (None, 3, 20, 30), "b": some(3, 20, 30)}),
    "wider": ("y = Add(x, b)", {"x": (None, 3, 1), "b": some(3, 4)}),
    "one for each of two views": ("a = ReduceMean<axes=[2, 3], keepdims=1>(x)\ny = Mul(x, a)", PICTURE),
    "compared": (
        "a = Greater(x, b)\nc = Less(x, d)\ne = And(a, c)\nf = Not(e)\ng = Or(f, a)\ny = Where(g, x, d)",
        {**ONE, "b": np.float32(-0.5), "d": np.float32(0.5)},
    ),
    "compared with equal": (
        "a = Round(x)\nb = Equal(a, c)\nd = GreaterOrEqual(a, c)\ne = LessOrEqual(a, c)\n"
        "f = Cast<to=1>(b)\ng = Cast<to=1>(d)\nh = Cast<to=1>(e)\ny = Concat<axis=1>(f, g, h)",
        {**ONE, "c": np.float32(1)},
    ),
    "Where of an array": ("y = Where(c, x, b)", {**ONE, "c": np.arange(6) % 2 == 0, "b": np.float32(-9)}),
    "Cast to whole numbers": ("a = Mul(x, b)\nc = Cast<to=7>(a)\ny = Cast<to=1>(c)", {**ONE, "b": np.float32(3)}),
    "whole numbers divided": (
        "a = Sub(ids, t)\nb = Div(a, t)\ny = Cast<to=1>(b)",
        {"ids": (None, 6), "t": whole(2)},
    ),
    # Axes.
    "Reshape": ("y = Reshape(x, s)", {**PICTURE, "s": whole(0, 7, -1)}),
    "Reshape across axes": ("y = Reshape(x, s)", {**PICTURE, "s": whole(-1, 9, 14)}),
    "Flatten": ("y = Flatten(x)", PICTURE),
    "Transpose": ("y = Transpose<perm=[0, 3, 1, 2]>(x)", PICTURE),
    "Transpose and back": ("a = Transpose<perm=[1, 3, 0, 2]>(x)\ny = Transpose<perm=[2, 0, 3, 1]>(a)", PICTURE),
    "Transpose, Flatten, Gemm": (
        "a = Transpose<perm=[0, 2, 3, 1]>(x)\nb = Flatten(a)\ny = Gemm(b, w)",
        {**PICTURE, "w": some(126, 4)},
    ),
    "Squeeze and Unsqueeze": (
        "a = Unsqueeze(x, o)\nb = Squeeze(a, o)\nc = Unsqueeze(b, p)\ny = Relu(c)",
        {**ONE, "o": whole(1), "p": whole(-1, 1)},
    ),
    "Expand": ("a = Unsqueeze(x, o)\ny = Expand(a, s)", {**ONE, "o": whole(1), "s": whole(1, 3, 6)}),
    "ReduceMean": ("y = ReduceMean<axes=[1]>(x)", PICTURE),
    "ReduceMax": ("y = ReduceMax<axes=[2, 3], keepdims=0>(x)", PICTURE),
    "ReduceMin": ("a = Transpose<perm=[0, 2, 3, 1]>(x)\ny = ReduceMin<axes=[-1], keepdims=0>(a)", PICTURE),
    "ReduceSum": ("y = ReduceSum<keepdims=0>(x, a)", {**PICTURE, "a": whole(1, 3)}),
    "ReduceL2": ("y = ReduceL2<axes=[1]>(x)", ONE),
    # Parts.
    "Slice": (
        "a = Slice(x, s, e, t)\ny = Slice(a, f, g, u, n)",
        {
            **PICTURE,
            "s": whole(1, 2),
            "e": whole(2**63 - 1, -1),
            "t": whole(1, 2),
            "f": whole(-1),
            "g": whole(-(2**63)),
            "u": whole(3),
            "n": whole(-2),
        },
    ),
    "Split": ("a, b = Split<axis=1>(x, s)\ny = Concat<axis=1>(b, a)", {**ONE, "s": whole(2, 4)}),
    "Split alike": ("a, b, c = Split<axis=-1>(x)\ny = Sub(a, c)", PICTURE),
    "Gather": ("y = Gather<axis=1>(x, i)", {**ONE, "i": whole(4, 0, 0, -1)}),
    "Gather one": ("y = Gather<axis=2>(x, i)", {**PICTURE, "i": np.int64(-2)}),
    "Gather backwards": ("y = Gather<axis=3>(x, i)", {**PICTURE, "i": whole(5, 3, 1)}),
    "Embedding": ("a = Gather(w, ids)\ny = ReduceMean<axes=[1], keepdims=0>(a)", {"ids": (None, 6), "w": some(4, 3)}),
    "ids that are cast": (
        "a = Abs(x)\nb = Clip(a, , m)\nc = Cast<to=7>(b)\ny = Gather(w, c)",
        {"x": (None, 1), "m": np.float32(0), "w": some(4, 3)},
    ),
    "Concat": ("a = Relu(x)\ny = Concat<axis=1>(x, a, x)", PICTURE),
    "Concat of an array": (
        "s = Shape(x)\nn = Slice(s, zero, one)\nt = Concat<axis=0>(n, one, four)\nc = Expand(k, t)\n"
        "y = Concat<axis=1>(c, x)",
        {"x": (None, 3, 4), "k": some(1, 1, 4), "zero": whole(0), "one": whole(1), "four": whole(4)},
    ),
    "Pad": ("y = Pad(x, p, v)", {**PICTURE, "p": whole(0, 0, 1, 2, 0, 1, 0, 3), "v": np.float32(0.7)}),
    "Pad far apart": ("y = Pad(x, p)", {"x": (None, 2, 3, 4, 5), "p": whole(0, 1, 0, 0, 1, 0, 0, 0, 0, 2)}),
    "Pad that cuts": ("y = Pad(x, p)", {**PICTURE, "p": whole(0, 0, -1, 1, 0, 0, 1, -2)}),
    "OneHot": ("a = OneHot(ids, d, v)\ny = Cast<to=1>(a)", {"ids": (None, 2), "d": whole(4), "v": whole(0, 1)}),
    "ArrayFeatureExtractor": ("y = ArrayFeatureExtractor(x, i)", {**ONE, "i": whole(3, 1)}),
    # Pictures.
    "Conv": ("y = Conv<pads=[1, 1, 1, 1]>(x, w, b)", {**PICTURE, "w": some(4, 3, 3, 3), "b": some(4)}),
    "Conv of strides": ("y = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w)", {**PICTURE, "w": some(4, 3, 3, 3)}),
    "Conv of a border of its own": (
        "y = Conv<pads=[2, 0, 1, 3], strides=[1, 2]>(x, w)",
        {**PICTURE, "w": some(4, 3, 3, 2)},
    ),
    "Conv dilated": ("y = Conv<dilations=[2, 1]>(x, w)", {**PICTURE, "w": some(4, 3, 3, 3)}),
    "Conv in groups": ("y = Conv<group=3>(x, w)", {**PICTURE, "w": some(6, 1, 3, 3)}),
    "Conv SAME_UPPER": ('y = Conv<auto_pad="SAME_UPPER", strides=[2, 2]>(x, w)', {**PICTURE, "w": some(4, 3, 4, 3)}),
    "Conv SAME_LOWER": ('y = Conv<auto_pad="SAME_LOWER", strides=[2, 2]>(x, w)', {**PICTURE, "w": some(4, 3, 4, 3)}),
    "Conv of steps": ("y = Conv<pads=[2, 0]>(x, w, b)", {"x": (None, 3, 9), "w": some(4, 3, 3), "b": some(4)}),
    "Conv of three axes": ("y = Conv(x, w)", {"x": (None, 2, 4, 5, 3), "w": some(3, 2, 2, 2, 2)}),
    "ConvTranspose": (
        "y = ConvTranspose<strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[1, 0]>(x, w, b)",
        {**PICTURE, "w": some(3, 4, 3, 2), "b": some(4)},
    ),
    "MaxPool": ("y = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x)", PICTURE),
    "MaxPool with a border": ("y = MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(x)", PICTURE),
    "MaxPool of its own border": ("y = MaxPool<kernel_shape=[3, 2], pads=[2, 1, 0, 0]>(x)", PICTURE),
    "AveragePool": ("y = AveragePool<kernel_shape=[2, 3], strides=[2, 1]>(x)", PICTURE),
    "AveragePool with its border": (
        "y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1>(x)",
        PICTURE,
    ),
    "AveragePool without": ("y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(x)", PICTURE),
    "GlobalAveragePool": ("a = GlobalAveragePool(x)\ny = Flatten(a)", PICTURE),
    "GlobalMaxPool": ("y = GlobalMaxPool(x)", PICTURE),
    "a network on pictures": (
        "a = Conv<pads=[1, 1, 1, 1]>(x, w, b)\nc = Relu(a)\nd = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(c)\n"
        "e = Conv(d, v)\nf = Add(e, g)\nh = Flatten(f)\ni = Gemm<transB=1>(h, u)\ny = LogSoftmax(i)",
        {
            **PICTURE,
            "w": some(4, 3, 3, 3),
            "b": some(4),
            "v": some(5, 4, 2, 2),
            "g": some(5, 1, 1),
            "u": some(3, 20),
        },
    ),
    # Normalisation.
    "BatchNormalization": (
        "y = BatchNormalization<epsilon=0.001>(x, g, b, m, v)",
        {**ONE, "g": some(6), "b": some(6), "m": some(6), "v": abs(some(6))},
    ),
    "BatchNormalization of a picture": (
        "y = BatchNormalization(x, g, b, m, v)",
        {**PICTURE, "g": some(3), "b": some(3), "m": some(3), "v": abs(some(3))},
    ),
    "one array for two": ("y = BatchNormalization(x, o, z, z, o)", {**ONE, "o": np.ones(6, "f"), "z": some(6)}),
    "LayerNormalization": ("y = LayerNormalization(x, g, b)", {**PICTURE, "g": some(6), "b": some(6)}),
    "LayerNormalization of two axes": (
        "a = Transpose<perm=[0, 1, 3, 2]>(x)\ny = LayerNormalization<axis=2>(a, g)",
        {**PICTURE, "g": some(6, 7)},
    ),
    "InstanceNormalization": ("y = InstanceNormalization(x, g, b)", {**PICTURE, "g": some(3), "b": some(3)}),
    "Softmax of channels": ("y = Softmax<axis=1>(x)", PICTURE),
    "LogSoftmax of channels": ("y = LogSoftmax<axis=1>(x)", PICTURE),
    "Scaler": ("y = Scaler<offset=[1000.5, 2.0, 0.0], scale=[0.01, 30.0, 1.0]>(x)", {"x": (None, 3)}),
    "Scaler of one number": ("y = Scaler<offset=[1.5], scale=[-2.0]>(x)", {"x": (None, 3)}),
    **{f"Normalizer {norm}": (f'y = Normalizer<norm="{norm}">(x)', ONE) for norm in ("L1", "L2")},
    # Shapes that the graph works out.
    "scaffolding of shapes": (
        "s = Shape(x)\nn = Gather(s, zero)\nu = Unsqueeze(n, first)\nt = Concat<axis=0>(u, rest)\ny = Reshape(x, t)",
        {**PICTURE, "zero": np.int64(0), "first": whole(0), "rest": whole(-1, 6)},
    ),
    "rows and steps in one axis": (
        "s = Shape(x)\na = Reshape(x, flat)\nb = Gemm(a, w, c)\nd = Relu(b)\ny = Reshape(d, three)",
        {"x": (None, 4, 3), "flat": whole(-1, 3), "w": some(3, 5), "c": some(5), "three": whole(-1, 4, 5)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_op(name: str) -> None:
    text, values = CASES[name]
    model = check(graph(text, **values))
    assert all("/" not in layer.name for layer in model.layers)


@pytest.mark.parametrize("op", ["Mish", "Gelu", 'Gelu<approximate="tanh">'])
def test_op_of_later_opsets(op: str) -> None:
    check(graph(f"y = {op}(x)", 20, **ONE))


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_axes_as_attribute_and_as_input(opset: int) -> None:
    if opset < 18:
        check(graph("y = ReduceMean<axes=[-1]>(x)", opset, **PICTURE))
    else:
        check(graph("y = ReduceMean(x, a)", opset, a=whole(-1), **PICTURE))
        check(graph("y, z = Split<axis=1, num_outputs=2>(x)", opset, **PICTURE))


def test_softmax_of_old_opsets_is_of_all_axes_from_one_on() -> None:
    check(graph("y = Softmax<axis=2>(x)", 11, **PICTURE))
    check(graph("y = Softmax(x)", 11, **PICTURE))
    check(graph("y = Unsqueeze<axes=[1]>(x)", 11, **ONE))
    check(graph("y = Clip<min=-0.5, max=0.5>(x)", 9, **ONE))
    check(graph("y = Slice<starts=[1], ends=[3], axes=[1]>(x)", 9, **ONE))


# Steps.

RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(op: str, direction: str, more: str = "", **values: Any) -> Any:
    ways, gates = 1 + (direction == "bidirectional"), RECURRENT[op]
    arrays = {"w": some(ways, gates * 3, 4), "r": some(ways, gates * 3, 3), "b": some(ways, 2 * gates * 3)}
    states = ", c" if op == "LSTM" else ""
    node = f'y, h{states} = {op}<hidden_size=3, direction="{direction}"{more}>(x, w, r, b{", , s" if "s" in values else ""})'
    return graph(node, outputs=("y", "h", "c")[: 2 + (op == "LSTM")], **{**STEPS, **arrays, **values})


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", RECURRENT)
def test_recurrent(op: str, direction: str) -> None:
    proto = recurrent(op, direction)
    feed = rows_for(proto)
    expected = runtime(proto, feed)
    found = from_onnx(proto).predict(np.moveaxis(feed["x"], 1, 0), verbose=0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, np.moveaxis(other, -2, 0), atol=1e-5)


def test_what_a_recurrent_op_may_have() -> None:
    reset = recurrent("GRU", "forward", ", linear_before_reset=1")
    others = recurrent("LSTM", "forward", ', activations=["HardSigmoid", "Relu", "Tanh"]')
    begun = recurrent(
        "RNN", "bidirectional", ', activations=["Relu", "Softsign"]', s=some(2, 1, 3) * np.ones((2, 5, 1), "f")
    )
    for proto in (reset, begun):
        feed = rows_for(proto)
        found = from_onnx(proto).predict(np.moveaxis(feed["x"], 1, 0), verbose=0)
        np.testing.assert_allclose(found[1], np.moveaxis(runtime(proto, feed)[1], -2, 0), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"node 'y' \(LSTM\): activations .*are none that the layer has"):
        from_onnx(others)


def test_zero_states_that_the_graph_makes() -> None:
    text = """
    s = Shape(x)
    n = Gather(s, one)
    u = Unsqueeze(n, z)
    t = Concat<axis=0>(first, u, width)
    h = ConstantOfShape(t)
    zero = Constant<value_float=0.0>()
    c = Expand(zero, t)
    y, hh, cc = LSTM<hidden_size=3>(x, w, r, b, , h, c)
    last = Transpose<perm=[2, 1, 0]>(hh)
    """
    arrays = {"one": np.int64(1), "z": whole(0), "first": whole(1), "width": whole(3)}
    weights = {"w": some(1, 12, 4), "r": some(1, 12, 3), "b": some(1, 24)}
    proto = graph(text, outputs=("last",), **STEPS, **arrays, **weights)
    model = check(proto, rows_at=1)
    assert [type(layer).__name__ for layer in model.layers][:2] == ["InputLayer", "LSTM"]


# What models are made.


def test_it_is_a_model_like_any_other(tmp_path: Path) -> None:
    text, values = CASES["activation fused"]
    proto = graph(text, **values)
    onnx.save(proto, tmp_path / "m.onnx")
    model = from_onnx(tmp_path / "m.onnx")
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Dense", "Dense"]
    assert [layer.activation.table_name for layer in model.layers[1:]] == ["relu", "softmax"]
    rows = rows_for(proto)["x"]
    before = model.predict(rows, verbose=0)
    model.save(tmp_path / "m.fastnn")
    np.testing.assert_array_equal(fastnn.models.load_model(tmp_path / "m.fastnn").predict(rows, verbose=0), before)
    model.compile(fastnn.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    history = model.fit(rows, np.arange(5) % 3, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    np.testing.assert_array_equal(from_onnx(proto.SerializeToString()).predict(rows, verbose=0), before)


def test_equal_arrays_are_each_layers_own() -> None:
    text, values = CASES["one array for two"]
    proto = graph(text, **values)
    model = from_onnx(proto)
    model.layers[1].set_weights([2 * np.ones(6), np.zeros(6), np.zeros(6), np.ones(6)])
    np.testing.assert_array_equal(from_onnx(proto).layers[1].get_weights()[1], values["z"])


def test_attention_is_one_layer() -> None:
    text = """
    t = Transpose<perm=[0, 1, 3, 2]>(x)
    a = MatMul(x, t)
    b = Div(a, c)
    m = Add(b, mask)
    s = Softmax<axis=-1>(m)
    y = MatMul(s, x)
    """
    mask = np.triu(np.full((4, 4), -np.inf, np.float32), 1)
    model = check(graph(text, x=(None, 2, 4, 3), c=np.float32(1.7), mask=mask))
    assert [type(layer).__name__ for layer in model.layers][-1] == "Attention"
    other = np.where(mask < 0, -1e9, 0.5).astype(np.float32)
    model = check(graph(text, x=(None, 2, 4, 3), c=np.float32(1.7), mask=other))
    assert "Attention" not in {type(layer).__name__ for layer in model.layers}


def test_several_inputs_and_outputs() -> None:
    text = "a = Gemm(x, w)\nb = Add(a, z)\ny = Relu(b)\nc = Concat<axis=1>(x, z)"
    model = check(graph(text, outputs=("y", "c"), x=(None, 4), z=(None, 3), w=some(4, 3)))
    assert model.input_names == ["x", "z"]


def test_a_number_of_rows_that_is_fixed() -> None:
    text = "a = Reshape(x, s)\nb = Gemm(a, w)\ny = Relu(b)"
    check(graph(text, x=(5, 4, 3), s=whole(5, 12), w=some(12, 2)))
    check(graph(text, x=(1, 4, 3), s=whole(1, 12), w=some(12, 2)))


def test_axes_that_the_file_leaves_open() -> None:
    proto = graph("y = ReduceMean<axes=[1], keepdims=0>(x)", x=(None, "steps", 3))
    with pytest.raises(ValueError, match=r"input 'x' has rows of shape \(None, 3\); .*input_shapes=\{'x'"):
        from_onnx(proto)
    model = from_onnx(proto, input_shapes={"x": (7, 3)})
    rows = some(4, 7, 3)
    np.testing.assert_allclose(model.predict(rows, verbose=0), rows.mean(1), atol=1e-6)
    with pytest.raises(ValueError, match="input_shapes has 'z'"):
        from_onnx(proto, input_shapes={"x": (7, 3), "z": 3})
    for wrong in ({"x": (0, 3)}, {"x": (2**40, 3)}, {"x": 3}):
        with pytest.raises(ValueError, match="from_onnx: input"):
            from_onnx(proto, input_shapes=wrong)
    for odd in ({"x": ("a", 3)}, 3):
        with pytest.raises(TypeError, match="from_onnx: input"):
            from_onnx(proto, input_shapes=odd)


def test_labels_are_left_out_and_classes_kept() -> None:
    text = """
    p = Softmax(x)
    i = ArgMax<axis=1, keepdims=0>(p)
    l = ArrayFeatureExtractor(names, i)
    """
    with pytest.warns(UserWarning, match="left out 'l'"):
        proto = graph(text, outputs=("p",), x=(None, 3), names=np.array([7, 8, 9]))
        proto.graph.output.insert(0, onnx.helper.make_tensor_value_info("l", 7, None))
        model = from_onnx(proto)
    assert model.description.notes["classes"] == [7, 8, 9]
    zipped = graph('y = ZipMap<classlabels_strings=["a", "b", "c"]>(x)', kind=0, x=(None, 3))
    model = from_onnx(zipped)
    assert model.description.notes["classes"] == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"none of the outputs \['y'\] is of floats"):
        from_onnx(graph("y = ArgMax<axis=1>(x)", kind=7, x=(None, 3)))


# What is refused.

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "op": ("y = TopThree(x)", ONE, r"node 'y' \(TopThree\): no layer of fastnn does that"),
    "rows summed": ("y = ReduceSum<keepdims=0>(x, a)", {**ONE, "a": whole(0)}, "mixes numbers of different rows"),
    "rows reduced": ("y = ReduceMean<keepdims=0>(x)", ONE, "mixes numbers of different rows"),
    "rows turned round": ("a = Transpose<perm=[1, 0]>(x)\ny = MatMul(a, x)", ONE, "different rows"),
    "softmax of rows": ("y = Softmax<axis=0>(x)", ONE, "different rows"),
    "rows cut": ("y = Slice(x, s, e)", {**ONE, "s": whole(1), "e": whole(3)}, "different rows"),
    "rows taken": ("y = Gather<axis=0>(x, i)", {**ONE, "i": whole(1)}, "different rows"),
    "rows joined": ("y = Concat<axis=0>(x, x)", ONE, "different rows"),
    "rows parted": ("y, z = Split<axis=0>(x)", ONE, "different rows"),
    "rows in columns": ("y = Reshape(x, s)", {**ONE, "s": whole(3, -1)}, "different rows"),
    "Normalizer": ('y = Normalizer<norm="MAX">(x)', ONE, "none of L1 and L2"),
    "rows counted": ("s = Shape(x)\nc = Cast<to=1>(s)\ny = Div(x, c)", ONE, "number of rows"),
    "a kernel worked out": ("w = Relu(x)\ny = Conv(x, w)", PICTURE, r"\(Conv\): its kernel must be known"),
    "a kernel of another size": ("y = Gemm(x, w)", {**ONE, "w": some(5, 3)}, "do not go together"),
    "numbers for each row": ("y = Add(x, b)", {"x": (2, 6), "b": some(2, 6)}, "numbers of its own for each row"),
    "an axis that is not there": ("y = Softmax<axis=5>(x)", ONE, "no axis 5"),
    "a large array": ("c = ConstantOfShape(s)\ny = Add(x, c)", {**ONE, "s": whole(2**20, 2**20)}, "at most"),
    "a large range": ("r = Range(a, b, c)\ny = Add(x, r)", {**ONE, "a": whole(0)[0], "b": whole(2**60)[0], "c": whole(1)[0]}, "at most"),
    "a large product": ("a = Expand(o, s)\nb = Expand(o, t)\nc = MatMul(a, b)\ny = Add(x, c)", {**ONE, "o": np.ones((1, 1), "f"), "s": whole(2**24, 2), "t": whole(2, 2**24)}, "at most"),
    "a large border": ("y = Pad(x, p)", {**ONE, "p": whole(0, 2**40, 0, 0)}, "2\\*\\*20"),
    "text": ("y = Identity(x)\nz = Cast<to=8>(y)", ONE, "do not become text"),
    "training": ("y = BatchNormalization<training_mode=1>(x, g, g, g, g)", {**ONE, "g": np.ones(6, "f")}, "rows' moments"),
    "an attribute of another type": ("y = Softmax<axis=1.5>(x)", ONE, "attribute 'axis' has a value of another type"),
    "nothing gives it": ("y = Relu(q)", ONE, "'q', which nothing gives"),
    "ceil_mode": ("y = MaxPool<kernel_shape=[2, 2], strides=[4, 4], ceil_mode=1>(x)", PICTURE, "ceil_mode"),
    "dilated windows": ("y = MaxPool<kernel_shape=[2, 2], dilations=[2, 2]>(x)", PICTURE, "dilations"),
    "a reflected border": ('y = Pad<mode="reflect">(x, p)', {**ONE, "p": whole(0, 1, 0, 1)}, "reflect"),
    "Shrink": ("y = Shrink<lambd=0.4, bias=0.1>(x)", ONE, "none that fastnn has"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, values, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as error:
        from_onnx(graph(text, outputs=(text.rsplit(" = ")[-2].split()[-1].split(",")[0],), **values))
    assert str(error.value).startswith("from_onnx: node '")


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")
    for content in (b"", b"\x08", b"\xff" * 50, b"{}", b"\x93NUMPY"):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="from_onnx: "):
            from_onnx(tmp_path / "m.onnx")
    for odd in (None, 3, [1], "a\0b", ""):
        with pytest.raises((TypeError, ValueError), match="from_onnx: path"):
            from_onnx(odd)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r'from_onnx needs onnx: pip install "fastnn\[onnx\]"'):
        from_onnx(b"")


def test_data_in_another_file_is_never_opened(tmp_path: Path) -> None:
    proto = graph("y = Gemm(x, w)", **ONE, w=some(6, 3))
    onnx.save_model(proto, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    with pytest.raises(ValueError, match="array 'w' lies in another file, which is not opened"):
        from_onnx(tmp_path / "m.onnx")
    outside = graph("w = Constant<value=float[1] {1}>()\ny = Mul(x, w)", **ONE)
    tensor = outside.graph.node[0].attribute[0].t
    tensor.ClearField("float_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    with pytest.raises(ValueError, match="lies in another file"):
        from_onnx(outside)


def test_sizes_are_bounded_before_memory_is_taken() -> None:
    proto = graph("y = Gemm(x, w)", **ONE, w=some(6, 3))
    proto.graph.initializer[0].dims[:] = [2**30, 2**30]
    with pytest.raises(ValueError, match="asks for more numbers than there are"):
        from_onnx(proto)
    proto.graph.initializer[0].dims[:] = [-6, -3]
    with pytest.raises(ValueError, match="its shape"):
        from_onnx(proto)
    many = graph("y = Relu(x)", **ONE)
    for _ in range(20_001):
        many.graph.node.add(op_type="Relu")
    with pytest.raises(ValueError, match="at most 20,000 nodes, got 20,002"):
        from_onnx(many)
    grown = graph(
        "a = Expand(o, s)\n" + "\n".join(f"a{k + 1} = Exp(a{k or ''})" for k in range(9)) + "\ny = Add(x, a9)",
        **{**ONE, "o": np.float32([1]), "s": whole(2**23)},
    )
    with pytest.raises(ValueError, match="much larger than the file"):
        from_onnx(grown)
    deep = graph(
        "\n".join(["y0 = Relu(x)", *(f"y{k + 1} = Add(y{k}, y{k})" for k in range(1100))]), outputs=("y1100",), **ONE
    )
    with pytest.raises(ValueError, match="at most 1000 layers"):
        from_onnx(deep)


@pytest.mark.parametrize("opset", [0, 8, 27])
def test_opsets(opset: int) -> None:
    with pytest.raises(ValueError, match=f"reads opset 9 to 26, got {opset}"):
        from_onnx(graph("y = Relu(x)", opset, **ONE))


def test_inputs_of_which_no_rows_are_known() -> None:
    proto = graph("y = Relu(x)", **ONE)
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ValueError, match="input 'x' is text, or has no axis of rows"):
        from_onnx(proto)
    proto = graph("y = Relu(x)", **ONE)
    proto.graph.input[0].type.tensor_type.elem_type = 8
    with pytest.raises(ValueError, match="input 'x' is text"):
        from_onnx(proto)


def test_rows_that_are_single_numbers() -> None:
    model = check(
        graph(
            "a = Unsqueeze(x, o)\nb = Gemm(a, w)\nc = Squeeze(b, o)\ny = Tanh(c)", x=(None,), o=whole(1), w=some(1, 1)
        )
    )
    assert isinstance(model.layers[0], L.InputLayer)

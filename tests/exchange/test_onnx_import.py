"""Graphs of ONNX as models: every op that is read, beside ONNX Runtime; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.compress
import fastnn.layers as L
from fastnn.exchange import from_onnx
from support.onnx_cases import CASES, ONE, PICTURE, RECURRENT, STEPS, recurrent, some, whole
from support.onnx_text import check, graph, rows_for, runtime

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


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


def test_a_quantised_file_of_ours_comes_back() -> None:
    """Of a convolution: whole numbers by DequantizeLinear, and bytes of a given range for what they meet."""
    from fastnn.exchange import to_onnx

    rows = np.random.default_rng(0).normal(size=(5, 8, 8, 2)).astype(np.float32)
    layers = [L.Input((8, 8, 2)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(3)]
    few = fastnn.compress.quantize(fastnn.Sequential(layers), rows=rows)
    again = from_onnx(to_onnx(few))
    np.testing.assert_allclose(again.predict(rows), few.predict(rows), rtol=1e-4, atol=1e-4)


# Steps.


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
    proto = graph(text, outputs=("p",), x=(None, 3), names=np.array([7, 8, 9]))
    proto.graph.output.insert(0, onnx.helper.make_tensor_value_info("l", 7, None))
    with pytest.warns(UserWarning, match="left out 'l'"):
        model = from_onnx(proto)
    assert model.description.notes["classes"] == [7, 8, 9]
    zipped = graph('y = ZipMap<classlabels_strings=["a", "b", "c"]>(x)', kind=0, x=(None, 3))
    model = from_onnx(zipped)
    assert model.description.notes["classes"] == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"none of the outputs \['y'\] is of floats"):
        from_onnx(graph("y = ArgMax<axis=1>(x)", kind=7, x=(None, 3)))


@pytest.mark.parametrize(("values", "other"), [([1, 2, 3], 0), ([5, 6, 7], 4), ([2, 9, 0], 1)])
@pytest.mark.parametrize("kind", ["strings", "int64s"])
def test_columns_are_looked_up(kind: str, values: list[int], other: int) -> None:
    keys, text = {"strings": (["b", "a", "c"], 8), "int64s": ([70, -3, 2**40], 7)}[kind]
    proto = graph("", outputs=("y",), x=(None, 2))
    proto.graph.input[0].type.tensor_type.elem_type = text
    more = {f"keys_{kind}": keys, "values_int64s": values, "default_int64": other}
    proto.graph.node.add().CopyFrom(onnx.helper.make_node("LabelEncoder", ["x"], ["n"], domain="ai.onnx.ml", **more))
    proto.graph.node.add().CopyFrom(onnx.helper.make_node("Cast", ["n"], ["y"], to=1))
    rows = np.array([keys[:2], keys[1:], [keys[0], "q" if kind == "strings" else 8]], object if text == 8 else np.int64)
    found = from_onnx(proto).predict({"x": rows}, verbose=0)
    np.testing.assert_array_equal(found, runtime(proto, {"x": rows})[0])


# What is refused.

LONG = {"s": whole(2**24, 2), "t": whole(2, 2**24), "o": np.ones((1, 1), "f")}
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
    "a large range": ("r = Range(a, b, a)\ny = Add(x, r)", {**ONE, "a": np.int64(1), "b": np.int64(2**60)}, "most"),
    "a large product": ("a = Expand(o, s)\nb = Expand(o, t)\nc = MatMul(a, b)\ny = Add(x, c)", {**ONE, **LONG}, "most"),
    "a large border": ("y = Pad(x, p)", {**ONE, "p": whole(0, 2**40, 0, 0)}, "2\\*\\*20"),
    "dropout in training": ("y = Dropout(x, r, t)", {**ONE, "r": np.float32(0.5), "t": np.bool_(True)}, "draws"),
    "text": ("y = Identity(x)\nz = Cast<to=8>(y)", ONE, "do not become text"),
    "training": ("y = BatchNormalization<training_mode=1>(x, g, g, g, g)", {**ONE, "g": np.ones(6, "f")}, "moments"),
    "an attribute of another type": ("y = Softmax<axis=1.5>(x)", ONE, "attribute 'axis' has a value of another type"),
    "nothing gives it": ("y = Relu(q)", ONE, "'q', which nothing gives"),
    "a Resize by corners": (
        'y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , s)',
        {**PICTURE, "s": np.array([1, 1, 2, 2], "f")}, r"\(Resize\): mode 'linear' from \(7, 6\) to \(14, 12\)",
    ),
    "a cubic Resize": ('y = Resize<mode="cubic">(x, , s)', {**PICTURE, "s": np.array([1, 1, 2, 2], "f")}, "'cubic'"),
    "bytes by scales of columns": (
        "a = QuantizeLinear(x, s)\ny = DequantizeLinear(a, s)", {**ONE, "s": np.ones(6, "f")}, "expected one number",
    ),
    "TopK": ("y, z = TopK(x, k)", {**ONE, "k": whole(2)}, "no layer of fastnn does that"),
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


def _nested(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    content = b""
    for level in range(depth, 0, -1):
        tag = 0x3A if level == 1 else (0x32, 0x0A, 0x2A)[(level - 1) % 3]  # a graph, its node, the node's attribute
        size = len(content)
        content = bytes([tag, size & 127 | 128, size >> 7]) + content
    return content


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
    for content, message in (
        (b"\x3a\x80\x80\x80\x01" + b"\x0a\x00" * 2**20, "at most 1,048,576 fields"),  # two bytes, a node each
        (_nested(120), "at most 100 deep"),
    ):
        with pytest.raises(ValueError, match=message):
            from_onnx(content)
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
    with pytest.raises(ValueError, match="input 'x' has no axis of rows"):
        from_onnx(proto)
    proto = graph("y = Relu(x)", **ONE)
    proto.graph.input[0].type.tensor_type.elem_type = 8
    with pytest.raises(ValueError, match=r"from_onnx: node 'y' \(Relu\): .* reads numbers, got text"):
        from_onnx(proto)


def test_rows_that_are_single_numbers() -> None:
    model = check(
        graph(
            "a = Unsqueeze(x, o)\nb = Gemm(a, w)\nc = Squeeze(b, o)\ny = Tanh(c)", x=(None,), o=whole(1), w=some(1, 1)
        )
    )
    assert isinstance(model.layers[0], L.InputLayer)

"""A graph of ONNX for each op that is read, as short texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from support.onnx_text import graph

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
    "a product read again behind an axis more": (
        "a = Gemm(x, w)\nb = Unsqueeze(a, o)\nc = Relu(b)\nd = Squeeze(c, o)\ny = Sub(d, a)",
        {**ONE, "w": some(6, 4), "o": whole(1)},
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
    "pictures of a row": (
        "a = Reshape(x, s)\nb = Conv<pads=[1, 1, 0, 1]>(a, w, b0)\nc = Relu(b)\n"
        "d = MaxPool<kernel_shape=[2, 2], pads=[1, 0, 0, 1]>(c)\ne = GlobalAveragePool(d)\ny = Reshape(e, t)",
        {"x": (None, 4, 3, 6, 5), "s": whole(-1, 3, 6, 5), "w": some(2, 3, 3, 3), "b0": some(2), "t": whole(-1, 4, 2)},
    ),
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
RNG = np.random.default_rng(8)
CASES |= {
    "ConvTranspose in groups": (
        "y = ConvTranspose<group=3, strides=[2, 1], pads=[1, 0, 0, 1]>(x, w, b)",
        {**PICTURE, "w": some(3, 2, 3, 2), "b": some(6)},
    ),
    "ConvTranspose in groups of channels": (
        "y = ConvTranspose<group=2>(x, w)",
        {"x": (None, 4, 5, 3), "w": some(4, 3, 2, 2)},
    ),
    "MaxPool of ceil_mode": ("y = MaxPool<kernel_shape=[2, 2], strides=[4, 4], ceil_mode=1>(x)", PICTURE),
    "MaxPool of ceil_mode with a border": (
        "y = MaxPool<kernel_shape=[3, 2], strides=[3, 4], pads=[1, 0, 1, 1], ceil_mode=1>(x)",
        PICTURE,
    ),
    "MaxPool of ceil_mode that begins outside": (
        "y = MaxPool<kernel_shape=[2, 1], strides=[4, 5], pads=[1, 0, 1, 0], ceil_mode=1>(x)",
        PICTURE,
    ),
    "MaxPool of ceil_mode of steps": (
        "y = MaxPool<kernel_shape=[2], strides=[2], ceil_mode=1>(x)",
        {"x": (None, 3, 7)},
    ),
    "AveragePool of ceil_mode": ("y = AveragePool<kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1>(x)", PICTURE),
    "AveragePool of its own border": ("y = AveragePool<kernel_shape=[3, 2], pads=[2, 1, 0, 0]>(x)", PICTURE),
    "AveragePool of ceil_mode and a border": (
        "y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1>(x)",
        PICTURE,
    ),
    "Resize of blocks": (
        'y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , s)',
        {**PICTURE, "s": np.array([1, 1, 2, 3], "f")},
    ),
    "Resize of blocks by middles": ("y = Resize(x, , , s)", {"x": (2, 3, 7, 6), "s": whole(2, 3, 21, 12)}),
    "Resize of steps": ("y = Resize(x, , s)", {"x": (None, 3, 5), "s": np.array([1, 1, 4], "f")}),
    "Resize of three axes": ("y = Resize(x, , s)", {"x": (None, 2, 3, 2, 4), "s": np.array([1, 1, 2, 3, 2], "f")}),
    "Resize linear": (
        'y = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(x, , s)',
        {**PICTURE, "s": np.array([1, 1, 2, 2], "f")},
    ),
    "Resize linear to a size": ('y = Resize<mode="linear">(x, , , s)', {"x": (2, 3, 7, 6), "s": whole(2, 3, 10, 4)}),
    "weights as bytes": (
        "v = DequantizeLinear<axis=1>(w, s, z)\nc = DequantizeLinear(b, t)\ny = Gemm(x, v, c)",
        {
            **ONE,
            "w": RNG.integers(-128, 128, (6, 3)).astype(np.int8),
            "s": np.array([0.01, 0.02, 0.03], "f"),
            "z": np.array([0, 3, -5], np.int8),
            "b": np.array([10, -20, 30], np.int32),
            "t": np.float32(0.05),
        },
    ),
    "bytes of a kernel of a picture": (
        "v = DequantizeLinear<axis=0>(w, s)\ny = Conv(x, v)",
        {**PICTURE, "w": RNG.integers(0, 255, (2, 3, 3, 3)).astype(np.uint8), "s": np.array([0.01, 0.02], "f")},
    ),
    "numbers that go by bytes": (
        "a = QuantizeLinear(x, s, z)\nb = DequantizeLinear(a, s, z)\nc = QuantizeLinear(b, t, n)\n"
        "y = DequantizeLinear(c, t, n)",
        {**ONE, "s": np.float32(0.01), "z": np.uint8(120), "t": np.float32(0.013), "n": np.int8(-3)},
    ),
}

RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(op: str, direction: str, more: str = "", **values: Any) -> Any:
    ways, gates = 1 + (direction == "bidirectional"), RECURRENT[op]
    arrays = {"w": some(ways, gates * 3, 4), "r": some(ways, gates * 3, 3), "b": some(ways, 2 * gates * 3)}
    states = ", c" if op == "LSTM" else ""
    reads = f"x, w, r, b{', , s' if 's' in values else ''}"
    node = f'y, h{states} = {op}<hidden_size=3, direction="{direction}"{more}>({reads})'
    return graph(node, outputs=("y", "h", "c")[: 2 + (op == "LSTM")], **{**STEPS, **arrays, **values})


def graphs() -> list[Any]:
    """All of them."""
    return [
        *(graph(text, **values) for text, values in CASES.values()),
        *(recurrent(op, direction) for op in RECURRENT for direction in ("forward", "bidirectional")),
    ]

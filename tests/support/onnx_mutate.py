"""Models of ONNX that are almost right: bytes and fields of good ones, changed at random."""

from __future__ import annotations

import random
from typing import Any

NUMBERS = (0, 1, -1, 2, 3, 7, 255, 2**20, 2**31 - 19, 2**31, 2**40, 2**63 - 1, -(2**63))

# Ops that a node may become.
OPS = """
Abs Add And ArrayFeatureExtractor AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape
Conv ConvTranspose Cos Div Dropout Elu Equal Erf Exp Expand Flatten Floor GRU Gather Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual HardSigmoid HardSwish Identity If InstanceNormalization LSTM LabelEncoder
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop MatMul Max MaxPool Mean Min Mish Mod Mul Neg
Normalizer Not OneHot Or PRelu Pad Pow RNN Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum Relu Reshape Resize Round Scaler Selu Shape Shrink Sigmoid Sign Sin Slice Softmax Softplus Softsign Split
Sqrt Squeeze Sub Sum Tanh TopK Transpose Trilu Unsqueeze Upsample Where ZipMap
DequantizeLinear QuantizeLinear
"""
NAMES = OPS.split()


def altered_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, left out, doubled or cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(5)
        if how == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            del data[at : at + rng.choice((1, 2, 9, 200))]
        elif how == 2:
            data[at:at] = data[at : at + rng.choice((1, 4, 60))]
        elif how == 3:
            data[at:at] = rng.randbytes(rng.choice((1, 4)))
        else:
            del data[at + len(data) // 2 :]
    return bytes(data)


def altered_fields(proto: Any, rng: random.Random) -> Any:
    """A copy with one or a few fields of the graph changed, so that it is still a model."""
    made = type(proto)()
    made.CopyFrom(proto)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _alter(made.graph, rng)
    return made


def _alter(graph: Any, rng: random.Random) -> None:
    if not graph.node:
        return
    node = rng.choice(graph.node)
    names = [name for each in graph.node for name in (*each.input, *each.output)] + ["", "none"]
    how = rng.randrange(11)
    if how == 0:
        node.op_type = rng.choice(NAMES)
    elif how == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif how == 2:
        node.input.append(rng.choice(names))
    elif how == 3 and node.input:
        del node.input[-1]
    elif how == 4 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    elif how == 5:
        graph.node.remove(node)
    elif how == 6:
        graph.node.add().CopyFrom(node)
    elif how == 7 and node.attribute:
        _attribute(rng.choice(node.attribute), rng)
    elif how == 8 and graph.initializer:
        _tensor(rng.choice(graph.initializer), rng)
    elif how == 9 and graph.input:
        value = rng.choice((*graph.input, *graph.output)).type.tensor_type
        if value.shape.dim and rng.random() < 0.7:
            rng.choice(value.shape.dim).dim_value = rng.choice(NUMBERS)
        else:
            value.elem_type = rng.randrange(20)
    else:
        other = rng.choice(("axis", "group", "alpha", "perm", "axes", "pads", "strides", "to", "hidden_size"))
        each = node.attribute.add(name=other, type=rng.choice((1, 2, 3, 6, 7)))
        each.i, each.f = rng.choice(NUMBERS), rng.choice((0.0, -1.0, 1e30, float("nan")))
        each.ints.extend(rng.choice(NUMBERS) for _ in range(rng.randrange(5)))


def _attribute(each: Any, rng: random.Random) -> None:
    how = rng.randrange(6)
    if how == 0:
        each.type = rng.randrange(15)
    elif how == 1 and each.ints:
        each.ints[rng.randrange(len(each.ints))] = rng.choice(NUMBERS)
    elif how == 2:
        each.ints.append(rng.choice(NUMBERS))
    elif how == 3:
        each.i = rng.choice(NUMBERS)
    elif how == 4:
        each.s = rng.choice((b"", b"bidirectional", b"SAME_LOWER", b"\xff", b"tanh"))
    else:
        each.f = rng.choice((0.0, -1.0, 1e38, float("inf"), float("nan")))


def _tensor(tensor: Any, rng: random.Random) -> None:
    import numpy as np
    from onnx import numpy_helper

    how = rng.randrange(5)
    if how == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif how == 1:
        tensor.data_type = rng.randrange(25)
    elif how == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif how == 3 and tensor.dims:
        tensor.dims[:] = rng.choice(([], [*tensor.dims, 1], list(tensor.dims)[::-1], list(tensor.dims)[1:]))
    else:
        try:
            array = np.array(numpy_helper.to_array(tensor))
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice(NUMBERS if array.dtype.kind == "i" else (0, 1e38))
        except (ValueError, TypeError, OverflowError, IndexError):
            return
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

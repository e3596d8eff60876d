"""ONNX Runtime, for prediction: one graph of Gemm and activations, all optimizations, its own threads set alike.

The rows stand in an array that is bound once, so a caller that predicts others writes them there: `run` with an array
as its argument takes 1.5 us longer.
"""

import os
from collections.abc import Callable

import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from benchmarks.cases import LOSSES, Case, Predict, initial_weights
from benchmarks.numpy_net import Array

OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}


def graph(case: Case, rows: int) -> ModelProto:
    weights = initial_weights(case.sizes)
    constants = [numpy_helper.from_array(array, f"p{i}") for i, array in enumerate(weights)]
    activations = [case.hidden] * (len(case.sizes) - 2) + [LOSSES[case.loss][0]]
    nodes, value = [], "x"
    for i, activation in enumerate(activations):
        nodes.append(helper.make_node("Gemm", [value, f"p{2 * i}", f"p{2 * i + 1}"], [f"z{i}"]))
        value = f"z{i}"
        if activation != "linear":
            nodes.append(helper.make_node(OPERATORS[activation], [value], [f"a{i}"]))
            value = f"a{i}"
    shapes = {"x": (rows, case.sizes[0]), value: (rows, case.sizes[-1])}
    x, output = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    network = helper.make_graph(nodes, case.name, [x], [output], constants)
    return helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        graph(case, len(x)).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output(session.get_outputs()[0].name)

    def predict() -> Array:
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    return predict

"""ONNX Runtime, for prediction: one graph, all optimizations, its own threads set alike.

The rows stand in an array that is bound once, so a caller that predicts others writes them there: `run` with an array
as its argument takes 1.5 us longer.
"""

import os
from collections.abc import Callable

import numpy as np
import onnxruntime

from benchmarks.cases import Predict
from benchmarks.networks import Array
from benchmarks.rivals.onnx_layers import graph, rows_of


def predictor(case: Predict, x: Array) -> Callable[[], Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(graph(case).SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", np.ascontiguousarray(rows_of(case.network, x)))
    binding.bind_output(session.get_outputs()[0].name)

    def predict() -> Array:
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    return predict

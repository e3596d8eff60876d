"""Layers written in Python.

A subclass of ``Layer`` that has ``forward`` and ``backward`` is one:

    class Scale(Layer):
        def parameters(self, input_shape):
            return (Parameter("scale", input_shape, initializers.Ones()),)

        def forward(self, x, weights, training):
            return x * weights[0]

        def backward(self, x, a, d, weights):
            return d * weights[0], [(d * x).sum(axis=0)]

x and a: what the layer read and gave, d: the gradient of the loss by a, all float32 of some rows of a batch, (rows,
*shape of a row); several inputs make x a tuple of arrays, and the gradient by x one of gradients (None for one that has
none). weights: an array for each of ``parameters``. training: whether the call is part of ``fit``. ``backward`` gives
the gradient by x and a list of those by the weights, added up over its rows. Arrays are the layer's to keep.

Such a layer takes the GIL for each batch, and a model with one runs on one thread. What a method raises comes out of
``fit`` or ``predict`` as it is. A file names the layer's class; ``load_model`` has to be given it.
"""

from __future__ import annotations

from typing import Any

from fastnn.engine.ops import PythonOp
from fastnn.typing import Shape

__all__ = ["python_ops"]


def python_ops(layer: Any, *input_shapes: Shape) -> tuple[Any, ...]:
    """The op of a layer written in Python. TypeError for one that lacks a method."""
    if not hasattr(layer, "forward"):
        raise TypeError(
            f"{type(layer).__name__} has no forward, so it would pass its rows through; write forward(x, weights, "
            "training) and backward(x, a, d, weights), and parameters(input_shape) instead of build"
        )
    if not hasattr(layer, "backward"):
        raise TypeError(
            f"{type(layer).__name__} has forward but no backward; write backward(x, a, d, weights), which gives the "
            "gradient by x and a list of those by the weights"
        )
    shapes = [parameter.shape for parameter in layer.parameters(*input_shapes)]
    return (PythonOp(layer, input_shapes, layer.output_shape(*input_shapes), shapes),)

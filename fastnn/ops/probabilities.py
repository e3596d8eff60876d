"""Functions of ``fastnn.ops`` for classes and probabilities: one_hot and crossentropies."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._checks import check_count
from fastnn.layers.arithmetic import symbolic
from fastnn.layers.category_encoding import CategoryEncoding
from fastnn.ops._both import array_of, tensor_of
from fastnn.ops.axes import logsumexp, reshape, sum
from fastnn.ops.elements import ACTIVATIONS, add, clip, divide, log, multiply, negative, subtract

__all__ = ["binary_crossentropy", "categorical_crossentropy", "one_hot"]

EPSILON = 1e-7  # probabilities are kept this far from 0 and 1, as in Keras


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """For each whole number a row of zeros with a one in its place."""
    count = check_count("num_classes", num_classes)
    if not symbolic(x):
        found = np.eye(count, dtype=dtype or np.float32)[array_of(x).astype(int)]
        return np.moveaxis(found, -1, axis)
    tensor = tensor_of(x)
    if tensor.row[-1:] != (1,):
        tensor = reshape(tensor, (-1, *tensor.row, 1))
    return CategoryEncoding(count, "one_hot")(tensor)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """-(y log p + (1 - y) log(1 - p)), by number; p is kept 1e-7 from 0 and 1. from_logits: output is no p yet."""
    if from_logits:
        softplus = ACTIVATIONS["softplus"]
        return subtract(softplus(output), multiply(target, output))
    p = clip(output, EPSILON, 1 - EPSILON)
    return negative(add(multiply(target, log(p)), multiply(subtract(1.0, target), log(subtract(1.0, p)))))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """- the sum of y log p along the axis; from_logits: output is no p yet, else it is divided by its sum."""
    if from_logits:
        return negative(sum(multiply(target, subtract(output, logsumexp(output, axis, keepdims=True))), axis))
    p = clip(divide(output, sum(output, axis, keepdims=True)), EPSILON, 1 - EPSILON)
    return negative(sum(multiply(target, log(p)), axis))

"""Embedding: rows of weights that are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_flag
from fastnn._numbers import as_numbers
from fastnn._output import warn
from fastnn.engine.ops import EmbeddingOp
from fastnn.layers._fields import nothing, own_input_shape, parameter_of, resolve_units, size_of
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.operation import mask_op, operation
from fastnn.layers.preprocessing import Known
from fastnn.layers.tensor import Tensor
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["Embedding"]

MOST = 2**31 - 1  # ids are int32


@LAYERS.add("embedding")
@dataclass(frozen=True, eq=False, repr=False)
class Embedding(Layer):
    """A learnt row of `output_dim` numbers for each whole number. (...) -> (..., output_dim).

    input_dim: how many numbers there are, 0 to input_dim - 1; at most 2^31 - 1. From 2^24 on float32 would round an id,
    so there the model takes int32 or int64 arrays, of ids alone. The others: a name or an object. Weights: embeddings,
    (input_dim, output_dim). Another number in the data is a ValueError that names its row and column. weights:
    the array to begin with, or a list of it, in place of the initializer's values. input_length: of old scripts; it
    does nothing, as in Keras 3. mask_zero: steps whose number is 0 are masked, for the layers that come.

    sparse_updates: a step costs what its batch touches, not what the table holds: only rows with a gradient other than
    0 step, by the optimizer's own rule with the number of the common step; what it keeps of the others (momentum, means
    of gradients) waits for their next one. So Adam, RMSprop and SGD with momentum find other weights than without it;
    SGD without momentum and Adagrad the same, Ftrl too from a row's first gradient on. Plain SGD works so unasked.
    ValueError in fit where something needs all rows: weight decay, a regularizer or constraint of the table, use_ema,
    gradient_accumulation_steps, optimizers of whole variables. Sources: Kingma and Ba 2015 as TensorFlow Addons'
    LazyAdam and PyTorch's SparseAdam have it; Duchi et al. 2011, section 1; McMahan et al. 2013, algorithm 1.
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: Any = "uniform"
    embeddings_regularizer: Any = None
    embeddings_constraint: Any = None
    name: str | None = None
    input_shape: Any = None
    weights: InitVar[Any] = field(default=None, kw_only=True)
    input_length: Any = field(default=None, kw_only=True, metadata={"saved": False})
    mask_zero: bool = field(default=False, kw_only=True)
    sparse_updates: bool = field(default=False, kw_only=True)
    lora_rank: None = nothing()
    lora_alpha: None = nothing()
    quantization_config: None = nothing()

    def __post_init__(self, weights: Any) -> None:
        if self.input_length is not None:
            warn("Embedding: input_length is not needed any more; leave it out")
            self._set("input_length", None)
        for size in ("input_dim", "output_dim"):
            self._set(size, size_of(self, size))
        if self.input_dim > MOST:
            raise ValueError(f"Embedding: input_dim must be at most 2**31 - 1, got {self.input_dim}")
        resolve_units(self, "embeddings")
        check_flag(self, "mask_zero")
        check_flag(self, "sparse_updates")
        own_input_shape(self)
        if weights is not None:
            given = weights[0] if isinstance(weights, (list, tuple)) and len(weights) == 1 else weights
            self._set("_first", self._check_weights(as_numbers(given, "Embedding: weights")))
            self.build()

    def _check_weights(self, given: Array) -> Array:
        if given.shape != (self.input_dim, self.output_dim):
            raise ValueError(
                f"Embedding: weights must be an array of shape {(self.input_dim, self.output_dim)}, or a list of one, "
                f"got shape {given.shape}"
            )
        return given

    def build(self, input_shape: Any = None) -> None:
        """Make the weights, which are the same for inputs of any shape."""
        super().build((None, 1) if input_shape is None else input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        parameter = parameter_of(self, "embeddings", (self.input_dim, self.output_dim))
        first = vars(self).get("_first")
        return (parameter if first is None else parameter._replace(initializer=Known(first)),)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        return (EmbeddingOp(prod(input_shape), self.input_dim, self.output_dim),)

    def makes_mask(self) -> bool:
        return self.mask_zero

    def mask_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...] | None:
        return ((mask_op(rows[0], 0.0, False), (-2,)),) if self.mask_zero else None

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """1, of arrays True, where a number is not 0; None without mask_zero."""
        if not self.mask_zero:
            return None
        if isinstance(inputs, Tensor):
            return operation("valid", inputs, value=0.0, by_line=False)
        return as_numbers(inputs, "Embedding: inputs") != 0

    def reference(self, x: Array, embeddings: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.asarray(embeddings[np.asarray(x, int)])


Embedding.passes_mask = property(lambda layer: layer.mask_zero)  # type: ignore[assignment]
Embedding.weights = Layer.weights  # type: ignore[method-assign]  # an argument of that name, and what all layers have

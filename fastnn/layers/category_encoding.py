"""CategoryEncoding: whole numbers as rows of zeros and ones, or of counts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_choice, check_count, written
from fastnn.engine.ops import EncodeOp
from fastnn.layers._fields import nothing, own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.preprocessing import Preparing
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["CategoryEncoding"]


@LAYERS.add("category_encoding")
@dataclass(frozen=True, eq=False, repr=False)
class CategoryEncoding(Preparing):
    """Whole numbers as places in rows of `num_tokens`.

    output_mode: "multi_hot" a 1 at each number's place, "count" how often each occurs, (..., n) -> (..., num_tokens);
    "one_hot" a row for each number, (..., n) -> (..., n, num_tokens), or where n is 1 (..., num_tokens). Another number
    than 0 to num_tokens - 1 in the data is a ValueError that names its row and column.
    """

    num_tokens: Any = None
    output_mode: str = "multi_hot"
    name: str | None = None
    input_shape: Any = None
    sparse: bool = nothing(False)

    def __post_init__(self) -> None:
        if self.num_tokens is None:
            raise ValueError("CategoryEncoding: num_tokens must be set to use this layer: how many numbers there are")
        also = "`num_tokens` must be >= 1"
        self._set("num_tokens", check_count("CategoryEncoding: num_tokens", self.num_tokens, also=also))
        also = f"Unknown arg for output_mode: {written(self.output_mode)}"
        check_choice(self, "output_mode", "multi_hot", "one_hot", "count", also=also)
        own_input_shape(self)

    def _of_vector(self, x: Array) -> Array:
        found = super()._of_vector(x)
        return found.reshape(-1, self.num_tokens) if self.output_mode == "one_hot" else found

    def output_shape(self, input_shape: Shape) -> Shape:
        apart = self.output_mode == "one_hot" and input_shape[-1:] > (1,)
        return (*(input_shape if apart else input_shape[:-1]), self.num_tokens)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        line = 1 if self.output_mode == "one_hot" else input_shape[-1]
        return (EncodeOp(prod(input_shape), self.num_tokens, line, self.output_mode == "count"),)

    def reference(self, x: Array) -> DoubleArray:
        """The formula, in float64."""
        rows = np.eye(self.num_tokens)[np.asarray(x, int)]
        if self.output_mode != "one_hot":
            rows = rows.sum(axis=-2) if self.output_mode == "count" else rows.max(axis=-2)
        return np.asarray(rows.reshape(len(rows), *self.output_shape(np.shape(x)[1:])))

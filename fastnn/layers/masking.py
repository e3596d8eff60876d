"""Masking: steps that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_number
from fastnn._numbers import as_numbers
from fastnn.engine.ops import MaskedOp
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer
from fastnn.layers.operation import mask_op, operation
from fastnn.layers.tensor import Tensor
from fastnn.typing import DoubleArray, Shape

__all__ = ["Masking"]


@LAYERS.add("masking")
@dataclass(frozen=True, eq=False, repr=False)
class Masking(Layer):
    """Steps all of whose numbers are `mask_value` are masked: zeros, and no steps for the layers that come.

    (..., features) -> the same. mask_value: a number, 0 by default.
    """

    passes_mask = True
    mask_value: float = 0.0
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_number(self, "mask_value", -inf)
        self._set("mask_value", float(self.mask_value))
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError("Masking expects rows of at least one axis, (steps, features), got single numbers")
        return input_shape

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        mask = mask_op(input_shape, self.mask_value, True)
        return (mask, (-1,)), (MaskedOp(prod(input_shape[:-1]), input_shape[-1]), (-1, 0))

    def makes_mask(self) -> bool:
        return True

    def mask_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> int:
        """What the first of its two ops gives."""
        return -2

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """1, of arrays True, for each step that has a number other than mask_value."""
        if isinstance(inputs, Tensor):
            return operation("valid", inputs, value=self.mask_value, by_line=True)
        return (as_numbers(inputs, "Masking: inputs") != np.float32(self.mask_value)).any(axis=-1)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.where((x != np.float32(self.mask_value)).any(axis=-1, keepdims=True), x, 0.0)


_names.offer(globals())

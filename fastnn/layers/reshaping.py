"""Layers that say how a row's numbers are to be seen: Reshape, Identity."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from fastnn._table import check_count
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer
from fastnn.typing import Shape


@LAYERS.add("reshape")
@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """Rows of any shape -> rows of `target_shape`, the same numbers in the same order; one size may be -1, the rest."""

    target_shape: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        given = self.target_shape if isinstance(self.target_shape, (tuple, list)) else (self.target_shape,)
        sizes = tuple(size if size == -1 else check_count("Reshape: target_shape", size) for size in given)
        if not sizes or sizes.count(-1) > 1:
            raise ValueError(
                f"Reshape: target_shape has at least one axis and at most one -1, got {self.target_shape!r}"
            )
        self._set("target_shape", sizes)
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        count, known = prod(input_shape), abs(prod(self.target_shape))
        shape = tuple(count // known if size == -1 else size for size in self.target_shape)
        if prod(shape) != count:
            raise ValueError(
                f"Reshape cannot make rows of shape {self.target_shape} of rows of shape {input_shape}, which have "
                f"{count} numbers"
            )
        return shape


@LAYERS.add("identity")
@dataclass(frozen=True, eq=False)
class Identity(Layer):
    """x. Any shape -> the same."""

    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        own_input_shape(self)

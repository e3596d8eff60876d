"""Regularisers: a penalty on weights, added to the loss of every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn._table import Table, check_number
from fastnn.typing import Array


@dataclass(frozen=True)
class Regularizer:
    """l1 * sum |w| + l2 * sum w^2."""

    table_name: ClassVar[str]

    def numbers(self) -> tuple[float, float]:
        """(l1, l2)."""
        return float(getattr(self, "l1", 0.0)), float(getattr(self, "l2", 0.0))

    def reference(self, w: Array) -> float:
        """The penalty's value, in float64."""
        l1, l2 = self.numbers()
        w = np.asarray(w, float)
        return float(l1 * np.abs(w).sum() + l2 * (w**2).sum())

    def __call__(self, w: Array) -> float:
        """The penalty's value."""
        return self.reference(w)


REGULARIZERS: Table[Regularizer] = Table("regularizer", Regularizer)


@REGULARIZERS.add("l1")
@dataclass(frozen=True)
class L1(Regularizer):
    """l1 * sum |w|; its slope at 0 is taken as 0. l1: at least 0. Source: Tibshirani 1996."""

    l1: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "l1", 0)


@REGULARIZERS.add("l2")
@dataclass(frozen=True)
class L2(Regularizer):
    """l2 * sum w^2. (No factor 1/2.) l2: at least 0. Source: Hoerl and Kennard 1970."""

    l2: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "l2", 0)


@REGULARIZERS.add("l1_l2", "l1l2")
@dataclass(frozen=True)
class L1L2(Regularizer):
    """l1 * sum |w| + l2 * sum w^2. l1, l2: at least 0. Source: Zou and Hastie 2005."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "l1", 0)
        check_number(self, "l2", 0)


l1, l2, l1_l2 = L1, L2, L1L2  # Keras's lower-case spellings


def get(identifier: Any) -> Regularizer | None:
    """A regulariser from its name, class, instance or configuration; None stays None. ValueError if unknown."""
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return REGULARIZERS.from_config(identifier)
    return REGULARIZERS.get(identifier)

"""Regularisers: a penalty on weights, added to the loss of every batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import _names, kernels
from fastnn._checks import check_choice, check_count, check_number, shown
from fastnn._config import Configured, serialize as _serialize
from fastnn._fields import Fields
from fastnn._numbers import as_numbers
from fastnn._table import Table, overrides, refuse_other
from fastnn.typing import Array

STEP = 6e-6  # of central differences in float64
MOST = 1024  # weights whose slopes are found one by one


@dataclass(frozen=True, eq=False, repr=False)
class Regularizer(Fields, Configured):
    """A penalty on a parameter. `numbers` are what `kernel` reads; `whole` says that it takes a whole matrix.

    A subclass with a ``__call__(w)`` of its own, which gives the value, runs in Python, with the slopes that its
    ``gradient(w)`` gives, of w's shape; without one they are central differences, for at most 1,024 weights.
    """

    abstract: ClassVar[bool] = True
    gradient: ClassVar[Any] = None
    table_name: ClassVar[str]
    kernel: ClassVar[Any] = kernels.l1_l2
    whole: ClassVar[bool] = False

    @property
    def compiled(self) -> bool:
        """Whether training runs the kernel: not where a subclass has a value of its own."""
        return type(self) is not Regularizer and not overrides(self, "kernel", "__call__", "reference")

    def numbers(self) -> tuple[float, float]:
        """The regulariser's two numbers, (l1, l2) unless it says otherwise."""
        return float(getattr(self, "l1", 0.0)), float(getattr(self, "l2", 0.0))

    def reference(self, w: Array) -> float:
        """The penalty's value, in float64: l1 * sum |w| + l2 * sum w^2 unless it says otherwise."""
        l1, l2 = self.numbers()
        w = as_numbers(w, "w").astype(float)
        return float(l1 * np.abs(w).sum() + l2 * (w**2).sum())

    def __call__(self, w: Array) -> float:
        """The penalty's value."""
        return self.reference(w)


REGULARIZERS: Table[Regularizer] = Table("regularizer", Regularizer)


@REGULARIZERS.add("l1")
@dataclass(frozen=True, eq=False, repr=False)
class L1(Regularizer):
    """l1 * sum |w|; its slope at 0 is taken as 0. l1: at least 0. Source: Tibshirani 1996."""

    l1: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "l1", 0)


@REGULARIZERS.add("l2")
@dataclass(frozen=True, eq=False, repr=False)
class L2(Regularizer):
    """l2 * sum w^2. (No factor 1/2.) l2: at least 0. Source: Hoerl and Kennard 1970."""

    l2: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "l2", 0)


@REGULARIZERS.add("l1_l2", "l1l2")
@dataclass(frozen=True, eq=False, repr=False)
class L1L2(Regularizer):
    """l1 * sum |w| + l2 * sum w^2. l1, l2: at least 0. Source: Zou and Hastie 2005."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "l1", 0)
        check_number(self, "l2", 0)


@REGULARIZERS.add("orthogonal_regularizer")
@dataclass(frozen=True, eq=False, repr=False)
class OrthogonalRegularizer(Regularizer):
    """factor * the mean of |cos| of the angles between the rows of a matrix, or its columns, two at a time.

    0 for a single row, where Keras has NaN. A row shorter than 1e-7 counts as that many times shorter than a unit.
    factor: at least 0. mode: "rows" or "columns". ValueError for what is no matrix. Source: Brock et al. 2017.
    """

    factor: float = 0.01
    mode: str = "rows"
    kernel = kernels.orthogonal
    whole = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 0)
        check_choice(self, "mode", "rows", "columns")

    def numbers(self) -> tuple[float, float]:
        """The factor, and the axis that the vectors run along."""
        return float(self.factor), float(self.mode == "rows")

    def reference(self, w: Array) -> float:
        w = as_numbers(w, "w").astype(float)
        if w.ndim != 2:
            raise ValueError(f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={w.shape}")
        vectors = w if self.mode == "rows" else w.T
        units = vectors / np.maximum(np.sqrt((vectors**2).sum(axis=1, keepdims=True)), 1e-7)
        pairs = np.abs(units @ units.T)[np.tril_indices(len(units), -1)]
        return float(self.factor * pairs.mean()) if pairs.size else 0.0


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer  # Keras's lower-case spellings


def check_slopes(regularizer: Any, size: int, what: str) -> None:
    """ValueError where a regulariser that is Python has no slopes for so many weights."""
    if getattr(regularizer, "gradient", None) is None and check_count("size", size, 0) > MOST:
        name = getattr(regularizer, "__name__", type(regularizer).__name__)
        raise ValueError(
            f"regularizer {name} of {what} has {size} weights, which is too many to find its slopes by differences (at "
            f"most {MOST}); make it a subclass of Regularizer with gradient(self, w), which gives the slopes"
        )


def value_and_slopes(regularizer: Any, w: Array) -> tuple[float, Array]:
    """What a regulariser that is Python, any function of the weights, has for w: its value, and slopes of w's shape."""
    if not callable(regularizer):
        raise TypeError(f"regularizer must be a function of the weights, got {shown(regularizer)}")
    name, w = getattr(regularizer, "__name__", type(regularizer).__name__), as_numbers(w, "w")

    def value_of(weights: Array) -> float:
        found = as_numbers(regularizer(weights), f"regularizer {name}")
        if found.size != 1 or found.dtype.kind not in "fiub":
            raise ValueError(f"regularizer {name} gave {found.dtype} {found.shape}; it must give one number")
        return float(found.reshape(()))

    gradient = getattr(regularizer, "gradient", None)
    if gradient is not None:
        slopes = as_numbers(gradient(w), f"the gradient of regularizer {name}").astype(float)
        if slopes.shape != w.shape:
            raise ValueError(f"the gradient of regularizer {name} has shape {slopes.shape}, its weights {w.shape}")
        return value_of(w), slopes
    middle = w.astype(float)
    slopes = np.empty_like(middle)
    for place in np.ndindex(*w.shape):
        forth, back = middle.copy(), middle.copy()
        step = STEP * max(1.0, abs(float(middle[place])))
        forth[place] += step
        back[place] -= step
        slopes[place] = (value_of(forth) - value_of(back)) / (forth[place] - back[place])
    return value_of(w), slopes


def get(identifier: Any) -> Any:
    """A regulariser from its name, class, instance or configuration; a function of the weights, and None, stay as they
    are. ValueError if unknown.
    """
    if identifier is None or refuse_other(REGULARIZERS, identifier):
        return identifier
    if isinstance(identifier, dict):
        return REGULARIZERS.from_config(identifier)
    return REGULARIZERS.get(identifier)


def serialize(regularizer: Any) -> Any:
    """A regulariser as Keras writes it down: its class, its configuration; a function by its name."""
    return _serialize(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regulariser that ``serialize`` wrote down, or that a name stands for; custom_objects has others by name."""
    return REGULARIZERS.deserialize(config, custom_objects)


_names.offer(globals())

"""What a loss is, the table of all, and how a batch's values become one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastnn._table import Table
from fastnn.engine.objectives import REDUCTIONS
from fastnn.kernels.bindings import row_values, targets_of
from fastnn.typing import Array, ArrayLike, DoubleArray

__all__ = ["EPSILON", "LOSSES", "Loss", "bad_targets"]

EPSILON = 1e-7  # Keras's: probabilities are kept this far from 0 and 1

L = TypeVar("L", bound="Loss")


@dataclass(frozen=True)
class Loss:
    """A loss of y (..., targets) and output (..., units): a value for each line, as the rows of a table are.

    reduction: what becomes of the values, each multiplied by its weight. "sum_over_batch_size", also called
    "mean": their sum divided by their number; "sum"; "mean_with_sample_weight": their sum divided by that of the
    weights; "none" or None: an array of them. ValueError for another.
    """

    table_name: ClassVar[str]
    kernel: ClassVar[Any]
    fused: ClassVar[dict[str, Any]] = {}  # activation -> the kernel that reads the output before it
    reduction: str = field(default="sum_over_batch_size", kw_only=True)
    name: str = field(default="", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.table_name)
        object.__setattr__(self, "reduction", "none" if self.reduction is None else self.reduction)
        if self.reduction not in (*REDUCTIONS, "none"):
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {', '.join(REDUCTIONS)}, none, got {self.reduction!r}"
            )

    def numbers(self) -> tuple[float, ...]:
        """The loss's own numbers, as its kernels read them."""
        return ()

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        """Each row's value, in float64: (rows,)."""
        raise TypeError(f"{type(self).__name__} has no reference")

    @property
    def logits(self) -> bool:
        """Whether the network's output is taken as logits."""
        return bool(getattr(self, "from_logits", False))

    @property
    def labels(self) -> bool:
        """Whether y holds one class number for each row."""
        return bool(self.kernel.labels)

    def kernel_for(self, activation: str) -> tuple[Any, bool]:
        """The kernel to train with after `activation`, and whether it reads the output before that."""
        if self.logits:
            return next(iter(self.fused.values())), False
        if activation in self.fused:
            return self.fused[activation], True
        return self.kernel, False

    def targets(self, units: int) -> int:
        """Columns of y that go with an output of `units` columns. ValueError where the loss takes no such output."""
        return targets_of(self.kernel, units)

    def mask(self, y: Array) -> Array | None:
        """Which rows of y count, where the loss itself leaves some out."""
        return None

    def values(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """A value for each row: y_pred (..., units) gives (...,), in float32 if it is float32, else in float64.

        y_true has y_pred's shape, or (...,) or (..., 1) where one target goes with each row.
        """
        y, output = paired(self, y_true, y_pred)
        kernel, _ = self.kernel_for("")
        if kernel.whole:
            return np.asarray(kernel(y.reshape(1, -1), output.reshape(1, -1), self.numbers())[0], output.dtype)
        return np.asarray(row_values(kernel, y, output, self.numbers()).reshape(output.shape[:-1]))

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The values of the rows, weighted and reduced: a NumPy scalar, or with the reduction "none" an array.

        sample_weight: a number, or an array that goes with the values (Keras's rules). A weight of 0 makes 0 of any
        value. ValueError where the arrays do not fit each other.
        """
        values = self.values(y_true, y_pred)
        weight = None if sample_weight is None else np.asarray(sample_weight, values.dtype)
        mask = self.mask(np.reshape(y_true, values.shape) if self.labels else np.asarray(y_true))
        if mask is not None:
            weight = masked(weight, mask, values.dtype, averaged=self.reduction in ("sum_over_batch_size", "mean"))
        if weight is not None:
            values, weight = same_rank(values, weight)
            values = weighted(values, weight)
        return reduced(values, weight, self.reduction)


LOSSES: Table[Loss] = Table("loss", Loss)


def paired(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Both as arrays of one type, y (..., targets) and output (..., units). ValueError where they do not fit."""
    output = np.asarray(y_pred)
    output = output if output.dtype == np.float32 else output.astype(np.float64)
    y = np.asarray(y_true).astype(output.dtype)
    if output.ndim == 1 and y.shape == (*output.shape, 1):
        output = output[:, None]
    if output.ndim == 0:
        raise ValueError(f"{type(loss).__name__} takes outputs with at least one axis, got {y_pred!r}")
    expected = (*output.shape[:-1], loss.targets(output.shape[-1]))
    if expected[-1] == 1 and y.shape == expected[:-1]:
        y = y.reshape(expected)
    if y.shape != expected:
        raise ValueError(
            f"{type(loss).__name__} takes y_true of shape {expected} with y_pred of shape {output.shape}, got {y.shape}"
        )
    if loss.labels:
        rows = y.reshape(-1, 1)
        problem = bad_targets(loss, rows, output.shape[-1], np.arange(len(rows)))
        if problem:
            raise ValueError(problem)
    return y, output


def same_rank(values: Array, weight: Array) -> tuple[Array, Array]:
    """One of them with a last axis of length 1 more, or less, where their ranks differ by 1: Keras's rule."""
    if values.ndim == weight.ndim + 1 and values.shape[-1] == 1:
        return (values, weight[:, None]) if weight.ndim == 1 else (values[..., 0], weight)
    if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
        return (values[:, None], weight) if values.ndim == 1 else (values, weight[..., 0])
    return values, weight


def masked(weight: Array | None, mask: Array, dtype: Any, averaged: bool) -> Array:
    """Weights that leave rows out, as Keras does: in an average the others count for as many rows as there are."""
    counted = np.count_nonzero(mask)
    share = (mask.size / counted if counted else 0.0) if averaged else 1.0
    kept = np.where(mask, share, 0).astype(dtype)
    if weight is None:
        return kept
    kept, weight = same_rank(kept, weight)
    return np.asarray(weight * kept)


def weighted(values: Array, weight: Array) -> Array:
    """values * weight, and 0 where the weight is 0. ValueError where they do not fit each other."""
    try:
        found = np.zeros(np.broadcast_shapes(values.shape, weight.shape), values.dtype)
    except ValueError:
        raise ValueError(
            f"sample_weight of shape {weight.shape} does not go with values of shape {values.shape}; give a weight "
            "for each value"
        ) from None
    np.multiply(values, weight, out=found, where=weight != 0)
    return found


def reduced(values: Array, weight: Array | None, reduction: str) -> Any:
    """Weighted values as one number, or where the reduction is "none" as they are."""
    if reduction == "none" or values.shape in ((), (0,)):
        return values[()]
    total = values.sum()
    if reduction == "sum":
        return total
    divisor = values.size if weight is None or reduction != "mean_with_sample_weight" else weight.sum()
    return total / values.dtype.type(divisor) if divisor else values.dtype.type(0)


def function_of(cls: type[L]) -> Callable[..., Array]:
    """Keras's function form of a loss: y_true, y_pred and the loss's own arguments give a value for each row."""

    def values(y_true: ArrayLike, y_pred: ArrayLike, *arguments: Any, **named: Any) -> Array:
        return cls(*arguments, **named).values(y_true, y_pred)[()]

    own = ", ".join(f"{f.name}={f.default!r}" for f in fields(cls) if not f.kw_only)
    values.__name__ = values.__qualname__ = cls.table_name
    values.__doc__ = f"({', '.join(filter(None, ('y_true, y_pred', own)))}): {cls.__name__}'s value for each row."
    values.loss = cls  # type: ignore[attr-defined]
    values.table_family = cls.table_family  # type: ignore[attr-defined]
    return values


def bad_targets(loss: Loss, y: Array, units: int, rows: Array) -> str | None:
    """What is wrong with the first bad row of y (rows, targets), or None. rows: the number by which each is known."""
    if loss.labels:
        label = y[:, 0]
        bad = ~((label >= 0) & (label < units) & (label == np.floor(label)))
        mask = loss.mask(label)
        bad = bad if mask is None else bad & mask
        if bad.any():
            i = int(bad.argmax())
            return (
                f"y has {label[i]:g} at row {rows[i]}, but {type(loss).__name__} with {units} outputs takes whole "
                f"numbers from 0 to {units - 1}; renumber the classes or give the last layer more units"
            )
        return None
    bad = ~np.isfinite(y)
    if bad.any():
        i, column = (int(place) for place in np.argwhere(bad)[0])
        return f"y has {y[i, column]} at row {rows[i]}, column {column}; remove that row or fill it in before training"
    return None

"""A loss of pairs: how alike the outputs of the rows of a batch are, by whether the rows are of one class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastnn import kernels
from fastnn._checks import check_number
from fastnn._numbers import as_numbers
from fastnn.losses.base import LOSSES, Loss, paired
from fastnn.losses.targets import LABELS
from fastnn.typing import Array, ArrayLike, DoubleArray

__all__ = ["Circle"]


@LOSSES.add("circle")
@dataclass(frozen=True)
class Circle(Loss):
    """log(1 + sum over rows of its class of e^(gamma (D^2 - margin^2)) * sum over the others of e^(gamma (n^2 -
    margin^2))), 0 where a row has no pair of one of the two kinds.

    Called on arrays, an average is over the rows that have pairs of both kinds, as in Keras; in training over all.
    D = max(1 - output.output', 0) is the distance of two rows of the batch, whose outputs have length 1 as a
    UnitNormalization makes them; n = 1 - D, and a pair of two classes farther apart than 1 + margin adds e^0. y one
    class number for each row, as many as you like. remove_diagonal: a row is no pair with itself. A row of weight 0 is
    still part of others' pairs. gamma: above 0; margin: 0 to 1. Source: Sun et al. 2020, eq. 6 and 8.
    """

    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True
    kernel = kernels.circle
    takes = LABELS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "gamma", 0, open_low=True)
        check_number(self, "margin", 0, 1)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "call" in vars(cls) and "gradient" not in vars(cls):
            raise TypeError(
                f"{cls.__name__}: a row's value hangs on the other rows, so differences of call give no slopes; write "
                "gradient(self, y_true, y_pred) too, or another loss"
            )

    def numbers(self) -> tuple[float, ...]:
        return (float(self.gamma), float(self.margin), float(self.remove_diagonal))

    def counted(self, y: Array) -> Array:
        same = np.reshape(y, (-1, 1)) == np.reshape(y, -1)
        return np.asarray(((same.sum(axis=1) > self.remove_diagonal) & ~same.all(axis=1)).reshape(np.shape(y)))

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        y, output = paired(self, y_true, y_pred)
        values = self.reference(y, output.reshape(-1, output.shape[-1]).astype(float))
        return values.reshape(output.shape[:-1]).astype(output.dtype)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return self.beside(y, output, y, output)

    def beside(self, y: Array, output: DoubleArray, labels: Array, others: DoubleArray) -> DoubleArray:
        """The value of each row among other rows, (rows,). ValueError where they do not fit."""
        labels, y = labels.reshape(-1), y.reshape(-1)
        if others.ndim != 2 or len(labels) != len(others) or others.shape[1] != output.shape[1]:
            raise ValueError(
                f"circle takes as many ref_labels as ref_embeddings, and these as wide as y_pred, {output.shape}; got "
                f"the shapes {labels.shape} and {others.shape}"
            )
        distance = np.maximum(1 - output @ others.T, 0)
        same = y[:, None] == labels[None, :]
        pair = same & (np.eye(*same.shape) == 0) if self.remove_diagonal else same
        apart = self.gamma * np.maximum(1 + self.margin - distance, 0) * (1 - self.margin - distance)
        both = _log_sum(self.gamma * (distance**2 - self.margin**2), pair) + _log_sum(apart, ~same)
        return np.where(pair.any(axis=1) & ~same.all(axis=1), np.logaddexp(0, both), 0)


def _log_sum(values: DoubleArray, counted: Array) -> DoubleArray:
    """log of the sum of e^values over those of each row that are counted, 0 where none is."""
    top = np.where(counted, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    total = np.where(counted, np.exp(np.where(counted, values - top, 0)), 0).sum(axis=1)
    return np.where(counted.any(axis=1), top[:, 0] + np.log(np.where(total == 0, 1, total)), 0)


def circle(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    ref_labels: ArrayLike | None = None,
    ref_embeddings: ArrayLike | None = None,
    remove_diagonal: bool = True,
    gamma: float = 80.0,
    margin: float = 0.4,
) -> Array:
    """Circle's value for each row, among the rows themselves or others: ref_embeddings, of the classes ref_labels.

    ValueError where they do not fit each other.
    """
    loss = Circle(gamma, margin, remove_diagonal)
    if ref_labels is None and ref_embeddings is None:
        return loss.call(y_true, y_pred)
    y, output = paired(loss, y_true, y_pred)
    labels = y if ref_labels is None else as_numbers(ref_labels, "ref_labels")
    others = output if ref_embeddings is None else as_numbers(ref_embeddings, "ref_embeddings")
    values = loss.beside(y, output.astype(float), labels, others.astype(float))
    return values.astype(output.dtype)


circle.loss = Circle  # type: ignore[attr-defined]
circle.table_family = LOSSES.family  # type: ignore[attr-defined]

"""Losses: how far the network's output is from the target, for each row.

A row's value is the mean over its units (regression, binary) or the sum over its classes (categorical); the loss of a
batch is the sum of weight * value over its rows, divided by the number of rows: Keras's "sum_over_batch_size".
Where a loss follows the activation that it belongs to (sigmoid, softmax), one kernel does both and reads the output
before the activation, so that no probability is ever rounded to 0 or 1: the value is exact where Keras clips it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import kernels
from fastnn._table import Table, check_number
from fastnn.typing import Array, ArrayLike, DoubleArray

EPSILON = 1e-7  # Keras's: probabilities are kept this far from 0 and 1


@dataclass(frozen=True)
class Loss:
    """A loss of y (rows, targets) and output (rows, units)."""

    table_name: ClassVar[str]
    kernel: ClassVar[Any]
    fused: ClassVar[dict[str, Any]] = {}  # activation -> the kernel that reads the output before it

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

    def kernel_for(self, activation: str) -> tuple[Any, bool]:
        """The kernel to train with after `activation`, and whether it reads the output before that."""
        if self.logits:
            return next(iter(self.fused.values())), False
        if activation in self.fused:
            return self.fused[activation], True
        return self.kernel, False

    def targets(self, units: int) -> int:
        """Columns of y that go with an output of `units` columns."""
        return 1 if self.kernel.labels else units

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The loss of a batch: sum of weight * value over the rows, divided by the number of rows."""
        output = np.atleast_2d(np.asarray(y_pred, float))
        weight = None if sample_weight is None else np.asarray(sample_weight, float)
        kernel, _ = self.kernel_for("")
        total, _, _ = kernel(np.asarray(y_true, float), output, self.numbers(), weight=weight)
        return float(total) / len(output)


LOSSES: Table[Loss] = Table("loss", Loss)


@LOSSES.add("mean_squared_error", "mse", "MSE")
class MeanSquaredError(Loss):
    """mean over units of (output - y)^2. (No factor 1/2.)"""

    kernel = kernels.mean_squared_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(((output - y) ** 2).mean(axis=-1))


@LOSSES.add("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(Loss):
    """mean over units of |output - y|. Its slope where they are equal is 0."""

    kernel = kernels.mean_absolute_error

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return np.asarray(np.abs(output - y).mean(axis=-1))


@LOSSES.add("huber", "huber_loss")
@dataclass(frozen=True)
class Huber(Loss):
    """mean over units of e^2 / 2 if |e| <= delta else delta (|e| - delta / 2), e = output - y. Source: Huber 1964."""

    delta: float = 1.0
    kernel = kernels.huber

    def __post_init__(self) -> None:
        check_number(self, "delta", 0, open_low=True)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.delta),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        size = np.abs(output - y)
        return np.asarray(np.where(size <= self.delta, size**2 / 2, self.delta * (size - self.delta / 2)).mean(axis=-1))


@LOSSES.add("binary_crossentropy", "bce", "BCE")
@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """mean over units of -(t log q + (1 - t) log(1 - q)), t = y (1 - label_smoothing) + label_smoothing / 2.

    q is the output, kept 1e-7 away from 0 and 1; or sigmoid(output) with from_logits=True, unclipped, as it also is
    after a sigmoid layer. label_smoothing: 0 to 1.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    kernel = kernels.binary_crossentropy
    fused: ClassVar = {"sigmoid": kernels.sigmoid_binary_crossentropy}

    def __post_init__(self) -> None:
        check_number(self, "label_smoothing", 0, 1)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.label_smoothing),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        target = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.from_logits:
            value = np.maximum(output, 0) - output * target + np.log1p(np.exp(-np.abs(output)))
        else:
            q = np.clip(output, EPSILON, 1 - EPSILON)
            value = -(target * np.log(q) + (1 - target) * np.log1p(-q))
        return np.asarray(value.mean(axis=-1))


def _log_probabilities(output: DoubleArray, from_logits: bool) -> DoubleArray:
    if from_logits:
        shifted = output - output.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
    q = output / output.sum(axis=-1, keepdims=True)
    return np.asarray(np.log(np.clip(q, EPSILON, 1 - EPSILON)))


@LOSSES.add("categorical_crossentropy", "cce")
@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """-sum over classes of t log q, t = y (1 - label_smoothing) + label_smoothing / classes; y one-hot or shares of 1.

    q is the output divided by its sum and kept 1e-7 away from 0 and 1; or softmax(output) with from_logits=True,
    unclipped, as it also is after a softmax layer. label_smoothing: 0 to 1.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    kernel = kernels.categorical_crossentropy
    fused: ClassVar = {"softmax": kernels.softmax_categorical_crossentropy}

    def __post_init__(self) -> None:
        check_number(self, "label_smoothing", 0, 1)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.label_smoothing),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        target = y * (1 - self.label_smoothing) + self.label_smoothing / output.shape[-1]
        return np.asarray(-(target * _log_probabilities(output, self.from_logits)).sum(axis=-1))


@LOSSES.add("sparse_categorical_crossentropy")
@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """-log q[y], y one class number (0 to classes - 1) for each row; q as in CategoricalCrossentropy."""

    from_logits: bool = False
    kernel = kernels.sparse_categorical_crossentropy
    fused: ClassVar = {"softmax": kernels.softmax_sparse_categorical_crossentropy}

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        log_q = _log_probabilities(output, self.from_logits)
        labels = np.asarray(y).reshape(-1).astype(int)
        return np.asarray(-log_q[np.arange(len(labels)), labels])


def get(identifier: Any) -> Loss:
    """A loss from its name, class, instance or configuration. ValueError for an unknown name."""
    if isinstance(identifier, dict):
        return LOSSES.from_config(identifier)
    return LOSSES.get(identifier)


def bad_targets(loss: Loss, y: Array, units: int, rows: Array) -> str | None:
    """What is wrong with the first bad row of y (rows, targets), or None. rows: the number by which each is known."""
    if loss.kernel.labels:
        label = y[:, 0]
        bad = ~((label >= 0) & (label < units) & (label == np.floor(label)))
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

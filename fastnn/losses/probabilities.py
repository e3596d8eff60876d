"""Losses of probabilities, for classes: the output is a share of 1, or a logit.

Where a loss follows the activation that it belongs to (sigmoid, softmax), one kernel does both and reads the output
before the activation, so that no probability is ever rounded to 0 or 1: the value is exact where Keras clips it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastnn import kernels
from fastnn._checks import check_count, check_number
from fastnn.losses.base import EPSILON, LOSSES, Loss
from fastnn.losses.targets import CLASSES, PROBABILITIES, SHARES
from fastnn.typing import Array, DoubleArray

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
    "SparseCategoricalCrossentropy",
]


def _logits_entropy(target: DoubleArray, z: DoubleArray) -> DoubleArray:
    return np.asarray(np.maximum(z, 0) - z * target + np.log1p(np.exp(-np.abs(z))))


def _clipped(q: DoubleArray) -> DoubleArray:
    return np.asarray(np.clip(q, EPSILON, 1 - EPSILON))


def _binary_entropy(target: DoubleArray, q: DoubleArray) -> DoubleArray:
    return np.asarray(-(target * np.log(q) + (1 - target) * np.log1p(-q)))


def _log_probabilities(output: DoubleArray, from_logits: bool) -> DoubleArray:
    if from_logits:
        shifted = output - output.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
    return np.asarray(np.log(_clipped(output / output.sum(axis=-1, keepdims=True))))


@LOSSES.add("binary_crossentropy", "bce", "BCE")
@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """mean over units of -(t log q + (1 - t) log(1 - q)), t = y (1 - label_smoothing) + label_smoothing / 2.

    q is the output, kept 1e-7 away from 0 and 1; or sigmoid(output) with from_logits=True, unclipped, as it also is
    after a sigmoid layer. label_smoothing: 0 to 1.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    kernel = kernels.binary_crossentropy
    takes = PROBABILITIES
    fused: ClassVar = {"sigmoid": kernels.sigmoid_binary_crossentropy}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "label_smoothing", 0, 1)
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.label_smoothing),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        target = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        value = _logits_entropy(target, output) if self.from_logits else _binary_entropy(target, _clipped(output))
        return np.asarray(value.mean(axis=-1))


@LOSSES.add("binary_focal_crossentropy")
@dataclass(frozen=True)
class BinaryFocalCrossentropy(Loss):
    """mean over units of f^gamma h: h as in BinaryCrossentropy, f = t (1 - q) + (1 - t) q, what q lacks of the target.

    With apply_class_balancing each is multiplied by t alpha + (1 - t) (1 - alpha). alpha, label_smoothing: 0 to 1.
    gamma: at least 0. Source: Lin et al. 2017, eq. 4 and 5.
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    kernel = kernels.binary_focal_crossentropy
    takes = PROBABILITIES
    fused: ClassVar = {"sigmoid": kernels.sigmoid_binary_focal_crossentropy}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "alpha", 0, 1)
        check_number(self, "gamma", 0)
        check_number(self, "label_smoothing", 0, 1)
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def numbers(self) -> tuple[float, ...]:
        ones = float(self.alpha) if self.apply_class_balancing else 1.0
        zeros = 1.0 - ones if self.apply_class_balancing else 1.0
        return (float(self.label_smoothing), float(self.gamma), ones, zeros)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        smoothing, gamma, ones, zeros = self.numbers()
        target = y * (1 - smoothing) + smoothing / 2
        if self.from_logits:
            q, rest = (np.exp(-np.logaddexp(0, z)) for z in (-output, output))
            entropy = _logits_entropy(target, output)
        else:
            q = _clipped(output)
            rest, entropy = 1 - q, _binary_entropy(target, q)
        lacks = target * rest + (1 - target) * q
        return np.asarray(((target * ones + (1 - target) * zeros) * lacks**gamma * entropy).mean(axis=-1))


@LOSSES.add("categorical_crossentropy", "cce")
@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """-sum over classes of t log q, t = y (1 - label_smoothing) + label_smoothing / classes; y one-hot or shares of 1.

    q is the output divided by its sum and kept 1e-7 away from 0 and 1; or softmax(output) with from_logits=True,
    unclipped, as it also is after a softmax layer. label_smoothing: 0 to 1.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    kernel = kernels.categorical_crossentropy
    takes = SHARES
    fused: ClassVar = {"softmax": kernels.softmax_categorical_crossentropy}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "label_smoothing", 0, 1)
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.label_smoothing),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        target = y * (1 - self.label_smoothing) + self.label_smoothing / output.shape[-1]
        return np.asarray(-(target * _log_probabilities(output, self.from_logits)).sum(axis=-1))


@LOSSES.add("categorical_focal_crossentropy")
@dataclass(frozen=True)
class CategoricalFocalCrossentropy(Loss):
    """-sum over classes of alpha (1 - q)^gamma t log q; q and t as in CategoricalCrossentropy.

    alpha, gamma: at least 0; label_smoothing: 0 to 1. alpha is one number: a list of one for each class, which Keras
    takes too, is what class_weight says in fit. Source: Lin et al. 2017, eq. 5, for classes.
    """

    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    kernel = kernels.categorical_focal_crossentropy
    takes = SHARES
    fused: ClassVar = {"softmax": kernels.softmax_categorical_focal_crossentropy}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "alpha", 0)
        check_number(self, "gamma", 0)
        check_number(self, "label_smoothing", 0, 1)
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.label_smoothing), float(self.alpha), float(self.gamma))

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        target = y * (1 - self.label_smoothing) + self.label_smoothing / output.shape[-1]
        log_q = _log_probabilities(output, self.from_logits)
        return np.asarray(-(self.alpha * (-np.expm1(log_q)) ** self.gamma * target * log_q).sum(axis=-1))


@LOSSES.add("sparse_categorical_crossentropy")
@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """-log q[y], y one class number (0 to classes - 1) for each row; q as in CategoricalCrossentropy.

    Rows whose y is ignore_class, any number, have value 0 and no slope. Called on arrays, the loss averages over the
    other rows, as Keras does; in training the rows of a batch all count.
    """

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = field(default=-1, kw_only=True)
    kernel = kernels.sparse_categorical_crossentropy
    takes = CLASSES
    fused: ClassVar = {"softmax": kernels.softmax_sparse_categorical_crossentropy}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ignore_class is not None:
            check_number(self, "ignore_class", -(2**24), 2**24)
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)

    def numbers(self) -> tuple[float, ...]:
        return () if self.ignore_class is None else (1.0, float(self.ignore_class))

    def mask(self, y: Array) -> Array | None:
        return None if self.ignore_class is None else np.asarray(y != self.ignore_class)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        log_q = _log_probabilities(output, self.from_logits)
        labels = np.asarray(y).reshape(-1)
        counts = np.ones(labels.shape, bool) if self.ignore_class is None else labels != self.ignore_class
        place = np.where(counts, labels, 0).astype(int)
        return np.asarray(np.where(counts, -log_q[np.arange(len(labels)), place], 0))


@LOSSES.add("categorical_generalized_cross_entropy")
@dataclass(frozen=True)
class CategoricalGeneralizedCrossEntropy(Loss):
    """(1 - output[y]^q) / q, y one class number (0 to classes - 1) for each row: less moved by wrong labels.

    The outputs are probabilities as they stand, neither clipped nor divided by their sum. q: above 0 and below 1; near
    0 it is the cross-entropy, at 1 it would be the absolute error. The slope at 0 is that at 1e-30. Source: Zhang and
    Sabuncu 2018, eq. 6.
    """

    q: float = 0.5
    kernel = kernels.categorical_generalized_cross_entropy
    takes = CLASSES

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "q", 0, 1, open_low=True, open_high=True)

    def numbers(self) -> tuple[float, ...]:
        return (float(self.q),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        labels = np.asarray(y).reshape(-1).astype(int)
        return np.asarray((1 - output[np.arange(len(labels)), labels] ** self.q) / self.q)


@LOSSES.add("kl_divergence", "kld", "KLD", "kullback_leibler_divergence")
class KLDivergence(Loss):
    """sum over classes of y log(y / output), both kept from 1e-7 to 1; there and beyond the slope is 0."""

    kernel = kernels.kl_divergence
    takes = SHARES

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        target, q = np.clip(y, EPSILON, 1), np.clip(output, EPSILON, 1)
        return np.asarray((target * np.log(target / q)).sum(axis=-1))

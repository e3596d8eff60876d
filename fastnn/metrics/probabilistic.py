"""The losses of classification, as metrics: the mean over the rows, probabilities kept 1e-7 from 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn import losses
from fastnn.metrics.base import METRICS, LossMetric


@METRICS.add("binary_crossentropy", "bce", "BCE")
@dataclass
class BinaryCrossentropy(LossMetric):
    """The loss of this name. from_logits: the output is before its sigmoid. label_smoothing: 0 to 1."""

    name: str = "binary_crossentropy"
    from_logits: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        self.loss = losses.BinaryCrossentropy(from_logits=self.from_logits, label_smoothing=self.label_smoothing)


@METRICS.add("categorical_crossentropy")
@dataclass
class CategoricalCrossentropy(LossMetric):
    """The loss of this name. from_logits: the output is before its softmax. label_smoothing: 0 to 1."""

    name: str = "categorical_crossentropy"
    from_logits: bool = False
    label_smoothing: float = 0.0
    by_row = True

    def __post_init__(self) -> None:
        self.loss = losses.CategoricalCrossentropy(from_logits=self.from_logits, label_smoothing=self.label_smoothing)


@METRICS.add("sparse_categorical_crossentropy")
@dataclass
class SparseCategoricalCrossentropy(LossMetric):
    """The loss of this name. from_logits: the output is before its softmax."""

    name: str = "sparse_categorical_crossentropy"
    from_logits: bool = False
    by_row = True

    def __post_init__(self) -> None:
        self.loss = losses.SparseCategoricalCrossentropy(from_logits=self.from_logits)

"""The losses of classes and of distributions, as metrics: the mean over the rows of the loss of the same name."""

from __future__ import annotations

from fastnn import losses
from fastnn._checks import check_count
from fastnn.metrics.base import METRICS, LossMetric, declared

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "Hinge",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


@METRICS.add("binary_crossentropy", "bce", "BCE")
@declared
class BinaryCrossentropy(LossMetric):
    """mean over units of -(t log q + (1 - t) log(1 - q)), t and q as in the loss.

    from_logits: the output is before its sigmoid. label_smoothing: 0 to 1.
    """

    name: str = "binary_crossentropy"
    from_logits: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.loss = losses.BinaryCrossentropy(from_logits=self.from_logits, label_smoothing=self.label_smoothing)


@METRICS.add("categorical_crossentropy")
@declared
class CategoricalCrossentropy(LossMetric):
    """-sum over classes of t log q, t and q as in the loss.

    from_logits: the output is before its softmax. label_smoothing: 0 to 1. axis: that of the classes.
    """

    name: str = "categorical_crossentropy"
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    by_row = True

    def __post_init__(self) -> None:
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)
        super().__post_init__()
        self.loss = losses.CategoricalCrossentropy(from_logits=self.from_logits, label_smoothing=self.label_smoothing)


@METRICS.add("sparse_categorical_crossentropy")
@declared
class SparseCategoricalCrossentropy(LossMetric):
    """-log q[y], y (rows, 1) class numbers. from_logits: the output is before its softmax.

    ignore_class: rows whose y is this number have the value 0. axis: that of the classes.
    """

    name: str = "sparse_categorical_crossentropy"
    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1
    by_row = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(f"{type(self).__name__}: axis", self.axis, -64, 63)
        self.loss = losses.SparseCategoricalCrossentropy(from_logits=self.from_logits, ignore_class=self.ignore_class)


@METRICS.add("kl_divergence")
@declared
class KLDivergence(LossMetric):
    """sum over classes of y log(y / output), both kept from 1e-7 to 1."""

    name: str = "kl_divergence"
    loss = losses.KLDivergence()
    by_row = True


@METRICS.add("poisson")
@declared
class Poisson(LossMetric):
    """mean over units of output - y log(output + 1e-7)."""

    name: str = "poisson"
    loss = losses.Poisson()


@METRICS.add("hinge")
@declared
class Hinge(LossMetric):
    """mean over units of max(1 - y output, 0), y -1 or 1; a 0 counts as -1."""

    name: str = "hinge"
    loss = losses.Hinge()


@METRICS.add("squared_hinge")
@declared
class SquaredHinge(LossMetric):
    """mean over units of max(1 - y output, 0)^2, y -1 or 1; a 0 counts as -1."""

    name: str = "squared_hinge"
    loss = losses.SquaredHinge()


@METRICS.add("categorical_hinge")
@declared
class CategoricalHinge(LossMetric):
    """max(1 + largest (1 - y) output - sum of y output, 0), y one-hot."""

    name: str = "categorical_hinge"
    loss = losses.CategoricalHinge()
    by_row = True

"""What is made of the counts of classes taken for classes: the matrix itself, and intersection over union."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn import kernels
from fastnn._checks import LONGEST, as_list, check_count, check_number, shown
from fastnn.metrics.base import METRICS, AccumulatedMetric, declared, ratio, weights_of
from fastnn.metrics.weights import held
from fastnn.typing import Array, DoubleArray

__all__ = ["BinaryIoU", "ConfusionMatrix", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]

MOST_CLASSES = 2**14  # of a matrix of their counts, 2 GB

NUMBER, LARGEST, ABOVE, AT_LEAST = range(4)  # how the kernel reads a class


def classes_read(how: int, values: DoubleArray, threshold: float) -> DoubleArray:
    """The class of each element, or of each row: (rows, elements)."""
    if how == LARGEST:
        return np.asarray(values.argmax(axis=-1)[:, None], float)
    if how == ABOVE:
        return (values > threshold).astype(float)
    if how == AT_LEAST:
        return (values >= threshold).astype(float)
    return np.asarray(np.trunc(values))


class ConfusionMetric(AccumulatedMetric):
    """A value of the weight of what is of one class and was taken for another."""

    kernel = kernels.confusion_counts
    threshold = 0.0
    ignore_class: int | None = None
    total_cm = held("total_confusion_matrix")

    def parts_of(self, state: DoubleArray) -> dict[str, Array]:
        classes = int(np.sqrt(len(state)))
        return {"total_confusion_matrix": state.reshape(classes, classes)}

    def state_of(self, parts: dict[str, Array]) -> DoubleArray:
        return np.array(parts["total_confusion_matrix"], float).ravel()

    def readings(self, units: int, targets: int) -> tuple[int, int, int]:
        """(classes, how y is read, how outputs are read)."""
        raise TypeError(f"{type(self).__name__} has no readings")

    def reference(self, y: DoubleArray, output: DoubleArray, weight: DoubleArray | None = None) -> DoubleArray:
        classes, how_y, how_output = self.readings(output.shape[1], y.shape[1])
        truth = classes_read(how_y, y, 0.0)
        taken = classes_read(how_output, output, self.threshold)
        matrix = np.zeros((classes, classes))
        for (row, j), true in np.ndenumerate(truth):
            if true in range(classes) and taken[row, j] in range(classes) and true != self.ignore_class:
                matrix[int(true), int(taken[row, j])] += weights_of(y, weight)[row]
        return matrix.ravel()


@METRICS.add("confusion_matrix")
@declared
class ConfusionMatrix(ConfusionMetric):
    """An array (classes, classes): the weight of the rows of class i whose output says class j.

    The output says the class of its largest unit; a single output says 1 if it is above `threshold`, else 0. y: class
    numbers, which count as no row where there is no such class, or one column for each class. Not in Keras.
    """

    threshold: float = 0.5
    name: str = "confusion_matrix"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "threshold", -1e30)

    def columns(self, units: int) -> tuple[int, ...]:
        return (1,) if units == 1 else (1, units)

    def readings(self, units: int, targets: int) -> tuple[int, int, int]:
        return max(units, 2), NUMBER if targets == 1 else LARGEST, ABOVE if units == 1 else LARGEST

    def accumulator_numbers(self) -> tuple[float, ...]:
        # No number of classes: the kernel takes it, and how to read them, from the shapes.
        return (0.0, NUMBER, NUMBER, float(self.threshold), -1.0)

    def result_of(self, state: DoubleArray) -> DoubleArray:
        classes = int(np.sqrt(len(state)))
        return state.reshape(classes, classes).copy()


class IoUMetric(ConfusionMetric):
    """The mean over classes that occur: the weight of what is and was taken for the class / is or was taken for it."""

    num_classes: int
    target_class_ids: Sequence[int]
    sparse_y_true: bool
    sparse_y_pred: bool
    axis = -1

    @property
    def by_element(self) -> bool:  # type: ignore[override]
        return self.sparse_y_true and self.sparse_y_pred

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = type(self).__name__
        classes = check_count(f"{owner}: num_classes", self.num_classes, most=MOST_CLASSES)
        ids = self.target_class_ids
        if isinstance(ids, str):
            raise TypeError(f"{owner}: target_class_ids must be a list of class numbers, got {shown(ids)}")
        ids = as_list(f"{owner}: target_class_ids", ids, "class numbers")
        self.target_class_ids = [check_count(f"{owner}: target_class_ids", each, 0, classes - 1) for each in ids]
        if self.ignore_class is not None:
            check_count(f"{owner}: ignore_class", self.ignore_class, -LONGEST)
        check_number(self, "threshold", -1e30)
        check_count(f"{owner}: axis", self.axis, -64, 63)

    def columns(self, units: int) -> tuple[int, ...]:
        if self.sparse_y_true:
            return (units if self.sparse_y_pred else 1,)
        return (self.num_classes,)

    def check(self, targets: int, units: int, whose: str = "y") -> None:
        super().check(targets, units, whose)
        wanted = self.num_classes if not self.sparse_y_pred else (units if self.sparse_y_true else 1)
        if units != wanted:
            raise ValueError(f"metric {self.name!r} takes {wanted} output(s), but there are {units}")

    def readings(self, units: int, targets: int) -> tuple[int, int, int]:
        how_y, how_output = (NUMBER if sparse else LARGEST for sparse in (self.sparse_y_true, self.sparse_y_pred))
        return self.num_classes, how_y, how_output

    def accumulator_numbers(self) -> tuple[float, ...]:
        left_out = -1 if self.ignore_class is None else self.ignore_class
        return (*self.readings(0, 0), float(self.threshold), left_out)

    def result_of(self, state: DoubleArray) -> float:
        matrix = state.reshape(self.num_classes, self.num_classes)
        chosen = self.target_class_ids
        both = matrix.diagonal()[chosen]
        union = (matrix.sum(axis=0) + matrix.sum(axis=1))[chosen] - both
        occurs = union > 1e-9
        return float(ratio(both[occurs], union[occurs]).mean()) if occurs.any() else 0.0


@METRICS.add("io_u", "iou")
@declared
class IoU(IoUMetric):
    """The mean of intersection / union over the classes `target_class_ids` of `num_classes` that occur.

    sparse_y_true, sparse_y_pred: whether elements are class numbers, or rows have a column for each class, of which
    the largest counts. Numbers of no class, and the class ignore_class of y, are left out.
    """

    num_classes: int
    target_class_ids: Sequence[int]
    name: str = "io_u"
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1


@METRICS.add("binary_io_u", "binary_iou")
@declared
class BinaryIoU(IoUMetric):
    """IoU of two classes, where an output of at least `threshold` says class 1; y 0 or 1."""

    target_class_ids: Sequence[int] = (0, 1)
    threshold: float = 0.5
    name: str = "binary_io_u"
    num_classes = 2
    sparse_y_true = sparse_y_pred = True

    def readings(self, units: int, targets: int) -> tuple[int, int, int]:
        return 2, NUMBER, AT_LEAST


class MeanIoUMetric(IoUMetric):
    """IoU of all classes."""

    def __post_init__(self) -> None:
        self.target_class_ids = range(
            check_count(f"{type(self).__name__}: num_classes", self.num_classes, most=MOST_CLASSES)
        )
        super().__post_init__()


@METRICS.add("mean_io_u", "mean_iou")
@declared
class MeanIoU(MeanIoUMetric):
    """IoU of all classes that occur; arguments as IoU's."""

    num_classes: int
    name: str = "mean_io_u"
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True
    axis: int = -1


@METRICS.add("one_hot_io_u", "one_hot_iou")
@declared
class OneHotIoU(IoUMetric):
    """IoU of y with a column for each class; other arguments as IoU's."""

    num_classes: int
    target_class_ids: Sequence[int]
    name: str = "one_hot_io_u"
    ignore_class: int | None = None
    sparse_y_pred: bool = False
    axis: int = -1
    sparse_y_true = False


@METRICS.add("one_hot_mean_io_u", "one_hot_mean_iou")
@declared
class OneHotMeanIoU(MeanIoUMetric):
    """IoU of all classes that occur, of y with a column for each class; other arguments as IoU's."""

    num_classes: int
    name: str = "one_hot_mean_io_u"
    ignore_class: int | None = None
    sparse_y_pred: bool = False
    axis: int = -1
    sparse_y_true = False

"""The metrics' configurations that are worth a test, and batches that each of them takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import metrics as m

# What a metric cannot be made without.
NEEDED: dict[Any, dict[str, Any]] = {
    m.IoU: {"num_classes": 4, "target_class_ids": (0, 2)},
    m.MeanIoU: {"num_classes": 4},
    m.OneHotIoU: {"num_classes": 3, "target_class_ids": (1,)},
    m.OneHotMeanIoU: {"num_classes": 3},
    m.SensitivityAtSpecificity: {"specificity": 0.4},
    m.SpecificityAtSensitivity: {"sensitivity": 0.4},
    m.PrecisionAtRecall: {"recall": 0.6},
    m.RecallAtPrecision: {"precision": 0.6},
}


def made(cls: Any, **fields: Any) -> Any:
    """A unit of a class with what it needs. TypeError, saying where to add that, for one that needs more."""
    try:
        return cls(**NEEDED.get(cls, {}), **fields)
    except TypeError as error:
        raise TypeError(f"{error}; add what {cls.__name__} needs to NEEDED in tests/support/metrics.py") from error


OTHERS: list[m.Metric] = [
    *(made(cls, name="other") for _, cls in m.METRICS),
    m.BinaryAccuracy(threshold=0.25),
    m.TopKCategoricalAccuracy(2),
    m.SparseTopKCategoricalAccuracy(1),
    m.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True),
    m.BinaryCrossentropy(label_smoothing=0.2),
    m.BinaryCrossentropy(from_logits=True),
    m.CategoricalCrossentropy(label_smoothing=0.2),
    m.CategoricalCrossentropy(from_logits=True),
    m.SparseCategoricalCrossentropy(from_logits=True),
    m.SparseCategoricalCrossentropy(ignore_class=1),
    m.R2Score(None, 2),
    m.R2Score("variance_weighted_average"),
    *(
        cls(thresholds)
        for cls in (m.TruePositives, m.FalsePositives, m.TrueNegatives, m.FalseNegatives, m.Precision, m.Recall)
        for thresholds in (0.25, (0.7, 0.0, 0.125, 0.125, 1.0))
    ),
    *(
        cls(*given)
        for cls in (m.Precision, m.Recall)
        for given in ((None, 1), (None, 2, 1), ((0.2, 0.6), 3), (0.25, None, 2))
    ),
    *(
        cls(**NEEDED[cls], num_thresholds=count, class_id=0)
        for cls in (m.SensitivityAtSpecificity, m.SpecificityAtSensitivity, m.PrecisionAtRecall, m.RecallAtPrecision)
        for count in (1, 2, 9)
    ),
    m.AUC(2),
    m.AUC(3, curve="PR"),
    m.AUC(9, curve="PRGAIN", summation_method="minoring"),
    m.AUC(thresholds=(0.7, 0.125, 0.125), summation_method="majoring"),
    m.AUC(multi_label=True, num_labels=3, label_weights=(0.5, 2.0, 1.0)),
    m.AUC(label_weights=(0.5, 2.0, 0.0), from_logits=True),
    m.F1Score("micro", 0.5),
    *(m.FBetaScore(average, 2.0, 0.25) for average in ("micro", "macro", "weighted")),
    m.IoU(4, (3,), ignore_class=1),
    m.IoU(3, (0, 1), sparse_y_pred=False),
    m.IoU(3, (0, 1), sparse_y_true=False),
    m.MeanIoU(5, ignore_class=0),
    m.MeanIoU(3, sparse_y_true=False, sparse_y_pred=False),
    m.BinaryIoU((1,), 0.25),
    m.OneHotIoU(3, (0, 2), ignore_class=0, sparse_y_pred=True),
    m.OneHotMeanIoU(3, ignore_class=2, sparse_y_pred=True),
    m.ConfusionMatrix(0.25),
]


def batch(
    metric: m.AccumulatedMetric, rows: int, units: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(y, output) with many equal outputs and some at a threshold; y as the metric takes it for these outputs."""
    output = rng.integers(0, 9, (rows, units)) / 8
    targets = rng.choice(metric.columns(units))
    if isinstance(metric, m.R2Score):
        return rng.normal(size=(rows, targets)), rng.normal(size=(rows, units))
    if isinstance(metric, (m.F1Score, m.FBetaScore)):
        return rng.integers(0, 5, (rows, targets)) / 4, output
    if getattr(metric, "sparse_y_pred", False):
        output = rng.integers(-1, 6, (rows, units)) + 0.5 * rng.integers(0, 2, (rows, units))
    if isinstance(metric, m.ConfusionMatrix) or hasattr(metric, "num_classes"):
        return rng.integers(-1, 6, (rows, targets)) * 1.0, output
    return rng.integers(0, 2, (rows, targets)) * 1.0, output


def fits(metric: m.Metric, targets: int, units: int) -> bool:
    """Whether the metric takes so many columns of y beside so many outputs."""
    try:
        metric.check(targets, units)
    except ValueError:
        return False
    return True

"""Metrics that scikit-learn has too give its value: exactly, but for areas, which are as exact as the thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import metrics

theirs = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn, which is not installed")

Data = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def weights(weighted: bool, rows: int, rng: np.random.Generator) -> np.ndarray | None:
    """Some of them 0."""
    return np.where(rng.random(rows) < 0.2, 0, rng.uniform(0.1, 2, rows)) if weighted else None


def binary(weighted: bool, rows: int = 300) -> Data:
    """Targets, and probabilities that say something of them."""
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, rows)
    return y, 1 / (1 + np.exp(-rng.normal(size=rows) - 2 * (y - 0.5))), weights(weighted, rows, rng)


def classes(weighted: bool, rows: int = 300, count: int = 5) -> Data:
    """Class numbers, and probabilities of all classes that say something of them."""
    rng = np.random.default_rng(8)
    y = rng.integers(0, count, rows)
    z = np.exp(rng.normal(size=(rows, count)) + 1.5 * np.eye(count)[y])
    return y, z / z.sum(axis=-1, keepdims=True), weights(weighted, rows, rng)


def several(weighted: bool, rows: int = 100, units: int = 3) -> Data:
    rng = np.random.default_rng(9)
    y = rng.normal(size=(rows, units)) * [1.0, 5.0, 0.1]
    return y, y + 0.5 * rng.normal(size=(rows, units)), weights(weighted, rows, rng)


def gathered(metric: metrics.Metric, data: Data) -> Any:
    """The value after three batches."""
    y, output, weight = data
    for at in np.array_split(np.arange(len(y)), 3):
        metric.update_state(y[at], output[at], None if weight is None else weight[at])
    return metric.result()


def same(ours: Any, other: Any) -> None:
    np.testing.assert_allclose(ours, other, rtol=1e-10, atol=1e-12)


weighted = pytest.mark.parametrize("weighted", [False, True])


@weighted
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_of_two_classes(weighted: bool, threshold: float) -> None:
    y, output, weight = data = binary(weighted)
    taken = output > threshold
    same(gathered(metrics.Precision(threshold), data), theirs.precision_score(y, taken, sample_weight=weight))
    same(gathered(metrics.Recall(threshold), data), theirs.recall_score(y, taken, sample_weight=weight))
    same(
        gathered(metrics.BinaryAccuracy(threshold=threshold), data),
        theirs.accuracy_score(y, taken, sample_weight=weight),
    )
    same(
        gathered(metrics.FBetaScore("micro", 2.0, threshold), data),
        theirs.fbeta_score(y, taken, beta=2, sample_weight=weight),
    )
    same(gathered(metrics.F1Score("micro", threshold), data), theirs.f1_score(y, taken, sample_weight=weight))
    matrix = theirs.confusion_matrix(y, taken, sample_weight=weight)
    same(gathered(metrics.ConfusionMatrix(threshold), data), matrix)
    counts = (metrics.TrueNegatives, metrics.FalsePositives, metrics.FalseNegatives, metrics.TruePositives)
    same([gathered(cls(threshold), data) for cls in counts], matrix.ravel())
    same(
        gathered(metrics.BinaryIoU((1,), threshold), data),
        theirs.jaccard_score(y, output >= threshold, sample_weight=weight),
    )
    same(gathered(metrics.BinaryCrossentropy(), data), theirs.log_loss(y, output, sample_weight=weight))


@weighted
def test_of_several_classes(weighted: bool) -> None:
    y, output, weight = data = classes(weighted)
    hot = (np.eye(5)[y], output, weight)
    taken = output.argmax(axis=-1)
    same(gathered(metrics.ConfusionMatrix(), data), theirs.confusion_matrix(y, taken, sample_weight=weight))
    for average in (None, "micro", "macro", "weighted"):
        same(gathered(metrics.F1Score(average), hot), theirs.f1_score(y, taken, average=average, sample_weight=weight))
    accuracy = theirs.accuracy_score(y, taken, sample_weight=weight)
    same(gathered(metrics.SparseCategoricalAccuracy(), data), accuracy)
    same(gathered(metrics.CategoricalAccuracy(), hot), accuracy)
    for k in (1, 2, 4):
        truth = theirs.top_k_accuracy_score(y, output, k=k, sample_weight=weight)
        same(gathered(metrics.SparseTopKCategoricalAccuracy(k), data), truth)
        same(gathered(metrics.TopKCategoricalAccuracy(k), hot), truth)
    overlap = theirs.jaccard_score(y, taken, average="macro", sample_weight=weight)
    same(gathered(metrics.OneHotMeanIoU(5), hot), overlap)
    same(gathered(metrics.MeanIoU(5), (y, taken, weight)), overlap)
    for k in range(5):
        same(
            gathered(metrics.Precision(top_k=1, class_id=k), hot),
            theirs.precision_score(y == k, taken == k, sample_weight=weight),
        )
    same(gathered(metrics.SparseCategoricalCrossentropy(), data), theirs.log_loss(y, output, sample_weight=weight))


@weighted
def test_errors_of_regression(weighted: bool) -> None:
    y, output, weight = data = several(weighted)
    same(gathered(metrics.MeanSquaredError(), data), theirs.mean_squared_error(y, output, sample_weight=weight))
    same(gathered(metrics.MeanAbsoluteError(), data), theirs.mean_absolute_error(y, output, sample_weight=weight))
    one = (y[:, :1], output[:, :1], weight)
    same(gathered(metrics.RootMeanSquaredError(), one), theirs.root_mean_squared_error(*one[:2], sample_weight=weight))
    same(
        gathered(metrics.MeanAbsolutePercentageError(), data),
        100 * theirs.mean_absolute_percentage_error(y, output, sample_weight=weight),
    )
    positive = (np.abs(y), np.abs(output), weight)
    same(
        gathered(metrics.MeanSquaredLogarithmicError(), positive),
        theirs.mean_squared_log_error(*positive[:2], sample_weight=weight),
    )
    for ours, other in (
        ("uniform_average", "uniform_average"),
        ("variance_weighted_average", "variance_weighted"),
        (None, "raw_values"),
    ):
        same(gathered(metrics.R2Score(ours), data), theirs.r2_score(y, output, multioutput=other, sample_weight=weight))


def test_r2_of_a_constant() -> None:
    y = np.full((4, 1), 3.0)
    for output in (y, y + 1):
        same(metrics.R2Score()(y, output), theirs.r2_score(y, output))


@weighted
@pytest.mark.parametrize("rows", [300, 3000])
def test_areas(weighted: bool, rows: int) -> None:
    """As near as the thresholds are to each other; exactly, where each probability is alone between two of them."""
    y, output, weight = data = binary(weighted, rows)
    roc = theirs.roc_auc_score(y, output, sample_weight=weight)
    for count, tolerance in ((200, 2e-3), (5000, 1e-4)):
        np.testing.assert_allclose(gathered(metrics.AUC(count), data), roc, rtol=tolerance)
    cuts = np.sort(output)
    between = tuple((cuts[1:] + cuts[:-1]) / 2)
    same(gathered(metrics.AUC(thresholds=between), data), roc)
    # Average precision is the sum of steps of recall times the precision at their upper end.
    precision, recall, _ = theirs.precision_recall_curve(y, output, sample_weight=weight)
    steps = -np.diff(recall)
    lower, upper = (
        gathered(metrics.AUC(curve="PR", thresholds=between, summation_method=how), data)
        for how in ("minoring", "majoring")
    )
    # The curve's last point is at a precision of 1 by scikit-learn, of 0 by Keras and here.
    precision[-1] = 0
    same(lower, (steps * np.minimum(precision[:-1], precision[1:])).sum())
    same(upper, (steps * np.maximum(precision[:-1], precision[1:])).sum())


def test_areas_of_columns() -> None:
    rng = np.random.default_rng(3)
    y, output = rng.integers(0, 2, (500, 3)), rng.random((500, 3))
    truth = [theirs.roc_auc_score(y[:, j], output[:, j]) for j in range(3)]
    for given in (None, (1.0, 2.0, 0.5)):
        ours = metrics.AUC(5000, multi_label=True, label_weights=given)(y, output)
        np.testing.assert_allclose(ours, np.average(truth, weights=given), rtol=2e-4)
    together = theirs.roc_auc_score(y.ravel(), output.ravel())
    np.testing.assert_allclose(metrics.AUC(5000)(y, output), together, rtol=2e-4)
    logits = np.log(output / (1 - output))
    np.testing.assert_allclose(metrics.AUC(5000, from_logits=True)(y, logits), together, rtol=2e-4)

"""What metrics gather, as variables: those of one's own, those of kernels, merged and without a state."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from fastnn import metrics
from fastnn.metrics import METRICS
from support.metrics import batch, fits
from support.units import label, units

Y = np.array([0, 1, 1, 0, 1, 0.0])
OUT = np.array([0.1, 0.9, 0.4, 0.6, 0.8, 0.2])


class Span(metrics.Metric):
    """The largest output less the smallest, and how many there were."""

    def __init__(self, name: str | None = None, **named: Any) -> None:
        super().__init__(name=name, **named)
        self.top = self.add_weight("top")
        self.counted = [self.add_variable((), "zeros", dtype="int32", name="seen")]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.top.assign(np.maximum(self.top, np.max(y_pred)))
        self.counted[0].assign_add(np.size(y_pred))

    def result(self) -> Any:
        return self.top


def test_a_metric_of_ones_own_gathers_in_variables() -> None:
    metric = Span()
    assert metric.name == "span"
    assert [v.name for v in metric.variables] == ["top", "seen"]
    metric.update_state(Y, OUT)
    assert float(metric(Y, OUT / 2)) == np.float32(0.9)
    assert [float(v) for v in metric.variables] == [np.float32(0.9), 12]
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0, 0]
    metric.inner = {"a": metrics.Mean(), "b": [Span(), metrics.BinaryAccuracy()]}  # type: ignore[attr-defined]
    assert [v.name for v in metric.variables] == ["top", "seen", "total", "count", "top", "seen", "total", "count"]


def test_stateless_forms_leave_the_metric_as_it_is() -> None:
    metric = Span()
    metric.update_state(Y, OUT)
    values = metric.stateless_reset_state()
    assert [float(value) for value in values] == [0, 0]
    values = metric.stateless_update_state(values, Y, 3 * OUT)
    assert metric.stateless_result(values) == np.float32(2.7)
    assert metric.result() == np.float32(0.9)
    with pytest.raises(ValueError, match="must have a value for each of the 2 variables of Span, got 1"):
        metric.stateless_result(values[:1])


def batch_for(metric: Any, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(y, output) that the metric takes."""
    rng = np.random.default_rng(seed)
    if isinstance(metric, metrics.AccumulatedMetric):
        units = next(n for n in (3, 4, 1, 2) if any(fits(metric, targets, n) for targets in metric.columns(n)))
        return batch(metric, rows, units, rng)
    labels = rng.integers(0, 3, rows)
    output = rng.permuted(np.tile([0.1, 0.3, 0.6], (rows, 1)), axis=1)
    return labels[:, None] if metric.kernel.labels else np.eye(3)[labels], output


def gathered(metric: Any, *batches: Any) -> Any:
    found = copy.deepcopy(metric)
    for each in batches:
        found.update_state(*each)
    return found


@pytest.mark.parametrize("metric", units(METRICS), ids=label)
def test_kernels_gather_in_variables(metric: Any) -> None:
    """All that a metric knows is in its variables: put into another they give the same value, and so do their sums."""
    first, second = batch_for(metric, 7, 1), batch_for(metric, 5, 2)
    both = gathered(metric, first, second)
    other = copy.deepcopy(metric)
    for mine, value in zip(other.variables, both.variables, strict=True):
        mine.assign(value.numpy())
    np.testing.assert_allclose(other.result(), both.result(), rtol=1e-12, atol=1e-12)
    other.update_state(*first)
    np.testing.assert_allclose(other.result(), gathered(both, first).result(), rtol=1e-9, atol=1e-12)
    merged = copy.deepcopy(metric)
    merged.merge_state([gathered(metric, first), gathered(metric, second)])
    np.testing.assert_allclose(merged.result(), both.result(), rtol=1e-9, atol=1e-12)
    values = [variable.numpy() for variable in copy.deepcopy(metric).variables]
    for each in (first, second):
        values = metric.stateless_update_state(values, *each)
    np.testing.assert_allclose(metric.stateless_result(values), both.result(), rtol=1e-9, atol=1e-12)
    fresh = copy.deepcopy(metric)
    np.testing.assert_array_equal(metric.result(), fresh.result())
    shape = np.shape(both.result())
    both.reset_state()  # which keeps how many outputs there are, as Keras's
    assert np.shape(both.result()) == shape
    np.testing.assert_array_equal(both.result(), np.full(shape, np.ravel(fresh.result())[0]))


def test_counts_by_name() -> None:
    weights = [1, 2, 1, 1, 1, 1]
    for cls in (metrics.Precision, metrics.Recall, metrics.AUC):
        metric = cls(thresholds=[0.3, 0.7])
        metric.update_state(Y, OUT, weights)
        inner = slice(1, -1) if cls is metrics.AUC else slice(None)  # an area has a threshold at each end
        np.testing.assert_array_equal(metric.true_positives[inner], [4, 3])
        if cls is not metrics.Recall:
            np.testing.assert_array_equal(metric.false_positives[inner], [1, 0])
        if cls is not metrics.Precision:
            np.testing.assert_array_equal(metric.false_negatives[inner], [0, 1])
        if cls is metrics.AUC:
            np.testing.assert_array_equal(metric.true_negatives[inner], [2, 3])
    count = metrics.FalsePositives(0.5)
    count.update_state(Y, OUT)
    np.testing.assert_array_equal(count.accumulator, [1])
    mean = metrics.MeanAbsoluteError()
    mean.update_state([[1.0], [3.0]], [[2.0], [5.0]])
    assert (float(mean.total), float(mean.count)) == (3, 2)
    scores = metrics.F1Score()
    scores.update_state([[1, 0], [0, 1], [1, 0]], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    np.testing.assert_array_equal(scores.true_positives, [2, 0])
    np.testing.assert_array_equal(scores.false_positives, [1, 0])
    np.testing.assert_array_equal(scores.false_negatives, [0, 1])
    np.testing.assert_array_equal(scores.intermediate_weights, [2, 1])
    union = metrics.MeanIoU(2)
    union.update_state([0, 1, 1], [0, 1, 0])
    np.testing.assert_array_equal(union.total_cm, [[1, 0], [1, 1]])


def test_merge_state_of_others() -> None:
    with pytest.raises(TypeError, match="merge_state takes metrics of the class Recall"):
        metrics.Recall().merge_state([metrics.Precision()])
    with pytest.raises(TypeError, match="merge_state takes metrics of the class R2Score"):
        metrics.R2Score().merge_state([metrics.Precision()])


def test_weights_of_elements() -> None:
    y, out = Y.reshape(3, 2), OUT.reshape(3, 2)
    weights = np.array([[1, 2], [0, 1], [3, 1.0]])
    met = (out > 0.5) == y
    for metric, value in (
        (metrics.BinaryAccuracy(), (weights * met).sum() / weights.sum()),
        (metrics.Accuracy(), 0.0),
        (metrics.Precision(), (weights * (out > 0.5) * y).sum() / (weights * (out > 0.5)).sum()),
        (metrics.TrueNegatives(), (weights * (out <= 0.5) * (1 - y)).sum()),
        (metrics.MeanIoU(2), 0.0),
    ):
        if isinstance(metric, metrics.MeanIoU):
            taken = (out > 0.5).astype(float)
            hit = weights * (taken == y)
            value = np.mean([hit[y == c].sum() / weights[(y == c) | (taken == c)].sum() for c in (0, 1)])
            assert metric(y, taken, weights) == pytest.approx(value, rel=1e-12)
        else:
            assert metric(y, out, weights) == pytest.approx(value, rel=1e-12)
    with pytest.raises(ValueError, match=r"sample_weight of shape \(2, 2\) does not go with y_pred of shape \(3, 2\)"):
        metrics.BinaryAccuracy()(y, out, weights[:2])
    with pytest.raises(ValueError, match="takes one sample_weight for each"):
        metrics.MeanSquaredError()(y, out, weights)


def test_what_was_reset_takes_values_of_another_width() -> None:
    metric, other = metrics.F1Score(), metrics.F1Score()
    metric.update_state(np.eye(3), np.eye(3)[[0, 1, 1]])
    metric.reset_state()
    other.update_state(np.eye(4), np.eye(4)[[0, 1, 1, 3]])
    for mine, value in zip(metric.variables, other.variables, strict=True):
        mine.assign(value.numpy())
    np.testing.assert_array_equal(metric.result(), other.result())

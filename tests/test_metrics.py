"""Metrics on arrays: known values, what gathers from call to call, names, shapes and errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fastnn import losses, metrics
from fastnn.metrics import METRICS
from support.metrics import NEEDED, batch, fits
from support.units import label, outputs_for, targets_for, units, unknown

ALL = units(METRICS)

Y = [0, 0, 1, 1]
P = [0.1, 0.4, 0.35, 0.8]
HOT = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]
OUT = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1]]

# By hand, or from the papers' and Keras's own examples.
KNOWN: list[tuple[metrics.Metric, Any, Any, Any, Any]] = [
    (metrics.Accuracy(), [1, 2, 3, 4], [0, 2, 3, 4], None, 0.75),
    (metrics.Accuracy(), [1, 2, 3, 4], [0, 2, 3, 4], [1, 1, 0, 0], 0.5),
    (metrics.BinaryAccuracy(), [1, 1, 0, 0], [0.98, 1, 0, 0.6], None, 0.75),
    (metrics.CategoricalAccuracy(), HOT, OUT, None, 0.5),
    (metrics.CategoricalAccuracy(), HOT, OUT, [3, 1, 0, 4], 0.5),
    (metrics.SparseCategoricalAccuracy(), [0, 1, 2, 1], OUT, None, 0.5),
    (metrics.TopKCategoricalAccuracy(2), HOT, OUT, None, 1.0),
    (metrics.SparseTopKCategoricalAccuracy(1), [0, 1, 2, 1], OUT, [1, 0, 1, 0], 0.5),
    (metrics.MeanSquaredError(), [[0, 1], [0, 0]], [[1, 1], [0, 0]], None, 0.25),
    (metrics.RootMeanSquaredError(), [[0, 1], [0, 0]], [[1, 1], [0, 0]], [1, 0], 0.5**0.5),
    (metrics.CosineSimilarity(), [[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]], None, 0.5),
    (
        metrics.PearsonCorrelation(),
        [[0, 1, 0.5], [1, 1, 0.2]],
        [[0.1, 0.9, 0.5], [1, 0.9, 0.2]],
        None,
        (1 + 0.4 / (1.28 / 3 * 0.38) ** 0.5) / 2,
    ),
    (metrics.PearsonCorrelation(), [[0, 1], [1, 2], [3, 3]], [[5, 7], [2, 0], [1, 9]], [3, 1, 1], 0.4),
    (
        metrics.ConcordanceCorrelation(),
        [[0, 1, 0.5], [1, 1, 0.2]],
        [[0.1, 0.9, 0.5], [1, 0.9, 0.2]],
        [1, 0],
        0.8 / (0.82 + 3e-7),
    ),
    (metrics.R2Score(), [[1], [4], [3]], [[2], [4], [4]], None, 4 / 7),
    (metrics.R2Score(None), [[1, 5], [4, 5], [3, 5]], [[2, 5], [4, 5], [4, 5]], None, [4 / 7, 1]),
    (metrics.R2Score(num_regressors=1), [[1], [4], [3]], [[2], [4], [4]], None, 1 - 3 / 7 * 2),
    (metrics.TruePositives(), [0, 1, 1, 1], [1, 0, 1, 1], None, 2),
    (metrics.FalsePositives(), [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0], 1),
    (metrics.TrueNegatives([0.5, 0.0]), [0, 1, 0, 0], [1, 1, 0, 0], None, [2, 2]),
    (metrics.FalseNegatives(), [0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0], 1),
    (metrics.Precision(), [0, 1, 1, 1], [1, 0, 1, 1], None, 2 / 3),
    (metrics.Precision(), [0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], 1),
    (metrics.Precision(top_k=2), [[0, 0, 1, 1]], [[1, 1, 1, 1]], None, 0),
    (metrics.Precision(top_k=4), [[0, 0, 1, 1]], [[1, 1, 1, 1]], None, 0.5),
    (metrics.Recall(), [0, 1, 1, 1], [1, 0, 1, 1], None, 2 / 3),
    (metrics.Recall([0.9, 0.3]), Y, P, None, [0, 1]),
    (metrics.SensitivityAtSpecificity(0.5), [0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8], None, 0.5),
    (metrics.SensitivityAtSpecificity(0.5), [0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8], [1, 1, 2, 2, 1], 1 / 3),
    (metrics.SpecificityAtSensitivity(0.5), [0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8], None, 2 / 3),
    (metrics.PrecisionAtRecall(0.5), [0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8], None, 0.5),
    (metrics.RecallAtPrecision(0.8), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], None, 0.5),
    (metrics.AUC(), Y, P, None, 0.75),
    (metrics.AUC(3), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], None, 0.75),
    (metrics.AUC(3), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], [1, 0, 0, 1], 1.0),
    (metrics.AUC(from_logits=True), Y, np.log(np.array(P) / (1 - np.array(P))), None, 0.75),
    (
        metrics.F1Score(threshold=0.5),
        [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
        [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0]],
        None,
        [0.5, 0.8, 2 / 3],
    ),
    (metrics.F1Score("micro"), HOT, OUT, None, 0.5),
    (
        metrics.FBetaScore(beta=2.0, threshold=0.5),
        [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
        [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0]],
        None,
        [5 / 13, 10 / 11, 5 / 6],
    ),
    (metrics.IoU(2, [0]), [0, 0, 1, 1], [0, 1, 0, 1], None, 1 / 3),
    (metrics.IoU(2, [0]), [0, 0, 1, 1], [0, 1, 0, 1], [0.3, 0.3, 0.3, 0.1], 1 / 3),
    (metrics.BinaryIoU([0, 1], 0.3), [0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7], None, 1 / 3),
    (metrics.MeanIoU(2), [0, 0, 1, 1], [0, 1, 0, 1], [0.3, 0.3, 0.3, 0.1], (1 / 3 + 1 / 7) / 2),
    (metrics.OneHotIoU(3, [0, 1]), HOT, OUT, None, (1 / 2 + 1 / 3) / 2),
    (metrics.OneHotMeanIoU(3), HOT, OUT, None, (1 / 2 + 1 / 3 + 0) / 3),
    (metrics.ConfusionMatrix(), [0, 1, 2, 1], OUT, None, [[1, 0, 0], [1, 1, 0], [0, 1, 0]]),
    (metrics.ConfusionMatrix(), HOT, OUT, [1, 2, 3, 0.5], [[1, 0, 0], [0.5, 2, 0], [0, 3, 0]]),
    (metrics.ConfusionMatrix(), Y, P, None, [[2, 0], [1, 1]]),
]


@pytest.mark.parametrize(("metric", "y", "output", "weight", "wanted"), KNOWN)
def test_known_figures(metric: metrics.Metric, y: Any, output: Any, weight: Any, wanted: Any) -> None:
    metric.reset_state()
    for dtype in (np.float64, np.float32):
        found = metric(np.array(y, dtype), np.array(output, dtype), weight)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
        metric.reset_state()
    np.testing.assert_allclose(metric(y, output, weight), wanted, rtol=1e-12)
    metric.reset_state()


def case(metric: Any, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A batch that the metric takes."""
    if isinstance(metric, metrics.AccumulatedMetric):
        count = next(c for c in (3, 1) if any(fits(metric, targets, c) for targets in metric.columns(c)))
        return batch(metric, rows, count, rng)
    unit = getattr(metric, "loss", metric)
    y = targets_for(unit, rows, 3, rng)
    return y, outputs_for(unit, rng.normal(size=(rows, 3)))


@pytest.mark.parametrize("metric", ALL, ids=label)
def test_batches_gather_until_reset(metric: Any) -> None:
    rng = np.random.default_rng(3)
    y, output = case(metric, 20, rng)
    weight = rng.uniform(0.1, 2, 20)
    weight[3] = 0
    metric.reset_state()
    whole = metric(y, output, weight)
    np.testing.assert_array_equal(metric.result(), whole)
    metric.reset_state()
    for at in (slice(0, 1), slice(1, 12), slice(12, 12), slice(12, 20)):
        assert metric.update_state(y[at], output[at], weight[at]) is None
    np.testing.assert_allclose(metric.result(), whole, rtol=1e-12, atol=1e-13)
    metric.reset_state()
    np.testing.assert_allclose(
        metric(y, output, np.ones(20)), metric.__class__(**fields(metric))(y, output), rtol=1e-12
    )
    metric.reset_state()


@pytest.mark.parametrize("metric", ALL, ids=label)
def test_no_rows_and_rows_of_weight_0(metric: Any) -> None:
    """A number, or numbers, and 0 unless the metric's own formula says another."""
    y, output = case(metric, 4, np.random.default_rng(3))
    metric.reset_state()
    before = metric.result()
    assert np.isfinite(before).all()
    for given in ((y[:0], output[:0]), (y, output, np.zeros(4)), (y, np.full_like(output, np.nan), np.zeros(4))):
        found = metric(*given)
        assert np.isfinite(found).all()
        if not (isinstance(metric, metrics.R2Score) and metric.num_regressors):
            assert not np.any(found)
        metric.reset_state()


def fields(metric: Any) -> dict[str, Any]:
    config = METRICS.config(metric)
    del config["class"]
    return config


@pytest.mark.parametrize("metric", ALL, ids=label)
def test_a_configuration_survives_json(metric: Any) -> None:
    config = METRICS.config(metric)
    for again in (METRICS.from_config(json.loads(json.dumps(config))), metrics.get(config)):
        assert type(again) is type(metric)
        assert METRICS.config(again) == config


def test_float32_thresholds_are_of_the_output_s_type() -> None:
    """0.1 as a float32 is more than 0.1, but no float32 is between."""
    assert metrics.TruePositives(0.1)([1], np.array([0.1], np.float32)) == 0
    assert metrics.TruePositives(0.1)([1], np.array([0.1])) == 0
    assert metrics.TruePositives(0.1)([1], np.nextafter(np.array([0.1], np.float32), np.float32(1))) == 1


def test_the_thresholds_of_an_area_have_both_ends() -> None:
    """As an attribute; a configuration and a file have what was given."""
    ends = [-1e-7, 0.3, 0.5, 1 + 1e-7]
    given = metrics.AUC(thresholds=[0.5, 0.3])
    for metric in (given, metrics.AUC.from_config(given.get_config()), METRICS.from_config(METRICS.config(given))):
        assert metric.thresholds == ends
        assert metric.get_config()["thresholds"] == METRICS.config(metric)["thresholds"] == [0.3, 0.5]
        assert metric([0, 0, 1, 1], [0, 0.5, 0.3, 0.9]) == 0.625
    even = metrics.AUC(num_thresholds=5)
    np.testing.assert_allclose(even.thresholds, [0, 0.25, 0.5, 0.75, 1], atol=1e-6)
    assert even.get_config()["thresholds"] is None


def test_what_a_reset_metric_gathered_keeps_its_shape_until_a_batch_has_another() -> None:
    metric = metrics.AUC(num_thresholds=4, multi_label=True)
    metric(HOT, OUT)
    metric.reset_state()
    np.testing.assert_array_equal(metric.true_positives, np.zeros((4, 3)))
    fewer = np.array(HOT)[:, :2], np.array(OUT)[:, :2]
    assert metric(*fewer) == metrics.AUC(num_thresholds=4, multi_label=True)(*fewer)
    with pytest.raises(ValueError, match="has seen batches of another width than 3"):
        metric(HOT, OUT)


def test_shapes() -> None:
    """Rows without a second axis are rows of one output; or one row, where a row's value is of many outputs."""
    assert metrics.MeanSquaredError()([1, 2], [1, 4]) == 2
    assert metrics.MeanSquaredError()([1, 2], [[1], [4]]) == 2
    assert metrics.MeanSquaredError()([[1], [2]], [1, 4], [[1], [3]]) == 3
    assert metrics.MeanSquaredError()([1, 2], [1, 4], 5) == 2
    assert metrics.CategoricalAccuracy()([0, 1, 0], [0.2, 0.5, 0.3]) == 1
    assert metrics.SparseCategoricalAccuracy()(1, [0.2, 0.5, 0.3]) == 1
    assert metrics.SparseCategoricalAccuracy()([1], [[0.2, 0.5, 0.3]]) == 1
    assert metrics.Accuracy()(1, 1) == 1
    steps = [[[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]]
    assert metrics.SparseCategoricalAccuracy()([[1], [2]], steps) == 0.5  # as Keras: one label for each line
    with pytest.raises(ValueError, match=r"y_true of shape \(1, 2, 2\) has not the 4 row"):
        metrics.SparseCategoricalAccuracy()([[[1, 2], [1, 2]]], [steps, steps])


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: metrics.Precision(1.5), ValueError, "Precision: thresholds must be numbers from 0 to 1, got 1.5"),
    (lambda: metrics.Recall([0.5, None]), ValueError, r"Threshold values must be in \[0, 1\]. Received: \[None\]"),
    (lambda: metrics.Recall([]), ValueError, r"Recall: thresholds must be numbers from 0 to 1, got \[\]"),
    (lambda: metrics.Precision(top_k=0), ValueError, "Precision: top_k must be at least 1, got 0"),
    (
        lambda: metrics.Precision(class_id=-1),
        ValueError,
        "Precision: class_id must be at least 0, got -1",
    ),
    (
        lambda: metrics.Recall(class_id=1.5),
        TypeError,
        "Recall: class_id must be a whole number, got 1.5",
    ),
    (lambda: metrics.Precision(class_id=3)(HOT, OUT), ValueError, r"class_id 3, but there are 3 output\(s\)"),
    (lambda: metrics.AUC(1), ValueError, "AUC: num_thresholds must be at least 2, got 1"),
    (lambda: metrics.AUC(curve="ROCK"), ValueError, "AUC: curve must be one of ROC, PR, PRGAIN, got 'ROCK'"),
    (lambda: metrics.AUC(summation_method="sum"), ValueError, "summation_method must be one of interpolation"),
    (lambda: metrics.AUC(num_labels=3), ValueError, "num_labels goes with multi_label=True"),
    (lambda: metrics.AUC(label_weights=[1, 2])(HOT, OUT), ValueError, r"for 2 output\(s\), but there are 3"),
    (lambda: metrics.F1Score("mean"), ValueError, "F1Score: average must be one of"),
    (lambda: metrics.F1Score(threshold=0), ValueError, "F1Score: threshold must be above 0 and at most 1, got 0"),
    (lambda: metrics.FBetaScore(beta=0.0), ValueError, "FBetaScore: beta must be above 0"),
    (lambda: metrics.R2Score("mean"), ValueError, "R2Score: class_aggregation must be one of"),
    (lambda: metrics.R2Score(num_regressors=-1), ValueError, "R2Score: num_regressors must be at least 0"),
    (lambda: metrics.SensitivityAtSpecificity(2), ValueError, "specificity must be at least 0 and at most 1, got 2"),
    (lambda: metrics.TopKCategoricalAccuracy(0), ValueError, "TopKCategoricalAccuracy: k must be at least 1, got 0"),
    (lambda: metrics.IoU(2, [2]), ValueError, r"IoU: target_class_ids must be at most 1, got 2"),
    (lambda: metrics.MeanIoU(0), ValueError, "MeanIoU: num_classes must be at least 1, got 0"),
    (
        lambda: metrics.OneHotIoU(2, [0])(HOT, OUT),
        ValueError,
        r"takes 2 target column\(s\) for 3 output\(s\), but y has 3",
    ),
    (
        lambda: metrics.IoU(2, [0], sparse_y_pred=False)([0] * 4, OUT),
        ValueError,
        r"takes 2 output\(s\), but there are 3",
    ),
    (
        lambda: metrics.MeanSquaredError()([1, 2, 3], [1, 2]),
        ValueError,
        r"shape \(3,\) has not the 2 row\(s\) of y_pred",
    ),
    (lambda: metrics.MeanSquaredError()(np.ones((2, 2)), OUT), ValueError, r"shape \(2, 2\) has not the 4 row"),
    (lambda: metrics.MeanSquaredError()([1, 2, 1, 0], OUT), ValueError, r"takes 3 target column.* but y has 1; choose"),
    (lambda: metrics.MeanSquaredError()(HOT, OUT, [1, 2]), ValueError, r"one sample_weight for each of 4 row.*\(2,\)"),
    (
        lambda: metrics.MeanSquaredError()(HOT, np.ones((4, 2, 3))),
        ValueError,
        r"\(4, 3\) has not the 8 row\(s\) of y_p",
    ),
    (
        lambda: metrics.MeanSquaredError()(HOT, OUT, np.ones((1, 4))),
        ValueError,
        r"one sample_weight for each.*\(1, 4\)",
    ),
    (lambda: metrics.get("auuc"), ValueError, unknown("metric", "auuc")),
    (lambda: metrics.as_metric(None), TypeError, "metric must be a name or a fastnn.metrics object, got None"),
    (lambda: metrics.Metric().update_state(Y, P), NotImplementedError, "Metric has no update_state"),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_errors(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_another_width_after_the_first_batch() -> None:
    metric = metrics.F1Score()
    metric.update_state(HOT, OUT)
    with pytest.raises(ValueError, match=r"another width than 2 output\(s\); call reset_state"):
        metric.update_state([[0, 1]], [[0.2, 0.8]])
    metric.reset_state()
    np.testing.assert_array_equal(metric([[0, 1]], [[0.2, 0.8]]), [0, 1])


@pytest.mark.parametrize(
    ("given", "targets", "units", "name", "cls", "logits"),
    [
        ("accuracy", 1, 1, "accuracy", metrics.BinaryAccuracy, False),
        ("acc", 1, 3, "acc", metrics.SparseCategoricalAccuracy, False),
        ("Accuracy", 3, 3, "Accuracy", metrics.CategoricalAccuracy, False),
        ("crossentropy", 1, 1, "crossentropy", metrics.BinaryCrossentropy, False),
        ("ce", 1, 3, "ce", metrics.SparseCategoricalCrossentropy, True),
        ("crossentropy", 3, 3, "crossentropy", metrics.CategoricalCrossentropy, True),
        ("mse", 3, 3, "mse", metrics.MeanSquaredError, False),
        ("MSE", 3, 3, "MSE", metrics.MeanSquaredError, False),
        ("MeanSquaredError", 3, 3, "MeanSquaredError", metrics.MeanSquaredError, False),
        (metrics.MeanSquaredError, 3, 3, "mean_squared_error", metrics.MeanSquaredError, False),
        (metrics.FBetaScore(), 3, 3, "fbeta_score", metrics.FBetaScore, False),
        (metrics.AUC(name="pr", curve="PR"), 3, 3, "pr", metrics.AUC, False),
        (losses.Huber(0.5), 3, 3, "huber", metrics.LossMetric, False),
        (losses.BinaryCrossentropy(from_logits=True, name="mine"), 3, 3, "mine", metrics.LossMetric, True),
        (metrics.mean_squared_error, 3, 3, "mean_squared_error", metrics.LossMetric, False),
        (metrics.binary_accuracy, 3, 3, "binary_accuracy", metrics.MeanMetricWrapper, False),
        (losses.Dice(), 3, 3, "dice", metrics.MeanMetricWrapper, False),
    ],
)
def test_resolve(given: Any, targets: int, units: int, name: str, cls: Any, logits: bool) -> None:
    loss = losses.CategoricalCrossentropy(from_logits=logits)
    found, metric = metrics.resolve(given, targets, units, loss)
    assert (found, type(metric), metric.logits) == (name, cls, logits)
    assert (metric.kernel is None) == (cls is metrics.MeanMetricWrapper)


def test_resolve_refuses_what_does_not_go_with_the_shapes() -> None:
    with pytest.raises(
        ValueError, match=r"metric 'mae' takes 3 target column\(s\) for 3 output\(s\), but this loss has 1"
    ):
        metrics.resolve("mae", 1, 3)
    with pytest.raises(TypeError, match=r"BinaryAccuracy: name must be a text, got 0.1; pass what else"):
        metrics.resolve(metrics.BinaryAccuracy(0.1), 1, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'confusion_matrix' takes 1 or 3 target column\(s\) for 3 output\(s\)"):
        metrics.resolve("confusion_matrix", 2, 3)


class Largest(metrics.Metric):
    """A user's own metric, as Keras's users write one."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self.reset_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest = max(self.largest, float(np.abs(y_true - y_pred).max()))

    def result(self) -> float:
        return self.largest

    def reset_state(self) -> None:
        self.largest = 0.0


def test_a_metric_in_python() -> None:
    assert Largest().name == "largest"
    for given, name in ((Largest, "largest"), (Largest("gap"), "gap")):
        found, metric = metrics.resolve(given, 1, 1)
        assert (found, metric.kernel) == (name, None)
        assert metric(np.array([1.0, 3.0]), np.array([2.0, 0.0])) == 3
        metric.reset_state()
        assert metric.result() == 0


def test_a_function_as_a_metric() -> None:
    def gap(y_true: Any, y_pred: Any, power: float = 1.0) -> Any:
        return np.abs(y_true - y_pred) ** power

    name, metric = metrics.resolve(gap, 2, 2)
    assert name == "gap"
    assert metric(np.array([[1.0, 2.0]]), np.array([[0.0, 5.0]])) == 2
    squared = metrics.MeanMetricWrapper(gap, "squared", power=2.0)
    assert squared.name == "squared"
    squared.update_state(np.array([[1.0, 2.0]]), np.array([[0.0, 5.0]]), [0.5])
    assert squared.result() == 5
    squared.reset_state()
    assert squared.result() == 0


def test_needed_arguments_are_said() -> None:
    for cls in NEEDED:
        with pytest.raises(TypeError, match="missing"):
            metrics.get(cls)

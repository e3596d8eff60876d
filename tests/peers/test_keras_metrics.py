"""Every metric gives Keras 3's value on the same batches: weights, several updates, and where little is left."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pytest

from fastnn import metrics
from fastnn.metrics import METRICS

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

Batch = tuple[np.ndarray, np.ndarray]


def numbers(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.normal(size=(rows, units)), rng.normal(size=(rows, units))


def positives(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(0, 4, (rows, units)) / 1.0, rng.uniform(0.1, 3, (rows, units))


def shares(rng: np.random.Generator, rows: int, units: int) -> np.ndarray:
    """Steps of 1/8, with many equal, of 0 and of 1; and any number between."""
    return np.where(rng.random((rows, units)) < 0.5, rng.integers(0, 9, (rows, units)) / 8, rng.random((rows, units)))


def bits(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(0, 2, (rows, units)), shares(rng, rows, units)


def soft(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(0, 5, (rows, units)) / 4, shares(rng, rows, units)


def signs(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return 2 * rng.integers(0, 2, (rows, units)) - 1, rng.normal(size=(rows, units))


def logits(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(0, 2, (rows, units)), rng.normal(scale=3, size=(rows, units))


def hot(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return np.eye(units)[rng.integers(0, units, rows)], shares(rng, rows, units) + 0.01


def hot_logits(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return np.eye(units)[rng.integers(0, units, rows)], rng.normal(scale=3, size=(rows, units))


def labels(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(0, units, (rows, 1)), shares(rng, rows, units) + 0.01


def label_logits(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(0, units, (rows, 1)), rng.normal(scale=3, size=(rows, units))


def ids(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return rng.integers(-1, 5, (rows, units)), rng.integers(-1, 5, (rows, units))


def hot_ids(rng: np.random.Generator, rows: int, units: int) -> Batch:
    return np.eye(units)[rng.integers(0, units, rows)], rng.integers(0, units, (rows, 1))


CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("Accuracy", {}, ids),
    ("BinaryAccuracy", {}, bits),
    ("BinaryAccuracy", {"threshold": 0.25}, bits),
    ("CategoricalAccuracy", {}, hot),
    ("SparseCategoricalAccuracy", {}, labels),
    *(("TopKCategoricalAccuracy", {"k": k}, hot) for k in (1, 2, 3)),
    *(("SparseTopKCategoricalAccuracy", {"k": k}, labels) for k in (1, 2, 3)),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, label_logits),
    ("MeanSquaredError", {}, numbers),
    ("RootMeanSquaredError", {}, numbers),
    ("MeanAbsoluteError", {}, numbers),
    ("MeanAbsolutePercentageError", {}, numbers),
    ("MeanSquaredLogarithmicError", {}, positives),
    ("CosineSimilarity", {}, numbers),
    ("LogCoshError", {}, numbers),
    ("Poisson", {}, positives),
    ("KLDivergence", {}, soft),
    ("Hinge", {}, signs),
    ("SquaredHinge", {}, signs),
    ("CategoricalHinge", {}, hot),
    ("BinaryCrossentropy", {}, bits),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, soft),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, logits),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, hot),
    ("CategoricalCrossentropy", {"from_logits": True}, hot_logits),
    ("SparseCategoricalCrossentropy", {}, labels),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, label_logits),
    *(
        ("R2Score", {"class_aggregation": how}, numbers)
        for how in ("uniform_average", "variance_weighted_average", None)
    ),
    ("R2Score", {"num_regressors": 1}, numbers),
    ("R2Score", {"num_regressors": 1000}, numbers),
    *(
        (name, {"thresholds": thresholds}, bits)
        for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives", "Precision", "Recall")
        for thresholds in (None, [0.5, 0.125, 0.9], [0.0, 0.5, 1.0])
    ),
    *(
        (name, given, kind)
        for name in ("Precision", "Recall")
        for kind in (bits, hot)
        for given in (
            {"class_id": 0},
            {"top_k": 1},
            {"top_k": 2, "class_id": 0},
            {"top_k": 1, "thresholds": [0.2, 0.6]},
        )
    ),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, bits),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "num_thresholds": 11}, bits),
    ("PrecisionAtRecall", {"recall": 0.6, "class_id": 0}, bits),
    ("RecallAtPrecision", {"precision": 0.6, "num_thresholds": 1}, bits),
    *(
        ("AUC", {"curve": curve, "summation_method": method, **given}, bits)
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "minoring", "majoring")
        for given in ({"num_thresholds": 5}, {"thresholds": [0.7, 0.1, 0.125], "multi_label": True})
    ),
    ("AUC", {}, bits),
    ("AUC", {"num_thresholds": 2}, bits),
    ("Precision", {"thresholds": 0.25}, soft),
    ("Recall", {"thresholds": [0.75]}, soft),
    ("AUC", {"from_logits": True}, logits),
    ("AUC", {"curve": "PR", "from_logits": True, "multi_label": True}, logits),
    *(
        (name, {"average": how}, hot)
        for name in ("F1Score", "FBetaScore")
        for how in (None, "micro", "macro", "weighted")
    ),
    ("F1Score", {"threshold": 0.5}, bits),
    ("FBetaScore", {"threshold": 0.25, "beta": 2.0, "average": "weighted"}, soft),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2]}, ids),
    ("IoU", {"num_classes": 4, "target_class_ids": [3], "ignore_class": 1}, ids),
    ("MeanIoU", {"num_classes": 5}, ids),
    ("MeanIoU", {"num_classes": 3, "ignore_class": 2}, ids),
    ("BinaryIoU", {}, bits),
    ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.25}, bits),
]
# These take as many outputs as there are classes.
OF_CLASSES: list[tuple[str, dict[str, Any], Any]] = [
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 3], "sparse_y_pred": False}, labels),
    ("MeanIoU", {"num_classes": 4, "sparse_y_true": False, "sparse_y_pred": False}, hot),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1, 2]}, hot),
    ("OneHotMeanIoU", {"num_classes": 4, "ignore_class": 1}, hot),
    ("OneHotMeanIoU", {"num_classes": 4, "sparse_y_pred": True}, hot_ids),
    ("AUC", {"label_weights": [0.5, 2.0, 0.0, 1.0], "multi_label": True, "num_labels": 4}, bits),
    ("AUC", {"label_weights": [0.5, 2.0, 0.0, 1.0], "curve": "PR"}, bits),
]
ALL = [(*case, False) for case in CASES] + [(*case, True) for case in OF_CLASSES]


def name_of(case: tuple[str, dict[str, Any], Any, bool]) -> str:
    name, given, kind, _ = case
    return "-".join([name, *(f"{key}={value}" for key, value in given.items()), kind.__name__])


def pair(name: str, given: dict[str, Any]) -> tuple[Any, Any]:
    # Keras's IoU makes whole numbers of weights unless it is told to count in floats.
    return getattr(metrics, name)(**given), getattr(keras.metrics, name)(**given, dtype="float32")


def weights(which: str, rng: np.random.Generator, rows: int) -> np.ndarray | None:
    if which == "none":
        return None
    return {
        "masked": np.where(rng.random(rows) < 0.4, 0, rng.integers(1, 9, rows) / 4),
        "zero": np.zeros(rows),
    }[which]


def same(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("which", ["none", "masked", "zero"])
@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_the_same_value(case: tuple[str, dict[str, Any], Any, bool], which: str) -> None:
    name, given, kind, of_classes = case
    rng = np.random.default_rng(len(name_of(case)))
    for units in (4,) if of_classes else (3, 1)[: 2 if which == "none" else 1]:
        if given.get("top_k", 0) > units or (given.get("k", 0) > units and given.get("from_sorted_ids")):
            continue
        ours, theirs = pair(name, given)
        for rows in (30, 1):
            y, output = (array.astype(np.float32) for array in kind(rng, rows, units))
            weight = weights(which, rng, rows)
            ours.update_state(y, output, weight)
            if weight is not None and name.endswith("IoU") and kind in (ids, bits):
                weight = np.repeat(weight, units)  # Keras's wants one for each element
            theirs.update_state(y, output, weight)
        if name == "R2Score" and which == "zero":
            assert np.isfinite(ours.result()).all()  # NaN by Keras
        else:
            same(ours.result(), theirs.result())


@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_one_row(case: tuple[str, dict[str, Any], Any, bool]) -> None:
    name, given, kind, of_classes = case
    if given.get("class_aggregation") == "variance_weighted_average":
        pytest.skip("NaN by Keras, where no unit of y varies")
    for seed in range(2):
        units = 4 if of_classes else 3
        y, output = (array.astype(np.float32) for array in kind(np.random.default_rng(seed), 1, units))
        ours, theirs = pair(name, given)
        theirs.update_state(y, output)
        same(ours(y, output), theirs.result())
        ours.reset_state()
        same(ours(y, output), theirs.result())


@pytest.mark.parametrize("case", [case for case in ALL if case[2] in (bits, hot, labels)][::2], ids=name_of)
def test_outputs_of_exactly_0_and_1(case: tuple[str, dict[str, Any], Any, bool]) -> None:
    name, given, kind, _ = case
    y, _ = kind(np.random.default_rng(3), 12, 4)
    output = np.eye(4, dtype=np.float32)[np.arange(12) % 3]
    output[:3] = 1 - output[:3]
    ours, theirs = pair(name, given)
    theirs.update_state(y, output)
    # In float32 the nearest to 1 - 1e-7 is 1 - 1.19e-7, and log(1.19e-7) is 1.1 % off.
    np.testing.assert_allclose(ours(y, output), np.asarray(theirs.result()), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["Precision", "Recall", "AUC", "BinaryAccuracy", "BinaryIoU", "TruePositives"])
def test_rows_without_a_second_axis(name: str) -> None:
    rng = np.random.default_rng(1)
    y, output = (array[:, 0] for array in bits(rng, 20, 1))
    ours, theirs = pair(name, {})
    theirs.update_state(y, output.astype("f4"))
    same(ours(y, output), theirs.result())


@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_reductions(name: str) -> None:
    rng = np.random.default_rng(1)
    values, columns = rng.normal(size=(6, 4)), rng.normal(size=6)
    for given in [
        (values,),
        (columns,),
        (3.0,),
        (values, columns**2),
        (columns, values[:, 0] ** 2),
        (values, values**2),
        (values, 2.0),
        (columns, (columns**2)[:, None]),
        (values[:, :1], columns**2),
        (columns, 0.0),
    ]:
        ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
        for _ in range(2):
            ours.update_state(*given)
            theirs.update_state(*(np.asarray(array, np.float32) for array in given))
        same(ours.result(), theirs.result())
        ours.reset_state()
        assert ours.result() == 0


def test_a_function() -> None:
    rng = np.random.default_rng(1)
    for function in (lambda y, a: (y - a) ** 2, lambda y, a: abs(y - a).mean(axis=-1), lambda y, a: abs(y - a).sum()):
        ours, theirs = metrics.MeanMetricWrapper(function), keras.metrics.MeanMetricWrapper(function)
        for rows in (7, 2):
            y, output = numbers(rng, rows, 3)
            weight = rng.integers(1, 9, rows) / 4
            for given in ((y, output), (y, output, weight))[: 1 if np.ndim(function(y, output)) == 0 else 2]:
                ours.update_state(*given)
                theirs.update_state(*(array.astype(np.float32) for array in given))
        same(ours.result(), theirs.result())


FUNCTIONS = [
    ("binary_accuracy", {}, bits),
    ("binary_accuracy", {"threshold": 0.25}, bits),
    ("categorical_accuracy", {}, hot),
    ("sparse_categorical_accuracy", {}, labels),
    ("top_k_categorical_accuracy", {"k": 2}, hot),
    ("sparse_top_k_categorical_accuracy", {"k": 2}, labels),
    ("sparse_top_k_categorical_accuracy", {"k": 2, "from_sorted_ids": True}, label_logits),
]


@pytest.mark.parametrize(("name", "given", "kind"), FUNCTIONS)
def test_functions(name: str, given: dict[str, Any], kind: Any) -> None:
    y, output = (array.astype(np.float32) for array in kind(np.random.default_rng(5), 20, 4))
    theirs = np.asarray(getattr(keras.metrics, name)(y if y.shape == output.shape else y[:, 0], output, **given))
    ours = getattr(metrics, name)(y, output, **given)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


def test_names_aliases_arguments_and_defaults() -> None:
    """A class of Keras's name takes Keras's arguments in Keras's order, but for the type, a keyword, and some axes."""
    for _, cls in METRICS:
        if cls is metrics.ConfusionMatrix:
            continue
        theirs = inspect.signature(getattr(keras.metrics, cls.__name__)).parameters.values()
        given = inspect.signature(cls).parameters
        assert given["dtype"].kind is inspect.Parameter.KEYWORD_ONLY
        ours = [p for p in given.values() if p.name != "dtype"]
        wanted = [p for p in theirs if p.name not in ("dtype", "axis", "ignore_class") or p.name in given]
        wanted = [p for p in wanted if p.name != "dtype"]
        assert [p.name for p in ours] == [p.name for p in wanted], cls.__name__
        for own, other in zip(ours, wanted, strict=True):
            assert own.name == "name" or own.default == other.default, f"{cls.__name__}: {own.name}"
    for alias, cls in keras.src.metrics.ALL_OBJECTS_DICT.items():
        known = METRICS.aliases.get(alias)
        assert known is None or known.__name__ == cls.__name__


def test_the_name_in_logs_is_keras_s() -> None:
    needed = {"num_classes": 3, "target_class_ids": [0], "recall": 0.5, "precision": 0.5}
    needed |= {"sensitivity": 0.5, "specificity": 0.5}
    for _, cls in METRICS:
        if cls is metrics.ConfusionMatrix:
            continue
        keras.utils.clear_session()
        theirs = getattr(keras.metrics, cls.__name__)
        given = {
            name: needed[name]
            for name, parameter in inspect.signature(theirs).parameters.items()
            if parameter.default is parameter.empty and name in needed
        }
        assert cls(**given).name == theirs(**given).name

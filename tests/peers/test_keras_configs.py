"""Configurations go to Keras and come back: each names the arguments that the other's class takes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")

from fastnn import constraints, initializers, losses, metrics, regularizers  # noqa: E402
from fastnn.constraints import CONSTRAINTS  # noqa: E402
from fastnn.initializers import INITIALIZERS  # noqa: E402
from fastnn.losses import LOSSES  # noqa: E402
from fastnn.metrics import METRICS  # noqa: E402
from fastnn.regularizers import REGULARIZERS  # noqa: E402
from support.units import label, units  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

PAIRS = [
    (losses, LOSSES, keras.losses),
    (metrics, METRICS, keras.metrics),
    (regularizers, REGULARIZERS, keras.regularizers),
    (constraints, CONSTRAINTS, keras.constraints),
    (initializers, INITIALIZERS, keras.initializers),
]
# Of fastnn alone, or what Keras's own get_config leaves out.
LEFT_OUT = {"CosineSimilarity": {"axis"}, "Huber": {"delta"}, "Identity": {"gain"}}
CASES = [
    (ours, theirs, unit)
    for ours, table, theirs in PAIRS
    for unit in units(table)
    # Keras takes a threshold that comes twice for one, when it writes them down.
    if hasattr(theirs, type(unit).__name__) and len(set(np.ravel(getattr(unit, "thresholds", None)).tolist())) != 2
]


@pytest.mark.parametrize(("ours", "theirs", "unit"), CASES, ids=[label(unit) for _, _, unit in CASES])
def test_there_and_back(ours: Any, theirs: Any, unit: Any) -> None:
    name, config = type(unit).__name__, unit.get_config()
    given = dict(config)
    if unit.table_family != "metric" and name in LEFT_OUT:
        given = {key: value for key, value in given.items() if key not in LEFT_OUT[name]}
    other = getattr(theirs, name).from_config(dict(config))
    back = other.get_config()
    again = ours.deserialize({"class_name": name, "config": back})
    found = again.get_config()
    for key, value in given.items():
        if key in back or unit.table_family != "metric":  # Keras leaves some at their defaults out
            is_number = isinstance(value, float)  # of which Keras keeps float32's digits
            assert found[key] == (pytest.approx(value, rel=1e-6) if is_number else value), key
    written = theirs.serialize(other)
    assert ours.deserialize({**written, "module": f"keras.{theirs.__name__.rpartition('.')[2]}"}).get_config() == found


def test_metrics_gather_what_keras_gathers() -> None:
    """Variables by name and value, of a batch with weights."""
    rng = np.random.default_rng(0)
    y, out, weights = rng.integers(0, 2, 20), rng.random(20).astype("float32"), rng.random(20).astype("float32")
    for name in ("TruePositives", "FalseNegatives", "Precision", "Recall", "AUC", "MeanSquaredError", "BinaryAccuracy"):
        mine, other = getattr(metrics, name)(), getattr(keras.metrics, name)()
        mine.update_state(y[:, None], out[:, None], weights)
        other.update_state(y[:, None], out[:, None], weights)
        assert len(mine.variables) == len(other.variables)
        for ours, theirs in zip(mine.variables, other.variables, strict=True):
            assert ours.name == theirs.name or name.endswith(("Positives", "Negatives"))
            np.testing.assert_allclose(ours.numpy().ravel(), np.asarray(theirs).ravel(), rtol=1e-5, atol=1e-6)

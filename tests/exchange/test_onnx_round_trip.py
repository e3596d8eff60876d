"""Every layer as ONNX and back: what is read predicts what was written."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn.activations import ACTIVATIONS
from fastnn.exchange import from_onnx, to_onnx
from support.layers import CASES, Case
from support.units import OTHERS

pytest.importorskip("onnx")

# What the file has in a form that is not read, by a part of the error.
UNREAD = {
    r"\(TopK\): no layer": "sparsemax",
    r"\(Scan\): no layer": "softmax in steps, gates other than ONNX's, masked steps",
    "the rows are not axis 1": "a recurrent layer of each step of steps",
    "cannot both be more than 1": "a separable layer whose first part has strides and is dilated",
}


def back(model: Any) -> Any:
    """The model of the graph of a model."""
    try:
        proto = to_onnx(model)
    except (ValueError, NotImplementedError) as error:
        pytest.skip(f"it is not written: {error}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return from_onnx(proto)
    except ValueError as error:
        if not any(re.search(each, str(error)) for each in UNREAD):
            raise
        pytest.skip(f"it is not read: {error}")


@pytest.mark.parametrize("name", sorted(CASES))
def test_layer(name: str) -> None:
    fastnn.set_random_seed(3)
    case: Case = CASES[name]
    model, _ = case.model()
    rows = case.rows(7)
    if not case.choices:
        rows = (3 * np.random.default_rng(3).normal(size=rows.shape)).astype(np.float32)
    found, expected = back(model).predict(rows, verbose=0), model.predict(rows, verbose=0)
    assert found.shape == expected.shape
    # log(1 - sigmoid(t)): an ulp of a sigmoid near 1 is this much of its distance from 1.
    tolerance = 2e-3 if name.startswith("form of entropy") else 1e-5
    np.testing.assert_array_less(np.abs(found - expected), tolerance * np.maximum(1, np.abs(expected)))


@pytest.mark.parametrize("unit", [*(cls() for _, cls in ACTIVATIONS), *OTHERS[ACTIVATIONS]], ids=repr)
def test_activation(unit: Any) -> None:
    rows = (3 * np.random.default_rng(0).normal(size=(100, 8))).astype(np.float32)
    model = fastnn.Sequential([L.Input((8,)), L.Activation(unit)])
    expected = model.predict(rows, verbose=0)
    found = back(model).predict(rows, verbose=0)
    np.testing.assert_array_less(np.abs(found - expected), 1e-5 * np.maximum(1, np.abs(expected)))


def test_names_of_classes_and_columns() -> None:
    model = fastnn.Sequential([L.Input((2,)), L.Dense(3, "softmax")])
    model.predict(np.zeros((1, 2)), verbose=0)
    model.description.notes["classes"], model.description.columns = ["a", "b", "c"], ("age", "height")
    read = back(model)
    assert read.description.notes["classes"] == ["a", "b", "c"]
    assert read.description.columns == ("age", "height")

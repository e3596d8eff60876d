"""Which module writes a format, and what is said of one that there is not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import fastnn.layers as L
from fastnn.models import Sequential
from fastnn.store import formats


@pytest.mark.parametrize("home", [*formats.EXPORTS.values(), *formats.MODELS.values(), *formats.WEIGHTS.values()])
def test_each_is_there(home: str) -> None:
    assert find_spec(home) is not None


@pytest.mark.parametrize(
    ("named", "error", "said"),
    [
        ({"format": "tflite"}, ValueError, "fastnn writes 'onnx', 'c', 'sql'"),
        ({"format": "ONNX"}, ValueError, "did you mean 'onnx'"),
        ({"format": None}, ValueError, "Unrecognized format=None"),
        ({"format": "sql"}, TypeError, "format='sql': missing a required argument: 'table'; it takes table"),
        ({"format": "c", "opset": 17}, TypeError, "unexpected keyword argument 'opset'; it takes name, weights"),
    ],
)
def test_what_is_wrong_is_said(named: dict[str, Any], error: type[Exception], said: str, tmp_path: Path) -> None:
    model = Sequential([L.Input((2,)), L.Dense(1)])
    with pytest.raises(error, match=said):
        model.export(tmp_path / "m.c", **named)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_built_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="export"):
        Sequential([L.Dense(1)]).export(tmp_path / "m.c", format="c")

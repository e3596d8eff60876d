"""Lines of Keras as people write them: those that Keras itself runs are those that count."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
pytest.importorskip("keras")

from support.idioms import failure, lines


def test_what_keras_runs_fastnn_runs(tmp_path):
    counted = [line for line in lines() if failure("keras", line, tmp_path) is None]
    problems = {line: problem for line in counted if (problem := failure("fastnn", line, tmp_path)) is not None}
    assert len(counted) > 150
    assert len(problems) * 140 <= 2 * len(counted), problems

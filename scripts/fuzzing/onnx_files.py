"""Altered ONNX models."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.exchange import from_onnx
from fuzzing.trial import FAILED, Trial
from support.onnx_cases import graphs
from support.onnx_mutate import altered_bytes, altered_fields


class Onnx:
    """A model for each op that is read, with some of its bytes or fields changed: from_onnx, predict."""

    name = "onnx"

    def prepare(self, folder: str) -> None:
        self.graphs = graphs()

    def play(self, trial: Trial) -> None:
        place = trial.rng.randrange(len(self.graphs))
        base, whole = self.graphs[place], trial.rng.random() < 0.7
        given: Any = altered_fields(base, trial.rng) if whole else altered_bytes(base.SerializeToString(), trial.rng)
        model = trial.attempt(f"from_onnx of graph {place}, altered", from_onnx, given)
        if model is FAILED:
            return
        rows = [np.zeros((2, *tensor.row), np.float32) for tensor in model.inputs]
        if sum(map(np.size, rows)) + sum(np.prod(tensor.row) for tensor in model.outputs) < 2**20:
            trial.attempt("predict", model.predict, rows if len(rows) > 1 else rows[0], verbose=0)

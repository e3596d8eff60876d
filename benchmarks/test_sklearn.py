"""The comparison with scikit-learn's MLP runs, and its table says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")

import fastnn
from benchmarks import sklearn


def test_two_splits_of_iris(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = fastnn.get_num_threads()
    try:
        sklearn.main(["iris", "--seeds", "2", "--no-search", "--json", str(tmp_path / "found.json")])
    finally:
        fastnn.set_num_threads(before)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| iris | 150 | 4 | ")
    (fit,) = json.loads((tmp_path / "found.json").read_text())["fits"]
    assert [len(fit[what][side]) for what in ("seconds", "scores") for side in ("scikit-learn", "fastnn")] == [2] * 4
    assert fit["scores"]["fastnn"] == pytest.approx(fit["scores"]["scikit-learn"], abs=0.05)


def test_the_cases_of_the_race() -> None:
    tabular, mnist = sklearn.datasets(["tabular", "mnist"], "float32", 3)
    assert tabular.settings == {
        "hidden_layer_sizes": (128, 64),
        "activation": "tanh",
        "batch_size": 256,
        "max_iter": 3,
        "n_iter_no_change": 3,
    }
    assert (mnist.x.shape, mnist.settings["hidden_layer_sizes"]) == ((60_000, 784), (32,))

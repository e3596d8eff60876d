"""search: each candidate beside its cross-validation; what each strategy tries; the best."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Dense, Input
from fastnn.model_selection import Float, Int, Search, cross_validate, search
from fastnn.models import Sequential

RNG = np.random.default_rng(3)
X = RNG.normal(size=(150, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
GRID = {"units": [1, 16], "rate": [1e-4, 0.03], "epochs": [4]}


def build(units: int = 4, rate: float = 0.01, activation: str = "relu") -> Any:
    model = Sequential([Input((4,)), Dense(units, activation), Dense(1, "sigmoid")])
    model.compile(fastnn.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


def searched(settings: Any, **named: Any) -> Search:
    return search(build, settings, X, Y, **{"cv": 3, "random_state": 2, "verbose": 0, **named})


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_each_candidate_is_its_cross_validation(n_jobs: int) -> None:
    found = searched(GRID, n_jobs=n_jobs, score="accuracy")
    tried = found.cv_results_["params"]
    assert tried == [dict(zip(GRID, each, strict=True)) for each in itertools.product(*GRID.values())]
    for number, settings in enumerate(tried):
        alone = cross_validate(build, X, Y, cv=3, random_state=2, settings=settings, verbose=0, n_jobs=1)
        for name in ("test_loss", "test_accuracy"):
            scores = [found.cv_results_[f"split{fold}_{name}"][number] for fold in range(3)]
            assert scores == alone[name].tolist()
            assert found.cv_results_[f"mean_{name}"][number] == pytest.approx(alone[name].mean(), rel=1e-12)
            assert found.cv_results_[f"std_{name}"][number] == pytest.approx(alone[name].std(), rel=1e-9, abs=1e-12)
    means = found.cv_results_["mean_test_accuracy"]
    assert found.best_index_ == means.argmax()
    assert (found.best_params_, found.best_score_) == (tried[found.best_index_], means.max())
    assert sorted(found.cv_results_["rank_test"]) == [1, 2, 3, 4]
    assert repr(found).startswith("<Search of 4 candidates: accuracy 0.")


def test_the_best_learns_from_all() -> None:
    found = searched(GRID)
    settings = dict(found.best_params_)
    assert found.best_score_ == found.cv_results_["mean_test_loss"].min()
    epochs = settings.pop("epochs")
    fastnn.set_random_seed(2)
    model = build(**settings)
    model.fit(X, Y, epochs=epochs, verbose=0)
    for one, other in zip(model.get_weights(), found.best_estimator_.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert searched(GRID, refit=False).best_estimator_ is None


def test_random_candidates() -> None:
    every = {"units": [1, 2, 3, 4, 5], "activation": ["relu", "tanh"]}
    found = searched(every, strategy="random", n_iter=7).cv_results_["params"]
    assert len({repr(each) for each in found}) == 7
    assert len(searched(every, strategy="random", n_iter=70).cv_results_["params"]) == 10
    space = {"units": Int(1, 40, log=True), "rate": Float(1e-4, 1e-1, log=True), "activation": ["relu"]}
    found = searched(space, strategy="random", n_iter=12).cv_results_["params"]
    assert len(found) == 12
    assert all(1 <= each["units"] <= 40 and 1e-4 <= each["rate"] <= 1e-1 for each in found)
    assert found == searched(space, strategy="random", n_iter=12, n_jobs=3).cv_results_["params"]
    assert found != searched(space, strategy="random", n_iter=12, random_state=3).cv_results_["params"]


def test_ranges() -> None:
    rng = np.random.default_rng(0)
    whole = [Int(2, 4).draw(rng) for _ in range(600)]
    assert {2, 3, 4} == set(whole)
    assert min(map(whole.count, (2, 3, 4))) > 150
    logs = [Int(1, 1000, log=True).draw(rng) for _ in range(2000)]
    assert 0.25 < np.mean(np.array(logs) < 10) < 0.42
    assert (min(logs), max(logs) <= 1000) == (1, True)
    rates = np.array([Float(1e-4, 1e-1, log=True).draw(rng) for _ in range(2000)])
    assert 0.28 < (rates < 1e-3).mean() < 0.38
    flat = np.array([Float(-1, 3).draw(rng) for _ in range(2000)])
    assert 0.45 < (flat < 1).mean() < 0.55
    for wrong, says in (
        (lambda: Int(3, 3), "low must be below high"),
        (lambda: Int(0, 3, log=True), "at least 1 with log=True"),
        (lambda: Float(2, 1), "low must be below high"),
        (lambda: Float(0, 1, log=True), "above 0 with log=True"),
        (lambda: Float(0, float("inf")), "low must be below high"),
    ):
        with pytest.raises(ValueError, match=says):
            wrong()


def test_distributions_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats", reason="distributions: pip install scipy")
    space = {"rate": stats.loguniform(1e-4, 1e-2), "units": stats.randint(2, 9)}
    found = searched(space, strategy="random", n_iter=5).cv_results_["params"]
    assert all(1e-4 <= each["rate"] <= 1e-2 and 2 <= each["units"] < 9 for each in found)
    assert found == searched(space, strategy="random", n_iter=5).cv_results_["params"]


def test_halving() -> None:
    space = {"units": [1, 2, 4, 8, 16, 32], "rate": [1e-4, 1e-3, 0.03]}
    found = searched(space, strategy="halving", epochs=18, factor=3, min_epochs=2)
    epochs = found.cv_results_["epochs"].tolist()
    assert [epochs.count(each) for each in (2, 6, 18)] == [18, 6, 2]
    params, loss = found.cv_results_["params"], found.cv_results_["mean_test_loss"]
    for before, after in ((2, 6), (6, 18)):
        first = sorted((loss[i], i) for i in range(len(params)) if epochs[i] == before)
        kept = {(params[i]["units"], params[i]["rate"]) for i in range(len(params)) if epochs[i] == after}
        assert kept == {(params[i]["units"], params[i]["rate"]) for _, i in first[: len(kept)]}
    assert found.best_params_["epochs"] == 18
    longest = [i for i in range(len(params)) if epochs[i] == 18]
    assert found.best_score_ == loss[longest].min()
    alone = cross_validate(build, X, Y, cv=3, random_state=2, settings=found.best_params_, verbose=0)
    assert found.best_score_ == alone["test_loss"].mean()
    few = searched(space, strategy="halving", epochs=9, n_iter=4).cv_results_["epochs"]
    assert few.max() == 9
    with pytest.raises(ValueError, match="decides on epochs itself"):
        searched(GRID, strategy="halving", epochs=5)
    with pytest.raises(ValueError, match="min_epochs must be at most epochs=5"):
        searched(space, strategy="halving", epochs=5, min_epochs=6)


def test_optuna() -> None:
    pytest.importorskip("optuna", reason="Optuna: pip install optuna")
    space = {"units": Int(1, 32), "rate": Float(1e-4, 1e-1, log=True), "activation": ["relu", "tanh"]}
    found = [searched(space, strategy="optuna", n_iter=19, epochs=4, n_jobs=n_jobs) for n_jobs in (1, 3)]
    assert len(found[0].cv_results_["params"]) == 19
    assert found[0].cv_results_["params"] == found[1].cv_results_["params"]
    assert found[0].best_score_ == found[1].best_score_
    stats = pytest.importorskip("scipy.stats", reason="distributions: pip install scipy")
    with pytest.raises(TypeError, match="Optuna takes lists, Float and Int"):
        searched({"rate": stats.uniform()}, strategy="optuna")


def test_a_network_that_diverges_is_last() -> None:
    with pytest.warns(UserWarning, match=r"3 of 6 fits diverged.*with \{'rate': 1e\+30\}"):
        found = searched({"rate": [1e30, 1e-3]}, epochs=3)
    assert found.best_params_ == {"rate": 1e-3}
    assert found.cv_results_["rank_test"].tolist() == [2, 1]
    assert np.isnan(found.cv_results_["mean_test_accuracy"]).tolist() == [True, False]
    with pytest.raises(FloatingPointError, match="is not finite"):
        searched({"rate": [1e30]}, epochs=3)
    with pytest.raises(FloatingPointError, match="is not finite"):
        cross_validate(build, X, Y, settings={"rate": 1e30}, epochs=3, random_state=2, verbose=0)


def test_scores_of_ones_own(tmp_path: Path) -> None:
    def agreement(model: Any, x: Any, y: Any) -> float:
        return float(((model.predict(x)[:, 0] > 0.5) == y).mean())

    found = searched(GRID, scoring=agreement, score="agreement", mode="max", backup_dir=tmp_path)
    np.testing.assert_allclose(found.cv_results_["mean_test_agreement"], found.cv_results_["mean_test_accuracy"], 1e-5)
    again = searched(GRID, scoring=agreement, score="agreement", mode="max", backup_dir=tmp_path)
    assert again.cv_results_["mean_fit_time"].tolist() == found.cv_results_["mean_fit_time"].tolist()
    with pytest.raises(ValueError, match="whether 'agreement' should rise or fall is not known"):
        searched(GRID, scoring=agreement, score="agreement")


def test_a_frame_of_candidates() -> None:
    pytest.importorskip("pandas", reason="frames: pip install pandas")
    found = searched(GRID)
    frame = found.frame()
    assert frame["rank_test"].tolist() == [1, 2, 3, 4]
    assert frame["params"][0] == found.best_params_
    assert frame["param_units"].tolist() == [each["units"] for each in frame["params"]]


@pytest.mark.parametrize(
    ("settings", "named", "error", "says"),
    [
        ({}, {}, TypeError, "settings must be a dict"),
        ([1], {}, TypeError, "settings must be a dict"),
        ({1: [2]}, {}, TypeError, "settings must have names"),
        ({"units": "abc"}, {}, TypeError, r"settings\['units'\] must be a list"),
        ({"units": 3}, {}, TypeError, r"settings\['units'\] must be a list"),
        ({"units": []}, {}, ValueError, r"settings\['units'\] has no value"),
        ({"units": Int(1, 3)}, {}, ValueError, r"settings\['units'\] has no end"),
        (GRID, {"strategy": "bayes"}, ValueError, "strategy must be one of 'grid', 'random', 'halving', 'optuna'"),
        (GRID, {"score": "auc"}, ValueError, "score must be one of accuracy, loss, got 'auc'"),
        (GRID, {"score": "thing"}, ValueError, "whether 'thing' should rise or fall"),
        (GRID, {"mode": "up"}, ValueError, "mode must be 'auto', 'min' or 'max'"),
        (GRID, {"strategy": "random", "n_iter": 0}, ValueError, "n_iter must be at least 1"),
        (GRID, {"n_jobs": 0}, ValueError, "n_jobs must be at least 1"),
        ({"unit": [1]}, {}, TypeError, "unexpected keyword argument 'unit'"),
        (GRID, {"random_state": -1}, ValueError, "random_state must be at least 0"),
        (GRID, {"epoch": 3}, TypeError, "epoch"),
    ],
)
def test_what_is_refused(settings: Any, named: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        searched(settings, **named)

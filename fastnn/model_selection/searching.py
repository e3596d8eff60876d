"""Search for the settings with which a network does best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn import random
from fastnn._checks import as_flag, check_count, shown
from fastnn._output import warn

from .fits import Fits
from .folds import Rows, folds_of
from .scores import as_frame, check_score, goodness
from .space import checked_settings, drawn, grid, suggested
from .validation import jobs_of, scorers, seed_of

if TYPE_CHECKING:
    import os

    from .folds import Folds

_STRATEGIES = ("grid", "random", "halving", "optuna")
_TRIALS = 8  # of Optuna that are asked for together, whatever the number of threads


class Search:
    """What a search has found, by the names of scikit-learn's.

    best_params_, best_score_, best_index_: of the candidate that does best, among those that were fitted longest.
    best_estimator_: with refit, a network with these that has learnt from all rows; else None. cv_results_: a dict of
    columns, one entry for each candidate: params, param_<name>, mean_test_<metric>, std_test_<metric>, rank_test,
    split<fold>_test_<metric>, mean_fit_time, mean_score_time and epochs. scoring: what decides.
    """

    best_estimator_: Any = None

    def __init__(self, cv_results: dict[str, Any], scoring: str) -> None:
        self.cv_results_, self.scoring = cv_results, scoring
        self.best_index_ = int(np.argmin(cv_results["rank_test"]))
        self.best_params_ = cv_results["params"][self.best_index_]
        self.best_score_ = float(cv_results[f"mean_test_{scoring}"][self.best_index_])

    def frame(self) -> Any:
        """cv_results_ as a data frame of pandas, the best first. ImportError where pandas is missing."""
        return as_frame(self.cv_results_).sort_values("rank_test", ignore_index=True)

    def __repr__(self) -> str:
        count = len(self.cv_results_["params"])
        return f"<Search of {count} candidates: {self.scoring} {self.best_score_:.6g} with {self.best_params_}>"


def search(
    build: Callable[..., Any],
    settings: Mapping[str, Any],
    x: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    strategy: Literal["grid", "random", "halving", "optuna"] = "grid",
    n_iter: int | None = None,
    factor: int = 3,
    min_epochs: int | None = None,
    score: str = "loss",
    mode: str = "auto",
    scoring: Any = None,
    refit: bool = True,
    groups: Any = None,
    sample_weight: Any = None,
    callbacks: Any = None,
    n_jobs: int | None = None,
    random_state: int | None = None,
    verbose: int | str = "auto",
    backup_dir: str | os.PathLike[str] | None = None,
    comm: Any = None,
    **fit: Any,
) -> Search:
    """Cross-validate a network with each of many settings, and find those with which it does best.

    settings: a dict of lists, ``Float``, ``Int`` or distributions of SciPy; each candidate's values are given to
    `build` by their names, but epochs, batch_size, class_weight, shuffle, steps_per_epoch and validation_split, which
    `build` has no arguments for, to `fit`. strategy: "grid" for each value with each; "random" for `n_iter` of them,
    drawn, by default 10; "halving" for `n_iter` of them, by default all of a grid, of which each round keeps the best
    part, one of `factor`, for `factor` times the epochs, from `min_epochs` to `epochs`; "optuna" for `n_iter` trials
    that Optuna proposes, eight at a time, by its tree of Parzen estimators.

    score: what decides: a name that the model's evaluation has, such as "accuracy", or scoring's; mode: "min", "max",
    or "auto", which goes by the name. refit: fit a network with the best settings on all rows. The others as in
    ``cross_validate``, which has each candidate's very scores, with ``settings=``, the same random_state and `fit`. A
    fit that diverges has NaN for its scores, of which a warning tells; where all do, their error is raised.

    Raises TypeError and ValueError for arguments that are none of these, ImportError where Optuna is missing, and what
    ``fit`` raises.
    """
    space = checked_settings(settings)
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(map(repr, _STRATEGIES))}, got {shown(strategy)}")
    if n_iter is not None:
        check_count("n_iter", n_iter)
    goodness(score, mode, 0.0)
    rows, root = Rows(x, y, sample_weight), seed_of(random_state, comm)
    folds = folds_of(rows, cv, groups, root)
    fits = Fits(
        build,
        folds,
        fit=fit,
        callbacks=callbacks,
        scoring=scorers(scoring),
        n_jobs=n_jobs,
        verbose=verbose,
        backup_dir=backup_dir,
        comm=comm,
        may_diverge=True,
    )
    found = _Found(fits, folds, root, score, mode)
    rng = np.random.default_rng(np.random.SeedSequence(root).spawn(1)[0])
    if strategy == "optuna":
        _by_optuna(found, space, n_iter or 10, root)
    elif strategy == "halving":
        lists = all(isinstance(values, Sequence) for values in space.values())
        candidates = grid(space) if lists and n_iter is None else drawn(space, n_iter or 10, rng)
        _halve(found, candidates, int(fit.get("epochs", 1)), check_count("factor", factor, 2), min_epochs)
    else:
        found.add(grid(space) if strategy == "grid" else drawn(space, n_iter or 10, rng))
    result = Search(found.columns(), score)
    if as_flag("refit", refit):
        result.best_estimator_ = _refitted(fits, result.best_params_, rows, root)
    return result


class _Found:
    """Candidates, and what they give on each fold."""

    def __init__(self, fits: Fits, folds: Folds, root: int, score: str, mode: str) -> None:
        self._fits, self._folds, self._root, self._score, self._mode = fits, folds, root, score, mode
        self.candidates: list[dict[str, Any]] = []
        self._results: list[list[dict[str, Any]]] = []  # of each candidate, by fold
        self._names: list[str] = []  # of what a fit gives
        self.halving = False

    def add(self, candidates: list[dict[str, Any]]) -> list[float]:
        """Fit them; gives how good each is, more being better."""
        jobs = jobs_of(candidates, self._folds, self._root)
        results, name = self._fits.run(jobs), f"test_{self._score}"
        self._names = self._names or next((list(each) for each in results if "diverged" not in each), [])
        if self._names:
            check_score(self._score, self._names)
        diverged = [
            (result["diverged"], job) for result, job in zip(results, jobs, strict=True) if "diverged" in result
        ]
        if not self._names:
            raise FloatingPointError(diverged[0][0])
        if diverged:
            said, job = diverged[0]
            warn(f"{len(diverged)} of {len(jobs)} fits diverged, the first with {dict(job.settings)}: {said}")
        by_candidate = [results[place :: len(candidates)] for place in range(len(candidates))]
        self.candidates += candidates
        self._results += by_candidate
        means = [np.mean([result.get(name, math.nan) for result in of_folds]) for of_folds in by_candidate]
        return [_orderly(value) for value in goodness(self._score, self._mode, means).tolist()]

    def columns(self) -> dict[str, Any]:
        """As ``Search.cv_results_``."""
        found: dict[str, Any] = {"params": self.candidates}
        for name in dict.fromkeys(name for each in self.candidates for name in each):
            found[f"param_{name}"] = [each.get(name) for each in self.candidates]
        epochs = [max(len(result.get("history", {}).get("loss", ())) for result in each) for each in self._results]
        found["epochs"] = np.array([each.get("epochs", ran) for each, ran in zip(self.candidates, epochs, strict=True)])
        scores = [name for name in self._names if name.startswith("test_")]
        for name in (*scores, "fit_time", "score_time"):
            values = np.array([[result.get(name, math.nan) for result in each] for each in self._results])
            found[f"mean_{name}"], found[f"std_{name}"] = values.mean(axis=1), values.std(axis=1)
            if name in scores:
                found |= {f"split{fold}_{name}": values[:, fold] for fold in range(values.shape[1])}
        good = [_orderly(value) for value in goodness(self._score, self._mode, found[f"mean_test_{self._score}"])]
        found["rank_test"] = self._ranks(np.array(good))
        return found

    def _ranks(self, good: Any) -> Any:
        """1 for the best of those that were fitted longest in a halving, then by how good they are."""
        longest = np.array([each.get("epochs", 0) if self.halving else 0 for each in self.candidates])
        order = np.lexsort((-good, -longest))
        ranks = np.empty(len(good), np.intp)
        ranks[order] = np.arange(1, len(good) + 1)
        return ranks


def _orderly(value: float) -> float:
    return -math.inf if math.isnan(value) else float(value)


def _halve(found: _Found, candidates: list[dict[str, Any]], epochs: int, factor: int, least: int | None) -> None:
    """Rounds with ever fewer candidates and ever more epochs."""
    if any("epochs" in each for each in candidates):
        raise ValueError("strategy='halving' decides on epochs itself; leave it out of the settings")
    first = max(1, epochs // factor ** max(0, math.ceil(math.log(len(candidates), factor)))) if least is None else least
    if not 1 <= check_count("min_epochs", first) <= epochs:
        raise ValueError(f"min_epochs must be at most epochs={epochs}, got {first}")
    found.halving = True
    now = first
    while True:
        good = found.add([{**each, "epochs": now} for each in candidates])
        if now >= epochs:
            return
        keep = max(1, math.ceil(len(candidates) / factor))
        chosen = sorted(np.argsort(-np.array(good), kind="stable")[:keep].tolist())
        candidates = [candidates[place] for place in chosen]
        now = epochs if len(candidates) == 1 else min(epochs, now * factor)


def _by_optuna(found: _Found, space: Mapping[str, Any], trials: int, root: int) -> None:
    try:
        import optuna
    except ImportError:
        raise ImportError('strategy="optuna" needs Optuna: pip install "fastnn[optuna]"') from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=root % 2**32))
        left = trials
        while left:
            asked = [study.ask() for _ in range(min(left, _TRIALS))]
            good = found.add([suggested(space, trial) for trial in asked])
            for trial, value in zip(asked, good, strict=True):
                if math.isfinite(value):
                    study.tell(trial, value)
                else:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
            left -= len(asked)
    finally:
        optuna.logging.set_verbosity(before)


def _refitted(fits: Fits, params: dict[str, Any], rows: Rows, root: int) -> Any:
    """A network with the best settings, of all rows."""
    with random.seeded(root):
        model, options = fits.made(params, rows)
        model.fit(rows.x, rows.y, sample_weight=rows.sample_weight, verbose=0, **options)
    return model

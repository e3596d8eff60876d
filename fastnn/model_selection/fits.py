"""Fits of many networks, side by side: each on one thread, with random numbers of its own."""

from __future__ import annotations

import copy
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import random
from fastnn._checks import check_count, shown
from fastnn.callbacks import BackupAndRestore, Callback, History
from fastnn.callbacks.base import TrainerCallback
from fastnn.callbacks.state import array_of, checked_state
from fastnn.data.stored import StoredSource
from fastnn.distributed.mapping import communicator_of, in_threads, map as share
from fastnn.kernels.team import each_alone, get_num_threads, leave_turn, take_turn
from fastnn.utils import Progbar

from .records import Job, Records

if TYPE_CHECKING:
    from .folds import Fold, Folds, Rows

# Settings that are arguments of `fit`, unless `build` has one of that name.
FIT = ("batch_size", "class_weight", "epochs", "shuffle", "steps_per_epoch", "validation_split")


class Stopped(Exception):
    """Raised in fits whose results nobody wants any more."""


class _Stops(TrainerCallback):
    """Ends a fit soon after an event is set, between two epochs."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def between(self) -> None:
        if self._event.is_set():
            raise Stopped


class _WholeHistory(History):
    """One that is in the backup, so that a fit which was killed has its first epochs too."""

    def get_state(self) -> dict[str, Any]:
        numbers = {}
        for name, values in self.history.items():
            with suppress(ValueError):  # what a callback put into the logs may be anything
                numbers[name] = array_of(name, values)
        return {"names": list(numbers), "values": list(numbers.values())}

    def set_state(self, state: dict[str, Any]) -> None:
        names, values = checked_state(self, state, names=[str], values=object).values()
        arrays = [array_of(name, array) for name, array in zip(names, values, strict=True)]
        self.on_train_begin()
        self.history.update(zip(names, [array.tolist() for array in arrays], strict=True))


class Fits:
    """How networks are made, fitted and judged. Arguments as in ``cross_validate``."""

    def __init__(
        self,
        build: Callable[..., Any],
        folds: Folds,
        *,
        fit: Mapping[str, Any],
        callbacks: Any = None,
        scoring: Mapping[str, Callable[..., float]] | None = None,
        scores: bool = True,
        train_scores: bool = False,
        keep_models: bool = False,
        n_jobs: int | None = None,
        verbose: int | str = "auto",
        backup_dir: str | os.PathLike[str] | None = None,
        comm: Any = None,
        may_diverge: bool = False,
    ) -> None:
        if not callable(build) or hasattr(build, "fit"):
            raise TypeError(f"build must be a function that gives a new compiled model, got {shown(build)}")
        self._build, self._folds, self._fit = build, folds, dict(fit)
        self._takes = _arguments(build)
        self._callbacks, self._scoring = callbacks, dict(scoring or {})
        self._test_scores, self._train_scores, self._keep_models = scores, train_scores, keep_models
        self.threads = _threads(n_jobs)
        folds.keep = 1 + self.threads
        self._verbose, self._comm, self._may_diverge = verbose, communicator_of(comm), may_diverge
        self._records = None if backup_dir is None else Records(backup_dir)
        self._stop = threading.Event()
        self._in_turn = False  # whether threads take turns in Python

    def run(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """What each job gives, in their order: fit_time, score_time, scores by name, history, and the model where it is
        wanted. With `comm` ranks share the jobs, and all have all results; models stay where they are.
        """
        models, done = {}, 0
        bar = Progbar(len(jobs), verbose=_shown(self._verbose), unit_name="fit")

        def one(numbered: tuple[int, Job]) -> dict[str, Any]:
            result = self._one(numbered[1])
            if "estimator" in result:
                models[numbered[0]] = result.pop("estimator")
            return result

        def told(number: int, result: Any) -> None:
            nonlocal done
            done += 1
            bar.update(done)

        ranks = 1 if self._comm is None else self._comm.size
        threads = max(1, min(self.threads, -(-len(jobs) // ranks)))
        self._stop.clear()
        side_by_side = threads if threads > 1 else 0
        each_alone(side_by_side)
        self._in_turn = threads > 1 and getattr(sys, "_is_gil_enabled", lambda: True)()
        try:
            if ranks > 1:
                results = share(one, enumerate(jobs), self._comm, threads=threads, on_result=told)
            else:
                results = in_threads(one, list(enumerate(jobs)), threads, told, self._stop.set)
        finally:
            self._stop.set()
            each_alone(-side_by_side)
        kept = [{"estimator": models.get(number)} if self._keep_models else {} for number in range(len(jobs))]
        return [result | model for result, model in zip(results, kept, strict=True)]

    def _one(self, job: Job) -> dict[str, Any]:
        """One network: made, fitted, judged."""
        if self._records is not None and (known := self._records.known(job, self._keep_models)) is not None:
            return known
        fold = self._folds[job.fold]
        own, options = self._parts(job.settings)
        turn = self._in_turn and take_turn()
        try:
            with random.seeded(job.seed):
                model = self._made(own, fold.train)
                result = self._fitted(model, job, fold, options)
        finally:
            if turn:
                leave_turn()
        if self._records is not None:
            self._records.keep(job, result, model if self._keep_models else None)
        if self._keep_models:
            result["estimator"] = model
        return result

    def _fitted(self, model: Any, job: Job, fold: Fold, options: Mapping[str, Any]) -> dict[str, Any]:
        callbacks = [*_fresh(self._callbacks), _Stops(self._stop)]
        if self._records is not None:
            callbacks = [_WholeHistory(), *callbacks, BackupAndRestore(self._records.folder_of(job))]
        train, test = (_apart(rows) for rows in fold)
        start = time.perf_counter()
        try:
            history = model.fit(
                train.x, train.y, sample_weight=train.sample_weight, verbose=0, callbacks=callbacks, **options
            ).history
        except FloatingPointError as error:
            if not self._may_diverge:
                raise
            return {"diverged": str(error), "fit_time": time.perf_counter() - start, "seed": job.seed}
        fitted = time.perf_counter()
        result = {"history": history, "fit_time": fitted - start, "seed": job.seed}
        if self._test_scores:
            result |= {f"test_{name}": value for name, value in self._scores(model, test).items()}
        result["score_time"] = time.perf_counter() - fitted
        if self._train_scores:
            result |= {f"train_{name}": value for name, value in self._scores(model, train).items()}
        return result

    def _scores(self, model: Any, rows: Rows) -> dict[str, float]:
        found = model.evaluate(rows.x, rows.y, sample_weight=rows.sample_weight, verbose=0, return_dict=True)
        scores = {name: value for name, value in found.items() if np.ndim(value) == 0}
        for name, score in self._scoring.items():
            scores[name] = float(score(model, rows.x, rows.y))
        return scores

    def made(self, settings: Mapping[str, Any], train: Rows) -> tuple[Any, dict[str, Any]]:
        """A network for all rows, and what its fit is called with."""
        own, options = self._parts(settings)
        return self._made(own, train), {**options, "callbacks": _fresh(self._callbacks)}

    def _parts(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Settings for `build`, and all that `fit` is called with."""
        to_fit = {name: value for name, value in settings.items() if name in FIT and name not in self._takes}
        own = {name: value for name, value in settings.items() if name not in to_fit}
        return own, {**self._fit, **to_fit}

    def _made(self, settings: Mapping[str, Any], train: Rows) -> Any:
        given = {name: getattr(train, name) for name in ("x", "y") if name in self._takes and name not in settings}
        model = self._build(**settings, **given)
        if not hasattr(model, "fit") or not hasattr(model, "evaluate"):
            raise TypeError(f"build must give a compiled model, got {shown(model)}")
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise RuntimeError("build must give a compiled model; call model.compile in it")
        if int(optimizer.iterations):
            raise ValueError("build gave a model that has been fitted already; make a new one at each call")
        return model


def _threads(n_jobs: Any) -> int:
    """How many networks at a time `n_jobs` says: None and -1 for as many as there are threads."""
    if n_jobs is None or (isinstance(n_jobs, int) and n_jobs == -1):
        return int(get_num_threads())
    return check_count("n_jobs", n_jobs)


def _arguments(build: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(build).parameters)
    except (TypeError, ValueError):  # of a C function, say
        return []


def _fresh(callbacks: Any) -> list[Any]:
    """Callbacks for one fit, which share nothing with another's."""
    if callbacks is None:
        return []
    if callable(callbacks) and not isinstance(callbacks, Callback):
        callbacks = callbacks()
    elif not isinstance(callbacks, Callback):
        callbacks = [copy.deepcopy(callback) for callback in callbacks]
    else:
        callbacks = copy.deepcopy(callbacks)
    return list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]


def _apart(rows: Rows) -> Rows:
    """The same rows, for a fit beside others of them."""
    return rows._replace(x=copy.copy(rows.x)) if isinstance(rows.x, StoredSource) else rows


def _shown(verbose: int | str) -> int:
    return 1 if isinstance(verbose, str) else int(verbose)

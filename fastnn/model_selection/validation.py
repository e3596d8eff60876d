"""Cross-validation of one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import random
from fastnn._checks import SEEDS, check_count, shown
from fastnn.distributed.mapping import communicator_of

from .fits import Fits
from .folds import Folds, Rows, folds_of
from .records import Job
from .scores import Scores

if TYPE_CHECKING:
    import os


def cross_validate(
    build: Callable[..., Any],
    x: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    groups: Any = None,
    sample_weight: Any = None,
    settings: Mapping[str, Any] | None = None,
    scoring: Any = None,
    callbacks: Any = None,
    return_train_score: bool = False,
    return_estimator: bool = False,
    return_indices: bool = False,
    n_jobs: int | None = None,
    random_state: int | None = None,
    verbose: int | str = "auto",
    backup_dir: str | os.PathLike[str] | None = None,
    comm: Any = None,
    **fit: Any,
) -> Scores:
    """Fit a network on all folds but one, and see how well it does on that one, for each fold.

    build: a function that gives a new compiled model; called with `settings`, and with x= and y=, the rows that are
    learnt from, where it has arguments of these names, to adapt a Normalization, say. x, y, sample_weight: as `fit`
    takes them; or x is a dataset of a database with a ``key``, whose folds are by a hash of it.

    cv: a number of folds, of shuffled rows, each with its share of every class where y has classes, or the rows of a
    group in one of them where `groups` are given; a splitter, such as scikit-learn's TimeSeriesSplit; or (train, test)
    of row numbers for each fold. scoring: a function, or a dict of such, of (model, x, y), beside the model's loss and
    metrics. callbacks: for each fit copies of these, or what this function gives. fit: epochs, batch_size and what else
    ``Model.fit`` takes. n_jobs: how many networks at a time, one on each thread; None and -1 as many as there are
    threads; with 1 each has all threads. The numbers do not depend on it, not in a single bit.

    random_state: each fold's seed hangs on it and on the fold alone; None: on ``set_random_seed``. backup_dir: a folder
    for what is done; a call that was killed and is made again with the same arguments and data goes on from there. Its
    content is to be removed when the arguments or the data change. comm: of ``fastnn.distributed`` or mpi4py: its ranks
    share the fits, as ``fastnn.distributed.map`` does, and all get all scores.

    Gives ``Scores``, a dict as scikit-learn's. Raises TypeError and ValueError for arguments that are none of these,
    and what ``fit`` raises.
    """
    rows, root = Rows(x, y, sample_weight), seed_of(random_state, comm)
    folds = folds_of(rows, cv, groups, root)
    fits = Fits(
        build,
        folds,
        fit=fit,
        callbacks=callbacks,
        scoring=scorers(scoring),
        train_scores=return_train_score,
        keep_models=return_estimator,
        n_jobs=n_jobs,
        verbose=verbose,
        backup_dir=backup_dir,
        comm=comm,
    )
    results = fits.run(jobs_of([dict(settings or {})], folds, root))
    found = Scores({name: _column([each.get(name) for each in results]) for name in results[0]})
    if return_indices:
        if folds.indices is None:
            raise ValueError("return_indices: the rows of a dataset have no numbers")
        found["indices"] = {
            "train": [train for train, _ in folds.indices],
            "test": [test for _, test in folds.indices],
        }
    return found


def jobs_of(candidates: list[dict[str, Any]], folds: Folds, root: int) -> list[Job]:
    """Each candidate on each fold; all of a fold one after the other."""
    seeds = seeds_of(root, len(folds))
    return [Job(settings, fold, seeds[fold]) for fold in range(len(folds)) for settings in candidates]


def seeds_of(root: int, count: int) -> list[int]:
    """A seed for each of `count` networks, the n-th by its number and `root` alone."""
    return [int(seed) for seed in np.random.SeedSequence(root).generate_state(count, np.uint32)]


def seed_of(random_state: Any, comm: Any) -> int:
    """The number that folds and fits hang on; of several processes that of the first."""
    if random_state is None:
        drawn = int(random.generator().integers(2**32))
        found = communicator_of(comm)
        return drawn if found is None else int(found.bcast_object(drawn))
    if hasattr(random_state, "randint"):
        return int(random_state.randint(2**31))
    return check_count("random_state", random_state, 0, SEEDS)


def scorers(scoring: Any) -> dict[str, Callable[..., float]]:
    """Functions of (model, x, y) by name. TypeError for what is none."""
    if scoring is None:
        return {}
    if callable(scoring):
        return {getattr(scoring, "__name__", "score"): scoring}
    if isinstance(scoring, Mapping) and all(callable(score) for score in scoring.values()):
        return {str(name): score for name, score in scoring.items()}
    raise TypeError(f"scoring must be a function of (model, x, y), or a dict of such, got {shown(scoring)}")


def _column(values: list[Any]) -> Any:
    return np.array(values) if all(isinstance(value, (int, float, np.number)) for value in values) else values

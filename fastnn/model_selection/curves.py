"""How well a network does with more rows, and with more of a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn._checks import as_number, shown

from .fits import Fits
from .folds import Folds, Rows, folds_of
from .scores import check_score
from .validation import jobs_of, scorers, seed_of


def learning_curve(
    build: Callable[..., Any],
    x: Any,
    y: Any = None,
    *,
    train_sizes: Any = (0.1, 0.33, 0.55, 0.78, 1.0),
    cv: Any = 5,
    groups: Any = None,
    score: str = "loss",
    scoring: Any = None,
    callbacks: Any = None,
    n_jobs: int | None = None,
    random_state: int | None = None,
    verbose: int | str = "auto",
    **fit: Any,
) -> tuple[Any, Any, Any]:
    """(sizes, train_scores, test_scores), the last two (sizes, folds), of networks that learn from few rows and many.

    train_sizes: shares of a fold's rows, or numbers of rows; a fold's are drawn once, so that few are among many.
    score: a name that the model's evaluation has, or scoring's. The others as in ``cross_validate``.
    """
    rows, root = Rows(x, y), seed_of(random_state, None)
    whole = folds_of(rows, cv, groups, root)
    if whole.indices is None:
        raise TypeError("learning_curve takes rows that have numbers, such as arrays; a dataset's have none")
    least = min(len(train) for train, _ in whole.indices)
    sizes = [_size(size, least) for size in train_sizes]
    if not sizes:
        raise ValueError("train_sizes has no size")
    rng = np.random.default_rng(root)
    pairs = [(rng.permutation(train), test) for train, test in whole.indices]
    cut = [(order[:size], test) for size in sizes for order, test in pairs]
    folds = folds_of(rows, cut, None, root)
    found = _scores(build, folds, [{}], root, score, scoring, callbacks, n_jobs, verbose, fit)
    shape = (len(sizes), len(pairs))
    return np.array(sizes), found[0].reshape(shape), found[1].reshape(shape)


def validation_curve(
    build: Callable[..., Any],
    x: Any,
    y: Any = None,
    *,
    param_name: str,
    param_range: Sequence[Any],
    cv: Any = 5,
    groups: Any = None,
    score: str = "loss",
    scoring: Any = None,
    callbacks: Any = None,
    n_jobs: int | None = None,
    random_state: int | None = None,
    verbose: int | str = "auto",
    **fit: Any,
) -> tuple[Any, Any]:
    """(train_scores, test_scores), each (values, folds), for each value of one setting. Arguments as in
    ``cross_validate`` and ``learning_curve``.
    """
    values = list(param_range)
    if not values:
        raise ValueError("param_range has no value")
    root = seed_of(random_state, None)
    folds = folds_of(Rows(x, y), cv, groups, root)
    candidates = [{param_name: value} for value in values]
    train, test = _scores(build, folds, candidates, root, score, scoring, callbacks, n_jobs, verbose, fit)
    shape = (len(folds), len(values))
    return train.reshape(shape).T, test.reshape(shape).T


def _scores(
    build: Any,
    folds: Folds,
    candidates: list[dict[str, Any]],
    root: int,
    score: str,
    scoring: Any,
    callbacks: Any,
    n_jobs: Any,
    verbose: Any,
    fit: dict[str, Any],
) -> tuple[Any, Any]:
    fits = Fits(
        build,
        folds,
        fit=fit,
        callbacks=callbacks,
        scoring=scorers(scoring),
        train_scores=True,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    results = fits.run(jobs_of(candidates, folds, root))
    check_score(score, results[0])
    train, test = (np.array([each[f"{part}_{score}"] for each in results]) for part in ("train", "test"))
    return train, test


def _size(given: Any, rows: int) -> int:
    number = as_number("train_sizes", given)
    size = int(number) if float(number).is_integer() and not isinstance(given, float) else int(number * rows)
    if not 1 <= size <= rows:
        raise ValueError(f"train_sizes must be shares up to 1.0, or 1 to {rows} rows, got {shown(given)}")
    return size

"""What is looked at before a fit: parameters, rows, the solver, and where random numbers come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastnn.activations import ACTIVATIONS as ALL_ACTIVATIONS
from fastnn.callbacks import Callback
from fastnn.losses import LOSSES, Loss
from fastnn.optimizers import OPTIMIZERS, Optimizer
from fastnn.sklearn.network import ACTIVATIONS

NOTHING = object()
PLAIN = {bool, int, float, str, tuple, type(None)}  # what does not change by itself
SPARE: list[np.random.RandomState] = []  # a new one takes as long as five epochs of iris, a new seed a fiftieth of that
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def names_of(table: Any) -> set[str]:
    """All names that a table knows its entries by."""
    return {*table.units, *table.aliases}


# What each parameter may be, as scikit-learn reads it.
PARAMETERS: dict[str, list[Any]] = {
    "loss": [StrOptions({"log_loss", "squared_error", *names_of(LOSSES)}), Loss, callable],
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({*ACTIVATIONS, *names_of(ALL_ACTIVATIONS)}), callable, list, tuple],
    "solver": [StrOptions(names_of(OPTIMIZERS)), Optimizer],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "callbacks": [None, Callback, list, tuple],
    "class_weight": [None, StrOptions({"balanced"}), dict, list],
}


def is_plain(x: Any) -> bool:
    """Whether it is an array of rows of floats, of which nothing is left to see but whether they are finite."""
    return type(x) is np.ndarray and x.ndim == 2 and x.dtype in FLOATS and x.size > 0


@contextmanager
def generator_of(random_state: Any) -> Iterator[Any]:
    """The RandomState that ``check_random_state`` gives."""
    if type(random_state) is not int:
        yield check_random_state(random_state)
        return
    rng = SPARE.pop() if SPARE else np.random.RandomState()
    rng.seed(random_state)
    try:
        yield rng
    finally:
        SPARE.append(rng)


def looks_at_all(solver: Any) -> bool:
    """Whether a solver looks at all rows in each step."""
    return bool(solver == "lbfgs" if isinstance(solver, str) else getattr(solver, "full_batch", False))


def takes_passes(est: Any) -> bool:
    """Whether an estimator has ``partial_fit``. AttributeError that says why it has not."""
    if looks_at_all(est.solver):
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {est.solver} is not stochastic."
        )
    return True

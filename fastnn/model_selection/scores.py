"""What cross-validation gives: lists by name, as scikit-learn has them, and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn.callbacks.monitors import rises


class Scores(dict[str, Any]):
    """A dict as scikit-learn's ``cross_validate`` gives it, of arrays with a number for each fold.

    test_<metric>; train_<metric> where asked for; fit_time and score_time in seconds; seed, which ``set_random_seed``
    takes to have the same network alone. Lists: history, each fit's ``History.history``; indices and estimator, where
    asked for.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        super().__init__(columns)

    def frame(self) -> Any:
        """The same as a data frame of pandas, a row for each fold. ImportError where pandas is missing."""
        return as_frame({name: value for name, value in self.items() if isinstance(value, np.ndarray)})

    def mean(self, name: str = "test_loss") -> float:
        """The mean over the folds."""
        return float(np.mean(self[name]))


def check_score(score: str, names: Iterable[str]) -> None:
    """ValueError unless a fit gives it. names: of what a fit gives, test_<metric> among them."""
    known = [name.removeprefix("test_") for name in names if name.startswith("test_")]
    if score not in known:
        raise ValueError(f"score must be one of {', '.join(known)}, got {shown(score)}")


def as_frame(columns: dict[str, Any]) -> Any:
    """A data frame of pandas."""
    try:
        import pandas
    except ImportError:
        raise ImportError('a frame needs pandas: pip install "fastnn[pandas]"') from None
    return pandas.DataFrame(columns)


def goodness(name: str, mode: str, values: Any) -> Any:
    """Values of a quantity, so that more is better. mode: as in ``Monitor``. ValueError where nobody knows."""
    return np.asarray(values) * (1 if rises(f"scoring={name!r}", name, mode) else -1)

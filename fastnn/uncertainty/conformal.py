"""Intervals and sets that hold the target as often as is asked for, whatever the model and the data are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fastnn import random
from fastnn._checks import shown
from fastnn.models import check_model

from .given import bound, checked_coverage, classes_of, probabilities_of, targets_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Interval(NamedTuple):
    """The prediction, and from where to where the target is expected; each (rows, units), float64."""

    prediction: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class ConformalRegressor:
    """Intervals around a model's predictions that hold the target with a probability of at least `coverage`.

    Split conformal prediction: the scores of n rows that no fit has seen are ordered, and the
    ceil((n + 1) coverage)-th smallest says how wide an interval is. It holds on average over rows like those, not for
    each kind of them. model: a fitted model.

    method: "absolute", |y - f(x)|: all intervals are as wide as one another. "scaled", |y - f(x)| / scale(x): `scale`
    is a model, or a function of x, that gives a positive spread for each target, such as an ensemble's. "quantiles",
    max(f_low(x) - y, y - f_high(x)): the model gives two units, a low and a high quantile, as the pinball loss teaches;
    the prediction is their middle. Sources: Lei et al. 2018; Romano, Patterson and Candes 2019.
    """

    def __init__(
        self, model: Any, method: Literal["absolute", "scaled", "quantiles"] = "absolute", scale: Any = None
    ) -> None:
        check_model("ConformalRegressor", model)
        if method not in ("absolute", "scaled", "quantiles"):
            raise ValueError(
                f"ConformalRegressor: method must be 'absolute', 'scaled' or 'quantiles', got {shown(method)}"
            )
        if (scale is not None) != (method == "scaled"):
            raise ValueError("ConformalRegressor: scale= goes with method='scaled', which needs it")
        if scale is not None and not callable(getattr(scale, "predict", scale)):
            raise TypeError(f"ConformalRegressor: scale must be a model or a function of x, got {shown(scale)}")
        self.model, self.method, self.scale = model, method, scale

    def fit(self, x: Any, y: Any) -> ConformalRegressor:
        """Keep the scores of rows that no fit has seen. ValueError where y has not as many numbers as predictions."""
        low, high, spread = self._bands(x)
        targets = targets_of("ConformalRegressor", y, low.shape)
        self.scores_ = np.maximum(low - targets, targets - high) / spread
        return self

    def predict(self, x: Any, coverage: float = 0.9) -> Interval:
        """An interval for each row. coverage: above 0 and below 1. Of fewer than coverage / (1 - coverage) rows in
        `fit` intervals have no end. RuntimeError before `fit`.
        """
        share = checked_coverage("ConformalRegressor", coverage)
        if not hasattr(self, "scores_"):
            raise RuntimeError("ConformalRegressor has no scores yet; call fit(x, y) with rows that no fit has seen")
        low, high, spread = self._bands(x)
        middle, width = (low + high) / 2, bound(self.scores_, share) * spread
        low, high = low - width, high + width
        crossed = low > high  # quantiles may be too wide, by more than half
        return Interval(middle, np.where(crossed, middle, low), np.where(crossed, middle, high))

    def _bands(self, x: Any) -> tuple[Any, Any, Any]:
        """From where to where the model itself says, and the unit of scores."""
        found = np.asarray(self.model.predict(x), np.float64)
        found = found.reshape(len(found), -1)
        if self.method == "quantiles":
            if found.shape[1] != 2:
                raise ValueError(
                    "ConformalRegressor: method='quantiles' takes a model of two units, a low and a high quantile, got "
                    f"{found.shape[1]}"
                )
            return found[:, :1], found[:, 1:], 1.0
        if self.method == "absolute":
            return found, found, 1.0
        spread = np.asarray(self.scale.predict(x) if hasattr(self.scale, "predict") else self.scale(x), np.float64)
        if spread.size != found.size or not (spread > 0).all():
            raise ValueError("ConformalRegressor: scale must give a positive number for each prediction")
        return found, found, spread.reshape(found.shape)


class ConformalClassifier:
    """Sets of classes that hold the true one with a probability of at least `coverage`.

    method: "lac", 1 - p(true class): the smallest sets on average. "aps", the probabilities of all classes down to the
    true one, a random share of its own: larger sets, which hold more alike for easy rows and hard ones. model: fitted,
    with a softmax, or one unit with a sigmoid, at its end. Sources: Sadinle, Lei and Wasserman 2019; Romano, Sesia and
    Candes 2020.
    """

    def __init__(self, model: Any, method: Literal["lac", "aps"] = "lac") -> None:
        check_model("ConformalClassifier", model)
        if method not in ("lac", "aps"):
            raise ValueError(f"ConformalClassifier: method must be 'lac' or 'aps', got {shown(method)}")
        self.model, self.method = model, method

    def fit(self, x: Any, y: Any) -> ConformalClassifier:
        """Keep the scores of rows that no fit has seen. y: numbers of classes, or one-hot rows."""
        found = probabilities_of("ConformalClassifier", self.model, x)
        labels = classes_of("ConformalClassifier", y, *found.shape)
        self.scores_ = self._scores(found)[np.arange(len(labels)), labels]
        return self

    def predict(self, x: Any, coverage: float = 0.9) -> NDArray[np.bool_]:
        """(rows, classes): which classes are in a row's set. An empty set says that a row is like none."""
        share = checked_coverage("ConformalClassifier", coverage)
        if not hasattr(self, "scores_"):
            raise RuntimeError("ConformalClassifier has no scores yet; call fit(x, y) with rows that no fit has seen")
        found = self._scores(probabilities_of("ConformalClassifier", self.model, x))
        return np.asarray(found <= bound(self.scores_, share), bool)

    def _scores(self, found: Any) -> Any:
        """Of each class of each row: less is likelier."""
        if self.method == "lac":
            return 1 - found
        order = np.argsort(-found, axis=1, kind="stable")
        ordered = np.take_along_axis(found, order, axis=1)
        shares = random.generator().random((len(found), 1))
        above = np.cumsum(ordered, axis=1) - shares * ordered
        scores = np.empty_like(found)
        np.put_along_axis(scores, order, above, axis=1)
        return scores

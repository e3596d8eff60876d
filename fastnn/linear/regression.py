"""Regression by least squares: LinearRegression, Ridge, Lasso."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np

from fastnn._checks import as_flag, as_number, check_count
from fastnn.linear.base import LinearModel
from fastnn.linear.covariance import COVARIANCES, Scores, check_covariance
from fastnn.linear.design import Design, Moments, moments_of
from fastnn.linear.inference import Inference
from fastnn.linear.rows import Rows, as_groups, of_sklearn
from fastnn.linear.solvers import inverse_of, shrunk, signed, solved
from fastnn.typing import Array, DoubleArray

PENALISED = "a penalty draws the coefficients towards 0, so errors of theirs would be too small; fit without one"
CONSTRAINED = "a coefficient that is held at a bound by monotone= has no distribution that they could tell of"


class LeastSquares(LinearModel):
    """The base of the models that minimise squares."""

    def predict(self, x: Any) -> DoubleArray:
        """The prediction for each row, (rows,), float64."""
        return self._linear(x)[:, 0]

    def _taken(self, rows: Rows, design: Design, found: DoubleArray) -> None:
        coef, intercept = design.solution(found[:, None])
        self.coef_, self.intercept_ = coef[:, 0], float(intercept[0])

    def _corrected(
        self, rows: Rows, design: Design, found: DoubleArray, system: DoubleArray, pull: Any = 0.0
    ) -> DoubleArray:
        """One step with the slopes that the residuals of the rows themselves have: products of columns have lost
        digits.

        pull: what a penalty adds to the slopes.
        """
        slope = np.zeros(design.width)
        for block in rows:
            z = design.of(block)
            residual = block.y - z @ found
            slope += z.T @ (residual if block.weight is None else residual * block.weight)
        return found + solved(system, slope - pull)


class LinearRegression(LeastSquares):
    """Linear regression by least squares, with what can be said of its coefficients.

        model = LinearRegression().fit(frame[["carat", "depth"]], frame["price"])
        print(model.summary())

    fit_intercept: whether there is an intercept. monotone: {"income": 1, "age": -1}, the signs that coefficients must
    have; exact, and without standard errors. cov_type: how errors are taken to spread: "nonrobust", the same for all
    rows; "HC0" to "HC3", each row by itself; "cluster", alike within ``groups`` of ``fit``.

    After ``fit``: ``coef_`` (features,), ``intercept_``, ``results_`` (an ``Inference``), ``n_features_in_``,
    ``feature_names_in_`` where columns have names; ``model_``, the same as a network.

    The rows are gone through twice, in blocks, in float64: means and products of columns, then the residuals. Columns
    that cannot be told apart are named in a warning. Rows of a database are float32, as everywhere in fastnn.
    """

    def __init__(self, *, fit_intercept: bool = True, monotone: Any = None, cov_type: str = "nonrobust") -> None:
        self.fit_intercept = fit_intercept
        self.monotone = monotone
        self.cov_type = cov_type

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Fit. x: (rows, features), an array, a data frame or dict of columns, a sparse matrix, or a dataset such as
        ``SQLDataset``.

        y: (rows,); a dataset brings its own. sample_weight: (rows,), how exact each y is, as 1 / variance; 0 leaves a
        row out. groups: (rows,), for cov_type="cluster".
        """
        intercept = as_flag("fit_intercept", self.fit_intercept)
        kind = check_covariance(self.cov_type, COVARIANCES, groups)
        rows = self._given(x, y, sample_weight)
        signs = self._signs()
        moments = moments_of(rows, intercept)
        design = Design(moments, self._names, intercept, whole=bool(signs.any()))
        design.warn(3)
        lead, kept = int(intercept), design.kept
        gram = design.gram[np.ix_(kept, kept)]
        right = moments.products[kept, -1] / design.scale[kept]
        system = np.zeros((design.width, design.width))
        system[lead:, lead:] = gram
        found = np.zeros(design.width)
        if lead:
            system[0, 0], found[0] = moments.weight, moments.mean[-1]
        if signs.any():
            found[lead:] = signed(gram, right, signs[kept])
        else:
            found[lead:] = solved(gram, right)
            found = self._corrected(rows, design, found, system)
        self._taken(rows, design, found)
        self.results_ = self._inference(rows, design, found, system, kind, groups, bool(signs.any()))
        return self

    def _inference(
        self, rows: Rows, design: Design, found: DoubleArray, system: DoubleArray, kind: str, groups: Any, held: bool
    ) -> Inference:
        moments = design.moments
        covariance: DoubleArray | None = None
        inverse = inverse_of(system)
        scores = Scores(kind, inverse, as_groups(groups))
        squares = 0.0
        for block in rows:
            z = design.of(block)
            residual = block.y - z @ found
            weighted = residual if block.weight is None else residual * block.weight
            squares += float(residual @ weighted)
            if not held:
                scores.add(z, weighted, block.weight, block.first)
        count, degrees = moments.rows, moments.rows - design.width
        exact = squares <= 1e-24 * max(moments.products[-1, -1], 1e-300)
        scale = squares / degrees if degrees > 0 else math.nan
        if not held:
            inner = inverse * scale if kind == "nonrobust" else scores.covariance(count, design.width)
            covariance = design.back(inner)
        total = moments.products[-1, -1]
        notes = []
        if degrees <= 0:
            notes.append(f"{count} rows for {design.width} coefficients leave nothing to estimate an error from.")
        if exact:
            notes.append("The fit is exact but for rounding: standard errors tell nothing.")
        return Inference(
            title="OLS Regression Results" if moments.log_weights == 0 else "WLS Regression Results",
            model="OLS" if moments.log_weights == 0 else "WLS",
            target=self._target,
            names=(*(["const"] * int(design.intercept)), *self._names),
            params=np.array([*([self.intercept_] * int(design.intercept)), *self.coef_]),
            covariance=covariance,
            cov_type=kind,
            use_t=kind == "nonrobust",
            nobs=count,
            df_model=len(design.kept),
            df_resid=degrees,
            intercept=design.intercept,
            scale=scale,
            llf=_likelihood(squares, moments),
            llnull=_likelihood(total, moments),
            rsquared=1 - squares / total if total > 0 else math.nan,
            method="Least Squares",
            why=CONSTRAINED if held else "",
            notes=tuple(notes),
        )


def _likelihood(squares: float, moments: Moments) -> float:
    """The logarithm of a normal likelihood, with the variance that makes it largest."""
    count = moments.rows
    if squares <= 0:
        return math.inf
    return -count / 2 * (math.log(2 * math.pi * squares / count) + 1) + moments.log_weights / 2


class _Penalised(LeastSquares):
    """What Ridge and Lasso share."""

    alpha: float

    def _begun(self, x: Any, y: Any, sample_weight: Any) -> tuple[Rows, Moments, Design, float, Array]:
        intercept = as_flag("fit_intercept", self.fit_intercept)
        alpha = as_number("alpha", self.alpha)
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha must be a finite number of at least 0, got {self.alpha!r}")
        rows = self._given(x, y, sample_weight)
        signs = self._signs()
        moments = moments_of(rows, intercept)
        return rows, moments, Design(moments, self._names, intercept, whole=True), alpha, signs

    def _told(self, rows: Rows, design: Design, found: DoubleArray, what: str) -> Inference:
        moments = design.moments
        squares = 0.0
        for block in rows:
            residual = block.y - design.of(block) @ found
            squares += float(residual @ (residual if block.weight is None else residual * block.weight))
        total = moments.products[-1, -1]
        used = int((self.coef_ != 0).sum())
        return Inference(
            title=f"{what} Regression Results",
            model=what,
            target=self._target,
            names=(*(["const"] * int(design.intercept)), *self._names),
            params=np.array([*([self.intercept_] * int(design.intercept)), *self.coef_]),
            covariance=None,
            cov_type="",
            use_t=True,
            nobs=moments.rows,
            df_model=used,
            df_resid=moments.rows - used - int(design.intercept),
            intercept=design.intercept,
            rsquared=1 - squares / total if total > 0 else math.nan,
            method="Penalized squares",
            extra={"alpha": float(self.alpha)},
            why=PENALISED,
        )


class Ridge(_Penalised):
    """Linear regression with a penalty on squares: the least of |y - x·b|² + alpha |b|². scikit-learn's ``Ridge``.

    alpha: the penalty, at least 0; the intercept has none. fit_intercept, monotone: as ``LinearRegression``. There are
    no standard errors. After ``fit``: as ``LinearRegression``.
    """

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True, monotone: Any = None) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.monotone = monotone

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit. x, y, sample_weight: as ``LinearRegression.fit``."""
        rows, moments, design, alpha, signs = self._begun(x, y, sample_weight)
        lead = int(design.intercept)
        pull = alpha / design.scale**2
        system = np.zeros((design.width, design.width))
        system[lead:, lead:] = design.gram + np.diag(pull)
        right = moments.products[:-1, -1] / design.scale
        found = np.zeros(design.width)
        if lead:
            system[0, 0], found[0] = moments.weight, moments.mean[-1]
        if signs.any():
            found[lead:] = signed(system[lead:, lead:], right, signs)
        else:
            found[lead:] = solved(system[lead:, lead:], right)
            found = self._corrected(rows, design, found, system, np.concatenate([[0.0] * lead, pull]) * found)
        self._taken(rows, design, found)
        self.results_ = self._told(rows, design, found, "Ridge")
        return self


class Lasso(_Penalised):
    """Linear regression with a penalty on sizes: the least of |y - x·b|² / (2 rows) + alpha Σ|b|. scikit-learn's
    ``Lasso``.

    alpha: the penalty, at least 0; the intercept has none. fit_intercept, monotone: as ``LinearRegression``. max_iter:
    the most sweeps over the coefficients. tol: how far the slopes may be from those of the least, relative to the
    largest of x'y. The rows are gone through twice: the sweeps go over products of columns. There are no standard
    errors. After ``fit``: as ``LinearRegression``, and ``n_iter_``, the sweeps.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        monotone: Any = None,
        max_iter: int = 10000,
        tol: float = 1e-10,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.monotone = monotone
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit. x, y, sample_weight: as ``LinearRegression.fit``."""
        most, tol = check_count("max_iter", self.max_iter), as_number("tol", self.tol)
        rows, moments, design, alpha, signs = self._begun(x, y, sample_weight)
        lead = int(design.intercept)
        right = moments.products[:-1, -1] / design.scale
        penalty = alpha * moments.weight / design.scale
        b, self.n_iter_, gap = shrunk(design.gram, right, penalty, signs, tol, most)
        if gap > tol:
            warnings.warn(
                f"Lasso: after {most} sweeps the slopes are still {gap:.1e} from those of the least, above tol = "
                f"{tol:g}; raise max_iter, or leave columns out that follow from others",
                of_sklearn("ConvergenceWarning", UserWarning),
                stacklevel=2,
            )
        found = np.concatenate([[moments.mean[-1]] * lead, b])
        self._taken(rows, design, found)
        self.results_ = self._told(rows, design, found, "Lasso")
        return self

"""LogisticRegression and PoissonRegression: the most likely coefficients, by Newton's method over blocks of rows."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np

from fastnn._checks import as_flag, as_number, check_count
from fastnn.linear.base import LinearModel
from fastnn.linear.covariance import OF_LIKELIHOODS, Scores, check_covariance
from fastnn.linear.design import Design, moments_of
from fastnn.linear.estimator import Classifier
from fastnn.linear.inference import Inference
from fastnn.linear.likelihoods import Multinomial, Poisson, log_factorial
from fastnn.linear.newton import Found, Problem, newton
from fastnn.linear.regression import CONSTRAINED, PENALISED
from fastnn.linear.rows import Rows, as_groups, of_sklearn
from fastnn.linear.solvers import inverse_of
from fastnn.typing import Array, DoubleArray


class SeparationWarning(UserWarning):
    """Columns tell the target without any doubt, so that a coefficient may grow without end."""


class LikelihoodModel(LinearModel):
    """The base of the models that maximise a likelihood by Newton's method."""

    tol: float
    max_iter: int
    cov_type: str

    def _solve(
        self,
        rows: Rows,
        design: Design,
        likelihood: Any,
        start: DoubleArray,
        alpha: float,
        signs: Array,
        tied: bool = False,
    ) -> tuple[Problem, Found]:
        """The problem, and what Newton's method has found; warnings where there is no such maximum."""
        lead = int(design.intercept)
        penalty = np.concatenate([np.zeros(lead), alpha / design.scale[design.kept] ** 2])
        among = np.concatenate([np.zeros(lead, np.int64), signs[design.kept]])
        problem = Problem(rows, design, likelihood, start.shape[1], penalty, among, tied)
        tol, most = as_number("tol", self.tol), check_count("max_iter", self.max_iter)
        found = newton(problem, start, tol, most)
        if len(found.runaway):
            listed = ", ".join(repr(self._names[place]) for place in found.runaway[:8].tolist())
            warnings.warn(self._runaway(listed), SeparationWarning, stacklevel=4)
        elif not found.converged:
            warnings.warn(
                f"{type(self).__name__}: after {found.passes} passes over the rows the coefficients still move by more "
                f"than tol = {tol:g}; raise max_iter, or bring the columns to similar sizes",
                of_sklearn("ConvergenceWarning", UserWarning),
                stacklevel=4,
            )
        return problem, found

    def _runaway(self, listed: str) -> str:
        raise NotImplementedError

    def _told(
        self, problem: Problem, found: Found, null: float, groups: Any, penalised: bool, signs: Array, **more: Any
    ) -> Inference:
        """The inference of what was found. null: the -log-likelihood of an intercept alone."""
        design, units, kind = problem.design, problem.units, self.cov_type
        why = PENALISED if penalised else CONSTRAINED if signs.any() else ""
        loss = found.loss - 0.5 * float((problem.penalty[:, None] * found.theta**2).sum())
        lead, features = int(design.intercept), len(self._names)
        covariance: DoubleArray | None = None
        if not why:
            covariance = inverse_of(found.hessian)
            if kind != "nonrobust":
                scores = Scores(kind, covariance, as_groups(groups))
                for block in problem.rows:
                    z = design.of(block)
                    slope = problem.likelihood(found.theta.T @ z.T, block.y, block.weight).slope
                    scores.add_scores((slope.T[:, :, None] * z[:, None]).reshape(len(z), -1), block.first)
                covariance = scores.covariance(design.moments.weight, design.width * units)
            covariance = _by_unit(design, covariance, units, lead + features)
        coef, intercept = design.solution(found.theta)
        params = np.concatenate([intercept[None]] * lead + [coef])
        count = len(design.kept) * units
        notes = ["The likelihood has no maximum: see the warning of the fit."] if len(found.runaway) else []
        return Inference(
            target=self._target,
            names=(*(["const"] * lead), *self._names),
            params=params if units > 1 else params[:, 0],
            covariance=covariance,
            cov_type=kind,
            use_t=False,
            nobs=design.moments.weight,
            df_model=count,
            df_resid=design.moments.weight - count - lead * units,
            intercept=design.intercept,
            llf=-loss,
            llnull=-null,
            prsquared=1 - loss / null if null else math.nan,
            why=why,
            method="Penalized MLE" if penalised else "MLE",
            notes=tuple(notes),
            **more,
        )


def _by_unit(design: Design, covariance: DoubleArray, units: int, size: int) -> DoubleArray:
    """The covariance of all units' (intercept, coefficients), one unit after the other."""
    width = design.width
    found = np.empty((units, size, units, size))
    for k in range(units):
        for other in range(units):
            part = covariance[k * width : (k + 1) * width, other * width : (other + 1) * width]
            found[k, :, other] = design.back(part)
    return found.reshape(units * size, units * size)


class LogisticRegression(Classifier, LikelihoodModel):
    """Logistic regression of two classes or more, with what can be said of its coefficients.

        model = LogisticRegression().fit(x, y)
        print(model.summary())
        model.odds_ratios()

    C: the inverse of a penalty on squares, as in scikit-learn; here there is none by default (infinity), so that there
    are standard errors. fit_intercept: whether there is an intercept. monotone: {"income": 1}, the signs that
    coefficients must have, for two classes; without standard errors. tol: the largest step, of coefficients of
    standardised columns, at which the fit ends. max_iter: the most passes over the rows. cov_type: "nonrobust", "HC0",
    or "cluster" with ``groups`` of ``fit``.

    After ``fit``: ``coef_`` (1, features) of two classes, (classes, features) of more: then the first row is 0, and the
    others say how each class differs from the first one; with a penalty the rows add up to 0. ``intercept_``,
    ``classes_``, ``results_`` (an ``Inference``), ``n_iter_`` (passes), ``n_features_in_``, ``feature_names_in_`` where
    columns have names; ``model_``, the same as a network.

    Where some columns separate the classes there is no most likely coefficient: a warning names them.
    """

    def __init__(
        self,
        *,
        C: float = math.inf,
        fit_intercept: bool = True,
        monotone: Any = None,
        tol: float = 1e-9,
        max_iter: int = 100,
        cov_type: str = "nonrobust",
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.monotone = monotone
        self.tol = tol
        self.max_iter = max_iter
        self.cov_type = cov_type

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Fit. x: (rows, features), an array, a data frame or dict of columns, a sparse matrix, or a dataset such as
        ``SQLDataset``.

        y: (rows,), labels of any type that can be sorted; a dataset brings its own, 0, 1, 2, ... sample_weight:
        (rows,), how many rows each stands for. groups: (rows,), for cov_type="cluster".
        """
        intercept = as_flag("fit_intercept", self.fit_intercept)
        inverse = as_number("C", self.C)
        if not inverse > 0:
            raise ValueError(f"C must be above 0, got {self.C!r}; infinity is no penalty")
        check_covariance(self.cov_type, OF_LIKELIHOODS, groups)
        alpha = 1 / inverse
        rows = self._given(x, y, sample_weight)
        signs, classes = self._signs(), len(self.classes_)
        if signs.any() and classes > 2:
            raise ValueError(f"monotone= is for two classes, and there are {classes}; put some together")
        counts = _class_counts(rows, classes)
        moments = moments_of(rows, intercept)
        design = Design(moments, self._names, intercept, whole=alpha > 0 or bool(signs.any()))
        design.warn(3)
        reference = alpha == 0 or classes == 2
        likelihood = Multinomial(classes, reference)
        start = np.zeros((design.width, likelihood.units))
        present = np.maximum(counts, 0.5)
        if intercept:
            logs = np.log(present / present.sum())
            start[0] = logs[1:] - logs[0] if reference else logs - logs.mean()
        problem, found = self._solve(rows, design, likelihood, start, alpha, signs, tied=not reference and intercept)
        coef, constant = design.solution(found.theta)
        if classes > 2 and reference:
            coef, constant = np.insert(coef, 0, 0.0, axis=1), np.insert(constant, 0, 0.0)
        if not reference and intercept:
            constant = constant - constant.mean()
        self.coef_, self.intercept_, self.n_iter_ = np.ascontiguousarray(coef.T), constant, found.passes
        share = counts[counts > 0] / counts.sum()
        null = -float((counts[counts > 0] * np.log(share)).sum()) if intercept else counts.sum() * math.log(classes)
        self.results_ = self._told(
            problem,
            found,
            null,
            groups,
            alpha > 0,
            signs,
            title="Logit Regression Results" if classes == 2 else "MNLogit Regression Results",
            model="Logit" if classes == 2 else "MNLogit",
            equations=tuple(f"{self._target}={label}" for label in self.classes_[int(reference) :]),
            ratios="odds ratio",
            extra={"C": inverse} if alpha else {},
        )
        return self

    def _runaway(self, listed: str) -> str:
        return (
            f"LogisticRegression: the classes are separated by {listed}: a coefficient that is twice as large fits "
            "better, and so without end; those given are where the likelihood no longer grows, and their standard "
            "errors mean nothing. Leave the columns out, put rare categories together, or give a penalty, C=1.0"
        )

    @property
    def activation(self) -> str:  # type: ignore[override]
        """The activation of ``model_``."""
        return "sigmoid" if len(self.classes_) == 2 else "softmax"

    def _network_loss(self) -> str:
        return "binary_crossentropy" if len(self.classes_) == 2 else "sparse_categorical_crossentropy"

    def decision_function(self, x: Any) -> DoubleArray:
        """The linear part: the logarithm of the odds, (rows,), of two classes; a score for each, (rows, classes)."""
        found = self._linear(x)
        return found[:, 0] if len(self.classes_) == 2 else found

    def predict_proba(self, x: Any) -> DoubleArray:
        """The probability of each class, in the order of ``classes_``: (rows, classes)."""
        found = self._linear(x)
        return Multinomial(len(self.classes_), len(self.classes_) == 2).probabilities(found.T)[0].T

    def odds_ratios(self, alpha: float = 0.05) -> dict[str, Any]:
        """exp of the coefficients, by what factor the odds grow with a column's 1, with intervals: "low" and "high"."""
        self._check_fitted()
        return self.results_.ratio_table(alpha)


def _class_counts(rows: Rows, classes: int) -> DoubleArray:
    counts = np.zeros(classes)
    for block in rows:
        assert block.y is not None
        counts += np.bincount(block.y.astype(np.intp), block.weight, classes)
    return counts


class PoissonRegression(LikelihoodModel):
    """Poisson regression of counts: the mean is exp(x·b), with what can be said of its coefficients.

    alpha: a penalty on squares as in scikit-learn's ``PoissonRegressor``, |b|² alpha / 2 beside the mean loss of a row;
    0 by default, so that there are standard errors. fit_intercept, monotone, tol, max_iter, cov_type: as
    ``LogisticRegression``. After ``fit``: ``coef_`` (features,), ``intercept_``, and the rest as there. For rates fit
    counts / time with sample_weight=time: coefficients and their errors are those of an offset log(time).
    """

    activation = "exponential"
    loss = "poisson"
    positive_targets = True

    def __init__(
        self,
        *,
        alpha: float = 0.0,
        fit_intercept: bool = True,
        monotone: Any = None,
        tol: float = 1e-9,
        max_iter: int = 100,
        cov_type: str = "nonrobust",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.monotone = monotone
        self.tol = tol
        self.max_iter = max_iter
        self.cov_type = cov_type

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Fit. x, sample_weight, groups: as ``LogisticRegression.fit``. y: (rows,), counts, 0 or more."""
        intercept = as_flag("fit_intercept", self.fit_intercept)
        alpha = as_number("alpha", self.alpha)
        if not 0 <= alpha < math.inf:
            raise ValueError(f"alpha must be a finite number of at least 0, got {self.alpha!r}")
        check_covariance(self.cov_type, OF_LIKELIHOODS, groups)
        rows = self._given(x, y, sample_weight)
        signs = self._signs()
        total, null = _counted(rows)
        moments = moments_of(rows, intercept)
        design = Design(moments, self._names, intercept, whole=alpha > 0 or bool(signs.any()))
        design.warn(3)
        start = np.zeros((design.width, 1))
        mean = total / moments.weight
        if intercept:
            start[0] = math.log(mean)
        problem, found = self._solve(rows, design, Poisson(), start, alpha * moments.weight, signs)
        coef, constant = design.solution(found.theta)
        self.coef_, self.intercept_, self.n_iter_ = coef[:, 0], float(constant[0]), found.passes
        null += total - total * math.log(mean) if intercept else moments.weight
        self.results_ = self._told(
            problem,
            found,
            null,
            groups,
            alpha > 0,
            signs,
            title="Poisson Regression Results",
            model="Poisson",
            ratios="rate ratio",
            extra={"alpha": alpha} if alpha else {},
        )
        return self

    def _runaway(self, listed: str) -> str:
        return (
            f"PoissonRegression: rows that {listed} tell apart have no counts at all, so a coefficient of theirs "
            "grows without end; those given are where the likelihood no longer grows, and their standard errors mean "
            "nothing. Leave the columns out, put rare categories together, or give a penalty, alpha=1e-3"
        )

    def predict(self, x: Any) -> DoubleArray:
        """The mean of each row, exp(x·b), (rows,)."""
        with np.errstate(over="ignore"):
            found: DoubleArray = np.exp(self._linear(x)[:, 0])
        return found

    def rate_ratios(self, alpha: float = 0.05) -> dict[str, Any]:
        """exp of the coefficients, by what factor the mean grows with a column's 1, with intervals: "low" and
        "high".
        """
        self._check_fitted()
        return self.results_.ratio_table(alpha)


def _counted(rows: Rows) -> tuple[float, float]:
    """(the sum of the counts, that of log y!), both with weights. ValueError for what are no counts."""
    total = constant = 0.0
    for block in rows:
        y = block.y
        assert y is not None
        if (y < 0).any():
            row = int(np.flatnonzero(y < 0)[0])
            raise ValueError(f"y must hold counts, 0 or more, got {y[row]:g} at row {block.first + row}")
        weight = np.ones(len(y)) if block.weight is None else block.weight
        total += float(y @ weight)
        constant += float(log_factorial(y) @ weight)
    if total <= 0:
        raise ValueError("y: all counts are 0, so no rate can be told; give rows with counts above 0")
    return total, constant

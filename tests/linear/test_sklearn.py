"""The models by scikit-learn's own checks, of which none is expected to fail; and among scikit-learn's tools."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from fastnn.linear import (
    AdditiveClassifier,
    AdditiveRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegression,
    QuantileRegression,
    Ridge,
)

checks = pytest.importorskip("sklearn.utils.estimator_checks", reason="pip install scikit-learn")
MODELS: list[Any] = [
    AdditiveRegressor((8,), random_state=0),
    AdditiveClassifier((8,), random_state=0),
    LinearRegression(),
    LinearRegression(fit_intercept=False, cov_type="HC3"),
    Ridge(),
    Lasso(0.1),
    LogisticRegression(),
    LogisticRegression(C=1.0),
    PoissonRegression(),
    PoissonRegression(alpha=1.0),
    QuantileRegression(),
    QuantileRegression(0.8),
]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that a model is no BaseEstimator: it needs no scikit-learn
    CASES = [case for model in MODELS for case in checks.estimator_checks_generator(model)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "check"),
    CASES,
    ids=lambda each: getattr(each, "func", each).__name__ if callable(each) or hasattr(each, "func") else repr(each),
)
def test_check(model: Any, check: Any) -> None:
    check(model)

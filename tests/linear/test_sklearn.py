"""The models by scikit-learn's own checks, of which none is expected to fail; and among scikit-learn's tools."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
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


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    return x, x @ [1.0, -2, 0, 0.5] + rng.normal(size=200)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_tools_take_them(model: Any) -> None:
    """A pipeline, a search, cross-validation, and copies."""
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import GridSearchCV, cross_validate
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = data()
    if is_classifier(model):
        y = np.where(y > 0, "high", "low")
    elif isinstance(model, PoissonRegression):
        y = np.round(np.exp(y.clip(max=3)))
    assert is_classifier(model) != is_regressor(model)
    line = make_pipeline(StandardScaler(), clone(model))
    assert line.fit(x, y).score(x, y) > 0.3
    given = "validation_fraction" if hasattr(model, "validation_fraction") else "fit_intercept"
    values = [0.1, 0.2] if given == "validation_fraction" else [True, False]
    name = type(model).__name__.lower()
    search = GridSearchCV(line, {f"{name}__{given}": values}, cv=2).fit(x, y)
    assert search.best_score_ > 0.2
    found = cross_validate(model, x, y, cv=3, return_estimator=True)
    assert all(hasattr(each, "n_features_in_") for each in found["estimator"])
    importances = permutation_importance(line, x, y, n_repeats=2, random_state=0).importances_mean
    assert importances.argmax() == 1


def test_a_search_on_two_processes() -> None:
    from sklearn.model_selection import GridSearchCV

    x, y = data()
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0, 1e4]}, cv=3, n_jobs=2).fit(x, y)
    assert search.best_params_["alpha"] < 1e4


def test_probabilities_go_on_into_others() -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import StackingClassifier, VotingRegressor

    x, y = data()
    label = y > 0
    assert CalibratedClassifierCV(LogisticRegression(), cv=3).fit(x, label).score(x, label) > 0.8
    stack = StackingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))], LogisticRegression())
    assert stack.fit(x, label).score(x, label) > 0.8
    assert VotingRegressor([("a", LinearRegression()), ("b", Ridge())]).fit(x, y).score(x, y) > 0.7


def test_columns_keep_their_names_through_a_transformer() -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y = data()
    frame = pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "city": np.where(x[:, 2] > 0, "Rome", "Oslo")})
    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]),
        (OneHotEncoder(drop="first", sparse_output=False), ["city"]),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    line = make_pipeline(columns, LinearRegression()).fit(frame, y)
    assert list(line[-1].feature_names_in_) == ["a", "b", "city_Rome"]
    assert "city_Rome" in line[-1].summary()

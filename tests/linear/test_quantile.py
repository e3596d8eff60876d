"""QuantileRegression beside what defines it, scikit-learn's linear program and statsmodels's standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.linear import QuantileRegression
from fastnn.linear.interior import check_loss


def data(rows: int = 300, features: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features)) + 10
    return x, x @ np.arange(features) + rng.standard_t(3, size=rows) * np.abs(x[:, 0]) + 5


def loss(model: Any, x: Any, y: Any, weight: Any = None) -> float:
    return check_loss(y - model.predict(x), model.quantile, weight)


def is_the_least(model: Any, x: Any, y: Any, weight: Any = None) -> bool:
    """Whether some slope of the loss is 0: rows on the fit may be counted on either side, or between."""
    optimize = pytest.importorskip("scipy.optimize", reason="pip install scipy")
    residual = y - model.predict(x)
    on = np.abs(residual) < 1e-9 * np.abs(y).max()
    z = np.column_stack([np.ones(len(y)), x])
    z = z if weight is None else z * weight[:, None]
    side = np.where(residual > 0, model.quantile, model.quantile - 1)
    slope = z[~on].T @ side[~on]
    found = optimize.lsq_linear(z[on].T, -slope, (model.quantile - 1, model.quantile), tol=1e-14)
    return bool(np.abs(z[on].T @ found.x + slope).max() < 1e-6 * np.abs(z).sum())


def test_a_median_is_the_median() -> None:
    x = np.array([0.0, 0, 0, 1, 1, 1])[:, None]
    found = QuantileRegression().fit(x, [1, 2, 30, 10, 4, 5])
    assert found.intercept_ == pytest.approx(2)
    assert found.coef_[0] == pytest.approx(3)


@pytest.mark.parametrize("quantile", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(300, 3), (3000, 6)])
def test_it_is_the_least(quantile: float, shape: tuple[int, int]) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="pip install scikit-learn")
    x, y = data(*shape)
    for weight in (None, np.random.default_rng(1).integers(0, 4, len(y)).astype(float)):
        found = QuantileRegression(quantile).fit(x, y, weight)
        known = linear.QuantileRegressor(quantile=quantile, alpha=0).fit(x, y, weight)
        assert loss(found, x, y, weight) <= loss(known, x, y, weight) * (1 + 1e-9)
        assert is_the_least(found, x, y, weight)


@pytest.mark.parametrize("quantile", [0.1, 0.5])
def test_rows_that_are_not_held_change_nothing(quantile: float) -> None:
    """Beyond some thousand rows only those near the fit are held: the same corner as of all of them."""
    x, y = data(60_000, 3)
    order = np.argsort(y)  # a first look at the first rows would mislead
    found = QuantileRegression(quantile).fit(x[order], y[order])
    assert is_the_least(found, x, y)
    assert ((y - found.predict(x)) < 0).mean() == pytest.approx(quantile, abs=1e-4)


@pytest.mark.parametrize("quantile", [0.1, 0.25, 0.5, 0.75])
def test_standard_errors_are_statsmodels(quantile: float) -> None:
    sm = pytest.importorskip("statsmodels.api", reason="pip install statsmodels")
    x, y = data(500)
    found = QuantileRegression(quantile).fit(x, y).results_
    known = sm.QuantReg(y, sm.add_constant(x)).fit(q=quantile, p_tol=1e-10, max_iter=10000)
    np.testing.assert_allclose(found.params, known.params, rtol=1e-5)
    # It takes rows that lie on the fit for above or below it, as its rounding goes: 4 of some 50 below it.
    np.testing.assert_allclose(found.bse, known.bse, rtol=0.04)
    assert found.prsquared == pytest.approx(known.prsquared, abs=1e-7)
    assert found.extra["Bandwidth"] == pytest.approx(known.bandwidth, rel=1e-5)
    assert found.extra["Sparsity"] == pytest.approx(known.sparsity, rel=1e-4)


def test_ties_and_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (400, 2)).astype(float)
    y = x.sum(axis=1) + rng.integers(0, 5, 400)
    for quantile in (0.2, 0.5, 0.8):
        assert is_the_least(QuantileRegression(quantile).fit(x, y), x, y)


def test_signs_are_held() -> None:
    x, y = data(1000, 3)
    found = QuantileRegression(0.5, monotone={2: -1}).fit(x, y)
    assert found.coef_[2] == 0
    without = QuantileRegression(0.5).fit(x[:, :2], y)
    assert loss(found, x, y) == pytest.approx(loss(without, x[:, :2], y))
    assert found.results_.covariance is None


def test_what_is_no_quantile() -> None:
    for bad in (0, 1, 1.5, -0.1):
        with pytest.raises(ValueError, match="quantile must lie between 0 and 1"):
            QuantileRegression(bad).fit(*data())


def test_the_network_has_its_loss() -> None:
    x, y = data()
    found = QuantileRegression(0.9).fit(x, y)
    assert found.model_.evaluate(x, y, verbose=0) == pytest.approx(loss(found, x, y) / len(y), rel=1e-4)

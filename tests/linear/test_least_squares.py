"""LinearRegression, Ridge and Lasso beside certified values, statsmodels and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.linear import Lasso, LinearRegression, RankWarning, Ridge

from .known import LONGLEY, LONGLEY_F, LONGLEY_NAMES, LONGLEY_R2, LONGLEY_SIGMA, LONGLEY_X, LONGLEY_Y


def data(rows: int = 400, features: int = 5, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)) * 10.0 ** np.arange(-1, features - 1) + 50 * np.arange(features)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, z @ np.arange(features) + 3 + rng.normal(size=rows) * (1 + np.abs(z[:, 0]))


def test_longley_has_its_certified_digits() -> None:
    """NIST's: where the products of columns alone lose digits, the residuals bring them back."""
    pytest.importorskip("scipy", reason="pip install scipy")
    found = LinearRegression().fit(LONGLEY_X, LONGLEY_Y).results_
    np.testing.assert_allclose(found.params, LONGLEY[:, 0], rtol=1e-11)
    np.testing.assert_allclose(found.bse, LONGLEY[:, 1], rtol=1e-8)
    assert found.rsquared == pytest.approx(LONGLEY_R2, rel=1e-12)
    assert found.fvalue == pytest.approx(LONGLEY_F, rel=1e-8)
    assert found.scale**0.5 == pytest.approx(LONGLEY_SIGMA, rel=1e-10)


@pytest.mark.parametrize("kind", ["nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [True, False])
def test_inference_is_statsmodels(kind: str, weighted: bool, intercept: bool) -> None:
    sm = pytest.importorskip("statsmodels.api", reason="pip install statsmodels")
    x, y = data()
    weight = np.random.default_rng(1).uniform(0.5, 3, len(y)) if weighted else None
    groups = np.arange(len(y)) // 7 if kind == "cluster" else None
    found = LinearRegression(fit_intercept=intercept, cov_type=kind).fit(x, y, weight, groups).results_
    columns = sm.add_constant(x) if intercept else x
    model = sm.OLS(y, columns) if weight is None else sm.WLS(y, columns, weights=weight)
    known = model.fit(cov_type=kind, **({"cov_kwds": {"groups": groups}} if kind == "cluster" else {}))
    for name in ("params", "bse", "tvalues", "pvalues"):
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), rtol=1e-7, atol=1e-300, err_msg=name)
    np.testing.assert_allclose(found.conf_int(0.1), known.conf_int(0.1), rtol=1e-7)
    np.testing.assert_allclose(
        found.cov_params(), known.cov_params(), rtol=1e-6, atol=1e-12 * np.abs(found.covariance).max()
    )
    names = ["rsquared", "rsquared_adj", "llf", "aic", "bic", "df_model", "df_resid", "nobs", "fvalue", "scale"]
    for name in names:
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=1e-7), name
    # Groups have fewer degrees of freedom than rows: statsmodels tests F with those of the groups.
    if kind != "cluster":
        assert found.f_pvalue == pytest.approx(known.f_pvalue, rel=1e-5, abs=1e-300)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0, 100.0])
def test_ridge_is_scikit_learns(alpha: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="pip install scikit-learn")
    x, y = data()
    weight = np.random.default_rng(1).uniform(0, 3, len(y)) * (np.arange(len(y)) % 5 > 0)
    for intercept in (True, False):
        found = Ridge(alpha, fit_intercept=intercept).fit(x, y, weight)
        known = linear.Ridge(alpha, fit_intercept=intercept, solver="svd").fit(x, y, weight)
        np.testing.assert_allclose(found.coef_, known.coef_, rtol=1e-9)
        np.testing.assert_allclose(found.intercept_, known.intercept_, rtol=1e-9)


@pytest.mark.parametrize("alpha", [1e-4, 0.1, 1.0, 10.0, 1e5])
def test_lasso_is_scikit_learns(alpha: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="pip install scikit-learn")
    x, y = data()
    weight = np.random.default_rng(1).uniform(0.1, 3, len(y))
    for intercept in (True, False):
        found = Lasso(alpha, fit_intercept=intercept).fit(x, y, weight)
        known = linear.Lasso(alpha, fit_intercept=intercept, tol=1e-14, max_iter=10**6).fit(x, y, weight)
        np.testing.assert_allclose(found.coef_, known.coef_, rtol=1e-6, atol=1e-9)
        assert found.n_iter_ < 1000


def test_penalties_of_columns_at_right_angles_are_known() -> None:
    x = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]])
    y = x @ [3, 0.5] + 7
    np.testing.assert_allclose(Ridge(4.0).fit(x, y).coef_, [1.5, 0.25])
    np.testing.assert_allclose(Lasso(1.0).fit(x, y).coef_, [2, 0])
    for model in (Ridge().fit(x, y), Lasso().fit(x, y)):
        assert model.results_.covariance is None
        assert "penalty" in model.summary()
        with pytest.raises(ValueError, match="no standard errors: a penalty"):
            model.results_.cov_params()


def test_lasso_says_where_it_has_not_ended() -> None:
    x, y = data()
    with pytest.warns(UserWarning, match=r"after 1 sweeps .* raise max_iter"):
        Lasso(0.01, max_iter=1).fit(np.cumsum(x, axis=1), y)


# Signs.


@pytest.mark.parametrize("seed", range(20))
def test_signs_are_held_and_the_rest_is_the_least(seed: int) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="pip install scipy")
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 6)) @ rng.normal(size=(6, 6))
    y = x @ rng.normal(size=6) + rng.normal(size=60)
    signs = rng.integers(-1, 2, 6)
    found = LinearRegression(monotone=signs).fit(x, y)
    low = np.concatenate([[-np.inf], np.where(signs > 0, 0, -np.inf)])
    high = np.concatenate([[np.inf], np.where(signs < 0, 0, np.inf)])
    known = optimize.lsq_linear(np.column_stack([np.ones(60), x]), y, (low, high), tol=1e-15)
    np.testing.assert_allclose(found.coef_, known.x[1:], atol=1e-7 * np.abs(known.x).max())
    assert (found.coef_ * signs >= 0).all()
    if signs.any():
        assert found.results_.covariance is None
        assert "bound" in found.summary()
    for model in (Ridge(1e-9, monotone=signs), Lasso(1e-12, monotone=signs)):
        np.testing.assert_allclose(model.fit(x, y).coef_, found.coef_, atol=1e-6)


def test_signs_by_name() -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    frame = pandas.DataFrame({"income": [1.0, 2, 3, 4], "age": [1.0, -1, 1, -1]})
    y = [-1.0, -2, -3, -4]
    found = LinearRegression(monotone={"income": 1}).fit(frame, y)
    assert found.coef_[0] == 0
    with pytest.raises(ValueError, match=r"no feature 'incom' \(did you mean 'income'\?\)"):
        LinearRegression(monotone={"incom": 1}).fit(frame, y)
    for bad in ({"age": 2}, [1], "income", {5: 1}, {"age": True}):
        with pytest.raises(ValueError, match="monotone"):
            LinearRegression(monotone=bad).fit(frame, y)


# Columns that cannot be told apart.


def test_columns_that_follow_from_others_are_named() -> None:
    x, y = data()
    columns = np.column_stack([x[:, :2], x[:, 0] * 2 - x[:, 1] + 3, np.full(len(y), 7.0), x[:, 4]])
    with pytest.warns(RankWarning, match=r"'x3' follows from 'x1', 'x2'; 'x4' is always the same.*Leave such columns"):
        found = LinearRegression().fit(columns, y)
    alone = LinearRegression().fit(columns[:, [0, 1, 4]], y)
    np.testing.assert_allclose(found.predict(columns), alone.predict(columns[:, [0, 1, 4]]), rtol=1e-9)
    np.testing.assert_array_equal(np.isnan(found.results_.bse), [True, True, True, True, True, False])
    np.testing.assert_allclose(found.results_.bse[5], alone.results_.bse[3], rtol=1e-9)
    assert found.results_.df_model == 3
    # The coefficients of the smallest squares: those of the pseudo-inverse.
    known = np.linalg.lstsq(columns - columns.mean(axis=0), y - y.mean(), rcond=1e-10)[0]
    np.testing.assert_allclose(found.coef_, known, rtol=1e-6, atol=1e-9)


def test_a_constant_without_an_intercept_is_the_intercept() -> None:
    x, y = data()
    with_ones = LinearRegression(fit_intercept=False).fit(np.column_stack([np.ones(len(y)), x]), y)
    alone = LinearRegression().fit(x, y)
    np.testing.assert_allclose(with_ones.coef_, alone.results_.params, rtol=1e-8)


def test_fewer_rows_than_columns() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 12)), rng.normal(size=5)
    with pytest.warns(RankWarning, match="5 rows cannot tell 12 columns apart"):
        found = LinearRegression().fit(x, y)
    known = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(found.coef_, known, rtol=1e-9)
    assert np.isnan(found.results_.bse).all()
    assert "leave nothing to estimate an error from" in found.results_.notes[0]


def test_numbers_far_from_zero_keep_their_digits() -> None:
    """A column whose mean is 1e9 times its spread, where products of the numbers as they are have no digit left."""
    rng = np.random.default_rng(0)
    z = np.round(rng.normal(size=300) * 2**10) / 2**10
    y = z * 2 + rng.normal(size=300)
    near, far = LinearRegression().fit(z[:, None], y), LinearRegression().fit(z[:, None] + 1e9, y + 1e7)
    np.testing.assert_allclose(far.coef_, near.coef_, rtol=1e-6)
    np.testing.assert_allclose(far.results_.bse[1], near.results_.bse[1], rtol=1e-6)


def test_columns_of_any_size() -> None:
    x, y = data()
    plain, scaled = LinearRegression().fit(x, y), LinearRegression().fit(x * [1e-9, 1e9, 1, 1e-5, 1e5], y)
    np.testing.assert_allclose(scaled.coef_ * [1e-9, 1e9, 1, 1e-5, 1e5], plain.coef_, rtol=1e-9)
    np.testing.assert_allclose(scaled.results_.tvalues, plain.results_.tvalues, rtol=1e-7)


# Rows.


def test_a_row_without_weight_is_not_there() -> None:
    x, y = data()
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    dropped, weighted = (
        LinearRegression(cov_type="HC3").fit(x[weight > 0], y[weight > 0]),
        LinearRegression(cov_type="HC3").fit(x, y, weight),
    )
    np.testing.assert_allclose(weighted.results_.bse, dropped.results_.bse, rtol=1e-9)
    assert weighted.results_.llf == pytest.approx(dropped.results_.llf)
    assert weighted.results_.nobs == dropped.results_.nobs


def test_predictions_do_not_depend_on_the_rows_beside() -> None:
    x, y = data(3000)
    found = LinearRegression().fit(x, y)
    whole = found.predict(x)
    for start, stop in ((0, 1), (17, 24), (100, 2999)):
        np.testing.assert_array_equal(found.predict(x[start:stop]), whole[start:stop])
    np.testing.assert_array_equal(found.predict(np.asfortranarray(x)), whole)


def test_the_network_is_the_model() -> None:
    x, y = data()
    found = LinearRegression().fit(x, y)
    kernel, bias = found.model_.get_weights()
    np.testing.assert_array_equal(kernel[:, 0], found.coef_.astype(np.float32))
    np.testing.assert_array_equal(bias, np.float32([found.intercept_]))
    np.testing.assert_allclose(found.model_.predict(x)[:, 0], found.predict(x), atol=1e-4)  # sums of float32, to 1e2


def test_names_stand_in_the_table() -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    pytest.importorskip("scipy", reason="pip install scipy")
    frame = pandas.DataFrame(LONGLEY_X, columns=LONGLEY_NAMES)
    found = LinearRegression().fit(frame, pandas.Series(LONGLEY_Y, name="employed"))
    assert list(found.feature_names_in_) == list(LONGLEY_NAMES)
    assert found.model_.feature_names == LONGLEY_NAMES
    table = found.summary_frame()
    assert list(table.index) == ["const", *LONGLEY_NAMES]
    assert list(table.columns) == ["coef", "std err", "t", "P>|t|", "[0.025", "0.975]"]
    assert list(found.summary_frame(0.1).columns)[-2:] == ["[0.05", "0.95]"]
    assert "employed" in found.summary()


def test_the_table_is_that_of_statsmodels() -> None:
    """Line by line: the coefficients, as its users know them."""
    sm = pytest.importorskip("statsmodels.api", reason="pip install statsmodels")
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    frame = pandas.DataFrame(LONGLEY_X, columns=LONGLEY_NAMES)
    ours = str(LinearRegression().fit(frame, LONGLEY_Y).summary()).splitlines()
    theirs = str(sm.OLS(LONGLEY_Y, sm.add_constant(frame)).fit().summary()).splitlines()
    start = next(place for place, line in enumerate(ours) if "std err" in line)
    of_theirs = next(place for place, line in enumerate(theirs) if "std err" in line)
    for line, other in zip(ours[start : start + 10], theirs[of_theirs : of_theirs + 10], strict=True):
        assert line.split() == other.split()


@pytest.mark.parametrize("missing", ["scipy", "pandas"])
def test_what_is_not_there_is_said(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    x, y = data()
    found = LinearRegression().fit(x, y)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.special", None)
    with pytest.raises(ImportError, match=r"fastnn\[stats\]" if missing == "scipy" else r"fastnn\[pandas\]"):
        _ = found.results_.pvalues if missing == "scipy" else found.summary_frame()
    assert np.isfinite(found.results_.bse).all()

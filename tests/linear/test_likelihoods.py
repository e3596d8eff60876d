"""LogisticRegression and PoissonRegression beside known values, statsmodels and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.linear import LogisticRegression, PoissonRegression, RankWarning, SeparationWarning

from .known import DOBSON, DOBSON_X, DOBSON_Y


def data(classes: int = 2, rows: int = 500) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)) * [1, 10, 0.1, 5] + [0, 100, 3, 2000]
    eta = (x - x.mean(axis=0)) / x.std(axis=0) @ [1, -0.5, 0.3, 0] + rng.logistic(size=rows)
    return x, np.digitize(eta, [-0.5] if classes == 2 else [-1, 1])


def counts() -> tuple[Any, Any]:
    x, _ = data()
    rng = np.random.default_rng(1)
    return x, rng.poisson(np.exp((x - x.mean(axis=0)) / x.std(axis=0) @ [0.5, -0.2, 0.1, 0] + 1))


def same(found: Any, known: Any) -> None:
    for name in ("params", "bse", "tvalues", "pvalues"):
        # statsmodels stops a little before the maximum.
        np.testing.assert_allclose(getattr(found, name), np.asarray(getattr(known, name)), rtol=1e-6, atol=1e-12)
    for name in ("llf", "llnull", "prsquared", "aic", "bic", "llr", "df_resid", "df_model"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=1e-7), name
    assert found.llr_pvalue == pytest.approx(known.llr_pvalue, rel=1e-5)


def test_a_table_of_two_by_two_is_known() -> None:
    """log(ad / bc), with the standard error of Woolf 1955."""
    a, b, c, d = 20.0, 10.0, 5.0, 30.0
    x, y, weight = [[1], [1], [0], [0]], ["ill", "well", "ill", "well"], [b, a, d, c]
    found = LogisticRegression().fit(x, y, weight)
    assert found.coef_[0, 0] == pytest.approx(np.log(a * d / (b * c)))
    assert found.results_.bse[1] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    ratios = found.odds_ratios()
    assert ratios["odds ratio"][1] == pytest.approx(12)
    away = 1.959963984540054 * found.results_.bse[1]
    assert ratios["low"][1] == pytest.approx(np.exp(np.log(12) - away))
    assert ratios["high"][1] == pytest.approx(np.exp(np.log(12) + away))
    assert list(found.classes_) == ["ill", "well"]
    assert found.results_.nobs == 65


def test_dobsons_counts_are_known() -> None:
    found = PoissonRegression().fit(DOBSON_X, DOBSON_Y).results_
    np.testing.assert_allclose(found.params, DOBSON[:, 0], atol=5e-7)
    np.testing.assert_allclose(found.bse, DOBSON[:, 1], atol=5e-8)
    assert found.aic == pytest.approx(56.76132, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["nonrobust", "HC0", "cluster"])
def test_logistic_inference_is_statsmodels(classes: int, kind: str) -> None:
    sm = pytest.importorskip("statsmodels.api", reason="pip install statsmodels")
    x, y = data(classes)
    groups = np.arange(len(y)) % 23 if kind == "cluster" else None
    model = LogisticRegression(cov_type=kind).fit(x, y, groups=groups)
    of = sm.Logit if classes == 2 else sm.MNLogit
    known = of(y, sm.add_constant(x)).fit(
        disp=0, method="newton", cov_type=kind, **({"cov_kwds": {"groups": groups}} if groups is not None else {})
    )
    same(model.results_, known)
    np.testing.assert_allclose(
        model.predict_proba(x)[:, 1], known.predict() if classes == 2 else known.predict()[:, 1], rtol=1e-7
    )


@pytest.mark.parametrize("kind", ["nonrobust", "HC0", "cluster"])
def test_poisson_inference_is_statsmodels(kind: str) -> None:
    sm = pytest.importorskip("statsmodels.api", reason="pip install statsmodels")
    x, y = counts()
    groups = np.arange(len(y)) % 23 if kind == "cluster" else None
    model = PoissonRegression(cov_type=kind).fit(x, y, groups=groups)
    known = sm.Poisson(y, sm.add_constant(x)).fit(
        disp=0, cov_type=kind, **({"cov_kwds": {"groups": groups}} if groups is not None else {})
    )
    same(model.results_, known)
    np.testing.assert_allclose(model.predict(x), known.predict(), rtol=1e-7)
    np.testing.assert_allclose(model.rate_ratios()["rate ratio"], np.exp(known.params), rtol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_are_numbers_of_rows(classes: int) -> None:
    x, y = data(classes)
    weight = np.random.default_rng(2).integers(0, 4, len(y))
    weighted = LogisticRegression().fit(x, y, weight).results_
    repeated = LogisticRegression().fit(np.repeat(x, weight, axis=0), np.repeat(y, weight)).results_
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-9)
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-9)
    assert weighted.bic == pytest.approx(repeated.bic)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("inverse", [0.01, 1.0, 100.0])
def test_a_penalty_is_scikit_learns(classes: int, inverse: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="pip install scikit-learn")
    x, y = data(classes)
    x = (x - x.mean(axis=0)) / x.std(axis=0) * [1, 2, 0.5, 1]
    for intercept in (True, False):
        found = LogisticRegression(C=inverse, fit_intercept=intercept).fit(x, y)
        known = linear.LogisticRegression(C=inverse, fit_intercept=intercept, tol=1e-12, max_iter=10000).fit(x, y)
        np.testing.assert_allclose(found.coef_, known.coef_, atol=1e-5)  # where its lbfgs stops
        np.testing.assert_allclose(found.predict_proba(x), known.predict_proba(x), atol=1e-5)
        assert found.results_.covariance is None


def test_a_penalty_on_counts_is_scikit_learns() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="pip install scikit-learn")
    x, y = counts()
    found = PoissonRegression(alpha=0.1).fit(x, y)
    known = linear.PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-12).fit(x, y)
    np.testing.assert_allclose(found.coef_, known.coef_, rtol=1e-9)


def test_three_classes_begin_with_the_first() -> None:
    x, y = data(3)
    found = LogisticRegression().fit(x, y)
    np.testing.assert_array_equal(found.coef_[0], 0)
    assert found.intercept_[0] == 0
    assert found.results_.equations == ("y=1", "y=2")
    assert len(found.results_.to_dict()["coef"]) == 10
    np.testing.assert_allclose(found.predict_proba(x).sum(axis=1), 1)
    np.testing.assert_array_equal(found.predict(x), found.classes_[found.decision_function(x).argmax(axis=1)])


# Separation.


@pytest.mark.parametrize("classes", [2, 3])
def test_columns_that_separate_are_named(classes: int) -> None:
    x, y = data(classes)
    certain = np.where((y == 1) & (np.arange(len(y)) % 7 == 0), 1.0, 0.0)
    with pytest.warns(SeparationWarning, match=r"separated by 'x5'.*C=1\.0"):
        found = LogisticRegression().fit(np.column_stack([x, certain]), y)
    assert "no maximum" in found.summary()
    # What the others say is not touched by it.
    rest = LogisticRegression().fit(x[certain == 0], y[certain == 0])
    np.testing.assert_allclose(found.coef_[:, :4], rest.coef_, rtol=1e-3, atol=1e-3)


def test_classes_that_are_wholly_apart() -> None:
    x, _ = data()
    y = x[:, 0] > 0
    with pytest.warns(SeparationWarning, match="separated by 'x1'"):
        found = LogisticRegression().fit(x, y)
    assert found.score(x, y) == 1
    LogisticRegression(C=1.0).fit(x, y)  # has a maximum


def test_counts_that_are_all_0_where_a_column_is_1() -> None:
    x, y = counts()
    column = (y == 0).astype(float)
    with pytest.warns(SeparationWarning, match="rows that 'x5' tell apart have no counts"):
        PoissonRegression().fit(np.column_stack([x, column]), y)
    with pytest.raises(ValueError, match="all counts are 0"):
        PoissonRegression().fit(x, np.zeros(len(y)))
    with pytest.raises(ValueError, match="got -1 at row 3"):
        PoissonRegression().fit(x, np.where(np.arange(len(y)) == 3, -1, y))


def test_columns_that_follow_from_others() -> None:
    x, y = data()
    both = np.column_stack([x, x[:, 0] - x[:, 2]])
    with pytest.warns(RankWarning, match="'x5' follows from 'x1', 'x3'"):
        found = LogisticRegression().fit(both, y)
    alone = LogisticRegression().fit(x, y)
    np.testing.assert_allclose(found.predict_proba(both), alone.predict_proba(x), rtol=1e-8)
    np.testing.assert_allclose(found.results_.bse[[2, 4]], alone.results_.bse[[2, 4]], rtol=1e-8)
    assert np.isnan(found.results_.bse[[1, 3, 5]]).all()


def test_one_class_is_none() -> None:
    with pytest.raises(ValueError, match="only one class"):
        LogisticRegression().fit([[1.0], [2]], ["a", "a"])


def test_signs_are_held() -> None:
    """The least among coefficients of the right signs: where none of them is 0, slopes are 0; else they point away."""
    x, y = data()
    for model in (LogisticRegression(monotone={"x2": 1, "x1": 1}), PoissonRegression(monotone={"x2": 1, "x1": 1})):
        found = model.fit(x, y)
        coef = np.ravel(found.coef_)
        assert coef[1] == 0
        assert coef[0] > 0
        mean = found.predict_proba(x)[:, 1] if isinstance(found, LogisticRegression) else found.predict(x)
        slopes = (y - mean) @ (x - x.mean(axis=0)) / x.std(axis=0)
        np.testing.assert_allclose(slopes[[0, 2, 3]], 0, atol=1e-7)
        assert slopes[1] < 0
        assert found.results_.covariance is None
    with pytest.raises(ValueError, match="two classes"):
        LogisticRegression(monotone={0: 1}).fit(*data(3))


def test_the_network_is_the_model() -> None:
    x, y = data(3)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    for labels in (y, y > 0):
        found = LogisticRegression().fit(x, labels)
        given = found.model_.predict(x)
        np.testing.assert_allclose(
            given if given.shape[1] == 3 else given[:, 0],
            found.predict_proba(x)[:, slice(3) if given.shape[1] == 3 else 1],
            atol=1e-6,
        )
    found = PoissonRegression().fit(x, y)
    np.testing.assert_allclose(found.model_.predict(x)[:, 0], found.predict(x), rtol=1e-5)


def test_passes_that_are_too_few_are_said() -> None:
    x, y = data()
    with pytest.warns(UserWarning, match="after 2 passes .* raise max_iter"):
        LogisticRegression(max_iter=2).fit(x, y)


def test_rates_are_counts_with_weights() -> None:
    """As the documentation says: an offset of log(time) is counts / time, weighted by time."""
    sm = pytest.importorskip("statsmodels.api", reason="pip install statsmodels")
    x, y = counts()
    time = np.random.default_rng(3).uniform(0.5, 4, len(y))
    found = PoissonRegression().fit(x, y / time, time).results_
    known = sm.GLM(y, sm.add_constant(x), family=sm.families.Poisson(), exposure=time).fit(tol=1e-12)
    np.testing.assert_allclose(found.params, known.params, rtol=1e-8)
    np.testing.assert_allclose(found.bse, known.bse, rtol=1e-8)

"""What can be said of coefficients beside their values: standard errors, tests, intervals, measures of the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fastnn.linear.distributions import beyond_chi2, beyond_f, quantile, two_sided
from fastnn.linear.summary import Summary, text_of
from fastnn.typing import DoubleArray


@dataclass
class Inference:
    """What a fit tells of its coefficients, by statsmodels's names; ``results_`` of a fitted model.

    names: of the coefficients, "const" for the intercept, which is the first. params: their values, of a model of k
    classes (coefficients, k - 1), against the first class. covariance: of ``params``, one class after the other. NaN
    where a coefficient is not determined; None where there is none: with a penalty or with monotone=. cov_type: how the
    covariance was made. use_t: whether tests are Student's t, and F, and not normal, and chi-square. nobs: the number
    of rows, or the sum of the weights where they count rows. df_model, df_resid: degrees of freedom. scale: the
    variance of an error. llf: the log-likelihood; llnull: that of the model that has an intercept alone. rsquared: of a
    regression by squares; prsquared: its like of others, 1 - llf / llnull of a likelihood (McFadden). why: why there is
    no covariance.
    """

    title: str
    model: str
    target: str
    names: tuple[str, ...]
    params: DoubleArray
    covariance: DoubleArray | None
    cov_type: str
    use_t: bool
    nobs: float
    df_model: float
    df_resid: float
    intercept: bool
    scale: float = 1.0
    llf: float = math.nan
    llnull: float = math.nan
    rsquared: float = math.nan
    prsquared: float = math.nan
    method: str = ""
    equations: tuple[str, ...] = ("",)
    why: str = ""
    notes: tuple[str, ...] = ()
    ratios: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def cov_params(self) -> DoubleArray:
        """The covariance of the coefficients. ValueError where there is none."""
        if self.covariance is None:
            raise ValueError(f"there are no standard errors: {self.why}")
        return self.covariance

    @cached_property
    def bse(self) -> DoubleArray:
        """The standard errors, of the shape of ``params``; NaN where there are none."""
        if self.covariance is None:
            return np.full(self.params.shape, np.nan)
        with np.errstate(invalid="ignore"):
            return np.sqrt(self.covariance.diagonal()).reshape(self.params.shape, order="F")

    @cached_property
    def tvalues(self) -> DoubleArray:
        """The coefficients over their standard errors: t, or z where the tests are normal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.params / self.bse

    @property
    def _degrees(self) -> float | None:
        return self.df_resid if self.use_t else None

    @cached_property
    def pvalues(self) -> DoubleArray:
        """The probability of a larger ``tvalues``, of either sign, where the coefficient is 0."""
        return two_sided(self.tvalues, self._degrees)

    def conf_int(self, alpha: float = 0.05) -> DoubleArray:
        """Intervals that hold the coefficients with a probability of 1 - alpha: (..., 2), low and high."""
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}; 0.05 gives intervals of 95 %")
        away = quantile(1 - alpha / 2, self._degrees) * self.bse
        return np.stack([self.params - away, self.params + away], axis=-1)

    def ratio_table(self, alpha: float = 0.05) -> dict[str, Any]:
        """exp of the coefficients and of their intervals: odds ratios of a logistic model, rate ratios of a Poisson
        one.

        ValueError for a model whose coefficients are no logarithms.
        """
        if not self.ratios:
            raise ValueError(f"the coefficients of {self.model} are no logarithms, so there are no ratios")
        low, high = np.moveaxis(self.conf_int(alpha), -1, 0)
        return {"name": list(self.names), self.ratios: np.exp(self.params), "low": np.exp(low), "high": np.exp(high)}

    # The model as a whole.

    @property
    def rsquared_adj(self) -> float:
        """R2, less what as many columns without any use would give."""
        if self.df_resid <= 0:
            return math.nan
        return 1 - (self.nobs - self.intercept) / self.df_resid * (1 - self.rsquared)

    @property
    def _count(self) -> float:
        return (
            self.df_model + self.intercept * self.params.shape[-1]
            if self.params.ndim > 1
            else self.df_model + self.intercept
        )

    @property
    def aic(self) -> float:
        """Akaike's criterion: -2 llf + 2 coefficients."""
        return -2 * self.llf + 2 * self._count

    @property
    def bic(self) -> float:
        """Schwarz's criterion: -2 llf + log(rows) coefficients."""
        return -2 * self.llf + math.log(self.nobs) * self._count

    @cached_property
    def fvalue(self) -> float:
        """F of the test that all coefficients but the intercept are 0; by Wald, so that it follows ``cov_type``."""
        if self.covariance is None or self.df_model <= 0 or self.params.ndim > 1:
            return math.nan
        places = np.arange(int(self.intercept), len(self.params))
        places = places[np.isfinite(self.bse[places])]
        if len(places) != self.df_model:
            return math.nan
        among = self.covariance[np.ix_(places, places)]
        size = np.sqrt(among.diagonal())
        away = self.params[places] / size
        return float(away @ np.linalg.solve(among / np.outer(size, size), away) / len(places))

    @property
    def f_pvalue(self) -> float:
        """The probability of a larger F."""
        return beyond_f(self.fvalue, self.df_model, self.df_resid)

    @property
    def llr(self) -> float:
        """The likelihood-ratio statistic against the intercept alone: 2 (llf - llnull)."""
        return 2 * (self.llf - self.llnull)

    @property
    def llr_pvalue(self) -> float:
        """The probability of a larger ``llr``, by chi-square."""
        return beyond_chi2(self.llr, self.df_model)

    # Tables.

    def to_dict(self, alpha: float = 0.05) -> dict[str, Any]:
        """The table of coefficients: a list for each column, by the names that stand over them."""
        letter = "t" if self.use_t else "z"
        values = self.params.reshape(len(self.names), -1)
        units = values.shape[1]
        table: dict[str, Any] = {}
        if units > 1:
            table["equation"] = [equation for equation in self.equations for _ in self.names]
        table["name"] = [name for _ in range(units) for name in self.names]
        columns = {"coef": self.params}
        if self.covariance is not None:
            low, high = np.moveaxis(self.conf_int(alpha), -1, 0)
            columns |= {"std err": self.bse, letter: self.tvalues, f"P>|{letter}|": self.pvalues}
            columns |= {f"[{_share(alpha / 2)}": low, f"{_share(1 - alpha / 2)}]": high}
        for name, column in columns.items():
            table[name] = column.reshape(len(self.names), -1).ravel(order="F").tolist()
        return table

    def to_frame(self, alpha: float = 0.05) -> Any:
        """The table of coefficients as pandas's DataFrame, with their names as its index. ImportError without
        pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('a frame needs pandas: pip install "fastnn[pandas]"; to_dict() needs nothing') from error
        frame = pandas.DataFrame(self.to_dict(alpha))
        return frame.set_index([name for name in ("equation", "name") if name in frame])

    def summary(self, alpha: float = 0.05) -> Summary:
        """The tables as a text, in the form that statsmodels's users know."""
        return Summary(text_of(self, alpha))


def _share(share: float) -> str:
    return f"{share:.3f}".rstrip("0") if round(share, 3) != round(share, 1) else f"{share:.1f}"

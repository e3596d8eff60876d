"""Quantile regression: exact, of rows that need not be held."""

from __future__ import annotations

import math
from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np

from fastnn._checks import as_flag, as_number
from fastnn.data.statistics import Quantiles
from fastnn.linear.base import LinearModel
from fastnn.linear.design import Design, Moments, moments_of
from fastnn.linear.inference import Inference
from fastnn.linear.interior import check_loss, least_absolute
from fastnn.linear.regression import CONSTRAINED
from fastnn.linear.rows import Rows
from fastnn.linear.solvers import inverse_of
from fastnn.typing import Array, DoubleArray

_HELD = 2**23  # numbers of rows that are held at a time, at most, in the first look at some of them
_TRIES = 20


class _Chosen(NamedTuple):
    """Some rows, as columns and targets times their weights; what the others add to the slopes, above and below the
    fit.
    """

    z: DoubleArray
    y: DoubleArray
    above: DoubleArray
    below: DoubleArray


class QuantileRegression(LinearModel):
    """Linear regression of a quantile: with 0.9, the number that nine in ten stay below.

    quantile: which one, between 0 and 1; 0.5 is the median. fit_intercept, monotone: as ``LinearRegression``. There is
    no penalty. Standard errors are those of statsmodels's QuantReg: robust, the density at the quantile by
    Epanechnikov's kernel and the bandwidth of Hall and Sheather; there are none with sample_weight or monotone=. After
    ``fit``: as ``LinearRegression``.

    Exact, in a few passes: every so manieth row is solved first, by an interior point method; then only rows near that
    fit are held, since of the others it is known on which side of it they are; until no row changes its side. Source:
    Portnoy and Koenker 1997.
    """

    def __init__(self, quantile: float = 0.5, *, fit_intercept: bool = True, monotone: Any = None) -> None:
        self.quantile = quantile
        self.fit_intercept = fit_intercept
        self.monotone = monotone

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit. x, y, sample_weight: as ``LinearRegression.fit``."""
        intercept = as_flag("fit_intercept", self.fit_intercept)
        share = as_number("quantile", self.quantile)
        if not 0 < share < 1:
            raise ValueError(f"quantile must lie between 0 and 1, got {self.quantile!r}")
        rows = self._given(x, y, sample_weight)
        signs = self._signs()
        moments = moments_of(rows, intercept)
        design = Design(moments, self._names, intercept)
        design.warn(3)
        found = _solved(rows, design, moments, share)
        held: set[int] = set()
        while wrong := _against(found, design, signs) - held:
            # What is held at 0 is left out; the least then may want others to be 0, never these back by much.
            held |= wrong
            kept = np.array([place for place in design.kept.tolist() if place not in held], np.intp)
            design = _without(design, kept)
            found = _solved(rows, design, moments, share)
        coef, constant = design.solution(found[:, None])
        self.coef_, self.intercept_ = coef[:, 0], float(constant[0])
        self.results_ = self._inference(rows, design, found, share, bool(signs.any()) or moments.log_weights != 0)
        return self

    def _network_loss(self) -> Any:
        from fastnn.losses import Pinball

        return Pinball(float(self.quantile))

    def predict(self, x: Any) -> DoubleArray:
        """The quantile for each row, (rows,), float64."""
        return self._linear(x)[:, 0]

    def _inference(self, rows: Rows, design: Design, found: DoubleArray, share: float, without: bool) -> Inference:
        moments, lead = design.moments, int(design.intercept)
        residuals, targets = Quantiles(2**15), Quantiles(2**15)
        loss = 0.0
        for block in rows:
            e = block.y - design.of(block) @ found
            loss += check_loss(e, share, block.weight)
            present = slice(None) if block.weight is None else block.weight > 0
            residuals.add(e[present])
            targets.add(block.y[present])
        middle = float(targets.at([share])[0])
        null = sum(check_loss(block.y - middle, share, block.weight) for block in rows)
        low, high = residuals.at([0.25, 0.75])
        covariance, extra = None, {"Quantile": share}
        if not without:
            spread = float(np.sqrt(moments.products[-1, -1] / moments.rows)) if lead else _spread(rows, moments)
            width = min(spread, float(high - low) / 1.34) * _bandwidth(moments.rows, share)
            covariance, density = _covariance(rows, design, found, share, width)
            extra |= {"Bandwidth": width, "Sparsity": 1 / density if density > 0 else math.nan}
        return Inference(
            title="QuantReg Regression Results",
            model="QuantReg",
            target=self._target,
            names=(*(["const"] * lead), *self._names),
            params=np.array([*([self.intercept_] * lead), *self.coef_]),
            covariance=covariance,
            cov_type="robust",
            use_t=True,
            nobs=moments.rows,
            df_model=len(design.kept),
            df_resid=moments.rows - design.width,
            intercept=design.intercept,
            prsquared=1 - loss / null if null > 0 else math.nan,
            method="Least Absolute",
            extra=extra,
            why=CONSTRAINED if self._signs().any() else "they are for rows that all weigh the same" if without else "",
        )


def _solved(rows: Rows, design: Design, moments: Moments, share: float) -> DoubleArray:
    """The least of the check loss over all rows, for the columns of a design."""
    count, width = moments.rows, design.width
    if not width:
        return np.zeros(0)
    sample = min(count, max(20 * width, 4096, round((count * width) ** (2 / 3))), max(20 * width, _HELD // width))
    none = np.zeros(width)
    stride = count / sample
    if stride <= 1:
        z, y = _collected(rows, design, lambda first, e, here: np.ones(here, bool), none)[:2]
        return least_absolute(z, y, share, none, none)
    # Every so manieth row: the order of the rows may mean something, so not the first ones.
    z, y = _collected(rows, design, lambda first, e, here: _strided(first, here, stride), none)[:2]
    found = least_absolute(z, y, share, none, none)
    # Of the sample's rows, those that are as near to the fit as it may be wrong by, and as much again.
    near = min(1.0, 8 * math.sqrt(share * (1 - share) * width / sample) + 10 * width / sample)
    band = float(np.quantile(np.abs(y - z @ found), near))
    for _ in range(_TRIES):
        centre = found
        chosen = _collected(rows, design, partial(_near, band), centre)
        found = least_absolute(chosen.z, chosen.y, share, chosen.above, chosen.below)
        if not _crossed(rows, design, centre, found, band):
            return found
        band *= 1.5
    raise RuntimeError("QuantileRegression: rows go on changing sides of the fit; scale the columns to similar sizes")


def _near(band: float, first: int, e: DoubleArray, here: int) -> Array:
    chosen: Array = np.abs(e) <= band
    return chosen


def _strided(first: int, here: int, stride: float) -> Array:
    numbers = np.arange(first, first + here + 1)
    parts = np.floor(numbers / stride)
    chosen: Array = parts[1:] != parts[:-1]
    return chosen


def _collected(rows: Rows, design: Design, choose: Any, centre: DoubleArray) -> _Chosen:
    """The rows that `choose` (of the first row's number, residuals and how many) says are to be held."""
    parts_z, parts_y = [np.zeros((0, design.width))], [np.zeros(0)]
    above, below = np.zeros(design.width), np.zeros(design.width)
    for block in rows:
        z = design.of(block)
        e = block.y - z @ centre
        chosen = choose(block.first, e, len(z))
        weight = np.ones(len(z)) if block.weight is None else block.weight
        above += (weight * (~chosen & (e > 0))) @ z
        below += (weight * (~chosen & (e <= 0))) @ z
        chosen &= weight > 0
        parts_z.append(z[chosen] * weight[chosen, None])
        parts_y.append(block.y[chosen] * weight[chosen])
    return _Chosen(np.concatenate(parts_z), np.concatenate(parts_y), above, below)


def _crossed(rows: Rows, design: Design, centre: DoubleArray, found: DoubleArray, band: float) -> bool:
    """Whether a row that was not held is on the other side of the new fit."""
    for block in rows:
        z = design.of(block)
        before, after = block.y - z @ centre, block.y - z @ found
        crossed = (np.abs(before) > band) & ((before > 0) != (after > 0))
        if block.weight is not None:
            crossed &= block.weight > 0
        if crossed.any():
            return True
    return False


def _against(found: DoubleArray, design: Design, signs: Array) -> set[int]:
    """The columns whose coefficients have the wrong sign."""
    own = found[int(design.intercept) :] * signs[design.kept]
    return set(design.kept[own < 0].tolist())


def _without(design: Design, kept: Array) -> Design:
    other = object.__new__(Design)
    vars(other).update(vars(design))
    other.kept = kept
    return other


def _bandwidth(rows: int, share: float) -> float:
    """Hall and Sheather's bandwidth, as a length of a standard normal variable."""
    normal = NormalDist()
    z = normal.inv_cdf(share)
    h = rows ** (-1 / 3) * normal.inv_cdf(0.975) ** (2 / 3) * (1.5 * normal.pdf(z) ** 2 / (2 * z**2 + 1)) ** (1 / 3)
    if not 0 < share - h < share + h < 1:
        return math.nan  # too few rows to say how dense they are there
    return normal.inv_cdf(share + h) - normal.inv_cdf(share - h)


def _spread(rows: Rows, moments: Moments) -> float:
    total = squares = 0.0
    for block in rows:
        total += float(block.y.sum())
        squares += float(block.y @ block.y)
    return math.sqrt(max(squares / moments.rows - (total / moments.rows) ** 2, 0.0))


def _covariance(
    rows: Rows, design: Design, found: DoubleArray, share: float, width: float
) -> tuple[DoubleArray, float]:
    """(the covariance of the coefficients, the density of the residuals at 0). Source: Greene 2008, page 407."""
    total, products = 0.0, np.zeros((design.width, design.width))
    both = np.zeros((2, design.width, design.width))
    count, nothing = 0, 1e-9 * width  # a row that lies on the fit is none above it
    for block in rows:
        z = design.of(block)
        e = block.y - z @ found
        with np.errstate(divide="ignore", invalid="ignore"):
            total += float((0.75 * np.maximum(1 - (e / width) ** 2, 0)).sum())
        count += len(z)
        products += z.T @ z
        for side, chosen in enumerate((e > nothing, e <= nothing)):
            part = z[chosen]
            both[side] += part.T @ part
    density = total / (count * width) if width > 0 else math.nan
    inverse = inverse_of(products)
    if not density > 0:
        return np.full((len(design.names) + int(design.intercept),) * 2, np.nan), 0.0
    middle = both[0] * (share / density) ** 2 + both[1] * ((1 - share) / density) ** 2
    return design.back(inverse @ middle @ inverse), density

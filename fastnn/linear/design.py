"""What a first pass over the rows tells: means, spreads and products of columns; and which columns can be told
apart.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from fastnn.linear.rows import Block, Rows
from fastnn.typing import Array, DoubleArray

# A column is taken for a combination of others where what they do not explain of its spread is below the square root of
# this (R's lm: 1e-7): beyond, float64 has lost the digits that a coefficient would need.
_TOLERANCE = 1e-12


class RankWarning(UserWarning):
    """Columns cannot be told apart: a constant one, one that is a combination of others, or too few rows."""


class Moments(NamedTuple):
    """Of some rows: how many weigh anything, the sum of weights, means of x and y, and centred products of (x, y).

    log_weights: the sum of the logarithms of the weights. constant: which columns hold one number alone.
    """

    rows: int
    weight: float
    mean: DoubleArray
    products: DoubleArray
    log_weights: float
    constant: Array
    scale_y: float


def moments_of(rows: Rows, centred: bool = True) -> Moments:
    """One pass over the rows, block after block, put together as Chan et al. 1983 do: (x, y) side by side.

    centred: products of what is away from the mean, which is what a model with an intercept needs; else means are 0.
    """
    width = rows.features + 1
    count, total, logs = 0, 0.0, 0.0
    mean, products = np.zeros(width), np.zeros((width, width))
    least, most = np.full(width, np.inf), np.full(width, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in rows:
            weight = block.weight
            xy = np.empty((len(block.x), width))
            xy[:, :-1] = block.x
            xy[:, -1] = 0 if block.y is None else block.y
            if weight is not None and not weight.all():
                xy, weight = xy[weight > 0], weight[weight > 0]
            if not len(xy):
                continue
            count += len(xy)
            least, most = np.minimum(least, xy.min(axis=0)), np.maximum(most, xy.max(axis=0))
            here = float(len(xy)) if weight is None else float(weight.sum())
            logs += 0.0 if weight is None else float(np.log(weight).sum())
            if centred:
                middle = xy.mean(axis=0) if weight is None else (weight @ xy) / here
                apart, share = middle - mean, total * here / (total + here)
                xy -= middle
                products += share * np.outer(apart, apart)
                mean += apart * here / (total + here)
            products += xy.T @ xy if weight is None else (xy * weight[:, None]).T @ xy
            total += here
    if not np.isfinite(products).all():
        raise ValueError(
            "x or y holds numbers beyond 1e150, whose squares float64 cannot hold; scale the columns first"
        )
    return Moments(count, total, mean, products, logs, (least == most)[:-1], float(most[-1] - least[-1]))


class Design:
    """Columns as a solver sees them: away from their means, over their spreads, and only those that can be told apart.

    intercept: whether a column of ones stands before them. kept: the places of the columns that are in it. null: (all
    features, how many are not), vectors of coefficients that change no prediction.
    """

    def __init__(self, moments: Moments, names: tuple[str, ...], intercept: bool, whole: bool = False) -> None:
        features = len(names)
        self.moments, self.names, self.intercept = moments, names, intercept
        products = moments.products[:features, :features]
        spread = np.sqrt(products.diagonal() / moments.weight)
        # Rounding leaves a constant column a spread of its last digits.
        none = (moments.constant & intercept) | (spread <= 4e-16 * np.abs(moments.mean[:features]))
        self.mean = moments.mean[:features] if intercept else np.zeros(features)
        self.scale = np.where(none | (spread == 0), 1.0, spread)
        self.gram = products / np.outer(self.scale, self.scale)
        self.gram[none] = 0.0
        self.gram[:, none] = 0.0
        self.dropped: dict[int, list[int]] = {}
        if whole:
            self.kept, self.null = np.arange(features), np.zeros((features, 0))
        else:
            self.kept, self.null = self._independent()

    def _independent(self) -> tuple[Array, DoubleArray]:
        """Which columns to keep: those before which a pivoted Cholesky factorisation finds something new in them."""
        gram, features = self.gram.copy(), len(self.gram)
        size = self.gram.diagonal().copy()
        order = np.arange(features)
        factor = np.zeros((features, features))
        left, rank = size.copy(), features
        first = np.maximum(size, 0)
        for step in range(features):
            # The first of those that are as good as the best: the order of columns decides, not rounding.
            rest = left[step:] / np.where(first[order[step:]] > 0, first[order[step:]], 1.0)
            if not (rest > _TOLERANCE).any():
                rank = step
                break
            best = step + int(np.argmax(rest > 0.5 * rest.max()))
            for array in (order, left):
                array[[step, best]] = array[[best, step]]
            factor[[step, best]] = factor[[best, step]]
            pivot = np.sqrt(left[step])
            factor[step, step] = pivot
            below = gram[order[step + 1 :], order[step]] - factor[step + 1 :, :step] @ factor[step, :step]
            factor[step + 1 :, step] = below / pivot
            left[step + 1 :] -= factor[step + 1 :, step] ** 2
        kept, others = order[:rank], order[rank:]
        null = np.zeros((features, len(others)))
        if len(others):
            combined = (
                np.linalg.solve(factor[:rank, :rank].T, factor[rank:, :rank].T) if rank else np.zeros((0, len(others)))
            )
            null[kept] = -combined / self.scale[kept, None]
            null[others, np.arange(len(others))] = 1 / self.scale[others]
            for place, column in enumerate(others.tolist()):
                strong = np.abs(combined[:, place]) > 1e-6
                self.dropped[column] = sorted(kept[strong].tolist())
        return np.sort(kept), null

    def warn(self, stacklevel: int) -> None:
        """Say which columns cannot be told apart, and what to do, where there are any."""
        if not self.dropped:
            return
        rows, columns = self.moments.rows, len(self.kept) + self.intercept
        if rows <= len(self.names) and rows <= columns:
            text = (
                f"{rows} rows cannot tell {len(self.names)} columns apart: many coefficients fit equally well, and "
                "those of the smallest squares are given; give more rows or fewer columns, or fit Ridge or Lasso"
            )
        else:
            said = [self._said(column, others) for column, others in sorted(self.dropped.items())[:5]]
            more = f" and {len(self.dropped) - 5} more" if len(self.dropped) > 5 else ""
            text = (
                f"the columns cannot all be told apart: {'; '.join(said)}{more}. Predictions are not touched by that; "
                "those coefficients are given that have the smallest squares, without standard errors where they are "
                "not determined. Leave such columns out, or fit Ridge"
            )
        warnings.warn(text, RankWarning, stacklevel=stacklevel)

    def _said(self, column: int, others: list[int]) -> str:
        name = repr(self.names[column])
        if not others:
            return f"{name} is always the same" if self.intercept else f"{name} is always 0"
        listed = ", ".join(repr(self.names[each]) for each in others[:6]) + (", ..." if len(others) > 6 else "")
        return f"{name} follows from {listed}"

    @property
    def width(self) -> int:
        """How many columns a solver sees."""
        return len(self.kept) + int(self.intercept)

    def of(self, block: Block) -> DoubleArray:
        """The columns of a block, (rows, width)."""
        lead = int(self.intercept)
        z = np.empty((len(block.x), self.width))
        if lead:
            z[:, 0] = 1
        x = block.x if len(self.kept) == block.x.shape[1] else block.x[:, self.kept]
        np.subtract(x, self.mean[self.kept], out=z[:, lead:])
        z[:, lead:] *= 1 / self.scale[self.kept]
        return z

    def solution(self, found: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """(coefficients (features, units), intercepts (units,)) of what a solver has found for its columns, (width,
        units).

        Where columns could not be told apart, the coefficients of the smallest squares.
        """
        lead = int(self.intercept)
        coef = np.zeros((len(self.names), found.shape[1]))
        coef[self.kept] = found[lead:] / self.scale[self.kept, None]
        if self.null.shape[1]:
            basis = np.linalg.qr(self.null)[0]
            coef -= basis @ (basis.T @ coef)
        if not lead:
            return coef, np.zeros(found.shape[1])
        return coef, found[0] - self.mean @ coef

    def back(self, covariance: DoubleArray) -> DoubleArray:
        """The covariance of (intercept, coefficients), of that of what a solver has found; NaN where none is
        determined.
        """
        lead, features = int(self.intercept), len(self.names)
        turned = np.zeros((lead + features, self.width))
        turned[lead + self.kept, lead + np.arange(len(self.kept))] = 1 / self.scale[self.kept]
        if lead:
            turned[0, 0] = 1
            turned[0, 1:] = -self.mean[self.kept] / self.scale[self.kept]
        found: DoubleArray = turned @ covariance @ turned.T
        if self.null.shape[1]:
            loose = np.abs(self.null * self.scale[:, None]).max(axis=1) > 1e-6
            if lead and np.abs(self.mean @ self.null).max() > 1e-9 * np.abs(self.mean).max(initial=0):
                found[0] = np.nan
                found[:, 0] = np.nan
            found[lead + np.flatnonzero(loose)] = np.nan
            found[:, lead + np.flatnonzero(loose)] = np.nan
        return found

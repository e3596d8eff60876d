"""Covariances of coefficients that hold where errors are not alike: White's, and by groups of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.typing import Array, DoubleArray

COVARIANCES = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster")
OF_LIKELIHOODS = ("nonrobust", "HC0", "cluster")


def check_covariance(kind: Any, known: tuple[str, ...], groups: Any) -> str:
    """ValueError for a cov_type that is not known, or without the groups that it needs."""
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"unknown cov_type {shown(kind)}{_names.hint(kind, known)}; known: {', '.join(known)}")
    if (kind == "cluster") != (groups is not None):
        raise ValueError(
            'cov_type="cluster" and groups belong together: fit(x, y, groups=...) gives the group of each row, and '
            f"cov_type is {kind!r}"
        )
    return kind


class Scores:
    """Sums up what each row does to the slopes, for a covariance of ``kind``. Source: MacKinnon and White 1985.

    inverse: of the second derivatives. groups: the number of each row's group, for "cluster".
    """

    def __init__(self, kind: str, inverse: DoubleArray, groups: Array | None) -> None:
        self.kind, self.inverse, self._groups = kind, inverse, groups
        width = len(inverse)
        self._seen = 0  # rows
        self._count = 0 if groups is None else int(groups.max()) + 1
        self._sums = np.zeros((self._count, width))
        self._meat = np.zeros((width, width))

    def add(self, z: DoubleArray, residual: DoubleArray, weight: DoubleArray | None, first: int) -> None:
        """z: (rows, columns). residual: (rows,), times the weights. first: the number of the first row."""
        if self.kind == "nonrobust":
            return
        if self.kind in ("HC2", "HC3"):
            leverage = np.einsum("ij,jk,ik->i", z, self.inverse, z, optimize=True)
            leverage = leverage if weight is None else leverage * weight
            free = np.maximum(1 - leverage, 1e-12)
            residual = residual / (free if self.kind == "HC3" else np.sqrt(free))
        self.add_scores(z * residual[:, None], first)

    def add_scores(self, scores: DoubleArray, first: int) -> None:
        """scores: (rows, coefficients), what each row adds to the slopes."""
        if self.kind == "cluster":
            assert self._groups is not None
            self._seen = first + len(scores)
            if self._seen > len(self._groups):
                raise ValueError(f"groups has {len(self._groups)} entries, and there are more rows; give one for each")
            np.add.at(self._sums, self._groups[first : first + len(scores)], scores)
        elif self.kind != "nonrobust":
            self._meat += scores.T @ scores

    def covariance(self, rows: float, coefficients: int) -> DoubleArray:
        """The covariance, with the corrections for few rows that statsmodels makes."""
        meat = self._meat
        if self._groups is not None:
            if self._seen != len(self._groups):
                raise ValueError(f"groups has {len(self._groups)} entries for {self._seen} rows; give one for each")
            meat = self._sums.T @ self._sums
            meat = meat * (self._count / (self._count - 1) * (rows - 1) / (rows - coefficients))
        elif self.kind == "HC1":
            meat = meat * (rows / (rows - coefficients))
        return np.asarray(self.inverse @ meat @ self.inverse)

"""What the models of coefficients share: coefficients, signs, the network that they are, tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.layers import Dense, Input
from fastnn.linear.estimator import Estimator
from fastnn.linear.inference import Inference
from fastnn.linear.rows import Rows
from fastnn.linear.summary import Summary
from fastnn.models import Sequential
from fastnn.typing import Array, DoubleArray


class LinearModel(Estimator):
    """The base of the models that are coefficients and an intercept."""

    activation: ClassVar[str] = "linear"
    loss: ClassVar[str] = "mean_squared_error"
    coef_: Any
    intercept_: Any
    results_: Inference
    fit_intercept: bool
    monotone: Any

    def _signs(self) -> Array:
        """The sign that each coefficient is to have; 0 for any."""
        return signs_of(self.monotone, self._names)

    @property
    def model_(self) -> Sequential:
        """The fitted model as a network of one Dense layer, whose weights are the coefficients, as float32.

        It is made anew each time it is asked for: to save, to predict with in SQL, to put into a larger one.
        """
        self._check_fitted()
        kernel = np.atleast_2d(self.coef_).T
        model = Sequential([Input((self.n_features_in_,)), Dense(kernel.shape[1], self.activation)])
        model.set_weights([kernel.astype(np.float32), np.atleast_1d(self.intercept_).astype(np.float32)])
        model.description.columns = tuple(vars(self).get("feature_names_in_", ()))
        model.compile("adam", self._network_loss())
        return model

    def _network_loss(self) -> Any:
        return self.loss

    def _linear(self, x: Any) -> DoubleArray:
        """x · coefficients + intercepts, (rows, units), in float64: for each row the same, whatever stands beside
        it.
        """
        return products_of(self._rows(x), np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_))

    def summary(self, alpha: float = 0.05) -> Summary:
        """The tables of the fit, as statsmodels's users know them: ``print(model.summary())``.

        alpha: what an interval leaves out, 0.05 for intervals of 95 %.
        """
        self._check_fitted()
        return self.results_.summary(alpha)

    def summary_frame(self, alpha: float = 0.05) -> Any:
        """The table of coefficients as pandas's DataFrame; ``results_.to_dict()`` is the same without pandas."""
        self._check_fitted()
        return self.results_.to_frame(alpha)


def products_of(rows: Rows, coef: DoubleArray, intercept: DoubleArray) -> DoubleArray:
    """x · coef + intercept, (rows, units)."""
    parts = []
    for block in rows:
        out = np.empty((len(block.x), len(coef)))
        for unit, weights in enumerate(coef):
            # A sum along each row by itself: BLAS would add up a row's products by how many rows there are.
            out[:, unit] = np.add.reduce(block.x * weights, axis=1) + intercept[unit]
        parts.append(out)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def signs_of(monotone: Any, names: tuple[str, ...]) -> Array:
    """monotone= as an array: +1, -1 or 0 for each feature. TypeError, ValueError for what is none.

    monotone: None; a dict by name or place, such as {"income": 1, "age": -1}; or a sequence with one for each feature.
    """
    signs = np.zeros(len(names), np.int64)
    if monotone is None:
        return signs
    if isinstance(monotone, Mapping):
        for name, sign in monotone.items():
            if isinstance(name, str):
                if name not in names:
                    raise ValueError(f"monotone: there is no feature {shown(name)}{_names.hint(name, names)}")
                place = names.index(name)
            elif isinstance(name, (int, np.integer)) and -len(names) <= name < len(names):
                place = int(name)
            else:
                raise ValueError(f"monotone: there is no feature {shown(name)}; it has {len(names)}")
            signs[place] = _sign(sign)
        return signs
    if isinstance(monotone, str) or not hasattr(monotone, "__len__") or len(monotone) != len(names):
        raise ValueError(
            'monotone must be a dict such as {"income": 1, "age": -1}, or a sequence with 1, 0 or -1 for each of '
            f"{len(names)} features, got {shown(monotone)}"
        )
    return np.array([_sign(sign) for sign in monotone], np.int64)


def _sign(sign: Any) -> int:
    if isinstance(sign, bool) or sign not in (-1, 0, 1):
        raise ValueError(f"monotone: expected 1 for rising, -1 for falling or 0 for either, got {shown(sign)}")
    return int(sign)

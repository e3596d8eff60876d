"""Linear models and sums of curves, which explain themselves: coefficients with their errors, odds, shapes.

Solved by passes over the rows of arrays, frames and queries; as networks afterwards.
"""

from fastnn import _names
from fastnn.linear.additive import AdditiveClassifier, AdditiveRegressor
from fastnn.linear.design import RankWarning
from fastnn.linear.generalized import LogisticRegression, PoissonRegression, SeparationWarning
from fastnn.linear.inference import Inference
from fastnn.linear.quantile import QuantileRegression
from fastnn.linear.regression import Lasso, LinearRegression, Ridge

__all__ = [
    "AdditiveClassifier",
    "AdditiveRegressor",
    "Inference",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "PoissonRegression",
    "QuantileRegression",
    "RankWarning",
    "Ridge",
    "SeparationWarning",
]
_names.offer(globals())

"""Simple models that explain themselves."""

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

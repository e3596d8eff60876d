"""How sure a network is: probabilities that hold, intervals and sets of a coverage, ensembles, Monte-Carlo dropout."""

from __future__ import annotations

from fastnn import _names
from fastnn.uncertainty.conformal import ConformalClassifier, ConformalRegressor
from fastnn.uncertainty.dropout import MonteCarloDropout
from fastnn.uncertainty.ensembles import Ensemble
from fastnn.uncertainty.temperature import TemperatureScaling, expected_calibration_error

__all__ = [
    "ConformalClassifier",
    "ConformalRegressor",
    "Ensemble",
    "MonteCarloDropout",
    "TemperatureScaling",
    "expected_calibration_error",
]

_names.offer(globals())

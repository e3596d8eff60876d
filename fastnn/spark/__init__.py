"""Spark: predictions of data frames, and estimators of its pipelines that train in a barrier stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.spark.estimators import (
        FastNNClassificationModel,
        FastNNClassifier,
        FastNNRegressionModel,
        FastNNRegressor,
    )
    from fastnn.spark.predicting import predict

__all__ = ["FastNNClassificationModel", "FastNNClassifier", "FastNNRegressionModel", "FastNNRegressor", "predict"]

_LATER = {name: "predicting" if name == "predict" else "estimators" for name in __all__}
__getattr__ = _names.later(__name__, _LATER, __all__)

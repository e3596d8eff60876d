"""Pictures of data, models and what they give.

Each function draws on `ax`, or on new Axes where there is none, and gives the Axes; none shows. Colours are told apart
by colour-blind people, and a new figure is readable 80 mm wide. matplotlib, which they need, is imported when one is
drawn: ``pip install "fastnn[plot]"``.
"""

from __future__ import annotations

from fastnn import _names
from fastnn.plot.classes import (
    calibration_curve,
    confusion_matrix,
    lift_curve,
    precision_recall_curve,
    roc_curve,
)
from fastnn.plot.data import correlation, embedding, predicted_against_true, residuals
from fastnn.plot.epochs import gradient_norms, history, plot_history
from fastnn.plot.inputs import attention_map, decision_surface, saliency
from fastnn.plot.settings import learning_curve, partial_dependence, search_results, validation_curve
from fastnn.plot.within import activation_histograms, gradient_histograms, weight_heatmap, weight_histograms

__all__ = [
    "activation_histograms",
    "attention_map",
    "calibration_curve",
    "confusion_matrix",
    "correlation",
    "decision_surface",
    "embedding",
    "gradient_histograms",
    "gradient_norms",
    "history",
    "learning_curve",
    "lift_curve",
    "partial_dependence",
    "plot_history",
    "precision_recall_curve",
    "predicted_against_true",
    "residuals",
    "roc_curve",
    "saliency",
    "search_results",
    "validation_curve",
    "weight_heatmap",
    "weight_histograms",
]

_names.offer(globals())

"""Why a network says what it says: what each feature of a row adds to an output."""

from __future__ import annotations

from fastnn import _names
from fastnn.explain.counterfactual import Counterfactuals, counterfactual
from fastnn.explain.gradients import expected_gradients, input_x_gradient, integrated_gradients, smooth_grad
from fastnn.explain.importance import Importances, PartialDependence, partial_dependence, permutation_importance
from fastnn.explain.lime import lime
from fastnn.explain.occlusion import occlusion
from fastnn.explain.result import Explanation, load
from fastnn.explain.shapley import exact_shapley, kernel_shap, permutation_shap
from fastnn.explain.sql import explain_sql
from fastnn.explain.surrogates import Surrogate, surrogate

__all__ = [
    "Counterfactuals",
    "Explanation",
    "Importances",
    "PartialDependence",
    "Surrogate",
    "counterfactual",
    "exact_shapley",
    "expected_gradients",
    "explain_sql",
    "input_x_gradient",
    "integrated_gradients",
    "kernel_shap",
    "lime",
    "load",
    "occlusion",
    "partial_dependence",
    "permutation_importance",
    "permutation_shap",
    "smooth_grad",
    "surrogate",
]

_names.offer(globals())

"""Why a network says what it says: what each feature of a row adds to an output."""

from __future__ import annotations

from fastnn import _names
from fastnn.explain.counterfactual import Counterfactuals, counterfactual
from fastnn.explain.importance import Importances, PartialDependence, partial_dependence, permutation_importance
from fastnn.explain.lime import lime
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
    "explain_sql",
    "kernel_shap",
    "lime",
    "load",
    "partial_dependence",
    "permutation_importance",
    "permutation_shap",
    "surrogate",
]

_names.offer(globals())

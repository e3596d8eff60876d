"""Explanations of a request's rows, as an extension of the protocol: what each number adds to an output."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import explain
from fastnn._checks import shown

from .drift import typical
from .protocol import RequestError, Tensor

if TYPE_CHECKING:
    from .protocol import Request
    from .served import Outputs, Served

FEW = 8  # features up to which all coalitions are worked out


def shapley(model: Any, x: Any, output: Any) -> explain.Explanation:
    """Shapley values beside the typical row of what the model was trained on."""
    if sum(prod(tensor.row) for tensor in model.inputs) <= FEW:
        return explain.exact_shapley(model, x, typical(model), output=output)
    return explain.permutation_shap(model, x, typical(model), output=output, random_state=0)


METHODS: dict[str, Any] = {
    "integrated_gradients": explain.integrated_gradients,
    "input_x_gradient": explain.input_x_gradient,
    "occlusion": explain.occlusion,
    "shapley": shapley,
}


def explained(served: Served, request: Request) -> tuple[Outputs, dict[str, Any]]:
    """Tensors of values, one for each input, and base_values; what there is to know beside them.

    parameters of the request: "method", one of METHODS; "output", the name or the number of a unit, else all.
    """
    usual = "integrated_gradients" if served.model.description.front is None else "shapley"
    method = request.parameters.get("method", usual)
    if not isinstance(method, str) or method not in METHODS:
        raise RequestError(f"parameters.method must be one of {', '.join(METHODS)}, got {shown(method)}")
    output = request.parameters.get("output")
    if output is not None and (isinstance(output, bool) or not isinstance(output, (str, int))):
        raise RequestError(f"parameters.output must be a string or a whole number, got {shown(output)}")
    try:
        found = METHODS[method](served.model, served.rows_of(request.tensors), output=output)
    except RequestError:
        raise
    except (ValueError, TypeError, FloatingPointError) as error:
        raise RequestError(f"explain: {error}") from None
    values = found.values if isinstance(found.values, list) else [found.values]
    named = [*zip([each.name for each in served.inputs], values, strict=True), ("base_values", found.base_values)]
    arrays = [(name, np.ascontiguousarray(array, np.float32)) for name, array in named]
    tensors = [(Tensor(name, "FP32", array.shape[1:]), array) for name, array in arrays]
    names = {"feature_names": list(found.feature_names), "output_names": list(found.output_names)}
    return tensors, {"method": method, **{name: each for name, each in names.items() if each}}

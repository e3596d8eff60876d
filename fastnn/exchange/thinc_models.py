"""thinc's chains of dense layers as models, and back: ``from_thinc``, ``to_thinc``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import activations as A, layers as L, ops
from fastnn._checks import shown
from fastnn.exchange.array_graph import chain_of, graph_of
from fastnn.models import Model

# A dense layer's name in thinc, and its activation here.
UNITS: dict[str, A.Activation] = {
    "linear": A.Linear(),
    "relu": A.ReLU(),
    "softmax": A.Softmax(),
    "gelu": A.GELU(),
    "mish": A.Mish(),
    "swish": A.SiLU(),
    "sigmoid": A.Sigmoid(),
    "hardswishmobilenet": A.HardSiLU(),
}
OUT = {"linear": "Linear", "relu": "Relu", "softmax": "Softmax", "gelu": "Gelu", "mish": "Mish", "swish": "Swish"}
OUT |= {"sigmoid": "Sigmoid", "hardswishmobilenet": "HardSwishMobilenet"}
EPSILON = 1e-8  # of thinc's LayerNorm
ADVICE = "export it with PyTorch, or build that part with fastnn"


def from_thinc(model: Any, input_shape: Any = None) -> Model:
    """The model that an initialised model of thinc is, with its weights: rows of one axis go in.

    Read are Linear, Relu, Softmax, Gelu, Mish, Swish, HardSwish, HardSwishMobilenet, Sigmoid, ClippedLinear and its
    kin, Maxout, Dish, LayerNorm, Dropout, Logistic, chain, residual, concatenate, add, noop and with_array.

    input_shape: (features,), where the first layer does not say it. ValueError, with the layer's name, for another
    layer and one that is not initialised; TypeError for what is no model of thinc.
    """
    if not (type(model).__module__.startswith("thinc.") and hasattr(model, "layers")):
        raise TypeError(f"from_thinc: model must be a model of thinc, got {shown(model)}")
    if input_shape is None:
        width = next((each.maybe_get_dim("nI") for each in model.walk() if each.maybe_get_dim("nI")), None)
        if width is None:
            raise ValueError("from_thinc: the model does not say its width; call its initialize, or give input_shape")
        input_shape = (width,)
    first = L.Input(input_shape)
    weights: list[tuple[Any, list[Any]]] = []
    made = Model(first, _read(model, first, weights))
    for layer, arrays in weights:
        layer.set_weights([np.asarray(each, np.float32) for each in arrays])
    return made


def _read(m: Any, x: Any, weights: list[Any]) -> Any:
    """What a model of thinc gives for a tensor."""
    name = m.name
    for param in m.param_names:
        if not m.has_param(param):
            raise ValueError(f"from_thinc: layer {name!r} has no {param!r} yet; call the model's initialize first")
    if ">>" in name or name.startswith("with_array"):
        for part in m.layers:
            x = _read(part, x, weights)
        return x
    if name.startswith("residual"):
        return L.Add()([x, _read(m.layers[0], x, weights)])
    if "|" in name or name == "add":
        given = [_read(part, x, weights) for part in m.layers]
        return L.Add()(given) if name == "add" else L.Concatenate()(given)
    if name == "layernorm":
        return _weighed(L.LayerNormalization(epsilon=EPSILON), x, [m.get_param("G"), m.get_param("b")], weights)
    if name in ("dropout", "noop"):
        rate = m.attrs.get("dropout_rate", 0.0)
        return L.Dropout(rate)(x) if rate else x
    if name == "logistic":
        return L.Activation("sigmoid")(x)
    if name not in (*UNITS, "clipped_linear", "hardswish", "dish", "maxout"):
        raise ValueError(f"from_thinc: the layer {name!r} is not read; {ADVICE}")
    w, b = (np.asarray(m.get_param(each)) for each in ("W", "b"))
    dense = L.Dense(b.size, UNITS.get(name))
    if name == "softmax":
        dense = L.Dense(b.size, "softmax" if m.attrs["softmax_normalize"] else None)
        w, b = (each / (m.attrs["softmax_temperature"] if m.attrs["softmax_normalize"] else 1) for each in (w, b))
    z = _weighed(dense, x, [w.reshape(b.size, -1).T, b.ravel()], weights)
    if name == "maxout":
        return ops.max(L.Reshape(b.shape)(z), axis=-1)
    if name == "clipped_linear":
        a = m.attrs
        return ops.clip(z * a["slope"] + a["offset"], a["min_val"], a["max_val"])
    if name == "hardswish":
        return z * ops.clip(z * 0.2 + 0.5, 0.0, 1.0)
    return 0.5 * z * (z / ops.sqrt(1 + z * z) + 1) if name == "dish" else z


def _weighed(layer: Any, x: Any, arrays: list[Any], weights: list[Any]) -> Any:
    weights.append((layer, arrays))
    return layer(x)


def to_thinc(model: Any) -> Any:
    """The initialised model of thinc that gives what the model does: a chain of its dense layers.

    Layers: Dense with linear, relu, softmax, gelu, mish, silu, sigmoid or hard_silu; LayerNormalization with thinc's
    epsilon, 1e-8; Dropout. TypeError, ValueError, which names the layer, for another; ImportError without thinc.
    """
    try:
        from thinc import api
    except ImportError as error:
        raise ImportError('to_thinc needs thinc: pip install "fastnn[thinc]"') from error
    nodes = chain_of(graph_of(model, "to_thinc"))
    if nodes is None:
        raise ValueError("to_thinc: the model must be layers one after the other, each one once")
    made = [part for node in nodes for part in _given(api, node)]
    if not made:
        raise ValueError("to_thinc: the model has no layer that thinc has")
    return api.chain(*made) if len(made) > 1 else made[0]


def _given(api: Any, node: Any) -> list[Any]:
    layer, row = node.layer, node.values[0].row
    where = f"to_thinc: layer {layer.name!r} ({type(layer).__name__})"
    if len(row) != 1:
        raise ValueError(f"{where} reads rows of shape {row}, and thinc's have one axis; {ADVICE}")
    if isinstance(layer, L.Dropout):
        return [api.Dropout(layer.rate)]
    if isinstance(layer, L.Identity):
        return []
    if isinstance(layer, L.LayerNormalization) and layer.scale and layer.center and layer.epsilon == EPSILON:
        made, arrays = api.LayerNorm(row[0]), layer.get_weights()
        made.set_dim("nO", row[0])
        return [_set(api, made, {"G": arrays[0], "b": arrays[1]})]
    name = next((name for name, unit in UNITS.items() if unit == getattr(layer, "activation", None)), None)
    if not isinstance(layer, L.Dense) or name is None:
        raise ValueError(f"{where} has no equal in thinc: {layer!r}; {ADVICE}")
    kernel, *bias = layer.get_weights()
    made = getattr(api, OUT[name])(layer.units, row[0])
    return [_set(api, made, {"W": kernel.T, "b": bias[0] if bias else np.zeros(layer.units)})]


def _set(api: Any, made: Any, arrays: dict[str, Any]) -> Any:
    for name, array in arrays.items():
        made.set_param(name, made.ops.asarray(np.ascontiguousarray(array, np.float32)))
    return made

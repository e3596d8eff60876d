"""scikit-learn's multi-layer perceptrons as models, and back: ``from_sklearn``, ``to_sklearn``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import activations as A, layers as L
from fastnn._checks import shown
from fastnn.exchange.array_graph import chain_of, graph_of
from fastnn.models import Model, Sequential

UNITS = {"identity": "linear", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu", "softmax": "softmax"}
UNITS |= {"exp": "exponential"}
BACK = {A.Linear: "identity", A.Sigmoid: "logistic", A.Tanh: "tanh", A.ReLU: "relu"}


def from_sklearn(estimator: Any) -> Model:
    """The model that a fitted MLPClassifier, MLPRegressor or Pipeline of scalers and one of them is.

    It gives what predict_proba gives, of two classes the second one's share, or predict of a regressor. Scalers
    (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler) are Normalization layers, so raw rows go in. The model
    keeps the classes, by whose names predictions are written to tables: ``model.description.notes["classes"]``.

    TypeError for another estimator, ValueError for one that is not fitted or a step that is not read, with its name.
    """
    steps = list(getattr(estimator, "steps", [("", estimator)]))
    *before, (_, network) = steps if steps else [("", estimator)]
    kind = type(network)
    if kind.__module__.startswith("fastnn."):
        raise TypeError(f"from_sklearn: {kind.__name__} is fastnn's own; its model is the attribute model_")
    if not (kind.__module__.startswith("sklearn.") and kind.__name__ in ("MLPClassifier", "MLPRegressor")):
        raise TypeError(
            "from_sklearn takes scikit-learn's MLPClassifier, MLPRegressor or a Pipeline that ends in one, got "
            f"{shown(network)}; others go through skl2onnx and fastnn.exchange.from_onnx"
        )
    if not hasattr(network, "coefs_"):
        raise ValueError(f"from_sklearn: the {kind.__name__} is not fitted; call its fit first")
    layers: list[Any] = [L.Input((_features(before, network),))]
    layers += [scaler for name, step in before for scaler in _scaler(name, step)]
    dense = [L.Dense(coefs.shape[1], UNITS[network.activation]) for coefs in network.coefs_[:-1]]
    dense.append(L.Dense(network.coefs_[-1].shape[1], UNITS[network.out_activation_]))
    model = Sequential([*layers, *dense])
    for layer, coefs, intercept in zip(dense, network.coefs_, network.intercepts_, strict=True):
        layer.set_weights([coefs, intercept])
    classes = getattr(network, "classes_", None)
    if classes is not None and (network.n_outputs_ == 1 or network.out_activation_ == "softmax"):
        model.description.notes["classes"] = np.asarray(classes).tolist()
    return model


def _features(before: list[Any], network: Any) -> int:
    return int(getattr(before[0][1], "n_features_in_", network.n_features_in_) if before else network.n_features_in_)


def _scaler(name: str, step: Any) -> list[Any]:
    """A step before the network as layers: x less a centre, divided by a scale."""
    if step is None or step == "passthrough":
        return []
    kind = type(step).__name__
    known = {"StandardScaler": "mean_", "MinMaxScaler": "data_min_", "MaxAbsScaler": "scale_", "RobustScaler": "scale_"}
    if kind not in known or not type(step).__module__.startswith("sklearn."):
        raise ValueError(
            f"from_sklearn: the step {name!r} is a {kind}, which is not read; StandardScaler, MinMaxScaler, "
            "MaxAbsScaler and RobustScaler are. Take it out, or export the pipeline with skl2onnx"
        )
    if not hasattr(step, known[kind]):
        raise ValueError(f"from_sklearn: the step {name!r} ({kind}) is not fitted; call the pipeline's fit first")
    if getattr(step, "clip", False):
        raise ValueError(f"from_sklearn: the step {name!r} ({kind}) has clip=True, which is not read")
    scale = np.ones(step.n_features_in_) if step.scale_ is None else np.asarray(step.scale_, float)
    centre: Any = getattr(step, "mean_", getattr(step, "center_", None))
    centre = None if not getattr(step, "with_mean", True) else centre
    if kind == "MinMaxScaler":  # x * scale + min
        centre, scale = -step.min_ / scale, 1 / scale
    return [L.Normalization(mean=np.zeros_like(scale) if centre is None else centre, variance=scale**2)]


def to_sklearn(model: Any) -> Any:
    """A fitted MLPClassifier or MLPRegressor of scikit-learn that predicts as the model does.

    The model is Dense layers one after the other, behind Normalization and Rescaling layers, with which a Pipeline is
    given. It ends in softmax, or in a sigmoid of one unit, for a classifier, whose classes are those that the model
    knows, else 0, 1, ...; in no activation for a regressor. The layers between have one activation: relu, tanh,
    sigmoid or none. Dropout has no place there. ``partial_fit`` trains on, in scikit-learn's way.

    ValueError, which names the layer, for what scikit-learn's perceptrons have not. ImportError without scikit-learn.
    """
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import LabelBinarizer
    except ImportError as error:
        raise ImportError('to_sklearn needs scikit-learn: pip install "fastnn[sklearn]"') from error
    scalers, weights, units = _chain(model)
    hidden = {type(unit) for unit in units[:-1]}
    hidden_layers = tuple(w.shape[1] for w, _ in weights[:-1])
    activation = BACK[hidden.pop()] if hidden else "relu"
    if hidden:
        raise ValueError("to_sklearn: all layers but the last must have one activation; scikit-learn has one for all")
    outputs, last = weights[-1][0].shape[1], units[-1]
    ends = {A.Softmax: "softmax", A.Sigmoid: "logistic", A.Linear: "identity"}.get(type(last))
    if ends is None or (ends == "logistic" and outputs > 1) or (ends == "softmax" and outputs < 3):
        raise ValueError(
            "to_sklearn: the model must end in softmax (of three classes or more), in a sigmoid of one unit or in no "
            f"activation, got {last!r} of {outputs} unit(s)"
        )
    made = MLPRegressor if ends == "identity" else MLPClassifier
    network: Any = made(hidden_layer_sizes=hidden_layers, activation=activation)
    if ends != "identity":
        classes = model.description.notes.get("classes", range(max(2, outputs)))
        network._label_binarizer = LabelBinarizer().fit(np.array(list(classes)))  # noqa: SLF001
        network.classes_ = network._label_binarizer.classes_  # noqa: SLF001
        if list(network.classes_) != list(classes):
            raise ValueError(f"to_sklearn: scikit-learn has classes in ascending order, got {shown(list(classes))}")
    network.coefs_ = [np.asarray(w, float) for w, _ in weights]
    network.intercepts_ = [np.asarray(b, float) for _, b in weights]
    network.n_features_in_ = len(weights[0][0])
    network.n_layers_, network.n_outputs_, network.out_activation_ = len(weights) + 1, outputs, ends
    network.n_iter_ = network.t_ = network._no_improvement_count = 0  # noqa: SLF001
    network.loss_curve_, network.best_loss_, network.loss_ = [], np.inf, np.inf
    network.validation_scores_ = network.best_validation_score_ = None
    return make_pipeline(*map(_standard, scalers), network) if scalers else network


def _chain(model: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Scalers as (centre, scale), kernels and biases, and activations, of a model of Dense layers."""
    nodes = chain_of(graph_of(model, "to_sklearn"))
    if nodes is None:
        raise ValueError("to_sklearn: the model must be layers one after the other, each one once")
    scalers, weights, units = [], [], []
    for node in nodes:
        layer, row = node.layer, node.values[0].row
        where = f"to_sklearn: layer {layer.name!r} ({type(layer).__name__})"
        if len(row) != 1:
            raise ValueError(f"{where} reads rows of shape {row}, and scikit-learn's have one axis")
        if isinstance(layer, L.Dense):
            kernel, *bias = layer.get_weights()
            weights.append((kernel, bias[0] if bias else np.zeros(layer.units)))
            units.append(layer.activation)
        elif isinstance(layer, (L.Activation, L.ReLU)) and units and type(units[-1]) is A.Linear:
            units[-1] = layer.activation
        elif isinstance(layer, (L.Normalization, L.Rescaling)) and not weights:
            scalers.append(_centred(layer, row[0], where))
        elif not isinstance(layer, (L.Dropout, L.GaussianNoise, L.GaussianDropout, L.AlphaDropout, L.Identity)):
            raise ValueError(f"{where} has no place in a perceptron of scikit-learn's")
    for unit in units[:-1]:
        if type(unit) not in BACK or (isinstance(unit, A.ReLU) and unit != A.relu):
            raise ValueError(f"to_sklearn: the activation {unit!r} must be relu, tanh, sigmoid or none")
    if not weights:
        raise ValueError("to_sklearn: the model has no Dense layer")
    return scalers, weights, units


def _centred(layer: Any, features: int, where: str) -> tuple[Any, Any]:
    """(centre, scale) of a layer that gives (x - centre) / scale."""
    if isinstance(layer, L.Rescaling):
        scale = np.broadcast_to(np.asarray(layer.scale, float), (features,))
        if not scale.all():
            raise ValueError(f"{where} has a scale of 0")
        return -np.asarray(layer.offset) / scale, 1 / scale
    mean, variance = layer.given if layer.given is not None else layer.get_weights()[:2]
    mean, scale = (np.broadcast_to(np.asarray(each, float), (features,)) for each in (mean, np.sqrt(variance)))
    scale = np.maximum(scale, 1e-7)
    return (-mean / scale, 1 / scale) if layer.invert else (mean, scale)


def _standard(pair: tuple[Any, Any]) -> Any:
    """A fitted StandardScaler."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    scaler.mean_, scaler.scale_ = np.array(pair[0], float), np.array(pair[1], float)
    scaler.var_, scaler.n_features_in_, scaler.n_samples_seen_ = scaler.scale_**2, len(scaler.scale_), 1
    return scaler

"""Probabilities that hold: temperature scaling, and how far probabilities are from what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_count
from fastnn.models import check_model, clone_model
from fastnn.models.description import note_alike

from .given import classes_of, probabilities_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LIMITS = 1e-3, 1e3  # of the temperature


class TemperatureScaling:
    """Divides a classifier's logits by the temperature with which rows that no fit has seen are likeliest.

    p = softmax(z / T), or sigmoid(z / T): the largest class stays the largest, T > 1 makes the model less sure. model:
    with a softmax, or one unit with a sigmoid, at its end. Source: Guo et al. 2017.

    temperature_: T. model_: a model with the same layers and T in the weights of the last one, to save, to export and
    to write predictions by; only where the last layer with weights is Dense and gives the logits, else None.
    """

    temperature_: float
    model_: Any

    def __init__(self, model: Any) -> None:
        check_model("TemperatureScaling", model)
        self.model = model

    def fit(self, x: Any, y: Any) -> TemperatureScaling:
        """Find T by rows that no fit has seen. y: numbers of classes, or one-hot rows. ValueError for others."""
        found = probabilities_of("TemperatureScaling", self.model, x)
        labels = classes_of("TemperatureScaling", y, *found.shape)
        place = _last_dense(self.model)
        self._plain = None if place is None else _plain(self.model, place)
        self.temperature_ = _likeliest(self._logits(x), labels)
        self.model_ = None if place is None else _divided(self.model, place, self.temperature_)
        return self

    def predict(self, x: Any) -> NDArray[np.float32]:
        """The probabilities, as the model's `predict` gives them."""
        if not hasattr(self, "temperature_"):
            raise RuntimeError(
                "TemperatureScaling has no temperature yet; call fit(x, y) with rows that no fit has seen"
            )
        scaled = np.asarray(_softmax(self._logits(x) / self.temperature_), np.float32)
        return scaled[:, 1:] if self.model.output_shape[-1] == 1 else scaled

    def _logits(self, x: Any) -> Any:
        """(rows, classes), float64. Probabilities of float32 do not tell those of a model that is very sure."""
        if self._plain is None:
            return np.log(np.maximum(probabilities_of("TemperatureScaling", self.model, x), 1e-30))
        found = self._plain.predict(x).astype(np.float64)
        return np.concatenate([0 * found, found], axis=1) if found.shape[1] == 1 else found


def expected_calibration_error(probabilities: Any, y: Any, bins: int = 15) -> float:
    """sum over bins of (rows in it / rows) * |accuracy in it - mean confidence in it|: 0 to 1.

    probabilities: (rows, classes), or (rows,) of the second of two. Bins of confidence, the largest probability, are of
    equal width. Source: Naeini et al. 2015.
    """
    given = np.asarray(probabilities, np.float64)
    if given.ndim == 1 or (given.ndim == 2 and given.shape[1] == 1):
        given = np.stack([1 - given.reshape(-1), given.reshape(-1)], axis=1)
    labels = classes_of("expected_calibration_error", y, *given.shape)
    confidence, right = given.max(axis=1), given.argmax(axis=1) == labels
    places = np.minimum((confidence * check_count("bins", bins)).astype(int), bins - 1)
    sums = [np.bincount(places, weights, bins) for weights in (right, confidence)]
    return float(np.abs(sums[0] - sums[1]).sum() / len(labels))


def _softmax(z: Any) -> Any:
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def _likeliest(logits: Any, labels: Any) -> float:
    """T of the smallest mean of -log softmax(logits / T)[label], which is convex in 1 / T: by bisecting its slope."""
    rows = np.arange(len(labels))

    def slope(inverse: float) -> float:
        return float(((_softmax(logits * inverse) * logits).sum(axis=1) - logits[rows, labels]).mean())

    low, high = 1 / _LIMITS[1], 1 / _LIMITS[0]
    if slope(low) >= 0:
        return _LIMITS[1]
    if slope(high) <= 0:
        return _LIMITS[0]
    while high / low > 1 + 1e-10:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(1 / low)


def _last_dense(model: Any) -> int | None:
    """The place, among its layers, of the Dense that gives the logits; None where no such layer is at the end."""
    from fastnn.layers import Activation, Dense

    members = list(getattr(model, "layers", ()))
    behind = bool(members) and type(members[-1]) is Activation
    place = len(members) - 1 - behind
    if place < 0 or type(members[place]) is not Dense or len(model.outputs) > 1:
        return None
    ends = [type(member.activation).__name__ for member in members[place:]]
    return place if ends in (["Softmax"], ["Sigmoid"], ["Linear", "Softmax"], ["Linear", "Sigmoid"]) else None


def _plain(model: Any, place: int) -> Any:
    """A copy that gives the logits."""
    members = model.layers[place:]

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        if any(layer is member for member in members):
            config["activation"] = "linear"
        return type(layer).from_config(config)

    plain = clone_model(model, clone_function=copied)
    plain.set_weights(model.get_weights())
    return plain


def _divided(model: Any, place: int, temperature: float) -> Any:
    """A copy whose logits are divided."""
    scaled = clone_model(model)
    scaled.set_weights(model.get_weights())
    layer = scaled.layers[place]
    layer.set_weights([weights / np.float32(temperature) for weights in layer.get_weights()])
    note_alike(scaled.description, model.description)
    return scaled

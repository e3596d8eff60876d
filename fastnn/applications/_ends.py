"""What the architectures have in common: their arguments checked, their last layers, their weights."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

from fastnn import layers
from fastnn._checks import as_flag, check_count, shown
from fastnn.models import Model

POOLING: dict[Any, Any] = {
    "avg": {3: layers.GlobalAveragePooling2D, 2: layers.GlobalAveragePooling1D},
    "max": {3: layers.GlobalMaxPooling2D, 2: layers.GlobalMaxPooling1D},
}


def sizes(who: str, input_shape: Any, *axes: str, least: int = 1) -> tuple[int, ...]:
    """The shape of a row, of as many axes, each but the last at least `least`. ValueError for another."""
    try:
        found = tuple(input_shape)
    except TypeError:
        found = ()
    if len(found) != len(axes):
        raise ValueError(f"{who}: input_shape must be ({', '.join(axes)}), got {shown(input_shape)}")
    lowest = (*[least] * (len(axes) - 1), 1)
    places = zip(found, axes, lowest, strict=True)
    return tuple(check_count(f"{who}: {axis} of input_shape", each, low) for each, axis, low in places)


def ended(who: str, x: Any, y: Any, top: Any, given: dict[str, Any]) -> Model:
    """The model from x to y and, with include_top, through what `top` makes of y to the classes."""
    pooling, weights = given["pooling"], given["weights"]
    if pooling is not None and pooling not in POOLING:
        raise ValueError(f"{who}: pooling must be 'avg', 'max' or None, got {shown(pooling)}")
    if as_flag(f"{who}: include_top", given["include_top"]):
        y = layers.Dense(
            check_count(f"{who}: classes", given["classes"]), given["classifier_activation"], name="predictions"
        )(top(y))
    elif pooling is not None:
        y = POOLING[pooling][len(y.shape) - 1]()(y)
    return weighted(who, Model(x, y, name=given["name"]), weights)


def weighted(who: str, model: Model, weights: Any) -> Model:
    """The model with the weights of a file, where one is named. ValueError for a word, such as "imagenet"."""
    if weights is None:
        return model
    is_word = isinstance(weights, str) and not PurePath(weights).suffix and not os.path.exists(weights)
    if is_word or not isinstance(weights, (str, os.PathLike)):
        raise ValueError(
            f"{who}: weights must be None or the path of a file of weights, got {shown(weights)}; no trained weights "
            "come with an architecture: fastnn.zoo has small trained models, and fastnn.exchange.from_keras takes "
            "Keras's"
        )
    model.load_weights(weights)
    return model

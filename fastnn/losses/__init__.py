"""Losses: how far the network's output is from the target, for each row.

A row's value is the mean over its units (regression, binary) or the sum over its classes (categorical); the loss of a
batch is the sum of weight * value over its rows, divided by the number of rows: Keras's "sum_over_batch_size". Each is
a class, called with (y_true, y_pred, sample_weight), and a function of (y_true, y_pred) that gives the rows' values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn import _names, object_registration
from fastnn._checks import shown as _shown
from fastnn._config import serialize as _serialize
from fastnn._table import check_family as _check_family, own_objects as _own_objects
from fastnn.losses.base import *
from fastnn.losses.base import function_of as _function_of
from fastnn.losses.custom import *
from fastnn.losses.hinge import *
from fastnn.losses.overlap import *
from fastnn.losses.pairs import *
from fastnn.losses.pairs import circle as circle
from fastnn.losses.probabilities import *
from fastnn.losses.regression import *
from fastnn.losses.targets import *

mean_squared_error = _function_of(MeanSquaredError)
mean_absolute_error = _function_of(MeanAbsoluteError)
mean_absolute_percentage_error = _function_of(MeanAbsolutePercentageError)
mean_squared_logarithmic_error = _function_of(MeanSquaredLogarithmicError)
log_cosh = _function_of(LogCosh)
huber = _function_of(Huber)
pinball = _function_of(Pinball)
poisson = _function_of(Poisson)
gaussian_nll = _function_of(GaussianNLL)
cosine_similarity = _function_of(CosineSimilarity)
binary_crossentropy = _function_of(BinaryCrossentropy)
binary_focal_crossentropy = _function_of(BinaryFocalCrossentropy)
categorical_crossentropy = _function_of(CategoricalCrossentropy)
categorical_focal_crossentropy = _function_of(CategoricalFocalCrossentropy)
sparse_categorical_crossentropy = _function_of(SparseCategoricalCrossentropy)
categorical_generalized_cross_entropy = _function_of(CategoricalGeneralizedCrossEntropy)
kl_divergence = _function_of(KLDivergence)
hinge = _function_of(Hinge)
squared_hinge = _function_of(SquaredHinge)
categorical_hinge = _function_of(CategoricalHinge)
dice = _function_of(Dice)
tversky = _function_of(Tversky)


def get(identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What a name stands for, as in Keras: "mse", "mean_squared_error" for the function that gives a value for each
    row, "MeanSquaredError" for the loss, which weighs and reduces them. `compile` takes either.

    A class or a configuration gives a loss; a loss, a function and None stay as they are. custom_objects: functions
    and losses by the names under which they are asked for or were saved. ValueError for an unknown name.
    """
    own = _own_objects(custom_objects)
    identifier = object_registration.own_function(identifier, LOSSES.aliases, own)
    if identifier is None or (callable(identifier) and not isinstance(identifier, type) and not _other(identifier)):
        return identifier
    if isinstance(identifier, dict) and identifier.get("class_name") == "function":
        return LOSSES.from_config(identifier, own)
    loss = as_loss(identifier, custom_objects)
    if not isinstance(identifier, str) or identifier == type(loss).__name__:
        return loss
    known = globals().get(loss.table_name)
    return known if getattr(known, "loss", None) is type(loss) else _function_of(type(loss))


def serialize(loss: Any) -> Any:
    """A loss as Keras writes it down: its class, its configuration; a function by its name."""
    return _serialize(loss)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss or function that ``serialize`` wrote down, or that a name stands for; custom_objects has others."""
    return get(config, custom_objects)


def _other(identifier: Any) -> bool:
    """Whether it is a unit of another family, which can be called too."""
    return getattr(identifier, "table_family", "loss") != "loss"


def as_loss(identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> Loss:
    """The loss that a name, class, instance, configuration, function form, or a Python function (see Custom) means.

    custom_objects as for `get`. ValueError for an unknown name, TypeError for what cannot be one.
    """
    own = _own_objects(custom_objects)
    identifier = object_registration.own_function(identifier, LOSSES.aliases, own)
    if isinstance(identifier, dict):
        if identifier.get("class") == "custom":
            return _custom(identifier, own)
        found = LOSSES.from_config(identifier, own)
        return found if isinstance(found, Loss) else as_loss(found)
    _check_family(identifier, LOSSES.family)
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        cls = getattr(identifier, "loss", None)
        return cls() if isinstance(cls, type) and issubclass(cls, Loss) else Custom(identifier)
    return LOSSES.get(identifier)


def _custom(config: dict[str, Any], own: Mapping[str, Any]) -> Loss:
    name = config.get("name")
    found = object_registration.own_function(name, LOSSES.aliases, own)
    if not callable(found):
        raise ValueError(
            f"loss {_shown(name)} is a Python function, which is not saved with a model; pass it as "
            f"custom_objects={{{_shown(name)}: function}} to load it"
        )
    return found if isinstance(found, Loss) else Custom(found, name=name, reduction=config.get("reduction", "mean"))


__all__ = [*_names.offer(globals()), "EPSILON"]

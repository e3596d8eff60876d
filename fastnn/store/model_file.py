"""A model as a file: the weights as tensors, all else as one JSON text in the metadata.

Data only: a layer, loss or optimizer is named by its entry in the tables, and a file that names another is refused. A
Python function or class of the user's own is named too, and taken from the ``custom_objects`` that loading is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from fastnn._table import plain, unplain
from fastnn.layers import Layer
from fastnn.models import Model, weights
from fastnn.models.built import Built
from fastnn.models.graph import planned
from fastnn.optimizers import OPTIMIZERS
from fastnn.store import safetensors
from fastnn.store.architecture import chosen, describe, restore

FORMAT = "fastnn 2"
WEIGHTS = "fastnn weights 2"
COMPILED = ("loss", "loss_weights", "metrics", "weighted_metrics")  # what a trainer was given

Tensors = dict[str, Any]
Path = str | PathLike[str]


def save(model: Built, path: Path, overwrite: bool) -> None:
    """See ``Model.save``."""
    network = model._built("save")
    _check_free(path, overwrite)
    tensors = _named(model)
    description = {**describe(model), "seed": network.seed}
    trainer = model._trainer
    if trainer is not None:
        steps, slots = trainer.state()
        leaves = model._leaves()
        description["training"] = {
            "optimizer": OPTIMIZERS.config(trainer.optimizer),
            **{name: plain(getattr(trainer, name, None)) for name in COMPILED},
            "iterations": steps,
            "slots": list(slots),
            "frozen": [number for number, layer in enumerate(leaves) if layer in model._frozen],
        }
        for slot, flat in slots.items():
            for name, array in _named(model, flat, f"optimizer/{slot}/").items():
                if name in tensors:
                    raise ValueError(f"two arrays would be called {name!r} in the file; rename a model or layer")
                tensors[name] = array
    safetensors.write(path, tensors, {"format": FORMAT, "model": json.dumps(description, default=_refuse)})


def save_weights(model: Built, path: Path, overwrite: bool) -> None:
    """See ``Model.save_weights``."""
    model._built("save_weights")
    _check_free(path, overwrite)
    safetensors.write(path, _named(model), {"format": WEIGHTS})


def load_weights(model: Built, path: Path) -> None:
    """See ``Model.load_weights``."""
    model._built("load_weights")
    tensors, metadata = safetensors.read(path)
    found = metadata.get("format", "none")
    if found not in (FORMAT, WEIGHTS):
        raise ValueError(f"{os.fspath(path)} is no file of weights: expected format {WEIGHTS!r}, got {found!r}")
    wanted = _named(model)
    extra = sorted(name for name in tensors.keys() - wanted.keys() if not name.startswith("optimizer/"))
    try:
        if extra:
            raise ValueError(f"unexpected weights {', '.join(extra)}")
        _check(wanted, tensors)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} does not fit this model: {error}") from None
    _fill(wanted, tensors)


def load(path: Path, custom: Mapping[str, Any] | None) -> Model:
    """See ``fastnn.models.load_model``."""
    tensors, metadata = safetensors.read(path)
    name = os.fspath(path)
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise ValueError(f"{name} is not a fastnn model: expected format {FORMAT!r}, got {found!r}")
    try:
        return _restored(json.loads(metadata["model"]), tensors, custom)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} does not describe a model that fastnn can make: {error}") from error


def _restored(description: dict[str, Any], tensors: Tensors, custom: Mapping[str, Any] | None) -> Model:
    model, inner = restore(description, custom)
    if model._graph is None:
        raise ValueError("the model has no input shape")
    # Compare the sizes before any memory is taken: the file has proved that it holds what it names.
    parameters = planned(model._drawn()).parameters
    names = _names(model)
    for layer, own in parameters.items():
        for parameter in own:
            name = f"{names[layer]}/{parameter.name}"
            if name not in tensors or tensors[name].shape != parameter.shape:
                came = tensors[name].shape if name in tensors else "nothing"
                raise ValueError(f"weights {name!r} must have shape {parameter.shape}, got {came}")
    model._seed = int(description["seed"])
    model._make()
    for each in inner:
        if each._graph is not None:
            each._make()
    used = _fill(_named(model), tensors)
    training = description.get("training")
    if training is not None:
        used |= _go_on(model, training, tensors, custom)
    unused = sorted(tensors.keys() - used)
    if unused:
        raise ValueError(f"unexpected weights {', '.join(unused)}")
    return model


def _go_on(model: Model, training: Any, tensors: Tensors, custom: Mapping[str, Any] | None) -> set[str]:
    """Compile as it was, and take up the optimizer's state; gives the names of the tensors that were used."""
    steps, leaves = training["iterations"], model._leaves()
    if type(steps) is not int or steps < 0:
        raise ValueError(f"iterations must be a whole number of at least 0, got {steps!r}")
    from fastnn.losses import LOSSES  # a model that is not compiled needs neither
    from fastnn.metrics import METRICS

    families = (LOSSES.family, METRICS.family)
    given = {name: unplain(training[name], custom, families) for name in COMPILED if training[name] is not None}
    model.compile(OPTIMIZERS.from_config(training["optimizer"], custom), **given)
    model._frozen = frozenset(chosen(leaves, number, "layer") for number in training["frozen"])
    trainer = model._compiled("load_model")
    used: set[str] = set()
    dtype = np.float64 if trainer.optimizer.full_batch else np.float32
    slots = {slot: np.zeros(model._network.parameters.size, dtype) for slot in training["slots"]}
    for slot, flat in slots.items():
        used |= _fill(_named(model, flat, f"optimizer/{slot}/"), tensors)
    trainer.go_on(steps, slots)
    return used


def _names(model: Built, prefix: str = "") -> dict[Layer, str]:
    """What each layer's arrays are called: the way to it, by the names of the models that it is in."""
    found: dict[Layer, str] = {}
    for member, name in zip(model._members, model._names, strict=True):
        own = {member: prefix + name} if isinstance(member, Layer) else _names(member, f"{prefix}{name}/")
        found = own | found
    return found


def _named(model: Built, flat: Any = None, prefix: str = "") -> Tensors:
    """The weights, or another flat vector, as named arrays: "dense/kernel", "encoder/dense/kernel", ..."""
    names = _names(model)
    return {
        f"{prefix}{names[layer]}/{parameter.name}": view
        for layer in model._leaves()
        if (place := weights.place_of(layer)) is not None
        for parameter, view in zip(
            place.parameters, place.views(place.store.flat if flat is None else flat), strict=True
        )
    }


def _check(wanted: Tensors, tensors: Tensors) -> None:
    for name, view in wanted.items():
        if name not in tensors or tensors[name].shape != view.shape or tensors[name].dtype != view.dtype:
            came = f"{tensors[name].dtype} {tensors[name].shape}" if name in tensors else "nothing"
            raise ValueError(f"{name!r} must be {view.dtype} {view.shape}, got {came}")


def _fill(wanted: Tensors, tensors: Tensors) -> set[str]:
    """Copy named arrays into views; gives their names. ValueError, and no change, where one does not fit."""
    _check(wanted, tensors)
    for name, view in wanted.items():
        view[...] = tensors[name]
    return set(wanted)


def _check_free(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{os.fspath(path)} exists; pass overwrite=True or another name")


def _refuse(value: object) -> Any:
    raise TypeError(f"a model's fields must be numbers, texts, None and arrays to be saved, got {value!r:.80}")

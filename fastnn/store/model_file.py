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
from fastnn.optimizers import OPTIMIZERS
from fastnn.store import safetensors, tables
from fastnn.store.architecture import Kinds, chosen, describe, make, restore
from fastnn.store.versions import MODEL, WEIGHTS, label, refusal, renamed, upgraded, version_of

COMPILED = ("loss", "loss_weights", "metrics", "weighted_metrics")  # what a trainer was given

Tensors = dict[str, Any]
Path = str | PathLike[str]


def save(model: Any, path: Path, overwrite: bool) -> None:
    """See ``Model.save``; the model is built."""
    built = model.description
    _check_free(path, overwrite)
    tensors = built.arrays()
    description = {**describe(model, tensors), "seed": built.network.seed}
    if built.notes:
        description["notes"] = built.notes
    trainer = built.trainer
    if trainer is not None:
        steps, slots = trainer.state()
        description["training"] = {
            "optimizer": OPTIMIZERS.config(trainer.optimizer),
            **{name: plain(getattr(trainer, name, None)) for name in COMPILED},
            "iterations": steps,
            "slots": list(slots),
            "frozen": [number for number, layer in enumerate(built.layers()) if layer in built.frozen],
        }
        for slot, flat in slots.items():
            for name, array in built.arrays(flat, f"optimizer/{slot}/").items():
                if name in tensors:
                    raise ValueError(f"two arrays would be called {name!r} in the file; rename a model or layer")
                tensors[name] = array
    safetensors.write(path, tensors, {"format": label(MODEL), "model": json.dumps(description, default=_refuse)})


def save_weights(built: Any, path: Path, overwrite: bool) -> None:
    """See ``Model.save_weights``; built: the description of a built model."""
    _check_free(path, overwrite)
    safetensors.write(path, built.arrays(), {"format": label(WEIGHTS)})


def load_weights(built: Any, path: Path) -> None:
    """See ``Model.load_weights``; built: the description of a built model."""
    tensors, metadata = safetensors.read(path)
    if version_of(metadata, MODEL, WEIGHTS) is None:
        raise refusal(os.fspath(path), "no file of weights", metadata, WEIGHTS)
    wanted = built.arrays()
    extra = sorted(
        name for name in tensors.keys() - wanted.keys() if not name.startswith(("optimizer/", tables.PREFIX))
    )
    try:
        if extra:
            raise ValueError(f"unexpected weights {', '.join(extra)}")
        _check(wanted, tensors)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} does not fit this model: {error}") from None
    _fill(wanted, tensors)


def load(path: Path, kinds: Kinds, custom: Mapping[str, Any] | None) -> Any:
    """See ``fastnn.models.load_model``; kinds: the classes of models by the names that a file has for them."""
    tensors, metadata = safetensors.read(path)
    name = os.fspath(path)
    version = version_of(metadata, MODEL)
    if version is None:
        raise refusal(name, "not a fastnn model", metadata, MODEL)
    try:
        described = upgraded(json.loads(metadata["model"]), version)
        return _restored(described, renamed(tensors) if version < 3 else tensors, kinds, custom)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} does not describe a model that fastnn can make: {error}") from error


def _restored(described: dict[str, Any], tensors: Tensors, kinds: Kinds, custom: Mapping[str, Any] | None) -> Any:
    model = restore(described, kinds, custom, tensors)
    built = model.description
    if built.graph is None:
        raise ValueError("the model has no input shape")
    # Compare the sizes before any memory is taken: the file has proved that it holds what it names.
    names = built.paths()
    for layer, own in built.parameters().items():
        for parameter in own:
            name = f"{names[layer]}/{parameter.name}"
            if name not in tensors or tensors[name].shape != parameter.shape:
                came = tensors[name].shape if name in tensors else "nothing"
                raise ValueError(f"weights {name!r} must have shape {parameter.shape}, got {came}")
    built.seed = int(described["seed"])
    built.notes = dict(described.get("notes", {}))
    make(model)
    used = _fill(built.arrays(), tensors) | tables.names(described)
    training = described.get("training")
    if training is not None:
        used |= _go_on(model, training, tensors, custom)
    unused = sorted(tensors.keys() - used)
    if unused:
        raise ValueError(f"unexpected weights {', '.join(unused)}")
    return model


def _go_on(model: Any, training: Any, tensors: Tensors, custom: Mapping[str, Any] | None) -> set[str]:
    """Compile as it was, and take up the optimizer's state; gives the names of the tensors that were used."""
    steps, built = training["iterations"], model.description
    layers = built.layers()
    if type(steps) is not int or steps < 0:
        raise ValueError(f"iterations must be a whole number of at least 0, got {steps!r}")
    from fastnn.losses import LOSSES  # a model that is not compiled needs neither
    from fastnn.metrics import METRICS

    families = (LOSSES.family, METRICS.family)
    given = {name: unplain(training[name], custom, families) for name in COMPILED if training[name] is not None}
    model.compile(OPTIMIZERS.from_config(training["optimizer"], custom), **given)
    built.frozen = frozenset(chosen(layers, number, "layer") for number in training["frozen"])
    trainer = built.trainer
    used: set[str] = set()
    dtype = np.float64 if trainer.optimizer.full_batch else np.float32
    names = training["slots"]
    if names is None:  # the file is older than the list
        names = trainer.slot_names() if steps else ()
    slots = {slot: np.zeros(built.network.parameters.size, dtype) for slot in names}
    for slot, flat in slots.items():
        used |= _fill(built.arrays(flat, f"optimizer/{slot}/"), tensors)
    trainer.go_on(steps, slots)
    return used


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

"""A model as a file: the weights as tensors, all else as one JSON text in the metadata.

Data only: a layer, loss or optimizer is named by its entry in the tables, and a file that names another is refused.
"""

from __future__ import annotations

import json
import os
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.layers import LAYERS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.optimizers import OPTIMIZERS
from fastnn.store import safetensors

if TYPE_CHECKING:
    from fastnn.models import Model, Sequential

FORMAT = "fastnn 1"


def save(model: Model, path: str | PathLike[str], overwrite: bool) -> None:
    """See ``Model.save``."""
    if not model.built:
        raise ValueError("the model has no weights to save yet; give the first layer an input_shape, or call fit first")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{os.fspath(path)} exists; pass overwrite=True or another name")
    tensors = _named(model, model._network.parameters, "")
    description: dict[str, Any] = {
        "name": model.name,
        "input_shape": list(model._shapes[0]),
        "layers": [{**layer.config(), "name": name} for layer, name in zip(model._layers, model._names, strict=True)],
        "seed": model._network.seed,
    }
    trainer = model._trainer
    if trainer is not None:
        description["training"] = {
            "optimizer": OPTIMIZERS.config(trainer.optimizer),
            "loss": LOSSES.config(trainer.loss),
            "metrics": [m if isinstance(m, str) else METRICS.config(METRICS.get(m)) for m in trainer.metrics],
            "iterations": model._network.iterations,
        }
        for slot, flat in zip(trainer.optimizer.slots, model._network.slots, strict=False):
            tensors.update(_named(model, flat, f"optimizer/{slot}/"))
    safetensors.write(path, tensors, {"format": FORMAT, "model": json.dumps(description)})


def load(path: str | PathLike[str], model_class: type[Sequential]) -> Sequential:
    """See ``fastnn.models.load_model``."""
    tensors, metadata = safetensors.read(path)
    name = os.fspath(path)
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise ValueError(f"{name} is not a fastnn model: expected format {FORMAT!r}, got {found!r}")
    try:
        description = json.loads(metadata["model"])
        return _restored(description, tensors, model_class)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{name} does not describe a model that fastnn can make: {error}") from error


def _restored(description: dict[str, Any], tensors: dict[str, Any], model_class: type[Sequential]) -> Sequential:
    model = model_class(name=str(description["name"]))
    for config in description["layers"]:
        model.add(LAYERS.from_config(config))
    shape = tuple(description["input_shape"])
    if model._input_shape is None:
        model._input_shape = shape
    model._check_shapes(model._input_shape)
    # Compare the sizes before any memory is taken: the file has proved that it holds what it names.
    expected = {
        f"{name}/{parameter.name}": parameter.shape
        for layer, name, row in zip(model._layers, model._names, model._shapes, strict=False)
        for parameter in layer.parameters(row)
    }
    for name, wanted in expected.items():
        if name not in tensors or tensors[name].shape != wanted:
            came = tensors[name].shape if name in tensors else "nothing"
            raise ValueError(f"weights {name!r} must have shape {wanted}, got {came}")
    model.build()
    model._network.seed = int(description["seed"])
    used = _fill(model, model._network.parameters, tensors, "")
    training = description.get("training")
    if training is not None:
        model.compile(
            OPTIMIZERS.from_config(training["optimizer"]),
            LOSSES.from_config(training["loss"]),
            [m if isinstance(m, str) else METRICS.from_config(m) for m in training["metrics"]],
        )
        trainer = model._compiled("load_model")
        trainer._settle(model._network)
        if training["iterations"]:
            for slot, flat in zip(trainer.optimizer.slots, model._network.slots, strict=True):
                used |= _fill(model, flat, tensors, f"optimizer/{slot}/")
        model._network.iterations = int(training["iterations"])
    unused = sorted(tensors.keys() - used)
    if unused and not all(name.startswith("optimizer/") for name in unused):
        raise ValueError(f"unexpected weights {', '.join(unused)}")
    return model


def _named(model: Model, flat: Any, prefix: str) -> dict[str, Any]:
    """A flat vector as named arrays: "dense/kernel", "dense/bias", ..."""
    return {
        f"{prefix}{model._names[index]}/{parameter.name}": view
        for index in range(len(model._layers))
        for (_, parameter), view in zip(model._parameters(index), model._views(index, flat), strict=True)
    }


def _fill(model: Model, flat: Any, tensors: dict[str, Any], prefix: str) -> set[str]:
    """Copy named arrays into a flat vector; gives the names that were used."""
    named = _named(model, flat, prefix)
    for name, view in named.items():
        if name not in tensors or tensors[name].shape != view.shape or tensors[name].dtype != np.float32:
            came = f"{tensors[name].dtype} {tensors[name].shape}" if name in tensors else "nothing"
            raise ValueError(f"{name!r} must be float32 {view.shape}, got {came}")
        view[...] = tensors[name]
    return set(named)

"""A model as a file: the weights as tensors, all else as one JSON text in the metadata.

Data only: a layer, loss or optimizer is named by its entry in the tables, and a file that names another is refused.
"""

from __future__ import annotations

import json
import os
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.layers import LAYERS, Input
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.optimizers import OPTIMIZERS
from fastnn.store import safetensors

if TYPE_CHECKING:
    from fastnn.models import Model, Sequential

FORMAT = "fastnn 1"


def save(model: Model, path: str | PathLike[str], overwrite: bool) -> None:
    """See ``Model.save``."""
    network = model._built("save")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{os.fspath(path)} exists; pass overwrite=True or another name")
    tensors = _named(model, network.parameters, "")
    description: dict[str, Any] = {
        "name": model.name,
        "input_shape": list(model._shapes[0]),
        "layers": [{**layer.config(), "name": name} for layer, name in zip(model._layers, model._names, strict=True)],
        "seed": network.seed,
    }
    trainer = model._trainer
    if trainer is not None:
        steps, slots = trainer.state()
        description["training"] = {
            "optimizer": OPTIMIZERS.config(trainer.optimizer),
            "loss": LOSSES.config(trainer.loss),
            "metrics": [m if isinstance(m, str) else METRICS.config(METRICS.get(m)) for m in trainer.metrics],
            "iterations": steps,
        }
        for slot, flat in slots.items():
            tensors.update(_named(model, flat, f"optimizer/{slot}/"))
    text = json.dumps(description, default=_plain_number)
    safetensors.write(path, tensors, {"format": FORMAT, "model": text})


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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} does not describe a model that fastnn can make: {error}") from error


def _restored(description: dict[str, Any], tensors: dict[str, Any], model_class: type[Sequential]) -> Sequential:
    model = model_class(name=str(description["name"]))
    for config in description["layers"]:
        model._append(LAYERS.from_config(config))
    shape = Input(tuple(description["input_shape"])).shape
    if model._input_shape not in (None, shape):
        raise ValueError(f"expected rows of shape {model._input_shape}, as the first layer has it, got {shape}")
    shapes = model._follow(shape)
    # Compare the sizes before any memory is taken: the file has proved that it holds what it names.
    expected = {
        f"{name}/{parameter.name}": parameter.shape
        for layer, name, row in zip(model._layers, model._names, shapes, strict=False)
        for parameter in layer.parameters(row)
    }
    for name, wanted in expected.items():
        if name not in tensors or tensors[name].shape != wanted:
            came = tensors[name].shape if name in tensors else "nothing"
            raise ValueError(f"weights {name!r} must have shape {wanted}, got {came}")
    model._seed = int(description["seed"])
    model.build(shape)
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
        steps = training["iterations"]
        if type(steps) is not int or steps < 0:
            raise ValueError(f"iterations must be a whole number of at least 0, got {steps!r}")
        if steps:
            for slot, flat in trainer.state()[1].items():
                used |= _fill(model, flat, tensors, f"optimizer/{slot}/")
        model._network.iterations = steps
    unused = sorted(tensors.keys() - used)
    if unused:
        raise ValueError(f"unexpected weights {', '.join(unused)}")
    return model


def _plain_number(value: object) -> Any:
    """A NumPy number in a field, as JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a model's fields must be numbers, texts and None to be saved, got {value!r}")


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

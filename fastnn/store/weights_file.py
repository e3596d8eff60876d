"""A model's weights alone as a file: one tensor for each array, in the order of ``Model.get_weights``."""

from __future__ import annotations

import os
from os import PathLike
from typing import TYPE_CHECKING

from fastnn.store import safetensors

if TYPE_CHECKING:
    from fastnn.models import Model

FORMAT = "fastnn weights 1"


def save(model: Model, path: str | PathLike[str], overwrite: bool) -> None:
    """See ``Model.save_weights``."""
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{os.fspath(path)} exists; pass overwrite=True or another name")
    tensors = {f"weights/{number}": array for number, array in enumerate(model.get_weights())}
    safetensors.write(path, tensors, {"format": FORMAT})


def load(model: Model, path: str | PathLike[str]) -> None:
    """See ``Model.load_weights``."""
    tensors, metadata = safetensors.read(path)
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise ValueError(f"{os.fspath(path)} is no file of weights: expected format {FORMAT!r}, got {found!r}")
    try:
        model.set_weights([tensors[f"weights/{number}"] for number in range(len(tensors))])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} does not fit this model: {error}") from error

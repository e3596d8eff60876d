"""A model's weights in a memory map."""

from __future__ import annotations

from os import PathLike
from typing import Any

from fastnn._checks import check_path, shown
from fastnn.models.weights import mapped_to

__all__ = ["map_weights"]


def map_weights(model: Any, filepath: str | PathLike[str], mode: str = "r+") -> bool:
    """Have a model's weights lie in a memory map of a file: of a large Embedding only the rows that are read or trained
    take memory.

    filepath: a .npy file, one vector of float32. Where it is not there it is written from the weights as they are; else
    the model goes on with the weights in it, which are not read for that: a model that was drawn anew must have the
    same layers, in their order. Whether it was there. mode: "r+" writes what is trained to the file, as it is trained,
    so a fit that ends early leaves its last step there; "c" leaves the file as it is, and keeps in memory what changes.
    Models that share layers with this one go on in the map too. Layers with ``"zeros"`` for an initializer take no
    memory till then.

    ValueError where the file is not of this model, or the model is not built; RuntimeError while it runs.
    """
    path = check_path("filepath", filepath)
    if mode not in ("r+", "c"):
        raise ValueError(f"map_weights: mode must be 'r+' or 'c', got {shown(mode)}")
    if model.description.network is None:
        raise ValueError(f"map_weights: model {model.name!r} is not built yet; build or fit it first")
    return mapped_to(model.description, path, mode)

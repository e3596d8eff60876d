"""Keras's files of weights, ``.weights.h5``: read and written with h5py, without Keras."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

from fastnn._checks import as_flag, check_path
from fastnn._output import warn
from fastnn.exchange import keras_h5, keras_optimizer
from fastnn.exchange.keras_layout import Group, groups
from fastnn.store.replacing import replacing


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights, and of a compiled model the optimizer's state, as Keras's ``save_weights`` does.

    The file is replaced whole or not at all. FileExistsError where it exists and overwrite is False; ImportError
    without h5py; ValueError for a model that Keras cannot have.
    """
    path = check_free(filepath, overwrite)
    if path.lower().endswith(".keras"):
        raise ValueError(f"save_weights: {path} would be a whole model's name; call save, or let it end in .weights.h5")
    data = packed(model)
    with replacing(filepath) as file:
        file.write(data)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Take the weights from a file of Keras's ``save_weights``, and the optimizer's state where it is the model's.

    Layers are found as Keras finds them: by class, and their number among those of it. ValueError, and no change, where
    the file has other layers or shapes, or is damaged; skip_mismatch: leave out those layers instead.
    """
    path = check_path("filepath", filepath)
    with (
        open(path, "rb") as file,
        refusing(path, "does not fit this model"),
        keras_h5.opened(_h5_of(path, file), "load_weights") as weights,
    ):
        known = groups(model)
        fitting = [group for group in known if not skip_mismatch or _fits(group, weights)]
        if len(fitting) < len(known):
            left = [group.name for group in known if group not in fitting]
            warn(f"load_weights: {path} has no weights of these shapes for {', '.join(left)}: they stay as they are")
        if not skip_mismatch and (unread := weights.unread(group.path for group in known)):
            raise ValueError(f"it has weights of layers that the model has not: {', '.join(unread[:5])}")
        take(model, fitting, weights, whole=False)


def _h5_of(path: str, file: Any) -> Any:
    """The file of weights: the one that is given, or what a model's file has."""
    if not path.lower().endswith(".keras"):
        return file
    with zipfile.ZipFile(file) as archive:
        return BytesIO(keras_h5.part(archive, keras_h5.IN_ARCHIVE))


def _fits(group: Group, weights: keras_h5.Weights) -> bool:
    try:
        arrays_of(group, weights)
    except ValueError:
        return False
    return True


def arrays_of(group: Group, weights: keras_h5.Weights) -> list[Any]:
    """The arrays of a group, of the shapes that its layer needs. ValueError where the file has others."""
    views = group.views()
    if (count := weights.count(group.path)) != len(views):
        raise ValueError(f"layer {group.name!r} has {len(views)} weights, and the file {count} in {group.path}/vars")
    return [weights.array(group.path, at, view.shape) for at, view in enumerate(views)]


def take(model: Any, known: Sequence[Group], weights: keras_h5.Weights, whole: bool = True) -> None:
    """Give the model what the file has, or raise and change nothing.

    whole: the optimizer's state must fit, where there is one.
    """
    arrays = [array for group in known for array in arrays_of(group, weights)]
    if model.compiled and not model.description.trainer.optimizer.full_batch:
        try:
            keras_optimizer.take_state(model, weights, known)
        except ValueError:
            if whole:
                raise
    with model.description.locked() as held:
        held.assign([view for group in known for view in group.views()], arrays)


def packed(model: Any) -> bytes:
    """The weights and the optimizer's state as the bytes of a file."""
    with model.description.locked():
        known = groups(model)
        found = [(group.path, group.name, [np.array(view) for view in group.views()]) for group in known]
        if model.compiled:
            found += keras_optimizer.groups_of(model, known)
    return keras_h5.written(found, "save")


def check_free(path: Any, overwrite: bool) -> str:
    """The path as a text. FileExistsError where there is a file that may not be replaced."""
    name = check_path("filepath", path)
    if not as_flag("overwrite", overwrite) and os.path.exists(name):
        raise FileExistsError(f"{name} exists; pass overwrite=True or another name")
    return name


class refusing:
    """``with refusing(path, "..."):`` makes one ValueError, which names the file, of whatever is wrong with it."""

    def __init__(self, path: str, wrong: str) -> None:
        self._begin = f"{path} {wrong}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, (ImportError, MemoryError)):
            return
        said = f"there is no {error!s:.80} where one is expected" if isinstance(error, KeyError) else f"{error!s:.500}"
        raise ValueError(f"{self._begin}: {said}") from error

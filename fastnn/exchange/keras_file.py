"""Keras's files of models, ``.keras``: a zip archive of two JSON texts and a file of weights. Keras is not needed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from fastnn._checks import check_path
from fastnn._table import own_objects
from fastnn._version import __version__
from fastnn.exchange import keras_h5
from fastnn.exchange.keras_config import ours, theirs
from fastnn.exchange.keras_layout import groups
from fastnn.exchange.keras_ops import CALL, KerasOperation
from fastnn.exchange.keras_weights import check_free, packed, refusing, take
from fastnn.models import Model
from fastnn.models.weights import at_most
from fastnn.object_registration import CustomObjectScope
from fastnn.serialization import deserialize_keras_object, serialize_keras_object
from fastnn.store.replacing import replacing
from fastnn.store.text import check_size, parsed

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
KERAS = "3.15.1"  # whose form this is
MAX_OBJECTS = 2**16  # in the JSON text
MAX_TEXT = 2**25  # bytes of a JSON text
MAX_RATIO = 100  # how many times its bytes in the archive a part may be
SLACK = 2**12  # numbers that a model may have beside those of the file


def save(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write a model as Keras does, with what ``compile`` was given and the optimizer's state; Keras loads it.

    The file is replaced whole or not at all. FileExistsError where it exists and overwrite is False; ImportError
    without h5py; ValueError, naming it, for what Keras has not: a layer, loss, metric or optimizer of fastnn's alone or
    of the user's own.
    """
    check_free(filepath, overwrite)
    described = theirs(serialize_keras_object(model))
    described["compile_config"] = _compiled(model)
    data = packed(model)
    parts: dict[str, str | bytes] = {
        METADATA: json.dumps({"keras_version": KERAS, "fastnn_version": __version__}),
        CONFIG: json.dumps(described),
    }
    with replacing(filepath) as file, zipfile.ZipFile(file, "w") as archive:
        for name, part in {**parts, WEIGHTS: data}.items():
            archive.writestr(zipfile.ZipInfo(name), part)


def _compiled(model: Any) -> Any:
    """What ``compile`` was given, with the optimizer as it is now."""
    config = model.get_compile_config()
    return config and theirs({**config, "optimizer": serialize_keras_object(model.optimizer)})


def load(filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model of a file that Keras or fastnn has written, and unless compile is False its training state.

    custom_objects: classes and functions of the user's own by their names. No code of the file is ever run. ValueError,
    naming it, for a Lambda, a class or function that is not known, an operation or dtype that fastnn has not, and where
    the file is damaged; ImportError without h5py.
    """
    path = check_path("filepath", filepath)
    own = own_objects(custom_objects)
    with open(path, "rb") as file, refusing(path, "is no model that fastnn can make"):
        with zipfile.ZipFile(file) as archive:
            described = _text(archive, CONFIG)
            version = str(_text(archive, METADATA).get("keras_version", ""))
            if version[:1] in ("1", "2"):
                raise ValueError(f"it is of Keras {version:.20}; load it with Keras 3 and save it again")
            data = BytesIO(_part(archive, WEIGHTS))
        with keras_h5.opened(data, "load_model") as weights, CustomObjectScope({**own, CALL: KerasOperation}):
            with at_most(weights.size() + SLACK):
                model = deserialize_keras_object(ours({**described, "compile_config": None}))
            if not isinstance(model, Model):
                raise ValueError(f"it describes a {type(model).__name__}, not a model")
            if model.description.graph is None:
                raise ValueError(
                    "the model has no input shape: it was saved before it was built; call it on rows first"
                )
            compiled = described.get("compile_config") if compile else None
            if compiled:
                model.compile_from_config(ours(compiled))
            known = groups(model, described["config"])
            if unread := weights.unread(group.path for group in known):
                raise ValueError(f"it has weights that no layer reads: {', '.join(unread[:5])}")
            take(model, known, weights)
    return model


def _part(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """A part of an archive, whose size is known before it is read."""
    info = archive.getinfo(name)
    limit = MAX_RATIO * info.compress_size + 1024 if most is None else most
    if info.file_size > limit:
        raise ValueError(
            f"{name} would be {info.file_size:,} bytes of {info.compress_size:,}: at most {limit:,} are read"
        )
    with archive.open(info) as part:
        data = part.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ValueError(f"{name} has {len(data):,} bytes in place of {info.file_size:,}")
    return data


def _text(archive: zipfile.ZipFile, name: str) -> Any:
    """An object of JSON in an archive."""
    text = _part(archive, name, MAX_TEXT)
    check_size(text, MAX_OBJECTS)
    found = parsed(text.decode())
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be an object, got a {type(found).__name__}")
    return found

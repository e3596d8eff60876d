"""Keras's files of models, ``.keras``: a zip archive of two JSON texts and a file of weights. Keras is not needed.

Its models that are in memory go over by such a file.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import isqrt
from typing import Any

from fastnn import _remote
from fastnn._checks import check_path, shown
from fastnn._table import own_objects
from fastnn._version import __version__
from fastnn.exchange.keras_config import ours, theirs
from fastnn.exchange.keras_layout import groups, snake_case
from fastnn.exchange.keras_ops import CALL, KerasOperation
from fastnn.exchange.keras_weights import IN_ARCHIVE, check_free, opened, packed, part, refusing, take
from fastnn.models import Model, check_model
from fastnn.models.weights import at_most
from fastnn.object_registration import CustomObjectScope
from fastnn.serialization import deserialize_keras_object, serialize_keras_object, sharing
from fastnn.store.model_file import MAX_GATHERED, MAX_THRESHOLDS
from fastnn.store.replacing import replacing
from fastnn.store.text import check_size, parsed

METADATA, CONFIG = "metadata.json", "config.json"
KERAS = "3.15.1"  # whose form this is
MAX_OBJECTS = 2**16  # in the JSON text
MAX_TEXT = 2**25  # bytes of a JSON text
SLACK = 2**12  # numbers that a model may have beside those of the file


def save(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write a model as Keras does, with what ``compile`` was given and the optimizer's state; Keras loads it.

    The file is replaced whole or not at all. FileExistsError where it exists and overwrite is False; ImportError
    without h5py; ValueError, naming it, for what Keras has not: a layer, loss, metric or optimizer of fastnn's alone or
    of the user's own.
    """
    check_free(filepath, overwrite)
    with sharing(keeps_names=True):
        described = theirs(serialize_keras_object(model))
    described["compile_config"] = _compiled(model)
    data = packed(model)
    parts: dict[str, str | bytes] = {
        METADATA: json.dumps({"keras_version": KERAS, "fastnn_version": __version__}),
        CONFIG: json.dumps(described),
    }
    with replacing(filepath) as file, zipfile.ZipFile(file, "w") as archive:
        for name, each in {**parts, IN_ARCHIVE: data}.items():
            archive.writestr(zipfile.ZipInfo(name), each)


def _compiled(model: Any) -> Any:
    """What ``compile`` was given, with the optimizer as it is now."""
    config = model.get_compile_config()
    if config:
        config.pop("matmul_precision", None)  # of which Keras knows nothing
    return config and theirs({**config, "optimizer": serialize_keras_object(model.optimizer)})


def load(filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model of a file that Keras or fastnn has written, and unless compile is False its training state.

    custom_objects: classes and functions of the user's own by their names. No code of the file is ever run. ValueError,
    naming it, for a Lambda, a class or function that is not known, an operation or dtype that fastnn has not, and where
    the file is damaged; ImportError without h5py.
    """
    path = check_path("filepath", filepath)
    own = own_objects(custom_objects)
    with _remote.opened(path) as file, refusing(path, "is no model that fastnn can make"):
        with zipfile.ZipFile(file) as archive:
            described = _text(archive, CONFIG)
            version = str(_text(archive, METADATA).get("keras_version", ""))
            if version[:1] in ("1", "2"):
                raise ValueError(f"it is of Keras {version:.20}; load it with Keras 3 and save it again")
            data = BytesIO(part(archive, IN_ARCHIVE))
            if isinstance(described.get("config"), dict) and "layers" in described["config"]:
                described["config"] = _with_vocabularies(archive, described["config"])
        with opened(data, "load_model") as weights, CustomObjectScope({**own, CALL: KerasOperation}):
            with at_most(weights.size() + SLACK), sharing(keeps_names=True):
                model = deserialize_keras_object(ours({**described, "compile_config": None}))
            if not isinstance(model, Model):
                raise ValueError(f"it describes a {type(model).__name__}, not a model")
            if model.description.graph is None:
                raise ValueError(
                    "the model has no input shape: it was saved before it was built; call it on rows first"
                )
            compiled = described.get("compile_config") if compile else None
            if compiled:
                _check_work(compiled)
                model.compile_from_config(ours(compiled))
            known = groups(model, described["config"])
            if unread := weights.unread(group.path for group in known):
                raise ValueError(f"it has weights that no layer reads: {', '.join(unread[:5])}")
            take(model, known, weights)
    return model


def _check_work(config: Any) -> None:
    """ValueError where a metric would have so much to add up that to make it would take long."""
    if isinstance(config, Mapping):
        for name, most in (("num_thresholds", MAX_THRESHOLDS), ("num_classes", isqrt(MAX_GATHERED))):
            if type(number := config.get(name)) is int and number > most:
                raise ValueError(f"{name} may be at most {most:,} in a file, got {number:,}")
        config = list(config.values())
    for each in config if isinstance(config, list) else ():
        _check_work(each)


def _with_vocabularies(archive: zipfile.ZipFile, config: Any, path: str = "assets/layers") -> Any:
    """A model's configuration, in which layers that learnt words from data have them: Keras keeps these in texts."""
    met: Counter[str] = Counter()
    layers = []
    for entry in config["layers"]:
        name, inner = snake_case(str(entry["class_name"])), entry["config"]
        where = f"{path}/{name}_{met[name]}" if met[name] else f"{path}/{name}"
        met[name] += 1
        text = f"{where}/vocabulary.txt"
        if "layers" in inner:
            inner = _with_vocabularies(archive, inner, f"{where}/layers")
        elif inner.get("vocabulary", "") is None and text in archive.namelist():
            words: list[Any] = part(archive, text, MAX_TEXT).decode().splitlines()
            while words and not words[-1]:
                words.pop()
            inner = {**inner, "vocabulary": words if name != "integer_lookup" else [int(each) for each in words]}
        layers.append({**entry, "config": inner})
    return {**config, "layers": layers}


def _text(archive: zipfile.ZipFile, name: str) -> Any:
    """An object of JSON in an archive."""
    text = part(archive, name, MAX_TEXT)
    check_size(text, MAX_OBJECTS)
    found = parsed(text.decode())
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be an object, got a {type(found).__name__}")
    return found


# Models in memory.


def from_keras(keras_model: Any, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A model of Keras 3, on any backend, as one of fastnn's: layers, weights, what it was compiled with.

    The optimizer's state goes over too, so that training goes on where it was. custom_objects: classes and functions of
    your own by their names, written with fastnn. TypeError for what is no built model of Keras; ValueError, naming it,
    for a layer, operation or dtype that fastnn has not.
    """
    keras = _keras("from_keras")
    if not isinstance(keras_model, keras.Model):
        raise TypeError(f"from_keras takes a model of Keras, got {shown(keras_model)}")
    if not keras_model.built:
        raise ValueError("from_keras: the model is not built; call it on rows first, so that it has weights")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, "model.keras")
        keras_model.save(path)
        return load(path, custom_objects)


def to_keras(model: Model) -> Any:
    """A model of Keras 3 that predicts what this one does and goes on training where it is: the way to GPU and TPU.

    Keras computes with the backend that the environment's KERAS_BACKEND, "jax", "torch" or "tensorflow", has named
    before keras was first imported. TypeError for what is no model, RuntimeError before it is built; ValueError, naming
    it, for what Keras has not.
    """
    check_model("to_keras", model)
    keras = _keras("to_keras")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, "model.keras")
        model.save(path)
        try:
            return keras.saving.load_model(path)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"to_keras: Keras {keras.__version__} does not take the model: {str(error)[-500:]}"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Keras and its backend say of each other's versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _keras(call: str) -> Any:
    try:
        import keras
    except ImportError:
        raise ImportError(f"{call} needs Keras 3 and a backend: pip install keras jax") from None
    return keras

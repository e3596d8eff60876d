"""A file of others in place of a model is named as what it is."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastnn.models import load_model
from fastnn.store.foreign import kind_of
from support.database import connect
from support.scripted import model_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's


def archive(*names: str):
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, b"data")

    return write


def keras_file(suffix: str):
    def write(path: Path) -> None:
        keras = pytest.importorskip("keras")
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(path.with_suffix(suffix))
        path.with_suffix(suffix).rename(path)

    return write


def torch_file(**how):
    def write(path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.save(torch.nn.Linear(2, 1).state_dict(), path, **how)

    return write


def database(path: Path) -> None:
    connection = connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()


def array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


def arrays(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, a=np.ones(3))


FILES = [
    (archive("metadata.json", "config.json", "model.weights.h5"), "a Keras model; load_model reads it"),
    (keras_file(".keras"), "a Keras model; load_model reads it"),
    (keras_file(".h5"), r"an HDF5 file; load_weights reads .*\.weights\.h5"),
    (
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000)),
        r"an HDF5 file; load_weights reads .*\.weights\.h5",
    ),
    (archive("model/data.pkl", "model/version"), "a PyTorch file; make the same layers"),
    (torch_file(), "a PyTorch file"),
    (torch_file(_use_new_zipfile_serialization=False), "a pickle"),
    (archive("a.txt"), "a zip archive"),
    (archive(), "a zip archive"),
    (arrays, r"arrays of NumPy \(\.npz\); read them with numpy\.load"),
    (array, r"an array of NumPy; read it with numpy\.load"),
    *[(lambda path, p=p: path.write_bytes(pickle.dumps([1.0] * 99, p)), "a pickle") for p in (2, 3, 4, 5)],
    (database, "a SQLite database"),
    *[
        (lambda path, module=module: path.write_bytes(module.compress(b"data" * 99)), f"compressed with {name}")
        for module, name in ((gzip, "gzip"), (bz2, "bzip2"), (lzma, "xz"))
    ],
    (lambda path: path.write_text(model_of().to_json()), r"a text that begins as JSON; .*model_from_json"),
    (lambda path: path.write_text(json.dumps({})), "a text that begins as JSON"),
    (lambda path: path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(99)), "an ONNX model"),
    (lambda path: path.write_bytes(b"\x20\0\0\0TFL3" + bytes(99)), "a TensorFlow Lite model"),
]


@pytest.mark.parametrize(("write", "kind"), FILES)
def test_files_of_others(tmp_path, write, kind):
    path = tmp_path / "m"
    write(path)
    for read in (load_model, model_of().load_weights):
        with pytest.raises(ValueError, match=rf"cannot read '.*m': it is {kind}"):
            read(path)


@pytest.mark.parametrize("data", [b"", b"\x80", b"PK\3\4", b"PK", b"\x08", b"not a model", bytes(100)])
def test_files_that_are_nothing(tmp_path, data):
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(ValueError, match=r"cannot read '.*m': "):
        load_model(tmp_path / "m")


def test_a_model_is_never_taken_for_another():
    """Its first eight bytes are a length, and may be any; the ninth opens the header."""
    for start in (
        b"\x89HDF\r\n\x1a\n",
        b"\x80\4\x95\0\0\0\0\0",
        b"PK\3\4\0\0\0\0",
        b"{\0\0\0\0\0\0\0",
        b"\x08\x08\x12\0\0\0\0\0",
    ):
        assert kind_of(start + b"{}") is None

"""Keras's sets: read from files of their form that a test makes, wherever those may lie; and what is said without."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import sys
import tarfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastnn import datasets
from fastnn.datasets import _files, fashion_mnist as of_fashion, mnist as of_mnist

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with nothing in it."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("FASTNN_DATASETS", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(of_fashion, "DEBIAN", tmp_path / "debian")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    return tmp_path


def of_mnist_form(folder: Path, name: str = "mnist.npz") -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"x_train": RNG.integers(0, 255, (6, 28, 28), np.uint8), "y_train": np.arange(6, dtype=np.uint8)}
    arrays |= {"x_test": RNG.integers(0, 255, (2, 28, 28), np.uint8), "y_test": np.arange(2, dtype=np.uint8)}
    np.savez(folder / name, **arrays)
    return arrays


@pytest.mark.parametrize("place", ["environment", "own", "keras", "keras home", "path"])
def test_mnist_wherever_it_lies(place: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: list[Any] = []
    folder = home / "some where"
    if place == "environment":
        monkeypatch.setenv("FASTNN_DATASETS", str(folder))
    elif place == "own":
        folder = home / ".fastnn" / "datasets"
    elif place == "keras":
        folder = home / ".keras" / "datasets"
    elif place == "keras home":
        monkeypatch.setenv("KERAS_HOME", str(home / "k"))
        folder = home / "k" / "datasets"
    else:
        arguments = [folder / "mnist.npz"]
    arrays = of_mnist_form(folder)
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data(*arguments)
    for given, name in ((x_train, "x_train"), (y_train, "y_train"), (x_test, "x_test"), (y_test, "y_test")):
        assert np.array_equal(given, arrays[name])
        assert given.dtype == np.uint8


LOADERS = [
    (datasets.mnist.load_data, "mnist.npz"),
    (datasets.fashion_mnist.load_data, "train-labels-idx1-ubyte.gz"),
    (datasets.imdb.load_data, "imdb.npz"),
    (datasets.imdb.get_word_index, "imdb_word_index.json"),
    (datasets.reuters.load_data, "reuters.npz"),
    (datasets.reuters.get_word_index, "reuters_word_index.json"),
    (datasets.boston_housing.load_data, "boston_housing.npz"),
    (datasets.california_housing.load_data, "california_housing.npz"),
    (datasets.cifar10.load_data, "cifar-10-python.tar.gz"),
    (datasets.cifar100.load_data, "cifar-100-python.tar.gz"),
]


@pytest.mark.parametrize(("load", "name"), LOADERS, ids=[name for _, name in LOADERS])
def test_nothing_is_fetched_unasked(load: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("an address was asked")

    monkeypatch.setattr("urllib.request.urlopen", never)
    with pytest.raises(FileNotFoundError) as caught:
        load()
    text = str(caught.value)
    assert f"{name} is not on this machine" in text
    assert "download=True" in text
    assert f"/{name}" in text.split("https://")[1]
    assert str(Path("~/.fastnn/datasets").expanduser()) in text.split("put it at")[1]


def test_what_is_asked_for_is_fetched_and_checked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = of_mnist_form(home / "source")
    source = home / "source" / "mnist.npz"
    monkeypatch.setattr(of_mnist, "FILE", of_mnist.FILE._replace(address=source.as_uri()))
    with pytest.raises(ValueError, match="its hash is not 731c5ac6"):
        datasets.mnist.load_data(download=True)
    monkeypatch.setattr(of_mnist, "FILE", _files.DataFile("mnist.npz", source.as_uri()))
    (x_train, _), _ = datasets.mnist.load_data(download=True)
    assert np.array_equal(x_train, arrays["x_train"])
    os.remove(source)
    assert np.array_equal(datasets.mnist.load_data()[0][0], x_train)


@pytest.mark.parametrize("folder", ["debian", ".keras/datasets/fashion-mnist", ".fastnn/datasets/fashion-mnist", "own"])
def test_fashion_mnist_wherever_it_lies(folder: str, home: Path) -> None:
    (home / folder).mkdir(parents=True)
    expected = []
    for part, count in (("train", 5), ("t10k", 3)):
        x, y = RNG.integers(0, 255, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8)
        expected.append((x, y))
        for kind, head, array in (("labels-idx1", 8, y), ("images-idx3", 16, x)):
            with gzip.open(home / folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(bytes(head) + array.tobytes())
    given = datasets.fashion_mnist.load_data(*([home / "own"] if folder == "own" else []))
    for (x, y), (to_x, to_y) in zip(given, expected, strict=True):
        assert np.array_equal(x, to_x)
        assert np.array_equal(y, to_y)
    assert datasets.fashion_mnist.get_label_names()[9] == "Ankle boot"
    with gzip.open(home / folder / "train-labels-idx1-ubyte.gz", "wb") as file:
        file.write(bytes(8 + 4))
    with pytest.raises(ValueError, match=r"do not belong together: 4 labels, 5 pictures"):
        datasets.fashion_mnist.load_data(*([home / "own"] if folder == "own" else []))


def lists(count: int) -> Any:
    array = np.empty(count, object)
    array[:] = [RNG.integers(1, 50, RNG.integers(3, 30)).tolist() for _ in range(count)]
    return array


@pytest.fixture
def texts(home: Path) -> Path:
    folder = home / ".keras" / "datasets"
    folder.mkdir(parents=True)
    np.savez(folder / "imdb.npz", x_train=lists(40), y_train=np.arange(40), x_test=lists(20), y_test=np.arange(20))
    np.savez(folder / "reuters.npz", x=lists(50), y=np.arange(50))
    for name in ("imdb", "reuters"):
        (folder / f"{name}_word_index.json").write_text(json.dumps({"the": 1, "été": 2}), encoding="utf-8")
    return folder


def test_texts_are_lists_of_numbers(texts: Path) -> None:
    (x_train, y_train), (x_test, _) = datasets.imdb.load_data(num_words=20, skip_top=5)
    assert (len(x_train), len(x_test)) == (40, 20)
    assert sorted(y_train) == list(range(40))
    numbers = {word for text in [*x_train, *x_test] for word in text[1:]}
    assert numbers == {2, *range(5, 20)}
    assert {text[0] for text in x_train} == {2}  # the sign of the beginning is below skip_top: as in Keras
    (x_train, _), (x_test, _) = datasets.reuters.load_data(start_char=None, oov_char=None, num_words=20, test_split=0.5)
    assert (len(x_train), len(x_test)) == (25, 25)
    assert {word for text in [*x_train, *x_test] for word in text} == set(range(4, 20))
    assert datasets.imdb.get_word_index() == datasets.reuters.get_word_index() == {"the": 1, "été": 2}
    assert len(datasets.reuters.get_label_names()) == 46


def test_long_texts_are_left_out(texts: Path) -> None:
    (x_train, y_train), _ = datasets.imdb.load_data(maxlen=12)
    assert 0 < len(x_train) == len(y_train) < 40
    assert max(map(len, x_train)) == 11
    with pytest.raises(ValueError, match="no text is shorter than maxlen=2"):
        datasets.imdb.load_data(maxlen=2)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


def test_no_code_of_a_file_runs(home: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    evil = np.empty(1, object)
    evil[0] = Evil()
    np.savez(texts / "imdb.npz", x_train=evil, y_train=evil, x_test=evil, y_test=evil)
    with pytest.raises(pickle.UnpicklingError, match=r"Refusing to load \w+.system"):
        datasets.imdb.load_data()
    np.savez(texts / "mnist.npz", x_train=evil, y_train=evil, x_test=evil, y_test=evil)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        datasets.mnist.load_data()
    with pytest.raises(pickle.UnpicklingError, match="Refusing"):
        datasets.cifar10.load_data(_cifar(home, "cifar-10-batches-py", {"else": Evil()}))
    assert not (home / "owned").exists()


def test_a_file_that_is_cut_is_named(texts: Path) -> None:
    path = texts / "imdb.npz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"imdb.npz is no npz file, or is not whole"):
        datasets.imdb.load_data()


def _cifar(home: Path, folder: str, batches: dict[str, Any]) -> Path:
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch", "train", "test"]
    path = home / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            content = pickle.dumps(batches.get(name, batches.get("else", {})), protocol=4)
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("unpacked", [False, True])
def test_cifar_from_its_archive_and_from_a_folder(home: Path, unpacked: bool) -> None:
    pictures = RNG.integers(0, 255, (4, 3072)).astype(np.uint8)
    batch = {b"data": pictures, b"labels": [3, 1, 2, 0], b"fine_labels": [9, 8, 7, 6], b"coarse_labels": [1, 1, 0, 0]}
    for name, folder, load in (
        ("cifar-10-python.tar.gz", "cifar-10-batches-py", datasets.cifar10.load_data),
        ("cifar-100-python.tar.gz", "cifar-100-python", datasets.cifar100.load_data),
    ):
        path = _cifar(home, folder, {"else": batch})
        place = home / ".keras" / "datasets"
        place.mkdir(parents=True, exist_ok=True)
        if unpacked:
            with tarfile.open(path) as archive:
                archive.extractall(place / f"{folder}-target", filter="data")
        else:
            path.rename(place / name)
        (x_train, y_train), (x_test, y_test) = load()
        assert x_train.shape == ((20 if "10-b" in folder else 4), 32, 32, 3)
        assert y_train.shape == (len(x_train), 1)
        assert np.array_equal(x_test[1, :, :, 2], pictures[1, 2048:].reshape(32, 32))
        assert y_test.dtype == np.uint8
        assert y_test.ravel().tolist() == ([3, 1, 2, 0] if "10-b" in folder else [9, 8, 7, 6])
    assert datasets.cifar100.load_data("coarse")[1][1].ravel().tolist() == [1, 1, 0, 0]
    with pytest.raises(ValueError, match="label_mode must be"):
        datasets.cifar100.load_data("rough")


def test_houses(home: Path) -> None:
    folder = home / ".keras" / "datasets"
    folder.mkdir(parents=True)
    for name, rows, columns in (("boston_housing", 506, 13), ("california_housing", 900, 8)):
        x = RNG.normal(size=(rows, columns))
        np.savez(folder / f"{name}.npz", x=x, y=x.sum(axis=1))
    (x_train, y_train), (x_test, y_test) = datasets.boston_housing.load_data()
    assert (len(x_train), len(x_test)) == (404, 102)
    assert np.allclose(x_train.sum(axis=1), y_train)
    assert np.allclose(x_test.sum(axis=1), y_test)
    assert [len(part[0]) for part in datasets.california_housing.load_data("small", test_split=0.5)] == [300, 300]
    assert [len(part[0]) for part in datasets.california_housing.load_data()] == [720, 180]
    with pytest.raises(ValueError, match="version must be"):
        datasets.california_housing.load_data("huge")  # type: ignore[arg-type]
    for load in (datasets.boston_housing.load_data, datasets.california_housing.load_data, datasets.digits.load_data):
        with pytest.raises(ValueError, match="test_split must be 0 or more and below 1"):
            load(test_split=1.0)


@pytest.mark.parametrize("cached", [False, True])
def test_houses_of_california_from_scikit_learn(cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns are made of Keras's, and made back."""
    households = RNG.integers(50, 900, 30).astype(float)
    rooms, bedrooms, people = (np.rint(households * RNG.uniform(1, 6, 30)) for _ in range(3))
    income, age, latitude, longitude = RNG.uniform(1, 50, (4, 30))
    columns = np.stack(
        [income, age, rooms / households, bedrooms / households, people, people / households, latitude, longitude], 1
    )

    def fetch_california_housing(*, return_X_y: bool, download_if_missing: bool) -> Any:
        assert return_X_y
        assert not download_if_missing
        if not cached:
            raise OSError("Data not found and `download_if_missing` is False")
        return columns, np.arange(30) / 10

    module = ModuleType("sklearn.datasets")
    vars(module).update(fetch_california_housing=fetch_california_housing)
    monkeypatch.setitem(sys.modules, "sklearn", SimpleNamespace(datasets=module))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "sklearn.datasets", module)
    if not cached:
        with pytest.raises(FileNotFoundError, match="california_housing"):
            datasets.california_housing.load_data()
        return
    (x, y), (none, _) = datasets.california_housing.load_data(test_split=0)
    expected = np.stack([longitude, latitude, age, rooms, bedrooms, people, households, income], 1)
    order = np.argsort(y)
    assert np.array_equal(x[order], expected.astype(np.float32))
    assert np.allclose(y[order], np.arange(30) * 10_000)
    assert len(none) == 0

"""The same by Keras 3, where it is installed: what fastnn.utils, backend and datasets give on the same arguments."""

from __future__ import annotations

import inspect
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import backend, datasets, utils

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

RNG = np.random.default_rng(0)
# What fastnn names or takes more, and Keras's that it takes as **options.
MORE = {"download"}


@pytest.mark.parametrize(
    "name",
    [
        "get_file",
        "get_registered_name",
        "get_registered_object",
        "model_to_dot",
        "normalize",
        "pack_x_y_sample_weight",
        "pad_sequences",
        "plot_model",
        "register_keras_serializable",
        "set_random_seed",
        "split_dataset",
        "timeseries_dataset_from_array",
        "to_categorical",
        "unpack_x_y_sample_weight",
        "PyDataset",
        "Progbar",
        "CustomObjectScope",
    ],
)
def test_arguments_and_defaults_are_keras(name: str) -> None:
    theirs, ours = (inspect.signature(getattr(module, name)).parameters for module in (keras.utils, utils))
    wanted = {key: each.default for key, each in theirs.items() if each.kind is each.POSITIONAL_OR_KEYWORD}
    wanted.pop("subgraph", None)  # of model_to_dot for itself
    assert list(ours)[: len(wanted)] == list(wanted)
    assert {key: ours[key].default for key in wanted} == wanted


@pytest.mark.parametrize(
    "name",
    ["boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"],
)
def test_datasets_take_keras_arguments(name: str) -> None:
    theirs, ours = (inspect.signature(getattr(module, name).load_data) for module in (keras.datasets, datasets))
    expected = {key: each.default for key, each in theirs.parameters.items() if each.kind is not each.VAR_KEYWORD}
    given = {key: each.default for key, each in ours.parameters.items() if key not in MORE}
    assert {key: given[key] for key in expected} == expected
    assert set(given) - set(expected) <= {"path"}


@pytest.mark.parametrize("shape", [(5,), (5, 1), (3, 4), ()])
@pytest.mark.parametrize("classes", [None, 9])
def test_to_categorical(shape: tuple[int, ...], classes: int | None) -> None:
    x = RNG.integers(0, 7, shape)
    ours, theirs = utils.to_categorical(x, classes), keras.utils.to_categorical(x, classes)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("shape", [(6,), (4, 3), (2, 3, 4)])
def test_normalize(shape: tuple[int, ...], order: float) -> None:
    x = RNG.normal(size=shape)
    x[..., 0] *= x[..., :1].min() > 0
    assert np.allclose(utils.normalize(x, order=order), keras.utils.normalize(x, order=order), rtol=1e-14)
    if x.ndim == 3:
        assert np.allclose(utils.normalize(x, 1), keras.utils.normalize(x, 1), rtol=1e-14)


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("maxlen", [None, 1, 3, 9])
@pytest.mark.parametrize("width", [(), (2,)])
def test_pad_sequences(padding: str, truncating: str, maxlen: int | None, width: tuple[int, ...]) -> None:
    lists = [RNG.integers(0, 9, (length, *width)).tolist() for length in (0, 3, 1, 6, 2)]
    options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": -1, "dtype": "float32"}
    ours, theirs = utils.pad_sequences(lists, **options), keras.utils.pad_sequences(lists, **options)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


class Grain:
    """As much of grain as Keras's windows ask for."""

    class MapDataset:
        @staticmethod
        def source(samples: list[Any]) -> Any:
            return samples

    class experimental:
        @staticmethod
        def ZipMapDataset(parts: list[list[Any]]) -> Any:
            return Lists(list(zip(*parts, strict=True)))


class Lists(list[Any]):
    def to_iter_dataset(self) -> Lists:
        return self


@pytest.mark.parametrize("start", [None, 4])
@pytest.mark.parametrize("end", [None, 31])
@pytest.mark.parametrize("rate", [1, 3])
@pytest.mark.parametrize("stride", [1, 4])
def test_windows(start: int | None, end: int | None, rate: int, stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import timeseries_dataset_utils as theirs

    monkeypatch.setattr(theirs, "grain", Grain)
    data, targets = RNG.normal(size=(40, 2)), np.arange(40)
    options = {"sequence_length": 5, "sequence_stride": stride, "sampling_rate": rate, "batch_size": None}
    options |= {"start_index": start, "end_index": end, "format": "grain"}
    expected = list(theirs.timeseries_dataset_from_array(data, targets, **options))
    ours = list(utils.timeseries_dataset_from_array(data, targets, **options))
    assert len(ours) == len(expected) > 0
    for (x, y), (to_x, to_y) in zip(ours, expected, strict=True):
        assert np.array_equal(x, to_x)
        assert y == to_y


@pytest.mark.parametrize("sizes", [{"left_size": 0.7}, {"right_size": 0.35}, {"left_size": 4, "right_size": 0.25}])
@pytest.mark.parametrize("shuffle", [False, True])
def test_split_dataset(sizes: dict[str, Any], shuffle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's rows, of which it makes datasets of TensorFlow at the end: here they are left as they are."""
    from keras.src.utils import dataset_utils, module_utils

    tensorflow = type("tf", (), {})()
    tensorflow.data = type("data", (), {"AUTOTUNE": 0})()
    tensorflow.data.Dataset = type("Dataset", (), {"from_tensor_slices": staticmethod(lambda rows: Rows(rows))})
    monkeypatch.setattr(module_utils, "tensorflow", tensorflow)
    x, y = RNG.normal(size=(20, 3)), np.arange(20)
    expected = dataset_utils.split_dataset((x, y), **sizes, shuffle=shuffle, seed=5, preferred_backend="tensorflow")
    ours = utils.split_dataset((x, y), **sizes, shuffle=shuffle, seed=5)
    for part, theirs in zip(ours, expected, strict=True):
        rows, labels = theirs.rows
        assert [int(label) for _, label in part] == labels.tolist()
        assert np.array_equal([row for row, _ in part], rows)


class Rows:
    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def prefetch(self, *_: Any) -> Rows:
        return self


def test_result_type() -> None:
    """Keras makes 32 bits of 64 on JAX; what is compared is all else."""
    from keras.src.backend.common.dtypes import result_type

    names = [*sorted(backend.DTYPES - {"string", "complex64", "complex128"}), int, float, None]
    for types in [*itertools.product(names, names), *itertools.product(names, ["uint16", "float16", int], names)]:
        assert backend.result_type(*types).replace("64", "32") == result_type(*types).replace("64", "32"), types


def test_pack_and_unpack() -> None:
    for given in ((1,), ((1, 2),), ([1, 2],), (1, 2), (1, 2, 3), (1, 2, None)):
        packed = utils.pack_x_y_sample_weight(*given)
        assert packed == keras.utils.pack_x_y_sample_weight(*given)
        assert utils.unpack_x_y_sample_weight(packed) == keras.utils.unpack_x_y_sample_weight(packed)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    def lists(count: int) -> Any:
        array = np.empty(count, object)
        array[:] = [RNG.integers(1, 60, RNG.integers(2, 25)).tolist() for _ in range(count)]
        return array

    np.savez(tmp_path / "imdb.npz", x_train=lists(40), y_train=np.arange(40), x_test=lists(20), y_test=np.arange(20))
    np.savez(tmp_path / "reuters.npz", x=lists(50), y=np.arange(50))
    return tmp_path


@pytest.mark.parametrize("name", ["imdb", "reuters"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_words": 30},
        {"num_words": 30, "skip_top": 8, "oov_char": None},
        {"maxlen": 12, "seed": 4},
        {"start_char": None, "index_from": 5},
        {"start_char": None, "index_from": 0, "skip_top": 3},
    ],
)
def test_texts(name: str, options: dict[str, Any], texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = getattr(keras.src.datasets, name)
    monkeypatch.setattr(theirs, "get_file", lambda *_, **__: str(texts / f"{name}.npz"))
    ours = getattr(datasets, name).load_data(texts / f"{name}.npz", **options)
    for (x, y), (to_x, to_y) in zip(ours, theirs.load_data(**options), strict=True):
        assert [list(text) for text in x] == [list(text) for text in to_x]
        assert list(y) == list(to_y)


def test_houses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "h.npz", x=RNG.normal(size=(700, 8)), y=RNG.normal(size=700))
    for name, options in (
        ("boston_housing", {"test_split": 0.3}),
        ("california_housing", {"version": "small", "seed": 1}),
        ("california_housing", {}),
    ):
        theirs = getattr(keras.src.datasets, name)
        monkeypatch.setattr(theirs, "get_file", lambda *_, **__: str(tmp_path / "h.npz"))
        ours = getattr(datasets, name).load_data(path=tmp_path / "h.npz", **options)
        for part, to in zip(ours, theirs.load_data(**options), strict=True):
            assert np.array_equal(part[0], to[0])
            assert np.array_equal(part[1], to[1])


def test_names_of_reuters_topics() -> None:
    assert datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()

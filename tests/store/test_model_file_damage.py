"""Files that are no models, were damaged, or were made to harm: a ValueError that names the file, and nothing else."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from fastnn import losses, metrics
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential, load_model
from fastnn.store import safetensors
from support.cases import data

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SCCE = losses.SparseCategoricalCrossentropy()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fastnn"


def peak() -> int:
    """The most memory that this process has held, in KiB; 0 where the system does not say."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if resource else 0


@pytest.fixture
def saved(path):
    """A trained model's file, and its parts."""
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(5, "relu", input_dim=4), Dropout(0.5), Dense(3, "softmax")])
    model.compile("adam", SCCE, metrics=["accuracy", metrics.SparseCategoricalAccuracy()])
    model.fit(x, y, verbose=0)
    model.save(path)
    tensors, metadata = safetensors.read(path)
    return tensors, json.loads(metadata["model"])


def refused(path, tensors, description, form: str = "fastnn 4") -> str:
    """Write such a file; assert that loading names it and takes little memory. Gives the message."""
    model = description if isinstance(description, str) else json.dumps(description)
    safetensors.write(path, tensors, {"format": form, "model": model})
    before = peak()
    with pytest.raises(ValueError, match=r"model\.fastnn") as error:
        load_model(path)
    assert peak() - before < 64 * 1024
    return str(error.value)


def test_files_that_are_none(path, tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(path)
    with pytest.raises(ValueError, match="regular file"):
        load_model(tmp_path)
    for content in (b"", b"\0" * 7, b"PK\x03\x04" + bytes(100), b"\x80\x04K\x01.", os.urandom(300)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.fastnn"):
            load_model(path)


def test_other_formats(path, saved):
    tensors, description = saved
    assert "expected format 'fastnn 4' or older, got 'fastnn 5'; a newer" in refused(
        path, tensors, description, "fastnn 5"
    )
    safetensors.write(path, tensors, {})
    with pytest.raises(ValueError, match=r"not a fastnn model: .*got 'none'"):
        load_model(path)
    safetensors.write(path, tensors, {"format": "fastnn 4"})
    with pytest.raises(ValueError, match=r"model\.fastnn does not describe a model"):
        load_model(path)


@pytest.mark.parametrize("optimizer", ["nadam", "adam", "sgd"])
@pytest.mark.parametrize("steps", [2**53, 2**62, 2**63 - 1])
def test_a_fit_follows_any_number_of_steps(path, optimizer, steps):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(3, "softmax", input_dim=4)])
    model.compile(optimizer, SCCE)
    model.fit(x, y, verbose=0)
    model.save(path)
    tensors, metadata = safetensors.read(path)
    description = json.loads(metadata["model"])
    description["training"]["iterations"] = steps
    safetensors.write(path, tensors, {"format": "fastnn 4", "model": json.dumps(description)})
    for _ in range(3):
        model = load_model(path)
        model.fit(x, y, verbose=0)
        assert np.isfinite(model.predict(x)).all()
        model.save(path)


def test_an_older_file_lists_its_vectors(path, saved):
    tensors, description = saved
    for wrong in (False, True, 3, "m", {"m": 1}):
        description["training"]["slots"] = wrong
        assert "a list" in refused(path, tensors, description, "fastnn 2")


def test_truncated_anywhere(path, saved):
    content = path.read_bytes()
    for end in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"model\.fastnn"):
            load_model(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="behind the data"):
        load_model(path)


def test_damaged_anywhere(path, saved):
    """A changed byte is found, or it is a number of the model: never another error than ValueError."""
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    for place in [*range(8, header, 3), *rng.integers(header, len(content), 20)]:
        damaged = bytearray(content)
        damaged[place] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            load_model(path).predict(np.zeros((1, 4)))
        except ValueError as error:
            assert "model.fastnn" in str(error) or "features" in str(error)  # noqa: PT017


NOT_MODELS = [
    "",
    "{",
    "null",
    "5",
    "[]",
    '"model"',
    "{}",
    "[" * 100_000,
    '{"layers": [], "name": "a"}',
    "NaN",
    "\ud7ff",
]


@pytest.mark.parametrize("description", NOT_MODELS, ids=range(len(NOT_MODELS)))
def test_json_that_is_no_model(path, saved, description):
    refused(path, saved[0], description)


def layer(number: int, **fields):
    """An edit of one layer's fields; ... takes a field out."""

    def edit(description):
        config = description["layers"][number]
        for name, value in fields.items():
            config.pop(name, None)
            if value is not ...:
                config[name] = value

    return edit


def training(**fields):
    def edit(description):
        for name, value in fields.items():
            place = description["training"]
            *outer, last = name.split("__")
            for part in outer:
                place = place[part]
            place[last] = value
            if value is ...:
                del place[last]

    return edit


def top(**fields):
    def edit(description):
        for name, value in fields.items():
            description[name] = value
            if value is ...:
                del description[name]

    return edit


def model(number: int, **fields):
    """An edit of the description of one model: the last is the whole."""

    def edit(description):
        for name, value in fields.items():
            description["models"][number][name] = value
            if value is ...:
                del description["models"][number][name]

    return edit


HUGE = 10**15
EDITS = {
    "no layers": top(layers=...),
    "layers a number": top(layers=5),
    "layers a text": top(layers="dense"),
    "layers none": top(layers=[]),
    "layers null": top(layers=[None]),
    "layers nested": top(layers=[[]]),
    "very many layers": top(layers=[{"class": "dropout", "rate": 0.5}] * 20_000),
    "only a flatten": top(layers=[{"class": "flatten"}]),
    "unknown layer": layer(0, **{"class": "lambda"}),
    "a class of Python": layer(0, **{"class": "os.system"}),
    "no class": layer(0, **{"class": ...}),
    "class a list": layer(0, **{"class": ["dense"]}),
    "extra field": layer(0, code="import os"),
    "dunder field": layer(0, __class__="x"),
    "unit missing": layer(0, units=...),
    "huge units": layer(0, units=HUGE),
    "units beyond all": layer(0, units=10**40),
    "units 0": layer(0, units=0),
    "units negative": layer(0, units=-5),
    "units a float": layer(0, units=5.0),
    "units a text": layer(0, units="5"),
    "units true": layer(0, units=True),
    "units not finite": layer(0, units=float("inf")),
    "huge last layer": layer(2, units=HUGE),
    "other input": layer(0, input_dim=7, input_shape=[7]),
    "input disagrees": layer(0, input_dim=7),
    "unknown activation": layer(0, activation={"class": "eval"}),
    "activation a number": layer(0, activation=5),
    "activation's field": layer(0, activation={"class": "relu", "slope": 1}),
    "activation nan": layer(0, activation={"class": "leaky_relu", "negative_slope": float("nan")}),
    "activation text": layer(0, activation={"class": "leaky_relu", "negative_slope": "1"}),
    "activation list": layer(0, activation={"class": "gelu", "approximate": [1]}),
    "unknown initializer": layer(0, kernel_initializer={"class": "open"}),
    "initializer seed": layer(0, kernel_initializer={"class": "he_normal", "seed": -1}),
    "regularizer nan": layer(0, kernel_regularizer={"class": "l2", "l2": float("nan")}),
    "rate 1": layer(1, rate=1),
    "rate nan": layer(1, rate=float("nan")),
    "rate null": layer(1, rate=None),
    "name twice": layer(2, name="dense", automatic=False),
    "name a number": layer(0, name=5),
    "name nan": layer(0, name=float("nan")),
    "name a list": layer(0, name=[]),
    "name with a slash": layer(0, name="optimizer/velocity/dense"),
    "name another": layer(0, name="another"),
    "no input shape": model(-1, input_shape=...),
    "input shape of another size": model(-1, input_shape=[5]),
    "input shape empty": model(-1, input_shape=[]),
    "input shape null": model(-1, input_shape=None),
    "input shape negative": model(-1, input_shape=[-4]),
    "input shape a text": model(-1, input_shape="4"),
    "input shape deep": model(-1, input_shape=[4, 1]),
    "no seed": top(seed=...),
    "seed negative": top(seed=-1),
    "seed too large": top(seed=2**64),
    "seed null": top(seed=None),
    "seed a text": top(seed="x"),
    "training a list": top(training=[]),
    "training a number": top(training=7),
    "no optimizer": training(optimizer=...),
    "unknown optimizer": training(optimizer={"class": "sgd2"}),
    "another optimizer": training(optimizer={"class": "rmsprop"}),
    "one more slot": training(optimizer__amsgrad=True),
    "learning rate nan": training(optimizer__learning_rate=float("nan")),
    "learning rate inf": training(optimizer__learning_rate=float("inf")),
    "learning rate negative": training(optimizer__learning_rate=-1),
    "learning rate null": training(optimizer__learning_rate=None),
    "beta 1": training(optimizer__beta_1=1.0),
    "optimizer's field": training(optimizer__slots=["a"]),
    "amsgrad a text": training(optimizer__amsgrad="yes"),
    "no loss": training(loss=...),
    "unknown loss": training(loss={"class": "custom"}),
    "loss null": training(loss=None),
    "unknown metric": training(metrics=["auuc"]),
    "metric that does not go": training(metrics=["mae"]),
    "metrics a number": training(metrics=5),
    "metric null": training(metrics=[None]),
    "no iterations": training(iterations=...),
    "iterations negative": training(iterations=-1),
    "iterations a float": training(iterations=1.5),
    "iterations a text": training(iterations="1"),
    "iterations true": training(iterations=True),
    "iterations too large": training(iterations=2**64),
    "iterations null": training(iterations=None),
    "iterations 0, with slots": training(iterations=0),
    "no training, with slots": top(training=None),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_descriptions(path, saved, name):
    tensors, description = saved
    EDITS[name](description)
    refused(path, tensors, description)


KERNEL = np.ones((4, 5), np.float32)
TENSORS = {
    "missing": {"dense/bias": None},
    "missing slot": {"optimizer/velocity/dense_1/kernel": None},
    "all missing": None,
    "extra": {"another": KERNEL},
    "extra slot": {"optimizer/largest_velocity/dense/kernel": KERNEL},
    "transposed": {"dense/kernel": KERNEL.T.copy()},
    "flat": {"dense/kernel": KERNEL.ravel()},
    "larger": {"dense/kernel": np.ones((4, 6), np.float32)},
    "float64": {"dense/kernel": KERNEL.astype(float)},
    "float16": {"dense/kernel": KERNEL.astype(np.float16)},
    "integers": {"dense/kernel": KERNEL.astype(np.int32)},
    "no rows": {"dense/kernel": np.ones((0, 5), np.float32)},
    "slot of another shape": {"optimizer/momentum/dense/bias": KERNEL},
    "slot of float64": {"optimizer/momentum/dense/kernel": KERNEL.astype(float)},
}


@pytest.mark.parametrize("name", TENSORS)
def test_wrong_tensors(path, saved, name):
    tensors, description = saved
    edits = TENSORS[name]
    tensors = {} if edits is None else {**tensors, **edits}
    refused(path, {key: array for key, array in tensors.items() if array is not None}, description)


@pytest.mark.parametrize("size", [10**9, HUGE, 2**62, 2**64, 10**30])
@pytest.mark.parametrize("kind", ["activation", "dropout"])
def test_huge_layers_without_weights(path, saved, size, kind):
    """Nothing in the file has to prove their size: they must cost nothing, or be refused."""
    config = {"class": kind, **({"rate": 0.5} if kind == "dropout" else {"activation": {"class": "relu"}})}
    entry = {**saved[1]["models"][0], "members": [["layer", 0]], "input_shape": [size]}
    description = {**saved[1], "layers": [config], "models": [entry], "training": None}
    safetensors.write(path, {}, {"format": "fastnn 4", "model": json.dumps(description)})
    before = peak()
    try:
        load_model(path)
    except ValueError as error:
        assert "model.fastnn" in str(error)  # noqa: PT017
    assert peak() - before < 64 * 1024


def test_weights_that_are_not_finite_are_weights(path, saved):
    """A file may hold them, as a model may: they say so by what they predict."""
    tensors, description = saved
    tensors["dense/kernel"][0, 0] = np.nan
    safetensors.write(path, tensors, {"format": "fastnn 4", "model": json.dumps(description)})
    assert np.isnan(load_model(path).predict(np.ones((1, 4)))).all()

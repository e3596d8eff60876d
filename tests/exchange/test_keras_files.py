"""Keras's files without Keras: as it writes them, damaged ones, and such as others might write to do harm."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py: Any = pytest.importorskip("h5py", reason="reads and writes Keras's files")

import fastnn  # noqa: E402
import fastnn.layers as L  # noqa: E402
from fastnn import ops  # noqa: E402
from fastnn.models import Model, Sequential, load_model  # noqa: E402

RNG = np.random.default_rng(4)
KERNEL, BIAS = RNG.normal(size=(3, 4)).astype("f4"), RNG.normal(size=4).astype("f4")
LAST = RNG.normal(size=(4, 2)).astype("f4")
MEAN, VARIANCE = RNG.normal(size=4).astype("f4"), RNG.random(4).astype("f4") + 0.5
X = RNG.normal(size=(7, 3)).astype("f4")


def policy(name: str = "float32") -> dict[str, Any]:
    config = {"name": name}
    return {"module": "keras", "class_name": "DTypePolicy", "config": config, "registered_name": None}


def layer(cls: str, **config: Any) -> dict[str, Any]:
    """As Keras 3.15 writes a layer."""
    config = {"name": config.pop("name", cls.lower()), "trainable": True, "dtype": policy(), **config}
    return {"module": "keras.layers", "class_name": cls, "config": config, "registered_name": None}


def initializer(cls: str) -> dict[str, Any]:
    config = {"seed": None} if cls == "GlorotUniform" else {}
    return {"module": "keras.initializers", "class_name": cls, "config": config, "registered_name": None}


def dense(name: str, units: int, **config: Any) -> dict[str, Any]:
    more = {"activation": "linear", "use_bias": True, "bias_regularizer": None, "quantization_config": None, **config}
    kinds = {"kernel_initializer": initializer("GlorotUniform"), "bias_initializer": initializer("Zeros")}
    return layer("Dense", name=name, units=units, **kinds, **more)


def chain(*layers: Any, row: tuple[int, ...] = (3,)) -> dict[str, Any]:
    """A Sequential, as Keras's config.json has it."""
    config = {"batch_shape": [None, *row], "dtype": "float32", "sparse": False, "ragged": False, "name": "start"}
    start = {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
    inner = {"name": "sequential_3", "trainable": True, "dtype": policy(), "layers": [start, *layers]}
    inner["build_input_shape"] = [None, *row]
    build = {"input_shape": [None, *row]}
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": inner,
        "registered_name": None,
        "build_config": build,
    }


def h5(arrays: dict[str, Any]) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for path, array in arrays.items():
            file[path] = array
    return memory.getvalue()


def write(path: Path, config: Any, weights: Any, compression: int = zipfile.ZIP_STORED, **more: str) -> Path:
    data = weights if isinstance(weights, bytes) else h5(weights)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-29@16:00:00"}))
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", data)
        for name, text in more.items():
            archive.writestr(name, text)
    return path


# Two Dense layers with a BatchNormalization without a scale between them, in which Keras numbers what is left.
CONFIG = chain(
    dense("first", 4, activation="tanh"),
    layer("BatchNormalization", axis=-1, scale=False),
    dense("last", 2, use_bias=False),
)
WEIGHTS = {
    "layers/dense/vars/0": KERNEL,
    "layers/dense/vars/1": BIAS,
    "layers/batch_normalization/vars/0": np.full(4, 0.5, "f4"),
    "layers/batch_normalization/vars/1": MEAN,
    "layers/batch_normalization/vars/2": VARIANCE,
    "layers/dense_1/vars/0": LAST,
}


def expected() -> np.ndarray:
    hidden = (np.tanh(X @ KERNEL.astype(float) + BIAS) - MEAN) / np.sqrt(VARIANCE + 1e-3) + 0.5
    return np.asarray(hidden @ LAST)


def test_as_keras_writes_it(tmp_path: Path) -> None:
    model = load_model(write(tmp_path / "m.keras", CONFIG, WEIGHTS))
    np.testing.assert_allclose(model.predict(X), expected(), atol=1e-6)
    assert [each.name for each in model.layers] == ["first", "batchnormalization", "last"]
    assert not model.compiled


@pytest.mark.parametrize("kind", ["f2", "f8", "mixed_bfloat16"])
def test_other_types(tmp_path: Path, kind: str) -> None:
    """Halves, doubles and bfloat16 become float32."""
    config = copy.deepcopy(CONFIG)
    for each in config["config"]["layers"][1:]:
        each["config"]["dtype"] = policy({"f2": "float16", "f8": "float64"}.get(kind, kind))
    arrays = {path: array.astype("f4" if kind.startswith("mixed") else kind) for path, array in WEIGHTS.items()}
    data = h5(arrays)
    if kind.startswith("mixed"):  # as Keras has those: two bytes each, and a word that says what they are
        memory = io.BytesIO(data)
        with h5py.File(memory, "a") as file:
            for path, array in WEIGHTS.items():
                del file[path]
                file[path] = (np.ascontiguousarray(array).view("u4") >> 16).astype("u2").view("V2")
                file[path].attrs["dtype"] = "bfloat16"
        data = memory.getvalue()
    model = load_model(write(tmp_path / "m.keras", config, data))
    np.testing.assert_allclose(model.predict(X), expected(), atol=1e-6 if kind == "f8" else 0.05)


def test_own_files(tmp_path: Path) -> None:
    """What fastnn writes it reads, the training state included; the weights alone too, and those of a model's file."""
    model = Sequential([L.Input((3,)), L.Dense(4, "relu"), L.BatchNormalization(), L.Dropout(0.3), L.Dense(2)])
    model.compile(fastnn.optimizers.Adam(0.01), "mse", metrics=["mae"])
    y = RNG.normal(size=(7, 2)).astype("f4")
    model.fit(X, y, epochs=3, verbose=0)
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_config() == {**model.get_config(), "name": again.name}
    for each in (model, again):
        each.description.network.seed = 7  # of dropout, which the file does not hold
        each.fit(X, y, epochs=2, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.save_weights(tmp_path / "x.weights.h5")
    for name in ("x.weights.h5", "m.keras"):
        again.set_weights([np.zeros_like(w) for w in again.get_weights()])
        again.load_weights(tmp_path / name)
        assert np.abs(again.predict(X)).max() > 0
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        model.save_weights(tmp_path / "n.keras")
    with pytest.raises(FileExistsError, match="overwrite"):
        model.save(tmp_path / "m.keras", overwrite=False)
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert '"fastnn' not in archive.read("config.json").decode()


def test_the_same_bytes(tmp_path: Path) -> None:
    model = Sequential([L.Input((3,)), L.Dense(2)])
    for name in ("a", "b"):
        model.save(tmp_path / f"{name}.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def node(*args: Any, **kwargs: Any) -> list[Any]:
    return [{"args": list(args), "kwargs": kwargs}]


def tensor(name: str, *row: int) -> dict[str, Any]:
    config = {"shape": [None, *row], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def graph(*entries: Any) -> dict[str, Any]:
    """A functional model on rows of (2, 3), with the last entry's output."""
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 2, 3], "name": "x"}}
    layers = [{**first, "registered_name": None, "name": "x", "inbound_nodes": []}, *entries]
    last = layers[-1]["name"]
    inner = {"name": "functional", "trainable": True, "layers": layers}
    inner |= {"input_layers": ["x", 0, 0], "output_layers": [last, 0, 0]}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": inner,
        "registered_name": "Functional",
    }


def operation(cls: str, nodes: list[Any], module: str = "numpy", **config: Any) -> dict[str, Any]:
    entry = {"module": f"keras.src.ops.{module}", "class_name": cls, "config": {"name": "op", **config}}
    return {**entry, "registered_name": cls, "name": "op", "inbound_nodes": nodes}


SLICE = {"class_name": "__slice__", "config": [None, 2, None]}
T = tensor("x", 2, 3)
OPERATIONS: list[tuple[Any, Any]] = [
    (operation("Add", node(T, 1.5)), lambda x: x + 1.5),
    (operation("Subtract", node(2.0, T)), lambda x: 2 - x),
    (operation("Multiply", node(T, T)), lambda x: x * x),
    (operation("Mean", node(T), axis=[1], keepdims=True), lambda x: x.mean(1, keepdims=True)),
    (operation("Max", node(T), axis=-1, keepdims=False), lambda x: x.max(-1)),
    (operation("Square", node(T)), np.square),
    (operation("Clip", node(T), x_min=-0.2, x_max=0.3), lambda x: x.clip(-0.2, 0.3)),
    (operation("Transpose", node(T), axes=[0, 2, 1]), lambda x: x.transpose(0, 2, 1)),
    (operation("Reshape", node(T), newshape=[-1, 6]), lambda x: x.reshape(-1, 6)),
    (operation("Concatenate", node([T, T]), axis=-1), lambda x: np.concatenate([x, x], -1)),
    (
        operation(
            "GetItem",
            node(T, {"class_name": "__tuple__", "config": [{"class_name": "__ellipsis__", "config": {}}, SLICE]}),
        ),
        lambda x: x[..., :2],
    ),
    (operation("Relu", node(T), "nn"), lambda x: np.maximum(x, 0)),
    (operation("Softmax", node(T), "nn", axis=-1), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
]


@pytest.mark.parametrize(
    ("entry", "formula"), OPERATIONS, ids=lambda each: each["class_name"] if isinstance(each, dict) else ""
)
def test_operations(tmp_path: Path, entry: Any, formula: Any) -> None:
    model = load_model(write(tmp_path / "m.keras", graph(entry), {}))
    x = RNG.normal(size=(5, 2, 3)).astype("f4")
    np.testing.assert_allclose(model.predict(x), formula(x), atol=1e-6)


def test_unknown_operation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="operation 'Fft' of Keras"):
        load_model(write(tmp_path / "m.keras", graph(operation("Fft", node(T), "math")), {}))


def test_operations_of_ours(tmp_path: Path) -> None:
    """Those of a graph that one of Keras's does are written as that."""
    x = L.Input((4,))
    for given in (
        x * 2.0 + 1.0,
        ops.square(x),
        ops.log(ops.square(x) + 1),
        3 / (ops.square(x) + 2),
        ops.clip(x, -0.1, 0.2),
    ):
        model = Model(x, given)
        model.save(tmp_path / "m.keras")
        rows = RNG.normal(size=(5, 4)).astype("f4")
        np.testing.assert_allclose(load_model(tmp_path / "m.keras").predict(rows), model.predict(rows), atol=1e-6)
    with pytest.raises(ValueError, match="no one operation"):
        Model(x, x[:, ::-1]).save(tmp_path / "m.keras")


def test_activation_layers(tmp_path: Path) -> None:
    """Keras takes a layer in the place of an activation."""
    config = chain(dense("first", 4, activation=layer("LeakyReLU", negative_slope=0.25)))
    weights = {"layers/dense/vars/0": KERNEL, "layers/dense/vars/1": BIAS}
    model = load_model(write(tmp_path / "m.keras", config, weights))
    assert model.layers[0].activation == fastnn.activations.LeakyReLU(0.25)


def test_words_that_were_learnt(tmp_path: Path) -> None:
    """Keras keeps a vocabulary that it was not given beside the configuration."""
    config = chain(
        layer("StringLookup", vocabulary=None, mask_token=None, oov_token="[UNK]", num_oov_indices=1, dtype="int64"),
        row=(2,),
    )
    config["config"]["layers"][0]["config"]["dtype"] = "string"
    path = write(
        tmp_path / "m.keras", config, {}, **{"assets/layers/string_lookup/vocabulary.txt": "[UNK]\nred\nblue\n"}
    )
    model = load_model(path)
    rows = np.array([["blue", "green"], ["red", "blue"]], object)
    np.testing.assert_array_equal(model.predict(rows), [[2, 0], [1, 2]])
    model.save(tmp_path / "n.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "n.keras").predict(rows), [[2, 0], [1, 2]])


class Doubled(L.Layer):
    """A layer of the user's own, with a weight and a layer in it."""

    def __init__(self, units: int = 2, **more: Any) -> None:
        super().__init__(**more)
        self.units, self.inner = units, L.Dense(units)
        self.scale = self.add_weight(shape=(units,), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return self.inner(x) * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def test_own_classes(tmp_path: Path) -> None:
    """Taken from custom_objects alone, with weights under the names of its attributes; refused by name else."""
    entry = {**layer("Doubled", units=2, name="doubled"), "module": "their.module", "registered_name": "Custom>Doubled"}
    weights = {"layers/doubled/vars/0": np.float32([2, 3]), "layers/doubled/inner/vars/0": KERNEL[:, :2]}
    path = write(tmp_path / "m.keras", chain(entry), weights | {"layers/doubled/inner/vars/1": BIAS[:2]})
    with pytest.raises(ValueError, match=r"'Doubled'.*custom_objects"):
        load_model(path)
    model = load_model(path, custom_objects={"Doubled": Doubled})
    np.testing.assert_allclose(model.predict(X), (X @ KERNEL[:, :2] + BIAS[:2]) * [2, 3], atol=1e-6)
    with pytest.raises(ValueError, match="'Doubled' cannot go to Keras"):
        model.save(tmp_path / "n.keras")


LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
REFUSED: dict[str, tuple[Any, str]] = {
    "lambda": (chain(layer("Lambda", function=LAMBDA, output_shape=None)), "Lambda"),
    "function": (
        chain(layer("Activation", activation={"module": "os", "class_name": "function", "config": "system"})),
        "system",
    ),
    "module": (chain({**layer("Dense", units=2), "module": "os", "class_name": "system"}), "system"),
    "jax": (chain({**layer("JaxLayer"), "config": {"call_fn": LAMBDA}}), "arbitrary|JaxLayer|Lambda|lambda"),
    "torch": (
        chain(layer("TorchModuleWrapper", module={"class_name": "__tensor__", "config": {}})),
        "TorchModuleWrapper|value",
    ),
    "quantized": (
        chain({**dense("d", 2), "config": {**dense("d", 2)["config"], "dtype": policy("int8_from_float32")}}),
        "int8",
    ),
    "spectral": (chain(layer("SpectralNormalization", layer=dense("d", 2))), "SpectralNormalization"),
    "crop": (chain(layer("RandomCrop", height=2, width=2)), "RandomCrop"),
    "axes": (chain(layer("LayerNormalization", axis=[2, -1])), "axes"),
    "wide": (chain(dense("d", 10**9)), "weights"),
    "no model": (dense("d", 2), "not a model|layers"),
    "empty": ({}, "TypeError|class_name|dict|model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    config, words = REFUSED[name]
    path = write(tmp_path / "m.keras", config, WEIGHTS)
    with pytest.raises(ValueError, match=words) as caught:
        load_model(path)
    assert "m.keras" in str(caught.value)


def test_older_keras(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
        archive.writestr("config.json", json.dumps(CONFIG))
    with pytest.raises(ValueError, match=r"Keras 2\.15\.0; load it with Keras 3"):
        load_model(path)


def without(name: str) -> dict[str, Any]:
    return {path: array for path, array in WEIGHTS.items() if path != name}


def odd_h5(change: Any) -> bytes:
    memory = io.BytesIO(h5(without("layers/dense_1/vars/0")))
    with h5py.File(memory, "a") as file:
        change(file)
    return memory.getvalue()


def test_odd_weights(tmp_path: Path) -> None:
    """Other shapes, types, numbers; links; arrays that the file does not hold: each says what it is."""
    (tmp_path / "other.h5").write_bytes(h5({"a": LAST}))
    place = "layers/dense_1/vars/0"
    virtual = h5py.VirtualLayout((4, 2), "f4")
    virtual[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (4, 2))
    cases: list[tuple[Any, str]] = [
        (lambda f: None, "has 1 weights, and the file 0"),
        (lambda f: f.create_dataset(place, data=LAST.T), r"shape \(4, 2\), got \(2, 4\)"),
        (lambda f: f.create_dataset(place, data=np.full((4, 2), b"abc")), "must be numbers"),
        (lambda f: f.create_group(place), "must be an array"),
        (lambda f: f.create_dataset(place, data=h5py.Empty("f4")), "must be an array"),
        (lambda f: f.create_dataset(place, (4, 2), "f4", chunks=True, compression="gzip"), "compressed or empty"),
        (lambda f: f.create_dataset(place, (2**20, 2**20, 2**10), "f4", chunks=(1, 1, 1)), "compressed or empty"),
        (
            lambda f: f.create_dataset(place, (4, 2), "f4", external=[(str(tmp_path / "other.h5"), 0, 32)]),
            "another file",
        ),
        (lambda f: f.create_virtual_dataset(place, virtual), "another file"),
        (lambda f: f.__setitem__(place, h5py.ExternalLink(str(tmp_path / "other.h5"), "a")), "link to elsewhere"),
        (lambda f: f.__setitem__(place, h5py.SoftLink("/layers/dense/vars/0")), "link to elsewhere"),
        (lambda f: f.__setitem__("layers/dense_1", h5py.SoftLink("/layers/dense")), "link to elsewhere"),
        (lambda f: f.create_dataset("layers/dense_1", data=LAST), "must lead through groups|no layer reads"),
        (
            lambda f: (f.create_dataset(place, data=LAST), f.create_dataset("layers/lstm/vars/0", data=LAST)),
            "no layer reads",
        ),
    ]
    own = load_model(write(tmp_path / "good.keras", CONFIG, WEIGHTS))
    before = own.get_weights()
    for change, words in cases:
        data = odd_h5(change)
        with pytest.raises(ValueError, match=words):
            load_model(write(tmp_path / "m.keras", CONFIG, data))
        (tmp_path / "x.weights.h5").write_bytes(data)
        with pytest.raises(ValueError, match=words.replace("no layer reads", "the model has not")):
            own.load_weights(tmp_path / "x.weights.h5")
        for one, other in zip(own.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


def test_mismatch_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "x.weights.h5").write_bytes(h5({**WEIGHTS, "layers/dense_1/vars/0": np.zeros((9, 2), "f4")}))
    model = load_model(write(tmp_path / "m.keras", CONFIG, WEIGHTS))
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    model.compile("adam", "mse")
    with pytest.warns(UserWarning, match="last"):
        model.load_weights(tmp_path / "x.weights.h5", skip_mismatch=True)
    np.testing.assert_array_equal(model.get_weights()[0], KERNEL)
    np.testing.assert_array_equal(model.get_weights()[-1], np.ones((4, 2)))


def test_an_optimizer_of_ours_alone(tmp_path: Path) -> None:
    """Its weights go into a file as those of any other model."""
    model = Sequential([L.Input((3,)), L.Dense(2)])
    for rule in ("lbfgs", "rprop"):
        model.compile(rule, "mse")
        model.fit(X, X[:, :2], epochs=2, batch_size=7, verbose=0)
        model.save_weights(tmp_path / "x.weights.h5")
        before = model.predict(X)
        model.set_weights([w + 1 for w in model.get_weights()])
        model.load_weights(tmp_path / "x.weights.h5")
        np.testing.assert_array_equal(model.predict(X), before)


def test_bombs(tmp_path: Path) -> None:
    """A part that would be a thousand times its bytes is not unpacked, nor is a text of a hundred megabytes."""
    path = write(tmp_path / "m.keras", CONFIG, b"\0" * 2**24, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="would be 16,777,216 bytes"):
        load_model(path)
    write(path, json.dumps(CONFIG) + " " * 2**26, WEIGHTS, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"config\.json would be"):
        load_model(path)
    write(path, "[" * 100_000, WEIGHTS)
    with pytest.raises(ValueError, match=r"m\.keras"):
        load_model(path)
    metric = {
        "module": "keras.metrics",
        "class_name": "AUC",
        "config": {"num_thresholds": 10**10},
        "registered_name": None,
    }
    compiled = {"optimizer": "adam", "loss": "mse", "loss_weights": None, "metrics": [metric], "weighted_metrics": None}
    with pytest.raises(ValueError, match="num_thresholds"):
        load_model(write(path, {**CONFIG, "compile_config": compiled}, WEIGHTS))


def test_no_such_file(tmp_path: Path) -> None:
    for name in ("none.keras", "folder.keras"):
        (tmp_path / "folder.keras").mkdir(exist_ok=True)
        with pytest.raises(OSError, match=name):
            load_model(tmp_path / name)
    (tmp_path / "m.keras").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(ValueError, match=r"m\.keras is no model"):
        load_model(tmp_path / "m.keras")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at, kind = int(rng.integers(len(changed))), rng.integers(4)
        if kind == 0:
            changed[at] = int(rng.integers(256))
        elif kind == 1:
            changed[at : at + 4] = rng.integers(0, 256, 4, dtype="u1").tobytes()
        elif kind == 2:
            del changed[at : at + int(rng.integers(1, 50))]
        else:
            changed[at : at + 8] = [b"\xff" * 8, b"\0" * 8, b"\x7f" * 8][int(rng.integers(3))]
    return bytes(changed[: int(rng.integers(len(changed)))] if rng.integers(10) == 0 else changed)


WORDS: list[Any] = ["Dense", "Lambda", "__lambda__", None, -1, 1e300, [], {}, "x" * 50, True, 10**9, "float16", "/", 0]


def changed(value: Any, rng: np.random.Generator) -> Any:
    """JSON with another value, or one less, at some place."""
    if isinstance(value, (dict, list)) and value:
        key = list(value)[int(rng.integers(len(value)))] if isinstance(value, dict) else int(rng.integers(len(value)))
        if rng.integers(6) == 0:
            del value[key]
        else:
            value[key] = changed(value[key], rng)
        return value
    return WORDS[int(rng.integers(len(WORDS)))]


@pytest.mark.filterwarnings("ignore")
def test_mutations(tmp_path: Path) -> None:
    """Whatever a damaged file says, it is read or refused, with the model as it was."""
    model = Sequential([L.Input((4, 3)), L.Bidirectional(L.LSTM(3)), L.BatchNormalization(), L.Dense(2, "relu")])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.zeros((4, 4, 3)), np.zeros((4, 2)), verbose=0)
    whole, alone = tmp_path / "m.keras", tmp_path / "x.weights.h5"
    model.save(whole)
    model.save_weights(alone)
    before, rng = model.get_weights(), np.random.default_rng(0)
    said: list[str] = []
    raw = {path: path.read_bytes() for path in (whole, alone)}
    with zipfile.ZipFile(whole) as archive:
        config, weights = json.loads(archive.read("config.json")), archive.read("model.weights.h5")
    for round_ in range(300):
        try:
            if round_ % 3 == 0:
                alone.write_bytes(mutated(raw[alone], rng))
                model.load_weights(alone)
                model.set_weights(before)
            elif round_ % 3 == 1:
                whole.write_bytes(mutated(raw[whole], rng))
                load_model(whole)
            else:
                data = mutated(weights, rng) if rng.integers(3) == 0 else weights
                load_model(write(whole, changed(copy.deepcopy(config), rng), data))
        except ValueError as error:
            said.append(str(error))
        for one, other in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(said) > 150
    assert all(str(tmp_path) in each for each in said)


def test_without_h5py(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    model = Sequential([L.Input((3,)), L.Dense(2)])
    with pytest.raises(ImportError, match=r"fastnn\[keras\]"):
        model.save(tmp_path / "m.keras")
    assert not (tmp_path / "m.keras").exists()
    write_path = tmp_path / "n.keras"
    monkeypatch.undo()
    write(write_path, CONFIG, WEIGHTS)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r"fastnn\[keras\]"):
        load_model(write_path)

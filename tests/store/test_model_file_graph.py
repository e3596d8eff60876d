"""Graphs as files: connections, shared layers, models in models, what does not learn, functions of one's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential
from fastnn.layers import Activation, Concatenate, Dense, Dropout, Subtract
from fastnn.models import load_model
from fastnn.optimizers import SGD, Adam
from fastnn.store import safetensors
from support.small import rows

RNG = np.random.default_rng(0)
X = [RNG.standard_normal((20, 5)).astype(np.float32), RNG.standard_normal((20, 5)).astype(np.float32)]
Y = [RNG.standard_normal((20, 2)).astype(np.float32), RNG.integers(0, 3, 20)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fastnn"


def bits(model: Model) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


def text(model: Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return lines[0]


def graph() -> Model:
    """A tower that is called twice, and one of its layers alone; two outputs."""
    a, b = Input((5,), name="a"), Input((5,))
    inner = Dense(4, "tanh")
    tower = Sequential([inner, Dropout(0.2), Dense(3)], name="tower")
    joined = Concatenate()([Subtract()([tower(a), tower(b)]), inner(b)])
    mean = Dense(2, name="mean", kernel_regularizer="l2")(joined)
    return Model([a, b], [mean, Dense(3, "softmax")(mean)], name="graph")


def check_round_trip(model: Model, path, x, y, custom: Any = None) -> Model:
    """Assert that the file gives the same model, and that both go on learning with the same bits."""
    model.save(path)
    loaded = load_model(path, custom)
    assert bits(loaded) == bits(model)
    assert text(loaded) == text(model)
    assert (loaded.input_names, loaded.output_names) == (model.input_names, model.output_names)
    assert [layer.trainable for layer in loaded.description.layers()] == [
        layer.trainable for layer in model.description.layers()
    ]
    assert loaded.description.network.iterations == model.description.network.iterations
    histories = []
    for each in (model, loaded):
        fastnn.set_random_seed(11)
        histories.append(each.fit(x, y, 5, 2, 0).history)
    assert histories[0] == histories[1]
    assert bits(loaded) == bits(model)
    return loaded


def test_a_graph(path):
    model = graph()
    model.compile(
        Adam(0.01, amsgrad=True),
        ["mse", fastnn.losses.SparseCategoricalCrossentropy()],
        loss_weights=[0.5, 2.0],
        metrics={"mean": ["mae", fastnn.metrics.MeanSquaredError()]},
        weighted_metrics=[["mae"], None],
    )
    model.fit(X, Y, 5, 2, 0)
    loaded = check_round_trip(model, path, X, Y)
    assert loaded.get_layer("tower").layers[0] is loaded.get_layer("dense")
    assert set(safetensors.read(path)[0]) >= {"tower/dense/kernel", "tower/dense_1/bias", "mean/kernel"}
    tower = loaded.get_layer("tower")
    np.testing.assert_array_equal(tower.predict(X[0]), model.get_layer("tower").predict(X[0]))
    assert tower.description.network.parameters is loaded.description.network.parameters


def test_dicts(path):
    a, b = Input((5,)), Input((5,))
    model = Model({"left": a, "right": b}, {"one": Dense(2)(a), "two": Dense(3, "softmax")(b)})
    model.compile("adam", {"one": "mse", "two": "sparse_categorical_crossentropy"}, metrics={"two": ["accuracy"]})
    x = dict(zip(["left", "right"], X, strict=True))
    check_round_trip(model, path, x, dict(zip(["one", "two"], Y, strict=True)))


def test_models_in_models(path):
    encoder = Sequential([Dense(4, "tanh", input_dim=5)])
    model = Sequential([encoder, Sequential([Sequential([Dense(3)]), Activation("relu")]), Dense(2)])
    model.compile("adam", "mse")
    loaded = check_round_trip(model, path, X[0], Y[0])
    assert [layer.name for layer in loaded.layers] == ["sequential", "sequential", "dense"]
    assert loaded.get_layer("sequential_1") is loaded.layers[1]


def test_two_loaded_models_become_one(path):
    Sequential([Dense(5, input_dim=5)]).save(path)
    model = Sequential([load_model(path), load_model(path)])
    assert [w.shape for w in model.get_weights()] == [(5, 5), (5,)] * 2


def test_what_does_not_learn(path):
    """As it was at the last compile, and as it is set now: the two may differ."""
    model = Sequential([Dense(4, "tanh", input_dim=5), Dense(3), Dense(2)])
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.layers[0].trainable = True
    model.layers[1].trainable = False
    model.fit(X[0], Y[0], verbose=0)
    loaded = check_round_trip(model, path, X[0], Y[0])
    assert [layer.trainable for layer in loaded.layers] == [True, False, True]


def double(z: Any) -> Any:
    return 2.0 * z


@dataclass(frozen=True, eq=False)
class Wide(Dense):
    """Twice as many units as asked for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("units", 2 * self.units)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "units": self.units // 2}


def test_a_function_of_ones_own(path):
    model = Sequential([Dense(4, double, input_dim=5), Activation(double), Dense(2)])
    model.compile("adam", "mse")
    model.save(path)
    with pytest.raises(ValueError, match=r"Python function 'double'.*pass custom_objects=\{'double': the function\}"):
        load_model(path)
    check_round_trip(model, path, X[0], Y[0], {"double": double})
    for wrong in (5, "double", None):
        with pytest.raises(ValueError, match="double"):
            load_model(path, {"double": wrong})


def test_a_class_of_ones_own(path):
    model = Sequential([Wide(2, "tanh", input_dim=5), Dense(2)])
    model.compile("adam", "mse")
    loaded = check_round_trip(model, path, X[0], Y[0], {"Wide": Wide})
    assert type(loaded.layers[0]) is Wide
    with pytest.raises(ValueError, match=r"unknown layer 'Wide'.*custom_objects=\{'Wide': the class\}"):
        load_model(path)
    for wrong in (5, int, fastnn.losses.MeanSquaredError):
        with pytest.raises(ValueError, match=r"custom_objects\['Wide'\] must be a layer class"):
            load_model(path, {"Wide": wrong})


def test_a_model_that_was_changed_after_it_was_called(path):
    inner = Sequential([Dense(4, input_dim=5)])
    model = Sequential([inner, Dense(2)])
    inner.add(Dense(3))
    with pytest.raises(ValueError, match="changed after it was called"):
        model.save(path)


# Weights alone


def test_weights_alone(path):
    model, other = graph(), graph()
    model.save_weights(path)
    other.load_weights(path)
    assert bits(model) == bits(other)
    model.set_weights([w + 1 for w in model.get_weights()])
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"])
    model.fit(X, Y, verbose=0)
    model.save(path)
    other.load_weights(path)  # from a whole model too
    assert bits(model) == bits(other)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_weights(path, overwrite=False)
    before = bits(other)
    for wrong in (Sequential([Dense(3, input_dim=5)]), Sequential([Dense(3, input_dim=5, name="mean")])):
        wrong.save_weights(path)
        with pytest.raises(ValueError, match=r"model\.fastnn does not fit this model"):
            other.load_weights(path)
        assert bits(other) == before
    safetensors.write(path, {}, {})
    with pytest.raises(ValueError, match="is no file of weights"):
        other.load_weights(path)
    with pytest.raises(RuntimeError, match="needs the model's weights"):
        Sequential([Dense(2)]).load_weights(path)


# Damage


@pytest.fixture
def saved(path):
    model = graph()
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"], metrics=[["mae"], None])
    model.fit(X, Y, verbose=0)
    model.save(path)
    tensors, metadata = safetensors.read(path)
    return tensors, json.loads(metadata["model"])


def entry(**fields):
    """An edit of the description of the whole model; ... takes a field out."""

    def edit(description):
        for name, value in fields.items():
            if value is ...:
                del description["models"][-1][name]
            else:
                description["models"][-1][name] = value

    return edit


def node(number: int, value: Any):
    def edit(description):
        description["models"][-1]["nodes"][number] = value

    return edit


def members(value: Any):
    return entry(members=value)


def many_models(description):
    description["models"] = description["models"][:1] * 5000


def doubling(description):
    """Each model calls the one before it twice: 2^40 layers in 40 lines."""
    dense = {"class": "activation", "activation": "relu", "automatic": True}
    source = {"class": "input_layer", "shape": [3], "automatic": True}
    description["layers"] = [source, dense]
    ends = {"inputs": ["one", ["x"], [[0, 0]]], "outputs": ["one", ["y"], [[2, 0]]]}
    first = [["layer", 0], ["layer", 1]]
    description["models"] = [
        {
            "kind": "functional",
            "name": "m",
            "automatic": True,
            "members": first if i == 0 else [["layer", 0], ["model", i - 1]],
            "nodes": [[0, []], [1, [[0, 0]]], [1, [[1, 0]]]],
            **ends,
        }
        for i in range(40)
    ]
    description["training"] = None


HUGE = 10**15
EDITS = {
    "no models": lambda d: d.update(models=[]),
    "models a text": lambda d: d.update(models="models"),
    "models null": lambda d: d.update(models=[None]),
    "many models": many_models,
    "doubling": doubling,
    "no kind": entry(kind=...),
    "another kind": entry(kind="subclassed"),
    "kind sequential": entry(kind="sequential", input_shape=[5]),
    "name a number": entry(name=5),
    "name with a slash": entry(name="a/b"),
    "no members": entry(members=...),
    "members null": members(None),
    "a member missing": members([["layer", 0]]),
    "a member that is none": members([["layer", i] for i in range(HUGE % 97)]),
    "a member negative": members([["layer", -1]]),
    "a member huge": members([["layer", HUGE]]),
    "a member a float": members([["layer", 0.0]]),
    "a member true": members([["layer", True]]),
    "itself a member": members([["model", 1], ["model", 0]]),
    "a kind of member": members([["code", 0]]),
    "no nodes": entry(nodes=...),
    "nodes empty": entry(nodes=[]),
    "nodes null": entry(nodes=None),
    "node null": node(3, None),
    "node of a member beyond": node(3, [HUGE, [[0, 0]]]),
    "node negative": node(3, [-1, [[0, 0]]]),
    "a cycle": node(3, [3, [[8, 0]]]),
    "node that reads itself": node(3, [3, [[3, 0]]]),
    "reads a negative one": node(3, [3, [[-1, 0]]]),
    "reads another output": node(3, [3, [[0, 1]]]),
    "reads a negative output": node(3, [3, [[0, -1]]]),
    "reads nothing": node(3, [3, []]),
    "reads a text": node(3, [3, "0"]),
    "reads one number": node(3, [3, [[0]]]),
    "an input that reads": node(1, [1, [[0, 0]]]),
    "an input twice": node(1, [0, []]),
    "no inputs": entry(inputs=...),
    "inputs empty": entry(inputs=["list", [], []]),
    "inputs twice the same": entry(inputs=["list", ["a", "b"], [[0, 0], [0, 0]]]),
    "one input less": entry(inputs=["list", ["a"], [[0, 0]]]),
    "inputs of one name": entry(inputs=["list", ["a", "a"], [[0, 0], [1, 0]]]),
    "a name of an input twice": entry(inputs=["dict", ["a", "b", "b"], [[0, 0], [1, 0]]]),
    "inputs alone": entry(inputs=["one", ["a", "b"], [[0, 0], [1, 0]]]),
    "inputs of another kind": entry(inputs=["set", ["a", "b"], [[0, 0], [1, 0]]]),
    "input names numbers": entry(inputs=["list", [1, 2], [[0, 0], [1, 0]]]),
    "an input in the middle": entry(inputs=["list", ["a", "b"], [[3, 0], [1, 0]]]),
    "outputs beyond": entry(outputs=["list", ["a", "b"], [[99, 0], [1, 0]]]),
    "outputs of another place": entry(outputs=["list", ["a", "b"], [[4, 7], [1, 0]]]),
    "outputs empty": entry(outputs=["list", [], []]),
    "outputs null": entry(outputs=None),
    "huge units": lambda d: [layer.update(units=HUGE) for layer in d["layers"] if layer["class"] == "dense"],
    "a layer too many": lambda d: d["layers"].append({"class": "dense", "units": 5}),
    "frozen beyond": lambda d: d["training"].update(frozen=[99]),
    "frozen negative": lambda d: d["training"].update(frozen=[-1]),
    "frozen null": lambda d: d["training"].update(frozen=None),
    "loss of another number": lambda d: d["training"].update(loss=["mse"]),
    "loss a function": lambda d: d["training"].update(loss={"function": "os.system"}),
    "loss a function of no name": lambda d: d["training"].update(loss={"function": ["eval"]}),
    "loss of another family": lambda d: d["training"].update(loss={"family": "layer", "class": "dense", "units": 2}),
    "loss deep": lambda d: d["training"].update(loss=json.loads("[" * 900 + "]" * 900)),
    "loss weights texts": lambda d: d["training"].update(loss_weights=["a", "b"]),
    "loss weights nan": lambda d: d["training"].update(loss_weights=[float("nan"), 1.0]),
    "weighted metrics unknown": lambda d: d["training"].update(weighted_metrics=[["eval"], None]),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_descriptions(path, saved, name):
    tensors, description = saved
    EDITS[name](description)
    safetensors.write(path, tensors, {"format": "fastnn 4", "model": json.dumps(description)})
    with pytest.raises(ValueError, match=r"model\.fastnn"):
        load_model(path)


def test_damaged_anywhere(path, saved):
    """A changed byte is found, or it changes nothing but a number or a name: never another error than ValueError."""
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    for place in range(8, header, 3):
        damaged = bytearray(content)
        damaged[place] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            load_model(path)
        except ValueError as error:
            assert "model.fastnn" in str(error)  # noqa: PT017


def test_the_order_in_which_layers_were_made_changes_no_bit(path):
    x, y = rows(30)
    for seed in range(10):
        fastnn.set_random_seed(seed)
        inner = [Sequential([Input((7,)), Dense(7, "tanh", kernel_regularizer="l2")]) for _ in range(4)]
        first = Input((5,))
        last = Dense(7, kernel_regularizer="l1")(first)
        for each in reversed(inner):
            last = each(last)
        model = Model(first, Dense(2, kernel_regularizer="l2")(last))
        model.compile(SGD(0.05, global_clipnorm=0.1), "mse")
        model.fit(x, y, verbose=0)
        model.save(path)
        ends = []
        for each in (model, load_model(path)):
            fastnn.set_random_seed(1)
            history = each.fit(x, y, epochs=9, verbose=0).history
            ends.append((history["loss"], [w.tobytes() for w in each.get_weights()]))
        assert ends[0] == ends[1]


@pytest.mark.parametrize("metrics", [None, [], (), {}, [[], []]])
def test_several_outputs_without_metrics(path, metrics):
    model = graph()
    model.compile("sgd", ["mse", "sparse_categorical_crossentropy"], metrics=metrics)
    check_round_trip(model, path, X, Y)

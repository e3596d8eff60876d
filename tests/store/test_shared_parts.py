"""A layer or model that stands in several places, also inside other layers, is one in what is read again."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.layers import (
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    Discretization,
    GRUCell,
    Input,
    Layer,
    LSTMCell,
    Pipeline,
    SpectralNormalization,
    TimeDistributed,
)
from fastnn.models import Model, Sequential, clone_model, load_model, model_from_json
from fastnn.optimizers import SGD
from fastnn.saving import serialize_keras_object
from fastnn.store import safetensors

RNG = np.random.default_rng(0)


class Doubled(Layer):
    """Twice what a layer gives."""

    def __init__(self, layer: Any, **options: Any) -> None:
        super().__init__(**options)
        self.layer = layer

    def call(self, x: Any) -> Any:
        return self.layer(x) * 2.0


class Described(Doubled):
    """The same, which says itself what it is made of."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}


OWN = {"Doubled": Doubled, "Described": Described}


def chain() -> Sequential:
    return Sequential([Input((6,)), Dense(3, activation="tanh"), Dense(6)])


def inside_a_model(dense: Dense, a: Any, b: Any) -> list[Any]:
    x = Input((6,))
    return [TimeDistributed(dense)(a), Model(x, dense(x))(b)]


# What is shared, and the two outputs made of it and of two inputs, (4, 6) and (6,) or (3, 6).
SHARED: dict[str, tuple[Callable[[], Any], tuple[int, ...], Callable[..., Any]]] = {
    "wrapped and alone": (lambda: Dense(6), (6,), lambda d, a, b: [TimeDistributed(d)(a), d(b)]),
    "alone and wrapped": (lambda: Dense(6), (4, 6), lambda d, a, b: [d(a), TimeDistributed(d)(b)]),
    "wrapped twice": (lambda: Dense(6), (3, 6), lambda d, a, b: [TimeDistributed(d)(a), TimeDistributed(d)(b)]),
    "a cell": (lambda: LSTMCell(5), (3, 6), lambda c, a, b: [RNN(c)(a), RNN(c, return_sequences=True)(b)]),
    "of a stack": (lambda: GRUCell(5), (3, 6), lambda c, a, b: [RNN([c, GRUCell(2)])(a), RNN(c)(b)]),
    "one direction": (lambda: LSTM(5), (3, 6), lambda r, a, b: [Bidirectional(r)(a), r(b)]),
    "a model": (chain, (6,), lambda m, a, b: [TimeDistributed(m)(a), m(b)]),
    "a model's layer": (chain, (6,), lambda m, a, b: [TimeDistributed(m)(a), m.layers[0](b)]),
    "a model twice": (chain, (3, 6), lambda m, a, b: [TimeDistributed(m)(a), TimeDistributed(m)(b)]),
    "in a model inside": (lambda: Dense(6), (6,), inside_a_model),
    "in a class of one's own": (lambda: Dense(6), (6,), lambda d, a, b: [Doubled(d)(a), d(b)]),
    "in one that describes": (lambda: Dense(6), (3, 6), lambda d, a, b: [Described(d)(a), TimeDistributed(d)(b)]),
    "twice in a pipeline": (lambda: Dense(6), (6,), lambda d, a, b: [Pipeline([d, d])(a), d(b)]),
    "normalized": (lambda: SpectralNormalization(Dense(6)), (6,), lambda s, a, b: [s(a), s.layer(b)]),
    "with a table": (lambda: Discretization([0.0, 0.5]), (6,), lambda d, a, b: [TimeDistributed(d)(a), d(b)]),
}


def saved(model: Model, folder: Path) -> Model:
    model.save(folder / "model.fastnn")
    return load_model(folder / "model.fastnn", OWN)


WAYS: dict[str, Callable[[Model, Path], Model]] = {
    "save": saved,
    "saved again": lambda model, folder: saved(saved(model, folder), folder),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "clone": lambda model, folder: clone_model(model),
    "config": lambda model, folder: Model.from_config(model.get_config(), OWN),
    "JSON": lambda model, folder: model_from_json(model.to_json(), OWN),
}


def made(name: str) -> tuple[Model, list[np.ndarray]]:
    shared, row, outputs = SHARED[name]
    inputs = [Input((4, 6)), Input(row)]
    model = Model(inputs, outputs(shared(), *inputs))
    return model, [RNG.standard_normal((2, *each)).astype(np.float32) for each in ((4, 6), row)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHARED)
def test_it_is_one_in_the_copy(tmp_path: Path, name: str, way: str) -> None:
    model, x = made(name)
    copied = WAYS[way](model, tmp_path)
    assert [w.shape for w in copied.get_weights()] == [w.shape for w in model.get_weights()]
    copied.set_weights(model.get_weights())  # as clone and the configurations have new ones
    before = model.predict(x, verbose=0)
    for mine, others in zip(before, copied.predict(x, verbose=0), strict=True):
        assert mine.tobytes() == others.tobytes()
    for each in (model, copied) if model.get_weights() else ():
        each.compile(SGD(0.1), "mse")
        each.fit(x, [np.ones_like(y) for y in before], epochs=2, shuffle=False, verbose=0)
    for mine, others in zip(model.get_weights(), copied.get_weights(), strict=True):
        assert mine.tobytes() == others.tobytes()


def objects(described: Any) -> Iterator[dict[str, Any]]:
    if isinstance(described, dict):
        yield described
    for each in described.values() if isinstance(described, dict) else described:
        if isinstance(each, (dict, list, tuple)):
            yield from objects(each)


def numbers(described: Any) -> list[int]:
    return [each["shared_object_id"] for each in objects(described) if "shared_object_id" in each]


def test_only_what_stands_in_several_places_has_a_number(tmp_path: Path) -> None:
    model, _ = made("wrapped and alone")
    found = numbers(model.get_config())
    assert len(found) == 2
    assert len(set(found)) == 1
    single = Model(x := Input((4, 6)), TimeDistributed(chain())(TimeDistributed(Dense(6))(x)))
    assert numbers(single.get_config()) == []
    single.save(tmp_path / "single.fastnn")
    with safetensors.opened(tmp_path / "single.fastnn") as file:
        assert numbers(json.loads(file.metadata["model"])) == []


def altered(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    model, _ = made("a model")
    model.save(folder / "model.fastnn")
    with safetensors.opened(folder / "model.fastnn") as file:
        described, arrays = json.loads(file.metadata["model"]), file.arrays()
        metadata = dict(file.metadata)
    change(described)
    safetensors.write(folder / "altered.fastnn", arrays, metadata | {"model": json.dumps(described)})
    return folder / "altered.fastnn"


def test_numbers_that_stand_for_another_kind_are_refused(tmp_path: Path) -> None:
    def of_a_model(described: dict[str, Any]) -> None:
        number = next(each["shared_object_id"] for each in described["models"] if "shared_object_id" in each)
        described["layers"][-1]["shared_object_id"] = number

    def of_a_layer(described: dict[str, Any]) -> None:
        described["layers"][0]["shared_object_id"] = 99
        described["models"][0]["shared_object_id"] = 99

    for change in (of_a_model, of_a_layer):
        with pytest.raises(ValueError, match=r"expected a (layer|model) of number"):
            load_model(altered(tmp_path, change))


@pytest.mark.parametrize("number", [-1, 10**30, 1.5, "1", None, True, []], ids=repr)
def test_odd_numbers_do_no_harm(tmp_path: Path, number: Any) -> None:
    def all_of_them(described: dict[str, Any]) -> None:
        for each in objects(described):
            if "shared_object_id" in each:
                each["shared_object_id"] = number

    path = altered(tmp_path, all_of_them)
    with pytest.raises(ValueError, match=r"altered\.fastnn does not describe a model"):
        load_model(path)  # whose layers would all be one, or none of them is


class Loads(Layer):
    """A layer whose making loads another file."""

    def __init__(self, file: str, **options: Any) -> None:
        super().__init__(**options)
        self.file = file
        self.model = load_model(file)

    def call(self, x: Any) -> Any:
        return self.model(x)


def test_a_file_that_is_loaded_while_one_is_loaded_has_its_own_numbers(tmp_path: Path) -> None:
    dense = Dense(6)
    x = Input((4, 6))
    inner = Model(x, TimeDistributed(dense)(dense(x)))
    inner.save(tmp_path / "inner.fastnn")
    other = Dense(6)
    outer = Model(x := Input((4, 6)), Loads(str(tmp_path / "inner.fastnn"))(TimeDistributed(other)(other(x))))
    outer.save(tmp_path / "outer.fastnn")
    again = load_model(tmp_path / "outer.fastnn", {"Loads": Loads})
    rows = RNG.standard_normal((3, 4, 6)).astype(np.float32)
    assert again.predict(rows, verbose=0).tobytes() == outer.predict(rows, verbose=0).tobytes()

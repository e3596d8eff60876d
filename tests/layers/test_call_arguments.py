"""What a layer's call is given beside one tensor: dicts, lists, numbers, texts and names; in models and files."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from fastnn import ops
from fastnn.layers import Dense, Input, Layer
from fastnn.models import Model, clone_model, load_model, model_from_json
from fastnn.object_registration import custom_object_scope
from fastnn.store import architecture

rng = np.random.default_rng(0)
X, Z = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32)


class Mixed(Layer):
    """dense(x) * scale, and what `more` has, as `mode` says."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = Dense(3, kernel_initializer="ones")

    def call(self, x: Any, scale: float = 1.0, more: Any = None, mode: str = "plus") -> Any:
        if isinstance(x, dict):
            x = x["rows"][0]
        y = self.dense(x) * scale
        if more is None:
            return y
        return y + more["a"] if mode == "plus" else y - more["a"]


@pytest.fixture(autouse=True)
def known() -> Any:
    with custom_object_scope({"Mixed": Mixed, "Outer": Outer}):
        yield


def sums(x: np.ndarray = X) -> np.ndarray:
    return x.sum(1, keepdims=True) * np.ones(3, np.float32)


# How the layer is called on x and z, and what that gives.
CALLS = {
    "a number by name": (lambda layer, x, z: layer(x, scale=2.5), lambda: 2.5 * sums()),
    "a number by place": (lambda layer, x, z: layer(x, 2.5), lambda: 2.5 * sums()),
    "NumPy's number": (lambda layer, x, z: layer(x, np.float32(2.5)), lambda: 2.5 * sums()),
    "tensors by name": (lambda layer, x, z: layer(x=x, more={"a": z}), lambda: sums() + Z),
    "a text": (lambda layer, x, z: layer(x, 3, {"a": z}, mode="minus"), lambda: 3 * sums() - Z),
    "a dict": (lambda layer, x, z: layer({"rows": [x], "other": 1}, more={"a": z}), lambda: sums() + Z),
    "a number in a dict": (lambda layer, x, z: layer(x, more={"a": 0.5}), lambda: sums() + 0.5),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_a_call(name: str, tmp_path: Any) -> None:
    call, expected = CALLS[name]
    x, z = Input((4,), name="x"), Input((3,), name="z")
    # The same layer is called once without them, so that each call has its own.
    layer = Mixed()
    once = layer(x)
    model = Model([x, z], [call(layer, x, z), once, z * 1.0])
    model.save(tmp_path / "model")
    configured = Model.from_config(model.get_config())
    for each in (
        model,
        load_model(tmp_path / "model"),
        clone_model(model),
        clone_model(model, clone_function=lambda member: type(member).from_config(member.get_config())),
        copy.deepcopy(model),
        configured,
        model_from_json(model.to_json()),
        model_from_json(json.dumps(architecture.describe(model))),
    ):
        got = each.predict([X, Z])
        np.testing.assert_allclose(got[0], expected(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got[1], sums(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(call(Mixed(), X, Z), expected(), rtol=1e-5, atol=1e-6)


class Outer(Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mixed = Mixed()

    def call(self, x: Any, training: bool = False) -> Any:
        return self.mixed(x, scale=2.0) if training else self.mixed(x, scale=3.0)


def test_two_calls_that_differ_in_a_number_are_two() -> None:
    x = Input((4,))
    model = Model(x, Outer()(x))
    np.testing.assert_allclose(model.predict(X), 3 * sums(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(X, training=True), 2 * sums(), rtol=1e-5, atol=1e-6)


def test_what_a_file_cannot_hold(tmp_path: Any) -> None:
    class Scaled(Layer):
        def call(self, x: Any, by: Any = 1.0) -> Any:
            return x * ops.convert_to_tensor(by) if hasattr(by, "ndim") else x

    x = Input((4,))
    for by in (np.ones(4, np.float32), object()):
        model = Model(x, Scaled()(x, by=by))
        with pytest.raises(TypeError, match=r"'scaled' was called with .*, which a file cannot hold"):
            model.save(tmp_path / "model")


@pytest.mark.parametrize(
    "entry",
    [[[1, [{"tensor": 9}], {}]], [[1, [{"tensor": "0"}], {}]], [[1, [{"other": 0}], {}]], [[1, 2]], [[1, [{}], {}]]],
)
def test_damaged_arguments_are_refused(entry: Any) -> None:
    x = Input((4,))
    described = architecture.describe(Model(x, Mixed()(x, scale=2.0)))
    described["models"][0]["calls"] = entry
    with pytest.raises(ValueError, match=r"argument of a call|expected"):
        model_from_json(json.dumps(described))

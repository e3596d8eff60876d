"""A layer on each step of a sequence: its weights, names, files; what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.layers import BatchNormalization, Concatenate, Dense, Dropout, Flatten, Input, Reshape, TimeDistributed
from fastnn.models import Model, Sequential, clone_model, load_model, model_from_json

X = np.random.default_rng(0).normal(size=(40, 3, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)


def model_of(layer: Any) -> Sequential:
    model = Sequential([Input((3, 4)), TimeDistributed(layer), Flatten(), Dense(2)])
    model.compile("adam", "mse")
    return model


def test_weights_are_those_of_the_layer_by_its_name() -> None:
    inner = Dense(5)
    model = model_of(inner)
    layer = model.layers[0]
    assert (layer.name, inner.name, layer.output.shape) == ("time_distributed", "dense", (None, 3, 5))
    assert layer.count_params() == inner.count_params() == 25
    assert model.count_params() == 25 + 32
    for one, other in zip(layer.get_weights(), inner.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    layer.set_weights([np.ones((4, 5)), np.zeros(5)])
    np.testing.assert_allclose(inner(X[:, 0]), np.repeat(X[:, 0].sum(1, keepdims=True), 5, 1), rtol=1e-5, atol=1e-6)
    assert [w.shape for w in layer.trainable_weights] == [(4, 5), (5,)]
    assert layer.non_trainable_weights == []


def test_summary_counts_the_layers_weights() -> None:
    lines: list[str] = []
    model_of(Dense(5)).summary(print_fn=lines.append)
    assert "time_distributed (TimeDistributed)   (None, 3, 5)           25" in lines[0]


def test_it_is_the_layer_on_each_step() -> None:
    first = Input((4,))
    inner = Model(first, Concatenate()([Dense(3, "tanh")(first), first]))
    steps = Input((3, 4))
    model = Model(steps, TimeDistributed(inner)(steps))
    expected = np.stack([inner.predict(np.ascontiguousarray(X[:, t])) for t in range(3)], axis=1)
    np.testing.assert_array_equal(model.predict(X), expected)
    assert TimeDistributed(inner)(X).shape == (40, 3, 7)


def test_trainable_is_the_layers() -> None:
    inner = Dense(5)
    layer = TimeDistributed(inner)
    layer.trainable = False
    assert not inner.trainable
    model = Sequential([Input((3, 4)), layer, Flatten(), Dense(2)])
    model.compile("sgd", "mse")
    before = inner.get_weights()
    model.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(inner.get_weights()[0], before[0])
    assert layer.trainable_weights == []
    model.trainable = True
    assert inner.trainable
    assert layer.trainable
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    assert (inner.get_weights()[0] != before[0]).all()
    assert not TimeDistributed(Dense(2), trainable=False).layer.trainable


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense(5, "relu", name="mine"),
        lambda: BatchNormalization(),
        lambda: Sequential([Dense(3, "tanh"), Dropout(0.2, seed=1), Dense(2)], name="steps"),
    ],
)
def test_files_and_configs(make: Any, tmp_path: Path) -> None:
    model = model_of(make())
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for each in (model, loaded):  # the optimizer's state was there too
        each.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for copy in (clone_model(model), model_from_json(model.to_json())):
        assert [w.shape for w in copy.get_weights()] == [w.shape for w in model.get_weights()]
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    model.save_weights(tmp_path / "weights")
    copy.load_weights(tmp_path / "weights")


def test_names_in_a_file(tmp_path: Path) -> None:
    from fastnn.store import safetensors

    model_of(Sequential([Dense(3), Dense(2)], name="steps")).save_weights(tmp_path / "weights")
    tensors, _ = safetensors.read(tmp_path / "weights")
    assert set(tensors) == {f"time_distributed/steps/{name}" for name in ("dense/kernel", "dense/bias")} | {
        f"time_distributed/steps/{name}" for name in ("dense_1/kernel", "dense_1/bias")
    } | {"dense/kernel", "dense/bias"}


def test_called_twice_it_has_one_set_of_weights() -> None:
    layer = TimeDistributed(Dense(5))
    inputs = [Input((3, 4)), Input((2, 4))]
    model = Model(inputs, [layer(each) for each in inputs])
    assert model.count_params() == 25
    a, b = model.predict([X, X[:, :2].copy()])
    np.testing.assert_array_equal(a[:, :2], b)


def test_a_model_inside_goes_on_alone(tmp_path: Path) -> None:
    model = model_of(Sequential([Dense(3, "tanh"), Dense(2)]))
    model.save(tmp_path / "model")
    inner = load_model(tmp_path / "model").layers[0].layer
    np.testing.assert_array_equal(inner.predict(X[:, 0].copy()), model.layers[0].layer.predict(X[:, 0].copy()))


def test_what_it_refuses() -> None:
    with pytest.raises(TypeError, match="layer must be a layer or a model, got 3"):
        TimeDistributed(3)
    with pytest.raises(ValueError, match=r"'time_distributed': TimeDistributed expects rows of at least two axes"):
        TimeDistributed(Dense(3))(Input((3,)))
    with pytest.raises(ValueError, match=r"TimeDistributed reads 1 tensor\(s\), got 2"):
        TimeDistributed(Dense(3))([Input((3, 4)), Input((3, 4))])
    with pytest.raises(ValueError, match=r"'time_distributed': layer 're.*': Reshape cannot"):
        TimeDistributed(Reshape(3))(Input((3, 4)))
    with pytest.raises(ValueError, match=r"at most 2\*\*31"):
        TimeDistributed(Dense(2**20))(Input((2**12, 1)))
    assert TimeDistributed(BatchNormalization())(Input((332, 1))).shape == (None, 332, 1)
    with pytest.raises(ValueError, match="sees its batch as a whole takes at most 332 steps, got 333"):
        TimeDistributed(BatchNormalization())(Input((333, 1)))
    with pytest.raises(RuntimeError, match="has no weights yet"):
        TimeDistributed(Dense(3)).get_weights()
    first = Input((4,))
    with pytest.raises(ValueError, match="of one output, got one of 2"):
        TimeDistributed(Model(first, [Dense(1)(first), Dense(2)(first)]))(Input((3, 4)))

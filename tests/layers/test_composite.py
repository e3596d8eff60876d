"""Layers that are made of layers, and layers of several ops with weights, beside the same layers one by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import ops
from fastnn.engine.ops import DenseOp
from fastnn.layers import Add, Composite, Dense, Dropout, Embedding, Flatten, Input, Layer, TimeDistributed
from fastnn.models import Model, Sequential, clone_model, load_model
from fastnn.optimizers import SGD
from fastnn.store import safetensors

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Residual(Composite):
    """x + dense(dense(x))."""

    units: int
    rate: float = 0.0
    name: str | None = None

    def __post_init__(self) -> None:
        self.first = Dense(3, "tanh", kernel_regularizer="l2")
        self.second = Dense(self.units, use_bias=False)

    def call(self, x: Any) -> Any:
        return Add()([x, Dropout(self.rate)(self.second(self.first(x)))])


@dataclass(frozen=True, eq=False)
class Mixed(Composite):
    """A layer of two inputs."""

    def call(self, a: Any, b: Any) -> Any:
        return Add(name="sum")([a, b])


class Double(Layer):
    """Two Dense layers of one kind, as two ops of a layer."""

    def output_shape(self, input_shape: Any) -> Any:
        return (2,)

    def parameters(self, input_shape: Any) -> Any:
        both = [*Dense(7).parameters(input_shape), *Dense(2, kernel_regularizer="l2").parameters((7,))]
        return tuple(p._replace(name=f"{p.name}_{place // 2}") for place, p in enumerate(both))

    def ops(self, input_shape: Any) -> Any:
        return DenseOp(input_shape[0], 7), DenseOp(7, 2)


def composed() -> tuple[Sequential, Residual]:
    layer = Residual(4)
    return Sequential([Input((4,)), layer, Dense(2)]), layer


def alone() -> Model:
    x = Input((4,))
    hidden = Dense(4, use_bias=False)(Dense(3, "tanh", kernel_regularizer="l2")(x))
    return Model(x, Dense(2)(Add()([x, hidden])))


def test_it_learns_as_its_layers_do() -> None:
    ours, _ = composed()
    theirs = alone()
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_ops_of_a_layer_with_weights(tmp_path: Path) -> None:
    ours = Sequential([Input((4,)), Double(), Dense(2)])
    theirs = Sequential([Input((4,)), Dense(7), Dense(2, kernel_regularizer="l2"), Dense(2)])
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    assert ours.layers[0].count_params() == 4 * 7 + 7 + 7 * 2 + 2
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    ours.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", {"Double": Double})
    for model in (ours, loaded):  # the optimizer's state has come back too
        model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(ours.predict(X), loaded.predict(X))
    Model(ours.input, Dense(1)(ours.layers[0].output))  # brings the layer into another store
    for model in (ours, loaded):
        model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(ours.predict(X), loaded.predict(X))
    ours.layers[0].trainable = False
    ours.compile("sgd", "mse")
    before = ours.layers[0].get_weights()
    ours.fit(X, Y, verbose=0)
    for one, other in zip(ours.layers[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_op_without_its_parameters_is_told() -> None:
    class Lost(Layer):
        def ops(self, input_shape: Any) -> Any:
            return (DenseOp(4, 4),)

    with pytest.raises(ValueError, match="layer 'lost': an op of 20 parameters needs more than the layer has"):
        Sequential([Input((4,)), Lost()])


def test_weights_names_and_counts() -> None:
    model, layer = composed()
    assert [w.shape for w in layer.get_weights()] == [(4, 3), (3,), (3, 4)]
    assert layer.count_params() == 27
    assert model.count_params() == 27 + 10
    assert sorted(model.description.arrays()) == [
        "dense/bias",
        "dense/kernel",
        "residual/dense/bias",
        "residual/dense/kernel",
        "residual/dense_1/kernel",
    ]
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "residual (Residual)" in lines[0]
    assert "Total params: 37" in lines[0]
    layer.set_weights([np.zeros((4, 3)), np.zeros(3), np.zeros((3, 4))])
    np.testing.assert_array_equal(layer(X), X)


def test_files_and_clones(tmp_path: Path) -> None:
    model, _ = composed()
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"unknown layer 'Residual'.*custom_objects"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", {"Residual": Residual})
    assert loaded.get_config() == model.get_config()
    for each in (model, loaded):
        each.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    copy = clone_model(model)
    assert (copy.get_weights()[0] != model.get_weights()[0]).any()
    model.save_weights(tmp_path / "weights")
    copy.load_weights(tmp_path / "weights")
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    assert "residual/dense_1/kernel" in safetensors.read(tmp_path / "weights")[0]


def test_trainable_goes_to_its_layers() -> None:
    model, layer = composed()
    layer.trainable = False
    assert not layer.first.trainable
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 3
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.fit(X, Y, verbose=0)
    for one, other in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    model.trainable = True
    assert layer.trainable
    layer.second.trainable = False
    assert len(layer.trainable_weights) == 2
    frozen = Residual(4, trainable=False)
    frozen(Input((4,)))
    assert not frozen.second.trainable


def test_called_twice_it_has_one_set_of_weights() -> None:
    layer = Residual(4)
    x = Input((4,))
    model = Model(x, layer(layer(x)))
    assert model.count_params() == 27
    once = Model(x, layer(x))
    np.testing.assert_array_equal(model.predict(X), once.predict(once.predict(X)))


def test_within_each_other() -> None:
    layer = Residual(4)
    model = Sequential([Input((3, 4)), TimeDistributed(layer), Flatten()])
    steps = np.stack([X[:20], X[20:40], X[40:]], axis=1)
    expected = np.stack([layer(np.ascontiguousarray(steps[:, t])) for t in range(3)], axis=1)
    np.testing.assert_array_equal(model.predict(steps), expected.reshape(20, -1))
    assert "time_distributed/residual/dense/kernel" in model.description.arrays()


def test_of_two_inputs() -> None:
    a, b = Input((4,)), Input((4,))
    model = Model([a, b], Mixed()([a, b]))
    np.testing.assert_array_equal(model.predict([X, X]), X + X)
    with pytest.raises(ValueError, match=r"layer 'mixed': Mixed reads 2 tensor\(s\), got 1"):
        Mixed()(a)


def test_what_is_told() -> None:
    class New(Composite):
        def call(self, x: Any) -> Any:
            return Dense(4)(x)

    layer = New()
    tensor = layer(Input((4,)))
    with pytest.raises(ValueError, match=r"New.call used other layers than before; make them once"):
        layer(tensor)
    with pytest.raises(RuntimeError, match="has no weights yet"):
        Residual(4).get_weights()

    class Nothing(Composite):
        """It has no call."""

    with pytest.raises(TypeError, match="Nothing has no call; write call"):
        Nothing()(Input((4,)))

    class Number(Composite):
        def call(self, x: Any) -> Any:
            return 3

    with pytest.raises(TypeError, match=r"Number.call must give one symbolic tensor, got 3"):
        Number()(Input((4,)))
    with pytest.raises(ValueError, match=r"layer 'residual': layer 'add': Add expects rows of one shape"):
        Residual(5)(Input((4,)))


def test_an_array_in_a_call_is_a_constant_that_a_layers_weights_learn_from() -> None:
    """Keras's examples add an embedding of places: of an array, which no row has."""

    class Places(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = Embedding(3, 4)

        def call(self, x: Any) -> Any:
            return x + self.embedding(ops.arange(0, ops.shape(x)[1]))

    layer, x = Places(), Input((3, 4))
    model = Model(x, layer(x))
    model.compile(SGD(1.0), "mse")
    assert [w.shape for w in model.get_weights()] == [(3, 4)]
    rows, (before,) = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32), model.get_weights()
    np.testing.assert_allclose(model.predict(rows), rows + before, rtol=1e-6)
    model.train_on_batch(rows, np.zeros_like(rows))
    slope = 2 * (rows + before).sum(axis=0) / rows.size
    np.testing.assert_allclose(before - model.get_weights()[0], slope, rtol=1e-4, atol=1e-6)

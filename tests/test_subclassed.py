"""Models of the user's own: a subclass of Model with a `call`, beside the same model of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import ops
from fastnn.layers import Dense, Dropout, Input, Layer
from fastnn.models import Model, Sequential, load_model
from fastnn.object_registration import register_keras_serializable
from support.guarded import close

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 4)).astype(np.float32)
Y = rng.integers(0, 3, 80)


class Classifier(Model):
    """As Keras's documentation has it."""

    def __init__(self, hidden: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden = hidden
        self.dense1 = Dense(hidden, activation="relu")
        self.dropout = Dropout(0.5)
        self.dense2 = Dense(3, activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.dense1(inputs)
        if training:
            x = self.dropout(x, training=training)
        return self.dense2(x)


class Plain(Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = Dense(5, "tanh")
        self.second = Dense(3, "softmax")

    def call(self, x: Any) -> Any:
        return self.second(self.first(x))


def trained(model: Any, y: Any = Y, epochs: int = 4) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(X, y, epochs=epochs, verbose=0, shuffle=False).history


def test_its_bits_are_those_of_layers() -> None:
    ours, theirs = Plain(), Sequential([Input((4,)), Dense(5, "tanh"), Dense(3, "softmax")])
    ours.build((None, 4))
    theirs.set_weights(ours.get_weights())
    one, other = trained(ours), trained(theirs)
    assert one["loss"] == other["loss"]
    assert one["accuracy"] == other["accuracy"]
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_built_when_it_is_needed() -> None:
    for begin in (
        lambda model: model.fit(X, Y, verbose=0),
        lambda model: model.predict(X),
        lambda model: model.evaluate(X, Y, verbose=0),
        lambda model: model.train_on_batch(X, Y),
        lambda model: model(X),
        lambda model: model(Input((4,))),
        lambda model: model.build((None, 4)),
        lambda model: model.build(input_shape=(4,)),
        lambda model: model.fit(((X[i : i + 8], Y[i : i + 8]) for i in range(0, 80, 8)), verbose=0),
    ):
        model = Plain()
        assert not model.built
        with pytest.raises(RuntimeError, match=r"needs the model's weights.*build\(input_shape\)"):
            model.get_weights()
        model.compile("sgd", "sparse_categorical_crossentropy")
        begin(model)
        assert model.built
        assert [type(each).__name__ for each in model.layers] == ["Dense", "Dense"]
        assert model.count_params() == 4 * 5 + 5 + 5 * 3 + 3
        assert model.predict(X).shape == (80, 3)
        assert model.input_shape == (None, 4)


def test_dropout_is_of_training_alone() -> None:
    model = Classifier(16)
    history = trained(model, epochs=30)
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_array_equal(model.predict(X), model.predict(X))
    names = [type(node.layer).__name__ for node in model.description.graph.nodes]
    assert names == ["InputLayer", "Dense", "Dropout", "Operation", "Dense"]


def test_files(tmp_path: Path) -> None:
    model = Classifier(6, name="mine")
    trained(model)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"unknown model 'Classifier'; for one of your own pass custom_objects"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", {"Classifier": Classifier})
    assert (loaded.hidden, loaded.name) == (6, "mine")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for each in (model, loaded):  # with the optimizer's state
        each.fit(X, Y, verbose=0, shuffle=False)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
    model.save_weights(tmp_path / "weights")
    fresh = Classifier(6)
    fresh.build((None, 4))
    fresh.load_weights(tmp_path / "weights")
    np.testing.assert_array_equal(fresh.predict(X), model.predict(X))

    @register_keras_serializable("tests")
    class Registered(Plain):
        pass

    other = Sequential([Input((4,)), Registered(), Dense(2)])
    other.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X), other.predict(X))


def test_several_inputs_and_outputs() -> None:
    class Two(Model):
        def __init__(self) -> None:
            super().__init__()
            self.shared = Dense(3)

        def call(self, inputs: Any) -> Any:
            a, b = self.shared(inputs["a"]), self.shared(inputs["b"])
            return {"sum": a + b, "product": a * b}

    class Pair(Model):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = Dense(3), Dense(2)

        def call(self, inputs: Any) -> Any:
            a, b = inputs
            return self.one(a), self.other(b)

    y = X[:, :3]
    model = Two()
    model.compile("sgd", {"sum": "mse", "product": "mae"}, loss_weights={"sum": 2.0, "product": 1.0})
    history = model.fit({"a": X, "b": 2 * X}, {"sum": y, "product": y}, verbose=0, epochs=2).history
    close(history["loss"], 2 * np.array(history["sum_loss"]) + np.array(history["product_loss"]), 1e-5)
    kernel, bias = model.get_weights()
    found = model.predict({"b": 2 * X, "a": X})
    close(found["sum"], 3 * (X @ kernel) + 2 * bias, 1e-5, 1e-5)
    assert model.output_names == ["sum", "product"]
    pair = Pair()
    pair.compile("sgd", ["mse", "mae"])
    pair.fit([X, X], [y, X[:, :2]], verbose=0)
    assert [each.shape for each in pair.predict([X, X])] == [(80, 3), (80, 2)]


def test_within_other_models() -> None:
    inner = Plain()
    x = Input((4,))
    model = Model(x, Dense(1)(inner(x)))
    assert model.count_params() == inner.count_params() + 4
    outer = Sequential([inner, Dense(2)])
    outer.build((4,))
    np.testing.assert_array_equal(inner.get_weights()[0], outer.get_weights()[0])

    class Outer(Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Plain()

        def call(self, x: Any, training: bool | None = None) -> Any:
            return ops.sum(self.inner(x, training=training), axis=-1, keepdims=True)

    np.testing.assert_allclose(Outer().predict(X), np.ones((80, 1)), rtol=1e-5)


def test_a_functional_class_and_layers_made_in_build() -> None:
    class Functional(Model):
        def __init__(self, units: int) -> None:
            x = Input((4,))
            super().__init__(inputs=x, outputs=Dense(units)(x))

    assert Functional(3).predict(X).shape == (80, 3)

    class Builds(Model):
        def build(self, input_shape: Any) -> None:
            self.dense = Dense(input_shape[-1])

        def call(self, x: Any) -> Any:
            return self.dense(x)

    assert Builds().predict(X).shape == (80, 4)


def test_added_losses_alone(tmp_path: Path) -> None:
    class Encoder(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(2)

        def call(self, x: Any) -> Any:
            z = self.dense(x)
            self.add_loss(0.5 * ops.mean(ops.square(z)))
            return z

    class Auto(Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = Encoder(), Dense(4)

        def call(self, x: Any) -> Any:
            given = self.decoder(self.encoder(x))
            self.add_loss(ops.mean(ops.square(given - x)))
            return given

    model = Auto()
    model.compile("adam")
    history = model.fit(X, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0]
    z = X @ model.encoder.dense.get_weights()[0] + model.encoder.dense.get_weights()[1]
    expected = np.mean((model.predict(X) - X) ** 2) + 0.5 * np.mean(z**2)
    close(model.evaluate(X, verbose=0), expected, 1e-4)


def test_what_is_told() -> None:
    class Values(Model):
        def call(self, x: Any) -> Any:
            return x if x[0, 0] > 0 else -x

    with pytest.raises(ValueError, match="any number of rows, so all are taken"):
        Values().predict(X)
    with pytest.raises(TypeError, match=r"Mine.train_step would never be called.*model.gradient"):
        type("Mine", (Model,), {"train_step": lambda self, data: {}, "call": lambda self, x: x})
    with pytest.raises(TypeError, match=r"Model.__init__ takes name and trainable, got 'units'"):
        Classifier(units=3)
    with pytest.raises(ValueError, match="build needs the shape of the rows"):
        Plain().build()
    model = Plain()
    model.predict(X)
    with pytest.raises(ValueError, match="expects 4 features, got 3"):
        model.predict(X[:, :3])
    with pytest.raises(ValueError, match="unknown loss"):
        Plain().compile("sgd", "nothing")


class Old(Model):
    """Begun by the name of its base, as scripts of Keras 2 have it."""

    def __init__(self) -> None:
        Model.__init__(self, name="old")
        self.dense = Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_init_by_the_name_of_the_base() -> None:
    model = Old()
    assert model.name == "old"
    assert model.predict(X).shape == (80, 3)
    with pytest.raises(TypeError, match=r"Model\(\) needs inputs and outputs.*call\(self, inputs\)"):
        Model()


def test_trainable_is_known_before_the_graph_is() -> None:
    model = Plain()
    model.trainable = False
    assert not model.trainable
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.build((None, 4))
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.non_trainable_weights
    assert not model.trainable_weights
    model.trainable = True
    assert model.trainable
    assert len(model.trainable_weights) == 4


class Penalised(Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(ops.mean(ops.square(x)))
        return x


def test_compiled_without_a_loss_before_it_is_built() -> None:
    model = Sequential([Penalised(), Dense(3)])
    model.compile("sgd")
    history = model.fit(X, verbose=0, batch_size=80).history
    np.testing.assert_allclose(history["loss"], np.square(X.astype(float)).mean(), rtol=1e-6)
    plain = Sequential([Dense(3)])
    plain.compile("sgd")
    assert plain.predict(X).shape == (80, 3)
    with pytest.raises(ValueError, match="a loss is needed to train; name one in compile"):
        plain.fit(X, X[:, :3], verbose=0)

"""Layers of the user's own with `build`, `call` and `add_weight`, beside the same model written with layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import initializers, ops, random
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Input,
    Lambda,
    Layer,
    LayerNormalization,
    Rescaling,
)
from fastnn.models import Model, Sequential, clone_model, load_model
from fastnn.object_registration import custom_object_scope
from fastnn.optimizers import SGD
from support.guarded import close

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)


class Linear(Layer):
    """As Keras's documentation has it."""

    def __init__(self, units: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b", regularizer="l2")

    def call(self, inputs: Any) -> Any:
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"units": self.units})
        return config


class Block(Layer):
    """Layers within a layer, made in __init__ and in build."""

    def __init__(self, units: int, rate: float = 0.5) -> None:
        super().__init__()
        self.first = Linear(units)
        self.norm = BatchNormalization()
        self.dropout = Dropout(rate)

    def build(self, input_shape: Any) -> None:
        self.last = Dense(input_shape[-1])

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.norm(ops.relu(self.first(x)), training=training)
        if training:
            h = self.dropout(h, training=training)
        return self.last(h) + x


def trained(model: Any, epochs: int = 3) -> Any:
    model.compile("adam", "mse")
    return model.fit(X, Y, epochs=epochs, verbose=0, shuffle=False).history["loss"]


def same_weights(one: Any, other: Any) -> None:
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_bits_are_those_of_dense() -> None:
    ours = Sequential([Input((4,)), Linear(8), Activation("tanh"), Linear(2)])
    theirs = Sequential(
        [Input((4,)), Dense(8, bias_regularizer="l2"), Activation("tanh"), Dense(2, bias_regularizer="l2")]
    )
    theirs.set_weights(ours.get_weights())
    assert trained(ours) == trained(theirs)
    same_weights(ours, theirs)
    assert sorted(ours.description.arrays()) == ["linear/b", "linear/w", "linear_1/b", "linear_1/w"]
    assert ours.layers[0].count_params() == 40
    assert [w.shape for w in ours.layers[0].get_weights()] == [(4, 8), (8,)]


def test_files_clones_and_scopes(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Linear(8, name="mine"), Block(3), Dense(2)])
    trained(model)
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"unknown layer 'Linear'.*custom_objects"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", {"Linear": Linear, "Block": Block})
    with custom_object_scope({"Linear": Linear, "Block": Block}):
        assert load_model(tmp_path / "model").layers[0].units == 8
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for each in (model, loaded):
        each.fit(X, Y, epochs=1, verbose=0, shuffle=False)
    same_weights(loaded, model)
    copy = clone_model(model)
    assert copy.layers[0].name == "mine"
    assert [w.shape for w in copy.get_weights()] == [w.shape for w in model.get_weights()]


def test_get_config_is_what_it_was_made_with() -> None:
    assert Linear(3, name="a").get_config() == {"name": "a", "trainable": True, "dtype": "float32", "units": 3}
    config = Block(3).get_config()
    assert config["units"] == 3
    assert Block(5, rate=0.1).get_config()["rate"] == 0.1
    assert Linear.from_config(Linear(3).get_config()).units == 3

    class Odd(Layer):
        def __init__(self, thing: Any) -> None:
            super().__init__()

        def call(self, x: Any) -> Any:
            return x * 1

    with pytest.raises(TypeError, match=r"Odd was made with what cannot be described.*write get_config"):
        Odd({1, 2}).get_config()


@pytest.mark.parametrize("epochs", [1, 3])
def test_training_is_asked_in_both_ways(epochs: int) -> None:
    """What only training does is as a Dropout in a model is, and its place among the ops is the same."""
    block = Block(3)
    ours = Sequential([Input((4,)), block, Dense(2)])
    x = Input((4,))
    h = Activation("relu")(Dense(3, bias_regularizer="l2")(x))
    h = Dropout(0.5, seed=1)(BatchNormalization()(h))
    theirs = Model(x, Dense(2)(Dense(4)(h) + x))
    theirs.set_weights(ours.get_weights())
    close(ours.predict(X), theirs.predict(X), 1e-6, 1e-6)
    trained(ours, epochs)
    assert [type(node.layer).__name__ for node in block.graph((4,)).nodes].count("Dropout") == 1
    plain = Sequential([Input((4,)), Block(3, rate=0.0), Dense(2)])
    still = Sequential([Input((4,)), Block(3, rate=0.999), Dense(2)])
    still.set_weights(plain.get_weights())
    assert trained(plain)[0] != trained(still)[0]


def test_a_value_of_training_is_handed_on() -> None:
    class Asks(Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            return x * 3 if training else x * 2

    model = Sequential([Input((4,)), Asks()])
    np.testing.assert_array_equal(model.predict(X), X * 2)
    model.compile("sgd", "mse")
    history = model.fit(X, X, verbose=0).history
    close(history["loss"][0], np.mean((2 * X.astype(float)) ** 2), 1e-5)
    close(model.evaluate(X, X, verbose=0), np.mean(X.astype(float) ** 2), 1e-5)


def test_weights_in_arithmetic() -> None:
    """Scales, shifts, scalars, penalties and weights that are used twice, beside NumPy and finite differences."""

    class Many(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")
            self.power = self.add_weight(initializer=initializers.Constant(0.5), name="power")
            self.w = self.add_weight(shape=(4, 3), initializer="he_normal", name="w")
            self.fixed = self.add_weight(shape=(3,), initializer="ones", trainable=False, name="fixed")

        def call(self, x: Any) -> Any:
            h = ops.matmul(x * self.scale, self.w) + self.fixed
            back = ops.matmul(h, ops.transpose(self.w))
            return back * self.power + ops.sum(ops.square(self.w))

    layer = Many()
    model = Sequential([Input((4,)), layer])
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    s, p, w, f = (np.asarray(each, float) for each in (layer.scale, layer.power, layer.w, layer.fixed))
    target = rng.normal(size=(60, 4)).astype(np.float32)

    def given(s: Any, p: Any, w: Any) -> Any:
        return ((X * s) @ w + f) @ w.T * p + np.sum(w * w)

    close(model.predict(X), given(s, p, w), 1e-4, 1e-4)
    model.compile("sgd", "mse")
    before = {each.name: each.numpy().astype(float) for each in (layer.scale, layer.power, layer.w)}
    rate = model.optimizer.learning_rate
    model.train_on_batch(X, target)
    for place, name in enumerate(("scale", "power", "w")):
        slope = (before[name] - getattr(layer, name).numpy()) / rate
        numeric = np.empty(np.shape(slope))
        for index in np.ndindex(numeric.shape):
            ends = []
            for step in (1e-5, -1e-5):
                arguments = [s.copy(), p.copy(), w.copy()]
                arguments[place][index] += step
                ends.append(np.mean((given(*arguments) - target) ** 2))
            numeric[index] = (ends[0] - ends[1]) / 2e-5
        close(slope, numeric, 2e-2, 2e-2)
    np.testing.assert_array_equal(layer.fixed.numpy(), f)
    assert layer.w.name == "w"
    layer.w.assign(np.ones((4, 3)))
    np.testing.assert_array_equal(layer.w.numpy(), np.ones((4, 3)))
    layer.w.assign_add(np.ones((4, 3)))
    np.testing.assert_array_equal(np.asarray(layer.w) * 2, np.full((4, 3), 4.0))
    with pytest.raises(ValueError, match=r"value has shape \(3,\), expected \(4, 3\)"):
        layer.w.assign([1, 2, 3])


@pytest.mark.parametrize("method", ["assign_add", "assign_sub"])
def test_a_call_that_counts_is_refused(method: str) -> None:
    """It is run once, so the count would be 1 whatever there is to count."""

    class Counting(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.counter = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            getattr(self.counter, method)(1)
            return x

    layer = Counting()
    with pytest.raises(TypeError, match=rf"{method} in a call would act once, not for each batch"):
        Sequential([Input((4,)), layer, Dense(1)])
    assert layer.counter.numpy() == 0


def test_values_before_there_is_a_model_stay() -> None:
    layer = Linear(2)
    layer.build((None, 4))
    first = layer.w.numpy()
    layer.b.assign([1.0, 2.0])
    layer.built = True
    np.testing.assert_allclose(layer(X), X @ first + [1.0, 2.0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.w.numpy(), first)


def test_a_derived_layer_goes_on_from_its_base() -> None:
    class Twice(Dense):
        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * 2

    ours, theirs = Sequential([Input((4,)), Twice(2)]), Sequential([Input((4,)), Dense(2), Rescaling(2.0)])
    theirs.set_weights(ours.get_weights())
    assert trained(ours) == trained(theirs)
    same_weights(ours, theirs)


def test_several_tensors_in_and_out() -> None:
    class Both(Layer):
        def call(self, inputs: Any) -> Any:
            a, b = inputs
            return {"sum": a + b, "product": a * b}

    class Named(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs["a"] - inputs["b"]

    class Apart(Layer):
        def call(self, a: Any, b: Any, scale: float = 2.0) -> Any:
            return (a - b) * scale

    a, b = Input((4,)), Input((4,))
    both = Both()([a, b])
    model = Model(
        [a, b], [both["sum"], both["product"], Named()({"a": a, "b": b}), Apart()(a, b), Apart()(a, b, scale=3.0)]
    )
    found = model.predict([X, 2 * X])
    for one, other in zip(found, [3 * X, 2 * X * X, -X, -2 * X, -3 * X], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_added_losses() -> None:
    """A penalty of a layer's own is as that of a regulariser of what it gives; a sum grows with the batch."""

    class Penalty(Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(0.1 * ops.mean(ops.sum(ops.square(x), axis=-1)))
            return x

    class Total(Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.sum(ops.square(x)) * 0.1)
            return x

    losses = {}
    for kind in (Penalty, Total):
        model = Sequential([Input((4,)), kind(), Dense(2, kernel_initializer="zeros")])
        model.compile("sgd", "mse")
        losses[kind] = model.evaluate(X, Y, verbose=0, batch_size=60)
    plain = np.mean(Y.astype(float) ** 2)
    square = np.sum(X.astype(float) ** 2)
    close(losses[Penalty], plain + 0.1 * square / 60, 1e-5)
    close(losses[Total], plain + 0.1 * square, 1e-5)

    class Weighted(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = self.add_weight(shape=(4,), initializer="ones")

        def call(self, x: Any) -> Any:
            self.add_loss(ops.sum(ops.square(self.w)))
            return x * self.w

    model = Sequential([Input((4,)), Weighted(), Dense(2, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    close(model.evaluate(X, Y, verbose=0), plain + 4, 1e-5)
    model.fit(X, Y, verbose=0, epochs=200)
    assert np.abs(model.layers[0].w.numpy()).max() < 0.2


def test_normal_numbers_of_a_layer() -> None:
    class Sampling(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seeds = random.SeedGenerator(7)

        def call(self, inputs: Any) -> Any:
            mean, log_var = inputs
            epsilon = random.normal(shape=ops.shape(mean), seed=self.seeds)
            return mean + ops.exp(0.5 * log_var) * epsilon

    class Spread(Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.mean(x) * 0)
            return x

    x = Input((4,))
    model = Model(x, Sampling()([x * 0 + 3, x * 0 + np.log(4.0)]))
    np.testing.assert_allclose(model.predict(X), 3, rtol=1e-6)
    model.compile("sgd", "mse")
    rows = np.zeros((20000, 4), np.float32)
    loss = model.fit(rows, rows + 3, epochs=1, verbose=0, batch_size=1000).history["loss"][0]
    assert loss == pytest.approx(4.0, rel=0.02)  # the variance


def test_lambda_of_either_kind(tmp_path: Path) -> None:
    def curve(x: Any) -> Any:
        return np.sin(x) * x

    def models() -> list[Any]:
        own = [
            Lambda(curve),
            Lambda(curve, gradient=lambda x, d: (np.cos(x) * x + np.sin(x)) * d),
            Lambda(lambda x: ops.sin(x) * x),
            Lambda(lambda x, by: ops.sin(x) * x * by, arguments={"by": 1.0}),
        ]
        return [Sequential([Input((4,)), Dense(3), each, Dense(2)]) for each in own]

    made = models()
    for each in made[1:]:
        each.set_weights(made[0].get_weights())
    histories = [trained(each) for each in made]
    for each in histories[1:]:
        close(each, histories[0], 1e-4)
    made[0].save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"Python function 'curve', which a file cannot hold; pass custom_objects"):
        load_model(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model", {"curve": curve}).predict(X), made[0].predict(X))
    assert Lambda(lambda x: x.reshape(len(x), 2, 2))(X).shape == (60, 2, 2)
    for wrong, words in ((3, "function must be a function"), (np.sin, "gradient must be a function")):
        with pytest.raises(TypeError, match=words):
            Lambda(wrong, gradient=5)


def test_what_hangs_on_values_shows_the_line() -> None:
    class Chooses(Layer):
        def call(self, x: Any) -> Any:
            if ops.sum(x, axis=-1) > 0:  # the user's line
                return x
            return -x

    class Counts(Layer):
        def call(self, x: Any) -> Any:
            return sum(x)

    class Truth(Layer):
        def call(self, x: Any) -> Any:
            return x if x else -x

    for cls, words in (
        (Chooses, r"compared with numbers[\s\S]*test_traced.py, line \d+: if ops.sum\(x, axis=-1\) > 0"),
        (Counts, r"cannot be gone through[\s\S]*return sum\(x\)"),
        (Truth, r"asked whether it is true[\s\S]*return x if x else -x"),
    ):
        with pytest.raises(TypeError, match=words):
            Sequential([Input((4,)), cls()])
    with pytest.raises(TypeError, match=r"numpy.exp cannot take[\s\S]*write fastnn.ops.exp"):
        np.exp(Input((4,)))
    with pytest.raises(ValueError, match=r"add_loss\(\) can only be called from inside call"):
        Linear(2).add_loss(3)


def test_what_is_told() -> None:
    class Fresh(Layer):
        def call(self, x: Any) -> Any:
            return Dense(4)(x)

    layer = Fresh()
    tensor = layer(Input((4,)))
    with pytest.raises(ValueError, match=r"Fresh.call used other layers than before; make them once"):
        layer(tensor)

    class Twice(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = self.add_weight(shape=(4,), name="w")
            self.v = self.add_weight(shape=(4,), name="w")

        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ValueError, match="has a weight 'w' already"):
        Twice()
    for arguments, words in (
        ({"shape": (0,)}, "add_weight: shape must be"),
        ({"shape": (2,), "dtype": "float64"}, "weights are float32, got dtype 'float64'"),
        ({"shape": (2,), "name": "a/b"}, "name must be a text without '/'"),
    ):
        with pytest.raises(ValueError, match=words):
            Linear(2).add_weight(**arguments)

    class Conditional(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = self.add_weight(shape=(4, 4), name="w")
            self.b = self.add_weight(shape=(4,), name="b")
            self.plain = False

        def call(self, x: Any) -> Any:
            return x @ self.w if self.plain else x @ self.w + self.b

    layer = Conditional()
    layer(Input((4,)))
    layer.plain = True
    with pytest.raises(ValueError, match="used its weight 'w' otherwise than before"):
        layer(Input((4,)))


def test_a_kernel_and_its_bias_used_apart() -> None:
    class Apart(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = self.add_weight(shape=(4, 4), name="w")
            self.b = self.add_weight(shape=(4,), initializer="ones", name="b")

        def call(self, x: Any) -> Any:
            return (x @ self.w + self.b) * self.b + x @ self.w

    layer = Apart()
    x64 = X.astype(float)
    w, b = layer.w.numpy(), np.ones(4)
    close(layer(X), (x64 @ w + b) * b + x64 @ w, 1e-5, 1e-5)
    norm = LayerNormalization()
    assert norm(layer(X)).shape == X.shape


class Tied(Model):
    """A decoder that takes the encoder's kernel: of a Dense layer, or a weight of its own."""

    def __init__(self, own: bool, built: bool) -> None:
        super().__init__()
        self.own, self.encoder = own, Dense(3, use_bias=False)
        if built:
            self.encoder.build((None, 4))

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(4, 3))

    def call(self, x: Any) -> Any:
        if self.own:
            return ops.matmul(ops.tanh(ops.matmul(x, self.kernel)), ops.transpose(self.kernel))
        return ops.matmul(self.encoder(x), ops.transpose(self.encoder.kernel))


def test_a_kernel_that_two_places_use_is_a_weight():
    model, x = Tied(own=True, built=False), np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    model.compile(SGD(0.1), "mse")
    model.fit(x, x, epochs=3, verbose=0)
    kernel = model.kernel.numpy().astype(np.float64)
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ kernel) @ kernel.T, rtol=1e-5, atol=1e-6)
    for built in (False, True):  # that of a layer would be a constant, and not learn
        with pytest.raises((AttributeError, TypeError), match="a kernel that two places use is a weight of your own"):
            Tied(own=False, built=built).predict(x)


def test_a_model_of_tensors_has_no_add_loss():
    x = Input((4,))
    with pytest.raises(AttributeError, match=r"write self\.add_loss\(\.\.\.\) in call"):
        Model(x, Dense(1)(x)).add_loss(1.0)


class Factor(Layer):
    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class Around(Layer):
    """A layer that is made of others, which it is given, and says nothing of them."""

    def __init__(self, first: Any, others: Any = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.others = first, list(others)

    def call(self, x: Any) -> Any:
        x = self.first(x)
        for layer in self.others:
            x = layer(x)
        return x


class Told(Around):
    """The same, with the layers themselves in its configuration."""

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "first": self.first, "others": self.others}


@pytest.mark.parametrize("kind", [Around, Told])
@pytest.mark.parametrize("first", [lambda: Dense(4), lambda: Factor(0.5), lambda: Sequential([Dense(4), Factor(2.0)])])
def test_layers_that_a_layer_is_made_with(kind: Any, first: Any, tmp_path: Path) -> None:
    x = Input((4,))
    model = Model(x, kind(first(), [Factor(3.0), Dense(2)])(x))
    with custom_object_scope({"Around": Around, "Told": Told, "Factor": Factor}):
        model.save(tmp_path / "model")
        np.testing.assert_array_equal(load_model(tmp_path / "model").predict(X), model.predict(X))
        again = Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.layers[1].others[0].factor, 3.0)

"""Models as graphs: symbolic calls, shapes, names, several inputs and outputs, as Keras has them."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential
from fastnn.layers import Activation, Add, Concatenate, Dense, Dropout, Flatten, InputLayer, Layer, Multiply
from fastnn.models import clone_model, load_model, model_from_json

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5)).astype(np.float32)
Y = RNG.standard_normal((40, 2)).astype(np.float32)


def bits(model: Model) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


def branches() -> tuple[Model, list[Dense]]:
    """Two inputs, a branch each, joined; two outputs, of which one is read again."""
    layers = [Dense(4, "tanh"), Dense(3, "gelu"), Dense(2, name="mean"), Dense(3, "softmax", name="kind")]
    a, b = Input((5,), name="a"), Input((2, 3), name="b")
    joined = Concatenate()([layers[0](a), layers[1](Flatten()(b))])
    mean = layers[2](joined)
    return Model([a, b], [mean, layers[3](mean)], name="two"), layers


def rows(n: int = 40) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(3)
    xs = [rng.standard_normal((n, 5)).astype(np.float32), rng.standard_normal((n, 2, 3)).astype(np.float32)]
    return xs, [rng.standard_normal((n, 2)).astype(np.float32), rng.integers(0, 3, n)]


# The same as a Sequential, to the bit


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_chain_is_a_sequential(optimizer):
    """Weights, dropout, losses, predictions: nothing depends on how the model was described."""

    def layers() -> list[Layer]:
        return [Dense(9, "tanh"), Dropout(0.3), Dense(6, "relu", kernel_regularizer="l2"), Dense(2)]

    fastnn.set_random_seed(4)
    one = Sequential([Input((5,)), *layers()])
    fastnn.set_random_seed(4)
    x = h = Input((5,))
    for layer in layers():
        h = layer(h)
    other = Model(x, h)
    assert bits(one) == bits(other)
    logs = []
    for model in (one, other):
        model.compile(optimizer, "mse", metrics=["mae"])
        fastnn.set_random_seed(5)
        logs.append(model.fit(X, Y, 7, 3, 0, validation_split=0.2).history)
    assert logs[0] == logs[1]
    assert bits(one) == bits(other)
    assert one.predict(X).tobytes() == other.predict(X).tobytes()
    assert one.evaluate(X, Y, verbose=0) == other.evaluate(X, Y, verbose=0)


def test_a_model_among_layers_is_its_layers():
    def layers() -> list[Layer]:
        return [Dense(9, "tanh"), Dropout(0.3), Dense(4, "relu"), Dense(2)]

    fastnn.set_random_seed(4)
    flat = Sequential([Input((5,)), *layers()])
    first, second = layers()[:2], layers()[2:]
    deep = Sequential([Sequential([Sequential(first)]), *second])
    deep.build((5,))
    deep.set_weights(flat.get_weights())
    deep.description.network.seed = flat.description.network.seed
    for model in (flat, deep):
        model.compile("adam", "mse")
        fastnn.set_random_seed(5)
        model.fit(X, Y, 7, 3, 0)
    assert bits(flat) == bits(deep)


# Against NumPy


def test_branches_equal_numpy():
    model, layers = branches()
    (a, b), _ = rows()
    weights = [[w.astype(float) for w in layer.get_weights()] for layer in layers]
    joined = np.hstack(
        [
            np.tanh(a @ weights[0][0] + weights[0][1]),
            fastnn.activations.GELU().reference(b.reshape(len(b), 6) @ weights[1][0] + weights[1][1]),
        ]
    )
    mean = joined @ weights[2][0] + weights[2][1]
    kind = np.exp(mean @ weights[3][0] + weights[3][1])
    kind /= kind.sum(axis=1, keepdims=True)
    given = model.predict([a, b])
    assert isinstance(given, list)
    np.testing.assert_allclose(given[0], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(given[1], kind, rtol=1e-5, atol=1e-6)
    for again in (
        model.predict({"b": b, "a": a}),
        model([a, b]),
        model.predict((a, b)),
        model.predict_on_batch([a, b]),
    ):
        for x, y in zip(again, given, strict=True):
            assert x.tobytes() == y.tobytes()
            assert x.flags.c_contiguous


def test_gradients_of_branches_equal_differences():
    """One step of SGD moves each weight by the slope of the loss, which central differences of evaluate give too."""
    model, _ = branches()
    xs, ys = rows(8)
    model.compile(fastnn.optimizers.SGD(1.0), ["mse", "sparse_categorical_crossentropy"], loss_weights=[0.5, 2.0])
    before = model.get_weights()
    model.fit(xs, ys, 8, 1, 0, shuffle=False)
    moved = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    rng = np.random.default_rng(1)
    for _ in range(5):
        direction = [rng.standard_normal(w.shape) / 4 for w in before]
        step, ends = 4e-3, []
        for sign in (1, -1):
            model.set_weights([w + sign * step * d for w, d in zip(before, direction, strict=True)])
            ends.append(model.evaluate(xs, ys, verbose=0, return_dict=True)["loss"])
        slope = sum(float((m * d).sum()) for m, d in zip(moved, direction, strict=True))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=3e-3, abs=1e-3)


# Structures


def test_dicts_in_and_out():
    a, b = Input((5,), name="a"), Input((3,), name="b")
    model = Model({"first": a, "second": b}, {"sum": Dense(2)(Concatenate()([a, b])), "left": Dense(1)(a)})
    assert (model.input_names, model.output_names) == (["first", "second"], ["sum", "left"])
    assert model.input_shape == {"first": (None, 5), "second": (None, 3)}
    assert model.output_shape == {"sum": (None, 2), "left": (None, 1)}
    x = {"second": RNG.standard_normal((6, 3)), "first": RNG.standard_normal((6, 5))}
    out = model.predict(x)
    assert {name: array.shape for name, array in out.items()} == {"sum": (6, 2), "left": (6, 1)}
    model.compile("adam", {"left": "mae", "sum": "mse"}, metrics={"left": ["mse"]})
    history = model.fit(x, {"sum": np.ones((6, 2)), "left": np.ones(6)}, verbose=0).history
    assert set(history) == {"loss", "sum_loss", "left_loss", "left_mse"}


def test_rows_of_outputs_keep_their_shape():
    x = Input((2, 3))
    model = Model(x, [Activation("tanh")(x), x])
    rows = RNG.standard_normal((4, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(rows)[0], np.tanh(rows), rtol=1e-5)
    np.testing.assert_array_equal(model.predict(rows)[1], rows)
    single = Model(x, [Activation("tanh")(x)])
    assert [each.shape for each in single.predict(rows)] == [(4, 2, 3)]


def test_an_input_is_an_output_and_one_output_stands_twice():
    x = Input((3,))
    h = Dense(2, "sigmoid")(x)
    model = Model(x, [x, h, h])
    rows = RNG.standard_normal((7, 3)).astype(np.float32)
    first, second, third = model.predict(rows)
    np.testing.assert_array_equal(first, rows)
    np.testing.assert_array_equal(second, third)
    assert model.output_names == ["input_layer", "dense", "dense_1"]
    model.compile("sgd", ["mse", "binary_crossentropy", "mse"])
    assert np.isfinite(model.fit(rows, [rows, np.ones((7, 2)), np.ones((7, 2))], verbose=0).history["loss"][0])


def test_an_output_that_is_read_again_is_not_fused():
    """A loss that takes the place of the activation must not take it from who reads the output too."""
    x = Input((3,))
    h = Dense(2, "sigmoid")(x)
    model = Model(x, [h, Dense(1)(h)])
    rows = RNG.standard_normal((7, 3)).astype(np.float32)
    model.compile("sgd", ["binary_crossentropy", "mse"], metrics=[["mae"], ["mae"]])
    logs = model.evaluate(rows, [np.ones((7, 2)), np.zeros((7, 1))], verbose=0, return_dict=True)
    out = model.predict(rows)
    assert logs["dense_mae"] == pytest.approx(float((1 - out[0]).mean()), rel=1e-5)
    assert logs["dense_1_mae"] == pytest.approx(float(np.abs(out[1]).mean()), rel=1e-5)
    assert logs["dense_loss"] == pytest.approx(float(-np.log(out[0]).mean()), rel=1e-4)


# Names, layers, tensors


def test_what_a_graph_says_of_itself():
    model, layers = branches()
    assert [layer.name for layer in model.layers if isinstance(layer, InputLayer)] == ["b", "a"]
    assert set(layers) < set(model.layers)
    assert model.get_layer("mean") is layers[2]
    assert model.get_layer(index=0) is model.layers[0]
    assert [tensor.shape for tensor in model.inputs] == [(None, 5), (None, 2, 3)]
    assert [tensor.shape for tensor in model.outputs] == [(None, 2), (None, 3)]
    assert layers[2].input.shape == (None, 7)
    assert layers[3].input == layers[2].output == model.outputs[0]
    assert [t.shape for t in model.get_layer("concatenate").input] == [(None, 4), (None, 3)]
    assert model.input_shape == [(None, 5), (None, 2, 3)]
    with pytest.raises(ValueError, match="has no layer 'no'; it has 'b', 'a'"):
        model.get_layer("no")
    with pytest.raises(ValueError, match="got index 9"):
        model.get_layer(index=9)
    with pytest.raises(ValueError, match="a name or an index"):
        model.get_layer()


def test_summary_shows_who_reads_whom(capsys):
    model, _ = branches()
    model.get_layer("mean").trainable = False
    model.summary()
    assert capsys.readouterr().out == (
        "Model: 'two'\n"
        "\n"
        "Layer (type)                Output shape   Parameters   Reads\n"
        "----------------------------------------------------------------------\n"
        "b (InputLayer)              (None, 2, 3)            0\n"
        "a (InputLayer)              (None, 5)               0\n"
        "flatten (Flatten)           (None, 6)               0   b\n"
        "dense (Dense)               (None, 4)              24   a\n"
        "dense_1 (Dense)             (None, 3)              21   flatten\n"
        "concatenate (Concatenate)   (None, 7)               0   dense, dense_1\n"
        "mean (Dense)                (None, 2)              16   concatenate\n"
        "kind (Dense)                (None, 3)               9   mean\n"
        "\n"
        "Total params: 70 (280 bytes)\n"
        "Trainable params: 54 (216 bytes)\n"
        "Non-trainable params: 16 (64 bytes)\n"
    )


def test_a_layer_on_arrays():
    layer = Dense(3, "relu")
    out = layer(X)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(out, np.maximum(X @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
    assert layer(X).tobytes() == out.tobytes()
    np.testing.assert_allclose(Add()([X, X]), 2 * X)


def test_a_tensor_has_no_numbers():
    x = Input((3,), name="x")
    assert repr(x) == "<Tensor of 'x', shape (None, 3)>"
    with pytest.raises(TypeError, match="has no numbers"):
        np.asarray(x)


def test_fields_are_fixed():
    layer = Dense(3)
    with pytest.raises(dataclasses.FrozenInstanceError, match="units cannot be changed"):
        layer.units = 4
    layer.trainable = 0
    assert layer.trainable is False


# Sequential among graphs


def test_pop():
    model = Sequential([Dense(4, input_dim=3), Dense(2)])
    first = model.get_weights()[:2]
    last = model.pop()
    assert isinstance(last, Dense)
    assert model.output_shape == (None, 4)
    for a, b in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.add(last)
    assert model.output_shape == (None, 2)
    model.pop()
    model.pop()
    with pytest.raises(ValueError, match="no layer to take away"):
        model.pop()


def test_a_sequential_is_built_by_the_tensor_it_is_called_on():
    part = Sequential([Dense(4), Dense(2)])
    x = Input((6,))
    model = Model(x, part(x))
    assert part.input_shape == (None, 6)
    assert [w.shape for w in model.get_weights()] == [(6, 4), (4,), (4, 2), (2,)]


def test_clones_and_configurations():
    model, _ = branches()
    for copy in (clone_model(model), Model.from_config(model.get_config()), model_from_json(model.to_json())):
        assert [w.shape for w in copy.get_weights()] == [w.shape for w in model.get_weights()]
        assert bits(copy) != bits(model)
        copy.set_weights(model.get_weights())
        xs, _ = rows()
        for a, b in zip(copy.predict(xs), model.predict(xs), strict=True):
            assert a.tobytes() == b.tobytes()
    for bad in ({}, {"layers": [], "models": []}, {"layers": 5, "models": [1]}, {"layers": [], "models": [{}]}):
        with pytest.raises(ValueError, match=r"describes no model|at most"):
            Model.from_config(bad)


# Errors


def test_graphs_that_cannot_be():
    x, z = Input((3,), name="x"), Input((3,), name="z")
    h = Dense(4)(x)
    with pytest.raises(ValueError, match=r"disconnected.*Input 'z' of shape \(None, 3\)"):
        Model(x, Add()([h, Dense(4)(z)]))
    with pytest.raises(ValueError, match="twice among the inputs"):
        Model([x, x], h)
    with pytest.raises(TypeError, match="outputs must be symbolic tensors"):
        Model(x, 5)
    with pytest.raises(TypeError, match="inputs must be symbolic tensors"):
        Model([Dense(2)], h)
    with pytest.raises(ValueError, match="at least one symbolic tensor"):
        Model(x, [])
    with pytest.raises(TypeError, match="keys of a dict must be texts"):
        Model(x, {1: h})
    with pytest.raises(ValueError, match="a layer called 'same' already"):
        Model(x, Dense(1, name="same")(Dense(1, name="same")(x)))
    with pytest.raises(ValueError, match=r"'dense.*Dense reads 1 tensor\(s\), got 2"):
        Dense(4)([x, z])
    with pytest.raises(ValueError, match=r"layer 'add': Add expects rows of one shape"):
        Add()([x, h])
    with pytest.raises(TypeError, match=r"Mine.train_step would never be called"):
        type("Mine", (Model,), {"train_step": lambda self, data: {}})
    with pytest.raises(ValueError, match=r"name must be a text"):
        Model(x, h, name="a/b")


def test_a_model_is_called_on_what_it_reads():
    model, _ = branches()
    a, b = Input((5,)), Input((2, 3))
    outputs = model([a, b])
    assert [tensor.shape for tensor in outputs] == [(None, 2), (None, 3)]
    assert model({"b": b, "a": a})[0].shape == (None, 2)
    with pytest.raises(ValueError, match=r"model 'two' expects rows of shape \(5,\), \(2, 3\), got shape \(2, 3\)"):
        model([b, a])
    with pytest.raises(ValueError, match=r"model 'two' expects"):
        model(a)
    with pytest.raises(ValueError, match=r"gives 2 tensors, so it cannot stand in a Sequential"):
        Sequential([model])


def test_rows_that_do_not_fit():
    model, _ = branches()
    (a, b), (y, z) = rows()
    model.compile("sgd", ["mse", "sparse_categorical_crossentropy"])
    for x in (a, [a], [a, b, b], {"a": a}, {"a": a, "b": b, "c": b}, [b, a], [a[1:], b]):
        with pytest.raises(ValueError, match=r"x|input"):
            model.predict(x)
        with pytest.raises(ValueError, match=r"x|input"):
            model.fit(x, [y, z], verbose=0)
    for targets in (y, [y], [y, z, z], {"mean": y}, [z, z]):
        with pytest.raises(ValueError, match="y"):
            model.fit([a, b], targets, verbose=0)
    with pytest.raises(ValueError, match=r"class_weight goes with one output, and model 'two' has 2"):
        model.fit([a, b], [y, z], class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match=r"register_sqlite takes a model of one input; make"):
        model.register_sqlite(None)
    with pytest.raises(ValueError, match=r"output 'kind': y has [3-5] at row 0"):
        model.fit([a, b], [y, z + 3], verbose=0)


COMPILE = [
    ({"loss": ["mse"]}, ValueError, r"loss must have one entry for each of 2 outputs \(mean, kind\), got 1"),
    (
        {"loss": {"men": "mse"}},
        ValueError,
        r"there is no output 'men' .did you mean 'mean'.*; there are 'mean', 'kind'",
    ),
    ({"loss_weights": 0.5}, TypeError, r"loss_weights must be a list or dict with a number for each of 2 outputs"),
    ({"loss_weights": ["a", "b"]}, TypeError, r"loss_weights must be a number, got 'a'"),
    ({"loss_weights": [1, 2, 3]}, ValueError, r"loss_weights must have one entry"),
    ({"metrics": ["mae"]}, ValueError, r"metrics must have one entry for each of 2 outputs"),
    ({"metrics": {"other": ["mae"]}}, ValueError, r"metrics: there is no output 'other'"),
    ({"metrics": [["nothing"], None]}, ValueError, r"unknown metric 'nothing'"),
    ({"weighted_metrics": "mae"}, TypeError, r"weighted_metrics must be a list"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), COMPILE, ids=[message for _, _, message in COMPILE])
def test_compile(arguments, error, message):
    model, _ = branches()
    with pytest.raises(error, match=message):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})


def test_many_calls_and_deep_graphs():
    x = h = Input((2,))
    for _ in range(900):
        h = Activation("relu")(h)
    model = Model(x, h)
    assert model.predict(np.ones((1, 2))).tolist() == [[1.0, 1.0]]
    for _ in range(200):
        h = Activation("relu")(h)
    with pytest.raises(ValueError, match="at most 1000 layers"):
        Model(x, h)
    doubled = Model(x, Multiply()([x, x]))
    for _ in range(12):  # 2^12 calls in a few lines
        z = Input((2,))
        try:
            doubled = Model(z, Add()([doubled(z), doubled(z)]))
        except ValueError as error:
            assert "at most 1000 layers" in str(error)  # noqa: PT017
            break
    else:
        pytest.fail("a model of any size was made")


def test_a_dropped_graph_goes():
    model, layers = branches()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert layers[0].count_params() == 24


def test_one_input_by_name_or_in_a_list():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    a = Input((3,), name="a")
    model = Model(a, Dense(1)(a))
    model.compile("sgd", "mse")
    model.fit({"a": x}, x[:, 0], verbose=0)
    model.train_on_batch({"a": x}, x[:, 0])
    for given in ({"a": x}, [x], (x,)):
        np.testing.assert_array_equal(model.predict(given), model.predict(x))
    np.testing.assert_array_equal(model.predict([x[0]]), model.predict(x[:1]))  # a list of rows
    with pytest.raises((TypeError, ValueError)):
        model.predict({"b": x})


def test_a_call_may_say_that_it_does_not_train():
    x = np.ones((2, 3), np.float32)
    model = Sequential([Dense(1, input_dim=3)])
    np.testing.assert_array_equal(model(x, training=False), model.predict(x))
    np.testing.assert_array_equal(model(x, training=True), model.predict(x))  # nothing in it differs
    with pytest.raises(TypeError, match="training must be True or False"):
        model(x, training=np.ones(2))
    with pytest.raises(ValueError, match="mask must be None"):
        model(x, mask=x)


def test_dropout_with_a_seed_of_its_own_is_the_same_in_each_run():
    x = np.ones((16, 8), np.float32)
    outputs = []
    for model_seed in (1, 2):
        fastnn.set_random_seed(model_seed)
        model = Sequential([Dropout(0.5, seed=3, input_shape=(8,)), Dense(1, kernel_initializer="ones")])
        model.compile("sgd", "mse")
        model.train_on_batch(x, x[:, 0])
        outputs.append(model.get_weights()[0])
    np.testing.assert_array_equal(*outputs)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        Dropout(0.5, seed=-1)


def test_a_model_of_several_inputs_begins_a_sequential(tmp_path):
    """Its inputs are the Sequential's, by the same names, in files, configs and clones too."""
    a, b = Input((2,)), Input((3,))
    first = Model({"a": a, "b": b}, Concatenate()([b, a]))
    model = Sequential([first, Dense(4, "relu"), Dense(1)])
    model.compile("adam", "mse")
    x = {"a": RNG.normal(size=(9, 2)), "b": RNG.normal(size=(9, 3))}
    model.fit(x, np.ones(9), epochs=2, verbose=0)
    assert model.built
    assert model.input_names == ["a", "b"]
    assert model.input_shape == {"a": (None, 2), "b": (None, 3)}
    assert model.output_shape == (None, 1)
    same = Model([a, b], model.layers[2](model.layers[1](Concatenate()([b, a]))))
    expected = same.predict([x["a"], x["b"]], verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    np.testing.assert_array_equal(model.predict([x["a"], x["b"]], verbose=0), expected)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(x, verbose=0), expected)
    for again in (clone_model(model), Sequential.from_config(model.get_config())):
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    assert model({"a": Input((2,)), "b": Input((3,))}).shape == (None, 1)
    assert [layer.name for layer in model.layers] == [first.name, "dense", "dense_1"]


def test_members_of_a_sequential_of_several_inputs_come_and_go():
    a, b = Input((1,)), Input((1,))
    first = Model([a, b], Concatenate()([a, b]))
    model = Sequential([first])
    assert model.output_shape == (None, 2)
    model.build((None, 7))  # it has its inputs
    model.add(Dense(3))
    assert model.predict([np.ones((4, 1)), np.ones((4, 1))], verbose=0).shape == (4, 3)
    model.pop()
    model.pop()
    assert not model.layers
    model.add(Dense(5, input_dim=2))
    assert model.output_shape == (None, 5)
    with pytest.raises(ValueError, match="reads 2 tensors, so it can stand in a Sequential as the first alone"):
        model.add(first)
    with pytest.raises(ValueError, match="reads 2 tensors, so it can stand in a Sequential as the first alone"):
        Sequential([Input((2,)), first])

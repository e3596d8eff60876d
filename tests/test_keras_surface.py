"""What Keras's programs ask of layers and models beside training them: arguments, configurations, `training=`."""

from __future__ import annotations

import json
from inspect import signature

import numpy as np
import pytest

import fastnn
from fastnn import Input, Model, Sequential, layers
from fastnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    InputLayer,
    TimeDistributed,
)
from fastnn.models import clone_model, load_model, model_from_json
from support.layers import CASES

X = np.random.default_rng(5).normal(1, 2, (40, 4)).astype(np.float32)


# Arguments that ask for nothing


@pytest.mark.parametrize("dtype", [None, "float32", np.float32, np.dtype("float32")])
def test_float32_is_what_there_is(dtype):
    layer = Dense(3, dtype=dtype)
    assert layer.dtype == layer.compute_dtype == layer.variable_dtype == "float32"
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    assert Dense(3, dtype=policy).dtype == "float32"


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16", "int8", np.float16, 3, X])
def test_another_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match="Dense: dtype must be None or 'float32', got"):
        Dense(3, dtype=dtype)


@pytest.mark.parametrize(
    ("make", "taken", "refused"),
    [
        (lambda **given: Dense(2, **given), {"lora_rank": None, "quantization_config": None}, {"lora_rank": 4}),
        (lambda **given: Embedding(2, 3, **given), {"lora_rank": None}, {"lora_rank": 4}),
        (BatchNormalization, {"synchronized": False, "renorm": False, "renorm_momentum": 0.99}, {"synchronized": True}),
        (BatchNormalization, {"renorm": False}, {"renorm": X}),
        (Flatten, {"data_format": "channels_last"}, {"data_format": "channels_first"}),
        (lambda **given: Input((3,), **given), {"sparse": False, "ragged": False, "optional": False}, {"sparse": True}),
        (
            Sequential([Dense(1, input_dim=2)]).compile,
            {"loss": "mse", "run_eagerly": False, "steps_per_execution": 8, "jit_compile": "auto"},
            {"steps_per_execution": 0},
        ),
    ],
)
def test_arguments_that_ask_for_nothing(make, taken, refused):
    make(**taken)
    (name,) = refused
    with pytest.raises(ValueError, match=name):
        make(**refused)


def test_run_eagerly_is_answered():
    model = Sequential([Dense(1, input_dim=2)])
    with pytest.warns(UserWarning, match="run_eagerly=True changes nothing"):
        model.compile("sgd", "mse", run_eagerly=True)
    assert model.compiled
    model.compile("sgd", "mse", steps_per_execution=4)
    assert model.get_compile_config()["steps_per_execution"] == 4


def test_inputs_as_keras_takes_them():
    for tensor, rows in (
        (Input((3,)), None),
        (Input(shape=[3]), None),
        (Input(batch_shape=(None, 3)), None),
        (Input((3,), 32, "float32"), 32),
        (Input(shape=(np.int64(3),), batch_size=2, dtype=None, name="x"), 2),
    ):
        assert tensor.shape == (rows, 3)
        assert (Dense(4)(tensor) * 2.0).shape == (rows, 4)
        assert Model(tensor, Dense(4)(tensor)).predict(np.ones((5, 3))).shape == (5, 4)  # any number will do
        assert tensor.dtype == "float32"
    assert Input((3,), name="x").name == "x"
    begin = Input((3,), 32)
    sized = Dense(2)(Dense(5)(begin))
    assert (begin.shape, sized.shape, Input((3,)).shape) == ((32, 3), (32, 2), (None, 3))
    assert Model(begin, sized).predict(np.ones((7, 3))).shape == (7, 2)  # any number of rows will do all the same
    layer = InputLayer((3,), 32)
    assert (layer.output.shape, layer.output) == ((32, 3), layer.output)
    with pytest.warns(UserWarning, match="Use `shape` instead"):
        assert InputLayer(input_shape=(3,)).shape == (3,)
    assert InputLayer(batch_shape=(8, 3)).batch_shape == (8, 3)
    assert Input((), dtype="string").dtype == "string"
    given = Input((5,), dtype="int64")
    assert Input(tensor=given) is given
    assert InputLayer(input_tensor=given).batch_shape == (None, 5)
    for wrong, message in (
        ({}, "pass a `shape` argument"),
        ({"shape": (3,), "batch_shape": (None, 3)}, "both `shape` and `batch_shape`"),
        ({"batch_size": 3, "batch_shape": (None, 3)}, "both `batch_size` and `batch_shape`"),
        ({"shape": (None, 3)}, "the size of each axis"),
        ({"tensor": X}, "must be a KerasTensor"),
        ({"shape": (4,), "tensor": given}, "incompatible `shape`"),
        ({"dtype": "float16", "tensor": given}, "incompatible `dtype`"),
        ({"shape": (3,), "ragged": True}, "ragged"),
        ({"shape": (3,), "batch_size": 0}, "batch_size must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            Input(**wrong)


# Shapes and weights of a layer alone


def test_a_layer_is_built_alone():
    layer = Dense(3, kernel_regularizer="l2", kernel_initializer="ones")
    assert not layer.built
    assert layer.get_build_config() is None
    layer.build((None, 4))
    assert layer.built
    assert layer.kernel.shape == (4, 3)
    assert layer.losses == [pytest.approx(0.12)]
    assert layer.get_build_config() == {"input_shape": (None, 4)}
    assert layer.compute_output_shape((8, 5, 4)) == (8, 5, 3)
    assert Add().compute_output_shape([(None, 3), (None, 3)]) == (None, 3)
    assert layer.compute_output_spec(Input((4,))).shape == (None, 3)
    assert (layer.path, layer.metrics, layer.supports_masking) == ("dense", [], True)
    kernel = layer.kernel.numpy()
    np.testing.assert_allclose(layer(X), X @ kernel, rtol=1e-5, atol=1e-5)
    again = Dense(3)
    again.build_from_config(layer.get_build_config())
    assert again.kernel.shape == (4, 3)
    for shape in ((), "abc", (None, None), (None, 2.5), {}, 4):
        with pytest.raises((TypeError, ValueError), match="input_shape"):
            Dense(3).build(shape)


def test_a_sequential_is_built_by_what_it_is_called_on():
    for call in (lambda model: model.predict(X), lambda model: model(X), lambda model: model(X, training=False)):
        model = Sequential([Dense(3), Activation("relu"), Dense(2)])
        out = call(model)
        assert out.shape == (40, 2)
        np.testing.assert_array_equal(model.predict(X), out)
        assert model.input_shape == (None, 4)
    assert Sequential([Dense(3)])(Input((7,))).shape == (None, 3)


@pytest.mark.parametrize("shape", [(None, 4), (32, 4), (4,), [None, 4], 4])
def test_shapes_that_a_sequential_is_built_for(shape):
    model = Sequential([Dense(3)])
    model.build(shape)
    assert model.input_shape == (None, 4)


# training=


def test_dropout_is_at_work_where_it_is_asked():
    ones = np.ones((200, 50), np.float32)
    layer = Dropout(0.25)
    np.testing.assert_array_equal(layer(ones), ones)
    np.testing.assert_array_equal(layer(ones, training=False), ones)
    a, b = layer(ones, training=True), layer(ones, training=True)
    for out in (a, b):
        assert set(np.unique(out)) == {0, np.float32(1 / 0.75)}
        assert (out == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert (a == b).mean() == pytest.approx(0.25**2 + 0.75**2, abs=0.03)
    first, second = (
        [layer(ones, training=True) for _ in range(2)] for layer in (Dropout(0.5, seed=7), Dropout(0.5, seed=7))
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(*first)


def test_monte_carlo_dropout():
    model = Sequential([Dense(30, "relu", input_dim=4), Dropout(0.5), Dense(1)])
    draws = np.stack([model(X, training=True) for _ in range(60)])
    assert draws.std(axis=0).min() > 0
    np.testing.assert_allclose(draws.mean(axis=0), model.predict(X), atol=5 * draws.std() / np.sqrt(60))
    np.testing.assert_array_equal(model.predict(X), model.predict(X))


def test_batch_normalization_goes_by_the_batch():
    layer = BatchNormalization(momentum=0.9)
    out = layer(X, training=True)
    np.testing.assert_allclose(out, (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-3), atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * X.var(0), rtol=1e-5)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    np.testing.assert_allclose(layer(X), (X - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
    deep = Sequential([Dense(4, input_dim=4), BatchNormalization(), Dense(4), BatchNormalization()])
    rows = deep(X, training=True)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-2)


def always() -> Model:
    x = Input((20,))
    return Model(x, Dropout(0.5)(x, training=True))


def test_dropout_that_is_always_at_work():
    ones = np.ones((500, 20), np.float32)
    model = always()
    a, b = model.predict(ones), model.predict(ones)
    assert (a == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert (a == b).mean() == pytest.approx(0.5, abs=0.03)
    assert (a[:250] == a[250:]).mean() == pytest.approx(0.5, abs=0.03)
    model.compile("sgd", "mse")
    assert model.evaluate(ones, ones, verbose=0) == pytest.approx(1, abs=0.1)  # (2 - 1)^2 and (0 - 1)^2
    assert not np.array_equal(model(ones), model(ones))


def test_what_is_always_drawn_does_not_depend_on_threads():
    rows = np.ones((20000, 20), np.float32)
    found = []
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            fastnn.set_random_seed(3)
            model = always()
            found.append([model.predict(rows), model.predict(rows)])
    finally:
        fastnn.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_what_never_trains_in_a_model():
    x = Input((4,))
    inner = Sequential([Dropout(0.5, input_shape=(4,)), GaussianNoise(3.0)])
    model = Model(x, inner(x, training=False))
    np.testing.assert_array_equal(model(X, training=True), X)
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, X) == 0


def test_batch_normalization_that_goes_by_its_averages():
    """gamma and beta learn, and the slopes are those of the moving averages."""
    layer = BatchNormalization()
    x = Input((4,))
    model = Model(x, layer(x, training=False))
    mean, variance = np.full(4, 0.5, np.float32), np.full(4, 2.0, np.float32)
    layer.set_weights([np.full(4, 1.5), np.full(4, 0.25), mean, variance])
    normal = (X.astype(float) - mean) / np.sqrt(variance + 1e-3)
    target = np.zeros((40, 4))
    slopes = 2 * (normal * 1.5 + 0.25 - target) / 160
    model.compile(fastnn.optimizers.SGD(1.0), "mse")
    model.train_on_batch(X, target)
    gamma, beta, moved, moved_variance = layer.get_weights()
    np.testing.assert_allclose(gamma, 1.5 - (slopes * normal).sum(0), rtol=1e-5)
    np.testing.assert_allclose(beta, 0.25 - slopes.sum(0), rtol=1e-5)
    np.testing.assert_array_equal(moved, mean)
    np.testing.assert_array_equal(moved_variance, variance)
    np.testing.assert_allclose(model.predict(X), normal * gamma + beta, rtol=1e-4, atol=1e-5)
    before = Dense(4, use_bias=False, kernel_initializer="identity")  # its gradient goes through the layer
    deep = Model(x, layer(before(x), training=False))
    deep.compile(fastnn.optimizers.SGD(1.0), "mse")
    slopes = 2 * (normal * gamma + beta - target) / 160 * gamma / np.sqrt(variance + 1e-3)
    deep.train_on_batch(X, target)
    np.testing.assert_allclose(before.kernel, np.eye(4) - X.T.astype(float) @ slopes, atol=1e-4)


def test_training_that_cannot_be():
    x = Input((4,))
    for member in (BatchNormalization(), Sequential([BatchNormalization(input_shape=(4,))])):
        with pytest.raises(ValueError, match="training=True would make what a row gives hang on the other rows"):
            member(x, training=True)
    with pytest.raises(TypeError, match="training must be True or False"):
        Dense(2)(X, training=X)
    with pytest.raises(ValueError, match="a mask of shape"):
        Dense(2)(X, mask=X)


def test_a_file_says_which_calls_train(tmp_path):
    x = Input((4,))
    never = BatchNormalization()
    model = Model(x, Dropout(0.5)(never(x, training=False), training=True))
    model.save(tmp_path / "m.fastnn")
    for other in (load_model(tmp_path / "m.fastnn"), clone_model(model), Model.from_config(model.get_config())):
        out = other.predict(np.ones((300, 4)))
        assert (out == 0).mean() == pytest.approx(0.5, abs=0.08)
        other.compile("sgd", "mse")
        other.train_on_batch(X, X)
        assert other.get_weights()[2].tolist() == [0] * 4


# Configurations

# As Keras 3.15 gives it for Model({"a": a, "b": b}, [Dense(1)(Add()([a, b])), Dropout(0.5)(..., training=True)]).
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
OWN = {"trainable": True, "dtype": POLICY}


def keras_tensor(name: str, units: int) -> dict:
    config = {"shape": [None, units], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def of_keras(kind: str, name: str, config: dict, nodes: list) -> dict:
    config = {"name": name, **OWN, **config}
    return {
        "module": "keras.layers", "class_name": kind, "config": config, "registered_name": None,
        "build_config": {"input_shape": [None, 3]}, "name": name, "inbound_nodes": nodes,
    }  # fmt: skip


def keras_input(name: str) -> dict:
    config = {
        "batch_shape": [None, 3], "dtype": "float32", "sparse": False, "ragged": False, "name": name, "optional": False,
    }  # fmt: skip
    return {
        "module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None, "name": name,
        "inbound_nodes": [],
    }  # fmt: skip


KERAS = {
    "name": "functional_1",
    "trainable": True,
    "layers": [
        keras_input("a"),
        keras_input("b"),
        of_keras("Add", "add", {}, [{"args": [[keras_tensor("a", 3), keras_tensor("b", 3)]], "kwargs": {}}]),
        of_keras(
            "Dense",
            "dense_1",
            {
                "units": 1,
                "activation": "linear",
                "use_bias": True,
                "kernel_initializer": {
                    "module": "keras.initializers",
                    "class_name": "GlorotUniform",
                    "config": {"seed": None},
                    "registered_name": None,
                },
                "bias_initializer": {
                    "module": "keras.initializers",
                    "class_name": "Zeros",
                    "config": {},
                    "registered_name": None,
                },
                "kernel_regularizer": {
                    "module": "keras.regularizers",
                    "class_name": "L2",
                    "config": {"l2": 0.5},
                    "registered_name": None,
                },
                "bias_regularizer": None,
                "kernel_constraint": None,
                "bias_constraint": None,
                "quantization_config": None,
            },
            [{"args": [keras_tensor("add", 3)], "kwargs": {}}],
        ),
        of_keras(
            "Dropout",
            "dropout_1",
            {"rate": 0.5, "seed": None, "noise_shape": None},
            [{"args": [keras_tensor("dense_1", 1)], "kwargs": {"training": True}}],
        ),
    ],
    "input_layers": {"a": ["a", 0, 0], "b": ["b", 0, 0]},
    "output_layers": [["dense_1", 0, 0], ["dropout_1", 0, 0]],
}


def test_a_configuration_of_keras():
    model = Model.from_config(json.loads(json.dumps(KERAS)))
    dense = model.get_layer("dense_1")
    assert dense.kernel.regularizer.l2 == 0.5
    a, b = X[:, :3], X[:, 1:]
    given, dropped = model.predict({"a": a, "b": b})
    np.testing.assert_allclose(given, (a + b) @ dense.get_weights()[0], rtol=1e-4, atol=1e-5)
    assert set(np.unique(dropped[given != 0] / given[given != 0]).round(4)) == {0, 2}
    ours = model.get_config()
    assert ours["input_layers"] == KERAS["input_layers"]
    assert ours["output_layers"] == KERAS["output_layers"]
    for mine, theirs in zip(ours["layers"], KERAS["layers"], strict=True):
        assert mine["class_name"] == theirs["class_name"]
        assert mine["inbound_nodes"] == theirs["inbound_nodes"]
        assert mine["config"].keys() == theirs["config"].keys() - {"quantization_config"} | mine["config"].keys() & {
            "activity_regularizer"
        }


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("form", "lambda"))])  # functions
def test_each_layer_is_described(name):
    layer = CASES[name].make()
    config = layer.get_config()
    text = json.dumps(config)
    assert list(config)[:2] == ["name", "trainable"]
    again = type(layer).from_config(json.loads(text))
    assert json.dumps(again.get_config()) == text
    entry = layers.serialize(layer)
    assert entry.keys() == {"module", "class_name", "config", "registered_name"}
    other = layers.deserialize(json.loads(json.dumps(entry)), {type(layer).__name__: type(layer)})
    assert json.dumps(other.get_config()) == text
    rows = [(None, *shape) for shape in CASES[name].shapes]
    asked = [each for each in signature(layer.compute_output_shape).parameters.values() if each.default is each.empty]
    listed = len(rows) > 1 and len(asked) == 1
    shapes = [rows] if listed else rows
    wanted = layer.compute_output_shape(*shapes)
    layer.build(*shapes)
    assert layer.built
    built = len(layer.weights)
    if not CASES[name].choices:
        x = [np.ones((3, *row), np.float32) for row in CASES[name].shapes]
        assert layer(*([x] if listed else x)).shape == (3, *wanted[1:])
        assert len(layer.weights) == built


def nested() -> Model:
    a, b = Input((4,), name="a"), Input((4,), name="b")
    shared = Dense(4, "tanh", kernel_regularizer="l1")
    both = Add()([shared(a), shared(b)])
    inner = Model({"a": a, "b": b}, [Dense(1, name="out")(both), both])
    x = Input((4,))
    return Model(x, inner([x, Dropout(0.2)(x)]))


MODELS = {
    "chain": lambda: Sequential(
        [Dense(3, "relu", input_dim=4), BatchNormalization(), Dropout(0.1), Dense(2, "softmax")]
    ),
    "chain with Input": lambda: Sequential([Input((4,)), Flatten(), Dense(2)], name="mine"),
    "chain of models": lambda: Sequential([Sequential([Dense(3, input_dim=4)]), Dense(2)]),
    "graph": nested,
    "steps": lambda: Sequential([layers.Reshape((2, 2), input_shape=(4,)), TimeDistributed(Dense(3)), Flatten()]),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_configurations_both_ways(make):
    model = make()
    config = model.get_config()
    text = json.dumps(config)
    for again in (
        type(model).from_config(config),
        type(model).from_config(json.loads(text)),
        model_from_json(model.to_json()),
        clone_model(model),
        clone_model(model, clone_function=lambda layer: type(layer).from_config(layer.get_config())),
    ):
        assert json.dumps(again.get_config()) == text
        again.set_weights(model.get_weights())
        mine, other = model.predict(X), again.predict(X)
        for one, two in zip(mine, other, strict=True):  # rows, or outputs
            np.testing.assert_array_equal(one, two)
    entry = fastnn.saving.serialize_keras_object(model)
    assert entry.keys() == {"module", "class_name", "config", "registered_name"}
    assert entry["class_name"] == ("Sequential" if isinstance(model, Sequential) else "Functional")


def test_an_unbuilt_chain_is_described():
    model = Sequential([Dense(3), Dense(2)])
    again = Sequential.from_config(model.get_config())
    assert not again.built
    assert [layer.units for layer in again.layers] == [3, 2]


@pytest.mark.parametrize(
    "config",
    [
        None, [], {}, {"layers": 3}, {"layers": [3]}, {"layers": [{"class_name": "Dense", "config": {}}]},
        KERAS | {"layers": KERAS["layers"][1:]}, KERAS | {"input_layers": [["c", 0, 0]]}, KERAS | {"output_layers": 3},
        KERAS | {"layers": [*KERAS["layers"], {"name": "x"}]},
    ],
)  # fmt: skip
def test_what_describes_no_model(config):
    with pytest.raises((TypeError, ValueError), match=r"describes no model|Could not locate|Expected|expected"):
        Model.from_config(config)


# Copies


def test_clones_of_other_layers():
    model = MODELS["chain"]()
    model.compile(fastnn.optimizers.SGD(0.5), "mse", metrics=["mae"])
    wider = clone_model(
        model,
        clone_function=lambda layer: Dense(7) if layer.name == "dense" else type(layer).from_config(layer.get_config()),
    )
    assert [layer.units for layer in wider.layers if isinstance(layer, Dense)] == [7, 2]
    assert wider.compiled
    assert wider.optimizer.learning_rate == 0.5
    assert wider.optimizer is not model.optimizer
    x = Input((4,), name="mine")
    graph = clone_model(nested(), input_tensors=[x])
    assert graph.inputs == [x]
    seen = []

    def counted(layer, *given, **named):
        seen.append(layer.name)
        return layer(*given, **named)

    clone_model(model, call_function=counted)
    assert seen == ["dense", "batch_normalization", "dropout", "dense_1"]
    names = []
    clone_model(
        nested(),
        clone_function=lambda layer: names.append(layer.name) or layer.from_config(layer.get_config()),
        recursive=True,
    )
    assert "out" in names
    for wrong, message in (
        ({"clone_function": 3}, "clone_function must be a function"),
        ({"clone_function": lambda layer: 3}, "clone_function must give a layer"),
        ({"input_tensors": X}, "input_tensors must be symbolic"),
    ):
        with pytest.raises(TypeError, match=message):
            clone_model(model, **wrong)
    with pytest.raises(ValueError, match="input_tensors must be of shapes"):
        clone_model(model, input_tensors=Input((5,)))


# Models


def test_what_a_compiled_model_says():
    model = MODELS["chain"]()
    assert (model.compiled, model.metrics, model.metrics_names, model.get_compile_config()) == (False, [], [], None)
    y = np.eye(2)[np.arange(40) % 2]
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    assert model.compiled
    assert model.metrics_names == ["loss", "accuracy"]
    assert [metric.name for metric in model.metrics] == ["loss", "accuracy"]
    history = model.fit(X, y, epochs=2, verbose=0)
    assert model.get_metrics_result()["loss"] == history.history["loss"][-1]
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert model.get_metrics_result() == logs
    model.reset_metrics()
    assert model.get_metrics_result() == {}
    other = clone_model(model)
    other.compile_from_config(model.get_compile_config())
    assert other.metrics_names == model.metrics_names
    with pytest.raises(TypeError, match="expected what get_compile_config gives"):
        other.compile_from_config(3)
    with pytest.raises(ValueError, match=r"export: .*model\.save"):
        model.export("x", format="tf_saved_model")


def test_losses_are_the_penalties():
    model = Sequential(
        [Dense(2, input_dim=3, kernel_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1")]
    )
    assert model.losses == [pytest.approx(0.06), 0]


def test_weights_that_do_not_fit_are_left_out(tmp_path):
    model = Sequential([Dense(3, input_dim=4, name="first"), Dense(2, name="second")])
    model.save_weights(tmp_path / "w")
    other = Sequential([Dense(3, input_dim=4, name="first"), Dense(5, name="second")])
    before = other.get_weights()
    with pytest.raises(ValueError, match="second"):
        other.load_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w", skip_mismatch=True)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(other.get_weights()[2], before[2])


def test_summaries():
    model, lines = nested(), []
    model.layers[0].trainable = False
    model.summary(line_length=80, positions=[0.3, 0.6], print_fn=lines.append, expand_nested=True, show_trainable=True)
    (text,) = lines
    assert text.splitlines()[2].split()[-1] == "Learns"
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == [
        "a",
        "b",
        "dense",
        "dense",
        "add",
        "out",
    ]
    chain = MODELS["chain"]()
    chain.summary(print_fn=lines.append, layer_range=["batch", "dropout"])
    assert [line.split()[0] for line in lines[1].splitlines()[4:6]] == ["batch_normalization", "dropout"]
    for wrong in ({"layer_range": ["none", "dense"]}, {"layer_range": ["dense"]}, {"line_length": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            chain.summary(**wrong)

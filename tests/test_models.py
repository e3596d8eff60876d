"""What a model is: its layers, shapes, names, weights and summary, as Keras has them."""

from __future__ import annotations

import gc
import inspect
import io
import weakref

import numpy as np
import pytest

import fastnn
from fastnn.initializers import Initializer
from fastnn.layers import (
    LAYERS,
    Activation,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Input,
    InputLayer,
    LeakyReLU,
    ReLU,
    Reshape,
    Softmax,
)
from fastnn.models import Model, Sequential, clone_model, load_model


def small() -> Sequential:
    return Sequential([Dense(4, "relu", input_dim=3), Dense(2)])


def shapes(model: Sequential) -> list[tuple[int, ...]]:
    return [w.shape for w in model.get_weights()]


# Signatures: what a Keras script passes by position or by name

SIGNATURES = {
    Model.compile: "optimizer='rmsprop', loss=None",
    Model.fit: (
        "x=None, y=None, batch_size=None, epochs=1, verbose='auto', callbacks=None, validation_split=0.0, "
        "validation_data=None, shuffle=True, class_weight=None, sample_weight=None"
    ),
    Model.evaluate: "x=None, y=None, batch_size=None, verbose='auto', sample_weight=None",
    Model.predict: "x, batch_size=None",
    Model.train_on_batch: "x, y=None, sample_weight=None, class_weight=None, return_dict=False",
    Model.save: "filepath, overwrite=True",
    Dense: "units, activation=None, use_bias=True, kernel_initializer='glorot_uniform', "
    "bias_initializer='zeros', kernel_regularizer=None",
    Dropout: "rate",
    Activation: "activation",
    Input: "shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None",
    fastnn.callbacks.EarlyStopping: (
        "monitor='val_loss', min_delta=0, patience=0, verbose=0, mode='auto', baseline=None, "
        "restore_best_weights=False, start_from_epoch=0"
    ),
    fastnn.optimizers.SGD: "learning_rate=0.01, momentum=0.0, nesterov=False",
    fastnn.optimizers.RMSprop: ("learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-07, centered=False"),
    fastnn.optimizers.Adam: ("learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False"),
    fastnn.optimizers.AdamW: (
        "learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False"
    ),
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_signatures_begin_as_keras_has_them(function):
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    found = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
    assert found == SIGNATURES[function] or found.startswith(SIGNATURES[function] + ", ")


# Shapes


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequential([Dense(4, input_dim=3), Dense(2)]),
        lambda: Sequential([Dense(4, input_shape=(3,)), Dense(2)]),
        lambda: Sequential([Dense(4, input_shape=[3]), Dense(2)]),
        lambda: Sequential([Dense(4, input_dim=3, input_shape=(3,)), Dense(2)]),
        lambda: Sequential([Input((3,)), Dense(4), Dense(2)]),
        lambda: Sequential([Input(shape=3), Dense(4), Dense(2, input_dim=4)]),
        lambda: Sequential([Dropout(0.1, input_shape=(3,)), Dense(4), Dense(2)]),
        lambda: Sequential([Activation("tanh", input_shape=(3,)), Dense(4), Dense(2)]),
        lambda: Sequential([Flatten(input_shape=(3,)), Dense(4), Flatten(), Dense(2)]),
        lambda: Sequential(iter([Dense(np.int64(4), input_dim=np.int32(3)), Dense(2)])),
    ],
)
def test_ways_to_say_the_input_shape(make):
    model = make()
    assert model.built
    assert shapes(model) == [(3, 4), (4,), (4, 2), (2,)]
    assert model.input_shape == (None, 3)
    assert model.output_shape == (None, 2)
    assert model.count_params() == 26
    assert model.predict(np.zeros((5, 3))).shape == (5, 2)


@pytest.mark.parametrize("how", ["build", "build with None", "fit", "evaluate", "train_on_batch"])
def test_shape_from_elsewhere(how):
    model = Sequential([Dense(4), Dense(2)])
    assert not model.built
    for action in (model.get_weights, model.count_params, model.layers[0].get_weights):
        with pytest.raises(RuntimeError, match="input_shape"):
            action()
    with pytest.raises(RuntimeError, match=r"predict needs .* input_shape"):
        model.predict(iter([np.zeros((1, 3))]))  # which would be begun to see its rows
    with pytest.raises(RuntimeError, match=r"input_shape needs .* input_shape"):
        _ = model.input_shape
    model.compile("sgd", "mse")
    x, y = np.ones((5, 3)), np.ones((5, 2))
    if how == "build":
        model.build((3,))
    elif how == "build with None":
        model.build([None, 3])
    elif how == "train_on_batch":
        model.train_on_batch(x, y)
    else:
        getattr(model, how)(x, y, verbose=0)
    assert model.built
    assert shapes(model) == [(3, 4), (4,), (4, 2), (2,)]
    assert model.predict(x).shape == (5, 2)


def test_images():
    model = Sequential([Flatten(input_shape=(28, 28)), Dense(8, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.input_shape == (None, 28, 28)
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    labels = np.arange(60) % 10
    history = model.fit(images / 255, labels, epochs=2, verbose=0, validation_split=0.25)
    assert len(history.history["val_accuracy"]) == 2
    assert model.predict(images).shape == (60, 10)
    flat = Sequential([Dense(8, "relu", input_dim=784), Dense(10, "softmax")])
    flat.set_weights(model.get_weights())
    np.testing.assert_array_equal(flat.predict(images.reshape(60, 784)), model.predict(images))


def test_one_column_may_be_a_vector():
    model = Sequential([Dense(units=1, input_dim=1, activation="linear")])
    x = np.linspace(0, 1, 7)
    np.testing.assert_array_equal(model.predict(x), model.predict(x[:, None]))


X = np.random.default_rng(0).standard_normal((6, 3))


@pytest.mark.parametrize(
    "rows",
    [
        X.astype(np.float32),
        X,
        X.astype(np.float32)[:, ::-1][:, ::-1],
        np.asfortranarray(X.astype(np.float32)),
        X.astype(">f4"),
        np.repeat(X.astype(np.float32), 2, axis=0)[::2],
        X.tolist(),
        np.frombuffer(b"\0" + X.astype(np.float32).tobytes(), np.uint8)[1:].view(np.float32).reshape(6, 3),
    ],
    ids=["float32", "float64", "strides", "Fortran", "big-endian", "gaps", "list", "unaligned"],
)
def test_rows_of_every_layout(rows):
    model = small()
    expected = model.predict(X.astype(np.float32).copy())
    np.testing.assert_array_equal(model.predict(rows), expected)
    assert expected.dtype == np.float32
    assert expected.flags.writeable
    frozen = np.array(rows, np.float32)
    frozen.flags.writeable = False
    np.testing.assert_array_equal(model(frozen), expected)


def test_whole_numbers_and_truth_values():
    model = small()
    numbers = np.array([[0, 1, 1], [1, 0, 1]])
    for dtype in (np.int8, np.uint16, np.int64, bool, np.float16):
        np.testing.assert_array_equal(model.predict(numbers.astype(dtype)), model.predict(numbers.astype(np.float32)))


# Layers and names


def test_names():
    model = Sequential([Dense(3, input_dim=2), Dense(3, name="dense_1"), Dense(3), Dense(3), Activation("relu")])
    text: list[str] = []
    model.summary(print_fn=text.append)
    for name in ("dense (Dense)", "dense_1 (Dense)", "dense_2 (Dense)", "dense_3 (Dense)", "activation (Act"):
        assert name in text[0]
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "dense_2", "dense_3", "activation"]
    # A layer keeps its name in another model.
    assert [layer.name for layer in Sequential([model.layers[2], model.layers[1]]).layers] == ["dense_2", "dense_1"]
    assert Sequential().name == "sequential"
    assert Sequential(name="digits").name == "digits"


def test_layers_are_listed_without_the_input():
    dense, flatten = Dense(2), Flatten()
    assert Sequential([Input((2, 2)), flatten, dense]).layers == [flatten, dense]


def test_adding_keeps_what_was_learnt():
    model = small()
    model.compile("adam", "mse")
    x = np.random.default_rng(0).standard_normal((20, 3))
    model.fit(x, np.ones((20, 2)), verbose=0)
    before = model.get_weights()
    middle = model.predict(x)
    model.add(Activation("tanh"))
    model.add(Dense(5))
    after = model.get_weights()
    for a, b in zip(before, after, strict=False):
        np.testing.assert_array_equal(a, b)
    assert [w.shape for w in after[4:]] == [(2, 5), (5,)]
    np.testing.assert_allclose(model.predict(x), np.tanh(middle) @ after[4] + after[5], rtol=1e-5, atol=1e-6)
    model.fit(x, np.ones((20, 5)), verbose=0)


def test_built_one_by_one_or_at_once():
    fastnn.set_random_seed(5)
    one = Sequential()
    one.add(Dense(4, input_dim=3))
    one.add(Dropout(0.5))
    one.add(Dense(2))
    fastnn.set_random_seed(5)
    other = Sequential([Dense(4, input_dim=3), Dropout(0.5), Dense(2)])
    fastnn.set_random_seed(5)
    late = Sequential([Dense(4), Dropout(0.5), Dense(2)])
    late.build((3,))
    for model in (other, late):
        for a, b in zip(one.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert model.description.network.seed == one.description.network.seed


def test_building_again_changes_nothing():
    model = small()
    before = model.get_weights()
    model.build((None, 3))
    model.build()
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.build((None, 5))
    assert shapes(model) == [(5, 4), (4,), (4, 2), (2,)]


class NeverReady(Initializer):
    """Fails when the weights are made."""

    def values(self, shape, rng):
        raise ValueError("not ready")


def test_a_failed_add_changes_nothing():
    model = Sequential()
    with pytest.raises(ValueError, match="Reshape cannot"):
        model.add(Reshape(3, input_shape=(28, 28)))
    assert (model.layers, model.built) == ([], False)
    model.add(Dense(3))
    model.build((2,))
    before = model.get_weights()
    for layer in (Dense(2, input_dim=4), Input((3,)), Dense(1, kernel_initializer=NeverReady())):
        with pytest.raises(ValueError, match=r"leave input_shape out|first layer|not ready"):
            model.add(layer)
        assert len(model.layers) == 1
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert model.predict(np.zeros((1, 2))).shape == (1, 3)


def test_a_layer_too_large_for_memory():
    model = Sequential([Dense(3, input_dim=2)])
    for units in (10**13, 10**15, 2**62):
        with pytest.raises((MemoryError, ValueError)):
            model.add(Dense(units))
    assert model.count_params() == 9
    assert model.predict(np.zeros((1, 2))).shape == (1, 3)


# Summary


def test_summary(capsys):
    model = Sequential(
        [Input((28, 28)), Flatten(name="pixels"), Dense(128, "relu"), Dropout(0.2), Dense(10, "softmax")],
        name="digits",
    )
    model.summary()
    assert capsys.readouterr().out == (
        "Model: 'digits'\n"
        "\n"
        "Layer (type)        Output shape   Parameters\n"
        "---------------------------------------------\n"
        "pixels (Flatten)    (None, 784)             0\n"
        "dense (Dense)       (None, 128)       100,480\n"
        "dropout (Dropout)   (None, 128)             0\n"
        "dense_1 (Dense)     (None, 10)          1,290\n"
        "\n"
        "Total params: 101,770 (407,080 bytes)\n"
        "Trainable params: 101,770 (407,080 bytes)\n"
        "Non-trainable params: 0 (0 bytes)\n"
    )


def test_summary_counts_an_optimizer_that_has_stepped():
    model, lines = Sequential([Input((2,)), Dense(3)]), []
    model.compile("adam", "mse")
    model.summary(print_fn=lines.append)
    assert "Total params: 9 (" in lines[0]
    assert "Optimizer" not in lines[0]
    model.fit(np.zeros((4, 2)), np.zeros((4, 3)), verbose=0)
    model.summary(print_fn=lines.append)
    assert lines[1].splitlines()[-4:] == [  # two moments for each of 9, the step and the learning rate
        "Total params: 29 (116 bytes)",
        "Trainable params: 9 (36 bytes)",
        "Non-trainable params: 0 (0 bytes)",
        "Optimizer params: 20 (80 bytes)",
    ]


def test_summary_before_building():
    lines: list[str] = []
    Sequential([Dense(4), Dense(2)]).summary(print_fn=lines.append)
    assert lines == [
        "Model: 'sequential'\n"
        "\n"
        "Layer (type)      Output shape      Parameters\n"
        "----------------------------------------------\n"
        "dense (Dense)     ?              0 (not built)\n"
        "dense_1 (Dense)   ?              0 (not built)\n"
        "\n"
        "Total params: 0 (0 bytes)\n"
        "Trainable params: 0 (0 bytes)\n"
        "Non-trainable params: 0 (0 bytes)"
    ]
    Sequential().summary(print_fn=lines.append)
    Sequential([Input((3,))]).summary(print_fn=lines.append)
    assert "Total params: 0" in lines[-1]


# Life


def test_a_dropped_model_goes():
    model = small()
    model.compile("sgd", "mse")
    model.fit(X, np.ones((6, 2)), verbose=0)
    layer, gone = model.layers[0], weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert [w.shape for w in layer.get_weights()] == [(3, 4), (4,)]  # a layer keeps its weights


@pytest.mark.parametrize(
    "layer", [InputLayer((3, 2)), Dense(3, "elu"), Activation("relu"), Dropout(0.5), Flatten(name="flat")]
)
def test_a_layer_says_its_configuration(layer):
    config = layer.config()
    assert LAYERS.units[config["class"]] is type(layer)
    assert LAYERS.from_config(config).config() == config


# What is taken as Keras takes it


@pytest.mark.parametrize("kind", ["sequential", "functional", "list", "dict"])
@pytest.mark.parametrize(
    ("shape", "came"),
    [((4, 3, 1), (4, 3)), ((4, 3), (4, 3, 1)), ((12,), (12, 1)), ((1,), ()), ((), (1,)), ((1, 12), (1, 12, 1))],
)
def test_a_last_axis_of_one_may_be_there_or_not(kind, shape, came):
    x = np.random.default_rng(0).normal(size=(10, *shape)).astype(np.float32)
    y = np.random.default_rng(1).normal(size=(10, 2)).astype(np.float32)
    rows, other = Input(shape, name="rows"), Input((2,), name="other")
    if kind == "sequential":
        model = Sequential([Input(shape), Flatten(), Dense(2)])
    elif kind == "list":
        model = Model([rows, other], Dense(2)(Concatenate()([Flatten()(rows), other])))
    else:
        model = Model({"rows": rows} if kind == "dict" else rows, Dense(2)(Flatten()(rows)))
    model.compile("sgd", "mse")

    def given(array):
        return [array, y] if kind == "list" else {"rows": array} if kind == "dict" else array

    less = x.reshape(10, *came)
    np.testing.assert_array_equal(model.predict(given(less)), model.predict(given(x)))
    assert model.evaluate(given(less), y, verbose=0) == model.evaluate(given(x), y, verbose=0)
    model.fit(given(less), y, verbose=0)
    with pytest.raises(ValueError, match=r"shape|features"):
        model.predict(given(x.reshape(10, *came, 1, 1, 1)))


def test_outputs_of_a_tuple_are_a_tuple(tmp_path):
    rows = Input((3,))
    for structure, kind in (((Dense(2)(rows), Dense(1)(rows)), tuple), ([Dense(2)(rows), Dense(1)(rows)], list)):
        model = Model(rows, structure)
        model.save(tmp_path / "model")
        for each in (model, Model.from_config(model.get_config()), load_model(tmp_path / "model")):
            assert type(each.predict(np.ones((2, 3)))) is kind
            assert type(each(Input((3,)))) is kind


def test_attributes_of_what_is_not_built_are_not_there():
    names = ("input", "output", "inputs", "outputs", "input_shape", "output_shape")
    assert not any(hasattr(Sequential([Dense(2)]), name) for name in names)
    assert all(hasattr(Sequential([Input((3,)), Dense(2)]), name) for name in names)
    with pytest.raises(ValueError, match="has no layers; add one"):
        Sequential().predict(np.ones((2, 3)))
    for model in (Sequential(), Model(rows := Input((3,)), Dense(1)(rows))):
        with pytest.raises(AttributeError, match="layers` attribute is reserved"):
            model.layers = []


def test_an_input_says_what_a_sequential_reads():
    rows = Input((3,))
    model = Sequential([rows, Dense(2)])
    assert model.inputs == [rows]
    assert model.outputs == [model.layers[-1].output]
    assert model.compute_output_shape((7, 3)) == (7, 2)
    model.build((5, 3))
    with pytest.raises(ValueError, match="already been configured by its Input"):
        model.build((None, 4))


def test_a_model_that_does_not_learn():
    rows = Input((3,))
    model = Model(rows, Dense(2)(rows), trainable=False)
    assert not model.trainable_weights
    assert len(Model.from_config(model.get_config()).non_trainable_weights) == 2


class WithMore(Model):
    """A functional model with an argument of its own, as Keras has it."""

    def __init__(self, *args, param=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.param = param

    def get_config(self):
        return super().get_config() | {"param": self.param}


class OfUnits(Model):
    def __init__(self, units=2):
        rows = Input((3,))
        super().__init__(rows, Dense(units)(rows))
        self.units = units

    def get_config(self):
        return {"units": self.units}


class Chain(Sequential):
    pass


def test_a_subclass_comes_back_from_its_config():
    rows = Input((3,))
    for model in (WithMore(rows, Dense(2)(rows), param=3), OfUnits(5), Chain([Input((3,)), Dense(2)])):
        again = type(model).from_config(model.get_config())
        assert type(again) is type(model)
        assert vars(again).get("param") == vars(model).get("param")
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.predict(np.eye(3)), model.predict(np.eye(3)))


def test_a_file_that_is_open_takes_a_model():
    model, file = Sequential([Input((3,)), Dense(2)]), io.BytesIO()
    model.save(file)
    file.seek(0)
    np.testing.assert_array_equal(load_model(file).predict(np.eye(3)), model.predict(np.eye(3)))


def test_a_layer_that_is_an_activation_may_be_one():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for layer, formula in (
        (LeakyReLU(negative_slope=0.2), lambda z: np.where(z > 0, z, 0.2 * z)),
        (ReLU(max_value=0.5), lambda z: np.clip(z, 0, 0.5)),
        (Activation("tanh"), np.tanh),
        (Softmax(), lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True)),
    ):
        model = Sequential([Input((3,)), Dense(4, activation=layer)])
        kernel, bias = (array.astype(np.float64) for array in model.get_weights())
        np.testing.assert_allclose(model.predict(x), formula(x @ kernel + bias), rtol=1e-5, atol=1e-6)
    for layer in (Dense(3), Softmax(axis=1)):
        with pytest.raises(TypeError, match="got a layer"):
            Dense(3, activation=layer)


def test_input_tensors_of_a_clone_have_the_names_of_the_model():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    model = Model({"a": a, "b": b}, Concatenate()([a, b]))
    assert clone_model(model, input_tensors={"a": a, "b": b}).input_names == ["a", "b"]
    for wrong in ((a, b), {"a": a, "c": b}):
        with pytest.raises(ValueError, match=r"must have the same structure as model.input"):
            clone_model(model, input_tensors=wrong)

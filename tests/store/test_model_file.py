"""Models as files: what comes back is what was saved, to the bit; what was not saved so is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import initializers, losses, metrics, regularizers
from fastnn.layers import LAYERS, Activation, Dense, Dropout, Flatten, Input
from fastnn.models import Sequential, load_model
from fastnn.optimizers import SGD, Adam
from support.cases import ACTIVATIONS, LOSSES, OPTIMIZERS, data, ident

SCCE = losses.SparseCategoricalCrossentropy()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fastnn"


def bits(model: Sequential) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


def text(model: Sequential) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return lines[0]


def check_round_trip(model: Sequential, path, x, y, **fit) -> Sequential:
    """Assert that the file gives the same model, and that both go on learning with the same bits."""
    model.save(path)
    loaded = load_model(path)
    assert bits(loaded) == bits(model)
    assert text(loaded) == text(model)
    assert loaded.input_shape == model.input_shape
    assert loaded.predict(x).tobytes() == model.predict(x).tobytes()
    assert [layer.config() for layer in loaded.layers] == [layer.config() for layer in model.layers]
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert loaded.optimizer == model.optimizer
    assert loaded.description.trainer.loss == model.description.trainer.loss
    assert loaded.description.network.iterations == model.description.network.iterations
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == model.evaluate(x, y, verbose=0, return_dict=True)
    histories = []
    for each in (model, loaded):
        fastnn.set_random_seed(11)
        histories.append(each.fit(x, y, 5, 2, 0, **fit).history)
    assert histories[0] == histories[1]
    assert bits(loaded) == bits(model)
    return loaded


# Round trips


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=ident)
def test_activations(activation, path):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(6, activation, input_dim=4), Dense(5), Activation(activation), Dense(3, "softmax")])
    model.compile("adam", SCCE, metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    check_round_trip(model, path, x, y)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=ident)
@pytest.mark.parametrize("epochs", [0, 3])
def test_optimizers(optimizer, epochs, path):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(6, "tanh", input_dim=4), Dropout(0.4), Dense(3, "softmax")])
    model.compile(optimizer, SCCE)
    if epochs:
        model.fit(x, y, 5, epochs, 0)
    check_round_trip(model, path, x, y)


@pytest.mark.parametrize(("loss", "after"), LOSSES, ids=ident)
def test_losses(loss, after, path):
    x, y = data(loss, 17, 4, 3)
    model = Sequential([Dense(3, after, input_dim=4)])
    model.compile("adam", loss)
    model.fit(x, y, verbose=0)
    check_round_trip(model, path, x, y, sample_weight=np.arange(17.0))


@pytest.mark.parametrize("name", initializers.INITIALIZERS.units)
def test_initializers(name, path):
    cls = initializers.INITIALIZERS.find(name)
    seeded = cls(seed=3) if "seed" in cls.__dataclass_fields__ else cls()
    x, y = data(SCCE, 17, 4, 3)
    bias = "zeros" if name in ("identity", "orthogonal") else name  # these two make matrices alone
    model = Sequential([Dense(6, kernel_initializer=seeded, bias_initializer=bias, input_dim=4), Dense(3, "softmax")])
    model.compile("sgd", SCCE)
    check_round_trip(model, path, x, y)


@pytest.mark.parametrize("unit", [cls() for _, cls in regularizers.REGULARIZERS] + [regularizers.L1L2(0.1, 0.02)])
def test_regularizers(unit, path):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(6, kernel_regularizer=unit, input_dim=4), Dense(3, "softmax", use_bias=False)])
    model.compile("sgd", SCCE)
    check_round_trip(model, path, x, y)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [Input((2, 2)), Flatten(name="flat"), Dense(3, "softmax", name="größe ∑ \"'{}")],
        lambda: [Flatten(input_shape=(2, 2)), Dense(3, "softmax")],
        lambda: [Activation("tanh", input_shape=(2, 2)), Dropout(0.0), Flatten(), Dense(3, "softmax")],
        lambda: [Flatten(), Dense(5, "relu", name=""), Dense(3, "softmax", name="optimizer")],
        lambda: [Flatten(input_shape=(2, 2)), Dense(3), Activation("softmax"), Dropout(0.0)],
    ],
)
def test_layers(make, path):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential(make(), name="über")
    model.compile(Adam(0.01, amsgrad=True), SCCE, metrics=["acc"])
    model.fit(x.reshape(-1, 2, 2), y, verbose=0)
    loaded = check_round_trip(model, path, x.reshape(-1, 2, 2), y)
    assert loaded.name == "über"


def test_every_layer_is_in_a_round_trip():
    assert {"input_layer", "dense", "activation", "dropout", "flatten"} <= set(LAYERS.units)


def test_metrics(path):
    x, y = data(losses.BinaryCrossentropy(), 17, 4, 3)
    model = Sequential([Dense(3, "sigmoid", input_dim=4)])
    means = [name for name, cls in metrics.METRICS if issubclass(cls, metrics.MeanMetric) and "sparse" not in name]
    given = ["acc", "mae", metrics.BinaryAccuracy(threshold=0.3), metrics.BinaryAccuracy, *means]
    model.compile("sgd", "bce", metrics=given)
    loaded = check_round_trip(model, path, x, y)
    logs = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert logs == model.evaluate(x, y, verbose=0, return_dict=True)
    assert "binary_accuracy_1" in logs


def test_not_compiled(path):
    model = Sequential([Dense(3, input_dim=4)])
    model.save(path)
    loaded = load_model(path)
    assert loaded.optimizer is None
    assert bits(loaded) == bits(model)
    with pytest.raises(RuntimeError, match="compile"):
        loaded.fit(np.ones((2, 4)), np.ones((2, 3)))


def test_learning_goes_on_as_if_it_had_never_stopped(path):
    """Shuffling, dropout, momentum and the count of steps: all of it."""
    x, y = data(SCCE, 40, 4, 3)
    model = Sequential([Dense(16, "relu", input_dim=4), Dropout(0.5), Dense(3, "softmax")])
    model.compile(Adam(0.01), SCCE)
    model.fit(x, y, 7, 3, 0)
    for _ in range(3):
        check_round_trip(model, path, x, y)


def test_compiled_anew_before_saving(path):
    """The optimizer's state is that of the last compile, which has none yet."""
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(3, "softmax", input_dim=4)])
    for before, after in [(SGD(0.1, 0.9), Adam()), (Adam(), SGD(0.1, 0.9)), (Adam(), SGD()), (Adam(), Adam(0.1))]:
        model.compile(before, SCCE)
        model.fit(x, y, verbose=0)
        model.compile(after, SCCE)
        model.save(path)
        loaded = load_model(path)
        assert loaded.description.network.iterations == 0
        for each in (model, loaded):
            each.fit(x, y, 5, 2, 0, shuffle=False)
        assert bits(model) == bits(loaded)


def test_an_optimizer_that_has_got_another_slot(path):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential([Dense(3, "softmax", input_dim=4)])
    model.compile(SGD(0.1), SCCE)
    model.fit(x, y, verbose=0)
    model.optimizer.momentum = 0.9
    model.save(path)
    loaded = load_model(path)
    for each in (model, loaded):
        each.fit(x, y, 5, 2, 0, shuffle=False)
    assert bits(model) == bits(loaded)


def test_numbers_of_numpy(path):
    x, y = data(SCCE, 17, 4, 3)
    model = Sequential(
        [
            Dense(np.int64(6), fastnn.activations.LeakyReLU(np.float32(0.1)), input_dim=np.uint8(4)),
            Dropout(np.float32(0.25)),
            Dense(3, "softmax", use_bias=np.bool_(True), kernel_regularizer=regularizers.L2(np.float64(0.5))),
        ]
    )
    model.compile(Adam(np.float32(0.01), amsgrad=np.bool_(True)), SCCE)
    model.fit(x, y, verbose=0)
    check_round_trip(model, path, x, y)


def test_saving_again_replaces_the_file(path):
    model = Sequential([Dense(3, input_dim=4)])
    model.save(path)
    first = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == first
    model.set_weights([w + 1 for w in model.get_weights()])
    model.save(str(path))
    assert bits(load_model(str(path))) == bits(model)
    model.save(path.with_name("other"), overwrite=False)
    assert sorted(os.listdir(path.parent)) == ["model.fastnn", "other"]


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    model = Sequential([Dense(3, input_dim=4)])
    model.save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["model.fastnn"]


FRESH = """
import sys
import numpy as np
from fastnn.models import load_model

model = load_model(sys.argv[1])
x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
model.fit(x, np.arange(20) % 3, 6, 2, 0, shuffle=False)
sys.stdout.write(model.predict(x).tobytes().hex())
"""


def test_in_a_fresh_process(path):
    model = Sequential([Dense(9, "gelu", input_dim=4), Dropout(0.2), Dense(3, "softmax")])
    model.compile("adam", SCCE)
    x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    model.fit(x, np.arange(20) % 3, 6, 2, 0)
    model.save(path)
    model.fit(x, np.arange(20) % 3, 6, 2, 0, shuffle=False)
    run = [sys.executable, "-P", "-c", FRESH, str(path)]
    output = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert output == model.predict(x).tobytes().hex()


def test_the_safetensors_package_reads_it(path):
    package = pytest.importorskip("safetensors.numpy", reason="the safetensors package is not installed")
    model = Sequential([Dense(3, input_dim=4, name="first")])
    model.save(path)
    arrays = package.load_file(path)
    assert set(arrays) == {"first/kernel", "first/bias"}
    np.testing.assert_array_equal(arrays["first/kernel"], model.get_weights()[0])


def test_a_model_that_was_compiled_and_evaluated_but_not_trained(tmp_path):
    model = Sequential([Dense(2, input_dim=3)])
    model.compile("adam", "mse")
    x, y = np.ones((4, 3)), np.ones((4, 2))
    model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.fit(x, y, verbose=0).history["loss"] == model.fit(x, y, verbose=0).history["loss"]

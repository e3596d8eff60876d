"""Architectures: their weights counted beside the paper's and, layer by layer, by hand; trained, saved, exported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Model, applications as A
from fastnn.data.digits import load_digits
from fastnn.models import load_model

# By hand: (weights that learn, moments) of each layer that has any, in the order of the layers.


def conv(side: int, read: int, filters: int, bias: bool = True) -> tuple[int, int]:
    return side * side * read * filters + bias * filters, 0


def dense(read: int, units: int) -> tuple[int, int]:
    return (read + 1) * units, 0


def norm(filters: int) -> tuple[int, int]:
    return 2 * filters, 2 * filters


def lenet5() -> Iterator[tuple[int, int]]:
    yield from [(156, 0), (2_416, 0), (48_120, 0), (10_164, 0), (850, 0)]  # C1, C3, C5, F6, output


def resnet(blocks: int, projection: bool) -> Iterator[tuple[int, int]]:
    yield from [conv(3, 3, 16, projection), norm(16)]
    read = 16
    for filters in (16, 32, 64):
        for _ in range(blocks):
            yield from [conv(3, read, filters, projection), norm(filters)]
            yield from [conv(3, filters, filters, projection), norm(filters)]
            if read != filters and projection:
                yield conv(1, read, filters)
            read = filters
    yield dense(64, 10)


def mobilenet(alpha: float, bias: bool, classes: int) -> Iterator[tuple[int, int]]:
    yield from [conv(3, 3, int(32 * alpha), bias), norm(int(32 * alpha))]
    read = int(32 * alpha)
    for filters in (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024):  # table 1 of the paper
        yield from [(9 * read + bias * read, 0), norm(read)]
        yield from [conv(1, read, int(filters * alpha), bias), norm(int(filters * alpha))]
        read = int(filters * alpha)
    yield dense(read, classes)


def mixer(patches: int, blocks: int, c: int, tokens: int, channels: int, classes: int) -> Iterator[tuple[int, int]]:
    yield conv(16, 3, c)
    for _ in range(blocks):
        yield from [(2 * c, 0), dense(patches, tokens), dense(tokens, patches)]
        yield from [(2 * c, 0), dense(c, channels), dense(channels, c)]
    yield from [(2 * c, 0), dense(c, classes)]


def tcn() -> Iterator[tuple[int, int]]:
    yield from [(7 * 1 * 25 + 25, 0), (7 * 25 * 25 + 25, 0), (1 * 25 + 25, 0)]
    for _ in range(7):
        yield from [(7 * 25 * 25 + 25, 0)] * 2
    yield dense(25, 10)


def tab_transformer(sizes: list[int], numbers: int, d: int, depth: int) -> Iterator[tuple[int, int]]:
    yield (len(sizes) * d // 8, 0)
    for size in sizes:
        yield ((size + 1) * (d - d // 8), 0)
    for _ in range(depth):
        yield (4 * (d * d + d), 0)  # query, key, value, output
        yield from [(2 * d, 0), dense(d, 4 * d), dense(4 * d, d), (2 * d, 0)]
    wide = len(sizes) * d + numbers
    yield from [(2 * numbers, 0), dense(wide, 4 * wide), dense(4 * wide, 2 * wide), dense(2 * wide, 1)]


S16 = {"patch_size": 16, "num_blocks": 8, "hidden_dim": 512, "tokens_mlp_dim": 256, "channels_mlp_dim": 2048}
SIZES = [9, 16, 7, 15, 6, 5, 2, 42]  # of the census' columns
# The model, the count by hand, weights that learn, all of them.
COUNTS: dict[str, tuple[Callable[[], Model], Iterator[tuple[int, int]], int, int]] = {
    "LeNet5": (A.LeNet5, lenet5(), 61_706, 61_706),
    "LeNet5 on 28 x 28": (lambda: A.LeNet5(input_shape=(28, 28, 1)), lenet5(), 61_706, 61_706),
    "ResNet8": (A.ResNet8, resnet(1, True), 78_186, 78_666),
    "ResNet20": (A.ResNet20, resnet(3, False), 269_722, 271_098),
    "MobileNet": (A.MobileNet, mobilenet(1, False, 1000), 4_231_976, 4_253_864),
    "MobileNetTiny": (A.MobileNetTiny, mobilenet(0.25, True, 2), 216_322, 221_794),
    "MLPMixer S/16": (
        lambda: A.MLPMixer(input_shape=(224, 224, 3), classes=1000, **S16),
        mixer(196, 8, 512, 256, 2048, 1000),
        18_528_264,
        18_528_264,
    ),
    "TCN": (A.TCN, tcn(), 66_510, 66_510),
    "TabTransformer": (
        lambda: A.TabTransformer(categories=SIZES, continuous=6),
        tab_transformer(SIZES, 6, 32, 6),
        905_173,
        905_173,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_weights_are_as_many_as_the_paper_says(name: str) -> None:
    make, by_hand, learnt, every = COUNTS[name]
    model = make()
    counts = [
        (sum(np.size(w) for w in layer.trainable_weights), sum(np.size(w) for w in layer.non_trainable_weights))
        for layer in model.layers
    ]
    expected = list(by_hand)
    # In the order of the graph, in which a shortcut's convolution may stand elsewhere than here.
    assert sorted(each for each in counts if each != (0, 0)) == sorted(expected)
    assert sum(each for each, _ in expected) == learnt
    assert model.count_params() == every == sum(a + b for a, b in expected)


def test_what_the_docstring_of_lenet5_says_of_the_paper() -> None:
    counts = dict(zip(("C1", "C3", "C5", "F6", "output"), (each for each, _ in lenet5()), strict=True))
    # C3 reads three maps (6 of its own), four (9), or all six (1), each 5 x 5, with a bias: table I of the paper.
    sparse = 6 * (3 * 25 + 1) + 9 * (4 * 25 + 1) + (6 * 25 + 1)
    assert counts["C3"] - sparse == 900
    assert counts["C1"] + 2 * 6 + sparse + 2 * 16 + counts["C5"] + counts["F6"] == 60_000


def pictures(side: int, channels: int) -> tuple[Any, Any]:
    x, y = load_digits()
    x, y = x[:192].reshape(-1, 8, 8) / 16, y[:192]
    large = np.kron(x, np.ones((side // 8, side // 8)))[..., None].repeat(channels, axis=-1)
    return large.astype(np.float32), y


def columns() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    ids, numbers = rng.integers(0, [4, 3, 6], (256, 3)), rng.normal(size=(256, 2)).astype(np.float32)
    return {"categorical": ids, "continuous": numbers}, (ids[:, 0] % 2).astype(np.float32)


def series() -> tuple[Any, Any]:
    t = np.random.default_rng(0).uniform(0, 6, (256, 1)) + np.arange(33) * 0.3
    x = np.sin(t).astype(np.float32)
    return x[:, :32, None], x[:, 32:]


TRAINED: dict[str, tuple[Callable[[], Model], Callable[[], tuple[Any, Any]], str]] = {
    "LeNet5": (A.LeNet5, lambda: pictures(32, 1), "sparse_categorical_crossentropy"),
    "ResNet8": (
        lambda: A.ResNet8(input_shape=(16, 16, 3)),
        lambda: pictures(16, 3),
        "sparse_categorical_crossentropy",
    ),
    "ResNet20": (
        lambda: A.ResNet20(input_shape=(16, 16, 1)),
        lambda: pictures(16, 1),
        "sparse_categorical_crossentropy",
    ),
    "MobileNet": (
        lambda: A.MobileNet(input_shape=(32, 32, 3), alpha=0.25, classes=10),
        lambda: pictures(32, 3),
        "sparse_categorical_crossentropy",
    ),
    "MobileNetTiny": (
        lambda: A.MobileNetTiny(input_shape=(32, 32, 3), classes=10),
        lambda: pictures(32, 3),
        "sparse_categorical_crossentropy",
    ),
    "MLPMixer": (
        lambda: A.MLPMixer(num_blocks=2),
        lambda: pictures(32, 3),
        "sparse_categorical_crossentropy",
    ),
    "TCN": (
        lambda: A.TCN(input_shape=(32, 1), classes=1, classifier_activation=None, num_blocks=3, dropout=0.05),
        series,
        "mse",
    ),
    "TabTransformer": (
        lambda: A.TabTransformer(categories=[3, 2, 5], continuous=2, depth=2, dropout=0.1),
        columns,
        "binary_crossentropy",
    ),
}


def test_every_architecture_is_counted_and_trained() -> None:
    assert set(A.__all__) == set(TRAINED) == {name.split()[0] for name in COUNTS}


def trained(name: str) -> tuple[Model, Any, Any]:
    make, data, loss = TRAINED[name]
    fastnn.set_random_seed(1)
    model, (x, y) = make(), data()
    model.compile(fastnn.optimizers.Adam(0.002), loss)
    before = model.train_on_batch(x, y)
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    assert model.train_on_batch(x, y) < before
    return model, x, y


@pytest.mark.parametrize("name", TRAINED)
def test_an_epoch_a_file_and_other_formats(name: str, tmp_path: Path) -> None:
    model, x, _ = trained(name)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "m.fastnn")
    assert np.array_equal(load_model(tmp_path / "m.fastnn").predict(x, verbose=0), expected)
    model.save_weights(tmp_path / "w.fastnn")
    again = TRAINED[name][0]()
    again.load_weights(tmp_path / "w.fastnn")
    assert np.array_equal(again.predict(x, verbose=0), expected)
    if name == "LeNet5":
        assert np.array_equal(A.LeNet5(weights=tmp_path / "w.fastnn").predict(x, verbose=0), expected)

    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(fastnn.exchange.to_onnx(model).SerializeToString())
    kinds = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    feeds = {}
    for given in session.get_inputs():
        rows = x[given.name] if isinstance(x, dict) else x
        feeds[given.name] = rows.astype(kinds[given.type])
    assert np.allclose(session.run(None, feeds)[0], expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # theirs
def test_mobilenet_is_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    if "KERAS_BACKEND" not in os.environ:
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    how = {"input_shape": (32, 32, 3), "alpha": 0.25, "classes": 10, "weights": None, "classifier_activation": None}
    theirs, ours = keras.applications.MobileNet(**how), A.MobileNet(**how)
    rng = np.random.default_rng(0)
    # Kernels that keep the size of what goes through; all else somewhere near what it is in the beginning.
    weights = [
        rng.normal(0, np.sqrt(3 / np.prod(w.shape[: 2 if w.shape[-1] == 1 else 3])), w.shape)
        if w.ndim > 1
        else rng.uniform(0.8, 1.2, w.shape) - (w == 0)
        for w in theirs.get_weights()
    ]
    theirs.set_weights(weights)
    ours.set_weights([w.reshape(v.shape) for w, v in zip(weights, ours.get_weights(), strict=True)])
    x = rng.normal(size=(4, 32, 32, 3)).astype(np.float32)
    expected = theirs.predict(x, verbose=0)
    assert np.ptp(expected, axis=0).min() > 0.01  # rows are told apart
    assert np.allclose(ours.predict(x, verbose=0), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda **how: A.LeNet5(**how), (5, 5, 16)),
        (lambda **how: A.ResNet20(**how), (8, 8, 64)),
        (lambda **how: A.MobileNet(**how), (7, 7, 1024)),
        (lambda **how: A.MLPMixer(**how), (64, 64)),
        (lambda **how: A.TCN(**how), (784, 25)),
    ],
    ids=["LeNet5", "ResNet20", "MobileNet", "MLPMixer", "TCN"],
)
def test_without_the_top(make: Callable[..., Model], shape: tuple[int, ...]) -> None:
    assert make(include_top=False).output_shape == (None, *shape)
    for pooling in ("avg", "max"):
        assert make(include_top=False, pooling=pooling).output_shape == (None, shape[-1])


def test_a_step_of_a_tcn_sees_what_its_docstring_says() -> None:
    steps = 2 * (3 - 1) * (2**3 - 1)
    model = A.TCN(input_shape=(steps + 3, 1), filters=4, kernel_size=3, num_blocks=3, classes=1)
    model.set_weights([np.abs(w) + 0.1 for w in model.get_weights()])  # so that nothing is cut off by ReLU
    base = Model(model.input, model.layers[-2].output)
    x = np.zeros((steps + 3, steps + 3, 1), np.float32)
    x[np.arange(len(x)), np.arange(len(x))] = 1.0  # each row has its one at another step
    moved = (base.predict(x, verbose=0) != base.predict(np.zeros((1, steps + 3, 1)), verbose=0)).any(axis=1)
    assert moved.tolist() == [False, False] + [True] * (steps + 1)


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (
            lambda: A.LeNet5(weights="imagenet"),
            ValueError,
            r"LeNet5: weights must be None or the path.*'imagenet'.*zoo",
        ),
        (lambda: A.ResNet20(weights=3), ValueError, r"ResNet20: weights must be None or the path.*got 3"),
        (lambda: A.TabTransformer(categories=[3], weights="adult"), ValueError, "TabTransformer: weights must be"),
        (lambda: A.LeNet5(weights="none/w.fastnn"), FileNotFoundError, "w.fastnn"),
        (lambda: A.LeNet5((28, 28, 1)), TypeError, "it takes include_top"),
        (lambda: A.LeNet5(input_shape=(28, 28)), ValueError, r"must be \(height, width, channels\), got \(28, 28\)"),
        (lambda: A.LeNet5(input_shape=28), ValueError, r"must be \(height, width, channels\), got 28"),
        (lambda: A.LeNet5(input_shape=(28, 0, 1)), ValueError, "width of input_shape"),
        (lambda: A.LeNet5(input_shape=(28, None, 1)), TypeError, "width of input_shape"),
        (lambda: A.ResNet8(pooling="mean"), ValueError, "pooling must be 'avg', 'max' or None, got 'mean'"),
        (lambda: A.ResNet8(classes=0), ValueError, "classes"),
        (lambda: A.ResNet8(num_classes=3), TypeError, "did you mean 'classes'"),
        (lambda: A.MobileNet(input_shape=(16, 32, 3)), ValueError, "height of input_shape.*at least 32"),
        (lambda: A.MobileNet(alpha=0.001), ValueError, r"32 \* alpha"),
        (lambda: A.MobileNet(alpha=float("nan")), ValueError, "alpha"),
        (lambda: A.MobileNetTiny(alpha="x"), TypeError, "alpha must be a number"),
        (lambda: A.MLPMixer(input_shape=(30, 32, 3)), ValueError, "multiples of patch_size, 4"),
        (lambda: A.MLPMixer(patch_size=0), ValueError, "patch_size"),
        (lambda: A.TCN(num_blocks=0), ValueError, "num_blocks"),
        (lambda: A.TCN(num_blocks=99), ValueError, "num_blocks"),
        (lambda: A.TabTransformer(), TypeError, "categories"),
        (lambda: A.TabTransformer(categories=[]), ValueError, "got none"),
        (lambda: A.TabTransformer(categories=5), TypeError, "categories must be a list"),
        (lambda: A.TabTransformer(categories=[0]), ValueError, "categories"),
        (lambda: A.TabTransformer(categories=[3], dim=20), ValueError, "multiple of 8"),
        (lambda: A.TabTransformer(categories=[3], heads=5), ValueError, "of heads, 5"),
        (lambda: A.VGG16(), AttributeError, "docs/differences.md"),
        (lambda: A.LeNet(), AttributeError, "did you mean 'LeNet5'"),
    ],
)
def test_what_cannot_be(make: Callable[[], Any], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        make()


def test_an_id_that_a_column_has_not_is_refused() -> None:
    model = A.TabTransformer(categories=[3, 2], depth=1)
    with pytest.raises(ValueError, match="from 0 to 3, got 4"):
        model.predict(np.array([[4, 0]]), verbose=0)
    assert model.predict(np.array([[0, 0], [3, 2]]), verbose=0).shape == (2, 1)

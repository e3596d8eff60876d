"""Whole models beside Keras's over 20 steps: weights, and every value of the history and of evaluate."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")
pytest.importorskip("jax", reason="Keras is told to compute in float64 by JAX")

import fastnn  # noqa: E402
from support.keras_paths import float64  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # theirs
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras runs on another backend than JAX"),
]

ROWS, INPUTS, CLASSES = 40, 6, 3
RNG = np.random.default_rng(3)
X = RNG.normal(size=(ROWS, INPUTS)).astype("f4")
OTHER_X = RNG.normal(size=(ROWS, 4)).astype("f4")
WORDS = RNG.integers(0, 9, (ROWS, 3)).astype("f4")
NUMBERS = RNG.normal(size=(ROWS, 2)).astype("f4")
CLASS = RNG.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype="f4")[CLASS]
BIT = (CLASS > 0).astype("f4")
WEIGHT = (RNG.random(ROWS) * (RNG.random(ROWS) < 0.8)).astype("f4")

Build = Callable[[Any], Any]


def both(build: Build, compiled: Callable[[Any], dict[str, Any]]) -> tuple[Any, Any]:
    """fastnn's model and Keras's, of the same weights."""
    ours, theirs = (build(lib) for lib in (fastnn, keras))
    rng = np.random.default_rng(4)
    weights = [np.asarray(w + 0.1 * rng.random(np.shape(w)), "f4") for w in theirs.get_weights()]
    for model, lib in ((ours, fastnn), (theirs, keras)):
        model.set_weights(weights)
        model.compile(**compiled(lib))
    return ours, theirs


def assert_same_logs(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    ours = ours
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def follow(build: Build, compiled: Callable[[Any], dict[str, Any]], x: Any, y: Any, **fit: Any) -> None:
    """Four epochs of five batches by both; then `evaluate` by both."""
    with float64():
        ours, theirs = both(build, compiled)
        before = ours.get_weights()
        options = {"batch_size": 8, "epochs": 4, "verbose": 0, "shuffle": False, **fit}
        assert_same_logs(*(model.fit(x, y, **options).history for model in (ours, theirs)))
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            assert np.abs(mine - other).max() <= 1e-5 * np.abs(other).max()
        assert any((a != b).any() for a, b in zip(ours.get_weights(), before, strict=True))
        weight = fit.get("sample_weight")
        logs = (
            model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True, sample_weight=weight)
            for model in (ours, theirs)
        )
        assert_same_logs(*logs)


def perceptron(units: int = CLASSES, last: str = "softmax", **first: Any) -> Build:
    """Dense layers; arguments of the first may be functions of the library."""

    def build(lib: Any) -> Any:
        given = {name: value(lib) if callable(value) else value for name, value in first.items()}
        return lib.Sequential(
            [lib.layers.Input((INPUTS,)), lib.layers.Dense(8, "tanh", **given), lib.layers.Dense(units, last)]
        )

    return build


def with_sgd(loss: Any, *metrics: str, rate: float = 0.05, **more: Any) -> Callable[[Any], dict[str, Any]]:
    def compiled(lib: Any) -> dict[str, Any]:
        own = loss(lib) if callable(loss) else loss
        return {"optimizer": lib.optimizers.SGD(rate, momentum=0.5), "loss": own, "metrics": list(metrics), **more}

    return compiled


SPARSE = "sparse_categorical_crossentropy"

# What is fitted, and with which arguments.
FITS: dict[str, tuple[Build, Callable[[Any], dict[str, Any]], Any, dict[str, Any]]] = {
    "numbers": (perceptron(2, "linear"), with_sgd("mse", "mae", "mse"), NUMBERS, {}),
    "numbers, weights": (perceptron(2, "linear"), with_sgd("mae", "mse"), NUMBERS, {"sample_weight": WEIGHT}),
    "classes": (perceptron(), with_sgd(SPARSE, "accuracy"), CLASS, {}),
    "classes, weights": (perceptron(), with_sgd(SPARSE, "accuracy"), CLASS, {"sample_weight": WEIGHT}),
    "classes, class weights": (
        perceptron(),
        with_sgd(SPARSE, "accuracy"),
        CLASS,
        {"class_weight": {0: 2.0, 1: 0.0, 2: 0.5}},
    ),
    "one-hot, class weights": (
        perceptron(),
        with_sgd("categorical_crossentropy", "accuracy"),
        ONE_HOT,
        {"class_weight": {0: 2.0, 2: 0.5}},
    ),
    "bits": (perceptron(1, "sigmoid"), with_sgd("binary_crossentropy", "accuracy", "auc"), BIT, {}),
    "bits, smoothed logits": (
        perceptron(1, "linear"),
        with_sgd(lambda lib: lib.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)),
        BIT,
        {"class_weight": {0: 3.0, 1: 1.0}},
    ),
    "weighted metrics": (
        perceptron(2, "linear"),
        with_sgd("mse", "mae", weighted_metrics=["mae"]),
        NUMBERS,
        {"sample_weight": WEIGHT},
    ),
    "validation split": (perceptron(), with_sgd(SPARSE, "accuracy"), CLASS, {"validation_split": 0.4}),
    "validation data": (
        perceptron(2, "linear"),
        with_sgd("mse", "mae"),
        NUMBERS,
        {"validation_data": (X[:9], NUMBERS[:9], WEIGHT[:9]), "validation_freq": 2},
    ),
    "sum": (
        perceptron(2, "linear"),
        with_sgd(lambda lib: lib.losses.MeanSquaredError(reduction="sum"), rate=0.005),
        NUMBERS,
        {"sample_weight": WEIGHT},
    ),
    "mean by weight": (
        perceptron(2, "linear"),
        with_sgd(lambda lib: lib.losses.MeanSquaredError(reduction="mean_with_sample_weight")),
        NUMBERS,
        {"sample_weight": WEIGHT},
    ),
    "a short last batch": (perceptron(), with_sgd(SPARSE), CLASS, {"batch_size": 9}),
    "steps": (perceptron(), with_sgd(SPARSE), CLASS, {"steps_per_epoch": 3, "epochs": 1}),
    # Penalties and limits.
    **{
        f"{kind} {name}": (
            perceptron(
                **{
                    f"kernel_{kind}": lambda lib, kind=kind, name=name, given=given: getattr(
                        getattr(lib, f"{kind}s"), name
                    )(*given),
                    f"bias_{kind}": lambda lib, kind=kind, bias=bias: getattr(lib, f"{kind}s").get(bias),
                }
            ),
            with_sgd(SPARSE, "accuracy"),
            CLASS,
            {},
        )
        for kind, name, given, bias in (
            ("regularizer", "L1", (0.03,), "l2"),
            ("regularizer", "L2", (0.05,), "l1"),
            ("regularizer", "L1L2", (0.02, 0.03), None),
            ("regularizer", "OrthogonalRegularizer", (0.03,), None),
            ("constraint", "MaxNorm", (0.6,), "max_norm"),
            ("constraint", "NonNeg", (), "non_neg"),
            ("constraint", "UnitNorm", (), None),
            ("constraint", "MinMaxNorm", (0.5, 0.8, 0.6), None),
        )
    },
}


@pytest.mark.parametrize("name", FITS)
def test_fits(name: str) -> None:
    build, compiled, y, fit = FITS[name]
    follow(build, compiled, X, y, **fit)


def frozen(layer: Any) -> Any:
    layer.trainable = False
    return layer


def chain(*layers: Callable[[Any], Any], shape: tuple[int, ...] = (INPUTS,)) -> Build:
    """Layers, functions of the library's, before a softmax."""
    return lambda lib: lib.Sequential(
        [lib.layers.Input(shape), *(layer(lib.layers) for layer in layers), lib.layers.Dense(CLASSES, "softmax")]
    )


def dense(layers: Any) -> Any:
    return layers.Dense(7)


def merged(name: str) -> Build:
    """Two inputs, of 6 and 4 numbers, and a layer that both go through."""

    def build(lib: Any) -> Any:
        a, b = lib.layers.Input((INPUTS,)), lib.layers.Input((4,))
        shared = lib.layers.Dense(5, "tanh")
        sides = [shared(lib.layers.Dense(6)(a)), shared(lib.layers.Dense(6, "relu")(b))]
        layer = lib.layers.Dot(1) if name == "Dot" else getattr(lib.layers, name)()
        out = lib.layers.Dense(CLASSES, "softmax")(lib.layers.Concatenate()([layer(sides), sides[0]]))
        return lib.Model([a, b], out)

    return build


LAYERS: dict[str, tuple[Build, Any]] = {
    "BatchNormalization": (chain(dense, lambda L: L.BatchNormalization(momentum=0.8), lambda L: L.ReLU()), X),
    "LayerNormalization": (chain(dense, lambda L: L.LayerNormalization(), lambda L: L.Activation("gelu")), X),
    "RMSNormalization": (chain(dense, lambda L: L.RMSNormalization()), X),
    "PReLU": (chain(dense, lambda L: L.PReLU(alpha_initializer="ones"), dense, lambda L: L.LeakyReLU()), X),
    "Embedding": (chain(lambda L: L.Embedding(9, 4), lambda L: L.Flatten(), dense, shape=(3,)), WORDS),
    "frozen": (chain(lambda L: frozen(L.Dense(9, "tanh")), dense, lambda L: frozen(L.BatchNormalization())), X),
    **{
        name: (merged(name), [X, OTHER_X])
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
    },
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    build, x = LAYERS[name]
    follow(build, with_sgd(SPARSE, "accuracy"), x, CLASS, sample_weight=WEIGHT)


@pytest.mark.parametrize("optimizer", ["Adam", "Ftrl"])
def test_several_outputs(optimizer: str) -> None:
    """An output that another reads too, a loss and a weight for each, clipping, a schedule, a penalty and a limit."""

    def build(lib: Any) -> Any:
        x = lib.layers.Input((INPUTS,))
        hidden = lib.layers.Dense(8, "gelu", kernel_constraint="max_norm", kernel_regularizer="l2")(x)
        numbers = lib.layers.Dense(2, name="numbers")(hidden)
        kind = lib.layers.Dense(CLASSES, "softmax", name="kind")(lib.layers.Concatenate()([numbers, hidden]))
        return lib.Model(x, [numbers, kind])

    def compiled(lib: Any) -> dict[str, Any]:
        rule = getattr(lib.optimizers, optimizer)
        return {
            "optimizer": rule(lib.optimizers.schedules.ExponentialDecay(0.05, 6, 0.7), global_clipnorm=0.5),
            "loss": ["mse", SPARSE],
            "loss_weights": [0.3, 2.0],
            "metrics": [["mae"], ["accuracy"]],
        }

    follow(build, compiled, X, [NUMBERS, CLASS], validation_data=(X[:9], [NUMBERS[:9], CLASS[:9]]))

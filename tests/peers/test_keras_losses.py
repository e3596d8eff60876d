"""Every loss that Keras 3 has too: the same values for the same arrays, weights, reductions and arguments."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import losses
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from support.keras_paths import float64
from support.units import OUTPUT_OF, targets_for

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

ROWS, UNITS = 6, 4
OURS_ALONE = {"pinball", "gaussian_nll"}
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"]

# Configurations of each loss.
CASES: list[tuple[str, dict[str, Any]]] = [
    *((cls.__name__, {}) for name, cls in losses.LOSSES if name not in OURS_ALONE),
    ("Huber", {"delta": 0.3}),
    *(("BinaryCrossentropy", {"from_logits": f, "label_smoothing": s}) for f in (False, True) for s in (0.0, 0.2)),
    *(("CategoricalCrossentropy", {"from_logits": f, "label_smoothing": s}) for f in (False, True) for s in (0.0, 0.2)),
    *(("SparseCategoricalCrossentropy", {"from_logits": f, "ignore_class": i}) for f in (False, True) for i in (0, -1)),
    ("SparseCategoricalCrossentropy", {"from_logits": True}),
    *(
        ("BinaryFocalCrossentropy", {"from_logits": f, "apply_class_balancing": b, "alpha": 0.4, "gamma": g})
        for f in (False, True)
        for b in (False, True)
        for g in (0.0, 1.5)
    ),
    ("BinaryFocalCrossentropy", {"label_smoothing": 0.2}),
    *(("CategoricalFocalCrossentropy", {"from_logits": f, "alpha": 0.4, "gamma": 1.5}) for f in (False, True)),
    ("CategoricalFocalCrossentropy", {"label_smoothing": 0.2}),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.8}),
    ("Tversky", {"alpha": 0.3, "beta": 0.9}),
    ("Circle", {"gamma": 2.0, "margin": 0.25, "remove_diagonal": False}),
]


def arrays(
    name: str, arguments: dict[str, Any], shape: tuple[int, ...], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(y_true, y_pred) in float32, of a kind that the loss takes."""
    rng = np.random.default_rng(seed)
    output = rng.normal(size=shape)
    if "ntropy" in name or name in ("Dice", "Tversky", "KLDivergence", "Poisson"):
        output = output if arguments.get("from_logits") else 1 / (1 + np.exp(-output))
    if name.startswith("Categorical") and "Generalized" not in name:
        y = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    elif name.startswith("Sparse") or "Generalized" in name or name == "Circle":
        y = rng.integers(0, shape[-1], shape[:-1])
    elif name.startswith("Binary") or "inge" in name or name in ("Dice", "Tversky"):
        y = rng.integers(0, 2, shape)
    elif name == "KLDivergence":
        y = rng.random(shape)
    else:
        y = np.abs(rng.normal(size=shape))
    return y.astype("f4"), output.astype("f4")


def assert_same(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-5, atol=2e-6)
    assert np.shape(ours) == np.shape(theirs)


def shapes(name: str, *given: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Those that the loss takes in Keras: its Circle takes rows alone."""
    return [shape for shape in given if name != "Circle" or len(shape) == 2]


def both(name: str, arguments: dict[str, Any]) -> tuple[Any, Any]:
    return getattr(losses, name)(**arguments), getattr(keras.losses, name)(**arguments)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_values(name: str, arguments: dict[str, Any], reduction: str) -> None:
    """With each kind of weights, in rows of two and of three axes."""
    for shape in shapes(name, (ROWS, UNITS), (1, UNITS), (5, ROWS, UNITS)):
        ours, theirs = both(name, {**arguments, "reduction": reduction})
        y, output = arrays(name, arguments, shape)
        assert_same(ours(y, output), theirs(y, output))
        rows = shape[:-1]
        random = np.random.default_rng(1).random(rows).astype("f4")
        for weight in (random, np.zeros(rows, "f4"), (random > 0.5).astype("f4"), 0.5, random[..., None]):
            assert_same(ours(y, output, weight), theirs(y, output, weight))


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
def test_one_unit_and_one_row(name: str, arguments: dict[str, Any]) -> None:
    ours, theirs = both(name, arguments)
    for shape in ((ROWS, 1), (1, 1)):
        y, output = arrays(name, arguments, shape)
        assert_same(ours(y, output), theirs(y, output))
        assert_same(ours(y.reshape(shape), output), theirs(y.reshape(shape), output))


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
def test_one_axis(name: str, arguments: dict[str, Any]) -> None:
    """(units,) is one row; (rows,) targets go with (rows, 1) outputs, and (rows, 1) with (rows,)."""
    ours, theirs = both(name, arguments)
    y, output = arrays(name, arguments, (UNITS,))
    if not ours.labels:
        assert_same(ours(y, output), theirs(y, output))
        assert_same(ours(y, output[:, None]), theirs(y, output[:, None]))
        assert_same(ours(y[:, None], output), theirs(y[:, None], output))


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
def test_function_form(name: str, arguments: dict[str, Any]) -> None:
    table_name = losses.LOSSES.find(name).table_name
    theirs = getattr(keras.losses, table_name, None)
    if theirs is None:
        from keras.src.losses import losses as module

        theirs = getattr(module, table_name)
    given = arguments if name != "CategoricalGeneralizedCrossEntropy" else {"q": 0.5, **arguments}
    for shape in shapes(name, (ROWS, UNITS), (5, ROWS, UNITS)):
        y, output = arrays(name, arguments, shape)
        assert_same(getattr(losses, table_name)(y, output, **given), theirs(y, output, **given))


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
def test_extremes(name: str, arguments: dict[str, Any]) -> None:
    """Outputs of exactly 0 and 1, targets of 0, and rows of nothing but 0."""
    if arguments.get("from_logits"):
        return
    ours, theirs = both(name, {**arguments, "reduction": "none"})
    y, output = arrays(name, arguments, (ROWS, UNITS))
    output = np.tile(np.eye(UNITS, dtype="f4"), (2, 1))[:ROWS]
    assert_same(ours(y, output), theirs(y, output))
    if not ours.labels:
        zeros = np.zeros_like(y)
        assert_same(ours(zeros, output), theirs(zeros, output))
        if "ategorical" not in name:  # probabilities that are all 0 have no sum to be divided by
            assert_same(ours(y, zeros), theirs(y, zeros))


@pytest.mark.parametrize("name", [cls.__name__ for name, cls in losses.LOSSES if name not in OURS_ALONE])
def test_arguments(name: str) -> None:
    """Names, order and defaults of a loss's own arguments, and the reduction's."""
    left_out = {"self", "axis", "dtype", "name"}
    sides = []
    for cls in (getattr(losses, name), getattr(keras.losses, name)):
        found = inspect.signature(cls).parameters
        sides.append({key: value.default for key, value in found.items() if key not in left_out})
    assert sides[0] == sides[1]
    own = [[key for key in side if key != "reduction"] for side in sides]
    assert own[0] == own[1]
    assert getattr(losses, name)().name == losses.LOSSES.find(name).table_name


def test_names() -> None:
    """Keras's own names and short forms mean the same losses."""
    from keras.src.losses import ALL_OBJECTS_DICT

    out = {"Loss", "LossFunctionWrapper", "CTC", "ctc", "Circle", "circle"}
    for name, found in ALL_OBJECTS_DICT.items():
        if name not in out:
            assert name in losses.LOSSES.aliases, name
            assert losses.as_loss(name).table_name in (found.__name__, losses.as_loss(found.__name__).table_name)


@pytest.mark.parametrize("name", [name for name, cls in losses.LOSSES if name not in OURS_ALONE])
def test_twenty_steps(name: str) -> None:
    """From the same start to the same weights, with weights for the rows; also fused with the last activation."""
    cls = losses.LOSSES.find(name)
    if cls.kernel.whole:
        pytest.skip("the engine hands out rows, not batches")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 5)).astype("f4")
    y, weight = targets_for(cls(), 40, 3, rng).astype("f4"), rng.integers(0, 4, 40).astype("f4")
    if name in ("hinge", "squared_hinge"):
        y[y == 0] = -1  # Keras takes a 0 for a -1 in a batch of nothing but 0 and 1
    fastnn.set_random_seed(1)
    after = OUTPUT_OF.get(name, "linear")
    ours = Sequential([Dense(8, "tanh", input_dim=5), Dense(3, after)])
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(3, after)]
    theirs = keras.Sequential([keras.Input((5,)), *layers])
    ours.compile(SGD(0.01), cls())
    theirs.compile(keras.optimizers.SGD(0.01), getattr(keras.losses, cls.__name__)())
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        model.fit(x, y, batch_size=10, epochs=5, shuffle=False, verbose=0, sample_weight=weight)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("arguments", [{}, {"gamma": 2.0, "margin": 0.25}, {"gamma": 0.5, "remove_diagonal": False}])
def test_circle_in_training(arguments: dict[str, Any]) -> None:
    """Value and gradient, where each row has pairs of both kinds: Keras's average leaves out those that have not."""
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(4)
    y, output = np.repeat([3, 0, 1, 0, 1, 3], 2).astype("f4"), rng.normal(size=(12, 5)).astype("f4")
    output /= np.linalg.norm(output, axis=1, keepdims=True)
    model = Sequential([Dense(5, use_bias=False, input_dim=12)])
    model.compile("sgd", losses.Circle(**arguments))
    model.set_weights([output])
    value, gradients = model.gradient(np.eye(12, dtype="f4"), y, return_loss=True)
    with float64():
        theirs = keras.losses.Circle(**arguments)
        wanted, slopes = jax.value_and_grad(lambda a: theirs(y.astype(float), a))(output.astype(float))
    assert value == pytest.approx(float(wanted), rel=2e-5)
    np.testing.assert_allclose(gradients[0], slopes, rtol=2e-4, atol=1e-5 * np.abs(slopes).max())

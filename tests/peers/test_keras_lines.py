"""Outputs of (steps, units) beside Keras 3: losses and their slopes, metrics, weights by row and by line, fits."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")
jax: Any = pytest.importorskip("jax", reason="Keras's losses are differentiated by JAX")

from peers.test_keras_metrics import ALL, name_of, pair  # noqa: E402

import fastnn  # noqa: E402
from fastnn import layers, optimizers  # noqa: E402
from fastnn.losses import LOSSES, Circle, Loss  # noqa: E402
from fastnn.models import Model, Sequential  # noqa: E402
from support.keras_paths import float64, their_loss  # noqa: E402
from support.units import OUTPUT_OF, label, outputs_for, targets_for, units  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # theirs
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras runs on another backend than JAX"),
]

ROWS, STEPS, UNITS = 6, 3, 4
REDUCTIONS = ["sum_over_batch_size", "sum", "mean_with_sample_weight"]


def weights(which: str, shape: tuple[int, ...] = (ROWS, STEPS)) -> np.ndarray | None:
    """None, or one for each row or each line, some of them 0."""
    if which == "none":
        return None
    found = np.random.default_rng(3).uniform(0.5, 2, shape[:1] if which == "rows" else shape).astype("f4")
    found.flat[1::4] = 0
    return found


def theirs(weight: np.ndarray | None) -> np.ndarray | None:
    """As Keras takes it: beside values of two axes a weight of a row must be one of each line."""
    return np.repeat(weight[:, None], STEPS, axis=1) if weight is not None and weight.ndim == 1 else weight


def ignores(loss: Loss) -> bool:
    """Whether it leaves lines out. An average over a batch counts them in fastnn, and not in Keras."""
    return getattr(loss, "ignore_class", None) is not None


# Keras's Circle takes outputs of one axis a row.
EVERY_LOSS = [
    loss
    for loss in units(LOSSES)
    if hasattr(keras.losses, type(loss).__name__) and not ignores(loss) and not isinstance(loss, Circle)
]


def arrays(loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """(y, output) of (ROWS, STEPS, ...) as the loss takes them."""
    rng = np.random.default_rng(5)
    y = targets_for(loss, ROWS * STEPS, UNITS, rng).astype("f4")
    output = outputs_for(loss, rng.normal(size=(ROWS * STEPS, UNITS))).astype("f4")
    y = np.where(y == 0, -1, y) if loss.table_name in ("hinge", "squared_hinge") else y
    return y.reshape(ROWS, STEPS, -1)[..., 0 if loss.labels else slice(None)], output.reshape(ROWS, STEPS, UNITS)


@pytest.mark.parametrize("which", ["none", "rows", "lines"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", EVERY_LOSS, ids=label)
def test_value_and_gradient(loss: Loss, reduction: str, which: str) -> None:
    """In the engine: the outputs are the weights of a layer that reads rows of the identity."""
    loss = dataclasses.replace(loss, reduction=reduction)
    if loss.kernel.whole and reduction == "sum" and which == "none":
        pytest.skip("a batch's one value is its own sum in Keras; in fastnn it counts for each line")
    y, output = arrays(loss)
    weight = weights(which)
    model = Sequential([layers.Dense(STEPS * UNITS, use_bias=False, input_dim=ROWS), layers.Reshape((STEPS, UNITS))])
    model.compile("sgd", loss)
    model.set_weights([output.reshape(ROWS, -1)])
    x = np.eye(ROWS, dtype="f4")
    value = model.evaluate(x, y, ROWS, 0, sample_weight=weight)
    network = model.description.network
    network.gradient(x, np.ascontiguousarray(y.reshape(ROWS, -1)), weight)
    with float64():
        call = their_loss(loss)
        y, output = y.astype(float), output.astype(float)
        wanted, slopes = jax.value_and_grad(lambda a: call(y, a, theirs(weight)))(output)
    assert value == pytest.approx(float(wanted), rel=2e-5, abs=1e-6)
    slopes = np.asarray(slopes).ravel()
    found = network.gradients[: slopes.size]
    np.testing.assert_allclose(found, slopes, rtol=2e-4, atol=1e-5 * np.abs(slopes).max())


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=label)
def test_twenty_steps(loss: Loss) -> None:
    """From the same start to the same weights, after the loss's own activation, with weights by line."""
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(40, 5)).astype("f4"), rng.uniform(0.5, 2, (40, STEPS)).astype("f4")
    weight[::5], weight[3, 1] = 0, 0
    y = targets_for(loss, 40 * STEPS, UNITS, rng).astype("f4")
    y = np.where(y == 0, -1, y) if loss.table_name in ("hinge", "squared_hinge") else y
    y = y.reshape(40, STEPS, -1)[..., 0 if loss.labels else slice(None)]
    after = "linear" if loss.logits else OUTPUT_OF.get(loss.table_name, "linear")
    fastnn.set_random_seed(1)
    sides = []
    for side in (layers, keras.layers):
        last = [side.Dense(STEPS * UNITS), side.Reshape((STEPS, UNITS)), side.Activation(after)]
        sides.append([side.Dense(8, "tanh"), *last])
    ours = Sequential([layers.Input((5,)), *sides[0]])
    other = keras.Sequential([keras.Input((5,)), *sides[1]])
    ours.compile(optimizers.SGD(0.01, momentum=0.5), loss)
    other.compile(keras.optimizers.SGD(0.01, momentum=0.5), their_loss(loss))
    other.set_weights(ours.get_weights())
    for model in (ours, other):
        model.fit(x, y, batch_size=10, epochs=5, shuffle=False, verbose=0, sample_weight=weight)
    for one, two in zip(ours.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("which", ["none", "rows", "lines"])
@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_metrics(case: tuple[str, dict[str, Any], Any, bool], which: str) -> None:
    name, given, kind, of_classes = case
    rng = np.random.default_rng(len(name_of(case)))
    ours, other = pair(name, given)
    y, output = kind(rng, ROWS * STEPS, 4 if of_classes else 3)
    y, output = (np.asarray(array, "f4").reshape(ROWS, STEPS, -1) for array in (y, output))
    weight = weights(which)
    ours.update_state(y, output, weight)
    np.testing.assert_allclose(ours.result(), wanted_of(other, y, output, weight), rtol=2e-5, atol=2e-6)


def wanted_of(metric: Any, y: np.ndarray, output: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Keras's value. Some of its metrics take weights of lines, others of elements; some no third axis."""
    forms = [weight]
    if weight is not None:
        lines = weight.reshape(ROWS, -1, 1) * np.ones((ROWS, STEPS, 1), "f4")
        forms += [lines, lines * np.ones(np.broadcast_shapes(y.shape, output.shape), "f4")]
    for form in forms:
        metric.reset_state()
        try:
            metric.update_state(y, output, form)
            return np.asarray(metric.result())
        except (ValueError, TypeError) as error:
            why = str(error)
    pytest.skip(f"Keras does not take it: {why[:80]}")


def two_outputs(side: Any, model: Any, inputs: Any) -> Any:
    hidden = side.Dense(8, "tanh")(inputs)
    steps = side.Reshape((STEPS, 2), name="steps")(side.Dense(STEPS * 2)(hidden))
    return model(inputs, [steps, side.Dense(1, name="one")(hidden)])


def test_several_outputs_with_weights_of_their_own() -> None:
    """One by line, the other by row: history, evaluation and weights."""
    fastnn.set_random_seed(3)
    rng = np.random.default_rng(4)
    x, one = rng.normal(size=(40, 5)).astype("f4"), rng.normal(size=40).astype("f4")
    steps = rng.normal(size=(40, STEPS, 2)).astype("f4")
    weight = [weights("lines", (40, STEPS)), weights("rows", (40, 1))]
    ours = two_outputs(layers, Model, layers.Input((5,)))
    other = two_outputs(keras.layers, keras.Model, keras.Input((5,)))
    ours.compile(optimizers.SGD(0.05), "mse", [0.5, 2.0], weighted_metrics=[["mae"], ["mae"]])
    other.compile(
        keras.optimizers.SGD(0.05), ["mse", "mse"], loss_weights=[0.5, 2.0], weighted_metrics=[["mae"], ["mae"]]
    )
    other.set_weights(ours.get_weights())
    for model in (ours, other):
        model.fit(x, [steps, one], 8, 4, verbose=0, shuffle=False, sample_weight=weight)
    for a, b in zip(ours.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    found, wanted = (
        model.evaluate(x, [steps, one], 40, verbose=0, sample_weight=weight, return_dict=True)
        for model in (ours, other)
    )
    for name, value in found.items():
        assert value == pytest.approx(wanted[name], rel=1e-4), name

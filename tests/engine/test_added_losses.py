"""What outputs of ops add to the loss: activity regularisers, and tensors that a graph adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import regularizers
from fastnn.engine.description import AddedLoss
from fastnn.engine.network import Network
from fastnn.engine.ops import ActivationOp, DenseOp
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    Input,
    Reshape,
    TimeDistributed,
)
from fastnn.layers.graph import AddedLoss as TensorLoss, Graph
from fastnn.models import Model, Sequential, load_model
from fastnn.models.graph import planned
from support.networks import set_loss
from support.small import bits

ROWS, INPUTS = 70, 5
MAGNITUDES = regularizers.L1L2(0.03, 0.2)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def rows(n: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, INPUTS)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)


def compiled(model: Model, loss: Any = "mse") -> Model:
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile("sgd", loss)
    return model


def part(model: Model, layer: Any) -> Model:
    """A model that gives what the layer gives."""
    return Model(model.inputs[0], layer.output)


def penalised(a: np.ndarray, penalty: Any = MAGNITUDES) -> float:
    return float(penalty.reference(a.astype(float)) / len(a))


# Values


def hidden(penalty: Any = MAGNITUDES) -> tuple[Model, Any]:
    first = Input((INPUTS,))
    layer = Dense(7, "tanh", activity_regularizer=penalty)
    return compiled(Model(first, Dense(2)(layer(first)))), layer


@pytest.mark.parametrize("batch", [7, 32, ROWS])
def test_a_penalty_on_activations_is_in_the_loss(batch):
    model, layer = hidden()
    x, y = rows()
    a = part(model, layer).predict(x)
    mse = float(((model.predict(x) - y) ** 2).mean())
    want = mse + penalised(a)
    np.testing.assert_allclose(model.evaluate(x, y, batch_size=batch, verbose=0), want, rtol=1e-6)
    fitted = model.fit(x, y, epochs=1, batch_size=ROWS, verbose=0)
    np.testing.assert_allclose(fitted.history["loss"][0], want, rtol=1e-6)


def test_weights_of_rows_do_not_weigh_it():
    model, layer = hidden()
    x, y = rows()
    a = part(model, layer).predict(x)
    weight = np.linspace(0, 2, ROWS)
    weighed = float((((model.predict(x) - y) ** 2).mean(axis=1) * weight).mean())
    got = model.evaluate(x, y, sample_weight=weight, verbose=0)
    np.testing.assert_allclose(got, weighed + penalised(a), rtol=1e-6)


def test_a_layer_that_does_not_learn_counts():
    model, layer = hidden()
    layer.trainable = False
    model.compile("sgd", "mse")
    x, y = rows()
    want = float(((model.predict(x) - y) ** 2).mean()) + penalised(part(model, layer).predict(x))
    np.testing.assert_allclose(model.fit(x, y, batch_size=ROWS, verbose=0).history["loss"][0], want, rtol=1e-6)


# Slopes: central differences of the loss in float64, which evaluate gives, by one weight at a time.


def of_two_readers() -> Model:
    first = Input((INPUTS,))
    a = Dense(4, "tanh", activity_regularizer=MAGNITUDES)(first)
    return Model(first, fastnn.layers.Add()([Dense(2)(a), Dense(2, "sigmoid")(a)]))


def of_lines() -> Model:
    first = Input((INPUTS,))
    lines = Reshape((3, 2))(Dense(6)(first))
    lines = TimeDistributed(Dense(4, "tanh", activity_regularizer=MAGNITUDES))(lines)
    return Model(first, Dense(2)(Flatten(activity_regularizer="l2")(lines)))


def of_the_output() -> Model:
    first = Input((INPUTS,))
    return Model(first, Dense(2, "softmax", activity_regularizer=MAGNITUDES)(first))


def of_a_shared_layer() -> Model:
    first = Input((INPUTS,))
    shared = Dense(INPUTS, "tanh", activity_regularizer="l2")
    return Model(first, Dense(2)(shared(shared(first))))


def of_an_input() -> Model:
    first = Input((INPUTS,))
    return Model(first, Dense(2)(Identity(activity_regularizer="l1")(first)))


def of_a_model_inside() -> Model:
    inner = Sequential([Input((INPUTS,)), Dense(4, "tanh", activity_regularizer="l2"), Dense(3)])
    first = Input((INPUTS,))
    return Model(first, Dense(2)(inner(first)))


def of_python() -> Model:
    def spread(a: np.ndarray) -> float:
        return float((a.mean(axis=0) ** 4).sum() + np.cos(a).sum())

    first = Input((INPUTS,))
    return Model(first, Dense(2)(Dense(4, "tanh", activity_regularizer=spread)(first)))


def of_orthogonal() -> Model:
    first = Input((INPUTS,))
    return Model(first, Dense(2)(Dense(4, "tanh", activity_regularizer="orthogonal_regularizer")(first)))


MODELS: list[Callable[[], Model]] = [
    lambda: hidden()[0],
    of_two_readers,
    of_lines,
    of_the_output,
    of_a_shared_layer,
    of_an_input,
    of_a_model_inside,
    of_python,
    of_orthogonal,
]
NAMES = [getattr(make, "__name__", "") for make in MODELS]


def check_slopes(model: Model, x: np.ndarray, y: np.ndarray) -> None:
    """What one step of SGD takes away is the slope of what evaluate gives."""
    start = model.get_weights()
    model.compile(fastnn.optimizers.SGD(1.0), model.description.trainer.loss)
    model.fit(x, y, batch_size=len(x), verbose=0)
    found = [before.astype(float) - after for before, after in zip(start, model.get_weights(), strict=True)]
    step = 2e-3
    for number, w in enumerate(start):
        for place in list(np.ndindex(*w.shape))[:12]:
            values = []
            for sign in (1, -1):
                moved = [each.copy() for each in start]
                moved[number][place] += sign * step
                model.set_weights(moved)
                values.append(model.evaluate(x, y, batch_size=len(x), verbose=0))
            want = (values[0] - values[1]) / (2 * step)
            assert abs(found[number][place] - want) < 2e-3 * max(1, abs(want)), (number, place, found[number][place])


@pytest.mark.parametrize("make", MODELS, ids=NAMES)
def test_slopes(make):
    x, y = rows(24)
    loss = "categorical_crossentropy" if make is of_the_output else "mse"
    model = compiled(make(), loss)
    check_slopes(model, x, np.abs(y) / np.abs(y).sum(axis=1, keepdims=True) if make is of_the_output else y)


# Tensors that a graph adds


def with_tensors(*added: tuple[float, bool]) -> tuple[Network, Any]:
    """Dense 5 -> 3, read by Dense 3 -> 2, and by a tanh that leads nowhere but to the loss."""
    ops = [DenseOp(INPUTS, 3), DenseOp(3, 2), ActivationOp(3, activation=fastnn.kernels.tanh)]
    described = [AddedLoss(2, weight, mean=mean) for weight, mean in added]
    network = Network(ops, [(-1,), (0,), (0,)], [INPUTS], [1], added=described)
    network.parameters[:] = np.random.default_rng(3).normal(size=network.parameters.size)
    set_loss(network, fastnn.kernels.mean_squared_error, 2)
    return network, ops


def forward(network: Network, ops: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = []
    h = x.astype(float)
    for op in ops[:2]:
        w = network.parameters[op.start : op.start + op.size].astype(float)
        n = op.size // (h.shape[1] + 1)
        h = h @ w[:-n].reshape(-1, n) + w[-n:]
        values.append(h)
    return values[1], np.tanh(values[0])


@pytest.mark.parametrize("added", [[(0.7, True)], [(0.01, False)], [(0.7, True), (-0.02, False)]])
def test_a_tensor_that_leads_to_no_output(added):
    network, ops = with_tensors(*added)
    x, y = rows()

    def value() -> float:
        output, tanh = forward(network, ops, x)
        return float(((output - y) ** 2).mean() + sum(w * tanh.sum() / (len(x) if mean else 1) for w, mean in added))

    np.testing.assert_allclose(network.evaluate(x, y, None, batch_size=ROWS) / ROWS, value(), rtol=1e-6)
    np.testing.assert_allclose(network.gradient(x, y), value(), rtol=1e-6)
    found = network.gradients.copy()
    for place in range(0, ops[1].start + ops[1].size, 3):
        before = network.parameters[place]
        sides = []
        for sign in (1, -1):
            network.parameters[place] = before + np.float32(sign * 1e-2)
            moved = network.parameters[place]
            sides.append((value(), float(moved)))
        network.parameters[place] = before
        want = (sides[0][0] - sides[1][0]) / (sides[0][1] - sides[1][1])
        np.testing.assert_allclose(found[place], want, rtol=1e-3, atol=1e-3)


def test_a_sum_over_the_batch_hangs_on_its_size():
    network, ops = with_tensors((0.01, False))
    x, y = rows()
    output, tanh = forward(network, ops, x)
    mse = float(((output - y) ** 2).mean())
    got = network.evaluate(x, y, None, batch_size=10) / ROWS
    np.testing.assert_allclose(got, mse + 0.01 * tanh.sum() / 7, rtol=1e-6)


def test_tensors_of_a_graph_are_planned():
    first = Input((INPUTS,))
    h = Dense(3)(first)
    apart = Activation("tanh")(h)
    plan = planned(Graph((first,), (Dense(2)(h),), added=[TensorLoss(apart, 0.5), TensorLoss(first, 2.0, False)]))
    assert len(plan.ops) == 4
    assert [(each.total, each.mean) for each in plan.added] == [(0.5, True), (2.0, False)]
    assert [type(plan.ops[each.op]).__name__ for each in plan.added] == ["ActivationOp", "ActivationOp"]


def test_places_that_are_none():
    for place in (-1, 1):
        with pytest.raises(ValueError, match="added losses and masks must be of ops from 0 to 0"):
            Network([DenseOp(2, 2)], added=[AddedLoss(place)])


# Threads


def wide() -> Model:
    first = Input((INPUTS,))
    h = Dense(96, "tanh", activity_regularizer=MAGNITUDES)(first)
    h = Dropout(0.2, activity_regularizer="l2")(BatchNormalization(activity_regularizer="l1")(h))
    return Model(first, Dense(2)(Dense(128, "relu", activity_regularizer="l1")(h)))


def test_the_same_bits_for_any_number_of_threads():
    x, y = rows(700)
    found = []
    for threads in (1, 2, 3, 4):
        fastnn.set_num_threads(threads)
        fastnn.set_random_seed(7)
        model = wide()
        model.compile("adam", "mse")
        history = model.fit(x, y, epochs=3, batch_size=171, verbose=0)
        found.append((history.history["loss"], model.evaluate(x, y, verbose=0), bits(model)))
    assert all(each == found[0] for each in found[1:])


# Its field


def test_it_is_saved(tmp_path):
    model, layer = hidden("l1_l2")
    assert layer.activity_regularizer == regularizers.L1L2()
    layer = Embedding(3, 2, activity_regularizer=regularizers.L2(0.5))
    assert layer.config()["activity_regularizer"]["l2"] == 0.5
    model, _ = hidden()
    model.save(tmp_path / "m")
    x, y = rows()
    again = load_model(tmp_path / "m")
    assert again.layers[1].activity_regularizer == MAGNITUDES
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_what_is_no_regulariser():
    with pytest.raises(ValueError, match="unknown regularizer 'l3'"):
        Dense(2, activity_regularizer="l3")
    with pytest.raises(TypeError, match="regularizer"):
        Dense(2, activity_regularizer=fastnn.losses.MeanSquaredError())
    first = Input((INPUTS,))
    big = Model(first, Dense(2)(Dense(200, activity_regularizer=lambda a: float((a**3).sum()))(first)))
    big.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"of what layer 'dense.*' gives for a batch has 14000 weights"):
        big.fit(*rows(), batch_size=ROWS, verbose=0)

"""Models as functions of JAX: pure, compiled by it, with the same values and slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import layers as L, ops, optimizers
from fastnn.exchange import load_state_dict, to_jax
from fastnn.layers.graph import calls
from fastnn.models import Model, Sequential
from support.layers import CASES, FORMS

jax = pytest.importorskip("jax")


def _distinct() -> list[str]:
    """Cases that have a kind of layer which none before has: compiling all would take minutes."""
    seen: set[Any] = set()
    found = []
    for name, case in CASES.items():
        nodes = calls(case.model()[0].description.graph)
        kinds = {type(node.layer).__name__ for node in nodes}
        if not kinds <= seen and not (name.startswith("lambda") and "tensor" not in name):
            found.append(name)
        seen |= kinds
    return found


@pytest.mark.parametrize("part", range(4))
def test_every_layer(part: int) -> None:
    for name in _distinct()[part::4]:
        case = CASES[name]
        model, _ = case.model(None if case.choices else 2)
        x = case.rows(3)
        function, parameters = to_jax(model)
        expected = model.predict(x, verbose=0)
        if case.choices:
            np.testing.assert_allclose(jax.jit(function)(parameters, x), expected, rtol=1e-5, atol=1e-5, err_msg=name)
            continue

        def one(x: Any, function: Any = function, parameters: Any = parameters) -> Any:
            y = function(parameters, x)
            return y[:, 1].sum(), y

        slopes, y = jax.jit(jax.grad(one, has_aux=True))(x)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5, err_msg=name)
        wanted = model.input_gradient(x, 1)
        assert abs(slopes - wanted).max() < 2e-5 * (1 + abs(wanted).max()), name


def test_every_function() -> None:
    def together(t: Any) -> Any:
        given = [form(t) for form, _ in FORMS.values()]
        return ops.stack([ops.mean(each, axis=list(range(1, len(each.shape)))) for each in given], axis=1)

    model = Sequential([L.Input((3, 4)), L.Lambda(together)])
    function, parameters = to_jax(model)
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)

    def weighed(x: Any, weights: Any) -> Any:
        y = function(parameters, x)
        return (y * weights).sum(), y

    back = jax.jit(jax.grad(weighed, has_aux=True))
    np.testing.assert_allclose(back(x, np.float32(1))[1], model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)
    for unit in range(0, len(FORMS), 7):
        slopes = back(x, np.eye(len(FORMS), dtype=np.float32)[unit])[0]
        np.testing.assert_allclose(slopes, model.input_gradient(x, unit), rtol=1e-5, atol=1e-5)


def test_the_gradient_by_the_weights_is_that_of_training() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 6, 3)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)
    model = Sequential(
        [L.Input((6, 3)), L.Conv1D(4, 3, activation="relu"), L.LSTM(5), L.LayerNormalization(), L.Dense(2, "tanh")]
    )
    function, parameters = to_jax(model)
    assert set(parameters) == {f"{name}" for name in model.description.arrays()}

    def loss(parameters: Any) -> Any:
        return ((function(parameters, x) - y) ** 2).mean()

    slopes = jax.jit(jax.grad(loss))(parameters)
    stepped = {name: array - 0.1 * slopes[name] for name, array in parameters.items()}
    model.compile(optimizers.SGD(0.1), "mse")
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    for name, array in model.description.arrays().items():
        np.testing.assert_allclose(array, stepped[name], rtol=0, atol=1e-5, err_msg=name)


def test_pure_and_back() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 5)).astype(np.float32)
    model = Sequential([L.Input((5,)), L.Dense(4, "gelu"), L.BatchNormalization(), L.Dense(2)])
    function, parameters = to_jax(model)
    assert "batch_normalization/moving_mean" not in parameters  # which do not learn
    before = np.asarray(function(parameters, x))
    model.set_weights([w * 2 for w in model.get_weights()])
    np.testing.assert_array_equal(function(parameters, x), before)
    load_state_dict(model, {name: array / 2 for name, array in to_jax(model)[1].items()})
    rows = jax.vmap(lambda row: function(parameters, row[None])[0])(x)
    np.testing.assert_allclose(rows, before, rtol=0, atol=1e-6)


def test_several_inputs_and_outputs_and_what_is_frozen() -> None:
    rng = np.random.default_rng(0)
    a, b = L.Input((4,), name="a"), L.Input((3,), name="b")
    left, right = L.Dense(3, name="left")(a), L.Dense(3, name="right", trainable=False)(b)
    model = Model({"a": a, "b": b}, [L.Add()([left, right]), L.Multiply()([left, right])])
    function, parameters = to_jax(model)
    assert set(parameters) == {"left/kernel", "left/bias"}
    xs = {"a": rng.normal(size=(4, 4)).astype(np.float32), "b": rng.normal(size=(4, 3)).astype(np.float32)}
    for given, expected in zip(function(parameters, xs), model.predict(xs, verbose=0), strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="to_jax: model must be a fastnn model"):
        to_jax(3)
    with pytest.raises(ValueError, match=r"to_jax: layer .* is Python code"):
        to_jax(CASES["lambda"].model()[0])

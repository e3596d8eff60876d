"""Activations as a person meets them: called like functions, by name, as Python functions, as layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastnn import activations, layers
from fastnn.activations import ACTIVATIONS, Activation, Custom, RowActivation
from fastnn.layers import LAYERS
from fastnn.models import Sequential, load_model
from support.units import label, units

Z = np.linspace(-4, 4, 24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("name", "values", "fields"),
    [
        ("relu", (), {"negative_slope": 0.1, "max_value": 2.5}),
        ("relu", (0.1, 2.5, 1.0), {}),
        ("relu", (0.1,), {"threshold": 1.0}),
        ("elu", (), {"alpha": 0.5}),
        ("gelu", (), {"approximate": True}),
        ("soft_shrink", (1.5,), {}),
        ("threshold", (0.5, -3.0), {}),
        ("squareplus", (), {"b": 9}),
    ],
)
def test_fields_for_one_call(name: str, values: tuple[float, ...], fields: dict[str, Any]) -> None:
    function: Any = getattr(activations, name)
    expected = type(function)(*values, **fields)
    a = function(Z, *values, **fields)
    assert a.shape == Z.shape
    np.testing.assert_array_equal(a, expected(Z))
    assert function == ACTIVATIONS.get(name)  # the call left it as it was


def test_a_call_changes_only_the_fields_that_it_names() -> None:
    mine = activations.ReLU(negative_slope=0.5)
    np.testing.assert_array_equal(mine(Z, max_value=1), activations.ReLU(0.5, 1)(Z))


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(TypeError, match="slope"):
        activations.relu(Z, slope=0.1)
    with pytest.raises(TypeError, match="takes x and alpha"):
        activations.elu(Z, 0.5, 0.5)
    with pytest.raises(TypeError, match="nothing more"):
        activations.tanh(Z, 0.5)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("name", [name for name, cls in ACTIVATIONS if issubclass(cls, RowActivation)])
def test_along_an_axis(name: str, axis: int) -> None:
    function: Any = activations.get(name)
    expected = np.apply_along_axis(lambda row: function.reference(row[None])[0], axis, Z.astype(float))
    a = function(Z, axis=axis)
    assert a.dtype == np.float32
    np.testing.assert_allclose(a, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: activations.ReLU(max_value=-1), "max_value must be at least 0"),
        (lambda: activations.ReLU(threshold=-1), "threshold must be at least 0"),
        (lambda: activations.ReLU(negative_slope=math.nan), "negative_slope"),
        (lambda: activations.CELU(0), "alpha must be at least"),
        (lambda: activations.Squareplus(0), "b must be at least"),
        (lambda: activations.HardShrink(-0.5), "threshold must be at least 0"),
        (lambda: activations.SoftShrink(math.inf), "threshold must be at least 0"),
        (lambda: activations.Threshold(0, math.inf), "default_value"),
        (lambda: layers.Softmax(axis=0).output_shape((3,)), r"have axes 1 to 1 \(0 is that of the rows\), got 0"),
        (lambda: layers.Softmax(axis="last").output_shape((3,)), "an axis must be a whole number"),
        (lambda: layers.ReLU(max_value=-1), "max_value must be at least 0"),
        (lambda: layers.LeakyReLU(None), "negative_slope must be a number"),
    ],
)
def test_impossible_fields(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_plain_relu_keeps_its_kernel() -> None:
    assert activations.ReLU().kernel.name == "relu"
    assert activations.ReLU(max_value=6).kernel.name == "relu_bounded"


@pytest.mark.parametrize("unit", units(ACTIVATIONS), ids=label)
def test_the_configuration_makes_the_same_again(unit: Activation) -> None:
    assert activations.get(ACTIVATIONS.config(unit)) == unit


# A Python function


def bent(x: Any) -> Any:
    return (np.sqrt(x * x + 1) - 1) / 2 + x


def bent_slope(x: Any) -> Any:
    return x / (2 * np.sqrt(x * x + 1)) + 1


@pytest.mark.parametrize("derivative", [None, bent_slope])
def test_custom_value_and_slope(derivative: Any) -> None:
    unit = Custom(bent, derivative)
    z = np.random.default_rng(0).normal(scale=3, size=(7, 5)).astype(np.float32)
    d = np.random.default_rng(1).normal(size=z.shape).astype(np.float32)
    before = z.copy()
    a = unit.forward(z)
    slope = unit.backward(z, a, d)
    assert a.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(a, unit.reference(z), rtol=1e-5, atol=1e-6)
    # Differences in float64 err by about 1e-10: what is seen is float32's own rounding.
    np.testing.assert_allclose(slope, d * bent_slope(z.astype(np.float64)), rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(z, before)
    assert unit.forward(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_custom_is_what_get_makes_of_a_function() -> None:
    unit = activations.get(bent)
    assert isinstance(unit, Custom)
    assert (unit.name, unit.kernel, unit.numbers()) == ("bent", None, ())
    assert unit == activations.get(bent)
    assert activations.get(unit) is unit
    assert activations.get(np.tanh).name == "tanh"
    np.testing.assert_allclose(activations.get(np.tanh)(Z), np.tanh(Z))
    assert "custom" not in dict(ACTIVATIONS)


def test_custom_far_out_and_nan() -> None:
    unit = Custom(np.tanh)
    z = np.array([[np.nan, 3e38, -3e38, 1e10]], np.float32)
    found = unit.backward(z, unit.forward(z), np.ones_like(z))
    np.testing.assert_array_equal(found, [[np.nan, 0, 0, 0]])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x / x.sum(axis=-1, keepdims=True), "not elementwise"),
        (lambda x: x - x.mean(axis=0), "not elementwise"),
        (lambda x: np.cumsum(x, axis=-1), "not elementwise"),
        (lambda x: np.sort(x, axis=0), "not elementwise"),
        (lambda x: x[..., :1], "keep the shape"),
        (lambda x: 1.0, "keep the shape"),
    ],
)
def test_custom_that_cannot_be_is_refused_at_first_use(function: Any, message: str) -> None:
    z = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=message):
        Custom(function).forward(z)
    with pytest.raises(ValueError, match=message):
        Custom(function).backward(z, z, z)


def test_custom_slope_of_a_function_in_float32_is_refused() -> None:
    z = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="derivative="):
        Custom(lambda x: np.tanh(x.astype(np.float32))).backward(z, z, z)


def test_custom_cannot_write_to_the_engines_numbers() -> None:
    def spoils(x: Any) -> Any:
        x *= 2
        return x

    with pytest.raises(ValueError, match="read-only"):
        Custom(spoils).forward(np.ones((2, 2), np.float32))


def test_custom_takes_functions_only() -> None:
    with pytest.raises(TypeError, match="function must be a function"):
        Custom("tanh")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="derivative must be a function"):
        Custom(np.tanh, 3)  # type: ignore[arg-type]


def test_custom_is_made_again_from_its_name() -> None:
    config = ACTIVATIONS.config(activations.get(bent))
    assert config == {"class": "custom", "name": "bent"}
    with pytest.raises(ValueError, match=r"custom_objects=\{'bent': the function\}"):
        activations.get(config)
    assert activations.get(config, {"bent": bent}) == Custom(bent)
    assert activations.get("bent", {"bent": bent}) == Custom(bent)
    mine = Custom(bent, bent_slope)
    assert activations.get(config, {"bent": mine}) is mine
    assert activations.get("tanh", {"bent": bent}) == activations.tanh
    assert activations.get({"class": "custom", "name": "b"}, {"b": bent}).name == "b"


# Layers


@pytest.mark.parametrize(
    ("layer", "same"),
    [
        (layers.ReLU(1.5, 0.25, 0.5), activations.ReLU(0.25, 1.5, 0.5)),
        (layers.LeakyReLU(), activations.LeakyReLU(0.3)),
        (layers.ELU(alpha=0.5), activations.ELU(0.5)),
        (layers.Softmax(), activations.softmax),
    ],
)
def test_a_layer_of_its_own(layer: Any, same: Activation, tmp_path: Any) -> None:
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    y = np.eye(3)[np.arange(9) % 3]
    trained = []
    for last in (layer, layers.Activation(same)):
        model = Sequential([layers.Dense(5, "tanh", input_shape=(4,)), layers.Dense(3), last])
        model.set_weights([np.full_like(w, 0.1) + np.arange(w.size).reshape(w.shape) / 50 for w in model.get_weights()])
        model.compile("sgd", "categorical_crossentropy" if isinstance(layer, layers.Softmax) else "mse")
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        trained.append(model)
    np.testing.assert_array_equal(trained[0].predict(x), trained[1].predict(x))
    trained[0].save(tmp_path / "model.fastnn")
    loaded = load_model(tmp_path / "model.fastnn")
    np.testing.assert_array_equal(loaded.predict(x), trained[0].predict(x))
    assert loaded.layers[-1].config() == layer.config()


def test_layers_take_rows_of_any_shape() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    model = Sequential([layers.ReLU(max_value=0.5, input_shape=(2, 4))])
    np.testing.assert_array_equal(model.predict(x), np.clip(x, 0, np.float32(0.5)))
    for layer, axis in ((layers.Softmax(), -1), (layers.Softmax(1), 1), (layers.Softmax([2, 1]), (1, 2))):
        e = np.exp(x - x.max(axis, keepdims=True))
        np.testing.assert_allclose(layer(x), e / e.sum(axis, keepdims=True), rtol=1e-6)
    expected = activations.log_softmax.reference(x.astype(np.float64))
    np.testing.assert_allclose(layers.Activation("log_softmax")(x), expected, rtol=1e-6)


def test_layers_are_known_by_keras_class_names() -> None:
    for name in ("ReLU", "LeakyReLU", "ELU", "Softmax"):
        assert LAYERS.find(name) is getattr(layers, name)


def test_softmax_along_several_axes() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for axes in ((1, 2), (0, -1), [3, 1], (0, 1, 2, 3)):
        e = np.exp(x)
        want = e / e.sum(axis=tuple(axes), keepdims=True)
        np.testing.assert_allclose(activations.softmax(x, axes), want, rtol=1e-12)
        np.testing.assert_allclose(activations.log_softmax(x, axes), np.log(want), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="each axis once"):
        activations.softmax(x, (1, -3))

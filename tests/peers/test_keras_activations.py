"""The same by Keras 3, where it is installed: each activation's names, arguments, values, slopes; the layers' too."""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any

import numpy as np
import pytest

from fastnn import activations, layers
from fastnn.activations import ACTIVATIONS, Activation, RowActivation
from fastnn.models import Sequential
from support.bindings import bound
from support.kinks import clear_of_kinks
from support.units import elementwise, label, units

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

THEIRS = keras.src.activations.ALL_OBJECTS_DICT
KIND = np.finfo(np.float32)
EDGES = [
    0.0,
    KIND.smallest_subnormal,
    KIND.tiny,
    1e-30,
    1e-6,
    0.25,
    0.5,
    1.0,
    3.0,
    6.0,
    1e3,
    1e5,
    1e30,
    KIND.max,
    np.inf,
]
# Where Keras's float32 formula gives NaN, and fastnn the limit.
LIMITS = {
    "gelu": {-np.inf: 0.0},
    "silu": {-np.inf: 0.0},
    "mish": {-np.inf: 0.0},
    "hard_silu": {-np.inf: 0.0},
    "squareplus": {-np.inf: 0.0},
    "softsign": {-np.inf: -1.0, np.inf: 1.0},
}
# Where Keras makes a NaN a number.
LOSE_NAN = {"hard_shrink", "soft_shrink", "threshold"}
# Keras issue 23425: up to 3.15 its rows do not add up to 1.
SPARSEMAX = float(np.sum(THEIRS["sparsemax"](np.array([[0.0, 0.5, 1.0]], np.float32))))


@pytest.fixture(params=units(ACTIVATIONS), ids=label)
def unit(request: pytest.FixtureRequest) -> Activation:
    skip_if_wrong(request.param.table_name)
    return request.param


@pytest.fixture(params=[name for name, cls in ACTIVATIONS if issubclass(cls, RowActivation)])
def along_rows(request: pytest.FixtureRequest) -> str:
    skip_if_wrong(request.param)
    return request.param


def skip_if_wrong(name: str) -> None:
    if name == "sparsemax" and abs(SPARSEMAX - 1) > 1e-6:
        pytest.skip(f"this Keras's sparsemax of (0, 0.5, 1) adds up to {SPARSEMAX}, not 1")


def their_function(unit: Activation) -> Any:
    fields = {field.name: getattr(unit, field.name) for field in dataclasses.fields(unit)}
    return lambda z: THEIRS[unit.table_name](z, **fields)


def test_every_name_of_theirs_is_known() -> None:
    for name in THEIRS:
        assert activations.get(name) == getattr(activations, name)


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_arguments_and_defaults_are_theirs(name: str) -> None:
    expected = list(inspect.signature(THEIRS[name]).parameters.values())[1:]
    ours: Any = activations.get(name)
    if isinstance(ours, RowActivation):
        found = [(p.name, p.default) for p in inspect.signature(type(ours).__call__).parameters.values()][2:]
    else:
        found = [(field.name, field.default) for field in dataclasses.fields(ours)]
    assert [p.name for p in expected] == [name for name, _ in found]
    for p, (_, default) in zip(expected, found, strict=True):
        assert p.default in (default, inspect.Parameter.empty)


def test_values(unit: Activation) -> None:
    z = np.concatenate([np.linspace(-12, 12, 4801), EDGES, np.negative(EDGES), [np.nan]]).astype(np.float32)
    if not elementwise(unit):
        z = np.random.default_rng(0).normal(scale=4, size=(50, 7)).astype(np.float32)
    theirs = np.array(keras.ops.convert_to_numpy(their_function(unit)(z)))
    if unit.table_name == "squareplus":
        # Theirs squares z, which overflows from 1.8e19 on, and adds what cancels below 0.
        z, theirs = z[~(np.abs(z) > 1e18)], theirs[~(np.abs(z) > 1e18)]
    ours = unit(z)
    if unit.table_name in LOSE_NAN:
        z, ours, theirs = z[:-1], ours[:-1], theirs[:-1]
    for place, limit in LIMITS.get(unit.table_name, {}).items():
        assert (ours[z == place] == limit).all()
        assert (np.isnan(theirs[z == place]) | (theirs[z == place] == limit)).all()
        theirs[z == place] = limit
    # Theirs flushes subnormals, and where it subtracts what is nearly equal it errs by an ulp of z.
    off = np.where(ours == theirs, 0, np.abs(ours - theirs) - 4e-6 * np.abs(theirs) - 2e-7 * np.minimum(np.abs(z), 1e6))
    bad = (off > 2e-7) | (np.isnan(ours) != np.isnan(theirs))
    assert not bad.any(), f"z {z[bad][:5]}: ours {ours[bad][:5]}, theirs {theirs[bad][:5]}"


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="takes the slopes by jax")
def test_slopes(unit: Activation) -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(1)
    z = clear_of_kinks(unit, rng.normal(scale=3, size=(40, 6)), rng).astype(np.float32)
    d = rng.normal(size=z.shape).astype(np.float32)
    theirs = np.asarray(jax.grad(lambda z: (their_function(unit)(z) * d).sum())(z))
    ours = bound(unit.kernel).backward(z, unit.kernel(z, unit.numbers()), d, unit.numbers())
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


ROWS = {
    "ties": [[1.0, 1.0, 1.0, 0.5], [2.0, 2.0, 2.0, 2.0]],
    "one": [[3.0], [-np.float32(1e30)]],
    "far apart": [[1e30, 0.0, -1e30], [100.0, 99.5, -100.0]],
    "minus infinity": [[-np.inf, 0.0, 0.25], [-np.inf, -np.inf, 5.0]],
    "nan": [[np.nan, 0.0, 1.0], [0.5, 0.25, 0.0]],
    "plus infinity": [[np.inf, 0.0, 1.0], [-np.inf, -np.inf, -np.inf]],
    "nothing": np.zeros((0, 3)),
    "wide": np.random.default_rng(2).normal(size=(3, 1000)),
    "three axes": np.random.default_rng(3).normal(size=(2, 3, 4)),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_rows(along_rows: str, rows: Any) -> None:
    z = np.asarray(rows, np.float32)
    ours: Any = activations.get(along_rows)
    np.testing.assert_allclose(ours(z), keras.ops.convert_to_numpy(THEIRS[along_rows](z)), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_axis(along_rows: str, axis: int) -> None:
    z = np.asarray(ROWS["three axes"], np.float32)
    ours: Any = activations.get(along_rows)
    np.testing.assert_allclose(ours(z, axis=axis), THEIRS[along_rows](z, axis=axis), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ReLU", {}),
        ("ReLU", {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.5}),
        ("LeakyReLU", {}),
        ("LeakyReLU", {"negative_slope": 0.01}),
        ("ELU", {"alpha": 0.5}),
        ("Softmax", {}),
        ("Softmax", {"axis": 1}),
    ],
)
def test_layers(name: str, fields: dict[str, Any]) -> None:
    x = np.random.default_rng(4).normal(scale=3, size=(9, 5)).astype(np.float32)
    model = Sequential([getattr(layers, name)(**fields, input_shape=(5,))])
    theirs = getattr(keras.layers, name)(**fields)
    np.testing.assert_allclose(model.predict(x), theirs(x), rtol=2e-6, atol=1e-6)
    assert model.layers[0].name == keras.Sequential([keras.Input((5,)), theirs]).layers[0].name.rstrip("_0123456789")


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_glu(axis: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(activations.glu(x, axis), np.asarray(THEIRS["glu"](x, axis)), rtol=1e-6, atol=1e-7)
    layer = layers.Activation(activations.GLU(axis))
    np.testing.assert_allclose(layer(x), np.asarray(THEIRS["glu"](x, axis)), rtol=1e-6, atol=1e-7)

"""Every layer and activation as ONNX, run in ONNX Runtime, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.layers as L
from fastnn.activations import ACTIVATIONS, GLU, RowActivation
from fastnn.layers import LAYERS
from fastnn.layers.base import leaves_of
from support.layers import CASES, FRONT, OF_COLUMNS, RANDOM, ROWS, Case, FrontCase
from support.onnx_models import check, given_by
from support.pictures import CHANGED
from support.units import OTHERS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from fastnn.exchange import to_onnx
from fastnn.exchange.onnx_activations import ACTIVATIONS as WRITTEN
from fastnn.exchange.onnx_calls import REFUSED, WRITERS
from fastnn.exchange.onnx_operations import OPERATIONS
from fastnn.layers.operation import RULES

PYTHON = {name for name in CASES if name.startswith("lambda") and name != "lambda of a tensor"}
# log(1 - sigmoid(t)): an ulp of a sigmoid near 1 is this much of its distance from 1.
COARSE = {name: 2e-3 for name in CASES if name.startswith("form of entropy")}
IDLE: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    **{name: (make, ROWS[-1]) for name, make in RANDOM.items()},
    **OF_COLUMNS,
    **{name: (make, (3, 4, 2)) for name, make in CHANGED.items()},
    "crop": (lambda: L.RandomCrop(2, 3), (5, 4, 2)),
    "crop of lines": (lambda: L.RandomCrop(2, 4), (5, 4, 2)),
    "regularization": (lambda: L.ActivityRegularization(0.1), (4,)),
}


def _made_of_layers(cls: Any) -> bool:
    """Whether a layer is written as the layers in its ``call`` are."""
    return bool(cls.made_of_layers)


def test_every_layer_is_written_or_refused() -> None:
    table = dict(LAYERS)
    known = {*WRITERS, *REFUSED, "input_layer"}
    unknown = {
        name
        for name, cls in table.items()
        if not _made_of_layers(cls) and not any(getattr(each, "table_name", "") in known for each in cls.__mro__)
    }
    assert not unknown, f"write {unknown} in fastnn/exchange, or refuse them there with a reason"
    assert set(REFUSED) <= set(table)
    assert not set(REFUSED) & set(WRITERS)
    assert all(REFUSED.values())


def test_every_activation_and_operation_is_written() -> None:
    assert set(WRITTEN) == {name for name, _ in ACTIVATIONS} | {"glu"}
    assert set(OPERATIONS) == set(RULES)


def test_every_layer_that_is_written_is_run() -> None:
    made = [case.make() for case in (*CASES.values(), *FRONT.values())] + [make() for make, _ in IDLE.values()]
    run = {cls.table_name for layer in made for cls in type(layer).__mro__ if hasattr(cls, "table_name")}
    run |= {part.table_name for layer in made for part in leaves_of(layer)}
    composites = {name for name, cls in LAYERS if _made_of_layers(cls)}
    assert {name for name, _ in LAYERS} - run <= {"input_layer"} | composites


@pytest.mark.parametrize("name", sorted(CASES))
def test_layer(name: str) -> None:
    fastnn.set_random_seed(3)
    case: Case = CASES[name]
    model, _ = case.model()
    rows = case.rows(7)
    if name in PYTHON:
        with pytest.raises(ValueError, match=r"to_onnx: layer 'lambda.*' \(Lambda\) cannot be written as ONNX"):
            to_onnx(model)
        return
    if not case.choices:
        rows = (3 * np.random.default_rng(3).normal(size=rows.shape)).astype(np.float32)
    check(model, rows, tolerance=COARSE.get(name, 1e-5))


@pytest.mark.parametrize("name", sorted(IDLE))
def test_what_does_nothing_but_in_training(name: str) -> None:
    make, shape = IDLE[name]
    first = L.Input(shape)
    rows = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    proto = check(fastnn.Model(first, L.Identity()(make()(first))), rows, tolerance=1e-12)
    assert [node.op_type for node in proto.graph.node] == ["Slice" if "crop" in name else "Identity"]


@pytest.mark.parametrize("name", sorted(FRONT))
def test_front(name: str) -> None:
    case: FrontCase = FRONT[name]
    for shape in case.shapes:
        layer = case.make()
        inputs = [L.Input(shape, dtype=case.dtype, name=f"x{k}") for k in range(case.count)]
        given = layer(inputs if case.count > 1 else inputs[0])
        model = fastnn.Model(inputs, L.Reshape((-1,))(given))
        columns = [case.column(shape) for _ in inputs]
        kind = type(layer).table_name
        if kind in REFUSED or (kind == "string_lookup" and layer.num_oov_indices > 1):
            with pytest.raises(ValueError, match=f"{type(layer).__name__}.* cannot be written as ONNX: .*ONNX"):
                to_onnx(model)
            continue
        proto = to_onnx(model)
        (found,) = given_by(proto, *columns)
        np.testing.assert_array_equal(found, model.predict({f"x{k}": each for k, each in enumerate(columns)}))
        assert proto.opset_import[-1].domain in ("", "ai.onnx.ml")


# Activations.

UNITS = [*(cls() for _, cls in ACTIVATIONS), *OTHERS[ACTIVATIONS], GLU()]
# Where ONNX Runtime gives another thing than fastnn does, of NaN, infinities and numbers near the largest.
EDGES = {
    "gelu": {-np.inf},  # 0 times infinity: NaN, of which fastnn gives the limit
    "silu": {-np.inf},
    "mish": {-np.inf},
    "hard_silu": {-np.inf},
    "softsign": {-np.inf, np.inf},  # infinity by itself: NaN
    "squareplus": {1e30},  # whose square is beyond float32
}
ODD = [np.nan, -np.inf, np.inf, -1e30, 1e30, -1e4, 1e4, -100, 100, 1e-7, -1e-7, -0.0, 0.0]


def _of(unit: Any, width: int) -> Any:
    return fastnn.Sequential([L.Input((width,)), L.Activation(unit)])


@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_activation(unit: Any) -> None:
    rows = (3 * np.random.default_rng(0).normal(size=(500, 8))).astype(np.float32)
    model = _of(unit, 8)
    (found,) = given_by(to_onnx(model), rows)
    expected = model.predict(rows)
    large = unit.table_name == "exponential"  # e^9 has an ulp of 5e-4
    np.testing.assert_allclose(found, expected, rtol=1e-6 if large else 0, atol=1e-5)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if not isinstance(unit, GLU)], ids=repr)
def test_activation_of_odd_numbers(unit: Any) -> None:
    model = _of(unit, 3 if isinstance(unit, RowActivation) else 1)
    rows = np.ones((len(ODD), model.input_shape[1]), np.float32)
    rows[:, 0] = ODD
    (found,) = given_by(to_onnx(model), rows)
    expected = model.predict(rows)
    for number, one, other in zip(ODD, found, expected, strict=True):
        same = np.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True)
        assert same != (number in EDGES.get(unit.table_name, ())), f"{number}: {one} in ONNX Runtime, {other} here"

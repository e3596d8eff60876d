"""Sizes that no machine has are refused when a layer is called, and when a file names them."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn import ops
from fastnn.layers import (
    CategoryEncoding,
    Concatenate,
    Dense,
    Dot,
    Embedding,
    Flatten,
    Input,
    Layer,
    Permute,
    Reshape,
    TimeDistributed,
)
from fastnn.models import Model, load_model, model_from_json
from fastnn.store.architecture import describe
from support.layers import CASES, OF_COLUMNS, RANDOM, Case


@pytest.mark.parametrize(
    "make",
    [
        lambda: Input((2**32,)),
        lambda: Input((2**16, 2**16)),
        lambda: Dense(2**32)(Input((1,))),
        lambda: Dense(2**62)(Input((1,))),
        lambda: Dense(2**21)(Input((2**12, 1))),
        lambda: Embedding(2, 2**32)(Input((1,))),
        lambda: Embedding(2, 2**20)(Input((2**12,))),
        lambda: CategoryEncoding(2**40)(Input((1,))),
        lambda: CategoryEncoding(2**20, "one_hot")(Input((2**12,))),
        lambda: Dot(2)([Input((2**17, 1)), Input((2**17, 1))]),
        lambda: TimeDistributed(Dense(2**21))(Input((2**12, 1))),
    ],
)
def test_rows_beyond_any_machine(make: Any) -> None:
    with pytest.raises(ValueError, match=r"would have \d+ numbers each; at most 2\*\*31 can be"):
        make()


def test_weights_beyond_any_machine() -> None:
    with pytest.raises(ValueError, match=r"layer 'dense': \d+ weights are more than any machine has"):
        Dense(2**21)(Input((2**21,)))
    with pytest.raises(ValueError, match="weights are more than any machine has"):
        Embedding(2**24, 2**20)(Input((1,)))


def test_axes_beyond_numpy() -> None:
    with pytest.raises(ValueError, match="rows have at most 31 axes, got 40"):
        Input((1,) * 40)
    with pytest.raises(ValueError, match="rows have at most 31 axes, got 32"):
        Reshape((1,) * 32)(Input((1,)))
    assert Permute(tuple(range(31, 0, -1)))(Input((1,) * 31)).shape == (None,) + (1,) * 31


def test_a_shape_of_the_users_own_layer() -> None:
    class Wide(Layer):
        def output_shape(self, input_shape: Any) -> Any:
            return (2**40,)

    with pytest.raises(ValueError, match="layer 'wide': rows of shape"):
        Wide()(Input((1,)))


def doubled(times: int) -> Model:
    x = h = Input((1,))
    for _ in range(times):
        h = Concatenate()([h, h])
    return Model(x, Dot(1)([h, h]))


def test_doublings_when_made() -> None:
    with pytest.raises(ValueError, match=r"layer 'concatenate.*': rows of shape \(4294967296,\) would have"):
        doubled(59)


def described(times: int) -> dict[str, Any]:
    """What a file would say of so many doublings."""
    config = describe(doubled(1))
    layers, (model,) = config["layers"], config["models"]
    places = {layer["class"]: place for place, layer in enumerate(layers)}
    double = layers[places["concatenate"]]
    config["layers"] = [
        layers[places["input_layer"]],
        *({**double, "name": f"double_{number}"} for number in range(times)),
        layers[places["dot"]],
    ]
    model["members"] = [["layer", number] for number in range(times + 2)]
    model["nodes"] = [[0, []], *([number + 1, [[number, 0], [number, 0]]] for number in range(times + 1))]
    model["inputs"][2], model["outputs"][2] = [[0, 0]], [[times + 1, 0]]
    return config


def test_doublings_in_a_file(tmp_path: Path) -> None:
    assert model_from_json(json.dumps(described(4))).predict(np.ones((2, 1))).tolist() == [[16.0], [16.0]]
    with pytest.raises(ValueError, match=r"at most 2\*\*31 can be"):
        model_from_json(json.dumps(described(59)))
    from fastnn.store import safetensors

    doubled(1).save(tmp_path / "model")
    tensors, metadata = safetensors.read(tmp_path / "model")
    whole = json.loads(metadata["model"]) | described(59)
    safetensors.write(tmp_path / "bomb", tensors, {**metadata, "model": json.dumps(whole)})
    with pytest.raises(ValueError, match=r"bomb does not describe a model that fastnn can make.*at most 2\*\*31"):
        load_model(tmp_path / "bomb")


def test_a_flat_row_of_the_largest_size_is_described() -> None:
    assert Flatten()(Input((2**15, 2**16))).shape == (None, 2**31)


@pytest.mark.parametrize("name", [*CASES, *RANDOM, *OF_COLUMNS])
def test_rows_of_any_number_of_axes_are_taken_or_refused_by_the_layer(name: str) -> None:
    """What indexes a row's shape says itself how many axes it needs, single numbers included."""
    case = CASES.get(name) or Case((RANDOM | {n: make for n, (make, _) in OF_COLUMNS.items()})[name], [(3,)])
    each = [(), (3,), (2, 3), (2, 2, 3), (2, 2, 2, 3), (2, 2, 2, 2, 3)]
    for shapes in product(each, repeat=len(case.shapes)) if len(case.shapes) < 3 else zip(*[each] * 3, strict=True):
        tensors = [L.Input(row) if row else ops.sum(L.Input((3,)), axis=-1) for row in shapes]
        layer = case.make()
        with suppress(TypeError, ValueError):
            layer(tensors if len(tensors) > 1 else tensors[0], **case.call)


def test_dense_on_single_numbers() -> None:
    numbers = ops.sum(L.Input((3,)), axis=-1)
    with pytest.raises(ValueError, match="layer 'dense': Dense expects rows of at least one axis, got single numbers"):
        L.Dense(2)(numbers)
    assert L.Dense(2)(L.Reshape((1,))(numbers)).shape == (None, 2)

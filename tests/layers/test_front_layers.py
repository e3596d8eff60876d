"""Layers that stand before the engine: on arrays beside a formula in plain Python, in a model, and in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.kernels.text import hashes
from fastnn.models import Model, clone_model, load_model
from support.layers import FRONT

EACH = pytest.mark.parametrize("name", FRONT)
WITH_SHAPES = pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name, case in FRONT.items() for shape in case.shapes]
)


def number_of(layer: Any, value: Any) -> int:
    """The place of one value; -2 where it leaves no trace."""
    if isinstance(layer, L.Discretization):
        return sum(value >= boundary for boundary in layer.bin_boundaries)
    text = value if isinstance(value, str) else str(int(value))
    if isinstance(layer, L.Hashing):
        masked = layer.mask_value is not None
        if masked and value == layer.mask_value:
            return 0
        return int(hashes([text], layer.salt)[0]) % (layer.num_bins - masked) + masked
    in_full = layer.output_mode == "int" and layer.mask_token is not None
    if layer.mask_token is not None and value == layer.mask_token:
        return 0 if in_full else -2
    tokens = layer.get_vocabulary(include_special_tokens=False)
    if value in tokens:
        return tokens.index(value) + layer.num_oov_indices + in_full
    bins = layer.num_oov_indices
    if isinstance(layer, L.IntegerLookup) and layer.oov_method == "floormod":
        return int(value) % bins + in_full
    return int(hashes([text], layer.salt)[0]) % bins + in_full


def tokens_of(layer: L.TextVectorization, text: str) -> list[str]:
    """The standard way of a text: small letters without punctuation, cut at spaces, put together to n-grams."""
    small = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    words = "".join(c for c in small if c not in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").split()
    widths = [1] if layer.ngrams is None else range(1, layer.ngrams + 1)
    return [" ".join(words[i : i + n]) for n in widths for i in range(len(words) - n + 1)]


def date_parts(layer: L.DateParts, text: str) -> list[float]:
    """Time, month and minute of one date, by Python's datetime, and whether it is missing."""
    if not text:
        return [0.0] * 5 + [1.0]
    when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    places = [(when.month - 1) / 12, (when.minute + when.second / 60) / 60]
    years = (when.timestamp() - layer.middle) / (365.2425 * 86400)
    return [years, *(part(2 * pi * place) for place in places for part in (sin, cos)), 0.0]


def expected(layer: Any, column: np.ndarray) -> np.ndarray:
    """What a layer makes of a column of rows."""
    if isinstance(layer, L.Scaler):
        numbers = np.where(np.isnan(column), layer.fill, column)
        scaled = (numbers - np.array(layer.center)) / np.array(layer.scale)
        return np.concatenate([scaled, np.isnan(column)], axis=-1) if layer.indicator else scaled
    if isinstance(layer, L.DateParts):
        return np.array([date_parts(layer, text) for text in column.ravel()])
    if isinstance(layer, L.TextVectorization):
        vocabulary = layer.get_vocabulary()
        known = [
            [vocabulary.index(token) if token in vocabulary else vocabulary.index("[UNK]") for token in each]
            for each in (tokens_of(layer, text) for text in column.ravel())
        ]
        if layer.output_mode == "count":
            return np.array([[row.count(i) for i in range(len(vocabulary))] for row in known])
        wide = layer.output_sequence_length
        return np.array([(row + [0] * wide)[:wide] for row in known])
    numbers = np.array([number_of(layer, value) for value in column.ravel()]).reshape(column.shape)
    if layer.output_mode == "int":
        return numbers
    if isinstance(layer, L.Discretization) and layer.output_mode == "count":
        numbers = np.moveaxis(numbers, 1, -1)  # of all layers this one counts along the first axis, as Keras's does
    depth = layer.output_shape((1,))[-1]
    rows = np.zeros((*numbers.shape, depth))
    for place in np.ndindex(numbers.shape):
        if 0 <= numbers[place] < depth:
            rows[(*place, numbers[place])] = 1
    if layer.output_mode == "one_hot":
        return rows[..., 0, :] if numbers.shape[-1] == 1 else rows
    if layer.output_mode == "multi_hot":
        return rows.max(axis=-2)
    weights = layer.idf_weights if layer.output_mode == "tf_idf" else 1
    return rows.sum(axis=-2) * weights


def crossed(layer: L.HashedCrossing, columns: list[np.ndarray]) -> np.ndarray:
    """MurmurHash64A's step in Python's whole numbers."""
    mul, most = 0xC6A4A7935BD1E995, 2**64
    found = []
    for values in zip(*(column.ravel().tolist() for column in columns), strict=True):
        a = 0xDECAFCAFFE
        for value in values:
            b = (int(hashes([value])[0]) if isinstance(value, str) else value % most) * mul % most
            a = (a ^ mul ^ (b ^ b >> 47) * mul % most) * mul % most
            a = (a ^ a >> 47) * mul % most
            a ^= a >> 47
        found.append(a % layer.num_bins)
    numbers = np.array(found)
    return np.eye(layer.num_bins)[numbers] if layer.output_mode == "one_hot" else numbers.reshape(columns[0].shape)


def case_of(name: str, shape: tuple[int, ...]) -> tuple[Any, list[np.ndarray], np.ndarray]:
    """A layer, its columns, and what it makes of them."""
    case = FRONT[name]
    layer = case.make()
    columns = [np.roll(case.column(shape), k, axis=0) for k in range(case.count)]
    truth = crossed(layer, columns) if case.count > 1 else expected(layer, columns[0])
    return layer, columns, truth


@WITH_SHAPES
def test_on_arrays(name: str, shape: tuple[int, ...]) -> None:
    layer, columns, truth = case_of(name, shape)
    found = layer(columns if len(columns) > 1 else columns[0])
    np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-6)
    assert found.shape == (len(columns[0]), *layer.output_shape(*[shape] * len(columns)))
    assert found.dtype == layer.output_dtype


@WITH_SHAPES
def test_in_a_model_and_its_file(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    layer, columns, truth = case_of(name, shape)
    inputs = [L.Input(shape, name=f"c{k}", dtype=FRONT[name].dtype) for k in range(len(columns))]
    given = layer(inputs if len(inputs) > 1 else inputs[0])
    model = Model({tensor.name: tensor for tensor in inputs}, given)
    x = {f"c{k}": column for k, column in enumerate(columns)}
    np.testing.assert_allclose(model.predict(x), truth, rtol=1e-6, atol=1e-6)
    assert given.shape == model.output_shape
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    again = next(each for each in loaded.layers if type(each) is type(layer))
    differ = {"has_input_vocabulary"}  # a file's table may be adapted anew
    assert {k: v for k, v in again.get_config().items() if k not in differ} == {
        k: v for k, v in layer.get_config().items() if k not in differ
    }
    np.testing.assert_array_equal(clone_model(model).predict(x), model.predict(x))


@EACH
def test_single_values(name: str) -> None:
    case = FRONT[name]
    if case.count > 1 or () not in case.shapes:
        shape = case.shapes[0]
        value = case.column(shape)[:1]
        np.testing.assert_array_equal(
            case.make()([*[value] * case.count] if case.count > 1 else value[0].tolist()),
            case.make()([*[value] * case.count] if case.count > 1 else value[0]),
        )
    else:
        column = case.column(())
        np.testing.assert_array_equal(case.make()(str(column[0])), case.make()(column)[0])


@EACH
def test_containers_give_the_same(name: str) -> None:
    case = FRONT[name]
    if case.count > 1:
        return
    layer, shape = case.make(), case.shapes[0]
    column = case.column(shape)
    found = layer(column)
    np.testing.assert_array_equal(layer(column.tolist()), found)
    np.testing.assert_array_equal(layer(column[::-1])[::-1], found)  # strides
    if case.dtype == "string":
        np.testing.assert_array_equal(layer(column.astype("U")), found)
        np.testing.assert_array_equal(layer(np.char.encode(column.astype("U"), "utf-8")), found)
        np.testing.assert_array_equal(layer(column.astype(np.dtypes.StringDType())), found)
    if case.dtype == "int64":
        np.testing.assert_array_equal(layer(column.astype(object)), found)
        small = np.clip(column, -2, 2)
        np.testing.assert_array_equal(layer(small.astype(np.int8)), layer(small))
        np.testing.assert_array_equal(layer(small.astype(np.float64)), layer(small))

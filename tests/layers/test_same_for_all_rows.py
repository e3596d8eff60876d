"""Layers on what is the same for all rows, weights and arrays: they give what they do where each row has a copy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn import ops
from fastnn.models import Model, load_model
from support.layers import CASES, Case, Formed

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
# What a function of the user's own does to axes goes by the shape that it sees, as in Keras.
FIXED = [name for name in CASES if not isinstance(CASES[name].make(), Formed) and name != "phase"]


class Constant(L.Layer):
    """A layer of a case on weights, of which those of `same` are one for all rows, and the others one for each."""

    def __init__(self, case: Case, same: set[int]) -> None:
        super().__init__()
        self.case, self.same, self.inner = case, same, case.make()

    def build(self, input_shape: Any) -> None:
        rng = np.random.default_rng(1)
        self.held = []
        for number, row in enumerate(self.case.shapes):
            self.held.append(self.add_weight(row, name=f"w{number}"))
            values = rng.integers(0, self.case.choices, row) if self.case.choices else rng.normal(size=row)
            self.held[-1].assign(values)

    def call(self, x: Any) -> Any:
        reads = []
        for number, weight in enumerate(self.held):
            zeros = L.Reshape(weight.shape)(ops.repeat(x[:, :1] * 0, int(np.prod(weight.shape)), axis=-1))
            reads.append(weight if number in self.same else zeros + weight)
        out = self.inner(reads if len(reads) > 1 else reads[0], **self.case.call)
        return L.Flatten()(out)


def model_of(layer: Any, row: tuple[int, ...] = (5,)) -> Model:
    x = L.Input(row)
    return Model(x, layer(x))


@pytest.mark.parametrize("name", FIXED)
def test_every_layer(name: str) -> None:
    case = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masks, which Flatten destroys
        apart = Constant(case, set())
        expected = model_of(apart).predict(X)
        places = range(len(case.shapes))
        for same in [*({place} for place in places), *([set(places)] if len(places) > 1 else [])]:
            layer = Constant(case, same)
            model = model_of(layer)
            layer.inner.set_weights(apart.inner.get_weights())
            np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6, err_msg=str(same))


ROWS = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
ONE = np.random.default_rng(3).normal(size=(1, 5, 4)).astype(np.float32)
ATTENTION = {
    "multi head": lambda: L.MultiHeadAttention(2, 3),
    "group query": lambda: L.GroupQueryAttention(3, 2, 1),
    "attention": L.Attention,
    "of sums": lambda: L.Attention(use_scale=True, score_mode="concat"),
    "additive": L.AdditiveAttention,
}


def of(layer: Any, tensors: list[Any]) -> Any:
    return layer(*tensors) if isinstance(layer, (L.MultiHeadAttention, L.GroupQueryAttention)) else layer(tensors)


class Memory(L.Layer):
    def __init__(self, kind: str, form: str, places: tuple[int, ...]) -> None:
        super().__init__()
        self.inner, self.form, self.places = ATTENTION[kind](), form, places

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(ONE.shape if "1" in self.form else ONE.shape[1:], name="w")
        self.w.assign(ONE.reshape(self.w.shape))

    def call(self, x: Any) -> Any:
        made = {"tensor": lambda: self.w + 0.0, "tensor 1": lambda: self.w * 1.0, "array 1": lambda: ONE}
        w = made.get(self.form, lambda: self.w)()
        return of(self.inner, [w if place in self.places else x for place in range(len({*self.places, 0, 1}))])


@pytest.mark.parametrize("places", [(0,), (1,), (1, 2)])
@pytest.mark.parametrize("form", ["weight", "weight 1", "tensor", "tensor 1", "array 1"])
@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_on_a_memory_or_of_learnt_queries(kind: str, form: str, places: tuple[int, ...]) -> None:
    """With an axis of one row too, as Keras takes it: MultiHeadAttention(latents, x)."""
    layer = Memory(kind, form, places)
    found = model_of(layer, (3, 4)).predict(ROWS)
    copies = np.repeat(ONE, 2, axis=0)
    given = [copies if place in places else ROWS for place in range(len({*places, 0, 1}))]
    np.testing.assert_allclose(found, of(layer.inner, given), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("places", [(0,), (1,), (1, 2)])
@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_on_arrays_beside_tensors(kind: str, places: tuple[int, ...], tmp_path: Path) -> None:
    for array in (ONE, ONE[0]):
        x, layer = L.Input((3, 4)), ATTENTION[kind]()
        model = Model(x, of(layer, [array if place in places else x for place in range(len({*places, 0, 1}))]))
        given = [np.repeat(ONE, 2, axis=0) if place in places else ROWS for place in range(len({*places, 0, 1}))]
        found = model.predict(ROWS)
        np.testing.assert_allclose(found, of(layer, given), rtol=1e-5, atol=1e-6)
        model.save(tmp_path / "m.fastnn")
        np.testing.assert_array_equal(load_model(tmp_path / "m.fastnn").predict(ROWS), found)
    with pytest.raises(ValueError, match=r"array of shape \(2, 5, 4\) does not go with"):
        of(ATTENTION[kind](), [L.Input((3, 4)), np.zeros((2, 5, 4), np.float32)])


def test_what_learns_is_the_weight_itself() -> None:
    layer = Memory("multi head", "weight 1", (0,))
    model = model_of(layer, (3, 4))
    model.compile("sgd", "mse")
    before = layer.w.numpy()
    model.fit(ROWS, np.ones((2, 5, 4)), verbose=0)
    assert np.abs(layer.w.numpy() - before).max() > 0


class Added(L.Layer):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight((1, 3, 4), name="w")

    def call(self, x: Any) -> Any:
        return self.function(x, self.w)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x + w,
        lambda x, w: w + x,
        lambda x, w: ops.add(x, w),
        lambda x, w: (w * 1.0) + x,
        lambda x, w: L.Add()([x, w]),
    ],
)
def test_a_weight_for_one_row_is_added_to_each(function: Any) -> None:
    """As positions are: a row of (1, 3, 4) beside rows of (3, 4) gives rows of (3, 4), as in Keras."""
    layer = Added(function)
    np.testing.assert_allclose(model_of(layer, (3, 4)).predict(ROWS), ROWS + layer.w.numpy(), rtol=1e-6, atol=1e-7)


def test_a_layer_on_a_weight_alone_learns_it() -> None:
    layer = Added(lambda x, w: x + L.Activation("tanh")(w))
    model = model_of(layer, (3, 4))
    np.testing.assert_allclose(model.predict(ROWS), ROWS + np.tanh(layer.w.numpy()), rtol=1e-5, atol=1e-6)
    assert len(model.trainable_weights) == 1

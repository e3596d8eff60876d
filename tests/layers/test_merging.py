"""What merges refuse, and the shapes that they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.models import Model

ELEMENTWISE = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)


@pytest.mark.parametrize("layer", ELEMENTWISE)
def test_rows_of_other_shapes(layer: Any) -> None:
    for shapes in ([(3,), (2,)], [(2, 3, 4), (5, 1, 1)], [(3, 4), (3,)]):
        with pytest.raises(ValueError, match=r"expects rows of one shape from all of its inputs, or .*, got \("):
            layer().output_shape(*shapes)
    assert layer().output_shape((3, 1), (4,)) == (3, 4)


def test_no_rows() -> None:
    with pytest.raises(ValueError, match=r"Add expects rows of one shape .*, got none"):
        L.Add().output_shape()


def test_subtract_takes_two() -> None:
    for shapes in ([(3,)], [(3,)] * 3):
        with pytest.raises(ValueError, match=f"Subtract takes two inputs, got {len(shapes)}"):
            L.Subtract().output_shape(*shapes)


def test_concatenate() -> None:
    assert L.Concatenate().output_shape((3, 4), (3, 1)) == (3, 5)
    assert L.Concatenate(1).output_shape((3, 4), (2, 4)) == (5, 4)
    with pytest.raises(ValueError, match=r"differ along axis -1 alone, got \(3, 4\), \(2, 4\)"):
        L.Concatenate().output_shape((3, 4), (2, 4))
    for axis in (0, 3, -3):
        with pytest.raises(ValueError, match=r"have axes 1 to 2 \(0 is that of the rows\), got"):
            L.Concatenate(axis).output_shape((3, 4), (3, 4))
    with pytest.raises(TypeError, match="an axis must be a whole number, got 'last'"):
        L.Concatenate("last").output_shape((3,), (3,))  # type: ignore[arg-type]


def test_dot() -> None:
    assert L.Dot(1).output_shape((3,), (3,)) == (1,)
    assert L.Dot((2, 1)).output_shape((2, 3), (3, 4)) == (2, 4)
    with pytest.raises(ValueError, match="Dot expects two axes of one size, got 2 along axis 1"):
        L.Dot(1).output_shape((2, 3), (3, 4))
    with pytest.raises(ValueError, match="axes must be one axis or two"):
        L.Dot((1, 2, 3))


def test_one_tensor_may_come_twice() -> None:
    """Its gradients from both places add up."""
    first = L.Input((3,))
    hidden = L.Dense(4)(first)
    model = Model(first, L.multiply([hidden, hidden]))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(x), (x @ kernel + bias) ** 2, rtol=1e-5, atol=1e-6)
    model.evaluate(x, np.zeros((10, 4)), verbose=0)
    model.description.network.gradient(x, np.zeros((10, 4), np.float32))
    h = (x @ kernel + bias).astype(float)
    slope = x.T @ (4 * h**3 / h.size)
    found = model.layers[1]._placed().views(model.description.network.gradients)[0]
    np.testing.assert_allclose(found, slope, rtol=1e-4)


def test_masks_of_layers_of_several_inputs() -> None:
    inputs = [np.zeros((1, 4, 2)), np.zeros((1, 4, 2))]
    left, right = np.array([[0, 1, 0, 1]]), np.array([[0, 0, 1, 1]], bool)
    for layer in (*(made() for made in ELEMENTWISE), L.Concatenate(), L.Concatenate(2)):
        assert layer.compute_mask(inputs) is None
        assert layer.compute_mask(inputs, [None, None]) is None
        np.testing.assert_array_equal(layer.compute_mask(inputs, [left, right]), [[False, True, True, True]])
        with pytest.raises(ValueError, match="`mask` should be a list"):
            layer.compute_mask(inputs, left)
        with pytest.raises(ValueError, match="`inputs` should be a list"):
            layer.compute_mask(inputs[0], [left])
        with pytest.raises(ValueError, match="should have the same length"):
            layer.compute_mask(inputs, [left])
    assert L.Add().compute_mask(inputs, [left, None]) is None
    behind = [[False, True, False, True, True, True, True, True]]
    np.testing.assert_array_equal(L.Concatenate(1).compute_mask(inputs, [left, None]), behind)
    np.testing.assert_array_equal(
        L.Concatenate(1).compute_mask([L.Input((4, 2)), L.Input((4, 2))], [left, None]), behind
    )
    assert L.Dot(1).compute_mask(inputs, [left, right]) is None

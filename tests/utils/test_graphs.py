"""get_source_inputs."""

from __future__ import annotations

import pytest

import fastnn
from fastnn import layers, utils


def test_the_inputs_of_a_tensor() -> None:
    a, b, c = (fastnn.Input((2,), name=name) for name in "abc")
    joined = layers.Add()([layers.Dense(2)(a), b])
    assert utils.get_source_inputs(layers.Add()([joined, joined, a])) == [a, b]
    assert utils.get_source_inputs(c) == [c]
    with pytest.raises(TypeError, match="symbolic tensor"):
        utils.get_source_inputs(3)  # type: ignore[arg-type]

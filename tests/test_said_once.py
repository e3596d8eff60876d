"""What is made once for many models, units by name and compiled objectives, and chains of layers, ordered at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses
from fastnn.initializers import GlorotUniform
from fastnn.layers import graph
from fastnn.layers.tensor import Tensor
from fastnn.typing import DoubleArray


def test_units_that_cannot_change_are_shared() -> None:
    first, second = layers.Dense(2, "relu"), layers.Dense(3, "relu")
    assert first.kernel_initializer is second.kernel_initializer
    assert first.activation is second.activation
    for get, name in (
        (fastnn.optimizers.get, "adam"),
        (fastnn.metrics.get, "mean_absolute_error"),
        (layers.LAYERS.get, "flatten"),
    ):
        assert get(name) is not get(name)
    assert type(first.kernel_initializer) is GlorotUniform


def test_a_class_of_ones_own_is_made_anew() -> None:
    class MyStart(fastnn.initializers.Zeros):
        pass

    with fastnn.utils.custom_object_scope({"MyStart": MyStart, "glorot_uniform": MyStart}):
        first, second = layers.Dense(2, kernel_initializer="MyStart"), layers.Dense(2, kernel_initializer="MyStart")
        assert type(layers.Dense(2).kernel_initializer) is MyStart
    assert type(first.kernel_initializer) is MyStart
    assert first.kernel_initializer is not second.kernel_initializer
    assert type(layers.Dense(2).kernel_initializer) is GlorotUniform


class Scaled(losses.MeanSquaredError):
    """Equal to others, as its fields are, though it is another loss."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        object.__setattr__(self, "scale", scale)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.scale * super().call(y_true, y_pred)


class Bent(losses.Huber):
    """The same, with numbers of its own for the kernel."""

    def __init__(self, bend: float) -> None:
        super().__init__()
        object.__setattr__(self, "bend", bend)

    def numbers(self) -> tuple[float, ...]:
        return (self.bend,)


def test_objectives_of_one_model_are_not_anothers() -> None:
    x, y = np.full((4, 2), 3, np.float32), np.zeros((4, 1), np.float32)

    def fitted(loss: Any, metrics: Any = None) -> tuple[dict[str, float], Any]:
        model = fastnn.Sequential([layers.Input((2,)), layers.Dense(1, kernel_initializer="ones")])
        model.compile("sgd", loss, metrics=metrics)
        return model.evaluate(x, y, verbose=0, return_dict=True), model

    assert fitted(Scaled(3))[0]["loss"] == pytest.approx(3 * 36)
    assert fitted(Scaled(1))[0]["loss"] == fitted("mse")[0]["loss"] == pytest.approx(36)
    assert fitted(Bent(1))[0]["loss"] == pytest.approx(6 - 0.5)
    assert fitted(Bent(2))[0]["loss"] == pytest.approx(2 * (6 - 1))
    (first, a), (second, b) = fitted("mse", ["mae"]), fitted("mse", ["mae"])
    assert first == second == {"loss": 36, "mae": 6}
    assert a.metrics[1] is not b.metrics[1]


@pytest.mark.parametrize("layered", [1, 2, 5])
def test_a_chain_is_ordered_as_any_graph(layered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = out = layers.Input((3,))
    for _ in range(layered):
        out = layers.Dense(3)(out)
    shared = layers.Dense(3)
    for first, last in ((x, out), (x, x), (out, layers.Dense(2)(out)), (x, shared(shared(x))), (x, _added(out, x))):
        at_once = _order(first, last)
        with monkeypatch.context() as patch:
            patch.setattr(graph, "_chain", lambda *_: [])
            assert _order(first, last) == at_once


def _added(a: Tensor, b: Tensor) -> Any:
    return layers.Add()([a, b])


def _order(first: Tensor, last: Tensor) -> Any:
    return graph._ordered((first,), (last,))


def test_uniform_values_are_the_generators_own() -> None:
    drawn = GlorotUniform()((30, 7), rng=np.random.default_rng(3))
    limit = float(np.sqrt(6 / 37))
    expected: DoubleArray = np.random.default_rng(3).uniform(-limit, limit, (30, 7))
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    assert drawn.dtype == np.float32

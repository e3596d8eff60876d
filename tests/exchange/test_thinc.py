"""thinc's chains as models, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import layers as L
from fastnn.exchange import from_thinc, to_thinc
from fastnn.models import Sequential

thinc = pytest.importorskip("thinc.api")

X = np.random.default_rng(0).normal(0, 2, (20, 4)).astype(np.float32)
DENSE = ("Linear", "Relu", "Softmax", "Gelu", "Mish", "Swish", "Sigmoid", "HardSwish", "HardSwishMobilenet")
DENSE += ("HardSigmoid", "HardTanh", "ReluK", "ClippedLinear", "Dish")
BACK = DENSE[:7] + DENSE[8:9]


def made(model: Any) -> Any:
    """It, initialised, with numbers in its biases too."""
    model.initialize()
    rng = np.random.default_rng(1)
    for node in model.walk():
        if node.has_param("b"):
            node.set_param("b", rng.normal(size=node.get_param("b").shape).astype(np.float32))
    return model


def compared(model: Any) -> Any:
    found = from_thinc(model)
    np.testing.assert_allclose(found.predict(X, verbose=0), model.predict(X), rtol=0, atol=1e-5)
    return found


@pytest.mark.parametrize("kind", DENSE)
def test_dense(kind: str) -> None:
    found = compared(made(getattr(thinc, kind)(3, 4)))
    if kind in BACK:
        np.testing.assert_allclose(to_thinc(found).predict(X), found.predict(X, verbose=0), rtol=0, atol=1e-5)


def test_models_of_several() -> None:
    compared(
        made(
            thinc.chain(
                thinc.Relu(8, 4, normalize=True, dropout=0.1),
                thinc.residual(thinc.Gelu(8, 8)),
                thinc.concatenate(thinc.Swish(4, 8), thinc.noop(), thinc.Mish(2, 8)),
                thinc.Maxout(4, 14, 3),
                thinc.add(thinc.Linear(4, 4), thinc.chain(thinc.Linear(4, 4), thinc.Logistic())),
                thinc.LayerNorm(4),
                thinc.Softmax_v2(3, 4, normalize_outputs=False, temperature=2.0),
            )
        )
    )
    compared(made(thinc.with_array(thinc.chain(thinc.Relu(5, 4), thinc.Softmax(3, 5)))))


def test_back_and_trained_on() -> None:
    norm = L.LayerNormalization(epsilon=1e-8)
    layers = [L.Input((4,)), L.Dense(8, "relu"), norm, L.Dropout(0.1), L.Dense(5, "mish", use_bias=False)]
    model = Sequential([*layers, L.Identity(), L.Dense(3, "softmax")])
    found = to_thinc(model)
    np.testing.assert_allclose(found.predict(X), model.predict(X, verbose=0), rtol=0, atol=1e-5)
    labels = np.eye(3, dtype=np.float32)[(X[:, 0] > 0).astype(int)]
    optimizer = thinc.Adam(0.01)
    losses = []
    for _ in range(30):
        given, back = found.begin_update(X)
        back((given - labels) / len(X))
        found.finish_update(optimizer)
        losses.append(float(((given - labels) ** 2).sum()))
    assert losses[-1] < losses[0] / 2


def test_what_is_not_read() -> None:
    with pytest.raises(TypeError, match="must be a model of thinc"):
        from_thinc("relu")
    with pytest.raises(ValueError, match=r"does not say its width|call the model's initialize"):
        from_thinc(thinc.Relu())
    with pytest.raises(ValueError, match="call the model's initialize"):
        from_thinc(thinc.Relu(3, 4))
    with pytest.raises(ValueError, match="'embed' is not read"):
        from_thinc(made(thinc.Embed(3, 5)), (4,))


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (L.Dense(3, "selu"), r"'dense' \(Dense\) has no equal in thinc"),
        (L.LayerNormalization(), "no equal in thinc"),
        (L.Reshape((2, 2)), "no equal"),
        (L.Identity(), "no layer that thinc has"),
    ],
)
def test_what_thinc_has_not(layer: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        to_thinc(Sequential([L.Input((4,)), layer]))

"""A loss that is chosen by the shape of y, and outputs that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, models

RNG = np.random.default_rng(3)
X = RNG.standard_normal((40, 4)).astype("float32")
LABELS = RNG.integers(0, 3, 40)


def classifier(units: int, activation: str) -> fastnn.Sequential:
    fastnn.set_random_seed(1)
    return fastnn.Sequential([fastnn.Input((4,)), layers.Dense(units, activation)])


def fitted(net: fastnn.Model, y: Any) -> dict[str, Any]:
    """Its history, the rows in the same order each time."""
    fastnn.set_random_seed(5)
    return net.fit(X, y, epochs=2, verbose=0).history


@pytest.mark.parametrize(
    ("y", "units", "name"),
    [
        (LABELS % 2, 1, "binary_crossentropy"),
        (LABELS, 3, "sparse_categorical_crossentropy"),
        (np.eye(3)[LABELS], 3, "categorical_crossentropy"),
    ],
)
@pytest.mark.parametrize("given", ["crossentropy", "ce"])
def test_crossentropy_goes_by_the_shape_of_y(y: Any, units: int, name: str, given: str, tmp_path: Path) -> None:
    found = []
    for loss in (given, name):
        net = classifier(units, "sigmoid" if units == 1 else "softmax")
        net.compile("adam", loss, metrics=["accuracy"])
        net.save(tmp_path / "before")
        history = fitted(net, y)
        found.append((history["loss"], history["accuracy"], net.evaluate(X, y, verbose=0)))
        net.save(tmp_path / "m")
        assert models.load_model(tmp_path / "m").evaluate(X, y, verbose=0) == found[-1][-1]
        fresh = models.load_model(tmp_path / "before")
        assert fitted(fresh, y)["loss"] == found[-1][0]
    assert found[0] == found[1]


def two(**named: Any) -> fastnn.Model:
    fastnn.set_random_seed(2)
    start = fastnn.Input((4,))
    left, right = layers.Dense(2, name="left")(start), layers.Dense(3, name="right")(start)
    net = fastnn.Model(start, {"left": left, "right": right})
    net.compile("sgd", **named)
    return net


def test_several_outputs_name_their_crossentropy() -> None:
    with pytest.raises(ValueError, match="loss 'ce' is chosen by the shape of y, and this model has several outputs"):
        two(loss={"left": "ce", "right": "mse"})


@pytest.mark.parametrize("loss", [{"left": "mse"}, {"left": "mse", "right": None}, ["mse", None]])
def test_nothing_is_learnt_from_an_output_without_a_loss(loss: Any, tmp_path: Path) -> None:
    net = two(loss=loss)
    y = X[:, :2]
    weights = net.get_layer("right").get_weights()
    alone = fastnn.Sequential([fastnn.Input((4,)), layers.Dense(2)])
    alone.set_weights(net.get_layer("left").get_weights())
    alone.compile("sgd", "mse")
    history = net.fit(X, {"left": y}, epochs=3, shuffle=False, verbose=0).history
    wanted = alone.fit(X, y, epochs=3, shuffle=False, verbose=0).history
    assert history == {"loss": wanted["loss"]}
    for before, after in zip(weights, net.get_layer("right").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    figures = net.evaluate(X, {"left": y}, verbose=0, return_dict=True)
    for given in ({"left": y, "right": None}, [y, None], [y], y):
        assert net.evaluate(X, given, verbose=0, return_dict=True) == figures
    net.save(tmp_path / "m")
    assert models.load_model(tmp_path / "m").evaluate(X, {"left": y}, verbose=0, return_dict=True) == figures


def test_metrics_of_an_output_without_a_loss() -> None:
    net = two(loss={"left": "mse"}, metrics={"right": ["mae"]})
    y = {"left": X[:, :2], "right": X[:, :3]}
    history = net.fit(X, y, verbose=0).history
    assert set(history) == {"loss", "right_mae"}  # as in Keras: the only loss is the loss


def test_outputs_without_any_loss(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no output has one"):
        two(loss={"left": None})
    net = two(loss=None)
    for use in (net.fit, net.evaluate, net.train_on_batch):
        with pytest.raises(ValueError, match="a loss is needed"):
            use(X, {"left": X[:, :2], "right": X[:, :3]})
    assert net.predict(X)["left"].shape == (len(X), 2)
    net.save(tmp_path / "m")
    again = models.load_model(tmp_path / "m")
    assert again.compiled
    with pytest.raises(ValueError, match="a loss is needed"):
        again.fit(X, {"left": X[:, :2], "right": X[:, :3]})


def test_a_list_of_one_loss_is_that_loss() -> None:
    y = {"left": X[:, :2], "right": X[:, :3]}
    one, other = two(loss={"left": "mse", "right": "mae"}), two(loss={"left": ["mse"], "right": ["mae"]})
    other.set_weights(one.get_weights())
    assert one.evaluate(X, y, verbose=0) == other.evaluate(X, y, verbose=0)


def test_arrays_that_are_missing_are_told() -> None:
    net = two(loss={"left": "mse"})
    with pytest.raises(ValueError, match="y has no array for 'left'"):
        net.fit(X, {"right": X[:, :3]}, verbose=0)
    with pytest.raises(ValueError, match=r"y\['left'\] has rows of shape \(3,\)"):
        net.fit(X, X[:, :3], verbose=0)


def test_circle_trains() -> None:
    """Rows of one class come to lie together."""
    fastnn.set_random_seed(0)
    labels = np.repeat(np.arange(6), 8) + 100
    x = RNG.normal(size=(6, 5))[labels - 100] + 0.3 * RNG.normal(size=(48, 5))
    net = fastnn.Sequential([fastnn.Input((5,)), layers.Dense(8, "tanh"), layers.Dense(3)])
    net.compile(fastnn.optimizers.Adam(0.02), losses.Circle(gamma=4.0))
    history = net.fit(x, labels, epochs=60, batch_size=48, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    values = losses.Circle(gamma=4.0, reduction="sum")(labels, net.predict(x)) / len(x)
    assert net.evaluate(x, labels, batch_size=48, verbose=0) == pytest.approx(float(values), rel=1e-4)

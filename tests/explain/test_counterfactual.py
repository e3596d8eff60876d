"""Counterfactuals say what was asked for, keep to what may change, and are near where the nearest is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.explain import counterfactual
from fastnn.models import Sequential

RNG = np.random.default_rng(4)
B = RNG.normal(size=(300, 5)) * [1, 2, 1, 1, 5]
WEIGHTS = np.array([1.0, 0.2, 0.5, 0.0, 0.1])
SCALES = np.median(np.abs(B - np.median(B, axis=0)), axis=0)
X = np.zeros((1, 5))


def odds(a: np.ndarray) -> np.ndarray:
    """The probability of class 1."""
    return 1 / (1 + np.exp(-(a @ WEIGHTS - 2)))


@pytest.fixture(scope="module")
def model() -> Sequential:
    """Three classes, of which 2 is in the middle."""
    fastnn.set_random_seed(0)
    rows = B.astype(np.float32)
    model = Sequential([L.Input((5,)), L.Dense(32, "tanh"), L.Dense(3, "softmax")])
    model.compile(fastnn.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(rows, np.where(np.abs(rows[:, 0]) < 0.5, 2, rows[:, 0] > 0), epochs=60, verbose=0)
    return model


def test_of_a_line_the_nearest_is_known() -> None:
    """It moves the feature alone that gives most for a scale: 2 / max(w scale), as long as that may go so far."""
    found = counterfactual(odds, X, target=1, background=B, random_state=0)
    assert len(found) == 1
    (change,) = found.changes()
    assert change == {"x1": (0.0, pytest.approx(2, abs=1e-3))}
    assert (odds(found.rows) > 0.5).all()
    assert found.distances[0] == pytest.approx(2 / SCALES[0], rel=1e-3)
    np.testing.assert_array_equal(found.nearest, found.rows[0])
    np.testing.assert_allclose(found.outputs, odds(found.rows))
    back = counterfactual(odds, found.rows + np.eye(5)[:1], target=0, background=B, random_state=0)
    assert odds(back.rows)[0] <= 0.5
    assert back.rows[0, 0] == pytest.approx(2, abs=1e-3)


def test_a_narrow_range_of_numbers() -> None:
    for low, high in ((1.5, 1.5001), (-1.5, -1.4999), (0.3, np.inf)):
        found = counterfactual(lambda a: a @ WEIGHTS, X, target=(low, high), background=B, random_state=1, count=3)
        said = found.rows @ WEIGHTS
        assert ((said >= low) & (said <= high)).all()
        assert len(found) == 3
        assert (np.diff(found.distances + 0.1 * (found.rows != 0).sum(axis=1)) >= 0).all()
        wanted = min(abs(low), abs(high))
        best = min(wanted / (SCALES[i] * WEIGHTS[i]) for i in (0, 1, 2, 4))
        assert found.distances[0] < 1.1 * best + 0.1


def test_classes_of_a_model(model: Sequential) -> None:
    names = 0
    for seed, row in enumerate(B[:6].astype(np.float32)):
        own = int(model.predict(row[None]).argmax())
        for target in {0, 1, 2} - {own}:
            found = counterfactual(model, row[None], target=target, background=B, count=2, random_state=seed)
            assert len(found) >= 1
            np.testing.assert_array_equal(model.predict(found.rows).argmax(axis=1), target)
            assert found.rows.dtype == np.float32
            assert len({tuple(each) for each in found.rows != row}) == len(found)
            names += "x1" in found.changes()[0]
    assert names == 12  # the classes hang on it alone


def test_what_may_change() -> None:
    found = counterfactual(
        odds,
        X,
        target=1,
        background=B,
        features=["x2", 4],
        ranges={"x5": (-1, 14)},
        integers=["x2"],
        random_state=0,
        count=3,
    )
    assert len(found)
    assert not found.rows[:, [0, 2, 3]].any()
    assert (found.rows[:, 1] == found.rows[:, 1].round()).all()
    assert (found.rows[:, 4] <= 14).all()
    assert (odds(found.rows) > 0.5).all()
    # All whole numbers of x2 with the least of x5 that does.
    whole = np.arange(0, 6)
    least = np.maximum(20 - 2 * whole, 0)
    costs = (whole / SCALES[1] + least / SCALES[4] + 0.1 * (whole > 0) + 0.1)[least <= 14]
    cost = found.distances[0] + 0.1 * (found.rows[0] != 0).sum()
    assert costs.min() - 1e-3 < cost < 1.1 * costs.min()
    without = counterfactual(odds, X, target=1, ranges={0: (-3, 3), 2: (0, 4)}, features=[0, 2], random_state=0)
    assert list(without.changes()[0]) == ["x1"]


def test_where_there_is_none_it_says_so() -> None:
    found = counterfactual(odds, X, target=1, background=B, features=[3], random_state=0)
    assert len(found) == 0
    assert (found.rows.shape, found.distances.shape, found.changes()) == ((0, 5), (0,), [])
    flat = counterfactual(odds, X, target=1, background=B, features=[2], ranges={2: (0, 1)}, random_state=0)
    assert len(flat) == 0
    assert flat.nearest[2] == 1  # as near as it may go
    far = counterfactual(lambda a: a @ WEIGHTS, X, target=(900, 901), background=B, random_state=0)
    assert len(far) == 0


def test_what_jumps_over_the_target_is_none() -> None:
    found = counterfactual(lambda a: np.floor(a @ WEIGHTS), X, target=(1.2, 1.8), background=B, random_state=0)
    assert len(found) == 0
    assert np.floor(found.nearest @ WEIGHTS) in (1, 2)
    steps = counterfactual(lambda a: np.floor(a @ WEIGHTS), X, target=(1.2, 2.2), background=B, random_state=0)
    assert np.floor(steps.rows @ WEIGHTS).tolist() == [2]


def test_seeds() -> None:
    runs = [
        counterfactual(odds, X, target=1, background=B, features=[1, 4], count=2, random_state=seed)
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(runs[0].rows, runs[1].rows)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"target": 0}, ValueError, "says 0 of x already"),
        ({"target": 2}, ValueError, "no class 2; there are 0, 1"),
        ({"target": "yes"}, ValueError, "no class 'yes'"),
        ({"target": 0.5}, TypeError, "target must be a whole number"),
        ({"target": (2, 1)}, ValueError, "target must be"),
        ({"target": (1, 2, 3)}, ValueError, "target must be a class or"),
        ({"model": lambda a: a @ WEIGHTS + 7}, ValueError, "no probability; give target="),
        ({"model": lambda a: np.stack([odds(a), odds(a)], 1), "target": (0, 1)}, ValueError, "of one unit"),
        ({"x": B[:2]}, ValueError, "takes one flat row"),
        ({"x": X * np.nan}, ValueError, "finite"),
        ({"background": None}, ValueError, "give background="),
        ({"background": None, "ranges": {0: (0, 1)}}, ValueError, "ranges= for 'x2', 'x3'"),
        ({"ranges": {0: 3}}, ValueError, "ranges are"),
        ({"ranges": {0: (2, 1)}}, ValueError, "ranges are"),
        ({"ranges": {"y": (2, 1)}}, ValueError, "no feature 'y'"),
        ({"features": []}, ValueError, "at least one that may change"),
        ({"features": ["x0"]}, ValueError, "no feature 'x0'"),
        ({"integers": [9]}, ValueError, "no feature 9"),
        ({"count": 0}, ValueError, "count must be at least 1"),
    ],
)
def test_errors(change: dict[str, Any], error: type[Exception], said: str) -> None:
    given = {"model": odds, "x": X, "target": 1, "background": B, **change}
    with pytest.raises(error, match=said):
        counterfactual(given.pop("model"), given.pop("x"), **given)

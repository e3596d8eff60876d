"""Every initialiser: deviation, bound and distribution, and that a seed makes it repeatable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.initializers import INITIALIZERS, Initializer, get
from support.units import label, units

SHAPES = [(0,), (1,), (7,), (0, 5), (5, 0), (1, 1), (3, 8), (8, 3), (16, 17), (784, 32)]
LARGE = [(300, 200), (60_000,), (20, 3000)]


@pytest.fixture(params=units(INITIALIZERS), ids=label)
def initializer(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_shape_type_and_bound(initializer: Initializer, shape: tuple[int, ...]) -> None:
    values = initializer(shape, np.random.default_rng(1))
    assert values.shape == shape
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert values.flags.writeable
    deviation, bound = initializer.reference(shape)
    assert math.isfinite(deviation)
    # Half an ulp: the values are rounded to float32 after they are drawn.
    assert (np.abs(values) <= bound * (1 + 2.0**-24)).all()


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_mean_and_deviation(initializer: Initializer, shape: tuple[int, ...]) -> None:
    values = initializer(shape, np.random.default_rng(2)).astype(np.float64)
    deviation, bound = initializer.reference(shape)
    if deviation == 0:
        assert (values == values.flat[0]).all()
        assert abs(values.flat[0]) == bound
        return
    # Five standard errors of a mean, and of a deviation (no wider than the normal's).
    assert abs(values.mean()) <= 5 * deviation / math.sqrt(values.size)
    assert abs(values.std() - deviation) <= 5 * deviation / math.sqrt(2 * values.size)


def share_below(initializer: Any, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    """The distribution function: of the uniform, or of the normal cut off at two of its standard deviations."""
    bound = initializer.reference(shape)[1]
    if not initializer.normal:
        return (x / bound + 1) / 2
    normal = np.array([math.erf(v) for v in x * 2 / bound / math.sqrt(2)])
    return (normal / math.erf(math.sqrt(2)) + 1) / 2


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_distribution(initializer: Any, shape: tuple[int, ...]) -> None:
    values = np.sort(initializer(shape, np.random.default_rng(3)).ravel().astype(np.float64))
    if initializer.reference(shape)[0] == 0:
        assert values[0] == values[-1]
        return
    # Kolmogorov and Smirnov's distance exceeds 2.5 / sqrt(n) seven times in a million.
    steps = np.arange(values.size + 1) / values.size
    expected = share_below(initializer, shape, values)
    distance = max((expected - steps[:-1]).max(), (steps[1:] - expected).max())
    assert distance < 2.5 / math.sqrt(values.size)
    drawn = initializer(shape, np.random.default_rng(3)).ravel()
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / math.sqrt(values.size)


def test_one_generator_gives_one_result(initializer: Initializer) -> None:
    first, again, other = (initializer((9, 7), np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    fixed = getattr(initializer, "seed", None) is not None or initializer.reference((9, 7))[0] == 0
    assert (first == other).all() == fixed


def test_common_generator(initializer: Initializer) -> None:
    """Without a generator, set_random_seed makes a run repeatable; a second call goes on from the first."""
    drawn = []
    for _ in range(2):
        fastnn.set_random_seed(42)
        drawn.append([initializer((9, 7)), initializer((9, 7))])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    fixed = getattr(initializer, "seed", None) is not None or initializer.reference((9, 7))[0] == 0
    assert (drawn[0][0] == drawn[0][1]).all() == fixed


def test_every_draw_is_a_new_array(initializer: Initializer) -> None:
    first = initializer((4, 4), np.random.default_rng(1))
    first[...] = 9
    assert not (initializer((4, 4), np.random.default_rng(1)) == 9).any()


def test_from_name_and_from_configuration(initializer: Initializer) -> None:
    assert get(initializer.table_name) == type(initializer)()
    assert get(INITIALIZERS.config(initializer)) == initializer
    assert get(initializer) is initializer


@pytest.mark.parametrize("seed", [1.5, "1", [1]])
def test_seed_must_be_a_whole_number(seed: Any) -> None:
    with pytest.raises(TypeError, match="seed must be a whole number or None"):
        fastnn.initializers.HeNormal(seed=seed)

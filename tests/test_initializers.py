"""Every initialiser: deviation, bound and distribution, and that a seed makes it repeatable."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.initializers import (
    INITIALIZERS,
    Constant,
    HeNormal,
    Identity,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    get,
)
from support.units import label, units

SHAPES = [(0,), (1,), (7,), (0, 5), (5, 0), (1, 1), (3, 8), (8, 3), (16, 17), (784, 32), (2, 3, 4, 5)]
LARGE = [(300, 200), (60_000,), (20, 3000), (5, 6, 20, 100)]


@pytest.fixture(params=units(INITIALIZERS), ids=label)
def initializer(request: pytest.FixtureRequest) -> Any:
    return request.param


def draw(initializer: Initializer, shape: tuple[int, ...], seed: int, dtype: Any = None) -> np.ndarray:
    return initializer(shape, dtype, np.random.default_rng(seed))


def takes(initializer: Initializer, shape: tuple[int, ...]) -> bool:
    """Whether there are such values; where not, that the initialiser says so."""
    if isinstance(initializer, Identity):
        fits = len(shape) == 2
    else:
        fits = len(shape) >= 2 or not isinstance(initializer, Orthogonal)
    if not fits:
        with pytest.raises(ValueError, match=f"{type(initializer).__name__} makes .* got .*; take another initializer"):
            initializer(shape)
    return fits


@pytest.mark.parametrize("shape", SHAPES + LARGE, ids=str)
def test_shape_type_and_bounds(initializer: Initializer, shape: tuple[int, ...]) -> None:
    if not takes(initializer, shape):
        return
    values = draw(initializer, shape, 1)
    assert values.shape == shape
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert values.flags.writeable
    _, deviation, low, high = initializer.reference(shape)
    assert math.isfinite(deviation)
    # Half an ulp: the values are rounded to float32 after they are drawn.
    slack = 2.0**-24 * max(abs(low), abs(high)) if math.isfinite(high) else 0.0
    assert ((values >= low - slack) & (values <= high + slack)).all()


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_mean_and_deviation(initializer: Initializer, shape: tuple[int, ...]) -> None:
    if not takes(initializer, shape):
        return
    values = draw(initializer, shape, 2, np.float64)
    mean, deviation, _, _ = initializer.reference(shape)
    # Five standard errors of a mean, and of a deviation (no wider than the normal's).
    assert abs(values.mean() - mean) <= 5 * deviation / math.sqrt(values.size) + 1e-15
    assert abs(values.std() - deviation) <= 5 * deviation / math.sqrt(2 * values.size) + 1e-15


def normal_below(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.array([math.erf(v) for v in x / math.sqrt(2)])


def share_below(initializer: Any, shape: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    """The distribution function: of the uniform, of the normal, or of that cut off at two standard deviations."""
    mean, deviation, low, high = initializer.reference(shape)
    kind = initializer.rule[2] if hasattr(initializer, "rule") else type(initializer).__name__
    if kind in ("uniform", "RandomUniform"):
        return (x - low) / (high - low)
    if math.isinf(high):
        return normal_below((x - mean) / deviation)
    beyond = normal_below(np.array([-2.0]))
    return (normal_below((x - mean) * 4 / (high - low)) - beyond) / (1 - 2 * beyond)


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_distribution(initializer: Any, shape: tuple[int, ...]) -> None:
    if initializer.reference(shape)[1] == 0 or isinstance(initializer, (Identity, Orthogonal)):
        return
    drawn = draw(initializer, shape, 3, np.float64).ravel()
    values = np.sort(drawn)
    # Kolmogorov and Smirnov's distance exceeds 2.5 / sqrt(n) seven times in a million.
    steps = np.arange(values.size + 1) / values.size
    expected = share_below(initializer, shape, values)
    distance = max((expected - steps[:-1]).max(), (steps[1:] - expected).max())
    assert distance < 2.5 / math.sqrt(values.size)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / math.sqrt(values.size)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 40), (40, 3), (33, 33), (200, 64), (64, 99), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("gain", [1.0, -2.5])
def test_orthogonal_vectors(shape: tuple[int, ...], gain: float) -> None:
    """Columns, or rows where they are fewer, are orthogonal to the rounding of float64 and as long as the gain."""
    w = draw(Orthogonal(gain), shape, 4, np.float64).reshape(-1, shape[-1])
    vectors = w if len(w) < w.shape[1] else w.T
    np.testing.assert_allclose(vectors @ vectors.T, gain**2 * np.eye(len(vectors)), rtol=0, atol=1e-14 * gain**2)


def test_orthogonal_bits_do_not_depend_on_threads() -> None:
    before, drawn = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            drawn.append(Orthogonal(seed=6)((300, 290)))
    finally:
        fastnn.set_num_threads(before)
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] == drawn[2]).all()


def test_orthogonal_matrices_are_equally_likely() -> None:
    """Of a random rotation, a number has variance 1 / n and either sign; the trace has mean 0 and variance 1."""
    rng = np.random.default_rng(5)
    drawn = np.array([Orthogonal()((4, 4), np.float64, rng) for _ in range(4000)])
    traces = np.trace(drawn, axis1=1, axis2=2)
    assert abs(traces.mean()) < 5 / math.sqrt(4000)
    assert abs(traces.var() - 1) < 5 * math.sqrt(2 / 4000)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 0.25, atol=5 * 0.25 / math.sqrt(4000))
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=5 * 0.5 / math.sqrt(4000))
    assert abs((np.linalg.det(drawn) > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(4000)


def test_known_values() -> None:
    np.testing.assert_array_equal(Constant(2.5)((2, 3)), np.full((2, 3), 2.5))
    np.testing.assert_array_equal(Identity(3.0)((2, 3)), [[3, 0, 0], [0, 3, 0]])
    np.testing.assert_array_equal(RandomNormal(0.25, 0.0)((2,)), [0.25, 0.25])
    np.testing.assert_array_equal(RandomUniform(0.5, 0.5)((2,)), [0.5, 0.5])


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((3, 5), (3, 5)), ((2, 3, 5), (6, 10)), ((4, 2, 3, 5), (24, 40))],
    ids=str,
)
def test_fans(shape: tuple[int, ...], fans: tuple[int, int]) -> None:
    for mode, fan in zip(("fan_in", "fan_out", "fan_avg"), (*fans, sum(fans) / 2), strict=True):
        assert VarianceScaling(2.0, mode).reference(shape).deviation == pytest.approx(math.sqrt(2 / fan))


def test_types() -> None:
    for dtype in ("float64", np.float32, np.dtype("float16")):
        assert HeNormal(seed=1)(shape=(2, 3), dtype=dtype).dtype == dtype
    assert HeNormal(seed=1)((2, 3), dtype=None).dtype == np.float32
    assert HeNormal(seed=1)([2, 3]).shape == (2, 3)
    with pytest.raises(TypeError, match="dtype comes before the generator"):
        HeNormal()((2, 3), np.random.default_rng(1))


def is_fixed(initializer: Initializer) -> bool:
    """Whether it gives the same values each time."""
    seeded = getattr(initializer, "seed", None) is not None
    return seeded or isinstance(initializer, Identity) or initializer.reference((9, 7)).deviation == 0


def test_one_generator_gives_one_result(initializer: Initializer) -> None:
    first, again, other = (draw(initializer, (9, 7), seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first == other).all() == is_fixed(initializer)


def test_common_generator(initializer: Initializer) -> None:
    """Without a generator, set_random_seed makes a run repeatable; a second call goes on from the first."""
    drawn = []
    for _ in range(2):
        fastnn.set_random_seed(42)
        drawn.append([initializer((9, 7)), initializer((9, 7))])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][0] == drawn[0][1]).all() == is_fixed(initializer)


def test_every_draw_is_a_new_array(initializer: Initializer) -> None:
    first = draw(initializer, (4, 4), 1)
    first[...] = 9
    assert not (draw(initializer, (4, 4), 1) == 9).any()


def test_from_name_and_from_configuration(initializer: Initializer) -> None:
    assert get(initializer.table_name) == type(initializer)()
    assert get(INITIALIZERS.config(initializer)) == initializer
    assert get(initializer) is initializer


@pytest.mark.parametrize("unit", [HeNormal, VarianceScaling, Orthogonal, RandomNormal, RandomUniform, TruncatedNormal])
def test_a_seed_generator_gives_other_values_at_each_call(unit: Any, tmp_path: Any) -> None:
    """The same ones in their order for the same seed, from a configuration and from a file too."""
    made = unit(seed=fastnn.random.SeedGenerator(7))
    config = json.loads(json.dumps(made.get_config()))
    assert config["seed"] == {"class_name": "SeedGenerator", "config": {"seed": 7}}
    model = fastnn.Sequential([fastnn.Input((3,)), fastnn.layers.Dense(4, kernel_initializer=made)])
    model.save(tmp_path / "model.fastnn")
    again = fastnn.models.load_model(tmp_path / "model.fastnn").layers[0].kernel_initializer
    first = unit(seed=fastnn.random.SeedGenerator(7))((3, 4))
    np.testing.assert_array_equal(model.get_weights()[0], first)
    second = made((3, 4))
    assert (first != second).all()
    assert again.get_config() == config  # it drew the weights, which those of the file replaced
    for other in (unit.from_config(config), get(INITIALIZERS.config(made))):
        np.testing.assert_array_equal(other((3, 4)), first)
        np.testing.assert_array_equal(other((3, 4)), second)


@pytest.mark.parametrize("seed", [1.5, "1", [1], {"class_name": "Seed"}])
def test_seed_must_be_a_whole_number(seed: Any) -> None:
    for unit in (HeNormal, VarianceScaling, Orthogonal, RandomNormal, RandomUniform, TruncatedNormal):
        with pytest.raises(TypeError, match="seed must be a whole number, got"):
            unit(seed=seed)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomNormal(stddev=-1), "stddev must be at least 0"),
        (lambda: TruncatedNormal(stddev=-1), "stddev must be at least 0"),
        (lambda: RandomUniform(1, 0), "maxval must be at least 1"),
        (lambda: VarianceScaling(0), "scale must be above 0"),
        (lambda: VarianceScaling(1, "fan"), "mode must be one of fan_in, fan_out, fan_avg, got 'fan'"),
        (lambda: VarianceScaling(distribution="cauchy"), "distribution must be one of .* got 'cauchy'"),
        (lambda: Constant(float("nan")), "value must be above -inf, got nan"),
        (lambda: Orthogonal(float("inf")), "gain must be above -inf, got inf"),
        (lambda: Identity(float("-inf")), "gain must be above -inf, got -inf"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_keras_other_names() -> None:
    for name in ("zero", "one", "normal", "uniform", "IdentityInitializer", "OrthogonalInitializer"):
        assert isinstance(get(name), Initializer)
    assert VarianceScaling(distribution="normal") == VarianceScaling()

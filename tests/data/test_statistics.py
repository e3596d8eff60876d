"""Moments and quantiles of columns in one pass, against NumPy's of all rows at once."""

import numpy as np
import pytest

from fastnn.data.statistics import Moments, Quantiles


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = np.stack([rng.lognormal(size=50_001), rng.normal(1e9, 1, 50_001), np.full(50_001, 7.0)], axis=1)
    rows[::5, 0] = np.nan
    return rows


@pytest.mark.parametrize("block", [1, 7, 4096, 10**6])
def test_moments_are_those_of_all_rows(rows, block):
    part = rows[:999] if block == 1 else rows
    moments = Moments(3)
    for start in range(0, len(part), block):
        moments.add(part[start : start + block])
    for place, column in enumerate(part.T):
        known = column[~np.isnan(column)]
        assert moments.count[place] == len(known)
        assert moments.mean[place] == pytest.approx(known.mean(), rel=1e-13)
        assert moments.variance[place] == pytest.approx(known.var(), rel=1e-6, abs=1e-12)
        apart = known - known.mean()
        skewness = (apart**3).mean() / known.std() ** 3 if known.std() else 0
        assert moments.skewness[place] == pytest.approx(skewness, rel=1e-6, abs=1e-4)
        assert (moments.least[place], moments.most[place]) == (known.min(), known.max())


def test_moments_of_nothing_and_of_missing_values_alone():
    moments = Moments(2)
    moments.add(np.empty((0, 2)))
    moments.add(np.array([[np.nan, 1.0], [np.nan, 3.0]]))
    assert moments.count.tolist() == [0, 2]
    assert moments.mean.tolist() == [0, 2]
    assert moments.variance.tolist() == [0, 1]
    moments.add(np.array([[5.0, np.nan]]))
    assert moments.mean.tolist() == [5, 2]


@pytest.mark.parametrize("order", [lambda each: each, np.sort, lambda each: np.sort(each)[::-1]])
@pytest.mark.parametrize("size", [64, 2048])
def test_quantiles_are_as_exact_as_is_said(rows, order, size):
    numbers = order(rows[:, 0][~np.isnan(rows[:, 0])])
    quantiles = Quantiles(size)
    for start in range(0, len(numbers), 777):
        quantiles.add(numbers[start : start + 777])
    shares = np.linspace(0, 1, 201)
    ranks = np.searchsorted(np.sort(numbers), quantiles.at(shares)) / len(numbers)
    bound = np.log2(len(numbers) / (2 * size)) / (2 * size)
    assert np.abs(ranks - shares).max() <= bound + 1 / len(numbers)
    assert abs((ranks - shares).mean()) < bound / 10  # no drift: odd and even places take turns


def test_quantiles_of_few_numbers_are_numpy_s(rows):
    numbers = rows[:4000, 0]
    quantiles = Quantiles()
    quantiles.add(numbers)
    shares = np.linspace(0, 1, 31)
    known = np.nanquantile(numbers, shares)
    assert np.allclose(quantiles.at(shares), known, rtol=1e-13)
    assert np.allclose(quantiles.mapped(np.log).at([0.25]), np.log(np.nanquantile(numbers, 0.25)), rtol=1e-3)
    assert np.isnan(Quantiles().at([0.5])).all()

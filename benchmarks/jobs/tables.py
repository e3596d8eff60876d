"""The rows of the jobs: tables that come with fastnn, and three that are made in the shape of well-known ones."""

import numpy as np

from fastnn.datasets import diamonds as diamonds, digits as digits, penguins as penguins


def parts(columns, target, share=0.8):
    """(x, y), (x_test, y_test) of columns in a dict: the first rows, and the others."""
    y = columns.pop(target)
    cut = int(share * len(y))
    one, other = ({name: column[rows] for name, column in columns.items()} for rows in (slice(cut), slice(cut, None)))
    return (one, y[:cut]), (other, y[cut:])


def flights(rows=4000):
    """Flights: where from, where to, the hour, miles; late is 1 in ten, more in the evening and at two airports."""
    rng = np.random.default_rng(0)
    names = np.array(["ATL", "BOS", "DEN", "JFK", "LAX", "ORD", "SEA", "SFO"])
    origin, destination = names[rng.integers(0, 8, rows)], names[rng.integers(0, 8, rows)]
    hour, distance = rng.integers(5, 23, rows).astype(float), rng.gamma(4, 250, rows)
    chance = 1 / (1 + np.exp(6 - 0.2 * hour - 1.5 * np.isin(origin, ["JFK", "ORD"])))
    late = (rng.random(rows) < chance).astype(int)
    table = {"origin": origin, "destination": destination, "hour": hour, "distance": distance, "late": late}
    return parts(table, "late")


def movies(rows=3000):
    """Movies: genre, runtime, budget in dollars, which one in five lacks, and the rating from 1 to 10."""
    rng = np.random.default_rng(0)
    genres = np.array(["Action", "Comedy", "Documentary", "Drama", "Horror"])
    kind = rng.integers(0, 5, rows)
    runtime, budget = rng.normal(110, 20, rows), np.exp(rng.normal(17, 1.2, rows))
    worth = np.array([6.0, 6.0, 7.2, 6.8, 5.2])[kind] + 0.02 * (runtime - 110) + 0.2 * (np.log(budget) - 17)
    rating = np.clip(worth + rng.normal(0, 0.6, rows), 1, 10)
    budget[rng.random(rows) < 0.2] = np.nan
    return parts({"genre": genres[kind], "runtime": runtime, "budget": budget, "rating": rating}, "rating")


def seattle(days=1461):
    """Four years of weather, a row for each day: rain in mm, highest and lowest temperature, wind in m/s."""
    rng = np.random.default_rng(0)
    season = np.cos(np.arange(days) * 2 * np.pi / 365.25)
    drift = np.convolve(rng.normal(size=days + 9), 0.6 ** np.arange(10), "valid")
    high = 16.5 - 9 * season + 2 * drift
    rain = np.where(rng.random(days) < 0.43 + 0.25 * season, rng.exponential(6, days), 0)
    return np.stack([rain, high, high - 8 + rng.normal(size=days), rng.gamma(5, 0.65, days)], axis=1)


def ratings(rows=20000, users=200, items=100):
    """(user, item, stars): what 200 users say of 100 items, by four tastes that nobody has written down."""
    rng = np.random.default_rng(0)
    tastes, traits = rng.normal(size=(users, 4)), rng.normal(size=(items, 4))
    user, item = rng.integers(0, users, rows), rng.integers(0, items, rows)
    return user, item, 3 + (tastes[user] * traits[item]).sum(axis=1) / 2 + rng.normal(0, 0.3, rows)

"""Whether what comes in is still like what a model was trained on: statistics kept in the model, and two measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_count, shown
from fastnn.models import check_model
from fastnn.serve.inputs import FEW, GROUP, LEVELS, Bins, Features, Seen, bins_of, by_feature

__all__ = ["Drift", "kolmogorov_smirnov", "population_stability_index", "reference"]

FLOOR = 1e-4  # stands for a share of nothing, of which there is no logarithm
AT_ONCE = 256  # rows that are counted together
NOTE = "reference"


def population_stability_index(expected: Any, observed: Any) -> float:
    """Return sum((o - e) * ln(o / e)) over bins: e, o are the shares of rows in each, at least 0.0001.

    expected, observed: counts or shares of the same bins. 0 where both are the same; below 0.1 is usually read as
    little, above 0.25 as much. Where nothing has changed, n and m rows in B bins have about
    (1/n + 1/m) * chi2(B - 1). Source: Siddiqi 2006; Yurdakul and Naranjo 2020.
    """
    e, o = _shares(expected, observed)
    e, o = np.maximum(e, FLOOR), np.maximum(o, FLOOR)
    return float(((o - e) * np.log(o / e)).sum())


def kolmogorov_smirnov(expected: Any, observed: Any) -> float:
    """Return max |F_o - F_e| at the ends of bins in their order, of two cumulative shares: from 0 to 1.

    expected, observed: counts or shares of the same bins. The two-sample statistic of the numbers themselves is at most
    the largest share of a bin more. Source: Smirnov 1948.
    """
    e, o = _shares(expected, observed)
    return float(np.abs(np.cumsum(o) - np.cumsum(e)).max())


def _shares(*counts: Any) -> Any:
    arrays = [np.asarray(each, np.float64) for each in counts]
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim != 1:
        raise ValueError(f"both must have one number for each bin, got shapes {arrays[0].shape} and {arrays[1].shape}")
    if not all((each >= 0).all() and 0 < each.sum() < np.inf for each in arrays):
        raise ValueError("counts of bins must be numbers of at least 0, and not all 0")
    return [each / each.sum() for each in arrays]


def reference(model: Any, x: Any, *, add: bool = False) -> None:
    """Keep in a model what its inputs hold, for `Drift` to compare with; ``save`` writes it into the file.

    x: the rows that it was trained on, as `fit` takes them. It is read twice; with add=True once, and its rows count
    beside those that are known. Of each number its quantiles at 29 shares (of up to 20 different ones all), of each
    text or key its frequent values, with how many rows each bin has and how often it is missing: some 500 bytes. Of
    inputs of more than 256 numbers a row it is the mean and the deviation of a row.

    ``fastnn train`` does so by itself. ValueError, TypeError as `fit`.
    """
    check_model("reference", model)
    built = model.description
    if not model.built:
        raise RuntimeError(f"reference: model {model.name!r} is not built yet; build or fit it first")
    features = Features(built)
    if add and NOTE in built.notes:
        bins, counts = _kept(model, features)
    else:
        seen = [Seen() for _ in features.names]
        for block in features.blocks(x):
            for each, values in zip(seen, by_feature([block]), strict=True):
                each.add(values)
        bins = [each.bins(name) for each, name in zip(seen, features.names, strict=True)]
        counts = [np.zeros(each.size, np.int64) for each in bins]
    for block in features.blocks(x):
        for each, count, values in zip(bins, counts, by_feature([block]), strict=True):
            count += each.count(values)
    if not counts or not counts[0].sum():
        raise ValueError("reference: x has no rows, or no columns but dates")
    built.notes[NOTE] = {
        "features": [
            {
                "name": each.name,
                **({"categories": each.categories} if each.edges is None else {"edges": each.edges.tolist()}),
                "counts": count.tolist(),
            }
            for each, count in zip(bins, counts, strict=True)
        ],
    }


def _kept(model: Any, features: Features) -> tuple[list[Bins], list[Any]]:
    """The bins that a model has noted, and their counts."""
    noted = model.description.notes.get(NOTE)
    if noted is None:
        raise ValueError(
            f"model {model.name!r} has no statistics of what it was trained on; call "
            "fastnn.serve.drift.reference(model, x) with these rows, and save it again"
        )
    try:
        found = [bins_of(each) for each in noted["features"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"what model {model.name!r} notes of its inputs was altered: {error}") from None
    if [bins.name for bins, _ in found] != features.names:
        raise ValueError(
            f"model {model.name!r} has statistics of {shown([bins.name for bins, _ in found])}, and reads "
            f"{shown(features.names)}; call fastnn.serve.drift.reference(model, x) anew"
        )
    return [bins for bins, _ in found], [counts for _, counts in found]


class Drift:
    """Counts the rows that come in and compares them with those that a model was trained on.

    model: one with a `reference`; ValueError otherwise. window: what is compared are the last rows, at least so many
    and fewer than twice as many. limit: the index from which on a feature counts as drifted.

    Any number of threads may call it. Memory does not grow: a count for each bin, and at most 256 rows that wait for
    being counted together.
    """

    def __init__(self, model: Any, window: int = 10_000, limit: float = 0.25) -> None:
        check_model("Drift", model)
        self.window, self.limit = check_count("Drift: window", window), as_number("Drift: limit", limit)
        self._features = Features(model.description)
        self._bins, self._expected = _kept(model, self._features)
        self._lock = Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        with self._lock:
            self.rows, self.since = 0, datetime.now(UTC)
            self._waiting: list[Any] = []
            self._wait = self._seen = self._before = 0
            self._counts, self._old = ([np.zeros(bins.size, np.int64) for bins in self._bins] for _ in range(2))

    def add(self, x: Any) -> None:
        """Take rows into account, as `predict` takes them; ValueError, TypeError as there, and then none of them."""
        found = self._features.read(x)
        rows = len(found) if isinstance(found, np.ndarray) else len(found[0]) if found else 0
        if not rows:
            return
        with self._lock:
            self._waiting.append(found)
            self._wait += rows
            self.rows += rows
            if self._wait >= AT_ONCE:
                self._count()

    def _count(self) -> None:
        if not self._waiting:
            return
        parts, self._waiting = self._waiting, []
        if self._seen >= self.window:
            self._old, self._before = self._counts, self._seen
            self._counts, self._seen = [np.zeros(bins.size, np.int64) for bins in self._bins], 0
        self._seen += self._wait
        self._wait = 0
        for bins, count, values in zip(self._bins, self._counts, by_feature(parts), strict=True):
            count += bins.count(values)

    def report(self) -> dict[str, Any]:
        """What was found, as JSON has it.

        rows: since the beginning; compared: of these in the window; since: when it began. features: of each `name`,
        `kind` ("number" or "category"), `psi` (see ``population_stability_index``; of numbers over tenths of the rows
        of training), `ks` (see ``kolmogorov_smirnov``, off by at most 1/30 where no number comes often; None of
        categories), `missing` and `missing_before`, shares; `drifted`: whether psi is above `limit`, and above what
        999 of 1000 such windows would have by chance. None where nothing has come yet.
        """
        with self._lock:
            self._count()
            observed = [new + old for new, old in zip(self._counts, self._old, strict=True)]
            rows, since, compared = self.rows, self.since, self._seen + self._before
        each = zip(self._bins, self._expected, observed, strict=True)
        features = [self._compared(bins, expected, counts) for bins, expected, counts in each]
        return {"rows": rows, "compared": compared, "since": since.isoformat(), "features": features}

    def _compared(self, bins: Bins, expected: Any, observed: Any) -> dict[str, Any]:
        numbers = bins.edges is not None
        found = {"name": bins.name, "kind": "number" if numbers else "category", "psi": None, "ks": None}
        found |= {"missing": None, "missing_before": float(expected[-1] / expected.sum()), "drifted": False}
        n, m = observed.sum(), expected.sum()
        if not n:
            return found
        groups = _groups(expected) if numbers else np.arange(bins.size)
        e, o = np.bincount(groups, expected), np.bincount(groups, observed)
        found["psi"] = population_stability_index(e, o)
        found["missing"] = float(observed[-1] / n)
        if numbers and observed[:-1].sum() and expected[:-1].sum():
            found["ks"] = kolmogorov_smirnov(expected[:-1], observed[:-1])
        free = max(1, np.count_nonzero(e + o) - 1)
        spread = 2 / (9 * free)  # Wilson and Hilferty 1931: the share of 0.999 of chi2
        chance = (1 / n + 1 / m) * free * (1 - spread + 3.09 * spread**0.5) ** 3
        found["drifted"] = bool(found["psi"] > max(self.limit, chance))
        return found

    def gauges(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Names, labels and values as Prometheus has them: of `report`, without what is None."""
        found = self.report()
        yield "fastnn_drift_rows", {}, float(found["compared"])
        for each in found["features"]:
            for name in ("psi", "ks", "missing", "drifted"):
                if each[name] is not None:
                    yield f"fastnn_drift_{name}", {"feature": each["name"]}, float(each[name])


def _groups(expected: Any) -> Any:
    """For each bin of a number which of the bins it belongs to that the index takes: tenths, or each its own of few."""
    size = len(expected)
    if size <= FEW + 3:
        return np.arange(size)
    shares = np.cumsum(expected[:-1]) / max(1, expected[:-1].sum())
    tenths = np.maximum(np.ceil(np.round(shares * LEVELS) / GROUP), 1).astype(int) - 1
    return np.append(tenths, LEVELS // GROUP)


_names.offer(globals())

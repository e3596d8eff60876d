"""How good predictions were, once what was to be predicted is known: metrics by day or week, model and version."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.databases.addresses import reader_of, select_from
from fastnn.databases.reader import Wanted, listed
from fastnn.plot.ranked import roc

__all__ = ["METRICS", "Monitored", "Quality", "monitor"]

METRICS = ("accuracy", "f1", "auc", "mae", "rmse", "bias", "r2")


class Quality(NamedTuple):
    """What the predictions of a version in a period, "2026-11-29" or "2026-W48" in UTC, were worth.

    rows: with known truth; waiting: others. metrics: of classes accuracy, f1 (the mean over classes) and, of two, auc;
    of numbers mae, rmse, bias (the mean of prediction - truth) and r2. None where undefined.
    """

    period: str
    model: str
    version: str
    rows: int
    waiting: int
    metrics: dict[str, float | None]


class Monitored(NamedTuple):
    """What ``monitor`` found: by period, model and version; the metric that was judged; the versions in the last period
    that could be judged, and those beyond a limit; how many predictions have no key or no single value.
    """

    qualities: list[Quality]
    metric: str | None
    judged: list[Quality]
    failing: list[Quality]
    unusable: int

    def to_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        found = {name: [each._asdict() for each in getattr(self, name)] for name in ("qualities", "judged", "failing")}
        return {**self._asdict(), **found}

    def gauges(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Names, labels and values as Prometheus has them, of the last period of each version."""
        for each in {each[1:3]: each for each in self.qualities if each.rows}.values():
            labels = {"model": each.model, "version": each.version}
            yield "fastnn_quality_rows", labels, float(each.rows)
            for name, value in each.metrics.items():
                if value is not None:
                    yield "fastnn_quality", {**labels, "metric": name}, value


def monitor(
    predictions: str,
    truth: str,
    *,
    key: str,
    database: Any,
    target: str | None = None,
    by: str = "day",
    metric: str | None = None,
    below: float | None = None,
    above: float | None = None,
    rows: int = 1,
) -> Monitored:
    """Join predictions with the truth and say what they were worth by period, model and version.

    predictions: a table that ``PredictionLog`` or ``predict_sql`` has written, or a view of it. truth: a SELECT of the
    column `key` and of what was to be predicted, `target` where it has more; NULL, or no row, while it is not known.
    Keys are compared as texts; each may have several predictions, all of which count, but one truth. database: as
    ``SQLDataset`` takes it. by: "day" or "week".

    metric: the one that is judged, by default accuracy or mae: a version fails if it is below `below` or above `above`
    in the last period in which a version has `rows` of known truth. ValueError for unknown columns and metrics, for a
    key with two truths, and for what the database refuses.
    """
    for name, given, words in (("by", by, ("day", "week")), ("metric", metric, (None, *METRICS))):
        if given not in words:
            offered = [*filter(None, words)]
            raise ValueError(f"unknown {name} {shown(given)}{_names.hint(given, offered)}; known: {listed(offered)}")
    known = _truths(truth, database, key, target)
    groups, unusable = _joined(predictions, database, key, known, by == "week")
    found = [
        Quality(period, model, version, len(pairs), waiting[0], _metrics(pairs))
        for (period, model, version), (pairs, waiting) in sorted(groups.items())
    ]
    there = [name for each in found[::-1] for name in each.metrics]
    if metric is not None and there and metric not in there:
        raise ValueError(f"these predictions have no {metric}; they have {listed(sorted(set(there)))}")
    metric = metric or next(iter(there), None)
    able = [each for each in found if each.rows >= rows and each.metrics.get(metric or "") is not None]
    judged = [each for each in able if each.period == able[-1].period]
    low, high = -math.inf if below is None else below, math.inf if above is None else above
    failing = [each for each in judged if not low <= (each.metrics[metric or ""] or 0) <= high]
    return Monitored(found, metric, judged, failing, unusable)


def _columns(sql: str, database: Any, what: str, choose: Callable[[tuple[str, ...]], list[str]]) -> Iterator[Any]:
    """Rows of the columns of a query that `choose` names, given all."""
    reader = reader_of(sql, database)
    names = choose(reader.columns)
    if lacking := [name for name in names if name not in reader.columns]:
        raise ValueError(f"{what} has no column {listed(lacking)}; it has {listed(reader.columns)}")
    with closing(reader.blocks(Wanted((), (), names))) as blocks:
        for block in blocks:
            yield from zip(*(each.tolist() for each in block.others), strict=True)


def _truths(sql: str, database: Any, key: str, target: str | None) -> dict[str, Any]:
    def chosen(columns: tuple[str, ...]) -> list[str]:
        others = [name for name in columns if name != key] if target is None else [target]
        if key in columns and len(others) != 1:
            raise ValueError(f"the truth has the columns {listed(columns)}; say which one beside the key is the target")
        return [key, *others]

    known: dict[str, Any] = {}
    for name, value in _columns(sql, database, "the truth", chosen):
        if name is not None and value is not None and value == value:
            before = known.setdefault(_text(name), value)
            if _text(before) != _text(value):
                raise ValueError(
                    f"the key {shown(name)} has two truths, {shown(before)} and {shown(value)}; choose one"
                )
    return known


def _joined(table: str, database: Any, key: str, known: dict[str, Any], weeks: bool) -> tuple[dict[Any, Any], int]:
    """By (period, model, version) rows of (prediction, probability, truth), and how many wait; the unusable."""
    optional = ("probability", "model", "model_version")
    there: list[str] = []

    def chosen(columns: tuple[str, ...]) -> list[str]:
        there[:] = [name for name in optional if name in columns]
        own = "row_key" if key not in columns and "row_key" in columns else key
        return [own, "prediction", "predicted_at", *there]

    groups: dict[Any, tuple[list[Any], list[int]]] = {}
    unusable = 0
    driver = type(database).__module__.partition(".")[0]
    url = database if isinstance(database, str) else f"{'mysql' if driver == 'pymysql' else driver.rstrip('3')}://"
    for name, prediction, at, *rest in _columns(select_from(table, url), database, f"the table {table!r}", chosen):
        if name is None or prediction is None:
            unusable += 1
            continue
        more = dict(zip(there, rest, strict=True))
        label = (_period(at, weeks), *("" if more.get(each) is None else _text(more[each]) for each in optional[1:]))
        pairs, waiting = groups.setdefault(label, ([], [0]))
        truth = known.get(_text(name))
        if truth is None:
            waiting[0] += 1
        else:
            pairs.append((prediction, more.get("probability"), truth))
    return groups, unusable


def _period(at: Any, weeks: bool) -> str:
    try:
        when = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise ValueError(f"predicted_at must be a date and a time, got {shown(at)}") from None
    when = when.astimezone(UTC) if when.tzinfo else when
    return "{}-W{:02}".format(*when.isocalendar()) if weeks else f"{when:%Y-%m-%d}"


def _text(value: Any) -> str:
    """A key or a class: 1, 1.0, True and "1" are the same."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if not isinstance(value, str):
        with suppress(TypeError, ValueError, OverflowError):
            if value == int(value):
                return str(int(value))
    return str(value)


def _metrics(pairs: list[Any]) -> dict[str, float | None]:
    if not pairs:
        return {}
    predicted, shares, truth = zip(*pairs, strict=True)
    numbers = None if any(each is not None for each in shares) else _numbers(predicted)
    if numbers is None:
        return _of_classes([*map(_text, predicted)], [*map(_text, truth)], _numbers(shares))
    truths = _numbers(truth)
    if truths is None:
        wrong = next(each for each in truth if _numbers([each]) is None)
        raise ValueError(f"the truth {shown(wrong)} is no finite number, as predictions are; leave it out of the query")
    error = numbers - truths
    total = ((truths - truths.mean()) ** 2).sum()
    found = (np.abs(error).mean(), np.sqrt((error**2).mean()), error.mean(), 1 - (error**2).sum() / (total or np.nan))
    return {name: None if each != each else float(each) for name, each in zip(METRICS[3:], found, strict=True)}


def _numbers(column: Any) -> Any:
    """A column as float64; None where it holds what is no finite number."""
    try:
        numbers = np.array([float(each) for each in column])
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _of_classes(predicted: list[str], truth: list[str], shares: Any) -> dict[str, float | None]:
    names = sorted({*predicted, *truth}, key=lambda each: (len(each) if each.isdecimal() else math.inf, each))
    places = {name: place for place, name in enumerate(names)}
    guesses, labels = (np.array([places[each] for each in column]) for column in (predicted, truth))
    right, taken, own = (
        np.bincount(each, minlength=len(names)) for each in (labels[guesses == labels], guesses, labels)
    )
    auc = None
    if shares is not None and len(names) == len(set(truth)) == 2 and (shares >= 0.5).all():
        auc = roc(labels, np.where(guesses == 1, shares, 1 - shares))[2]
    return {"accuracy": float((guesses == labels).mean()), "f1": float((2 * right / (taken + own)).mean()), "auc": auc}


_names.offer(globals())

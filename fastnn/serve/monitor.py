"""How good predictions were, once what was to be predicted is known: metrics by day or week, model and version."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import as_number, check_count, check_text, shown
from fastnn.databases.addresses import reader_of, select_from
from fastnn.databases.reader import Wanted, listed
from fastnn.plot.ranked import roc

__all__ = ["Monitored", "Quality", "monitor"]

PERIODS: dict[str, Callable[[datetime], str]] = {
    "day": lambda at: f"{at:%Y-%m-%d}",
    "week": lambda at: "{}-W{:02}".format(*at.isocalendar()),
}
OPTIONAL = ("probability", "model", "model_version")
CLASSES, NUMBERS = ("accuracy", "f1", "auc"), ("mae", "rmse", "bias", "r2")


class Quality(NamedTuple):
    """What the predictions of one version were worth in one period, "2026-11-29" or "2026-W48", in UTC.

    rows: predictions whose truth is known; waiting: those whose truth is not. metrics: of classes accuracy, f1 (the
    mean over classes) and, of two, auc; of numbers mae, rmse, bias (mean of prediction - truth) and r2. None where one
    is not defined; empty without rows.
    """

    period: str
    model: str
    version: str
    rows: int
    waiting: int
    metrics: dict[str, float | None]


class Monitored(NamedTuple):
    """What `monitor` found.

    qualities: by period, model and version. metric: the one that was judged, None where nothing is known yet. judged:
    the qualities of the last period that could be; failing: those of them beyond a threshold. unusable: predictions
    without a key, or without a single value.
    """

    qualities: list[Quality]
    metric: str | None
    judged: list[Quality]
    failing: list[Quality]
    unusable: int

    def to_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        rows = {name: [each._asdict() for each in getattr(self, name)] for name in ("qualities", "judged", "failing")}
        return {**rows, "metric": self.metric, "unusable": self.unusable}

    def gauges(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Names, labels and values as Prometheus has them, of the last period of each version."""
        last = {(each.model, each.version): each for each in self.qualities if each.rows}
        for each in last.values():
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
    truth_database: Any = None,
    target: str | None = None,
    by: str = "day",
    metric: str | None = None,
    below: float | None = None,
    above: float | None = None,
    rows: int = 1,
    since: date | None = None,
) -> Monitored:
    """Join predictions with the truth and say what they were worth by period, model and version.

    predictions: a table as ``PredictionLog`` or ``predict_sql`` writes it. truth: a SELECT of the column `key` and of
    what was to be predicted, `target` where it has more columns; NULL, or no row, where that is not known yet. Keys
    are compared as texts, whole numbers without a fraction; one may have several predictions, each of which counts,
    but one truth. database: any that ``SQLDataset`` takes; truth_database: that of `truth`, where it is another.

    by: "day" or "week", of predicted_at in UTC. since: predictions from that day on. metric: the one that is judged, by
    default accuracy or mae; `failing` if it is below `below` or above `above`, of the versions in the last period in
    which there is one with at least so many `rows` whose truth is known.

    The truths are held in memory. Raises ValueError for unknown columns, periods and metrics, for a key with two
    truths, and for what the database refuses.
    """
    if by not in PERIODS:
        raise ValueError(f"monitor: by must be 'day' or 'week', got {shown(by)}")
    least = check_count("monitor: rows", rows)
    limits = [None if each is None else as_number(name, each) for name, each in (("below", below), ("above", above))]
    if metric is not None and metric not in CLASSES + NUMBERS:
        raise ValueError(f"monitor: unknown metric {shown(metric)}{_names.hint(metric, CLASSES + NUMBERS)}; known: "
                         f"{', '.join(CLASSES + NUMBERS)}")  # fmt: skip
    known = _truths(truth, database if truth_database is None else truth_database, check_text("key", key), target)
    groups, unusable = _joined(check_text("predictions", predictions), database, key, known, PERIODS[by], since)
    found = [_quality(*name, *group) for name, group in sorted(groups.items())]
    used = metric or next((name for each in reversed(found) for name in each.metrics), None)
    able = [each for each in found if each.rows >= least and each.metrics.get(used or "") is not None]
    if metric is not None and not able and (there := {name for each in found for name in each.metrics} - {metric}):
        of = {name for each in found for name in each.metrics}
        if metric not in of:
            raise ValueError(f"monitor: these predictions have no {metric}; they have {', '.join(sorted(there))}")
    judged = [each for each in able if each.period == able[-1].period]
    low, high = (-math.inf if limits[0] is None else limits[0]), (math.inf if limits[1] is None else limits[1])
    failing = [each for each in judged if not low <= (each.metrics[used or ""] or 0.0) <= high]
    return Monitored(found, used, judged, failing, unusable)


def _columns(sql: str, database: Any, names: Any) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of some columns of a query, some at a time. names: of the query's columns, those that are read."""
    reader = reader_of(sql, database)
    with closing(reader.blocks(Wanted((), (), names(reader.columns)))) as blocks:
        for block in blocks:
            yield zip(*(each.tolist() for each in block.others), strict=True)


def _truths(sql: str, database: Any, key: str, target: str | None) -> dict[str, Any]:
    """What is known of each key."""

    def names(columns: tuple[str, ...]) -> list[str]:
        others = [name for name in columns if name != key]
        if key not in columns or (target is not None and target not in others):
            raise ValueError(
                f"the query of the truth has no column {key if key not in columns else target!r}; it has "
                f"{listed(columns)}"
            )
        if target is None and len(others) != 1:
            raise ValueError(
                f"the query of the truth must give the key and one column more, got {listed(columns)}; say which is "
                "the target"
            )
        return [key, target or others[0]]

    known: dict[str, Any] = {}
    for block in _columns(sql, database, names):
        for name, value in block:
            if name is None or value is None or value != value:
                continue
            before = known.setdefault(_as_text(name), value)
            if _as_text(before) != _as_text(value):
                raise ValueError(
                    f"the key {shown(name)} has two truths, {shown(before)} and {shown(value)}; choose one in the query"
                )
    return known


def _joined(
    table: str, database: Any, key: str, known: dict[str, Any], period_of: Callable[[datetime], str], since: date | None
) -> tuple[dict[Any, tuple[list[Any], list[int]]], int]:
    """By (period, model, version): (prediction, probability, truth) by row, and how many wait; the unusable."""
    wanted: list[str] = []

    def names(columns: tuple[str, ...]) -> list[str]:
        own = key if key in columns else "row_key"
        lacking = [name for name in (own, "prediction", "predicted_at") if name not in columns]
        if lacking:
            raise ValueError(
                f"the table {table!r} has no column {listed([key if each == own else each for each in lacking])}; it "
                f"has {listed(columns)}"
            )
        wanted[:] = [own, "prediction", "predicted_at", *(name for name in OPTIONAL if name in columns)]
        return wanted

    groups: dict[Any, tuple[list[Any], list[int]]] = {}
    unusable, moments = 0, dict[Any, datetime]()
    for block in _columns(_select(table, database), database, names):
        for row in block:
            name, prediction, at = row[:3]
            if at not in moments:
                if len(moments) > 1000:
                    moments.clear()
                moments[at] = _moment(at, table)
            when = moments[at]
            if since is not None and when.date() < since:
                continue
            more = dict(zip(wanted[3:], row[3:], strict=True))
            if name is None or prediction is None:
                unusable += 1
                continue
            label = (period_of(when), *("" if more.get(n) is None else _as_text(more[n]) for n in OPTIONAL[1:]))
            pairs, waiting = groups.setdefault(label, ([], [0]))
            truth = known.get(_as_text(name))
            if truth is None:
                waiting[0] += 1
            else:
                pairs.append((prediction, more.get("probability"), truth))
    return groups, unusable


def _select(table: str, database: Any) -> str:
    if isinstance(database, str):
        return select_from(table, database)
    name = type(database).__module__.partition(".")[0]
    return select_from(table, "mysql://" if name == "pymysql" else "sqlite://" if name == "sqlite3" else "other://")


def _moment(at: Any, table: str) -> datetime:
    when = at
    if isinstance(at, str | bytes):
        with suppress(ValueError):
            when = datetime.fromisoformat(at.decode() if isinstance(at, bytes) else at)
    if not isinstance(when, datetime):
        raise ValueError(f"predicted_at of the table {table!r} must be a date with a time, got {shown(at)}")
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _as_text(value: Any) -> str:
    """A key or a class as a text: 1, 1.0, True and "1" are the same."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, str):
        return value
    with suppress(TypeError, ValueError, OverflowError):
        if value == int(value):
            return str(int(value))
    return str(value)


# Metrics.


def _quality(period: str, model: str, version: str, pairs: list[Any], waiting: list[int]) -> Quality:
    metrics: dict[str, float | None] = {}
    if pairs:
        predicted, probabilities, truths = zip(*pairs, strict=True)
        numbers = None if any(each is not None for each in probabilities) else _numbers(predicted, truths)
        if numbers is None:
            metrics = _of_classes([_as_text(each) for each in predicted], [_as_text(each) for each in truths],
                                  probabilities)  # fmt: skip
        else:
            metrics = _of_numbers(*numbers)
    return Quality(period, model, version, len(pairs), waiting[0], metrics)


def _numbers(*columns: Any) -> Any:
    """Columns as float64; None where one holds what is no finite number."""
    try:
        arrays = [np.array([float(each) for each in column]) for column in columns]
    except (TypeError, ValueError, OverflowError):
        return None
    return arrays if all(np.isfinite(each).all() for each in arrays) else None


def _of_numbers(predicted: Any, truth: Any) -> dict[str, float | None]:
    error = predicted - truth
    squares, total = (error**2).sum(), ((truth - truth.mean()) ** 2).sum()
    figures = (np.abs(error).mean(), np.sqrt((error**2).mean()), error.mean())
    return {
        **dict(zip(NUMBERS, map(float, figures), strict=False)),
        "r2": float(1 - squares / total) if total else None,
    }


def _of_classes(predicted: list[str], truth: list[str], probabilities: Any) -> dict[str, float | None]:
    names = sorted({*predicted, *truth}, key=lambda each: (len(each), each) if each.isdecimal() else (math.inf, each))
    places = {name: place for place, name in enumerate(names)}
    guesses, labels = (np.array([places[each] for each in column]) for column in (predicted, truth))
    right = np.bincount(labels[guesses == labels], minlength=len(names))
    f1 = 2 * right / (np.bincount(guesses, minlength=len(names)) + np.bincount(labels, minlength=len(names)))
    auc, shares = None, _numbers(probabilities)
    if shares is not None and len(names) == len(set(truth)) == 2 and (shares[0] >= 0.5).all():
        auc = roc(labels, np.where(guesses == 1, shares[0], 1 - shares[0]))[2]
    return dict(zip(CLASSES, (float((guesses == labels).mean()), float(f1.mean()), auc), strict=True))


_names.offer(globals())

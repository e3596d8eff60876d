"""Counterfactuals: the nearest rows of which a model says something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import as_number, check_count, shown

from .features import AT_ONCE, asked, background_of, generator_of
from .importance import feature_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

STARTS = 4000  # rows that the search begins with
FIRST, KEPT = 400, 48  # of them whose features are set back, and that are brought nearer
ROUNDS = 40
HALVINGS = 20
STEPS = (0.5, 0.25, 0.1, 0.02)  # shares of the way back to the row
APART = 0.2  # of its distance from x a row is away from the others
CHANGED = 0.1  # what a changed feature costs beside its distance, in scales


@dataclass(frozen=True)
class Counterfactuals:
    """Rows near `row` of which the model says the target, nearest first; none where none was found.

    rows: (found, features); outputs: what the model gives for them; distances: the sums of |change| / scale. nearest:
    the first of them, or where there is none the row whose output came nearest to the target.
    """

    row: Array
    rows: Array
    outputs: Array
    distances: NDArray[np.float64]
    nearest: Array
    feature_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def changes(self) -> list[dict[str, tuple[float, float]]]:
        """For each row the features that differ: from what, to what."""
        pairs = [zip(self.feature_names, self.row.tolist(), other.tolist(), strict=True) for other in self.rows]
        return [{name: (old, new) for name, old, new in each if old != new} for each in pairs]


def counterfactual(
    model: Any,
    x: Any,
    *,
    target: Any,
    background: Any = None,
    features: Sequence[Any] | None = None,
    ranges: Mapping[Any, tuple[float, float]] | None = None,
    integers: Sequence[Any] | None = None,
    count: int = 1,
    output: Any = None,
    random_state: int | None = None,
) -> Counterfactuals:
    """The nearest rows to x of which the model says `target`: what would have to be otherwise.

    Of random rows at the target feature after feature is set back to x's, the others are brought nearer, and at last
    set back where that can be; the distance is the sum of |change| / scale, and each changed feature costs 0.1 more.
    What it gives is checked by the model; that there is nothing nearer is not known.

    x: one row. target: a class, the number of a unit (or its name), 0 or 1 for one unit of probability; or (low, high)
    for the output of one unit. background: rows as x; a feature's scale is its median absolute deviation there, and it
    stays within what they have. ranges: (low, high) by feature, names or numbers; without background for each that may
    change, and the scale is a quarter of that. features: those that may change, by default all. integers: those that
    are whole numbers. count: how many, with different features changed as far as there are such. model, output: as in
    `exact_shapley`. ValueError where the model says the target of x already. Source: Wachter, Mittelstadt and Russell
    2017.
    """
    what = "counterfactual"
    given, number = asked(what, model, x, output), check_count(f"{what}: count", count)
    if len(given.rows) > 1 or given.rows[0].ndim != 2 or len(given.rows[0]) != 1:
        raise ValueError(f"{what} takes one flat row, (1, features), got {[rows.shape for rows in given.rows]}")
    row, names = given.rows[0][0], given.names
    known = None if background is None else background_of(what, model, background, given)[0]
    free = _numbers(what, features, names) if features is not None else list(range(len(row)))
    low, high, scale = _domain(what, row, names, known, ranges or {}, free)
    whole = np.isin(np.arange(len(row)), _numbers(what, integers or (), names))
    gap = _gap(what, target, given.outputs, given.answer([row[None]]))
    rng = generator_of(random_state)

    def fitting(rows: Array) -> Array:
        """Within what is allowed."""
        rows = np.clip(rows, low, high)
        rows[:, whole] = np.clip(np.rint(rows[:, whole]), np.ceil(low[whole]), np.floor(high[whole]))
        fixed = np.setdiff1d(np.arange(len(row)), free)
        rows[:, fixed] = row[fixed]
        return rows.astype(row.dtype)

    def far(rows: Array) -> NDArray[np.float64]:
        """How far each is from the target, 0 where it is there, below 0 beyond it."""
        parts = range(0, len(rows), AT_ONCE)
        found: NDArray[np.float64] = np.concatenate([gap(given.answer([rows[at : at + AT_ONCE]])) for at in parts])
        return found

    def costs(rows: Array) -> NDArray[np.float64]:
        moved = rows != row
        return np.asarray((np.abs(rows - row, dtype=np.float64) / scale + CHANGED * moved).sum(axis=-1))

    def sorted_rows(rows: Array) -> Array:
        rows = np.unique(rows, axis=0)
        ordered: Array = rows[np.argsort(costs(rows), kind="stable")]
        return ordered

    def best_of(rows: Array, tried: Array) -> Array:
        """Of each row and what is tried in its place, (rows, trials, features), the nearest that is at the target."""
        every = np.concatenate([rows[:, None], fitting(tried.reshape(-1, len(row))).reshape(tried.shape)], axis=1)
        made = every.reshape(-1, len(row))
        price = np.where(far(made) == 0, costs(made), np.inf).reshape(every.shape[:2])
        chosen: Array = every[np.arange(len(rows)), price.argmin(axis=1)]
        return chosen

    one_by_one = np.eye(len(row), dtype=row.dtype)[free]

    def without(rows: Array) -> Array:
        """As few changed features as may be: one after the other is set back."""
        for _ in range(len(free) if len(rows) else 0):
            rows = best_of(rows, rows[:, None] - one_by_one * (rows - row)[:, None])
        return rows

    if far(row[None])[0] == 0:
        raise ValueError(f"{what}: the model says {shown(target)} of x already")
    rows = fitting(_starts(row, low, high, scale, free, known, rng))
    gaps = far(rows)
    for width in (1.0, 0.3, 0.1, 0.03, 0.01):  # nearer to the target, as long as none is there
        if (gaps <= 0).any():
            break
        best = rows[np.argsort(gaps, kind="stable")[:KEPT]]
        near = np.repeat(best, 40, axis=0)
        rows = np.concatenate([best, fitting(near + width * (high - low) * rng.normal(size=near.shape))])
        gaps = far(rows)
    nearest = rows[np.argmin(np.abs(gaps))]
    rows = rows[gaps <= 0]
    # Where the way from x meets the target.
    before, behind = np.zeros((len(rows), 1)), np.ones((len(rows), 1))
    for _ in range(HALVINGS if len(rows) else 0):
        middle = (before + behind) / 2
        past = (far(fitting(row + middle * (rows - row))) <= 0)[:, None]
        before, behind = np.where(past, before, middle), np.where(past, middle, behind)
    rows = np.concatenate([rows, fitting(row + behind * (rows - row))]) if len(rows) else rows
    rows = rows[far(rows) == 0] if len(rows) else rows
    rows = sorted_rows(rows)
    rows = without(np.concatenate([_different(rows, row, FIRST), rows[:FIRST]]))
    rows = sorted_rows(rows)
    rows = np.concatenate([_different(rows, row, KEPT), rows[:KEPT]])
    for _ in range(ROUNDS if len(rows) else 0):
        tried = [rows[:, None] - share * one_by_one * (rows - row)[:, None] for share in STEPS]
        moved = rng.normal(size=(len(rows), 12, len(row))) * scale * rng.choice([1.0, 0.2, 0.04], (len(rows), 12, 1))
        some = (rows != row)[:, None] & (rng.random(moved.shape) < 0.5)
        tried.append(np.where(some, rows[:, None] + moved, rows[:, None]))
        rows = best_of(rows, np.concatenate(tried, axis=1))
    rows = without(rows)
    kept: list[Array] = []
    for each in _different(sorted_rows(rows), row, KEPT):
        own = np.abs(each - row, dtype=np.float64) / scale
        if len(kept) < number and all((np.abs(each - other) / scale).sum() > APART * own.sum() for other in kept):
            kept.append(each)
    rows = np.array(kept, row.dtype).reshape(-1, len(row))
    outputs = given.answer([rows]) if len(rows) else np.empty((0, 1))
    distances = (np.abs(rows - row, dtype=np.float64) / scale).sum(axis=1)
    first = rows[0] if len(rows) else nearest
    return Counterfactuals(row, rows, outputs[:, 0] if given.single else outputs, distances, first, names)


def _starts(
    row: Array, low: Array, high: Array, scale: Array, free: list[int], known: Array | None, rng: np.random.Generator
) -> Array:
    """Rows that the search begins with: rows of the background, and the row with some features changed."""
    count, wide = STARTS, len(row)
    along = np.repeat(row[None], 32 * len(free), axis=0)
    along[np.arange(len(along)), np.repeat(free, 32)] = np.concatenate(
        [np.linspace(low[each], high[each], 32) for each in free]
    )
    drawn = low + (high - low) * rng.random((count, wide))
    near = row + scale * rng.normal(size=(count, wide)) * rng.choice([0.3, 1.0, 3.0], (count, 1))
    chosen = rng.random((count, wide)) < rng.random((count, 1))
    made = np.where(chosen, np.where(rng.random((count, 1)) < 0.5, drawn, near), row)
    return np.concatenate([along, made, *([] if known is None else [known[:STARTS]])])


def _different(rows: Array, row: Array, count: int) -> Array:
    """Of rows that change the same features the first; so many."""
    first: NDArray[np.intp] = np.unique(rows != row, axis=0, return_index=True)[1].astype(np.intp)
    found: Array = rows[np.sort(first)[:count]]
    return found


def _numbers(what: str, features: Any, names: Sequence[str]) -> list[int]:
    if isinstance(features, str):
        features = [features]
    return [feature_number(what, each, names) for each in features]


def _domain(
    what: str, row: Array, names: Sequence[str], known: Array | None, ranges: Mapping[Any, Any], free: list[int]
) -> tuple[Array, Array, Array]:
    """From where to where each feature may go, and its scale."""
    if not free:
        raise ValueError(f"{what}: features must be at least one that may change")
    low, high, scale = (np.array(row, np.float64) for _ in range(3))
    scale[:] = 0
    if known is not None:
        low, high = np.minimum(low, known.min(axis=0)), np.maximum(high, known.max(axis=0))
        middle = np.median(known, axis=0)
        scale = np.median(np.abs(known - middle), axis=0).astype(np.float64)
        scale = np.where(scale > 0, scale, known.std(axis=0))
    asked_for = [feature_number(f"{what}: ranges", each, names) for each in ranges]
    for feature, ends in zip(asked_for, ranges.values(), strict=True):
        if not isinstance(ends, (tuple, list)) or len(ends) != 2:
            raise ValueError(f"{what}: ranges are (low, high) by feature, got {shown(ends)} for {names[feature]!r}")
        low[feature], high[feature] = (as_number(f"{what}: ranges of {names[feature]!r}", end) for end in ends)
        if not low[feature] <= high[feature] < np.inf:
            raise ValueError(f"{what}: ranges are (low, high) by feature, got {shown(ends)} for {names[feature]!r}")
    if known is None and (lacking := [names[each] for each in free if each not in asked_for]):
        raise ValueError(f"{what}: give background=, rows as x, or ranges= for {', '.join(map(repr, lacking[:10]))}")
    scale = np.where(scale > 0, scale, (high - low) / 4)
    return low, high, np.where(scale > 0, scale, 1.0)


def _gap(what: str, target: Any, outputs: Sequence[str], said: Array) -> Callable[[Array], NDArray[np.float64]]:
    """How far outputs (rows, units) are from the target: 0 there, below 0 on the other side of it than `said`."""
    units = said.shape[1]
    if isinstance(target, (tuple, list)):
        if len(target) != 2 or units != 1:
            raise ValueError(
                f"{what}: target=(low, high) is of one unit; choose one of {', '.join(outputs)} by output="
                if units > 1
                else f"{what}: target must be a class or (low, high), got {shown(target)}"
            )
        low, high = (as_number(f"{what}: target", end) for end in target)
        if not low <= high:
            raise ValueError(f"{what}: target must be (low, high), got {shown(target)}")
        if said[0, 0] > high:
            return lambda found: np.maximum(found[:, 0] - high, 0) + np.minimum(found[:, 0] - low, 0)
        return lambda found: np.maximum(low - found[:, 0], 0) + np.minimum(high - found[:, 0], 0)
    classes = list(outputs) if units > 1 else ["0", "1"]
    if isinstance(target, str) and target in classes:
        target = classes.index(target)
    if isinstance(target, str) or not 0 <= check_count(f"{what}: target", target, 0) < len(classes):
        raise ValueError(f"{what}: there is no class {shown(target)}; there are {', '.join(classes)}")
    if units == 1:
        if not 0 <= said[0, 0] <= 1:
            raise ValueError(f"{what}: the model gives {said[0, 0]:g}, no probability; give target=(low, high)")
        # At exactly 0.5 the class is 0.
        return lambda found: np.where((found[:, 0] > 0.5) == bool(target), 0, np.abs(found[:, 0] - 0.5) + 1e-9)

    def gap(found: Array) -> NDArray[np.float64]:
        best = found.max(axis=1)
        return np.where(found.argmax(axis=1) == target, 0, best - found[:, target] + 1e-9)

    return gap

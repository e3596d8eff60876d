"""Explanations by gradients: what each number of a row adds, from the slopes on a way to it.

Where a model looks up ids (Embedding), the way goes through what is looked up, and an id's value is the sum over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import random
from fastnn._checks import as_number, check_count, shown
from fastnn.explain.given import names_of, output_of, rows_of
from fastnn.explain.result import Explanation
from fastnn.models.slopes import Slopes

if TYPE_CHECKING:
    from fastnn.typing import Array, DoubleArray, FloatArray

TURN = (5**0.5 - 1) / 2  # of the golden ratio, whose multiples spread most evenly from 0 to 1


class Found(NamedTuple):
    """Of some flat rows: values (rows, width), base values (rows,), standard errors as values or None."""

    values: DoubleArray
    base: DoubleArray
    std: DoubleArray | None = None


Work = Callable[["FloatArray", slice], Found]  # of some rows as they lie flat, and which of all they are


def integrated_gradients(
    model: Any, x: Any, *, baseline: Any = None, output: Any = None, steps: int = 64
) -> Explanation:
    """(x - baseline) * the mean slope on the straight way from the baseline to x.

    The values of a row sum to f(x) - f(baseline), but for the error of the integral, of Gauss and Legendre with so
    many `steps`. baseline: None for zeros (of what is looked up for ids, too), one row, or a row for each of x's, as x
    is given. output: as in ``Model.input_gradient``; a model of one output with several units has values for all of
    them where it is None. base_values: f(baseline).

    ValueError, TypeError, FloatingPointError as ``Model.input_gradient``. Source: Sundararajan, Taly and Yan 2017.
    """
    what = "integrated_gradients"
    nodes, weights = np.polynomial.legendre.leggauss(check_count(f"{what}: steps", steps, most=1024))
    nodes, weights = (nodes + 1) / 2, weights / 2
    rows = rows_of(model, x, what)
    start = None if baseline is None else _baseline_of(model, baseline, rows, what)

    def begin(slopes: Slopes) -> Work:
        given = np.zeros((1, slopes.width), np.float32) if start is None else slopes.flat(start)

        def work(flat: FloatArray, part: slice) -> Found:
            base = np.where(slopes.free, given if len(given) == 1 else given[part], flat)
            way, total = flat - base, np.zeros(flat.shape)
            for some in _groups(len(nodes), slopes, flat):
                ends = (base + nodes[some, None, None].astype(np.float32) * way).reshape(-1, slopes.width)
                total += np.tensordot(weights[some], slopes(ends).reshape(-1, *flat.shape), 1)
            return Found(way * total, slopes.values(base))

        return work

    return _explained(model, x, rows, output, what, "integrated gradients", begin)


def expected_gradients(
    model: Any,
    x: Any,
    background: Any,
    *,
    output: Any = None,
    samples: int = 100,
    random_state: int | None = None,
) -> Explanation:
    """The mean of (x - b) * slope over rows b of the background, each at a place on the straight way from b to x.

    Integrated gradients from many baselines at once, an approximation of Shapley values (shap's GradientSHAP). The
    values of a row sum to f(x) - the mean of f(b), but for chance. background: rows as x is given, of which a hundred
    do. samples: pairs of a place and a b for each row, spread evenly over both: a golden ratio's lattice, turned by
    chance. random_state: what they hang on, None for ``set_random_seed``. base_values: the mean of f(b). std: as of
    samples without that order, so rather too large.

    ValueError, TypeError, FloatingPointError as ``Model.input_gradient``. Source: Erion et al. 2021; Lundberg and Lee
    2017.
    """
    what = "expected_gradients"
    count = check_count(f"{what}: samples", samples, 2)
    rows, known, rng = rows_of(model, x, what), rows_of(model, background, f"{what}: background"), _rng(random_state)
    turns = rng.random((2, len(rows[0])))

    def begin(slopes: Slopes) -> Work:
        given = slopes.flat(known)
        outputs = slopes.values(given)
        given, base = given[np.argsort(outputs, kind="stable")], outputs.mean()  # so that neighbours are alike

        def samples_of(flat: FloatArray, part: slice, some: slice) -> DoubleArray:
            numbers = np.arange(count)[some, None]
            places = (numbers + turns[0, part]) / count
            which = ((numbers * TURN + turns[1, part]) % 1 * len(given)).astype(np.intp)
            way = np.where(slopes.free, flat - given[which], np.float32(0))
            ends = flat - way * (1 - places[..., None]).astype(np.float32)
            return way * np.float64(slopes(ends.reshape(-1, slopes.width)).reshape(ends.shape))

        def work(flat: FloatArray, part: slice) -> Found:
            mean, std = _mean_of(count, slopes, flat, lambda some: samples_of(flat, part, some))
            return Found(mean, np.full(len(flat), base), std)

        return work

    return _explained(model, x, rows, output, what, "expected gradients", begin)


def input_x_gradient(model: Any, x: Any, *, output: Any = None) -> Explanation:
    """x * the slope at x. For a linear output the exact share of each number; else a first look.

    output: as in `integrated_gradients`. base_values: f(zeros). ValueError, TypeError, FloatingPointError as
    ``Model.input_gradient``. Source: Shrikumar et al. 2016.
    """

    def begin(slopes: Slopes) -> Work:
        return lambda flat, _: Found(flat * np.float64(slopes(flat)), slopes.values(np.where(slopes.free, 0, flat)))

    what = "input_x_gradient"
    return _explained(model, x, rows_of(model, x, what), output, what, "input x gradient", begin)


def smooth_grad(
    model: Any,
    x: Any,
    *,
    output: Any = None,
    noise: float = 0.1,
    samples: int = 50,
    random_state: int | None = None,
) -> Explanation:
    """x * the mean slope around x, at x + normal noise: less restless than the slope at x alone.

    The paper's own map is this mean slope, without the x. noise: the standard deviation, as a share of the range of
    the numbers of the row in each input, so bring the columns of a table to one scale. samples, random_state: how many,
    and what they hang on. output, base_values: as in `input_x_gradient`. std: the standard errors.

    ValueError, TypeError, FloatingPointError as ``Model.input_gradient``. Source: Smilkov et al. 2017.
    """
    what = "smooth_grad"
    count, share = check_count(f"{what}: samples", samples, 2), as_number(f"{what}: noise", noise)
    if not 0 <= share < np.inf:
        raise ValueError(f"{what}: noise must be at least 0 and finite, got {shown(noise)}")
    seed = int(_rng(random_state).integers(2**63))

    def begin(slopes: Slopes) -> Work:
        def work(flat: FloatArray, part: slice) -> Found:
            own = np.random.default_rng([seed, part.start])  # the same for each output
            spread = np.zeros(flat.shape, np.float32)
            for columns in slopes.taps:
                spread[:, columns] = share * np.ptp(flat[:, columns], axis=1, keepdims=True)

            def samples_of(some: slice) -> DoubleArray:
                drawn = own.standard_normal((some.stop - some.start, *flat.shape), np.float32)
                return flat * np.float64(slopes((flat + drawn * spread).reshape(-1, slopes.width)).reshape(drawn.shape))

            mean, std = _mean_of(count, slopes, flat, samples_of)
            return Found(mean, slopes.values(np.where(slopes.free, 0, flat)), std)

        return work

    return _explained(model, x, rows_of(model, x, what), output, what, "SmoothGrad x input", begin)


def _explained(
    model: Any,
    x: Any,
    rows: list[Array],
    output: Any,
    what: str,
    method: str,
    begin: Callable[[Slopes], Work],
) -> Explanation:
    """What a unit's work finds, for each unit that is asked for, some rows at a time."""
    chosen, units = output_of(model, output, what), list[Any]()
    for column in range(chosen.start, chosen.start + chosen.width):
        slopes, found = Slopes(model.description, column, what), []
        work = begin(slopes)
        for start in range(0, len(rows[0]), slopes.rows):
            part = slice(start, min(start + slopes.rows, len(rows[0])))
            found.append(work(slopes.flat([each[part] for each in rows]), part))
        units.append([None if each[0] is None else np.concatenate(each) for each in zip(*found, strict=True)])
    values, base, std = zip(*units, strict=True)

    def folded(flat: Any) -> Any:
        parts = zip(*(slopes.folded(each) for each in flat), strict=True)
        listed = [np.stack(part, axis=-1) if chosen.names else part[0] for part in parts]
        return listed if len(rows) > 1 else listed[0]

    return Explanation(
        folded(values),
        np.stack(base, axis=-1) if chosen.names else base[0],
        rows if len(rows) > 1 else rows[0],
        feature_names=names_of(model, x, rows),
        output_names=chosen.names,
        method=method,
        std=None if std[0] is None else folded(std),
    )


def _groups(count: int, slopes: Slopes, flat: FloatArray) -> Iterator[slice]:
    """So many points of each row cut into groups, as many at once as rows go together."""
    size = max(1, slopes.rows // len(flat))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _baseline_of(model: Any, baseline: Any, rows: list[Array], what: str) -> list[Array]:
    """The baseline as rows of each input: one, or as many as there are."""
    takes, what = model.description.takes, f"{what}: baseline"
    pairs = zip(takes.unpack(baseline, what), rows, strict=True)
    given = [np.asarray(each)[None] if np.ndim(each) == row.ndim - 1 else each for each, row in pairs]
    found = rows_of(model, takes.pack(given), what)
    if len(found[0]) not in (1, len(rows[0])):
        raise ValueError(f"{what} must be one row, or {len(rows[0])} as x has, got {len(found[0])}")
    return found


def _rng(random_state: int | None) -> np.random.Generator:
    if random_state is None:
        return random.generator()
    return np.random.default_rng(check_count("random_state", random_state, 0))


def _mean_of(
    count: int, slopes: Slopes, flat: FloatArray, samples_of: Callable[[slice], DoubleArray]
) -> tuple[DoubleArray, DoubleArray]:
    """The mean of so many samples of some rows, and its standard error."""
    total, squares = np.zeros(flat.shape), np.zeros(flat.shape)
    for some in _groups(count, slopes, flat):
        each = samples_of(some)
        total += each.sum(axis=0)
        squares += (each**2).sum(axis=0)
    variance = np.maximum(squares - total**2 / count, 0) / (count - 1)
    return total / count, np.sqrt(variance / count)

"""How a score hangs on rows, settings and features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn.plot.style import COLOURS, canvas, canvases, label, legend, line, numbers


def learning_curve(curve: Any, *, score: str = "loss", ax: Any = None) -> Any:
    """Scores over the number of rows learnt from: mean and standard deviation over the folds; gives the Axes.

    curve: (sizes, train_scores, test_scores), as ``fastnn.model_selection.learning_curve`` and scikit-learn's give
    them, scores (sizes, folds). score: what they are. Where both lines meet more rows are of no use; where they are far
    apart more rows are.
    """
    sizes, train, test = _parts("learning_curve", curve, ("sizes", "train_scores", "test_scores"))
    sizes = numbers("sizes", sizes, 1)
    found = _scores(train, test, len(sizes))
    with canvas(ax) as ax:
        _bands(ax, sizes, found)
        _scaled(ax, sizes)
        label(ax, "learning curve", "rows learnt from", score.replace("_", " "))
        legend(ax)
    return ax


def validation_curve(
    curve: Any, param_range: Sequence[Any], *, param_name: str = "setting", score: str = "loss", ax: Any = None
) -> Any:
    """Scores over the values of one setting: mean and standard deviation over the folds; gives the Axes.

    curve: (train_scores, test_scores), as ``fastnn.model_selection.validation_curve`` and scikit-learn's give them,
    scores (values, folds). param_range, param_name: as they were given to it. score: what they are.
    """
    train, test = _parts("validation_curve", curve, ("train_scores", "test_scores"))
    sizes, ticks = _places(_listed("param_range", param_range))
    found = _scores(train, test, len(sizes))
    with canvas(ax) as ax:
        _bands(ax, sizes, found)
        if ticks:
            ax.set_xticks(sizes, ticks)
        else:
            _scaled(ax, sizes)
        label(ax, "validation curve", param_name.replace("_", " "), score.replace("_", " "))
        legend(ax)
    return ax


def partial_dependence(
    grid: Any, average: Any = None, individual: Any = None, *, feature: str = "", ax: Any = None
) -> Any:
    """What a model predicts on average over the values of one feature, and for single rows (ICE); gives the Axes.

    grid: (values,), numbers or texts. average: (values,), by default the mean of the rows'. individual: (rows, values).
    Source: Friedman 2001; Goldstein et al. 2015.
    """
    if average is None and individual is None:
        raise ValueError("partial_dependence: pass average, individual, or both")
    places, ticks = _places(_listed("grid", grid))
    lines = None if individual is None else numbers("individual", individual, 2)
    if lines is not None and lines.shape[1] != len(places):
        raise ValueError(f"individual must be (rows, {len(places)}), a value for each of grid, got {lines.shape}")
    mean = lines.mean(0) if average is None and lines is not None else numbers("average", average, 1, len(places))
    with canvas(ax) as ax:
        if lines is not None:
            alpha = float(np.clip(10 / len(lines), 0.03, 0.5))
            ax.plot(places, lines.T, color=COLOURS[4], alpha=alpha, linewidth=0.6)
            ax.lines[-1].set_label("single rows")
        ax.plot(places, mean, color=COLOURS[0], linewidth=2, label="average")
        if ticks:
            ax.set_xticks(places, ticks)
        label(ax, "partial dependence", feature or "feature", "prediction")
        if lines is not None:
            legend(ax)
            ax.get_legend().legend_handles[0].set_alpha(1)
    return ax


def search_results(search: Any, *, ax: Any = None) -> Any:
    """The mean score of each candidate over each setting, and its standard deviation; gives an array of Axes.

    search: what ``fastnn.model_selection.search`` gives; the best is marked. TypeError for another object.
    """
    results = getattr(search, "cv_results_", None)
    scoring = getattr(search, "scoring", None)
    if not isinstance(results, dict) or not isinstance(scoring, str):
        raise TypeError(f"search_results: expected what fastnn.model_selection.search gives, got {shown(search)}")
    names = [name for name in results if name.startswith("param_")]
    means, spread = np.asarray(results[f"mean_test_{scoring}"]), np.asarray(results[f"std_test_{scoring}"])
    best = int(search.best_index_)
    with canvases(ax, len(names), 2, 50) as drawn:
        for one, name in zip(drawn, names, strict=True):
            values = list(results[name])
            known = sorted(dict.fromkeys(values), key=lambda value: (isinstance(value, str), value))
            places, ticks = _places(known)
            at = np.array([places[known.index(value)] for value in values])
            one.errorbar(at, means, spread, fmt="o", color=COLOURS[0], alpha=0.6, elinewidth=0.6, markersize=3)
            one.plot(at[best], means[best], "o", color=COLOURS[1], markersize=5, label="best", zorder=3)
            if ticks:
                one.set_xticks(places, ticks)
                one.margins(x=0.25)
            else:
                _scaled(one, places)
            best_of = values[best] if ticks else f"{values[best]:.4g}"
            label(one, f"best: {best_of}", name.removeprefix("param_").replace("_", " "), scoring.replace("_", " "), 3)
    return drawn


def _parts(what: str, curve: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    found = tuple(curve) if isinstance(curve, (tuple, list)) else ()
    if len(found) != len(names):
        raise TypeError(f"{what}: expected ({', '.join(names)}), as model_selection.{what} gives, got {shown(curve)}")
    return found


def _listed(name: str, given: Any) -> list[Any]:
    try:
        return list(given)
    except (TypeError, NotImplementedError):  # the second of a memoryview of several axes
        raise TypeError(f"{name} must be a list of values, got {shown(given)}") from None


def _places(values: list[Any]) -> tuple[Any, list[str]]:
    """(Where values stand along an axis, their texts where they are no numbers)."""
    if all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values):
        return numbers("the values of a setting", values, 1), []
    return np.arange(len(values), dtype=np.float64), [str(value) for value in values]


def _scores(train: Any, test: Any, rows: int) -> dict[str, Any]:
    pairs = {"training": train, "validation": test}
    return {name: numbers(f"the scores of {name}", given, 2, rows, nan=True) for name, given in pairs.items()}


def _bands(ax: Any, x: Any, found: dict[str, Any]) -> None:
    for place, (name, scores) in enumerate(found.items()):
        known = np.ma.masked_invalid(scores)  # without folds whose fit diverged
        mean, spread = known.mean(axis=1), known.std(axis=1)
        ax.plot(x, mean, marker="o", label=name, **line(place))
        ax.fill_between(x, mean - spread, mean + spread, color=COLOURS[place], alpha=0.2, linewidth=0)


def _scaled(ax: Any, x: Any) -> None:
    """Logarithms where the largest gap is over 5 times the smallest, as scikit-learn has it."""
    gaps = np.diff(np.unique(x))
    if len(gaps) > 1 and x.min() > 0 and gaps.max() > 5 * gaps.min():
        ax.set_xscale("log")

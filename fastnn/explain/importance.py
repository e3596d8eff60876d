"""What a feature matters to all rows: how much worse the model is without it, and what it gives along its values."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, shown
from fastnn.models import Model

from .drawing import LESS, axes_of
from .features import AT_ONCE, Groups, asked, generator_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

CURVES = 100  # of single rows in one picture


class Importances(NamedTuple):
    """How much worse a model is when a feature's values are shuffled; (features,), and (features, repeats)."""

    importances_mean: Doubles
    importances_std: Doubles
    importances: Doubles
    feature_names: tuple[str, ...]

    def plot(self, ax: Any = None, top: int = 15) -> Any:
        """Bars of the `top` largest, with their standard deviations; gives the Axes. ImportError without matplotlib."""
        axes = axes_of(ax)
        order = np.argsort(self.importances_mean)[-check_count("top", top) :]
        names = [self.feature_names[i] for i in order]
        axes.barh(names, self.importances_mean[order], xerr=self.importances_std[order], color=LESS)
        axes.set(
            xlabel="worse when shuffled",
        )
        axes.set_title("Permutation importance", fontsize=10)
        return axes


def permutation_importance(
    model: Any,
    x: Any,
    y: Any,
    *,
    metric: Callable[[Any, Any], float] | None = None,
    repeats: int = 5,
    patch: Any = None,
    groups: Any = None,
    random_state: int | None = None,
) -> Importances:
    """The loss with a feature's values shuffled among the rows, minus the loss with them as they are.

    model: compiled, or with `metric` any function of an array of rows. metric: a function of (y, predictions), of which
    more is better, as scikit-learn's `r2_score` and `accuracy_score`; then it is the metric as it is minus that with
    the feature shuffled. A feature is a number of a flat row, a step of a sequence, a patch of a picture; patch,
    groups: as in `exact_shapley`. repeats: shuffles of each. Features that say the same have each the less. ValueError
    for one row, RuntimeError where the model was not compiled. Source: Breiman 2001; Fisher, Rudin and Dominici 2019.
    """
    what = "permutation_importance"
    if metric is not None and not callable(metric):
        raise TypeError(f"{what}: metric must be a function of (y, predictions), got {shown(metric)}")
    given = asked(what, model, x, model.output_names[0] if isinstance(model, Model) and model.built else None)
    total, number, rng = len(given.rows[0]), check_count(f"{what}: repeats", repeats), generator_of(random_state)
    if total < 2:
        raise ValueError(f"{what}: one row cannot be shuffled; give some hundred that the model has not learnt from")

    if metric is None:
        if not isinstance(model, Model) or not model.compiled:
            raise RuntimeError(f"{what}: without metric= the model's loss is taken; call compile first, or pass metric")
        pack = model.description.takes.pack

        def badness(rows: Sequence[Any]) -> float:
            return float(model.evaluate(pack(rows), y, batch_size=AT_ONCE, verbose=0, return_dict=True)["loss"])
    else:

        def badness(rows: Sequence[Any]) -> float:
            if isinstance(model, Model):
                return -float(metric(y, model.predict(model.description.takes.pack(rows))))
            return -float(metric(y, model(rows[0])))

    groups, base = Groups(what, given, patch, groups), badness(given.rows)
    found = np.empty((groups.count, number))
    for feature, repeat in product(range(groups.count), range(number)):
        place, kept = groups.numbers(feature)
        rows = list(given.rows)
        rows[place] = np.where(kept, rows[place][rng.permutation(total)], rows[place])
        found[feature, repeat] = badness(rows) - base
    return Importances(found.mean(axis=1), found.std(axis=1), found, groups.names)


class PartialDependence(NamedTuple):
    """What a model gives along the values of one feature, or of two.

    grid_values: the values of each feature. average: (outputs, values) or (outputs, values, values), None for
    "individual"; individual: (outputs, rows, values, ...), None for "average".
    """

    grid_values: tuple[Any, ...]
    average: Doubles | None
    individual: Doubles | None
    feature_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def plot(self, ax: Any = None, output: int = 0) -> Any:
        """A curve, bars for categories, or a map for two features; gives the Axes. ImportError without matplotlib."""
        axes, (values, *others) = axes_of(ax), self.grid_values
        axes.set_xlabel(self.feature_names[0])
        named = self.output_names[output] if self.output_names else "output"
        if others:
            if self.average is None:
                raise ValueError('a map of two features is of their average; say kind="average" or kind="both"')
            ends = [_numbered(axis, each) for axis, each in ((axes.xaxis, values), (axes.yaxis, others[0]))]
            drawn = axes.pcolormesh(*ends, self.average[output].T, cmap="cividis", shading="nearest")
            axes.figure.colorbar(drawn, ax=axes, label=f"average {named}")
            axes.set_ylabel(self.feature_names[1])
            return axes
        ends = _numbered(axes.xaxis, values)
        if self.individual is not None:
            curves = self.individual[output][:: -(-len(self.individual[output]) // CURVES)]
            axes.plot(
                ends, curves.T, color="0.6", linewidth=0.5, alpha=0.5, label=["a row"] + [None] * (len(curves) - 1)
            )
        if self.average is not None:
            if np.asarray(values).dtype.kind in "OUS":
                axes.bar(ends, self.average[output], color=LESS)
            else:
                axes.plot(ends, self.average[output], color=LESS, linewidth=2, label="average")
        axes.set_ylabel(f"average {named}" if self.individual is None else named)
        axes.set_title(f"Partial dependence on {self.feature_names[0]}", fontsize=10)
        if self.average is not None and self.individual is not None:
            axes.legend()
        return axes


def partial_dependence(
    model: Any,
    x: Any,
    features: Any,
    *,
    kind: Literal["average", "individual", "both"] = "average",
    grid: Any = 100,
    output: Any = None,
) -> PartialDependence:
    """The mean over rows of the output when a feature has a given value in all of them, along its values.

    model, output: as in `exact_shapley`. features: a feature's name or number, or two of them; of a model of several
    inputs the name of an input of one number, or "input[3]". kind: "individual" for a curve for each row (ICE).
    grid: at most how many values, from the 5th percentile of `x` to the 95th, all that there are where they are fewer,
    and all categories; or the values themselves, of two features two lists. Where features hang together it asks the
    model of rows that do not exist. Sources: Friedman 2001; Goldstein et al. 2015.
    """
    what = "partial_dependence"
    if kind not in ("average", "individual", "both"):
        raise ValueError(f"{what}: kind must be 'average', 'individual' or 'both', got {shown(kind)}")
    given = asked(what, model, x, output)
    if any(rows.ndim != 2 for rows in given.rows):
        raise ValueError(f"{what} takes flat rows, (rows, features), got {[rows.shape for rows in given.rows]}")
    groups = Groups(what, given)
    chosen = list(features) if isinstance(features, (list, tuple)) else [features]
    if len(chosen) not in (1, 2):
        raise ValueError(f"{what}: features must be one feature or two, got {shown(features)}")
    numbers = [feature_number(what, each, groups.names) for each in chosen]
    places = [groups.numbers(number) for number in numbers]
    columns = [given.rows[place][:, kept][:, 0] for place, kept in places]
    lists = _grids(what, grid, columns)
    rows, combined = len(columns[0]), list(product(*lists))
    at_once, parts = max(1, AT_ONCE // rows), []
    for start in range(0, len(combined), at_once):
        these = combined[start : start + at_once]
        made = [np.concatenate([each] * len(these)) for each in given.rows]
        for which, (place, kept) in enumerate(places):
            made[place][:, kept] = np.repeat([each[which] for each in these], rows)[:, None]
        parts.append(given.answer(made).reshape(len(these), rows, -1))
    found = np.concatenate(parts).transpose(2, 1, 0)
    found = found.reshape(*found.shape[:2], *map(len, lists))
    return PartialDependence(
        tuple(lists),
        None if kind == "individual" else found.mean(axis=1),
        None if kind == "average" else found,
        tuple(groups.names[number] for number in numbers),
        given.outputs,
    )


def feature_number(what: str, feature: Any, names: Sequence[str]) -> int:
    """The number of a feature that is named, or of a number. ValueError for an unknown one."""
    if isinstance(feature, str):
        if feature not in names:
            few = ", ".join(names[:20])
            raise ValueError(f"{what}: there is no feature {feature!r}{_names.hint(feature, names)}; there are {few}")
        return list(names).index(feature)
    number = check_count(f"{what}: a feature", feature, 0)
    if number >= len(names):
        raise ValueError(f"{what}: there is no feature {number}; there are {len(names)}, counted from 0")
    return number


def _grids(what: str, grid: Any, columns: Sequence[Any]) -> list[Any]:
    """The values of each feature."""
    if not isinstance(grid, (list, tuple, np.ndarray)):
        most = check_count(f"{what}: grid", grid, 2)
        found = []
        for column in columns:
            values = np.unique(column)
            if values.dtype.kind == "f" and len(values) > most:
                low, high = np.quantile(column, [0.05, 0.95])
                values = np.linspace(low, high, most)
            found.append(values)
    else:
        found = [np.asarray(each) for each in (grid if len(columns) == 2 else [grid])]
    if len(found) != len(columns) or any(each.ndim != 1 or not len(each) for each in found):
        raise ValueError(f"{what}: grid must be a number or values, of two features two lists, got {shown(grid)}")
    return found


def _numbered(axis: Any, values: Any) -> Any:
    """Where values stand along an axis, on which categories are written."""
    values = np.asarray(values)
    if values.dtype.kind not in "OUS":
        return values
    axis.set_ticks(range(len(values)), [str(each) for each in values])
    return np.arange(len(values))

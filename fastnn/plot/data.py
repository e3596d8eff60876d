"""Numbers against numbers: predictions and their errors, columns, vectors in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown
from fastnn.plot.style import (
    COLOURS,
    MARKERS,
    QUIET,
    around_zero,
    canvas,
    classes,
    colours,
    label,
    legend,
    numbers,
    texts,
    upright,
)

if TYPE_CHECKING:
    from fastnn.plot.style import Doubles

_NAMED = len(COLOURS) * 2  # classes that colours and markers tell apart
_WRITTEN = 8  # columns, of which each cell has its number


def predicted_against_true(y_true: Any, y_pred: Any, *, name: str = "value", unit: str = "", ax: Any = None) -> Any:
    """Each row's prediction over its true value; gives the Axes. On the line a prediction is right.

    y_true, y_pred: (rows,) or (rows, 1). name, unit: of what is predicted, such as "weight", "kg". Its R^2 = 1 - sum of
    squared errors / that of the mean, and its mean absolute error stand above. ValueError for what is not finite, and
    for lengths that differ.
    """
    truth, guess = _pair(y_true, y_pred)
    errors, spread = truth - guess, ((truth - truth.mean()) ** 2).sum()
    figure = f"R² {1 - (errors**2).sum() / spread:.3f}, " if spread else ""  # a single value has none
    low, high = min(truth.min(), guess.min()), max(truth.max(), guess.max())
    margin = 0.04 * (high - low) or 0.5
    with canvas(ax, 70) as ax:
        ax.plot([low, high], [low, high], color=QUIET, linewidth=0.8, zorder=0)
        _points(ax, truth, guess)
        ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
        title = f"{figure}off by {np.abs(errors).mean():.3g}{f' {unit}' * bool(unit)} on average"
        label(ax, title, _of("true", name, unit), _of("predicted", name, unit))
    return ax


def residuals(y_true: Any, y_pred: Any, *, name: str = "value", unit: str = "", ax: Any = None) -> Any:
    """Each row's error, true - predicted, over its prediction; gives the Axes.

    Their mean and standard deviation stand above. A curve or a fan in them is something that the model has not learnt.
    Arguments as for ``predicted_against_true``.
    """
    truth, guess = _pair(y_true, y_pred)
    with canvas(ax) as ax:
        ax.axhline(0, color=QUIET, linewidth=0.8, zorder=0)
        _points(ax, guess, truth - guess)
        title = f"residuals: {(truth - guess).mean():.2g} ± {(truth - guess).std():.2g}" + f" {unit}" * bool(unit)
        label(ax, title, _of("predicted", name, unit), "true - predicted" + f" ({unit})" * bool(unit))
    return ax


def correlation(x: Any, *, names: Sequence[Any] | None = None, ax: Any = None) -> Any:
    """Pearson's correlation of each pair of columns, -1 to 1, as a heat map; gives the Axes.

    x: (rows, columns), or a data frame, of which columns of numbers count. NaN: a pair's rows with both are taken, as
    pandas does. A column that does not change is grey. ValueError for fewer than two rows or columns.
    """
    if hasattr(x, "select_dtypes"):
        x = x.select_dtypes("number")
    names = list(x.columns) if names is None and hasattr(x, "columns") else names
    table = numbers("x", x, 2, nan=True)
    count = table.shape[1]
    if min(table.shape) < 2:
        raise ValueError(f"correlation: x must have two rows and two columns at least, got the shape {table.shape}")
    told = texts("names", range(count) if names is None else names, count)
    with canvas(ax, 68) as ax:
        found = _correlations(table)
        image = ax.imshow(np.ma.masked_invalid(found), cmap=around_zero(), vmin=-1, vmax=1)
        if count <= _WRITTEN:
            for (row, column), value in np.ndenumerate(found):
                text = f"{value:.2f}".replace("0.", ".") if np.isfinite(value) else ""
                ax.text(column, row, text, ha="center", va="center", size="x-small", color="black")
        _named(ax, told)
        ax.set_title("correlation of columns")
        colours(ax, image, "Pearson's r")
    return ax


def embedding(
    vectors: Any,
    labels: Any = None,
    *,
    method: str = "pca",
    names: Sequence[Any] | None = None,
    random_state: int | None = None,
    ax: Any = None,
) -> Any:
    """Vectors as points in two dimensions; gives the Axes.

    vectors: (rows, columns). labels: a class for each row, or a number, which is a colour then. method: "pca", the two
    directions of the largest variance, by the singular values of the centred vectors, each turned so that its largest
    weight is positive; "tsne", scikit-learn's t-SNE, whose distances far apart mean nothing. names: of the classes.
    random_state: t-SNE's. Source: Pearson 1901; van der Maaten and Hinton 2008.
    """
    table = numbers("vectors", vectors, 2)
    if min(table.shape) < 2:
        raise ValueError(f"embedding: vectors must have two rows and two columns at least, got {table.shape}")
    if method not in ("pca", "tsne"):
        raise ValueError(f"embedding: method must be 'pca' or 'tsne', got {shown(method)}")
    if method == "pca":
        points, shares = _principal(table)
        axes = [f"component {place + 1} ({share:.0%} of variance)" for place, share in enumerate(shares)]
    else:
        points, axes = _tsne(table, random_state), ["t-SNE 1", "t-SNE 2"]
    groups, values = _grouped(labels, names, len(table))
    with canvas(ax, 70) as ax:
        if values is not None:
            colours(ax, ax.scatter(*points.T, s=6, c=values, cmap="viridis", linewidths=0), "label")
        for place, (name, rows) in enumerate(groups):
            style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place // len(COLOURS)]}
            ax.scatter(*points[rows].T, s=7, alpha=0.8, linewidths=0, label=name, **style)
        label(ax, {"pca": "principal components", "tsne": "t-SNE"}[method], axes[0], axes[1])
        legend(ax, "beside")
    return ax


def _pair(y_true: Any, y_pred: Any) -> tuple[Doubles, Doubles]:
    truth = numbers("y_true", y_true, 1)
    return truth, numbers("y_pred", y_pred, 1, len(truth))


def _points(ax: Any, x: Doubles, y: Doubles) -> None:
    alpha = float(np.clip(400 / len(x), 0.1, 0.7))
    ax.scatter(x, y, s=8, alpha=alpha, color=COLOURS[0], linewidths=0, rasterized=len(x) > 5000)


def _of(which: str, name: str, unit: str) -> str:
    return f"{which} {name}" + f" ({unit})" * bool(unit)


def _correlations(table: Doubles) -> Doubles:
    """(columns, columns); NaN where there is none."""
    there = np.isfinite(table).astype(np.float64)
    filled = np.where(there > 0, table, 0.0)
    filled -= filled.sum(0) / np.maximum(there.sum(0), 1) * there  # else large means swallow what is left
    rows, sums = there.T @ there, filled.T @ there  # of column i where j is there too
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (filled**2).T @ there - sums**2 / rows
        squares[squares <= 1e-12 * ((filled**2).T @ there)] = np.nan
        return np.clip((filled.T @ filled - sums * sums.T / rows) / np.sqrt(squares * squares.T), -1, 1)


def _named(ax: Any, told: list[str]) -> None:
    places = range(0, len(told), -(-len(told) // 20))
    upright(ax, told)
    ax.set_yticks(places, [told[each] for each in places])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _principal(table: Doubles) -> tuple[Doubles, Doubles]:
    """(Rows on the first two components, the components' shares of the variance)."""
    centred = table - table.mean(0)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(v[np.arange(2), np.abs(v[:2]).argmax(1)])
    return u[:, :2] * s[:2] * signs, (s**2 / max(float((s**2).sum()), 1e-300))[:2]


def _tsne(table: Doubles, random_state: int | None) -> Doubles:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError('method="tsne" needs scikit-learn: pip install "fastnn[sklearn]"') from error
    known = TSNE(perplexity=min(30, (len(table) - 1) / 3), init="pca", random_state=random_state)
    return np.asarray(known.fit_transform(table), np.float64)


def _grouped(
    labels: Any, names: Sequence[Any] | None, rows: int
) -> tuple[list[tuple[str | None, Any]], Doubles | None]:
    """(Name and rows of each class, a number for each row where the labels are none of classes)."""
    if labels is None:
        return [(None, slice(None))], None
    given = np.asarray(labels)
    if len(given) != rows:
        raise ValueError(f"embedding: labels must have a label for each of the {rows} rows, got {len(given)}")
    if names is None and given.dtype.kind in "iuf" and given.size == rows:
        values = numbers("labels", given, 1)
        if len(np.unique(values)) > _NAMED or (values != np.floor(values)).any():
            return [], values
        given = values.astype(np.int64).astype(str) if values.min() < 0 else values.astype(np.int64)
    codes, told = classes(
        "labels", given, int(given.max()) + 1 if given.dtype.kind == "i" and not names else None, names
    )
    if len(told) > _NAMED:
        raise ValueError(f"embedding: labels has {len(told)} classes, of which {_NAMED} at most are told apart")
    return [(name, codes == place) for place, name in enumerate(told) if (codes == place).any()], None

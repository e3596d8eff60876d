"""What a model makes of its inputs: regions of two features, pixels that count, where attention looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, shown
from fastnn.plot.style import (
    COLOURS,
    MARKERS,
    canvas,
    canvases,
    classes,
    colours,
    label,
    numbers,
    texts,
    upright,
)

_SIDE = 100  # points of a surface along each axis


def decision_surface(
    model: Any,
    x: Any,
    y: Any = None,
    features: tuple[Any, Any] = (0, 1),
    *,
    names: Sequence[Any] | None = None,
    ax: Any = None,
) -> Any:
    """What a model predicts over two features, the others at their medians, and the rows on it; gives the Axes.

    x: (rows, columns), or a data frame. y: classes or numbers of the rows, which are drawn where they are given.
    features: two columns, by number or name. A model of several outputs has a region for each class, one whose y are
    two classes the probability of the second, others the predicted number. names: of the classes.
    """
    if isinstance(model, type) or not hasattr(model, "predict"):
        raise TypeError(f"decision_surface: model must be one that predicts, got {shown(model)}")
    columns = list(getattr(x, "columns", ()))
    table = numbers("x", x, 2)
    first, second = (_column(each, columns, table.shape[1]) for each in _two(features))
    low, high = table.min(0), table.max(0)
    margin = 0.05 * np.maximum(high - low, 1e-9)
    across, up = (np.linspace(low[c] - margin[c], high[c] + margin[c], _SIDE) for c in (first, second))
    grid = np.tile(np.median(table, axis=0), (_SIDE * _SIDE, 1))
    grid[:, first], grid[:, second] = np.tile(across, _SIDE), np.repeat(up, _SIDE)
    given = type(x)(grid, columns=x.columns) if columns else grid
    found = numbers("what the model predicts", getattr(model, "predict_proba", model.predict)(given))
    if len(found) != len(grid):
        raise ValueError(f"decision_surface: the model must predict a row for each of {len(grid)}, gave {len(found)}")
    found = found.reshape(len(grid), -1)
    count = found.shape[1]
    truth = None if y is None else np.asarray(y)
    if truth is not None and len(truth) != len(table):
        raise ValueError(f"decision_surface: y has {len(truth)} rows, x {len(table)}; give both of the same rows")
    inside = found.min() >= 0 and found.max() <= 1
    alike = count > 1 or (inside and (truth is None or len(np.unique(truth)) <= 2))
    codes, told = (None, []) if truth is None or not alike else classes("y", truth, max(2, count), names)
    if alike and truth is None:
        told = texts("names", range(max(2, count)) if names is None else names, max(2, count))
    from matplotlib.colors import ListedColormap

    with canvas(ax, 62) as ax:
        if count > 2:
            shades = ListedColormap([COLOURS[each % len(COLOURS)] for each in range(count)])
            winner = found.argmax(1).reshape(_SIDE, -1)
            ax.pcolormesh(across, up, winner, cmap=shades, vmin=-0.5, vmax=count - 0.5, alpha=0.3, rasterized=True)
        else:
            heights = found[:, -1].reshape(_SIDE, -1)
            limits = {"vmin": 0, "vmax": 1} if alike else {}
            shade = ax.pcolormesh(across, up, heights, cmap="cividis", rasterized=True, **limits)
            colours(ax, shade, f"probability of {told[1]}" if alike else "predicted value")
            if alike and found[:, -1].min() < 0.5 < found[:, -1].max():
                ax.contour(across, up, heights, [0.5], colors="white", linewidths=1)
        edge = {"s": 11, "edgecolors": "white", "linewidths": 0.4}
        if codes is not None:
            for place, name in enumerate(told):
                rows = codes == place
                style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
                ax.scatter(table[rows, first], table[rows, second], label=name, **style, **edge)
        elif truth is not None:
            values = numbers("y", truth, 1)
            shade.set_clim(min(heights.min(), values.min()), max(heights.max(), values.max()))
            ax.scatter(table[:, first], table[:, second], c=values, cmap="cividis", norm=shade.norm, **edge)
        rest = "; other features at their medians" * (table.shape[1] > 2)
        label(ax, f"predictions{rest}", _title(first, columns), _title(second, columns))
        if codes is not None:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=min(4, len(told)), columnspacing=1)
    return ax


def saliency(model: Any, picture: Any, output: Any = None, *, ax: Any = None) -> Any:
    """A picture, and the pixels that an output hangs on: |d output / d pixel|; gives the two Axes.

    picture: (height, width) or (height, width, channels), one row of the model's input; of several channels the largest
    slope is drawn. output: a unit's number, by default the largest's, or what else ``model.input_gradient`` takes.
    ValueError for another shape. Source: Simonyan, Vedaldi and Zisserman 2014.
    """
    if isinstance(model, type) or not hasattr(model, "input_gradient"):
        raise TypeError(f"saliency: model must be a model of fastnn, got {shown(model)}")
    pixels = numbers("picture", picture)
    row = tuple(model.input_shape[1:])
    if pixels.ndim not in (2, 3) or pixels.size != np.prod(row):
        raise ValueError(f"saliency: picture must be one row of the model's input, {row}, got {pixels.shape}")
    given = pixels.reshape(1, *row).astype(np.float32)
    if output is None and isinstance(found := model.predict(given), np.ndarray):
        output = int(found.argmax())
    slopes = np.abs(np.asarray(model.input_gradient(given, output=output), np.float64)).reshape(pixels.shape)
    low, high = pixels.min(), pixels.max()
    shown_as = (pixels - low) / ((high - low) or 1.0)
    shown_as = (
        shown_as if shown_as.shape[-1] == 3 and pixels.ndim == 3 else shown_as.reshape(*pixels.shape[:2], -1).mean(2)
    )
    with canvases(ax, 2, 2, 40) as (left, right):
        left.imshow(shown_as, cmap="gray_r")
        image = right.imshow(slopes.reshape(*pixels.shape[:2], -1).max(2), cmap="viridis", vmin=0)
        for one, title in ((left, "picture"), (right, f"what output {output} hangs on")):
            one.set(title=title, xticks=[], yticks=[])
            one.spines[:].set_visible(False)
        colours(right, image, "|d output / d pixel|")
    return np.array([left, right])


def attention_map(
    scores: Any, *, queries: Sequence[Any] | None = None, keys: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Where each query looks: its weight on each key, as a heat map; gives the Axes, an array of several heads.

    scores: (queries, keys), or (heads, queries, keys), of one row, as MultiHeadAttention gives them with
    return_attention_scores. queries, keys: their texts. ValueError for other shapes.
    """
    table = numbers("scores", scores)
    table = table[0] if table.ndim == 4 and len(table) == 1 else table
    if table.ndim not in (2, 3):
        raise ValueError(
            f"attention_map: scores must be (queries, keys) or (heads, queries, keys) of one row, got {table.shape}; "
            "pick a row with scores[0]"
        )
    heads = table.reshape(-1, *table.shape[-2:])
    sides = [
        None if given is None else texts(name, given, size)
        for name, given, size in zip(("queries", "keys"), (queries, keys), heads.shape[1:], strict=True)
    ]
    with canvases(ax, len(heads), 2, 60 if len(heads) == 1 else 45) as drawn:
        for place, (one, weights) in enumerate(zip(drawn, heads, strict=True)):
            image = one.imshow(weights, cmap="viridis", vmin=min(0, heads.min()), vmax=heads.max(), aspect="auto")
            title = "attention" if table.ndim == 2 else f"head {place + 1}"
            label(one, title, "key", "query")
            one.locator_params(integer=True)
            if sides[0] is not None:
                one.set_yticks(range(len(sides[0])), sides[0])
            if sides[1] is not None:
                upright(one, sides[1])
            one.spines[:].set_visible(False)
        figure = drawn[0].figure
        bar = figure.colorbar(image, ax=list(drawn), label="weight", pad=0.02, shrink=0.9)
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=5)
    return drawn if table.ndim == 3 else drawn[0]


def _two(features: Any) -> list[Any]:
    found = list(features) if isinstance(features, (tuple, list)) else []
    if len(found) != 2 or found[0] == found[1]:
        raise ValueError(f"decision_surface: features must be two columns, got {shown(features)}")
    return found


def _column(given: Any, columns: list[Any], count: int) -> int:
    if isinstance(given, str):
        if given not in columns:
            raise ValueError(f"decision_surface: x has no column {given!r}{_names.hint(given, columns)}")
        return columns.index(given)
    return check_count("decision_surface: features", given, 0, count - 1)


def _title(column: int, columns: list[Any]) -> str:
    return str(columns[column]) if columns else f"feature {column}"

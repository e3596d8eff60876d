"""Pictures of an explanation: bars of features, heat maps of sequences and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.plot.style import COLOURS, pyplot

if TYPE_CHECKING:
    from fastnn.typing import Array

LESS, MORE = COLOURS[:2]  # blue and vermillion
LABELS = 20  # of features along the edge of a heat map, at most


def axes_of(ax: Any, size: tuple[float, float] = (4.2, 3.6)) -> Any:
    """The Axes to draw on, new ones for None. size: in inches."""
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def draw(explained: Any, row: int | None, ax: Any, top: int) -> Any:
    """See ``Explanation.plot``."""
    values = explained.values
    axes = 1 if isinstance(values, list) else values.ndim - 1 - bool(explained.output_names)
    if axes > 3 or axes < 1 or (axes == 3 and values.shape[3] > 4):
        raise ValueError(
            f"plot draws rows of one axis, sequences of two and pictures of at most 4 channels, got values of shape "
            f"{values.shape}"
        )
    ax = axes_of(ax)
    if axes == 1:
        _bars(ax, explained, row, top)
    else:
        _map(ax, explained, row, axes)
    where = "" if row is None else f", row {row}"
    ax.set_title(f"{explained.method}{where}" if explained.method else f"explanation{where}", fontsize=10)
    return ax


def _bars(ax: Any, explained: Any, row: int | None, top: int) -> None:
    if row is None:
        values = explained.importance()
        names = list(explained.feature_names) or [f"x{number + 1}" for number in range(len(values))]
        ax.set_xlabel("mean |effect on the output|")
    else:
        values, names = _of_row(explained, row)
        ax.set_xlabel(f"effect on the output\nbase {explained.base_values[row]:.4g}, sum {values.sum():+.4g}")
    order = np.argsort(-np.abs(values), kind="stable")
    widths, labels = values[order], [names[place] for place in order]
    if len(order) > top:
        rest = len(order) - top + 1
        widths, labels = np.append(widths[: top - 1], widths[top - 1 :].sum()), [*labels[: top - 1], f"{rest} others"]
    places = np.arange(len(widths))
    ax.barh(places, widths, color=[MORE if width > 0 else LESS for width in widths] if row is not None else LESS)
    ax.set_yticks(places, labels, fontsize=9 if len(places) < 12 else 8)
    ax.invert_yaxis()
    if row is not None:
        ax.axvline(0, color="0.3", linewidth=0.8)
    ax.margins(y=0.02)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)


def _of_row(explained: Any, row: int) -> tuple[Array, list[str]]:
    """What the features of a row add, and their names with what the row has; of several inputs their sums."""
    names = explained.feature_names
    if isinstance(explained.values, list):
        return np.array([each[row].sum() for each in explained.values]), [
            *(names or map("input {}".format, range(len(explained.values))))
        ]
    values = explained.values[row]
    names = names or tuple(f"x{number + 1}" for number in range(len(values)))
    data = explained.data[row] if explained.data.shape == explained.values.shape else None
    if data is None:
        return values, list(names)
    texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in data.tolist()]
    return values, [f"{name} = {text}" for name, text in zip(names, texts, strict=True)]


def _map(ax: Any, explained: Any, row: int | None, axes: int) -> None:
    values = explained.values
    if explained.output_names:
        values = np.abs(values).mean(axis=-1)
    values = np.abs(values).mean(axis=0) if row is None else values[row]
    label = "mean |effect on the output|" if row is None else "effect on the output"
    if axes == 3:
        values = values.sum(axis=-1)
    limit = float(np.abs(values).max()) or 1.0
    tones: dict[str, Any] = {"cmap": "cividis", "vmin": 0, "vmax": limit}
    if row is not None:
        tones = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    if axes == 3:
        if row is not None:  # over the picture, where nothing counts it stays to be seen
            ax.imshow(explained.data[row].mean(axis=-1), cmap="gray", alpha=0.5)
            tones["alpha"] = np.abs(values) / limit
        drawn = ax.imshow(values, **tones)
        ax.set_xlabel("column")
        ax.set_ylabel("line")
    else:
        drawn = ax.imshow(values.T, aspect="auto", interpolation="nearest", **tones)
        ax.set_xlabel("step")
        ax.set_ylabel("feature")
        if explained.feature_names and len(explained.feature_names) <= LABELS:
            ax.set_yticks(range(len(explained.feature_names)), explained.feature_names, fontsize=8)
    ax.figure.colorbar(drawn, ax=ax, label=label).solids.set_alpha(1)

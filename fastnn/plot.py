"""Pictures of a history. Needs matplotlib, which is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.typing import EpochLogs

COLUMNS = 3  # pictures side by side


def plot_history(history: EpochLogs, figures: Iterable[str] | None = None) -> Any:
    """Draw figures over the epochs, one picture for each with its val_, three in a row; gives the array of axes.

    figures: names without val_; all numbers but seconds, and learning_rate only where it changed, unless given; one of
    several numbers has a line for each. ValueError for a name that the history does not have, and for a history
    without epochs. ImportError where matplotlib is missing.
    """
    names = _chosen(history, figures)
    try:
        from matplotlib import pyplot
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError('a plot needs matplotlib: pip install "fastnn[plot]"') from error
    columns, rows = min(COLUMNS, len(names)), -(-len(names) // COLUMNS)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(4.5 * columns, 3.4 * rows), squeeze=False, layout="constrained"
    )
    drawn = grid.ravel()[: len(names)]
    for axes in grid.ravel()[len(names) :]:
        figure.delaxes(axes)
    for name, axes in zip(names, drawn, strict=True):
        for line, label in ((name, "training"), (f"val_{name}", "validation")):
            epochs, values = history.values(line)
            if epochs:
                lines = np.reshape(values, (len(epochs), -1))  # of a figure of several numbers one for each
                axes.plot(epochs, lines, label=label, marker="." if len(epochs) < 20 else None)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if len(axes.lines) > 1:
            axes.legend()
    return drawn


def _chosen(history: EpochLogs, figures: Iterable[str] | None) -> list[str]:
    known = getattr(history, "history", None)
    if not isinstance(known, dict):
        raise TypeError(f"plot_history: history must be what fit gives, got {shown(history)}")
    if not known:
        raise ValueError("the history has no epochs to plot; fit the model first")
    if figures is None:
        names = [name for name in known if not name.startswith("val_") and _are_numbers(known[name])]
        names = [name for name in names if name != "learning_rate"]
        names += ["learning_rate"] * (len(set(history.values("learning_rate")[1])) > 1)
        return sorted(names, key=lambda name: (name == "learning_rate", name != "loss"))
    if not isinstance(figures, Iterable):
        raise TypeError(f"plot_history: figures must be names of the history's, got {shown(figures)}")
    names = [figures] if isinstance(figures, str) else list(figures)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"plot_history: figures must be names of the history's, got {shown(name)}")
        if name not in known and not history.values(name)[0]:
            others = dict.fromkeys([*known, "learning_rate", "seconds"])
            raise ValueError(f"the history has no {name!r}{_names.hint(name, others)}; it has {', '.join(others)}")
    return names


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether there is something to draw: numbers, or arrays of one shape."""
    try:
        return np.asarray(values).dtype.kind in "biuf"
    except ValueError:  # of several shapes
        return False


_names.offer(globals())

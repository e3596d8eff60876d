"""Curves over epochs: a history, the norms of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.plot.style import canvas, legend, line, pyplot
from fastnn.typing import EpochLogs

COLUMNS = 3  # pictures side by side


def plot_history(history: EpochLogs, figures: Iterable[str] | None = None) -> Any:
    """Draw figures over the epochs, one picture for each with its val_, three in a row; gives the array of axes.

    figures: names without val_; all numbers but seconds, and learning_rate only where it changed, unless given; one of
    several numbers has a line for each. ValueError for a name that the history does not have, and for a history
    without epochs. ImportError where matplotlib is missing.
    """
    names = _chosen(history, figures)
    plt = pyplot()
    columns, rows = min(COLUMNS, len(names)), -(-len(names) // COLUMNS)
    figure, grid = plt.subplots(rows, columns, figsize=(4.5 * columns, 3.4 * rows), squeeze=False, layout="constrained")
    drawn = grid.ravel()[: len(names)]
    for axes in grid.ravel()[len(names) :]:
        figure.delaxes(axes)
    for name, axes in zip(names, drawn, strict=True):
        for text, epochs, lines, _ in _curves(history, name):
            axes.plot(epochs, lines, label=text, marker="." if len(epochs) < 20 else None)
        _over_epochs(axes, "", name.replace("_", " "))
        if len(axes.lines) > 1:
            axes.legend()
    return drawn


def history(history: EpochLogs, figure: str = "loss", *, ax: Any = None) -> Any:
    """One figure over the epochs, training and validation in one picture; gives the Axes.

    figure: a name that the history has, without val_, or learning_rate or seconds. Raises as ``plot_history``.
    """
    [name] = _chosen(history, [figure])
    with canvas(ax) as ax:
        for text, epochs, lines, style in _curves(history, name):
            first, *_ = ax.plot(epochs, lines, marker="." if len(epochs) < 20 else None, **style)
            first.set_label(text)
        what = name.replace("_", " ") + (" (s)" if name == "seconds" else "")
        _over_epochs(ax, what.partition(" (")[0] + " over epochs", what)
        if history.values(f"val_{name}")[0]:
            legend(ax)
    return ax


def gradient_norms(norms: Any, *, ax: Any = None) -> Any:
    """The norm of each layer's gradient over the epochs, in logarithms where they span more than a power of ten.

    Gives the Axes. norms: a ``fastnn.callbacks.GradientNorms`` that a fit was given. Lines that lie powers of ten below
    those of later layers are gradients that vanish. TypeError for another object, ValueError where it has no epoch.
    """
    if not hasattr(norms, "norms"):
        raise TypeError(f"gradient_norms: expected a fastnn.callbacks.GradientNorms, got {shown(norms)}")
    if not norms.epoch:
        raise ValueError("GradientNorms has no epochs to plot; give it to fit(callbacks=[...]) first")
    epochs = [epoch + 1 for epoch in norms.epoch]
    with canvas(ax) as ax:
        for place, (name, values) in enumerate(norms.norms.items()):
            ax.plot(epochs, values, label=name, marker="." if len(epochs) < 20 else None, **line(place))
        found = [value for values in norms.norms.values() for value in values if value > 0]
        ax.set_yscale("log" if found and max(found) > 10 * min(found) else "linear")
        _over_epochs(ax, "gradients by layer", "L2 norm of the gradient")
        legend(ax, "beside")
    return ax


def _curves(history: EpochLogs, name: str) -> Iterator[tuple[str, list[int], Any, dict[str, Any]]]:
    """Text, epochs, values (one column for each number of a figure of several) and style of what there is to draw."""
    for place, (key, text) in enumerate(((name, "training"), (f"val_{name}", "validation"))):
        epochs, values = history.values(key)
        if epochs:
            yield text, epochs, np.reshape(values, (len(epochs), -1)), line(place)


def _over_epochs(ax: Any, title: str, what: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set(title=title, xlabel="epoch", ylabel=what)
    ax.xaxis.set_major_locator(MaxNLocator(5 if title else "auto", integer=True))
    ax.grid(alpha=0.3)


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

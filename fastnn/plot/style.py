"""What all pictures have in common: colours that colour-blind people tell apart, sizes, and checks of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_list, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Codes = NDArray[np.intp]

# Okabe and Ito 2008, without its yellow, which white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000")
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^Dv<>"
QUIET = "0.6"  # grey, of what the data are compared with
WIDTH, HEIGHT = 80, 60  # millimetres
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
}


def pyplot() -> Any:
    """matplotlib.pyplot; ImportError that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('a plot needs matplotlib: pip install "fastnn[plot]"') from error
    return pyplot


@contextmanager
def canvas(ax: Any, height: float = HEIGHT) -> Iterator[Any]:
    """The Axes to draw on: the given one, or one of a new figure, 80 mm wide."""
    with canvases(None if ax is None else [ax], 1, 1, height) as [one]:
        yield one


@contextmanager
def canvases(ax: Any, count: int, columns: int = 2, height: float = HEIGHT) -> Iterator[Any]:
    """As many Axes to draw on, as an array: the given ones, or of a new figure."""
    plt = pyplot()
    if ax is not None:
        given = np.array(as_list("ax", ax, "Axes of matplotlib") if np.ndim(ax) or count > 1 else [ax], object).ravel()
        odd = [each for each in given if not hasattr(each, "transAxes")]
        if odd or len(given) != count:
            what = "an Axes of matplotlib" if count == 1 else f"{count} Axes of matplotlib"
            raise TypeError(f"ax must be {what}, got {shown(odd[0]) if odd else len(given)}; leave it out for new ones")
        yield given
        return
    rows, columns = -(-count // columns), min(count, columns)
    with plt.rc_context(STYLE):
        size = WIDTH / 25.4, height * rows / 25.4
        figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        for spare in grid.ravel()[count:]:
            figure.delaxes(spare)
        yield grid.ravel()[:count]


def line(number: int) -> dict[str, Any]:
    """Colour and dashes of one line among several."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def label(ax: Any, title: str, x: str, y: str, ticks: int = 5) -> None:
    """Say what is drawn, and along which axes; few ticks."""
    ax.set(title=title, xlabel=x, ylabel=y)
    for axis, scale in (("x", ax.get_xscale()), ("y", ax.get_yscale())):
        if scale == "linear" and hasattr(getattr(ax, f"{axis}axis").get_major_locator(), "set_params"):
            ax.locator_params(axis=axis, nbins=ticks)


def legend(ax: Any, where: str = "best") -> None:
    """What the lines are; beside the picture where that is long."""
    handles, _ = ax.get_legend_handles_labels()
    if len(handles) > 3 or (handles and where == "beside"):
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.3)
    elif handles:
        ax.legend(loc=where)


def upright(ax: Any, told: Sequence[str]) -> None:
    """Texts below an axis, turned where they do not fit beside each other; no more than 20."""
    step = -(-len(told) // 20)
    turned = max(map(len, told[::step])) * len(told[::step]) > 24
    ax.set_xticks(range(0, len(told), step), told[::step], rotation=90 * turned)


def shares(ax: Any) -> None:
    """Both axes from 0 to 1."""
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def colours(ax: Any, drawn: Any, text: str) -> None:
    """A bar that says what the colours mean."""
    bar = ax.figure.colorbar(drawn, ax=ax, label=text, pad=0.02, shrink=0.9)
    bar.outline.set_visible(False)
    bar.ax.locator_params(nbins=5)


def around_zero() -> Any:
    """Blue below 0, white, orange above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blue_orange", [COLOURS[0], "white", COLOURS[1]]).with_extremes(bad="0.85")


def numbers(what: str, given: Any, axes: int | None = None, rows: int | None = None, *, nan: bool = False) -> Doubles:
    """`given` as float64. ValueError for what is none, has other axes or rows, is empty or not finite."""
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{what} must be numbers, got {shown(given)}") from None
    if axes == 1 and found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if axes is None and not found.ndim:
        raise ValueError(f"{what} must be an array, got the single number {shown(given)}")
    if axes is not None and found.ndim != axes:
        much = "one number for each row" if axes == 1 else f"an array of {axes} axes"
        raise ValueError(f"{what} must be {much}, got the shape {found.shape}")
    if not found.size:
        raise ValueError(f"{what} is empty, of the shape {found.shape}; nothing can be drawn")
    if rows is not None and len(found) != rows:
        raise ValueError(f"{what} must have {rows} rows, as what it goes with has, got {len(found)}")
    if not nan and not np.isfinite(found).all():
        place = tuple(int(each) for each in np.argwhere(~np.isfinite(found))[0])
        where = f"row {place[0]}" if len(place) == 1 else f"place {place}"
        raise ValueError(f"{what} must be finite, but {where} is {found[place]}; leave such rows out")
    return found


def texts(what: str, given: Any, count: int) -> list[str]:
    """`given` as as many texts."""
    found = [str(each) for each in as_list(what, given, "texts")]
    if len(found) != count:
        raise ValueError(f"{what} must have {count} entries, one for each, got {len(found)}")
    return found


def plain(what: str, y: Any) -> Any:
    """`y` as one label for each row, texts where it is objects. ValueError for another shape, and for a row without."""
    labels = np.asarray(y)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or not labels.size:
        raise ValueError(f"{what} must be a class for each row, got the shape {labels.shape}")
    if labels.dtype.kind in "fO":
        lacking = np.flatnonzero([each is None or each != each for each in labels.tolist()])
        if lacking.size:
            raise ValueError(f"{what} must be a class for each row, but row {lacking[0]} is {labels[lacking[0]]}")
    return labels.astype(str) if labels.dtype.kind == "O" else labels


def classes(what: str, y: Any, count: int | None, names: Sequence[Any] | None) -> tuple[Codes, list[str]]:
    """(The class of each row, the names of all) of numbers, one-hot rows, or texts that are `names`, or are sorted.

    count: how many there are, where that is known.
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(f"{what} must be a class for each row, or one-hot rows, got the shape {labels.shape}")
        count, labels = labels.shape[1] if count is None else count, labels.argmax(axis=1)
    labels = plain(what, labels)
    if labels.dtype.kind in "biuf":
        labels = labels.astype(np.float64)
        if not (labels == np.floor(labels)).all():
            raise ValueError(f"{what} must be numbers of classes, got {shown(y)}")
    known = np.unique(labels)
    if count is None:
        count = len(known) if names is None else len(names)
    told = None if names is None else texts("names", names, count)
    if labels.dtype.kind == "f":
        if known[0] >= 0 and known[-1] < count:
            return labels.astype(np.intp), told or [str(each) for each in range(count)]
        if len(known) == count:
            return np.searchsorted(known, labels), told or [f"{each:g}" for each in known]
        raise ValueError(f"{what} must be classes from 0 to {count - 1}, got {known[0]:g} to {known[-1]:g}")
    held = told or [str(each) for each in known]
    places = {name: place for place, name in enumerate(held)}
    for each in known:
        if str(each) not in places:
            raise ValueError(f"{what} has the class {str(each)!r}{_names.hint(str(each), held)}, which is not in names")
    if len(held) != count:
        raise ValueError(f"{what} has {len(held)} classes, but there are {count}; pass names=, in the order of scores")
    return np.array([places[str(each)] for each in labels], np.intp), held

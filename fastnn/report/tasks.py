"""What predictions are worth: of classes and of numbers, as tables and figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.plot.ranked import calibration, confusion, precision_recall, roc
from fastnn.uncertainty import expected_calibration_error

from .page import COLORS, Figure, heat, line, number, table
from .rows import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .rows import Output

    Doubles = NDArray[np.float64]

CLASSES, CURVES, COLUMNS, POINTS, BINS = 50, 10, 6, 2000, 10


def pages_of(output: Output) -> Iterator[str | Figure]:
    """Tables and figures of one output."""
    if output.truth is None:
        return
    read = classes_of(output)
    if read is None:
        yield from _numbers(output)
        return
    truth, scores, probable = read
    names = output.classes if len(output.classes) == scores.shape[1] else tuple(map(str, range(scores.shape[1])))
    labels, guesses = truth.argmax(axis=1), scores.argmax(axis=1)
    single = bool((truth.sum(axis=1) == 1).all())
    if single:
        yield from _confusion(labels, guesses, names)
    yield from _curves(truth, scores, names)
    if probable and single:
        yield from _calibration(labels, guesses, scores)


def classes_of(output: Output) -> tuple[Doubles, Doubles, bool] | None:
    """(truth, scores, whether scores are probabilities), (lines, classes) each; None where numbers are predicted.

    One sigmoid stands for two classes, 0 and 1. Rows of sigmoids may belong to several classes, or none.
    """
    truth, scores = output.truth, output.given
    assert truth is not None
    units, logits = scores.shape[1], bool(getattr(output.loss, "from_logits", False))
    binary = bool(np.isin(truth, (0, 1)).all())
    if units == 1:
        if not binary or not (logits or output.activation in ("sigmoid", "hard_sigmoid")):
            return None
        p = 1 / (1 + np.exp(-scores)) if logits else scores
        return np.concatenate([1 - truth, truth], axis=1), np.concatenate([1 - p, p], axis=1), True
    if truth.shape[1] == 1:
        labels = truth[:, 0]
        if (labels != np.floor(labels)).any() or labels.min() < 0 or labels.max() >= units:
            return None
        truth = np.zeros(scores.shape)
        truth[np.arange(len(truth)), labels.astype(int)] = 1
    elif truth.shape[1] != units or not binary or (output.activation == "linear" and not logits):
        return None
    if logits and "Binary" in type(output.loss).__name__:
        scores = 1 / (1 + np.exp(-scores))
    elif logits:
        grown = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores = grown / grown.sum(axis=1, keepdims=True)
    return truth, scores, bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3))


def _confusion(labels: Any, guesses: Any, names: tuple[str, ...]) -> Iterator[str | Figure]:
    count = len(names)
    rows, columns = np.bincount(labels, minlength=count), np.bincount(guesses, minlength=count)
    right = np.bincount(labels[labels == guesses], minlength=count)
    kept = np.sort(np.argsort(-rows, kind="stable")[:CLASSES])
    place = np.full(count, -1)
    place[kept] = np.arange(len(kept))
    pairs = np.stack([place[labels], place[guesses]])[:, (place[labels] >= 0) & (place[guesses] >= 0)]
    counts = confusion(pairs[0], pairs[1], len(kept))
    shares = 100 * counts / np.maximum(rows[kept], 1)[:, None]
    ticks = [escape(names[k]) for k in kept]
    figure = heat(shares, ticks, ticks, "predicted class", "true class", "% of the true class")
    figure["data"][0] |= {
        "customdata": counts,
        "hovertemplate": "true %{y}<br>predicted %{x}<br>%{customdata} rows, %{z:.1f} %<extra></extra>",
        **({"text": counts, "texttemplate": "%{text}", "zmin": 0, "zmax": 100} if len(kept) <= 20 else {}),
    }
    figure["layout"]["yaxis"]["autorange"] = "reversed"
    wrong = len(labels) - int(right.sum())
    text = f"{wrong:,} of {len(labels):,} rows are taken for another class. Each line adds up to 100 % of a true class."
    text += f" Shown are the {CLASSES} classes with most rows." if count > CLASSES else ""
    few = len(kept) <= 20
    head = ["class", "rows", "precision", "recall", "F1", *(f"as {names[k]}" for k in kept if few)]
    cells = []
    for k, taken_for in zip(kept, counts, strict=True):
        precision = right[k] / columns[k] if columns[k] else np.nan
        recall = right[k] / rows[k] if rows[k] else np.nan
        f1 = 2 * right[k] / (rows[k] + columns[k]) if rows[k] + columns[k] else np.nan
        shown = [f"{n:,}" for n in taken_for if few]
        cells.append((names[k], f"{rows[k]:,}", number(precision), number(recall), number(f1), *shown))
    caption = "Of each class precision, recall and F1" + (", and for which it is taken" if few else "")
    yield Figure("Confusion matrix", text, figure, table(head, cells, caption), 460)


def _curves(truth: Doubles, scores: Doubles, names: tuple[str, ...]) -> Iterator[str | Figure]:
    rows = truth.sum(axis=0)
    there = [k for k in np.argsort(-rows, kind="stable") if 0 < rows[k] < len(truth)]
    if len(names) == 2 and (truth.sum(axis=1) == 1).all():
        there = [k for k in there if k == 1]
    if not there:
        yield "<p>Curves of ROC and of precision need rows that are of a class, and rows that are not.</p>"
        return
    drawn = sorted(there[:CURVES])
    kinds = (
        ("ROC curve", roc, "area", "false alarms, share of the others", "found, share of the class"),
        ("Precision and recall", precision_recall, "average precision", "recall", "precision"),
    )
    for title, curve, area, x_title, y_title in kinds:
        found = {k: curve(truth[:, k], scores[:, k]) for k in drawn}
        lines = []
        for n, k in enumerate(drawn):
            x, y, size = found[k]
            at = spread(len(x), 300)
            lines.append(line(x[at], y[at], f"{names[k]}: {size:.3f}", n))
        if curve is roc:
            lines.append(line([0, 1], [0, 1], "chance", 0) | {"line": {"color": "#767676", "dash": "dot", "width": 1}})
        figure = {"data": lines, "layout": _axes(x_title, y_title, range=(-0.02, 1.02))}
        cells = [(names[k], f"{rows[k]:,.0f}", number(found[k][2])) for k in drawn]
        text = f"Each class against the others; beside its name stands its {area}, at best 1."
        text += f" Drawn are the {CURVES} classes with most rows." if len(there) > CURVES else ""
        yield Figure(title, text, figure, table(("class", "rows", area), cells, f"{title}: {area} of each class"))


def _calibration(labels: Any, guesses: Any, scores: Doubles) -> Iterator[str | Figure]:
    x, y, rows = calibration(labels == guesses, scores.max(axis=1), BINS)
    lines = [
        line([0, 1], [0, 1], "as said", 0) | {"line": {"color": "#767676", "dash": "dot", "width": 1}},
        line(x, y, "the model", 0)
        | {"mode": "lines+markers", "customdata": rows}
        | {"hovertemplate": "says %{x:.1%}<br>right %{y:.1%}<br>%{customdata} rows<extra></extra>"},
    ]
    figure = {"data": lines, "layout": _axes("mean probability of the predicted class", "share that is right")}
    error = expected_calibration_error(scores, labels, BINS)
    cells = [(f"{number(a)}", f"{number(b)}", f"{n:,}") for a, b, n in zip(x, y, rows, strict=True)]
    text = (
        f"Whether rows that are said to be of a class with probability p are so in a share p of cases: {BINS} bins of "
        f"equal width. The expected calibration error is {number(error)}, at best 0 (Naeini et al. 2015)."
    )
    yield Figure("Calibration", text, figure, table(("said", "right", "rows"), cells, "Calibration of each bin"))


def _numbers(output: Output) -> Iterator[str | Figure]:
    truth, given = output.truth, output.given
    assert truth is not None
    if truth.shape != given.shape:
        yield f"<p>Targets of {truth.shape[1]} numbers are not compared with outputs of {given.shape[1]}.</p>"
        return
    head = ("output", "rows", "mean absolute error", "root mean squared error", "mean error", "R²", "largest error")
    errors, cells = given - truth, []
    for k in range(min(truth.shape[1], COLUMNS)):
        e, spreads = errors[:, k], ((truth[:, k] - truth[:, k].mean()) ** 2).sum()
        r2 = 1 - (e**2).sum() / spreads if spreads else np.nan
        worst = int(np.abs(e).argmax())
        values = (np.abs(e).mean(), np.sqrt((e**2).mean()), e.mean(), r2)
        cells.append((str(k), f"{len(e):,}", *map(number, values), f"{number(e[worst])} (row {worst})"))
    yield table(head, cells, "Errors, predicted minus true, in the unit of the target")
    for k in range(len(cells)):
        at = spread(len(truth), POINTS)
        x, y, e = truth[at, k], given[at, k], errors[at, k]
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        dots = {"type": "scatter", "mode": "markers", "marker": {"color": COLORS[0], "size": 5, "opacity": 0.6}}
        name = f" of output {k}" if truth.shape[1] > 1 else ""
        hover = {"customdata": at, "hovertemplate": "row %{customdata}<br>%{x:.4g}, %{y:.4g}<extra></extra>"}
        chance = line(ends, ends, "predicted = true", 1) | {"line": {"color": "#767676", "dash": "dot"}}
        layout = _axes("true", "predicted")
        few = f"{len(at):,} of {len(truth):,} rows" if len(at) < len(truth) else f"all {len(at):,} rows"
        data = [dots | hover | {"x": x, "y": y, "name": "rows"}, chance]
        yield Figure(f"Predicted against true{name}", f"Drawn are {few}.", {"data": data, "layout": layout})
        layout = _axes("predicted", "predicted minus true", legend=False)
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": {"color": "#767676"}}
        ]
        data = [dots | hover | {"x": y, "y": e, "name": "rows"}]
        text = "Errors without a pattern lie about 0 alike, wherever they are."
        yield Figure(f"Residuals{name}", text, {"data": data, "layout": layout})


def _axes(x: str, y: str, range: Any = None, legend: bool = True) -> dict[str, Any]:
    ends = {"range": list(range)} if range else {}
    return {"xaxis": {"title": {"text": x}, **ends}, "yaxis": {"title": {"text": y}, **ends}, "showlegend": legend}

"""A page about a model: its structure, its history, what it is worth on some rows, the loss around its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, check_path, shown
from fastnn.models import check_model
from fastnn.random import generator

from .page import COLORS, SCALE, SYMBOLS, Figure, Section, document, duration, histogram, line, number, plotly, table
from .rows import outputs_of, rows_of, spread
from .structure import Part, least_seconds, parts_of, rows_at_once, values_of
from .surface import hidden_tensor, loss_surface, projected
from .tasks import classes_of, pages_of

if TYPE_CHECKING:
    from fastnn.data import ArraySource

__all__ = ["write_report"]

_ROWS, _DOTS, _HISTOGRAMS = 512, 768, 60


def write_report(
    model: Any,
    filepath: str | PathLike[str],
    x: Any = None,
    y: Any = None,
    *,
    history: Any = None,
    surface: int = 21,
    random_state: int | None = None,
) -> None:
    """Write one HTML page about a model, which loads nothing from elsewhere, not even its scripts.

    It has the layers to unfold, with shapes, parameters, bytes and the time of each; the curves of a history; loss and
    metrics; for classes the confusion matrix, ROC, precision and recall, calibration; for numbers predictions against
    targets, and residuals; histograms of weights and of what layers give; the loss around the weights (Li et al. 2018)
    and the rows as the last hidden layer sees them, in three dimensions.

    x, y: as `evaluate` takes them, at most the first 10,000 rows of them; without x a page of the layers, weights and
    history alone. history: what fit gave, or a dict of lists; None for that of the last fit, or what ``fastnn train``
    has noted. surface: points along a side of the picture of the loss, 0 for none; it costs surface^2 evaluations of at
    most 512 rows, on a copy of the weights. random_state: what its two directions hang on.
    ImportError where plotly is missing; ValueError for rows that do not fit, or are not finite.
    """
    check_model("write_report", model)
    path, points = (
        Path(check_path("write_report: filepath", filepath)),
        check_count("write_report: surface", surface, 0),
    )
    if not model.built:
        raise RuntimeError(f"write_report: model {model.name!r} is not built yet; build or fit it first")
    if any(getattr(layer, "stateful", False) for layer in model.description.layers()):
        raise ValueError("write_report: the model is stateful; make it again with stateful=False, with its weights")
    if random_state is not None:
        check_count("write_report: random_state", random_state, 0)
    curves = _history(model, history)
    plotly()
    source = None if x is None else rows_of(model, x, y)
    rng = generator() if random_state is None else np.random.default_rng(random_state)
    text = document(f"Model {model.name}", *_written(model, source, curves, points, rng))
    path.write_text(text, encoding="utf-8")


def _written(
    model: Any, source: ArraySource | None, curves: Mapping[str, Any], points: int, rng: Any
) -> tuple[str, list[Section]]:
    built, trainer = model.description, model.description.trainer
    names = dict(zip(built.members, built.names, strict=True))
    values: dict[Any, Any] = {}
    whole, rows = None, np.zeros(0, np.intp)
    if source is not None:
        rows = spread(source.rows, rows_at_once(model, _ROWS))
        values = values_of(model, source, rows)
        whole = least_seconds(built.network, np.ascontiguousarray(source.x[rows]))
    parts = parts_of(model, built.graph, names, values)
    count = model.count_params()
    facts = {
        "Parameters": f"{count:,} ({4 * count:,} bytes)",
        "Reads": ", ".join(built.columns) or f"rows of shape {model.input_shape}",
        "Gives": f"rows of shape {model.output_shape}",
    }
    sections = [Section("Structure", list(_structure(parts, whole, len(rows))))]
    if curves:
        sections.append(Section("History", list(_curves(curves))))
    colors = None
    if source is not None:
        facts["Rows of this page"] = f"{source.rows:,}"
        scored = trainer is not None and source.y is not None
        if scored:
            found = trainer.evaluate(source, 1024)
            plain = {name: each for name, each in found.items() if np.ndim(each) == 0}
            facts |= {name.replace("_", " "): number(float(each)) for name, each in plain.items()}
        outputs = outputs_of(model, source)
        for output in outputs:
            tables = list(pages_of(output))
            if tables:
                sections.append(Section(f"Predictions {output.name}".rstrip(), tables))
        colors = _colors(outputs[0], source.rows)
    sections.append(Section("Weights and outputs of layers", list(_histograms(parts)), small=True))
    if source is not None:
        if scored and points:
            sections.append(Section("Loss around the weights", list(_surface(model, source, points, rng))))
        sections.append(Section("Rows in three dimensions", list(_embedding(model, source, colors))))
    said = "" if trainer is not None else " It is not compiled, so there are no loss and no metrics."
    lead = f"Everything is in this file. Drag to zoom or to turn, double-click for the whole again.{said}"
    sections.insert(0, Section("Overview", [table(("property", "value"), facts.items(), "What the model is")]))
    return lead, sections


def _history(model: Any, given: Any) -> Mapping[str, Any]:
    """Lists of numbers by name."""
    own = model.history if given is None else given
    found = getattr(own, "history", own)
    if found is None:
        found = model.description.notes.get("history", {})
    if not isinstance(found, Mapping):
        raise TypeError(f"write_report: history must be what fit gives, or a dict of lists, got {shown(given)}")
    curves = {}
    for name, each in found.items():
        try:
            values = np.asarray(each, np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"write_report: history[{shown(name)}] must be a list of numbers, got {shown(each)}"
            ) from None
        if values.ndim == 1 and len(values):
            curves[str(name)] = values
    return curves


def _structure(parts: list[Part], whole: float | None, rows: int) -> Iterator[str]:
    if whole is not None:
        yield (
            f"<p>Times are of a prediction of {rows:,} rows. Each layer runs alone, as a network of its own, on what "
            "the layers before it give; the least of several runs is shown, and its share of the sum. The whole model "
            f"takes {duration(whole)}, {duration(whole / rows)} a row: its layers hand rows on in the cache, and fewer "
            "calls are made.</p>"
        )
    total = sum(part.seconds or 0.0 for part in parts) or 1.0
    yield "".join(_part(part, total) for part in parts)


def _part(part: Part, total: float) -> str:
    """A layer to unfold."""
    count = part.parameters
    size = "shared, counted above" if count is None else f"{count:,} parameters"
    share = 0.0 if part.seconds is None else part.seconds / total
    time = (
        ""
        if part.seconds is None
        else f'{duration(part.seconds)} ({share:.0%})<span class="bar" style="width:{share:.1%}"></span>'
    )
    row = (
        f'<span class="row"><span><b>{escape(part.name)}</b> {escape(part.kind)}</span>'
        f"<span>{escape(part.shape)}</span><span>{size}</span><span>{'' if count is None else f'{4 * count:,} bytes'}</span><span>{time}</span></span>"
    )
    inside = f"<p>Reads {escape(', '.join(part.reads)) or 'nothing'}.{_words(part.config)}</p>"
    if part.weights:
        head = ("weights", "shape", "mean", "deviation", "smallest", "largest")
        cells = [
            (name, str(each.shape), *(number(f(each)) for f in (np.mean, np.std, np.min, np.max)))
            for name, each in part.weights
            if each.size
        ]
        inside += table(head, cells, f"Weights of {part.name}")
    inside += "".join(_part(each, total) for each in part.parts)
    return f'<details class="part"><summary>{row}</summary>{inside}</details>'


def _words(config: Mapping[str, Any]) -> str:
    return escape("".join(f" {name.replace('_', ' ')}: {value}." for name, value in config.items()))


def _curves(curves: Mapping[str, Any]) -> Iterator[Figure]:
    names = [name for name in curves if not name.startswith("val_") or name[4:] not in curves]
    names = [name for name in names if name != "learning_rate" or len(set(curves[name])) > 1]
    for name in sorted(names, key=lambda name: (name == "learning_rate", name != "loss")):
        pair = [
            (label, curves[key]) for key, label in ((name, "training"), (f"val_{name}", "validation")) if key in curves
        ]
        what = name.replace("_", " ")
        lines = [
            line(np.arange(1, len(each) + 1), each, label, k)
            | {"mode": "lines+markers" if len(each) < 40 else "lines"}
            | {"hovertemplate": f"epoch %{{x}}<br>{escape(what)} %{{y:.4g}}<extra>{label}</extra>"}
            for k, (label, each) in enumerate(pair)
        ]
        layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": escape(what)}}}
        cells = [
            (str(k + 1), *(number(each[k]) if k < len(each) else "" for _, each in pair))
            for k in range(max(len(each) for _, each in pair))
        ]
        head = ("epoch", *(label for label, _ in pair))
        figure = {"data": lines, "layout": layout | {"showlegend": len(pair) > 1}}
        yield Figure(f"{what} by epoch", "", figure, table(head, cells, f"{what} by epoch"))


def _histograms(parts: list[Part]) -> Iterator[str | Figure]:
    found = list(_each_histogram(parts, ""))
    if len(found) > _HISTOGRAMS:
        yield f"<p>The first {_HISTOGRAMS} of {len(found)} are drawn.</p>"
    for title, values, color in found[:_HISTOGRAMS]:
        figure, words = histogram(values, color)
        yield Figure(title, words, figure, height=220)


def _each_histogram(parts: list[Part], before: str) -> Iterator[tuple[str, Any, str]]:
    for part in parts:
        name = f"{before}{part.name}"
        yield from ((f"{name}: {weights}", values, COLORS[0]) for weights, values in part.weights if values.size > 1)
        if part.values is not None and not part.parts:
            yield f"{name}: what it gives", part.values, COLORS[1]
        yield from _each_histogram(part.parts, f"{name}/")


def _surface(model: Any, source: ArraySource, points: int, rng: Any) -> Iterator[str | Figure]:
    rows = spread(source.rows, _ROWS)
    steps, loss = loss_surface(model, source, rows, points, rng)
    known = loss[np.isfinite(loss)]
    if not len(known):
        yield "<p>The loss is not finite around the weights.</p>"
        return
    logs = known.min() > 0 and known.max() > 20 * known.min()
    z = np.log10(loss) if logs else loss
    unit = "log10 of the loss" if logs else "loss"
    hover = "a %{x:.2f}, b %{y:.2f}<br>loss %{customdata:.4g}<extra></extra>"
    common = {"x": steps, "y": steps, "z": z, "customdata": loss, "colorscale": SCALE, "hovertemplate": hover}
    bar = {"title": {"text": unit, "side": "right"}, "thickness": 12}
    middle = points // 2
    dot = {"name": "the weights", "marker": {"color": "#D55E00", "size": 6, "line": {"color": "#fff", "width": 1}}}
    here = {"x": [0], "y": [0], "mode": "markers", "hovertemplate": "the weights<extra></extra>"} | dot
    scene = _scene("a", "b", unit)
    text = (
        f"L(w + a d1 + b d2) on {len(rows):,} rows: two random directions, each as long as the weights, output by "
        f"output (Li et al. 2018). The loss is from {number(known.min())} to {number(known.max())}."
    )
    solid: list[dict[str, Any]] = [{"type": "surface", **common, "colorbar": bar}]
    if points % 2:
        solid.append({"type": "scatter3d", "z": [z[middle, middle]], **here})
    margin = {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "showlegend": False}
    yield Figure("Loss surface, to turn", text, {"data": solid, "layout": {"scene": scene, **margin}}, height=480)
    flat = [{"type": "contour", **common, "colorbar": bar}, {"type": "scatter", **here}]
    titles = {"xaxis": {"title": {"text": "a, first direction"}}, "yaxis": {"title": {"text": "b, second direction"}}}
    text = "The same from above; the point in the middle is the model."
    yield Figure("Loss surface, from above", text, {"data": flat, "layout": titles | {"showlegend": False}}, height=480)


def _scene(*titles: str) -> dict[str, Any]:
    axes = {f"{axis}axis": {"title": {"text": title}} for axis, title in zip("xyz", titles, strict=True)}
    return axes | {"camera": {"eye": {"x": 1.6, "y": 1.6, "z": 1.1}}}


def _colors(output: Any, rows: int) -> tuple[Any, tuple[str, ...]] | None:
    """(the class or the target of each row, the classes' names), None where there is none of a row."""
    if output.truth is None or len(output.truth) != rows:
        return None
    read = classes_of(output)
    if read is None:
        return output.truth[:, 0], ()
    count = read[0].shape[1]
    names = output.classes if len(output.classes) == count else tuple(map(str, range(count)))
    return read[0].argmax(axis=1), names


def _embedding(model: Any, source: ArraySource, colors: Any) -> Iterator[str | Figure]:
    tensor = hidden_tensor(model)
    at = spread(source.rows, rows_at_once(model, _DOTS))
    values = {} if tensor is None else values_of(model, source, at)
    if tensor not in values:
        yield "<p>The model has no hidden layer.</p>"
        return
    dots, shares = projected(values[tensor])
    name = model.description.names[model.description.members.index(tensor.node.layer)]
    titles = [f"component {k + 1} ({share:.0%})" for k, share in enumerate(shares)]
    traces = []
    known, names = colors or (np.zeros(source.rows), ("rows",))
    known = known[at]
    for k in range(len(names)) if names else [None]:
        mine = slice(None) if k is None else known == k
        if k is None:
            marker = {"color": known, "colorscale": SCALE, "size": 4, "colorbar": {"title": {"text": "target"}}}
        else:
            marker = {"color": COLORS[k % len(COLORS)], "size": 4, "symbol": SYMBOLS[k % len(SYMBOLS)]}
        label = "rows" if k is None else escape(names[k])
        hover = "row %{customdata}<extra>" + label + "</extra>"
        x, y, z = dots[mine].T
        trace = {"type": "scatter3d", "mode": "markers", "x": x, "y": y, "z": z, "marker": marker, "name": label}
        if len(x):
            traces.append(trace | {"customdata": at[mine], "hovertemplate": hover})
    text = (
        f"What {escape(name)} gives for {len(at):,} rows, centred, along its first three singular vectors, which have "
        f"{shares.sum():.0%} of its variance."
    )
    layout = {
        "scene": _scene(*titles),
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "legend": {"itemsizing": "constant"},
    }
    yield Figure("Last hidden layer", text, {"data": traces, "layout": layout}, height=560)


_names.offer(globals())

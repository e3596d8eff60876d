"""The sections of a page, each of tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from .page import COLORS, SCALE, SYMBOLS, Figure, Section, duration, histogram, line, number, table
from .rows import outputs_of, spread
from .structure import Part, least_seconds, parts_of, rows_at_once, values_of
from .surface import hidden_tensor, loss_surface, projected, rows_for
from .tasks import classes_of, pages_of

if TYPE_CHECKING:
    from fastnn.data import ArraySource

ROWS, DOTS = 512, 768  # that are looked at, and drawn
HISTOGRAMS, NAMES = 60, 20


def written(
    model: Any, source: ArraySource | None, curves: Mapping[str, Any], points: int, rng: Any
) -> tuple[str, list[Section]]:
    """(what stands above the page, its sections). points: along a side of the surface of the loss."""
    built, trainer = model.description, model.description.trainer
    names = dict(zip(built.members, built.names, strict=True))
    values: dict[Any, Any] = {}
    whole, rows = None, np.zeros(0, np.intp)
    if source is not None:
        rows = spread(source.rows, rows_at_once(model, ROWS))
        values = values_of(model, source, rows)
        whole = least_seconds(built.network, np.ascontiguousarray(source.x[rows]))
    parts = parts_of(model, built.graph, names, values)
    count = model.count_params()
    features = model.feature_names
    columns = ", ".join(features[:NAMES])
    columns += f" and {len(features) - NAMES} more" if len(features) > NAMES else ""
    facts = {
        "Parameters": f"{count:,} ({4 * count:,} bytes)",
        "Reads": columns or f"rows of shape {model.input_shape}",
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
        if scored and find_spec("fastnn.explain") and len(outputs) == 1 and source.rows > 1:
            sections.append(Section("What the loss hangs on", list(_importance(model, source, rng))))
        sections.append(Section("Rows in three dimensions", list(_embedding(model, source, colors))))
    said = "" if trainer is not None else " It is not compiled, so there are no loss and no metrics."
    lead = f"Everything is in this file. Drag to zoom or to turn, double-click for the whole again.{said}"
    sections.insert(0, Section("Overview", [table(("property", "value"), facts.items(), "What the model is")]))
    return lead, sections


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
    held = "" if count is None else f"{4 * count:,} bytes"
    time = ""
    if part.seconds is not None:
        time = f'{duration(part.seconds)} ({share:.0%})<span class="bar" style="width:{share:.1%}"></span>'
    row = (
        f'<span class="row"><span><b>{escape(part.name)}</b> {escape(part.kind)}</span>'
        f"<span>{escape(part.shape)}</span><span>{size}</span><span>{held}</span><span>{time}</span></span>"
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
    if len(found) > HISTOGRAMS:
        yield f"<p>The first {HISTOGRAMS} of {len(found)} are drawn.</p>"
    for title, values, color in found[:HISTOGRAMS]:
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
    rows = spread(source.rows, rows_for(model, points, ROWS))
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
    solid: list[dict[str, Any]] = [{"type": "surface", **common, "showscale": False}]
    if points % 2:
        solid.append({"type": "scatter3d", "z": [z[middle, middle]], **here})
    margin = {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "showlegend": False}
    yield Figure("Loss surface, to turn", text, {"data": solid, "layout": {"scene": scene, **margin}}, height=480)
    flat = [{"type": "contour", **common, "colorbar": bar}, {"type": "scatter", **here}]
    titles: dict[str, Any] = {"xaxis": {"title": {"text": "a, first direction"}, "constrain": "domain"}}
    titles["yaxis"] = {"title": {"text": "b, second direction"}, "constrain": "domain", "scaleanchor": "x"}
    text = "The same from above; the point in the middle is the model."
    yield Figure("Loss surface, from above", text, {"data": flat, "layout": titles | {"showlegend": False}}, height=480)


def _scene(*titles: str) -> dict[str, Any]:
    axes = {f"{axis}axis": {"title": {"text": title}} for axis, title in zip("xyz", titles, strict=True)}
    return axes | {"aspectmode": "cube", "camera": {"eye": {"x": 1.85, "y": 1.85, "z": 1.2}}}


def _importance(model: Any, source: ArraySource, rng: Any) -> Iterator[str | Figure]:
    """How much larger the loss is with a feature shuffled."""
    rows, at = model.description.graph.inputs[0].row, spread(source.rows, ROWS)
    if len(rows) != 1 or len(model.inputs) > 1 or model.description.front is not None:
        yield "<p>It is worked out for models of one input, whose rows are numbers side by side.</p>"
        return
    x, y, seed = source.x[at], source.y[at], int(rng.integers(2**32))  # type: ignore[index]
    found = import_module("fastnn.explain").permutation_importance(model, x, y, random_state=seed)
    names = model.feature_names or found.feature_names
    mean, deviation = found.importances_mean, found.importances_std
    best = np.argsort(-mean)[:NAMES][::-1]
    bars = {"type": "bar", "orientation": "h", "x": mean[best], "y": [escape(names[k]) for k in best]}
    bars |= {"marker": {"color": COLORS[0]}, "error_x": {"array": deviation[best], "color": "#1a1a1a"}}
    layout = {"xaxis": {"title": {"text": "loss, feature shuffled, minus loss"}}, "yaxis": {"type": "category"}}
    cells = [(names[k], number(mean[k]), number(deviation[k])) for k in best[::-1]]
    text = f"Of {len(at):,} rows, five times; of the features that matter most {len(best)}, with standard deviations."
    numbers = table(("feature", "mean", "deviation"), cells, "Permutation importance")
    yield Figure("Permutation importance", text, {"data": [bars], "layout": layout}, numbers, 460)


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
    at = spread(source.rows, rows_at_once(model, DOTS))
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

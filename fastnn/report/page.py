"""The parts of a page: figures for plotly, tables, and the page itself, which loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

# Source: Okabe and Ito 2008, without the yellow, which white paper swallows; lines and points differ in form as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "circle-open", "square-open", "diamond-open")
SCALE = "Cividis"

STYLE = """
*{box-sizing:border-box}
html{overflow-y:scroll}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff}
header,main,nav{max-width:80rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.7rem;margin:1.2rem 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.35rem;margin:2.2rem 0 .6rem;border-bottom:2px solid #0072B2}
h3{font-size:1.05rem;margin:0 0 .2rem}
p{margin:.3rem 0 .7rem;max-width:48rem}
a{color:#004f7c}
:focus-visible{outline:3px solid #D55E00;outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:#fff;padding:.3rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;list-style:none}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.4rem 0 1rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.2rem 0}
th,td{border-bottom:1px solid #ccc;padding:.2rem .7rem;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,34rem),1fr))}
.one{grid-template-columns:minmax(0,1fr)}
.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
figure{margin:0;padding:.7rem;border:1px solid #ccc;border-radius:6px;min-width:0}
details{margin:.25rem 0}
summary{cursor:pointer}
.part{border:1px solid #ccc;border-radius:6px;padding:.35rem .7rem}
.row{display:inline-grid;width:calc(100% - 1.4rem);gap:0 1rem;vertical-align:top;
grid-template-columns:minmax(0,2.4fr) minmax(0,1.6fr) repeat(3,minmax(0,1.2fr))}
.row>*{overflow-wrap:anywhere}
.bar{display:block;height:4px;background:#0072B2}
@media(max-width:44rem){.row{grid-template-columns:1fr 1fr}.row>:first-child{grid-column:1/-1}}
@media print{nav,.modebar{display:none}}
"""
# Whatever is in the page, a browser loads nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "worker-src blob:; base-uri 'none'; form-action 'none'"
)


class Figure(NamedTuple):
    """What plotly draws, with a title, what is to be said of it, and its numbers as a table."""

    title: str
    text: str
    figure: dict[str, Any]
    table: str = ""
    height: int = 380


class Section(NamedTuple):
    """A part of the page. small: whether its figures stand close together."""

    title: str
    parts: Sequence[str | Figure]
    small: bool = False


def plotly() -> Any:
    """plotly's module of input and output. ImportError where it is missing."""
    try:
        import plotly.io
    except ImportError as error:
        raise ImportError('a report needs plotly: pip install "fastnn[report]"') from error
    return plotly.io


def document(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as a text."""
    from plotly.offline import get_plotlyjs

    draw, numbers = plotly(), iter(range(10**6))
    links = "".join(f'<li><a href="#s{k}">{escape(each.title)}</a></li>' for k, each in enumerate(sections))
    bodies = "".join(_section(f"s{k}", each, draw, numbers) for k, each in enumerate(sections))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body>"
        f'<a class="skip" href="#main">Skip to the content</a><header><h1>{escape(title)}</h1><p>{lead}</p>'
        "<noscript><p>The figures need JavaScript; the tables do not.</p></noscript></header>"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav><main id="main">{bodies}</main></body></html>\n'
    )


def _section(name: str, section: Section, draw: Any, numbers: Any) -> str:
    # A figure is drawn as soon as it is read, so its width must not hang on what comes after it.
    count = sum(isinstance(part, Figure) for part in section.parts)
    kind = " small" if section.small else " one" if count == 1 else ""
    out, is_open = [f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(section.title)}</h2>'], False
    for part in section.parts:
        if isinstance(part, Figure) != is_open:
            out.append("</div>" if is_open else f'<div class="grid{kind}">')
            is_open = not is_open
        out.append(_drawn(part, f"f{next(numbers)}", draw) if isinstance(part, Figure) else part)
    return "".join([*out, "</div>" if is_open else "", "</section>"])


def _drawn(given: Figure, name: str, draw: Any) -> str:
    layout = {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"},
        "margin": {"l": 60, "r": 15, "t": 15, "b": 50},
        "colorway": list(COLORS),
        "hoverlabel": {"font": {"size": 14}},
        **given.figure["layout"],
    }
    below = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    layout["legend"] = below | layout.get("legend", {})
    for axis in ("xaxis", "yaxis"):
        layout[axis] = {"automargin": True, "gridcolor": "#e4e4e4", "zerolinecolor": "#bbb", **layout.get(axis, {})}
    html = draw.to_html(
        {"data": given.figure["data"], "layout": layout},
        config={"displayModeBar": False, "responsive": True, "scrollZoom": False},
        include_plotlyjs=False,
        full_html=False,
        default_height=f"{given.height}px",
        div_id=name,
        validate=False,
    )
    values = f"<details><summary>Numbers</summary>{given.table}</details>" if given.table else ""
    text = f"<p>{given.text}</p>" if given.text else ""
    return f'<figure aria-labelledby="{name}t"><h3 id="{name}t">{escape(given.title)}</h3>{text}{html}{values}</figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table of texts, which are escaped."""
    titles = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>'
        f"{escape(caption)}</caption><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def line(x: Any, y: Any, name: str, place: int) -> dict[str, Any]:
    """A line, in the colour and the dashes of its place."""
    style = {"color": COLORS[place % len(COLORS)], "dash": DASHES[(place // len(COLORS)) % len(DASHES)], "width": 2}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": escape(name), "line": style}


def heat(z: Any, x: Any, y: Any, x_title: str, y_title: str, unit: str) -> dict[str, Any]:
    """A heat map of classes."""
    bar = {"title": {"text": unit, "side": "right"}, "thickness": 12}
    trace = {"type": "heatmap", "x": x, "y": y, "z": z, "colorscale": SCALE, "colorbar": bar}
    axes = {"type": "category", "constrain": "domain"}
    return {
        "data": [trace],
        "layout": {"xaxis": {"title": {"text": x_title}, **axes}, "yaxis": {"title": {"text": y_title}, **axes}},
    }


def histogram(values: Any, color: str) -> tuple[dict[str, Any], str]:
    """(a figure, its numbers in words) of how many values lie where."""
    flat = np.asarray(values, np.float64).reshape(-1)
    flat = flat[np.isfinite(flat)]
    counts, ends = np.histogram(flat, bins=40)
    bars = {
        "type": "bar",
        "x": (ends[:-1] + ends[1:]) / 2,
        "y": 100 * counts / max(1, len(flat)),
        "width": np.diff(ends),
        "customdata": np.stack([ends[:-1], ends[1:], counts], axis=1),
        "marker": {"color": color},
        "hovertemplate": "%{customdata[0]:.3g} to %{customdata[1]:.3g}<br>%{customdata[2]} values, %{y:.1f} %"
        "<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "value"}},
        "yaxis": {"title": {"text": "% of the values"}},
        "margin": {"l": 50, "r": 10, "t": 10, "b": 45},
    }
    words = (
        f"{len(flat):,} values, mean {number(flat.mean())}, deviation {number(flat.std())}, {number(flat.min())} to "
        f"{number(flat.max())}, {np.mean(flat == 0):.1%} are 0."
        if len(flat)
        else "No values."
    )
    return {"data": [bars], "layout": layout}, words


def number(value: Any) -> str:
    """A number as people read it."""
    if not np.isfinite(value):
        return "undefined"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def duration(value: float) -> str:
    """A time, with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"

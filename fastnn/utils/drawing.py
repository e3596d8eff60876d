"""Boxes and arrows as a picture: SVG, Graphviz's text, and by matplotlib whatever it writes."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fastnn.utils.layout import Layout, Point, laid_out

if TYPE_CHECKING:
    from fastnn.utils.boxes import Box

SIZE = 13  # of the letters, in points
WIDTH = 0.62 * SIZE  # of a letter that all have the same width of
LINE = 20.0
PAD = 10.0
TITLE = {False: "#27425e", True: "#3b6b4b"}  # a layer's, an input's
FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Arrows = list[tuple[int, int]]


def _arranged(boxes: list[Box], arrows: Arrows, rankdir: str) -> tuple[list[tuple[float, float]], Layout]:
    """The size of each box, and where all lies."""
    sizes = []
    for box in boxes:
        letters = max(map(len, (box.title, *box.lines)))
        sizes.append((letters * WIDTH + 2 * PAD, LINE * (1 + len(box.lines)) + PAD * bool(box.lines)))
    if rankdir == "TB":
        return sizes, laid_out(sizes, arrows)
    layout = laid_out([(height, width) for width, height in sizes], arrows)
    paths = [[(y, x) for x, y in path] for path in layout.paths]
    return sizes, Layout(layout.size[::-1], [(y, x) for x, y in layout.middles], paths)


def _curve(path: list[Point], rankdir: str) -> list[tuple[Point, Point, Point]]:
    """The cubic Bezier curves along a path: two points that bend each, and its end."""
    curves = []
    for (x0, y0), (x1, y1) in pairwise(path):
        middle = (y0 + y1) / 2 if rankdir == "TB" else (x0 + x1) / 2
        bends = ((x0, middle), (x1, middle)) if rankdir == "TB" else ((middle, y0), (middle, y1))
        curves.append((*bends, (x1, y1)))
    return curves


def svg(boxes: list[Box], arrows: Arrows, rankdir: str) -> str:
    """The picture as SVG."""
    sizes, (whole, middles, paths) = _arranged(boxes, arrows, rankdir)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]:.0f}" height="{whole[1]:.0f}" '
        f'viewBox="0 0 {whole[0]:.1f} {whole[1]:.1f}" font-family="{FONT}" font-size="{SIZE}">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0.5 L8 4 L0 7.5 z" fill="#555"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for path in paths:
        curves = " ".join("C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in curve) for curve in _curve(path, rankdir))
        start = f"{path[0][0]:.1f},{path[0][1]:.1f}"
        out.append(
            f'<path d="M{start} {curves}" fill="none" stroke="#555" stroke-width="1.4" marker-end="url(#arrow)"/>'
        )
    for box, (width, height), (x, y) in zip(boxes, sizes, middles, strict=True):
        left, top = x - width / 2, y - height / 2
        place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}"'
        out.append(f'<rect {place} height="{height:.1f}" rx="4" fill="white" stroke="{TITLE[box.is_input]}"/>')
        out.append(f'<rect {place} height="{LINE:.1f}" rx="4" fill="{TITLE[box.is_input]}"/>')
        for number, text in enumerate((box.title, *box.lines)):
            down = top + LINE * number + LINE * 0.7 + (PAD / 2 if number else 0)
            style = 'fill="#222"' if number else 'fill="white" font-weight="bold"'
            out.append(f'<text x="{x:.1f}" y="{down:.1f}" text-anchor="middle" {style}>{escape(text)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def dot(boxes: list[Box], arrows: Arrows, name: str, rankdir: str, dpi: int) -> str:
    """The graph as Graphviz's text."""
    out = [
        f"digraph {_quoted(name)} {{",
        f'  graph [rankdir={rankdir}, dpi={dpi}];\n  node [shape=record, fontname="monospace"];',
    ]
    for place, box in enumerate(boxes):
        fields = "|".join(_field(text) for text in (box.title, *box.lines))
        label = f"{{{fields}}}" if rankdir == "TB" else fields
        out.append(f'  n{place} [label="{label}"];')
    out += [f"  n{start} -> n{end};" for start, end in arrows]
    return "\n".join([*out, "}"]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _field(text: str) -> str:
    return "".join(f"\\{letter}" if letter in '\\{}|<>"' else letter for letter in text)


def by_matplotlib(boxes: list[Box], arrows: Arrows, rankdir: str, dpi: int, out: Any, kind: str) -> None:
    """Write the picture in any format that matplotlib has. ValueError for another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, Rectangle
    from matplotlib.path import Path

    sizes, (whole, middles, paths) = _arranged(boxes, arrows, rankdir)
    figure = Figure(figsize=(whole[0] / 96, whole[1] / 96))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, whole[0]), ylim=(whole[1], 0))
    axes.axis("off")
    for path in paths:
        points = [path[0], *(point for curve in _curve(path, rankdir) for point in curve)]
        codes = [Path.MOVETO, *[Path.CURVE4] * (len(points) - 1)]
        axes.add_patch(FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>", mutation_scale=9, color="#555"))
    for box, (width, height), (x, y) in zip(boxes, sizes, middles, strict=True):
        left, top, color = x - width / 2, y - height / 2, TITLE[box.is_input]
        axes.add_patch(Rectangle((left, top), width, height, facecolor="white", edgecolor=color))
        axes.add_patch(Rectangle((left, top), width, LINE, facecolor=color, edgecolor=color))
        for number, text in enumerate((box.title, *box.lines)):
            down = top + LINE * number + LINE * 0.5 + (PAD / 2 if number else 0)
            style: dict[str, Any] = {"color": "white", "weight": "bold"} if number == 0 else {"color": "#222"}
            size = SIZE * 72 / 96
            axes.text(x, down, text, ha="center", va="center", family="monospace", size=size, parse_math=False, **style)
    figure.savefig(out, dpi=dpi, format=kind)

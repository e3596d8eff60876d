"""A model drawn: plot_model and model_to_dot, which need no Graphviz."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastnn._checks import check_count
from fastnn.models import Model
from fastnn.utils import drawing
from fastnn.utils.boxes import Box, Shown, boxes_of

__all__ = ["ModelGraph", "model_to_dot", "plot_model"]

TEXTS = ("svg", "dot", "gv")


class ModelGraph:
    """The boxes and arrows of a model, as `model_to_dot` and `plot_model` give them; a notebook shows the picture."""

    def __init__(self, name: str, boxes: list[Box], arrows: list[tuple[int, int]], rankdir: str, dpi: int) -> None:
        self.name, self.boxes, self.arrows = name, boxes, arrows
        self.rankdir, self.dpi = rankdir, dpi

    def to_string(self) -> str:
        """The graph in Graphviz's language (DOT)."""
        return drawing.dot(self.boxes, self.arrows, self.name, self.rankdir, self.dpi)

    __str__ = to_string

    def svg(self) -> str:
        """The picture as SVG."""
        return drawing.svg(self.boxes, self.arrows, self.rankdir)

    _repr_svg_ = svg

    def create(self, prog: Any = None, format: str = "svg") -> bytes:
        """The picture as bytes: "svg", "dot", or what matplotlib writes ("png", "pdf", ...). prog: nothing."""
        import io

        kind = check_format(format)
        if kind in TEXTS:
            return (self.svg() if kind == "svg" else self.to_string()).encode()
        buffer = io.BytesIO()
        _by_matplotlib(self, buffer, kind)
        return buffer.getvalue()

    def write(self, path: str | os.PathLike[str], prog: Any = None, format: str | None = None) -> None:
        """Write the picture to a file, in the format that its name ends with, or `format`; as `create`."""
        kind = Path(path).suffix.removeprefix(".") if format is None else format
        content = self.create(format=kind)
        Path(path).write_bytes(content)


def check_format(name: str) -> str:
    """`name` of a format in small letters; ValueError for a file without one."""
    if not name:
        raise ValueError("to_file must end with a format, such as .svg, .png or .dot")
    return name.lower()


def _by_matplotlib(graph: ModelGraph, buffer: Any, kind: str) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'a {kind} picture needs matplotlib: pip install "fastnn[plot]"; .svg and .dot need nothing'
        ) from error
    drawing.by_matplotlib(graph.boxes, graph.arrows, graph.rankdir, graph.dpi, buffer, kind)


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> ModelGraph:
    """The graph of a model: a box for each call of a layer, an arrow for each tensor that one reads of another.

    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what a box says. rankdir: "TB"
    from the top down, "LR" from left to right. expand_nested: draw the models inside as their layers, called
    model/layer. dpi: of pictures made of points. splines: taken, and arrows are curves. ValueError before the model is
    built.
    """
    if rankdir not in ("TB", "LR"):
        raise ValueError(f"rankdir must be 'TB' or 'LR', got {rankdir!r}")
    shown = Shown(
        bool(show_layer_names),
        bool(show_shapes),
        bool(show_dtype),
        bool(show_layer_activations),
        bool(show_trainable),
        bool(expand_nested),
    )
    boxes, arrows = boxes_of(model, shown)
    return ModelGraph(model.name, boxes, arrows, rankdir, check_count("dpi", dpi, most=2400))


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] | None = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> ModelGraph:
    """Draw a model into a file, and give the picture, which a notebook shows.

    to_file: what it ends with is the format: .svg and .dot (Graphviz's text) need nothing, .png, .pdf and others
    matplotlib; None for no file. The rest as ``model_to_dot``. ImportError, before a file is written, where matplotlib
    is missing.
    """
    graph = model_to_dot(
        model,
        show_shapes,
        show_dtype,
        show_layer_names,
        rankdir,
        expand_nested,
        dpi,
        show_layer_activations,
        show_trainable,
        splines,
    )
    if to_file is not None:
        graph.write(to_file)
    return graph

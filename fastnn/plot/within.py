"""Inside a model: weights, activations and gradients by layer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, shown
from fastnn.plot.style import COLOURS, around_zero, canvas, colours, label

if TYPE_CHECKING:
    from fastnn.plot.style import Doubles

_BINS = 40


def weight_heatmap(model: Any, layer: Any, *, ax: Any = None) -> Any:
    """A layer's kernel as a heat map: a line for each number that it reads, a column for each unit; gives the Axes.

    layer: its name, its place among the layers, or itself. A kernel of more axes, as a convolution's, has its last one
    across. ValueError for a layer that is not there, and for one without a kernel.
    """
    layers = _layers("weight_heatmap", model)
    found = _layer_of(layer, list(model.layers) if hasattr(model, "layers") else [], layers)
    arrays = [array for array in found.get_weights() if np.ndim(array) > 1]
    if not arrays:
        raise ValueError(f"weight_heatmap: layer {found.name!r} has no kernel; a Dense, Embedding or Conv2D has one")
    kernel = np.asarray(arrays[0], np.float64).reshape(-1, arrays[0].shape[-1])
    largest = float(np.abs(kernel).max()) or 1.0
    with canvas(ax, 62) as ax:
        style = {"aspect": "auto", "interpolation": "nearest"}
        image = ax.imshow(kernel, cmap=around_zero(), vmin=-largest, vmax=largest, **style)
        lines = "input" if arrays[0].ndim == 2 else f"input ({' x '.join(map(str, arrays[0].shape[:-1]))})"
        label(ax, f"weights of {found.name}", "unit", lines)
        ax.locator_params(integer=True)
        ax.spines[:].set_visible(False)
        colours(ax, image, "weight")
    return ax


def weight_histograms(model: Any, *, ax: Any = None) -> Any:
    """How the weights of each layer are spread, a line for each layer, drawn to its own height; gives the Axes."""
    layers = _layers("weight_histograms", model)
    arrays = {name: _flat(layer.get_weights()) for layer, name in layers.items() if layer.get_weights()}
    if not arrays:
        raise ValueError("weight_histograms: the model has no weights yet; build it, or fit it, first")
    return _ridges(arrays, {}, "weights by layer", "weight", ax)


def activation_histograms(model: Any, x: Any, *, ax: Any = None) -> Any:
    """How what each layer gives for the rows of x is spread, a line for each; gives the Axes.

    On the right stands the share of zeros: of a relu's units that are silent. Each line is drawn to its own height.
    """
    _layers("activation_histograms", model)
    graph, members = model.description.graph, dict(zip(model.description.members, model.description.names, strict=True))
    calls = [node for node in graph.nodes if node.inputs]
    tensors = [tensor for node in calls for tensor in node.tensors()]
    names = _named([members[node.layer] for node in calls for _ in node.tensors()])
    # By its name, as `fastnn.models` needs callbacks, which need pictures.
    inner = import_module("fastnn.models").Model(model.description.takes.pack(graph.inputs), tensors)
    found = inner.predict(x)
    arrays = dict(zip(names, (_flat([each]) for each in found), strict=True))
    beside = {name: f"{(values == 0).mean():.0%} zero" for name, values in arrays.items() if (values == 0).any()}
    return _ridges(arrays, beside, "activations by layer", "activation", ax)


def gradient_histograms(model: Any, x: Any, y: Any = None, *, ax: Any = None) -> Any:
    """How the loss's gradient by each layer's weights is spread, in powers of ten; gives the Axes.

    The rows are one batch of ``model.gradient``, whose moving averages they do not change. On the right stands the
    share of zeros, which have no power. Lines that move left from the last layer to the first are gradients that
    vanish. RuntimeError before ``compile``.
    """
    _layers("gradient_histograms", model)
    kept = model.get_weights()
    try:
        gradients = iter(model.gradient(x, y))
    finally:
        model.set_weights(kept)
    paths = model.description.paths()
    arrays = {}
    for layer in model.description.layers():
        if count := len(layer.trainable_variables):
            arrays[paths[layer]] = np.abs(_flat([next(gradients) for _ in range(count)]))
    beside = {name: f"{(values == 0).mean():.0%} zero" for name, values in arrays.items() if (values == 0).any()}
    powers = {name: np.log10(values[values > 0]) for name, values in arrays.items()}
    return _ridges(powers, beside, "gradients by layer", "log10 |gradient|", ax)


def _layers(what: str, model: Any) -> dict[Any, str]:
    """Each layer and what it is called; TypeError for what is no model, RuntimeError for one without weights yet."""
    if not hasattr(model, "description"):
        raise TypeError(f"{what}: expected a model of fastnn, got {shown(model)}")
    if model.description.graph is None:
        raise RuntimeError(f"{what}: model {model.name!r} has no weights yet; build it, or fit it, first")
    found: dict[Any, str] = model.description.paths()
    return found


def _layer_of(given: Any, members: list[Any], layers: dict[Any, str]) -> Any:
    if not isinstance(given, str) and hasattr(given, "get_weights"):
        return given
    if isinstance(given, str):
        known = {name: layer for layer, name in layers.items()}
        if given not in known:
            what = f"weight_heatmap: the model has no layer {given!r}{_names.hint(given, known)}"
            raise ValueError(f"{what}; it has {', '.join(known)}")
        return known[given]
    return members[check_count("weight_heatmap: layer", given, 0, len(members) - 1)]


def _flat(arrays: list[Any]) -> Doubles:
    return np.concatenate([np.asarray(each, np.float64).ravel() for each in arrays])


def _named(names: list[str]) -> list[str]:
    """Names that stand once each: those of a layer's later calls have numbers."""
    return [name if name not in names[:place] else f"{name} ({place})" for place, name in enumerate(names)]


def _ridges(arrays: Mapping[str, Doubles], beside: Mapping[str, str], title: str, what: str, ax: Any) -> Any:
    """A histogram for each array, one above the other, the first on top; all with the same bins.

    They span 99 % of each array's numbers; what lies beyond stands in the outermost ones.
    """
    finite = {name: values[np.isfinite(values)] for name, values in arrays.items()}
    ends = [np.quantile(values, (0.005, 0.995)) for values in finite.values() if values.size]
    if not ends:
        raise ValueError(f"{title}: there is nothing finite to draw")
    low, high = np.min(ends), np.max(ends)
    edges = np.linspace(low, high, _BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, _BINS + 1)
    with canvas(ax, 26 + 8 * len(arrays)) as ax:
        for place, values in enumerate(finite.values()):
            counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
            foot = len(arrays) - 1.0 - place
            style = {"color": COLOURS[place % len(COLOURS)], "linewidth": 0.8, "zorder": place}
            ax.stairs(foot + 0.85 * counts / max(counts.max(), 1), edges, baseline=foot, fill=True, alpha=0.6, **style)
        ax.set_yticks(np.arange(len(arrays))[::-1], list(arrays))
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        for place, name in enumerate(arrays):
            if name in beside:
                where = {"transform": ax.get_yaxis_transform(), "va": "bottom", "size": "small"}
                ax.text(1.01, len(arrays) - 1 - place, beside[name], **where)
        ax.set(title=title, xlabel=what, ylim=(-0.05, len(arrays)))
        ax.locator_params(axis="x", nbins=5)
    return ax

"""Which units of a model hang together: what must go from every weight, where one unit goes.

Each number of a tensor's last axis has a label. A layer gives labels of its own to what it makes; what works number by
number passes them on; what joins tensors number by number makes the labels of both one. A label that is, or becomes, 0
stays: those of inputs and outputs, and of whatever a layer that is not known here reads or gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import layers as L
from fastnn.activations import Linear, RowActivation
from fastnn.layers import Layer
from fastnn.layers._axes import row_axis
from fastnn.layers.graph import Graph
from fastnn.layers.places import placed
from fastnn.typing import Array

LINEAR = Linear()
Labels = Any  # whole numbers, (units,)
Given = Sequence[Labels] | None
Rule = Callable[["Units", Any, list[Labels]], Given]


class Use(NamedTuple):
    """An axis of a weight along which units lie. role: "in" makes the units, "out" reads them, "" neither."""

    layer: Layer
    name: str
    axis: int
    labels: Labels
    role: str


class Units:
    """The labels of a graph's units, and the weights that have them."""

    def __init__(self, graph: Graph) -> None:
        self._parents = [0]
        self.own: dict[Layer, Labels] = {}  # of the units that a layer makes
        self.uses: dict[tuple[Layer, str, int], Use] = {}
        self.scales: list[tuple[Layer, Labels]] = []  # BatchNormalizations, and what they normalise
        self.shapes: dict[Layer, tuple[Sequence[int], Labels]] = {}  # the rows that a Reshape makes, and their units
        values = {tensor: self.fixed(tensor.row) for tensor in graph.inputs}
        self._walk(graph, values)
        for tensor in (*graph.outputs, *(each.tensor for each in graph.added)):
            self.fix(values[tensor])
        parents = np.array(self._parents)
        while (parents[parents] != parents).any():
            parents = parents[parents]
        self.root: Array = parents  # of each label: labels with the same root go, or stay, together

    def fixed(self, row: Sequence[int]) -> Labels:
        """Labels of what stays."""
        return np.zeros(row[-1] if row else 1, np.int64)

    def fix(self, labels: Labels) -> None:
        """Have units stay."""
        self.join(labels, np.zeros_like(labels))

    def join(self, first: Labels, second: Labels) -> None:
        """Have units go, or stay, together, number by number."""
        for pair in set(zip(first.tolist(), second.tolist(), strict=True)):
            low, high = sorted(map(self._root, pair))
            self._parents[high] = low

    def _root(self, label: int) -> int:
        while (parent := self._parents[label]) != label:
            self._parents[label] = label = self._parents[parent]
        return label

    def made_by(self, layer: Layer, count: int) -> Labels:
        """The labels of the units that a layer makes, the same in each of its calls."""
        if layer not in self.own:
            self.own[layer] = np.arange(len(self._parents), len(self._parents) + count)
            self._parents += self.own[layer].tolist()
        return self.own[layer]

    def use(self, layer: Layer, name: str, axis: int, labels: Labels, role: str = "") -> None:
        """Note an axis of a weight, where the layer has that; in a second call the same units must be there."""
        if name not in {parameter.name for parameter in placed(layer).parameters}:
            return
        known = self.uses.setdefault((layer, name, axis), Use(layer, name, axis, labels, role))
        if known.labels is not labels:
            self.join(known.labels, labels)

    def _walk(self, graph: Graph, values: dict[Any, Labels]) -> None:
        for node in graph.nodes:
            given = node.tensors()
            if given[0] in values:
                continue
            reads = [values[tensor] for tensor in node.values]
            for tensor in set(node.inputs) - set(node.values):  # masks
                self.fix(values[tensor])
            made = RULES[type(node.layer)](self, node, reads) if type(node.layer) in RULES else None
            if made is None and node.graph is not None and not isinstance(node.layer, Layer):
                made = self.model(node, reads)
            if made is None or any(len(each) != len(self.fixed(t.row)) for each, t in zip(made, given, strict=True)):
                for labels in (*reads, *(made or ())):
                    self.fix(labels)
                made = [self.fixed(tensor.row) for tensor in given]
            values.update(zip(given, made, strict=True))

    def model(self, node: Any, reads: list[Labels]) -> list[Labels]:
        """A model within: what it reads stays, as its inputs say their shapes."""
        for labels in reads:
            self.fix(labels)
        within = dict(zip(node.graph.inputs, reads, strict=True))
        self._walk(node.graph, within)
        for each in node.graph.added:
            self.fix(within[each.tensor])
        return [within[tensor] for tensor in node.graph.outputs]


def _elementwise(layer: Any) -> bool:
    """Whether each number that its activation gives, if it has one, hangs on one number alone."""
    activation = getattr(layer, "activation", LINEAR)
    return activation.compiled and not isinstance(activation, RowActivation) and activation.row_given((8,)) == (8,)


def _makes(units: Units, node: Any, count: int, kernel: str, axis: int) -> list[Labels]:
    """The units that a layer makes, along this axis of its kernel and along its bias."""
    own = units.made_by(node.layer, count)
    units.use(node.layer, kernel, axis, own, "in")
    units.use(node.layer, "bias", 0, own)
    if _elementwise(node.layer):
        return [own]
    units.fix(own)
    return [units.fixed(node.rows[0])]


def _dense(units: Units, node: Any, reads: list[Labels]) -> Given:
    units.use(node.layer, "kernel", 0, reads[0], "out")
    return _makes(units, node, node.layer.units, "kernel", 1)


def _embedding(units: Units, node: Any, reads: list[Labels]) -> Given:
    units.fix(reads[0])
    return _makes(units, node, node.layer.output_dim, "embeddings", 1)


def _convolution(units: Units, node: Any, reads: list[Labels]) -> Given:
    layer, name = node.layer, type(node.layer).__name__
    if layer.data_format != "channels_last" or getattr(layer, "groups", 1) > 1:
        return None
    axis, channels = len(layer.kernel_size), reads[0]
    if "depth_multiplier" in vars(layer):  # each channel has kernels of its own
        own = "kernel" if name.startswith("Depthwise") else "depthwise_kernel"
        channels = np.repeat(channels, layer.depth_multiplier)
        units.use(layer, own, axis, reads[0])
        if own == "kernel":
            units.use(layer, "bias", 0, channels)
            return [channels] if _elementwise(layer) else None
        units.use(layer, "pointwise_kernel", axis, channels, "out")
        return _makes(units, node, layer.filters, "pointwise_kernel", axis + 1)
    turned = name.endswith("Transpose")
    units.use(layer, "kernel", axis + turned, channels, "out")
    return _makes(units, node, layer.filters, "kernel", axis + (not turned))


def _recurrence(units: Units, layer: Any, read: Labels) -> Labels:
    own = units.made_by(layer, layer.units)
    gates = np.tile(own, getattr(layer, "gates", 1))
    units.use(layer, "kernel", 0, read, "out")
    units.use(layer, "kernel", 1, gates, "in")
    units.use(layer, "recurrent_kernel", 0, own, "out")
    units.use(layer, "recurrent_kernel", 1, gates, "in")
    units.use(layer, "bias", int(getattr(layer, "reset_after", False)), gates)
    return own


def _recurrent(units: Units, node: Any, reads: list[Labels]) -> Given:
    own = _recurrence(units, node.layer, reads[0])
    for state in reads[1:]:
        units.join(own, state)
    return [own] * len(node.rows)


def _bidirectional(units: Units, node: Any, reads: list[Labels]) -> Given:
    layer = node.layer
    both = layer.layer, layer.backward_layer
    if len(reads) > 1 or not all(RULES.get(type(each)) is _recurrent for each in both):
        return None
    merged = own = [_recurrence(units, each, reads[0]) for each in both]
    if layer.merge_mode == "concat":
        merged = [np.concatenate(own)]
    elif layer.merge_mode is not None:
        units.join(*own)
        merged = own[:1]
    states = (len(node.rows) - len(merged)) // 2
    return [*merged, *own[:1] * states, *own[1:] * states]


def _time_distributed(units: Units, node: Any, reads: list[Labels]) -> Given:
    """The layer's own rule, on the call that its graph begins with."""
    within = node.layer.layer
    call = next((each for each in node.graph.nodes if each.layer is within), None)
    return None if call is None or type(within) not in RULES else RULES[type(within)](units, call, reads)


def _batch_normalization(units: Units, node: Any, reads: list[Labels]) -> Given:
    row = node.values[0].row
    if row_axis(node.layer, node.layer.axis, row) != len(row) - 1:
        return None
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        units.use(node.layer, name, 0, reads[0])
    units.scales.append((node.layer, reads[0]))
    return reads


def _prelu(units: Units, node: Any, reads: list[Labels]) -> Given:
    shape = placed(node.layer).parameters[0].shape
    if shape and shape[-1] == len(reads[0]):
        units.use(node.layer, "alpha", len(shape) - 1, reads[0])
    return reads


def _pass(units: Units, node: Any, reads: list[Labels]) -> Given:
    """What works number by number, or along other axes than the last."""
    layer = node.layer
    along = getattr(layer, "data_format", None) == "channels_first" or getattr(layer, "noise_shape", None) is not None
    apart = any(np.ndim(getattr(layer, name, 0)) for name in ("scale", "offset"))  # of Rescaling
    return None if along or apart or not _elementwise(layer) else reads


def _reshape(units: Units, node: Any, reads: list[Labels]) -> Given:
    """The numbers stay in their order: those of the last axis come again and again."""
    count = node.rows[0][-1]
    if count % len(reads[0]):
        return None
    given = np.tile(reads[0], count // len(reads[0]))
    if isinstance(node.layer, L.Reshape):
        known = units.shapes.setdefault(node.layer, (node.rows[0], given))
        if known[0] != node.rows[0]:  # of rows of another shape
            return None
        units.join(known[1], given)
    return [given]


def _permute(units: Units, node: Any, reads: list[Labels]) -> Given:
    return reads if node.layer.dims[-1] == len(node.layer.dims) else None


def _merge(units: Units, node: Any, reads: list[Labels]) -> Given:
    widest = max(reads, key=len)
    for labels in reads:
        if len(labels) == len(widest):
            units.join(widest, labels)
        else:
            units.fix(labels)
    return [widest]


def _concatenate(units: Units, node: Any, reads: list[Labels]) -> Given:
    row = node.values[0].row
    if row_axis(node.layer, node.layer.axis, row) == len(row) - 1:
        return [np.concatenate(reads)]
    return _merge(units, node, reads)


# What is done with a call of each layer: gives the labels of what it gives, None where all that it reads stays.
_NAMES = {
    _dense: "Dense",
    _embedding: "Embedding",
    _convolution: "Conv# Conv#Transpose DepthwiseConv# SeparableConv#",
    _recurrent: "LSTM GRU SimpleRNN",
    _bidirectional: "Bidirectional",
    _time_distributed: "TimeDistributed",
    _batch_normalization: "BatchNormalization",
    _prelu: "PReLU",
    _reshape: "Reshape Flatten",
    _permute: "Permute",
    _merge: "Add Subtract Multiply Average Maximum Minimum",
    _concatenate: "Concatenate",
    _pass: "Activation ReLU LeakyReLU ELU Identity ActivityRegularization Dropout AlphaDropout GaussianDropout "
    "GaussianNoise RepeatVector Rescaling SpatialDropout# MaxPooling# AveragePooling# GlobalMaxPooling# "
    "GlobalAveragePooling# ZeroPadding# Cropping# UpSampling#",
}
RULES: Mapping[type, Rule] = {
    getattr(L, each): rule
    for rule, names in _NAMES.items()
    for name in names.split()
    for each in {name.replace("#", f"{axes}D") for axes in (1, 2, 3)}
    if each in L.__all__
}

"""Modules of PyTorch for layers, and for models that are no chain. Imported where torch is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fastnn import activations as A, layers as L
from fastnn._table import field_values
from fastnn.exchange.array_graph import applied, evaluated
from fastnn.exchange.array_units import activated
from fastnn.exchange.torch_weights import UNITS as UNITS_BY_NAME, given_by, known
from fastnn.layers._axes import row_axes
from fastnn.layers._windows import same_border
from fastnn.layers.places import placed


class Arrays:
    """PyTorch's functions by the names that the formulas have for them: see ``fastnn.exchange.array_layers``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    softplus = staticmethod(F.softplus)

    def __deepcopy__(self, memo: Any) -> Arrays:
        return self

    def constant(self, array: Any, like: Any) -> Any:
        """Numbers that do not learn, where another tensor is; whole numbers where there is none."""
        if like is None:
            return torch.as_tensor(np.asarray(array))
        kind = like.dtype if like.is_floating_point() else torch.float32
        return torch.as_tensor(np.asarray(array, np.float32), dtype=kind, device=like.device)

    def integers(self, x: Any) -> Any:
        """Ids."""
        return x.to(torch.int64)

    def stop_gradient(self, x: Any) -> Any:
        """Without a slope."""
        return x.detach()

    def transpose(self, x: Any, axes: Any) -> Any:
        """With its axes in another order."""
        return x.permute(axes)

    def take(self, x: Any, places: Any, axis: int) -> Any:
        """These places of an axis."""
        return torch.index_select(x, axis, places.to(x.device))

    def sort(self, x: Any) -> Any:
        """Ascending along the last axis."""
        return torch.sort(x).values

    def pad(self, x: Any, pairs: Any, value: float) -> Any:
        """With a border along each axis."""
        return F.pad(x, [n for pair in reversed(list(pairs)) for n in pair], value=value) if np.any(pairs) else x

    def convolve(self, x: Any, kernel: Any, strides: Any, border: Any, dilation: Any, groups: int) -> Any:
        """A convolution, channels last."""
        x = torch.movedim(self.pad(x, [(0, 0), *border, (0, 0)], 0.0), -1, 1)
        function = (F.conv1d, F.conv2d, F.conv3d)[len(strides) - 1]
        kernel = torch.movedim(kernel, (-1, -2), (0, 1))
        return torch.movedim(function(x, kernel, None, strides, 0, dilation, groups), 1, -1)

    def convolve_transposed(self, x: Any, kernel: Any, strides: Any, dilation: Any) -> Any:
        """All that a kernel (..., filters, channels) reaches."""
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(strides) - 1]
        kernel = torch.movedim(kernel, (-1, -2), (0, 1))
        given = function(torch.movedim(x, -1, 1), kernel, None, strides, 0, 0, 1, dilation)
        return torch.movedim(given, 1, -1)

    def scan(self, step: Any, first: Any, xs: Any) -> tuple[Any, Any]:
        """The state after all steps of xs (rows, steps, ..), and the first array of it after each."""
        now, given = first, []
        for x in torch.unbind(xs, 1):
            now = step(now, x)
            given.append(now[0])
        return now, torch.stack(given, 1)


XP = Arrays()


class Held:
    """What stays one where a module is copied: declarations, without numbers."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: Any) -> Held:
        return self

    def __reduce__(self) -> Any:
        raise TypeError(
            "a module of to_torch is not pickled whole; save its state_dict(), and make it anew by to_torch"
        )


class Formula(nn.Module):  # type: ignore[misc]
    """A layer that PyTorch has no module for, by its formula; its weights by fastnn's names."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.held = Held(node)
        self.names = [each.name for each in placed(node.layer).parameters]
        for parameter, array in zip(placed(node.layer).parameters, node.layer.get_weights(), strict=True):
            if parameter.trainable:
                self.register_parameter(parameter.name, nn.Parameter(torch.from_numpy(array)))
            else:
                self.register_buffer(parameter.name, torch.from_numpy(array))

    def forward(self, *xs: Any, node: Any = None) -> Any:
        """What the layer gives; a tuple of several."""
        node = self.held.value if node is None else node
        if self.training and getattr(node.layer, "operation", None) == "phase":  # which way a call goes while training
            return xs[0]
        given = applied(XP, node, xs, {name: getattr(self, name) for name in self.names})
        return given if len(given) > 1 else given[0]

    def extra_repr(self) -> str:
        """The layer."""
        return repr(self.held.value.layer)


class Unit(nn.Module):  # type: ignore[misc]
    """An activation that PyTorch has no module for."""

    def __init__(self, unit: Any) -> None:
        super().__init__()
        self.held = Held(unit)

    def forward(self, x: Any) -> Any:
        """What it gives."""
        return activated(XP, self.held.value, x)


class Noise(nn.Module):  # type: ignore[misc]
    """Normal noise while training: added, or multiplied as GaussianDropout does it."""

    def __init__(self, stddev: float, factor: bool) -> None:
        super().__init__()
        self.stddev, self.factor = stddev, factor

    def forward(self, x: Any) -> Any:
        """x, with noise while training."""
        if not self.training:
            return x
        noise = torch.randn_like(x) * self.stddev
        return x * (1 + noise) if self.factor else x + noise


class Graph(nn.Module):  # type: ignore[misc]
    """A model of several inputs, outputs or ways: its layers' modules by name, called as the model calls them."""

    def __init__(self, graph: Any, takes: Any, gives: Any, modules: dict[Any, dict[str, nn.Module]]) -> None:
        super().__init__()
        self.held = Held((graph, takes, gives, {layer: list(own) for layer, own in modules.items()}))
        for own in modules.values():
            for name, module in own.items():
                self.add_module(name, module)

    def forward(self, *inputs: Any) -> Any:
        """What the model gives for its inputs: one by one, or as it takes them, in a list or dict."""
        graph, takes, gives, names = self.held.value

        def call(node: Any, reads: Sequence[Any]) -> tuple[Any, ...]:
            for name in names[node.layer]:
                module = getattr(self, name)
                given = module(*reads, node=node) if isinstance(module, Formula) else module(*reads)
                reads = given if isinstance(given, tuple) else (given,)
            return tuple(reads)

        xs = takes.unpack(inputs[0] if len(inputs) == 1 else list(inputs), "forward")
        return gives.pack(evaluated(graph, xs, call))


# PyTorch's modules on rows whose channels come last.


class _Last:
    border: Any = None  # zeros around it, where they are not alike on both sides

    def forward(self, x: Any) -> Any:
        x = torch.movedim(x, -1, 1)
        x = x if self.border is None else F.pad(x, self.border)
        return torch.movedim(super().forward(x), 1, -1)  # type: ignore[misc]


class _Ids(nn.Embedding):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return super().forward(x.to(torch.int64))


class _Batch(nn.BatchNorm1d):  # type: ignore[misc]
    axis = -1

    def forward(self, x: Any) -> Any:
        moved = torch.movedim(x, self.axis, -1)
        return torch.movedim(super().forward(moved.reshape(-1, moved.shape[-1])).reshape(moved.shape), -1, self.axis)


class _Steps:
    """A recurrent module that gives what the layer does."""

    run: Any

    def forward(self, x: Any) -> Any:
        backwards, sequences, states = self.run
        given, now = super().forward(torch.flip(x, (1,)) if backwards else x)  # type: ignore[misc]
        last = [each[0] for each in (now if isinstance(now, tuple) else (now,))]
        out = given if sequences else given[:, -1]
        return (out, *last) if states else out


def _made(*bases: Any) -> Any:
    """A class for each of PyTorch's, by its name, with a mixin before it."""
    mixin, *classes = bases
    return {each.__name__: type(each.__name__, (mixin, each), {}) for each in classes}


LAST = _made(
    _Last,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.PReLU, nn.GroupNorm),
)
STEPS = _made(_Steps, nn.RNN, nn.LSTM, nn.GRU)

UNITS = {made: name for name, (made, _) in UNITS_BY_NAME.items()}


def unit_module(unit: Any) -> Any:
    """The module of an activation."""
    if isinstance(unit, (A.Softmax, A.LogSoftmax)):
        return getattr(nn, type(unit).__name__)(-1)
    name = UNITS.get(type(unit))
    if name is None or (isinstance(unit, A.ReLU) and unit != A.relu):
        return Unit(unit)
    if isinstance(unit, A.GELU):
        return nn.GELU("tanh" if unit.approximate else "none")
    return getattr(nn, name)() if isinstance(unit, A.ReLU) else getattr(nn, name)(*field_values(unit).values())


def _convolution(layer: Any, row: Any) -> Any:
    first = layer.data_format == "channels_first"
    sizes, channels = (row[1:], row[0]) if first else (row[:-1], row[-1])
    reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    places = list(zip(sizes, reach, layer.strides, strict=True))
    border = [same_border(*each) for each in places] if layer.padding == "same" else [(0, 0)] * len(sizes)
    border = [(reach[0] - 1, 0)] if layer.padding == "causal" else border
    depthwise = isinstance(layer, (L.DepthwiseConv1D, L.DepthwiseConv2D))
    filters = channels * layer.depth_multiplier if depthwise else layer.filters
    name = f"Conv{len(sizes)}d"
    even = all(a == b for a, b in border)
    if first and not even:
        return None
    module = (getattr(nn, name) if first else LAST[name])(
        channels,
        filters,
        layer.kernel_size,
        layer.strides,
        tuple(a for a, _ in border) if even else 0,
        layer.dilation_rate,
        channels if depthwise else layer.groups,
        layer.use_bias,
    )
    if not even:
        module.border = [n for pair in reversed(border) for n in pair]
    return module


def _transposed(layer: Any, row: Any) -> Any:
    if layer.padding != "valid" or layer.data_format == "channels_first":
        return None
    parts = zip(row, layer.kernel_size, layer.dilation_rate, layer.strides, layer.output_shape(row), strict=False)
    more = tuple(given - (n - 1) * s - (k - 1) * d - 1 for n, k, d, s, given in parts)
    sizes = layer.kernel_size, layer.strides, 0, more, 1, layer.use_bias, layer.dilation_rate
    fits = all(n < max(s, d) for n, s, d in zip(more, layer.strides, layer.dilation_rate, strict=True))
    return LAST[f"ConvTranspose{layer.axes}d"](row[-1], layer.filters, *sizes) if fits else None


def _pooling(layer: Any, row: Any) -> Any:
    if layer.padding != "valid":
        return None
    name = f"{'Max' if layer.largest else 'Avg'}Pool{layer.axes}d"
    one = layer.axes == 1
    sizes = (layer.pool_size[0], layer.strides[0]) if one else (layer.pool_size, layer.strides)
    return (getattr(nn, name) if layer.data_format == "channels_first" else LAST[name])(*sizes)


def _batch(layer: Any, row: Any) -> Any:
    (axis,) = row_axes(layer, layer.axis, row)
    if layer.center != layer.scale:
        return None
    module = _Batch(row[axis], layer.epsilon, 1 - layer.momentum, layer.center)
    module.axis = axis - len(row)
    return module


def _normed(layer: Any, row: Any) -> Any:
    axes = row_axes(layer, layer.axis, row)
    behind = axes == tuple(range(axes[0], len(row)))
    shape = row[axes[0] :]
    if isinstance(layer, L.RMSNormalization):
        return nn.RMSNorm(shape, layer.epsilon) if behind else None
    return nn.LayerNorm(shape, layer.epsilon, layer.scale, layer.center) if behind and layer.scale else None


def _group(layer: Any, row: Any) -> Any:
    if row_axes(layer, layer.axis, row) != (len(row) - 1,) or layer.center != layer.scale:
        return None
    groups = row[-1] if layer.groups == -1 else layer.groups
    return LAST["GroupNorm"](groups, row[-1], layer.epsilon, layer.center)


def _prelu(layer: Any, row: Any) -> Any:
    shape = placed(layer).parameters[0].shape
    return LAST["PReLU"](shape[-1]) if all(n == 1 for n in shape[:-1]) else None


def _recurrent(layer: Any, row: Any) -> Any:
    unit, gate = layer.activation, getattr(layer, "recurrent_activation", A.sigmoid)
    plain = isinstance(layer, L.SimpleRNN) and unit == A.relu
    if gate != A.sigmoid or not (unit == A.tanh or plain) or not getattr(layer, "reset_after", True):
        return None
    if layer.dropout or layer.recurrent_dropout:
        return None
    name = {L.SimpleRNN: "RNN", L.LSTM: "LSTM", L.GRU: "GRU"}[type(layer)]
    more = {"nonlinearity": "relu"} if plain else {}
    module = STEPS[name](row[-1], layer.units, bias=layer.use_bias, batch_first=True, **more)
    module.run = layer.go_backwards, layer.return_sequences, layer.return_state
    return module


MODULES: dict[type, Any] = {
    L.Dense: lambda f, row: nn.Linear(row[-1], f.units, f.use_bias),
    L.Embedding: lambda f, row: _Ids(f.input_dim, f.output_dim),
    L.Flatten: lambda f, row: nn.Flatten() if row else None,
    L.Identity: lambda f, row: nn.Identity(),
    L.Dropout: lambda f, row: None if f.noise_shape else nn.Dropout(f.rate),
    L.AlphaDropout: lambda f, row: None if f.noise_shape else nn.AlphaDropout(f.rate),
    L.GaussianNoise: lambda f, row: Noise(f.stddev, False),
    L.GaussianDropout: lambda f, row: Noise((f.rate / (1 - f.rate)) ** 0.5, True),
    L.SpatialDropout1D: lambda f, row: LAST["Dropout1d"](f.rate),
    L.SpatialDropout2D: lambda f, row: LAST["Dropout2d"](f.rate) if f.data_format != "channels_first" else None,
    L.SpatialDropout3D: lambda f, row: LAST["Dropout3d"](f.rate) if f.data_format != "channels_first" else None,
    L.BatchNormalization: _batch,
    L.LayerNormalization: _normed,
    L.RMSNormalization: _normed,
    L.GroupNormalization: _group,
    L.PReLU: _prelu,
}
MODULES |= dict.fromkeys((L.Conv1D, L.Conv2D, L.Conv3D, L.DepthwiseConv1D, L.DepthwiseConv2D), _convolution)
MODULES |= dict.fromkeys((L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose), _transposed)
MODULES |= dict.fromkeys((L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D), _pooling)
MODULES |= dict.fromkeys((L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D), _pooling)
MODULES |= dict.fromkeys((L.SimpleRNN, L.LSTM, L.GRU), _recurrent)
ALONE = (L.Activation, L.ReLU, L.LeakyReLU, L.ELU)


def modules_of(node: Any) -> dict[str, Any]:
    """The modules that a call's layer is, with what their names end with: itself, and its activation."""
    layer = node.layer
    if isinstance(layer, ALONE):
        return {"": unit_module(layer.activation)}
    make = MODULES.get(type(layer))
    module = make(layer, node.values[0].row) if make is not None and len(node.values) == 1 else None
    if module is None:
        return {"": Formula(node)}
    if known(layer):
        state = {name: torch.from_numpy(array.copy()) for name, array in given_by(layer).items()}
        if isinstance(module, nn.RNNBase):
            state = {f"{name}_l0": array for name, array in state.items()}
        module.load_state_dict(state, strict=False)
    if not layer.trainable:
        module.requires_grad_(False)
    unit = None if isinstance(module, nn.RNNBase) else getattr(layer, "activation", None)
    if unit is None or unit == A.linear:
        return {"": module}
    if (
        isinstance(unit, (A.GLU, A.Softmax, A.LogSoftmax, A.Sparsemax))
        and getattr(layer, "data_format", "") != "channels_last"
    ):
        return {"": module, "_activation": Unit(unit)}
    return {"": module, "_activation": unit_module(unit)}

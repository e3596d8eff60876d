"""PyTorch: the layers of a network as modules, in its own order of axes and gates.

Channels stand before steps and pixels; with `channels_last`, which PyTorch knows for pictures alone, the same pixels
lie in memory as Keras has them. The second bias of an LSTM, which Keras does not have, stays zero.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.networks import (
    GRU,
    LSTM,
    Array,
    Block,
    Conv,
    Dense,
    Embedding,
    Flatten,
    GlobalAverage,
    Layer,
    Network,
    Pool,
    Row,
)

ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "softmax": partial(nn.Softmax, dim=1),
}
NORM_EPSILON = 1e-3  # Keras's


class Permute(nn.Module):
    """The same numbers with the axes in another order."""

    def __init__(self, *axes: int):
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


class Mean(nn.Module):
    def __init__(self, *axes: int):
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes)


class LastState(nn.Module):
    def __init__(self, steps: nn.Module):
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        state = self.steps(x)[1]
        return (state[0] if isinstance(state, tuple) else state)[0]


def convolves(network: Network) -> bool:
    return any(isinstance(layer, Conv) for layer in network.layers)


def rows_of(network: Network, x: Array, channels_last: bool = False) -> Array:
    """In memory as the network reads them."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if convolves(network) and not channels_last else x


def layered(case: Case, channels_last: bool = False, output: str = "linear") -> nn.Sequential:
    """With the initial weights; `output`: the last activation."""
    modules: list[nn.Module] = [Permute(0, 3, 1, 2)] if channels_last else []
    first, network = convolves(case.network), case.network
    last = network.layers[-1]._replace(activation=output)  # type: ignore[union-attr]
    for layer, row in [*network.rows[:-1], (last, network.rows[-1][1])]:
        modules += modules_of(layer, row, first, channels_last)
    model = nn.Sequential(*modules)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, weight in model.named_parameters():
        if "bias_hh" in name and isinstance(model.get_submodule(name.rpartition(".")[0]), nn.LSTM):
            weight.requires_grad = False
    load(model, case)
    return model


def modules_of(layer: Layer, row: Row, first: bool, channels_last: bool) -> Iterator[nn.Module]:
    """`first`: channels stand before steps and pixels."""
    axes = len(row) - 1
    match layer:
        case Dense(units, activation):
            yield nn.Linear(row[0], units)
            if activation != "linear":
                yield ACTIVATIONS[activation]()
        case Conv(filters, size, activation):
            yield (nn.Conv1d, nn.Conv2d)[axes - 1](row[-1], filters, size)
            yield ACTIVATIONS[activation]()
        case Pool(size):
            yield (nn.MaxPool1d, nn.MaxPool2d)[axes - 1](size)
        case GlobalAverage():
            yield Mean(*range(1 + first, axes + 1 + first))
        case Flatten():
            yield from [Permute(0, 2, 3, 1)] if channels_last else []
            yield nn.Flatten()
        case Embedding(words, features):
            yield nn.Embedding(words, features)
        case LSTM(units):
            yield LastState(nn.LSTM(row[1], units, batch_first=True))
        case GRU(units):
            yield LastState(nn.GRU(row[1], units, batch_first=True))
        case Block(heads, _, feed_forward):
            yield nn.TransformerEncoderLayer(
                row[1], heads, feed_forward, dropout=0, layer_norm_eps=NORM_EPSILON, batch_first=True
            )


@torch.no_grad()
def load(model: nn.Sequential, case: Case) -> None:
    """The initial weights."""
    arrays, before = iter(case.weights), ()
    swapped = convolves(case.network) and not isinstance(model[0], Permute)
    modules = iter(module for module in model if next(module.parameters(), None) is not None)
    for layer, row in case.network.rows:
        if isinstance(layer, Flatten):
            before = row if swapped else ()
        named = dict(weights_of(layer, row, before, arrays))
        if named:
            found = dict(next(modules).named_parameters())
            for name, array in named.items():
                found[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))
            before = ()


def weights_of(layer: Layer, row: Row, before: Row, arrays: Iterator[Array]) -> Iterator[tuple[str, Array]]:
    """PyTorch's names and arrays; `before`: the row that was flattened, where its channels have come first."""
    match layer:
        case Dense():
            kernel = next(arrays)
            if before:
                kernel = np.moveaxis(kernel.reshape(*before, -1), -2, 0).reshape(kernel.shape)
            yield "weight", kernel.T
            yield "bias", next(arrays)
        case Conv():
            kernel = next(arrays)
            yield "weight", kernel.transpose(-1, -2, *range(kernel.ndim - 2))
            yield "bias", next(arrays)
        case Embedding():
            yield "weight", next(arrays)
        case LSTM(units):
            yield "steps.weight_ih_l0", next(arrays).T
            yield "steps.weight_hh_l0", next(arrays).T
            yield "steps.bias_ih_l0", next(arrays)
            yield "steps.bias_hh_l0", np.zeros(4 * units, np.float32)
        case GRU(units):
            order = np.r_[units : 2 * units, :units, 2 * units : 3 * units]  # z, r, h there
            yield "steps.weight_ih_l0", next(arrays).T[order]
            yield "steps.weight_hh_l0", next(arrays).T[order]
            yield from zip(("steps.bias_ih_l0", "steps.bias_hh_l0"), next(arrays)[:, order], strict=True)
        case Block():
            w = [next(arrays) for _ in range(16)]
            yield "self_attn.in_proj_weight", np.concatenate([kernel.reshape(row[1], -1) for kernel in w[:6:2]], 1).T
            yield "self_attn.in_proj_bias", np.concatenate([bias.ravel() for bias in w[1:6:2]])
            yield "self_attn.out_proj.weight", w[6].reshape(-1, row[1]).T
            yield "self_attn.out_proj.bias", w[7]
            for name, k in (("norm1", 8), ("norm2", 14)):
                yield from ((f"{name}.weight", w[k]), (f"{name}.bias", w[k + 1]))
            for name, k in (("linear1", 10), ("linear2", 12)):
                yield from ((f"{name}.weight", w[k].T), (f"{name}.bias", w[k + 1]))

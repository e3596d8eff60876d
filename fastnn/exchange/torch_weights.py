"""The weights of PyTorch's modules as those of layers, and back: names, axes, the order of gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import activations as A, layers as L
from fastnn.layers.convolution import Convolution
from fastnn.layers.places import placed
from fastnn.layers.tensor import called
from fastnn.typing import Array

Arrays = Mapping[str, Array]

NORMS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# Arrays of one module, by fastnn's names and PyTorch's; axes of kernels are turned besides.
NAMES: dict[type, dict[str, str]] = {
    L.Dense: {"kernel": "weight", "bias": "bias"},
    Convolution: {"kernel": "weight", "bias": "bias"},
    L.BatchNormalization: NORMS,
    L.LayerNormalization: NORMS,
    L.GroupNormalization: NORMS,
    L.RMSNormalization: {"scale": "weight"},
    L.PReLU: {"alpha": "weight"},
    L.Embedding: {"embeddings": "weight"},
}
# Activations: PyTorch's module, fastnn's class, and its fields by PyTorch's names. A Softplus goes over to z above its
# threshold, which changes less than 1e-8.
UNITS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "ReLU": (A.ReLU, ()), "ReLU6": (A.ReLU6, ()), "ELU": (A.ELU, ("alpha",)), "SELU": (A.SELU, ()),
    "CELU": (A.CELU, ("alpha",)), "GELU": (A.GELU, ("approximate",)), "SiLU": (A.SiLU, ()), "Mish": (A.Mish, ()),
    "Softplus": (A.Softplus, ()), "Softsign": (A.Softsign, ()), "Tanh": (A.Tanh, ()), "Tanhshrink": (A.TanhShrink, ()),
    "Sigmoid": (A.Sigmoid, ()), "LogSigmoid": (A.LogSigmoid, ()), "Hardtanh": (A.HardTanh, ()),
    "Hardsigmoid": (A.HardSigmoid, ()), "Hardswish": (A.HardSiLU, ()), "Hardshrink": (A.HardShrink, ("lambd",)),
    "Softshrink": (A.SoftShrink, ("lambd",)), "Threshold": (A.Threshold, ("threshold", "value")),
    "LeakyReLU": (A.LeakyReLU, ("negative_slope",)),
}  # fmt: skip
RECURRENT = (L.SimpleRNN, L.LSTM, L.GRU)
STEPS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
PARTS = ("query", "key", "value")


def names_of(layer: Any) -> dict[str, str]:
    """PyTorch's names of the layer's arrays by its own; {} where PyTorch has no module like it."""
    if isinstance(layer, (L.SeparableConv1D, L.SeparableConv2D)):
        return {}
    return next((names for kind, names in NAMES.items() if isinstance(layer, kind)), {})


def known(layer: Any) -> bool:
    """Whether PyTorch has a module with the layer's weights."""
    return bool(names_of(layer)) or isinstance(layer, (*RECURRENT, L.MultiHeadAttention))


def taken(layer: Any, given: Arrays) -> list[Array]:
    """The layer's arrays, in its order, from those of a module like it. ValueError where one is missing or odd.

    given: by PyTorch's names, those of one module; of a recurrent one without the "_l0" of its layer.
    """
    given = {name: array for name, array in given.items() if name != "num_batches_tracked"}
    try:
        if isinstance(layer, L.MultiHeadAttention):
            found, read = _attention(layer, given)
        elif isinstance(layer, RECURRENT):
            found, read = _recurrent(layer, given)
        else:
            names, mine = names_of(layer), [each.name for each in placed(layer).parameters]
            read = [names[name] for name in mine]
            found = [_turned(layer, name, given[names[name]]) for name in mine]
    except KeyError as error:
        raise ValueError(f"layer {called(layer)!r} needs {error}, got {', '.join(given) or 'nothing'}") from None
    if rest := set(given) - set(read):
        raise ValueError(f"layer {called(layer)!r} has no place for {', '.join(sorted(rest))}")
    for array, own in zip(found, layer.weights, strict=True):
        if array.shape != tuple(own.shape):
            raise ValueError(f"layer {called(layer)!r}: {own.name} has shape {tuple(own.shape)}, got {array.shape}")
    return found


def given_by(layer: Any) -> dict[str, Array]:
    """The layer's arrays by the names, and along the axes, of PyTorch's module like it."""
    if isinstance(layer, L.MultiHeadAttention):
        return _attention_given(layer)
    arrays = dict(zip([each.name for each in placed(layer).parameters], layer.get_weights(), strict=True))
    if isinstance(layer, RECURRENT):
        return _recurrent_given(layer, arrays)
    names = names_of(layer)
    return {names[name]: _turned_back(layer, name, array) for name, array in arrays.items()}


def _turned(layer: Any, name: str, w: Array) -> Array:
    if name == "kernel" and isinstance(layer, L.Dense):
        return w.T
    if name == "kernel":  # (filters, channels, ...) and, transposed, (channels, filters, ...)
        w = np.moveaxis(w, (0, 1), (-1, -2)) if w.ndim > 1 else w
    wanted = next(each.shape for each in placed(layer).parameters if each.name == name)
    return w.reshape(wanted) if _same_but_for_ones(w.shape, wanted, name) else w


def _same_but_for_ones(shape: tuple[int, ...], wanted: tuple[int, ...], name: str) -> bool:
    """Whether an array of slopes, or of a kernel that meets each channel, is the wanted one in another form."""
    if name == "kernel":
        return shape[:-2] == wanted[:-2] and shape[-2:] == (1, wanted[-1] * wanted[-2])
    return [size for size in shape if size > 1] == [size for size in wanted if size > 1]


def _turned_back(layer: Any, name: str, w: Array) -> Array:
    if name == "alpha":
        return w.ravel()
    if name != "kernel":
        return w
    if isinstance(layer, L.Dense):
        return w.T
    if isinstance(layer, (L.DepthwiseConv1D, L.DepthwiseConv2D)):
        w = w.reshape(*w.shape[:-2], 1, -1)
    return np.moveaxis(w, (-1, -2), (0, 1))


def _gates(layer: Any, w: Array) -> Array:
    """The rows of a GRU's gates in the other order: PyTorch's r, z, n, fastnn's z, r, n."""
    if not isinstance(layer, L.GRU) or len(w) % 3:
        return w
    first, second, n = np.split(w, 3)
    return np.concatenate([second, first, n])


def _recurrent(layer: Any, given: Arrays) -> tuple[list[Array], list[str]]:
    read = [*STEPS[: 4 if layer.use_bias else 2], *([] if layer.use_bias else STEPS[2:])]
    kernel, recurrent, *biases = (_gates(layer, given[name]) for name in STEPS[: 4 if layer.use_bias else 2])
    found = [kernel.T, recurrent.T]
    if biases:
        found.append(np.stack(biases) if isinstance(layer, L.GRU) else biases[0] + biases[1])
    for name in read[2:] if not biases else ():
        if np.any(given.get(name, 0)):
            raise ValueError(f"layer {called(layer)!r} has no bias, and {name} is not 0; make it with use_bias=True")
    return found, read


def _recurrent_given(layer: Any, arrays: Arrays) -> dict[str, Array]:
    found = {"weight_ih": arrays["kernel"].T, "weight_hh": arrays["recurrent_kernel"].T}
    if layer.use_bias:
        bias = arrays["bias"]
        pair = (bias[0], bias[1]) if isinstance(layer, L.GRU) else (bias, np.zeros_like(bias))
        found |= {"bias_ih": pair[0], "bias_hh": pair[1]}
    return {name: _gates(layer, array) for name, array in found.items()}


def _attention(layer: Any, given: Arrays) -> tuple[list[Array], list[str]]:
    heads = layer.num_heads
    read = ["in_proj_weight"] if "in_proj_weight" in given else [f"{part[0]}_proj_weight" for part in PARTS]
    kernels = np.array_split(given[read[0]], 3) if len(read) == 1 else [given[name] for name in read]
    out = given["out_proj.weight"].T
    weights = [w.T.reshape(w.shape[1], heads, -1) if len(w) % heads == 0 else w for w in kernels]
    weights.append(out.reshape(heads, -1, out.shape[-1]) if len(out) % heads == 0 else out)
    if not layer.use_bias:
        return weights, [*read, "out_proj.weight"]
    parts = np.array_split(given["in_proj_bias"], 3)
    biases = [b.reshape(w.shape[1:]) if b.size == w[0].size else b for b, w in zip(parts, weights, strict=False)]
    biases.append(given["out_proj.bias"])
    pairs = zip(weights, biases, strict=True)
    return [array for pair in pairs for array in pair], [*read, "in_proj_bias", "out_proj.weight", "out_proj.bias"]


def _attention_given(layer: Any) -> dict[str, Array]:
    arrays = layer.get_weights()
    weights, biases = (arrays[::2], arrays[1::2]) if layer.use_bias else (arrays, [])
    kernels = [w.reshape(len(w), -1).T for w in weights[:3]]
    found = {"out_proj.weight": weights[3].reshape(-1, weights[3].shape[-1]).T}
    if len({w.shape for w in kernels}) == 1:
        found["in_proj_weight"] = np.concatenate(kernels)
    else:
        found |= {f"{part[0]}_proj_weight": w for part, w in zip(PARTS, kernels, strict=True)}
    if biases:
        found |= {"in_proj_bias": np.concatenate([b.ravel() for b in biases[:3]]), "out_proj.bias": biases[3]}
    return found

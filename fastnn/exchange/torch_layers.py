"""The modules of PyTorch as layers: one function for each kind, given the call and what the module is called on."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

from fastnn import activations as A, layers as L
from fastnn.exchange.torch_functions import Value, reshaped
from fastnn.exchange.torch_sequences import SEQUENCES, last_axes, normed, only
from fastnn.exchange.torch_weights import UNITS
from fastnn.layers.operation import operation

Maker = Callable[..., Any]


# Activations.


class Unit(NamedTuple):
    """An activation, and along which of PyTorch's axes it runs; None for number by number."""

    unit: Any
    dim: Any = None

    def last_of(self, value: Value) -> bool:
        """Whether it can be a layer's own activation behind that value."""
        return self.dim is None or value.axis(self.dim) == len(value.tensor.row)

    def __call__(self, value: Value) -> Value:
        """What it gives."""
        if not self.last_of(value) and value.layout == "rows":
            value = value.as_picture()  # along the channels, most often
        if self.last_of(value):
            return value.like(L.Activation(self.unit)(value.tensor))
        if isinstance(self.unit, A.Softmax):
            return value.like(L.Softmax(value.axis(self.dim))(value.tensor))
        raise ValueError(f"{self.unit!r} along axis {self.dim} is not read, but along the last one")


def _dim(m: Any) -> Any:
    return -1 if m.dim is None else m.dim


OF_ROWS: dict[str, Any] = {"Softmax": A.Softmax, "LogSoftmax": A.LogSoftmax}


def activation_of(module: Any) -> Unit | None:
    """The activation that a module is; None for another module. ValueError for one that no layer has."""
    kind = type(module).__name__
    if kind in OF_ROWS:
        return Unit(OF_ROWS[kind](), _dim(module))
    if kind not in UNITS:
        return None
    if kind in ("Softplus", "Hardtanh"):
        only(module, beta=1, min_val=-1.0, max_val=1.0)
    made, fields = UNITS[kind]
    given = [getattr(module, name) for name in fields]
    return Unit(made(*([given[0] == "tanh"] if kind == "GELU" else given)))


def _glu(call: Any, x: Value) -> Value:
    return x.like(L.Activation(A.GLU(x.axis(call.module.dim)))(x.tensor))


# Layers.


def _same(call: Any, x: Any) -> Any:
    return x


def _linear(call: Any, x: Value) -> Value:
    m, x = call.module, x.as_rows() if x.layout == "picture" else x
    dense = call.layer(L.Dense, units=m.out_features, use_bias=m.bias is not None, activation=call.fused(x))
    return x.like(dense(x.tensor))


def _embedding(call: Any, x: Value) -> Value:
    only(call.module, max_norm=None)
    m = call.module
    return x.like(call.layer(L.Embedding, input_dim=m.num_embeddings, output_dim=m.embedding_dim)(x.tensor))


def _dropout(call: Any, x: Value) -> Value:
    return x.like(L.Dropout(call.module.p)(x.tensor)) if call.module.p < 1 else _refuse("p must be below 1")


def _spatial_dropout(call: Any, x: Value) -> Value:
    x = x.as_picture()
    return x.like(_kind("SpatialDropout#", len(x.tensor.row) - 1)(call.module.p)(x.tensor))


def _refuse(why: str) -> Any:
    raise ValueError(why)


def _flatten(call: Any, x: Value) -> Value:
    m, x = call.module, x.as_rows() if x.layout == "picture" else x
    x.only_rows("what is flattened")
    first, last = m.start_dim % len(x.shape), m.end_dim % len(x.shape)
    x.axis(first)
    row = x.tensor.row
    if (first, last) == (1, len(row)):
        return Value(L.Flatten()(x.tensor))
    return reshaped(x, (x.shape[0], *row[: first - 1], prod(row[first - 1 : last]), *row[last:]))


def _unflatten(call: Any, x: Value) -> Value:
    x, row = x.as_rows(), x.as_rows().tensor.row
    place = x.axis(call.module.dim) - 1
    sizes = [size[1] if isinstance(size, tuple) else size for size in call.module.unflattened_size]
    return reshaped(x, (x.shape[0], *row[:place], *sizes, *row[place + 1 :]))


# Pictures.


def _sizes(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes


def _axes(m: Any) -> int:
    """How many axes a module's pictures have, which its name ends with."""
    return int(type(m).__name__[-2])


def _kind(name: str, axes: int) -> Any:
    """The layer of that name for pictures of so many axes."""
    return getattr(L, name.replace("#", f"{axes}D"))


def _picture(x: Value, axes: int) -> Value:
    if len(x.tensor.row) != axes + 1:
        raise ValueError(f"it expects {axes + 2} axes, the first that of the rows, got {x!r}; check input_shape")
    return x.as_picture()


def _bordered(x: Value, border: tuple[int, ...]) -> Value:
    """With zeros around it."""
    if not any(border):
        return x
    return x.like(_kind("ZeroPadding#", len(border))(_each([(n, n) for n in border]))(x.tensor))


def _each(pairs: list[Any]) -> Any:
    """As layers of one axis take it: the pair itself."""
    return pairs[0] if len(pairs) == 1 else pairs


def _convolution(call: Any, x: Value) -> Value:
    m, axes = call.module, _axes(call.module)
    x = _picture(x, axes)
    padding = m.padding
    if m.padding_mode != "zeros" and any(_sizes(padding, axes)):
        raise ValueError(f"padding_mode must be 'zeros', got {m.padding_mode!r}")
    if not isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size, strict=True)]
        if set(m.stride) == {1} and [2 * p for p in padding] == reach:
            padding = "same"
        else:
            x, padding = _bordered(x, padding), "valid"
    elif padding == "same" and any(d * (k - 1) % 2 for d, k in zip(m.dilation, m.kernel_size, strict=True)):
        raise ValueError("padding='same' with an even kernel has its odd place at the other end")
    layer = call.layer(
        _kind("Conv#", axes),
        filters=m.out_channels,
        kernel_size=m.kernel_size,
        strides=m.stride,
        padding=padding,
        dilation_rate=m.dilation,
        groups=m.groups,
        use_bias=m.bias is not None,
        activation=call.fused(x),
    )
    return x.like(layer(x.tensor))


def _transposed(call: Any, x: Value) -> Value:
    m, axes = call.module, _axes(call.module)
    only(m, groups=1, padding_mode="zeros")
    x = _picture(x, axes)
    layer = call.layer(
        _kind("Conv#Transpose", axes),
        filters=m.out_channels,
        kernel_size=m.kernel_size,
        strides=m.stride,
        output_padding=m.output_padding,
        dilation_rate=m.dilation,
        use_bias=m.bias is not None,
    )
    tensor = layer(x.tensor)
    if any(m.padding):
        tensor = _kind("Cropping#", axes)(_each([(n, n) for n in m.padding]))(tensor)
    return x.like(tensor)


def _pooling(call: Any, x: Value) -> Value:
    m, axes = call.module, _axes(call.module)
    x = _picture(x, axes)
    largest = type(m).__name__.startswith("Max")
    pool, padding = _sizes(m.kernel_size, axes), _sizes(m.padding, axes)
    strides = _sizes(m.kernel_size if m.stride is None else m.stride, axes)
    only(m, return_indices=False, divisor_override=None)
    if set(_sizes(getattr(m, "dilation", 1), axes)) != {1}:
        raise ValueError(f"dilation must be 1, got {m.dilation}")
    if m.ceil_mode and any((n - k) % s for n, k, s in zip(x.tensor.row, pool, strides, strict=False)):
        raise ValueError("ceil_mode must be False where windows do not fill the picture")
    if any(padding):
        if largest:
            x = _padded_below(x, padding)
        elif not m.count_include_pad:
            raise ValueError("count_include_pad must be True where there is padding")
        else:
            x = _bordered(x, padding)
    return x.like(_kind(f"{'Max' if largest else 'Average'}Pooling#", axes)(pool, strides)(x.tensor))


def _padded_below(x: Value, padding: tuple[int, ...]) -> Value:
    """With a border that is never the largest of a window."""
    tensor = x.tensor
    for axis, n in enumerate(padding):
        if n:
            row = (*tensor.row[:axis], n, *tensor.row[axis + 1 :])
            least = operation("constant", x.tensor, value=[-3e38])
            part = operation("broadcast_to", least, shape=list(row))
            tensor = L.Concatenate(axis + 1)([part, tensor, part])
    return x.like(tensor)


def _adaptive(call: Any, x: Value) -> Value:
    m, axes = call.module, _axes(call.module)
    x = _picture(x, axes)
    how = "Max" if type(m).__name__.startswith("AdaptiveMax") else "Average"
    sizes = x.tensor.row[:-1]
    wanted = tuple(n if w is None else w for n, w in zip(sizes, _sizes(m.output_size, axes), strict=True))
    if any(n % w for n, w in zip(sizes, wanted, strict=True)):
        raise ValueError(f"output_size must divide {sizes}, got {wanted}")
    if set(wanted) == {1}:
        return x.like(_kind(f"Global{how}Pooling#", axes)(keepdims=True)(x.tensor))
    pool = tuple(n // w for n, w in zip(sizes, wanted, strict=True))
    return x.like(_kind(f"{how}Pooling#", axes)(pool)(x.tensor))


def _upsample(call: Any, x: Value) -> Value:
    m = call.module
    x = x.as_picture()
    axes = len(x.tensor.row) - 1
    wanted = _sizes(m.scale_factor, axes) if m.size is None else _sizes(m.size, axes)
    times = [w if m.size is None else w / n for w, n in zip(wanted, x.tensor.row, strict=False)]
    if any(each != int(each) for each in times) or m.mode not in ("nearest", "bilinear") or m.align_corners:
        raise ValueError("it must be by whole numbers, nearest or bilinear, with align_corners=False")
    size = tuple(map(int, times))
    how = {"interpolation": m.mode} if axes == 2 else {}
    return x.like(_kind("UpSampling#", axes)(size[0] if axes == 1 else size, **how)(x.tensor))


def _zero_pad(call: Any, x: Value) -> Value:
    x, given = x.as_picture(), call.module.padding
    pairs = list(zip(given[::2], given[1::2], strict=True))[::-1]  # PyTorch begins with the last axis
    return x.like(_kind("ZeroPadding#", len(pairs))(_each(pairs))(x.tensor))


# Normalisation.


def _batch_norm(call: Any, x: Value) -> Value:
    m = call.module
    only(m, track_running_stats=True)
    if m.momentum is None:
        raise ValueError("momentum must be a number: a mean over all batches is not kept")
    x = x.as_picture()
    fields = {"momentum": 1 - m.momentum, "epsilon": m.eps, "center": m.affine, "scale": m.affine}
    return x.like(call.layer(L.BatchNormalization, **fields)(x.tensor))


def _group_norm(call: Any, x: Value) -> Value:
    m, x = call.module, x.as_picture()
    if not hasattr(m, "num_groups"):  # an InstanceNorm, a group for each channel
        only(m, track_running_stats=False)
        x = _picture(x, _axes(m))
    fields = {"groups": getattr(m, "num_groups", -1), "epsilon": m.eps, "center": m.affine, "scale": m.affine}
    return x.like(call.layer(L.GroupNormalization, **fields)(x.tensor))


def _layer_norm(call: Any, x: Value) -> Value:
    x = x.as_rows() if x.layout == "picture" else x
    return x.like(normed(call, call.module, x.tensor))


def _rms_norm(call: Any, x: Value) -> Value:
    m, x = call.module, x.as_rows() if x.layout == "picture" else x
    epsilon = 2.0**-23 if m.eps is None else m.eps  # that of float32
    return x.like(call.layer(L.RMSNormalization, axis=last_axes(m), epsilon=epsilon)(x.tensor))


def _prelu(call: Any, x: Value) -> Value:
    x = x.as_picture()
    axes = len(x.tensor.row)
    shared = tuple(range(1, axes + (call.module.num_parameters == 1)))
    return x.like(call.layer(L.PReLU, shared_axes=shared or None)(x.tensor))


MODULES: dict[str, Maker] = {
    "Linear": _linear, "Embedding": _embedding, "Identity": _same, "Flatten": _flatten, "Unflatten": _unflatten,
    "GLU": _glu, "Dropout": _dropout, "PReLU": _prelu, "LayerNorm": _layer_norm, "RMSNorm": _rms_norm,
    "GroupNorm": _group_norm, **SEQUENCES,
    "AlphaDropout": lambda call, x: x.like(L.AlphaDropout(call.module.p)(x.tensor)), "Upsample": _upsample,
}  # fmt: skip
for _n in (1, 2, 3):
    MODULES |= {
        f"Conv{_n}d": _convolution, f"ConvTranspose{_n}d": _transposed, f"MaxPool{_n}d": _pooling,
        f"AvgPool{_n}d": _pooling, f"AdaptiveAvgPool{_n}d": _adaptive, f"AdaptiveMaxPool{_n}d": _adaptive,
        f"BatchNorm{_n}d": _batch_norm, f"InstanceNorm{_n}d": _group_norm, f"Dropout{_n}d": _spatial_dropout,
        f"ZeroPad{_n}d": _zero_pad,
    }  # fmt: skip
# Functions of torch.nn.functional, without their "_", by the module that does the same with the same arguments.
FREE = (*UNITS, *OF_ROWS, "GLU", "Dropout", "Flatten", *(kind for kind in MODULES if "Pool" in kind))
FUNCTIONS = {kind.lower(): kind for kind in FREE}

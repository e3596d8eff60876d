"""PyTorch's recurrent and attention modules as layers: see ``fastnn.exchange.torch_layers``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn import layers as L
from fastnn.exchange.torch_functions import OtherLayoutError, Value, WithMore


def only(module: Any, **expected: Any) -> None:
    """ValueError where a field of the module is another than the one that a layer has."""
    for name, value in expected.items():
        if getattr(module, name, value) != value:
            raise ValueError(f"{name} must be {value!r}, got {getattr(module, name)!r}")


def last_axes(m: Any) -> Any:
    """The axes of a module's normalized_shape."""
    n = len(m.normalized_shape)
    return -1 if n == 1 else tuple(range(-n, 0))


def normed(call: Any, m: Any, tensor: Any, part: str = "") -> Any:
    """What a LayerNorm, or such a part of a module, gives."""
    fields = {"center": m.bias is not None, "scale": m.weight is not None}
    return call.layer(L.LayerNormalization, part, axis=last_axes(m), epsilon=m.eps, **fields)(tensor)


def _along_steps(x: Value, rows_first: bool) -> Value:
    """The value, where its axes are as the module has them. OtherLayoutError where not."""
    x = x.as_rows() if x.layout == "picture" else x
    if (x.layout == "rows") != rows_first:
        order = "rows, steps, features" if rows_first else "steps, rows, features"
        raise OtherLayoutError(f"its batch_first says ({order}), and that is not the order of what it is called on")
    return x


def _recurrent(call: Any, x: Value, before: Any = None) -> Any:
    m = call.module
    if before is not None:
        raise ValueError("it must be called without a state to begin with")
    only(m, proj_size=0)
    wants = {each.args[1] for each in call.node.users if getattr(each.target, "__name__", "") == "getitem"}
    stateful = bool(wants - {0})
    x = _along_steps(x, m.batch_first)
    tensor, states = x.tensor, []
    for number in range(m.num_layers):
        if number and m.dropout:
            tensor = L.Dropout(m.dropout)(tensor)
        layers = [_steps(call, m, f"_l{number}{way}", stateful) for way in ("", "_reverse")[: 1 + m.bidirectional]]
        given = layers[0](tensor) if len(layers) == 1 else _both_ways(layers, tensor)
        tensor, *own = given if isinstance(given, tuple) else (given,)
        states += own
    kept = [[Value(each) for each in states[k :: 2 if m.mode == "LSTM" else 1]] for k in range(1 + (m.mode == "LSTM"))]
    return WithMore([x.like(tensor), kept if m.mode == "LSTM" else kept[0]])


def _steps(call: Any, m: Any, part: str, stateful: bool) -> Any:
    fields = {"units": m.hidden_size, "use_bias": m.bias, "return_sequences": True, "return_state": stateful}
    if part.endswith("_reverse"):
        fields["go_backwards"] = True
    if m.mode in ("LSTM", "GRU"):
        return call.layer(L.LSTM if m.mode == "LSTM" else L.GRU, part, **fields)
    return call.layer(L.SimpleRNN, part, activation=m.mode.removeprefix("RNN_").lower(), **fields)


def _both_ways(layers: list[Any], x: Any) -> Any:
    """What a layer and one that goes backwards give, along the last axis, and their states."""
    one, other = layers[0](x), layers[1](x)
    (one, *states), (other, *more) = ((each if isinstance(each, tuple) else (each,)) for each in (one, other))
    joined = L.Concatenate()([one, other[:, ::-1]])
    return (joined, *states, *more)


def _attention(call: Any, query: Value, key: Value, value: Value, **options: Any) -> Any:
    return WithMore([_attended(call, call.module, "", query, key, value, **options), None])


def _attended(call: Any, m: Any, part: str, query: Value, key: Value, value: Value, **options: Any) -> Value:
    for name in ("key_padding_mask", "attn_mask", "src_mask", "src_key_padding_mask"):
        if options.get(name) is not None:
            raise ValueError(f"{name} must be None: masks are not read")
    query, key, value = (_along_steps(each, m.batch_first) for each in (query, key, value))
    if m.bias_k is not None or m.add_zero_attn:
        raise ValueError("add_bias_kv and add_zero_attn must be False")
    layer = call.layer(
        L.MultiHeadAttention,
        part,
        num_heads=m.num_heads,
        key_dim=m.head_dim,
        dropout=m.dropout,
        use_bias=m.in_proj_bias is not None,
    )
    return query.like(layer(query.tensor, value.tensor, key.tensor))


def _encoder_layer(call: Any, x: Value, *masks: Any, prefix: str = "", module: Any = None, **options: Any) -> Value:
    m = call.module if module is None else module
    if any(each is not None for each in masks) or options.get("is_causal"):
        raise ValueError("src_mask and is_causal must be left out: masks are not read")
    unit = getattr(m.activation, "__name__", type(m.activation).__name__).lower()
    if unit not in ("relu", "gelu"):
        raise ValueError(f"activation must be relu or gelu, got {unit}")

    def norm(name: str, tensor: Any) -> Any:
        return normed(call, getattr(m, name), tensor, f"{prefix}{name}")

    def dense(name: str, tensor: Any, activation: Any = None) -> Any:
        linear = getattr(m, name)
        fields = {"units": linear.out_features, "use_bias": linear.bias is not None, "activation": activation}
        return call.layer(L.Dense, f"{prefix}{name}", **fields)(tensor)

    def attended(tensor: Any) -> Any:
        given = _attended(call, m.self_attn, f"{prefix}self_attn", *(x.like(tensor),) * 3, **options)
        return _dropped(m.dropout1.p, given.tensor)

    def fed(tensor: Any) -> Any:
        return _dropped(m.dropout2.p, dense("linear2", _dropped(m.dropout.p, dense("linear1", tensor, unit))))

    tensor = x.tensor
    if m.norm_first:
        tensor = L.Add()([tensor, attended(norm("norm1", tensor))])
        return x.like(L.Add()([tensor, fed(norm("norm2", tensor))]))
    tensor = norm("norm1", L.Add()([tensor, attended(tensor)]))
    return x.like(norm("norm2", L.Add()([tensor, fed(tensor)])))


def _dropped(p: float, tensor: Any) -> Any:
    return L.Dropout(p)(tensor) if p else tensor


def _encoder(call: Any, x: Value, *masks: Any, **options: Any) -> Value:
    for number, each in enumerate(call.module.layers):
        x = _encoder_layer(call, x, *masks, prefix=f"layers.{number}.", module=each, **options)
    last = call.module.norm
    return x if last is None else x.like(normed(call, last, x.tensor, "norm"))


SEQUENCES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "MultiheadAttention": _attention,
    "TransformerEncoderLayer": _encoder_layer,
    "TransformerEncoder": _encoder,
}

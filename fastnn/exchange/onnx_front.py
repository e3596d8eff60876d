"""Layers of a model's front, which read raw columns, as nodes of ONNX and of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.exchange.onnx_calls import REFUSED, Call, writes
from fastnn.exchange.onnx_layers import encoded

_HASH = "ONNX has no operator for FarmHash and SipHash"
REFUSED.update(
    hashing=_HASH,
    hashed_crossing=_HASH,
    text_vectorization="ONNX's operators do not standardise and split text as it does",
    date_parts="ONNX has no operator that reads dates",
)


@writes("string_lookup", "integer_lookup")
def _lookup(c: Call, x: str) -> str:
    layer, g, text = c.layer, c.g, c.layer.vocabulary_kind == "string"
    mode, several, kind = layer.output_mode, layer.num_oov_indices > 1, "strings" if text else "int64s"
    tokens = layer.get_vocabulary(False)
    x = g.cast(x, "int64") if not text or layer.invert else x
    if layer.invert:
        tokens = layer.get_vocabulary()
        given = _labels(c, x, "int64s", [*range(len(tokens))], kind, tokens, layer.oov_token)
        g.kinds[given] = layer.vocabulary_kind
        return given
    if layer.num_oov_indices == 0:
        c.refuse("num_oov_indices=0 makes an unknown value an error, and ONNX has none")
    if several and (text or layer.oov_method != "floormod"):
        c.refuse(f"{_HASH}, by which unknown values share num_oov_indices={layer.num_oov_indices}; 1 needs none")
    size = layer.vocabulary_size()
    depth = layer.max_tokens if layer.pad_to_max_tokens else size
    start = int(layer.mask_token is not None and mode == "int")
    values = [*range(size - len(tokens), size)]
    if layer.mask_token is not None:  # beyond the last number it leaves no trace
        tokens, values = [*tokens, layer.mask_token], [*values, 0 if mode == "int" else depth]
    found = _labels(c, x, kind, tokens, "int64s", values, -1 if several else start)
    if several:
        other = c.op("Add", c.op("Mod", x, np.array(layer.num_oov_indices)), np.array(start))
        found = c.op("Where", c.op("Equal", found, np.array(-1)), other, found)
    g.kinds[found] = "int64"
    if mode == "int":
        return found
    rows = encoded(c, found, "count" if mode == "tf_idf" else mode, depth)
    return c.op("Mul", rows, c.known("idf_weights", layer.idf_weights)) if mode == "tf_idf" else rows


def _labels(c: Call, x: str, kind: str, keys: list[Any], other: str, values: list[Any], default: Any) -> str:
    named = {f"keys_{kind}": keys, f"values_{other}": values, f"default_{other.removesuffix('s')}": default}
    return c.op("LabelEncoder", x, domain="ai.onnx.ml", **named)


@writes("discretization")
def _discretization(c: Call, x: str) -> str:
    layer, last = c.layer, len(c.row) + 1
    wide = c.op("Unsqueeze", c.g.cast(x, "float32"), [last])
    above = c.op("GreaterOrEqual", wide, c.known("bin_boundaries", np.array(layer.bin_boundaries, np.float32)))
    bins = c.op("ReduceSum", c.g.cast(above, "int64"), [last], keepdims=0)
    c.g.kinds[bins] = "int64"
    if layer.output_mode == "int":
        return bins
    if layer.output_mode != "one_hot" and len(c.row) > 1:
        bins = c.g.transpose(bins, [0, *range(2, len(c.row) + 1), 1])
    return encoded(c, bins, layer.output_mode, layer.number_of_bins())


@writes("scaler")
def _scaler(c: Call, x: str) -> str:
    """In float64, as fastnn does it."""
    layer = c.layer
    if c.g.kinds.get(x) == "string":
        c.refuse('it reads numbers that lie there as text; give its Input dtype="float32"')
    center, scale, fill = (np.array(each, np.float64) for each in (layer.center, layer.scale, layer.fill))
    numbers = c.g.cast(x, "float64")
    if layer.log:
        numbers = c.op("Log", c.op("Add", numbers, np.array(1.0)))
    missing = c.op("IsNaN", numbers)
    filled = numbers if layer.missing is None else c.op("Where", missing, c.known("fill", fill), numbers)
    scaled = c.op("Div", c.op("Sub", filled, c.known("center", center)), c.known("scale", scale))
    c.g.kinds[scaled] = "float64"
    scaled = c.g.cast(scaled, "float32")
    if not layer.indicator:
        return scaled
    both = [scaled, c.g.cast(missing, "float32")]
    if not c.row:
        both = [c.op("Unsqueeze", each, [1]) for each in both]
    return c.op("Concat", *both, axis=-1)

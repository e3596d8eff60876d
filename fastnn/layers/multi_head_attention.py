"""Attention of several heads: MultiHeadAttention, GroupQueryAttention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_flag, check_count, check_flag, shown
from fastnn.layers._fields import ShapeArgument, own_input_shape, resolve_units, size_of
from fastnn.layers.attention import Weighting, as_mask, check_dropout, with_constants
from fastnn.layers.base import LAYERS
from fastnn.layers.composite import Composite
from fastnn.layers.einsum_dense import EinsumDense
from fastnn.layers.merging import Multiply
from fastnn.layers.reshaping import Reshape
from fastnn.layers.tensor import Tensor
from fastnn.typing import DoubleArray, Shape

__all__ = ["GroupQueryAttention", "MultiHeadAttention"]

# How Keras runs it, which changes no value.
_TAKEN = {"saved": False}


class _Projection(EinsumDense):
    """Of each line by itself, whose mask it keeps."""

    passes_mask = True


class _Heads(Composite):
    """What the two have in common: projections, the attention between them, and masks."""

    passes_mask = reads_rows = True
    dropout: float
    use_bias: bool
    use_gate: bool
    sliding_window: int | None
    seed: int | None
    query_dense: Any
    key_dense: Any
    value_dense: Any
    gate_dense: Any
    output_dense: Any

    def _sizes(self) -> tuple[int, int, int, int]:
        """Heads, groups of keys and values, numbers of a key and of a value."""
        raise NotImplementedError

    def _given_row(self, query: Shape) -> Shape:
        """The axes given in place of the last."""
        return query[-1:]

    def __post_init__(self) -> None:
        for name in ("use_bias", "use_gate"):
            check_flag(self, name)
            self._set(name, bool(getattr(self, name)))
        if self.sliding_window is not None:
            size_of(self, "sliding_window", also="`sliding_window` must be `None` or a positive integer")
        check_dropout(self)
        resolve_units(self, "kernel", "bias")
        own_input_shape(self)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """What the layer gives for tensors, or for arrays. See the class."""
        if named.get("mask") is not None:
            raise TypeError(
                f"{type(self).__name__} takes query_mask, value_mask, key_mask and attention_mask, and no `mask`: say "
                "whose lines it is about"
            )
        args, kwargs = with_constants(given, named, "query", "value", "key")
        return super().__call__(*args, **kwargs)

    def _projection(self, name: str, equation: str, sizes: Shape, **more: Any) -> EinsumDense:
        named = [
            f"{part}_{kind}" for kind in ("initializer", "regularizer", "constraint") for part in ("kernel", "bias")
        ]
        axes = equation.split("...")[-1]
        return _Projection(
            equation,
            sizes,
            bias_axes=axes if self.use_bias else None,
            name=name,
            **{each: getattr(self, each) for each in named},
            **more,
        )

    def build(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> None:
        """Make the projections, for tensors of these shapes, or a list of them."""
        if value_shape is None:
            query_shape, value_shape, key_shape = [*query_shape, None][:3]
        query, value = tuple(query_shape[1:]), tuple(value_shape[1:])
        key = value if key_shape is None else tuple(key_shape[1:])
        self._check_rows(query, value, key)
        heads, groups, width, value_width = self._sizes()
        penalty = {"activity_regularizer": self.activity_regularizer}
        into, out = "...x,xyz->...yz", self._given_row(query)
        letters = "abcdefgh"[: len(out)]
        self._set("query_dense", self._projection("query", into, (heads, width), **penalty))
        self._set("key_dense", self._projection("key", into, (groups, width), **penalty))
        if self.use_gate:
            gate = self._projection("gate", into, (heads, value_width), activation="sigmoid", **penalty)
            self._set("gate_dense", gate)
        self._set("value_dense", self._projection("value", into, (groups, value_width), **penalty))
        # What that gives is what the layer gives, which has the penalty itself.
        self._set("output_dense", self._projection("attention_output", f"...yz,yz{letters}->...{letters}", out))

    def _check_rows(self, query: Shape, value: Shape, key: Shape) -> None:
        """ValueError where these do not go together."""
        kind = type(self).__name__
        if min(map(len, (query, value, key))) < 2 or key[:-1] != value[:-1]:
            raise ValueError(
                f"{kind} expects query (queries, features), value (keys, features) and key (keys, features), got rows "
                f"of shape {query}, {value} and {key} (All dimensions of `value` and `key`, except the last one, must "
                "be equal.)"
            )

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """What the heads give, and with return_attention_scores their weights."""
        value_mask = self._mask("value_mask", value_mask, value)
        if key is None:
            key, key_mask = value, value_mask if key_mask is None else key_mask
        causal = as_flag("use_causal_mask", use_causal_mask)
        self._check_rows(query.row, value.row, key.row)
        if causal and max(len(query.row), len(value.row)) > 2:
            raise ValueError(
                f"{type(self).__name__}: use_causal_mask is for rows of two axes, (queries, features), got {query.row}"
            )
        weighting = Weighting(
            scale=self._sizes()[2] ** -0.5,
            causal=causal,
            window=self.sliding_window,
            dropout=self.dropout,
            seed=self.seed,
            return_scores=as_flag("return_attention_scores", return_attention_scores),
        )
        denses = (self.query_dense, self.key_dense, self.value_dense)
        pairs = {"query_mask": (query, query_mask), "key_mask": (key, key_mask), "value_mask": (value, value_mask)}
        reads = [
            dense(tensor, mask=self._mask(name, mask, tensor))
            for dense, (name, (tensor, mask)) in zip(denses, pairs.items(), strict=True)
        ]
        whole = self._whole_mask(query, value, as_mask(attention_mask, reads[0]))
        given = weighting([*reads, *whole])
        out, *scores = given if isinstance(given, tuple) else (given,)
        if self.use_gate:
            out = Multiply()([out, self.gate_dense(query)])
        out = self.output_dense(out)
        return (out, *scores) if scores else out

    def _mask(self, name: str, mask: Any, tensor: Tensor) -> Any:
        """A mask that the layer is called with, a number for each line of a tensor; None for that of the tensor."""
        given = as_mask(mask, tensor)
        if given is None:
            return None
        lines = tensor.row[:-1]
        if prod(given.row) != prod(lines):
            raise ValueError(
                f"{type(self).__name__}: {name} must have a number for each line, {prod(lines)} of a row, got rows of "
                f"shape {given.row}"
            )
        return given if given.row == lines else Reshape(lines)(given)

    def _whole_mask(self, query: Tensor, value: Tensor, whole: Tensor | None) -> list[Tensor]:
        """The mask of pairs, as rows that are broadcast to (heads, queries, keys)."""
        queries, keys = prod(query.row[:-1]), prod(value.row[:-1])
        found = []
        if whole is not None:
            row, heads = whole.row, self._sizes()[0]
            if len(query.row) > 2 or len(value.row) > 2:  # axes of queries, then axes of keys
                row = (heads, queries, keys) if prod(row) == heads * queries * keys else (queries, keys)
            full = (*(1,) * (3 - len(row)), *row)
            fits = len(full) == 3 and all(n in (1, size) for n, size in zip(full, (heads, queries, keys), strict=True))
            if not fits or prod(row) != prod(whole.row):
                raise ValueError(
                    f"{type(self).__name__}: attention_mask must have rows of shape ({queries}, {keys}), or such with "
                    f"the axis of {heads} heads in front, got {whole.row}; write 1 for an axis that shares it"
                )
            found.append(whole if row == whole.row else Reshape(row)(whole))
        return found

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        """The shape of what the layer gives for these, or for a list of them, the axis of the rows first."""
        if value_shape is None:
            query_shape, value_shape, key_shape = [*query_shape, None][:3]
        query, value = tuple(query_shape), tuple(value_shape)
        self._check_rows(query[1:], value[1:], value[1:] if key_shape is None else tuple(key_shape)[1:])
        return (*query[:-1], *self._given_row(query))

    def reference(
        self, tensors: Sequence[DoubleArray], weights: Sequence[DoubleArray], *masks: DoubleArray, causal: bool = False
    ) -> Any:
        """The formula, in float64: what it gives, and the weights. masks: broadcast to (heads, queries, keys)."""
        arrays = list(weights)

        def projected(x: DoubleArray) -> DoubleArray:
            kernel = arrays.pop(0)
            return np.asarray(np.tensordot(x, kernel, 1) + (arrays.pop(0) if self.use_bias else 0.0))

        query, value = tensors[:2]
        q, k = projected(query), projected(tensors[-1])
        gate = 1 / (1 + np.exp(-projected(query))) if self.use_gate else 1.0
        core = Weighting(self._sizes()[2] ** -0.5, causal, self.sliding_window, return_scores=True)
        out, scores = core.reference(q, k, projected(value), *masks)
        kernel = arrays.pop(0)
        return np.tensordot(out * gate, kernel, 2) + (arrays.pop(0) if self.use_bias else 0.0), scores


@LAYERS.add("multi_head_attention", "MultiHeadAttention")
@dataclass(frozen=True, eq=False, repr=False)
class MultiHeadAttention(_Heads):
    """softmax(q . kt / sqrt(key_dim)) . v of each head, and a Dense layer on all of them.

    query (queries, features), value (keys, any), key (keys, any) -> (queries, features), or output_shape in place of
    features. q, k and v are Dense layers of query, key and value; the key is the value where none is given.
    Weights: query kernel (features, num_heads, key_dim) and bias (num_heads, key_dim), those of key and value,
    attention_output kernel (num_heads, value_dim, features) and bias (features,).

    num_heads, key_dim, value_dim: at least 1; value_dim is key_dim where it is not given. dropout: while training, the
    share of the weights of keys that a query does without. sliding_window: a query sees what is less than so many
    lines away. use_gate: what the heads give is multiplied by a sigmoid Dense layer of the query, "gate".
    attention_axes: None, all axes but the last. flash_attention: taken; it changes nothing. seed: random numbers of the
    layer's own. Initializers, regularizers and constraints, of all kernels and biases: a name or an object.

    Called as layer(query, value, key, use_causal_mask=True, return_attention_scores=True). use_causal_mask: a query
    sees no key that comes after it. attention_mask: rows of zeros and ones, (queries, keys), (1, keys), or with the
    axis of heads in front; query_mask (queries,), value_mask and key_mask (keys,). All that are given hold together. A
    query that sees nothing has weights of 0: what it gives is the bias alone. return_attention_scores: give a tuple,
    the second of it the weights, (num_heads, queries, keys), before dropout. Source: Vaswani et al. 2017.
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: Any = field(default=None)
    attention_axes: Any = None
    sliding_window: int | None = None
    flash_attention: bool | None = field(default=None, repr=False, metadata=_TAKEN)
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    use_gate: bool = False
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        for name in ("num_heads", "key_dim", "value_dim"):
            if name != "value_dim" or self.value_dim is not None:
                also = f"Received an invalid value for argument `{name}`, expected a positive integer"
                self._set(name, size_of(self, name, also=also))
        if self.value_dim is None:
            self._set("value_dim", self.key_dim)
        if self.output_shape is not None:
            given = self.output_shape if isinstance(self.output_shape, (tuple, list)) else (self.output_shape,)
            named = "MultiHeadAttention: output_shape"
            self._set("output_shape", ShapeArgument(check_count(named, size) for size in given).of(self))
        super().__post_init__()

    def _sizes(self) -> tuple[int, int, int, int]:
        return self.num_heads, self.num_heads, self.key_dim, self.value_dim or self.key_dim

    def _given_row(self, query: Shape) -> Shape:
        return query[-1:] if self.output_shape is None else tuple(self.output_shape)

    def row_given(self, row: Shape) -> Shape:
        """The shape of a row of what it gives for a query of this shape."""
        return (*row[:-1], *self._given_row(row))

    def _check_rows(self, query: Shape, value: Shape, key: Shape) -> None:
        super()._check_rows(query, value, key)
        if self.attention_axes is None:
            return
        axes = self.attention_axes if isinstance(self.attention_axes, (tuple, list)) else (self.attention_axes,)
        if sorted(axis % len(query) if axis < 0 else axis for axis in axes) != list(range(1, len(query))):
            raise ValueError(
                f"MultiHeadAttention: attention_axes must be None, all axes between that of the rows and the last, "
                f"got {shown(self.attention_axes)}; for one of several, TimeDistributed of a model that calls it"
            )


@LAYERS.add("group_query_attention", "GroupedQueryAttention", "GroupQueryAttention")
@dataclass(frozen=True, eq=False, repr=False)
class GroupQueryAttention(_Heads):
    """MultiHeadAttention with fewer heads of keys and values, each for as many heads of queries.

    query (queries, features), value (keys, any), key (keys, any) -> (queries, features).
    Weights: as of MultiHeadAttention; key and value have num_key_value_heads.

    num_query_heads: a multiple of num_key_value_heads. The others, and how it is called: see MultiHeadAttention.
    Source: Ainslie et al. 2023.
    """

    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    sliding_window: int | None = None
    flash_attention: bool | None = field(default=None, repr=False, metadata=_TAKEN)
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    use_gate: bool = False
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        for name in ("head_dim", "num_query_heads", "num_key_value_heads"):
            self._set(name, size_of(self, name))
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                "GroupQueryAttention: `num_query_heads` must be divisible by `num_key_value_heads`, got "
                f"{self.num_query_heads} and {self.num_key_value_heads}"
            )
        super().__post_init__()

    def _sizes(self) -> tuple[int, int, int, int]:
        return self.num_query_heads, self.num_key_value_heads, self.head_dim, self.head_dim


_names.offer(globals())

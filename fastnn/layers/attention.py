"""Attention: for each query a mean of values, weighted by how well their keys go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_flag, check_choice, check_flag, check_number, shown
from fastnn.engine.ops import AttentionOp, MaskedOp, StridedCopyOp, TanhScoresOp
from fastnn.layers._fields import own_input_shape
from fastnn.layers.arithmetic import as_tensor, tensor_beside
from fastnn.layers.base import LAYERS, Layer, any_sources, check_row, check_seed, set_field
from fastnn.layers.composite import Composite
from fastnn.layers.surface import rows_of
from fastnn.layers.tensor import OPERATORS, Operators, Tensor, mapped
from fastnn.layers.tracing import tensors_in
from fastnn.typing import DoubleArray, Shape

__all__ = ["AdditiveAttention", "Attention"]


@dataclass(frozen=True, eq=False, repr=False)
class Weighting(Layer):
    """softmax(scale * q . kt) . v for each head; what attention layers have in the middle.

    (.., heads, width), (.., groups, width), (.., groups, value_width), masks -> (.., heads, value_width), and with
    return_scores the weights, (heads, .., ..). apart: heads come first. scored: the scores, (heads, queries, keys), in
    place of q and k.
    """

    reads_mask = True
    scale: float = 1.0
    causal: bool = False
    window: int | None = None
    dropout: float = 0.0
    seed: int | None = None
    apart: bool = False
    scored: bool = False
    return_scores: bool = False
    name: str | None = None

    def _sizes(self, rows: Sequence[Shape]) -> tuple[int, int, int, int]:
        """Heads, groups, queries, keys."""
        q, v = rows[0], rows[1 if self.scored else 2]
        if self.apart:
            return prod(q[:-2]), prod(v[:-2]), q[-2], v[-2]
        return q[-2], v[-2], prod(q[:-2]), prod(v[:-2])

    @any_sources
    def output_shape(self, *rows: Shape) -> Shape:
        v = rows[1 if self.scored else 2]
        return (*rows[0][:-1], v[-1])

    def rows_given(self, row: Shape) -> tuple[Shape, ...]:
        return (row, *vars(self).get("_scores", ()))

    def _row(self, *rows: Shape) -> Shape:
        heads, _, queries, keys = self._sizes(rows)
        check_row((heads, queries, keys))  # which are saved
        if self.return_scores:
            between = (*rows[0][:-2], *rows[2][:-2]) if not (self.apart or self.scored) else (queries, keys)
            self._set("_scores", ((*(rows[0][:-2] if self.apart else (heads,)), *between),))
        return super()._row(*rows)

    def _strides(self, row: Shape, sizes: Shape) -> tuple[int, int, int]:
        """What lies between heads, queries and keys of a mask, whose rows are broadcast to these sizes."""
        full = (*(1,) * (3 - len(row)), *row)
        if len(full) > 3 or any(n not in (1, size) for n, size in zip(full, sizes, strict=True)):
            raise ValueError(f"a mask of rows of shape {row} does not go with {sizes} heads, queries and keys")
        return tuple(0 if n == 1 else prod(full[axis + 1 :]) for axis, n in enumerate(full))  # type: ignore[return-value]

    def ops(self, *rows: Shape) -> tuple[Any, ...]:
        heads, groups, queries, keys = sizes = self._sizes(rows)
        masks = rows[2 if self.scored else 3 :]
        width, value_width = 1 if self.scored else rows[0][-1], rows[1 if self.scored else 2][-1]
        numbers = (*sizes, width, value_width, self.window or 0, self.causal, self.apart, self.scored)
        strides = [self._strides(row, (heads, queries, keys)) for row in masks]
        of_scores = [(heads * queries, keys)] if self.scored else [(queries, heads * width), (keys, groups * width)]
        attention = AttentionOp(
            np.array([*numbers, self.return_scores], np.int64),
            [*of_scores, (keys, groups * value_width), *((1, prod(row)) for row in masks)],
            np.array(strides, np.int64),
            self.scale,
            self.dropout,
            self.seed,
        )
        sources = tuple(-1 - k for k in range(len(rows)))
        if not self.return_scores:
            return ((attention, sources),)
        given, scores = queries * heads * value_width, heads * queries * keys
        return (
            (attention, sources),
            (StridedCopyOp(given + scores, (given,), (1,), 0), (0,)),
            (StridedCopyOp(given + scores, (scores,), (1,), given), (0,)),
        )

    def masked_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...]:
        """With the masks of queries, keys and values beside those that are sources.

        Where heads come first, a query that is masked has weights as others have, and the means of it are 0.
        """
        heads, _, queries, keys = self._sizes(rows)
        n, own, extra = len(rows), [], []
        for k, mask in enumerate(masks[: 2 if self.scored else 3]):
            if mask is None:
                continue
            lines = keys if k else queries
            apart = heads if self.apart else 1
            if prod(mask) != apart * lines:
                raise ValueError(f"a mask of rows of shape {mask} does not go with {lines} lines of {apart} head(s)")
            if k or not self.apart:
                own.append((apart, 1, lines) if k else (apart, lines, 1))
                extra.append(-1 - n - k)
        first, *rest = self.ops(*rows, *own)
        found = [(first[0], (*first[1][:n], *extra)), *rest]
        if self.apart and masks[0] is not None:
            means = 1 if self.return_scores else 0  # the op that gives them
            row = self.output_shape(*rows)
            found.insert(means + 1, (MaskedOp(prod(row[:-1]), row[-1]), (means, -1 - n)))
        return tuple(found)

    def reference(self, *given: DoubleArray) -> Any:
        """The formula, in float64; with return_scores also the weights."""
        rows = [x.shape[1:] for x in given]
        heads, groups, queries, keys = self._sizes(rows)
        n = len(given[0])
        parted = [
            x.reshape(n, -1, *x.shape[-2:]) if self.apart else x.reshape(n, -1, *x.shape[-2:]).swapaxes(1, 2)
            for x in given[: 2 if self.scored else 3]
        ]
        values = np.repeat(parted[-1], heads // groups, axis=1)
        if self.scored:
            scores = given[0].reshape(n, heads, queries, keys)
        else:
            scores = self.scale * parted[0] @ np.repeat(parted[1], heads // groups, axis=1).swapaxes(2, 3)
        seen = np.ones(scores.shape, bool)
        apart = np.arange(queries)[:, None] - np.arange(keys)
        if self.causal:
            seen &= apart >= 0
        if self.window:
            seen &= abs(apart) < self.window
        for mask in given[2 if self.scored else 3 :]:
            seen &= mask.reshape(n, *(1,) * (4 - mask.ndim), *mask.shape[1:]) != 0
        top = np.where(seen, scores, -np.inf).max(-1, keepdims=True)
        weights = np.exp(np.where(seen, scores - np.where(np.isinf(top), 0, top), -np.inf))
        total = weights.sum(-1, keepdims=True)
        weights = np.where(total > 0, weights / np.where(total > 0, total, 1), 0)
        out = weights @ values
        out = (out if self.apart or self.scored else out.swapaxes(1, 2)).reshape(n, *self.output_shape(*rows))
        return (out, weights) if self.return_scores else out


@dataclass(frozen=True, eq=False, repr=False)
class TanhScores(Layer):
    """Sums of w * tanh(q + k), of each query and key: (.., queries, width), (.., keys, width), (width,)."""

    name: str | None = None

    def output_shape(self, query: Shape, key: Shape, w: Shape) -> Shape:
        return (*query[:-1], key[-2])

    def ops(self, query: Shape, key: Shape, w: Shape) -> tuple[Any, ...]:
        return (TanhScoresOp(prod(query[:-2]), query[-2], key[-2], query[-1]),)


def as_mask(mask: Any, beside: Tensor) -> Tensor | None:
    """A mask as a tensor: one that is given, or an array that is the same for all rows."""
    if mask is None or isinstance(mask, Tensor):
        return mask
    return as_tensor(np.asarray(mask), beside)


def with_constants(given: Any, named: dict[str, Any], *reads: str) -> Any:
    """A call's arguments, with lists for arrays that are the same for all rows: a file can hold those.

    reads: the names of its first arguments, in which arrays and weights are tensors.
    """

    def plain(each: Any) -> Any:
        return each.tolist() if isinstance(each, np.ndarray) else each

    beside: Any = tensor_beside(tensors_in((given, named)))
    if beside is not None:

        def read(each: Any) -> Any:
            return as_tensor(each, beside) if isinstance(each, (np.ndarray, Operators)) else each

        given = (*mapped(tuple(given[: len(reads)]), read), *given[len(reads) :])
        named = {name: mapped(each, read) if name in reads else each for name, each in named.items()}
        return mapped((given, named), plain)
    mask = named.get("attention_mask")
    if isinstance(mask, np.ndarray) and (mask.ndim < 3 or len(mask) == 1):
        named = {**named, "attention_mask": plain(mask)}
    return given, named


def check_dropout(layer: Any) -> None:
    """Raise unless the layer's `dropout` is at least 0 and below 1."""
    check_number(layer, "dropout", 0, 1, open_high=True)
    set_field(layer, "dropout", float(layer.dropout))
    check_seed(layer)


class _Attention(Composite):
    """What Attention and AdditiveAttention have in common."""

    passes_mask = reads_rows = True
    use_scale: bool
    dropout: float
    seed: int | None
    scale: Any

    def __post_init__(self) -> None:
        check_flag(self, "use_scale")
        check_dropout(self)
        own_input_shape(self)

    def __call__(self, *given: Any, mask: Any = None, **named: Any) -> Any:
        """What the layer gives for a list of tensors, or of arrays. See the class."""
        if mask is not None:
            if not isinstance(mask, (list, tuple)) or not 2 <= len(mask) <= 3:
                raise ValueError(
                    f"{type(self).__name__}: mask must be a list, [query_mask, value_mask], got {shown(mask)} (layer "
                    "mask must be a list, of length 2 or 3)"
                )
            named["masks"] = list(mask)
        args, kwargs = with_constants(given, named, "inputs")
        return super().__call__(*args, **kwargs)

    def _check_inputs(self, inputs: Any) -> None:
        kind = type(self).__name__
        if not isinstance(inputs, (list, tuple)) or not 2 <= len(inputs) <= 3:
            came = f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else shown(inputs)
            raise ValueError(
                f"{kind} reads [query, value] or [query, value, key], got {came} (layer must be called on a list of "
                "inputs, of length 2 or 3)"
            )

    def call(
        self, inputs: Any, masks: Any = None, return_attention_scores: bool = False, use_causal_mask: bool = False
    ) -> Any:
        """The means, and with return_attention_scores their weights."""
        self._check_inputs(inputs)
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        self._check_rows(query.row, key.row, value.row)
        masks = [as_mask(mask, each) for mask, each in zip(masks or (), (query, value), strict=False)]
        query_mask, value_mask = [*masks, None, None][:2]
        scored = self._scored
        weighting = Weighting(
            causal=as_flag("use_causal_mask", use_causal_mask),
            dropout=self.dropout,
            seed=self.seed,
            apart=True,
            scored=scored,
            return_scores=as_flag("return_attention_scores", return_attention_scores),
        )
        if query_mask is None and (scored or self.use_scale):  # what is made of the query has no mask
            query_mask = OPERATORS["mask"](query)
        if scored:
            return weighting([self._scores(query, key), value], mask=[query_mask, value_mask])
        return weighting([self._scaled(query), key, value], mask=[query_mask, value_mask, value_mask])

    def _check_rows(self, query: Shape, key: Shape, value: Shape) -> None:
        """ValueError where these do not go together."""
        if min(map(len, (query, key, value))) < 2 or query[-1] != key[-1] or key[:-1] != value[:-1]:
            raise ValueError(
                f"{type(self).__name__} expects query (.., queries, width), value (.., keys, any) and key (.., keys, "
                f"width), got rows of shape {query}, {value} and {key}"
            )
        if query[:-2] != key[:-2]:
            raise ValueError(
                f"{type(self).__name__} expects the axes before the last two to be equal, got rows of "
                f"shape {query} and {key}"
            )

    def _scaled(self, query: Tensor) -> Any:
        return query * self.scale if self.use_scale else query


@LAYERS.add("attention", "Attention")
@dataclass(frozen=True, eq=False, repr=False)
class Attention(_Attention):
    """softmax(q . kt) . v of [query, value] or [query, value, key]; the key is the value where none is given.

    (.., queries, width), (.., keys, value_width), (.., keys, width) -> (.., queries, value_width). Weights: scale,
    concat_score_weight, one number each, where there are such.

    use_scale: multiply the scores by `scale`. score_mode: "dot"; "concat", sums of tanh(scale * (q + k)) times
    concat_score_weight. dropout: while training, the share of the weights that the means do without. seed: random
    numbers of the layer's own. Called as layer([query, value], mask=[query_mask, value_mask], use_causal_mask=True,
    return_attention_scores=True): masks are rows of zeros and ones, (queries,) and (keys,), or None; what a query does
    not see has no weight, and where query_mask is 0, 0 is given. A query that sees nothing has 0. With
    return_attention_scores a tuple is given, the second of it the weights, (.., queries, keys), before dropout, of a
    masked query too. Source: Luong et al. 2015.
    """

    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        check_choice(self, "score_mode", "dot", "concat")
        super().__post_init__()

    def build(self, input_shape: Any) -> None:
        self._check_inputs(input_shape)
        if self.use_scale:
            self._set("scale", self.add_weight(shape=(), initializer="ones", name="scale"))
        if self.score_mode == "concat":
            weight = self.add_weight(shape=(), initializer="ones", name="concat_score_weight")
            self._set("concat_score_weight", weight)

    @property
    def _scored(self) -> bool:
        """Whether scores are more than products."""
        return self.score_mode == "concat"

    def _scores(self, query: Tensor, key: Tensor) -> Any:
        inside = [each * self.scale if self.use_scale else each for each in (query, key)]
        return TanhScores()([*inside, as_tensor(np.ones(query.row[-1]), query)]) * self.concat_score_weight

    def reference(self, *xs: DoubleArray, scale: Any = 1.0, concat_score_weight: Any = 1.0) -> DoubleArray:
        """The formula, in float64, without masks."""
        query, value, key = xs[0], xs[1], xs[-1]
        if self.score_mode == "concat":
            sums = query[..., :, None, :] + key[..., None, :, :]
            scores = concat_score_weight * np.tanh(scale * sums).sum(-1)
        else:
            scores = scale * query @ key.swapaxes(-1, -2)
        return _means(scores, value)


def _means(scores: DoubleArray, value: DoubleArray) -> DoubleArray:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True) @ value)


@LAYERS.add("additive_attention", "AdditiveAttention")
@dataclass(frozen=True, eq=False, repr=False)
class AdditiveAttention(_Attention):
    """Attention whose scores are sums of scale * tanh(query + key). See Attention. Source: Bahdanau et al. 2015.

    Weights: scale (width,), where there is one.
    """

    use_scale: bool = True
    dropout: float = 0.0
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None

    def build(self, input_shape: Any) -> None:
        self._check_inputs(input_shape)
        if self.use_scale:
            query, *_ = rows_of("AdditiveAttention: input_shape", input_shape)
            self._set("scale", self.add_weight(shape=query[-1:], initializer="glorot_uniform", name="scale"))

    @property
    def _scored(self) -> bool:
        return True

    def _scores(self, query: Tensor, key: Tensor) -> Any:
        scale = self.scale if self.use_scale else np.ones(query.row[-1])
        return TanhScores()([query, key, as_tensor(scale, query)])

    def reference(self, *xs: DoubleArray, scale: Any = 1.0) -> DoubleArray:
        """The formula, in float64, without masks."""
        query, value, key = xs[0], xs[1], xs[-1]
        return _means((scale * np.tanh(query[..., :, None, :] + key[..., None, :, :])).sum(-1), value)


_names.offer(globals())

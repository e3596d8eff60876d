"""Every layer that has arithmetic of its own, in each configuration that is worth a test, inside a small model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

import fastnn.layers as L
from fastnn import activations, ops
from fastnn.models import Model, Sequential
from support.pictures import PICTURES

INPUTS = 5


@dataclass
class Case:
    """A layer, the shapes of the rows that it reads, and for one that reads whole numbers how many there are."""

    make: Callable[[], Any]
    shapes: list[tuple[int, ...]]
    choices: int = 0
    call: dict[str, Any] = field(default_factory=dict)  # what the layer is called with beside them

    def rows(self, n: int, seed: int = 0) -> np.ndarray:
        """Rows for the model."""
        rng = np.random.default_rng(seed)
        if self.choices:
            return rng.integers(0, self.choices, (n, *self.shapes[0])).astype(np.float32)
        return rng.normal(size=(n, INPUTS)).astype(np.float32)

    def model(self, units: int | None = None, trainable: bool = True) -> tuple[Model, Any]:
        """A Dense layer for each row that the layer reads, the layer, and if `units` a Dense layer; and the layer."""
        layer = self.make()
        layer.trainable = trainable
        if self.choices:
            first = L.Input(self.shapes[0])
            before = [first]
        else:
            first = L.Input((INPUTS,))
            before = [L.Reshape(shape)(L.Dense(prod(shape))(first)) for shape in self.shapes]
        last = L.Flatten()(layer(before if len(before) > 1 else before[0], **self.call))
        model = Model(first, last if units is None else L.Dense(units)(last))
        rng = np.random.default_rng(5)
        model.set_weights([w if w.ndim == 0 else w + 0.3 * rng.random(w.shape) for w in model.get_weights()])
        model.compile("sgd", "mse")
        return model, layer

    def reference(self, layer: Any, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
        """What the model without a last Dense layer gives while training, in float64."""
        weights, read = list(weights), [x.astype(np.float64)]
        if not self.choices:
            read = []
            for shape in self.shapes:
                kernel, bias = weights.pop(0), weights.pop(0)
                read.append((x @ kernel + bias).reshape(len(x), *shape))
        if len(read) == 1:
            return _one(layer, read[0], weights).reshape(len(x), -1)
        if isinstance(layer, (L.MultiHeadAttention, L.GroupQueryAttention)):
            causal = self.call.get("use_causal_mask", False)
            return np.asarray(layer.reference(read, weights, causal=causal)[0]).reshape(len(x), -1)
        named = [parameter.name for parameter in layer.parameters(*self.shapes)] or [
            each.name for each in layer.weights
        ]
        return np.asarray(layer.reference(*read, **dict(zip(named, weights, strict=True)))).reshape(len(x), -1)


def step_by_step(layer: Any, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """What a layer, or a chain of them, gives for each step of x by itself, in float64."""
    return np.stack([_one(layer, x[:, t], list(weights)) for t in range(x.shape[1])], axis=1)


def _one(layer: Any, rows: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """What a layer gives for rows with the first of the weights, which it takes away."""
    if isinstance(layer, L.TimeDistributed):
        return step_by_step(layer.layer, rows, weights)
    if isinstance(layer, L.Bidirectional):
        one, other = _one(layer.forward_layer, rows, weights), _one(layer.backward_layer, rows, weights)
        if layer.forward_layer.return_sequences:
            other = other[:, ::-1]
        merge = {
            "concat": np.concatenate,
            "sum": sum,
            "ave": lambda xs, _: sum(xs) / 2,
            "mul": lambda xs, _: xs[0] * xs[1],
        }
        return np.asarray(merge[layer.merge_mode]((one, other), *([-1] if layer.merge_mode != "sum" else [])))
    if isinstance(layer, L.RNN):
        for place, cell in enumerate(cells := layer.cells()):
            made = getattr(L, type(cell).__name__.removesuffix("Cell"))(
                cell.units,
                cell.activation,
                return_sequences=layer.return_sequences or place + 1 < len(cells),
                go_backwards=layer.go_backwards and place == 0,
                **({} if isinstance(cell, L.SimpleRNNCell) else {"recurrent_activation": cell.recurrent_activation}),
            )
            rows = _one(made, rows, weights)
        return rows
    if isinstance(layer, L.Wrapper):
        return _one(layer.layer, rows, weights)
    if hasattr(layer, "layers"):
        for each in layer.layers:
            rows = _one(each, rows, weights)
        return rows
    named = {parameter.name: weights.pop(0) for parameter in layer.parameters(rows.shape[1:])}
    known = layer.reference.__code__.co_varnames
    return np.asarray(layer.reference(rows, **{name: w for name, w in named.items() if name in known}))


CASES: dict[str, Case] = {
    "batch": Case(L.BatchNormalization, [(7,)]),
    "batch of lines": Case(lambda: L.BatchNormalization(epsilon=0.1), [(3, 4)]),
    "batch of a wide row": Case(lambda: L.BatchNormalization(center=False), [(33,)]),
    "batch without a scale": Case(lambda: L.BatchNormalization(scale=False), [(1,)]),
    "layer": Case(L.LayerNormalization, [(7,)]),
    "layer of lines": Case(lambda: L.LayerNormalization(epsilon=0.1), [(3, 4)]),
    "layer of axes": Case(lambda: L.LayerNormalization(axis=(1, 2), center=False), [(3, 4)]),
    "layer of a wide row": Case(lambda: L.LayerNormalization(scale=False), [(33,)]),
    "rms": Case(L.RMSNormalization, [(17,)]),
    "prelu": Case(L.PReLU, [(19,)]),
    "prelu of lines": Case(lambda: L.PReLU(shared_axes=1), [(3, 4)]),
    "prelu of one slope": Case(lambda: L.PReLU(shared_axes=(1, 2)), [(3, 4)]),
    "rescaling": Case(lambda: L.Rescaling(0.5, (1.0, 2.0, 3.0, 4.0)), [(3, 4)]),
    "normalization": Case(L.Normalization, [(3, 4)]),
    "normalization of all": Case(lambda: L.Normalization(axis=None, invert=True), [(3, 4)]),
    "normalization by numbers": Case(lambda: L.Normalization(mean=0.5, variance=(4.0, 0.25, 1, 2)), [(4,)]),
    "embedding": Case(lambda: L.Embedding(9, 5), [(4,)], 9),
    "embedding of a line": Case(lambda: L.Embedding(3, 16), [(2, 2)], 3),
    "encoding": Case(lambda: L.CategoryEncoding(6), [(4,)], 6),
    "encoding by count": Case(lambda: L.CategoryEncoding(6, "count"), [(2, 4)], 6),
    "encoding one hot": Case(lambda: L.CategoryEncoding(6, "one_hot"), [(4,)], 6),
    "add": Case(L.Add, [(7,), (7,), (7,)]),
    "add of one": Case(L.Add, [(7,)]),
    "subtract": Case(L.Subtract, [(17,), (17,)]),
    "multiply": Case(L.Multiply, [(3, 4), (3, 4), (3, 4)]),
    "average": Case(L.Average, [(7,), (7,), (7,)]),
    "maximum": Case(L.Maximum, [(19,), (19,), (19,)]),
    "minimum": Case(L.Minimum, [(7,), (7,)]),
    "concatenate": Case(L.Concatenate, [(7,), (2,), (1,)]),
    "concatenate in front": Case(lambda: L.Concatenate(1), [(3, 4), (2, 4)]),
    "concatenate behind": Case(L.Concatenate, [(3, 4), (3, 1)]),
    "dot": Case(lambda: L.Dot(1), [(17,), (17,)]),
    "dot of unit vectors": Case(lambda: L.Dot(1, normalize=True), [(7,), (7,)]),
    "dot of lines": Case(lambda: L.Dot((1, 2)), [(4, 3), (2, 4)]),
    "dot of unit lines": Case(lambda: L.Dot((2, 1), normalize=True), [(2, 3), (3, 4)]),
}


# Layers that add noise while training, each of which test_noise.py meets on rows of one, two and three axes.
RANDOM: dict[str, Callable[..., Any]] = {
    "noise": lambda **fields: L.GaussianNoise(0.5, **fields),
    "gaussian dropout": lambda **fields: L.GaussianDropout(0.4, **fields),
    "alpha dropout": lambda **fields: L.AlphaDropout(0.4, **fields),
    "dropout": lambda **fields: L.Dropout(0.4, **fields),
}
# Those that drop whole columns, on rows that they take.
OF_COLUMNS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "spatial dropout 1": (lambda **fields: L.SpatialDropout1D(0.4, **fields), (5, 18)),
    "spatial dropout 2": (lambda **fields: L.SpatialDropout2D(0.4, **fields), (3, 5, 6)),
    "spatial dropout 3": (lambda **fields: L.SpatialDropout3D(0.4, **fields), (3, 5, 2, 3)),
}
OF_STEPS = {L.SimpleRNN, L.LSTM, L.GRU, L.Bidirectional, L.MultiHeadAttention, L.GroupQueryAttention}
OF_STEPS |= {L.Attention, L.AdditiveAttention, L.RNN, L.StackedRNNCells}  # whose rows have two axes or more
OF_STEPS |= {L.SimpleRNNCell, L.LSTMCell, L.GRUCell}
ROWS = [(7,), (3, 4), (2, 3, 4)]  # arrays of rank 2, 3 and 4


def _on(title: str, make: Callable[[], Any], *shapes: tuple[int, ...], count: int = 1, choices: int = 0) -> None:
    """A case of the layer on rows of each shape, `count` tensors of it."""
    for shape in shapes or ROWS:
        CASES[f"{title} on {shape}"] = Case(make, [shape] * count, choices)


def _same(cls: Any, *args: Any, **fields: Any) -> Callable[[], Any]:
    return lambda: cls(*args, **fields)


_on("dense", _same(L.Dense, 5, "tanh"))
_on("dense of one", _same(L.Dense, 1, use_bias=False))
_on("dense softmax", _same(L.Dense, 3, "softmax"))
_on("dense of many", _same(L.Dense, 33), (2, 20))
for activation in ("sigmoid", "softmax", "log_softmax"):
    _on(activation, _same(L.Activation, activation))
_on("relu", _same(L.ReLU, negative_slope=0.1))
_on("leaky", L.LeakyReLU)
_on("elu", L.ELU)
_on("softmax layer", L.Softmax)
_on("softmax along 1", _same(L.Softmax, 1), (3, 4), (2, 3, 4))
_on("softmax along two", _same(L.Softmax, [1, 3]), (2, 3, 4))
_on("softmax along the last two", _same(L.Softmax, (-1, -2)), (3, 4), (2, 3, 4))
_on("batch", L.BatchNormalization)
_on("batch along 1", _same(L.BatchNormalization, axis=1), (3, 4), (2, 3, 4))
_on("batch along 2", _same(L.BatchNormalization, axis=-2), (2, 3, 4))
_on("layer", L.LayerNormalization)
_on("layer along 1", _same(L.LayerNormalization, axis=1), (3, 4), (2, 3, 4))
_on("layer along two", _same(L.LayerNormalization, axis=[1, -1]), (2, 3, 4))
_on("rms", L.RMSNormalization)
_on("rms along 1", _same(L.RMSNormalization, axis=1), (3, 4), (2, 3, 4))
_on("prelu", L.PReLU)
_on("prelu shared behind", _same(L.PReLU, shared_axes=[2]), (3, 4), (2, 3, 4))
_on("prelu shared around", _same(L.PReLU, shared_axes=[1, 3]), (2, 3, 4))
_on("rescaling", _same(L.Rescaling, 0.5, 1.0))
_on("rescaling in front", _same(L.Rescaling, [[0.5], [1.0], [2.0]]), (3, 4), (2, 3, 4))
_on("normalization", L.Normalization)
_on("normalization along 1", _same(L.Normalization, axis=1), (3, 4), (2, 3, 4))
_on("normalization along two", _same(L.Normalization, axis=(1, 3), mean=0.5, variance=[1.0, 2, 3, 4]), (2, 3, 4))
_on("embedding", _same(L.Embedding, 9, 5), (4,), (2, 3), (2, 1, 2), choices=9)
_on("encoding", _same(L.CategoryEncoding, 6), (4,), (2, 3), (2, 1, 2), choices=6)
for merge in (L.Add, L.Multiply, L.Average, L.Maximum, L.Minimum):
    _on(merge.table_name, merge, count=3)
_on("subtract", L.Subtract, count=2)
CASES |= {
    "add broadcast": Case(L.Add, [(4,), (3, 1), (2, 3, 4), (2, 1, 1)]),
    "subtract broadcast": Case(L.Subtract, [(3, 4), (1,)]),
    "multiply broadcast": Case(L.Multiply, [(3, 1), (1, 4)]),
    "average broadcast": Case(L.Average, [(1,), (7,)]),
    "maximum broadcast": Case(L.Maximum, [(2, 1, 4), (3, 1)]),
    "minimum broadcast": Case(L.Minimum, [(7,), (1,), (7,)]),
}
_on("concatenate", L.Concatenate, count=2)
_on("concatenate along 1", _same(L.Concatenate, 1), count=3)
_on("concatenate along 2", _same(L.Concatenate, 2), (3, 4), (2, 3, 4), count=2)
_on("dot", _same(L.Dot, -1), count=2)
_on("dot along 1", _same(L.Dot, 1, normalize=True), count=2)
_on("dot along 2", _same(L.Dot, 2), (3, 4), (2, 3, 4), count=2)
for kind in (L.SimpleRNN, L.LSTM, L.GRU):
    title = kind.table_name
    _on(title, _same(kind, 5), (3, 4), (1, 1), (7, 2))
    _on(f"{title} of all steps", _same(kind, 3, return_sequences=True), (3, 4), (4, 1))
    _on(f"{title} of one", _same(kind, 1, "tanh", use_bias=False), (4, 3))
    _on(f"{title} of many", _same(kind, 17, return_sequences=True), (5, 2))
    _on(f"{title} backwards", _same(kind, 4, go_backwards=True), (5, 3))
    _on(f"{title} backwards, all steps", _same(kind, 4, return_sequences=True, go_backwards=True), (5, 3), (2, 1))
    _on(f"{title} softplus", _same(kind, 4, "softplus", return_sequences=True), (4, 3))
    _on(f"{title} softmax", _same(kind, 3, "softmax"), (4, 3))
    CASES[f"{title} from a state"] = Case(_same(kind, 4), [(3, 2), *[(4,)] * (1 + (kind is L.LSTM))])
_on("lstm of other gates", _same(L.LSTM, 3, "gelu", "tanh", return_sequences=True), (4, 2))
_on("gru of other gates", _same(L.GRU, 3, "gelu", "tanh", return_sequences=True), (4, 2))
_on("gru, reset before", _same(L.GRU, 5, return_sequences=True, reset_after=False), (1, 4), (5, 3))
_on("gru, reset before, backwards", _same(L.GRU, 3, "gelu", "tanh", go_backwards=True, reset_after=False), (4, 2))
_on("gru, reset before, of one", _same(L.GRU, 1, use_bias=False, reset_after=False), (4, 2))
CASES["gru, reset before, from a state"] = Case(_same(L.GRU, 4, reset_after=False), [(3, 2), (4,)])
for merge in ("concat", "sum", "ave", "mul"):
    _on(f"bidirectional {merge}", _same(L.Bidirectional, L.LSTM(3, return_sequences=merge != "ave"), merge), (4, 2))
_on(
    "bidirectional", lambda: L.Bidirectional(L.GRU(4, "gelu"), backward_layer=L.SimpleRNN(2, go_backwards=True)), (3, 2)
)
_on("time distributed lstm", lambda: L.TimeDistributed(L.LSTM(3, return_sequences=True)), (2, 3, 4))
_on("masking", L.Masking)
for kind in (L.SimpleRNNCell, L.LSTMCell, L.GRUCell):
    _on(f"rnn of {kind.table_name}", lambda kind=kind: L.RNN(kind(3, "softplus"), return_sequences=True), (4, 2))
_on("rnn of three", lambda: L.RNN([L.LSTMCell(3), L.SimpleRNNCell(2), L.GRUCell(4)], go_backwards=True), (4, 2))
_QUERIES, _KEYS, _CAUSAL = (4, 5), (3, 6), {"use_causal_mask": True}
CASES |= {
    "multi head": Case(_same(L.MultiHeadAttention, 2, 3), [_QUERIES, _QUERIES]),
    "multi head, causal": Case(_same(L.MultiHeadAttention, 3, 2, value_dim=5), [(5, 4), (5, 3)], call=_CAUSAL),
    "multi head of other keys": Case(_same(L.MultiHeadAttention, 2, 3, output_shape=7), [_QUERIES, _KEYS, (3, 2)]),
    "multi head of many": Case(_same(L.MultiHeadAttention, 9, 1, 4, use_bias=False), [(1, 3), (19, 2)]),
    "multi head of one": Case(_same(L.MultiHeadAttention, 1, 17, output_shape=(2, 3)), [(2, 3), (1, 2)]),
    "multi head of axes": Case(_same(L.MultiHeadAttention, 2, 3), [(2, 2, 3), (3, 1, 2)]),
    "multi head with a gate": Case(_same(L.MultiHeadAttention, 2, 3, use_gate=True), [_QUERIES, _KEYS]),
    "multi head in a window": Case(_same(L.MultiHeadAttention, 2, 3, sliding_window=2), [(7, 2), (5, 2)]),
    "group query": Case(_same(L.GroupQueryAttention, 3, 6, 2), [_QUERIES, _KEYS]),
    "group query of one, causal": Case(
        _same(L.GroupQueryAttention, 5, 3, 1, use_bias=False), [(4, 2)] * 2, call=_CAUSAL
    ),
    "group query in a window": Case(
        _same(L.GroupQueryAttention, 2, 2, 2, sliding_window=2), [(4, 2)] * 2, call=_CAUSAL
    ),
    "attention": Case(L.Attention, [_QUERIES, (3, 6), (3, 5)]),
    "attention with a scale": Case(_same(L.Attention, True), [(1, 3), (17, 3)]),
    "attention of axes": Case(_same(L.Attention, True), [(2, 3, 4), (2, 5, 4)]),
    "attention of sums": Case(_same(L.Attention, score_mode="concat"), [_QUERIES, (3, 5)]),
    "attention of sums with a scale": Case(_same(L.Attention, True, "concat"), [(2, 4, 3), (2, 3, 6), (2, 3, 3)]),
    "additive": Case(L.AdditiveAttention, [_QUERIES, (3, 5)]),
    "additive without a scale": Case(_same(L.AdditiveAttention, False), [_QUERIES, (3, 6), (3, 5)]),
}
_on("flatten", L.Flatten)
_on("reshape", _same(L.Reshape, (-1, 2)), (8,), (3, 4), (2, 3, 4))
_on("identity", L.Identity)
_on("permute", _same(L.Permute, 1), (7,))
_on("permute", _same(L.Permute, (2, 1)), (3, 4), (40, 3), (1, 5))
_on("permute", _same(L.Permute, (3, 1, 2)), (2, 3, 4), (1, 2, 1))
_on("permute around", _same(L.Permute, (3, 2, 1)), (2, 3, 4))
_on("permute in front", _same(L.Permute, (2, 1, 3)), (2, 3, 4))
_on("repeat", _same(L.RepeatVector, 3), (7,), (1,))
_on("unit", L.UnitNormalization)
_on("unit along 1", _same(L.UnitNormalization, 1), (3, 4), (2, 3, 4))
_on("unit along two", _same(L.UnitNormalization, [1, -1]), (2, 3, 4))
_on("unit of a wide row", L.UnitNormalization, (33,))
_on("group", _same(L.GroupNormalization, 2), (8,), (3, 4), (2, 3, 4))
_on("group along 1", _same(L.GroupNormalization, 2, 1, epsilon=0.1), (4, 3), (2, 3, 4))
_on("group along 2", _same(L.GroupNormalization, 3, -2, scale=False), (3, 4), (2, 3, 4))
_on("group of one", _same(L.GroupNormalization, 1, center=False))
_on("instance", _same(L.GroupNormalization, -1, center=False, scale=False), (3, 4), (2, 3, 4))
_on("instance along 1", _same(L.GroupNormalization, -1, 1, center=False, scale=False), (3, 4), (2, 3, 4))
_on("glu", _same(L.Activation, "glu"), (8,), (3, 4), (2, 3, 4))
_on("glu along 1", _same(L.Activation, activations.GLU(1)), (4, 3), (2, 3, 4))
_on("dense glu", _same(L.Dense, 6, "glu"))
_on("einsum", _same(L.EinsumDense, "ab,bc->ac", 5, "tanh", "c"), (7,))
_on("einsum of steps", _same(L.EinsumDense, "...x,xy->...y", 3, bias_axes="y"))
_on("einsum of features", _same(L.EinsumDense, "ab...,bc->ac...", 3, "softmax", "c"), (3, 4), (2, 3, 4))
_on("einsum of two axes", _same(L.EinsumDense, "abc,bcd->ad", 5, "sigmoid"), (3, 4))
_on("einsum to two axes", _same(L.EinsumDense, "abc,cde->adbe", (2, None, 3), "tanh", "be"), (3, 4))
_on("einsum with all biases", _same(L.EinsumDense, "abcd,de->abce", (None, None, 2), None, "bce"), (2, 3, 4))
_on("spectral", lambda: L.SpectralNormalization(L.Dense(5, "tanh"), 60))
_on("spectral without bias", lambda: L.SpectralNormalization(L.Dense(1, use_bias=False), 3))
_on("time distributed spectral", lambda: L.TimeDistributed(L.SpectralNormalization(L.Dense(3), 60)), (3, 4))
_on("wrapper", lambda: L.Wrapper(L.Dense(3, "tanh")))
_on("pipeline", lambda: L.Pipeline([L.Dense(4, "tanh"), L.LayerNormalization()]))
_on("activity regularization", _same(L.ActivityRegularization))
_on("time distributed group", lambda: L.TimeDistributed(L.GroupNormalization(2)), (2, 4), (2, 3, 4))
_on("time distributed glu", lambda: L.TimeDistributed(L.Dense(6, "glu")), (3, 4))
_on("time distributed", lambda: L.TimeDistributed(L.Dense(5, "tanh")), (3, 4), (2, 3, 4), (1, 2))
_on("time distributed softmax", lambda: L.TimeDistributed(L.Dense(5, "softmax")), (3, 4), (2, 3, 4))
_on("time distributed prelu", lambda: L.TimeDistributed(L.PReLU()), (3, 4), (2, 3, 4))
_on("time distributed layer", lambda: L.TimeDistributed(L.LayerNormalization(axis=1)), (2, 3, 4))
_on("time distributed batch", lambda: L.TimeDistributed(L.BatchNormalization(scale=False)), (3, 4), (2, 3, 4), (1, 4))
_on("time distributed permute", lambda: L.TimeDistributed(L.Permute((2, 1))), (2, 3, 4))
_on("time distributed flatten", lambda: L.TimeDistributed(L.Flatten()), (2, 3, 4))
_on("time distributed twice", lambda: L.TimeDistributed(L.TimeDistributed(L.Dense(2, "tanh"))), (2, 3, 4))
_on("time distributed convolution", lambda: L.TimeDistributed(L.Conv1D(3, 2, activation="tanh")), (3, 4, 2))
_on("time distributed pooling", lambda: L.TimeDistributed(L.MaxPooling1D()), (3, 4, 2))
_on("time distributed embedding", lambda: L.TimeDistributed(L.Embedding(9, 5)), (4, 1), (2, 1, 2), choices=9)
_on(
    "time distributed model",
    lambda: L.TimeDistributed(Sequential([L.Dense(3, "tanh"), L.LayerNormalization(), L.Dense(2)])),
    (3, 4),
    (2, 3, 4),
)


class Formed(L.Layer):
    """A layer of the functions of `fastnn.ops`, beside the same formula in NumPy."""

    def __init__(self, function: Callable[[Any], Any], formula: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function, self.formula = function, formula

    def call(self, x: Any) -> Any:
        return self.function(x)

    def reference(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.formula(x))


FORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "log": (lambda t: ops.log(ops.square(t) + 1), lambda x: np.log(x * x + 1)),
    "log1p": (lambda t: ops.log1p(t * t), lambda x: np.log1p(x * x)),
    "expm1": (ops.expm1, np.expm1),
    "exp": (ops.exp, np.exp),
    "sqrt": (lambda t: ops.sqrt(t**2 + 1), lambda x: np.sqrt(x * x + 1)),
    "rsqrt": (lambda t: ops.rsqrt(t**2 + 1), lambda x: 1 / np.sqrt(x * x + 1)),
    "reciprocal": (lambda t: 3 / (ops.square(t) + 2), lambda x: 3 / (x * x + 2)),
    "division": (lambda t: t / (ops.square(t) + 2), lambda x: x / (x * x + 2)),
    "power": (lambda t: (ops.square(t) + 1) ** 1.5, lambda x: (x * x + 1) ** 1.5),
    "power of two": (lambda t: (ops.square(t) + 1) ** ops.tanh(t), lambda x: (x * x + 1) ** np.tanh(x)),
    "exponent": (lambda t: 2**t, lambda x: 2**x),
    "sin and cos": (lambda t: ops.sin(t) - ops.cos(2 * t), lambda x: np.sin(x) - np.cos(2 * x)),
    "absolute": (lambda t: abs(t) + ops.sign(t), lambda x: np.abs(x) + np.sign(x)),
    "clip": (lambda t: ops.clip(t, -0.3, 0.4), lambda x: np.clip(x, -0.3, 0.4)),
    "arithmetic": (lambda t: -(1 - t * 2) / 4 + t, lambda x: -(1 - x * 2) / 4 + x),
    "largest beside a number": (lambda t: ops.maximum(t, 0.1), lambda x: np.maximum(x, 0.1)),
    "sum": (lambda t: ops.sum(t, axis=-1), lambda x: x.sum(-1)),
    "mean": (lambda t: ops.mean(t, axis=1, keepdims=True), lambda x: x.mean(1, keepdims=True)),
    "largest": (lambda t: ops.max(t, axis=-1), lambda x: x.max(-1)),
    "least": (lambda t: ops.min(t, axis=1), lambda x: x.min(1)),
    "variance": (lambda t: ops.var(t, axis=-1), lambda x: x.var(-1)),
    "logsumexp": (lambda t: ops.logsumexp(t, axis=-1), lambda x: np.log(np.exp(x).sum(-1))),
    "length": (
        lambda t: ops.norm(t, axis=-1, keepdims=True) * t,
        lambda x: np.sqrt((x * x).sum(-1, keepdims=True)) * x,
    ),
    "unit": (ops.normalize, lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True))),
    "part": (lambda t: t[..., 1:3], lambda x: x[..., 1:3]),
    "turned": (lambda t: t[..., ::-1] * t, lambda x: x[..., ::-1] * x),
    "every other": (lambda t: t[:, ::2], lambda x: x[:, ::2]),
    "one": (lambda t: t[:, -1], lambda x: x[:, -1]),
    "new axis": (lambda t: t[:, None] * ops.expand_dims(t, 1), lambda x: x[:, None] * x[:, None]),
    "taken": (lambda t: ops.take(t, [2, 0, 0], axis=-1), lambda x: x[..., [2, 0, 0]]),
    "repeated": (lambda t: ops.repeat(t, 3, axis=-1), lambda x: np.repeat(x, 3, -1)),
    "stacked": (lambda t: ops.stack([t, t * t], axis=1), lambda x: np.stack([x, x * x], 1)),
    "constant": (lambda t: t * np.arange(4.0) + [1, 2, 3, 4], lambda x: x * np.arange(4.0) + [1, 2, 3, 4]),
    "entropy": (
        lambda t: ops.binary_crossentropy(0.3, ops.sigmoid(t)),
        lambda x: np.log1p(np.exp(-x)) * 0.3 + 0.7 * np.log1p(np.exp(x)),
    ),
}
for _title, _form in FORMS.items():
    _on(f"form of {_title}", _same(Formed, *_form), (4,), (3, 4), (2, 3, 4))
CASES |= {
    "operation": Case(lambda: L.Operation("affine", {"a": 2.0, "b": 1.0}), [(7,)]),
    "operation on lines": Case(lambda: L.Operation("square"), [(3, 4)]),
    "operation on pictures": Case(
        lambda: L.Operation("reduce", {"how": "sum", "axes": [0, 2], "keepdims": False}), [(2, 3, 4)]
    ),
    "phase": Case(lambda: L.Operation("phase"), [(5,), (5,)]),
    "form of a product": Case(
        lambda: Formed(lambda t: t @ ops.transpose(t, (0, 2, 1)), lambda x: x @ x.transpose(0, 2, 1)), [(3, 4)]
    ),
    "lambda": Case(lambda: L.Lambda(np.sin), [(4,)]),
    "lambda on lines": Case(lambda: L.Lambda(np.tanh), [(3, 4)]),
    "lambda on pictures": Case(lambda: L.Lambda(lambda x: np.sin(x).sum(axis=-1)), [(2, 3, 4)]),
    "lambda with a gradient": Case(lambda: L.Lambda(np.square, gradient=lambda x, d: 2 * x * d), [(4,)]),
    "lambda of a tensor": Case(lambda: L.Lambda(lambda x: x * x + 1), [(4,)]),
}
CASES |= {name: Case(make, [row]) for name, (make, row) in PICTURES.items()}


WORDS = ["red", "blue", "green", "", "été", "漢字", "a b", "Red!"]


def words(shape: tuple[int, ...], rows: int = 40) -> np.ndarray:
    """Texts, some of which no vocabulary has."""
    rng = np.random.default_rng(7)
    return np.array(WORDS, object)[rng.integers(0, len(WORDS), (rows, *shape))]


def wholes(shape: tuple[int, ...], rows: int = 40) -> np.ndarray:
    """Whole numbers, most of which float32 does not hold."""
    return np.random.default_rng(8).integers(-3, 4, (rows, *shape)) * (2**60 + 1)


def reals(shape: tuple[int, ...], rows: int = 40) -> np.ndarray:
    """Numbers, some of them on the boundaries of bins."""
    rng = np.random.default_rng(9)
    return np.where(
        rng.random((rows, *shape)) < 0.3, rng.integers(-1, 3, (rows, *shape)), rng.normal(size=(rows, *shape))
    )


@dataclass
class FrontCase:
    """A layer of a model's front, columns for rows of a shape, and its dtype; of several columns `count`."""

    make: Callable[[], Any]
    column: Callable[[tuple[int, ...]], np.ndarray]
    dtype: str
    shapes: list[tuple[int, ...]]
    count: int = 1


def dates(shape: tuple[int, ...], rows: int = 40) -> np.ndarray:
    """Dates and times, some of them missing."""
    known = np.array(["2026-11-28 14:30:45", "1969-12-31", "2024-02-29T23:59", "", "1901-07-04 06:00"], object)
    return known[np.random.default_rng(10).integers(0, 5, (rows, *shape))]


def _adapted(layer: Any, *data: Any) -> Callable[[], Any]:
    """What makes the layer anew, adapted to data."""

    def make() -> Any:
        made = layer()
        made.adapt(*data)
        return made

    return make


_LINES = [(3,), (2, 3), (2, 1, 2)]  # arrays of rank 2, 3 and 4
_KNOWN = ["red", "blue", "green"]
# Layers that stand before the engine, each of which test_front_layers.py meets on arrays and in a model.
FRONT: dict[str, FrontCase] = {
    "string lookup": FrontCase(_same(L.StringLookup, vocabulary=_KNOWN), words, "string", _LINES),
    "string lookup of a mask": FrontCase(
        _same(L.StringLookup, vocabulary=_KNOWN, mask_token="", num_oov_indices=3), words, "string", _LINES
    ),
    "string lookup one hot": FrontCase(
        _same(L.StringLookup, vocabulary=_KNOWN, output_mode="one_hot", salt=(1, 2)), words, "string", [*_LINES, (1,)]
    ),
    "string lookup by idf": FrontCase(
        _same(L.StringLookup, vocabulary=_KNOWN, output_mode="tf_idf", idf_weights=[0.5, 1.0, 2.0], mask_token=""),
        words,
        "string",
        _LINES,
    ),
    "integer lookup": FrontCase(
        _same(L.IntegerLookup, vocabulary=[2**60 + 1, -(2**60) - 1], mask_token=0, num_oov_indices=2),
        wholes,
        "int64",
        _LINES,
    ),
    "integer lookup by count": FrontCase(
        _same(L.IntegerLookup, vocabulary=[0, 2**60 + 1], output_mode="count", max_tokens=9, pad_to_max_tokens=True),
        wholes,
        "int64",
        _LINES,
    ),
    "hashing": FrontCase(_same(L.Hashing, 5), words, "string", _LINES),
    "hashing of numbers": FrontCase(_same(L.Hashing, 7, mask_value=0, salt=3), wholes, "int64", _LINES),
    "hashing by presence": FrontCase(_same(L.Hashing, 5, output_mode="multi_hot"), words, "string", _LINES),
    "crossing": FrontCase(_same(L.HashedCrossing, 11), words, "string", [(1,), ()], 3),
    "crossing of numbers": FrontCase(_same(L.HashedCrossing, 11, "one_hot"), wholes, "int64", [(1,)], 2),
    "discretization": FrontCase(_same(L.Discretization, [-1.0, 0.0, 0.5, 2.0]), reals, "float32", _LINES),
    "discretization by count": FrontCase(
        _same(L.Discretization, [-1.0, 0.0], output_mode="count"), reals, "float32", _LINES
    ),
    "scaler": FrontCase(_adapted(_same(L.Scaler), reals((1,))), reals, "float32", _LINES),
    "scaler of whole numbers": FrontCase(
        _adapted(_same(L.Scaler, "robust", missing="median", indicator=True), reals((1,))), wholes, "int64", _LINES
    ),
    "date parts": FrontCase(
        _adapted(_same(L.DateParts, ("time", "month", "minute"), missing=True), dates((1,))), dates, "string", [(1,)]
    ),
    "text vectorization": FrontCase(
        _same(L.TextVectorization, vocabulary=[*_KNOWN, "a", "b"], output_sequence_length=3),
        words,
        "string",
        [(1,), ()],
    ),
    "text vectorization by count": FrontCase(
        _same(L.TextVectorization, vocabulary=[*_KNOWN, "a b"], ngrams=2, output_mode="count"),
        words,
        "string",
        [(1,), ()],
    ),
}

"""Layers that go through the steps of a row: SimpleRNN, LSTM, GRU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np

from fastnn import _names, activations
from fastnn._checks import check_flag, check_number, shown
from fastnn.engine.layer_ops import GRUOp, LSTMOp, SharedDropoutOp, SimpleRNNOp, StridedCopyOp
from fastnn.initializers import Initializer
from fastnn.layers._fields import nothing, own_input_shape, parameter_of, resolve_units, size_of
from fastnn.layers.base import LAYERS, Layer, Parameter, check_seed
from fastnn.layers.tensor import is_symbolic
from fastnn.typing import DoubleArray, Shape

__all__ = ["GRU", "LSTM", "SimpleRNN"]

# How Keras runs it, which changes no value.
_TAKEN = {"saved": False}


@dataclass(frozen=True)
class _ForgetBias(Initializer):
    """Ones for the second of four gates; the initializer's values for the others."""

    others: Any

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        units = shape[0] // 4
        first, last = (self.others((n,), None, rng) for n in (units, 2 * units))
        return np.concatenate([first, np.ones(units), last]).astype(np.float64)


class _Recurrent(Layer):
    """What the three have in common: fields, shapes, states."""

    gates: ClassVar[int]  # blocks of columns that a kernel has
    states: ClassVar[int] = 1  # arrays of a state
    op: ClassVar[Any]
    units: int
    activation: Any
    use_bias: bool
    dropout: float
    recurrent_dropout: float
    seed: int | None
    return_sequences: bool
    return_state: bool
    go_backwards: bool

    def __post_init__(self) -> None:
        self._set("units", size_of(self, "units"))
        for name in ("activation", "recurrent_activation"):
            if hasattr(self, name):
                self._set(name, self._activation(name))
        for name in ("use_bias", "return_sequences", "return_state", "go_backwards", "unroll"):
            check_flag(self, name)
            self._set(name, bool(getattr(self, name)))
        resolve_units(self, "kernel", "bias", "recurrent")
        for name in ("dropout", "recurrent_dropout"):
            check_number(self, name, 0, 1)
            self._set(name, float(getattr(self, name)))
        check_seed(self)
        own_input_shape(self)

    def _activation(self, name: str) -> Any:
        found = activations.get(getattr(self, name))
        if not found.compiled or found.row_given((self.units,)) != (self.units,):
            raise ValueError(
                f"{type(self).__name__}: {name} must be one of fastnn's activations that gives as many numbers as it "
                f"takes, got {shown(getattr(self, name))}: it is worked out at each step, where no Python runs"
            )
        return found

    def __call__(self, inputs: Any, initial_state: Any = None, mask: None = None, training: bool | None = None) -> Any:
        """The symbolic tensor that the layer gives for one; with return_state also those of the last states.

        initial_state: tensors of shape (units,) to begin with in place of zeros, as many as the layer has states. For
        arrays, what it makes of them.
        """
        if initial_state is not None:
            states = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
            inputs = [*inputs, *states] if isinstance(inputs, (list, tuple)) else [inputs, *states]
        elif is_symbolic(inputs) and isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]
        return super().__call__(inputs, mask=mask, training=training)

    def _check(self, rows: Sequence[Shape]) -> tuple[int, int]:
        """Steps and features of x. ValueError where these are no rows for the layer."""
        kind = type(self).__name__
        if len(rows) not in (1, 1 + self.states):
            raise ValueError(
                f"{kind} reads x and {self.states} initial state(s), or x alone, got {len(rows)} tensor(s)"
            )
        if len(rows[0]) != 2:
            raise ValueError(
                f"{kind} expects rows of two axes, (steps, features), got rows of shape {rows[0]}; one feature a step "
                "is (steps, 1), which Reshape((-1, 1)) makes (expected ndim=3)"
            )
        for row in rows[1:]:
            if row != (self.units,):
                raise ValueError(f"{kind}: an initial state has shape ({self.units},), got {row}")
        return rows[0]

    def output_shape(self, *input_shapes: Shape) -> Shape:
        steps, _ = self._check(input_shapes)
        return (steps, self.units) if self.return_sequences else (self.units,)

    def rows_given(self, row: Shape) -> tuple[Shape, ...]:
        return (row, *[(self.units,)] * (self.states if self.return_state else 0))

    def compute_output_shape(self, input_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape of what the layer gives, the axis of the rows first; with return_state of all that it gives."""
        shape = super().compute_output_shape(input_shape)
        rest = self.rows_given(shape[1:])[1:]
        return (shape, *((shape[0], *row) for row in rest)) if rest else shape

    def parameters(self, *input_shapes: Shape) -> tuple[Parameter, ...]:
        _, features = self._check(input_shapes)
        columns = self.gates * self.units
        recurrent = Parameter(
            "recurrent_kernel",
            (self.units, columns),
            *(getattr(self, f"recurrent_{kind}") for kind in ("initializer", "regularizer", "constraint")),
        )
        bias = parameter_of(self, "bias", self._bias_shape())
        return (parameter_of(self, "kernel", (features, columns)), recurrent, bias)[: 2 + self.use_bias]

    def _bias_shape(self) -> Shape:
        return (self.gates * self.units,)

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        steps, features = self._check(input_shapes)
        sources = tuple(-1 - k for k in range(len(input_shapes)))
        ops: list[Any] = []
        if 0 < self.dropout < 1:  # one draw for all steps
            ops.append((SharedDropoutOp(np.tile(np.arange(features), steps), True, self.dropout, self.seed), (-1,)))
            sources = (0, *sources[1:])
        unit, gate = self.activation, getattr(self, "recurrent_activation", self.activation)
        recurrent = self.op(
            (steps, features, self.units),
            (unit.kernel, unit.numbers()),
            (gate.kernel, gate.numbers()),
            self.use_bias,
            self.return_sequences,
            self.return_state,
            self.go_backwards,
            len(input_shapes) > 1,
            self.recurrent_dropout if self.recurrent_dropout < 1 else 0.0,
            self.seed,
            getattr(self, "reset_after", True),
        )
        ops.append((recurrent, sources))
        if self.return_state:  # whose row has all that is given, one behind the other
            place, start = len(ops) - 1, 0
            whole = prod(self.output_shape(*input_shapes)) + self.states * self.units
            for row in self.rows_given(self.output_shape(*input_shapes)):
                ops.append((StridedCopyOp(whole, (prod(row),), (1,), start), (place,)))
                start += prod(row)
        return tuple(ops)

    def _run(self, x: DoubleArray, states: Sequence[DoubleArray], step: Any) -> Any:
        """Go through the steps: step(x of the step, states) -> the next states."""
        now = tuple(states) or (np.zeros((len(x), self.units)),) * self.states
        given = []
        for t in range(x.shape[1])[:: -1 if self.go_backwards else 1]:
            now = step(x[:, t], now)
            given.append(now[0])
        out = np.stack(given, axis=1) if self.return_sequences else given[-1]
        return (out, *now) if self.return_state else out


@LAYERS.add("simple_rnn", "SimpleRNN")
@dataclass(frozen=True, eq=False, repr=False)
class SimpleRNN(_Recurrent):
    """h = activation(x . kernel + bias + h . recurrent_kernel), step by step; the last h is given.

    (steps, features) -> (units,). Weights: kernel (features, units), recurrent_kernel (units, units),
    bias (units,).

    units: at least 1. return_sequences: give h of all steps, (steps, units), not the last one's. return_state: give a
    tuple, the output and the last h. go_backwards: begin with the last step; what is given comes in the order in
    which it is worked out. dropout, recurrent_dropout: while training, the share of the numbers of x and of h that the
    products do without, one draw for all steps of a row; 1 drops nothing. seed: random numbers of the layer's own. The
    activations, initializers, regularizers and constraints: a name or an object. unroll, use_cudnn, implementation and
    zero_output_for_mask: taken; they change nothing. Called as layer(x, initial_state=[...]), it begins with these,
    not with zeros. Source: Elman 1990.
    """

    units: int
    activation: Any = "tanh"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None
    stateful: bool = nothing(False)
    zero_output_for_mask: Any = field(default=False, kw_only=True, repr=False, metadata=_TAKEN)
    use_cudnn: Any = field(default="auto", kw_only=True, repr=False, metadata=_TAKEN)
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata=_TAKEN)
    gates = 1
    op = SimpleRNNOp

    def reference(
        self, x: DoubleArray, *states: DoubleArray, kernel: DoubleArray, recurrent_kernel: DoubleArray, bias: Any = 0.0
    ) -> Any:
        """The formula, in float64."""

        def step(x: DoubleArray, states: Sequence[DoubleArray]) -> tuple[DoubleArray, ...]:
            return (self.activation.reference(x @ kernel + bias + states[0] @ recurrent_kernel),)

        return self._run(x, states, step)


@LAYERS.add("lstm", "LSTM")
@dataclass(frozen=True, eq=False, repr=False)
class LSTM(_Recurrent):
    """c = f * c + i * activation(zc), h = o * activation(c), step by step; the last h is given.

    (steps, features) -> (units,). Weights: kernel (features, 4 * units), recurrent_kernel (units, 4 * units), bias
    (4 * units,). The columns are those of i, f, c, o: z = x . kernel + bias + h . recurrent_kernel, of which i, f and o
    are the recurrent_activation. unit_forget_bias: the bias of f begins with ones.

    The other arguments are SimpleRNN's; return_state gives the last h and c. Source: Hochreiter and Schmidhuber 1997;
    Gers et al. 2000.
    """

    units: int
    activation: Any = "tanh"
    recurrent_activation: Any = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    name: str | None = None
    input_shape: Any = None
    stateful: bool = nothing(False)
    zero_output_for_mask: Any = field(default=False, kw_only=True, repr=False, metadata=_TAKEN)
    use_cudnn: Any = field(default="auto", kw_only=True, repr=False, metadata=_TAKEN)
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata=_TAKEN)
    gates = 4
    states = 2
    op = LSTMOp

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "unit_forget_bias")
        self._set("unit_forget_bias", bool(self.unit_forget_bias))

    def parameters(self, *input_shapes: Shape) -> tuple[Parameter, ...]:
        found = super().parameters(*input_shapes)
        if self.use_bias and self.unit_forget_bias:
            found = (*found[:2], found[2]._replace(initializer=_ForgetBias(self.bias_initializer)))
        return found

    def reference(
        self, x: DoubleArray, *states: DoubleArray, kernel: DoubleArray, recurrent_kernel: DoubleArray, bias: Any = 0.0
    ) -> Any:
        """The formula, in float64."""
        gate, unit = self.recurrent_activation.reference, self.activation.reference

        def step(x: DoubleArray, states: Sequence[DoubleArray]) -> tuple[DoubleArray, ...]:
            i, f, c, o = np.split(x @ kernel + bias + states[0] @ recurrent_kernel, 4, axis=1)
            state = gate(f) * states[1] + gate(i) * unit(c)
            return gate(o) * unit(state), state

        return self._run(x, states, step)


@LAYERS.add("gru", "GRU")
@dataclass(frozen=True, eq=False, repr=False)
class GRU(_Recurrent):
    """h = z * h + (1 - z) * n, step by step; the last h is given.

    (steps, features) -> (units,). Weights: kernel (features, 3 * units), recurrent_kernel (units,
    3 * units), bias (2, 3 * units). The columns are those of z, r, n; z and r are recurrent_activation(x . kernel +
    h . recurrent_kernel + bias), n = activation(x . kernel + bias[0] + r * (h . recurrent_kernel + bias[1])). Without
    reset_after n = activation(x . kernel + bias + (r * h) . recurrent_kernel), and bias is (3 * units,).

    Its arguments are SimpleRNN's and recurrent_activation. Source: Cho et al. 2014.
    """

    units: int
    activation: Any = "tanh"
    recurrent_activation: Any = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    unroll: bool = False
    reset_after: bool = True
    name: str | None = None
    input_shape: Any = None
    stateful: bool = nothing(False)
    zero_output_for_mask: Any = field(default=False, kw_only=True, repr=False, metadata=_TAKEN)
    use_cudnn: Any = field(default="auto", kw_only=True, repr=False, metadata=_TAKEN)
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata=_TAKEN)
    gates = 3
    op = GRUOp

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "reset_after")
        self._set("reset_after", bool(self.reset_after))

    def _bias_shape(self) -> Shape:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def reference(
        self, x: DoubleArray, *states: DoubleArray, kernel: DoubleArray, recurrent_kernel: DoubleArray, bias: Any = 0.0
    ) -> Any:
        """The formula, in float64."""
        gate, unit, n = self.recurrent_activation.reference, self.activation.reference, 2 * self.units
        own, other = bias if np.ndim(bias) == 2 else (bias, np.zeros(3 * self.units))

        def step(x: DoubleArray, states: Sequence[DoubleArray]) -> tuple[DoubleArray, ...]:
            (h,), z = states, x @ kernel + own
            gates = gate(z[:, :n] + h @ recurrent_kernel[:, :n] + other[:n])
            z_gate, r = np.split(gates, 2, axis=1)
            u = r * (h @ recurrent_kernel[:, n:] + other[n:]) if self.reset_after else (r * h) @ recurrent_kernel[:, n:]
            return (z_gate * h + (1 - z_gate) * unit(z[:, n:] + u),)

        return self._run(x, states, step)


_names.offer(globals())

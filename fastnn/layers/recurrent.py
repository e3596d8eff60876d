"""Layers that go through the steps of a row: SimpleRNN, LSTM, GRU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_flag
from fastnn.engine.ops import GRUOp, LSTMOp, SimpleRNNOp
from fastnn.initializers import Initializer
from fastnn.layers._recurrent import Recurrent
from fastnn.layers.base import LAYERS, Parameter
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


class SimpleRNNSteps(Recurrent):
    """The arithmetic of a SimpleRNN."""

    gates = 1
    op = SimpleRNNOp

    def reference(
        self, x: DoubleArray, *states: DoubleArray, kernel: DoubleArray, recurrent_kernel: DoubleArray, bias: Any = 0.0
    ) -> Any:
        """The formula, in float64."""

        def step(x: DoubleArray, states: Sequence[DoubleArray]) -> tuple[DoubleArray, ...]:
            return (self.activation.reference(x @ kernel + bias + states[0] @ recurrent_kernel),)

        return self._run(x, states, step)


@LAYERS.add("simple_rnn", "SimpleRNN")
@dataclass(frozen=True, eq=False, repr=False)
class SimpleRNN(SimpleRNNSteps):
    """h = activation(x . kernel + bias + h . recurrent_kernel), step by step; the last h is given.

    (steps, features) -> (units,). Weights: kernel (features, units), recurrent_kernel (units, units),
    bias (units,).

    units: at least 1. return_sequences: give h of all steps, (steps, units), not the last one's. return_state: give a
    tuple, the output and the last h. go_backwards: begin with the last step; what is given comes in the order in
    which it is worked out. dropout, recurrent_dropout: while training, the share of the numbers of x and of h that the
    products do without, one draw for all steps of a row; 1 drops nothing. seed: random numbers of the layer's own. The
    activations, initializers, regularizers and constraints: a name or an object. stateful: row i of a batch begins with
    the state that row i of the batch before has left, zeros at first and after reset_state(); Input(batch_shape=...)
    says the size of batches. unroll, use_cudnn, implementation: taken; they change nothing. Called as
    layer(x, initial_state=[...]), it begins with these, not with zeros. A step that a mask leaves out keeps the state,
    and gives what the step before gave, or zeros with zero_output_for_mask. Source: Elman 1990.
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
    stateful: bool = field(default=False, kw_only=True)
    zero_output_for_mask: bool = field(default=False, kw_only=True)
    use_cudnn: Any = field(default="auto", kw_only=True, repr=False, metadata=_TAKEN)
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata=_TAKEN)


class LSTMSteps(Recurrent):
    """The arithmetic of an LSTM."""

    gates = 4
    states_kept = 2
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


@LAYERS.add("lstm", "LSTM")
@dataclass(frozen=True, eq=False, repr=False)
class LSTM(LSTMSteps):
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
    stateful: bool = field(default=False, kw_only=True)
    zero_output_for_mask: bool = field(default=False, kw_only=True)
    use_cudnn: Any = field(default="auto", kw_only=True, repr=False, metadata=_TAKEN)
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata=_TAKEN)


class GRUSteps(Recurrent):
    """The arithmetic of a GRU."""

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


@LAYERS.add("gru", "GRU")
@dataclass(frozen=True, eq=False, repr=False)
class GRU(GRUSteps):
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
    stateful: bool = field(default=False, kw_only=True)
    zero_output_for_mask: bool = field(default=False, kw_only=True)
    use_cudnn: Any = field(default="auto", kw_only=True, repr=False, metadata=_TAKEN)
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata=_TAKEN)


_names.offer(globals())

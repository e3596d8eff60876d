"""What SimpleRNN, LSTM and GRU have in common: fields, shapes, states, masks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from fastnn import activations
from fastnn._checks import check_flag, check_number, shown
from fastnn.engine.ops import SharedDropoutOp, StridedCopyOp
from fastnn.layers._fields import own_input_shape, parameter_of, resolve_units, size_of
from fastnn.layers.base import Layer, Parameter, check_seed, set_field
from fastnn.layers.masks import OfSteps
from fastnn.layers.places import locked
from fastnn.layers.tensor import called, is_symbolic
from fastnn.typing import DoubleArray, FloatArray, Shape

RUN = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")


def check_flags(layer: Any, *names: str) -> None:
    """Raise unless these fields are True or False."""
    for name in names:
        check_flag(layer, name)
        set_field(layer, name, bool(getattr(layer, name)))


class Recurrent(OfSteps, Layer):
    """What the three have in common: fields, shapes, states."""

    passes_mask = reads_mask = True
    gates: ClassVar[int]  # blocks of columns that a kernel has
    states_kept: ClassVar[int] = 1  # arrays of a state
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
    stateful: bool
    zero_output_for_mask: bool

    def __post_init__(self) -> None:
        self._set("units", size_of(self, "units"))
        for name in ("activation", "recurrent_activation"):
            if hasattr(self, name):
                self._set(name, self._activation(name))
        check_flags(self, "use_bias", *RUN)
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

    def __call__(self, inputs: Any, initial_state: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """The symbolic tensor that the layer gives for one; with return_state also those of the last states.

        initial_state: tensors of shape (units,) to begin with in place of zeros, as many as the layer has states. For
        arrays, what it makes of them.
        """
        if initial_state is not None:
            states = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
            inputs = [*inputs, *states] if isinstance(inputs, (list, tuple)) else [inputs, *states]
        elif is_symbolic(inputs) and isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]
        if self.stateful and is_symbolic(inputs):
            self.hold((inputs[0] if isinstance(inputs, (list, tuple)) else inputs).node.batch)
        return super().__call__(inputs, mask=mask, training=training)

    # States that go on from batch to batch.

    def hold(self, rows: int | None) -> None:
        """Have states for batches of so many rows."""
        if rows is None:
            raise ValueError(
                f"layer {called(self)!r}: a stateful layer keeps a state for each row of a batch, and the size of "
                "batches is not known (When using `stateful=True` in a RNN, the batch size must be static); give it to "
                "the input: Input(batch_shape=(rows, steps, features))"
            )
        held = vars(self).setdefault("_states", np.zeros((rows, self.states_kept, self.units), np.float32))
        if len(held) != rows:
            raise ValueError(
                f"layer {called(self)!r} is stateful, with states for batches of {len(held)} row(s), got {rows} (If an "
                "RNN is stateful, the batch size of the input sequences must be the same as the batch size of the "
                "initial state); make another layer"
            )

    @property
    def states(self) -> list[FloatArray] | None:
        """What the next batch's rows begin with, copies of (rows, units) for each state; None unless stateful."""
        held = vars(self).get("_states")
        return None if held is None else [held[:, number].copy() for number in range(self.states_kept)]

    def reset_state(self) -> None:
        """Have the next batch's rows begin with zeros again; nothing, unless the layer is stateful."""
        if "_states" in vars(self):
            with locked([self]):
                vars(self)["_states"][...] = 0

    def _check(self, rows: Sequence[Shape]) -> tuple[int, int]:
        """Steps and features of x. ValueError where these are no rows for the layer."""
        kind = type(self).__name__
        if len(rows) not in (1, 1 + self.states_kept):
            raise ValueError(
                f"{kind} reads x and {self.states_kept} initial state(s), or x alone, got {len(rows)} tensor(s)"
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
        return (row, *[(self.units,)] * (self.states_kept if self.return_state else 0))

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
        return self._ops(input_shapes, None)

    def masked_ops(self, rows: Sequence[Shape], masks: Sequence[Shape | None]) -> tuple[Any, ...]:
        return self._ops(rows, masks[0])

    def _ops(self, input_shapes: Sequence[Shape], mask: Shape | None) -> tuple[Any, ...]:
        steps, features = self._check(input_shapes)
        if mask not in (None, (steps,)):
            raise ValueError(
                f"layer {called(self)!r}: x has {steps} steps, and its mask the shape {mask}, not ({steps},)"
            )
        sources = tuple(-1 - k for k in range(len(input_shapes) + (mask is not None)))
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
            mask is not None,
            self.zero_output_for_mask,
            vars(self).get("_states") if self.stateful else None,
        )
        ops.append((recurrent, sources))
        if self.return_state:  # whose row has all that is given, one behind the other
            place, start = len(ops) - 1, 0
            whole = prod(self.output_shape(*input_shapes)) + self.states_kept * self.units
            for row in self.rows_given(self.output_shape(*input_shapes)):
                ops.append((StridedCopyOp(whole, (prod(row),), (1,), start), (place,)))
                start += prod(row)
        return tuple(ops)

    def _run(self, x: DoubleArray, states: Sequence[DoubleArray], step: Any) -> Any:
        """Go through the steps: step(x of the step, states) -> the next states."""
        now = tuple(states) or (np.zeros((len(x), self.units)),) * self.states_kept
        given = []
        for t in range(x.shape[1])[:: -1 if self.go_backwards else 1]:
            now = step(x[:, t], now)
            given.append(now[0])
        out = np.stack(given, axis=1) if self.return_sequences else given[-1]
        return (out, *now) if self.return_state else out

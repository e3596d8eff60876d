"""Cells, one step of a recurrent layer each, and RNN, which takes them through the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.layers._fields import own_input_shape
from fastnn.layers._recurrent import RUN, Recurrent, check_flags
from fastnn.layers.base import LAYERS, Layer
from fastnn.layers.composite import Composite
from fastnn.layers.masks import OfSteps, given_masks
from fastnn.layers.merging import Concatenate
from fastnn.layers.operation import operation
from fastnn.layers.recurrent import GRUSteps, LSTMSteps, SimpleRNNSteps
from fastnn.layers.reshaping import Reshape
from fastnn.layers.tensor import OPERATORS, Node, Structure, Tensor, called
from fastnn.layers.tracing import arguments_of
from fastnn.typing import FloatArray, Shape

__all__ = ["RNN", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


class Cell(Recurrent):
    """A cell of fastnn's: a recurrent layer of one step, whose weights RNN takes through many."""

    return_sequences = go_backwards = stateful = unroll = zero_output_for_mask = False
    return_state = True
    passes_mask = False  # of steps, of which it has one

    def __call__(self, inputs: Any, states: Any = None, training: bool | None = None, mask: Any = None) -> Any:  # type: ignore[override]
        """What the cell gives for a step, and its states after it, for states before it: zeros where there are none.

        states: a tensor of shape (units,), or a list of them. For arrays, what it makes of them.
        """
        out, *after = super().__call__(inputs, states, training=training)
        several = self.states_kept > 1 or isinstance(states, (list, tuple))
        return out, (after if several else after[0])

    @property
    def state_size(self) -> Any:
        """Numbers of the state, or of each of them."""
        return self.units if self.states_kept == 1 else [self.units] * self.states_kept

    @property
    def output_size(self) -> int:
        """Numbers that a step gives."""
        return self.units

    def get_initial_state(self, batch_size: int = 1) -> list[FloatArray]:
        """What a row begins with: an array of zeros for each state."""
        return [np.zeros((batch_size, self.units), np.float32) for _ in range(self.states_kept)]

    def _check(self, rows: Sequence[Shape]) -> tuple[int, int]:
        if rows and len(rows[0]) == 1:
            rows = ((1, *rows[0]), *rows[1:])
        return super()._check(rows)

    def through(self, x: Tensor, states: Sequence[Tensor], mask: Any, **run: bool) -> list[Tensor]:
        """What the cell gives for the steps of x: as the layer of its kind with these fields, and its own weights."""
        steps = object.__new__(type(self))
        vars(steps).update(vars(self), **run)
        steps.supports_masking = True
        tensors = (x, *states)
        row = steps._row(*(tensor.row for tensor in tensors))
        rows, masks = steps.rows_given(row), given_masks(called(self), [x], mask, Tensor)
        outputs = Structure("tuple", tuple(f"{called(self)}_{place}" for place in range(len(rows))))
        masks_at = {k: len(tensors) for k in masks}
        node = Node(self, (*tensors, *masks.values()), rows, outputs, makes=steps.ops, masks=masks_at)
        return self._note(node).tensors()


@LAYERS.add("simple_rnn_cell", "SimpleRNNCell")
@dataclass(frozen=True, eq=False, repr=False)
class SimpleRNNCell(SimpleRNNSteps, Cell):
    """A step of SimpleRNN, which see: cell(x, h) gives (h, h). (features,) -> (units,)."""

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
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata={"saved": False})


@LAYERS.add("lstm_cell", "LSTMCell")
@dataclass(frozen=True, eq=False, repr=False)
class LSTMCell(LSTMSteps, Cell):
    """A step of LSTM, which see: cell(x, [h, c]) gives (h, [h, c]). (features,) -> (units,)."""

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
    name: str | None = None
    input_shape: Any = None
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata={"saved": False})


@LAYERS.add("gru_cell", "GRUCell")
@dataclass(frozen=True, eq=False, repr=False)
class GRUCell(GRUSteps, Cell):
    """A step of GRU, which see: cell(x, h) gives (h, h). (features,) -> (units,)."""

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
    reset_after: bool = True
    seed: int | None = None
    name: str | None = None
    input_shape: Any = None
    implementation: Any = field(default=2, kw_only=True, repr=False, metadata={"saved": False})


@LAYERS.add("stacked_rnn_cells", "StackedRNNCells")
@dataclass(frozen=True, eq=False, repr=False)
class StackedRNNCells(Composite):
    """Cells one behind the other, as one cell: each reads what the one before gives.

    cells: a list of them. The states are those of all, one list or tensor for each.
    """

    cells: Any
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.cells, (list, tuple)) or not self.cells:
            raise ValueError(f"StackedRNNCells: cells must be a list of cells, got {shown(self.cells)}")
        for cell in self.cells:
            check_cell("StackedRNNCells: cells", cell)
        self._set("cells", list(self.cells))
        own_input_shape(self)
        self._consists_of([cell for cell in self.cells if isinstance(cell, Layer)])

    def __call__(self, inputs: Any, states: Any = None, training: bool | None = None) -> Any:  # type: ignore[override]
        """What the last cell gives for a step, and the states of all after it."""
        after = []
        for cell, own in zip(self.cells, states or [None] * len(self.cells), strict=True):
            named = {} if training is None else {"training": training}
            inputs, now = cell(inputs, own, **named)
            after.append(now)
        return inputs, after

    @property
    def state_size(self) -> list[Any]:
        """Those of the cells."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """Numbers that the last cell gives."""
        return size_given(self.cells[-1])

    def get_initial_state(self, batch_size: int = 1) -> list[Any]:
        """Arrays of zeros for each cell."""
        return [[np.zeros((batch_size, size), np.float32) for size in sizes_of_states(cell)] for cell in self.cells]


def check_cell(name: str, cell: Any) -> None:
    """ValueError for what has no ``call`` and ``state_size``."""
    own = callable(getattr(cell, "call", None)) and hasattr(cell, "state_size")
    if not own and not isinstance(cell, (Cell, StackedRNNCells)):
        raise ValueError(
            f"{name} must be cells, with call(inputs, states) and state_size, got {shown(cell)} (Argument `cell` "
            "should have a `call` method and a `state_size` attribute.)"
        )


def sizes_of_states(cell: Any) -> list[int]:
    """Numbers of each state of a cell."""
    sizes = cell.state_size
    return list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]


def size_given(cell: Any) -> int:
    """Numbers that a cell gives."""
    size = getattr(cell, "output_size", None)
    return int(sizes_of_states(cell)[0] if size is None else size)


@LAYERS.add("rnn", "RNN")
@dataclass(frozen=True, eq=False, repr=False)
class RNN(OfSteps, Composite):
    """A cell, from step to step. (steps, features) -> what the cell gives for the last step, or for each.

    cell: SimpleRNNCell, LSTMCell, GRUCell, a list of cells or StackedRNNCells: as fast as the layers of their kinds.
    Or a layer of one's own with ``state_size``, a number or a list of them, and ``call(inputs, states)``, which gives
    what the step gives and a list of the states after it: each step is then a copy of its call in the model, so steps
    are few (1,000 layers are the most that a model has). The others: see SimpleRNN. With return_state a tuple is
    given, the states one by one behind the output; so are those of initial_state=[...] of a call.
    """

    cell: Any
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    name: str | None = None
    input_shape: Any = None
    passes_mask = True

    def __post_init__(self) -> None:
        if isinstance(self.cell, (list, tuple)):
            self._set("cell", StackedRNNCells(list(self.cell)))
        check_cell("RNN: cell", self.cell)
        check_flags(self, *RUN)
        own_input_shape(self)
        if self._fused():
            self._consists_of([self.cell])
        elif self.stateful:
            raise ValueError("RNN: stateful must be False with a cell of one's own; give and take states by hand")

    def cells(self) -> list[Any]:
        """The cells, one behind the other."""
        return list(self.cell.cells) if isinstance(self.cell, StackedRNNCells) else [self.cell]

    def _sizes(self) -> list[int]:
        """Numbers of each state, of all cells."""
        return [size for cell in self.cells() for size in sizes_of_states(cell)]

    def _fused(self) -> bool:
        return all(isinstance(cell, Cell) for cell in self.cells())

    def call(self, x: Tensor, initial_state: Any = None) -> Any:
        """What the cells give, and with return_state their states."""
        before = _flat([] if initial_state is None else initial_state)
        sizes = self._sizes()
        if len(before) not in (0, len(sizes)):
            raise ValueError(f"RNN: expected {len(sizes)} initial state(s), got {len(before)}")
        given, states = (self._through if self._fused() else self._step_by_step)(x, before)
        return (given, *states) if self.return_state else given

    def _through(self, x: Any, before: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        cells, mask, backwards, after = self.cells(), None, self.go_backwards, []
        if backwards and len(cells) > 1:  # as those that follow meet the steps
            mask, backwards = OPERATORS["mask"](x), False
            x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
        for place, cell in enumerate(cells):
            last, count = place == len(cells) - 1, len(sizes_of_states(cell))
            if self.stateful:
                cell.hold(x.node.batch)
            own, before = before[:count], before[count:]
            x, *states = cell.through(
                x,
                own,
                mask,
                return_sequences=self.return_sequences or not last,
                go_backwards=backwards,
                stateful=self.stateful,
                zero_output_for_mask=self.zero_output_for_mask and last,
            )
            after += states
        return x, after

    def _step_by_step(self, x: Any, before: list[Any]) -> tuple[Any, list[Any]]:
        """A call of the cells for each step."""
        if len(x.row) < 2:
            raise ValueError(f"RNN expects rows of at least two axes, (steps, features), got rows of shape {x.row}")
        now = before or [operation("constant", x, value=[0.0] * size) for size in self._sizes()]
        mask, given, out = OPERATORS["mask"](x), [], None
        for step in range(x.row[0])[:: -1 if self.go_backwards else 1]:
            new, after = self._step(x[:, step], now)
            if mask is not None:
                valid = mask[:, step : step + 1]
                if out is None:  # what is given before the first step that is there
                    out = (
                        now[0] if now[0].row == new.row else operation("constant", x, value=np.zeros(new.row).tolist())
                    )
                after = [_either(valid, one, other) for one, other in zip(after, now, strict=True)]
                shown_out = new * valid if self.zero_output_for_mask else _either(valid, new, out)
                new = _either(valid, new, out)
            out, now = new, after
            given.append(new if mask is None or not self.return_sequences else shown_out)
        if not self.return_sequences:
            return given[-1], now
        return Concatenate(1)([Reshape((1, *tensor.row))(tensor) for tensor in given]), now

    def _step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        after: list[Any] = []
        for cell in self.cells():
            count = len(sizes_of_states(cell))
            own, states = states[:count], states[count:]
            if isinstance(cell, Cell):
                x, now = cell(x, own)
            else:
                if isinstance(cell, Layer) and not cell.built:
                    cell.build(x.shape)
                asks = {"training": None} if "training" in arguments_of(cell.call) else {}
                x, now = cell.call(x, own, **asks)
            after += _flat(now)
        return x, after

    @property
    def states(self) -> list[FloatArray] | None:
        """What the next batch's rows begin with; None unless stateful."""
        found = [cell.states for cell in self.cells()] if self.stateful else []
        return [state for states in found for state in states] if found and None not in found else None

    def reset_state(self) -> None:
        """Have the next batch's rows begin with zeros again; nothing, unless the layer is stateful."""
        for cell in self.cells() if self.stateful else ():
            cell.reset_state()


def _flat(given: Any) -> list[Any]:
    """Tensors in lists however deep, one by one."""
    return [each for one in given for each in _flat(one)] if isinstance(given, (list, tuple)) else [given]


def _either(valid: Any, one: Any, other: Any) -> Any:
    """One where a step is there, else the other."""
    axes = (1,) * len(one.row)
    mask = valid if axes == valid.row else Reshape(axes)(valid)
    return one * mask + other * (1 - mask)


_names.offer(globals())

"""What a network is told, as Python says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class RowError(ValueError):
    """A value that an op cannot take, in a row whose number stands between two parts of the text.

    `row`: its number among the rows of the op in its batch, as the op says it; then, as the network does, in the page.
    """

    def __init__(self, before: str, after: str, row: Any) -> None:
        super().__init__(f"{before} row {row}{after}")
        self.parts, self.row = (before, after), row

    def named(self, row: Any, what: str = "") -> RowError:
        """The same error with another name of the row; `what` begins the text."""
        return RowError(what + self.parts[0], self.parts[1], row)


class Metric(NamedTuple):
    """A metric of an output. kernel: one of signature "loss" or "accumulator", or a Python object with `update_state`.

    numbers: those that the kernel reads. weighted: whether lines count by their weights. from_logits: a loss
    reads the output as logits, and writes what they stand for.
    """

    kernel: Any
    numbers: Sequence[float] = ()
    weighted: bool = False
    from_logits: bool = False


class Objective(NamedTuple):
    """What an output is trained for. loss: a kernel, or a Python object with `value_and_gradient`.

    targets: the columns of y that go with a line of the output. shape: of a row of the output, whose last axis is a
    line; () where a row is one line. fused: the loss reads the op's output before its activation and applies that
    itself. from_logits: it reads the output as logits. reduction: a key of ``fastnn.engine.network.REDUCTIONS``.
    importance: what it counts in the sum of all outputs' losses. bounds: (low, high, whole) of the targets that the
    loss and the metrics have a meaning for, None for any; a batch with another has the loss NaN.
    """

    loss: Any
    targets: int
    numbers: Sequence[float] = ()
    fused: bool = False
    from_logits: bool = False
    reduction: str = "sum_over_batch_size"
    importance: float = 1.0
    metrics: Sequence[Metric] = ()
    shape: Sequence[int] = ()
    bounds: tuple[float, float, bool] | None = None


class AddedLoss(NamedTuple):
    """What the output of an op adds to the loss: total * sum a + l1 * sum |a| + l2 * sum a^2 over a batch's rows.

    op: its place. mean: the sum is divided by the rows of the batch. python: a function that takes its place; it gives
    (value, slopes) for the numbers of all rows, float32 (rows, units).
    """

    op: int
    total: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    mean: bool = True
    python: Any = None


class Variable(NamedTuple):
    """A parameter that learns: a matrix (rows, columns) from `start` on in the flat vector; a vector is one column.

    l1, l2: its penalties. penalty: a kernel with its numbers, constraint: a kernel with its numbers, or None; where
    they are Python, functions of its weights as a flat array, which give (value, slopes) and the weights constrained.
    mask: a uint8 array, 0 where a number is 0 after every step, else 1; who has it may change it between two runs.
    decays: whether the optimizer's weight decay shrinks it; decay: one of its own in place of the optimizer's.
    sparse: the rows alone step that a batch touches (True); or those of a table that could (False); None: of no table.
    shape: as an optimizer that takes whole variables reads it, where that is not (rows, columns); matrix: which of its
    two ways it takes. path: what it is called, "dense/kernel".
    """

    start: int
    rows: int
    columns: int = 1
    l1: float = 0.0
    l2: float = 0.0
    penalty: tuple[Any, Sequence[float]] | None = None
    constraint: tuple[Any, Sequence[float]] | None = None
    decays: bool = True
    python_penalty: Any = None
    python_constraint: Any = None
    mask: Any = None
    decay: float | None = None
    shape: Sequence[int] = ()
    matrix: bool = True
    path: str = ""
    sparse: bool | None = None

"""What a metric is: its declaration, and what it gathers from one batch to the next."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np

from fastnn._checks import check_name, shown
from fastnn._config import Configured, takes
from fastnn._dtypes import check_unit_dtype
from fastnn._numbers import as_numbers
from fastnn._table import Table, overrides
from fastnn.kernels.bindings import state_size
from fastnn.losses import Loss
from fastnn.losses.base import along_last
from fastnn.losses.targets import ANY, Targets, problem_of
from fastnn.metrics.weights import Gathering, held
from fastnn.typing import Array, ArrayLike, DoubleArray

__all__ = ["METRICS", "AccumulatedMetric", "LossMetric", "MeanMetric", "Metric"]

C = TypeVar("C")


@dataclass_transform(eq_default=False)
def declared(cls: type[C]) -> type[C]:
    """A dataclass without the methods that Metric has for all: compiling them for each class would cost the import."""
    return dataclass(cls, eq=False, repr=False)


def _is_declared(cls: Any) -> bool:
    """Whether a metric's name is one of its fields, as those of fastnn have it."""
    return any(field.name == "name" for field in fields(cls))


@dataclass(init=False, eq=False, repr=False)
class Metric(Gathering, Configured):
    """A value of y (..., targets) and output (..., units), gathered over batches; name: what logs call it.

    Each line of numbers along the last axis counts for itself, whatever the axes before it.

    `update_state` adds a batch, `result` gives the value so far, `reset_state` begins anew; called, a metric does the
    first two. Derive from this class, with these three, for a metric in Python: a model hands it each batch as arrays
    and holds the GIL meanwhile. What it gathers may be made by ``add_weight``, and then `reset_state` is there already.
    A subclass of another metric that has one of these of its own is such a metric too.

    dtype: None or "float32". TypeError for a name that is no text, ValueError for another dtype.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    dtype: Any = field(default=None, kw_only=True, metadata={"saved": False})
    _dtype: ClassVar[str] = "float32"  # by which metrics of one's own in older scripts call it
    takes: ClassVar[Targets] = ANY  # the targets that it has a meaning for
    leaves_out = False  # whether rows of some targets count for nothing, whatever these are
    by_element = False  # whether weights may be those of elements, each of which counts for itself
    by_row: ClassVar[bool] = False  # whether outputs without a second axis are one row, not rows of one output

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        check_name(self, name)
        self.name: str = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        self.dtype = dtype
        self.__post_init__()

    def __post_init__(self) -> None:
        check_unit_dtype(self, self.dtype)
        self.dtype = "float32"

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same metric again, by name, as JSON."""
        named = {"name": self.name, "dtype": self.dtype}
        return {**named, **{name: value for name, value in super().get_config().items() if name not in named}}

    def own_config(self) -> dict[str, Any] | None:
        own = super().own_config()
        if own is not None or _is_declared(type(self)) or not takes(type(self), "name"):
            return own
        return {"name": self.name}

    @classmethod
    def makes_itself(cls) -> bool:
        return super().makes_itself() or not _is_declared(cls)

    @property
    def kernel(self) -> Any:
        """What adds a batch: a kernel of signature "loss" or "accumulator", or None where `update_state` is Python."""
        return None

    @property
    def compiled(self) -> bool:
        """Whether a model runs the kernel: not where a subclass has one of the methods that add and give the value."""
        own = ("update_state", "result", "reset_state", "__call__")
        return self.kernel is not None and not overrides(self, "kernel", *own)

    @property
    def reads_targets(self) -> bool:
        """Whether y comes to the kernel, or its like, as it is: not where a subclass may make something else of it."""
        return not overrides(self, "kernel", "update_state", "__call__")

    @property
    def logits(self) -> bool:
        """Whether the network's output is taken as logits; the kernel then writes what they stand for."""
        return False

    def numbers(self) -> tuple[float, ...]:
        """The numbers that a mean metric's kernel reads."""
        return ()

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        """In float64, each row's value: (rows,); or of an accumulated metric, the state that a batch leaves."""
        raise TypeError(f"{type(self).__name__} has no reference")

    def columns(self, units: int) -> tuple[int, ...]:
        """How many columns y may have beside an output of `units` columns; () where any number goes."""
        return ()

    def check(self, targets: int, units: int, whose: str = "y") -> None:
        """ValueError unless y of `targets` columns goes with an output of `units` columns."""
        wanted = self.columns(units)
        if wanted and targets not in wanted:
            raise ValueError(
                f"metric {self.name!r} takes {' or '.join(map(str, wanted))} target column(s) for {units} output(s), "
                f"but {whose} has {targets}; choose the metric that goes with the loss, or 'accuracy'"
            )

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Add a batch: y_true (rows, ..., targets), y_pred (rows, ..., units), sample_weight (rows,) or (rows, ...)."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state")

    def result(self) -> Any:
        """The value over all that was added since the start, or since `reset_state`."""
        raise NotImplementedError(f"{type(self).__name__} has no result")

    def reported(self, state: DoubleArray) -> Any:
        """The value of what the engine has gathered in `state`; that of a metric in Python is its own result."""
        return self.result()

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Add a batch; gives the value over all batches so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"

    def arrays(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array, Array | None]:
        """y (lines, targets), output (lines, units) and weight (lines,) or None, of one type: the output's, if a float.

        y_true (..., targets), or (...,) for one target a line; y_pred (..., units); sample_weight (...,) or fewer axes,
        or where elements count each for itself (..., units): the lines are elements then.
        """
        y_true, y_pred = along_last(self, y_true, y_pred)
        output = as_numbers(y_pred, "y_pred")
        by_row = self.by_row or getattr(self, "top_k", None) is not None
        dtype = output.dtype if output.dtype in (np.float32, np.float64) else np.dtype(float)
        output = output.astype(dtype, copy=False)
        if output.ndim < 2:
            output = output.reshape((1, -1) if by_row and output.ndim else (-1, 1))
        y = as_numbers(y_true, "y_true").astype(dtype, copy=False)
        if sample_weight is not None and self.by_element:
            given = as_numbers(sample_weight, "sample_weight")
            if given.ndim == output.ndim and given.shape[-1] == output.shape[-1] > 1 and y.size == output.size:
                sample_weight = _broadcast(given, output.shape, self.name).reshape(-1)
                y, output = y.reshape(-1, 1), output.reshape(-1, 1)
        shape, units = output.shape[:-1], output.shape[-1]
        lines = prod(shape)
        by_line = y.ndim == 2 and len(y) == lines  # without the axes that the output has before its last
        if y.size % max(lines, 1) or (y.ndim > 1 and y.shape[: len(shape)] != shape and not by_line):
            raise ValueError(
                f"metric {self.name!r}: y_true of shape {y.shape} has not the {lines} row(s) of y_pred {output.shape}"
            )
        if lines:
            y = y.reshape(lines, -1)
        elif y.ndim != 2:
            if y.size:
                raise ValueError(f"metric {self.name!r}: y_pred {output.shape} has no rows, y_true {y.shape} has")
            y = y.reshape(0, (self.columns(units) or (units,))[0])
        self.check(y.shape[1], units)
        weight = self._weights(sample_weight, shape, dtype)
        if self.takes.limited:
            absent = np.isnan(y) if weight is None else np.isnan(y) | (weight == 0)[:, None]
            problem = self.bad_targets(y, units, np.arange(lines), absent)
            if problem:
                raise ValueError(problem)
        return y, output.reshape(lines, units), weight

    def bad_targets(self, y: Array, units: int, rows: Array, left_out: Array | None = None) -> str | None:
        """What is wrong with the first bad row of y (rows, targets), or None. rows: by which number each is known."""
        problem = problem_of(self, self.takes, y, units, rows, left_out)
        return problem and f"metric {self.name!r}: {problem}"

    def _weights(self, sample_weight: ArrayLike | None, shape: tuple[int, ...], dtype: Any) -> Array | None:
        """A weight for each line of outputs with these leading axes, or None."""
        if sample_weight is None:
            return None
        weight, lines = as_numbers(sample_weight, "sample_weight").astype(dtype, copy=False), prod(shape)
        if weight.size == 1:
            return np.broadcast_to(weight.reshape(()), (lines,))
        given = weight[..., 0] if weight.ndim == len(shape) + 1 and weight.shape[-1] == 1 else weight
        if given.ndim < len(shape) and given.shape == shape[: given.ndim]:  # of rows, for all their lines
            given = given.reshape(given.shape + (1,) * (len(shape) - given.ndim))
        if given.ndim != len(shape) or any(n not in (1, all_n) for n, all_n in zip(given.shape, shape, strict=True)):
            raise ValueError(
                f"metric {self.name!r} takes one sample_weight for each of {lines} row(s), got shape {weight.shape}"
            )
        return np.broadcast_to(given, shape).reshape(-1)


def _broadcast(weight: Array, shape: tuple[int, ...], name: str) -> Array:
    try:
        return np.broadcast_to(weight, shape)
    except ValueError:
        raise ValueError(
            f"metric {name!r}: sample_weight of shape {weight.shape} does not go with y_pred of shape {shape}"
        ) from None


METRICS: Table[Metric] = Table("metric", Metric, also=("accuracy", "acc", "crossentropy", "ce"))


class MeanMetric(Metric):
    """The mean over the rows of a value of each: sum of weight * value / sum of weights; 0 where that is 0 / 0."""

    abstract: ClassVar[bool] = True

    _total = 0.0
    _weight = 0.0
    total, count = held("total"), held("count")

    def result_of(self, total: float, weight: float) -> float:
        """The value, of the sum of weight * value and the sum of weights."""
        return total / weight if weight else 0.0

    def reported(self, state: DoubleArray) -> float:
        return self.result_of(*state.tolist())

    def columns(self, units: int) -> tuple[int, ...]:
        if self.kernel is None:
            raise TypeError(
                f"{type(self).__name__} has no kernel; write a subclass of Metric with update_state and result"
            )
        return (1 if self.kernel.labels else units,)

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        y, output, weight = self.arrays(y_true, y_pred, sample_weight)
        total, _, _ = self.kernel(y, output, self.numbers(), weight=weight)
        self._total += total
        self._weight += len(output) if weight is None else float(weight.sum(dtype=float))

    def result(self) -> float:
        return self.result_of(self._total, self._weight)

    def reset_state(self) -> None:
        self._total = self._weight = 0.0

    def parts(self) -> dict[str, Array]:
        return {"total": np.asarray(self._total), "count": np.asarray(self._weight)}

    def take_parts(self, parts: dict[str, Array]) -> None:
        self._total, self._weight = float(parts["total"]), float(parts["count"])


class LossMetric(MeanMetric):
    """The mean over the rows of a loss's value. Those in the table name their loss, or make it of their fields."""

    loss: Loss

    def __init__(self, loss: Loss, name: str | None = None, dtype: Any = None) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"LossMetric: loss must be a loss object, got {shown(loss)}")
        check_name(self, name)
        super().__init__(name or loss.name, dtype)
        self.loss = loss

    @property
    def kernel(self) -> Any:
        return self.loss.kernel_for("")[0]

    @property
    def logits(self) -> bool:
        return self.loss.logits

    @property
    def takes(self) -> Targets:  # type: ignore[override]
        return self.loss.takes

    @property
    def leaves_out(self) -> bool:  # type: ignore[override]
        return self.loss.mask(np.zeros((1, 1))) is not None

    def bad_targets(self, y: Array, units: int, rows: Array, left_out: Array | None = None) -> str | None:
        counted = self.loss.mask(y)
        if counted is not None:
            left_out = ~counted if left_out is None else left_out | ~counted
        return super().bad_targets(y, units, rows, left_out)

    def numbers(self) -> tuple[float, ...]:
        return self.loss.numbers()

    def columns(self, units: int) -> tuple[int, ...]:
        return (self.loss.targets(units),)

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        return self.loss.reference(y, output)


class AccumulatedMetric(Metric):
    """A value of a state of doubles, to which a kernel adds batches."""

    abstract: ClassVar[bool] = True

    _state: DoubleArray | None = None

    @property
    def width(self) -> int:
        """How many outputs there are, as far as the metric itself says."""
        return 1

    def accumulator_numbers(self) -> tuple[float, ...]:
        """The metric's own numbers, as its kernel reads them."""
        raise TypeError(f"{type(self).__name__} has no accumulator_numbers")

    def state_size(self, units: int, targets: int) -> int:
        """Doubles of the state."""
        return int(state_size(self.kernel, units, targets, self.accumulator_numbers()))

    def result_of(self, state: DoubleArray) -> Any:
        """The value: a float, or an array where it has several numbers."""
        raise TypeError(f"{type(self).__name__} has no result_of")

    def reported(self, state: DoubleArray) -> Any:
        return self.result_of(state)

    def reference(self, y: DoubleArray, output: DoubleArray, weight: DoubleArray | None = None) -> DoubleArray:
        raise TypeError(f"{type(self).__name__} has no reference")

    def columns(self, units: int) -> tuple[int, ...]:
        return (units,)

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        y, output, weight = self.arrays(y_true, y_pred, sample_weight)
        size = self.state_size(output.shape[1], y.shape[1])
        if self._state is None or (len(self._state) != size and not self._state.any()):
            self._state = np.zeros(size)
        if len(self._state) != size:
            raise ValueError(
                f"metric {self.name!r} has seen batches of another width than {output.shape[1]} output(s); "
                "call reset_state() first, or take another metric"
            )
        self.kernel(y, output, self._state, self.accumulator_numbers(), weight=weight)

    @property
    def state(self) -> DoubleArray:
        """What was gathered; zeros where nothing was."""
        return np.zeros(self.state_size(self.width, 1)) if self._state is None else self._state

    def result(self) -> Any:
        return self.result_of(self.state)

    def reset_state(self) -> None:
        self._state = None if self._state is None else np.zeros_like(self._state)

    def parts(self) -> dict[str, Array]:
        return self.parts_of(self.state)

    def take_parts(self, parts: dict[str, Array]) -> None:
        # Before the first batch the state may have another width than batches will have.
        self._state = self.state_of(parts) if any(np.any(part) for part in parts.values()) else None

    def parts_of(self, state: DoubleArray) -> dict[str, Array]:
        """The state by the names that Keras has for its parts."""
        return {"state": state}

    def state_of(self, parts: dict[str, Array]) -> DoubleArray:
        """The state with these parts."""
        return np.array(parts["state"], float)


def ratio(part: DoubleArray, whole: DoubleArray) -> DoubleArray:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.not_equal(whole, 0))


def one_or_all(values: DoubleArray) -> Any:
    """A vector of one number as that number."""
    return float(values[0]) if len(values) == 1 else values


def weights_of(y: DoubleArray, weight: DoubleArray | None) -> DoubleArray:
    """One weight for each row of y."""
    return np.ones(len(y)) if weight is None else weight

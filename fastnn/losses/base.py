"""What a loss is, the table of all, and how a batch's values become one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastnn._checks import check_choice, check_name, shown
from fastnn._config import Configured
from fastnn._dtypes import check_unit_dtype
from fastnn._numbers import as_numbers, converted, numeric
from fastnn._table import Table, overrides
from fastnn.engine.network import REDUCTIONS
from fastnn.kernels.bindings import row_values, targets_of
from fastnn.losses.targets import ANY, Targets, problem_of
from fastnn.typing import Array, ArrayLike, DoubleArray, FloatArray

__all__ = ["EPSILON", "LOSSES", "Loss", "bad_targets"]

EPSILON = 1e-7  # Keras's: probabilities are kept this far from 0 and 1
STEP = 6e-6  # the cube root of float64's epsilon: the two errors of a central difference meet there
MOST = 1024  # outputs of a batch whose slopes are found one by one

L = TypeVar("L", bound="Loss")


class TargetError(ValueError):
    """A target that a loss has no meaning for."""


@dataclass(frozen=True)
class Loss(Configured):
    """A loss of y (..., targets) and output (..., units): a value for each line, as the rows of a table are.

    reduction: what becomes of the values, each multiplied by its weight. "sum_over_batch_size", also called
    "mean": their sum divided by their number; "sum"; "mean_with_sample_weight": their sum divided by that of the
    weights; "none" or None: an array of them. dtype: None or "float32". ValueError for another.

    A subclass with a ``call`` of its own, which gives the values, runs in Python: see `value_and_gradient`. It may
    call ``super().call``. `gradient`, a method of (y_true, y_pred), may give the slopes. TypeError for a subclass with
    a ``__call__`` of its own, which `fit` has no use for.
    """

    abstract: ClassVar[bool] = True
    table_name: ClassVar[str]
    kernel: ClassVar[Any] = None
    takes: ClassVar[Targets] = ANY  # the targets that it has a meaning for
    fused: ClassVar[dict[str, Any]] = {}  # activation -> the kernel that reads the output before it
    gradient: ClassVar[Any] = None  # of a subclass with `call`: (y_true, y_pred) -> slopes of the values
    reduction: str = field(default="sum_over_batch_size", kw_only=True)
    name: str = field(default="", kw_only=True, repr=False)
    dtype: Any = field(default=None, kw_only=True, repr=False, compare=False, metadata={"saved": False})

    def __init_subclass__(cls) -> None:
        if "__call__" in vars(cls):
            raise TypeError(
                f"{cls.__name__}: a loss weighs and reduces its values itself, so fit would not use __call__; write "
                "call(self, y_true, y_pred), which gives a value for each row"
            )

    def __post_init__(self) -> None:
        check_name(self, self.name)
        object.__setattr__(self, "name", self.name or getattr(self, "table_name", type(self).__name__))
        object.__setattr__(self, "reduction", "none" if self.reduction is None else self.reduction)
        check_choice(self, "reduction", *REDUCTIONS, "none", also="Invalid value for argument `reduction`")
        check_unit_dtype(self, self.dtype)
        object.__setattr__(self, "dtype", "float32")

    def numbers(self) -> tuple[float, ...]:
        """The loss's own numbers, as its kernels read them."""
        return ()

    def reference(self, y: DoubleArray, output: DoubleArray) -> DoubleArray:
        """Each row's value, in float64: (rows,)."""
        raise TypeError(f"{type(self).__name__} has no reference")

    @property
    def logits(self) -> bool:
        """Whether the network's output is taken as logits."""
        return bool(getattr(self, "from_logits", False))

    @property
    def labels(self) -> bool:
        """Whether y holds one class number for each row."""
        return self.kernel is not None and bool(self.kernel.labels)

    @property
    def compiled(self) -> bool:
        """Whether training runs the kernel: not where a subclass has a `call` of its own."""
        return self.kernel is not None and not overrides(self, "kernel", "call")

    @property
    def whole(self) -> bool:
        """Whether the value belongs to the batch as a whole, whatever its rows weigh."""
        return self.kernel is not None and bool(self.kernel.whole)

    def kernel_for(self, activation: str) -> tuple[Any, bool]:
        """The kernel to train with after `activation`, and whether it reads the output before that."""
        if self.logits:
            return next(iter(self.fused.values())), False
        if activation in self.fused:
            return self.fused[activation], True
        return self.kernel, False

    def targets(self, units: int) -> int:
        """Columns of y that go with an output of `units` columns. ValueError where the loss takes no such output."""
        return units if self.kernel is None else targets_of(self.kernel, units)

    def mask(self, y: Array) -> Array | None:
        """Which rows of y count, where the loss itself leaves some out."""
        return None

    def counted(self, y: Array) -> Array | None:
        """Which rows an average over arrays counts, where that is not all."""
        return self.mask(y)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """A value for each row: y_pred (..., units) gives (...,), in float32 if it is float32, else in float64.

        y_true has y_pred's shape, or (...,) or (..., 1) where one target goes with each row. ValueError for a target
        that the loss has no meaning for; NaN gives NaN.
        """
        if self.kernel is None:
            raise TypeError(f"{type(self).__name__} has no call; write call(self, y_true, y_pred)")
        y, output = paired(self, *along_last(self, y_true, y_pred))
        kernel, _ = self.kernel_for("")
        if kernel.whole:
            return np.asarray(kernel(y.reshape(1, -1), output.reshape(1, -1), self.numbers())[0], output.dtype)
        return np.asarray(row_values(kernel, y, output, self.numbers()).reshape(output.shape[:-1]))

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The values of the rows, weighted and reduced: a NumPy scalar, or with the reduction "none" an array.

        sample_weight: a number, or an array that goes with the values (Keras's rules). A weight of 0 makes 0 of any
        value. ValueError where the arrays do not fit each other.
        """
        if self.kernel is None and not hasattr(self, "function"):  # a call of the user's own works on arrays
            y_true, y_pred = (converted(numeric(y, what), what) for y, what in ((y_true, "y_true"), (y_pred, "y_pred")))
        values = as_numbers(self.call(self._present(y_true, y_pred, sample_weight), y_pred), f"loss {self.name!r}")
        weight = None
        if sample_weight is not None:
            weight = as_numbers(sample_weight, "sample_weight").astype(values.dtype)
        mask = self.counted(np.reshape(y_true, values.shape) if self.labels else as_numbers(y_true, "y_true"))
        if mask is not None:
            weight = masked(weight, mask, values.dtype, averaged=self.reduction in ("sum_over_batch_size", "mean"))
        if weight is not None:
            values, weight = same_rank(values, weight)
            values = weighted(values, weight)
        return reduced(values, weight, self.reduction)

    def _present(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> ArrayLike:
        """y_true with 0, which any loss takes, in the rows that weigh 0 and are as if they were not there."""
        if sample_weight is None or self.whole or not self.takes.limited:
            return y_true
        y, lines = np.array(as_numbers(y_true, "y_true"), float), as_numbers(y_pred, "y_pred").shape[:-1]
        weight = as_numbers(sample_weight, "sample_weight")
        weight = weight[..., 0] if weight.shape == (*lines, 1) else weight
        if (
            weight.ndim > len(lines)
            or weight.shape not in ((), lines)
            or y.shape[: len(lines)] != lines
            or weight.all()
        ):
            return y_true
        y[np.broadcast_to(weight == 0, lines)] = 0
        return y

    # In Python, for training.

    def value_and_gradient(
        self, y: FloatArray, output: FloatArray, weight: FloatArray | None, scale: float
    ) -> tuple[float, FloatArray]:
        """(sum over lines of weight * value, scale * weight * its slopes, (rows, ..., units)) for a batch, by `call`.

        y (rows, ..., targets), output (rows, ..., units); weight (rows,) or (rows, ...), None for ones. What weighs 0
        adds nothing. A value of a row, or of the batch, counts for each of its lines. Slopes are those of `gradient`,
        or central differences in float64: two calls for each output that goes with a value, where a line's value, or
        a row's, may depend on that line or row alone; at most 1,024 outputs where there is one value for the batch.
        """
        if weight is not None and not weight.all():
            y = np.asarray(self._present(y, output, weight), y.dtype)
        try:
            values = self._checked(y, output)
        except TargetError as error:
            raise ValueError(
                f"loss {self.name!r}: {error} (the row is one of a batch, as its call was given it)"
            ) from None
        weights = np.ones(output.shape[:-1])
        if weight is not None:
            weights = weights * weight.reshape(weight.shape + (1,) * (weights.ndim - weight.ndim))
        counts = weights.sum(axis=tuple(range(values.ndim, weights.ndim)))
        factor = (scale * counts).reshape(values.shape + (1,) * (output.ndim - values.ndim))
        d = np.where(factor == 0, 0, factor * self._slopes(y, output, values.ndim))
        return float(np.where(counts == 0, 0, counts * values).sum()), d.astype(np.float32)

    def _checked(self, y: Array, output: Array) -> Array:
        values = as_numbers(self.call(y, output), f"loss {self.name!r}").astype(np.float64)
        if values.ndim >= output.ndim or values.shape != output.shape[: values.ndim]:
            each = "row" if output.ndim == 2 else "line"
            raise ValueError(
                f"loss {self.name!r} gave an array of shape {values.shape} for {len(output)} rows of "
                f"{', '.join(map(str, output.shape[1:]))} output(s); it must give one value for each {each}, shape "
                f"{output.shape[:-1]}, or one for the batch: take the mean over the last axis"
            )
        return values

    def _slopes(self, y: Array, output: Array, axes: int) -> Array:
        """The slopes of values that have the first so many axes of the output."""
        if self.gradient is not None:
            slopes = as_numbers(self.gradient(y, output), f"the gradient of loss {self.name!r}").astype(np.float64)
            if slopes.shape != output.shape:
                raise ValueError(
                    f"the gradient of loss {self.name!r} has shape {slopes.shape}; it must have that of y_pred, "
                    f"{output.shape}"
                )
            return slopes
        if axes == 0 and output.size > MOST:
            raise ValueError(
                f"loss {self.name!r} gives one value for {output.size} outputs, which is too many to find its slopes "
                f"by differences (at most {MOST}); give it a gradient(y_true, y_pred), or a value for each row"
            )
        y, output = y.astype(np.float64), output.astype(np.float64)
        slopes = np.empty_like(output)
        for own in np.ndindex(*output.shape[axes:]):
            place = (slice(None),) * axes + own
            forth, back = output.copy(), output.copy()
            step = STEP * np.maximum(1, np.abs(output[place]))
            forth[place] += step
            back[place] -= step
            slopes[place] = (self._checked(y, forth) - self._checked(y, back)) / (forth[place] - back[place])
        return slopes


LOSSES: Table[Loss] = Table("loss", Loss, shares=True)


def check_axis(owner: Any, axes: int) -> None:
    """ValueError unless a loss or metric of outputs of so many axes is along the last of them, as models have it."""
    axis = getattr(owner, "axis", -1)
    if isinstance(axis, int) and axis not in (-1, axes - 1):
        raise ValueError(
            f"{type(owner).__name__}: a model takes axis -1, the last, got {axis}; a Permute layer brings another there"
        )


def along_last(owner: Any, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    """Both with the axis of a loss or metric, where it has one, as the last; class numbers have none."""
    axis = getattr(owner, "axis", -1)
    if axis in (-1, None) or not isinstance(axis, int):
        return y_true, y_pred
    y, output = as_numbers(y_true, "y_true"), as_numbers(y_pred, "y_pred")
    if y.ndim not in (output.ndim, output.ndim - 1) or not -output.ndim <= axis < output.ndim:
        raise ValueError(
            f"{type(owner).__name__}: axis {axis} must be one of y_pred, and of y_true where it has as many, got the "
            f"shapes {y.shape} and {output.shape}"
        )
    return np.moveaxis(y, axis, -1) if y.ndim == output.ndim else y, np.moveaxis(output, axis, -1)


def paired(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Both as arrays of one type, y (..., targets) and output (..., units). ValueError where they do not fit."""
    output = as_numbers(y_pred, "y_pred")
    output = output if output.dtype == np.float32 else output.astype(np.float64)
    y = as_numbers(y_true, "y_true").astype(output.dtype)
    if output.ndim == 1 and y.shape == (*output.shape, 1):
        output = output[:, None]
    if output.ndim == 0:
        raise ValueError(f"{type(loss).__name__} takes outputs with at least one axis, got {shown(y_pred)}")
    expected = (*output.shape[:-1], loss.targets(output.shape[-1]))
    if expected[-1] == 1 and y.shape == expected[:-1]:
        y = y.reshape(expected)
    if y.shape != expected:
        raise ValueError(
            f"{type(loss).__name__} takes y_true of shape {expected} with y_pred of shape {output.shape}, got {y.shape}"
            + ("; they must have the same shape" if expected == output.shape else "")
        )
    if loss.takes.limited:
        rows = y.reshape(-1, expected[-1])
        left_out = np.zeros(rows.shape, bool) if loss.takes.classes else np.isnan(rows)
        counted = loss.mask(rows)
        left_out = left_out if counted is None else left_out | ~counted
        problem = problem_of(loss, loss.takes, rows, output.shape[-1], np.arange(len(rows)), left_out)
        if problem:
            raise TargetError(problem)
    return y, output


def same_rank(values: Array, weight: Array) -> tuple[Array, Array]:
    """One of them with a last axis of length 1 more, or less, where their ranks differ by 1: Keras's rule."""
    if values.ndim == weight.ndim + 1 and values.shape[-1] == 1:
        return (values, weight[:, None]) if weight.ndim == 1 else (values[..., 0], weight)
    if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
        return (values[:, None], weight) if values.ndim == 1 else (values, weight[..., 0])
    return values, weight


def masked(weight: Array | None, mask: Array, dtype: Any, averaged: bool) -> Array:
    """Weights that leave rows out, as Keras does: in an average the others count for as many rows as there are."""
    counted = np.count_nonzero(mask)
    share = (mask.size / counted if counted else 0.0) if averaged else 1.0
    kept = np.where(mask, share, 0).astype(dtype)
    if weight is None:
        return kept
    kept, weight = same_rank(kept, weight)
    return np.asarray(weight * kept)


def weighted(values: Array, weight: Array) -> Array:
    """values * weight, and 0 where the weight is 0. ValueError where they do not fit each other."""
    try:
        found = np.zeros(np.broadcast_shapes(values.shape, weight.shape), values.dtype)
    except (ValueError, RuntimeError):  # the second of more than 32 axes
        raise ValueError(
            f"sample_weight of shape {weight.shape} does not go with values of shape {values.shape}; give a weight "
            "for each value"
        ) from None
    np.multiply(values, weight, out=found, where=weight != 0)
    return found


def reduced(values: Array, weight: Array | None, reduction: str) -> Any:
    """Weighted values as one number, or where the reduction is "none" as they are."""
    if reduction == "none" or values.shape in ((), (0,)):
        return values[()]
    total = values.sum()
    if reduction == "sum":
        return total
    divisor = values.size if weight is None or reduction != "mean_with_sample_weight" else weight.sum()
    return total / values.dtype.type(divisor) if divisor else values.dtype.type(0)


def function_of(cls: type[L]) -> Callable[..., Array]:
    """Keras's function form of a loss: y_true, y_pred and the loss's own arguments give a value for each row."""

    def values(y_true: ArrayLike, y_pred: ArrayLike, *arguments: Any, **named: Any) -> Array:
        return cls(*arguments, **named).call(y_true, y_pred)[()]

    own = ", ".join(f"{f.name}={f.default!r}" for f in fields(cls) if not f.kw_only)
    values.__name__ = values.__qualname__ = cls.table_name
    values.__module__ = "fastnn.losses"  # where pickle looks for it
    values.__doc__ = f"({', '.join(filter(None, ('y_true, y_pred', own)))}): {cls.__name__}'s value for each row."
    values.loss = cls  # type: ignore[attr-defined]
    values.table_family = cls.table_family  # type: ignore[attr-defined]
    return values


def bad_targets(loss: Loss, y: Array, units: int, rows: Array) -> str | None:
    """What is wrong with the first bad row of y (rows, targets) in training, or None.

    rows: the number by which each is known. A loss that is Python says itself what it takes.
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"bad_targets: loss must be a loss object, got {shown(loss)}")
    y = as_numbers(y, "y")
    counted = loss.mask(y)
    takes = loss.takes if loss.compiled else ANY
    return problem_of(loss, takes, y, units, rows, None if counted is None else ~counted)

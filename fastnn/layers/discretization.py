"""Numbers by the bin that they lie in: Discretization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count, check_number, shown
from fastnn.data.columns import column_of
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.front import AdaptedLayer, RowError, can_be_sparse, check_mode, check_table, encoded, encoded_shape
from fastnn.layers.tensor import called
from fastnn.typing import Array, FloatArray, Shape

__all__ = ["Discretization"]


@LAYERS.add("discretization")
@dataclass(frozen=True, eq=False)
class Discretization(AdaptedLayer):
    """Numbers by their bin: how many boundaries are at most the number. Any shape -> the same, or by mode another.

    bin_boundaries: in rising order; [0, 1, 2] makes the bins below 0, [0, 1), [1, 2), and 2 or more. num_bins: in their
    place, how many bins ``adapt`` makes of data, with about as many numbers in each. epsilon: how exact it is about
    that; it keeps some 1 / epsilon numbers of the data. output_mode: "int" the bin, from 0; "one_hot" a row of zeros
    with a 1 there, (..., n) -> (..., n, bins), or where n is 1 (..., bins); "multi_hot" ones for all that is there
    along the first axis, "count" how often, (n, ...) -> (..., bins). adapted: that bin_boundaries are what ``adapt``
    made of data. Source: Keras, whose boundaries they are.
    """

    bin_boundaries: Any = None
    num_bins: int | None = None
    epsilon: float = 0.01
    output_mode: str = "int"
    sparse: bool = False
    dtype: Any = field(default=None, kw_only=True, metadata={"saved": False})
    name: str | None = None
    input_shape: Any = field(default=None, kw_only=True)
    adapted: bool = field(default=False, kw_only=True)
    reads = "float32"

    def __post_init__(self) -> None:
        check_mode(self)
        if isinstance(self.num_bins, int) and self.num_bins < 0:
            raise ValueError(f"`num_bins` must be greater than or equal to 0, got num_bins={shown(self.num_bins)}")
        if self.num_bins is None and self.bin_boundaries is None:
            raise ValueError("You need to set either `num_bins` or `bin_boundaries`.")
        if self.num_bins is not None and self.bin_boundaries is not None and not self.adapted:
            raise ValueError(
                "Both `num_bins` and `bin_boundaries` should not be set, got "
                f"num_bins={shown(self.num_bins)} and bin_boundaries={shown(self.bin_boundaries)}"
            )
        if self.num_bins is not None:
            self._set("num_bins", check_count("Discretization: num_bins", self.num_bins))
        check_number(self, "epsilon", 0, 1, open_low=True, open_high=True)
        if self.bin_boundaries is not None:
            self._take(self.bin_boundaries)
        own_input_shape(self)

    def _take(self, boundaries: Any) -> None:
        column = column_of(boundaries, "float32", "Discretization: bin_boundaries")
        if column.ndim != 1 or np.isnan(column).any() or (np.diff(column) < 0).any():
            raise ValueError(f"Discretization: bin_boundaries must be numbers in rising order, got {shown(boundaries)}")
        self._set("bin_boundaries", tuple(map(float, np.asarray(boundaries, float).tolist())))
        self._set("_table", column.copy())

    def config(self) -> dict[str, Any]:
        return {
            **LAYERS.config(self),
            "bin_boundaries": None if self.bin_boundaries is None else list(self.bin_boundaries),
        }

    def reset_state(self) -> None:
        if self.num_bins is None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`, use `num_bins` "
                "instead."
            )
        super().reset_state()

    def update_state(self, data: Any) -> None:
        if self._seen is None:
            self.reset_state()
        values = np.sort(column_of(data, "float32", "data").ravel())
        if np.isnan(values).any():
            raise ValueError(f"layer {called(self)!r}: the data has NaN; leave such rows out, or fill them")
        own = _summary(values, self.epsilon)
        merged = own if self._seen is None else np.concatenate([own, self._seen], axis=1)
        self._set("_seen", _compressed(merged[:, np.argsort(merged[0])], self.epsilon))

    def finalize_state(self) -> None:
        if self.num_bins is None or self._seen is None or not self._seen.shape[1]:
            raise ValueError(f"layer {called(self)!r}: adapt got no numbers")
        self._take(_compressed(self._seen, 1.0 / self.num_bins)[0, :-1].tolist())
        self._set("adapted", True)

    @property
    def output_dtype(self) -> str:  # type: ignore[override]
        """What it gives: "int32", or "float32" where the mode is not "int"."""
        return "int32" if self.output_mode == "int" else "float32"

    def number_of_bins(self) -> int:
        """How many bins there are."""
        if self.bin_boundaries is not None:
            return len(self.bin_boundaries) + 1
        assert self.num_bins is not None
        return self.num_bins

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.output_mode in ("multi_hot", "count") and len(input_shape) > 1:
            return (*input_shape[1:], self.number_of_bins())
        return encoded_shape(input_shape, self.output_mode, self.number_of_bins())

    @can_be_sparse
    def on_rows(self, column: Array, sparse: bool = False) -> Any:
        if self.bin_boundaries is None:
            raise ValueError(
                "You need to either pass the `bin_boundaries` argument at construction time or call `adapt(dataset)` "
                "before you can start using the `Discretization` layer."
            )
        missing = np.isnan(column)
        if missing.any():
            row = int(np.argwhere(np.atleast_1d(missing))[0, 0])
            raise RowError(row, "NaN lies in no bin; fill it first, or leave the row out")
        bins = self._table.searchsorted(column, side="right").astype(np.int32)
        if self.output_mode in ("multi_hot", "count") and bins.ndim > 2:
            bins = np.moveaxis(bins, 1, -1)
        if self.output_mode == "int":
            return bins
        return encoded(bins, self.output_mode, self.number_of_bins(), sparse=sparse)

    def note(self) -> str:
        return f"{self.number_of_bins()} bins"

    def arrays(self) -> dict[str, Array]:
        if not self.adapted:
            return {}
        return {"bin_boundaries": np.array(self.bin_boundaries, np.float64)}

    def take_arrays(self, arrays: dict[str, Array]) -> None:
        boundaries = arrays["bin_boundaries"]
        check_table(self, "bin_boundaries", boundaries, np.float64)
        if self.num_bins is None or len(boundaries) >= self.num_bins:
            raise ValueError(f"layer {called(self)!r}: {len(boundaries):,} boundaries are too many for its num_bins")
        self._take(boundaries)


def _summary(values: FloatArray, epsilon: float) -> FloatArray:
    """Some 1 / epsilon of sorted values, and how many values each of them stands for."""
    step = max(len(values) * epsilon, 1)
    chosen = values[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def _compressed(summary: FloatArray, epsilon: float) -> FloatArray:
    """A summary of 1 / epsilon values, by the shares of the weights before each."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    total = summary[1].cumsum()
    known = total / total[-1]
    values = np.interp(shares, known, summary[0])
    weights = np.interp(shares, known, total)
    return np.stack([values, np.diff(weights, prepend=0)]).astype(np.float32)


_names.offer(globals())

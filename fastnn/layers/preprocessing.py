"""Layers that prepare features: Normalization, Rescaling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, TypeAlias

import numpy as np

from fastnn._checks import shown
from fastnn._numbers import as_numbers, from_objects, numeric, refuse_masked
from fastnn._table import plain
from fastnn.data.convert import has_columns
from fastnn.engine.ops import AffineOp, StandardizeOp
from fastnn.initializers import Initializer, Ones, Zeros
from fastnn.layers._axes import along, row_axes, sizes
from fastnn.layers._fields import check_axis, own_input_shape
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.places import place_of
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["Normalization", "Rescaling"]

EPSILON = 1e-7  # the smallest deviation that is divided by, Keras's
PAGE = 8192  # rows whose moments are taken together, in float64

# Of some rows: how many, and of each channel the mean and the sum of the squared distances from it.
Moments: TypeAlias = tuple[int, Any, Any]


class Preparing(Layer):
    """A layer that is called on arrays more than others are, and on those of fewer axes too, as in Keras."""

    _seen: Any = None  # by `update_state`

    def on_arrays(self, inputs: Any, training: bool = False) -> Any:
        """What the layer makes of rows; of a number or a vector, which is one row, without the axis of rows."""
        refuse_masked(inputs, f"{type(self).__name__}: inputs")
        given = isinstance(inputs, (int, float, np.number, np.ndarray, list, tuple))
        try:
            vector = given and np.ndim(inputs) < 2
        except ValueError:  # rows of several lengths, of which Layer says more
            vector = False
        return self._of_vector(np.asanyarray(inputs)) if vector else Layer.on_arrays(self, inputs)

    def _of_vector(self, x: Array) -> Array:
        """What the layer makes of a number or of one row."""
        return np.asarray(Layer.on_arrays(self, x.reshape(1, -1))[0])


@dataclass(frozen=True)
class Known(Initializer):
    """Values that are known beforehand."""

    known: Any

    def values(self, shape: Shape, rng: np.random.Generator) -> DoubleArray:
        return np.asarray(self.known, np.float64).reshape(shape)


def _plain(owner: object, name: str, value: Any) -> Any:
    """A number or nested tuples of numbers, as JSON can hold them. TypeError, ValueError for what is neither."""
    try:
        array = as_numbers(value, f"{type(owner).__name__}: {name}").astype(float)
    except TypeError:
        raise TypeError(f"{type(owner).__name__}: {name} must be a number or numbers, got {shown(value)}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{type(owner).__name__}: {name} must be finite, got {shown(value)}")

    def tuples(values: Any) -> Any:
        return tuple(map(tuples, values)) if isinstance(values, list) else values

    return tuples(array.tolist())


def _spread(owner: object, name: str, value: Any, shape: Shape) -> DoubleArray:
    """`value` for each number of `shape`; a view."""
    try:
        return np.broadcast_to(np.asarray(value, float), shape)
    except ValueError:
        raise ValueError(
            f"{type(owner).__name__}: {name} of shape {np.shape(value)} does not go with {shape}; give one number, or "
            "one for each feature"
        ) from None


class _Moment:
    """The field `mean` or `variance`: what was given, and once rows are known an array that goes with them."""

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        return None if layer is None else layer.moment(self.name)

    def __set__(self, layer: Any, value: Any) -> None:
        vars(layer)[self.name] = value


@LAYERS.add("normalization")
@dataclass(frozen=True, eq=False, repr=False)
class Normalization(Preparing):
    """(x - mean) / max(sqrt(variance), 1e-7) for each feature; inverted: x * max(...) + mean. Any shape -> the same.

    axis: -1, the last one, or a list of several, along which each place has its own mean and variance; None: one of
    each for all numbers. mean, variance: both or neither, a number or one for each place. Without them ``adapt`` takes
    them from data; the layer then has weights that do not learn: mean, variance (0 and 1 before), and count, which
    Keras has too and nobody reads. The attributes mean and variance are arrays that go with rows, once these are known.
    """

    passes_mask = True
    axis: Any = -1
    mean: Any = _Moment()
    variance: Any = _Moment()
    invert: bool = False
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            raise ValueError(
                "Normalization: give both mean and variance, or neither and call adapt (When setting values directly, "
                "both `mean` and `variance` must be set)"
            )
        if self.mean is not None:
            for name in ("mean", "variance"):
                self._set(name, _plain(self, name, getattr(self, name)))
            if np.min(self.variance) < 0:
                raise ValueError(f"Normalization: variance must be at least 0, got {shown(self.variance)}")
            _check_variance(np.asarray(self.variance, float))
        if isinstance(self.axis, list):
            self._set("axis", tuple(self.axis))
        if self.axis is not None:
            check_axis(self)
        own_input_shape(self)

    def adapt(self, data: Any) -> None:
        """Take mean and variance from rows, in float64, page by page.

        data: an array, a source, or batches: a generator, a list of arrays of at least two axes, a PyDataset; of (x, y)
        x counts. Each call starts afresh. ValueError for no rows, or rows that do not fit; RuntimeError where mean and
        variance were given.
        """
        self.reset_state()
        row, pages = _pages(data)
        for page in pages:
            self.update_state(page.reshape(len(page), *row))
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget what was seen. RuntimeError where mean and variance were given."""
        if self.given is not None:
            raise RuntimeError("Normalization has mean and variance already; leave them out to adapt to data")
        self._set("_seen", None)

    def update_state(self, data: Any) -> None:
        """Take more rows into account: an array of numbers. ValueError for rows that do not fit those before."""
        page = _rows(data)
        row = page.shape[1:]
        axes = self._axes(row)
        if self._seen is None:
            self.reset_state()
            self._fits(row, axes)
        elif self._seen[0] != row:
            raise ValueError(f"Normalization: rows of an incompatible shape, {row}; the first had {self._seen[0]}")
        page = np.moveaxis(page, [axis + 1 for axis in axes], range(-len(axes), 0))
        before = (0, 0.0, 0.0) if self._seen is None else self._seen[1]
        self._set("_seen", (row, _moments(before, page.reshape(-1, prod(sizes(row, axes))))))

    def finalize_state(self) -> None:
        """Take mean and variance of what was seen. ValueError for no rows, or numbers too large for float32."""
        if self._seen is None or not self._seen[1][0]:
            raise ValueError("adapt got no rows")
        row, (count, mean, squares) = self._seen
        shape, variance = sizes(row, self._axes(row)), squares / count
        _check_variance(variance)
        held = [mean.reshape(shape), variance.reshape(shape)]
        if place_of(self) is not None:
            self.set_weights([*held, *self.get_weights()[2:]])
        self._set("_adapted", held)
        self._set("_rows", (row,))

    @property
    def built(self) -> bool:
        """Whether mean and variance are known, or have their weights."""
        return "_adapted" in vars(self) or super().built

    def _fits(self, row: Shape, axes: tuple[int, ...]) -> None:
        """ValueError where the layer was built for other places than rows of this shape have."""
        place = place_of(self)
        if place is not None and place.parameters[0].shape != sizes(row, axes):
            raise ValueError(
                f"Normalization was built for features of shape {place.parameters[0].shape}, and adapt got an "
                f"incompatible shape: rows of shape {row} have {sizes(row, axes)}; make another layer for them"
            )

    @property
    def given(self) -> Any:
        """mean and variance as they were given; None where ``adapt`` takes them."""
        mean = vars(self).get("mean")
        return None if mean is None else (mean, vars(self)["variance"])

    def moment(self, name: str) -> Any:
        """mean or variance with an axis for each of the rows' axes, 1 where it is the same along that, rows first.

        As it was given where no rows are known yet.
        """
        rows = vars(self).get("_rows")
        if rows is None:
            return vars(self).get(name)
        axes = self._axes(rows[0])
        shape = (1, *(size if axis in axes else 1 for axis, size in enumerate(rows[0])))
        place = ("mean", "variance").index(name)
        known = self.given or (vars(self).get("_adapted") if place_of(self) is None else None)
        values = self.get_weights()[place] if known is None else np.asarray(known[place], np.float32)
        return np.broadcast_to(values, sizes(rows[0], axes)).reshape(shape)

    def config(self) -> dict[str, Any]:
        """The layer as JSON: its class and its fields, mean and variance as they were given."""
        mean, variance = self.given or (None, None)
        return {**super().config(), **plain({"mean": mean, "variance": variance})}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer, as JSON."""
        mean, variance = self.given or (None, None)
        return {**super().get_config(), **plain({"mean": mean, "variance": variance})}

    def _of_vector(self, x: Array) -> Array:
        """Numbers that have one mean keep their shape; others are the features of a row."""
        adapted = getattr(self, "_adapted", None)
        mean = self.given[0] if self.given is not None else 0.0 if adapted is None else adapted[0]
        if np.size(mean) == 1:
            return np.asarray(Layer.on_arrays(self, x.reshape(-1, 1)).reshape(x.shape))
        return super()._of_vector(x)

    def _axes(self, row: Shape) -> tuple[int, ...]:
        try:
            return () if self.axis is None or self.axis == () else row_axes(self, self.axis, row)
        except ValueError as error:
            raise ValueError(f"{error} (All `axis` values must be in the range of the rows' axes)") from None

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = sizes(input_shape, self._axes(input_shape))
        adapted = getattr(self, "_adapted", None)
        if self.given is not None:
            for name, value in zip(("mean", "variance"), self.given, strict=True):
                _spread(self, name, value, shape)
        elif adapted is not None and adapted[0].shape != shape:
            raise ValueError(
                f"Normalization was adapted to features of shape {adapted[0].shape}, got {shape}; call adapt again"
            )
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        if self.given is not None:
            return ()
        shape = sizes(input_shape, self._axes(input_shape))
        adapted = getattr(self, "_adapted", None)
        first = (Zeros(), Ones()) if adapted is None else tuple(map(Known, adapted))
        return (
            Parameter("mean", shape, first[0], trainable=False),
            Parameter("variance", shape, first[1], trainable=False),
            Parameter("count", (), Zeros(), trainable=False),
        )

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axes = self._axes(input_shape)
        shape = sizes(input_shape, axes)
        known: dict[str, Any] = {"more": 1}
        if self.given is not None:
            pairs = zip(("mean", "variance"), self.given, strict=True)
            known = {name: _spread(self, name, value, shape).ravel() for name, value in pairs}
        op = StandardizeOp(prod(input_shape), prod(shape), EPSILON, bool(self.invert), **known)
        return along(input_shape, axes, op) if axes else (op,)

    def reference(self, x: DoubleArray, mean: Any = None, variance: Any = None) -> DoubleArray:
        """The formula, in float64."""
        axes, row = self._axes(x.shape[1:]), x.shape[1:]
        given = self.given if mean is None else (mean, variance)
        mean, variance = (np.broadcast_to(np.asarray(each, float), sizes(row, axes)) for each in given)
        own = [size if axis in axes else 1 for axis, size in enumerate(row)]
        mean, deviation = mean.reshape(own), np.maximum(np.sqrt(variance), EPSILON).reshape(own)
        return np.asarray(x * deviation + mean if self.invert else (x - mean) / deviation)


def _check_variance(variance: DoubleArray) -> None:
    """ValueError where float32, in which it is kept, cannot hold one."""
    if np.max(variance, initial=0) > np.finfo(np.float32).max:
        raise ValueError(
            f"Normalization: a feature has the variance {np.max(variance):.3g}, more than float32 holds (3.4e+38); "
            "divide the features by a number first"
        )


def _pages(data: Any) -> tuple[Shape, Iterator[Array]]:
    """The shape of a row, and pages of rows."""
    from fastnn.data.source import Source
    from fastnn.data.sparse import dense_parts

    if isinstance(data, Source):
        return data.input_shape, (part for page in data.pages(PAGE) for part in dense_parts(page.x))
    if _are_batches(data):
        batches = _rows_of_batches(data)
        first = next(batches, None)
        if first is None:
            raise ValueError(f"adapt got an empty iterable: {shown(data)} gives no batches")
        return first.shape[1:], chain([first], batches)
    rows = _rows(data)
    return rows.shape[1:], iter([rows])


def _rows(data: Any) -> Array:
    """An array's rows of numbers."""
    rows = numeric(data, "data")
    rows = from_objects(rows, "data") if rows.dtype.kind == "O" else rows
    rows = rows if rows.ndim > 1 else rows[:, None]
    if not prod(rows.shape[1:]):
        raise ValueError(f"adapt takes rows of at least one number, got an array of shape {rows.shape}")
    return rows


def _are_batches(data: Any) -> bool:
    """Whether data gives batches one after the other; a list does where its entries are arrays of several rows."""
    if isinstance(data, (list, tuple)):
        first: Any = data[0] if len(data) else None
        first = first[0] if isinstance(first, tuple) and first else first
        return not len(data) or (hasattr(first, "shape") and len(first.shape) > 1)
    array = isinstance(data, (str, bytes, bytearray)) or any(hasattr(data, sign) for sign in ("__array__", "shape"))
    return hasattr(data, "__iter__") and not (array or has_columns(data))


def _rows_of_batches(batches: Any) -> Iterator[Array]:
    """The features of each batch, as rows of numbers; all have one shape."""
    row = None
    for number, batch in enumerate(batches):
        x = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        if not hasattr(x, "shape"):
            raise TypeError(f"batch {number} must be an array, which has a `.shape`, or (array, y), got {shown(batch)}")
        rows = numeric(x, f"batch {number}")
        rows = rows if rows.ndim > 1 else rows[:, None]
        if row is not None and rows.shape[1:] != row:
            raise ValueError(
                f"batch {number} has an incompatible shape: rows of shape {rows.shape[1:]}, the first had {row}"
            )
        row = rows.shape[1:]
        yield rows


def _moments(before: Moments, page: Array) -> Moments:
    """Those before and of a page's rows together, in float64, as Chan et al. 1983 put them together."""
    count, mean, squares = before
    for start in range(0, len(page), PAGE):
        rows = np.asarray(page[start : start + PAGE], np.float64)
        own = rows.mean(axis=0)
        apart = own - mean
        total = count + len(rows)
        mean = mean + apart * (len(rows) / total)
        squares = squares + ((rows - own) ** 2).sum(axis=0) + apart**2 * (count * len(rows) / total)
        count = total
    return count, mean, squares


@LAYERS.add("rescaling")
@dataclass(frozen=True, eq=False, repr=False)
class Rescaling(Preparing):
    """x * scale + offset. Any shape -> the same. scale, offset: a number, or one for each place of the last axes."""

    passes_mask = True
    scale: Any
    offset: Any = 0.0
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            self._set(name, _plain(self, name, getattr(self, name)))
        own_input_shape(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        for name in ("scale", "offset"):
            _spread(self, name, getattr(self, name), input_shape)
        return input_shape

    def _of_vector(self, x: Array) -> Array:
        """Each number for itself, or a row where there is a scale for each feature."""
        if np.size(self.scale) == 1 and np.size(self.offset) == 1:
            return np.asarray(Layer.on_arrays(self, x.reshape(-1, 1)).reshape(x.shape))
        return super()._of_vector(x)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        scale, offset = (_spread(self, name, getattr(self, name), input_shape).ravel() for name in ("scale", "offset"))
        return (AffineOp(prod(input_shape), scale, offset),)

    def reference(self, x: DoubleArray) -> DoubleArray:
        """The formula, in float64."""
        return np.asarray(x * np.asarray(self.scale) + np.asarray(self.offset))

"""Layers that prepare features: Normalization, Rescaling, CategoryEncoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import check_choice, check_count, shown
from fastnn._numbers import as_numbers, from_objects, numeric, refuse_masked
from fastnn.engine.embedding import EncodeOp
from fastnn.engine.normalization import AffineOp, StandardizeOp
from fastnn.initializers import Initializer, Ones, Zeros
from fastnn.layers._axes import along, row_axes, sizes
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.typing import Array, DoubleArray, Shape

__all__ = ["CategoryEncoding", "Normalization", "Rescaling"]

EPSILON = 1e-7  # the smallest deviation that is divided by, Keras's
PAGE = 8192  # rows whose moments are taken together, in float64


class _Preparing(Layer):
    """A layer that is called on arrays more than others are, and on those of fewer axes too, as in Keras."""

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
class _Known(Initializer):
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


@LAYERS.add("normalization")
@dataclass(frozen=True, eq=False, repr=False)
class Normalization(_Preparing):
    """(x - mean) / max(sqrt(variance), 1e-7) for each feature; inverted: x * max(...) + mean. Any shape -> the same.

    axis: -1, the last one, or a list of several, along which each place has its own mean and variance; None: one of
    each for all numbers. mean, variance: both or neither, a number or one for each place. Without them ``adapt`` takes
    them from data; the layer then has weights that do not learn: mean, variance (0 and 1 before), and count, which
    Keras has too and nobody reads.
    """

    axis: Any = -1
    mean: Any = None
    variance: Any = None
    invert: bool = False
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            raise ValueError("Normalization: give both mean and variance, or neither and call adapt")
        if self.mean is not None:
            for name in ("mean", "variance"):
                self._set(name, _plain(self, name, getattr(self, name)))
            if np.min(self.variance) < 0:
                raise ValueError(f"Normalization: variance must be at least 0, got {shown(self.variance)}")
            _check_variance(np.asarray(self.variance, float))
        if isinstance(self.axis, list):
            self._set("axis", tuple(self.axis))
        own_input_shape(self)

    def adapt(self, data: Any) -> None:
        """Take mean and variance from the rows of an array or a source, in float64, page by page.

        It may be called before or after a model is built; each call starts afresh. ValueError for no rows, or rows
        that do not fit; RuntimeError where mean and variance were given.
        """
        if self.mean is not None:
            raise RuntimeError("Normalization has mean and variance already; leave them out to adapt to data")
        row, pages = _pages(data)
        axes = self._axes(row)
        shape, ends = sizes(row, axes), range(-len(axes), 0)
        pages = (np.moveaxis(page.reshape(len(page), *row), [axis + 1 for axis in axes], ends) for page in pages)
        mean, variance = _moments(pages, prod(shape))
        _check_variance(variance)
        held = [mean.reshape(shape), variance.reshape(shape)]
        with suppress(RuntimeError):  # no model has given it weights yet
            self.set_weights([*held, *self.get_weights()[2:]])
        self._set("_adapted", held)

    def _of_vector(self, x: Array) -> Array:
        """Numbers that have one mean keep their shape; others are the features of a row."""
        adapted = getattr(self, "_adapted", None)
        mean = self.mean if self.mean is not None else 0.0 if adapted is None else adapted[0]
        if np.size(mean) == 1:
            return np.asarray(Layer.on_arrays(self, x.reshape(-1, 1)).reshape(x.shape))
        return super()._of_vector(x)

    def _axes(self, row: Shape) -> tuple[int, ...]:
        return () if self.axis is None or self.axis == () else row_axes(self, self.axis, row)

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = sizes(input_shape, self._axes(input_shape))
        adapted = getattr(self, "_adapted", None)
        if self.mean is not None:
            _spread(self, "mean", self.mean, shape)
            _spread(self, "variance", self.variance, shape)
        elif adapted is not None and adapted[0].shape != shape:
            raise ValueError(
                f"Normalization was adapted to features of shape {adapted[0].shape}, got {shape}; call adapt again"
            )
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        if self.mean is not None:
            return ()
        shape = sizes(input_shape, self._axes(input_shape))
        adapted = getattr(self, "_adapted", None)
        first = (Zeros(), Ones()) if adapted is None else tuple(map(_Known, adapted))
        return (
            Parameter("mean", shape, first[0], trainable=False),
            Parameter("variance", shape, first[1], trainable=False),
            Parameter("count", (), Zeros(), trainable=False),
        )

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        axes = self._axes(input_shape)
        shape = sizes(input_shape, axes)
        known: dict[str, Any] = {"more": 1}
        if self.mean is not None:
            known = {name: _spread(self, name, getattr(self, name), shape).ravel() for name in ("mean", "variance")}
        op = StandardizeOp(prod(input_shape), prod(shape), EPSILON, bool(self.invert), **known)
        return along(input_shape, axes, op) if axes else (op,)

    def reference(self, x: DoubleArray, mean: Any = None, variance: Any = None) -> DoubleArray:
        """The formula, in float64."""
        axes, row = self._axes(x.shape[1:]), x.shape[1:]
        given = (self.mean, self.variance) if mean is None else (mean, variance)
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

    if isinstance(data, Source):
        return data.input_shape, (page.x for page in data.pages(PAGE))
    rows = numeric(data, "data")
    rows = from_objects(rows, "data") if rows.dtype.kind == "O" else rows
    rows = rows if rows.ndim > 1 else rows[:, None]
    if not prod(rows.shape[1:]):
        raise ValueError(f"adapt takes rows of at least one number, got an array of shape {rows.shape}")
    return rows.shape[1:], (rows[start : start + PAGE] for start in range(0, len(rows), PAGE))


def _moments(pages: Iterator[Array], channels: int) -> tuple[DoubleArray, DoubleArray]:
    """Mean and biased variance of each channel, in float64; pages are put together as Chan et al. 1983 do."""
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    for page in pages:
        for start in range(0, len(page), PAGE):
            rows = np.asarray(page[start : start + PAGE], np.float64).reshape(-1, channels)
            own = rows.mean(axis=0)
            apart = own - mean
            total = count + len(rows)
            mean += apart * (len(rows) / total)
            squares += ((rows - own) ** 2).sum(axis=0) + apart**2 * (count * len(rows) / total)
            count = total
    if not count:
        raise ValueError("adapt got no rows")
    return mean, squares / count


@LAYERS.add("rescaling")
@dataclass(frozen=True, eq=False, repr=False)
class Rescaling(_Preparing):
    """x * scale + offset. Any shape -> the same. scale, offset: a number, or one for each place of the last axes."""

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


@LAYERS.add("category_encoding")
@dataclass(frozen=True, eq=False, repr=False)
class CategoryEncoding(_Preparing):
    """Whole numbers as places in rows of `num_tokens`.

    output_mode: "multi_hot" a 1 at each number's place, "count" how often each occurs, (..., n) -> (..., num_tokens);
    "one_hot" a row for each number, (..., n) -> (..., n, num_tokens), or where n is 1 (..., num_tokens). Another number
    than 0 to num_tokens - 1 in the data is a ValueError that names its row and column.
    """

    num_tokens: int
    output_mode: str = "multi_hot"
    name: str | None = None
    input_shape: Any = None

    def __post_init__(self) -> None:
        self._set("num_tokens", check_count("CategoryEncoding: num_tokens", self.num_tokens))
        check_choice(self, "output_mode", "multi_hot", "one_hot", "count")
        own_input_shape(self)

    def _of_vector(self, x: Array) -> Array:
        found = super()._of_vector(x)
        return found.reshape(-1, self.num_tokens) if self.output_mode == "one_hot" else found

    def output_shape(self, input_shape: Shape) -> Shape:
        apart = self.output_mode == "one_hot" and input_shape[-1] > 1
        return (*(input_shape if apart else input_shape[:-1]), self.num_tokens)

    def ops(self, input_shape: Shape) -> tuple[Any, ...]:
        line = 1 if self.output_mode == "one_hot" else input_shape[-1]
        return (EncodeOp(prod(input_shape), self.num_tokens, line, self.output_mode == "count"),)

    def reference(self, x: Array) -> DoubleArray:
        """The formula, in float64."""
        rows = np.eye(self.num_tokens)[np.asarray(x, int)]
        if self.output_mode != "one_hot":
            rows = rows.sum(axis=-2) if self.output_mode == "count" else rows.max(axis=-2)
        return np.asarray(rows.reshape(len(rows), *self.output_shape(np.shape(x)[1:])))

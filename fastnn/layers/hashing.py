"""Categories without a vocabulary: Hashing, HashedCrossing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count
from fastnn.data.columns import column_of, integers_of
from fastnn.kernels.text import hashes
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.front import (
    FrontLayer,
    can_be_sparse,
    check_dtype,
    check_mode,
    encoded,
    encoded_shape,
    kind_of,
    salted,
)
from fastnn.layers.tensor import called
from fastnn.typing import Array, Shape

__all__ = ["HashedCrossing", "Hashing"]

# Of TensorFlow's `sparse.cross_hashed`, and of its `FingerprintCat64`, the mixing step of MurmurHash64A.
CROSS_KEY = np.uint64(0xDECAFCAFFE)
MURMUR = np.uint64(0xC6A4A7935BD1E995)


def hashes_of(column: Array, salt: list[int] | None) -> Array:
    """A hash of each text, or of each whole number's digits; uint64, of the column's shape."""
    texts = column.ravel().tolist()
    if column.dtype.kind != "O":
        texts = list(map(str, texts))
    return hashes(texts, salt).reshape(column.shape)


@LAYERS.add("hashing")
@dataclass(frozen=True, eq=False)
class Hashing(FrontLayer):
    """Texts or whole numbers by their hash: hash mod num_bins. Any shape -> the same, or by `output_mode` other ones.

    The hash is FarmHash64 of the text, or of the number's digits; with `salt`, one number or two, SipHash-2-4 under
    that key. A number with a fraction loses it.

    num_bins: at least 1. mask_value: what has bin 0 for itself; the others share those from 1 on. output_mode: "int"
    the bin; "one_hot" a row of zeros with a 1 there, (..., n) -> (..., n, num_bins), or where n is 1 (..., num_bins);
    "multi_hot" ones for all that a row has, "count" how often, (..., n) -> (..., num_bins). Source: Keras, whose bins
    they are.
    """

    num_bins: int
    mask_value: Any = None
    salt: Any = None
    output_mode: str = "int"
    sparse: bool = False
    name: str | None = None
    dtype: str | None = field(default=None, kw_only=True)
    input_shape: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.num_bins is None or (isinstance(self.num_bins, (int, float)) and self.num_bins <= 0):
            raise ValueError(
                "The `num_bins` for `Hashing` cannot be `None` or non-positive values. "
                f"Received: num_bins={self.num_bins}."
            )
        self._set("num_bins", check_count("Hashing: num_bins", self.num_bins))
        self._set("salt", salted(self, self.salt))
        check_mode(self)
        self._set("dtype", check_dtype(self, self.dtype))
        if self.output_mode == "int" and self.dtype not in (None, "int32", "int64"):
            raise ValueError(
                "Hashing: When `output_mode=\"int\"`, `dtype` should be an integer type, 'int32' or 'int64'. "
                f"Received: dtype={self.dtype}"
            )
        own_input_shape(self)

    @property
    def output_dtype(self) -> str:  # type: ignore[override]
        """What it gives: its dtype; else "int64", or "float32" where the mode is not "int"."""
        return self.dtype or ("int64" if self.output_mode == "int" else "float32")

    def output_shape(self, input_shape: Shape) -> Shape:
        return encoded_shape(input_shape, self.output_mode, self.num_bins)

    def missing_value(self, kind: str) -> Any:
        return self.mask_value

    @can_be_sparse
    def on_rows(self, column: Array, sparse: bool = False) -> Any:
        mask = None
        bins = self.num_bins
        if self.mask_value is not None and bins > 1:
            bins -= 1
            mask = column == self.mask_value
        if column.dtype.kind == "f":
            column = integers_of(np.trunc(column), called(self))
        found = np.asarray(hashes_of(column, self.salt) % np.uint64(bins)).astype(np.int64)
        if mask is not None:
            found = np.where(mask, 0, found + 1)
        return _given(self, found, sparse)


@LAYERS.add("hashed_crossing")
@dataclass(frozen=True, eq=False)
class HashedCrossing(FrontLayer):
    """Several texts or whole numbers of a row together, by their hash: combined mod num_bins. (1,), (1,), ... -> (1,).

    Each text stands for its FarmHash64, each number for itself, and MurmurHash64A's step mixes them in. Read as a
    list of two tensors or more.

    num_bins: at least 1. output_mode: "int" the bin; "one_hot" a row of zeros with a 1 there, (num_bins,). Source:
    Keras, whose bins they are.
    """

    num_bins: int
    output_mode: str = "int"
    sparse: bool = False
    name: str | None = None
    dtype: str | None = field(default=None, kw_only=True)
    input_shape: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._set("num_bins", check_count("HashedCrossing: num_bins", self.num_bins))
        check_mode(self, ("int", "one_hot"))
        self._set("dtype", check_dtype(self, self.dtype))

    @property
    def output_dtype(self) -> str:  # type: ignore[override]
        """What it gives: its dtype; else "int64", or "float32" where the mode is not "int"."""
        return self.dtype or ("int64" if self.output_mode == "int" else "float32")

    def output_shape(self, *input_shapes: Shape) -> Shape:
        self._check_shapes(input_shapes)
        return encoded_shape(input_shapes[0], self.output_mode, self.num_bins)

    def _check_shapes(self, rows: Any) -> None:
        if len(rows) < 2:
            raise ValueError(f"`HashedCrossing` should be called on at least two inputs. Received: {len(rows)}")
        if any(row not in ((), (1,)) for row in rows):
            raise ValueError(
                "All `HashedCrossing` inputs should have shape `()`, `(batch_size)` or `(batch_size, 1)`. Received "
                f"rows of shape {', '.join(map(str, rows))}"
            )
        if len(set(rows)) > 1:
            raise ValueError(
                "All `HashedCrossing` inputs should have equal shape. Received rows of shape "
                f"{', '.join(map(str, rows))}"
            )

    def kinds_read(self, *dtypes: str) -> list[str]:
        kinds = super().kinds_read(*dtypes)
        if "float32" in kinds:
            raise ValueError(
                "All `HashedCrossing` inputs should have an integer or string dtype. Received: "
                f"{', '.join(dtypes)}; give an Input dtype='int64' or 'string', or put Discretization before it"
            )
        return kinds

    def on_values(self, inputs: Any) -> Array:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"`HashedCrossing` should be called on a list or tuple of inputs. Received: a {type(inputs).__name__}"
            )
        kinds = [kind_of(each) for each in inputs]
        columns = [
            column_of(each, kind, f"inputs[{k}]") for k, (each, kind) in enumerate(zip(inputs, kinds, strict=True))
        ]
        self._check_shapes([column.shape[1:] for column in columns])
        self.kinds_read(*kinds)
        found: Array = self.on_rows(*columns)
        return found

    @can_be_sparse
    def on_rows(self, *columns: Array, sparse: bool = False) -> Any:
        if len({column.shape for column in columns}) > 1:
            raise ValueError(
                "All `HashedCrossing` inputs should have equal shape. Received: "
                f"{', '.join(str(column.shape) for column in columns)}"
            )
        found = np.full(columns[0].shape, CROSS_KEY)
        for column in columns:
            if column.dtype.kind == "f":  # what a layer that computes gave
                column = integers_of(column, called(self))
            found = _mixed(
                found,
                hashes_of(column, None)
                if column.dtype.kind == "O"
                else column.astype(np.int64, copy=False).view(np.uint64),
            )
        bins = np.asarray(found % np.uint64(self.num_bins)).astype(np.int64)
        return _given(self, bins, sparse)


def _given(layer: Any, bins: Array, sparse: bool) -> Any:
    """Bins as the layer's mode and dtype have them."""
    if layer.output_mode == "int":
        return bins.astype(layer.output_dtype, copy=False)
    if sparse and layer.output_dtype == "float32":
        return encoded(bins, layer.output_mode, layer.num_bins, sparse=True)
    return encoded(bins, layer.output_mode, layer.num_bins).astype(layer.output_dtype, copy=False)


def _mixed(a: Array, b: Array) -> Array:
    """One hash of two, number by number; all of it is modulo 2**64."""
    with np.errstate(over="ignore"):
        b = b * MURMUR
        a = (a ^ MURMUR ^ (b ^ (b >> np.uint64(47))) * MURMUR) * MURMUR
        a = (a ^ (a >> np.uint64(47))) * MURMUR
        return np.asarray(a ^ (a >> np.uint64(47)))


_names.offer(globals())

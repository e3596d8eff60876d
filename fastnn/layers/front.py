"""Layers that read columns as they come, text and whole numbers of any size: a model's front.

Such a layer stands at the beginning of a model: what it reads are the model's inputs, or what other such layers give.
It runs in NumPy and compiled code while rows become float32, before the engine. A layer of numbers may also stand
behind layers that compute; it then runs as one that is written in Python (fastnn.layers.python), and nothing learns
through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from fastnn._checks import check_choice, check_flag, shown
from fastnn._dtypes import dtype_name
from fastnn.data.convert import looks_like_columns
from fastnn.data.sparse import SparseRows, dense_parts
from fastnn.layers.base import Layer, any_sources, set_field
from fastnn.layers.core import NUMBERS
from fastnn.layers.tensor import called, is_symbolic
from fastnn.typing import Array, FloatArray, Shape

GIVEN = ("int32", "int64", "float16", "float32", "float64")  # on arrays; in a model all is float32
MODES = ("int", "one_hot", "multi_hot", "count")
OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


class RowError(ValueError):
    """What a value in some row of a block makes impossible; `row` is counted from the block's first."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(f"row {row}: {text}")
        self.row = row
        self.text = text

    def said(self, first: int) -> str:
        """The message, where the block begins with row `first`."""
        return f"row {first + self.row}: {self.text}"


def column_dtype(dtype: str) -> str:
    """How a column of an input of this dtype is held: "string", "int64" or "float32"."""
    return "string" if dtype == "string" else "int64" if dtype in NUMBERS else "float32"


def column_of(value: Any, kind: str, name: str) -> Array:
    """See ``fastnn.data.columns``, which is imported when it is needed: most models read numbers alone."""
    from fastnn.data import columns

    return columns.column_of(value, kind, name)


class FrontLayer(Layer):
    """A layer that a model's front has: what it makes of columns is `on_rows`.

    reads: the kind of column, "string", "int64" or "float32"; None for any.
    """

    reads: ClassVar[str | None] = None
    _table: Any = None
    _seen: Any = None  # by ``AdaptedLayer.update_state``

    @any_sources
    def on_rows(self, *columns: Array) -> Array:
        """What the layer makes of columns, each (rows, *shape of a row). RowError for a value that cannot be."""
        raise TypeError(f"{type(self).__name__} has no on_rows")

    def table(self) -> Any:
        """What `adapt` or `set_vocabulary` replaces by another object."""
        return self._table

    def missing_value(self, kind: str) -> Any:
        """What stands for a missing value in a column of that kind which it reads; None where there must be none."""

    def note(self) -> str:
        """What the table holds, for a summary: "12 tokens"."""
        return ""

    def arrays(self) -> dict[str, Array]:
        """The table as arrays by name, which a file of the model holds; none where there is none."""
        return {}

    def take_arrays(self, arrays: dict[str, Array]) -> None:
        """Set the table that ``arrays`` gave. ValueError for what is none."""

    def kinds_read(self, *dtypes: str) -> list[str]:
        """The kind of column that it reads of tensors of these dtypes. ValueError where it cannot read one."""
        found = []
        for dtype in dtypes:
            kind = column_dtype(dtype)
            if self.reads is not None and (kind == "string") != (self.reads == "string"):
                wanted = "text" if self.reads == "string" else "numbers"
                raise ValueError(
                    f"layer {called(self)!r}: {type(self).__name__} reads {wanted}, got a tensor of dtype {dtype!r}; "
                    f"give its Input dtype={self.reads!r}"
                )
            found.append(self.reads or kind)
        return found

    def __call__(self, inputs: Any, *, training: bool | None = None, mask: None = None) -> Any:
        """The symbolic tensor that the layer gives for one, or for a list; for arrays, what it makes of them."""
        if is_symbolic(inputs):
            return super().__call__(inputs, training=training, mask=mask)
        return self.on_values(inputs)

    def on_values(self, inputs: Any) -> Array:
        """What the layer makes of values of any shape, a single one included."""
        kind = self.reads or kind_of(inputs)
        return self.on_rows(column_of(inputs, kind, "inputs"))

    def _held(self) -> list[tuple[bool, FloatArray]]:
        return []  # a table is no weights

    # Behind layers that compute.

    def forward(self, x: Any, weights: Sequence[FloatArray], training: bool) -> FloatArray:
        columns = x if isinstance(x, tuple) else (x,)
        read = [column_of(column, self.reads or "int64", called(self)) for column in columns]
        return np.asarray(self.on_rows(*read), np.float32)

    def backward(self, x: Any, a: FloatArray, d: FloatArray, weights: Sequence[FloatArray]) -> Any:
        several = isinstance(x, tuple)
        return ([None] * len(x) if several else np.zeros_like(x)), []


class AdaptedLayer(FrontLayer):
    """A layer of a front whose table may come from data.

    ``adapt`` does it at once. Else ``reset_state``, ``update_state`` with each batch, and ``finalize_state``.
    """

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Take the table from data.

        data: an array, list, data frame or series, a source of fastnn.data, or an iterable of batches, of which `steps`
        are read. ValueError where the table was given, and for data without any value.
        """
        self.reset_state()
        for batch in batches_of(data, self._adapts_to(), steps):
            self.update_state(batch)
        self.finalize_state()

    def _adapts_to(self) -> str:
        return self.reads or "float32"

    def reset_state(self) -> None:
        """Forget what was seen. ValueError where the table was given."""
        self._set("_seen", None)

    def update_state(self, data: Any) -> None:
        """Take a batch into account: an array, (rows, ...)."""
        raise TypeError(f"{type(self).__name__} has no update_state")

    def finalize_state(self) -> None:
        """Make the table of what was seen. ValueError where that was nothing."""
        raise TypeError(f"{type(self).__name__} has no finalize_state")


def kind_of(value: Any) -> str:
    """The kind of column that values of unknown kind are."""
    if looks_like_columns(value):
        dtype = str(getattr(value, "dtype", getattr(value, "type", "object"))).lower()
        numeric = any(name in dtype for name in ("int", "float", "double", "bool"))
        return "string" if not numeric else "int64" if "int" in dtype or "bool" in dtype else "float32"
    array = np.asarray(value)
    kind = array.dtype.kind
    if kind == "O" and array.size and not isinstance(array.flat[0], (str, bytes)):
        return "int64"
    return {"f": "float32", "b": "int64", "i": "int64", "u": "int64"}.get(kind, "string")


def row_and_kind(data: Any, kind: str | None) -> tuple[Shape, str]:
    """The shape of a row of data, and the kind of column that it is where it is not known."""
    row = getattr(data, "input_shape", None)  # of a source
    if row is None and (isinstance(data, (list, tuple)) or hasattr(data, "__array__") or looks_like_columns(data)):
        row = (np.shape(data) if not hasattr(data, "shape") else data.shape)[1:]
    if row is None:
        raise ValueError(
            f"the shape of a row is not known before a {type(data).__name__} is read; give the first layer an "
            "input_shape, or put Input(shape, dtype='string') first"
        )
    return tuple(row) or (1,), kind or kind_of(data)


def encoded_shape(shape: Shape, mode: str, depth: int | None) -> Shape:
    """The shape of one row that `encoded` gives for one of whole numbers. depth: None where it is not known yet."""
    if mode == "int":
        return shape
    if depth is None:
        raise RuntimeError(
            f"When using `output_mode={mode}` and `pad_to_max_tokens=False`, you must set the layer's vocabulary "
            "before calling it: pass a `vocabulary`, or call `adapt` with some data"
        )
    if mode == "one_hot":
        return (*(shape[:-1] if shape[-1:] == (1,) else shape), depth)
    if not shape:
        raise ValueError(f"output_mode {mode!r} reads rows of at least one axis, along which the numbers lie; got ()")
    return (*shape[:-1], depth)


def encoded(numbers: Array, mode: str, depth: int, weights: Array | None = None, sparse: bool = False) -> Any:
    """Whole numbers as rows of zeros and ones, or of counts; one out of 0 to depth - 1 leaves no trace.

    mode: "one_hot" gives a row for each number, (..., n) -> (..., n, depth), or for n = 1 (..., depth); "multi_hot"
    ones, "count" how often each is there, (..., n) -> (..., depth). weights: what a count is multiplied by. sparse:
    the same as ``SparseRows``, all of a row along one axis.
    """
    numbers = numbers if numbers.ndim else numbers[None]
    if mode == "one_hot":
        if numbers.ndim > 1 and numbers.shape[-1] == 1:
            numbers = numbers[..., 0]
        numbers, shape = numbers.reshape(-1, 1), (*numbers.shape, depth)
    else:
        shape = (*numbers.shape[:-1], depth)
    lines = numbers.reshape(prod(shape[:-1]), numbers.shape[-1])
    known = (lines >= 0) & (lines < depth)
    places = np.flatnonzero(known)
    at = places // lines.shape[1] * depth + lines.ravel()[places]
    return counted(at, shape, mode, weights, sparse)


def counted(at: Array, shape: Shape, mode: str, weights: Array | None, sparse: bool) -> Any:
    """What `encoded` gives, from the places of numbers in the flat array of that shape."""
    depth, width = shape[-1], prod(shape[1:])
    if sparse:
        if mode != "one_hot":  # where they are in order, each once
            at, times = np.unique(at, return_counts=True)
        there = times.astype(np.float32) if mode == "count" else np.ones(len(at), np.float32)
        if weights is not None:
            there = (there * weights[at % depth]).astype(np.float32)
        ends = np.searchsorted(at, np.arange(shape[0] + 1) * width).astype(np.int64)
        return SparseRows(there, (at % width).astype(np.int32), ends, width)
    out = np.zeros((prod(shape[:-1]), depth), np.float32)
    if mode == "count":
        out += np.bincount(at, minlength=out.size).reshape(out.shape)
    else:
        out.reshape(-1)[at] = 1
    if weights is not None:
        out *= weights
    return out.reshape(shape)


def can_be_sparse(on_rows: Callable[..., Any]) -> Callable[..., Any]:
    """An ``on_rows`` that takes sparse=True too, and may give ``SparseRows`` then."""
    on_rows.can_be_sparse = True  # type: ignore[attr-defined]
    return on_rows


def batches_of(data: Any, kind: str, steps: int | None = None) -> Iterator[Array]:
    """The columns of data to adapt to: one of arrays, lists and frames, and one for each batch of anything else.

    data: an array, list, data frame or series; a source of fastnn.data, such as SQLDataset; or any iterable of batches,
    of which `steps` are taken. Of (x, y) batches x counts.
    """
    from fastnn.data.source import Source

    if isinstance(data, Source):
        batches: Iterator[Any] = columns_of_source(data, kind)
    elif isinstance(data, (list, tuple, str, bytes)) or hasattr(data, "__array__") or looks_like_columns(data):
        column = column_of(data, kind, "data")
        yield column[:, None] if column.ndim == 1 else column
        return
    else:
        batches = (column_of(batch[0] if isinstance(batch, tuple) else batch, kind, "data") for batch in data)
    for number, batch in enumerate(batches):
        if number == steps:
            return
        yield batch


def columns_of_source(source: Any, kind: str) -> Iterator[Array]:
    """The features of a source, block by block, as columns of that kind."""
    if hasattr(source, "blocks"):  # a query
        yield from source.blocks(kind)
        return
    if kind == "string":
        raise TypeError(
            f"a {type(source).__name__} holds numbers, and this layer adapts to text; give arrays or a frame"
        )
    for page in source.pages(8192):
        for part in dense_parts(page.x):
            yield column_of(part.reshape(len(part), *source.input_shape), kind, "data")


def check_table(layer: Any, name: str, array: Array, dtype: Any) -> None:
    """ValueError where an array of a file is no table: one axis, of that dtype, of finite numbers."""
    if array.ndim != 1 or array.dtype != dtype or not np.isfinite(array).all():
        raise ValueError(
            f"layer {called(layer)!r}: {name} must be finite numbers of type {np.dtype(dtype)} along one axis, got "
            f"{array.dtype} {array.shape}"
        )


def check_dtype(layer: Any, dtype: Any) -> str | None:
    """The name of the dtype of what a layer gives, None for its own. ValueError where it cannot be one."""
    name = dtype_name(dtype)
    if name is not None and name not in GIVEN:
        raise ValueError(f"{type(layer).__name__}: dtype must be one of {', '.join(GIVEN)}, got {shown(dtype)}")
    return name


def check_mode(layer: Any, modes: Sequence[str] = MODES) -> None:
    """Check `output_mode`, old names included, and `sparse`."""
    name, mode = type(layer).__name__, layer.output_mode
    set_field(layer, "output_mode", OLD_MODES.get(mode, mode) if isinstance(mode, str) else mode)
    also = f"Invalid value for argument `output_mode`. Expected one of {', '.join(modes)}"
    check_choice(layer, "output_mode", *modes, also=also)
    check_flag(layer, "sparse")
    if layer.sparse and layer.output_mode == "int":
        raise ValueError(
            f"{name}: `sparse` may only be true if `output_mode` is `'one_hot'`, `'multi_hot'`, `'count'` or "
            f"`'tf_idf'`, got {mode!r}"
        )
    if layer.sparse:
        raise ValueError(f"{name}: sparse=True cannot be: the layer gives arrays, and the engine reads dense rows")


def salted(layer: Any, salt: Any) -> list[int] | None:
    """A salt as two numbers, None for None."""
    if salt is None:
        return None
    pair = (salt, salt) if isinstance(salt, int) and not isinstance(salt, bool) else salt
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(hasattr(each, "__index__") for each in pair):
        raise ValueError(
            f"The `salt` argument for `{type(layer).__name__}` can only be a tuple of size 2 integers, or a single "
            f"integer. Received: salt={salt!r}."
        )
    return [int(each) % 2**64 for each in pair]

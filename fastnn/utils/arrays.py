"""Arrays made ready: classes as columns, rows of one length, rows of norm 1, and (x, y, sample_weight) put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._checks import check_count
from fastnn.typing import Array, ArrayLike

__all__ = ["normalize", "pack_x_y_sample_weight", "pad_sequences", "to_categorical", "unpack_x_y_sample_weight"]


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> Array:
    """Class numbers as columns: 1 in the column of the class, 0 elsewhere, as float64.

    x: whole numbers of 0 .. num_classes - 1, of any shape; the columns are a new last axis, which takes the place of
    one of length 1. num_classes: by default the largest number + 1. ValueError for other numbers, TypeError for texts.
    """
    numbers = np.asarray(x)
    if numbers.dtype.kind not in "iufb":
        raise TypeError(
            f"to_categorical takes class numbers, got {numbers.dtype} such as {numbers.ravel()[:1].tolist()!r:.80}; "
            "turn texts into numbers with np.unique(labels, return_inverse=True)"
        )
    classes = numbers.astype(np.int64)
    if classes.size == 0 and num_classes is None:
        raise ValueError("to_categorical of no numbers needs num_classes")
    count = int(classes.max()) + 1 if num_classes is None else check_count("num_classes", num_classes)
    bad = (classes != numbers) | (classes < 0) | (classes >= count)
    if bad.any():
        raise ValueError(
            f"to_categorical takes whole numbers of 0 to {count - 1}, got {numbers[bad].flat[0]} at place "
            f"{tuple(np.argwhere(bad)[0].tolist())}; give num_classes, or count classes from 0"
        )
    shape = classes.shape[:-1] if classes.ndim > 1 and classes.shape[-1] == 1 else classes.shape
    columns = np.zeros((classes.size, count))
    columns[np.arange(classes.size), classes.reshape(-1)] = 1
    return columns.reshape(*shape, count)


def normalize(x: ArrayLike, axis: int = -1, order: float = 2) -> Array:
    """x divided by its norm of this order along an axis: its lines have norm 1, and those of zeros stay.

    order: 2 the root of the sum of squares, 1 the sum of magnitudes, np.inf the largest.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "f":
        array = array.astype(np.float64)
    norm = np.linalg.norm(array, order, axis, keepdims=True) if array.ndim else np.abs(array)
    return np.asarray(array / np.where(norm == 0, np.ones_like(norm), norm))


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Array:
    """Sequences of different lengths as rows of one, (sequences, maxlen, ...).

    maxlen: by default that of the longest. padding, truncating: "pre" or "post", the end at which `value` is put in
    front of or behind a short one, and at which a long one loses what is too much. dtype: of the result; object for
    texts. ValueError where a sequence is none, or its entries have other shapes than those of the first.
    """
    for name, end in (("padding", padding), ("truncating", truncating)):
        if end not in ("pre", "post"):
            raise ValueError(f"{name} must be 'pre' or 'post', got {end!r}")
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"`sequences` must be a list of sequences, got {sequences!r:.80}")
    for number, each in enumerate(sequences):
        if not hasattr(each, "__len__"):
            raise ValueError(f"`sequences` must be a list of sequences, got {each!r:.80} at place {number}")
    length = max(map(len, sequences), default=0) if maxlen is None else check_count("maxlen", maxlen, 0)
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(f"`dtype` {dtype} is not compatible with the value {value!r}; pass dtype=object")
    first = next((each for each in sequences if len(each)), ())
    shape = np.shape(first)[1:]
    rows = np.full((len(sequences), length, *shape), value, dtype=dtype)
    for number, each in enumerate(sequences):
        kept = np.asarray(each[max(0, len(each) - length) :] if truncating == "pre" else each[:length], dtype=dtype)
        if not len(kept):
            continue
        if kept.shape[1:] != shape:
            raise ValueError(f"sequence {number} has entries of shape {kept.shape[1:]}, but the first has {shape}")
        rows[number, slice(0, len(kept)) if padding == "post" else slice(length - len(kept), length)] = kept
    return rows


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """x, y and sample_weight as one batch: x alone, (x,) where it is a tuple itself, (x, y), or all three."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of a batch, None for what it has not. ValueError for a tuple of more than three."""
    parts = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"expected x, (x, y) or (x, y, sample_weight), got {len(parts)} parts")
    x, y, sample_weight = (*parts, None, None)[:3]
    return x, y, sample_weight

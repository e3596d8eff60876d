"""Which source reads what `fit`, `evaluate` and `predict` are given, where it is more than plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from .batches import BatchSource, batch_of
from .convert import keeps, looks_like_columns
from .dataset import Dataset
from .paged import MEMORY_LIMIT, PagedSource, is_stored
from .several import in_order
from .source import Source
from .sparse import SparseSource, is_sparse

if TYPE_CHECKING:
    from .several import Several

_ARRAYS = ("__array__", "__array_interface__", "__dlpack__", "shape")


def source_of(x: Any, y: Any, sample_weight: Any, inputs: Several | None, outputs: Several | None) -> Source:
    """As ``given.source_of``."""
    if isinstance(x, Source):
        _check_alone(y, sample_weight, "a source")
        if inputs is not None and (inputs.front is not None or _is_by_name(x, inputs)):
            from .fronted import through

            return through(x, inputs)
        return x
    if isinstance(x, Dataset):
        _check_alone(y, sample_weight, "a dataset")
        return x.source(inputs, outputs)
    if x is None:
        raise ValueError("x is missing; pass arrays x and y, or a source such as SQLDataset")
    if gives_batches(x, lists=y is None):
        _check_alone(y, sample_weight, f"the {type(x).__name__}")
        return BatchSource(x, inputs, outputs)
    if inputs is None or (len(inputs.names) == 1 and inputs.front is None):
        rows, targets, weight, options = in_order(x, y, sample_weight, inputs, outputs)
        if is_sparse(rows):
            return SparseSource(rows, targets, weight, **options)
        if is_stored(rows) and not _in_place(rows, options["ids"]) and 4 * prod(rows.shape) > MEMORY_LIMIT:
            return PagedSource(rows, targets, weight, **options)
    return batch_of(x, y, sample_weight, inputs, outputs)


def _is_by_name(source: Source, inputs: Several) -> bool:
    """Whether a query has columns by the names of a model's several inputs."""
    names = source.columns if len(inputs.names) > 1 and hasattr(source, "through") else ()
    return any(name in names or f"{name}.0" in names for name in inputs.names)


def gives_batches(x: Any, lists: bool = True) -> bool:
    """Whether `x` gives batches one after the other. lists: whether a list of tuples of arrays is one of those."""
    if hasattr(x, "__next__"):
        return True
    if isinstance(x, (str, bytes)) or any(hasattr(x, sign) for sign in _ARRAYS) or looks_like_columns(x):
        return False
    try:
        memoryview(x)
    except TypeError:
        pass
    else:
        return False
    if isinstance(x, Sequence):
        return lists and len(x) > 0 and isinstance(x[0], tuple) and 1 <= len(x[0]) <= 3 and _has_rows(x[0][0])
    by_number = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    return (hasattr(x, "__iter__") or by_number) and not isinstance(x, (Mapping, set, frozenset))


def _has_rows(x: Any) -> bool:
    if isinstance(x, dict):
        return True
    return len(getattr(x[0] if isinstance(x, list) and x else x, "shape", ())) > 0


def _in_place(array: Any, ids: bool) -> bool:
    """Whether the engine can read `array` where it lies, in its file."""
    flags = getattr(array, "flags", None)
    read = array.dtype == "=f4" or (keeps(array.dtype, ids) and array.dtype.isnative)
    return read and flags is not None and bool(flags.c_contiguous and flags.aligned)


def _check_alone(y: Any, sample_weight: Any, what: str) -> None:
    if y is not None or sample_weight is not None:
        raise ValueError(f"{what} brings its own targets and weights; leave y and sample_weight out")

"""Several inputs or outputs side by side: one array in, one array out, in the model's order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import shown

from .arrays import input_forms, target_forms
from .convert import axes_of, has_columns, keeps, to_float32, to_rows
from .sparse import is_sparse, side_by_side, sparse_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.typing import Shape


class Several(NamedTuple):
    """What a model calls its inputs or outputs, in its order.

    `names`; `shapes`, of one row of each; `exact`, the names of those whose whole numbers must not be rounded; `front`,
    what makes the engine's rows of inputs that are not all numbers (``columns.Front``); `unused`, the names of outputs
    that nothing is learnt from, whose arrays may be left out; `ids`, whether all that reads the inputs looks up ids.

    Of a model that prepares a query's columns itself: `classes`, what its target's numbers stand for, in their order;
    `ignored`, columns that it leaves alone; `optional`, those that may be missing.
    """

    names: Sequence[str]
    shapes: Sequence[Shape]
    exact: Collection[str] = ()
    front: Any = None
    unused: Collection[str] = ()
    classes: Sequence[Any] = ()
    ignored: Collection[str] = ()
    optional: Collection[str] = ()
    ids: bool = False


def joined(
    values: Any,
    names: Sequence[str],
    shapes: Sequence[Shape],
    what: str,
    exact: Collection[str] = (),
    unused: Collection[str] = (),
    ids: bool = False,
) -> Any:
    """Return the arrays of several inputs or outputs as one: (rows, sum of the flattened widths), float32.

    Those of inputs are what ``to_rows`` makes of them, where they all stay whole numbers; and ``SparseRows`` where one
    of them is sparse.

    values: a list or tuple in the order of `names`, or a dict by name, of anything that ``to_float32`` takes, and of
    SciPy's sparse matrices; (rows,) stands for (rows, 1). shapes: of one row of each. what: "x" or "y", for messages.
    exact, unused, ids: as in ``Several``; zeros stand for what is left out. With one name its array is returned as
    ``to_float32`` gives it, whatever its shape.

    Raises ValueError for a missing, unknown or surplus array, rows of another shape, and numbers of rows that differ;
    else as ``to_float32``.
    """
    if len(names) == 1:
        return to_float32(dense(only(values, names[0], shapes[:1], what)), what, names[0] in exact)
    arrays = _arrays(_with_unused(values, names, unused), names, what)
    if unused:
        rows = max((axes_of(array) and len(array) for array in arrays if array is not None), default=0)
        arrays = [
            np.zeros((rows, *shape), np.float32) if array is None and name in unused else array
            for array, name, shape in zip(arrays, names, shapes, strict=True)
        ]
    parts = [
        _rows_of(array, f"{what}[{name!r}]", shape, name in exact, what == "x", ids)
        for array, name, shape in zip(arrays, names, shapes, strict=True)
    ]
    for name, part in zip(names, parts, strict=True):
        if len(part) != len(parts[0]):
            raise ValueError(
                f"{what}[{names[0]!r}] has {len(parts[0])} rows but {what}[{name!r}] has {len(part)}; "
                "they need one row each"
            )
    if any(map(is_sparse, parts)):
        return side_by_side([part if is_sparse(part) else to_float32(part, what) for part in parts])
    dtype = np.result_type(*parts)
    if what == "x" and not keeps(dtype, ids):
        parts = [to_float32(part, f"x[{name!r}]", ids) for name, part in zip(names, parts, strict=True)]
    return np.concatenate(parts, axis=1)


def column_names(values: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of several inputs side by side, () where one has none; arguments as `joined`."""
    if not all(has_columns(array) for array in _arrays(values, names, "x")):
        return ()
    from .frames import own_names

    found = [own_names(array) for array in _arrays(values, names, "x")]
    return tuple(name for each in found for name in each) if all(found) else ()


def joined_weights(values: Any, names: Sequence[str], rows: int, shapes: Sequence[Shape]) -> NDArray[np.float32] | None:
    """Return the sample weights of several outputs side by side, (rows, lines of all outputs), float32; None for None.

    values: one array for all outputs, or one for each: a list or tuple in the order of `names`, or a dict by name.
    None in a list, and a name that a dict leaves out, weigh 1. An array is (rows,), or has a number for each line, of
    y's shape without its last axis. shapes: of one row of y for each output. Raises ValueError as ``joined``.
    """
    if values is None:
        return None
    if isinstance(values, Mapping):
        _check_known(values, names, "sample_weight")
        arrays: Sequence[Any] = [values.get(name) for name in names]
    elif isinstance(values, (list, tuple)) and any(value is None or axes_of(value) for value in values):
        arrays = _arrays(values, names, "sample_weight")
    else:
        arrays = [values] * len(names)
    parts = []
    for array, name, shape in zip(arrays, names, shapes, strict=True):
        lines, part = shape[:-1], np.ones((rows, 1), np.float32)
        if array is not None:
            part = to_float32(array, f"sample_weight[{name!r}]")
            if part.shape not in ((rows,), (rows, *lines)):
                more = f", or {(rows, *lines)}" if lines else ""
                raise ValueError(
                    f"sample_weight[{name!r}] must have the shape ({rows},), one number for each row{more}, "
                    f"got {part.shape}"
                )
        parts.append(np.broadcast_to(part.reshape(rows, -1), (rows, prod(lines))))
    return np.concatenate(parts, axis=1)


def in_order(
    x: Any, y: Any, sample_weight: Any, inputs: Several | None, outputs: Several | None
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return x, y and sample_weight as a source takes them, and its options `outputs`, `exact` and `ids`.

    Several inputs or outputs are joined; the array of a single one is left as it is.
    """
    for name, side in (("inputs", inputs), ("outputs", outputs)):
        if side is not None and not isinstance(side, Several):
            raise TypeError(f"{name} must be None or what a model calls them (Several), got {shown(side)}")
    exact, ids, count = False, False, 1
    if inputs is not None and inputs.front is not None:
        from .columns import rows_of  # most models read numbers alone

        x = rows_of(x, inputs)
    elif inputs is not None and len(inputs.names) == 1:
        x = only(x, inputs.names[0], (inputs.shapes[0],), "x")
        exact, ids = inputs.names[0] in inputs.exact, inputs.ids
    elif inputs is not None:
        x, ids = joined(x, inputs.names, inputs.shapes, "x", inputs.exact, ids=inputs.ids), inputs.ids
    if outputs is not None and y is not None:
        names = outputs.names
        if len(names) == 1:
            shape = outputs.shapes[0]
            y = only(y, names[0], target_forms(shape), "y")
            sample_weight = only(sample_weight, names[0], ((), shape[:-1]), "sample_weight")
        else:
            y = joined(y, names, outputs.shapes, "y", names, outputs.unused)
            sample_weight = joined_weights(sample_weight, names, len(y), outputs.shapes)
            count = sum(prod(shape[:-1]) for shape in outputs.shapes)
    return x, y, sample_weight, {"outputs": count, "exact": exact, "ids": ids}


def dense(value: Any) -> Any:
    """Return a sparse matrix as an array, anything else as it is."""
    return value.toarray() if hasattr(value, "tocsr") else value


def only(value: Any, name: str, shapes: Sequence[Shape], what: str) -> Any:
    """Return the one array of a model's one input or output, out of a dict or a list of one where it is in one.

    shapes: those that a row of it may have.
    """
    if isinstance(value, Mapping) and not hasattr(value, "tocsr"):  # a sparse matrix may be a dict of its values
        return _arrays(value, [name], what)[0]
    alone = isinstance(value, (list, tuple)) and len(value) == 1
    return value[0] if alone and len(getattr(value[0], "shape", ())) - 1 in map(len, shapes) else value


def _with_unused(values: Any, names: Sequence[str], unused: Collection[str]) -> Any:
    """Values by name with None for those that nothing is learnt from and that are left out."""
    if not unused:
        return values
    if isinstance(values, Mapping):
        return {**dict.fromkeys(unused), **values}
    needed = [name for name in names if name not in unused]
    if isinstance(values, (list, tuple)) and len(values) == len(names):
        return values
    alone = [values] if len(needed) == 1 and not isinstance(values, (list, tuple)) else values
    if isinstance(alone, (list, tuple)) and len(alone) == len(needed):
        return {**dict.fromkeys(unused), **dict(zip(needed, alone, strict=True))}
    return values


def _arrays(values: Any, names: Sequence[str], what: str) -> Sequence[Any]:
    if len(names) > 1 and has_columns(values):
        from . import frames  # most programs have none

        values = dict(frames.columns_of(values, what) or ()) or values
    if isinstance(values, Mapping):
        _check_known(values, names, what)
        for name in names:
            if name not in values:
                raise ValueError(f"{what} has no array for {name!r}; it needs one for each of {_listed(names)}")
        return [values[name] for name in names]
    if not isinstance(values, (list, tuple)) or len(values) != len(names):
        got = f"{len(values)}" if isinstance(values, (list, tuple)) else f"one {type(values).__name__}"
        raise ValueError(
            f"{what} must be a list of {len(names)} arrays or a dict by name, one for each of {_listed(names)}; "
            f"got {got}"
        )
    return values


def _check_known(values: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    for name in values:
        if name not in names:
            raise ValueError(
                f"{what} has an array for {name!r}{_names.hint(name, names)}, which is none of {_listed(names)}"
            )


def _rows_of(value: Any, name: str, shape: Shape, exact: bool, is_input: bool, ids: bool) -> Any:
    shapes = input_forms(shape) if is_input else target_forms(shape)
    if is_input and is_sparse(value) and len(value.shape) == 2 and 0 not in value.shape:
        array: Any = sparse_rows(value, name, exact or ids)
    else:
        array = to_rows(dense(value), name, exact, ids) if is_input else to_float32(dense(value), name, exact)
    row = array.shape[1:] or (1,)
    if row not in [tuple(shape) or (1,) for shape in shapes]:
        raise ValueError(
            f"{name} has rows of shape {row}, but the model's {tuple(shapes[0])}; check the columns of the data"
        )
    return array if is_sparse(array) else array.reshape(len(array), prod(row))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)

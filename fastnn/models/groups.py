"""What a model is worth for each group of rows: the metrics of each, and the gaps between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import as_flag, shown
from fastnn.data.convert import has_columns
from fastnn.data.frames import names_of
from fastnn.data.groups import MISSING, Grouped, Groups
from fastnn.data.source import RowSource, Source
from fastnn.models.surface import listed

__all__ = ["GroupMetrics"]


class GroupMetrics:
    """What ``evaluate(..., by=)`` gives: the list, dict or number that it gives without, and the same of each group.

    by: a label for each row, (rows,): an array, a list, a series; or the name of a column of x, where that is a frame,
    a dict of columns or a ``SQLDataset``, whose query may have it beside the features (name these by features=); or a
    tuple of several, whose combinations are the groups. A column that the model does not read is taken out of x. The
    rows are read once for all, and once more for each group: a SQLDataset reads them from what it keeps.

    groups: by its label (of several columns a tuple; None, NaN: "missing"), for each group a dict of "rows", "loss"
    and the metrics, which are those of evaluating its rows alone. gap: for each metric of one number the largest less
    the smallest of the groups; those without a value, NaN, are left out. whole: as groups, of all rows. Printed, it is
    a table of them.

    ValueError for an unknown column, labels of another number than rows, more than 1000 groups, and with steps;
    TypeError for rows that cannot be read again in the same order, such as a generator's.
    """

    groups: dict[Any, dict[str, Any]]
    gap: dict[str, float]
    whole: dict[str, Any]

    def frame(self) -> Any:
        """A row for each group, as a data frame of pandas. ImportError where pandas is missing."""
        try:
            import pandas
        except ImportError:
            raise ImportError('a frame needs pandas: pip install "fastnn[pandas]"; groups needs nothing') from None
        return pandas.DataFrame(list(self.groups.values()), index=pandas.Index(list(self.groups)))

    def __str__(self) -> str:
        rows = [("group", "rows", *self.gap)]
        for label, values in [*self.groups.items(), ("all", self.whole), ("gap", self.gap)]:
            named = ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)
            rows.append((named, str(values.get("rows", "")), *(f"{values[name]:.4f}" for name in self.gap)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        )

    __repr__ = __str__


class GroupList(GroupMetrics, list[Any]):
    """``GroupMetrics`` as [loss, metric, ...]."""


class GroupDict(GroupMetrics, dict[str, Any]):
    """``GroupMetrics`` as a dict."""


class GroupLoss(GroupMetrics, float):
    """``GroupMetrics`` as the loss, where there are no metrics."""


def evaluate_by(
    model: Any,
    source_of: Callable[[Any], Source],
    x: Any,
    by: Any,
    batch_size: int,
    verbose: int | str,
    steps: Any,
    callbacks: Any,
    return_dict: bool,
) -> GroupMetrics:
    """See ``GroupMetrics``, and ``Model.evaluate``; source_of: what makes a source of x, or of some of its columns."""
    trainer, flag = model.description.trainer, as_flag("return_dict", return_dict)
    if steps is not None:
        raise ValueError("by goes with all rows; leave steps out")
    parts = list(by) if isinstance(by, tuple) else [by]
    names = [part for part in parts if isinstance(part, str)]
    groups = Groups()
    if names and hasattr(x, "numbered"):
        if len(names) < len(parts):
            raise TypeError(f"by must be names of columns of the query, got {shown(by)}")
        source: Any = source_of(x)
        source = source.numbered(names, groups.of)
        numbers = None
    else:
        labels = [_labels(_column(x, part) if isinstance(part, str) else part) for part in parts]
        source = source_of(_without(model, x, names))
        if not isinstance(source, RowSource) or source.batches:
            raise TypeError(
                f"by takes rows that are known by number: arrays, frames, or a column of a SQLDataset; got {shown(x)}"
            )
        for each in labels:
            if len(each) != source.rows:
                raise ValueError(f"by has {len(each)} labels, and x {source.rows} rows; give one for each row")
        numbers = groups.of(labels)
    rows = Grouped(source, groups, numbers)
    whole = trainer.evaluate(rows, batch_size, verbose, callbacks=callbacks)
    model.description.last_logs = dict(whole)
    found = {}
    for label in _in_order(groups.numbers):
        rows.group = groups.numbers[label]
        if rows.rows:
            logs = trainer.evaluate(rows, batch_size)
            found[label] = {"rows": rows.rows, "loss": logs.pop("loss"), **logs}
    first = next(iter(found.values()))
    named = [name for name in first if name != "rows" and np.ndim(first[name]) == 0]
    gap = {name: _gap([each[name] for each in found.values()]) for name in named}
    kind: Any = GroupDict if flag else GroupList if len(whole) > 1 else GroupLoss
    made: GroupMetrics = kind(dict(whole) if flag else listed(dict(whole)))
    made.groups, made.gap = found, gap
    made.whole = {"rows": sum(each["rows"] for each in found.values()), **whole}
    return made


def _gap(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(max(known) - min(known)) if known else float("nan")


def _in_order(numbers: Mapping[Any, int]) -> Iterable[Any]:
    """Labels in their order, what is missing last; as they came where they have no order."""

    def key(label: Any) -> Any:
        return [
            (part == MISSING, isinstance(part, str), part) for part in (label if isinstance(label, tuple) else [label])
        ]

    try:
        return sorted(numbers, key=key)
    except TypeError:
        return numbers


def _labels(column: Any) -> list[Any]:
    """One label a row, as Python's objects."""
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            column = getattr(column, method)()
            break
    if not isinstance(column, (list, tuple)) or any(
        isinstance(each, (list, dict, set)) or getattr(each, "shape", ()) for each in column
    ):
        raise TypeError(f"by must be one label a row, the name of a column, or a tuple of such; got {shown(column)}")
    return [each.item() if hasattr(each, "item") else each for each in column]


def _column(x: Any, name: str) -> Any:
    known = list(x) if isinstance(x, Mapping) else names_of(x) if has_columns(x) else ()
    if name not in known:
        raise ValueError(
            f"unknown by {name!r}{_names.hint(name, known)}; "
            + (f"x has the columns {', '.join(map(str, known))}" if known else "x has no columns with names")
        )
    return x[name]


def _without(model: Any, x: Any, names: Sequence[str]) -> Any:
    """x without the columns of these names that the model does not read."""
    if not names:
        return x
    given = list(x if isinstance(x, Mapping) else names_of(x))
    takes = model.description.takes
    read = takes.names if isinstance(x, Mapping) or len(takes.names) > 1 else model.feature_names
    if not read and model.built and len(given) == prod(model.input_shape[1:]):
        return x
    kept = [name for name in given if name in read or name not in names]
    if len(kept) == len(given):
        return x
    if isinstance(x, Mapping):
        return {name: x[name] for name in kept}
    return x.select(kept) if hasattr(x, "column_names") else x[kept]

"""The columns that a model with a front reads, of a database's."""

from __future__ import annotations

import math
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown
from fastnn.databases.reader import Text, Wanted, listed, null_key, refused
from fastnn.kernels.text import hashes

from .columns import as_objects, column_of, filled, texts_of
from .sparse import WIDE, SparseRows, side_by_side

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastnn.databases.reader import Block

    from .sequences import Sequenced
    from .several import Several


class Picked:
    """What a model without a front reads: the features as they are."""

    def __init__(self, features: Sequence[str], targets: Sequence[str], null: float | None) -> None:
        self.wanted = Wanted(features, targets, (), null)
        self.width = len(features)

    def begun(self) -> Picked:
        """What takes the rows of one pass: this, which knows of no other rows."""
        return self

    def address(self) -> Hashable | None:
        """What it takes, for the key of a cache; None where that cannot be said."""
        return self.wanted

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """Rows of features and targets, (rows, width + targets), of a block whose first row has this number."""
        return block.numbers


class Typed:
    """Columns each as its kind, "string", "int64", "float32", or as objects, None for NULL, where it is "any"; by name.

    missing: what stands for NULL in a column, where it may be. absent: columns that the query has not; all their values
    are missing.
    """

    def __init__(
        self,
        kinds: Mapping[str, str],
        targets: Sequence[str],
        null: float | None,
        missing: Mapping[str, Any] | None = None,
        absent: Collection[str] = (),
    ) -> None:
        self._missing = {name: value for name, value in (missing or {}).items() if value is not None}
        numbers = [name for name, kind in kinds.items() if kind == "float32" and name not in absent]
        self._strict: list[str] = []
        if null is None and any(name in self._missing for name in numbers):
            null, self._strict = math.nan, [name for name in numbers if name not in self._missing]
        self._kinds, self._absent = kinds, absent
        others = [name for name in kinds if name not in numbers and name not in absent]
        self.wanted = Wanted(numbers, targets, others, null)
        self.width = len(kinds)

    def address(self) -> Hashable | None:
        return None

    def __call__(self, block: Block, first: int) -> dict[str, NDArray[Any]]:
        """The columns, each (rows,), of a block whose first row has this number."""
        numbers, others = iter(block.numbers.T), iter(block.others)
        found: dict[str, NDArray[Any]] = {}
        for name, kind in self._kinds.items():
            if name in self._absent:
                column = np.full(len(block.numbers), None, object)
            elif kind == "float32":
                found[name] = next(numbers)
                continue
            else:
                column = next(others)
            if name in self._missing:
                column = filled(column, self._missing[name])
            called = f"column {name!r} of the query"
            found[name] = decoded(column, called, first) if kind == "any" else column_of(column, kind, called, first)
        for name in self._strict:
            absent = np.isnan(found[name])
            if absent.any() and (error := refused(name, first + int(absent.argmax()), None, False)):
                raise error
        return found


def decoded(column: NDArray[Any], called: str, first: int) -> NDArray[Any]:
    """A column as objects, its texts as Python's; ValueError for one that is no UTF-8."""
    values = column.tolist()
    if Text not in set(map(type, values)):
        return column
    for row, value in enumerate(values):
        if type(value) is Text:
            values[row] = texts_of([bytes(value)], called, first + row)[0]
    return as_objects(values, column.shape)


class Fronted:
    """What a model with a front reads: columns of several kinds, those of a query by the names of its inputs; of a
    single input all of them.
    """

    def __init__(self, names: Sequence[str], targets: Sequence[str], null: float | None, inputs: Several) -> None:
        self._front = inputs.front
        features, front = features_of(names, inputs), inputs.front
        self._inputs = list(zip(features, inputs.shapes, strict=True))
        kinds = {name: dtype for each, dtype in zip(features, front.dtypes, strict=True) for name in each}
        missing = {name: value for each, value in zip(features, front.missing, strict=True) for name in each}
        absent = [name for name in kinds if name not in names]
        self._classes = {label: code for code, label in enumerate(inputs.classes)} if targets else {}
        if self._classes:
            self._target = targets[0]
            kinds, targets = {**kinds, self._target: "any"}, ()
        self._typed = Typed(kinds, targets, null, missing, absent)
        self.wanted = self._typed.wanted
        self.width = inputs.front.width

    def begun(self) -> Fronted:
        """As ``Picked.begun``."""
        return self

    def address(self) -> Hashable | None:
        return None

    def __call__(self, block: Block, first: int) -> Any:
        """As ``Picked``; ``SparseRows`` of many numbers that are mostly 0."""
        found = self._typed(block, first)
        targets: NDArray[Any] = block.numbers[:, len(self.wanted.numbers) :]
        if self._classes:
            targets = self._codes(found.pop(self._target), first)
        rows, columns = len(block.numbers), []
        for names, shape in self._inputs:
            column = found[names[0]] if len(names) == 1 else np.stack([found[name] for name in names], axis=1)
            columns.append(column.reshape(rows, *shape))
        x = self._front.rows(columns, first, self.width > WIDE)
        return side_by_side([x, targets]) if isinstance(x, SparseRows) else np.concatenate([x, targets], axis=1)

    def _codes(self, labels: NDArray[Any], first: int) -> NDArray[np.float32]:
        codes = [self._classes.get(label) for label in labels.tolist()]
        if None in codes:
            place = codes.index(None)
            error = refused(self._target, first + place, labels[place], True)
            if labels[place] is None and error:
                raise error
            raise ValueError(
                f"target {self._target!r} is {shown(labels[place])} in row {first + place} of the query, which is none "
                f"of the classes that the model knows: {listed(list(self._classes))}"
            )
        return np.array(codes, np.float32)[:, None]


class Part:
    """Of what another takes, the rows whose key falls into a share, or (taken=False) into the rest.

    share: from where to where, of 0 to 1; as much of all hashes of keys is in it.
    """

    wanted: Wanted
    width: int

    def __init__(
        self,
        take: Picked | Fronted | Typed | Sequenced | Numbered | Part,
        key: str,
        share: tuple[float, float],
        taken: bool,
    ) -> None:
        wanted = take.wanted
        self._take, self._key, self._share, self._taken = take, key, share, taken
        self.wanted = wanted._replace(others=(*wanted.others, key))
        self.width = take.width

    @property
    def whole(self) -> Any:
        """What it takes a part of, or a part of a part."""
        return self._take.whole if isinstance(self._take, Part) else self._take

    def around(self, take: Picked | Fronted | Typed | Sequenced | Numbered | Part) -> Part:
        """The same part of what another takes."""
        inner = self._take.around(take) if isinstance(self._take, Part) else take
        return Part(inner, self._key, self._share, self._taken)

    def begun(self) -> Part:
        """As ``Picked.begun``."""
        take = self._take
        return self if isinstance(take, Typed) else Part(take.begun(), self._key, self._share, self._taken)

    def address(self) -> Hashable | None:
        inner = self._take.address()
        return None if inner is None else (inner, self._key, self._share, self._taken)

    def __call__(self, block: Block, first: int) -> Any:
        """As what it takes a part of. ValueError for a key that is NULL."""
        *others, keys = block.others
        for row, key in enumerate(keys.tolist(), first):
            if key is None:
                raise null_key(self._key, row)
        hashed, (lower, upper) = hashes([str(key) for key in keys.tolist()]), self._share
        inside = hashed >= np.uint64(lower * 2**64)
        if upper < 1:  # 2^64 is no uint64
            inside &= hashed < np.uint64(upper * 2**64)
        chosen = inside == self._taken
        rows = self._take(block._replace(others=others), first)
        return {name: rows[name][chosen] for name in rows} if isinstance(rows, dict) else rows[chosen]


class Numbered:
    """Of what another takes, rows with a number behind the targets: that which `number` gives for some columns."""

    def __init__(self, take: Any, names: Sequence[str], number: Any) -> None:
        self._take, self._names, self._number = take, names, number
        self.wanted, self.width = take.wanted._replace(others=(*take.wanted.others, *names)), take.width

    def begun(self) -> Numbered:
        """As ``Picked.begun``."""
        return Numbered(self._take.begun(), self._names, self._number)

    def address(self) -> Hashable | None:
        """None: who reads the same need not number it so."""
        return None

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """As ``Picked``."""
        others, at = block.others, len(block.others) - len(self._names)
        labels = [
            decoded(column, f"column {name!r} of the query", first).tolist()
            for column, name in zip(others[at:], self._names, strict=True)
        ]
        rows = self._take(block._replace(others=others[:at]), first)
        return np.concatenate([rows, self._number(labels)[:, None]], axis=1)


def taken(
    features: Sequence[str], targets: Sequence[str], null: float | None, inputs: Several | None, windows: bool
) -> Any:
    """What a model with these inputs reads of a query's features: ``Picked`` or ``Fronted``. inputs: None for one.

    windows: whether rows are put together into sequences, of which a model has one input.
    """
    if inputs is None:
        return Picked(features, targets, null)
    if windows:
        raise ValueError("sequence= goes with a model of one input of numbers, and this one reads columns by name")
    if inputs.front is not None:
        return Fronted(features, targets, null, inputs)
    return Picked([name for names in features_of(features, inputs) for name in names], targets, null)


def features_of(names: Sequence[str], inputs: Several) -> list[list[str]]:
    """The columns, of these features of a query, that each of a model's inputs is. ValueError where they are not they.

    An input of several numbers is the columns name.0, name.1 and so on, which a column of vectors has. One that may be
    left out is among them, whether or not the query has it.
    """
    sizes = [prod(shape) for shape in inputs.shapes]
    by_name = inputs.names[0] in names or inputs.names[0] in inputs.optional
    if len(sizes) == 1 and not (by_name and sizes[0] < len(names)):
        if sizes[0] != len(names):
            raise ValueError(f"the model reads {sizes[0]} column(s), and the query has the features {listed(names)}")
        return [list(names)]
    found = []
    for name, size in zip(inputs.names, sizes, strict=True):
        parts = [f"{name}.{place}" for place in range(size)]
        if size == 1 and (name in names or parts[0] not in names):
            parts = [name]
        if name not in inputs.optional and not set(parts) <= set(names):
            if name in names:
                raise ValueError(
                    f"input {name!r} reads {size} numbers, and a column of a query has one; a vector is declared by "
                    f'columns={{{name!r}: "float32[{size}]"}}'
                )
            raise ValueError(f"the query has no column {name!r}, which the model reads; it has {listed(names)}")
        found.append(parts)
    read = {part for parts in found for part in parts}
    if surplus := [name for name in names if name not in read and name not in inputs.ignored]:
        raise ValueError(
            f"the query has the column(s) {listed(surplus)}, which the model does not read; name the columns in the "
            "query, or pass features to SQLDataset"
        )
    return found

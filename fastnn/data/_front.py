"""The columns that a model with a front reads, of a database's."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.databases.reader import Wanted, listed, null_key
from fastnn.kernels.text import hashes

from .columns import column_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from fastnn.databases.reader import Block

    from .several import Several


class Picked:
    """What a model without a front reads: the features as they are."""

    def __init__(self, features: Sequence[str], targets: Sequence[str], null: float | None) -> None:
        self.wanted = Wanted(features, targets, (), null)
        self.width = len(features)

    def address(self) -> Hashable | None:
        """What it takes, for the key of a cache; None where that cannot be said."""
        return self.wanted

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """Rows of features and targets, (rows, width + targets), of a block whose first row has this number."""
        return block.numbers


class Fronted:
    """What a model with a front reads: columns of several kinds. `features` are those of each input, in their order."""

    def __init__(
        self, features: Sequence[Sequence[str]], targets: Sequence[str], null: float | None, inputs: Several
    ) -> None:
        self._front = inputs.front
        self._inputs = list(zip(features, inputs.front.dtypes, inputs.shapes, strict=True))
        numbers, others = (
            [name for names, dtype, _ in self._inputs for name in names if (dtype == "float32") is are_numbers]
            for are_numbers in (True, False)
        )
        self.wanted = Wanted(numbers, targets, others, null)
        self.width = inputs.front.width

    def address(self) -> Hashable | None:
        return None

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """As ``Picked``."""
        columns: list[NDArray[Any]] = []
        at, rows, others = 0, len(block.numbers), iter(block.others)
        for names, dtype, shape in self._inputs:
            if dtype == "float32":
                column = block.numbers[:, at : at + len(names)]
                at += len(names)
            else:
                each = [column_of(next(others), dtype, f"column {name!r} of the query", first) for name in names]
                column = np.stack(each, axis=1)
            columns.append(column.reshape(rows, *shape))
        return np.concatenate([self._front.rows(columns, first), block.numbers[:, at:]], axis=1)


class Part:
    """Of what another takes, the rows whose key falls into a share, or (taken=False) into the rest."""

    wanted: Wanted
    width: int

    def __init__(self, take: Picked | Fronted | Part, key: str, share: float, taken: bool) -> None:
        wanted = take.wanted
        self._take, self._key, self._share, self._taken = take, key, share, taken
        self.wanted = wanted._replace(others=(*wanted.others, key))
        self.width = take.width

    def around(self, take: Picked | Fronted | Part) -> Part:
        """The same part of what another takes."""
        inner = self._take.around(take) if isinstance(self._take, Part) else take
        return Part(inner, self._key, self._share, self._taken)

    def address(self) -> Hashable | None:
        inner = self._take.address()
        return None if inner is None else (inner, self._key, self._share, self._taken)

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """As ``Picked``. ValueError for a key that is NULL."""
        *others, keys = block.others
        for row, key in enumerate(keys.tolist(), first):
            if key is None:
                raise null_key(self._key, row)
        inside = hashes([str(key) for key in keys.tolist()]) < np.uint64(self._share * 2**64)
        rows: NDArray[np.float32] = self._take(block._replace(others=others), first)
        chosen: NDArray[np.float32] = rows[inside == self._taken]
        return chosen


def taken(features: Sequence[str], targets: Sequence[str], null: float | None, inputs: Several | None) -> Any:
    """What a model with these inputs reads of a query's features: ``Picked`` or ``Fronted``. inputs: None for one."""
    if inputs is None:
        return Picked(features, targets, null)
    found = features_of(features, inputs)
    if inputs.front is not None:
        return Fronted(found, targets, null, inputs)
    return Picked([name for names in found for name in names], targets, null)


def features_of(names: Sequence[str], inputs: Several) -> list[list[str]]:
    """The columns, of these features of a query, that each of a model's inputs is. ValueError where they are not they.

    An input of several numbers is the columns name.0, name.1 and so on, which a column of vectors has.
    """
    sizes = [prod(shape) for shape in inputs.shapes]
    if len(sizes) == 1 and (sizes[0] == len(names) or inputs.names[0] not in names):
        if sizes[0] != len(names):
            raise ValueError(f"the model reads {sizes[0]} column(s), and the query has the features {listed(names)}")
        return [list(names)]
    found = []
    for name, size in zip(inputs.names, sizes, strict=True):
        parts = [f"{name}.{place}" for place in range(size)] if size > 1 or name not in names else [name]
        if not set(parts) <= set(names):
            if name in names:
                raise ValueError(
                    f"input {name!r} reads {size} numbers, and a column of a query has one; a vector is declared by "
                    f'columns={{{name!r}: "float32[{size}]"}}'
                )
            raise ValueError(f"the query has no column {name!r}, which the model reads; it has {listed(names)}")
        found.append(parts)
    read = {part for parts in found for part in parts}
    if surplus := [name for name in names if name not in read]:
        raise ValueError(
            f"the query has the column(s) {listed(surplus)}, which the model does not read; name the columns in the "
            "query, or pass features to SQLDataset"
        )
    return found

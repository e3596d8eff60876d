"""The columns that a model with a front reads, of a database's."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.databases.reader import Wanted, null_key
from fastnn.kernels.text import hashes

from .columns import column_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

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


class Typed:
    """Columns each as its kind, "string", "int64" or "float32", by name."""

    def __init__(self, kinds: Mapping[str, str], targets: Sequence[str], null: float | None) -> None:
        numbers = [name for name, kind in kinds.items() if kind == "float32"]
        self._kinds = kinds
        self.wanted = Wanted(numbers, targets, [name for name in kinds if name not in numbers], null)
        self.width = len(kinds)

    def address(self) -> Hashable | None:
        return None

    def __call__(self, block: Block, first: int) -> dict[str, NDArray[Any]]:
        """The columns, each (rows,), of a block whose first row has this number."""
        numbers, others = iter(block.numbers.T), iter(block.others)
        return {
            name: next(numbers)
            if kind == "float32"
            else column_of(next(others), kind, f"column {name!r} of the query", first)
            for name, kind in self._kinds.items()
        }


class Fronted:
    """What a model with a front reads: columns of several kinds. `features` are its inputs, in their order; of a single
    input all of them.
    """

    def __init__(self, features: Sequence[str], targets: Sequence[str], null: float | None, inputs: Several) -> None:
        self._front = inputs.front
        dtypes = inputs.front.dtypes
        self._joined = len(dtypes) == 1 and len(features) > 1
        self._shapes = inputs.shapes
        kinds = list(dtypes) * (len(features) if self._joined else 1)
        self._typed = Typed(dict(zip(features, kinds, strict=True)), targets, null)
        self.wanted = self._typed.wanted
        self.width = inputs.front.width

    def address(self) -> Hashable | None:
        return None

    def __call__(self, block: Block, first: int) -> NDArray[np.float32]:
        """As ``Picked``."""
        columns = list(self._typed(block, first).values())
        if self._joined:
            columns = [np.stack(columns, axis=1)]
        rows = len(block.numbers)
        shaped = [column.reshape(rows, *shape) for column, shape in zip(columns, self._shapes, strict=True)]
        return np.concatenate([self._front.rows(shaped, first), block.numbers[:, len(self.wanted.numbers) :]], axis=1)


class Part:
    """Of what another takes, the rows whose key falls into a share, or (taken=False) into the rest."""

    wanted: Wanted
    width: int

    def __init__(self, take: Picked | Fronted | Typed | Part, key: str, share: float, taken: bool) -> None:
        wanted = take.wanted
        self._take, self._key, self._share, self._taken = take, key, share, taken
        self.wanted = wanted._replace(others=(*wanted.others, key))
        self.width = take.width

    def around(self, take: Picked | Fronted | Typed | Part) -> Part:
        """The same part of what another takes."""
        inner = self._take.around(take) if isinstance(self._take, Part) else take
        return Part(inner, self._key, self._share, self._taken)

    def address(self) -> Hashable | None:
        inner = self._take.address()
        return None if inner is None else (inner, self._key, self._share, self._taken)

    def __call__(self, block: Block, first: int) -> Any:
        """As what it takes a part of. ValueError for a key that is NULL."""
        *others, keys = block.others
        for row, key in enumerate(keys.tolist(), first):
            if key is None:
                raise null_key(self._key, row)
        inside = hashes([str(key) for key in keys.tolist()]) < np.uint64(self._share * 2**64)
        chosen = inside == self._taken
        rows = self._take(block._replace(others=others), first)
        return {name: rows[name][chosen] for name in rows} if isinstance(rows, dict) else rows[chosen]


def features_of(names: Sequence[str], inputs: Several) -> list[str]:
    """The columns, of these features of a query, that a model's inputs are. ValueError where they are not they."""
    sizes = [prod(shape) for shape in inputs.shapes]
    if len(sizes) == 1 and (sizes[0] == len(names) or inputs.names[0] not in names):
        if sizes[0] != len(names):
            raise ValueError(
                f"the model reads {sizes[0]} column(s), and the query has the features {', '.join(map(repr, names))}"
            )
        return list(names)
    for name, size in zip(inputs.names, sizes, strict=True):
        if size != 1:
            raise ValueError(f"input {name!r} reads {size} numbers, and a column of a query has one")
        if name not in names:
            raise ValueError(
                f"the query has no column {name!r}, which the model reads; it has {', '.join(map(repr, names))}"
            )
    surplus = [name for name in names if name not in inputs.names]
    if surplus:
        raise ValueError(
            f"the query has the column(s) {', '.join(map(repr, surplus))}, which the model does not read; name the "
            "columns in the query, or pass features to SQLDataset"
        )
    return list(inputs.names)

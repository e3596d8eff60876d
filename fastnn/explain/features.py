"""What is asked of a model, or of any function of rows: the rows, one output, and what counts as one feature."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import random
from fastnn._checks import SEEDS, check_count, shown
from fastnn.data.frames import own_names
from fastnn.models import Model

from .given import names_of, output_function, output_of, rows_of
from .result import Explanation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Doubles = NDArray[np.float64]

AT_ONCE = 2**13  # rows of one call of predict


class Asked(NamedTuple):
    """answer: of arrays of rows, one for each input, (rows, units) in float64. single: whether one unit was asked for.

    names: of the features; of several inputs theirs. outputs: of the units, where there are several.
    """

    rows: list[Array]
    names: tuple[str, ...]
    answer: Callable[[Sequence[Array]], Doubles]
    single: bool
    outputs: tuple[str, ...]


def asked(what: str, model: Any, x: Any, output: Any = None) -> Asked:
    """See ``Asked``. model: built, or a function of an array of rows. TypeError, ValueError."""
    if isinstance(model, Model):
        rows = rows_of(model, x, what)
        names, known = names_of(model, x, rows), output_of(model, output, what).names
        function = output_function(model, output, what)
    elif callable(model):
        rows, names, known = [plain_rows(what, x)], own_names(x), ()
        function = _of_function(what, model, output)
        if not names and rows[0].ndim == 2:
            names = tuple(f"x{1 + i}" for i in range(rows[0].shape[1]))
    else:
        advice = "; pass its predict or predict_proba" if hasattr(model, "predict") else ""
        raise TypeError(f"{what}: model must be a fastnn model or a function of rows, got {shown(model)}{advice}")
    first = np.asarray(function([each[:1] for each in rows]))

    def answer(given: Sequence[Array]) -> Doubles:
        found = np.asarray(function(given), np.float64)
        found = found[:, None] if found.ndim == 1 else found
        if found.ndim != 2 or len(found) != len(given[0]):
            raise ValueError(
                f"{what}: the function must give (rows,) or (rows, units), got {found.shape} for {len(given[0])} rows"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"{what}: the model's output is not finite for some rows; look at its weights and x")
        return found

    single = first.ndim == 1 or (first.shape[1:] == (1,))
    if not single and not known:
        known = tuple(f"output {unit}" for unit in range(first.shape[1] if first.ndim > 1 else 1))
    return Asked(rows, names, answer, single, () if single else known)


def _of_function(what: str, function: Any, output: Any) -> Callable[[Sequence[Array]], Any]:
    unit = None if output is None else check_count(f"{what}: output", output, 0)

    def called(given: Sequence[Array]) -> Any:
        found = np.asarray(function(given[0]))
        if unit is None:
            return found
        if found.ndim != 2 or unit >= found.shape[1]:
            raise ValueError(f"{what}: output={unit}, and the function gives the shape {found.shape}")
        return found[:, unit]

    return called


def plain_rows(what: str, x: Any) -> Array:
    """Rows for a function: (rows, ...), finite where they are numbers."""
    rows = np.asarray(x)
    if rows.ndim < 2 or not len(rows):
        raise ValueError(f"{what}: x must be rows, (rows, features), at least one, got the shape {rows.shape}")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise ValueError(f"{what}: x must be finite, and has NaN or infinity in it")
    return rows


def background_of(what: str, model: Any, background: Any, like: Asked) -> list[Array]:
    """The rows that features are taken from, as those that are explained. ValueError for others."""
    what = f"{what}: background"
    rows = rows_of(model, background, what) if isinstance(model, Model) else [plain_rows(what, background)]
    for mine, theirs in zip(rows, like.rows, strict=True):
        if mine.shape[1:] != theirs.shape[1:]:
            raise ValueError(f"{what} must have rows of the shape {theirs.shape[1:]}, got {mine.shape[1:]}")
    return rows


def generator_of(random_state: Any) -> np.random.Generator:
    """A generator of its own for a whole number; the source of all for None."""
    if random_state is None:
        return random.generator()
    return np.random.default_rng(check_count("random_state", random_state, 0, SEEDS))


class Groups:
    """Which numbers of a row are one feature: each of a flat row, a step of a sequence, a patch of a picture.

    count, names: of the features. patch: (height, width) in pixels, or one number; by default a quarter of each side.
    groups: of a model of one input, the name or number of the feature of each number of a row, or of each of its first
    axes; they come in the order in which they are first named.
    """

    def __init__(self, what: str, asked: Asked, patch: Any = None, groups: Any = None) -> None:
        self._shapes = [rows.shape[1:] for rows in asked.rows]
        self._owners: list[Array] = []  # for each input the feature of each number, along axes that broadcast
        self._starts, names, several = [0], list[str](), len(self._shapes) > 1
        for number, row in enumerate(self._shapes):
            if groups is not None:
                owner, own = _given(what, groups, self._shapes)
            elif not row:
                owner, own = np.zeros((), int), ["" if several else asked.names[0]]
            elif len(row) == 3:
                owner, own = _patches(what, patch, row)
            else:
                owner = np.arange(row[0]).reshape(-1, *[1] * (len(row) - 1))
                own = [f"step {1 + step}" for step in range(row[0])] if len(row) > 1 else list(asked.names)
            if several and len(row) == 1:
                name = asked.names[number]
                own = [f"{name}[{i}]" for i in range(row[0])] if row[0] > 1 else [name]
            elif several:
                own = [f"{asked.names[number]} {each}".strip() for each in own]
            names += own
            self._owners.append(owner)
            self._starts.append(self._starts[-1] + len(own))
        self.names, self.count = tuple(names), len(names)

    def mixed(self, masks: Array, given: Sequence[Array], others: Sequence[Array]) -> list[Array]:
        """Rows with the features of `given` where `masks` (..., features) say so, and of `others` elsewhere.

        given and others: (..., *row), which broadcast against one another and the masks. Gives (rows, *row).
        """
        found = []
        for start, owner, mine, theirs, row in zip(
            self._starts, self._owners, given, others, self._shapes, strict=False
        ):
            kept = masks[..., start + owner]
            found.append(np.where(kept, mine, theirs).reshape(-1, *row))
        return found

    def numbers(self, feature: int) -> tuple[int, Array]:
        """The input that a feature is of, and which numbers of its row, as a mask that broadcasts."""
        place = int(np.searchsorted(self._starts, feature, side="right")) - 1
        return place, self._owners[place] == feature - self._starts[place]

    def spread(self, values: Doubles, share: bool = True) -> list[Doubles]:
        """(rows, features, units) as the inputs lie, (rows, *row, units).

        share: each number of a feature has its share of the value, so that sums stay; else all of it.
        """
        found = []
        for start, owner, row in zip(self._starts, self._owners, self._shapes, strict=False):
            own = values[:, start + owner]
            if share:
                sizes = np.bincount(owner.ravel()) * (prod(row) / owner.size)  # numbers of each feature
                own = own / sizes[owner][..., None]
            found.append(np.ascontiguousarray(np.broadcast_to(own, (len(values), *row, values.shape[-1]))))
        return found


def _patches(what: str, patch: Any, row: tuple[int, ...]) -> tuple[Array, list[str]]:
    if patch is None:
        patch = tuple(-(-side // 4) for side in row[:2])
    sides = tuple(patch) if isinstance(patch, (tuple, list)) else (patch, patch)
    if len(sides) != 2:
        raise ValueError(f"{what}: patch must be a number of pixels or (height, width), got {shown(patch)}")
    height, width = (check_count(f"{what}: patch", side) for side in sides)
    down, right = np.arange(row[0]) // height, np.arange(row[1]) // width
    names = [f"patch ({i}, {j})" for i in range(down[-1] + 1) for j in range(right[-1] + 1)]
    return (down[:, None] * (right[-1] + 1) + right)[..., None], names


def _given(what: str, groups: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, list[str]]:
    labels = np.asarray(groups)
    if len(shapes) > 1 or not labels.ndim or labels.shape != shapes[0][: labels.ndim]:
        raise ValueError(
            f"{what}: groups (of lime: segments) must name the feature of each number of a row of "
            f"{', '.join(map(str, shapes))}, got the shape {labels.shape}"
        )
    known, first, owner = np.unique(labels, return_index=True, return_inverse=True)
    order = first.argsort()
    owner = order.argsort()[owner].reshape(*labels.shape, *[1] * (len(shapes[0]) - labels.ndim))
    text = labels.dtype.kind in "OUS"
    return owner, [str(each) if text else f"group {each}" for each in known[order]]


def explanation(
    asked: Asked, values: list[Doubles], base: Doubles, method: str, std: list[Doubles] | None = None
) -> Explanation:
    """The result of values for each input, (rows, *row, units)."""

    def packed(parts: list[Doubles]) -> Any:
        own = [part[..., 0] for part in parts] if asked.single else parts
        return own if len(own) > 1 else own[0]

    return Explanation(
        packed(values),
        base[:, 0] if asked.single else base,
        asked.rows if len(asked.rows) > 1 else asked.rows[0],
        feature_names=asked.names,
        output_names=asked.outputs,
        method=method,
        std=None if std is None else packed(std),
    )

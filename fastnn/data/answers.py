"""What a network gives for rows, as what is written of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.databases.reader import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def check_choice(what: str, given: object, known: Sequence[str]) -> None:
    """ValueError for what is none of the known words."""
    if not isinstance(given, str) or given not in known:
        raise ValueError(f"unknown {what} {shown(given)}{_names.hint(given, known)}; known {what}s: {listed(known)}")


def answers(
    output: Any, x: NDArray[np.float32], kind: str, width: int, first: int | None, classes: Sequence[Any] = ()
) -> list[list[Any]]:
    """Turn the outputs of a batch into columns: prediction and probability, or values.

    width: how many values there are. first: the number of the first row, None where rows have none. classes: what the
    numbers of classes stand for, where they do. ValueError.
    """
    output = np.asarray(output, dtype=np.float64)
    if output.ndim != 2 or len(output) != len(x) or output.shape[1] == 0:
        raise ValueError(f"predict must return ({len(x)}, units) for x of shape {x.shape}, got {output.shape}")
    units = output.shape[1]
    if kind == "classes" and units == 1:
        raise ValueError('predict returned one unit; say kind="binary" or kind="values"')
    if kind == "binary" and units > 1:
        raise ValueError(f'predict returned {units} units; kind=\'binary\' has one: say "classes" or "values"')
    if kind == "values" and units != width:
        raise ValueError(f"predict returned {units} units, where {width} are expected")
    if kind == "values":
        bad, expected = ~np.isfinite(output), "finite numbers"
    else:
        # Written so that NaN is bad too.
        bad, expected = ~((output >= 0) & (output <= 1)), "probabilities, from 0 to 1"
    if bad.any():
        row, unit = np.argwhere(bad)[0].tolist()
        which = "a row" if first is None else f"row {first + row} of the query"
        raise ValueError(
            f"kind={kind!r} expects {expected}, but predict returned {output[row, unit]:g} for {which}; check the "
            "features and the last activation"
        )
    if kind == "values":
        return output.T.tolist()  # type: ignore[no-any-return]
    if classes and len(classes) != max(2, units):
        raise ValueError(
            f"the target was one of {len(classes)} classes, {listed(classes)}, and the model has {units} output(s); "
            f"end it in {'a sigmoid of 1' if len(classes) == 2 else f'a softmax of {len(classes)}'}"
        )
    if kind == "binary":
        ones = output[:, 0] > 0.5
        codes, shares = ones.astype(int), np.where(ones, output[:, 0], 1 - output[:, 0])
    else:
        codes, shares = output.argmax(axis=1), output.max(axis=1)
    return [[classes[code] for code in codes.tolist()] if classes else codes.tolist(), shares.tolist()]

"""What `fit`, `evaluate` and `predict` are given, as a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.typing import Shape

from .arrays import ArraySource
from .source import Source

if TYPE_CHECKING:
    from .several import Several


def source_of(
    x: Any,
    y: Any,
    sample_weight: Any,
    inputs: Several | None = None,
    outputs: Several | None = None,
) -> Source:
    """What `fit`, `evaluate` and `predict` are given, as a source.

    inputs, outputs: what a model with several of them calls them.
    """
    if type(x) is np.ndarray and inputs is None and outputs is None:
        return ArraySource(x, y, sample_weight)
    from . import kinds  # plain arrays need none of it

    return kinds.source_of(x, y, sample_weight, inputs, outputs)


def validation_of(data: Any, inputs: Several | None = None, outputs: Several | None = None) -> Source:
    """What `fit` is given as validation_data, as a source; arguments as `source_of`."""
    from . import kinds

    if isinstance(data, Source) or kinds.gives_batches(data):
        return source_of(data, None, None, inputs, outputs)
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError("validation_data must be (x, y), (x, y, sample_weight) or a source")
    try:
        x, y, sample_weight = (*data, None)[:3]
        return source_of(x, y, sample_weight, inputs, outputs)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None


def unread_targets(x: Any, shapes: Sequence[Shape], pack: Callable[[Sequence[Any]], Any]) -> Any:
    """Targets for the rows of arrays that no loss looks at, packed as the outputs are; None where x is no arrays."""
    first: Any = next(iter(x.values() if isinstance(x, dict) else x), None) if isinstance(x, (dict, list, tuple)) else x
    if not getattr(first, "shape", ()):
        return None
    return pack([np.zeros((len(first), *shape), np.float32) for shape in shapes])

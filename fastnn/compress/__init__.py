"""Models made small and faster: quantised, pruned, factorised, distilled and coded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    pass

__all__: list[str] = []

# Imported when first asked for.
__getattr__ = _names.later(__name__, {}, __all__)
_names.offer(globals())

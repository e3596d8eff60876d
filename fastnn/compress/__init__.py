"""Models made small and faster: quantised, pruned, factorised, distilled and coded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.compress.distillation import distil
    from fastnn.compress.factorization import factorize
    from fastnn.compress.pruning import PruneLowMagnitude, prune, sparsity, strip
    from fastnn.compress.shrinking import prune_units

# Imported when first asked for.
_HOMES = {
    "PruneLowMagnitude": "pruning",
    "distil": "distillation",
    "factorize": "factorization",
    "prune": "pruning",
    "prune_units": "shrinking",
    "sparsity": "pruning",
    "strip": "pruning",
}
__all__ = ["PruneLowMagnitude", "distil", "factorize", "prune", "prune_units", "sparsity", "strip"]

__getattr__ = _names.later(__name__, _HOMES, __all__)
_names.offer(globals())

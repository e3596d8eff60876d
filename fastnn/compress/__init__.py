"""Models made small and faster: quantised, pruned, factorised, distilled and coded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.compress.automatic import Compressed, Step, compress
    from fastnn.compress.distillation import distil
    from fastnn.compress.factorization import factorize
    from fastnn.compress.pruning import PruneLowMagnitude, prune, sparsity, strip
    from fastnn.compress.quantization import quantization_aware, quantize
    from fastnn.compress.shrinking import prune_units

# Imported when first asked for.
_HOMES = {
    "Compressed": "automatic",
    "PruneLowMagnitude": "pruning",
    "Step": "automatic",
    "compress": "automatic",
    "distil": "distillation",
    "factorize": "factorization",
    "prune": "pruning",
    "prune_units": "shrinking",
    "quantization_aware": "quantization",
    "quantize": "quantization",
    "sparsity": "pruning",
    "strip": "pruning",
}
__all__ = [
    "Compressed",
    "PruneLowMagnitude",
    "Step",
    "compress",
    "distil",
    "factorize",
    "prune",
    "prune_units",
    "quantization_aware",
    "quantize",
    "sparsity",
    "strip",
]

__getattr__ = _names.later(__name__, _HOMES, __all__)
_names.offer(globals())

"""The arithmetic: stateless kernels on buffers, compiled once for each instruction set and chosen here, once.

The environment variable FASTNN_ISA names another set than the best one: ``baseline`` or ``avx2``.
"""

import os
from importlib import import_module

from fastnn.kernels import cpu


def _choose() -> str:
    supported: tuple[str, ...] = cpu.supported()
    wanted = os.environ.get("FASTNN_ISA", "")
    if not wanted:
        return supported[0]
    if wanted not in supported:
        raise ImportError(
            f"FASTNN_ISA={wanted!r}, but this processor runs {', '.join(sorted(supported))}; "
            "name one of these, or unset FASTNN_ISA to have the best one chosen"
        )
    return wanted


isa = _choose()

_activations = import_module(f"fastnn.kernels._{isa}.activations")
_gemm = import_module(f"fastnn.kernels._{isa}.gemm")
_losses = import_module(f"fastnn.kernels._{isa}.losses")
_noise = import_module(f"fastnn.kernels._{isa}.noise")
_optimizers = import_module(f"fastnn.kernels._{isa}.optimizers")

for _module in (_activations, _gemm, _losses, _noise, _optimizers):
    globals().update({k: v for k, v in vars(_module).items() if not k.startswith("_")})

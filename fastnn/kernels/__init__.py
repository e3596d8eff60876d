"""The arithmetic: stateless kernels on buffers, compiled once for each instruction set and chosen here, once.

The environment variable FASTNN_ISA names another set than the best one: ``baseline``, ``avx2``, ``avx512``.
"""

import os
from importlib import import_module

try:
    from fastnn.kernels import cpu
except ImportError as error:
    raise ImportError(
        f"the compiled modules of fastnn are not in {os.path.dirname(__file__)}: these are its sources, not an "
        "installed fastnn; run `pip install .` there and start Python in another folder"
    ) from error

named = os.environ.get("FASTNN_ISA", "")
isa: str = named or cpu.supported()[0]
if isa not in cpu.supported():
    raise ImportError(
        f"FASTNN_ISA={named!r}, but this processor runs {', '.join(cpu.supported())}; "
        "name one of these, or unset FASTNN_ISA to have the best one chosen"
    )

_activations = import_module(f"fastnn.kernels._{isa}.activations")
_gemm = import_module(f"fastnn.kernels._{isa}.gemm")
_losses = import_module(f"fastnn.kernels._{isa}.losses")
_losses_by_row = import_module(f"fastnn.kernels._{isa}.losses_by_row")
maths = import_module(f"fastnn.kernels._{isa}.maths")  # kept apart: two of its names are activations' too
_metrics = import_module(f"fastnn.kernels._{isa}.metrics")
_noise = import_module(f"fastnn.kernels._{isa}.noise")
_optimizers = import_module(f"fastnn.kernels._{isa}.optimizers")

for _module in (_activations, _gemm, _losses, _losses_by_row, _metrics, _noise, _optimizers):
    globals().update({k: v for k, v in vars(_module).items() if not k.startswith("_")})

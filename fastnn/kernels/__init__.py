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

maths = import_module(f"fastnn.kernels._{isa}.maths")  # kept apart: two of its names are activations' too
for _name in (
    "activations",
    "activations_piecewise",
    "activations_rows",
    "columns",
    "gemm",
    "losses",
    "losses_by_row",
    "matrices",
    "metrics",
    "noise",
    "optimizers",
    "rows",
    "vectors",
):
    _module = import_module(f"fastnn.kernels._{isa}.{_name}")
    globals().update({k: v for k, v in vars(_module).items() if not k.startswith("_")})

"""The arithmetic: stateless kernels on buffers, compiled once for each instruction set and chosen here, once.

The environment variable FASTNN_ISA names another set than the best one: ``baseline``, ``avx2``, ``avx512``.
"""

import os
import sys
from importlib import import_module
from typing import NoReturn


def _refuse(error: Exception) -> NoReturn:
    """Raise the error; the command `fastnn`, whose own code is not there yet, says it in one line."""
    command = sys.argv[0] if sys.argv else ""
    module = command == "-m" and sys.orig_argv[sys.orig_argv.index("-m") :][1:2] == ["fastnn"]
    if module or os.path.basename(command).removesuffix(".exe") == "fastnn":
        raise SystemExit(f"fastnn: {error}")
    raise error


try:
    from fastnn.kernels import cores, cpu
    from fastnn.kernels.kernel import Kernel
except ImportError as error:
    if "interpreter" in str(error):  # what Cython and Python say where a second one of a process imports it
        raise ImportError(
            "fastnn runs in one interpreter of a process, as NumPy does, and another has it already; use threads, or "
            "processes, in place of subinterpreters"
        ) from error
    from importlib.util import find_spec

    if find_spec(f"{__name__}.cpu") is not None:  # it is there, and the system says why it cannot be loaded
        raise
    raise ImportError(
        f"{os.path.dirname(os.path.dirname(os.path.dirname(__file__)))} has the sources of fastnn, which are not "
        "compiled: start Python in another folder, after `pip install .` in this one"
    ) from None

MODULES = ("hot", "rest", "rare")  # of each instruction set

named = os.environ.get("FASTNN_ISA", "")
isa: str = named or cpu.supported()[0]
if isa not in cpu.supported():
    _refuse(
        ImportError(
            f"FASTNN_ISA={named!r}, but this processor runs {', '.join(cpu.supported())}; "
            "name one of these, or unset FASTNN_ISA to have the best one chosen"
        )
    )
try:
    cores.named()  # here, where it can be seen what is wrong, and not in the first run that is worth two threads
except ValueError as error:
    _refuse(error)


def kernels_of(isa: str) -> dict[str, Kernel]:
    """All kernels of an instruction set, by name. Those of the baseline have the float64 forms of all others."""
    found: dict[str, Kernel] = {}
    for name in MODULES:
        own = "avx2" if (name, isa) == ("rare", "avx512") else isa  # wider vectors would not tell
        found.update(import_module(f"fastnn.kernels._{own}.{name}").kernels)
    return found


globals().update(kernels_of(isa))  # before bindings, which takes some of them

# The kernels of products of bfloat16 are called by their name behind this; "": there are none here. Those that tests
# compare with come with FASTNN_CHECKED (setup.py) alone.
bfloat16 = "emulated_" if os.environ.get("FASTNN_BFLOAT16") == "emulated" else "bfloat16_"
if f"{bfloat16}gemm" not in globals():
    bfloat16 = ""

from fastnn.kernels.bindings import matmul, matmul_transposed_a, matmul_transposed_b  # noqa: E402, F401

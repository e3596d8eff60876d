"""What this installation of fastnn is and runs on, and what Keras's ``config`` says of numbers."""

from __future__ import annotations

import platform
import sys
from typing import NamedTuple

import numpy as np

from fastnn import _names, kernels
from fastnn._checks import shown
from fastnn._output import say
from fastnn._version import __version__
from fastnn.backend import (
    backend,
    disable_interactive_logging,
    enable_interactive_logging,
    epsilon,
    floatx,
    image_data_format,
    is_interactive_logging_enabled,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from fastnn.kernels.team import get_num_threads

__all__ = [
    "DTypePolicy",
    "backend",
    "disable_interactive_logging",
    "dtype_policy",
    "enable_interactive_logging",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "show_config",
]


class DTypePolicy(NamedTuple):
    """The types of a layer's numbers: float32 for all of them."""

    name: str = "float32"
    compute_dtype: str = "float32"
    variable_dtype: str = "float32"


def dtype_policy() -> DTypePolicy:
    """The types of a layer's numbers: ``DTypePolicy(name="float32", ...)``."""
    return DTypePolicy()


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Take "float32", the one policy that there is. ValueError for another, such as "mixed_float16"."""
    name = policy if isinstance(policy, str) else getattr(policy, "name", policy)
    if name != "float32":
        raise ValueError(f"layers compute in float32, got the policy {name!r:.200}; see docs/differences.md")


def show_config(mode: str = "stdout") -> dict[str, str] | None:
    """Print the version, the instruction set in use, those that the processor runs, the compiler, and what it runs on.

    mode: "stdout" prints it; "dicts" gives it as a dict and prints nothing, as ``numpy.show_config`` does.
    """
    if not isinstance(mode, str) or mode not in ("stdout", "dicts"):
        raise ValueError(f"show_config: mode must be 'stdout' or 'dicts', got {shown(mode)}")
    config = {
        "fastnn": __version__,
        "instruction set": kernels.isa,
        "supported here": ", ".join(kernels.cpu.supported()),
        "chosen by": "FASTNN_ISA" if kernels.named else "the processor",
        "compiled by": kernels.cpu.compiler(),
        "threads": str(get_num_threads()),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
    if mode == "dicts":
        return config
    width = max(map(len, config))
    for name, value in config.items():
        say(f"{name:<{width}}  {value}")
    return None


_names.offer(globals())

"""What this installation of fastnn is and runs on."""

from __future__ import annotations

import platform
import sys

import numpy as np

from fastnn import kernels
from fastnn._output import say
from fastnn._version import __version__
from fastnn.kernels.team import get_num_threads


def show_config() -> dict[str, str]:
    """Print, and give, the version, the instruction set in use and those that the processor runs."""
    config = {
        "fastnn": __version__,
        "instruction set": kernels.isa,
        "supported here": ", ".join(kernels.cpu.supported()),
        "chosen by": "FASTNN_ISA" if kernels.named else "the processor",
        "threads": str(get_num_threads()),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
    width = max(map(len, config))
    for name, value in config.items():
        say(f"{name:<{width}}  {value}")
    return config

"""What this installation of fastnn is and runs on, and what Keras's ``config`` says of numbers."""

from __future__ import annotations

import platform
import sys
from typing import Any, NamedTuple

import numpy as np

from fastnn import _names, kernels
from fastnn._checks import shown
from fastnn._output import say, warn
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
    "get_matmul_precision",
    "image_data_format",
    "is_interactive_logging_enabled",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_matmul_precision",
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
        raise ValueError(
            f"layers compute in float32, got the policy {name!r:.200}; see docs/differences.md, and "
            "set_matmul_precision('bfloat16') to have what products read rounded"
        )


_matmul_precision = "float32"  # of all models that are not compiled with one


def set_matmul_precision(precision: str) -> None:
    """What the inputs of products are rounded to, "float32" or "bfloat16", in all models not compiled with their own.

    With "bfloat16" it is z = b + sum over k of bfloat16(x_k) * bfloat16(W_k): 8 bits in place of 24 of each x and W, to
    the nearest and ties to even, and float32 sums of exact products. Forward and for both gradients; of Dense,
    convolution, recurrent and attention layers. Weights, activations, losses, the optimizer and all else stay float32.
    It takes effect at the next call of a model. ValueError for another name. RuntimeError where the processor has no
    AVX-512 BF16 (AMD Zen 4, Intel Cooper Lake, Sapphire Rapids and their successors have it) nor aarch64's BF16
    (Neoverse N2 and V1, Apple M2), whose bits are others. Sources: Kalamkar et al. 2019, arXiv 1905.12322; Intel 64 and
    IA-32 Architectures Software Developer's Manual, VDPBF16PS; Arm Architecture Reference Manual, BFDOT.
    """
    global _matmul_precision
    from fastnn.engine.network import round_everywhere

    check_precision("set_matmul_precision: precision", precision)
    _matmul_precision = precision
    round_everywhere(precision == "bfloat16")


def get_matmul_precision() -> str:
    """What ``set_matmul_precision`` was last given, "float32" at first."""
    return _matmul_precision


def check_precision(name: str, precision: Any) -> None:
    """ValueError unless it is a precision of products, RuntimeError unless it can be had here."""
    if not isinstance(precision, str) or precision not in ("float32", "bfloat16"):
        raise ValueError(f"{name} must be 'float32' or 'bfloat16', got {shown(precision)}")
    if precision == "bfloat16" and not kernels.bfloat16:
        raise RuntimeError(
            f"{name}: products of bfloat16 need a processor with AVX-512 BF16, such as AMD's from Zen 4 on and Intel's "
            f"Sapphire Rapids, and its instruction set, avx512, or with aarch64's BF16; in use is {kernels.isa}. Stay "
            "with 'float32'"
        )


def loadable(precision: Any) -> str | None:
    """The precision that a file says; "float32", with a warning, where there is no other."""
    if precision is not None:
        try:
            check_precision("matmul_precision", precision)
        except RuntimeError as error:
            warn(f"the model goes on with products of float32. {error}")
            return "float32"
    return precision  # type: ignore[no-any-return]


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

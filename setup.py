"""The compiled parts of fastnn. All that is not compiled is declared in pyproject.toml.

FASTNN_DEBUG=1      bounds checks on, no optimisation, debug symbols kept
FASTNN_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
import sys
import sysconfig
from collections.abc import Callable
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("FASTNN_DEBUG", "") not in ("", "0")
SANITIZE = os.environ.get("FASTNN_SANITIZE", "") not in ("", "0")
MSVC = sys.platform == "win32"
# What is built for, which need not be what builds; for several processors at once, only what all of them run.
X86_64 = sysconfig.get_platform().endswith(("x86_64", "amd64"))

# Compiled once.
COMMON = {
    "fastnn.kernels": ["bindings", "cpu", "kernel", "team"],
    "fastnn.engine": [
        "arena",
        "embedding",
        "objectives",
        "learning",
        "merging",
        "network",
        "noise",
        "normalization",
        "ops",
        "python",
        "random",
    ],
}
# Compiled once for each instruction set, under fastnn/kernels/_<set>/.
KERNELS = [
    "activations",
    "activations_piecewise",
    "activations_rows",
    "columns",
    "gemm",
    "losses",
    "losses_by_row",
    "losses_elementwise",
    "matrices",
    "metrics",
    "noise",
    "optimizers",
    "rows",
    "vectors",
]
INSTRUCTION_SETS: dict[str, list[str]] = {"baseline": []}
if X86_64:
    INSTRUCTION_SETS["avx2"] = ["/arch:AVX2"] if MSVC else ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = (
        ["/arch:AVX512"]
        if MSVC
        else ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma", "-mprefer-vector-width=512"]
    )

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": DEBUG,
    "embedsignature": True,
}

if MSVC:
    COMPILE = ["/Od", "/Zi"] if DEBUG else ["/O2"]
    LINK: list[str] = []
else:
    # Neither of the two -fno flags changes a value: they let the compiler vectorise a comparison and a square root.
    COMPILE = ["-O2", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    LINK = [] if sys.platform == "darwin" else ["-Wl,-s"]
    if DEBUG:
        COMPILE, LINK = ["-O0", "-g"], []
    if SANITIZE:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        COMPILE, LINK = ["-O1", "-g", *flags], flags


# What Python calls and arithmetic does not wait for: the smaller the better.
DOORS = {"arena", "bindings", "cpu", "kernel", "python"}
# Loops that gain from all that the compiler knows; the others gain from vectors, and -O3 would double their size.
INNERMOST = {"gemm", "optimizers", "vectors"}


def optimisation(name: str, isa: bool) -> list[str]:
    """The compiler's flags for a module's speed or size; the last -O counts."""
    if MSVC or DEBUG or SANITIZE:
        return []
    if name in DOORS:
        return ["-Os"]
    if name in {*INNERMOST, "hot"}:
        return ["-O3"]
    return ["-ftree-vectorize", "-fvect-cost-model=dynamic", "-funswitch-loops"] if isa else []


def compiled(
    sources: dict[str, str], folder: str, flags: Callable[[str], list[str]], macros: list[str]
) -> list[Extension]:
    """Extensions of module names and their sources, as C in a folder under build/. flags: by the source's name."""
    modules = cythonize(
        [
            Extension(
                name,
                [source],
                include_dirs=["fastnn/engine", "fastnn/kernels"],
                extra_link_args=LINK,
                depends=glob("fastnn/*/*.h"),
            )
            for name, source in sources.items()
        ],
        build_dir=f"build/{folder}",
        compiler_directives=DIRECTIVES,
    )
    for module in modules:  # afterwards: cythonize hands on the flags of a source from one call to the next
        module.extra_compile_args = COMPILE + flags(module.name.rpartition(".")[2])
        module.define_macros = [(macro, None) for macro in macros]
    return modules


def extensions() -> list[Extension]:
    """Every extension, as C. One source gives several modules, so each set's C has a folder of its own."""
    common = [] if X86_64 else ["FASTNN_BASELINE_ONLY"]
    modules = compiled(
        {
            f"{package}.{name}": f"{package.replace('.', '/')}/{name}.pyx"
            for package in COMMON
            for name in COMMON[package]
        },
        "c",
        lambda name: optimisation(name, False),
        common,
    )
    for isa, flags in INSTRUCTION_SETS.items():
        modules += compiled(
            {f"fastnn.kernels._{isa}.{name}": f"fastnn/kernels/{name}.pyx" for name in KERNELS},
            f"c_{isa}",
            lambda name, flags=flags: flags + optimisation(name, True),
            # Whatever set is in use, float64 is worked out by the baseline's kernels.
            ["FASTNN_FLOAT64", *common] if isa == "baseline" else common,
        )
    return modules


class ParallelBuild(build_ext):
    """As many compilers at once as there are processors."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = os.cpu_count()


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": ParallelBuild})

"""The compiled parts of fastnn. All that is not compiled is declared in pyproject.toml.

FASTNN_DEBUG=1      bounds checks on, no optimisation, debug symbols kept
FASTNN_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer
"""

import os
import shutil
import sys
import sysconfig
from glob import glob
from zipfile import ZIP_DEFLATED, ZipFile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("FASTNN_DEBUG", "") not in ("", "0")
SANITIZE = os.environ.get("FASTNN_SANITIZE", "") not in ("", "0")
MSVC = sys.platform == "win32"
# What is built for, which need not be what builds; for several processors at once, only what all of them run.
X86_64 = sysconfig.get_platform().endswith(("x86_64", "amd64"))

# Compiled once for each instruction set, under fastnn/kernels/_<set>/; all other sources are compiled once.
KERNELS = ("hot", "rest")
SHARED = "fastnn._cyutility"  # what Cython gives to every module
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
    "embedsignature.format": "clinic",
    "auto_pickle": False,
}

if MSVC:
    COMPILE = ["/Od", "/Zi"] if DEBUG else ["/O2"]
    LINK: list[str] = []
else:
    # Neither of the two -fno flags changes a value: they let the compiler vectorise a comparison and a square root.
    COMPILE = ["-O2", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    COMPILE += ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]  # for exceptions that C does not have
    LINK = [] if sys.platform == "darwin" else ["-Wl,-s"]
    if DEBUG:
        COMPILE, LINK = ["-O0", "-g"], []
    if SANITIZE:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        COMPILE, LINK = ["-O1", "-g", *flags], flags


# What Python calls and arithmetic does not wait for: the smaller the better.
SMALL = {"_cyutility", "arena", "bindings", "cpu", "kernel", "python"}
# What the compiler is told for an instruction set's modules; the last -O counts. Of the rest, -O3 would double the size.
VECTORS = {"hot": ["-O3"], "rest": ["-ftree-vectorize", "-fvect-cost-model=dynamic", "-funswitch-loops"]}


# Whose functions users call: what Python's `inspect` finds in a function is a fifth of a small module.
PUBLIC = {"bindings", "team"}


def optimisation(name: str) -> list[str]:
    """The compiler's flags for a module's speed or size."""
    if MSVC or DEBUG or SANITIZE:
        return []
    return ["-Os"] if name in SMALL else VECTORS.get(name, [])


def extension(name: str, source: str, flags: list[str], macros: list[str]) -> Extension:
    """A compiled module."""
    name_alone = name.rpartition(".")[2]
    return Extension(
        name,
        [source],
        include_dirs=["fastnn/engine", "fastnn/kernels"],
        define_macros=[(macro, None) for macro in macros + ([] if X86_64 else ["FASTNN_BASELINE_ONLY"])],
        extra_compile_args=COMPILE + flags + optimisation(name_alone),
        extra_link_args=LINK,
        depends=glob("fastnn/*/*.h"),
        cython_directives={"binding": name_alone in PUBLIC},
    )


def extensions() -> list[Extension]:
    """Every extension, as C, the longest to compile first."""
    sources = sorted(glob("fastnn/*/*.pyx"))
    modules = cythonize(
        [
            extension(SHARED, f"{SHARED.replace('.', '/')}.c", [], []),
            *(extension(source[:-4].replace("/", ".").replace(os.sep, "."), source, [], []) for source in sources),
        ],
        build_dir="build/c",
        compiler_directives=DIRECTIVES,
        nthreads=0 if MSVC else os.cpu_count(),
        shared_utility_qualified_name=SHARED,
        shared_utility_features_disabled=["MemoryView"],
    )
    once = [module for module in modules if module.name.rpartition(".")[2] not in KERNELS]
    by_set = []
    for name in reversed(KERNELS):
        for isa, flags in INSTRUCTION_SETS.items():
            # The same C; each set's in a folder of its own, so that its objects are.
            os.makedirs(f"build/c_{isa}", exist_ok=True)
            source = shutil.copy2(f"build/c/fastnn/kernels/{name}.c", f"build/c_{isa}/{name}.c")
            # Whatever set is in use, float64 is worked out by the baseline's kernels.
            macros = ["FASTNN_FLOAT64"] if isa == "baseline" else []
            by_set.append(extension(f"fastnn.kernels._{isa}.{name}", source, flags, macros))
    return by_set + once


class SmallWheel(bdist_wheel):
    """A wheel that is compressed as well as zip can."""

    def run(self) -> None:
        super().run()
        for _, _, path in self.distribution.dist_files:
            with ZipFile(path) as wheel:
                files = [(info, wheel.read(info)) for info in wheel.infolist()]
            with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=9) as wheel:
                for info, content in files:
                    wheel.writestr(info, content, ZIP_DEFLATED, 9)


class ParallelBuild(build_ext):
    """As many compilers at once as there are processors."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = os.cpu_count()


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"bdist_wheel": SmallWheel, "build_ext": ParallelBuild})

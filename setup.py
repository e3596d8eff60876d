"""The compiled parts of fastnn. All that is not compiled is declared in pyproject.toml.

FASTNN_DEBUG=1      bounds checks on, no optimisation, debug symbols kept
FASTNN_SANITIZE=1   AddressSanitizer and UndefinedBehaviorSanitizer; FASTNN_SANITIZE=thread: ThreadSanitizer
FASTNN_CHECKED=1    with what only tests and those who work on fastnn want: the float64 forms of all kernels, entries of
                    compiled modules in tracebacks; so are builds in place and those of the two above
FASTNN_BASELINE_ONLY=1   kernels of one instruction set, which all processors have: a shorter build
CC=clang             another compiler than Python's own

gcc, clang, Apple's clang and zig get the same flags, each those that it takes: they are tried, one by one, before
anything is built. On Windows it is clang-cl where it is found; with MSVC alone fastnn works, several times slower.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, PlatformError

sys.path.insert(0, str(Path(__file__).with_name("scripts")))
from lean import lean, public  # isort: skip

from distutils.ccompiler import new_compiler  # isort: skip (setuptools brings it)
from distutils.sysconfig import customize_compiler  # isort: skip

DEBUG = os.environ.get("FASTNN_DEBUG", "") not in ("", "0")
SANITIZE = os.environ.get("FASTNN_SANITIZE", "").removeprefix("0")
CHECKED = DEBUG or bool(SANITIZE) or os.environ.get("FASTNN_CHECKED", "") not in ("", "0")
WINDOWS = sys.platform == "win32"
# What is built for, which need not be what builds; for several processors at once, only what all of them run.
PLATFORM = sysconfig.get_platform()
X86_64 = PLATFORM.endswith(("x86_64", "amd64"))
SEVERAL_SETS = X86_64 and os.environ.get("FASTNN_BASELINE_ONLY", "") in ("", "0")

# Compiled once for each instruction set, under fastnn/kernels/_<set>/; all other sources are compiled once.
KERNELS = ("hot", "rest", "rare")
# Those whose functions people see; what others say of themselves is not installed, 11 kB.
SAYING = ("bindings", "kernel", "team")
SHARED = "fastnn._cyutility"  # what Cython gives to every module
INSTRUCTION_SETS: dict[str, list[str]] = {"baseline": []}
if SEVERAL_SETS:
    INSTRUCTION_SETS["avx2"] = ["/arch:AVX2"] if WINDOWS else ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = (
        ["/arch:AVX512"]
        if WINDOWS
        else ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma", "-mprefer-vector-width=512"]
    )

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "cpow": True,  # a power of numbers is a number: without complex ones, for which zig brings a library along
    "initializedcheck": DEBUG,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    # What costs bytes and serves nobody; a module whose functions are public says `binding=True` itself.
    "autotestdict": False,
    "auto_pickle": False,
    "binding": False,
}

# Cython's shortcuts into Python's own objects, all that it leaves out for other Pythons, as some need others, and what
# serves nobody here: finalizers of compiled classes, texts that are compressed before the wheel is. Nothing here is
# faster by them, a call of a microsecond neither, and they are 50 kB of a wheel.
SHORTCUTS = (
    "CCOMPLEX",
    "COMPRESS_STRINGS",
    "FAST_GIL",
    "FAST_PYCALL",
    "FAST_THREAD_STATE",
    "UNPACK_METHODS",
    "USE_ASYNC_SLOTS",
    "USE_DICT_VERSIONS",
    "USE_FREELISTS",
    "USE_PYLIST_INTERNALS",
    "USE_PYLONG_INTERNALS",
    "USE_PYTYPE_LOOKUP",
    "USE_TP_FINALIZE",
    "USE_TYPE_SLOTS",
    "USE_UNICODE_INTERNALS",
    "VECTORCALL_TPNEW",
)

# An error names the lines of Python that led to it, as NumPy's do: without those of the compiled modules, 34 kB less.
TRACED = """#ifdef FASTNN_CHECKED
#define FASTNN_ADD_TRACEBACK __Pyx_AddTraceback
#define FASTNN_ADD_HANDLED __Pyx_AddTraceback
#else
#undef __PYX_MARK_ERR_POS
#define __PYX_MARK_ERR_POS(f_index, lineno) \\
    { (void)__pyx_f[f_index]; (void)__pyx_filename; (void)__pyx_lineno; (void)__pyx_clineno; }
#define FASTNN_ADD_TRACEBACK(name, c, line, file) ((void)(c), (void)(line), (void)(file))
#define FASTNN_ADD_HANDLED(name, c, line, file) \\
    { FASTNN_ADD_TRACEBACK(name, c, line, file); __Pyx_AddTraceback(name, 0, 1, "fastnn"); }
#ifdef FASTNN_UNSAID
#undef PyDoc_STR
#define PyDoc_STR(text) ""
#endif
#endif
/* Where a reference ends, a call of five bytes and not, since Python 3.12, two tests and a branch: 6 kB. */
#if defined(__GNUC__) && PY_VERSION_HEX >= 0x030C0000
static __attribute__((noinline)) void fastnn_decref(PyObject *object) { Py_DECREF(object); }
static __attribute__((noinline)) void fastnn_xdecref(PyObject *object) { if (object) fastnn_decref(object); }
#undef Py_DECREF
#undef Py_XDECREF
#define Py_DECREF(object) fastnn_decref((PyObject *)(object))
#define Py_XDECREF(object) fastnn_xdecref((PyObject *)(object))
#endif
"""
# But an error that is handled there must have a traceback: Cython's handlers take it for an object.
HANDLED = re.compile(
    r'__Pyx_AddTraceback(\("[^"]*", __pyx_clineno, __pyx_lineno, __pyx_filename\);\s+if \(__Pyx_GetException)'
)

if WINDOWS:
    COMPILE = ["/Od", "/Zi"] if DEBUG else ["/O2"]
    LINK: list[str] = []
else:
    # Neither of the two -fno flags changes a value: they let the compiler vectorise a comparison and a square root.
    # -ffp-contract stays as it is: gcc makes multiply-adds of all products that it can, clang of those within a line;
    # told to do as gcc does, it would fuse a row's products otherwise alone than beside others.
    COMPILE = ["-O2", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    COMPILE += ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]  # for exceptions that C does not have
    COMPILE += ["-fno-ident"]  # which compiler it was; fastnn.show_config() says it
    COMPILE += ["-fno-plt"]  # a call of Python's by its address, without a stub of code
    COMPILE += ["-Wno-unused-function"]  # Cython writes some
    LINK = ["-Wl,-x" if PLATFORM.startswith("macosx") else "-Wl,-s"]  # without symbols
    LINK += ["-nostartfiles"]  # without what runs constructors, which C does not have: 400 bytes of each module
    LINK += ["-Wl,--build-id=none", "-Wl,--hash-style=gnu", "-Wl,-z,noseparate-code"]
    if DEBUG:
        COMPILE, LINK = ["-O0", "-g"], []
    if SANITIZE:
        which = "thread" if SANITIZE == "thread" else "address,undefined"
        flags = [f"-fsanitize={which}", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        # With multiply-adds as elsewhere, which -O1 leaves out: bits are compared there too.
        COMPILE, LINK = ["-O1", "-fexpensive-optimizations", "-g", *flags], flags


# The last -O counts. For an instruction set's modules; they would have up to twice the size with -O3. A loop's last
# elements are taken one by one: shorter vectors for them would be 60 kB of a wheel.
VECTORIZED = ["-ftree-vectorize", "-fvect-cost-model=dynamic", "--param=vect-epilogues-nomask=0"]
# Clang would write out a loop of vectors again, eight turns of it beside one, which gcc does not: 21 kB.
VECTORIZED += ["-mllvm=-unroll-runtime=false"]
VECTORS = {"hot": [*VECTORIZED, "-funswitch-loops"]}
# Where code begins is no matter but for products: 8 kB less.
UNALIGNED = ["-fno-align-functions", "-fno-align-jumps", "-fno-align-labels", "-fno-align-loops"]
VECTORS["rest"] = [*VECTORS["hot"], *UNALIGNED]
VECTORS["rare"] = [*VECTORS["rest"], "-fno-unroll-loops", "-fno-tree-pre"]  # by clang, 12 kB less; gcc does not anyway
# What such processors do by themselves, instructions put in order: 20 kB less.
UNORDERED = ["-fno-schedule-insns2"] if X86_64 else []
# Beside AVX2 and AVX-512 the baseline is for old processors and for float64: small, with vectors where it is hot. There
# a fit takes 1.1 to 1.4 times as long, a product as long as otherwise, for 140 kB of a wheel less.
OLDEST = "fastnn.kernels._baseline."
# All else is as small as can be, but for what reads texts; and not by copying rows byte after byte in place, which is
# what -Os makes of a memcpy whose size it does not know.
SMALL = ["-Os", "-Oz", "-fno-builtin-memcpy", "-fno-builtin-memset", "-fno-jump-tables", "-fno-tree-switch-conversion"]


def optimisation(name: str) -> list[str]:
    """The compiler's flags for a module's speed or size."""
    if WINDOWS or DEBUG or SANITIZE:
        return []
    if SEVERAL_SETS and name.startswith(OLDEST):
        return [*UNORDERED, *(["-Os", *VECTORIZED] if name.endswith("hot") else SMALL)]
    # 3 % of the instructions of a step of mnist; with AVX-512 it tells nothing.
    flags = ["-fpeel-loops"] if name.endswith("_avx2.hot") else []
    if name.endswith("_avx512.hot"):  # addresses for which no register is left wait in memory: narrow products, to 25 %
        flags = ["-mtune-ctrl=^inter_unit_moves_from_vec,^inter_unit_moves_to_vec"]
    name = name.rpartition(".")[2]
    return [*flags, *UNORDERED, *VECTORS.get(name, [] if name == "text" else SMALL)]


def extension(name: str, source: str, flags: list[str], macros: list[str]) -> Extension:
    """A compiled module."""
    macros = macros if name.endswith(SAYING) else [*macros, "FASTNN_UNSAID"]
    return Extension(
        name,
        [source],
        include_dirs=["fastnn/engine", "fastnn/kernels"],
        define_macros=[
            *((macro, None) for macro in macros + ([] if SEVERAL_SETS else ["FASTNN_BASELINE_ONLY"])),
            *((f"CYTHON_{shortcut}", "0") for shortcut in SHORTCUTS),
        ],
        extra_compile_args=COMPILE + flags + optimisation(name),
        extra_link_args=LINK,
        depends=glob("fastnn/*/*.h"),
    )


def traced(path: Path) -> None:
    """Let a module's C have entries in tracebacks, lines of sources that no wheel has, with FASTNN_CHECKED alone."""
    text = path.read_text(encoding="utf-8")
    if TRACED not in text:  # Cython has written it anew
        text = HANDLED.sub(r"FASTNN_ADD_HANDLED\1", text)
        for name in re.findall(r"(\w+), /\* m_doc \*/", text):
            text = re.sub(rf"({name}\[\] = )(.*);\n", r"\1PyDoc_STR(\2);\n", text)
        at = text.index("#define __PYX_ERR(")
        text = text[:at] + TRACED + text[at:].replace('__Pyx_AddTraceback("', 'FASTNN_ADD_TRACEBACK("')
        path.write_text(text, encoding="utf-8")


def extensions(checked: bool = False) -> list[Extension]:
    """Every extension, as C, the longest to compile first; checked: with what only those want who work on them."""
    sources = sorted(glob("fastnn/*/*.pyx"))
    modules = cythonize(
        [
            extension(SHARED, f"{SHARED.replace('.', '/')}.c", [], []),
            *(extension(source[:-4].replace("/", ".").replace(os.sep, "."), source, [], []) for source in sources),
        ],
        build_dir="build/c",
        compiler_directives=DIRECTIVES,
        nthreads=0 if WINDOWS else os.cpu_count(),
        shared_utility_qualified_name=SHARED,
        shared_utility_features_disabled=["MemoryView"],
    )
    for module in modules:
        for source in module.sources:
            traced(Path(source))
        module.define_macros += [("FASTNN_CHECKED", None)] if checked else []
    once = [module for module in modules if module.name.rpartition(".")[2] not in KERNELS]
    by_set = []
    for name in reversed(KERNELS):
        for isa, flags in INSTRUCTION_SETS.items():
            if name == "rare" and isa == "avx512":
                continue  # AVX2's serve, in a sixth less of that set's bytes
            # The same C; each set's in a folder of its own, so that its objects are.
            os.makedirs(f"build/c_{isa}", exist_ok=True)
            source = shutil.copy2(f"build/c/fastnn/kernels/{name}.c", f"build/c_{isa}/{name}.c")
            # Whatever set is in use, float64 is worked out by the baseline's kernels.
            macros = ["FASTNN_FLOAT64"] if isa == "baseline" else []
            macros += ["FASTNN_CHECKED"] if checked else []
            by_set.append(extension(f"fastnn.kernels._{isa}.{name}", source, flags, macros))
    return by_set + once


class LeanModules(build_py):
    """The package as it is installed: what is said for those who have the sources is 200 kB of a wheel."""

    def run(self) -> None:
        self.public = public(Path("fastnn"))
        super().run()

    def build_module(self, module: str, module_file: str, package: str) -> Any:
        built = super().build_module(module, module_file, package)
        if module_file.endswith(".py"):
            path = Path(self.get_module_outfile(self.build_lib, package.split("."), module))
            source, own = path.read_text(encoding="utf-8"), "" if module == "__init__" else module
            path.write_text(lean(source, self.public, own), encoding="utf-8")
        return built


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


HOW_TO_GET_A_COMPILER = {
    "linux": "apt install gcc python3-dev (Debian, Ubuntu), dnf install gcc python3-devel (Fedora, RHEL), "
    "apk add gcc musl-dev python3-dev (Alpine)",
    "darwin": "xcode-select --install",
    "win32": 'the workload "Desktop development with C++" of https://visualstudio.microsoft.com/visual-cpp-build-tools/',
}


def require_compiler() -> None:
    """SystemExit, with what to install, unless a C compiler is here and finds Python.h."""
    compiler = new_compiler()
    customize_compiler(compiler)
    with TemporaryDirectory() as folder:
        source = Path(folder, "looked_for.c")
        source.write_text("#include <Python.h>\n", encoding="utf-8")
        paths = sysconfig.get_paths()
        try:
            compiler.compile([str(source)], folder, include_dirs=[paths["include"], paths["platinclude"]])
        except (CompileError, PlatformError, OSError) as error:
            advice = HOW_TO_GET_A_COMPILER.get(sys.platform, "your system's C compiler and Python's headers")
            raise SystemExit(
                f"fastnn is compiled as it is installed, and needs a C compiler and Python's headers; "
                f"install them: {advice}\n({error})"
            ) from None


def takes(compiler: Any, flag: str, links: bool = False) -> bool:
    """Whether a compiler takes a flag without a word, as it compiles or links, which is found by trying."""
    with TemporaryDirectory() as folder:
        source, made = Path(folder, "tried.c"), Path(folder, "tried.o")
        source.write_text("int tried;\n", encoding="utf-8")
        compiled = [*compiler.compiler_so, "-Werror", "-c", str(source), "-o", str(made)]
        linked = [*compiler.linker_so, str(made), flag, "-o", str(made.with_suffix(".so"))]
        for command in [compiled, linked] if links else [[*compiled, flag]]:
            done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode == 0 and not (links and done.stderr)


def clang_cl() -> str | None:
    """Where clang-cl is: on the path, beside MSVC, or where LLVM installs it."""
    beside = Path(os.environ.get("VCINSTALLDIR", ""), "Tools", "Llvm", "x64", "bin", "clang-cl.exe")
    own = Path(os.environ.get("PROGRAMFILES", ""), "LLVM", "bin", "clang-cl.exe")
    return shutil.which("clang-cl") or next((str(path) for path in (beside, own) if path.exists()), None)


class FittedBuild(build_ext):
    """As many compilers at once as there are processors, with the flags that they take, if there is one at all."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = os.cpu_count()

    def finalize_options(self) -> None:
        # Some commands ask for no more than what there is to build.
        if not {"sdist", "egg_info", "dist_info"}.issuperset(self.distribution.commands):
            require_compiler()
            self.distribution.ext_modules = extensions(CHECKED or bool(self.inplace or self.editable_mode))
        super().finalize_options()

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            self.use_clang_cl()
        else:
            given = {flag for module in self.extensions for flag in module.extra_compile_args}
            left_out = {flag for flag in given if not takes(self.compiler, flag)}
            link = [flag for flag in LINK if takes(self.compiler, flag, links=True)]
            for module in self.extensions:
                module.extra_compile_args = [flag for flag in module.extra_compile_args if flag not in left_out]
                module.extra_link_args = link
        super().build_extensions()

    def use_clang_cl(self) -> None:
        """Have clang-cl in place of MSVC's cl, or say what that costs."""
        found = clang_cl()
        if found is None:
            print(
                "fastnn: MSVC has no vector types, and what it compiles is several times slower; install clang-cl "
                "(C++ Clang tools for Windows, in Visual Studio's installer) and build again",
                file=sys.stderr,
            )
            return
        self.compiler.initialize(self.plat_name)
        self.compiler.cc = found


if __name__ == "__main__":
    # Something compiled, so that the wheel is this platform's; what, says FittedBuild.
    setup(
        ext_modules=[Extension(SHARED, [])],
        cmdclass={"bdist_wheel": SmallWheel, "build_ext": FittedBuild, "build_py": LeanModules},
    )

"""Build fastnn's wheels for every platform from one Linux machine, and check what can be checked here.

    python scripts/build_wheels.py [--pythons 3.12 3.13] [--targets manylinux_2_17_x86_64 ...] [--out dist]

For each Python that is here with its headers (python3.11 and later, on the path or under pyenv) and each of TARGETS, a
wheel: compiled by zig, whose C compiler is clang with the headers and libraries of every target, so that a wheel for
manylinux_2_17 asks for no newer glibc. zig comes from PyPI, with all else that is needed, into a temporary folder.

Then of each wheel: its tag, what its modules are linked against and which versions of that they need (auditwheel and
the headers of the files), its size beside what gcc makes for this machine, check-wheel-contents, twine check, and that
pip on the target would choose it. Then it is compressed anew, as well as can be (shrink_wheel.py), and must be below
2,000,000 bytes. All modules are
compiled for Windows too, without a wheel. --test also installs those for this machine in new environments and runs the
tests of what they hold. What was built and could not be run here is listed. The exit status is 0 if all is well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from pythons import pythons

ROOT = Path(__file__).resolve().parents[1]
BUILD = ["setuptools>=77", "Cython>=3.3", "pip"]
CHECK = ["ziglang", "auditwheel", "check-wheel-contents", "twine", "macholib", "pyelftools", "zopfli"]
MORE_THAN_GCC = 60_000  # bytes
MOST = 2_000_000  # bytes of a wheel that is compressed anew
# zig makes -Os of -Oz, which clang has.
ZIG = """#!{python}
import os, sys
given = [word for each in sys.argv[1:] for word in (["-Xclang", each] if each == "-Oz" else [each])]
os.execv({zig!r}, [{zig!r}, *given])
"""
# Seconds since 1970 in a wheel's files: the same sources give the same bytes.
EPOCH = "1577836800"


class Target(NamedTuple):
    """What a wheel is for."""

    zig: str  # as zig names it
    host: str  # as sysconfig.get_platform() names it there
    suffix: str  # of an extension module, behind the Python's


LINUX = {
    f"{name}_{cpu}": Target(f"{cpu}-linux-{libc}", f"linux-{cpu}", f"{cpu}-linux-{libc.partition('.')[0]}")
    for name, libc in (("manylinux_2_17", "gnu.2.17"), ("musllinux_1_2", "musl"))
    for cpu in ("x86_64", "aarch64")
}
MACOS = {
    f"macosx_11_0_{cpu}": Target(f"{zig}-macos.11.0", f"macosx-11.0-{cpu}", "darwin")
    for cpu, zig in (("arm64", "aarch64"), ("x86_64", "x86_64"))
}
TARGETS = LINUX | MACOS
# What Python's pyconfig.h, which is this machine's, says of Windows.
WINDOWS = """
#undef SIZEOF_LONG
#define SIZEOF_LONG 4
#undef SIZEOF_WCHAR_T
#define SIZEOF_WCHAR_T 2
#undef HAVE_SYS_SELECT_H
#undef HAVE_SYS_TIME_H
#undef HAVE_CRYPT_H
#define MS_WINDOWS 1
#define MS_WIN64 1
#define HAVE_DECLSPEC_DLL 1
"""


def run(command: list[str], folder: Path = ROOT, **more: str) -> str:
    """What a command prints, which has to succeed."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}\nexit status {done.returncode}")
    return done.stdout


def environment(folder: Path, python: str, packages: list[str]) -> str:
    """The Python of a new virtual environment with some packages."""
    run([python, "-m", "venv", str(folder)])
    made = str(folder / "bin" / "python")
    if packages:
        run([made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    return made


def sources(folder: Path, python: str) -> Path:
    """A copy of what is under git, with Cython's C, which is the same for all."""
    listed = run(["git", "ls-files", "-z"]).split("\0")
    for name in filter(None, listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    asked = "import runpy; runpy.run_path('setup.py', run_name='build')['extensions']()"
    run([python, "-c", asked], folder, _PYTHON_HOST_PLATFORM="linux-x86_64")
    return folder


def built(name: str, version: str, python: str, zig: str, source: Path, out: Path) -> Path:
    """A wheel for a target and a Python."""
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(source, folder / "source")
        compiler = f"{zig} cc -target {target.zig}"
        shared = "-dynamiclib -Wl,-undefined,dynamic_lookup" if name in MACOS else "-shared"
        number = version.replace(".", "")
        pip = [python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--no-build-isolation", "--wheel-dir", str(folder / "made"), f"-C--build-option=--plat-name={name}"]
        run(
            [*pip, str(folder / "source")],
            folder,
            CC=compiler,
            LDSHARED=f"{compiler} {shared}",
            SETUPTOOLS_EXT_SUFFIX=f".cpython-{number}-{target.suffix}.so",
            SOURCE_DATE_EPOCH=os.environ.get("SOURCE_DATE_EPOCH", EPOCH),
            _PYTHON_HOST_PLATFORM=target.host,
        )
        (wheel,) = (folder / "made").glob("*.whl")
        return Path(shutil.move(wheel, out / wheel.name))


def faults(wheel: Path, name: str, version: str, tools: str) -> Iterator[str]:
    """What is wrong with a wheel, as far as it can be seen without running it."""
    number = version.replace(".", "")
    if not wheel.name.endswith(f"-cp{number.rstrip('t')}-cp{number}-{name}.whl"):
        yield "its name has another tag"
    with tempfile.TemporaryDirectory() as folder, ZipFile(wheel) as content:
        names = content.namelist()
        content.extractall(folder)
        modules = [Path(folder, each) for each in names if each.endswith(".so")]
        if not any(each.endswith("licenses/LICENSE") for each in names):
            yield "it has no licence"
        expected = f".cpython-{number}-{TARGETS[name].suffix}.so"
        yield from (f"{each.name} does not end with {expected}" for each in modules if not each.name.endswith(expected))
        for module in modules:
            if name in MACOS:
                yield from of_macos(module, name, tools)
            elif "musl" in name:
                yield from of_musl(module, name, tools)
    if "manylinux" in name:
        tag = json.loads(run([tools, "-m", "auditwheel", "show", "--json", str(wheel)]))["overall_tag"]
        if tag != name:
            yield f"auditwheel gives it the tag {tag}"
    # W004: PyInstaller's hooks are called by what they are for, which is no module's name.
    run([tools.replace("python", "check-wheel-contents"), "--ignore", "W004", str(wheel)])
    run([tools, "-m", "twine", "check", "--strict", str(wheel)])
    with tempfile.TemporaryDirectory() as folder:
        pip = [tools, "-m", "pip", "download", "--quiet", "--no-deps", "--no-index", "--only-binary=:all:"]
        pip += ["--implementation", "cp", "--python-version", version.rstrip("t"), "--abi", f"cp{number}"]
        run([*pip, "--platform", name, "--find-links", str(wheel.parent), "--dest", folder, "fastnn"])
        if not Path(folder, wheel.name).exists():
            yield f"pip on {name} chooses {', '.join(os.listdir(folder))}"


def of_macos(module: Path, name: str, tools: str) -> Iterator[str]:
    """What is wrong with a module for macOS: the processor, the oldest system, what it loads."""
    asked = (
        "import json, sys; from macholib.MachO import MachO; (h,) = MachO(sys.argv[1]).headers; "
        "print(json.dumps([h.header.cputype, [c[1].minos for c in h.commands if hasattr(c[1], 'minos')], "
        "[c[2].rstrip(b'\\0').decode() for c in h.commands if c[0].get_cmd_name() == 'LC_LOAD_DYLIB']]))"
    )
    processor, oldest, loads = json.loads(run([tools, "-c", asked, str(module)]))
    if processor != {"macosx_11_0_arm64": 0x0100000C, "macosx_11_0_x86_64": 0x01000007}[name]:
        yield f"{module.name} is for the processor {processor:#x}"
    if oldest != [11 << 16]:
        yield f"{module.name} asks for macOS {[f'{each >> 16}.{each >> 8 & 255}' for each in oldest]}"
    if loads != ["/usr/lib/libSystem.B.dylib"]:
        yield f"{module.name} loads {', '.join(loads)}"


def of_musl(module: Path, name: str, tools: str) -> Iterator[str]:
    """The same for musl, which auditwheel knows where it is the system's: no library but libc."""
    asked = (
        "import sys; from elftools.elf.elffile import ELFFile; f = ELFFile(open(sys.argv[1], 'rb')); "
        "print(f['e_machine'], *(t.needed for t in f.get_section_by_name('.dynamic').iter_tags('DT_NEEDED')))"
    )
    processor, *loads = run([tools, "-c", asked, str(module)]).split()
    if processor != {"musllinux_1_2_x86_64": "EM_X86_64", "musllinux_1_2_aarch64": "EM_AARCH64"}[name]:
        yield f"{module.name} is for the processor {processor}"
    if loads not in ([], ["libc.so"]):
        yield f"{module.name} loads {', '.join(loads)}"


def compiled_for_windows(python: str, zig: str, source: Path, folder: Path) -> int:
    """Compile all modules for Windows, with nothing linked and nothing run; how many there are."""
    asked = "import sysconfig; print(sysconfig.get_path('include'))"
    headers = folder / "windows"
    shutil.copytree(run([python, "-c", asked]).strip(), headers)
    with (headers / "pyconfig.h").open("a", encoding="utf-8") as file:
        file.write(WINDOWS)
    asked = "import json, runpy; print(json.dumps(runpy.run_path('setup.py', run_name='build')['INSTRUCTION_SETS']))"
    sets = json.loads(run([python, "-c", asked], source, _PYTHON_HOST_PLATFORM="linux-x86_64"))
    flags = ["-O2", f"-I{headers}", "-Ifastnn/engine", "-Ifastnn/kernels", "-Werror=implicit-function-declaration"]
    modules = sorted((source / "build").glob("c*/**/*.c"))
    for module in modules:
        isa = module.parent.name.removeprefix("c_")
        own = sets.get(isa, []) + (["-DFASTNN_FLOAT64"] if isa == "baseline" else [])
        command = [zig, "cc", "-target", "x86_64-windows-gnu", *flags, *own, "-c", str(module)]
        run([*command, "-o", str(folder / "compiled.obj")], source)
    return len(modules)


def zig_of(python: str, path: Path) -> str:
    """A program that runs the zig which a Python has with clang's words."""
    zig = run([python, "-c", "import ziglang, os; print(os.path.dirname(ziglang.__file__))"]).strip() + "/zig"
    path.write_text(ZIG.format(python=python, zig=zig), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def made_by_gcc(python: str, source: Path) -> int:
    """Bytes of the wheel that this machine's own compiler makes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(source, folder / "source")
        pip = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        run([*pip, "--wheel-dir", str(folder), str(folder / "source")], folder)
        return next(folder.glob("*.whl")).stat().st_size


def tested(version: str, python: str, folder: Path, out: Path, tests: list[str]) -> bool:
    """Whether the tests pass on the wheel that pip chooses for a Python here; what they say is printed."""
    made = environment(folder / f"test {version}", python, [])
    pip = [made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-index", "--no-deps", "--find-links", str(out), "fastnn"])
    run([*pip, "--find-links", str(out), "fastnn[test]"])
    command = [made, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True, check=False)
    print(f"Python {version}: {done.stdout.rstrip().rpartition(chr(10))[2]}", flush=True)
    if done.returncode:
        print(done.stdout[-4000:] + done.stderr[-2000:], flush=True)
    return done.returncode == 0


def main() -> int:
    """Build and check what the command asks for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", metavar="VERSION", help="all that are here")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the wheels go; dist")
    parser.add_argument(
        "--test", nargs="*", metavar="TESTS", help="run the tests, or some of them, on the wheels for this machine"
    )
    given = parser.parse_args()
    here = pythons()
    wanted = given.pythons or list(here)
    if missing := [version for version in wanted if version not in here]:
        sys.exit(f"no Python {', '.join(missing)} with its headers here; there are {', '.join(here) or 'none'}")
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    began, wrong = time.monotonic(), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tools = environment(folder / "tools", sys.executable, [*BUILD, *CHECK])
        zig = zig_of(tools, folder / "zig")
        source = sources(folder / "source", tools)
        builders = {version: environment(folder / version, here[version], BUILD) for version in wanted}
        made = {}
        for version, python in builders.items():
            for name in given.targets:
                made[built(name, version, python, zig, source, out)] = name, version
        print(f"{len(made)} wheels in {time.monotonic() - began:.0f} s", flush=True)
        compiled = compiled_for_windows(builders[wanted[0]], zig, source, folder)
        print(f"windows: {compiled} modules compile; not linked, not run", flush=True)
        by_gcc = {version: made_by_gcc(python, source) for version, python in builders.items()}
        for wheel, (name, version) in made.items():
            more = wheel.stat().st_size - by_gcc[version]
            said = list(faults(wheel, name, version, tools))
            said += [f"{more:,} bytes above gcc's"] if more > MORE_THAN_GCC else []
            wrong += said
            print(f"{wheel.name}  {wheel.stat().st_size:,} bytes, {more:+,}  {'; '.join(said) or 'well'}", flush=True)
        shrink = [tools, str(ROOT / "scripts" / "shrink_wheel.py")]  # behind the comparison with gcc's, which is not
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            print(*(said.strip() for said in pool.map(lambda wheel: run([*shrink, str(wheel)]), made)), sep="\n")
        large = [f"{wheel.name} has {wheel.stat().st_size:,} bytes" for wheel in made if wheel.stat().st_size > MOST]
        wrong += large
        print(*large, sep="\n")
        runs_here = f"manylinux_2_17_{platform.machine()}"
        for version in wanted if given.test is not None and runs_here in given.targets else []:
            wrong += [] if tested(version, here[version], folder, out, given.test) else [f"tests of {version}"]
    left = [name for name in given.targets if name != runs_here or given.test is None]
    print(f"built and not run: {', '.join(left) or 'none'}")
    print(f"{len(wrong)} faults, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

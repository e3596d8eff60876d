"""Test every instruction set for its values: those that this processor runs on it, the others under an emulator.

    python scripts/test_instruction_sets.py [--quick] [--wheel FILE] [FOLDER]

1. This processor: the kernels' and the engine's tests, once for each set that it runs.
2. Emulated x86-64 processors (qemu-x86_64): each chooses the set that it should, and refuses a better one with an error
   that says what to do; some of the kernels' tests.
3. aarch64: fastnn is compiled for it, and its tests run under qemu-aarch64.

Wanted: Debian on x86-64; a Python in which fastnn is installed with its `test` extra; the packages named in PACKAGES.
Nothing on the machine is changed. FOLDER (default: a temporary one) gets a Python for aarch64 with what it needs,
about 250 MB, which a second run with the same FOLDER uses again.

--wheel: a wheel for aarch64 and Debian's Python, which is tested in place of what step 3 compiles
(scripts/build_wheels.py makes one; then let the fastnn that is installed be its wheel for x86-64).
--quick leaves out the first step, which pytest does by itself (tests/kernels/test_isa.py), and the longer tests of the
others. The exit status is 0 if all that ran passed. What no emulator runs is listed as not run.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static"]
PROGRAMS = ["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objdump", "qemu-aarch64-static", "qemu-x86_64-static"]

KERNELS = ["tests/kernels"]
ENGINE = ["tests/engine", "tests/training/test_training.py", "tests/test_repeatability.py"]
# An emulator is ten times and more slower, and this file's subject is time.
NOT_EMULATED = ["--ignore=tests/engine/test_interrupt.py"]
QUICK = ["tests/kernels/test_activations.py", "tests/kernels/test_optimizers.py"]
LAYERS = [f"tests/layers/test_{name}.py" for name in ("recurrent", "convolution", "few_channels", "attention", "masks")]
# first_weights: NumPy's own product warns under the emulator.
QUICK_AARCH64 = [
    *QUICK,
    "tests/kernels/test_gemm.py",
    "tests/kernels/test_bfloat16.py",
    "tests/test_matmul_precision.py",
    "tests/engine/test_trajectories.py",
    *LAYERS,
    "-knot edges_of_chunks and not first_weights",
]

# Emulated processor: the set that it is to choose. SandyBridge has AVX without AVX2. No older one runs NumPy.
PROCESSORS = {"Nehalem": "baseline", "SandyBridge": "baseline", "Haswell": "avx2"}
SETS = ["avx512", "avx2", "baseline"]

# A Python for aarch64, what its wheels link to, and what its modules are compiled against.
FOREIGN_PACKAGES = ["python3-minimal", "libpython3-dev", "libstdc++6"]
FOREIGN_WHEELS = ["numpy>=2", "pytest>=8", "pytest-benchmark>=4", "Cython>=3.3", "setuptools>=77"]
FOREIGN_PLATFORMS = ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"]


def run(command: list[str], folder: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """A finished command with its output. OPENBLAS_CORETYPE would have NumPy use what an emulated processor lacks."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "FASTNN_"))}
    environment |= {"OPENBLAS_NUM_THREADS": "1", **more}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def must(command: list[str], folder: Path = ROOT, **more: str) -> str:
    """The output of a command that has to succeed."""
    done = run(command, folder, **more)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}\nexit status {done.returncode}")
    return done.stdout


class Report:
    """What ran, line by line, and how much of it failed."""

    def __init__(self) -> None:
        self.failed = 0

    def line(self, isa: str, where: str, good: bool, said: str, output: str = "") -> None:
        """One check; the end of its output too if it failed."""
        self.failed += not good
        print(f"{isa:9} {where:22} {'passed' if good else 'FAILED'}: {said}", flush=True)
        if not good:
            print(output[-6000:], flush=True)

    def tests(
        self, isa: str, where: str, python: list[str], tests: list[str], folder: Path = ROOT, **more: str
    ) -> None:
        """One run of pytest."""
        done = run([*python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], folder, **more)
        said = done.stdout.splitlines()[-1] if done.stdout else f"exit status {done.returncode}"
        self.line(isa, where, done.returncode == 0, said, done.stdout + done.stderr)


def on_this_processor(report: Report) -> None:
    """The whole tests of the kernels and the engine, on each set that is to be had."""
    sets = must([sys.executable, "-P", "-c", "from fastnn import kernels; print(*kernels.cpu.supported())"]).split()
    for isa in SETS:
        if isa in sets:
            report.tests(isa, "this processor", [sys.executable], KERNELS + ENGINE, FASTNN_ISA=isa)
        else:
            print(f"{isa:9} {'this processor':22} not run: the processor lacks it", flush=True)


def on_emulated_x86(report: Report) -> None:
    """What is chosen, what is refused, and some values."""
    for processor, best in PROCESSORS.items():
        python = ["qemu-x86_64-static", "-cpu", processor, sys.executable]
        where = f"{processor}, emulated"
        chosen = run([*python, "-P", "-c", "import fastnn; print(fastnn.kernels.isa)"])
        said = chosen.stdout.strip()
        report.line(best, where, said == best, f"chose {said or 'nothing'}", chosen.stderr)
        better, runs = SETS[: SETS.index(best)], SETS[SETS.index(best) :]
        for isa in better:
            refused = run([*python, "-P", "-c", "import fastnn"], FASTNN_ISA=isa)
            said = refused.stderr.strip().split("\n")[-1]
            start = f"ImportError: FASTNN_ISA={isa!r}, but this processor runs {', '.join(runs)};"
            report.line(isa, where, refused.returncode == 1 and said.startswith(start), said or "no error")
        report.tests(best, where, python, QUICK)


def foreign_python(folder: Path) -> str:
    """A command that runs Debian's Python for aarch64, from a root of its own in the folder."""
    root, apt = folder / "root", folder / "apt"
    python = root / "usr/bin/emulated-python"
    if python.exists():
        return str(python)
    (apt / "lists/partial").mkdir(parents=True, exist_ok=True)
    (apt / "archives/partial").mkdir(parents=True, exist_ok=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
        "Dir::Cache": str(apt),
        "Dir::State": str(apt),
        "Dir::State::status": "/dev/null",
    }
    get = ["apt-get", "-qq", "-y", "--no-install-recommends", *(f"-o{k}={v}" for k, v in settings.items())]
    must([*get, "update"])
    must([*get, "--download-only", "install", *FOREIGN_PACKAGES])
    for package in sorted((apt / "archives").glob("*.deb")):
        must(["dpkg-deb", "-x", str(package), str(root)])
    name = (root / "usr/bin/python3").readlink().name
    platforms = [word for tag in FOREIGN_PLATFORMS for word in ("--platform", tag)]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--only-binary=:all:",
        "--implementation",
        "cp",
        *platforms,
    ]
    pip += [
        "--python-version",
        name.removeprefix("python"),
        "--target",
        str(root / "usr/local/lib" / name / "dist-packages"),
    ]
    must([*pip, *FOREIGN_WHEELS])
    # With -0, Python takes this script for itself, so that what it starts runs under the emulator too.
    python.write_text(f'#!/bin/sh\nexec qemu-aarch64-static -0 "$0" -L "{root}" "{root}/usr/bin/{name}" "$@"\n')
    python.chmod(0o755)
    return str(python)


def on_aarch64(report: Report, folder: Path, tests: list[str], wheel: Path | None) -> None:
    """Compile fastnn for aarch64, or take the wheel, and run tests there. Its baseline is NEON."""
    python = foreign_python(folder)
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    for name in ("tests",) if wheel else ("fastnn", "tests", "scripts"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    if wheel:
        with ZipFile(wheel) as content:
            content.extractall(source)
    else:
        compile_for(python, folder, source)
    module = next((source / "fastnn/kernels/_baseline").glob("hot.*.so"))
    found = re.findall(r"\sfmla\s+v\d+\.4s", must(["aarch64-linux-gnu-objdump", "-d", str(module)]))
    report.line("neon", "aarch64, compiled", bool(found), f"{len(found)} vector multiply-adds of float32")
    report.tests("neon", "aarch64, emulated", [python], tests, source, PYTHONPATH=str(source))


def compile_for(python: str, folder: Path, source: Path) -> None:
    """Compile fastnn's modules beside their sources."""
    # setup.py runs under the emulator and believes that it is at home; the compiler is a cross compiler.
    include = Path(must([python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"]).strip()).name
    compiler = f"aarch64-linux-gnu-gcc --sysroot={folder}/root -I=/usr/include/{include}"
    must([python, "setup.py", "--quiet", "build_ext", "--inplace"], source, CC=compiler, FASTNN_CHECKED="1")


def main() -> None:
    """Run the steps; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="kept, and used again by a second run")
    parser.add_argument("--quick", action="store_true", help="emulators only, and their shorter tests")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="for aarch64, tested in place of what is compiled")
    args = parser.parse_args()
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if platform.machine() != "x86_64" or missing:
        sys.exit(
            f"this script wants Debian on x86-64 with {', '.join(PROGRAMS)}; this machine is {platform.machine()}"
            f"{' without ' + ', '.join(missing) if missing else ''}; try `apt-get install {' '.join(PACKAGES)}`"
        )
    must([sys.executable, "-P", "-c", "import fastnn, pytest"])
    report = Report()
    if not args.quick:
        on_this_processor(report)
    on_emulated_x86(report)
    tests = QUICK_AARCH64 if args.quick else KERNELS + ENGINE + NOT_EMULATED
    with tempfile.TemporaryDirectory() as temporary:
        on_aarch64(report, (args.folder or Path(temporary)).resolve(), tests, args.wheel)
    print(f"{'avx512':9} {'emulated':22} not run: Debian's emulator does not have it", flush=True)
    sys.exit(f"{report.failed} of these failed" if report.failed else 0)


if __name__ == "__main__":
    main()

"""What setup.py looks for before it compiles."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SETUP = Path(__file__).parents[1] / "setup.py"


@pytest.fixture
def build() -> dict[str, Any]:
    pytest.importorskip("Cython", "3.3", reason="needs what builds: pip install 'Cython>=3.3'")
    pytest.importorskip("setuptools", "77", reason="needs what builds: pip install 'setuptools>=77'")
    return runpy.run_path(str(SETUP), run_name="build")


@pytest.mark.skipif("__import__('sys').platform == 'win32'", reason="CC names no compiler there")
def test_without_a_compiler_it_says_what_to_install(build: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(SystemExit, match=r"needs a C compiler and Python's headers; install them: (apt|xcode|your)"):
        build["require_compiler"]()


def test_every_kernel_source_is_in_one_module(build: dict[str, Any]) -> None:
    folder = SETUP.parent / "fastnn" / "kernels"
    text = "".join((folder / f"{name}.pyx").read_text(encoding="utf-8") for name in build["KERNELS"])
    for source in folder.glob("*.pxi"):
        assert text.count(f'include "{source.name}"') == 1, f"include {source.name} in hot.pyx, rest.pyx or rare.pyx"


class Refusing:
    """A compiler that takes no flag with "loops" in it, nor a warning; a linker that warns of one."""

    compiler_type = "unix"
    compiler_so = (
        "python3",
        "-c",
        "import sys; sys.exit(any('loops' in flag for flag in sys.argv) or '-Werror' not in sys.argv)",
    )
    linker_so = ("python3", "-c", "import sys; 'loops' in sys.argv[2] and sys.stderr.write('what?')")


def test_a_flag_is_left_out_where_the_compiler_does_not_take_it(build: dict[str, Any]) -> None:
    assert build["takes"](Refusing, "-O2")
    assert not build["takes"](Refusing, "-funswitch-loops")
    assert build["takes"](Refusing, "-O2", links=True)
    assert not build["takes"](Refusing, "-funswitch-loops", links=True)


@pytest.mark.skipif("__import__('shutil').which('cc') is None", reason="no C compiler here")
def test_a_real_compiler_is_asked(build: dict[str, Any]) -> None:
    compiler = build["new_compiler"]()
    build["customize_compiler"](compiler)
    if compiler.compiler_type == "unix":
        assert build["takes"](compiler, "-O2")
        assert not build["takes"](compiler, "-fno-such-flag")


def test_clang_cl_is_found_beside_visual_studio(
    build: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VCINSTALLDIR", str(tmp_path / "VC"))
    monkeypatch.setenv("PROGRAMFILES", str(tmp_path / "programs"))
    assert build["clang_cl"]() is None
    for place in (tmp_path / "programs/LLVM/bin/clang-cl.exe", tmp_path / "VC/Tools/Llvm/x64/bin/clang-cl.exe"):
        place.parent.mkdir(parents=True)
        place.touch()
        assert build["clang_cl"]() == str(place)

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
        assert text.count(f'include "{source.name}"') == 1, f"include {source.name} in hot.pyx or rest.pyx"

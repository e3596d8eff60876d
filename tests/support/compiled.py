"""Cython sources of the tests that are compiled with fastnn's own: what no compiled module lets Python reach."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def compiled_module(
    name: str, source: str, needs: str, arguments: Callable[[dict[str, Any]], list[str]] = lambda build: []
) -> ModuleType:
    """tests/support/`source` as a module called `name`. Skips where nothing can be compiled.

    needs: the source of fastnn that it reads, which an installed one lacks. arguments: the compiler's, of what setup.py
    defines, beside those that all modules have.
    """
    pytest.importorskip("Cython", "3.3", reason="compiles: pip install 'Cython>=3.3'")
    pytest.importorskip("setuptools", "77", reason="compiles: pip install 'setuptools>=77'")
    if not (ROOT / needs).exists() or shutil.which("cc") is None:
        pytest.skip("compiles: no sources or no C compiler here")
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    build = runpy.run_path(str(ROOT / "setup.py"), run_name="build")
    folder = tempfile.mkdtemp()
    try:
        module = Extension(
            name,
            [str(ROOT / "tests/support" / source)],
            include_dirs=[str(ROOT / "fastnn/kernels")],
            extra_compile_args=[*build["COMPILE"], *arguments(build)],
        )
        distribution = Distribution(
            {
                "ext_modules": cythonize(
                    [module],
                    build_dir=folder,
                    include_path=[str(ROOT)],
                    compiler_directives=build["DIRECTIVES"],
                    quiet=True,
                ),
                "cmdclass": {"build_ext": build["FittedBuild"]},
            }
        )
        distribution.commands = []  # or fastnn's own modules would be built
        command: Any = distribution.get_command_obj("build_ext")
        command.build_lib = command.build_temp = folder
        command.ensure_finalized()
        command.run()
        path = next(Path(folder).glob(f"{name}.*[od]"))
        spec: Any = importlib.util.spec_from_file_location(name, path)
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found

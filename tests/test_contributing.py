"""The recipes of CONTRIBUTING.md, followed to the letter on a copy of the sources, compiled, and tested as all is."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2]


class Step(NamedTuple):
    """Code, the file that it goes into, and the place: the beginning of a line, `__all__`, or "" for the end."""

    path: str
    exported: str
    after: str
    code: str


BLOCK = r"^`([\w/.]+)`(?:, `(__all__)`|, after `([^`]+)`)?\n\n```(?:python|cython|text)\n(.*?)```"
STEPS = [Step(*each) for each in re.findall(BLOCK, TEXT, re.DOTALL | re.MULTILINE)]
# Tests that name one of the recipes' entries, and those of the documents, types, imports, sizes and tables.
NAMES = ["bipolar_sigmoid", "cauchy", "sign_accuracy", "balanced_accuracy", "qhm", "hard tanh", "hard_tanh", "scale"]
FILES = ["test_tables", "test_docs", "test_types", "test_imports", "test_size", "test_errors", "test_unit_configs"]
MORE = ["test_function_forms", "test_every_fused_kernel", "test_names_and_configurations"]


def test_the_recipes_are_found_and_short() -> None:
    headings = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
    assert headings == [
        "Add an activation",
        "Add a loss",
        "Add a metric",
        "Add a metric of sums",
        "Add an optimizer",
        "Add a layer without weights",
        "Add a layer with weights",
    ]
    assert len(STEPS) == len(re.findall(r"^```(?:python|cython|text)$", TEXT, re.MULTILINE)) == 24
    assert all(len(step.code.splitlines()) <= 42 for step in STEPS)


def follow(step: Step, root: Path) -> None:
    """Do what a step says, in the sources under `root`."""
    path = root / step.path
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if step.after:
        lines = text.splitlines(keepends=True)
        place = next(number for number, line in enumerate(lines) if line.startswith(step.after))
        text = "".join([*lines[: place + 1], step.code, *lines[place + 1 :]])
    else:
        blank = 0 if not text or len(step.code.splitlines()) == 1 else 1 if path.suffix == ".pyi" else 2
        text += blank * "\n" + step.code
    if step.exported:
        text = exported(text, re.findall(r"^class (\w+)", step.code, re.MULTILINE))
    path.write_text(text, encoding="utf-8")


def exported(text: str, names: list[str]) -> str:
    """A module's text with these names in its `__all__`, in ruff's order: constants, classes, others."""
    found = re.search(r"^__all__ = (\[.*?\])", text, re.DOTALL | re.MULTILINE)
    assert found
    every = [*ast.literal_eval(found[1]), *names]
    every.sort(key=lambda name: (not name.isupper(), name[0].islower(), name))
    listed = "".join(f'    "{name}",\n' for name in every)
    return text[: found.start(1)] + f"[\n{listed}]" + text[found.end(1) :]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources in which all recipes were followed."""
    pytest.importorskip("Cython", "3.3", reason="compiles: pip install 'Cython>=3.3'")
    pytest.importorskip("setuptools", "77", reason="compiles: pip install 'setuptools>=77'")
    if shutil.which("cc") is None:
        pytest.skip("compiles: no C compiler here")
    if not (ROOT / "fastnn" / "kernels" / "activations.pxi").exists():
        pytest.skip("compiles: the sources are not beside the tests")
    root = tmp_path_factory.mktemp("recipes") / "fastnn"
    leave = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT, root, ignore=leave)
    for step in STEPS:
        follow(step, root)
    return root


def run(root: Path, *command: str) -> str:
    """What a command says that must succeed, run where the recipes were followed."""
    environment = {**os.environ, "FASTNN_BASELINE_ONLY": "1", "PYTHONPATH": str(root)}
    for name in ("PYTHONWARNINGS", "FASTNN_ISA"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)}:\n{said[-6000:]}"
    return said


def test_the_recipes_work(sources: Path) -> None:
    built = run(sources, sys.executable, "setup.py", "-q", "build_ext", "--inplace")
    assert not re.search("warning|performance hint", built, re.IGNORECASE), built
    run(sources, sys.executable, "scripts/api_pages.py")
    compiled = {step.path for step in STEPS if step.path.endswith((".pyx", ".pxi"))}
    for tool, *arguments in (
        ("ruff", "check", "--fix", "."),
        ("ruff", "format", "."),
        ("cython-lint", *compiled),
        ("mypy", "--python-executable", sys.executable),
    ):
        if shutil.which(tool):
            run(sources, tool, *arguments)
    chosen = " or ".join([*(name.replace(" ", " and ") for name in NAMES), *FILES, *MORE])
    said = run(sources, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", chosen)
    assert int(re.findall(r"(\d+) passed", said)[0]) > 1000, said

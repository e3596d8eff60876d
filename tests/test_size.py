"""How large a file and a class may be: what is larger is split."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fastnn

SOURCES = Path(__file__).parents[1] / "fastnn"  # in the checkout or the sdist, with what is compiled
ROOT = SOURCES if SOURCES.is_dir() else Path(fastnn.__file__).parent
LINES = {".py": 400, ".pyi": 400, ".pyx": 500, ".pxd": 500}
METHODS = 25
KERAS = {"Model"}  # its methods are Keras's


@pytest.mark.parametrize(
    "path",
    sorted(path for path in ROOT.rglob("*") if path.suffix in LINES),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_file_is_not_too_long(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES[path.suffix], f"{path.name} has {lines} lines, at most {LINES[path.suffix]} are allowed"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_class_has_not_too_many_methods(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            names = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            public = {name for name in names if not name.startswith("_")}
            assert len(public) <= METHODS or node.name in KERAS, f"{node.name} has {len(public)} public methods"

"""What is installed of the sources (scripts/lean.py) does the same, in the same lines, and says the same to users."""

from __future__ import annotations

import ast
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastnn

ROOT = Path(__file__).parents[1]
LEAN = runpy.run_path(str(ROOT / "scripts" / "lean.py"))
PATHS = sorted((ROOT / "fastnn").rglob("*.py"))


@pytest.fixture(scope="module")
def installed() -> dict[Path, str]:
    names = LEAN["public"](ROOT / "fastnn")
    return {
        path: LEAN["lean"](path.read_text(encoding="utf-8"), names, path.stem if path.name != "__init__.py" else "")
        for path in PATHS
    }


class Running(ast.NodeTransformer):
    """A tree without what is said and without types."""

    def visit(self, node: ast.AST) -> Any:
        says = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        said = ast.get_docstring(node) if says else None
        if said is not None and len(node.body) > 1:
            del node.body[0]
        elif said is not None:
            node.body[0] = ast.copy_location(ast.Expr(ast.Constant(said)), node.body[0])
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node = ast.copy_location(ast.Assign([node.target], node.value), node)
        return self.generic_visit(node)


def running(source: str) -> tuple[str, list[int]]:
    """What a source does, and at which lines."""
    tree = Running().visit(ast.parse(source))
    return ast.dump(tree), [node.lineno for node in ast.walk(tree) if hasattr(node, "lineno")]


def test_all_that_runs_is_there_at_its_line(installed: dict[Path, str]) -> None:
    assert len(installed) > 400
    for path, text in installed.items():
        source = path.read_text(encoding="utf-8")
        assert running(text) == running(source), path
        assert text.count("\n") == source.count("\n"), path


def test_docstrings_lose_the_indentation_that_help_takes_away() -> None:
    source = (
        'class A:\n    def f(self):\n        """Say.\n\n        x: one\n           two\n        """\n        return 1\n'
    )
    lean = LEAN["lean"](source, {"A"})
    assert lean == 'class A:\n def f(self):\n  """Say.\n\n  x: one\n     two\n  """\n  return 1\n'
    odd = source.replace("        x: one", "  x: one")  # help() would take away less
    assert LEAN["lean"](odd, {"A"}).split('"""')[1] == odd.split('"""')[1]


def test_strings_over_several_lines_stay_as_they_are() -> None:
    source = 'def f(x:int=1)->str:\n    """Public."""\n    return f"""\n    {x}  \n        end"""  # why\n'
    assert LEAN["lean"](source, {"f"}) == source.replace("    ", " ", 2).replace("  # why", "").replace(
        '\n    return f"""', '\n return f"""'
    )


@pytest.mark.parametrize(
    ("source", "lean"),
    [
        ('def f(x: int) -> str:\n    """Inner."""\n    return x\n', "def f(x:int)->str:\n\n return x\n"),
        ("def _f(*a: int, b: str = 'é', **k: dict[str, int]) -> str: ...\n", "def _f(*a, b='é', **k):...\n"),
        ("def f(x: int):\n    y: int = 1  # one\n    z: int\n", "def f(x:int):\n y=1\n z:int\n"),
        (
            "class A:\n    x: int = 1\n    def _f(self, x: int): self._y = x\n",
            "class A:\n x:int=1\n def _f(self, x):self._y=x\n",
        ),
        ("def _f(self, x: int):\n    self.y = x\n", "def _f(self, x:int):\n self.y=x\n"),
        (
            "def f():\n    def g(x: int): ...\n    g.__doc__ = 'told'\n",
            "def f():\n def g(x:int):...\n g.__doc__='told'\n",
        ),
        ("f(\n    1,\n    2,  # two\n)\n", "f(\n1,\n2,\n)\n"),
        ('def f():\n    "All that it has."\n', 'def f():\n "All that it has."\n'),
        ("x = 'a', f'b', 'c'\n", "x='a', f'b','c'\n"),
        ("x = [1, -2] if a < (b) else f'{a = }, {b + 1}'\n", "x=[1, -2]if a<(b)else f'{a = }, {b + 1}'\n"),
    ],
)
def test_what_goes_and_what_stays(source: str, lean: str) -> None:
    first = "from __future__ import annotations\n"
    assert LEAN["lean"](first + source, set(), "module") == first + lean


def test_types_that_are_evaluated_stay() -> None:
    source = "def f():\n    def g(x: int) -> str: ...\n    y: int = 1\n"
    assert LEAN["lean"](source, set(), "module") == "def f():\n def g(x:int)->str:...\n y:int=1\n"


def test_public_is_what_is_named_imported_or_derived_from(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("from a import f\nimport b as b\n", encoding="utf-8")
    (tmp_path / "a.py").write_text("def f(): ...\ndef g(): ...\nclass Base: ...\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("def h(): ...\ndef _i(): ...\n", encoding="utf-8")
    (tmp_path / "c.py").write_text("__all__ = ['C']\nclass C(a.Base): ...\nclass D: ...\n", encoding="utf-8")
    found = LEAN["public"](tmp_path)
    assert {"f", "h", "C", "Base"} <= found
    assert not {"g", "_i", "D"} & found


@pytest.mark.skipif(sys.platform == "win32", reason="a module in use cannot be removed there")
def test_the_documentation_of_what_is_installed_is_that_of_the_sources(
    installed: dict[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(Path(fastnn.__file__).parent, tmp_path / "fastnn", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in installed.items():
        (tmp_path / path.relative_to(ROOT)).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "api", tmp_path / "docs" / "api")
    shutil.copy2(ROOT / "README.md", tmp_path)
    (tmp_path / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts" / "api_pages.py", tmp_path / "scripts")
    for path in (tmp_path / "docs" / "api").glob("fastnn*.md"):
        if path.stem not in ("fastnn.sklearn", "fastnn.spark", "fastnn.wrappers"):  # kept where these are not here
            path.write_text("", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "scripts/api_pages.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for path in sorted((ROOT / "docs" / "api").glob("*.md")):
        written = (tmp_path / "docs" / "api" / path.name).read_text(encoding="utf-8")
        assert written == path.read_text(encoding="utf-8"), path.name

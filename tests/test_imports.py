"""The modules of the package, and what each imports: read from the sources, type checkers' and lazy imports included.

A module needs those that it imports, and those that run before them: so none may need itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

import fastnn

ROOT = Path(fastnn.__file__).parent


def modules() -> dict[str, Path]:
    """Each Python module's source by its name; the .pyi stands for a compiled one."""
    found = {}
    for path in sorted(ROOT.rglob("*.py*")):
        if path.suffix in (".py", ".pyi"):
            parts = ("fastnn", *path.relative_to(ROOT).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The package's modules that a module imports anywhere in it: at its top, for type checkers, or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = (name if path.stem == "__init__" else name.rpartition(".")[0]).split(".")
            above = package[: len(package) + 1 - node.level] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{home}.{alias.name}"
                found.add(submodule if submodule in known else home)
    return {each for each in found if each in known}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of more than one node that all lead to each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen, stack = set(), [start]
        while stack:
            for other in graph[stack.pop()] - seen:
                seen.add(other)
                stack.append(other)
        reach[start] = seen
    groups = {frozenset(b for b in reach[a] if a in reach[b]) | {a} for a in graph if a in reach[a]}
    return sorted(sorted(group) for group in groups)


def graph_of_modules() -> dict[str, set[str]]:
    known = modules()
    return {name: imported(name, path, known) for name, path in known.items()}


def test_no_module_needs_itself() -> None:
    graph = graph_of_modules()
    assert len(graph) > 100
    assert circles(graph) == []


def test_no_folder_needs_itself() -> None:
    """A folder's modules may import each other; two folders import each other one way."""
    graph: dict[str, set[str]] = {"fastnn": set()}  # which imports them all; the command imports it
    for name, others in graph_of_modules().items():
        if name != "fastnn":
            home = ".".join(name.split(".")[:2])
            graph.setdefault(home, set()).update(".".join(other.split(".")[:2]) for other in others)
            graph[home] -= {home}
    assert {"fastnn.models", "fastnn.training", "fastnn.callbacks", "fastnn.data", "fastnn.store"} <= set(graph)
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []

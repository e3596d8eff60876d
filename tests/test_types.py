"""The types: what is public has them, the stubs are the compiled modules', and user code passes a type checker."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest
import typing_cases

import fastnn

PACKAGE = Path(fastnn.__file__).parent
SOURCES = Path(__file__).parents[1] / "fastnn"  # of compiled modules that no user calls, the stubs are here alone
CASES = Path(typing_cases.__file__)
COMPILED = sorted(
    ".".join(("fastnn", *path.relative_to(PACKAGE).parts))[: -len(suffix)]
    for suffix in EXTENSION_SUFFIXES
    for path in PACKAGE.rglob(f"*{suffix}")
    if suffix != ".so"
)
# The modules that are compiled for each instruction set are seen through fastnn.kernels alone.
STUBBED = [name for name in COMPILED if "._" not in name]

# What Cython adds to a module; units, which fastnn.kernels gathers by a loop; the sets that it chooses among; two that
# mypy cannot look into.
BEYOND_STUBS = [
    r".*\.__(pyx_capi|test|reduce_cython|setstate_cython|pyx_vtable)__",
    r"fastnn\.kernels\.\w+",
    r"fastnn\.kernels\._(baseline|avx2|avx512)\..*",
    r"fastnn\.kernels\.(kernel\.Kernel\.__init__|cores\.available)",
]


def test_the_package_says_that_it_has_types() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_compiled_modules_are_found() -> None:
    assert "fastnn.engine.network" in STUBBED
    assert len(STUBBED) >= 8


@pytest.mark.parametrize("name", STUBBED)
def test_a_stub_says_what_its_module_has(name: str) -> None:
    module = importlib.import_module(name)
    tree = ast.parse((SOURCES / f"{'/'.join(name.split('.')[1:])}.pyi").read_text(encoding="utf-8"))
    stubs = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for stub in stubs.values():
        compare(stub, getattr(module, stub.name), f"{name}.{stub.name}")
    own = {each for each, value in vars(module).items() if getattr(value, "__module__", "") == name}
    public, said = ({each for each in names if not each.startswith("_")} for names in (own, stubs))
    assert public == said, f"{'/'.join(name.split('.'))}.pyi: add or take away {sorted(public ^ said)}"


def compare(stub: ast.ClassDef | ast.FunctionDef, value: Any, name: str) -> None:
    """Names of methods and arguments, and which have defaults."""
    if isinstance(stub, ast.ClassDef):
        for node in stub.body:
            if isinstance(node, ast.FunctionDef) and node.name not in ("__init__", "__call__"):
                assert hasattr(value, node.name), f"{name}.{node.name} is in the stub alone"
        methods = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
        for each, method in vars(value).items():
            if not each.startswith("_") and inspect.isroutine(method):
                assert each in methods, f"{name}.{each} is not in the stub"
                compare(methods[each], method, f"{name}.{each}")
        return
    try:
        real = inspect.signature(getattr(value, "__func__", value))
    except (TypeError, ValueError):
        return
    assert list(arguments(stub)) == [(p.name, p.default is not p.empty) for p in real.parameters.values()], name


def arguments(stub: ast.FunctionDef) -> Iterator[tuple[str, bool]]:
    """The arguments of a function in a stub: name, and whether there is a default."""
    a = stub.args
    plain = [*a.posonlyargs, *a.args]
    for number, each in enumerate(plain):
        yield each.arg, number >= len(plain) - len(a.defaults)
    if a.vararg:
        yield a.vararg.arg, False
    for each, default in zip(a.kwonlyargs, a.kw_defaults, strict=True):
        yield each.arg, default is not None
    if a.kwarg:
        yield a.kwarg.arg, False


def test_what_is_public_is_annotated() -> None:
    """Every argument of every public function, class and method."""
    missing = []
    for module in (
        fastnn,
        *(getattr(fastnn, name) for name in fastnn.__all__ if inspect.ismodule(getattr(fastnn, name))),
    ):
        if module is fastnn.kernels:  # see its stub
            continue
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            value = getattr(module, name)
            for each, function in functions(value, f"{module.__name__}.{name}"):
                code, hints = function.__code__, function.__annotations__
                count = code.co_argcount + code.co_kwonlyargcount
                names = set(code.co_varnames[:count]) - {"self", "cls"}
                missing += [f"{each}: {name}" for name in sorted(names - set(hints))]
    assert missing == []


def functions(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The Python functions of fastnn in a class, or the function itself."""
    if isinstance(value, type) and value.__module__.startswith("fastnn."):
        for each, member in vars(value).items():
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function) and function.__module__ == value.__module__ and not each.startswith("_"):
                yield f"{name}.{each}", function
    elif inspect.isfunction(value) and value.__module__.startswith("fastnn."):
        yield name, value


def test_typed_user_code_runs(tmp_path: Path) -> None:
    typing_cases.main(tmp_path)


def checked(folder: Path, *arguments: str, types: Path = PACKAGE) -> str:
    """What mypy, or its check of stubs, finds wrong; from the types of the imported fastnn, or others."""
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nignore_missing_imports = true\n[mypy-fastnn.*]\nfollow_imports = silent\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "MYPYPATH": "", "MYPY_CACHE_DIR": str(folder / "cache")}
    if types.parent.name != "site-packages":
        environment["MYPYPATH"] = str(types.parent)
    if PACKAGE.parent.name != "site-packages":
        environment["PYTHONPATH"] = str(PACKAGE.parent)
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture
def _mypy() -> None:
    pytest.importorskip("mypy", reason="needs mypy: pip install mypy")


@pytest.mark.usefixtures("_mypy")
def test_typed_user_code_passes_mypy(tmp_path: Path) -> None:
    assert checked(tmp_path, "mypy", "--config-file", "mypy.ini", str(CASES)) == ""


@pytest.mark.usefixtures("_mypy")
def test_the_stubs_pass_stubtest(tmp_path: Path) -> None:
    (tmp_path / "allowed").write_text("\n".join(BEYOND_STUBS), encoding="utf-8")
    options = ["--mypy-config-file", "mypy.ini", "--concise", "--allowlist", "allowed", "--ignore-unused-allowlist"]
    options.append("--ignore-disjoint-bases")  # whether a class can be a base beside others says the compiler
    assert checked(tmp_path, "mypy.stubtest", "fastnn.engine", "fastnn.kernels", *options, types=SOURCES) == ""

"""What of a module's source is installed: all that runs, and all that those read who call what is public.

Away go comments, what internal functions and modules say of themselves, the types of what is private, which are checked
here, all but one space of each level of indentation, in docstrings too, where help() takes it away, and spaces beside
operators, but behind commas before what is no text. Lines keep their numbers, so that a traceback names those of the
sources. Public is what an ``__all__`` names, what a package imports or defines, all without an underscore of a module
that is so and has no ``__all__`` or that calls ``_names.offer``, and the classes that those are derived from.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Span = tuple[int, int, int, int]  # the line and the byte where it begins and ends


def listed(tree: ast.Module, package: bool) -> set[str]:
    """The names in a module's ``__all__``, and those that a package imports or has a table of."""
    nodes: list[ast.AST] = []
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if package or any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            nodes += ast.walk(node)
    found = {each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return found | {each.name for each in nodes if isinstance(each, ast.alias)}


def offers(tree: ast.Module) -> bool:
    """Whether a module says that all of it is public."""
    calls = (node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    return any(isinstance(call.func, ast.Attribute) and call.func.attr == "offer" for call in calls)


def public(folder: Path) -> set[str]:
    """What a package offers, by name, and the classes that they are derived from."""
    paths = sorted(folder.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    names = {path: listed(tree, path.name == "__init__.py") for path, tree in trees.items()}
    found = set().union(*names.values())
    bases: dict[str, set[str]] = {}
    for path, tree in trees.items():
        defined = [node for node in tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef))]
        package = path.with_name("__init__.py")
        if path == package or (not names[path] and (offers(tree) or path.stem in names.get(package, ()))):
            found |= {node.name for node in defined if not node.name.startswith("_")}
        for node in defined:
            said = [each for base in getattr(node, "bases", ()) for each in ast.walk(base)]
            more = {getattr(each, "id", None) or getattr(each, "attr", "") for each in said}
            bases.setdefault(node.name, set()).update(more)
    left = list(found)
    while left:
        more = bases.pop(left.pop(), set())
        found |= more
        left += more
    return found


def lean(source: str, names: set[str], module: str = "") -> str:
    """A module's source as it is installed; the names are those that are public.

    module: its own name, "" for a package; which, as a module with ``__all__``, keeps what it says of itself.
    """
    tree = ast.parse(source)
    kept = not module or module in names or bool(listed(tree, False)) or offers(tree)
    return indented(dense(without(source, [*comments(source), *texts(tree, names, kept), *types(tree)])))


def comments(source: str) -> Iterator[Span]:
    """Where comments are."""
    lines = source.split("\n")
    for token in tokens(source):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            yield row, len(lines[row - 1][:column].encode()), row, len(lines[row - 1].encode())


def texts(tree: ast.Module, names: set[str], kept: bool) -> Iterator[Span]:
    """Where docstrings are that nobody is shown; one that is all of a body stays."""
    stack: list[tuple[ast.AST, bool | None]] = [(tree, None)]
    while stack:
        node, shown = stack.pop()  # None: what is in no class and no function is shown if it is public
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            shown = node.name in names if shown is None else shown
            if isinstance(node, FUNCTIONS) and is_private(node.name):
                shown = False
        if isinstance(node, (ast.Module, *FUNCTIONS, ast.ClassDef)):
            said = kept if shown is None else shown
            if not said and len(node.body) > 1 and ast.get_docstring(node) is not None:
                yield place(node.body[0])
        stack += [(each, shown) for each in ast.iter_child_nodes(node)]


def types(tree: ast.Module) -> Iterator[Span]:
    """Where the types of private functions, and of what is inside functions, are, with the mark before each.

    A function that is told what it is, as ``function.__doc__ = "..."``, is handed to somebody, and from one that sets
    a public attribute its type is found. Where annotations are evaluated, they are there to be read, and stay.
    """
    if not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        return
    told = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "__doc__" and isinstance(node.value, ast.Name)
    }
    stack: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while stack:
        node, private, local = stack.pop()
        if isinstance(node, FUNCTIONS):
            private = not (node.name in told or sets(node)) and (private or local or is_private(node.name))
            local = True
            given = node.args
            for each in (*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg):
                if private and each is not None and each.annotation is not None:
                    yield each.lineno, each.col_offset + len(each.arg.encode()), *place(each.annotation)[2:]
            if private and node.returns is not None:
                row, column, last, end = place(node.returns)
                yield row, column - len(" -> "), last, end
        elif isinstance(node, ast.ClassDef):
            local = False  # its fields
        elif local and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield *place(node.target)[2:], *place(node.annotation)[2:]
        stack += [(each, private, local) for each in ast.iter_child_nodes(node)]


def sets(function: ast.AST) -> bool:
    """Whether a method sets an attribute without an underscore."""
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and not node.attr.startswith("_")
        for node in ast.walk(function)
    )


def is_private(name: str) -> bool:
    """Whether a function is not for those who use the package."""
    return name.startswith("_") and not name.endswith("__")


def place(node: ast.expr | ast.stmt) -> Span:
    """Where something is."""
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0


def without(source: str, spans: Iterable[Span]) -> str:
    """A source without some parts, in as many lines."""
    lines = [line.encode() for line in source.split("\n")]
    for row, column, last, end in sorted(spans, reverse=True):
        left = [lines[row - 1][:column], lines[last - 1][end:]]
        lines[row - 1 : last] = [b"".join(left)] if row == last else [left[0], *[b""] * (last - row - 1), left[1]]
    return b"\n".join(lines).decode()


def dense(source: str) -> str:
    """A source without the space between an operator and what is beside it; behind a comma only texts come close."""
    lines = source.split("\n")
    found: list[tuple[int, int]] = []
    texts = 0  # f-strings that are open: what is in their braces stays
    for before, behind in pairwise(tokens(source)):
        name = tokenize.tok_name[before.type]
        texts += name.endswith("STRING_START") - name.endswith("STRING_END")
        row, column = before.end
        if behind.start == (row, column + 1) and tokenize.OP in (before.type, behind.type) and not texts:
            found += [(row, column)] if before.string != "," or behind.string[0] in "\"'" else []
    for row, column in reversed(found):
        lines[row - 1] = lines[row - 1][:column] + lines[row - 1][column + 1 :]
    return "\n".join(lines)


def indented(source: str) -> str:
    """A source with one space for each level, and none after a line; what is inside a string stays, but a docstring."""
    lines = source.split("\n")
    depth, inside, begun = 0, set(), {}
    texts = []  # the rows at which f-strings that are not at their end begin
    for token in tokens(source):
        name = tokenize.tok_name[token.type]
        depth += (name == "INDENT") - (name == "DEDENT")
        if name.endswith("STRING_START"):
            texts.append(token.start[0])
        elif name == "STRING" or name.endswith("STRING_END"):
            first = token.start[0] if name == "STRING" else texts.pop()
            inside.update(range(first + 1, token.end[0] + 1))
        if name not in ("INDENT", "DEDENT", "NEWLINE", "NL", "ENDMARKER"):
            begun.setdefault(token.start[0], depth)
    for row, line in enumerate(lines, 1):
        if row not in inside:
            lines[row - 1] = " " * begun.get(row, 0) + line.lstrip(" ")
        if row + 1 not in inside:
            lines[row - 1] = lines[row - 1].rstrip(" ")
    for said in docstrings(ast.parse(source)):
        rows, margin = range(said.lineno, said.end_lineno or 0), " " * said.col_offset
        if all(lines[row].startswith(margin) or not lines[row] for row in rows):  # of that row and those behind it
            for row in rows:
                lines[row] = " " * begun[said.lineno] + lines[row][said.col_offset :] if lines[row] else ""
    return "\n".join(lines)


def docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    """What modules, classes and functions say of themselves."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *FUNCTIONS, ast.ClassDef)) and ast.get_docstring(node) is not None:
            yield node.body[0]


def tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    """The tokens of a source."""
    return tokenize.generate_tokens(io.StringIO(source).readline)

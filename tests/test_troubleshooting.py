"""docs/troubleshooting.md: each error that it quotes is raised by the lines above it, in those words."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fastnn
from support.database import connect

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEAD, *SECTIONS = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("\n## ")
((_, SETUP),) = BLOCK.findall(HEAD)


class Case(NamedTuple):
    """Lines, the error that they raise, and the lines before them in their section."""

    earlier: tuple[str, ...]
    code: str
    shown: str


def cases() -> tuple[list[Case], list[str]]:
    """All errors with lines; and those without, which are raised before there is a fastnn to run lines."""
    found, without = [], []
    for section in SECTIONS:
        codes: list[str] = []
        for kind, text in BLOCK.findall(section):
            if kind == "python":
                codes.append(text)
            elif codes:
                found.append(Case(tuple(codes[:-1]), codes[-1], text.strip()))
            else:
                without.append(text.strip())
    return found, without


CASES, WITHOUT = cases()


def pattern(shown: str) -> str:
    """What an error must be to be the one that is shown: "..." stands for anything."""
    return ".*".join(re.escape(part) for part in shown.split("..."))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.shown[:50])
def test_error(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sqlite3.connect", connect)
    names: dict[str, Any] = {}
    exec(SETUP, names)
    for earlier in case.earlier:
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            exec(earlier, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            exec(case.code, names)
        except Exception as error:
            # By the name that the user sees: a subclass of fastnn's own is what it is a kind of.
            kinds = [cls.__name__ for cls in type(error).__mro__]
            text = next((f"{kind}: {error}" for kind in kinds if case.shown.startswith(f"{kind}:")), repr(error))
    assert re.fullmatch(pattern(case.shown), text, re.DOTALL), text


@pytest.mark.parametrize(
    ("number", "file"), [(0, "fastnn/kernels/__init__.py"), (1, "setup.py"), (2, "fastnn/kernels/__init__.py")]
)
def test_errors_without_lines_are_those_of_the_code(number: int, file: str) -> None:
    assert len(WITHOUT) == 3
    path = ROOT / file
    if not path.exists():  # beside the tests of an installed fastnn
        path = Path(fastnn.__file__).parents[1] / file
    words = re.sub(r'"\s*f?"', "", path.read_text(encoding="utf-8"))  # texts that go on in the next line
    parts = [each.strip(" ;'") for each in re.split(r"\.\.\.", WITHOUT[number].removeprefix("ImportError: "))]
    for part in parts:
        assert part in words, f"{part!r} is not in {file}"

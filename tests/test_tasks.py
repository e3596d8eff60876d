"""Pages of worked examples and the index: each block runs after those before it, and prints what the page shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn

DOCS = Path(__file__).parent.parent / "docs"
HOME = str(Path(fastnn.__file__).parents[1])
PAGES = [*sorted((DOCS / "tasks").glob("*.md")), DOCS / "databases.md", DOCS / "registry.md"]
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.\d+|-?\d+")
# One block after the other; commands with the Python that runs them.
RUN = """
import io, json, subprocess, sys
from contextlib import redirect_stdout
outs, names = [], {"__name__": "page"}
for kind, code in json.load(sys.stdin):
    out = io.StringIO()
    if kind == "python":
        with redirect_stdout(out):
            exec(compile(code, "<block>", "exec"), names)
    else:
        command = code.replace("fastnn ", sys.executable + " -P -m fastnn ", 1)
        out.write(subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout)
    outs.append(out.getvalue())
print(json.dumps(outs))
"""


def run(blocks: list[tuple[str, str]], folder: Path) -> list[str]:
    """What each block prints."""
    path = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", RUN],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        input=json.dumps(blocks),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    outs: list[str] = json.loads(done.stdout)
    return outs


def compare(printed: str, shown: str) -> None:
    """The words are the same; the numbers are near: another processor's kernels round otherwise, and training tells."""
    assert re.sub(r"\s+", " ", NUMBER.sub("#", printed)) == re.sub(r"\s+", " ", NUMBER.sub("#", shown))
    numbers = [np.array(NUMBER.findall(text), float) for text in (printed, shown)]
    np.testing.assert_allclose(*numbers, rtol=0.1, atol=0.02)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    blocks = [(kind, code) for kind, code in found if kind != "text"]
    outs = run(blocks, tmp_path)
    place = -1
    shown = [""] * len(blocks)
    for kind, code in found:
        if kind == "text":
            shown[place] = code
        else:
            place += 1
    assert "".join(shown), "a page shows what comes out"
    for out, text in zip(outs, shown, strict=True):
        compare(out, text)


@pytest.mark.parametrize("page", sorted((DOCS / "tasks").glob("*.md")), ids=lambda path: path.stem)
def test_a_page_fits_and_says_what_is_next(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.splitlines()[-1].startswith("next: ")
    assert max(len(line) for kind, code in BLOCK.findall(text) if kind == "python" for line in code.splitlines()) <= 120


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^):\s]+)\)", index)}
    assert set(DOCS.glob("*.md")) | set(PAGES) - {DOCS / "README.md"} <= linked | {DOCS / "README.md"}

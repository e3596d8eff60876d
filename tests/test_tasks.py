"""Pages of worked examples and the index: each block runs after those before it, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.pages import BLOCK, check

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [*sorted((DOCS / "tasks").glob("*.md")), DOCS / "databases.md", DOCS / "registry.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    check(page.read_text(encoding="utf-8"), tmp_path)


@pytest.mark.parametrize("page", sorted((DOCS / "tasks").glob("*.md")), ids=lambda path: path.stem)
def test_a_page_fits_and_says_what_is_next(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.splitlines()[-1].startswith("next: ")
    assert max(len(line) for kind, code in BLOCK.findall(text) if kind == "python" for line in code.splitlines()) <= 120


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^):\s]+)\)", index)}
    assert set(DOCS.glob("*.md")) | set(PAGES) - {DOCS / "README.md"} <= linked | {DOCS / "README.md"}

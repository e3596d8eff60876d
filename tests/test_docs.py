"""The documents say what the code says: pages made from docstrings and tables, links, and docstrings for all names."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn._table import TABLES
from support.scripts import loaded

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "api_pages.py"
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if "build" not in path.parts and ".venv" not in path.parts)


@pytest.fixture(scope="module")
def pages() -> Any:
    """The script that writes the pages."""
    return loaded(SCRIPT)


def test_the_pages_are_what_the_script_writes(pages: Any) -> None:
    written = pages.pages()
    for path, text in written.items():
        file = ROOT / path
        assert file.exists(), f"{file} is missing; run python scripts/api_pages.py"
        assert file.read_text(encoding="utf-8") == text, f"{file} is old; run python scripts/api_pages.py"
    there = {f"docs/api/{path.name}" for path in (ROOT / "docs" / "api").glob("*.md")}
    assert there == {path for path in written if path.startswith("docs/api/")}


def test_every_entry_is_in_the_tables(pages: Any) -> None:
    text = pages.tables()
    for table in TABLES.values():
        for name, cls in table:
            assert f"| `{name}` | [{cls.__name__}](" in text


def test_every_public_name_says_what_it_is(pages: Any) -> None:
    silent = []
    for name in pages.MODULES:
        module = importlib.import_module(name)
        for each in pages.public_names(module):
            value = getattr(module, each)
            own = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
            if not own or (own.startswith(f"{each}(") and isinstance(value, type)):  # a dataclass writes its own
                silent.append(f"{name}.{each}")
    assert silent == []


def test_the_readme_counts_right(pages: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    counts = dict(re.findall(r"\(docs/tables\.md#([\w-]+)\) \| ([\d, ]*\d)", text))
    each = {family: len(table.units) for family, table in TABLES.items()}
    assert counts == {
        "layers": str(each["layer"]),
        "activations": str(each["activation"]),
        "losses": str(each["loss"]),
        "metrics": str(each["metric"]),
        "optimizers": str(each["optimizer"]),
        "learning-rate-schedules": str(each["schedule"]),
        "constraints": f"{each['initializer']}, {each['regularizer']}, {each['constraint']}",
        "callbacks": str(len(set(fastnn.callbacks.__all__) - {"Callback", "CallbackList"})),
    }
    wrong = re.sub(r"(\(docs/tables\.md#[\w-]+\) \| )\d+", r"\g<1>7", text)
    assert wrong != text
    assert pages.counted(wrong) == text


def test_every_table_has_a_heading(pages: Any) -> None:
    assert set(pages.FAMILIES) == set(TABLES)


def test_formulas_stay_formulas(pages: Any) -> None:
    assert pages.prose("a * b, |x| <b> and _c of ``d_*|`` and e_f") == r"a \* b, \|x\| \<b> and \_c of `d_*|` and e_f"


def test_layers_show_what_they_take() -> None:
    assert list(inspect.signature(fastnn.layers.Dense).parameters)[:2] == ["units", "activation"]
    assert list(inspect.signature(fastnn.layers.Dense(3)).parameters) == ["inputs", "training", "mask"]


def slugs(text: str) -> set[str]:
    """The places that a page's headings can be linked by."""
    found: list[str] = []
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.append(plain + (f"-{found.count(plain)}" if plain in found else ""))
    return set(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, place = target.partition("#")
        file = document if not path else (document.parent / path)
        assert file.exists(), target
        if place:
            assert place in slugs(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tables_have_as_many_cells_in_each_row(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(cells)) == 1, table.splitlines()[cells.index(max(cells))]
        assert re.fullmatch(r"[|: -]+", table.splitlines()[1])


def test_files_that_documents_name_are_there() -> None:
    """In the checkout or the sdist: a document names a file by the end of its path."""
    there = [f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*.*") if "build" not in path.parts]
    if not any(path.endswith(".pyx") for path in there):
        pytest.skip("the sources are not beside the tests")
    foreign = {"intrin.h", "fastnn/layers/scale.py"}  # the compiler's, and one that a recipe makes
    for document in DOCUMENTS:
        for name in re.findall(r"`([\w/]+\.(?:py|pyx|pxd|h|md))`", document.read_text(encoding="utf-8")):
            assert name in foreign or any(path.endswith(f"/{name}") for path in there), f"{document}: {name}"

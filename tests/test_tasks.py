"""Pages of worked examples and the index: each block runs after those before it, and prints what the page shows."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.pages import BLOCK, check

DOCS = Path(__file__).parent.parent / "docs"
TEXTS = Path(os.environ.get("FASTNN_TEST_TEXTS", ""), "vaderSentiment-3.3.2.tar.gz")
# What a page reads that does not come with fastnn, whether it is here, and how to get it.
NEEDS = {
    "clothes": (Path("/usr/share/datasets/fashion-mnist").exists, "apt-get install dataset-fashion-mnist"),
    "keras": (
        lambda: all(map(find_spec, ("keras", "jax", "h5py"))),
        "pip install 'fastnn[keras]' keras jax",
    ),
    "keras-applications": (
        lambda: all(map(find_spec, ("keras", "jax", "h5py"))),
        "pip install 'fastnn[keras]' keras jax",
    ),
    "compression": (lambda: find_spec("zstandard"), "pip install 'fastnn[compress]'"),
    "linear-models": (lambda: find_spec("scipy"), "pip install scipy"),
    "look-at-your-model": (lambda: find_spec("matplotlib"), "pip install 'fastnn[plot]'"),
    "mlflow-and-hub": (
        lambda: all(map(find_spec, ("mlflow", "pandas", "alembic", "huggingface_hub"))),
        "pip install 'fastnn[mlflow,hub]'",
    ),
    "onnx": (lambda: find_spec("onnx") and find_spec("onnxruntime"), "pip install 'fastnn[onnx]' onnxruntime"),
    "plain-code": (lambda: shutil.which("cc"), "apt-get install gcc"),
    "models-from-onnx": (lambda: find_spec("onnx") and find_spec("skl2onnx"), "pip install 'fastnn[onnx]' skl2onnx"),
    "other-libraries": (
        lambda: all(map(find_spec, ("torch", "jax", "sklearn", "thinc"))),
        "pip install 'fastnn[torch,jax,sklearn,thinc]'",
    ),
    "scikit-learn": (lambda: find_spec("sklearn"), "pip install 'fastnn[sklearn]'"),
    "serve": (
        lambda: all(map(find_spec, ("starlette", "uvicorn"))) and os.name == "posix",
        "pip install 'fastnn[serve]'",
    ),
    "many-models": (lambda: find_spec("fsspec"), "pip install 'fastnn[files]'"),
    "spark": (lambda: find_spec("pyspark") and shutil.which("java"), "pip install 'fastnn[spark]', and Java"),
    "speech": (lambda: shutil.which("espeak-ng"), "apt-get install espeak-ng"),
    "text": (TEXTS.exists, "pip download --no-deps --no-binary :all: vaderSentiment==3.3.2; FASTNN_TEST_TEXTS: where"),
    "why-did-it-say-that": (
        lambda: find_spec("matplotlib") and find_spec("sklearn"),
        "pip install 'fastnn[plot,sklearn]'",
    ),
    "weather": (lambda: find_spec("vega_datasets"), "pip install vega_datasets"),
}
LOUD = {"mlflow-and-hub", "spark"}  # they say on standard error what they do, and their packages warn of each other
PAGES = [
    *sorted((DOCS / "tasks").glob("*.md")),
    *(
        DOCS / f"{name}.md"
        for name in (
            "compression",
            "databases",
            "many-models",
            "mlflow-and-hub",
            "pipelines",
            "registry",
            "scikit-learn",
            "serve",
            "spark",
        )
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    there, how = NEEDS.get(page.stem, (bool, ""))
    if how and not there():
        pytest.skip(f"what the page reads is not here: {how}")
    if page.stem == "text":
        shutil.copy(TEXTS, tmp_path)
    check(page.read_text(encoding="utf-8"), tmp_path, quiet=page.stem not in LOUD)


@pytest.mark.parametrize("page", sorted((DOCS / "tasks").glob("*.md")), ids=lambda path: path.stem)
def test_a_page_fits_and_says_what_is_next(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.splitlines()[-1].startswith("next: ")
    assert max(len(line) for kind, code in BLOCK.findall(text) if kind == "python" for line in code.splitlines()) <= 120


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^):\s]+)\)", index)}
    assert set(DOCS.glob("*.md")) | set(PAGES) - {DOCS / "README.md"} <= linked | {DOCS / "README.md"}

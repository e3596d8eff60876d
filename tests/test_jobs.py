"""benchmarks/jobs: eight jobs in fastnn and in Keras: no more lines, and as good."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "coming-from-keras-and-pytorch.md").read_text(encoding="utf-8")
# (the least, the most) that a job may print.
GOOD = {
    "diamonds": (0.07, 0.11),
    "flights": (0.73, 1),
    "penguins": (0.95, 1),
    "movies": (0.47, 0.55),  # 0.48 is what the noise leaves
    "seattle": (1.9, 2.5),
    "autoencoder": (0.01, 0.02),
    "embeddings": (0.24, 0.6),
    "quantiles": (0.72, 0.86),
}


@pytest.fixture(scope="module")
def jobs() -> Any:
    """The package of the jobs, which stands beside the tests."""
    spec = importlib.util.spec_from_file_location("jobs", ROOT / "benchmarks" / "jobs" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_of_them_are_here(jobs: Any) -> None:
    assert list(jobs.JOBS) == list(GOOD)
    scripts = {path.name for path in jobs.FOLDER.glob("*_*.py")} - {"__init__.py", "__main__.py"}
    assert scripts == {jobs.script(job, library).name for job in GOOD for library in ("fastnn", "keras")}


@pytest.mark.parametrize("job", GOOD)
def test_no_more_lines_than_keras_needs(job: str, jobs: Any) -> None:
    counts = [jobs.lines(job, library) for library in ("fastnn", "keras")]
    assert 8 <= counts[0] <= counts[1]
    (row,) = re.findall(rf"^\| {job}: (.*?) \| (\d+) \| (\d+) \|", GUIDE, re.MULTILINE)
    assert row == (jobs.JOBS[job], *map(str, counts)), "python -m benchmarks.jobs prints the table"


@pytest.mark.parametrize("library", ["fastnn", "keras"])
@pytest.mark.parametrize("job", GOOD)
def test_job(job: str, library: str, jobs: Any) -> None:
    if library == "keras":
        for package in ("keras", "jax"):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed")
    _, figure = jobs.result(job, library)
    least, most = GOOD[job]
    assert least <= figure <= most

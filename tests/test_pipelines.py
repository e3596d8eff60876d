"""The pipeline of the examples, as a script, as a DAG of Airflow, and predictions in a pipeline of Apache Beam."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from support.database import connect
from support.pages import HOME
from support.registries import file_of, model
from support.scripts import loaded

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT, BEAM = (str(EXAMPLES / f"{name}.py") for name in ("pipeline", "beam_inference"))


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": HOME, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_for_a_scheduler(tmp_path: Path) -> None:
    def piped(code: int, *arguments: str) -> dict[str, Any]:
        done = run(SCRIPT, *arguments, cwd=tmp_path, PYTHONWARNINGS="error")
        assert (done.returncode, done.stderr) == (code, "")
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
        return said

    first = piped(0)
    assert first["candidate"]["accuracy"] > 0.9
    assert (first["version"], first["production"]) == (1, None)
    registry = fastnn.registry.open(tmp_path / "pipeline.db")
    before = registry.list()
    assert piped(10)["version"] is None  # the same rows
    assert registry.list() == before
    # Other rows: the old model is judged on those that neither was trained on.
    con = connect(tmp_path / "pipeline.db")
    con.execute("DELETE FROM penguins WHERE id % 7 = 0")
    con.commit()
    assert piped(10, "--margin", "1")["version"] is None
    found = piped(0, "--margin", "-1")
    assert (found["version"], set(found["production"])) == (2, {"accuracy", "loss"})
    assert [each.aliases for each in registry.list()] == [("previous",), ("production",)]
    assert registry.list()[1].metrics == found["candidate"]
    assert registry.list()[1].query == "SELECT * FROM penguins"
    assert piped(10, "--margin", "-1")["version"] is None
    assert file_of(registry.load("penguins", "production")) == (tmp_path / "penguins.fastnn").read_bytes()


def test_runs_that_fail(tmp_path: Path) -> None:
    for arguments, words in (
        (["--query", "SELECT nope"], "no such column: nope"),
        (["--registry", "sqlite:////nowhere/m.db"], "create its folder first"),
        (["--target", "specie"], "'specie'"),
        (["--classes", "2"], "renumber the classes or give the last layer more units"),
        (["--work", "nowhere"], "nowhere"),
    ):
        done = run(SCRIPT, *arguments, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert words in done.stderr
        assert done.stderr.startswith("error: ")
    assert run(SCRIPT, "--epochs", "many", cwd=tmp_path).returncode == 2
    assert fastnn.registry.open(tmp_path / "pipeline.db").list() == []
    assert run(SCRIPT, "--least", "1.01", "--epochs", "1", cwd=tmp_path).returncode == 10
    assert fastnn.registry.open(tmp_path / "pipeline.db").list() == []


def test_a_run_that_was_killed_after_it_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one finds the version, and only points to it."""
    monkeypatch.chdir(tmp_path)
    pipeline = loaded(EXAMPLES / "pipeline.py")
    settings = pipeline.options(["--epochs", "1", "--registry", "models/"])
    pipeline.demo("pipeline.db")
    pipeline.train(settings, "a.fastnn")
    registry = fastnn.registry.open("models/")
    registry.save(fastnn.models.load_model("a.fastnn"), "penguins")
    assert pipeline.register(settings, "a.fastnn", {}) == 1
    assert [(each.version, each.aliases) for each in registry.list()] == [(1, ("production",))]
    assert pipeline.register(settings, "a.fastnn", {}) == 1
    assert [(each.version, each.aliases) for each in registry.list()] == [(1, ("production",))]


@pytest.mark.skipif(find_spec("airflow") is None, reason="Airflow is not here: pip install apache-airflow")
def test_the_dag(tmp_path: Path) -> None:
    """Parsed and run by Airflow's own command, twice: the second run registers nothing."""
    settings = f"--data sqlite:///{tmp_path}/pipeline.db --registry {tmp_path}/models/ --work {tmp_path} --epochs 2"
    (tmp_path / "dags").mkdir()
    for name in ("airflow_dag.py", "pipeline.py"):
        shutil.copy(EXAMPLES / name, tmp_path / "dags")
    environment = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "FASTNN_PIPELINE": settings,
    }
    loaded(EXAMPLES / "pipeline.py").demo(tmp_path / "pipeline.db")
    done = run("-m", "airflow", "db", "migrate", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    for registered in (True, False):
        done = run("-m", "airflow", "dags", "test", "fastnn_pipeline", cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        ended = re.findall(r"DagRun Finished: .*?state=(\w+)", done.stdout + done.stderr)
        assert ended == ["success"]
        assert ("Condition result is True" in done.stdout + done.stderr) is registered
        entries = fastnn.registry.open(f"{tmp_path}/models/").list()
        assert [(each.version, each.aliases) for each in entries] == [(1, ("production",))]


@pytest.mark.skipif(find_spec("apache_beam") is None, reason="Apache Beam is not here: pip install apache-beam")
@pytest.mark.parametrize("place", ["file", "registry"])
def test_predictions_in_beam(place: str, tmp_path: Path) -> None:
    made = model(1)
    made.save(tmp_path / "m.fastnn")
    registry = fastnn.registry.open(tmp_path / "m.db")
    registry.save(made, "m", aliases="production")
    registry.save(model(2), "m")
    rows = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    lines = [f"k{number},{','.join(map(repr, row.tolist()))}\n" for number, row in enumerate(rows)]
    (tmp_path / "rows-1.csv").write_text("".join(lines[:100]))
    (tmp_path / "rows-2.csv").write_text("".join(lines[100:]))
    chosen = ["--model", "m.fastnn"] if place == "file" else ["--registry", "m.db", "--model", "m@production"]
    done = run(BEAM, *chosen, "--input", "rows-*.csv", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {}
    for path in tmp_path.glob("out-*.csv"):
        found.update(line.split(",") for line in path.read_text().splitlines())
    assert set(found) == {f"k{number}" for number in range(300)}
    got = np.array([float(found[f"k{number}"]) for number in range(300)])
    np.testing.assert_allclose(got, made.predict(rows)[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(find_spec("apache_beam") is None, reason="Apache Beam is not here: pip install apache-beam")
def test_a_model_that_is_missing_ends_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,1,2,3,4\n")
    arguments = ("--model", "no.fastnn", "--input", "rows.csv", "--output", "out")
    done = run(BEAM, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "no.fastnn" in done.stderr
    assert not list(tmp_path.glob("out-0*"))

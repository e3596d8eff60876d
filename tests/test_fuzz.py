"""The fuzzer itself: it tells clear errors from raw ones, and finds faults that are planted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, models
from fastnn.data import SQLDataset
from fastnn.store import document

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
if not hasattr(os, "fork"):
    pytest.skip("inputs run in forked processes", allow_module_level=True)
sys.path.insert(0, str(SCRIPTS))

from fuzzing.judge import CLEAR, MEMORY, OK, RAW, VAGUE, OwnError, judge  # noqa: E402
from fuzzing.kinds import KINDS  # noqa: E402
from fuzzing.run import CRASH, HANG, Limits, campaign  # noqa: E402
from fuzzing.trial import Trial  # noqa: E402
from fuzzing.values import own_mean  # noqa: E402


class Planted:
    """Inputs of which the number says what becomes of them."""

    name = "planted"

    def prepare(self, folder: str) -> None:
        self.ways: list[Callable[[], Any]] = [
            lambda: None,
            lambda: layers.Dense(-1),
            lambda: [][0],
            lambda: os.kill(os.getpid(), signal.SIGSEGV),
            lambda: time.sleep(60),
            lambda: np.ones(2**32),
            lambda: sys.exit(3),
            lambda: os.close(0),
        ]

    def play(self, trial: Trial) -> None:
        trial.attempt("a call", self.ways[trial.number % len(self.ways)])


def test_all_that_may_become_of_an_input_is_told(tmp_path: Path) -> None:
    outcome = campaign(Planted(), 0, 16, 7, jobs=1, limits=Limits(2**30, 1.5), keep=tmp_path)
    assert outcome.counts == {OK: 2, CLEAR: 2, RAW: 6, CRASH: 2, HANG: 2, MEMORY: 2}
    found = {result: sorted(numbers) for (result, _), numbers in outcome.causes.items() if result != RAW}
    assert found == {CRASH: [3, 11], HANG: [4, 12], MEMORY: [5, 13]}
    raw = {cause.split()[0]: sorted(numbers) for (result, cause), numbers in outcome.causes.items() if result == RAW}
    assert raw == {"IndexError": [2, 10], "SystemExit": [6, 14], "a": [7, 15]}
    assert outcome.wrong == 10
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {f"planted-7-{number}.txt" for number in (2, 3, 4, 5, 6, 7)}
    assert "a call" in (tmp_path / "planted-7-2.txt").read_text()
    assert "SIGSEGV" in (tmp_path / "planted-7-3.txt").read_text()


def test_no_input_begins_after_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = campaign(Planted(), 0, 5000, 0, jobs=1, minutes=0.02, limits=Limits(seconds=0.2))
    assert 0 < sum(outcome.counts.values()) < 5000


def own_raises(*_: Any) -> None:
    raise OwnError("of the caller's own")


class Unshown:
    def __index__(self) -> int:
        raise IndexError("of the caller's own")


@pytest.mark.parametrize(
    ("result", "function", "arguments"),
    [
        (CLEAR, layers.Dense, ("a",)),  # raised on purpose
        (CLEAR, models.load_model, ("/nonexistent/x",)),  # the system's, with the file's name
        (CLEAR, layers.Dense, ()),  # the call itself
        (CLEAR, getattr, (layers.Dense(1), "nothing")),
        (CLEAR, fastnn.kernels.matmul, ()),
        pytest.param(
            CLEAR,
            fastnn.kernels.relu,
            (np.zeros((1, 2)), (), np.zeros(3)),
            marks=pytest.mark.skipif(
                not fastnn.kernels.relu.addresses(True)[1], reason="compiled modules have no tracebacks in a wheel"
            ),
        ),  # raised in compiled code
        (CLEAR, own_raises, ()),
        (CLEAR, layers.Activation(own_mean), (np.zeros((2, 3)),)),  # NumPy, within a function of the caller's own
        (CLEAR, fastnn.activations.softmax, (0.5,)),  # an AxisError that is said on purpose
        (CLEAR, layers.Dense(1), (own_raises,)),
        (RAW, layers.Dense, (Unshown(),)),  # it comes up through fastnn
        (RAW, np.zeros(2).reshape, (3,)),
        (RAW, np.broadcast_to, (np.zeros(2), 3)),
        (RAW, [].pop, ()),
        (MEMORY, np.ones, (2**58,)),
    ],
)
def test_an_error_is_judged_by_where_it_was_raised(
    result: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    trial = Trial("test", 0, 0, "")
    trial.attempt("the call", function, *arguments)
    assert trial.result == result, trial.notes


def test_an_error_in_pythons_words_is_vague(monkeypatch: pytest.MonkeyPatch) -> None:
    # Raised by fastnn with a text that says only what Python says.
    monkeypatch.setattr(fastnn.layers.LAYERS, "family", "'int' object is not iterable")
    with pytest.raises(ValueError, match="not iterable") as caught:
        fastnn.layers.LAYERS.get("nothing")
    assert judge(caught.value).result == VAGUE


def _raises(*_: Any, **__: Any) -> Any:
    return {}["planted"]


@pytest.mark.parametrize(
    ("kind", "owner", "name"),
    [
        ("files", document, "reading"),
        ("api", layers.Dense, "__init__"),
        ("backup", callbacks.BackupAndRestore, "fit_begins"),
        ("sql", SQLDataset, "__init__"),
    ],
)
def test_a_planted_fault_is_found(kind: str, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = KINDS[kind]()
    prepare = made.prepare

    def planted(folder: str) -> None:
        prepare(folder)
        monkeypatch.setattr(owner, name, _raises)

    monkeypatch.setattr(made, "prepare", planted)
    outcome = campaign(made, 0, 200, 3)
    found = {cause.split(" ")[0] for result, cause in outcome.causes if result == RAW}
    assert "KeyError" in found
    assert sum(outcome.counts.values()) == 200


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_is_the_same_each_time(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, threads = KINDS[kind](), fastnn.get_num_threads()
    (tmp_path / "work").mkdir()
    made.prepare(str(tmp_path / "prepared"))
    monkeypatch.chdir(tmp_path / "work")

    def notes(seed: int, number: int) -> list[str]:
        trial = Trial(kind, seed, number, str(tmp_path / "work"))
        made.play(trial)
        return trial.notes

    first = [notes(5, number) for number in range(12)]
    assert [notes(5, number) for number in range(12)] == first
    assert [notes(6, number) for number in range(12)] != first
    assert len(set(map(str, first))) > 6
    fastnn.set_num_threads(threads)


def test_one_input_is_played_again(tmp_path: Path) -> None:
    command = [sys.executable, "-P", str(SCRIPTS / "fuzz.py"), "sql", "1", "--seed", "3", "--only", "11"]
    place = {**os.environ, "PYTHONPATH": str(Path(fastnn.__file__).parents[1])}
    runs = [
        subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False) for _ in range(2)
    ]
    assert runs[0].stderr == ""
    assert "table t of" in runs[0].stdout
    assert "sql, seed 3: 1 inputs" in runs[0].stdout
    assert runs[0].stdout.splitlines()[:2] == runs[1].stdout.splitlines()[:2]

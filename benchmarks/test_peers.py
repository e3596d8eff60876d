"""The race reports what happened: right figures, and failures as failures. Peers that are not installed are skipped."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import chart, floor, peers
from benchmarks.cases import CASES
from benchmarks.floor import Speeds
from benchmarks.numpy_net import NumpyNet
from benchmarks.report import write_readme
from benchmarks.rivals import RIVALS

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the race pins its processes, as on Linux")

CASE = {case.name: case for case in CASES}
SPEEDS = Speeds(1, 1e9, ((1000, 8e9), (10_000, 4e9), (100_000, 2e9)))


@pytest.fixture
def contender():
    """The process of the careful NumPy."""
    with peers.contenders(["numpy"], 1) as started:
        yield started["numpy"]


class Scripted:
    """Answers like a worker whose loss and seconds are given."""

    def __init__(self, check, loss, seconds):
        self.check, self.loss, self.seconds = check, loss, iter(seconds)

    def ask(self, **request):
        if "load" in request:
            return {"check": self.check, "warm_up": 1.0, "libraries": {}}
        return {"seconds": next(self.seconds), "loss": self.loss}

    def processor_time(self):
        return 0


def raced(**others):
    """Two turns of tiny."""
    racing = {"fastnn": Scripted(0.5, 0.5, [1.0, 4.0]), **others}
    return peers.race(CASE["tiny"], racing, 2)


def test_fit_over_the_pipe(contender):
    case = CASE["tiny"]
    x, y = case.data(case.rows)
    answer = contender.ask(load="tiny")
    assert answer["check"] == pytest.approx(case.opponent(NumpyNet).fit(x, y, case.batch_size, case.epochs)[-1])
    assert answer["libraries"] == {"numpy": np.__version__}
    first, second = contender.ask(run=True), contender.ask(run=True)
    assert first["seconds"] > 0
    trained = case.opponent(NumpyNet).fit(x, y, case.batch_size, case.epochs, seed=0)
    assert first["loss"] == second["loss"] == pytest.approx(trained[-1])


def test_prediction_over_the_pipe(contender):
    assert contender.ask(load="tiny-32")["check"] == 0
    answer = contender.ask(run=True)
    assert answer["loss"] is None
    assert 0 < answer["seconds"] < 0.1  # of one call, not of all in a run


def test_workers_keep_the_processors_and_threads(contender):
    contender.ask(load="tiny")  # a process that has only just begun may have no environment to be read yet
    pid = contender.process.pid
    assert len(os.sched_getaffinity(pid)) == 1
    with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
        environment = dict(line.split("=", 1) for line in file.read().split("\0") if line)
    assert environment["OMP_NUM_THREADS"] == environment["FASTNN_NUM_THREADS"] == "1"
    assert "OPENBLAS_CORETYPE" not in environment


def test_what_a_library_cannot_do():
    with peers.contenders(["fastnn", "tape"], 1) as racing:
        results = peers.race(CASE["tiny-32"], racing, 1)
    assert results["tape"] == {"status": "unable", "why": "the tape predicts one row that ends in softmax"}
    assert results["fastnn"]["ratios"] == [1, 1, 1]


def test_a_process_that_ends_is_a_failure(contender):
    contender.process.kill()
    contender.process.wait()
    answer = peers.attempt(contender, load="tiny")
    assert answer["status"] == "failed"
    assert "ended with code -9" in answer["why"]


def test_ratios_are_taken_within_each_turn():
    result = raced(numpy=Scripted(0.5, 0.5, [3.0, 8.0]))["numpy"]
    assert result["ratios"] == [2.25, 2.5, 2.75]
    assert result["quartiles"] == [4.25, 5.5, 6.75]


@pytest.mark.parametrize(("check", "loss"), [(0.51, 0.5), (0.5, 0.6), (float("nan"), 0.5), (0.5, float("nan"))])
def test_another_loss_is_a_failure(check, loss):
    results = raced(numpy=Scripted(check, loss, [1.0, 1.0]))
    assert results["numpy"]["status"] == "failed"
    assert "ratios" not in results["numpy"]
    row = peers.summary(CASE["tiny"], results, None)
    assert row["best"] is None
    assert "failed" in peers.table_of_peers([row], ["fastnn", "numpy"])[-1]


def test_without_fastnn_there_is_no_figure():
    racing = {"fastnn": Scripted(float("nan"), 0.5, []), "numpy": Scripted(0.5, 0.5, [])}
    results = peers.race(CASE["tiny"], racing, 2)
    assert {result["status"] for result in results.values()} == {"failed"}


def test_tables_and_json(tmp_path):
    file = tmp_path / "times.json"
    options = ["--only", "numpy", "--cases", "tiny,tiny-1", "--repeats", "2", "--json", str(file)]
    command = [sys.executable, "-m", "benchmarks.peers", *options]
    text = subprocess.run(command, cwd=peers.ROOT, check=True, capture_output=True, text=True).stdout
    content = json.loads(file.read_text())
    assert [case["name"] for case in content["cases"]] == ["tiny", "tiny-1"]
    for case in content["cases"]:
        assert list(case["results"]) == ["fastnn", "numpy"]
        assert all(len(result["seconds"]) == 2 for result in case["results"].values())
        assert case["best"] == "numpy"
        assert ("floor" in case) == (shutil.which(os.environ.get("CC", "cc")) is not None)
    assert peers.report(content) == text.rstrip("\n") + "\n"
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines if "NumPy, careful" in line.split("|")[1]] != []
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_unknown_names():
    with pytest.raises(SystemExit, match=r"--only: unknown nump; known are .*numpy"):
        peers.chosen_of("nump", list(RIVALS), "--only")


def test_readme_between_marks(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("a\n<!-- peers on 2 -->\nold\n<!-- end of peers on 2 -->\nz\n")
    write_readme("new", "peers on 2", file)
    assert file.read_text() == "a\n<!-- peers on 2 -->\n\nnew\n<!-- end of peers on 2 -->\nz\n"
    with pytest.raises(SystemExit, match="no place for peers on 1"):
        write_readme("new", "peers on 1", file)


def test_operations_by_hand():
    """10-10-1: 110 weights are met on the way forward and in the gradient, the 10 of the last layer once more."""
    assert CASE["tiny"].flops() == 2 * (110 + 110 + 10) * 100 * 100
    assert CASE["mnist-32"].flops() == 2 * (784 * 32 + 32 * 10) * 32


def test_bytes_by_hand():
    """784-32-10 has 25,450 parameters; 1,875 steps read and write them, gradients, two slots; labels are a column."""
    steps, data = CASE["mnist"].traffic()
    assert (steps.moved, steps.held) == (1875 * 2 * 4 * 25_450 * 4, 4 * 25_450 * 4)
    assert (data.moved, data.held) == (60_000 * 785 * 4,) * 2
    (call,) = CASE["mnist-1"].traffic()
    assert call.moved == 4 * (25_450 + 784 + 10)


def test_the_floor_is_the_larger_time():
    case = CASE["tiny-1"]  # 220 operations; 121 parameters, 10 inputs and 1 output are 528 bytes
    assert SPEEDS.arithmetic(case) == pytest.approx(220e-9)
    assert SPEEDS.memory(case) == pytest.approx(528 / 8e9)
    assert SPEEDS.of(case) == pytest.approx(220e-9)


@pytest.mark.parametrize(("size", "speed"), [(1, 8e9), (1000, 8e9), (1001, 4e9), (100_001, 2e9)])
def test_memory_large_enough(size, speed):
    assert SPEEDS.read_speed(size) == speed


@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="needs a C compiler")
def test_floor_measures(monkeypatch):
    monkeypatch.setattr(floor, "SIZES", (2**14, 2**20))
    speeds = floor.measure(1)
    assert speeds.flops > 1e9
    assert [size for size, _ in speeds.bandwidth] == [2**14, 2**20]
    assert all(speed > 1e8 for _, speed in speeds.bandwidth)


def test_tables_by_group():
    """A race of both kinds has a table for each, and JSON of a name says which."""
    rows = [peers.summary(CASE[name], raced(), SPEEDS) for name in ("tiny", "lstm", "lstm-1")]
    parts = peers.by_group({"cases": rows, "names": ["fastnn"]})
    assert {group: [case["name"] for case in part["cases"]] for group, part in parts.items()} == {
        "dense": ["tiny"],
        "layers": ["lstm", "lstm-1"],
    }
    assert all(part["names"] == ["fastnn"] for part in parts.values())
    assert set(parts) == set(peers.MARKS)


def test_a_chart_has_rows_of_panels(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [peers.summary(case, raced(), SPEEDS) for case in CASES if case.group == "layers"]
    path = tmp_path / "chart.svg"
    chart.draw({"cases": rows, "names": ["fastnn"], "threads": 1}, path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_chart(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    results = raced(numpy=Scripted(0.5, 0.5, [3.0, 8.0]), tape=Scripted(0.9, 0.5, []))
    row = peers.summary(CASE["tiny"], results, SPEEDS)
    path = tmp_path / f"chart.{suffix}"
    chart.draw({"cases": [row], "names": ["fastnn", "numpy", "tape"], "threads": 1}, path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("name", RIVALS)
def test_peers_compute_the_same(name):
    if missing := RIVALS[name].missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with peers.contenders(["fastnn", name], 1) as racing:
        for case in (CASE["tiny"], CASE["tabular-32"]):
            result = peers.race(case, racing, 1)[name]
            assert result["status"] == "ok" or result["status"] == "unable", result


@pytest.mark.parametrize("name", RIVALS)
def test_the_order_of_rows_hangs_on_no_luck(name):
    if missing := RIVALS[name].missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    losses = []
    for _ in range(2):
        with peers.contenders([name], 1) as racing:
            answer = racing[name].ask(load="tiny")
            if "unable" in answer:
                pytest.skip(answer["unable"])
            losses.append(racing[name].ask(run=True)["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "name",  # torch-compile takes minutes
    [name for name in RIVALS if name not in ("fastnn", "tape", "torch-compile", "sklearn", "thinc")],
)
def test_peers_compute_the_same_of_pictures_and_sequences(name):
    if missing := RIVALS[name].missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with peers.contenders(["fastnn", name], 1) as racing:
        for case in CASES:
            if case.group == "layers" and not case.name.endswith("-32"):
                result = peers.race(case, racing, 1)[name]
                assert result["status"] == "ok" or result["status"] == "unable", result

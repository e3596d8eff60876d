"""`fastnn demo`: it is right, it repeats itself, and it leaves other people's files alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.data.digits import load_digits
from fastnn.demo import PIXELS, SCALED, UNSEEN
from fastnn.models import load_model
from support.database import connect

HOME = str(Path(fastnn.__file__).parents[1])


class Demo(NamedTuple):
    """The folder that two runs made, and what each of them printed."""

    folder: Path
    outputs: tuple[str, str]


def run(cwd: Path, *arguments: str, **environment: str) -> str:
    """Run the command as a process; give what it printed, provided that all went well."""
    path = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-m", "fastnn", "demo", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(connect(database)) as connection, connection:
        return connection.execute(sql).fetchall()


def pair(output: str, name: str) -> tuple[float, float]:
    """The figures of fastnn and of NumPy in a line of the table."""
    found = re.search(rf"^{name} +([\d.,]+) +([\d.,]+)$", output, re.MULTILINE)
    assert found is not None, output
    return float(found[1].replace(",", "")), float(found[2].replace(",", ""))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    cwd = tmp_path_factory.mktemp("demo")
    first = run(cwd)
    query(cwd / "fastnn-demo" / "digits.db", "CREATE TABLE mine AS SELECT 42 AS answer")
    return Demo(cwd / "fastnn-demo", (first, run(cwd)))


# What it prints.


def test_accuracy_is_high_and_the_same_in_each_run(demo: Demo) -> None:
    first, second = (pair(output, "test accuracy") for output in demo.outputs)
    assert first[0] >= 0.97
    assert first == second
    assert pair(demo.outputs[0], "train accuracy") == pair(demo.outputs[1], "train accuracy")


def test_numpy_did_the_same_work(demo: Demo) -> None:
    ours, theirs = map(float, re.findall(r"(?:fastnn|NumPy) (\d\.\d{6})", demo.outputs[0]))
    assert ours == pytest.approx(theirs, rel=0.01)
    assert f"loss: {ours:.4f}" in demo.outputs[0]  # of the training that was shown
    accuracies = pair(demo.outputs[0], "test accuracy")
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.02)


def test_speeds_and_their_ratio(demo: Demo) -> None:
    fast, plain = pair(demo.outputs[0], "rows per second")
    ratio, one = pair(demo.outputs[0], "ratio")
    assert fast > 0
    assert one == 1
    assert ratio == pytest.approx(fast / plain, abs=0.06)


def test_layout(demo: Demo) -> None:
    output = demo.outputs[0]
    assert "Alpaydin & Kaynak 1998" in output
    assert "10.24432/C50P49" in output
    assert "CC BY 4.0" in output
    assert str(demo.folder) in output
    assert output.isascii()
    assert max(map(len, output.replace(str(demo.folder), "").splitlines())) <= 79
    assert [line[:6] for line in output.splitlines()[-3:]] == ["next: "] * 3
    assert re.findall(r"^(\d)\. .*\n-+$", output, re.MULTILINE) == list("123456")


# What it makes.


def test_the_table_holds_the_data_set(demo: Demo) -> None:
    x, y = load_digits()
    rows = np.array(query(demo.folder / "digits.db", "SELECT * FROM digits ORDER BY id"))
    assert (rows[:, 0] == np.arange(1, 1798)).all()
    assert (rows[:, 1:-1] == x).all()
    assert (rows[:, -1] == y).all()
    columns = query(demo.folder / "digits.db", "SELECT name FROM pragma_table_info('digits')")
    assert [name for (name,) in columns] == ["id", *PIXELS, "digit"]


def test_the_predictions_are_the_models(demo: Demo) -> None:
    database = demo.folder / "digits.db"
    model = load_model(demo.folder / "digits.fastnn")
    x = np.array(query(database, f"SELECT {', '.join(SCALED)} FROM digits ORDER BY id"))
    expected = model.predict(x)
    sql = "SELECT id, prediction, probability FROM predictions ORDER BY id"
    ids, predictions, probabilities = np.array(query(database, sql)).T
    assert (ids == np.arange(1, 1798)).all()
    assert (predictions == expected.argmax(1)).all()
    assert (probabilities == expected.max(1)).all()
    assert probabilities.min() > 0
    assert probabilities.max() <= 1


def test_the_accuracy_by_sql_is_the_accuracy(demo: Demo) -> None:
    joined = "FROM digits JOIN predictions USING (id)"
    sql = f"SELECT avg(prediction = digit) {joined} WHERE {UNSEEN}"
    ((accuracy,),) = query(demo.folder / "digits.db", sql)
    shown = f"{accuracy:.4f}"
    assert pair(demo.outputs[1], "test accuracy")[0] == float(shown)
    assert f"gives {shown}" in demo.outputs[1]


def test_the_second_run_kept_a_table_of_the_user(demo: Demo) -> None:
    assert query(demo.folder / "digits.db", "SELECT answer FROM mine") == [(42,)]
    assert sorted(path.name for path in demo.folder.iterdir()) == ["digits.db", "digits.fastnn"]


def test_the_printed_lines_work(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 2))
    labels = (points[:, 0] > 0) + 2 * (points[:, 1] > 0)
    with closing(connect("my.db")) as connection, connection:
        connection.execute("CREATE TABLE my_table (id INTEGER PRIMARY KEY, a, b, label)")
        rows = zip(range(300), *points.T.tolist(), labels.tolist(), strict=True)
        connection.executemany("INSERT INTO my_table VALUES (?, ?, ?, ?)", rows)
    blocks = demo.outputs[0].split("6. With a table of your own")[1].split("\n\n")
    train = "\n\n".join(blocks[1:3])
    exec(f"{train}\n{blocks[4]}", {})
    joined = "my_table JOIN predictions USING (id)"
    assert query(Path("my.db"), f"SELECT avg(prediction = label), count(*) FROM {joined}") == [
        (pytest.approx(1, abs=0.1), 300)
    ]


# Other circumstances.


def test_on_the_oldest_processors_and_beside_files_named_like_modules(tmp_path: Path) -> None:
    for name in ("numpy", "json", "fastnn"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    output = run(tmp_path, "--folder", "a/b", FASTNN_ISA="baseline")
    assert "(baseline)" in output
    assert pair(output, "test accuracy")[0] >= 0.97
    assert (tmp_path / "a" / "b" / "digits.fastnn").exists()


@pytest.mark.parametrize("kind", ["database", "text", "model", "not a model"])
def test_a_file_of_the_user_is_never_touched(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ("digits.fastnn" if "model" in kind else "digits.db")
    if kind == "database":
        query(path, "CREATE TABLE digits AS SELECT 1 AS one")
    elif kind == "model":
        model = fastnn.Sequential([fastnn.layers.Dense(1, input_dim=1)])
        model.build()
        model.save(path)
    else:
        path.write_text("my notes" * 1000)
    before = path.read_bytes()
    assert main(["demo", "--folder", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert path.name in err
    assert "--folder" in err
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        assert main(["demo", "--folder", str(folder)]) == 1
        out, err = capsys.readouterr()
        assert not out
        assert err.count("\n") == 1
        assert str(folder) in err
        assert "--folder" in err


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a folder that refuses")
def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    try:
        for folder in (tmp_path, tmp_path / "new"):
            assert main(["demo", "--folder", str(folder)]) == 1
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert "--folder" in err
    finally:
        tmp_path.chmod(0o700)

"""The command `fastnn`: its arguments, its one-line errors, its exit status, and `predict`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.layers import Dense
from support.database import connect

COMMAND = [sys.executable, "-P", "-W", "error", "-m", "fastnn"]
HOME = str(Path(fastnn.__file__).parents[1])
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))}
ROWS = 50


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text[:-1]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "rows.db"
    with closing(connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL)")
        rows = [(i, i / ROWS, (-1) ** i) for i in range(1, ROWS + 1)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    return path


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    fastnn.set_random_seed(0)
    model = fastnn.Sequential([Dense(4, "relu", input_dim=2), Dense(3, "softmax")])
    model.build()
    model.save(tmp_path / "model.fastnn")
    return tmp_path / "model.fastnn"


# Help and arguments.


def test_no_command_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert not out
    for word in ("usage: fastnn", "fastnn demo", "fastnn predict", "--version"):
        assert word in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("demo", ["--folder", "--epochs", "--seed", "second run", "NumPy", "never touched"]),
        ("predict", ["MODEL", "DATABASE", "SQL", "--into", "--key", "probability", "example:"]),
    ],
)
def test_help_of_a_command(command: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert not err
    assert not [word for word in words if word not in out]
    assert max(map(len, out.splitlines())) <= 88


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tain"], ["tain", "demo", "predict", "see fastnn --help"]),
        (["--bogus"], ["--bogus", "expected: fastnn", "see fastnn --help"]),
        (["demo", "--epochs", "0"], ["--epochs", "at least 1", "'0'", "see fastnn demo --help"]),
        (["demo", "--epochs", "many"], ["whole number", "'many'", "see fastnn demo --help"]),
        (["demo", "--seed", "-1"], ["--seed", "at least 0", "'-1'"]),
        (["demo", "--seed"], ["--seed", "expected one argument"]),
        (["demo", "--epoch", "3"], ["unexpected: --epoch 3", "[--epochs N]"]),
        (["demo", "folder"], ["unexpected: folder", "[--folder FOLDER]"]),
        (["predict", "m", "d"], ["required: --table or --query, --into, --key", "see fastnn predict --help"]),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    line = one_line(err)
    assert line.startswith("fastnn")
    assert not [word for word in words if word not in line]


# predict.


def predict(model: Path | str, database: Path | str, sql: str, into: str = "p") -> int:
    return main(["predict", str(model), str(database), sql, "--into", into, "--key", "id"])


def test_predict_writes_the_table(model_file: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(model_file, database, "SELECT id, a, b FROM t ORDER BY id") == 0
    assert capsys.readouterr() == (f"50 predictions are in the table p of {database}\n", "")
    with closing(connect(database)) as connection:
        x = np.array(connection.execute("SELECT a, b FROM t ORDER BY id").fetchall())
        written = connection.execute("SELECT * FROM p ORDER BY id").fetchall()
    expected = fastnn.models.load_model(model_file).predict(x)
    assert [row[:2] for row in written] == list(enumerate(expected.argmax(1).tolist(), 1))
    assert [row[2] for row in written] == expected.max(1).tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "missing.fastnn"}, ["missing.fastnn"]),
        ({"model": "rows.db"}, ["rows.db"]),
        ({"database": "missing.db"}, ["missing.db", "check the path"]),
        ({"database": "model.fastnn"}, ["not a database"]),
        ({"sql": "SELECT id, a FROM t"}, ["expects 2 features, got 1"]),
        ({"sql": "SELECT id, a, c\nFROM t"}, ["no such column: c"]),
        ({"sql": "SELECT a, b FROM t"}, ["unknown key 'id'"]),
        ({"sql": "DROP TABLE t"}, ["must be one SELECT"]),
        ({"into": "t"}, ["already has 't'", "or say --replace or --upsert where"]),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_and_status_1(
    change: dict[str, str],
    words: list[str],
    model_file: Path,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(database.parent)
    before = database.read_bytes()
    usual = {"model": model_file.name, "database": database.name, "sql": "SELECT id, a, b FROM t"}
    assert predict(**(usual | change)) == 1
    out, err = capsys.readouterr()
    assert not out
    line = one_line(err)
    assert line.startswith("fastnn: ")
    assert not [word for word in words if word not in line]
    assert database.read_bytes() == before


def numbers_of(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(connect(database)) as connection:
        return connection.execute(sql).fetchall()


def test_predict_twice(model_file: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(model_file), str(database), "SELECT id, a, b FROM t", "--into", "p", "--key", "id"]
    assert main(["predict", *arguments]) == 0
    assert main(["predict", *arguments]) == 1
    assert "already has 'p' (table)" in capsys.readouterr().err
    few = [*arguments[:2], "SELECT id, a, b FROM t WHERE id <= 5", *arguments[3:]]
    assert main(["predict", "--replace", *few]) == 0
    assert capsys.readouterr().out == f"5 predictions are in the table p of {database}\n"
    assert numbers_of(database, "SELECT count(*) FROM p") == [(5,)]
    into_source = [*arguments[:2], "SELECT id, a, b FROM t", "--into", "t", "--key", "id", "--replace"]
    assert main(["predict", *into_source]) == 1
    assert "it is not replaced" in one_line(capsys.readouterr().err)
    assert numbers_of(database, "SELECT count(*) FROM t") == [(ROWS,)]


@pytest.mark.parametrize(
    ("where", "values", "count"),
    [
        ("id <= ?", ["5"], 5),
        ("id + 0 <= ?", ["5"], 5),  # a text would be more than any number
        ("a * 2 < ?", ["0.5"], 12),
        ("a * 2 < ?", ["5e-1"], 12),
        ("id BETWEEN ? AND ?", ["+3", "4.0"], 2),
        ("id > ?", ["-1"], ROWS),
        ("? = 'abc'", ["abc"], ROWS),
        ("typeof(?) = 'text'", ["'5'"], ROWS),
        ("? = 'it''s'", ["'it''s'"], ROWS),
        ("? = '1_0'", ["1_0"], ROWS),
        ("? = ''", [""], ROWS),
        ("? = 'nan' AND ? = 'inf'", ["nan", "inf"], ROWS),
    ],
)
def test_parameters(
    where: str, values: list[str], count: int, model_file: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--param={value}" for value in values]
    sql = f"SELECT id, a, b FROM t WHERE {where}"
    assert main(["predict", *given, str(model_file), str(database), sql, "--into", "p", "--key", "id"]) == 0
    assert capsys.readouterr().out.startswith(f"{count} predictions ")
    assert numbers_of(database, "SELECT count(*) FROM p") == [(count,)]


def test_columns_in_another_order(tmp_path: Path, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = fastnn.Sequential([Dense(3, "softmax", input_dim=2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    sql = "SELECT a, b, id % 3 AS y FROM t"
    model.fit(fastnn.data.SQLDataset(sql, database, target="y"), verbose=0)
    model.save(tmp_path / "named.fastnn")
    assert predict(tmp_path / "named.fastnn", database, "SELECT id, b, a FROM t") == 1
    line = one_line(capsys.readouterr().err)
    assert line.startswith(
        "fastnn: the query has the columns 'b', 'a', but the model was fitted on 'a', 'b': in another"
    )


# The process.


@pytest.mark.parametrize(
    ("variable", "words"),
    [("FASTNN_ISA", "FASTNN_ISA='no', but this processor runs"), ("FASTNN_NUM_THREADS", "must be a whole number")],
)
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["predict"], []])
def test_a_wrong_variable_is_one_line_and_status_1(variable: str, words: str, arguments: list[str]) -> None:
    for command in (COMMAND, [sys.executable, "-P", "-m", "fastnn"], console_script()):
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=ENVIRONMENT | {variable: "no"}, check=False
        )
        assert done.returncode == 1
        assert not done.stdout
        assert one_line(done.stderr).startswith("fastnn: ")
        assert words in done.stderr
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import fastnn"],
        capture_output=True,
        env=ENVIRONMENT | {variable: "no"},
        check=False,
    )
    assert b"Traceback" in done.stderr  # a program's author wants to see where


def console_script() -> list[str]:
    """The command as pip writes it, called so whether or not fastnn is installed."""
    code = "import sys; sys.argv[0] = '/usr/bin/fastnn'; from fastnn.cli import main; sys.exit(main())"
    return [sys.executable, "-P", "-c", code]


def run_into_a_full_disk(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, whose output cannot be written."""
    with open("/dev/full", "w") as full:
        command = [*COMMAND, *arguments]
        return subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_the_table_that_was_written(model_file: Path, database: Path) -> None:
    arguments = [str(model_file), str(database), "SELECT id, a, b FROM t", "--into", "p", "--key", "id"]
    done = run_into_a_full_disk("predict", *arguments)
    assert done.returncode == 1
    assert one_line(done.stderr) == (
        f"fastnn: 50 predictions are in the table p of {database}, but the output cannot be written: No space left on "
        "device"
    )
    assert numbers_of(database, "SELECT count(*) FROM p") == [(ROWS,)]


def test_fastnn_imports_nothing_of_the_command() -> None:
    code = "import sys, numpy; a = set(sys.modules); import fastnn; print(*set(sys.modules) - a)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    loaded = set(done.stdout.split())
    assert "fastnn.models" in loaded
    assert not loaded & {"argparse", "sqlite3", "subprocess", "fastnn.cli", "fastnn.demo"}


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupt_is_one_line_and_status_130(tmp_path: Path) -> None:
    # A process that begins with SIGINT ignored, as one in the background of a shell does, passes that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start("demo", "--epochs", "1000000000", "--folder", tmp_path)
    signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout is not None
        while "Epoch 20/" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert one_line(err) == "fastnn: interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path) -> None:
    with start("demo", "--epochs", "1000000000", "--folder", tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = run_into_a_full_disk("demo", "--folder", str(tmp_path))
    assert done.returncode == 1
    assert one_line(done.stderr) == "fastnn: No space left on device"

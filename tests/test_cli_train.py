"""``fastnn train``, ``evaluate`` and ``info``: results, files of options, and errors in one line."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.cli import main
from fastnn.models import load_model
from support.database import connect

ROWS = 2000


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Rows whose three targets hang on a and b, which are far from standard."""
    path = tmp_path / "shop.db"
    rng = np.random.default_rng(0)
    a, b = rng.normal(1000, 300, ROWS), rng.normal(-2, 0.01, ROWS)
    standard = np.column_stack([(a - 1000) / 300, (b + 2) / 0.01])
    rows = zip(
        range(ROWS),
        a.tolist(),
        b.tolist(),
        (standard.sum(axis=1) > 0).astype(int).tolist(),
        standard.argmax(axis=1).tolist(),
        (3 * standard[:, 0]).tolist(),
        strict=True,
    )
    with closing(connect(path)) as connection, connection:
        connection.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, bought, "class", price)')
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("target", "what", "activation", "metric", "bound"),
    [
        ("bought", "one of two classes", "Sigmoid", "val_accuracy", 0.97),
        ("price", "a number", "Linear", "val_mae", 0.25),
    ],
)
def test_train_evaluate_and_predict(
    shop: Path,
    tmp_path: Path,
    target: str,
    what: str,
    activation: str,
    metric: str,
    bound: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "model.fastnn"
    rows = ["--data", f"sqlite:///{shop}", "--query", f"SELECT id, a, b, {target} FROM t"]
    status, said, progress = run(
        capsys, "train", *rows, "--target", target, "--key", "id", "--epochs", 30, "--batch-size", 16, "--out", out,
        "--json",
    )  # fmt: skip
    assert status == 0, progress
    lines = progress.splitlines()
    assert lines[0].split() == ["column", "holds", "becomes", "NULL", "unknown", "value"]
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert lines[3] == f"{what}, from a, b; hidden layers: 128, 64"
    found = json.loads(said)
    assert found["epochs"] == len([line for line in lines if line.startswith("epoch ")])
    assert 0.75 * ROWS < found["rows"] < 0.85 * ROWS
    assert found[metric] > bound if "accuracy" in metric else found[metric] < bound
    model = load_model(out)
    scaled = ["rescaling"] if activation == "Linear" else []  # a number as the target's are
    layers = ["preparation", "dense", "dense", "dense", *scaled]
    assert [layer.name.split("_")[0] for layer in model.layers] == layers
    assert type(model.layers[3].activation).__name__ == activation
    status, said, _ = run(capsys, "evaluate", out, *rows, "--json")
    assert status == 0
    evaluated = json.loads(said)
    assert evaluated["rows"] == ROWS
    name = metric.removeprefix("val_")
    assert evaluated[name] == pytest.approx(found[metric], abs=0.05)
    assert run(capsys, "predict", out, shop, "SELECT id, a, b FROM t", "--into", "p", "--key", "id")[0] == 0
    with closing(connect(shop)) as connection:
        pairs = connection.execute(f"SELECT t.{target}, p.prediction FROM t JOIN p USING (id)").fetchall()
    truth, predicted = np.array(pairs).T
    score = (truth == predicted).mean() if "accuracy" in metric else np.abs(truth - predicted).mean()
    assert score == pytest.approx(evaluated[name], abs=1e-3)


def test_several_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "three.db"
    with closing(connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE t AS SELECT value AS id, value % 3 AS kind FROM json_each(?)", [str([*range(90)])]
        )
        connection.execute("ALTER TABLE t ADD COLUMN x")
        connection.execute("UPDATE t SET x = kind * 2 + id * 1e-3")
    out = tmp_path / "m.fastnn"
    status, _, progress = run(
        capsys,
        "train",
        "--data",
        path,
        "--query",
        "SELECT x, kind FROM t",
        "--target",
        "kind",
        "--hidden",
        "",
        "--out",
        out,
    )
    assert status == 0
    assert "\none of 3 classes, from x; hidden layers: none\n" in progress
    assert load_model(out).output_shape == (None, 3)


def test_info(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.fastnn"
    rows = ["--data", shop, "--query", "SELECT a, b, price FROM t WHERE a > ?", "--param", "0"]
    assert run(capsys, "train", *rows, "--target", "price", "--hidden", "5", "--epochs", 1, "--out", out)[0] == 0
    status, said, _ = run(capsys, "info", out, "--json")
    assert status == 0
    about = json.loads(said)
    assert about["bytes"] == out.stat().st_size
    assert about["reads"] == "a, b"
    assert about["trained: target"] == "price"
    assert about["parameters"] == load_model(out).count_params()
    status, said, _ = run(capsys, "info", out)
    assert "Total params" in said
    assert "trained: query: SELECT a, b, price FROM t WHERE a > ?" in said


def test_a_file_of_options(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "shop.toml", tmp_path / "model.fastnn"
    config.write_text(
        f"""
        data = {str(shop)!r}
        query = "SELECT a, b, price FROM t WHERE id < ? AND id >= ?"
        param = [500, 100]
        target = "price"
        hidden = [7, 3]
        batch-size = 50
        epochs = 2
        json = true
        out = {str(out)!r}
        """
    )
    status, said, progress = run(capsys, "train", "--config", config)
    assert status == 0, progress
    assert json.loads(said)["rows"] == 400
    assert json.loads(said)["epochs"] == 2
    assert [layer.units for layer in load_model(out).layers[1:-1]] == [7, 3, 1]
    status, said, _ = run(
        capsys, "train", "--config", config, "--epochs", 3, "--hidden", "4", "--param", "50", "--param", "0"
    )
    assert json.loads(said)["rows"] == 50
    assert json.loads(said)["epochs"] == 3
    assert [layer.units for layer in load_model(out).layers[1:-1]] == [4, 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hiden = [3]", ["'hiden'", "did you mean 'hidden'"]),
        ("hidden = [0]", ["hidden", "at least 1", "'0'"]),
        ("epochs = 'many'", ["epochs", "whole number", "'many'"]),
        ("json = 1", ["json = 1", "true or false"]),
        ("epochs = ", ["is no TOML"]),
        ("config = 'x'", ["'config'"]),
    ],
)
def test_a_wrong_file_is_one_line_and_status_2(
    content: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(content)
    status, said, err = run(capsys, "train", "--config", config)
    assert (status, said) == (2, "")
    assert err.count("\n") == 1
    assert not [word for word in [*words, "see fastnn train --help"] if word not in err]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["train"], 2, ["required: --data, --table or --query, --target, --out"]),
        (["evaluate", "m"], 1, ["No such file", "m"]),
        (["info", "m"], 1, ["No such file", "m"]),
        (["train", "--hidden", "3,x"], 2, ["--hidden", "at least 1", "'x'"]),
        (["predict", "m", "d", "q", "--query", "q"], 2, ["SQL and --query are the same"]),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    arguments: list[str], status: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert not [word for word in words if word not in err]


@pytest.mark.parametrize(
    ("sql", "target", "words"),
    [
        ("SELECT a, b, price FROM t", "prise", ["unknown target 'prise'", "did you mean 'price'"]),
        ("SELECT a, x'00' AS b, price FROM t", "price", [r"column 'b' holds b'\x00' in row 1"]),
        ("SELECT NULL AS b, price FROM t", "price", ["no column of the query is of use", "'b' left out: all NULL"]),
        ("SELECT a, b, nullif(price, price) AS price FROM t", "price", ["column 'price' is NULL in row 1"]),
        ("SELECT a, b, 'x' AS price FROM t", "price", ["the target is the same in all rows"]),
        ("SELECT a, price FROM t WHERE 0", "price", ["gives no rows"]),
        ("DROP TABLE t", "price", ["must be one SELECT"]),
    ],
)
def test_rows_that_cannot_be_trained_on_leave_no_model(
    shop: Path, tmp_path: Path, sql: str, target: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.fastnn"
    status, said, err = run(capsys, "train", "--data", shop, "--query", sql, "--target", target, "--out", out)
    assert (status, said) == (1, "")
    assert not [word for word in words if word not in err]
    assert not out.exists()


@pytest.mark.parametrize("command", ["train", "predict", "serve", "monitor", "models", "report", "compress"])
def test_examples_of_the_help_are_lines(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A backslash that ends a line of an example is printed, and does not join it with the next."""
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert command != "train" or "--target bought \\\n      --out model.fastnn" in said

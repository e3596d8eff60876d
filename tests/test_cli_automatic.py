"""``fastnn train`` with a table and a target alone, of columns of all kinds."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fastnn.cli import main
from fastnn.datasets import diamonds, penguins
from fastnn.models import load_model
from support.database import connect


def plain(value: object) -> object:
    """A value as SQLite has it, NULL for what is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if value in ("", None) or value != value else value


def write(path: Path, columns: dict[str, np.ndarray], first: str = "") -> None:
    """A table of columns."""
    names = ", ".join(f'"{name}"' for name in columns)
    rows = [[plain(each) for each in row] for row in zip(*columns.values(), strict=True)]
    with closing(connect(path)) as con, con:
        con.execute(f"CREATE TABLE t ({first}{names})")
        marks = ", ".join("?" * len(columns))
        con.executemany(f"INSERT INTO t ({names}) VALUES ({marks})", rows)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_penguins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "zoo.db", tmp_path / "m.fastnn"
    columns = penguins.load_columns()
    write(path, columns, "id INTEGER PRIMARY KEY, ")
    status, said, err = run(
        capsys, "train", "--data", path, "--table", "t", "--target", "species", "--out", out, "--json"
    )
    assert status == 0, err
    found = json.loads(said)
    assert found["val_accuracy"] > 0.95
    assert 0.7 * 344 < found["rows"] < 0.9 * 344
    assert "one of 3 classes: Adelie, Chinstrap, Gentoo, from " in err
    assert "3.2 % NULL" in err
    model = load_model(out)
    assert "id" not in model.input_names
    asked = ["--data", path, "--query", "SELECT * FROM t WHERE species IS NOT NULL", "--into", "guess", "--key", "id"]
    for rows in (asked, ["--data", path, "--table", "t", "--into", "guess", "--key", "id", "--replace"]):
        status, _, err = run(capsys, "predict", out, *rows)  # the target is left alone
        assert status == 0, err
    with closing(connect(path)) as con:
        right = con.execute("SELECT avg(species = prediction) FROM t JOIN guess USING (id)").fetchone()[0]
        assert right > 0.95
    status, said, _ = run(capsys, "evaluate", out, "--data", path, "--table", "t", "--json")
    assert json.loads(said)["accuracy"] == pytest.approx(right)
    assert json.loads(said)["rows"] == 344


def test_rows_without_a_target_are_left_out_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "shop.db", tmp_path / "m.fastnn"
    columns = diamonds.load_columns()
    columns["price"] = np.where(np.arange(len(columns["price"])) % 10 == 0, np.nan, columns["price"])
    write(path, columns)  # without a key: the row's number is one
    arguments = ["train", "--data", path, "--table", "t", "--target", "price", "--epochs", 12, "--out", out, "--json"]
    status, said, err = run(capsys, *arguments)
    assert status == 0, err
    found = json.loads(said)
    assert 0.65 * 2569 < found["rows"] < 0.8 * 2569
    assert found["val_loss"] < 0.1 * np.nanvar(columns["price"])
    last = load_model(out).layers[-1]
    assert last.scale == pytest.approx(np.nanstd(columns["price"]), rel=1e-5)
    assert last.offset == pytest.approx(np.nanmean(columns["price"]), rel=1e-5)
    with closing(connect(path)) as con, con:
        con.execute("INSERT INTO t SELECT * FROM t WHERE price IS NOT NULL LIMIT 50")
    status, said, err = run(capsys, "train", "--data", path, "--out", out, "--resume", "--since", "last", "--json")
    assert status == 0, err
    assert 30 <= json.loads(said)["rows"] <= 50
    status, said, err = run(capsys, "train", "--data", path, "--out", out, "--resume", "--since", "last", "--json")
    assert (status, json.loads(said)["rows"]) == (0, 0)


@pytest.mark.parametrize("table", ["a view", "ids", "own rowid"])
def test_tables_whose_rows_have_no_number(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "shop.db", tmp_path / "m.fastnn"
    with closing(connect(path)) as con, con:
        con.execute("CREATE TABLE ids (a INTEGER, b INTEGER, y REAL, PRIMARY KEY (a, b)) WITHOUT ROWID")
        con.executemany("INSERT INTO ids VALUES (?, ?, ?)", ((i, i % 3, i * 2.0) for i in range(200)))
        con.execute('CREATE VIEW "a view" AS SELECT a, b, y FROM ids')
        con.execute('CREATE TABLE "own rowid" AS SELECT a AS rowid, b, y FROM ids')
    arguments = ["train", "--data", path, "--table", table, "--target", "y", "--epochs", 1, "--out", out, "--json"]
    status, said, err = run(capsys, *arguments)
    assert status == 0, err
    assert json.loads(said)["rows"] == 200
    assert "val_loss" not in said


def test_a_table_of_texts_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it comes out of a CSV file."""
    path, out = tmp_path / "csv.db", tmp_path / "m.fastnn"
    with closing(connect(path)) as con, con:
        con.execute("CREATE TABLE t (a TEXT, taken TEXT, y TEXT, price TEXT)")
        rows = ((f"{i * 0.5}", f"2026-{i % 12 + 1:02}-03", str(int(i > 150)), f"{i}.5") for i in range(300))
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    known = ["--data", path, "--table", "t", "--json"]
    features = ["--features", "a,taken"]
    status, said, err = run(capsys, "train", *known, *features, "--target", "y", "--epochs", 40, "--out", out)
    assert status == 0, err
    assert "one of two classes: 0, 1" in err
    assert json.loads(said)["val_accuracy"] > 0.9
    assert run(capsys, "evaluate", out, *known)[0] == 0
    status, said, err = run(capsys, "train", *known, *features, "--target", "price", "--out", tmp_path / "p")
    assert (status, said) == (1, "")
    assert "column 'price' holds text ('0.5') in row 1" in err


def test_columns_of_vectors_and_dates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "photos.db", tmp_path / "m.fastnn"
    vectors = np.random.default_rng(1).normal(size=(300, 4)).astype("<f4")
    with closing(connect(path)) as con, con:
        con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, taken TEXT, y REAL)")
        rows = ((v.tobytes(), f"2026-01-{i % 28 + 1:02}", float(v[2] > 0)) for i, v in enumerate(vectors))
        con.executemany("INSERT INTO t VALUES (NULL, ?, ?, ?)", rows)
    known = ["train", "--data", path, "--table", "t", "--target", "y", "--out", out, "--json"]
    status, _, err = run(capsys, *known)
    assert status == 1
    assert "column 'v' holds b'" in err
    assert main([*map(str, known), "--columns", "v"]) == 2
    assert "expected name=kind" in capsys.readouterr().err
    status, said, err = run(capsys, *known, "--columns", "v=float32[4],taken=date")
    assert status == 0, err
    assert json.loads(said)["val_accuracy"] > 0.9
    assert run(capsys, "predict", out, "--data", path, "--table", "t", "--into", "p", "--key", "id")[0] == 0
    status, said, _ = run(capsys, "evaluate", out, "--data", path, "--table", "t", "--json")
    assert json.loads(said)["accuracy"] > 0.9
    status, said, err = run(capsys, "train", "--data", path, "--out", out, "--resume", "--epochs", 1, "--json")
    assert status == 0, err

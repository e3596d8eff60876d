"""``fastnn train --resume --since``: a model learns from the rows that came later, each once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import LambdaCallback
from fastnn.cli import main, train
from fastnn.data import SQLDataset
from fastnn.models import load_model
from support.database import connect

HOME = str(Path(fastnn.__file__).parents[1])
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))}


def insert(shop: Path, ids: Any, table: str = "t") -> None:
    rng = np.random.default_rng(next(iter(ids)))
    rows = [(key, a := float(rng.normal()), b := float(rng.normal()), 3 * a - b) for key in ids]
    with closing(connect(shop)) as connection, connection:
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", rows)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, price)")
    insert(path, range(1, 401))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "model.fastnn"


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, Any, str]:
    """Train; the status, the result, and what was said."""
    status = main(["train", *map(str, arguments), "--json"])
    said, err = capsys.readouterr()
    return status, json.loads(said) if said else None, err


def first(capsys: pytest.CaptureFixture[str], shop: Path, out: Path, *more: Any, key: str = "id") -> None:
    rows = () if "--query" in more else ("--table", "t")
    arguments = ("--data", shop, *rows, "--target", "price", "--key", key, "--hidden", "8", "--out", out, *more)
    status, _, err = run(capsys, *arguments, *(() if "--epochs" in more else ("--epochs", 3)))
    assert status == 0, err


def again(capsys: pytest.CaptureFixture[str], shop: Path, out: Path, *more: Any) -> tuple[int, Any, str]:
    return run(capsys, "--data", shop, "--out", out, "--resume", "--since", "last", *more)


def noted(out: Path) -> dict[str, Any]:
    notes: dict[str, Any] = load_model(out).description.notes["trained"]
    return notes


def taught(shop: Path, where: str) -> int:
    """How many rows are for training, of those that a WHERE gives."""
    part, _ = SQLDataset(f"SELECT * FROM t WHERE {where}", shop, features=["id"], key="id").split(0.2)
    return sum(len(page.x) for page in part.pages(32))


def test_later_rows_alone_are_trained_on_by_the_same_optimizer(
    shop: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first(capsys, shop, out)
    before = load_model(out)
    steps = int(before.optimizer.iterations)
    assert steps > 0
    insert(shop, range(401, 501))
    status, found, err = again(capsys, shop, out, "--epochs", 1, "--batch-size", 1000)
    assert status == 0, err
    assert err.startswith("a number, from a, b\nbefore: ")
    later = SQLDataset("SELECT * FROM t WHERE id > 400", shop, target="price", key="id")
    [page] = later.split(0.2)[0].pages(1000)
    assert found["rows"] == len(page.x) < 100
    before.fit(later.split(0.2)[0], batch_size=1000, epochs=1, verbose=0)
    after = load_model(out)
    assert int(after.optimizer.iterations) == steps + 1
    for expected, weights in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)
    assert noted(out)["last"] == "500"
    # All that the first training was told is still known, and the same.
    assert {name: noted(out)[name] for name in ("table", "target", "key", "hidden")} == {
        "table": "t",
        "target": "price",
        "key": "id",
        "hidden": [8],
    }


def test_without_new_rows_the_model_is_not_touched(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out)
    before, when = out.read_bytes(), out.stat().st_mtime_ns
    status, found, err = again(capsys, shop, out)
    assert (status, found) == (0, {"model": str(out), "rows": 0, "epochs": 0})
    assert f"there are no new rows to train on; {out} stays as it is" in err
    # A row that is only looked at is there the next time.
    kept = next(each for each in range(401, 600) if held_back(shop, each))
    insert(shop, [kept])
    assert again(capsys, shop, out)[:2] == (0, {"model": str(out), "rows": 0, "epochs": 0})
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (before, when)
    insert(shop, [kept + 1000, kept + 1001, kept + 1002, kept + 1003])
    assert again(capsys, shop, out)[1]["rows"] == taught(shop, "id > 400") > 0
    assert noted(out)["last"] == str(kept + 1003)


def held_back(shop: Path, key: int) -> bool:
    part, _ = SQLDataset("SELECT ? AS id, 1 AS a", shop, params=[key], key="id").split(0.2)
    try:
        return not list(part.pages(1))
    except ValueError:
        return True


def test_rows_that_come_while_it_trains_are_the_next_times(
    shop: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    came = iter([range(401, 431), range(431, 441), []])

    def reporting() -> LambdaCallback:
        rows = next(came)
        return LambdaCallback(on_epoch_begin=lambda epoch, logs: insert(shop, rows) if epoch == 0 and rows else None)

    monkeypatch.setattr(train, "reporting", reporting)
    first(capsys, shop, out)
    assert noted(out)["last"] == "400"
    assert again(capsys, shop, out)[1]["rows"] == taught(shop, "id BETWEEN 401 AND 430")
    assert noted(out)["last"] == "430"
    assert again(capsys, shop, out)[1]["rows"] == taught(shop, "id BETWEEN 431 AND 440")


def test_a_training_that_is_killed_has_not_been(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out)
    insert(shop, range(401, 501))
    before = out.read_bytes()
    command = [
        sys.executable,
        "-P",
        "-m",
        "fastnn",
        "train",
        "--data",
        shop,
        "--out",
        out,
        "--resume",
        "--since",
        "last",
    ]
    for end, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        # Too many epochs to end by itself, and no rows kept apart by which it would.
        with subprocess.Popen(
            [*map(str, command), "--epochs", "100000000", "--batch-size", "1"],
            stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            while not process.stderr.readline().startswith("epoch 2"):
                assert process.poll() is None
            process.send_signal(end)
            process.stderr.read()
        assert process.returncode == status
        assert out.read_bytes() == before
    assert again(capsys, shop, out)[1]["rows"] == taught(shop, "id > 400")
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.fastnn", "shop.db"]


@pytest.mark.parametrize(
    ("sql", "last", "kind"),
    [
        ("id", "400", "int"),
        ("id + 9007199254740992", "9007199254741392", "int"),
        ("id / 8.0", "50.0", "float"),
        ("'2026-01-' || printf('%05d', id)", "2026-01-00400", "str"),
        ("'ключ \"' || printf('%05d', id)", 'ключ "00400', "str"),
        ("CAST(printf('%05d', id) AS BLOB)", b"00400".hex(), "bytes"),
    ],
)
def test_keys_of_every_kind_are_compared_as_what_they_are(
    sql: str, last: str, kind: str, shop: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = f'SELECT {sql} AS "k "";", a, b, price FROM t'
    first(capsys, shop, out, "--query", query, key='k ";')
    assert (noted(out)["last"], noted(out)["last_type"]) == (last, kind)
    assert again(capsys, shop, out)[1]["rows"] == 0
    insert(shop, range(401, 451))
    dataset = SQLDataset(f"{query} WHERE id > 400", shop, target="price", key='k ";')
    expected = sum(len(page.x) for page in dataset.split(0.2)[0].pages(32))
    assert again(capsys, shop, out)[1]["rows"] == expected > 0
    # The same by hand.
    status, found, err = run(capsys, "--data", shop, "--out", out, "--resume", "--since", last)
    assert (status, found["rows"]) == (0, expected), err


def test_rows_of_which_none_is_kept_apart(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out)
    insert(shop, [key for key in range(401, 412) if not held_back(shop, key)])
    status, found, err = again(capsys, shop, out, "--epochs", 2)
    assert status == 0, err
    assert (found["rows"], found["epochs"]) == (taught(shop, "id > 400"), 2)
    assert "val_loss" not in found
    assert noted(out)["last"] == str(max(key for key in range(401, 412) if not held_back(shop, key)))


def test_numbers_that_were_texts_are_not_older(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT CASE WHEN (SELECT COUNT(*) FROM t) = 400 THEN 'x' || id ELSE id END AS id, a, price FROM t"
    first(capsys, shop, out, "--query", query)
    assert noted(out)["last"] == "x99"
    insert(shop, range(401, 411))
    status, found, err = again(capsys, shop, out)
    assert (status, found) == (1, None)
    assert "the key 'id' is now of the type int, 410, and 'x99' was of the type str" in err


def test_the_kind_of_the_key_may_not_change(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out)
    before = out.read_bytes()
    for change, now in (("'x' || id", "'x99'"), ("x'00'", "b'\\x00'")):
        with closing(connect(shop)) as connection, connection:
            connection.execute("DROP TABLE IF EXISTS t2")
            connection.execute(f"CREATE TABLE t2 AS SELECT {change} AS id, a, b, price FROM t")
            connection.execute("ALTER TABLE t RENAME TO t3")
            connection.execute("ALTER TABLE t2 RENAME TO t")
        status, found, err = again(capsys, shop, out)
        assert (status, found) == (1, None)
        assert "the key 'id' is now of the type" in err
        assert now in err
        assert "and 400 was of the type int" in err
        with closing(connect(shop)) as connection, connection:
            connection.execute("DROP TABLE t")
            connection.execute("ALTER TABLE t3 RENAME TO t")
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("since", "word"), [("x", "'x'"), ("4e2", "'4e2'"), ("", "''"), ("400.5", "of the type int")], ids=str
)
def test_a_value_must_be_of_the_keys_kind(
    since: str, word: str, shop: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first(capsys, shop, out)
    status, found, err = run(capsys, "--data", shop, "--out", out, "--resume", f"--since={since}")
    assert (status, found, err.count("\n")) == (1, None, 1)
    assert "--since must be a value of the key 'id'" in err
    assert word in err


def test_a_first_training_may_have_a_value_too(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out, "--since", 350)
    assert noted(out)["last"] == "400"
    status, _, err = run(
        capsys, "--data", shop, "--table", "t", "--target", "price", "--key", "id", "--since", 400, "--out", out
    )
    assert status == 1
    assert "the query gives no rows" in err


def test_all_rows_again_without_since(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out)
    insert(shop, range(401, 421))
    status, found, _ = run(capsys, "--data", shop, "--out", out, "--resume", "--epochs", 1)
    assert (status, found["rows"]) == (0, taught(shop, "1"))
    assert noted(out)["last"] == "420"


def test_a_model_made_in_python_goes_on(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = fastnn.Sequential([fastnn.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(SQLDataset("SELECT b, a, price FROM t", shop, target="price"), epochs=1, verbose=0)
    model.save(out)
    rows = ("--table", "t", "--target", "price", "--key", "id")
    status, _, err = again(capsys, shop, out, *rows)
    assert status == 1
    assert f"{out} does not know the last id that it was trained on; say --since VALUE" in err
    status, found, err = run(capsys, "--data", shop, *rows, "--out", out, "--resume", "--since", 300)
    assert status == 0, err
    assert found["rows"] == taught(shop, "id > 300")
    assert noted(out)["features"] == ["b", "a"]


@pytest.mark.parametrize(
    ("given", "was"),
    [
        (["--target", "a"], "'price'"),
        (["--table", "u"], "'t'"),
        (["--query", "SELECT 1"], "'--table t'"),
        (["--key", "a"], "'id'"),
        (["--features", "b,a"], "['a', 'b']"),
        (["--hidden", ""], "[8]"),
        (["--hidden", "9"], "[8]"),
        (["--null", "1"], "0.0"),
    ],
    ids=str,
)
def test_what_contradicts_the_model_is_an_error_that_names_both(
    given: list[str], was: str, shop: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first(capsys, shop, out, "--null", 0)
    before = out.read_bytes()
    status, found, err = again(capsys, shop, out, *given)
    assert (status, found, err.count("\n")) == (2, None, 1)
    assert f"argument {given[0]}: {out} was trained with {was}, got" in err
    assert "see fastnn train --help" in err
    # The same as it was is none.
    same = ("--table", "t", "--target", "price", "--key", "id", "--features", "a,b", "--hidden", "8", "--null", "0")
    assert again(capsys, shop, out, *same)[0] == 0
    assert out.read_bytes() == before


def test_a_number_for_null_and_values_are_remembered(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT id, a, b, price FROM t WHERE id % ? = ?"
    more = ("--query", query, "--param", 2, "--param", 0, "--null", "0")
    first(capsys, shop, out, *more)
    insert(shop, range(401, 501))
    with closing(connect(shop)) as connection, connection:
        connection.execute("UPDATE t SET a = NULL WHERE id = 460")
    assert again(capsys, shop, out)[1]["rows"] == taught(shop, "id > 400 AND id % 2 = 0")
    status, _, err = again(capsys, shop, out, "--param", 2, "--param", 1)
    assert status == 2
    assert f"argument --param: {out} was trained with [2, 0], got [2, 1]" in err
    assert main(["evaluate", str(out), "--data", str(shop), "--table", "t"]) == 0


def test_a_row_without_a_key_is_refused(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(
        capsys, "--data", shop, "--query", "SELECT nullif(id, 7) AS id, a, price FROM t", "--target", "price",
        "--key", "id", "--out", out,
    )  # fmt: skip
    assert status == 1
    assert "the key 'id' is NULL in row 7 of the query" in err
    assert not out.exists()


@pytest.mark.parametrize("key", ["CAST(x'ff' AS TEXT) || id", "CASE id WHEN 9 THEN 9e999 ELSE id END"])
def test_a_key_that_cannot_be_kept_is_said(key: str, shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = f"SELECT {key} AS id, a, price FROM t"
    status, _, err = run(
        capsys, "--data", shop, "--query", query, "--target", "price", "--key", "id", "--epochs", 1, "--out", out
    )
    assert status == 0
    assert "the last id is not kept in the model, so --since last will not do" in err
    assert "last" not in noted(out)


def test_new_columns_do_not_disturb_it(shop: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(capsys, shop, out)
    with closing(connect(shop)) as connection, connection:
        connection.execute("ALTER TABLE t ADD COLUMN c")
        connection.execute("INSERT INTO t SELECT id + 400, b, a, price, 'new' FROM t LIMIT 50")
    assert again(capsys, shop, out)[1]["rows"] == taught(shop, "id > 400") > 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--resume"], 2, ["required: --out"]),
        (["--resume", "--out", "missing.fastnn"], 1, ["missing.fastnn"]),
        (["--since", "last", "--out", "m"], 2, ["argument --since", "add --resume"]),
        (["--data", "d", "--query", "q", "--target", "y", "--out", "m", "--since", "3"], 2, ["--since", "add --key"]),
    ],
)
def test_what_is_missing_is_one_line(
    arguments: list[str], status: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments]) == status
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert not [word for word in words if word not in err]


def test_a_table_of_texts_and_dates_that_names_its_rows_by_itself(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rides.db"

    def insert_rides(numbers: range) -> None:
        rows = [
            ("abc"[i % 3], None if i % 7 == 0 else i % 10, f"2026-01-{i % 28 + 1:02d}", i % 10 * 2) for i in numbers
        ]
        with closing(connect(path)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rides (city TEXT, km REAL, day TEXT, price REAL)")
            connection.executemany("INSERT INTO rides VALUES (?, ?, ?, ?)", rows)

    insert_rides(range(300))
    status, _, err = run(capsys, "--data", path, "--table", "rides", "--target", "price", "--epochs", 2, "--out", out)
    assert status == 0, err
    assert (noted(out)["key"], noted(out)["last"]) == ("rowid", "300")
    assert again(capsys, path, out)[1]["rows"] == 0
    insert_rides(range(300, 340))
    dataset = SQLDataset("SELECT rowid, km FROM rides WHERE rowid > 300", path, key="rowid", null=0)
    expected = sum(len(page.x) for page in dataset.split(0.2)[0].pages(32))
    status, found, err = again(capsys, path, out, "--epochs", 2)
    assert status == 0, err
    assert (found["rows"], noted(out)["last"]) == (expected, "340")
    assert main(["predict", str(out), str(path), "--table", "rides", "--into", "p", "--key", "rowid"]) == 0
    assert capsys.readouterr().out == f"340 predictions are in the table p of {path}\n"
    with closing(connect(path)) as connection:
        assert connection.execute("SELECT MIN(rowid), MAX(rowid), COUNT(*) FROM p").fetchall() == [(1, 340, 340)]

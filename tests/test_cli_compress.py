"""`fastnn compress`: a saved model made small from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.layers import Dense
from fastnn.models import Sequential, load_model
from support.database import connect

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 12)).astype(np.float32)
Y = (X[:, :5].sum(axis=1) > 0).astype(int)
FEW = ["--epochs", "1", "--max-loss", "0.1"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A model, rows as arrays, others that judge, and where to put a small one."""
    fastnn.set_random_seed(0)
    model = Sequential([Dense(48, "relu", input_dim=12), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X[:300], Y[:300], epochs=5, verbose=0)
    model.save(tmp_path / "model.fastnn")
    np.savez(tmp_path / "rows.npz", x=X[:300], y=Y[:300])
    np.savez(tmp_path / "judging.npz", x=X[300:], y=Y[300:])
    names = ("model.fastnn", "rows.npz", "judging.npz", "small.fastnn")
    return {name.partition(".")[0]: str(tmp_path / name) for name in names}


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "rows.db"
    connection = connect(path)
    with connection:
        names = ", ".join(f"c{k}" for k in range(12))
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {names}, y)")
        rows = [(number, *map(float, x), int(y)) for number, (x, y) in enumerate(zip(X, Y, strict=True))]
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * 14)})", rows)
    connection.close()
    return str(path)


def arguments(files: dict[str, str], *more: str) -> list[str]:
    given = [files["model"], "--data", files["rows"], "--validation", files["judging"], "-o", files["small"]]
    return ["compress", *given, *FEW, *more]


def test_arrays(files, capsys):
    assert main(arguments(files)) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:3] == ["step", "bytes", "smaller"]
    assert out[1].startswith("as given")
    assert out[-6] == f"model: {files['small']}"
    assert [line.partition(":")[0] for line in out[-6:]] == [
        "model",
        "bytes",
        "smaller",
        "faster",
        "accuracy before",
        "accuracy",
    ]
    small = load_model(files["small"])
    right = (small.predict(X[300:]).argmax(axis=1) == Y[300:]).mean()
    assert float(out[-1].split()[-1]) == pytest.approx(right, abs=1e-4)
    assert out[-5] == f"bytes: {Path(files['small']).stat().st_size}"


def test_json_and_speed(files, capsys):
    assert main(arguments(files, "--for", "speed", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["smaller"] > 1.5
    assert found["accuracy"] >= found["accuracy before"] - 0.1
    assert load_model(files["small"]).count_params() < load_model(files["model"]).count_params()


def test_a_database_and_a_model_of_fastnn_train(database, tmp_path, capsys):
    out, small = str(tmp_path / "model.fastnn"), str(tmp_path / "small.fastnn")
    train = ["train", "--data", database, "--table", "t", "--target", "y", "--out", out, "--epochs", "3"]
    assert main([*train, "--key", "id"]) == 0
    assert main(["compress", out, "--data", database, "--table", "t", "-o", small, *FEW]) == 0
    assert Path(small).stat().st_size < Path(out).stat().st_size / 2
    capsys.readouterr()
    assert main(["evaluate", small, "--data", database, "--table", "t", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 400
    # A query, and a key that it names.
    query = ["--query", "SELECT * FROM t WHERE id < 300", "--key", "id"]
    assert main(["compress", out, "--data", database, *query, "-o", small, *FEW]) == 0


def test_a_file_of_options(files, tmp_path):
    config = tmp_path / "options.toml"
    config.write_text('for = "speed"\nmax-loss = 0.1\nepochs = 1\n', encoding="utf-8")
    given = [files["model"], "--data", files["rows"], "-o", files["small"], "--config", str(config), "--json"]
    assert main(["compress", *given]) == 0
    assert load_model(files["small"]).count_params() < load_model(files["model"]).count_params()


WRONG = [
    ([], "the following arguments are required: --data, --out"),
    (["--max-loss", "1"], "expected a number of at least 0 and below 1, got '1'"),
    (["--max-loss", "x"], "expected a number"),
    (["--for", "both"], "--for"),
    (["--epochs", "0"], "at least 1"),
    (["--table", "t"], "it is of a database, and"),
    (["--key", "id"], "it is of a database, and"),
]


@pytest.mark.parametrize(("more", "message"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be(files, capsys, more, message):
    given = arguments(files, *more) if more else ["compress", files["model"]]
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not Path(files["small"]).exists()


def test_what_fails(files, tmp_path, database, capsys):
    def failed(*given: str, status: int = 1) -> str:
        assert main(["compress", *given]) == status
        out, err = capsys.readouterr()
        assert err.count("\n") == 1
        return out + err

    rows = ("--data", files["rows"])
    assert "there is no folder" in failed(files["model"], *rows, "-o", str(tmp_path / "no" / "small"))
    assert "No such file" in failed(str(tmp_path / "none"), *rows, "-o", files["small"])
    assert "No such file" in failed(files["model"], "--data", "none.npz", "-o", files["small"])
    np.savez(tmp_path / "x.npz", x=X)
    assert "must be (x, y)" in failed(files["model"], "--data", str(tmp_path / "x.npz"), "-o", files["small"])
    table = ("--data", database, "--table", "t", "--target", "y", "-o", files["small"])
    assert "argument --key" in failed(files["model"], *table, status=2)
    assert "--validation: it is of arrays" in failed(
        files["model"], *table, "--key", "id", "--validation", files["judging"], status=2
    )
    assert not Path(files["small"]).exists()


def test_the_help_names_it(capsys):
    assert main(["--help"]) == 0
    assert "fastnn compress   makes" in capsys.readouterr().out
    assert main(["compress", "--help"]) == 0
    out = capsys.readouterr().out
    for word in ("--max-loss", "--for", "--validation", "--key", "examples:"):
        assert word in out

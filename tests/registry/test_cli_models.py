"""``fastnn models``, and models that the other commands have in a registry instead of a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn.cli import main
from support.database import connect
from support.registries import Place, model

SECRET = ("s3cret", "s3cret@/:", "s3cret%40%2F%3A")


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert not [secret for secret in SECRET if secret in out + err]
    return status, out, err


def fill(place: Place, first: int, last: int) -> None:
    if first == 1:
        place.run("CREATE TABLE rides (id INTEGER PRIMARY KEY, km DOUBLE PRECISION, minutes DOUBLE PRECISION)")
    place.run(
        f"INSERT INTO rides VALUES {', '.join(f'({i}, {i % 9}.5, {3 * (i % 9)})' for i in range(first, last + 1))}"
    )


def test_a_model_that_lives_with_its_rows(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    fill(place, 1, 80)
    at = ("--data", place.url, "--registry", place.url)
    rows = ("--table", "rides", "--target", "minutes", "--key", "id", "--hidden", "4", "--epochs", 3)
    status, out, err = run(capsys, "train", *at, *rows, "--out", "ride minutes", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["model"], found["version"], found["epochs"]) == ("ride minutes", 1, 3)
    # Nothing new is no version; new rows are the next one, which knows the last key.
    resume = ("train", *at, "--out", "ride minutes", "--resume", "--since", "last", "--json")
    assert json.loads(run(capsys, *resume)[1]) == {"model": "ride minutes", "rows": 0, "epochs": 0}
    fill(place, 81, 120)
    status, out, err = run(capsys, *resume)
    assert status == 0, err
    assert json.loads(out)["version"] == 2
    registry = fastnn.registry.open(place.url)
    first, second = registry.list("ride minutes")
    assert first.metrics == pytest.approx({name: found[name] for name in first.metrics})
    assert {"val_loss", "loss", "mae", "val_mae"} <= set(second.metrics)
    assert first.query is not None
    assert "rides" in first.query
    assert [registry.load("ride minutes", n).description.notes["trained"]["last"] for n in (1, 2)] == ["80", "120"]
    # The others take it from there, by number or alias.
    registry.alias("ride minutes", "best", 1)
    for version, of in ((), 2), (("--version", "best"), 1), (("--version", "2"), 2):
        status, out, err = run(capsys, "evaluate", "ride minutes", *at, *version, "--table", "rides", "--json")
        assert status == 0, err
        expected = registry.load("ride minutes", of).evaluate(
            fastnn.data.SQLDataset("SELECT km, minutes FROM rides", place.url, target="minutes"),
            verbose=0,
            return_dict=True,
        )
        assert json.loads(out) == pytest.approx({"rows": 120, **expected})
    status, out, _ = run(capsys, "info", "ride minutes", "--registry", place.url, "--version", "best", "--json")
    assert json.loads(out)["trained: last"] == "80"
    predict = ("predict", "ride minutes", *at, "--version", "best", "--table", "rides", "--into", "guesses")
    assert run(capsys, *predict, "--key", "id")[0] == 0
    assert place.run("SELECT DISTINCT model, model_version FROM guesses") == [("ride minutes", "1")]
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"models.db"}
    # What was kept has no password either.
    for data in place.run("SELECT bytes FROM fastnn_model_parts"):
        assert not [secret for secret in SECRET if secret.encode() in bytes(data[0])]
    assert not [
        secret for secret in SECRET if secret in repr(place.run("SELECT query, metrics, notes FROM fastnn_models"))
    ]


def test_the_list(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "models", place.url) == (0, "", "there are no such models\n")
    assert run(capsys, "models", place.url, "--json") == (0, "[]\n", "")
    registry = fastnn.registry.open(place.url)
    registry.save(model(), "b", metrics={"accuracy": 0.961234567, "units": 16}, aliases=["x", "production"])
    registry.save(model(), "a\x1b[31m\nname", notes="of a test")
    registry.save(model(), "b", metrics={"accuracy": 0.5})
    status, out, err = run(capsys, "models", place.url)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "'a\\x1b[31m\\nname'", "b", "b"]
    assert lines[2].split("  ")[-1] == "accuracy 0.961235, units 16"
    assert "production, x" in lines[2]
    assert lines[0].index("version") == lines[1].index(" 1 ") + 1 == lines[3].index(" 2 ") + 1
    status, out, err = run(capsys, "models", place.url, "b", "--json")
    assert out.count("\n") == 1
    first, second = json.loads(out)
    assert (first["name"], first["version"], first["aliases"]) == ("b", 1, ["production", "x"])
    assert first["metrics"] == {"accuracy": 0.961234567, "units": 16}
    assert second["size"] == registry.list("b")[1].size
    assert abs(datetime.fromisoformat(first["created"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert run(capsys, "models", place.url, "c") == (0, "", "there are no such models\n")


def test_an_alias_and_a_deletion(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    registry = fastnn.registry.open(place.url)
    for _ in range(3):
        registry.save(model(), 'it\'s "m"')
    m = ("models", place.url, 'it\'s "m"')
    status, out, _ = run(capsys, *m, "--version", "2", "--alias", "production", "--json")
    assert status == 0
    assert [each["aliases"] for each in json.loads(out)] == [[], ["production"], []]
    run(capsys, *m, "--version", "latest", "--alias", "newest")
    assert run(capsys, *m, "--version", "production", "--delete")[0] == 0
    assert [(each.version, each.aliases) for each in registry.list()] == [(1, ()), (3, ("newest",))]
    for more, status, words in (
        (("--delete",), 2, "required: --version"),
        (("--alias", "x"), 2, "required: --version"),
        (("--version", "2", "--delete"), 1, "was deleted at"),
        (("--version", "9", "--alias", "x"), 1, "never saved"),
        (("--version", "1", "--alias", "7"), 1, "neither 'latest' nor a number"),
    ):
        came, out, err = run(capsys, *m, *more)
        assert (came, out, err.count("\n")) == (status, "", 1)
        assert words in err
    assert len(registry.list()) == 2
    came, _, err = run(capsys, "models", place.url, "--version", "1", "--delete")
    assert came == 2
    assert "required: NAME" in err


def test_what_a_user_can_get_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "m.db"
    fastnn.registry.open(database).save(model(), "rides")
    for arguments, status, words in (
        (["info", "ride", "--registry", database], 1, "no model 'ride'"),
        (["info", "rides", "--registry", database, "--version", "3"], 1, "version 3 of 'rides' was never saved"),
        (["info", "rides", "--version", "3"], 2, "add --registry URL"),
        (["models", tmp_path / "no" / "m.db"], 1, "create its folder first"),
        (["models", "redis://localhost"], 1, "a registry is opened by"),
        (["models"], 2, "required: URL"),
        (["train", "--registry", database, "--out", "x", "--resume"], 1, "no model 'x'"),
    ):
        came, out, err = run(capsys, *arguments)
        assert (came, out, err.count("\n")) == (status, "", 1), err
        assert words in err
    assert not (tmp_path / "no").exists()


def test_a_file_of_options_has_a_registry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place("sqlite", "", lambda **_: connect(tmp_path / "x.db"), "?")
    fill(place, 1, 50)
    config = tmp_path / "x.toml"
    config.write_text(
        f"data = {str(tmp_path / 'x.db')!r}\nregistry = {str(tmp_path / 'm.db')!r}\ntable = 'rides'\n"
        "target = 'minutes'\nkey = 'id'\nhidden = [3]\nepochs = 1\nseed = 5\nout = 'rides'\njson = true\n"
    )
    assert json.loads(run(capsys, "train", "--config", config)[1])["version"] == 1
    assert json.loads(run(capsys, "train", "--config", config, "--resume", "--since", "last")[1])["rows"] == 0
    fill(place, 51, 90)
    assert json.loads(run(capsys, "train", "--config", config, "--resume", "--since", "last")[1])["version"] == 2
    # What the command line gives wins, also where it is nothing.
    status, _, err = run(capsys, "train", "--config", config, "--resume", "--hidden", "")
    assert status == 2
    assert "argument --hidden: rides was trained with [3], got []" in err

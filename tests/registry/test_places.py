"""Registries that are no database: in each the same names, numbers, aliases, and the same words for what is wrong."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.hub import hub_model
from fastnn.layers import Dense, Input
from support.registries import file_of, model

pytestmark = pytest.mark.filterwarnings("default")  # MLflow's and the Hub's packages warn of each other


def deletes(where: str) -> bool:
    return not where.startswith("hf:")


def test_a_model_comes_back_to_the_bit(where: str) -> None:
    first, second = model(1), model(2, units=5)
    with fastnn.registry.open(where) as registry:
        assert list(registry.list()) == list(registry.list("churn")) == []
        assert registry.save(first, "churn") == 1
        assert registry.save(second, "churn", aliases="production") == 2
        assert registry.save(second, "other") == 1
    registry = fastnn.registry.open(where)
    assert isinstance(registry, fastnn.registry.Registry)
    for version, each in ((1, first), (2, second), ("latest", second), ("production", second)):
        loaded = registry.load("churn", version)
        assert file_of(loaded) == file_of(each)
        assert vars(loaded)["_registered"][:2] == ("churn", 1 if each is first else 2)
    assert registry.load("churn", compile=False).optimizer is None
    x = np.random.default_rng(0).normal(size=(7, 4))
    np.testing.assert_array_equal(registry.load("churn", 1).predict(x), first.predict(x))


def test_what_is_told_of_a_version(where: str) -> None:
    before = datetime.now(UTC)
    registry = fastnn.registry.open(where)
    metrics = {"loss": np.float32(0.5), "each": np.arange(3), "texts": {"ü": ["x", None, True]}}
    told = {"query": "SELECT 'ü' -- \"100 %\"", "statistics": {"mean": [1.5, 2**60]}, "notes": "näher 'an'\n"}
    registry.save(model(), "m", metrics=metrics, aliases=["a", "x"], **told)
    registry.save(model(3), "m", aliases=["b", "a"])
    registry.save(model(), "l")
    other, first, second = registry.list()
    assert [(each.name, each.version) for each in (other, first, second)] == [("l", 1), ("m", 1), ("m", 2)]
    assert (other.aliases, first.aliases, second.aliases) == ((), ("x",), ("a", "b"))
    assert list(registry.list("m")) == [first, second]
    assert first.metrics == {"loss": 0.5, "each": [0, 1, 2], "texts": {"ü": ["x", None, True]}}
    assert (first.query, second.query) == (told["query"], None)
    assert (first.statistics, second.statistics) == (told["statistics"], {})
    assert first.notes.strip() == "näher 'an'"
    assert before <= first.created <= second.created <= datetime.now(UTC)
    assert (first.size, first.fastnn_version) == (len(file_of(model())), fastnn.__version__)


def test_names_of_columns(where: str) -> None:
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(np.random.default_rng(0).normal(size=(8, 2)), columns=["a b", "ü"])
    trained = fastnn.Sequential([Input((2,)), Dense(1)])
    trained.compile("sgd", "mse")
    trained.fit(rows, np.ones(8), epochs=1, verbose=0)
    registry = fastnn.registry.open(where)
    registry.save(trained, "m")
    assert registry.list("m")[0].feature_names == ("a b", "ü")
    assert registry.load("m").feature_names == ("a b", "ü")


def test_an_alias_moves_and_goes(where: str) -> None:
    registry = fastnn.registry.open(where)
    for seed in (1, 2):
        registry.save(model(seed), "m")
    for version, expected in ((1, 1), (2, 2), (1, 1), ("latest", 2)):
        registry.alias("m", "production", version)
        assert vars(registry.load("m", "production"))["_registered"][1] == expected
    registry.alias("m", "before", "production")
    assert registry.list("m")[1].aliases == ("before", "production")
    registry.alias("m", "before", None)
    assert registry.list("m")[1].aliases == ("production",)
    with pytest.raises(ValueError, match="'m' has no alias 'before'; its aliases are 'production'"):
        registry.alias("m", "before", None)


def test_what_is_not_there(where: str) -> None:
    registry = fastnn.registry.open(where)
    for call in (lambda: registry.load("m"), lambda: registry.alias("m", "a", 1)):
        with pytest.raises(ValueError, match=rf"no model 'm' in {re.escape(registry.address)}; it has none"):
            call()
    registry.save(model(), "churn", aliases="production")
    with pytest.raises(ValueError, match=r"no model 'chrun' in .* \(did you mean 'churn'\?\); it has 'churn'"):
        registry.load("chrun")
    with pytest.raises(ValueError, match=r"no alias 'prodction' \(did you mean 'production'\?\); its aliases are"):
        registry.load("churn", "prodction")
    with pytest.raises(ValueError, match=r"version 7 of 'churn' (was never saved|is not there); there are 1"):
        registry.load("churn", 7)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="version must be at least 1"):
            registry.load("churn", wrong)
    for odd in (1.5, True, None, b"a"):
        with pytest.raises(TypeError, match="version must be a whole number"):
            registry.load("churn", odd)  # type: ignore[arg-type]
    for call in (lambda: registry.alias("churn", "latest", 1), lambda: registry.save(model(), "churn", aliases=["3"])):
        with pytest.raises(ValueError, match="an alias must be neither 'latest' nor a number"):
            call()
    with pytest.raises(TypeError, match=r"model must be a fastnn\.models\.Model"):
        registry.save(object(), "churn")
    assert [each.version for each in registry.list()] == [1]
    registry.close()
    with pytest.raises(ValueError, match="the registry is closed"):
        registry.list()


def test_deleting(where: str) -> None:
    registry = fastnn.registry.open(where)
    for seed in (1, 2, 3):
        registry.save(model(seed), "m", aliases=f"of-{seed}")
    if not deletes(where):
        with pytest.raises(ValueError, match=r"hf:me deletes nothing: .* stay in the history of 'me/m'"):
            registry.delete("m", 2)
        return
    assert registry.delete("m", "of-2") == 1
    assert [(each.version, each.aliases) for each in registry.list()] == [(1, ("of-1",)), (3, ("of-3",))]
    with pytest.raises(ValueError, match=r"version 2 of 'm' (was deleted at 20|is not there)"):
        registry.load("m", 2)
    with pytest.raises(ValueError, match=r"'m' has no alias 'of-2'"):
        registry.load("m", "of-2")
    assert registry.delete("m", 3) == 1
    assert registry.save(model(4), "m") == 4  # a number is given once
    assert registry.delete("m") == 2
    assert registry.list() == []
    with pytest.raises(ValueError, match="no model 'm' in"):
        registry.delete("m")
    assert registry.save(model(5), "m") == 5


def test_many_save_at_the_same_time(where: str) -> None:
    if where.startswith("mlflow:"):
        pytest.skip("MLflow itself numbers them")
    numbers: list[int] = []
    made, registry = model(), fastnn.registry.open(where)
    threads = [threading.Thread(target=lambda: numbers.append(registry.save(made, "m"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert [each.version for each in registry.list("m")] == [1, 2, 3, 4, 5]


def test_damaged_bytes(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    registry = fastnn.registry.open(where)
    registry.save(model(), "m")
    if where.startswith("hf:"):
        [repository] = request.getfixturevalue("hub").values()
        files = repository.commits[repository.tags["v1"]]
        files["model.safetensors"] = files["model.safetensors"][:-1] + b"?"
    else:
        [path] = [*tmp_path.rglob("1.fastnn"), *tmp_path.rglob("model.fastnn")]
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"version 1 of 'm' is damaged in .*; load another version"):
        registry.load("m")


# Folders


def test_what_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    for same in ("there", Path("there"), b"there", "there/", str(tmp_path / "there")):
        registry = fastnn.registry.open(same)
        assert repr(registry) == f"<Registry {tmp_path / 'there'}>"
    assert fastnn.registry.open("new/").save(model(), "m") == 1
    assert sorted(each.name for each in Path("new/m").iterdir()) == ["1.fastnn", "1.json"]
    assert file_of(fastnn.models.load_model("new/m/1.fastnn")) == file_of(model())
    # A file that somebody has put there.
    model(2).save("new/m/7.fastnn")
    registry = fastnn.registry.open("new")
    assert file_of(registry.load("m", 7)) == file_of(model(2))
    entry = registry.list()[1]
    assert (entry.version, entry.size, entry.metrics) == (7, len(file_of(model(2))), {})
    assert registry.save(model(), "m") == 8
    Path("file").touch()
    with pytest.raises(ValueError, match=r"cannot be saved; .* says: .*Not a directory"):
        fastnn.registry.open("file/").save(model(), "m")


@pytest.mark.parametrize("name", ["../up", "..", ".", "a/b", "a\\b", "C:", "a b", "ü", "%2e", "aliases", "1", "*", "~"])
def test_names_are_names_of_files(name: str, tmp_path: Path) -> None:
    registry = fastnn.registry.open(f"{tmp_path}/models/")
    assert registry.save(model(), name, aliases=name if not name.isdecimal() else ()) == 1
    assert [each.name for each in registry.list()] == [name]
    assert file_of(registry.load(name)) == file_of(model())
    if not name.isdecimal():
        assert registry.list()[0].aliases == (name,)
        assert file_of(registry.load(name, name)) == file_of(model())
    assert [each.name for each in tmp_path.iterdir()] == ["models"]
    assert len(list(Path(tmp_path, "models").iterdir())) == 1
    too_long = "ü" * 100
    for call in (lambda: registry.save(model(), too_long), lambda: registry.save(model(), name, aliases=too_long)):
        with pytest.raises(ValueError, match=r"a name in a folder is written as %C3.* of 600 characters; at most 240"):
            call()
    assert [each.version for each in registry.list()] == [1]


def test_what_others_do_to_the_files(tmp_path: Path) -> None:
    registry = fastnn.registry.open(tmp_path)
    registry.save(model(), "m", aliases="a")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "other").mkdir()
    for odd in ("old", "0.fastnn", "01.fastnn", "x.fastnn", "1.5.fastnn", "\u0663.fastnn"):
        (tmp_path / "m" / odd).touch()
    assert [each.version for each in registry.list()] == [1]
    for alias, text in (("b", b"99"), ("c", b"x"), ("d", b"\xff"), ("e", b"01")):
        (tmp_path / "m" / "aliases" / alias).write_bytes(text)
    assert registry.list()[0].aliases == ("a",)
    about = tmp_path / "m" / "1.json"
    good = about.read_text()
    for bad in ("", "[", "3", "{}", good.replace('"m"', '"n"'), good.replace('"created": "20', '"created": "no')):
        about.write_text(bad)
        with pytest.raises(ValueError, match="was altered"):
            registry.list()
    about.write_text("[" * 10**5)
    with pytest.raises(ValueError, match="was altered"):
        registry.load("m")


def test_a_writer_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no such version, and its number is not given again."""
    registry = fastnn.registry.open(tmp_path)

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.save(model(), "m")
    assert [each.name for each in (tmp_path / "m").iterdir()] == ["1.json"]
    assert registry.list() == []
    with pytest.raises(ValueError, match="no model 'm'"):
        registry.load("m")
    assert registry.save(model(), "m") == 2
    with pytest.raises(ValueError, match="version 1 of 'm' is not there; there are 2"):
        registry.load("m", 1)


# The others


def test_what_others_have_registered_in_mlflow(mlflow_uri: str) -> None:
    import mlflow

    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.75)
        fastnn.mlflow.log_model(model(), "net", registered_model_name="net")
        client = mlflow.MlflowClient()
        client.set_registered_model_alias("net", "champion", 1)
        client.update_model_version("net", "1", description="by hand")
        client.create_registered_model("foreign")
        mlflow.log_dict({"flavors": {"sklearn": {}}}, "foreign/MLmodel")
        client.create_model_version("foreign", f"{run.info.artifact_uri}/foreign", run.info.run_id)
    registry = fastnn.registry.open("mlflow:")
    foreign, entry = registry.list()
    assert (entry.name, entry.version, entry.aliases) == ("net", 1, ("champion",))
    assert (entry.metrics, entry.notes, entry.query, entry.size) == ({"accuracy": 0.75}, "by hand", None, 0)
    assert file_of(registry.load("net", "champion")) == file_of(model())
    assert foreign.name == "foreign"
    with pytest.raises(ValueError, match=r"version 1 of 'foreign' is no fastnn model: its flavours are sklearn;"):
        registry.load("foreign")
    # And the other way round.
    assert registry.save(model(2), "net", aliases="champion", metrics={"accuracy": 0.8, "each": [1]}) == 2
    assert file_of(fastnn.mlflow.load_model("models:/net@champion")) == file_of(model(2))
    run_id = client.get_model_version("net", "2").run_id
    assert client.get_run(run_id).data.metrics == {"accuracy": 0.8}
    assert client.get_run(run_id).info.status == "FINISHED"
    client.set_model_version_tag("net", "2", "fastnn", "{")
    with pytest.raises(ValueError, match="version 2 of 'net' was altered"):
        registry.list("net")


def test_no_password_of_mlflow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    secret = "s3cret"
    registry = fastnn.registry.open(f"mlflow:http://me:{secret}@127.0.0.1:1")
    assert repr(registry) == "<Registry mlflow:http://***@127.0.0.1:1>"
    with pytest.raises(ValueError, match=r"cannot be opened; MLflow says: .*odd://\*\*\*@host") as caught:
        fastnn.registry.open(f"mlflow:odd://me:{secret}@host/x")
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_database_that_is_none(mlflow_uri: str, tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(ValueError, match=r"MLflow says: .*file is not a database"):
        fastnn.registry.open(f"mlflow:sqlite:///{tmp_path}/bad.db").list()
    registry = fastnn.registry.open("mlflow:")
    for name in ("it's", 'say "x"', "both ' and \"", "a.b-c d"):
        assert registry.save(model(), name) == 1
        assert [each.name for each in registry.list(name)] == [name]
        assert file_of(registry.load(name)) == file_of(model())
    assert len(registry.list()) == 4
    for refused in ("a/b", "a:b"):
        with pytest.raises(ValueError, match=r"MLflow says: .*cannot contain '/' or ':'"):
            registry.save(model(), refused)
    with pytest.raises(ValueError, match=r"MLflow says: .* exceeds the maximum length"):
        registry.save(model(), "long", statistics={"x": "x" * 10**6})
    assert len(registry.list()) == 4


def test_the_hub_without_a_network(hub: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    registry = fastnn.registry.open("hf:")
    assert registry.save(model(), "me/net", metrics={"accuracy": 0.9}, notes="Of *air*.", aliases="stable") == 1
    with pytest.raises(ValueError, match='hf: has the models of everybody; list those of a name, or open "hf:OWNER"'):
        registry.list()
    assert registry.list("me/net")[0].aliases == ("stable",)
    card = hub["me/net"].commits[hub["me/net"].main]["README.md"].decode()
    assert "library_name: fastnn" in card
    assert "# me/net\n" in card
    assert "Of *air*." in card
    assert "| accuracy | 0.9 |" in card
    registry.load("me/net", 1)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert file_of(registry.load("me/net", 1)) == file_of(model())
    with pytest.raises(ValueError, match=r"cannot be loaded: .*offline mode is enabled"):
        registry.load("me/net", "stable")
    with pytest.raises(ValueError, match=r"cannot be saved: .*offline mode is enabled"):
        registry.save(model(), "me/net")


def test_what_the_hub_refuses(hub: dict[str, Any]) -> None:
    registry = fastnn.registry.open("hf:me")
    with pytest.raises(ValueError, match=r"cannot be saved: .*Repo id"):
        registry.save(model(), "a net")
    registry.save(model(), "net")
    with pytest.raises(ValueError, match="must not look like the tag of a version, got 'v2'"):
        registry.alias("net", "v2", 1)
    files = hub["me/net"].commits[hub["me/net"].main]
    files["config.json"] = json.dumps({"registry": {"created": 3}}).encode()
    with pytest.raises(ValueError, match="version 1 of 'net' was altered"):
        registry.list("net")


@pytest.mark.parametrize(
    ("where", "hidden", "words"),
    [
        ("mlflow:", "mlflow", r'a registry in MLflow needs MLflow and pandas: pip install "fastnn\[mlflow\]"'),
        ("hf:me", "huggingface_hub", r'fastnn\.hub needs huggingface_hub: pip install "fastnn\[hub\]"'),
    ],
)
def test_a_missing_package(where: str, hidden: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    hub_model.cache_clear()
    with pytest.raises(ImportError, match=words):
        fastnn.registry.open(where)


def test_an_alias_that_a_place_refuses(mlflow_uri: str) -> None:
    """There is no version without its alias then."""
    registry = fastnn.registry.open(f"mlflow:{mlflow_uri}")
    with pytest.raises(ValueError, match="MLflow says: Invalid alias name: 'of 1'"):
        registry.save(model(), "m", aliases="of 1")
    assert registry.list() == []

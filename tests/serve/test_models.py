"""Where models are served from, their versions and aliases, and that they are replaced under load."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

import fastnn
from fastnn import Model, Sequential, serve
from fastnn.layers import LSTM, Dense, Input
from fastnn.serve import Models, RequestError
from support.serving import ROWS, asked, infer, post, small, tensor

GOOD = json.dumps(infer(tensor(ROWS))).encode()


def answers(models: Models, *key: Any) -> Any:
    return models.get(*key).model.predict(ROWS)


def test_a_file_is_called_as_it_is_or_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "churn.v2.fastnn"
    small().save(path)
    models = Models(path, f"other={path}")
    assert models.names() == ["churn.v2", "other"]
    assert models.versions("other") == ["1"]
    np.testing.assert_array_equal(answers(models, "churn.v2"), small().predict(ROWS))


def test_a_folder_has_names_and_versions(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for place in ("a/1.fastnn", "a/10.fastnn", "a/9.fastnn", "b.fastnn", "a/.hidden.fastnn", ".c.fastnn"):
        small().save(tmp_path / place)
    (tmp_path / "a" / "notes.txt").write_text("x")
    models = Models(tmp_path)
    assert {name: models.versions(name) for name in models.names()} == {"a": ["1", "9", "10"], "b": ["1"]}
    assert models.get("a").version == "10"


def test_a_folder_is_looked_at_again(tmp_path: Path) -> None:
    small(1).save(tmp_path / "m.fastnn")
    models = Models(tmp_path)
    told: list[tuple[str, str]] = []
    models.listeners.append(lambda event, served: told.append((event, served.name)))
    assert models.refresh() == []
    assert told == []
    first = models.get("m")
    small(2).save(tmp_path / "m.fastnn")
    small(3).save(tmp_path / "n.fastnn")
    assert models.refresh() == []
    np.testing.assert_array_equal(answers(models, "m"), small(2).predict(ROWS))
    np.testing.assert_array_equal(first.model.predict(ROWS), small(1).predict(ROWS))  # who has it may go on
    assert sorted(told) == [("loaded", "m"), ("loaded", "n"), ("unloaded", "m")]
    (tmp_path / "n.fastnn").unlink()
    assert models.refresh() == []
    assert models.names() == ["m"]


def test_a_file_that_is_damaged_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m.fastnn"
    small(1).save(path)
    models = Models(path)
    path.write_bytes(path.read_bytes()[:-5])
    [error] = models.refresh()
    assert "'m'" in error
    assert "stays as it was" in error
    np.testing.assert_array_equal(answers(models, "m"), small(1).predict(ROWS))
    path.unlink()
    [error] = models.refresh()
    assert "no file" in error
    assert models.names() == ["m"]
    small(2).save(path)
    assert models.refresh() == []
    np.testing.assert_array_equal(answers(models, "m"), small(2).predict(ROWS))


def test_a_registry_gives_versions_and_aliases(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    registry = fastnn.registry.open(url)
    for seed in (1, 2, 3):
        registry.save(small(seed), "churn")
    registry.alias("churn", "production", 1)
    models = Models(f"{url}#churn", f"one={url}#churn@production", f"two={url}#churn@2")
    assert {name: models.versions(name) for name in models.names()} == {"churn": ["1", "3"], "one": ["1"], "two": ["2"]}
    np.testing.assert_array_equal(answers(models, "churn", "production"), small(1).predict(ROWS))
    np.testing.assert_array_equal(answers(models, "churn"), small(3).predict(ROWS))
    registry.alias("churn", "production", 2)
    assert models.refresh() == []
    assert models.versions("one") == ["2"]
    assert models.versions("churn") == ["2", "3"]
    np.testing.assert_array_equal(answers(models, "one", "production"), small(2).predict(ROWS))
    with pytest.raises(ValueError, match="nix"):
        Models(f"{url}#nix")
    assert Models(f"{url}#").names() == ["churn"]


def test_mlflow_is_asked_by_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from fastnn import mlflow

    asked_for: list[str] = []

    def load_model(uri: str) -> Any:
        asked_for.append(uri)
        return small()

    monkeypatch.setattr(mlflow, "load_model", load_model)
    monkeypatch.setattr(mlflow, "resolve", lambda uri: "4")
    models = Models("models:/churn@champion")
    assert models.versions("churn") == ["4"]
    assert models.get("churn", "champion").version == "4"
    assert asked_for == ["models:/churn@champion"]
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match=r"fastnn\[mlflow\]"):
        Models("models:/churn/1")


def test_what_comes_with_fastnn_is_served() -> None:
    models = Models("zoo:iris", "flowers=zoo:iris")
    assert models.names() == ["flowers", "iris"]
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)
    np.testing.assert_array_equal(models.get("flowers").model.predict(rows), fastnn.zoo.load("iris").predict(rows))
    with pytest.raises(ValueError, match="digits"):
        Models("zoo:dig")


def test_aliases_and_shares() -> None:
    models = Models()
    for version in (1, 2, 3):
        models.add(small(version), "m", version)
    models.alias("m", "canary", {"1": 3, 2: 1})
    counts = Counter(models.get("m", "canary").version for _ in range(4000))
    assert set(counts) == {"1", "2"}
    assert 0.2 < counts["2"] / 4000 < 0.3  # 0.25, at 7 standard errors
    assert models.aliases("m") == {"canary": {"versions": {"1": 3, "2": 1}, "shadow": None}}
    assert models.get("m").version == "3"
    models.alias("m", "default", 1, shadow=3)
    assert models.get("m").version == "1"
    served, shadow = models.route("m")
    assert shadow is models.get("m", "3")
    models.unload("m", 3)
    assert models.route("m") == (served, None)
    models.unload("m", 1)
    assert models.get("m").version == "2"  # an alias goes with its versions
    assert models.aliases("m") == {"canary": {"versions": {"2": 1}, "shadow": None}}
    models.alias("m", "canary", None)
    models.unload("m")
    assert models.names() == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: m.get("n"), RequestError, "'n'"),
        (lambda m: m.get("m", "7"), RequestError, "'7'"),
        (lambda m: m.unload("m", 7), RequestError, "'7'"),
        (lambda m: m.unload("m", "live"), ValueError, "alias"),
        (lambda m: m.alias("m", "x", 7), ValueError, "'7'"),
        (lambda m: m.alias("m", "x", 1, shadow=7), ValueError, "'7'"),
        (lambda m: m.alias("m", "1", 1), ValueError, "'1'"),
        (lambda m: m.alias("m", "x", {1: 0}), ValueError, "above 0"),
        (lambda m: m.alias("m", "x", {1: "a"}), TypeError, "share"),
        (lambda m: m.alias("m", "a/b", 1), ValueError, "alias"),
        (lambda m: m.add(small(), "a/b"), ValueError, "name"),
        (lambda m: m.add(small(), ".."), ValueError, "name"),
        (lambda m: m.add(7), ValueError, "name"),
        (lambda m: m.add(7, "n"), TypeError, "model"),
        (lambda m: m.add(Sequential([Dense(1)]), "n"), ValueError, "built"),
        (lambda m: m.load("nix.fastnn"), FileNotFoundError, "nix"),
        (lambda m: m.watch(0), ValueError, "seconds"),
    ],
)
def test_what_cannot_be_is_said(call: Any, error: type[Exception], words: str) -> None:
    models = Models()
    models.add(small(), "m")
    models.alias("m", "live", 1)
    with pytest.raises(error, match=words):
        call(models)
    assert models.names() == ["m"]


def test_a_model_with_states_is_refused() -> None:
    model = Sequential([Input(batch_shape=(1, 3, 4)), LSTM(2, stateful=True)], name="m")
    model.build()
    with pytest.raises(ValueError, match="stateful"):
        Models().add(model)


def test_two_places_may_not_have_one_version(tmp_path: Path) -> None:
    small().save(tmp_path / "m.fastnn")
    (tmp_path / "more").mkdir()
    small().save(tmp_path / "more" / "m.fastnn")
    with pytest.raises(ValueError, match="another place"):
        Models(tmp_path / "m.fastnn", tmp_path / "more" / "m.fastnn")


def test_a_watched_folder_is_followed(tmp_path: Path) -> None:
    small(1).save(tmp_path / "m.fastnn")
    models = Models(tmp_path)
    loaded = threading.Event()
    models.listeners.append(lambda event, served: loaded.set() if event == "loaded" else None)
    models.watch(0.01)
    try:
        small(2).save(tmp_path / "m.fastnn")
        assert loaded.wait(60)
    finally:
        models.close()
    np.testing.assert_array_equal(answers(models, "m"), small(2).predict(ROWS))


@pytest.mark.parametrize("inline", [True, False])
def test_models_are_replaced_under_load_without_a_wrong_or_a_lost_answer(inline: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.fastnn"
    variants = [small(seed) for seed in (1, 2)]
    expected = [model.predict(ROWS).ravel() for model in variants]
    variants[0].save(path)
    models = Models(path)
    models.prepare = lambda served: setattr(served, "inline_rows", 10**6 if inline else 0)
    app = serve.app(models)
    found: Counter[int] = Counter()
    done = threading.Event()

    def replace() -> None:
        for number in range(40):
            variants[(number + 1) % 2].save(path)
            os.utime(path, ns=(number, number))  # a stamp may be too coarse to tell two of them
            assert models.refresh() == []
        done.set()

    async def client() -> None:
        while not done.is_set():
            answer = await asked(app, "POST", "/v2/models/m/infer", [GOOD])
            assert answer.status == 200
            data = np.array(answer.json["outputs"][0]["data"], np.float32)
            [which] = [n for n, each in enumerate(expected) if np.array_equal(data, each)]
            found[which] += 1
            await asyncio.sleep(0)

    async def clients() -> None:
        await asyncio.gather(*(client() for _ in range(4)))

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        asyncio.run(clients())
    finally:
        thread.join()
    assert set(found) == {0, 1}


def test_weights_are_mapped_once_and_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.layers.places import place_of
    from fastnn.models import weights

    monkeypatch.setattr(weights, "LEAST_MAPPED", 0)
    models = [small(1), small(1), small(2)]
    expected = [model.predict(ROWS) for model in models]
    for model in models:
        weights.mapped(model.description, str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2
    for model, each in zip(models, expected, strict=True):
        np.testing.assert_array_equal(model.predict(ROWS), each)
        assert isinstance(model.description.store.flat.base, np.memmap)
        assert {place_of(layer).store for layer in model.description.layers()} == {model.description.store}
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    models[0].set_weights([np.zeros_like(each) for each in models[0].get_weights()])
    np.testing.assert_array_equal(models[0].predict(ROWS), 0)
    np.testing.assert_array_equal(models[1].predict(ROWS), expected[1])  # what one writes is its own
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    models[2].compile("adam", "mse")
    models[2].fit(ROWS, ROWS[:, :2], verbose=0)


def test_images_of_weights_go_with_the_last_version_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("uvicorn")
    from fastnn.models import weights
    from fastnn.serve import running

    monkeypatch.setattr(weights, "LEAST_MAPPED", 0)
    models, images = Models(), tmp_path / "images"
    images.mkdir()
    running._share(models, str(images))
    for version, seed in ((1, 1), (2, 1), (3, 2)):
        models.add(small(seed), "m", version)
    counts = [len(list(images.iterdir()))]
    for version in (1, 2, 3):
        models.unload("m", version)
        counts.append(len(list(images.iterdir())))
    assert counts == [2, 2, 1, 0]


def test_a_name_that_no_url_holds_is_said_and_hinders_no_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    registry = fastnn.registry.open(url)
    registry.save(small(1), "m")
    models = Models(f"{url}#")
    registry.save(small(1), "a/b")
    registry.save(small(2), "m")
    [error] = models.refresh()
    assert "a/b" in error
    assert models.versions("m") == ["2"]
    with pytest.raises(ValueError, match="a/b"):
        Models(f"{url}#")


@pytest.mark.parametrize("form", [list, dict])
def test_one_input_by_list_or_name_and_outputs_likewise(form: type) -> None:
    given = Input((4,), name="x")
    first, second = Dense(2, name="a")(given), Dense(1, name="b")(given)
    for takes, gives in (
        ([given] if form is list else {"x": given}, first),
        (given, [first, second] if form is list else {"a": first, "b": second}),
    ):
        model = Model(takes, gives, name="m")
        model.build()
        [place] = model.input_names
        said = post(serve.app(model), infer(tensor(ROWS, name=place))).json["outputs"]
        out = model.predict(ROWS if not isinstance(takes, dict) else {"x": ROWS})
        expected = list(out.values()) if isinstance(out, dict) else out if isinstance(out, list) else [out]
        for each, values in zip(said, expected, strict=True):
            np.testing.assert_allclose(np.array(each["data"], np.float32), values.ravel(), rtol=1e-6)


def test_lists_of_models_and_places(tmp_path: Path) -> None:
    small(2).save(tmp_path / "n.fastnn")
    app = serve.app([small(1), tmp_path / "n.fastnn"])
    assert app.models.names() == ["m", "n"]
    assert post(app, GOOD, "/v2/models/n/infer").json["model_name"] == "n"

"""fastnn.hub: a model in a folder as the Hub has it, on a Hub, and what its card says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.hub import from_pretrained, hub_model, model_card, push_to_hub, save_pretrained
from fastnn.layers import Dense, Flatten, Input
from support.pages import HOME
from support.registries import file_of, model

X = np.random.default_rng(0).normal(size=(20, 4))


def needs_the_hub() -> Any:
    return pytest.importorskip("huggingface_hub", reason="the Hub: pip install 'fastnn[hub]'")


def test_a_folder_comes_back_without_a_network(tmp_path: Path) -> None:
    """In a process that has HF_HUB_OFFLINE from its start, as the Hub's package reads it once."""
    needs_the_hub()
    made = model(1)
    save_pretrained(made, tmp_path / "a" / "net", license="mit", metrics={"mse": 0.25}, notes="On *air*.")
    assert {each.name for each in (tmp_path / "a" / "net").iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert (tmp_path / "a" / "net" / "model.safetensors").read_bytes() == file_of(made)
    code = (
        "import fastnn, numpy, sys\n"
        "loaded = fastnn.hub.from_pretrained(sys.argv[1])\n"
        "print(loaded.predict(numpy.ones((1, 4))).tobytes().hex())\n"
        "try:\n    fastnn.hub.from_pretrained('me/nowhere')\n"
        "except ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path / "a" / "net")],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": HOME},
        capture_output=True,
        text=True,
        check=True,
    )
    bits, refused = done.stdout.splitlines()
    assert bits == made.predict(np.ones((1, 4))).tobytes().hex()
    assert refused.startswith("from_pretrained: 'me/nowhere' cannot be loaded: ")


def test_the_files_are_what_others_read(tmp_path: Path) -> None:
    hub = needs_the_hub()
    save_pretrained(model(1), tmp_path, license="apache-2.0", repo_id="me/net")
    card = hub.ModelCard.load(tmp_path / "README.md")
    assert card.data.to_dict() == {
        "library_name": "fastnn",
        "license": "apache-2.0",
        "pipeline_tag": "tabular-regression",
        "tags": ["fastnn"],
    }
    assert "orch" not in card.text  # the mixin's own card calls each a PyTorch model
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"fastnn_version": fastnn.__version__, "feature_names": []}
    # A file of safetensors, by its definition: the length of a JSON object, the object, the bytes that it names.
    data = (tmp_path / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    arrays = {name: each for name, each in json.loads(data[8 : 8 + size]).items() if name != "__metadata__"}
    assert max(each["data_offsets"][1] for each in arrays.values()) == len(data) - 8 - size
    # A card that its owner has changed stays.
    (tmp_path / "README.md").write_text("mine")
    save_pretrained(model(2), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert file_of(from_pretrained(tmp_path)) == file_of(model(2))


def test_the_mixin(tmp_path: Path) -> None:
    hub = needs_the_hub()
    made = hub_model()(model(1), {"license": "mit"})
    assert isinstance(made, hub.ModelHubMixin)
    made.save_pretrained(tmp_path, model_card_kwargs={"notes": "Said later."})
    assert "Said later." in (tmp_path / "README.md").read_text()
    assert file_of(hub_model().from_pretrained(tmp_path).model) == file_of(model(1))
    with pytest.raises(TypeError, match=r"model must be a fastnn\.models\.Model"):
        hub_model()("net")


def test_to_a_hub_and_back(hub: dict[str, Any]) -> None:
    url = push_to_hub(model(1), "me/net", notes="Mine.", commit_message="first")
    [commit] = hub["me/net"].commits
    assert url.endswith(f"/me/net/commit/{commit}")
    push_to_hub(model(2), "me/net", private=True)
    assert file_of(from_pretrained("me/net")) == file_of(model(2))
    assert file_of(from_pretrained("me/net", revision=commit)) == file_of(model(1))
    assert from_pretrained("me/net", compile=False).optimizer is None
    assert 'from_pretrained("me/net")' in hub["me/net"].commits[commit]["README.md"].decode()
    for name, revision, words in (
        ("me/nett", None, "Repository Not Found"),
        ("me/net", "v9", "Revision Not Found"),
        ("a b", None, "Repo id must"),
    ):
        with pytest.raises(ValueError, match=f"from_pretrained: '{name}' cannot be loaded: .*{words}"):
            from_pretrained(name, revision=revision)
    with pytest.raises(ValueError, match=r"push_to_hub: 'a b/c' cannot be written: Repo id must"):
        push_to_hub(model(1), "a b/c")
    with pytest.raises(TypeError, match="no_such_option"):
        push_to_hub(model(1), "me/net", no_such_option=1)


def test_what_is_no_model_of_fastnn(hub: dict[str, Any], tmp_path: Path) -> None:
    push_to_hub(model(1), "me/net")
    for config in (b'{"model_type": "bert"}', b'{"fastnn_version": 3}', b'{"model": 3, "token": 4}'):
        hub["me/net"].commit({"config.json": config})
        with pytest.raises(
            ValueError, match=r"'me/net' is no fastnn model: config\.json should say fastnn_version, got "
        ):
            from_pretrained("me/net")
    for config in (b"{", b"[]", b"\xff"):
        hub["me/net"].commit({"config.json": config})
        with pytest.raises(ValueError, match="'me/net' cannot be loaded: "):
            from_pretrained("me/net")
    with pytest.raises(ValueError, match="should say fastnn_version, got no such file"):
        from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"fastnn_version": "0.1"}')
    with pytest.raises(ValueError, match=r"cannot be loaded: .*No such file"):
        from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(ValueError, match="as no safetensors file does"):
        from_pretrained(tmp_path)


# The card, which needs no other package


def test_what_a_card_says() -> None:
    fastnn.set_random_seed(1)
    kinds = fastnn.Sequential([Input((2, 3, 1)), Flatten(), Dense(2, "softmax", name="a|b*c")])
    text = model_card(kinds, repo_id="me/net_1", metrics={"top|1": 0.123456, "n": 3}, notes="  # Data\nAir.\n")
    assert "pipeline_tag: image-classification\n" in text
    assert "license" not in text
    assert "# me/net\\_1\n" in text
    assert "# Data\nAir.\n" in text
    assert "| top\\|1 | 0.1235 |\n| n | 3 |\n" in text
    assert "| a\\|b\\*c | Dense |" in text
    assert "It reads rows of shape (2, 3, 1), and gives rows of shape (2,)." in text
    assert f"{kinds.count_params()} parameters; saved by fastnn {fastnn.__version__}." in text
    both = [Input((1,)), Input((2,))]
    several = fastnn.Model(both, [Dense(1)(both[0]), Dense(2)(both[1])])
    text = model_card(several)
    assert "pipeline_tag" not in text
    assert "It reads rows of shape (1,) and (2,), and gives rows of shape (1,) and (2,)." in text


def test_what_no_card_can_say() -> None:
    for odd in ("a: b", "", "mit\n", 3):
        with pytest.raises(ValueError, match="model_card: license must be a word such as 'mit'"):
            model_card(model(1), license=odd)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="metrics must be a dict"):
        model_card(model(1), metrics=[0.5])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="notes must be a string"):
        model_card(model(1), notes=None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="is not built yet"):
        model_card(fastnn.Sequential([Dense(1)]))
    with pytest.raises(TypeError, match=r"model_card: model must be a fastnn\.models\.Model"):
        model_card(None)


def test_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    hub_model.cache_clear()
    for call in (
        lambda: save_pretrained(model(), tmp_path),
        lambda: from_pretrained(tmp_path),
        lambda: push_to_hub(model(), "me/net"),
        hub_model,
    ):
        with pytest.raises(ImportError, match=r'fastnn\.hub needs huggingface_hub: pip install "fastnn\[hub\]"'):
            call()
    assert list(tmp_path.iterdir()) == []

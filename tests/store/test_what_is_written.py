"""What could not be read again is not written: the error says so, and the file that was there stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.layers import Dense
from fastnn.models import Sequential, load_model
from fastnn.store import document, safetensors
from fastnn.store.versions import BACKUP, MODEL


def deep() -> Any:
    found: Any = 1.0
    for _ in range(100_000):
        found = [found]
    return found


def holds_itself() -> Any:
    found: dict[str, Any] = {}
    found["a"] = found
    return found


UNWRITTEN = {
    "deep": (deep, ValueError, "deeper nesting"),
    "itself": (holds_itself, ValueError, "cannot be written as JSON"),
    "half a character": (lambda: {"a": "\ud800"}, ValueError, "lone surrogates"),
    "half a character in a name": (lambda: {"\udc80": 1}, ValueError, "lone surrogates"),
    "too many digits": (lambda: {"a": 10**5000}, ValueError, "cannot be written as JSON"),
    "a key of no text": (lambda: {"a": {(1,): 1}}, TypeError, "cannot be written as JSON: keys must be"),
    "an object": (lambda: {"a": object()}, TypeError, "numbers, texts"),
}


@pytest.mark.parametrize("name", UNWRITTEN)
@pytest.mark.parametrize("kind", [MODEL, BACKUP])
def test_what_no_file_can_say(tmp_path: Path, name: str, kind: str) -> None:
    make, error, message = UNWRITTEN[name]
    path = tmp_path / "there.fastnn"
    path.write_bytes(b"before")
    with pytest.raises(error, match=message) as caught:
        document.write(path, kind, {"a": np.zeros(2)}, make())
    assert type(caught.value) is error
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("described", [1.5, [], "a", None, True], ids=repr)
@pytest.mark.parametrize("form", ["fastnn 1", "fastnn 2", "fastnn 3", "fastnn 4"])
def test_a_description_that_is_no_object(tmp_path: Path, described: Any, form: str) -> None:
    path = tmp_path / "model.fastnn"
    safetensors.write(path, {"a": np.zeros(2)}, {"format": form, "model": json.dumps(described)})
    with pytest.raises(ValueError, match="expected an object, got"):
        load_model(path)


@pytest.mark.parametrize("training", [{"loss": 1, "metrics": []}, {"loss": {}, "metrics": 1}, {"metrics": []}, [], 1])
def test_a_training_of_version_1_that_is_none(tmp_path: Path, training: Any) -> None:
    path = tmp_path / "model.fastnn"
    described = {"layers": [], "name": "a", "seed": 1, "input_shape": None, "training": training}
    safetensors.write(path, {"a": np.zeros(2)}, {"format": "fastnn 1", "model": json.dumps(described)})
    with pytest.raises(ValueError, match=r"expected (a list|an object|'loss')"):
        load_model(path)


@pytest.mark.parametrize("path", ["a\ud800", "\ud800/a", "a\0b", ""], ids=ascii)
def test_paths_that_no_file_can_have(path: str) -> None:
    model = Sequential([Dense(1, input_dim=1)])
    for call in (model.save, model.save_weights, model.load_weights, load_model):
        with pytest.raises(ValueError, match="filepath must be a path") as caught:
            call(path)
        assert type(caught.value) is ValueError

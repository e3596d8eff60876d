"""Files that older versions wrote: samples of each number of the format, made by the code of its time.

Beside each lies what it gave then: predictions for x, weights, and, where the model was compiled, the weights after one
more epoch in batches of 8 without shuffling (of all rows for L-BFGS).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.layers import BatchNormalization, Dense
from fastnn.models import Sequential, load_model
from fastnn.store import safetensors
from fastnn.store.versions import VERSION

SAMPLES = Path(__file__).parent / "samples"
MODELS = sorted(path.stem for path in SAMPLES.glob("*.fastnn"))


def truth_of(name: str) -> dict[str, Any]:
    """What the .npz of a sample holds; lists and dicts were taken apart by names with a dot."""
    found: dict[str, Any] = {}
    with np.load(SAMPLES / f"{name}.npz") as file:
        for key, array in file.items():
            group, _, part = key.partition(".")
            if part:
                found.setdefault(group, {})[part] = array
            else:
                found[group] = array
    for group in ("weights", "after"):
        if group in found:
            found[group] = [found[group][str(number)] for number in range(len(found[group]))]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_an_older_version(name: str, tmp_path: Path) -> None:
    truth = truth_of(name)
    model = load_model(SAMPLES / f"{name}.fastnn")
    for array, was in zip(model.get_weights(), truth["weights"], strict=True):
        np.testing.assert_array_equal(array, was)
    if "predicted" in truth:
        found, was = model.predict(truth["x"]), truth["predicted"]
        for part in was if isinstance(was, dict) else [None]:
            np.testing.assert_allclose(
                found if part is None else found[part], was if part is None else was[part], rtol=1e-5, atol=1e-6
            )
    model.save(tmp_path / "again")
    if "after" in truth:
        for each in (model, load_model(tmp_path / "again")):
            each.fit(truth["x"], truth["y"], 24 if "lbfgs" in name else 8, 1, 0, shuffle=False)
            for array, was in zip(each.get_weights(), truth["after"], strict=True):
                np.testing.assert_allclose(array, was, rtol=1e-4, atol=1e-5)
    _, metadata = safetensors.read(tmp_path / "again")
    assert metadata["format"] == f"fastnn {VERSION}"


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.safetensors")), ids=lambda path: path.stem)
def test_weights_of_an_older_version(path: Path) -> None:
    model = Sequential([Dense(4, input_dim=6), BatchNormalization(), Dense(2)])
    model.load_weights(path)
    for array, was in zip(model.get_weights(), truth_of(path.stem)["weights"], strict=True):
        np.testing.assert_array_equal(array, was)


def test_every_version_has_a_sample() -> None:
    there = {int(name.partition("_")[0].partition(".")[0]) for name in MODELS}
    assert there == set(range(1, VERSION))


@pytest.mark.parametrize("form", ["fastnn 0", "fastnn 3x", "fastnn ", "fastnn -1", "fastnn 01", "fastnn backup 1"])
def test_what_is_no_version(form: str, tmp_path: Path) -> None:
    tensors, metadata = safetensors.read(SAMPLES / "2_sequential.fastnn")
    safetensors.write(tmp_path / "model", tensors, {**metadata, "format": form})
    with pytest.raises(ValueError, match=rf"is not a fastnn model: expected format 'fastnn {VERSION}' or older, got"):
        load_model(tmp_path / "model")

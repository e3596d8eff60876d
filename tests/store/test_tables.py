"""Vocabularies and boundaries in a model's file: whatever stands there is a table or an error, and is bounded by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.models import Model, load_model
from fastnn.store import safetensors

WORDS = ["red", "blue", "été", "漢字", "a\nb", "\0", "😀" * 50]


def saved(path: Path) -> Model:
    text, number = L.Input((1,), name="text", dtype="string"), L.Input((1,), name="number")
    lookup = L.StringLookup(output_mode="tf_idf")
    lookup.set_vocabulary(WORDS, np.linspace(0.5, 2, len(WORDS)))
    bins = L.Discretization(num_bins=3)
    bins.adapt(np.arange(30.0))
    model = Model([text, number], L.Dense(2)(L.Concatenate()([lookup(text), bins(number)])))
    model.save(path)
    return model


def changed(path: Path, change: Any) -> None:
    """The file with its arrays and description changed."""
    arrays, metadata = safetensors.read(path)
    described = json.loads(metadata["model"])
    change(arrays, described)
    safetensors.write(path, arrays, metadata | {"model": json.dumps(described)})


def test_tables_lie_beside_the_weights(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    arrays, metadata = safetensors.read(tmp_path / "model")
    tables = {name.split("/")[2] for name in arrays if name.startswith("tables/")}
    assert tables == {"bin_boundaries", "idf_weights", "vocabulary", "vocabulary_ends"}
    assert "red" not in metadata["model"]
    loaded = load_model(tmp_path / "model")
    x = [np.array([*WORDS, "?"]), np.linspace(-3, 40, len(WORDS) + 1)]
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    lookup = next(layer for layer in loaded.layers if isinstance(layer, L.StringLookup))
    assert lookup.get_vocabulary(include_special_tokens=False) == WORDS


def test_a_large_vocabulary(tmp_path: Path) -> None:
    words = [f"token {k}" for k in range(300_000)]
    text = L.Input((1,), dtype="string")
    model = Model(text, L.StringLookup(vocabulary=words)(text))
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.layers[1].get_vocabulary(include_special_tokens=False) == words
    np.testing.assert_array_equal(loaded.predict(words[-5:])[:, 0], np.arange(299_996, 300_001))


def _name(arrays: Any, last: str) -> str:
    return next(name for name in arrays if name.startswith("tables/") and name.endswith("/" + last))


def _set(last: str, make: Any) -> Any:
    def change(arrays: Any, described: Any) -> None:
        name = _name(arrays, last)
        arrays[name] = make(arrays[name])

    return change


def _drop(last: str) -> Any:
    return lambda arrays, described: arrays.pop(_name(arrays, last)) is None


def _rename(arrays: Any, described: Any) -> None:
    next(layer for layer in described["layers"] if "tables" in layer)["tables"] = ["vocabulary", "other"]


def _to_dense(arrays: Any, described: Any) -> None:
    next(layer for layer in described["layers"] if layer["class"] == "dense")["tables"] = ["vocabulary"]


@pytest.mark.parametrize(
    "change",
    [
        _drop("vocabulary"),
        _drop("vocabulary_ends"),
        _drop("idf_weights"),
        _drop("bin_boundaries"),
        _set("vocabulary", lambda a: a[:-1]),
        _set("vocabulary", lambda a: np.full_like(a, 0xFF)),
        _set("vocabulary", lambda a: a.astype(np.float32)),
        _set("vocabulary", lambda a: np.full_like(a, ord("x"))),
        _set("vocabulary_ends", lambda a: a[::-1].copy()),
        _set("vocabulary_ends", lambda a: a - 10),
        _set("vocabulary_ends", lambda a: a + 2**62),
        _set("vocabulary_ends", lambda a: a[:-1]),
        _set("vocabulary_ends", lambda a: a.astype(np.float64)),
        _set("vocabulary_ends", lambda a: a.reshape(1, -1)),
        _set("vocabulary_ends", lambda a: np.zeros(0, np.int64)),
        _set("vocabulary_ends", lambda a: np.repeat(a[-1:], 10)),
        _set("idf_weights", lambda a: a[:-1]),
        _set("idf_weights", lambda a: a.reshape(-1, 1)),
        _set("idf_weights", lambda a: a.astype(np.float64)),
        _set("idf_weights", lambda a: np.full_like(a, np.nan)),
        _set("bin_boundaries", lambda a: a[::-1].copy()),
        _set("bin_boundaries", lambda a: a * np.nan),
        _set("bin_boundaries", lambda a: a.reshape(-1, 1)),
        _set("bin_boundaries", lambda a: np.append(a, 99.0)),
        _set("bin_boundaries", lambda a: a.astype(np.int32)),
        _rename,
        _to_dense,
        lambda arrays, described: arrays.update({"tables/99/vocabulary": np.zeros(3, np.uint8)}),
        lambda arrays, described: described["layers"][0].update(tables="vocabulary"),
        lambda arrays, described: described["layers"][0].update(tables=[["vocabulary"]]),
    ],
)
def test_damage(change: Any, tmp_path: Path) -> None:
    saved(tmp_path / "model")
    changed(tmp_path / "model", change)
    with pytest.raises(ValueError, match="model"):
        load_model(tmp_path / "model")


def test_weights_alone(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    before = model.get_weights()
    model.set_weights([w + 1 for w in before])
    model.load_weights(tmp_path / "model")  # of a whole model: its tables stay where they are
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)

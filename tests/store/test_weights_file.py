"""Model.save_weights and load_weights: the weights alone, to the bit, into a model of the same shapes."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.store import safetensors
from support.small import bits, model_of, rows


def test_a_round_trip(tmp_path):
    model, other = model_of(), model_of("sgd")
    model.fit(*rows(), verbose=0)
    model.save_weights(tmp_path / "weights")
    state = other.description.trainer.state()
    other.load_weights(tmp_path / "weights")
    assert bits(other) == bits(model)
    assert other.description.trainer.state() == state  # the optimizer is not in it
    np.testing.assert_array_equal(other.predict(rows()[0]), model.predict(rows()[0]))


def test_what_is_there_may_stay(tmp_path):
    model = model_of()
    model.save_weights(tmp_path / "weights")
    model.set_weights([w + 1 for w in model.get_weights()])
    with pytest.raises(FileExistsError, match="pass overwrite=True or another name"):
        model.save_weights(tmp_path / "weights", overwrite=False)
    before = (tmp_path / "weights").read_bytes()
    model.save_weights(tmp_path / "weights")
    assert (tmp_path / "weights").read_bytes() != before


def test_weights_of_another_model(tmp_path):
    model = model_of()
    model.save_weights(tmp_path / "weights")
    for other in (Sequential([Dense(2, input_dim=5)]), Sequential([Dense(9, input_dim=4), Dense(2)])):
        before = bits(other)
        with pytest.raises(ValueError, match="weights does not fit this model: "):
            other.load_weights(tmp_path / "weights")
        assert bits(other) == before


def test_files_that_are_none(tmp_path):
    model = model_of()
    before = bits(model)
    safetensors.write(tmp_path / "other", {}, {"format": "fastnn weights 9"})
    safetensors.write(tmp_path / "names", {"a": np.zeros(3, np.float32)}, {"format": "fastnn weights 2"})
    (tmp_path / "text").write_text("nothing of the kind")
    for name, message in (
        ("other", "is no file of weights: expected format 'fastnn weights 4' or older, got 'fastnn weights 9'"),
        ("names", "does not fit this model"),
        ("text", "cannot read"),
    ):
        with pytest.raises(ValueError, match=message):
            model.load_weights(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "missing")
    assert bits(model) == before
    with pytest.raises(RuntimeError, match="needs the model's weights"):
        Sequential([Dense(3)]).save_weights(tmp_path / "unbuilt")

"""Weights by the names of others."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import layers as L
from fastnn.exchange import load_state_dict
from fastnn.models import Model, Sequential
from fastnn.store import safetensors

RNG = np.random.default_rng(0)


def array(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def dense() -> Any:
    return Sequential([L.Input((4,)), L.Dense(5, name="a"), L.BatchNormalization(name="n"), L.Dense(3, name="b")])


def state() -> dict[str, Any]:
    norm = {f"1.{name}": abs(array(5)) for name in ("weight", "bias", "running_mean", "running_var")}
    first = {"0.weight": array(5, 4), "0.bias": array(5)}
    return {**first, **norm, "1.num_batches_tracked": np.array(7), "2.weight": array(3, 5), "2.bias": array(3)}


def test_by_order() -> None:
    model, given = dense(), state()
    load_state_dict(model, given)
    expected = [given["0.weight"].T, given["0.bias"], *(given[name] for name in [*given][2:6])]
    for found, wanted in zip(model.get_weights(), [*expected, given["2.weight"].T, given["2.bias"]], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_in_another_order_where_shapes_say_it_and_by_map() -> None:
    given = state()
    turned = dict(reversed(given.items()))
    model, other = dense(), dense()
    load_state_dict(model, given)
    load_state_dict(other, turned)
    for found, wanted in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    two = Sequential([L.Input((4,)), L.Dense(4, name="a"), L.Dense(4, name="b")])
    square = {"x.weight": array(4, 4), "x.bias": array(4), "y.weight": array(4, 4), "y.bias": array(4)}
    load_state_dict(two, square, map={"x": "b", "y": "a"})
    np.testing.assert_array_equal(two.get_layer("b").get_weights()[0], square["x.weight"].T)
    np.testing.assert_array_equal(two.get_layer("a").get_weights()[1], square["y.bias"])
    load_state_dict(two, square, map={"x.weight": "a/kernel", "x.bias": "a/bias"})  # the rest stays
    np.testing.assert_array_equal(two.get_layer("a").get_weights()[0], square["x.weight"].T)
    np.testing.assert_array_equal(two.get_layer("b").get_weights()[0], square["x.weight"].T)


def test_by_fastnns_names() -> None:
    model = dense()
    arrays = {name: array(*view.shape) for name, view in model.description.arrays().items() if "moving" not in name}
    load_state_dict(model, arrays)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], arrays["a/kernel"])
    del arrays["b/bias"]
    with pytest.raises(ValueError, match="missing b/bias"):
        load_state_dict(model, arrays)
    with pytest.raises(ValueError, match="cannot tell which"):
        load_state_dict(model, {**arrays, "b/bias": array(3), "c/bias": array(3)})
    other = {name.replace("a/", "first/").replace("b/", "last/"): w for name, w in model.description.arrays().items()}
    fresh = dense()
    load_state_dict(fresh, {name: w.copy() for name, w in other.items()})  # in order, the kernels as they are
    np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])


def test_files(tmp_path: Path) -> None:
    model, given = dense(), state()
    safetensors.write(tmp_path / "m.safetensors", given, {})
    load_state_dict(model, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(model.get_weights()[0], given["0.weight"].T)
    (tmp_path / "m.pt").write_bytes(pickle.dumps(given))
    with pytest.raises(ValueError, match=r"weights_only=True"):
        load_state_dict(model, tmp_path / "m.pt")
    (tmp_path / "bad.safetensors").write_bytes(pickle.dumps(given))
    with pytest.raises(ValueError, match="safetensors"):
        load_state_dict(model, str(tmp_path / "bad.safetensors"))
    with pytest.raises(FileNotFoundError):
        load_state_dict(model, tmp_path / "none.safetensors")


def test_what_does_not_go_together_changes_nothing() -> None:
    model = dense()
    before = model.get_weights()
    given = state()
    odd: list[tuple[Any, Any, str]] = [
        ({}, None, "the state has nothing"),
        ({"0.weight": array(5, 3)}, None, r"give map=.*0 \[\(5, 3\)\].*a \[\(4, 5\), \(5,\)\]"),
        ({**given, "3.weight": array(2, 3)}, None, "cannot tell"),
        ({**given, "2.bias": array(4)}, None, "cannot tell"),
        (given, {"0": "b"}, r"'0' does not go into 'b'.*has shape \(5, 3\), got \(4, 5\)"),
        (given, {"7": "b"}, "map has '7': 'b'; expected a module of the state, 0, 1, 2"),
        (given, {"0": "c"}, "one layer of the model each, a, n, b"),
        (given, {"0": "a", "1": "a"}, "map has '1': 'a'"),
        ({**given, "0.extra": array(2)}, {"0": "a"}, "no place for extra"),
        ({"0.weight": given["0.weight"]}, {"0": "a"}, "needs 'bias', got weight"),
        ({**given, "0.bias": np.full(5, "x")}, None, "state"),
    ]
    for state_given, names, says in odd:
        with pytest.raises((ValueError, TypeError), match=f"(?i){says}"):
            load_state_dict(model, state_given, names)
    for wrong in (3, [array(2)], None):
        with pytest.raises(TypeError, match="state must be a dict"):
            load_state_dict(model, wrong)
    with pytest.raises(TypeError, match="map must be a dict"):
        load_state_dict(model, given, ["0"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="names must be texts"):
        load_state_dict(model, {0: array(2)})
    with pytest.raises(TypeError, match="model must be a fastnn model"):
        load_state_dict({}, given)
    with pytest.raises(ValueError, match="is not built"):
        load_state_dict(Sequential([L.Dense(2)]), given)
    for found, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_all_of_pytorchs_forms() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.heads = nn.Embedding(9, 6), nn.MultiheadAttention(6, 2, batch_first=True)
            self.norm, self.steps = nn.LayerNorm(6), nn.LSTM(6, 3, 2, batch_first=True, bidirectional=True)
            self.gru, self.conv = nn.GRU(6, 4, batch_first=True), nn.Conv1d(4, 5, 3)
            self.slope, self.up = nn.PReLU(5), nn.ConvTranspose1d(5, 2, 3)

        def forward(self, x: Any) -> Any:
            x = self.words(x)
            x = self.norm(x + self.heads(x, x, x)[0])
            x = self.gru(self.steps(x)[0])[0].transpose(1, 2)
            return self.up(self.slope(self.conv(x))).transpose(1, 2)

    module = Module().eval()
    first = L.Input((7,))
    x = L.Embedding(9, 6)(first)
    x = L.LayerNormalization(epsilon=1e-5)(L.Add()([x, L.MultiHeadAttention(2, 3)(x, x)]))
    for _ in range(2):
        x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.PReLU(shared_axes=[1])(L.Conv1D(5, 3)(L.GRU(4, return_sequences=True)(x)))
    model = Model(first, L.Conv1DTranspose(2, 3)(x))
    load_state_dict(model, module.state_dict())
    ids = np.random.default_rng(0).integers(0, 9, (4, 7))
    with torch.no_grad():
        expected = module(torch.from_numpy(ids)).numpy()
    np.testing.assert_allclose(model.predict(ids.astype(np.float32), verbose=0), expected, rtol=0, atol=1e-5)
    half = {name: each.to(torch.bfloat16) for name, each in module.state_dict().items()}
    load_state_dict(model, half)

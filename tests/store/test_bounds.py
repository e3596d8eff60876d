"""Files made to cost time or memory: each is refused before the work that it asks for, whatever that would be.

Work is counted, not timed: the calls of layers that are drawn, the layers that are made, the numbers of metrics.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from fastnn import Input, Model, Sequential
from fastnn.callbacks import BackupAndRestore
from fastnn.layers import (
    LAYERS,
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    LayerNormalization,
    Permute,
    PReLU,
    Rescaling,
    Reshape,
    TimeDistributed,
    tensor as tensors,
)
from fastnn.metrics import AUC, METRICS, MeanIoU
from fastnn.models import load_model, model_from_json
from fastnn.store import document, safetensors, text

INPUT: dict[str, Any] = Input((1,)).node.layer.config()


def config(layer: Any, **fields: Any) -> dict[str, Any]:
    return {**layer.config(), "name": layer.table_name, "automatic": True, **fields}


def sequential(layers: list[Any], shape: Any = (1,), **more: Any) -> dict[str, Any]:
    members = [["layer", number] for number in range(len(layers))]
    model = {"kind": "sequential", "name": "s", "automatic": False, "members": members, "input_shape": shape}
    return {"layers": layers, "models": [model], "seed": 1, "training": None, **more}


def functional(layers: list[Any], nodes: list[Any]) -> dict[str, Any]:
    layers = [{**INPUT, "automatic": True}, *layers]
    model = {
        "kind": "functional",
        "name": "f",
        "automatic": False,
        "members": [["layer", number] for number in range(len(layers))],
        "nodes": [[0, []], *nodes],
        "inputs": ["one", ["x"], [[0, 0]]],
        "outputs": ["one", ["y"], [[len(nodes), 0]]],
    }
    return {"layers": layers, "models": [model], "seed": 1, "training": None}


def shared(levels: int, shape: Any) -> dict[str, Any]:
    """Two models at each level, both of the two of the level before: 2**levels ways from the top to the bottom."""
    models = [
        {"kind": "sequential", "name": name, "automatic": False, "members": [["layer", number]], "input_shape": None}
        for number, name in enumerate("ab")
    ]
    for level in range(1, levels):
        members = [["model", 2 * level - 2], ["model", 2 * level - 1]]
        models += [{**models[0], "name": f"{name}{level}", "members": members} for name in "ab"]
    members = [["model", 2 * levels - 2], ["model", 2 * levels - 1]]
    models.append({**models[0], "name": "top", "members": members, "input_shape": shape})
    return {"layers": [config(Dropout(0.5))] * 2, "models": models, "seed": 1, "training": None}


def nested(levels: int) -> Any:
    layer: Any = BatchNormalization()
    for _ in range(levels):
        layer = TimeDistributed(layer)
    return layer


def calls(count: int, reads: int = 1) -> list[Any]:
    return [[1, [[number, 0]] * reads] for number in range(count)]


STEPS = config(TimeDistributed(BatchNormalization()))
DESCRIPTIONS = {
    "calls of a layer": functional([config(Dropout(0.5))], calls(20_000)),
    "calls, some too many": functional([config(Dropout(0.5))], calls(1500)),
    "tensors read by a call": functional([config(Add())], [[1, [[0, 0]] * 25_000]]),
    "tensors read by all calls": functional([config(Add())], calls(900, 30)),
    "layers": sequential([config(Dropout(0.5))] * 5000),
    "layers of one name": sequential([config(Dropout(0.5), name="d")] * 1001),
    "ways through models": shared(60, [1]),
    "ways through models without a shape": shared(400, None),
    "steps of sequences": sequential([STEPS] * 500, [332, 1]),
    "steps of steps": sequential([config(nested(2))], [300, 300, 1]),
    "steps of steps of steps": sequential([config(nested(29))], [2] * 30 + [1]),
    "layers inside of layers": sequential([config(nested(200))], [2] * 30 + [1]),
    "axes": sequential([config(LayerNormalization(), axis=[1] * 50_000)]),
    "places of axes": sequential([config(Permute((1,)), dims=list(range(1, 50_000)))]),
    "shared axes": sequential([config(PReLU(), shared_axes=[1] * 50_000)]),
    "sizes": sequential([config(Reshape((1,)), target_shape=[1] * 50_000)]),
    "sizes of the input": sequential([config(Dropout(0.5))], [1] * 50_000),
    "sizes of noise": sequential([config(Dropout(0.5), noise_shape=[1] * 50_000)]),
    "numbers of another row": sequential([config(Rescaling(1.0), scale=[0.5] * 50_000)], [7]),
    "characters of a name": sequential([config(Dropout(0.5), name="n" * 5_000_000, automatic=False)]),
}


@pytest.fixture
def drawn(monkeypatch):
    """Counts the calls of layers and the layers that are made."""
    counts = {"calls": 0, "layers": 0}
    begin, make = tensors.Node.__init__, LAYERS.from_config

    def node(self, *arguments):
        counts["calls"] += 1
        begin(self, *arguments)

    def layer(*arguments):
        counts["layers"] += 1
        return make(*arguments)

    monkeypatch.setattr(tensors.Node, "__init__", node)
    monkeypatch.setattr(LAYERS, "from_config", layer)
    return counts


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions(name, tmp_path, drawn):
    path = tmp_path / "model.fastnn"
    model = json.dumps(DESCRIPTIONS[name])
    safetensors.write(path, {}, {"format": "fastnn 3", "model": model})
    with pytest.raises(ValueError, match=r"model\.fastnn") as error:
        load_model(path)
    assert len(str(error.value)) < 2000
    assert drawn["calls"] < 6 * tensors.MAX_LAYERS
    assert drawn["layers"] <= 2 * tensors.MAX_LAYERS


@pytest.mark.parametrize("name", ["calls of a layer", "tensors read by all calls", "layers", "ways through models"])
def test_descriptions_without_a_file(name, drawn):
    with pytest.raises(ValueError, match="at most"):
        model_from_json(json.dumps(DESCRIPTIONS[name]))
    assert drawn["calls"] < 6 * tensors.MAX_LAYERS


def trained(path) -> dict[str, Any]:
    model = Sequential([Dense(2, input_dim=2)])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0)
    model.save(path)
    return json.loads(safetensors.read(path)[1]["model"])


def metric(unit: Any, **fields: Any) -> dict[str, Any]:
    return {"family": "metric", **METRICS.config(unit), **fields}


METRIC_LISTS = {
    "names": ["mae"] * 100_000,
    "thresholds of one": [metric(AUC(), num_thresholds=10**12)],
    "thresholds of all": [metric(AUC(), num_thresholds=10**5)] * 100,
    "classes of one": [metric(MeanIoU(2), num_classes=10**9)],
    "classes of all": [metric(MeanIoU(2), num_classes=10**4)] * 100,
    "nested": json.loads("[" * 900 + "]" * 900),
}


@pytest.mark.parametrize("name", METRIC_LISTS)
def test_metrics(name, tmp_path, monkeypatch):
    path = tmp_path / "model.fastnn"
    described = trained(path)
    arrays, _ = safetensors.read(path)
    described["training"]["metrics"] = METRIC_LISTS[name]
    safetensors.write(path, arrays, {"format": "fastnn 3", "model": json.dumps(described)})
    monkeypatch.setattr(METRICS, "from_config", lambda *_: pytest.fail("a metric was made"))
    with pytest.raises(ValueError, match=r"model\.fastnn"):
        load_model(path)


def test_what_could_not_be_read_is_not_written(tmp_path):
    """The same counts, where a model is saved: an error then, and no file that nobody can load."""
    path = tmp_path / "model.fastnn"
    model = Sequential([Dense(2, input_dim=2)])
    model.compile("adam", "mse", metrics=[AUC(num_thresholds=10**5) for _ in range(5)])
    with pytest.raises(ValueError, match="at most 262,144 thresholds of metrics, got 500,000"):
        model.save(path)
    x = Input((1,))
    wide = [Dropout(0.5)(x) for _ in range(60)]
    for _ in range(400):
        wide.append(Add()(wide[-60:]))
    model = Model(x, wide[-1])
    with pytest.raises(ValueError, match="read at most 20,000 tensors"):
        model.save(path)
    with pytest.raises(ValueError, match="at most 12,288 arrays, got 20,000"):
        safetensors.write(path, {f"w{number}": np.ones(1) for number in range(20_000)}, {})
    with pytest.raises(ValueError, match="values are expected"):
        safetensors.write(path, {}, {"a": "," * 300_000})
    assert list(tmp_path.iterdir()) == []


HEADERS = {
    "values": b'{"a":[' + b"1," * 8_000_000 + b"1]}",
    "lists": b'{"a":[' + b"[]," * 5_000_000 + b"1]}",
    "objects": b'{"a":[' + b"{}," * 5_000_000 + b"1]}",
    "keys": b"{" + b",".join(b'"%d":1' % number for number in range(400_000)) + b"}",
    "nesting": b'{"a":' + b"[" * 8_000_000,
    "tensors": json.dumps(
        {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    ).encode(),
    "digits": b'{"a":' + b"9" * 16_000_000 + b"}",
    "digits of many": b'{"a":[' + (b"9" * 4000 + b",") * 4000 + b"1]}",
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name, tmp_path, monkeypatch):
    """What is counted is refused before it is parsed; what is parsed has few values."""
    parsed = []
    loads = json.loads
    monkeypatch.setattr(text.json, "loads", lambda given, **how: parsed.append(len(given)) or loads(given, **how))
    path = tmp_path / "w"
    raw = HEADERS[name]
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    with pytest.raises(safetensors.DamagedFileError, match=r"cannot read .*w'") as error:
        safetensors.read(path)
    assert len(str(error.value)) < 600
    assert bool(parsed) == (name in ("tensors", "digits", "digits of many"))


@pytest.mark.parametrize("digits", [40, 60, 5000])
def test_digits(digits):
    """As many as the state of a generator has, in a text of any length; no number of thousands."""
    for blanks in (0, text.SHORT):
        given = "[" + "7" * digits + " " * blanks + "]"
        if digits == 40 or (digits == 60 and not blanks):
            assert text.parsed(given) == [int("7" * digits)]
        else:
            with pytest.raises(ValueError, match="digits"):
                text.parsed(given)


# Not the file's fault


def no_room(*_args, **_named):
    raise MemoryError("no room")


@pytest.mark.parametrize("what", ["load_model", "load_weights", "backup"])
def test_a_good_file_that_has_no_room_is_not_called_damaged(what, tmp_path, monkeypatch):
    path = tmp_path / "latest.fastnn"
    trained(path)
    model = Sequential([Dense(2, input_dim=2)])
    model.compile("adam", "mse")
    if what == "backup":
        path.unlink()
        backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
        model.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0, callbacks=[backup])
    use = {
        "load_model": lambda: load_model(path),
        "load_weights": lambda: model.load_weights(path),
        "backup": lambda: model.fit(np.ones((2, 2)), np.ones((2, 2)), epochs=2, verbose=0, callbacks=[backup]),
    }[what]
    before = [array.copy() for array in model.get_weights()]
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.np, "empty", no_room)
        with pytest.raises(MemoryError, match="no room"):
            use()
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    use()


def test_the_disk_is_not_the_file_either(tmp_path, monkeypatch):
    path = tmp_path / "model.fastnn"
    trained(path)

    def broken(*_args):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(safetensors, "_read_array", broken)
    with pytest.raises(OSError, match="Input/output error"):
        load_model(path)


# What a text must be


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        (5, {"a": int}, "expected an object, got 5"),
        ({"b": 1}, {"a": int}, r"expected 'a' among the names of an object, got \['b'\]"),
        ({"a": [1, "x"]}, {"a": [int]}, r"expected a whole number at \.a\[1\], got 'x'"),
        ({"a": [True]}, {"a": [int]}, r"expected a whole number at \.a\[0\], got True"),
        ([1, [2, "a"]], (int, (int, int)), r"expected a whole number at \[1\]\[1\], got 'a'"),
        ([1, 2, 3], (int, int), r"expected a list of 2, got \[1, 2, 3\]"),
        ("ab", [str], "expected a list, got 'ab'"),
        (None, float | str, "expected a number or a text, got None"),
    ],
)
def test_forms(value, form, message):
    with pytest.raises(text.FormError, match=f"^{message}$"):
        text.check_form(value, form)


def test_good_forms():
    text.check_form({"a": [[1, 2.5], [3, 4]], "b": None, "more": 1}, {"a": [(int, float)], "b": dict | None})


def test_a_checksum_is_of_all_that_a_backup_has(tmp_path):
    path = tmp_path / "b"
    arrays = {"w": np.arange(4, dtype="f4"), "v": np.ones((2, 3))}
    document.write(path, "fastnn backup", arrays, {"epoch": 3})
    with document.reading(path, "no", "is bad", "fastnn backup") as file:
        assert file.described == {"epoch": 3}
        np.testing.assert_array_equal(file.arrays()["w"], arrays["w"])
    whole, metadata = safetensors.read(path)
    for other, place in (({**whole, "w": whole["w"] + 1}, '{"epoch": 3}'), (whole, '{"epoch": 4}')):
        safetensors.write(path, other, {**metadata, "place": place})
        with pytest.raises(ValueError, match=r"b is bad: its checksum is another"):
            read_all(path)


def read_all(path: Any) -> None:
    with document.reading(path, "no", "is bad", "fastnn backup") as file:
        file.arrays()

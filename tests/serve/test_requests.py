"""What the protocol says of requests and answers: right ones, and each kind of wrong one."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

import fastnn
from fastnn import Model, Sequential, serve
from fastnn.layers import Concatenate, Dense, Input, StringLookup
from support.serving import ROWS, ask, binary, infer, post, small, tensor

MODEL = small()
APP = serve.app(MODEL)
EXPECTED = MODEL.predict(ROWS)


def test_a_json_request_is_answered_with_what_predict_gives() -> None:
    answer = post(APP, infer(tensor(ROWS), id="q", parameters={}))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    said = answer.json
    assert (said["model_name"], said["model_version"], said["id"]) == ("m", "1", "q")
    [out] = said["outputs"]
    assert (out["name"], out["datatype"], out["shape"]) == (MODEL.output_names[0], "FP32", [3, 2])
    np.testing.assert_array_equal(np.array(out["data"], np.float32).reshape(3, 2), EXPECTED)


@pytest.mark.parametrize("data", [ROWS.ravel(), ROWS, ROWS.astype(int), ROWS.astype(int).ravel()])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_data_may_be_flat_or_nested_and_whole(data: Any, datatype: str) -> None:
    answer = post(APP, infer(tensor(data, [3, 4], datatype=datatype)))
    expected = MODEL.predict(data.reshape(3, 4).astype(np.float32))
    np.testing.assert_array_equal(np.array(answer.json["outputs"][0]["data"], np.float32), expected.ravel())


@pytest.mark.parametrize("datatype", [name for name in serve.protocol.DATATYPES if name != "BYTES"])
def test_binary_tensors_of_every_datatype(datatype: str) -> None:
    dtype = serve.protocol.DATATYPES[datatype]
    x = (np.arange(12).reshape(3, 4) % 2).astype(dtype)
    said = {"name": "input_layer", "shape": [3, 4], "datatype": datatype, "parameters": {"binary_data_size": x.nbytes}}
    body, headers = binary({"inputs": [said], "parameters": {"binary_data_output": True}}, x.tobytes())
    answer = ask(APP, "POST", "/v2/models/m/infer", body, headers)
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    [out] = json.loads(answer.body[:length])["outputs"]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert out["parameters"] == {"binary_data_size": 24}
    assert "data" not in out
    given = np.frombuffer(answer.body[length:], "<f4").reshape(3, 2)
    np.testing.assert_array_equal(given, MODEL.predict(x.astype(np.float32)))


def test_an_output_may_be_asked_for_as_bytes_alone() -> None:
    asked = [{"name": MODEL.output_names[0], "parameters": {"binary_data": True}}]
    answer = post(APP, infer(tensor(ROWS), outputs=asked))
    length = int(answer.headers["inference-header-content-length"])
    np.testing.assert_array_equal(np.frombuffer(answer.body[length:], "<f4").reshape(3, 2), EXPECTED)


GOOD = tensor(ROWS)
FP32 = b'"name": "input_layer", "datatype": "FP32"'
BAD: dict[str, tuple[Any, list[str]]] = {
    "no JSON": (b"{", ["JSON"]),
    "no UTF-8": (b'{"inputs": "\xff"}', ["JSON"]),
    "NaN in JSON": (json.dumps(infer(tensor([float("nan")] * 4, [1, 4]))).encode(), ["JSON"]),
    "nothing": (b"", ["JSON"]),
    "deep": (b"[" * 100_000, ["JSON"]),
    "a list": ([1], ["object", "[1]"]),
    "no inputs": ({}, ["inputs", "None"]),
    "empty inputs": (infer(), ["inputs", "[]"]),
    "id": (infer(GOOD, id=3), ["id", "string", "3"]),
    "parameters": (infer(GOOD, parameters=[]), ["parameters", "object", "[]"]),
    "parameters of a tensor": (infer({**GOOD, "parameters": 1}), ["inputs[0]", "parameters", "1"]),
    "an input that is none": ({"inputs": [7]}, ["inputs[0]", "7"]),
    "no name": (infer({**GOOD, "name": None}), ["inputs[0].name", "None"]),
    "a name twice": (infer(GOOD, GOOD), ["inputs[1].name", "already"]),
    "another name": (infer({**GOOD, "name": "input_layr"}), ["input_layr", "input_layer"]),
    "no shape": (infer({**GOOD, "shape": None}), ["shape", "None"]),
    "a negative side": (infer({**GOOD, "shape": [-1, 4]}), ["shape", "-1"]),
    "a bool as a side": (infer({**GOOD, "shape": [True, 12]}), ["shape", "True"]),
    "a huge side": (infer({**GOOD, "shape": [2**62, 4]}), ["shape"]),
    "many axes": (infer({**GOOD, "shape": [1] * 40}), ["shape", "32"]),
    "a shape of other size": (infer({**GOOD, "shape": [4, 4]}), ["[4, 4]", "16", "[3, 4]"]),
    "the model's shape": (infer(tensor(ROWS[:, :3])), ["[rows, 4]", "[3, 3]"]),
    "no rows": (infer(tensor([], [0, 4])), ["at least one row", "[0, 4]"]),
    "one axis": (infer(tensor(ROWS[0])), ["[rows, 4]", "[4]"]),
    "datatype": (infer({**GOOD, "datatype": "FLOAT"}), ["datatype", "FP32", "FLOAT"]),
    "BF16": (infer({**GOOD, "datatype": "BF16"}), ["datatype", "BF16"]),
    "texts for numbers": (infer(tensor(["1"] * 4, [1, 4], datatype="BYTES")), ["input_layer", "FP32", "BYTES"]),
    "texts as numbers": (infer(tensor(["1"] * 4, [1, 4])), ["numbers", "FP32", "'1'"]),
    "null": (infer(tensor([None] * 4, [1, 4])), ["input_layer", "nan"]),
    "true": (infer(tensor([True] * 4, [1, 4])), ["numbers", "True"]),
    "a float as INT32": (infer(tensor([1.5] * 4, [1, 4], datatype="INT32")), ["whole numbers", "1.5"]),
    "beyond INT8": (infer(tensor([300] * 4, [1, 4], datatype="INT8")), ["-128 to 127"]),
    "negative as UINT8": (infer(tensor([-1] * 4, [1, 4], datatype="UINT8")), ["0 to 255"]),
    "ragged": (infer(tensor([[1, 2, 3, 4], [1, 2, 3]], [2, 4])), ["nested", "[2, 4]"]),
    "nested otherwise": (infer(tensor([[1, 2], [3, 4]], [1, 4])), ["[1, 4]", "[2, 2]"]),
    "no data": (infer({key: GOOD[key] for key in ("name", "shape", "datatype")}), ["data", "none"]),
    "data that is none": (infer({**GOOD, "data": 3}), ["data", "list", "3"]),
    "objects": (infer(tensor([{}] * 4, [1, 4])), ["numbers", "{}"]),
    "beyond float32": (infer(tensor([1e300] * 4, [1, 4])), ["float32", "inf", "row 0"]),
    "beyond float32 as FP64": (infer(tensor([1e300] * 4, [1, 4], datatype="FP64")), ["float32", "inf", "row 0"]),
    "beyond float64": (b'{"inputs": [{%s, "shape": [1, 4], "data": [1e999, 1, 1, 1]}]}' % FP32, []),
    "a number of hundreds of digits": (
        b'{"inputs": [{%s, "shape": [1, 4], "data": [%s, 1, 1, 1]}]}' % (FP32, b"9" * 400),
        [],
    ),
    "an answer that is not finite": (infer(tensor([3e38] * 4, [1, 4])), ["not finite", "binary"]),
    "outputs": (infer(GOOD, outputs={}), ["outputs", "{}"]),
    "an output without name": (infer(GOOD, outputs=[{}]), ["outputs[0]", "name"]),
    "an unknown output": (infer(GOOD, outputs=[{"name": "nix"}]), ["nix", MODEL.output_names[0]]),
    "binary_data": (infer(GOOD, outputs=[{"name": "x", "parameters": {"binary_data": 1}}]), ["binary_data", "1"]),
    "binary_data_output": (infer(GOOD, parameters={"binary_data_output": 1}), ["binary_data_output", "1"]),
    "a size without a header": (infer({**GOOD, "parameters": {"binary_data_size": 4}}), ["Inference-Header"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_in_words(name: str) -> None:
    value, words = BAD[name]
    answer = post(APP, value)
    assert answer.status == 400, answer.body
    for word in words:
        assert word in answer.error
    assert post(APP, infer(GOOD)).status == 200  # it goes on


SAID = {"name": "input_layer", "shape": [3, 4], "datatype": "FP32", "parameters": {"binary_data_size": 48}}
BYTES = ROWS.tobytes()


@pytest.mark.parametrize(
    ("value", "tail", "header", "words"),
    [
        (infer(SAID), BYTES[:-1], None, ["47", "cut off"]),
        (infer(SAID), BYTES + b"x", None, ["1 bytes behind"]),
        (infer({**SAID, "parameters": {"binary_data_size": 44}}), BYTES, None, ["48 bytes", "44"]),
        (infer({**SAID, "parameters": {"binary_data_size": -1}}), BYTES, None, ["binary_data_size", "-1"]),
        (infer({**SAID, "parameters": {"binary_data_size": "48"}}), BYTES, None, ["binary_data_size", "'48'"]),
        (infer({**SAID, "data": []}), BYTES, None, ["leave one out"]),
        (infer(SAID), BYTES, "-1", ["Content-Length", "-1"]),
        (infer(SAID), BYTES, "9" * 30, ["Content-Length", "999"]),
        (infer(SAID), BYTES, "x", ["Content-Length", "'x'"]),
        (infer(SAID), BYTES, "10", ["JSON"]),
        (infer(SAID), np.full((3, 4), np.nan, "f4").tobytes(), None, ["nan", "row 0"]),
        (infer(SAID), np.full((3, 4), -np.inf, "f4").tobytes(), None, ["-inf", "row 0"]),
    ],
)
def test_bad_binary_is_refused(value: Any, tail: bytes, header: str | None, words: list[str]) -> None:
    body, headers = binary(value, tail)
    if header is not None:
        headers["Inference-Header-Content-Length"] = header
    answer = ask(APP, "POST", "/v2/models/m/infer", body, headers)
    assert answer.status == 400
    for word in words:
        assert word in answer.error


def test_large_finite_numbers_are_finite() -> None:
    x = np.full((40, 4), 1e30, np.float32)
    model = Sequential([Dense(2, kernel_initializer="zeros", input_shape=(4,))], name="m")
    model.build()
    assert post(serve.app(model), infer(tensor(x))).json["outputs"][0]["data"] == [0.0] * 80


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 100])
def test_one_odd_number_among_many_is_found(odd: float, rows: int) -> None:
    x = np.ones((rows, 4), np.float32)
    x[rows // 2, 2] = odd
    said = {**SAID, "shape": [rows, 4], "parameters": {"binary_data_size": x.nbytes}}
    body, headers = binary(infer(said), x.tobytes())
    assert f"{odd} in row {rows // 2}" in ask(APP, "POST", "/v2/models/m/infer", body, headers).error


def test_unknown_models_and_versions_are_404() -> None:
    for path, words in (
        ("/v2/models/n/infer", ["'n'", "m"]),
        ("/v2/models/m/versions/2/infer", ["'2'", "1"]),
        ("/v2/models/m/versions/../infer", ["'..'"]),
        ("/v2/models//infer", ["''"]),
    ):
        answer = post(APP, infer(GOOD), path)
        assert answer.status == 404
        for word in words:
            assert word in answer.error
    assert ask(APP, "GET", "/v2/models/n").status == 404
    assert ask(APP, "GET", "/v2/models/m/versions/7/ready").status == 404
    assert post(APP, infer(GOOD), "/v2/models/m/a/b/infer").status == 404


def texts() -> Model:
    """A model of a column of texts and one of numbers."""
    colour = Input((1,), name="colour", dtype="string")
    size = Input((1,), name="size")
    code = StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")(colour)
    fastnn.set_random_seed(3)
    model = Model([colour, size], [Dense(2, name="a")(code), Dense(1, name="b")(size)], name="m")
    model.build()
    return model


def test_columns_of_text_and_several_outputs() -> None:
    model = texts()
    app = serve.app(model)
    about = ask(app, "GET", "/v2/models/m").json
    assert [(each["name"], each["datatype"], each["shape"]) for each in about["inputs"]] == [
        ("colour", "BYTES", [-1, 1]),
        ("size", "FP32", [-1, 1]),
    ]
    colour, size = ["red", "green", "blue"], [1.5, 2.0, -1.0]
    expected = model.predict({"colour": np.array(colour)[:, None], "size": np.array(size, np.float32)[:, None]})
    request = infer(tensor(colour, [3], "colour", "BYTES"), tensor(size, [3, 1], "size"))
    found = {each["name"]: each for each in post(app, request).json["outputs"]}
    np.testing.assert_allclose(np.array(found["a"]["data"]).reshape(3, 2), expected[0], rtol=1e-6)
    np.testing.assert_allclose(np.array(found["b"]["data"]).reshape(3, 1), expected[1], rtol=1e-6)
    few = post(app, {**request, "outputs": [{"name": "b"}]}).json["outputs"]
    assert [each["name"] for each in few] == ["b"]

    packed = b"".join(struct.pack("<I", len(each)) + each.encode() for each in colour)
    raw = np.array(size, "<f4").tobytes()
    tensors = [
        {"name": "colour", "shape": [3, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(packed)}},
        {"name": "size", "shape": [3], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}},
    ]
    body, headers = binary(infer(*tensors), packed, raw)
    answer = ask(app, "POST", "/v2/models/m/infer", body, headers)
    assert {each["name"]: each["data"] for each in answer.json["outputs"]} == {
        name: each["data"] for name, each in found.items()
    }

    for bad, words in (
        (infer(request["inputs"][0]), ["'size' is missing"]),
        (infer(tensor([1, 2, 3], [3], "colour", "INT64"), request["inputs"][1]), ["colour", "BYTES"]),
        (infer(request["inputs"][0], tensor(["a"] * 3, [3], "size", "BYTES")), ["size", "FP32", "BYTES"]),
        (infer(request["inputs"][0], tensor([1.0] * 2, [2], "size")), ["'colour' 3", "'size' 2"]),
        (infer(tensor([1, 2, 3], [3], "colour", "BYTES"), request["inputs"][1]), ["strings", "1"]),
    ):
        answer = post(app, bad)
        assert answer.status == 400
        for word in words:
            assert word in answer.error


@pytest.mark.parametrize(
    "tail", [b"\x03\x00\x00\x00re", b"\x03\x00", b"\x01\x00\x00\x00\xff", b"\xff\xff\xff\xff", b""]
)
def test_texts_that_are_cut_off_are_refused(tail: bytes) -> None:
    said = {"name": "colour", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(tail)}}
    body, headers = binary(infer(said), tail)
    answer = ask(serve.app(texts()), "POST", "/v2/models/m/infer", body, headers)
    assert answer.status == 400
    assert answer.error


def test_a_table_may_come_by_its_columns() -> None:
    model = small()
    model.description.columns = ("a", "b", "c", "d")
    app = serve.app(model)
    assert ask(app, "GET", "/v2/models/m").json["parameters"] == {"columns": ["a", "b", "c", "d"]}
    columns = [tensor(ROWS[:, place], name=name) for place, name in enumerate("abcd")]
    answer = post(app, infer(*columns[::-1]))
    np.testing.assert_array_equal(np.array(answer.json["outputs"][0]["data"], np.float32), EXPECTED.ravel())
    assert "'d' is missing" in post(app, infer(*columns[:3])).error
    assert "'e'" in post(app, infer(*columns, tensor(ROWS[:, 0], name="e"))).error


def test_without_orjson_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.serve import protocol

    before = post(APP, infer(tensor(ROWS))).json["outputs"][0]["data"]
    monkeypatch.setattr(protocol, "loads", protocol._plain_loads)
    monkeypatch.setattr(protocol, "dumps", protocol._plain_dumps)
    after = post(APP, infer(tensor(ROWS))).json["outputs"][0]["data"]
    np.testing.assert_array_equal(np.array(after, np.float32), np.array(before, np.float32))
    for name in ("no JSON", "NaN in JSON", "deep", "an answer that is not finite", "beyond float64"):
        assert post(APP, BAD[name][0]).status == 400


def test_columns_are_explained_beside_the_typical_row() -> None:
    from fastnn.serve import drift

    colour, size = Input((1,), name="colour", dtype="string"), Input((1,), name="size")
    code = StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")(colour)
    model = Model([colour, size], Dense(2)(Dense(4, "tanh")(Concatenate()([code, size]))), name="m")
    model.build()
    rng = np.random.default_rng(0)
    rows = infer(tensor(["red", "blue", "red"], [3], "colour", "BYTES"), tensor([1.0, 2.0, 4.0], [3], "size"))
    app = serve.app(model, hosts=())
    refused = post(app, rows, "/v2/models/m/explain")
    assert refused.status == 400
    assert "has no statistics of its inputs; call fastnn.serve.drift.reference" in refused.error
    colours = np.array(["blue", "blue", "red"] * 100, object)
    drift.reference(model, {"colour": colours, "size": rng.integers(2, 5, 300).astype("f4")})
    assert {key: each.tolist() for key, each in drift.typical(model).items()} == {"colour": ["blue"], "size": [3.0]}
    answer = post(app, rows, "/v2/models/m/explain")
    assert answer.status == 200, answer.body
    assert answer.json["parameters"]["method"] == "shapley"
    found = {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer.json["outputs"]}
    x = {"colour": np.array(["red", "blue", "red"], object), "size": np.array([1, 2, 4], "f4")}
    base = {"colour": np.array(["blue"] * 3, object), "size": np.array([3] * 3, "f4")}
    f = lambda **given: model.predict(given)  # noqa: E731
    both, none = f(**x), f(**base)
    one, two = f(colour=x["colour"], size=base["size"]), f(colour=base["colour"], size=x["size"])
    # Of two features by hand: the mean of what each adds first and last.
    np.testing.assert_allclose(found["base_values"], none, atol=1e-6)
    for key, first, last in (("colour", one - none, both - two), ("size", two - none, both - one)):
        np.testing.assert_allclose(found[key].reshape(both.shape), (first + last) / 2, atol=1e-6)


def test_typical_rows() -> None:
    from fastnn.serve import drift

    model = Sequential([Input((12,)), Dense(1)])
    model.build()
    with pytest.raises(ValueError, match="no statistics"):
        drift.typical(model)
    x = np.random.default_rng(0).normal(size=(5000, 12)).astype("f4")
    x[:, 0] = x[:, 0] > 0.3  # mostly 0
    drift.reference(model, x)
    np.testing.assert_allclose(drift.typical(model), np.median(x, axis=0)[None], atol=0.06)
    rows = np.ones((2, 12), "f4")
    answer = post(
        serve.app(model, hosts=()),
        infer(tensor(rows), parameters={"method": "shapley"}),
        f"/v2/models/{model.name}/explain",
    )
    assert answer.status == 200, answer.body
    found = {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer.json["outputs"]}
    weights = model.get_weights()[0][:, 0]
    np.testing.assert_allclose(found[model.input_names[0]], (rows - drift.typical(model)) * weights, atol=1e-5)
    wide = Sequential([Input((300,)), Dense(1)])
    wide.build()
    drift.reference(wide, np.zeros((5, 300)))
    with pytest.raises(ValueError, match="no statistics of single numbers, of 300"):
        drift.typical(wide)


def test_explanations_are_an_extension() -> None:
    from fastnn import explain

    expected = explain.integrated_gradients(MODEL, ROWS)
    answer = post(APP, infer(tensor(ROWS)), "/v2/models/m/explain")
    assert answer.status == 200, answer.body
    found = {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer.json["outputs"]}
    np.testing.assert_allclose(found["input_layer"], expected.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["base_values"], expected.base_values, rtol=1e-5, atol=1e-6)
    one = post(APP, infer(tensor(ROWS), parameters={"method": "occlusion", "output": 1}), "/v2/models/m/explain").json
    assert one["outputs"][0]["shape"] == [3, 4]
    assert one["parameters"]["method"] == "occlusion"
    for bad, words in (
        ({"parameters": {"method": "guess"}}, ["method", "occlusion", "guess"]),
        ({"parameters": {"output": 9}}, ["9"]),
        ({"parameters": {"output": []}}, ["output", "[]"]),
    ):
        refused = post(APP, infer(tensor(ROWS), **bad), "/v2/models/m/explain")
        assert refused.status == 400
        for word in words:
            assert word in refused.error
    many = post(APP, infer(tensor(np.zeros((65, 4)))), "/v2/models/m/explain")
    assert "64 rows" in many.error

"""The protocol by gRPC, asked by tritonclient."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("grpc")

import fastnn
from support.served import Server, serving
from support.serving import ROWS, small

EXPECTED = small().predict(ROWS)


def port_of(folder: Path) -> int:
    for _ in range(600):
        for line in (folder / "stderr.txt").read_text().splitlines():
            if (said := json.loads(line))["event"] == "grpc":
                return int(said["port"])
        time.sleep(0.1)
    raise AssertionError((folder / "stderr.txt").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpc")
    small().save(folder / "m.fastnn")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with serving("m.fastnn", "--grpc-port", "0", cwd=place) as found:
        yield found


def test_tritonclient(server: Server, place: Path) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    client = triton.InferenceServerClient(f"127.0.0.1:{port_of(place)}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m", "1")
    assert client.get_server_metadata().version == fastnn.__version__
    about = client.get_model_metadata("m")
    assert (list(about.versions), list(about.inputs[0].shape)) == (["1"], [-1, 4])
    name, output = about.inputs[0].name, about.outputs[0].name
    for dtype, datatype in (("f4", "FP32"), ("f8", "FP64")):
        given = triton.InferInput(name, [3, 4], datatype)
        given.set_data_from_numpy(ROWS.astype(dtype))
        for asked in (None, [triton.InferRequestedOutput(output)]):
            answer = client.infer("m", [given], outputs=asked, request_id="7")
            np.testing.assert_array_equal(answer.as_numpy(output), EXPECTED)
            assert answer.get_response().id == "7"
    for model, change, words in (
        ("n", {}, "NOT_FOUND.*'n'"),
        ("m", {"outputs": [triton.InferRequestedOutput("nix")]}, "INVALID_ARGUMENT.*'nix'"),
        (
            "m",
            {"inputs": [triton.InferInput("nix", [3, 4], "FP32").set_data_from_numpy(ROWS)]},
            "INVALID_ARGUMENT.*nix",
        ),
    ):
        with pytest.raises(triton.InferenceServerException, match=words):
            client.infer(model, **{"inputs": [given], **change})
    client.close()
    status, _ = server.ask("GET", "/v2")
    assert status == 200


def test_numbers_may_come_as_they_are(server: Server, place: Path) -> None:
    import grpc

    from fastnn.serve.grpc_server import messages

    types = messages()
    with grpc.insecure_channel(f"127.0.0.1:{port_of(place)}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=types["ModelInferRequest"].SerializeToString,
            response_deserializer=types["ModelInferResponse"].FromString,
        )
        request = types["ModelInferRequest"](model_name="m", model_version="1", id="a")
        request.parameters["x"].int64_param = 3
        given = request.inputs.add(name="input_layer", datatype="FP32", shape=[3, 4])
        given.contents.fp32_contents.extend(ROWS.ravel().tolist())
        answer = call(request, timeout=60)
        np.testing.assert_array_equal(np.array(answer.outputs[0].contents.fp32_contents, np.float32), EXPECTED.ravel())
        assert (answer.id, answer.model_version) == ("a", "1")
        for values, words in (([1.0] * 11, "11"), ([float("nan")] * 12, "nan")):
            del given.contents.fp32_contents[:]
            given.contents.fp32_contents.extend(values)
            with pytest.raises(grpc.RpcError, match=words):
                call(request, timeout=60)
        del request.inputs[:]
        with pytest.raises(grpc.RpcError, match="at least one"):
            call(request, timeout=60)


def test_messages_are_those_of_the_protocol() -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    from fastnn.serve.grpc_server import messages

    for name, own in messages().items():
        theirs = getattr(triton.service_pb2, name).DESCRIPTOR
        others = {field.name: (field.number, field.type, field.has_presence) for field in theirs.fields}
        for field in own.DESCRIPTOR.fields:
            if field.name in others:
                assert others[field.name] == (field.number, field.type, field.has_presence), (name, field.name)


def test_a_token_is_needed_there_too(place: Path) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    (place / "token").write_text("s3cret")
    with serving("m.fastnn", "--grpc-port", "0", "--token-file", "token", cwd=place):
        client = triton.InferenceServerClient(f"127.0.0.1:{port_of(place)}")
        with pytest.raises(triton.InferenceServerException, match="UNAUTHENTICATED"):
            client.get_model_metadata("m")
        assert client.get_model_metadata("m", headers={"authorization": "Bearer s3cret"}).name == "m"
        client.close()

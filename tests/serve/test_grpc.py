"""gRPC: messages as others have them, predictions by others' clients, and odd requests, which are answered in words."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import serve
from fastnn.layers import Concatenate, Dense, Input, StringLookup
from fastnn.models import Model, Sequential
from support.live import served

WHY = 'gRPC: pip install "fastnn[serve,grpc]"'
grpc = pytest.importorskip("grpc", reason=WHY)
pytest.importorskip("google.protobuf", reason=WHY)
pytest.importorskip("starlette", reason=WHY)

from fastnn.serve.grpc import CALLS, SERVICE, Server, messages  # noqa: E402

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    a, b = Input((2,), name="a"), Input((1,), name="b")
    two = Model([a, b], [Dense(3, name="left")(Concatenate()([a, b])), Dense(1, name="right")(b)], name="two")
    words = Input((1,), name="word", dtype="string")
    coded = StringLookup(vocabulary=["yes", "no"], output_mode="one_hot", num_oov_indices=1)(words)
    text = Model(words, Dense(2, name="out")(coded), name="text")
    return {"one": Sequential([Input((3,), name="x"), Dense(2, name="y")], name="one"), "two": two, "text": text}


@pytest.fixture(scope="module")
def told() -> list[Any]:
    return []


@pytest.fixture(scope="module")
def server(models: dict[str, Any], told: list[Any]) -> Iterator[Server]:
    found = serve.Models()
    for each in models.values():
        found.add(each)
    found.add(models["one"], version=2)
    app = serve.app(found, hooks=[told.append], max_body=1000)
    beside = Server(app, "127.0.0.1", 0)
    app.companions.append(beside)
    with served(app):
        yield beside


class Client:
    """The protocol by grpcio alone."""

    def __init__(self, port: int, metadata: Any = (), credentials: Any = None) -> None:
        where = f"localhost:{port}"
        self.channel = grpc.insecure_channel(where) if credentials is None else grpc.secure_channel(where, credentials)
        self.metadata = metadata

    def __call__(self, name: str, /, **fields: Any) -> Any:
        kinds = messages()
        call = self.channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=kinds[f"{name}Request"].SerializeToString,
            response_deserializer=kinds[f"{name}Response"].FromString,
        )
        return call(kinds[f"{name}Request"](**fields), metadata=self.metadata, timeout=20)

    def error(self, name: str, /, **fields: Any) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self(name, **fields)
        return caught.value.code().name, caught.value.details()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.port)
    yield client
    client.channel.close()


def tensor(array: Any, name: str = "x", datatype: str = "FP32", field: str | None = "fp32_contents") -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "datatype": datatype, "shape": np.shape(array)}
    return found | ({} if field is None else {"contents": {field: np.ravel(array).tolist()}})


def fields(message: Any) -> dict[str, Any]:
    return {
        each.name: (
            each.number,
            each.type,
            each.is_repeated,
            each.message_type and each.message_type.full_name,
            each.containing_oneof and each.containing_oneof.name,
        )
        for each in message.fields
    }


def test_messages_are_those_of_tritons_clients() -> None:
    """Which are generated from NVIDIA's proto: the protocol's, and more."""
    theirs = pytest.importorskip("tritonclient.grpc.service_pb2", reason="pip install 'tritonclient[grpc]'")

    def compare(ours: Any, other: Any) -> None:
        more = fields(other)
        assert fields(ours) == {name: more[name] for name in fields(ours)}
        assert ours.GetOptions().map_entry == other.GetOptions().map_entry
        for name, nested in ours.nested_types_by_name.items():
            compare(nested, other.nested_types_by_name[name])

    for name, kind in messages().items():
        compare(kind.DESCRIPTOR, getattr(theirs, name).DESCRIPTOR)
    service = theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert service.full_name == SERVICE
    assert {*CALLS} <= {*service.methods_by_name}


def test_health_and_metadata(client: Client) -> None:
    assert client("ServerLive").live
    assert client("ServerReady").ready
    assert client("ModelReady", name="one", version="2").ready
    assert not client("ModelReady", name="one", version="3").ready
    assert not client("ModelReady", name="none").ready
    assert client("ServerMetadata").name == "fastnn"
    said = client("ModelMetadata", name="two")
    assert (said.name, list(said.versions), said.platform) == ("two", ["1"], "fastnn")
    assert [(each.name, each.datatype, list(each.shape)) for each in [*said.inputs, *said.outputs]] == [
        ("a", "FP32", [-1, 2]),
        ("b", "FP32", [-1, 1]),
        ("left", "FP32", [-1, 3]),
        ("right", "FP32", [-1, 1]),
    ]


def test_contents_are_answered_with_contents(client: Client, models: dict[str, Any], told: list[Any]) -> None:
    said = client("ModelInfer", model_name="one", id="7", inputs=[tensor(X)])
    assert (said.model_name, said.model_version, said.id) == ("one", "2", "7")
    (output,) = said.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "FP32", [4, 2])
    expected = models["one"].predict(X, verbose=0)
    np.testing.assert_array_equal(np.reshape(output.contents.fp32_contents, (4, 2)).astype(np.float32), expected)
    assert not said.raw_output_contents
    np.testing.assert_array_equal(told[-1].inputs["x"], X)
    np.testing.assert_array_equal(told[-1].outputs["y"], expected)


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("INT8", "int_contents"),
        ("INT16", "int_contents"),
        ("INT32", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT8", "uint_contents"),
        ("UINT16", "uint_contents"),
        ("UINT32", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP64", "fp64_contents"),
        ("BOOL", "bool_contents"),
    ],
)
def test_every_datatype_has_its_contents(client: Client, models: dict[str, Any], datatype: str, field: str) -> None:
    x = np.array([[0, 1, 1]])
    said = client("ModelInfer", model_name="one", inputs=[tensor(x, datatype=datatype, field=field)])
    expected = models["one"].predict(x.astype(np.float32), verbose=0)
    np.testing.assert_allclose(said.outputs[0].contents.fp32_contents, expected[0], rtol=1e-6)
    code, words = client.error(
        "ModelInfer", model_name="one", inputs=[tensor(["a"], datatype=datatype, field=None) | {
            "contents": {"bytes_contents": [b"a"]}}],
    )  # fmt: skip
    assert (code, field in words) == ("INVALID_ARGUMENT", True)


def test_raw_bytes_are_answered_with_raw_bytes(client: Client, models: dict[str, Any]) -> None:
    a, b = X[:, :2].astype(np.float16), X[:, 2:]
    inputs = [tensor(a, "a", "FP16", None), tensor(b, "b", "FP32", None)]
    raw = [a.tobytes(), b.tobytes()]
    said = client("ModelInfer", model_name="two", inputs=inputs, raw_input_contents=raw, outputs=[{"name": "right"}])
    expected = models["two"].predict([a.astype(np.float32), b], verbose=0)[1]
    assert [each.name for each in said.outputs] == ["right"]
    np.testing.assert_array_equal(np.frombuffer(said.raw_output_contents[0], "<f4").reshape(4, 1), expected)


def test_texts(client: Client, models: dict[str, Any]) -> None:
    words = np.array([["yes"], ["näh"]], object)
    given = {"name": "word", "datatype": "BYTES", "shape": [2, 1]}
    said = client(
        "ModelInfer", model_name="text", inputs=[given | {"contents": {"bytes_contents": [b"yes", "näh".encode()]}}]
    )
    expected = models["text"].predict(words, verbose=0)
    np.testing.assert_allclose(np.reshape(said.outputs[0].contents.fp32_contents, (2, 2)), expected, rtol=1e-6)
    raw = b"".join(len(each.encode()).to_bytes(4, "little") + each.encode() for each in words.ravel())
    again = client("ModelInfer", model_name="text", inputs=[given], raw_input_contents=[raw])
    np.testing.assert_array_equal(np.frombuffer(again.raw_output_contents[0], "<f4"), expected.ravel())
    _, error = client.error("ModelInfer", model_name="text", inputs=[given], raw_input_contents=[raw[:-1]])
    assert "cut off" in error


ODD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown model": ({"model_name": "on", "inputs": [tensor(X)]}, "NOT_FOUND", "one"),
    "unknown version": ({"model_version": "3", "inputs": [tensor(X)]}, "NOT_FOUND", "'3'"),
    "no inputs": ({}, "INVALID_ARGUMENT", "inputs"),
    "unknown input": ({"inputs": [tensor(X, "z")]}, "INVALID_ARGUMENT", "'z'"),
    "twice": ({"inputs": [tensor(X), tensor(X)]}, "INVALID_ARGUMENT", "there already"),
    "unknown output": ({"inputs": [tensor(X)], "outputs": [{"name": "z"}]}, "INVALID_ARGUMENT", "'z'"),
    "no contents": ({"inputs": [tensor(X, field=None)]}, "INVALID_ARGUMENT", "got 0"),
    "too few": ({"inputs": [tensor(X) | {"shape": [5, 3]}]}, "INVALID_ARGUMENT", "60 bytes, got 48"),
    "huge shape": ({"inputs": [tensor(X) | {"shape": [2**61, 2**61]}]}, "INVALID_ARGUMENT", "shape"),
    "negative shape": ({"inputs": [tensor(X) | {"shape": [-1, 3]}]}, "INVALID_ARGUMENT", "shape"),
    "no shape": ({"inputs": [tensor(X) | {"shape": []}]}, "INVALID_ARGUMENT", "shape"),
    "wrong shape": ({"inputs": [tensor(X.T)]}, "INVALID_ARGUMENT", "[rows, 3]"),
    "NaN": ({"inputs": [tensor(X * np.nan)]}, "INVALID_ARGUMENT", "finite"),
    "unknown datatype": ({"inputs": [tensor(X, datatype="FP8", field=None)]}, "INVALID_ARGUMENT", "'FP8'"),
    "a datatype without contents": ({"inputs": [tensor(X, datatype="FP16")]}, "INVALID_ARGUMENT", "raw_input"),
    "not its contents": ({"inputs": [tensor(X, field="fp64_contents")]}, "INVALID_ARGUMENT", "fp32_contents"),
    "too large a number": (
        {"inputs": [tensor([[1, 2, 300]], datatype="INT8", field="int_contents")]}, "INVALID_ARGUMENT", "INT8"),
    "raw and contents": (
        {"inputs": [tensor(X)], "raw_input_contents": [X.tobytes()]}, "INVALID_ARGUMENT", "leave one out"),
    "too many raw": (
        {"inputs": [tensor(X, field=None)], "raw_input_contents": [b"", b""]}, "INVALID_ARGUMENT", "got 2"),
    "raw too short": (
        {"inputs": [tensor(X, field=None)], "raw_input_contents": [b"abc"]}, "INVALID_ARGUMENT", "48 bytes, got 3"),
    "too large": ({"inputs": [tensor(np.zeros((6000, 3)))]}, "RESOURCE_EXHAUSTED", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_are_answered_in_words(client: Client, name: str) -> None:
    given, code, words = ODD[name]
    found = client.error("ModelInfer", **{"model_name": "one", **given})
    assert found[0] == code, found
    assert words in found[1]
    assert "Traceback" not in found[1]
    assert client("ModelInfer", model_name="one", inputs=[tensor(X)]).outputs


def test_bytes_that_are_no_message(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        for name, raw, code in (("ModelInfer", b"\xff\xff", "INVALID_ARGUMENT"), ("Nothing", b"", "UNIMPLEMENTED")):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{SERVICE}/{name}")(raw, timeout=20)
            assert caught.value.code().name == code


def test_what_fails_inside_says_nothing(models: dict[str, Any]) -> None:
    app = serve.app(models["one"])
    beside = Server(app, "127.0.0.1", 0)
    app.companions.append(beside)

    def fails(*_: Any) -> Any:
        raise KeyError("a secret")

    app.models.get("one").rows_of = fails
    with served(app):
        client = Client(beside.port)
        code, words = client.error("ModelInfer", model_name="one", inputs=[tensor(X)])
        client.channel.close()
    assert (code, "secret" in words) == ("INTERNAL", False)


def test_a_token_is_asked_for(models: dict[str, Any]) -> None:
    app = serve.app(models["one"], token="s3cret")
    beside = Server(app, "127.0.0.1", 0)
    app.companions.append(beside)
    with served(app):
        for given in ((), (("authorization", "Bearer other"),)):
            client = Client(beside.port, given)
            assert client("ServerLive").live
            assert client.error("ModelInfer", model_name="one", inputs=[tensor(X)])[0] == "UNAUTHENTICATED"
            assert client.error("ModelMetadata", name="one")[0] == "UNAUTHENTICATED"
            client.channel.close()
        client = Client(beside.port, (("authorization", "Bearer s3cret"),))
        assert client("ModelInfer", model_name="one", inputs=[tensor(X)]).outputs
        client.channel.close()


def test_tls(models: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("a certificate: apt-get install openssl")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    app = serve.app(models["one"])
    beside = Server(app, "127.0.0.1", 0, (str(certificate), str(key)))
    app.companions.append(beside)
    with served(app):
        client = Client(beside.port, credentials=grpc.ssl_channel_credentials(certificate.read_bytes()))
        assert client("ModelInfer", model_name="one", inputs=[tensor(X)]).outputs
        client.channel.close()


def test_a_port_that_is_taken(server: Server, models: dict[str, Any]) -> None:
    with pytest.raises(OSError, match=str(server.port)):
        Server(serve.app(models["one"]), "127.0.0.1", server.port)


def test_tritons_client(server: Server, models: dict[str, Any]) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="pip install 'tritonclient[grpc]'")
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("two")
        assert client.get_server_metadata().name == "fastnn"
        assert client.get_model_metadata("one", "2").versions == ["1", "2"]
        inputs = [triton.InferInput(name, [4, size], "FP32") for name, size in (("a", 2), ("b", 1))]
        inputs[0].set_data_from_numpy(np.ascontiguousarray(X[:, :2]))
        inputs[1].set_data_from_numpy(np.ascontiguousarray(X[:, 2:]))
        found = client.infer("two", inputs, request_id="8", outputs=[triton.InferRequestedOutput("left")])
        expected = models["two"].predict([X[:, :2], X[:, 2:]], verbose=0)[0]
        np.testing.assert_array_equal(found.as_numpy("left"), expected)
        assert found.get_response().id == "8"
        word = triton.InferInput("word", [2, 1], "BYTES")
        words = np.array([["no"], ["yes"]], object)
        word.set_data_from_numpy(words)
        found = client.infer("text", [word])
        np.testing.assert_array_equal(found.as_numpy("out"), models["text"].predict(words, verbose=0))
        refused = pytest.importorskip("tritonclient.utils").InferenceServerException
        with pytest.raises(refused, match="'none'"):
            client.infer("none", inputs)

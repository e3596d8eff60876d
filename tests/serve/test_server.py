"""A server of its own, as the command starts it, asked by clients of the protocol that others wrote."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import fastnn
from support.served import Server, serving
from support.serving import ROWS, infer, small, tensor

GOOD = json.dumps(infer(tensor(ROWS))).encode()
EXPECTED = small().predict(ROWS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    small().save(folder / "m.fastnn")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with serving("m.fastnn", cwd=place) as found:
        yield found


def test_the_command_says_what_it_serves_and_answers(server: Server) -> None:
    assert server.said[0].split() == ["name", "version", "reads"]
    assert server.said[1].split()[:3] == ["m", "1", "input_layer"]
    status, said = server.ask("POST", "/v2/models/m/infer", GOOD)
    assert status == 200
    np.testing.assert_array_equal(np.array(said["outputs"][0]["data"], np.float32), EXPECTED.ravel())


def test_a_page_that_points_a_name_of_its_own_here_is_refused(server: Server) -> None:
    assert server.ask("GET", "/v2", headers={"Host": "evil.example"})[0] == 421
    assert server.ask("GET", "/v2", headers={"Host": f"localhost:{server.port}"})[0] == 200


def test_tritonclient(server: Server) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(server.address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("n")
    about = client.get_server_metadata()
    assert about["version"] == fastnn.__version__
    metadata = client.get_model_metadata("m", "1")
    name, output = metadata["inputs"][0]["name"], metadata["outputs"][0]["name"]
    for binary_in in (False, True):
        for binary_out in (False, True, None):
            given = triton.InferInput(name, list(ROWS.shape), "FP32")
            given.set_data_from_numpy(ROWS, binary_data=binary_in)
            asked = None if binary_out is None else [triton.InferRequestedOutput(output, binary_data=binary_out)]
            answer = client.infer("m", [given], outputs=asked, request_id="7")
            np.testing.assert_array_equal(answer.as_numpy(output), EXPECTED)
            assert answer.get_response()["id"] == "7"
    with pytest.raises(triton.InferenceServerException, match="no model 'n'"):
        client.infer("n", [given])
    client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_client_generated_from_the_protocol(server: Server) -> None:
    openapi = pytest.importorskip("open_inference.openapi")
    from open_inference.openapi import errors, types
    from open_inference.openapi.client import OpenInferenceClient

    client = OpenInferenceClient(base_url=server.url)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("m")
    client.check_model_version_readiness("m", "1")
    assert client.read_server_metadata().name == "fastnn"
    assert client.read_model_metadata("m") == client.read_model_version_metadata("m", "1")
    [given] = client.read_model_metadata("m").inputs
    for data in (ROWS.tolist(), ROWS.ravel().tolist()):
        one = types.RequestInput(name=given.name, shape=[3, 4], datatype=given.datatype, data=data)
        request = types.InferenceRequest(id="a", inputs=[one])
        for answer in (
            client.model_infer("m", request=request),
            client.model_version_infer("m", "1", request=request),
        ):
            assert (answer.id, answer.model_version) == ("a", "1")
            found = np.array(answer.outputs[0].data.__root__, np.float32).reshape(answer.outputs[0].shape)
            np.testing.assert_array_equal(found, EXPECTED)
    with pytest.raises(errors.BadRequestError):
        client.model_infer("m", request=types.InferenceRequest(inputs=[]))
    with pytest.raises(openapi.core.api_error.ApiError, match="404"):
        client.read_model_metadata("n")
    client._client_wrapper.httpx_client.close()


def test_a_token_and_an_address_for_all(place: Path) -> None:
    (place / "token").write_text("s3cret\n")
    options = ("m.fastnn", "--token-file", "token", "--host", "0.0.0.0", "--log", "requests", "--max-body", "1000")
    with serving(*options, cwd=place) as found:
        assert found.ask("GET", "/v2")[0] == 401
        good = {"Authorization": "Bearer s3cret", "Host": "anything.example"}
        assert found.ask("GET", "/v2", headers=good)[0] == 200
        assert found.ask("POST", "/v2/models/m/infer", GOOD + b" " * 1000, good)[0] == 413
        time.sleep(0.1)
    lines = [json.loads(line) for line in (place / "stderr.txt").read_text().splitlines()]
    assert [each["status"] for each in lines if each["event"] == "request"] == [401, 200, 413]
    assert "s3cret" not in (place / "stderr.txt").read_text()


def test_sigterm_lets_what_came_be_answered(place: Path) -> None:
    with serving("m.fastnn", cwd=place) as found:
        with socket.create_connection(("127.0.0.1", found.port), timeout=60) as own:
            head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
            own.sendall(head + GOOD[:40])
            time.sleep(0.5)
            found.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            own.sendall(GOOD[40:])
            got = b""
            while b"model_version" not in got and (part := own.recv(65536)):
                got += part
        assert got.startswith(b"HTTP/1.1 200")
        assert found.process.wait(60) == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", found.port), timeout=5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_share_a_map_of_the_weights_and_their_counts(tmp_path: Path) -> None:
    from fastnn import Sequential
    from fastnn.layers import Dense

    pytest.importorskip("prometheus_client")
    model = Sequential([Dense(300, "relu", input_shape=(4,)), Dense(300, "relu"), Dense(2)], name="m")
    model.build()
    model.save(tmp_path / "m.fastnn")
    with serving("m.fastnn", "--workers", "2", cwd=tmp_path) as found:
        listed = Path(f"/proc/{found.process.pid}/task/{found.process.pid}/children")
        deadline = time.monotonic() + 60
        shared: list[set[str]] = []
        while len(shared) < 2:
            assert time.monotonic() < deadline
            maps = [Path(f"/proc/{child}/maps").read_text() for child in listed.read_text().split()]
            lines = [{line.split()[-1] for line in each.splitlines() if "/fastnn-serve-" in line} for each in maps]
            shared = [each for each in lines if each]
            time.sleep(0.1)
        assert len(set.union(*shared)) == 1
        for _ in range(20):
            status, said = found.ask("POST", "/v2/models/m/infer", GOOD)
            assert status == 200
            data = np.array(said["outputs"][0]["data"], np.float32).reshape(3, 2)
            np.testing.assert_array_equal(data, model.predict(ROWS))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # others leave their counts once a second
            connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=60)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            connection.close()
            if 'fastnn_requests_total{model="m",version="1"} 20.0' in text:
                break
            time.sleep(0.2)
        else:
            raise AssertionError(text)
        [folder] = {os.path.dirname(each) for each in set.union(*shared)}
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(60) == 0
        assert not os.path.exists(folder)


def test_a_worker_that_dies_is_replaced(place: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    with serving("m.fastnn", "--workers", "1", "--workers", "2", cwd=place) as found:
        assert found.ask("GET", "/v2/health/ready")[0] == 200
        listed = Path(f"/proc/{found.process.pid}/task/{found.process.pid}/children")

        def workers() -> set[str]:
            named = ((each, Path(f"/proc/{each}/cmdline")) for each in listed.read_text().split())
            return {each for each, path in named if b"spawn_main" in path.read_bytes()}

        before = workers()
        os.kill(int(min(before)), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not (len(workers()) == 2 and workers() != before):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert found.ask("POST", "/v2/models/m/infer", GOOD)[0] == 200


def test_a_registry_is_watched_and_served_by_shares(tmp_path: Path) -> None:
    registry = fastnn.registry.open(f"sqlite:///{tmp_path / 'shop.db'}")
    for seed in (1, 2):
        registry.save(small(seed), "m")
    registry.alias("m", "production", 1)
    with serving("m@production", "--registry", "shop.db", "--watch", "0.05", cwd=tmp_path) as found:
        assert found.ask("POST", "/v2/models/m/infer", GOOD)[1]["model_version"] == "1"
        registry.alias("m", "production", 2)
        deadline = time.monotonic() + 60
        while (said := found.ask("POST", "/v2/models/m/infer", GOOD)[1])["model_version"] != "2":
            assert time.monotonic() < deadline
        data = np.array(said["outputs"][0]["data"], np.float32).reshape(3, 2)
        np.testing.assert_array_equal(data, small(2).predict(ROWS))
    registry.alias("m", "production", 1)
    options = ("--alias", "m@default=1:50,2:50", "--alias", "m@one=1", "--shadow", "m@one=2")
    with serving("m", "--registry", "shop.db", *options, cwd=tmp_path) as found:
        seen = {found.ask("POST", "/v2/models/m/infer", GOOD)[1]["model_version"] for _ in range(60)}
        assert seen == {"1", "2"}
        assert found.ask("POST", "/v2/models/m/versions/one/infer", GOOD)[1]["model_version"] == "1"


def test_tls(place: Path) -> None:
    import ssl

    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    try:
        subprocess.run([*made, "-days", "2", "-subj", "/CN=localhost"], cwd=place, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate")
    with serving("m.fastnn", "--tls-cert", "cert.pem", "--tls-key", "key.pem", cwd=place) as found:
        assert found.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(place / "cert.pem"))
        connection = http.client.HTTPSConnection("localhost", found.port, context=context, timeout=60)
        connection.request("GET", "/v2/health/live", headers={"Host": "localhost"})
        assert connection.getresponse().status == 200
        connection.close()


def test_clients_that_go_in_the_middle_do_no_harm(server: Server) -> None:
    def leave(part: bytes) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as own:
            own.sendall(part)

    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
    threads = [
        threading.Thread(target=leave, args=(part,)) for part in (b"POST", head, head + GOOD[:9], head + GOOD) * 5
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert server.ask("POST", "/v2/models/m/infer", GOOD)[0] == 200


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "MODEL"),
        (["nix.fastnn"], 1, "nix.fastnn"),
        (["m.fastnn", "--port", "-1"], 2, "port"),
        (["m.fastnn", "--alias", "m=1"], 2, "NAME@ALIAS"),
        (["m.fastnn", "--alias", "m@a=7"], 1, "'7'"),
        (["m.fastnn", "--alias", "m@a=1:x"], 2, "shares"),
        (["m.fastnn", "--shadow", "m@a=1"], 2, "--alias"),
        (["m.fastnn", "--tls-cert", "x"], 2, "--tls-key"),
        (["m.fastnn", "--token-file", "nix"], 1, "nix"),
        (["m.fastnn", "--timeout", "0"], 1, "timeout"),
        (["m.fastnn", "--watch", "-1"], 1, "seconds"),
    ],
)
def test_what_is_wrong_with_the_command_is_said_in_a_line(
    arguments: list[str], status: int, words: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from fastnn.cli import main

    monkeypatch.chdir(place)
    assert main(["serve", *arguments]) == status
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_port_that_is_taken_is_said(place: Path, capsys: pytest.CaptureFixture[str], server: Server) -> None:
    from fastnn.cli import main

    assert main(["serve", str(place / "m.fastnn"), "--port", str(server.port)]) == 1
    assert str(server.port) in capsys.readouterr().err

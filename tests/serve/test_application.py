"""What every request meets: limits, tokens, ids, the log, hooks, shadows, threads."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from fastnn import serve
from fastnn.serve import Models, Prediction
from support.serving import ROWS, Answer, ask, asked, infer, post, small, tensor

GOOD = json.dumps(infer(tensor(ROWS))).encode()
INFER = "/v2/models/m/infer"


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.message) for record in caplog.records if record.name == "fastnn.serve"]


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/m/ready"])
def test_what_is_asked_by_get(path: str) -> None:
    answer = ask(serve.app(small()), "GET", path)
    assert answer.status == 200
    expected: dict[str, Any] = {"/v2/health/live": {"live": True}, "/v2/health/ready": {"ready": True}}
    expected["/v2/models/m/ready"] = {"name": "m", "ready": True}
    assert answer.json == expected.get(path, answer.json)
    if path in ("/v2", "/v2/"):
        assert answer.json["name"] == "fastnn"
        assert "binary_tensor_data" in answer.json["extensions"]


def test_metadata_and_versions() -> None:
    models = Models()
    for version in (10, 9):
        models.add(small(version), "m", version)
    app = serve.app(models)
    model = models.get("m").model
    expected = {
        "name": "m",
        "versions": ["9", "10"],
        "platform": "fastnn",
        "inputs": [{"name": "input_layer", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": model.output_names[0], "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert ask(app, "GET", "/v2/models/m").json == expected
    assert post(app, GOOD).json["model_version"] == "10"  # the highest, as a number
    assert post(app, GOOD, "/v2/models/m/versions/9/infer").json["model_version"] == "9"
    assert ask(app, "GET", "/v2/models/m/versions/9").json["versions"] == ["9", "10"]


def test_a_server_without_models_is_alive_but_not_ready() -> None:
    app = serve.app(Models())
    assert ask(app, "GET", "/v2/health/live").status == 200
    answer = ask(app, "GET", "/v2/health/ready")
    assert (answer.status, answer.json) == (503, {"ready": False})


def test_what_is_not_there_is_refused() -> None:
    app = serve.app(small())
    for method, path, status in (
        ("POST", "/", 405),
        ("GET", "/etc/passwd", 404),
        ("GET", "/v2/models/m/", 404),
        ("GET", "/v2/models/m/versions/1/../../../etc", 404),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/m", 405),
        ("PUT", INFER, 405),
        ("GET", INFER, 405),
        ("POST", "/v2/models/m/nix", 404),
    ):
        answer = ask(app, method, path)
        assert answer.status == status, path
        assert answer.error


def test_a_body_may_be_so_long_and_no_longer() -> None:
    app = serve.app(small(), max_body=len(GOOD))
    assert post(app, GOOD).status == 200
    said = post(app, GOOD + b" ", headers={"Content-Length": str(len(GOOD) + 1)})
    assert said.status == 413
    assert str(len(GOOD)) in said.error
    assert said.headers["connection"] == "close"
    assert post(app, b"", headers={"Content-Length": "9" * 30}).status == 413
    # Nobody said how long it is.
    assert asyncio.run(asked(app, "POST", INFER, [GOOD[:50], GOOD[50:] + b" "])).status == 413
    assert post(app, GOOD + b" ").status == 413
    assert asyncio.run(asked(app, "POST", INFER, [GOOD[:50], GOOD[50:]])).status == 200


def test_a_request_that_does_not_come_to_its_end_is_given_up() -> None:
    app = serve.app(small(), timeout=0.05)

    async def part() -> Answer:
        async def receive() -> Any:
            if first:
                return first.pop()
            await asyncio.sleep(3600)

        first = [{"type": "http.request", "body": b"{", "more_body": True}]
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": INFER, "headers": []}
        await app(scope, receive, send)
        return Answer(sent[0]["status"], {}, sent[1]["body"])

    answer = asyncio.run(part())
    assert answer.status == 408
    assert "0.05 seconds" in answer.error


def test_a_client_that_goes_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    app = serve.app(small())

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    with caplog.at_level(logging.ERROR, "fastnn.serve"):
        asyncio.run(app({"type": "http", "method": "POST", "path": INFER, "headers": []}, receive, send))
    assert not caplog.records


def test_a_compressed_body_is_refused() -> None:
    answer = post(serve.app(small()), GOOD, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert "Content-Encoding" in answer.error


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", "bearer secret", "Bearer secret ", "Basic secret"])
def test_a_token_is_needed(given: str | None) -> None:
    app = serve.app(small(), token="secret")
    headers = {} if given is None else {"Authorization": given}
    for method, path in (("POST", INFER), ("GET", "/v2"), ("GET", "/metrics"), ("GET", "/openapi.json")):
        answer = ask(app, method, path, GOOD, headers)
        assert answer.status == 401
        assert "secret" not in answer.body.decode()
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(app, "GET", "/v2/health/live", headers=headers).status == 200
    assert post(app, GOOD, headers={"Authorization": "Bearer secret"}).status == 200


def test_only_hosts_that_are_named() -> None:
    app = serve.app(small(), hosts=["localhost", "[::1]"])
    for host, status in (
        ("localhost:8000", 200),
        ("[::1]:80", 200),
        ("evil.com", 421),
        ("", 421),
        ("localhost.evil", 421),
    ):
        assert ask(app, "GET", "/v2", headers={"Host": host}).status == status


def test_pages_of_other_origins_may_ask_where_that_is_said() -> None:
    origin = {"Origin": "https://a.example"}
    assert "access-control-allow-origin" not in post(serve.app(small()), GOOD, headers=origin).headers
    app = serve.app(small(), cors=["https://a.example"])
    assert post(app, GOOD, headers=origin).headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in post(app, GOOD, headers={"Origin": "https://b.example"}).headers
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    assert ask(app, "OPTIONS", INFER, headers=preflight).status == 200


def test_ids_and_traces_are_passed_on_and_logged_without_rows(caplog: pytest.LogCaptureFixture) -> None:
    app = serve.app(small())
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": "abc-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    with caplog.at_level(logging.DEBUG, "fastnn.serve"):
        answer = post(app, GOOD, headers=headers)
        post(app, infer(tensor([[123456.75, "x", 1, 1]])))
        ask(app, "GET", "/v2", headers=headers)
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["traceparent"] == headers["traceparent"]
    good, bad, get = (each for each in events(caplog) if each["event"] == "request")
    assert (good["request_id"], good["trace_id"], good["status"], good["rows"]) == ("abc-1", trace, 200, 3)
    assert (good["model"], good["version"], good["level"]) == ("m", "1", "debug")
    assert bad["status"] == 400
    assert get["trace_id"] == trace
    assert "123456" not in caplog.text
    assert not any(str(each) in caplog.text for each in ROWS.ravel())


@pytest.mark.parametrize("given", ["two\r\nlines", "a" * 200, "\xe4", ""])
def test_odd_ids_are_replaced(given: str) -> None:
    answer = post(serve.app(small()), GOOD, headers={"X-Request-Id": given, "traceparent": "00-zz"})
    assert answer.headers["x-request-id"] not in ("", given)
    assert "traceparent" not in answer.headers


def test_a_fault_of_ours_is_a_500_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = serve.app(small())
    app.models.get("m").outputs_of = lambda x: 1 / 0  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR, "fastnn.serve"):
        answer = post(app, GOOD)
    assert answer.status == 500
    assert "ZeroDivision" not in answer.error
    said = [each for each in events(caplog) if each["event"] == "failed"]
    assert said[0]["error"] == "ZeroDivisionError"
    assert said[0]["request_id"] == answer.headers["x-request-id"]


def test_hooks_are_told_and_may_fail() -> None:
    told: list[Prediction] = []

    def broken(_: Prediction) -> None:
        raise RuntimeError

    model = small()
    app = serve.app(model, hooks=[broken, told.append])
    assert post(app, infer(tensor(ROWS), outputs=[{"name": model.output_names[0]}])).status == 200
    [said] = told
    assert (said.model, said.version, said.is_shadow, said.trace_id) == ("m", "1", False, None)
    np.testing.assert_array_equal(said.inputs["input_layer"], ROWS)
    np.testing.assert_array_equal(said.outputs[model.output_names[0]], model.predict(ROWS))
    assert 0 <= said.seconds < 60
    assert post(app, b"{").status == 400
    assert len(told) == 1


def test_a_shadow_is_tried_and_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    models = Models()
    for version in (1, 2):
        models.add(small(version), "m", version)
    models.alias("m", "default", 1, shadow=2)
    told: list[Prediction] = []
    app = serve.app(models, hooks=[told.append])

    async def both() -> Answer:
        answer = await asked(app, "POST", INFER, [GOOD])
        while len(told) < 2:
            await asyncio.sleep(0.001)
        return answer

    with caplog.at_level(logging.INFO, "fastnn.serve"):
        answer = asyncio.run(both())
    assert answer.json["model_version"] == "1"
    assert [(each.version, each.is_shadow) for each in told] == [("1", False), ("2", True)]
    name = models.get("m", "2").model.output_names[0]
    expected = models.get("m", "2").model.predict(ROWS)
    np.testing.assert_array_equal(told[1].outputs[name], expected)
    [said] = [each for each in events(caplog) if each["event"] == "shadow"]
    assert said["largest_difference"] == pytest.approx(abs(models.get("m", "1").model.predict(ROWS) - expected).max())


def test_routes_of_others_are_behind_the_same_checks() -> None:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def page(request: Any) -> Any:
        return PlainTextResponse(" ".join(request.app.state.application.models.names()))

    async def echo(request: Any) -> Any:
        return PlainTextResponse(await request.body())

    app = serve.app(
        small(),
        routes=[Route("/names", page), Route("/", page), Route("/echo", echo, methods=["POST"])],
        token="t",
        max_body=10,
    )
    assert ask(app, "GET", "/names").status == 401
    assert ask(app, "GET", "/").body[:15] == b"<!DOCTYPE html>"  # not another's: it is there without a token
    headers = {"Authorization": "Bearer t"}
    answer = ask(app, "GET", "/names", headers=headers)
    assert answer.body == b"m"
    assert answer.headers["x-request-id"]
    assert ask(app, "POST", "/echo", b"x" * 10, headers).body == b"x" * 10
    assert ask(app, "POST", "/echo", b"x" * 11, headers).status == 413


@pytest.mark.parametrize("inline", [True, False])
def test_many_at_once_have_each_its_own_answer(inline: bool) -> None:
    model = small()
    app = serve.app(model)
    served = app.models.get("m")
    served.inline_rows = 10**6 if inline else 0
    sizes: list[int] = []
    before = served.outputs_of

    def noted(x: Any) -> Any:
        sizes.append(len(x))
        return before(x)

    served.outputs_of = noted  # type: ignore[method-assign]
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((int(count), 4)).astype(np.float32) for count in rng.integers(1, 90, 60)]

    async def all_of_them() -> list[Answer]:
        bodies = [json.dumps(infer(tensor(each))).encode() for each in rows]
        return await asyncio.gather(*(asked(app, "POST", INFER, [body]) for body in bodies))

    for each, answer in zip(rows, asyncio.run(all_of_them()), strict=True):
        data = np.array(answer.json["outputs"][0]["data"], np.float32).reshape(len(each), 2)
        np.testing.assert_array_equal(data, model.predict(each))
    assert sum(sizes) == sum(map(len, rows))
    if not inline:
        assert len(sizes) < len(rows)  # some waited, and went together
        assert max(sizes) <= 256


def test_one_bad_request_of_a_batch_spoils_no_other() -> None:
    app = serve.app(small())
    served = app.models.get("m")
    served.inline_rows = 0
    before = served.outputs_of

    def picky(x: Any) -> Any:
        if (x == 77).any():
            raise serve.RequestError("77")
        return before(x)

    served.outputs_of = picky  # type: ignore[method-assign]
    bad = json.dumps(infer(tensor(np.full((1, 4), 77)))).encode()

    async def all_of_them() -> list[Answer]:
        return await asyncio.gather(*(asked(app, "POST", INFER, [bad if n % 5 == 3 else GOOD]) for n in range(40)))

    assert [each.status for each in asyncio.run(all_of_them())] == [400 if n % 5 == 3 else 200 for n in range(40)]


def test_metrics() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    app = serve.app(small())
    for _ in range(3):
        post(app, GOOD)
    post(app, b"{")
    ask(app, "GET", "/v2/models/n")
    answer = ask(app, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert found["fastnn_requests_total", "m", "1"] == 3
    assert found["fastnn_rows_total", "m", "1"] == 9
    assert found["fastnn_request_seconds_count", "m", "1"] == 3
    assert found["fastnn_model_version", "m", "1"] == 1
    assert found["fastnn_queue", "m", "1"] == 0
    assert found["fastnn_errors_total", "400"] == 1
    assert found["fastnn_errors_total", "404"] == 1
    buckets = [value for key, value in found.items() if key[0] == "fastnn_request_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 3


def test_metrics_of_several_processes_are_added_up(tmp_path: Any) -> None:
    pytest.importorskip("prometheus_client")
    from fastnn.serve.metrics import Meter

    meters = []
    for process in range(2):
        models = Models()
        meter = Meter(models, str(tmp_path))
        meter.answered(models.add(small(), "m"), 5, 0.002)
        meter.failed(400)
        meter.leave()
        (next(tmp_path.glob("[0-9]*.json"))).rename(tmp_path / f"process{process}.json")
        meters.append(meter)
    meters[1]._folder = str(tmp_path)
    meters[1].leave = lambda: None  # type: ignore[method-assign]
    text = meters[1].text()[0].decode()
    assert 'fastnn_requests_total{model="m",version="1"} 2.0' in text
    assert 'fastnn_rows_total{model="m",version="1"} 10.0' in text
    assert 'fastnn_errors_total{status="400"} 2.0' in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_body": 0}, "max_body"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "x"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        serve.app(small(), **options)


def test_it_may_stand_in_another_application() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/models", serve.app(small()))])
    assert post(outer, GOOD, f"/models{INFER}").status == 200
    assert ask(outer, "GET", "/models/v2/models/m").json["name"] == "m"

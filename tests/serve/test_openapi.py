"""The document of what is served, and that answers are as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from fastnn import serve
from fastnn.serve.openapi import document
from support.served import serving
from support.serving import ROWS, ask, infer, post, small, tensor

APP = serve.app(small())


def test_the_document_is_valid() -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(ask(APP, "GET", "/openapi.json").json)


def test_every_path_of_the_document_is_there() -> None:
    from starlette.routing import Route

    paths = document()["paths"]
    routes = {route.path: route.methods for route in APP.others.routes if isinstance(route, Route)}
    said = {re.sub(r"\{model_", "{", path) for path in paths}
    assert said | {"/openapi.json", "/", "/page/models", "/page/structure"} == set(routes)  # the page's are its own
    for path, operations in paths.items():
        full = path.replace("{model_name}", "m").replace("{model_version}", "1")
        for method in operations.keys() & {"get", "post"}:
            assert ask(APP, method.upper(), full).status in (200, 400)


def test_answers_are_as_the_document_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    whole = document()

    def check(answer: Any, path: str, method: str) -> None:
        said = whole["paths"][path][method]["responses"][str(answer.status)]
        schema = {**said["content"]["application/json"]["schema"], "components": whole["components"]}
        jsonschema.validate(answer.json, schema)

    of, version = "/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}"
    good = infer(tensor(ROWS), id="1")
    check(ask(APP, "GET", "/v2"), "/v2", "get")
    check(ask(APP, "GET", "/v2/health/ready"), "/v2/health/ready", "get")
    check(ask(APP, "GET", "/v2/models/m"), of, "get")
    check(ask(APP, "GET", "/v2/models/n"), of, "get")
    check(ask(APP, "GET", "/v2/models/m/versions/1"), version, "get")
    check(ask(APP, "GET", "/v2/models/m/ready"), f"{of}/ready", "get")
    check(post(APP, good), f"{of}/infer", "post")
    check(post(APP, good, "/v2/models/m/explain"), f"{of}/explain", "post")
    check(post(APP, {}), f"{of}/infer", "post")
    check(post(serve.app(small(), token="t"), good), f"{of}/infer", "post")
    check(post(serve.app(small(), max_body=5), good), f"{of}/infer", "post")
    jsonschema.validate(
        good, {**whole["components"]["schemas"]["inference_request"], "components": whole["components"]}
    )


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    pytest.importorskip("uvicorn")
    small().save(tmp_path / "m.fastnn")
    tool = Path(sys.executable).with_name("schemathesis")
    with serving("m.fastnn", cwd=tmp_path) as found:
        # What fits the schema may not fit the model: that is refused, and rightly so.
        options = ["--exclude-checks=positive_data_acceptance", "--max-examples=8", "--seed=1", "--no-color"]
        (tmp_path / "known.toml").write_text('parameters = { "path.model_name" = "m", "path.model_version" = "1" }')
        command = [tool, "--config-file", "known.toml", "run", f"{found.url}/openapi.json", *options]
        phases = ["--phases=coverage,fuzzing"]
        done = subprocess.run([*command, *phases], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:]

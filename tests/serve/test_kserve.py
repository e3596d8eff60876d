"""The manifest for KServe: what it starts is a server, and what it probes is there."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("yaml")

from support.served import serving
from support.serving import small

MANIFEST = Path(__file__).parents[2] / "docs" / "kserve.yaml"


def test_the_manifest_starts_a_server_that_answers_its_probes(tmp_path: Path) -> None:
    import yaml

    runtime, service = yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    assert (runtime["kind"], service["kind"]) == ("ServingRuntime", "InferenceService")
    asked, given = service["spec"]["predictor"]["model"], runtime["spec"]
    assert asked["modelFormat"]["name"] in [each["name"] for each in given["supportedModelFormats"]]
    assert asked["protocolVersion"] in given["protocolVersions"]
    [container] = given["containers"]
    assert container["command"] == ["fastnn", "serve"]
    [port] = container["ports"]
    assert f"--port={port['containerPort']}" in container["args"]
    small().save(tmp_path / "model.fastnn")
    arguments = [
        each.replace("{{.Name}}", service["metadata"]["name"]).replace("/mnt/models", str(tmp_path))
        for each in container["args"]
        if not each.startswith("--port")
    ]
    with serving(*arguments, cwd=tmp_path) as found:
        here = f"http://127.0.0.1:{found.port}"
        paths = [container[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
        assert [each["port"] for each in paths] == [port["containerPort"]] * 2
        metrics = given["annotations"]["prometheus.kserve.io/path"]
        for path in (*(each["path"] for each in paths), metrics, f"/v2/models/{service['metadata']['name']}"):
            with urllib.request.urlopen(here + path, timeout=60) as answer:
                assert answer.status == 200

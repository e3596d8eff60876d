"""The OpenAPI document of what is served: the protocol's, with the extensions marked."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

from fastnn._version import __version__

from .protocol import DATATYPES

_TEXT: dict[str, Any] = {"type": "string"}
_PARAMETERS = {"$ref": "#/components/schemas/parameters"}
_SHAPE = {"type": "array", "minItems": 1, "maxItems": 32, "items": {"type": "integer", "minimum": 0}}
_DATATYPE = {"type": "string", "enum": [*DATATYPES]}
_BODY = {
    "application/json": {"schema": {"$ref": "#/components/schemas/inference_request"}},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        said["required"] = required.split()
    return said


def _list(name: str, least: int = 0) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"$ref": f"#/components/schemas/{name}"},
        **({"minItems": least} if least else {}),
    }


_TENSOR = _object(
    "name shape datatype",
    name=_TEXT,
    shape=_SHAPE,
    datatype=_DATATYPE,
    parameters=_PARAMETERS,
    data={"$ref": "#/components/schemas/tensor_data"},
)
_SCHEMAS: dict[str, Any] = {
    "metadata_server_response": _object(
        "name version extensions", name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}
    ),
    "metadata_model_response": _object(
        "name platform",
        name=_TEXT,
        versions={"type": "array", "items": _TEXT},
        platform=_TEXT,
        inputs=_list("metadata_tensor"),
        outputs=_list("metadata_tensor"),
        parameters=_PARAMETERS,
    ),
    "metadata_tensor": _object(
        "name datatype shape", name=_TEXT, datatype=_DATATYPE, shape={"type": "array", "items": {"type": "integer"}}
    ),
    "error": _object("error", error=_TEXT),
    "live": _object("live", live={"type": "boolean"}),
    "ready": _object("ready", name=_TEXT, ready={"type": "boolean"}),
    "parameters": {"type": "object"},
    "inference_request": _object(
        "inputs", id=_TEXT, parameters=_PARAMETERS, inputs=_list("request_input", 1), outputs=_list("request_output")
    ),
    "request_input": _TENSOR,
    "tensor_data": {
        "type": "array",
        "items": {
            "anyOf": [
                {"$ref": "#/components/schemas/tensor_data"},
                *({"type": each} for each in ("number", "string", "boolean", "null")),
            ]
        },
    },
    "request_output": _object("name", name=_TEXT, parameters=_PARAMETERS),
    "response_output": _TENSOR,
    "inference_response": _object(
        "model_name outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_PARAMETERS,
        outputs=_list("response_output"),
    ),
}


def _answer(schema: str) -> dict[str, Any]:
    return {
        "description": "OK",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _operation(summary: str, ident: str, schema: str, errors: str = "", **more: Any) -> dict[str, Any]:
    good = _answer(schema)
    said = {
        each: {**_answer("error"), "description": HTTPStatus(int(each)).phrase}
        for each in f"401 421 500 {errors}".split()
    }
    return {"summary": summary, "operationId": ident, "responses": {"200": good, **said}, **more}


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {
        "/v2": {"get": _operation("Server metadata", "server_metadata", "metadata_server_response")},
        "/v2/": {"get": _operation("Server metadata", "server_metadata_slash", "metadata_server_response")},
        "/v2/health/live": {"get": _operation("Server live", "server_live", "live")},
        "/v2/health/ready": {"get": _operation("Server ready", "server_ready", "ready", "503")},
        "/metrics": {
            "get": {
                **_operation("Metrics for Prometheus (extension)", "metrics", "error", "404"),
                "x-extension": True,
            }
        },
    }
    text = {"text/plain": {"schema": _TEXT}}
    paths["/metrics"]["get"]["responses"]["200"] = {"description": "OK", "content": text}
    for place, names in (
        ("/v2/models/{model_name}", ["model_name"]),
        ("/v2/models/{model_name}/versions/{model_version}", ["model_name", "model_version"]),
    ):
        of = "_".join(name.removeprefix("model_") for name in names)
        parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
        body = {
            "requestBody": {"required": True, "content": _BODY},
            "parameters": [
                {
                    "name": "Inference-Header-Content-Length",
                    "in": "header",
                    "description": "Of a binary body: the bytes of its JSON, behind which are those of the tensors.",
                    "schema": {"type": "integer", "minimum": 0},
                }
            ],
        }
        errors = "400 404 408 413 415 503"
        paths[place] = {"get": _operation("Model metadata", f"metadata_{of}", "metadata_model_response", "404")}
        paths[f"{place}/ready"] = {"get": _operation("Model ready", f"ready_{of}", "ready", "404")}
        paths[f"{place}/infer"] = {"post": _operation("Inference", f"infer_{of}", "inference_response", errors, **body)}
        what = "What each number of the rows adds to the outputs (extension)"
        paths[f"{place}/explain"] = {
            "post": {**_operation(what, f"explain_{of}", "inference_response", errors, **body), "x-extension": True}
        }
        for tail in ("", "/ready", "/infer", "/explain"):
            paths[place + tail]["parameters"] = parameters
    return paths


@cache
def document() -> dict[str, Any]:
    """The document, OpenAPI 3.1.0."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fastnn: Open Inference Protocol v2",
            "version": __version__,
            "description": "https://github.com/kserve/open-inference-protocol; x-extension marks what is not of it.",
        },
        "paths": _paths(),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
